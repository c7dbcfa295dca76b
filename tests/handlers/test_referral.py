"""Inviting in the chat: the picture, what comes of it, and the operator's desk."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from handlers.context import ApiRefused, Invitation
from handlers.referral import next_rung
from handlers.rewards import Badge, ReferralRules
from handlers.texts import Texts
from store.offers import NewOffer
from tests.handlers.conftest import CHANNEL, Conversation

T = Texts.load()
RULES = ReferralRules(enabled=True, points=20, ladder=((2, "老友"), (3, "大使")))
LIN, MEI, BOSS = "o_lin", "o_mei", "o_boss"


class Pictures:
    """WeChat's side of invitations: a code in the store and a number for its picture."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        self.made = Invitation("", True, talk.at + 30 * 86_400)
        self.refusal = ""

    def rewarded(self, channel: str) -> bool:
        return self.made.rewarded

    async def picture(self, member_id: int, channel: str, now: float) -> Invitation:
        if self.refusal:
            raise ApiRefused(self.refusal)
        await self.talk.store.referrals.invite(member_id, channel, f"r:{member_id}", now)
        return self.made


@pytest.fixture
def pictures(talk: Conversation) -> Pictures:
    """Invitations are on, and pictures can be made."""
    pictures = talk.invitations = Pictures(talk)
    pictures.made = replace(pictures.made, media_id="m1")
    talk.rewards = replace(talk.rewards, referral=RULES, badges=(Badge("引路人", "referrals", 2),))
    return pictures


async def code(talk: Conversation, who: str = LIN) -> str:
    """The scene of this member's code, asked for in the chat."""
    assert await talk.say("邀请好友", who) == "→image"
    return f"r:{await talk.member(who)}"


async def friends(talk: Conversation, *names: str, scene: str = "", later_s: float = 1) -> None:
    """They follow, one after the other."""
    scene = scene or await code(talk)
    for name in names:
        talk.later(seconds=later_s)
        assert await talk.happen("subscribe", scene, f"o_{name}")


async def points(talk: Conversation, who: str = LIN) -> int:
    return (await talk.store.points.balance(await talk.member(who))).balance


async def offered(talk: Conversation, *words: str) -> None:
    """These claim words have offers, of which everybody may have one."""
    for word in words:
        new = NewOffer(word=word, title=f"{word}券", kind="amount", value=100)
        assert await talk.store.offers.create(new, talk.at, "cli")


def words_beside(talk: Conversation) -> list[str]:
    """What follows the last reply."""
    assert talk.ctx is not None
    return [reply.content for reply in talk.ctx.then]


def test_the_next_rung_is_the_first_above() -> None:
    prizes = ((2, "老友券"), (3, "大使券"))
    assert next_rung(prizes, 0) == (2, "老友券")
    assert next_rung(prizes, 2) == (1, "大使券")
    assert next_rung(prizes, 3) is next_rung((), 0) is None


async def test_it_is_off_until_the_operator_wants_it(talk: Conversation) -> None:
    for word in ("邀请", "邀请好友", "邀请码", "我的邀请"):
        assert await talk.say(word) == T("referral.off")
    scene = await talk.store.referrals.invite(await talk.member(), CHANNEL, "r:1", talk.at)
    assert scene is not None
    assert await talk.happen("subscribe", "r:1", MEI) == T("welcome.follow", business="知行社")
    assert await talk.happen("scan", "r:1", MEI) == T("welcome.scan")
    assert await points(talk) == 0


