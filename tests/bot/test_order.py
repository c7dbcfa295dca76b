"""Order: what is judged, what is done about it, once, and who hears of it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.client import Unheard
from bot.group_settings import GroupSettings
from bot.order import REPORT_S, Order
from handlers import order_desk
from handlers.message import Message, Talk
from handlers.texts import Texts
from insights.order_reading import mark
from insights.order_rules import Judgement
from store import Store
from store.groups import Group, GroupRules
from store.ledgers import Deed
from store.order import Case, Lesson, WordRow
from tests.blank import blank

NOW = 1_795_228_200.0
ADVERT = "加微信 abc12345 领取内部资料，名额有限"
"""A contact and a lure: an advert without doubt where the model agrees."""
SETTINGS = GroupSettings(flood_messages=5, flood_seconds=20.0)
DEED = Deed(NOW, "member:1", "order.ban")


class Model:
    """An advert for it is what says 日赚 or 好物, surely, or 优惠, likely. Counts what it was
    asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def scores(self, texts: Sequence[str]) -> list[float]:
        self.asked += texts
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> float:
        if "日赚" in text or "好物" in text:
            return 0.999
        return 0.93 if "优惠" in text else 0.01


class Kicker:
    """A channel that can remove people, or fails to."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    async def kick(self, group: str, user: str) -> None:
        self._do("kick", group, user)

    async def silence(self, group: str, user: str, seconds: int) -> None:
        self._do("silence", group, user, seconds)

    def _do(self, *what: Any) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)


class World:
    """Groups, members, and an Order; `again` is the same after a restart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.model = Model()
        self.kicker = Kicker()
        self.hidden: list[str] = []
        self.told: dict[bytes, str] = {}
        self.heard = True
        self.hosts = ["zhixing.example"]
        self.numbers = itertools.count(1)
        self.last: Message | None = None
        self.again()

    def again(self, settings: GroupSettings = SETTINGS, **more: Any) -> None:
        kickers = {"qun": self.kicker}
        self.order = Order(
            self.store,
            more.get("model", self.model),
            settings,
            Texts.load(),
            hide=self.hide,
            tell=self.tell,
            posting=more.get("posting", frozenset({"qun"})),
            kickers=more.get("kickers", kickers),
            own_hosts=lambda: self.hosts,
        )

    async def hide(self, key: bytes) -> None:
        self.hidden.append(key.hex())

    async def tell(self, text: str, key: bytes) -> bool:
        assert len(key) == 16
        if self.heard:
            self.told.setdefault(key, text)
        return self.heard

    async def group(self, external_id: str = "1", **rules: Any) -> Group:
        group = await self.store.groups.meet(
            "qun", external_id, NOW, name=f"群{external_id}", owner="boss", bound_by="cli"
        )
        changed = await self.store.groups.rule(
            group.place, lambda old: replace(old, **{"order": "act", **rules})
        )
        assert changed is not None
        return changed

    def message(self, text: str, who: str = "lin", group: str = "1", **talk: Any) -> Message:
        key = hashlib.blake2b(str(next(self.numbers)).encode(), digest_size=16).hexdigest()
        raw = talk.pop("raw", {})
        self.last = Message(
            "qun",
            "bot",
            who,
            "text",
            int(self.now),
            key,
            text,
            raw=raw,
            source="onebot",
            talk=Talk(group, message_id=f"m{key[:6]}", **talk),
        )
        return self.last

    async def judge(self, text: str, group: Group, who: str = "lin", **talk: Any) -> Judgement:
        operator = talk.pop("operator", False)
        message = self.message(text, who, group.external_id, **talk)
        return self.order.judge(message, group, None, self.now, operator=operator)

    async def say(self, text: str, group: Group, who: str = "lin", **talk: Any) -> Case | None:
        """What the ear does: judge, then act."""
        judgement = await self.judge(text, group, who, **talk)
        assert self.last is not None
        member = await self.store.members.meet("qun", who, self.now)
        return await self.order.act(self.last, group, member.id, judgement, self.now)

    async def posts(self) -> list[tuple[str, str]]:
        """(kind, body) of what was planned."""
        return await self.store.db.read(
            lambda conn: conn.execute("select kind, body from posts order by id").fetchall()
        )

    async def cases(self) -> list[Case]:
        return await self.store.order.cases("", 0.0, 1000)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield World(store)
    await store.close()


