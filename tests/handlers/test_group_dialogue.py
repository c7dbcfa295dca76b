"""What the bot says in a group: short, once, and nothing that is private."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from handlers.calm import Calm
from handlers.group_said import for_all, shortened, without_number_advice
from handlers.message import Reply
from store.catalogue import Chapter
from store.content import NewFaq
from store.groups import GroupRules, Seen
from tests.handlers.conftest import Conversation, item
from tests.handlers.in_group import BOT, WHISPERING, GroupTalk, group

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
    assert (await qun.hear(picture)).startswith("图片收到了")
    assert qun.handler.startswith("media")
    assert await qun.hear(replace(qun.message(""), kind="image")) == ""


async def test_events_of_a_group_say_nothing(qun: GroupTalk) -> None:
    came = replace(qun.message(""), kind="event", event="group_join")
    assert await qun.hear(came) == ""
    qun.group = group(bound_at=None)
    assert await qun.hear(came) == ""


# Choosing


async def test_an_offer_has_a_head_and_three_lines_and_a_number_picks(
    hesitant: Conversation,
) -> None:
    qun = GroupTalk(hesitant)
    offered = await qun.ask("退款报名发票")
    assert qun.handler == "faq.offer"
    head, *lines = offered.splitlines()
    assert head == hesitant.texts("group.unsure")
    assert [line[:3] for line in lines] == ["1. ", "2. ", "3. "]
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


async def test_whoever_quotes_a_list_picks_from_it(qun: GroupTalk) -> None:
    listed = await qun.ask("课程", "o_a")
    second = re.search(r"2\. (.+?)（", listed)
    assert second is not None
    quoted = await qun.say("2", "o_b", addressed=True, quotes="m1", quoted=listed)
    assert f"《{second[1]}》" in quoted
    assert qun.handler == "content"


async def test_who_mentions_the_bot_picks_from_the_list_that_stands_there_last(
    qun: GroupTalk,
) -> None:
    await qun.ask("课程", "o_a")
    newest = await qun.ask("最新", "o_b")
    first = re.search(r"1\. (.+?)（", newest)
    assert first is not None
    assert f"《{first[1]}》" in await qun.ask("第一个", "o_c")
    qun.private.later(minutes=11)
    assert "《" not in await qun.ask("2", "o_d")


async def test_of_two_lists_the_quoted_one_is_meant(qun: GroupTalk) -> None:
    courses, newest = await qun.ask("课程", "o_a"), await qun.ask("#Python", "o_a")
    for listed in (courses, newest, courses):
        title = re.findall(r"2\. (.+?)（", listed)[0]
        told = await qun.say("2", "o_a", addressed=True, quotes="m1", quoted=listed)
        assert title in told
        qun.private.later(minutes=1)
        qun.speech = replace(qun.speech, repeat_minutes=0)


async def test_the_list_of_another_group_is_not_picked_from(qun: GroupTalk) -> None:
    listed = await qun.ask("课程", "o_a")
    qun.group = group(id=2, place="qun:2@chatroom", external_id="2@chatroom")
    assert "《" not in await qun.ask("2", "o_b")
    await qun.say("2", "o_b", addressed=True, quotes="m1", quoted=listed)
    assert "《" not in qun.reply.content


async def test_what_nobody_offered_is_no_list(qun: GroupTalk) -> None:
    await qun.ask("课程", "o_a")
    steps = "按下面做：\n1. 打开我的\n2. 点头像\n3. 上传"
    await _teach(qun, steps)
    assert await qun.ask("证书怎么领取") == steps
    told = await qun.say("2", addressed=True, quotes="m9", quoted=steps, quotes_who=BOT)
    assert told == qun.private.texts("group.no_list")


async def test_chapters_are_no_list(qun: GroupTalk) -> None:
    chapters = tuple(Chapter(str(number), f"第 {number} 步") for number in range(1, 4))
    await qun.store.catalogue.put([item("steps", "三步走", chapters=chapters)], qun.private.at)
    await qun.private.reload()
    told = await qun.ask("三步走有哪些章节")
    assert "2. 第 2 步" in told
    assert "回复数字" not in told


async def test_a_cut_list_goes_on_where_it_was_cut(qun: GroupTalk) -> None:
    more = [item(f"long-{n}", f"第{n}门课，名字很长很长，讲了很多很多的东西") for n in range(12)]
    await qun.store.catalogue.put(more, qun.private.at)
    await qun.private.reload()
    seen = []
    told = await qun.ask("课程")
    while told.endswith(qun.private.texts("group.pick_more")):
        listed = re.findall(r"\d\. (.+?)（", told)
        assert len(told) < 260
        assert len(qun.options) == len(listed) >= 3
        seen += listed
        assert "《" not in await qun.ask(str(len(listed) + 1)), "what is not shown is not picked"
        told = await qun.ask("更多")
    seen += re.findall(r"\d\. (.+?)（", told)
    assert sorted(seen) == sorted(one.title for one in qun.private.items.values())


async def test_the_same_page_again_after_a_crash(qun: GroupTalk) -> None:
    more = [item(f"long-{n}", f"第{n}门课，名字很长很长，讲了很多很多的东西") for n in range(12)]
    await qun.store.catalogue.put(more, qun.private.at)
    await qun.private.reload()
    await qun.ask("课程")
    wish = qun.message("@小知 更多", addressed=True)
    told = await qun.hear(wish)
    assert await qun.hear(wish) == told


async def test_one_question_alone_is_asked_as_one(hesitant: Conversation) -> None:
    qun = GroupTalk(hesitant)
    offered = await qun.ask("发票能开不")
    assert qun.handler == "faq.offer"
    if offered.count("\n") == 1:
        assert offered.startswith(hesitant.texts("group.unsure_one"))
    else:
        assert offered.startswith(hesitant.texts("group.unsure"))


# Advice that works in a group


async def test_advice_is_worded_for_a_group(qun: GroupTalk) -> None:
    assert await qun.ask("怎么报名") == "@我 发「课程」挑一门。"
    assert "回复" not in (await qun.ask("你好")).replace("@我", "")
    assert "私聊我发「转人工」" in await qun.ask("你是谁")
    assert (await qun.ask("课程")).startswith("这些内容可以学：\n1. ")


@pytest.mark.parametrize(
    ("private", "for_group"),
    [
        ("回复「目录」看每一章", "@我 发「目录」看每一章"),
        ("不想收就回复「退订」", "不想收就私聊我发「退订」"),
        ("请回复「目录」或「退订」", "私聊我发「目录」或「退订」"),
        ("「我的券」里有", "「我的券」里有"),
        ("我们会回复你", "我们会回复你"),
        ("", ""),
    ],
)
def test_what_to_reply_is_said_as_what_to_say_there(private: str, for_group: str) -> None:
    assert for_all(private, {"退订"}.__contains__) == for_group


@pytest.mark.parametrize(
    ("head", "bare"),
    [
        ("这些内容可以学，回复数字看详情：", "这些内容可以学："),
        ("也许你想看（回复数字）：", "也许你想看："),
        ("按分类看，回复数字选一个：", "按分类看："),
        ("你问的是哪一个？回复数字告诉我：", "你问的是哪一个？"),
        ("没有了", "没有了"),
        ("", ""),
    ],
)
def test_a_head_says_nothing_of_bare_numbers(head: str, bare: str) -> None:
    assert without_number_advice(head) == bare


async def test_how_to_leave_a_group_is_not_how_to_join_one(qun: GroupTalk) -> None:
    join = NewFaq("怎么加入学习群", "扫课程页的二维码。", ("怎么进群", "拉我进群"))
    await qun.store.content.import_faq([join], qun.private.at)
    await qun.private.reload()
    for text in ("退群", "怎么退群", "我要退出这个群", "退群怎么弄"):
        assert "二维码" not in await qun.ask(text), text
        assert qun.handler in ("about.leave_group", "group.repeated")
    assert "二维码" in await qun.ask("怎么进群")


async def test_who_wants_quiet_has_asked_nothing(qun: GroupTalk) -> None:
    await qun.private.promote("o_op")
    for text in ("闭嘴", "你走开", "别说话了"):
        assert await qun.ask(text) == qun.private.texts("group.hush")
    assert await qun.ask("闭嘴", "o_op") == qun.private.texts("group.hush_operator")
    assert await qun.store.content.gaps(10) == []


# Not known


async def test_what_nobody_knows_is_said_so_in_one_line_and_noted(qun: GroupTalk) -> None:
    for number, said in enumerate(("@小知 火星上有没有食堂", "小知 木星上有没有食堂"), 1):
        told = await qun.say(said, addressed=said.startswith("@"))
        assert told == qun.private.texts("group.unknown")
        assert len(await qun.store.content.gaps(10)) == number


async def test_what_is_hardly_related_is_not_dropped_into_a_group(qun: GroupTalk) -> None:
    assert await qun.ask("今天天气怎么样") == qun.private.texts("group.unknown")
    assert qun.options == []


async def test_another_unknown_question_is_answered_too(qun: GroupTalk) -> None:
    qun.speech = replace(qun.speech, calms={"qun": Calm(600)})
    line = qun.private.texts("group.unknown")
    assert await qun.ask("火星上有没有食堂") == line
    assert await qun.ask("木星上有没有食堂") == line
    assert await qun.ask("火星上有没有食堂") == "", "the same again is told once"


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


async def test_an_answer_is_given_once_and_then_only_in_one_line(qun: GroupTalk) -> None:
    assert await qun.ask("怎么退款", "o_a") == "七天内可以全额退款。"
    for who in ("o_b", "o_c", "o_d"):
        told = await qun.ask("如何申请退款", who)
        assert told == "这个刚才在群里回答过：七天内可以全额退款。"
        assert qun.handler == "group.repeated"
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


async def test_a_keyword_said_again_is_pointed_at_once_and_then_left(qun: GroupTalk) -> None:
    ranking = await qun.say("排行榜", "o_a")
    assert await qun.say("排行榜", "o_b") == qun.private.texts("group.said") != ranking
    assert await qun.say("排行榜", "o_c") == ""
    assert await qun.ask("排行榜", "o_c") == qun.private.texts("group.said")


async def test_another_period_is_another_ranking_and_ones_place_is_ones_own(
    qun: GroupTalk,
) -> None:
    qun.channels = WHISPERING
    told = [await qun.ask(text) for text in ("排行榜", "排行榜 周", "总榜")]
    assert len(set(told)) == 3
    assert "本月" in told[0]
    assert "本周" in told[1]
    assert await qun.ask("我排第几") == qun.private.texts("group.whispered")
    assert len(qun.aside) == 1
    assert await qun.say("我排第几") == ""


async def test_a_command_is_for_private_and_members_hear_that_it_is_not_theirs(
    qun: GroupTalk,
) -> None:
    await qun.private.promote("o_op")
    await qun.private.promote("o_an", "analyst")
    line = qun.private.texts("group.command_private")
    assert await qun.say("/stats", "o_op") == line
    assert await qun.ask("/stats", "o_op") == line
    assert await qun.ask("/nonsense x", "o_op") == line
    assert await qun.say("/stats", "o_an") == line
    for text in ("/stats", "/claim 7KQM-2X9D"):
        assert await qun.say(text) == ""
        assert await qun.ask(text) == qun.private.texts("operator.not_allowed")
    assert await qun.say("/help") == ""
    assert await qun.ask("/help") == qun.private.texts("group.help")
    await qun.ask("/claim 7KQM-2X9D")
    assert qun.ctx is not None
    assert "7KQM" not in (qun.ctx.logged or "7KQM")
    assert await qun.private.codes.unused()


async def test_a_muted_bot_answers_nothing(qun: GroupTalk) -> None:
    qun.group = group(rules=GroupRules(muted_until=qun.private.at + 60))
    assert await qun.ask("怎么退款") == ""


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
