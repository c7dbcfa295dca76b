"""A report: figures, lists and charts, as a job leaves them and chat, terminal and API read them.

Every figure says what it stands on, so that it can be asked why: its window, its sample, its
numerator and denominator. No sentence stands here: names of figures, lists, charts and notes are
keys of the chat texts (`figure.NAME`, `why.NAME`, `list.NAME`, `chart.NAME`, `note.NAME`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Unit = Literal["share", "count", "cents", "seconds", "days", "score", "hour", "factor"]
ChartKind = Literal["lines", "bars", "heat", "intervals"]

KINDS = (
    *("day", "week", "group", "topic", "mood", "members", "leaders", "retention", "budget"),
    "rec",
)
"""The reports there are; "group" is one for each group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number and what it stands on.

    name: what it is ("interaction_rate"). value: None when it could not be worked out; then note
    says why. unit: shares are 0 to 1. of: of whom or what, as people call it; "" for all.
    numerator, denominator: what was divided, None for what is no quotient. low, high: a 95 %
    interval, None without one. n: how many observations it stands on. people: how many different
    members those are of; None when it says nothing about people. since, until: its window, Unix
    seconds; until is not in it. before: the same over the window before, None when not known.
    note: the key of a sentence that belongs to it; "" for none. beside: of a part of a whole, how
    many members all smaller parts are of together: subtracting it and the larger ones tells of
    those; 0 for the smallest, None when it is no part or that is not known. before_people: how
    many members `before` tells of, None when not known.
    """

    name: str
    value: float | None
    unit: Unit
    since: float
    until: float
    of: str = ""
    numerator: float | None = None
    denominator: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    people: int | None = None
    before: float | None = None
    note: str = ""
    beside: int | None = None
    before_people: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a list. label: as people call it. member_id: whom it is about; label is "" then.

    details: short texts behind it: words, example messages, names.
    """

    label: str = ""
    member_id: int | None = None
    figures: tuple[Figure, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A named list, best first."""

    name: str
    rows: tuple[Row, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, one row of bars, or one row of a heat map. name: a key or a label of the data.

    values: one for each label of the chart; None where there is none. low, high: a band or the
    intervals, empty without one. n: sizes, for tables; empty without. people: how many members
    each value is of, where n counts something else or nothing; empty without.
    """

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    n: tuple[int, ...] = ()
    people: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw. labels: of the x axis, or of the bars; split: at which of them the past ends
    and a forecast begins, None for no forecast."""

    name: str
    kind: ChartKind
    unit: Unit
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    split: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """kind: one of KINDS. scope: the place it is about, "" for all. made_at: when it was worked
    out; since, until: its window, Unix seconds."""

    kind: str
    made_at: float
    since: float
    until: float
    scope: str = ""
    figures: tuple[Figure, ...] = ()
    lists: tuple[Listing, ...] = ()
    charts: tuple[Chart, ...] = ()
    note: str = ""


def name_of(kind: str, scope: str = "") -> str:
    """Under which name of `findings` a report is kept."""
    return f"report:{kind}:{scope}"


def to_json(report: Report) -> str:
    """As it is kept. Numbers that are none (nan, infinite) become null."""
    return msgspec.json.encode(report).decode()


def from_json(data: str) -> Report:
    """Read back. Errors: ValueError when it is no report."""
    return msgspec.json.decode(data.encode(), type=Report)


def known(data: str | None) -> Report | None:
    """What is kept, read back; None when nothing is, or when it is no report any more: what is
    left of one is worked out anew by the next run of its job."""
    if data is None:
        return None
    try:
        return from_json(data)
    except ValueError:
        return None
