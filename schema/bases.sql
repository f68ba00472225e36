-- Nine rows per registered basis, one per axis: a principal component of some split, on which histograms are kept.
CREATE TABLE bases (
    basis VARCHAR NOT NULL,                    -- id | of the components and the mean, see histograms
    name VARCHAR NOT NULL,                     -- name | what it was registered as
    split VARCHAR NOT NULL,                    -- split | the filters whose structure it is
    axis TINYINT NOT NULL,                     -- index | 0 to 8, by descending variance
    explained_variance DOUBLE NOT NULL,        -- 1² | of the split's scaled, non-sparse filters along this axis
    explained_variance_ratio DOUBLE NOT NULL,  -- 0 to 1 | the same as a share of all nine axes
    mean DOUBLE NOT NULL,                      -- 1 | of the weight w0 to w8 with the axis' number, in those filters
    n DOUBLE NOT NULL,                         -- filters | non-sparse ones of the split
    v0 DOUBLE NOT NULL,                        -- 1 | the unit component, at w0
    v1 DOUBLE NOT NULL,                        -- 1 | the unit component, at w1
    v2 DOUBLE NOT NULL,                        -- 1 | the unit component, at w2
    v3 DOUBLE NOT NULL,                        -- 1 | the unit component, at w3
    v4 DOUBLE NOT NULL,                        -- 1 | the unit component, at w4
    v5 DOUBLE NOT NULL,                        -- 1 | the unit component, at w5
    v6 DOUBLE NOT NULL,                        -- 1 | the unit component, at w6
    v7 DOUBLE NOT NULL,                        -- 1 | the unit component, at w7
    v8 DOUBLE NOT NULL                         -- 1 | the unit component, at w8
);
