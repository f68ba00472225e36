"""Files of weights: every format and what people put into them, and a clear word about everything else."""

import argparse
import collections
import io
import math
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from filterdb.errors import SourceError
from filterdb.sources import tensors
from filterdb.sources.checkpoint import read_checkpoint

MEBIBYTE = 2**20
STORED_DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
RETYPED_DTYPES = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]
SMAPS = Path("/proc/self/smaps_rollup")


class Hyperparameters:
    def __init__(self) -> None:
        self.learning_rate, self.owner = 0.1, self


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.tied = self.conv
        self.register_buffer("scale", torch.ones(1))
        self.parent = [self]


def save_zip(value, path):
    torch.save(value, path)


def save_stream(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def save_tar(value, path):
    """A flat state_dict as torch 0.1 wrote it: tensors and storages apart, the pickle refers to them by number."""
    numbers = {name: number for number, name in enumerate(value)}
    storages, tensor_table = io.BytesIO(), io.BytesIO()
    pickle.dump(len(value), storages, 2)
    pickle.dump(len(value), tensor_table, 2)
    for name, tensor in value.items():
        pickle.dump((100 + numbers[name], "cpu", torch.FloatStorage), storages, 2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.contiguous().numpy().tobytes())
        pickle.dump((numbers[name], 100 + numbers[name], torch.FloatTensor), tensor_table, 2)
        sizes = (*tensor.shape, *tensor.contiguous().stride(), 0)
        tensor_table.write(struct.pack(f"<i4x{len(sizes)}q", tensor.ndim, *sizes))
    pickle.dump([], storages, 2)
    state = b"}(" + b"".join(b"U" + bytes([len(k)]) + k.encode() + f"K{chr(n)}Q".encode() for k, n in numbers.items())
    parts = {"pickle": b"\x80\x02" + state + b"u.", "tensors": tensor_table.getvalue(), "storages": storages.getvalue()}
    with tarfile.open(path, "w:") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def save_safetensors(value, path):
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in value.items()}, path)


FORMATS = [save_zip, save_stream, save_tar, save_safetensors]


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(0)
    shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "odd": (5, 7), "scalar": (), "empty": (0, 3)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("save", FORMATS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".tar", ".safetensors"])
def test_every_format_under_every_name(tmp_path, state, save, suffix):
    path = tmp_path / f"file{suffix}"
    save(state, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.path == path
    assert checkpoint.unread == ()
    assert_same(checkpoint.tensors, state)


@pytest.mark.parametrize(
    ("save", "dtype"),
    [(save, dtype) for save in (save_zip, save_stream) for dtype in STORED_DTYPES]
    + [(save_zip, dtype) for dtype in RETYPED_DTYPES],
)
def test_every_dtype_is_what_torch_reads(tmp_path, save, dtype):
    save({"value": torch.arange(6).reshape(2, 3).to(dtype)}, tmp_path / "file.pt")
    found = read_checkpoint(tmp_path / "file.pt").tensors["value"]
    expected = torch.load(tmp_path / "file.pt", weights_only=True)["value"]
    assert (found.dtype, found.shape) == (dtype, (2, 3))
    assert bytes(found.reshape(-1).view(torch.uint8)) == bytes(expected.reshape(-1).view(torch.uint8))


@pytest.mark.parametrize("save", [save_zip, save_stream])
def test_views_of_one_storage(tmp_path, save):
    whole = torch.arange(24.0).reshape(4, 6)
    views = {"whole": whole, "transposed": whole.T, "part": whole[1:3, 2:4], "column": whole[:, 5], "last": whole[3, 5]}
    save(views, tmp_path / "file.pt")
    assert_same(read_checkpoint(tmp_path / "file.pt").tensors, views)


@pytest.mark.parametrize("save", [save_zip, save_stream])
def test_what_people_save_beside_the_weights(tmp_path, state, save):
    everything = {
        "state_dict": collections.OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()),
        "args": argparse.Namespace(lr=0.1, model=[nn.Conv2d]),
        "hyper_parameters": Hyperparameters(),
        "best": np.float64(93.1),
        "epoch": 3,
        "history": collections.defaultdict(list, loss=[0.1, 0.2], teacher=[torch.ones(2)]),
        "averages": [{"weight": torch.zeros(2)}],
        "parameter": nn.Parameter(torch.ones(3)),
        "mean": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "texts": np.array(["a", "b"]),
        "objects": np.array([Hyperparameters()], dtype=object),
        "big_endian": np.arange(3, dtype=">f4"),
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        3: {(1, 2): torch.zeros(1)},
    }
    save(everything, tmp_path / "last.ckpt")
    checkpoint = read_checkpoint(tmp_path / "last.ckpt")
    expected = {f"state_dict.module.{name}": tensor for name, tensor in state.items()} | {
        "history.teacher.0": torch.ones(2),
        "averages.0.weight": torch.zeros(2),
        "parameter": torch.ones(3),
        "mean": torch.arange(6.0).reshape(2, 3),
        "columns": torch.arange(6).reshape(2, 3),
        "3.<key 0>": torch.zeros(1),
    }
    assert_same(checkpoint.tensors, expected)
    assert checkpoint.unread == (
        "argparse.Namespace",
        f"{__name__}.Hyperparameters",
        "torch.nn.modules.conv.Conv2d",
    )


