"""/journey: an operator makes a journey, starts it, and members are told step by step."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from handlers.context import SHANGHAI
from scheduler.journeys import tick
from scheduler.rules import CampaignRules
from store.events import NewEvent
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation
from tests.store.rows import ask_file

WELCOME = """/journey new 新手欢迎
开始：关注
停止：购买、取消关注
第0天
文字：欢迎加入知行社。
第3天
文字：学得怎么样了？
第7天
文字：还有什么想学的？"""


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    await talk.promote("o_lin")
    return talk


async def drafted(desk: Conversation, text: str = WELCOME) -> None:
    await desk.say(text)
    assert "已建好旅程" in await desk.say("确认")


async def started(desk: Conversation, text: str = WELCOME) -> None:
    await drafted(desk, text)
    await desk.say("/journey start 1")
    assert "进行中" in await desk.say("确认")


async def actions(desk: Conversation) -> list[tuple[str, str]]:
    return [(row.action, row.target) for row in await desk.store.audit.newest(20)]


async def ticked(desk: Conversation) -> str:
    return await tick(desk.store, desk.at, CampaignRules())


async def test_from_the_first_word_to_a_buyer_who_hears_no_more(desk: Conversation) -> None:
    """The transcript: made, started, a follower's three messages planned, bought, stopped."""
    assert await desk.say("/journey new") == desk.texts("journey.form")
    said = await desk.say(WELCOME)
    assert said.splitlines()[:7] == [
        "旅程《新手欢迎》",
        "开始：关注时",
        "对象：所有人",
        "停止：买了、取消关注",
        "1. 当时：欢迎加入知行社。",
        "2. 3 天后：学得怎么样了？",
        "3. 7 天后：还有什么想学的？",
    ]
    assert desk.handler == "operator.journey.new"
    assert await desk.store.journeys.all() == []
    said = await desk.say("确认", crash_first=True)
    assert said == "已建好旅程 1《新手欢迎》，还没开始。/journey start 1 开始。"
    assert await actions(desk) == [("journey.new", "journey:1")]
    said = await desk.say("/journey start 1")
    assert said.startswith("开始《新手欢迎》？从现在起，成员关注时会开始收到，共 3 步消息。")
    assert await desk.say("确认", crash_first=True) == (
        "《新手欢迎》进行中。/journey pause 1 随时暂停。"
    )
    assert await actions(desk) == [("journey.start", "journey:1"), ("journey.new", "journey:1")]

    desk.later(minutes=5)
    await desk.happen("subscribe", who="o_mei")
    mei = await desk.member("o_mei")
    desk.later(minutes=1)
    assert await ticked(desk) == "journey 1: 1 began, 3 deliveries planned, 0 stopped"
    assert "已计划 1，已发 0，没发 0" in await desk.say("/journey show 1")
    desk.later(days=1)
    bought = NewEvent("order-1", "purchase", desk.at, member_id=mei, item_id="py-zero")
    await desk.store.events.add([bought], desk.at)
    desk.later(minutes=1)
    assert await ticked(desk) == "journey 1: 0 began, 0 deliveries planned, 1 stopped"
    rows = ask_file(desk.store.db.path, "select status, reason from deliveries")
    assert rows == [("skipped", "stopped:bought")] * 3
    said = await desk.say("/journey show 1")
    assert said.splitlines()[0] == "旅程 1《新手欢迎》（进行中）"
    assert said.splitlines()[-1] == "1 人走上过，提前停止：买了 1 人"


