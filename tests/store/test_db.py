"""The writer and its readers: nothing lost, nobody fails for a neighbour, no stale read."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from store import Store
from store.db import Database, Many, StoreError
from store.dialect import Connection
from tests.store.rows import CHANNEL, LIN, NOW, Held, ask_file, change_file


def _schema(conn: Connection) -> None:
    conn.execute("create table if not exists notes (id integer primary key, text text unique)")


def add(text: str) -> Callable[[Connection], int]:
    """A write: one note; says its id."""

    def run(conn: Connection) -> int:
        row = conn.execute("insert into notes (text) values (?) returning id", (text,))
        return int(row.fetchone()[0])

    return run


def _count(conn: Connection) -> int:
    return int(conn.execute("select count(*) from notes").fetchone()[0])


@pytest.fixture
def batches() -> list[int]:
    return []


@pytest.fixture
async def db(tmp_path: Path, batches: list[int]) -> AsyncIterator[Database]:
    db = Database(
        tmp_path / "notes.db", durability="process", busy_timeout_s=0.2, observe=batches.append
    )
    await db.open(_schema)
    yield db
    await db.close()


# Group commit


async def test_writes_that_meet_are_one_transaction(db: Database, batches: list[int]) -> None:
    held = Held(db)
    await held.started()
    writes = [db.write(add(f"note {number}")) for number in range(100)]
    held.release()
    ids = await asyncio.gather(*writes)
    assert ids == list(range(1, 101)), "each caller gets its own result, in order"
    await db.write(_count)  # by then the writer has told the sizes before
    assert batches[:2] == [1, 100]


async def test_what_comes_in_one_moment_is_one_batch(db: Database, batches: list[int]) -> None:
    held = Held(db)
    await held.started()
    writes = [db.write(add(f"note {number}")) for number in range(700)]
    held.release()
    await asyncio.gather(*writes)
    await db.write(_count)
    # Handed over in one moment, they are one batch however many; later ones wait.
    assert batches[:2] == [1, 700]


async def test_done_means_committed(db: Database) -> None:
    await db.write(add("kept"))
    assert ask_file(db.path, "select text from notes") == [("kept",)]


async def test_writes_of_one_kind_share_one_call(db: Database) -> None:
    calls: list[list[str]] = []

    def run(conn: Connection, texts: Sequence[str]) -> list[str]:
        calls.append(list(texts))
        conn.executemany("insert into notes (text) values (?)", [(text,) for text in texts])
        return [text.upper() for text in texts]

    op = Many(run)
    held = Held(db)
    await held.started()
    writes = [db.write_many(op, text) for text in ("a", "b", "c")]
    held.release()
    assert await asyncio.gather(*writes) == ["A", "B", "C"]
    assert calls == [["a", "b", "c"]]


# Power cuts


def _syncs(conn: Connection) -> bool:
    """Whether the transaction under way waits for the disk when it commits."""
    return bool(conn.execute("pragma synchronous").fetchone()[0] == 2)


_LAZY: Many[None, bool] = Many(lambda conn, args: [_syncs(conn)] * len(args), sync=False)
_EAGER: Many[None, bool] = Many(lambda conn, args: [_syncs(conn)] * len(args))


async def test_a_commit_waits_for_the_disk_unless_all_of_it_may_be_lost(tmp_path: Path) -> None:
    db = Database(tmp_path / "notes.db", durability="full")
    await db.open(_schema)
    try:
        assert await db.write(_syncs)
        assert not await db.write_many(_LAZY, None)
        assert await db.write_many(_EAGER, None)
        assert all(await asyncio.gather(db.write_many(_LAZY, None), db.write(_syncs)))
        assert not await db.write_many(_LAZY, None)
    finally:
        await db.close()


async def test_who_only_fears_a_killed_process_never_waits_for_the_disk(db: Database) -> None:
    assert not await db.write(_syncs)
    assert not await db.write_many(_EAGER, None)
    assert not await db.write_many(_LAZY, None)


# Failures stay with their caller


async def test_a_failing_write_does_not_fail_its_neighbours(db: Database) -> None:
    await db.write(add("taken"))

    def half(conn: Connection) -> None:
        conn.execute("insert into notes (text) values ('half')")
        raise LookupError("mine alone")

    held = Held(db)
    await held.started()
    writes: list[asyncio.Future[object]] = [
        db.write(add("before")),
        db.write(half),
        db.write(add("taken")),
        db.write(add("after")),
    ]
    held.release()
    before, failed, taken, after = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert isinstance(failed, LookupError), "its own error, unchanged"
    assert isinstance(taken, StoreError), "the database's refusal"
    assert isinstance(taken.__cause__, sqlite3.IntegrityError)
    found = ask_file(db.path, "select text from notes order by id")
    assert found == [("taken",), ("before",), ("after",)], "nothing of the failed one stays"


async def test_a_failing_write_among_many_of_one_kind_fails_alone(db: Database) -> None:
    def run(conn: Connection, texts: Sequence[str]) -> list[None]:
        conn.executemany("insert into notes (text) values (?)", [(text,) for text in texts])
        return [None] * len(texts)

    op = Many(run)
    held = Held(db)
    await held.started()
    writes = [db.write_many(op, text) for text in ("a", "a", "b")]
    held.release()
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, StoreError) for result in results] == [False, True, False]
    assert ask_file(db.path, "select text from notes order by text") == [("a",), ("b",)]


async def test_the_writer_goes_on_after_an_error(db: Database) -> None:
    with pytest.raises(StoreError, match="no such table"):
        await db.write(lambda conn: conn.execute("insert into nowhere (a) values (1)"))
    assert await db.write(add("next")) == 1


async def test_a_caller_who_gave_up_does_not_disturb_the_others(db: Database) -> None:
    held = Held(db)
    await held.started()
    gone, stays = db.write(add("gone")), db.write(add("stays"))
    gone.cancel()
    held.release()
    await stays
    assert await db.read(_count) == 2, "what was handed over is written all the same"


# Other processes

_HOLD = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("begin immediate")
conn.execute("insert into notes (text) values ('theirs')")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
conn.execute("commit")
"""


