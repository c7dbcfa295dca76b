"""/campaign: what each verb says and does, who may, and what is refused with which words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from handlers.campaign_asked import refused
from handlers.campaign_desk import FOR_ANALYSTS
from handlers.campaigning import Answer, Said, Who
from store.campaigns import Campaign
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation

BOSS, ANA, OWNER = "o_boss", "o_ana", "o_owner"
FORM = "开课通知\n对象：active 30d\n对照：无\n文字：明天开课\n回复「退订」不再收到"
VERBS = (
    "new",
    "edit",
    "preview",
    "lint",
    "confirm",
    "schedule",
    "pause",
    "resume",
    "cancel",
    "undo",
    "report",
    "unknown",
    "list",
    "show",
)


@pytest.fixture
async def scene(talk: Conversation) -> Campaigning:
    scene = Campaigning(talk)
    await talk.promote(BOSS)
    await talk.promote(ANA, "analyst")
    await talk.promote(OWNER, "owner")
    await scene.fans("o_fan1", "o_fan2")
    return scene


@pytest.fixture
def boss(scene: Campaigning) -> Conversation:
    return scene.talk


async def one(talk: Conversation, number: int = 1) -> Campaign:
    found = await talk.store.campaigns.get(number)
    assert found is not None
    return found


async def make(talk: Conversation, form: str = FORM) -> str:
    """Makes campaign 1 and says the code of its preview, "" when it shows none."""
    said = await talk.say(f"/campaign new {form}", BOSS, crash_first=True)
    return code_in(said)


def code_in(said: str) -> str:
    found = re.search(r"「确认 ([0-9A-Z]{4})」", said)
    return found[1] if found else ""


# Who may


async def test_members_are_refused_and_analysts_only_look(boss: Conversation) -> None:
    await make(boss)
    for verb in VERBS:
        assert await boss.say(f"/campaign {verb} 1") == boss.texts("operator.not_allowed")
        said = await boss.say(f"/campaign {verb} 1", ANA)
        assert (said == boss.texts("operator.read_only")) is (verb not in FOR_ANALYSTS), verb


async def test_an_analyst_sees_no_code_and_settles_nothing(boss: Conversation) -> None:
    code = await make(boss)
    assert code
    said = await boss.say("/campaign preview 1", ANA)
    assert "开课通知" in said
    assert code_in(said) == ""
    assert await boss.say("/campaign preview 1 手机", ANA) == boss.texts("operator.read_only")
    assert await boss.say("/campaign unknown 已收到 1", ANA) == boss.texts("operator.read_only")
    assert await boss.say(f"确认 {code}", ANA) == boss.texts("operator.read_only")
    assert (await one(boss)).status == "draft"


async def test_without_a_desk_it_says_so(talk: Conversation) -> None:
    await talk.promote(BOSS)
    assert await talk.say("/campaign list", BOSS) == talk.texts("campaign.off")
    assert await talk.say("/campaign new", BOSS) == talk.texts("campaign.off")


# Making and changing


async def test_a_form_makes_a_draft_once_and_previews_it(boss: Conversation) -> None:
    said = await boss.say(f"/campaign new {FORM}", BOSS, crash_first=True)
    for piece in (
        "活动 1《开课通知》草稿",
        "给：最近 30 天来过的人",
        "明天开课",
        "确认后马上",
        "客服消息",
    ):
        assert piece in said
    assert [found.id for found in await boss.store.campaigns.all()] == [1]
    assert boss.item == "campaign:1"


async def test_a_form_that_cannot_be_read_is_answered_line_by_line(boss: Conversation) -> None:
    said = await boss.say("/campaign new 开课\n对像：tag:a\n时间：昨天\n随便\n文字：好", BOSS)
    assert "请写发给谁" in said
    assert "第 2 行：没有「对像：tag:a」这一项，是不是「对象」？" in said
    assert "第 3 行：" in said
    assert "第 4 行：「随便」不知道是哪一项" in said
    assert await boss.store.campaigns.all() == []


async def test_a_rule_is_quoted_where_it_breaks(boss: Conversation) -> None:
    said = await boss.say("/campaign new 开课\n对象：active 30d and tagg:a\n文字：好", BOSS)
    assert "「tagg:a」" in said


async def test_a_broken_template_is_named_and_not_confirmed(boss: Conversation) -> None:
    said = await boss.say("/campaign new 开课\n对象：active 30d\n文字：好 {{ pionts }} 退订", BOSS)
    assert "[错误]" in said
    assert code_in(said) == ""


async def test_a_segment_that_is_not_there_makes_no_silent_campaign(boss: Conversation) -> None:
    said = await boss.say("/campaign new 开课\n对象：segment:没有\n文字：好，退订", BOSS)
    assert "活动 1 存下了，但还发不了" in said
    assert "segment:没有" in said
    assert "还发不了" in await boss.say("/campaign confirm 1 2222", BOSS)


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("标题 新名字", "title", "新名字"),
        ("对象：tag:vip", "audience", "tag:vip"),
        ("时间 每天 9:00", "cron", "0 9 * * *"),
        ("\n话题：直播\n目标：回复", "topic", "直播"),
    ],
)
async def test_an_edit_shows_the_whole_again_with_another_code(
    boss: Conversation, typed: str, field: str, value: Any
) -> None:
    code = await make(boss)
    said = await boss.say(f"/campaign edit 1 {typed}", BOSS, crash_first=True)
    assert "活动 1《" in said
    assert code_in(said) != code
    assert getattr(await one(boss), field) == value


@pytest.mark.parametrize(
    ("typed", "changed", "shown"),
    [
        ("目标 购买 7天", "目标：回复 3天 → 购买 7天", "目标：购买，统计 7 天"),
        ("性质 通知", "性质：营销 → 通知", "性质：通知，不是营销"),
        ("对照 10%", "对照：无 → 10%", "对照 10%"),
        ("截止 明天 9:00", "截止：无 → 2026-11-22 09:00", "截止：明天 09:00 前要开始"),
        ("账号 mp2", "账号：mp → mp2", "账号：mp2"),
        ("方式 客服消息", "方式：客服消息、群发 → 客服消息", "方式：客服消息 2 人"),
        ("话题 直播", "话题：无 → 直播", "话题：直播"),
        ("文字 后天开课", "内容 A", "后天开课\n回复「退订」不再收到"),
    ],
)
async def test_an_edit_says_what_it_changed_and_the_preview_shows_it(
    boss: Conversation, typed: str, changed: str, shown: str
) -> None:
    await make(boss)
    said = await boss.say(f"/campaign edit 1 {typed}", BOSS)
    assert said.splitlines()[0] == f"改了：{changed}"
    assert shown in said
    assert "之前的确认" not in said, "nobody had confirmed it"


async def test_a_test_of_two_wordings_is_in_the_preview(boss: Conversation) -> None:
    two = "版本 A\n文字：一，回复退订不再收到\n版本 B\n文字：二，回复退订不再收到"
    said = await make_text(boss, f"开课\n对象：active 30d\n试发：10% 2小时\n{two}")
    assert "试发：先给 10% 的人，2 小时后把好的发给其余的人" in said


async def make_text(talk: Conversation, form: str) -> str:
    return str(await talk.say(f"/campaign new {form}", BOSS))


async def test_an_edit_takes_its_confirmation_away(boss: Conversation) -> None:
    code = await make(boss, f"{FORM.replace('文字', '时间：明天 9:00' + chr(10) + '文字')}")
    await boss.say(f"确认 {code}", BOSS)
    assert (await one(boss)).status == "scheduled"
    said = await boss.say("/campaign edit 1 标题 新名字", BOSS)
    assert boss.texts("campaign.unconfirmed") in said
    assert (await one(boss)).status == "draft"
    await boss.say(f"确认 {code_in(said)}", BOSS)
    said = await boss.say("/campaign schedule 1 明天 10:00", BOSS)
    assert said.startswith("改了：时间：2026-11-22 09:00 → 2026-11-22 10:00\n")
    assert boss.texts("campaign.unconfirmed") in said
    await boss.say(f"确认 {code_in(said)}", BOSS)
    said = await boss.say("/campaign undo 1", BOSS)
    assert said.startswith(boss.texts("campaign.unconfirmed"))


async def test_one_that_stands_still_says_how_to_change_it(boss: Conversation) -> None:
    code = await make(boss, FORM.replace("文字", "时间：明天 9:00\n文字"))
    await boss.say(f"确认 {code}", BOSS)
    assert "还没开始发" in await boss.say("/campaign 停 1", BOSS)
    said = await boss.say("/campaign edit 1 标题 新名字", BOSS)
    assert said == boss.texts("campaign.not_edit_paused", campaign=1)
    await boss.say("/campaign resume 1", BOSS)
    assert "《新名字》" in await boss.say("/campaign edit 1 标题 新名字", BOSS)


async def test_the_form_that_edit_shows_can_be_sent_back(boss: Conversation) -> None:
    await make(boss)
    before = await one(boss)
    said = await boss.say("/campaign edit 1", BOSS)
    form = said[said.index("标题：") :]
    await boss.say(f"/campaign edit 1\n{form}", BOSS)
    assert (await one(boss)).new == before.new


async def test_undo_takes_the_last_change_back_and_then_all_of_it(boss: Conversation) -> None:
    await make(boss)
    await boss.say("/campaign edit 1 标题 新名字", BOSS)
    said = await boss.say("/campaign undo 1", BOSS, crash_first=True)
    assert said.startswith(boss.texts("campaign.undone"))
    assert "《开课通知》" in said
    assert await boss.say("/campaign undo 1", BOSS) == boss.texts("campaign.undone_all", campaign=1)
    assert (await one(boss)).status == "cancelled"


async def test_a_time_that_is_not_clear_changes_nothing(boss: Conversation) -> None:
    await make(boss)
    for typed, says in {
        "": "什么时候？",
        "明天": "请加上几点",
        "今天 9:00": "已经过了",
        "2-30 9:00": "没有这一天",
    }.items():
        assert says in await boss.say(f"/campaign schedule 1 {typed}", BOSS)
    assert (await one(boss)).starts_at is None


TIMES = {
    "今晚8点": "时间：今天 20:00",
    "明天 9:00": "时间：明天 09:00",
    "2026-12-01 20:00": "时间：12月1日 20:00",
    "每周一、三 9:00": "时间：每周一、三 09:00",
    "每月1号 9:00": "时间：每月 1 号 09:00",
    "每个工作日 9:00": "时间：每个工作日 09:00",
    "*/30 9-20 * * *": "时间：按 */30 9-20 * * * 重复",
    "每个人的最佳时间": "时间：每个人最活跃的时间",
    "明天 最佳时间": "时间：明天 00:00起，每个人最活跃的时间",
    "现在": "时间：确认后马上",
}


async def test_a_time_is_set_and_shown(boss: Conversation) -> None:
    await make(boss)
    for typed, says in TIMES.items():
        assert says in await boss.say(f"/campaign schedule 1 {typed}", BOSS)


# Looking


async def test_the_preview_of_many_words_fits_a_phone(boss: Conversation) -> None:
    long = "\n".join(f"版本 {name}\n文字：{'很长的话' * 120}退订" for name in "ABC")
    said = await boss.say(f"/campaign new 开课\n对象：active 30d\n{long}", BOSS)
    assert said.count("版本 ") >= 3
    assert len(said.encode()) < 2048


async def test_a_preview_on_a_phone(scene: Campaigning) -> None:
    boss = scene.talk
    await make(boss)
    number = await boss.member("o_fan1")
    said = await boss.say(f"/campaign preview 1 手机 a {number}", BOSS)
    assert said == boss.texts("campaign.phone_sent", variant="A", member=number)
    assert [member for _, member in scene.phones.previews] == [number]
    assert "有：A" in await boss.say("/campaign preview 1 手机 C", BOSS)
    assert await boss.say("/campaign preview 1 手机 A 999", BOSS) == boss.texts(
        "operator.who_not_found"
    )
    scene.phones.refusing = "今天的预览次数用完了"
    assert "今天的预览次数用完了" in await boss.say("/campaign preview 1 手机", BOSS)


async def test_lint_names_the_rule_of_wechat(boss: Conversation) -> None:
    await make(boss, "开课\n对象：active 30d\n文字：转发到朋友圈领红包，退订回复退订")
    said = await boss.say("/campaign lint 1", BOSS)
    assert "1. [错误]" in said
    assert "（微信规定：" in said


async def test_lint_of_a_good_one(boss: Conversation) -> None:
    await make(boss, f"{FORM.replace('对照：无', '目标：回复')}")
    assert await boss.say("/campaign lint 1", BOSS) == boss.texts("campaign.lint_fine", campaign=1)


async def test_a_list_goes_on_below_its_last_number(boss: Conversation) -> None:
    assert await boss.say("/campaign list", BOSS) == boss.texts("campaign.list_none")
    for _ in range(12):
        await boss.say(f"/campaign new {FORM}", BOSS)
    said = await boss.say("/campaign list", BOSS)
    assert said.splitlines()[1].startswith("12. 《开课通知》草稿")
    assert "「/campaign list 3」" in said
    more = await boss.say("/campaign list 草稿 3", BOSS)
    assert [line.split(".")[0] for line in more.splitlines()[1:]] == ["2", "1"]
    assert await boss.say("/campaign list 已暂停", BOSS) == boss.texts("campaign.list_none")
    assert await boss.say("/campaign list 别的", BOSS) == boss.texts("campaign.list_usage")


NUMBERED = tuple(verb for verb in VERBS if verb not in ("new", "unknown", "list"))


async def test_without_a_number_the_newest_are_named(boss: Conversation) -> None:
    assert await boss.say("/campaign show", BOSS) == boss.texts("campaign.list_none")
    await make(boss)
    for verb in NUMBERED:
        said = await boss.say(f"/campaign {verb}", BOSS)
        assert f"「/campaign {verb} 1」" in said
        assert "1. 《开课通知》" in said


async def test_a_number_that_nobody_has(boss: Conversation) -> None:
    for verb in NUMBERED:
        said = await boss.say(f"/campaign {verb} 77 2222 现在", BOSS)
        assert said == boss.texts("campaign.unknown_number", campaign=77), verb


async def test_other_ways_to_say_it(boss: Conversation) -> None:
    await make(boss)
    for typed, handler in {
        "/campaign预览1": "preview",
        "/campaign 预览 c1": "preview",
        "/campaign 列表": "list",
        "/CAMPAIGN LIST": "list",
        "/campaign 查看 #1": "show",
        "/campaign 检查　１": "lint",
        "/campaign 不明": "unknown",
    }.items():
        await boss.say(typed, BOSS)
        assert boss.handler == f"operator.campaign.{handler}", typed


async def test_what_is_misspelt_is_named(boss: Conversation) -> None:
    assert await boss.say("/campaign perview 1", BOSS) == boss.texts(
        "campaign.meant", command="preview"
    )
    assert await boss.say("/campaign", BOSS) == boss.texts("campaign.usage")
    assert await boss.say("/campaign", ANA) == boss.texts("campaign.usage_analyst")


# Going out


async def test_a_code_confirms_what_it_was_shown_with(boss: Conversation) -> None:
    code = await make(boss)
    said = await boss.say(f"/campaign confirm 1 {code.lower()}", BOSS)
    assert said == boss.texts("campaign.confirmed_now", campaign=1, count="2")
    assert (await one(boss)).status == "scheduled"


async def test_a_confirmation_cut_off_by_a_crash_says_what_it_did(boss: Conversation) -> None:
    code = await make(boss)
    said = await boss.say(f"确认 {code}", BOSS, crash_first=True)
    assert said == boss.texts("campaign.confirmed_now", campaign=1, count="2")


async def test_of_what_changed_meanwhile_the_old_code_is_no_good(boss: Conversation) -> None:
    code = await make(boss)
    await boss.say("/campaign edit 1 标题 新名字", BOSS)
    said = await boss.say(f"/campaign confirm 1 {code}", BOSS)
    assert said.startswith(boss.texts("campaign.said_wrong_code", campaign=1))
    assert (await one(boss)).status == "draft"


async def test_anothers_code_is_no_good(boss: Conversation) -> None:
    code = await make(boss)
    assert "确认码不对" in await boss.say(f"/campaign confirm 1 {code}", OWNER)


async def test_who_is_held_out_can_be_let_in(scene: Campaigning) -> None:
    boss = scene.talk
    await scene.fans(*(f"o_more{n}" for n in range(40)))
    said = await boss.say(f"/campaign new {FORM.replace('对照：无', '对照：50%')}", BOSS)
    assert "「/campaign edit 1 对照 无」" in said


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("active 30d", "最近 30 天来过的人"),
        ('tag:"Python"', "有「Python」标签的人"),
        ('segment:"new"', "一周内新来的"),
        ("active 31d", "active 31d"),
        ("所有人", "所有关注的人"),
    ],
)
async def test_the_audience_in_the_words_it_was_chosen_by(
    boss: Conversation, rule: str, words: str
) -> None:
    said = await boss.say(f"/campaign new {FORM.replace('active 30d', rule)}", BOSS)
    assert f"给：{words}\n" in said


async def test_a_confirmation_without_its_code_says_how(boss: Conversation) -> None:
    await make(boss)
    usage = boss.texts("campaign.confirm_usage", campaign=1)
    assert await boss.say("/campaign confirm 1", BOSS) == usage
    assert await boss.say("/campaign confirm 1 好的吧", BOSS) == usage


async def test_a_time_to_come_is_told_with_the_confirmation(boss: Conversation) -> None:
    await make(boss)
    code = code_in(await boss.say("/campaign schedule 1 今晚8点", BOSS))
    said = await boss.say(f"确认 {code}", BOSS, crash_first=True)
    assert said == boss.texts("campaign.confirmed_at", campaign=1, count="2", when="今天 20:00")
    shown = await boss.say("/campaign preview 1", BOSS)
    assert boss.texts("campaign.next_scheduled", campaign=1) in shown


async def test_one_that_repeats_is_told_as_such(boss: Conversation) -> None:
    await make(boss)
    code = code_in(await boss.say("/campaign schedule 1 每天 9:00", BOSS))
    assert await boss.say(f"确认 {code}", BOSS) == boss.texts(
        "campaign.confirmed_cron", campaign=1, when="每天 09:00"
    )


async def test_many_recipients_need_two_operators(talk: Conversation) -> None:
    scene = Campaigning(talk, two_person_over=1)
    await scene.fans("o_fan1", "o_fan2")
    for name in (BOSS, "o_boss2"):
        await talk.promote(name)
    code = await make(talk)
    assert "还要另一位运营确认" in await talk.say(f"确认 {code}", BOSS)
    other = code_in(await talk.say("/campaign preview 1", "o_boss2"))
    assert "马上开始" in await talk.say(f"确认 {other}", "o_boss2")


async def test_everybody_needs_the_owner(boss: Conversation) -> None:
    said = await boss.say(f"/campaign new {FORM.replace('active 30d', '所有人')}", BOSS)
    assert "给：所有关注的人" in said
    assert "[错误]" in said
    assert code_in(said) == ""
    shown = await boss.say("/campaign preview 1", OWNER)
    assert "马上开始" in await boss.say(f"确认 {code_in(shown)}", OWNER)


async def test_one_that_reaches_nobody_is_refused_with_the_numbers(boss: Conversation) -> None:
    said = await boss.say(f"/campaign new {FORM.replace('active 30d', 'tag:没有')}", BOSS)
    assert "符合 0 人，会发给 0 人" in said
    assert "没有一个人能收到" in said
    assert code_in(said) == ""


async def test_an_owner_may_send_in_spite_of_errors_that_are_not_fixed(
    boss: Conversation,
) -> None:
    await boss.say(f"/campaign new {FORM.replace('明天开课', '转发到朋友圈领红包')}", OWNER)
    look = await boss.campaigns.look(1, _who(await boss.member(OWNER), "owner"))  # type: ignore[union-attr]
    assert look is not None
    refused = await boss.say(f"/campaign confirm 1 {look.code}", OWNER)
    assert refused.startswith(boss.texts("campaign.said_findings", campaign=1))
    assert boss.texts("campaign.override_hint") in refused
    assert "马上开始" in await boss.say(f"/campaign confirm 1 {look.code} 强制", OWNER)
    assert "强制确认群发" in await boss.say("/audit", OWNER)


def _who(member: int, role: str) -> Who:
    return Who(f"member:{member}", role, b"k" * 16)


async def test_pause_resume_and_cancel(boss: Conversation) -> None:
    code = await make(boss)
    for verb in ("pause", "resume"):
        said = await boss.say(f"/campaign {verb} 1", BOSS)
        assert said == boss.texts(f"campaign.not_{verb}", campaign=1, status="草稿")
    await boss.say(f"确认 {code}", BOSS)
    assert "活动 1 暂停了" in await boss.say("/campaign 暂停 1", BOSS, crash_first=True)
    assert "活动 1 继续了" in await boss.say("/campaign 继续 1", BOSS, crash_first=True)
    assert "也不能恢复" in await boss.say("/campaign cancel 1", BOSS)
    assert (await one(boss)).status == "scheduled", "it asks first"
    assert "活动 1 取消了" in await boss.say("确认", BOSS, crash_first=True)
    assert (await one(boss)).status == "cancelled"
    for verb in ("cancel", "edit", "undo", "schedule", "pause"):
        assert "已取消" in await boss.say(f"/campaign {verb} 1 现在", BOSS), verb
    assert "说明" not in await boss.say("/campaign show 1", BOSS)


# What became of it


async def test_what_nobody_knows_is_listed_and_settled(scene: Campaigning) -> None:
    boss = scene.talk
    assert await boss.say("/campaign unknown", BOSS) == boss.texts("campaign.unknown_none")
    code = await make(boss)
    await boss.say(f"确认 {code}", BOSS)
    scene.phones.silent = {"o_fan1", "o_fan2"}
    await scene.run()
    said = await boss.say("/campaign unknown 1", BOSS)
    numbers = [line.split(".")[0] for line in said.splitlines()[1:3]]
    assert f"成员 {await boss.member('o_fan1')}" in said
    settled = await boss.say(f"/campaign unknown 已收到 {numbers[0]}", BOSS)
    assert settled == boss.texts("campaign.settled", count="1", what="已收到")
    assert await boss.say(f"/campaign unknown 已收到 {numbers[0]}", BOSS) == boss.texts(
        "campaign.settled_none"
    )
    asked = await boss.say("/campaign unknown 1 全部没收到", BOSS)
    assert "1 个都记成「没收到」" in asked
    await boss.say("确认", BOSS, crash_first=True)
    assert await boss.store.deliveries.unknown() == []


async def test_deliveries_there_are_not_have_no_result(boss: Conversation) -> None:
    said = await boss.say("/campaign unknown 没收到 345 346", BOSS)
    assert said.startswith("这些编号里没有结果不明的投递：可能写错了")


@pytest.mark.parametrize("asked", ["格式", "例子", "帮助", "?", "？", "怎么写"])
async def test_who_asks_how_to_write_one_sees_the_form(boss: Conversation, asked: str) -> None:
    assert await boss.say(f"/campaign new {asked}", BOSS) == boss.texts("campaign.form")


async def test_unknown_that_cannot_be_read_says_how(boss: Conversation) -> None:
    for typed in ("随便", "已收到", "1 2", "已收到 abc", "全部已收到", "1 已收到 x"):
        said = await boss.say(f"/campaign unknown {typed}", BOSS)
        assert said == boss.texts("campaign.unknown_usage"), typed


async def test_every_refusal_has_its_words(boss: Conversation) -> None:
    await make(boss)
    ctx, found = boss.ctx, await one(boss)
    assert ctx is not None
    for said in Said:
        for verb in ("edit", "schedule", "undo", "confirm", "pause", "resume", "cancel"):
            assert "1" in refused(ctx, Answer(said, found), verb).content
            assert "7" in refused(ctx, Answer(said), verb, 7).content
