"""/group push: looked at, confirmed, and to each group once; /group posts: what became of it."""

from __future__ import annotations

from handlers import group_push
from store.posts import NewPost, Post
from tests.handlers.group_operators import GATE, POSTER, WECOM, Desk, desk

__all__ = ["desk"]


async def test_a_push_is_shown_before_it_goes(desk: Desk) -> None:
    await desk.group()
    await desk.group("2", name="写作群")
    await desk.group("3", WECOM, "公司群")
    await desk.group("4", name="没绑的", bound=False)
    said = await desk.boss("/group push 1，2,3,4,99 今晚八点直播\n不见不散")
    assert said == (
        "要发到 2 个群：\n#1 学习群\n#2 写作群\n"
        "发不到：\n99：没有这个群\n#3 公司群：没有能发消息的通道，/group route 3 通道\n"
        "#4 没绑的：没绑定，/group bind 4\n"
        "内容：\n今晚八点直播\n不见不散\n每分钟 20 条以内，一分钟内发完。\n"
        + desk.texts("operator.confirm_hint", minutes=10)
    )
    assert await desk.posts() == []
    assert await desk.boss("确认") == "好，2 条消息在发。/group posts 看结果。"
    posts = await desk.posts()
    assert [(one["place"], one["channel"], one["kind"]) for one in posts] == [
        ("qun:1", "qun", "push"),
        ("qun:2", "qun", "push"),
    ]
    assert all("今晚八点直播" in one["body"] for one in posts)
    assert await desk.audits() == [("group.push", "")]


async def test_a_push_goes_once_however_often_it_is_confirmed(desk: Desk) -> None:
    await desk.group()
    await desk.boss("/group push all 今晚直播", crash_first=True)
    await desk.boss("确认", crash_first=True)
    await desk.boss("确认")
    assert len(await desk.posts()) == 1
    assert len(await desk.audits()) == 1
    await desk.boss("/group push all 今晚直播")
    await desk.boss("确认")
    assert len(await desk.posts()) == 2, "said again, it is meant again"


async def test_only_who_asked_for_a_push_can_confirm_it_and_not_for_ever(desk: Desk) -> None:
    await desk.group()
    await desk.promote("o_other")
    await desk.boss("/group push 1 今晚直播")
    await desk.say("确认", "o_other")
    await desk.say("确认")
    desk.later(minutes=11)
    assert await desk.boss("确认") == desk.texts("operator.confirm_nothing")
    assert await desk.posts() == []


async def test_what_was_unbound_since_the_preview_gets_nothing(desk: Desk) -> None:
    await desk.group()
    gone = await desk.group("2")
    await desk.boss("/group push all 今晚直播")
    await desk.store.groups.unbind(gone.place)
    assert await desk.boss("确认") == (
        "好，1 条消息在发。/group posts 看结果。\n有 1 个群现在发不到，没有发。"
    )
    await desk.boss("/group push 1 再说一次")
    await desk.store.groups.leave("qun:1", desk.at)
    assert await desk.boss("确认") == desk.texts("group_desk.push_nobody")


async def test_a_push_waits_for_the_end_of_quiet_hours_and_mutes(desk: Desk) -> None:
    await desk.group()
    await desk.boss("/group quiet 1 9:00-12:00")
    assert "#1 学习群（11-21 12:00 以后发" in await desk.boss("/group push 1 你好")
    await desk.boss("确认")
    await desk.boss("/group quiet 1 12:00-14:00")
    await desk.boss("/group mute 1 2h")
    assert "11-21 14:00 以后发" in await desk.boss("/group push 1 你好")
    await desk.boss("确认")
    noon = desk.now.replace(hour=12, minute=0).timestamp()
    assert [one["due_at"] - noon for one in await desk.posts()] == [0, 7200]


async def test_a_group_under_two_names_gets_it_once(desk: Desk) -> None:
    await desk.group("robot", POSTER, "通知")
    company = await desk.group("w", WECOM, "公司群")
    await desk.boss("/group route 2 poster")
    said = await desk.boss("/group push all 放假通知")
    assert "要发到 1 个群：\n#2 公司群（经 poster）\n内容" in said
    await desk.boss("确认")
    assert [(one["place"], one["channel"]) for one in await desk.posts()] == [
        (company.place, POSTER)
    ]
    assert "是同一个，只发一次" in await desk.boss("/group push 1,2 放假通知")


async def test_a_push_to_many_says_how_long_it_takes(desk: Desk) -> None:
    for number in range(45):
        await desk.group(str(number), name=f"群{number}")
    said = await desk.boss("/group push 全部 你好")
    assert "要发到 45 个群" in said
    assert said.count("#") == group_push.SHOWN
    assert "…还有 30 个群" in said
    assert "大约 3 分钟发完" in said


