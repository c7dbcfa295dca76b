"""Keys: what is shown once, what is kept, and how many requests they allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.keys import SCOPES, BadKey, Bucket, KeyRing, new_key
from store import Store
from tests.blank import blank

NOW = 1_795_000_000.0


def test_a_key_is_long_random_and_kept_as_a_hash() -> None:
    row, shown = new_key("shop", ["items:read"], 60, NOW)
    other, _ = new_key("shop", ["items:read"], 60, NOW)
    prefix, key_id, secret = shown.split("_")
    assert (prefix, key_id, len(secret)) == ("zq", row.id, 32)
    assert secret not in repr(row)
    assert (row.id, row.hash) != (other.id, other.hash)


@pytest.mark.parametrize(
    ("name", "scopes", "per_minute"),
    [
        ("shop", [], 60),
        ("shop", ["items:*"], 60),
        ("shop", ["all"], 60),
        ("", ["items:read"], 60),
        ("a\nb", ["items:read"], 60),
        ("shop", ["items:read"], 0),
    ],
)
def test_a_key_that_cannot_be_is_refused(name: str, scopes: list[str], per_minute: int) -> None:
    with pytest.raises(BadKey):
        new_key(name, scopes, per_minute, NOW)


def test_scopes_are_named_twice_nowhere() -> None:
    assert len(SCOPES) == len(set(SCOPES))


@given(st.integers(1, 100_000), st.lists(st.floats(0, 5), max_size=200))
def test_no_bucket_lets_more_through_than_its_rate_and_burst(
    per_minute: int, pauses: list[float]
) -> None:
    bucket, at, let = Bucket(per_minute, NOW), NOW, 0
    for pause in pauses:
        at += pause
        let += bucket.take(at).allowed
    assert let <= bucket.burst + (at - NOW) * per_minute / 60 + 1e-3


@given(st.integers(1, 100_000), st.integers(1, 300))
def test_who_waits_as_told_is_let_in(per_minute: int, requests: int) -> None:
    bucket, at = Bucket(per_minute, NOW), NOW
    for _ in range(requests):
        pace = bucket.take(at)
        if not pace.allowed:
            at += pace.retry_s
            assert bucket.take(at).allowed


def test_a_clock_that_is_set_back_gives_nothing_and_locks_nobody_out() -> None:
    bucket = Bucket(60, NOW)
    for _ in range(10):
        assert bucket.take(NOW).allowed
    assert not bucket.take(NOW - 3600).allowed
    assert bucket.take(NOW - 3599).allowed


async def test_the_last_use_is_noted_at_most_once_a_minute(tmp_path: Path) -> None:
    store, at = Store(blank(tmp_path / "z.db"), durability="process"), [NOW]
    await store.open()
    ring = KeyRing(store.keys, lambda: at[0])
    row, shown = new_key("shop", ["items:read"], 6000, NOW)
    await store.keys.add(row)
    for second in (0.0, 30.0, 61.0):
        at[0] = NOW + second
        key = await ring.find(shown)
        assert key is not None
        ring.pace(key)
    await ring.close()
    (kept,) = await store.keys.all()
    assert kept.last_used_at == NOW + 61.0
    await store.close()