async def test_mistakes_are_named_by_line(desk: Conversation) -> None:
    said = await desk.say(
        "/journey new 新手\n开始：哈\n停止：吃饭\n第0天\n文字：好\n第1天\n时间：今晚"
    )
    lines = said.splitlines()
    assert lines[0] == "还不能用，请改好后整段再发一次："
    assert lines[1].startswith("第 2 行：「哈」看不懂，开始写：关注")
    assert lines[2] == "第 3 行：「吃饭」看不懂，停止写：购买、取消关注、回复，或 无"
    assert lines[3] == "第 6 行：「第1天」这一步没写内容，如 文字：学得怎么样了？"
    assert lines[4].startswith("第 7 行：旅程里不写「时间」")
    said = await desk.say(
        "/journey new 新手\n开始：关注\n对象：tag:\n第0天\n文字：好\n第1天\n文字：好"
    )
    assert said.count("第 3 行") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("新手", "没有写什么时候开始"),
        ("新手\n开始：关注", "没有步骤"),
        ("新手\n开始：关注\n提前1天\n文字：好", "只有 日期 和 券快到期 的旅程可以提前"),
        ("开始：关注\n第0天\n文字：好", "第一行要写旅程的名字"),
        ("新手\n开始：沉默500天\n第0天\n文字：好", "看不懂，开始写"),
        ("新手\n开始：互动期还剩48小时\n第0天\n文字：好", "看不懂，开始写"),
        ("新手\n开始：日期 哪天\n第0天\n文字：好", "不是能用的时间"),
        ("新手\n开始：关注\n开始：关注\n第0天\n文字：好", "「开始」写了两次"),
        ("新手\n开始：关注\n什么\n第0天\n文字：好", "「什么」看不懂"),
        ("新手\n开始：日期 2020-12-01 20:00\n提前1天\n文字：好", "不是能用的时间"),
        ("名" * 41 + "\n开始：关注\n第0天\n文字：好", "名字要有 1 到 40 个字"),
    ],
    ids=lambda value: value[:12].replace("\n", " "),
)
async def test_what_is_missing_is_said(desk: Conversation, text: str, said: str) -> None:
    assert said in await desk.say(f"/journey new {text}")


@pytest.mark.parametrize(
    ("begins", "shown", "trigger"),
    [
        ("关注", "关注时", "follow"),
        ("沉默14天", "14 天没说话时", "silence 14d"),
        ("7天没说话", "7 天没说话时", "silence 7d"),
        ("看了没买 1天", "看了课程 1 天没买时", "abandoned 1d"),
        ("券快到期", "手里的券快到期时", "coupon"),
        ("互动期还剩2小时", "互动期只剩 2 小时时", "window 2h"),
        ("日期 12-01 20:00", "12月1日 20:00", "date"),
    ],
)
async def test_every_trigger_can_be_written(
    desk: Conversation, begins: str, shown: str, trigger: str
) -> None:
    said = await desk.say(f"/journey new 旅程\n开始：{begins}\n第0天\n文字：好")
    assert f"开始：{shown}" in said
    await desk.say("确认")
    made = await desk.store.journeys.get(1)
    assert made is not None
    assert made.trigger == trigger
    day = datetime(2026, 12, 1, 20, tzinfo=SHANGHAI).timestamp()
    assert made.anchor_at == (day if trigger == "date" else None)


async def test_what_is_said_once_holds_for_every_step(desk: Conversation) -> None:
    await drafted(
        desk,
        "/journey new 课前\n开始：日期 12-01 20:00\n对象：tag:python\n话题：直播\n对照：10%\n"
        "提前3天\n文字：三天后直播。\n提前1小时 最佳时间\n文字：一小时后。\n时间：20:00",
    )
    early, late = await desk.store.journeys.steps(1)
    assert (early.delay_s, late.delay_s) == (-3 * 86_400.0, -3600.0)
    assert (early.timing, late.timing) == ("at", "best")
    assert {(one.audience, one.topic, one.holdout) for one in (early, late)} == {
        ("tag:python", "直播", 0.1)
    }
    assert late.variants[0].content["text"] == "一小时后。\n时间：20:00"


@pytest.mark.parametrize("source", ["form", "docs"])
async def test_what_the_examples_say_can_be_started(desk: Conversation, source: str) -> None:
    """Neither the chat's own example nor that of the page may need mending."""
    Campaigning(desk)
    if source == "form":
        text = desk.texts("journey.form").partition("\n")[2].partition("\n开始还可以写")[0]
    else:
        page = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text("utf-8")
        text = page[page.index("/journey new 新手欢迎") :].partition("\n```")[0]
        await desk.say("/coupon new 早鸟 | 立减50元")
        await desk.say("确认")
    said = await desk.say(text)
    assert "建成草稿？" in said
    assert "必须改" not in said
    await desk.say("确认")
    await desk.say("/journey start 1")
    assert "进行中" in await desk.say("确认")


