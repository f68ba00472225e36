"""Pickles read as data: a small machine builds what a pickle describes and calls nothing that it names.

A pickle is a program. Its instructions build lists, dicts, numbers and texts, and may ask for any
function of any module to be called. Here every name becomes a `Global` and every call a `Stub` that
only remembers what was asked for: no module is imported, no attribute looked up, no method of a
foreign object run, because there is no code in this file that could do so. Python's own unpickler is
not used; `pickletools.genops` merely splits the bytes into instructions.

What honest checkpoints mention (hyper-parameter objects, numpy scalars, whole modules) is therefore
kept as stubs. A name that serves only to run code (`os.system`, `builtins.eval`) ends the reading,
although nothing would happen: a file that asks for it deserves no trust in its numbers either.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from filterdb.errors import SourceError
from filterdb.sources.messages import MALFORMED, cause, printable

Kind = TypeVar("Kind")

MAXIMUM_INSTRUCTIONS = 10_000_000
"""Bounds memory and time: an instruction of one byte can make an object of a hundred."""

MAXIMUM_NAME = 1000
RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle"}
DANGEROUS_MODULES = frozenset(
    (
        *("os", "posix", "nt", "sys", "subprocess", "pty", "popen2", "asyncio", "shutil"),
        *("importlib", "imp", "runpy", "pkgutil", "zipimport", "ensurepip", "ctypes", "cffi"),
        *("pickle", "_pickle", "marshal", "codeop", "bdb", "pdb", "cProfile", "timeit"),
        *("socket", "urllib", "urllib2", "http", "httplib", "requests", "ftplib", "smtplib", "webbrowser"),
    )
)
DANGEROUS_NAMES = frozenset(
    (
        *("builtins.__import__", "builtins.eval", "builtins.exec", "builtins.compile", "builtins.open"),
        *("builtins.execfile", "builtins.file", "builtins.apply", "builtins.input", "builtins.breakpoint"),
        *("builtins.setattr", "builtins.delattr", "builtins.globals", "io.open", "_io.open", "codecs.open"),
        *("types.FunctionType", "types.CodeType", "numpy.load", "numpy.testing._private.utils.runstring"),
        *("torch.load", "torch.serialization.load", "torch.hub", "torch.utils.model_zoo", "torch.jit.load"),
        *("torch.utils.cpp_extension", "torch.utils.collect_env", "torch.utils.bottleneck"),
        *("torch.jit.unsupported_tensor_ops", "torch._dynamo.guards"),
    )
)
REFUSAL = (
    "it asks for {name} to be called on loading: refused, nothing was run. Ask its author for .safetensors;"
    " or load it with torch.load(…, weights_only=False) where running foreign code can do no harm, and write"
    " its state_dict with safetensors.torch.save_file"
)


@dataclass(frozen=True, slots=True)
class Global:
    """A function or class by its qualified name, as a pickle names it; nothing was imported."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class Stub:
    """What a call would have returned: the name called, its arguments by position, and what was put in afterwards."""

    name: str
    arguments: tuple = ()
    state: object = None
    items: dict = field(default_factory=dict)
    elements: list = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pickle:
    """The object that a pickle describes, and the qualified names it mentions."""

    root: object
    names: frozenset[str]


def read_pickle(stream: BinaryIO, persistent: Callable[[object], object] | None = None) -> Pickle:
    """Reads one pickle from `stream` and leaves it just behind; about a microsecond an instruction.

    Sets become lists; a dict key that is no plain value becomes a text. `persistent` turns a persistent
    id (how torch refers to its storages) into the object that stands for it. Raises SourceError when the
    pickle is cut off, malformed, too long, or mentions a name that serves only to run code.
    """
    machine = _Machine(persistent or _no_persistent)
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if count == MAXIMUM_INSTRUCTIONS:
                raise SourceError(f"its pickle has more than {MAXIMUM_INSTRUCTIONS:,} instructions")
            INSTRUCTIONS[instruction.name](machine, argument)
        return Pickle(machine.pop(), frozenset(machine.names))
    except MALFORMED as error:
        raise SourceError(f"its pickle is damaged or cut off ({cause(error)}); download it again") from error


