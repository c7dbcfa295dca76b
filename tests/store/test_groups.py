"""Groups: met once, bound by an operator, and who is in them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import Store, dialect
from store.dialect import Connection
from store.groups import Group, GroupRules, Seen, member_gone, place_of, see_members
from store.ledgers import Deed
from tests.blank import blank

NOW = 1_763_600_000.0
PLACE = place_of("qun", "1")


async def meet(store: Store, external_id: str = "1", **more: Any) -> Group:
    return await store.groups.meet("qun", external_id, NOW, **more)


async def person(store: Store, name: str) -> int:
    return (await store.members.meet("qun", name, NOW)).id


# Which groups there are


async def test_a_group_is_met_once_and_learns_its_name(store: Store) -> None:
    first = await meet(store)
    assert (first.place, first.name, first.bound, first.title) == (PLACE, "", False, "#1")
    named = await meet(store, name="学习群", owner="o")
    assert named == replace(first, name="学习群", owner="o")
    assert await meet(store) == named, "what is not told changes nothing"
    assert store.groups.known(PLACE) == named
    assert store.groups.known("qun:2") is None


async def test_a_group_that_a_platform_puts_us_into_is_bound_on_first_sight_only(
    store: Store,
) -> None:
    assert (await meet(store, bound_by="wecom")).bound
    await store.groups.unbind(PLACE)
    assert not (await meet(store, name="新名字", bound_by="wecom")).bound


async def test_two_who_meet_a_group_at_once_meet_the_same(store: Store) -> None:
    met = await asyncio.gather(*(meet(store, name=f"群{n}") for n in range(5)))
    assert {group.id for group in met} == {1}
    assert store.groups.known(PLACE) == met[-1]


async def test_a_group_that_we_left_is_not_bound_until_we_are_back(store: Store) -> None:
    await meet(store, bound_by="x")
    left = await store.groups.leave(PLACE, NOW)
    assert left is not None
    assert not left.bound
    assert (await meet(store)).bound


async def test_nothing_happens_to_a_group_that_is_not_there(store: Store) -> None:
    groups = store.groups
    assert await groups.bind("x:1", NOW, "me") is None
    assert await groups.unbind("x:1") is None
    assert await groups.leave("x:1", NOW) is None
    assert await groups.call("x:1", "vip") is None
    assert await groups.post_by("x:1", "poster") is None
    assert await groups.rule("x:1", lambda rules: rules) is None
    assert groups.all() == []


async def test_another_process_sees_what_was_set(store: Store) -> None:
    await meet(store)
    other = Store(store.db.path, durability="process", readers=1)
    await other.open()
    await store.groups.bind(PLACE, NOW, "member:1")
    await store.groups.rule(PLACE, lambda rules: replace(rules, welcome="欢迎", eager_s=60.0))
    await other.groups.load()
    assert other.groups.known(PLACE) == store.groups.known(PLACE)
    await other.close()


async def test_what_is_written_while_all_is_read_again_is_not_forgotten(store: Store) -> None:
    await meet(store)
    for n in range(50):
        reading = asyncio.create_task(store.groups.load())
        await asyncio.sleep(0)
        await store.groups.rule(PLACE, partial(replace, eager_s=float(n)))
        await reading
        group = store.groups.known(PLACE)
        assert group is not None
        assert group.rules.eager_s == n


async def test_groups_are_found_by_number_short_name_place_or_name(store: Store) -> None:
    await meet(store, name="同名")
    await meet(store, "2", name="同名")
    await store.groups.call(PLACE, "vip")
    for name in ("1", "#1", " vip ", PLACE):
        assert [group.id for group in store.groups.called(name)] == [1]
    assert [group.id for group in store.groups.called("同名")] == [1, 2]
    assert store.groups.called("3") == store.groups.called("") == []


async def test_a_short_name_belongs_to_one_group(store: Store) -> None:
    await meet(store)
    await meet(store, "2")
    assert await store.groups.call(PLACE, "vip") is not None
    assert await store.groups.call("qun:2", "vip") is None
    assert await store.groups.call(PLACE, "vip") is not None, "it may keep its own"
    assert await store.groups.call(PLACE, None) is not None
    assert await store.groups.call("qun:2", "vip") is not None
    assert await store.groups.call(PLACE, None) is not None, "none is no name to share"


async def test_what_changed_is_audited_and_what_did_not_is_not(store: Store) -> None:
    await meet(store)
    groups = store.groups

    def deed(action: str) -> Deed:
        return Deed(NOW, "member:1", action)

    for _ in range(2):
        await groups.bind(PLACE, NOW, "member:1", deed("bind"))
        await groups.call(PLACE, "vip", deed("call"))
        await groups.post_by(PLACE, "poster", deed("route"))
        await groups.rule(PLACE, lambda rules: replace(rules, order="act"), deed=deed("order"))
    await groups.unbind(PLACE, deed("unbind"))
    rows = [(row.action, row.target, row.detail) for row in await store.audit.newest()]
    assert rows[::-1] == [
        ("bind", "group:1", f"bound_at: {NOW}"),
        ("call", "group:1", "alias: vip"),
        ("route", "group:1", "route: poster"),
        ("order", "group:1", "order: act"),
        ("unbind", "group:1", "bound_at: None"),
    ]


async def test_binding_again_keeps_when_and_by_whom(store: Store) -> None:
    await meet(store)
    first = await store.groups.bind(PLACE, NOW, "member:1")
    assert await store.groups.bind(PLACE, NOW + 5, "member:2") == first
    by = await store.db.read(lambda conn: conn.execute("select bound_by from groups").fetchone()[0])
    assert by == "member:1"


# Rules


async def test_rules_survive_the_file_and_strange_ones_in_it_do_no_harm(store: Store) -> None:
    await meet(store)
    rules = GroupRules("欢迎 {names}", 3.0, "22:00-08:00", "", NOW, 60.0, False, "act", True, True)
    await store.groups.rule(PLACE, lambda _: rules)
    await store.groups.load()
    assert store.groups.all()[0].rules == rules

    def older(conn: Connection) -> None:
        conn.execute("""update groups set rules = '{"order": "off", "gone": 1}'""")

    await store.db.write(older)
    await store.groups.load()
    assert store.groups.all()[0].rules == GroupRules(order="off")


SHANGHAI = timezone(timedelta(hours=8))


def at(clock: str) -> float:
    return datetime.fromisoformat(f"2026-11-21T{clock}+08:00").timestamp()


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("22:00-08:00", "2026-11-21T21:59:59", "2026-11-21T21:59:59"),
        ("22:00-08:00", "2026-11-21T22:00:00", "2026-11-22T08:00:00"),
        ("22:00-08:00", "2026-11-21T23:59:59.999", "2026-11-22T08:00:00"),
        ("22:00-08:00", "2026-11-22T00:00:00", "2026-11-22T08:00:00"),
        ("22:00-08:00", "2026-11-22T08:00:00", "2026-11-22T08:00:00"),
        ("12:30-13:30", "2026-11-21T13:00:00", "2026-11-21T13:30:00"),
        ("00:00-06:00", "2026-11-21T03:00:00", "2026-11-21T06:00:00"),
        ("18:00-00:00", "2026-11-21T19:00:00", "2026-11-22T00:00:00"),
        ("", "2026-11-21T03:00:00", "2026-11-21T03:00:00"),
    ],
)
def test_quiet_hours_end_when_they_say(quiet: str, now: str, until: str) -> None:
    moments = [datetime.fromisoformat(f"{text}+08:00").timestamp() for text in (now, until)]
    assert GroupRules(quiet=quiet).quiet_until(moments[0]) == moments[1]


def test_a_mute_that_ends_at_night_lasts_until_the_morning() -> None:
    rules = GroupRules(quiet="22:00-08:00", muted_until=at("23:00"))
    assert rules.silent_until(at("20:00")) == at("08:00") + 86_400
    assert rules.silent_until(at("12:00")) == at("08:00") + 86_400
    assert GroupRules(muted_until=at("23:00")).silent_until(at("23:00")) == at("23:00")
    assert GroupRules().silent_until(0.0) == 0.0


@given(st.integers(0, 1439), st.integers(0, 1439), st.floats(1e9, 3e9, allow_nan=False))
@settings(max_examples=200, deadline=None)
def test_after_quiet_hours_nothing_is_quiet(begin: int, end: int, now: float) -> None:
    def clock(minute: int) -> str:
        return f"{minute // 60:02}:{minute % 60:02}"

    rules = GroupRules(quiet=f"{clock(begin)}-{clock(end)}")
    until = rules.quiet_until(now)
    assert now <= until <= now + 86_400
    if begin != end:
        assert rules.quiet_until(until) == until
    else:
        assert until == now


# Who is in it


async def test_members_come_leave_and_come_back_as_newcomers(store: Store) -> None:
    lin = await person(store, "lin")
    groups = store.groups
    await groups.see(Seen(PLACE, lin, "小林", NOW, came=True))
    (present,) = await groups.members(PLACE)
    assert present == (lin, "小林", NOW, None)
    assert await groups.gone(PLACE, lin, NOW + 5)
    assert await groups.members(PLACE) == []
    assert await groups.count(PLACE) == 0
    assert await groups.counts([PLACE, "x:1"]) == {}
    assert not await groups.gone(PLACE, lin, NOW + 6)
    await groups.see(Seen(PLACE, lin, "", NOW + 9))
    assert await groups.members(PLACE) == [(lin, "小林", NOW + 9, None)]
    assert await groups.counts([PLACE, "x:1"]) == {PLACE: 1}
    assert [row["place"] for row in await groups.places_of(lin)] == [PLACE]


async def test_who_is_only_heard_is_no_newcomer(store: Store) -> None:
    lin = await person(store, "lin")
    await store.groups.see(Seen(PLACE, lin, "小林", NOW))
    assert [one.welcomed_at for one in await store.groups.members(PLACE)] == [NOW]


async def test_a_stranger_is_not_in_a_group(store: Store) -> None:
    await store.groups.see(Seen(PLACE, 999, "谁", NOW, came=True))
    assert await store.groups.members(PLACE) == []
    assert not await store.groups.gone(PLACE, 999, NOW)


async def test_what_comes_late_neither_brings_back_nor_throws_out(store: Store) -> None:
    lin = await person(store, "lin")
    groups = store.groups
    await groups.see(Seen(PLACE, lin, "小林", NOW))
    await groups.gone(PLACE, lin, NOW + 10)
    await groups.see(Seen(PLACE, lin, "旧名", NOW + 9))
    assert await groups.members(PLACE) == [], "said before they left"
    await groups.see(Seen(PLACE, lin, "新名", NOW + 20, came=True))
    assert not await groups.gone(PLACE, lin, NOW + 15), "left before they came back"
    assert await groups.members(PLACE) == [(lin, "新名", NOW + 20, NOW)]


async def test_who_slips_out_keeps_their_welcome_and_who_was_away_is_a_newcomer(
    store: Store,
) -> None:
    lin, day = await person(store, "lin"), 86_400.0
    groups = store.groups
    await groups.see(Seen(PLACE, lin, "小林", NOW))
    await groups.gone(PLACE, lin, NOW + 10)
    await groups.see(Seen(PLACE, lin, "小林", NOW + 9 + day, came=True))
    assert [one.welcomed_at for one in await groups.members(PLACE)] == [NOW]
    await groups.gone(PLACE, lin, NOW + 2 * day)
    await groups.see(Seen(PLACE, lin, "小林", NOW + 3 * day, came=True))
    assert [one.welcomed_at for one in await groups.members(PLACE)] == [None]


async def test_a_name_in_the_middle_of_a_batch_is_kept(store: Store) -> None:
    lin = await person(store, "lin")
    rows = [Seen(PLACE, lin, name, NOW + n) for n, name in enumerate(("", "小林", ""))]
    await asyncio.gather(*(store.groups.see(row) for row in rows))
    assert [(one.name, one.since) for one in await store.groups.members(PLACE)] == [("小林", NOW)]


async def test_hearing_somebody_again_writes_nothing(store: Store) -> None:
    lin = await person(store, "lin")
    seen = [Seen(PLACE, lin, "小林", NOW + n) for n in range(100)]

    def run(conn: Connection) -> int:
        see_members(conn, seen[:1])
        before = conn.total_changes
        see_members(conn, seen[1:])
        return conn.total_changes - before

    assert await store.db.write(run) == 0


Step = tuple[int, str, int]
STEPS = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(["heard", "came", "gone"]), st.integers(1, 3)),
    max_size=30,
)


@given(steps=STEPS, together=st.booleans())
@settings(max_examples=60, deadline=None)
def test_who_is_there_follows_from_what_was_told_in_any_order(
    together: bool, steps: Sequence[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against a model that knows one rule: what is older than what is known changes nothing."""
    conn = dialect.connect(model_file(tmp_path_factory))
    try:
        dialect.begin(conn)
        for number in (1, 2, 3):
            conn.execute("insert into members (id, created_at) values (?, 0)", (number,))
        since: dict[int, float] = {}
        left: dict[int, float] = {}
        batch: list[Seen] = []

        def flush() -> None:
            see_members(conn, batch)
            batch.clear()

        for moment, what, who in steps:
            if what == "gone":
                flush()
                there = who in since and who not in left and since[who] <= moment
                assert member_gone(conn, PLACE, who, float(moment)) is there
                if there:
                    left[who] = moment
                continue
            batch.append(Seen(PLACE, who, "", float(moment), what == "came"))
            if not together:
                flush()
            if who not in since or left.get(who, math.inf) <= moment:
                since[who] = moment
                left.pop(who, None)
        flush()
        rows = conn.execute(
            "select member_id, since from group_members where left_at is null order by 1"
        ).fetchall()
        assert dict(rows) == {who: at for who, at in since.items() if who not in left}
    finally:
        conn.execute("rollback")
        conn.close()


def model_file(factory: pytest.TempPathFactory) -> Path:
    return blank(factory.getbasetemp() / "groups-model.db")
