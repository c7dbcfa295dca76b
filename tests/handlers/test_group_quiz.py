"""Quizzes in a group: what operators start, and letters that are heard and not answered."""

from __future__ import annotations

import pytest

from handlers.context import GroupChannels
from handlers.group_quiz import QuizWords, group_named
from handlers.quiz_text import read
from scheduler.group_quizzes import BEFORE_S, tick
from store.posts import SENT
from store.quiz_rounds import Scorer
from tests.handlers.conftest import Conversation
from tests.handlers.group_operators import POSTER, Desk, desk
from tests.handlers.in_group import QUN, GroupTalk

__all__ = ["desk"]

PLACE = "qun:1@chatroom"
HEARING = GroupChannels(posting=frozenset({QUN}), hearing=frozenset({QUN}))
CHOICES = "小测验\n1. 一加一？（60秒）\nA. 一\n*B. 二"
WORDS = "小测验\n1. 首都？\n答案：北京"


@pytest.mark.parametrize(
    ("typed", "group"),
    [
        ("", ""),
        ("45", ""),
        ("45分钟", ""),
        ("vip", "vip"),
        ("#2", "2"),
        ("群2", "2"),
        ("群 2", "2"),
        ("群 vip", "vip"),
        ("读书 群", "读书 群"),
    ],
)
def test_a_bare_number_says_minutes_and_all_else_a_group(typed: str, group: str) -> None:
    assert group_named(typed.split()) == group


async def playing(talk: Conversation) -> GroupTalk:
    """A group whose first question has just been read."""
    qun = GroupTalk(talk)
    qun.channels = HEARING
    store = talk.store
    await store.groups.meet(QUN, "1@chatroom", talk.at, name="读书群", bound_by="test")
    quiz, _ = await store.quizzes.create(read(CHOICES), talk.at, "member:99")
    await store.quizzes.start(quiz.id, talk.at, talk.at + 900, PLACE)
    words = QuizWords(talk.texts, store.groups, HEARING.hearing)
    for seconds in (0.0, BEFORE_S):
        talk.later(seconds=seconds)
        await tick(store, words, (QUN,), talk.at)
        for one in await store.posts.claim(talk.at, {QUN: 20}):
            await store.posts.settle(one.id, SENT, talk.at)
    talk.later(seconds=1)
    return qun


async def scores(qun: GroupTalk) -> list[int]:
    rows = "select score from quiz_attempts order by member_id"
    found = await qun.store.db.read(lambda conn: conn.execute(rows).fetchall())
    return [row[0] for row in found]


async def test_a_letter_is_counted_and_answered_with_nothing(talk: Conversation) -> None:
    qun = await playing(talk)
    for who, text in (("o_a", "B"), ("o_b", "ａ"), ("o_c", "@小知 B")):
        assert await qun.say(text, who, addressed="@" in text) == "", text
        assert qun.handler == "quiz.group"
    assert [score > 0 for score in await scores(qun)] == [True, False, True]


async def test_talk_while_a_quiz_is_on_stays_talk(talk: Conversation) -> None:
    qun = await playing(talk)
    for text in ("B？", "BB", "好难", "选哪个", "66", "bad"):
        assert await qun.say(text) == "", text
    assert await scores(qun) == []
    assert await qun.ask("怎么退款") == "七天内可以全额退款。"


async def test_who_sees_the_answers_cannot_take_part(talk: Conversation) -> None:
    qun = await playing(talk)
    await talk.promote("o_op")
    assert await qun.say("B", "o_op") == ""
    assert await scores(qun) == []


async def test_who_has_to_mention_the_bot_hears_that_it_was_heard(talk: Conversation) -> None:
    qun = await playing(talk)
    qun.channels = GroupChannels(posting=frozenset({QUN}))
    assert await qun.ask("B", "o_a") == talk.texts("group_quiz.noted")
    talk.later(seconds=100)
    assert await qun.ask("B", "o_b") == talk.texts("group_quiz.closed")


async def test_a_letter_in_private_is_no_answer_to_a_group(talk: Conversation) -> None:
    qun = await playing(talk)
    await talk.say("B", "o_a")
    assert talk.handler != "quiz.answer"
    assert await talk.say("答题", "o_a") == talk.texts("quiz.none")
    assert await scores(qun) == []


async def test_a_number_that_quotes_a_list_picks_from_the_list(talk: Conversation) -> None:
    qun = await playing(talk)
    await qun.say("2", addressed=True, quotes="m1", quoted="1. 怎么退款", quotes_who="gh_1")
    assert await scores(qun) == []
    await qun.say("B", addressed=True, quotes="m1", quoted="第 1/1 题", quotes_who="gh_1")
    assert len(await scores(qun)) == 1


