"""What others hear of a coupon's steps, and what becomes of it with its member."""

from __future__ import annotations

import json
from typing import Any

from store import Store
from store.coupons import Claim, Claimant, Coupon, Outcome
from tests.store.couponing import call, cart, counted, offer, people
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file, key

LATER = NOW + 1000


async def claim(store: Store, member: int, number: int) -> Claim:
    return await store.coupons.claim("早鸟", Claimant(member), key(number), NOW)


def coupon_of(claim: Claim) -> Coupon:
    assert claim.coupon is not None
    return claim.coupon


async def steps(store: Store, coupon_id: int) -> list[tuple[str, str]]:
    return [(step["status"], step["actor"]) for step in await store.coupons.steps(coupon_id)]


# Webhooks


async def test_the_shop_hears_of_each_step_once(store: Store) -> None:
    lin, mei = await people(store, 2)
    topics = ("coupon.claimed", "coupon.redeemed", "coupon.revoked")
    await store.hooks.add("https://shop.example/h", topics, "s", NOW, "x")
    made = await offer(store)
    coupon = coupon_of(await claim(store, lin, 1))
    await claim(store, lin, 1)
    other = coupon_of(await claim(store, mei, 2))
    await store.redemptions.redeem(coupon.code, cart("A7", 5000), call("n1"))
    await store.redemptions.redeem(coupon.code, cart("A7", 5000), call("n2"))
    await store.coupons.revoke(other.id, NOW, "member:9")
    await store.coupons.revoke(other.id, NOW, "member:9")
    told = [json.loads(telling.body) for telling in await store.hooks.claim(NOW, 20, 20)]
    assert [one["type"] for one in told] == [
        "coupon.claimed",
        "coupon.claimed",
        "coupon.redeemed",
        "coupon.revoked",
    ]
    assert told[2]["data"] == {
        "coupon": coupon.id,
        "code": coupon.code,
        "offer": made.id,
        "word": "早鸟",
        "member": lin,
        "order": "A7",
        "amount_cents": 5000,
        "discount_cents": 2000,
    }


# The member


async def test_an_erased_members_coupons_are_nobodys_and_void(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    await store.hooks.add("https://shop.example/h", ("coupon.revoked",), "s", NOW, "x")
    made = await offer(store, per_member=3, stackable=True)
    used, held, free = [coupon_of(await claim(store, lin, number)) for number in range(3)]
    of_mei = coupon_of(await claim(store, mei, 9))
    await store.redemptions.redeem(used.code, cart("SECRET1"), call("n1"))
    await store.redemptions.reserve(held.code, cart("SECRET2"), call("n2"), 900)
    erased = await store.members.erase(lin, LATER)
    assert erased is not None
    assert erased.rows["coupons"] == 3
    rows = ask_file(
        store.db.path,
        "select status, member_id, serial, claim_key, order_id, discount_cents from coupons "
        "where id <> ? order by id",
        (of_mei.id,),
    )
    assert rows == [
        ("redeemed", None, None, None, "", 2000),
        ("revoked", None, None, None, "", 0),
        ("revoked", None, None, None, "", 0),
    ]
    assert await steps(store, used.id) == [("claimed", ""), ("redeemed", "key:k1")]
    assert await steps(store, free.id) == [("claimed", ""), ("revoked", "")]
    for table, column in (
        ("coupon_steps", "order_id"),
        ("idempotency", "answer"),
        ("hook_deliveries", "body"),
    ):
        found = ask_file(
            store.db.path, f"select count(*) from {table} where {column} like '%SECRET%'"
        )
        assert found == [(0,)], table
    told = [json.loads(telling.body)["data"] for telling in await store.hooks.claim(LATER)]
    assert [(one["code"], one["member"]) for one in told] == [
        (held.code, None),
        (free.code, None),
    ]
    assert await store.coupons.get(of_mei.id) == of_mei
    assert counted(store, made.id) == (4, 4)
    refused = await store.redemptions.redeem(held.code, cart("SECRET2"), call("n3", LATER))
    assert refused.outcome == "revoked"


async def test_members_can_take_their_coupons_along(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    await offer(store)
    coupon = coupon_of(await claim(store, lin, 1))
    kept = await store.members.export(lin)
    assert kept is not None
    assert [row["code"] for row in kept["coupons"]] == [coupon.code]
    assert [row["status"] for row in kept["coupon_steps"]] == ["claimed"]


async def test_two_members_found_to_be_one_keep_all_their_coupons(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    other = (await store.members.meet("team", "o_other", NOW)).id
    made = await offer(store, per_member=2)
    mine = [coupon_of(await claim(store, lin, number)) for number in range(2)]
    theirs = [coupon_of(await claim(store, other, 10 + number)) for number in range(2)]
    await store.members.unite(CHANNEL, LIN, "uTEST")
    await store.members.unite("team", "o_other", "uTEST")
    assert {c.code for c, _ in await store.coupons.of(lin, NOW)} == {
        one.code for one in (*mine, *theirs)
    }
    assert ask_file(store.db.path, "select serial from coupons order by id") == [
        (1,),
        (2,),
        (3,),
        (4,),
    ]
    assert await steps(store, theirs[0].id) == [("claimed", f"member:{lin}")]
    assert coupon_of(await claim(store, lin, 10)).code == theirs[0].code, "its message's code"
    full = await claim(store, lin, 20)
    assert (full.outcome, coupon_of(full).code) == (Outcome.ALREADY, theirs[1].code)
    assert counted(store, made.id) == (4, 4)


def test_a_coupon_knows_whether_a_shop_would_take_it() -> None:
    plain: dict[str, Any] = dict.fromkeys(Coupon.__dataclass_fields__)

    def usable(**fields: Any) -> bool:
        return Coupon(**{**plain, **fields}).usable(NOW)

    assert usable(status="claimed")
    assert usable(status="claimed", expires_at=NOW + 1)
    assert not usable(status="claimed", expires_at=NOW)
    assert usable(status="reserved", reserved_until=NOW + 1, expires_at=NOW)
    assert not usable(status="reserved", reserved_until=NOW, expires_at=NOW)
    assert usable(status="reserved", reserved_until=NOW, expires_at=NOW + 1)
    for status in ("offered", "redeemed", "expired", "revoked"):
        assert not usable(status=status)
