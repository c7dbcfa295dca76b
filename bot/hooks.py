"""Webhooks out: signed, queued, tried again with growing pauses, never to a private address.

Signed as the Standard Webhooks specification says, so that receivers find a library:
`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64(HMAC-SHA256(key,
id.timestamp.body))`. A telling may arrive twice and out of order; the id tells.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from store import Store, StoreError
from store.hooks import DEAD, TOPICS, Telling

log = structlog.get_logger()

PARALLEL = 4
TIMEOUT_S = 10.0
MAX_URL = 2000
_LOOK_S = 1.0
_PREFIX = "whsec_"


class BadHook(ValueError):
    """A webhook that cannot be; the message says what to change."""


def new_secret() -> str:
    """A fresh signing secret, "whsec_…" with 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. secret: as `new_secret` makes it."""
    raw = base64.b64decode(secret.removeprefix(_PREFIX))
    text = f"{key}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(raw, text, hashlib.sha256)).decode()


def checked(url: str, topics: Sequence[str], *, allow_private: bool) -> None:
    """Errors: BadHook when the address or a topic cannot be used.

    A name that leads to a private address is only found out when it is looked up; the
    connection is refused then.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadHook("url: is no address") from None
    if len(url) > MAX_URL or any(ord(char) <= 32 or char == "\\" for char in url):
        raise BadHook("url: holds blanks or is too long")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise BadHook("url: must begin with https://")
    if not host or parts.username is not None or parts.fragment or port == 0:
        raise BadHook("url: needs a host, and neither a user name nor a fragment")
    if not allow_private and _is_private(host):
        raise BadHook("url: leads into a private network; hooks.allow_private would allow it")
    if not topics:
        raise BadHook("topics: name at least one")
    for topic in topics:
        if topic not in TOPICS:
            raise BadHook(f"topics: there is no {topic[:40]!r}; there are {', '.join(TOPICS)}")


def _is_private(host: str) -> bool:
    """Whether a literal address (or "localhost") is not one of the open internet."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global


class _PublicOnly(AbstractResolver):
    """Names resolved as usual, private addresses left out: checked where one connects."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [one for one in found if not _is_private(one["host"])]
        if not public:
            raise OSError("leads into a private network")
        return public

    async def close(self) -> None:
        await self._inner.close()


class HookRunner:
    """The worker that empties `hook_deliveries`.

    now: Unix seconds. allow_private: see `[hooks]` in the configuration.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], float],
        allow_private: bool = False,
        look_s: float = _LOOK_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._store = store
        self._now = now
        self._allow_private = allow_private
        self._look_s = look_s
        self._timeout_s = timeout_s
        self._something = asyncio.Event()
        self._closing = False

    def wake(self) -> None:
        """Something may be due."""
        self._something.set()

    def close(self) -> None:
        """End after what is under way."""
        self._closing = True
        self._something.set()

    async def run(self) -> None:
        """Work until `close`."""
        resolver = None if self._allow_private else _PublicOnly()
        connector = aiohttp.TCPConnector(
            limit=PARALLEL, keepalive_timeout=10.0, resolver=resolver, use_dns_cache=False
        )
        recovered = False
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        ) as session:
            while not self._closing:
                self._something.clear()
                try:
                    if not recovered:
                        await self._store.hooks.recover()
                        recovered = True
                    while not self._closing and await self._round(session):
                        pass
                except StoreError as error:
                    if self._store.closing:
                        return
                    log.error("hooks_stopped", error=str(error))
                try:
                    async with asyncio.timeout(self._look_s):
                        await self._something.wait()
                except TimeoutError:
                    continue

    async def _round(self, session: aiohttp.ClientSession) -> bool:
        """Tell what is due, some at a time; says whether there was anything."""
        # Looked for by a reader: a claim would be a write, every second, for nothing.
        if not await self._store.hooks.due(self._now()):
            return False
        claimed = await self._store.hooks.claim(self._now(), PARALLEL)
        await asyncio.gather(*(self._tell(session, telling) for telling in claimed))
        return bool(claimed)

    async def _tell(self, session: aiohttp.ClientSession, telling: Telling) -> None:
        body = telling.body.encode()
        timestamp = int(self._now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "zhiqun",
            "webhook-id": telling.key,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(telling.secret, telling.key, timestamp, body),
        }
        status, note = None, ""
        try:
            if not self._allow_private and _is_private(urlsplit(telling.url).hostname or ""):
                raise OSError("leads into a private network")
            async with session.post(
                telling.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                if not 200 <= status < 300:
                    note = f"answered {status}"
        except TimeoutError:
            note = f"no answer in {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            note = type(error).__name__ if not str(error) else str(error)[:200]
        ended = await self._store.hooks.settle(
            telling,
            not note,
            self._now(),
            http_status=status,
            note=note,
            final=status == 410,
        )
        if ended == DEAD:
            log.warning("hook_dead", delivery=telling.id, hook=telling.hook_id, why=note)
