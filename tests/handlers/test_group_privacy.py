"""What is private stays private: what the bot does not say in a group."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from handlers import ROUTERS
from handlers.context import GroupChannels
from store.offers import NewOffer
from tests.handlers.conftest import Conversation, item
from tests.handlers.in_group import WHISPERING, GroupTalk
from tests.handlers.test_membership import rules as membership_rules


@pytest.fixture
async def qun(talk: Conversation) -> GroupTalk:
    return GroupTalk(talk)


# What is private


PERSONAL = (
    *("我的券", "我的积分", "领券", "领券 早鸟", "兑换", "兑换 书签", "我的资料", "我的数据"),
    *("忘记我", "确认忘记", "订阅 新课", "退订", "我的课程", "我的作业", "交作业 1", "我的邀请"),
    *("我的会员", "邀请好友", "转人工", "继续", "补签", "不上榜", "我叫 小林", "我的订单", "确认"),
    *("我的积分有多少", "查一下我的积分吧", "帮我查一下我的券", "我退订成功了吗", "领优惠券 早鸟"),
    *("我的订单到哪了", "我连续签到几天了", "我买了哪些课", "我买了哪门课", "查一下我的积分", "td"),
    *("TD", "拒收", "别再给我发消息了", "我排第几", "我签到多少天了", "帮我看看我的订单发货了没"),
)


@pytest.mark.parametrize("text", PERSONAL)
async def test_what_is_ones_own_is_not_told_in_a_group(qun: GroupTalk, text: str) -> None:
    assert await qun.ask(text) == qun.private.texts("group.private")
    assert qun.handler == "group.private"
    qun.speech = replace(qun.speech, private_url="https://bot.example/me")
    url = "https://bot.example/me"
    assert await qun.ask(text) == qun.private.texts("group.private_at", url=url)
    assert qun.aside == []


@pytest.mark.parametrize(
    "text", ["优惠券怎么用", "订阅号是什么", "积分会过期吗", "兑换码怎么用", "怎么邀请好友"]
)
async def test_how_things_work_is_no_secret(qun: GroupTalk, text: str) -> None:
    assert await qun.ask(text) not in ("", qun.private.texts("group.private"))


async def test_where_the_channel_can_whisper_the_member_alone_is_told(qun: GroupTalk) -> None:
    qun.channels = WHISPERING
    await qun.private.say("签到")
    assert await qun.ask("我的积分") == qun.private.texts("group.whispered")
    (told,) = qun.aside
    assert "5 分" in told
    assert qun.handler == "points.mine"


async def test_a_list_that_was_whispered_is_picked_from_in_private(qun: GroupTalk) -> None:
    qun.channels = WHISPERING
    await qun.ask("订阅")
    assert len(qun.aside) == 1
    assert "新课" not in qun.reply.content


async def test_who_is_forgotten_from_a_group_is_told_so_alone(qun: GroupTalk) -> None:
    qun.channels = WHISPERING
    await qun.ask("忘记我")
    assert await qun.ask("确认忘记") == qun.private.texts("group.done")
    assert qun.aside == [qun.private.texts("privacy.forget_done")]
    assert qun.ctx is not None
    assert qun.ctx.erased


def _words() -> list[str]:
    """Every word of every rule that is silent in groups."""
    rules = [rule for router in ROUTERS for rule in router.rules if rule.where == "private"]
    open_rules = [rule for router in ROUTERS for rule in router.rules if rule.where != "private"]
    heard = {word for rule in open_rules for word in rule.words}
    return sorted({word for rule in rules for word in rule.words} - heard - {"确认忘记"})


@pytest.mark.parametrize("who", ["o_lin", "o_op"])
@pytest.mark.parametrize("channels", [WHISPERING, GroupChannels()], ids=["whispering", "not"])
async def test_nothing_of_a_private_answer_is_read_by_the_group(
    qun: GroupTalk, channels: GroupChannels, who: str
) -> None:
    """Every word of every private rule, and words that go with their patterns."""
    texts, qun.channels = qun.private.texts, channels
    await qun.private.promote("o_op")
    await qun.private.say("签到", who)
    open_lines = {texts("group.private"), texts("group.whispered"), texts("group.unknown")}
    words = [*_words(), *(text for text in PERSONAL if text != "确认忘记")]
    assert len(words) > 100
    for word in words:
        private = await qun.private.say(word, who)
        known = {line for line in private.splitlines() if len(line) > 6}
        told = await qun.ask(word, who)
        assert told in open_lines, word
        assert qun.options == [], word
        assert known.isdisjoint(told.splitlines()), word
        if channels is WHISPERING and told == texts("group.whispered"):
            assert qun.aside, word


@pytest.mark.parametrize("channels", [WHISPERING, GroupChannels()], ids=["whispering", "not"])
async def test_a_coupon_one_has_is_told_to_nobody_else(
    qun: GroupTalk, channels: GroupChannels
) -> None:
    qun.channels, private = channels, qun.private
    new = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=5000, inventory=9)
    assert await qun.store.offers.create(new, private.at, "member:1") is not None
    found = re.search(r"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{5}", await private.say("领券 早鸟"))
    assert found is not None
    code = found[0]
    for text in (
        "我的券",
        "领券 早鸟",
        "领 早鸟",
        "早鸟券",
        "早鸟",
        code,
        f"{code} 怎么用",
        "领券",
    ):
        told = await qun.ask(text)
        assert code not in told, text
        assert "50" not in told, text
        assert channels is not WHISPERING or code not in str(qun.ctx and qun.ctx.then)
    await qun.ask("我的券")
    assert [code in one for one in qun.aside] == ([True] if channels is WHISPERING else [])


@pytest.mark.parametrize("text", ["早鸟", "早鸟券", "我要领早鸟券", "我要领早鸟", "领早鸟券"])
async def test_who_names_a_coupon_is_told_in_private(qun: GroupTalk, text: str) -> None:
    qun.channels, private = WHISPERING, qun.private
    new = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=5000, inventory=9)
    assert await qun.store.offers.create(new, private.at, "member:1") is not None
    assert await qun.ask(text) == private.texts("group.whispered")
    assert "早鸟券" in "".join(qun.aside)
    assert await qun.store.content.gaps(10) == []
    qun.channels = GroupChannels()
    assert await qun.ask(text) == private.texts("group.private")


async def test_an_operators_verdict_is_no_question_of_the_group(qun: GroupTalk) -> None:
    qun.channels = WHISPERING
    await qun.private.promote("o_op")
    assert await qun.ask("广告 3", "o_op") == qun.private.texts("group.whispered")
    assert len(qun.aside) == 1


async def test_a_code_is_never_repeated_kept_or_looked_at(qun: GroupTalk) -> None:
    for text in ("K7QM-2X9D-4HWTR", "我的码 K7QM-2X9D-4HWTR 怎么用", "怎么退款 K7QM2X9D4HWTR"):
        told = await qun.ask(text)
        assert told == qun.private.texts("group.code")
        assert qun.ctx is not None
        assert qun.ctx.logged == qun.private.texts("coupon.hidden")
    assert await qun.store.content.gaps(10) == []


# What is for a tier


async def test_what_a_tier_pays_for_is_shown_to_no_group(qun: GroupTalk) -> None:
    gated = item("vip", "闭门课", needs_tier="paid-monthly")
    await qun.store.catalogue.put([gated], qun.private.at)
    await qun.private.reload()
    qun.private.rewards = membership_rules()
    await qun.private.promote("o_op", "owner")
    told = await qun.ask("闭门课多少钱", "o_op")
    assert "shop.example" not in told
    assert "shop.example" in await qun.private.say("闭门课多少钱", "o_op")


async def test_a_gated_answer_is_told_in_private(qun: GroupTalk) -> None:
    qun.private.rewards = membership_rules(faq="paid-monthly")
    await qun.private.promote("o_op", "owner")
    assert await qun.ask("怎么退款", "o_op") == qun.private.texts("group.private")
    assert "七天" not in await qun.ask("怎么退款")
