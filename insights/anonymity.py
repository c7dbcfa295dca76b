"""What may be shown of few people: nothing, to anybody but the owner.

A figure that stands on fewer than `least` members is withheld, and so is a share of members that
is true, or not true, of fewer. Where the parts of a whole are shown beside each other, hiding one
part alone hides nothing, for it is the whole less the others: so the next smallest are hidden with
it until those hidden are `least` members together. A part that is shown in a report of its own
says how many members all smaller ones are (`Figure.beside`), so that it is hidden there, too.
Members by number and quoted messages are for who looks after members: owners and operators, not
analysts.

What stays open: a figure about enough people may still say something of one of them to who knows
all the others, and two reports of two days may be subtracted; so may those of parts that do not
know of each other, such as a topic in each of the groups. Noise is the answer to that, and what
leaves the house has it (`insights/noise.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from insights.report import Chart, Figure, Listing, Report, Series

FEW = "few_people"
HIDDEN = "members_hidden"
NOTES = frozenset({FEW, HIDDEN})
"""Keys of the notes that are put here: too few people; lines about members left out."""

_AXIS = re.compile(r"state:\w+|[\W\d_]*")
"""What stands at an axis whatever was said: hours, ranks, days, shares, states."""


def masked(report: Report, least: int, owner: bool, *, members: bool = True) -> Report:
    """What may be shown of a report.

    owner: sees figures of few people, too. members: sees lines about members and quoted
    messages; False for analysts. A figure of nobody (people 0) is shown: there is nobody to
    protect. One that says nothing about people is shown. Charts are of no more people than the
    figures of their report: where those are few, no point is shown.
    """
    lists = report.lists if members else tuple(_impersonal(one) for one in report.lists)
    if owner:
        return replace(report, lists=lists)
    hidden = _to_hide(report.figures, least)
    crowd = max((_size(one) for one in report.figures), default=0)
    return replace(
        report,
        figures=tuple(_shown(one, least, id(one) in hidden) for one in report.figures),
        lists=tuple(_masked_list(one, least) for one in lists),
        charts=tuple(_masked_chart(one, least, 0 < crowd < least) for one in report.charts),
    )


def _impersonal(listing: Listing) -> Listing:
    """A list without lines about members, and without quotations."""
    rows = tuple(replace(row, details=()) for row in listing.rows if row.member_id is None)
    note = HIDDEN if len(rows) < len(listing.rows) else listing.note
    return replace(listing, rows=rows, note=note)


def _masked_list(listing: Listing, least: int) -> Listing:
    """Its lines are parts of one whole: judged together, figure by figure.

    A line of which nothing may be shown is left out: that a word was said by few says enough.
    Lines about members are there for who may see members, with all they say.
    """
    groups = [row for row in listing.rows if row.member_id is None]
    hidden = _to_hide([one for row in groups for one in row.figures], least, parts=True)
    rows = []
    for row in listing.rows:
        if row.member_id is None:
            told = [one for one in row.figures if one.people]
            if told and all(id(one) in hidden for one in told):
                continue
            figures = tuple(_shown(one, least, id(one) in hidden) for one in row.figures)
            row = replace(row, figures=figures)
        rows.append(row)
    note = FEW if len(rows) < len(listing.rows) else listing.note
    return replace(listing, rows=tuple(rows), note=note)


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
        few = [one for one in named if _size(one) < least]
        hidden |= {id(one) for one in few}
        if all(one.beside is not None for one in named):
            # Whoever made them looked at all parts, also at those that are not listed here.
            continue
        known = sum(_size(one) for one in few if all_parts or one.of)
        if not known:
            continue
        rest = sorted(
            (one for one in named if id(one) not in hidden and (all_parts or one.of)), key=_size
        )
        # One of enough people beside it makes them enough: more are not needed.
        for one in rest:
            if known >= least:
                break
            hidden.add(id(one))
            known += _size(one)
    return hidden


def _whole(one: Figure) -> tuple[str, float | None]:
    """What a figure is a part of: that of its name, or, for a count out of so many such as
    state_core of 900 members, the count of all states."""
    if one.unit == "count" and one.denominator is not None and one.value == one.numerator:
        return one.name.partition("_")[0], one.denominator
    return one.name, None


def _size(one: Figure) -> int:
    """The fewest members that it tells of; 0 for nobody.

    A share of members tells of those of whom it is true, and of the others.
    """
    if not one.people:
        return 0
    sizes = [one.people, one.beside or one.people]
    if one.unit == "share" and one.denominator == one.people and one.numerator is not None:
        sizes += [int(part) for part in (one.numerator, one.people - one.numerator) if part >= 1.0]
    return min(sizes)


def _shown(one: Figure, least: int, hide: bool) -> Figure:
    """A figure as it may be shown: blank, or without what it was before when that was of few."""
    if hide:
        return _blank(one)
    if one.value is None:
        # What a number that could not be worked out would have been made of is nobody's business.
        one = replace(one, numerator=None, denominator=None, low=None, high=None)
    if any(0 < size < least for size in _before_sizes(one)):
        note = "" if one.note == "within_chance" else one.note
        return replace(one, before=None, before_people=None, note=note)
    return one


def _before_sizes(one: Figure) -> list[int]:
    """How many members what it was before tells of; of a share of members also those that it was
    true of, and the others. A count of people was one before, also where it is nobody now."""
    if one.before is None:
        return []
    if one.before_people is None:
        people = one.unit == "count" and one.people is not None and one.value == one.people
        return [round(one.before)] if people else []
    sizes = [one.before_people]
    if one.unit == "share" and one.denominator is not None and one.denominator == one.people:
        hits = round(one.before * one.before_people)
        sizes += [hits, one.before_people - hits]
    return sizes


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
        beside=None,
        before_people=None,
    )


def _masked_chart(chart: Chart, least: int, few: bool) -> Chart:
    """Without points of few, and without what those are called: words and groups are."""
    series = tuple(_masked_series(chart, one, least, few) for one in chart.series)
    if chart.kind not in ("bars", "intervals"):
        return replace(chart, series=series)

    def hidden(at: int) -> bool:
        was = any(one.values[at : at + 1] not in ((), (None,)) for one in chart.series)
        return was and all(one.values[at : at + 1] in ((), (None,)) for one in series)

    labels = tuple(
        "" if not _AXIS.fullmatch(label) and hidden(at) else label
        for at, label in enumerate(chart.labels)
    )
    return replace(chart, labels=labels, series=series)


def _masked_series(chart: Chart, series: Series, least: int, few: bool) -> Series:
    """Points of few people are left out; all of them in a report of few. Where people are not
    told, fewer observations than `least` are of fewer people still, and where no sizes are given,
    a count is its own."""
    sizes: Sequence[float | None] = series.people or series.n
    if not sizes:
        sizes = series.values if chart.unit == "count" else (None,) * len(series.values)
    hide = {at for at, size in enumerate(sizes) if size is not None and 0 < size < least}
    if few:
        hide = {at for at, value in enumerate(series.values) if value and sizes[at] != 0}
    past = len(sizes) if chart.split is None else chart.split
    # A forecast is about nobody yet.
    hide = {at for at in hide if at < past}
    if chart.kind == "bars" or chart.unit == "count":
        # Parts of a whole that may stand somewhere else.
        known = sum(sizes[at] or 0 for at in hide)
        others = [(size, at) for at, size in enumerate(sizes[:past]) if size and at not in hide]
        for size, at in sorted(others) if known else ():
            if known >= least:
                break
            hide.add(at)
            known += size
    return replace(
        series,
        values=_without(series.values, hide),
        low=_without(series.low, hide),
        high=_without(series.high, hide),
        n=tuple(0 if at in hide else size for at, size in enumerate(series.n)),
        people=tuple(0 if at in hide else size for at, size in enumerate(series.people)),
    )


def _without(values: Sequence[float | None], hide: set[int]) -> tuple[float | None, ...]:
    return tuple(None if at in hide else value for at, value in enumerate(values))
