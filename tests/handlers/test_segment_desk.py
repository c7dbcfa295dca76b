"""/segment in the chat: what rules find, and rules that get a name."""

from __future__ import annotations

import pytest

from handlers.rule_words import fault
from handlers.texts import Texts
from store.campaigns import NewCampaign, Variant
from store.members import Member
from store.rules import BUILT_IN, RuleError, parse
from tests.handlers.conftest import CHANNEL, Conversation
from tests.store.rows import change_file

T = Texts.load()
BOSS, ANNA, LIN = "o_boss", "o_anna", "o_lin"


async def role(talk: Conversation, who: str, role: str) -> Member:
    member = await talk.store.members.meet(CHANNEL, who, talk.at)
    await talk.store.members.set_role(member.id, role)
    return member


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    """A boss, and 20 members of whom five carry a tag."""
    await role(talk, BOSS, "operator")
    for number in range(19):
        member = await talk.store.members.meet(CHANNEL, f"o_{number}", talk.at - number * 86_400)
        if number < 5:
            await talk.store.tags.add(member.id, "python", talk.at, limit=9)
    return talk


async def save(talk: Conversation, text: str) -> str:
    await talk.say(f"/segment save {text}", BOSS)
    return await talk.say("确认", BOSS)


async def test_an_operator_counts_saves_uses_changes_and_removes(desk: Conversation) -> None:
    assert await desk.say("/segment", BOSS) == T("segment.usage")
    assert await desk.say("/segment count tag:python", BOSS) == (
        "符合的有 5 位，占全部 20 位的 25.0%。\n比如成员 2、3、4、5、6"
    )
    asked = await desk.say("/segment save 学员 tag:python", BOSS)
    assert asked.startswith("把「学员」存为：tag:python\n符合的有 5 位")
    assert await desk.store.segments.all() == []
    assert await desk.say("确认", BOSS) == T("segment.saved", name="学员")
    assert await save(desk, "“Old  Hands” = segment:学员 and not new 2d") == (
        '存好了。规则里写 人群:"old hands" 就能用。'
    )
    shown = await desk.say('/segment show "old hands"', BOSS)
    assert shown.startswith(
        "old hands：segment:学员 and not new 2d\n2026-11-21 最后改动，由 成员 1 建立。"
    )
    assert "符合的有 2 位" in shown
    assert await desk.say("/segment list", BOSS) == (
        "存好的人群（2 个）：\nold hands：segment:学员 and not new 2d\n学员：tag:python\n"
        "自带的：new、active、quiet、about to leave、快流失"
    )
    changed = await desk.say("/segment save 学员 tag:python or tag:写作", BOSS)
    assert "原来是：tag:python" in changed
    assert T("segment.change_users", uses="人群「old hands」") in changed
    assert await desk.say("确认", BOSS) == T("segment.changed", name="学员")
    assert await desk.say("/segment remove 学员", BOSS) == T(
        "segment.in_use", name="学员", uses="人群「old hands」"
    )
    await desk.say('/segment remove "Old Hands"', BOSS)
    assert await desk.say("确认", BOSS) == T("segment.removed", name="old hands")
    rows = await desk.store.audit.newest()
    assert [row.action for row in rows] == ["segment.remove", *["segment.save"] * 3]


async def test_the_same_confirmation_twice_saves_once(desk: Conversation) -> None:
    await desk.say("/segment save 学员 tag:python", BOSS)
    assert await desk.say("确认", BOSS, crash_first=True) == T("segment.saved", name="学员")
    await desk.say("/segment remove 学员", BOSS)
    assert await desk.say("确认", BOSS, crash_first=True) == T("segment.removed", name="学员")
    assert len(await desk.store.audit.newest()) == 2


