"""The shop's side: a hold during the checkout, one sale, the same answer to the same call."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from store import Store
from store.coupons import Claimant, Coupon, gift_key
from store.redemption import Call, Cart, Line, Redeemed, Result
from tests.store.couponing import DAY_S, call, cart, offer, people
from tests.store.rows import NOW, ask_file, course, meeting

HOLD_S = 900.0


async def held_by(store: Store, number: int = 0, word: str = "早鸟", **fields: Any) -> Coupon:
    """A coupon that a member just claimed, of an offer made for it unless there is one."""
    members = await people(store, number + 1)
    if await store.offers.by_word(word) is None:
        await offer(store, word=word, **fields)
    got = await store.coupons.claim(word, Claimant(members[-1]), gift_key(f"{word} {number}"), NOW)
    assert got.coupon is not None
    return got.coupon


async def reserve(store: Store, code: str, order: str = "A1", **says: Any) -> Redeemed:
    cents = says.pop("cents", 10_000)
    return await store.redemptions.reserve(code, cart(order, cents), call(**says), HOLD_S)


async def redeem(store: Store, code: str, order: str = "A1", **says: Any) -> Redeemed:
    cents = says.pop("cents", 10_000)
    return await store.redemptions.redeem(code, cart(order, cents), call(**says))


async def release(store: Store, code: str, order: str = "A1", **says: Any) -> Redeemed:
    return await store.redemptions.release(code, order, call(**says))


async def steps(store: Store, coupon: Coupon) -> list[tuple[str, str, str]]:
    return [
        (step["status"], step["actor"], step["order_id"])
        for step in await store.coupons.steps(coupon.id)
    ][1:]


async def now_is(store: Store, coupon: Coupon) -> Coupon:
    found = await store.coupons.get(coupon.id)
    assert found is not None
    return found


async def unchanged(store: Store, coupon: Coupon) -> bool:
    return await now_is(store, coupon) == coupon


# From the checkout to the sale


async def test_a_checkout_holds_and_then_uses_it(store: Store) -> None:
    coupon = await held_by(store)
    held = await reserve(store, coupon.code.lower())
    assert (held.outcome, held.discount_cents) == (Result.DONE, 2000)
    assert held.coupon is not None
    assert (held.coupon.status, held.coupon.reserved_until) == ("reserved", NOW + HOLD_S)
    used = await redeem(store, coupon.code, at=NOW + 10)
    assert (used.outcome, used.discount_cents) == (Result.DONE, 2000)
    row = await now_is(store, coupon)
    assert (row.status, row.redeemed_at, row.reserved_until) == ("redeemed", NOW + 10, None)
    assert (row.order_id, row.amount_cents, row.discount_cents) == ("A1", 10_000, 2000)
    assert await steps(store, coupon) == [
        ("reserved", "key:k1", "A1"),
        ("redeemed", "key:k1", "A1"),
    ]


async def test_it_can_be_used_without_a_hold(store: Store) -> None:
    coupon = await held_by(store)
    assert (await redeem(store, coupon.code)).outcome is Result.DONE
    assert await steps(store, coupon) == [("redeemed", "key:k1", "A1")]


async def test_an_order_that_is_given_up_lets_go(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    freed = await release(store, coupon.code, at=NOW + 5)
    assert freed.outcome is Result.DONE
    row = await now_is(store, coupon)
    assert (row.status, row.order_id, row.discount_cents) == ("claimed", "", 0)
    assert (row.released_at, row.reserved_until) == (NOW + 5, None)
    assert (await redeem(store, coupon.code, "B2")).outcome is Result.DONE
    assert await steps(store, coupon) == [
        ("reserved", "key:k1", "A1"),
        ("released", "key:k1", "A1"),
        ("redeemed", "key:k1", "B2"),
    ]


async def test_what_is_held_is_nobody_elses(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    held = await now_is(store, coupon)
    for act in (reserve, redeem, release):
        refused = await act(store, coupon.code, "B2", at=NOW + HOLD_S - 1)
        assert refused.outcome is Result.NOT_YOURS
        assert refused.coupon == held
    assert await unchanged(store, held)


async def test_the_same_order_holds_it_longer_and_by_its_new_amount(store: Store) -> None:
    coupon = await held_by(store, kind="percent", value=10)
    await reserve(store, coupon.code, cents=1000)
    again = await reserve(store, coupon.code, cents=5000, at=NOW + 100)
    assert (again.outcome, again.discount_cents) == (Result.DONE, 500)
    row = await now_is(store, coupon)
    assert (row.reserved_until, row.amount_cents) == (NOW + 100 + HOLD_S, 5000)
    assert [status for status, _, _ in await steps(store, coupon)] == ["reserved", "reserved"]


async def test_a_hold_ends_by_itself(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    other = await reserve(store, coupon.code, "B2", at=NOW + HOLD_S)
    assert other.outcome is Result.DONE
    assert await steps(store, coupon) == [
        ("reserved", "key:k1", "A1"),
        ("released", "clock", "A1"),
        ("reserved", "key:k1", "B2"),
    ]
    assert (await redeem(store, coupon.code, "A1", at=NOW + HOLD_S + 1)).outcome is (
        Result.NOT_YOURS
    )


async def test_the_clock_ends_holds_too(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    assert await store.coupons.expire(NOW + HOLD_S - 1) == 0
    assert await store.coupons.expire(NOW + HOLD_S) == 1
    row = await now_is(store, coupon)
    assert (row.status, row.order_id, row.released_at) == ("claimed", "", NOW + HOLD_S)
    assert (await release(store, coupon.code)).outcome is Result.NOT_HELD


async def test_a_late_order_still_gets_what_nobody_else_took(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    assert (await redeem(store, coupon.code, at=NOW + 2 * HOLD_S)).outcome is Result.DONE
    assert [status for status, _, _ in await steps(store, coupon)] == [
        "reserved",
        "released",
        "redeemed",
    ]


# Refusals


@pytest.mark.parametrize("code", ["NOBODYS", "", "早鸟", "'; drop table coupons", "P1"])
async def test_an_unknown_code_is_no_code(store: Store, code: str) -> None:
    pool = await offer(store, pool=True)
    await store.offers.add_codes(pool.id, ["P-1"], NOW)
    for act in (reserve, redeem, release):
        assert (await act(store, code, name="n1")).outcome is Result.NO_CODE
    assert ask_file(store.db.path, "select status from coupons") == [("offered",)]


async def test_one_that_has_ended_is_no_good_but_its_hold_is(store: Store) -> None:
    coupon = await held_by(store, valid_days=1)
    end = NOW + DAY_S
    assert (await reserve(store, coupon.code, at=end)).outcome is Result.ENDED
    assert (await redeem(store, coupon.code, at=end)).outcome is Result.ENDED
    assert await unchanged(store, coupon), "the clock writes it down, no refusal does"
    await reserve(store, coupon.code, at=end - 1)
    assert await store.coupons.expire(end + 1) == 0, "it is held"
    assert (await reserve(store, coupon.code, at=end + 1)).outcome is Result.ENDED
    assert (await redeem(store, coupon.code, at=end + 2)).outcome is Result.DONE


async def test_a_hold_that_outlived_its_coupon_ends_with_it(store: Store) -> None:
    coupon = await held_by(store, valid_days=1)
    end = NOW + DAY_S
    await reserve(store, coupon.code, at=end - 1)
    late = end + HOLD_S
    assert (await redeem(store, coupon.code, at=late)).outcome is Result.ENDED
    assert (await now_is(store, coupon)).status == "reserved"
    assert await store.coupons.expire(late) == 2
    assert [status for status, _, _ in await steps(store, coupon)] == [
        "reserved",
        "released",
        "expired",
    ]
    for act in (reserve, redeem, release):
        assert (await act(store, coupon.code, at=late)).outcome is Result.ENDED


async def test_a_revoked_one_is_void_even_in_a_checkout(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code)
    await store.coupons.revoke(coupon.id, NOW + 1, "member:9")
    for act in (reserve, redeem, release):
        assert (await act(store, coupon.code, at=NOW + 2)).outcome is Result.REVOKED
    assert (await steps(store, coupon))[-1] == ("revoked", "member:9", "A1")


async def test_an_order_it_is_not_for_leaves_it_alone(store: Store) -> None:
    coupon = await held_by(store, min_spend_cents=5000, categories=("写作",))
    await store.catalogue.put([course(1)], NOW)
    for act in (store.redemptions.redeem, _hold(store)):
        small = await act(coupon.code, cart(cents=4999, c1=4999), call())
        assert (small.outcome, small.why) == (Result.NOT_ELIGIBLE, "min_spend")
        other = await act(coupon.code, cart(cents=6000, unheard_of=6000), call())
        assert (other.outcome, other.why) == (Result.NOT_ELIGIBLE, "no_item")
    assert await unchanged(store, coupon)
    good = await store.redemptions.redeem(coupon.code, cart(cents=6000, c1=1500), call())
    assert (good.outcome, good.discount_cents) == (Result.DONE, 1500)


def _hold(store: Store) -> Any:
    async def act(code: str, order: Any, says: Call) -> Redeemed:
        return await store.redemptions.reserve(code, order, says, HOLD_S)

    return act


async def test_what_an_order_was_told_stands_whatever_the_catalogue_says_since(
    store: Store,
) -> None:
    await store.catalogue.put([course(1, tags=("编程",))], NOW)
    coupon = await held_by(store, categories=("编程",))
    order = Cart("A1", 10_000, (Line("c1", 10_000),))
    held = await store.redemptions.reserve(coupon.code, order, call("n1"), HOLD_S)
    assert held.discount_cents == 2000
    await store.catalogue.put([course(1, tags=("摄影",))], NOW)
    dearer = Cart("A1", 12_000, (Line("c1", 12_000),))
    refused = await store.redemptions.redeem(coupon.code, dearer, call("n2"))
    assert (refused.outcome, refused.why) == ("not_eligible", "no_item"), "another amount"
    late = await store.redemptions.redeem(coupon.code, order, call("n3", NOW + HOLD_S))
    assert late.outcome == "not_eligible", "the hold is over"
    used = await store.redemptions.redeem(coupon.code, order, call("n4"))
    assert (used.outcome, used.discount_cents) == ("done", 2000)
    assert (await now_is(store, coupon)).discount_cents == 2000


async def test_release_without_a_hold_changes_nothing(store: Store) -> None:
    coupon = await held_by(store)
    assert (await release(store, coupon.code)).outcome is Result.NOT_HELD
    await reserve(store, coupon.code)
    over = await release(store, coupon.code, "B2", at=NOW + HOLD_S)
    assert over.outcome is Result.NOT_HELD, "over, and never theirs"
    assert (await release(store, coupon.code, "A1", at=NOW + HOLD_S)).outcome is Result.DONE
    await redeem(store, coupon.code)
    assert (await release(store, coupon.code)).outcome is Result.USED


async def test_a_trial_gives_its_days(store: Store) -> None:
    coupon = await held_by(store, kind="trial", value=7)
    for name in ("n1", "n2"):
        used = await redeem(store, coupon.code, cents=0, name=name)
        assert (used.ok, used.discount_cents, used.trial_days) == (True, 0, 7)


# Twice


async def test_the_same_call_gets_the_same_answer_word_for_word(store: Store) -> None:
    coupon = await held_by(store)
    held = await reserve(store, coupon.code, name="n1")
    assert json.loads(held.answer)["status"] == "reserved"
    used = await redeem(store, coupon.code, name="n2", at=NOW + 1)
    for name, first in (("n1", held), ("n2", used), ("n1", held)):
        act = reserve if name == "n1" else redeem
        again = await act(store, coupon.code, name=name, at=NOW + DAY_S)
        assert (again.outcome, again.answer) == (Result.REPLAYED, first.answer)
        assert again.status == first.status == 200
    assert [status for status, _, _ in await steps(store, coupon)] == ["reserved", "redeemed"]


async def test_another_request_under_a_used_name_is_refused(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code, name="n1", request="one")
    held = await now_is(store, coupon)
    other = await redeem(store, coupon.code, name="n1", request="two")
    assert other.outcome is Result.MISUSED
    assert await unchanged(store, held)
    theirs = await redeem(store, coupon.code, name="n1", request="two", key_id="k2")
    assert theirs.outcome is Result.DONE, "names are each key's own"


async def test_a_refusal_is_not_kept(store: Store) -> None:
    coupon = await held_by(store)
    await reserve(store, coupon.code, "B2", name="n0")
    assert (await redeem(store, coupon.code, name="n1")).outcome is Result.NOT_YOURS
    await release(store, coupon.code, "B2", name="n2")
    assert (await redeem(store, coupon.code, name="n1")).outcome is Result.DONE
    kept = ask_file(store.db.path, "select name from idempotency order by at, name")
    assert kept == [("n0",), ("n1",), ("n2",)]


async def test_the_same_order_gets_the_same_discount_under_a_new_name(store: Store) -> None:
    coupon = await held_by(store)
    first = await redeem(store, coupon.code, name="n1")
    again = await redeem(store, coupon.code, name="n2", cents=99_999, at=NOW + 9)
    assert (again.outcome, again.discount_cents) == (Result.REPEATED, first.discount_cents)
    assert again.coupon == first.coupon
    assert (await redeem(store, coupon.code, "B2", name="n3")).outcome is Result.USED
    assert (await reserve(store, coupon.code, name="n4")).outcome is Result.USED
    assert [status for status, _, _ in await steps(store, coupon)] == ["redeemed"]


async def test_the_answer_names_neither_order_nor_member(store: Store) -> None:
    coupon = await held_by(store)
    done = await redeem(store, coupon.code, "SECRET", name="n1")
    says = json.loads(done.answer)
    assert says["code"] == coupon.code
    assert says["discount_cents"] == 2000
    assert not {"order", "order_id", "member", "member_id"} & set(says)
    assert "SECRET" not in done.answer


async def test_an_answer_of_ones_own_is_kept_as_it_is(store: Store) -> None:
    coupon = await held_by(store)
    says = call("n1")
    done = await store.redemptions.redeem(
        coupon.code, cart(), says, lambda done: f"-{done.discount_cents}"
    )
    assert done.answer == "-2000"
    later = replace(says, now=NOW + 5)
    assert (await store.redemptions.redeem(coupon.code, cart(), later)).answer == "-2000"


# At once


async def test_of_two_processes_one_makes_the_sale(store: Store) -> None:
    other = Store(store.db.path, durability="process")
    await other.open()
    for number in range(10):
        coupon = await held_by(store, number)
        got = await asyncio.gather(
            redeem(store, coupon.code, f"A{number}", name=f"a{number}"),
            redeem(other, coupon.code, f"B{number}", name=f"b{number}"),
        )
        assert sorted(one.outcome for one in got) == [Result.DONE, Result.USED]
        same = await held_by(store, number, "同单")
        one, two = await asyncio.gather(
            redeem(store, same.code, f"C{number}", name=f"c{number}"),
            redeem(other, same.code, f"C{number}", name=f"c{number}"),
        )
        assert sorted((one.outcome, two.outcome)) == [Result.DONE, Result.REPLAYED]
        assert one.answer == two.answer
    await other.close()
    sales = ask_file(
        store.db.path,
        "select count(*) from coupon_steps where status = 'redeemed' group by coupon_id",
    )
    assert sales == [(1,)] * 20


async def test_of_many_orders_that_meet_one_gets_it(store: Store) -> None:
    coupon = await held_by(store)
    got = await meeting(store, [reserve(store, coupon.code, f"A{n}") for n in range(9)])
    assert [one.outcome for one in got] == [Result.DONE] + [Result.NOT_YOURS] * 8


# Together


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (True, True, Result.DONE),
        (True, False, Result.NOT_STACKABLE),
        (False, True, Result.NOT_STACKABLE),
        (False, False, Result.NOT_STACKABLE),
    ],
)
async def test_two_coupons_in_one_order_must_both_allow_it(
    store: Store, first: bool, second: bool, outcome: Result
) -> None:
    one = await held_by(store, 0, "一", stackable=first)
    # Of another member: codes of friends count as well.
    two = await held_by(store, 1, "二", stackable=second)
    await reserve(store, one.code)
    assert (await reserve(store, two.code)).outcome is outcome
    assert (await redeem(store, two.code)).outcome is outcome
    assert (await redeem(store, one.code)).outcome is Result.DONE
    assert (await redeem(store, two.code, "B2")).ok is (outcome is not Result.DONE)


async def test_a_hold_that_is_over_does_not_stand_in_the_way(store: Store) -> None:
    one = await held_by(store, 0, "一")
    two = await held_by(store, 0, "二")
    await reserve(store, one.code)
    assert (await redeem(store, two.code, at=NOW + HOLD_S)).outcome is Result.DONE


async def test_together_they_take_off_no_more_than_the_order(store: Store) -> None:
    found = [await held_by(store, 0, word, stackable=True) for word in "一二三"]
    used = [await redeem(store, one.code, cents=3000) for one in found]
    assert [one.discount_cents for one in used] == [2000, 1000, 0]
    assert used[2].outcome is Result.NOT_ELIGIBLE
