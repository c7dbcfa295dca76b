"""Forgetting somebody everywhere: the database, its backups, and a scan that looks for the rest.

The chat forgets in the database at once and leaves backups and models to the night; the terminal
does all of it and then looks whether anything is left. What the scan cannot take out, a log or a
file that somebody exported, it names.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from bot.trace import Scan, scan
from scheduler.recommending import LEASE, unlearn
from store import Store, migrate
from store.dialect import DatabaseError
from store.erasures import PART, Erased, Erasure, erase_in_copy, holds
from store.traces import Needle

T = TypeVar("T")
Args = TypeVarTuple("Args")

_MAGIC = b"SQLite format 3\0"
_LEASE_S = 600.0
_STALE_S = 6 * 3600.0
"""A copy that was not finished for so long is nobody's work any more."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a member may have left something besides the database.

    backups: the folder of backups. others: files and folders to look through. aside: what is
    left out, such as a dictionary that holds everybody's words.
    """

    backups: Path
    others: tuple[Path, ...] = ()
    aside: tuple[Path, ...] = ()


@dataclass(slots=True)
class Freed:
    """What became of backups. files: looked at; changed: somebody was taken out of them;
    faults: which could not be read, and why; unfinished: a backup is being made right now."""

    files: int = 0
    changed: int = 0
    faults: list[str] = field(default_factory=list)
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """The end of an erasure. erased: None when nobody had the number. blanked: rows taken out
    that repeated them for a few days, such as an answer to an operator. unlearned: whether the
    models were looked through, or the night does it."""

    erased: Erased | None
    needles: int
    freed: Freed
    blanked: int
    scan: Scan
    unlearned: bool


def free(folder: Path, numbers: Collection[int], now: float) -> Freed:
    """Take members out of all backups in a folder; nothing is done to what holds none of them.

    A file that is no database is left alone; one that cannot be read is told. Call it in a
    thread.
    """
    done = Freed()
    if not folder.is_dir():
        return done
    for path in sorted(folder.iterdir()):
        if path.suffix == ".part" or path.name.endswith(PART):
            if now - path.stat().st_mtime > _STALE_S:
                path.unlink()
            else:
                done.unfinished = True
            continue
        if path.is_symlink() or not path.is_file() or not _is_database(path):
            continue
        done.files += 1
        try:
            if holds(path, numbers):
                erase_in_copy(path, numbers, now, migrate)
                done.changed += 1
        except (DatabaseError, OSError) as error:
            done.faults.append(f"{path.name}: {error}")
    return done


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


async def erase_backups(store: Store, folder: Path, now: float) -> str:
    """The job of the night: take out of the backups whom the chat has forgotten since.

    Whoever is still in a file that cannot be read is tried again the next night.
    """
    waiting = await store.erasures.in_backups()
    if not waiting:
        return ""
    freed = await _free(store, folder, waiting, now)
    line = f"{len(waiting)} members taken out of {freed.changed} of {freed.files} backups"
    return "; ".join((line, *freed.faults))


async def _free(store: Store, folder: Path, waiting: Collection[Erasure], now: float) -> Freed:
    numbers = sorted({number for one in waiting for number in one.numbers})
    freed = await asyncio.to_thread(free, folder, numbers, now)
    if not freed.faults and not freed.unfinished:
        await store.erasures.out_of_backups([one.member_id for one in waiting], now)
    return freed


async def erase(store: Store, member_id: int, places: Places, now: float, by: str) -> Proof:
    """Forget a member everywhere and look for what is left. by: for the audit.

    Safe to repeat: somebody forgotten before is taken out of backups again, though their words
    are known no more and cannot be looked for. Errors: StoreError.
    """
    needles = await store.erasures.needles(member_id)
    erased = await store.members.erase(member_id, now)
    await store.audit.add(now, by, "erase", f"member:{member_id}")
    known = await store.erasures.of(member_id)
    waiting = {one.member_id: one for one in await store.erasures.in_backups()}
    if known is not None:
        waiting[member_id] = known
    freed = await _free(store, places.backups, list(waiting.values()), now)
    unlearned = await _unlearn(store, now)
    blanked = 0
    found = await look(store, needles, places)
    passing = {
        (place.where.partition(".")[0], place.row)
        for place in found.left
        if place.row is not None and place.file == store.db.path.name
    }
    if passing:
        blanked = await store.erasures.blank_passing(sorted(passing))
    if blanked:
        found = await look(store, needles, places)
    await store.erasures.proved(member_id, len(found.left), now)
    return Proof(erased, len(needles), freed, blanked, found, unlearned)


async def _unlearn(store: Store, now: float) -> bool:
    """Take who is gone out of the models of what is recommended; False while somebody trains one:
    then the night does it."""
    hold = await store.leases.take(LEASE, secrets.token_hex(8), now, _LEASE_S)
    if hold is None:
        return False
    try:
        await unlearn(store, _Here(), opt_in=False)
    finally:
        await store.leases.release(hold, now)
    return True


class _Here:
    """Not in another process: at a terminal nobody waits for an answer."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return await asyncio.to_thread(run, *args)


async def look(store: Store, needles: Collection[Needle], places: Places) -> Scan:
    """Fold the log of the database and scan everything."""
    await store.erasures.fold()
    path = store.db.path
    return await asyncio.to_thread(
        scan, list(needles), [path], (places.backups, *places.others), aside=places.aside
    )


def describe(done: Scan) -> list[str]:
    """A scan in lines for the terminal: what was looked at, then every kind of place once."""
    lines = [
        f"looked at {done.files} files, {done.bytes:,} bytes and {done.rows:,} rows of databases"
    ]
    counted: dict[tuple[str, str, str, str], int] = {}
    for one in done.found:
        key = (one.file, one.where, one.kind, one.stays)
        counted[key] = counted.get(key, 0) + 1
    for (file, where, kind, stays), count in sorted(counted.items()):
        what = f"{file}: {where}: {_KINDS[kind]}, {count} times"
        lines.append(f"stays  {what}: {stays}" if stays else f"FOUND  {what}")
    lines += [f"UNREAD {one}" for one in done.unread]
    left = len(done.left)
    lines.append(
        f"{left} traces are left: take them out by hand" if left else "nothing of them is left"
    )
    return lines


_KINDS = {
    "id": "an id of theirs",
    "order": "an order of theirs",
    "words": "what they wrote",
    "name": "a name of theirs",
    "number": "their number",
}


def places_of(
    database: Path, backups: Path, model: Path | None, also: Collection[Path] = ()
) -> Places:
    """All that is looked through: the folders of the database and the backups, the model of
    one's own, and what somebody names besides."""
    others = [database.parent, *also]
    if model is not None:
        others.append(model)
    # The dictionary's cache holds a few hundred thousand words of everybody's.
    return Places(backups, tuple(others), (database.parent / "words.cache",))
