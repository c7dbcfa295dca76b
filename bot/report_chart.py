"""The picture of a report: one chart, readable on a phone, in colours all can tell apart.

What it says comes in words already. Lines differ in their dashes as well as in colour, bars and
cells carry their numbers. Pure but for reading the font; drawing takes some hundredths of a
second of CPU and belongs in a thread.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, ImageDraw

from bot.chart import Lettering
from handlers.report_numbers import axis, said
from insights.report import Chart, Series

WIDTH = 1080
MAX_BYTES = 300 * 1024
MOST_ROWS = 12
"""Bars, intervals or rows of a heat map in one picture."""
MOST_LINES = 4
MOST_COLUMNS = 12
"""Of a heat map; of more, some are left out."""

_FINE = 2
"""Drawn so many times as large, then made smaller: Pillow's own lines have steps."""
_EDGE = 48
_TITLE, _TEXT, _SMALL = 50, 40, 36
"""In a chat, the picture is a quarter as wide on the glass: 36 is what 9 is there."""
_PLOT = 520
_ROW = 84
_LABEL = 330
_HEAD, _LEGEND = 144, 60
"""Above the drawing; with the names of several series so much more."""

_PAPER, _INK, _GREY, _LINE = "#ffffff", "#1f2933", "#5b6773", "#dde3e9"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of Okabe and Ito's palette, which people with any kind of colour blindness can tell apart."""
_PALE = ("#cfe3f0", "#f7dccb", "#cdeae1", "#f3e0eb")
_DASHES = ((), (18, 10), (4, 8), (22, 8, 4, 8))

Point = tuple[float, float]


def draw(chart: Chart, foot: str, letters: Lettering) -> bytes:
    """A PNG. chart: its name is the title, names of series are words. foot: one line below it.

    Without Chinese letters the words are left out and the numbers stay. A chart without any
    value is an empty frame with its title.
    """
    chart = _trimmed(replace(chart, series=tuple(_finite(one) for one in chart.series)))
    canvas = _Canvas(_height(chart), letters)
    canvas.head(chart, foot)
    _DRAWN[chart.kind](canvas, chart)
    return canvas.png()


