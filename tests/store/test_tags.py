"""Tags on members, and members found by their tags."""

from __future__ import annotations

import asyncio

import pytest

from store import Store
from store.tags import TooManyTags

NOW = 1_795_000_000.0


async def _member(store: Store, openid: str = "o_lin") -> int:
    return (await store.members.meet("mp", openid, NOW)).id


async def test_a_tag_is_put_on_once(store: Store) -> None:
    lin = await _member(store)
    assert await store.tags.add(lin, "老学员", NOW, limit=5) is True
    assert await store.tags.add(lin, "老学员", NOW + 9, limit=5) is False
    assert await store.tags.of(lin) == ["老学员"]


async def test_nobody_gets_no_tags(store: Store) -> None:
    assert await store.tags.add(7, "vip", NOW, limit=5) is None
    assert await store.tags.of(7) == []
    assert not await store.tags.remove(7, "vip")


async def test_one_too_many_is_not_kept_and_one_that_is_there_is_no_more(store: Store) -> None:
    lin = await _member(store)
    for tag in ("a", "b"):
        await store.tags.add(lin, tag, NOW, limit=2)
    with pytest.raises(TooManyTags):
        await store.tags.add(lin, "c", NOW, limit=2)
    assert await store.tags.add(lin, "b", NOW, limit=2) is False
    assert await store.tags.of(lin) == ["a", "b"]


async def test_tags_that_come_at_once_do_not_pass_the_limit_together(store: Store) -> None:
    lin = await _member(store)
    done = await asyncio.gather(
        *(store.tags.add(lin, f"t{number}", NOW, limit=3) for number in range(10)),
        return_exceptions=True,
    )
    assert sum(one is True for one in done) == 3
    assert len(await store.tags.of(lin)) == 3


async def test_a_tag_is_taken_off_once_and_from_one_member_only(store: Store) -> None:
    lin, wang = await _member(store), await _member(store, "o_wang")
    for member_id in (lin, wang):
        await store.tags.add(member_id, "vip", NOW, limit=5)
    assert await store.tags.members("vip") == [lin, wang]
    assert await store.tags.remove(lin, "vip")
    assert not await store.tags.remove(lin, "vip")
    assert await store.tags.members("vip") == [wang]


async def test_the_forgotten_lose_their_tags(store: Store) -> None:
    lin = await _member(store)
    await store.tags.add(lin, "vip", NOW, limit=5)
    await store.members.erase(lin, NOW)
    assert await store.tags.members("vip") == []
