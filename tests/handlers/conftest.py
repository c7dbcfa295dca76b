"""A conversation as the inbox would lead it: a real store, real knowledge, no network."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers import RULES
from handlers.campaigning import Campaigns
from handlers.context import SHANGHAI, ApiRefused, Business, Context, Invitations
from handlers.message import Kind, Message, Reply, reply_to_json
from handlers.recommending import Recommendations, Suggesting
from handlers.rewards import Rewards
from handlers.router import dispatch
from handlers.texts import Texts
from knowledge import Entry, Knowledge
from store import Store
from store.catalogue import Item
from store.content import NewFaq
from store.documents import StoredPassage
from store.members import NOBODY, OWNER_CLAIM
from store.messages import Finished, Incoming, Late
from store.sends import WAITING
from tests.blank import blank

CHANNEL = "mp"
TOPICS = ("新课", "直播", "Python")


class CountedLinks:
    """Links that say what they would count: the item's address with who, where from and why."""

    async def to_item(self, item: Item, member_id: int, source: str, ref: str = "") -> str:
        return f"{item.url}?m={member_id}&s={source}&r={ref}" if item.url else ""

    def in_text(self, text: str, ref: str, member_id: int) -> str:
        return text.replace("https://shop.example/", f"https://bot.example/r/{ref}/{member_id}/")

    async def make_link(
        self, what: str, *, campaign: str = "", variant: str = "", by: str
    ) -> tuple[str, str]:
        problems = {"nowhere": "unknown_item", "https://else.example/": "bad_url"}
        if what in problems:
            return "", problems[what]
        return f"https://bot.example/r/{what}/{campaign}/{variant}/{by}", ""


FAQS = (
    NewFaq("怎么退款", "七天内可以全额退款。", ("如何申请退款", "我要退钱")),
    NewFaq("怎么报名", "回复「课程」挑一门。", ("在哪报名",)),
    NewFaq("可以开发票吗", "可以，付款后在订单里申请。", ("发票怎么开", "发票抬头怎么改")),
    NewFaq("课程会过期吗", "不会，一直能看。", ("有效期多久",)),
    NewFaq("搜索不到课程怎么办", "换个词，或看全部课程。"),
    NewFaq("订阅号是什么", "就是我们每天发文章的账号。"),
)


def day(text: str) -> float:
    """When this day began in Shanghai, in Unix seconds."""
    return datetime.fromisoformat(f"{text}T00:00+08:00").timestamp()


def item(id: str, title: str, **fields: Any) -> Item:
    """A catalogue item; what a test does not care about is filled in."""
    usual: dict[str, Any] = {
        "kind": "course",
        "summary": f"讲讲{title}。",
        "tags": (),
        "authors": ("苏老师",),
        "level": "入门",
        "price_cents": 19_900,
        "url": f"https://shop.example/{id}",
        "cover_url": "",
        "published_at": day("2025-01-01"),
    }
    return Item(id=id, title=title, **{**usual, **fields})


ITEMS = (
    item("py-zero", "零基础学 Python", tags=("Python", "编程"), published_at=day("2025-03-05")),
    item("py-data", "Python 数据分析", tags=("Python", "数据分析"), price_cents=29_990),
    item("write", "写作入门", kind="column", published_at=day("2025-02-01"), authors=("林小满",)),
    item("plan", "十二周计划", kind="live", price_cents=0, level="", summary="", url=""),
)


class WeChat:
    """The channel's client: a menu of two buttons, until told to refuse."""

    def __init__(self) -> None:
        self.pushed = 0
        self.buttons = 2
        self.refusal = ""

    async def push_menu(self) -> int:
        if self.refusal:
            raise ApiRefused(self.refusal)
        self.pushed += 1
        return self.buttons


class Pushed:
    """Messages to members who did not ask: `plan` takes each key once, unless `closed`."""

    def __init__(self) -> None:
        self.sent: dict[bytes, tuple[int, Reply]] = {}
        self.closed = False

    async def plan(self, key: bytes, member_id: int, reply: Reply) -> bool:
        assert len(key) == 16
        if self.closed or key in self.sent:
            return False
        self.sent[key] = (member_id, reply)
        return True

    def to(self, member_id: int) -> list[str]:
        """The texts that went to a member."""
        return [reply.content for who, reply in self.sent.values() if who == member_id]


