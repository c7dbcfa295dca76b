"""What was shown: once for each message, remembered, disliked, worked out at night."""

from __future__ import annotations

import asyncio
from functools import partial

from store import Store
from store.dialect import Connection
from store.events import NewEvent
from store.rec_lists import NewList, Seen, Shown
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, ask_file, key

DAY = 86_400.0


def a_list(number: int, member_id: int, *items: str, at: float = NOW) -> NewList:
    """List `number` with these items."""
    shown = tuple(Shown(item, "ours", 0.9, item == "new", 1.5, '["tag"]') for item in items)
    return NewList(key(number), member_id, at, "chat", "ours", "m1", shown=shown)


async def test_the_same_message_again_shows_the_same_list(store: Store) -> None:
    lin = await answered(store, 1)
    first = await store.recommendations.put(a_list(1, lin, "a", "new"))
    again = await store.recommendations.put(a_list(1, lin, "b", at=NOW + 9))
    assert first is not None
    assert first == again == await store.recommendations.by_key(key(1))
    assert [(one.item_id, one.explored, one.score) for one in first.shown] == [
        ("a", False, 1.5),
        ("new", True, 1.5),
    ]
    assert await store.recommendations.get(first.id) == first
    assert await store.recommendations.get(99) is None
    assert await store.recommendations.by_key(key(2)) is None


async def test_the_same_message_twice_at_once_makes_one_list(store: Store) -> None:
    lin = await answered(store, 1)
    both = await asyncio.gather(*(store.recommendations.put(a_list(1, lin, item)) for item in "ab"))
    assert both[0] == both[1]
    assert len(await store.recommendations.lists_of(lin)) == 1


async def test_an_empty_list_is_a_list_and_a_stranger_gets_none(store: Store) -> None:
    lin = await answered(store, 1)
    empty = await store.recommendations.put(a_list(1, lin))
    assert empty is not None
    assert empty.shown == ()
    assert await store.recommendations.put(a_list(2, 99, "a")) is None
    assert await store.recommendations.lists_of(99) == []


async def test_what_was_shown_lately_is_known_with_what_was_looked_at(store: Store) -> None:
    lin = await answered(store, 1)
    for number in range(3):
        await store.recommendations.put(a_list(number, lin, "a", f"b{number}", at=NOW + number))
    click = NewEvent("e1", "click", NOW + 5, lin, item_id="a", source="recommendation")
    elsewhere = NewEvent("e2", "click", NOW + 6, lin, item_id="b2", source="campaign")
    await store.events.add([click, elsewhere], NOW)
    await answered(store, 9, at=NOW + 7, handler="recommend.item", item="item:b1")
    recent = await store.recommendations.recent(lin, NOW + 1)
    assert recent == {
        "a": Seen(2, NOW + 2, NOW + 5),
        "b1": Seen(1, NOW + 1, NOW + 7),
        "b2": Seen(1, NOW + 2, None),
    }
    assert await store.recommendations.recent(99, 0.0) == {}
    newest = await store.recommendations.lists_of(lin, 2)
    assert [one.at for one in newest] == [NOW + 2, NOW + 1]


async def test_a_dislike_stands_until_it_is_taken_back(store: Store) -> None:
    lin = await answered(store, 1)
    lists = store.recommendations
    assert await lists.dislike(lin, "a", NOW)
    assert not await lists.dislike(lin, "a", NOW + 1)
    assert not await lists.dislike(99, "a", NOW)
    assert await lists.disliked(lin) == {"a": NOW}
    assert await lists.undislike(lin, "a")
    assert not await lists.undislike(lin, "a")
    assert await lists.disliked(lin) == {}


async def test_what_a_night_worked_out_is_replaced_and_leaves_out_who_is_gone(
    store: Store,
) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    lists = store.recommendations
    assert await lists.keep_lists([], "m1", NOW) == 0
    assert await lists.keep_lists([(lin, "[1]"), (mei, "[2]"), (99, "[3]")], "m1", NOW) == 2
    assert await lists.keep_lists([(lin, "[4]")], "m2", NOW + 1) == 1
    kept = await lists.kept(lin)
    assert kept is not None
    assert (kept.model, kept.data, kept.made_at) == ("m2", "[4]", NOW + 1)
    assert await lists.kept(99) is None
    assert await lists.drop_kept(NOW + 1) == 1
    assert await lists.kept(mei) is None
    assert await lists.forget_kept([lin, mei]) == 1
    assert await lists.forget_kept([]) == 0


