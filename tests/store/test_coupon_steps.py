"""What others hear of a coupon's steps, and what becomes of it with its member."""

from __future__ import annotations

import json
from typing import Any

from store import Store
from store.coupons import Claim, Claimant, Coupon, Outcome, issue
from tests.store.couponing import call, cart, counted, new, offer, people
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
        ("redeemed", None, None, None, rows[0][4], 2000),
        ("revoked", None, None, None, "", 0),
        ("revoked", None, None, None, "", 0),
    ]
    assert await steps(store, used.id) == [("claimed", ""), ("redeemed", "key:k1")]
    assert await steps(store, free.id) == [("claimed", ""), ("revoked", "")]
    assert len(rows[0][4]) == 33, "a hash of its order, which tells of no order"
    for table, column in (
        ("coupons", "order_id"),
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


async def test_what_an_operator_did_names_them_as_long_as_they_are_there(store: Store) -> None:
    lin = (await store.members.meet(CHANNEL, LIN, NOW)).id
    drop = (await store.members.meet("team", "o_other", NOW)).id
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    made = await store.offers.create(new(), NOW, f"member:{drop}")
    assert made is not None
    (gift,) = await store.coupons.grant(made.id, [mei], key(1), NOW, f"member:{drop}")
    await store.memberships.give(
        mei, "trial", NOW, source_key="t", by=f"member:{drop}", tiers=("trial",)
    )

    async def named() -> list[str]:
        (tier,) = await store.memberships.of(mei, NOW)
        (offer_now,) = await store.offers.all()
        (given,) = await steps(store, coupon_of(gift).id)
        return [offer_now.created_by, given[1], tier.given_by]

    for channel, openid in ((CHANNEL, LIN), ("team", "o_other")):
        await store.members.unite(channel, openid, "uTEST")
    assert await named() == [f"member:{lin}"] * 3
    await store.members.erase(lin, LATER)
    assert await named() == [""] * 3


async def test_an_order_keeps_to_its_coupon_when_its_buyer_is_forgotten(store: Store) -> None:
    lin, mei = await people(store, 2)
    await offer(store)
    mine, friends = coupon_of(await claim(store, lin, 1)), coupon_of(await claim(store, mei, 2))
    sold = await store.redemptions.redeem(mine.code, cart("A7", 3000), call("n1"))
    await store.members.erase(lin, LATER)
    again = await store.redemptions.redeem(mine.code, cart("A7", 3000), call("n2", LATER))
    assert (again.outcome, again.discount_cents) == ("repeated", sold.discount_cents)
    other = await store.redemptions.redeem(mine.code, cart("A8", 3000), call("n3", LATER))
    assert other.outcome == "used"
    second = await store.redemptions.redeem(friends.code, cart("A7", 3000), call("n4", LATER))
    assert second.outcome == "not_stackable"
    assert (await store.redemptions.redeem(friends.code, cart("A8"), call("n5", LATER))).ok
    found = await store.coupons.get(mine.id)
    assert found is not None
    assert found.order_shown == ""


async def test_what_an_invitation_took_back_frees_its_place(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store, per_member=2)

    async def gift(number: int) -> Claim:
        return await store.db.write(
            lambda conn: issue(conn, made.id, lin, key(number), NOW, source="referral", check=False)
        )

    lost, kept = coupon_of(await gift(1)), coupon_of(await gift(2))
    assert (await gift(3)).outcome is Outcome.ALREADY
    assert [one.id for one in await store.claimable.by(lin, NOW)] == []
    await store.coupons.revoke(lost.id, NOW, "member:9")
    assert [one.id for one in await store.claimable.by(lin, NOW)] == [made.id]
    assert coupon_of(await gift(1)).id == lost.id, "the same gift is the same coupon"
    anew = await gift(4)
    assert (anew.outcome, coupon_of(anew).serial) == (Outcome.CLAIMED, 3)
    full = await claim(store, lin, 5)
    assert (full.outcome, coupon_of(full).id) == (Outcome.ALREADY, coupon_of(anew).id)
    assert counted(store, made.id) == (3, 3)
    await store.coupons.revoke(kept.id, NOW, "member:9")
    await store.coupons.revoke(coupon_of(anew).id, NOW, "member:9")
    first, second = coupon_of(await claim(store, lin, 6)), coupon_of(await claim(store, lin, 7))
    await store.coupons.revoke(first.id, NOW, "member:9")
    full = await claim(store, lin, 8)
    assert (full.outcome, coupon_of(full).id) == (Outcome.ALREADY, second.id), (
        "its own claims count"
    )


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
