"""The phone: a page that shows the fake WeChat to a person, and the wire beside it.

It serves one static page, the pictures and articles that were sent, a stream of events and a
few POSTs that let the people on the page act as members: write, click, hold a phone before
another's picture. It listens on the loopback address only, answers only requests that name it by a
loopback Host (a hostile site cannot reach it by DNS rebinding) and refuses POSTs that come
from other sites. No answer waits for a delivery: bubbles and wire entries arrive by the
stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.codes import NoCode, read
from sandbox.fake_mass import ARTICLES, PICTURES
from sandbox.fake_platform import FakeMember, Received, WireEntry
from sandbox.fake_wechat import FakeWeChat

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/phone.js": ("phone.js", "text/javascript"),
    "/phone.css": ("phone.css", "text/css"),
    "/groups.js": ("groups.js", "text/javascript"),
    "/groups.css": ("groups.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_WIRE_TEXT = 20_000  # characters of one body that the page gets
_CHAT = 300  # bubbles kept per person
_QUEUE = 1_000  # events a stalled page may fall behind before its stream is cut
_TEXT_MAX = 5_000
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}

SUGGESTIONS = ("怎么退款", "课程", "1", "转人工", "我的数据")
Act = Callable[[str, Mapping[str, Any]], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Person:
    """Somebody the visitor may be. suggestions: what the page offers to send."""

    openid: str
    name: str
    role_text: str
    avatar_colour: str
    suggestions: tuple[str, ...] = SUGGESTIONS


@dataclass(frozen=True)
class Link:
    """A link in the page's head ("健康检查", "http://127.0.0.1:…/healthz")."""

    label: str
    url: str


