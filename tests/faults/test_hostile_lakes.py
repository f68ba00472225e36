"""Lakes from strangers: what is not as filterdb writes it is refused by name, and nothing outside is touched."""

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import filterdb
from filterdb import cli
from filterdb.errors import FilterdbError, IntegrityError, LakeError
from filterdb.lake import commits, schema
from filterdb.lake.commits import DataFile
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog
from filterdb.lake.seen import Seen
from filterdb.lake.verify import verify
from filterdb.lake.writer import write_network
from tests.networks import random_network


def only(root, pattern):
    (path,) = root.glob(pattern)
    return path


@pytest.fixture
def root(tmp_path):
    """A lake of one network."""
    lake = Lake.create(tmp_path / "a.lake")
    write_network(lake, random_network("one", n_layers=2))
    return lake.root


def rewrite(file, **changes):
    """Change a commit, and forge what else is needed to make the change look committed."""
    version = int(file.stem)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        for action, fields in line.items():
            fields.update(changes.get(action, {}))
    added = next(line["add"] for line in lines if "add" in line)
    info = next(line["commitInfo"] for line in lines if "commitInfo" in line)
    note = json.loads(info["filterdb"])
    (sha256,) = note["sha256"].values()
    note["sha256"] = {added["path"]: sha256}
    rows_ = json.loads(added["stats"])["numRecords"]
    note["state"] = f"{commits.digest([(added['path'], added['size'], rows_)]):x}"
    info["filterdb"] = json.dumps(note)
    file.write_text("\n".join(map(json.dumps, lines)))
    (file.parents[1] / commits.HEAD).unlink()
    commits.write_head(file.parents[1], version)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../secret.parquet", "a/../../../secret.parquet", "file:///etc/passwd", "s3://b/x", ""]
)
@pytest.mark.parametrize("table", ["filters", "models"])
def test_a_log_that_points_elsewhere_is_refused(root, table, path):
    rewrite(only(root, f"{table}/_delta_log/*1.json"), add={"path": path})
    with pytest.raises(IntegrityError, match=r"does not lie in the lake: refused|no file of a network: refused"):
        filterdb.open(root)
    assert verify(root).damage


@pytest.mark.parametrize("what", ["file", "folder", "table", "log"])
def test_symbolic_links_are_refused(root, tmp_path, what):
    place = {
        "file": only(root, "filters/**/*.parquet"),
        "folder": only(root, "filters/dataset=*"),
        "table": root / "filters",
        "log": root / "filters" / "_delta_log",
    }[what]
    moved = tmp_path / "elsewhere"
    place.rename(moved)
    place.symlink_to(moved)
    with pytest.raises(IntegrityError, match="symbolic link, which a lake has none of: refused"):
        filterdb.open(root)
    assert any("symbolic link" in str(damage) for damage in verify(root).damage)


def test_a_link_to_a_whole_lake_is_fine(root, tmp_path):
    (tmp_path / "link.lake").symlink_to(root)
    with filterdb.open(tmp_path / "link.lake") as db:
        assert db.split("w4 > -9").count() > 0


