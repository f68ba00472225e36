-- What is not in the lake, and why: nothing is left out in silence.
CREATE TABLE skips (
    ingest_id VARCHAR,        -- id | the write that left it out; NULL when the whole network failed; hidden by the view
    model VARCHAR NOT NULL,   -- id | the network
    layer VARCHAR,            -- name | state-dict key or module; NULL when the whole network was left out
    kernel VARCHAR,           -- height x width | kernel size, where there is one
    reason VARCHAR NOT NULL   -- text | e.g. kernel 1x1, dead in forward, transposed, non-finite weights
);
