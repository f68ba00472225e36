-- One row per network in the lake.
CREATE TABLE models (
    ingest_id VARCHAR NOT NULL,        -- id | the write that brought the network in; hidden by the view
    model VARCHAR NOT NULL,            -- id | unique name: source/…, e.g. robustbench/cifar10/Linf/Carmon2019Unlabeled
    source VARCHAR NOT NULL,           -- name | robustbench, timm, local, table, hdf5 or onnx
    name VARCHAR NOT NULL,             -- name | the network's own name within its source
    architecture VARCHAR,              -- name | e.g. WideResNet-28-10
    dataset VARCHAR,                   -- name | data set the network was trained on, e.g. cifar10
    robust BOOLEAN,                    -- flag | trained to withstand adversarial examples
    threat_model VARCHAR,              -- name | Linf, L2 or corruptions
    epsilon DOUBLE,                    -- input range [0, 1] | size of the perturbations the network is meant to withstand
    clean_accuracy DOUBLE,             -- percent | accuracy on clean test images
    robust_accuracy DOUBLE,            -- percent | accuracy under the strongest known attack of the threat model
    corruption_accuracy DOUBLE,        -- percent | accuracy on common corruptions
    extra_data BOOLEAN,                -- flag | trained with data beyond the data set's own training part
    unreliable BOOLEAN,                -- flag | its robustness evaluation is marked as potentially unreliable
    venue VARCHAR,                     -- name | where the network was published, e.g. NeurIPS 2019
    year INTEGER,                      -- year | of publication
    paper VARCHAR,                     -- link | to the publication
    license VARCHAR,                   -- SPDX id | licence of the weights; NULL when unknown
    weights VARCHAR NOT NULL,          -- name | raw (as in the checkpoint) or bn_folded (BatchNorm multiplied in)
    weights_sha256 VARCHAR NOT NULL,   -- hex | SHA-256 over the SHA-256 of each layer's float32 filters, in order
    n_layers INTEGER NOT NULL,         -- layers | 3×3 layers in the lake
    n_filters BIGINT NOT NULL,         -- filters | 3×3 filters in the lake
    ingested_at TIMESTAMP NOT NULL,    -- UTC | when the network was written
    filterdb_version VARCHAR NOT NULL  -- version | of the program that wrote it
);
