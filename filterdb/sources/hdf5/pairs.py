"""Which normal network of the file is the counterpart of which robust one."""

from collections.abc import Sequence
from pathlib import Path

from filterdb.sources.facts import fact_rows
from filterdb.sources.hdf5.container import opened
from filterdb.sources.hdf5.metadata import StoredNetwork, stored_networks
from filterdb.sources.hdf5.unpack import unpacked


def pairs(path: str | Path) -> list[dict[str, str | None]]:
    """Rows of the table `pairs`, one per robust network of the file at `path` that has a counterpart in it.

    That is the normal network which the paper names (its table of 71 pairs); for networks it does not
    know, the one of the same data set and the same column `Network`; without one, the only normal network of
    the same data set and architecture. Robust networks with none, or several to choose from, are not paired.
    """
    with opened(unpacked(path)) as file:
        stored = stored_networks(file)
    normal = [network for network in stored if network.facts.robust is False]
    robust = (network for network in stored if network.facts.robust)
    found = ((network, _counterpart(network, normal)) for network in robust)
    return [_pair(network, counterpart) for network, counterpart in found if counterpart is not None]


def _counterpart(robust: StoredNetwork, normal: Sequence[StoredNetwork]) -> StoredNetwork | None:
    named = _named_in_paper(robust)
    comparable = [network for network in normal if network.facts.dataset == robust.facts.dataset is not None]
    for candidates in (
        [network for network in comparable if network.facts.name == named],
        [network for network in comparable if network.network == robust.network is not None],
        [network for network in comparable if network.facts.architecture == robust.facts.architecture is not None],
    ):
        if len(candidates) == 1:
            return candidates[0]
    return None


def _named_in_paper(robust: StoredNetwork) -> str | None:
    key = (robust.network, robust.facts.dataset)
    rows = (row for row in fact_rows("paper_pairs.csv") if (row["robust_model"], row["dataset"]) == key)
    return next((row["normal_model"] for row in rows), None)


def _pair(robust: StoredNetwork, normal: StoredNetwork) -> dict[str, str | None]:
    return {
        "robust_model": robust.facts.model,
        "normal_model": normal.facts.model,
        "architecture": robust.facts.architecture,
        "dataset": robust.facts.dataset,
    }
