"""Forgetting a member of groups: their whole life there, and then nothing of it in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from handlers import order_text
from handlers.group_quiz import QuizWords, lasts
from handlers.quiz_text import read
from handlers.texts import Texts
from scheduler import group_quizzes, welcomes
from store import Store
from store.customer_members import Person
from store.groups import Group, Seen, place_of
from store.ledgers import Deed
from store.messages import Finished, Incoming
from store.order import Lesson, NewCase, Verdict
from store.posts import NewPost, Post
from store.streams import NewStream
from store.talk import NewTalk
from tests.store.rows import NOW, ask_file, change_file, key, places_of

QUN, DESK, TEAM = "qun", "desk", "team"
PLACE = place_of(QUN, "1")
LIN, LIN_TEAM, LIN_DESK, MEI = "wxid_lin", "wm_lin", "T_lin", "wxid_mei"
NAME, WORDS = "秘密花园", "我的秘密配方"
TRACES = (LIN, LIN_TEAM, LIN_DESK, "秘密")
TEXTS = Texts.load()


def say(names: Sequence[str], others: int) -> str:
    return f"{'、'.join(names)}+{others}"


def post(number: int, kind: str, text: str, *mentions: str) -> NewPost:
    body = Post("text", text, mentions=mentions)
    return NewPost(key=key(number), channel=QUN, place=PLACE, kind=kind, body=body, due_at=NOW)


async def group(store: Store) -> Group:
    await store.groups.meet(QUN, "1", NOW - 99, name="读书群", bound_by="op")
    await store.groups.rule(PLACE, lambda rules: replace(rules, welcome="欢迎 {names}"))
    found = store.groups.known(PLACE)
    assert found is not None
    return found


async def _comes(store: Store, who: str, name: str) -> int:
    member = (await store.members.meet(QUN, who, NOW)).id
    await store.groups.see(Seen(PLACE, member, name, NOW, came=True))
    return member


async def _lists(store: Store) -> None:
    """WeCom tells who is in a customer group."""
    await store.groups.meet(TEAM, "g", NOW - 99, bound_by="op")
    person = Person(LIN_TEAM, NAME, NOW - 9, "uTEST_lin")
    await store.customer_members.keep(TEAM, "g", [person], NOW)


async def _talks(store: Store, lin: int, mei: int) -> None:
    """A question to the bot with its answer on the way, talk, pairs both ways, a stream."""
    asked = key(1)
    await store.messages.record(Incoming(asked, QUN, LIN, NOW, WORDS.encode()))
    finished = Finished(asked, b"ok", NOW, QUN, LIN, "text", WORDS, "faq", "", place=PLACE)
    await store.messages.finish(finished)
    for number, who, other in ((2, LIN, MEI), (3, MEI, LIN)):
        text = WORDS if who == LIN else "公开的话"
        name = NAME if who == LIN else "梅子"
        new = NewTalk(key(number), PLACE, QUN, who, NOW, "text", text, name, to=((other, 1.0),))
        await store.talk.say(new)
    await store.messages.record(Incoming(key(4), DESK, LIN_DESK, NOW, WORDS.encode()))
    row = NewStream(key(4), DESK, LIN_DESK, "https://example.com/秘密", NOW, NOW + 15)
    await store.streams.begin(row)
    reply = WORDS.encode()
    ended = Finished(key(4), reply, NOW, DESK, LIN_DESK, "text", WORDS, "faq", "", stream=row)
    await store.messages.finish(ended)


async def _is_judged(store: Store, here: Group, lin: int) -> None:
    """Two cases: one taught a lesson, the other is of somebody who names nobody."""
    case = NewCase(
        key=key(5),
        place=PLACE,
        member_id=lin,
        message_id="m5",
        at=NOW,
        text=WORDS,
        reasons=("model",),
        score=0.99,
        severity=2,
        actions=("hidden",),
        report=True,
    )
    warned = order_text.notice(here, LIN, "请不要发广告", ("warning", LIN), NOW, lin)
    number = (await store.order.open(case, warned, NOW)).case.id
    await store.order.verdict(number, True, Deed(NOW, "member:9", "order"), lambda one: None)
    lesson = Lesson(number, True, WORDS, 7)
    await store.order.learned([Verdict(number, True, WORDS)], [lesson], NOW)
    nobodys = order_text.notice(here, LIN, "请不要刷屏", ("warning", "of nobody"), NOW, None)
    unnamed = replace(case, key=key(6), member_id=None, text="")
    await store.order.open(unnamed, nobodys, NOW)


async def _plays(store: Store, lin: int, mei: int) -> None:
    """A sign-up list and a quiz, with what the group is to read of them."""
    opened = await store.signups.open(PLACE, "读书会", None, None, mei, key(7), NOW)
    assert opened[1] is not None
    await store.signups.join(opened[1].id, lin, NAME, WORDS, key(8), NOW)
    await store.signups.join(opened[1].id, mei, "梅子", "", key(9), NOW)
    quiz, _ = await store.quizzes.create(
        read("小测验\n奖品 1: 10积分\n1. 一加一？（10分 30秒）\nA. 一\n*B. 二"), NOW, "member:99"
    )
    await store.quizzes.start(quiz.id, NOW, NOW + lasts(quiz), PLACE)
    words = QuizWords(TEXTS, store.groups, {QUN})
    assert "announced" in await group_quizzes.tick(store, words, (QUN,), NOW)
    await store.posts.plan(post(10, "quiz", f"第 1 题答案：B。最快：{NAME}、梅子"), NOW)
    await store.posts.plan(post(11, "notice", f"读书会 1. {NAME}（{WORDS}）2. 梅子"), NOW)
    digest = post(12, "digest", f"最热心的是 {NAME}")
    await store.digests.keep(PLACE, "2026-11-21", "{}", NOW, digest)


async def _is_posted_about(store: Store) -> None:
    """A push that mentions her, and posts that ended in every way."""
    await store.posts.plan(post(13, "push", "今晚直播", LIN, MEI), NOW)
    for number, status in enumerate(("refused", "unknown", "sent"), 14):
        await store.posts.plan(post(number, "welcome", f"欢迎 {NAME}", LIN), NOW)
        sql = "update posts set status = 'sending' where key = ?"
        change_file(store.db.path, sql, (key(number),))
        [(row,)] = ask_file(store.db.path, "select id from posts where status = 'sending'")
        await store.posts.settle(row, status, NOW)


async def _life(store: Store) -> tuple[int, int]:
    here = await group(store)
    lin, mei = await _comes(store, LIN, NAME), await _comes(store, MEI, "梅子")
    await store.members.meet(DESK, LIN_DESK, NOW)
    for channel, who in ((QUN, LIN), (DESK, LIN_DESK)):
        await store.members.unite(channel, who, "uTEST_lin")
    await _lists(store)
    await _talks(store, lin, mei)
    await welcomes.tick(store, say, (QUN,), 5.0, NOW + welcomes.SETTLE_S)
    await _is_judged(store, here, lin)
    await _plays(store, lin, mei)
    await _is_posted_about(store)
    return lin, mei


def _raw(folder: Path) -> bytes:
    return b"".join(one.read_bytes() for one in sorted(folder.iterdir()))


async def test_a_whole_life_in_groups_leaves_no_trace(store: Store, tmp_path: Path) -> None:
    lin, mei = await _life(store)
    before = {place.split(".")[0] for place in places_of(store.db.path, [*TRACES, "uTEST_lin"])}
    assert before == {
        "findings",
        "group_members",
        "identities",
        "interactions",
        "members",
        "messages",
        "order_cases",
        "posts",
        "signup_entries",
        "streams",
        "talk",
    }, "the test must have something to find"
    assert await store.members.erase(lin, NOW + 60) is not None
    assert places_of(store.db.path, [*TRACES, "uTEST_lin"]) == set()
    await store.optimise()
    assert [trace for trace in TRACES if trace.encode() in _raw(tmp_path)] == []
    assert [one.name for one in (await store.signups.page(9))[0].entries] == ["梅子"]
    assert (await store.talk.kept(mei)).turns == 1


async def test_what_is_still_posted_names_only_the_others(store: Store) -> None:
    lin, _ = await _life(store)
    await store.members.erase(lin, NOW + 60)
    said = []
    for later in range(1, 60):
        at = NOW + 60 + later
        for one in await store.posts.claim(at, {QUN: 10_000}):
            said.append(one.body)
            await store.posts.settle(one.id, "sent", at)
    assert any("欢迎 …、梅子" in one for one in said)
    assert any("今晚直播" in one and MEI in one for one in said)
    assert not any(trace in one for one in said for trace in TRACES)


@pytest.mark.parametrize("channel", [QUN, TEAM])
async def test_who_was_not_to_be_recorded_and_is_forgotten_stays_so(
    store: Store, channel: str
) -> None:
    await group(store)
    lin = await _comes(store, LIN, NAME)
    await store.members.unite(QUN, LIN, "uTEST_lin")
    await _lists(store)
    await store.talk.opt(lin, recorded=False)
    await store.members.erase(lin, NOW + 60)
    if channel == TEAM:
        await store.customer_members.keep(TEAM, "g", [Person(LIN_TEAM, NAME, NOW)], NOW + 70)
    else:
        back = (await store.members.meet(QUN, LIN, NOW)).id
        assert store.talk.unrecorded(back)
        await store.talk.say(NewTalk(key(99), PLACE, QUN, LIN, NOW, "text", WORDS, NAME))
    assert places_of(store.db.path, ["秘密"]) == set()
