"""Shares and spans of time as a campaign's written form says them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

DAY_S = 86_400.0

SPANS: Mapping[str, float] = MappingProxyType(
    {"天": DAY_S, "d": DAY_S, "小时": 3600.0, "h": 3600.0, "分钟": 60.0, "m": 60.0}
)
"""Seconds of each unit."""

NONE = ("无", "没有", "不要", "不用", "0", "0%")
"""Words for nothing of it."""

_SHARE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,2})?)\s*%")
_SPAN = re.compile(r"([0-9]{1,4})\s*(天|小时|分钟|d|h|m)")


def share(text: str) -> float | None:
    """ "5%" as 0.05, 无 as 0; None for anything else."""
    text = unicodedata.normalize("NFKC", text).strip()
    if text in NONE:
        return 0.0
    found = _SHARE.fullmatch(text)
    return None if found is None else round(float(found[1]) / 100, 4)


def span(text: str) -> float | None:
    """ "2小时" in seconds; None for anything else."""
    found = _SPAN.fullmatch(unicodedata.normalize("NFKC", text).strip().lower())
    return None if found is None else int(found[1]) * SPANS[found[2]]
