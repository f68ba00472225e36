-- One row per 3×3 layer, with the summary from which layer-level splits are answered.
CREATE TABLE layers (
    ingest_id VARCHAR NOT NULL,       -- id | the write that brought the network in; hidden by the view
    model VARCHAR NOT NULL,           -- id | the network, see models
    layer INTEGER NOT NULL,           -- index | 0-based, in order of execution among the network's 3×3 layers
    name VARCHAR,                     -- name | state-dict key of the weight
    in_channels INTEGER,              -- channels | input channels of one group
    out_channels INTEGER,             -- channels | output channels
    groups INTEGER,                   -- groups | 1 for a full convolution, in_channels for a depthwise one
    stride INTEGER,                   -- pixels | step in both directions; NULL where they differ
    dilation INTEGER,                 -- pixels | spacing of the kernel in both directions; NULL where they differ
    conv_depth INTEGER,               -- index | rank of the depth among the network's live 2-D convolutions, 0-based
    depth DOUBLE,                     -- 0 to 1 | conv_depth over the network's largest conv_depth
    depth_decile TINYINT,             -- decile | 0 for conv_depth 0, else 1 to 10
    first_row BIGINT NOT NULL,        -- row | where the layer starts in the network's file of filters; hidden by the view
    n_filters BIGINT NOT NULL,        -- filters | 3×3 filters of the layer
    max_abs FLOAT NOT NULL,           -- weight | largest magnitude in the layer
    n_sparse BIGINT NOT NULL,         -- filters | sparse ones
    sparsity DOUBLE,                  -- 0 to 1 | n_sparse over n_filters
    variance_entropy DOUBLE,          -- 0 to 0.954 | of the non-sparse filters as they are (definition paper); NULL without variance
    variance_entropy_scaled DOUBLE,   -- 0 to 0.954 | of the non-sparse filters scaled to [-1, 1] (definition published)
    orthogonality DOUBLE,             -- 0 to 1 | of the filterbanks; NULL for a single one
    raw_n DOUBLE NOT NULL,            -- filters | non-sparse ones, which the sums below are over
    raw_s0 DOUBLE NOT NULL,           -- weight | sum of w0 over the non-sparse filters
    raw_s1 DOUBLE NOT NULL,           -- weight | sum of w1 over the non-sparse filters
    raw_s2 DOUBLE NOT NULL,           -- weight | sum of w2 over the non-sparse filters
    raw_s3 DOUBLE NOT NULL,           -- weight | sum of w3 over the non-sparse filters
    raw_s4 DOUBLE NOT NULL,           -- weight | sum of w4 over the non-sparse filters
    raw_s5 DOUBLE NOT NULL,           -- weight | sum of w5 over the non-sparse filters
    raw_s6 DOUBLE NOT NULL,           -- weight | sum of w6 over the non-sparse filters
    raw_s7 DOUBLE NOT NULL,           -- weight | sum of w7 over the non-sparse filters
    raw_s8 DOUBLE NOT NULL,           -- weight | sum of w8 over the non-sparse filters
    raw_c00 DOUBLE NOT NULL,          -- weight² | sum of w0·w0 over the non-sparse filters
    raw_c01 DOUBLE NOT NULL,          -- weight² | sum of w0·w1 over the non-sparse filters
    raw_c02 DOUBLE NOT NULL,          -- weight² | sum of w0·w2 over the non-sparse filters
    raw_c03 DOUBLE NOT NULL,          -- weight² | sum of w0·w3 over the non-sparse filters
    raw_c04 DOUBLE NOT NULL,          -- weight² | sum of w0·w4 over the non-sparse filters
    raw_c05 DOUBLE NOT NULL,          -- weight² | sum of w0·w5 over the non-sparse filters
    raw_c06 DOUBLE NOT NULL,          -- weight² | sum of w0·w6 over the non-sparse filters
    raw_c07 DOUBLE NOT NULL,          -- weight² | sum of w0·w7 over the non-sparse filters
    raw_c08 DOUBLE NOT NULL,          -- weight² | sum of w0·w8 over the non-sparse filters
    raw_c11 DOUBLE NOT NULL,          -- weight² | sum of w1·w1 over the non-sparse filters
    raw_c12 DOUBLE NOT NULL,          -- weight² | sum of w1·w2 over the non-sparse filters
    raw_c13 DOUBLE NOT NULL,          -- weight² | sum of w1·w3 over the non-sparse filters
    raw_c14 DOUBLE NOT NULL,          -- weight² | sum of w1·w4 over the non-sparse filters
    raw_c15 DOUBLE NOT NULL,          -- weight² | sum of w1·w5 over the non-sparse filters
    raw_c16 DOUBLE NOT NULL,          -- weight² | sum of w1·w6 over the non-sparse filters
    raw_c17 DOUBLE NOT NULL,          -- weight² | sum of w1·w7 over the non-sparse filters
    raw_c18 DOUBLE NOT NULL,          -- weight² | sum of w1·w8 over the non-sparse filters
    raw_c22 DOUBLE NOT NULL,          -- weight² | sum of w2·w2 over the non-sparse filters
    raw_c23 DOUBLE NOT NULL,          -- weight² | sum of w2·w3 over the non-sparse filters
    raw_c24 DOUBLE NOT NULL,          -- weight² | sum of w2·w4 over the non-sparse filters
    raw_c25 DOUBLE NOT NULL,          -- weight² | sum of w2·w5 over the non-sparse filters
    raw_c26 DOUBLE NOT NULL,          -- weight² | sum of w2·w6 over the non-sparse filters
    raw_c27 DOUBLE NOT NULL,          -- weight² | sum of w2·w7 over the non-sparse filters
    raw_c28 DOUBLE NOT NULL,          -- weight² | sum of w2·w8 over the non-sparse filters
    raw_c33 DOUBLE NOT NULL,          -- weight² | sum of w3·w3 over the non-sparse filters
    raw_c34 DOUBLE NOT NULL,          -- weight² | sum of w3·w4 over the non-sparse filters
    raw_c35 DOUBLE NOT NULL,          -- weight² | sum of w3·w5 over the non-sparse filters
    raw_c36 DOUBLE NOT NULL,          -- weight² | sum of w3·w6 over the non-sparse filters
    raw_c37 DOUBLE NOT NULL,          -- weight² | sum of w3·w7 over the non-sparse filters
    raw_c38 DOUBLE NOT NULL,          -- weight² | sum of w3·w8 over the non-sparse filters
    raw_c44 DOUBLE NOT NULL,          -- weight² | sum of w4·w4 over the non-sparse filters
    raw_c45 DOUBLE NOT NULL,          -- weight² | sum of w4·w5 over the non-sparse filters
    raw_c46 DOUBLE NOT NULL,          -- weight² | sum of w4·w6 over the non-sparse filters
    raw_c47 DOUBLE NOT NULL,          -- weight² | sum of w4·w7 over the non-sparse filters
    raw_c48 DOUBLE NOT NULL,          -- weight² | sum of w4·w8 over the non-sparse filters
    raw_c55 DOUBLE NOT NULL,          -- weight² | sum of w5·w5 over the non-sparse filters
    raw_c56 DOUBLE NOT NULL,          -- weight² | sum of w5·w6 over the non-sparse filters
    raw_c57 DOUBLE NOT NULL,          -- weight² | sum of w5·w7 over the non-sparse filters
    raw_c58 DOUBLE NOT NULL,          -- weight² | sum of w5·w8 over the non-sparse filters
    raw_c66 DOUBLE NOT NULL,          -- weight² | sum of w6·w6 over the non-sparse filters
    raw_c67 DOUBLE NOT NULL,          -- weight² | sum of w6·w7 over the non-sparse filters
    raw_c68 DOUBLE NOT NULL,          -- weight² | sum of w6·w8 over the non-sparse filters
    raw_c77 DOUBLE NOT NULL,          -- weight² | sum of w7·w7 over the non-sparse filters
    raw_c78 DOUBLE NOT NULL,          -- weight² | sum of w7·w8 over the non-sparse filters
    raw_c88 DOUBLE NOT NULL,          -- weight² | sum of w8·w8 over the non-sparse filters
    scaled_n DOUBLE NOT NULL,         -- filters | non-sparse ones, as raw_n
    scaled_s0 DOUBLE NOT NULL,        -- 1 | sum of w0 over the non-sparse filters scaled to [-1, 1]
    scaled_s1 DOUBLE NOT NULL,        -- 1 | sum of w1 over the non-sparse filters scaled to [-1, 1]
    scaled_s2 DOUBLE NOT NULL,        -- 1 | sum of w2 over the non-sparse filters scaled to [-1, 1]
    scaled_s3 DOUBLE NOT NULL,        -- 1 | sum of w3 over the non-sparse filters scaled to [-1, 1]
    scaled_s4 DOUBLE NOT NULL,        -- 1 | sum of w4 over the non-sparse filters scaled to [-1, 1]
    scaled_s5 DOUBLE NOT NULL,        -- 1 | sum of w5 over the non-sparse filters scaled to [-1, 1]
    scaled_s6 DOUBLE NOT NULL,        -- 1 | sum of w6 over the non-sparse filters scaled to [-1, 1]
    scaled_s7 DOUBLE NOT NULL,        -- 1 | sum of w7 over the non-sparse filters scaled to [-1, 1]
    scaled_s8 DOUBLE NOT NULL,        -- 1 | sum of w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c00 DOUBLE NOT NULL,       -- 1² | sum of w0·w0 over the non-sparse filters scaled to [-1, 1]
    scaled_c01 DOUBLE NOT NULL,       -- 1² | sum of w0·w1 over the non-sparse filters scaled to [-1, 1]
    scaled_c02 DOUBLE NOT NULL,       -- 1² | sum of w0·w2 over the non-sparse filters scaled to [-1, 1]
    scaled_c03 DOUBLE NOT NULL,       -- 1² | sum of w0·w3 over the non-sparse filters scaled to [-1, 1]
    scaled_c04 DOUBLE NOT NULL,       -- 1² | sum of w0·w4 over the non-sparse filters scaled to [-1, 1]
    scaled_c05 DOUBLE NOT NULL,       -- 1² | sum of w0·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c06 DOUBLE NOT NULL,       -- 1² | sum of w0·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c07 DOUBLE NOT NULL,       -- 1² | sum of w0·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c08 DOUBLE NOT NULL,       -- 1² | sum of w0·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c11 DOUBLE NOT NULL,       -- 1² | sum of w1·w1 over the non-sparse filters scaled to [-1, 1]
    scaled_c12 DOUBLE NOT NULL,       -- 1² | sum of w1·w2 over the non-sparse filters scaled to [-1, 1]
    scaled_c13 DOUBLE NOT NULL,       -- 1² | sum of w1·w3 over the non-sparse filters scaled to [-1, 1]
    scaled_c14 DOUBLE NOT NULL,       -- 1² | sum of w1·w4 over the non-sparse filters scaled to [-1, 1]
    scaled_c15 DOUBLE NOT NULL,       -- 1² | sum of w1·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c16 DOUBLE NOT NULL,       -- 1² | sum of w1·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c17 DOUBLE NOT NULL,       -- 1² | sum of w1·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c18 DOUBLE NOT NULL,       -- 1² | sum of w1·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c22 DOUBLE NOT NULL,       -- 1² | sum of w2·w2 over the non-sparse filters scaled to [-1, 1]
    scaled_c23 DOUBLE NOT NULL,       -- 1² | sum of w2·w3 over the non-sparse filters scaled to [-1, 1]
    scaled_c24 DOUBLE NOT NULL,       -- 1² | sum of w2·w4 over the non-sparse filters scaled to [-1, 1]
    scaled_c25 DOUBLE NOT NULL,       -- 1² | sum of w2·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c26 DOUBLE NOT NULL,       -- 1² | sum of w2·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c27 DOUBLE NOT NULL,       -- 1² | sum of w2·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c28 DOUBLE NOT NULL,       -- 1² | sum of w2·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c33 DOUBLE NOT NULL,       -- 1² | sum of w3·w3 over the non-sparse filters scaled to [-1, 1]
    scaled_c34 DOUBLE NOT NULL,       -- 1² | sum of w3·w4 over the non-sparse filters scaled to [-1, 1]
    scaled_c35 DOUBLE NOT NULL,       -- 1² | sum of w3·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c36 DOUBLE NOT NULL,       -- 1² | sum of w3·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c37 DOUBLE NOT NULL,       -- 1² | sum of w3·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c38 DOUBLE NOT NULL,       -- 1² | sum of w3·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c44 DOUBLE NOT NULL,       -- 1² | sum of w4·w4 over the non-sparse filters scaled to [-1, 1]
    scaled_c45 DOUBLE NOT NULL,       -- 1² | sum of w4·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c46 DOUBLE NOT NULL,       -- 1² | sum of w4·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c47 DOUBLE NOT NULL,       -- 1² | sum of w4·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c48 DOUBLE NOT NULL,       -- 1² | sum of w4·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c55 DOUBLE NOT NULL,       -- 1² | sum of w5·w5 over the non-sparse filters scaled to [-1, 1]
    scaled_c56 DOUBLE NOT NULL,       -- 1² | sum of w5·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c57 DOUBLE NOT NULL,       -- 1² | sum of w5·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c58 DOUBLE NOT NULL,       -- 1² | sum of w5·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c66 DOUBLE NOT NULL,       -- 1² | sum of w6·w6 over the non-sparse filters scaled to [-1, 1]
    scaled_c67 DOUBLE NOT NULL,       -- 1² | sum of w6·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c68 DOUBLE NOT NULL,       -- 1² | sum of w6·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c77 DOUBLE NOT NULL,       -- 1² | sum of w7·w7 over the non-sparse filters scaled to [-1, 1]
    scaled_c78 DOUBLE NOT NULL,       -- 1² | sum of w7·w8 over the non-sparse filters scaled to [-1, 1]
    scaled_c88 DOUBLE NOT NULL        -- 1² | sum of w8·w8 over the non-sparse filters scaled to [-1, 1]
);
