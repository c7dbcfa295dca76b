"""A WeChat on this machine: members write, their messages are signed, sealed and delivered.

The demo and the tests speak to zhiqun through it over real HTTP, so that what they prove
holds on the wire: deliveries that are dropped after 5 s and repeated, encrypted answers
that are checked, an API with tokens and allowances. It shares no code with the service,
and it never prints an openid or a message.

    fake = FakeWeChat(Account("wx…", "secret", "token", "43 characters"))
    api_base = await fake.start()          # the service's `api_base`
    fake.webhook = "http://127.0.0.1:…"    # where the service listens
    delivery = await fake.send_text("o_lin", "怎么退款")
    delivery.outcome, delivery.reply, fake.members["o_lin"].inbox
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from sandbox.fake_api import FakeApi
from sandbox.fake_codec import BadReply, Envelope, from_json, from_xml, same, sign, to_xml
from sandbox.fake_mass import PLATFORM, MassJob
from sandbox.fake_platform import Account, FakeMember, Received, WireEntry, card

Outcome = Literal["replied", "success", "empty", "unavailable"]
NOTICE = "该公众号提供的服务出现故障，请稍后再试"

# Events that WeChat reports without the member having asked for anything.
_SILENT_EVENTS = frozenset(
    {
        "unsubscribe",
        "location",
        "view",
        "view_miniprogram",
        "masssendjobfinish",
        "templatesendjobfinish",
        "publishjobfinish",
        "subscribe_msg_sent_event",
        "subscribe_msg_change_event",
    }
)
_CLICK_EVENTS = frozenset({"click", "scancode_push", "scancode_waitmsg", "scan", "subscribe"})
# Only these may be answered by more than one article.
_PLAIN_KINDS = frozenset({"text", "image", "voice", "video", "shortvideo", "link", "location"})


@dataclass
class Attempt:
    """One HTTP delivery. status None: no complete answer; error says why, "" when good.

    body: the answer as received. reply: its decrypted fields, None when there are none.
    """

    number: int
    status: int | None = None
    ms: float = 0.0
    error: str = ""
    body: str = ""
    reply: dict[str, Any] | None = None


@dataclass
class Delivery:
    """One message or event on its way to the service, and what became of it.

    outcome: "replied" (the member saw `reply`), "success" or "empty" (nothing to show),
    "unavailable" (no valid answer in all attempts).
    """

    number: int
    fields: Mapping[str, Any]
    attempts: list[Attempt] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    outcome: Outcome = "unavailable"

    @property
    def text(self) -> str:
        """The text of the passive reply; "" when there is none."""
        return str((self.reply or {}).get("Content", ""))

    @property
    def ms(self) -> float:
        """Milliseconds of all attempts together."""
        return sum(attempt.ms for attempt in self.attempts)


@dataclass(frozen=True)
class Post:
    """A delivery ready to leave: query string, body, and the body before sealing."""

    query: Mapping[str, str]
    body: str
    plain: str


class FakeWeChat(FakeApi):
    """One official account on the fake platform: API side, members, wire.

    account: what the console would show. timeout_s: patience per delivery attempt.
    deliveries: attempts per message. retry_pause_s: wait between them, 0 as WeChat's own
    pause is not documented. now, rng: clock (Unix seconds) and chance.

    `webhook` may be changed at any time; the switches are described in `FakeApi`.
    """

    def __init__(
        self,
        account: Account,
        *,
        timeout_s: float = 5.0,
        deliveries: int = 3,
        retry_pause_s: float = 0.0,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(account, now=now, rng=rng)
        self.webhook = account.webhook
        self.timeout_s = timeout_s
        self.deliveries = deliveries
        self.retry_pause_s = retry_pause_s
        self.api_base = ""
        self._envelope = Envelope(account.aes_key, account.app_id, self.rng.randbytes)
        self._delivery_count = 0
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._reports: set[asyncio.Task[object]] = set()
        self.mass.on_job = self._on_job
        self.notices.on_sent = self._on_notice

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve the API side; returns its base URL. port 0: any free one."""
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0][1]
        self.api_base = f"http://{host}:{bound}"
        return self.api_base

    async def close(self) -> None:
        """Stop serving and delivering; harmless when never started."""
        for task in list(self._reports):
            task.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # What members do

    async def send_text(self, openid: str, text: str, **extra: Any) -> Delivery:
        """A member types `text`; extra fields are added or replaced (MsgId, CreateTime …)."""
        return await self.send_fields(self.message(openid, "text", Content=text, **extra))

    async def send_event(
        self, openid: str, event: str, event_key: str = "", **fields: Any
    ) -> Delivery:
        """An event of this member; `event` in WeChat's own spelling ("SCAN", "subscribe")."""
        return await self.send_fields(self.event(openid, event, event_key, **fields))

    async def send_fields(self, fields: Mapping[str, Any]) -> Delivery:
        """Any fields at all, delivered as they are."""
        return await self.deliver(fields)

    async def follow(self, openid: str, scene: str = "") -> Delivery:
        """Follow the account, by a QR code when `scene` is given."""
        member = self.member(openid)
        member.followed, member.since, member.scene = True, self.now(), scene
        if not scene:
            return await self.send_event(openid, "subscribe")
        return await self.send_event(
            openid, "subscribe", f"qrscene_{scene}", Ticket=self.rng.randbytes(24).hex()
        )

    async def unfollow(self, openid: str) -> Delivery:
        """Unfollow; nothing can reach this member until the next follow."""
        member = self.member(openid)
        member.followed = False
        member.windows.clear()
        member.tags.clear()
        return await self.send_event(openid, "unsubscribe")

    async def scan(self, openid: str, scene: str) -> Delivery:
        """Scan a QR code with a scene: a follow for strangers, SCAN for followers."""
        if openid not in self.members or not self.members[openid].followed:
            return await self.follow(openid, scene)
        return await self.send_event(openid, "SCAN", scene, Ticket=self.rng.randbytes(24).hex())

    def knows_code(self, content: str) -> bool:
        """Whether what a QR code says leads to this account, still."""
        return self.codes.get(content, ("", 0.0))[1] > self.now()

    async def scan_code(self, openid: str, content: str) -> Delivery | None:
        """Scan a QR code that says this; None when it does not lead here."""
        return await self.scan(openid, self.codes[content][0]) if self.knows_code(content) else None

    async def click_menu(self, openid: str, key: str) -> Delivery:
        """Click a menu item of type click."""
        return await self.send_event(openid, "CLICK", key)

    async def click_link(self, openid: str, content: str, menu_id: str = "1") -> Delivery:
        """Click a weixin://bizmsgmenu link or a msgmenu option: sends its content."""
        return await self.send_text(openid, content, bizmsgmenuid=menu_id)

    async def answer_popup(self, openid: str, accepted: Mapping[str, bool]) -> Delivery:
        """Allow one notice of each template, or refuse; template -> whether it was allowed."""
        grants = self.member(openid).grants
        for template_id in filter(accepted.__getitem__, accepted):
            grants[template_id] = grants.get(template_id, 0) + 1
        rows = [
            {
                "TemplateId": template_id,
                "SubscribeStatusString": "accept" if yes else "reject",
                "PopupScene": "2",
            }
            for template_id, yes in accepted.items()
        ]
        return await self._notice_event(openid, "subscribe_msg_popup_event", rows)

    async def refuse_notices(self, openid: str, template_id: str) -> Delivery:
        """Switch a template's notices off in the account's settings."""
        self.member(openid).grants.pop(template_id, None)
        rows = [{"TemplateId": template_id, "SubscribeStatusString": "reject"}]
        return await self._notice_event(openid, "subscribe_msg_change_event", rows)

    async def _notice_event(self, openid: str, event: str, rows: list[dict[str, str]]) -> Delivery:
        name = "".join(word.capitalize() for word in event.split("_"))
        # JSON accounts get a single entry without its list, and all without the outer object.
        if self.account.body == "json":
            return await self.send_event(openid, event, List=rows if rows[1:] else rows[0])
        outer: dict[str, Any] = {name: {"List": rows}}
        return await self.send_event(openid, event, **outer)

    # What the platform reports

    async def report(self) -> list[Delivery]:
        """Deliver what was held back: finish events that are due, outcomes of notices."""
        due = [one for one in self.mass.jobs.values() if not one.told and one.ends_at <= self.now()]
        finished = [await self._finish(job) for job in due]
        held, self.notices.held = self.notices.held, []
        return finished + [await self._outcome(number) for number in held]

    def _on_job(self, job: MassJob) -> None:
        if self.mass.finish == "auto":
            self._later(self._finish(job, self.mass.finish_after_s))
        job.told = self.mass.finish == "lost"

    def _on_notice(self, number: int) -> None:
        if self.notices.report == "auto":
            self._later(self._outcome(number))
        elif self.notices.report == "hold":
            self.notices.held.append(number)

    def _later(self, report: Coroutine[Any, Any, Delivery]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(report)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _finish(self, job: MassJob, after_s: float = 0.0) -> Delivery:
        await asyncio.sleep(after_s)
        job.told = True
        fields = self.mass.finish_event(job)
        return await self.send_event(PLATFORM, "MASSSENDJOBFINISH", **fields)

    async def _outcome(self, number: int) -> Delivery:
        openid, event, fields = self.notices.event(number)
        return await self.send_event(openid, event, **fields)

    # What the console does

    async def verify_url(self) -> bool:
        """The console's GET check; True when exactly the echostr comes back."""
        timestamp, nonce = self._stamp()
        echo = str(self.rng.getrandbits(62))
        query = {
            "signature": sign(self.account.token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "echostr": echo,
        }
        try:
            async with asyncio.timeout(self.timeout_s):
                async with self._client().get(self.webhook, params=query) as response:
                    return response.status == 200 and await response.text() == echo
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return False

    # Building

    def message(self, openid: str, kind: str, **fields: Any) -> dict[str, Any]:
        """The fields of a message of that MsgType, with a fresh 64-bit MsgId."""
        base = self._base(openid, kind)
        return base | {"MsgId": self.rng.getrandbits(62) | 1 << 62} | fields

    def event(self, openid: str, event: str, event_key: str = "", **fields: Any) -> dict[str, Any]:
        """The fields of an event; events have no MsgId."""
        base = self._base(openid, "event")
        return base | {"Event": event, "EventKey": event_key} | fields

    def _base(self, openid: str, kind: str) -> dict[str, Any]:
        return {
            "ToUserName": self.account.gh_id,
            "FromUserName": openid,
            "CreateTime": int(self.now()),
            "MsgType": kind,
        }

    def _stamp(self) -> tuple[str, str]:
        return str(int(self.now())), str(self.rng.getrandbits(31))

    def post(self, fields: Mapping[str, Any], plain: str = "") -> Post:
        """Sign and seal a delivery the way the account's mode asks for.

        plain: the clear body, when it is already written (or is not what fields say).
        """
        account = self.account
        write: Callable[[Mapping[str, Any]], str] = _json if account.body == "json" else to_xml
        plain = plain or write(fields)
        timestamp, nonce = self._stamp()
        query = {
            "signature": sign(account.token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": str(fields.get("FromUserName", "")),
        }
        if account.mode == "plain":
            return Post(query, plain, plain)
        sealed = self._envelope.seal(plain)
        query["encrypt_type"] = "aes"
        query["msg_signature"] = sign(account.token, timestamp, nonce, sealed)
        clear: Mapping[str, Any] = fields
        if account.mode == "safe":
            clear = {"ToUserName": fields.get("ToUserName", account.gh_id)}
        return Post(query, write({**clear, "Encrypt": sealed}), plain)

    # Delivering

    async def deliver(
        self, fields: Mapping[str, Any], *, parallel: int = 1, fresh_nonce: bool = True
    ) -> Delivery:
        """Deliver until an answer is complete, at most `deliveries` times.

        parallel: that many copies run side by side, each with its own retries, as nobody
        promises that WeChat never overlaps; the member sees the first answer only.
        fresh_nonce: False repeats the very same query and body, as a replay would.
        Never raises for what the service does; the result says it.
        """
        self._delivery_count += 1
        delivery = Delivery(self._delivery_count, dict(fields))
        openid = str(fields.get("FromUserName", ""))
        openid = "" if openid == PLATFORM else openid  # nobody who has a chat
        if openid:
            self._note_interaction(openid, fields)
        first = self.post(fields)
        courses = [self._course(delivery, first, fresh_nonce) for _ in range(parallel)]
        endings = await asyncio.gather(*courses)
        good = [attempt for attempt in endings if not attempt.error]
        if good:
            delivery.reply = good[0].reply
            delivery.outcome = "replied" if good[0].reply else "success"
            if not good[0].body.strip():
                delivery.outcome = "empty"
        if openid:
            self._show_outcome(openid, delivery)
        return delivery

    def _note_interaction(self, openid: str, fields: Mapping[str, Any]) -> None:
        self.member(openid)
        event = str(fields.get("Event", "")).lower()
        if fields.get("MsgType") != "event":
            # A clicked msgmenu option counts as a menu click, not as a message.
            self.open_window(openid, "click" if "bizmsgmenuid" in fields else "message")
        elif event in _CLICK_EVENTS:
            self.open_window(openid, "click")

    def _show_outcome(self, openid: str, delivery: Delivery) -> None:
        at = self.now()
        event = str(delivery.fields.get("Event", "")).lower()
        if delivery.reply is not None:
            self.show(openid, _received(delivery.reply, at))
        elif delivery.outcome == "unavailable" and event not in _SILENT_EVENTS:
            self.show(openid, Received("notice", NOTICE, {}, "passive", at))

    async def _course(self, delivery: Delivery, post: Post, fresh_nonce: bool) -> Attempt:
        attempt = Attempt(0, error="no attempt was made")
        for number in range(1, self.deliveries + 1):
            if number > 1:
                if self.retry_pause_s:
                    await asyncio.sleep(self.retry_pause_s)
                if fresh_nonce:
                    post = self.post(delivery.fields, post.plain)
            attempt = Attempt(number)
            delivery.attempts.append(attempt)
            await self._attempt(delivery, attempt, post)
            if attempt.status == 200:
                break  # even a malformed answer ends it: WeChat got its answer
        return attempt

    async def _attempt(self, delivery: Delivery, attempt: Attempt, post: Post) -> None:
        kind = str(delivery.fields.get("Event") or delivery.fields.get("MsgType") or "?")
        entry = self.wire_open(
            WireEntry(
                id=0,
                at=self.now(),
                direction="to_bot",
                title=kind,
                delivery=delivery.number,
                attempt=attempt.number,
                attempts=self.deliveries,
                query=urlencode(post.query),
                body=post.body,
                plain=post.plain,
            )
        )
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                async with self._client().post(
                    self.webhook,
                    params=post.query,
                    data=post.body.encode(),
                    headers={"Content-Type": f"text/{self.account.body}"},
                    allow_redirects=False,
                ) as response:
                    raw = await response.read()
            attempt.status = response.status
            attempt.body = raw.decode(errors="replace")
            if response.status != 200:
                attempt.error = f"HTTP {response.status}"
            else:
                attempt.reply, entry.reply_plain = self._read_reply(raw, delivery.fields)
        except TimeoutError:
            attempt.error = f"no answer within {self.timeout_s:g} s"
        except aiohttp.ClientError as error:
            attempt.error = f"no connection: {type(error).__name__}"
        except BadReply as error:
            attempt.error = f"malformed answer: {error}"
        finally:
            attempt.ms = (time.perf_counter() - started) * 1000
            entry.status, entry.ms = attempt.status, attempt.ms
            entry.reply_body, entry.note = attempt.body, attempt.error
            self.wire_close(entry)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # WeChat has as many connections as it likes; our own queue must not add delay.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    # Reading answers

    def _read_reply(
        self, raw: bytes, asked: Mapping[str, Any]
    ) -> tuple[dict[str, Any] | None, str]:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise BadReply("not UTF-8") from None
        if text in ("", "success"):
            return None, ""
        account = self.account
        read = from_json if account.body == "json" else from_xml
        fields = read(text)
        if "Encrypt" in fields and account.mode != "plain":
            text = self._open_reply(fields)
            fields = read(text)
        elif account.mode == "safe":
            raise BadReply("a clear answer, although the account is in safe mode")
        _check_reply(fields, asked)
        return fields, text

    def _open_reply(self, fields: Mapping[str, Any]) -> str:
        parts = {name: str(fields.get(name, "")) for name in ("TimeStamp", "Nonce", "Encrypt")}
        for name, value in parts.items():
            if not value:
                raise BadReply(f"{name} is missing beside Encrypt")
        if not parts["TimeStamp"].isdecimal():
            raise BadReply("TimeStamp is not a number")
        expected = sign(self.account.token, *parts.values())
        if not same(expected, str(fields.get("MsgSignature", ""))):
            raise BadReply("MsgSignature is wrong")
        return self._envelope.open(parts["Encrypt"])


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def _articles(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = reply.get("Articles") or []
    if isinstance(found, dict):
        found = found.get("item", [])
    if isinstance(found, dict):
        found = [found]  # a single element arrives bare
    return [one for one in found if isinstance(one, dict)]


_REPLY_MEDIA = {"image": "Image", "voice": "Voice", "video": "Video"}


def _check_reply(reply: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """WeChat's rules for a passive reply; raises BadReply with the broken one."""
    if reply.get("ToUserName") != asked.get("FromUserName"):
        raise BadReply("ToUserName is not the member who wrote")
    if reply.get("FromUserName") != asked.get("ToUserName"):
        raise BadReply("FromUserName is not this account")
    if not str(reply.get("CreateTime", "")).isdecimal():
        raise BadReply("CreateTime is not a number")
    kind = reply.get("MsgType")
    if kind == "text":
        content = reply.get("Content")
        if not isinstance(content, str) or not content.strip():
            raise BadReply("Content is empty")
        if len(content.encode()) > 2048:
            raise BadReply(f"Content has {len(content.encode())} bytes, more than 2048")
    elif kind in _REPLY_MEDIA:
        part = reply.get(_REPLY_MEDIA[kind])
        if not isinstance(part, dict) or not part.get("MediaId"):
            raise BadReply("MediaId is missing")
    elif kind == "music":
        part = reply.get("Music")
        if not isinstance(part, dict) or not part.get("ThumbMediaId"):
            raise BadReply("ThumbMediaId is missing")
    elif kind == "news":
        count = len(_articles(reply))
        most = 1 if asked.get("MsgType") in _PLAIN_KINDS else 8
        if not 1 <= count <= most:
            raise BadReply(f"{count} articles, where 1 to {most} may be sent")
        if str(reply.get("ArticleCount")) != str(count):
            raise BadReply("ArticleCount is not the number of articles")
    elif kind != "transfer_customer_service":
        raise BadReply("MsgType is none a passive reply may have")


def _received(reply: Mapping[str, Any], at: float) -> Received:
    kind = str(reply.get("MsgType"))
    if kind == "transfer_customer_service":
        return Received("transfer", "已转接人工客服", reply, "passive", at)
    if kind == "news":
        cards = tuple(card(one) for one in _articles(reply))
        return Received(kind, cards[0]["title"], reply, "passive", at, cards)
    if kind in _REPLY_MEDIA:
        return Received(kind, str(reply[_REPLY_MEDIA[kind]]["MediaId"]), reply, "passive", at)
    if kind == "music":
        return Received(kind, str(reply["Music"].get("Title", "")), reply, "passive", at)
    return Received(kind, str(reply.get("Content", "")), reply, "passive", at)


__all__ = [
    "NOTICE",
    "Account",
    "Attempt",
    "Delivery",
    "FakeMember",
    "FakeWeChat",
    "Post",
    "Received",
    "WireEntry",
]
