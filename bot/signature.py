"""Signed requests: a key that was overheard is of no use without the secret that never travels.

A key of `zhiqun key new --signed` must sign each request with its secret. What is signed is
time, method, path, Idempotency-Key and body, as they are on the wire:

    Zhiqun-Timestamp: 1795000000
    Zhiqun-Signature: v1,BASE64(HMAC-SHA256(secret, "1795000000.POST./api/v1/….KEY.BODY"))

Every body is read whole before an operation sees it, so every operation can be signed; where
none is taken the empty one is. A request with an Idempotency-Key may be sent again: it changes
nothing more. One without that changes something is taken once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.keys import ApiKey
from bot.problem import Problem

TIMESTAMP = "Zhiqun-Timestamp"
SIGNATURE = "Zhiqun-Signature"
WINDOW_S = 300
"""How far a request's clock may be off, and for how long a request may be sent again."""

_IN_A_THREAD = 64 << 10
"""A body from this size on is hashed beside the event loop."""
IDEMPOTENCY = "Idempotency-Key"
_SECONDS = re.compile(r"[0-9]{1,12}")

Check = Callable[[bytes], Awaitable[None]]


class Replays:
    """Signatures that were used lately, so that a recorded request is of no use."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    def is_new(self, signature: str, now: float) -> bool:
        """Whether it is seen for the first time; it is remembered from then on."""
        # They stand in the order in which they came. Signed by a clock that was ahead, one is
        # good for twice the window.
        while self._used and now - self._used[oldest := next(iter(self._used))] > 2 * WINDOW_S:
            del self._used[oldest]
        if signature in self._used:
            return False
        self._used[signature] = now
        return True


def sign(
    secret: str, timestamp: int, method: str, target: str, body: bytes, idempotency_key: str = ""
) -> str:
    """The value of Zhiqun-Signature.

    secret: "zqs_…", all of it; target: path and query as they are sent, beginning with "/".
    """
    head = f"{timestamp}.{method}.{target}.{idempotency_key}."
    mac = hmac.new(secret.encode(), head.encode("utf-8", "surrogateescape"), hashlib.sha256)
    mac.update(body)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def demanded(key: ApiKey, request: web.BaseRequest, now: float, replays: Replays) -> Check:
    """What a body has to pass before it is decoded; without a signing secret anything does.

    Errors: Problem 401 at once when the headers are missing or too old; nothing is read then.
    """
    if not key.signing_secret:
        return _anything
    given = request.headers.getall(TIMESTAMP, []), request.headers.getall(SIGNATURE, [])
    if not all(len(values) == 1 and values[0] for values in given):
        raise _refused(
            "This key signs its requests: send one Zhiqun-Timestamp (Unix seconds) and one "
            "Zhiqun-Signature: v1,BASE64(HMAC-SHA256(secret, "
            "TIMESTAMP.METHOD.PATH?QUERY.IDEMPOTENCY-KEY.BODY))."
        )
    names = request.headers.getall(IDEMPOTENCY, [""])
    if len(names) > 1:
        raise _refused("Send one Idempotency-Key: two cannot be signed.")
    shown, signature = given[0][0], given[1][0]
    if not _SECONDS.fullmatch(shown):
        raise _refused("Zhiqun-Timestamp must be whole Unix seconds, such as 1795000000.")
    if abs(now - int(shown)) > WINDOW_S:
        raise _refused(
            f"Zhiqun-Timestamp is more than {WINDOW_S} s from this clock (see Date): set yours "
            "right and sign anew."
        )

    async def check(body: bytes) -> None:
        method, secret = request.method, key.signing_secret
        args = (secret, int(shown), method, request.raw_path, body, names[0])
        if len(body) >= _IN_A_THREAD:
            right = await asyncio.to_thread(sign, *args)
        else:
            right = sign(*args)
        # As bytes: characters beyond ASCII may stand in a header, and are refused like others.
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogateescape")):
            raise _refused(
                "Zhiqun-Signature does not fit: sign the timestamp as sent, the method in "
                "capitals, the path with its query as it arrives here, the Idempotency-Key (or "
                "nothing) and the very bytes of the body, joined by dots, with this key's zqs_ "
                "secret."
            )
        if method != "GET" and not names[0] and not replays.is_new(signature, now):
            raise _refused(
                "This very request was here before. Sign what you mean to repeat anew, with the "
                "time of now."
            )

    return check


async def _anything(_: bytes) -> None:
    """An unsigned key's body."""


def _refused(detail: str) -> Problem:
    return Problem(
        401,
        "Not signed",
        detail,
        type="not-signed",
        headers={"WWW-Authenticate": 'Bearer realm="zhiqun"'},
    )
