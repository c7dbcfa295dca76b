"""A small shop with three tastes: enough for a model to find them, little to learn from."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from scheduler.recommending import Made, Rules, Task, file_of, train
from store import Store
from store.catalogue import Item
from store.events import NewEvent
from store.rec_lists import NewList, Shown
from tests.blank import blank

T = TypeVar("T")
Args = TypeVarTuple("Args")

NOW = 1_795_228_200.0
"""A Saturday, 10:30 in Shanghai."""
DAY_S = 86_400.0
TASTES = ("写作", "摄影", "理财")
EACH = 6
"""Items of a taste."""
FIRST, SECOND = "20261121-103000", "20261122-103000"
"""Models trained now, and a day later."""
RULES = Rules(tune_s=0.0)
QUICK = {"shape": {"dims": 8, "epochs": 8}}
"""Settings of a model that is trained in no time."""


class Here:
    """The other process, in this one. ran: the names of what was run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        self.ran.append(run.__name__)
        return run(*args)


class Killed(Here):
    """The other process ends during its work, as a kill would; so often."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.left = times

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        if run.__name__ == "trained" and self.left:
            self.left -= 1
            raise RuntimeError("killed")
        return await super().heavy(run, *args)


class Decided(Here):
    """Training takes no time here, and ends as it is told; its file is a copy of the first's."""

    def __init__(self, made: Made) -> None:
        super().__init__()
        self.made = made
        self.tasks: list[Task] = []

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        if run.__name__ != "trained":
            return await super().heavy(run, *args)
        self.ran.append(run.__name__)
        given: tuple[object, ...] = args
        (task,) = given
        assert isinstance(task, Task)
        self.tasks.append(task)
        made = self.made
        if made.end == "live":
            assert task.live is not None
            shutil.copy(file_of(task.path, task.live[0]), file_of(task.path, task.name))
            made = replace(made, checksum=task.live[1], until=task.now)
        return made  # type: ignore[return-value]


async def opened(path: Path) -> Store:
    store = Store(blank(path), durability="process", readers=1)
    await store.open()
    return store


def item(taste: int, number: int) -> str:
    return f"i{taste}-{number}"


def catalogue() -> list[Item]:
    return [
        Item(
            id=item(taste, number),
            kind="course",
            title=f"{tag}课 {number}",
            tags=(tag,),
            price_cents=9900,
            url=f"https://shop.example/{item(taste, number)}",
            published_at=NOW - 100 * DAY_S,
        )
        for taste, tag in enumerate(TASTES)
        for number in range(EACH)
    ]


async def members(store: Store, count: int, *, at: float = NOW) -> list[int]:
    """Followers of one channel, o_1 and so on; their numbers."""
    found = []
    for number in range(1, count + 1):
        found.append((await store.members.meet("mp", f"o_{number}", at)).id)
        await store.members.follow("mp", f"o_{number}", True, at)
    return found


async def shop(store: Store, *, people: int = 60, now: float = NOW) -> list[int]:
    """Members who each keep to one taste, but for a deed now and then; up to now."""
    await store.catalogue.put(catalogue(), now)
    numbers = await members(store, people, at=now)
    rng = random.Random(7)
    events = []
    for place, member in enumerate(numbers):
        own = place % len(TASTES)
        for deed in range(8):
            taste = own if rng.random() < 0.9 else rng.randrange(len(TASTES))
            what = item(taste, rng.randrange(EACH))
            at = now - rng.random() * 40 * DAY_S - 60
            events.append(done(member, what, at, "purchase" if deed % 2 else "view"))
    await store.events.add(events, now)
    return numbers


def done(member: int, what: str, at: float, kind: str = "view") -> NewEvent:
    return NewEvent(
        event_id=f"{kind}:{member}:{what}:{at}",
        kind=kind,
        at=at,
        member_id=member,
        item_id=what,
        amount_cents=9900 if kind == "purchase" else 0,
    )


@functools.cache
def trained_shop() -> Path:
    """A folder with a shop, z.db, whose first model is live, trained by the real thing; made once
    for a process of tests. To be copied."""
    folder = Path(tempfile.mkdtemp(prefix="zhiqun-trained-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def make() -> None:
        store = await opened(folder / "z.db")
        await shop(store)
        await quick(store)
        found = await train(store, Here(), RULES, NOW)
        assert found is not None
        assert (found.end, found.name) == ("live", FIRST), found
        await store.close()

    # In a thread: where this is asked for a loop may be running.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, make()).result()
    return folder


async def quick(store: Store) -> None:
    """The next training takes small settings, as if an earlier one had chosen them."""
    kept = json.loads(await store.meta.get("recommendations.trained") or "{}")
    await store.meta.put("recommendations.trained", json.dumps({**kept, "settings": QUICK}))


async def shown(
    store: Store, member: int, at: float, *, arm: str = "", clicked: bool = False
) -> None:
    """A list of one item, and perhaps the click on it a minute later."""
    what = item(0, 0)
    kept = await store.recommendations.put(
        NewList(
            key=f"{member}:{at}".encode().ljust(16, b".")[-16:],
            member_id=member,
            at=at,
            surface="chat",
            ranker="popular" if arm else "ours",
            arm=arm,
            shown=(Shown(what, "popular" if arm else "ours"),),
        )
    )
    assert kept is not None
    if clicked:
        click = done(member, what, at + 60, "click")
        click = replace(click, source="recommendation", ref=f"rec:{kept.id}")
        await store.events.add([click], at + 60)
