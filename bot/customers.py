"""The customer contact (客户联系) of a WeCom company: its groups, and mass sends into them.

`Customers` makes the calls, with a token of its own and errors that say whether a call was
refused, never left, or nobody knows. `CustomerWay` is what the jobs in `scheduler/` see of it. A
mass send is a task: WeCom makes it and an employee confirms it. It has no name under which it
could be asked for twice, so a call that nobody heard of stays unknown.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import aiohttp

from bot.client import CallCounter, Sealed, encoded
from bot.errcodes import Action, Code, Refused, Unheard, Unreachable, WeChatError
from bot.group_robot import Files, cut
from bot.group_settings import QYAPI
from bot.qyapi import CODES as QYAPI_CODES
from bot.qyapi import Qyapi, WeComRefused
from bot.token_keeper import Outcome, TokenKeeper, TokenStore
from handlers.context import SHANGHAI
from scheduler.customer_groups import Asked, CustomerGroup
from scheduler.sending import End, Sent
from store import StoreError
from store.assets import Asset, Upload, kind_of
from store.customer_groups import MOST_GROUPS
from store.customer_members import Person
from store.customer_messages import Attachment, CustomerMessage, check, message_from_json
from store.customer_tasks import Result

TOKEN = "/cgi-bin/gettoken"  # noqa: S105 - a path
UPLOAD = "/cgi-bin/media/upload"
LIST = "/cgi-bin/externalcontact/groupchat/list"
GET = "/cgi-bin/externalcontact/groupchat/get"
ASK = "/cgi-bin/externalcontact/add_msg_template"
TASK = "/cgi-bin/externalcontact/get_groupmsg_task"
RESULT = "/cgi-bin/externalcontact/get_groupmsg_send_result"
REMIND = "/cgi-bin/externalcontact/remind_groupmsg_send"
CANCEL = "/cgi-bin/externalcontact/cancel_groupmsg_send"

LIST_LIMIT = 1000
RESULT_LIMIT = 500
MOST_PAGES = 200
"""A list is never longer: 200,000 groups."""

IMAGE_BYTES = 10 * 1024 * 1024
MEDIA_S = 3 * 86_400.0
LINK_TITLE_BYTES = 128
LINK_TEXT_BYTES = 512
PROGRAM_TITLE_BYTES = 64
LONGEST_NAME = 64

GONE = (40050, 49008)
"""There is no such group, or it was dissolved."""

_BAD_MEDIA = 40007
_CONFIG, _NEVER, _MINUTE = Action.CONFIG, Action.PERMANENT, Action.WAIT_MINUTE
_REFRESH = Action.REFRESH_TOKEN
_REPORT = "report it: zhiqun built a wrong call"
_SECRET = "copy the secret of 客户联系 again"  # noqa: S105 - a sentence

CODES: Mapping[int, Code] = {
    **QYAPI_CODES,
    40001: Code("the secret is wrong", _CONFIG, _SECRET),
    40009: Code("the picture is too large", _NEVER, "make it smaller: 10 MB"),
    40013: Code("the CorpID is wrong", _CONFIG, "check corp_id of the channel"),
    40014: Code("the access token is invalid", _REFRESH, "nothing, unless it stays so"),
    40050: Code("there is no such group", _NEVER, "nothing"),
    40056: Code("the agent id is wrong", _CONFIG, _SECRET),
    40058: Code("an argument is wrong or too long", _NEVER, _REPORT),
    40091: Code("the secret is wrong", _CONFIG, _SECRET),
    40096: Code("the outside contact is unknown", _NEVER, "nothing"),
    41001: Code("the access token was not sent", _NEVER, _REPORT),
    41048: Code("nobody can get this message", _NEVER, "see who owns the groups"),
    42001: Code("the access token has expired", _REFRESH, "nothing"),
    45009: Code("too many calls", _MINUTE, "nothing, unless it lasts for hours"),
    48002: Code(
        "this secret may not use the API", _CONFIG, "allow it in 客户联系, 可调用接口的应用"
    ),
    49008: Code("the group was dissolved", _NEVER, "nothing"),
    60011: Code(
        "this employee or group is out of reach for the secret",
        _CONFIG,
        "let 客户联系 and the app see them",
    ),
    60020: Code(
        "this server's address is not allowed",
        _CONFIG,
        "add {ip} to the app's trusted addresses (企业可信IP)",
    ),
    60111: Code("there is no such employee", _NEVER, "see who owns the group"),
    84061: Code("the contact is no friend of the employee", _NEVER, "nothing"),
    84074: Code("the employee may not use 客户联系", _NEVER, "give them the right in 客户联系"),
}
"""errcode -> what it means in customer contact and what to do."""

_CHAT: Mapping[int, str] = {
    40001: "客户联系的 secret 不对，请重新复制到配置里",
    40013: "corp_id 不对，请检查配置",
    40014: "企业微信不认当前的凭证，请过一分钟再试",
    41048: "没有可以发送的客户群",
    42001: "企业微信不认当前的凭证，请过一分钟再试",
    48002: "这个 secret 没有客户联系的接口权限",
    60011: "客户联系的可见范围不包括这位员工或这个群",
    60020: "服务器的 IP 不在企业可信 IP 里",
    84074: "这位员工没有客户联系的权限",
}
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")


class CustomersRefused(WeComRefused):
    """WeCom's customer contact answered with an errcode: certainly not done."""

    def __init__(self, api: str, errcode: int, errmsg: str = "") -> None:
        super().__init__(api, errcode, errmsg)
        code = CODES.get(errcode)
        if code is not None:
            self.action = code.action
            seen = _IP.search(self.errmsg)
            todo = code.todo.format(ip=seen[0] if seen else "the address of this server")
            self.args = (f"{api}: {errcode}: {code.meaning}: {todo}",)

    @property
    def chat(self) -> str:
        """What to do, in Chinese, with the code."""
        words = _CHAT.get(self.errcode)
        return f"{words}（{self.errcode}）" if words else super().chat


