"""/audit: who did what, and whether anybody has touched the record."""

from __future__ import annotations

import pytest

from tests.handlers.conftest import Conversation

BOSS = "o_boss"


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
        "11-21 10:30 other quiz.new quiz:4",
        "11-21 10:30 系统 quiz.new quiz:3",
        "11-21 10:30 命令行 quiz.new quiz:2",
        "11-21 10:30 接口密钥 shop quiz.new quiz:1",
        "11-21 10:30 成员 3 quiz.new quiz:0",
    ]
    assert len((await boss.say("/audit 2", BOSS)).splitlines()) == 3


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
    assert "命令行 role member:1" in await boss.say("/audit", "o_ana")
    assert await boss.say("/audit") == boss.texts("operator.not_allowed")


@pytest.mark.parametrize("typed", ["0", "51", "很多", "-1", "99999999999999999999"])
async def test_a_number_that_is_none(boss: Conversation, typed: str) -> None:
    assert await boss.say(f"/audit {typed}", BOSS) == boss.texts("audit.usage", limit=50)


async def test_fifty_rows_fit_on_the_way_out(boss: Conversation) -> None:
    for number in range(60):
        await boss.store.audit.add(boss.at, "member:3", "coupon.grant", f"offer:{number}")
    assert len((await boss.say("/audit 50", BOSS)).splitlines()) == 51
