"""Graphs of people: who belongs together, and who stands where between the others.

A division is never chosen by one measure alone. Modularity merges small communities in a large
graph and divides pure chance in a sparse one; so many divisions are tried at several resolutions,
by Louvain and by Leiden, and the one is taken that describes the graph in the fewest words: with
one density inside communities and one between them (Zhang & Peixoto 2020; its best resolution is
that of Newman 2016), or with one for each pair of them (Karrer & Newman 2011, Peixoto 2017),
whichever is shorter. Where communities are large enough for modularity to see them, it decides
among the divisions that explain nearly as much. No community is in two pieces, and none reaches
over two components of the graph.

The only file that imports scikit-network, for its compiled moves of nodes between clusters. Its
own Leiden is not used: on some graphs it does not come to an end (measured: 0.33, 2,485 nodes).
Graphs come as symmetric CSR matrices without a diagonal unless said otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln
from sknetwork.clustering.louvain_core import optimize_core

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Graph: TypeAlias = Any
"""A scipy.sparse.csr_matrix, which has no types."""

RESOLUTIONS = tuple(float(one) for one in np.geomspace(0.25, 4.0, 9))
"""What is tried on graphs where trying costs little."""

_SMALL_EDGES = 40_000
_FEW_EDGES = 2_000
"""What is small when time matters: measured, beyond it trying all finds hardly more."""
_LARGE_EDGES = 300_000
_RESTARTS = 4
"""Of each method at each resolution, on a small graph: so many, and one on the largest."""

_MORE_AT_ONE = 4

_ROUNDS = 3
"""How often Leiden goes over what it found, at most."""

_STEPS = 3
"""How often, at most, a large graph's resolution is read off it anew."""

_DENSE = 300
"""Up to so many nodes, a full matrix is faster than a sparse one."""

_RANK_STEPS = 60
_RANK_TOLERANCE = 1e-7

_LEAST_NODES = 6
"""Of a component that is divided at all."""

_NEARLY = 0.8
"""Of what the shortest description saves: what saves as much explains nearly as much."""


class Division(NamedTuple):
    """Who belongs to which community.

    labels: one a node, from 0, the largest community first. modularity: at resolution 1.
    resolution: of the largest component's division; 1.0 where nothing was divided. saved: by how
    many nats the description is shorter than without communities; 0 or less: the graph shows none.
    """

    labels: Ints
    modularity: float
    resolution: float
    saved: float


class _Found(NamedTuple):
    """A division of one component. length: of its description, in nats."""

    labels: Ints
    resolution: float
    modularity: float
    length: float


def graph_of(u: Any, v: Any, weight: Any, nodes: int) -> Graph:
    """The symmetric graph of pairs, in any order and direction; weights of the same pair add up.

    u, v: node numbers below `nodes`. Pairs with oneself and weights of 0 or less are left out.
    """
    ends = (np.asarray(u, np.int32), np.asarray(v, np.int32))
    values = np.asarray(weight, np.float64)
    keep = (ends[0] != ends[1]) & (values > 0)
    rows, columns, values = ends[0][keep], ends[1][keep], values[keep]
    half = sparse.coo_matrix((values, (rows, columns)), shape=(nodes, nodes)).tocsr()
    graph = sparse.csr_matrix(half + half.T)
    graph.sort_indices()
    return graph


def divide(graph: Graph, seed: int = 0, *, sure: bool = False, tries: int = _RESTARTS) -> Division:
    """Divide a graph into communities; the same seed gives the same.

    tries: of each method at each resolution, on a small graph; with 1 few graphs are small, and
    the resolution of the others is read off them, in a seventh of the time.
    sure: leave a component whole where no division makes its description shorter, as pure chance
    does. A node without neighbours is a community of its own. An empty graph: no labels.
    """
    nodes = graph.shape[0]
    labels = np.zeros(nodes, np.int64)
    if graph.nnz == 0:
        return Division(np.arange(nodes, dtype=np.int64), 0.0, 1.0, 0.0)
    _, component = connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    bounds = np.searchsorted(component[order], np.arange(component.max() + 2))
    resolution, saved, largest, used = 1.0, 0.0, 0, 0
    for first, last in itertools.pairwise(bounds):
        inside = order[first:last]
        if inside.size < _LEAST_NODES:
            labels[inside] = used
            used += 1
            continue
        whole = inside.size == nodes
        part = graph if whole else sparse.csr_matrix(graph[inside][:, inside])
        found, less = _divide_connected(part, seed, tries)
        if sure and less <= 0:
            found, less = found._replace(labels=np.zeros(inside.size, np.int64)), 0.0
        labels[inside] = found.labels + used
        used += int(found.labels.max()) + 1
        saved += less
        if inside.size > largest:
            largest, resolution = inside.size, found.resolution
    labels = _by_size(labels)
    return Division(labels, modularity(graph, labels), resolution, saved)


