"""Giving coupons out: once for a key, never more than there are.

What decides is one statement that counts the offer's coupons and the unique keys of the
table, whoever else is asking; all that was read before only saves asking. A coupon that was
revoked goes on counting for its offer: its code is never anybody else's. For its member it
goes on counting, too, unless the ladder of invitations gave it and took it back; and so do
those that they had before they were forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from store import codes, eligibility, offers, points, statements, used_up
from store.coupon_steps import COLUMNS, Coupon, of_row, tell
from store.db import StoreError
from store.dialect import Connection
from store.offers import Offer

Source = Literal["claim", "grant", "exchange", "referral", "quiz", "campaign"]


class Outcome(StrEnum):
    """What became of a claim. AGAIN: this key had its coupon before; ALREADY: the member has
    as many as they may."""

    CLAIMED = "claimed"
    AGAIN = "again"
    ALREADY = "already"
    SOLD_OUT = "sold_out"
    NOT_STARTED = "not_started"
    ENDED = "ended"
    PAUSED = "paused"
    NOT_FOR_YOU = "not_for_you"
    TOO_FEW_POINTS = "too_few_points"
    NO_OFFER = "no_offer"


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim. coupon: with CLAIMED and AGAIN theirs of this key, with ALREADY
    their newest of the offer, None for who was forgotten since."""

    outcome: Outcome
    offer: Offer | None = None
    coupon: Coupon | None = None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who asks, with what the rules know of levels and tiers; see `eligibility.fits`."""

    member_id: int
    levels: tuple[int, ...] = ()
    tiers: tuple[str, ...] = ()


_TRIES = 8
"""New codes to try when one is taken; a second try is as likely as a meteorite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A coupon wanted; see `issue`."""

    offer: int | str
    who: Claimant
    key: bytes
    now: float
    source: Source
    actor: str
    check: bool


_BY_KEYS = f"select claim_key, {COLUMNS} from coupons where claim_key in ({{rows}})"
_BY_PAIRS = (
    f"select {', '.join(f'c.{name}' for name in COLUMNS.split(', '))} "
    "from (values {rows}) as v join coupons as c "
    "on c.offer_id = v.column1 and c.member_id = v.column2"
)
_COUNT = (
    "update offers set claimed = claimed + 1 where id = ? "
    "and (status = 'open' or (status = 'paused' and ?)) "
    f"and (inventory is null or claimed < inventory) returning {offers.COLUMNS}"
)
_UNCOUNT = f"update offers set claimed = claimed - 1 where id = ? returning {offers.COLUMNS}"
_MAKE = (
    "insert into coupons (code, created_at, offer_id, status, member_id, serial, claim_key, "
    "source, claimed_at, expires_at, points_paid) "
    "values (?, ?, ?, 'claimed', ?, ?, ?, ?, ?, ?, ?) "
    f"on conflict do nothing returning {COLUMNS}"
)
# The unique keys would fail the statement; here their conditions make it do nothing instead.
_TAKE = (
    "update coupons set status = 'claimed', member_id = ?, serial = ?, claim_key = ?, "
    "source = ?, claimed_at = ?, expires_at = ?, points_paid = ? "
    "where id = (select id from coupons where offer_id = ? and status = 'offered' "
    "order by id limit 1) and status = 'offered' "
    "and not exists (select 1 from coupons as k where k.claim_key = ?) "
    "and not exists (select 1 from coupons as s where s.offer_id = ? and s.member_id = ? "
    f"and s.serial = ?) returning {COLUMNS}"
)
_PUT_BACK = (
    "update coupons set status = 'offered', member_id = null, serial = null, "
    "claim_key = null, source = '', claimed_at = null, expires_at = null, points_paid = 0 "
    "where id = ?"
)
_STEPS = "insert into coupon_steps (coupon_id, status, at, actor) values (?, 'claimed', ?, ?)"
_EVENTS = (
    "insert into events (event_id, kind, at, received_at, member_id, item_id, ref) "
    "values {rows} on conflict (event_id) do nothing"
)


class _Desk:
    """Where the coupons of one transaction are given out.

    What is looked up together for all who ask saves statements; it never decides.
    """

    def __init__(
        self,
        conn: Connection,
        asks: Sequence[Ask],
        new_code: Callable[[], str] = codes.new_code,
    ) -> None:
        self._conn = conn
        self._new_code = new_code
        self._offers: dict[int, Offer] = {}
        self._words: dict[int | str, int | None] = {}
        self._given: list[tuple[Coupon, Offer, str]] = []
        self._by_key = {
            bytes(row[0]): of_row(row[1:])
            for row in statements.ask(conn, _BY_KEYS, {ask.key for ask in asks})
        }
        pairs = {
            (offer.id, ask.who.member_id): None
            for ask in asks
            if ask.key not in self._by_key and (offer := self._offer(ask.offer)) is not None
        }
        self._held: dict[tuple[int, int], dict[int, Coupon]] = {pair: {} for pair in pairs}
        """By offer and member their coupons, by serial."""
        for row in statements.ask_pairs(conn, _BY_PAIRS, pairs):
            self._hold(of_row(row))
        self._used = used_up.offers_of(conn, {member_id for _, member_id in pairs})
        """By offer and member how many they had before they were forgotten."""

    def _hold(self, coupon: Coupon) -> None:
        assert coupon.member_id is not None
        assert coupon.serial is not None
        self._held[coupon.offer_id, coupon.member_id][coupon.serial] = coupon

    def _offer(self, which: int | str) -> Offer | None:
        if which not in self._words:
            found = offers.find(self._conn, which)
            self._words[which] = None if found is None else found.id
            if found is not None:
                self._offers.setdefault(found.id, found)
        number = self._words[which]
        return None if number is None else self._offers[number]

    def _keep(self, row: Sequence[Any]) -> Offer:
        offer = self._offers[row[_OFFER_ID]] = offers.of_row(row)
        return offer

    def give(self, ask: Ask) -> Claim:
        """One answer."""
        if (known := self._by_key.get(ask.key)) is not None:
            return Claim(Outcome.AGAIN, self._offer(known.offer_id), known)
        offer = self._offer(ask.offer)
        if offer is None:
            return Claim(Outcome.NO_OFFER)
        if (full := self._full(offer, ask)) is not None:
            return full
        why_not = _refused(offer, ask) or self._unfit(offer, ask)
        return Claim(why_not, offer) if why_not else self._hand_out(offer, ask)

    def _full(self, offer: Offer, ask: Ask) -> Claim | None:
        held = self._held[offer.id, ask.who.member_id]
        used = self._used.get((offer.id, ask.who.member_id), 0)
        if len(held) + used < offer.per_member:
            return None
        serials = [serial for serial, coupon in held.items() if coupon.counts]
        if len(serials) + used < offer.per_member:
            return None
        return Claim(Outcome.ALREADY, offer, held[max(serials)] if serials else None)

    def _unfit(self, offer: Offer, ask: Ask) -> Outcome | None:
        who = ask.who
        audience = offer.audience if ask.check else ""
        if not eligibility.fits(
            self._conn, audience, who.member_id, ask.now, who.levels, who.tiers
        ):
            return Outcome.NOT_FOR_YOU
        if (
            ask.check
            and offer.points_price
            and points.balance_of(self._conn, who.member_id) < offer.points_price
        ):
            return Outcome.TOO_FEW_POINTS
        return None

    def _hand_out(self, offer: Offer, ask: Ask) -> Claim:
        row = self._conn.execute(_COUNT, (offer.id, not ask.check)).fetchone()
        if row is None:
            # Closed, paused or sold out since it was read.
            now_is = offers.find(self._conn, offer.id)
            assert now_is is not None
            self._offers[offer.id] = now_is
            return Claim(_refused(now_is, ask) or Outcome.SOLD_OUT, now_is)
        offer = self._keep(row)
        price = offer.points_price if ask.check else 0
        for _ in range(_TRIES):
            coupon = self._write(offer, ask, price)
            if coupon is not None:
                break
            # Somebody was faster with this key or for this member; or the code is taken.
            if (other := self._look_again(offer, ask)) is not None:
                return Claim(other.outcome, self._uncount(offer), other.coupon)
            if offer.pool:
                return Claim(Outcome.SOLD_OUT, self._uncount(offer))
        else:
            raise StoreError(f"no free code for offer {offer.id} in {_TRIES} tries")
        if price and not self._charge(ask, price):
            if offer.pool:
                self._conn.execute(_PUT_BACK, (coupon.id,))
            else:
                self._conn.execute("delete from coupons where id = ?", (coupon.id,))
            return Claim(Outcome.TOO_FEW_POINTS, self._uncount(offer))
        self._by_key[ask.key] = coupon
        self._hold(coupon)
        self._given.append((coupon, offer, ask.actor))
        return Claim(Outcome.CLAIMED, offer, coupon)

    def _write(self, offer: Offer, ask: Ask, price: int) -> Coupon | None:
        member_id = ask.who.member_id
        serial = max(self._held[offer.id, member_id], default=0) + 1
        ends = offer.ends_at(ask.now)
        whose = (member_id, serial, ask.key, ask.source, ask.now, ends, price)
        if offer.pool:
            row = self._conn.execute(
                _TAKE, (*whose, offer.id, ask.key, offer.id, member_id, serial)
            ).fetchone()
        else:
            row = self._conn.execute(
                _MAKE, (self._new_code(), ask.now, offer.id, *whose)
            ).fetchone()
        return None if row is None else of_row(row)

    def _look_again(self, offer: Offer, ask: Ask) -> Claim | None:
        for row in statements.ask(self._conn, _BY_KEYS, [ask.key]):
            return Claim(Outcome.AGAIN, offer, of_row(row[1:]))
        for row in statements.ask_pairs(self._conn, _BY_PAIRS, [(offer.id, ask.who.member_id)]):
            self._hold(of_row(row))
        return self._full(offer, ask)

    def _uncount(self, offer: Offer) -> Offer:
        return self._keep(self._conn.execute(_UNCOUNT, (offer.id,)).fetchone())

    def _charge(self, ask: Ask, price: int) -> bool:
        paid = points.post(
            self._conn,
            ask.who.member_id,
            -price,
            points.Reason.COUPON,
            f"coupon:{ask.key.hex()}",
            ask.now,
        )
        return paid.outcome in (points.Outcome.POSTED, points.Outcome.AGAIN)

    def close(self) -> None:
        """Write down what was given out: steps, events for the funnel, webhooks."""
        self._conn.executemany(
            _STEPS, [(coupon.id, coupon.claimed_at, actor) for coupon, _, actor in self._given]
        )
        statements.run(
            self._conn,
            _EVENTS,
            [
                (
                    f"coupon:{coupon.id}",
                    "claim",
                    coupon.claimed_at,
                    coupon.claimed_at,
                    coupon.member_id,
                    offer.items[0] if len(offer.items) == 1 else "",
                    f"offer:{offer.id}",
                )
                for coupon, offer, _ in self._given
            ],
        )
        for coupon, offer, _ in self._given:
            assert coupon.claimed_at is not None
            tell(self._conn, "coupon.claimed", coupon, offer, coupon.claimed_at)


_OFFER_ID = offers.COLUMNS.split(", ").index("id")


def _refused(offer: Offer, ask: Ask) -> Outcome | None:
    """Why an offer gives nothing now, whoever asks; None when it does."""
    if offer.status == "closed" or (offer.valid_until is not None and offer.valid_until <= ask.now):
        # A coupon that has ended when it is given out is none.
        return Outcome.ENDED
    if ask.check:
        if offer.status == "paused":
            return Outcome.PAUSED
        if offer.claim_from is not None and ask.now < offer.claim_from:
            return Outcome.NOT_STARTED
        if offer.claim_until is not None and offer.claim_until <= ask.now:
            return Outcome.ENDED
    return Outcome.SOLD_OUT if offer.sold_out else None


def give(
    conn: Connection, asks: Sequence[Ask], new_code: Callable[[], str] = codes.new_code
) -> list[Claim]:
    """The answers to all who ask, in their order, with all that is written of them; [] for none.

    Inside a transaction. Errors: StoreError when no new code is free.
    """
    desk = _Desk(conn, asks, new_code)
    claims = [desk.give(ask) for ask in asks]
    desk.close()
    return claims


def issue(
    conn: Connection,
    offer: int | str,
    member_id: int,
    key: bytes,
    now: float,
    *,
    source: Source,
    actor: str = "",
    check: bool = True,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
    new_code: Callable[[], str] = codes.new_code,
) -> Claim:
    """Give a member a coupon, inside another store's transaction.

    offer: number or claim word. key: 16 bytes that name this gift; the same again gives the
    same coupon. actor: as in the audit, "" for the member. check: False for gifts: a pause,
    the claim window, the audience and the price do not count; the inventory, the limit per
    member and whether the offer is closed or over do. A member there is not: NOT_FOR_YOU.
    """
    who = Claimant(member_id, tuple(levels), tuple(tiers))
    ask = Ask(
        offer=offer,
        who=who,
        key=key,
        now=now,
        source=source,
        actor=actor or f"member:{member_id}",
        check=check,
    )
    return give(conn, [ask], new_code)[0]


def gift_key(name: str) -> bytes:
    """The 16 bytes that name a gift or a push, such as "quiz:3:member:12"; the same ever after."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