class Customers:
    """One company's customer contact. Errors of all calls: WeChatError.

    files: `store.assets`. now: Unix seconds. timeout_s: for one exchange; a call is four at the
    very most. observe: path and errcode of every exchange. observe_token: how each need of a
    token ended.
    """

    def __init__(
        self,
        channel: str,
        corp_id: str,
        secret: Sealed,
        *,
        session: aiohttp.ClientSession,
        tokens: TokenStore,
        quota: CallCounter,
        files: Files,
        now: Callable[[], float],
        api_base: str = QYAPI,
        timeout_s: float = 10.0,
        observe: Callable[[str, int], None] = lambda path, errcode: None,
        observe_token: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.channel = channel
        self._corp_id = corp_id
        self._secret = secret
        self._files = files
        self._quota = quota
        self._now = now
        self._api = Qyapi(session, api_base=api_base, timeout_s=timeout_s, observe=observe)
        self._keeper = TokenKeeper(
            channel, self._fetch_token, tokens, self._count, now, observe_token
        )

    async def check_credentials(self) -> None:
        """Ask for a token, cached or not. Errors: WeChatError."""
        await self._keeper.fetch()

    # Groups

    async def groups(self) -> list[str]:
        """Chat ids of all groups that the secret may see, in WeCom's order."""
        rows = await self._pages(LIST, {"status_filter": 0, "limit": LIST_LIMIT}, "group_chat_list")
        return [chat_id for row in rows if (chat_id := _text(row.get("chat_id")))]

    async def group(self, chat_id: str) -> CustomerGroup | None:
        """One group with all who are in it; None when there is no such group any more."""
        try:
            answer = await self._call(GET, {"chat_id": chat_id, "need_name": 1})
        except CustomersRefused as error:
            if error.errcode in GONE:
                return None
            raise
        found = answer.get("group_chat")
        if not isinstance(found, Mapping) or not isinstance(found.get("member_list"), list):
            # Taken for an empty group, it would have everybody leave.
            raise Unheard(_name(GET), "the answer has no group_chat with a member_list")
        people = tuple(
            _person(one) for one in _maps(found["member_list"]) if _text(one.get("userid"))
        )
        return CustomerGroup(chat_id, _line(found.get("name")), _text(found.get("owner")), people)

    # Tasks

    async def ask(self, sender: str, chat_ids: Sequence[str], message: CustomerMessage) -> Asked:
        """Ask for a mass send into groups that `sender` owns; at most 2,000.

        Errors: WeChatError; ValueError for a message that cannot be said there.
        """
        check(message)
        if not 1 <= len(chat_ids) <= MOST_GROUPS:
            raise ValueError(f"{len(chat_ids)} groups; a task takes 1 to {MOST_GROUPS}")
        try:
            return await self._ask(sender, chat_ids, message)
        except CustomersRefused as error:
            if error.errcode != _BAD_MEDIA:
                raise
        # They were there for three days, they say; once more, with new ones.
        for one in message.attachments:
            if one.asset_id is not None:
                asset, _ = await self._asset(one.asset_id)
                known = await self._files.uploaded(asset, self.channel, "temporary", self._now())
                if known is not None:
                    await self._files.lost(asset, self.channel, "temporary", known.media_id)
        return await self._ask(sender, chat_ids, message)

    async def _ask(self, sender: str, chat_ids: Sequence[str], message: CustomerMessage) -> Asked:
        body: dict[str, Any] = {
            "chat_type": "group",
            "sender": sender,
            "chat_id_list": list(chat_ids),
            "allow_select": False,
        }
        if message.text.strip():
            body["text"] = {"content": message.text.strip()}
        if message.attachments:
            body["attachments"] = [await self._attached(one) for one in message.attachments]
        answer = await self._call(ASK, body)
        msgid = _text(answer.get("msgid"))
        if not msgid:
            raise Unheard(_name(ASK), "the answer has no msgid")
        failed = answer.get("fail_list")
        names = failed if isinstance(failed, list) else []
        return Asked(msgid, tuple(one for one in names if isinstance(one, str)))

    async def _attached(self, one: Attachment) -> dict[str, Any]:
        media_id = "" if one.asset_id is None else await self._uploaded(one.asset_id)
        match one.kind:
            case "image":
                return {"msgtype": "image", "image": {"media_id": media_id}}
            case "miniprogram":
                program = {
                    "title": cut(one.title, PROGRAM_TITLE_BYTES),
                    "pic_media_id": media_id,
                    "appid": one.app_id,
                    "page": one.page,
                }
                return {"msgtype": "miniprogram", "miniprogram": program}
        link = {"title": cut(one.title, LINK_TITLE_BYTES), "url": one.url}
        if one.description:
            link["desc"] = cut(one.description, LINK_TEXT_BYTES)
        if one.picture_url:
            link["picurl"] = one.picture_url
        return {"msgtype": "link", "link": link}

    async def confirmed(self, msgid: str, sender: str) -> bool:
        """Whether the employee has confirmed it."""
        for row in await self._pages(TASK, {"msgid": msgid, "limit": LIST_LIMIT}, "task_list"):
            if row.get("userid") == sender:
                return row.get("status") == 2
        return False

    async def results(self, msgid: str, sender: str) -> list[Result]:
        """What became of a task in each of its groups; [] before WeCom knows of any."""
        wanted = {"msgid": msgid, "userid": sender, "limit": RESULT_LIMIT}
        rows = await self._pages(RESULT, wanted, "send_list")
        return [
            Result(chat_id, _RESULTS.get(str(row.get("status")), "waiting"), _moment(row))
            for row in rows
            if (chat_id := _text(row.get("chat_id")))
        ]

    async def remind(self, msgid: str) -> None:
        """Remind the employee; WeCom does so three times a day at most."""
        await self._call(REMIND, {"msgid": msgid})

    async def cancel(self, msgid: str) -> None:
        """Take back what the employee has not sent."""
        await self._call(CANCEL, {"msgid": msgid})

    # Pictures

    async def _asset(self, asset_id: int) -> tuple[Asset, bytes]:
        data = await self._files.data(asset_id)
        mime = kind_of(data)
        if not mime:
            raise ValueError("a picture is gone, or neither PNG nor JPEG")
        if len(data) > IMAGE_BYTES:
            raise ValueError("a picture is over 10 MB")
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
        return Asset(asset_id, "", mime, digest, len(data), 0.0, ""), data

    async def _uploaded(self, asset_id: int) -> str:
        asset, data = await self._asset(asset_id)
        known = await self._files.uploaded(asset, self.channel, "temporary", self._now())
        if known is not None:
            return known.media_id

        def form() -> aiohttp.FormData:
            made = aiohttp.FormData()
            made.add_field("media", data, filename=asset.filename, content_type=asset.mime)
            return made

        try:
            answer = await self._call(UPLOAD, form, type="image")
        except Unheard as error:
            # Whatever became of the upload: nothing was asked for.
            raise Unreachable(error.api, error.reason) from None
        media_id = _text(answer.get("media_id"))
        if not media_id:
            raise Unreachable(_name(UPLOAD), "the answer has no media_id")
        upload = Upload(media_id, "", self._now() + MEDIA_S)
        await self._files.keep(asset, self.channel, "temporary", upload)
        return media_id

    # The wire

    async def _pages(self, path: str, wanted: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        """All rows of a list, page after page. A list that never ends is not heard."""
        rows: list[dict[str, Any]] = []
        cursor, seen = "", {""}
        for _ in range(MOST_PAGES):
            page = {**wanted, "cursor": cursor} if cursor else wanted
            answer = await self._call(path, page)
            found = answer.get(name)
            if not isinstance(found, list) and found is not None:
                raise Unheard(_name(path), f"{name} is no list")
            rows += _maps(found or [])
            cursor = _text(answer.get("next_cursor"))
            if not cursor:
                return rows
            if cursor in seen:
                break
            seen.add(cursor)
        raise Unheard(_name(path), "its pages have no end")

    async def _call(
        self,
        path: str,
        body: Mapping[str, Any] | Callable[[], aiohttp.FormData],
        **query: str,
    ) -> dict[str, Any]:
        """Call an API; once more with a new token when WeCom refuses the old one."""
        token = await self._token_for(path)
        made = body if callable(body) else encoded(body)
        try:
            return await self._asked(path, made, token, query)
        except CustomersRefused as error:
            if error.action is not Action.REFRESH_TOKEN:
                raise
            refused = error
        newer = await self._token_for(path, failed=token)
        if newer == token:
            raise refused
        return await self._asked(path, made, newer, query)

    async def _asked(
        self,
        path: str,
        body: bytes | Callable[[], aiohttp.FormData],
        token: str,
        query: Mapping[str, str],
    ) -> dict[str, Any]:
        form = body() if callable(body) else body
        hidden = (token, self._secret.reveal())
        try:
            return await self._api.call(
                "POST", path, query={**query, "access_token": token}, body=form, hidden=hidden
            )
        except WeComRefused as error:
            refused = CustomersRefused(error.api, error.errcode, error.errmsg)
        raise refused

    async def _token_for(self, path: str, failed: str = "") -> str:
        api = _name(path)
        try:
            return await self._keeper.token(failed)
        except Unreachable as error:
            fault = Unreachable(api, f"no access token ({error.reason})", error.todo)
        except Unheard as error:
            # Whatever became of the token, the call itself has not left.
            fault = Unreachable(api, f"no access token ({error.reason})")
        except StoreError as error:
            fault = Unreachable(api, f"the store failed ({error})", "see the store's own errors")
        raise fault

    async def _fetch_token(self, *, force: bool) -> tuple[str, float]:
        """WeCom gives the same token as long as it is good: there is nothing to force."""
        secret = self._secret.reveal()
        query = {"corpid": self._corp_id, "corpsecret": secret}
        try:
            answer = await self._api.call("GET", TOKEN, query=query, hidden=(secret,))
        except WeComRefused as error:
            refused = CustomersRefused(error.api, error.errcode, error.errmsg)
        else:
            token, life_s = _text(answer.get("access_token")), answer.get("expires_in")
            if not token or not isinstance(life_s, int) or life_s <= 0:
                raise Unheard(_name(TOKEN), "the answer has no access_token and expires_in")
            return token, float(life_s)
        raise refused

    async def _count(self, name: str) -> int:
        day = datetime.fromtimestamp(self._now(), SHANGHAI).date().isoformat()
        return await self._quota.count(self.channel, name, day)


class CustomerWay:
    """What the jobs see of a company (`scheduler.customer_groups.CustomerSide`).

    senders: employees who may be asked to send; none: every owner.
    """

    def __init__(self, client: Customers, senders: Sequence[str] = ()) -> None:
        self._client = client
        self.senders = frozenset(senders)

    async def groups(self) -> list[str] | Sent:
        """Chat ids of all groups."""
        try:
            return await self._client.groups()
        except WeChatError as error:
            return ended(error)

    async def group(self, chat_id: str) -> CustomerGroup | Sent | None:
        """One group; None when there is no such group any more."""
        try:
            return await self._client.group(chat_id)
        except WeChatError as error:
            return ended(error)

    async def ask(self, sender: str, chat_ids: Sequence[str], body: str) -> Asked | Sent:
        """Ask for a task."""
        try:
            return await self._client.ask(sender, chat_ids, message_from_json(body))
        except WeChatError as error:
            return ended(error)
        except StoreError as error:
            # Only pictures are looked up, and that is before the task is asked for.
            return Sent(End.LATER, "error", note=f"the store failed: {error}")
        except ValueError as error:
            return Sent(End.REFUSED, "content", note=f"cannot be said there: {error}")

    async def results(self, msgid: str, sender: str) -> list[Result] | Sent:
        """What became of a task; [] as long as the employee did nothing."""
        try:
            if not await self._client.confirmed(msgid, sender):
                return []
            return await self._client.results(msgid, sender)
        except WeChatError as error:
            return ended(error)

    async def remind(self, msgid: str) -> Sent:
        """Remind the employee."""
        try:
            await self._client.remind(msgid)
        except WeChatError as error:
            return ended(error)
        return Sent(End.ACCEPTED)

    async def cancel(self, msgid: str) -> Sent:
        """Take back what was not sent."""
        try:
            await self._client.cancel(msgid)
        except WeChatError as error:
            return ended(error)
        return Sent(End.ACCEPTED)


def ended(error: WeChatError) -> Sent:
    """How a call that failed ended."""
    note, code = str(error), error.errcode
    if isinstance(error, Unheard):
        return Sent(End.UNKNOWN, "error", note=note)
    if not isinstance(error, Refused):
        return Sent(End.LATER, "error", note=note)
    match error.action:
        case Action.RETRY | Action.REFRESH_TOKEN:
            return Sent(End.LATER, "error", code, note=note)
        case Action.WAIT_MINUTE:
            return Sent(End.LATER, "rate", code, pace_s=60.0, note=note)
        case Action.CONFIG:
            return Sent(End.STOP, "error", code, note=note, chat=error.chat)
    return Sent(End.REFUSED, "error", code, note=note)


# --- what WeCom says ------------------------------------------------------------------------

_RESULTS: Mapping[str, str] = {"0": "waiting", "1": "sent", "2": "gone", "3": "quota"}


def _name(path: str) -> str:
    return path.removeprefix("/cgi-bin").strip("/")


def _maps(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) and len(value) <= 512 else ""


_GAPS = re.compile(r"[\s\x00-\x1f\x7f]+")


def _line(value: Any) -> str:
    """A name on one line, at most 64 characters; "" for none."""
    return _GAPS.sub(" ", value).strip()[:LONGEST_NAME] if isinstance(value, str) else ""


def _person(row: Mapping[str, Any]) -> Person:
    """One of member_list: in the group they may have a name of their own."""
    joined = row.get("join_time")
    at = float(joined) if isinstance(joined, int) and 0 < joined < 1 << 33 else 0.0
    name = _line(row.get("group_nickname")) or _line(row.get("name"))
    return Person(_text(row.get("userid")), name, at, _text(row.get("unionid")))


def _moment(row: Mapping[str, Any]) -> float | None:
    at = row.get("send_time")
    return float(at) if isinstance(at, int) and 0 < at < 1 << 33 else None
