"""/tag: tags on members at once, WeChat's own a little later."""

from __future__ import annotations

from functools import partial

import pytest

from bot import rest_members
from handlers import tag_desk
from store import wechat_tags
from tests.handlers.conftest import CHANNEL, Conversation

TAG = "老学员"


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    """o_lin is a member, o_boss an operator, o_eye an analyst."""
    await talk.member()
    await talk.promote("o_boss")
    await talk.promote("o_eye", "analyst")
    return talk


async def ask(desk: Conversation, text: str, *, crash_first: bool = False) -> str:
    return await desk.say(text, who="o_boss", crash_first=crash_first)


async def audit(desk: Conversation) -> list[tuple[str, str, str]]:
    return [
        (row.action, row.target, row.detail.rpartition(" [")[0])
        for row in await desk.store.audit.newest()
    ]


async def test_tags_go_on_and_off_at_once(desk: Conversation) -> None:
    lin, mei = await desk.member(), await desk.member("o_mei")
    said = await ask(desk, f"/tag add {TAG} {lin}、#{mei} {lin}", crash_first=True)
    assert said == f"成员 {lin}、{mei} 有标签「{TAG}」了。"
    assert await desk.store.tags.members(TAG) == [lin, mei]
    assert await audit(desk) == [("member.tag", f"tag:{TAG}", f"members {lin} {mei}")]
    said = await ask(desk, f"/tag remove {TAG} {lin}", crash_first=True)
    assert said == f"成员 {lin} 没有标签「{TAG}」了。"
    assert await desk.store.tags.members(TAG) == [mei]
    assert (await audit(desk))[0] == ("member.untag", f"tag:{TAG}", f"members {lin}")


async def test_who_is_not_there_is_named(desk: Conversation) -> None:
    lin = await desk.member()
    said = await ask(desk, f"/tag add VIP {lin} 9999")
    assert said == f"成员 {lin} 有标签「VIP」了。\n没有成员 9999，编号写错了吗？"
    assert await ask(desk, "/tag remove VIP 9999") == "没有成员 9999，编号写错了吗？"
    assert [row[0] for row in await audit(desk)] == ["member.tag"]


async def test_a_member_full_of_tags_is_named(desk: Conversation) -> None:
    lin = await desk.member()
    for number in range(tag_desk.MOST_TAGS):
        await desk.store.tags.add(lin, f"t{number}", desk.at, limit=99)
    said = await ask(desk, f"/tag add VIP {lin}")
    assert said == f"成员 {lin} 已经有 50 个标签，先去掉一个再加。"
    assert await audit(desk) == []
    assert await ask(desk, f"/tag add t0 {lin}") == f"成员 {lin} 有标签「t0」了。", (
        "it has this one"
    )


def test_the_limits_are_the_same_at_every_door() -> None:
    assert tag_desk.MOST_TAGS == rest_members.MAX_TAGS


@pytest.mark.parametrize("verb", ["add", "remove"])
@pytest.mark.parametrize("rest", ["", TAG, f"{TAG} x", f"{TAG} 12 x", "12", f"{TAG} -1"])
async def test_what_is_half_said_gets_the_usage(desk: Conversation, verb: str, rest: str) -> None:
    assert (await ask(desk, f"/tag {verb} {rest}")).startswith(f"这样写：/tag {verb} {TAG}")


async def test_too_many_and_too_long_are_refused(desk: Conversation) -> None:
    many = " ".join(str(number) for number in range(1, 52))
    assert "一次最多 50 位" in await ask(desk, f"/tag add VIP {many}")
    assert await ask(desk, f"/tag add {'长' * 41} 1") == "标签最多 40 个字，中间没有空格。"
    assert await ask(desk, "/tag keep 两 个") == "标签最多 40 个字，中间没有空格。"


async def test_keeping_one_is_written_down_once(desk: Conversation) -> None:
    said = await ask(desk, f"/tag keep {TAG}", crash_first=True)
    assert said.startswith(f"「{TAG}」会和微信后台的同名标签保持同步，没有就新建")
    (kept,) = await desk.store.wechat_tags.all()
    assert (kept.channel, kept.tag, kept.kept) == (CHANNEL, TAG, True)
    assert [row[:2] for row in await audit(desk)] == [("tag.keep", f"tag:{TAG}")]
    assert (await ask(desk, "/tag 同步 VIP")).startswith("「VIP」会和微信后台的同名标签保持同步")
    lin = await desk.member()
    assert (await ask(desk, f"/tag add VIP {lin}")).endswith("微信后台的标签会在几分钟内跟上。")


async def test_names_that_wechat_refuses_are_refused_before(desk: Conversation) -> None:
    assert "微信的标签名最多 30 字节" in await ask(desk, f"/tag keep {'长' * 11}")
    assert "留给群发用" in await ask(desk, "/tag keep campaign:1")
    assert await ask(desk, "/tag keep") == f"这样写：/tag keep {TAG}"
    assert await desk.store.wechat_tags.all() == []


