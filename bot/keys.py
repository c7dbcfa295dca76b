"""Who may call the API: keys with scopes and a pace, checked without a query a request.

A key is shown once, "zq_" + id + "_" + secret; the store holds a SHA-256 of the secret.
That is enough for 190 random bits: there is nothing to guess that a slow hash would slow.
A signed key has a second secret, "zqs_…", which never travels: see `bot/signature.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from store import StoreError
from store.keys import Key, Keys

log = structlog.get_logger()

SCOPES = (
    "items:read",
    "items:write",
    "events:read",
    "events:write",
    "members:read",
    "members:write",
    "members:erase",
    "tiers:write",
    "points:read",
    "points:write",
    "interactions:read",
    "links:read",
    "links:write",
    "reports:read",
    "documents:read",
    "documents:write",
    "webhooks:read",
    "webhooks:write",
    "offers:read",
    "offers:write",
    "coupons:read",
    "coupons:redeem",
    "quizzes:read",
    "quizzes:write",
    "campaigns:read",
    "campaigns:write",
    "campaigns:send",
    "campaigns:own",
    "groups:read",
    "groups:write",
    "insights:read",
    "insights:own",
    "insights:write",
)
PER_MINUTE = 600
MAX_PER_MINUTE = 1_000_000
MAX_NAME = 60

_BASE62 = string.digits + string.ascii_letters
_ID_LENGTH, _SECRET_LENGTH, _SIGNING_LENGTH = 8, 32, 43
_SHOWN = re.compile(rf"zq_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})")
_NOBODY = hashlib.sha256(b"").hexdigest()
"""Compared with when there is no such key, so that its absence takes as long to say."""

_KEEP_S = 0.9
"""How long the keys are believed unread: a revocation holds within a second."""
_NOTE_S = 60.0
_LEAST_BURST = 10.0
_MOST_CODES = 10_000


class BadKey(ValueError):
    """A key that cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who calls, as the operations see it. signing_secret: "" when requests are not signed."""

    id: str
    name: str
    scopes: frozenset[str]
    per_minute: int
    signing_secret: str = field(default="", repr=False)


def new_key(
    name: str, scopes: Iterable[str], per_minute: int, now: float, *, signed: bool = False
) -> tuple[Key, str]:
    """A fresh key: the row for `store.keys.add`, and what its owner gets to see, once.

    signed: the row has a signing secret, which the owner gets to see once, too. Errors: BadKey.
    There are no wildcards: a scope that comes later is not granted today.
    """
    wanted = frozenset(scopes)
    if not wanted:
        raise BadKey(f"name at least one scope: {', '.join(SCOPES)}")
    for scope in sorted(wanted - set(SCOPES)):
        raise BadKey(f"there is no scope {scope[:40]!r}; there are {', '.join(SCOPES)}")
    if not 0 < len(name.strip()) <= MAX_NAME or not name.isprintable():
        raise BadKey(f"the name must have 1 to {MAX_NAME} printable characters")
    if not 0 < per_minute <= MAX_PER_MINUTE:
        raise BadKey(f"requests a minute must be 1 to {MAX_PER_MINUTE}")
    key_id = _random(_ID_LENGTH)
    secret = _random(_SECRET_LENGTH)
    signing = f"zqs_{_random(_SIGNING_LENGTH)}" if signed else None
    row = Key(
        key_id,
        name.strip(),
        _hash(secret),
        wanted,
        per_minute,
        now,
        signing_secret=signing,
    )
    return row, f"zq_{key_id}_{secret}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True)
class Pace:
    """What a key may still do. reset_s: seconds until it may do everything again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_s: int


