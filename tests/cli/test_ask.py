"""The asking commands, as a user sees them: stdout, stderr, exit code."""

import csv
import io
import json
import subprocess
import sys

import polars as pl
import pytest

from filterdb import cli
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from tests.networks import random_network


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "toy.lake"
    handle = Lake.create(root)
    for name in ("robust", "plain"):
        write_network(handle, random_network(name, seed=len(name), n_layers=5))
    return str(root)


@pytest.fixture
def run(capsys, lake):
    def call(*arguments, lake_option=True):
        code = cli.run([*(["--lake", lake] if lake_option else []), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def rows(run, *arguments):
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return json.loads(out)


def test_sql_answers_in_every_format(run, tmp_path):
    query = "SELECT model, n_filters, NULL AS nothing, [1.5, 2] AS listed FROM models ORDER BY model"
    expected = [
        {"model": f"local/{m}", "n_filters": 162, "nothing": None, "listed": [1.5, 2]} for m in ("plain", "robust")
    ]
    assert rows(run, "sql", query) == expected
    assert [json.loads(line) for line in run("sql", query, "--format", "jsonl")[1].splitlines()] == expected
    table = list(csv.DictReader(io.StringIO(run("sql", query, "--format", "csv")[1])))
    assert table[0] == {"model": "local/plain", "n_filters": "162", "nothing": "", "listed": "[1.5, 2]"}
    file = tmp_path / "out.parquet"
    assert run("sql", query, "-o", str(file))[0] == 0
    assert pl.read_parquet(file)["n_filters"].to_list() == [162, 162]
    assert " local/plain          162             [1.5, 2.0]\n" in run("sql", query)[1]


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv", "parquet"])
def test_a_file_is_replaced_as_a_whole_or_not_at_all(run, tmp_path, format):
    file = tmp_path / "out"
    file.write_text("before")
    link = tmp_path / "link"
    link.symlink_to(file)
    failing = "SELECT CASE WHEN range > 50000 THEN error('no') ELSE 'x' END FROM range(100000)"
    assert run("sql", failing, "--format", format, "-o", str(link))[0] in (1, 2)
    assert file.read_text() == "before"
    assert run("sql", "SELECT 1", "--format", format, "-o", str(link))[0] == 0
    assert file.read_bytes() != b"before"
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out", "link"))} == {"out", "link"}


def test_a_format_without_a_file_where_one_is_needed(run):
    code, _, err = run("sql", "SELECT 1", "--format", "parquet")
    assert (code, err) == (2, "filterdb: --format parquet needs a file: add -o FILE\n")


def test_the_lake_may_be_named_before_or_after_or_by_the_environment(run, lake, monkeypatch):
    before = run("info")
    after = run("info", "--lake", lake, lake_option=False)
    monkeypatch.setenv("FILTERDB_LAKE", lake)
    environment = run("info", lake_option=False)
    assert before == after == environment
    assert "cifar10" in before[1]
    assert "version 2" in before[2]


def test_pca_gives_one_object_per_split(run):
    found = rows(run, "pca", "robust", "NOT robust")
    assert [record["split"] for record in found] == ["robust", "NOT robust"]
    for record in found:
        assert set(record) >= {"n", "explained_variance_ratio", "mean", "components", "definition", "lake_version"}
        assert len(record["explained_variance_ratio"]) == len(record["mean"]) == len(record["components"]) == 9
        assert sum(record["explained_variance_ratio"]) == pytest.approx(1)
        assert record["lake_version"] == 2


def test_a_saved_pca_is_a_basis(run, tmp_path):
    file = str(tmp_path / "basis.json")
    run("pca", "true", "-o", file)
    by_file = rows(run, "kl", "robust", "NOT robust", "--basis", file)
    by_split = rows(run, "kl", "robust", "NOT robust", "--basis", "true")
    assert by_file[0]["kl"] == pytest.approx(by_split[0]["kl"], rel=1e-9)
    (tmp_path / "no.json").write_text("{}")
    code, _, err = run("kl", "robust", "NOT robust", "--basis", str(tmp_path / "no.json"))
    assert code == 2
    assert "not a file written by" in err


def test_kl_and_metrics_by_columns(run):
    found = rows(run, "kl", "robust", "NOT robust", "--by", "dataset,depth_decile")
    assert [set(row) for row in found] == [
        {"dataset", "depth_decile", "kl", "n_p", "n_q", "bins", "range", "definition"}
    ] * len(found)
    found = rows(run, "metrics", "robust", "--by", "depth_decile", "--definition", "published")
    assert set(found[0]) == {"depth_decile", "n_filters", "sparsity", "variance_entropy", "orthogonality"}
    assert sum(row["n_filters"] for row in found) == 162


@pytest.mark.parametrize(
    "command", [("pca", "robust"), ("metrics", "robust", "--by", "layer"), ("metrics", "w4 > 0", "--by", "model")]
)
def test_the_sql_that_is_shown_gives_what_the_command_gives(run, command):
    code, statement, _ = run(*command, "--show-sql")
    assert code == 0
    shown = rows(run, "sql", statement)
    answered = rows(run, *command)
    if command[0] == "pca":
        assert shown[0]["moments"]["n"] == answered[0]["n"]
    else:
        assert [
            {k: pytest.approx(v) if isinstance(v, float) else v for k, v in row.items()} for row in shown
        ] == answered


def test_explain_goes_to_stderr(run):
    code, out, err = run("metrics", "w4 > 0", "--explain", "--format", "json")
    assert code == 0
    assert "scan of" in err
    json.loads(out)


def test_named_queries_are_listed_shown_and_run(run):
    names = [record["name"] for record in rows(run, "queries", "list")]
    assert "overview" in names
    assert run("queries", "show", "overview")[1].startswith("-- What the lake holds")
    assert len(rows(run, "queries", "run", "sparsest_layers", "-p", "n=3")) == 3
    code, _, err = run("queries", "run", "sparsest_layers", "-p", "n")
    assert (code, err) == (2, "filterdb: --param 'n': write NAME=VALUE\n")


def test_time_travel(run):
    assert rows(run, "sql", "SELECT count(*) AS n FROM models", "--at-version", "1") == [{"n": 1}]
    code, _, err = run("info", "--at-version", "99")
    assert code == 1
    assert "version 99" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sql", "DROP TABLE models"], 2, "a query must be one SELECT; got DROP"),
        (["sql", "SELECT x FROM models"], 2, 'Referenced column "x" not found'),
        (["sql", "SELECT 1/0::INT, error('boom')"], 2, "boom"),
        (["pca", "robst"], 2, 'Candidate bindings: "robust"'),
        (["kl", "robust", "NOT robust", "--by", "x"], 2, "cannot group by 'x'"),
        (["metrics", "robust", "--definition", "x"], 2, "'x' is not one of 'paper', 'published'"),
        (["queries", "run", "overvew"], 2, "did you mean overview?"),
        (["frobnicate"], 2, "No such command 'frobnicate'"),
        (["sql"], 2, "Missing argument 'query'"),
        (["info", "--lake", "/nonexistent"], 1, "no lake in /nonexistent"),
        (["sql", "SELECT 1", "-o", "/nonexistent/x.csv"], 1, "/nonexistent/x.csv"),
        (["sql", "SELECT 1", "--memory-limit", "lots"], 2, "memory"),
    ],
)
def test_errors_are_one_line_and_a_code(run, arguments, code, message):
    found, out, err = run(*arguments)
    assert found == code
    assert message in err
    assert err.startswith("filterdb: ")
    assert err.count("\n") == 1
    assert out == ""


def test_long_tables_are_cut_and_say_so(run):
    code, out, err = run("sql", "SELECT range AS n FROM range(1500)")
    assert code == 0
    assert len(out.splitlines()) == 1002
    assert "500 more rows" in err


def test_a_closed_pipe_is_no_traceback(lake):
    command = f"{sys.executable} -m filterdb --lake {lake} sql 'FROM range(100000)' --format csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "range\n"
    assert done.stderr == ""


def test_asking_imports_nothing_heavy(lake):
    heavy = ("torch", "timm", "robustbench", "matplotlib", "numba", "sklearn", "pandas", "polars", "pyarrow")
    program = (
        "import sys; from filterdb import cli; "
        f"code = cli.run(['--lake', {lake!r}, 'sql', 'SELECT 1']); "
        f"print([m for m in {heavy} if m in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
