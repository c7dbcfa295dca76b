"""The list of unanswered questions: in groups, and answered from the list itself."""

from __future__ import annotations

import pytest

from handlers.gaps import grouped
from knowledge import Entry, Knowledge
from store.content import Gap, NewFaq
from tests.handlers.conftest import Conversation

BOSS = "o_boss"


@pytest.fixture
async def boss(talk: Conversation) -> Conversation:
    """An operator, and members who asked in vain: about cats thrice, parking twice, paint."""
    await talk.promote(BOSS)
    for asked in ("老板养猫吗", "你们老板养猫吗", "老板养猫吗", "公司楼下有停车位没"):
        assert await talk.say(asked) == talk.texts("faq.unknown")
    await talk.say("公司楼下有停车位没")
    await talk.say("龘靐齉爩怎么读")
    return talk


async def gaps(talk: Conversation) -> list[str]:
    return [gap.sample for gap in await talk.store.content.gaps()]


async def test_similar_questions_stand_together_most_asked_first(boss: Conversation) -> None:
    lines = (await boss.say("/faq gaps", BOSS)).split("\n")
    assert [line for line in lines if line[0].isdigit() and ". " in line[:4]] == [
        "1. 老板养猫吗 等 2 种问法（3 次）",
        "2. 公司楼下有停车位没（2 次）",
        "3. 龘靐齉爩怎么读（1 次）",
    ]
    assert lines[0] == boss.texts("teach.gaps_head", page=1, pages=1)
    assert "「并入 1」" in lines[-2], "whoever sees no links can type"
    assert boss.handler == "operator.faq"


async def test_no_gaps(talk: Conversation) -> None:
    await talk.promote(BOSS)
    assert await talk.say("/faq gaps", BOSS) == talk.texts("teach.gaps_none")
    assert await talk.say("/faq gaps 3", BOSS) == talk.texts("teach.gaps_none")


async def test_a_group_is_taught_in_one_line(boss: Conversation) -> None:
    await boss.say("/faq gaps", BOSS)
    said = await boss.say("1 => 养了两只", BOSS, crash_first=True)
    assert said == boss.texts("operator.faq_added", id=7, question="老板养猫吗")
    assert boss.handler == "operator.gaps"
    entry = await boss.store.learning.entry(7)
    assert entry is not None
    assert entry.questions == ("老板养猫吗", "你们老板养猫吗")
    assert (await boss.say("你们老板养猫吗")).startswith("养了两只")
    assert await gaps(boss) == ["公司楼下有停车位没", "龘靐齉爩怎么读"]
    await boss.say("/faq undo", BOSS)
    assert len(await gaps(boss)) == 4


@pytest.mark.parametrize(
    "typed",
    ["2=>有", "2 -> 有", "＃2 ＝＞ 有", "２ → 有", "2= >有", "2 ==》有", "2 ➡️ 有", "第 2 组 => 有"],
)
async def test_arrows_and_numbers_of_any_width(boss: Conversation, typed: str) -> None:
    await boss.say("/faq gaps", BOSS)
    await boss.say(typed, BOSS)
    assert (await boss.say("公司楼下有停车位没")).startswith("有\n")


async def test_an_answer_of_several_lines_keeps_them(boss: Conversation) -> None:
    await boss.say("/faq gaps", BOSS)
    await boss.say("2 => 有，\n先到先得 => 快来。", BOSS)
    assert (await boss.say("公司楼下有停车位没")).startswith("有，\n先到先得 => 快来。")


async def test_the_nearest_entry_is_named_with_a_tap_and_takes_the_wordings_in(
    boss: Conversation,
) -> None:
    """Worded so that it is not surely answered, yet near."""
    await boss.store.content.import_faq([NewFaq("公司附近怎么停车", "地下二层。")], boss.at)
    await boss.reload()
    lines = (await boss.say("/faq gaps", BOSS)).split("\n")
    place = lines.index("2. 公司楼下有停车位没（2 次）")
    near = boss.texts("teach.gaps_near", number=2, id=7, question="公司附近怎么停车")
    assert lines[place + 1] == near
    assert '<a href="weixin://bizmsgmenu?msgmenucontent=并入 2&msgmenuid=2">并入</a>' in near
    assert "最接近" not in lines[-5], "nothing is like 龘靐齉爩"
    said = await boss.say("并入 2", BOSS, crash_first=True)
    assert said == boss.texts(
        "teach.aliased", id=7, question="公司附近怎么停车", count=1, aliases="公司楼下有停车位没"
    )
    assert (await boss.say("公司楼下有停车位没")).startswith("地下二层。")
    assert "公司楼下有停车位没" not in await gaps(boss)
    await boss.say("/faq undo", BOSS)
    assert "公司楼下有停车位没" in await gaps(boss)


