"""WeChat's tags in the store: what is wanted, what WeChat said yes to, and the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from store import Store, wechat_tags
from store.dialect import Connection
from store.ledgers import Deed
from tests.store.rows import CHANNEL, NOW

T = TypeVar("T")

TAG = "老学员"
DEED = Deed(NOW, "member:1", "tag.keep")


async def do(store: Store, run: Callable[[Connection], T]) -> T:
    return await store.db.write(run)


@pytest.fixture
async def members(store: Store) -> list[int]:
    """Three followers' numbers; all carry our tag."""
    numbers = []
    for one in range(3):
        member = await store.members.meet(CHANNEL, f"o_{one}", NOW)
        await store.members.follow(CHANNEL, f"o_{one}", True, NOW)
        await store.tags.add(member.id, TAG, NOW, limit=9)
        numbers.append(member.id)
    return numbers


async def missing(store: Store, **which: int) -> list[tuple[int, str]]:
    return await do(store, lambda conn: wechat_tags.missing(conn, CHANNEL, TAG, **which))


async def surplus(store: Store, *, everybody: bool = False) -> list[tuple[int, str]]:
    return await do(
        store, lambda conn: wechat_tags.surplus(conn, CHANNEL, TAG, everybody=everybody)
    )


async def tag(store: Store, *members: int, at: float = NOW + 1) -> None:
    await do(store, lambda conn: wechat_tags.tagged(conn, CHANNEL, TAG, members, at))


async def test_keeping_and_dropping_are_on_record_once(store: Store) -> None:
    tags = store.wechat_tags
    assert await tags.keep(CHANNEL, TAG, DEED)
    assert not await tags.keep(CHANNEL, TAG, DEED)
    await do(store, lambda conn: wechat_tags.made(conn, CHANNEL, TAG, 105))
    kept = await tags.get(CHANNEL, TAG)
    assert kept is not None
    assert (kept.wechat_id, kept.kept, kept.synced_at) == (105, True, None)
    drop = Deed(NOW, "member:1", "tag.drop")
    assert await tags.drop(CHANNEL, TAG, drop)
    assert not await tags.drop(CHANNEL, TAG, drop)
    assert not await tags.drop(CHANNEL, "nobody's", drop)
    (dropped,) = await tags.all()
    assert not dropped.kept
    rows = await store.audit.newest()
    assert [(row.action, row.target) for row in rows] == [
        ("tag.drop", f"tag:{TAG}"),
        ("tag.keep", f"tag:{TAG}"),
    ]


async def test_one_that_wechat_never_made_is_gone_when_dropped(store: Store) -> None:
    await store.wechat_tags.keep(CHANNEL, TAG)
    assert await store.wechat_tags.drop(CHANNEL, TAG)
    assert await store.wechat_tags.all() == []
    assert await store.wechat_tags.get(CHANNEL, TAG) is None


async def test_what_is_missing_is_read_in_pages(store: Store, members: list[int]) -> None:
    assert [one for one, _ in await missing(store)] == members
    assert await missing(store, limit=1) == [(members[0], "o_0")]
    assert await missing(store, after=members[1]) == [(members[2], "o_2")]
    await tag(store, *members)
    assert await missing(store) == []


async def test_nobody_who_does_not_follow_is_missing(store: Store, members: list[int]) -> None:
    await store.members.follow(CHANNEL, "o_0", False, NOW)
    await do(
        store,
        lambda conn: conn.execute(
            "update identities set blocked_at = ? where external_id = 'o_1'", (NOW,)
        ),
    )
    assert await missing(store) == [(members[2], "o_2")]


async def test_who_came_back_is_missing_it_again(store: Store, members: list[int]) -> None:
    await tag(store, *members)
    await store.members.follow(CHANNEL, "o_1", False, NOW + 2)
    assert await surplus(store) == []
    await store.members.follow(CHANNEL, "o_1", True, NOW + 3)
    assert await missing(store) == [(members[1], "o_1")]
    await tag(store, members[1], at=NOW + 4)
    assert await missing(store) == []


async def test_who_lost_our_tag_has_wechats_too_many(store: Store, members: list[int]) -> None:
    await tag(store, *members)
    await store.tags.remove(members[0], TAG)
    assert await surplus(store) == [(members[0], "o_0")]
    assert len(await surplus(store, everybody=True)) == 3
    await do(store, lambda conn: wechat_tags.untagged(conn, CHANNEL, TAG, members[:1]))
    assert await surplus(store) == []