async def test_a_time_before_the_date_reads_as_it_is_spoken(desk: Conversation) -> None:
    said = await desk.say("/journey new 课前\n开始：日期 12-01 20:00\n提前3天\n文字：快来。")
    assert "1. 提前 3 天：快来。" in said


async def test_a_list_of_closed_ones_says_where_they_are(desk: Conversation) -> None:
    await drafted(desk)
    await desk.say("/journey close 1")
    await desk.say("确认")
    assert await desk.say("/journey list") == desk.texts("journey.list_closed")
    assert "新手欢迎（已关闭）" in await desk.say("/journey list 全部")


@pytest.mark.parametrize("spelt", ["everyone", "全部", "Everyone"])
async def test_everyone_is_told_in_one_word(desk: Conversation, spelt: str) -> None:
    said = await desk.say(f"/journey new 甲\n开始：关注\n对象：{spelt}\n第0天\n文字：好")
    assert "对象：所有人" in said


async def test_two_journeys_have_two_names(desk: Conversation) -> None:
    await drafted(desk)
    assert "已经有叫「新手欢迎」的旅程" in await desk.say(WELCOME)
    await desk.say("/journey close 1")
    assert await desk.say("确认") == "旅程 1《新手欢迎》已关闭。"
    await drafted(desk)
    assert "2. 新手欢迎（草稿）" in await desk.say("/journey list")
    assert "1. 新手欢迎（已关闭）" in await desk.say("/journey list 全部")


async def test_a_name_that_was_taken_before_the_answer(desk: Conversation) -> None:
    await desk.say(WELCOME)
    await desk.promote("o_mei")
    await desk.say(WELCOME, "o_mei")
    await desk.say("确认", "o_mei")
    assert "已经有叫「新手欢迎」的旅程" in await desk.say("确认")


async def test_it_pauses_and_goes_on(desk: Conversation) -> None:
    await started(desk)
    assert "现在是「进行中」" in await desk.say("/journey start 1")
    await desk.say("/journey 暂停 1")
    assert await desk.say("确认") == "《新手欢迎》已暂停，/journey start 1 继续。"
    steps = await desk.store.journeys.steps(1)
    assert {step.status for step in steps} == {"paused"}
    assert "继续《新手欢迎》？" in await desk.say("/journey 继续 1")
    await desk.say("确认")
    assert {step.status for step in await desk.store.journeys.steps(1)} == {"running"}
    assert "现在是「进行中」" not in await desk.say("/journey pause 1")


async def test_a_step_that_paused_by_itself_goes_on_with_start(desk: Conversation) -> None:
    await started(desk)
    first = (await desk.store.journeys.steps(1))[0]
    await desk.store.campaigns.pause(first.id, desk.at, "system")
    assert "1. 当时（已停）" in await desk.say("/journey show 1")
    assert "继续《新手欢迎》？" in await desk.say("/journey start 1")
    await desk.say("确认")
    assert "已停" not in await desk.say("/journey show 1")


async def test_steps_change_while_it_does_not_run(desk: Conversation) -> None:
    await started(desk)
    add = "/journey step 1 add\n第6天\n文字：第六天了。"
    assert "先 /journey pause 1" in await desk.say(add)
    await desk.say("/journey pause 1")
    await desk.say("确认")
    assert "1. 6 天后：第六天了。" in await desk.say(add)
    assert "加好了" in await desk.say("确认", crash_first=True)
    steps = await desk.store.journeys.steps(1)
    assert [(step.delay_s or 0.0) / 86_400 for step in steps] == [0, 3, 6, 7]
    assert "去掉《新手欢迎》的第 2 步？" in await desk.say("/journey step 1 remove 2")
    assert await desk.say("确认") == "《新手欢迎》去掉了这一步。"
    steps = await desk.store.journeys.steps(1)
    assert [(step.delay_s or 0.0) / 86_400 for step in steps] == [0, 6, 7]
    assert "没有第 9 步" in await desk.say("/journey step 1 remove 9")
    assert "这样写：" in await desk.say("/journey step 1")
    assert "一次只加一步" in await desk.say("/journey step 1 add\n第1天\n文字：甲\n第2天\n文字：乙")
    assert "只有 日期 和 券快到期" in await desk.say("/journey step 1 add\n提前1天\n文字：甲")


