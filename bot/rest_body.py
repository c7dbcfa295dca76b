"""What came with a request, made into values: body, lines of a batch, query.

All that is refused here is refused before an operation runs, so that each sees only what
its types promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from bot.problem import MAX_FAULTS, Fault, Problem, fault_of

T = TypeVar("T")

_IN_A_THREAD = 64 << 10
"""A body from this size on is decoded beside the event loop."""
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


def _cannot(faults: Sequence[Fault]) -> Problem:
    return Problem(
        422,
        "What was sent cannot be used",
        "errors says what is wrong; nothing was stored.",
        type="invalid",
        errors=faults,
    )


def json_reader(kind: Any) -> Callable[[bytes], Any]:
    """A function from a JSON body to a value of the type. Errors: Problem 400, 422."""
    decoder = msgspec.json.Decoder(kind)

    def read(body: bytes) -> Any:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise _cannot([fault_of(error)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(_reason(error)) from None

    return read


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    if isinstance(error, RecursionError):
        return "Nested too deeply."
    return str(error)


def batch_reader(kind: Any, max_lines: int) -> Callable[[bytes, bool], list[Line[Any]]]:
    """A function from a body to its lines, the bad ones with their fault.

    It takes the body and whether that is NDJSON; otherwise it is a JSON array, or one
    object. Blank lines do not count. Errors: Problem 400 (not JSON at all), 413.
    """
    decoder = msgspec.json.Decoder(kind)
    elements = msgspec.json.Decoder(list[msgspec.Raw])

    def one(number: int, raw: bytes | msgspec.Raw, base: str) -> Line[Any]:
        try:
            return Line(number, decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError):
                return Line(number, None, fault_of(error, base, number))
            return Line(number, None, Fault(base, _reason(error), number))

    def read(body: bytes, ndjson: bool) -> list[Line[Any]]:
        if ndjson:
            rows = [(number, raw) for number, raw in enumerate(body.split(b"\n"), 1) if raw.strip()]
            _fit(len(rows))
            return [one(number, raw, "") for number, raw in rows]
        if body.lstrip()[:1] == b"[":
            try:
                raws = elements.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise _malformed(_reason(error)) from None
            _fit(len(raws))
            return [one(number, raw, f"/{number - 1}") for number, raw in enumerate(raws, 1)]
        try:
            return [Line(1, decoder.decode(body))]
        except msgspec.ValidationError as error:
            return [Line(1, None, fault_of(error, "", 1))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(_reason(error)) from None

    def _fit(count: int) -> None:
        if count > max_lines:
            raise Problem(
                413,
                "Too large",
                f"{count} lines came, at most {max_lines} are taken at once.",
                type="too-many-lines",
            )

    return read


def all_good(lines: Sequence[Line[Any]]) -> None:
    """Errors: Problem 422 with every bad line (at most 100), when there is one."""
    faults = [line.fault for line in lines if line.fault is not None]
    if faults:
        raise _cannot(faults[:MAX_FAULTS])


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
            return msgspec.convert(single, kind, strict=False)
        except msgspec.ValidationError as error:
            faults = [fault_of(error)]
    raise Problem(
        400,
        "Bad query",
        "errors says which parameter is wrong.",
        type="bad-query",
        errors=faults,
    )
