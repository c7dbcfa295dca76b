"""How things work here: told from the rules, behind the FAQ's own words, and nothing swallowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers.about import subject_of
from handlers.rewards import MembershipRules, PointRules, ReferralRules, Rewards
from store.content import NewFaq
from tests.handlers.conftest import Conversation

ASKED = {
    "coupon_get": (
        *("怎么领券", "优惠券在哪里领", "领不了券", "为什么领不了券？", "优惠券怎么领"),
        *("请问优惠券怎么领取", "券领不了", "怎么才能领优惠券", "哪里可以领券", "没领到券"),
    ),
    "coupon_use": (
        *("优惠券怎么用", "优惠劵怎么用", "我的券怎么用", "券码在哪里", "兑换码在哪输入"),
        *("兑换码在哪里填", "券码填在哪里", "优惠券能叠加吗", "优惠券会过期吗", "领券 怎么用"),
        *(
            "怎么用券",
            "我的券怎么用不了",
            "优惠券有什么用",
            "领券 有什么条件吗？",
            "券什么时候过期",
        ),
    ),
    "coupon_other": ("我的券能退吗", "优惠券可以转赠吗", "优惠券能送人吗", "券可以退款吗"),
    "points_get": ("积分怎么得", "怎么赚积分", "积分在哪里领", "怎么获得积分", "积分规则"),
    "points_use": ("积分能干嘛", "积分有什么用", "积分怎么用", "积分能换什么", "积分可以提现吗"),
    "points_end": ("积分会过期吗", "积分什么时候到期", "积分有效期多久", "我的积分会清零吗"),
    "checkin": ("签到送什么", "签到有什么用", "每天签到有什么好处", "签到能得多少积分", "怎么签到"),
    "makeup": ("补签卡怎么得", "怎么补签", "忘了签到怎么办", "补签卡有什么用", "漏签了怎么办"),
    "invite": (
        *("怎么邀请好友", "邀请好友有什么奖励", "邀请有奖励吗", "邀请码在哪里", "邀请码怎么用"),
        *("我的邀请码", "邀请链接", "邀请好友送什么", "如何邀请朋友"),
    ),
    "ranking": (
        *(
            "排行榜怎么算",
            "排行榜什么时候更新",
            "排行榜是怎么排的",
            "积分排行榜怎么算的",
            "怎么上榜",
        ),
        *("排行榜多久更新一次", "排行榜有奖励吗"),
    ),
    "quiz": (
        "答题怎么玩",
        "竞赛怎么参加",
        "有比赛吗",
        "怎么参加竞赛",
        "知识竞赛规则",
        "答题有奖吗",
    ),
    "member": ("会员有什么用", "怎么开通会员", "会员", "续费", "会员什么时候到期", "会员到期了吗"),
}
OTHERS = (
    *(
        "微积分怎么学",
        "定积分怎么算",
        "券商怎么选",
        "会员课能退吗",
        "怎么邀请老师来直播",
        "卷子怎么领",
    ),
    *("签到表怎么用 Python 做", "排行榜爬虫怎么写", "有比赛经验能学吗", "怎么退款", "课程会过期吗"),
    *("优惠券系统怎么设计", "积分制怎么设计", "怎么用", "会员运营课多少钱", "打卡营怎么报名"),
    *("答题卡在哪", "打卡作业在哪交", "考试卷怎么用", "兑换", "领券", "有券吗", "邀请好友", ""),
)


@pytest.mark.parametrize("subject", ASKED)
def test_what_asks_about_a_subject(subject: str) -> None:
    assert {asked: subject_of(asked) for asked in ASKED[subject]} == dict.fromkeys(
        ASKED[subject], subject
    )


def test_other_questions_are_left_alone() -> None:
    assert {text for text in OTHERS if subject_of(text)} == set()


async def test_every_one_of_them_is_answered_in_the_chat(talk: Conversation) -> None:
    talk.rewards = Rewards(membership=MembershipRules(("trial",)))
    for subject, texts in ASKED.items():
        for text in texts:
            await talk.say(text)
            if subject == "member":
                assert talk.handler == "membership.mine"
            else:
                assert talk.handler == f"about.{subject}", text


async def test_the_faqs_own_words_and_sure_entries_on_it_go_first(talk: Conversation) -> None:
    await talk.store.content.import_faq(
        (NewFaq("积分会过期吗", "每年年底清零。"), NewFaq("优惠券在哪里填写", "结算页最下面。")),
        talk.at,
    )
    await talk.reload()
    assert "年底清零" in await talk.say("积分会过期吗？")
    assert "结算页" in await talk.say("优惠券在哪里填写")
    assert "年底清零" in await talk.say("积分什么时候过期"), "sure, and of points"
    assert "换券" in await talk.say("积分有什么用")


async def test_what_is_merely_alike_does_not_answer_for_it(talk: Conversation) -> None:
    said = await talk.say("积分会过期吗")
    assert "一直能看" not in said
    assert "满 12 个月" in said
    assert talk.handler == "about.points_end"


async def test_the_sentences_follow_the_rules(talk: Conversation) -> None:
    assert await talk.say("积分怎么得") == (
        "得积分的办法：每天「签到」；购买，每满 1 元得 1 分；参加有积分奖品的「答题」。"
        "回复「我的积分」看有多少。"
    )
    assert "第一天 5 分，连着签每天多 1 分，最多 10 分" in await talk.say("签到送什么")
    assert "每满 7 天送一张补签卡" in await talk.say("签到送什么")
    plain = PointRules(checkin_first=0, checkin_most=0, card_every=0, per_yuan=0, expire_months=0)
    talk.rewards = Rewards(points=plain)
    assert await talk.say("积分会过期吗") == talk.texts("about.points_never_end")
    assert await talk.say("签到有什么用") == talk.texts("about.checkin_plain")
    assert await talk.say("补签卡怎么得") == talk.texts("about.makeup_off")
    assert "签到" not in await talk.say("怎么赚积分")
    talk.rewards = Rewards(points=replace(plain, checkin_first=3, checkin_most=3))
    assert await talk.say("签到有什么用") == "每天回复「签到」得 3 分。"


class Codes:
    """An account that may make codes, or may not."""

    def __init__(self, pays: bool) -> None:
        self.pays = pays

    def rewarded(self, channel: str) -> bool:
        return self.pays

    async def picture(self, member_id: int, channel: str, now: float) -> object:
        raise AssertionError("asking makes no picture")


async def test_inviting_promises_only_what_is_on(talk: Conversation) -> None:
    assert await talk.say("怎么邀请好友") == talk.texts("referral.off")
    talk.rewards = Rewards(referral=ReferralRules(enabled=True, points=20))
    assert await talk.say("怎么邀请好友") == talk.texts("referral.no_way")
    talk.invitations = Codes(pays=False)  # type: ignore[assignment]
    assert "不发奖励" in await talk.say("怎么邀请好友")
    assert "邀请好友" not in await talk.say("积分怎么得")
    talk.invitations = Codes(pays=True)  # type: ignore[assignment]
    assert "你得 20 积分" in await talk.say("怎么邀请好友")
    assert "「邀请好友」，每位 20 分" in await talk.say("积分怎么得")


async def test_membership_is_told_where_there_is_one(talk: Conversation) -> None:
    assert await talk.say("会员有什么用") == talk.texts("membership.off")
    await talk.say("续费")
    assert not talk.handler.startswith(("about", "membership")), "may be anything here"
    talk.rewards = Rewards(membership=MembershipRules(("trial",)))
    for typed in ("会员", "续费", "会员有什么用", "VIP"):
        assert await talk.say(typed) == await talk.say("我的会员"), typed


async def test_a_question_about_quizzes_starts_none(talk: Conversation) -> None:
    assert (await talk.say("有比赛吗")).startswith("现在没有进行中的竞赛。")
