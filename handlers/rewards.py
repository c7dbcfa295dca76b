"""What earns and what it earns: the operator's rules for coupons, points, honours, invitations.

Plain values and pure rules. They come from the configuration (`bot/incentives.py`) and are
handed to the store where a transaction needs one; nothing here is counted or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

FACTS = ("streak", "days", "earned", "referrals", "quizzes", "wins", "useful", "purchases")
"""What a badge can be given for: days of check-in in a row, days of check-in at all, points
ever earned, friends invited, quizzes finished, quizzes won, answers found useful, orders."""


@dataclass(frozen=True, slots=True)
class CouponRules:
    """reserve_s: how long a checkout holds a coupon; remind_s: so long before it ends its owner
    hears of it, 0 never. wrong_tries: unknown words or codes before a member waits lock_s."""

    reserve_s: float = 900.0
    remind_s: float = 2 * 86_400.0
    wrong_tries: int = 10
    lock_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class PointRules:
    """Points for what members do; each 0 earns nothing. expire_months: 0 keeps them for ever."""

    checkin_first: int = 5
    checkin_most: int = 10
    card_every: int = 7
    cards_most: int = 3
    makeup_days: int = 7
    useful: int = 2
    useful_a_day: int = 10
    per_yuan: int = 1
    expire_months: int = 12

    def for_day(self, streak: int) -> int:
        """Points for the n-th day in a row, one more each day up to the most."""
        return min(self.checkin_first + streak - 1, max(self.checkin_first, self.checkin_most))

    def ends_at(self, now: float) -> float | None:
        """When points earned now end: with the month in Shanghai, so many months on."""
        if not self.expire_months:
            return None
        earned = datetime.fromtimestamp(now, SHANGHAI)
        months = earned.year * 12 + earned.month + self.expire_months
        return datetime(months // 12, months % 12 + 1, 1, tzinfo=SHANGHAI).timestamp()

    def for_order(self, amount_cents: int) -> int:
        """Points for an order of so many fen: whole yuan count."""
        return amount_cents // 100 * self.per_yuan


@dataclass(frozen=True, slots=True)
class Level:
    """等级: who has ever earned `points` (not: has them now) is at least this."""

    name: str
    points: int


@dataclass(frozen=True, slots=True)
class Badge:
    """勋章: given once, when `fact` (one of FACTS) reaches `at_least`; never taken back."""

    name: str
    fact: str
    at_least: int


@dataclass(frozen=True, slots=True)
class ReferralRules:
    """What an invitation is worth, and when somebody looks at it first.

    points: for each friend; stay_s: who leaves within it takes the credit along. ladder:
    (friends, word of the offer given then), fewest first. hold_per_hour: more credits of one
    inviter within an hour wait for an operator; hold_quiet: so do those of an inviter with so
    many friends of whom none ever wrote. landing_url: where invitations lead when the account
    may not make codes, "" for nowhere. days: how long a code is good.
    """

    enabled: bool = False
    points: int = 20
    stay_s: float = 7 * 86_400.0
    ladder: tuple[tuple[int, str], ...] = ()
    hold_per_hour: int = 10
    hold_quiet: int = 5
    landing_url: str = ""
    days: int = 30


@dataclass(frozen=True, slots=True)
class MembershipRules:
    """tiers: lowest first, without the free one. grants: item -> (tier, days) that its purchase
    gives. gates: handler or its first part ("quiz", "content.search") -> the tier it needs."""

    tiers: tuple[str, ...] = ()
    grants: Mapping[str, tuple[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    gates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def rank(self, tier: str) -> int:
        """0 for no tier or one nobody knows, 1 for the lowest, and so on."""
        return self.tiers.index(tier) + 1 if tier in self.tiers else 0


@dataclass(frozen=True, slots=True)
class Rewards:
    """All of it."""

    coupons: CouponRules = field(default_factory=CouponRules)
    points: PointRules = field(default_factory=PointRules)
    levels: tuple[Level, ...] = ()
    badges: tuple[Badge, ...] = ()
    referral: ReferralRules = field(default_factory=ReferralRules)
    membership: MembershipRules = field(default_factory=MembershipRules)

    def level(self, earned: int) -> Level | None:
        """The highest level that so many points ever earned reach; None below the first."""
        reached = [level for level in self.levels if level.points <= earned]
        return reached[-1] if reached else None

    def next_level(self, earned: int) -> Level | None:
        """The level after that; None at the top."""
        return next((level for level in self.levels if level.points > earned), None)
