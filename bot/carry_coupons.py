"""Coupons in files: a shop's codes and offers in, every coupon out.

All of a file is right, or none of it is used. What goes out is opened in spreadsheets: a cell
that one of them would run as a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from bot.terminal import OK, CommandError, with_store
from bot.transfer import BadFile, cents_of, csv_rows, iso_of, moment_of, text_of, yuan_of
from store.coupons import Coupon
from store.offers import NewOffer, Offer, faults, fold

if TYPE_CHECKING:
    from bot.config import Config
    from store import Store

OFFER_COLUMNS = (
    "word",
    "title",
    "kind",
    "value",
    "cap",
    "min_spend",
    "items",
    "categories",
    "stackable",
    "audience",
    "points",
    "inventory",
    "per_member",
    "pool",
    "claim_from",
    "claim_until",
    "valid_until",
    "valid_days",
)
COUPON_COLUMNS = (
    "id",
    "offer",
    "word",
    "title",
    "code",
    "status",
    "member",
    "source",
    "created_at",
    "claimed_at",
    "expires_at",
    "reserved_at",
    "released_at",
    "redeemed_at",
    "expired_at",
    "revoked_at",
    "order",
    "amount",
    "discount",
    "points",
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]+", re.IGNORECASE)
_YES = {"1": True, "yes": True, "true": True, "是": True}
_NO = {"": False, "0": False, "no": False, "false": False, "否": False}
_DAY_S = 86_400.0
_FIELD_COLUMNS = {"cap_cents": "cap", "min_spend_cents": "min_spend", "points_price": "points"}
"""Fields of an offer whose column has another name."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """An offer as a file says it, before anything is checked but the types."""

    word: str
    kind: str
    title: str = ""
    value: int | float | str | None = None
    cap: int | float | str | None = None
    min_spend: int | float | str | None = None
    items: list[str] = []
    categories: list[str] = []
    stackable: bool = False
    audience: str = ""
    points: int = 0
    inventory: int | None = None
    per_member: int = 1
    pool: bool = False
    claim_from: str = ""
    claim_until: str = ""
    valid_until: str = ""
    valid_days: int | None = None


# Codes


def load_codes(config: Config, word: str, path: Path) -> int:
    """`zhiqun import codes WORD FILE.csv`: a shop's codes for the offer with this word."""
    lines, now = read_codes(path), time.time()

    async def put(store: Store) -> int:
        offer = await store.offers.by_word(word)
        if offer is None:
            raise CommandError(f"no offer has the word {word}: /coupon list shows all")
        added = await store.offers.add_codes(offer.id, [code for _, code in lines], now)
        if added is None:
            raise CommandError(f"the codes of {word} are made here: make an offer with 码池 (pool)")
        if added.bad:
            # Behind the last code is what is wrong with all of them together.
            raise BadFile(
                path, [f"line {lines[at - 1][0]}: {code} {why}" for at, code, why in added.bad]
            )
        await store.audit.add(
            now, "cli", "import.codes", f"offer:{offer.id}", f"{added.count} codes"
        )
        return added.count

    print(f"{with_store(config, put)} codes imported for {word}")
    return OK


def read_codes(path: Path) -> list[tuple[int, str]]:
    """(line, code) of a CSV with one column; a first line that says `code` is none.

    Errors: BadFile, naming every bad line.
    """
    text = text_of(path, "in Excel choose “CSV UTF-8” when saving")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int, str]] = []
    problems: list[str] = []
    try:
        for cells in reader:
            line, filled = reader.line_num, [cell.strip() for cell in cells if cell.strip()]
            if not filled or (not found and not problems and filled[0].lower() == "code"):
                continue
            if len(filled) > 1:
                problems.append(f"line {line}: {len(filled)} cells; one code a line, please")
            elif _ROUNDED.fullmatch(filled[0]):
                problems.append(
                    f"line {line}: {filled[0]} is a number that a spreadsheet has rounded; "
                    "make the column text before you paste the codes"
                )
            else:
                found.append((line, filled[0]))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}; check the quotes")
    if not found and not problems:
        problems.append("line 1: there are no codes")
    if problems:
        raise BadFile(path, problems)
    return found


# Offers


def load_offers(config: Config, path: Path) -> int:
    """`zhiqun import offers FILE`: new offers, open at once."""
    offers, now = read_offers(path), time.time()

    async def put(store: Store) -> int:
        taken = await store.offers.create_all([new for _, new in offers], now, "cli")
        if taken:
            raise BadFile(
                path,
                [
                    f"line {offers[place][0]}: an offer that is not closed has the word "
                    f"{offers[place][1].word}; /coupon close it, or choose another word"
                    for place in taken
                ],
            )
        await store.audit.add(now, "cli", "import.offers", detail=f"{len(offers)} offers")
        return len(offers)

    print(f"{with_store(config, put)} offers imported")
    return OK


def read_offers(path: Path) -> list[tuple[int, NewOffer]]:
    """(line, offer) of a CSV with OFFER_COLUMNS, or of JSON lines (.jsonl, .ndjson).

    Errors: BadFile, naming every bad line.
    """
    in_lines = path.suffix.lower() in (".jsonl", ".ndjson")
    offers: list[tuple[int, NewOffer]] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, said in _json_lines(path) if in_lines else _csv_lines(path):
        new, wrong = (None, [said]) if isinstance(said, str) else _offer(said)
        problems += [f"line {number}: {why}" for why in wrong]
        if new is None:
            continue
        word = fold(new.word)
        if word in seen:
            problems.append(f"line {number}: the word {word} stands in line {seen[word]} too")
        seen.setdefault(word, number)
        offers.append((number, new))
    if not offers and not problems:
        problems.append("line 2: there are no offers")
    if problems:
        raise BadFile(path, problems)
    return offers


