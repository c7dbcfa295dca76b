"""What came with a request, made into values: body, lines of a batch, query.

All that is refused here is refused before an operation runs, so that each sees only what
its types promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from bot.problem import MAX_FAULTS, Fault, Problem, fault_of, unusable

T = TypeVar("T")

_IN_A_THREAD = 64 << 10
"""A body from this size on is decoded beside the event loop."""
_BOM = b"\xef\xbb\xbf"
_S_PER_BYTE = 1 / (64 << 10)
"""Besides the time for a small body, a large one gets a second for each 64 KB."""


@dataclass(frozen=True, slots=True)
class Line(Generic[T]):
    """One line of a batch. number: from 1; value: None when `fault` says what is wrong."""

    number: int
    value: T | None
    fault: Fault | None = None


def too_large(what: str) -> Problem:
    """413; the connection ends, for the rest of the body is not wanted."""
    return Problem(413, "Too large", what, type="too-large", close=True)


async def read_body(request: web.BaseRequest, limit: int, timeout_s: float) -> bytes:
    """The whole body, at most `limit` bytes. Errors: Problem 400, 408, 413, 415."""
    if (request.content_length or 0) > limit:
        raise too_large(f"At most {limit} bytes are read.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(
            415, "Unsupported media type", "Send it uncompressed.", type="unsupported-encoding"
        )
    if request.headers.get("Expect", "").lower() == "100-continue":
        # Only now that key and length are known to be good.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s + limit * _S_PER_BYTE):
            while part := await _some(request, timeout_s):
                size += len(part)
                if size > limit:
                    raise too_large(f"At most {limit} bytes are read.")
                parts.append(part)
    except TimeoutError:
        raise Problem(
            408, "Too slow", "The body did not come in time.", type="too-slow", close=True
        ) from None
    except (web.RequestPayloadError, ValueError):
        raise Problem(
            400, "Bad request", "The body is cut off.", type="bad-body", close=True
        ) from None
    return b"".join(parts)


async def _some(request: web.BaseRequest, timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await request.content.readany()


def _malformed(detail: str) -> Problem:
    return Problem(400, "Malformed JSON", detail, type="malformed-json")


def json_reader(kind: Any) -> Callable[[bytes], Any]:
    """A function from a JSON body to a value of the type. Errors: Problem 400, 422."""
    decoder = msgspec.json.Decoder(kind)

    def read(body: bytes) -> Any:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise unusable([fault_of(error)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(_reason(error)) from None

    return read


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    if isinstance(error, RecursionError):
        return "Nested too deeply."
    return str(error)


def _too_many(max_lines: int) -> Problem:
    return Problem(
        413,
        "Too large",
        f"At most {max_lines} lines are taken at once.",
        type="too-many-lines",
    )


def _split(body: bytes, max_lines: int) -> list[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1.

    Not `split`: megabytes of nothing but line breaks would become millions of objects. For
    the same reason blank lines may be at most as many as the others.
    """
    rows: list[tuple[int, bytes]] = []
    number = start = 0
    while start < len(body):
        number += 1
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end]
        start = end + 1
        if line and not line.isspace():
            rows.append((number, line))
        if len(rows) > max_lines or number > 2 * max_lines:
            raise _too_many(max_lines)
    return rows


@cache
def _elements(max_lines: int) -> msgspec.json.Decoder[Any]:
    """A decoder of an array of at most so many elements, undecoded; a struct with UNSET.

    It stops at the first too many: as a list, megabytes of `[1,1,…]` would take forty times
    their size before anybody could count them.
    """
    fields = [(f"e{number}", msgspec.Raw, msgspec.UNSET) for number in range(max_lines)]
    array = msgspec.defstruct("Elements", fields, array_like=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(array)


def batch_reader(
    kind: Any, max_lines: int, max_line: int
) -> Callable[[bytes, bool], list[Line[Any]]]:
    """A function from a body to its lines, the bad ones with their fault.

    It takes the body and whether that is NDJSON; otherwise it is a JSON array, or one
    object. A line or element of more than max_line bytes is bad, undecoded. Blank lines do
    not count. Errors: Problem 400 (not JSON at all), 413.
    """
    decoder = msgspec.json.Decoder(kind)

    def one(number: int, raw: bytes | msgspec.Raw, base: str) -> Line[Any]:
        if len(raw if isinstance(raw, bytes) else memoryview(raw)) > max_line:
            return Line(number, None, Fault(base, f"is longer than {max_line} bytes", number))
        try:
            return Line(number, decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError):
                return Line(number, None, fault_of(error, base, number))
            return Line(number, None, Fault(base, _reason(error), number))

    def read(body: bytes, ndjson: bool) -> list[Line[Any]]:
        body = body.removeprefix(_BOM)
        if ndjson:
            return [one(number, raw, "") for number, raw in _split(body, max_lines)]
        if body.lstrip()[:1] == b"[":
            try:
                found = msgspec.structs.astuple(_elements(max_lines).decode(body))
            except msgspec.ValidationError:
                raise _too_many(max_lines) from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise _malformed(_reason(error)) from None
            raws = [raw for raw in found if raw is not msgspec.UNSET]
            return [one(number, raw, f"/{number - 1}") for number, raw in enumerate(raws, 1)]
        if len(body) > max_line:
            return [Line(1, None, Fault("", f"is longer than {max_line} bytes", 1))]
        try:
            return [Line(1, decoder.decode(body))]
        except msgspec.ValidationError as error:
            return [Line(1, None, fault_of(error, "", 1))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(_reason(error)) from None

    return read


def all_good(lines: Sequence[Line[Any]]) -> None:
    """Errors: Problem 422 with every bad line (at most 100), when there is one."""
    faults = [line.fault for line in lines if line.fault is not None]
    if faults:
        raise unusable(faults[:MAX_FAULTS])


async def decoded(read: Callable[..., Any], body: bytes, *args: Any) -> Any:
    """The value of a body, decoded in a thread when it is long."""
    if len(body) >= _IN_A_THREAD:
        return await asyncio.to_thread(read, body, *args)
    return read(body, *args)


def read_query(request: web.BaseRequest, kind: type[msgspec.Struct] | None) -> Any:
    """The query as a value of the type; None without a type. Errors: Problem 400."""
    given = request.query
    if kind is None and not given:
        return None
    single = dict(given)
    faults: list[Fault] = []
    if len(single) != len(given):
        faults = [
            Fault(f"/{name}", "stands there twice")
            for name in single
            if len(given.getall(name)) > 1
        ]
    elif kind is None:
        faults = [Fault(f"/{name}", "is not known here") for name in single]
    else:
        try:
            read = msgspec.convert(single, kind, strict=False)
        except msgspec.ValidationError as error:
            faults = [fault_of(error)]
        else:
            # msgspec reads "null" as none where there may be none; in a query that is left out.
            faults = [
                Fault(f"/{name}", "is not a value")
                for name, value in single.items()
                if value.lower() == "null" and getattr(read, name) is None
            ]
            if not faults:
                return read
    raise Problem(
        400,
        "Bad query",
        "errors says which parameter is wrong.",
        type="bad-query",
        errors=faults,
    )
