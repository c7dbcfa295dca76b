"""The picture of `bench.recommend --curve`: newcomers by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DRAWN = {"ours": "#0b6e4f", "item_item": "#c26a00", "popularity": "#777777"}


def draw(curves: Mapping[str, Mapping[str, Mapping[int, Any]]], path: Path) -> None:
    """One panel for each set: NDCG@10 over the number of known deeds, with 95 % intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 3.6), squeeze=False)
    for axis, (name, systems) in zip(axes[0], curves.items(), strict=True):
        for system, colour in _DRAWN.items():
            found = systems.get(system, {})
            sizes = sorted(found)
            axis.plot(sizes, [found[s]["value"] for s in sizes], color=colour, label=system)
            low, high = ([found[s][end] for s in sizes] for end in ("low", "high"))
            axis.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(title=name, xlabel="known deeds", ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("NDCG@10 of newcomers")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
