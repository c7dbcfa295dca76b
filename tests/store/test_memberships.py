"""Tiers of membership: given once, several at a time, the highest counts, none outlives its end."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store
from store.dialect import Connection
from store.memberships import Given, Standing
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, meeting

DAY = 86_400.0
TIERS = ("trial", "paid-monthly", "paid-yearly")


async def member(store: Store, openid: str = LIN) -> int:
    return (await store.members.meet(CHANNEL, openid, NOW)).id


async def give(
    store: Store, member_id: int, tier: str, source: str, now: float = NOW, **more: Any
) -> Standing:
    given = await store.memberships.give(
        member_id, tier, now, source_key=source, by="cli", tiers=TIERS, **more
    )
    assert given is not None
    return given.standing


async def tier_now(store: Store, now: float, openid: str = LIN) -> str:
    """The tier that the member's next message has."""
    known = store.members.known(CHANNEL, openid)
    found = known or await store.members.meet(CHANNEL, openid, now)
    return found.tier_at(now)


async def test_a_tier_holds_from_the_next_message_and_ends_by_itself(store: Store) -> None:
    lin = await member(store)
    assert await tier_now(store, NOW) == ""
    assert await give(store, lin, "trial", "a", for_s=DAY) == Standing("trial", NOW + DAY)
    assert await tier_now(store, NOW + 1) == "trial", "the member was known without a tier"
    assert await tier_now(store, NOW + DAY) == "", "no job has run"


async def test_the_same_source_gives_once(store: Store) -> None:
    lin = await member(store)
    first = await give(store, lin, "trial", "event:1", for_s=DAY)
    again = await store.memberships.give(
        lin, "trial", NOW + 9, source_key="event:1", by="cli", tiers=TIERS, for_s=DAY
    )
    assert again == Given(False, first)


async def test_the_same_source_at_the_same_moment_gives_once(store: Store) -> None:
    lin = await member(store)
    gifts = [
        store.memberships.give(
            lin, "trial", NOW, source_key="event:1", by="cli", tiers=TIERS, for_s=DAY
        )
        for _ in range(4)
    ]
    given = await meeting(store, gifts)
    assert sorted(one.fresh for one in given if one is not None) == [False, False, False, True]
    assert await store.memberships.standing(lin, NOW) == Standing("trial", NOW + DAY)


async def test_who_buys_again_goes_on_where_it_would_have_ended(store: Store) -> None:
    lin = await member(store)
    await give(store, lin, "paid-monthly", "a", for_s=31 * DAY)
    bought_early = await give(store, lin, "paid-monthly", "b", NOW + 30 * DAY, for_s=31 * DAY)
    assert bought_early == Standing("paid-monthly", NOW + 62 * DAY)
    bought_late = await give(store, lin, "paid-monthly", "c", NOW + 70 * DAY, for_s=31 * DAY)
    assert bought_late == Standing("paid-monthly", NOW + 101 * DAY)


async def test_the_highest_counts_and_the_lower_goes_on_beneath_it(store: Store) -> None:
    lin = await member(store)
    await give(store, lin, "paid-yearly", "year", for_s=5 * DAY)
    below = await give(store, lin, "trial", "trial", for_s=9 * DAY)
    assert below == Standing("paid-yearly", NOW + 5 * DAY)
    assert await tier_now(store, NOW + 6 * DAY) == "", "until the job has looked"
    assert await store.memberships.settle(NOW + 6 * DAY, TIERS) == 1
    assert await tier_now(store, NOW + 6 * DAY) == "trial"
    assert await store.memberships.settle(NOW + 6 * DAY, TIERS) == 0
    assert await store.memberships.settle(NOW + 9 * DAY, TIERS) == 1
    assert await store.memberships.standing(lin, NOW + 9 * DAY) == Standing("", None)
    assert await store.memberships.settle(NOW + 10 * DAY, TIERS) == 0, "nothing is left to do"


async def test_one_for_ever_outlasts_what_is_bought_besides(store: Store) -> None:
    lin = await member(store)
    assert await give(store, lin, "trial", "a") == Standing("trial", None)
    assert await give(store, lin, "trial", "b", for_s=DAY) == Standing("trial", None)