def _no_persistent(identifier: object) -> object:
    raise ValueError("a persistent id outside a torch file")


def refuse_dangerous(qualified: str, name: str) -> None:
    """Raises SourceError for a name that serves only to run code.

    A dotted `name` can lead through what a module has imported (`os.system` in `logging`), so each of
    its tails is judged as well.
    """
    parts = name.split(".")
    tails = [".".join(parts[start:]) for start in range(len(parts))]
    if any(map(_is_dangerous, [qualified, *tails])):
        raise SourceError(REFUSAL.format(name=printable(qualified)))


def _is_dangerous(qualified: str) -> bool:
    parts = qualified.split(".")
    heads = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return parts[0] in DANGEROUS_MODULES or not heads.isdisjoint(DANGEROUS_NAMES)


class _Machine:
    """The stack of a pickle. Methods that are instructions take the instruction's own argument."""

    def __init__(self, persistent: Callable[[object], object]) -> None:
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.names: set[str] = set()
        self.persistent = persistent

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("it takes more than it has put")
        return self.stack.pop()

    def pop_to_mark(self, _: object = None) -> list:
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def drop(self, _: object) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def extend(self, values: list) -> None:
        target = self.stack[-1]
        (target.elements if isinstance(target, Stub) else _expect(list, target)).extend(values)

    def set_items(self, pairs: list) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Stub) else _expect(dict, target)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            items[_plain_key(key, len(items))] = value

    def new_dict(self, _: object) -> None:
        pairs = self.pop_to_mark()
        self.push({})
        self.set_items(pairs)

    def name(self, module: object, name: object) -> Global:
        module, name = _expect(str, module), _expect(str, name)
        if len(module) + len(name) > MAXIMUM_NAME:
            raise ValueError(f"a name of {len(module) + len(name):,} characters")
        qualified = f"{RENAMED_MODULES.get(module, module)}.{name}"
        refuse_dangerous(qualified, name)
        self.names.add(qualified)
        return Global(qualified)

    def call(self, function: object, arguments: object, _keywords: object = None) -> None:
        name = function.name if isinstance(function, Global) else "a computed function"
        self.push(Stub(name, _expect(tuple, arguments)))

    def call_from_mark(self, _: object) -> None:
        function, *arguments = self.pop_to_mark()
        self.call(function, tuple(arguments))

    def build(self, _: object) -> None:
        state = self.pop()
        _expect(Stub, self.stack[-1]).state = state

    def refuse(self, _: object) -> None:
        raise ValueError("it needs the extension registry or out-of-band buffers, which no file carries")

    def pop_many(self, count: int) -> list:
        return [self.pop() for _ in range(count)][::-1]


def _expect(kind: type[Kind], value: object) -> Kind:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _plain_key(key: object, position: int) -> object:
    """Only plain values are keys: a tuple would be hashed through all its depth."""
    return key if isinstance(key, (str, int, float, bytes, type(None))) else f"<key {position}>"


Instruction = Callable[[_Machine, object], object]

LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
UNSUPPORTED = ("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER")
INSTRUCTIONS: dict[str, Instruction] = {
    **dict.fromkeys(LITERALS, _Machine.push),
    **dict.fromkeys(UNSUPPORTED, _Machine.refuse),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop_many(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.push([])),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda machine, _: machine.push(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.extend(machine.pop_many(1)),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_to_mark())),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": _Machine.new_dict,
    "SETITEM": lambda machine, _: machine.set_items(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": _Machine.drop,
    "POP_MARK": _Machine.pop_to_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "GLOBAL": lambda machine, pair: machine.push(machine.name(*pair.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.push(machine.name(*machine.pop_many(2))),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda machine, _: machine.call(*machine.pop_many(2))),
    "NEWOBJ_EX": lambda machine, _: machine.call(*machine.pop_many(3)),
    "OBJ": _Machine.call_from_mark,
    "INST": lambda machine, pair: machine.call(machine.name(*pair.split(" ", 1)), tuple(machine.pop_to_mark())),
    "BUILD": _Machine.build,
    "PERSID": lambda machine, identifier: machine.push(machine.persistent(identifier)),
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.pop())),
}
