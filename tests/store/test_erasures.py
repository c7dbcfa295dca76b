"""Forgetting in copies of the file, what somebody can be found by, and that nothing is left out."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store import Store, dialect, migrate
from store.dialect import DatabaseError
from store.erasures import PART, Erasure, erase_in_copy, holds
from store.events import NewEvent
from store.pseudonyms import pseudonym
from store.traces import Needle
from tests.store.belongings import have_everything
from tests.store.rows import (
    CHANNEL,
    LIN,
    MEI,
    NOW,
    answered,
    ask_file,
    change_file,
    places_of,
    tables_of,
)

WORDS = "我家住在三号楼二单元"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "zhiqun-20261121-041000.db"


async def lives(store: Store) -> int:
    lin = await answered(store, 1, text=WORDS)
    await answered(store, 2, MEI, text="公开的一句话")
    return lin


# In copies


async def test_a_member_is_taken_out_of_a_copy_and_nobody_else(store: Store, copy: Path) -> None:
    lin = await lives(store)
    await store.backup(copy)
    assert holds(copy, [lin])
    assert erase_in_copy(copy, [lin, 77], NOW, migrate) == 1
    assert not holds(copy, [lin])
    assert places_of(copy, [LIN, WORDS]) == set()
    raw = copy.read_bytes()
    assert LIN.encode() not in raw
    assert WORDS.encode() not in raw
    assert "公开的一句话".encode() in raw
    assert ask_file(copy, "pragma integrity_check") == [("ok",)]
    assert [one.name for one in copy.parent.iterdir()] == [copy.name]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert ask_file(store.db.path, "select count(*) from members") == [(2,)], "only the copy"


async def test_answers_to_others_that_have_passed_go_with_them(store: Store, copy: Path) -> None:
    lin = await lives(store)
    reply = f"{LIN} 说：{WORDS}".encode()
    await answered(store, 3, MEI, text="/who", reply=reply)
    await store.backup(copy)
    erase_in_copy(copy, [lin], NOW, migrate)
    assert LIN.encode() not in copy.read_bytes()
    assert ask_file(copy, "select count(*) from messages where reply <> x''") == [(0,)]


async def test_a_copy_of_an_older_schema_is_brought_up_to_date_first(
    store: Store, copy: Path, tmp_path: Path
) -> None:
    lin = await lives(store)
    await store.backup(copy)
    new = [*tables_of(copy)]
    old = ["readings", "mood_labels", "member_features", "member_findings", "community_members"]
    old += ["communities", "consents", "erasures", "noise_spent", "alerts", "cursors", "term_days"]
    for table in (*old, "state_days", "place_costs"):
        change_file(copy, f"drop table {table}")
    change_file(copy, "delete from _sqlite_migrations where name = 'm0006_insights'")
    assert erase_in_copy(copy, [lin], NOW, migrate) == 1
    assert [*tables_of(copy)] == new or set(tables_of(copy)) == set(new)
    assert LIN.encode() not in copy.read_bytes()


async def test_a_copy_that_cannot_be_erased_stays_as_it_was(store: Store, copy: Path) -> None:
    lin = await lives(store)
    await store.backup(copy)
    before = copy.read_bytes()

    def fails(conn: dialect.Connection) -> None:
        raise DatabaseError("a step of the schema went wrong")

    with pytest.raises(DatabaseError):
        erase_in_copy(copy, [lin], NOW, fails)
    assert copy.read_bytes() == before
    assert [one.name for one in copy.parent.iterdir()] == [copy.name]


async def test_what_a_killed_erasure_left_is_written_over(store: Store, copy: Path) -> None:
    lin = await lives(store)
    await store.backup(copy)
    part = copy.with_name(copy.name + PART)
    part.write_bytes(b"half a copy")
    os.chmod(part, 0o644)
    assert erase_in_copy(copy, [lin], NOW, migrate) == 1
    assert not part.exists()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_of_ours_says_so(tmp_path: Path) -> None:
    for name, content in (("a.db", b"SQLite format 3\0 and then nothing"), ("b.db", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DatabaseError):
            holds(path, [1])


# What is remembered of it


async def test_an_erasure_is_noted_by_number_until_backups_are_free(store: Store) -> None:
    lin = await lives(store)
    other = (await store.members.meet("team", "lin", NOW)).id
    for place in ((CHANNEL, LIN), ("team", "lin")):
        await store.members.unite(*place, "u_lin")
    assert await store.erasures.of(lin) is None
    await store.members.erase(lin, NOW)
    waiting = Erasure(lin, NOW, (lin, other), None, None, None)
    assert await store.erasures.in_backups() == [waiting]
    assert await store.members.erase(lin, NOW + 9) is None, "once"
    await store.erasures.out_of_backups([lin], NOW + 1)
    await store.erasures.out_of_backups([lin], NOW + 2)
    await store.erasures.proved(lin, 0, NOW + 3)
    assert await store.erasures.of(lin) == Erasure(lin, NOW, (lin, other), NOW + 1, NOW + 3, 0)
    assert await store.erasures.in_backups() == []


async def test_what_still_waits_is_not_taken_out(store: Store) -> None:
    await lives(store)
    rows = [("messages", 1), ("messages", 99), ("members", 1), ("states", 5)]
    assert await store.erasures.blank_passing(rows) == 1
    assert ask_file(store.db.path, "select reply from messages where id = 1") == [(b"",)]
    assert await store.members.card(1) is not None


# What somebody can be found by


async def test_needles_are_ids_names_numbers_and_what_nobody_else_wrote(store: Store) -> None:
    lin = await lives(store)
    await answered(store, 5, text="怎么申请退款呢")
    await answered(store, 6, MEI, text="怎么申请退款呢")
    await answered(store, 7, text="好的谢谢")
    await store.members.unite(CHANNEL, LIN, "u_of_lin")
    event = NewEvent("e1", "purchase", NOW, lin, visitor="browser-1", order_id="order-77")
    await store.events.add([event], NOW)
    for number, name in enumerate(("林小满", "林", "林小满")):
        sql = "insert into group_members (place, member_id, since, name) values (?, ?, 0, ?)"
        change_file(store.db.path, sql, (f"g{number}", lin, name))
    key = await store.pseudonyms.key()
    assert await store.erasures.needles(lin) == sorted(
        [
            Needle("id", LIN),
            Needle("id", "u_of_lin"),
            Needle("id", "browser-1"),
            Needle("id", pseudonym(key, lin)),
            Needle("order", "order-77"),
            Needle("name", "林小满"),
            Needle("number", f"member:{lin}"),
            Needle("words", WORDS),
        ]
    )


async def test_nobody_has_no_needles(store: Store) -> None:
    assert await store.erasures.needles(99) == []


# Pseudonyms


async def test_a_pseudonym_is_the_same_for_ever_and_of_this_database_only(
    store: Store, tmp_path: Path
) -> None:
    key = await store.pseudonyms.key()
    assert await store.pseudonyms.key() == key
    one = pseudonym(key, 12)
    assert (one[:2], len(one), one) == ("m_", 18, pseudonym(key, 12))
    assert len({pseudonym(key, number) for number in range(2000)}) == 2000
    assert pseudonym(bytes(32), 12) != one


# Completeness


async def test_an_export_has_every_table_that_names_its_member(store: Store) -> None:
    lin = await lives(store)
    await have_everything(store, lin, "秘密")
    told = await store.members.export(lin)
    assert told is not None
    named = {
        table
        for table, columns in tables_of(store.db.path).items()
        if {"member_id", "inviter_id", "invitee_id", "from_id"} & set(columns)
    }
    assert named - set(told) <= {"erasures", "point_lots"}, "sums of points tell what lots hold"


async def test_everything_is_walked_through_also_what_the_database_keeps(store: Store) -> None:
    await lives(store)
    await store.optimise()
    with closing(sqlite3.connect(store.db.path)) as conn:
        seen = {table for table, _, _ in dialect.everything(conn, rows=1)}
        pages = [
            len(rows) for table, _, rows in dialect.everything(conn, rows=1) if table == "members"
        ]
    assert {"members", "messages", "_sqlite_migrations"} <= seen
    assert pages == [1, 1]