@pytest.mark.parametrize("save", [save_zip, save_stream])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_module_pickled_whole_has_the_names_of_its_state_dict(tmp_path, save):
    module = nn.DataParallel(nn.Sequential(Block(), nn.ParameterList([torch.ones(2)])))
    save(module, tmp_path / "model.pth")
    checkpoint = read_checkpoint(tmp_path / "model.pth")
    assert_same(checkpoint.tensors, module.state_dict())
    assert f"{__name__}.Block" in checkpoint.unread


def test_a_plain_pickle_of_arrays(tmp_path):
    arrays = {"a": np.ones((2, 3), np.float32), "b": [np.arange(4, dtype=np.uint8)]}
    for protocol in (2, 3, 4):
        (tmp_path / "file.pkl").write_bytes(pickle.dumps(arrays, protocol))
        expected = {"a": torch.ones(2, 3), "b.0": torch.arange(4, dtype=torch.uint8)}
        assert_same(read_checkpoint(tmp_path / "file.pkl").tensors, expected)


def test_tensors_that_carry_their_storage_within_a_plain_pickle_are_left_unread(tmp_path):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps({"a": torch.ones(2)}, 2))
    with pytest.raises(SourceError, match=r"holds no tensors \(only .*torch.storage._load_from_bytes.*torch.save"):
        read_checkpoint(tmp_path / "file.pkl")


