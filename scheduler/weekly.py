"""The week, told once: to operators in private, and to groups that want it, with noise.

At its time on its day every owner and operator hears the report of the week as their role may see
it, with its chart where a picture can go. Whom WeChat does not let us write to hears it when they
write again within a day; later it is old news. A group hears a few rounded figures of its own,
published under its budget (`scheduler/publishing.py`); where that is spent nothing is posted and
whoever bound the group is told why.

What was done stands in `meta`, and every message has its own key: a restart tells nobody twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from insights.anonymity import masked
from insights.noise import MEMBER_FIGURES, NotPublishable
from insights.report import Report, known, name_of
from scheduler.publishing import Crunch, Publication, Settings, publish
from store import Store
from store.groups import Group
from store.noise_spent import Spent
from store.posts import NewPost, Post

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

LATE_S = 86_400.0
"""A digest later than this is not told any more."""
SHOW_S = 1800.0
"""The chart follows its text within this time, or not at all."""
_STALE_S = 3 * 86_400.0
"""A report whose window ended longer ago is not the week's."""
_ASKED_S = 86_400.0

FIGURES = MEMBER_FIGURES | {"speaking_share"}
"""What may be told of a group: figures in which a member counts once, chosen beforehand."""

KIND = "weekly"
_DONE = "weekly"

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member, None for the owners; words; 16 bytes) -> whether they were told; the same key again
tells nothing."""
Show = Callable[[int, Report, bytes], Awaitable[bool]]
"""(member, report, 16 bytes) -> whether its chart is on its way to them."""

Why = Literal["posted", "unknown", "cannot", "spent", "few"]


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a group's figures. why: "posted", or "unknown": nothing was worked out yet;
    "cannot": no channel posts there; "spent": the budget does not reach; "few": too few members.

    words: what the group reads. spent: with "spent".
    """

    why: Why
    words: str = ""
    spent: Spent | None = None


class Voice(Protocol):
    """The words: `handlers/weekly_text.py`."""

    @property
    def asked(self) -> str:
        """The member state in which numbers are kept for who asks why."""

    def week(self, report: Report, role: str) -> tuple[str, Any]:
        """The week for one reader, masked already; and what its numbers stand for, kept for who
        asks why."""

    def group(self, noisy: Report) -> str:
        """The week for a group; "" when nothing is left to say."""

    def unpublished(self, group: Group, why: Why, spent: Spent | None) -> str:
        """Why a group heard nothing, for who bound it."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How it is told. posting: channels that may post into groups."""

    tell: Tell
    show: Show
    posting: Collection[str]


@dataclass(slots=True)
class _Done:
    """What was done of a day. told: member -> when; shown: who has the chart or will get none."""

    day: str
    told: dict[str, float] = field(default_factory=dict)
    shown: list[int] = field(default_factory=list)
    groups: bool = False


def due_at(on: str, clock: time, now: float) -> float | None:
    """The last moment of a weekly digest up to now, Unix seconds; None when there is none.

    on: "mon" to "sun", or "never". clock: Asia/Shanghai.
    """
    if on not in DAYS:
        return None
    today = datetime.fromtimestamp(now, SHANGHAI)
    ago = (today.weekday() - DAYS.index(on)) % 7
    moment = (today - timedelta(days=ago)).replace(
        hour=clock.hour, minute=clock.minute, second=0, microsecond=0
    )
    if moment.timestamp() > now:
        moment -= timedelta(days=7)
    return moment.timestamp()


async def tick(
    store: Store,
    crunch: Crunch,
    settings: Settings,
    voice: Voice,
    ways: Ways,
    on: str,
    clock: time,
    now: float,
) -> str:
    """What is due of the week; "" when nothing is. Every minute. Errors: StoreError."""
    at = due_at(on, clock, now)
    if at is None or now >= at + LATE_S:
        return ""
    day = datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d")
    done = await _read(store, day)
    did = []
    report = await _week(store, at)
    if report is not None:
        told = await _operators(store, settings, voice, ways, report, done, now)
        if told:
            did.append(f"the week told to {told}")
    if not done.groups:
        did += await _groups(store, crunch, settings, voice, ways, day, now)
        done.groups = True
        await _keep(store, done)
    return ", ".join(did)


