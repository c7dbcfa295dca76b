"""Keys of the API as rows: made once, closed for good."""

from __future__ import annotations

from dataclasses import replace

from store import Store
from store.keys import Key

NOW = 1_795_000_000.0
SHOP = Key("aBcD1234", "shop", "f" * 64, frozenset({"items:read", "events:write"}), 600, NOW)


async def test_a_key_is_read_back_as_it_was_made(store: Store) -> None:
    assert await store.keys.add(SHOP)
    assert await store.keys.all() == [SHOP]


async def test_an_id_that_is_taken_changes_nothing(store: Store) -> None:
    await store.keys.add(SHOP)
    assert not await store.keys.add(replace(SHOP, hash="0" * 64, scopes=frozenset({"items:write"})))
    assert await store.keys.all() == [SHOP]


async def test_keys_are_listed_oldest_first_with_the_revoked_ones(store: Store) -> None:
    await store.keys.add(replace(SHOP, id="newer000", created_at=NOW + 1))
    await store.keys.add(SHOP)
    await store.keys.revoke(SHOP.id, NOW + 2)
    assert [(key.id, key.revoked_at) for key in await store.keys.all()] == [
        (SHOP.id, NOW + 2),
        ("newer000", None),
    ]


async def test_a_key_is_revoked_once(store: Store) -> None:
    await store.keys.add(SHOP)
    assert await store.keys.revoke(SHOP.id, NOW + 2)
    assert not await store.keys.revoke(SHOP.id, NOW + 9), "the first time stands"
    assert not await store.keys.revoke("nobody00", NOW)
    (key,) = await store.keys.all()
    assert key.revoked_at == NOW + 2


async def test_an_older_use_does_not_replace_a_newer_one(store: Store) -> None:
    await store.keys.add(SHOP)
    await store.keys.used([(SHOP.id, NOW + 60)])
    await store.keys.used([(SHOP.id, NOW + 5), ("nobody00", NOW)])
    (key,) = await store.keys.all()
    assert key.last_used_at == NOW + 60
