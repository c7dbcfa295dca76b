"""Campaigns into groups: what each group would get, and the beginning, the pauses and the end.

`judge` says it group by group, to the forecast that an operator confirms and to the runner that
plans the posts: one list for both. Who posts is the worker of posts, who asks employees the job
of customer groups; this room plans once, keeps what is planned out of quiet hours, and says when
a campaign has ended.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from scheduler import pace
from scheduler.rules import CampaignRules
from store import Store
from store.campaign_places import assigned, key_of
from store.campaigns import Campaign
from store.customer_groups import MOST_GROUPS, NewTask
from store.customer_messages import message_of
from store.group_campaigns import KIND, Refusal
from store.groups import Group
from store.leases import Hold
from store.posts import NewPost, Post

log = structlog.get_logger()

WayKind = Literal["robot", "gateway", "task"]

AHEAD_S = 30.0
"""What is due this soon is looked at: longer than a round of the runner may take."""

LATEST_S = 86_400.0
"""A group that may hear nothing for longer than this gets nothing of the campaign."""

_TURNS = 8
"""Quiet hours of a campaign and of a group that take turns end within this many, or never."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a channel takes a campaign into its groups.

    robot: a WeCom group robot, which is in one group; gateway: a bot that is a member; task: an
    employee who confirms (客户群). per_minute: posts. senders: of tasks, who may be asked; none:
    every owner.
    """

    kind: WayKind
    per_minute: int = 20
    senders: tuple[str, ...] = ()


GroupWays = Mapping[str, Way]
"""By channel."""


class Wording(Protocol):
    """What a campaign says in a group; `bot/group_wording.py` is it."""

    async def post(
        self, campaign: Campaign, variant: str, kind: WayKind, group: Group | None
    ) -> Post:
        """A variant as it is said there. group: whose clicks its links count; None: nobody's in
        particular. Errors: ValueError when it cannot be said that way; StoreError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One group of a campaign.

    channel: that posts, or asks. kind: "" when nothing reaches it. variant: "" for one that is
    held out. due_at: when, Unix seconds. why: it gets nothing: "unknown", "left", "unbound",
    "no_way" (nothing posts there), "again" (the same people as another group of the list),
    "muted" (for longer than a day), "never" (the quiet hours leave no time), "no_owner" (nobody
    may confirm it), "quota" (it has had its message of the day). members: known ones.
    """

    place: str
    number: int = 0
    title: str = ""
    channel: str = ""
    kind: WayKind | Literal[""] = ""
    variant: str = ""
    due_at: float | None = None
    why: str = ""
    members: int = 0
    owner: str = ""

    @property
    def goes(self) -> bool:
        """Whether it gets something."""
        return not self.why and bool(self.variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """What would happen if a campaign began at `at`. seconds: how long the posts take; ends_at:
    when the last has left, quiet hours counted; employees: who have to confirm."""

    at: float
    aims: tuple[Aim, ...]
    seconds: float
    ends_at: float
    employees: int

    @property
    def going(self) -> tuple[Aim, ...]:
        """The groups that get something."""
        return tuple(aim for aim in self.aims if aim.goes)


def opens_at(group: Group, at: float, quiet: pace.Hours) -> float | None:
    """When something may be said in a group that nobody asked for: at `at`, or as soon as
    neither the campaign's quiet hours nor the group's own rules speak against it; None: never."""
    for _ in range(_TURNS):
        after = pace.open_at(group.rules.silent_until(at), quiet)
        if after == at:
            return at
        at = after
    return None


def judge(
    campaign: Campaign,
    known: Callable[[str], Group | None],
    ways: GroupWays,
    rules: CampaignRules,
    at: float,
    *,
    spent: Mapping[str, int],
    members: Mapping[str, int],
) -> GroupPlan:
    """What becomes of each group if the campaign begins at `at`. Pure.

    spent: messages that customer groups have had that day. members: known ones, by place.
    """
    taken: set[str] = set()
    aims = [
        _aim(place, variant, known(place), ways, rules, at, taken, spent, members.get(place, 0))
        for place, variant in assigned(campaign).items()
    ]
    seconds, ends_at = _takes(aims, ways, rules, at)
    employees = {(aim.channel, aim.owner) for aim in aims if aim.goes and aim.kind == "task"}
    return GroupPlan(
        at=at, aims=tuple(aims), seconds=seconds, ends_at=ends_at, employees=len(employees)
    )


def _aim(
    place: str,
    variant: str,
    group: Group | None,
    ways: GroupWays,
    rules: CampaignRules,
    at: float,
    taken: set[str],
    spent: Mapping[str, int],
    members: int,
) -> Aim:
    if group is None:
        return Aim(place=place, variant=variant, why="unknown")
    channel = group.route or group.channel
    way = ways.get(channel)
    due_at = opens_at(group, at, rules.quiet)
    why = "" if way is None else _why(group, way, due_at, at, spent)
    if group.left_at is not None:
        why = "left"
    elif not group.bound:
        why = "unbound"
    elif way is None:
        why = "no_way"
    if not why:
        # A robot's own entry and the group that posts by it are the same people.
        people = channel if way is not None and way.kind == "robot" else place
        why = "again" if people in taken else ""
        taken.add(people)
    return Aim(
        place=place,
        number=group.id,
        title=group.title,
        channel=channel,
        kind="" if way is None else way.kind,
        variant=variant,
        due_at=None if why else due_at,
        why=why,
        members=members,
        owner=group.owner,
    )


def _why(group: Group, way: Way, due_at: float | None, at: float, spent: Mapping[str, int]) -> str:
    if due_at is None:
        return "never"
    if group.rules.muted_until > at + LATEST_S:
        return "muted"
    if way.kind == "task":
        if not group.owner or (way.senders and group.owner not in way.senders):
            return "no_owner"
        if spent.get(group.place, 0):
            return "quota"
    return ""


def _takes(
    aims: Sequence[Aim], ways: GroupWays, rules: CampaignRules, at: float
) -> tuple[float, float]:
    """How long the posts take, and when the last has left: channels post side by side."""
    counts: Counter[str] = Counter()
    last: dict[str, float] = {}
    for aim in aims:
        if aim.goes and aim.due_at is not None:
            counts[aim.channel] += aim.kind != "task"
            last[aim.channel] = max(last.get(aim.channel, at), aim.due_at)
    longest, ends_at = 0.0, at
    for channel, due_at in last.items():
        # The first so many leave at once, the others a minute behind them.
        minutes = math.ceil(counts[channel] / ways[channel].per_minute) - 1
        longest = max(longest, 60.0 * max(0, minutes))
        ends_at = max(ends_at, pace.advance(due_at, 60.0 * max(0, minutes), rules.quiet))
    return longest, ends_at


async def plan(
    store: Store, campaign: Campaign, ways: GroupWays, rules: CampaignRules, at: float
) -> GroupPlan:
    """`judge` with what the store knows. Errors: StoreError."""
    tasks = [place for place in campaign.places if _is_task(store, ways, place)]
    spent = await store.group_campaigns.spent(tasks, at) if tasks else {}
    members = await store.groups.counts(campaign.places)
    return judge(campaign, store.groups.known, ways, rules, at, spent=spent, members=members)


def _is_task(store: Store, ways: GroupWays, place: str) -> bool:
    group = store.groups.known(place)
    way = None if group is None else ways.get(group.route or group.channel)
    return way is not None and way.kind == "task"


class GroupRunner:
    """The part of the runner (`scheduler/campaigns.py`) that has to do with groups.

    told: as the runner's. wake: posts are planned.
    """

    def __init__(
        self,
        store: Store,
        wording: Wording,
        rules: CampaignRules,
        ways: GroupWays,
        *,
        now: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._wording = wording
        self._rules = rules
        self._ways = ways
        self._now = now
        self._wake = wake

    async def begin(self, campaign: Campaign, hold: Hold) -> Campaign | None:
        """Plan all that it says, once; None when somebody was faster. Errors: StoreError."""
        now = self._now()
        found = await plan(self._store, campaign, self._ways, self._rules, now)
        refused = [
            Refusal(aim.place, aim.channel, aim.variant, aim.why)
            for aim in found.aims
            if aim.why and aim.variant
        ]
        posts, broken = await self._posts(campaign, found.going)
        tasks, unsaid = await self._tasks(campaign, found.going, now)
        begun = await self._store.group_campaigns.begin(
            campaign, hold, self._now(), posts, tasks, [*refused, *broken, *unsaid]
        )
        if begun is not None:
            log.info(
                "campaign_in_groups",
                campaign=campaign.id,
                posts=len(posts),
                tasks=len(tasks),
                refused=len(refused) + len(broken) + len(unsaid),
            )
            self._wake()
        return begun

    async def _posts(
        self, campaign: Campaign, going: Sequence[Aim]
    ) -> tuple[list[NewPost], list[Refusal]]:
        made, broken = [], []
        for aim in going:
            if not aim.kind or aim.kind == "task" or aim.due_at is None:
                continue
            group = self._store.groups.known(aim.place)
            try:
                body = await self._wording.post(campaign, aim.variant, aim.kind, group)
            except ValueError as error:
                broken.append(Refusal(aim.place, aim.channel, aim.variant, str(error)))
                continue
            made.append(
                NewPost(
                    key=key_of(campaign, aim.place),
                    channel=aim.channel,
                    place=aim.place,
                    kind=KIND,
                    body=body,
                    due_at=aim.due_at,
                    campaign_id=campaign.id,
                    variant=aim.variant,
                )
            )
        return made, broken

    async def _tasks(
        self, campaign: Campaign, going: Sequence[Aim], now: float
    ) -> tuple[list[NewTask], list[Refusal]]:
        """One task for each employee and variant: they say the same in all their groups."""
        shares: dict[tuple[str, str, str], list[Aim]] = {}
        for aim in going:
            if aim.kind == "task":
                shares.setdefault((aim.channel, aim.owner, aim.variant), []).append(aim)
        made, broken = [], []
        for (channel, owner, variant), aims in shares.items():
            try:
                post = await self._wording.post(campaign, variant, "task", None)
                body = message_of(post)
            except ValueError as error:
                broken += [Refusal(aim.place, channel, variant, str(error)) for aim in aims]
                continue
            for first in range(0, len(aims), MOST_GROUPS):
                some = aims[first : first + MOST_GROUPS]
                made.append(
                    NewTask(
                        key=key_of(campaign, f"task {channel} {owner} {variant} {first}"),
                        channel=channel,
                        sender=owner,
                        places=tuple(aim.place for aim in some),
                        body=body,
                        # An employee confirms when they are at work: only the campaign's own
                        # quiet hours keep WeCom from asking them.
                        due_at=pace.open_at(now, self._rules.quiet),
                        campaign_id=campaign.id,
                        variant=variant,
                        remind=True,
                    )
                )
        return made, broken

    async def tend(self, running: Collection[Campaign], hold: Hold) -> tuple[int, list[Campaign]]:
        """Look after those that run: posts that may not leave now wait, what was cancelled is
        dropped; (how many rows that were, the campaigns that have ended). Errors: StoreError."""
        changed = await self._store.group_campaigns.drop_cancelled(self._now())
        ended = []
        for campaign in running:
            changed += await self._hush(campaign)
            now = self._now()
            left = await self._store.group_campaigns.left(campaign.id)
            began = now if campaign.started_at is None else campaign.started_at
            if left.posts or (left.tasks and now < began + campaign.window_s):
                continue
            done = await self._store.group_campaigns.finish(campaign.id, hold, now)
            if done is not None:
                ended.append(done)
        return changed, ended

    async def _hush(self, campaign: Campaign) -> int:
        """What is due soon, and may not be said by then, waits; what never may, does not go."""
        now = self._now()
        moved: dict[int, float] = {}
        refused: dict[int, str] = {}
        for row in await self._store.group_campaigns.due(campaign.id, now + AHEAD_S):
            group = self._store.groups.known(row.place)
            if group is None or not group.bound:
                refused[row.id] = "left" if group and group.left_at is not None else "unbound"
                continue
            later = [
                opens_at(group, at, self._rules.quiet)
                for at in (max(now, row.due_at), max(now, row.due_at) + AHEAD_S)
            ]
            if None in later:
                refused[row.id] = "never"
                continue
            soon, then = (at for at in later if at is not None)
            if then > max(now, row.due_at) + AHEAD_S:
                moved[row.id] = then
            elif soon > row.due_at and soon > now:
                moved[row.id] = soon
        await self._store.group_campaigns.put(moved, refused, now)
        return len(moved) + len(refused)
