"""Members' features: kept up piece by piece, concluded from once a night."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import numpy as np
import pytest

from insights import report
from insights.behaviour import DAY_S, STATES, StateRules, day_of
from insights.member_report import CHARTS, FIGURES, LISTS
from scheduler import behaviour, behaviour_work
from scheduler.behaviour import refresh, tick
from store import Store, feature_reads
from store.dialect import Connection
from store.events import NewEvent
from store.features import Row
from tests.blank import blank
from tests.store.rows import ask_file, change_file

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOW = 1_763_600_000.0
RULES = StateRules()


class Here:
    """Work for another process, in a thread of this one; says what was asked."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.ran.append(run.__name__)
        return await asyncio.to_thread(run, *args)

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.ran.append(f"quick {run.__name__}")
        return await asyncio.to_thread(run, *args)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="normal")
    await store.open()
    yield store
    await store.close()


async def members(store: Store, count: int, came_at: float = NOW - 200 * DAY_S) -> None:
    def run(conn: Connection) -> None:
        conn.executemany("insert into members (created_at) values (?)", [(came_at,)] * count)
        conn.execute(
            "insert into identities (channel, external_id, member_id, followed) "
            "select 'mp', 'o' || id, id, 1 from members where true on conflict do nothing"
        )

    await store.db.write(run)


async def wrote(store: Store, *rows: tuple[int, float]) -> None:
    """(member, so many days ago) wrote in private."""
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into interactions (at, channel, member_id, kind, text, handler, item) "
            "values (?, 'mp', ?, 'text', '', 'faq', 'faq:1')",
            [(NOW - ago * DAY_S, member_id) for member_id, ago in rows],
        )
    )


async def said(store: Store, *rows: tuple[int, float]) -> None:
    """The same in a group."""
    await store.db.write(
        lambda conn: conn.executemany(
            "insert into talk (key, place, member_id, at, kind, text) "
            "values (randomblob(16), 'qun:1', ?, ?, 'text', '')",
            [(member_id, NOW - ago * DAY_S) for member_id, ago in rows],
        )
    )


async def rows_of(store: Store) -> dict[int, Row]:
    found = await store.db.read(lambda conn: list(feature_reads.all_rows(conn)))
    return {row.member_id: row for row in found}


def plain(rows: dict[int, Row]) -> dict[int, Row]:
    """Without when they were written."""
    return {one: row._replace(updated_at=0, state_since=0) for one, row in rows.items()}


async def test_what_comes_in_pieces_ends_as_if_it_were_read_at_once(store: Store) -> None:
    rng = np.random.default_rng(5)
    await members(store, 12)
    here = Here()
    for step in range(6):
        days = rng.uniform(0, 100, 30)
        who = rng.integers(1, 13, 30)
        await wrote(store, *zip(who[:20].tolist(), days[:20].tolist(), strict=True))
        await said(store, *zip(who[20:].tolist(), days[20:].tolist(), strict=True))
        event = NewEvent(f"e{step}", "purchase", NOW - 500 * step, step % 5 + 1, amount_cents=100)
        await store.events.add([event], NOW)
        if step == 3:
            await members(store, 2)
        done = await tick(store, here, RULES, NOW + step)
        assert done
    assert here.ran == []
    assert await tick(store, here, RULES, NOW + 9) == ""
    at_once, until = behaviour_work.made(store.db.path, RULES, NOW + 5, False)
    assert until == await store.features.positions()
    whole = {row.member_id: row for row in at_once}
    assert plain(whole) == plain(await rows_of(store))
    assert len(whole) == 14


async def test_one_message_changes_one_row(store: Store) -> None:
    await members(store, 30)
    await wrote(store, *((one, 3) for one in range(1, 31)))
    await tick(store, Here(), RULES, NOW)
    before = await rows_of(store)
    await wrote(store, (7, 0))
    assert await tick(store, Here(), RULES, NOW + 60) == "1 members brought up to date"
    after = await rows_of(store)
    assert [one for one in before if before[one] != after[one]] == [7]
    assert after[7].acts == 2


async def test_the_first_round_over_a_long_log_is_another_process_s(store: Store) -> None:
    await members(store, 40)
    await wrote(store, *((n % 40 + 1, n % 90) for n in range(behaviour.SMALL)))
    here = Here()
    rows, _ = behaviour_work.made(store.db.path, RULES, NOW, False)
    # Killed half way: some rows are there, and nothing says how far they reach.
    await store.features.make([row._replace(acts=1) for row in list(rows)[:20]], opt_in=False)
    assert "40 members" in await tick(store, here, RULES, NOW)
    assert here.ran == ["made"]
    assert plain(await rows_of(store)) == plain({row.member_id: row for row in rows})
    assert await tick(store, here, RULES, NOW + 1) == ""
    assert here.ran == ["made"]


