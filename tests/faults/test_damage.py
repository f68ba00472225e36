"""Damage of every kind to every kind of file: named by verify, never answered wrongly, repaired by dropping it."""

import json
import os
import random

import pytest
from deltalake import DeltaTable

import filterdb
from bench.faults import contents
from filterdb import cli
from filterdb.errors import FilterdbError, IntegrityError
from filterdb.lake import commits
from filterdb.lake import repair as repair_module
from filterdb.lake.lake import Lake
from filterdb.lake.log import TableLog
from filterdb.lake.repair import repair
from filterdb.lake.verify import verify
from filterdb.lake.writer import write_network
from tests.faults.conftest import ingest_again
from tests.networks import random_network

NETWORK = "filters/**/model=local%2Frobust/*.parquet"
FILES = (
    NETWORK,
    "layers/*.parquet",
    "models/*.parquet",
    "skips/*.parquet",
    "filters/_delta_log/*0.json",
    "filters/_delta_log/*2.json",
    "filters/_delta_log/*4.json",
    "layers/_delta_log/*3.json",
    "pairs/_delta_log/*0.json",
    "filters/_head.json",
    "models/_head.json",
)


def flip(path, root):
    content = bytearray(path.read_bytes())
    content[random.Random(path.name).randrange(len(content))] ^= 4
    path.write_bytes(content)


def truncate(path, root):
    os.truncate(path, path.stat().st_size // 2)


def empty(path, root):
    os.truncate(path, 0)


def delete(path, root):
    path.unlink()


def swap(path, root):
    mine = path.read_bytes()
    candidates = [file for file in sorted(root.rglob(f"*{path.suffix}")) if file.read_bytes() != mine]
    other = random.Random(path.name).choice(candidates)
    path.write_bytes(other.read_bytes())
    other.write_bytes(mine)


def find(root, pattern):
    return min(root.glob(pattern))


def answer(root):
    """What the lake shows, or the error in place of it."""
    try:
        return contents(root)
    except FilterdbError as error:
        return error


@pytest.fixture(scope="module")
def before(made):
    return contents(made)


@pytest.mark.parametrize("damage", [flip, truncate, empty, delete, swap])
@pytest.mark.parametrize("pattern", FILES)
def test_damage_is_named_and_never_answered_wrongly(root, before, pattern, damage):
    path = find(root, pattern)
    damage(path, root)
    assert path.relative_to(root).as_posix() in {each.file for each in verify(root).damage}
    answered = answer(root)
    if pattern.endswith(".parquet"):
        assert isinstance(answered, IntegrityError)
    assert isinstance(answered, IntegrityError) or answered == before
    assert "\n" not in str(answered)


@pytest.mark.parametrize(
    ("pattern", "damage"), [*((pattern, delete) for pattern in FILES), (FILES[1], swap), (FILES[5], flip)]
)
def test_repair_drops_what_is_damaged_and_ingesting_again_restores_it(made, root, before, pattern, damage):
    damage(find(root, pattern), root)
    said = []
    repair(root, verify(root), said.append)
    assert said
    assert not verify(root).damage
    once_there = {item for version in range(5) for item in contents(made, version).items()}
    assert contents(root).items() <= once_there
    ingest_again(root)
    assert contents(root) == before


def test_a_changed_byte_is_noticed_though_size_and_time_are_as_before(root):
    path = find(root, NETWORK)
    contents(root)
    times = path.stat()
    flip(path, root)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(IntegrityError, match="its content was altered: SHA-256"):
        contents(root)


def test_damage_done_while_the_lake_is_open_is_noticed(root):
    with filterdb.open(root) as db:
        query = "SELECT sum(w4) FROM filters"
        db.sql(query).fetchall()
        flip(find(root, NETWORK), root)
        with pytest.raises(IntegrityError):
            db.sql(query)


def test_files_that_a_question_does_not_read_do_not_matter_to_it(root):
    flip(find(root, "filters/**/model=local%2Fthird/*.parquet"), root)
    with filterdb.open(root) as db:
        basis = db.split("true").pca()
        assert basis.n > 0
        assert db.kl("model = 'local/robust'", "model = 'local/plain'", basis=basis)["n_p"][0] > 0
        with pytest.raises(IntegrityError, match="network local/third"):
            db.kl("model = 'local/robust'", "model = 'local/third'", basis=basis)
        with pytest.raises(IntegrityError, match="network local/third"):
            db.split("w4 > 0").count()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM filters",
        "SELECT max(w0) FROM filter_facts",
        "SELECT count(*) FROM read_parquet('{root}/filters/*/*/*/*.parquet')",
        "SELECT count(*) FROM '{root}/filters/*/*/*/*.parquet'",
        'SELECT count(*) FROM "FILTERS"',
        "SELECT count(*) FROM stored.filters",
    ],
)
def test_no_way_to_a_damaged_file_leads_round_the_check(root, query):
    flip(find(root, NETWORK), root)
    with filterdb.open(root) as db, pytest.raises(IntegrityError):
        db.sql(query.replace("{root}", str(root))).fetchall()


