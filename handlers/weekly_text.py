"""The week in words: for operators as /report week says it, for a group in two friendly lines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from handlers import report_text
from handlers.context import SHANGHAI
from handlers.report_text import ASKED, kept
from handlers.texts import Texts
from insights.noise import SMALL
from insights.report import Figure, Report
from store.groups import Group
from store.noise_spent import Spent

_STEP = 5
"""Numbers of groups are said in fives: the noise is larger than that."""


class WeeklyText:
    """What `scheduler/weekly.py` says."""

    asked = ASKED

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def week(self, report: Report, role: str) -> tuple[str, Any]:
        """The week for one reader, and what its numbers stand for, kept for who asks why."""
        texts = self._texts
        first, rest = report_text.parts(report)
        told = report_text.told(texts, first, texts("report.title_week"), {})
        lines = [told.text, texts("report.foot")]
        if rest is not None:
            lines.append(texts("report.foot_rest", typed="week"))
        lines.append(texts("report.foot_to"))
        return "\n".join(lines), kept(role, told.asked)

    def group(self, noisy: Report) -> str:
        """The week for a group, rounded; "" when too few members are left to speak of."""
        found = next((one for one in noisy.figures if one.name == "speaking_share"), None)
        if found is None or found.value is None or found.note == SMALL:
            return ""
        return self._texts(
            "weekly.group",
            window=report_text.days(found.since, found.until),
            people=about(found),
            share=_STEP * max(1, round(found.value * 100 / _STEP)),
        )

    def unpublished(self, group: Group, why: str, spent: Spent | None) -> str:
        """Why a group heard nothing."""
        return unpublished(self._texts, group.title, group.id, why, spent)


def unpublished(texts: Texts, title: str, number: int, why: str, spent: Spent | None) -> str:
    """Why nothing of a group was published. why: of `scheduler.weekly.Published`."""
    if why == "spent":
        return texts("weekly.spent", group=title, free=free(texts, spent))
    if why == "cannot":
        return texts("weekly.cannot", group=title, number=number)
    if why == "unknown":
        return texts("weekly.unknown", group=title)
    return texts("weekly.few", group=title)


def about(found: Figure) -> int:
    """How many a share is of, in fives, at least five."""
    return _STEP * max(1, round((found.numerator or 0) / _STEP))


def free(texts: Texts, spent: Spent | None) -> str:
    """When the budget reaches again, as people say it."""
    if spent is None or spent.free_at == float("inf"):
        return texts("weekly.free_never")
    when = datetime.fromtimestamp(spent.free_at, SHANGHAI)
    return texts("weekly.free", day=f"{when:%m-%d}")
