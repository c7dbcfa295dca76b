"""Check-in, points, honours, exchange and rankings, as members see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from handlers.context import SHANGHAI
from handlers.rankings import cleaned, days_of
from handlers.rewards import Badge, CouponRules, Level, PointRules, Rewards
from store.coupons import Coupon
from store.learning import By
from store.offers import NewOffer, Offer
from tests.handlers.conftest import Conversation

LEVELS = (Level("新芽", 0), Level("常客", 10), Level("骨干", 100))
BADGES = (Badge("两天不断", "streak", 2), Badge("助人", "useful", 1))


@pytest.fixture
def club(talk: Conversation) -> Conversation:
    """A card every second day, few points to the next level, two badges."""
    talk.rewards = Rewards(
        points=PointRules(card_every=2, expire_months=12), levels=LEVELS, badges=BADGES
    )
    return talk


async def give(talk: Conversation, amount: int, who: str = "o_lin", reason: str = "quiz") -> None:
    member = await talk.member(who)
    key = f"{reason}:{who}:{amount}:{talk.at}"
    await talk.store.points.post(member, amount, reason, key, talk.at)


# Check-in


async def test_a_check_in_says_what_it_brought(club: Conversation) -> None:
    assert await club.say("签到", crash_first=True) == "签到成功，+5 分，连续 1 天，现有 5 分。"
    assert club.handler == "points.checkin"
    assert await club.say("打卡") == "今天已经签到过了，连续 1 天，明天再来。"
    club.later(days=1)
    assert (await club.say("签到。", crash_first=True)).split("\n") == [
        "签到成功，+6 分，连续 2 天，现有 11 分。",
        "得到一张补签卡，现有 1 张。哪天漏了，回复「补签」就能补上。",
        "升到「常客」了。",
        "获得勋章：两天不断。",
    ], "and the same for the message that runs twice"
    club.later(days=1)
    assert await club.say("签到") == "签到成功，+7 分，连续 3 天，现有 18 分。"


async def test_the_day_is_shanghais(club: Conversation) -> None:
    club.now = datetime(2026, 11, 21, 23, 59, 50, tzinfo=SHANGHAI)
    await club.say("签到")
    club.later(seconds=20)
    assert "连续 2 天" in await club.say("签到")


async def test_a_check_in_that_earns_nothing_still_counts(club: Conversation) -> None:
    club.rewards = Rewards(points=PointRules(checkin_first=0, checkin_most=0, card_every=0))
    assert await club.say("签到") == "签到成功，连续 1 天。"


async def test_a_question_about_it_checks_nobody_in(club: Conversation) -> None:
    assert await club.say("签到？") == "想签到的话，回复「签到」，不带问号。"
    assert await club.say("补签？") == "想补签的话，回复「补签」，不带问号。"
    assert (await club.store.points.balance(await club.member())).balance == 0


async def test_a_menu_button_checks_in(club: Conversation) -> None:
    said = await club.happen("click", "checkin", crash_first=True)
    assert said.startswith("签到成功，+5 分")
    assert (await club.happen("click", "points")).startswith("你有 5 积分")
    assert (await club.happen("click", "ranking")).startswith("本周积分榜")


async def test_a_missed_day_is_made_up_with_a_card(club: Conversation) -> None:
    for days in (1, 1, 2, 0):
        await club.say("签到")
        club.later(days=days)
    assert await club.say("补签", crash_first=True) == (
        "补上了 11-24 的签到，用掉一张补签卡，还剩 0 张。现在连续 5 天（补的一天不加分）。"
    )
    assert await club.say("补签") == club.texts("points.nothing_missed", days=7)
    club.later(days=2)
    assert await club.say("补签") == "没有补签卡了。连续签到每满 2 天送一张。"
    club.rewards = Rewards(points=PointRules(card_every=0))
    assert await club.say("补签") == "没有补签卡了。"


async def test_who_missed_a_day_hears_of_the_card(club: Conversation) -> None:
    for days in (1, 2, 0):
        said = await club.say("签到")
        club.later(days=days)
    assert said.endswith("你有 1 张补签卡，回复「补签」可以补上漏掉的一天。")


async def test_a_day_made_up_can_bring_a_badge(club: Conversation) -> None:
    club.rewards = replace(club.rewards, badges=(Badge("四天不断", "streak", 4),))
    for days in (1, 1, 2, 0):
        await club.say("签到")
        club.later(days=days)
    said = await club.say("补签", crash_first=True)
    assert said.endswith("获得勋章：四天不断。")


# 我的积分


async def test_ones_points(club: Conversation) -> None:
    assert (await club.say("我的积分")).split("\n") == [
        "你有 0 积分",
        "等级：新芽，再得 10 分升到「常客」",
        "回复「签到」得积分，回复「兑换」用积分。",
    ]
    await club.say("签到")
    club.later(days=1)
    await club.say("签到")
    member = await club.member()
    await club.store.points.post(
        *(member, 100, "operator", "x", club.at), actor="member:9", note="活动奖励"
    )
    assert (await club.say("积分")).split("\n") == [
        "你有 111 积分",
        "其中 11 分有效到 2027-11-30",
        "等级：骨干",
        "勋章：两天不断",
        "连续签到 2 天，补签卡 1 张",
        "最近：",
        "11-22 运营调整 +100（活动奖励）",
        "11-22 签到 +6",
        "11-21 签到 +5",
        "回复「签到」得积分，回复「兑换」用积分。",
    ]


async def test_without_levels_none_is_told(talk: Conversation) -> None:
    said = await talk.say("我的积分")
    assert "等级" not in said
    talk.rewards = Rewards(levels=LEVELS[1:])
    assert "再得 10 分升到「常客」" in await talk.say("我的积分")


async def test_ones_badges_and_their_days(club: Conversation) -> None:
    assert (await club.say("我的勋章")).endswith(club.texts("points.honours_none"))
    await club.say("签到")
    club.later(days=1)
    await club.say("签到")
    assert await club.say("等级") == (
        "等级：常客，再得 89 分升到「骨干」\n勋章：两天不断（2026-11-22）"
    )


# Useful answers


async def test_a_useful_answer_earns_for_who_taught_it(club: Conversation) -> None:
    teacher = await club.promote("o_zhou")
    by = By(f"member:{teacher}", club.at)
    await club.store.learning.teach(("周末有课吗",), "周末休息", by, limit=8)
    await club.reload()
    for who in ("o_lin", "o_zhou"):
        assert (await club.say("周末有课吗", who=who)).startswith("周末休息")
        said = await club.say("有用", who=who, crash_first=True)
        assert said == club.texts("faq.useful_thanks")
    await club.say("周末有课吗")
    await club.say("有用")
    assert (await club.store.points.balance(teacher)).balance == 2, "once, and not their own"
    assert "勋章：助人" in await club.say("我的积分", who="o_zhou")


async def test_it_earns_nothing_when_the_operator_says_so(club: Conversation) -> None:
    club.rewards = Rewards(points=PointRules(useful=0))
    teacher = await club.promote("o_zhou")
    by = By(f"member:{teacher}", club.at)
    await club.store.learning.teach(("周末有课吗",), "周末休息", by, limit=8)
    await club.reload()
    await club.say("周末有课吗")
    await club.say("有用")
    await club.say("周末有课吗")
    await club.say("没用")
    assert (await club.store.points.balance(teacher)).balance == 0


# 兑换


async def offered(talk: Conversation, word: str, **fields: object) -> Offer:
    wanted = {"title": f"{word}券", "kind": "amount", "value": 1000, "points_price": 20}
    made = await talk.store.offers.create(
        NewOffer(word=word, **(wanted | fields)),  # type: ignore[arg-type]
        talk.at,
        "member:1",
    )
    assert made is not None
    return made


async def coupons(talk: Conversation, who: str = "o_lin") -> list[Coupon]:
    return [one for one, _ in await talk.store.coupons.of(await talk.member(who), talk.at)]


async def test_points_are_exchanged_for_a_coupon(club: Conversation) -> None:
    assert await club.say("兑换") == club.texts("points.exchange_none", balance=0)
    await offered(club, "早鸟", inventory=2, valid_days=3)
    await offered(club, "茶歇", points_price=5)
    await offered(club, "白送", points_price=0)
    await give(club, 30)
    assert (await club.say("兑换")).split("\n") == [
        "可以用积分兑换（你有 30 分）：",
        "1. 「茶歇券」5 分，回复「兑换 茶歇」",
        "2. 「早鸟券」20 分，还剩 2 份，回复「兑换 早鸟」",
    ]
    said = await club.say("兑换 2", crash_first=True)
    (coupon,) = await coupons(club)
    assert coupon.source == "exchange"
    code = said.split("\n")[1].split(" ")[1].split("，")[0]
    assert code.replace("-", "") == coupon.code
    assert "有效至 11月24日 10:30" in said
    assert said.endswith("用掉 20 分，还剩 10 分。回复「我的券」随时查看。")
    assert club.counted.claims == ["claimed", "again"]
    assert await club.say("兑换 早鸟") == (
        f"你已经换过「早鸟券」了，券码 {code}。回复「我的券」随时查看。"
    )
    assert "还剩 5 分" in await club.say("兑换 茶歇")
    assert await club.store.points.audit_sums() == []


async def test_too_few_points_says_how_many_are_missing(club: Conversation) -> None:
    await offered(club, "早鸟")
    await give(club, 12)
    assert await club.say("兑换 早鸟") == "还差 8 分：「早鸟券」要 20 分，你有 12 分。"
    assert await coupons(club) == []
    assert (await club.store.points.balance(await club.member())).balance == 12


async def test_why_nothing_can_be_had(club: Conversation) -> None:
    await give(club, 100)
    await give(club, 100, "o_mei")
    await offered(club, "一份", inventory=1)
    await offered(club, "以后", claim_from=club.at + 3600)
    await offered(club, "过去", claim_until=club.at)
    await offered(club, "会员", audience="tag:VIP")
    paused = await offered(club, "暂停")
    await club.store.offers.set_status(paused.id, "paused", club.at)
    await club.say("兑换 一份", who="o_mei")
    assert await club.say("兑换 一份") == "「一份券」已经换完了。"
    assert await club.say("兑换 以后") == "「以后券」还没有开始，11月21日 11:30 开始。"
    assert await club.say("兑换 过去") == "「过去券」已经结束了。"
    assert await club.say("兑换 会员") == "「会员券」只对部分成员开放，这次你不在其中。"
    assert await club.say("兑换 暂停") == "「暂停券」暂停兑换了，过些时候再来看看。"
    assert await club.say("兑换") == club.texts("points.exchange_none", balance=100)
    assert (await club.store.points.balance(await club.member())).balance == 100


async def test_unknown_words_are_counted_and_the_nearest_is_named(club: Conversation) -> None:
    club.rewards = replace(club.rewards, coupons=CouponRules(wrong_tries=3, lock_s=600.0))
    await offered(club, "早鸟优惠")
    await give(club, 100)
    said = await club.say("兑换 早鸟优慧", crash_first=True)
    assert said == "没有叫「早鸟优慧」的兑换。是不是「兑换 早鸟优惠」？"
    assert club.ctx is not None
    assert club.ctx.logged == "兑换", "it may have been a code"
    assert club.counted.guesses == [], "who mistypes has not guessed"
    assert "「VIP7」" in await club.say("兑换 VIP7", crash_first=True), "as it was typed"
    await club.say("兑换 VIP8")
    assert await club.say("兑换 VIP9") == "试得太多了，10 分钟后再来。"
    assert await club.say("兑换 早鸟优惠") == "试得太多了，10 分钟后再来。"
    assert (await club.say("兑换 3")).startswith("可以用积分兑换"), "a number is no guess"
    assert club.counted.guesses == ["member"] * 4
    club.later(minutes=11)
    assert (await club.say("兑换 早鸟优惠")).startswith("兑换成功")


async def test_a_bare_number_tells_and_never_spends(club: Conversation) -> None:
    await offered(club, "早鸟")
    await offered(club, "茶歇", points_price=5)
    await offered(club, "免费", points_price=0)
    await give(club, 30)
    await club.say("领券")
    await club.say("兑换")
    assert await club.say("2", crash_first=True) == (
        "「早鸟券」要 20 分，你有 30 分。换的话，回复「兑换 早鸟」。"
    )
    assert await club.say("3") == club.texts("coupon.choice_range", count=2)
    assert await coupons(club) == []
    assert (await club.say("兑换 早鸟？")).startswith("「早鸟券」要 20 分")
    await club.say("兑换 早鸟")
    assert await club.say("2") == "还差 10 分：「早鸟券」要 20 分，你有 10 分。"
    club.later(minutes=11)
    assert await club.say("1") == club.texts("points.choice_gone")


async def test_a_number_nobody_was_shown_spends_nothing(club: Conversation) -> None:
    await offered(club, "乙", points_price=6)
    await give(club, 1000)
    await club.say("兑换")
    club.later(minutes=11)
    await offered(club, "丙", points_price=900)
    for typed in ("兑换 1", "兑换 9"):
        assert (await club.say(typed)).startswith("可以用积分兑换（你有 1000 分）"), typed
    assert await coupons(club) == []
    assert club.counted.guesses == []
    assert (await club.say("兑换 1")).startswith("兑换成功：「丙券」"), "the list was shown now"
    await club.say("领券")
    await offered(club, "免费", points_price=0)
    await club.say("领券")
    assert (await club.say("兑换 1")).startswith("可以用积分兑换"), "the list shown last is another"


async def test_the_same_message_shows_its_code_whatever_has_changed(club: Conversation) -> None:
    made = await offered(club, "早鸟")
    await give(club, 30)
    message = club.message("兑换 早鸟")
    said = await club.hear(message)
    assert said.startswith("兑换成功")
    await club.store.offers.set_status(made.id, "closed", club.at)
    assert await club.hear(message) == said
    assert await club.say("兑换 早鸟", who="o_mei") == "「早鸟券」已经结束了。"
    assert club.counted.guesses == []


async def test_the_title_is_as_good_as_the_word_and_what_is_free_is_claimed(
    club: Conversation,
) -> None:
    await offered(club, "早鸟")
    await offered(club, "白送", points_price=0)
    await give(club, 30)
    assert await club.say("兑换 白送") == "「白送券」不用积分，回复「领券 白送」就能领。"
    assert (await club.say("我要兑换早鸟券")).startswith("兑换成功")
    assert club.counted.guesses == []
    await club.say("兑换码在哪输入")
    assert club.handler != "points.exchange"
    (coupon,) = await coupons(club)
    assert "早鸟券" in await club.say(f"兑换 {coupon.shown}")
    assert club.handler == "coupon.code"


async def test_long_titles_stay_within_one_message(club: Conversation) -> None:
    for number in range(10):
        await offered(club, f"词{number}", title="长" * 64)
    said = await club.say("兑换")
    assert len(said.encode()) < 2048
    last = len(said.split("\n")) - 1
    assert (await club.say(str(last))).startswith("还差 20 分")
    assert await club.say(str(last + 1)) == club.texts("coupon.choice_range", count=last)


async def test_what_is_for_others_is_not_listed(club: Conversation) -> None:
    await offered(club, "密", audience="tag:vip")
    await offered(club, "书签")
    assert "密" not in await club.say("兑换")


# Words


@pytest.mark.parametrize(
    ("typed", "handler"),
    [
        *((typed, "points.checkin") for typed in ("签到啦", "今日签到", "签 到", "我来签到了")),
        *((typed, "points.checkin") for typed in ("请帮我签到", "麻烦签到一下", "老师我要签到")),
        *((typed, "points.makeup") for typed in ("漏签了", "补签昨天")),
        *((typed, "points.mine") for typed in ("积分查询", "我有多少积分", "今天签到了吗？")),
        *((typed, "points.honours") for typed in ("我的等级", "我的徽章")),
        *((typed, "ranking") for typed in ("月排行榜", "本周排行榜", "我排第几", "排行榜 年")),
        *((typed, "ranking.unlist") for typed in ("取消上榜", "不想上排行榜")),
        ("叫我 小李", "ranking.name"),
        ("我要兑换", "points.exchange"),
    ],
)
async def test_it_is_said_in_many_ways(club: Conversation, typed: str, handler: str) -> None:
    await club.say(typed)
    assert club.handler == handler


async def test_a_day_is_the_one_on_which_the_message_was_written(club: Conversation) -> None:
    club.now = datetime(2026, 11, 21, 23, 59, tzinfo=SHANGHAI)
    message = club.message("签到")
    club.later(minutes=9)
    await club.hear(message)
    assert "连续 2 天" in await club.say("签到")
    message = club.message("签到")
    club.later(days=1)
    assert "连续 3 天" in await club.hear(message), "too late for then, so it is for today"


async def test_who_missed_more_days_hears_how_many(club: Conversation) -> None:
    for days in (1, 4, 0):
        said = await club.say("签到")
        club.later(days=days)
    assert said.endswith("漏了 3 天，你有 1 张补签卡，一张补一天，全补上才连得起来。回复「补签」。")


async def test_what_is_owed_is_told(club: Conversation) -> None:
    await give(club, 30)
    member, store = await club.member(), club.store
    await store.points.post(member, -30, "coupon", "c", club.at)
    await store.points.post(member, -30, "refund", "r", club.at, at_most=True)
    assert "还欠 30 分：" in await club.say("我的积分")
    await club.promote("o_zhou")
    assert "还欠 30 分" in await club.say(f"/points show {member}", who="o_zhou")
    assert "另有 30 分要收回" in await club.say("/points report", who="o_zhou")


async def test_who_was_forgotten_today_has_checked_in_today(club: Conversation) -> None:
    for typed in ("签到", "忘记我", "确认忘记"):
        await club.say(typed)
    assert await club.say("签到") == "今天已经签到过了，明天再来。"


# Rankings


def test_a_week_begins_on_monday() -> None:
    sunday = datetime(2026, 11, 22, 23, 0, tzinfo=SHANGHAI)
    assert days_of("week", sunday) == ("2026-11-16", "2026-11-22")
    assert days_of("week", datetime(2026, 11, 23, 0, 0, tzinfo=SHANGHAI))[0] == "2026-11-23"
    assert days_of("month", sunday) == ("2026-11-01", "2026-11-31")
    assert days_of("ever", sunday)[0] == ""


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("小林", "小林"),
        (" 小 林 ", "小林"),
        ("Ｌｉｎ·2", "Lin·2"),
        ("林\u200b\u202e", "林"),
        ("十二个字的名字也可以用呢", "十二个字的名字也可以用呢"),
        ("十三个字的名字就不可以用了呢", ""),
        ("加我微信:abc", ""),
        ("👍", ""),
        ("", ""),
        ("-", ""),
        ("\u0301a", ""),
    ],
)
def test_a_name_is_letters_and_digits(typed: str, name: str) -> None:
    assert cleaned(typed) == name


async def test_a_ranking_shortens_names_and_shows_ones_own_place(club: Conversation) -> None:
    assert (await club.say("排行榜")).startswith("本周还没有人得分")
    assert await club.say("我叫 小林", crash_first=True) == "记住了，榜上显示为「小＊」。"
    for amount, who in ((9, "o_lin"), (30, "o_mei"), (5, "o_wang")):
        await give(club, amount, who)
    mei = await club.member("o_mei")
    assert (await club.say("排行榜", who="o_wang")).split("\n")[:5] == [
        "本周积分榜",
        f"1. 成员…{mei}：30 分",
        "2. 小＊：9 分",
        f"3. 成员…{await club.member('o_wang')}（你）：5 分",
        "你：第 3 名，5 分",
    ]
    assert "2. 小＊（你）：9 分" in await club.say("周榜")
    assert "你本周还没有得分。" in await club.say("排行榜", who="o_zhao")


async def test_weeks_months_and_all(club: Conversation) -> None:
    club.now = datetime(2026, 10, 31, 12, 0, tzinfo=SHANGHAI)
    await give(club, 3)
    club.now = datetime(2026, 11, 2, 12, 0, tzinfo=SHANGHAI)
    await give(club, 4)
    club.now = datetime(2026, 11, 21, 12, 0, tzinfo=SHANGHAI)
    await give(club, 5)
    for typed, points in (
        ("排行榜", 5),
        ("排行榜 周", 5),
        ("排行榜 月", 9),
        ("排行榜本月", 9),
        ("总榜", 12),
        ("积分榜：总榜", 12),
    ):
        assert f"你：第 1 名，{points} 分" in await club.say(typed), typed


async def test_who_does_not_want_to_be_seen_is_not(club: Conversation) -> None:
    await give(club, 9)
    for asked in ("不上榜？", "不上榜吗？"):
        assert await club.say(asked) == "想不上榜的话，回复「不上榜」，不带问号。"
    assert await club.say("不上榜", crash_first=True) == club.texts("points.unlisted")
    assert "成员…" not in await club.say("排行榜", who="o_mei")
    assert "你：9 分（已选择不上榜，别人看不到）" in await club.say("排行榜")
    assert await club.say("上榜", crash_first=True) == club.texts("points.listed")
    assert "成员…" in await club.say("排行榜", who="o_mei")


async def test_what_is_no_name_is_told_how(club: Conversation) -> None:
    for typed in ("我叫", "我叫 👍", "我叫：一二三四五六七八九十一二三", "我叫 a:b"):
        assert await club.say(typed) == club.texts("points.call_usage", limit=12), typed
    await club.say("我叫不到客服怎么办")
    assert club.handler.startswith("faq")


async def test_what_one_earned_is_in_ones_data_and_goes_with_it(club: Conversation) -> None:
    await club.say("签到")
    await club.say("我叫 小林")
    told = await club.store.members.export(await club.member())
    assert told is not None
    assert told["member_settings"] == [{"name": "name", "value": "小林"}]
    await club.say("忘记我")
    await club.say("确认忘记")
    assert (await club.say("排行榜", who="o_mei")).startswith("本周还没有人得分")
    assert await club.store.points.audit_sums() == []
