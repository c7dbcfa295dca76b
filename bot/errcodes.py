"""WeChat's error codes: what each means, what zhiqun does, what an operator does.

One table, and the three errors made from it. Their difference is what a sender lives by:
`Refused` was certainly not done, `Unreachable` never left this machine, `Unheard` left and
nobody knows. Nothing here talks to the network. An error's text never carries an openid,
a token or a secret. The codes and actions are those of WeChat's own tables; the same table
for people is docs/errors.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

STABLE_TOKEN = "stable_token"  # noqa: S105 - the API's name
"""The API that hands out tokens: there, a bad credential means a bad configuration."""


class Action(Enum):
    """What is to be done about an error; the value says it to people.

    RETRY: the same call again, after 1, 2, 4 … s, five tries. REFRESH_TOKEN: the client did
    that already when a caller sees it; once more after a minute. WAIT_MINUTE, and
    STOP_API_UNTIL_TOMORROW: the client refuses this API itself until then. GIVE_UP: this
    member cannot be reached now. CONFIG: an operator must act. PERMANENT: the same call can
    only fail again. ALREADY_DONE: as good as success. LEAVE_UNKNOWN: never repeat by itself.
    """

    RETRY = "tries again after 1, 2, 4 … s"
    REFRESH_TOKEN = "fetches a token once, repeats the call once"  # noqa: S105 - a name
    WAIT_MINUTE = "leaves this API alone for 60 s, then goes on"
    STOP_API_UNTIL_TOMORROW = "stops using this API until 00:00 in Shanghai"
    GIVE_UP = "gives up for this member until the member writes again"
    CONFIG = "stops and says so: only you can change it"
    PERMANENT = "does not repeat the call"
    ALREADY_DONE = "takes it as done"
    LEAVE_UNKNOWN = "lists it as unknown, never repeats it by itself"


@dataclass(frozen=True, slots=True)
class Code:
    """One errcode. todo: what an operator does; "{ip}" stands for the address WeChat saw."""

    meaning: str
    action: Action
    todo: str


_RETRY, _REFRESH, _MINUTE = Action.RETRY, Action.REFRESH_TOKEN, Action.WAIT_MINUTE
_TOMORROW, _GIVE_UP, _CONFIG = Action.STOP_API_UNTIL_TOMORROW, Action.GIVE_UP, Action.CONFIG
_NEVER, _DONE = Action.PERMANENT, Action.ALREADY_DONE
_NOTHING = "nothing"
_REPORT = "report it: zhiqun built a wrong call"
_VERIFY = "see the API rights (接口权限) in the console; most need a verified account"

CODES: Mapping[int, Code] = {
    -1: Code("WeChat is busy", _RETRY, "nothing, unless it lasts for hours"),
    40001: Code(
        "the access token is not the newest", _REFRESH, "let no other program force new tokens"
    ),
    40002: Code("the grant type is wrong", _NEVER, _REPORT),
    40003: Code("this openid does not follow the account", _GIVE_UP, _NOTHING),
    40004: Code("the media type is not allowed", _NEVER, "send image, voice, video or thumb"),
    40005: Code("the file type is not allowed", _NEVER, "convert the file"),
    40006: Code("the file is too large", _NEVER, "make it smaller: 10 MB, voice 2 MB"),
    40007: Code("the media id is unknown or expired", _NEVER, "upload the media again"),
    40008: Code("the message type is not allowed", _NEVER, _REPORT),
    40009: Code("the picture is too large", _NEVER, "make it smaller: 10 MB"),
    40010: Code("the voice file is too large", _NEVER, "make it smaller: 2 MB, 60 s"),
    40011: Code("the video is too large", _NEVER, "make it smaller: 10 MB"),
    40012: Code("the thumbnail is too large", _NEVER, "make it smaller: 64 KB"),
    40013: Code("the AppID is wrong", _CONFIG, "check app_id of the channel"),
    40014: Code("the access token is invalid", _REFRESH, "let no other program force new tokens"),
    40016: Code("the menu has too many buttons", _NEVER, "keep 1 to 3 at the top, 5 below each"),
    40017: Code("a menu button's type is unknown", _NEVER, "check type of the channel's menu"),
    40018: Code("a menu button's name is too long", _NEVER, "16 bytes at the top, 60 below"),
    40019: Code("a menu button's key is too long", _NEVER, "at most 128 bytes"),
    40020: Code("a menu button's url is too long", _NEVER, "at most 1024 bytes"),
    40023: Code("a menu has too many buttons below one", _NEVER, "at most 5 below each"),
    40029: Code("the visitor's code is not valid", _NEVER, _NOTHING),
    40031: Code("the list of openids is invalid", _NEVER, _REPORT),
    40032: Code("the list of openids is too long", _NEVER, _REPORT),
    40033: Code("the text has characters WeChat refuses", _NEVER, "take odd characters out"),
    40037: Code("the template id is unknown", _NEVER, "choose a template of this account"),
    40054: Code("a menu button's url is invalid", _NEVER, "check url of the channel's menu"),
    40059: Code("the mass message's id is unknown", _NEVER, "wait for its finish event"),
    40066: Code("this address is no API", _CONFIG, "check api_base of the channel"),
    40097: Code("an argument is wrong", _NEVER, _REPORT),
    40125: Code("the AppSecret is wrong", _CONFIG, "copy app_secret from the console again"),
    40130: Code("a mass send needs two members at least", _NEVER, "add a second member"),
    40163: Code("the visitor's code was used already", _NEVER, _NOTHING),
    40164: Code(
        "this server's address is not on the IP allow-list",
        _CONFIG,
        "add {ip} to the whitelist (IP白名单) in the console",
    ),
    41001: Code("the access token was not sent", _NEVER, _REPORT),
    41008: Code("the visitor came without a code", _NEVER, _NOTHING),
    42001: Code("the access token has expired", _REFRESH, _NOTHING),
    42003: Code("the visitor's code has expired", _NEVER, _NOTHING),
    42007: Code("the member changed their password", _GIVE_UP, _NOTHING),
    43001: Code("the API wants GET", _NEVER, _REPORT),
    43002: Code("the API wants POST", _NEVER, _REPORT),
    43004: Code("the receiver does not follow the account", _GIVE_UP, _NOTHING),
    43019: Code("the receiver is on the account's blacklist", _GIVE_UP, _NOTHING),
    43101: Code("the member has not subscribed to this notice", _GIVE_UP, _NOTHING),
    43116: Code("the template was disabled for violations", _CONFIG, "see the console's notices"),
    43117: Code("too many notices to this member", _GIVE_UP, "send fewer"),
    44002: Code("the request was empty", _NEVER, _REPORT),
    44003: Code("the news message has no article", _NEVER, _REPORT),
    44004: Code("the text is empty", _NEVER, "look for a blank answer in texts or FAQ"),
    45002: Code("the text is too long", _NEVER, "shorten it: 2048 bytes"),
    45008: Code("too many articles", _NEVER, "send one"),
    45009: Code(
        "this API's calls for today are used up",
        _TOMORROW,
        "wait, or clear the quota (清零) in the console and restart",
    ),
    45011: Code("too many calls in this minute", _MINUTE, _NOTHING),
    45015: Code("the member's 48 hours are over, or they unfollowed", _GIVE_UP, _NOTHING),
    45028: Code("no mass sends left", _TOMORROW, "wait for the next period"),
    45029: Code("too many permanent QR codes", _NEVER, "use temporary ones"),
    45047: Code("the member's 5 messages are used up", _GIVE_UP, _NOTHING),
    45056: Code("the account has 100 tags already", _NEVER, "delete unused tags"),
    45057: Code("the tag has too many members to delete it", _NEVER, "untag members first"),
    45058: Code("WeChat's own tags cannot be changed", _NEVER, "use another tag"),
    45059: Code("the member has 20 tags already", _NEVER, "remove one"),
    45065: Code("this mass send was submitted before", _DONE, _NOTHING),
    45066: Code("the same mass send was repeated too fast", _MINUTE, _NOTHING),
    45067: Code("the mass send's own id is too long", _NEVER, _REPORT),
    45080: Code("the typing sign was sent already", _NEVER, _NOTHING),
    45081: Code("no typing sign without a fresh message", _NEVER, _NOTHING),
    45083: Code("the sending speed is out of range", _NEVER, "choose 0 to 4"),
    45084: Code("the sending speed is missing", _NEVER, _REPORT),
    45157: Code("a tag of this name exists", _NEVER, "choose another name"),
    45158: Code("the tag's name is too long", _NEVER, "at most 30 bytes"),
    45159: Code("the tag does not exist", _NEVER, "read the tags again"),
    46003: Code("the account has no menu", _NEVER, "push one: /menu push"),
    46004: Code("the member does not exist", _GIVE_UP, _NOTHING),
    47001: Code("WeChat cannot read the request", _NEVER, _REPORT),
    47003: Code("the template's values do not fit", _NEVER, "check the template's fields"),
    48001: Code("the account may not use this API", _CONFIG, _VERIFY),
    48002: Code("the member switched messages off", _GIVE_UP, _NOTHING),
    48003: Code("the mass send agreement is not signed", _CONFIG, "accept it in the console"),
    48004: Code("WeChat has banned this API for the account", _CONFIG, "see the console's notices"),
    48006: Code("the quota was cleared too often this month", _TOMORROW, "wait"),
    48008: Code("the account may not send this kind of message", _CONFIG, _VERIFY),
    49003: Code("the openid belongs to another account", _GIVE_UP, "check app_id of the channel"),
    50002: Code("WeChat has restricted the account", _CONFIG, "see the console's notices"),
    50005: Code("the receiver does not follow the account any more", _GIVE_UP, _NOTHING),
    65303: Code("a menu for some needs a menu for all first", _NEVER, "push one: /menu push"),
}
"""errcode -> what it means and what to do."""

TOKEN_CODES: Mapping[int, Code] = {
    40001: Code("the AppSecret is wrong", _CONFIG, "copy app_secret from the console again"),
}
"""Codes that mean something else when the token itself is asked for."""

UNKNOWN = Code("an error zhiqun does not know", _NEVER, "look the code up in WeChat's 全局返回码")

_RID = re.compile(r"(?:\brid:\s*|\bhint:\s*\[)([\w./-]{1,64})\]?")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}:[0-9a-fA-F:]+")
# Openids have 28 characters, secrets 32, tokens well over 100.
_LONG = re.compile(r"[\w-]{24,}")


def code_of(errcode: int, api: str) -> Code:
    """The table's entry; `UNKNOWN` for a code that is not in it."""
    found = TOKEN_CODES.get(errcode) if api == STABLE_TOKEN else None
    return found or CODES.get(errcode, UNKNOWN)


