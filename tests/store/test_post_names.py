"""Who was forgotten, or wished so, is in nothing that is still to be posted."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store
from store.groups import Seen, place_of
from store.posts import Post, post_from_json
from tests.store.rows import NOW, ask_file, change_file
from tests.store.test_posts import claim, new, plan

PLACE = place_of("qun", "1")
LIN, MEI = "wxid_lin", "wxid_mei"


async def met(store: Store, lin: str = "林小满", mei: str = "梅子") -> tuple[int, int]:
    """Two who came to a bound group, and are called so there."""
    await store.groups.meet("qun", "1", NOW, bound_by="op")
    numbers = []
    for who, name in ((LIN, lin), (MEI, mei)):
        numbers.append((await store.members.meet("qun", who, NOW)).id)
        await store.groups.see(Seen(PLACE, numbers[-1], name, NOW))
    return numbers[0], numbers[1]


def rows(store: Store) -> list[tuple[str, Post | None]]:
    """Status and post by number; None where no words are left."""
    found = ask_file(store.db.path, "select status, body from posts order by id")
    return [(status, post_from_json(body) if body else None) for status, body in found]


def body(content: str, *mentions: str) -> Post:
    return Post("text", content, mentions=mentions)


async def test_a_welcome_of_two_goes_on_as_a_welcome_of_one(store: Store) -> None:
    lin, _ = await met(store)
    both = body("欢迎 林小满、梅子", LIN, MEI)
    await plan(store, new(1, kind="welcome", body=both))
    await store.members.erase(lin, NOW)
    assert rows(store) == [("planned", body("欢迎 …、梅子", MEI))]


@pytest.mark.parametrize("kind", ["welcome", "order"])
async def test_what_is_for_them_alone_is_not_posted(store: Store, kind: str) -> None:
    lin, _ = await met(store)
    await plan(store, new(1, kind=kind, body=body("请看群公告", LIN)))
    await store.members.erase(lin, NOW + 1)
    assert rows(store) == [("dropped", None)]
    assert ask_file(store.db.path, "select settled_at from posts") == [(NOW + 1,)]
    assert await claim(store) == []


async def test_what_is_under_way_is_not_tried_again_with_their_name(store: Store) -> None:
    lin, _ = await met(store)
    await plan(store, new(1, kind="welcome", body=body("欢迎 林小满", LIN)))
    (under_way,) = await claim(store)
    await store.members.erase(lin, NOW)
    await store.posts.put_off(under_way.id, NOW, 5.0)
    assert rows(store) == [("dropped", None)]


async def test_a_quiz_goes_on_without_its_winner(store: Store) -> None:
    lin, _ = await met(store)
    await plan(store, new(1, kind="quiz", body=body("答对的有：林小满、梅子")))
    await store.members.erase(lin, NOW)
    assert rows(store) == [("planned", body("答对的有：…、梅子"))]


async def test_an_operators_words_stay_and_nobody_is_mentioned(store: Store) -> None:
    lin, _ = await met(store, lin="课程")
    await plan(store, new(1, kind="push", body=body("新课程上线", LIN, "@all")))
    await store.members.erase(lin, NOW)
    assert rows(store) == [("planned", body("新课程上线", "@all"))]


@pytest.mark.parametrize(
    ("name", "said", "left"),
    [
        ("王", "欢迎 王、王强", "欢迎 …、王强"),
        ("＠王 小  明", "欢迎 王 小 明", "欢迎 …"),
        ("很长很长很长很长很长很长很长很长很长很长的名字", "欢迎 " + "很长" * 9 + "很…", "欢迎 ……"),
        ("a.b*", "欢迎 a.b*", "欢迎 …"),
        ("", "欢迎 另外 1 位", "欢迎 另外 1 位"),
    ],
)
async def test_names_are_found_as_they_are_shown(
    store: Store, name: str, said: str, left: str
) -> None:
    lin, _ = await met(store, lin=name)
    await plan(store, new(1, kind="welcome", body=body(said, LIN, MEI)))
    await store.members.erase(lin, NOW)
    assert rows(store) == [("planned", body(left, MEI))]


async def test_a_card_that_holds_their_id_and_what_cannot_be_read_go(store: Store) -> None:
    lin, _ = await met(store)
    card: dict[str, Any] = {"card_type": "text_notice", "task_id": f"for {LIN}"}
    others = new(3, "别人的事", kind="eager")
    await plan(store, new(1, body=Post("card", card=card)), new(2), others)
    change_file(store.db.path, "update posts set body = ? where id = 2", (f"{{ {LIN}",))
    await store.members.erase(lin, NOW)
    assert rows(store) == [("dropped", None), ("dropped", None), ("planned", others.body)]


async def test_who_is_not_to_be_recorded_is_not_greeted_and_still_warned(store: Store) -> None:
    lin, _ = await met(store)
    await plan(
        store,
        new(1, kind="welcome", body=body("欢迎 林小满", LIN)),
        new(2, kind="order", body=body("请不要刷屏", LIN)),
        new(3, kind="digest", body=body("最热心的是林小满")),
    )
    await store.talk.opt(lin, recorded=False)
    assert rows(store) == [
        ("dropped", None),
        ("planned", body("请不要刷屏", LIN)),
        ("planned", body("最热心的是…")),
    ]


@pytest.mark.parametrize("status", ["sent", "refused", "unknown"])
async def test_what_has_ended_holds_no_words(store: Store, status: str) -> None:
    await met(store)
    await plan(store, new(1, body=body("请不要刷屏", LIN)))
    (found,) = await claim(store)
    await store.posts.settle(found.id, status, NOW)
    assert rows(store) == [(status, None)]


async def test_what_came_too_late_or_lost_its_end_holds_no_words(store: Store) -> None:
    await met(store)
    await plan(store, new(1), new(2, not_after=NOW + 1))
    await claim(store)
    await store.posts.recover(NOW)
    # Another process may still be in the call, and put it off.
    assert rows(store)[0] == ("unknown", Post("text", "第 1 条"))
    await claim(store, NOW + 400)
    assert rows(store) == [("unknown", None), ("expired", None)]