@pytest.mark.parametrize(
    "command",
    [
        ("sql", "SELECT avg(w4) FROM filters"),
        ("sql", "SELECT avg(w4) FROM filters", "-o", "out.parquet"),
        ("pca", "w4 > 0"),
        ("kl", "robust", "NOT robust"),
        ("metrics", "w4 > 0", "--by", "model"),
    ],
)
def test_commands_name_file_and_network_in_one_line(root, capsys, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    path = find(root, NETWORK)
    flip(path, root)
    assert cli.run(["--lake", str(root), *command]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"filterdb: {path.relative_to(root)} (network local/robust): its content was altered")
    assert err.count("\n") == 1


def test_the_verify_command(root, capsys):
    arguments = ["verify", "--lake", str(root), "--format", "json"]
    assert cli.run(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert "3 networks, 16 files" in err
    assert "all as committed" in err
    path = find(root, NETWORK)
    flip(path, root)
    assert cli.run(arguments) == 4
    (record,) = json.loads(capsys.readouterr().out)
    assert record["file"] == path.relative_to(root).as_posix()
    assert record["network"] == "local/robust"
    assert record["problem"].startswith("its content was altered")
    assert cli.run([*arguments, "--repair"]) == 0
    assert "network local/robust: dropped, ingest it again" in capsys.readouterr().err
    assert cli.run(arguments) == 0


def test_what_is_repaired_is_set_aside_not_deleted(root):
    path = find(root, NETWORK)
    flip(path, root)
    content = path.read_bytes()
    repair(root, verify(root), lambda step: None)
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content


@pytest.mark.parametrize("pattern", FILES[:4])
def test_repair_leaves_other_networks_as_they_were(root, before, pattern):
    flip(find(root, pattern), root)
    repair(root, verify(root), lambda step: None)
    left = contents(root)
    assert left.items() <= before.items()
    assert len(left) >= len(before) - 1


def test_a_damaged_footer_of_the_file_that_is_opened_first_is_named(tmp_path):
    root = tmp_path / ("long-" * 40) / "a.lake"
    write_network(Lake.create(root), random_network("one", n_layers=2))
    file = find(root, "filters/**/*.parquet")
    content = file.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    for place in range(len(content) - footer, len(content), 149):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(IntegrityError, match=r"local/one\): its content was altered"), filterdb.open(root) as db:
            db.split("w4 > 0").count()
    file.write_bytes(content)
    with filterdb.open(root) as db:
        assert db.split("w4 > 0").count() > 0


def test_damage_to_an_older_version_is_named_and_the_newest_still_answers(root, before):
    current = {commit.file for commit in Lake(root).commits()}
    (former,) = set(root.glob("filters/**/*.parquet")) - current
    content = bytearray(former.read_bytes())
    content[100] ^= 4
    former.write_bytes(content)
    (found,) = verify(root).damage
    assert (found.file, found.model) == (former.relative_to(root).as_posix(), "local/plain")
    assert contents(root) == before
    with pytest.raises(IntegrityError, match="network local/plain"):
        contents(root, 2)
    repair(root, verify(root), lambda step: None)
    assert not verify(root).damage
    assert contents(root) == before


LAST_STEPS = {
    "nothing is done": (commits, "write_head"),
    "the new log is begun": (TableLog, "commit"),
    "the old log is set aside": (repair_module, "_finish_rebuilding"),
    "the new log is in its place": (repair_module, "_write_head_anew"),
}


@pytest.mark.parametrize("step", LAST_STEPS)
def test_a_repair_that_was_cut_off_is_finished_by_the_next(root, before, monkeypatch, step):
    """The log of the filters is made anew; the kill comes when as much is done as `step` says."""

    def cut_off(*args, **kwargs):
        raise KeyboardInterrupt

    delete(find(root, "filters/_delta_log/*2.json"), root)
    found = verify(root)
    with monkeypatch.context() as patch:
        patch.setattr(*LAST_STEPS[step], cut_off)
        with pytest.raises(KeyboardInterrupt):
            repair(root, found, lambda step: None)
    assert isinstance(answer(root), FilterdbError)
    repair(root, verify(root), lambda step: None)
    assert not verify(root).damage
    assert contents(root).items() <= before.items()
    ingest_again(root)
    assert contents(root) == before


def test_rows_lost_after_compaction_are_found_in_the_files_it_was_made_from(compacted):
    before = contents(compacted)
    (current,) = commits.files_at(compacted / "layers", commits.newest(compacted / "layers"))
    delete(compacted / "layers" / current, compacted)
    found = verify(compacted)
    assert isinstance(answer(compacted), IntegrityError)
    said = []
    repair(compacted, found, said.append)
    assert said == [f"layers/{current}: dropped, its rows are still in the 4 files it was made from"]
    assert contents(compacted) == before


@pytest.mark.parametrize("damage", [flip, truncate, empty])
def test_a_damaged_checkpoint_is_done_without(root, damage):
    before = contents(root)
    DeltaTable(root / "filters").create_checkpoint()
    damage(find(root, "filters/_delta_log/*.checkpoint.parquet"), root)
    found = verify(root)
    answered = answer(root)
    assert isinstance(answered, IntegrityError) or answered == before
    repair(root, found, lambda step: None)
    assert not verify(root).damage
    assert contents(root) == before


def test_a_row_that_contradicts_the_filters_is_named(root):
    """Not a damaged file, but tables that say different things of a network."""
    from filterdb.lake import schema

    log = TableLog(root / "layers")
    path = find(root, f"layers/*{Lake(root).commits()[0].ingest_id}*").name
    log.commit(schema.table("layers").arrow, [], remove=[path])
    (found,) = verify(root).damage
    assert "layers has 0 rows of it, models says 3" in found.problem


def test_leftovers_of_writes_are_mentioned_and_harm_nothing(root, capsys):
    (root / "filters" / "part-0-cut-off.parquet").write_bytes(b"PAR1")
    (root / "models" / ".part-x.parquet.tmp").write_bytes(b"")
    assert cli.run(["verify", "--lake", str(root)]) == 0
    assert "2 files (0.0 MB) of no commit" in capsys.readouterr().err


def test_checking_works_without_a_cache(root, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FILTERDB_CACHE", str(tmp_path / "file" / "cache"))
    assert len(contents(root)) == 3
    flip(find(root, NETWORK), root)
    with pytest.raises(IntegrityError):
        contents(root)
