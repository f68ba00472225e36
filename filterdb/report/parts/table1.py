"""Table 1: filters per network, accuracy on clean images and under attack."""

from collections.abc import Iterator, Mapping

from filterdb.report import published
from filterdb.report.part import Part, Table
from filterdb.report.study import Study
from filterdb.report.words import MISSING, counted, dataset_name, listed, number, spread

TITLE = "Table 1: networks and their accuracies"
HEAD = (
    "data set",
    "networks",
    "filters per network",
    "normal, clean (%)",
    "robust, clean (%)",
    "robust, attacked (%)",
)
COLUMNS = ("normal_clean_accuracy", "robust_clean_accuracy", "robust_accuracy")


def part(study: Study) -> Part:
    """The table, below each data set the paper's own row."""
    frame = study.frame("paper/table1")
    by_dataset: dict[str | None, dict[str, dict]] = {}
    for row in frame.to_dicts():
        by_dataset.setdefault(row["dataset"], {})[row["kind"]] = row
    rows, kinds = [], []
    for dataset, of_kind in by_dataset.items():
        rows.append(_row(dataset, of_kind))
        kinds.append("")
        if dataset in published.DATASETS:
            rows.append(_paper_row(dataset))
            kinds.append("paper")
    return Part(
        name="table1",
        title=TITLE,
        caption=_caption(by_dataset),
        numbers={"table1": frame},
        tables=(Table(head=HEAD, rows=tuple(rows), kinds=tuple(kinds)),) if rows else (),
        notes=tuple(_notes(study, by_dataset)),
    )


def _row(dataset: str | None, of_kind: Mapping[str, Mapping]) -> tuple[str, ...]:
    robust, normal = of_kind.get("robust"), of_kind.get("normal")
    return (
        dataset_name(dataset),
        _size(of_kind),
        _filters(robust or normal or of_kind["untrained"]),
        _accuracy(normal, "clean_accuracy"),
        _accuracy(robust, "clean_accuracy"),
        _accuracy(robust, "robust_accuracy"),
    )


def _size(of_kind: Mapping[str, Mapping]) -> str:
    networks = ", ".join(f"{row['n_models']} {kind}" for kind, row in of_kind.items())
    robust = of_kind.get("robust")
    return f"{counted(robust['n'], 'pair')}: {networks}" if robust and robust["by_pair"] else networks


def _filters(row: Mapping) -> str:
    if row["filters_std"] is None:
        return number(round(row["filters_mean"]))
    return f"{row['filters_mean']:,.0f} ± {row['filters_std']:,.0f}"


def _accuracy(row: Mapping | None, column: str) -> str:
    return MISSING if row is None else spread(row[f"{column}_mean"], row[f"{column}_std"])


def _paper_row(dataset: str) -> tuple[str, ...]:
    values = (spread(*published.accuracies()[dataset, column]) for column in COLUMNS)
    pairs = published.pairs()[dataset]
    return ("paper", counted(pairs, "pair"), number(round(published.FILTERS[dataset] / pairs)), *values)


def _caption(by_dataset: Mapping[str | None, Mapping[str, Mapping]]) -> str:
    if not by_dataset:
        return "No network of this lake is known to be robust, normal or untrained. There is nothing to tabulate."
    return f"Mean and sample standard deviation over {_counting(by_dataset)}. {_cost(by_dataset)}"


def _counting(by_dataset: Mapping[str | None, Mapping[str, Mapping]]) -> str:
    paired = [
        f"{counted(of_kind['robust']['n'], 'pair')} on {dataset_name(name)}"
        for name, of_kind in by_dataset.items()
        if of_kind.get("robust", {}).get("by_pair")
    ]
    single = [
        dataset_name(name) for name, of_kind in by_dataset.items() if not of_kind.get("robust", {}).get("by_pair")
    ]
    return listed([*paired, *([f"all networks, each once, on {listed(single)}"] if single else [])])


def _cost(by_dataset: Mapping[str | None, Mapping[str, Mapping]]) -> str:
    changes = [
        f"{robust - normal:+.1f} points on {dataset_name(name)}".replace("-", "−")
        for name, of_kind in by_dataset.items()
        if (normal := of_kind.get("normal", {}).get("clean_accuracy_mean")) is not None
        and (robust := of_kind.get("robust", {}).get("clean_accuracy_mean")) is not None
    ]
    if not changes:
        return "Accuracies of robust and normal networks that could be compared are not known."
    return f"On clean images, the accuracy of robust networks minus that of normal ones is {listed(changes)}."


def _notes(study: Study, by_dataset: Mapping[str | None, Mapping[str, Mapping]]) -> Iterator[str]:
    for dataset, of_kind in by_dataset.items():
        row = of_kind.get("robust") or of_kind.get("normal")
        if row and study.choice.pairs and not row["by_pair"]:
            yield f"{dataset_name(dataset)}: the lake has no pairs of it, so every network counts once"
        if row and all(r["clean_accuracy_mean"] is None for r in of_kind.values()):
            yield f"{dataset_name(dataset)}: the accuracies of its networks are not known"
