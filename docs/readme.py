"""Runs every command that README.md shows and puts what it prints below it.

Run `make demo` first, then `make docs`: the README speaks of the demo's lake.
"""

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```console\n\$ (.*?)\n(?=(?![ >]).|```)(.*?)```", re.DOTALL)


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(_refreshed, readme.read_text("utf-8")), encoding="utf-8")


def commands(text: str) -> list[str]:
    """The commands shown in `text`, each as one shell line (continuation lines begin with a space)."""
    return [match.group(1) for match in BLOCK.finditer(text)]


def _refreshed(match: re.Match[str]) -> str:
    command = match.group(1)
    done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=True)
    return f"```console\n$ {command}\n{done.stdout}```"


if __name__ == "__main__":
    main()