async def test_one_without_steps_does_not_start(desk: Conversation) -> None:
    await drafted(desk, "/journey new 一步\n开始：关注\n第0天\n文字：好")
    await desk.say("/journey step 1 remove 1")
    await desk.say("确认")
    assert "还没有步骤" in await desk.say("/journey start 1")


@pytest.mark.parametrize("everybody", ["", "对象：所有人\n", "对象：全部\n", "对象：Everyone\n"])
async def test_a_date_for_everybody_is_the_owners(desk: Conversation, everybody: str) -> None:
    text = (
        f"/journey new 直播\n开始：日期 12-01 20:00\n{everybody}提前1天\n文字：明天直播，退订回复TD"
    )
    await drafted(desk, text)
    assert await desk.say("/journey start 1") == desk.texts("journey.owner_everyone")


async def test_a_rule_that_everybody_fits_is_the_owners_too(desk: Conversation) -> None:
    for number in range(60):
        await desk.member(f"o_{number}")
    text = (
        "/journey new 直播\n开始：日期 12-01 20:00\n对象：member:1 or not member:1\n"
        "提前1天\n文字：明天直播，退订回复TD"
    )
    await drafted(desk, text)
    assert await desk.say("/journey start 1") == desk.texts("journey.owner_everyone")


async def test_analysts_look_and_change_nothing(talk: Conversation) -> None:
    await talk.promote("o_lin")
    await drafted(talk)
    await talk.promote("o_mei", "analyst")
    assert "新手欢迎" in await talk.say("/journey list", "o_mei")
    assert "新手欢迎" in await talk.say("/journey show 1", "o_mei")
    for command in ("new", "start 1", "pause 1", "close 1", "step 1 remove 1"):
        said = await talk.say(f"/journey {command}", "o_mei")
        assert said == talk.texts("operator.read_only")
    assert await talk.say("/journey", "o_mei") == talk.texts("journey.usage_analyst")
    assert await talk.say("/journey list", "o_stranger") == talk.texts("operator.not_allowed")


async def test_how_to_write_it_is_told(desk: Conversation) -> None:
    assert await desk.say("/journey") == desk.texts("journey.usage")
    assert await desk.say("/journey lst") == "是想发 /journey list 吗？"
    assert await desk.say("/journey list") == desk.texts("journey.list_none")
    for command in ("show", "start", "pause", "close", "step"):
        assert await desk.say(f"/journey {command}") == desk.texts("journey.number_missing")
        assert await desk.say(f"/journey {command} 7") == desk.texts("journey.unknown", journey=7)
    assert await desk.say("/journey show " + "9" * 40) == desk.texts("journey.number_missing")


SWAPPED = """/journey step 1 add 第1天
文字：转发朋友圈集赞即可领券"""


async def test_steps_that_came_after_the_question_are_not_started_unseen(
    desk: Conversation,
) -> None:
    await desk.promote("o_mei")
    await drafted(desk)
    await desk.say("/journey start 1")
    await desk.say(SWAPPED, "o_mei")
    await desk.say("确认", "o_mei")
    assert await desk.say("确认") == (
        "《新手欢迎》的步骤刚才有改动，没有开始。请再看一遍：/journey show 1"
    )
    one = await desk.store.journeys.get(1)
    assert one is not None
    assert one.status == "draft"
    await desk.say("/journey start 1")
    assert "进行中" in await desk.say("确认")


async def test_what_everybody_fits_by_now_is_judged_again_at_the_answer(
    desk: Conversation,
) -> None:
    for number in range(60):
        await desk.member(f"o_{number}")
    await drafted(
        desk,
        "/journey new 直播\n开始：日期 12-01 20:00\n对象：quiet 5m\n提前1天\n文字：明天直播",
    )
    assert "开始《直播》" in await desk.say("/journey start 1")
    desk.now += timedelta(minutes=6)
    assert await desk.say("确认") == desk.texts("journey.owner_everyone")
    one = await desk.store.journeys.get(1)
    assert one is not None
    assert one.status == "draft"
