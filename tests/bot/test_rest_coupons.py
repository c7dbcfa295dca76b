"""A code at the shop's checkout: held, used once, let go; and nobody finds one by trying."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.rest import stamp
from bot.rest_coupons import OPERATIONS
from handlers.rewards import CouponRules, Rewards
from store.catalogue import Item
from store.coupons import Claimant, Coupon
from store.offers import NewOffer
from tests.bot.api_world import ApiWorld, Got, api

RULES = CouponRules(reserve_s=900, wrong_tries=3, lock_s=600)
REDEEM = {"coupons:redeem"}
DAY_S = 86_400.0


@dataclass
class Shop:
    """A checkout that talks to the API."""

    world: ApiWorld

    async def coupon(self, key: int = 1, member: int = 0, **more: Any) -> Coupon:
        """A claimed coupon of a new offer, 20 yuan off unless said otherwise."""
        store, now = self.world.store, self.world.clock()
        wanted: dict[str, Any] = {"kind": "amount", "value": 2000, "title": "立减", **more}
        offer = await store.offers.create(NewOffer(word=f"词{key}", **wanted), now, "test")
        assert offer is not None
        if not member:
            member = await self.world.member()
        claim = await store.coupons.claim(offer.id, Claimant(member), key.to_bytes(16, "big"), now)
        assert claim.coupon is not None, claim
        return claim.coupon

    async def call(
        self,
        verb: str,
        code: str,
        order: str = "17",
        amount: int | None = 19900,
        name: str | None = "k-1",
        lines: Sequence[tuple[str, int]] = (),
        **more: Any,
    ) -> Got:
        """One call of a checkout; name: its Idempotency-Key."""
        body: dict[str, Any] = {"order": order}
        if verb != "release":
            body["amount_cents"] = amount
            if lines:
                body["lines"] = [{"item": item, "amount_cents": cents} for item, cents in lines]
        headers = {} if name is None else {"Idempotency-Key": name}
        more = {"scopes": REDEEM} | more
        return await self.world.post(f"/coupons/{code}/{verb}", json=body, headers=headers, **more)

    async def steps(self, coupon: Coupon) -> list[str]:
        return [step["status"] for step in await self.world.store.coupons.steps(coupon.id)]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with api(tmp_path, rewards=Rewards(coupons=RULES)) as world:
        await world.key(REDEEM)
        yield Shop(world)


def problem(got: Got, status: int, kind: str) -> Any:
    assert (got.status, got.json["type"]) == (status, f"urn:zhiqun:{kind}"), got.body
    assert got.headers["Content-Type"].startswith("application/problem+json")
    return got.json


# Once


async def test_a_coupon_is_held_and_then_used(shop: Shop) -> None:
    coupon = await shop.coupon()
    held = await shop.call("reserve", coupon.code)
    assert (held.status, held.json) == (
        200,
        {
            "coupon": coupon.id,
            "code": coupon.code,
            "offer": coupon.offer_id,
            "status": "reserved",
            "discount_cents": 2000,
            "trial_days": 0,
            "reserved_until": stamp(shop.world.clock() + RULES.reserve_s),
            "order": "17",
        },
    )
    used = await shop.call("redeem", coupon.code, name="k-2")
    assert used.status == 200
    assert used.json == {**held.json, "status": "redeemed", "reserved_until": None}
    assert await shop.steps(coupon) == ["claimed", "reserved", "redeemed"]


async def test_the_same_call_twice_at_once_uses_it_once_with_equal_answers(shop: Shop) -> None:
    coupon = await shop.coupon()
    answers = await asyncio.gather(*(shop.call("redeem", coupon.code) for _ in range(8)))
    assert {got.status for got in answers} == {200}
    assert len({got.body for got in answers}) == 1
    assert await shop.steps(coupon) == ["claimed", "redeemed"]


async def test_of_several_orders_at_once_one_gets_it(shop: Shop) -> None:
    coupon = await shop.coupon()
    answers = await asyncio.gather(
        *(shop.call("redeem", coupon.code, order=f"o{n}", name=f"k{n}") for n in range(8))
    )
    won = [got for got in answers if got.status == 200]
    assert len(won) == 1
    for got in answers:
        if got is not won[0]:
            problem(got, 409, "coupon-used")
    assert await shop.steps(coupon) == ["claimed", "redeemed"]
    report = await shop.world.store.offers.report(coupon.offer_id, shop.world.clock())
    assert report is not None
    assert (report.redeemed, report.discount_cents) == (1, 2000)


async def test_the_same_order_under_other_names_gets_the_same_discount(shop: Shop) -> None:
    coupon = await shop.coupon()
    answers = await asyncio.gather(
        *(shop.call("redeem", coupon.code, name=f"k{n}") for n in range(8))
    )
    assert {got.status for got in answers} == {200}
    assert len({got.body for got in answers}) == 1
    assert await shop.steps(coupon) == ["claimed", "redeemed"]


async def test_of_several_checkouts_at_once_one_holds_it(shop: Shop) -> None:
    coupon = await shop.coupon()
    answers = await asyncio.gather(
        *(shop.call("reserve", coupon.code, order=f"o{n}", name=f"k{n}") for n in range(8))
    )
    assert sorted(got.status for got in answers) == [200] + [409] * 7
    assert await shop.steps(coupon) == ["claimed", "reserved"]


async def test_an_answer_comes_again_word_for_word_whatever_happened_since(shop: Shop) -> None:
    coupon = await shop.coupon()
    held = await shop.call("reserve", coupon.code)
    await shop.call("redeem", coupon.code, name="k-2")
    shop.world.clock.at += 5000
    again = await shop.call("reserve", coupon.code)
    assert (again.status, again.body) == (held.status, held.body)
    assert (await shop.call("redeem", coupon.code, name="k-2")).json["status"] == "redeemed"


async def test_how_the_json_and_the_code_are_written_makes_no_other_request(shop: Shop) -> None:
    coupon = await shop.coupon()
    first = await shop.call("redeem", coupon.code)
    code = f"{coupon.code[:4]}-{coupon.code[4:8]}-{coupon.code[8:]}".lower()
    got = await shop.world.post(
        f"/coupons/{code}/redeem",
        data=b'{ "amount_cents" : 19900,\n "lines": [], "order": "17" }',
        headers={"Idempotency-Key": "k-1", "Content-Type": "application/json"},
        scopes=REDEEM,
    )
    assert (got.status, got.body) == (200, first.body)


@pytest.mark.parametrize(
    ("verb", "change"),
    [
        ("redeem", {"order": "18"}),
        ("redeem", {"amount": 19901}),
        ("redeem", {"lines": [("py-101", 19900)]}),
        ("reserve", {}),
        ("release", {}),
    ],
)
async def test_another_request_under_a_used_name_is_refused(
    shop: Shop, verb: str, change: dict[str, Any]
) -> None:
    coupon = await shop.coupon()
    first = await shop.call("redeem", coupon.code)
    problem(await shop.call(verb, coupon.code, **change), 422, "idempotency-mismatch")
    assert (await shop.call("redeem", coupon.code)).body == first.body
    assert await shop.steps(coupon) == ["claimed", "redeemed"]


async def test_a_name_of_one_coupon_is_none_for_another(shop: Shop) -> None:
    one, other = await shop.coupon(1), await shop.coupon(2)
    await shop.call("redeem", one.code)
    problem(await shop.call("redeem", other.code, order="18"), 422, "idempotency-mismatch")
    problem(await shop.call("redeem", other.code), 422, "idempotency-mismatch")
    assert await shop.steps(other) == ["claimed"]


async def test_two_keys_do_not_share_their_names(shop: Shop) -> None:
    one, other = await shop.coupon(1), await shop.coupon(2)
    await shop.call("redeem", one.code)
    got = await shop.call("redeem", other.code, order="18", scopes={*REDEEM, "coupons:read"})
    assert got.status == 200


async def test_a_call_without_a_good_name_changes_nothing(shop: Shop) -> None:
    coupon = await shop.coupon()
    for verb in ("reserve", "redeem", "release"):
        for name in (None, "", "two words", "x" * 65, "ключ"):
            told = problem(await shop.call(verb, coupon.code, name=name), 400, "bad-header")
            assert "Idempotency-Key" in told["detail"]
    assert await shop.steps(coupon) == ["claimed"]


async def test_a_refusal_leaves_its_name_free(shop: Shop) -> None:
    coupon = await shop.coupon(min_spend_cents=30000)
    problem(await shop.call("redeem", coupon.code), 422, "below-minimum")
    assert (await shop.call("redeem", coupon.code, amount=30000)).status == 200


# Holds


async def test_a_hold_keeps_others_out_until_it_ends(shop: Shop) -> None:
    coupon = await shop.coupon()
    await shop.call("reserve", coupon.code)
    for verb in ("reserve", "redeem", "release"):
        got = await shop.call(verb, coupon.code, order="18", name=f"other-{verb}")
        problem(got, 409, "coupon-reserved")
    shop.world.clock.at += RULES.reserve_s - 1
    assert (await shop.world.get(f"/coupons/{coupon.code}")).json["status"] == "reserved"
    problem(await shop.call("redeem", coupon.code, order="18", name="n"), 409, "coupon-reserved")
    shop.world.clock.at += 1
    free = (await shop.world.get(f"/coupons/{coupon.code}")).json
    assert (free["status"], free["reserved_until"], free["order"]) == ("claimed", None, "")
    assert (await shop.call("redeem", coupon.code, order="18", name="n")).status == 200
    problem(await shop.call("redeem", coupon.code, name="late"), 409, "coupon-used")


async def test_the_same_order_holds_it_longer_with_its_new_amount(shop: Shop) -> None:
    coupon = await shop.coupon(kind="percent", value=10)
    first = await shop.call("reserve", coupon.code)
    shop.world.clock.at += 600
    second = await shop.call("reserve", coupon.code, amount=10001, name="k-2")
    assert (first.json["discount_cents"], second.json["discount_cents"]) == (1990, 1000)
    assert second.json["reserved_until"] == stamp(shop.world.clock() + RULES.reserve_s)


async def test_what_is_let_go_is_free_for_others(shop: Shop) -> None:
    coupon = await shop.coupon()
    await shop.call("reserve", coupon.code)
    got = await shop.call("release", coupon.code, name="k-2")
    assert (got.status, got.json["status"], got.json["discount_cents"]) == (200, "claimed", 0)
    assert (await shop.call("release", coupon.code, name="k-2")).body == got.body
    problem(await shop.call("release", coupon.code, name="k-3"), 409, "not-held")
    assert (await shop.call("redeem", coupon.code, order="18", name="k-4")).status == 200
    problem(await shop.call("release", coupon.code, order="18", name="k-5"), 409, "coupon-used")
    assert await shop.steps(coupon) == ["claimed", "reserved", "released", "redeemed"]


async def test_what_was_held_in_time_may_be_used_after_it_ended(shop: Shop) -> None:
    coupon = await shop.coupon(valid_days=1)
    shop.world.clock.at += DAY_S - 60
    assert (await shop.call("reserve", coupon.code)).status == 200
    shop.world.clock.at += 120
    assert (await shop.call("redeem", coupon.code, name="k-2")).status == 200


async def test_what_has_ended_is_refused(shop: Shop) -> None:
    coupon = await shop.coupon(valid_days=1)
    shop.world.clock.at += DAY_S
    for verb in ("reserve", "redeem"):
        problem(await shop.call(verb, coupon.code, name=verb), 409, "coupon-ended")
    assert (await shop.world.get(f"/coupons/{coupon.code}")).json["status"] == "expired"


# Worth


async def test_an_order_below_the_minimum_is_told_where(shop: Shop) -> None:
    coupon = await shop.coupon(min_spend_cents=20000)
    told = problem(await shop.call("reserve", coupon.code), 422, "below-minimum")
    assert told["errors"][0]["pointer"] == "/amount_cents"


async def test_a_coupon_for_certain_items_needs_one_of_them(shop: Shop) -> None:
    await shop.world.store.catalogue.put(
        [Item("py-101", "course", "Python", tags=("编程",)), Item("ps-1", "course", "修图")], 0
    )
    coupon = await shop.coupon(kind="percent", value=50, categories=("编程",))
    told = problem(await shop.call("redeem", coupon.code), 422, "no-eligible-item")
    assert told["errors"][0]["pointer"] == "/lines"
    got = await shop.call("redeem", coupon.code, lines=[("ps-1", 9900)], name="k-2")
    problem(got, 422, "no-eligible-item")
    lines = [("ps-1", 9900), ("py-101", 10000)]
    got = await shop.call("redeem", coupon.code, lines=lines, name="k-3")
    assert (got.status, got.json["discount_cents"]) == (200, 5000)


async def test_a_trial_gives_days_and_takes_nothing_off(shop: Shop) -> None:
    coupon = await shop.coupon(kind="trial", value=14)
    got = await shop.call("redeem", coupon.code, amount=0)
    assert (got.status, got.json["discount_cents"], got.json["trial_days"]) == (200, 0, 14)


async def test_two_coupons_of_one_order_must_both_be_stackable(shop: Shop) -> None:
    alone, one, two = (
        await shop.coupon(1),
        await shop.coupon(2, stackable=True),
        await shop.coupon(3, stackable=True),
    )
    assert (await shop.call("reserve", one.code, name="a")).status == 200
    assert (await shop.call("reserve", two.code, name="b")).status == 200
    problem(await shop.call("reserve", alone.code, name="c"), 409, "not-stackable")
    assert (await shop.call("reserve", alone.code, order="18", name="d")).status == 200


async def test_what_is_no_order_is_refused(shop: Shop) -> None:
    coupon = await shop.coupon()
    bodies: list[dict[str, Any]] = [
        {"order": "17"},
        {"order": "", "amount_cents": 1},
        {"order": " ", "amount_cents": 1},
        {"order": "1\n", "amount_cents": 1},
        {"order": "x" * 65, "amount_cents": 1},
        {"order": "17", "amount_cents": -1},
        {"order": "17", "amount_cents": 1.5},
        {"order": "17", "amount_cents": 10**9},
        {"order": "17", "amount_cents": 1, "lines": [{"item": "a b", "amount_cents": 1}]},
        {"order": "17", "amount_cents": 1, "lines": [{"item": "a", "amount_cents": -1}]},
        {"order": "17", "amount_cents": 1, "lines": [{"item": "a", "amount_cents": 1}] * 2},
        {"order": "17", "amount_cents": 1, "discount_cents": 1},
        {"order": 17, "amount_cents": 1},
    ]
    for body in bodies:
        got = await shop.world.post(
            f"/coupons/{coupon.code}/redeem", json=body, headers={"Idempotency-Key": "k"}
        )
        problem(got, 422, "invalid")
    assert await shop.steps(coupon) == ["claimed"]


# Looking up and taking back


async def test_a_code_says_what_it_is_worth_and_whose_only_with_scope(shop: Shop) -> None:
    member = await shop.world.member()
    coupon = await shop.coupon(member=member, valid_days=7, min_spend_cents=9900)
    path = f"/coupons/{coupon.code}"
    shown = (await shop.world.get(path, scopes={"coupons:read"})).json
    assert (shown["coupon"], shown["status"], shown["member"]) == (coupon.id, "claimed", None)
    assert (shown["kind"], shown["value"], shown["min_spend_cents"]) == ("amount", 2000, 9900)
    assert shown["expires_at"] == stamp(shop.world.clock() + 7 * DAY_S)
    with_member = (await shop.world.get(path, scopes={"coupons:read", "members:read"})).json
    assert with_member == {**shown, "member": member}
    await shop.call("redeem", coupon.code)
    shown = (await shop.world.get(path, scopes={"coupons:read"})).json
    assert (shown["status"], shown["order"], shown["discount_cents"]) == ("redeemed", "17", 2000)
    assert shown["redeemed_at"] == stamp(shop.world.clock())


async def test_a_coupon_is_found_after_its_member_is_forgotten(shop: Shop) -> None:
    member = await shop.world.member()
    coupon = await shop.coupon(member=member)
    await shop.world.store.members.erase(member, shop.world.clock())
    shown = (await shop.world.get(f"/coupons/{coupon.code}")).json
    assert (shown["status"], shown["member"]) == ("revoked", None)
    problem(await shop.call("redeem", coupon.code), 409, "coupon-revoked")


async def test_a_coupon_is_taken_back_once_and_audited(shop: Shop) -> None:
    coupon = await shop.coupon()
    for _ in range(2):
        got = await shop.world.post(f"/coupons/{coupon.code}/revoke", json={"note": "退款"})
        assert (got.status, got.json["status"]) == (200, "revoked")
    audit = [(row.action, row.target, row.detail) for row in await shop.world.store.audit.newest(9)]
    assert audit == [("coupon.revoke", f"coupon:{coupon.id}", "退款")]
    problem(await shop.call("redeem", coupon.code), 409, "coupon-revoked")


async def test_what_was_used_or_has_ended_is_not_taken_back(shop: Shop) -> None:
    used, ended = await shop.coupon(1), await shop.coupon(2, valid_days=1)
    await shop.call("redeem", used.code)
    problem(await shop.world.post(f"/coupons/{used.code}/revoke", json={}), 409, "coupon-used")
    shop.world.clock.at += DAY_S
    await shop.world.store.coupons.expire(shop.world.clock())
    problem(await shop.world.post(f"/coupons/{ended.code}/revoke", json={}), 409, "coupon-ended")
    assert await shop.world.store.audit.newest(9) == []


# Guessing


async def test_who_tries_codes_has_to_wait(shop: Shop) -> None:
    for code in ("AAAA", "BBBB", "CCCC"):
        problem(await shop.call("redeem", code), 404, "unknown-code")
    told = await shop.call("redeem", "DDDD")
    problem(told, 429, "guessing")
    assert told.headers["Retry-After"] == str(int(RULES.lock_s))
    for verb in ("reserve", "release"):
        problem(await shop.call(verb, "DDDD"), 429, "guessing")
    assert shop.world.watch.guesses == {"key": 6}, "who goes on is seen"
    shop.world.clock.at += RULES.lock_s - 0.5
    assert (await shop.call("redeem", "DDDD")).headers["Retry-After"] == "1"
    shop.world.clock.at += 0.5
    problem(await shop.call("redeem", "DDDD"), 404, "unknown-code")


async def test_a_guesser_at_the_checkout_stops_nobody_who_has_a_coupon(shop: Shop) -> None:
    held, used, free = [await shop.coupon(n) for n in range(1, 4)]
    await shop.call("reserve", held.code)
    await shop.call("redeem", used.code, order="18", name="k-2")
    for code in ("AAAA", "BBBB", "CCCC", "DDDD"):
        await shop.call("redeem", code, order="19", name="g")
    problem(await shop.call("redeem", "EEEE", order="19", name="g"), 429, "guessing")
    assert (await shop.call("redeem", held.code, name="k-3")).status == 200
    for name in ("k-2", "k-4"):
        assert (await shop.call("redeem", used.code, order="18", name=name)).status == 200
    assert (await shop.call("reserve", free.code, order="20", name="k-5")).status == 200
    assert (await shop.call("release", free.code, order="20", name="k-6")).status == 200
    assert (await shop.world.get(f"/coupons/{free.code}", scopes=REDEEM | {"coupons:read"})).json[
        "status"
    ] == "claimed"


async def test_each_way_to_name_a_code_counts(shop: Shop) -> None:
    everything = await shop.world.key()
    problem(await shop.world.get("/coupons/AAAA"), 404, "unknown-code")
    problem(await shop.world.post("/coupons/BBBB/revoke", json={}), 404, "unknown-code")
    problem(await shop.call("release", "CCCC", key=everything), 404, "unknown-code")
    problem(await shop.world.get("/coupons/DDDD"), 429, "guessing")
    problem(await shop.world.post("/coupons/DDDD/revoke", json={}), 429, "guessing")


async def test_a_code_that_waits_in_the_pool_is_unknown_like_any_other(shop: Shop) -> None:
    store, now = shop.world.store, shop.world.clock()
    offer = await store.offers.create(
        NewOffer(word="池", title="池", kind="amount", value=100, pool=True), now, "test"
    )
    assert offer is not None
    await store.offers.add_codes(offer.id, ["POOL-1"], now)
    in_pool, nowhere = await shop.call("redeem", "POOL-1"), await shop.call("redeem", "POOL-2")
    problem(in_pool, 404, "unknown-code")
    assert in_pool.body == nowhere.body
    assert shop.world.watch.guesses == {"key": 2}


async def test_another_key_does_not_wait_with_it(shop: Shop) -> None:
    for code in ("AAAA", "BBBB", "CCCC"):
        await shop.call("redeem", code)
    problem(await shop.call("redeem", "DDDD"), 429, "guessing")
    got = await shop.call("redeem", "DDDD", scopes=None, key=await shop.world.key())
    problem(got, 404, "unknown-code")


async def test_a_busy_shop_whose_customers_mistype_is_not_locked_out(shop: Shop) -> None:
    coupons = [await shop.coupon(n) for n in range(1, 6)]
    for n, coupon in enumerate(coupons):
        got = await shop.call("reserve", coupon.code, order=f"o{n}", name=f"k{n}")
        assert got.status == 200
    for n in range(5):
        problem(await shop.call("redeem", f"TYPO{n}", name="t"), 404, "unknown-code")
    problem(await shop.call("redeem", "TYPO5", name="t"), 404, "unknown-code")
    problem(await shop.call("redeem", "TYPO6", name="t"), 429, "guessing")


async def test_one_good_code_named_again_and_again_buys_no_guesses(shop: Shop) -> None:
    coupon = await shop.coupon()
    for n in range(3):
        assert (await shop.call("redeem", coupon.code)).status == 200
        problem(await shop.call("redeem", f"GUESS{n}", name="g"), 404, "unknown-code")
    problem(await shop.call("redeem", "GUESS3", name="g"), 429, "guessing")


async def test_the_same_typo_counts_once_and_old_ones_not_at_all(shop: Shop) -> None:
    for _ in range(5):
        problem(await shop.call("redeem", "typo-1"), 404, "unknown-code")
    problem(await shop.call("redeem", "TYPO2"), 404, "unknown-code")
    shop.world.clock.at += RULES.lock_s
    for code in ("TYPO3", "TYPO4"):
        problem(await shop.call("redeem", code), 404, "unknown-code")
    shop.world.clock.at -= 3 * RULES.lock_s  # a clock set back locks nobody out
    problem(await shop.call("redeem", "TYPO5"), 404, "unknown-code")


# Scopes, webhooks, and what is written down


async def test_each_operation_needs_its_scope(shop: Shop) -> None:
    scopes = {"offers:read", "offers:write", "coupons:read", "coupons:redeem"}
    for operation in OPERATIONS:
        path = operation.path.replace("{code}", "AAAA")
        got = await shop.world.call(
            operation.method, path, json={}, scopes=scopes - {operation.scope}
        )
        assert operation.scope in problem(got, 403, "missing-scope")["detail"]
    assert shop.world.watch.guesses == {}


async def test_every_step_names_the_key_that_took_it(shop: Shop) -> None:
    coupon = await shop.coupon()
    await shop.call("reserve", coupon.code)
    await shop.call("redeem", coupon.code, name="k-2")
    key = (await shop.world.key(REDEEM)).split("_")[1]
    steps = await shop.world.store.coupons.steps(coupon.id)
    assert [step["actor"] for step in steps[1:]] == [f"key:{key}"] * 2
    assert [step["order_id"] for step in steps[1:]] == ["17", "17"]


async def test_a_redemption_is_told_once(shop: Shop) -> None:
    store = shop.world.store
    await store.hooks.add("https://a.example/", ["coupon.redeemed"], "whsec_AAAA", 0.0, "test")
    coupon = await shop.coupon()
    await shop.call("reserve", coupon.code)
    for _ in range(3):
        await shop.call("redeem", coupon.code, name="k-2")
    told = await store.hooks.listed(None, 0, 9)
    assert [one.topic for one in told] == ["coupon.redeemed"]
    sent = await store.hooks.claim(shop.world.clock(), 9)
    assert json.loads(sent[0].body)["data"]["coupon"] == coupon.id