def _csv_lines(path: Path) -> Iterator[tuple[int, _Line | str]]:
    for number, row in csv_rows(path, ("word", "kind"), OFFER_COLUMNS):
        said: dict[str, Any] = {name: cell for name, cell in row.items() if cell}
        for name in ("items", "categories"):
            said[name] = [part.strip() for part in row.get(name, "").split("|") if part.strip()]
        for name in ("stackable", "pool"):
            cell = row.get(name, "").lower()
            said[name] = _YES.get(cell, _NO.get(cell, cell))
        try:
            # strict=False: a cell is text, whatever it counts.
            yield number, msgspec.convert({"word": "", "kind": "", **said}, _Line, strict=False)
        except msgspec.ValidationError as error:
            yield number, f"{error}"


def _json_lines(path: Path) -> Iterator[tuple[int, _Line | str]]:
    decoder = msgspec.json.Decoder(_Line)
    for number, text in enumerate(text_of(path, "JSON is always UTF-8").split("\n"), 1):
        if not text.strip():
            continue
        try:
            yield number, decoder.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, f"{error}"


def _offer(line: _Line) -> tuple[NewOffer | None, list[str]]:
    """The offer of a line, and what is wrong with the line."""
    wrong: list[str] = []

    def money(name: str) -> int | None:
        said = getattr(line, name)
        if said in (None, ""):
            return None
        cents = cents_of(said, None)
        if cents is None:
            wrong.append(f"{name} must look like 50 or 50.00 (yuan)")
        return cents

    def moment(name: str) -> float | None:
        said = getattr(line, name).strip()
        at = moment_of(said)
        if at is None:
            wrong.append(f"{name} must look like 2026-12-01 or 2026-12-01T20:00")
        # The day that ends something is good to its last minute, as in the chat.
        whole = at and name != "claim_from" and len(said) == len("2026-12-01")
        return (at + _DAY_S if whole else at) if at else None

    value: int | None = 0
    if line.kind == "amount":
        value = money("value")
    elif line.value not in (None, ""):
        said = str(line.value).strip()
        value = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None
        if value is None:
            wrong.append("value must be a whole number: percent off, or days")
    new = NewOffer(
        word=line.word,
        title=line.title.strip() or f"{line.word.strip()}券".replace("券券", "券"),
        kind=line.kind,  # type: ignore[arg-type]
        value=value or 0,
        cap_cents=money("cap"),
        min_spend_cents=money("min_spend") or 0,
        items=tuple(line.items),
        categories=tuple(line.categories),
        stackable=line.stackable,
        audience=line.audience,
        points_price=line.points,
        inventory=line.inventory,
        per_member=line.per_member,
        pool=line.pool,
        claim_from=moment("claim_from"),
        claim_until=moment("claim_until"),
        valid_until=moment("valid_until"),
        valid_days=line.valid_days,
    )
    if not wrong:
        wrong = [f"{_FIELD_COLUMNS.get(name, name)}: {why}" for name, why in faults(new)]
    return (None, wrong) if wrong else (new, [])


# Coupons


async def export(
    store: Store, file: TextIO, now: float, called: Callable[[int], int | str] = int
) -> int:
    """Every coupon as CSV; says how many. Written page by page. called: what members are called."""
    writer = csv.writer(file)
    # With a mark at the start Excel reads it as UTF-8.
    file.write("\ufeff")
    writer.writerow(COUPON_COLUMNS)
    count = after = 0
    while page := await store.coupons.export(after):
        writer.writerows(cells(coupon, offer, now, called) for coupon, offer in page)
        count += len(page)
        after = page[-1][0].id
    return count


def cells(
    coupon: Coupon, offer: Offer, now: float, called: Callable[[int], int | str] = int
) -> Sequence[str]:
    """A coupon as one row of COUPON_COLUMNS; times in Shanghai, money in yuan, "" for none."""
    times = (
        coupon.created_at,
        coupon.claimed_at,
        coupon.expires_at,
        coupon.reserved_at,
        coupon.released_at,
        coupon.redeemed_at,
        coupon.expired_at,
        coupon.revoked_at,
    )
    row = (
        coupon.id,
        offer.id,
        offer.word,
        offer.title,
        coupon.shown,
        _status(coupon, now),
        "" if coupon.member_id is None else called(coupon.member_id),
        coupon.source,
        *(iso_of(float(int(at))) if at is not None else "" for at in times),
        coupon.order_shown,
        yuan_of(coupon.amount_cents) if coupon.order_id else "",
        yuan_of(coupon.discount_cents) if coupon.order_id else "",
        coupon.points_paid,
    )
    return [harmless(str(cell)) for cell in row]


def _status(coupon: Coupon, now: float) -> str:
    """What time has ended counts as ended, written down or not."""
    if coupon.status not in ("claimed", "reserved"):
        return coupon.status
    if not coupon.usable(now):
        return "expired"
    held = coupon.reserved_until is not None and coupon.reserved_until > now
    return "reserved" if coupon.status == "reserved" and held else "claimed"


def harmless(cell: str) -> str:
    """The cell as no spreadsheet runs it: "=1+1" becomes "'=1+1"."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