async def test_taken_is_gone_at_once_and_so_is_what_was_to_come(store: Store) -> None:
    lin = await member(store)
    await give(store, lin, "paid-monthly", "a", for_s=DAY)
    await give(store, lin, "paid-monthly", "b", for_s=DAY)
    await give(store, lin, "trial", "c", for_s=DAY)
    assert await store.memberships.take(lin, "paid-monthly", NOW + 1, tiers=TIERS) == 2
    assert await tier_now(store, NOW + 1) == "trial"
    assert await store.memberships.take(lin, None, NOW + 1, tiers=TIERS) == 1
    assert await store.memberships.take(lin, None, NOW + 2, tiers=TIERS) == 0
    assert await tier_now(store, NOW + 2) == ""
    assert await store.memberships.of(lin, NOW + 2) == []


async def test_what_was_bought_behind_a_refunded_one_moves_up(store: Store) -> None:
    from store import memberships

    lin = await member(store)
    await give(store, lin, "paid-monthly", "first", for_s=30 * DAY)
    await give(store, lin, "paid-monthly", "second", for_s=30 * DAY)
    later = NOW + 10 * DAY

    def end(conn: Connection) -> int | None:
        return memberships.end(conn, "first", later, tiers=TIERS)

    assert await store.members.change(end, (lin,)) == lin
    assert await store.members.change(end, (lin,)) is None, "it has ended already"
    assert await store.memberships.standing(lin, later) == Standing(
        "paid-monthly", later + 30 * DAY
    )


async def test_nobody_and_unknown_tiers_are_refused(store: Store) -> None:
    lin = await member(store)
    nobody = await store.memberships.give(
        99, "trial", NOW, source_key="a", by="cli", tiers=TIERS, for_s=DAY
    )
    assert nobody is None
    assert await store.memberships.take(99, None, NOW, tiers=TIERS) is None
    assert await store.memberships.standing(99, NOW) is None
    with pytest.raises(ValueError, match="gold"):
        await give(store, lin, "gold", "a")
    assert await store.memberships.of(lin, NOW) == []


async def test_another_order_of_the_tiers_counts_for_who_has_some(store: Store) -> None:
    lin = await member(store)
    await store.memberships.settle(NOW, TIERS)
    await give(store, lin, "trial", "a")
    await give(store, lin, "paid-monthly", "b")
    assert await tier_now(store, NOW) == "paid-monthly"
    turned = ("paid-monthly", "trial")
    assert await store.memberships.settle(NOW, turned) == 1
    assert await tier_now(store, NOW) == "trial"
    assert await store.memberships.settle(NOW, turned) == 0
    await store.memberships.settle(NOW, ("paid-monthly",))
    assert await tier_now(store, NOW) == "paid-monthly", "the configuration has no trial any more"
    await store.memberships.settle(NOW, ())
    assert await tier_now(store, NOW) == ""
    await store.memberships.settle(NOW, TIERS)
    assert await tier_now(store, NOW) == "paid-monthly", "nothing was lost"


async def test_many_that_end_are_seen_to_in_pieces(store: Store) -> None:
    for number in range(5):
        lin = await member(store, f"o{number}")
        await give(store, lin, "trial", f"s{number}", for_s=DAY)
    assert await store.memberships.settle(NOW + DAY, TIERS, limit=2) == 5
    assert ask_file(store.db.path, "select distinct tier, tier_until from members") == [("", None)]


@pytest.mark.parametrize("higher_first", [True, False])
async def test_two_members_found_to_be_one_have_the_higher_tier(
    store: Store, higher_first: bool
) -> None:
    await store.memberships.settle(NOW, TIERS)
    lin, mei = await member(store), await member(store, MEI)
    high, low = (lin, mei) if higher_first else (mei, lin)
    await give(store, high, "paid-yearly", "a", for_s=5 * DAY)
    await give(store, low, "trial", "b")
    for openid in (LIN, MEI):
        await store.members.unite(CHANNEL, openid, "union")
    assert await store.memberships.standing(lin, NOW) == Standing("paid-yearly", NOW + 5 * DAY)
    for openid in (LIN, MEI):
        assert await tier_now(store, NOW, openid) == "paid-yearly"
    await store.memberships.settle(NOW + 5 * DAY, TIERS)
    assert await store.memberships.standing(lin, NOW + 5 * DAY) == Standing("trial", None)


async def test_who_is_erased_leaves_no_tier(store: Store) -> None:
    lin, mei = await member(store), await member(store, MEI)
    await give(store, lin, "trial", "a")
    await give(store, mei, "trial", "b")
    kept = await store.members.export(lin)
    assert kept is not None
    assert [row["tier"] for row in kept["memberships"]] == ["trial"]
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["memberships"] == 1
    assert ask_file(store.db.path, "select member_id from memberships") == [(mei,)]
