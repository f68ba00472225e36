"""SQL from strangers: reads the lake, and does nothing else."""

import pytest

import filterdb
from filterdb.errors import FilterdbError, UsageError

WRITES = [
    "COPY (SELECT 1) TO '{root}/x.csv'",
    "WITH x AS (COPY (SELECT 1) TO '{root}/x.csv') SELECT model FROM models",
    "WITH x AS (COPY (SELECT 1) TO '{root}/x.csv' (RETURN_FILES)) FROM x",
    "WITH a AS (SELECT 1), x AS MATERIALIZED (COPY (SELECT 1) TO '{root}/x.csv') FROM a",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{root}/x.csv') SELECT 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{root}/x.csv'",
    "EXPLAIN (ANALYZE /*) SELECT 1 -- */ ) COPY (SELECT 1) TO '{root}/x.csv'",
    "FROM json_execute_serialized_sql(json_serialize_sql('WITH x AS (COPY (SELECT 1) TO ''{root}/x.csv'') SELECT 1'))",
    "FROM query('FROM json_execute_serialized_sql(json_serialize_sql(''SELECT 1''))')",
    "FROM system.main.query('FROM models')",
    "WITH x AS (DELETE FROM stored.commits RETURNING *) SELECT model FROM models",
    "WITH x AS (INSERT INTO stored.commits VALUES ('a', 'b', 'c')) SELECT model FROM models",
    "WITH x AS (UPDATE stored.commits SET model = 'b') SELECT model FROM models",
    "DELETE FROM stored.commits",
    "DROP VIEW filters",
    "CREATE TABLE x (i INT)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW models AS SELECT 1 AS model",
    "EXPORT DATABASE '{root}/x'",
    "FROM enable_logging(storage_path = '{root}/log')",
    "FROM enable_profiling(save_location = '{root}/log')",
    "FROM checkpoint()",
]
READS_ELSEWHERE = [
    "FROM '/etc/passwd'",
    "FROM read_csv('/etc/passwd')",
    "FROM read_text('{root}/../secret.csv')",
    "FROM '{root}/../secret.csv'",
    "FROM read_parquet('{root}/../secret.parquet')",
    "FROM parquet_schema('{root}/link/secret.parquet')",
    "FROM '{root}/link/secret.parquet'",
    "FROM glob('/etc/*')",
    "FROM sniff_csv('{root}/../secret.csv')",
    "FROM 'https://example.org/x.parquet'",
    "FROM 's3://bucket/x.parquet'",
    "FROM duckdb_secrets()",
    "FROM read_duckdb('{root}/../x.db')",
    "FROM mine",
    "SELECT getenv('HOME')",
]
OTHER_STATEMENTS = [
    "ATTACH '{root}/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "SET threads = 1",
    "SET VARIABLE x = 1",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "BEGIN",
    "USE memory",
    "CREATE SECRET x (TYPE s3)",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW models",
    "PIVOT models ON robust USING count(*)",
    "",
    ";",
    "-- nothing",
]


def tree(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("query", [*WRITES, *READS_ELSEWHERE, *OTHER_STATEMENTS])
def test_a_query_only_reads_the_lake(root, tmp_path, monkeypatch, query):
    mine = [1]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    (tmp_path / "secret.parquet").write_bytes(min(root.glob("models/*.parquet")).read_bytes())
    (root / "link").symlink_to(tmp_path)
    before = tree(tmp_path)
    with filterdb.open(root) as db:
        models = db.sql("FROM models ORDER BY model").fetchall()
        with pytest.raises(UsageError):
            list(db.stream(query.replace("{root}", str(root)))[1])
        assert db.sql("FROM models ORDER BY model").fetchall() == models
    assert tree(tmp_path) == before
    assert mine == [1]


@pytest.mark.parametrize("query", [*WRITES, *READS_ELSEWHERE])
def test_a_split_is_held_to_the_same(root, query):
    text = query.replace("{root}", str(root))
    before = tree(root)
    with filterdb.open(root) as db:
        for split in (text, f"model IN ({text})", f"SELECT * FROM layers WHERE model IN ({text})"):
            with pytest.raises(FilterdbError):
                db.split(split).count()
    assert tree(root) == before


@pytest.mark.parametrize(
    "query",
    [
        "SHOW TABLES",
        "DESCRIBE layers",
        "SUMMARIZE models",
        "VALUES (1)",
        "FROM range(3)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT count(*) FROM filters",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) FROM t",
        "SELECT 'DELETE', '(COPY', $$; DROP VIEW models$$",
        "SELECT model FROM models UNION SELECT model FROM layers ORDER BY ALL -- a comment; and more",
        "SELECT 1;",
    ],
)
def test_questions_of_every_form_are_taken(root, query):
    with filterdb.open(root) as db:
        assert list(db.stream(query)[1])


@pytest.mark.parametrize("part", ["SELECT * FROM (", "abs(", "NOT (", "1 + ("])
def test_nesting_without_end_is_refused(root, part):
    with filterdb.open(root) as db:
        for depth in (2_000, 100_000):
            inner = "SELECT 1" if "FROM" in part else "1"
            text = ("" if "FROM" in part else "SELECT ") + part * depth + inner + ")" * depth
            with pytest.raises(UsageError):
                db.sql(text)
