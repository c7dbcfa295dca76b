"""Reports in words: a short text for the chat, one chart, and the answer to why.

Pure. Names of figures and lists are keys of the chat texts; what a job leaves out is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from handlers.context import SHANGHAI
from handlers.report_numbers import said
from handlers.texts import MAX_TEXT_BYTES, Texts
from insights.report import Chart, Figure, Report, Row

MOST_ROWS = 5
"""Rows of one list in the chat."""

_ROOM = MAX_TEXT_BYTES - 160
"""Bytes for lines; the rest is for the last one."""

_REFERENCES = ("t:", "i:", "item:", "gap:")
"""Details that stand for something to look up: messages, items, open questions."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a number in a told report stands for. label: of its row; details: behind the row."""

    figure: Figure
    label: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A report in words, and what each number in it stands for, from 1."""

    text: str
    asked: tuple[Asked, ...]


def told(texts: Texts, report: Report, title: str, labels: Mapping[int, str]) -> Told:
    """The report as one message, its figures numbered.

    title: what it is called. labels: what members are called, by number; others are 成员 N.
    """
    head = [texts("report.head", title=title, window=window(report.since, report.until))]
    head.append(texts("report.made", when=moment(report.made_at)))
    lines: list[str] = []
    asked: list[Asked] = []
    for one in report.figures:
        asked.append(Asked(one))
        lines.append(_figure_line(texts, one, len(asked)))
    if report.note:
        lines.append(texts(f"note.{report.note}"))
    for listing in report.lists:
        if not listing.rows and not listing.note:
            continue
        lines.append("")
        lines.append(texts("report.list", name=texts(f"list.{listing.name}")))
        for row in listing.rows[:MOST_ROWS]:
            label = called(texts, row, labels)
            number = len(asked) + 1
            asked.extend(Asked(one, label, row.details) for one in row.figures)
            lines.append(_row_line(texts, row, label, number if row.figures else 0))
        if len(listing.rows) > MOST_ROWS:
            lines.append(texts("report.more_rows", count=len(listing.rows) - MOST_ROWS))
        if listing.note:
            lines.append(texts(f"note.{listing.note}"))
    return Told(_fitted(texts, head, lines), tuple(asked))


def _fitted(texts: Texts, head: Sequence[str], lines: Sequence[str]) -> str:
    """As many lines as one message takes."""
    kept = list(head)
    used = sum(len(line.encode()) + 1 for line in kept)
    for number, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > _ROOM:
            kept.append(texts("report.cut", count=sum(1 for one in lines[number:] if one)))
            break
        kept.append(line)
    return "\n".join(kept)


def _figure_line(texts: Texts, one: Figure, number: int) -> str:
    parts = [texts("report.figure", number=number, name=named(texts, one), value=value(one))]
    if one.numerator is not None and one.denominator is not None:
        parts.append(
            texts("report.quotient", over=_plain(one.numerator), under=_plain(one.denominator))
        )
    if one.value is not None and one.before is not None:
        parts.append(texts("report.before", value=said(one.before, one.unit)))
    if one.note:
        parts.append(texts("report.aside", note=texts(f"note.{one.note}")))
    return "".join(parts)


def _row_line(texts: Texts, row: Row, label: str, number: int) -> str:
    values = "，".join(f"{texts(f'figure.{one.name}')} {value(one)}" for one in row.figures[:3])
    plain = "、".join(words_of(texts, row.details))
    line = texts("report.row", number=number, label=label) if number else f"· {label}"
    line += f"：{values}" if values else ""
    return f"{line}（{plain}）" if plain else line


def words_of(texts: Texts, details: Sequence[str]) -> list[str]:
    """The details that are words; references are left out, codes ("reason:…") become words."""
    return [_worded(texts, one) for one in details if not one.startswith(_REFERENCES)]


_CODES = ("state", "reason", "action", "note")
"""Sections of the texts whose keys may stand in a report as "reason:new_here"."""


def _worded(texts: Texts, text: str) -> str:
    kind, colon, code = text.partition(":")
    key = f"{kind}.{code}"
    return texts(key) if colon and kind in _CODES and key in texts.keys() else text  # noqa: SIM118


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
    """Its value with the interval, where it has one."""
    shown = said(one.value, one.unit)
    if one.value is None or one.low is None or one.high is None:
        return shown
    return f"{shown} [{said(one.low, one.unit)}～{said(one.high, one.unit)}]"


def why(texts: Texts, asked: Asked) -> str:
    """What a figure means and what it stands on."""
    one = asked.figure
    name = named(texts, one)
    if asked.label:
        name = f"{asked.label}·{name}"
    lines = [
        texts("report.why_head", name=name, value=value(one)),
        texts(f"why.{one.name}"),
        texts("report.why_window", window=window(one.since, one.until)),
    ]
    if one.numerator is not None and one.denominator is not None:
        lines.append(
            texts("report.why_quotient", over=_plain(one.numerator), under=_plain(one.denominator))
        )
    if one.n:
        lines.append(texts("report.why_sample", count=f"{one.n:,}"))
    if one.people is not None:
        lines.append(texts("report.why_people", count=f"{one.people:,}"))
    if one.low is not None and one.high is not None:
        lines.append(
            texts("report.why_interval", low=said(one.low, one.unit), high=said(one.high, one.unit))
        )
    if one.before is not None:
        lines.append(texts("report.why_before", value=said(one.before, one.unit)))
    if one.note:
        lines.append(texts(f"note.{one.note}"))
    return "\n".join(lines)


def drawing(texts: Texts, chart: Chart, title: str) -> Chart:
    """The chart with words in place of keys; series that are no keys keep their names."""
    known = frozenset(texts.keys())

    def word(name: str) -> str:
        key = f"chart.{name}"
        return texts(key) if key in known else _worded(texts, name)

    name = word(chart.name)
    return replace(
        chart,
        name=f"{title}：{name}" if title else name,
        labels=tuple(word(one) for one in chart.labels),
        series=tuple(replace(one, name=word(one.name)) for one in chart.series),
    )


def window(since: float, until: float) -> str:
    """Two moments as people write them: whole days without a clock, the last day included."""
    begin = datetime.fromtimestamp(since, SHANGHAI)
    end = datetime.fromtimestamp(until, SHANGHAI)
    if (begin.hour, begin.minute, end.hour, end.minute) == (0, 0, 0, 0):
        last = datetime.fromtimestamp(until - 1, SHANGHAI)
        if last.date() == begin.date():
            return begin.strftime("%m-%d")
        return f"{begin:%m-%d} 到 {last:%m-%d}"
    if begin.date() == end.date():
        return f"{begin:%m-%d %H:%M} 到 {end:%H:%M}"
    return f"{begin:%m-%d %H:%M} 到 {end:%m-%d %H:%M}"


def moment(at: float) -> str:
    """ "11-21 03:20"."""
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%m-%d %H:%M")


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number - round(number)) < 1e-9 else f"{number:,.1f}"
