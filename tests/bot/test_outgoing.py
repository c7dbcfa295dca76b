"""The whole bot sends a campaign: chat, runner, WeChat's APIs and its events, over HTTP.

What each part does alone is tested beside it; here they are wired as `bot/app.py` wires them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import time as day_time
from pathlib import Path
from typing import Any

from bot.app import App
from bot.settings import CampaignSettings
from sandbox.fake_platform import Received
from store.campaigns import Campaign
from tests.bot.wechat_world import NOON
from tests.proofs.world import OPERATOR, SEND, World, opened, until

MASS = "/cgi-bin/message/mass/send"
LIN, MEI, WEI = FANS = tuple(f"oFAN_of_the_campaigns_{name}_" for name in ("lin", "mei", "wei"))
TEXT = "今晚八点直播，来吗？（回复「退订」不再收到）"
CODE = re.compile(r"确认 ([0-9A-Z]{4})")
SETTINGS: dict[str, Any] = {
    "quiet_from": day_time(0, 0),
    "quiet_until": day_time(0, 0),
    "cap_per_day": 0,
    "cap_per_week": 0,
    "holdout_percent": 0.0,
}


@dataclass
class Ahead:
    """The time of day in the bot and at WeChat: a Friday's noon, running on."""

    by_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return NOON + self.by_s + time.monotonic() - self.began


class Office:
    """An operator in chat, and what arrives where."""

    def __init__(self, world: World, clock: Ahead) -> None:
        self.world = world
        self.clock = clock

    @asynccontextmanager
    async def again(self) -> AsyncIterator[None]:
        """The bot, started anew on its file, before the same WeChat."""
        app = App(self.world.app.config, now=self.clock, say=lambda _: None)
        await app.start()
        try:
            await app.ready.wait()
            self.world.fake.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/mp"
            self.world.app = app
            yield
        finally:
            await app.stop()

    async def says(self, text: str, *hears: str, who: str = OPERATOR) -> str:
        said = (await self.world.fake.send_text(who, text)).text
        for piece in hears:
            assert piece in said, said
        return said

    async def audience(self, *openids: str, silent: bool = False) -> None:
        """Followers; unless silent, they wrote a moment ago."""
        for openid in openids:
            await self.world.fake.follow(openid)
            if not silent:
                await self.world.fake.send_text(openid, "课程")

    async def drafts(self, *lines: str, text: str = TEXT) -> tuple[int, str]:
        """A draft by its written form; its number, and the code that confirms it."""
        said = await self.says("\n".join(("/campaign new 直播预告", *lines, f"文字：{text}")))
        number, code = re.search(r"活动 (\d+)", said), CODE.search(said)
        assert number is not None, said
        assert code is not None, said
        return int(number[1]), code[1]

    async def sends(self, *lines: str, text: str = TEXT) -> int:
        """A campaign, drafted and confirmed."""
        number, code = await self.drafts(*lines, text=text)
        await self.says(f"确认 {code}", f"活动 {number} ")
        return number

    async def campaign(self, number: int) -> Campaign:
        found = await self.world.app.store.campaigns.get(number)
        assert found is not None
        return found

    async def ends(self, number: int, status: str = "done") -> Campaign:
        async def there() -> bool:
            return (await self.campaign(number)).status == status

        await until(there, f"campaign {number} to be {status}", pause_s=0.05)
        return await self.campaign(number)

    async def counts(self, number: int) -> dict[str, int]:
        return dict(await self.world.app.store.deliveries.counts(number))

    def got(self, openid: str, piece: str = "今晚八点直播") -> list[Received]:
        """What of the campaign this phone shows."""
        return [one for one in self.world.fake.member(openid).inbox if piece in one.content]

    async def is_told(self, piece: str) -> str:
        """What the operator's phone shows that nobody asked for."""

        def there() -> str:
            inbox = self.world.fake.member(OPERATOR).inbox
            unasked = (one.content for one in inbox if one.route != "passive")
            return next((text for text in unasked if piece in text), "")

        return str(await until(there, f"the operator to read {piece}"))


@asynccontextmanager
async def office(folder: Path, drain_s: float = 3.0, **settings: Any) -> AsyncIterator[Office]:
    sections = {"campaigns": CampaignSettings(**{**SETTINGS, **settings})}
    clock = Ahead()
    async with opened(folder, sections=sections, now=clock, drain_s=drain_s) as world:
        yield Office(world, clock)


async def _seconds(run: Awaitable[None]) -> float:
    started = time.monotonic()
    await run
    return time.monotonic() - started