class WeChatError(Exception):
    """WeChat's API did not do what was asked; the sentence says what to do next.

    api: "message/custom/send". errcode: None when there is none. errmsg: WeChat's words,
    cleaned. rid: WeChat's trace id, "" when there is none. chat: one Chinese sentence for
    the operator in the chat.
    """

    errcode: int | None = None
    errmsg: str = ""
    rid: str = ""
    action: Action

    def __init__(self, api: str, text: str) -> None:
        super().__init__(f"{api}: {text}")
        self.api = api

    @property
    def chat(self) -> str:
        """What to do, in Chinese, without details that belong into the log."""
        return _CHAT_ACTIONS[self.action]


class Refused(WeChatError):
    """WeChat answered with an errcode: certainly not done.

    msg_id: with 45065 the mass send's id from its first submission, else None.
    """

    errcode: int

    def __init__(self, api: str, errcode: int, errmsg: str = "", msg_id: int | None = None) -> None:
        code = code_of(errcode, api)
        found = _RID.search(errmsg)
        self.rid = found[1] if found else ""
        self.errmsg = _cleaned(_RID.sub("", errmsg))
        self.errcode = errcode
        self.action = code.action
        self.msg_id = msg_id
        seen = _IPV4.search(self.errmsg) or _IPV6.search(self.errmsg)
        self.ip = seen[0] if seen and errcode == 40164 else ""
        meaning = code.meaning
        if code is UNKNOWN and self.errmsg:
            meaning = f"{meaning} ({self.errmsg})"
        todo = code.todo.format(ip=self.ip or "the address of this server")
        trace = f" (rid {self.rid})" if self.rid else ""
        super().__init__(api, f"{errcode}: {meaning}: {todo}{trace}")

    @property
    def chat(self) -> str:
        """What to do, in Chinese, with the code."""
        text = _CHAT_CODES.get(self.errcode) or _CHAT_ACTIONS[self.action]
        return f"{text.format(ip=self.ip or '服务器的地址')}（{self.errcode}）"


