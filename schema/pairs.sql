-- Which normally trained network is the counterpart of which robust one; a normal one may serve several.
CREATE TABLE pairs (
    robust_model VARCHAR NOT NULL,  -- id | the robust network, see models
    normal_model VARCHAR NOT NULL,  -- id | the normal network of the same architecture, see models
    architecture VARCHAR,           -- name | their architecture
    dataset VARCHAR                 -- name | their data set
);
