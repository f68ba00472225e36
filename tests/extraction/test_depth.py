"""The rules of depth on plain graphs, against what enumerating every path gives."""

import random
from fractions import Fraction
from math import ceil

import pytest

from filterdb.extraction.depth import (
    Operation,
    depends_on_input,
    depth_decile,
    folding_batchnorms,
    live_operations,
    node_depths,
    ranks,
    reaches_output,
    relative_depth,
)


def random_graph(seed: int) -> tuple[list[Operation], set[int]]:
    choose = random.Random(seed)
    graph = [Operation("input"), Operation("constant"), Operation("constant")]
    for _ in range(choose.randrange(3, 14)):
        kind = choose.choice(["convolution", "batch_norm", "other", "other"])
        data = choose.choice([choose.randrange(len(graph)), len(graph) - 1])
        extra = () if kind == "other" and choose.random() < 0.5 else (choose.choice([1, 2, len(graph) - 1]),)
        graph.append(Operation(kind, (data, *extra)))
    return graph, set(choose.sample(range(len(graph)), choose.choice([1, 1, 2])))


def paths_to(graph: list[Operation], position: int) -> list[list[int]]:
    """Every path from the input to `position`, both included."""
    if graph[position].kind == "input":
        return [[position]]
    return [[*path, position] for i in graph[position].inputs for path in paths_to(graph, i)]


def paths_on(graph: list[Operation], position: int, outputs: set[int]) -> bool:
    """Whether some path leads from `position` to an output."""
    users = [i for i, operation in enumerate(graph) if position in operation.inputs]
    return position in outputs or any(paths_on(graph, user, outputs) for user in users)


def folds_into(graph: list[Operation], position: int, outputs: set[int]) -> int | None:
    """The convolution that the BatchNorm at `position` can be multiplied into."""
    if graph[position].kind != "batch_norm":
        return None
    data, *statistics = graph[position].inputs
    convolution = data if graph[data].kind == "convolution" else folds_into(graph, data, outputs)
    if convolution is None or data in outputs:
        return None
    live = [i for i in range(len(graph)) if paths_to(graph, i) and paths_on(graph, i, outputs)]
    users = [user for user in live for i in graph[user].inputs if i == data]
    constants = (*statistics, *graph[convolution].inputs[1:])
    computed = any(paths_to(graph, constant) for constant in constants)
    return convolution if users == [position] and convolution in live and not computed else None


@pytest.mark.parametrize("seed", range(300))
def test_random_graphs_agree_with_enumerating_all_paths(seed):
    graph, outputs = random_graph(seed)
    into = {i: folds_into(graph, i, outputs) for i in range(len(graph))}
    free = {i: convolution for i, convolution in into.items() if convolution is not None}
    longest = [
        max((sum(i not in free for i in path[1:]) for path in paths_to(graph, position)), default=0)
        for position in range(len(graph))
    ]
    assert depends_on_input(graph) == [bool(paths_to(graph, i)) for i in range(len(graph))]
    assert reaches_output(graph, outputs) == [paths_on(graph, i, outputs) for i in range(len(graph))]
    folding = folding_batchnorms(graph, outputs)
    assert {i: convolution for convolution, folded in folding.items() for i in folded} == free
    assert node_depths(graph, outputs) == longest


def test_random_graphs_hold_every_case():
    graphs = [random_graph(seed) for seed in range(300)]
    foldings = [folding_batchnorms(*graph) for graph in graphs]
    assert any(folding for folding in foldings)
    assert any(len(folded) > 1 for folding in foldings for folded in folding.values())
    assert any(
        any(operation.kind == "batch_norm" for operation in graph) and not folding_batchnorms(graph, outputs)
        for graph, outputs in graphs
    )
    assert any(not all(live_operations(graph, outputs)[3:]) for graph, outputs in graphs)


def test_folded_batchnorm_counts_nothing_and_an_unfolded_one_does():
    folded = [
        Operation("input"),
        Operation("convolution", (0,)),
        Operation("batch_norm", (1,)),
        Operation("other", (2,)),
    ]
    assert node_depths(folded, {3}) == [0, 1, 1, 2]
    used_twice = [*folded[:3], Operation("other", (1, 2))]
    assert node_depths(used_twice, {3}) == [0, 1, 2, 3]
    returned_too = folded
    assert node_depths(returned_too, {1, 3}) == [0, 1, 2, 3]


def test_a_dead_user_does_not_keep_a_batchnorm_from_folding():
    graph = [
        Operation("input"),
        Operation("convolution", (0,)),
        Operation("other", (1,)),
        Operation("batch_norm", (1,)),
    ]
    assert folding_batchnorms(graph, {3}) == {1: [3]}
    assert folding_batchnorms(graph, {2, 3}) == {}


def test_ranks_number_distinct_depths():
    assert ranks([7, 3, 3, 12]) == {3: 0, 7: 1, 12: 2}
    assert ranks([]) == {}


@pytest.mark.parametrize("levels", range(2, 130))
def test_deciles_are_exact_and_relative_depth_is_a_quotient(levels):
    for conv_depth in range(levels):
        exact = Fraction(conv_depth, levels - 1)
        assert relative_depth(conv_depth, levels) == float(exact)
        assert depth_decile(conv_depth, levels) == ceil(10 * exact)
    assert depth_decile(levels - 1, levels) == 10


def test_a_single_level_is_the_first():
    assert relative_depth(0, 1) == 0.0
    assert depth_decile(0, 1) == 0
