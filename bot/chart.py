"""The picture of a campaign's report: how far it came, and what it caused with its interval.

Numbers only, no member's name or face. With a font that has Chinese letters the labels are
Chinese; without one they are Latin, and the title, which nobody could read, is left to the chat.
Pure but for reading the font; drawing takes some hundredths of a second of CPU and belongs in a
thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from insights.experiments import Effect, Verdict
from store.campaign_report import Report

WIDTH = 1080
MAX_BYTES = 200 * 1024
_EDGE = 56
_LABEL = 220
"""Where the bars begin, from the edge."""
_NUMBER = 250
"""What is kept for the number behind a bar."""
_ROW = 62
_BAR = 34
_TITLE, _TEXT, _SMALL = 40, 28, 24
_MOST_EFFECTS = 6
_COLOURS = 64

_PAPER, _INK, _GREY, _LINE = "#ffffff", "#1f2933", "#7b8794", "#d9dfe5"
_GREEN, _BLUE, _RED = "#07c160", "#2b7fd4", "#d64545"

_SHANGHAI = timezone(timedelta(hours=8))

_PLACES = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simhei.ttf",
    "C:/Windows/Fonts/simsun.ttc",
)
"""Where systems keep a font with Chinese letters, the plainest first."""

_WORDS: dict[str, tuple[str, str]] = {
    "campaign": ("活动 {} 的效果", "Campaign {}"),
    "runs": ("合计 {} 次", "{} runs together"),
    "as_of": ("截至 {}", "as of {}"),
    "final": ("已结束", "final"),
    "early": ("还在进行", "not final"),
    "planned": ("计划", "planned"),
    "accepted": ("微信已收", "accepted"),
    "delivered": ("送达", "delivered"),
    "clicks": ("点击", "clicked"),
    "claims": ("领券", "claimed"),
    "buyers": ("购买", "bought"),
    "replies": ("回复", "replied"),
    "optouts": ("退订", "opted out"),
    "leaves": ("取关", "left"),
    "click": ("点击率", "clicks"),
    "claim": ("领券率", "claims"),
    "purchase": ("购买率", "purchases"),
    "reply": ("回复率", "replies"),
    "difference": ("{}的差别（百分点，95% 区间）", "{}: difference in points, 95% interval"),
    "all": ("全部", "all"),
    "against_held": ("{} 对照未发组", "{} vs hold-out"),
    "against": ("{} 比 {}", "{} vs {}"),
    "no_holdout": ("没有未发组，无法比较", "no hold-out to compare with"),
    "one_variant": ("只有一个版本，无法比较", "one variant, nothing to compare with"),
    "empty": ("还没有数据", "no data yet"),
    "sizes": ("各组人数不对，先别相信差别", "group sizes are off: do not trust this"),
    "needed": ("数据还不够，大约还要 {} 人", "not enough data, about {} more needed"),
    "enough": ("数据足够", "enough data"),
    "certain": ("差别可信", "a real difference"),
}
"""Name -> with Chinese letters, and without."""


class FontError(ValueError):
    """The font in the configuration cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """The letters of charts. path: None for the Latin ones that come with the program."""

    path: Path | None = None
    face: int = 0

    @property
    def chinese(self) -> bool:
        """Whether it has Chinese letters."""
        return self.path is not None

    def font(self, size: int) -> ImageFont.FreeTypeFont:
        """In a size, pixels."""
        return _font(self.path, self.face, size)

    def word(self, name: str, *values: object) -> str:
        """A label of the chart."""
        chinese, latin = _WORDS[name]
        return (chinese if self.chinese else latin).format(*values)


@cache
def _font(path: Path | None, face: int, size: int) -> ImageFont.FreeTypeFont:
    if path is None:
        font = ImageFont.load_default(size)
        # Without FreeType Pillow has only a tiny bitmap font, which charts cannot use.
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise FontError("this Pillow was built without FreeType")
        return font
    return ImageFont.truetype(str(path), size, index=face)


