"""What time does to coupons and points: they end, and who has one that ends soon is told.

A reminder is a customer-service message: it goes out while WeChat lets us write to the
member, and leaves the last message of that allowance for an answer. Who cannot be told today
may be tomorrow. This room plans; `bot/late.py` sends, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from store import Store
from store.coupons import Coupon, gift_key
from store.offers import Offer

SHANGHAI = ZoneInfo("Asia/Shanghai")

PAGE = 500
"""Coupons or gains of one transaction: the chat's writes go in between."""

Ending = tuple[Coupon, Offer]

Say = Callable[[Sequence[Ending]], str]
"""A member's coupons that end soon, those that end first first -> JSON of the Reply."""


async def expire_coupons(store: Store, now: float) -> str:
    """End what has ended: holds of checkouts that nobody finished, then coupons; "" for none."""
    count = await _all(lambda: store.coupons.expire(now, PAGE))
    return f"{count} coupons and holds ended" if count else ""


async def expire_points(store: Store, now: float) -> str:
    """Take away the points that have ended."""
    count = await _all(lambda: store.points.expire(now, PAGE))
    return f"{count} gains ended"


async def _all(step: Callable[[], Awaitable[int]]) -> int:
    count = 0
    while done := await step():
        count += done
        if done < PAGE:
            break
    return count


def key_of(member_id: int, day: date) -> bytes:
    """The key of a member's reminder on this day in Shanghai: 16 bytes."""
    return gift_key(f"coupon-reminder:{member_id}:{day.isoformat()}")


async def remind(
    store: Store, say: Say, channels: Collection[str], remind_s: float, now: float
) -> str:
    """Plan today's reminders, one for each member; run again, it plans none twice.

    remind_s: coupons that end within so many seconds; 0 reminds nobody. channels: those that
    may push. Wake the worker of late answers afterwards.
    """
    if not remind_s:
        return "reminders are switched off"
    today = datetime.fromtimestamp(now, SHANGHAI).date()
    planned = owners = 0
    after = (0.0, 0)
    while page := await store.coupons.ending_soon(now, now + remind_s, PAGE, after):
        last = page[-1][0]
        after = (last.expires_at or 0.0, last.id)
        mine: dict[int, list[Ending]] = {}
        for coupon, offer in page:
            if coupon.member_id is not None:
                mine.setdefault(coupon.member_id, []).append((coupon, offer))
        for member_id, ending in mine.items():
            owners += 1
            told = key_of(member_id, today)
            if await store.sends.plan(told, member_id, say(ending), now, channels):
                planned += 1
                # A crash before this line costs a second reminder, on another day.
                await store.coupons.reminded([coupon.id for coupon, _ in ending], now)
    return f"{planned} reminders planned, {owners} members have coupons that end soon"
