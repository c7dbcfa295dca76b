"""An operator's evening: what members asked in vain by day is taught, mended and undone.

The whole bot, the fake WeChat and HTTP between them. Lin, Mei and others ask; the operator
answers from the list of gaps, and looks at what became of it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bot.transfer import faq_csv, read_faq
from store.content import NewFaq
from tests.proofs.world import OPERATOR, TEXTS, World, opened

UNKNOWN = TEXTS("faq.unknown")
MEMBERS = tuple(f"oMEMBER_of_the_evening_{name}" for name in ("lin", "mei", "wei"))
LIN, MEI, WEI = MEMBERS

FAQ = (
    NewFaq("怎么退款", "七天内可以退款。", ("如何退款",)),
    NewFaq("发票在哪里开", "在订单页点开发票。"),
    NewFaq("线下活动在哪里报名", "在公众号菜单里点活动。"),
    NewFaq("证书什么时候寄出", "结业后一年内寄出。"),
)
CERTIFICATE = 4


class Evening:
    """Who says what, and reads what back."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def say(self, who: str, words: str) -> str:
        return (await self.world.fake.send_text(who, words)).text

    async def operator(self, words: str) -> str:
        return await self.say(OPERATOR, words)

    async def tap(self, shown: str, label: str) -> str:
        """What comes back when the operator taps this link, as a phone would send it."""
        found = re.search(
            rf'<a href="weixin://bizmsgmenu\?msgmenucontent=([^"&]+)&msgmenuid=(\d+)">{label}</a>',
            shown,
        )
        assert found is not None, shown
        return (await self.world.fake.click_link(OPERATOR, found[1], found[2])).text

    async def gaps(self) -> set[str]:
        return {gap.sample for gap in await self.world.app.store.content.gaps(99)}


async def test_an_operators_evening(tmp_path: Path) -> None:
    async with opened(tmp_path, faq=FAQ) as world:
        evening = Evening(world)

        # By day: three ways to ask for the evening school, two for the club, one oddity.
        for who, asked in (
            (LIN, "有夜校吗"),
            (MEI, "有没有夜校"),
            (WEI, "夜校有吗"),
            (LIN, "有夜校吗"),
            (MEI, "你们在线下有聚会吗"),
            (WEI, "月球上有分店没"),
        ):
            assert await evening.say(who, asked) == UNKNOWN, asked
        # And the certificate's answer is wrong: who is told so, says so.
        for who in MEMBERS:
            told = await evening.say(who, "证书什么时候寄出")
            assert told.startswith("结业后一年内寄出。")
            await evening.say(who, "没用")

        # The evening begins with the list of what could not be answered.
        listed = await evening.operator("/faq gaps")
        assert "1. 有夜校吗 等 3 种问法（4 次）" in listed
        assert "最接近第 3 条：线下活动在哪里报名" in listed

        # The first group is taught in one line, and every wording of it is answered.
        said = await evening.operator("1 => 每周三晚上七点。")
        assert said == TEXTS("operator.faq_added", id=5, question="有夜校吗")
        for asked in ("有夜校吗", "有没有夜校", "夜校有吗？"):
            assert (await evening.say(LIN, asked)).startswith("每周三晚上七点。")

        # Another is only another wording of what is known: one tap.
        said = await evening.tap(listed, "并入")
        assert said.startswith("第 3 条「线下活动在哪里报名」多了 1 种问法")
        told = await evening.say(MEI, "你们在线下有聚会吗")
        assert told.startswith("在公众号菜单里点活动。")

        # The oddity needs no answer.
        number = re.search(r"^(\d+)\. 月球上有分店没", listed, re.MULTILINE)
        assert number is not None
        await evening.operator(f"忽略 {number[1]}")
        assert await evening.gaps() == set()
        assert await evening.operator("/faq gaps") == TEXTS("teach.gaps_none")

        # The report shows what members found useless; it is corrected.
        report = await evening.operator("/faq report")
        assert "4. 证书什么时候寄出（没用 3，有用 0，质量 20%）" in report
        assert "1. 怎么退款" not in report.partition("被说没用")[2]
        said = await evening.operator(f"/faq edit {CERTIFICATE} 结业后两周内寄出。")
        assert "原来是：结业后一年内寄出。" in said
        assert (await evening.say(LIN, "证书什么时候寄出")).startswith("结业后两周内寄出。")
        assert "证书什么时候寄出（没用" not in await evening.operator("/faq report")

        # On second thoughts the old answer was right: one word brings it back.
        said = await evening.operator("/faq undo")
        assert said.endswith("第 4 条：证书什么时候寄出")
        assert (await evening.say(MEI, "证书什么时候寄出")).startswith("结业后一年内寄出。")

        # Everything is written down, in the history and in the audit.
        history = await evening.operator("/faq history")
        assert [line.split("：")[0].split()[-1] for line in history.split("\n")[1:]] == [
            *("改答案", "忽略", "加问法", "添加")
        ]
        assert history.count("（已撤销）") == 1
        audit = [row.action for row in await world.app.store.audit.newest()]
        assert audit == ["faq.undo", "faq.edit", "faq.dismiss", "faq.alias", "faq.add"]

        # And what was learnt leaves with the export, aliases and all.
        path = tmp_path / "faq.csv"
        path.write_text(faq_csv(await world.app.store.content.faqs()), encoding="utf-8")
        exported = {entry.question: set(entry.aliases) for entry in read_faq(path)}
        assert exported["有夜校吗"] == {"有没有夜校", "夜校有吗"}
        assert exported["线下活动在哪里报名"] == {"你们在线下有聚会吗"}
        assert exported["怎么退款"] == {"如何退款"}
        await world.app.store.content.import_faq(read_faq(path), 2_000_000_000.0)
        after = {
            one.questions[0]: set(one.questions[1:]) for one in await world.app.store.content.faqs()
        }
        assert after == exported