async def test_the_picture_is_the_answer_and_the_words_come_beside_it(
    talk: Conversation, pictures: Pictures
) -> None:
    await offered(talk, "老友", "大使")
    assert await talk.say("邀请好友", crash_first=True) == "→image"
    assert talk.handler == "referral.invite"
    assert talk.reply.media_id == "m1"
    (words,) = words_beside(talk)
    assert words.splitlines() == [
        "你的邀请码 2026-12-21 前有效，过期了再发一次「邀请好友」。",
        "朋友扫码第一次关注，你得 20 积分。",
        "满 2 位送「老友券」。",
        "满 3 位送「大使券」。",
        "朋友 7 天内取消关注，奖励会收回。",
        "回复「我的邀请」看进度。",
    ]
    assert await talk.happen("click", "invite") == "→image"
    assert words_beside(talk) == [words], "a click brings them, too"
    assert talk.pushed.sent == {}, "no push: it would need an earlier message's allowance"


async def test_without_a_picture_there_are_words(talk: Conversation, pictures: Pictures) -> None:
    pictures.made = Invitation("", True, talk.at, "https://mp.example/show")
    said = await talk.say("邀请")
    assert T("referral.link", url="https://mp.example/show") in said
    assert "图" not in said, "there is none"
    pictures.made = Invitation("", False, math.inf, "https://bot.example/r/x")
    assert T("referral.counted_only") in await talk.say("邀请")
    pictures.made = Invitation("", False, 0.0)
    assert await talk.say("邀请") == T("referral.no_way")
    pictures.refusal = "40164"
    assert await talk.say("邀请") == T("referral.failed")
    talk.invitations = None
    assert await talk.say("邀请") == T("referral.no_way")
    assert talk.pushed.sent == {}


async def test_an_invitation_that_only_counts_promises_nothing(
    talk: Conversation, pictures: Pictures
) -> None:
    pictures.made = Invitation("m2", False, math.inf)
    await offered(talk, "老友", "大使")
    await talk.say("邀请")
    assert words_beside(talk) == [T("referral.counted_only")]
    assert "积分" not in T("referral.counted_only")
    assert await talk.say("我的邀请") == f"{T('referral.mine_none')}\n{T('referral.mine_how')}"


async def test_only_what_will_come_is_promised(talk: Conversation, pictures: Pictures) -> None:
    await talk.say("邀请好友")
    assert "满" not in words_beside(talk)[0], "the ladder names offers that are not there"
    await offered(talk, "老友", "大使")
    await friends(talk, "a", "b")
    mine = await talk.say("我的邀请")
    assert "再来 1 位，送「大使券」。" in mine
    await talk.happen("unsubscribe", who="o_b")
    assert "再来 1 位，送「老友券」。" in await talk.say("我的邀请"), "it comes anew"
    await talk.store.offers.set_status(1, "closed", talk.at)
    assert "再来 2 位，送「大使券」。" in await talk.say("我的邀请")
    talk.invitations = None
    assert await talk.say("我的邀请") == "\n".join(
        (
            "通过你的邀请关注的朋友：1 位，得到 20 积分。",
            "已经取消关注：1 位。",
            T("referral.no_way"),
        )
    )


async def test_a_friend_who_follows_is_credited_and_told(
    talk: Conversation, pictures: Pictures
) -> None:
    await offered(talk, "老友")
    scene = await code(talk)
    said = await talk.happen("subscribe", scene, MEI, crash_first=True)
    assert said == T("welcome.follow", business="知行社"), "the friend is greeted as anybody"
    assert talk.item == f"scene:{scene}"
    assert await points(talk) == 20
    assert talk.pushed.to(await talk.member()) == [
        "有朋友通过你的邀请关注了，一共 1 位，得到 20 积分。\n再来 1 位，送「老友券」。"
    ]
    assert await talk.store.points.audit_sums() == []


async def test_friends_of_one_minute_share_a_message(
    talk: Conversation, pictures: Pictures
) -> None:
    """A push is scarce. Who brings a coupon is told of, and the next minute says the sum."""
    talk.rewards = replace(talk.rewards, referral=replace(RULES, ladder=((3, "老友"),)), badges=())
    await offered(talk, "老友")
    await friends(talk, "a", "b", "c", "d")
    first, rung = talk.pushed.to(await talk.member())
    assert "一共 1 位，得到 20 积分" in first
    assert "一共 3 位，得到 60 积分" in rung
    assert "满 3 位的券已经放进" in rung
    await friends(talk, "e", later_s=60)
    assert talk.pushed.to(await talk.member())[2] == (
        "有朋友通过你的邀请关注了，一共 5 位，得到 100 积分。"
    )


