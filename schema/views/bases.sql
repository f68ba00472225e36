-- The registered bases.
CREATE OR REPLACE VIEW bases AS
SELECT * FROM stored.bases;
