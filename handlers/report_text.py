"""Reports in words: a short text for the chat, one chart, and the answer to why.

Pure. Names of figures and lists are keys of the chat texts; what a job leaves out is left out here.
A message is for a phone: ten figures and three short lists. What does not fit is the rest, which
is told when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from handlers.context import SHANGHAI
from handlers.report_numbers import said
from handlers.texts import MAX_TEXT_BYTES, Texts
from insights.anonymity import FEW
from insights.behaviour import StateRules
from insights.report import Chart, Figure, Listing, Report, Row

ASKED = "report"
"""The member state that keeps what the numbers of the last report stand for."""
_MOST_ASKED = 60

MOST_FIGURES = 10
MOST_LISTS = 3
MOST_ROWS = 5
"""Figures, lists and rows of one list in a message."""

_MOST_OF_ROW = 2
"""Figures of a row in a message; why tells all of them."""

_ROOM = MAX_TEXT_BYTES - 320
"""Bytes for lines; the others are for what is said below them."""

_USUAL = StateRules()
"""What the states mean where nothing is configured."""

_REFERENCES = ("t:", "i:", "item:", "gap:")
"""Details that stand for something to look up: messages, items, open questions."""

FIRST: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "day": (
            *("messages", "active_members", "new_followers", "joined_groups", "answered_share"),
            *("interaction_rate", "paying_members", "revenue"),
            *("mood_negative_today", "state_leaving"),
        ),
        "week": (
            *("messages", "active_members", "interaction_rate", "conversion_rate"),
            *("retention_rate", "revenue", "answered_share", "mood_negative", "state_leaving"),
            "forecast_week",
        ),
        "members": (
            *("members", "state_leaving", "state_lost", "state_newcomer", "state_core"),
            *("state_active", "state_lurker", "churn_expected"),
        ),
        "retention": (
            *("interaction_rate", "conversion_rate", "retention_rate", "stay_rate"),
            *("retained_week_1", "retained_week_4", "median_lifetime"),
            *("ltv_90", "ltv_year", "cost_per_conversion"),
        ),
        "rec": (
            *("rec_lists", "rec_ctr", "rec_ctr_more", "rec_conversion", "rec_conversion_more"),
            *("rec_revenue", "rec_revenue_more", "rec_coverage", "rec_novelty", "rec_cold_items"),
        ),
    }
)
"""What is told first, in this order; of other kinds the first figures are."""

_MIXED = frozenset({"day", "week", "group", "retention"})
"""Reports with figures of others in them: those of another window than the heading's say theirs."""

_DAY_S = 86_400.0
_SAME_DAY = "against_last_week"
_AGAINST = frozenset({_SAME_DAY, "against_yesterday", "against_week_before"})
"""Notes of reports that the words of each figure tell already."""
_ALIKE = "within_chance"
_HOW = frozenset({"by_autoreg", "by_level", "by_blend"})
"""Notes that only who asks why wants to read."""

