"""What a campaign comes to, member by member: decided and counted before anything leaves.

The runner's freeze and the forecast that an operator confirms ask the same `Planner` and the
same `parts_of`, one member after the other in the order of their numbers: what is said before
is what is done then, as far as nobody writes, leaves or is written to in between. The runner
asks about each member once more when it claims (`store/reach.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler import pace
from scheduler.choosing import (
    ALONE,
    CAPPED,
    HELD,
    MASS,
    OPTED_OUT,
    PLANNED,
    QUOTA,
    ROUTES,
    SKIPPED,
    UNREACHABLE,
    WAITING,
    Account,
    Choice,
    Terms,
    bucket,
    choice_at,
    choose,
    due,
    spent,
    variant_at,
)
from scheduler.rules import CampaignRules
from store import Store, activity, audience, mass_quota
from store import rules as audience_rules
from store.audience import Person
from store.campaigns import Campaign, NewCampaign
from store.dialect import Connection
from store.rules import Everyone

__all__ = [
    "CUSTOM_SEND",
    "HELD",
    "MASS",
    "NOTICE_SEND",
    "PAGE",
    "PLANNED",
    "ROUTES",
    "SKIPPED",
    "TAGGED",
    "TEMPLATE_SEND",
    "WAITING",
    "Account",
    "Choice",
    "Plan",
    "Planner",
    "Terms",
    "bucket",
    "choose",
    "due",
    "forecast",
    "hour_for",
    "page_of",
    "parts_of",
    "template_of",
    "terms_of",
    "variant_at",
]

TAGGED = 50
"""Members that one call of the tags API takes."""

CUSTOM_SEND = "message/custom/send"
MASS_SEND = "message/mass/send"
MASS_SEND_ALL = "message/mass/sendall"
TEMPLATE_SEND = "message/template/send"
NOTICE_SEND = "message/subscribe/bizsend"
TAGGING = "tags/members/batchtagging"
TAG_CREATE = "tags/create"
TAG_DELETE = "tags/delete"
"""WeChat's calls, as the table `quota` counts them."""

CALL_S = 0.2
"""How long one call is taken to last, in seconds: a guess, WeChat promises nothing."""

PAGE = audience.PAGE
"""Members of one page."""

_SAMPLE = 10
_LOOK_EVERY = 256
"""After so many customer-service messages the time of the next is reckoned anew."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen if it began at `at`, Unix seconds; as `handlers.campaigning.Forecast`.

    variants: recipients by each; "" are those that wait for a test's winner. calls: by API as
    WeChat names it. quota: mass sends the recipients by mass routes will have had this month ->
    members; empty on subscription accounts, which count days. sample: some recipients' numbers.
    problems: "nobody"; "api_quota" (more calls than the day has left); "day_quota" (more mass
    sends than the account has left today); "to_all" (a send to all cannot leave anybody out, and
    somebody is to be).
    """

    at: float
    matched: int
    recipients: int
    held: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[str, int] = field(default_factory=dict)
    variants: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    ends_at: float = 0.0
    quota: Mapping[int, int] = field(default_factory=dict)
    sample: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


