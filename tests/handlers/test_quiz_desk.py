"""/quiz: written, previewed, confirmed once, and looked at."""

from __future__ import annotations

from datetime import datetime

import pytest

from handlers.context import SHANGHAI
from handlers.quiz_desk import moment
from store.offers import NewOffer
from tests.handlers.conftest import Conversation

WRITTEN = """/quiz new Python 小测验
速度加分 0%
奖品 1: 100积分
参与: 5积分
1. 列表用哪种括号？（20分 20秒）
A. ()
*B. []
2. 作者是谁？
答案：Guido / 吉多"""


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    await talk.promote("o_lin")
    return talk


async def drafted(desk: Conversation, text: str = WRITTEN) -> None:
    await desk.say(text)
    assert "已建好" in await desk.say("确认")


async def actions(desk: Conversation) -> list[tuple[str, str]]:
    return [(row.action, row.target) for row in await desk.store.audit.newest(20)]


async def test_a_quiz_is_previewed_and_made_when_confirmed(desk: Conversation) -> None:
    said = await desk.say(WRITTEN)
    assert desk.handler == "operator.quiz"
    assert (
        "《Python 小测验》\n2 题，满分 30 分（含速度加分 0%）\n第 1 名：100 积分\n参与：5 积分"
        in said
    )
    assert (
        "1. 列表用哪种括号？ → B（20 分，20 秒）\n2. 作者是谁？ → Guido / 吉多（10 分，30 秒）"
        in said
    )
    assert await desk.store.quizzes.page() == []
    said = await desk.say("确认", crash_first=True)
    assert said.startswith("已建好第 1 场《Python 小测验》")
    (quiz,) = await desk.store.quizzes.page()
    assert (quiz.status, quiz.created_by) == ("draft", f"member:{await desk.member()}")
    assert await actions(desk) == [("quiz.new", "quiz:1")]


async def test_mistakes_are_named_by_line(desk: Conversation) -> None:
    said = await desk.say("/quiz new 题\n1. 一\nA. 甲\nB. 乙\n3. 三")
    assert said.splitlines() == [
        "还不能用，请改好后整段再发一次：",
        "第 2 行：没有标出正确的选项，在它前面加 *，如 *B. 内容",
        "第 5 行：题号要从 1 开始连着写",
        "第 5 行：这题没有选项也没有答案，写上 A. 选项 或 答案：内容",
    ]
    many = "\n".join(f"{n}. 问" for n in range(1, 12))
    assert (await desk.say(f"/quiz new 题\n{many}")).endswith("还有 3 处，先改这些。")


async def test_a_prize_needs_an_offer_that_is_there(desk: Conversation) -> None:
    text = WRITTEN.replace("100积分", "券 早鸟")
    assert "「早鸟」" in await desk.say(text)
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=2)
    await desk.store.offers.create(offer, desk.at, "member:1")
    assert "第 1 名：券「早鸟」" in await desk.say(text)


async def test_a_long_quiz_is_previewed_in_part(desk: Conversation) -> None:
    lines = "\n".join(f"{n}. 问题\n答案：答" for n in range(1, 31))
    assert "……还有 20 题" in await desk.say(f"/quiz new 题\n{lines}")


async def test_how_to_write_it_is_told(desk: Conversation) -> None:
    assert await desk.say("/quiz") == desk.texts("quiz.usage")
    assert await desk.say("/quiz dance 1") == desk.texts("quiz.usage")
    assert await desk.say("/quiz new") == desk.texts("quiz.form")
    for command in ("show", "start", "rank", "report"):
        assert await desk.say(f"/quiz {command}") == desk.texts("quiz.number_missing")
    for number in ("7", "abc", "9" * 30):
        assert await desk.say(f"/quiz show {number}") == desk.texts("quiz.unknown")


async def test_members_cannot_use_it(talk: Conversation) -> None:
    assert await talk.say("/quiz list", "o_mei") == talk.texts("operator.not_allowed")


async def test_it_starts_once_when_confirmed(desk: Conversation) -> None:
    await drafted(desk)
    assert "马上开始《Python 小测验》，一对一答题，45 分钟后结束？" in await desk.say(
        "/quiz start 1 45"
    )
    assert await desk.store.quizzes.on(desk.at) == ()
    said = await desk.say("确认", crash_first=True)
    assert said == "《Python 小测验》开始了，11:15 结束。成员回复「答题」参加。"
    assert "《Python 小测验》共 2 题" in await desk.say("答题", "o_mei")
    assert "第 1/2 题" in await desk.say("开始", "o_mei")
    assert "「进行中」" in await desk.say("/quiz start 1")
    assert ("quiz.start", "quiz:1") in await actions(desk)


