"""The operator's rules for campaigns, as the runner and the planner use them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRules:
    """What `[campaigns]` says. Shares are 0 to 1; see `bot/settings.py` for each.

    quiet: from and until, Shanghai time; the same twice means none. cap_day, cap_week: 0 for no
    cap.
    """

    quiet: tuple[time, time] = (time(22, 0), time(8, 0))
    cap_day: int = 1
    cap_week: int = 4
    holdout: float = 0.05
    grace_s: float = 900.0
    window_s: float = 3 * 86_400.0
    error_share: float = 0.2
    two_person_over: int = 0
    custom_per_minute: int = 3000
    custom_per_day: int = 500_000
    mass_per_minute: int = 30
    notice_per_minute: int = 1200
    notice_per_day: int = 100_000
    tag_per_minute: int = 600
    part: int = 10_000
    parallel: int = 64
    lease_s: float = 30.0
