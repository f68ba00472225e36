"""Documentation is generated and cannot drift; nothing is undescribed; nothing speaks of the machine it grew on."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.main

from docs import generate, readme
from filterdb import cli
from filterdb.cli.app import app
from filterdb.lake.lake import Lake
from filterdb.lake.writer import write_network
from tests.networks import random_network

ROOT = Path(__file__).parents[1]
LEAVES = dict(generate.leaves("filterdb", typer.main.get_command(app)))


def test_the_reference_is_what_the_code_says():
    assert generate.TARGET.read_text("utf-8") == generate.reference(), "run: make docs"


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_and_option_has_help(name):
    command = LEAVES[name]
    assert command.help
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_links_in_the_documentation_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_test_that_the_guarantees_cite_exists():
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    cited = set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", text))
    assert len(cited) >= 25
    assert text.count("::") == len(re.findall(r"`tests/[\w/]+\.py::test_\w+`", text))
    for file, name in sorted(cited):
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), f"{file} has no test {name}"


def test_no_path_of_any_machine_is_in_the_repository():
    roots = "|".join(re.escape(f"/{name}/") for name in ("work", "farm", "home", "root"))
    found = subprocess.run(
        ["git", "grep", "-nIE", roots, "--", ".", ":!LICENSE"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_every_command_of_the_readme_runs(tmp_path):
    lake = Lake.create(tmp_path / "toy.lake")
    for name in ("robust", "plain"):
        write_network(lake, random_network(name, n_layers=12))
    shown = readme.shown((ROOT / "README.md").read_text("utf-8"))
    assert len(shown) >= 5
    for command, output in shown:
        arguments = shlex.split(command.replace("demo/digits.lake", str(lake.root)))
        assert arguments[0] == ".venv/bin/filterdb"
        assert cli.run(arguments[1:]) == 0, command
        assert output, "run: make demo docs"
