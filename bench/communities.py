"""Whether communities that are there are found, next to the usual programs, and at what cost.

    python -m bench.communities --edges E.csv --truth T.csv
    python -m bench.communities --generate 1000000

The edges are rows u,v,weight, the truth rows node,community; nodes are any words, and the truth
may leave some out (they do not count). `peers` are Louvain and Leiden of igraph, where it is
installed, at their defaults, over a handful of seeds: the lowest, the median and the best. Truth
in real networks is metadata: 1.0 is not to be expected. `seconds` is dividing alone.

`--generate` makes a degree-corrected planted partition of about so many edges: power-law degrees
(Pareto 1.5), mean degree 12, communities of 20 to 400 nodes, a share of 0.3 of the edges anywhere.
Pairs that are drawn twice are one edge. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from insights.graphs import Graph, Ints, disconnected, divide, graph_of

SEEDS = 7
"""Of the peers, whose results differ from one to the next."""

MEAN_DEGREE, SMALLEST, LARGEST, MIXING, EXPONENT = 12, 20, 400, 0.3, 1.5


class Case(NamedTuple):
    """A graph and its truth. known: nodes that the truth speaks of; truth: their communities."""

    graph: Graph
    known: Ints
    truth: Ints


def load(edges: Path, truth: Path) -> Case:
    """Read both files. Errors: KeyError when a column is missing; ValueError for a bad weight."""
    rows = pandas.read_csv(edges, dtype=str, keep_default_na=False)
    said = pandas.read_csv(truth, dtype=str, keep_default_na=False).drop_duplicates("node")
    names = np.concatenate([rows["u"], rows["v"], said["node"]])
    numbers, nodes = pandas.factorize(names)
    u, v, known = np.split(numbers, [len(rows), 2 * len(rows)])
    weight = rows["weight"].replace("", "1") if "weight" in rows else np.ones(len(rows))
    return Case(
        graph_of(u, v, np.asarray(weight, np.float64), len(nodes)),
        known.astype(np.int64),
        pandas.factorize(said["community"], sort=True)[0].astype(np.int64),
    )


def planted(edges: int, seed: int) -> Case:
    """A graph whose communities are known."""
    rng = np.random.default_rng(seed)
    nodes = max(2 * edges // MEAN_DEGREE, 2 * SMALLEST)
    sizes = rng.integers(SMALLEST, LARGEST + 1, 1 + 2 * nodes // SMALLEST)
    count = int(np.searchsorted(np.cumsum(sizes), nodes)) + 1
    ends = np.minimum(np.cumsum(sizes[:count]), nodes)
    truth = np.repeat(np.arange(count), np.diff(ends, prepend=0))
    degrees = np.cumsum(rng.pareto(EXPONENT, nodes) + 1)
    before = np.concatenate([[0.0], degrees])
    starts = np.concatenate([[0], ends])
    u = np.searchsorted(degrees, rng.random(edges) * degrees[-1])
    within = rng.random(edges) >= MIXING
    low = np.where(within, before[starts[truth[u]]], 0.0)
    high = np.where(within, before[starts[truth[u] + 1]], degrees[-1])
    v = np.minimum(np.searchsorted(degrees, low + rng.random(edges) * (high - low)), nodes - 1)
    graph = graph_of(u, v, np.ones(edges), nodes)
    graph.data[:] = 1.0
    return Case(graph, np.arange(nodes), truth)


def measure(case: Case, seed: int = 0) -> dict[str, Any]:
    """Ours on one case."""
    began = time.perf_counter()
    cpu = time.process_time()
    found = divide(case.graph, seed)
    seconds = time.perf_counter() - began
    labels = found.labels[case.known]
    return {
        "nodes": case.graph.shape[0],
        "edges": case.graph.nnz // 2,
        "true_communities": len(set(case.truth.tolist())),
        "nmi": round(float(normalized_mutual_info_score(case.truth, labels)), 4),
        "ari": round(float(adjusted_rand_score(case.truth, labels)), 4),
        "modularity": round(found.modularity, 4),
        "communities": int(found.labels.max(initial=-1)) + 1,
        "disconnected": disconnected(case.graph, found.labels),
        "resolution": round(found.resolution, 3),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
    }


def peers(case: Case, seeds: int = SEEDS) -> dict[str, Any]:
    """Louvain and Leiden of igraph on the same graph; {} where it is not installed."""
    if importlib.util.find_spec("igraph") is None:
        return {}
    import igraph

    rows = np.repeat(np.arange(case.graph.shape[0]), np.diff(case.graph.indptr))
    upper = rows < case.graph.indices
    pairs = np.stack([rows[upper], case.graph.indices[upper]], axis=1)
    graph = igraph.Graph(n=case.graph.shape[0], edges=pairs)
    weights = case.graph.data[upper].tolist()
    ways: dict[str, Callable[[], Any]] = {
        "igraph_louvain": lambda: graph.community_multilevel(weights=weights),
        "igraph_leiden": lambda: graph.community_leiden("modularity", weights=weights),
    }
    out: dict[str, Any] = {}
    for name, way in ways.items():
        scores: list[tuple[float, float]] = []
        seconds = 0.0
        for seed in range(seeds):
            random.seed(seed)
            igraph.set_random_number_generator(random)
            began = time.perf_counter()
            labels = np.array(way().membership)[case.known]
            seconds += time.perf_counter() - began
            scores.append(
                (
                    float(normalized_mutual_info_score(case.truth, labels)),
                    float(adjusted_rand_score(case.truth, labels)),
                )
            )
        nmi, ari = zip(*scores, strict=True)
        out[name] = {
            "nmi": round(max(nmi), 4),
            "nmi_median": round(float(np.median(nmi)), 4),
            "nmi_lowest": round(min(nmi), 4),
            "ari": round(max(ari), 4),
            "seconds": round(seconds / seeds, 3),
        }
    return out


def main(argv: Sequence[str]) -> int:
    """Measure a file, or a graph of its own making; prints JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.communities", description=__doc__)
    parser.add_argument("--edges", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--generate", type=int, metavar="EDGES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    asked = parser.parse_args(argv)
    if asked.generate is not None:
        case = planted(asked.generate, asked.seed)
    elif asked.edges and asked.truth:
        case = load(asked.edges, asked.truth)
    else:
        parser.error("--edges with --truth, or --generate")
    out = measure(case, asked.seed)
    out["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if not asked.no_peers:
        # A graph of millions takes them seconds each.
        out["peers"] = peers(case, SEEDS if case.graph.nnz < 400_000 else 1)
    print(json.dumps(out, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
