"""Whatever text a user gives to an argument or an option, a command ends with a code and one line that says why.

Each command is given `FILTERDB_FUZZ_EXAMPLES` texts, one at a time, beside arguments that make it do its work.
"""

import io
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import time
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from docs.generate import leaves
from filterdb import cli
from filterdb.cli.app import app
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from filterdb.publish import http, metadata
from filterdb.publish.tree import write_tree
from filterdb.sources import download
from tests.networks import random_network
from tests.sources.onnx_graphs import conv, graph_model, weight
from tests.sources.published_file import Row, write_file

EXAMPLES = int(os.environ.get("FILTERDB_FUZZ_EXAMPLES", "2"))
CODES = (0, 1, 2, 3, 4, 130)
LONGEST = 10_000
COMMANDS = dict(leaves("filterdb", typer.main.get_command(app)))
LEFT_OUT = {"filterdb demo": "it trains for a minute, and takes nothing but --out, which report and train take too"}


@dataclass(frozen=True)
class Case:
    """A command, the arguments and options with which it does its work, and which of them get other values.

    `varied` are names of parameters; none means all that take a value. `code` is what it ends with as it is.
    """

    command: str
    arguments: tuple[str, ...] = ()
    options: str = ""
    varied: tuple[str, ...] = ()
    code: int = 0

    def __str__(self) -> str:
        return " ".join((self.command, *self.varied))

    @property
    def parameters(self) -> list:
        """Those that get other values."""
        every = [each for each in COMMANDS[f"filterdb {self.command}"].params if not getattr(each, "is_flag", False)]
        return [each for each in every if not self.varied or each.name in self.varied]

    def line(self, *more: str) -> list[str]:
        """The command line as it is, with `more` options."""
        return [*self.command.split(), *shlex.split(self.options), *more, *self.arguments]

    def varying(self, parameter, text: str, *, joined: bool) -> list[str]:
        """The command line with `text` as one of its arguments, or as the value of an option; joined to its name."""
        if parameter.param_type_name == "option":
            name = parameter.opts[-1]
            return self.line(f"{name}={text}") if joined and name.startswith("--") else self.line(name, text)
        place = [each.name for each in self.parameters if each.param_type_name == "argument"].index(parameter.name)
        line, position = self.line(), place - len(self.arguments)
        line[position] = text
        return [*line[: -len(self.arguments)], "--", *line[-len(self.arguments) :]] if joined else line


TOY, TOY_ON_IMAGES = "--architecture toys:small", "--architecture toys:small --data images --epochs 1"
CASES = (
    Case("info"),
    Case("sql", ("FROM models SELECT model, n_filters",)),
    Case("pca", ("robust",)),
    Case("metrics", ("robust",)),
    Case("kl", ("robust", "NOT robust")),
    Case("basis add", ("common", "true")),
    Case("basis list"),
    Case("verify"),
    Case("compact"),
    Case("vacuum"),
    Case("doctor", options="--parquet tree/meta/models.parquet"),
    Case("compare", ("net.onnx",), "--against robust"),
    Case("compare", ("net.safetensors",), f"--against robust {TOY}", ("architecture", "input_shape")),
    Case("report", options="--only table1"),
    Case(
        "report",
        options=f"--only table1 {TOY} --checkpoint net.safetensors --images images",
        varied=("checkpoint", "architecture", "images", "epsilon"),
    ),
    Case("sql-kit"),
    Case("queries list"),
    Case("queries show", ("overview",)),
    Case("queries run", ("largest_filters",), "-p n=2"),
    Case("ingest robustbench", options="--dry-run --model cifar10/Linf/Standard"),
    Case("ingest robustbench", (), "--model cifar10/Linf/Standard", ("cache", "checkpoints"), code=1),
    Case("ingest timm", options="--dry-run --model test_byobnet"),
    Case("ingest timm", (), "--untrained --model test_byobnet", ("seed", "workers", "memory_limit")),
    Case("ingest checkpoint", ("net.safetensors",), TOY),
    Case("ingest onnx", ("net.onnx",)),
    Case("ingest hdf5", ("dataset.h5",)),
    Case("ingest table", ("networks.parquet",)),
    Case("train counterpart", options=f"{TOY} --data gone", code=1),
    Case("train adversarial", options=f"{TOY} --data gone", code=1),
    Case(
        "train counterpart", (), TOY_ON_IMAGES, ("architecture", "out", "batch_size", "learning_rate", "seed", "device")
    ),
    Case("train adversarial", (), f"{TOY_ON_IMAGES} --steps 1", ("epsilon", "step_size")),
    Case("publish dir", ("tree-2",)),
    Case("publish hf", ("owner/name",), "--dry-run --tree tree"),
    Case("publish hf", ("owner/name",), "--tree tree", ("repository",), code=1),
    Case("publish zenodo", options="--dry-run --tree tree"),
    Case("publish zenodo", (), "--tree tree", ("draft", "new_version_of"), code=1),
    Case("publish verify", ("tree",)),
)
VARIED = [case for case in CASES if case.parameters]