def _finite(one: Series) -> Series:
    """A series without numbers that have no place on an axis."""

    def known(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(v if v is not None and math.isfinite(v) else None for v in values)

    return replace(one, values=known(one.values), low=known(one.low), high=known(one.high))


def _trimmed(chart: Chart) -> Chart:
    """A heat map without the rows and the last columns in which nothing stands."""
    if chart.kind != "heat":
        return chart
    series = tuple(one for one in chart.series if any(value is not None for value in one.values))
    used = max(
        (n + 1 for one in series for n, value in enumerate(one.values) if value is not None),
        default=len(chart.labels),
    )
    return replace(chart, series=series, labels=chart.labels[:used])


def _named(chart: Chart) -> bool:
    """Whether the series need their names above the drawing."""
    return len(chart.series) > 1 and chart.kind != "heat"


def _height(chart: Chart) -> int:
    head = _HEAD + (_LEGEND if _named(chart) else 0)
    if chart.kind == "lines":
        return head + _PLOT + 130
    if chart.kind == "bars":
        several = len(chart.series) if len(chart.series) > 1 else 1
        rows = min(len(chart.labels), MOST_ROWS)
        return head + rows * (_ROW + (several - 1) * 34) + 90
    rows = min(len(chart.series if chart.kind == "heat" else chart.labels), MOST_ROWS)
    return head + max(rows, 1) * _ROW + 130


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels. low, high: values at start and end; marks: where the axis says so."""

    low: float
    high: float
    start: float
    end: float
    marks: tuple[float, ...]

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _scale(values: Sequence[float], start: float, end: float, marks: int = 4) -> _Scale:
    """An axis with zero on it and round marks around all values."""
    low, high = min((0.0, *values)), max((0.0, *values))
    if high - low <= 0:
        high = low + 1.0
    step = _round_up((high - low) / marks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * n for n in range(first, last + 1))
    return _Scale(ticks[0], ticks[-1], start, end, ticks)


def _round_up(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * one for one in (1, 2, 2.5, 5, 10) if power * one >= step * (1 - 1e-9))


def _values(chart: Chart) -> list[float]:
    """Everything that has to fit on the axis."""
    return [
        value
        for one in chart.series
        for column in (one.values, one.low, one.high)
        for value in column
        if value is not None
    ]


class _Canvas:
    """A picture being drawn; y: where the next thing begins. All lengths in final pixels."""

    def __init__(self, height: int, letters: Lettering) -> None:
        self._image = Image.new("RGB", (WIDTH * _FINE, height * _FINE), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._letters = letters
        self.height = height
        self.y = float(_EDGE)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = _TEXT,
        colour: str = _INK,
        at: str = "lm",
        room: float = 0.0,
    ) -> float:
        """Write; gives its width. room: cut where it would be wider; 0: as wide as it is."""
        if not self._letters.chinese:
            text = "".join(sign if sign.isascii() else " " for sign in text).strip()
        text = "".join(sign for sign in text if sign.isprintable() and ord(sign) < 0x1F000)
        font = self._letters.font(size * _FINE)
        wide = font.getlength(text) / _FINE
        if room and wide > room:
            while text and font.getlength(text + "…") / _FINE > room:
                text = text[:-1]
            text += "…"
            wide = font.getlength(text) / _FINE
        self._draw.text((x * _FINE, y * _FINE), text, font=font, fill=colour, anchor=at)
        return wide

    def width(self, text: str, size: int) -> float:
        """How wide it is when it is written."""
        return self._letters.font(size * _FINE).getlength(text) / _FINE

    def line(
        self, points: Sequence[Point], colour: str, width: float = 2, dash: Sequence[int] = ()
    ) -> None:
        for piece in _pieces(points, dash) if dash else (points,):
            flat = [(x * _FINE, y * _FINE) for x, y in piece]
            self._draw.line(flat, fill=colour, width=round(width * _FINE), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        corners = [one * _FINE for one in (left, top, right, bottom)]
        self._draw.rectangle(corners, fill=colour)

    def area(self, points: Sequence[Point], colour: str) -> None:
        """Where two areas meet, both are seen."""
        layer = Image.new("RGB", self._image.size, _PAPER)
        flat = [(x * _FINE, y * _FINE) for x, y in points]
        ImageDraw.Draw(layer).polygon(flat, fill=colour)
        self._image.paste(ImageChops.multiply(self._image, layer))

    def dot(self, x: float, y: float, colour: str, size: float = 9) -> None:
        corners = [one * _FINE for one in (x - size, y - size, x + size, y + size)]
        self._draw.ellipse(corners, fill=colour)

    def diamond(self, x: float, y: float, colour: str, size: float = 13) -> None:
        """A mark that differs from a dot in its shape, too."""
        corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
        self._draw.polygon([(x * _FINE, y * _FINE) for x, y in corners], fill=colour)

    def head(self, chart: Chart, foot: str) -> None:
        """Title, the names of the series, and below everything the foot."""
        room = WIDTH - 2 * _EDGE
        self.text(_EDGE, self.y + 24, chart.name, _TITLE, room=room)
        self.text(_EDGE, self.height - 34, foot, _SMALL, _GREY, room=room)
        self.y += _HEAD - _EDGE - 14
        if _named(chart):
            x = float(_EDGE)
            for number, one in enumerate(chart.series[:MOST_LINES]):
                middle = self.y + 20
                if chart.kind == "lines":
                    self.line([(x, middle), (x + 46, middle)], COLOURS[number], 6, _DASHES[number])
                elif chart.kind == "intervals":
                    (self.diamond if number else self.dot)(x + 24, middle, COLOURS[number])
                else:
                    self.box(x + 12, middle - 12, x + 36, middle + 12, COLOURS[number])
                x += 58 + self.text(x + 56, middle, one.name, _SMALL, _GREY, room=300) + 26
            self.y += _LEGEND
        self.y += 14

    def png(self) -> bytes:
        """In few colours: a chart needs no more, and phones load it at once."""
        small = self._image.resize((WIDTH, self.height), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.quantize(96, Image.Quantize.MEDIANCUT).save(out, "PNG", optimize=True)
        return out.getvalue()


def _pieces(points: Sequence[Point], dash: Sequence[int]) -> Iterator[list[Point]]:
    """A line as the strokes between its gaps."""
    left, number, stroke = float(dash[0]), 0, [points[0]]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        length = math.hypot(to_x - x, to_y - y)
        done = 0.0
        while length - done > left:
            done += left
            here = (x + (to_x - x) * done / length, y + (to_y - y) * done / length)
            if number % 2 == 0:
                yield [*stroke, here]
            number += 1
            left, stroke = float(dash[number % len(dash)]), [here]
        left -= length - done
        stroke.append((to_x, to_y))
    if number % 2 == 0 and len(stroke) > 1:
        yield stroke


# Lines


def _lines(canvas: _Canvas, chart: Chart) -> None:
    top, bottom = canvas.y, canvas.y + _PLOT
    values = _values(chart)
    scale = _scale(values, bottom, top)
    wide = max((len(axis(mark, chart.unit)) for mark in scale.marks), default=1)
    left, right = _EDGE + 22.0 + 21 * wide, float(WIDTH - _EDGE - 24)
    for mark in scale.marks:
        y = scale.at(mark)
        canvas.line([(left, y), (right, y)], _GREY if mark == 0 else _LINE)
        canvas.text(left - 14, y, axis(mark, chart.unit), _SMALL, _GREY, "rm")
    step = (right - left) / max(len(chart.labels) - 1, 1)
    for number in _thinned(len(chart.labels), 6):
        x = left + step * number
        end = "rm" if number == len(chart.labels) - 1 and number else "mm"
        x = right + 20 if end == "rm" else x
        canvas.text(x, bottom + 34, chart.labels[number], _SMALL, _GREY, end)
    if chart.split is not None and 0 < chart.split < len(chart.labels):
        x = left + step * chart.split
        canvas.line([(x, top), (x, bottom)], _GREY, 2, (6, 8))
    for number, one in enumerate(chart.series[:MOST_LINES]):
        _band(canvas, one, number, left, step, scale)
    for number, one in enumerate(chart.series[:MOST_LINES]):
        for run in _runs(one.values):
            points = [(left + step * n, scale.at(value)) for n, value in run]
            if len(points) > 1:
                canvas.line(points, COLOURS[number], 5, _DASHES[number])
            canvas.dot(*points[-1], COLOURS[number])
        if len(chart.series) == 1 and (known := list(_runs(one.values))):
            # A line alone has room for its last number.
            n, value = known[-1][-1]
            x, y = left + step * n, scale.at(value)
            end = "rm" if n == len(chart.labels) - 1 and n else "mm"
            canvas.text(x + (10 if end == "rm" else 0), y - 32, said(value, chart.unit), at=end)


def _band(
    canvas: _Canvas, one: Series, number: int, left: float, step: float, scale: _Scale
) -> None:
    if not one.low or not one.high:
        return
    known = [
        (n, low, high)
        for n, (low, high) in enumerate(zip(one.low, one.high, strict=False))
        if low is not None and high is not None
    ]
    if len(known) > 1:
        above = [(left + step * n, scale.at(high)) for n, _, high in known]
        below = [(left + step * n, scale.at(low)) for n, low, _ in reversed(known)]
        canvas.area([*above, *below], _PALE[number])


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Values that stand side by side, with their places; a gap in the data is one in the line."""
    run: list[tuple[int, float]] = []
    for number, value in enumerate(values):
        if value is None:
            if run:
                yield run
            run = []
        else:
            run.append((number, value))
    if run:
        yield run


def _thinned(count: int, most: int) -> list[int]:
    """At most about so many of them, the last among them."""
    if count <= most:
        return list(range(count))
    step = math.ceil((count - 1) / (most - 1))
    return sorted(range(count - 1, -1, -step))


# Bars, intervals, cells


def _bars(canvas: _Canvas, chart: Chart) -> None:
    series = chart.series[:MOST_LINES]
    room = _ROW + (max(len(series), 1) - 1) * 34
    left, right = _EDGE + _LABEL + 0.0, WIDTH - _EDGE - 190.0
    scale = _scale(_values(chart), left, right)
    thick = 40 if len(series) == 1 else 28
    for number, label in enumerate(chart.labels[:MOST_ROWS]):
        middle = canvas.y + room / 2
        canvas.text(_EDGE, middle, label, _TEXT, room=_LABEL - 20)
        for place, one in enumerate(series):
            value = one.values[number] if number < len(one.values) else None
            y = middle + (place - (len(series) - 1) / 2) * 34
            if value is None:
                canvas.text(left + 14, y, said(None, chart.unit), _SMALL, _GREY)
                continue
            start, end = sorted((scale.at(0.0), scale.at(value)))
            canvas.box(start, y - thick / 2, max(end, start + 2), y + thick / 2, COLOURS[place])
            reach = max(end, _whisker(canvas, one, number, y, scale))
            canvas.text(reach + 14, y, said(value, chart.unit), _SMALL)
        canvas.y += room
    zero = scale.at(0.0)
    canvas.line(
        [(zero, canvas.y - room * min(len(chart.labels), MOST_ROWS)), (zero, canvas.y)], _GREY
    )


def _whisker(canvas: _Canvas, one: Series, number: int, y: float, scale: _Scale) -> float:
    """The interval over a bar; gives how far it reaches, 0 without one."""
    low = one.low[number] if number < len(one.low) else None
    high = one.high[number] if number < len(one.high) else None
    if low is None or high is None:
        return 0.0
    start, end = scale.at(low), scale.at(high)
    canvas.line([(start, y), (end, y)], _INK, 3)
    for x in (start, end):
        canvas.line([(x, y - 9), (x, y + 9)], _INK, 3)
    return end


def _intervals(canvas: _Canvas, chart: Chart) -> None:
    one = chart.series[0] if chart.series else None
    others = list(enumerate(chart.series[1:MOST_LINES], 1))
    left, right = _EDGE + _LABEL + 20.0, WIDTH - _EDGE - 150.0
    scale = _scale(_values(chart), left, right)
    labels = chart.labels[:MOST_ROWS]
    bottom = canvas.y + _ROW * len(labels)
    for mark in scale.marks:
        x = scale.at(mark)
        canvas.line([(x, canvas.y), (x, bottom)], _GREY if mark == 0 else _LINE)
        canvas.text(x, bottom + 32, axis(mark, chart.unit), _SMALL, _GREY, "mm")
    for number, label in enumerate(labels):
        middle = canvas.y + _ROW / 2
        canvas.text(_EDGE, middle, label, _TEXT, room=_LABEL - 10)
        value = one.values[number] if one and number < len(one.values) else None
        if one is not None and value is not None:
            reach = max(_whisker(canvas, one, number, middle, scale), scale.at(value))
            for place, other in others:
                beside = other.values[number] if number < len(other.values) else None
                if beside is not None:
                    canvas.diamond(scale.at(beside), middle, COLOURS[place])
                    reach = max(reach, scale.at(beside) + 6)
            canvas.dot(scale.at(value), middle, COLOURS[0], 11)
            canvas.text(reach + 16, middle, said(value, chart.unit), _SMALL)
        canvas.y += _ROW


def _heat(canvas: _Canvas, chart: Chart) -> None:
    columns = _thinned(len(chart.labels), MOST_COLUMNS)
    names = [canvas.width(one.name, _SMALL) for one in chart.series[:MOST_ROWS]]
    left = _EDGE + min(max(names, default=0.0) + 24.0, _LABEL)
    wide = (WIDTH - _EDGE - left) / max(len(columns), 1)
    size = min(_SMALL, round(wide / 3))
    most = max(_values(chart), default=0.0) or 1.0
    for place, number in enumerate(columns):
        canvas.text(
            left + wide * (place + 0.5),
            canvas.y + 24,
            chart.labels[number],
            size,
            _GREY,
            "mm",
            room=wide - 4,
        )
    canvas.y += 54
    for one in chart.series[:MOST_ROWS]:
        middle = canvas.y + _ROW / 2
        canvas.text(_EDGE, middle, one.name, _SMALL, room=left - _EDGE - 10)
        for place, number in enumerate(columns):
            value = one.values[number] if number < len(one.values) else None
            if value is None:
                continue
            x, depth = left + wide * place, max(0.0, min(value / most, 1.0))
            canvas.box(x + 2, canvas.y + 2, x + wide - 2, canvas.y + _ROW - 2, _blue(depth))
            ink = _PAPER if depth > 0.55 else _INK
            canvas.text(x + wide / 2, middle, _cell(value, chart), size, ink, "mm")
        canvas.y += _ROW


def _cell(value: float, chart: Chart) -> str:
    return f"{value * 100:.0f}%" if chart.unit == "share" else axis(value, chart.unit)


def _blue(depth: float) -> str:
    """From nearly white to the first colour: lighter is less, also in grey."""
    light, dark = (0xEE, 0xF4, 0xF9), (0x00, 0x5A, 0x8E)
    mixed = (round(a + (b - a) * depth) for a, b in zip(light, dark, strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)


_DRAWN = {"lines": _lines, "bars": _bars, "intervals": _intervals, "heat": _heat}
