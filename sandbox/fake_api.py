"""The API half of the fake WeChat: tokens, customer-service messages, menus, tags, media.

It answers like `api.weixin.qq.com` where zhiqun can notice the difference: tokens expire,
allowances run out, texts are too long, accounts lack rights. What it will not do is
anything that costs a real account something. `fake_wechat.FakeWeChat` adds the members
who write.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sandbox.fake_mass import FakeMass
from sandbox.fake_notices import FakeNotices
from sandbox.fake_oauth import ACCESS_TOKEN, AUTHORIZE, FakeOAuth
from sandbox.fake_platform import Account, Platform, Received, WireEntry, card
from sandbox.fake_rules import CUSTOM, ERRORS, ApiError, Call, check_button

Answer = dict[str, Any]
Endpoint = Callable[[Call], Answer]
_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")
_SECRET = re.compile(r'((?:access_token|refresh_token|secret)"?\s*[=:]\s*"?)([^"&]{4})[^"&]*')


class FakeApi(Platform):
    """WeChat's API side, its members and its switches. See `FakeWeChat` for the whole.

    Switches for tests, all plain attributes:
    api_down: every call gets HTTP 503. api_drop: the connection is cut without an answer.
    api_hang_s: seconds before a call is even looked at (its effect still happens then).
    api_errors: path -> errcodes; each call takes the first one instead of an effect.
    token_ttl_s: life of the tokens issued from now on.
    faults: asked at each call what goes wrong with it: "" nothing; "busy" -1, nothing is done;
    "expired" all tokens are; "cut" the connection is, before anything is done; "lost" it is, and
    all was done; "hang" all was done, and the answer comes `hang_s` late; "first65" a mass send
    is done and answered with 45065.
    daily: path -> calls a day (Shanghai) before 45009.

    mass, notices: the APIs of mass sends and of notices, with switches of their own.
    refused: (path, errcode) -> how often.
    media: media id -> (type, the upload as it came). codes: what a QR code says -> (its scene,
    until when it is good, inf for ever).
    """

    def __init__(
        self,
        account: Account,
        *,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(account, now=now, rng=rng)
        self.menu: dict[str, Any] | None = None
        self.tags: dict[int, str] = {2: "星标组"}
        self.media: dict[str, tuple[str, bytes]] = {}
        self.codes: dict[str, tuple[str, float]] = {}
        self.api_down = False
        self.api_drop = False
        self.api_hang_s = 0.0
        self.api_errors: dict[str, list[int]] = {}
        self.token_ttl_s = 7200.0
        self.faults: Callable[[Call], str] = lambda call: ""
        self.hang_s = 30.0
        self.daily: dict[str, int] = {
            "/cgi-bin/message/custom/send": 500_000,
            "/cgi-bin/message/template/send": 100_000,
            "/cgi-bin/message/subscribe/bizsend": 100_000,
        }
        self.refused: Counter[tuple[str, int]] = Counter()
        self._today: Counter[str] = Counter()
        self._day = -1
        self.calls: Counter[str] = Counter()
        self.token_fetches = 0
        self._tokens: dict[str, float] = {}
        self._stable = ""
        self._forced: list[float] = []
        self.oauth = FakeOAuth(account, now=now, rng=self.rng)
        self._endpoints: dict[str, tuple[str, bool, Endpoint]] = {
            "/cgi-bin/token": ("GET POST", False, self._token),
            "/cgi-bin/stable_token": ("POST", False, self._stable_token),
            "/cgi-bin/message/custom/send": ("POST", True, self._custom_send),
            "/cgi-bin/message/custom/typing": ("POST", True, self._custom_typing),
            "/cgi-bin/menu/create": ("POST", True, self._menu_create),
            "/cgi-bin/menu/get": ("GET", True, self._menu_get),
            "/cgi-bin/menu/delete": ("GET", True, self._menu_delete),
            "/cgi-bin/user/info": ("GET", True, self._user_info),
            "/cgi-bin/user/info/batchget": ("POST", True, self._user_batch),
            "/cgi-bin/user/get": ("GET", True, self._user_get),
            "/cgi-bin/user/tag/get": ("POST", True, self._tag_members),
            "/cgi-bin/tags/create": ("POST", True, self._tag_create),
            "/cgi-bin/tags/get": ("GET", True, self._tag_list),
            "/cgi-bin/tags/update": ("POST", True, self._tag_update),
            "/cgi-bin/tags/delete": ("POST", True, self._tag_delete),
            "/cgi-bin/tags/getidlist": ("POST", True, self._tags_of),
            "/cgi-bin/tags/members/batchtagging": ("POST", True, self._tagging),
            "/cgi-bin/tags/members/batchuntagging": ("POST", True, self._tagging),
            "/cgi-bin/qrcode/create": ("POST", True, self._qrcode),
            "/cgi-bin/getcallbackip": ("GET", True, self._callback_ip),
            "/cgi-bin/media/upload": ("POST", True, self._media_upload),
            ACCESS_TOKEN: ("GET", False, self.oauth.access_token),
        }
        self.mass = FakeMass(self)
        self.notices = FakeNotices(self)
        self._endpoints |= self.mass.endpoints | self.notices.endpoints
        self.app = web.Application(client_max_size=12 * 1024 * 1024)
        self.app.router.add_get(AUTHORIZE, self.oauth.authorize)
        self.app.router.add_route("*", "/{path:.*}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        raw = await request.read()
        self.calls[path] += 1
        shown = raw.decode(errors="replace") if len(raw) < 65536 else f"({len(raw)} bytes)"
        entry = self.wire_open(
            WireEntry(
                id=0,
                at=self.now(),
                direction="to_wechat",
                title=f"{request.method} {path}",
                query=_SECRET.sub(r"\1\2…", request.query_string),
                body=_SECRET.sub(r"\1\2…", shown),
            )
        )
        started = time.perf_counter()
        status, answer = 200, b""
        try:
            if self.api_hang_s:
                await asyncio.sleep(self.api_hang_s)
            call = Call(path, request.method, dict(request.query), raw)
            fault = self.faults(call)
            if self.api_drop or fault == "cut":
                return _cut(request, entry)
            if self.api_down:
                entry.note = "API switched off"
                status = 503
            else:
                status, body = self._answer(call, fault)
                if fault == "lost":
                    return _cut(request, entry)
                if fault == "hang":
                    await asyncio.sleep(self.hang_s)
                if body.get("errcode"):
                    entry.note = f"{body['errcode']} {body['errmsg']}"
                answer = json.dumps(body, ensure_ascii=False).encode()
            entry.status = status
            entry.reply_body = _SECRET.sub(r"\1\2…", answer.decode())
        finally:
            entry.ms = (time.perf_counter() - started) * 1000
            self.wire_close(entry)
        return web.Response(status=status, body=answer, content_type="application/json")

    def _answer(self, call: Call, fault: str = "") -> tuple[int, Answer]:
        status = 200
        try:
            if call.path not in self._endpoints:
                status = 404
                raise ApiError(40066)
            methods, needs_token, endpoint = self._endpoints[call.path]
            if call.method not in methods.split():
                raise ApiError(43001 if methods == "GET" else 43002)
            if queued := self.api_errors.get(call.path):
                raise ApiError(queued.pop(0))
            if fault == "busy":
                raise ApiError(-1)
            if fault == "expired":
                self.expire_tokens()
            if needs_token:
                self._check_token(call.query.get("access_token", ""))
            self._count_today(call.path)
            answer: Answer = {"errcode": 0, "errmsg": "ok"} | endpoint(call)
            if fault == "first65" and "msg_id" in answer:
                raise ApiError(45065, answer["msg_id"])
        except ApiError as error:
            text = ERRORS.get(error.errcode, "error")
            self.refused[call.path, error.errcode] += 1
            said: Answer = {"errcode": error.errcode, "errmsg": f"{text} rid: fake-{call.path}"}
            return status, said | ({"msg_id": error.msg_id} if error.msg_id else {})
        if len(answer) > 2 and call.path in _SILENT:
            # Successful reads and token answers carry no errcode at all.
            del answer["errcode"], answer["errmsg"]
        return status, answer

    def _count_today(self, path: str) -> None:
        day = int((self.now() + 8 * 3600) // 86_400)
        if day != self._day:
            self._day = day
            self._today.clear()
        self._today[path] += 1
        if self._today[path] > self.daily.get(path, math.inf):
            raise ApiError(45009)

    # Tokens

    def _check_token(self, token: str) -> None:
        if not token:
            raise ApiError(41001)
        if token not in self._tokens:
            raise ApiError(40001)
        if self._tokens[token] <= self.now():
            raise ApiError(42001)

    def revoke_tokens(self) -> None:
        """Every token issued so far is unknown from now on (somebody forced a refresh)."""
        self._tokens.clear()
        self._stable = ""

    def expire_tokens(self) -> None:
        """Every token issued so far is expired from now on (42001)."""
        self._tokens = dict.fromkeys(self._tokens, 0.0)

    def _issue(self) -> str:
        token = f"{len(self._tokens) + 1}_" + self.rng.randbytes(72).hex()
        self._tokens[token] = self.now() + self.token_ttl_s
        return token

    def _check_secret(self, given: Mapping[str, Any]) -> None:
        self.token_fetches += 1
        if given.get("grant_type") != "client_credential":
            raise ApiError(40002)
        if given.get("appid") != self.account.app_id:
            raise ApiError(40013)
        if given.get("secret") != self.account.app_secret:
            raise ApiError(40001)

    def _token(self, call: Call) -> Answer:
        self._check_secret(call.query)
        before = [one for one in self._tokens if one != self._stable]
        for token in before:
            self._tokens[token] = min(self._tokens[token], self.now() + 300)
        return {"access_token": self._issue(), "expires_in": int(self.token_ttl_s)}

    def _stable_token(self, call: Call) -> Answer:
        given = call.json()
        self._check_secret(given)
        now = self.now()
        # The last 5 minutes of 7200 s; a test's shorter tokens keep the proportion.
        margin = min(300.0, self.token_ttl_s / 24)
        if given.get("force_refresh") is True:
            recent = [at for at in self._forced if at > now - 86400]
            if recent and now - recent[-1] < 30:
                raise ApiError(45011)
            if len(recent) >= 20:
                raise ApiError(45009)
            self._forced = [*recent, now]
            self._tokens.pop(self._stable, None)
            self._stable = self._issue()
        elif self._tokens.get(self._stable, 0.0) - now <= margin:
            self._stable = self._issue()
        return {
            "access_token": self._stable,
            "expires_in": int(self._tokens[self._stable] - now),
        }

    # Customer-service messages

    def need_verified(self) -> None:
        """Errors: ApiError, 48001, for an account that is not verified."""
        if not self.account.verified:
            raise ApiError(48001)

    def receiver(self, openid: Any) -> str:
        """The openid of a follower. Errors: ApiError, 40003 or 43004."""
        if not isinstance(openid, str) or openid not in self.members:
            raise ApiError(40003)
        if not self.members[openid].followed:
            raise ApiError(43004)
        return openid

    def _custom_send(self, call: Call) -> Answer:
        self.need_verified()
        if _ESCAPE.search(call.raw):
            raise ApiError(40033)
        given = call.json()
        openid = self.receiver(given.get("touser"))
        if self.members[openid].blocked or self.members[openid].muted:
            raise ApiError(43019 if self.members[openid].blocked else 48002)
        kind = given.get("msgtype")
        part = given.get(kind) if isinstance(kind, str) else None
        if not isinstance(kind, str) or kind not in CUSTOM:
            raise ApiError(40008)
        if not isinstance(part, dict):
            raise ApiError(44004 if kind == "text" else 40097)
        content = CUSTOM[kind](part)
        articles: tuple[Mapping[str, str], ...] = ()
        if kind == "news":
            articles = tuple(card(article) for article in part["articles"])
        elif kind == "mpnews":
            kind, articles = "news", self.mass.cards(content)
            content = articles[0]["title"]
        left = self.allowance(openid)
        if left < 1:
            raise ApiError(45015 if left < 0 else 45047)
        self.spend(openid)
        self.member(openid).typing = False
        self.show(openid, Received(kind, content, given, "custom", self.now(), articles))
        return {}

    def _custom_typing(self, call: Call) -> Answer:
        self.need_verified()
        given = call.json()
        openid = self.receiver(given.get("touser"))
        if given.get("command") not in ("Typing", "CancelTyping"):
            raise ApiError(40097)
        self.member(openid).typing = given["command"] == "Typing"
        return {}

    # Menus, followers, tags

    def _menu_create(self, call: Call) -> Answer:
        if self.account.kind == "subscription":
            self.need_verified()
        if _ESCAPE.search(call.raw):
            raise ApiError(40033)
        given = call.json()
        buttons = given.get("button")
        if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
            raise ApiError(40016)
        for button in buttons:
            if not isinstance(button, dict):
                raise ApiError(40016)
            below = button.get("sub_button") or []
            if not isinstance(below, list) or len(below) > 5:
                raise ApiError(40023)
            for one in below or [button]:
                check_button(one)
            if not 1 <= len(str(button.get("name", "")).encode()) <= 60:
                raise ApiError(40018)
        self.menu = {"button": buttons}
        return {}

    def _menu_get(self, call: Call) -> Answer:
        if self.menu is None:
            raise ApiError(46003)
        return {"menu": self.menu}

    def _menu_delete(self, call: Call) -> Answer:
        self.menu = None
        return {}

    def _info(self, openid: Any) -> Answer:
        if not isinstance(openid, str) or openid not in self.members:
            raise ApiError(40003)
        member = self.members[openid]
        if not member.followed:
            return {"subscribe": 0, "openid": openid}
        return {
            **({"unionid": member.unionid} if member.unionid else {}),
            "subscribe": 1,
            "openid": openid,
            "language": "zh_CN",
            "subscribe_time": int(member.since),
            "remark": "",
            "groupid": 0,
            "tagid_list": sorted(member.tags),
            "subscribe_scene": "ADD_SCENE_QR_CODE" if member.scene else "ADD_SCENE_SEARCH",
            "qr_scene": 0,
            "qr_scene_str": member.scene,
        }

    def _user_info(self, call: Call) -> Answer:
        self.need_verified()
        return self._info(call.query.get("openid"))

    def _user_batch(self, call: Call) -> Answer:
        self.need_verified()
        wanted = call.json().get("user_list")
        if not isinstance(wanted, list) or not 1 <= len(wanted) <= 100:
            raise ApiError(40032)
        if not all(isinstance(one, dict) for one in wanted):
            raise ApiError(40097)
        return {"user_info_list": [self._info(one.get("openid")) for one in wanted]}

    def _page(self, openids: list[str], after: str) -> Answer:
        start = openids.index(after) + 1 if after in openids else 0
        page = openids[start : start + 10_000]
        answer: Answer = {"total": len(openids), "count": len(page)}
        if page:
            answer["data"] = {"openid": page}
        return answer | {"next_openid": page[-1] if page else ""}

    def _user_get(self, call: Call) -> Answer:
        self.need_verified()
        openids = [openid for openid, member in self.members.items() if member.followed]
        return self._page(openids, call.query.get("next_openid", ""))

    def _tag_members(self, call: Call) -> Answer:
        self.need_verified()
        given = call.json()
        tag = self.tag_id(given.get("tagid"))
        openids = [openid for openid, one in self.members.items() if tag in one.tags]
        answer = self._page(openids, str(given.get("next_openid", "")))
        del answer["total"]
        return answer

    def tag_id(self, tag: Any) -> int:
        """The number of a tag. Errors: ApiError, 45159."""
        if not isinstance(tag, int) or tag not in self.tags:
            raise ApiError(45159)
        return tag

    def _tag_name(self, given: Mapping[str, Any]) -> str:
        tag = given.get("tag")
        name = tag.get("name") if isinstance(tag, dict) else None
        if not isinstance(name, str) or not 1 <= len(name.encode()) <= 30:
            raise ApiError(45158)
        if name in self.tags.values():
            raise ApiError(45157)
        return name

    def _tag_create(self, call: Call) -> Answer:
        self.need_verified()
        name = self._tag_name(call.json())
        if len(self.tags) >= 100:
            raise ApiError(45056)
        tag = max(99, *self.tags) + 1
        self.tags[tag] = name
        return {"tag": {"id": tag, "name": name}}

    def _tag_list(self, call: Call) -> Answer:
        self.need_verified()
        rows = []
        for tag, name in self.tags.items():
            count = sum(tag in member.tags for member in self.members.values())
            rows.append({"id": tag, "name": name, "count": count})
        return {"tags": rows}

    def _own_tag(self, given: Mapping[str, Any]) -> int:
        tag = given.get("tag")
        number = self.tag_id(tag.get("id") if isinstance(tag, dict) else None)
        if number < 3:
            raise ApiError(45058)
        return number

    def _tag_update(self, call: Call) -> Answer:
        self.need_verified()
        given = call.json()
        self.tags[self._own_tag(given)] = self._tag_name(given)
        return {}

    def _tag_delete(self, call: Call) -> Answer:
        self.need_verified()
        tag = self._own_tag(call.json())
        del self.tags[tag]
        for member in self.members.values():
            member.tags.discard(tag)
        return {}

    def _tags_of(self, call: Call) -> Answer:
        self.need_verified()
        return {"tagid_list": sorted(self.members[self.receiver(call.json().get("openid"))].tags)}

    def _tagging(self, call: Call) -> Answer:
        self.need_verified()
        given = call.json()
        tag = self.tag_id(given.get("tagid"))
        openids = given.get("openid_list")
        if not isinstance(openids, list) or not 1 <= len(openids) <= 50:
            raise ApiError(40032)
        members = [self.members[self.receiver(openid)] for openid in openids]
        if call.path.endswith("untagging"):
            for member in members:
                member.tags.discard(tag)
            return {}
        if any(len(member.tags | {tag}) > 20 for member in members):
            raise ApiError(45059)
        for member in members:
            member.tags.add(tag)
        return {}

    # QR codes, addresses, media

    def _qrcode(self, call: Call) -> Answer:
        self.need_verified()
        if self.account.kind != "service":
            raise ApiError(48001)
        given = call.json()
        name = str(given.get("action_name", ""))
        info = given.get("action_info")
        scene = info.get("scene") if isinstance(info, dict) else None
        key = "scene_str" if name in ("QR_STR_SCENE", "QR_LIMIT_STR_SCENE") else "scene_id"
        value = str(scene.get(key, "")) if isinstance(scene, dict) else ""
        if name not in _QR or not 1 <= len(value) <= 64 or value == "0":
            raise ApiError(40097)
        seconds = given.get("expire_seconds", 60)
        if not isinstance(seconds, int) or not 1 <= seconds <= 2_592_000:
            raise ApiError(40097)
        ticket = f"ticket_{self.rng.randbytes(24).hex()}"
        answer: Answer = {"ticket": ticket, "url": f"http://weixin.qq.com/q/{ticket[-16:]}"}
        until = math.inf if "LIMIT" in name else self.now() + seconds
        self.codes[answer["url"]] = (value, until)
        return answer if "LIMIT" in name else answer | {"expire_seconds": seconds}

    def _callback_ip(self, call: Call) -> Answer:
        return {"ip_list": ["127.0.0.1"]}

    def file(self, media_id: str) -> bytes | None:
        """An uploaded file, as everybody sees it; None for one that nobody uploaded."""
        return _file(self.media[media_id][1]) if media_id in self.media else None

    def is_media(self, media_id: Any) -> bool:
        """Whether somebody uploaded it."""
        return isinstance(media_id, str) and media_id in self.media

    def keep_media(self, kind: str, raw: bytes) -> str:
        """Keep an upload; its media id. Errors: ApiError for what is no such file."""
        data = _file(raw)
        if data is None:
            raise ApiError(40097)
        if kind in ("image", "thumb") and not data.startswith(_PICTURES):
            raise ApiError(40005)
        media_id = self.rng.randbytes(32).hex()
        self.media[media_id] = (kind, raw)
        return media_id

    def _media_upload(self, call: Call) -> Answer:
        kind = call.query.get("type", "")
        if kind not in ("image", "voice", "video", "thumb"):
            raise ApiError(40004)
        media_id = self.keep_media(kind, call.raw)
        return {"type": kind, "media_id": media_id, "created_at": int(self.now())}


def _cut(request: web.Request, entry: WireEntry) -> web.Response:
    entry.note = "connection cut"
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _file(raw: bytes) -> bytes | None:
    """The file of a multipart body; None when none of its parts has a file name."""
    boundary = raw.partition(b"\r\n")[0]
    for part in raw.split(boundary)[1:]:
        head, _, body = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return body.removesuffix(b"\r\n")
    return None


_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_QR = ("QR_SCENE", "QR_STR_SCENE", "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE")
_SILENT = frozenset(
    {
        "/cgi-bin/token",
        "/cgi-bin/stable_token",
        "/cgi-bin/menu/get",
        "/cgi-bin/user/info",
        "/cgi-bin/user/info/batchget",
        "/cgi-bin/user/get",
        "/cgi-bin/user/tag/get",
        "/cgi-bin/tags/create",
        "/cgi-bin/tags/get",
        "/cgi-bin/tags/getidlist",
        "/cgi-bin/qrcode/create",
        "/cgi-bin/getcallbackip",
        "/cgi-bin/media/upload",
        ACCESS_TOKEN,
    }
)
