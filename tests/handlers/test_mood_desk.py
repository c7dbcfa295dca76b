"""/mood: how it sounds, what was judged wrongly, what was told of; and the words of alerts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from handlers import mood_text
from insights.mood_report import build, crowds, day_of
from insights.report import to_json
from store.alerts import Alert, NewAlert, key_of
from store.mood_labels import LEAST, Learned
from store.readings import MoodDay, MoodOf, NewReading
from store.talk import NewTalk
from tests.handlers.group_operators import Desk, desk

__all__ = ["desk"]


async def said(desk: Desk, text: str, label: int, who: str = "o_lin") -> None:
    """A judged message in the group."""
    if desk.store.groups.known("qun:1") is None:
        await desk.group()
    await desk.store.members.meet("qun", who, desk.at)
    key = f"{text:<16}".encode()[:16]
    await desk.store.talk.say(
        NewTalk(key, "qun:1", "qun", who, desk.at, "text", text, message_id=text)
    )
    row = (await rows(desk, "select max(id) from talk"))[0][0]
    new = NewReading(row, label, 0.9 if label < 0 else 0.1, 0.05, "", "m")
    await desk.store.readings.put("t", [new], "readings:t", row, desk.at)


async def rows(desk: Desk, sql: str) -> list[tuple[Any, ...]]:
    return await desk.store.db.read(lambda conn: conn.execute(sql).fetchall())


async def report(desk: Desk, negative: int = 10, people: int = 10) -> None:
    """The report as the job leaves it."""
    today = day_of(desk.at)
    days = [
        MoodDay("qun:1", today, negative, 30, 20, 5, 10),
        MoodDay("qun:1", today - 8, 5, 40, 5, 0, 10),
    ]
    members = [MoodOf("qun:1", 100 + n, negative // 10, 3, 2, 0) for n in range(people)]
    who = crowds(members, members, members, {today: people})
    found = build(days, members, [], {"qun:1": "学习群"}, desk.at, who)
    await desk.store.interactions.put_finding("report:mood:", to_json(found), desk.at)


async def test_before_anything_was_read_it_says_so_and_how_to_use_it(desk: Desk) -> None:
    said = await desk.boss("/mood")
    assert "还没有算出来" in said
    assert "/mood wrong" in said
    assert "/mood wrong" in await desk.boss("/mood nonsense")


async def test_the_mood_in_short(desk: Desk) -> None:
    await report(desk)
    said = await desk.boss("/mood")
    assert "今天（60 条能判断的）：负面 16.7%，正面 33.3%" in said
    assert "近 7 天：负面 16.7%（上周 10.0%），中性 50.0%，正面 33.3%；拿不准的 7.7%" in said
    assert "负面多的：学习群 16.7%" in said
    assert "提醒" not in said
    await desk.store.alerts.raise_(NewAlert(key=key_of(1), kind="mood_drop", at=desk.at))
    assert "近 24 小时提醒 1 次" in await desk.boss("/mood")


async def test_where_nobody_is_negative_no_group_is_named(desk: Desk) -> None:
    await report(desk, negative=0)
    assert "负面多的" not in await desk.boss("/mood")


async def test_few_people_are_not_told_as_a_quiet_day(desk: Desk) -> None:
    await report(desk, people=2)
    said = await desk.say("/mood", "o_eye")
    assert "今天说话的人太少" in said
    assert "负面 人数太少，不显示" in said
    assert "16.7%" not in said


async def test_a_quiet_day_is_told_as_one(desk: Desk) -> None:
    await report(desk)
    desk.later(days=1)
    found = build([], [], [], {}, desk.at, crowds([], [], [], {}))
    await desk.store.interactions.put_finding("report:mood:", to_json(found), desk.at)
    said = await desk.boss("/mood")
    assert "今天还没有能判断的消息" in said
    assert "负面 —" in said


async def test_judged_messages_are_listed_masked_and_cut(desk: Desk) -> None:
    assert await desk.boss("/mood list") == desk.texts("mood.list_none")
    await said(desk, "太差劲了，打我电话 13800138000", -1)
    await said(desk, "老师真好" + "啊" * 100, 1)
    listed = await desk.boss("/mood list")
    assert "1. [正面] 学习群：老师真好啊" in listed
    assert "2. [负面] 学习群：太差劲了" in listed
    assert "13800138000" not in listed
    assert "…" in listed
    assert "正面" not in (await desk.boss("/mood list neg")).split("\n")[1]
    assert "老师真好" in await desk.boss("/mood list pos 学习群")
    assert await desk.boss("/mood list neg 私聊") == desk.texts("mood.list_none")
    assert "没有叫「别的」的群" in await desk.boss("/mood list 别的")


async def test_a_correction_is_kept_once_without_numbers(desk: Desk) -> None:
    await said(desk, "你可真行啊，打我电话 13800138000", 1)
    await desk.boss("/mood list")
    answer = await desk.boss("/mood wrong 1 负面", crash_first=True)
    assert "第 1 条记为负面，数字下次更新时算进去" in answer
    assert "还没学的纠正有 1 条" in answer
    kept = await rows(desk, "select text, label, was, by from mood_labels")
    assert len(kept) == 1
    assert "13800138000" not in kept[0][0]
    assert kept[0][1:3] == (-1, 1)
    assert await rows(desk, "select label, model from readings") == [(-1, "operator")]
    assert [action for action, _ in await desk.audits()] == ["mood.label"]
    assert "记为中性" in await desk.boss("/mood wrong #1 中性")
    assert len(await rows(desk, "select 1 from mood_labels")) == 1


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("", "这样写"),
        ("1", "这样写"),
        ("x 负面", "这样写"),
        ("1 很差", "这样写"),
        ("9 负面", "没有第 9 条"),
        ("0 负面", "没有第 0 条"),
    ],
)
async def test_a_correction_of_nothing_is_explained(desk: Desk, typed: str, answer: str) -> None:
    await said(desk, "太差劲了", -1)
    await desk.boss("/mood list")
    assert answer in await desk.boss(f"/mood wrong {typed}")
    assert await rows(desk, "select 1 from mood_labels") == []


async def test_what_was_taken_back_is_not_corrected(desk: Desk) -> None:
    await said(desk, "太差劲了", -1)
    await desk.boss("/mood list")
    await desk.store.talk.recall("qun:1", "太差劲了")
    assert "不用纠正" in await desk.boss("/mood wrong 1 中性")
    desk.later(hours=2)
    assert "没有第 1 条" in await desk.boss("/mood wrong 1 中性"), "the list is an old one"


async def test_learning_is_asked_for_once_and_done_elsewhere(desk: Desk) -> None:
    assert f"攒到 {LEAST} 条" in await desk.boss("/mood retrain")
    for number in range(LEAST):
        await said(desk, f"{number} 你可真行啊", 1)
    await desk.boss("/mood list")
    for number in range(LEAST):
        await desk.boss(f"/mood wrong {number + 1} 负面")
    assert f"开始学 {LEAST} 条" in await desk.boss("/mood retrain", crash_first=True)
    assert await desk.boss("/mood retrain") == desk.texts("mood.retrain_running")
    wish = await desk.store.mood_labels.wanted()
    assert wish is not None
    ids = [row[0] for row in await rows(desk, "select id from mood_labels")]
    await desk.store.mood_labels.learned(wish.key, ids, 0.5, 0.8, desk.at)
    await desk.store.mood_labels.settled(wish.key)
    assert "都学过了" in await desk.boss("/mood retrain")
    assert [action for action, _ in await desk.audits()].count("mood.retrain") == 1


async def test_alerts_are_listed_and_judged(desk: Desk) -> None:
    assert await desk.boss("/mood alerts") == desk.texts("mood.alerts_none")
    await desk.group()
    lin = await desk.member()
    data = {"n": 6, "negative": 5, "usual": 0.1, "people": 4}
    drop = NewAlert(key=key_of(1), kind="mood_drop", at=desk.at, place="qun:1", data=data)
    angry = NewAlert(key=key_of(2), kind="member_angry", at=desk.at, member_id=lin, data=data)
    for one in (drop, angry):
        await desk.store.alerts.raise_(one)
    said = await desk.boss("/mood alerts")
    assert "#1 11-21 10:30 学习群今天情绪变差：6 条里 5 条负面" in said
    assert f"#2 11-21 10:30 成员 {lin} 在私聊情绪变差" in said
    assert await desk.boss("/mood ok 1", crash_first=True) == "第 1 条记为准。"
    assert await desk.boss("/mood false #2") == "第 2 条记为误报。"
    said = await desk.boss("/mood alerts")
    assert "（准）" in said
    assert "（误报）" in said
    assert "没有第 9 条" in await desk.boss("/mood ok 9")
    assert "要说哪一条" in await desk.boss("/mood false")
    assert [action for action, _ in await desk.audits()] == ["mood.verdict"] * 2


async def test_analysts_read_numbers_but_no_messages_and_nobody(desk: Desk) -> None:
    await report(desk)
    lin = await desk.member()
    angry = NewAlert(key=key_of(2), kind="member_angry", at=desk.at, member_id=lin)
    await desk.store.alerts.raise_(angry)
    seen = await desk.say("/mood", "o_eye")
    assert "近 7 天" in seen
    assert "提醒" not in seen, "it counts what they may see"
    assert await desk.say("/mood alerts", "o_eye") == desk.texts("mood.alerts_none")
    assert await desk.say("/mood list", "o_eye") == desk.texts("mood.list_private")
    for typed in ("wrong 1 负面", "retrain", "ok 1", "false 1"):
        assert await desk.say(f"/mood {typed}", "o_eye") == desk.texts("operator.read_only")
    assert await desk.say("/mood") == desk.texts("operator.not_allowed")


async def test_analysts_hear_of_no_alert_of_few(desk: Desk) -> None:
    for number, people in enumerate((3, 40)):
        data = {"people": people, "n": 50, "negative": 20, "usual": 0.1, "rows": []}
        topic = f"话题{people}"
        new = NewAlert(
            key=key_of(number), kind="topic_negative", at=desk.at, topic=topic, data=data
        )
        await desk.store.alerts.raise_(new)
    assert "话题3" in await desk.boss("/mood alerts")
    seen = await desk.say("/mood alerts", "o_eye")
    assert "话题40" in seen
    assert "话题3 " not in seen
    assert seen.count("话题") == 1


# Words of alerts


def alert(kind: str, **fields: Any) -> Alert:
    data = {"n": 8, "negative": 5, "usual": 0.1, "people": 4, "expected": 2.1, "rows": [["t", 1]]}
    usual = {"place": "qun:1", "member_id": None, "topic": "", "data": data, **fields}
    return Alert(
        3, b"k", kind, 1_795_228_200.0, usual["place"], usual["member_id"], usual["topic"],
        usual["data"], None, "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "begins"),
    [
        (alert("member_angry", member_id=12), "成员 12 在学习群情绪变差：8 条里 5 条负面。平时"),
        (alert("topic_negative", topic="退款"), "「退款」的负面变多：8 条里 5 条。平时约 10.0%"),
        (alert("mood_drop"), "学习群今天情绪变差：8 条里 5 条负面。平时约 10.0%。"),
        (alert("topic_burst", topic="直播"), "「直播」在学习群忽然说得多：4 人。平时这段时间约"),
        (alert("topic_burst", topic="直播", place=""), "「直播」在各处忽然说得多"),
    ],
)
def test_an_alert_shows_examples_and_a_reply_to_begin_with(
    desk: Desk, one: Alert, begins: str
) -> None:
    examples = ["太差劲了 13800138000", "字" * 200, "看 http://evil.top <a>"]
    words = mood_text.alert(desk.texts, one, "学习群", examples)
    assert words.startswith(begins)
    assert "可以这样回：" in words
    assert "「/mood ok 3」" in words
    for secret in ("13800138000", "http://evil.top", "<a>"):
        assert secret not in words
    assert max(len(line) for line in re.findall(r"· (.*)", words)) <= 60
    assert "已经清除或撤回" in mood_text.alert(desk.texts, one, "学习群", [])


def test_what_many_complain_of_is_not_answered_as_talk_and_nothing_is_quoted_twice(
    desk: Desk,
) -> None:
    data = {"n": 8, "negative": 8, "people": 4, "expected": 0.1, "rows": [["t", 1]]}
    bad = alert("topic_burst", topic="没声音", data=data | {"also": ["回放"]})
    words = mood_text.alert(desk.texts, bad, "学习群", ["又没声音", "又没声音", "怎么没声音"])
    assert words.count("又没声音") == 1
    assert "有想了解的直接问" not in words
    assert "正在核实" in words
    assert "同一件事里还在说：「回放」。" in words
    good = alert("topic_burst", topic="新课", data=data | {"negative": 1})
    assert "有想了解的直接问" in mood_text.alert(desk.texts, good, "学习群", ["新课好"])


def test_a_kind_that_is_told_elsewhere_has_no_words_here(desk: Desk) -> None:
    assert mood_text.alert(desk.texts, alert("community_split"), "", []) == ""
    assert "community_split" in mood_text.line(desk.texts, alert("community_split"), "")


def test_what_was_learned_is_told_as_it_is(desk: Desk) -> None:
    better = mood_text.learned(desk.texts, Learned(1, 12, 0.5, 0.75, 0.0))
    assert "12 条纠正里，原来判对 50.0%，没见过的现在能判对 75.0%" in better
    assert "没有更好" in mood_text.learned(desk.texts, Learned(1, 12, 0.5, 0.5, 0.0))
