"""Coupons in the chat: what there is, claiming it, every reason why not, and what one has."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from handlers.coupon_typed import is_code, word_in
from handlers.coupon_words import day_of, last_day, worth
from handlers.coupons import nearest
from handlers.rewards import CouponRules, Level, Rewards
from handlers.texts import Texts
from store import codes
from store.content import NewFaq
from store.offers import NewOffer, Offer
from store.redemption import Call, Cart, Result
from tests.handlers.conftest import Conversation, day, item

CODE = re.compile(r"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{5}")
Offers = Callable[..., Coroutine[Any, Any, Offer]]


@pytest.fixture
def offers(talk: Conversation) -> Offers:
    """Makes an offer of fifty yuan; what a test does not care about is filled in."""

    async def make(word: str = "早鸟", **fields: Any) -> Offer:
        usual = {"title": f"{word}券", "kind": "amount", "value": 5000, "inventory": 100}
        new = NewOffer(word=word, **{**usual, **fields})
        made = await talk.store.offers.create(new, talk.at, "member:1")
        assert made is not None
        return made

    return make


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts.load()


def code_in(text: str) -> str:
    found = CODE.search(text)
    assert found is not None, text
    return found[0]


# The rules


def test_what_asks_for_a_coupon_and_what_only_looks_like_it() -> None:
    assert word_in("领券 早鸟") == ("早鸟", True)
    assert word_in("领券：「早鸟」。") == ("早鸟", True)
    assert word_in("ｌ领券　早鸟") is None
    assert word_in("领早鸟") == ("早鸟", False)
    assert word_in("我要领取 Double11") == ("double11", True)
    assert word_in("领优惠券 早 鸟") == ("早鸟", True), "speech is cut into words"
    assert word_in("领券「」") is None
    assert word_in("早鸟") is None
    assert word_in("课程") is None


def test_codes_are_known_by_their_look_words_are_not() -> None:
    code = codes.new_code(lambda count: bytes(range(count)))
    assert is_code(codes.shown(code))
    assert is_code(codes.shown(code).lower())
    assert is_code("SHOP20261121")
    for word in ("早鸟", "double", "python课", "双11", ""):
        assert not is_code(word), word


def test_the_nearest_words() -> None:
    assert nearest("早乌", ["早鸟", "老友", "写作"]) == ["早鸟"]
    assert nearest("早鸟券", ["写作", "早鸟"]) == ["早鸟"]
    assert nearest("xyz", ["早鸟"]) == []
    assert nearest("早鸟", []) == []


def test_days_are_shanghais_and_an_end_at_midnight_is_the_day_before() -> None:
    now = day("2026-11-21")
    assert day_of(day("2026-12-01"), now) == "12月1日"
    assert day_of(day("2026-12-01") + 20 * 3600, now) == "12月1日 20:00"
    assert day_of(day("2027-01-05"), now) == "2027年1月5日"
    assert last_day(day("2026-12-01"), now) == "11月30日"
    assert last_day(day("2027-01-01"), now) == "12月31日"
    assert last_day(day("2026-12-01") + 60, now) == "12月1日 00:01"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "amount", "value": 5000}, "减 50 元"),
        ({"kind": "amount", "value": 990}, "减 9.90 元"),
        ({"kind": "percent", "value": 20}, "打 8 折"),
        ({"kind": "percent", "value": 15, "cap_cents": 3000}, "打 8.5 折，最多减 30 元"),
        ({"kind": "percent", "value": 1}, "打 9.9 折"),
        ({"kind": "percent", "value": 100}, "免单"),
        ({"kind": "trial", "value": 7}, "免费试用 7 天"),
        ({"kind": "bundle", "items": ("write", "gone")}, "送《写作入门》、gone"),
    ],
)
def test_what_a_coupon_is_worth_in_words(texts: Texts, fields: dict[str, Any], says: str) -> None:
    offer = NewOffer(word="x", title="x", **fields)
    assert worth(texts, offer, {"item:write": item("write", "写作入门")}) == says


# What there is


async def test_the_list_shows_what_this_member_may_claim_and_a_number_claims(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟", claim_until=day("2026-12-02"), min_spend_cents=20_000)
    await offers("贵宾", audience="tag:vip")
    await offers("明天", claim_from=talk.at + 86_400)
    await offers("没了", inventory=0)
    await offers("积分", points_price=50)
    said = await talk.say("有券吗？")
    assert said.split("\n") == [
        talk.texts("coupon.list_head"),
        "1. 早鸟券（减 50 元，满 200 元可用，领到 12月1日 为止）",
        "积分还能换「积分券」，回复「兑换」看看。",
        talk.texts("coupon.list_tail"),
    ]
    assert talk.handler == "coupon.list"
    claimed = await talk.say("1", crash_first=True)
    assert claimed.startswith("领到了：早鸟券，减 50 元\n券码 ")
    assert (talk.handler, talk.item) == ("coupon.claim", "offer:1")
    nothing = await talk.say("领券")
    assert "早鸟" not in nothing, "what one has is not offered again"
    assert "积分还能换「积分券」" in nothing
    assert "已经领过" not in await talk.say("领券", "o_other")


async def test_nothing_to_claim_is_said_so(talk: Conversation) -> None:
    for typed in ("领券", "优惠券", "有什么券", "我要领券"):
        assert await talk.say(typed) == talk.texts("coupon.none")


async def test_a_long_list_shows_the_first_ten(talk: Conversation, offers: Offers) -> None:
    for number in range(12):
        await offers(f"第{number}种", claim_until=talk.at + 86_400 * (number + 1))
    said = await talk.say("领券")
    assert said.count("\n") == 11
    assert talk.texts("coupon.list_part", shown=10, count=12) in said
    assert "1. 第0种券" in said, "what ends first comes first"
    assert await talk.say("12") == talk.texts("coupon.choice_range", count=10)
    assert await talk.say("领券 11") == talk.texts("coupon.choice_range", count=10)
    assert "领到了：第9种券" in await talk.say("领 10")


async def test_a_list_that_is_old_says_how_to_see_it_again(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    await talk.say("领券")
    talk.later(minutes=11)
    assert await talk.say("1") == talk.texts("coupon.choice_gone")


async def test_a_question_about_a_listed_coupon_claims_nothing(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    await talk.say("领券")
    assert await talk.say("第一个多少钱") != ""
    assert "想要就回复「领券 早鸟」" in await talk.say("1？")
    assert "想要就回复「领券 早鸟」" in await talk.say("领券 早鸟？")
    assert talk.handler == "coupon.offer"
    assert await talk.say("我的券") == talk.texts("coupon.mine_none")


async def test_the_menu_leads_to_both(talk: Conversation) -> None:
    assert await talk.happen("click", "coupons") == talk.texts("coupon.none")
    assert await talk.happen("click", "mycoupons") == talk.texts("coupon.mine_none")


# Claiming


async def test_a_claim_shows_the_code_with_worth_conditions_and_end(
    talk: Conversation, offers: Offers
) -> None:
    await offers(min_spend_cents=20_000, items=("py-zero",), categories=("编程",), valid_days=7)
    said = await talk.say("领券 早鸟")
    assert said.split("\n")[2] == (
        "满 200 元可用，限《零基础学 Python》、「编程」，有效至 11月28日 10:30"
    )
    coupon = await talk.store.coupons.by_code(code_in(said))
    assert coupon is not None
    assert coupon.member_id == await talk.member()
    assert talk.counted.claims == ["claimed"]


async def test_the_ways_to_ask_for_it(talk: Conversation, offers: Offers) -> None:
    await offers()
    ways = (
        "领券 早鸟",
        "领券：早鸟",
        "领 早鸟",
        "领早鸟",
        "领券早鸟",
        "领取「早鸟」",
        "我要领 早鸟。",
        "　领券　早鸟🙏",
    )
    for typed in ways:
        assert "领到了：早鸟券" in await talk.say(typed, f"o_{typed}"), typed
    assert "领到了：早鸟券" in await talk.say("领券早鸟。", "o_voice", kind="voice")
    await offers("Double11")
    assert "领到了" in await talk.say("领券　ＤＯＵＢＬＥ１１"), "width and case don't matter"


async def test_the_same_message_again_gets_the_same_code_another_one_hears_already(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    message = talk.message("领券 早鸟")
    first = await talk.hear(message, crash_first=True)
    assert await talk.hear(message) == first
    again = await talk.say("领券 早鸟")
    assert "已经领过「早鸟券」了，每人 1 张" in again
    assert code_in(again) == code_in(first)
    assert talk.counted.claims == ["claimed", "again", "again", "already"]


async def test_two_members_want_the_last_one(talk: Conversation, offers: Offers) -> None:
    await offers(inventory=1)
    first, second = await talk.say("领 早鸟"), await talk.say("领 早鸟", "o_other")
    assert "领到了" in first
    assert second == talk.texts("coupon.sold_out", title="早鸟券")
    assert code_in(await talk.say("领 早鸟")) == code_in(first), "sold out, but they have theirs"


async def test_several_for_one_member(talk: Conversation, offers: Offers) -> None:
    await offers(per_member=2)
    gained = {code_in(await talk.say("领 早鸟")) for _ in range(2)}
    assert len(gained) == 2
    assert "每人 2 张" in await talk.say("领 早鸟")


async def test_a_pool_hands_out_the_shops_codes(talk: Conversation, offers: Offers) -> None:
    pool = await offers(inventory=None, pool=True)
    not_ready = talk.texts("coupon.not_ready", title="早鸟券", word="早鸟")
    assert await talk.say("领 早鸟") == not_ready, "nothing was imported yet"
    await talk.store.offers.add_codes(pool.id, ["shop-2026-a"], talk.at)
    assert "券码 shop-2026-a" in await talk.say("领 早鸟")


# Why not, and what next


async def test_before_it_starts_it_says_when(talk: Conversation, offers: Offers) -> None:
    await offers(claim_from=day("2026-11-25") + 20 * 3600)
    said = await talk.say("领券 早鸟", crash_first=True)
    assert said == "「早鸟券」11月25日 20:00 开始领，到时再回复「领券 早鸟」。"


async def test_the_last_day_counts_to_its_midnight_in_shanghai(
    talk: Conversation, offers: Offers
) -> None:
    await offers(claim_until=day("2026-11-22"))
    talk.now = talk.now.replace(hour=23, minute=59, second=59)
    assert "领到了" in await talk.say("领 早鸟")
    talk.later(seconds=1)
    said = await talk.say("领 早鸟", "o_other")
    assert said == talk.texts("coupon.ended", title="早鸟券")


async def test_paused_and_closed(talk: Conversation, offers: Offers) -> None:
    offer = await offers()
    await talk.store.offers.set_status(offer.id, "paused", talk.at)
    said = await talk.say("领券 早鸟")
    assert said == talk.texts("coupon.paused", title="早鸟券", word="早鸟")
    await talk.store.offers.set_status(offer.id, "closed", talk.at)
    assert await talk.say("领券 早鸟") == talk.texts("coupon.ended", title="早鸟券")


async def test_who_is_not_meant_hears_who_is(talk: Conversation, offers: Offers) -> None:
    talk.rewards = Rewards(levels=(Level("新芽", 0), Level("常客", 100)))
    await talk.say("你好")
    rules = {
        "tag:vip": "只给运营指定的成员",
        "level>=2 and did:homework": "只给等级「常客」以上、交过作业的成员",
        "level>=9": "只给等级 9 以上的成员",
        "bought:write": "只给买过《写作入门》的成员",
        "tier:paid-monthly": "只给月度会员以上的成员",
        "segment:quiet": "只给有一阵没来的成员",
    }
    for number, (rule, says) in enumerate(rules.items()):
        await offers(f"券{number}", audience=rule)
        assert says in await talk.say(f"领券 券{number}"), rule
    assert await talk.say("领券") == talk.texts("coupon.none")


async def test_points_are_never_spent_by_claiming(talk: Conversation, offers: Offers) -> None:
    await offers(points_price=50)
    said = await talk.say("领券 早鸟")
    assert said == "「早鸟券」要用 50 积分换。想换就回复「兑换 早鸟」。"
    assert await talk.store.coupons.of(await talk.member(), talk.at) == []


async def test_after_it_was_used_a_second_claim_says_so(talk: Conversation, offers: Offers) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    await used(talk, code)
    said = await talk.say("领 早鸟")
    assert said.startswith("你已经领过「早鸟券」了，那张券11月21日用掉了。")
    assert code not in said


async def used(talk: Conversation, code: str) -> None:
    """The shop redeems it."""
    done = await talk.store.redemptions.redeem(code, Cart("order-1", 20_000), call(talk))
    assert done.outcome is Result.DONE


def call(talk: Conversation) -> Call:
    """A call of the shop."""
    return Call(actor="key:shop", key_id="k1", name=f"at {talk.at}", fingerprint=b"f", now=talk.at)


async def test_an_unknown_word_names_the_nearest(talk: Conversation, offers: Offers) -> None:
    await offers()
    await offers("早起", audience="tag:vip")
    said = await talk.say("领券 早乌")
    assert said == "没有叫「早乌」的券，你想领的是「领券 早鸟」吗？"
    assert "早起" not in await talk.say("领券 早晚"), "what is for some only stays with them"
    assert await talk.say("领券 圣诞") == talk.texts("coupon.unknown", word="圣诞")
    long = "领券 " + "圣" * 100
    assert len(await talk.say(long)) < 80


async def test_questions_about_coupons_are_questions(talk: Conversation, offers: Offers) -> None:
    await offers()
    for typed in (
        *("优惠券怎么用", "领券 怎么用", "领券 有什么条件吗？", "领导力课程多少钱"),
        *("领不到", "我的券怎么用不了", "怎么领券", "要领是什么", "领券 不行", "领导力2.0有吗"),
    ):
        await talk.say(typed)
        assert not talk.handler.startswith("coupon"), typed
    assert talk.counted.guesses == []
    await talk.store.content.add_faq(NewFaq("优惠券怎么用", "下单时填券码。"), talk.at)
    await talk.reload()
    assert "下单时填券码" in await talk.say("优惠券怎么用")
    assert "下单时填券码" in await talk.say("优惠券怎么用？")


# Guessing


async def test_guessing_words_ends_in_a_lock_that_counts_for_right_words_too(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    talk.rewards = Rewards(coupons=CouponRules(wrong_tries=3, lock_s=3600.0))
    for typed in ("领券 甲", "领券 乙"):
        assert await talk.say(typed, crash_first=True) != ""
        assert talk.handler == "coupon.claim"
    locked = talk.texts("coupon.locked", minutes=60)
    assert await talk.say("领券 丙", crash_first=True) == locked
    assert talk.handler == "coupon.locked"
    talk.later(minutes=10)
    assert await talk.say("领券 早鸟") == talk.texts("coupon.locked", minutes=50)
    await talk.say("领导力课程多少钱")
    assert not talk.handler.startswith("coupon"), "a question is no guess"
    assert "1. 早鸟券" in await talk.say("领券"), "what they may have is no secret"
    assert "领到了" in await talk.say("领券 早鸟", "o_other"), "a lock is one member's"
    talk.later(minutes=51)
    assert "领到了" in await talk.say("领券 早鸟")
    assert set(talk.counted.guesses) == {"member"}


async def test_a_code_alone_is_told_to_its_owner_and_guessed_by_others(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    for typed in (code, code.lower(), code.replace("-", ""), f"领券 {code}"):
        assert "早鸟券，减 50 元" in await talk.say(typed), typed
        assert talk.handler == "coupon.code"
    assert talk.counted.guesses == []
    assert await talk.say(code, "o_other") == talk.texts("coupon.code_unknown")
    assert talk.counted.guesses == ["member"]


async def test_no_code_that_a_member_types_reaches_the_log(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    mistyped = code[:-1] + ("2" if code[-1] != "2" else "3")
    for typed in (code, mistyped, f"领券 {code}", f"领{code}", "领券 SHOP20261121"):
        await talk.say(typed)
        await talk.say(typed, "o_other")
    logged = [row["text"] for row in await talk.interactions()]
    assert "领 早鸟" in logged, "words are no secret"
    assert not any(typed in text for text in logged for typed in (code, mistyped, "SHOP"))


# What one has


async def test_ones_own_coupons_usable_first_the_others_short(
    talk: Conversation, offers: Offers
) -> None:
    await offers("长", valid_days=30)
    await offers("短", valid_days=3)
    await offers("完", valid_until=talk.at + 60)
    await offers("用")
    for word in ("长", "短", "完"):
        assert "领到了" in await talk.say(f"领 {word}")
    await used(talk, code_in(await talk.say("领 用")))
    talk.later(hours=1)
    said = await talk.say("我的优惠券")
    parts = said.split("\n\n")
    assert parts[0] == talk.texts("coupon.mine_head", count=2)
    assert parts[1].startswith("短券，减 50 元\n券码 ")
    assert parts[1].endswith("有效至 11月24日 10:30")
    assert parts[2].startswith("长券")
    assert parts[3].split("\n") == [
        "用过或已经结束的：",
        "完券：已到期（11月21日 10:31）",
        "用券：11月21日用掉了",
    ]
    assert len(CODE.findall(said)) == 2, "what is over shows no code"


async def test_only_used_ones_left(talk: Conversation, offers: Offers) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    await talk.store.coupons.revoke(code, talk.at, "member:9", "发错了")
    said = await talk.say("我的券")
    assert said.startswith(talk.texts("coupon.mine_no_more"))
    assert "早鸟券：被收回了" in said
    assert "那张券被收回了" in await talk.say("领 早鸟")


async def test_a_coupon_at_the_checkout_says_so(talk: Conversation, offers: Offers) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    await talk.store.redemptions.reserve(code, Cart("order-1", 20_000), call(talk), 900.0)
    assert "（有一单正在用它付款）" in await talk.say("我的券")
    talk.later(minutes=16)
    assert "正在用它付款" not in await talk.say("我的券")


async def test_a_title_that_looks_like_a_template_is_only_a_title(
    talk: Conversation, offers: Offers
) -> None:
    await offers(title="{code} ]]> %s")
    assert "领到了：{code} ]]> %s，" in await talk.say("领 早鸟")