async def test_dropping_asks_first(desk: Conversation) -> None:
    assert await ask(desk, f"/tag drop {TAG}") == f"「{TAG}」没有在同步。"
    assert await ask(desk, "/tag drop") == f"这样写：/tag drop {TAG}"
    await ask(desk, f"/tag keep {TAG}")
    made = partial(wechat_tags.made, channel=CHANNEL, tag=TAG, wechat_id=105)
    await desk.store.db.write(lambda conn: made(conn))
    assert (await ask(desk, f"/tag drop {TAG}")).startswith(f"不再同步「{TAG}」，并删除")
    assert (await desk.store.wechat_tags.all())[0].kept
    done = await ask(desk, "确认", crash_first=True)
    assert done == f"「{TAG}」不再同步，微信后台的标签几分钟内删除。"
    assert not (await desk.store.wechat_tags.all())[0].kept
    assert [row[:2] for row in await audit(desk)] == [
        ("tag.drop", f"tag:{TAG}"),
        ("tag.keep", f"tag:{TAG}"),
    ]


async def test_the_list_says_how_far_wechat_is(desk: Conversation) -> None:
    assert (await ask(desk, "/tag list")).startswith("还没有标签。")
    lin, mei = await desk.member(), await desk.member("o_mei")
    for tag, members in {"VIP": (lin, mei), TAG: (lin,), "新人": (mei,)}.items():
        for member in members:
            await desk.store.tags.add(member, tag, desk.at, limit=9)
    for tag in ("VIP", TAG):
        await desk.store.wechat_tags.keep(CHANNEL, tag)
    await desk.store.db.write(lambda conn: wechat_tags.tagged(conn, CHANNEL, "VIP", [lin], desk.at))
    await desk.store.db.write(lambda conn: wechat_tags.noted(conn, CHANNEL, TAG, "", desk.at))
    assert await ask(desk, "/tag 列表") == "\n".join(
        (
            "标签（3 个）",
            "VIP：2 人，微信 1 人（同步中）",
            "新人：1 人",
            f"{TAG}：1 人，微信 0 人（11-21 10:30 同步）",
        )
    )
    await desk.store.wechat_tags.drop(CHANNEL, TAG)


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ("full", "已满 100 个"),
        ("name", "不接受这个名字"),
        ("gone", "正在重建"),
        ("crowded", "超过 10 万人"),
        ("later", "微信忙"),
        ("members:3", "有 3 人加不上"),
        ("refused:48001", "微信拒绝了（48001）"),
    ],
)
async def test_the_list_says_what_is_in_the_way(desk: Conversation, note: str, says: str) -> None:
    await desk.store.wechat_tags.keep(CHANNEL, TAG)
    await desk.store.db.write(lambda conn: wechat_tags.made(conn, CHANNEL, TAG, 105))
    await desk.store.db.write(lambda conn: wechat_tags.noted(conn, CHANNEL, TAG, note))
    assert says in await ask(desk, "/tag list")
    await desk.store.wechat_tags.drop(CHANNEL, TAG)
    assert (await ask(desk, "/tag list")).endswith("微信后台的标签正在删除")
    await desk.store.db.write(lambda conn: wechat_tags.noted(conn, CHANNEL, TAG, note))
    assert "还没删掉" in await ask(desk, "/tag list")


async def test_a_long_list_is_cut(desk: Conversation) -> None:
    lin = await desk.member()
    for number in range(tag_desk.LISTED + 2):
        await desk.store.tags.add(lin, f"t{number:02}", desk.at, limit=99)
    assert (await ask(desk, "/tag list")).endswith("t29：1 人\n还有 2 个没有列出。")


async def test_an_analyst_may_only_look(desk: Conversation) -> None:
    lin = await desk.member()
    await desk.store.tags.add(lin, TAG, desk.at, limit=9)
    assert TAG in await desk.say("/tag list", who="o_eye")
    for text in (f"/tag add VIP {lin}", f"/tag remove {TAG} {lin}", "/tag keep VIP"):
        assert await desk.say(text, who="o_eye") == desk.texts("operator.read_only")
    assert await desk.say("/tag", who="o_eye") == "/tag list：所有标签"
    assert await desk.store.tags.of(lin) == [TAG]
    assert await desk.store.wechat_tags.all() == []


async def test_members_hear_what_they_always_hear(desk: Conversation) -> None:
    assert await desk.say("/tag list") == desk.texts("operator.not_allowed")


async def test_a_word_that_is_none_gets_the_nearest_or_all(desk: Conversation) -> None:
    assert await ask(desk, "/tag keeep VIP") == "是想用 /tag keep 吗？回复 /tag 看全部用法。"
    assert (await ask(desk, "/tag")).startswith("/tag list：所有标签\n/tag add")
    assert (await ask(desk, "/tag 天气")).startswith("/tag list")
