"""Commands that ask: info, sql, pca, metrics, kl."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb.cli.options import (
    ByOption,
    DefinitionOption,
    ExplainOption,
    FileOption,
    FormatOption,
    LakeOption,
    MemoryOption,
    ShowSqlOption,
    ThreadsOption,
    VersionOption,
    column_names,
    open_database,
    output,
)
from filterdb.cli.output import Format
from filterdb.errors import UsageError
from filterdb.query.names import Definition

if TYPE_CHECKING:
    from filterdb.analysis import PCA
    from filterdb.query.database import Database, Split

SplitArgument = Annotated[
    str, typer.Argument(metavar="SPLIT", help="A predicate such as \"robust AND dataset = 'cifar10'\", or one SELECT.")
]


def info(
    context: typer.Context,
    lake: LakeOption = None,
    version: VersionOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
) -> None:
    """What the lake holds: networks, layers and filters by data set, robustness and form of weights."""
    from filterdb.query import catalogue

    with open_database(context, lake, version) as database:
        _note(f"{database.lake.root}, version {database.version}")
        output(format, file).query(database, catalogue.load("overview").text)


def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="One SELECT over models, layers, filters, pairs, skips; - reads stdin.")],
    lake: LakeOption = None,
    version: VersionOption = None,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """Ask one question in SQL, with the macros and functions that the documentation lists."""
    text = sys.stdin.read() if query == "-" else query
    with open_database(context, lake, version, threads, memory_limit) as database:
        output(format, file).query(database, text)


def pca(
    context: typer.Context,
    splits: Annotated[list[str], typer.Argument(metavar="SPLIT…", help="Predicates or SELECTs, one result each.")],
    lake: LakeOption = None,
    version: VersionOption = None,
    definition: DefinitionOption = Definition.PAPER,
    explain: ExplainOption = False,
    show_sql: ShowSqlOption = False,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """Structure of splits: explained-variance ratios and components of the scaled, non-sparse filters."""
    with open_database(context, lake, version, threads, memory_limit) as database:
        asked = [database.split(text) for text in splits]
        if show_sql:
            return _print_sql(split.moments_statement() for split in asked)
        _explain(explain, asked)
        records = [_pca_record(split, definition) for split in asked]
        columns = ("split", "n", "explained_variance_ratio")
        brief = [{name: record[name] for name in columns} for record in records]
        return output(format, file).records(brief if format is Format.TABLE and file is None else records)


def metrics(
    context: typer.Context,
    split: SplitArgument,
    by: ByOption = None,
    lake: LakeOption = None,
    version: VersionOption = None,
    definition: DefinitionOption = Definition.PAPER,
    explain: ExplainOption = False,
    show_sql: ShowSqlOption = False,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """Quality of a split's layers: sparsity, variance entropy, orthogonality, by any columns."""
    with open_database(context, lake, version, threads, memory_limit) as database:
        asked = database.split(split)
        if show_sql:
            return _print_sql([asked.metrics_statement(column_names(by), definition)])
        _explain(explain, [asked])
        return output(format, file).frame(asked.metrics(column_names(by), definition=definition))


def kl(
    context: typer.Context,
    p: Annotated[str, typer.Argument(metavar="P", help="One split.")],
    q: Annotated[str, typer.Argument(metavar="Q", help="The other split.")],
    by: ByOption = None,
    basis: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|SPLIT|FILE", help="Registered, of a split, or a .json written by pca [default: of both]."
        ),
    ] = None,
    lake: LakeOption = None,
    version: VersionOption = None,
    definition: DefinitionOption = Definition.PAPER,
    explain: ExplainOption = False,
    show_sql: ShowSqlOption = False,
    format: FormatOption = Format.TABLE,
    file: FileOption = None,
    threads: ThreadsOption = None,
    memory_limit: MemoryOption = None,
) -> None:
    """Symmetric KL divergence of two splits' coefficients on a common basis, by any columns."""
    names = column_names(by)
    with open_database(context, lake, version, threads, memory_limit) as database:
        asked = [database.split(text) for text in (p, q)]
        if show_sql:
            return _print_sql(split.histograms_statement(names) for split in asked)
        _explain(explain, asked)
        common = None if basis is None else _basis(database, basis)
        return output(format, file).frame(database.kl(*asked, names, common, definition=definition))


def _pca_record(split: "Split", definition: Definition) -> dict[str, object]:
    values = split.pca().to_dict()
    names = ("n", "explained_variance_ratio", "explained_variance", "mean", "components")
    return {
        "split": split.text,
        **{name: values[name] for name in names},
        "definition": definition.value,
        "lake_version": split.database.version,
    }


def _basis(database: "Database", basis: str) -> "Split | PCA | str":
    if not basis.endswith(".json"):
        return basis if basis in database.bases else database.split(basis)
    from filterdb.analysis import PCA

    try:
        return PCA.from_dict(json.loads(Path(basis).read_text("utf-8"))[0])
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"--basis {basis}: not a file written by 'filterdb pca SPLIT -o {basis}'") from error


def _explain(wanted: bool, splits: "list[Split]") -> None:
    for split in splits if wanted else ():
        _note(split.explain())


def _print_sql(statements) -> None:
    for statement in statements:
        print(f"{statement};")


def _note(text: str) -> None:
    print(text, file=sys.stderr)