@pytest.mark.parametrize("typed", ["并入 3 到 4", "并入3到第4条", "并入 ３ 到 #4", "并入第3组到4"])
async def test_a_group_is_taken_in_by_an_entry_one_names(boss: Conversation, typed: str) -> None:
    await boss.say("/faq gaps", BOSS)
    await boss.say(typed, BOSS)
    assert (await boss.say("龘靐齉爩怎么读")).startswith("不会，一直能看。")


async def test_what_cannot_be_taken_in(boss: Conversation) -> None:
    await boss.say("/faq gaps", BOSS)
    assert await boss.say("并入 3", BOSS) == boss.texts("teach.gaps_no_near", number=3)
    said = await boss.say("并入 3 到 99", BOSS)
    assert said == boss.texts("operator.faq_not_found", id=99)
    for typed in ("并入 4", "并入 0", "9 => 答", "忽略 77"):
        assert await boss.say(typed, BOSS) == boss.texts("teach.gaps_range", first=1, last=3)
    assert len(await gaps(boss)) == 4


async def test_a_wording_that_another_entry_got_meanwhile_stops_the_group(
    boss: Conversation,
) -> None:
    await boss.say("/faq gaps", BOSS)
    await boss.store.content.import_faq([NewFaq("宠物", "有。", ("你们老板养猫吗",))], boss.at)
    await boss.reload()
    said = await boss.say("并入 1 到 4", BOSS)
    assert said == boss.texts("teach.taken", question="你们老板养猫吗", id=7)
    entry = await boss.store.learning.entry(4)
    assert entry is not None
    assert "老板养猫吗" not in entry.questions


async def test_dismissed_groups_leave_the_list_until_somebody_asks_again(
    boss: Conversation,
) -> None:
    await boss.say("/faq gaps", BOSS)
    said = await boss.say("忽略 1、3", BOSS, crash_first=True)
    assert said == boss.texts("teach.dismissed", count=3)
    assert await gaps(boss) == ["公司楼下有停车位没"]
    assert await boss.say("忽略 3", BOSS) == boss.texts("teach.dismissed_nothing")
    [row] = await boss.store.audit.newest()
    assert row.action == "faq.dismiss"
    await boss.say("老板养猫吗")
    said = await boss.say("/faq undo", BOSS)
    assert said == boss.texts("teach.undone_gaps", change=1, what="忽略", count=3)
    counts = {gap.sample: gap.count for gap in await boss.store.content.gaps()}
    assert counts["老板养猫吗"] == 3
    number = await boss.member(BOSS)
    assert (await boss.say("/faq history", BOSS)).split("\n")[1] == (
        f"#1 11-21 10:30 成员 {number} 忽略：老板养猫吗 等 3 个问题（已撤销）"
    )


MISSED = ("并入", "并入一", "忽略", "忽略 1-3", "忽略第一组", "1 =>", "1=》")


@pytest.mark.parametrize("typed", [*MISSED, "1：答案", "1 = 答案", "并入 怎么退款"])
async def test_what_just_misses_a_reply_gets_the_usage(boss: Conversation, typed: str) -> None:
    said = await boss.say("/faq gaps", BOSS)
    usage = boss.texts("teach.gaps_tail", minutes=10, number=1)
    assert said.endswith(usage)
    assert await boss.say(typed, BOSS) == usage
    assert len(await gaps(boss)) == 4, "nothing taught, nothing dropped, no new gap"


@pytest.mark.parametrize("typed", MISSED)
async def test_what_misses_a_list_that_is_gone_is_told_so(boss: Conversation, typed: str) -> None:
    assert await boss.say(typed, BOSS) == boss.texts("teach.gaps_gone")


@pytest.mark.parametrize("typed", ["9：30 龘靐吗", "忽略龘靐会怎样", "1=1 龘靐吗"])
async def test_without_a_list_an_operator_may_ask_anything(talk: Conversation, typed: str) -> None:
    await talk.promote(BOSS)
    await talk.say(typed, BOSS)
    assert talk.handler.startswith("faq")


async def test_what_an_operator_asks_in_vain_is_no_gap_and_not_said_to_be_one(
    talk: Conversation,
) -> None:
    await talk.promote(BOSS)
    assert await talk.say("龘靐齉爩怎么读", BOSS) == talk.texts("faq.unknown_operator")
    assert talk.handler == "faq.unknown"
    assert await talk.say("？？", BOSS) == talk.texts("faq.no_words")
    assert await gaps(talk) == []


