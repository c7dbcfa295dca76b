"""Moments, spans of time and large numbers of campaigns, in words."""

from __future__ import annotations

from datetime import datetime

from handlers.context import SHANGHAI
from handlers.coupon_words import day_of
from handlers.texts import Texts


def people(count: int) -> str:
    """A number that may be large: "12,345"."""
    return f"{count:,}"


def moment(texts: Texts, at: float, now: datetime) -> str:
    """ "今天 20:00", "明天 09:00", "12月1日 20:00". at: Unix seconds; now: aware, Shanghai."""
    when = datetime.fromtimestamp(at, SHANGHAI)
    clock = f"{when:%H:%M}"
    ahead = (when.date() - now.date()).days
    if ahead == 0:
        return texts("campaign.today", clock=clock)
    if ahead == 1:
        return texts("campaign.tomorrow", clock=clock)
    return day_of(at, now.timestamp())


def span(texts: Texts, seconds: float) -> str:
    """How long something takes, to the minute; at least one."""
    minutes = max(1, round(seconds / 60))
    if minutes < 120:
        return texts("campaign.minutes", count=minutes)
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return texts("campaign.days", count=f"{hours / 24:.3g}")
    if rest:
        return texts("campaign.hours_minutes", hours=hours, minutes=rest)
    return texts("campaign.hours", count=hours)
