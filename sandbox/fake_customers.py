"""A fake customer contact (客户联系) of WeCom: groups, tasks, and employees who confirm them.

It hangs on `sandbox/fake_qyapi.py`, whose faults go for it, too. Employees do nothing by
themselves: `employee_confirms` is the tap in their WeCom, and only then a group gets a message. It
knows nothing of ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.fake_qyapi import Answer, Call, FakeQyapi, QyError

CONTACT = "/cgi-bin/externalcontact"
GETTOKEN = "/cgi-bin/gettoken"
UPLOAD = "/cgi-bin/media/upload"
LIST = f"{CONTACT}/groupchat/list"
GET = f"{CONTACT}/groupchat/get"
ASK = f"{CONTACT}/add_msg_template"
TASK = f"{CONTACT}/get_groupmsg_task"
RESULT = f"{CONTACT}/get_groupmsg_send_result"
REMIND = f"{CONTACT}/remind_groupmsg_send"
CANCEL = f"{CONTACT}/cancel_groupmsg_send"

TEXT_BYTES = 4000
ATTACHMENTS = 9
MOST_GROUPS = 2000
REMINDERS = 3
LIFE_S = 7200
_DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0
_KINDS = ("image", "link", "miniprogram", "video", "file")
_WAITS, _SENT, _GONE, _FULL = 0, 1, 2, 3


@dataclass
class Sitting:
    """Somebody in a group. employee: one of the company; otherwise a WeChat user."""

    userid: str
    name: str
    joined_at: float
    employee: bool = False
    unionid: str = ""


@dataclass
class Chat:
    """A customer group. said: the messages that employees sent into it, oldest first."""

    chat_id: str
    owner: str
    name: str
    people: dict[str, Sitting] = field(default_factory=dict)
    said: list[dict[str, Any]] = field(default_factory=list)
    said_at: list[float] = field(default_factory=list)


@dataclass
class Asked:
    """A task. states: chat id -> (0 waits, 1 sent, 2 gone, 3 had enough; when)."""

    msgid: str
    sender: str
    body: dict[str, Any]
    states: dict[str, tuple[int, float]]
    confirmed_at: float | None = None
    cancelled: bool = False
    reminders: list[float] = field(default_factory=list)


class FakeCustomers:
    """The customer contact of one company on a fake host.

    per_day: messages that a group takes in a Shanghai day. page: rows of a page, however many
    are asked for. ips: addresses are checked when it is not None, and ours is none of them.

    groups: by chat id. tasks: by msgid, in order. tokens: how many were handed out.
    """

    def __init__(
        self, host: FakeQyapi, *, corp_id: str = "ww0123456789abcdef", secret: str = ""
    ) -> None:
        self.corp_id = corp_id
        self.secret = secret or secrets.token_urlsafe(24)
        self.per_day = 1
        self.page = 1000
        self.ips: tuple[str, ...] | None = None
        self.groups: dict[str, Chat] = {}
        self.tasks: dict[str, Asked] = {}
        self.media: dict[str, bytes] = {}
        self.tokens = 0
        self.token_refusals: list[int] = []
        self._host = host
        self._token = ""
        self._token_until = 0.0
        host.add("GET", GETTOKEN, self._gettoken)
        host.add("POST", UPLOAD, self._guarded(self._upload))
        host.add("POST", LIST, self._guarded(self._list))
        host.add("POST", GET, self._guarded(self._get))
        host.add("POST", ASK, self._guarded(self._ask))
        host.add("POST", TASK, self._guarded(self._task))
        host.add("POST", RESULT, self._guarded(self._result))
        host.add("POST", REMIND, self._guarded(self._remind))
        host.add("POST", CANCEL, self._guarded(self._cancel))

    # What people do

    def group(self, chat_id: str, owner: str, name: str = "") -> Chat:
        """A group that an employee opened; they are in it."""
        chat = self.groups[chat_id] = Chat(chat_id, owner, name)
        self.join(chat_id, owner, owner, employee=True)
        return chat

    def join(
        self,
        chat_id: str,
        userid: str,
        name: str = "",
        *,
        employee: bool = False,
        unionid: str = "",
    ) -> None:
        """Somebody comes into a group."""
        now = float(int(self._host.now()))
        people = self.groups[chat_id].people
        people[userid] = Sitting(userid, name or userid, now, employee, unionid)

    def leave(self, chat_id: str, userid: str) -> None:
        """Somebody goes."""
        self.groups[chat_id].people.pop(userid, None)

    def dissolve(self, chat_id: str) -> None:
        """The group is no more."""
        self.groups.pop(chat_id, None)

    def hand_over(self, chat_id: str, owner: str) -> None:
        """Another employee owns it."""
        self.groups[chat_id].owner = owner
        self.join(chat_id, owner, owner, employee=True)

    def employee_confirms(self, userid: str) -> int:
        """An employee taps 发送 on every task that waits for them; says how many messages went."""
        now = self._host.now()
        sent = 0
        for task in self.tasks.values():
            if task.sender != userid or task.cancelled or task.confirmed_at is not None:
                continue
            task.confirmed_at = now
            for chat_id in task.states:
                task.states[chat_id] = (self._send(chat_id, task.body, now), now)
                sent += task.states[chat_id][0] == _SENT
        return sent

    def employee_sends(self, chat_id: str) -> None:
        """An employee sends something of their own making, which counts for the day."""
        self._send(chat_id, {"text": {"content": "本人群发"}}, self._host.now())

    def end_tokens(self) -> None:
        """The token that is out there ends now."""
        self._token_until = 0.0

    def waiting(self, userid: str) -> list[Asked]:
        """The tasks that an employee sees in their WeCom."""
        return [
            task
            for task in self.tasks.values()
            if task.sender == userid and task.confirmed_at is None and not task.cancelled
        ]

    def _send(self, chat_id: str, body: dict[str, Any], now: float) -> int:
        chat = self.groups.get(chat_id)
        if chat is None:
            return _GONE
        today = _day(now)
        if sum(1 for at in chat.said_at if _day(at) == today) >= self.per_day:
            return _FULL
        chat.said.append({name: body[name] for name in ("text", "attachments") if name in body})
        chat.said_at.append(now)
        return _SENT

    # The wire

    def _gettoken(self, call: Call) -> Answer:
        if call.query.get("corpid") != self.corp_id:
            raise QyError(40013, "invalid corpid, hint: [1]")
        if call.query.get("corpsecret") != self.secret:
            raise QyError(40001, f"invalid credential {call.query.get('corpsecret')}, hint: [1]")
        now = self._host.now()
        if self._token_until <= now:
            self._token = secrets.token_urlsafe(120)
            self._token_until = now + LIFE_S
            self.tokens += 1
        return {"access_token": self._token, "expires_in": int(self._token_until - now)}

    def _guarded(self, endpoint: Any) -> Any:
        def guarded(call: Call) -> Answer:
            given = call.query.get("access_token", "")
            if self.token_refusals:
                raise QyError(self.token_refusals.pop(0), f"invalid access_token {given}")
            if given != self._token:
                raise QyError(40014, f"invalid access_token {given}")
            if self._token_until <= self._host.now():
                raise QyError(42001, "access_token expired")
            if self.ips is not None:
                raise QyError(60020, "not allow to access from your ip, from ip: 203.0.113.9")
            answer: Answer = endpoint(call)
            return answer

        return guarded

    def _upload(self, call: Call) -> Answer:
        if call.query.get("type") != "image":
            raise QyError(40004, "invalid media type")
        _, data = call.files.get("media", ("", b""))
        if not data:
            raise QyError(44001, "empty media data")
        media_id = secrets.token_hex(16)
        self.media[media_id] = data
        return {"type": "image", "media_id": media_id, "created_at": str(int(self._host.now()))}

    def _list(self, call: Call) -> Answer:
        rows = [{"chat_id": chat_id, "status": 0} for chat_id in self.groups]
        return self._paged(call, "group_chat_list", rows)

    def _get(self, call: Call) -> Answer:
        chat = self.groups.get(str(call.json.get("chat_id")))
        if chat is None:
            raise QyError(49008, "group chat is dismissed")
        names = call.json.get("need_name") == 1
        people = []
        for one in chat.people.values():
            row: dict[str, Any] = {
                "userid": one.userid,
                "type": 1 if one.employee else 2,
                "join_time": int(one.joined_at),
                "join_scene": 3,
            }
            if names:
                row |= {"name": one.name, "group_nickname": ""}
            if one.unionid:
                row["unionid"] = one.unionid
            people.append(row)
        found = {
            "chat_id": chat.chat_id,
            "name": chat.name,
            "owner": chat.owner,
            "create_time": int(self._host.now()),
            "member_list": people,
            "admin_list": [],
        }
        return {"group_chat": found}

    def _ask(self, call: Call) -> Answer:
        body = call.json
        sender, wanted = body.get("sender"), body.get("chat_id_list")
        if body.get("chat_type") != "group" or not sender:
            raise QyError(40058, "chat_type, sender. invalid Request Parameter")
        if not isinstance(wanted, list) or not 1 <= len(wanted) <= MOST_GROUPS:
            raise QyError(40058, "chat_id_list. invalid Request Parameter")
        self._check(body)
        good = [one for one in wanted if one in self.groups and self.groups[one].owner == sender]
        if not good:
            raise QyError(41048, "no customer to send")
        msgid = f"msg{secrets.token_hex(12)}"
        self.tasks[msgid] = Asked(msgid, str(sender), body, dict.fromkeys(good, (_WAITS, 0.0)))
        return {"fail_list": [one for one in wanted if one not in good], "msgid": msgid}

    def _check(self, body: dict[str, Any]) -> None:
        text = body.get("text", {}).get("content", "")
        attachments = body.get("attachments", [])
        if not text and not attachments:
            raise QyError(44004, "empty content")
        if len(text.encode()) > TEXT_BYTES:
            raise QyError(40058, "text.content exceed max length 4000")
        if len(attachments) > ATTACHMENTS:
            raise QyError(40058, "attachments exceed max length 9")
        for one in attachments:
            kind = one.get("msgtype")
            if kind not in _KINDS or kind not in one:
                raise QyError(40008, "invalid message type")
            media = one[kind].get("media_id") or one[kind].get("pic_media_id")
            if media is not None and media not in self.media:
                raise QyError(40007, "invalid media_id")

    def _of(self, call: Call) -> Asked:
        task = self.tasks.get(str(call.json.get("msgid")))
        if task is None:
            raise QyError(40058, "msgid. invalid Request Parameter")
        return task

    def _task(self, call: Call) -> Answer:
        task = self._of(call)
        row: dict[str, Any] = {"userid": task.sender, "status": 0}
        if task.confirmed_at is not None:
            row |= {"status": 2, "send_time": int(task.confirmed_at)}
        return self._paged(call, "task_list", [row])

    def _result(self, call: Call) -> Answer:
        task = self._of(call)
        rows = []
        for chat_id, (status, at) in task.states.items():
            row: dict[str, Any] = {"chat_id": chat_id, "userid": task.sender, "status": status}
            if status == _SENT:
                row["send_time"] = int(at)
            rows.append(row)
        return self._paged(call, "send_list", rows)

    def _remind(self, call: Call) -> Answer:
        task, now = self._of(call), self._host.now()
        if sum(1 for at in task.reminders if at > now - _DAY_S) >= REMINDERS:
            raise QyError(45009, "remind too often")
        task.reminders.append(now)
        return {}

    def _cancel(self, call: Call) -> Answer:
        self._of(call).cancelled = True
        return {}

    def _paged(self, call: Call, name: str, rows: Sequence[Any]) -> Answer:
        body = call.json
        begin = int(body.get("cursor") or 0)
        end = begin + min(self.page, int(body.get("limit") or self.page))
        answer: Answer = {name: list(rows[begin:end])}
        if end < len(rows):
            answer["next_cursor"] = str(end)
        return answer


def _day(at: float) -> int:
    return int((at + _SHANGHAI_S) // _DAY_S)