class Refused(Exception):
    """A POST the page may not make now; the text is shown to the visitor."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Phone:
    """The page and its routes for one fake WeChat.

    people: the members to play; those the fake does not know yet start as strangers who
    do not follow. title: the account's name. menu: buttons shown until the service
    creates its own by the API; WeChat's own shape. links: shown in the page's head.
    """

    def __init__(
        self,
        fake: FakeWeChat,
        people: Sequence[Person],
        *,
        title: str = "知群学堂",
        menu: Sequence[Mapping[str, Any]] = (),
        links: Sequence[Link] = (),
    ) -> None:
        self.fake = fake
        self.title = title
        self.links = tuple(links)
        self._people = {person.openid: person for person in people}
        self._menu = [dict(button) for button in menu]
        self._chats: dict[str, list[dict[str, Any]]] = {openid: [] for openid in self._people}
        self._bubbles = 0
        self._streams: set[asyncio.Queue[bytes | None]] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._runner: web.AppRunner | None = None
        self._files = {
            path: ((_PAGE / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
        }
        for openid in self._people:
            fake.members.setdefault(openid, FakeMember(followed=False))
        fake.wire_listeners.append(self._on_wire)
        fake.inbox_listeners.append(self._on_received)
        self.app = web.Application(client_max_size=64 * 1024, middlewares=[self._guard])
        for path in _FILES:
            self.app.router.add_get(path, self._file)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_get("/media/{id}", self._media)
        self.app.router.add_get("/article/{id}", self._article)
        self.app.router.add_get("/api/state", self._state)
        self.add_act("send", self._send)
        self.add_act("link", self._link)
        self.add_act("follow", self._follow)
        self.add_act("unfollow", self._unfollow)
        self.add_act("click", self._click)
        self.add_act("view", self._view)
        self.add_act("scan", self._scan)
        self.app.on_shutdown.append(self._end_streams)

    def add_act(self, name: str, act: Act, among: Container[object] | None = None) -> None:
        """Serve POST /api/`name`: `act(openid, body)` checks, then its result is delivered.

        The body is a JSON object with `who`, one of `among`; None: of the people of this page.
        For more pages: add acts before `start`.
        """
        known = self._people if among is None else among

        async def post(request: web.Request) -> web.Response:
            return await self._post(request, act, known)

        self.app.router.add_post(f"/api/{name}", post)

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1; returns the URL to open. port 0: any free one."""
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        """Stop listening, end the streams, drop deliveries that are under way."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Guarding

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        if name.lower() not in _LOOPBACK:
            return web.Response(status=421, text="open this page as http://127.0.0.1:PORT/")
        if request.method == "POST":
            origin = request.headers.get("Origin")
            site = request.headers.get("Sec-Fetch-Site", "same-origin")
            if origin not in (None, f"http://{host}") or site not in ("same-origin", "none"):
                return web.Response(status=403, text="this page takes no orders from other sites")
            if request.content_type != "application/json":
                return web.Response(status=415, text="send JSON")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    # Reading

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _media(self, request: web.Request) -> web.Response:
        """A picture that was sent to somebody; nosniff keeps it one."""
        data = self.fake.file(request.match_info["id"]) or b""
        kind = next((kind for magic, kind in _PICTURES.items() if data.startswith(magic)), "")
        if not kind:
            raise web.HTTPNotFound(text="no such picture")
        return web.Response(body=data, content_type=kind)

    async def _article(self, request: web.Request) -> web.Response:
        """An article of a mass send, as WeChat would show it; nothing in it can run."""
        article = self.fake.mass.articles.get(request.match_info["id"])
        if article is None:
            raise web.HTTPNotFound(text="no such article")
        title = escape(article["title"])
        content = article["content"].replace(PICTURES, "/media/")
        page = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{content}"
        return web.Response(text=page, content_type="text/html")

    async def _state(self, _request: web.Request) -> web.Response:
        people = [
            {
                "openid": person.openid,
                "name": person.name,
                "role": person.role_text,
                "colour": person.avatar_colour,
                "suggestions": person.suggestions,
                "followed": self.fake.members[person.openid].followed,
                "chat": self._chats[person.openid],
            }
            for person in self._people.values()
        ]
        state = {
            "title": self.title,
            "kind": "服务号" if self.fake.account.kind == "service" else "订阅号",
            "links": [asdict(link) for link in self.links],
            "menu": self._buttons(),
            "people": people,
            "wire": [_wire_json(entry) for entry in list(self.fake.wire)[-100:]],
        }
        return web.json_response(state, dumps=_dumps)

    def _buttons(self) -> list[dict[str, Any]]:
        menu = self.fake.menu
        return self._menu if menu is None else list(menu["button"])

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        response.content_type = "text/event-stream"
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
        self._streams.add(queue)
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            while True:
                event: bytes | None = b":\n\n"  # keeps the connection open through quiet times
                with contextlib.suppress(TimeoutError):
                    event = await asyncio.wait_for(queue.get(), 15)
                if event is None:
                    break
                await response.write(event)
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._streams.discard(queue)
        return response

    async def _end_streams(self, _app: web.Application) -> None:
        for queue in list(self._streams):
            self._end(queue)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._streams.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def announce(self, event: str, data: Any) -> None:
        """Send an event to every open page; a page that fell far behind must reload."""
        line = f"event: {event}\ndata: {_dumps(data)}\n\n".encode()
        for queue in list(self._streams):
            try:
                queue.put_nowait(line)
            except asyncio.QueueFull:
                self._end(queue)

    # What happens on the platform

    def _on_wire(self, entry: WireEntry) -> None:
        self.announce("wire", _wire_json(entry))
        if entry.done and "/cgi-bin/menu/" in entry.title:
            self.announce("menu", self._buttons())

    def _on_received(self, openid: str, received: Received) -> None:
        self._add(openid, {"side": "in", "at": received.at} | _received_json(received))

    def _add(self, openid: str, bubble: dict[str, Any]) -> None:
        if openid not in self._chats:
            return
        self._bubbles += 1
        bubble |= {"id": self._bubbles, "who": openid}
        chat = self._chats[openid]
        chat.append(bubble)
        del chat[:-_CHAT]
        self.announce("bubble", bubble)

    def _announce_person(self, openid: str) -> None:
        followed = self.fake.members[openid].followed
        self.announce("person", {"openid": openid, "followed": followed})

    # What the visitor does

    async def _post(self, request: web.Request, act: Act, known: Container[object]) -> web.Response:
        try:
            try:
                body = await request.json()
            except ValueError:
                raise Refused(400, "请求不是 JSON") from None
            who = body.get("who") if isinstance(body, dict) else None
            if not isinstance(who, str) or who not in known:
                raise Refused(404, "没有这个人")
            await act(who, body)
        except Refused as refusal:
            return web.json_response({"error": refusal.text}, status=refusal.status, dumps=_dumps)
        return web.json_response({"ok": True}, status=202)

    async def deliver(self, delivery: Coroutine[Any, Any, object]) -> None:
        """Start a delivery and let it take its first step, so that what it says is seen."""
        task = asyncio.create_task(delivery)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)

    def _out(self, openid: str, kind: str, text: str) -> None:
        self._add(openid, {"side": "out", "kind": kind, "text": text, "at": self.fake.now()})

    def _need_followed(self, openid: str) -> None:
        if not self.fake.members[openid].followed:
            raise Refused(409, "还没有关注这个公众号，先点「关注」")

    async def _send(self, openid: str, body: Mapping[str, Any]) -> None:
        text = text_of(body, "text")
        self._need_followed(openid)
        self._out(openid, "text", text)
        await self.deliver(self.fake.send_text(openid, text))

    async def _link(self, openid: str, body: Mapping[str, Any]) -> None:
        text = text_of(body, "text")
        self._need_followed(openid)
        self._out(openid, "text", text)
        await self.deliver(self.fake.click_link(openid, text, str(body.get("id", "1"))))

    async def _follow(self, openid: str, body: Mapping[str, Any]) -> None:
        if self.fake.members[openid].followed:
            raise Refused(409, "已经关注了")
        self._out(openid, "system", "你关注了该公众号")
        scene = str(body.get("scene", ""))[:64]
        await self.deliver(self.fake.follow(openid, scene))
        self._announce_person(openid)

    async def _unfollow(self, openid: str, _body: Mapping[str, Any]) -> None:
        self._need_followed(openid)
        self._out(openid, "system", "你取消了关注")
        await self.deliver(self.fake.unfollow(openid))
        self._announce_person(openid)

    async def _click(self, openid: str, body: Mapping[str, Any]) -> None:
        key = text_of(body, "key")
        self._need_followed(openid)
        self._out(openid, "system", f"点击菜单「{self._name_of(key)}」")
        await self.deliver(self.fake.click_menu(openid, key))

    async def _view(self, openid: str, body: Mapping[str, Any]) -> None:
        url = text_of(body, "url")
        self._need_followed(openid)
        await self.deliver(self.fake.send_event(openid, "VIEW", url))

    async def _scan(self, openid: str, body: Mapping[str, Any]) -> None:
        """Hold this person's phone before a picture on somebody's screen."""
        data = self.fake.file(text_of(body, "media"))
        if data is None:
            raise Refused(404, "没有这张图片")
        try:
            content = await asyncio.to_thread(read, data)
        except NoCode:
            raise Refused(409, "这张图片里没有二维码") from None
        if not self.fake.knows_code(content):
            raise Refused(409, f"这个二维码不是关注码，或者已经过期：{content[:60]}")
        followed = self.fake.members[openid].followed
        self._out(openid, "system", "你扫了二维码" if followed else "你扫码关注了该公众号")
        await self.deliver(self.fake.scan_code(openid, content))
        self._announce_person(openid)

    def _name_of(self, key: str) -> str:
        for button in self._buttons():
            for one in [button, *(button.get("sub_button") or [])]:
                if one.get("key") == key:
                    return str(one.get("name"))
        return key


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A text of a POST's body. Errors: Refused for none, and for one that is too long."""
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(400, "内容是空的")
    if len(value) > _TEXT_MAX:
        raise Refused(400, f"太长了，最多 {_TEXT_MAX} 个字")
    # A lone surrogate is legal in JSON but cannot leave as UTF-8.
    return value.encode(errors="replace").decode()


def _wire_json(entry: WireEntry) -> dict[str, Any]:
    shown = asdict(entry)
    for name, value in shown.items():
        if isinstance(value, str) and len(value) > _WIRE_TEXT:
            shown[name] = f"{value[:_WIRE_TEXT]} …（共 {len(value)} 个字符）"
    return shown


def _received_json(received: Received) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": received.kind,
        "text": received.content,
        "route": received.route,
        "articles": [
            {
                **one,
                "url": one["url"].replace(ARTICLES, "/article/", 1),
                "picurl": one["picurl"].replace(PICTURES, "/media/", 1),
            }
            for one in received.articles
        ],
    }
    if received.kind == "msgmenu":
        part = received.raw["msgmenu"]
        rows = [row for row in part["list"] if isinstance(row, dict)]
        shown["menu"] = {
            "head": str(part.get("head_content", "")),
            "options": [
                {"id": str(row.get("id", "")), "content": str(row.get("content", ""))}
                for row in rows
            ],
            "tail": str(part.get("tail_content", "")),
        }
    return shown
