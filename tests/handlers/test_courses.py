"""A learner's own courses: progress as the shop reported it, homework, reminders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from handlers.courses import chapter_reached, finished, next_chapter
from store.catalogue import Chapter
from store.courses import ALL_COURSES, Learning
from store.events import NewEvent
from tests.handlers.conftest import Conversation, item

CHAPTERS = (
    Chapter("a", "开篇", "https://shop.example/py-zero/a"),
    Chapter("b", "变量", "https://shop.example/py-zero/b"),
    Chapter("c", "循环"),
)
COURSE = item("py-zero", "零基础学 Python", tags=("Python",), chapters=CHAPTERS)
Happens = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture
async def happens(talk: Conversation) -> Happens:
    """Events of the shop about o_lin; the course has three chapters."""
    await talk.store.catalogue.put([COURSE], talk.at)
    await talk.reload()
    number = itertools.count()

    async def happen(kind: str, item_id: str = "py-zero", **fields: Any) -> None:
        event = NewEvent(
            event_id=f"e{next(number)}",
            kind=kind,
            at=talk.at + next(number),
            member_id=await talk.member(),
            item_id=item_id,
            **fields,
        )
        await talk.store.events.add([event], talk.at)

    return happen


def test_the_furthest_chapter_and_the_next_one() -> None:
    assert chapter_reached(COURSE, {}) == 0
    assert chapter_reached(COURSE, {"a": 100, "b": 40}) == 2
    assert chapter_reached(COURSE, {"b": 0, "gone": 100}) == 0
    assert next_chapter(COURSE, {"a": 100, "b": 40}) == CHAPTERS[1]
    assert next_chapter(COURSE, {"b": 100}) == CHAPTERS[0], "one that was left out"
    assert next_chapter(COURSE, dict.fromkeys("abc", 100)) is None
    assert next_chapter(item("x", "没有章节"), {}) is None


def test_a_course_is_finished_when_the_shop_says_so_or_nothing_is_left() -> None:
    assert finished(COURSE, Learning("py-zero", 0.0, completed_at=1.0))
    assert finished(COURSE, Learning("py-zero", 0.0, chapters=dict.fromkeys("abc", 100)))
    assert not finished(COURSE, Learning("py-zero", 0.0, chapters=dict.fromkeys("ab", 100)))
    assert not finished(item("x", "没有章节"), Learning("x", 0.0))


async def test_without_a_course_it_says_so(talk: Conversation) -> None:
    for typed in ("我的课程", "我的课", "我买的课"):
        assert await talk.say(typed) == talk.texts("course.none")
    said = await talk.say("交作业 写完了")
    assert said == talk.texts("course.homework_no_course"), "and that nothing was kept"
    assert await handed_in(talk) == []


async def test_progress_and_the_next_chapter(talk: Conversation, happens: Happens) -> None:
    await happens("purchase", order_id="o1", amount_cents=19_900)
    await happens("enroll", "write")
    await happens("complete", "write")
    await happens("progress", chapter_id="b", percent=40)
    await happens("progress", chapter_id="a", percent=100)
    said = await talk.say("我的课程")
    me = await talk.member()
    assert said.split("\n") == [
        talk.texts("course.head"),
        "1. 零基础学 Python（学到 2/3 章）",
        "接着学：变量",
        f"https://bot.example/r/item:py-zero/{me}/py-zero/b",
        "2. 写作入门（已学完）",
    ]
    assert "《零基础学 Python》学到 2/3 章" in await talk.say("1", crash_first=True)
    assert (talk.handler, talk.item) == ("course.card", "item:py-zero")
    assert "《零基础学 Python》199 元" in await talk.say("多少钱"), "it is what was told last"


async def test_a_refund_takes_the_course_away(talk: Conversation, happens: Happens) -> None:
    await happens("purchase", order_id="o1")
    await talk.say("我的课程")
    await happens("refund", order_id="o1")
    assert await talk.say("1") == talk.texts("content.choice_gone")
    assert await talk.say("我的课程") == talk.texts("course.none")


async def test_what_was_bought_stays_when_it_leaves_the_shelf(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll")
    await happens("enroll", "only-in-the-shop")
    await happens("purchase", "plan")
    await talk.store.catalogue.archive("py-zero", talk.at)
    await talk.reload()
    said = await talk.say("我的课程")
    assert "零基础学 Python（还没开始）" in said
    assert "only-in-the-shop（还没开始）" in said
    assert "十二周计划" not in said, "a live session is no course"


# Homework


async def handed_in(talk: Conversation) -> list[tuple[str, str, str]]:
    found = await talk.store.courses.homework_of(await talk.member(), 10)
    return [(one.item_id, one.chapter_id, one.text) for one in found]


@pytest.mark.parametrize("typed", ["交作业 写完了\n第二行", "交作业：写完了\n第二行"])
async def test_homework_for_the_only_course(
    talk: Conversation, happens: Happens, typed: str
) -> None:
    await happens("enroll")
    await happens("progress", chapter_id="b", percent=10)
    said = await talk.say(typed, crash_first=True)
    assert said == talk.texts("course.homework_kept", title="零基础学 Python")
    assert await handed_in(talk) == [("py-zero", "b", "写完了\n第二行")], (
        "once, though it ran twice"
    )
    mine = await talk.say("我的作业")
    assert "《零基础学 Python》写完了 第二行" in mine


async def test_homework_for_one_of_several_asks_which(talk: Conversation, happens: Happens) -> None:
    await happens("enroll", "write")
    await happens("enroll")
    said = await talk.say("交作业 第一篇", crash_first=True)
    assert said.split("\n") == [talk.texts("course.which"), "1. 零基础学 Python", "2. 写作入门"]
    assert await handed_in(talk) == []
    said = await talk.say("2", crash_first=True)
    assert said == talk.texts("course.homework_kept", title="写作入门")
    assert await handed_in(talk) == [("write", "", "第一篇")]
    assert await talk.say("2") == said
    said = await talk.say("1", crash_first=True)
    assert said == talk.texts("course.homework_elsewhere", title="写作入门"), "kept once"
    assert len(await handed_in(talk)) == 1


async def test_homework_for_the_course_in_hand_or_by_number(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll", "write")
    await happens("enroll")
    await talk.say("我的课程")
    await talk.say("2")
    await talk.say("交作业 散文一篇")
    await talk.say("交作业 1 程序一个")
    await talk.say("交作业 3 道题都对")
    assert [(item_id, text) for item_id, _, text in await handed_in(talk)] == [
        ("write", "3 道题都对"),
        ("py-zero", "程序一个"),
        ("write", "散文一篇"),
    ]


async def test_with_one_course_a_number_belongs_to_the_homework(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll")
    await talk.say("交作业 1 号题做完了")
    assert [text for *_, text in await handed_in(talk)] == ["1 号题做完了"]


async def test_homework_that_waits_is_forgotten_on_leaving(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll", "write")
    await happens("enroll")
    await talk.say("交作业 第一篇")
    await talk.say("退出")
    await talk.say("1")
    assert await handed_in(talk) == []


@pytest.mark.parametrize("typed", ["交作业", "提交作业", "交作业 　。"])
async def test_homework_without_words_says_how(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("course.homework_usage")
    assert await talk.say("我的作业") == talk.texts("course.homework_none")


async def test_a_question_about_homework_stays_a_question(talk: Conversation) -> None:
    await talk.say("交作业的地方在哪")
    assert not talk.handler.startswith("course")


# Reminders


async def test_reminders_are_asked_for_and_given_up(talk: Conversation, happens: Happens) -> None:
    member = await talk.member()
    for _ in range(2):
        assert await talk.say("提醒我") == talk.texts("course.remind_all")
    assert await talk.store.courses.reminded_of(member) == [ALL_COURSES]
    assert await talk.say("关闭提醒") == talk.texts("course.remind_off")
    assert await talk.store.courses.reminded_of(member) == []
    await happens("enroll")
    said = await talk.say("开启提醒 Python")
    assert said == talk.texts("course.remind_one", title="零基础学 Python")
    assert await talk.store.courses.reminded_of(member) == ["py-zero"]
    assert await talk.say("开启提醒 写作") == talk.texts("course.remind_unknown"), "not theirs"


async def test_a_reminder_for_the_course_in_hand(talk: Conversation, happens: Happens) -> None:
    await happens("enroll")
    await talk.say("我的课程")
    await talk.say("1")
    assert await talk.say("提醒我") == talk.texts("course.remind_one", title="零基础学 Python")
    await talk.say("写作入门多少钱")
    assert await talk.say("提醒我") == talk.texts("course.remind_all"), "that one is not theirs"


# Operators


async def test_operators_read_homework_by_page_and_course(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll", "write")
    await happens("enroll")
    await talk.promote("o_boss")
    assert await talk.say("/homework", "o_boss") == talk.texts("course.handed_in_none")
    for number in range(6):
        await talk.say(f"交作业 1 程序 {number}")
    await talk.say("交作业 2 " + "散文" * 200)
    said = await talk.say("/homework", "o_boss")
    assert said.startswith(talk.texts("course.handed_in_head", count=7, page=1, pages=2))
    assert f"成员 {await talk.member()} " in said
    assert said.index("散文") < said.index("程序 5")
    assert "程序 2" in said
    assert "程序 1" not in said
    assert "程序 0" in await talk.say("/homework 2", "o_boss")
    assert "第 2/2 页" in await talk.say("/homework 99", "o_boss"), "the last page there is"
    said = await talk.say("/homework 写作入门", "o_boss")
    assert "散文" in said
    assert "程序" not in said
    assert "程序 0" in await talk.say("/homework py-zero 2", "o_boss")
    assert await talk.say("/homework 潜水", "o_boss") == talk.texts("course.homework_unknown")
    looked = [row.target for row in await talk.store.audit.newest(10)]
    assert looked[:2] == ["item:py-zero", "item:write"]


async def test_a_question_about_ones_courses_is_about_them(
    talk: Conversation, happens: Happens
) -> None:
    await happens("enroll")
    await talk.say("我的课程")
    assert "1. 开篇\n2. 变量" in await talk.say("目录"), "the only one"
    await talk.say("退出")
    await happens("enroll", "write")
    await talk.say("我的课程")
    assert await talk.say("谁讲的", crash_first=True) == talk.texts("follow.which_listed")
    assert "林小满" in await talk.say("1", crash_first=True)
    await talk.say("我的课程")
    await talk.say("怎么报名")
    assert talk.handler == "faq", "nobody sells what they have"
    assert "写作入门（" in await talk.say("还有别的课吗"), "the catalogue"


async def test_members_may_not_read_homework(talk: Conversation) -> None:
    assert await talk.say("/homework") == talk.texts("operator.not_allowed")


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "关闭提醒",
            "别提醒我",
            "别提醒我了",
            "不要再提醒我了",
            "不用提醒我",
            "停止提醒",
            "请别提醒了",
        ),
        *("取消学习提醒", "不用再提醒我学习了", "关闭提醒🙏", "关闭提醒？"),
    ],
)
async def test_reminders_stop_whatever_the_words(talk: Conversation, typed: str) -> None:
    await talk.say("提醒我")
    assert await talk.say(typed) == talk.texts("course.remind_off")
    assert (await talk.store.profiles.kept(await talk.member())).reminders == 0


async def test_a_robot_that_can_only_answer_promises_no_reminder(talk: Conversation) -> None:
    said = await talk.hear(replace(talk.message("提醒我"), source="wecom"))
    assert said == talk.texts("course.remind_cannot")


@pytest.mark.parametrize("typed", ["怎么关闭提醒", "提醒我学习的课", "提醒关闭了吗"])
async def test_a_question_about_reminders_changes_nothing(talk: Conversation, typed: str) -> None:
    await talk.say("提醒我")
    await talk.say(typed)
    assert (await talk.store.profiles.kept(await talk.member())).reminders == 1