class Bucket:
    """A token bucket: `per_minute` on average, one second's share (at least 10) at once."""

    __slots__ = ("_at", "_level", "burst", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        # Never more at once than a minute's worth: 5 a minute are not 10 in a second.
        self.burst = min(max(per_minute / 60.0, _LEAST_BURST), float(per_minute))
        self._level = self.burst
        self._at = now

    def take(self, now: float) -> Pace:
        """Take one request out, if there is one."""
        rate = self.per_minute / 60.0
        # A clock that was set back gives nothing, and takes nothing away.
        self._level = min(self.burst, self._level + max(0.0, now - self._at) * rate)
        self._at = now
        # A hair's breadth for rounding: whoever waits as told must be let in.
        allowed = self._level >= 1.0 - 1e-6
        if allowed:
            self._level -= 1.0
        return Pace(
            allowed=allowed,
            limit=self.per_minute,
            remaining=max(0, int(self._level + 1e-6)),
            reset_s=math.ceil((self.burst - self._level) / rate),
            retry_s=0 if allowed else max(1, math.ceil((1.0 - self._level) / rate)),
        )


class Guesses:
    """Who tries codes that nobody has: an API key may do that only so often.

    Who waits is told of no more codes that nobody has; those that somebody has are good all
    the same. A shop's customers mistype, and a busy shop has more of them. So a key waits when,
    within `lock_s`, it has named `most` different codes that nobody has, and more of them than
    codes that somebody has. In memory: a restart forgives, and it gains a guesser `most` codes.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, dict[str, float]] = {}
        self._right: dict[str, dict[str, float]] = {}
        self._locked: dict[str, tuple[float, float]] = {}

    def wait_s(self, key: str, now: float) -> int:
        """Seconds until this key may name unknown codes again; 0 when it may."""
        at, lock_s = self._locked.get(key, (now, 0.0))
        # A clock that was set back locks nobody out for longer.
        return math.ceil(at + lock_s - now) if 0.0 <= now - at < lock_s else 0

    def right(self, key: str, code: str, now: float, lock_s: float) -> None:
        """It named a code that somebody has."""
        known = self._right.setdefault(key, {})
        _remember(known, code, now)
        _forget_old(known, now, lock_s)

    def wrong(self, key: str, code: str, now: float, most: int, lock_s: float) -> None:
        """It named one that nobody has; it may have to wait from now on."""
        wrong, right = self._wrong.setdefault(key, {}), self._right.get(key, {})
        _remember(wrong, code, now)
        _forget_old(wrong, now, lock_s)
        _forget_old(right, now, lock_s)
        if len(wrong) >= most and len(wrong) > len(right):
            self._locked[key] = (now, lock_s)
            wrong.clear()


def _remember(codes: dict[str, float], code: str, now: float) -> None:
    codes.pop(code, None)  # the newest stands last
    codes[code] = now


def _forget_old(codes: dict[str, float], now: float, for_s: float) -> None:
    while codes:
        oldest = next(iter(codes))
        if len(codes) <= _MOST_CODES and 0.0 <= now - codes[oldest] < for_s:
            return
        del codes[oldest]


def _caller(row: Key) -> ApiKey:
    return ApiKey(row.id, row.name, row.scopes, row.per_minute, row.signing_secret or "")


class KeyRing:
    """The keys in memory, read again every second when somebody calls.

    All of them at once: they are few, and so even a flood of made-up keys costs one
    query a second. now: Unix seconds.
    """

    def __init__(self, keys: Keys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._known: dict[str, tuple[Key, ApiKey]] = {}
        self._buckets: dict[str, Bucket] = {}
        self._noted: dict[str, float] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._notes: set[asyncio.Task[None]] = set()

    async def find(self, shown: str) -> ApiKey | None:
        """The live key that these characters are; None for anything else. Errors: StoreError."""
        if not 0.0 <= self._now() - self._read_at < _KEEP_S:
            await self._read()
        match = _SHOWN.fullmatch(shown)
        key_id, secret = match.groups() if match else ("", "")
        known = self._known.get(key_id)
        right = hmac.compare_digest(_hash(secret), known[0].hash if known else _NOBODY)
        if known is None or not right or known[0].revoked_at is not None:
            return None
        return known[1]

    async def _read(self) -> None:
        before = self._read_at
        async with self._reading:
            if self._read_at != before:
                return  # somebody else has while we waited
            # Of before the query: a key revoked while it runs is seen a moment later.
            at = self._now()
            rows = await self._keys.all()
            self._known = {row.id: (row, _caller(row)) for row in rows}
            self._read_at = at

    def pace(self, key: ApiKey) -> Pace:
        """Count one request of this key; its `allowed` says whether it is let through."""
        now = self._now()
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.per_minute != key.per_minute:
            bucket = self._buckets[key.id] = Bucket(key.per_minute, now)
        if not 0.0 <= now - self._noted.get(key.id, -math.inf) < _NOTE_S:
            self._noted[key.id] = now
            # Beside the request: a reader need not wait for the writer.
            note = asyncio.create_task(self._note(key.id, now))
            self._notes.add(note)
            note.add_done_callback(self._notes.discard)
        return bucket.take(now)

    async def _note(self, key_id: str, now: float) -> None:
        try:
            await self._keys.used([(key_id, now)])
        except StoreError as error:
            log.warning("key_use_not_noted", key=key_id, error=type(error).__name__)

    def forget(self) -> None:
        """Read the keys again at the next call: somebody here has changed them."""
        self._read_at = -math.inf

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._notes)