async def test_of_two_identities_the_one_seen_last_is_tagged(
    store: Store, members: list[int]
) -> None:
    def run(conn: Connection) -> None:
        conn.execute(
            "insert into identities (channel, external_id, member_id, followed, last_seen_at) "
            "values (?, 'o_new', ?, 1, ?)",
            (CHANNEL, members[0], NOW + 9),
        )

    await do(store, run)
    assert (await missing(store))[0] == (members[0], "o_new")


async def test_a_tag_lost_at_wechat_is_forgotten_in_slices(store: Store) -> None:
    await store.wechat_tags.keep(CHANNEL, TAG)

    def run(conn: Connection) -> list[bool]:
        wechat_tags.made(conn, CHANNEL, TAG, 105)
        conn.executemany(
            "insert into members (id, created_at) values (?, 0)",
            [(one,) for one in range(1000, 3500)],
        )
        wechat_tags.tagged(conn, CHANNEL, TAG, range(1000, 3500), NOW)
        return [wechat_tags.lost(conn, CHANNEL, TAG) for _ in range(2)]

    assert await do(store, run) == [False, True]
    (tag,) = await store.wechat_tags.all()
    assert (tag.wechat_id, tag.kept) == (None, True)


async def test_one_that_is_kept_again_while_it_goes_stays(store: Store) -> None:
    tags = store.wechat_tags
    for again in (False, True):
        await tags.keep(CHANNEL, TAG)
        await do(store, lambda conn: wechat_tags.made(conn, CHANNEL, TAG, 105))
        await tags.drop(CHANNEL, TAG)
        if again:
            await tags.keep(CHANNEL, TAG)
        assert await do(store, lambda conn: wechat_tags.dropped(conn, CHANNEL, TAG))
        assert bool(await tags.all()) is again


async def test_tags_of_campaigns_are_nobodys_to_keep(store: Store) -> None:
    def run(conn: Connection) -> None:
        conn.execute(
            "insert into wechat_tags (channel, tag, wechat_id, campaign_id) "
            "values (?, 'campaign:1', 105, 1)",
            (CHANNEL,),
        )

    await do(store, run)
    assert await store.wechat_tags.all() == []
    assert not await store.wechat_tags.keep(CHANNEL, "campaign:1")
    assert not await store.wechat_tags.drop(CHANNEL, "campaign:1")


async def test_the_list_names_every_tag_with_what_wechat_has(
    store: Store, members: list[int]
) -> None:
    await store.tags.add(members[0], "VIP", NOW, limit=9)
    await store.wechat_tags.keep(CHANNEL, TAG)
    await store.wechat_tags.keep(CHANNEL, "没人")
    await tag(store, *members[:2])
    listed = await store.wechat_tags.listed(CHANNEL)
    assert [(one.tag, one.members, one.tagged, one.at_wechat is None) for one in listed] == [
        (TAG, 3, 2, False),
        ("VIP", 1, 0, True),
        ("没人", 0, 0, False),
    ]
    assert len(await store.wechat_tags.listed(CHANNEL, 1)) == 1
    other = await store.wechat_tags.listed("other")
    assert [one.at_wechat for one in other] == [None, None]


async def test_two_who_become_one_carry_it_once(store: Store, members: list[int]) -> None:
    lin, mei, kai = members
    await tag(store, lin, mei)

    def run(conn: Connection) -> None:
        wechat_tags.merge(conn, lin, mei)
        wechat_tags.merge(conn, kai, lin)
        assert wechat_tags.told(conn, lin) == {"wechat_tagged": []}
        carried = [{"channel": CHANNEL, "tag": TAG, "at": NOW + 1}]
        assert wechat_tags.told(conn, kai) == {"wechat_tagged": carried}
        assert wechat_tags.forget(conn, kai, NOW) == {"wechat_tagged": 1}

    await do(store, run)


async def test_a_member_forgotten_meanwhile_is_not_written_down(
    store: Store, members: list[int]
) -> None:
    await tag(store, 987_654)
    assert await surplus(store, everybody=True) == []
