"""What the chat asks of the store: the list of one member, and claims that may be refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store import Store
from store.claimable import GUESSES, Locked, Priced
from store.coupons import Claim, Claimant, Outcome
from tests.store.couponing import new, offer, people
from tests.store.rows import NOW, key


async def make(store: Store, word: str, **fields: Any) -> int:
    return (await offer(store, word=word, **fields)).id


async def test_the_list_leaves_out_what_cannot_be_claimed(store: Store) -> None:
    (me,) = await people(store, 1)
    offered: dict[str, dict[str, Any]] = {
        "late": {"claim_until": NOW + 9},
        "soon": {"claim_until": NOW + 5},
        "ever": {},
        "over": {"claim_until": NOW},
        "dead": {"valid_until": NOW},
        "next": {"claim_from": NOW + 1},
        "none": {"inventory": 0},
        "vip": {"audience": "tag:vip"},
    }
    for word, fields in offered.items():
        await make(store, word, **fields)
    paused = await make(store, "paused")
    await store.offers.set_status(paused, "paused", NOW)
    words = [one.word for one in await store.claimable.by(me, NOW)]
    assert words == ["soon", "late", "ever"]
    await store.claimable.claim("ever", Claimant(me), key(1), NOW)
    await store.tags.add(me, "vip", NOW, limit=5)
    words = [one.word for one in await store.claimable.by(me, NOW)]
    assert words == ["soon", "late", "vip"]


async def test_one_transaction_serves_the_locked_the_poor_and_the_others(store: Store) -> None:
    locked, other, third = await people(store, 3)
    free, dear = await make(store, "free", inventory=2), await make(store, "dear", points_price=5)
    first = await store.claimable.claim("free", Claimant(locked), key(1), NOW)
    await store.members.wrong(locked, GUESSES, NOW, key(2), limit=1, lock_s=60.0)
    served = await asyncio.gather(
        store.claimable.claim("free", Claimant(locked), key(1), NOW),
        store.claimable.claim("dear", Claimant(locked), key(3), NOW),
        store.claimable.claim("dear", Claimant(other), key(4), NOW),
        store.claimable.claim("free", Claimant(other), key(5), NOW),
        store.claimable.claim(free, Claimant(third), key(6), NOW),
        store.claimable.claim("gone", Claimant(third), key(7), NOW),
    )
    again, no_word, price, given, late, unknown = served
    assert isinstance(first, Claim)
    assert isinstance(again, Claim)
    assert again.outcome is Outcome.AGAIN, "a lock takes back nothing"
    assert again.coupon == first.coupon
    assert no_word == Locked(NOW + 60.0)
    assert isinstance(price, Priced)
    assert price.offer.id == dear
    assert [one.outcome for one in (given, late, unknown) if isinstance(one, Claim)] == [
        Outcome.CLAIMED,
        Outcome.SOLD_OUT,
        Outcome.NO_OFFER,
    ]
    by_number = await store.claimable.claim(dear, Claimant(locked), key(8), NOW)
    assert isinstance(by_number, Priced), "a number from a list is no guess"
    after = await store.claimable.claim("dear", Claimant(locked), key(9), NOW + 60.0)
    assert isinstance(after, Priced)


@pytest.mark.parametrize("taken", ["b", "Ｂ"])
async def test_offers_are_made_all_together_or_none(store: Store, taken: str) -> None:
    await make(store, "b")
    two = [new(word=word) for word in ("a", taken)]
    assert await store.offers.create_all(two, NOW, "cli") == [1]
    assert [one.word for one in await store.offers.all()] == ["b"]
    with pytest.raises(ValueError, match="two of them have a"):
        await store.offers.create_all([two[0], two[0]], NOW, "cli")
    assert await store.offers.create_all(two[:1], NOW, "cli") == []
    assert [one.word for one in await store.offers.all()] == ["a", "b"]