# Precision: who is left alone


@pytest.mark.parametrize(
    "text",
    [
        "老师好，请问这周的作业什么时候交？",
        "「张三：日赚千元，加微信 abc12345」\n- - - - - - - - - - -\n这个是骗子吧",
        "推荐一本书 https://book.example/py 讲得很清楚",
        "作业在 https://zhixing.example/homework",
        "[图片]",
        "",
        "。。。",
        "收到，谢谢老师",
    ],
)
async def test_a_newcomer_who_talks_or_quotes_is_no_spammer(world: World, text: str) -> None:
    group = await world.group()
    await world.order.tick(NOW)
    assert (await world.judge(text, group)).severity == 0


async def test_words_that_the_channel_marks_as_quoted_are_not_judged(world: World) -> None:
    group = await world.group()
    judgement = await world.judge(f"{ADVERT} 日赚 大家别信", group, quoted=f"{ADVERT} 日赚")
    assert judgement.severity == 0


async def test_operators_and_owners_may_post_links_adverts_and_many_of_them(world: World) -> None:
    group = await world.group()
    for _ in range(9):
        assert not (await world.judge(f"日赚 {ADVERT} t.cn/x", group, operator=True)).severity
        assert not (await world.judge(f"日赚 {ADVERT}", group, "boss", everyone=True)).severity
    assert world.model.asked == []


async def test_what_an_operator_said_may_be_passed_on(world: World) -> None:
    group = await world.group()
    await world.judge(f"开课啦，{ADVERT}", group, "op", operator=True)
    for who in ("lin", "su", "mei", "wu"):
        assert not (await world.judge(f"开课啦，{ADVERT}", group, who)).severity


async def test_where_order_is_off_nobody_is_judged(world: World) -> None:
    group = await world.group(order="off")
    assert not (await world.judge(f"日赚 {ADVERT}", group)).severity
    private = replace(world.message("日赚"), talk=None)
    assert not world.order.judge(private, group, None, NOW, operator=False).severity


async def test_a_number_alone_is_noted_and_nobody_is_bothered(world: World) -> None:
    group = await world.group()
    case = await world.say("我的电话 138 0013 8000，有事找我", group)
    assert case is not None
    assert (case.severity, case.actions, case.reasons) == (1, ("noted",), ("contact",))
    assert (world.hidden, world.told, await world.posts()) == ([], {}, [])


# What is done


async def test_an_advert_is_hidden_warned_of_and_reported(world: World) -> None:
    group = await world.group()
    case = await world.say(f"日赚千元 {ADVERT}", group)
    assert case is not None
    assert case.reasons == ("contact", "lure", "model")
    assert case.actions == ("hidden", "warned")
    assert world.hidden == [case.key.hex()]
    [(kind, body)] = await world.posts()
    assert kind == "order"
    assert '"lin"' in body
    [report] = world.told.values()
    assert f"#{case.id}" in report
    assert f"msgmenucontent=误报 {case.id}" in report
    assert "abc12345" not in report


async def test_the_model_alone_reports_and_the_group_hears_nothing(world: World) -> None:
    group = await world.group(kick=True, silence=True)
    case = await world.say("好物推荐给大家看看", group)
    assert case is not None
    assert (case.severity, case.actions) == (1, ("noted",))
    assert len(world.told) == 1
    likely = await world.say("今天全场优惠哦", group, "su")
    assert likely is not None
    assert (likely.severity, likely.actions) == (1, ("noted",))
    await world.order.tick(NOW + REPORT_S + 1)
    assert len(world.told) == 1, "what is only likely is for who looks"
    assert (world.kicker.done, world.hidden, await world.posts()) == ([], [], [])


