"""Work that takes the processor: in processes beside the bot, never on its loop or in its threads.

Two of them, each started when first needed. The heavy one ends when no job has come for a while,
so that its memory goes back; the quick one keeps its model and answers in moments, also while the
heavy one takes minutes. Both are spawned, never forked, yield the processor to answers, and end
with the bot, also when it is killed.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")

_NICE = 10
_REST_S = 10.0
_COLLECT = (200_000, 20, 100)


class CrunchError(RuntimeError):
    """A process that worked for us ended before its work did; the next job gets a new one."""


class Crunch:
    """The two processes. Functions are module-level ones; they and their arguments are pickled.

    rest_s: so long the heavy one waits for another job: the steps of a night share what it loaded.
    """

    def __init__(self, rest_s: float = _REST_S) -> None:
        self._rest_s = rest_s
        self._resting: asyncio.TimerHandle | None = None
        self._heavy: ProcessPoolExecutor | None = None
        self._quick: ProcessPoolExecutor | None = None
        self._one = asyncio.Lock()
        self._closed = False

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds or minutes; one at a time. Errors: its own; CrunchError."""
        async with self._one:
            if self._resting is not None:
                self._resting.cancel()
            if self._heavy is None:
                self._heavy = _pool()
            try:
                return await self._ended(self._heavy, run, *args)
            except CrunchError:
                self._heavy = None
                raise
            finally:
                loop = asyncio.get_running_loop()
                self._resting = loop.call_later(self._rest_s, self._rest)

    def _rest(self) -> None:
        """Let the heavy one go, unless a job came meanwhile."""
        if self._heavy is not None and not self._one.locked():
            self._heavy.shutdown(wait=False)
            self._heavy = None

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes moments; what it keeps in memory stays. Errors: its own; CrunchError."""
        if self._quick is None:
            self._quick = _pool()
        pool = self._quick
        try:
            return await self._ended(pool, run, *args)
        except CrunchError:
            if self._quick is pool:
                self._quick = None
            raise

    async def _ended(self, pool: ProcessPoolExecutor, run: Callable[[*Args], T], *args: *Args) -> T:
        if self._closed:
            raise CrunchError("the bot is stopping")
        try:
            # The first call starts a process, which takes its time.
            future: Future[T] = await asyncio.to_thread(lambda: pool.submit(run, *args))
        except RuntimeError as error:
            # Closed meanwhile, or its process is gone.
            raise CrunchError(str(error)) from error
        try:
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            raise CrunchError(str(error)) from error

    async def close(self) -> None:
        """End both, whatever they do: nothing they do is kept before it is told."""
        self._closed = True
        if self._resting is not None:
            self._resting.cancel()
        for pool in (self._heavy, self._quick):
            if pool is not None:
                workers = list((pool._processes or {}).values())
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in workers:
                    worker.kill()
        self._heavy = self._quick = None


_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _pool() -> ProcessPoolExecutor:
    # Two cores: a linear algebra that takes both would leave none for the answers. It reads these
    # when it is loaded, which in a spawned process is before anything of ours runs there.
    for name in _ONE:
        os.environ.setdefault(name, "1")
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_prepare)


def _prepare() -> None:
    """In the new process: behind the answers in the queue for the processor, and gone with us."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    # Ctrl-C is for the bot, which ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Millions of rows, hardly a circle among them: the collector walks them again and again and
    # finds nothing. Measured: the topics of a week take a third less time.
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)