@pytest.mark.parametrize(
    ("found", "message"), [("7", "format version 7.*update filterdb"), ("x", "format version is 'x'")]
)
def test_other_formats_are_refused(root, capsys, found, message):
    for table in schema.TABLES:
        log = only(root, f"{table}/_delta_log/*0.json")
        log.write_text(log.read_text().replace('"filterdb.formatVersion":"1"', f'"filterdb.formatVersion":"{found}"'))
    with pytest.raises(LakeError, match=message):
        filterdb.open(root)
    assert cli.run(["info", "--lake", str(root)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def put(root, name, path, table, *, remove=()):
    """A file that filterdb would not write, committed like any other."""
    file = root / name / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    content = file.read_bytes()
    added = DataFile(path, len(content), len(table), hashlib.sha256(content).hexdigest())
    log = TableLog(root / name)
    log.commit(schema.table(name).arrow, [added], remove=remove)
    Seen(log.directory).forget()  # a stranger committed it


def alter(root, name, change):
    """Put the table `name`, changed, in place of its file."""
    file = only(root, f"{name}/**/*.parquet")
    path = file.relative_to(root / name).as_posix()
    table = change(pq.read_table(file, partitioning=None))
    put(root, name, path.replace("part-", "part-1-").replace("part-1-0-", "part-1-"), table, remove=[path])


def without(column):
    return lambda table: table.drop_columns([column])


def retyped(column, kind):
    return lambda table: table.set_column(
        table.schema.get_field_index(column), column, pa.array(["1"] * len(table)).cast(kind)
    )


@pytest.mark.parametrize("name", ["models", "layers", "skips", "filters"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("model"), "column model.* is missing|has no column model"),
        (retyped("model", pa.int64()), "column model.* is BIGINT, not VARCHAR|column model is int64, not string"),
    ],
)
def test_other_columns_are_refused_by_name(root, capsys, name, change, message):
    alter(root, name, change)
    with pytest.raises(FilterdbError, match=message):
        filterdb.open(root)
    assert any("column model" in str(damage) for damage in verify(root).damage)
    assert cli.run(["info", "--lake", str(root)]) in (1, 4)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_with_other_columns_among_right_ones_is_refused_before_it_is_read(root):
    table = pq.read_table(only(root, "filters/**/*.parquet"), partitioning=None)
    index = table.schema.get_field_index("w4")
    path = "dataset=x/robust=true/model=local%2Fz/part-0-0123456789abcdef0123456789abcdef.parquet"
    put(root, "filters", path, table.set_column(index, "w4", table["w4"].cast(pa.string())))
    with filterdb.open(root) as db, pytest.raises(IntegrityError, match="its column w4 is string, not float"):
        db.sql("SELECT sum(w4) FROM filters")


def test_rows_that_lie_about_places_read_nothing_beyond_the_file(root):
    def beyond(table):
        index = table.schema.get_field_index("first_row")
        return table.set_column(index, "first_row", pa.array([2**40] * len(table), pa.int64()))

    alter(root, "layers", beyond)
    with filterdb.open(root) as db:
        basis = db.split("w4 > -9").pca()
        assert db.kl("true", "true", basis=basis).is_empty()
    assert any("do not begin where layers says" in str(damage) for damage in verify(root).damage)


def test_not_finite_weights_are_no_traceback(root):
    def with_nan(table):
        index = table.schema.get_field_index("w4")
        return table.set_column(index, "w4", pa.array([np.nan] * len(table), pa.float32()))

    alter(root, "filters", with_nan)
    for command in (["pca", "w4 = w4"], ["kl", "true", "w4 = w4"], ["metrics", "w4 = w4"]):
        assert cli.run([*command, "--lake", str(root)]) in (0, 1, 2)


def test_no_lake_at_all(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file", tmp_path / "nowhere", tmp_path / ("x" * 300)):
        for command in ("info", "verify", "compact", "vacuum"):
            assert cli.run([command, "--lake", str(place)]) == 1
            assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("folder", ["filters/dataset=cifar10", "models"])
def test_nothing_is_written_through_a_link(root, tmp_path, folder):
    (root / folder).rename(tmp_path / "elsewhere")
    (root / folder).symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()}
    with pytest.raises(IntegrityError, match="symbolic link, which a lake has none of: refused"):
        write_network(Lake.create(root), random_network("new", n_layers=2))
    assert {path: path.read_bytes() for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_log_that_is_gone_is_no_new_lake(root, table, run):
    shutil.rmtree(root / table / "_delta_log")
    with pytest.raises(IntegrityError, match=f"the log of {table} is gone: run filterdb verify"):
        filterdb.open(root)
    expected = 0 if table == "pairs" else 4  # a log that had no commit yet can be made anew
    assert run("verify", "--repair", "--lake", root).returncode == expected
