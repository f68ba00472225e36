"""Runs every command that README.md shows and puts what it prints below it.

Run `make demo` first, then `make docs`: the README speaks of the demo's lake.
"""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```console\n\$ (.*?)```", re.DOTALL)


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(_refreshed, readme.read_text("utf-8")), encoding="utf-8")


def shown(text: str) -> list[tuple[str, str]]:
    """The commands in `text`, each with the output below it."""
    return [_parts(match.group(1)) for match in BLOCK.finditer(text)]


def _parts(block: str) -> tuple[str, str]:
    """A command ends with the line that closes its quotes."""
    lines = block.splitlines(keepends=True)
    end = next(n for n in range(1, len(lines) + 1) if "".join(lines[:n]).count('"') % 2 == 0)
    return "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])


def _refreshed(match: re.Match[str]) -> str:
    command, _ = _parts(match.group(1))
    done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True)
    return f"```console\n$ {command}\n{done.stdout}```"


if __name__ == "__main__":
    main()
