"""The guided dialogue: one question at a time, left and taken up, killed in between."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from handlers.campaign_dialogue import KEPT_S, OPEN_S
from handlers.context import SHANGHAI
from store.campaigns import Campaign
from store.ledgers import Deed
from store.offers import NewOffer
from store.quiz_rules import Question
from store.quizzes import NewQuiz
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation

BOSS = "o_boss"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    Campaigning(talk)
    await talk.promote(BOSS)
    return talk


async def says(talk: Conversation, *texts: str) -> str:
    said = ""
    for text in texts:
        said = await talk.say(text, BOSS, crash_first=True)
    return said


async def only(talk: Conversation) -> Campaign:
    (one,) = await talk.store.campaigns.all()
    return one


async def contents(talk: Conversation) -> list[dict[str, Any]]:
    return [dict(one.content) for one in (await only(talk)).variants]


async def test_every_step_may_run_twice_and_makes_one_campaign(boss: Conversation) -> None:
    said = await says(boss, "/campaign new", "明天开课", "2", "1", "1")
    assert "存成活动 1" in said
    one = await only(boss)
    assert (one.title, one.audience, one.status, one.metric) == (
        "明天开课",
        "active 30d",
        "draft",
        "reply",
    )
    assert await contents(boss) == [{"kind": "text", "text": "明天开课\n（回复「退订」不再收到）"}]
    assert await boss.say("你好", BOSS) == boss.texts("help.greeting"), "the dialogue is over"


async def test_a_step_back_and_another_answer(boss: Conversation) -> None:
    said = await says(boss, "/campaign new", "好课", "二", "上一步")
    assert "发给谁" in said
    said = await says(boss, "上一步")
    assert "要发什么" in said
    assert "要发什么" in await says(boss, "上一步"), "there is nothing before the first"
    await says(boss, "另一句", "1", "1", "1")
    assert (await contents(boss))[0]["text"].startswith("另一句")


async def test_it_is_left_and_taken_up_again(boss: Conversation) -> None:
    said = await says(boss, "/campaign new", "明天开课", "稍后")
    assert "/campaign new" in said
    assert await boss.say("你好", BOSS) == boss.texts("help.greeting")
    boss.later(hours=20)
    said = await says(boss, "/campaign new")
    assert said.startswith("接着上次没写完的")
    assert "发给谁" in said
    assert "活动 1" in await says(boss, "1", "1", "不用")


async def test_after_half_an_hour_texts_are_ordinary_again(boss: Conversation) -> None:
    await says(boss, "/campaign new", "明天开课")
    boss.later(seconds=OPEN_S + 1)
    assert (await boss.say("怎么退款", BOSS)).startswith("七天内可以全额退款。")
    assert "发给谁" in await says(boss, "/campaign new")


async def test_after_a_day_it_begins_anew(boss: Conversation) -> None:
    await says(boss, "/campaign new", "明天开课")
    boss.later(seconds=KEPT_S + 1)
    assert "要发什么" in await says(boss, "/campaign new")


async def test_it_is_given_up(boss: Conversation) -> None:
    assert await says(boss, "/campaign new", "明天开课", "取消") == boss.texts(
        "campaign_new.dropped"
    )
    assert await boss.say("你好", BOSS) == boss.texts("help.greeting")
    assert "要发什么" in await says(boss, "/campaign new")
    assert await boss.store.campaigns.all() == []


async def test_from_the_start_again(boss: Conversation) -> None:
    assert "要发什么" in await says(boss, "/campaign new", "明天开课", "1", "重来")


async def test_commands_pass_while_it_is_open(boss: Conversation) -> None:
    await says(boss, "/campaign new", "明天开课")
    assert await boss.say("/campaign list", BOSS) == boss.texts("campaign.list_none")
    said = await boss.say("确认", BOSS)
    assert said.startswith(boss.texts("operator.confirm_nothing"))
    assert "发给谁？" in said, "the question is asked again"
    assert "什么时候发" in await says(boss, "2")


async def test_who_is_no_operator_has_no_dialogue(boss: Conversation) -> None:
    await boss.promote("o_ana", "analyst")
    assert await boss.say("/campaign new", "o_ana") == boss.texts("operator.read_only")
    assert await boss.say("/campaign new") == boss.texts("operator.not_allowed")
    assert await boss.say("你好", "o_ana") == boss.texts("help.greeting")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("9", "请回复 1 到 4 之间的数字"),
        ("1", "还没有图片"),
        ("2", "没有开着的优惠券"),
        ("3", "没有进行中或排好的竞赛"),
        ("长" * 640, "太长了"),
    ],
)
async def test_what_cannot_be_sent_keeps_the_question(
    boss: Conversation, typed: str, problem: str
) -> None:
    said = await says(boss, "/campaign new", typed)
    assert problem in said
    assert "要发什么" in said


async def test_a_coupon_with_the_usual_words(boss: Conversation) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=5000)
    await boss.store.offers.create(offer, boss.at, "cli", None)
    said = await says(boss, "/campaign new", "2")
    assert "1. 早鸟（早鸟券）" in said
    assert "{{ coupon.code }}" in await says(boss, "1")
    await says(boss, "1", "2", "1", "2")
    said = await says(boss, "给你留了张券 {{ coupon.code }}")
    one = await only(boss)
    assert (one.routes, one.metric, one.title) == (("custom",), "claim", "优惠券 早鸟")
    assert [content["offer"] for content in await contents(boss)] == ["早鸟", "早鸟"]
    assert "版本 A（优惠券，50%）" in said
    assert "ABCD-EFGH-JKMNP" in said, "the preview shows the gaps filled"


async def test_a_quiz_by_its_number(boss: Conversation) -> None:
    quiz = NewQuiz(
        title="Python 小测验", questions=(Question("single", "？", ("A", "B"), ("A",), 10, 30),)
    )
    made, _ = await boss.store.quizzes.create(quiz, boss.at, "cli", b"k" * 16)
    await boss.store.quizzes.start(made.id, boss.at, boss.at + 86_400)
    assert "1. 《Python 小测验》" in await says(boss, "/campaign new", "3")
    await says(boss, "1", "来答题", "1", "1", "1")
    (content,) = await contents(boss)
    assert (content["quiz"], content["text"].split("\n")[0]) == (made.id, "来答题")


async def test_the_best_item_with_one_for_who_is_not_known(boss: Conversation) -> None:
    said = await says(boss, "/campaign new", "4")
    assert "1. 《零基础学 Python》" in said
    await says(boss, "write", "1", "1", "1", "1")
    (content,) = await contents(boss)
    assert content["fallback"] == "write"
    assert "{{ item.title }}" in content["text"]


async def test_an_article_with_two_titles(boss: Conversation) -> None:
    await boss.store.assets.put("cover", PNG, boss.at, "cli")
    await says(boss, "/campaign new", "1", "开课通知", "1", "# 第一节\n\n内容", "1", "1", "2")
    await says(boss, "明天开课，来吗")
    assert [one["title"] for one in await contents(boss)] == ["开课通知", "明天开课，来吗"]
    assert {one["cover"] for one in await contents(boss)} == {"cover"}
    assert "退订" not in str(await contents(boss)), "an article has WeChat's own way out"


async def test_a_saved_segment_and_each_members_own_hour(boss: Conversation) -> None:
    deed = Deed(boss.at, "cli", "segment.save")
    await boss.store.segments.put("老学员", "bought:write", boss.at, "cli", deed)
    said = await says(boss, "/campaign new", "明天开课", "4")
    assert "4. 老学员" in said
    assert "活动 1" in await says(boss, "4", "4", "1")
    one = await only(boss)
    assert (one.audience, one.timing) == ('segment:"老学员"', "best")


async def test_a_rule_of_ones_own_is_read_at_once(boss: Conversation) -> None:
    said = await says(boss, "/campaign new", "明天开课", "5", "active 30d adn tag:a")
    assert "「adn tag:a」" in said
    assert "把规则打给我" in said
    await says(boss, "active 30d and tag:a", "12-01 20:00", "1")
    assert (await only(boss)).audience == "active 30d and tag:a"


async def test_a_time_that_passed_while_it_was_left_is_asked_again(boss: Conversation) -> None:
    await says(boss, "/campaign new", "明天开课", "1", "今天 11:00", "稍后")
    boss.later(hours=2)
    said = await says(boss, "/campaign new", "1")
    assert said.startswith("这个时间已经过了")
    assert "活动 1" in await says(boss, "1", "1")


async def test_in_the_evening_tonight_is_tomorrow(boss: Conversation) -> None:
    boss.later(hours=10)
    assert "2. 明晚 8 点" in await says(boss, "/campaign new", "明天开课", "1")
    await says(boss, "2", "1")
    one = await only(boss)
    assert one.starts_at is not None
    assert 20 * 3600 < one.starts_at - boss.at < 24 * 3600


async def test_two_wordings_must_differ(boss: Conversation) -> None:
    assert "换个说法" in await says(boss, "/campaign new", "明天开课", "1", "1", "2", "明天开课")
    await says(boss, "后天开课")
    assert [one["text"].split("\n")[0] for one in await contents(boss)] == ["明天开课", "后天开课"]


# Words instead of numbers


@pytest.mark.parametrize("typed", ["优惠券", "发优惠券", "第二个", "选2", "第 2 个"])
async def test_what_is_chosen_by_its_name(boss: Conversation, typed: str) -> None:
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=5000)
    await boss.store.offers.create(offer, boss.at, "cli", None)
    assert "发哪张券" in await says(boss, "/campaign new", typed)
    assert "配一句什么话" in await says(boss, "早鸟（早鸟券）")
    assert "发给谁" in await says(boss, "就用这句")


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("所有人", "everyone"),
        ("发给所有人。", "everyone"),
        ("最近30天来过的人", "active 30d"),
        ("第二个", "active 30d"),
        ("选2", "active 30d"),
        ("tag:python", 'tag:"Python"'),
        ("标签：Python", 'tag:"Python"'),
        ("active 30d and tag:Python", None),
        ("tag:Python and active 30d", "tag:Python and active 30d"),
    ],
)
async def test_whom_in_words(boss: Conversation, typed: str, rule: str | None) -> None:
    await boss.store.tags.add(await boss.member("o_lin"), "Python", boss.at, limit=10)
    said = await says(boss, "/campaign new", "明天开课", typed)
    assert "什么时候发" in said, said
    await says(boss, "确认后马上", "不用了")
    assert (await only(boss)).audience == (rule or typed)


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ("有某个标签的人", "哪个标签"),
        ("存好的人群", "哪个人群"),
        ("我会写规则", "把规则打给我"),
        ("怎么选", "发给谁"),
        ("tag:Python adn x", "发给谁"),
        ("看情况", "请回复 1 到 5"),
    ],
)
async def test_whom_by_the_name_of_a_choice(boss: Conversation, typed: str, question: str) -> None:
    assert question in await says(boss, "/campaign new", "明天开课", typed)


@pytest.mark.parametrize(("typed", "hour"), [("第三个", 9), ("今晚8点", 20), ("明天上午 9 点", 9)])
async def test_when_by_the_words_of_a_choice(boss: Conversation, typed: str, hour: int) -> None:
    await says(boss, "/campaign new", "明天开课", "2")
    assert "请加上几点" in await says(boss, "25号"), "a day is no choice"
    await says(boss, typed, "一种就行")
    starts_at = (await only(boss)).starts_at
    assert starts_at is not None
    assert datetime.fromtimestamp(starts_at, SHANGHAI).hour == hour


async def test_a_segment_by_what_is_shown(boss: Conversation) -> None:
    await says(boss, "/campaign new", "明天开课", "4", "快流失的", "明天上午9点", "1")
    one = await only(boss)
    assert one.audience == 'segment:"about to leave"'
    said = await says(boss, "/campaign preview 1")
    assert "给：快流失的" in said


@pytest.mark.parametrize(
    "typed", ["帮助", "怎么写？", "好的", "👍👍", "继续", "？", "确认", "/campaign list"]
)
async def test_what_is_no_answer_becomes_no_text(boss: Conversation, typed: str) -> None:
    await says(boss, "/campaign new", typed)
    said = await says(boss, "明天开课")
    assert "发给谁" in said
    await says(boss, "2", "1", "1")
    assert (await contents(boss))[0]["text"].startswith("明天开课")


@pytest.mark.parametrize("typed", ["怎么写", "👍", "好的"])
async def test_who_is_lost_hears_the_question_again(boss: Conversation, typed: str) -> None:
    assert "要发什么" in await says(boss, "/campaign new", typed)


@pytest.mark.parametrize("typed", ["不发了", "取消吧", "我不想发了"])
async def test_words_that_give_it_up(boss: Conversation, typed: str) -> None:
    said = await says(boss, "/campaign new", "明天开课", typed)
    assert said == boss.texts("campaign_new.dropped")


@pytest.mark.parametrize("typed", ["停", "先别发", "等一下"])
async def test_words_that_put_it_aside(boss: Conversation, typed: str) -> None:
    assert await says(boss, "/campaign new", typed) == boss.texts("campaign_new.aside")
    assert "要发什么" in await says(boss, "/campaign new")


async def test_重新写_begins_anew(boss: Conversation) -> None:
    assert "要发什么" in await says(boss, "/campaign new", "明天开课", "重新写")


# Tags


async def test_a_tag_in_another_case_is_the_one_most_carry(boss: Conversation) -> None:
    for who, tag in (("o_a", "PYTHON"), ("o_a", "Python"), ("o_b", "Python")):
        await boss.store.tags.add(await boss.member(who), tag, boss.at, limit=10)
    await says(boss, "/campaign new", "明天开课", "3", "python", "1", "1")
    assert (await only(boss)).audience == 'tag:"Python"'


async def test_a_tag_mistyped_names_the_nearest(boss: Conversation) -> None:
    assert "还没有成员带标签" in await says(boss, "/campaign new", "明天开课", "3", "Pythn")
    await boss.store.tags.add(await boss.member("o_a"), "Python", boss.at, limit=10)
    said = await says(boss, "Pythn")
    assert "没有成员带着「Pythn」这个标签，是不是「Python」？" in said
    assert "有：Python" in await says(boss, "足球")
    assert "什么时候发" in await says(boss, "「PYTHON」")


# Other questions in the middle


@pytest.mark.parametrize("word", ["退出", "取消", "算了"])
async def test_a_later_question_is_let_go_first(boss: Conversation, word: str) -> None:
    await says(boss, "/campaign new", "明天开课", "2", "1", "1", "/campaign new", "后天开课")
    boss.later(minutes=1)
    assert "回复「退出」放弃" in await says(boss, "/campaign cancel 1")
    boss.later(minutes=1)
    said = await says(boss, word)
    assert said.startswith(boss.texts("campaign_new.let_go"))
    assert "发给谁" in said
    said = await says(boss, "确认")
    assert said.startswith(boss.texts("operator.confirm_nothing"))
    assert (await only(boss)).status == "draft"
    assert "什么时候发" in await says(boss, "2")


async def test_an_erasure_is_let_go_by_退出_too(boss: Conversation) -> None:
    await says(boss, "/campaign new")
    await boss.say("忘记我", BOSS)
    assert "要发什么" in await boss.say("退出", BOSS)
    assert await boss.say("确认忘记", BOSS) == boss.texts("privacy.forget_nothing")


@pytest.mark.parametrize("word", ["退出", "取消"])
async def test_leaving_the_dialogue_lets_an_older_question_go(
    boss: Conversation, word: str
) -> None:
    await says(boss, "/campaign new", "明天开课", "2", "1", "1", "/campaign new")
    await says(boss, "/campaign cancel 1")
    boss.later(minutes=1)
    await says(boss, "后天开课", word)
    assert await says(boss, "确认") != boss.texts("campaign.cancelled", campaign=1)
    assert (await only(boss)).status == "draft"


async def test_a_picture_is_no_answer_and_hears_who_can_keep_it(boss: Conversation) -> None:
    assert await boss.say("", BOSS, kind="image") == boss.texts("media.image")
    await says(boss, "/campaign new")
    said = await boss.say("", BOSS, kind="image")
    assert "服务器" in said
    assert "要发什么" in said
    assert await boss.say("", kind="image") == boss.texts("media.image"), "of members as ever"
    assert "服务器" in await says(boss, "1"), "neither is a shell the operator's own business"