TOYS = """
from torch import nn

def small(classes=4):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes),
    )

def narrow():
    return small(2)

def quit():
    raise SystemExit("enough")
"""
SIGNS = (*"'\"`\n\r\t\x7f\x85\u2028\u202e\udcffé漢🙂 -./\\,=:;%$?*[]{}()#@~!", "\x1b[31m", "--", "%s", "${HOME}", "../")
NUMBERS = (
    *("0", "1", "-1", "00", "0.5", "-0.0", "1e9", "1e400", "1e-400", "nan", "inf", "-inf", "1_000", "0x10", "٣", "½"),
    *(str(number) for number in (2**31, -(2**31) - 1, 2**63, 2**64)),
    *("9" * times for times in (30, 400, 5000)),
)
NAMES = (
    *("toys:small", "toys:narrow", "toys:quit", "toys:", ":small", "toys", "gone:small", "..toys:small", "sys:exit"),
    *("timm:test_byobnet", "timm:", "timm:gone", "robustbench:cifar10/Linf/Standard", "robustbench:cifar10"),
)
FILES = (
    *("", ".", "..", "x", "x/", "./-", "gone/x", "toys.py", "filters.lake", "tree", "tree/MANIFEST.parquet"),
    *("net.safetensors", "net.onnx", "networks.parquet", "dataset.h5"),
    *("x.json", "x.jsonl", "x.ndjson", "x.csv", "x.parquet", "x.PARQUET", "x.png", "x.svg", "x.gif", ".png", ".onnx"),
    *("a:b.parquet", "file:x.parquet", "s3://x/y.parquet", "https://x/y.csv"),
)
PLACES = (
    *FILES,
    *("hf:owner/name", "hf:owner/name@", "hf:", "zenodo:1", "zenodo:", "zenodo-sandbox:../x"),
    *("https://localhost:9/tree", "https://", "https://[", "https://x:y/", "http://a b/"),
)
SQL = (
    *("robust", "true", "NULL", "0", "w0 > 0", "dataset = 'cifar10'", "FROM layers", "FROM filters", "SELECT 1"),
    *("FROM models;", "FROM models; FROM models", "COPY models TO 'x'", "EXPLAIN FROM models", "SUMMARIZE models"),
    *("$n", "$1", "?", "((", "x'", "/*", "--", "VALUES (1)", "PRAGMA version", "'a' COLLATE x", "common", "x.json"),
    *("SELECT 1::BLOB, INTERVAL 1 YEAR, '294247-01-01'::DATE, 'infinity'::DATE, uuid()", "FROM read_parquet('*')"),
    *("SELECT [1], {'a': 1}, MAP {1: 2}, '1'::BIT, 'nan'::DOUBLE, 10::DECIMAL(38, 0)", "SELECT 1 AS a, 2 AS a"),
)
NEAR = {
    "architecture": NAMES,
    "by": ("model", "model,layer", ",", "layer,layer", "w0", "moments", '"model"', "1", "gone", "kl", "n_filters"),
    "dataset": ("cifar10", "cifar100", "imagenet", "cifar10,cifar10", ",", "..", "a/b", "cifar"),
    "definition": ("paper", "published", "PAPER"),
    "device": ("cpu", "cuda", "cuda:9", "cpu:9", "cpu:-1", "meta", "mps", "xpu", "mkldnn", "hpu"),
    "format": ("json", "jsonl", "csv", "parquet", "TABLE"),
    "images": ("images", "digits", *FILES),
    "input_shape": ("3,32,32", "3,1,1", "1,8,8", "3,0,3", "3,32", "3,10001,1", "3, 8, 8", "3,8,8,8", ",,", "4,5,6"),
    "license_allow": ("MIT", "mit", "unknown", "", "CC-BY-NC-4.0"),
    "memory_limit": ("2GB", "1KB", "0GB", "1.5 GiB", "-2GB", "2", f"{'9' * 400}GB", f"{'9' * 20}TB", "1e3GB"),
    "model": ("cifar10/Linf/Standard", "Standard", "Carmon2019Unlabeled", "test_byobnet.", "test_byobnet.r160_in1k"),
    "name": ("overview", "paper/table1", "paper", "../overview", "overview.sql", "common", "robust", "x" * 300, "a/b"),
    "only": ("fig1", "fig6", "claims", "fig1,claims", ",", "fig8", "FIG1"),
    "param": ("n=2", "n=", "n=-1", "n=x", "=1", "n", "N=2", "n=1; FROM models", f"n={2**63}", "n=nan", " n =2"),
    "profile": ("analysis", "viewer", "VIEWER"),
    "repository": ("owner/name", "owner", "a/b/c", "/", "owner/..", "-/-"),
    "select": ("ema", "validation", "last", "state_dict"),
    "threat_model": ("Linf", "L2", "linf"),
    "weights": ("raw", "bn_folded", "both"),
    **dict.fromkeys(("draft", "new_version_of"), ("1", "../1", "1?x", "%2e%2e", "#")),
    **dict.fromkeys(("lake", "target"), PLACES),
    **dict.fromkeys(("query", "split", "splits", "p", "q", "against", "basis"), SQL),
    **dict.fromkeys(("file", "out", "picture", "cache", "checkpoints", "path"), FILES),
    **dict.fromkeys(("tree", "release", "checkpoint", "parquet", "data"), FILES),
}
"""Texts that are right or nearly so, by the name of the parameter; others take numbers."""
WRITTEN = {"lake", "file", "out", "picture", "target", "cache", "checkpoints"}
"""The parameters that say where something is written."""

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("\udc80\udcff")
"""What can be in an argument: no NUL, and of surrogates only those that stand for bytes that are not UTF-8."""


