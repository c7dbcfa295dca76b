"""The catalogue: items with tiers and chapters; archived, never deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import Store, StoreError
from store.catalogue import Chapter, Tier
from tests.store.rows import NOW, course

FULL = course(
    1,
    authors=("林老师", "陈默"),
    tiers=(Tier("早鸟", 7900), Tier("团购", 5950)),
    chapters=(Chapter("c1", "开篇"), Chapter("c2", "动笔", "https://example.com/c/2")),
    series="写作之路",
    requires=("c2", "c7"),
    available_from=NOW - 10,
    available_until=NOW + 10,
)


async def test_items_come_back_as_they_went_in_newest_first(store: Store) -> None:
    plain = course(3, tags=(), authors=(), price_cents=0)
    assert await store.catalogue.put([FULL, course(2), plain], NOW) == 3
    assert await store.catalogue.items() == [plain, course(2), FULL]


def test_an_item_may_be_had_from_a_time_on_and_until_another() -> None:
    assert [FULL.available(NOW + at) for at in (-11, -10, 9, 10)] == [False, True, True, False]
    assert course(2).available(0.0), "without times always"


async def test_an_item_without_a_time_is_the_oldest(store: Store) -> None:
    undated = course(9, published_at=0.0)
    await store.catalogue.put([undated, course(1)], NOW)
    assert await store.catalogue.items() == [course(1), undated]


async def test_an_item_with_the_same_id_is_replaced_with_its_tiers_and_chapters(
    store: Store,
) -> None:
    await store.catalogue.put([FULL, course(2)], NOW)
    renewed = replace(
        FULL, title="新名字", tiers=(Tier("会员", 1),), chapters=(Chapter("c2", "动笔"),)
    )
    await store.catalogue.put([renewed], NOW)
    assert await store.catalogue.items() == [course(2), renewed]


async def test_of_two_items_with_one_id_the_last_holds(store: Store) -> None:
    last = course(1, title="第二次", tiers=())
    assert await store.catalogue.put([FULL, last], NOW) == 1
    assert await store.catalogue.items() == [last]


async def test_items_are_written_all_or_not_at_all(store: Store) -> None:
    twice = replace(FULL, chapters=(Chapter("c1", "一"), Chapter("c1", "二")))
    with pytest.raises(StoreError):
        await store.catalogue.put([course(2), twice], NOW)
    assert await store.catalogue.items() == []
    assert await store.content.revision() == 0


async def test_one_item_is_found_by_its_id(store: Store) -> None:
    await store.catalogue.put([FULL, course(2)], NOW)
    assert await store.catalogue.item("c1") == FULL
    assert await store.catalogue.item("c7") is None


async def test_an_archived_item_is_off_the_shelf_but_known_to_who_bought_it(store: Store) -> None:
    await store.catalogue.put([FULL, course(2)], NOW)
    before = await store.content.revision()
    assert await store.catalogue.archive("c1", NOW)
    assert not await store.catalogue.archive("c1", NOW), "it is archived already"
    assert not await store.catalogue.archive("c7", NOW), "it was never there"
    assert await store.content.revision() == before + 1
    assert await store.catalogue.item("c1") is None
    assert await store.catalogue.items() == await store.catalogue.page() == [course(2)]
    assert await store.catalogue.known(["c1", "c2", "c7"]) == {"c1": FULL, "c2": course(2)}
    await store.catalogue.put([FULL], NOW)
    assert await store.catalogue.item("c1") == FULL, "written again, it is back"


async def test_pages_follow_the_id_and_end(store: Store) -> None:
    await store.catalogue.put([course(number) for number in (3, 1, 4, 2)], NOW)
    await store.catalogue.put([FULL], NOW)
    first = await store.catalogue.page(limit=3)
    assert first == [FULL, course(2), course(3)]
    assert await store.catalogue.page(first[-1].id, 3) == [course(4)]
    assert await store.catalogue.page("c4") == []


async def test_putting_nothing_changes_nothing(store: Store) -> None:
    assert await store.catalogue.put([], NOW) == 0
    assert await store.content.revision() == 0
