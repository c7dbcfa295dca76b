"""The ear: what a gateway hears in groups is written once, judged, and answered when it may be."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bot.hearing import STRANGERS, Ear
from handlers.addressing import Address, GroupSpeech, wanted
from handlers.message import Message, Talk
from store import Store, StoreError
from store.edges import Edge
from store.groups import Group
from tests.blank import blank
from tests.store.rows import ask_file

NOW = 1_763_600_000.0
PLACE = "qun:1"
BOT, LIN, MEI, TAO = "wx_bot", "wx_lin", "wx_mei", "wx_tao"


@dataclass(frozen=True)
class Judgement:
    severity: int


@dataclass
class Strict:
    """An order that knows an advert by its first word."""

    acted: list[tuple[str, bool]] = field(default_factory=list)
    broken: bool = False
    gate: asyncio.Event | None = None

    def judge(
        self, message: Message, group: Group, member_id: int | None, now: float, *, operator: bool
    ) -> Judgement:
        if self.broken:
            raise RuntimeError("a rule that nobody tried")
        if operator or not message.text.startswith(("广告", "可疑")):
            return Judgement(0)
        return Judgement(3 if message.text.startswith("广告") else 1)

    async def act(
        self,
        message: Message,
        group: Group,
        member_id: int | None,
        judgement: Judgement,
        now: float,
        *,
        recorded: bool = True,
    ) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.acted.append((message.text, recorded))


class Room:
    """An ear over a real store, what it took for the bot, and what it overheard."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.store = Store(blank(path), durability="process", owners=[("qun", "wx_boss")])
        self.order = Strict()
        self.taken: list[str] = []
        self.overheard: list[str] = []
        self.takes = True
        self.at = NOW
        self.ear = self.another(**options)

    def another(self, **options: Any) -> Ear:
        speech = GroupSpeech(names=("小知",))

        def meant(message: Message, group: Group | None, now: float) -> Address | None:
            return wanted(message, group, speech, now=now)

        async def take(message: Message, body: bytes) -> bool:
            if self.takes:
                self.taken.append(body.decode())
            return self.takes

        async def overhear(message: Message, group: Group, now: float) -> None:
            self.overheard.append(message.text)
            if "出错" in message.text:
                raise StoreError("the disk is full")

        return Ear(
            self.store,
            order=self.order,
            wanted=meant,
            take=take,
            now=lambda: self.at,
            overheard=overhear,
            **options,
        )

    async def bind(self) -> None:
        await self.store.groups.meet("qun", "1", NOW, bound_by="op")

    async def say(self, text: str, sender: str = LIN, **talk: Any) -> bool:
        self.at += 10.0
        return await self.ear.hear(said(text, sender, **talk), text.encode())

    async def texts(self) -> list[str]:
        return [one.text for one in await self.store.talk.recent(PLACE, 99)]

    async def edges(self) -> dict[tuple[str, str], float]:
        names = dict(ask_file(self.store.db.path, "select member_id, external_id from identities"))
        found: list[Edge] = await self.store.edges.between([PLACE], self.at)
        return {(names[e.from_id], names[e.to_id]): round(e.weight, 2) for e in found}


def said(text: str, sender: str = LIN, *, number: str = "", **talk: Any) -> Message:
    key = hashlib.blake2b(f"{text} {sender} {number}".encode(), digest_size=16).hexdigest()
    of = Talk(**{"group": "1", "message_id": key[:8], **talk})
    return Message("qun", BOT, sender, "text", int(NOW), key, text, source="onebot", talk=of)


def event(what: str, sender: str = LIN, key: str = "", **talk: Any) -> Message:
    number = hashlib.blake2b(f"{what} {sender} {key}".encode(), digest_size=16).hexdigest()
    return Message(
        "qun", BOT, sender, "event", int(NOW), number, event=what, event_key=key,
        source="onebot", talk=Talk(group="1", **talk),
    )  # fmt: skip


@asynccontextmanager
async def room(path: Path, *, bound: bool = True, **options: Any) -> AsyncIterator[Room]:
    opened = Room(path / "zhiqun.db", **options)
    await opened.store.open()
    if bound:
        await opened.bind()
    try:
        yield opened
    finally:
        await opened.ear.close()
        await opened.store.close()


