"""The fake WeChat's mass sends: quotas, clientmsgid, finish events, drafts and material.

As strict as the platform where a campaign could get it wrong: a service account's follower
gets four a month and is silently left out of the fifth, a subscription account sends once a
day, an id that was seen is not sent again, a draft is gone after it went out. Who got what is
in the members' inboxes (`route` "mass"), what became of each send in `jobs`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sandbox.fake_platform import FakeMember, Received, card
from sandbox.fake_rules import ApiError, Call

if TYPE_CHECKING:
    from sandbox.fake_api import FakeApi

PLATFORM = "oPlatformAdministrator000001"
"""Who a finish event seems to come from: the operator, never a receiver."""

PICTURES = "http://mmbiz.qpic.cn/"
ARTICLES = "http://mp.weixin.qq.com/s/"
MONTHLY = 4

Answer = dict[str, Any]
Endpoint = Callable[[Call], Answer]
_PER_SEND = 10_000
_ID_LIFE_S = 86_400.0
_SIZES = {"title": (64, 45003), "digest": (120, 45004), "author": (16, 45002)}
_IMAGE = re.compile(r'<img\b[^>]*?\bsrc\s*=\s*["\']?([^"\'\s>]*)[^>]*>', re.IGNORECASE)


@dataclass
class MassJob:
    """One mass send. total, filtered, sent, failed: WeChat's four counts, as in the event.

    openids: who got it. over: how many were left out because they had four this month.
    status: the finish event's own word. tries: calls with its clientmsgid.
    """

    msg_id: int
    data_id: int
    client_id: str
    at: float
    payload: Mapping[str, Any]
    to_all: bool
    total: int = 0
    filtered: int = 0
    sent: int = 0
    failed: int = 0
    over: int = 0
    status: str = "send success"
    openids: tuple[str, ...] = ()
    tries: int = 1
    ends_at: float = 0.0
    told: bool = False
    deleted: bool = False


@dataclass
class Draft:
    """Articles that wait to be sent."""

    articles: list[dict[str, Any]] = field(default_factory=list)


class FakeMass:
    """The mass-send APIs of one fake account; `FakeApi` serves them.

    Switches for tests, all plain attributes:
    finish: what becomes of finish events: "auto" (delivered to the webhook), "hold" (kept
    until `FakeWeChat.report`), "lost". finish_after_s: from the send to its event.
    verdicts: the next sends' last words ("err(20008)": nobody gets it), taken one by one.
    per_minute: calls of all these APIs together, 0 for no limit. retry_s: the same clientmsgid
    within this long gives 45066, after it 45065. quota_left: False answers 45028 to all.

    jobs: msg_id -> the send. drafts: media_id -> articles. articles: the end of an article's
    address -> the article. permanent: media ids that never expire.
    """

    def __init__(self, api: FakeApi) -> None:
        self.finish: Literal["auto", "hold", "lost"] = "auto"
        self.finish_after_s = 0.0
        self.verdicts: list[str] = []
        self.per_minute = 60
        self.retry_s = 60.0
        self.quota_left = True
        self.jobs: dict[int, MassJob] = {}
        self.drafts: dict[str, Draft] = {}
        self.articles: dict[str, dict[str, Any]] = {}
        self.permanent: set[str] = set()
        self.speed = 3
        self.on_job: Callable[[MassJob], None] = lambda job: None
        self._api = api
        self._ids: dict[str, tuple[int, float]] = {}
        self._month: dict[str, Counter[str]] = {}
        self._calls: deque[float] = deque()
        self._all: Counter[str] = Counter()
        self._days: Counter[str] = Counter()
        self._previews: Counter[str] = Counter()
        mass = "/cgi-bin/message/mass/"
        self.endpoints: dict[str, tuple[str, bool, Endpoint]] = {
            mass + "sendall": ("POST", True, self._sendall),
            mass + "send": ("POST", True, self._send),
            mass + "preview": ("POST", True, self._preview),
            mass + "get": ("POST", True, self._get),
            mass + "delete": ("POST", True, self._delete),
            mass + "speed/get": ("POST", True, self._speed_get),
            mass + "speed/set": ("POST", True, self._speed_set),
            "/cgi-bin/draft/add": ("POST", True, self._draft_add),
            "/cgi-bin/material/add_material": ("POST", True, self._material),
            "/cgi-bin/media/uploadimg": ("POST", True, self._article_picture),
        }

    def received(self, openid: str, at: float) -> int:
        """Mass sends this member got in the month of `at`."""
        return self._month.get(_month(at), Counter())[openid]

    def cards(self, media_id: str) -> tuple[dict[str, str], ...]:
        """The articles of a draft. Errors: ApiError, 40007, when there is none."""
        if media_id not in self.drafts:
            raise ApiError(40007)
        return tuple(card(one) for one in self.drafts[media_id].articles)

    def by_hand(self, text: str, openids: Iterable[str] | None = None) -> MassJob:
        """A send from WeChat's website: it counts, and only its finish event is heard."""
        payload = {"msgtype": "text", "text": {"content": text}}
        chosen = list(self._api.members) if openids is None else list(openids)
        return self._go(payload, chosen, to_all=openids is None)

    # Sending

    def _sendall(self, call: Call) -> Answer:
        given = self._open(call)
        target = given.get("filter")
        if not isinstance(target, dict):
            raise ApiError(40097)
        to_all = target.get("is_to_all") is True
        tag = None if to_all else self._api.tag_id(target.get("tag_id"))
        scope = "all" if to_all else f"tag {tag}"

        def chosen() -> list[str]:
            members = self._api.members
            if tag is None:
                return [openid for openid, one in members.items() if one.followed]
            return [openid for openid, one in members.items() if tag in one.tags]

        return self._submit(given, scope, chosen, to_all=to_all)

    def _send(self, call: Call) -> Answer:
        given = self._open(call)
        if self._api.account.kind != "service":
            raise ApiError(48001)
        openids = given.get("touser")
        if not isinstance(openids, list) or not all(isinstance(one, str) for one in openids):
            raise ApiError(40031)
        if len(openids) < 2:
            raise ApiError(40130)
        if len(openids) > _PER_SEND:
            raise ApiError(40032)
        if any(openid not in self._api.members for openid in openids):
            raise ApiError(40003)
        wanted = list(dict.fromkeys(openids))
        return self._submit(given, f"list {hash(tuple(wanted))}", lambda: wanted, to_all=False)

    def _open(self, call: Call) -> dict[str, Any]:
        self._api.need_verified()
        self._pace()
        return call.json()

    def _pace(self) -> None:
        now = self._api.now()
        while self._calls and self._calls[0] <= now - 60.0:
            self._calls.popleft()
        if self.per_minute and len(self._calls) >= self.per_minute:
            raise ApiError(45011)
        self._calls.append(now)

    def _submit(
        self,
        given: dict[str, Any],
        scope: str,
        chosen: Callable[[], list[str]],
        *,
        to_all: bool,
    ) -> Answer:
        client_id = given.get("clientmsgid") or f"{scope}: {_content(given)}"
        if not isinstance(client_id, str) or ("clientmsgid" in given and len(client_id) > 64):
            raise ApiError(45067)
        now = self._api.now()
        before, at = self._ids.get(client_id, (0, 0.0))
        if before and now - at < _ID_LIFE_S:
            self.jobs[before].tries += 1
            raise ApiError(45066 if now - at < self.retry_s else 45065, msg_id=before)
        self._check_quota(to_all=to_all)
        self._check_content(given)
        job = self._go(given, chosen(), to_all=to_all, client_id=client_id)
        if given.get("msgtype") == "mpnews":
            self.drafts.pop(given["mpnews"]["media_id"], None)
        answer = {"errmsg": "send job submission success", "msg_id": job.msg_id}
        return answer | ({"msg_data_id": job.data_id} if given.get("msgtype") == "mpnews" else {})

    def _check_quota(self, *, to_all: bool) -> None:
        now = self._api.now()
        day, month = _day(now), _month(now)
        if not self.quota_left:
            raise ApiError(45028)
        if self._api.account.kind == "subscription":
            if self._days[day]:
                raise ApiError(45028)
        elif to_all and (self._all[day] or self._all[month] >= MONTHLY):
            raise ApiError(45028)

    def _go(
        self,
        payload: Mapping[str, Any],
        openids: list[str],
        *,
        to_all: bool,
        client_id: str = "",
    ) -> MassJob:
        now = self._api.now()
        day, month = _day(now), _month(now)
        number = 1_000_000_001 + len(self.jobs)
        job = MassJob(number, 2_000_000_000 + number, client_id, now, payload, to_all)
        job.total, job.ends_at = len(openids), now + self.finish_after_s
        self.jobs[number] = job
        if client_id:
            self._ids[client_id] = (number, now)
        if self.verdicts:
            job.status = self.verdicts.pop(0)
        got = self._month.setdefault(month, Counter())
        limited = self._api.account.kind == "service"
        reached: list[str] = []
        for openid in openids:
            member = self._api.members[openid]
            if not member.followed or member.blocked or member.muted:
                continue
            if limited and got[openid] >= MONTHLY:
                job.over += 1
                continue
            reached.append(openid)
        job.filtered = len(reached)
        if job.status != "send success":
            job.failed = len(reached)
        else:
            self._days[day] += 1
            if to_all:
                self._all[day] += 1
                self._all[month] += 1
            job.sent, job.openids = len(reached), tuple(reached)
            got.update(reached)
            self._show(reached, self._received(payload))
        self.on_job(job)
        return job

    def _show(self, openids: list[str], received: Received) -> None:
        listeners = list(self._api.inbox_listeners)
        for openid in openids:
            self._api.members[openid].inbox.append(received)
            for listener in listeners:
                listener(openid, received)

    def _preview(self, call: Call) -> Answer:
        given = self._open(call)
        openid = given.get("touser")
        if not openid and given.get("towxname"):
            openid = next(iter(self._api.members), "")
        if not isinstance(openid, str) or openid not in self._api.members:
            raise ApiError(40003)
        member: FakeMember = self._api.members[openid]
        if not member.followed:
            raise ApiError(43004)
        day = _day(self._api.now())
        if self._previews[day] >= 100:
            raise ApiError(45009)
        self._check_content(given)
        self._previews[day] += 1
        self._show([openid], self._received(given))
        return {"errmsg": "preview success", "msg_id": 34182}

    # What was sent

    def _job(self, given: Mapping[str, Any]) -> MassJob:
        try:
            number = int(given.get("msg_id", 0))
        except (TypeError, ValueError):
            raise ApiError(40059) from None
        if number not in self.jobs:
            raise ApiError(40059)
        return self.jobs[number]

    def _get(self, call: Call) -> Answer:
        job = self._job(self._open(call))
        status = "SEND_SUCCESS" if job.status == "send success" else "SEND_FAIL"
        if job.deleted:
            status = "DELETE"
        elif self._api.now() < job.ends_at:
            status = "SENDING"
        return {"msg_id": job.msg_id, "msg_status": status}

    def _delete(self, call: Call) -> Answer:
        job = self._job(self._open(call))
        if job.payload.get("msgtype") not in ("mpnews", "mpvideo") or job.status != "send success":
            raise ApiError(40008)
        job.deleted = True
        return {}

    def _speed_get(self, call: Call) -> Answer:
        self._open(call)
        return {"speed": self.speed, "realspeed": (80, 60, 45, 30, 10)[self.speed]}

    def _speed_set(self, call: Call) -> Answer:
        speed = self._open(call).get("speed")
        if speed is None:
            raise ApiError(45084)
        if not isinstance(speed, int) or not 0 <= speed <= 4:
            raise ApiError(45083)
        self.speed = speed
        return {}

    def finish_event(self, job: MassJob) -> dict[str, Any]:
        """The fields of a send's MASSSENDJOBFINISH, besides those that every event has."""
        fields: dict[str, Any] = {
            "MsgID": job.msg_id,
            "Status": job.status,
            "TotalCount": job.total,
            "FilterCount": job.filtered,
            "SentCount": job.sent,
            "ErrorCount": job.failed,
            # Without articles both blocks hold nothing but white space, as seen in 2025.
            "CopyrightCheckResult": "\n\n",
            "ArticleUrlResult": "\n\n",
        }
        received = self._received(job.payload)
        if received.articles:
            items = [
                {"ArticleIdx": number, "ArticleUrl": one["url"]}
                for number, one in enumerate(received.articles, 1)
            ]
            fields["CopyrightCheckResult"] = {"Count": 0, "ResultList": "", "CheckState": 1}
            fields["ArticleUrlResult"] = {"Count": len(items), "ResultList": {"item": items}}
        return fields

    # Contents

    def _check_content(self, given: Mapping[str, Any]) -> None:
        kind = given.get("msgtype")
        part = given.get("images" if kind == "image" and "images" in given else str(kind))
        if kind not in ("text", "image", "mpnews", "voice", "mpvideo", "wxcard"):
            raise ApiError(40008)
        if not isinstance(part, dict):
            raise ApiError(40097)
        if kind == "text":
            content = part.get("content")
            if not isinstance(content, str) or not content.strip():
                raise ApiError(44004)
            if len(content.encode(errors="replace")) > 2048:
                raise ApiError(45002)
        elif kind == "mpnews":
            if part.get("media_id") not in self.drafts:
                raise ApiError(40007)
            if given.get("send_ignore_reprint", 0) not in (0, 1):
                raise ApiError(40097)
        elif kind == "image":
            ids = part.get("media_ids", [part.get("media_id")])
            if not isinstance(ids, list) or not ids:
                raise ApiError(40007)
            if any(not self._api.is_media(one) for one in ids):
                raise ApiError(40007)

    def _received(self, payload: Mapping[str, Any]) -> Received:
        kind, at = str(payload["msgtype"]), self._api.now()
        if kind == "text":
            return Received("text", payload["text"]["content"], payload, "mass", at)
        if kind == "mpnews":
            draft = self.drafts.get(payload["mpnews"]["media_id"])
            # A draft that went out is kept under the addresses of its articles.
            articles = draft.articles if draft is not None else self._sent(payload)
            cards = tuple(card(one) for one in articles)
            return Received("news", cards[0]["title"], payload, "mass", at, cards)
        if kind == "image":
            part = payload.get("images") or payload["image"]
            ids = part.get("media_ids") or [part["media_id"]]
            return Received("image", str(ids[0]), payload, "mass", at)
        return Received(kind, kind, payload, "mass", at)

    def _sent(self, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
        media_id = payload["mpnews"]["media_id"]
        return [one for one in self.articles.values() if one["media_id"] == media_id]

    def _draft_add(self, call: Call) -> Answer:
        self._api.need_verified()
        given = call.json().get("articles")
        if not isinstance(given, list) or not given:
            raise ApiError(44003)
        if len(given) > 8:
            raise ApiError(45008)
        media_id = self._api.rng.randbytes(32).hex()
        draft = Draft([self._article(one, media_id) for one in given])
        self.drafts[media_id] = draft
        for one in draft.articles:
            self.articles[one["url"].removeprefix(ARTICLES)] = one
        return {"media_id": media_id}

    def _article(self, given: Any, media_id: str) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise ApiError(40097)
        if not isinstance(given.get("title"), str) or not given["title"].strip():
            raise ApiError(40097)
        for name, (most, errcode) in _SIZES.items():
            if len(str(given.get(name, ""))) > most:
                raise ApiError(errcode)
        content = given.get("content")
        if not isinstance(content, str) or not content.strip():
            raise ApiError(44004)
        if len(content) >= 20_000 or len(content.encode(errors="replace")) >= 1_000_000:
            raise ApiError(45002)
        if given.get("thumb_media_id") not in self.permanent:
            raise ApiError(40007)
        # Pictures from elsewhere are taken out without a word.
        kept = _IMAGE.sub(lambda found: found[0] if found[1].startswith(PICTURES) else "", content)
        return given | {
            "content": kept,
            "description": str(given.get("digest", "")),
            "url": ARTICLES + self._api.rng.randbytes(11).hex(),
            "picurl": f"{PICTURES}{given['thumb_media_id']}",
            "media_id": media_id,
        }

    def _material(self, call: Call) -> Answer:
        self._api.need_verified()
        kind = call.query.get("type", "")
        if kind not in ("image", "voice", "video", "thumb"):
            raise ApiError(40004)
        media_id = self._api.keep_media(kind, call.raw)
        self.permanent.add(media_id)
        return {"media_id": media_id, "url": f"{PICTURES}{media_id}"}

    def _article_picture(self, call: Call) -> Answer:
        self._api.need_verified()
        if len(call.raw) > 1_000_000 + 1_000:
            raise ApiError(40009)
        media_id = self._api.keep_media("image", call.raw)
        return {"url": f"{PICTURES}{media_id}"}


def _content(given: Mapping[str, Any]) -> str:
    return repr({name: value for name, value in given.items() if name not in ("touser", "filter")})


def _shanghai(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC) + timedelta(hours=8)


def _day(at: float) -> str:
    return _shanghai(at).strftime("%Y-%m-%d")


def _month(at: float) -> str:
    return _shanghai(at).strftime("%Y-%m")
