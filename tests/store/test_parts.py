"""A part's own promises: it is sealed once, a yes is a fact, and doubt is never forgotten."""

from __future__ import annotations

import pytest

from store import Store
from store.dialect import Connection
from store.leases import Hold
from store.parts import Part, Word, spread
from store.reach import Caps
from tests.store.rows import CHANNEL, NOW, ask_file, change_file
from tests.store.test_deliveries import campaign, row

YES = Word(status="accepted", msg_id="55", data_id="66")
LATER = Word(status="later", errcode=45011)
STOP = Word(status="stop", errcode=45028)
LOST = Word(status="unknown", sure=False)
NO = Word(status="refused", errcode=40007, reason="content")


async def gathered(store: Store, members: int = 4) -> tuple[Part, Hold]:
    """A part with so many members, by a runner that holds the lease."""
    one = await campaign(store)
    for number in range(1, members + 1):
        change_file(store.db.path, "insert into members (id, created_at) values (?, 1)", [number])
        change_file(
            store.db.path,
            "insert into identities (channel, external_id, member_id, followed) "
            "values (?, ?, ?, 1)",
            [CHANNEL, f"o{number}", number],
        )
        await row(store, one, number, "planned", due_at=NOW, route="mass_list", variant="A")
    hold = await store.leases.take("campaigns", "a", NOW, 3600)
    assert hold is not None
    found = await store.campaigns.get(one)
    assert found is not None
    part = await store.parts.begin(found, hold, "mass_list", "A", NOW)
    assert part is not None
    ids = [number for _, number in await store.deliveries.due(one, "mass_list", NOW)]
    routes = ("mass_list",)
    status = await store.gathering.gather(found, part, hold, ids, Caps(), routes, NOW, monthly=True)
    assert status == "running"
    return await again(store, part), hold


async def again(store: Store, part: Part) -> Part:
    """The part as it is now."""
    found = await store.parts.get(part.id)
    assert found is not None
    return found


async def left(store: Store, part: Part, hold: Hold, now: float = NOW) -> Part:
    """Its call has left; gives the part as it was before."""
    first = part.status == "gathering"
    assert await store.parts.seal(part, hold, "{}", 600, now, first=first) == ("go", 0.0)
    return part


async def test_it_is_sealed_by_its_holder_while_the_campaign_runs_and_once(store: Store) -> None:
    part, hold = await gathered(store)
    assert part.members == 4
    assert await store.parts.openids(part, CHANNEL) == ["o1", "o2", "o3", "o4"]
    stranger = Hold("campaigns", "b", 1)
    assert (await store.parts.seal(part, stranger, "{}", 60, NOW, first=True))[0] == "lost"
    change_file(store.db.path, "update campaigns set status = 'paused'")
    assert (await store.parts.seal(part, hold, "{}", 60, NOW, first=True))[0] == "paused"
    change_file(store.db.path, "update campaigns set status = 'running'")
    await left(store, part, hold)
    assert (await store.parts.seal(part, hold, "other", 600, NOW, first=True))[0] == "gone"
    sealed = await again(store, part)
    assert (sealed.status, sealed.payload, sealed.left_at, sealed.tries) == (
        "sending",
        "{}",
        NOW,
        1,
    )


async def test_the_pace_of_mass_sends_is_that_of_all(store: Store) -> None:
    part, hold = await gathered(store)
    await store.paces.close(f"mass:{CHANNEL}", NOW + 60, NOW)
    answer = await store.parts.seal(part, hold, "{}", 600, NOW, first=True)
    assert answer == ("wait", NOW + 60)
    assert (await again(store, part)).status == "gathering"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([YES], "accepted"),
        ([LATER, YES], "accepted"),
        ([LOST, LATER, YES], "accepted"),
        ([NO], "refused"),
        ([LATER, NO], "refused"),
        ([LOST, NO], "unknown"),
        ([STOP], "cancelled"),
        ([LATER, STOP], "cancelled"),
        ([LOST, STOP], "sending"),
        ([LOST, STOP, YES], "accepted"),
        ([Word(status="later", errcode=45066, sure=False), STOP], "sending"),
        ([Word(status="list", errcode=40003)], "cancelled"),
        ([LOST, Word(status="list", errcode=40003)], "unknown"),
    ],
)
async def test_what_is_believed_depends_on_what_may_have_happened_before(
    store: Store, words: list[Word], status: str
) -> None:
    part, hold = await gathered(store)
    now, ended = NOW, ""
    for word in words:
        before = await left(store, await again(store, part), hold, now)
        ended = await store.parts.ended(before, word, now)
        now += 61
    assert ended == status == (await again(store, part)).status


