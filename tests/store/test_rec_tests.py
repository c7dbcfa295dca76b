"""Tests between rankers: one of each method at a time."""

from __future__ import annotations

from store import Store
from tests.store.rows import NOW


async def test_only_one_of_a_method_runs(store: Store) -> None:
    tests = store.rec_tests
    assert await tests.running() == []
    split = await tests.begin("ours", "popular", "split", 0.5, "cli", NOW, "s1")
    assert split is not None
    assert await tests.begin("ours", "lightfm", "split", 0.5, "cli", NOW, "s2") is None
    mixed = await tests.begin("ours", "item_item", "interleave", 0.2, "member:1", NOW, "s3")
    assert mixed is not None
    assert await tests.running() == [split, mixed]
    ended = await tests.end(split.id, NOW + 9, '{"winner": "ours"}')
    assert ended is not None
    assert (ended.ended_at, ended.verdict) == (NOW + 9, '{"winner": "ours"}')
    assert await tests.end(split.id, NOW + 10) is None, "it has ended"
    assert await tests.begin("ours", "lightfm", "split", 0.5, "cli", NOW, "s4") is not None
    assert [one.salt for one in await tests.newest()] == ["s4", "s3", "s1"]


async def test_the_same_order_again_is_the_same_test(store: Store) -> None:
    first = await store.rec_tests.begin("ours", "popular", "split", 0.5, "cli", NOW, "s1")
    again = await store.rec_tests.begin("ours", "popular", "split", 0.5, "cli", NOW + 1, "s1")
    assert first == again


async def test_a_verdict_may_come_while_it_runs(store: Store) -> None:
    test = await store.rec_tests.begin("ours", "popular", "split", 0.5, "cli", NOW, "s1")
    assert test is not None
    assert await store.rec_tests.judge(test.id, "{}")
    assert not await store.rec_tests.judge(99, "{}")
    kept = await store.rec_tests.get(test.id)
    assert kept is not None
    assert (kept.verdict, kept.ended_at) == ("{}", None)
