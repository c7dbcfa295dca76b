"""/report and /why: what jobs left, told by role, open to why, and turned into a campaign."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from handlers.context import Context
from handlers.message import Message
from handlers.report_means import Published, Started
from handlers.texts import MAX_TEXT_BYTES
from insights.anonymity import FEW
from insights.behaviour import StateRules
from insights.report import Chart, Figure, Listing, Report, Row, Series, name_of, to_json
from knowledge import Knowledge
from store import Store
from store.groups import Group
from store.noise_spent import Spent
from store.talk import NewTalk
from tests.handlers.campaigning import Campaigning
from tests.handlers.group_operators import GATE, Desk

DAY_S = 86_400.0


class Side:
    """Stands for `bot/insight_side.py`. drawn: charts it was asked for; posted: groups."""

    least_people = 10
    states = StateRules(core_days=11)

    def __init__(self) -> None:
        self.drawn: list[tuple[Chart, str, str]] = []
        self.posted: list[tuple[int, str]] = []
        self.counted = 0
        self.count: Callable[[], Awaitable[bool]] | None = None
        self.media = "MEDIA"
        self.started = Started.STARTED
        self.published = Published("posted", "大约 40 位朋友说过话")

    async def picture(self, chart: Chart, foot: str, channel: str) -> str:
        self.drawn.append((chart, foot, channel))
        return self.media

    def refresh(self) -> Started:
        return self.started

    async def recommended(self, wait_s: float) -> bool:
        self.counted += 1
        return self.count is not None and await self.count()

    async def publish(self, group: Group, by: str) -> Published:
        self.posted.append((group.id, by))
        return self.published


class Reader(Desk):
    """Operators, owners and analysts who read reports."""

    side: Side | None = None

    async def context(self, message: Message) -> Context:
        ctx = await super().context(message)
        ctx.insights = self.side
        return ctx

    def figure(self, name: str, value: float | None, **more: Any) -> Figure:
        usual = {"unit": "count", "since": self.at - 7 * DAY_S, "until": self.at, "n": 50}
        return Figure(name=name, value=value, **{**usual, **more})

    async def put(self, kind: str, *figures: Figure, scope: str = "", **more: Any) -> None:
        since, until = self.at - 7 * DAY_S, self.at
        report = Report(
            kind=kind,
            scope=scope,
            made_at=self.at,
            since=since,
            until=until,
            figures=figures,
            **more,
        )
        name = name_of(kind, scope)
        await self.store.interactions.put_finding(name, to_json(report), self.at)

    async def says(self, text: str, id: str, place: str = "qun:1") -> str:
        """Something said in a group; how a report refers to it."""
        await self.store.members.meet(GATE, "o_lin", self.at)
        key = f"{id:<16}".encode()[:16]
        new = NewTalk(key, place, GATE, "o_lin", self.at, "text", text, message_id=id)
        await self.store.talk.say(new)
        sql = "select max(id) from talk"
        return f"t:{await self.store.db.read(lambda conn: conn.execute(sql).fetchone()[0])}"


@pytest.fixture
async def desk(store: Store, loaded: Knowledge) -> Reader:
    """o_boss is an operator, o_ann the owner, o_eye an analyst, o_lin a member."""
    desk = Reader(store, loaded)
    desk.side = Side()
    await desk.reload()
    await desk.member()
    await desk.promote("o_boss")
    await desk.promote("o_ann", "owner")
    await desk.promote("o_eye", "analyst")
    return desk


def side_of(desk: Reader) -> Side:
    assert desk.side is not None
    return desk.side


# Which report


async def test_before_anything_was_worked_out_it_says_when_and_how(desk: Reader) -> None:
    assert "/report refresh" in await desk.boss("/report week")
    read_only = await desk.say("/report week", "o_eye")
    assert "还没有算出来" in read_only
    assert "refresh" not in read_only, "an analyst cannot"


NOT_MEANT = (
    ("/report", "day 今天"),
    ("/report ？？", "day 今天"),
    ("/report weak", "「/report week」"),
    ("/report 话体", "「/report 话题」"),
    ("/report budgets", "「/report budget」"),
    ("/report refesh", "「/report refresh」"),
    ("/report group", "哪个群"),
    ("/report group 没有的群", "没有"),
    ("/report week 学习群", "没有分群的"),
    ("/report mood 私聊", "没有"),
    ("/why 1", "先看一份报告"),
    ("/why", "先看一份报告"),
)


async def test_what_is_not_meant_is_answered_with_what_may_be(desk: Reader) -> None:
    await desk.group()
    for typed, says in NOT_MEANT:
        assert says in await desk.boss(typed), typed


async def test_a_report_has_its_usual_names(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040, before=1019.0))
    for typed in ("week", "周报", "本周", "Week", "ＷＥＥＫ"):
        said = await desk.boss(f"/report {typed}")
        assert said.startswith("【一周】")
        assert "1. 消息 1,040，前一周 1,019" in said
        assert desk.handler == "operator.report.week"


async def test_a_groups_report_by_number_short_name_or_name(desk: Reader) -> None:
    group = await desk.group(name="学习 群")
    await desk.boss("/group call 1 vip")
    await desk.put("group", desk.figure("turns_gini", 0.5, unit="score"), scope=group.place)
    for typed in ("group 1", "group #1", "群 vip", "group 学习 群", "学习 群"):
        assert "发言集中程度 0.50" in await desk.boss(f"/report {typed}"), typed


async def test_a_group_has_reports_of_its_own(desk: Reader) -> None:
    group = await desk.group()
    for kind in ("mood", "topic", "leaders"):
        await desk.put(kind, desk.figure("mood_messages", 5))
        await desk.put(kind, desk.figure("mood_messages", 7), scope=group.place)
        of_all = await desk.boss(f"/report {kind}")
        assert "读过的消息 5" in of_all
        assert f"/report {kind} 群名" in of_all
        of_one = await desk.boss(f"/report {kind} 学习群")
        assert "·学习群】" in of_one
        assert "读过的消息 7" in of_one
        assert "群名" not in of_one


async def test_topics_of_private_talk_have_a_report(desk: Reader) -> None:
    await desk.put("topic", desk.figure("topic_speakers", 93), scope="private")
    assert "【话题·私聊】" in await desk.boss("/report topic 私聊")


async def test_a_member_hears_nothing_of_reports(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    for typed in ("/report week", "/why 1", "/report to 快流失 你好"):
        assert "1,040" not in await desk.say(typed)
        assert "编号" not in await desk.say(typed)


# By role


async def test_figures_of_few_members_are_for_owners(desk: Reader) -> None:
    few = desk.figure("paying_members", 3, people=3)
    await desk.put("week", desk.figure("messages", 1040, people=200), few)
    assert "付费成员" not in await desk.boss("/report week"), "what is hidden is not told first"
    hidden = await desk.boss("/report week 更多")
    assert await desk.boss("/report week更多") == hidden
    assert f"1. 付费成员 —（{desk.texts(f'note.{FEW}')}）" in hidden
    why = await desk.boss("/why 1")
    assert "涉及" not in why
    assert " 3" not in why.replace("/why", "")
    assert "付费成员 3" in await desk.say("/report week 更多", "o_ann")
    assert "涉及 3 人" in await desk.say("/why 1", "o_ann")


async def test_lines_about_members_are_not_for_analysts(desk: Reader) -> None:
    lin = await desk.member()
    row = Row(member_id=lin, figures=(desk.figure("silent_days", 29, unit="days"),))
    await desk.put("members", lists=(Listing(name="leaving", rows=(row,)),))
    assert f"1. 成员 {lin}：沉默 29 天" in await desk.boss("/report members")
    analysts = await desk.say("/report members", "o_eye")
    assert "成员 " not in analysts.replace("成员 更多", "")
    assert desk.texts("note.members_hidden") in analysts
    assert "/report to" not in analysts


async def test_who_is_analyst_now_cannot_ask_about_what_they_saw_as_operator(desk: Reader) -> None:
    lin = await desk.member()
    row = Row(member_id=lin, figures=(desk.figure("silent_days", 29, unit="days"),))
    await desk.put("members", lists=(Listing(name="leaving", rows=(row,)),))
    await desk.boss("/report members")
    assert f"成员 {lin}·" in await desk.boss("/why 1")
    await desk.promote("o_boss", "analyst")
    assert "先看一份报告" in await desk.boss("/why 1")


async def test_an_analyst_is_not_told_of_the_one_who_paid_before(desk: Reader) -> None:
    paying = desk.figure("paying_members", 0, people=0, before=1.0, note="within_chance")
    rate = desk.figure("conversion_rate", 0.0, unit="share", numerator=0.0, denominator=27.0)
    rate = replace(rate, people=27, before=1 / 26, before_people=26)
    await desk.put("day", desk.figure("messages", 40, people=20), paying, rate)
    for who in ("o_eye", "o_boss"):
        said = await desk.say("/report day", who) + await desk.say("/report day 更多", who)
        assert "付费成员 0\n" in said
        assert "转化率 0.0%（0 ÷ 27）\n" in said
        assert "3.8%" not in said
    assert "付费成员 0，" in await desk.say("/report day", "o_ann"), "the owner sees it"


async def test_why_has_the_days_of_the_configuration(desk: Reader) -> None:
    await desk.put("members", desk.figure("state_core", 30, people=30))
    await desk.boss("/report members")
    assert "11 天以上" in await desk.boss("/why 1")


async def test_before_groups_talk_there_is_nobody_to_lead(desk: Reader) -> None:
    for who in ("o_boss", "o_eye"):
        said = await desk.say("/report leaders", who)
        assert "还没有人说够话" in said
        assert "refresh" not in said, "working it out anew does not help"


async def test_without_a_configuration_few_are_hidden_all_the_same(desk: Reader) -> None:
    desk.side = None
    await desk.put("week", desk.figure("messages", 7, people=3))
    assert "消息 —" in await desk.boss("/report week")


async def test_an_analyst_changes_nothing(desk: Reader) -> None:
    await desk.group()
    for typed in ("refresh", "to 快流失 你好", "publish 1"):
        assert await desk.say(f"/report {typed}", "o_eye") == desk.texts("operator.read_only")
    assert side_of(desk).posted == []


# Why


async def drill(desk: Reader) -> str:
    """A mood report and a topic report of the group, with a message behind the topic."""
    await desk.fill()
    group = await desk.group()
    refs = [await desk.says("视频又卡住了，真着急", "m1"), await desk.says("一直转圈打不开", "m2")]
    await desk.store.content.add_gap("视频卡住怎么办", "视频卡住怎么办？", desk.at, bytes(16))
    topic = Row(
        label="卡住",
        figures=(
            desk.figure("topic_people", 14, people=14),
            desk.figure("topic_change", 3.2, unit="factor", low=1.8, high=5.0, people=14),
        ),
        details=(*refs, "item:write", "gap:1", "item:gone"),
    )
    mood = desk.figure("mood_negative", 0.4, unit="share", numerator=40, denominator=100)
    await desk.put("week", desk.figure("messages", 1040), replace(mood, before=0.2))
    await desk.put("mood", mood, scope=group.place)
    listing = Listing(name="topics_rising", rows=(topic,))
    await desk.put("topic", lists=(listing,), scope=group.place)
    return refs[0]


async def test_from_the_week_down_to_the_words_of_members(desk: Reader) -> None:
    await drill(desk)
    assert "2. 负面 40.0%（40 ÷ 100），前一周 20.0%" in await desk.boss("/report week")
    assert "前一周：20.0%" in await desk.boss("/why 2")
    assert "负面 40.0%" in await desk.boss("/report mood 学习群")
    rising = await desk.boss("/report topic 学习群")
    assert "1. 卡住：14 人说到，往常的 3.2 倍 [1.8～5 倍]" in rising
    said = await desk.boss("/why １")
    for part in (
        "【卡住】",
        desk.texts("why.topic_people"),
        desk.texts("why.topic_change"),
        "例：视频又卡住了，真着急",
        "例：一直转圈打不开",
        "相关内容：写作入门",
        "还没答上的问题：视频卡住怎么办？",
    ):
        assert part in said
    assert len(said.encode()) <= MAX_TEXT_BYTES


async def test_what_is_quoted_has_no_number_of_anybody(desk: Reader) -> None:
    await desk.fill()
    refs = await desk.says("一直卡住，打我电话13800138000", "m9")
    row = Row(label="卡住", figures=(desk.figure("topic_people", 14, people=14),), details=(refs,))
    await desk.put("topic", lists=(Listing(name="topics_rising", rows=(row,)),))
    await desk.boss("/report topic")
    said = await desk.boss("/why 1")
    assert "例：一直卡住，打我电话***" in said
    assert "13800138000" not in said


async def test_what_was_recalled_is_not_quoted(desk: Reader) -> None:
    await drill(desk)
    await desk.boss("/report topic 学习群")
    await desk.store.talk.recall("qun:1", "m1")
    said = await desk.boss("/why 1")
    assert "真着急" not in said
    assert "例：一直转圈打不开" in said


async def test_an_analyst_hears_the_number_and_no_quotation(desk: Reader) -> None:
    await drill(desk)
    await desk.say("/report topic 学习群", "o_eye")
    said = await desk.say("/why 1", "o_eye")
    assert "【卡住】" in said
    assert "例：" not in said


async def test_a_number_that_is_none_hears_which_there_are(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    await desk.boss("/report week")
    for typed in ("/why 2", "/why 0", "/why 一", "/why", "/why 99999999999999999999"):
        assert "1 到 1" in await desk.boss(typed)


async def test_numbers_are_of_the_last_report_of_this_reader_for_a_day(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    await desk.put("mood", desk.figure("mood_messages", 974))
    await desk.boss("/report week")
    await desk.say("/report mood", "o_ann")
    assert "1,040" in await desk.boss("/why 1")
    assert "974" in await desk.say("/why 1", "o_ann")
    await desk.boss("/report mood")
    assert "974" in await desk.boss("/why 1")
    desk.later(days=1, minutes=1)
    assert "先看一份报告" in await desk.boss("/why 1")


async def test_the_report_may_change_and_the_answer_is_to_what_was_read(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    await desk.boss("/report week")
    await desk.put("week", desk.figure("active_members", 3))
    assert "消息：1,040" in await desk.boss("/why 1")


# What fits


async def full(desk: Reader) -> None:
    """A week of everything: twelve figures, four lists of forty, two charts."""
    figures = [desk.figure("messages", number, of=f"第 {number} 群") for number in range(12)]
    rows = tuple(
        Row(label=f"话题{number}" + "很长" * 30, figures=(desk.figure("topic_people", 20),))
        for number in range(40)
    )
    names = ("topics", "topics_rising", "new_words", "topics_today")
    series = (Series(name="messages", values=(1.0,)),)
    charts = tuple(
        Chart(name=name, kind="bars", unit="count", labels=("一",), series=series)
        for name in ("messages_by_day", "forecast_days")
    )
    lists = tuple(Listing(name=name, rows=rows) for name in names)
    await desk.put("topic", *figures, lists=lists, charts=charts)


async def test_the_longest_report_fits_into_one_message_and_so_does_the_rest(desk: Reader) -> None:
    await full(desk)
    first = await desk.boss("/report topic")
    assert len(first.encode()) <= MAX_TEXT_BYTES
    assert "10. 消息·第 9 群 9" in first
    assert "第 11 群" not in first
    assert "「/report topic 更多」" in first
    rest = await desk.boss("/report topic 更多")
    assert rest.startswith("【话题·更多】")
    assert len(rest.encode()) <= MAX_TEXT_BYTES
    assert "1. 消息·第 10 群 10" in rest
    assert "放不下" in rest
    assert "10" in await desk.boss("/why 1")


async def test_each_message_has_a_chart_of_its_own(desk: Reader) -> None:
    await full(desk)
    for typed, name in (("topic", "messages_by_day"), ("topic 更多", "forecast_days")):
        await desk.boss(f"/report {typed}")
        assert desk.ctx is not None
        assert [one.media_id for one in desk.ctx.then] == ["MEDIA"]
        chart, foot, channel = side_of(desk).drawn[-1]
        assert chart.name.endswith(desk.texts(f"chart.{name}"))
        assert foot == "11-14 到 11-21 · 知行社"
        assert channel == "mp"


async def test_where_no_picture_can_be_shown_the_text_is_enough(desk: Reader) -> None:
    await full(desk)
    side_of(desk).media = ""
    assert (await desk.boss("/report topic")).startswith("【话题】")
    assert desk.ctx is not None
    assert desk.ctx.then == []


async def test_there_is_no_more_of_a_short_report(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    assert "更多" not in await desk.boss("/report week")
    assert "没有更多" in await desk.boss("/report week 更多")
    await desk.group()
    await desk.put("mood", desk.figure("mood_messages", 7), scope="qun:1")
    assert "没有更多" in await desk.boss("/report mood 学习群 更多")


# Acting on it


async def test_about_to_leave_becomes_a_campaign_in_two_messages(desk: Reader) -> None:
    work = Campaigning(desk)
    lin, wei = await work.fans("o_lin2", "o_wei")
    row = Row(member_id=lin, figures=(desk.figure("silent_days", 29, unit="days"),))
    await desk.put("members", lists=(Listing(name="leaving", rows=(row,)),))
    await states(desk, {lin: "leaving", wei: "core"})

    read = await desk.boss("/report members")
    assert "/report to 快流失" in read
    said = await desk.say("/report to 快流失 好久不见\n新课开了", "o_boss", crash_first=True)
    assert desk.handler == "operator.report.to"
    assert "好久不见\n新课开了\n（回复「退订」不再收到）" in said
    assert "会发给 1 人" in said
    assert work.phones.received == {}
    (campaign,) = await desk.store.campaigns.all()
    assert campaign.status == "draft"
    assert campaign.title == "写给快流失 11-21"
    assert campaign.audience == "状态:快流失"

    code = re.search(r"确认 ([0-9A-Z]{4})", said)
    assert code is not None
    assert "发给 1 人" in await desk.boss(f"确认 {code[1]}")
    await work.run()
    assert list(work.phones.received) == ["o_lin2"]


async def states(desk: Reader, known: dict[int, str]) -> None:
    """What was concluded of members."""
    sql = (
        "insert into member_features (member_id, state, first_at, last_at, acts, active_days, "
        "last_day, days28, questions, spent_cents, orders, progress, data, updated_at) "
        "values (?, ?, 0, 0, 1, 1, '2026-10-20', 1, 0, 0, 0, 0, '{}', 0)"
    )
    rows = list(known.items())
    await desk.store.db.write(lambda conn: conn.executemany(sql, rows) and None)


async def test_states_are_called_by_their_names(desk: Reader) -> None:
    for typed in ("快流失", "即将流失", "leaving", "流失", "核心"):
        assert "想对他们说什么" in await desk.boss(f"/report to {typed}"), typed


async def test_to_a_state_nobody_is_in_nothing_is_drafted(desk: Reader) -> None:
    Campaigning(desk)
    for typed, state in (("暂停", "暂停"), ("回归", "回归"), ("leaving", "快流失")):
        said = await desk.boss(f"/report to {typed} 好久不见")
        assert said == f"现在没有「{state}」的成员，没有建草稿。"
    assert await desk.store.campaigns.all() == []


async def test_leaving_a_question_keeps_what_was_read(desk: Reader) -> None:
    await desk.put("week", desk.figure("messages", 1040))
    await desk.boss("/report week")
    me = await desk.member("o_boss")
    await desk.store.members.set_state(me, "mood_list", [["talk", 1]], desk.at + DAY_S)
    for word in ("取消", "退出", "算了"):
        await desk.store.members.set_state(me, "choices", {}, desk.at + DAY_S)
        assert await desk.boss(word) == desk.texts("common.cancelled")
        assert await desk.boss(word) == desk.texts("common.nothing_to_cancel")
    assert "消息：1,040" in await desk.boss("/why 1")
    assert await desk.store.members.state(me, "mood_list", desk.at) == [["talk", 1]]


async def test_who_is_no_state_gets_no_campaign(desk: Reader) -> None:
    Campaigning(desk)
    for typed in ("", "所有人 你好", "tag:VIP 你好", "状态:快流失 你好", "快 流失"):
        assert "写给哪一类人" in await desk.boss(f"/report to {typed}")
    assert await desk.store.campaigns.all() == []


async def test_working_out_anew_says_what_becomes_of_it(desk: Reader) -> None:
    for started in Started:
        side_of(desk).started = started
        said = await desk.boss("/report refresh")
        assert said == desk.texts(f"report.refresh_{started.value}")
    desk.side = None
    assert await desk.boss("/report refresh") == desk.texts("report.refresh_off")
    rows = [row.action for row in await desk.store.audit.newest()]
    assert rows.count("insights.refresh") == 2, "who set it off, or wished to while it ran"


# Publishing


async def test_figures_of_a_group_are_published_after_a_question_once(desk: Reader) -> None:
    await desk.group()
    asked = await desk.boss("/report publish 学习群")
    assert "额度" in asked
    assert side_of(desk).posted == []
    said = await desk.say("确认", "o_boss", crash_first=True)
    boss = await desk.member("o_boss")
    assert "大约 40 位朋友说过话" in said
    assert set(side_of(desk).posted) == {(1, f"member:{boss}")}
    assert [row for row in await desk.audits() if row[0] == "report.publish"] == [
        ("report.publish", "group:1")
    ]


NOT_PUBLISHED = (
    (Published("spent", spent=Spent(0.0, 0.25, 1_795_500_000.0)), "额度用完了。11-24 起"),
    (Published("few"), "人太少"),
    (Published("unknown"), "还没有算出来"),
    (Published("cannot"), "/group route 1"),
)


async def test_what_could_not_be_published_is_explained(desk: Reader) -> None:
    await desk.group()
    for published, says in NOT_PUBLISHED:
        side_of(desk).published = published
        await desk.boss("/report publish 1")
        assert says in await desk.boss("确认")
    assert [row for row in await desk.audits() if row[0] == "report.publish"] == []


async def test_nothing_is_published_where_nothing_can_be_posted(desk: Reader) -> None:
    await desk.group("2", "robot", "只听群")
    await desk.group("3", name="没绑定", bound=False)
    assert "哪个群" in await desk.boss("/report publish")
    for name in ("只听群", "没绑定"):
        assert "发不了消息" in await desk.boss(f"/report publish {name}")
    desk.side = None
    assert "没有打开" in await desk.boss("/report publish 只听群")


async def test_a_group_is_told_weekly_when_an_operator_wants_it(desk: Reader) -> None:
    group = await desk.group()
    assert desk.rules(group).weekly is False
    assert "每周发一条" in await desk.boss("/group weekly 1 on")
    assert desk.rules(group).weekly is True
    assert "周报：开" in await desk.boss("/group 1")
    assert "每周发一条" in await desk.boss("/group weekly 1 每天")
    assert await desk.say("/group weekly 1 off", "o_eye") == desk.texts("operator.read_only")
    assert desk.rules(group).weekly is True
    assert "不发周报" in await desk.boss("/group 周报 1 关")
    assert desk.rules(group).weekly is False