def lettering(font: Path | None = None, places: Sequence[str] = _PLACES) -> Lettering:
    """The configured font; None: the first of the usual places that has Chinese letters, else
    Latin ones. Reads files. Errors: FontError when the configured one has no Chinese letters."""
    if font is not None:
        try:
            found = _face(font)
        except OSError as error:
            raise FontError(f"{font} is no font that can be read") from error
        if found is None:
            raise FontError(f"{font} has no Chinese letters")
        return Lettering(font, found)
    for place in map(Path, places):
        if place.is_file():
            try:
                found = _face(place)
            except OSError:
                continue
            if found is not None:
                return Lettering(place, found)
    return Lettering()


def _face(path: Path) -> int | None:
    """The face of a font file to use, simplified Chinese if it says so; None without Chinese.

    Errors: OSError.
    """
    chosen: int | None = None
    for face in range(16):
        try:
            font = ImageFont.truetype(str(path), 24, index=face)
        except OSError:
            if face == 0:
                raise
            break
        # A font draws what it does not have as one and the same box.
        if bytes(font.getmask("活")) == bytes(font.getmask("动")):
            continue
        if (font.getname()[0] or "").endswith((" SC", " GB")):
            return face
        chosen = face if chosen is None else chosen
    return chosen


def draw(report: Report, verdict: Verdict, letters: Lettering) -> bytes:
    """A PNG, WIDTH pixels wide and below MAX_BYTES, of a report and what it says."""
    bars = list(_bars(report, verdict))
    effects = _effects(verdict)
    lines = _lines(verdict, letters)
    height = _EDGE * 2 + 130 + _ROW * len(bars) + 40
    height += (70 + _ROW * len(effects) + 60 if effects else 0) + 46 * len(lines)
    canvas = _Canvas(Image.new("RGB", (WIDTH, height), _PAPER), letters)
    canvas.head(report)
    most = max((count for _, count, _ in bars), default=0)
    for name, count, colour in bars:
        canvas.bar(letters.word(name), count, most, colour)
    canvas.y += 40
    if effects:
        canvas.intervals(effects, letters.word("difference", letters.word(verdict.metric)))
    for line, colour in lines:
        canvas.line(line, colour)
    return canvas.png()


def _bars(report: Report, verdict: Verdict) -> Iterator[tuple[str, int, str]]:
    """What there is to count: name, members, colour."""
    sent = report.sent
    yield "planned", sent.assigned, _BLUE
    yield "accepted", sent.accepted, _BLUE
    if sent.delivered:
        yield "delivered", sent.delivered, _BLUE
    asked = {"click": "clicks", "claim": "claims", "purchase": "buyers", "reply": "replies"}
    for name in ("clicks", "claims", "buyers", "replies"):
        if getattr(sent, name) or name == asked[verdict.metric]:
            yield name, getattr(sent, name), _GREEN
    for name in ("optouts", "leaves"):
        if getattr(sent, name):
            yield name, getattr(sent, name), _RED


def _effects(verdict: Verdict) -> list[Effect]:
    """What has an interval; one variant alone is the same as all."""
    found = [] if verdict.total is None else [verdict.total]
    if verdict.total is None or len(verdict.effects) > 1:
        found += verdict.effects
    return [one for one in found if not math.isnan(one.diff)][:_MOST_EFFECTS]


def _lines(verdict: Verdict, letters: Lettering) -> list[tuple[str, str]]:
    """What is to be said below, each with its colour."""
    if verdict.why:
        return [(letters.word(verdict.why), _GREY)]
    lines = [] if verdict.srm_ok else [(letters.word("sizes"), _RED)]
    if not verdict.enough:
        if verdict.needed is not None:
            lines.append((letters.word("needed", f"{verdict.needed:,}"), _GREY))
    elif any(one.certain for one in _effects(verdict)):
        lines.append((letters.word("certain"), _GREEN))
    else:
        lines.append((letters.word("enough"), _GREY))
    return lines


def _points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{share * 100:+.1f}"


