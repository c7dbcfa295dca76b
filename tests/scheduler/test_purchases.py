"""Orders of the shop: each counts once, whenever its buyer becomes known, and refunds undo it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scheduler.purchases import BATCH, PAGE, count_orders
from store import Store
from store.events import Added, NewEvent
from store.memberships import Standing
from store.orders import Rules
from tests.blank import blank

DAY = 86_400.0
NOW = 1_763_600_000.0
MONTH = 31 * DAY
TIERS = ("trial", "paid-monthly")


@dataclass(frozen=True)
class Badge:
    """As the configuration makes them."""

    name: str
    fact: str
    at_least: int


def worth(cents: int) -> int:
    return cents // 100


RULES = Rules(
    worth=worth,
    ends_at=lambda now: now + 365 * DAY,
    badges=(Badge("回头客", "purchases", 2),),
    tiers=TIERS,
    grants={"vip": ("paid-monthly", MONTH), "try": ("trial", 3 * DAY)},
)


class Shop:
    """Tells of orders, lets the job run, and looks at what became of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._count = 0

    async def says(self, kind: str, at: float = NOW, *, openid: str = "o_lin", **more: Any) -> str:
        """One event; its id."""
        self._count += 1
        fields: dict[str, Any] = {"channel": "mp", "openid": openid, "item_id": "py"}
        event = NewEvent(f"e{self._count}", kind, at, **(fields | more))
        assert await self.store.events.add([event], at) == [Added.NEW]
        return event.event_id

    async def buys(self, yuan: float = 100, at: float = NOW, **more: Any) -> str:
        return await self.says("purchase", at, amount_cents=round(yuan * 100), **more)

    async def refunds(self, yuan: float = 0, at: float = NOW, **more: Any) -> str:
        return await self.says("refund", at, amount_cents=round(yuan * 100), **more)

    async def runs(self, now: float = NOW, rules: Rules = RULES) -> str:
        return await count_orders(self.store, rules, now, NOW)

    async def meet(self, openid: str = "o_lin") -> int:
        return (await self.store.members.meet("mp", openid, NOW)).id

    async def balance(self, member_id: int) -> int:
        assert await self.store.points.audit_sums() == []
        return (await self.store.points.balance(member_id)).balance

    async def tier(self, now: float = NOW, openid: str = "o_lin") -> str:
        known = self.store.members.known("mp", openid)
        member = known or await self.store.members.meet("mp", openid, now)
        return member.tier_at(now)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield Shop(store)
    await store.close()


async def test_an_order_earns_its_points_once_however_often_the_job_runs(shop: Shop) -> None:
    lin = await shop.meet()
    assert await shop.runs() == ""
    await shop.buys(199.99, order_id="17")
    await shop.buys(0.99)
    assert await shop.runs() == "1 orders paid points, 0 gave a tier; refunds: 0 and 0"
    assert await shop.runs(NOW + 60) == ""
    account = await shop.store.points.balance(lin)
    assert (account.balance, account.earned) == (199, 199)
    assert account.ends_next == (199, NOW + 365 * DAY)


