"""What is said in groups: once, with all that follows from it, and nothing of who opted out."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from store import Store
from store.talk import MOST_CHARS, Hour, NewTalk, Said, Told
from tests.store.rows import NOW, ask_file, key

PLACE = "qun:1"
DAY = 86_400.0
LIN, MEI, TAO = "wx_lin", "wx_mei", "wx_tao"


async def group(store: Store) -> dict[str, int]:
    """A group of three whom we have met; their numbers."""
    await store.groups.meet("qun", "1", NOW, bound_by="op")
    return {who: (await store.members.meet("qun", who, NOW)).id for who in (LIN, MEI, TAO)}


def said(number: int, sender: str = LIN, text: str = "在吗", **fields: Any) -> NewTalk:
    plain = {"at": NOW + number, "kind": "text", "message_id": f"m{number}", **fields}
    return NewTalk(key(number), PLACE, "qun", sender, text=text, **plain)


def words(found: list[Said]) -> list[str]:
    return [one.text for one in found]


def count(store: Store, table: str) -> int:
    return int(ask_file(store.db.path, f"select count(*) from {table}")[0][0])


async def test_a_turn_is_written_once_with_what_follows_from_it(store: Store) -> None:
    ids = await group(store)
    turn = said(1, name="小林", to=((MEI, 0.8), (LIN, 1.0), ("wx_never_met", 1.0)))
    told = await asyncio.gather(*(store.talk.say(turn) for _ in range(3)))
    assert told == [Told.FRESH, Told.KNOWN, Told.KNOWN]
    assert await store.talk.say(turn) is Told.KNOWN
    (found,) = await store.talk.recent(PLACE, 10)
    assert found.member_id == ids[LIN]
    assert (found.sender, found.name, found.text) == (LIN, "小林", "在吗")
    edges = await store.edges.between([PLACE], NOW + 1)
    assert [(edge.from_id, edge.to_id, edge.turns) for edge in edges] == [(ids[LIN], ids[MEI], 1)]
    (present,) = await store.groups.members(PLACE)
    assert (present.member_id, present.name) == (ids[LIN], "小林")


async def test_an_answer_names_who_wrote_what_it_quotes_even_of_the_same_moment(
    store: Store,
) -> None:
    await group(store)
    first, second, third = said(1), said(2, MEI, "在", quotes="m1"), said(3, TAO, quotes="gone")
    await asyncio.gather(*map(store.talk.say, (first, second, third)))
    assert [one.quotes_who for one in await store.talk.recent(PLACE, 10)] == ["", LIN, ""]
    assert await store.talk.writer(PLACE, "m2") == MEI
    assert await store.talk.writer("qun:2", "m2") == ""
    assert await store.talk.writer(PLACE, "") == ""


async def test_of_who_opted_out_nothing_is_written(store: Store) -> None:
    ids = await group(store)
    await store.talk.say(said(1, name="小林", to=((MEI, 1.0),)))
    await store.talk.say(said(2, MEI, to=((LIN, 1.0), (TAO, 1.0))))
    assert await store.talk.opt(ids[LIN], recorded=False)
    assert not await store.talk.opt(ids[LIN], recorded=False), "it was so already"
    assert store.talk.unrecorded(ids[LIN])
    # A turn that was under way when they said so, and one of somebody who turns to them.
    assert await store.talk.say(said(3, name="小林", to=((MEI, 1.0),))) is Told.UNRECORDED
    assert await store.talk.say(said(4, MEI, "给小林", to=((LIN, 1.0),))) is Told.FRESH
    assert {one.sender for one in await store.talk.recent(PLACE, 10)} == {MEI}
    assert {
        who for edge in await store.edges.between([PLACE], NOW) for who in edge[:2]
    } == {ids[MEI], ids[TAO]}  # fmt: skip
    names = {one.member_id: one.name for one in await store.groups.members(PLACE)}
    assert names[ids[LIN]] == "", "in the group, by no name"


async def test_who_comes_back_is_recorded_from_then_on(store: Store) -> None:
    ids = await group(store)
    assert not await store.talk.opt(ids[LIN], recorded=True), "nothing to take back"
    await store.talk.opt(ids[LIN], recorded=False)
    assert await store.talk.opt(ids[LIN], recorded=True)
    assert not store.talk.unrecorded(ids[LIN])
    assert await store.talk.say(said(1)) is Told.FRESH


async def test_an_opt_out_holds_in_the_next_process(store: Store) -> None:
    ids = await group(store)
    await store.talk.opt(ids[MEI], recorded=False)
    again = Store(store.db.path, durability="process")
    await again.open()
    try:
        assert again.talk.unrecorded(ids[MEI])
        assert not again.talk.unrecorded(ids[LIN])
    finally:
        await again.close()


async def test_who_was_erased_meanwhile_is_not_written_down_again(store: Store) -> None:
    ids = await group(store)
    await store.talk.say(said(1, to=((MEI, 1.0),)))
    await store.talk.say(said(2, MEI, quotes="m1", to=((LIN, 1.0),)))
    await store.members.erase(ids[LIN], NOW)
    assert await store.talk.say(said(3)) is Told.UNRECORDED
    assert [(one.sender, one.quotes_who) for one in await store.talk.recent(PLACE, 9)] == [
        (MEI, "")
    ]
    assert count(store, "edges") == 0


async def test_two_members_made_one_have_what_both_said(store: Store) -> None:
    ids = await group(store)
    await store.members.meet("mp", "o_lin", NOW)
    await store.members.unite("qun", LIN, "union")
    await store.talk.say(said(1, to=((MEI, 1.0),)))
    await store.talk.say(said(2, TAO, to=((MEI, 1.0),)))
    await store.members.unite("qun", TAO, "union")
    found = await store.talk.recent(PLACE, 9)
    assert {one.member_id for one in found} == {ids[LIN]}
    (edge,) = await store.edges.between([PLACE], NOW)
    assert (edge.from_id, edge.to_id, edge.turns) == (ids[LIN], ids[MEI], 2)


async def test_who_opted_out_and_is_found_to_be_somebody_else_stays_opted_out(
    store: Store,
) -> None:
    ids = await group(store)
    await store.members.unite("qun", LIN, "union")
    await store.talk.say(said(1, name="小林", to=((MEI, 1.0),)))
    await store.talk.opt(ids[TAO], recorded=False)
    await store.members.unite("qun", TAO, "union")
    assert await store.talk.recent(PLACE, 9) == []
    assert count(store, "edges") == 0
    assert await store.talk.say(said(2)) is Told.UNRECORDED


async def test_a_recalled_message_has_no_words_any_more(store: Store) -> None:
    await group(store)
    await store.talk.say(said(1, text="说错了"))
    await store.talk.say(said(2, text="没事", message_id=""))
    assert await store.talk.recall(PLACE, "m1")
    assert not await store.talk.recall(PLACE, "")
    assert not await store.talk.recall("qun:2", "m1")
    assert words(await store.talk.recent(PLACE, 9)) == ["没事"]
    assert ("说错了",) not in ask_file(store.db.path, "select text from talk")


async def test_an_advert_is_in_no_digest(store: Store) -> None:
    await group(store)
    await store.talk.say(said(1, text="加微信领红包", hidden=True))
    await store.talk.say(said(2, text="又是广告"))
    await store.talk.say(said(3, text="小知 几点开课", addressed=True))
    await store.talk.say(said(4, text="", kind="image"))
    assert words(await store.talk.texts(PLACE, NOW, NOW + 9, 99)) == ["又是广告"]
    assert await store.talk.hide(key(2))
    assert not await store.talk.hide(key(99))
    assert await store.talk.texts(PLACE, NOW, NOW + 9, 99) == []


async def test_the_newest_turns_of_a_time_oldest_first(store: Store) -> None:
    await group(store)
    for number in range(6):
        await store.talk.say(said(number, text=f"第{number}句"))
    assert words(await store.talk.recent(PLACE, 2)) == ["第4句", "第5句"]
    assert words(await store.talk.since(PLACE, NOW + 1, NOW + 5, 3)) == ["第2句", "第3句", "第4句"]
    assert await store.talk.since("qun:2", NOW, NOW + 9, 9) == []


async def test_turns_by_member_and_hour_are_shanghais(store: Store) -> None:
    ids = await group(store)
    ten = datetime.fromisoformat("2026-11-21T22:30+08:00").timestamp()
    for number, at in enumerate((ten, ten + 60, ten + 3600, ten + 2 * 3600)):
        await store.talk.say(said(number, at=at))
    await store.talk.say(said(9, MEI, at=ten, hidden=True))
    found = await store.talk.hours(PLACE, ten, ten + DAY)
    lin = ids[LIN]
    assert found == [Hour(lin, 0, 1), Hour(lin, 22, 2), Hour(lin, 23, 1)]


async def test_words_go_first_and_the_rest_later(store: Store) -> None:
    ids = await group(store)
    for number in range(4):
        await store.talk.say(said(number, at=NOW + number * DAY))
    assert await store.talk.blank(NOW + 2 * DAY) == 2
    assert await store.talk.blank(NOW + 2 * DAY) == 0
    assert words(await store.talk.recent(PLACE, 9)) == ["", "", "在吗", "在吗"]
    assert len(await store.talk.hours(PLACE, NOW, NOW + 9 * DAY)) >= 1
    assert await store.talk.remove(NOW + DAY) == 1
    assert count(store, "talk") == 3
    assert ids[LIN] in {one.member_id for one in await store.talk.recent(PLACE, 9)}


async def test_ugly_words_are_kept_as_they_are_and_cut(store: Store) -> None:
    await group(store)
    await store.talk.say(said(1, text="'); drop table talk; -- \x00\u202e" + "长" * 9000))
    (found,) = await store.talk.recent(PLACE, 1)
    assert len(found.text) == MOST_CHARS
    assert found.text.startswith("'); drop table talk; -- \x00\u202e长")


async def test_a_member_is_told_what_they_said_and_not_to_whom(store: Store) -> None:
    ids = await group(store)
    await store.talk.say(said(1, to=((MEI, 1.0),)))
    kept = await store.members.export(ids[LIN])
    assert kept is not None
    assert [row["text"] for row in kept["talk"]] == ["在吗"]
    assert [row["direction"] for row in kept["edges"]] == ["to others"]
    assert not any("_id" in name for row in kept["edges"] for name in row)
