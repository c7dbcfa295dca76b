"""When something may be sent: quiet hours, a member's best hour, and what is too late. Pure.

All times are Unix seconds; hours are Shanghai's, which has no summer time.
"""

from __future__ import annotations

import math
from datetime import time
from typing import Protocol

SHANGHAI_S = 8 * 3600
DAY_S = 86_400.0

Hours = tuple[time, time]
"""From and until, Shanghai time; over midnight when until is the earlier; the same: none."""


class Timed(Protocol):
    """What has a time to start: a campaign."""

    @property
    def starts_at(self) -> float | None:
        """When it is to start; None for no time yet."""

    @property
    def not_after(self) -> float | None:
        """The last moment it may start without asking; None: a while after `starts_at`."""


def second_of_day(at: float) -> float:
    """Seconds since midnight in Shanghai, 0 up to 86,400."""
    return (at + SHANGHAI_S) % DAY_S


def _second(clock: time) -> float:
    return clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6


def _length(hours: Hours) -> float:
    """How long a night of quiet hours is, in seconds; 0 for none."""
    return (_second(hours[1]) - _second(hours[0])) % DAY_S


def quiet(at: float, hours: Hours) -> bool:
    """Whether nothing may go out at this moment. The end of the quiet hours is not one of them."""
    return (second_of_day(at) - _second(hours[0])) % DAY_S < _length(hours)


def open_at(at: float, hours: Hours) -> float:
    """`at` itself, or the end of the quiet hours that it falls into."""
    if not quiet(at, hours):
        return at
    # The day's first second plus the clock: adding what is left of the night to `at` could
    # end a rounding error before the end, and that is still quiet.
    end = math.floor((at + SHANGHAI_S) / DAY_S) * DAY_S - SHANGHAI_S + _second(hours[1])
    return end if end >= at else end + DAY_S


def advance(start: float, seconds: float, hours: Hours) -> float:
    """When work of so many seconds ends that begins at `start` and rests in the quiet hours."""
    at = open_at(start, hours)
    night = _length(hours)
    if not night or seconds <= 0:
        return at + max(seconds, 0.0)
    left = (_second(hours[0]) - second_of_day(at)) % DAY_S or DAY_S
    if seconds <= left:
        return at + seconds
    nights = math.ceil((seconds - left) / (DAY_S - night))
    return at + seconds + nights * night


def best(at: float, hour: int, hours: Hours) -> float:
    """The next moment of an hour of the day, 0 to 23: `at` itself within it, else its beginning.

    An hour that is quiet is not one to write in: then the end of the quiet hours.
    """
    inside = (second_of_day(at) - hour * 3600) % DAY_S
    return open_at(at if inside < 3600 else at + DAY_S - inside, hours)


def latest(campaign: Timed, grace_s: float) -> float:
    """Up to when it may start without asking; inf while it has no time."""
    if campaign.not_after is not None:
        return campaign.not_after
    return math.inf if campaign.starts_at is None else campaign.starts_at + grace_s


def late(campaign: Timed, now: float, grace_s: float) -> bool:
    """Whether it has to ask before it starts: nobody was there to start it in time."""
    return now > latest(campaign, grace_s)