async def test_rungs_and_badges_are_told_with_the_friend_who_reached_them(
    talk: Conversation, pictures: Pictures
) -> None:
    await offered(talk, "老友")
    await friends(talk, "a", "b", "c")
    told = talk.pushed.to(await talk.member())
    assert told[1].endswith("满 2 位的券已经放进「我的券」。\n获得勋章：引路人。")
    assert told[2].endswith("满 3 位的券暂时没有发出来，运营那边能看到。"), "no such offer"
    coupons = await talk.store.coupons.of(await talk.member(), talk.at)
    assert [(coupon.source, offer.word) for coupon, offer in coupons] == [("referral", "老友")]


async def test_mine_counts_who_came_waits_and_left(talk: Conversation, pictures: Pictures) -> None:
    assert (await talk.say("我的邀请")).startswith(T("referral.mine_none"))
    talk.rewards = replace(talk.rewards, referral=replace(RULES, hold_per_hour=2))
    await offered(talk, "大使")
    await friends(talk, "a", "b", "c")
    await talk.happen("unsubscribe", who="o_a")
    assert (await talk.say("我的邀请")).splitlines() == [
        "通过你的邀请关注的朋友：1 位，得到 20 积分。",
        "等待核实：1 位。",
        "已经取消关注：1 位。",
        "再来 2 位，送「大使券」。",
        "回复「邀请好友」拿你的邀请码。",
    ]
    talk.rewards = replace(talk.rewards, referral=replace(RULES, enabled=False))
    assert (await talk.say("我的邀请")).endswith(T("referral.off"))


async def test_leaving_takes_the_credit_along_whoever_crashes(
    talk: Conversation, pictures: Pictures
) -> None:
    scene = await code(talk)
    await friends(talk, "mei", scene=scene)
    talk.rewards = replace(talk.rewards, referral=replace(RULES, enabled=False))
    await talk.happen("unsubscribe", who=MEI, crash_first=True)
    assert await points(talk) == 0, "also after the operator switched it off"
    talk.rewards = replace(talk.rewards, referral=RULES)
    assert await talk.happen("subscribe", scene, MEI) == T("welcome.back")
    assert await points(talk) == 0


async def test_followers_who_scan_hear_that_it_is_not_for_them(
    talk: Conversation, pictures: Pictures
) -> None:
    scene = await code(talk)
    assert await talk.happen("scan", scene, LIN) == T("referral.scan_own")
    assert await talk.happen("scan", scene, MEI) == T("referral.scan_known")
    assert await talk.happen("scan", "shop-3", MEI) == T("welcome.scan")
    assert await talk.happen("scan", "", MEI) == T("welcome.scan")
    assert await points(talk) == 0


# The operator's desk


async def test_the_desk_is_for_operators(talk: Conversation, pictures: Pictures) -> None:
    assert await talk.say("/referral report") == T("operator.not_allowed")
    await talk.promote(BOSS)
    for typed in ("/referral", "/referral what"):
        assert await talk.say(typed, BOSS) == T("referral.usage")
    assert await talk.say("/referral report 0", BOSS) == T("referral.report_usage", limit=365)
    assert await talk.say("/referral review", BOSS) == T("referral.review_none")
    assert await talk.say("/referral ok", BOSS) == T("referral.decide_usage", verb="ok")
    assert await talk.say("/referral no 7", BOSS) == T("referral.not_waiting", number=7)


