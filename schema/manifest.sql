-- One row per file of a published tree, but for SHA256SUMS and the manifest itself.
CREATE TABLE manifest (
    path VARCHAR NOT NULL,             -- path | within the tree, with / between its parts
    bytes BIGINT NOT NULL,             -- bytes | size of the file
    rows BIGINT,                       -- rows | of a Parquet file; NULL for others
    sha256 VARCHAR NOT NULL,           -- hex | SHA-256 of the file
    md5 VARCHAR NOT NULL,              -- hex | MD5 of the file
    model VARCHAR,                     -- id | the network whose filters the file holds; NULL for others
    filterdb_version VARCHAR NOT NULL  -- version | of the program that published the tree
);
