"""The visitor's side of a tracked link: `/r/TOKEN` in, 302 out, and the click remembered.

The visitor waits for no disk: links are cached, clicks are written behind their back, and a
store that refuses costs a line in the log but no visitor. Nothing a visitor sends is ever
part of where they are sent. Programs and previews are led on like people and counted apart.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import structlog
from aiohttp import web

from bot.errcodes import Refused, WeChatError
from bot.links import Linker
from bot.oauth import OAuth, States, authorize_url, is_code
from bot.targets import location
from bot.visitors import Visitors, address_of, in_wechat, is_near, kind_of
from handlers.context import SHANGHAI
from store import Store, StoreError
from store.events import AGAIN, Added, NewEvent
from store.links import Fetched, Kind, Target

log = structlog.get_logger()

TWICE_S = 2.0
"""Within this time a second tap of the same person is the same click."""
EXCHANGE_S = 3.0
"""How long a visitor may wait for WeChat to say who they are."""
PAUSE_S = 60.0
"""How long nobody is sent to WeChat after WeChat failed."""

_WAITING = 10_000
_BATCH = 500
# One transaction for all clicks of this time, so that the writer and the visitors meet less
# often; a killed process loses as much.
_TOGETHER_S = 0.1
_FETCHES_S = 1.0
_RETRY_S = 1.0
_CODES = 10_000
# These say something about one visitor's code, and nothing about our settings or WeChat.
_VISITORS_OWN = frozenset({40029, 40163, 41008, 42003})
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Robots-Tag": "noindex, nofollow",
}
_PAGE_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """\
<!doctype html>
<html lang="zh-CN">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{font:16px/1.7 sans-serif;margin:25vh 2em 0;text-align:center;color:#333}}\
h1{{font-size:20px}}p{{color:#777}}</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


class Redirect:
    """The handlers of `/r/`. `close()` writes what is still waiting.

    oauth: the channel whose 网页授权 says who opens a campaign's link; None for none. now:
    Unix seconds. click_param: the name under which the target gets the click's number, ""
    for not at all. flood_per_s: see `Visitors`.
    """

    def __init__(
        self,
        store: Store,
        linker: Linker,
        *,
        now: Callable[[], float],
        oauth: OAuth | None = None,
        click_param: str = "zq",
        flood_per_s: int = 20,
    ) -> None:
        self.clicks = Clicks(store, now=now)
        self._linker = linker
        self._now = now
        self._oauth = oauth
        self._param = click_param
        self._visitors = Visitors(secrets.token_bytes(16), flood_per_s=flood_per_s)
        self._codes: OrderedDict[bytes, None] = OrderedDict()
        self._paused_until = 0.0
        self._doubted = False

    def routes(self) -> list[web.RouteDef]:
        """What the server of the REST API mounts, HEAD included."""
        return [
            web.get("/r/{token}", self.follow),
            web.get("/r/{token}/back", self.back),
            web.get("/r/{rest:.*}", self._nothing),
        ]

    async def close(self) -> None:
        """Write what is still waiting. Call it after the doors closed, before the store does."""
        await self.clicks.close()

    async def follow(self, request: web.Request) -> web.Response:
        """GET /r/TOKEN: on to the target; in WeChat, for a campaign's link, by way of WeChat."""
        token = request.match_info["token"]
        found = await self._arrive(request, token, "")
        if isinstance(found, web.Response):
            return found
        target, url, member_id, person = found
        oauth, now = self._oauth, self._now()
        if (
            oauth is not None
            and member_id == 0
            and now >= self._paused_until
            and in_wechat(request.headers.get("User-Agent", ""))
        ):
            state = self._states().write(token, secrets.token_bytes(16), now)
            uri = f"{self._linker.public_url}/r/{token}/back"
            return _redirect(authorize_url(oauth, uri, state))
        return self._clicked(target, url, member_id, person, secrets.token_bytes(16))

    async def back(self, request: web.Request) -> web.Response:
        """GET /r/TOKEN/back: from WeChat with a code, or without. Never to WeChat again."""
        token = request.match_info["token"]
        found = await self._arrive(request, token, "/back")
        if isinstance(found, web.Response):
            return found
        target, url, member_id, person = found
        # The click's number comes from the state: opened again, it is the same click.
        click = self._states().read(token, request.query.get("state", ""), self._now())
        openid = ""
        if click is not None and member_id == 0:
            openid = await self._openid(click, request.query.get("code", ""))
        click = click or secrets.token_bytes(16)
        return self._clicked(target, url, member_id, person, click, openid)

    async def _nothing(self, _: web.Request) -> web.Response:
        return _no_such_link()

    async def _arrive(
        self, request: web.Request, token: str, rest: str
    ) -> web.Response | tuple[Target, str, int, bytes]:
        """What both paths begin with: (the link, where it leads, member, person) or an answer."""
        read = self._linker.signer.read(token)
        # The path as it was sent: %41 is another spelling of A.
        if read is None or request.raw_path.partition("?")[0] != f"/r/{token}{rest}":
            return _no_such_link()
        link_id, member_id = read
        target = self._linker.cached(link_id)
        if target is None:
            try:
                target = await self._linker.find(link_id)
            except StoreError as error:
                log.error("link_not_read", error=str(error))
                return _page(503, "稍等一下", "服务器有点忙，请过一会儿再打开。")
        if target is None:
            return _no_such_link()
        now = self._now()
        url = self._linker.follows(target, now)
        if not url:
            if target.gone and target.link.revoked_at is None:
                return _page(410, "内容已下架", "这个内容已经下架，请回到聊天里看看别的。")
            return _page(410, "链接已失效", "这个链接已经不能用了，请回到聊天里重新获取。")
        headers = request.headers
        forwarded = ",".join(headers.getall("X-Forwarded-For", ()))
        address = address_of(request.remote, forwarded)
        kind = kind_of(request.method, headers)
        # Counted whoever it is, so that nobody hides a flood behind a changing name.
        if self._visitors.floods(link_id, self._visitors.digest(address), now):
            kind = kind or "bot"
            self._doubt(address)
        if kind is not None:
            self.clicks.fetched(link_id, kind, now)
            return _redirect(location(url))
        person = self._visitors.digest(address, headers.get("User-Agent", ""))
        return target, url, member_id, person

    def _doubt(self, address: str) -> None:
        """Say once when a flood may be a proxy that hides everybody behind itself."""
        if is_near(address) and not self._doubted:
            self._doubted = True
            log.warning(
                "visitors_without_address",
                say="many visitors come from this network's own address and count as programs:"
                " let the proxy send X-Forwarded-For",
            )

    def _clicked(
        self,
        target: Target,
        url: str,
        member_id: int,
        person: bytes,
        click: bytes,
        openid: str = "",
    ) -> web.Response:
        link, now = target.link, self._now()
        number = base64.urlsafe_b64encode(click).rstrip(b"=").decode()
        if openid:
            person = self._visitors.digest("openid", openid)
        first = self._visitors.first(link.id, member_id, person, number, now, TWICE_S)
        # Each way to the shop has a number of its own, for behind one address and the same
        # browser may be two people. A known one's second tap is none; a nameless one may be.
        known = bool(member_id or openid)
        event = NewEvent(
            event_id=f"click:{number}",
            kind="click" if first == number else "view",
            at=now,
            member_id=member_id or None,
            click=number,
            item_id=link.item_id,
            campaign=link.campaign,
            variant=link.variant,
            source=link.source,
            ref=link.ref,
            link_id=link.id,
            data="" if known or first == number else json.dumps({AGAIN: first}),
        )
        channel = self._oauth.channel if self._oauth is not None and openid else ""
        self.clicks.add(event, channel, openid)
        return _redirect(location(url, self._param, number))

    # 网页授权

    def _states(self) -> States:
        return States(self._linker.signer.derive("oauth-state"))

    async def _openid(self, click: bytes, code: str) -> str:
        """Whose code it is; "" when that cannot be learnt. Each click asks once."""
        oauth, now = self._oauth, self._now()
        if oauth is None or not is_code(code) or click in self._codes or now < self._paused_until:
            return ""
        self._codes[click] = None
        if len(self._codes) > _CODES:
            self._codes.popitem(last=False)
        try:
            async with asyncio.timeout(EXCHANGE_S):
                return await oauth.exchange(code)
        except (WeChatError, TimeoutError) as error:
            errcode = error.errcode if isinstance(error, WeChatError) else None
            if isinstance(error, Refused) and errcode in _VISITORS_OWN:
                log.info("oauth_code_refused", channel=oauth.channel, errcode=errcode)
            else:
                # Whoever comes next is led on directly, and not made to wait as well.
                self._paused_until = now + PAUSE_S
                log.warning(
                    "oauth_paused",
                    channel=oauth.channel,
                    errcode=errcode,
                    error=str(error) or "no answer in time",
                    seconds=PAUSE_S,
                )
            return ""


class Clicks:
    """What waits to be written: clicks as events, fetches as counts. In memory until then.

    One transaction at a time takes all that came meanwhile. When the store refuses, the
    clicks stay and are tried again each second; beyond 10,000 waiting, new ones are lost.
    """

    def __init__(self, store: Store, *, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._waiting: deque[tuple[NewEvent, str, str]] = deque()
        self._fetches: Counter[Fetched] = Counter()
        self._lost = 0
        self._refused = False
        self._stopping = asyncio.Event()
        self._clicked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: NewEvent, channel: str = "", openid: str = "") -> None:
        """Take a person's click; returns at once. openid: who it was on `channel`, if known."""
        if len(self._waiting) >= _WAITING:
            self._lost += 1
            return
        self._waiting.append((event, channel, openid))
        self._start()
        self._clicked.set()

    def fetched(self, link_id: int, kind: Kind, now: float) -> None:
        """Count a fetch that was no click; returns at once."""
        day = datetime.fromtimestamp(now, SHANGHAI).date().isoformat()
        self._fetches[link_id, day, kind] += 1
        self._start()

    async def close(self) -> None:
        """Write what is waiting; what the store refuses even now is lost, with a line."""
        self._stopping.set()
        self._clicked.set()
        self._start()
        if self._task is not None:
            await self._task
        left = len(self._waiting) + self._lost
        if left:
            log.error("clicks_lost", clicks=left)

    def _start(self) -> None:
        if (self._task is None or self._task.done()) and (self._waiting or self._fetches):
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting or self._fetches:
            if not self._waiting and not self._refused:
                await _happens(self._clicked, _FETCHES_S)  # counts can wait for company
            self._clicked.clear()
            if len(self._waiting) < _BATCH:
                await _happens(self._stopping, _TOGETHER_S)
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            counts, self._fetches = self._fetches, Counter()
            try:
                await self._write(await self._named(batch), counts)
            except StoreError as error:
                self._waiting.extendleft(reversed(batch))
                self._fetches.update(counts)
                if not self._refused:
                    self._refused = True
                    log.error("clicks_not_stored", waiting=len(self._waiting), error=str(error))
                if self._stopping.is_set():
                    return
                await _happens(self._stopping, _RETRY_S)
                continue
            except Exception as error:  # one bad batch must not end all others
                log.error(
                    "clicks_lost", clicks=len(batch), error=type(error).__name__, exc_info=True
                )
                continue
            if self._refused:
                self._refused = False
                log.info("clicks_stored_again", lost=self._lost)
                self._lost = 0

    async def _named(self, batch: Iterable[tuple[NewEvent, str, str]]) -> list[NewEvent]:
        """The clicks with the members whom WeChat named."""
        events = []
        for event, channel, openid in batch:
            if openid:
                member = self._store.members.known(channel, openid)
                if member is None:
                    member = await self._store.members.meet(channel, openid, event.at)
                event = replace(event, member_id=member.id)
            events.append(event)
        return events

    async def _write(self, events: list[NewEvent], counts: Counter[Fetched]) -> None:
        await self._store.links.count_fetches(counts)
        counts.clear()  # written: not once more when the clicks are refused
        now = self._now()
        told = await self._store.events.add(events, now)
        # Forgotten since their link was made: a click all the same, but nobody's.
        nobodys = [
            replace(event, member_id=None)
            for event, became in zip(events, told, strict=True)
            if became is Added.UNKNOWN
        ]
        await self._store.events.add(nobodys, now)


async def _happens(event: asyncio.Event, within_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()


def _redirect(to: str) -> web.Response:
    return web.Response(status=302, headers={**_HEADERS, "Location": to})


def _no_such_link() -> web.Response:
    return _page(404, "链接无效", "这个链接不完整或者不存在，请回到聊天里重新打开。")


def _page(status: int, title: str, text: str) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=title, text=text),
        content_type="text/html",
        headers=_PAGE_HEADERS,
    )