async def test_a_held_credit_is_looked_at_confirmed_and_paid_once(
    talk: Conversation, pictures: Pictures
) -> None:
    talk.rewards = replace(talk.rewards, referral=replace(RULES, hold_per_hour=1, ladder=()))
    boss = await talk.promote(BOSS)
    await friends(talk, "a", "b", "c")
    await talk.say("你好", "o_b")
    lin, friend = await talk.member(), await talk.member("o_b")
    assert len(talk.pushed.to(lin)) == 1, "one friend"

    review = await talk.say("/referral review", BOSS)
    assert T("referral.review_head", count=2) in review
    assert f"#2 11-21 10:30 一小时内太多\n邀请人：成员 {lin}，来了 0 天" in review
    assert f"朋友：成员 {friend}，发过 1 条消息，还在关注" in review
    assert "o_" not in review

    asked = await talk.say("/referral ok 2", BOSS)
    assert asked.startswith(f"计入 2 号。邀请人：成员 {lin}，朋友：成员 {friend}。")
    talk.later(minutes=1)
    done = await talk.say("确认", BOSS, crash_first=True)
    assert done == T("referral.ok_done", number=2, friends=2)
    assert talk.handler == "operator.referral"
    assert await points(talk) == 40
    assert len(talk.pushed.to(lin)) == 2
    assert await talk.say("/referral ok 2", BOSS) == T("referral.not_waiting", number=2)

    await talk.say("/referral no 3", BOSS)
    assert await talk.say("退出", BOSS)
    await talk.say("/referral no #3", BOSS)
    assert await talk.say("确认", BOSS) == T("referral.no_done", number=3)
    assert await points(talk) == 40
    audit = [(row.actor, row.action, row.target) for row in await talk.store.audit.newest()]
    assert audit == [
        (f"member:{boss}", "referral.no", f"member:{lin}"),
        (f"member:{boss}", "referral.ok", f"member:{lin}"),
    ]


async def test_the_review_says_how_many_wait_in_all(talk: Conversation, pictures: Pictures) -> None:
    talk.rewards = replace(talk.rewards, referral=replace(RULES, hold_per_hour=1, ladder=()))
    await talk.promote(BOSS)
    await friends(talk, *"abcdefgh")
    review = await talk.say("/referral review", BOSS)
    assert review.startswith("等你核实的邀请（7 位，先来的在前）")
    assert review.count("一小时内太多") == 5


async def test_two_operators_decide_once(talk: Conversation, pictures: Pictures) -> None:
    talk.rewards = replace(talk.rewards, referral=replace(RULES, hold_per_hour=1, ladder=()))
    await talk.promote(BOSS)
    await talk.promote("o_deputy")
    await friends(talk, "a", "b")
    await talk.say("/referral ok 2", BOSS)
    await talk.say("/referral no 2", "o_deputy")
    assert await talk.say("确认", "o_deputy") == T("referral.no_done", number=2)
    assert await talk.say("确认", BOSS) == T("referral.not_waiting", number=2)
    assert await points(talk) == 20


async def test_the_report_shows_bursts_rings_quiet_trees_and_debts(
    talk: Conversation, pictures: Pictures
) -> None:
    talk.rewards = replace(
        talk.rewards, referral=replace(RULES, hold_per_hour=2, hold_quiet=2, ladder=((2, "老友"),))
    )
    await talk.promote(BOSS)
    assert "计入 0，待核实 0，不计 0" in await talk.say("/referral report", BOSS)
    await friends(talk, "a", "b", "c")
    scene = await code(talk, "o_a")
    await talk.happen("unsubscribe", who=LIN)
    await talk.happen("subscribe", scene, LIN)
    lin, a = await talk.member(), await talk.member("o_a")
    report = await talk.say("/referral report 7", BOSS)
    assert report.splitlines() == [
        "最近 7 天的邀请",
        "计入 1，待核实 2，不计 1，因取消关注收回 0",
        f"最多：成员 {lin}（1 位）",
        f"一小时内太多：成员 {lin}（3 位）",
        f"互相邀请成圈：成员 {lin}→{a}→{lin}",
        f"没发出的券：成员 {lin} 满 2 位（没有这个券）",
        "等你核实：2 位，发 /referral review",
    ]
