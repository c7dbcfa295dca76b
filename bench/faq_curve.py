"""The picture of `bench.faq --curve`: what every confidence threshold would bring.

Comes with the bench extra. The same figures give the same file, byte for byte, with the
same version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

KINDS = (".svg", ".png")
"""Endings of the files that can be drawn."""

_STYLES = {
    "precision": ("precision of answers", "#0b6e4f", "-"),
    "correct_share": ("answered rightly, of the answerable", "#1f4e9e", "-"),
    "oos_chat": ("chatter answered", "#b3261e", "-"),
    "oos_indomain": ("same domain, no entry: answered", "#b3261e", "--"),
    "oos_hard": ("alike, no entry: answered", "#b3261e", ":"),
}
_OTHER = "#6b6b6b"


def installed() -> bool:
    """Whether matplotlib is there; it is not loaded, for it would weigh on `memory_mb`."""
    return util.find_spec("matplotlib") is not None


def draw(
    path: Path,
    thresholds: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    answer_at: float,
    title: str,
) -> None:
    """Write the picture. Use only when `installed`.

    lines: name -> a share for each threshold, None where there is none. path: ends in one
    of KINDS; its folder exists. Raises OSError.
    """
    import matplotlib as plot
    from matplotlib.figure import Figure

    with plot.rc_context({"svg.hashsalt": "zhiqun", "svg.fonttype": "path", "font.size": 10}):
        figure: Any = Figure(figsize=(8.4, 5.2), layout="constrained")
        axes: Any = figure.add_subplot()
        for name, shares in lines.items():
            label, colour, style = _STYLES.get(name, (f"{name} answered", _OTHER, "-."))
            values = [float("nan") if share is None else share for share in shares]
            axes.plot(thresholds, values, style, color=colour, label=label, linewidth=1.6)
        axes.axvline(answer_at, color="black", linewidth=0.9)
        axes.annotate(
            f"shipped: {answer_at:g}",
            (answer_at, 1.0),
            (4, -3),
            textcoords="offset points",
            va="top",
        )
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.005),
            xlabel="confidence from which a question is answered outright",
            ylabel="share",
            title=title,
        )
        axes.grid(color="#dddddd", linewidth=0.6)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        svg = path.suffix == ".svg"
        # A date or a version would change the file when no figure did.
        nothing = {"Date": None, "Creator": None} if svg else {"Software": None}
        figure.savefig(path, format=path.suffix[1:], dpi=110, metadata=nothing)