_BEFORE: Mapping[str, str] = MappingProxyType(
    {
        "budget_planned": "usual",
        "share_spent": "usual",
        "budget_less": "plan",
        "budget_more": "plan",
        "rec_ctr": "holdout",
        "rec_conversion": "holdout",
        "rec_revenue": "holdout",
        "rec_novelty": "holdout",
    }
)
"""What a plan and what is recommended are compared with; all else with the window before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a number in a told report stands for: a figure, or all of a row.

    label: what the row is called; details: what is behind it. note: of the report, which may say
    what the values before are of.
    """

    figures: tuple[Figure, ...]
    label: str = ""
    details: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A report in words, and what each number in it stands for, from 1."""

    text: str
    asked: tuple[Asked, ...]


def kept(role: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """What numbers stand for, as the state ASKED keeps it. role: of who was told them."""
    return {
        "role": role,
        "asked": [
            {
                "f": msgspec.to_builtins(one.figures),
                "l": one.label,
                "d": list(one.details),
                "n": one.note,
            }
            for one in asked[:_MOST_ASKED]
        ],
    }


def asked_of(known: Mapping[str, Any], number: int | None) -> Asked | None:
    """What a number stands for in what was kept; None for no number of it."""
    if number is None or not 1 <= number <= len(known["asked"]):
        return None
    one = known["asked"][number - 1]
    figures = msgspec.convert(one["f"], tuple[Figure, ...])
    return Asked(figures, one["l"], tuple(one["d"]), one["n"])


# What goes into one message


def parts(report: Report) -> tuple[Report, Report | None]:
    """What is told first, and the rest; None when there is none.

    What could not be worked out goes with the rest, unless there is nothing else.
    """
    order = {name: at for at, name in enumerate(FIRST.get(report.kind, ()))}
    known = [one for one in report.figures if one.value is not None] or list(report.figures)
    chosen = [one for one in known if one.name in order] if order else known
    if not chosen:
        chosen = [one for one in report.figures if one.name in order]
    chosen = sorted(chosen, key=lambda one: order.get(one.name, 0))[:MOST_FIGURES]
    taken = {id(one) for one in chosen}
    filled = [one for one in report.lists if one.rows or one.note not in ("", report.note)]
    first, later = filled[:MOST_LISTS], filled[MOST_LISTS:]
    longer = [replace(one, rows=one.rows[MOST_ROWS:]) for one in first if one.rows[MOST_ROWS:]]
    rest = replace(
        report,
        figures=tuple(one for one in report.figures if id(one) not in taken),
        lists=tuple(longer + later),
        charts=report.charts[1:],
    )
    short = tuple(replace(one, rows=one.rows[:MOST_ROWS]) for one in first)
    told_first = replace(report, figures=tuple(chosen), lists=short, charts=report.charts[:1])
    return told_first, rest if rest.figures or rest.lists else None


def told(
    texts: Texts, report: Report, title: str, labels: Mapping[int, str], room: int = _ROOM
) -> Told:
    """The report as one message, what is in it numbered.

    title: what it is called. labels: what members are called, by number; others are 成员 N. room:
    bytes that there are.
    """
    head = texts(
        "report.head",
        title=title,
        window=days(report.since, report.until),
        when=moment(report.made_at),
    )
    lines: list[str] = []
    asked: list[Asked] = []
    for one in report.figures:
        asked.append(Asked((one,), note=report.note))
        over = _other_days(report, one) if report.kind in _MIXED else ""
        lines.append(_figure_line(texts, one, len(asked), report.note, over))
    if report.note and report.note not in _AGAINST:
        lines.append(texts(f"note.{report.note}"))
    for listing in report.lists:
        lines += _list_lines(texts, listing, labels, asked)
    return Told(fitted(texts, [head], lines, room), tuple(asked))


def _list_lines(
    texts: Texts, listing: Listing, labels: Mapping[int, str], asked: list[Asked]
) -> list[str]:
    """A blank line, the name of the list, its rows; what their numbers stand for joins `asked`."""
    if not listing.rows and not listing.note:
        return []
    lines = ["", texts("report.list", name=texts(f"list.{listing.name}"))]
    hidden = False
    for row in _channels_named(texts, listing):
        label = called(texts, row, labels)
        number = 0
        if row.figures or references(row.details):
            asked.append(Asked(row.figures, label, row.details))
            number = len(asked)
        hidden = hidden or any(one.note == FEW for one in row.figures)
        lines.append(_row_line(texts, row, label, number, f"state:{listing.name}"))
    notes = [note for note in (listing.note, FEW if hidden else "") if note]
    lines += [texts(f"note.{note}") for note in notes]
    return lines


_BY_CHANNEL = "rates_by_channel"


def _channels_named(texts: Texts, listing: Listing) -> tuple[Row, ...]:
    """The rows; those of channels under the names that people know."""
    if listing.name != _BY_CHANNEL:
        return listing.rows
    return tuple(
        replace(row, label=name, figures=tuple(replace(one, of=name) for one in row.figures))
        for row in listing.rows
        for name in (_channel(texts, row.label),)
    )


def _channel(texts: Texts, name: str) -> str:
    """What a channel of the configuration is called; a name of somebody's own stays."""
    key = f"channel.{name}"
    return texts(key) if key in _known(texts) else name