async def test_a_write_waits_out_a_lock_of_another_process(db: Database) -> None:
    hold_s = 0.9
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(db.path), str(hold_s)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == b"held\n"
        start = time.monotonic()
        write = db.write(add("ours"))
        assert await db.read(_count) == 0, "reading goes on meanwhile"
        await write
        waited = time.monotonic() - start
    assert waited > hold_s / 2, "several busy timeouts of 0.2 s, and no error"
    found = ask_file(db.path, "select text from notes order by id")
    assert found == [("theirs",), ("ours",)]


async def test_changed_is_called_for_the_writes_of_others_only(db: Database) -> None:
    heard = asyncio.Event()
    db.changed = heard.set
    for number in range(5):
        await db.write(add(f"own {number}"))
        await db.read(_count)
    await asyncio.sleep(0)
    assert not heard.is_set(), "our own writes are no news"
    await asyncio.to_thread(change_file, db.path, "insert into notes (text) values ('theirs')")
    await asyncio.wait_for(heard.wait(), 5)
    heard.clear()
    await db.write(add("own again"))
    await db.write(add("and again"))
    await asyncio.sleep(0)
    assert not heard.is_set(), "each change is told once"


# Readers


async def test_a_read_sees_the_newest_commit(db: Database) -> None:
    for number in range(1, 51):
        await db.write(add(f"note {number}"))
        counts = await asyncio.gather(*[db.read(_count) for _ in range(3)])
        assert counts == [number] * 3


async def test_all_statements_of_a_read_see_one_moment(db: Database) -> None:
    def twice(conn: Connection) -> tuple[int, int]:
        first = _count(conn)
        change_file(db.path, "insert into notes (text) values ('meanwhile')")
        return first, _count(conn)

    assert await db.read(twice) == (0, 0)
    assert await db.read(_count) == 1


async def test_a_reader_cannot_write(db: Database) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await db.read(add("by a reader"))
    assert await db.read(_count) == 0


