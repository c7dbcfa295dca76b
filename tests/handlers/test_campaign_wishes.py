"""群发, 先别发, 效果怎么样: operators in words of their own, and what stays a question."""

from __future__ import annotations

import re

import pytest

from handlers.campaign_dialogue import OPEN_S
from handlers.campaign_wishes import wish
from store.content import NewFaq
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import FAQS, Conversation

BOSS, ANA, OWNER = "o_boss", "o_ana", "o_owner"


@pytest.fixture
async def scene(talk: Conversation) -> Campaigning:
    scene = Campaigning(talk)
    await talk.promote(BOSS)
    await talk.promote(ANA, "analyst")
    await talk.promote(OWNER, "owner")
    await scene.fans("o_fan1", "o_fan2")
    return scene


@pytest.fixture
def boss(scene: Campaigning) -> Conversation:
    return scene.talk


async def drafted(talk: Conversation) -> str:
    """Campaign 1 by the dialogue; says its code."""
    for text in ("/campaign new", "明天开课", "2", "1", "1"):
        said = await talk.say(text, BOSS)
    return code_in(said)


def code_in(said: str) -> str:
    found = re.search(r"「确认 ([0-9A-Z]{4})」", said)
    assert found is not None, said
    return found[1]


# Who wants to send


@pytest.mark.parametrize(
    "typed", ["群发", "新建群发", "我要群发消息", "/群发", "／群发", "发个群发。"]
)
async def test_群发_begins_the_dialogue(boss: Conversation, typed: str) -> None:
    for who in (BOSS, OWNER):
        assert "要发什么？" in await boss.say(typed, who, crash_first=True)
    assert "发给谁？" in await boss.say("明天开课", BOSS)


@pytest.mark.parametrize(
    "typed",
    [
        "我要发个通知",
        "怎么群发",
        "怎么群发？",
        "能群发吗",
        "群发？",
        "群发怎么弄",
        "发给所有人",
        "怎么发给所有人",
        "我想给大家发一条消息",
        "给学员发优惠券",
        "怎么通知所有学员",
        "我想给粉丝推送文章",
        "怎么发通知",
    ],
)
async def test_how_to_send_to_many_is_told(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("campaign_new.offer")
    assert await boss.store.campaigns.all() == []


@pytest.mark.parametrize("typed", ["群发", "怎么群发", "我要发个通知", "先别发"])
async def test_of_members_and_analysts_it_is_a_question(boss: Conversation, typed: str) -> None:
    await drafted(boss)
    for who in ("o_lin", ANA):
        await boss.say(typed, who)
        assert boss.handler.startswith("faq"), (who, boss.handler)


@pytest.mark.parametrize("faq", [*FAQS, NewFaq("怎么群发消息给学员", "用企业微信。", ("群发",))])
async def test_what_the_faq_knows_it_answers(boss: Conversation, faq: NewFaq) -> None:
    await boss.store.content.import_faq([*FAQS, faq], boss.at)
    await boss.reload()
    await drafted(boss)
    for question in (faq.question, *faq.aliases):
        assert faq.answer in await boss.say(question, BOSS), question


@pytest.mark.parametrize(
    "typed",
    [
        "群发是什么意思",
        "为什么我收不到群发",
        "群发的优惠券怎么用",
        "怎么关闭推送",
        "朋友可以发给我吗",
        "通知在哪里看",
        "给我发优惠券",
        "怎么分享给朋友",
        "怎么给老师发消息",
        "课程效果怎么样",
        "发票什么时候发给我",
        "上课时间能改吗",
        "改时间要不要重新付款",
        "停课了怎么办",
        "什么时候发货",
    ],
)
async def test_a_members_question_tried_out_stays_one(boss: Conversation, typed: str) -> None:
    await drafted(boss)
    await boss.say(typed, BOSS)
    assert not boss.handler.startswith("operator"), boss.handler


async def test_without_a_desk_the_words_are_questions(talk: Conversation) -> None:
    await talk.promote(BOSS)
    await talk.say("群发", BOSS)
    assert talk.handler.startswith("faq")


# Right after a preview


@pytest.mark.parametrize(
    ("typed", "pieces"),
    [
        ("先别发", ("活动 1 还没确认，不会发", "/campaign cancel 1")),
        ("停", ("活动 1 还没确认，不会发",)),
        ("改一下文字", ("/campaign edit 1 文字",)),
        ("改时间", ("/campaign schedule 1",)),
        ("换一批人", ("/campaign edit 1 对象",)),
        ("发给谁了", ("还没有发给谁", "/campaign preview 1")),
        ("效果怎么样？", ("没有发", "/campaign preview 1")),
        ("发出去了吗", ("没有发",)),
    ],
)
async def test_what_is_said_after_a_preview_gets_the_next_step(
    boss: Conversation, typed: str, pieces: tuple[str, ...]
) -> None:
    await drafted(boss)
    said = await boss.say(typed, BOSS, crash_first=True)
    for piece in pieces:
        assert piece in said, said
    boss.later(seconds=OPEN_S)
    await boss.say(typed, BOSS)
    assert not boss.handler.startswith("operator"), "half an hour later it is a question again"


@pytest.mark.parametrize("typed", ["发吧", "没问题", "现在发"])
async def test_a_yes_without_the_code_hears_the_code(boss: Conversation, typed: str) -> None:
    code = await drafted(boss)
    said = await boss.say(typed, BOSS)
    assert said == boss.texts("campaign_new.confirm_code", campaign=1, code=code)
    assert await boss.store.deliveries.counts(1) == {}


async def test_of_what_was_confirmed_the_words_follow_its_state(scene: Campaigning) -> None:
    boss = scene.talk
    code = await drafted(boss)
    boss.later(minutes=20)
    await boss.say(f"确认 {code}", BOSS)
    boss.later(minutes=20)
    assert "/campaign pause 1" in await boss.say("停", BOSS), "counted from the confirmation"
    assert "/campaign cancel 1" in await boss.say("取消", BOSS), (
        "取消 alone would be a false promise"
    )
    assert "/campaign report 1" in await boss.say("效果怎么样", BOSS)
    assert "不用再确认" in await boss.say("发吧", BOSS)
    assert await boss.say("没问题", BOSS) == boss.texts("help.ok")
    await boss.say("/campaign pause 1", BOSS)
    assert "/campaign resume 1" in await boss.say("先别发", BOSS)
    await boss.say("/campaign resume 1", BOSS)
    await scene.run()
    assert "没有还要发的" in await boss.say("停", BOSS)
    assert "/campaign new" in await boss.say("改文字", BOSS)
    assert await boss.say("取消", BOSS) == boss.texts("common.cancelled")


async def test_取消_of_a_draft_and_of_a_question_means_what_it_did(boss: Conversation) -> None:
    await drafted(boss)
    await boss.say("/campaign cancel 1", BOSS)
    assert await boss.say("取消", BOSS) == boss.texts("common.cancelled")
    assert await boss.say("确认", BOSS) == boss.texts("operator.confirm_nothing")


@pytest.mark.parametrize("text", ["", "。", "停" * 99, "别发" + "了" * 20, "取消 订单", "改 改 改"])
def test_ugly_texts_are_no_wish(text: str) -> None:
    assert wish(text) == ""