async def test_who_has_talked_for_a_while_is_not_reported_for_a_models_word(world: World) -> None:
    group = await world.group()
    for number in range(5):
        world.now += 60
        await world.say(f"这是我第 {number} 次在群里说话", group)
    known = await world.judge("好物推荐给大家看看", group)
    assert (known.severity, known.report) == (1, False)
    assert (await world.judge("好物推荐给大家看看", group, "su")).report


async def test_a_line_to_the_bot_in_a_flood_is_answered(world: World) -> None:
    group = await world.group()
    severities = [
        (await world.judge(f"第 {n} 句不一样的话", group, addressed=n in (6, 7))).severity
        for n in range(9)
    ]
    assert severities == [0, 0, 0, 0, 0, 2, 0, 0, 2]


@pytest.mark.parametrize("text", ["收到啦", "12345678901234", "。。。！！！？？？", "😀" * 9])
async def test_the_model_is_not_asked_of_what_says_nothing(world: World, text: str) -> None:
    await world.judge(text, await world.group())
    assert world.model.asked == []


async def test_a_group_that_is_watched_hears_nothing_and_operators_do(world: World) -> None:
    group = await world.group(order="watch", kick=True, silence=True)
    await world.order.tick(NOW)
    case = await world.say(f"日赚千元 {ADVERT} http://zhixing.example.evil.top", group)
    assert case is not None
    assert (case.severity, case.actions) == (3, ("hidden",))
    assert await world.posts() == []
    assert world.kicker.done == []
    assert len(world.told) == 1


@pytest.mark.parametrize(
    ("rules", "done"),
    [
        ({}, []),
        ({"silence": True}, [("silence", "1", "lin", 600)]),
        ({"kick": True, "silence": True}, [("kick", "1", "lin")]),
    ],
)
async def test_removing_is_done_only_where_allowed_and_certain(
    world: World, rules: dict[str, Any], done: list[tuple[Any, ...]]
) -> None:
    group = await world.group(**rules)
    await world.order.tick(NOW)
    case = await world.say("快看 http://zhixing.example.evil.top", group)
    assert case is not None
    assert case.severity == 3
    assert world.kicker.done == done


async def test_a_channel_that_cannot_remove_or_post_only_reports(world: World) -> None:
    group = await world.group(kick=True)
    world.again(kickers={}, posting=frozenset())
    await world.order.tick(NOW)
    case = await world.say("快看 http://zhixing.example.evil.top", group)
    assert case is not None
    assert case.actions == ("hidden",)
    assert len(world.told) == 1


async def test_what_a_channel_refuses_is_written_down_and_not_asked_again(world: World) -> None:
    group = await world.group(silence=True)
    await world.order.tick(NOW)
    world.kicker.error = Unheard("silence", "no answer")
    case = await world.say("快看 http://zhixing.example.evil.top", group)
    assert case is not None
    kept = await world.store.order.case(case.id)
    assert kept is not None
    assert kept.actions == ("hidden", "failed", "warned")
    world.kicker.error = None
    assert await world.order.tick(NOW + 70) == ""
    assert world.kicker.done == []


async def test_one_warning_for_a_member_group_and_day(world: World) -> None:
    group, other = await world.group(), await world.group("2")
    for number in range(4):
        world.now += 60
        await world.say(f"日赚千元 {ADVERT} {number}", group)
    assert len(await world.posts()) == 1
    await world.say(f"日赚千元 {ADVERT} 别处", other)
    await world.say(f"日赚千元 {ADVERT} 别人", group, "su")
    assert len(await world.posts()) == 3
    world.now += 86_400
    await world.say(f"日赚千元 {ADVERT} 明天", group)
    assert len(await world.posts()) == 4


async def test_the_same_message_after_a_kill_is_one_case_and_one_warning(world: World) -> None:
    """Killed at any point of acting: before the case, after it, before the report."""
    group = await world.group()
    message = world.message(f"日赚千元 {ADVERT}")
    judgement = world.order.judge(message, group, None, NOW, operator=False)
    member = await world.store.members.meet("qun", "lin", NOW)
    cases = []
    for heard in (False, True, True):
        world.heard = heard
        world.again()
        cases.append(await world.order.act(message, group, member.id, judgement, NOW))
        await world.order.tick(NOW + 1)
    assert len({case.id for case in cases if case}) == 1
    assert len(await world.cases()) == 1
    assert len(await world.posts()) == 1
    assert len(world.told) == 1, "the report that nobody heard is told after the restart"


