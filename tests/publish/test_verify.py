"""Damage to a tree is found, whatever it is, and named."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filterdb import cli
from filterdb.errors import IntegrityError
from filterdb.lake.release import read_manifest
from filterdb.publish import manifest
from filterdb.publish.metadata import Metadata
from filterdb.publish.names import Profile
from filterdb.publish.tree import write_tree
from filterdb.publish.verify import content_hash, verify

DATA = "data/dataset=cifar10/robust=true/model=local%2Frobust-a/part-0.parquet"


@pytest.fixture
def damaged(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "damaged")


def problems(root):
    return [(problem.path, problem.problem) for problem in verify(root).problems]


def test_a_sound_tree_has_no_problems(tree):
    found = verify(tree)
    assert found.problems == ()
    assert (found.n_files, found.n_networks, found.n_filters) == (14, 3, 378)


def test_a_tree_for_viewers_is_as_sound(lake_root, tmp_path):
    write_tree(lake_root, tmp_path / "viewer", Metadata(), profile=Profile.VIEWER)
    assert verify(tmp_path / "viewer").problems == ()


def flip(file, at=100):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_one_bit_of_any_file_is_noticed(damaged):
    for path in list(manifest.files_below(damaged)):
        if path == "MANIFEST.parquet":
            continue
        flip(damaged / path)
        assert [found for found, _ in problems(damaged)] == [path]
        flip(damaged / path)


def test_what_is_missing_cut_or_added_is_named(damaged):
    (damaged / "README.md").unlink()
    (damaged / "LICENSES.md").write_bytes(b"short")
    shutil.copy(damaged / DATA, damaged / "data" / "copy.parquet")
    assert problems(damaged) == [
        ("LICENSES.md", "has 5 bytes, published were 645"),
        ("README.md", "is missing"),
        ("data/copy.parquet", "is not in the manifest"),
    ]


def test_an_altered_manifest_disagrees_with_the_checksums(damaged):
    version, entries = manifest_of(damaged)
    sums = (damaged / "SHA256SUMS").read_bytes()
    manifest.write(damaged, entries[1:], version)
    (damaged / "SHA256SUMS").write_bytes(sums)
    assert ("SHA256SUMS", "does not agree with the files") in problems(damaged)
    (damaged / "SHA256SUMS").unlink()
    assert ("SHA256SUMS", "is missing") in problems(damaged)


def manifest_of(root):
    return read_manifest(root / "MANIFEST.parquet")


def reseal(root):
    """Make manifest and checksums agree with the files as they are now."""
    version, entries = manifest_of(root)
    models = {entry.path: entry.model for entry in entries}
    manifest.write(root, manifest.entries(root, [entry.path for entry in entries], models), version)


def test_weights_that_are_not_the_networks_are_noticed_even_with_matching_checksums(damaged):
    table = pq.read_table(damaged / DATA, partitioning=None)
    column = table["w4"].to_numpy().copy()
    column[3] = np.nextafter(column[3], np.float32(1))
    pq.write_table(table.set_column(table.schema.get_field_index("w4"), "w4", pa.array(column)), damaged / DATA)
    reseal(damaged)
    assert problems(damaged) == [(DATA, "the weights are not those of local/robust-a")]


def test_rows_that_are_lost_are_noticed_even_with_matching_checksums(damaged):
    pq.write_table(pq.read_table(damaged / DATA, partitioning=None).slice(1), damaged / DATA)
    reseal(damaged)
    assert problems(damaged) == [(DATA, "has 89 filters, meta/models.parquet says 90")]


def test_networks_that_are_not_in_both_places_are_noticed(damaged):
    file = damaged / "meta/models.parquet"
    models = pq.read_table(file)
    pq.write_table(models.filter(pa.compute.field("model") != "local/robust-a"), file)
    (damaged / "data/dataset=cifar10/robust=false/model=local%2Fplain-a/part-0.parquet").unlink()
    version, entries = manifest_of(damaged)
    kept = [entry.path for entry in entries if (damaged / entry.path).exists()]
    manifest.write(damaged, manifest.entries(damaged, kept, {e.path: e.model for e in entries}), version)
    assert problems(damaged) == [
        (DATA, "holds local/robust-a, which is not in meta/models.parquet"),
        ("meta/models.parquet", "names local/plain-a, of which there are no filters"),
    ]


def test_the_content_hash_is_that_of_the_weights(tree):
    models = pq.read_table(tree / "meta/models.parquet").to_pylist()
    known = {row["model"]: row["weights_sha256"] for row in models}
    assert content_hash(tree / DATA) == known["local/robust-a"]


def test_what_is_no_manifest_is_refused(damaged):
    (damaged / "MANIFEST.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match="not the manifest of a published tree"):
        verify(damaged)


def test_a_manifest_that_leads_outside_is_refused(damaged):
    version, entries = manifest_of(damaged)
    manifest.write(damaged, [replace(entries[0], path="../../etc/passwd")], version)
    with pytest.raises(IntegrityError, match=r"names '\.\./\.\./etc/passwd', which is outside the tree"):
        verify(damaged)


def test_a_manifest_without_a_table_is_refused(damaged):
    version, entries = manifest_of(damaged)
    manifest.write(damaged, [entry for entry in entries if entry.path != "meta/pairs.parquet"], version)
    with pytest.raises(IntegrityError, match=r"does not name meta/pairs\.parquet"):
        verify(damaged)


def test_a_manifest_with_other_columns_is_refused(damaged):
    file = damaged / "MANIFEST.parquet"
    table = pq.read_table(file)
    pq.write_table(table.rename_columns(["file", *table.column_names[1:]]), file)
    with pytest.raises(IntegrityError, match="not the manifest of a published tree"):
        verify(damaged)


def test_the_command_says_what_is_wrong_and_ends_with_4(damaged, capsys):
    assert cli.run(["publish", "verify", str(damaged)]) == 0
    assert "all as published" in capsys.readouterr().err
    flip(damaged / DATA)
    assert cli.run(["publish", "verify", str(damaged), "--format", "csv"]) == 4
    captured = capsys.readouterr()
    assert f"{DATA},is not the file that the manifest names: its checksum differs" in captured.out
    assert "1 problems" in captured.err
    assert cli.run(["publish", "verify", str(damaged / "meta")]) == 2
    assert "no published tree in" in capsys.readouterr().err
