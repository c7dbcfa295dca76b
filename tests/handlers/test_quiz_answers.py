"""While a quiz asks: what is an answer, what is surely something else, and what ends it."""

from __future__ import annotations

import pytest

from handlers import ROUTERS, faq, polls
from handlers import quiz as quiz_handlers
from handlers.quiz_answers import OTHERS
from store.quiz_play import Pay
from tests.handlers.conftest import Conversation
from tests.handlers.test_quiz import PLAIN, SHORT, WRITTEN, answers_of, begin, running


@pytest.mark.parametrize(
    "text",
    [
        "怎么退款",
        "我要退钱",
        "我要转人工",
        "多少钱",
        "搜索 Python",
        "订阅 直播",
        "#写作",
        "第二个",
        "还有吗",
        "确认",
        "是的",
        "你们的退款规则是什么？",
        "理财课能退吗",
        "有课程推荐吗",
        "兑换早鸟",
        "怎么不计分",
        "这题什么意思？",
        "[微笑]",
        "？",
        "👍",
        "有用",
        "/stats",
        "帮助",
    ],
)
async def test_what_is_surely_something_else_costs_no_attempt(
    talk: Conversation, text: str
) -> None:
    await running(talk, SHORT)
    await begin(talk)
    said = await talk.say(text)
    assert not talk.handler.startswith("quiz"), said
    assert await answers_of(talk) == []
    assert (await talk.say("北京")).startswith("答对了")


@pytest.mark.parametrize("text", ["南京", "不知道", "首都是北京", "8", "Java", "东京[微笑]"])
async def test_what_may_be_an_answer_is_judged(talk: Conversation, text: str) -> None:
    await running(talk, SHORT)
    await begin(talk)
    assert (await talk.say(text)).startswith("答错了")


@pytest.mark.parametrize("text", ["北京？", "南京？", "8？"])
async def test_a_question_mark_makes_guessing_no_cheaper(talk: Conversation, text: str) -> None:
    await running(talk, SHORT)
    await begin(talk)
    assert await talk.say(text) == talk.texts("quiz.no_mark")
    assert await answers_of(talk) == []


@pytest.mark.parametrize(
    ("accepted", "wrong"),
    [("对", "错"), ("错", "对"), ("第二", "第三"), ("怎么重启", "怎么关机"), ("[]", "()")],
)
async def test_the_form_of_an_answer_tells_nothing_about_it(
    talk: Conversation, accepted: str, wrong: str
) -> None:
    await running(talk, f"题\n1. 问？（60秒）\n答案：{accepted}\n2. 问？（60秒）\n答案：{accepted}")
    await begin(talk)
    assert (await talk.say(wrong)).startswith("答错了")
    assert (await talk.say(accepted)).startswith("答对了")


def test_every_router_after_the_quiz_is_asked_whether_a_text_is_its_own() -> None:
    after = ROUTERS[ROUTERS.index(quiz_handlers.answers) + 1 :]
    # The number of a poll's option is the number of a question's, too, and the question is nearer.
    assert (polls.typed, *OTHERS, faq.router) == after


@pytest.mark.parametrize("text", [SHORT, WRITTEN])
async def test_a_number_belongs_to_the_list_shown_last(talk: Conversation, text: str) -> None:
    await running(talk, text)
    await begin(talk)
    talk.later(seconds=1)
    await talk.say("课程")
    assert "《零基础学 Python》" in await talk.say("1")
    assert await answers_of(talk) == []
    answer = "北京" if text is SHORT else "b"
    assert (await talk.say(answer)).startswith("答对了")
    assert (await talk.say("1")).startswith("答错了"), "the question is newer than the list"


async def test_a_number_may_be_written_as_a_word(talk: Conversation) -> None:
    await running(talk, PLAIN)
    await begin(talk)
    assert (await talk.say("一")).startswith("答对了")


async def test_skipping_says_so_and_costs_all_the_time(talk: Conversation) -> None:
    await running(talk, SHORT.replace("题\n", "题\n参与: 5积分\n", 1))
    await begin(talk)
    talk.later(seconds=5)
    said = await talk.say("下一题", crash_first=True)
    assert said.startswith("跳过了，这题不得分。\n第 2/2 题")
    said = await talk.say("跳过", crash_first=True)
    assert said.startswith("跳过了，这题不得分。\n《题》成绩\n得分 0，答对 0/2，用时 2 分 0 秒")
    assert [row[2] for row in await answers_of(talk)] == ["wrong", "wrong"]
    closed = await talk.store.quizzes.close(1, talk.at)
    assert closed is not None
    (place,) = await talk.store.quiz_play.pay_places(closed, 0, 9, talk.at, Pay())
    assert place.points == 0, "who answers nothing takes no part"
    assert not (await talk.say("跳过")).startswith("跳过了")


async def test_a_message_older_than_the_question_is_no_answer_to_it(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    talk.later(seconds=3)
    tapped = [talk.message("B") for _ in range(2)]
    waited = talk.message("AC")
    talk.later(seconds=0.6)
    assert (await talk.hear(tapped[0])).startswith("答对了")
    said = await talk.hear(tapped[1])
    assert said.startswith(f"{talk.texts('quiz.early')}\n第 2/3 题"), "a second tap"
    talk.later(seconds=2)
    tapped.append(talk.message("跳过"))
    assert (await talk.hear(waited)).startswith("答对了"), "within the second it may be one"
    late = talk.message("吉多")
    talk.later(seconds=5)
    assert (await talk.hear(late)).startswith("答对了")
    assert len(await answers_of(talk)) == 3


async def test_messages_from_before_a_crash_burn_no_question(talk: Conversation) -> None:
    await running(talk)
    await begin(talk)
    talk.later(seconds=1)
    waiting = [talk.message(text) for text in ("B", "b", "A")]
    talk.later(seconds=10)
    for message in waiting:
        await talk.hear(message)
    assert [row[:3] for row in await answers_of(talk)] == [(1, "B", "right")]


@pytest.mark.parametrize("text", ["不答了", "我不玩了", "不想答了", "退出答题"])
async def test_there_are_many_ways_to_leave(talk: Conversation, text: str) -> None:
    await running(talk, SHORT)
    await begin(talk)
    assert await talk.say(text) == talk.texts("quiz.left", title="题")


async def test_leaving_calls_a_command_off_too(talk: Conversation) -> None:
    await running(talk, PLAIN)
    await begin(talk)
    await talk.promote("o_lin")
    await talk.say("/quiz cancel 1")
    left = talk.texts("quiz.left", title="另一场")
    assert await talk.say("退出") == f"{talk.texts('common.cancelled')}\n{left}"
    assert await talk.say("确认") == talk.texts("operator.confirm_nothing")
    assert len(await talk.store.quizzes.on(talk.at)) == 1


async def test_without_a_command_that_waits_an_operator_leaves_the_quiz(
    talk: Conversation,
) -> None:
    quiz = await running(talk, PLAIN)
    await running(talk, PLAIN)
    await talk.say("答题")
    await talk.say("2")
    await talk.say("开始")
    await talk.promote("o_lin")
    await talk.say(f"/quiz close {quiz.id}")
    await talk.say("确认")
    assert await talk.say("退出") == talk.texts("quiz.left", title="另一场")