async def _read(store: Store, day: str) -> _Done:
    kept = json.loads(await store.meta.get(_DONE) or "{}")
    if kept.get("day") != day:
        return _Done(day)
    return _Done(**kept)


async def _keep(store: Store, done: _Done) -> None:
    kept = {"day": done.day, "told": done.told, "shown": done.shown, "groups": done.groups}
    await store.meta.put(_DONE, json.dumps(kept))


async def _week(store: Store, at: float) -> Report | None:
    """The report of the week; None when there is none, or only an old one."""
    report = known(await store.interactions.finding(name_of("week")))
    return None if report is None or report.until < at - _STALE_S else report


async def _operators(
    store: Store,
    settings: Settings,
    voice: Voice,
    ways: Ways,
    report: Report,
    done: _Done,
    now: float,
) -> int:
    """Tell who was not told yet, show who was; how many were told."""
    count, before = 0, (len(done.told), len(done.shown))
    for member_id, role in await store.members.staff():
        name = str(member_id)
        shown = masked(report, settings.least_people, owner=role == "owner")
        if name not in done.told:
            words, asked = voice.week(shown, role)
            if await ways.tell(member_id, words, _key(f"weekly:{done.day}:{name}")):
                await store.members.set_state(member_id, voice.asked, asked, now + _ASKED_S)
                done.told[name] = now
                count += 1
        elif member_id not in done.shown:
            late = now >= done.told[name] + SHOW_S
            if late or await ways.show(member_id, shown, _key(f"weekly:{done.day}:{name}:chart")):
                done.shown.append(member_id)
    if (len(done.told), len(done.shown)) != before:
        await _keep(store, done)
    return count


async def _groups(
    store: Store,
    crunch: Crunch,
    settings: Settings,
    voice: Voice,
    ways: Ways,
    day: str,
    now: float,
) -> list[str]:
    did = []
    for group in store.groups.all():
        if not group.rules.weekly or not group.bound:
            continue
        published = await to_group(
            store, crunch, settings, voice, ways.posting, group, now, by="weekly"
        )
        if published.why == "posted":
            did.append(f"week of group {group.id}")
            continue
        words = voice.unpublished(group, published.why, published.spent)
        key = _key(f"weekly:{group.place}:{day}:{published.why}")
        await ways.tell(await store.digests.bound_by(group.place), words, key)
        did.append(f"group {group.id} hears nothing: {published.why}")
    return did


async def to_group(
    store: Store,
    crunch: Crunch,
    settings: Settings,
    voice: Voice,
    posting: Collection[str],
    group: Group,
    now: float,
    *,
    by: str,
) -> Published:
    """Plan the post with a group's noisy figures; once a day for each group.

    by: "weekly" or "member:3". What cannot be posted costs nothing of the budget. Errors:
    StoreError.
    """
    channel = group.route or group.channel
    if not group.bound or channel not in posting:
        return Published("cannot")
    report = known(await store.interactions.finding(name_of("group", group.place)))
    if report is None or report.until < now - _STALE_S:
        return Published("unknown")
    asked = Publication(report=report, names=FIGURES, audience=f"group:{group.place}", by=by)
    try:
        noisy = await publish(store, crunch, asked, settings, now)
    except NotPublishable:
        return Published("few")
    if isinstance(noisy, Spent):
        return Published("spent", spent=noisy)
    words = voice.group(noisy)
    if not words:
        return Published("few")
    day = datetime.fromtimestamp(now, SHANGHAI).strftime("%Y-%m-%d")
    due = group.rules.silent_until(now)
    post = NewPost(
        key=_key(f"weekly:{group.place}:{day}"),
        channel=channel,
        place=group.place,
        kind=KIND,
        body=Post("text", words),
        due_at=due,
        not_after=due + LATE_S,
    )
    await store.posts.plan(post, now)
    return Published("posted", words)


def _key(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
