"""/teach and /faq: done at once, said so, undone on a word; and what members make of it."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.faq import MAX_CHARS
from handlers.teaching import MAX_ANSWER, entry_from, gone_stale, lesson_from, never_used, wording
from knowledge.index import MAX_ROWS
from store.content import NewFaq
from store.learning import Standing
from tests.handlers.conftest import Conversation

BOSS = "o_boss"
DAY = 86_400.0


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    """An operator is there."""
    await talk.promote(BOSS)
    return talk


async def audit(talk: Conversation) -> list[tuple[str, str]]:
    return [(row.action, row.target) for row in await talk.store.audit.newest()]


async def entry(talk: Conversation, number: int) -> tuple[tuple[str, ...], str]:
    found = await talk.store.learning.entry(number)
    assert found is not None
    return found.questions, found.answer


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("问 | 答", ("问", "答")),
        ("问题｜答案 | 还有竖线", ("问题", "答案 | 还有竖线")),
        ("怎么\n去 | 第一行\n第二行", ("怎么 去", "第一行\n第二行")),
        ("问", None),
        ("问 |", None),
        ("| 答", None),
        ("？ | 答", None),
        ("", None),
        ("长" * 201 + "|答", None),
    ],
)
def test_an_entry_as_typed(text: str, entry: tuple[str, str] | None) -> None:
    assert entry_from(text) == entry


@pytest.mark.parametrize(
    ("text", "lesson"),
    [
        ("问 => 答", (["问"], "答")),
        ("问=>答", (["问"], "答")),
        ("问 ＝＞ 答", (["问"], "答")),
        ("问 =＞ 答", (["问"], "答")),
        ("问 -> 答", (["问"], "答")),
        ("问 → 答", (["问"], "答")),
        ("问=》答", (["问"], "答")),
        ("问 ==> 答", (["问"], "答")),
        ("问 --> 答", (["问"], "答")),
        ("问——》答", (["问"], "答")),
        ("问 —> 答", (["问"], "答")),
        ("问 = > 答", (["问"], "答")),
        ("问 ⇒ 答", (["问"], "答")),
        ("问 ➡️ 答", (["问"], "答")),
        ("《甲》和《乙》 => 答", (["《甲》和《乙》"], "答")),
        ("怎么退款/能退吗／可以退不 => 答", (["怎么退款", "能退吗", "可以退不"], "答")),
        ("怎么退款？/能退吗？ / 求退 => 答", (["怎么退款？", "能退吗？", "求退"], "答")),
        ("微信/支付宝都可以付吗 => 答", (["微信/支付宝都可以付吗"], "答")),
        ("怎么退款/ => 答", (["怎么退款/"], "答")),
        ("有 24/7 客服吗/什么时候在 => 答", (["有 24/7 客服吗", "什么时候在"], "答")),
        ("问\n答", (["问"], "答")),
        ("问\n=> 答", (["问"], "答")),
        ("问\r\n第一行\n第二行 -> 还有", (["问"], "第一行\n第二行 -> 还有")),
        ("问 => 答 => 还有", (["问"], "答 => 还有")),
        ("一 / 二 ／ 三 / 一 => 答", (["一", "二", "三"], "答")),
        ("and/or 是什么 => 答", (["and/or 是什么"], "答")),
        ("一 / ？ => 答", None),
        ("问", None),
        ("问 =>", None),
        ("=> 答", None),
        ("", None),
        ("\n\n", None),
        ("长" * 201 + " => 答", None),
    ],
)
def test_a_lesson_as_typed(text: str, lesson: tuple[list[str], str] | None) -> None:
    assert lesson_from(text) == lesson


def test_a_wording_cannot_break_an_export_or_become_a_link() -> None:
    assert wording(" 一|二\x00\t三\n四 ") == "一 二 三 四"
    assert wording('<a href="weixin://x">点我</a>') == '＜a href="weixin://x">点我＜/a>'
    assert wording("长" * MAX_CHARS) == "长" * MAX_CHARS
    assert wording("长" * (MAX_CHARS + 1)) is None
    assert wording("？！") is None


# /teach


async def test_a_lesson_is_told_to_the_next_who_asks_in_any_of_its_wordings(
    boss: Conversation,
) -> None:
    assert await boss.say("老板养猫吗") == boss.texts("faq.unknown")
    said = await boss.say("/teach 老板养猫吗 / 公司有宠物没 => 养了两只", BOSS)
    assert said == boss.texts("operator.faq_added", id=7, question="老板养猫吗")
    assert (boss.handler, boss.item) == ("operator.teach", "faq:7")
    for asked in ("老板养猫吗？", "公司有宠物没"):
        assert (await boss.say(asked)).startswith("养了两只")
    assert await boss.store.content.gaps() == []
    assert await audit(boss) == [("faq.add", "faq:7")]


@pytest.mark.parametrize("question", ["怎么退款", "怎么退款？", "我要退钱"])
async def test_a_known_question_gets_the_new_answer_and_the_old_one_is_shown(
    boss: Conversation, question: str
) -> None:
    said = await boss.say(f"/teach {question} => 十四天内可以退。", BOSS)
    assert said == boss.texts(
        "teach.replaced", id=1, question="怎么退款", old="七天内可以全额退款。"
    )
    assert (await boss.say("怎么退款")).startswith("十四天内可以退。")
    assert len(await boss.store.content.faqs()) == 6
    await boss.say("/faq undo", BOSS)
    assert (await boss.say("怎么退款")).startswith("七天内可以全额退款。")


async def test_a_lesson_that_runs_twice_is_one_change(boss: Conversation) -> None:
    said = await boss.say("/teach 老板养猫吗 => 养了", BOSS, crash_first=True)
    assert said == boss.texts("operator.faq_added", id=7, question="老板养猫吗")
    said = await boss.say("/teach 老板养猫吗 => 没养", BOSS, crash_first=True)
    assert said == boss.texts("teach.replaced", id=7, question="老板养猫吗", old="养了")
    assert [one.kind for one in await boss.store.learning.changes()] == ["replace", "add"]
    assert await audit(boss) == [("faq.replace", "faq:7"), ("faq.add", "faq:7")]


async def test_the_same_lesson_again_changes_nothing(boss: Conversation) -> None:
    await boss.say("/teach 老板养猫吗 => 养了", BOSS)
    said = await boss.say("/teach 老板养猫吗？ => 养了", BOSS)
    assert said == boss.texts("teach.same", id=7)
    assert len(await audit(boss)) == 1


async def test_an_alias_of_another_entry_is_said_and_nothing_is_half_done(
    boss: Conversation,
) -> None:
    said = await boss.say("/teach 老板养猫吗 / 我要退钱 => 养了", BOSS)
    assert said == boss.texts("teach.taken", question="我要退钱", id=1)
    assert len(await boss.store.content.faqs()) == 6
    assert await audit(boss) == []


@pytest.mark.parametrize("typed", ["/teach", "/teach 问", "/teach => 答", "/teach 一 / ？ => 答"])
async def test_half_a_lesson_gets_the_usage(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("teach.usage", limit=MAX_CHARS)


async def test_a_lesson_from_a_member_is_refused_like_any_command(boss: Conversation) -> None:
    assert await boss.say("/teach 老板养猫吗 => 养了") == boss.texts("operator.not_allowed")
    assert len(await boss.store.content.faqs()) == 6


# /faq add, list, del


async def test_an_added_answer_is_given_to_the_next_who_asks(boss: Conversation) -> None:
    assert await boss.say("老板养猫吗") == boss.texts("faq.unknown")
    said = await boss.say("/faq add 老板养猫吗 | 养了两只 😀", BOSS)
    assert said == boss.texts("operator.faq_added", id=7, question="老板养猫吗")
    assert (await boss.say("老板养猫吗？")).startswith("养了两只 😀")
    assert await boss.store.content.gaps() == []
    assert await audit(boss) == [("faq.add", "faq:7")]


async def test_other_wordings_of_the_gap_are_closed_too(boss: Conversation) -> None:
    await boss.say("请问老板养猫吗？")
    await boss.say("龘靐齉爩怎么读")
    await boss.say("/faq add 老板养猫吗 | 养了", BOSS)
    assert [gap.sample for gap in await boss.store.content.gaps()] == ["龘靐齉爩怎么读"]


async def test_adding_that_runs_twice_adds_once(boss: Conversation) -> None:
    said = await boss.say("/faq add 老板养猫吗 | 养了", BOSS, crash_first=True)
    assert said == boss.texts("operator.faq_added", id=7, question="老板养猫吗")
    assert len(await boss.store.content.faqs()) == 7
    assert await audit(boss) == [("faq.add", "faq:7")]


@pytest.mark.parametrize("question", ["怎么退款", "我要退钱"])
async def test_a_question_that_exists_is_named_with_its_number(
    boss: Conversation, question: str
) -> None:
    said = await boss.say(f"/faq add {question} | 不退", BOSS)
    assert said == boss.texts("operator.faq_exists", id=1, question=question)
    assert (await boss.say("怎么退款")).startswith("七天内")
    assert await audit(boss) == []


@pytest.mark.parametrize("typed", ["/faq add", "/faq add 问", "/faq add | 答", "/faq add 问 |"])
async def test_half_an_entry_gets_the_usage(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("operator.faq_add_usage", limit=200)


@pytest.mark.parametrize("typed", ["/faq", "/faq what", "/faq 12", "/faq 怎么退款", "/faq |"])
async def test_an_unknown_faq_command_gets_the_usage(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("operator.faq_usage")


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("/faq addd 问 | 答", "/faq add"),
        ("/faq gap", "/faq gaps"),
        ("/faq delete 3", "/faq del"),
        ("/FAQ ＵＮＤ", "/faq undo"),
        ("/faq historie 3", "/faq history"),
    ],
)
async def test_a_misspelt_faq_command_names_the_nearest(
    boss: Conversation, typed: str, nearest: str
) -> None:
    assert f"你是不是想用「{nearest}」" in await boss.say(typed, BOSS)
    assert len(await boss.store.content.faqs()) == 6


@pytest.mark.parametrize("typed", ["/faq add龘靐吗|会", "/faqadd 龘靐吗 | 会", "/teach龘靐吗=>会"])
async def test_a_missing_blank_is_no_other_command(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("operator.faq_added", id=7, question="龘靐吗")


async def test_what_an_entry_holds_is_never_a_template(boss: Conversation) -> None:
    await boss.say("/faq add 什么是{question} | {answer} ]]> %s", BOSS)
    assert (await boss.say("什么是{question}")).startswith("{answer} ]]> %s")


async def test_the_list_has_pages(boss: Conversation) -> None:
    await boss.store.content.import_faq(
        [NewFaq(f"第 {n} 个问题", "答") for n in range(20)], boss.at
    )
    said = await boss.say("/faq list", BOSS)
    assert said.startswith("共 26 条问答，第 1/3 页：\n1. 怎么退款\n")
    assert said.endswith("/faq list 2」看下一页。")
    assert (await boss.say("/faq list 3", BOSS)).endswith("26. 第 19 个问题")
    for page in ("99", "0", "x", "-1"):
        assert "页：" in await boss.say(f"/faq list {page}", BOSS)


async def test_an_empty_list_says_how_to_begin(empty: Conversation) -> None:
    await empty.promote(BOSS)
    assert await empty.say("/faq list", BOSS) == empty.texts("operator.faq_none")


@pytest.mark.parametrize("number", ["99", "0"])
async def test_deleting_what_is_not_there(boss: Conversation, number: str) -> None:
    said = await boss.say(f"/faq del {number}", BOSS)
    assert said == boss.texts("operator.faq_not_found", id=number)
    assert await boss.say("/faq del", BOSS) == boss.texts("operator.faq_del_usage")
    assert await boss.say("/faq del x", BOSS) == boss.texts("operator.faq_del_usage")


async def test_a_careful_operator_who_adds_the_same_again_is_told(boss: Conversation) -> None:
    await boss.say("/faq add 老板养猫吗 | 养了", BOSS)
    said = await boss.say("/faq add 老板养猫吗 | 养了", BOSS)
    assert said == boss.texts("teach.same", id=7)


# /faq edit, alias, unalias, show


async def test_an_edited_answer_is_the_next_one_told(boss: Conversation) -> None:
    said = await boss.say("/faq edit 1 第一行\n第二行", BOSS, crash_first=True)
    assert said == boss.texts("teach.edited", id=1, question="怎么退款", old="七天内可以全额退款。")
    assert (await boss.say("怎么退款")).startswith("第一行\n第二行\n")
    assert await audit(boss) == [("faq.edit", "faq:1")]
    assert await boss.say("/faq edit 1 第一行\n第二行", BOSS) == boss.texts("teach.same", id=1)
    assert await boss.say("/faq edit 99 答", BOSS) == boss.texts("operator.faq_not_found", id=99)
    for typed in ("/faq edit", "/faq edit 1", "/faq edit x 答"):
        assert await boss.say(typed, BOSS) == boss.texts("teach.edit_usage")


async def test_wordings_come_and_go(boss: Conversation) -> None:
    said = await boss.say("/faq alias 2 怎么加入 / 名额还有吗 / 怎么报名？", BOSS, crash_first=True)
    assert said == boss.texts(
        "teach.aliased", id=2, question="怎么报名", count=2, aliases="怎么加入 / 名额还有吗"
    )
    assert (await boss.say("名额还有吗")).startswith("回复「课程」挑一门。")
    said = await boss.say("/faq unalias 2 名额还有吗？", BOSS, crash_first=True)
    assert said == boss.texts("teach.unaliased", id=2, question="怎么报名", alias="名额还有吗")
    assert (await entry(boss, 2))[0] == ("怎么报名", "在哪报名", "怎么加入")
    assert await audit(boss) == [("faq.unalias", "faq:2"), ("faq.alias", "faq:2")]


async def test_wordings_that_cannot_come_or_go(boss: Conversation) -> None:
    usage = boss.texts("teach.alias_usage", limit=MAX_CHARS)
    for typed in ("/faq alias", "/faq alias 2", "/faq alias 2 ？", "/faq alias x 问"):
        assert await boss.say(typed, BOSS) == usage
    assert await boss.say("/faq unalias 2", BOSS) == boss.texts("teach.unalias_usage")
    said = await boss.say("/faq alias 2 新问法 / 我要退钱", BOSS)
    assert said == boss.texts("teach.taken", question="我要退钱", id=1)
    assert await boss.say("/faq alias 2 在哪报名", BOSS) == boss.texts("teach.same", id=2)
    assert await boss.say("/faq alias 99 问", BOSS) == boss.texts("operator.faq_not_found", id=99)
    said = await boss.say("/faq unalias 2 怎么报名", BOSS)
    assert said == boss.texts("teach.main", question="怎么报名", id=2)
    said = await boss.say("/faq unalias 2 没有的", BOSS)
    assert said == boss.texts("teach.not_an_alias", id=2)
    assert await audit(boss) == []


async def test_an_entry_takes_as_many_wordings_as_the_index_reads(boss: Conversation) -> None:
    full = tuple(f"第{number}种说法" for number in range(MAX_ROWS - 1))
    await boss.store.content.import_faq([NewFaq("满了的问题", "答", full)], boss.at)
    await boss.reload()
    said = await boss.say("/faq alias 7 再来一种", BOSS)
    assert said == boss.texts("teach.full", limit=MAX_ROWS)
    await boss.say("/faq unalias 7 第3种说法", BOSS)
    assert "再来一种" in await boss.say("/faq alias 7 再来一种", BOSS)


async def test_an_entry_is_shown_with_all_that_is_known_of_it(boss: Conversation) -> None:
    await boss.say("怎么退款")
    await boss.say("没用")
    said = await boss.say("/faq show 1", BOSS)
    assert said == boss.texts(
        "teach.show",
        id=1,
        question="怎么退款",
        aliases="如何申请退款 / 我要退钱",
        answer="七天内可以全额退款。",
        useful=0,
        useless=1,
        days=30,
        uses=1,
        last="2026-11-21",
    )
    said = await boss.say("/faq show #5", BOSS)
    assert "其他问法：无" in said
    assert said.endswith("最近一次：没有记录")
    assert await boss.say("/faq show", BOSS) == boss.texts("teach.show_usage")
    assert await boss.say("/faq show 99", BOSS) == boss.texts("operator.faq_not_found", id=99)


async def test_an_answer_that_no_import_would_take_back_is_refused(boss: Conversation) -> None:
    long = "长" * (MAX_ANSWER + 1)
    for typed in (f"/teach 新问题 => {long}", f"/faq add 新问题 | {long}", f"/faq edit 1 {long}"):
        assert await boss.say(typed, BOSS) == boss.texts("errors.too_long", limit=MAX_ANSWER)
    assert await boss.store.learning.changes() == []


# /faq undo, history


async def test_a_deleted_entry_comes_back_with_its_number(boss: Conversation) -> None:
    await boss.say("/faq del 1", BOSS)
    await boss.say("确认", BOSS)
    assert not (await boss.say("怎么退款")).startswith("七天内")
    said = await boss.say("/faq undo", BOSS, crash_first=True)
    assert said == boss.texts("teach.undone", change=1, what="删除", id=1, question="怎么退款")
    assert (await boss.say("我要退钱")).startswith("七天内")
    assert await audit(boss) == [("faq.undo", "faq:1"), ("faq.del", "faq:1")]
    assert await boss.say("/faq undo", BOSS) == boss.texts("teach.undo_nothing")


async def test_undoing_a_lesson_brings_its_gaps_back(boss: Conversation) -> None:
    for asked in ("老板养猫吗", "请问老板养猫吗？", "请问老板养猫吗？", "养猫吗老板"):
        await boss.say(asked)
    before = await boss.store.content.gaps()
    assert sum(gap.count for gap in before) == 4
    await boss.say("/teach 老板养猫吗 => 养了", BOSS)
    assert await boss.store.content.gaps() == []
    await boss.say("/faq undo", BOSS)
    after = await boss.store.content.gaps()
    assert [(gap.sample, gap.count) for gap in after] == [(gap.sample, gap.count) for gap in before]
    assert await boss.say("老板养猫吗") == boss.texts("faq.unknown")


async def test_any_operator_may_undo_by_number_but_not_past_a_later_change(
    boss: Conversation,
) -> None:
    await boss.promote("o_second")
    await boss.say("/faq edit 1 一", BOSS)
    await boss.say("/faq edit 1 二", BOSS)
    texts = boss.texts
    assert await boss.say("/faq undo", "o_second") == texts("teach.undo_nothing")
    assert await boss.say("/faq undo 1", "o_second") == texts("teach.undo_later", id=1, change=2)
    await boss.say("/faq undo #2", "o_second")
    assert (await boss.say("怎么退款")).startswith("一")
    assert await boss.say("/faq undo 2", BOSS) == texts("teach.undo_again", change=2)
    assert await boss.say("/faq undo 99", BOSS) == texts("teach.undo_missing", change=99)
    assert await boss.say("/faq undo x", BOSS) == texts("teach.undo_usage")
    await boss.store.content.import_faq([NewFaq("怎么退款", "导入的")], boss.at)
    assert await boss.say("/faq undo 1", BOSS) == texts("teach.undo_moved", id=1, change=1)


async def test_a_wording_given_away_meanwhile_is_in_the_way_of_an_undo(
    boss: Conversation,
) -> None:
    await boss.say("/faq unalias 1 我要退钱", BOSS)
    await boss.say("/teach 我要退钱 => 找客服。", BOSS)
    said = await boss.say("/faq undo 1", BOSS)
    assert said == boss.texts("teach.taken", question="我要退钱", id=7)


async def test_the_history_names_who_did_what_and_when(boss: Conversation) -> None:
    assert await boss.say("/faq history", BOSS) == boss.texts("teach.history_none")
    number = await boss.member(BOSS)
    await boss.say("/faq edit 1 一", BOSS)
    boss.later(minutes=5)
    await boss.say("/faq alias 2 怎么加入", BOSS)
    await boss.say("/faq undo", BOSS)
    assert (await boss.say("/faq history", BOSS)).split("\n")[1:] == [
        f"#2 11-21 10:35 成员 {number} 加问法：第 2 条 怎么报名（已撤销）",
        f"#1 11-21 10:30 成员 {number} 改答案：第 1 条 怎么退款",
    ]
    assert "#2" not in await boss.say("/faq history 1", BOSS)


# Votes


async def test_a_useless_answer_shows_in_the_report_and_after_five_is_not_told_outright(
    boss: Conversation,
) -> None:
    for number in range(5):
        await boss.say("怎么退款", f"o_{number}")
        reloads = boss.reloads
        await boss.say("没用", f"o_{number}", crash_first=number == 2)
    assert boss.reloads == reloads + 1, "the fifth vote must reach those who answer"
    assert await boss.store.learning.demoted() == {1}
    await boss.say("怎么报名")
    await boss.say("没用")
    await boss.say("有用")
    said = await boss.say("/faq report", BOSS)
    assert "1. 怎么退款（没用 5，有用 0，质量 14%，只作选项不直接答）" in said.split("\n")
    assert "2. 怎么报名（没用" not in said, "their last word was 有用"
    boss.later(seconds=1)
    await boss.say("/faq edit 1 现在说清楚了", BOSS)
    assert await boss.store.learning.demoted() == frozenset()
    assert "没用 5" not in await boss.say("/faq report", BOSS)


async def test_the_report_in_full(boss: Conversation) -> None:
    await boss.say("可以开发票吗")
    boss.later(days=95)
    for asked in ("老板养猫吗", "怎么退款", "怎么退款", "怎么报名"):
        await boss.say(asked)
    await boss.say("没用")
    said = await boss.say("/faq report 7", BOSS)
    assert said.split("\n") == [
        "近 7 天的问答",
        "直接答上 75%（3 次），给出选项 0 次，没答上 1 次",
        "问答 6 条，另有问法 6 种",
        "用得最多：",
        "1. 怎么退款（2 次）",
        "2. 怎么报名（1 次）",
        "被说没用：",
        "2. 怎么报名（没用 1，有用 0，质量 33%）",
        "添加 30 天还没用过（3 条）：",
        "4. 课程会过期吗",
        "5. 搜索不到课程怎么办",
        "6. 订阅号是什么",
        "90 天没用过（1 条）：",
        "3. 可以开发票吗",
    ]


@pytest.mark.parametrize("typed", ["x", "0", "366", "-1"])
async def test_a_report_over_no_such_days(boss: Conversation, typed: str) -> None:
    said = await boss.say(f"/faq report {typed}", BOSS)
    assert said == boss.texts("teach.report_usage", days=30, limit=365)


async def test_a_report_of_nothing(empty: Conversation) -> None:
    await empty.promote(BOSS)
    said = await empty.say("/faq report", BOSS)
    assert said.split("\n")[1] == "直接答上 无（0 次），给出选项 0 次，没答上 0 次"


def standing(number: int, **fields: Any) -> Standing:
    usual = {"aliases": 0, "created_at": 0.0, "uses": 0, "last_used_at": 0.0}
    return Standing(number, "问", **{**usual, "useful": 0, "useless": 0, **fields})


def test_what_is_new_is_not_called_unused_and_what_was_used_not_never() -> None:
    now = 1000 * DAY
    entries = [
        standing(1, created_at=now - 29 * DAY),
        standing(2, created_at=now - 30 * DAY),
        standing(3, last_used_at=now - 89 * DAY),
        standing(4, last_used_at=now - 90 * DAY),
        standing(5, last_used_at=now - 200 * DAY),
    ]
    assert [one.faq_id for one in never_used(entries, now)] == [2]
    assert [one.faq_id for one in gone_stale(entries, now)] == [5, 4]
