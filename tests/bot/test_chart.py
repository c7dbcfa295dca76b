"""The chart of a report: a real picture, small enough for a phone, with any font or none."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.chart import MAX_BYTES, WIDTH, FontError, Lettering, draw, lettering
from insights.experiments import judge
from store.campaign_report import Arm, Report

A = Arm(
    variant="A",
    weight=1,
    assigned=4_750,
    accepted=4_700,
    delivered=4_600,
    clicks=800,
    claims=120,
    buyers=180,
    replies=200,
    optouts=12,
    leaves=5,
)
REPORT = Report(
    campaign_id=12,
    kind="once",
    title="秋季写作班",
    channel="mp",
    status="done",
    metric="purchase",
    window_s=259_200.0,
    holdout=0.05,
    test_share=0.0,
    winner="",
    note="",
    created_at=0.0,
    started_at=1_763_000_000.0,
    ended_at=1_763_000_900.0,
    at=1_763_600_000.0,
    closes_at=1_763_260_000.0,
    arms=(A, replace(A, variant="B", buyers=230), Arm(held=True, assigned=500, buyers=10)),
)
LATIN = Lettering()


def picture(report: Report, letters: Lettering = LATIN) -> Image.Image:
    data = draw(report, judge(report, report.metric), letters)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) <= MAX_BYTES
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB")


def chinese() -> Lettering:
    letters = lettering()
    if not letters.chinese:
        pytest.skip("no font with Chinese letters on this machine")
    return letters


def coloured(image: Image.Image, colour: str, box: tuple[int, int, int, int]) -> int:
    """Pixels of a colour in a box."""
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    raw = image.crop(box).tobytes()
    return sum(
        abs(r - red) < 12 and abs(g - green) < 12 and abs(b - blue) < 12
        for r, g, b in zip(raw[0::3], raw[1::3], raw[2::3], strict=True)
    )


def test_the_chart_is_a_png_of_a_phones_width() -> None:
    image = picture(REPORT)
    assert image.width == WIDTH
    assert 600 < image.height < 2000
    assert draw(REPORT, judge(REPORT, "purchase"), LATIN) == draw(
        REPORT, judge(REPORT, "purchase"), LATIN
    ), "nothing in it is left to chance"


def test_a_bar_is_as_long_as_its_share() -> None:
    image = picture(replace(REPORT, arms=(replace(A, accepted=2_375, delivered=0),), holdout=0.0))
    first, second = (
        coloured(image, "#2b7fd4", (0, y, WIDTH, y + 1)) for y in (56 + 130 + 31, 56 + 130 + 93)
    )
    assert first > 400
    assert second == pytest.approx(first / 2, abs=3)


def test_chinese_letters_are_drawn_where_a_font_has_them() -> None:
    letters = chinese()
    one, other = picture(REPORT, letters), picture(replace(REPORT, title="春季绘画班"), letters)
    head = (0, 56, WIDTH, 110)
    assert one.crop(head).tobytes() != other.crop(head).tobytes()
    assert one.tobytes() != picture(REPORT).tobytes()


def test_without_chinese_letters_labels_are_latin_and_the_number_stands_for_the_title() -> None:
    none = lettering(places=())
    assert not none.chinese
    assert none.word("buyers") == "bought"
    one, other = picture(REPORT, none), picture(replace(REPORT, title="春季绘画班"), none)
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() != picture(replace(REPORT, campaign_id=13), none).tobytes()


def test_an_interval_without_zero_is_coloured_and_one_with_it_is_not() -> None:
    def ink(report: Report, colour: str) -> int:
        image = picture(report)
        return coloured(image, colour, (300, 700, WIDTH, image.height - 110))

    unsure = replace(REPORT, arms=(A, Arm(held=True, assigned=500, buyers=19)))
    assert ink(REPORT, "#07c160") > 2_000
    assert ink(unsure, "#07c160") == 0
    worse = replace(REPORT, arms=(A, Arm(held=True, assigned=500, buyers=60)))
    assert ink(worse, "#d64545") > 1_000


@pytest.mark.parametrize(
    "report",
    [
        replace(REPORT, arms=(), started_at=None, closes_at=None, status="draft"),
        replace(REPORT, arms=(A,), holdout=0.0),
        replace(REPORT, metric="click"),
        replace(REPORT, arms=(replace(A, buyers=0), Arm(held=True, assigned=1))),
        replace(REPORT, arms=(replace(A, buyers=4_750), Arm(held=True, assigned=500))),
        replace(REPORT, title="长" * 64 + "🎉\u200b", campaigns=365),
        replace(REPORT, title="🎉🎉"),
        replace(REPORT, holdout=0.4),
        replace(
            REPORT,
            arms=(
                *(replace(A, variant=name, assigned=10**9, accepted=10**9) for name in "ABCDE"),
                Arm(held=True, assigned=10**8),
            ),
        ),
    ],
    ids=["draft", "alone", "clicks", "nobody", "everybody", "long", "emoji", "sizes", "huge"],
)
def test_every_report_has_a_chart(report: Report) -> None:
    assert picture(report).width == WIDTH
    letters = lettering()
    if letters.chinese:
        assert picture(report, letters).width == WIDTH


def test_a_font_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    broken = tmp_path / "font.ttf"
    broken.write_bytes(b"no font")
    with pytest.raises(FontError, match="can be read"):
        lettering(broken)
    with pytest.raises(FontError, match="can be read"):
        lettering(tmp_path / "missing.ttf")


def test_a_font_without_chinese_letters_is_not_taken(tmp_path: Path) -> None:
    """The Latin letters that come with Pillow, as a file."""
    latin = tmp_path / "latin.ttf"
    stream = LATIN.font(24).path
    assert isinstance(stream, io.BytesIO)
    latin.write_bytes(stream.getvalue())
    assert not lettering(places=(str(latin), str(tmp_path / "none.ttf"))).chinese
    with pytest.raises(FontError, match="no Chinese letters"):
        lettering(latin)
