"""Offers and calls of a shop for the store's tests."""

from __future__ import annotations

import hashlib
from typing import Any

from store import Store
from store.offers import NewOffer, Offer
from store.redemption import Call, Cart, Line
from tests.store.rows import NOW, ask_file

DAY_S = 86_400.0


def new(**fields: Any) -> NewOffer:
    """Twenty yuan off for everyone; any field may be given."""
    plain: dict[str, Any] = {"word": "早鸟", "title": "立减二十", "kind": "amount", "value": 2000}
    return NewOffer(**{**plain, **fields})


async def offer(store: Store, **fields: Any) -> Offer:
    """Such an offer in the store."""
    made = await store.offers.create(new(**fields), NOW, "member:1")
    assert made is not None
    return made


async def people(store: Store, count: int, channel: str = "mp") -> list[int]:
    """So many members; their numbers."""
    return [(await store.members.meet(channel, f"o_{n}", NOW)).id for n in range(count)]


def cart(order: str = "A1", cents: int = 10_000, **lines: int) -> Cart:
    """An order; lines: item="fen"."""
    return Cart(order, cents, tuple(Line(item, amount) for item, amount in lines.items()))


def call(name: str = "", at: float = NOW, request: str = "", key_id: str = "k1") -> Call:
    """A call of the shop. name: its Idempotency-Key; request: what its fingerprint is of."""
    fingerprint = hashlib.sha256((request or name).encode()).digest()
    return Call(actor=f"key:{key_id}", key_id=key_id, name=name, fingerprint=fingerprint, now=at)


def counted(store: Store, offer_id: int) -> tuple[int, int]:
    """The offer's own count, and the rows that were given out, as the file has them."""
    return (
        ask_file(store.db.path, "select claimed from offers where id = ?", (offer_id,))[0][0],
        ask_file(
            store.db.path,
            "select count(*) from coupons where offer_id = ? and status <> 'offered'",
            (offer_id,),
        )[0][0],
    )
