"""One writer thread with group commit, several readers.

A caller hands over a function of a connection and awaits its result; nothing on the
event loop touches the file. Everything waiting when the writer comes round becomes one
transaction with one sync to the disk, so a thousand small writes cost a few dozen
syncs. Idea: datasette's single write thread.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

from store import dialect
from store.dialect import Connection

T = TypeVar("T")
A = TypeVar("A")

_BATCH = 512
_STEP_S = 0.25
_CLOSE_S = 2.0
"""How long the last writes wait for another process that holds the file."""
_LOOK_S = 0.5
"""How often the writer looks whether another process has written."""


class StoreError(Exception):
    """The database refused; the cause says why (disk full, damaged file, no permission)."""


class Many(Generic[A, T]):
    """A write that is cheaper many at a time.

    run: takes the connection and the arguments of all calls that met in one
    transaction, gives one result for each, in order. sync: False when a power cut may
    take the rows as long as nothing that was written later survives it.
    """

    __slots__ = ("run", "sync")

    def __init__(
        self, run: Callable[[Connection, Sequence[A]], Sequence[T]], *, sync: bool = True
    ) -> None:
        self.run = run
        self.sync = sync


class _Job:
    __slots__ = ("args", "error", "future", "op", "result")

    def __init__(self, op: Any, args: Any, future: asyncio.Future[Any]) -> None:
        self.op = op
        self.args = args
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Database:
    """The file, its writer and its readers.

    patience_s: how long a write waits for another process that holds the file; a server
    waits for ever, a command should not.
    observe: called with the size of every committed batch, on the writer thread.
    changed: called on the event loop when another process has written to the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        busy_timeout_s: float = 30.0,
        readers: int = 2,
        patience_s: float = math.inf,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self._patience_s = patience_s
        self.changed: Callable[[], None] | None = None
        self._may_sync = durability == "full"
        self._syncing: bool | None = None
        self._busy_timeout_s = busy_timeout_s
        self._observe = observe
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._pending: list[_Job] = []
        self._local = threading.local()
        self._reader_conns: list[Connection] = []
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")
        # What may take seconds waits for its like, and no chat message behind it.
        self._long = ThreadPoolExecutor(1, thread_name_prefix="store-long-reader")
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Open the file, run `prepare` (the migrations) and start the writer.

        Errors: StoreError when the file can't be opened or is not a database.
        """
        self._loop = asyncio.get_running_loop()

        def start() -> Connection:
            conn: Connection | None = None
            try:
                conn = dialect.connect(self.path, busy_timeout_s=self._busy_timeout_s)
                prepare(conn)
                # A file that can only be read should be found out now.
                try:
                    dialect.begin(conn)
                    conn.execute("rollback")
                except dialect.DatabaseError as error:
                    if not dialect.is_locked(error):
                        raise
                # From here on the writer waits in short steps, so that it can be stopped.
                dialect.wait_for_lock(conn, _STEP_S)
            except (dialect.DatabaseError, OSError) as error:
                if conn is not None:
                    conn.close()
                raise StoreError(
                    f"cannot open the database {self.path}: {error}. "
                    "Check the path, its permissions and the free space."
                ) from error
            return conn

        conn = await self._loop.run_in_executor(self._readers, start)
        self._thread = threading.Thread(
            target=self._write_loop, args=(conn,), name="store-writer", daemon=True
        )
        self._thread.start()

    @property
    def closing(self) -> bool:
        """Whether `close` has begun."""
        return self._stopping

    async def close(self) -> None:
        """Finish every write that was handed over, then close the file."""
        if self._thread is None:
            return
        self._stopping = True
        self._hand_over()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        # In a thread: a long read (a backup) must not hold the event loop.
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._long.shutdown)
        for conn in self._reader_conns:
            conn.close()
        self._reader_conns.clear()

    def write(self, fn: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `fn` in the next transaction; done means committed.

        `fn` may run twice (a failing neighbour in its batch rolls it back), so it
        changes nothing but the database. Errors: whatever `fn` raises; StoreError.
        """
        return self._submit(fn, None)

    def write_many(self, op: Many[A, T], args: A) -> asyncio.Future[T]:
        """Like `write`, sharing one call of `op` with everyone who came at the same time."""
        return self._submit(op, args)

    async def read(self, fn: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run `fn` on a reading connection; all it reads is one moment, the newest commit.

        long: it may take seconds; such reads go one after the other. Errors: StoreError.
        """
        assert self._loop is not None
        if self._thread is None:
            raise StoreError("the store is closed; nothing can be read")
        if long:
            return await self._loop.run_in_executor(self._long, self._read_long, fn)
        return await self._loop.run_in_executor(self._readers, self._read, fn)

    def _read_long(self, fn: Callable[[Connection], T]) -> T:
        if self._stopping:
            raise StoreError("the store is closing; nothing was read")
        return self._read(fn)

    def _read(self, fn: Callable[[Connection], T]) -> T:
        conn: Connection | None = getattr(self._local, "conn", None)
        try:
            if conn is None:
                conn = dialect.connect(
                    self.path, busy_timeout_s=self._busy_timeout_s, writable=False
                )
                self._local.conn = conn
                self._reader_conns.append(conn)
            dialect.begin_read(conn)
            try:
                return fn(conn)
            finally:
                if conn.in_transaction:
                    conn.execute("rollback")
        except dialect.DatabaseError as error:
            raise StoreError(f"reading {self.path} failed: {error}") from error

    def _submit(self, op: Any, args: Any) -> asyncio.Future[Any]:
        assert self._loop is not None
        if self._stopping:
            raise StoreError("the store is closing; nothing was written")
        future: asyncio.Future[Any] = self._loop.create_future()
        # Handed over when everything that is ready on the loop has had its turn: who comes
        # in the same moment shares one wake-up of the writer and one sync to the disk.
        self._pending.append(_Job(op, args, future))
        if len(self._pending) == 1:
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        if self._pending:
            self._jobs.put(self._pending)
            self._pending = []

    # On the writer thread

    def _write_loop(self, conn: Connection) -> None:
        jobs = self._jobs
        seen, looked = dialect.foreign_changes(conn), time.monotonic()
        stopping = False
        while not stopping:
            batch: list[_Job] = []
            timeout: float | None = 1.0  # to notice other processes' writes when idle
            while len(batch) < _BATCH:
                try:
                    more = jobs.get(timeout=timeout) if timeout else jobs.get_nowait()
                except queue.Empty:
                    break
                timeout = None
                if more is None:
                    stopping = True
                else:
                    batch += more
            if batch:
                self._commit(conn, batch)
                self._call_back(self._deliver, batch)
                if self._observe is not None:
                    self._observe(len(batch))
            if batch and time.monotonic() - looked < _LOOK_S:
                continue
            looked = time.monotonic()
            try:
                now = dialect.foreign_changes(conn)
            except dialect.DatabaseError:
                # The next write says what is wrong; the writer itself must not end here.
                continue
            if now != seen:
                seen = now
                if self.changed is not None:
                    self._call_back(self.changed)
        conn.close()

    def _call_back(self, fn: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(fn, *args)

    def _commit(self, conn: Connection, batch: list[_Job]) -> None:
        try:
            self._transaction(conn, batch)
        except Exception as error:  # noqa: BLE001 - every error belongs to a caller, below
            if len(batch) == 1:
                batch[0].error = self._named(error)
                return
            if dialect.is_locked(error):
                for job in batch:
                    job.error = self._named(error)
                return
            # One bad write must not fail its neighbours: each again, alone.
            for job in batch:
                try:
                    self._transaction(conn, [job])
                except Exception as alone:  # noqa: BLE001
                    job.error = self._named(alone)

    def _transaction(self, conn: Connection, batch: list[_Job]) -> None:
        sync = self._may_sync and any(
            job.op.sync if isinstance(job.op, Many) else True for job in batch
        )
        if sync is not self._syncing:
            dialect.sync_commits(conn, sync)
            self._syncing = sync
        began = time.monotonic()
        while True:
            try:
                dialect.begin(conn)
                break
            except dialect.DatabaseError as error:
                # Another process holds the file: waiting loses nothing, failing would.
                waited = time.monotonic() - began
                patience = min(_CLOSE_S, self._patience_s) if self._stopping else self._patience_s
                if not dialect.is_locked(error) or waited > patience:
                    raise
        try:
            done: set[int] = set()
            for job in batch:
                op = job.op
                if not isinstance(op, Many):
                    job.result = op(conn)
                elif id(op) not in done:
                    done.add(id(op))
                    same = [other for other in batch if other.op is op]
                    results = op.run(conn, [other.args for other in same])
                    for other, result in zip(same, results, strict=True):
                        other.result = result
            conn.execute("commit")
        except BaseException:
            if conn.in_transaction:
                conn.execute("rollback")
            raise

    def _named(self, error: Exception) -> Exception:
        if isinstance(error, dialect.DatabaseError):
            named = StoreError(f"writing {self.path} failed: {error}")
            named.__cause__ = error
            return named
        return error

    @staticmethod
    def _deliver(batch: list[_Job]) -> None:
        for job in batch:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
