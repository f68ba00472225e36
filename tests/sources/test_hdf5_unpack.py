"""A packed file is unpacked beside itself, once, whole or not at all, and never further than it says."""

import lzma
import os
import zlib
from collections import namedtuple

import numpy as np
import pytest

from filterdb.errors import SourceError
from filterdb.sources import hdf5
from tests.sources.published_file import network_rows, write_file


@pytest.fixture
def plain(tmp_path):
    """A file of somewhat more than one chunk."""
    path = tmp_path / "made.h5"
    rows = network_rows(0, "net", (0, 1))
    write_file(path, rows, np.random.default_rng(0).standard_normal((16_000, 3, 3)))
    return path


@pytest.fixture
def packed(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder / "dataset.h5.xz"


def leftovers(packed):
    return [entry.name for entry in packed.parent.iterdir() if entry != packed]


def test_unpacked_once_with_progress(plain, packed):
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    steps = []
    (network,) = hdf5.networks(packed, progress=steps.append)
    assert network.layers[0].read().shape == (2, 9)
    assert sum(steps) == plain.stat().st_size
    assert max(steps) <= 2**20
    assert leftovers(packed) == ["dataset.h5"]
    unpacked = packed.with_suffix("")
    assert unpacked.read_bytes() == plain.read_bytes()
    before = unpacked.stat().st_mtime_ns
    assert hdf5.unpacked(packed) == unpacked
    assert unpacked.stat().st_mtime_ns == before


def test_other_files_are_left_as_they_are(plain):
    assert hdf5.unpacked(plain) == plain


def test_several_streams_in_one_file(plain, packed):
    content = plain.read_bytes()
    packed.write_bytes(lzma.compress(content[:400_000], preset=0) + lzma.compress(content[400_000:], preset=0))
    assert hdf5.unpacked(packed).read_bytes() == content


def test_cut_off(plain, packed):
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0)[:-100_000])
    with pytest.raises(SourceError, match=r"dataset.h5.xz: .* does not hold the .* bytes that its header states"):
        hdf5.unpacked(packed)
    assert leftovers(packed) == []


def test_damaged(plain, packed):
    content = bytearray(lzma.compress(plain.read_bytes(), preset=0))
    content[len(content) // 2] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(SourceError, match=r"dataset.h5.xz: cannot be unpacked beside it: Corrupt input data"):
        hdf5.unpacked(packed)
    assert leftovers(packed) == []


@pytest.mark.parametrize("content", [b"", b"<html>", lzma.compress(b"filters\n"), lzma.compress(b"\x89HDF\r\n\x1a\n")])
def test_no_hdf5_inside(packed, content):
    packed.write_bytes(content)
    with pytest.raises(SourceError, match=r"dataset\.h5\.xz: cannot be unpacked"):
        hdf5.unpacked(packed)
    assert leftovers(packed) == []


def test_missing(tmp_path):
    with pytest.raises(SourceError, match=r"No such file"):
        hdf5.unpacked(tmp_path / "dataset.h5.xz")


def test_bomb_stops_at_the_size_that_the_header_states(plain, packed):
    zeros = lzma.compress(bytes(10_000_000))
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0) + zeros * 50)
    written = []
    with pytest.raises(SourceError, match=r"does not hold the .* bytes that its header states"):
        hdf5.unpacked(packed, written.append)
    assert sum(written) <= plain.stat().st_size
    assert leftovers(packed) == []


def test_no_room(plain, packed, monkeypatch):
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "total used free")(1, 1, 1_000))
    with pytest.raises(SourceError, match=r"unpacks to 1,1.* bytes, 1,000 are free"):
        hdf5.unpacked(packed)
    assert leftovers(packed) == []


def test_memory_that_decompression_may_ask_for(plain, packed):
    """A header that claims a dictionary of 4 GiB."""
    content = bytearray(lzma.compress(plain.read_bytes(), preset=0))
    block = 12
    length = (content[block] + 1) * 4
    assert content[block + 2 : block + 4] == b"\x21\x01"  # LZMA2, one byte of properties
    content[block + 4] = 40
    content[block + length - 4 : block + length] = zlib.crc32(content[block : block + length - 4]).to_bytes(4, "little")
    packed.write_bytes(content)
    with pytest.raises(SourceError, match=r"Memory usage limit exceeded"):
        hdf5.unpacked(packed)


def test_interrupted(plain, packed):
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))

    def interrupt(size):
        assert [name for name in leftovers(packed) if str(os.getpid()) in name]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hdf5.unpacked(packed, interrupt)
    assert leftovers(packed) == []
