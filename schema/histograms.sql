-- One row per layer and registered basis; follows from filters and bases, and may be deleted at any time.
CREATE TABLE histograms (
    ingest_id VARCHAR NOT NULL,  -- id | the write that brought the network in; hidden by the view
    layer INTEGER NOT NULL,      -- index | the layer, see layers
    basis VARCHAR NOT NULL,      -- id | the basis, see bases
    counts INTEGER[] NOT NULL    -- filters | non-sparse ones in each of 70 equal bins of axis 0, then of axis 1, … 8
);