def fitted(texts: Texts, head: Sequence[str], lines: Sequence[str], room: int = _ROOM) -> str:
    """As many lines as one message takes, and how many it did not take."""
    kept = list(head)
    used = sum(len(line.encode()) + 1 for line in kept)
    for number, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > room:
            kept.append(texts("report.cut", count=sum(1 for one in lines[number:] if one)))
            break
        kept.append(line)
    return "\n".join(kept)


def _other_days(report: Report, one: Figure) -> str:
    """The days of a figure where they are others than the heading says, "" where they are not.

    A state is that of its last day; what is to come is called so by its name.
    """
    if one.value is None or one.since >= report.until:
        return ""
    first, last = _date(one.since), _date(max(one.since, one.until - 1))
    begin, end = _date(report.since), _date(max(report.since, report.until - 1))
    of_moment = one.name.startswith("state_")
    if last == end and (of_moment or first == begin):
        return ""
    if of_moment or first == last:
        return f"{last:%m-%d}"
    since = f"{first:%m-%d}" if first.year == last.year else f"{first:%Y-%m-%d}"
    return f"{since} 到 {last:%m-%d}"


def _date(at: float) -> date:
    return datetime.fromtimestamp(at, SHANGHAI).date()


def _figure_line(texts: Texts, one: Figure, number: int, said_already: str, over: str = "") -> str:
    name = named(texts, one)
    if over:
        name += texts("report.aside", note=over)
    line = [texts("report.figure", number=number, name=name, value=value(one))]
    if one.value is not None:
        line.append(_quotient(texts, one))
        line.append(_before(texts, one, said_already))
    if one.note and one.note not in {_ALIKE, said_already, *_HOW}:
        line.append(texts("report.aside", note=texts(f"note.{one.note}")))
    return "".join(line)


def _quotient(texts: Texts, one: Figure) -> str:
    if one.numerator is None or one.denominator is None:
        return ""
    if one.unit == "count" and one.value == one.numerator:
        return texts("report.of_all", under=_plain(one.denominator))
    return texts("report.quotient", over=_over(one), under=_plain(one.denominator))


def _before(texts: Texts, one: Figure, note: str) -> str:
    if one.before is None:
        return ""
    than = against(texts, one, note)
    was = said(one.before, one.unit)
    if one.note == _ALIKE:
        return texts("report.before_alike", than=than, value=was)
    return texts("report.before", than=than, value=was)


def against(texts: Texts, one: Figure, note: str = "") -> str:
    """What the value before is called: 前一周, 昨天 … note: of the report the figure is in."""
    other = _BEFORE.get(one.name)
    if other == "usual":
        return texts("report.than_usual")
    if other == "plan":
        return texts("report.than_plan")
    if other == "holdout":
        return texts("report.than_holdout")
    # A day that is not over is one of them: what it is held against is whole days, too.
    length = max(1, math.ceil((one.until - one.since) / _DAY_S - 0.01))
    if length == 1:
        return texts("report.than_same_day" if note == _SAME_DAY else "report.than_yesterday")
    if length == 7:
        return texts("report.than_week")
    return texts("report.than_days", days=length)


_ONLY_WHY = frozenset({"topic_chance"})
"""Figures that say nothing to who reads a list: /why has them."""
_NEW = "topic_new"


