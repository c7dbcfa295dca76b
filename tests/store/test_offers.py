"""Offers: what may be offered, by which word, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store
from store.coupons import Claimant
from store.offers import MOST, Offer, faults, fold
from tests.store.couponing import DAY_S, call, cart, new, offer, people
from tests.store.rows import NOW, key


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("word", {"word": " "}),
        ("word", {"word": "早 鸟"}),
        ("word", {"word": "早" * 21}),
        ("word", {"word": "早\u200b鸟"}),
        ("word", {"word": "2"}),
        ("word", {"word": "２０２６"}),
        ("word", {"word": "早鸟？"}),
        ("word", {"word": "早鸟。"}),
        ("word", {"word": "早鸟🐦"}),
        ("title", {"title": ""}),
        ("title", {"title": "两\n行"}),
        ("kind", {"kind": "gift"}),
        ("value", {"value": 0}),
        ("value", {"kind": "percent", "value": 101}),
        ("value", {"kind": "trial", "value": 0}),
        ("value", {"kind": "bundle", "value": 1, "items": ("py",)}),
        ("items", {"kind": "bundle", "value": 0}),
        ("items", {"items": ("a|b",)}),
        ("items", {"items": ("a", "a")}),
        ("categories", {"categories": ("",)}),
        ("cap_cents", {"cap_cents": 100}),
        ("cap_cents", {"kind": "percent", "value": 5, "cap_cents": 0}),
        ("min_spend_cents", {"min_spend_cents": -1}),
        ("audience", {"audience": "colour:red"}),
        ("points_price", {"points_price": -1}),
        ("inventory", {"inventory": -1}),
        ("inventory", {"inventory": MOST + 1}),
        ("inventory", {"inventory": 5, "pool": True}),
        ("per_member", {"per_member": 0}),
        ("claim_until", {"claim_from": 9.0, "claim_until": 9.0}),
        ("valid_until", {"claim_from": 9.0, "valid_until": 9.0}),
        ("valid_until", {"valid_until": float("nan")}),
        ("claim_from", {"claim_from": -1.0}),
        ("valid_days", {"valid_days": 0}),
    ],
)
async def test_a_fault_names_its_field(store: Store, field: str, fields: dict[str, Any]) -> None:
    assert [name for name, _ in faults(new(**fields))] == [field]
    with pytest.raises(ValueError, match=f"{field}: "):
        await store.offers.create(new(**fields), NOW, "x")
    assert await store.offers.all(closed=True) == []


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = new(word="", per_member=0, valid_days=0)
    assert [name for name, _ in faults(wrong)] == ["word", "per_member", "valid_days"]


async def test_an_offer_is_read_as_it_was_made(store: Store) -> None:
    wanted = new(
        word=" Early ",
        kind="percent",
        value=15,
        cap_cents=5000,
        min_spend_cents=100,
        items=("py-101", "py-102"),
        categories=("编程",),
        stackable=True,
        audience="level>=2",
        points_price=50,
        inventory=10,
        per_member=2,
        claim_from=NOW,
        claim_until=NOW + 9,
        valid_until=NOW + 99,
        valid_days=3,
    )
    made = await store.offers.create(wanted, NOW, "member:3", key(1))
    assert made is not None
    assert await store.offers.get(made.id) == made
    given = {name: getattr(wanted, name) for name in wanted.__dataclass_fields__}
    assert {name: getattr(made, name) for name in given} == {**given, "word": "early"}
    assert (made.status, made.claimed, made.left, made.sold_out) == ("open", 0, 10, False)
    assert (made.created_at, made.created_by, made.closed_at) == (NOW, "member:3", None)


async def test_a_word_is_found_however_it_is_typed(store: Store) -> None:
    made = await offer(store, word="VIP9")
    assert await store.offers.by_word(" ｖｉｐ９ ") == made
    assert fold("ＶＩＰ") == "vip"
    assert await store.offers.by_word("VIP") is None
    assert await store.offers.get(made.id + 1) is None


async def test_a_word_leads_to_one_offer_until_it_is_closed(store: Store) -> None:
    first = await offer(store)
    assert await store.offers.create(new(title="另一个"), NOW, "x") is None
    assert await store.offers.set_status(first.id, "paused", NOW) is not None
    assert await store.offers.create(new(title="另一个"), NOW, "x") is None
    await store.offers.set_status(first.id, "closed", NOW)
    assert await store.offers.by_word("早鸟") is None
    second = await offer(store, title="另一个")
    assert await store.offers.by_word("早鸟") == second
    assert [one.id for one in await store.offers.all()] == [second.id]
    assert [one.id for one in await store.offers.all(closed=True)] == [second.id, first.id]


async def test_the_same_message_makes_the_same_offer_once(store: Store) -> None:
    made = await store.offers.create(new(), NOW, "x", key(1))
    assert made is not None
    assert await store.offers.create(new(), NOW + 1, "x", key(1)) == made
    closed = await store.offers.set_status(made.id, "closed", NOW + 2)
    assert await store.offers.create(new(), NOW + 3, "x", key(1)) == closed
    assert len(await store.offers.all(closed=True)) == 1


async def test_a_closed_offer_stays_closed(store: Store) -> None:
    made = await offer(store)
    closed = await store.offers.set_status(made.id, "closed", NOW + 5)
    assert closed is not None
    assert closed.closed_at == NOW + 5
    assert await store.offers.set_status(made.id, "closed", NOW + 9) == closed
    assert await store.offers.set_status(made.id, "open", NOW + 9) is None
    assert await store.offers.set_status(made.id + 1, "open", NOW + 9) is None


async def test_a_pool_has_as_many_coupons_as_codes(store: Store) -> None:
    made = await offer(store, pool=True)
    assert made.sold_out
    added = await store.offers.add_codes(made.id, ["shop-1", "SHOP-2 ", "x" * 64], NOW)
    assert added is not None
    assert (added.count, added.bad) == (3, [])
    added = await store.offers.add_codes(made.id, ["SHOP-3"], NOW)
    now_is = await store.offers.get(made.id)
    assert now_is is not None
    assert (now_is.inventory, now_is.left) == (4, 4)
    coupon = await store.coupons.by_code("shop 1")
    assert coupon is not None
    assert (coupon.code, coupon.status, coupon.member_id) == ("SHOP1", "offered", None)


async def test_one_bad_code_and_none_is_added(store: Store) -> None:
    made = await offer(store, pool=True)
    await store.offers.add_codes(made.id, ["OLD-1"], NOW)
    codes = ["NEW-1", "", "old1", "NEW 2", "new-1", "早鸟", "x" * 65, "--", "A\tB"]
    codes += ["SALE/1", "A\\B", "A{B", ".HIDDEN", "-.HIDDEN", ".."]
    added = await store.offers.add_codes(made.id, codes, NOW)
    assert added is not None
    assert added.count == 0
    assert [(line, shown) for line, shown, _ in added.bad] == list(enumerate(codes, 1))[1:]
    assert added.bad[1][2] == "there is one already"
    assert added.bad[3][2] == "the same as line 1"
    report = await store.offers.report(made.id, NOW)
    assert report is not None
    assert report.pool_left == 1


async def test_codes_go_into_open_pools_only(store: Store) -> None:
    made_here = await offer(store)
    assert await store.offers.add_codes(made_here.id, ["A"], NOW) is None
    pool = await offer(store, word="池", pool=True)
    await store.offers.set_status(pool.id, "closed", NOW)
    assert await store.offers.add_codes(pool.id, ["A"], NOW) is None
    assert await store.offers.add_codes(99, ["A"], NOW) is None
    assert await store.coupons.by_code("A") is None


async def test_codes_that_nobody_has_are_free_again_when_their_offer_is_closed(
    store: Store,
) -> None:
    (lin,) = await people(store, 1)
    first = await offer(store, pool=True)
    await store.offers.add_codes(first.id, ["A1", "A2", "A3"], NOW)
    claim = await store.coupons.claim(first.id, Claimant(lin), b"1" * 16, NOW)
    assert claim.coupon is not None
    closed = await store.offers.set_status(first.id, "closed", NOW)
    assert closed is not None
    assert (closed.inventory, closed.claimed, closed.sold_out) == (1, 1, True)
    second = await offer(store, pool=True)
    added = await store.offers.add_codes(second.id, ["A1", "A2", "A3"], NOW)
    assert added is not None
    assert [line for line, _, _ in added.bad] == [1], "this one is somebody's"
    added = await store.offers.add_codes(second.id, ["A2", "A3"], NOW)
    assert added is not None
    assert added.count == 2
    assert await store.coupons.get(claim.coupon.id) == claim.coupon


async def test_no_codes_add_nothing(store: Store) -> None:
    pool = await offer(store, pool=True)
    added = await store.offers.add_codes(pool.id, [], NOW)
    assert added is not None
    assert (added.count, added.bad) == (0, [])


@pytest.mark.parametrize(
    ("until", "days", "ends"),
    [
        (None, None, None),
        (NOW + DAY_S, None, NOW + DAY_S),
        (None, 3, NOW + 3 * DAY_S),
        (NOW + DAY_S, 3, NOW + DAY_S),
        (NOW + 9 * DAY_S, 3, NOW + 3 * DAY_S),
    ],
)
async def test_a_coupon_ends_at_the_earlier_of_two_limits(
    store: Store, until: float | None, days: int | None, ends: float | None
) -> None:
    made: Offer = await offer(store, valid_until=until, valid_days=days)
    assert made.ends_at(NOW) == ends


async def test_the_report_counts_what_time_has_ended(store: Store) -> None:
    made = await offer(store, per_member=9, valid_days=10)
    lin, mei = await people(store, 2)
    await store.coupons.grant(made.id, [lin], key(100), NOW, "member:1")
    claims = [
        await store.coupons.claim("早鸟", Claimant(mei), key(number), NOW + number)
        for number in range(4)
    ]
    codes = [claim.coupon.code for claim in claims if claim.coupon]
    await store.redemptions.redeem(codes[0], cart(cents=5000), call(at=NOW + 9))
    await store.redemptions.reserve(codes[1], cart("A2"), call(at=NOW + 9), 60)
    await store.coupons.revoke(codes[2], NOW + 9, "member:1")
    report = await store.offers.report(made.id, NOW + 10)
    assert report is not None
    assert (report.offer.claimed, report.members, report.pool_left) == (5, 2, 0)
    assert (report.claimed, report.reserved, report.redeemed) == (2, 1, 1)
    assert (report.expired, report.revoked) == (0, 1)
    assert (report.amount_cents, report.discount_cents) == (5000, 2000)
    assert report.by_source == {"claim": 4, "grant": 1}
    later = await store.offers.report(made.id, NOW + 100)
    assert later is not None
    assert (later.claimed, later.reserved) == (3, 0)
    at_last = await store.offers.report(made.id, NOW + 11 * DAY_S)
    assert at_last is not None
    assert (at_last.claimed, at_last.reserved, at_last.expired) == (0, 0, 3)
    assert await store.offers.report(made.id + 1, NOW) is None
