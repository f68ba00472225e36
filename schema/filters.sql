-- One row per 3×3 filter.
CREATE TABLE filters (
    dataset VARCHAR,               -- name | data set the network was trained on
    robust BOOLEAN,                -- flag | trained to withstand adversarial examples
    model VARCHAR NOT NULL,        -- id | the network, see models
    layer INTEGER NOT NULL,        -- index | the layer, 0-based, in order of execution, see layers
    conv_depth INTEGER,            -- index | rank of the layer's depth among the network's 2-D convolutions, 0-based
    depth_decile TINYINT,          -- decile | 0 for conv_depth 0, else 1 to 10
    out_channel INTEGER,           -- index | output channel, 0-based
    in_channel INTEGER,            -- index | input channel within its group, 0-based
    sparse BOOLEAN NOT NULL,       -- flag | largest magnitude ≤ 1/100 of the layer's
    max_abs FLOAT NOT NULL,        -- weight | largest magnitude among w0 … w8
    w0 FLOAT NOT NULL,             -- weight | row 0, column 0 (top left)
    w1 FLOAT NOT NULL,             -- weight | row 0, column 1
    w2 FLOAT NOT NULL,             -- weight | row 0, column 2
    w3 FLOAT NOT NULL,             -- weight | row 1, column 0
    w4 FLOAT NOT NULL,             -- weight | row 1, column 1 (centre)
    w5 FLOAT NOT NULL,             -- weight | row 1, column 2
    w6 FLOAT NOT NULL,             -- weight | row 2, column 0
    w7 FLOAT NOT NULL,             -- weight | row 2, column 1
    w8 FLOAT NOT NULL              -- weight | row 2, column 2 (bottom right)
);