def _row_line(texts: Texts, row: Row, label: str, number: int, implied: str) -> str:
    """implied: a detail that the name of the list says already."""
    told = [one for one in row.figures if one.name not in _ONLY_WHY]
    shown = [one for one in told if one.value is not None or one.note == _NEW] or told
    values = "，".join(_in_row(texts, one) for one in shown[:_MOST_OF_ROW])
    plain = "、".join(words_of(texts, [one for one in row.details if one != implied]))
    line = texts("report.row", number=number, label=label) if number else f"· {label}"
    line += f"：{values}" if values else ""
    return f"{line}（{plain}）" if plain else line


def _in_row(texts: Texts, one: Figure) -> str:
    """A figure among others in a line: with the words for that, where there are any."""
    if one.value is None and one.note == _NEW:
        return texts("report.row_new")
    key = f"row.{one.name}"
    if key in _known(texts):
        return texts(key, value=value(one))
    return f"{texts(f'figure.{one.name}')} {value(one)}"


def words_of(texts: Texts, details: Sequence[str]) -> list[str]:
    """The details that are words; references are left out, codes ("reason:…") become words."""
    return [_worded(texts, one) for one in details if not one.startswith(_REFERENCES)]


_CODES = ("state", "reason", "action", "note", "ranker", "surface", "rec_test")
"""Sections of the texts whose keys may stand in a report as "reason:new_here"."""


def _known(texts: Texts) -> Collection[str]:
    return texts.keys()


def _worded(texts: Texts, text: str) -> str:
    """A code, or several with "|" between, in words; anything else as it is."""
    words = [_word(texts, one) for one in text.split("|")]
    return "·".join(words) if all(words) else text


def _word(texts: Texts, text: str) -> str:
    """A code in words; "" for what is none."""
    kind, colon, code = text.partition(":")
    key = f"{kind}.{code}"
    return texts(key) if colon and kind in _CODES and key in _known(texts) else ""


def references(details: Sequence[str]) -> list[str]:
    """The details that stand for something to look up."""
    return [one for one in details if one.startswith(_REFERENCES)]


def called(texts: Texts, row: Row, labels: Mapping[int, str]) -> str:
    """What a row is called."""
    if row.member_id is None:
        return _worded(texts, row.label)
    return labels.get(row.member_id) or texts("report.member", number=row.member_id)


def named(texts: Texts, one: Figure) -> str:
    """What a figure is called, and of what."""
    name = texts(f"figure.{one.name}")
    return f"{name}·{one.of}" if one.of else name


def value(one: Figure) -> str:
    """Its value with the interval, where it has one: "60.6% [55.4～65.6%]"."""
    shown = said(one.value, one.unit)
    if one.value is None or one.low is None or one.high is None:
        return shown
    low, high = said(one.low, one.unit), said(one.high, one.unit)
    for unit in ("%", " 倍", " 天", " 小时", " 分钟"):
        if low.endswith(unit) and high.endswith(unit):
            low = low.removesuffix(unit)
    return f"{shown} [{low}～{high}]"


# Why


def meaning(texts: Texts, name: str, rules: StateRules = _USUAL) -> str:
    """How a figure is defined. rules: the days that the configuration gives to its words."""
    key = f"why.{name}"
    return texts(key, **{one: getattr(rules, one) for one in texts.placeholders(key)})


def why(texts: Texts, asked: Asked, rules: StateRules = _USUAL) -> list[str]:
    """What a number means and what it stands on, line by line."""
    if len(asked.figures) == 1:
        return _why_one(texts, asked.figures[0], asked, rules)
    lines = [texts("report.why_row", label=asked.label)]
    windows = {(one.since, one.until) for one in asked.figures}
    for one in asked.figures:
        name = texts(f"figure.{one.name}") if one.of == asked.label else named(texts, one)
        its = meaning(texts, one.name, rules)
        lines.append(texts("report.why_in_row", name=name, value=value(one), meaning=its))
        stands = _stands_on(texts, one)
        if len(windows) > 1:
            stands.insert(0, texts("report.why_window", window=window(one.since, one.until)))
        if stands:
            lines.append("，".join(stands))
    for since, until in windows if len(windows) == 1 else ():
        lines.append(texts("report.why_window", window=window(since, until)))
    return lines


