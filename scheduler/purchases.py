"""What orders of the shop bring their buyers: points, badges, tiers; and what refunds take back.

Each run looks at everything that has not counted yet, so it may be run again, or late, or
beside another. It reads beside the writer and writes a few rows at a time: a backlog after
an import must not hold up the chat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from store import Store
from store.orders import LEAST_CENTS, Rules

PAGE = 500
"""Events of one reading."""

BATCH = 50
"""Events of one transaction."""


async def count_orders(store: Store, rules: Rules, now: float, started: float) -> str:
    """Give what new orders earn and take back what refunded ones did; "" for nothing to do.

    started: when this process did; the first time ever, orders count from then on.
    """
    orders = store.orders
    since = await orders.count_from(started)
    paid = granted = costly = ended = 0
    if rules.grants or rules.worth(LEAST_CENTS):
        async for batch in _batches(lambda after: orders.fresh(since, rules, after, PAGE)):
            points, tiers = await orders.count(batch, rules, now)
            paid, granted = paid + points, granted + tiers
    async for batch in _batches(lambda after: orders.refunded(since, now, after, PAGE)):
        points, tiers = await orders.take_back(batch, since, rules.tiers, now)
        costly, ended = costly + points, ended + tiers
    if not (paid or granted or costly or ended):
        return ""
    return f"{paid} orders paid points, {granted} gave a tier; refunds: {costly} and {ended}"


async def _batches(find: Callable[[int], Awaitable[list[int]]]) -> AsyncIterator[list[int]]:
    """What `find` finds after a number, page by page, a few at a time."""
    after = 0
    while page := await find(after):
        for at in range(0, len(page), BATCH):
            yield page[at : at + BATCH]
        after = page[-1]
