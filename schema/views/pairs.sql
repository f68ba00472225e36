-- Pairs of which both networks are in the lake.
CREATE OR REPLACE VIEW pairs AS
SELECT DISTINCT pair.*
FROM stored.pairs AS pair
SEMI JOIN stored.commits AS robust ON robust_model = robust.model
SEMI JOIN stored.commits AS normal ON normal_model = normal.model;
