"""What the bot says in a group: short, once, and nothing that is private."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from handlers import ROUTERS
from handlers.context import GroupChannels
from handlers.group_said import shortened
from handlers.message import Reply
from store.content import NewFaq
from store.groups import GroupRules, Seen
from store.offers import NewOffer
from tests.handlers.conftest import Conversation, item
from tests.handlers.in_group import BOT, WHISPERING, GroupTalk, group
from tests.handlers.test_membership import rules as membership_rules

LONG = "第一步，打开课程页。" + "然后" * 20 + "。第二步，点退款。" + "说明" * 120 + "。"


@pytest.fixture
async def qun(talk: Conversation) -> GroupTalk:
    return GroupTalk(talk)


# Who is answered


async def test_a_question_with_a_mention_is_answered_without_frills(qun: GroupTalk) -> None:
    assert await qun.ask("怎么退款") == "七天内可以全额退款。"
    assert (qun.handler, qun.ctx and qun.ctx.item) == ("faq", "faq:1")


async def test_talk_among_members_is_answered_with_nothing(qun: GroupTalk) -> None:
    for text in ("怎么退款", "帮助", "课程", "我的券", "2", "谢谢", "小知识", "/rose"):
        assert await qun.say(text) == "", text
        assert qun.handler == "none"
        assert qun.aside == []


async def test_a_call_alone_hears_what_to_do(qun: GroupTalk) -> None:
    called = qun.private.texts("group.called")
    assert await qun.ask("") == called
    assert await qun.say("小知") == called
    assert await qun.ask("？？") == called


async def test_a_mention_beside_a_quoted_question_answers_the_question(qun: GroupTalk) -> None:
    told = await qun.ask("", quotes="m7", quoted="怎么退款", quotes_who="o_wang")
    assert told == "七天内可以全额退款。"


async def test_where_nobody_says_whose_the_quote_is_it_is_the_question_all_the_same(
    qun: GroupTalk,
) -> None:
    quoting = replace(qun.message("", addressed=True, quoted="怎么退款"), account="")
    assert await qun.hear(quoting) == "七天内可以全额退款。"


async def test_a_quote_of_the_bots_own_answer_is_no_question(qun: GroupTalk) -> None:
    told = await qun.ask("", quotes="m7", quoted="怎么退款", quotes_who=BOT)
    assert told == qun.private.texts("group.called")


@pytest.mark.parametrize("quoted", ["签到", "我的券", "忘记我", "取消"])
async def test_somebody_elses_words_are_no_wish_of_who_quotes_them(
    qun: GroupTalk, quoted: str
) -> None:
    told = await qun.ask("", quotes="m7", quoted=quoted, quotes_who="o_wang")
    assert told in (qun.private.texts("group.called"), qun.private.texts("group.unknown"))
    assert qun.aside == []


async def test_the_help_of_a_group_is_short(qun: GroupTalk) -> None:
    assert await qun.ask("帮助") == qun.private.texts("group.help")
    assert len(qun.reply.content.splitlines()) <= 6


async def test_manners_are_kept_with_who_turns_to_the_bot(qun: GroupTalk) -> None:
    assert await qun.ask("谢谢") == qun.private.texts("help.thanks")


async def test_a_picture_for_the_bot_is_answered_and_others_are_not(qun: GroupTalk) -> None:
    picture = replace(qun.message("", addressed=True), kind="image")
    assert await qun.hear(picture) == qun.private.texts("media.image")
    assert await qun.hear(replace(qun.message(""), kind="image")) == ""


async def test_events_of_a_group_say_nothing(qun: GroupTalk) -> None:
    came = replace(qun.message(""), kind="event", event="group_join")
    assert await qun.hear(came) == ""
    qun.group = group(bound_at=None)
    assert await qun.hear(came) == ""


# Choosing


async def test_an_offer_takes_three_lines_and_a_number_picks(
    hesitant: Conversation,
) -> None:
    qun = GroupTalk(hesitant)
    offered = await qun.ask("退款报名发票")
    assert qun.handler == "faq.offer"
    assert len(offered.splitlines()) <= 3
    assert re.findall(r"(\d)\. ", offered) == ["1", "2", "3"][: offered.count(". ")]
    first = re.search(r"1\. (.+)", offered)
    assert first is not None
    assert await qun.say("1") == ""
    told = await qun.say("1", addressed=True, quotes="m1", quotes_who="gh_1")
    assert told
    assert qun.handler in ("faq", "content")


async def test_a_number_with_a_mention_picks_too(qun: GroupTalk) -> None:
    listed = await qun.ask("课程")
    assert listed.endswith(qun.private.texts("group.pick"))
    second = re.search(r"2\. (.+?)（", listed)
    assert second is not None
    assert qun.options[:2] == ["1", "2"]
    assert f"《{second[1]}》" in await qun.ask("2")


async def test_a_list_of_the_private_chat_is_not_picked_from_in_a_group(qun: GroupTalk) -> None:
    await qun.private.say("课程")
    assert "《" not in await qun.ask("2")
    await qun.ask("课程")
    await qun.private.say("退出")


async def test_a_groups_list_ends_without_a_word_on_what_waits_in_private(qun: GroupTalk) -> None:
    await qun.private.say("忘记我")
    await qun.ask("课程")
    assert await qun.ask("取消") == qun.private.texts("common.cancelled")
    assert await qun.ask("取消") == qun.private.texts("common.nothing_to_cancel")
    asked = await qun.store.members.state(await qun.private.member(), "forget", qun.private.at)
    assert asked


# Not known


async def test_what_nobody_knows_is_said_so_in_one_line_and_noted(qun: GroupTalk) -> None:
    for number, said in enumerate(("@小知 火星上有没有食堂", "小知 木星上有没有食堂"), 1):
        told = await qun.say(said, addressed=said.startswith("@"))
        assert told == qun.private.texts("group.unknown")
        assert len(await qun.store.content.gaps(10)) == number


async def test_an_operators_question_is_no_gap(qun: GroupTalk) -> None:
    await qun.private.promote("o_op")
    assert await qun.ask("火星上有没有食堂", "o_op") == qun.private.texts("group.unknown_plain")
    assert await qun.store.content.gaps(10) == []


# Long answers


async def _teach(qun: GroupTalk, answer: str = LONG) -> None:
    await qun.store.content.import_faq([NewFaq("证书怎么领取", answer)], qun.private.at)
    await qun.private.reload()


async def test_a_long_answer_is_its_first_sentences_and_a_link(qun: GroupTalk) -> None:
    await _teach(qun)
    qun.speech = replace(qun.speech, page=lambda item: f"https://bot.example/a/{item}")
    told = await qun.ask("证书怎么领取")
    assert told.startswith("第一步，打开课程页。")
    assert told.endswith("完整的回答：https://bot.example/a/faq:7")
    assert len(told) < 260


async def test_without_a_page_the_whole_is_told_in_private(qun: GroupTalk) -> None:
    await _teach(qun)
    told = await qun.ask("证书怎么领取")
    assert told.endswith("完整的回答请私聊我问。")


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("短。", 40, "短。"),
        ("一句。两句。三句。", 6, "一句。两句。"),
        ("一句\n两句\n三句", 5, "一句\n两句"),
        ("没有句号的一长串字", 5, "没有句号…"),
        ("看 https://shop.example/long/address 这里", 12, "看…"),
        ("https://shop.example/long/address", 12, "https://sho…"),
        ("", 5, ""),
    ],
)
def test_a_text_is_cut_between_sentences_and_in_no_address(
    text: str, limit: int, short: str
) -> None:
    assert shortened(text, limit) == short


async def test_links_in_a_group_are_nobodys_own(qun: GroupTalk) -> None:
    await _teach(qun, "看 https://shop.example/cert")
    assert "/r/faq:7/0/cert" in await qun.ask("证书怎么领取")
    assert "m=0&" in await qun.ask("写作入门多少钱")


# Not twice


async def test_an_answer_is_given_once_pointed_at_once_and_then_left(qun: GroupTalk) -> None:
    assert await qun.ask("怎么退款", "o_a") == "七天内可以全额退款。"
    assert await qun.ask("如何申请退款", "o_b") == qun.private.texts("group.said")
    assert qun.handler == "group.repeated"
    assert await qun.ask("怎么退款", "o_c") == ""
    qun.private.later(minutes=10)
    assert await qun.ask("怎么退款", "o_c") == "七天内可以全额退款。"


async def test_each_group_has_its_own_answers(qun: GroupTalk) -> None:
    await qun.ask("怎么退款")
    qun.group = group(id=2, place="qun:2@chatroom", external_id="2@chatroom")
    assert await qun.ask("怎么退款") == "七天内可以全额退款。"


async def test_the_same_message_after_a_crash_says_the_same(qun: GroupTalk) -> None:
    first = qun.message("@小知 怎么退款", addressed=True)
    second = qun.message("@小知 怎么退款", "o_b", addressed=True)
    told = await qun.hear(first)
    assert await qun.hear(first) == told
    pointed = await qun.hear(second)
    assert await qun.hear(first) == told
    assert await qun.hear(second) == pointed != told


# Keywords and commands


async def test_a_check_in_needs_no_mention_and_tells_no_balance(qun: GroupTalk) -> None:
    told = await qun.say("签到")
    assert told == qun.private.texts("group.checked_in", points=5, streak=1)


async def test_the_ranking_hides_who_hides(qun: GroupTalk) -> None:
    await qun.say("签到")
    me = await qun.private.member()
    await qun.store.groups.see(Seen(qun.group.place, me, "小林", qun.private.at))
    assert "小林" in await qun.say("排行榜")
    await qun.private.say("不上榜")
    qun.private.later(hours=1)
    assert "小林" not in await qun.say("排行榜")


async def test_a_command_is_for_private_and_for_others_does_not_exist(qun: GroupTalk) -> None:
    await qun.private.promote("o_op")
    await qun.private.promote("o_an", "analyst")
    line = qun.private.texts("group.command_private")
    assert await qun.say("/stats", "o_op") == line
    assert await qun.ask("/stats", "o_op") == line
    assert await qun.ask("/nonsense x", "o_op") == line
    assert await qun.say("/stats", "o_an") == line
    for text in ("/stats", "/claim 7KQM-2X9D"):
        assert await qun.say(text) == ""
        assert await qun.ask(text) == ""
    assert qun.ctx is not None
    assert "7KQM" not in (qun.ctx.logged or "7KQM")
    assert await qun.private.codes.unused()


async def test_a_muted_bot_answers_nothing(qun: GroupTalk) -> None:
    qun.group = group(rules=GroupRules(muted_until=qun.private.at + 60))
    assert await qun.ask("怎么退款") == ""


# What is private


PERSONAL = (
    *("我的券", "我的积分", "领券", "领券 早鸟", "兑换", "兑换 书签", "我的资料", "我的数据"),
    *("忘记我", "确认忘记", "订阅 新课", "退订", "我的课程", "我的作业", "交作业 1", "我的邀请"),
    *("我的会员", "邀请好友", "转人工", "继续", "补签", "不上榜", "我叫 小林", "我的订单", "确认"),
    *("我的积分有多少", "查一下我的积分吧", "帮我查一下我的券", "我退订成功了吗", "领优惠券 早鸟"),
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
    return sorted({word for rule in rules for word in rule.words} - {"确认忘记"})


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


# What follows


async def test_what_follows_an_answer_is_part_of_it_or_left_out(qun: GroupTalk) -> None:
    short, picture = Reply.text("还有一句。"), Reply.image("m1")
    told = await qun.hear(
        qun.message("@小知 怎么退款", addressed=True),
        lambda ctx: ctx.then.extend((short, picture, Reply.text("长" * 300))),
    )
    assert told == "七天内可以全额退款。\n还有一句。"


async def test_a_card_is_told_in_words(qun: GroupTalk) -> None:
    covered = item("py-new", "新编 Python", tags=("画图",), cover_url="https://shop.example/c.png")
    await qun.store.catalogue.put([covered], qun.private.at)
    await qun.private.reload()
    told = await qun.ask("#画图")
    assert "1. 新编 Python" in told
    assert "https://shop.example/py-new?m=0" in told
