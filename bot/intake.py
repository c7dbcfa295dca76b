"""Events from outside: what one must say, and how many are taken in.

One event or a million, over REST (`bot/rest_events.py`) or from a file: the same checks. A
file is read twice, once to see that all of it is good and once to store it, so that its size
costs no memory; reading and decoding happen beside the event loop.
"""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from bot.problem import MAX_FAULTS, Fault, fault_of
from store import Store
from store.aliases import RESERVED
from store.events import Added, NewEvent

CHUNK = 500
"""Events in one transaction: a chat message waits behind one of them, not behind all."""
FILE_CHUNK = 2000
"""The same for a file: it comes from another process, which shares nothing but the disk."""
MAX_LINE = 64 << 10
MAX_DATA = 2048
_MAX_RAW = 8 * MAX_DATA
"""As sent it may be longer: each letter an escape, and blanks between."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
AHEAD_S = 86_400.0
"""How far ahead the shop's clock may be."""

NAMELESS = frozenset({"exposure", "view", "click", "add_to_cart"})
"""Kinds that may be nobody's."""

_LINE = r"^[^\u0000-\u001f\u007f]+(?!\n)$"
_Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=_LINE)]
_Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=_LINE)]


def _says(description: str, *examples: Any) -> Any:
    return Meta(description=description, examples=list(examples) or None)


class EventIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Something that a member, or somebody who may become one, did in the shop."""

    id: Annotated[
        _Name,
        _says(
            "Yours, and unique: what comes again under it changes nothing. Nothing personal "
            "belongs into it, for it stays when the member is forgotten.",
            "order-20261121-17-paid",
        ),
    ]
    kind: Literal[
        "exposure",
        "view",
        "click",
        "add_to_cart",
        "claim",
        "purchase",
        "refund",
        "enroll",
        "progress",
        "complete",
    ]
    at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        _says(
            "When it happened, from 2000-01-01 to a day ahead; now when it is left out.",
            "2026-11-21T20:15:00+08:00",
        ),
    ] = None
    member: Annotated[
        Annotated[int, Meta(ge=1, le=2**53)] | None,
        _says("Who, by the number the bot gives its members."),
    ] = None
    channel: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}(?!\n)$")] | None,
        _says("Where the openid is from: the name of a channel, or one of your own.", "mp"),
    ] = None
    openid: Annotated[_Name | None, _says("Who, by their openid; channel says where.")] = None
    unionid: Annotated[_Name | None, _says("Who, by their unionid.")] = None
    visitor: Annotated[
        _Name | None, _says("Who, by your own name for their browser.", "v-8f41c2")
    ] = None
    click: Annotated[
        _Name | None, _says("Who, by the tracked link they came from: its parameter zq.")
    ] = None
    item: Annotated[_Name | None, _says("What, by its id in the catalogue.", "writing-101")] = None
    chapter: Annotated[_Name | None, _says("Which chapter of it.")] = None
    percent: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None, _says("How much of it is done.")
    ] = None
    amount_cents: Annotated[
        Annotated[int, Meta(ge=0, le=10**12)] | None,
        _says("The price paid or given back, in fen.", 9900),
    ] = None
    order: Annotated[_Name | None, _says("Your order's number.", "20261121-17")] = None
    campaign: Annotated[_Word | None, _says("The campaign it is owed to.", "autumn")] = None
    variant: Annotated[_Word | None, _says("Its variant.", "b")] = None
    source: Annotated[
        Literal["campaign", "answer", "recommendation", "referral", "catalogue"] | None,
        _says("What it is owed to; campaign when one is named."),
    ] = None
    ref: Annotated[_Name | None, _says("What exactly in that source.", "faq:12")] = None
    # Raw: not made into values, which take forty times the memory, before its size is known.
    data: Annotated[
        msgspec.Raw,
        Meta(
            description="Whatever else you keep of it, at most 2 KB of JSON.",
            extra_json_schema={"anyOf": [{"type": "object"}, {"type": "null"}], "default": None},
        ),
    ] = msgspec.field(default_factory=msgspec.Raw)


def event_of(event: EventIn, now: float, line: int = 0) -> NewEvent | list[Fault]:
    """The event to store, or everything that is wrong with it."""
    at = now if event.at is None else event.at.timestamp()
    data, unusable = _data(bytes(event.data))
    wrong = _needs(event)
    if event.id.startswith("click:"):
        wrong.append(("/id", "begins with click:, which only tracked links may"))
    if not EARLIEST <= at <= now + AHEAD_S:
        wrong.append(("/at", "is before 2000 or more than a day ahead"))
    if event.openid is not None and event.channel is None:
        wrong.append(("/channel", "is missing: an openid is one on a channel"))
    if event.openid is None and event.channel is not None:
        wrong.append(("/openid", "is missing: a channel alone names nobody"))
    if event.channel in RESERVED:
        wrong.append(("/channel", f"may not be one of {', '.join(sorted(RESERVED))}"))
    if unusable:
        wrong.append(("/data", unusable))
    if wrong:
        return [Fault(pointer, detail, line) for pointer, detail in wrong]
    return NewEvent(
        event_id=event.id,
        kind=event.kind,
        at=at,
        member_id=event.member,
        channel=event.channel or "",
        openid=event.openid or "",
        unionid=event.unionid or "",
        visitor=event.visitor or "",
        click=event.click or "",
        item_id=event.item or "",
        chapter_id=event.chapter or "",
        percent=event.percent,
        amount_cents=event.amount_cents or 0,
        order_id=event.order or "",
        campaign=event.campaign or "",
        variant=event.variant or "",
        source=event.source or ("campaign" if event.campaign else ""),
        ref=event.ref or "",
        data=data,
    )


def _data(raw: bytes) -> tuple[str, str]:
    """The data as it is kept, and what is wrong with it; one of them is empty."""
    if len(raw) > _MAX_RAW:
        return "", f"is longer than {MAX_DATA} bytes"
    try:
        data = _decode_data(raw) if raw else None
        kept = b"" if data is None else msgspec.json.encode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return "", _unreadable(error)
    if len(kept) > MAX_DATA:
        return "", f"is longer than {MAX_DATA} bytes"
    return kept.decode(), ""


_decode_data = msgspec.json.Decoder(dict[str, Any] | None).decode


def _unreadable(error: Exception) -> str:
    """Why these bytes cannot be read."""
    if isinstance(error, msgspec.ValidationError):
        return fault_of(error).detail
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 at byte {error.start}"
    return f"is not JSON: {error}"


def _needs(event: EventIn) -> list[tuple[str, str]]:
    """What this kind cannot do without and does not have: (pointer, what is wrong)."""
    kind, missing = event.kind, f"is missing: {event.kind} needs it"
    wrong = []
    if kind not in NAMELESS and _nothing(
        event.member, event.openid, event.unionid, event.visitor, event.click
    ):
        who = "member, openid, unionid, visitor or click"
        wrong.append(("", f"names nobody: {kind} needs {who}"))
    if kind in ("purchase", "refund"):
        if event.amount_cents is None:
            wrong.append(("/amount_cents", missing))
        if _nothing(event.item, event.order):
            wrong.append(("", f"{kind} needs item or order"))
    elif kind in ("exposure", "click", "claim"):
        if _nothing(event.item, event.campaign, event.source, event.ref):
            wrong.append(("", f"{kind} needs item, campaign, source or ref"))
    elif event.item is None:
        wrong.append(("/item", missing))
    if kind == "progress" and _nothing(event.chapter, event.percent):
        wrong.append(("", "progress needs chapter or percent"))
    return wrong


def _nothing(*given: object) -> bool:
    return all(one is None for one in given)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a batch. refused: how many lines; faults: the first 100 of what is wrong.

    Refused lines and nothing stored: all or nothing was asked for. Both: `partial`, or a
    member was forgotten while the batch was stored.
    """

    stored: int = 0
    repeated: int = 0
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class _Chunk:
    """Some lines, read: the good events with their numbers, and what is wrong."""

    lines: list[int] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    end: bool = False

    def refuse(self, faults: Sequence[Fault]) -> None:
        self.refused += 1
        self.faults += faults