async def test_what_a_killed_process_meant_to_do_is_done_by_the_next(world: World) -> None:
    group = await world.group(silence=True)
    await world.order.tick(NOW)
    world.kicker.error = RuntimeError("killed here")
    with pytest.raises(RuntimeError):
        await world.say("快看 http://zhixing.example.evil.top", group)
    world.kicker.error = None
    world.again()
    assert await world.order.tick(NOW + 5) == "1 finished, 1 reports"
    assert world.kicker.done == [("silence", "1", "lin", 600)]
    assert await world.order.tick(NOW + 6) == ""


async def test_who_opted_out_is_named_nowhere(world: World) -> None:
    group = await world.group()
    judgement = await world.judge(f"日赚千元 {ADVERT}", group)
    member = await world.store.members.meet("qun", "lin", NOW)
    assert world.last is not None
    case = await world.order.act(world.last, group, member.id, judgement, NOW, recorded=False)
    assert case is not None
    assert (case.member_id, case.text) == (None, "")
    [(_, body)] = await world.posts()
    assert "lin" not in body, "order holds for them, too, without a name"
    owner = await world.store.db.read(
        lambda conn: conn.execute("select member_id from posts").fetchone()
    )
    assert owner == (None,)


# Floods and raids


async def test_a_flood_is_one_case_and_all_of_it_is_hidden(world: World) -> None:
    group = await world.group()
    for number in range(30):
        world.now += 0.5
        await world.say(f"第 {number} 句不一样的话", group)
    [case] = await world.cases()
    assert case.reasons == ("flood",)
    assert len(world.hidden) == 25
    [(_, body)] = await world.posts()
    assert "消息有点密" in body
    assert len(world.told) == 1


async def test_a_raid_of_fifty_is_two_reports_and_not_fifty(world: World) -> None:
    group = await world.group()
    for number in range(50):
        world.now += 1
        await world.say(ADVERT, group, f"raider{number}")
    assert len(world.told) == 1
    await world.order.tick(world.now)
    assert len(world.told) == 1, "not within the minute"
    await world.order.tick(world.now + REPORT_S)
    assert len(world.told) == 2
    assert await world.store.order.unreported() == []
    first, second = world.told.values()
    assert "1 条" in first
    assert "47 条" in second
    assert "同样的还有 46 条" in second
    assert second.count("msgmenucontent=广告") == 1, "one tap for all that say the same"
    assert len(world.hidden) >= 50, "also the two that came before it was a raid"
    assert len(second.encode()) < 2048


async def test_a_class_that_checks_in_with_the_same_link_is_no_raid(world: World) -> None:
    group = await world.group(kick=True)
    for number in range(12):
        said = "我完成了 21 天阅读打卡第 3 天 https://daka.example/today"
        assert (await world.judge(said, group, f"student{number}")).severity == 0


async def test_several_who_pass_on_a_number_are_reported_and_stay(world: World) -> None:
    group = await world.group(kick=True, silence=True)
    for who in ("lin", "su", "mei"):
        case = await world.say(f"这位老师不错，{ADVERT}", group, who)
    assert case is not None
    assert (case.severity, "raid" in case.reasons) == (3, True)
    assert world.kicker.done == [], "the model does not bear it out"


async def test_a_false_alarm_lets_them_speak_again(world: World) -> None:
    group = await world.group(silence=True)
    await world.order.tick(NOW)
    case = await world.say("快看 http://zhixing.example.evil.top", group)
    assert case is not None
    await world.store.order.verdict(case.id, False, DEED, lambda one: None)
    await world.order.tick(NOW + 5)
    await world.order.tick(NOW + 9)
    assert world.kicker.done == [("silence", "1", "lin", 600), ("silence", "1", "lin", 0)]