async def test_what_a_mass_send_brings_is_worked_out_beside_the_bot(store: Store) -> None:
    await members(store, 40)
    await wrote(store, (1, 2))
    here = Here()
    await tick(store, here, RULES, NOW)
    await wrote(store, *((n % 40 + 1, 0) for n in range(3 * behaviour.SLICE)))
    assert "members" in await tick(store, here, RULES, NOW + 60)
    assert here.ran[:2] == ["quick taken_in", "quick taken_in"]
    await wrote(store, (1, 0))
    here.ran.clear()
    assert await tick(store, here, RULES, NOW + 120) == "1 members brought up to date"
    assert here.ran == []
    at_once, _ = behaviour_work.made(store.db.path, RULES, NOW + 120, False)
    assert plain({row.member_id: row for row in at_once}) == plain(await rows_of(store))


async def test_a_wrong_clock_does_not_reach_into_the_future(store: Store) -> None:
    await members(store, 1)
    await said(store, (1, -4000), (1, 1))
    await tick(store, Here(), RULES, NOW)
    row = (await rows_of(store))[1]
    assert (row.last_at, row.active_days) == (NOW, 2)


async def test_states_follow_what_is_done_at_once_and_time_at_night(store: Store) -> None:
    await members(store, 1)
    await wrote(store, (1, 25), (1, 24), (1, 23))
    await tick(store, Here(), RULES, NOW)
    leaving = (await rows_of(store))[1]
    assert (leaving.state, leaving.state_since) == ("leaving", NOW)
    await refresh(store, Here(), RULES, NOW + 40 * DAY_S)
    lost = (await rows_of(store))[1]
    assert (lost.state, lost.state_since) == ("lost", NOW + 40 * DAY_S)
    await store.db.write(
        lambda conn: conn.execute(
            "insert into interactions (at, channel, member_id, kind, text, handler, item) "
            "values (?, 'mp', 1, 'text', '', 'faq', '')",
            (NOW + 41 * DAY_S,),
        )
    )
    await tick(store, Here(), RULES, NOW + 41 * DAY_S)
    assert (await rows_of(store))[1].state == "returned"


async def test_who_does_not_want_it_has_no_row_and_begins_anew_when_they_agree(
    store: Store,
) -> None:
    await members(store, 3)
    await wrote(store, (1, 9), (2, 9), (3, 9))
    await tick(store, Here(), RULES, NOW)
    change_file(
        store.db.path,
        "insert into consents (member_id, purpose, granted, at, source) "
        "values (1, 'profiling', 0, 0, 'mp'), (2, 'profiling', 0, 0, 'mp')",
    )
    await wrote(store, (1, 5), (2, 5))
    assert await tick(store, Here(), RULES, NOW) == ""
    await refresh(store, Here(), RULES, NOW)
    assert (await rows_of(store)).keys() == {3}
    change_file(store.db.path, f"update consents set granted = 1, at = {NOW - 2 * DAY_S}")
    await wrote(store, (1, 1))
    await tick(store, Here(), RULES, NOW)
    assert (await rows_of(store))[1].acts == 1, "at their next word, and with that alone"
    await refresh(store, Here(), RULES, NOW)
    assert (await rows_of(store))[2].acts == 0, "or in the night"


async def test_asked_for_consent_only_who_gave_it_has_a_row(store: Store) -> None:
    await members(store, 3)
    await wrote(store, (1, 9), (2, 9))
    change_file(
        store.db.path,
        "insert into consents (member_id, purpose, granted, at, source) "
        "values (2, 'profiling', 1, 0, 'mp')",
    )
    await tick(store, Here(), RULES, NOW, opt_in=True)
    await refresh(store, Here(), RULES, NOW, opt_in=True)
    assert (await rows_of(store)).keys() == {2}


async def test_who_is_not_recorded_in_groups_is_known_by_private_words_alone(store: Store) -> None:
    await members(store, 1)
    await wrote(store, (1, 9))
    await said(store, (1, 3))
    await tick(store, Here(), RULES, NOW)
    assert (await rows_of(store))[1].acts == 2
    await store.talk.opt(1, recorded=False)
    await refresh(store, Here(), RULES, NOW)
    row = (await rows_of(store))[1]
    assert (row.acts, json.loads(row.data)["channels"]) == (1, {"mp": 1})


async def test_an_order_whose_buyer_is_found_later_counts_from_the_next_night(
    store: Store,
) -> None:
    await members(store, 2)
    paid = NewEvent("e1", "purchase", NOW, channel="mp", openid="unknown", amount_cents=9900)
    await store.events.add([paid], NOW)
    await tick(store, Here(), RULES, NOW)
    change_file(store.db.path, "update events set member_id = 2, who = ''")
    await refresh(store, Here(), RULES, NOW)
    found = await rows_of(store)
    assert [found[one].spent_cents for one in (1, 2)] == [0, 9900]


async def test_two_members_made_one_are_as_if_they_always_were(store: Store) -> None:
    await members(store, 4)
    await wrote(store, (1, 9), (2, 70), (1, 3), (2, 1.5), (3, 4))
    await said(store, (2, 80), (1, 81))
    await tick(store, Here(), RULES, NOW)
    for openid in ("o1", "o2"):
        await store.members.unite("mp", openid, "uTEST")
    await wrote(store, (1, 0.5))
    assert await tick(store, Here(), RULES, NOW) == "1 members brought up to date"
    at_once, _ = behaviour_work.made(store.db.path, RULES, NOW, False)
    found = await rows_of(store)
    assert found.keys() == {1, 3, 4}
    assert plain(found) == plain({row.member_id: row for row in at_once})


