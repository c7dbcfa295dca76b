"""Reminders of courses left alone: for members who asked, while WeChat lets us write.

A reminder is a customer-service message, so it needs an allowance that the member's own
last message opened, 48 hours long. Who has not written since hears nothing: there is no
way to reach them that they agreed to. This room plans; `bot/late.py` sends, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from store import Store
from store.catalogue import Item
from store.coupons import gift_key
from store.courses import Learning

SHANGHAI = ZoneInfo("Asia/Shanghai")

LEFT_ALONE_S = 3 * 86_400.0
"""A course without any event for this long is worth a reminder."""

EVERY_DAYS = 3
"""A member is reminded on one of so many days at most, of one course."""

Say = Callable[[str, str], str]
"""(title of the course, title of the next chapter or "") -> JSON of the Reply."""


def left_alone(
    learning: Collection[Learning], known: dict[str, Item], now: float
) -> tuple[Item, str] | None:
    """The course to remind of, and the title of its next chapter ("" for none known).

    Of several the one that was learnt last: it is the easiest to take up again. None when
    every course is done, unknown to the catalogue, or was learnt within LEFT_ALONE_S.
    """
    for one in sorted(learning, key=lambda one: -one.last_at):
        item = known.get(one.item_id)
        if item is None or not one.active:
            continue
        next_one = next((c for c in item.chapters if one.chapters.get(c.id, 0) < 100), None)
        if item.chapters and next_one is None:
            continue
        # Who learns in one course at all needs no push to another.
        if now - one.last_at < LEFT_ALONE_S:
            return None
        return item, "" if next_one is None else next_one.title
    return None


def key_of(member_id: int, day: date) -> bytes:
    """The key of a member's reminder on this day in Shanghai: 16 bytes."""
    return gift_key(f"remind:{member_id}:{day.isoformat()}")


async def remind(store: Store, say: Say, channels: Collection[str], now: float) -> str:
    """Plan today's reminders; run again, it plans none twice.

    channels: those that may push. Wake the worker of late answers afterwards.
    """
    today = datetime.fromtimestamp(now, SHANGHAI).date()
    planned = wanting = after = 0
    while page := await store.courses.wanting_reminders(after):
        after = page[-1][0]
        wanting += len(page)
        known = await store.catalogue.known(one.item_id for _, learning in page for one in learning)
        for member_id, learning in page:
            found = left_alone(learning, known, now)
            if found is None:
                continue
            item, chapter = found
            before = [key_of(member_id, today - timedelta(days=n)) for n in range(1, EVERY_DAYS)]
            planned += await store.sends.plan(
                key_of(member_id, today),
                member_id,
                say(item.title, chapter),
                now,
                channels,
                unless=before,
            )
    return f"{planned} reminders planned, {wanting} members want them"
