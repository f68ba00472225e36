-- The filters of the lake: exactly the rows of the committed files.
CREATE OR REPLACE VIEW filters AS
SELECT * FROM stored.filters;