def old_tensor(state: bytes) -> bytes:
    """Tensors of torch 0.1 to 0.3: an object whose state is (storage, offset, size, stride)."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    return (
        b"\x80\x02}X\x01\x00\x00\x00a"
        + state.replace(b"STATE", b"(" + storage + b"K\x00K\x02K\x03\x86K\x03K\x01\x86t")
        + b"s."
    )


@pytest.mark.parametrize(
    "state",
    [
        b"ctorch\nFloatTensor\n)\x81STATEb",
        b"ctorch.cuda\nFloatTensor\n)\x81STATEb",
        b"ctorch.autograd.variable\nVariable\nctorch\nFloatTensor\n)\x81STATEb\x85R",
        b"ctorch.nn.parameter\nParameter\n)\x81(ctorch\nFloatTensor\n)\x81STATEb\x88\x89N}tb",
    ],
)
def test_tensors_of_the_first_torch(tmp_path, state):
    content = torch.arange(6.0).numpy().tobytes()
    write_zip(tmp_path / "old.pt", {"x/data.pkl": old_tensor(state), "x/data/0": content})
    assert_same(read_checkpoint(tmp_path / "old.pt").tensors, {"a": torch.arange(6.0).reshape(2, 3)})


def test_storages_may_be_views_of_others(tmp_path):
    """The view metadata that torch before 0.4 wrote into its persistent ids."""
    view = b"(X\x01\x00\x00\x009K\x02K\x03t"
    storage = b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x06"
    identifier = b"(" + storage + view + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + identifier + b"K\x01K\x02\x85K\x01\x85tR"
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    parts += [b"\x80\x02]" + tensor + b"a.", pickle.dumps(["7"], 2), struct.pack("<q6f", 6, *range(6))]
    (tmp_path / "old.pt").write_bytes(b"".join(parts))
    assert_same(read_checkpoint(tmp_path / "old.pt").tensors, {"0": torch.tensor([3.0, 4.0])})


def resident_private_memory() -> int:
    lines = SMAPS.read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


@pytest.mark.parametrize("save", [save_zip, save_safetensors])
@pytest.mark.skipif(not SMAPS.exists(), reason="needs Linux")
def test_tensors_are_mapped_not_copied(tmp_path, save):
    save({"weight": torch.ones(16 * MEBIBYTE)}, tmp_path / "file")
    before = resident_private_memory()
    weight = read_checkpoint(tmp_path / "file").tensors["weight"]
    assert float(weight[:: 2**10].sum()) == weight.numel() / 2**10
    assert resident_private_memory() - before < 8 * MEBIBYTE


def test_writing_to_a_tensor_leaves_the_file_alone(tmp_path, state):
    save_zip(state, tmp_path / "file.pt")
    before = (tmp_path / "file.pt").read_bytes()
    read_checkpoint(tmp_path / "file.pt").tensors["conv.weight"].zero_()
    assert (tmp_path / "file.pt").read_bytes() == before


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refused(path) -> str:
    with pytest.raises(SourceError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty (0 bytes); download it again"),
        (b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded", "it is an HTML page, not a checkpoint (a"),
        (b"\n  <html>", "it is an HTML page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n",
            "it is a Git LFS pointer, not the",
        ),
        (b"\x1f\x8b\x08rest", "it is compressed with gzip; unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file"),
        (b"PAR1rest", "it is a Parquet file; filters in a table go in with: filterdb ingest table"),
        (b"just text", "it begins with b'just tex', which is neither a torch nor a .safetensors file"),
        (b"PK\x03\x04 and then nothing", "it begins like a zip but has no directory at its end (21 bytes): it was cut"),
        (b"\x80\x02}q\x00.", "it holds no tensors; save the network's state_dict()"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{not json", "it is a damaged or cut-off .safetensors file ("),
    ],
)
def test_other_files_are_called_by_name(tmp_path, content, message):
    (tmp_path / "file.pt").write_bytes(content)
    assert refused(tmp_path / "file.pt").startswith(message)


def test_missing_files_and_directories(tmp_path):
    assert refused(tmp_path / "absent.pt") == "there is no such file"
    assert refused(tmp_path) == "it is a directory; name the checkpoint file in it"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            ("net/constants.pkl", "net/code/a.py", "net/data.pkl"),
            "it is a TorchScript archive, code and all: load it with torch",
        ),
        (
            ("a.npy", "b.npy"),
            "it is a zip that torch.save did not write (no data.pkl; it holds a.npy, b.npy); unpack it",
        ),
        ((), "it is a zip that torch.save did not write (no data.pkl; it holds nothing)"),
    ],
)
def test_other_zips_are_called_by_name(tmp_path, members, message):
    write_zip(tmp_path / "file.pt", dict.fromkeys(members, b"x") or {})
    if not members:
        (tmp_path / "file.pt").write_bytes(b"PK\x03\x04" + (tmp_path / "file.pt").read_bytes())
    assert refused(tmp_path / "file.pt").startswith(message)


def test_other_tars_are_called_by_name(tmp_path, state):
    save_zip(state, tmp_path / "weights.pt")
    with tarfile.open(tmp_path / "file.tar", "w") as archive:
        archive.add(tmp_path / "weights.pt", "weights.pt")
    assert "torch.save did not write (it holds weights.pt); unpack it" in refused(tmp_path / "file.tar")


def test_zip_bombs_are_not_unpacked(tmp_path):
    bomb = b"\0" * (16 * MEBIBYTE)
    write_zip(tmp_path / "bomb.pt", {"x/data.pkl": bomb, "x/data/0": bomb}, compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < MEBIBYTE
    assert refused(tmp_path / "bomb.pt").startswith(
        "its member x/data.pkl is compressed or encrypted, which torch.save"
    )


def test_numbers_of_the_other_byte_order_are_refused(tmp_path):
    write_zip(tmp_path / "file.pt", {"x/data.pkl": b"\x80\x02}.", "x/byteorder": b"big"})
    assert "big-endian" in refused(tmp_path / "file.pt")
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}, {}, [])]
    (tmp_path / "old.pt").write_bytes(b"".join(parts))
    assert "big-endian" in refused(tmp_path / "old.pt")


def tensor_program(size, stride, *, offset=0, numbers=6, key="0") -> bytes:
    storage = ("storage", Name("torch", "FloatStorage"), key, "cpu", numbers)
    stream = io.BytesIO()
    pickler = StoragePickler(stream, 2)
    pickler.dump({"a": Rebuilt((Storage(storage), offset, size, stride, False, {}))})
    return stream.getvalue()


class Name:
    def __init__(self, module, name) -> None:
        self.module, self.name = module, name

    def __reduce__(self):
        return getattr(__import__(self.module), self.name)


class Storage:
    def __init__(self, identifier) -> None:
        self.identifier = tuple(getattr(torch, part.name) if isinstance(part, Name) else part for part in identifier)


class Rebuilt:
    def __init__(self, arguments) -> None:
        self.arguments = arguments

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


class StoragePickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.identifier if isinstance(value, Storage) else None


def test_hand_made_tensors_are_read(tmp_path):
    numbers = torch.arange(6.0)
    write_zip(
        tmp_path / "file.pt",
        {"x/data.pkl": tensor_program((2, 2), (1, 3), offset=1), "x/data/0": bytes(numbers.numpy())},
    )
    assert_same(read_checkpoint(tmp_path / "file.pt").tensors, {"a": torch.tensor([[1.0, 4.0], [2.0, 5.0]])})


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (7,), "stride": (1,)},
        {"size": (6,), "stride": (1,), "offset": 1},
        {"size": (2, 3), "stride": (3, 2)},
        {"size": (2,), "stride": (2**62,)},
        {"size": (2**31, 2**31), "stride": (0, 0)},
        {"size": (2**40, 3, 3, 3), "stride": (27, 9, 3, 1)},
        {"size": (2**40,), "stride": (1,), "numbers": 2**40},
        {"size": (2,), "stride": (-1,)},
        {"size": (-1,), "stride": (1,)},
        {"size": (1,), "stride": (1,), "offset": -1},
        {"size": (1,), "stride": (1,), "numbers": -1},
        {"size": (1,), "stride": (1, 1)},
        {"size": (1,) * 65, "stride": (1,) * 65},
        {"size": (0, 2**63), "stride": (1, 1)},
        {"size": ("a",), "stride": (1,)},
        {"size": (1.5,), "stride": (1,)},
        {"size": None, "stride": None},
        {"size": (1,), "stride": (1,), "offset": "x"},
        {"size": (1,), "stride": (1,), "key": "absent"},
        {"size": (1,), "stride": (1,), "numbers": "many"},
    ],
)
def test_tensors_that_the_file_cannot_hold_are_refused_before_any_memory_is_taken(tmp_path, arguments):
    write_zip(tmp_path / "file.pt", {"x/data.pkl": tensor_program(**arguments), "x/data/0": bytes(24)})
    message = refused(tmp_path / "file.pt")
    assert message.startswith(("its tensor a is malformed", "it is damaged", "its pickle is damaged"))
    assert message.endswith("download it again")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (save_zip, "it begins like a zip but has no directory at its end ("),
        (save_stream, "it is cut off: storage "),
        (save_tar, "it is a damaged tar (ReadError: unexpected end of data)"),
        (save_safetensors, "it is a damaged or cut-off .safetensors file (SafetensorError: "),
    ],
)
def test_files_cut_off_among_their_numbers(tmp_path, save, message):
    save({"weight": torch.ones(10_000)}, tmp_path / "file.pt")
    content = (tmp_path / "file.pt").read_bytes()
    (tmp_path / "file.pt").write_bytes(content[: len(content) * 2 // 3])
    assert refused(tmp_path / "file.pt").startswith(message)


def test_objects_that_repeat_themselves_without_end_are_refused(tmp_path, monkeypatch):
    """Ten lists, each holding the next a hundred times: a hundred lines of pickle, 10^20 paths."""
    laughs: list = [torch.ones(1)]
    for _ in range(10):
        laughs = [laughs] * 100
    save_zip(laughs, tmp_path / "file.pt")
    monkeypatch.setattr(tensors, "MAXIMUM_CONTAINERS", 10_000)
    assert "more than 10,000 parts or names" in refused(tmp_path / "file.pt")


def test_objects_nested_without_end_are_refused(tmp_path):
    deep: list = [torch.ones(1)]
    for _ in range(200):
        deep = [deep]
    save_zip(deep, tmp_path / "file.pt")
    assert "nested more than 100 deep" in refused(tmp_path / "file.pt")


def test_endless_keys_are_refused(tmp_path):
    """A megabyte of key above a thousand tensors would be a gigabyte of names."""
    save_zip({"k" * MEBIBYTE: [torch.ones(1)] * 1000}, tmp_path / "file.pt")
    assert "names of more than 1,000 characters" in refused(tmp_path / "file.pt")


@pytest.mark.parametrize("save", [save_zip, save_stream])
def test_code_in_a_checkpoint_is_refused_not_run(tmp_path, state, save):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    for attack in (Attack(), {"state_dict": state, "args": Attack()}, [collections.OrderedDict(a=[Attack()])]):
        save(attack, tmp_path / "file.pt")
        message = refused(tmp_path / "file.pt")
        assert "asks for posix.system to be called on loading: refused, nothing was run" in message
        assert "safetensors.torch.save_file" in message
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("save", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_named_or_harmless(tmp_path, save, data):
    path = tmp_path / "file.pt"
    save({"weight": torch.arange(54.0).reshape(2, 3, 3, 3), "bias": torch.ones(2)}, path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, max(0, len(content) - 1)))
        content[position : position + 1] = data.draw(st.binary(min_size=1, max_size=1))
    path.write_bytes(content)
    try:
        found = read_checkpoint(path).tensors
    except SourceError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    else:
        assert all(math.prod(tensor.shape) <= len(content) for tensor in found.values())


def test_what_a_file_says_is_made_fit_to_print(tmp_path):
    names = [b"\x1b[31mred\x07" + b"x" * 900, b"pkg Attack\x1b[2J"]
    for name in names:
        (tmp_path / "file.pkl").write_bytes(b"\x80\x02ca\n" + name + b"\n)R.")
        message = refused(tmp_path / "file.pkl")
        assert message.isprintable()
        assert len(message) < 500
    write_zip(tmp_path / "file.zip", {"\x1b[31m\n" * 100: b""})
    assert refused(tmp_path / "file.zip").isprintable()


def array_program(shape: bytes, content: bytes, *, times: int = 1) -> bytes:
    """A list of `times` numpy arrays of float32 that share their content."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
        + shape
        + b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89h\x01tb"
    )
    return b"\x80\x02" + content + b"q\x010](" + array * times + b"e."


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        (b"K\x02\x85", b"J\xff\xff\xff\x7f"),
        (b"K\x02\x85", b"]"),
        (b"K\x02\x85", b"N"),
        (b"K\x03\x85", b"C\x08" + bytes(8)),
        (b"J\xff\xff\xff\xffJ\xfe\xff\xff\xff\x86", b"C\x08" + bytes(8)),
        (b"(" + b"K\x01" * 65 + b"t", b"C\x04" + bytes(4)),
    ],
)
def test_arrays_that_are_not_what_they_say(tmp_path, shape, content):
    (tmp_path / "file.pkl").write_bytes(array_program(shape, content))
    assert refused(tmp_path / "file.pkl").startswith("its tensor 0 is malformed")


