"""Numbers of reports as people read them: "1,204", "23.5%", "¥1,300", "3.5 小时"."""

from __future__ import annotations

from insights.report import Unit

NONE = "—"
"""What stands for a number there is none of."""

_MYRIAD = 100_000


def said(value: float | None, unit: Unit, *, signed: bool = False) -> str:
    """A value in its unit, short enough for a line of chat. None: a dash.

    signed: with a plus where it grew.
    """
    if value is None or value != value:
        return NONE
    plus = "+" if signed and value > 0 else ""
    if unit == "share":
        points = value * 100
        if 0 < points < 0.05:
            return "不到 0.1%"
        # A tenth of a percent only means something of small shares.
        return f"{plus}{points:.1f}%" if abs(points) < 99.95 else f"{plus}{points:.0f}%"
    if unit == "cents":
        return _money(value / 100, plus)
    if unit == "seconds":
        return plus + _span(value)
    if unit == "days":
        return f"{plus}{_short(value)} 天"
    if unit == "hour":
        return f"{int(value):02d}:00"
    if unit == "factor":
        return f"{_short(value)} 倍"
    if unit == "score":
        text = f"{plus}{value:.2f}"
        return "0.00" if text in ("-0.00", "+0.00") else text
    return plus + _count(value)


def axis(value: float, unit: Unit) -> str:
    """The same for the marks of an axis: as short as it can be."""
    if unit == "share":
        return f"{value * 100:.3g}%"
    if unit == "cents":
        return _money(value / 100, "")
    if unit == "seconds":
        return _span(value)
    if unit == "hour":
        return f"{int(value)}"
    return f"{value / 10_000:.3g}万" if abs(value) >= _MYRIAD else f"{value:,.4g}"


def _count(value: float) -> str:
    if abs(value) >= _MYRIAD:
        return f"{value / 10_000:,.1f} 万"
    return (
        f"{value:,.0f}" if abs(value - round(value)) < 1e-9 or abs(value) >= 100 else _short(value)
    )


def _money(yuan: float, plus: str) -> str:
    sign = "-" if yuan < 0 else plus
    size = abs(yuan)
    if size >= _MYRIAD:
        return f"{sign}¥{size / 10_000:,.1f} 万"
    return f"{sign}¥{size:,.0f}" if size >= 100 or size == int(size) else f"{sign}¥{size:,.2f}"


def _span(seconds: float) -> str:
    size, sign = abs(seconds), "-" if seconds < 0 else ""
    if size < 90:
        return f"{sign}{size:.0f} 秒"
    if size < 90 * 60:
        return f"{sign}{size / 60:.0f} 分钟"
    if size < 48 * 3600:
        return f"{sign}{_short(size / 3600)} 小时"
    return f"{sign}{_short(size / 86_400)} 天"


def _short(value: float) -> str:
    text = f"{value:,.1f}"
    return text.removesuffix(".0")
