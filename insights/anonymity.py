"""What may be shown of few people: nothing, to anybody but the owner.

A figure that stands on fewer than `least` members is withheld. Where the parts of a whole are
shown beside each other, hiding one part alone hides nothing, for it is the whole less the others:
so the next smallest are hidden with it until those hidden are `least` members together. Members by
number and quoted messages are for who looks after members: owners and operators, not analysts.

What stays open: a figure about enough people may still say something of one of them to who knows
all the others, and two reports of two days may be subtracted. Noise is the answer to that, and
what leaves the house has it (`insights/noise.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from insights.report import Chart, Figure, Listing, Report, Series

FEW = "few_people"
HIDDEN = "members_hidden"
NOTES = frozenset({FEW, HIDDEN})
"""Keys of the notes that are put here: too few people; lines about members left out."""


def masked(report: Report, least: int, owner: bool, *, members: bool = True) -> Report:
    """What may be shown of a report.

    owner: sees figures of few people, too. members: sees lines about members and quoted
    messages; False for analysts. A figure of nobody (people 0) is shown: there is nobody to
    protect. One that says nothing about people is shown.
    """
    lists = report.lists if members else tuple(_impersonal(one) for one in report.lists)
    if owner:
        return replace(report, lists=lists)
    hidden = _to_hide(report.figures, least)
    return replace(
        report,
        figures=tuple(_blank(one) if id(one) in hidden else one for one in report.figures),
        lists=tuple(_masked_list(one, least) for one in lists),
        charts=tuple(_masked_chart(one, least) for one in report.charts),
    )


def _impersonal(listing: Listing) -> Listing:
    """A list without lines about members, and without quotations."""
    rows = tuple(replace(row, details=()) for row in listing.rows if row.member_id is None)
    note = HIDDEN if len(rows) < len(listing.rows) else listing.note
    return replace(listing, rows=rows, note=note)


def _masked_list(listing: Listing, least: int) -> Listing:
    """Its lines are parts of one whole: judged together, figure by figure."""
    groups = [row for row in listing.rows if row.member_id is None]
    hidden = _to_hide([one for row in groups for one in row.figures], least, parts=True)

    def shown(figures: Sequence[Figure]) -> tuple[Figure, ...]:
        return tuple(_blank(one) if id(one) in hidden else one for one in figures)

    return replace(
        listing, rows=tuple(replace(row, figures=shown(row.figures)) for row in listing.rows)
    )


def _to_hide(figures: Sequence[Figure], least: int, *, parts: bool = False) -> set[int]:
    """Which of them to hide (by id): those of few people, and what would give them away.

    parts: all of a name are parts of one whole; else those that say of whom they are, and the
    one that does not is the whole: what they are subtracted from.
    """
    hidden: set[int] = set()
    wholes = [(one.name, None) if parts else _whole(one) for one in figures]
    for whole in set(wholes):
        named = [one for one, its in zip(figures, wholes, strict=True) if its == whole]
        named = [one for one in named if one.people]
        all_parts = parts or whole[1] is not None
        few = [one for one in named if _people(one) < least]
        hidden |= {id(one) for one in few}
        known = sum(_people(one) for one in few if all_parts or one.of)
        if not known:
            continue
        rest = sorted(
            (one for one in named if id(one) not in hidden and (all_parts or one.of)), key=_people
        )
        # One of enough people beside it makes them enough: more are not needed.
        for one in rest:
            if known >= least:
                break
            hidden.add(id(one))
            known += _people(one)
    return hidden


def _whole(one: Figure) -> tuple[str, float | None]:
    """What a figure is a part of: that of its name, or, for a count out of so many such as
    state_core of 900 members, the count of all states."""
    if one.unit == "count" and one.denominator is not None and one.value == one.numerator:
        return one.name.partition("_")[0], one.denominator
    return one.name, None


def _people(one: Figure) -> int:
    return one.people or 0


def _blank(one: Figure) -> Figure:
    return replace(
        one,
        value=None,
        numerator=None,
        denominator=None,
        low=None,
        high=None,
        before=None,
        n=0,
        people=None,
        note=FEW,
    )


def _masked_chart(chart: Chart, least: int) -> Chart:
    return replace(chart, series=tuple(_masked_series(chart, one, least) for one in chart.series))


def _masked_series(chart: Chart, series: Series, least: int) -> Series:
    """Points of few observations are left out: fewer observations than `least` are of fewer
    people still. Where no sizes are given, a count is its own."""
    sizes: Sequence[float | None] = series.n
    if not series.n:
        if chart.unit != "count":
            return series
        sizes = series.values
    hide = {at for at, size in enumerate(sizes) if size is not None and 0 < size < least}
    if chart.split is not None:
        # A forecast is about nobody yet.
        hide = {at for at in hide if at < chart.split}
    if len(hide) == 1 and chart.kind == "bars":
        others = [(size, at) for at, size in enumerate(sizes) if size and at not in hide]
        hide |= {min(others)[1]} if others else set()
    return replace(
        series,
        values=_without(series.values, hide, None),
        low=_without(series.low, hide, None),
        high=_without(series.high, hide, None),
        n=tuple(0 if at in hide else size for at, size in enumerate(series.n)),
    )


def _without(
    values: Sequence[float | None], hide: set[int], nothing: None
) -> tuple[float | None, ...]:
    return tuple(nothing if at in hide else value for at, value in enumerate(values))
