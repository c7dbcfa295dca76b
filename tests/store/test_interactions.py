"""The log read back: for an answer, for the operator, for the export."""

from __future__ import annotations

from store import Store
from store.interactions import Stats
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered


async def test_what_was_told_last_is_the_newest_answer_offer_or_admission(store: Store) -> None:
    last = store.interactions.last_told
    member_id = await answered(store, 1, item="faq:1", at=NOW)
    await answered(store, 2, MEI, item="faq:9", at=NOW + 1)
    await answered(store, 3, item="", handler="help", at=NOW + 2)
    await answered(store, 4, item="topic:直播", handler="topics.on", at=NOW + 3)
    await answered(store, 5, item="", handler="faq.feedback", at=NOW + 4)
    assert await last(member_id, NOW) == ("faq", "faq:1")
    assert await last(member_id, NOW + 1) == ("", ""), "too long ago"
    for number, (handler, item) in enumerate(
        [
            ("faq.useful", "faq:1"),
            ("content", "item:c1"),
            ("content.list", ""),
            ("follow.price", "item:c1"),
            ("course", ""),
            ("course.card", "item:c1"),
            ("choice", ""),
            ("faq.unknown", ""),
            ("faq", "faq:2"),
        ],
        6,
    ):
        await answered(store, number, handler=handler, item=item, at=NOW + number)
        assert await last(member_id, NOW) == (handler, item)


async def test_the_numbers_of_a_period(store: Store) -> None:
    rows = [
        (LIN, "text", "faq", NOW - 100),
        (LIN, "text", "faq", NOW),
        (LIN, "voice", "faq", NOW),
        (LIN, "text", "faq.offer", NOW),
        (MEI, "text", "faq.unknown", NOW),
        (MEI, "text", "faq.useful", NOW),
        (MEI, "text", "faq.useless", NOW),
        (MEI, "event:click", "faq", NOW),
        (MEI, "event:subscribe", "events", NOW),
        ("oTEST_gone", "event:unsubscribe", "events", NOW),
    ]
    for number, (sender, kind, handler, at) in enumerate(rows):
        await answered(store, number, sender, kind=kind, handler=handler, at=at)
    await store.members.follow(CHANNEL, MEI, True, NOW)
    assert await store.interactions.stats(NOW) == Stats(
        members=3,
        followers=1,
        messages=9,
        active=3,
        follows=1,
        unfollows=1,
        answered=2,
        offered=1,
        unknown=1,
        useful=1,
        useless=1,
    )
    assert (await store.interactions.stats(NOW - 100)).messages == 10


async def test_an_empty_store_has_zeros(store: Store) -> None:
    assert await store.interactions.stats(NOW) == Stats(*[0] * 11)


async def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    for number in range(1, 8):
        await answered(store, number, item=f"faq:{number}")
    seen = []
    after = 0
    while page := await store.interactions.page(after, limit=3):
        assert len(page) <= 3
        seen += [row["item"] for row in page]
        after = page[-1]["id"]
    assert seen == [f"faq:{number}" for number in range(1, 8)]


async def test_the_export_names_members_by_number_only(store: Store) -> None:
    await answered(store, 1)
    (row,) = await store.interactions.page(0)
    assert list(row) == ["id", "at", "channel", "member_id", "kind", "text", "handler", "item"]
    assert LIN not in str(row)


async def test_views_of_items_are_found_since_then(store: Store) -> None:
    for number, item in enumerate(("item:c1", "faq:1", "item:c2", "item:c1", "")):
        await answered(store, number, item=item, at=NOW + number)
    assert await store.interactions.item_views(NOW) == [
        ("c1", NOW),
        ("c2", NOW + 2),
        ("c1", NOW + 3),
    ]
    assert await store.interactions.item_views(NOW + 3) == [("c1", NOW + 3)]


async def test_interactions_are_counted_by_member(store: Store) -> None:
    member_id = await answered(store, 1)
    await answered(store, 2)
    await answered(store, 3, MEI)
    assert await store.interactions.count_of(member_id) == 2
    assert await store.interactions.count_of(99) == 0


async def test_a_finding_is_replaced_by_the_next(store: Store) -> None:
    assert await store.interactions.finding("popular") is None
    await store.interactions.put_finding("popular", "[1]", NOW)
    await store.interactions.put_finding("popular", "[2]", NOW + 1)
    await store.interactions.put_finding("other", "{}", NOW)
    assert await store.interactions.finding("popular") == "[2]"