async def test_an_analyst_looks_but_changes_nothing(desk: Conversation) -> None:
    await save(desk, "学员 tag:python")
    await role(desk, ANNA, "analyst")
    assert "5 位" in await desk.say("/segment count tag:python", ANNA)
    assert "学员" in await desk.say("/segment list", ANNA)
    assert "tag:python" in await desk.say("/segment show 学员", ANNA)
    for text in ("/segment save x new", "/segment remove 学员"):
        assert await desk.say(text, ANNA) == T("operator.read_only")
    assert await desk.say("/segment list", LIN) == T("operator.not_allowed")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("count", T("segment.count_usage")),
        ("count tag:none", f"{T('segment.count_none')}\n「标签:none」找不到这个值，请核对。"),
        ("show", T("segment.which", verb="show")),
        ("show ghost", T("segment.unknown", name="ghost")),
        ("show 学院", T("segment.near", name="学院", near="学员")),
        ("save", T("segment.save_usage")),
        ("save 新人", T("segment.save_usage")),
        ('save "" new', T("segment.save_usage")),
        ("save new tag:a", T("segment.taken", name="new")),
        ("save 学员 tag:python", T("segment.same", name="学员")),
        (f"save {'长' * 41} new", T("segment.bad_name", limit=40)),
        ("remove", T("segment.which", verb="remove")),
        ("remove quiet", T("segment.taken", name="quiet")),
        ("remove ghost", T("segment.unknown", name="ghost")),
        ("sav x new", T("segment.meant", typed="sav", verb="save")),
        ("12345", T("segment.usage")),
    ],
)
async def test_what_cannot_be_done_says_why(desk: Conversation, typed: str, said: str) -> None:
    await save(desk, "学员 tag:python")
    assert await desk.say(f"/segment {typed}", BOSS) == said


async def test_a_rule_that_cannot_be_followed_is_quoted_with_its_place(desk: Conversation) -> None:
    said = await desk.say("/segment count active 30 and tag:a", BOSS)
    assert said == (
        "规则从第 8 个字「30 and tag:a」起看不懂："
        "这里要写多久，如 30天、12小时、90分钟，最长 3650 天。"
    )
    said = await desk.say("/segment save x tag:a and", BOSS)
    assert said == "规则没写完：这里要写一个条件，如 标签:Python。"
    said = await desk.say("/segment save x new or segment:x", BOSS)
    assert said == "规则从第 8 个字「segment:x」起看不懂：人群绕回了自己：x > x。"
    assert await desk.say("确认", BOSS) == T("operator.confirm_nothing")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("标签:Pyton", "「标签:Pyton」找不到这个值，是不是「标签:python」？"),
        ("tag:python 且 非 话题:足球", "「话题:足球」找不到这个值，请核对。"),
    ],
)
async def test_a_value_nobody_knows_is_told_when_counting_and_saving(
    desk: Conversation, rule: str, said: str
) -> None:
    counted = (await desk.say(f"/segment count {rule}", BOSS)).splitlines()
    asked = (await desk.say(f"/segment save 班 {rule}", BOSS)).splitlines()
    assert counted[-1] == said
    assert said in asked, "it may still be saved: who will carry the tag comes later"
    assert "存好了" in await desk.say("确认", BOSS)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("标签名:x", "没有「标签名」这个条件，是不是 标签（tag）？"),
        ("levl>=2", "没有「levl」这个条件，是不是 等级（level）？"),
        ("颜色:红", "没有「颜色」这个条件，可以用：活跃（active）、沉默（quiet）、新（new）"),
        ("做过:睡觉", "做过（did）后面可以写 签到、作业、竞赛、邀请。"),
    ],
)
async def test_what_is_no_condition_is_answered_in_chinese(
    desk: Conversation, rule: str, said: str
) -> None:
    assert said in await desk.say(f"/segment count {rule}", BOSS)


async def test_a_rule_in_chinese_counts_like_the_other(desk: Conversation) -> None:
    said = await desk.say("/segment count 标签：python 且 活跃30天", BOSS)
    assert said == await desk.say("/segment count tag:python and active 30d", BOSS)


async def test_what_changed_between_asking_and_confirming_is_looked_at_again(
    desk: Conversation,
) -> None:
    await save(desk, "a new")
    await desk.say("/segment save b segment:a", BOSS)
    change_file(desk.store.db.path, "delete from segments")
    assert "没有名叫「a」的人群" in await desk.say("确认", BOSS)
    await save(desk, "a new")
    await desk.say("/segment remove a", BOSS)
    change_file(
        desk.store.db.path,
        "insert into segments (name, rule, created_at, created_by, updated_at) "
        "values ('b', 'segment:a', 0, 'cli', 0)",
    )
    assert await desk.say("确认", BOSS) == T("segment.in_use", name="a", uses="人群「b」")


