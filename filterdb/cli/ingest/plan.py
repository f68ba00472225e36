"""What an ingestion would bring in, without bringing it in (--dry-run)."""

from collections.abc import Sequence
from dataclasses import asdict

from filterdb.cli.output import Format, Output
from filterdb.network import Layer, Network

BYTES_PER_FILTER = 40
LAYER_COLUMNS = ("name", "in_channels", "out_channels", "conv_depth", "depth_decile", "n_filters")


def show(networks: Sequence[Network], out: Output) -> int:
    """Print the plan: one document as JSON, else a row per network."""
    if out.format is Format.JSON:
        out.document(document(networks))
    else:
        out.records([_row(network) for network in networks])
    return 0


def document(networks: Sequence[Network]) -> dict[str, object]:
    """The plan as one JSON object: totals, robust and normal networks apart, and every network layer by layer."""
    return {
        **_totals(networks),
        "parts": [
            {"robust": robust, **_totals([network for network in networks if network.facts.robust is robust])}
            for robust in (True, False, None)
        ],
        "models": [_model(network) for network in networks],
    }


def _totals(networks: Sequence[Network]) -> dict[str, int]:
    n_filters = sum(network.n_filters for network in networks)
    return {
        "n_models": len(networks),
        "n_layers": sum(len(network.layers) for network in networks),
        "n_filters": n_filters,
        "n_bytes": BYTES_PER_FILTER * n_filters,
    }


def _model(network: Network) -> dict[str, object]:
    facts = network.facts
    return {
        "model": facts.model,
        "dataset": facts.dataset,
        "robust": facts.robust,
        "architecture": facts.architecture,
        "n_filters": network.n_filters,
        "layers": [_layer(number, layer) for number, layer in enumerate(network.layers)],
        "skips": [asdict(skip) for skip in network.skips],
    }


def _layer(number: int, layer: Layer) -> dict[str, object]:
    return {"layer": number, **{column: getattr(layer, column) for column in LAYER_COLUMNS}}


def _row(network: Network) -> dict[str, object]:
    facts = network.facts
    return {
        "model": facts.model,
        "dataset": facts.dataset,
        "robust": facts.robust,
        "architecture": facts.architecture,
        "n_layers": len(network.layers),
        "n_filters": network.n_filters,
        "n_skips": len(network.skips),
        "n_bytes": BYTES_PER_FILTER * network.n_filters,
    }
