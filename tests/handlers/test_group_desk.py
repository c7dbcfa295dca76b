"""/group: operators bind groups and say how the bot behaves there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers import group_cards, group_words
from store.groups import GroupRules, Seen, place_of
from tests.handlers.group_operators import GATE, POSTER, WECOM, Desk, desk

__all__ = ["desk"]


# Looking


async def test_groups_are_listed_with_what_matters(desk: Desk) -> None:
    assert "还没有群" in await desk.boss("/group")
    one = await desk.group()
    await desk.group("2", WECOM, "内测", bound=False)
    lin = await desk.member()
    await desk.store.groups.see(Seen(one.place, lin, "小林", desk.at))
    await desk.boss("/group digest 1 21:00")
    assert await desk.boss("/group list") == (
        "群（2 个，第 1/1 页）\n"
        "#1 学习群（qun）\n  已绑定，1 人，秩序 只报告（watch），日报 21:00\n"
        "#2 内测（robot）\n  没绑定，秩序 只报告（watch），只听不发"
    )
    assert desk.handler == "operator.group.list"


async def test_many_groups_come_in_pages(desk: Desk) -> None:
    for number in range(group_cards.LISTED + 1):
        await desk.group(str(number), name=f"群{number}")
    first = await desk.boss("/group list")
    assert first.count("#") == group_cards.LISTED
    assert first.endswith("下一页：/group list 2")
    assert "群10" in await desk.boss("/group list 2")
    for page in ("3", "0"):
        assert await desk.boss(f"/group list {page}") == "只有 2 页。"


@pytest.mark.parametrize("typed", ["1", "#1", "１", "vip", "学习群", "qun:1"])
async def test_a_card_is_found_by_number_short_name_or_name(desk: Desk, typed: str) -> None:
    await desk.group()
    await desk.boss("/group call 1 vip")
    card = await desk.boss(f"/group {typed}")
    assert card.startswith("#1 vip（qun）\n状态：已绑定\n成员：还不知道\n发消息：本通道\n欢迎：关")


async def test_a_card_shows_all_that_was_set(desk: Desk) -> None:
    await desk.group()
    for what in (
        "welcome 1 欢迎 {names}",
        "welcome 1 every 3",
        "quiet 1 22-8",
        "digest 1 on",
        "eager 1 60",
        "keywords 1 on",
        "order 1 act",
        "mute 1 2h",
    ):
        await desk.boss(f"/group {what}")
    card = await desk.boss("/group 1")
    assert "状态：已绑定，静音到 12:30" in card
    assert "欢迎：欢迎 {names}\n（同一个群最多每 3 分钟一次）" in card
    assert "免打扰：22:00-08:00" in card
    assert "日报：按配置的时间" in card
    assert "没人答时主动答：60 秒没人答" in card
    assert "免@关键词：开" in card
    assert "秩序：报告并提醒（act）" in card


async def test_a_group_that_nobody_knows_is_named_and_a_near_one_offered(desk: Desk) -> None:
    await desk.group(name="写作学习群")
    assert await desk.boss("/group mute 9 2h") == "没有叫「9」的群。/group list 看编号。"
    assert "是「写作学习群」（#1）吗" in await desk.boss("/group mute 写作学习 2h")
    await desk.group("2", name="写作学习群")
    assert "不止一个：#1、#2" in await desk.boss("/group mute 写作学习群 2h")


async def test_a_misspelt_word_hears_which_may_be_meant(desk: Desk) -> None:
    assert "/group mute 吗" in await desk.boss("/group mutee 1")
    assert await desk.boss("/group mute") == "要写是哪个群：/group mute 3 …。/group list 看编号。"
    usage = await desk.boss("/group help")
    assert "欢迎 {names}" in usage
    assert len(usage.encode()) < 2048


async def test_analysts_look_and_change_nothing(desk: Desk) -> None:
    group = await desk.group()
    assert "学习群" in await desk.say("/group list", "o_eye")
    assert "学习群" in await desk.say("/group 1", "o_eye")
    assert "还没有往群里发过消息" in await desk.say("/group posts", "o_eye")
    before = desk.now_of(group)
    for what in ("bind 1 vip", "unbind 1", "mute 1 2h", "welcome 1 on", "push 1 你好", "route 1 x"):
        said = await desk.say(f"/group {what}", "o_eye")
        assert said == desk.texts("operator.read_only")
    assert desk.now_of(group) == before
    assert await desk.say("/group list") == desk.texts("operator.not_allowed")
    assert await desk.audits() == []


# In the group itself


async def test_an_operator_binds_a_group_by_saying_so_in_it(desk: Desk) -> None:
    group = await desk.group(bound=False)
    assert (await desk.in_group(group, "/group bind")).startswith("本群绑定好了")
    assert desk.now_of(group).bound
    assert (await desk.in_group(group, "/group bind")) == "本群已经绑定过了。"
    assert await desk.audits() == [("group.bind", "group:1")]


async def test_a_group_never_met_before_is_bound_all_the_same(desk: Desk) -> None:
    stranger = replace(await desk.group(), external_id="new", place=place_of(GATE, "new"))
    assert "绑定好了" in await desk.in_group(stranger, "/group bind 新群")
    assert desk.now_of(stranger).alias == "新群"


async def test_members_change_and_learn_nothing_by_commands_in_a_group(desk: Desk) -> None:
    group = await desk.group(bound=False)
    for what in ("bind", "list", "1 bind"):
        said = await desk.in_group(group, f"/group {what}", "o_lin")
        assert said == desk.texts("operator.not_allowed"), what
    assert not desk.now_of(group).bound


async def test_in_a_group_the_number_may_be_left_out(desk: Desk) -> None:
    group = await desk.group()
    assert "到 11:00" in await desk.in_group(group, "/group mute 30m")
    assert desk.rules(group).muted_until == desk.at + 1800
    await desk.in_group(group, "/group mute 1 off")
    assert desk.rules(group).muted_until == 0
    await desk.in_group(group, "/group quiet 22:00-08:00")
    assert desk.rules(group).quiet == "22:00-08:00"
    await desk.in_group(group, "/group welcome 1 欢迎 {names}")
    assert desk.rules(group).welcome == "欢迎 {names}"


async def test_in_a_group_no_other_group_is_changed_or_shown(desk: Desk) -> None:
    group = await desk.group()
    other = await desk.group("2", name="内部群")
    for what in ("mute 2 2h", "mute #2 2h", "unbind 2", "welcome #2 欢迎"):
        assert await desk.in_group(group, f"/group {what}") == desk.texts("group_desk.only_here")
    for what in ("list", "push all 你好", "posts"):
        assert (await desk.in_group(group, f"/group {what}")).startswith("这个请私聊我")
    assert "内部群" not in await desk.in_group(group, "/group 2")
    assert desk.rules(other) == GroupRules() == desk.rules(group)


async def test_a_welcome_may_begin_with_a_number(desk: Desk) -> None:
    group = await desk.group()
    await desk.group("2")
    await desk.in_group(group, "/group welcome 2 月班的同学好，{names}")
    assert desk.rules(group).welcome == "2 月班的同学好，{names}"


async def test_answers_in_a_group_are_short(desk: Desk) -> None:
    group = await desk.group()
    for what in (
        "",
        " 1",
        " help",
        " list",
        " nonsense",
        " mute 2h",
        " digest 21:00",
        " order act",
    ):
        said = await desk.in_group(group, f"/group{what}")
        assert 0 < len(said) <= 120, what
        assert said.count("\n") <= 1, what


# Binding, names, routes


async def test_binding_twice_or_after_a_crash_is_one_change(desk: Desk) -> None:
    group = await desk.group(bound=False)
    said = await desk.boss("/group bind 1 vip", crash_first=True)
    assert said == "「vip」（#1）已经绑定过了。\n以后可以叫它「vip」。"
    bound = desk.now_of(group)
    assert (bound.bound, bound.alias) == (True, "vip")
    desk.later(hours=1)
    await desk.boss("/group bind 1")
    assert desk.now_of(group) == bound
    assert await desk.audits() == [("group.call", "group:1"), ("group.bind", "group:1")]


async def test_who_is_in_a_group_when_it_is_bound_is_no_newcomer(desk: Desk) -> None:
    group = await desk.group(bound=False)
    lin = await desk.member()
    await desk.store.groups.see(Seen(group.place, lin, "小林", desk.at, came=True))
    await desk.boss("/group bind 1")
    assert await desk.store.welcomes.waiting() == []


async def test_a_group_that_the_bot_has_left_is_not_bound(desk: Desk) -> None:
    group = await desk.group(bound=False)
    await desk.store.groups.leave(group.place, desk.at)
    assert "已经没有我了" in await desk.boss("/group bind 1")
    assert not desk.now_of(group).bound
    assert "已不在群里" in await desk.boss("/group 1")


async def test_unbinding_takes_back_what_waits(desk: Desk) -> None:
    group = await desk.group()
    await desk.boss("/group push 1 今晚直播")
    await desk.boss("确认")
    assert "还没发出的 1 条消息取消了" in await desk.boss("/group unbind 1")
    assert [one["status"] for one in await desk.posts()] == ["dropped"]
    assert not desk.now_of(group).bound
    assert "没有绑定" in await desk.boss("/group unbind 1")


async def test_two_groups_do_not_share_a_short_name(desk: Desk) -> None:
    await desk.group()
    other = await desk.group("2")
    await desk.boss("/group call 1 vip")
    assert "已经是别的群的了" in await desk.boss("/group call 2 vip")
    assert "绑定好了" not in await desk.boss("/group bind 2 vip")
    assert desk.now_of(other).alias is None
    await desk.boss("/group call 1 off")
    assert "可以叫「vip」" in await desk.boss("/group call 2 vip")


@pytest.mark.parametrize(
    "alias", ["12", "１２", "all", "全部", "off", "", "a b", "a,b", "#a", "{names}", "长" * 21]
)
async def test_a_short_name_that_means_something_else_is_refused(desk: Desk, alias: str) -> None:
    group = await desk.group()
    await desk.boss(f"/group call 1 {alias}")
    assert desk.now_of(group).alias is None


async def test_a_short_name_is_no_word_of_the_commands(desk: Desk) -> None:
    group = await desk.group()
    for word in ("list", "Mute", "推送"):
        assert "是命令里的词" in await desk.boss(f"/group call 1 {word}")
    assert desk.now_of(group).alias is None


async def test_a_robot_posts_for_a_group_that_cannot(desk: Desk) -> None:
    group = await desk.group("w1", WECOM, "公司群")
    assert "没有能用的通道" in await desk.boss("/group route 1 poster")
    await desk.group("robot", POSTER, "通知群")
    assert "能用的通道：poster" in await desk.boss("/group route 1")
    assert "没有「qun」这个群机器人通道" in await desk.boss("/group route 1 qun")
    assert "经 poster 发" in await desk.boss("/group route 1 Poster", crash_first=True)
    assert desk.now_of(group).route == POSTER
    assert "经 poster" in await desk.boss("/group 1")
    await desk.group("3")
    assert "已经是「公司群」（#1）的通道了" in await desk.boss("/group route 3 poster")
    assert "本来就是这个通道的群" in await desk.boss("/group route 2 poster")
    assert "还发不了消息" in await desk.boss("/group route 1 off")
    assert desk.now_of(group).route == ""
    assert [row[0] for row in await desk.audits()] == ["group.route", "group.route"]


# Settings


async def test_a_welcome_is_shown_as_newcomers_will_read_it(desk: Desk) -> None:
    group = await desk.group()
    said = await desk.boss("/group welcome 1 欢迎 ｛名字｝\n先看群公告")
    assert said == "好，「学习群」（#1）来新人时我会说：\n欢迎 小林、阿木\n先看群公告"
    assert desk.rules(group).welcome == "欢迎 {names}\n先看群公告"
    assert "原来是：欢迎 {names}" in await desk.boss("/group welcome 1 on")
    assert desk.rules(group).welcome == desk.texts("group_desk.welcome_words", names="{names}")
    assert "5 分钟" in await desk.boss("/group welcome 1 every 5")
    assert desk.rules(group).welcome_minutes == 5
    await desk.boss("/group welcome 1 每 10 分钟")
    assert desk.rules(group).welcome_minutes == 10
    assert "0.1 到 1440" in await desk.boss("/group welcome 1 every 99999")
    assert "最多 300 个字" in await desk.boss("/group welcome 1 " + "好" * 301)
    await desk.boss("/group welcome 1 关")
    assert desk.rules(group).welcome == ""


async def test_a_welcome_that_begins_greets_nobody_who_came_before(desk: Desk) -> None:
    group = await desk.group()
    lin = await desk.member()
    desk.later(hours=1)
    await desk.store.groups.see(Seen(group.place, lin, "小林", desk.at, came=True))
    assert len(await desk.store.welcomes.waiting()) == 1
    await desk.boss("/group welcome 1 欢迎 {names}")
    assert await desk.store.welcomes.waiting() == []


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("22:00-08:00", "22:00-08:00"),
        ("22-8", "22:00-08:00"),
        ("２２：００～０８：３０", "22:00-08:30"),
        ("22点到8点", "22:00-08:00"),
        ("12:30 至 13:30", "12:30-13:30"),
        ("0:00-6:00", "00:00-06:00"),
        ("off", ""),
    ],
)
async def test_quiet_hours_as_people_write_them(desk: Desk, typed: str, kept: str) -> None:
    group = await desk.group()
    await desk.boss(f"/group quiet 1 {typed}")
    assert desk.rules(group).quiet == kept


@pytest.mark.parametrize("typed", ["", "夜里", "22", "25:00-08:00", "22:61-8", "8-8", "1-2-3", "-"])
async def test_what_are_no_hours_hears_how_to_write_them(desk: Desk, typed: str) -> None:
    group = await desk.group()
    assert await desk.boss(f"/group quiet 1 {typed}") == desk.texts(
        "group_desk.quiet_usage", at="3 "
    )
    assert desk.rules(group) == GroupRules()


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("30m", 1800), ("30", 1800), ("2h", 7200), ("1.5 小时", 5400), ("1天", 86_400)],
)
async def test_a_mute_lasts_as_long_as_was_said(desk: Desk, typed: str, seconds: float) -> None:
    group = await desk.group()
    await desk.boss(f"/group mute 1 {typed}")
    assert desk.rules(group).muted_until == desk.at + seconds
    await desk.boss("/group mute 1 off")
    assert desk.rules(group).muted_until == 0


@pytest.mark.parametrize("typed", ["", "0m", "31d", "forever", "-5m", "99999d", "1e9h"])
async def test_a_mute_of_no_length_or_for_ever_is_refused(desk: Desk, typed: str) -> None:
    group = await desk.group()
    assert await desk.boss(f"/group mute 1 {typed}") == desk.texts("group_desk.mute_usage", at="3 ")
    assert desk.rules(group) == GroupRules()


async def test_a_mute_that_runs_twice_ends_when_it_first_said(desk: Desk) -> None:
    group = await desk.group()
    message = desk.message("/group mute 1 2h", "o_boss")
    await desk.hear(message)
    until = desk.rules(group).muted_until
    desk.later(seconds=40)
    await desk.hear(message)
    assert desk.rules(group).muted_until == until
    assert len(await desk.audits()) == 1


async def test_a_digest_has_its_time_or_the_configured_one(desk: Desk) -> None:
    group = await desk.group()
    assert "每天 21:00 发日报" in await desk.boss("/group digest 1 21:00")
    assert desk.rules(group).digest == "21:00"
    await desk.boss("/group digest 1 on")
    assert desk.rules(group).digest == ""
    await desk.boss("/group digest 1 off")
    assert desk.rules(group).digest == "off"
    for typed in ("", "24:00", "晚上"):
        said = await desk.boss(f"/group digest 1 {typed}")
        assert said == desk.texts("group_desk.digest_usage", at="3 ")


async def test_unasked_answers_need_a_channel_that_hears_everything(desk: Desk) -> None:
    deaf = await desk.group("w", WECOM)
    group = await desk.group()
    assert "没法主动答" in await desk.boss("/group eager 1 60")
    assert desk.rules(deaf).eager_s == 0
    assert "60 秒没人回答" in await desk.boss("/group eager 2 60")
    assert desk.rules(group).eager_s == 60
    await desk.boss("/group eager 2 2 分钟")
    assert desk.rules(group).eager_s == 120
    for typed in ("", "9", "3601", "很快"):
        assert await desk.boss(f"/group eager 2 {typed}") == desk.texts(
            "group_desk.eager_usage", at="3 "
        )
    await desk.boss("/group eager 2 off")
    assert desk.rules(group).eager_s == 0


async def test_keywords_and_order_are_switched(desk: Desk) -> None:
    group = await desk.group()
    for typed, kept in (("on", True), ("关", False), ("default", None)):
        await desk.boss(f"/group keywords 1 {typed}")
        assert desk.rules(group).keywords is kept
    assert await desk.boss("/group keywords 1 x") == desk.texts(
        "group_desk.keywords_usage", at="3 "
    )
    for typed, order in (("act", "act"), ("watch", "watch"), ("off", "off")):
        await desk.boss(f"/group order 1 {typed}")
        assert desk.rules(group).order == order
    assert await desk.boss("/group order 1 kick") == desk.texts("group_desk.order_usage", at="3 ")


async def test_what_is_in_the_way_of_a_setting_is_said_with_it(desk: Desk) -> None:
    await desk.group("w", WECOM, bound=False)
    said = await desk.boss("/group welcome 1 欢迎 {names}")
    assert "还发不了消息：先用 /group route 1 通道" in said
    assert "不会告诉我谁进了群" in said
    assert "还没绑定，绑定后才生效：/group bind 1" in said
    assert "不@我我听不到" in await desk.boss("/group keywords 1 on")


async def test_a_change_is_audited_once_and_the_same_again_is_none(desk: Desk) -> None:
    await desk.group()
    await desk.boss("/group quiet 1 22-8", crash_first=True)
    await desk.boss("/group quiet 1 22:00-08:00")
    rows = await desk.store.audit.newest()
    assert [(row.action, row.target, row.detail) for row in rows] == [
        ("group.quiet", "group:1", "quiet: 22:00-08:00")
    ]
    assert (await desk.store.audit.verify()).sound


# Words


def test_newcomers_are_named_as_far_as_they_have_names(desk: Desk) -> None:
    def said(names: tuple[str, ...], others: int) -> str:
        return group_words.newcomers(desk.texts, names, others)

    assert said(("小林", "阿木"), 3) == "小林、阿木 和另外 3 位"
    assert said(("小林",), 0) == "小林"
    assert said((), 1) == "新朋友"
    assert said((), 500) == "500 位新朋友"


# What people type


@pytest.mark.parametrize(
    "typed", ["1 welcome 欢迎 {names}", "#1 欢迎 欢迎 {names}", "学习群 welcome 欢迎 {names}"]
)
async def test_the_group_may_stand_before_the_word(desk: Desk, typed: str) -> None:
    group = await desk.group(name="学习群")
    assert "来新人时我会说" in await desk.boss(f"/group {typed}")
    assert desk.rules(group).welcome == "欢迎 {names}"


async def test_a_push_may_be_typed_behind_its_groups(desk: Desk) -> None:
    await desk.group()
    await desk.group("2")
    assert "要发到 2 个群" in await desk.boss("/group 1,2 push 你好")
    assert "没有叫「9」的群" in await desk.boss("/group 9 welcome 你好")


async def test_in_the_group_the_number_before_the_word_is_its_own(desk: Desk) -> None:
    group = await desk.group()
    await desk.group("2")
    assert "到 11:00" in await desk.in_group(group, "/group 1 mute 30m")
    assert "只管本群" in await desk.in_group(group, "/group 2 mute 30m")


async def test_a_forgotten_number_is_asked_for_with_the_line_to_type(desk: Desk) -> None:
    await desk.group()
    said = await desk.boss("/group welcome 欢迎 {names}")
    assert said.startswith("要写是哪个群：/group welcome 3 欢迎 {names}。")
    assert "没有叫「9」的群" in await desk.boss("/group welcome 9 你好")


async def test_words_that_are_near_in_meaning_are_asked_back(desk: Desk) -> None:
    group = await desk.group()
    assert await desk.boss("/groups") == await desk.boss("/group list")
    assert "/group unbind 吗" in await desk.boss("/group leave 1")
    assert desk.now_of(group).bound


async def test_a_usage_in_the_group_has_no_number(desk: Desk) -> None:
    group = await desk.group()
    for what in ("mute", "welcome", "quiet 3", "digest x", "eager", "keywords", "order", "call"):
        said = await desk.in_group(group, f"/group {what}")
        assert said.startswith("这样写：/group "), what
        assert " 3 " not in said, what


async def test_the_configured_time_of_a_digest_is_said(desk: Desk) -> None:
    await desk.group()
    desk.channels = replace(desk.channels, digest_at="21:30")
    assert await desk.boss("/group digest 1 on") == "「学习群」（#1）每天 21:30 发日报。"
    assert "日报：21:30" in await desk.boss("/group 1")


async def test_a_group_of_a_group_robot_is_told_what_is_of_no_use_there(desk: Desk) -> None:
    group = await desk.group("robot", POSTER, "公告群")
    deaf = desk.texts("group_desk.robot_deaf")
    for what in ("digest 1 21:00", "welcome 1 on", "order 1 act"):
        assert (await desk.boss(f"/group {what}")).endswith(f"不过{deaf}"), what
    for what in ("eager 1 60", "keywords 1 off"):
        assert await desk.boss(f"/group {what}") == deaf, what
    assert desk.rules(group).keywords is None
    assert "之间不发消息" in await desk.boss("/group quiet 1 22-8")


async def test_what_is_in_the_way_is_listed_with_one_however(desk: Desk) -> None:
    await desk.group("w", WECOM, "公司群")
    said = await desk.boss("/group welcome 1 on")
    assert said.count("不过") == 1
    assert "发不了消息" in said
    assert "谁进了群" in said
    assert "只会有这些" in await desk.boss("/group digest 1 21:00")


async def test_a_group_without_a_name_is_not_called_by_its_number_twice(desk: Desk) -> None:
    group = await desk.group(name="")
    said = await desk.in_group(group, "/group")
    assert said.startswith("本群是 #1「没起名的群」，已绑定。")
    assert "#1 没起名的群（qun）" in await desk.boss("/group list")