def _divide_connected(graph: Graph, seed: int, tries: int) -> tuple[_Found, float]:
    """The division of a connected graph, and how many nats it saves."""
    # A pair is one observation, heavier ones more, so that weights in hours or in seconds
    # say the same.
    scaled = graph.copy()
    scaled.data = graph.data / graph.data.mean()
    nobody = np.zeros(graph.shape[0], np.int64)
    whole = description(scaled, nobody)
    small = graph.nnz <= 2 * (_SMALL_EDGES if tries > 1 else _FEW_EDGES)
    seen = {
        one.labels.tobytes(): one
        for one in (_try_all(scaled, seed, tries) if small else _follow(scaled))
        if one.labels.max() > 0
    }
    if not seen:
        return _Found(nobody, 1.0, 0.0, whole), 0.0
    best = _choose_of(list(seen.values()), whole, float(scaled.data.sum()) / 2)
    return best, whole - best.length


def _choose_of(found: list[_Found], whole: float, edges: float) -> _Found:
    """Of several divisions the one to keep. whole: the length without communities."""
    shortest = min(found, key=lambda one: one.length)
    saved = whole - shortest.length
    if saved > 0 and shortest.labels.max() + 1 > np.sqrt(edges / 2):
        return shortest
    # Communities above the resolution limit of modularity (Fortunato & Barthélemy 2007: more
    # than the root of 2 E edges each): it decides among all that explain nearly as much.
    near = [one for one in found if saved <= 0 or whole - one.length >= _NEARLY * saved]
    return max(near, key=lambda one: one.modularity)


