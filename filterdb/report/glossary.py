"""The words that the page uses, each in a sentence or two."""

from filterdb.query.names import Definition
from filterdb.report.effects import EXCHANGES, REPLICATES
from filterdb.report.study import Choice

ENTROPY = {
    Definition.PAPER: "Definition paper, as in the paper's text: of the filters as they are. The paper's figures"
    " (definition published) take the filters scaled.",
    Definition.PUBLISHED: "Definition published, as in the paper's figures: of the filters scaled. The paper's text"
    " (definition paper) takes them as they are.",
}


def glossary(choice: Choice) -> dict[str, str]:
    """What each word means under this choice."""
    return {
        "Filterbank": "The 3×3 kernels of one output channel, one for each of its input channels.",
        "Scaled filter": "A 3×3 kernel divided by its largest absolute weight.",
        "Sparse filter": "Its largest absolute weight is at most 1/100 of its layer's. Sparse filters count only in"
        " sparsity and orthogonality.",
        "Basis": "The principal components of the scaled filters of all robust and normal networks of the lake.",
        "KL divergence": "Of the distributions of coefficients along the nine axes of the basis, in 70 equal bins over"
        " the range that any filter can reach: both directions added, in nats, and the axes weighted by the variance"
        " they explain.",
        "Depth": "The first layer by itself, then ten deciles of depth among all convolutions of a network.",
        "Variance entropy": f"Of a layer's explained-variance ratios, log 10. {ENTROPY[choice.definition]}",
        "Orthogonality": "One minus the mean absolute cosine between the filterbanks of a layer.",
        "Counting": _counting(choice),
        "Interval": f"95 %, from {REPLICATES:,} collections for which networks are drawn with replacement, each as a"
        " whole; pairs that share a network are drawn together. Such a collection is less varied than the original,"
        " which inflates divergences: their intervals are moved, on the logarithmic scale, to have their middle on the"
        " estimate.",
        "By chance": f"The median divergence over {EXCHANGES} exchanges of the labels robust and normal, within pairs"
        " where there are pairs. A divergence that is no larger says nothing.",
    }


def _counting(choice: Choice) -> str:
    if not choice.pairs:
        return (
            "Every network counts once. The paper's values in table 1, figures 1 and 7 and the claims count a network"
            " once per pair that it is in."
        )
    return (
        "In table 1, figures 1 and 7 and the claims, a network counts once per pair that it is in, where its data set"
        " has pairs; in figures 2, 3 and 6, and where data sets are compared, every network counts once."
    )
