-- The networks of the lake; what is not committed is not shown.
CREATE OR REPLACE VIEW models AS
SELECT network.* EXCLUDE (ingest_id)
FROM stored.models AS network
SEMI JOIN stored.commits USING (ingest_id);