def _try_all(graph: Graph, seed: int, tries: int) -> Iterator[_Found]:
    rng = np.random.default_rng(seed)
    restarts = min(tries, max(1, 2 * _SMALL_EDGES // graph.nnz))
    for resolution in RESOLUTIONS:
        # Modularity often has the last word: at its own resolution it is looked for longest.
        often = _MORE_AT_ONE if round(resolution, 6) == 1.0 else 1
        for restart in range(2 * restarts * often):
            labels = _cluster(graph, resolution, rng, refine=restart % 2 == 1)
            yield _judge(graph, labels, resolution)


def _follow(graph: Graph) -> Iterator[_Found]:
    """Read the resolution off the division that the last one gave, while descriptions shorten."""
    pieces = None
    if graph.nnz > 2 * _LARGE_EDGES:
        # The first moves from node to node cost the most, and nearly all they join stays
        # together at every resolution that comes into question: they are made once, and a last
        # round of moves frees who is wrong.
        start, _ = _move(graph, np.arange(graph.shape[0]), 1.0, _tolerance(graph))
        pieces = _in_one_piece(graph, start)
        coarse = _aggregate(graph, pieces)
    resolution, shortest = 1.0, np.inf
    for _ in range(_STEPS):
        if pieces is None:
            labels = _cluster(graph, resolution, None, refine=True)
        else:
            labels = _cluster(coarse, resolution, None, refine=False)[pieces]
            labels, _ = _move(graph, labels, resolution, _tolerance(graph))
            labels = _in_one_piece(graph, labels)
        found = _judge(graph, labels, resolution)
        yield found
        if found.length >= shortest:
            return
        shortest = found.length
        resolution = own_resolution(graph, found.labels)


def _judge(graph: Graph, labels: Ints, resolution: float) -> _Found:
    labels = _by_size(labels)
    inner, of_each = _inside(graph, labels), _of_each(graph, labels)
    return _Found(
        labels,
        resolution,
        _modularity(inner, of_each, 1.0),
        _description(graph, labels, inner, of_each),
    )


# What a division is worth


def _inside(graph: Graph, labels: Ints) -> float:
    """The weight within communities, both directions."""
    short = labels.astype(np.int32)
    same = np.repeat(short, np.diff(graph.indptr)) == short[graph.indices]
    return float(graph.data[same].sum())


def _strength(graph: Graph) -> Floats:
    return np.asarray(graph.sum(axis=1), np.float64).ravel()


def _of_each(graph: Graph, labels: Ints) -> Floats:
    """The strength of each community."""
    return np.asarray(np.bincount(labels, weights=_strength(graph)), np.float64)


def modularity(graph: Graph, labels: Ints, resolution: float = 1.0) -> float:
    """The share of weight inside communities beyond what chance gives (Newman & Girvan 2004).

    0.0 for a graph without edges.
    """
    return _modularity(_inside(graph, labels), _of_each(graph, labels), resolution)


def _modularity(inner: float, of_each: Floats, resolution: float) -> float:
    total = float(of_each.sum())
    if total == 0:
        return 0.0
    return inner / total - resolution * float(((of_each / total) ** 2).sum())


def own_resolution(graph: Graph, labels: Ints) -> float:
    """At which resolution modularity is the likelihood of this division (Newman 2016); 1.0 where
    nothing stands between communities, or nothing inside."""
    inner, of_each = _inside(graph, labels), _of_each(graph, labels)
    total, square = float(of_each.sum()), float((of_each**2).sum())
    if not 0 < inner < total or square >= total * total:
        return 1.0
    within = inner * total / square
    between = (total - inner) / (total - square / total)
    if within <= between:
        return 1.0
    return float((within - between) / (np.log(within) - np.log(between)))


def description(graph: Graph, labels: Ints) -> float:
    """How many nats describe the graph and the division together; fewer is better.

    labels: from 0 without a gap. What is the same for every division of a graph is left out.
    """
    return _description(graph, labels, _inside(graph, labels), _of_each(graph, labels))


def _description(graph: Graph, labels: Ints, inner: float, of_each: Floats) -> float:
    nodes = labels.size
    sizes = np.bincount(labels)
    count = sizes.size
    total = float(of_each.sum())
    division = (
        np.log(nodes)
        + _choose(nodes - 1, count - 1)
        + float(gammaln(nodes + 1) - gammaln(sizes + 1).sum())
    )
    square = float((of_each**2).sum())
    edges = total / 2
    one_density = np.log(edges + 1)
    if inner > 0:
        one_density -= inner / 2 * np.log(inner / square)
    if total - inner > 1e-9 * total:
        one_density -= (total - inner) / 2 * np.log((total - inner) / (total * total - square))
    # With so many communities, a density for each pair is never shorter.
    if count * count > 4 * edges * np.log(edges + 2):
        return float(division + one_density)
    between = _aggregate(graph, labels).tocoo()
    upper = between.row < between.col
    same = between.row == between.col
    halves = between.data[same] / 2
    pairs = count * (count + 1) / 2
    densities = (
        float(gammaln(of_each + 1).sum() - gammaln(between.data[upper] + 1).sum())
        - float((halves * np.log(2) + gammaln(halves + 1)).sum())
        + _choose(pairs + edges - 1, edges)
        # Stirling's, so that both count the same things.
        + (edges - np.log(2) / 2)
    )
    return float(division + min(one_density, densities))


def _choose(n: float, k: float) -> float:
    """ln of n over k."""
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


# Louvain and Leiden


def _aggregate(graph: Graph, labels: Ints) -> Graph:
    """One node a cluster; what was inside is on the diagonal."""
    ones = np.ones(labels.size)
    member = sparse.csr_matrix((ones, labels, np.arange(labels.size + 1)))
    return sparse.csr_matrix(member.T @ graph @ member)


def _cluster(
    graph: Graph, resolution: float, rng: np.random.Generator | None, *, refine: bool
) -> Ints:
    """Louvain, or with `refine` Leiden, which goes over its own result; each cluster in one piece.

    rng: in which order nodes are looked at; None for as they stand.
    """
    found = _shuffled(graph, np.arange(graph.shape[0]), resolution, rng, refine=refine)
    for _ in range(_ROUNDS if refine else 0):
        again = _shuffled(graph, found, resolution, rng, refine=True)
        if modularity(graph, again, resolution) <= modularity(graph, found, resolution):
            break
        found = again
    return _in_one_piece(graph, found)


def _shuffled(
    graph: Graph,
    labels: Ints,
    resolution: float,
    rng: np.random.Generator | None,
    *,
    refine: bool,
) -> Ints:
    if rng is None:
        return _climb(graph, labels, resolution, refine=refine)
    order = rng.permutation(graph.shape[0])
    mixed = sparse.csr_matrix(graph[order][:, order])
    found = np.empty_like(labels)
    found[order] = _climb(mixed, labels[order], resolution, refine=refine)
    return found


def _climb(graph: Graph, labels: Ints, resolution: float, *, refine: bool) -> Ints:
    """Move nodes, then what they formed, until nothing gains. labels: where they begin."""
    level = graph
    of_node = np.arange(graph.shape[0])
    tolerance = _tolerance(graph)
    while True:
        before = level.shape[0]
        labels, gained = _move(level, labels, resolution, tolerance)
        groups = _refined(level, labels, resolution, tolerance) if refine else labels
        if groups.max() + 1 == before or (not refine and gained <= 0):
            return labels[of_node]
        level = _aggregate(level, groups)
        coarse = np.zeros(level.shape[0], np.int64)
        coarse[groups] = labels
        of_node = groups[of_node]
        labels = coarse if refine else np.arange(level.shape[0])


def _tolerance(graph: Graph) -> float:
    """What a round of moves must gain for another; in 32 bits, less is noise without an end."""
    return float(graph.data.sum()) * (1e-5 if graph.nnz <= 2 * _SMALL_EDGES else 1e-3)


def _move(level: Graph, labels: Ints, resolution: float, tolerance: float) -> tuple[Ints, float]:
    """Move nodes between clusters while it gains; the clusters from 0, and what was gained."""
    strength = _strength(level)
    total = strength.sum()
    # Weights as they are and not as shares: whole numbers stay exact in 32 bits.
    out = strength.astype(np.float32)
    share = (strength / total).astype(np.float32)
    nodes = level.shape[0]
    moved, gained = optimize_core(
        labels.astype(np.int32),
        level.indices.astype(np.int32),
        level.indptr.astype(np.int32),
        level.data.astype(np.float32),
        out,
        share,
        np.bincount(labels, weights=strength, minlength=nodes).astype(np.float32),
        np.bincount(labels, weights=strength / total, minlength=nodes).astype(np.float32),
        np.zeros(nodes, np.float32),
        level.diagonal().astype(np.float32),
        resolution,
        tolerance,
    )
    return np.unique(np.asarray(moved), return_inverse=True)[1].astype(np.int64), float(gained)


def _refined(level: Graph, labels: Ints, resolution: float, tolerance: float) -> Ints:
    """Cut clusters into what holds together by itself (Traag, Waltman & van Eck 2019): the next
    level may then move parts of them. What leaves a cluster counts for strength only."""
    strength = _strength(level)
    inner = _within(level, labels, level.data)
    # The weight that was cut off is put on the diagonal, which moves nothing and keeps strengths.
    rest = sparse.diags_array(strength - _strength(inner))
    parts, _ = _move(
        sparse.csr_matrix(inner + rest), np.arange(level.shape[0]), resolution, tolerance
    )
    return _in_one_piece(level, parts)


def _in_one_piece(graph: Graph, labels: Ints) -> Ints:
    """Clusters that are in several pieces become several."""
    inner = _within(graph, labels, np.ones(graph.nnz, np.int8))
    return np.asarray(connected_components(inner, directed=False)[1], np.int64)


def _within(graph: Graph, labels: Ints, data: NDArray[Any]) -> Graph:
    """The graph without what stands between clusters."""
    short = labels.astype(np.int32)
    keep = np.repeat(short, np.diff(graph.indptr)) == short[graph.indices]
    ends = np.concatenate([[0], np.cumsum(keep)])[graph.indptr]
    return sparse.csr_matrix((data[keep], graph.indices[keep], ends), shape=graph.shape)


def _by_size(labels: Ints) -> Ints:
    """The same division, numbered from the largest community; of equal ones the first met."""
    _, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(sizes.size, np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(sizes.size)
    return rank[inverse]


def disconnected(graph: Graph, labels: Ints) -> int:
    """How many communities are in more than one piece."""
    pieces = _in_one_piece(graph, labels)
    return int(np.sum(np.bincount(labels[np.unique(pieces, return_index=True)[1]]) > 1))


# Who stands where


def pagerank(turns: Graph, damping: float = 0.85) -> Floats:
    """Where attention ends up that follows who turns to whom (Brin & Page 1998).

    turns: from the row to the column, weighted; not symmetric. Who turns to nobody turns to all
    alike. Sums to 1; empty without nodes.
    """
    nodes = turns.shape[0]
    if nodes == 0:
        return np.empty(0)
    out = _strength(turns)
    spread = np.divide(1.0, out, out=np.zeros(nodes), where=out > 0)
    back = turns.T.toarray() if nodes <= _DENSE else turns.T.tocsr()
    idle = out <= 0
    rank = np.full(nodes, 1 / nodes)
    for _ in range(_RANK_STEPS):
        passed = np.asarray(back @ (rank * spread)) + rank[idle].sum() / nodes
        new = np.asarray(damping * passed + (1 - damping) / nodes)
        moved = float(np.abs(new - rank).sum())
        rank = new
        if moved < _RANK_TOLERANCE:
            break
    return rank


def betweenness(graph: Graph, seed: int = 0, sources: int = 64) -> Floats:
    """On which share of shortest paths between two others a node lies (Brandes 2001).

    From so many nodes drawn at random, all of a smaller graph; every edge is one step. 0 to 1.
    """
    nodes = graph.shape[0]
    if nodes < 3 or graph.nnz == 0:
        return np.zeros(nodes)
    steps = sparse.csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), shape=graph.shape)
    if nodes <= _DENSE:
        steps = steps.toarray()
    drawn = np.random.default_rng(seed).permutation(nodes)[:sources]
    total = np.zeros(nodes)
    # A few sources at a time, so that a graph of 100,000 needs tens of megabytes and not hundreds.
    for first in range(0, drawn.size, 32):
        total += _dependencies(steps, drawn[first : first + 32])
    return np.asarray(total * (nodes / drawn.size) / ((nodes - 1) * (nodes - 2)))


def _dependencies(steps: Any, sources: Ints) -> Floats:
    """The sum over these sources of how much each node is depended on."""
    columns = np.arange(sources.size)
    paths = np.zeros((steps.shape[0], sources.size))
    paths[sources, columns] = 1.0
    front = paths.copy()
    fronts = [front]
    while True:
        front = np.asarray(steps @ front)
        front[paths > 0] = 0.0
        if not front.any():
            break
        paths += front
        fronts.append(front)
    owed = np.zeros_like(paths)
    with np.errstate(divide="ignore", invalid="ignore"):
        for nearer, further in zip(reversed(fronts[:-1]), reversed(fronts[1:]), strict=True):
            passed = np.where(further > 0, (1.0 + owed) / paths, 0.0)
            owed += np.where(nearer > 0, np.asarray(steps @ passed) * paths, 0.0)
    owed[sources, columns] = 0.0
    return np.asarray(owed.sum(axis=1))


class Closeness(NamedTuple):
    """How a group hangs together.

    degree: the mean share of the others that a member talks with (degree centrality).
    clustering: how many of two partners of one member talk with each other (transitivity,
    Newman 2003); None when nobody has two. density: of all pairs those who talk.
    """

    degree: float
    clustering: float | None
    density: float


def closeness(graph: Graph) -> Closeness:
    """0 everywhere for a graph of fewer than two nodes or without edges."""
    nodes = graph.shape[0]
    if nodes < 2 or graph.nnz == 0:
        return Closeness(0.0, None, 0.0)
    steps = sparse.csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), graph.shape)
    degrees = np.diff(graph.indptr)
    pairs = float((degrees * (degrees - 1)).sum())
    # Closed ones, row by row: the square itself may be as good as full.
    closed = 0.0
    for first in range(0, nodes, 2000):
        rows = steps[first : first + 2000]
        closed += float((rows @ steps).multiply(rows).sum())
    density = graph.nnz / (nodes * (nodes - 1))
    return Closeness(
        float(np.mean(degrees / (nodes - 1))), closed / pairs if pairs else None, float(density)
    )