async def test_a_segment_whose_part_is_gone_can_still_be_looked_at(desk: Conversation) -> None:
    await save(desk, "a new")
    await save(desk, "b segment:a")
    change_file(desk.store.db.path, "delete from segments where name = 'a'")
    shown = await desk.say("/segment show b", BOSS)
    assert shown.startswith("b：segment:a\n")
    assert "没有名叫「a」的人群" in shown


async def test_segments_of_every_store_are_shown_with_their_numbers(desk: Conversation) -> None:
    shown = await desk.say("/segment show 快流失", BOSS)
    assert shown.startswith(f"快流失：{BUILT_IN['快流失']}\n")


async def test_a_long_list_ends_with_how_many_more(desk: Conversation) -> None:
    for number in range(17):
        change_file(
            desk.store.db.path,
            "insert into segments (name, rule, created_at, created_by, updated_at) "
            "values (?, ?, 0, 'cli', 0)",
            (f"s{number:02}", " or ".join(["tag:long"] * 20)),
        )
    said = await desk.say("/segment list", BOSS)
    assert T("segment.more", count=2) in said
    assert len(said.encode()) < 2048


@pytest.mark.parametrize(
    "text",
    [
        "",
        "colour:red",
        "levle>=2",
        "x" * 1001,
        " and ".join(["new"] * 51),
        "(" * 21 + "new",
        "and",
        "new new",
        "tag",
        "tag:",
        "tag:\x01",
        "did:x",
        "level>=x",
        "new 0d",
        "(new",
        "new)",
        'tag:"',
        "everyone and new",
    ],
)
def test_every_fault_of_a_rule_has_a_sentence(text: str) -> None:
    with pytest.raises(RuleError) as bad:
        parse(text)
    assert fault(T, bad.value, text).startswith("规则")


def test_a_rule_that_took_too_long_is_no_mistake_at_a_place() -> None:
    said = fault(T, RuleError("too-slow", 1, "a rule that takes less time"), "tag:a")
    assert said == "这条规则查得太久，已经停下。请少写几个条件，或拆成几条。"


async def test_a_campaign_that_uses_a_segment_is_called_as_the_chat_calls_it(
    desk: Conversation,
) -> None:
    await save(desk, "班 tag:python")
    await desk.store.campaigns.create(
        NewCampaign(
            title="直播",
            channel=CHANNEL,
            audience="segment:班",
            variants=(Variant(content={"kind": "text", "text": "今晚直播"}),),
            routes=("custom",),
        ),
        desk.at,
        "member:1",
        b"k" * 16,
        None,
    )
    assert await desk.say("/segment remove 班", BOSS) == "「班」还在用，不能删：活动 1"


async def test_offers_and_quizzes_name_only_segments_that_there_are(desk: Conversation) -> None:
    offer = "/coupon new 早鸟 | 立减50元 | 给 not tag:x and segment:fans"
    quiz = "/quiz new 小测\n对象：segment:fans\n参与: 5积分\n1. 一加一？\nA. 1\n*B. 2"
    lost = "没有名叫「fans」的人群"
    assert lost in await desk.say(offer, BOSS)
    assert lost in await desk.say(quiz, BOSS)
    await save(desk, "fans tag:python")
    assert lost not in await desk.say(offer, BOSS)
    assert lost not in await desk.say(quiz, BOSS)
    await desk.say(offer, BOSS)
    await desk.say("确认", BOSS)
    assert await desk.say("/segment remove fans", BOSS) == T(
        "segment.in_use", name="fans", uses="优惠券「早鸟」"
    )
    assert "领" in await desk.say("领券 早鸟", "o_0")
    mine = await desk.store.coupons.of(2, desk.at)
    assert [offer.word for _, offer in mine] == ["早鸟"]
    assert await desk.say("领券 早鸟", "o_9")
    assert await desk.store.coupons.of(11, desk.at) == []
