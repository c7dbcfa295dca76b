"""What is offered: a coupon's worth, its limits, and who may have it.

An offer's row is also its lock: whoever gives a coupon out first counts it here
(`store/coupons.py`), in one statement that says no when the inventory is used up.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from store import codes, eligibility, statements
from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed

Kind = Literal["amount", "percent", "trial", "bundle"]
Status = Literal["open", "paused", "closed"]

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST = 1_000_000
"""Of one offer at most so many coupons, or for one member, or points."""
LONGEST_WORD = 20
LONGEST_TITLE = 64
LONGEST_CODE = 64
_CLOSING = ".!~?。…"
"""What closes a sentence; whoever types it after the word means the word."""
_NO_PATH = frozenset("/\\{}")
_MOST_CENTS = 100_000_000
_MOST_DAYS = 3650
_LAST = 253_402_300_799.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOffer:
    """An offer as somebody wants it.

    word: what members type after 领券. value: fen, percent or days, by the kind; 0 for a
    bundle, which gives its `items` for nothing. cap_cents: the most a percentage takes off.
    items, categories: ids and tags it is good for, () for all. audience: a rule of
    `store/eligibility.py`, "" for everyone. inventory: None for no limit; with pool the codes
    come from the shop and their number is the inventory. Times: Unix seconds, None for no
    limit; with both valid_until and valid_days a coupon ends at the earlier.
    """

    word: str
    title: str
    kind: Kind
    value: int = 0
    cap_cents: int | None = None
    min_spend_cents: int = 0
    items: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    stackable: bool = False
    audience: str = ""
    points_price: int = 0
    inventory: int | None = None
    per_member: int = 1
    pool: bool = False
    claim_from: float | None = None
    claim_until: float | None = None
    valid_until: float | None = None
    valid_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(NewOffer):
    """An offer as it is kept. claimed: how many were given out, those taken back included."""

    id: int
    claimed: int
    status: Status
    created_at: float
    created_by: str
    closed_at: float | None

    @property
    def left(self) -> int | None:
        """How many there still are; None for no limit."""
        return None if self.inventory is None else self.inventory - self.claimed

    @property
    def sold_out(self) -> bool:
        """Whether none is left."""
        return self.left == 0

    def ends_at(self, now: float) -> float | None:
        """When a coupon given out now ends; None for never."""
        ends = [self.valid_until] if self.valid_until is not None else []
        if self.valid_days is not None:
            ends.append(now + self.valid_days * 86_400.0)
        return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class CodesAdded:
    """What became of a pool's codes. bad: (line from 1, code as given, why), English; any, and
    none was added."""

    count: int
    bad: list[tuple[int, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferReport:
    """What became of an offer.

    pool_left: codes of the shop not given out. claimed, reserved, redeemed, expired, revoked:
    coupons by what they are now. members: who has or had one. amount_cents, discount_cents:
    of the orders it was used for. by_source: coupons given out, by what gave them.
    """

    offer: Offer
    pool_left: int
    claimed: int
    reserved: int
    redeemed: int
    expired: int
    revoked: int
    members: int
    amount_cents: int
    discount_cents: int
    by_source: Mapping[str, int]


def fold(word: str) -> str:
    """A claim word as it is stored and compared: half width, lower case, no blanks around."""
    return unicodedata.normalize("NFKC", word).strip().casefold()


def faults(new: NewOffer) -> list[tuple[str, str]]:
    """What is wrong with it: (field, why in English); [] when nothing is."""
    return list(_faults(new))


def _faults(new: NewOffer) -> Iterator[tuple[str, str]]:
    word = fold(new.word)
    if not 1 <= len(word) <= LONGEST_WORD or not word.isprintable() or word.split() != [word]:
        yield "word", f"1 to {LONGEST_WORD} characters without blanks"
    elif word.isdecimal():
        yield "word", "not only digits: those choose from a list"
    elif word[-1] in _CLOSING or unicodedata.category(word[-1]) in ("So", "Me"):
        yield "word", "no mark or emoji at its end: the chat takes those for no part of a word"
    if not 1 <= len(new.title.strip()) <= LONGEST_TITLE or not new.title.isprintable():
        yield "title", f"1 to {LONGEST_TITLE} characters on one line"
    yield from _worth(new)
    for field in ("items", "categories"):
        names: tuple[str, ...] = getattr(new, field)
        if any(not name.strip() or "|" in name or not name.isprintable() for name in names):
            yield field, 'names that are not empty and hold no "|"'
        elif len(names) != len(set(names)):
            yield field, "each name once"
    try:
        eligibility.parse(new.audience)
    except eligibility.BadRule as bad:
        yield "audience", f"column {bad.at}: {bad}"
    if not 0 <= new.points_price <= MOST:
        yield "points_price", f"0 to {MOST}"
    if new.pool and new.inventory is not None:
        yield "inventory", "none with a pool: its codes are the inventory"
    elif new.inventory is not None and not 0 <= new.inventory <= MOST:
        yield "inventory", f"0 to {MOST}, or none for no limit"
    if not 1 <= new.per_member <= MOST:
        yield "per_member", f"1 to {MOST}"
    yield from _times(new)


def _worth(new: NewOffer) -> Iterator[tuple[str, str]]:
    least, most = {
        "amount": (1, _MOST_CENTS),
        "percent": (1, 100),
        "trial": (1, _MOST_DAYS),
        "bundle": (0, 0),
    }.get(new.kind, (0, -1))
    if most < least:
        yield "kind", f"one of {', '.join(KINDS)}"
    elif not least <= new.value <= most:
        yield "value", f"{least} to {most} for {new.kind}" if most else "0 for a bundle"
    if new.cap_cents is not None and new.kind != "percent":
        yield "cap_cents", "only a percentage has a cap"
    elif new.cap_cents is not None and not 1 <= new.cap_cents <= _MOST_CENTS:
        yield "cap_cents", f"1 to {_MOST_CENTS}, or none"
    if not 0 <= new.min_spend_cents <= _MOST_CENTS:
        yield "min_spend_cents", f"0 to {_MOST_CENTS}"
    if new.kind == "bundle" and not new.items:
        yield "items", "a bundle names what it gives"


def _times(new: NewOffer) -> Iterator[tuple[str, str]]:
    moments = {name: getattr(new, name) for name in ("claim_from", "claim_until", "valid_until")}
    wrong = [
        name
        for name, at in moments.items()
        if at is not None and not (math.isfinite(at) and 0 <= at <= _LAST)
    ]
    for name in wrong:
        yield name, "a moment from 1970 to 9999"
    if wrong:
        return
    for name in ("claim_until", "valid_until"):
        end = moments[name]
        if new.claim_from is not None and end is not None and end <= new.claim_from:
            yield name, "later than claim_from"
    if new.valid_days is not None and not 1 <= new.valid_days <= _MOST_DAYS:
        yield "valid_days", f"1 to {_MOST_DAYS}"


_GIVEN = (
    "word, title, kind, value, cap_cents, min_spend_cents, items, categories, stackable, "
    "audience, points_price, inventory, per_member, pool, claim_from, claim_until, valid_until, "
    "valid_days"
)
COLUMNS = f"{_GIVEN}, id, claimed, status, created_at, created_by, closed_at"
"""Of `offers`, in the order that `of_row` takes."""


def of_row(row: Sequence[Any]) -> Offer:
    """The offer of a row of COLUMNS."""
    return Offer(
        word=row[0],
        title=row[1],
        kind=row[2],
        value=row[3],
        cap_cents=row[4],
        min_spend_cents=row[5],
        items=tuple(row[6].split("|")) if row[6] else (),
        categories=tuple(row[7].split("|")) if row[7] else (),
        stackable=bool(row[8]),
        audience=row[9],
        points_price=row[10],
        inventory=row[11],
        per_member=row[12],
        pool=bool(row[13]),
        claim_from=row[14],
        claim_until=row[15],
        valid_until=row[16],
        valid_days=row[17],
        id=row[18],
        claimed=row[19],
        status=row[20],
        created_at=row[21],
        created_by=row[22],
        closed_at=row[23],
    )


def find(conn: Connection, offer: int | str) -> Offer | None:
    """One by number or word, inside a transaction. Of a word's offers the one that is not
    closed; when all are, the newest, so that one can say that it has ended."""
    if isinstance(offer, int):
        row = conn.execute(f"select {COLUMNS} from offers where id = ?", (offer,)).fetchone()
    else:
        row = conn.execute(
            f"select {COLUMNS} from offers where word = ? and status <> 'closed'", (fold(offer),)
        ).fetchone()
        if row is None:
            row = conn.execute(
                f"select {COLUMNS} from offers where word = ? order by id desc limit 1",
                (fold(offer),),
            ).fetchone()
    return None if row is None else of_row(row)


def insert(conn: Connection, new: NewOffer, now: float, by: str, key: bytes | None) -> Offer | None:
    """Make one, inside a transaction; see `Offers.create`."""
    if wrong := faults(new):
        raise ValueError("; ".join(f"{field}: {why}" for field, why in wrong))
    given = (
        fold(new.word),
        new.title.strip(),
        new.kind,
        new.value,
        new.cap_cents,
        new.min_spend_cents,
        "|".join(new.items),
        "|".join(new.categories),
        int(new.stackable),
        new.audience.strip(),
        new.points_price,
        0 if new.pool else new.inventory,
        new.per_member,
        int(new.pool),
        new.claim_from,
        new.claim_until,
        new.valid_until,
        new.valid_days,
    )
    row = conn.execute(
        f"insert into offers ({_GIVEN}, status, created_at, created_by, message_key) "
        f"values ({', '.join('?' * len(given))}, 'open', ?, ?, ?) "
        f"on conflict do nothing returning {COLUMNS}",
        (*given, now, by, key),
    ).fetchone()
    if row is None and key is not None:
        row = conn.execute(f"select {COLUMNS} from offers where message_key = ?", (key,)).fetchone()
    return None if row is None else of_row(row)


class Offers:
    """The table `offers`, and the pools of codes in `coupons`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(
        self,
        new: NewOffer,
        now: float,
        by: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Offer | None:
        """Make one, open at once; None when an offer that is not closed has the word.

        key: the message that asks; the same one again gives the same offer. deed: for the
        audit. Errors: ValueError for what `faults` would name.
        """

        def run(conn: Connection) -> Offer | None:
            newest = conn.execute("select coalesce(max(id), 0) from offers").fetchone()[0]
            offer = insert(conn, new, now, by, key)
            if deed is not None and offer is not None and offer.id > newest:
                deed.write(conn, f"offer:{offer.id}", offer.word)
            return offer

        return await self._db.write(run)

    async def create_all(self, new: Sequence[NewOffer], now: float, by: str) -> list[int]:
        """Make them all, or none when any of their words is taken; [] when they are made.

        Otherwise the places, from 0, of those whose word is taken. Errors: as of `create`.
        """

        def run(conn: Connection) -> list[int]:
            words = {
                row[0]
                for row in statements.ask(
                    conn,
                    "select word from offers where status <> 'closed' and word in ({rows})",
                    [fold(one.word) for one in new],
                )
            }
            taken = [place for place, one in enumerate(new) if fold(one.word) in words]
            if not taken:
                for one in new:
                    if insert(conn, one, now, by, None) is None:
                        raise ValueError(f"word: two of them have {one.word}")
            return taken

        return await self._db.write(run)

    async def get(self, offer_id: int) -> Offer | None:
        """One by its number; None for none."""
        return await self._db.read(lambda conn: find(conn, offer_id))

    async def by_word(self, word: str) -> Offer | None:
        """The one that is not closed and has this word, however it is typed."""

        def run(conn: Connection) -> Offer | None:
            found = find(conn, word)
            return None if found is None or found.status == "closed" else found

        return await self._db.read(run)

    async def all(self, *, closed: bool = False) -> list[Offer]:
        """Those that are not closed, or (closed) really all; newest first."""

        def run(conn: Connection) -> list[Offer]:
            rows = conn.execute(
                f"select {COLUMNS} from offers where status <> 'closed' or ? order by id desc",
                (closed,),
            )
            return [of_row(row) for row in rows]

        return await self._db.read(run)

    async def set_status(
        self, offer_id: int, status: Status, now: float, deed: Deed | None = None
    ) -> Offer | None:
        """Open, pause or close one; None when there is none, or it is closed for good.

        What it is already is given as it is. Closing one lets go of the shop's codes that
        nobody has: another offer may have them. deed: for the audit.
        """

        def run(conn: Connection) -> Offer | None:
            row = conn.execute(
                "update offers set status = ?, closed_at = ? where id = ? "
                f"and status not in ('closed', ?) returning {COLUMNS}",
                (status, now if status == "closed" else None, offer_id, status),
            ).fetchone()
            if row is not None:
                if deed is not None:
                    deed.write(conn, f"offer:{offer_id}", status)
                offer = of_row(row)
                return _emptied(conn, offer) if status == "closed" and offer.pool else offer
            found = find(conn, offer_id)
            return found if found is not None and found.status == status else None

        return await self._db.write(run)

    async def add_codes(
        self,
        offer_id: int,
        codes_given: Sequence[str],
        now: float,
        deed: Deed | None = None,
    ) -> CodesAdded | None:
        """Put a shop's codes into an offer's pool: all, or none when any is bad.

        None when there is no such offer, it is closed, or its codes are made here. They are
        given out in the order in which they came. deed: for the audit.
        """
        lines, bad = _read_codes(codes_given)

        def run(conn: Connection) -> CodesAdded | None:
            offer = find(conn, offer_id)
            if offer is None or not offer.pool or offer.status == "closed":
                return None
            taken = [
                (lines[row[0]], codes_given[lines[row[0]] - 1].strip(), "there is one already")
                for row in statements.ask(
                    conn, "select code from coupons where code in ({rows})", list(lines)
                )
            ]
            faulty = sorted({*bad, *taken})
            if (offer.inventory or 0) + len(lines) > MOST:
                faulty.append((len(codes_given), "", f"more than {MOST} codes"))
            if faulty:
                return CodesAdded(0, faulty)
            conn.execute(
                "update offers set inventory = inventory + ? where id = ?", (len(lines), offer_id)
            )
            conn.executemany(
                "insert into coupons (offer_id, code, spelling, status, created_at) "
                "values (?, ?, ?, 'offered', ?)",
                [
                    (offer_id, code, codes_given[line - 1].strip(), now)
                    for code, line in lines.items()
                ],
            )
            if deed is not None and lines:
                deed.write(conn, f"offer:{offer_id}", str(len(lines)))
            return CodesAdded(len(lines), [])

        return await self._db.write(run)

    async def report(self, offer_id: int, now: float) -> OfferReport | None:
        """What became of it until now; None when there is no such offer."""

        def run(conn: Connection) -> OfferReport | None:
            offer = find(conn, offer_id)
            if offer is None:
                return None
            counts = dict(
                conn.execute(
                    # What time has ended counts as ended, written down or not.
                    "select case when status = 'reserved' and reserved_until > ? then 'reserved' "
                    "when status in ('claimed', 'reserved') and expires_at <= ? then 'expired' "
                    "when status = 'reserved' then 'claimed' else status end as is_now, count(*) "
                    "from coupons where offer_id = ? group by is_now",
                    (now, now, offer_id),
                ).fetchall()
            )
            members, amount, discount = conn.execute(
                "select count(distinct member_id), "
                "coalesce(sum(case when status = 'redeemed' then amount_cents end), 0), "
                "coalesce(sum(case when status = 'redeemed' then discount_cents end), 0) "
                "from coupons where offer_id = ?",
                (offer_id,),
            ).fetchone()
            by_source = dict(
                conn.execute(
                    "select source, count(*) from coupons where offer_id = ? "
                    "and status <> 'offered' group by source order by source",
                    (offer_id,),
                ).fetchall()
            )
            return OfferReport(
                offer=offer,
                pool_left=counts.get("offered", 0),
                claimed=counts.get("claimed", 0),
                reserved=counts.get("reserved", 0),
                redeemed=counts.get("redeemed", 0),
                expired=counts.get("expired", 0),
                revoked=counts.get("revoked", 0),
                members=members,
                amount_cents=amount,
                discount_cents=discount,
                by_source=by_source,
            )

        return await self._db.read(run)


def _emptied(conn: Connection, offer: Offer) -> Offer:
    conn.execute("delete from coupons where offer_id = ? and status = 'offered'", (offer.id,))
    row = conn.execute(
        f"update offers set inventory = claimed where id = ? returning {COLUMNS}", (offer.id,)
    ).fetchone()
    return of_row(row)


def _read_codes(given: Sequence[str]) -> tuple[dict[str, int], list[tuple[int, str, str]]]:
    """Plain code -> its line, from 1, in their order; and what cannot be a code."""
    lines: dict[str, int] = {}
    bad = []
    for number, typed in enumerate(given, 1):
        code, as_given = codes.plain(typed), typed.strip()
        if not code:
            bad.append((number, as_given, "empty"))
        elif not as_given.isascii() or not as_given.isprintable() or " " in as_given:
            bad.append((number, as_given, "letters, digits and signs of ASCII without blanks"))
        elif not _NO_PATH.isdisjoint(code) or code[0] == ".":
            # A checkout names the code in the path of an address.
            bad.append((number, as_given, "none of / \\ { }, and no . at the beginning"))
        elif len(code) > LONGEST_CODE:
            bad.append((number, as_given, f"longer than {LONGEST_CODE} characters"))
        elif code in lines:
            bad.append((number, as_given, f"the same as line {lines[code]}"))
        else:
            lines[code] = number
    return lines, bad
