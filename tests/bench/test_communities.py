"""The community bench: planted graphs are as said, its keys are there, shared graphs are met."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from bench.communities import Case, load, main, measure, peers, planted

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "community"
KEYS = {"nmi", "ari", "modularity", "communities", "disconnected", "seconds"}

needs_igraph = pytest.mark.skipif(
    importlib.util.find_spec("igraph") is None, reason="igraph is not installed"
)


def shared(name: str) -> Case:
    edges = SHARED / f"{name}.edges.csv"
    if not edges.exists():
        pytest.skip("the shared community data is not here")
    return load(edges, SHARED / f"{name}.truth.csv")


def written(folder: Path) -> tuple[Path, Path]:
    """Two triangles and an edge between them; one node is in no truth, one in no edge."""
    edges, truth = folder / "e.csv", folder / "t.csv"
    rows = ("a,b", "b,c", "c,a", "c,x", "x,y", "y,z", "z,x", "z,q")
    edges.write_text("u,v,weight\n" + "".join(f"{row},2\n" for row in rows))
    truth.write_text("node,community\na,1\nb,1\nc,1\nx,2\ny,2\nz,2\nalone,3\n")
    return edges, truth


def test_nodes_are_words_and_the_truth_may_leave_some_out(tmp_path: Path) -> None:
    case = load(*written(tmp_path))
    assert case.graph.shape == (8, 8)
    assert case.graph.nnz == 16
    assert sorted(case.truth.tolist()) == [0, 0, 0, 1, 1, 1, 2]
    assert measure(case)["nmi"] == 1.0


def test_a_planted_graph_is_what_it_says() -> None:
    case = planted(60_000, 1)
    sizes = np.bincount(case.truth)
    assert sizes[:-1].min() >= 20
    assert sizes.max() <= 400
    assert case.truth.size == 10_000
    rows = np.repeat(np.arange(10_000), np.diff(case.graph.indptr))
    outside = (case.truth[rows] != case.truth[case.graph.indices]).mean()
    # A few of the edges that may go anywhere stay inside; some inside are drawn twice.
    assert 0.25 < outside < 0.4
    assert case.graph.diagonal().sum() == 0
    assert (case.graph.data == 1.0).all()
    assert measure(case)["ari"] > 0.7


def test_the_bench_prints_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edges, truth = written(tmp_path)
    assert main(["--edges", str(edges), "--truth", str(truth), "--no-peers"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert set(out) >= KEYS
    assert out["disconnected"] == 0
    assert out["peak_mib"] > 0


@needs_igraph
@pytest.mark.parametrize("name", ["karate", "football"])
def test_shared_graphs_are_divided_as_well_as_by_the_best_peer(name: str) -> None:
    case = shared(name)
    ours = measure(case)
    best = max(one["nmi"] for one in peers(case, 3).values())
    assert ours["nmi"] >= best - 0.02
    assert ours["disconnected"] == 0