def _why_one(texts: Texts, one: Figure, asked: Asked, rules: StateRules) -> list[str]:
    name = named(texts, replace(one, of="") if one.of == asked.label else one)
    name = f"{asked.label}·{name}" if asked.label else name
    lines = [
        texts("report.why_head", name=name, value=value(one)),
        meaning(texts, one.name, rules),
        texts("report.why_window", window=window(one.since, one.until)),
        *_stands_on(texts, one),
    ]
    if one.before is not None:
        than = against(texts, one, asked.note)
        lines.append(texts("report.why_before", than=than, value=said(one.before, one.unit)))
    if one.note:
        lines.append(texts(f"note.{one.note}"))
    return lines


def _stands_on(texts: Texts, one: Figure) -> list[str]:
    """Numerator and denominator, sample, people, interval: as far as there are any."""
    facts = []
    if one.numerator is not None and one.denominator is not None:
        over, under = _over(one), _plain(one.denominator)
        facts.append(texts("report.why_quotient", over=over, under=under))
    if one.n and one.n != one.people:
        facts.append(texts("report.why_sample", count=f"{one.n:,}"))
    if one.people is not None:
        facts.append(texts("report.why_people", count=f"{one.people:,}"))
    if one.low is not None and one.high is not None:
        low, high = said(one.low, one.unit), said(one.high, one.unit)
        facts.append(texts("report.why_interval", low=low, high=high))
    return facts


# Charts and times


def drawing(texts: Texts, chart: Chart, title: str) -> Chart:
    """The chart with words in place of keys; series that are no keys keep their names."""
    known = _known(texts)

    def word(name: str) -> str:
        # A line may be what a figure is.
        keys = (f"chart.{name}", f"figure.{name}")
        return next((texts(key) for key in keys if key in known), "") or _worded(texts, name)

    name = word(chart.name)
    return replace(
        chart,
        name=f"{title}：{name}" if title else name,
        labels=tuple(
            _channel(texts, one) if chart.name == _BY_CHANNEL else word(one) for one in chart.labels
        ),
        series=tuple(replace(one, name=word(one.name)) for one in chart.series),
    )


def days(since: float, until: float) -> str:
    """The days of a window, the last one included; a day that is not over says up to when."""
    begin = datetime.fromtimestamp(since, SHANGHAI)
    end = datetime.fromtimestamp(until, SHANGHAI)
    last = datetime.fromtimestamp(max(since, until - 1), SHANGHAI)
    if last.year != begin.year:
        return f"{begin:%Y-%m-%d} 到 {last:%Y-%m-%d}"
    if last.date() != begin.date():
        return f"{begin:%m-%d} 到 {last:%m-%d}"
    midnight = (end.hour, end.minute) == (0, 0)
    return f"{begin:%m-%d}" if midnight else f"{begin:%m-%d}，到 {end:%H:%M}"


def window(since: float, until: float) -> str:
    """Two moments as people write them: whole days without a clock, the last day included."""
    begin = datetime.fromtimestamp(since, SHANGHAI)
    end = datetime.fromtimestamp(until, SHANGHAI)
    if (begin.hour, begin.minute, end.hour, end.minute) == (0, 0, 0, 0):
        return days(since, until)
    if begin.date() == end.date():
        return f"{begin:%m-%d %H:%M} 到 {end:%H:%M}"
    return f"{begin:%m-%d %H:%M} 到 {end:%m-%d %H:%M}"


def moment(at: float) -> str:
    """ "11-21 03:20"."""
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%m-%d %H:%M")


def _over(one: Figure) -> str:
    """The numerator; of money in yuan."""
    assert one.numerator is not None
    return said(one.numerator, one.unit) if one.unit == "cents" else _plain(one.numerator)


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number - round(number)) < 1e-9 else f"{number:,.1f}"