async def test_a_full_report_fits_into_one_message(world: World) -> None:
    group = await world.group()
    await world.say("日赚千元不是梦", group)
    for number in range(30):
        await world.say(
            f"日赚千元{'，包教包会名额有限' * 9} {number} {ADVERT}", group, f"p{number}"
        )
    await world.order.tick(NOW + 61)
    report = list(world.told.values())[1]
    assert len(report.encode()) < 2048
    assert "还有 26 条" in report


async def test_another_groups_report_does_not_wait(world: World) -> None:
    one, two = await world.group(), await world.group("2")
    await world.say("日赚千元不是梦", one)
    await world.say("日赚千元不是梦了", two, "su")
    assert len(world.told) == 2


async def test_a_clock_set_back_holds_no_report_for_ever(world: World) -> None:
    group = await world.group()
    await world.say("日赚千元不是梦", group)
    world.now -= 86_400
    await world.say("日赚千元又是梦", group)
    assert len(world.told) == 2


async def test_a_mention_of_all_by_a_member_is_noted_and_with_an_advert_more(world: World) -> None:
    group = await world.group()
    assert (await world.judge("谁有空", group, everyone=True)).severity == 1
    judgement = await world.judge(ADVERT, group, everyone=True)
    assert (judgement.severity, judgement.reasons) == (2, ("contact", "everyone"))
    judgement = await world.judge("我的电话 13800138000", group, everyone=True)
    assert judgement.severity == 1


async def test_a_qr_code_into_another_group_is_seen(world: World) -> None:
    group = await world.group()
    judgement = await world.judge("[图片]", group, raw={"qr": "https://weixin.qq.com/g/abc"})
    assert judgement.reasons == ("code",)
    assert (await world.judge("[图片]", group, raw={"qr": {"not": "text"}})).severity == 0


# Words, verdicts, the model


async def test_words_are_taken_in_by_the_next_tick(world: World) -> None:
    group = await world.group()
    await world.store.order.set_word(WordRow("ban", "代考", "", 2), DEED)
    assert (await world.judge("代♥考包过", group)).severity == 0
    await world.order.tick(NOW)
    assert (await world.judge("代♥考包过", group)).reasons == ("banned",)
    await world.store.order.drop_word(("ban",), "代考", "", DEED)
    await world.order.tick(NOW)
    assert (await world.judge("代♥考包过", group)).severity == 0


async def test_what_an_operator_judged_is_known_from_then_on(world: World) -> None:
    group = await world.group(kick=True)
    spam, fine = "内部渠道名额有限速来", f"日赚 {ADVERT}"
    lessons = [Lesson(1, True, spam, mark(spam)), Lesson(2, False, fine, mark(fine))]
    world.order.use(world.model, lessons)
    judgement = await world.judge("内部渠道·名额有限，速来", group)
    assert (judgement.severity, judgement.reasons, judgement.certain) == (3, ("known",), True)
    assert (await world.judge(fine, group)).severity == 0


async def test_without_a_model_the_rules_still_hold(world: World) -> None:
    group = await world.group()
    world.again(model=None)
    await world.order.tick(NOW)
    judgement = await world.judge("看 http://zhixing.example.evil.top", group)
    assert (judgement.severity, judgement.score) == (3, None)


async def test_a_hostile_text_reaches_the_model_cut(world: World) -> None:
    group = await world.group()
    await world.judge("字" * 10_000, group)
    assert [len(text) for text in world.model.asked] == [2000]


@pytest.mark.parametrize("odd", ["\ud800", "\x00", "\u0301" * 9000])
async def test_half_a_character_stops_nobody(world: World, odd: str) -> None:
    group = await world.group()
    case = await world.say(f"日赚{odd}千元 {ADVERT}", group)
    assert case is not None
    assert "warned" in case.actions


def test_the_desk_says_how_long_silence_is() -> None:
    from bot.order import SILENCE_S

    assert order_desk.SILENCE_MINUTES * 60 == SILENCE_S
    assert GroupRules().order == "watch"