async def test_from_a_draft_in_chat_to_every_phone(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.audience(*FANS)
        await desk.says("/help", "/campaign new 一步步来")
        number, code = await desk.drafts("对象：所有人", "对照：无")
        await asyncio.sleep(0)
        assert not any(desk.got(one) for one in FANS), "nothing goes out unconfirmed"
        await desk.says("确认 2222", "确认码不对")
        await desk.says(f"确认 {code}", f"活动 {number} 马上开始，发给 4 人")
        await desk.ends(number)
        for openid in FANS:
            [seen] = desk.got(openid)
            assert (seen.route, seen.content) == ("custom", TEXT)
        assert await desk.counts(number) == {"accepted": 4}
        await desk.says(f"/campaign report {number}", "已结束", "该发 4 人，微信已接收 4 人")
        await desk.says("/audit", "操作记录完整", f"确认群发 活动 {number}")


async def test_a_mass_send_is_settled_by_its_finish_event(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        fake = desk.world.fake
        fake.mass.finish = "hold"
        await desk.audience(*FANS, silent=True)
        fake.members[WEI].muted = True
        number = await desk.sends("对象：所有人", "方式：群发", "对照：无")

        async def accepted() -> bool:
            return (await desk.counts(number)).get("accepted") == 4

        await until(accepted, "WeChat to take the mass send")
        assert fake.calls[MASS] == 1
        await desk.says(f"/campaign report {number}", "该发 4 人")
        messages = await desk.world.rows("select count(*) from interactions")
        assert [one.outcome for one in await fake.report()] == ["success"]

        async def told() -> bool:
            return "微信的统计" in await desk.says(f"/campaign report {number}")

        await until(told, "the counts")
        said = await desk.says(f"/campaign report {number}", "已结束", "送达 3，失败 0")
        assert "共 4，过滤掉 1" in said
        people = await desk.world.rows("select count(*) from members")
        assert people == [(4,)], "who the event seems to come from is nobody"
        more = await desk.world.rows("select count(*) from interactions where kind like 'event:m%'")
        assert (messages[0][0] > 0, more) == (True, [(0,)])
        assert [len(desk.got(one)) for one in FANS] == [1, 1, 0]


async def test_a_late_campaign_asks_its_owner_first(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.audience(*FANS)
        number, code = await desk.drafts("对象：所有人", "对照：无", "时间：今晚8点")
        await desk.says(f"确认 {code}", "今天 20:00", "发给 4 人")
        await desk.world.app.stop()
        desk.clock.by_s = 8 * 3600 + 1800
        async with desk.again():
            await desk.ends(number, "late")
            told = await desk.is_told("错过了开始的时间")
            assert f"/campaign resume {number}" in told
            assert not any(desk.got(one) for one in FANS)
            await desk.says(f"/campaign resume {number}", "继续了")
            await desk.ends(number)
            assert [len(desk.got(one)) for one in FANS] == [1, 1, 1]


async def test_a_used_up_quota_pauses_and_says_so(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.audience(*FANS)
        number, code = await desk.drafts("对象：所有人", "对照：无")
        desk.world.fake.daily[SEND] = 0
        await desk.says(f"确认 {code}", "马上开始")
        await desk.ends(number, "paused")
        assert await desk.counts(number) == {"planned": 4}
        told = await desk.is_told("停")
        assert f"活动 {number}「直播预告」" in told
        assert "用完" in told, told
        await desk.says(f"/campaign report {number}", "已暂停", "用完")
        del desk.world.fake.daily[SEND]


async def test_a_stop_in_the_middle_takes_seconds_and_a_start_goes_on(tmp_path: Path) -> None:
    fans = tuple(f"oFAN_in_the_middle_{number:02}_____" for number in range(12))
    async with office(tmp_path, parallel=2) as desk:
        await desk.audience(*fans)
        desk.world.fake.api_hang_s = 0.1
        number = await desk.sends("对象：所有人", "对照：无")
        await until(lambda: any(desk.got(one) for one in fans), "the first message")
        assert await _seconds(desk.world.app.stop()) < 3.0
        sent = sum(len(desk.got(one)) for one in fans)
        assert 0 < sent < len(fans)
        desk.world.fake.api_hang_s = 0.0
        async with desk.again():
            await desk.ends(number)
            counts = await desk.counts(number)
        assert {len(desk.got(one)) for one in fans} == {1}, "nobody left out, and nobody twice"
        assert counts == {"accepted": 13}


async def test_a_stop_does_not_wait_for_an_answer_that_never_comes(tmp_path: Path) -> None:
    async with office(tmp_path, drain_s=0.3) as desk:
        await desk.audience(*FANS)
        number, code = await desk.drafts("对象：所有人", "对照：无")
        desk.world.fake.api_hang_s = 60.0
        await desk.says(f"确认 {code}", "马上开始")
        await until(lambda: desk.world.fake.calls[SEND] >= 4, "calls under way")
        assert await _seconds(desk.world.app.stop()) < 3.0
        desk.world.fake.api_hang_s = 0.0
        async with desk.again():
            await desk.ends(number)
            assert await desk.counts(number) == {"unknown": 4}, "so an operator is asked"
            await desk.says("/campaign unknown", "不知道送没送到的")
