"""What `doctor --parquet` and the profiles rest on: files examined, and written for two kinds of reader."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filterdb import cli
from filterdb.errors import IntegrityError, UsageError
from filterdb.publish import parquet
from filterdb.publish.names import Profile
from filterdb.publish.parquet import examine, rewrite, write


def table(rows=1000, layers=4):
    rng = np.random.default_rng(0)
    columns = {"model": ["m"] * rows, "layer": np.sort(rng.integers(0, layers, rows)).astype(np.int32)}
    return pa.table(columns | {f"w{i}": rng.normal(size=rows).astype(np.float32) for i in range(9)})


def test_files_of_a_tree_are_fit_for_what_they_were_written_for(tree):
    found = examine(tree)
    assert [each.problems(Profile.ANALYSIS) for each in found] == [[]] * 8
    assert [each.problems(Profile.VIEWER) for each in found if each.is_filters] == [["floats not split by byte"]] * 3


def test_doctor_tells_it(tree, tmp_path, capsys):
    assert cli.run(["doctor", "--parquet", str(tree), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["compression"] for row in rows if "/data/" in row["file"]} == {"UNCOMPRESSED"}
    assert all(row["page_index"] and row["sorted_by"] and not row["problems"] for row in rows)
    assert cli.run(["doctor", "--parquet", str(tree), "--for", "viewer"]) == 1
    assert "floats not split by byte" in capsys.readouterr().out
    assert cli.run(["doctor", "--parquet", str(tmp_path)]) == 2


def test_a_rewritten_file_is_fit_for_viewers_and_holds_the_same(tree, tmp_path):
    (source,) = [file for file in tree.rglob("part-0.parquet") if "plain-a" in str(file)]
    rewrite(source, tmp_path / "viewer.parquet")
    (found,) = examine(tmp_path / "viewer.parquet")
    assert found.problems(Profile.VIEWER) == []
    assert found.encodings == ("BYTE_STREAM_SPLIT",)
    assert found.compression == ("ZSTD",)
    assert found.sorted_by == "layer"
    read = [
        pq.read_table(file, partitioning=None).cast(pq.read_schema(source))
        for file in (source, tmp_path / "viewer.parquet")
    ]
    assert read[0].equals(read[1])


def test_row_groups_for_viewers_are_small(tmp_path, monkeypatch):
    monkeypatch.setitem(parquet.ROW_GROUP_ROWS, Profile.VIEWER, 300)
    write(tmp_path / "large.parquet", [table()], table().schema)
    rewrite(tmp_path / "large.parquet", tmp_path / "small.parquet")
    groups = pq.ParquetFile(tmp_path / "small.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [300, 300, 300, 100]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write(tmp_path / name, [table()], table().schema.with_metadata({"k": "v"}))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.read_metadata(tmp_path / "a").metadata[b"k"] == b"v"


@pytest.mark.parametrize(
    ("options", "profile", "problem"),
    [
        ({"use_dictionary": True}, Profile.ANALYSIS, "dictionary pages on floats"),
        ({"use_dictionary": False, "write_page_index": False}, Profile.ANALYSIS, "no page index"),
        ({"use_dictionary": False, "write_statistics": False}, Profile.ANALYSIS, "no statistics"),
        ({"use_dictionary": False, "compression": "zstd"}, Profile.ANALYSIS, "floats compressed"),
        ({"use_dictionary": False, "compression": "none"}, Profile.VIEWER, "floats not split by byte"),
    ],
)
def test_what_makes_a_file_unfit_is_named(tmp_path, options, profile, problem):
    pq.write_table(table(), tmp_path / "x.parquet", **({"write_page_index": True, "compression": "none"} | options))
    assert problem in examine(tmp_path / "x.parquet")[0].problems(profile)


def test_order_is_proven_by_the_values_across_row_groups(tmp_path):
    right = table()
    wrong = pa.concat_tables([right.slice(500), right.slice(0, 500)])
    for name, rows in (("right", right), ("wrong", wrong)):
        pq.write_table(rows, tmp_path / f"{name}.parquet", row_group_size=250)
    (found, other) = examine(tmp_path)
    assert (found.sorted_by, other.sorted_by) == ("layer", None)
    assert "not sorted" in other.problems(Profile.ANALYSIS)
    assert "not sorted" not in found.problems(Profile.ANALYSIS)


def test_too_large_row_groups_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(parquet.ROW_GROUP_BYTES, Profile.VIEWER, 1000)
    write(tmp_path / "x.parquet", [table()], table().schema)
    assert "a row group of" in examine(tmp_path / "x.parquet")[0].problems(Profile.VIEWER)[0]


def test_what_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no Parquet file there"):
        examine(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not")
    with pytest.raises(IntegrityError, match="cannot be read as Parquet"):
        examine(tmp_path)
