-- What was left out of committed networks, and networks that could not be brought in at all.
CREATE OR REPLACE VIEW skips AS
SELECT DISTINCT skip.* EXCLUDE (ingest_id)
FROM stored.skips AS skip
LEFT JOIN stored.commits AS done ON skip.model = done.model
WHERE CASE WHEN skip.ingest_id IS NULL THEN done.model IS NULL ELSE skip.ingest_id = done.ingest_id END;
