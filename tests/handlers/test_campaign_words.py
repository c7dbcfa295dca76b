"""/campaign, as operators use it who know half of it: what is shown, kept and said where it could
be misread."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.carry_campaign_words import FAULTS
from handlers.texts import Texts
from tests.handlers.campaigning import Campaigning
from tests.handlers.conftest import Conversation
from tests.handlers.test_campaign_desk import BOSS, FORM, code_in, make, one

OWNER = "o_owner"


@pytest.fixture
async def scene(talk: Conversation) -> Campaigning:
    scene = Campaigning(talk)
    await talk.promote(BOSS)
    await talk.promote(OWNER, "owner")
    await scene.fans("o_fan1", "o_fan2")
    return scene


@pytest.fixture
def boss(scene: Campaigning) -> Conversation:
    return scene.talk


# Errors and who may override them


async def test_an_owner_is_shown_how_to_send_in_spite_of_errors(boss: Conversation) -> None:
    form = FORM.replace("明天开课", "转发到朋友圈领红包")
    said = await boss.say(f"/campaign new {form}", BOSS)
    assert said.endswith(boss.texts("campaign.next_owner", campaign=1))
    shown = await boss.say("/campaign preview 1", OWNER)
    found = re.search("「(确认 [0-9A-Z]{4} 强制)」", shown)
    assert found is not None
    assert "强制" in await boss.say("/campaign confirm 1", OWNER)
    assert "马上开始" in await boss.say(found[1], OWNER)


async def test_what_nobody_may_override_shows_no_code_to_an_owner(boss: Conversation) -> None:
    said = await boss.say("/campaign new 一\n对象：active 30d\n文字：{{ pionts }} 退订", OWNER)
    assert "强制" not in said
    assert said.endswith(boss.texts("campaign.next_edit", campaign=1))
    assert "expected" not in said


async def test_how_to_confirm_one_that_has_ended_is_no_question(boss: Conversation) -> None:
    await make(boss)
    await boss.say("/campaign undo 1", BOSS)
    said = await boss.say("/campaign confirm 1 abcd 强制", BOSS)
    assert said == boss.texts("campaign.not_confirm", campaign=1, status="已取消")


# Times


async def test_a_time_that_never_comes_is_not_kept(boss: Conversation) -> None:
    await make(boss)
    for typed in ("0 9 31 4 *", "0 9 30 2 *"):
        said = await boss.say(f"/campaign schedule 1 {typed}", BOSS)
        assert said == boss.texts("campaign.fault_time_never")
    said = await boss.say("/campaign edit 1 时间 * * * * *", BOSS)
    assert boss.texts("campaign.fault_time_often") in said
    assert (await one(boss)).cron == ""


async def test_a_kept_time_that_never_comes_is_told_in_chinese(boss: Conversation) -> None:
    await make(boss)
    await boss.say("/campaign schedule 1 每天 9:00", BOSS)
    assert boss.campaigns is not None
    # Through another door it may have been kept before it was refused.
    await boss.store.db.write(
        lambda conn: conn.execute("update campaigns set cron = '0 9 31 4 *' where id = 1")
    )
    said = await boss.say("/campaign preview 1", BOSS)
    assert boss.texts("campaign.bad_cron", cron="0 9 31 4 *") in said
    assert "never comes" not in said


async def test_how_often_a_cron_goes_out_is_in_the_preview(boss: Conversation) -> None:
    await make(boss)
    said = await boss.say("/campaign schedule 1 */30 9-20 * * *", BOSS)
    assert "时间：按 */30 9-20 * * * 重复，一天 24 次" in said


async def test_in_quiet_hours_at_once_is_the_morning(boss: Conversation) -> None:
    boss.later(hours=12)
    said = await boss.say(f"/campaign new {FORM}", BOSS)
    assert "时间：确认后，明天 08:00 开始（现在是免打扰时段）" in said
    told = await boss.say(f"确认 {code_in(said)}", BOSS)
    assert "马上" not in told
    assert "明天 08:00 开始发" in told
    assert (await one(boss)).status == "scheduled"


async def test_the_list_says_that_the_night_holds_it(scene: Campaigning) -> None:
    boss = scene.talk
    boss.later(hours=12)
    await boss.say(f"确认 {await make(boss)}", BOSS)
    await scene.run()
    assert not scene.phones.received
    said = await boss.say("/campaign list", BOSS)
    assert "发送中" in said
    assert said.endswith("，免打扰时段，明天 08:00 再发")


async def test_it_does_not_end_in_the_minute_it_begins(boss: Conversation) -> None:
    await make(boss)
    said = await boss.say("/campaign schedule 1 今晚8点", BOSS)
    assert "大约要 1 分钟，今天 20:01 前发完" in said


# What the written form takes


async def test_the_example_of_the_form_can_be_sent(boss: Conversation) -> None:
    shown = await boss.say("/campaign new 格式", BOSS)
    lines = shown.splitlines()
    example = "\n".join(lines[1 : next(n for n, line in enumerate(lines) if "还可以写" in line)])
    assert await boss.say("/campaign new 帮助", BOSS) == shown
    await boss.store.tags.add(await boss.member("o_fan1"), "Python", boss.at, limit=10)
    await boss.store.tags.add(await boss.member("o_fan2"), "Python", boss.at, limit=10)
    said = await boss.say(f"/campaign new {example}", BOSS)
    assert "[错误]" not in said
    assert code_in(said)


async def test_the_example_of_the_guide_is_read_and_passes_but_for_its_coupon(
    boss: Conversation,
) -> None:
    guide = (Path(__file__).parents[2] / "docs/campaigns.md").read_text("utf-8")
    found = re.search(r"```\n(/campaign new 双十一预告\n.*?)\n```", guide, re.DOTALL)
    assert found is not None
    await boss.store.tags.add(await boss.member("o_fan1"), "Python", boss.at, limit=10)
    said = await boss.say(found[1], BOSS)
    assert "活动 1《双十一预告》" in said
    errors = [line for line in said.splitlines() if "[错误]" in line]
    assert len(errors) == 1
    assert "优惠券「早鸟」不存在" in errors[0]


async def test_a_name_alone_begins_the_dialogue_with_it(boss: Conversation) -> None:
    said = await boss.say("/campaign new 双十一预告", BOSS, crash_first=True)
    assert "要发什么？" in said
    for answer in ("今晚直播，来吗？", "2", "1", "1"):
        said = await boss.say(answer, BOSS, crash_first=True)
    assert "《双十一预告》" in said


async def test_other_words_keep_how_to_hear_no_more(boss: Conversation) -> None:
    await make(boss)
    said = await boss.say("/campaign edit 1 文字 后天开课", BOSS)
    assert "后天开课\n回复「退订」不再收到" in said
    assert "[错误]" not in said


# Many versions


LONG = "\n".join(f"版本 {name}\n文字：{name}{'很长的话' * 120}" for name in "ABCDE")


async def test_what_is_wrong_with_every_version_is_said_once(boss: Conversation) -> None:
    said = await boss.say(f"/campaign new 开课\n对象：active 30d\n{LONG}", BOSS)
    assert len(said.encode()) <= 2048
    told = await boss.say("/campaign lint 1", BOSS)
    assert "版本 A、B、C、D、E：营销的客服消息要告诉成员怎样退订" in told
    assert "看全部" not in told
    assert len([line for line in told.splitlines() if "怎样退订" in line]) == 1


async def test_findings_go_on_on_another_page(boss: Conversation) -> None:
    words = "全网第一 最佳 稳赚 包治 集赞 包过 加我微信 震惊 顶级 砍价"
    lines = "\n".join(f"版本 {n}\n文字：{n} {words} https://x{n}.example/" for n in "ABCDE")
    await boss.say(f"/campaign new 开课\n对象：active 30d\n{lines}", BOSS)
    first = await boss.say("/campaign lint 1", BOSS)
    assert re.search("还有 [0-9]+ 条：「/campaign lint 1 2」", first)
    second = await boss.say("/campaign lint 1 2", BOSS)
    assert second.splitlines()[1].startswith("11. ")


async def test_long_versions_are_shown_one_at_a_time(boss: Conversation) -> None:
    await boss.say(f"/campaign new 开课\n对象：active 30d\n{LONG}", BOSS)
    for verb in ("show", "edit"):
        said = await boss.say(f"/campaign {verb} 1", BOSS)
        assert len(said.encode()) <= 2048, verb
        assert "版本 A、B、C、D、E 的内容太长" in said
        assert "目标：" in said
    said = await boss.say("/campaign show 1 b", BOSS)
    assert said == f"文字：B{'很长的话' * 120}"
    assert "有：A、B" in await boss.say("/campaign show 1 Z", BOSS)


# Words


async def test_which_one_names_only_what_the_verb_can_do_something_with(
    boss: Conversation,
) -> None:
    await make(boss)
    await boss.say("/campaign undo 1", BOSS)
    assert await boss.say("/campaign pause", BOSS) == boss.texts("campaign.list_none")
    assert "1. 《开课通知》已取消" in await boss.say("/campaign show", BOSS)
    said = await boss.say("/campaign undo 1", BOSS)
    assert said == boss.texts("campaign.not_undo_ended", campaign=1, status="已取消")


async def test_unknown_of_a_campaign_that_there_is_not(boss: Conversation) -> None:
    missing = boss.texts("campaign.unknown_number", campaign=99)
    assert await boss.say("/campaign unknown 99", BOSS) == missing
    assert await boss.say("/campaign unknown 99 全部没收到", BOSS) == missing


async def test_other_words_for_the_verbs(boss: Conversation) -> None:
    code = await make(boss)
    for typed in ("help", "帮助", "用法"):
        assert await boss.say(f"/campaign {typed}", BOSS) == boss.texts("campaign.usage")
    await boss.say(f"确认 {code}", BOSS)
    assert await boss.say("/campaign 停 1", BOSS) == boss.texts(
        "campaign.paused_before", campaign=1
    )
    assert "也不能恢复" in await boss.say("/campaign 删除 1", BOSS)
    assert "/campaign" in await boss.say("/camp", BOSS)
    who = boss.texts("operator.who_not_found")
    assert await boss.say("/campaign preview 1 手机 A 张三", BOSS) == who


async def test_a_report_says_when_there_will_be_one(boss: Conversation) -> None:
    code = await make(boss, FORM.replace("文字", "时间：明天 9:00\n文字"))
    assert "还是草稿" in await boss.say("/campaign report 1", BOSS)
    await boss.say(f"确认 {code}", BOSS)
    assert "时间：明天 09:00。" in await boss.say("/campaign report 1", BOSS)


def test_a_mistake_in_a_form_has_words_in_the_chat_and_in_the_terminal() -> None:
    chat = {
        key.removeprefix("campaign.fault_")
        for key in Texts.load().keys()  # noqa: SIM118 - Texts is not a mapping
        if key.startswith("campaign.fault_")
    }
    assert chat <= set(FAULTS)
