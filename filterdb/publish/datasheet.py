"""DATASHEET.md and LICENSES.md: what is known of the making of a release, computed where it can be."""

from collections.abc import Iterator

from filterdb.publish import licences, markdown
from filterdb.publish.contents import Contents
from filterdb.publish.metadata import PAPER_ARXIV, PAPER_TITLE

FACTS = (
    "dataset",
    "robust",
    "architecture",
    "threat_model",
    "epsilon",
    "clean_accuracy",
    "robust_accuracy",
    "license",
    "paper",
)


def datasheet(contents: Contents) -> str:
    """The questions of Gebru et al., Datasheets for Datasets (2021), as far as they apply."""
    return "\n".join(_sections(contents))


def licence_page(contents: Contents) -> str:
    """Every network with its licence, and every network that was left out for it."""
    networks = contents.rows("SELECT model, license, n_filters, paper FROM models ORDER BY model")
    rows = [(name, _linked(license), filters, paper) for name, license, filters, paper in networks]
    page = (
        f"# Licences\n\nThe collection, its documentation and its measurements: {_linked(contents.metadata.license)}.\n"
        "The filters are weights of trained networks; each network's stand under its own licence.\n\n"
        f"{markdown.table(('network', 'licence', 'filters', 'paper'), rows)}"
    )
    if not contents.left_out:
        return f"{page}\nNo network was left out.\n"
    out = [(left.model, left.license) for left in contents.left_out]
    return f"{page}\n## Left out\n\nTheir licences were not allowed in this release.\n\n" + markdown.table(
        ("network", "licence"), out
    )


def _sections(contents: Contents) -> Iterator[str]:
    yield f"# Datasheet: {contents.metadata.title}\n"
    yield f"Version {contents.version}, {contents.released}. Numbers are computed from the tables.\n"
    yield _motivation()
    yield _composition(contents)
    yield _collection(contents)
    yield _preprocessing(contents)
    yield _uses()
    yield _distribution(contents)


def _motivation() -> str:
    return f"""## Motivation

Made to compare the 3×3 filters of adversarially robust and normally trained networks, and of networks in
general, in the terms of "{PAPER_TITLE}" (arXiv:{PAPER_ARXIV}): principal components, divergence of their
coefficients, sparsity, variance entropy, orthogonality; without downloading and running the networks.
"""


def _composition(contents: Contents) -> str:
    counts = contents.counts
    by_data_set = contents.rows(
        "SELECT dataset, count(*), count_if(robust), sum(n_layers)::BIGINT, sum(n_filters)::BIGINT "
        "FROM models GROUP BY dataset ORDER BY dataset"
    )
    missing = ", ".join(f"count(*) - count({name})" for name in FACTS)
    gaps = zip(FACTS, contents.rows(f"SELECT {missing} FROM models")[0], strict=True)
    return (
        "## Composition\n\nAn instance is one 3×3 filter: nine float32 weights of one input and one output channel of "
        f"a convolution. There are {counts['filters']:,}, of which {counts['sparse']:,} are sparse (largest magnitude "
        f"at most 1/100 of the layer's), in {counts['layers']:,} layers of {counts['networks']:,} networks, and "
        f"{counts['pairs']:,} pairs of a robust network and its normal counterpart. Every 3×3 filter of a network is "
        "there, not a sample; what is not is in the table `skips`.\n\n"
        + markdown.table(("trained on", "networks", "robust", "layers", "filters"), by_data_set)
        + "\nFacts that are not known of some networks:\n\n"
        + markdown.table(("fact", "networks without"), [gap for gap in gaps if gap[1]])
        + "\nNo data of people; weights may reflect what the networks were trained on.\n"
    )


def _collection(contents: Contents) -> str:
    sources = contents.rows(
        "SELECT source, weights, count(*), min(ingested_at)::DATE, max(ingested_at)::DATE, "
        "string_agg(DISTINCT filterdb_version, ', ' ORDER BY filterdb_version) "
        "FROM models GROUP BY source, weights ORDER BY source, weights"
    )
    return (
        "## Collection\n\nRead from checkpoints of the sources below by filterdb, which observes one forward pass and "
        "takes the weights of every live 2-D convolution with a 3×3 kernel. Facts of a network are those that its "
        "source states; unknown ones are NULL.\n\n"
        + markdown.table(("source", "weights", "networks", "first read", "last read", "by filterdb"), sources)
    )


def _preprocessing(contents: Contents) -> str:
    folded = contents.rows("SELECT count_if(weights = 'bn_folded') FROM models")[0][0]
    return f"""## Preprocessing

Filters are stored as they reach the convolution, unscaled, in float32. In {folded:,} networks (`weights` =
`bn_folded`) the following BatchNorm is multiplied into the convolution where it is its only consumer.
`sparse` and `max_abs` are computed per filter, the summary columns of `layers` per layer in float64.
"""


def _uses() -> str:
    return """## Uses

Statistics of filters by data set, depth, architecture, robustness; initialisation and pruning studies;
teaching. Filters within one network are not independent: confidence must be computed over networks.
Accuracies are those that sources report, measured in different ways. A network cannot be rebuilt from
its 3×3 filters alone.
"""


def _distribution(contents: Contents) -> str:
    contact = contents.metadata.contact or contents.metadata.url or "see where you found this folder"
    return (
        f"## Distribution and maintenance\n\n{contents.n_bytes:,} bytes of Parquet. The licence of the collection is "
        f"{contents.metadata.license}; networks keep their own (LICENSES.md; {len(contents.left_out):,} left out for "
        f"theirs). A release is never changed: corrections come as a new version. Contact: {contact}.\n"
    )


def _linked(license: str | None) -> str:
    name = licences.canonical(license)
    address = licences.link(name)
    return f"[{name}]({address})" if address else name
