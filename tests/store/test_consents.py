"""What members decided: kept with its time and notice, and kept to at once."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from store import Store
from store.consents import BEFORE, PROFILING, Consent, withheld
from store.dialect import Connection
from tests.store.rows import CHANNEL, LIN, MEI, NOW

DAY = 86_400.0
PROFILE = (
    "insert into member_features (member_id, first_at, last_at, acts, active_days, last_day, "
    "days28, questions, spent_cents, orders, progress, data, updated_at) "
    "values (:m, 0, 0, 1, 1, '2026-11-21', 1, 0, 0, 0, 0, '{}', 0)",
    "insert into readings (source, row_id, place, member_id, at, negative, positive, model) "
    "values ('t', :m, 'mp:g', :m, 0, 0.9, 0, 'zhiqun')",
    "insert into member_findings (name, scope, member_id, rank, value, made_at) "
    "values ('leader', 'mp:g', :m, 1, 0.5, 0)",
    "insert into communities (id, scope, name, born_at, origin, size, seen_at) "
    "values (1, 'mp:g', '写作', 0, 'born', 9, 0) on conflict do nothing",
    "insert into community_members (scope, member_id, community_id, since) "
    "values ('mp:g', :m, 1, 0)",
    "insert into alerts (key, kind, at, member_id, data) "
    "values (randomblob(16), 'mood_member', 0, :m, '{}')",
    "insert into mood_labels (source, row_id, member_id, text, label, at, by, learned_at) "
    "values ('t', :m, :m, '太慢了', -1, 0, 'member:9', 1)",
)
TABLES = (
    *("member_features", "readings", "member_findings", "community_members", "alerts"),
    "mood_labels",
)


async def profiled(store: Store, member_id: int) -> None:
    def run(conn: Connection, sql: str) -> None:
        conn.execute(sql, {"m": member_id})

    for sql in PROFILE:
        await store.db.write(partial(run, sql=sql))


async def concluded(store: Store, member_id: int) -> list[str]:
    """Tables that say something of them."""

    def run(conn: Connection) -> list[str]:
        return [
            table
            for table in TABLES
            if conn.execute(f"select 1 from {table} where member_id = ?", (member_id,)).fetchone()
        ]

    return await store.db.read(run)


async def met(store: Store, openid: str = LIN, at: float = NOW) -> int:
    return (await store.members.meet(CHANNEL, openid, at)).id


async def refused(store: Store, *, opt_in: bool = False) -> set[int]:
    return await store.db.read(lambda conn: withheld(conn, PROFILING, opt_in=opt_in))


async def test_a_decision_is_kept_with_its_time_its_place_and_the_notice(store: Store) -> None:
    lin = await met(store)
    assert await store.consents.of(lin) == []
    store.consents.under("2026-11", opt_in=False)
    assert await store.consents.decide(lin, PROFILING, True, NOW, CHANNEL)
    assert await store.consents.of(lin) == [Consent(PROFILING, True, NOW, CHANNEL, "2026-11")]


async def test_saying_it_again_changes_nothing_unless_the_notice_is_another(store: Store) -> None:
    lin = await met(store)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    assert not await store.consents.decide(lin, PROFILING, False, NOW + DAY, "cli")
    assert [one.at for one in await store.consents.of(lin)] == [NOW]
    store.consents.under("2", opt_in=False)
    assert await store.consents.decide(lin, PROFILING, False, NOW + DAY, CHANNEL)
    assert [one.notice for one in await store.consents.of(lin)] == ["2"]


async def test_refusing_removes_what_was_concluded_and_nobody_elses(store: Store) -> None:
    lin, mei = await met(store), await met(store, MEI)
    for member in (lin, mei):
        await profiled(store, member)
    report: dict[str, Any] = {
        "kind": "leaders",
        "lists": [{"name": "leaders", "rows": [{"member_id": lin}, {"member_id": mei}]}],
    }
    await store.interactions.put_finding("report:leaders:", json.dumps(report), NOW)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    assert await concluded(store, lin) == []
    assert await concluded(store, mei) == list(TABLES)
    left = json.loads(await store.interactions.finding("report:leaders:") or "")
    assert left["lists"][0]["rows"] == [{"member_id": mei}]
    assert (await store.mood_labels.model()).version == 1, "and the model learns anew without them"


async def test_when_silence_means_no_from_now_on_what_was_concluded_goes(store: Store) -> None:
    silent, yes = await met(store), await met(store, MEI)
    await store.consents.decide(yes, PROFILING, True, NOW, CHANNEL)
    for member in (silent, yes):
        await profiled(store, member)
    assert await store.consents.keep_to_rule() == 0
    assert await concluded(store, silent) == list(TABLES)
    store.consents.under("2", opt_in=True)
    row = f'{{"lists": [{{"rows": [{{"member_id": {silent}}}]}}]}}'
    await store.interactions.put_finding("report:leaders:", row, NOW)
    assert await store.consents.keep_to_rule() == 1
    left = await store.interactions.finding("report:leaders:")
    assert left == '{"lists": [{"rows": []}]}'
    assert (await concluded(store, silent), await concluded(store, yes)) == ([], list(TABLES))
    assert await store.consents.keep_to_rule() == 0


async def test_granting_again_brings_nothing_back(store: Store) -> None:
    lin = await met(store)
    await profiled(store, lin)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    assert await store.consents.decide(lin, PROFILING, True, NOW + DAY, CHANNEL)
    assert await concluded(store, lin) == []
    assert await refused(store) == set()


async def test_who_is_withheld_depends_on_what_silence_means(store: Store) -> None:
    silent, yes, no = [await met(store, name) for name in ("o_silent", "o_yes", "o_no")]
    await store.consents.decide(yes, PROFILING, True, NOW, CHANNEL)
    await store.consents.decide(no, PROFILING, False, NOW, CHANNEL)
    assert await refused(store) == {no}
    assert await refused(store, opt_in=True) == {silent, no}


async def test_nobody_decides_for_a_number_that_is_nobodys(store: Store) -> None:
    assert not await store.consents.decide(77, PROFILING, True, NOW, CHANNEL)
    assert await store.consents.of(77) == []


async def test_a_refusal_outlives_being_forgotten(store: Store) -> None:
    lin = await met(store)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    await store.members.erase(lin, NOW)
    again = await met(store, at=NOW + DAY)
    assert again != lin
    assert await store.consents.of(again) == [Consent(PROFILING, False, NOW + DAY, BEFORE, "")]
    assert await refused(store) == {again}
    await store.members.erase(again, NOW)
    assert await refused(store) == set(), "nobody is left to be withheld"
    third = await met(store, at=NOW + 2 * DAY)
    assert await refused(store) == {third}, "nor does it end with the second time"


async def test_taking_it_back_ends_what_outlived(store: Store) -> None:
    lin = await met(store)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    await store.members.erase(lin, NOW)
    again = await met(store, at=NOW + DAY)
    await store.consents.decide(again, PROFILING, True, NOW + DAY, CHANNEL)
    await store.members.erase(again, NOW + DAY)
    await met(store, at=NOW + 2 * DAY)
    assert await refused(store) == set()


async def test_a_grant_does_not_outlive_being_forgotten(store: Store) -> None:
    lin = await met(store)
    await store.consents.decide(lin, PROFILING, True, NOW, CHANNEL)
    await store.members.erase(lin, NOW)
    assert await store.consents.of(await met(store)) == []


async def test_a_refusal_comes_back_with_the_unionid_too(store: Store) -> None:
    lin = await met(store)
    await store.members.unite(CHANNEL, LIN, "u_lin")
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    await store.members.erase(lin, NOW)
    elsewhere = (await store.members.meet("team", "lin", NOW + DAY)).id
    await store.members.unite("team", "lin", "u_lin")
    assert await refused(store) == {elsewhere}


async def test_of_two_made_one_the_later_decision_stands_and_is_kept_to(store: Store) -> None:
    first, second = await met(store), (await store.members.meet("team", "lin", NOW)).id
    for member in (first, second):
        await profiled(store, member)
    await store.members.unite(CHANNEL, LIN, "u_lin")
    await store.consents.decide(first, PROFILING, True, NOW, CHANNEL)
    await store.consents.decide(second, PROFILING, False, NOW + DAY, "team")
    assert await store.members.unite("team", "lin", "u_lin") == first
    assert [one.granted for one in await store.consents.of(first)] == [False]
    assert await concluded(store, first) == []


async def test_an_export_says_what_was_decided(store: Store) -> None:
    lin = await met(store)
    await store.consents.decide(lin, PROFILING, False, NOW, CHANNEL)
    told = await store.members.export(lin)
    assert told is not None
    assert [(row["purpose"], row["granted"]) for row in told["consents"]] == [(PROFILING, 0)]