class _Canvas:
    """Draws from top to bottom; y: where the next thing begins."""

    def __init__(self, image: Image.Image, letters: Lettering) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image)
        self._letters = letters
        self.y = _EDGE

    def _text(
        self, x: float, y: float, text: str, size: int = _TEXT, colour: str = _INK, at: str = "lm"
    ) -> None:
        self._draw.text((x, y), text, font=self._letters.font(size), fill=colour, anchor=at)

    def _fitted(self, text: str, width: int, size: int) -> str:
        """The text, cut where it would be wider."""
        font = self._letters.font(size)
        if font.getlength(text) <= width:
            return text
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        return text + "…"

    def head(self, report: Report) -> None:
        word = self._letters.word
        title = word("campaign", report.campaign_id)
        if self._letters.chinese:
            title = _plain(report.title) or title
        self._text(_EDGE, self.y + 22, self._fitted(title, WIDTH - 2 * _EDGE, _TITLE), _TITLE)
        moment = datetime.fromtimestamp(report.at, _SHANGHAI).strftime("%Y-%m-%d %H:%M")
        below = [word("as_of", moment), word("final" if report.final else "early")]
        if report.campaigns > 1:
            below.append(word("runs", report.campaigns))
        self._text(_EDGE, self.y + 80, " · ".join(below), _SMALL, _GREY)
        self.y += 130

    def bar(self, label: str, count: int, most: int, colour: str) -> None:
        """One row: a name, a bar as long as its share of the longest, the number."""
        middle = self.y + _ROW / 2
        self._text(_EDGE, middle, self._fitted(label, _LABEL - 20, _TEXT))
        left, room = _EDGE + _LABEL, WIDTH - 2 * _EDGE - _LABEL - _NUMBER
        length = room * count / most if most else 0.0
        if count:
            box = (left, middle - _BAR / 2, left + max(2.0, length), middle + _BAR / 2)
            self._draw.rectangle(box, fill=colour)
        said = f"{count:,}" + (f"  {count / most:.1%}" if most and count != most else "")
        self._text(left + max(2.0, length) + 14, middle, said)
        self.y += _ROW

    def intervals(self, effects: Sequence[Effect], title: str) -> None:
        """Each effect as a point on its interval, over one axis that has zero on it."""
        self._text(_EDGE, self.y + 20, title, _TEXT, _GREY)
        self.y += 70
        left, right = _EDGE + _LABEL + 60, WIDTH - _EDGE - 20
        low = min(0.0, *(one.low for one in effects))
        high = max(0.0, *(one.high for one in effects))
        span = (high - low) or 1.0

        def at(value: float) -> float:
            return left + (right - left) * (value - low) / span

        bottom = self.y + _ROW * len(effects)
        self._draw.line((at(0.0), self.y - 8, at(0.0), bottom), fill=_LINE, width=3)
        for one in effects:
            self._interval(one, at)
        for value in dict.fromkeys((low, 0.0, high)):
            # Labels of the ends that would run into the zero are left out.
            if value == 0.0 or abs(at(value) - at(0.0)) > 90:
                text = "0" if value == 0.0 else _points(value)
                self._text(at(value), bottom + 24, text, _SMALL, _GREY, "mm")
        self.y = bottom + 60

    def _interval(self, one: Effect, at: Callable[[float], float]) -> None:
        middle = self.y + _ROW / 2 + 8
        word = self._letters.word
        name = one.variant or word("all")
        label = word("against", name, one.against) if one.against else word("against_held", name)
        self._text(_EDGE, middle, self._fitted(label, _LABEL + 40, _SMALL), _SMALL)
        colour = (_GREEN if one.diff > 0 else _RED) if one.certain else _GREY
        self._draw.line((at(one.low), middle, at(one.high), middle), fill=colour, width=5)
        for end in (one.low, one.high):
            self._draw.line((at(end), middle - 9, at(end), middle + 9), fill=colour, width=4)
        x = at(one.diff)
        self._draw.ellipse((x - 9, middle - 9, x + 9, middle + 9), fill=colour)
        # Kept inside the picture when the point is at an end.
        self._text(
            min(max(x, 400.0), WIDTH - 110.0), middle - 26, _points(one.diff), _SMALL, at="mm"
        )
        self.y += _ROW

    def line(self, text: str, colour: str) -> None:
        self._text(_EDGE, self.y + 20, self._fitted(text, WIDTH - 2 * _EDGE, _TEXT), colour=colour)
        self.y += 46

    def png(self) -> bytes:
        """The picture in few colours: a chart needs no more, and phones load it at once."""
        out = io.BytesIO()
        self._image.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE).save(out, "PNG", optimize=True)
        return out.getvalue()


def _plain(title: str) -> str:
    """A title without what no text font draws: emoji and signs that show nothing."""
    return "".join(sign for sign in title if sign.isprintable() and ord(sign) < 0x1F000).strip()