class Unreachable(WeChatError):
    """It did not get to WeChat: no connection, no token, no store. May be tried again."""

    action = Action.RETRY

    def __init__(self, api: str, reason: str, todo: str = "check the network and api_base") -> None:
        super().__init__(api, f"never left: {reason}: {todo}")
        self.reason = reason
        self.todo = todo


class Unheard(WeChatError):
    """It was sent and no answer came that can be understood: nobody knows whether it was done."""

    action = Action.LEAVE_UNKNOWN

    def __init__(self, api: str, reason: str) -> None:
        super().__init__(api, f"outcome unknown: {reason}: look before repeating it")
        self.reason = reason


def _cleaned(errmsg: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in errmsg[:500])
    return _LONG.sub("…", " ".join(printable.split()))[:200]


_CHAT_ACTIONS: Mapping[Action, str] = {
    Action.RETRY: "暂时连不上微信，请过一会儿再试",
    Action.REFRESH_TOKEN: "微信不认当前的凭证，请过一分钟再试",
    Action.WAIT_MINUTE: "操作太频繁，请过一分钟再试",
    Action.STOP_API_UNTIL_TOMORROW: "这个接口今天的次数用完了，请明天再试",
    Action.GIVE_UP: "现在联系不上这位成员",
    Action.CONFIG: "公众号的设置需要处理，请看服务器日志里的提示",
    Action.PERMANENT: "微信不接受这个请求，请看服务器日志里的提示",
    Action.ALREADY_DONE: "之前已经提交过了",
    Action.LEAVE_UNKNOWN: "微信没有回音，请先看看是否已经生效再重试",
}
_CHAT_CODES: Mapping[int, str] = {
    40013: "AppID 不对，请检查配置里的 app_id",
    40125: "AppSecret 不对，请检查配置里的 app_secret",
    40164: "请在公众平台的 IP 白名单里加上 {ip}",
    48001: "这个公众号没有此接口的权限，请在公众平台的「接口权限」里查看",
    40016: "菜单按钮太多：一级最多 3 个，每个下面最多 5 个",
    40018: "菜单名字太长：一级最多 5 个汉字",
    40023: "菜单按钮太多：每个一级按钮下面最多 5 个",
    40054: "菜单里有网址不对，请检查配置里的 url",
}