async def test_a_push_that_nobody_can_get_asks_nothing(desk: Desk) -> None:
    await desk.group("w", WECOM)
    for who in ("1", "99", "all", "，"):
        said = await desk.boss(f"/group push {who} 你好")
        assert said.startswith(desk.texts("group_desk.push_nobody"))
    assert await desk.boss("确认") == desk.texts("operator.confirm_nothing")


async def test_a_push_without_words_or_with_too_many_is_refused(desk: Desk) -> None:
    await desk.group()
    for what in ("", "1", "all"):
        assert await desk.boss(f"/group push {what}") == desk.texts("group_desk.push_usage")
    said = await desk.boss("/group push 1 " + "长" * 683)
    assert said == "太长了：2049 字节，一条最多 2048 字节（约 682 个汉字）。"
    assert "要发到 1 个群" in await desk.boss("/group push 1 " + "长" * 682)


async def test_the_last_posts_are_listed_with_their_ends(desk: Desk) -> None:
    group = await desk.group()
    await desk.group("2", name="写作群")
    ends = (
        ("welcome", "sent", None, ""),
        ("push", "refused", 45009, "x"),
        ("push", "refused", None, "no card there"),
        ("digest", "unknown", None, ""),
        ("strange", "planned", None, ""),
    )
    for number, (kind, status, errcode, note) in enumerate(ends):
        new = NewPost(
            key=number.to_bytes(16, "big"),
            channel=GATE,
            place=group.place,
            kind=kind,
            body=Post("text", content="你好"),
            due_at=desk.at,
        )
        await desk.store.posts.plan(new, desk.at)
        if status != "planned":
            claimed = await desk.store.posts.claim(desk.at + 100 * number, {GATE: 20})
            await desk.store.posts.settle(
                claimed[0].id, status, desk.at, errcode=errcode, note=note
            )
    listed = [
        "最近发的（新的在前）：",
        "11-21 10:30 #1 学习群 消息：等着发",
        "11-21 10:30 #1 学习群 日报：不知道发没发出，请去群里看一眼",
        "11-21 10:30 #1 学习群 推送：没发成（no card there）",
        "11-21 10:30 #1 学习群 推送：没发成（错误码 45009：这个机器人发得太密，过一会儿再推一次）",
        "11-21 10:30 #1 学习群 欢迎：已发",
    ]
    assert await desk.boss("/group posts") == "\n".join(listed)
    assert await desk.boss("/group posts 1") == "\n".join(listed)
    assert await desk.boss("/group posts 2") == desk.texts("group_desk.posts_none")
    assert "没有叫「9」的群" in await desk.boss("/group posts 9")


async def test_a_push_into_quiet_hours_says_when_it_goes(desk: Desk) -> None:
    await desk.group()
    await desk.group("2", name="写作群")
    await desk.boss("/group quiet 1 9:00-12:00")
    await desk.boss("/group push 1 你好")
    assert await desk.boss("确认") == (
        "好，1 条消息记下了：现在不打扰，11-21 12:00 以后发。/group posts 看结果。"
    )
    await desk.boss("/group push 1,2 大家好")
    assert await desk.boss("确认") == (
        "好，2 条消息在发。/group posts 看结果。\n其中 1 条现在不打扰，11-21 12:00 以后发。"
    )


async def test_the_same_words_again_are_pointed_out_before_they_go(desk: Desk) -> None:
    await desk.group()
    again = "注意：11-21 10:30 刚推送过一样的内容。"
    assert again not in await desk.boss("/group push 1 今晚直播")
    await desk.boss("确认")
    assert again in await desk.boss("/group push 1 今晚直播")
    assert again not in await desk.boss("/group push 1 明晚直播")
    desk.later(hours=25)
    assert "刚推送过" not in await desk.boss("/group push 1 今晚直播")


async def test_a_refusal_says_what_to_do(desk: Desk) -> None:
    group = await desk.group("robot", POSTER, "通知")
    await desk.boss("/group push 1 你好")
    await desk.boss("确认")
    [claimed] = await desk.store.posts.claim(desk.at, {POSTER: 20})
    await desk.store.posts.settle(claimed.id, "refused", desk.at, errcode=93000, note="invalid")
    assert "错误码 93000：群机器人的地址不对" in await desk.boss(f"/group posts {group.id}")


async def test_a_group_without_a_name_is_called_so(desk: Desk) -> None:
    await desk.group(name="")
    assert "\n#1 没起名的群\n" in await desk.boss("/group push 1 你好")


async def test_a_group_that_calls_itself_a_robot_is_a_group_like_any_other(desk: Desk) -> None:
    for external_id in ("1", "2", "robot"):
        await desk.group(external_id)
    await desk.boss("/group push all 今晚直播")
    await desk.boss("确认")
    assert len(await desk.posts()) == 3
    await desk.boss("/group route 1 qun")
    assert desk.now_of(await desk.group("1")).route == ""