class _Reader:
    """NDJSON, some lines at a time. Blank lines do not count, but have their number."""

    def __init__(self, file: IO[bytes], now: float) -> None:
        self._file = file
        self._now = now
        self._number = 0
        self._decode = msgspec.json.Decoder(EventIn).decode

    def chunk(self) -> _Chunk:
        """The next lines; `end` is set with the last."""
        chunk = _Chunk()
        while len(chunk.events) + chunk.refused < FILE_CHUNK:
            self._number += 1
            try:
                line = self._file.readline(MAX_LINE + 2)
                too_long = len(line.rstrip(b"\r\n")) > MAX_LINE
                while too_long and line and not line.endswith(b"\n"):
                    line = self._file.readline(MAX_LINE)
            except (EOFError, OSError, zlib.error) as error:
                chunk.refuse([Fault("", f"cannot be read from here on: {error}", self._number)])
                line = b""
            if not line:
                chunk.end = True
                return chunk
            if too_long:
                chunk.refuse([Fault("", f"is longer than {MAX_LINE} bytes", self._number)])
            elif line.strip():
                self._take(line, chunk)
        return chunk

    def _take(self, line: bytes, chunk: _Chunk) -> None:
        number = self._number
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            event = event_of(self._decode(line), self._now, number)
        except msgspec.ValidationError as error:
            chunk.refuse([fault_of(error, "", number)])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            chunk.refuse([Fault("", _unreadable(error), number)])
        else:
            if isinstance(event, list):
                chunk.refuse(event)
            else:
                chunk.lines.append(number)
                chunk.events.append(event)


_NOBODY = "is no member's number"


async def _check(store: Store, reader: _Reader) -> Imported:
    """Reads everything and stores nothing: the lines that would be refused."""
    refused, faults = 0, list[Fault]()
    end = False
    while not end:
        chunk = await asyncio.to_thread(reader.chunk)
        end = chunk.end
        unknown = await store.events.unknown_members(
            {event.member_id for event in chunk.events if event.member_id is not None}
        )
        for line, event in zip(chunk.lines, chunk.events, strict=True):
            if event.member_id in unknown:
                chunk.refuse([Fault("/member", _NOBODY, line)])
        refused += chunk.refused
        faults += chunk.faults[: MAX_FAULTS - len(faults)]
    return Imported(refused=refused, faults=sorted(faults, key=lambda fault: fault.line))


async def _store(store: Store, reader: _Reader, now: float) -> Imported:
    """Stores everything that is good."""
    stored = repeated = refused = 0
    faults: list[Fault] = []
    end = False
    while not end:
        chunk = await asyncio.to_thread(reader.chunk)
        end = chunk.end
        told = await store.events.add(chunk.events, now)
        for line, what in zip(chunk.lines, told, strict=True):
            if what is Added.UNKNOWN:
                chunk.refuse([Fault("/member", _NOBODY, line)])
        stored += told.count(Added.NEW)
        repeated += told.count(Added.REPEATED)
        refused += chunk.refused
        faults += chunk.faults[: MAX_FAULTS - len(faults)]
    return Imported(stored, repeated, refused, sorted(faults, key=lambda fault: fault.line))


async def import_events(store: Store, path: Path, now: float, partial: bool) -> Imported:
    """Take in a file, plain or .gz: all of it or nothing, unless `partial`.

    It is stored chunk by chunk; what a crash in between leaves is completed by sending all
    of it again. Meant for a process of its own: its store gets more memory. Errors: OSError
    when the file cannot be opened.
    """

    def open_it() -> IO[bytes]:
        plain = path.open("rb")
        return plain if path.suffix != ".gz" else cast(IO[bytes], gzip.open(plain))

    began = time.monotonic()
    await store.events.expect_many()
    file = await asyncio.to_thread(open_it)
    try:
        found = Imported()
        if not partial:
            found = await _check(store, _Reader(file, now))
            await asyncio.to_thread(file.seek, 0)
        if not found.refused:
            found = await _store(store, _Reader(file, now), now)
        return replace(found, seconds=time.monotonic() - began)
    finally:
        await asyncio.to_thread(file.close)