# The night


async def test_an_empty_store_has_a_report_that_says_so(store: Store) -> None:
    await refresh(store, Here(), RULES, NOW)
    kept = await store.interactions.finding(report.name_of("members"))
    assert kept is not None
    assert report.from_json(kept).note == "members_none"


async def planted(store: Store, count: int = 500, days: int = 150) -> set[int]:
    """A community with habits; says who stopped a while ago, all of them after slower weeks."""
    rng = np.random.default_rng(9)
    await members(store, count, NOW - days * DAY_S)
    habit = rng.uniform(0.1, 0.4, count)
    ends = rng.exponential(120, count) + 20
    when = np.arange(days)[None, :]
    did = rng.random((count, days)) < habit[:, None] * (when < ends[:, None])
    who, day = np.nonzero(did)
    at = (days - 1 - day + rng.uniform(0.1, 0.6, len(day))).tolist()
    await wrote(store, *sorted(zip((who + 1).tolist(), at, strict=True), key=lambda one: -one[1]))
    return {int(one) + 1 for one in np.flatnonzero((ends > days - 25) & (ends < days - 12))}


async def test_the_night_tells_who_will_go_why_and_what_to_do(store: Store) -> None:
    stopped = await planted(store)
    rules = replace(RULES, churn_days=21)
    here = Here()
    change_file(
        store.db.path,
        "insert into state_days (day, state, members) values "
        f"('{behaviour_work.iso(day_of(NOW) - 8)}', 'leaving', 3), "
        f"('{behaviour_work.iso(day_of(NOW) - 8)}', 'core', 5)",
    )
    assert "500 members judged" in await refresh(store, here, rules, NOW)
    assert here.ran == ["made", "mended", "concluded"]
    found = await rows_of(store)
    at_risk = {one for one, row in found.items() if row.churn is not None and row.churn >= 0.5}
    # Measured: 28 of 29.
    assert len(stopped & at_risk) >= 0.8 * len(stopped)
    assert all(found[one].reasons for one in stopped & at_risk)
    assert all(found[one].churn is None for one in found if found[one].state == "lost")
    kept = await store.interactions.finding(report.name_of("members"))
    model = await store.interactions.finding(behaviour.MODEL)
    assert kept is not None
    assert json.loads(model or "{}")["auc"] > 0.8
    made = report.from_json(kept)
    named = {one.name: one for one in made.figures}
    assert named.keys() | {"churn", "silent_days", "spent", "action_members"} >= FIGURES
    assert {one.name for one in made.lists} == LISTS
    assert {one.name for one in made.charts} == CHARTS
    states = [named[f"state_{state}"] for state in STATES]
    assert sum(one.value or 0 for one in states) == named["members"].value == 500
    assert (named["state_leaving"].before, named["state_lost"].before) == (3, 0)
    counted = dict(
        ask_file(store.db.path, "select state, count(*) from member_features group by 1")
    )
    assert counted == {
        state: one.value for state, one in zip(STATES, states, strict=True) if one.value
    }
    day = behaviour_work.iso(day_of(NOW) - 1)
    kept_days = f"select state, members from state_days where day = '{day}'"
    assert dict(ask_file(store.db.path, kept_days)) == counted
    risky = made.lists[0].rows
    assert risky
    assert risky[0].member_id in at_risk
    assert risky[0].details[1].startswith("reason:")
    assert risky[0].details[-1].startswith("action:")
    survival = made.charts[-1].series[0]
    assert survival.values[0] == 1.0
    assert survival.n[0] == 500


async def test_a_member_who_acts_keeps_what_the_night_concluded(store: Store) -> None:
    await members(store, 2)
    await wrote(store, *((1, ago) for ago in range(1, 10)), (2, 30))
    await refresh(store, Here(), RULES, NOW)
    night = (await rows_of(store))[1]
    assert (night.state, night.recency, night.frequency) == ("core", 4, 4)
    assert await refresh(store, Here(), RULES, NOW + 1) == "2 members judged, 0 changed"
    await wrote(store, (1, 0))
    await tick(store, Here(), RULES, NOW + 60)
    row = (await rows_of(store))[1]
    assert row[14:17] == night[14:17]
    assert row.state_since == night.state_since
    assert row.updated_at > night.updated_at


async def test_a_finding_is_no_place_for_words_about_a_member(store: Store) -> None:
    """What stands in the report about somebody has their number, so that it can be removed."""
    await members(store, 1)
    await wrote(store, (1, 25), (1, 24), (1, 23))
    await refresh(store, Here(), RULES, NOW)
    kept: Any = await store.interactions.finding(report.name_of("members"))
    (row,) = report.from_json(kept).lists[1].rows
    assert (row.member_id, row.label) == (1, "")
    assert row.details == ("state:leaving", "action:invite_back")
