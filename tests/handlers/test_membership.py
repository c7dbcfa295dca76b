"""Membership in the chat: 我的会员, /tier, closed doors, and items whose links are for members."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from handlers.quiz_text import read
from handlers.rewards import MembershipRules, Rewards
from store.catalogue import Chapter
from store.events import NewEvent
from store.offers import NewOffer
from tests.handlers.conftest import Conversation, item

DAY = 86_400.0
TIERS = ("trial", "paid-monthly", "gold")
VIP = item("vip", "月卡", kind="live", price_cents=3_000)
LESSONS = (Chapter("1", "开篇", "https://shop.example/vip-1"), Chapter("2", "变量"))
INNER = item("inner", "会员内刊", chapters=LESSONS, needs_tier="paid-monthly", tags=("内刊",))


def rules(**gates: str) -> Rewards:
    """The rules of these tests; gates with __ for a dot."""
    named = {name.replace("__", "."): tier for name, tier in gates.items()}
    grants = MappingProxyType({"vip": ("paid-monthly", 31), "never-listed": ("gold", 9)})
    return Rewards(membership=MembershipRules(TIERS, grants, MappingProxyType(named)))


@pytest.fixture
async def club(talk: Conversation) -> Conversation:
    """The small business with a monthly card and an item for its holders."""
    await talk.store.catalogue.put((VIP, INNER), talk.at)
    await talk.reload()
    talk.rewards = rules()
    return talk


async def give(talk: Conversation, tier: str, who: str = "o_lin", **more: Any) -> int:
    number = await talk.member(who)
    given = await talk.store.memberships.give(
        number, tier, talk.at, source_key=f"{who}{tier}{talk.at}", by="cli", tiers=TIERS, **more
    )
    assert given is not None
    return number


# 我的会员


async def test_who_has_none_reads_what_there_is_and_picks_by_number(club: Conversation) -> None:
    said = await club.say("我的会员")
    assert said.splitlines() == [
        "你现在还没有会员。",
        "月度会员可以用：《会员内刊》。",
        "开通或续期，回复数字看详情：",
        "1. 月卡（30 元，31 天月度会员）",
    ]
    assert club.handler == "membership.mine"
    assert "https://shop.example/vip?" in await club.say("1")


async def test_a_member_reads_until_when_and_what_it_opens(club: Conversation) -> None:
    club.rewards = rules(quiz="trial", content__search="gold", feed="trial")
    await give(club, "trial", for_s=60 * DAY)
    await give(club, "paid-monthly", for_s=31 * DAY)
    said = (await club.say("我的会员")).splitlines()
    assert said[:4] == [
        "你是月度会员，到 2026-12-22 为止。",
        "另有：体验会员，到 2027-01-20 为止。",
        "会员内容：《会员内刊》。",
        "会员功能：答题。",
    ]
    await give(club, "gold")
    said = (await club.say("我的会员")).splitlines()
    assert said[0] == "你是「gold」会员，一直有效。"


async def test_without_anything_to_buy_a_human_helps(talk: Conversation) -> None:
    talk.rewards = Rewards(membership=MembershipRules(("trial",)))
    assert await talk.say("我的会员") == "你现在还没有会员。\n想开通的话，发「转人工」问问我们。"


async def test_where_there_are_no_tiers_nothing_is_promised(talk: Conversation) -> None:
    assert await talk.say("我的会员") == talk.texts("membership.off")


async def test_what_is_gated_is_named_as_it_is_with_its_tier(club: Conversation) -> None:
    club.rewards = rules(quiz="trial", content__search="gold", points__exchange="paid-monthly")
    said = (await club.say("我的会员")).splitlines()
    assert said[1:4] == [
        "体验会员可以用：答题。",
        "月度会员可以用：兑换、《会员内刊》。",
        "「gold」会员可以用：搜索。",
    ]
    assert said[-1] == club.texts("membership.buy_more"), "no item gives gold"
    assert await club.say("答题") == "「答题」要体验会员才能用。发「我的会员」看看怎么开通。"


async def test_the_menu_button_says_the_same(club: Conversation) -> None:
    assert (await club.happen("click", "membership")).startswith("你现在还没有会员。")


# /tier


async def test_an_operator_gives_a_tier_and_the_member_has_it_at_once(club: Conversation) -> None:
    lin = await club.member()
    await club.say("你好")
    await club.promote("o_op")
    asked = await club.say(f"/tier {lin} 月度会员 31天", "o_op")
    assert asked.startswith(f"给成员 {lin}：月度会员 31 天")
    said = await club.say("确认", "o_op", crash_first=True)
    assert said == f"成员 {lin} 现在是月度会员，到 2026-12-22 为止。"
    assert (await club.say("我的会员")).startswith("你是月度会员")
    await club.say(f"/tier {lin} paid-monthly 31", "o_op")
    assert "2027-01-22" in await club.say("确认", "o_op"), "behind what they have"
    assert await club.say(f"/tier {lin}", "o_op") == (
        f"成员 {lin} 现在是月度会员，到 2027-01-22 为止。"
    )
    rows = [row for row in await club.store.audit.newest() if row.action == "member.tier"]
    assert [row.detail.partition("[")[0] for row in rows] == [
        "",
        "paid-monthly for 31 days ",
        "paid-monthly for 31 days ",
    ]
    assert {row.target for row in rows} == {f"member:{lin}"}


async def test_for_ever_and_taken_again(club: Conversation) -> None:
    lin = await club.member()
    await club.promote("o_op")
    assert "体验会员，一直有效" in await club.say(f"/tier {lin} trial", "o_op")
    assert await club.say("确认", "o_op") == f"成员 {lin} 现在是体验会员，一直有效。"
    assert "收回" in await club.say(f"/tier {lin} none", "o_op")
    assert await club.say("确认", "o_op") == f"成员 {lin} 现在没有会员。"
    assert (await club.say("我的会员")).startswith("你现在还没有会员。")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/tier", "用法："),
        ("/tier lin trial", "用法："),
        ("/tier 1 trial 3 4", "用法："),
        ("/tier 99", "没有找到这位成员"),
        ("/tier 1 silver", "没有「silver」这个等级"),
        ("/tier 1 trial 0", "天数要写 1 到 3660"),
        ("/tier 1 trial 三天", "天数要写 1 到 3660"),
        ("/tier 1 trial 99999", "天数要写 1 到 3660"),
    ],
)
async def test_what_is_mistyped_is_said_so(club: Conversation, typed: str, said: str) -> None:
    assert await club.promote("o_op") == 1
    assert said in await club.say(typed, "o_op")
    assert await club.say("确认", "o_op") == club.texts("operator.confirm_nothing")


async def test_without_tiers_in_the_configuration_there_are_none_to_give(
    talk: Conversation,
) -> None:
    talk.rewards = Rewards()
    await talk.promote("o_op")
    assert "membership.tiers" in await talk.say("/tier 1 trial", "o_op")


async def test_who_was_erased_meanwhile_gets_nothing(club: Conversation) -> None:
    lin = await club.member()
    await club.promote("o_op")
    for wanted in ("trial 3", "none"):
        await club.say(f"/tier {lin} {wanted}", "o_op")
        await club.store.members.erase(lin, club.at)
        assert await club.say("确认", "o_op") == club.texts("operator.who_not_found")
        lin = await club.member()


async def test_members_cannot_probe_it(club: Conversation) -> None:
    assert await club.say("/tier 1 gold") == club.texts("operator.not_allowed")


# Closed doors


GATED = "「搜索」要月度会员才能用。发「我的会员」看看怎么开通。"


async def test_a_gate_lets_its_tier_and_operators_through(club: Conversation) -> None:
    club.rewards = rules(content__search="paid-monthly")
    assert await club.say("搜索 Python") == GATED
    assert club.handler == "membership.gate"
    assert (await club.say("课程")).startswith("这些内容"), "only the search is closed"
    await give(club, "trial", for_s=DAY)
    assert await club.say("搜索 Python") == GATED, "too low"
    await give(club, "paid-monthly", for_s=DAY)
    assert "Python" in await club.say("搜索 Python")
    club.later(days=1)
    assert await club.say("搜索 Python") == GATED, "it has ended"
    await club.promote("o_op")
    assert "Python" in await club.say("搜索 Python", "o_op")


async def test_a_gate_on_the_first_part_closes_all_of_it_before_it_does_anything(
    club: Conversation,
) -> None:
    club.rewards = rules(course="trial")
    assert "体验会员" in await club.say("提醒我")
    lin = await club.member()
    assert await club.store.courses.wanting_reminders() == [], "nothing was noted"
    assert "体验会员" in await club.happen("click", "mycourses"), "nor by the menu"
    await give(club, "trial", for_s=DAY)
    await club.say("提醒我")
    assert [one for one, _ in await club.store.courses.wanting_reminders()] == [lin]


async def test_what_passes_on_passes_on_through_a_gate(club: Conversation) -> None:
    club.rewards = rules(content="paid-monthly", follow="paid-monthly", choice="paid-monthly")
    assert "换个词" in await club.say("搜索不到课程怎么办"), "the FAQ has it, and is open"
    assert "七天内" in await club.say("怎么退款")


async def test_rights_and_membership_itself_are_never_closed(club: Conversation) -> None:
    names = ("privacy", "membership", "operator", "unfollow", "welcome", "topics", "topics__off")
    club.rewards = rules(**dict.fromkeys(names, "gold"))
    for text in ("我的数据", "退订 直播", "别再发了", "忘记我", "确认忘记", "我的会员", "/tier 1"):
        assert "看看怎么开通" not in await club.say(text), text
    assert await club.happen("subscribe") != ""
    assert club.handler == "welcome"


async def test_a_tier_that_the_configuration_lost_closes_to_all(club: Conversation) -> None:
    club.rewards = rules(content__search="platinum")
    await give(club, "gold")
    assert "「platinum」会员" in await club.say("搜索 Python")


async def test_a_gate_asks_the_store_nothing(club: Conversation) -> None:
    club.rewards = rules(course="paid-monthly")
    message = club.message("我的课程")
    ctx = await club.context(message)
    await club.store.close()
    from handlers import RULES
    from handlers.router import dispatch

    outcome = await dispatch(RULES, message, ctx)
    assert (outcome.reply.content, outcome.handler) == (
        club.texts("membership.gate_of", feature="学习进度和作业", tier="月度会员"),
        "membership.gate",
    )


CLAIMS = (
    *(
        "领券 早鸟",
        "领早鸟",
        "领券 早鸟券",
        "领券 早鸟？",
        "领券 圣诞",
        "领口令99",
        "2222-3333-44445",
    ),
    *("1", "第一个", "领券 1", "领第一个"),
)
EFFECTS = {
    "coupon": CLAIMS,
    "coupon.claim": CLAIMS[:-5] + CLAIMS[-4:],
    "points": ("签到", "补签", "兑换", "兑换 书签", "兑换 1", "1", "兑换 没有"),
    "points.exchange": ("兑换", "兑换 书签", "兑换 1", "1", "兑换 没有"),
    "points.checkin": ("签到",),
    "quiz": ("A", "1", "答题", "开始", "跳过"),
    "quiz.answer": ("A", "1", "跳过"),
    "quiz.begin": ("答题", "开始"),
    "topics": ("订阅 直播",),
    "topics.on": ("订阅 直播",),
    "course": ("1", "交作业 1 又写了", "提醒我", "开启提醒 写作入门", "关闭提醒"),
    "course.homework": ("1", "交作业 1 又写了"),
    "ranking": ("不上榜", "我叫 小林"),
}
"""Gate -> what changes something behind it: by word, by number, from a list."""

TRACES = ("states", "identities", "members", "gaps", "audit", "meta")
LOGS = ("messages", "interactions", "interactions_again", "sends", "quota")


@pytest.mark.parametrize("gate", EFFECTS)
async def test_nothing_behind_a_gate_changes_anything(club: Conversation, gate: str) -> None:
    await _at_work(club, gate if gate == "quiz.begin" else gate.partition(".")[0])
    club.rewards = rules(**{gate.replace(".", "__"): "gold"})
    before = await _kept(club)
    refused = 0
    for text in EFFECTS[gate]:
        refused += "才能用。发「我的会员」" in await club.say(text)
    assert await _kept(club) == before
    assert refused, "the gate was met"
    await give(club, "gold")
    before = await _kept(club)
    for text in EFFECTS[gate]:
        await club.say(text)
    assert await _kept(club) != before, "or nothing of it would change anything anyway"


async def _at_work(club: Conversation, part: str) -> None:
    """In the middle of it when the gate closes: a list is shown, a question is open."""
    store, at, member = club.store, club.at, await club.member()
    for word, points in (("早鸟", 0), ("书签", 5)):
        new = NewOffer(
            word=word, title=f"{word}券", kind="amount", value=5, points_price=points, per_member=9
        )
        await store.offers.create(new, at, "cli")
    await store.points.post(member, 100, "operator", "gift", at)
    bought = [
        NewEvent(event_id=name, kind="enroll", at=at, member_id=member, item_id=name)
        for name in ("py-zero", "write")
    ]
    await store.events.add(bought, at)
    if part.startswith("quiz"):
        quiz, _ = await store.quizzes.create(
            read("甲\n1. 一？\n*A. 二\nB. 三\n2. 四？\n答案：五"), at, "cli"
        )
        await store.quizzes.start(quiz.id, at, at + 1800)
    begun = {
        "coupon": ("领券",),
        "points": ("兑换",),
        "quiz": ("答题", "开始"),
        "topics": ("订阅 Python",),
        "course": ("交作业 今天写了",),
    }
    for text in begun.get(part, ()):
        await club.say(text)


async def _kept(club: Conversation) -> dict[str, list[tuple[Any, ...]]]:
    """Every table but those that note what was said and shown."""
    tables = "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"

    def run(conn: Any) -> dict[str, list[tuple[Any, ...]]]:
        names = [name for (name,) in conn.execute(tables).fetchall()]
        return {
            name: conn.execute(f"select * from {name} order by 1, 2").fetchall()
            for name in names
            if name not in (*TRACES, *LOGS)
        }

    return await club.store.db.read(run)


# Items whose links are for members


async def test_an_item_for_members_shows_what_it_is_but_not_where(club: Conversation) -> None:
    await club.say("搜索 会员内刊")
    said = await club.say("1")
    assert "《会员内刊》" in said
    assert "讲讲会员内刊。" in said
    assert "199 元" in said
    assert said.endswith("这份内容给月度会员看，发「我的会员」看看怎么开通。")
    for question in ("多少钱", "怎么报名", "有哪些章节", "#内刊"):
        assert "https://" not in await club.say(question), question
    await give(club, "paid-monthly")
    await club.say("搜索 会员内刊")
    assert "https://shop.example/inner" in await club.say("1")
    assert "https://shop.example/inner" in await club.say("怎么报名")


async def test_a_cover_leads_nowhere_for_who_may_not_follow_it(club: Conversation) -> None:
    covered = item("c", "封面", tags=("刊",), cover_url="https://x.example/c", needs_tier="trial")
    await club.store.catalogue.put((covered,), club.at)
    await club.reload()
    assert "封面" in await club.say("#刊")
    await give(club, "trial")
    assert await club.say("#刊") == "→news"


async def test_a_course_one_is_in_goes_on_with_its_tier_only(club: Conversation) -> None:
    lin = await club.member()
    bought = NewEvent("e1", "enroll", club.at, lin, item_id="inner")
    await club.store.events.add([bought], club.at)
    said = await club.say("我的课程")
    assert "开篇" in said
    assert "https://" not in said
    assert "月度会员" in said
    await give(club, "paid-monthly")
    assert "vip-1" in await club.say("我的课程")