async def test_who_refuses_profiling_loses_lists_and_reasons_at_once(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    lists = store.recommendations
    for member_id in (lin, mei):
        await lists.put(a_list(member_id, member_id, "a"))
    await lists.keep_lists([(lin, "[1]"), (mei, "[2]")], "m1", NOW)
    await store.consents.decide(lin, "profiling", False, NOW, CHANNEL)
    assert await lists.kept(lin) is None
    assert await lists.kept(mei) is not None
    (own,), (other,) = await lists.lists_of(lin), await lists.lists_of(mei)
    assert [(one.item_id, one.why, one.score) for one in own.shown] == [("a", "", None)]
    assert other.shown[0].why == '["tag"]'
    assert await lists.keep_lists([(lin, "[1]"), (mei, "[2]")], "m1", NOW) == 1, "a late night"
    assert await lists.keep_lists([(mei, "[2]")], "m1", NOW, opt_in=True) == 0, "not asked"


async def test_who_said_nothing_loses_reasons_once_silence_means_no(store: Store) -> None:
    lin = await answered(store, 1)
    await store.recommendations.put(a_list(1, lin, "a"))
    store.consents.under("2", opt_in=True)
    assert await store.consents.keep_to_rule() == 1
    (kept,) = await store.recommendations.lists_of(lin)
    assert (kept.shown[0].item_id, kept.shown[0].why) == ("a", "")
    assert await store.consents.keep_to_rule() == 0


async def test_lists_go_with_their_places_when_their_time_is_over(store: Store) -> None:
    lin = await answered(store, 1)
    for number in range(3):
        await store.recommendations.put(a_list(number, lin, "a", "b", at=NOW + number * DAY))
    assert await store.recommendations.remove(NOW + 2 * DAY) == 2
    assert ask_file(store.db.path, "select count(*) from rec_shown") == [(2,)]


async def test_a_merge_keeps_what_both_were_shown(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    lists = store.recommendations
    for member_id in (lin, mei):
        await lists.put(a_list(member_id, member_id, "a"))
        await lists.dislike(member_id, "c", NOW)
        await lists.dislike(member_id, f"d{member_id}", NOW)
    await store.members.unite(CHANNEL, LIN, "uTEST_one")
    await store.members.unite(CHANNEL, MEI, "uTEST_one")
    assert len(await lists.lists_of(min(lin, mei))) == 2
    assert set(await lists.disliked(min(lin, mei))) == {"c", f"d{lin}", f"d{mei}"}


async def test_counts_are_by_surface_ranker_and_arm(store: Store) -> None:
    lin = await answered(store, 1)
    for number, arm in enumerate(("", "", "holdout")):
        new = a_list(number, lin, "a")._replace(arm=arm)
        await store.recommendations.put(new)
    assert await store.recommendations.counts(NOW, NOW + 1) == [
        ("chat", "ours", "", 2),
        ("chat", "ours", "holdout", 1),
    ]
    assert await store.recommendations.counts(NOW + 1, NOW + 2) == []


async def test_one_bad_list_fails_alone(store: Store) -> None:
    lin = await answered(store, 1)
    bad = a_list(1, lin, "a")._replace(test_id=77)
    done = await asyncio.gather(
        store.recommendations.put(bad),
        store.recommendations.put(a_list(2, lin, "b")),
        return_exceptions=True,
    )
    assert isinstance(done[0], Exception)
    assert done[1] == await store.recommendations.by_key(key(2))


async def test_lists_of_one_are_read_by_index(store: Store) -> None:
    def plan(conn: Connection, sql: str) -> str:
        return " ".join(str(row[3]) for row in conn.execute(f"explain query plan {sql}"))

    told = await store.db.read(
        partial(plan, sql="select id from rec_lists where member_id = 1 and at >= 2")
    )
    assert "rec_lists_member" in told
    told = await store.db.read(
        partial(
            plan,
            sql="select at from interactions where member_id = 1 and at > 2 "
            "and handler = 'recommend.item'",
        )
    )
    assert "interactions_picks" in told
