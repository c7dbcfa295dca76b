"""A OneBot gateway on this machine: groups whose members talk, and a bot's account among them.

The demo and the tests reach zhiqun through it over real HTTP or a reverse WebSocket, in OneBot
12 or 11. It can misbehave in the ways that real gateways do, and in a few worse ones. It shares
no code with the service.

    gateway = FakeGateway("http://127.0.0.1:…/hook/qun", "token of 16 characters")
    gateway.group("12345@chatroom", "读书会", {"wxid_lin": "小林", "wxid_wang": "小王"})
    gateway.on_message(show)                            # called with every Said, the bot's too
    await gateway.connect(keep=True)                    # without it events go by HTTP
    await gateway.say("12345@chatroom", "wxid_lin", "今天有券吗", mention_bot=True)
    gateway.groups["12345@chatroom"].log                # the recent conversation
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

BOT = "wxid_bot"
RECENT = 200
"""Messages of a group that are kept."""


@dataclass(frozen=True)
class Said:
    """One message. group "" in private, where `user` is the member on the other side.

    quotes: a message_id; mentions: ids, "all" for everybody. by_bot: the bot said it.
    """

    group: str
    user: str
    name: str
    text: str
    message_id: str
    at: float
    quotes: str = ""
    mentions: tuple[str, ...] = ()
    by_bot: bool = False


@dataclass
class FakeGroup:
    """A group. members: id -> name; the bot is in it without standing there."""

    id: str
    name: str
    members: dict[str, str]
    log: deque[Said] = field(default_factory=lambda: deque(maxlen=RECENT))
    silenced: dict[str, int] = field(default_factory=dict)


@dataclass
class Faults:
    """What the gateway does wrong.

    double_encoded: bodies are JSON in JSON. no_message_ids, no_event_ids: they are missing.
    same_id: every message has this message_id. clock_off_s: added to every time. data_true: an
    action's answer is `true`. answer_after_s: how long it thinks. no_answers: it never answers.
    hang_up: it closes the socket when asked for something, after doing it. no_segments: kinds it
    refuses. retcode: every action fails with it. cannot: actions it does not know. echoes_own: it
    reports what the bot said as a message, too.
    """

    double_encoded: bool = False
    no_message_ids: bool = False
    no_event_ids: bool = False
    same_id: str = ""
    clock_off_s: float = 0.0
    data_true: bool = False
    answer_after_s: float = 0.0
    no_answers: bool = False
    hang_up: bool = False
    no_segments: tuple[str, ...] = ()
    retcode: int = 0
    cannot: tuple[str, ...] = ()
    echoes_own: bool = False


class FakeGateway:
    """A gateway with one account.

    webhook: the service's address, http. version: 12 or 11. secret: with 11, signs what is posted.
    names: whether events say what people are called, beyond the standard. now: Unix seconds, for
    events. Messages go by the WebSocket while `connect` holds, else by HTTP.
    """

    def __init__(
        self,
        webhook: str,
        token: str,
        *,
        bot: str = BOT,
        version: int = 12,
        secret: str = "",
        names: bool = False,
        faults: Faults | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.webhook = webhook
        self.token = token
        self.bot = bot
        self.version = version
        self.secret = secret
        self.names = names
        self.faults = Faults() if faults is None else faults
        self.groups: dict[str, FakeGroup] = {}
        self.private: dict[str, deque[Said]] = {}
        self.actions: list[dict[str, Any]] = []
        self.statuses: list[int] = []  # of webhook calls
        self.refusal: int | None = None  # HTTP status of the last connection that was refused
        self.closings: list[int | None] = []  # close codes of connections that ended
        self._on_message: list[Callable[[Said], None]] = []
        self._on_member: list[Callable[[str, str, bool], None]] = []
        self._now = now
        self._ids = itertools.count(1)
        self._stir = asyncio.Condition()
        self._session: aiohttp.ClientSession | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.ServerRunner | None = None

    # The people

    def group(
        self, group_id: str, name: str = "", members: Mapping[str, str] | None = None
    ) -> FakeGroup:
        """Make a group; nobody is told."""
        self.groups[group_id] = FakeGroup(group_id, name or group_id, dict(members or {}))
        return self.groups[group_id]

    def on_message(self, call: Callable[[Said], None]) -> None:
        """Call this with every message from now on, members' and the bot's."""
        self._on_message.append(call)

    def on_member(self, call: Callable[[str, str, bool], None]) -> None:
        """Call this with group, id, and whether they came, whenever somebody comes or goes."""
        self._on_member.append(call)

    async def say(
        self,
        group: str,
        user: str,
        text: str,
        *,
        mention_bot: bool = False,
        mentions: tuple[str, ...] = (),
        quote: str = "",
    ) -> Said:
        """A member says something in a group. quote: a message_id of it."""
        whom = (self.bot, *mentions) if mention_bot else mentions
        said = self._note(group, user, text, quotes=quote, mentions=whom)
        await self.send(self.message_event(said))
        return said

    async def whisper(self, user: str, text: str) -> Said:
        """A member writes to the bot in private."""
        said = self._note("", user, text)
        await self.send(self.message_event(said))
        return said

    async def join(self, group: str, user: str, name: str = "", *, by: str = "") -> None:
        """Somebody comes into the group, invited by a member when `by` is given."""
        self.groups[group].members[user] = name or user
        self._tell(group, user, came=True)
        kind = ("group_member_increase", "invite" if by else "join")
        if self.version == 11:
            kind = ("group_increase", "invite" if by else "approve")
        await self.send(self.notice_event(*kind, group, user, operator_id=by or user))

    async def leave(self, group: str, user: str, *, by: str = "") -> None:
        """Somebody leaves, or is removed by a member."""
        self._tell(group, user, came=False)
        self.groups[group].members.pop(user, None)
        name = "group_decrease" if self.version == 11 else "group_member_decrease"
        why = "kick" if by else "leave"
        await self.send(self.notice_event(name, why, group, user, operator_id=by or user))

    async def invite_bot(self, group: str, by: str) -> None:
        """A member takes the bot's account into the group."""
        name = "group_increase" if self.version == 11 else "group_member_increase"
        await self.send(self.notice_event(name, "invite", group, self.bot, operator_id=by))

    async def remove_bot(self, group: str, by: str) -> None:
        """A member throws the bot's account out."""
        old = self.version == 11
        name, why = ("group_decrease", "kick_me") if old else ("group_member_decrease", "kick")
        await self.send(self.notice_event(name, why, group, self.bot, operator_id=by))

    async def take_back(self, said: Said) -> None:
        """A member recalls a message of theirs."""
        name = "group_recall" if self.version == 11 else "group_message_delete"
        event = self.notice_event(name, "recall", said.group, said.user, operator_id=said.user)
        await self.send({**event, "message_id": said.message_id})

    async def heard(self, group: str = "", user: str = "", timeout_s: float = 5.0) -> Said:
        """The bot's first message there that comes from now on. Errors: TimeoutError."""
        found: asyncio.Future[Said] = asyncio.get_running_loop().create_future()

        def look(said: Said) -> None:
            there = said.group == group and (not user or said.user == user)
            if said.by_bot and there and not found.done():
                found.set_result(said)

        self._on_message.append(look)
        try:
            async with asyncio.timeout(timeout_s):
                return await found
        finally:
            self._on_message.remove(look)

    async def until(self, ready: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait until something about this gateway is so. Errors: TimeoutError."""
        async with asyncio.timeout(timeout_s), self._stir:
            await self._stir.wait_for(ready)

    def _tell(self, group: str, user: str, *, came: bool) -> None:
        for call in list(self._on_member):
            call(group, user, came)

    def _note(
        self,
        group: str,
        user: str,
        text: str,
        *,
        quotes: str = "",
        mentions: tuple[str, ...] = (),
        by_bot: bool = False,
    ) -> Said:
        names = self.groups[group].members if group else {}
        name = "机器人" if by_bot else names.get(user, user)
        message_id = self.faults.same_id or str(next(self._ids))
        said = Said(group, user, name, text, message_id, self._now(), quotes, mentions, by_bot)
        log = self.groups[group].log if group else self._private(user)
        log.append(said)
        for call in list(self._on_message):
            call(said)
        return said

    def _private(self, user: str) -> deque[Said]:
        return self.private.setdefault(user, deque(maxlen=RECENT))

    # Events

    def message_event(self, said: Said) -> dict[str, Any]:
        """The event that tells of a message."""
        old = self.version == 11
        parts: list[dict[str, Any]] = []
        if said.quotes:
            name = "id" if old else "message_id"
            parts.append({"type": "reply", "data": {name: said.quotes}})
        for whom in said.mentions:
            if old:
                parts.append({"type": "at", "data": {"qq": whom}})
            elif whom == "all":
                parts.append({"type": "mention_all", "data": {}})
            else:
                parts.append({"type": "mention", "data": {"user_id": whom}})
        text = f" {said.text}" if said.mentions else said.text
        parts.append({"type": "text", "data": {"text": text}})
        event = self._event("message", "group" if said.group else "private")
        event |= {"message": parts, "user_id": said.user}
        event["raw_message" if old else "alt_message"] = said.text
        if said.group:
            event["group_id"] = said.group
        if not self.faults.no_message_ids:
            event["message_id"] = said.message_id
        if old or self.names:
            event["sender"] = {"user_id": said.user, "nickname": said.name}
        return event

    def notice_event(
        self, detail: str, sub_type: str, group: str, user: str, *, operator_id: str
    ) -> dict[str, Any]:
        """The event that tells of something that happened in a group."""
        event = self._event("notice", detail)
        who: dict[str, Any] = {"group_id": group, "user_id": user, "operator_id": operator_id}
        if self.names and user in self.groups[group].members:
            who["sender"] = {"user_id": user, "nickname": self.groups[group].members[user]}
        return event | {"sub_type": sub_type} | who

    def _event(self, kind: str, detail: str) -> dict[str, Any]:
        at = self._now() + self.faults.clock_off_s
        if self.version == 11:
            name = "notice_type" if kind == "notice" else "message_type"
            return {"time": int(at), "self_id": self.bot, "post_type": kind, name: detail}
        event = {
            "id": f"e-{next(self._ids)}",
            "self": {"platform": "wechat", "user_id": self.bot},
            "time": at,
            "type": kind,
            "detail_type": detail,
            "sub_type": "",
        }
        if self.faults.no_event_ids:
            del event["id"]
        return event

    def _meta(self, detail: str) -> dict[str, Any]:
        if self.version == 11:
            meta = {"meta_event_type": "lifecycle" if detail == "connect" else detail}
            return {"time": int(self._now()), "self_id": self.bot, "post_type": "meta_event"} | meta
        event = {"id": f"e-{next(self._ids)}", "time": self._now(), "type": "meta", "sub_type": ""}
        version = {"impl": "fake", "version": "1.0.0", "onebot_version": "12"}
        return event | {"detail_type": detail, "version": version, "interval": 5000}

    # The wire

    @property
    def connected(self) -> bool:
        """Whether the reverse WebSocket is open."""
        return self._ws is not None and not self._ws.closed

    async def connect(self, *, keep: bool = False) -> bool:
        """Open the reverse WebSocket; False when the service refuses.

        keep: connect again half a second after each end, until `close`.
        """
        if keep and self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
            return True
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        protocols = ["12.fake"]
        if self.version == 11:
            headers |= {"X-Self-ID": self.bot, "X-Client-Role": "Universal"}
            protocols = []
        try:
            self._ws = await self._http().ws_connect(
                self.webhook.replace("http", "ws", 1), headers=headers, protocols=protocols
            )
        except aiohttp.WSServerHandshakeError as error:
            self.refusal = error.status
            return False
        self._reader = asyncio.create_task(self._read(self._ws))
        await self.send_raw(json.dumps(self._meta("connect")))
        return True

    async def _keep(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                if not self.connected:
                    await self.connect()
            await asyncio.sleep(0.5)

    async def disconnect(self, *, rudely: bool = False) -> None:
        """Close the WebSocket; rudely: without a word."""
        ws, self._ws = self._ws, None
        if ws is None:
            return
        if rudely and self._session is not None:
            # Its sockets go away below the WebSocket, which has no time to say so.
            await self._session.close()
            self._session = None
        await ws.close()

    async def close(self) -> None:
        """End everything."""
        if self._keeper is not None:
            self._keeper.cancel()
        await self.disconnect()
        tasks = [*self._tasks, *filter(None, (self._reader, self._keeper))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def send(self, event: Mapping[str, Any]) -> None:
        """Tell the service of an event, by the WebSocket while it is open, else by HTTP."""
        body = json.dumps(event)
        if self.faults.double_encoded:
            body = json.dumps(body)
        if self.connected:
            await self.send_raw(body)
        else:
            await self.push(body.encode())

    async def send_raw(self, frame: str | bytes) -> None:
        """Any frame, however bad. Errors: those of a connection that has ended."""
        assert self._ws is not None, "connect first"
        if isinstance(frame, str):
            await self._ws.send_str(frame)
        else:
            await self._ws.send_bytes(frame)

    async def push(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Any body to the webhook; gives the status, which `statuses` gets, too."""
        sent = {"Content-Type": "application/json"}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.version == 11:
            sent["X-Self-ID"] = self.bot
            if self.secret:
                mac = hmac.new(self.secret.encode(), body, hashlib.sha1).hexdigest()
                sent["X-Signature"] = f"sha1={mac}"
        merged = {**sent, **(headers or {})}
        async with self._http().post(self.webhook, data=body, headers=merged) as response:
            self.statuses.append(response.status)
            return response.status

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in ws:
            if frame.type is aiohttp.WSMsgType.TEXT:
                self._later(self._asked_by_socket(ws, json.loads(frame.data)))
        self.closings.append(ws.close_code)
        async with self._stir:
            self._stir.notify_all()

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _asked_by_socket(
        self, ws: aiohttp.ClientWebSocketResponse, request: dict[str, Any]
    ) -> None:
        answer = await self._do(request["action"], request.get("params", {}))
        if self.faults.hang_up:
            await ws.close()
        elif not self.faults.no_answers:
            with suppress(ConnectionError):
                await ws.send_str(json.dumps({**answer, "echo": request.get("echo")}))

    async def listen(self) -> str:
        """Take actions by HTTP as well; gives the address (`api_url`)."""
        self._runner = web.ServerRunner(web.Server(self._asked_by_http, handler_cancellation=True))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _asked_by_http(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=403)  # real ones do, instead of 401
        body = json.loads(await request.read())
        if self.version == 11:
            answer = await self._do(request.path.strip("/"), body)
        else:
            answer = await self._do(body["action"], body.get("params", {}))
        if self.faults.no_answers:
            await asyncio.sleep(60)
        return web.json_response(answer)

    # Actions

    async def _do(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        self.actions.append({"action": action, "params": params})
        answer = self._done(action, params)
        async with self._stir:
            self._stir.notify_all()
        if self.faults.answer_after_s:
            await asyncio.sleep(self.faults.answer_after_s)
        return answer

    def _done(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        kinds = {part["type"] for part in params.get("message", ())}
        if self.faults.retcode:
            return _failed(self.faults.retcode)
        if action in self.faults.cannot:
            return _failed(1404 if self.version == 11 else 10002)
        if kinds & set(self.faults.no_segments):
            return _failed(10005)
        group, user = str(params.get("group_id", "")), str(params.get("user_id", ""))
        if group and group not in self.groups:
            return _failed(35000)
        if action in ("send_message", "send_group_msg", "send_private_msg"):
            return self._sent(group, user, params["message"])
        if action in ("kick_group_member", "set_group_kick"):
            self._later(self.leave(group, user, by=self.bot))
        elif action in ("ban_group_member", "set_group_ban"):
            self.groups[group].silenced[user] = params["duration"]
        elif action in ("unban_group_member",):
            self.groups[group].silenced.pop(user, None)
        elif action not in ("delete_message", "delete_msg"):
            return _failed(1404 if self.version == 11 else 10002)
        return _ok(None)

    def _sent(self, group: str, user: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        text, quotes, mentions = "", "", []
        for part in parts:
            data = part["data"]
            if part["type"] == "text":
                text += data["text"]
            elif part["type"] == "reply":
                quotes = data.get("message_id") or data.get("id", "")
            else:
                mentions.append(data.get("user_id") or data.get("qq", "all"))
        said = self._note(
            group, user, text.strip(), quotes=quotes, mentions=tuple(mentions), by_bot=True
        )
        if self.faults.echoes_own and group and self.connected:
            event = self.message_event(said) | {"user_id": self.bot}
            self._later(self.send(event))
        if self.faults.data_true:
            return _ok(True)
        return _ok({"message_id": said.message_id, "time": said.at})


def _ok(data: Any) -> dict[str, Any]:
    return {"status": "ok", "retcode": 0, "data": data, "message": ""}


def _failed(retcode: int) -> dict[str, Any]:
    return {"status": "failed", "retcode": retcode, "data": None, "message": "no"}
