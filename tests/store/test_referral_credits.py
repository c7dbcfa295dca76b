"""What friends bring: promised only when it will come, given once, taken back whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import Store
from store.referrals import REFUSED
from tests.store.rows import CHANNEL, NOW, change_file, key
from tests.store.test_referrals import RULES, People


@pytest.fixture
async def people(store: Store) -> People:
    return People(store)


async def test_prizes_are_only_those_that_will_come(people: People) -> None:
    lin = await people.id("lin")
    ladder = ((2, "老友"), (3, "大使"), (4, "老友"), (5, "没有"))

    async def prizes() -> list[tuple[int, str]]:
        return list(await people.store.referrals.prizes(lin, people.now, ladder))

    assert await prizes() == [], "there are no such offers"
    await people.offers("老友")
    await people.offers("大使", inventory=1)
    assert await prizes() == [(2, "老友"), (3, "大使")], "one 老友 for a member, not two"
    people.rules = replace(RULES, ladder=ladder)
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    assert await prizes() == [(3, "大使")]
    await people.left("b")
    assert await prizes() == [(2, "老友"), (3, "大使")], "what was taken back comes again"
    gone = await people.store.coupons.grant(2, [await people.id("mei")], key(77), NOW, "cli")
    assert gone[0].coupon is not None
    assert await prizes() == [(2, "老友")], "sold out"
    await people.store.offers.set_status(1, "closed", NOW)
    assert await prizes() == []


async def test_refusing_what_waits_takes_what_the_hold_could_not(people: People) -> None:
    """The points were spent when the ring closed, and there are others by the decision."""
    people.rules = replace(RULES, ladder=())
    await people.came("a")
    await people.came_by("b", "a")
    a = await people.id("a")
    await people.store.points.post(a, -20, "coupon", "spent", NOW)
    await people.left("a")
    await people.came_by("a", "b")
    await people.store.points.post(a, 50, "operator", "more", NOW)
    (held,) = await people.store.referrals.held()
    assert await people.store.referrals.waiting() == 1
    refused = await people.decide(held.id, good=False)
    assert refused is not None
    assert (refused.status, refused.points) == (REFUSED, 0)
    assert await people.points("a") == 30
    assert await people.decide(held.id, good=False) == refused, "the same 确认 again"
    assert await people.points("a") == 30
    assert await people.store.referrals.waiting() == 0
    assert await people.store.points.audit_sums() == []


async def test_points_of_a_friend_who_left_are_owed_when_they_were_spent(people: People) -> None:
    await people.came_by("mei", "lin")
    lin = await people.id("lin")
    await people.store.points.post(lin, -15, "coupon", "spent", NOW)
    await people.left("mei")
    assert await people.standing("lin") == (0, 0, 1, 0)
    assert await people.points("lin") == 0
    assert (await people.store.points.balance(lin)).earned == 0, "levels and rankings forget them"
    await people.came_by("wei", "lin")
    assert await people.points("lin") == 5, "the next friend's points pay it first"
    assert await people.standing("lin") == (1, 0, 1, 20)
    assert await people.store.points.audit_sums() == []


@pytest.mark.parametrize(
    ("first", "kept"),
    [("claimed", ["claimed", "revoked"]), ("expired", ["expired", "claimed"])],
)
async def test_two_who_are_one_keep_one_coupon_of_a_rung(
    store: Store, people: People, first: str, kept: list[str]
) -> None:
    """And lose that one when the friends leave."""
    await people.offers("老友", per_member=2)
    for inviter, friends in (("lin", "ab"), ("mei", "cd")):
        for name in friends:
            await people.came_by(name, inviter)
    change_file(store.db.path, f"update coupons set status = '{first}' where id = 1")
    for name in ("lin", "mei"):
        await store.members.unite(CHANNEL, f"o_{name}", "uTEST")
    assert [status for status, _ in await people.coupons("lin")] == kept
    assert await people.standing("lin") == (4, 0, 0, 80)
    for name in "abcd":
        await people.left(name)
    assert "claimed" not in [status for status, _ in await people.coupons("lin")]
    assert await people.points("lin") == 0