async def test_an_operator_starts_one_in_a_group(desk: Desk) -> None:
    await desk.group()
    quiz, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    asked = await desk.boss(f"/quiz start {quiz.id} 学习群")
    assert "「学习群」（#1）" in asked
    assert "通道只听得到" not in asked
    assert "马上在" in await desk.boss("确认", crash_first=True)
    assert desk.store.quizzes.is_on(desk.at, "qun:1") or await desk.store.quizzes.on(
        desk.at, "qun:1"
    )
    assert ("quiz.start_group", f"quiz:{quiz.id}") in await desk.audits()


async def test_no_quiz_where_nobody_can_be_heard(desk: Desk) -> None:
    await desk.group("5", channel="poster", name="公告群")
    quiz, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    assert "没人能作答" in await desk.boss(f"/quiz start {quiz.id} 公告群")
    assert "没人能作答" in await desk.boss(f"/quiz schedule {quiz.id} 11-25 20:00 公告群")
    await desk.boss("确认")
    assert not await desk.store.quizzes.on(desk.at, "poster:5")


async def test_a_group_without_a_name_is_called_by_its_number_once(desk: Desk) -> None:
    group = await desk.group("6", name="")
    quiz, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    asked = await desk.boss(f"/quiz start {quiz.id} #{group.id}")
    assert asked.count(f"#{group.id}") == 1
    assert "一对一答题" in await desk.boss(f"/quiz start {quiz.id} {group.id}"), "these are minutes"


async def test_places_are_those_of_the_quiz_in_this_group(talk: Conversation) -> None:
    qun = await playing(talk)
    own, _ = await talk.store.quizzes.create(
        read(CHOICES.replace("小测验", "一对一")), talk.at, "x"
    )
    await talk.store.quizzes.start(own.id, talk.at, talk.at + 900)
    assert await qun.ask("排名") == talk.texts("group_quiz.nobody_yet", title="小测验")
    await qun.say("B", "o_a", name="阿木")
    await qun.say("A", "o_b", name="小梅")
    talk.later(seconds=31)
    told = await qun.ask("排名")
    assert told.startswith("《小测验》目前名次：\n1. ")
    assert len(told.splitlines()) == 2, "no points, no place"
    assert "第 1 名" in await qun.ask("我的成绩", "o_a")
    assert await qun.ask("我的成绩", "o_c") == talk.texts("group_quiz.mine_none", title="小测验")
    await talk.store.quizzes.close(1, talk.at)
    assert (await qun.ask("排名")).startswith("《小测验》结束，名次：")
    talk.later(days=8)
    assert await qun.ask("排名") == talk.texts("group.private"), "about those in private"
    assert await qun.say("排名") == ""


async def test_only_who_has_points_has_a_place_at_the_end(talk: Conversation) -> None:
    words = QuizWords(talk.texts, talk.store.groups, ())
    quiz, _ = await talk.store.quizzes.create(read(CHOICES), talk.at, "cli")
    best = [Scorer(1, 7, "阿木", True, 9), Scorer(2, 8, "小梅", True, 0)]
    assert words.end(quiz, best).splitlines()[1:] == ["1. 阿木 9 分"]
    assert words.end(quiz, best[1:]) == talk.texts("group_quiz.end_no_points", title="小测验")


async def test_an_operator_plans_one_in_a_group(desk: Desk) -> None:
    await desk.group()
    quiz, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    await desk.boss(f"/quiz schedule {quiz.id} 11-25 20:00 #1")
    assert "自动开始" in await desk.boss("确认")
    found = await desk.store.quizzes.get(quiz.id)
    assert found is not None
    assert (found.status, found.place) == ("scheduled", "qun:1")


async def test_why_one_cannot_be_started_in_a_group(desk: Desk) -> None:
    group = await desk.group()
    await desk.group("2", name="没绑的群", bound=False)
    await desk.group("3", channel="robot", name="只听群")
    await desk.group("robot", POSTER, "公告群")
    good, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    words, _ = await desk.store.quizzes.create(read(WORDS), desk.at, "cli")
    texts = desk.texts
    assert "没有叫" in await desk.boss(f"/quiz start {good.id} 火星群")
    assert "还没有绑定" in await desk.boss(f"/quiz start {good.id} 没绑的群")
    assert await desk.boss(f"/quiz start {good.id} 只听群") == texts(
        "group_desk.cannot_post", number=3
    )
    assert "没人能作答" in await desk.boss(f"/quiz start {good.id} 公告群")
    assert "填空题" in await desk.boss(f"/quiz start {words.id} 学习群")
    await desk.boss("/group mute 1 30m")
    assert "静音" in await desk.boss(f"/quiz start {good.id} 学习群")
    await desk.boss("/group mute 1 off")
    other, _ = await desk.store.quizzes.create(read(CHOICES), desk.at, "cli")
    await desk.store.quizzes.start(other.id, desk.at, desk.at + 900, group.place)
    assert "正在答题" in await desk.boss(f"/quiz start {good.id} 学习群")