class Counted:
    """What the metrics were told."""

    def __init__(self) -> None:
        self.claims: list[str] = []
        self.guesses: list[str] = []

    def claim(self, outcome: str) -> None:
        self.claims.append(outcome)

    def wrong_code(self, who: str) -> None:
        self.guesses.append(who)


class Codes:
    """One claim code, used up by the first who knows it; not hashed, as the app's is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def claim(self, code: str, member_id: int, at: float, by: bytes) -> bool:
        return await self._store.members.claim_owner(member_id, code, at, by)

    async def unused(self) -> bool:
        return await self._store.meta.get(OWNER_CLAIM) is not None


class Conversation:
    """Says things to the handlers and hears their answers.

    reply, ctx: of the last message. now: the clock, moved by `later`.
    """

    def __init__(self, store: Store, knowledge: Knowledge) -> None:
        self.store = store
        self.knowledge = knowledge
        self.now = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
        self.texts = Texts.load()
        self.business = Business("知行社", TOPICS, "工作日 9:00–18:00")
        self.wechat = WeChat()
        self.codes = Codes(store)
        self.pushed = Pushed()
        self.counted = Counted()
        self.rewards = Rewards()
        self.invitations: Invitations | None = None
        self.campaigns: Campaigns | None = None
        self.recommendations: Recommendations | None = None
        self.suggesting = Suggesting()
        self.can_transfer = True
        self.answers: dict[str, str] = {}
        self.items: dict[str, Item] = {}
        self.passages: dict[str, StoredPassage] = {}
        self.demoted: frozenset[str] = frozenset()
        self.reloads = 0
        self.reply = Reply.none()
        self.ctx: Context | None = None
        self._numbers = itertools.count(1)

    @property
    def at(self) -> float:
        return self.now.timestamp()

    @property
    def handler(self) -> str:
        """What the log says of the last message."""
        return self._handler

    @property
    def item(self) -> str:
        assert self.ctx is not None
        return self.ctx.item

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    async def reload(self, *changed: str) -> None:
        """What `bot/app.py` does after a change of the content."""
        self.reloads += 1
        faqs = await self.store.content.faqs()
        items = await self.store.catalogue.items()
        self.answers = {f"faq:{one.id}": one.answer for one in faqs}
        self.items = {f"item:{one.id}": one for one in items}
        passages = await self.store.documents.passages()
        self.passages = {f"doc:{one.id}": one for one in passages}
        demoted = await self.store.learning.demoted()
        self.demoted = frozenset(f"faq:{number}" for number in demoted)
        self.knowledge.replace_all(
            [Entry(f"faq:{one.id}", one.questions) for one in faqs]
            + [Entry(f"doc:{one.id}", (one.heading, one.text)) for one in passages]
            + [
                Entry(f"item:{one.id}", (one.title, " ".join(one.tags)), one.summary)
                for one in items
            ]
        )

    async def fill(self) -> None:
        """The small business of these tests."""
        await self.store.content.import_faq(FAQS, self.at)
        await self.store.catalogue.put(ITEMS, self.at)
        await self.store.meta.put(OWNER_CLAIM, "7KQM-2X9D")
        await self.reload()

    def message(
        self,
        text: str = "",
        who: str = "o_lin",
        *,
        kind: Kind = "text",
        event: str = "",
        key: str = "",
        raw: Mapping[str, Any] | None = None,
    ) -> Message:
        number = next(self._numbers)
        return Message(
            CHANNEL,
            "gh_1",
            who,
            "event" if event else kind,
            int(self.at),
            hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest(),
            text.strip(),
            event,
            key,
            raw or {},
        )

    async def context(self, message: Message) -> Context:
        members = self.store.members
        member = NOBODY if message.is_report else members.known(CHANNEL, message.sender)
        if member is None:
            member = await members.meet(CHANNEL, message.sender, self.at)
        return Context(
            store=self.store,
            member=member,
            texts=self.texts,
            knowledge=self.knowledge,
            business=self.business,
            wechat=self.wechat,
            now=self.now,
            reload=self.reload,
            claims=self.codes,
            answers=self.answers,
            items=self.items,
            passages=self.passages,
            demoted=self.demoted,
            links=CountedLinks(),
            pushes=self.pushed,
            counts=self.counted,
            rewards=self.rewards,
            invitations=self.invitations,
            campaigns=self.campaigns,
            recommendations=self.recommendations,
            suggesting=self.suggesting,
            can_transfer=self.can_transfer,
        )

    async def hear(self, message: Message, *, crash_first: bool = False) -> str:
        """What the member reads: text, "" for nothing, "→" and the kind for other replies.

        crash_first: the process died before the answer was stored, so the message runs
        twice.
        """
        key = bytes.fromhex(message.key)
        incoming = Incoming(key, CHANNEL, message.sender, self.at, b"{}")
        await self.store.messages.record(incoming)
        if crash_first:
            await dispatch(RULES, message, await self.context(message))
        ctx = self.ctx = await self.context(message)
        outcome = await dispatch(RULES, message, ctx)
        event = message.kind == "event"
        words = message.event_key if event else message.text
        await self.store.messages.finish(
            Finished(
                key,
                reply_to_json(outcome.reply).encode(),
                self.at,
                CHANNEL,
                "" if message.is_report else message.sender,
                f"event:{message.event}" if event else message.kind,
                words if ctx.logged is None else ctx.logged,
                outcome.handler,
                ctx.item,
            )
        )
        self.reply, self._handler = outcome.reply, outcome.handler
        if self.reply.kind == "text":
            assert self.reply.content.strip()
            return self.reply.content
        return "" if self.reply.kind == "none" else f"→{self.reply.kind}"

    async def say(
        self,
        text: str,
        who: str = "o_lin",
        *,
        kind: Kind = "text",
        crash_first: bool = False,
    ) -> str:
        return await self.hear(self.message(text, who, kind=kind), crash_first=crash_first)

    async def happen(
        self,
        event: str,
        key: str = "",
        who: str = "o_lin",
        *,
        crash_first: bool = False,
        **raw: Any,
    ) -> str:
        message = self.message(who=who, event=event, key=key, raw=raw)
        return await self.hear(message, crash_first=crash_first)

    async def member(self, who: str = "o_lin") -> int:
        """The member's number."""
        return (await self.store.members.meet(CHANNEL, who, self.at)).id

    async def leave(self, *replies: str, who: str = "o_lin", status: str = WAITING) -> None:
        """Parts of an earlier answer that were too late for their exchange."""
        await self.member(who)
        key = hashlib.blake2b(f"late {who}".encode(), digest_size=16).digest()
        late = tuple(Late(part, reply, status) for part, reply in enumerate(replies))
        await self.store.messages.record(Incoming(key, CHANNEL, who, self.at, b"{}"))
        await self.store.messages.finish(
            Finished(
                *(key, b"", self.at, CHANNEL, who, "text", "", "faq", ""),
                allowance=5,
                late=late,
            )
        )

    async def promote(self, who: str, role: str = "operator") -> int:
        number = await self.member(who)
        assert await self.store.members.set_role(number, role)
        return number

    async def interactions(self) -> list[dict[str, Any]]:
        return await self.store.interactions.page(0)


@pytest.fixture(scope="session")
def words_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="session")
def loaded(words_cache: Path) -> Knowledge:
    """Loaded once; each conversation puts its own entries in."""
    knowledge = Knowledge()
    knowledge.load(words_cache)
    return knowledge


@pytest.fixture(scope="session")
def loaded_hesitant(words_cache: Path) -> Knowledge:
    """Never sure: whatever is alike is offered."""
    knowledge = Knowledge(answer_at=1.0, offer_at=0.05)
    knowledge.load(words_cache)
    return knowledge


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def empty(store: Store, loaded: Knowledge) -> Conversation:
    """Nothing in the store yet."""
    talk = Conversation(store, loaded)
    await talk.reload()
    return talk


@pytest.fixture
async def talk(store: Store, loaded: Knowledge) -> Conversation:
    """Six FAQ entries, four items."""
    talk = Conversation(store, loaded)
    await talk.fill()
    return talk


@pytest.fixture
async def hesitant(store: Store, loaded_hesitant: Knowledge) -> Conversation:
    """The same content, but every likeness is only offered."""
    talk = Conversation(store, loaded_hesitant)
    await talk.fill()
    return talk
