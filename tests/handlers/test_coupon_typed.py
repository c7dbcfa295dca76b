"""Coupons as members really type them: titles, typos, manners, codes inside a sentence."""

from __future__ import annotations

import pytest

from handlers.coupon_typed import code_in as code_typed_in
from handlers.rewards import CouponRules, Rewards
from store import codes
from store.content import NewFaq
from tests.handlers.conftest import Conversation
from tests.handlers.test_coupons import Offers, code_in, offers

__all__ = ["offers"]

# As members type it


async def test_an_offer_is_claimed_by_its_title_and_by_its_word_with_more(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟", title="早鸟优惠 VIP")
    ways = (
        *(
            "领券 早鸟券",
            "我要领 早鸟券",
            "领券 早鸟优惠VIP",
            "领券 早鸟优惠 vip 券",
            "领券 👉早鸟",
        ),
        *(
            "领券 早鸟，谢谢",
            "我想领 早鸟 优惠券",
            "领劵 早鸟",
            "领早鸟券",
            "领卷 早鸟",
            "领券 早鸟啊",
        ),
    )
    for typed in ways:
        assert "领到了：早鸟优惠 VIP" in await talk.say(typed, f"o_{typed}"), typed
    assert "想要就回复「领券 早鸟」" in await talk.say("领券 早鸟券？")
    assert talk.counted.guesses == []


async def test_a_lock_counts_for_titles_too(talk: Conversation, offers: Offers) -> None:
    await offers("早鸟")
    talk.rewards = Rewards(coupons=CouponRules(wrong_tries=1))
    await talk.say("领券 圣诞")
    assert talk.handler == "coupon.locked"
    await talk.say("领券 早鸟券")
    assert talk.handler == "coupon.locked"
    await talk.say("领券 早鸟？")
    assert talk.handler == "coupon.locked"


@pytest.mark.parametrize(
    "typed",
    [
        *("领劵", "领卷", "优惠劵", "优惠卷", "我要优惠券", "给我一张券", "新人有券吗", "领 券"),
        *(
            "请问有优惠券吗",
            "老师，有券吗？",
            "有没有优惠券可以领",
            "领券 谢谢",
            "领张券",
            "领券。",
        ),
        *("你们有什么优惠券", "最近有券吗", "想要券", "领券吧"),
    ],
)
async def test_the_ways_to_ask_for_the_list(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("coupon.none")
    assert talk.handler.startswith("coupon.")
    assert talk.counted.guesses == []


@pytest.mark.parametrize(
    "typed", ["我的劵", "我的卷", "我　的　券", "看我的券", "我的优惠劵", "我的券 2"]
)
async def test_the_ways_to_ask_for_ones_own(talk: Conversation, typed: str) -> None:
    assert await talk.say(typed) == talk.texts("coupon.mine_none")


async def test_the_first_one_of_the_list_is_claimed_in_words(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟")
    await talk.say("领券")
    assert "领到了" in await talk.say("领第一个")


async def test_what_costs_points_is_named_with_its_own_word(
    talk: Conversation, offers: Offers
) -> None:
    await offers("书签", points_price=20)
    assert "你想领的是「兑换 书签」吗" in await talk.say("领券 书钱")
    assert "名叫" not in await talk.say("领券 VIPx")
    assert "没有叫「VIPx」的券" in await talk.say("领券 VIPx"), "as it was typed"


async def test_the_verb_alone_leaves_a_sure_question_to_the_faq(
    talk: Conversation, offers: Offers
) -> None:
    await talk.store.content.add_faq(NewFaq("领证书", "学完后在课程页领取。"), talk.at)
    await talk.reload()
    await offers("证件")
    assert "课程页领取" in await talk.say("领 证书")
    assert talk.counted.guesses == []


async def test_misspelling_a_public_word_is_no_guess_a_serial_number_is(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟")
    for typed in ("领券 早乌", "领券 小鸟早鸟"):
        await talk.say(typed)
    assert talk.counted.guesses == []
    for typed in ("领券 早鸟7300", "领口令7300", "领券 暗号7300？", "领券 圣诞？", "领券 圣诞"):
        before = len(talk.counted.guesses)
        await talk.say(typed)
        assert len(talk.counted.guesses) == before + 1, typed


async def test_asking_shows_what_is_for_some_to_those_only(
    talk: Conversation, offers: Offers
) -> None:
    await offers("暗号", audience="tag:VIP", per_member=1)
    said = await talk.say("领券 暗号？")
    assert "减 50 元" not in said
    assert talk.handler != "coupon.offer"
    await talk.store.tags.add(await talk.member("o_vip"), "VIP", talk.at, limit=9)
    assert "减 50 元" in await talk.say("领券 暗号？", "o_vip")
    assert "领到了" in await talk.say("领券 暗号", "o_vip")
    assert "减 50 元" in await talk.say("领券 暗号？", "o_vip"), "who has it knows it"


# Codes anywhere


def test_a_code_is_found_in_any_text() -> None:
    code = codes.shown(codes.new_code(lambda count: bytes(range(count))))
    bare = code.replace("-", "")
    for text in (code, bare, f"券码 {code}", f"我的券码是{code.lower()}怎么用", f"{bare}用不了"):
        assert codes.plain(code_typed_in(text)) == bare, text
    for text in ("what data model", "understanding", "recommendation", "2026-11-25 20:00", "早鸟"):
        assert code_typed_in(text) == "", text


async def test_a_code_in_a_sentence_is_told_to_its_owner_and_kept_from_log_and_gaps(
    talk: Conversation, offers: Offers
) -> None:
    await offers()
    code = code_in(await talk.say("领 早鸟"))
    for typed in (
        f"券码 {code}",
        f"我的券码是 {code.lower()}",
        f"{code} 怎么用",
        f"{code}怎么用不了",
    ):
        said = await talk.say(typed)
        assert "早鸟券，减 50 元" in said, typed
        assert said.endswith(talk.texts("coupon.at_checkout"))
        assert await talk.say(typed, "o_other") == talk.texts("coupon.code_unknown"), typed
    await no_trace(talk, code)


async def test_a_shops_own_code_alone_is_told_to_its_owner_and_leaves_no_trace(
    talk: Conversation, offers: Offers
) -> None:
    pool = await offers(inventory=None, pool=True)
    await talk.store.offers.add_codes(pool.id, ["SUMMER-2026-0001", "AB12CD"], talk.at)
    for code in ("SUMMER-2026-0001", "AB12CD"):
        assert code in await talk.say("领 早鸟", f"o_{code}")
        for who in (f"o_{code}", "o_other"):
            await talk.say(code, who)
            await talk.say(code.lower(), who)
        await no_trace(talk, code)
    assert talk.counted.guesses == [], "for anybody else it is a question like any other"
    await talk.say("python3", "o_other")
    assert "python3" in [row["text"] for row in await talk.interactions()], "no code of ours"


async def no_trace(talk: Conversation, code: str) -> None:
    logged = [row["text"].lower() for row in await talk.interactions()]
    assert not [text for text in logged if code.lower() in text]
    gaps = await talk.store.content.gaps(100)
    assert not [gap for gap in gaps if code.lower() in str(gap).lower()]


# Many of them


async def test_many_coupons_come_in_pages_that_fit_one_message(
    talk: Conversation, offers: Offers
) -> None:
    for number in range(14):
        await offers(f"第{number}", title="很长的标题" * 9 + f"{number:02}", valid_days=number + 1)
        await talk.say(f"领券 第{number}")
    seen = ""
    for page in range(1, 6):
        said = await talk.say(f"我的券 {page}")
        assert len(said.encode()) <= 2048
        seen += said
        if f"「我的券 {page + 1}」" not in said:
            break
    assert all(f"标题{number:02}" in seen for number in range(14))
    assert "有 14 张能用的券" in seen
    assert (await talk.say("我的券 99")) == said, "behind the last one is the last one"


# Lists and words alone


async def test_a_number_behind_the_verb_is_never_a_guess(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟")
    assert "1. 早鸟券" in await talk.say("领券 1"), "no list yet: here it is"
    await talk.say("课程")
    assert "1. 早鸟券" in await talk.say("领券 1"), "the courses were shown since"
    assert "领到了" in await talk.say("领券 1")
    assert talk.counted.guesses == []


async def test_a_word_alone_that_nobody_knows_shows_the_offer(
    talk: Conversation, offers: Offers
) -> None:
    await offers("早鸟")
    await offers("暗号", audience="tag:VIP")
    for typed in ("早鸟", "早鸟券"):
        assert "想要就回复「领券 早鸟」" in await talk.say(typed)
        assert talk.handler == "coupon.offer"
    await talk.say("暗号")
    assert talk.handler == "faq.unknown"
    await talk.store.content.add_faq(NewFaq("早鸟", "早鸟价到月底。"), talk.at)
    await talk.reload()
    assert "到月底" in await talk.say("早鸟"), "the FAQ's own goes first"


async def test_long_titles_make_shorter_lists(talk: Conversation, offers: Offers) -> None:
    for number in range(10):
        await offers(f"第{number}", title="长" * 62 + f"{number:02}", claim_until=talk.at + 99)
    said = await talk.say("领券")
    assert len(said.encode()) <= 2048
    shown = said.count("长" * 62)
    assert talk.texts("coupon.list_part", shown=shown, count=10) in said
    assert await talk.say(f"{shown + 1}") == talk.texts("coupon.choice_range", count=shown)
    await talk.promote("o_op")
    assert len((await talk.say("/coupon list", "o_op")).encode()) <= 2048
