"""/order: what was judged, banned and allowed words, how strict a group is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers import RULES
from handlers.order_desk import WORD_CHARS
from handlers.router import dispatch
from store.order import WordRow
from tests.handlers.group_operators import CHANNELS, GATE, WECOM, Desk, desk
from tests.handlers.test_moderation import case

__all__ = ["desk"]


async def words(desk: Desk) -> list[WordRow]:
    return await desk.store.order.words()


async def test_today_by_group_with_the_open_cases(desk: Desk) -> None:
    assert "今天各群都没有要处理的" in await desk.boss("/order")
    await case(desk)
    await case(desk, "我的电话 13800138000", severity=1, report=False)
    await desk.store.order.report("qun:1", desk.at, 60.0)
    said = await desk.boss("/order")
    assert "学习群：2 条，上报 1 条，待认定 1 条" in said
    assert "#1 加微信 *** 领资料（联系方式、像广告）" in said
    assert "msgmenucontent=广告 1" in said
    assert "13800138000" not in said
    desk.later(days=1)
    assert "今天各群都没有要处理的" in await desk.boss("/order")


async def test_a_case_is_shown_whole_but_masked(desk: Desk) -> None:
    await case(desk, "加微信 abc12345 看 http://evil.top <a>")
    said = await desk.boss("/order case 1")
    for part in ("第 1 条 · 学习群 · 11-21 10:30", "99%", "不进日报、已在群里提醒", "误报 1"):
        assert part in said
    for secret in ("abc12345", "evil.top", "<a>"):
        assert secret not in said
    await desk.boss("广告 1")
    assert "认定：广告" in await desk.boss("/order case #1")
    assert await desk.boss("/order case 9") == "没有第 9 条。"
    assert "要看哪一条" in await desk.boss("/order case x")


async def test_a_case_without_words_and_score_is_shown(desk: Desk) -> None:
    await case(desk, "", score=None)
    said = await desk.boss("/order case 1")
    assert "内容已按期清除" in said
    assert "%" not in said


async def test_words_are_banned_and_allowed_everywhere_or_in_one_group(desk: Desk) -> None:
    await desk.group()
    assert await desk.boss("/order ban 代写") == "已禁用「代写」（所有群）。"
    assert await desk.boss("/order ban 代写") == "「代写」（所有群）本来就是这样。"
    assert await desk.boss("/order ban 团 购 学习群") == "已禁用「团 购」（学习群）。"
    await desk.boss("/order allow 代写作业的危害")
    await desk.boss("/order allow https://www.Partner.example/a?b")
    assert {(one.kind, one.value, one.place) for one in await words(desk)} == {
        ("ban", "代写", ""),
        ("ban", "团 购", "qun:1"),
        ("allow", "代写作业的危害", ""),
        ("host", "partner.example", ""),
    }
    said = await desk.boss("/order list")
    assert "禁用：代写（所有群）、团 购（学习群）" in said
    assert "放行的域名：partner.example" in said
    assert await desk.boss("/order unban 代写") == "已去掉「代写」（所有群）。"
    assert "不在名单里" in await desk.boss("/order unban 代写")
    assert (
        await desk.boss("/order unallow partner.example") == "已去掉「partner.example」（所有群）。"
    )
    assert len(await desk.audits()) == 6


async def test_a_group_that_was_mistyped_bans_nothing_everywhere(desk: Desk) -> None:
    await desk.group()
    said = await desk.boss("/order ban 代写 读书会")
    assert (
        said == '没有叫「读书会」的群。要是连空格一起算一个词，加上引号：/order ban "代写 读书会"'
    )
    assert await words(desk) == []
    assert await desk.boss('/order ban "代写 读书会"') == "已禁用「代写 读书会」（所有群）。"
    assert await desk.boss("/order ban “团 购” 学习群") == "已禁用「团 购」（学习群）。"
    assert "已去掉" in await desk.boss("/order unban 代写 读书会")


async def test_all_that_waits_is_named_and_only_where_it_can_be_tapped_as_a_link(
    desk: Desk,
) -> None:
    for number in range(7):
        await case(desk, f"加微信 abc1234{number} 领资料 {number}")
    said = await desk.boss("/order")
    assert "待认定 7 条" in said
    assert said.count("（联系方式、像广告）") == 5
    assert "还有 2 条等着认定：#2 #1" in said
    assert "<a href" in said
    group = await desk.group()
    for command in ("/order", "/order case 1"):
        message = replace(desk.message(command, "o_boss"), source="onebot", channel=group.channel)
        member = await desk.store.members.meet(group.channel, "o_boss", desk.at)
        await desk.store.members.set_role(member.id, "operator")
        ctx = await desk.context(message)
        ctx.member = await desk.store.members.meet(group.channel, "o_boss", desk.at)
        said = (await dispatch(RULES, message, ctx)).reply.content
        assert "<a" not in said
        assert "误报" in said


@pytest.mark.parametrize(
    "typed", ["ban", "ban 买", "ban ！！！", "allow", "ban " + "字" * (WORD_CHARS + 1)]
)
async def test_a_word_that_would_hit_everything_is_refused(desk: Desk, typed: str) -> None:
    assert "词至少两个字" in await desk.boss(f"/order {typed}")
    assert await words(desk) == []


async def test_how_strict_a_group_is(desk: Desk) -> None:
    group = await desk.group()
    for mode in ("act", "off", "watch"):
        assert "学习群" in await desk.boss(f"/order {mode} 学习群", crash_first=True)
        assert desk.rules(group).order == mode
    assert len(await desk.audits()) == 3
    assert "没有叫「别的」的群" in await desk.boss("/order act 别的")
    assert "请写是哪个群" in await desk.boss("/order act")
    await desk.group("2")
    assert "有 2 个，请用编号" in await desk.boss("/order act 学习群")


async def test_removing_is_for_owners_and_asked_first(desk: Desk) -> None:
    group = await desk.group()
    desk.channels = replace(CHANNELS, kicking=frozenset({GATE}))
    assert await desk.boss("/order kick on 学习群") == desk.texts("operator.owner_only")
    await desk.promote("o_boss", "owner")
    assert "会被移出群" in await desk.boss("/order kick on 学习群")
    assert not desk.rules(group).kick
    assert await desk.boss("确认", crash_first=True) == "学习群 会移出规则确认发广告的人。"
    assert desk.rules(group).kick
    assert await desk.boss("/order kick off 学习群") == "学习群 不再移出任何人。"
    assert not desk.rules(group).kick
    assert "禁言 10 分钟" in await desk.boss("/order silence on 1")
    await desk.boss("确认")
    assert desk.rules(group).silence
    await desk.boss("/order silence off 1")
    assert not desk.rules(group).silence
    assert [action for action, _ in await desk.audits()] == ["order.mode"] * 4
    assert "请写「/order kick on 群」" in await desk.boss("/order kick 学习群")


async def test_where_the_channel_cannot_it_is_said(desk: Desk) -> None:
    await desk.promote("o_boss", "owner")
    group = await desk.group("2", WECOM, "内测")
    assert "做不到" in await desk.boss("/order kick on 内测")
    assert not desk.rules(group).kick


async def test_an_owner_who_is_none_any_more_confirms_nothing(desk: Desk) -> None:
    group = await desk.group()
    desk.channels = replace(CHANNELS, kicking=frozenset({GATE}))
    await desk.promote("o_other", "owner")
    number = await desk.promote("o_boss", "owner")
    await desk.boss("/order kick on 学习群")
    await desk.store.members.set_role(number, "operator")
    assert await desk.boss("确认") == desk.texts("operator.owner_only")
    assert not desk.rules(group).kick


@pytest.mark.parametrize("typed", ["/order help", "/order 广告", "/order ban代写 x"])
async def test_what_is_no_command_hears_how(desk: Desk, typed: str) -> None:
    assert "群秩序" in await desk.boss(typed)


@pytest.mark.parametrize("who", ["o_lin", "o_eye"])
async def test_members_and_analysts_see_nothing(desk: Desk, who: str) -> None:
    await case(desk)
    assert "学习群" not in await desk.say("/order", who)
