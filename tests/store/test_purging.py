"""What is older than it may be goes, in slices, and only what nothing else stands on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest

from scheduler.purging import purge
from store import Store
from store.dialect import Connection
from store.events import KINDS, NewEvent
from store.noise_spent import Question
from store.purging import LOOKS, SLICE
from store.rec_lists import NewList, Shown
from tests.store.rows import LIN, MEI, NOW, answered, ask_file

DAY = 86_400.0


@dataclass(frozen=True)
class Settings:
    keep_interactions_days: int = 0
    keep_events_days: int = 0
    keep_readings_days: int = 180
    keep_alerts_days: int = 180


def _execute(conn: Connection, sql: str) -> None:
    conn.execute(sql)


async def put(store: Store, sql: str) -> None:
    await store.db.write(partial(_execute, sql=sql))


def count(store: Store, table: str) -> int:
    return int(ask_file(store.db.path, f"select count(*) from {table}")[0][0])


async def test_nothing_old_says_nothing(store: Store) -> None:
    await answered(store, 1)
    assert await purge(store, Settings(1, 1), NOW) == ""


async def test_nothing_is_forgotten_that_is_kept_for_ever(store: Store) -> None:
    await answered(store, 1)
    await answered(store, 2)
    assert await purge(store, Settings(), NOW + 4000 * DAY) == ""
    assert count(store, "interactions") == 2


async def test_each_kind_goes_when_its_time_is_over(store: Store) -> None:
    lin = await answered(store, 1, at=NOW - 40 * DAY)
    await answered(store, 2, MEI, at=NOW - 20 * DAY)
    for number, days in enumerate((190, 170)):
        at = NOW - days * DAY
        await put(
            store,
            "insert into readings (source, row_id, place, member_id, at, negative, positive, "
            f"model) values ('i', {number}, '', {lin}, {at}, 0, 0, 'zhiqun')",
        )
        await put(
            store,
            "insert into mood_labels (source, row_id, text, label, at, by) "
            f"values ('i', {number}, '话', 1, {at}, 'cli')",
        )
        await put(
            store,
            "insert into alerts (key, kind, at, data) "
            f"values (randomblob(16), 'topic_burst', {at}, '{{}}')",
        )
    told = await purge(store, Settings(keep_interactions_days=30), NOW)
    assert told == "1 interactions, 1 readings, 1 mood labels, 1 alerts forgotten"
    assert [count(store, one) for one in ("interactions", "readings", "alerts")] == [1, 1, 1]


async def test_a_report_that_no_night_made_anew_goes(store: Store) -> None:
    for name, days in (("report:topic:gone", 15), ("report:topic:", 1), ("mood_model", 99)):
        await store.interactions.put_finding(name, "{}", NOW - days * DAY)
    assert await purge(store, Settings(), NOW) == "1 reports forgotten"
    assert await store.interactions.finding("report:topic:gone") is None
    assert await store.interactions.finding("mood_model") == "{}"


async def test_what_was_recommended_goes_after_more_than_a_year(store: Store) -> None:
    lin = await answered(store, 1)
    for number, days in enumerate((401, 399)):
        at = NOW - days * DAY
        new = NewList(bytes([number] * 16), lin, at, "chat", "popular", shown=(Shown("c1", "x"),))
        await store.recommendations.put(new)
        await store.rec_digests.plan(lin, f"2026-W{number:02}", at)
    assert await purge(store, Settings(), NOW) == "1 lists, 1 letters forgotten"
    assert [count(store, one) for one in ("rec_lists", "rec_shown", "rec_digests")] == [1, 1, 1]


async def test_with_a_label_goes_what_the_model_learned_of_it(store: Store) -> None:
    for number, learned in ((1, "null"), (2, "5")):
        await put(
            store,
            "insert into mood_labels (source, row_id, text, label, at, by, learned_at) "
            f"values ('i', {number}, '话', 1, {number}, 'cli', {learned})",
        )
        await store.mood_labels.remove(number + 1.0)
        assert (await store.mood_labels.model()).version == number - 1


async def test_who_decided_nothing_loses_their_profile_once_silence_means_no(store: Store) -> None:
    lin = await answered(store, 1)
    await put(
        store,
        "insert into readings (source, row_id, place, member_id, at, negative, positive, model) "
        f"values ('i', 1, '', {lin}, {NOW}, 0, 0, 'zhiqun')",
    )
    store.consents.under("2", opt_in=True)
    assert await purge(store, Settings(), NOW) == "1 profiles forgotten"
    assert count(store, "readings") == 0


async def test_the_last_row_of_a_log_stays_for_the_jobs_that_count_by_it(store: Store) -> None:
    for number in range(1, 4):
        await answered(store, number)
    assert "2 interactions" in await purge(store, Settings(keep_interactions_days=1), NOW + 9 * DAY)
    await answered(store, 9)
    ids = [row[0] for row in ask_file(store.db.path, "select id from interactions order by id")]
    assert ids == [3, 4]


async def test_looks_go_and_what_points_and_books_stand_on_stays(store: Store) -> None:
    lin = await answered(store, 1)
    events = [NewEvent(kind, kind, NOW - 9 * DAY, lin, item_id="c1") for kind in KINDS]
    await store.events.add([*events, NewEvent("last", "view", NOW, lin)], NOW)
    assert await purge(store, Settings(keep_events_days=5), NOW) == f"{len(LOOKS)} events forgotten"
    left = {one.kind for one in await store.events.page()}
    assert left == set(KINDS) - set(LOOKS) | {"view"}
    assert set(LOOKS) < set(KINDS)


async def test_a_log_is_read_no_further_than_it_is_old(store: Store) -> None:
    """What a merge or a clock put out of order goes with its slice."""
    for number, days in enumerate((9, 1, 8, 0, 0), 1):
        await answered(store, number, at=NOW - days * DAY)
    assert await store.purging.remove_log(NOW - 5 * DAY) == 2
    kept = ask_file(store.db.path, "select at from interactions order by id")
    assert [NOW - at for (at,) in kept] == [DAY, 0, 0]
    assert await store.purging.remove_log(NOW - 5 * DAY) == 0


async def test_more_than_a_slice_goes_in_several(store: Store) -> None:
    lin = await answered(store, 1)
    await put(
        store,
        "insert into interactions (at, channel, member_id, kind, text, handler, item) "
        f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {2 * SLICE + 5})"
        f" select i, 'mp', {lin}, 'text', '', 'faq', '' from n",
    )
    gone = await store.purging.remove_log(NOW - DAY)
    assert gone == 2 * SLICE + 4
    assert count(store, "interactions") == 2, "of these the last, and the one of today"


async def test_the_accounts_outlive_every_budget_and_then_go(store: Store) -> None:
    question = Question(b"k", "public", "week", 0.25, "cli")
    assert await store.noise_spent.put(question, "{}", 1.0, NOW) == "{}"
    lin = (await store.members.meet("mp", LIN, NOW)).id
    mei = (await store.members.meet("mp", MEI, NOW)).id
    for member in (lin, mei):
        await store.members.erase(member, NOW)
    await store.erasures.out_of_backups([lin], NOW)
    assert await purge(store, Settings(), NOW + 399 * DAY) == ""
    told = await purge(store, Settings(), NOW + 401 * DAY)
    assert told == "1 noise_spent, 1 erasures forgotten"
    assert [one.member_id for one in await store.erasures.in_backups()] == [mei]


async def test_an_unknown_table_is_no_table(store: Store) -> None:
    with pytest.raises(KeyError):
        await store.purging.remove("members", NOW)
