"""What a coupon takes off an order. Pure: the order, the offer and the catalogue come in.

Every doubt is settled for the shop: fractions of a fen are not given, a bundle gives one of
each of its items at the catalogue's price or the order's, whichever is less, and several
coupons together never take off more than the order costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from store.offers import NewOffer, fold

WhyNot = Literal["", "min_spend", "no_item"]


@dataclass(frozen=True, slots=True)
class Line:
    """One position of an order. amount_cents: what all of it costs, fen."""

    item_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Cart:
    """An order before its discount. order_id: the shop's; lines: () when it did not say.

    Errors: ValueError without an order or with a negative amount.
    """

    order_id: str
    amount_cents: int
    lines: tuple[Line, ...] = ()

    def __post_init__(self) -> None:
        if not self.order_id:
            raise ValueError("an order needs its number")
        if self.amount_cents < 0 or any(line.amount_cents < 0 for line in self.lines):
            raise ValueError("an order costs nothing or something")


@dataclass(frozen=True, slots=True)
class Discount:
    """cents: what is taken off; days: of trial. why_not: "" when the coupon is good for the
    order; "min_spend": the order is too small; "no_item": it holds nothing this is for."""

    cents: int = 0
    days: int = 0
    why_not: WhyNot = ""


def discount(
    offer: NewOffer,
    cart: Cart,
    tags: Mapping[str, Sequence[str]],
    prices: Mapping[str, int],
    taken_cents: int = 0,
) -> Discount:
    """What the offer takes off the order, never more than the order costs.

    tags, prices: of the catalogue's items by id; an item that is missing has no tags and
    the order's price. Categories are tags however those are written: python is Python.
    taken_cents: what other coupons take off the same order. A coupon that would take off
    nothing is not good for the order, so that it is not used up; a trial is worth its days
    and takes off nothing.
    """
    if cart.amount_cents < offer.min_spend_cents:
        return Discount(why_not="min_spend")
    meant = [line for line in cart.lines if _is_for(offer, line.item_id, tags)]
    restricted = bool(offer.items or offer.categories)
    if restricted and not meant:
        return Discount(why_not="no_item")
    if offer.kind == "trial":
        return Discount(days=offer.value)
    base = sum(line.amount_cents for line in meant) if restricted else cart.amount_cents
    if offer.kind == "amount":
        cents = min(offer.value, base)
    elif offer.kind == "percent":
        cents = base * offer.value // 100
        if offer.cap_cents is not None:
            cents = min(cents, offer.cap_cents)
    else:
        cents = _one_of_each(meant, prices)
    cents = min(cents, cart.amount_cents - taken_cents)
    if cents <= 0:
        return Discount(why_not="no_item" if restricted else "min_spend")
    return Discount(cents)


def _is_for(offer: NewOffer, item_id: str, tags: Mapping[str, Sequence[str]]) -> bool:
    """Whether it is good for an item. A bundle's items alone: categories add nothing to it."""
    if item_id in offer.items:
        return True
    if offer.kind == "bundle":
        return False
    wanted = {fold(category) for category in offer.categories}
    return any(fold(tag) in wanted for tag in tags.get(item_id, ()))


def _one_of_each(lines: Sequence[Line], prices: Mapping[str, int]) -> int:
    """What one of each item costs; a line may be for several of its item."""
    costs: dict[str, int] = {}
    for line in lines:
        cost = min(line.amount_cents, prices.get(line.item_id, line.amount_cents))
        costs[line.item_id] = min(cost, costs.get(line.item_id, cost))
    return sum(costs.values())
