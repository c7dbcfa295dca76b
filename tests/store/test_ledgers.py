"""Small books: what was done, what is used up, one token for all, one winner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store import Store
from store.ledgers import AuditRow
from tests.blank import blank
from tests.store.rows import NOW


@pytest.fixture
async def other(store: Store) -> AsyncIterator[Store]:
    """A second process at the same file."""
    other = Store(store.db.path, durability="process")
    await other.open()
    yield other
    await other.close()


async def test_the_audit_tells_the_newest_first(store: Store) -> None:
    for number in range(3):
        await store.audit.add(NOW + number, "member:1", "faq.add", f"faq:{number}", "detail")
    await store.audit.add(NOW, "cli", "erase")
    assert await store.audit.newest(2) == [
        AuditRow(NOW, "cli", "erase", "", ""),
        AuditRow(NOW + 2, "member:1", "faq.add", "faq:2", "detail"),
    ]
    assert len(await store.audit.newest()) == 4


async def test_every_call_is_counted_once_whoever_makes_it(store: Store, other: Store) -> None:
    assert await store.quota.used("mp", "custom", "2025-11-20") == 0
    counts = await asyncio.gather(
        *[
            one.quota.count("mp", "custom", "2025-11-20")
            for _ in range(25)
            for one in (store, other)
        ]
    )
    assert sorted(counts) == list(range(1, 51)), "each caller gets its own number"
    assert await store.quota.used("mp", "custom", "2025-11-20") == 50


async def test_calls_of_one_moment_are_counted_in_one_write(tmp_path: Path) -> None:
    batches: list[int] = []
    store = Store(blank(tmp_path / "one.db"), observe=batches.append)
    await store.open()
    names = ["custom"] * 60 + ["menu"] * 3
    counts = await asyncio.gather(*(store.quota.count("mp", name, "1") for name in names))
    assert counts == [*range(1, 61), 1, 2, 3]
    # The writer says so a moment after it has answered.
    await store.close()
    assert batches == [63]


async def test_channels_apis_and_days_are_counted_apart(store: Store) -> None:
    for place in (
        ("mp", "custom", "1"),
        ("mp", "custom", "2"),
        ("mp", "menu", "1"),
        ("b", "a", "1"),
    ):
        assert await store.quota.count(*place) == 1


async def test_one_token_is_shared(store: Store, other: Store) -> None:
    assert await other.tokens.get("mp") is None
    await store.tokens.put("mp", "first", NOW)
    await store.tokens.put("mp", "second", NOW + 7200)
    await store.tokens.put("sub", "theirs", NOW)
    assert await other.tokens.get("mp") == ("second", NOW + 7200)


async def test_only_the_token_that_failed_is_dropped(store: Store, other: Store) -> None:
    """Two calls fail with the old token; the second hears of it after the renewal."""
    await store.tokens.put("mp", "old", NOW)
    await store.tokens.drop("mp", "old")
    assert await store.tokens.get("mp") is None
    await other.tokens.put("mp", "new", NOW + 7200)
    await store.tokens.drop("mp", "old")
    assert await store.tokens.get("mp") == ("new", NOW + 7200)


async def test_a_value_is_kept_until_the_next(store: Store) -> None:
    assert await store.meta.get("claim") is None
    await store.meta.put("claim", "a")
    await store.meta.put("claim", "b")
    assert await store.meta.get("claim") == "b"
