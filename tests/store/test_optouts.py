"""Who wants to hear nothing more: of a topic, or of all that no subscription names."""

from __future__ import annotations

import pytest

from store import Store, optouts
from store.dialect import Connection
from tests.store.rows import CHANNEL, LIN, MEI, NOW


async def met(store: Store, openid: str = LIN) -> int:
    return (await store.members.meet(CHANNEL, openid, NOW)).id


async def wanted(store: Store, member_id: int) -> list[bool]:
    """Whether they would get a campaign about 直播, about 新课, and about nothing by name."""
    refusing = store.optouts.refusing
    return [member_id not in await refusing([member_id], topic) for topic in ("直播", "新课", "")]


async def test_who_said_nothing_gets_everything(store: Store) -> None:
    lin = await met(store)
    assert await wanted(store, lin) == [True, True, True]
    assert await store.optouts.of(lin) == []


async def test_leaving_one_topic_leaves_the_others(store: Store) -> None:
    lin = await met(store)
    await store.content.subscribe(lin, "直播", NOW)
    assert await store.optouts.leave(lin, "直播", NOW)
    assert not await store.optouts.leave(lin, "直播", NOW + 1)
    assert await wanted(store, lin) == [False, True, True]
    assert await store.content.topics_of(lin) == []


async def test_leaving_everything_leaves_what_was_subscribed_too(store: Store) -> None:
    lin, mei = await met(store), await met(store, MEI)
    for member in (lin, mei):
        await store.content.subscribe(member, "直播", NOW)
    assert await store.optouts.leave_all(lin, NOW) == 1
    assert await store.optouts.leave_all(lin, NOW + 1) is None
    assert await wanted(store, lin) == [False, False, False]
    assert await wanted(store, mei) == [True, True, True], "a neighbour is another matter"


async def test_a_subscription_after_it_brings_back_only_its_topic(store: Store) -> None:
    lin = await met(store)
    await store.optouts.leave_all(lin, NOW)
    assert await store.content.subscribe(lin, "直播", NOW + 1)
    assert await wanted(store, lin) == [True, False, False]


async def test_subscribing_takes_the_opt_out_of_that_topic_back(store: Store) -> None:
    lin = await met(store)
    await store.optouts.leave(lin, "直播", NOW)
    await store.content.subscribe(lin, "直播", NOW + 1)
    assert await store.optouts.of(lin) == []


async def test_coming_back_undoes_the_last_word_and_not_more(store: Store) -> None:
    lin = await met(store)
    await store.optouts.leave(lin, "直播", NOW)
    await store.optouts.leave_all(lin, NOW)
    assert await store.optouts.come_back(lin)
    assert await wanted(store, lin) == [False, True, True]
    assert await store.optouts.come_back(lin)
    assert await wanted(store, lin) == [True, True, True]
    assert not await store.optouts.come_back(lin)


async def test_nobody_leaves_nothing_behind(store: Store) -> None:
    assert not await store.optouts.leave(99, "直播", NOW)
    assert await store.optouts.leave_all(99, NOW) is None
    assert await store.optouts.refusing([], "直播") == set()
    assert await store.optouts.refusing([99], "直播") == set()


async def test_many_members_are_asked_about_at_once(store: Store) -> None:
    members = [await met(store, f"o{number}") for number in range(150)]
    for member in members[::3]:
        await store.optouts.leave_all(member, NOW)
    for member in members[1::3]:
        await store.optouts.leave(member, "直播", NOW)
    await store.content.subscribe(members[0], "直播", NOW)
    assert await store.optouts.refusing(members, "直播") == {*members[3::3], *members[1::3]}
    assert await store.optouts.refusing(members, "") == set(members[::3])


@pytest.mark.parametrize(
    ("kept", "dropped", "expected"),
    [
        # What each said about 直播 or everything, and when; then what the joined one gets.
        ([("off", "直播", 2)], [("on", "直播", 1)], [False, True, True]),
        ([("off", "直播", 1)], [("on", "直播", 2)], [True, True, True]),
        ([("off", "直播", 1)], [("on", "直播", 1)], [False, True, True]),
        ([("on", "直播", 1)], [("off", "", 2)], [False, False, False]),
        ([("on", "直播", 2)], [("off", "", 1)], [True, False, False]),
        ([("off", "直播", 1)], [("off", "新课", 1)], [False, False, True]),
        ([], [("off", "", 1)], [False, False, False]),
        ([("off", "", 1)], [], [False, False, False]),
    ],
)
async def test_joined_members_want_what_the_newer_word_says(
    store: Store,
    kept: list[tuple[str, str, int]],
    dropped: list[tuple[str, str, int]],
    expected: list[bool],
) -> None:
    members = [await met(store), await met(store, MEI)]
    for member, words in zip(members, (kept, dropped), strict=True):
        for word, topic, at in words:
            if word == "on":
                await store.content.subscribe(member, topic, NOW + at)
            elif topic:
                await store.optouts.leave(member, topic, NOW + at)
            else:
                await store.optouts.leave_all(member, NOW + at)
    for openid in (LIN, MEI):
        await store.members.unite(CHANNEL, openid, "uTEST")
    joined = await met(store)
    assert joined == await met(store, MEI)
    assert await wanted(store, joined) == expected


async def test_what_was_left_is_told_and_forgotten(store: Store) -> None:
    lin = await met(store)
    await store.optouts.leave(lin, "直播", NOW)

    def told(conn: Connection) -> list[dict[str, object]]:
        return optouts.told(conn, lin)["optouts"]

    assert await store.db.read(told) == [{"topic": "直播", "since": NOW}]
    await store.members.erase(lin, NOW)
    assert await store.db.read(told) == []
