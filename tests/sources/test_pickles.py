"""Pickles are read as data: the same data as Python's own unpickler gives, and nothing ever runs."""

import argparse
import builtins
import collections
import enum
import functools
import io
import math
import os
import pickle
import pickletools
import struct
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filterdb.errors import SourceError
from filterdb.sources import pickles
from filterdb.sources.pickles import INSTRUCTIONS, Global, Stub, read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
PLAIN = KEYS | st.floats(allow_nan=False) | st.binary().map(bytearray)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def read(content: bytes) -> object:
    return read_pickle(io.BytesIO(content)).root


def calls(function, *arguments) -> bytes:
    """A pickle that calls `function` when Python unpickles it."""
    return pickle.dumps(Call(function, arguments), protocol=2)


class Call:
    def __init__(self, function, arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Thing:
    def __init__(self, value) -> None:
        self.value = value


class SlottedThing:
    __slots__ = ("value",)


class Numbers(list):
    pass


class Options(dict):
    pass


class Kind(enum.Enum):
    ROBUST = 1


def plain(value: object) -> object:
    """What this reader makes of a value that protocols below 3 or 5 spell as calls."""
    if isinstance(value, Stub):
        if value.name == "_codecs.encode":
            return value.arguments[0].encode("latin-1")
        content = value.arguments[0] if value.arguments else b""
        return {"builtins.bytes": bytes, "builtins.bytearray": bytearray}[value.name](plain(content) or b"")
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value


def test_every_instruction_of_python_is_known():
    assert set(INSTRUCTIONS) == {opcode.name for opcode in pickletools.opcodes}


@given(value=NESTED)
@example(value=[[], (), {}, [()], {"a": [1]}])
def test_plain_data_is_what_python_reads(value):
    assert read(pickle.dumps(value, protocol=5)) == value


@settings(max_examples=40)
@given(
    value=st.recursive(st.text() | st.integers() | st.floats(allow_nan=False), st.lists),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_every_protocol(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_of_every_protocol(protocol):
    assert plain(read(pickle.dumps([b"\x00\xff", bytearray(b"ab"), b""], protocol))) == [b"\x00\xff", b"ab", b""]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_cyclic_data_stay_so(protocol):
    shared: list = [1]
    cyclic: list = [shared, shared]
    cyclic.append(cyclic)
    result = read(pickle.dumps(cyclic, protocol))
    assert result[0] is result[1]
    assert result[2] is result


def test_sets_become_lists():
    assert sorted(read(pickle.dumps({3, 1, 2}, 4))) == [1, 2, 3]
    assert sorted(read(pickle.dumps(frozenset({3, 1, 2}), 4))) == [1, 2, 3]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_become_stubs_that_keep_their_state(protocol):
    stub = read(pickle.dumps(Thing([1, 2]), protocol))
    assert isinstance(stub, Stub)
    assert stub.name == f"{__name__}.Thing"
    assert stub.state == {"value": [1, 2]}


def test_what_people_put_into_checkpoints_becomes_stubs():
    slotted = SlottedThing()
    slotted.value = 1
    honest = {
        "args": argparse.Namespace(lr=0.1),
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, b=[2]),
        "numbers": Numbers([1, 2]),
        "options": Options(c=3),
        "accuracy": np.float64(93.5),
        "array": np.arange(4),
        "kind": Kind.ROBUST,
        "layer": functools.partial(Thing, 1),
        "class": Thing,
        "slotted": slotted,
        "range": range(3),
        "complex": 1j,
    }
    result = read(pickle.dumps(honest, protocol=2))
    assert set(result) == set(honest)
    assert result["args"].state == {"lr": 0.1}
    assert result["ordered"].items == {"a": 1}
    assert result["default"].items == {"b": [2]}
    assert result["numbers"].elements == [1, 2]
    assert result["options"].items == {"c": 3}
    assert result["class"] == Global(f"{__name__}.Thing")


def test_names_are_collected():
    names = read_pickle(io.BytesIO(pickle.dumps([Thing(1), argparse.Namespace()], protocol=2))).names
    assert {f"{__name__}.Thing", "argparse.Namespace"} <= names


def test_names_of_python_2_are_those_of_python_3():
    assert read(b"c__builtin__\nset\n.") == Global("builtins.set")


def test_keys_of_foreign_kinds_become_texts():
    assert read(pickle.dumps({(1, 2): "a", "b": 3}, 4)) == {"<key 0>": "a", "b": 3}


def test_a_deep_tuple_as_key_is_never_hashed():
    deep = b"(" + b")" + b"\x85" * 200_000 + b"I1\nd."
    assert list(read(deep).values()) == [1]


def test_persistent_ids_are_given_to_the_caller():
    content = b"\x80\x02(X\x01\x00\x00\x00aK\x01tQ."
    assert read_pickle(io.BytesIO(content), lambda identifier: ["found", identifier]).root == ["found", ("a", 1)]
    with pytest.raises(SourceError, match="persistent id outside a torch file"):
        read(content)


def test_a_pickle_ends_where_the_next_begins():
    stream = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("two", 2))
    assert read_pickle(stream).root == [1]
    assert read_pickle(stream).root == "two"


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that leaves a file behind when it is imported, and another when its function is called."""
    (tmp_path / "canary_module.py").write_text(
        "import pathlib\n"
        f"pathlib.Path({str(tmp_path / 'imported')!r}).touch()\n"
        f"def sing(*_, **__):\n    pathlib.Path({str(tmp_path / 'called')!r}).touch()\n"
        "class Bird:\n    __setstate__ = __reduce__ = append = extend = __setitem__ = __new__ = sing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "called").exists()
    assert "canary_module" not in sys.modules


@pytest.mark.parametrize(
    "program",
    [
        b"ccanary_module\nsing\n.",
        b"ccanary_module\nsing\n(tR.",
        b"ccanary_module\nsing\n(I1\ntRccanary_module\nsing\n(tR\x86.",
        b"(icanary_module\nsing\n.",
        b"(ccanary_module\nsing\no.",
        b"\x80\x02ccanary_module\nBird\n)\x81}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x04ccanary_module\nBird\n)}\x92K\x01a(K\x02e}(K\x01K\x02u.".replace(b"}(K\x01K\x02u", b"(K\x01K\x02u"),
        b"\x80\x04\x8c\x0dcanary_module\x8c\x04sing\x93)R.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsccanary_module\nsing\nsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nccanary_module\nsing\n)R\x85R.",
        b"\x80\x02cbuiltins\ngetattr\nccanary_module\nBird\nX\x04\x00\x00\x00sing\x86R)R.",
        b"\x80\x02cfunctools\npartial\nccanary_module\nsing\n\x85R)R.",
        b"\x80\x02cfunctools\nreduce\nccanary_module\nsing\n]K\x01a\x86R.",
        b"\x80\x02cbuiltins\nmap\nccanary_module\nsing\n]K\x01a\x86Rcbuiltins\nlist\n\x8c\x01a\x85R.",
    ],
)
def test_nothing_is_imported_or_called(canary, program):
    read_pickle(io.BytesIO(program), lambda identifier: identifier)


def test_python_itself_would_have_run_the_canary(tmp_path, monkeypatch):
    """The canary is alive: the same program, unpickled by Python, imports and calls."""
    (tmp_path / "living_canary.py").write_text(
        f"import pathlib\ndef sing():\n    pathlib.Path({str(tmp_path / 'called')!r}).touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    program = b"cliving_canary\nsing\n(tR."
    read(program)
    assert not (tmp_path / "called").exists()
    pickle.loads(program)
    assert (tmp_path / "called").exists()
    del sys.modules["living_canary"]


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {canary}",), "system"),
        (os.popen, ("touch {canary}",), "os.popen"),
        (builtins.eval, ("open({canary!r}, 'w')",), "builtins.eval"),
        (builtins.exec, ("open({canary!r}, 'w')",), "builtins.exec"),
        (builtins.open, ("{canary}", "w"), "open"),
        (builtins.__import__, ("canary_module",), "builtins.__import__"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda call: call, lambda call: {"state_dict": [{"a": call}]}, Thing])
def test_functions_that_run_code_are_refused_by_name(canary, function, arguments, name, wrap):
    filled = tuple(argument.format(canary=str(canary / "called")) for argument in arguments)
    content = pickle.dumps(wrap(Call(function, filled)), protocol=2)
    with pytest.raises(SourceError, match=rf"asks for \w*\.?{name} to be called.*refused, nothing was run") as error:
        read(content)
    assert "safetensors.torch.save_file" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "posix system",
        "nt system",
        "subprocess Popen",
        "runpy _run_code",
        "importlib import_module",
        "ctypes CDLL",
        "pickle loads",
        "torch load",
        "torch.serialization load",
        "torch.hub load",
        "torch.utils.cpp_extension load_inline",
        "torch.jit.unsupported_tensor_ops execWrapper",
        "torch.utils.bottleneck.__main__ run_cprofile",
        "torch.utils.collect_env run",
        "torch._dynamo.guards GuardBuilder.get",
        "numpy.testing._private.utils runstring",
        "__builtin__ eval",
        "logging os.system",
        "torch.serialization os.system",
        "torch _utils.torch.os.system",
        "builtins os",
    ],
)
def test_known_gadgets_are_refused(name):
    module, function = name.split(" ")
    for program in (f"c{module}\n{function}\n.", f"(i{module}\n{function}\n."):
        with pytest.raises(SourceError, match="refused"):
            read(program.encode())
    stacked = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, function))
    with pytest.raises(SourceError, match="refused"):
        read(stacked + b"\x93.")


@pytest.mark.parametrize(
    "name",
    ["collections OrderedDict", "oslo Config", "my.os Config", "builtins getattr", "torch.nn.modules.conv Conv2d"],
)
def test_names_that_only_look_alike_are_not_refused(name):
    assert read(f"c{name.replace(' ', chr(10))}\n.".encode()) == Global(name.replace(" ", "."))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_cut_off_anywhere_is_named_so(protocol):
    content = pickle.dumps({"a": [1, 2.5, "x", (3, None)], "b": Thing(1)}, protocol)
    for length in range(len(content)):
        with pytest.raises(SourceError, match="damaged or cut off"):
            read(content[:length])


@given(st.binary(max_size=60))
def test_random_bytes_end_in_one_kind_of_error(content):
    try:
        read(content + b".")
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(data=st.data())
def test_damaged_pickles_end_in_one_kind_of_error(data):
    content = bytearray(pickle.dumps({"a": [1, 2.5, "x"], "b": Thing({1: (2, 3)}), "c": Numbers([1])}, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(content))
    except SourceError as error:
        assert str(error).startswith("its pickle") or "refused" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02]" + b"r" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x8e" + struct.pack("<Q", 2**62) + b"a.",
        b"\x8d" + struct.pack("<Q", 2**40) + b"a.",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a.",
        b"\x95" + struct.pack("<Q", 2**62) + b"].",
        b"I" + b"9" * 100_000 + b"\n.",
    ],
)
def test_lengths_are_not_believed(program):
    """A memo index of 4 billion, texts of exabytes: nothing of that size is allocated."""
    try:
        assert read(program) == []
    except SourceError as error:
        assert "damaged or cut off" in str(error)  # noqa: PT017


def test_endless_names_are_not_taken_apart():
    with pytest.raises(SourceError, match="a name of 2,000,001 characters"):
        read(b"ca\n" + b"b." * 1_000_000 + b"\n.")


def test_endless_pickles_are_stopped(monkeypatch):
    monkeypatch.setattr(pickles, "MAXIMUM_INSTRUCTIONS", 1000)
    assert len(read(b"(" + b"]" * 990 + b"l.")) == 990
    with pytest.raises(SourceError, match="more than 1,000 instructions"):
        read(b"(" + b"]" * 1000 + b"l.")


def test_infinite_numbers_are_numbers():
    assert read(pickle.dumps([math.inf, -math.inf], 2)) == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "program", [b"\x82\x01.", b"\x97.", b"]K\x01K\x02s.", b"K\x01b.", b"(K\x01d.", b"0.", b"e.", b"h\x01."]
)
def test_programs_without_sense_are_malformed(program):
    with pytest.raises(SourceError, match="damaged or cut off"):
        read(program)
