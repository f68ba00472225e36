"""The command line: thin commands over the library, one place for errors and exit codes."""

import os
import signal
import sys
import warnings

ERROR, USAGE, PART_FAILED, INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """The entry point `filterdb`."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # torch's and timm's notes to their own authors
    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is done is done
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. Every foreseen error is one line on stderr."""
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:  # which typer too makes of an interruption
        _fail("interrupted; what was finished is kept, run the same command again to go on", code)
    return code


def _run(arguments: list[str]) -> int:
    import typer

    from filterdb.cli.app import app
    from filterdb.errors import FilterdbError

    try:
        "".join(arguments).encode()  # what is not UTF-8 here is said here: few libraries say it well
        return app(arguments, prog_name="filterdb", standalone_mode=False) or 0
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        return _usage(error.format_message())
    except FilterdbError as error:
        return _fail(error, error.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except UnicodeError as error:
        return _fail(f"an argument or a file is not valid UTF-8: {error}", USAGE)
    except (OSError, MemoryError) as error:
        return _fail(error or "out of memory: try --memory-limit and fewer --threads", ERROR)


def _usage(message: str) -> int:
    if message.startswith("Usage:"):
        print(message)
        return USAGE
    return _fail(message.replace("Value error, ", ""), USAGE)


def _fail(error: BaseException | str, code: int) -> int:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
    complain(f"{error}{notes}")
    return code


def complain(text: str) -> None:
    """Say on stderr what went wrong: in one line, whatever text of the user or of a file is part of it."""
    from filterdb.sources.messages import printable

    print(f"filterdb: {printable(text, len(text))}", file=sys.stderr)
