"""The page's groups: one that a gateway hears, its members' private chats, and one to be posted to.

The visitor chooses who speaks. What they say leaves by the fake gateway, as a member's phone would
send it; what the bot answers, welcomes or posts comes back by it and by the fake of WeCom. Members
here are ids of the gateway: the same face in the official account is somebody else to zhiqun.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from sandbox.fake_gateway import FakeGateway, Said
from sandbox.fake_qyapi import FakeQyapi, Posted
from sandbox.phone import Phone, Refused, text_of

GROUP = "group"
BOARD = "board"
"""The rooms of the page that are not somebody's private chat; those are called by the id."""

_KEPT = 300
_QUOTED = 60
_PICTURES = {"image": "[图片]", "file": "[文件]", "voice": "[语音]"}
_SYSTEM = ""


@dataclass(frozen=True)
class Example:
    """What the page offers to do. act: "say" `text` in the group, or "flood", or "join"."""

    label: str
    text: str = ""
    act: str = "say"


@dataclass(frozen=True)
class Speaker:
    """Somebody in the group. id: on the gateway's network."""

    id: str
    name: str
    role: str
    colour: str


@dataclass(frozen=True)
class Names:
    """What things are called. bot: behind an "@"."""

    group: str
    board: str
    bot: str


class GroupRooms:
    """The groups on a phone page; make it before the page is started.

    group: an id that the gateway knows. robot: the key of the robot that posts to the board.
    newcomers: names of who may still come in. flood: what one person writes at once.
    """

    def __init__(
        self,
        phone: Phone,
        gateway: FakeGateway,
        qyapi: FakeQyapi,
        *,
        group: str,
        robot: str,
        names: Names,
        people: Sequence[Speaker],
        newcomers: Sequence[Speaker],
        examples: Mapping[str, Sequence[Example]],
        flood: Sequence[str],
    ) -> None:
        self.group = group
        self._phone = phone
        self._gateway = gateway
        self._robot = robot
        self._names = names
        self._examples = examples
        self._flood_words = flood
        self._left = list(newcomers)
        self._faces = {one.id: one for one in people}
        self._lines: list[dict[str, Any]] = []
        self._by_message: dict[str, dict[str, Any]] = {}
        self._count = 0
        members = gateway.group(group, names.group, {one.id: one.name for one in people}).members
        gateway.on_message(self._on_said)
        gateway.on_member(self._on_member)
        qyapi.robot(robot)
        qyapi.listeners.append(self._on_posted)
        phone.app.router.add_get("/api/groups", self._state)
        phone.add_act("group_say", self._say, members)
        phone.add_act("group_whisper", self._whisper, members)
        phone.add_act("group_flood", self._flood, members)
        phone.add_act("group_join", self._join, members)

    @property
    def _members(self) -> dict[str, str]:
        return self._gateway.groups[self.group].members

    # What the page is told

    async def _state(self, _request: web.Request) -> web.Response:
        state = {
            "names": asdict(self._names),
            "people": self._people(),
            "lines": self._lines,
        }
        return web.json_response(state)

    def _people(self) -> list[dict[str, Any]]:
        return [
            {
                **asdict(self._faces[one]),
                "examples": [asdict(example) for example in self._offered(self._faces[one].role)],
            }
            for one in self._members
        ]

    def _offered(self, role: str) -> Iterable[Example]:
        """The examples of a role; who came in by the button is a member as the others are."""
        for example in self._examples.get(role, ()):
            if example.act != "join" or self._left:
                yield example

    def _on_said(self, said: Said) -> None:
        if said.group not in ("", self.group):
            return
        face = self._faces.get(said.user)
        names = {**self._members, self._gateway.bot: self._names.bot, "all": "所有人"}
        mentions = [f"@{names.get(one, one)} " for one in said.mentions]
        line = {
            "room": GROUP if said.group else said.user,
            "who": "" if said.by_bot or face is None else face.id,
            "name": self._names.bot if said.by_bot else names.get(said.user, said.user),
            "colour": "" if said.by_bot or face is None else face.colour,
            "text": "".join((*mentions, said.text)),
            "at": said.at,
            "bot": said.by_bot,
            "message": said.message_id,
        }
        quoted = self._by_message.get(said.quotes)
        if quoted is not None:
            line["quotes"] = {"name": quoted["name"], "text": quoted["text"][:_QUOTED]}
        self._by_message[said.message_id] = self._add(line)

    def _on_member(self, group: str, user: str, came: bool) -> None:
        if group != self.group:
            return
        name = self._members.get(user, user)
        # Called while they are still in it: those who go are no longer when the page asks.
        soon = f"（几秒后{self._names.bot}会欢迎，一起来的放在一条里）"
        self._system(f"{name} 加入了群聊{soon}" if came else f"{name} 离开了群聊")
        people = [one for one in self._people() if came or one["id"] != user]
        self._phone.announce("members", people)

    def _on_posted(self, posted: Posted) -> None:
        if posted.key != self._robot:
            return
        line = {"name": self._names.bot, "who": "", "colour": "", "bot": True, "message": ""}
        self._add({"room": BOARD, "text": posted_text(posted.body), "at": posted.at, **line})

    def _system(self, text: str) -> None:
        self._add({"room": GROUP, "text": text, "at": self._phone.fake.now(), "name": _SYSTEM})

    def _add(self, line: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        line["id"] = self._count
        self._lines.append(line)
        for old in self._lines[:-_KEPT]:
            self._by_message.pop(old.get("message", ""), None)
        del self._lines[:-_KEPT]
        self._phone.announce("said", line)
        return line

    # What the visitor does

    def _may_speak(self, who: str) -> None:
        if self._gateway.groups[self.group].silenced.get(who):
            raise Refused(409, "被禁言了，过一会儿再说")

    async def _say(self, who: str, body: Mapping[str, Any]) -> None:
        text = text_of(body, "text")
        quote = body.get("quote", "")
        if not isinstance(quote, str) or (quote and quote not in self._by_message):
            raise Refused(404, "引用的那条已经不在了")
        self._may_speak(who)
        others = {name: one for one, name in self._members.items()}
        words, whom = mentioned(text, {**others, self._names.bot: self._gateway.bot})
        to_bot = self._gateway.bot in whom
        whom = tuple(one for one in whom if one != self._gateway.bot)
        await self._phone.deliver(
            self._gateway.say(
                self.group, who, words, mention_bot=to_bot, mentions=whom, quote=quote
            )
        )

    async def _whisper(self, who: str, body: Mapping[str, Any]) -> None:
        await self._phone.deliver(self._gateway.whisper(who, text_of(body, "text")))

    async def _flood(self, who: str, _body: Mapping[str, Any]) -> None:
        self._may_speak(who)

        async def all_at_once() -> None:
            for words in self._flood_words:
                await self._gateway.say(self.group, who, words)

        await self._phone.deliver(all_at_once())

    async def _join(self, _who: str, _body: Mapping[str, Any]) -> None:
        if not self._left:
            raise Refused(409, "人都到齐了")
        model = self._left.pop(0)
        # A new id each time: who comes again after a restart of the demo would be no newcomer.
        came = Speaker(f"{model.id}_{secrets.token_hex(3)}", model.name, model.role, model.colour)
        self._faces[came.id] = came
        await self._phone.deliver(self._gateway.join(self.group, came.id, came.name))


def mentioned(text: str, names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text without the "@name " of people who are there, and their ids, each once.

    names: name -> id. As on a phone: what is typed by hand and names nobody stays text.
    """
    longest = sorted(names, key=len, reverse=True)
    found = re.compile(f"@({'|'.join(map(re.escape, longest))})(?:[\\s\u2005]+|$)")
    whom = [names[hit[1]] for hit in found.finditer(text)]
    return found.sub("", text).strip(), tuple(dict.fromkeys(whom))


def posted_text(body: Mapping[str, Any]) -> str:
    """What people read of a group robot's message."""
    kind = str(body.get("msgtype"))
    content = body.get(kind)
    if not isinstance(content, Mapping):
        return ""
    if kind == "news":
        cards = (one for one in content.get("articles", ()))
        return "\n".join(f"{one.get('title', '')}\n{one.get('url', '')}" for one in cards)
    if kind == "template_card":
        title = content.get("main_title") or {}
        return "\n".join(filter(None, (title.get("title", ""), title.get("desc", ""))))
    return str(content.get("content") or _PICTURES.get(kind, ""))