async def test_what_was_bought_before_points_began_earns_nothing(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.runs()
    await shop.buys(100, NOW - 1)
    await shop.buys(100, NOW - 9, item_id="vip")
    assert await shop.runs(NOW + DAY) == ""
    assert await shop.balance(lin) == 0
    assert await count_orders(shop.store, RULES, NOW + DAY, NOW - DAY) == "", (
        "the first start holds"
    )


async def test_a_buyer_who_becomes_known_later_gets_it_then(shop: Shop) -> None:
    await shop.buys(item_id="vip", openid="o_new", visitor="browser")
    await shop.buys(50, openid="", visitor="browser", channel="")
    assert await shop.runs() == ""
    new = await shop.meet("o_new")
    later = NOW + 40 * DAY
    assert await shop.runs(later) == "2 orders paid points, 1 gave a tier; refunds: 0 and 0"
    assert await shop.balance(new) == 150
    assert await shop.store.memberships.standing(new, later) == Standing(
        "paid-monthly", later + MONTH
    )


async def test_an_order_brings_its_tier_and_the_next_one_extends_it(shop: Shop) -> None:
    await shop.meet()
    await shop.buys(item_id="vip")
    await shop.runs()
    assert await shop.tier() == "paid-monthly", "the member was known without it"
    await shop.buys(item_id="vip")
    await shop.buys(item_id="try")
    await shop.runs(NOW + DAY)
    lin = await shop.meet()
    assert await shop.store.memberships.standing(lin, NOW) == Standing(
        "paid-monthly", NOW + 2 * MONTH
    )


async def test_a_refund_takes_back_points_and_tier(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys(100, order_id="1", item_id="vip")
    await shop.buys(30, order_id="2")
    await shop.runs()
    await shop.refunds(100, order_id="1", item_id="vip")
    assert await shop.runs(NOW + 60) == "0 orders paid points, 0 gave a tier; refunds: 1 and 1"
    assert await shop.balance(lin) == 30
    assert await shop.tier(NOW + 60) == ""
    assert await shop.runs(NOW + 120) == ""


@pytest.mark.parametrize("run_between", [True, False])
async def test_parts_of_an_order_cost_their_share_and_all_of_it_all(
    shop: Shop, run_between: bool
) -> None:
    lin = await shop.meet()
    await shop.buys(101, order_id="1", item_id="vip")
    await shop.runs()
    await shop.refunds(50.5, order_id="1", item_id="vip")
    if run_between:
        await shop.runs()
        assert await shop.balance(lin) == 50
        assert await shop.tier() == "paid-monthly", "half a refund is none of the membership"
    await shop.refunds(50.5, order_id="1", item_id="vip")
    await shop.runs()
    assert await shop.balance(lin) == 0
    assert await shop.tier() == ""


async def test_a_refund_of_points_that_were_spent_is_owed_by_what_comes_later(
    shop: Shop,
) -> None:
    lin = await shop.meet()
    await shop.buys(100, order_id="1")
    await shop.runs()
    await shop.store.points.post(lin, -70, "coupon", "spent", NOW)
    await shop.refunds(60, order_id="1")
    await shop.runs()
    await shop.refunds(40, order_id="1")
    await shop.runs()
    account = await shop.store.points.balance(lin)
    assert (account.balance, account.earned, account.owed) == (0, 0, 70)
    await shop.buys(20)
    await shop.runs()
    await shop.runs(NOW + 60)
    assert await shop.balance(lin) == 0
    await shop.buys(60)
    await shop.runs(NOW + 60)
    assert await shop.balance(lin) == 10


async def test_a_refund_of_one_of_two_equal_lines_ends_one_membership(shop: Shop) -> None:
    lin = await shop.meet()
    for _ in range(2):
        await shop.buys(30, order_id="1", item_id="vip")
    await shop.runs()
    await shop.refunds(30, order_id="1", item_id="vip")
    assert (await shop.runs()).endswith("refunds: 1 and 1")
    assert await shop.runs(NOW + 60) == ""
    assert await shop.store.memberships.standing(lin, NOW) == Standing("paid-monthly", NOW + MONTH)
    assert await shop.balance(lin) == 30
    await shop.refunds(30, order_id="1", item_id="vip")
    assert (await shop.runs()).endswith("refunds: 1 and 1")
    assert await shop.tier() == ""


async def test_a_refund_of_an_item_without_an_amount_is_worth_that_item(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys(30, order_id="1", item_id="vip")
    await shop.buys(200, order_id="1", item_id="book")
    await shop.runs()
    await shop.refunds(0, order_id="1", item_id="book")
    assert (await shop.runs()).endswith("refunds: 1 and 0")
    assert await shop.balance(lin) == 30
    assert await shop.tier() == "paid-monthly"


async def test_a_refund_that_comes_before_its_order_counts_when_that_comes(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.refunds(100, NOW + 5, order_id="1", item_id="vip")
    assert await shop.runs() == ""
    await shop.buys(100, order_id="1", item_id="vip")
    await shop.runs()
    assert await shop.balance(lin) == 0
    assert await shop.tier() == ""


async def test_a_refund_without_an_order_means_the_newest_of_its_item(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys(10, NOW, order_id="1")
    await shop.buys(20, NOW + 1, order_id="2")
    await shop.buys(40, NOW + 2, order_id="3", item_id="other")
    await shop.refunds(0, NOW + 3)
    await shop.refunds(5, NOW + 3, order_id="99", item_id="never-bought")
    await shop.runs(NOW + 9)
    assert await shop.balance(lin) == 50


async def test_somebody_elses_refund_and_an_erased_buyer_change_nothing(shop: Shop) -> None:
    lin, mei = await shop.meet(), await shop.meet("o_mei")
    await shop.buys(100, order_id="1")
    await shop.buys(100, order_id="2", openid="o_mei")
    await shop.runs()
    await shop.refunds(100, order_id="1", openid="o_mei", item_id="other")
    await shop.store.members.erase(lin, NOW)
    await shop.refunds(100, order_id="1")
    assert await shop.runs() == ""
    assert await shop.balance(mei) == 100


async def test_badges_for_orders_are_given_with_their_points(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys()
    await shop.runs()
    assert await shop.store.points.badges(lin) == []
    await shop.buys()
    await shop.runs(NOW + 60)
    assert await shop.store.points.badges(lin) == [("回头客", NOW + 60)]


async def test_without_points_for_orders_tiers_are_given_all_the_same(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys(item_id="try")
    no_points = Rules(
        worth=lambda cents: 0, ends_at=lambda now: None, tiers=TIERS, grants=RULES.grants
    )
    assert await shop.runs(rules=no_points) == (
        "0 orders paid points, 1 gave a tier; refunds: 0 and 0"
    )
    assert await shop.balance(lin) == 0
    assert await shop.tier() == "trial"


async def test_a_backlog_is_taken_page_by_page(shop: Shop) -> None:
    lin = await shop.meet()
    count = PAGE + BATCH + 1
    events = [
        NewEvent(f"b{n}", "purchase", NOW, lin, item_id="py", amount_cents=100, order_id=str(n))
        for n in range(count)
    ]
    await shop.store.events.add(events, NOW)
    assert (await shop.runs()).startswith(f"{count} orders")
    assert await shop.balance(lin) == count
    assert await shop.runs() == ""


async def test_two_runs_at_once_pay_once(shop: Shop) -> None:
    lin = await shop.meet()
    since = await shop.store.orders.count_from(NOW)
    await shop.buys(100, item_id="vip")
    found = await shop.store.orders.fresh(since, RULES)
    counted = [await shop.store.orders.count(found, RULES, NOW) for _ in range(2)]
    assert counted == [(1, 1), (0, 0)]
    assert await shop.balance(lin) == 100
    assert await shop.store.memberships.standing(lin, NOW) == Standing("paid-monthly", NOW + MONTH)


async def test_a_tier_for_an_item_begins_with_the_orders_after_that(shop: Shop) -> None:
    await shop.meet()
    await shop.buys(item_id="book")
    await shop.runs()
    more = replace(RULES, grants={**RULES.grants, "book": ("trial", DAY)})
    assert await shop.runs(NOW + DAY, more) == ""
    await shop.buys(item_id="book")
    await shop.runs(NOW + DAY, more)
    assert await shop.tier(NOW + DAY) == "trial"


async def test_times_bought_by_two_accounts_run_in_turn_when_they_become_one(shop: Shop) -> None:
    members = shop.store.members
    for openid in ("o_lin", "o_lin2"):
        await shop.meet(openid)
        for order in "12":
            await shop.buys(30, item_id="vip", openid=openid, order_id=openid + order)
    await shop.runs()
    for openid in ("o_lin", "o_lin2"):
        await members.unite("mp", openid, "u_lin")
    lin = await shop.meet()
    standing = await shop.store.memberships.standing(lin, NOW)
    assert standing == Standing("paid-monthly", NOW + 4 * MONTH)
    assert len(await shop.store.memberships.of(lin, NOW + 3.5 * MONTH)) == 1


async def test_a_free_item_brings_its_tier_once(shop: Shop) -> None:
    lin = await shop.meet()
    await shop.buys(0, item_id="try")
    assert await shop.runs() == "0 orders paid points, 1 gave a tier; refunds: 0 and 0"
    assert await shop.runs(NOW + 60) == ""
    assert await shop.balance(lin) == 0