async def test_people_talk_and_the_bot_only_listens(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        assert await here.say("有人在吗，想问下几点开课")
        assert await here.say("@小林 晚上八点", MEI, mentions=(LIN,))
        assert await here.texts() == ["有人在吗，想问下几点开课", "@小林 晚上八点"]
        assert here.taken == []
        edges = await here.edges()
        assert edges[MEI, LIN] > 0.9
        assert set(edges) == {(MEI, LIN)}


async def test_who_calls_the_bot_is_answered_and_turns_to_nobody(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("明天一起去吗", MEI)
        assert await here.say("@小知 几点开课", addressed=True)
        assert here.taken == ["@小知 几点开课"]
        assert await here.edges() == {}
        (row,) = await here.store.talk.recent(PLACE, 1)
        assert row.addressed


async def test_in_a_group_that_nobody_bound_nothing_is_kept(tmp_path: Path) -> None:
    async with room(tmp_path, bound=False) as here:
        assert await here.say("你好")
        assert await here.say("@小知 签到", addressed=True)
        assert await here.ear.hear(event("group_join", MEI, name="小美"), b"")
        assert await here.say("/group bind", "wx_boss")
        assert here.taken == ["/group bind"]
        for table in ("talk", "edges", "members", "group_members"):
            assert ask_file(here.store.db.path, f"select count(*) from {table}") == [(0,)], table
        group = here.store.groups.known(PLACE)
        assert group is not None
        assert not group.bound


async def test_a_message_told_twice_is_heard_once(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        message = said("小知 在吗")
        heard = await asyncio.gather(*(here.ear.hear(message, b"1") for _ in range(5)))
        assert heard == [True] * 5
        assert await here.ear.hear(message, b"1")
        assert here.taken == ["1"]
        # Another process does not know what this one heard; the row does.
        again = here.another()
        assert await again.hear(message, b"1")
        assert await here.texts() == ["小知 在吗"]
        await again.close()


async def test_what_the_inbox_refuses_comes_again(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.takes = False
        message = said("小知 在吗")
        assert not await here.ear.hear(message, b"1")
        here.takes = True
        assert await here.ear.hear(message, b"1")
        assert here.taken == ["1"]
        assert await here.texts() == ["小知 在吗"]


async def test_a_store_that_refuses_lets_the_gateway_come_again(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("在吗")
        await here.store.close()
        assert not await here.say("小知 在吗")
        assert not await here.ear.hear(event("group_join", TAO), b"")
        assert here.taken == []


async def test_an_advert_is_hidden_acted_on_once_and_never_answered(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("刷单吗", MEI)
        advert = said("广告 小知 加我微信", TAO, addressed=True, mentions=(MEI,))
        assert await here.ear.hear(advert, b"ad")
        assert await here.ear.hear(advert, b"ad")
        await here.ear.close()
        assert here.order.acted == [("广告 小知 加我微信", True)]
        assert here.taken == []
        assert await here.texts() == ["刷单吗"]
        assert await here.edges() == {}


async def test_a_doubt_is_noted_and_the_bot_still_answers(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("可疑 小知 签到", addressed=True)
        await here.ear.close()
        assert here.order.acted == [("可疑 小知 签到", True)]
        assert here.taken == ["可疑 小知 签到"]


async def test_a_rule_that_fails_silences_no_group(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.order.broken = True
        assert await here.say("小知 在吗")
        assert here.taken == ["小知 在吗"]


async def test_a_slow_report_holds_nobody_up(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.order.gate = asyncio.Event()
        async with asyncio.timeout(5):
            assert await here.say("广告", TAO)
            assert await here.say("又来了")
        assert here.ear.running == 1
        here.order.gate.set()
        await here.ear.close()
        assert here.ear.running == 0


async def test_of_who_opted_out_nothing_is_kept_and_the_bot_still_answers(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("我是小林", name="小林")
        await here.say("你好 小林", MEI, mentions=(LIN,))
        lin = here.store.members.known("qun", LIN)
        assert lin is not None
        await here.store.talk.opt(lin.id, recorded=False)
        await here.say("小知 签到", name="小林")
        await here.say("@小林 谢谢", MEI, mentions=(LIN,))
        await here.say("广告", name="小林")
        await here.ear.close()
        assert here.taken == ["小知 签到"]
        assert here.order.acted == [("广告", False)]
        assert await here.texts() == ["你好 小林", "@小林 谢谢"]
        assert await here.edges() == {}
        assert "小林" not in {one.name for one in await here.store.groups.members(PLACE)}


async def test_a_quote_is_certain_also_after_a_restart(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        first = said("几点开课")
        await here.ear.hear(first, b"")
        for number in range(40):
            await here.say(f"第{number}句闲话", TAO)
        again = here.another()
        assert first.talk is not None
        quotes = first.talk.message_id
        here.at += 10
        await again.hear(said("八点", MEI, quotes=quotes, quoted="几点开课"), b"")
        assert (await here.edges())[MEI, LIN] == 1.0
        await again.close()


async def test_the_window_is_read_again_after_a_restart(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("这个 docker-compose 怎么启动不了", LIN)
        again = here.another()
        here.at += 10
        await again.hear(said("docker-compose 版本太旧了，升级一下", MEI), b"")
        assert (await here.edges())[MEI, LIN] > 0.3
        await again.close()


async def test_who_comes_and_goes(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.ear.hear(event("group_join", MEI, name="小美"), b"")
        await here.ear.hear(event("group_join", TAO), b"")
        members = await here.store.groups.members(PLACE)
        assert [one.name for one in members] == ["小美", ""]
        await here.ear.hear(event("group_leave", MEI), b"")
        await here.ear.hear(event("group_leave", "wx_never_met"), b"")
        assert await here.store.groups.count(PLACE) == 1
        assert ask_file(here.store.db.path, "select count(*) from members") == [(2,)]


async def test_the_bot_comes_and_goes(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.ear.hear(event("bot_leave", LIN), b"")
        group = here.store.groups.known(PLACE)
        assert group is not None
        assert not group.bound
        await here.ear.hear(event("bot_join", LIN), b"")
        back = here.store.groups.known(PLACE)
        assert back is not None
        assert not back.bound, "anybody could have let it in again"
        assert here.store.groups.called("1") == [back]


async def test_a_recalled_message_loses_its_words(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.say("发错了", message_id="m1")
        await here.ear.hear(event("group_recall", key="m1"), b"")
        assert await here.texts() == []


async def test_who_answers_unasked_is_told_of_everything_once_but_adverts(
    tmp_path: Path,
) -> None:
    async with room(tmp_path) as here:
        message = said("请问怎么领优惠券？")
        await here.ear.hear(message, b"")
        again = here.another()
        await again.hear(message, b"")
        await here.say("广告 加我领券", TAO)
        await here.say("小知 怎么领优惠券")
        assert here.overheard == ["请问怎么领优惠券？", "小知 怎么领优惠券"]
        await again.close()


async def test_what_goes_wrong_there_loses_no_message(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        assert await here.say("小知 出错了吗")
        assert here.taken == ["小知 出错了吗"]


async def test_our_own_words_and_private_ones_are_not_talk(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        assert await here.say("我是机器人", BOT)
        alone = Message("qun", BOT, LIN, "text", int(NOW), "00" * 16, "你好", source="onebot")
        assert await here.ear.hear(alone, b"")
        assert await here.texts() == []


async def test_too_much_at_once_is_refused_and_the_rest_is_heard(tmp_path: Path) -> None:
    async with room(tmp_path, under_way=3) as here:
        many = [here.ear.hear(said(f"第{n}句"), b"") for n in range(5)]
        heard = await asyncio.gather(*many)
        assert heard.count(True) == 3
        assert await here.say("后来的")
        await here.ear.close()
        assert not await here.say("太晚了")


async def test_the_memory_of_groups_is_bounded(tmp_path: Path) -> None:
    async with room(tmp_path, windows=2) as here:
        for group in ("1", "2", "3", "1", "2", "3"):
            await here.store.groups.meet("qun", group, NOW, bound_by="op")
            assert await here.say(f"你好{here.at}", group=group)
        assert len(here.ear._windows) == 2


async def test_a_robot_that_hears_mentions_only_is_noted_without_an_answer(tmp_path: Path) -> None:
    async with room(tmp_path, bound=False) as here:
        plain = said("@小知 几点开课", addressed=True)
        robots = Message(
            "qun", "", LIN, "text", int(NOW), plain.key, plain.text, source="wecom",
            talk=Talk(group="1", addressed=True),
        )  # fmt: skip
        await here.ear.note(robots)
        await here.ear.note(robots)
        await here.ear.note(event("bot_leave"))
        assert await here.texts() == ["@小知 几点开课"]
        assert here.taken == []
        group = here.store.groups.known(PLACE)
        assert group is not None
        assert group.bound


async def test_a_caller_that_gives_up_stops_nothing(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        call = asyncio.create_task(here.ear.hear(said("小知 在吗"), b"1"))
        await asyncio.sleep(0)
        call.cancel()
        async with asyncio.timeout(5):
            while here.ear.running:
                await asyncio.sleep(0.005)
        assert here.taken == ["1"]


async def test_a_stranger_in_an_unknown_group_leaves_no_trace(tmp_path: Path) -> None:
    async with room(tmp_path, bound=False) as here:
        for number in range(30):
            message = said("/group bind", TAO, number=str(number), addressed=True)
            assert await here.ear.hear(message, b"")
        await here.say("大家好", MEI)
        await here.ear.hear(event("group_join", MEI, name="小美"), b"")
        assert here.taken == []
        assert here.store.groups.all() == []
        for table in ("groups", "members", "messages", "interactions"):
            assert ask_file(here.store.db.path, f"select count(*) from {table}") == [(0,)], table


async def test_an_operator_by_the_table_binds_an_unknown_group_too(tmp_path: Path) -> None:
    async with room(tmp_path, bound=False) as here:
        lin = await here.store.members.meet("qun", LIN, NOW)
        await here.store.members.set_role(lin.id, "operator")
        assert here.store.members.known("qun", LIN) is None, "nothing is in the cache"
        await here.say("/group bind", LIN)
        assert here.taken == ["/group bind"]
        assert here.store.groups.known(PLACE) is not None


async def test_whoever_lets_the_bot_in_all_day_fills_no_table(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        for number in range(STRANGERS + 20):
            join = event("bot_join", key=str(number))
            where = Talk(group=f"{number:03}@chatroom")
            assert await here.ear.hear(replace(join, talk=where), b"")
        assert len(here.store.groups.all()) == STRANGERS + 1, "with the one that is bound"
        assert here.store.groups.known("qun:000@chatroom") is None
        assert here.store.groups.known(f"qun:{STRANGERS + 19:03}@chatroom") is not None


async def test_who_was_thrown_out_hears_nothing_until_an_operator_binds_again(
    tmp_path: Path,
) -> None:
    async with room(tmp_path) as here:
        await here.ear.hear(event("bot_leave", TAO), b"")
        assert await here.say("小知 在吗", MEI)
        left = here.store.groups.known(PLACE)
        assert left is not None
        assert left.left_at is not None, "a word of a member brings nobody back"
        assert await here.say("/group bind", "wx_boss")
        assert here.taken == ["/group bind"]
        assert await here.texts() == []


async def test_who_calls_too_often_is_heard_but_not_answered(tmp_path: Path) -> None:
    calls: list[str] = []

    def enough(message: Message, meant: object, now: float) -> bool:
        calls.append(message.sender)
        return calls.count(message.sender) > 2

    async with room(tmp_path, enough=enough) as here:
        for number in range(4):
            await here.say(f"小知 问题 {number}", MEI)
            await here.say(f"小知 运营 {number}", "wx_boss")
        await here.say("小知 在吗", TAO)
        await here.say("闲聊", TAO)
        assert [one for one in here.taken if "问题" in one] == ["小知 问题 0", "小知 问题 1"]
        assert len([one for one in here.taken if "运营" in one]) == 4
        assert here.taken[-1] == "小知 在吗"
        assert "wx_boss" not in calls
        assert calls.count(TAO) == 1, "what is not meant for the bot is no call"
        assert len(await here.texts()) == 10