@pytest.mark.parametrize(
    "word",
    [
        Word(status="later", reason="lease"),
        STOP,
        NO,
        Word(status="list", errcode=40003),
        LOST,
    ],
)
async def test_who_slept_between_the_seal_and_the_call_is_not_believed_of_the_whole_part(
    store: Store, word: Word
) -> None:
    part, hold = await gathered(store)
    asleep = await left(store, part, hold)
    # The next runner has made the same call since, and nobody heard how it ended.
    other = await left(store, await again(store, part), hold, NOW + 61)
    assert await store.parts.ended(other, LOST, NOW + 62) == "sending"
    assert await store.parts.ended(asleep, word, NOW + 63) == "sending"
    sealed = await again(store, part)
    assert (sealed.left_at, sealed.tries) == (NOW, 2)
    assert not await store.parts.drop(sealed, "gathered anew", NOW + 700)
    # A yes is one whoever brings it.
    assert await store.parts.ended(asleep, YES, NOW + 64) == "accepted"


async def test_a_part_that_another_has_gone_on_with_is_not_sealed_from_an_old_look(
    store: Store,
) -> None:
    part, hold = await gathered(store)
    await left(store, part, hold)
    old = await again(store, part)
    await left(store, old, hold, NOW + 61)
    assert (await store.parts.seal(old, hold, "{}", 600, NOW + 122, first=False))[0] == "gone"


async def test_what_busy_leaves_in_doubt_cannot_be_dropped(store: Store) -> None:
    part, hold = await gathered(store)
    before = await left(store, part, hold)
    busy = Word(status="later", errcode=-1, after_s=1.0, sure=False)
    assert await store.parts.ended(before, busy, NOW) == "sending"
    assert not await store.parts.drop(part, "gathered anew", NOW + 601)
    # WeChat may be asked again at once: it knows the name, or it does not.
    assert (await again(store, part)).due_at == NOW + 1


async def test_a_part_of_last_month_is_not_sealed(store: Store) -> None:
    part, hold = await gathered(store)
    change_file(store.db.path, "update parts set created_at = created_at - 31 * 86400")
    old = await again(store, part)
    assert (await store.parts.seal(old, hold, "{}", 600, NOW, first=True))[0] == "old"


async def test_a_yes_that_comes_late_is_still_a_yes(store: Store) -> None:
    part, hold = await gathered(store)
    before = await left(store, part, hold)
    assert await store.parts.give_up(part, "no answer for 23 hours", NOW)
    await store.parts.spread(part.id, NOW)
    assert await store.parts.ended(before, YES, NOW) == "accepted"
    assert await store.parts.ended(before, LATER, NOW) == "accepted"
    assert await store.parts.finished(CHANNEL, "55", "send success", (4, 4, 4, 0), NOW)
    await store.parts.spread(part.id, NOW)
    assert ask_file(store.db.path, "select distinct status from deliveries") == [("delivered",)]


async def test_what_has_left_cannot_be_dropped(store: Store) -> None:
    part, hold = await gathered(store)
    await left(store, part, hold)
    assert not await store.parts.drop(part, "", NOW)
    other = await again(store, part)
    assert await store.parts.ended(part, LATER, NOW) == "sending"
    # It certainly did nothing: now it can be.
    assert await store.parts.drop(other, "", NOW)
    assert not await store.parts.give_up(other, "", NOW)
    await store.parts.spread(part.id, NOW)
    assert ask_file(store.db.path, "select distinct status, part_id from deliveries") == [
        ("planned", None)
    ]
    assert ask_file(store.db.path, "select count(*) from mass_received") == [(0,)]


async def test_the_deliveries_follow_in_slices_that_may_be_broken_off(store: Store) -> None:
    part, hold = await gathered(store, members=5)
    before = await left(store, part, hold)
    await store.parts.ended(before, NO, NOW)

    def run(conn: Connection) -> int:
        return spread(conn, part.id, NOW, 2)

    assert [await store.db.write(run) for _ in range(4)] == [2, 2, 1, 0]
    assert await store.db.write(run) == 0
    assert ask_file(store.db.path, "select distinct status, reason from deliveries") == [
        ("refused", "content")
    ]
    assert ask_file(store.db.path, "select settled_at from parts") == [(NOW,)]
    # Given back once, however often it is looked at.
    assert ask_file(store.db.path, "select count(*) from mass_received") == [(0,)]


async def test_who_is_erased_while_a_part_is_on_its_way_is_not_called_again(store: Store) -> None:
    part, hold = await gathered(store)
    await left(store, part, hold)
    await store.members.erase(2, NOW)
    assert await store.parts.openids(part, CHANNEL) == ["o1", "o3", "o4"]
    await store.parts.ended(part, STOP, NOW)
    await store.parts.spread(part.id, NOW)
    assert sorted(ask_file(store.db.path, "select status, reason from deliveries")) == [
        ("planned", ""),
        ("planned", ""),
        ("planned", ""),
        ("skipped", "erased"),
    ]
