"""Who is in customer groups: lists and events that come late, people who want to be forgotten."""

from __future__ import annotations

from store import Store
from store.customer_members import Changed, Move, Person
from store.dialect import Connection
from store.groups import place_of

CHANNEL = "kehu"
PLACE = place_of(CHANNEL, "g")
NOW = 1_763_611_200.0
LIN = Person("wm_lin", "小林", NOW - 900)
MU = Person("wm_mu", "阿木", NOW - 800)


async def keep(store: Store, *people: Person, at: float = NOW) -> Changed:
    await store.groups.meet(CHANNEL, "g", NOW - 999)
    return await store.customer_members.keep(CHANNEL, "g", people, at)


async def inside(store: Store) -> dict[str, tuple[str, float]]:
    """external id -> (name, since) of who is in it."""

    def run(conn: Connection) -> dict[str, tuple[str, float]]:
        rows = conn.execute(
            "select i.external_id, m.name, m.since from group_members as m join identities as i "
            "on i.member_id = m.member_id and i.channel = ? "
            "where m.place = ? and m.left_at is null",
            (CHANNEL, PLACE),
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    return await store.db.read(run)


async def test_a_list_is_kept_once_and_then_changes_nothing(store: Store) -> None:
    assert await keep(store, LIN, MU, LIN) == Changed(2, 0, 0)
    assert await keep(store, LIN, MU, at=NOW + 60) == Changed(0, 0, 0)
    assert await inside(store) == {"wm_lin": ("小林", NOW - 900), "wm_mu": ("阿木", NOW - 800)}
    assert await keep(store, LIN._replace(name="林"), at=NOW + 120) == Changed(0, 1, 1)
    assert await keep(store, LIN._replace(name=""), at=NOW + 180) == Changed(0, 0, 0)
    assert await inside(store) == {"wm_lin": ("林", NOW - 900)}


async def test_a_join_time_that_cannot_be_is_the_time_of_the_list(store: Store) -> None:
    await keep(store, LIN._replace(joined_at=0.0), MU._replace(joined_at=NOW + 9e9))
    assert {since for _, since in (await inside(store)).values()} == {NOW}


async def test_a_list_that_is_older_than_an_event_does_not_undo_it(store: Store) -> None:
    await keep(store, LIN, MU)
    moves = [Move("wm_lin", False, NOW + 60), Move("wm_new", True, NOW + 60)]
    await store.customer_members.move(CHANNEL, "g", moves)
    assert await keep(store, LIN, MU, at=NOW + 30) == Changed(0, 0, 0)
    assert set(await inside(store)) == {"wm_mu", "wm_new"}
    await keep(store, LIN, MU, at=NOW + 90)
    assert set(await inside(store)) == {"wm_lin", "wm_mu"}, "the newer list knows better"


async def test_events_out_of_order_and_twice_end_the_same(store: Store) -> None:
    await keep(store, LIN)
    for _ in range(2):
        await store.customer_members.move(CHANNEL, "g", [Move("wm_lin", False, NOW + 5)])
        # It happened before, and came behind.
        await store.customer_members.move(CHANNEL, "g", [Move("wm_lin", True, NOW + 1)])
        await store.customer_members.move(CHANNEL, "g", [Move("wm_nobody", False, NOW)])
    assert await inside(store) == {}


async def test_who_asked_not_to_be_recorded_has_no_name_here(store: Store) -> None:
    await keep(store, LIN, MU)
    lin = (await store.members.meet(CHANNEL, "wm_lin", NOW)).id
    await store.talk.opt(lin, recorded=False)
    assert await keep(store, LIN, MU, at=NOW + 60) == Changed(0, 0, 0)
    assert (await inside(store))["wm_lin"][0] == ""
    await store.customer_members.move(CHANNEL, "g", [Move("wm_lin", False, NOW + 70)])
    await keep(store, LIN, MU, at=NOW + 80)
    assert (await inside(store))["wm_lin"][0] == ""


async def test_who_was_forgotten_and_stays_in_the_group_is_not_met_again(store: Store) -> None:
    await keep(store, LIN, MU)
    lin = (await store.members.meet(CHANNEL, "wm_lin", NOW)).id
    await store.members.erase(lin, NOW + 1)
    await keep(store, LIN, MU, at=NOW + 60)
    await store.customer_members.move(CHANNEL, "g", [Move("wm_lin", True, NOW + 70)])
    assert set(await inside(store)) == {"wm_mu"}
    assert await store.members.find("wm_lin", CHANNEL) == []
    await store.used_up.purge(NOW + 9e9)
    await keep(store, LIN, MU, at=NOW + 80)
    assert set(await inside(store)) == {"wm_mu"}


async def test_forgetting_somebody_of_another_channel_leaves_no_mark(store: Store) -> None:
    await keep(store, LIN)
    other = (await store.members.meet("mp", "o1", NOW)).id
    await store.members.erase(other, NOW)
    rows = await store.db.read(
        lambda conn: conn.execute("select count(*) from used_up").fetchone()[0]
    )
    assert rows == 0


async def test_a_customer_who_follows_the_account_is_one_person(store: Store) -> None:
    follower = await store.members.meet("mp", "o_lin", NOW - 5000)
    await store.members.unite("mp", "o_lin", "union_lin")
    await keep(store, LIN._replace(unionid="union_lin"), MU._replace(unionid="union_mu"))
    assert (await store.members.meet(CHANNEL, "wm_lin", NOW)).id == follower.id
    present = await store.groups.members(PLACE)
    assert follower.id in {one.member_id for one in present}
    assert len(present) == 2
    assert await keep(store, LIN, MU, at=NOW + 60) == Changed(0, 0, 0)


async def test_two_identities_of_one_person_leave_only_together(store: Store) -> None:
    await keep(store, LIN._replace(unionid="u"), MU._replace(unionid="u"))
    assert len(await store.groups.members(PLACE)) == 1
    await keep(store, MU, at=NOW + 60)
    assert len(await store.groups.members(PLACE)) == 1
    await keep(store, at=NOW + 120)
    assert await store.groups.members(PLACE) == []


async def test_a_list_that_was_broken_off_is_finished_by_the_next(store: Store) -> None:
    people = [Person(f"wm{n}", f"群友{n}", NOW - n) for n in range(250)]
    await keep(store, *people[:100])
    assert await keep(store, *people, at=NOW + 60) == Changed(150, 0, 0)
    assert await keep(store, at=NOW + 120) == Changed(0, 250, 0)


async def test_groups_are_read_in_the_order_of_their_age(store: Store) -> None:
    for name, bound, read_at in (
        ("fresh", True, NOW - 10),
        ("old", True, NOW - 5000),
        ("older", True, NOW - 9000),
        ("never", True, None),
        ("free", False, NOW - 9000),
        ("stale", False, NOW - 99_000),
        ("new", False, None),
    ):
        await store.groups.meet(CHANNEL, name, NOW - 99_999)
        if bound:
            await store.groups.bind(place_of(CHANNEL, name), NOW - 99_999, "cli")
        if read_at is not None:
            await store.customer_members.read(place_of(CHANNEL, name), read_at)
    await store.groups.meet("other", "x", NOW)
    unread = await store.customer_members.unread(CHANNEL, NOW - 900, NOW - 86_400)
    assert unread == ["never", "older", "old", "new", "stale"]
    await store.groups.bind(place_of(CHANNEL, "free"), NOW, "cli")
    unread = await store.customer_members.unread(CHANNEL, NOW - 900, NOW - 86_400)
    assert "free" in unread, "it was read before it was bound"
    await store.groups.leave(place_of(CHANNEL, "older"), NOW)
    assert "older" not in await store.customer_members.unread(CHANNEL, NOW, NOW)
