"""What a gateway is asked to do, in OneBot 12 and 11, and what its answer means. Pure.

Text only: a picture that WeChat's API knows by a media id is nothing to a gateway, so what
cannot be carried is said in words, and what has no words cannot be said there (ValueError).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errcodes import Action as Todo
from bot.errcodes import Refused, Unheard
from bot.official import TEXT_LIMIT, split_text
from handlers.message import Reply
from store.posts import Post

EVERYBODY = "@all"
"""In `Post.mentions`: all members of the group."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\(([^()\s]*)\)")
_MARKS = re.compile(r"(?m)^[ \t]{0,3}(?:#{1,6}[ \t]+|>[ \t]?)|\*\*|`+|</?font[^<>\n]*>")
_WHOLE = re.compile(r"[1-9]\d{0,17}")


@dataclass(frozen=True, slots=True)
class Action:
    """A request to a gateway."""

    name: str
    params: Mapping[str, Any]

    def frame(self, echo: str) -> str:
        """As it goes over a WebSocket. echo: comes back with the answer."""
        request = {"action": self.name, "params": self.params, "echo": echo}
        return json.dumps(request, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A gateway's answer. ok: None when it does not say so in any way that is understood."""

    echo: str
    ok: bool | None
    retcode: int
    data: Any
    words: str


class GatewayRefused(Refused):
    """The gateway said no: certainly not done. errcode is its retcode.

    action: "send_message". words: the gateway's own, cleaned.
    """

    def __init__(self, action: str, retcode: int, words: str = "") -> None:
        meaning, self.action, todo = _meaning(retcode)
        self.errcode = retcode
        self.errmsg = _shown(words)
        self.msg_id = None
        self.ip = ""
        told = f" ({self.errmsg})" if self.errmsg else ""
        Exception.__init__(self, f"{action}: {retcode}: {meaning}{told}: {todo}")
        self.api = action

    @property
    def chat(self) -> str:
        """What to do, in Chinese, with the code."""
        return f"{_CHAT.get(self.action, _CHAT_ELSE)}（{self.errcode}）"


_REPORT = "report it with the gateway's name and version: zhiqun built a wrong request"
_LOOK = "see the gateway's own log"
_CANNOT = "do it by hand in WeChat: this gateway cannot"
_LOGIN = "see whether its account is logged in, and in this group"
_TOKEN = "compare access_token with the gateway's"  # noqa: S105 - a sentence
_SELF = "set self_id: the gateway serves several accounts"

_CODES: Mapping[int, tuple[str, Todo, str]] = {
    10002: ("it does not know this action", Todo.PERMANENT, _CANNOT),
    10004: ("it does not support a parameter", Todo.PERMANENT, _CANNOT),
    10005: ("it does not support a segment", Todo.PERMANENT, _CANNOT),
    10101: ("it does not know which account is meant", Todo.CONFIG, _SELF),
    10102: ("it does not have this account", Todo.CONFIG, _SELF),
    1401: ("it wants a token", Todo.CONFIG, _TOKEN),
    1403: ("it does not take our token", Todo.CONFIG, _TOKEN),
    1404: ("it does not know this action", Todo.PERMANENT, _CANNOT),
}
_RANGES: tuple[tuple[range, str, Todo, str], ...] = (
    (range(10000, 20000), "it finds the request wrong", Todo.PERMANENT, _REPORT),
    (range(1400, 1500), "it finds the request wrong", Todo.PERMANENT, _REPORT),
    (range(20000, 30000), "it failed inside", Todo.GIVE_UP, _LOOK),
    (range(31000, 33000), "its database or files failed", Todo.GIVE_UP, _LOOK),
    (range(33000, 34000), "its network failed", Todo.GIVE_UP, _LOOK),
    (range(34000, 35000), "WeChat did not let it", Todo.GIVE_UP, _LOGIN),
    (range(35000, 36000), "it does not do this", Todo.GIVE_UP, _LOOK),
    (range(36000, 37000), "it needs a rest", Todo.WAIT_MINUTE, "nothing, unless it lasts"),
)
_CHAT = {
    Todo.PERMANENT: "网关做不到这件事，请在微信里手动处理",
    Todo.CONFIG: "网关的设置需要处理，请看服务器日志里的提示",
    Todo.WAIT_MINUTE: "网关正忙，请过一分钟再试",
}
_CHAT_ELSE = "网关没有做成，请看看它的账号是否还在线"


def _meaning(retcode: int) -> tuple[str, Todo, str]:
    if (found := _CODES.get(retcode)) is not None:
        return found
    for codes, meaning, action, todo in _RANGES:
        if retcode in codes:
            return meaning, action, todo
    # Never by itself a second time: repeats are what gets accounts closed.
    return "it did not do it", Todo.GIVE_UP, _LOGIN


QUOTE_FAULTS = frozenset({10003, 10004, 10005, 10006, 10007, 100, 1400})
"""What gateways say to a quote they cannot make; without it the same words may go."""


def _shown(words: str) -> str:
    # The gateway's words may quote the message; a few of them tell enough.
    return " ".join(_FORBIDDEN.sub("", words).split())[:60]


def answer_of(fields: Mapping[str, Any]) -> Answer | None:
    """The answer to an action; None when this is no answer but an event, or neither."""
    if "type" in fields or "post_type" in fields:
        return None
    status, retcode = fields.get("status"), _number(fields.get("retcode"))
    if retcode is None and not isinstance(status, str):
        return None
    ok: bool | None = None
    if status in ("ok", "async") and retcode in (None, 0, 1):
        ok = True
    elif status == "failed" or retcode not in (None, 0, 1):
        ok = False
    elif retcode == 0 and status is None:
        ok = True
    echo = fields.get("echo")
    words = fields.get("message") or fields.get("wording") or fields.get("msg")
    return Answer(
        echo if isinstance(echo, str) else "",
        ok,
        retcode or 0,
        fields.get("data"),
        words if isinstance(words, str) else "",
    )


def message_id_of(action: str, answer: Answer) -> str:
    """The id of what was sent; "" where the gateway names none (some answer `true`).

    Errors: GatewayRefused; Unheard when it is not clear whether it was done.
    """
    if answer.ok is None:
        raise Unheard(action, "the gateway's answer says neither yes nor no")
    if not answer.ok:
        raise GatewayRefused(action, answer.retcode, answer.words)
    found = answer.data.get("message_id") if isinstance(answer.data, Mapping) else None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and 0 < len(found) <= 128 else ""


def _number(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# --- actions --------------------------------------------------------------------------------


def send_message(
    version: int,
    text: str,
    *,
    group: str = "",
    user: str = "",
    quote: str = "",
    mentions: Iterable[str] = (),
) -> Action:
    """One text to a group, or to one member when there is no group.

    quote: a message_id. mentions: ids, `EVERYBODY` for all; both only in a group.
    """
    old = version == 11
    segments: list[dict[str, Any]] = []
    if group:
        if quote:
            # The id of a quote stays text: where it is no number, a number would be another's.
            segments.append(_segment("reply", {"id" if old else "message_id": quote}))
        for whom in mentions:
            if whom == EVERYBODY:
                segments.append(_segment("at", {"qq": "all"}) if old else _segment("mention_all"))
            elif old:
                segments.append(_segment("at", {"qq": whom}))
            else:
                segments.append(_segment("mention", {"user_id": whom}))
        if len(segments) > bool(quote):
            text = f" {text}"
    segments.append(_segment("text", {"text": text}))
    if old:
        if group:
            return Action("send_group_msg", {"group_id": _old_id(group), "message": segments})
        return Action("send_private_msg", {"user_id": _old_id(user), "message": segments})
    whither = {"detail_type": "group", "group_id": group}
    if not group:
        whither = {"detail_type": "private", "user_id": user}
    return Action("send_message", {**whither, "message": segments})


def delete_message(version: int, message_id: str) -> Action:
    """Take a message back."""
    if version == 11:
        return Action("delete_msg", {"message_id": _old_id(message_id)})
    return Action("delete_message", {"message_id": message_id})


def kick(version: int, group: str, user: str) -> Action:
    """Remove a member. OneBot 12 has no such action; this is the one that Walle added."""
    if version == 11:
        params = {"group_id": _old_id(group), "user_id": _old_id(user)}
        return Action("set_group_kick", {**params, "reject_add_request": False})
    return Action("kick_group_member", {"group_id": group, "user_id": user})


def silence(version: int, group: str, user: str, seconds: int) -> Action:
    """Let a member say nothing for so long; 0 ends it. In OneBot 12 Walle's addition, too."""
    if version == 11:
        params = {"group_id": _old_id(group), "user_id": _old_id(user)}
        return Action("set_group_ban", {**params, "duration": seconds})
    name = "ban_group_member" if seconds else "unban_group_member"
    params = {"group_id": group, "user_id": user}
    return Action(name, {**params, "duration": seconds} if seconds else params)


def _segment(kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"type": kind, "data": dict(data or {})}


def _old_id(value: str) -> int | str:
    """OneBot 11's ids are numbers; bridges to WeChat use text where there is none."""
    return int(value) if _WHOLE.fullmatch(value) else value


# --- words ----------------------------------------------------------------------------------


def reply_texts(reply: Reply) -> list[str]:
    """A reply as texts of at most 2048 bytes. Errors: ValueError when it has no words."""
    if reply.kind == "news":
        cards = [(one.title, one.description, one.url) for one in reply.articles]
        words = "\n\n".join(_card(card) for card in cards)
    elif reply.kind == "text":
        words = reply.content
    else:
        words = _card((reply.title, reply.description, reply.url or reply.hq_url))
    return _texts(words)


def post_texts(post: Post) -> list[str]:
    """A post as texts of at most 2048 bytes. Errors: ValueError when it has no words."""
    if post.kind == "news":
        cards = [(one.title, one.description, one.url) for one in post.articles]
        words = "\n\n".join(filter(None, [post.content, *map(_card, cards)]))
    elif post.kind in ("markdown", "markdown_v2"):
        words = _plain(post.content)
    elif post.kind == "card" and not post.content:
        card = post.card or {}
        title = card.get("main_title")
        parts = [title.get("title"), title.get("desc")] if isinstance(title, Mapping) else []
        parts += [card.get("sub_title_text"), _url(card.get("card_action"))]
        words = _card([part for part in parts if isinstance(part, str)])
    else:
        words = post.content
    return _texts(words)


def _url(action: Any) -> str:
    url = action.get("url") if isinstance(action, Mapping) else None
    return url if isinstance(url, str) else ""


def _card(lines: Sequence[str]) -> str:
    return "\n".join(line.strip() for line in lines if line.strip())


def _plain(markdown: str) -> str:
    """Markdown as a reader of plain text wants it: no marks, addresses behind their words."""
    return _MARKS.sub("", _LINK.sub(_spelt, markdown))


def _spelt(found: re.Match[str]) -> str:
    return " ".join(filter(None, (found[1].strip(), found[2])))


def _texts(words: str) -> list[str]:
    parts = split_text(_FORBIDDEN.sub("", words).strip(), TEXT_LIMIT)
    texts = [part for part in parts if part.strip()]
    if not texts:
        raise ValueError("a gateway carries words only, and this has none")
    return texts
