-- The histograms of the lake's layers on the registered bases.
CREATE OR REPLACE VIEW histograms AS
SELECT network.model, histogram.* EXCLUDE (ingest_id)
FROM stored.histograms AS histogram
JOIN stored.commits AS network USING (ingest_id);
