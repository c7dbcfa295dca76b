"""What time does to coupons: they end, holds lapse, and who has one is told once, if at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scheduler.coupons import Ending, expire_coupons, expire_points, key_of, remind
from store import Store
from store.coupons import Claimant
from store.messages import Finished, Incoming
from store.offers import NewOffer
from store.redemption import Call, Cart
from tests.blank import blank

DAY = 86_400.0
NOW = 1_763_600_000.0
SOON_S = 2 * DAY


def say(ending: Sequence[Ending]) -> str:
    return "|".join(offer.title for _, offer in ending)


class Club:
    """Members who wrote lately and hold coupons; the clock is the caller's."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._count = 0

    def key(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")

    async def writes(self, who: str = "o_lin", at: float = NOW, allowance: int = 5) -> int:
        """A message and its answer, which opens the 48 hours."""
        key = self.key()
        await self.store.messages.record(Incoming(key, "mp", who, at, b"{}"))
        member = await self.store.members.meet("mp", who, at)
        await self.store.messages.finish(
            Finished(key, b"", at, "mp", who, "text", "hi", "faq", "", allowance=allowance)
        )
        return member.id

    async def offer(self, word: str = "早鸟", **fields: Any) -> int:
        usual: dict[str, Any] = {"title": f"{word}券", "kind": "amount", "value": 500}
        new = NewOffer(word=word, **(usual | fields))
        offer = await self.store.offers.create(new, NOW, "cli")
        assert offer is not None
        return offer.id

    async def claims(self, member: int, offer: int, at: float = NOW) -> str:
        claim = await self.store.coupons.claim(offer, Claimant(member), self.key(), at)
        assert claim.coupon is not None
        return claim.coupon.code

    async def status(self, code: str) -> str:
        coupon = await self.store.coupons.by_code(code)
        assert coupon is not None
        return coupon.status

    async def reminds(self, now: float = NOW, remind_s: float = SOON_S) -> list[str]:
        """What the day's job plans and the worker then sends."""
        await remind(self.store, say, ("mp",), remind_s, now)
        claimed = await self.store.sends.claim(now)
        for send in claimed:
            await self.store.sends.settle(send.id, "sent", now)
        return [send.reply for send in claimed]


@pytest.fixture
async def club(tmp_path: Path) -> AsyncIterator[Club]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield Club(store)
    await store.close()


async def test_a_coupon_ends_and_a_hold_nobody_finished_lets_go(club: Club) -> None:
    lin = await club.writes()
    ending = await club.claims(lin, await club.offer(valid_days=1))
    held = await club.claims(lin, await club.offer("长期"))
    call = Call(actor="key:k", key_id="k", name="n", fingerprint=b"f", now=NOW)
    await club.store.redemptions.reserve(held, Cart("17", 10_000), call, 60.0)
    assert await club.status(held) == "reserved"
    assert await expire_coupons(club.store, NOW + 59) == ""
    assert await expire_coupons(club.store, NOW + 2 * DAY) == "2 coupons and holds ended"
    assert [await club.status(code) for code in (ending, held)] == ["expired", "claimed"]
    assert await expire_coupons(club.store, NOW + 2 * DAY) == ""


async def test_points_end_when_their_time_has_come(club: Club) -> None:
    lin = await club.writes()
    await club.store.points.post(lin, 5, "checkin", "a", NOW, ends_at=NOW + DAY)
    await club.store.points.post(lin, 7, "checkin", "b", NOW)
    assert await expire_points(club.store, NOW + DAY) == "1 gains ended"
    assert (await club.store.points.balance(lin)).balance == 7
    assert await expire_points(club.store, NOW + DAY) == "0 gains ended"


async def test_the_owner_hears_of_a_coupon_once_before_it_ends(club: Club) -> None:
    lin = await club.writes()
    await club.claims(lin, await club.offer(valid_until=NOW + 3 * DAY))
    await club.claims(lin, await club.offer("永久"))
    assert await club.reminds() == [], "too early"
    await club.writes(at=NOW + DAY)
    assert await club.reminds(NOW + DAY) == ["早鸟券"]
    assert await club.reminds(NOW + DAY) == []
    await club.writes(at=NOW + 2 * DAY)
    assert await club.reminds(NOW + 2 * DAY) == []


async def test_several_coupons_are_one_message(club: Club) -> None:
    lin, mei = await club.writes(), await club.writes("o_mei")
    first = await club.offer("先", valid_until=NOW + DAY)
    then = await club.offer("后", valid_until=NOW + DAY + 60)
    for offer in (then, first):
        await club.claims(lin, offer)
    await club.claims(mei, then)
    assert sorted(await club.reminds()) == ["先券|后券", "后券"]


async def test_who_cannot_be_written_to_today_may_be_tomorrow(club: Club) -> None:
    lin = await club.writes(allowance=1)
    await club.claims(lin, await club.offer(valid_until=NOW + 2 * DAY))
    assert await club.reminds() == [], "the last message is kept for an answer"
    await club.writes(at=NOW + DAY)
    assert await club.reminds(NOW + DAY) == ["早鸟券"]


async def test_what_is_over_used_or_switched_off_is_not_told(club: Club) -> None:
    lin = await club.writes()
    await club.claims(lin, await club.offer(valid_until=NOW + DAY))
    used = await club.claims(lin, await club.offer("用过", valid_until=NOW + DAY))
    await club.store.coupons.revoke(used, NOW, "cli")
    assert await club.reminds(remind_s=0) == []
    await club.writes(at=NOW + 2 * DAY)
    assert await club.reminds(NOW + 2 * DAY) == [], "it has ended, though no job has said so yet"


async def test_many_that_cannot_be_told_do_not_hide_the_others(club: Club) -> None:
    offer = await club.offer(valid_until=NOW + DAY)
    for number in range(4):
        quiet = await club.store.members.meet("mp", f"o_{number}", NOW)
        await club.claims(quiet.id, offer)
    await club.claims(await club.writes(), offer)
    page = await club.store.coupons.ending_soon(NOW, NOW + SOON_S, 3)
    last = page[-1][0]
    assert last.expires_at is not None
    rest = await club.store.coupons.ending_soon(NOW, NOW + SOON_S, 3, (last.expires_at, last.id))
    assert [len(page), len(rest)] == [3, 2]
    assert await club.reminds() == ["早鸟券"]


def test_a_key_is_16_bytes_of_member_and_day() -> None:
    keys = {key_of(1, date(2026, 1, 1)), key_of(1, date(2026, 1, 2)), key_of(2, date(2026, 1, 1))}
    assert {len(key) for key in keys} == {16}
    assert len(keys) == 3
