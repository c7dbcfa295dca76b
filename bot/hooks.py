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

from bot import targets
from store import Store, StoreError
from store.hooks import DEAD, TOPICS, Telling

log = structlog.get_logger()

PARALLEL = 16
"""Calls under way at a time, at most two of them to one receiver."""

TIMEOUT_S = 10.0
_LOOK_S = 1.0
_PREFIX = "whsec_"
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


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
    if why := targets.problem(url):
        raise BadHook(f"url: {why}")
    parts = urlsplit(url)
    if parts.scheme.lower() != "https" and not allow_private:
        raise BadHook("url: must begin with https://")
    if parts.fragment:
        raise BadHook("url: has a part behind #, which is never sent")
    if not allow_private and _is_private(parts.hostname or ""):
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
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _COMPATIBLE or address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return not address.is_global or (inner is not None and not inner.is_global)
    return not address.is_global


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
        self._calls: set[asyncio.Task[None]] = set()

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
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        ) as session:
            try:
                await self._work(session)
                await asyncio.gather(*self._calls)
            finally:
                for call in list(self._calls):
                    call.cancel()

    async def _work(self, session: aiohttp.ClientSession) -> None:
        recovered = False
        while not self._closing:
            self._something.clear()
            try:
                if not recovered:
                    await self._store.hooks.recover()
                    recovered = True
                await self._begin(session)
            except StoreError as error:
                if self._store.closing:
                    return
                log.error("hooks_stopped", error=str(error))
            try:
                async with asyncio.timeout(self._look_s):
                    await self._something.wait()
            except TimeoutError:
                continue

    async def _begin(self, session: aiohttp.ClientSession) -> None:
        """Begin to tell what is due, as far as there is room."""
        room = PARALLEL - len(self._calls)
        # Looked for by a reader: a claim would be a write, every second, for nothing.
        if not room or not await self._store.hooks.due(self._now()):
            return
        for telling in await self._store.hooks.claim(self._now(), room):
            call = asyncio.create_task(self._tell(session, telling))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._something.set()

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
        except Exception as error:  # noqa: BLE001 - whatever an address does, the others go on
            note = type(error).__name__ if not str(error) else str(error)[:200]
        try:
            ended = await self._store.hooks.settle(
                telling, not note, self._now(), http_status=status, note=note, final=status == 410
            )
        except StoreError as error:
            # Still `sending`: the next start tells it again.
            log.error("hook_not_settled", delivery=telling.id, error=str(error))
            return
        if ended == DEAD:
            log.warning("hook_dead", delivery=telling.id, hook=telling.hook_id, why=note)
