"""An operator reads the week, asks why, looks closer, and writes to those who are about to leave.

The past is the demo's; what follows from it is worked out by the bot's own jobs, here instead of
in other processes; the chat is the bot's, over HTTP, to a fake WeChat. It is always the same
afternoon.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest

from bot.chart import Lettering
from bot.config import CampaignSettings
from bot.crunch import Crunch
from bot.insight_settings import InsightSettings
from bot.insight_side import InsightSide
from handlers.texts import Texts
from sandbox import history
from sandbox.fake_platform import FakeMember, Received
from store.groups import place_of
from tests.proofs.world import OPERATOR, World, opened, until

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOON = 1_773_817_200.0  # 2026-03-18 15:00 in Shanghai, a Wednesday
GROUPS = (("50002", "写作营同学群"), ("50001", "周末读书会"))
PLACES = tuple(place_of("qun", group) for group, _ in GROUPS)
WORDS = "好久不见，新课开了，回来看看。不想收到请回复退订"
CODE = re.compile(r"确认 ([0-9A-Z]{4})")


class Here(Crunch):
    """Does at once, in this process, what others would do beside the bot."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)


class Nowhere:
    """No picture is asked for while everything is worked out."""

    async def picture(self, channel: str, png: bytes) -> str:
        raise AssertionError("nobody asked for a picture")


async def work_out(world: World, now: Callable[[], float], alerts: list[str]) -> None:
    """What the jobs do in a night, and then each minute."""
    config = world.app.config

    async def tell(member: int | None, words: str, key: bytes) -> bool:
        alerts.append(words)
        return True

    side = InsightSide(
        replace(config, insights=InsightSettings()),
        world.app.store,
        Texts.load(),
        Nowhere(),
        Lettering(),
        official=frozenset(),
        pictures=frozenset(),
        now=now,
        tell=tell,
        crunch=Here(),
    )
    jobs = {job.name: job.run for job in side.jobs()}
    while not await history.read_out(world.app.store):
        await jobs["readings"]()
    for name in ("features", "refresh_insights", "mood_watch", "alerts"):
        await jobs[name]()
    await side.close()


class Chat:
    """What the operator types and reads. number: that stands before a line of the last report."""

    def __init__(self, world: World, alerts: list[str]) -> None:
        self.world = world
        self.alerts = alerts
        self.last = ""

    @property
    def inbox(self) -> list[Received]:
        return self.world.fake.member(OPERATOR).inbox

    async def says(self, text: str, *hears: str) -> str:
        self.last = (await self.world.fake.send_text(OPERATOR, text)).text
        for piece in hears:
            assert piece in self.last, f"{text}: {piece!r} is missing in\n{self.last}"
        return self.last

    async def picture(self) -> Received:
        """What came after the text: one picture that WeChat has."""

        async def there() -> Received | None:
            return next((one for one in reversed(self.inbox) if one.kind == "image"), None)

        shown: Received = await until(there, "the chart", pause_s=0.02)
        return shown

    def number(self, piece: str) -> str:
        """The number of the line with this in it."""
        found = re.search(rf"^(\d+)\. .*{re.escape(piece)}", self.last, re.MULTILINE)
        assert found is not None, f"{piece!r} is missing in\n{self.last}"
        return found[1]

    def seen(self, openid: str) -> list[str]:
        return [one.content for one in self.world.fake.member(openid).inbox]

    async def rows(self, sql: str, *args: object) -> list[int]:
        return [row[0] for row in await self.world.rows(sql, *args)]


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    begun = time.monotonic()

    def now() -> float:
        return NOON + time.monotonic() - begun

    sections = {
        "insights": InsightSettings(enabled=False),
        "campaigns": CampaignSettings(holdout_percent=0),
    }
    async with opened(tmp_path, now=now, sections=sections) as world:
        store, alerts = world.app.store, list[str]()
        for (group, title), place in zip(GROUPS, PLACES, strict=True):
            await store.groups.meet("qun", group, NOON - 80 * 86_400.0, name=title, bound_by="cli")
            assert place in {one.place for one in store.groups.all()}
        for openid in history.openids():
            world.fake.members[openid] = FakeMember(since=NOON)
        assert await history.write(store, NOON, PLACES)
        assert not await history.write(store, NOON, PLACES), "the past is written once"
        await world.fake.follow(OPERATOR)
        await work_out(world, now, alerts)
        yield Chat(world, alerts)


async def test_from_the_week_to_those_who_are_about_to_leave(chat: Chat) -> None:
    # What happened is told unasked: in one group the mood fell, in the other a word is new.
    told = "\n".join(chat.alerts)
    assert "周末读书会今天情绪变差" in told
    assert history.LESSON[2:] in told
    assert f"「{history.NEW_WORD}」在写作营同学群" in told

    # The week, in numbers that can be asked about; then its picture.
    await chat.says("/report week", "【一周】", "互动率", "正在升温", "接下来 7 天的互动")
    assert (await chat.picture()).route == "custom"
    assert [one.kind for one in chat.inbox][-1] == "image", "the text comes first"
    rate, mood = chat.number("互动率"), chat.number("负面")
    rising = chat.number(history.NEW_WORD)
    await chat.says(f"/why {rate}", "互动 ÷ 曝光", "算法：", "样本：", "95% 的把握")
    await chat.says(f"/why {mood}", "能判断的消息里", "涉及")
    await chat.says(f"/why {rising}", history.NEW_WORD, "例：")

    # From the mood of all to the group, from the group to its topic, to what was said.
    await chat.says("/report mood", "各群的情绪", "今天的负面")
    worst = chat.last.split("各群的情绪")[1]
    assert worst.index("周末读书会") < worst.index("写作营同学群")
    await chat.says("/report mood 周末读书会", "【情绪·周末读书会】", "回放：负面")
    await chat.says(f"/why {chat.number('回放：负面')}", "回放")
    await chat.says("/report topic 周末读书会", "回放")
    await chat.says(f"/why {chat.number('回放')}", "例：", "直播回放")

    # Two messages: whom and what, and the code below the preview.
    await chat.says("/report members", "快流失的成员")
    leaving = await chat.rows("select member_id from member_features where state = 'leaving'")
    assert len(leaving) >= 10
    assert f"快流失的成员 {len(leaving)}" in chat.last
    await chat.says(f"/report to 即将流失 {WORDS}", "草稿", WORDS, f"符合 {len(leaving)} 人")
    assert not await chat.rows("select member_id from deliveries"), "nothing goes out unconfirmed"
    code = CODE.search(chat.last)
    assert code is not None
    await chat.says(f"确认 {code[1]}", "马上开始")

    async def over() -> bool:
        return "已结束" in await chat.says("/campaign report 1", "写给即将流失")

    await until(over, "the campaign to end", pause_s=0.1)
    await chat.says("/campaign report 1", f"该发 {len(leaving)} 人")
    assert sorted(await chat.rows("select member_id from deliveries")) == sorted(leaving)
    got = {
        number
        for number in range(history.FIRST_ID, history.FIRST_ID + history.MEMBERS)
        if any(WORDS in one for one in chat.seen(history.openid(number)))
    }
    assert got == set(leaving), "they read it, and nobody else"
