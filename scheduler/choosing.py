"""What becomes of one member of a campaign's audience: by which way, or why not. Pure.

Nothing here asks a clock or throws dice: who is held out and who hears which variant follows
from the campaign's seed and the member's number, for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from typing import NamedTuple

from scheduler import pace
from scheduler.rules import CampaignRules
from store import mass_quota
from store.audience import Person
from store.mass_quota import MONTHLY

ROUTES = ("custom", "mass_list", "mass_tag", "mass_all", "template", "notice")
"""Every way there is."""

TO_MANY = frozenset({"mass_tag", "mass_all"})
MASS = TO_MANY | {"mass_list"}
"""Those that spend the mass sends of a member or of the account."""

PLANNED, WAITING, HELD, SKIPPED = "planned", "waiting", "held", "skipped"

OPTED_OUT, BLOCKED, NOT_FOLLOWING = "opted_out", "blocked", "not_following"
CAPPED, QUOTA, UNREACHABLE, ALONE = "capped", "quota", "unreachable", "alone"
"""Why a member is left out."""


@dataclass(frozen=True, slots=True)
class Account:
    """What an account may do. kind: "service" or "subscription"."""

    kind: str = "service"
    verified: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what a choice depends besides the member. at: when it begins, Unix seconds.

    variants: (name, weight), at least one. everyone: whether the audience is all followers.
    best_hour: the audience's, with timing "best". mass_left: mass sends the account has left
    today; None: as many as it likes. all_left: those to all followers. used: calls already made
    on the day of `at`, by API.
    """

    at: float
    routes: tuple[str, ...]
    account: Account
    marketing: bool
    seed: bytes
    variants: tuple[tuple[str, int], ...]
    everyone: bool = False
    holdout: float = 0.0
    test_share: float = 0.0
    test_s: float = 0.0
    timing: str = "at"
    best_hour: int | None = None
    rules: CampaignRules = field(default_factory=CampaignRules)
    mass_left: int | None = None
    all_left: int = 1
    used: Mapping[str, int] = field(default_factory=dict)
    weight: int = field(init=False)
    """Of all variants together."""
    passable: tuple[str, ...] = field(init=False)
    """The routes that this account may take today for such a campaign, best first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", sum(weight for _, weight in self.variants))
        passable = tuple(route for route in self.routes if self._passes(route))
        object.__setattr__(self, "passable", passable)

    def _passes(self, route: str) -> bool:
        if route not in ROUTES or not self.account.verified:
            return False
        service = self.account.kind == "service"
        if route == "mass_list":
            return service
        if route in ("template", "notice"):
            return service and not self.marketing
        if route == "mass_all":
            # To all means to all: never instead of a narrower audience.
            return self.everyone and self.mass_left != 0 and self.all_left > 0
        return route == "custom" or self.mass_left != 0


class Choice(NamedTuple):
    """What becomes of a member: a row of `deliveries`.

    status: "planned", "waiting" (for a test's winner: no variant yet), "held" or "skipped".
    due_at: not before then; None for who gets nothing. fallback: with a list, the next route that
    would carry a message to this member alone. A tuple: it is made a million times.
    """

    status: str
    route: str = ""
    reason: str = ""
    variant: str = ""
    due_at: float | None = None
    fallback: str = ""


# The split


def bucket(seed: bytes, member_id: int) -> float:
    """Where a member stands among all for one campaign: evenly spread, 0 <= b < 1, for ever."""
    return buckets(seed, member_id)[0]


def buckets(seed: bytes, member_id: int) -> tuple[float, float]:
    """`bucket`, for hold-out and variant, and another one for the early test."""
    draws = _draws(seed, member_id >> 2)
    at = (member_id & 3) * 2
    # 53 bits: all that a float holds exactly, so that it never rounds up to 1.
    return (draws[at] >> 11) * 2.0**-53, (draws[at + 1] >> 11) * 2.0**-53


@lru_cache(maxsize=512)
def _draws(seed: bytes, four: int) -> tuple[int, ...]:
    """64 bits twice for each of four members: one hash costs as much as four of a quarter."""
    return unpack(">8Q", blake2b(four.to_bytes(8, "big"), digest_size=64, key=seed[:64]).digest())


def variant_at(place: float, variants: Sequence[tuple[str, int]]) -> str:
    """The variant of a place in [0, 1), each as wide as its weight; "" when none weighs."""
    return _variant_at(place, variants, sum(weight for _, weight in variants))


def _variant_at(place: float, variants: Sequence[tuple[str, int]], total: int) -> str:
    reached = 0
    for name, weight in variants:
        reached += weight
        if weight and place * total < reached:
            return name
    return next((name for name, weight in reversed(variants) if weight), "")


# The choice


def choose(person: Person, terms: Terms, at: float | None = None) -> Choice:
    """What becomes of a member.

    at: when their message would really leave, for customer-service messages that queue; None:
    when it is due. Held out is only who would have got something, so that the two compare.
    """
    due_at = due(person, terms)
    leaves = due_at if at is None else at
    return choice_at(person, terms, due_at, leaves, leaves + terms.test_s)


def choice_at(person: Person, terms: Terms, due_at: float, leaves: float, later: float) -> Choice:
    """The same, for who has reckoned already: `due`, when a message that is due then leaves, and
    one that waits for the test."""
    if not person.followed:
        return _NOT_FOLLOWING
    if person.blocked:
        return _BLOCKED
    if person.opted_out:
        return _OPTED_OUT
    if person.sent_week and _capped(person, terms, due_at):
        return _CAPPED
    first, second = buckets(terms.seed, person.member_id)
    waits = terms.test_share > 0.0 and second >= terms.test_share
    if waits:
        due_at, leaves = due_at + terms.test_s, later
    route = fallback = ""
    for one in terms.passable:
        if not carries(one, person, terms, leaves):
            continue
        if not route:
            route = one
            if route != "mass_list":
                break
        elif one not in TO_MANY:
            fallback = one
            break
    if not route:
        return Choice(SKIPPED, reason=_unreached(terms))
    holdout = terms.holdout
    if first < holdout:
        return _HELD
    if waits:
        return Choice(WAITING, route, "", "", due_at, fallback)
    variant = _variant_at((first - holdout) / (1.0 - holdout), terms.variants, terms.weight)
    return Choice(PLANNED, route, "", variant, due_at, fallback)


_HELD = Choice(HELD)
_NOT_FOLLOWING = Choice(SKIPPED, reason=NOT_FOLLOWING)
_BLOCKED = Choice(SKIPPED, reason=BLOCKED)
_OPTED_OUT = Choice(SKIPPED, reason=OPTED_OUT)
_CAPPED = Choice(SKIPPED, reason=CAPPED)


def due(person: Person, terms: Terms) -> float:
    """When a member's message is due: at the start, or at their own best hour after it.

    Never in the quiet hours. Who has no hour of their own has the audience's; without one,
    the start.
    """
    hour = None
    if terms.timing == "best":
        hour = person.hour if person.hour is not None else terms.best_hour
    return _due(terms.at, hour, terms.rules.quiet)


@lru_cache(maxsize=256)
def _due(at: float, hour: int | None, quiet: pace.Hours) -> float:
    return pace.open_at(at, quiet) if hour is None else pace.best(at, hour, quiet)


def carries(route: str, person: Person, terms: Terms, at: float) -> bool:
    """Whether a passable route would carry a message to a member at `at`."""
    if route == "custom":
        # The last one is kept for an answer to what the member says next.
        return person.allowance > 1 and person.allowance_until > at
    if route == "notice":
        return person.grants > 0
    if route in MASS:
        return terms.account.kind != "service" or person.mass_month < MONTHLY
    return True


def _capped(person: Person, terms: Terms, due_at: float) -> bool:
    """Whether the member hears enough already. What is due on a later day finds that day empty."""
    day, week = terms.rules.cap_day, terms.rules.cap_week
    if week and person.sent_week >= week:
        return True
    return bool(day) and person.sent_day >= day and _same_day(terms.at, due_at)


@lru_cache(maxsize=256)
def _same_day(one: float, other: float) -> bool:
    return mass_quota.day_of(one) == mass_quota.day_of(other)


def _unreached(terms: Terms) -> str:
    """Why no route carries it: the mass sends are used up, or there is no way at all."""
    for route in terms.routes:
        if route in terms.passable:
            if route in MASS:
                return QUOTA
        elif route in MASS and terms.account.verified and spent(route, terms):
            return QUOTA
    return UNREACHABLE


def spent(route: str, terms: Terms) -> bool:
    """Whether it is only for the account's own limit that a mass route is closed today."""
    if route == "mass_list" or (route == "mass_all" and not terms.everyone):
        return False
    return terms.mass_left == 0 or (route == "mass_all" and terms.all_left <= 0)