def pieces(*choices: str) -> st.SearchStrategy[str]:
    """Some of the choices, one after the other."""
    return st.lists(st.sampled_from(choices), max_size=6).map("".join)


ANY = st.text(CHARACTERS, max_size=20) | pieces(*SIGNS, *NAMES, *PLACES, *SQL)


def texts(name: str) -> st.SearchStrategy[str]:
    """What the parameter `name` is given: what is nearly right, with a sign in it, a number, anything; or that long."""
    near = st.sampled_from(NEAR.get(name, NUMBERS))
    short = st.one_of(near, st.tuples(near, st.sampled_from(SIGNS), near).map("".join), st.sampled_from(NUMBERS), ANY)
    long = st.builds(lambda text, times: (text * times)[:LONGEST], short, st.sampled_from((300, LONGEST)))
    return st.one_of(short, short, short, long).filter(lambda text: is_harmless(name, text))


def is_harmless(name: str, text: str) -> bool:
    """Whether an example with it writes only below its own folder, and asks for few networks of a zoo."""
    here = Path("/1/2/3/4/5")
    if name in WRITTEN:
        return Path(os.path.normpath(here / text)).is_relative_to("/1")
    return name != "model" or not set("*?[") & set(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with everything that the cases name; only copies of it are worked in."""
    folder = tmp_path_factory.mktemp("template")
    lake = Lake.create(folder / "filters.lake")
    for seed, name in enumerate(("robust", "plain")):
        write_network(lake, random_network(name, seed=seed, n_layers=2, license="MIT"))
    write_tree(folder / "filters.lake", folder / "tree", metadata.load(None))
    _write_networks(folder)
    _write_images(folder / "images")
    return folder


def _write_networks(folder):
    """Two layers as a checkpoint, a graph, a table and the published file."""
    (folder / "toys.py").write_text(TOYS)
    shapes = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "2.weight": (4, 4, 3, 3), "2.bias": (4,)}
    shapes |= {"5.weight": (4, 4), "5.bias": (4,)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, folder / "net.safetensors")
    weights = {"one": weight(4, 3, 3, 3), "two": weight(4, 4, 3, 3)}
    onnx.save(graph_model([conv("x", "one", "a"), conv("a", "two", "y")], weights), folder / "net.onnx")
    columns = {"model": ["a", "a", "b", "b"], "dataset": "toys", "robust": [True, True, False, False], "layer": 0}
    columns |= {f"w{i}": [0.1 * i, 0.5, -0.2, 0.0] for i in range(9)}
    pl.DataFrame(columns).write_parquet(folder / "networks.parquet")
    write_file(folder / "dataset.h5", [Row(model="one"), Row(model_id=1, model="two")])


def _write_images(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 20), ("test", 8)):
        images = rng.integers(0, 256, size=(n, 8, 8, 3), dtype=np.uint8)
        np.savez(folder / f"{part}.npz", images=images, labels=np.arange(n) % 4)


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory):
    """No network, no waiting for one, nothing to read; neither folders nor tokens of the one who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        patch.setattr(socket, "getaddrinfo", _refuse)
        patch.setattr(time, "sleep", lambda seconds: None)
        patch.setattr(download, "ATTEMPTS", 1)
        patch.setattr(http, "ATTEMPTS", 1)
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("ZENODO_TOKEN", "HF_TOKEN"):
            patch.setenv(name, "none")
        for name in ("FILTERDB_LAKE", "FILTERDB_MIRROR", "ZENODO_URL", "HF_ENDPOINT"):
            patch.delenv(name, raising=False)
        yield


def _refuse(*_: object, **__: object):
    raise OSError("no network in this test")


@contextmanager
def copied(template):
    """Work in a copy of the template, some folders deep, so that a few `..` lead to what is removed with it."""
    with tempfile.TemporaryDirectory(dir=template.parent) as sandbox:
        place = shutil.copytree(template, Path(sandbox) / "2" / "3" / "4" / "5")
        with chdir(place):
            yield place


def run(arguments):
    """Exit code, stdout and stderr, as strict about characters as those of a process."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run(arguments)
    return code, *map(_written, (out, err))


def _written(stream):
    stream.flush()
    return stream.buffer.getvalue().decode()


def check_that_it_ends_well(arguments):
    """Run a command; it must end with a code of ours and, where it failed, with one line that says why."""
    code, out, err = run(arguments)
    assert code in CODES
    assert "Traceback" not in err
    if code in (1, 2) and not out.startswith("Usage: ") and not (arguments[0] == "doctor" and out):
        *notes, last, end = err.split("\n")
        assert last.startswith("filterdb: ")
        assert last.isprintable()
        assert end == ""
        assert not any(note.startswith("filterdb: ") for note in notes)
    return code, out, err


def test_no_command_is_forgotten():
    assert {f"filterdb {case.command}" for case in CASES} | set(LEFT_OUT) == set(COMMANDS)


@pytest.mark.parametrize("case", VARIED, ids=str)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_option_of_any_command_ends_in_a_traceback(case, template, data):
    parameter = data.draw(st.sampled_from(case.parameters), "parameter")
    text = data.draw(texts(parameter.name), "text")
    with copied(template):
        check_that_it_ends_well(case.varying(parameter, text, joined=data.draw(st.booleans(), "joined")))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_does_its_work(case, template):
    """Else nothing behind the first refusal would ever be given a text."""
    with copied(template):
        code, _, err = run(case.line())
    assert code == case.code, err


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(words=st.lists(ANY, max_size=3), group=st.sampled_from(["", "queries", "ingest", "publish"]))
def test_no_word_in_the_place_of_a_command_ends_in_a_traceback(template, words, group):
    with copied(template):
        check_that_it_ends_well([*group.split(), *words])


TRAP = pieces("trap", ":", ".", "/", " ", "make", "py", "timm", "robustbench", "-")


@settings(max_examples=5 * EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(name=TRAP.filter(lambda name: not re.match(r"trap(\.[^:]*)?:.", name)))
def test_an_architecture_is_imported_only_where_it_names_module_and_factory(template, name):
    with copied(template) as place:
        (place / "trap.py").write_text("raise KeyboardInterrupt('imported')")
        code, _, _ = check_that_it_ends_well(["ingest", "checkpoint", "net.safetensors", "--architecture", name])
    assert code in (1, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["info", "--lake", "no\nlake"], 1, r"no lake in no\nlake"),
        (["info", "--lake", "https://["], 2, "is no address: Invalid IPv6 URL"),
        (["info", "--lake", "https://host:port/"], 2, "is no address: Port could not be cast"),
        (["pca", "robust", "--threads", "60000"], 2, "'--threads'"),
        (["ingest", "onnx", "net.onnx", "--workers", "60000"], 2, "'--workers'"),
        (["pca", "robust", "--memory-limit", f"{'9' * 400}GB"], 2, "no machine has as much"),
        (["pca", "\udcff"], 2, "not valid UTF-8"),
        (["report", "--out", "\udcff"], 2, "not valid UTF-8"),
        (["pca", "(" * LONGEST], 2, "nested too deeply"),
        (["compare", "net.onnx", "--against", "robust", "--picture", ""], 2, "--picture '.': name a file"),
        (["compare", "net.onnx", "--against", "robust", "--fail-above", "-1"], 1, "is above -1.0"),
        (["publish", "dir", "https://x:y/"], 0, ""),
        (["ingest", "timm", "--untrained", "--model", "test_byobnet", "--seed", str(2**64)], 2, "'--seed'"),
        (["ingest", "checkpoint", "net.safetensors", "--architecture", "sys:exit"], 1, "sys:exit failed: SystemExit"),
        (["train", "counterpart", *shlex.split(TOY_ON_IMAGES), "--architecture", "toys:narrow"], 1, "Target 2 is out"),
        (["train", "counterpart", *shlex.split(TOY_ON_IMAGES), "--batch-size", str(2**63)], 2, "'--batch-size'"),
        (["train", "counterpart", *shlex.split(TOY_ON_IMAGES), "--seed", str(2**64)], 2, "'--seed'"),
        (["train", "counterpart", *shlex.split(TOY_ON_IMAGES), "--device", "meta"], 2, "'meta' cannot be used"),
        (["report", *shlex.split(TOY), "--checkpoint", "net.safetensors", "--images", "digits"], 1, "cannot be run on"),
    ],
)
def test_what_once_went_wrong_is_said_in_a_line(template, arguments, code, words):
    with copied(template):
        found, _, err = check_that_it_ends_well(arguments)
    assert found == code, err
    assert words in err