@pytest.mark.parametrize("content", [b"B" + struct.pack("<I", MEBIBYTE), b"X" + struct.pack("<I", MEBIBYTE)])
def test_arrays_that_share_their_content_share_their_memory(tmp_path, content):
    """A megabyte, mentioned a thousand times, is no gigabyte."""
    shape = b"J" + struct.pack("<i", MEBIBYTE // 4) + b"\x85"
    (tmp_path / "file.pkl").write_bytes(array_program(shape, content + bytes(MEBIBYTE), times=1000))
    found = read_checkpoint(tmp_path / "file.pkl").tensors
    assert len(found) == 1000
    assert len({tensor.data_ptr() for tensor in found.values()}) == 1


def test_unaligned_storages_are_copied_once(tmp_path):
    """The length of the pickle decides about alignment: at least three of four files are unaligned."""
    whole = torch.arange(1000.0)
    for padding in range(4):
        save_stream({"x" * padding: [whole[:10], whole[5:]], "y": whole}, tmp_path / "file.pt")
        found = list(read_checkpoint(tmp_path / "file.pt").tensors.values())
        assert found[1].data_ptr() - found[0].data_ptr() == 20
        assert torch.equal(found[2], whole)
        assert all(tensor.data_ptr() % 4 == 0 for tensor in found)


def test_unaligned_storages_that_overlap_are_refused(tmp_path):
    """Members that begin within each other must not become a copy of the same megabyte each."""
    header = b"PK\3\4" + bytes(26)
    programs = [tensor_program((2,), (1,), numbers=MEBIBYTE // 4, key=str(key))[2:-1] for key in range(5)]
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02](" + b"".join(programs) + b"e.")
        archive.writestr("x/data/whole", header * 5 + bytes(MEBIBYTE))
        outer = archive.getinfo("x/data/whole")
        for key in range(5):
            inner = zipfile.ZipInfo(f"x/data/{key}")
            inner.header_offset = outer.header_offset + 30 + len(outer.filename) + 30 * key
            inner.file_size = inner.compress_size = MEBIBYTE
            inner.CRC = 0
            archive.filelist.append(inner)
    assert "storages overlap" in refused(tmp_path / "file.pt")