async def test_it_is_scheduled_and_scheduled_anew(desk: Conversation) -> None:
    await drafted(desk)
    said = await desk.say("/quiz schedule 1 11-25 20:00 10")
    assert "《Python 小测验》11-25 20:00 开始，一对一答题，10 分钟后结束？" in said
    said = await desk.say("确认", crash_first=True)
    assert said == "《Python 小测验》11-25 20:00 自动开始，11-25 20:10 结束。"
    assert "1. Python 小测验（已排期，2 题，11-25 20:00 至 11-25 20:10）" in await desk.say(
        "/quiz list"
    )
    await desk.say("/quiz schedule 1 2026-11-26 8:30")
    assert "11-26 08:30" in await desk.say("确认")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/quiz schedule 1", "schedule_usage"),
        ("/quiz schedule 1 明天", "schedule_usage"),
        ("/quiz schedule 1 13-45 20:00", "schedule_usage"),
        ("/quiz schedule 1 11-25 20:00 0", "schedule_usage"),
        ("/quiz schedule 1 11-21 10:00", "schedule_past"),
        ("/quiz start 1 0", "minutes_usage"),
        ("/quiz start 1 99999", "minutes_usage"),
    ],
)
async def test_bad_times_are_explained(desk: Conversation, typed: str, said: str) -> None:
    await drafted(desk)
    values = {
        "schedule_usage": {"quiz": 1},
        "schedule_past": {},
        "minutes_usage": {"quiz": 1, "most": 10_080},
    }
    assert await desk.say(typed) == desk.texts(f"quiz.{said}", **values[said])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("11-25 20:00", "2026-11-25T20:00"),
        ("11/25 9:05", "2026-11-25T09:05"),
        ("１１-２５ ２０:００", "2026-11-25T20:00"),
        ("2027-01-02 00:00", "2027-01-02T00:00"),
        ("1-2 08:00", "2027-01-02T08:00"),
        ("11-20 08:00", "2026-11-20T08:00"),
        ("02-29 08:00", None),
        ("25:00", None),
        ("11-25", None),
    ],
)
def test_moments_are_read_in_shanghai(text: str, meant: str | None) -> None:
    now = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
    wanted = datetime.fromisoformat(f"{meant}+08:00") if meant else None
    assert moment(text, now) == wanted


async def test_it_is_closed_by_hand_and_its_places_stand(desk: Conversation) -> None:
    await drafted(desk)
    await desk.say("/quiz start 1")
    await desk.say("确认")
    for who, answer in (("o_a", "A"), ("o_b", "B")):
        await desk.say("答题", who)
        await desk.say("开始", who)
        await desk.say(answer, who)
    assert "「" not in await desk.say("/quiz rank 1")
    await desk.say("/quiz close 1")
    said = await desk.say("确认", crash_first=True)
    assert said == desk.texts("quiz.closed_done", title="Python 小测验", quiz=1)
    b = await desk.member("o_b")
    assert f"1. 成员 {b}：20 分" in await desk.say("/quiz rank 1")
    said = await desk.say("/quiz report 1")
    assert "（已结束）\n2 人参加，0 人答完，最高 20 分，平均 10.0 分" in said
    assert "1. 列表用哪种括号？：对 1，错 1，超时 0\n2. 作者是谁？：对 0，错 0，超时 0" in said
    assert "「已结束」" in await desk.say("/quiz close 1")
    assert "「已结束」" in await desk.say("/quiz cancel 1")


async def test_cancelling_asks_and_ends_it(desk: Conversation) -> None:
    await drafted(desk)
    await desk.say("/quiz cancel 1")
    assert await desk.say("确认", crash_first=True) == "《Python 小测验》已取消。"
    assert "「已取消」" in await desk.say("/quiz start 1")
    assert await desk.say("答题") == desk.texts("quiz.none")


async def test_what_changed_between_question_and_confirmation_is_said(desk: Conversation) -> None:
    await drafted(desk)
    await desk.say("/quiz start 1")
    await desk.store.quizzes.cancel(1, desk.at)
    assert "「已取消」" in await desk.say("确认")


async def test_the_list_is_empty_at_first(desk: Conversation) -> None:
    assert await desk.say("/quiz list") == desk.texts("quiz.list_none")


async def test_closing_an_offer_warns_that_a_quiz_pays_with_it(desk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=2)
    made = await desk.store.offers.create(offer, desk.at, "member:1")
    assert made is not None
    await desk.say(WRITTEN.replace("100积分", "券 早鸟"))
    await desk.say("确认")
    warning = desk.texts("quiz.paying", quizzes="《Python 小测验》")
    assert warning not in await desk.say("/coupon close 早鸟"), "a draft is looked at again"
    await desk.say("/quiz start 1")
    await desk.say("确认")
    assert warning in await desk.say("/coupon close 早鸟")


async def test_no_quiz_begins_whose_prize_is_gone(desk: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=2)
    made = await desk.store.offers.create(offer, desk.at, "member:1")
    assert made is not None
    await desk.say(WRITTEN.replace("100积分", "券 早鸟"))
    await desk.say("确认")
    await desk.store.offers.set_status(made.id, "closed", desk.at)
    gone = desk.texts("quiz.unknown_offer", word="早鸟")
    assert await desk.say("/quiz start 1") == gone
    assert await desk.say("/quiz schedule 1 11-25 20:00") == gone


async def test_who_may_take_part_is_said_in_words(desk: Conversation) -> None:
    said = await desk.say(WRITTEN.replace("\n", "\n对象：level>=2\n", 1))
    assert "的成员（level>=2）" in said


async def test_a_fault_of_all_questions_is_named_where_it_stands(desk: Conversation) -> None:
    said = await desk.say("/quiz new 题\n每题 5000分 3秒\n1. 一\n答案：甲\n2. 二\n答案：乙")
    assert said.splitlines()[1:] == [
        f"第 2 行：{desk.texts('quiz.fault_points')}",
        f"第 2 行：{desk.texts('quiz.fault_seconds')}",
    ]