async def test_a_failed_read_spoils_nothing(db: Database) -> None:
    with pytest.raises(StoreError, match=r"reading .*no such table"):
        await db.read(lambda conn: conn.execute("select * from nowhere"))
    with pytest.raises(ZeroDivisionError):
        await db.read(lambda conn: 1 // 0)
    await db.write(add("later"))
    assert await db.read(_count) == 1


# Opening and closing


async def test_close_finishes_what_was_handed_over(tmp_path: Path) -> None:
    db = Database(tmp_path / "notes.db", durability="process")
    await db.open(_schema)
    held = Held(db)
    await held.started()
    writes = [db.write(add(f"note {number}")) for number in range(600)]
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="closing"):
        db.write(add("too late"))
    held.release()
    await closing
    assert all(write.done() and write.exception() is None for write in writes)
    assert ask_file(db.path, "select count(*) from notes") == [(600,)]


async def test_the_last_writes_wait_a_moment_for_another_process(db: Database) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(db.path), "0.8"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == b"held\n"
        write = db.write(add("ours"))
        await db.close()
        assert await write == 2


async def test_after_close_reads_and_writes_are_refused(tmp_path: Path) -> None:
    db = Database(tmp_path / "notes.db", durability="process")
    await db.open(_schema)
    await db.close()
    with pytest.raises(StoreError):
        db.write(add("too late"))
    with pytest.raises(StoreError):
        await db.read(_count)
    await db.close()
    assert not db.path.with_name("notes.db-wal").exists(), "the log is folded into the file"


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"dear diary, " * 200)
    db = Database(path)
    with pytest.raises(StoreError, match="not a database"):
        await db.open(_schema)
    await db.close()
    assert path.read_bytes() == b"dear diary, " * 200


async def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "notes.db", tmp_path):
        with pytest.raises(StoreError, match="Check the path, its permissions"):
            await Database(path).open(_schema)


async def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere, so no folder can be closed to it")
    with pytest.raises(StoreError, match="Check the path, its permissions"):
        await Database(folder / "notes.db").open(_schema)


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        db = Database(tmp_path / "deep" / "notes.db", durability="process")
        await db.open(_schema)
        await db.write(add("private"))
        found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in db.path.parent.iterdir()}
        await db.close()
    finally:
        os.umask(old)
    assert found == {"notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}


# Copies


async def test_a_backup_is_one_moment_while_writes_go_on(store: Store, tmp_path: Path) -> None:
    """Every write changes two tables; a copy in between would have them differ."""
    stop = False

    def both(conn: Connection) -> None:
        conn.execute("insert into audit (at, actor, action, target, detail) values (1,'','','','')")
        conn.execute(
            "insert into quota (channel, name, day, used) values ('', '', '', 1) "
            "on conflict (channel, name, day) do update set used = quota.used + 1"
        )

    async def keep_writing() -> int:
        count = 0
        while not stop:
            await asyncio.gather(*[store.db.write(both) for _ in range(20)])
            count += 20
        return count

    writing = asyncio.create_task(keep_writing())
    copies = [tmp_path / "copies" / f"{number}.db" for number in range(5)]
    for copy in copies:
        await store.backup(copy)
    stop = True
    total = await writing
    seen = []
    for copy in copies:
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert ask_file(copy, "pragma integrity_check") == [("ok",)]
        rows = ask_file(copy, "select count(*) from audit")[0][0]
        used = ask_file(copy, "select coalesce(max(used), 0) from quota")[0][0]
        assert rows == used
        seen.append(rows)
    assert seen == sorted(seen)
    assert seen[-1] <= total
    assert sorted(copies[0].parent.iterdir()) == copies, "no half copy is left behind"


async def test_a_backup_opens_as_a_store(store: Store, tmp_path: Path) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.backup(tmp_path / "copy.db")
    copy = Store(tmp_path / "copy.db")
    await copy.open()
    try:
        again = await copy.members.meet(CHANNEL, LIN, NOW)
    finally:
        await copy.close()
    assert (again.id, again.fresh) == (met.id, False)


async def test_the_probe_tells_a_sound_file(store: Store) -> None:
    looked = await store.probe()
    assert all(fine for fine, _ in looked)
    assert looked[0][1] == "integrity: ok"
