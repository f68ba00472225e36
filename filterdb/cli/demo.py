"""demo: the whole way through the house on real images, in about a minute."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterdb import __version__
from filterdb.cli.output import Output
from filterdb.cli.progress import Reporter

if TYPE_CHECKING:
    from filterdb.network import Job
    from filterdb.query.database import Database

NORMAL, ROBUST = "NOT robust", "robust"
QUERIES = ("networks", "spectra", "quality_by_depth")


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where checkpoints, lake and pictures go.")] = Path(
        "demo"
    ),
) -> int:
    """Train normal and robust twins on the digits of scikit-learn, ingest them, ask, draw. Run again, it goes on."""
    from filterdb.lake.ingestion import ingest
    from filterdb.query.database import Database

    lake = out / "digits.lake"
    with Reporter() as reporter:
        checkpoints = dict(_trained(out / "checkpoints", reporter))
        jobs = [_job(path) for path in checkpoints]
        is_new = any(checkpoints.values())
        for report in ingest(lake, jobs, replace=is_new, progress=reporter.filters, pairs=_pairs(jobs)):
            if report.error is not None:
                raise report.error
    with Database(lake) as database:
        _ask(database, lake)
        _notice(database)
        _draw(database, out / "pictures")
    print(f'\nGo on with: filterdb --lake {lake} sql "SELECT * FROM models"')
    return 0


def _trained(folder: Path, reporter: Reporter) -> Iterator[tuple[Path, bool]]:
    """The four checkpoints, and whether they are new: what the same recipe made before is not trained again."""
    from filterdb.training import digits, weights

    sets = digits.read_digits()
    folder.mkdir(parents=True, exist_ok=True)
    for architecture in digits.ARCHITECTURES:
        for robust in (False, True):
            recipe = digits.ROBUST if robust else digits.NORMAL
            path = folder / f"{architecture}-{'robust' if robust else 'normal'}.safetensors"
            made_by = {"recipe": recipe.to_json(), "version": __version__}
            is_new = not path.exists() or not made_by.items() <= weights.read_tensors(path)[1].items()
            if is_new:
                reporter.begin(f"training {path.stem}", recipe.epochs)
                twin = digits.train_twin(architecture, robust, sets, lambda name, epoch: reporter.advance(1))
                facts = json.dumps({name: getattr(twin, name) for name in FACTS})
                weights.save_weights(twin.module, path, {**made_by, "facts": facts})
            yield path, is_new


FACTS = ("name", "architecture", "factory", "robust", "clean_accuracy", "robust_accuracy", "epsilon", "seed")


def _job(path: Path) -> "Job":
    """The checkpoint as any other: read, put into its architecture, traced."""
    from filterdb.network import Facts, Job
    from filterdb.sources import checkpoint
    from filterdb.training import digits, weights

    known = json.loads(weights.read_tensors(path)[1]["facts"])
    facts = Facts(
        model=f"local/{known['name']}",
        source="local",
        name=known["name"],
        architecture=known["architecture"],
        dataset="digits",
        robust=known["robust"],
        threat_model="Linf",
        epsilon=known["epsilon"] if known["robust"] else None,
        clean_accuracy=known["clean_accuracy"],
        robust_accuracy=known["robust_accuracy"],
        license="Apache-2.0",
    )
    return Job(facts.model, lambda: checkpoint.network(path, known["factory"], facts, input_shape=digits.INPUT_SHAPE))


def _pairs(jobs: "list[Job]") -> list[dict[str, object]]:
    models = [job.model for job in jobs]
    return [
        {
            "robust_model": model,
            "normal_model": model.replace("-robust", "-normal"),
            "architecture": model.split("-")[1],
            "dataset": "digits",
        }
        for model in models
        if model.endswith("-robust")
    ]


def _ask(database: "Database", lake: Path) -> None:
    from filterdb.query import catalogue

    for name in QUERIES:
        query = catalogue.load(name)
        print(f"\n{query.description}\n$ filterdb --lake {lake} queries run {name}")
        Output().query(database, query.text, query.values(database.connection, {}))
    command = f"filterdb --lake {lake} kl {ROBUST} '{NORMAL}' --by depth_decile"
    print(f"\nHow far robust and normal filters are apart, by depth.\n$ {command}")
    Output().frame(_divergence(database).drop("range", "definition"))


def _divergence(database: "Database"):  # noqa: ANN202 (a polars frame)
    return database.kl(ROBUST, NORMAL, by="depth_decile")


def _notice(database: "Database") -> None:
    """What a reader should notice, in sentences made from the numbers."""
    robust, normal = database.split(ROBUST), database.split(NORMAL)
    first = [100 * split.pca().explained_variance_ratio[0] for split in (robust, normal)]
    sparse = [100 * split.metrics()["sparsity"][0] for split in (robust, normal)]
    attacked = database.sql(
        "SELECT avg(robust_accuracy) FILTER (robust), avg(robust_accuracy) FILTER (NOT robust) FROM models"
    )
    accuracy = attacked.fetchall()[0]
    rows = _divergence(database).drop_nulls("kl").sort("kl")
    apart = rows.row(-1, named=True)
    print(
        f"""
What to notice
- Under attack the robust networks keep {accuracy[0]:.1f} % of the test images, the normal ones {accuracy[1]:.1f} %.
- The first of nine components holds {first[0]:.1f} % of the variance of the robust filters and {first[1]:.1f} % of
  that of the normal ones: the {_which(first)} filters are the more diverse ones. (The paper, on CIFAR-10: robust.)
- {sparse[0]:.1f} % of the robust filters are sparse and {sparse[1]:.1f} % of the normal ones.
- Robust and normal filters differ most in {_place(apart["depth_decile"])}: KL {apart["kl"]:.3f} between
  {apart["n_p"]:,} and {apart["n_q"]:,} filters. The fewer they are, the more of it is chance."""
    )


def _which(first_components: list[float]) -> str:
    return "robust" if first_components[0] < first_components[1] else "normal"


def _place(decile: int) -> str:
    return "the first layer" if decile == 0 else f"decile {decile} of the depth"


def _draw(database: "Database", folder: Path) -> None:
    import numpy as np

    from filterdb.report import pictures, style

    def first_layer(model: str) -> np.ndarray:
        weights = database.sql(
            "SELECT out_channel, in_channel, [w0, w1, w2, w3, w4, w5, w6, w7, w8] FROM filters "
            "WHERE model = $model AND layer = 0 ORDER BY ALL",
            {"model": model},
        ).fetchall()
        return np.array([row[2] for row in weights]).reshape(weights[-1][0] + 1, -1, 3, 3)

    splits = {"normal": database.split(NORMAL), "robust": database.split(ROBUST)}
    by_network = [
        {**row, "label": label}
        for label, split in splits.items()
        for row in split.metrics(["model", "depth_decile"]).to_dicts()
    ]
    figures = {
        "first_layer": pictures.filter_mosaic(
            {label: first_layer(f"local/digits-residual-{label}") for label in splits}
        ),
        "spectra": pictures.spectra({label: split.pca().explained_variance_ratio for label, split in splits.items()}),
        "divergence_by_depth": pictures.divergence_by_depth(_divergence(database).to_dicts()),
        "metrics_by_depth": pictures.metric_by_depth(by_network),
    }
    print("\nPictures")
    for name, figure in figures.items():
        print(*style.save(figure, folder / name, ("png", "svg")), sep="\n")
