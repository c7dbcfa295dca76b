"""Communities that are there are found, pieces are never one, chance is nothing; known measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from insights import graphs
from insights.graphs import (
    Graph,
    Ints,
    betweenness,
    closeness,
    description,
    disconnected,
    divide,
    graph_of,
    modularity,
    own_resolution,
    pagerank,
)


def cliques(count: int, size: int) -> Graph:
    """A ring of cliques, one edge from each to the next."""
    u, v = [], []
    for number in range(count):
        first = number * size
        for one in range(size):
            for other in range(one):
                u.append(first + one)
                v.append(first + other)
        u.append(first)
        v.append((first + size + 1) % (count * size))
    return graph_of(u, v, np.ones(len(u)), count * size)


def chance(nodes: int, edges: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (2, edges))
    return graph_of(ends[0], ends[1], np.ones(edges), nodes)


def path(nodes: int) -> Graph:
    return graph_of(range(nodes - 1), range(1, nodes), np.ones(nodes - 1), nodes)


# Division


def test_a_ring_of_cliques_is_divided_into_its_cliques() -> None:
    found = divide(cliques(8, 6), tries=1)
    assert adjusted_rand_score(np.repeat(np.arange(8), 6), found.labels) == 1.0
    assert found.saved > 0


def test_cliques_that_modularity_merges_are_told_apart() -> None:
    graph = cliques(60, 7)
    truth = np.repeat(np.arange(60), 7)
    pairs = np.repeat(np.arange(30), 14)
    # The resolution limit: two neighbours together have the higher modularity.
    assert modularity(graph, pairs) > modularity(graph, truth)
    assert description(graph, truth) < description(graph, pairs)
    assert adjusted_rand_score(truth, divide(graph, tries=1).labels) > 0.95


@pytest.mark.parametrize("seed", range(2))
def test_chance_has_no_communities_for_who_wants_to_be_sure(seed: int) -> None:
    graph = chance(150, 600, seed)
    components = graphs._in_one_piece(graph, np.zeros(150, np.int64))
    found = divide(graph, sure=True, tries=1)
    assert found.labels.max() == components.max()
    assert found.saved <= 0


def test_the_same_seed_gives_the_same() -> None:
    graph = chance(120, 500, 3)
    assert (divide(graph, 5, tries=1).labels == divide(graph, 5, tries=1).labels).all()


@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_a_graph_without_edges_is_nobody_together(nodes: int) -> None:
    found = divide(graph_of([], [], [], nodes))
    assert found.labels.tolist() == list(range(nodes))
    assert found.modularity == 0.0


def test_two_that_talk_are_together_and_a_third_is_alone() -> None:
    assert divide(graph_of([2], [0], [0.4], 3)).labels.tolist() == [0, 1, 0]


def test_components_are_never_one_community() -> None:
    u = [0, 1, 2, 10, 11, 12]
    v = [1, 2, 0, 11, 12, 10]
    labels = divide(graph_of(u, v, np.ones(6), 13), tries=1).labels
    assert labels[0] == labels[1] == labels[2] != labels[10] == labels[11] == labels[12]
    assert len(set(labels.tolist())) == 9


def test_pairs_with_oneself_and_without_weight_are_left_out() -> None:
    graph = graph_of([0, 1, 1], [0, 2, 2], [5.0, 0.0, 2.0], 3)
    assert graph.nnz == 2
    assert graph[1, 2] == graph[2, 1] == 2.0


def test_what_weights_are_measured_in_makes_no_difference() -> None:
    graph = cliques(6, 5)
    seconds = graph.copy()
    seconds.data = graph.data * 3600.0
    assert (divide(graph, tries=1).labels == divide(seconds, tries=1).labels).all()


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39), st.floats(0.001, 1000.0))),
)
def test_no_community_is_ever_in_two_pieces(nodes: int, rows: list[tuple[int, int, float]]) -> None:
    rows = [(u % nodes, v % nodes, weight) for u, v, weight in rows]
    u, v, weight = zip(*rows, strict=True) if rows else ((), (), ())
    graph = graph_of(u, v, weight, nodes)
    found = divide(graph, tries=1)
    assert disconnected(graph, found.labels) == 0
    assert sorted(set(found.labels.tolist())) == list(range(found.labels.max() + 1))
    assert (np.diff(np.bincount(found.labels)) <= 0).all()


def test_a_cluster_in_two_pieces_is_counted() -> None:
    assert disconnected(path(4), np.array([0, 1, 1, 0])) == 1


def planted(groups: int, size: int, inside: int, outside: int) -> tuple[Graph, Ints]:
    rng = np.random.default_rng(7)
    nodes = groups * size
    u = np.repeat(np.arange(nodes), inside)
    v = u // size * size + rng.integers(0, size, u.size)
    w = rng.integers(0, nodes, (2, nodes * outside))
    rows = np.concatenate([u, w[0]]), np.concatenate([v, w[1]])
    return graph_of(*rows, np.ones(rows[0].size), nodes), np.arange(nodes) // size


def test_a_large_graph_finds_the_resolution_that_it_has() -> None:
    graph, truth = planted(300, 30, 5, 2)
    assert graph.nnz > 2 * graphs._SMALL_EDGES
    found = divide(graph)
    assert adjusted_rand_score(truth, found.labels) > 0.9
    assert found.resolution > 5
    assert own_resolution(graph, truth) == pytest.approx(found.resolution, rel=0.5)


# Standing


def test_the_middle_of_a_star_is_between_all_others() -> None:
    star = graph_of([0] * 5, range(1, 6), np.ones(5), 6)
    assert betweenness(star).tolist() == pytest.approx([1.0, 0, 0, 0, 0, 0])


def test_betweenness_on_a_path_is_known() -> None:
    # Of 6 pairs of others: 2 with one inner neighbour, 3 for the two in the middle.
    assert betweenness(path(5)).tolist() == pytest.approx([0, 0.5, 4 / 6, 0.5, 0])


def test_a_sample_of_sources_comes_near() -> None:
    graph = chance(500, 1500, 1)
    whole, some = betweenness(graph, sources=500), betweenness(graph, sources=150)
    assert np.corrcoef(whole, some)[0, 1] > 0.9


def test_shortest_paths_that_are_as_short_share() -> None:
    square = graph_of([0, 1, 2, 3], [1, 2, 3, 0], np.ones(4), 4)
    assert betweenness(square).tolist() == pytest.approx([1 / 6] * 4)


def test_attention_goes_to_whom_all_turn_to() -> None:
    turns = graph_of([], [], [], 4).tolil()
    for one in (1, 2, 3):
        turns[one, 0] = 1.0
    rank = pagerank(turns.tocsr())
    assert rank.sum() == pytest.approx(1.0)
    assert rank.argmax() == 0
    assert rank[1] == pytest.approx(rank[2]) == pytest.approx(rank[3])


def test_attention_of_nobody_and_of_a_silent_group() -> None:
    assert pagerank(graph_of([], [], [], 0)).size == 0
    assert pagerank(graph_of([], [], [], 3)).tolist() == pytest.approx([1 / 3] * 3)


def test_large_and_small_are_counted_alike() -> None:
    graph = chance(graphs._DENSE + 1, 900, 2)
    small = chance(graphs._DENSE + 1, 900, 2)[: graphs._DENSE, : graphs._DENSE]
    for one in (graph, small):
        assert pagerank(one).sum() == pytest.approx(1.0)
        assert betweenness(one).max() < 0.2


def test_how_a_triangle_with_a_tail_hangs_together() -> None:
    close = closeness(graph_of([0, 1, 2, 2], [1, 2, 0, 3], np.ones(4), 4))
    assert close.clustering == pytest.approx(3 / 5)
    assert close.density == pytest.approx(4 / 6)
    assert close.degree == pytest.approx((2 + 2 + 3 + 1) / 3 / 4)
    assert closeness(path(2)).clustering is None
    assert closeness(graph_of([], [], [], 1)).degree == 0.0
