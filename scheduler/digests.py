"""The daily digest of each group, at its time, once: posted, or told to who bound the group.

A day is that of Shanghai up to the moment of the digest; what is said later belongs to nobody's
digest but can be asked for (`/group digest 3 now`). A group in which little was said gets none,
and so does one whose time came while nobody ran for more than two hours.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from datetime import datetime, time
from zoneinfo import ZoneInfo

from insights.digest import Counts, Cut, Day, Rarity, from_rows
from store import Store
from store.groups import Group
from store.posts import NewPost, Post

SHANGHAI = ZoneInfo("Asia/Shanghai")

LATE_S = 2 * 3600.0
"""A digest later than this is not made: it is another day for its readers."""

MOST = 3000
"""Lines of a day that are read, the newest."""

KIND = "digest"

Say = Callable[[Day, Group, str], str]
"""(the day, the group, its date "11-21") -> the words: `handlers/digest_text.py`."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member, None for the owners; words; 16 bytes) -> whether they were told; the same key again
tells nothing."""


def due_at(group: Group, configured: time, now: float) -> float | None:
    """When today's digest of a group is due, Unix seconds; None where there is none."""
    rule = group.rules.digest
    if rule == "off" or not group.bound:
        return None
    clock = configured
    if rule:
        hours, _, minutes = rule.partition(":")
        clock = time(int(hours), int(minutes))
    today = datetime.fromtimestamp(now, SHANGHAI)
    moment = today.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
    at = moment.timestamp()
    # Who is bound at ten in the evening has no day to tell of yet.
    return at if group.bound_at is None or group.bound_at < at else None


async def read_day(store: Store, place: str, cut: Cut, rarity: Rarity, now: float) -> Day | None:
    """Today in a group up to now; None when too little was said. Errors: StoreError."""
    today = datetime.fromtimestamp(now, SHANGHAI)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    heard = await store.digests.heard(place, midnight, now, MOST)
    counts = Counts(heard.messages, heard.members, heard.newcomers, heard.answers)
    return await asyncio.to_thread(from_rows, heard.lines, counts, cut, rarity, now)


async def tick(
    store: Store,
    say: Say,
    tell: Tell,
    posting: Collection[str],
    configured: time,
    cut: Cut,
    rarity: Rarity,
    now: float,
) -> str:
    """The digests that are due; "" when none is. Wake the worker of posts afterwards.

    posting: channels that may post. configured: the time of groups that have none of their own.
    cut, rarity: `Words.cut` and `Words.rarity`. Every half minute or so. Errors: StoreError.
    """
    due = []
    for group in store.groups.all():
        at = due_at(group, configured, now)
        if at is not None and at <= now < at + LATE_S and group.rules.silent_until(now) <= now:
            due.append(group)
    if not due:
        return ""
    day = datetime.fromtimestamp(now, SHANGHAI).strftime("%Y-%m-%d")
    made = await store.digests.made([one.place for one in due], day)
    did = []
    for group in due:
        if group.place not in made:
            did.append(await _make(store, say, tell, posting, group, day, cut, rarity, now))
    return ", ".join(filter(None, did))


async def _make(
    store: Store,
    say: Say,
    tell: Tell,
    posting: Collection[str],
    group: Group,
    day: str,
    cut: Cut,
    rarity: Rarity,
    now: float,
) -> str:
    found = await read_day(store, group.place, cut, rarity, now)
    if found is None:
        await store.digests.keep(group.place, day, "{}", now)
        return ""
    words = say(found, group, day[5:])
    body = _kept(found)
    key = hashlib.blake2b(f"digest:{group.place}:{day}".encode(), digest_size=16).digest()
    channel = group.route or group.channel
    if channel in posting:
        post = NewPost(
            key=key,
            channel=channel,
            place=group.place,
            kind=KIND,
            body=Post("text", words),
            due_at=now,
            not_after=now + LATE_S,
        )
        kept = await store.digests.keep(group.place, day, body, now, post)
        return f"digest of group {group.id}" if kept else ""
    # Told first: a kill in between tells it again, under the same key, and that is no second time.
    told = await tell(await store.digests.bound_by(group.place), words, key)
    await store.digests.keep(group.place, day, body, now)
    return f"digest of group {group.id} {'told' if told else 'for nobody'}"


def _kept(day: Day) -> str:
    """What stays of a digest: numbers and words, nobody's lines."""
    data = {
        **asdict(day.counts),
        "topics": [list(one.words) for one in day.topics],
        "open": len(day.open),
        "best": len(day.best),
    }
    return json.dumps(data, ensure_ascii=False)
