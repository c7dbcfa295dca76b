"""Notices: what members allow, once each, and what became of those that went out."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store, campaigns, early, exchange, notices
from store.dialect import Connection
from store.exchange import Ended, Going
from tests.store.campaign_world import begin, delivery, put
from tests.store.rows import CHANNEL, LIN, MEI, NOW, key

T1, T2 = "TEMPLATE_1", "TEMPLATE_2"


async def met(store: Store, openid: str = LIN) -> int:
    return (await store.members.meet(CHANNEL, openid, NOW)).id


async def test_each_popup_allows_one_notice_of_each_template(store: Store) -> None:
    lin = await met(store)
    assert await store.notices.allow(CHANNEL, LIN, [T1, T2, T1], key(1), NOW)
    assert await store.notices.allow(CHANNEL, LIN, [T1], key(2), NOW)
    assert await store.notices.allowed(lin) == {(CHANNEL, T1): 2, (CHANNEL, T2): 1}


async def test_the_same_event_again_allows_nothing_more(store: Store) -> None:
    lin = await met(store)
    for at in (0, 1, 3600):
        assert await store.notices.allow(CHANNEL, LIN, [T1], key(1), NOW + at)
    assert await store.notices.allowed(lin) == {(CHANNEL, T1): 1}


async def test_who_is_unknown_stays_unknown(store: Store) -> None:
    assert not await store.notices.allow(CHANNEL, LIN, [T1], key(1), NOW)
    assert not await store.notices.switch(CHANNEL, LIN, T1, False, NOW)
    assert not await store.notices.ended(CHANNEL, LIN, "7", arrived=True, now=NOW)
    assert await store.members.find(LIN, CHANNEL) == []


async def test_switching_off_voids_what_was_allowed(store: Store) -> None:
    lin = await met(store)
    await store.notices.allow(CHANNEL, LIN, [T1], key(1), NOW)
    assert await store.notices.switch(CHANNEL, LIN, T1, False, NOW)
    assert not await store.notices.switch(CHANNEL, LIN, T1, False, NOW + 1)
    assert await store.notices.allowed(lin) == {(CHANNEL, T1): 0}
    assert await store.notices.switch(CHANNEL, LIN, T1, True, NOW)
    assert not await store.notices.switch(CHANNEL, LIN, T1, True, NOW)
    assert await store.notices.allowed(lin) == {(CHANNEL, T1): 0}
    await store.notices.switch(CHANNEL, LIN, T2, False, NOW)
    await store.notices.allow(CHANNEL, LIN, [T2], key(2), NOW + 2)
    assert (await store.notices.allowed(lin))[CHANNEL, T2] == 1, "a new yes is a yes"


@pytest.mark.parametrize(
    ("first", "second", "left"), [(2, 3, 5), (0, 1, 1), (None, 2, 2), (None, None, 0), (-1, 2, 0)]
)
async def test_joined_members_allow_what_both_did(
    store: Store, first: int | None, second: int | None, left: int
) -> None:
    members = [await met(store), await met(store, MEI)]
    for openid, count in ((LIN, first), (MEI, second)):
        for number in range(max(0, count or 0)):
            event = key(100 * len(openid) + number + (openid == MEI) * 50)
            await store.notices.allow(CHANNEL, openid, [T1], event, NOW)
        if count == -1:
            await store.notices.switch(CHANNEL, openid, T1, False, NOW)
    for openid in (LIN, MEI):
        await store.members.unite(CHANNEL, openid, "uTEST")
    joined = await met(store)
    assert (await store.notices.allowed(joined)).get((CHANNEL, T1), 0) == left
    assert {joined} < set(members)


# What became of one


async def statuses(store: Store) -> list[tuple[str, str]]:
    def run(conn: Connection) -> list[tuple[str, str]]:
        return list(conn.execute("select status, reason from deliveries order by id"))

    return await store.db.read(run)


async def sent(store: Store, *rows: dict[str, Any]) -> None:
    def run(conn: Connection) -> None:
        begin(conn, (1, 2))
        put(conn, "deliveries", *rows)

    await store.db.write(run)


async def test_an_outcome_finds_its_delivery_by_its_number(store: Store) -> None:
    await sent(store, delivery(1, wechat_id="71"), delivery(2, wechat_id="72"))
    ended = store.notices.ended
    assert await ended(CHANNEL, "oTEST_1", "71", arrived=True, now=NOW)
    assert await ended(CHANNEL, "oTEST_2", "72", arrived=False, reason="muted", now=NOW)
    assert await statuses(store) == [("delivered", ""), ("refused", "muted")]
    assert not await ended(CHANNEL, "oTEST_1", "71", arrived=False, reason="error", now=NOW)
    assert (await statuses(store))[0] == ("delivered", ""), "the first word is the last"


async def test_a_number_of_another_account_is_not_ours(store: Store) -> None:
    await sent(store, delivery(1, wechat_id="71"))
    assert not await store.notices.ended("other", "oTEST_1", "71", arrived=True, now=NOW)
    assert await statuses(store) == [("accepted", "")]


async def test_an_outcome_before_the_answer_waits_for_it(store: Store) -> None:
    await sent(store, delivery(1, "sending"))
    assert not await store.notices.ended(CHANNEL, "oTEST_1", "71", arrived=True, now=NOW)
    take = early.take
    assert await store.db.write(lambda conn: take(conn, 1, "")) is None
    assert await store.db.write(lambda conn: take(conn, 2, "71")) is None
    assert await store.db.write(lambda conn: take(conn, 1, "71")) == ("delivered", "")
    assert await store.db.write(lambda conn: take(conn, 1, "71")) is None, "said once"


@pytest.mark.parametrize(
    ("arrived", "expected"), [(True, ("delivered", "")), (False, ("refused", "muted"))]
)
async def test_the_answer_finds_the_outcome_that_came_before_it(
    store: Store, arrived: bool, expected: tuple[str, str]
) -> None:
    await sent(store, delivery(1, "sending", tries=1))
    await store.notices.ended(CHANNEL, "oTEST_1", "71", arrived=arrived, reason="muted", now=NOW)

    def answered(conn: Connection) -> None:
        campaign = campaigns.get(conn, 1)
        assert campaign is not None
        [(number,)] = conn.execute("select id from deliveries")
        who = Going(
            id=number,
            member_id=1,
            external_id="oTEST_1",
            variant="A",
            route="template",
            occasion="",
            tries=1,
        )
        exchange.settle(
            conn, campaign, [Ended(going=who, status="accepted", wechat_id="71")], NOW + 1
        )

    await store.db.write(answered)
    assert await statuses(store) == [expected]


async def test_an_outcome_that_nobody_asks_for_goes_after_a_day(store: Store) -> None:
    await met(store)
    await store.notices.ended(CHANNEL, LIN, "71", arrived=True, now=NOW)
    assert await store.members.purge_states(NOW + 86_399) == 0
    assert await store.members.purge_states(NOW + 86_401) == 1


async def test_what_is_allowed_is_told_and_forgotten(store: Store) -> None:
    lin = await met(store)
    await store.notices.allow(CHANNEL, LIN, [T1], key(1), NOW)
    [row] = await store.db.read(lambda conn: notices.told(conn, lin)["notice_grants"])
    assert (row["template_id"], row["count"]) == (T1, 1)
    await store.members.erase(lin, NOW)
    assert await store.db.read(lambda conn: notices.told(conn, lin)["notice_grants"]) == []
