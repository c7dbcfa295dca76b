"""Coupons: given out once, never more than there are, and every step written down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store import Store, StoreError
from store.coupons import Claim, Claimant, Coupon, Outcome, issue, take_back
from store.offers import Offer
from tests.store.couponing import DAY_S, call, cart, counted, offer, people
from tests.store.rows import NOW, ask_file, change_file, key, meeting

LATER = NOW + 1000


async def claim(
    store: Store, member: int, number: int, word: str | int = "早鸟", at: float = NOW
) -> Claim:
    return await store.coupons.claim(word, Claimant(member), key(number), at)


def coupon_of(claim: Claim) -> Coupon:
    assert claim.coupon is not None
    return claim.coupon


async def steps(store: Store, coupon_id: int) -> list[tuple[str, str]]:
    return [(step["status"], step["actor"]) for step in await store.coupons.steps(coupon_id)]


# Claims


async def test_a_claim_gives_a_code_and_writes_it_down(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store, inventory=10, valid_days=7, items=("py-101",))
    got = await claim(store, lin, 1)
    assert got.outcome is Outcome.CLAIMED
    assert got.offer is not None
    assert (got.offer.claimed, got.offer.left) == (1, 9)
    coupon = coupon_of(got)
    assert (coupon.status, coupon.member_id, coupon.source) == ("claimed", lin, "claim")
    assert (coupon.claimed_at, coupon.expires_at) == (NOW, NOW + 7 * DAY_S)
    assert await store.coupons.by_code(coupon.code.lower()) == coupon
    assert await store.coupons.get(coupon.id) == coupon
    assert await steps(store, coupon.id) == [("claimed", f"member:{lin}")]
    (event,) = await store.events.page(kind="claim")
    assert (event.event_id, event.member_id) == (f"coupon:{coupon.id}", lin)
    assert (event.item_id, event.ref, event.source) == ("py-101", f"offer:{made.id}", "")


async def test_the_same_message_gets_the_same_code_whatever_happened_since(store: Store) -> None:
    lin, mei = await people(store, 2)
    made = await offer(store, inventory=1)
    first = coupon_of(await claim(store, lin, 1))
    assert (await claim(store, mei, 2)).outcome is Outcome.SOLD_OUT
    await store.offers.set_status(made.id, "closed", NOW)
    await offer(store, title="另一个")
    again = await claim(store, lin, 1, at=LATER)
    assert (again.outcome, coupon_of(again).code) == (Outcome.AGAIN, first.code)
    assert again.offer is not None
    assert again.offer.id == made.id


async def test_who_has_one_gets_told_its_code_even_when_all_are_gone(store: Store) -> None:
    lin, mei = await people(store, 2)
    await offer(store, inventory=1, claim_until=LATER)
    code = coupon_of(await claim(store, lin, 1)).code
    for number, at in ((2, NOW), (3, LATER)):
        other = await claim(store, lin, number, at=at)
        assert (other.outcome, coupon_of(other).code) == (Outcome.ALREADY, code)
    assert (await claim(store, mei, 4)).outcome is Outcome.SOLD_OUT


async def test_a_member_may_have_as_many_as_the_offer_says(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store, per_member=3)
    codes = [coupon_of(await claim(store, lin, number)).code for number in range(3)]
    assert len(set(codes)) == 3
    other = await claim(store, lin, 3)
    assert (other.outcome, coupon_of(other).code) == (Outcome.ALREADY, codes[-1])
    assert counted(store, made.id) == (3, 3)


@pytest.mark.parametrize(
    ("fields", "at", "outcome"),
    [
        ({"claim_from": LATER}, NOW, Outcome.NOT_STARTED),
        ({"claim_from": LATER}, LATER, Outcome.CLAIMED),
        ({"claim_until": LATER}, LATER, Outcome.ENDED),
        ({"valid_until": LATER}, LATER, Outcome.ENDED),
        ({"valid_until": LATER}, LATER - 1, Outcome.CLAIMED),
        ({"inventory": 0}, NOW, Outcome.SOLD_OUT),
        ({"pool": True}, NOW, Outcome.SOLD_OUT),
        ({"audience": "tag:VIP"}, NOW, Outcome.NOT_FOR_YOU),
        ({"audience": "segment:new"}, NOW, Outcome.CLAIMED),
        ({"points_price": 1}, NOW, Outcome.TOO_FEW_POINTS),
    ],
)
async def test_a_refusal_says_why_and_leaves_nothing(
    store: Store, fields: dict[str, Any], at: float, outcome: Outcome
) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store, **fields)
    got = await claim(store, lin, 1, at=at)
    assert got.outcome is outcome
    assert got.offer is not None
    given = int(outcome is Outcome.CLAIMED)
    assert counted(store, made.id) == (given, given)
    assert ask_file(store.db.path, "select count(*) from coupon_steps") == [(given,)]


async def test_a_pause_a_close_and_an_unknown_word_are_told_apart(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store)
    await store.offers.set_status(made.id, "paused", NOW)
    assert (await claim(store, lin, 1)).outcome is Outcome.PAUSED
    await store.offers.set_status(made.id, "closed", NOW)
    assert (await claim(store, lin, 2)).outcome is Outcome.ENDED
    assert (await claim(store, lin, 3, "晚鸟")) == Claim(Outcome.NO_OFFER)
    assert (await claim(store, lin, 4, 99)) == Claim(Outcome.NO_OFFER)


async def test_a_stranger_gets_nothing(store: Store) -> None:
    made = await offer(store)
    assert (await claim(store, 99, 1)).outcome is Outcome.NOT_FOR_YOU
    assert counted(store, made.id) == (0, 0)


async def test_levels_and_tiers_of_the_claimant_count(store: Store) -> None:
    (lin,) = await people(store, 1)
    await offer(store, audience="level>=1")
    got = await store.coupons.claim("早鸟", Claimant(lin, levels=(10,)), key(1), NOW)
    assert got.outcome is Outcome.NOT_FOR_YOU
    got = await store.coupons.claim("早鸟", Claimant(lin, levels=(0,)), key(1), NOW)
    assert got.outcome is Outcome.CLAIMED


async def test_a_crowd_that_meets_in_one_transaction_gets_what_there_is(store: Store) -> None:
    crowd = await people(store, 30)
    made = await offer(store, inventory=7)
    got = await meeting(
        store, [claim(store, member, n) for n, member in enumerate(crowd) for _ in range(2)]
    )
    outcomes = [one.outcome for one in got]
    assert outcomes[:14] == [Outcome.CLAIMED, Outcome.AGAIN] * 7
    assert set(outcomes[14:]) == {Outcome.SOLD_OUT}
    assert len({coupon_of(one).code for one in got[:14]}) == 7
    assert counted(store, made.id) == (7, 7)


async def test_one_member_asking_often_at_once_gets_one(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store)
    got = await meeting(store, [claim(store, lin, number) for number in range(20)])
    assert [one.outcome for one in got] == [Outcome.CLAIMED] + [Outcome.ALREADY] * 19
    assert len({coupon_of(one).code for one in got}) == 1
    assert counted(store, made.id) == (1, 1)


@pytest.mark.parametrize("pool", [False, True])
async def test_two_processes_share_one_inventory(store: Store, pool: bool) -> None:
    crowd = await people(store, 40)
    made = await offer(store, inventory=None if pool else 15, pool=pool)
    if pool:
        await store.offers.add_codes(made.id, [f"P{number}" for number in range(15)], NOW)
    other = Store(store.db.path, durability="process")
    await other.open()
    got = await asyncio.gather(
        *(
            claim(place, member, 2 * number + twice)
            for number, member in enumerate(crowd)
            for twice, place in enumerate((store, other))
        )
    )
    await other.close()
    outcomes = [one.outcome for one in got]
    assert outcomes.count(Outcome.CLAIMED) == 15
    assert counted(store, made.id) == (15, 15)
    assert len({coupon_of(one).code for one in got if one.coupon}) == 15
    assert set(outcomes) <= {Outcome.CLAIMED, Outcome.ALREADY, Outcome.SOLD_OUT}


async def test_a_pools_codes_go_out_in_their_order_and_once(store: Store) -> None:
    crowd = await people(store, 3)
    made = await offer(store, pool=True)
    await store.offers.add_codes(made.id, ["B-2", "A-1"], NOW)
    got = [await claim(store, member, n) for n, member in enumerate(crowd)]
    assert [one.coupon.code if one.coupon else "" for one in got] == ["B2", "A1", ""]
    assert got[2].outcome is Outcome.SOLD_OUT
    await store.offers.add_codes(made.id, ["C-3"], NOW)
    assert coupon_of(await claim(store, crowd[2], 9)).code == "C3"
    assert counted(store, made.id) == (3, 3)


async def test_a_pool_with_fewer_codes_than_it_says_gives_no_more(store: Store) -> None:
    # Somebody deleted codes by hand: what is not there cannot be given.
    (lin,) = await people(store, 1)
    made = await offer(store, pool=True)
    await store.offers.add_codes(made.id, ["A"], NOW)
    change_file(store.db.path, "delete from coupons")
    assert (await claim(store, lin, 1)).outcome is Outcome.SOLD_OUT
    assert counted(store, made.id) == (0, 0)


async def test_a_code_that_is_taken_is_replaced_by_another(store: Store) -> None:
    lin, mei = await people(store, 2)
    made = await offer(store)
    codes = iter(["SAME", "SAME", "SAME", "OTHER"])

    def give(member: int, number: int, *, code: str = "") -> Any:
        return store.db.write(
            lambda conn: issue(
                conn,
                made.id,
                member,
                key(number),
                NOW,
                source="claim",
                new_code=lambda: code or next(codes),
            )
        )

    assert coupon_of(await give(lin, 1)).code == "SAME"
    assert coupon_of(await give(mei, 2)).code == "OTHER"
    change_file(store.db.path, "update coupons set member_id = null, serial = null")
    with pytest.raises(StoreError, match="no free code"):
        await give(mei, 3, code="SAME")
    assert counted(store, made.id) == (2, 2)


@pytest.mark.parametrize("by", ["key", "member"])
async def test_who_was_faster_keeps_it_and_nothing_is_counted_twice(store: Store, by: str) -> None:
    # Where several write at once, another's claim may appear between our look and our insert.
    lin, mei = await people(store, 2)
    made = await offer(store)

    def run(conn: Any) -> Claim:
        def meanwhile() -> str:
            if not conn.execute("select 1 from coupons").fetchone():
                whose = (mei, key(1)) if by == "key" else (lin, key(2))
                conn.execute(
                    "insert into coupons (offer_id, code, status, member_id, serial, claim_key, "
                    "created_at, claimed_at) values (?, 'FASTER', 'claimed', ?, 1, ?, 0, 0)",
                    (made.id, *whose),
                )
                conn.execute("update offers set claimed = claimed + 1")
            return "SLOWER"

        return issue(conn, made.id, lin, key(1), NOW, source="claim", new_code=meanwhile)

    got = await store.db.write(run)
    assert got.outcome is (Outcome.AGAIN if by == "key" else Outcome.ALREADY)
    assert coupon_of(got).code == "FASTER"
    assert got.offer is not None
    assert got.offer.claimed == 1
    assert counted(store, made.id) == (1, 1)
    assert await store.coupons.by_code("SLOWER") is None


# Points


async def _with_points(store: Store, amount: int) -> tuple[int, Offer]:
    (lin,) = await people(store, 1)
    made = await offer(store, points_price=50, per_member=9)
    await store.points.post(lin, amount, "operator", "start", NOW)
    return lin, made


async def test_an_exchange_takes_the_points_once(store: Store) -> None:
    lin, made = await _with_points(store, 120)
    for number in (1, 2, 1, 2):
        got = await store.coupons.claim(made.id, Claimant(lin), key(number), NOW, "exchange")
        assert (coupon_of(got).points_paid, coupon_of(got).source) == (50, "exchange")
    assert (await store.points.balance(lin)).balance == 20
    assert (await claim(store, lin, 3)).outcome is Outcome.TOO_FEW_POINTS
    assert (await store.points.balance(lin)).balance == 20
    assert counted(store, made.id) == (2, 2)
    assert await store.points.audit_sums() == []


@pytest.mark.parametrize("pool", [False, True])
async def test_points_that_ended_buy_nothing_and_leave_no_trace(store: Store, pool: bool) -> None:
    # The balance still shows them; only the spending itself finds out.
    (lin,) = await people(store, 1)
    made = await offer(store, points_price=50, pool=pool)
    await store.offers.add_codes(made.id, ["A"], NOW)
    await store.points.post(lin, 60, "operator", "start", NOW, ends_at=NOW + 5)
    assert (await claim(store, lin, 1, at=NOW + 6)).outcome is Outcome.TOO_FEW_POINTS
    assert counted(store, made.id) == (0, 0)
    assert ask_file(store.db.path, "select count(*) from coupon_steps") == [(0,)]
    await store.points.post(lin, 60, "operator", "more", NOW)
    got = await claim(store, lin, 1, at=NOW + 7)
    assert got.outcome is Outcome.CLAIMED
    assert not pool or coupon_of(got).code == "A"
    assert await store.points.audit_sums() == []


async def test_a_sold_out_exchange_costs_nothing(store: Store) -> None:
    (lin,) = await people(store, 1)
    await offer(store, points_price=50, inventory=0)
    await store.points.post(lin, 60, "operator", "start", NOW)
    assert (await claim(store, lin, 1)).outcome is Outcome.SOLD_OUT
    assert (await store.points.balance(lin)).balance == 60


# Gifts


async def test_a_gift_ignores_window_audience_and_price_but_no_limit(store: Store) -> None:
    lin, mei = await people(store, 2)
    made = await offer(store, claim_from=LATER, audience="tag:VIP", points_price=50, inventory=1)
    await store.offers.set_status(made.id, "paused", NOW)

    def give(member: int, number: int) -> Any:
        return store.db.write(
            lambda conn: issue(
                conn, "早鸟", member, key(number), NOW, source="quiz", actor="clock", check=False
            )
        )

    got = await give(lin, 1)
    assert (got.outcome, coupon_of(got).points_paid) == (Outcome.CLAIMED, 0)
    assert await steps(store, coupon_of(got).id) == [("claimed", "clock")]
    assert (await give(lin, 1)).outcome is Outcome.AGAIN
    assert (await give(lin, 2)).outcome is Outcome.ALREADY
    assert (await give(mei, 3)).outcome is Outcome.SOLD_OUT
    await store.offers.set_status(made.id, "closed", NOW)
    assert (await give(mei, 3)).outcome is Outcome.ENDED
    assert counted(store, made.id) == (1, 1)


async def test_a_grant_to_many_is_repeated_without_harm(store: Store) -> None:
    crowd = await people(store, 3)
    made = await offer(store, inventory=2)
    wanted = [*crowd, 99]
    got = await store.coupons.grant(made.id, wanted, key(1), NOW, "member:9")
    expected = [Outcome.CLAIMED, Outcome.CLAIMED, Outcome.SOLD_OUT, Outcome.SOLD_OUT]
    assert [one.outcome for one in got] == expected
    assert await steps(store, coupon_of(got[0]).id) == [("claimed", "member:9")]
    again = await store.coupons.grant(made.id, wanted, key(1), LATER, "member:9")
    assert [one.outcome for one in again][:2] == [Outcome.AGAIN] * 2
    assert [one.coupon for one in again] == [one.coupon for one in got]
    assert counted(store, made.id) == (2, 2)
    assert await store.coupons.grant(made.id, [], key(2), NOW, "member:9") == []


async def test_a_gift_rolls_back_with_what_it_was_given_for(store: Store) -> None:
    (lin,) = await people(store, 1)
    made = await offer(store)

    def fail(conn: Any) -> None:
        issue(conn, made.id, lin, key(1), NOW, source="quiz", check=False)
        raise RuntimeError("the prize could not be written")

    with pytest.raises(RuntimeError):
        await store.db.write(fail)
    assert counted(store, made.id) == (0, 0)


# Taken back


async def test_a_revoked_coupon_goes_on_counting(store: Store) -> None:
    lin, mei = await people(store, 2)
    made = await offer(store, inventory=1)
    coupon = coupon_of(await claim(store, lin, 1))
    revoked = await store.coupons.revoke(coupon.code.lower(), LATER, "member:9", "误发")
    assert revoked is not None
    assert (revoked.status, revoked.revoked_at) == ("revoked", LATER)
    assert await steps(store, coupon.id) == [
        ("claimed", f"member:{lin}"),
        ("revoked", "member:9"),
    ]
    assert await store.coupons.revoke(coupon.id, LATER + 1, "member:9") == revoked
    assert len(await steps(store, coupon.id)) == 2
    assert (await claim(store, lin, 2)).outcome is Outcome.ALREADY
    assert (await claim(store, mei, 3)).outcome is Outcome.SOLD_OUT
    assert counted(store, made.id) == (1, 1)


async def test_what_is_used_or_nobodys_is_not_taken_back(store: Store) -> None:
    (lin,) = await people(store, 1)
    await offer(store)
    coupon = coupon_of(await claim(store, lin, 1))
    await store.redemptions.redeem(coupon.code, cart(), call())
    assert await store.coupons.revoke(coupon.id, LATER, "member:9") is None
    pool = await offer(store, word="池", pool=True)
    await store.offers.add_codes(pool.id, ["P1"], NOW)
    assert await store.coupons.revoke("P1", LATER, "member:9") is None
    assert await store.coupons.revoke("NOBODYS", LATER, "member:9") is None
    assert await store.db.write(lambda conn: take_back(conn, 99, LATER, "x")) is None


# What time does


async def test_time_ends_coupons_and_says_so_once(store: Store) -> None:
    crowd = await people(store, 3)
    await offer(store, valid_days=1)
    for number, member in enumerate(crowd):
        await claim(store, member, number, at=NOW + number)
    end = NOW + DAY_S
    assert await store.coupons.expire(end - 1) == 0
    assert await store.coupons.expire(end + 1) == 2
    assert await store.coupons.expire(end + 1) == 0
    assert await store.coupons.expire(end + 9, limit=1) == 1
    assert await steps(store, 1) == [("claimed", f"member:{crowd[0]}"), ("expired", "clock")]
    first = await store.coupons.get(1)
    assert first is not None
    assert (first.status, first.expired_at) == ("expired", end + 1)


async def test_reminders_are_for_coupons_that_end_soon_once(store: Store) -> None:
    crowd = await people(store, 3)
    made = await offer(store, valid_days=3)
    await offer(store, word="长久")
    for number, member in enumerate(crowd):
        await claim(store, member, number, at=NOW + number)
        await claim(store, member, 100 + number, "长久")
    end = NOW + 3 * DAY_S
    assert await store.coupons.ending_soon(NOW, end - 1) == []
    due = await store.coupons.ending_soon(NOW, end + 1)
    assert [(coupon.member_id, of.id) for coupon, of in due] == [
        (crowd[0], made.id),
        (crowd[1], made.id),
    ]
    await store.coupons.reminded([due[0][0].id], NOW + 5)
    await store.coupons.reminded([due[0][0].id], NOW + 6)
    told = await store.coupons.get(due[0][0].id)
    assert told is not None
    assert told.reminded_at == NOW + 5
    left = await store.coupons.ending_soon(NOW, end + 1)
    assert [coupon.id for coupon, _ in left] == [due[1][0].id]
    assert await store.coupons.ending_soon(end + 1, end + 1) == [], "too late to remind"


async def test_what_the_clock_asks_for_is_found_by_an_index(store: Store) -> None:
    plans = [
        ask_file(store.db.path, f"explain query plan {sql}")
        for sql in (
            "select id from coupons where status in ('claimed', 'reserved') "
            "and status = 'reserved' and reserved_until <= 1 order by id limit 5",
            "select id from coupons where status in ('claimed', 'reserved') "
            "and status = 'claimed' and expires_at <= 1 order by id limit 5",
            "select id from coupons where offer_id = 1 and status = 'offered' order by id limit 1",
        )
    ]
    assert all("USING" in plan[0][3] and "INDEX" in plan[0][3] for plan in plans), plans


# Lists


async def test_the_useful_ones_come_first(store: Store) -> None:
    (lin,) = await people(store, 1)
    for word, days in (("长久", None), ("快了", 2), ("明天", 1), ("过了", 1), ("用了", 1)):
        await offer(store, word=word, valid_days=days)
    for number, word in enumerate(("过了", "用了", "长久", "快了", "明天")):
        at = NOW - 2 * DAY_S if word == "过了" else NOW
        await claim(store, lin, number, word, at)
    used = await store.coupons.get(2)
    assert used is not None
    await store.redemptions.redeem(used.code, cart(), call())
    words = [of.word for _, of in await store.coupons.of(lin, NOW)]
    assert words == ["明天", "快了", "长久", "过了", "用了"]
    assert [of.word for _, of in await store.coupons.of(lin, NOW, limit=2)] == words[:2]
    assert await store.coupons.of(lin + 1, NOW) == []


async def test_the_export_pages_through_everything(store: Store) -> None:
    crowd = await people(store, 3)
    await offer(store)
    for number, member in enumerate(crowd):
        await claim(store, member, number)
    first = await store.coupons.export(limit=2)
    rest = await store.coupons.export(first[-1][0].id, limit=2)
    assert [coupon.member_id for coupon, _ in (*first, *rest)] == crowd
    assert await store.coupons.export(rest[-1][0].id) == []