def parts_of(members: int, part: int) -> list[int]:
    """The sizes of mass_list's calls: balanced, at most `part` each, largest first; [] for 0.

    WeChat refuses a list of one, so nobody is left over alone: with parts of two, three may
    share one. [1] only for one member altogether.
    """
    if members <= 0:
        return []
    count = max(1, min(-(-members // part), members // 2))
    size, more = divmod(members, count)
    return [size + 1] * more + [size] * (count - more)


class Planner:
    """Chooses for one member after the other, and adds up what that makes.

    The members in the order of their numbers. customs: with a freeze that goes on after a kill,
    how many customer-service messages it has planned for each `due_at`, so that the queue is as
    long as it was.
    """

    def __init__(self, terms: Terms, customs: Mapping[float, int] | None = None) -> None:
        self.terms = terms
        rules = terms.rules
        self._each_s = {
            CUSTOM_SEND: max(60.0 / rules.custom_per_minute, CALL_S / rules.parallel),
            TEMPLATE_SEND: max(60.0 / rules.notice_per_minute, CALL_S / rules.parallel),
            NOTICE_SEND: max(60.0 / rules.notice_per_minute, CALL_S / rules.parallel),
            MASS_SEND: max(60.0 / rules.mass_per_minute, CALL_S),
            MASS_SEND_ALL: max(60.0 / rules.mass_per_minute, CALL_S),
            TAGGING: max(60.0 / rules.tag_per_minute, CALL_S),
            TAG_CREATE: CALL_S,
            TAG_DELETE: CALL_S,
        }
        self._queued = dict(customs or {})
        self._leaves: dict[float, tuple[int, float]] = {}
        self._matched = 0
        self._skipped: Counter[str] = Counter()
        self._groups: dict[tuple[float, str, str], int] = {}
        self._firsts: dict[tuple[float, str, str], tuple[str, int]] = {}
        self._quota: Counter[int] = Counter()
        self._held = 0
        self._sample: list[int] = []
        self._seen, self._stride = 0, 1

    def add(self, person: Person) -> Choice:
        """What becomes of the next member."""
        terms = self.terms
        due_at = due(person, terms)
        leaves = later = self._leaving(due_at)
        if terms.test_share:
            later = self._leaving(due_at + terms.test_s)
        choice = choice_at(person, terms, due_at, leaves, later)
        self._matched += 1
        status, route, reason, variant, goes_at, fallback = choice
        if status == SKIPPED:
            self._skipped[reason] += 1
            return choice
        if status == HELD:
            self._held += 1
            return choice
        goes_at = goes_at or due_at
        if route == "custom":
            self._queued[goes_at] = self._queued.get(goes_at, 0) + 1
        group = (goes_at, route, variant)
        before = self._groups.get(group, 0)
        self._groups[group] = before + 1
        if not before:
            self._firsts[group] = (fallback, person.mass_month)
        if route in MASS:
            self._quota[person.mass_month + 1] += 1
        if self._seen % self._stride == 0:
            self._sample.append(person.member_id)
            if len(self._sample) == 2 * _SAMPLE:
                self._sample, self._stride = self._sample[::2], 2 * self._stride
        self._seen += 1
        return choice

    def strangers(self, count: int) -> None:
        """Members that the rule finds and this account has never met: nothing reaches them."""
        self._matched += count
        if count:
            self._skipped[UNREACHABLE] += count

    def _leaving(self, due_at: float) -> float:
        """When the next customer-service message that is due then leaves, behind the others."""
        block = self._queued.get(due_at, 0) // _LOOK_EVERY
        known = self._leaves.get(due_at)
        if known is None or known[0] != block:
            work = block * _LOOK_EVERY * self._each_s[CUSTOM_SEND]
            at = pace.advance(due_at, work, self.terms.rules.quiet)
            known = self._leaves[due_at] = (block, at)
        return known[1]

    def plan(self) -> Plan:
        """What it comes to so far."""
        terms = self.terms
        groups, skipped, quota = self._settled()
        routes: Counter[str] = Counter()
        variants: Counter[str] = Counter()
        calls: Counter[str] = Counter()
        seconds, ends_at = 0.0, terms.at
        for (due_at, route, variant), count in sorted(groups.items()):
            routes[route] += count
            variants[variant] += count
            made = self._calls(route, count)
            calls.update(made)
            work = sum(self._each_s[api] * times for api, times in made.items())
            seconds += work
            ends_at = pace.advance(max(ends_at, due_at), work, terms.rules.quiet)
        recipients = sum(routes.values())
        service = terms.account.kind == "service"
        return Plan(
            at=terms.at,
            matched=self._matched,
            recipients=recipients,
            held=self._held,
            skipped=dict(skipped),
            routes=dict(routes),
            variants=dict(variants),
            calls=dict(calls),
            seconds=seconds,
            ends_at=ends_at,
            quota=dict(sorted(quota.items())) if service else {},
            sample=_spread(self._sample),
            problems=self._problems(recipients, routes, calls, skipped),
        )

    def _settled(self) -> tuple[Counter[tuple[float, str, str]], Counter[str], Counter[int]]:
        """The groups as they will go out: a list of one goes another way, or not at all."""
        groups, skipped, quota = Counter(self._groups), Counter(self._skipped), Counter(self._quota)
        for group, count in self._groups.items():
            due_at, route, variant = group
            if route != "mass_list" or count > 1:
                continue
            del groups[group]
            fallback, had = self._firsts[group]
            if fallback not in MASS:
                quota[had + 1] -= 1
            if fallback:
                groups[(due_at, fallback, variant)] += 1
            else:
                skipped[ALONE] += 1
        return groups, skipped, +quota

    def _calls(self, route: str, count: int) -> dict[str, int]:
        if route == "custom":
            return {CUSTOM_SEND: count}
        if route == "template":
            return {TEMPLATE_SEND: count}
        if route == "notice":
            return {NOTICE_SEND: count}
        if route == "mass_list":
            return {MASS_SEND: len(parts_of(count, self.terms.rules.part))}
        if route == "mass_all":
            return {MASS_SEND_ALL: 1}
        tagging = -(-count // TAGGED)
        return {TAG_CREATE: 1, TAGGING: tagging, MASS_SEND_ALL: 1, TAG_DELETE: 1}

    def _problems(
        self,
        recipients: int,
        routes: Mapping[str, int],
        calls: Mapping[str, int],
        skipped: Mapping[str, int],
    ) -> tuple[str, ...]:
        terms, rules, found = self.terms, self.terms.rules, []
        if not recipients:
            found.append("nobody")
        budgets = {
            CUSTOM_SEND: rules.custom_per_day,
            TEMPLATE_SEND: rules.notice_per_day,
            NOTICE_SEND: rules.notice_per_day,
        }
        if any(
            calls.get(api, 0) and calls[api] + terms.used.get(api, 0) > budget
            for api, budget in budgets.items()
        ):
            found.append("api_quota")
        sends = calls.get(MASS_SEND, 0) + calls.get(MASS_SEND_ALL, 0)
        used_up = any(spent(route, terms) for route in terms.routes if route in MASS)
        if (terms.mass_left is not None and sends > terms.mass_left) or (
            used_up and skipped.get(QUOTA, 0)
        ):
            found.append("day_quota")
        to_all = routes.get("mass_all", 0)
        kept_out = self._held + skipped.get(OPTED_OUT, 0) + skipped.get(CAPPED, 0)
        if to_all and (to_all < recipients or kept_out or len(terms.variants) > 1):
            found.append("to_all")
        return tuple(found)


def _spread(members: Sequence[int]) -> tuple[int, ...]:
    """At most ten of them, from all over."""
    if len(members) <= _SAMPLE:
        return tuple(members)
    return tuple(members[at * len(members) // _SAMPLE] for at in range(_SAMPLE))


def terms_of(
    conn: Connection,
    campaign: Campaign,
    account: Account,
    rules: CampaignRules,
    at: float,
    best_hour: int | None = None,
) -> Terms:
    """On what the choices of a campaign depend if it begins at `at`, with what is left then."""
    left = mass_quota.left(conn, campaign.channel, at, service=account.kind == "service")
    return Terms(
        at=at,
        routes=campaign.routes,
        account=account,
        marketing=campaign.marketing,
        seed=campaign.seed,
        variants=tuple((one.name, one.weight) for one in campaign.variants),
        everyone=isinstance(audience_rules.parse(campaign.audience), Everyone),
        holdout=campaign.holdout,
        test_share=campaign.test_share,
        test_s=campaign.test_s,
        timing=campaign.timing,
        best_hour=best_hour,
        rules=rules,
        mass_left=left.mass,
        all_left=left.to_all,
        used=left.calls,
    )


def hour_for(
    conn: Connection, campaign: Campaign, first_page: Sequence[Person], at: float
) -> int | None:
    """The audience's hour, of a campaign with timing "best": that of its first page of members.

    The one it has once it is frozen; None when nobody wrote, or the timing is another.
    """
    if campaign.timing != "best" or campaign.best_hour is not None:
        return campaign.best_hour
    return activity.audience_hour(conn, [person.member_id for person in first_page], at)


def template_of(campaign: NewCampaign) -> str:
    """The template of a notice, whose grants matter; "" for other contents."""
    contents = (one.content for one in campaign.variants)
    return next((str(one["template_id"]) for one in contents if "template_id" in one), "")


def page_of(
    conn: Connection,
    campaign: Campaign,
    at: float,
    after: int,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
    limit: int = PAGE,
) -> list[Person]:
    """The next members of a campaign's audience, with all that `choose` asks of them.

    A page is full unless it is the last. Errors: RuleError.
    """
    return audience.page(
        conn,
        campaign.audience,
        campaign.channel,
        at,
        topic=campaign.topic,
        month=mass_quota.month_of(at),
        after=after,
        limit=limit,
        template_id=template_of(campaign),
        hours=campaign.timing == "best",
        levels=levels,
        tiers=tiers,
    )


async def forecast(
    store: Store,
    campaign: Campaign,
    rules: CampaignRules,
    account: Account,
    at: float,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> Plan:
    """What would happen if a campaign began at `at`, by what is known now; writes nothing.

    A page at a time on a reader's thread, so that nobody waits behind it. Errors: RuleError,
    StoreError.
    """
    planner: Planner | None = None
    after = 0

    def begin(conn: Connection, people: Sequence[Person]) -> Planner:
        hour = hour_for(conn, campaign, people, at)
        begun = Planner(terms_of(conn, campaign, account, rules, at, hour))
        begun.strangers(
            audience.strangers(
                conn, campaign.audience, campaign.channel, at, levels=levels, tiers=tiers
            )
        )
        return begun

    def step(conn: Connection) -> bool:
        nonlocal planner, after
        people = page_of(conn, campaign, at, after, levels=levels, tiers=tiers)
        if planner is None:
            planner = begin(conn, people)
        for person in people:
            planner.add(person)
            after = person.member_id
        return len(people) == PAGE

    while await store.db.read(step, long=True):
        pass
    assert planner is not None
    return planner.plan()
