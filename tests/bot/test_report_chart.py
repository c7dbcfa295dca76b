"""Charts of reports: real pictures of a phone's width, with any font, whatever the numbers are."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bot.chart import Lettering, lettering
from bot.report_chart import COLOURS, MAX_BYTES, WIDTH, draw
from insights.report import Chart, ChartKind, Series

LATIN = Lettering()
KINDS: tuple[ChartKind, ...] = ("lines", "bars", "heat", "intervals")
LINES = Chart(
    name="每天的消息",
    kind="lines",
    unit="count",
    labels=tuple(f"11-{day:02d}" for day in range(1, 29)),
    series=(
        Series(name="实际", values=tuple(40.0 + day % 7 for day in range(21)) + (None,) * 7),
        Series(
            name="预测",
            values=(None,) * 21 + (44.0,) * 7,
            low=(None,) * 21 + (30.0,) * 7,
            high=(None,) * 21 + (60.0,) * 7,
        ),
    ),
    split=21,
)


def picture(chart: Chart, letters: Lettering = LATIN) -> Image.Image:
    data = draw(chart, "11-01 到 11-28", letters)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) <= MAX_BYTES
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB")


def near(image: Image.Image, colour: str) -> int:
    """Pixels of about a colour."""
    wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    pixels = np.asarray(image).astype(int)
    return int((abs(pixels - wanted) < 28).all(axis=2).sum())


def test_two_lines_have_two_colours_and_the_width_of_a_phone() -> None:
    image = picture(LINES)
    assert image.width == WIDTH
    assert near(image, COLOURS[0]) > 500
    assert near(image, COLOURS[1]) > 300


def test_chinese_letters_are_drawn_where_there_is_a_font() -> None:
    letters = lettering()
    if not letters.chinese:
        pytest.skip("no font with Chinese letters on this machine")
    title = (0, 0, WIDTH, 110)
    assert picture(LINES, letters).crop(title).tobytes() != picture(LINES).crop(title).tobytes()


def test_more_is_darker_in_a_heat_map_also_without_colour() -> None:
    chart = Chart(
        name="x",
        kind="heat",
        unit="share",
        labels=("0", "1"),
        series=(Series(name="a", values=(1.0, 0.1)),),
    )
    grey = picture(chart).convert("L")
    left, right = grey.getpixel((300, 256)), grey.getpixel((WIDTH - 100, 256))
    assert isinstance(left, int)
    assert isinstance(right, int)
    assert left < right - 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_without_a_value_is_an_empty_frame(kind: ChartKind) -> None:
    picture(Chart(name="空", kind=kind, unit="count", labels=(), series=()))
    nothing = (Series(name="a", values=(None, math.nan)),)
    picture(Chart(name="空", kind=kind, unit="count", labels=("a", "b"), series=nothing))


numbers = st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from((0.0, 1e-9, math.inf)))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(KINDS), st.lists(numbers, min_size=1, max_size=30), st.integers(1, 5))
def test_whatever_the_numbers_are_it_can_be_drawn(
    kind: ChartKind, values: list[float | None], lines: int
) -> None:
    one = Series(name="线\x00🎉", values=tuple(values))
    labels = tuple("名字" * n for n in range(len(values)))
    picture(Chart(name="图" * 80, kind=kind, unit="cents", labels=labels, series=(one,) * lines))


def test_where_two_bands_meet_both_are_seen() -> None:
    def band(low: float, high: float) -> Series:
        return Series(name="", values=(0.5, 0.5), low=(low, low), high=(high, high))

    def band_colours(*series: Series) -> set[object]:
        chart = Chart(name="", kind="lines", unit="share", labels=("1", "2"), series=series)
        image = picture(chart)
        counts = image.getcolors(1 << 20) or []
        return {colour for count, colour in counts if count > 20_000}

    apart = band_colours(band(0.0, 0.4), band(0.6, 1.0))
    assert len(band_colours(band(0.0, 0.7), band(0.3, 1.0))) == len(apart) + 1


def test_rows_and_last_columns_of_a_heat_map_without_a_value_take_no_room() -> None:
    def heat(labels: int, rows: int) -> Chart:
        series = (
            Series(name="09-14", values=(1.0, 0.8) + (None,) * (labels - 2)),
            *(Series(name="09-21", values=(None,) * labels) for _ in range(rows - 1)),
        )
        names = tuple(str(n) for n in range(labels))
        return Chart(name="", kind="heat", unit="share", labels=names, series=series)

    assert picture(heat(9, 6)).tobytes() == picture(heat(2, 1)).tobytes()


def test_what_it_is_held_against_has_a_mark_of_its_own_on_an_interval() -> None:
    plan = Series(name="plan", values=(10.0,), low=(5.0,), high=(15.0,))
    usual = Series(name="usual", values=(20.0,))
    chart = Chart(name="", kind="intervals", unit="count", labels=("a",), series=(plan, usual))
    assert near(picture(chart), COLOURS[1]) > 200
    nothing = replace(usual, values=(None,))
    alone = picture(replace(chart, series=(plan, nothing)))
    assert near(picture(chart), COLOURS[1]) > near(alone, COLOURS[1]) + 100
