"""The sections of the configuration that reward members, and the rules they make.

The same shape as `bot/settings.py`; apart from it because they speak of one thing, and
because handlers get them as the plain rules of `handlers/rewards.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Protocol

from bot.rules import CLOCK, PATH, URL, many, matching, number, whole
from handlers.rewards import (
    FACTS,
    Badge,
    CouponRules,
    Level,
    MembershipRules,
    PointRules,
    ReferralRules,
    Rewards,
)

_DAY_S = 86_400.0
_NAME = r"[^:\x00-\x20]{1,12}"
_WORD = r"[^:\x00-\x20]{1,20}"
LEVEL = matching(rf"{_NAME}:\d{{1,9}}", 'a name and points, such as "常客:100"')
BADGE = matching(
    rf"{_NAME}:(?:{'|'.join(FACTS)})>=[1-9]\d{{0,8}}",
    f'a name and a rule, such as "一周不断:streak>=7"; facts: {", ".join(FACTS)}',
)
RUNG = matching(rf"[1-9]\d{{0,3}}:{_WORD}", 'friends and a claim word, such as "3:老友"')
TIER = matching(r"[a-z0-9][a-z0-9-]{0,31}", "a name of a-z, 0-9 and -")
GRANT = matching(
    r"[^:\x00-\x20]{1,64}:[a-z0-9-]{1,32}:[1-9]\d{0,3}",
    'item, tier and days, such as "vip-month:paid-monthly:31"',
)
GATE = matching(
    r"[a-z][a-z._]{0,39}:[a-z0-9-]{1,32}", 'handler and tier, such as "quiz:paid-monthly"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponSettings:
    """Coupons: claimed in the chat, redeemed by the shop.

    reserve_minutes: How long a checkout holds a coupon before others may use it again.
    remind_days: So many days before a coupon ends its owner is reminded; 0 never reminds.
    remind_at: When those reminders go out.
    wrong_tries: Unknown claim words or codes before a member, or an API key, has to wait.
    lock_minutes: How long they wait then.
    """

    reserve_minutes: Annotated[float, number(1, 1440)] = 15.0
    remind_days: Annotated[int, whole(0, 60)] = 2
    remind_at: Annotated[time, CLOCK] = time(10, 0)
    wrong_tries: Annotated[int, whole(1, 1000)] = 10
    lock_minutes: Annotated[float, number(1, 10_080)] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSettings:
    """Points: what earns how many. 0 switches a source off.

    checkin_first: For the first day of check-in.
    checkin_most: Each further day in a row earns one more, up to this.
    card_every: Every so many days in a row earn a make-up card (补签卡); 0 gives none.
    cards_most: Make-up cards one member may hold.
    makeup_days: How far back a missed day may be made up.
    useful: For who taught an answer, each time another member finds it useful.
    useful_a_day: At most so many of those a day.
    per_yuan: For each whole yuan of an order; a refund takes them back.
    expire_months: Points end so many months after they were earned; 0 keeps them for ever.
    """

    checkin_first: Annotated[int, whole(0, 10_000)] = 5
    checkin_most: Annotated[int, whole(0, 10_000)] = 10
    card_every: Annotated[int, whole(0, 365)] = 7
    cards_most: Annotated[int, whole(0, 100)] = 3
    makeup_days: Annotated[int, whole(1, 31)] = 7
    useful: Annotated[int, whole(0, 10_000)] = 2
    useful_a_day: Annotated[int, whole(0, 10_000)] = 10
    per_yuan: Annotated[int, whole(0, 1000)] = 1
    expire_months: Annotated[int, whole(0, 120)] = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class HonourSettings:
    """Levels and badges (社区荣誉).

    levels: Names and the points ever earned that reach them.
    badges: Names and what they are given for.
    """

    levels: Annotated[tuple[str, ...], many(LEVEL)] = (
        "新芽:0",
        "常客:100",
        "骨干:500",
        "元老:2000",
    )
    badges: Annotated[tuple[str, ...], many(BADGE)] = (
        "一周不断:streak>=7",
        "百日同行:days>=100",
        "引路人:referrals>=3",
        "答题高手:wins>=1",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralSettings:
    """Invitations (裂变). WeChat forbids rewards for following or sharing; read docs/going-live.md
    before you switch this on.

    enabled: Whether members can invite friends and be rewarded for it.
    points: For each friend who follows for the first time.
    stay_days: A friend who leaves within so many days takes the reward along; 0 never.
    ladder: Friends and the claim word of the offer given for them.
    hold_per_hour: More friends of one member within an hour wait for an operator.
    hold_quiet: So do those of a member who has so many friends of whom none ever wrote.
    days: How long an invitation's code is good; WeChat allows 30.
    poster: A PNG or JPEG to lay the code on, lower right; "" makes a plain card.
    landing_url: Where an invitation leads when the account may not make codes of its own, such
        as an article with the account's code. Such invitations are counted, never rewarded.
    """

    enabled: bool = False
    points: Annotated[int, whole(0, 100_000)] = 20
    stay_days: Annotated[int, whole(0, 365)] = 7
    ladder: Annotated[tuple[str, ...], many(RUNG)] = ()
    hold_per_hour: Annotated[int, whole(1, 10_000)] = 10
    hold_quiet: Annotated[int, whole(1, 10_000)] = 5
    days: Annotated[int, whole(1, 30)] = 30
    poster: Annotated[Path | None, PATH] = None
    landing_url: Annotated[str, URL] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipSettings:
    """Membership: tiers that the shop's orders or an operator give.

    tiers: Their names, lowest first; who has none is free.
    grants: Items whose purchase gives a tier for some days.
    gates: What only a tier may use: a handler's name as the log shows it, or its first part.
    """

    tiers: Annotated[tuple[str, ...], many(TIER)] = ("trial", "paid-monthly", "paid-yearly")
    grants: Annotated[tuple[str, ...], many(GRANT)] = ()
    gates: Annotated[tuple[str, ...], many(GATE)] = ()


def problems(referral: ReferralSettings, membership: MembershipSettings) -> Iterator[str]:
    """What several keys mean together, one sentence for each mistake."""
    friends = [rung.partition(":")[0] for rung in referral.ladder]
    if len(friends) != len(set(friends)):
        yield "referral.ladder: two rungs for the same number of friends: keep one"
    for name in ("grants", "gates"):
        for entry in getattr(membership, name):
            tier = entry.split(":")[1]
            if tier not in membership.tiers:
                yield f"membership.{name}: {tier} is not in membership.tiers: add it there"


class Incentives(Protocol):
    """The sections this file has; `bot.config.Config` is one."""

    @property
    def coupons(self) -> CouponSettings: ...
    @property
    def points(self) -> PointSettings: ...
    @property
    def honours(self) -> HonourSettings: ...
    @property
    def referral(self) -> ReferralSettings: ...
    @property
    def membership(self) -> MembershipSettings: ...


def rewards(config: Incentives) -> Rewards:
    """The rules that the configuration makes, as handlers use them."""
    coupons, points, referral = config.coupons, config.points, config.referral
    levels = (entry.partition(":") for entry in config.honours.levels)
    badges = (entry.partition(":") for entry in config.honours.badges)
    ladder = (rung.partition(":") for rung in referral.ladder)
    grants = (entry.split(":") for entry in config.membership.grants)
    gates = (entry.partition(":") for entry in config.membership.gates)
    return Rewards(
        coupons=CouponRules(
            reserve_s=coupons.reserve_minutes * 60,
            remind_s=coupons.remind_days * _DAY_S,
            wrong_tries=coupons.wrong_tries,
            lock_s=coupons.lock_minutes * 60,
        ),
        points=PointRules(
            checkin_first=points.checkin_first,
            checkin_most=points.checkin_most,
            card_every=points.card_every,
            cards_most=points.cards_most,
            makeup_days=points.makeup_days,
            useful=points.useful,
            useful_a_day=points.useful_a_day,
            per_yuan=points.per_yuan,
            expire_months=points.expire_months,
        ),
        levels=tuple(
            sorted((Level(name, int(at)) for name, _, at in levels), key=lambda one: one.points)
        ),
        badges=tuple(
            Badge(name, fact, int(at_least))
            for name, _, rule in badges
            for fact, _, at_least in (rule.partition(">="),)
        ),
        referral=ReferralRules(
            enabled=referral.enabled,
            points=referral.points,
            stay_s=referral.stay_days * _DAY_S,
            ladder=tuple(sorted((int(friends), word) for friends, _, word in ladder)),
            hold_per_hour=referral.hold_per_hour,
            hold_quiet=referral.hold_quiet,
            landing_url=referral.landing_url,
            days=referral.days,
        ),
        membership=MembershipRules(
            tiers=config.membership.tiers,
            grants=MappingProxyType({item: (tier, int(days)) for item, tier, days in grants}),
            gates=MappingProxyType({handler: tier for handler, _, tier in gates}),
        ),
    )