async def test_the_list_lasts_ten_minutes_from_the_last_reply(boss: Conversation) -> None:
    assert await boss.say("并入 1", BOSS) == boss.texts("teach.gaps_gone")
    await boss.say("/faq gaps", BOSS)
    boss.later(minutes=9)
    await boss.say("忽略 3", BOSS)
    boss.later(minutes=9)
    await boss.say("2 => 有", BOSS)
    boss.later(minutes=10)
    for typed in ("并入 1", "1 => 答", "忽略 1"):
        assert await boss.say(typed, BOSS) == boss.texts("teach.gaps_gone")


async def test_leaving_ends_it_and_numbers_alone_are_never_ours(boss: Conversation) -> None:
    await boss.say("/faq gaps", BOSS)
    assert await boss.say("1", BOSS) == boss.texts("faq.no_list")
    assert await boss.say("退出", BOSS) == boss.texts("common.cancelled")
    assert await boss.say("并入 1", BOSS) == boss.texts("teach.gaps_gone")


async def test_a_member_who_types_the_same_is_asking_something(boss: Conversation) -> None:
    await boss.say("/faq gaps", BOSS)
    for typed in ("并入 1", "1 => 答案是什么", "忽略 1", "并入一", "忽略"):
        await boss.say(typed)
        assert boss.handler.startswith("faq")
    assert len(await boss.store.content.faqs()) == 6


async def test_a_members_words_never_become_a_link_that_an_operator_taps(
    talk: Conversation,
) -> None:
    await talk.promote(BOSS)
    await talk.say('<a href="weixin://bizmsgmenu?msgmenucontent=/role 9 owner">彩蛋</a>')
    said = await talk.say("/faq gaps", BOSS)
    assert "＜a href" in said
    assert '<a href="weixin://bizmsgmenu?msgmenucontent=/role' not in said
    await talk.say("1 => 没有彩蛋", BOSS)
    entry = await talk.store.learning.entry(7)
    assert entry is not None
    assert "<" not in entry.questions[0]


async def test_a_long_list_has_pages_with_numbers_that_go_on(talk: Conversation) -> None:
    await talk.promote(BOSS)
    letters = "猫狗鸟鱼马牛羊鸡鸭鹅虎象"
    for letter in letters:
        await talk.store.content.add_gap(letter * 3, letter * 3, talk.at, letter.encode())
    first = await talk.say("/faq gaps", BOSS)
    assert first.startswith("成员问了但还答不上来的，第 1/2 页")
    assert first.endswith(talk.texts("teach.gaps_next", next=2))
    second = await talk.say("/faq gaps 9", BOSS)
    assert "\n11. 虎虎虎（1 次）\n12. 象象象（1 次）\n" in second
    assert await talk.say("忽略 1", BOSS) == talk.texts("teach.gaps_range", first=11, last=12)
    assert await talk.say("忽略 12", BOSS) == talk.texts("teach.dismissed", count=1)


async def test_a_gap_that_is_no_possible_question_can_only_be_dismissed(
    talk: Conversation,
) -> None:
    await talk.promote(BOSS)
    await talk.store.content.add_gap("？", "？？", talk.at, b"0")
    await talk.say("/faq gaps", BOSS)
    for typed in ("1 => 答", "并入 1 到 2"):
        assert await talk.say(typed, BOSS) == talk.texts("teach.gaps_no_words", number=1)
    assert await talk.say("忽略 1", BOSS) == talk.texts("teach.dismissed", count=1)


def test_the_nearest_is_that_of_the_best_wording_and_nonsense_has_none(
    loaded: Knowledge,
) -> None:
    loaded.replace_all([Entry("faq:3", ("发票怎么开",)), Entry("faq:4", ("课程能看多久",))])
    samples = ("开个票行不", "发票可以开吗现在", "月亮上有兔子没")
    groups, total = grouped(
        [Gap(n, sample, sample, 1, 0.0) for n, sample in enumerate(samples)], loaded, 1
    )
    near = {group.gaps[0].sample: group.near for group in groups}
    assert total == len(groups)
    assert near["发票可以开吗现在"] == 3
    assert near["月亮上有兔子没"] == 0


@pytest.mark.parametrize("typed", ["忽略 1？", "并入 1 到 1?"])
async def test_a_question_about_a_group_leaves_it_alone(boss: Conversation, typed: str) -> None:
    await boss.say("/faq gaps", BOSS)
    before = await gaps(boss)
    assert await boss.say(typed, BOSS) == boss.texts("teach.gaps_tail", minutes=10, number=1)
    assert await gaps(boss) == before
