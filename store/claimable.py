"""Claiming in the chat: what one member may claim at this moment, and claiming it by its word.

The list promises nothing: who picks from it may still come too late. A claim is given out as
every other (`store/claims.py`); what only concerns a chat is looked at in the same transaction,
for two questions beforehand would cost more than the claim: who guessed too often gets nothing
for a word, and nobody pays points without saying so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store import eligibility, offers, statements
from store.claims import Ask, Claim, Claimant, give
from store.db import Database, Many
from store.dialect import Connection
from store.offers import Offer

GUESSES = "coupon"
"""The name under which `Members.wrong` counts unknown words and codes."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Nothing was claimed: the member guessed too often. until: Unix seconds."""

    until: float


@dataclass(frozen=True, slots=True)
class Priced:
    """Nothing was claimed: the offer costs points, and 领券 spends none."""

    offer: Offer


Served = Claim | Locked | Priced


class Claimable:
    """The table `offers`, seen by a member."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._claim = Many(_serve)

    async def claim(self, which: int | str, who: Claimant, key: bytes, now: float) -> Served:
        """Claim an offer by its word, or by its number from a list; durable when it returns.

        A number is no guess, so the lock does not count for it. The same key gives the same
        coupon again, whatever has changed.
        """
        ask = Ask(
            offer=which,
            who=who,
            key=key,
            now=now,
            source="claim",
            actor=f"member:{who.member_id}",
            check=True,
        )
        return await self._db.write_many(self._claim, ask)

    async def by(
        self, member_id: int, now: float, levels: Sequence[int] = (), tiers: Sequence[str] = ()
    ) -> list[Offer]:
        """Open offers that are theirs to claim, those that end first before the others.

        Left out is what has not begun, has ended or is used up, what they have as often as
        they may, and what is for others. levels, tiers: see `eligibility.fits`. [] for none.
        """

        def run(conn: Connection) -> list[Offer]:
            rows = conn.execute(
                f"select {offers.COLUMNS} from offers where status = 'open' "
                "and (claim_from is null or claim_from <= ?) "
                "and (claim_until is null or claim_until > ?) "
                "and (valid_until is null or valid_until > ?) "
                "and (inventory is null or claimed < inventory) "
                "and per_member > (select count(*) from coupons "
                "where coupons.offer_id = offers.id and coupons.member_id = ? "
                "and not (coupons.status = 'revoked' and coupons.source = 'referral')) "
                "+ coalesce((select max(count) from used_up where used_up.member_id = ? "
                "and what = 'offer:' || cast(offers.id as text)), 0) "
                "order by coalesce(claim_until, valid_until, 1e12), id desc",
                (now, now, now, member_id, member_id),
            )
            found = [offers.of_row(row) for row in rows]
            return [
                offer
                for offer in found
                if eligibility.fits(conn, offer.audience, member_id, now, levels, tiers)
            ]

        return await self._db.read(run)


def _serve(conn: Connection, asks: Sequence[Ask]) -> list[Served]:
    known = _known(conn, asks)
    locks = _locks(conn, {ask.who.member_id for ask in asks if isinstance(ask.offer, str)})
    found: dict[int | str, Offer | None] = {}
    refused: dict[int, Served] = {}
    for place, ask in enumerate(asks):
        if ask.key in known:
            continue
        until = locks.get(ask.who.member_id, 0.0) if isinstance(ask.offer, str) else 0.0
        if until > ask.now:
            refused[place] = Locked(until)
            continue
        if ask.offer not in found:
            found[ask.offer] = offers.find(conn, ask.offer)
        offer = found[ask.offer]
        if offer is not None and offer.points_price and offer.status == "open":
            refused[place] = Priced(offer)
    given = iter(give(conn, [ask for place, ask in enumerate(asks) if place not in refused]))
    return [refused[place] if place in refused else next(given) for place in range(len(asks))]


def _known(conn: Connection, asks: Sequence[Ask]) -> set[bytes]:
    """Keys that have their coupon."""
    question = "select claim_key from coupons where claim_key in ({rows})"
    return {bytes(row[0]) for row in statements.ask(conn, question, [ask.key for ask in asks])}


def _locks(conn: Connection, members: set[int]) -> dict[int, float]:
    """Until when members are locked, as far as they ever were."""
    question = (
        f"select member_id, locked_until from attempts where name = '{GUESSES}' "
        "and locked_until > 0 and member_id in ({rows})"
    )
    return dict(statements.ask(conn, question, members))
