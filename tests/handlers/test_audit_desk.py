"""/audit: who did what, and whether anybody has touched the record."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.audit_desk import action
from handlers.texts import Texts
from tests.handlers.conftest import Conversation

BOSS = "o_boss"
ROOMS = Path(__file__).parents[2]


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    await talk.promote(BOSS)
    return talk


async def test_nothing_was_done_yet(boss: Conversation) -> None:
    assert await boss.say("/audit", BOSS) == boss.texts("audit.none")


async def test_the_newest_deeds_come_first_and_the_words_stay_out(boss: Conversation) -> None:
    for number, actor in enumerate(("member:3", "key:shop", "cli", "system", "other")):
        await boss.store.audit.add(boss.at + number, actor, "quiz.new", f"quiz:{number}", "秘密")
    said = await boss.say("/audit", BOSS)
    assert said.splitlines() == [
        "操作记录完整，共 5 条。最近的：",
        "11-21 10:30 other 建竞赛 竞赛 4",
        "11-21 10:30 系统 建竞赛 竞赛 3",
        "11-21 10:30 命令行 建竞赛 竞赛 2",
        "11-21 10:30 接口密钥 shop 建竞赛 竞赛 1",
        "11-21 10:30 成员 3 建竞赛 竞赛 0",
    ]
    assert len((await boss.say("/audit 2", BOSS)).splitlines()) == 3


@pytest.mark.parametrize(
    ("deed", "target", "said"),
    [
        ("campaign.undo", "campaign:3", "撤销群发的修改 活动 3"),
        ("journey.step.remove", "journey:2", "去掉旅程的步骤 旅程 2"),
        ("tag.keep", "tag:老 学员", "同步标签 标签 老 学员"),
        ("backup", "", "备份"),
        ("moon.land", "moon:1", "moon.land moon:1"),
        ("menu.push", "mp:", "发布菜单 mp:"),
    ],
)
async def test_deeds_are_told_in_chinese_and_unknown_ones_as_they_are(
    boss: Conversation, deed: str, target: str, said: str
) -> None:
    await boss.store.audit.add(boss.at, "cli", deed, target)
    assert (await boss.say("/audit", BOSS)).splitlines()[1] == f"11-21 10:30 命令行 {said}"


def _deeds() -> Iterator[str]:
    """Every action that the rooms write into the audit, as far as it stands there literally."""
    for room in ("handlers", "bot", "scheduler"):
        for file in (ROOMS / room).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                audits = called == "add" and "audit" in ast.unparse(node.func)
                if audits or called in ("Deed", "deed", "_deed", "audited", "audit", "erase"):
                    for one in node.args:
                        if isinstance(one, ast.Constant) and isinstance(one.value, str):
                            yield one.value


def test_every_deed_has_a_chinese_name() -> None:
    texts = Texts.load()
    deeds = {one for one in _deeds() if re.fullmatch(r"[a-z]+(\.[a-z]+)+", one)}
    assert len(deeds) > 30
    verbs = ("confirm", "override", "pause", "resume", "cancel")
    deeds |= {f"campaign.{verb}" for verb in verbs} | {"role", "erase", "backup"}
    assert [one for one in sorted(deeds) if action(texts, one) == one] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update audit set detail = '别的' where id = 2", "从第 2 条起被改动过"),
        ("update audit set actor = 'member:9' where id = 1", "从第 1 条起被改动过"),
        ("delete from audit where id = 2", "从第 3 条起被改动过"),
        ("delete from audit where id = 3", "末尾缺了几条"),
        ("delete from audit", "末尾缺了几条"),
    ],
)
async def test_what_was_tampered_with_shows(boss: Conversation, change: str, says: str) -> None:
    for number in range(3):
        await boss.store.audit.add(boss.at, "member:3", "role", f"member:{number}", "a -> b")
    await boss.store.db.write(lambda conn: conn.execute(change))
    assert says in await boss.say("/audit", BOSS)


async def test_analysts_may_look_and_members_may_not(boss: Conversation) -> None:
    await boss.promote("o_ana", "analyst")
    await boss.store.audit.add(boss.at, "cli", "role", "member:1")
    assert "命令行 改角色 成员 1" in await boss.say("/audit", "o_ana")
    assert await boss.say("/audit") == boss.texts("operator.not_allowed")


@pytest.mark.parametrize("typed", ["0", "51", "很多", "-1", "99999999999999999999"])
async def test_a_number_that_is_none(boss: Conversation, typed: str) -> None:
    assert await boss.say(f"/audit {typed}", BOSS) == boss.texts("audit.usage", limit=50)


async def test_fifty_rows_fit_on_the_way_out(boss: Conversation) -> None:
    for number in range(60):
        await boss.store.audit.add(boss.at, "member:3", "coupon.grant", f"offer:{number}")
    assert len((await boss.say("/audit 50", BOSS)).splitlines()) == 51
