"""What `scheduler/recommending.py` has done in another process: reads, trains, judges, lists.

The store is only read; the one thing written is the file of a model that may serve, whole or not
at all. Loaded only in the process that works: its libraries are large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from knowledge.words import Words
from recommender import artefact, batch, dataset, training
from recommender.dataset import Log, People, Things
from recommender.fitted import Fitted
from recommender.scoring import Scorer, Who
from scheduler.packed import Packed
from scheduler.rec_features import Cut, features
from scheduler.recommending import (
    ACTIVE_S,
    GROWN,
    WINDOW_HALF_LIVES,
    Listing,
    Made,
    Rules,
    Task,
    checkpoint_of,
    file_of,
)
from store import rec_data
from store.consents import PROFILING, withheld
from store.dialect import Connection
from store.insight_reads import reading

SEED = 0
_PIECE = 200
"""Lists of one piece: each is some kilobytes of JSON."""


@dataclass(frozen=True, slots=True)
class World:
    """All that is learned from, as of one moment; before: what members had in common a week ago."""

    log: Log
    people: People
    before: People
    things: Things


def trained(task: Task) -> Made:
    """Read, train, judge; save what may serve. Minutes."""
    with reading(task.path) as conn:
        without = withheld(conn, PROFILING, opt_in=task.rules.opt_in)
        since = task.now - WINDOW_HALF_LIVES * task.rules.half_life_s
        count = rec_data.count_deeds(conn, since, task.now)
        if not task.force and not news(conn, task, len(without)):
            return Made("nothing")
        found = read(conn, task, since, without)
    rules, log = task.rules, found.log
    missing = dataset.enough(log, rules.least_members, rules.least_items, rules.least_events)
    if missing:
        return Made("too_little", missing=missing)
    search = grown(rules, task.last, len(log))
    settings = training.Training.from_data(task.last.get("settings") or {})
    settings = replace(
        settings, half_life_s=rules.half_life_s, tune_s=rules.tune_s if search else 0.0
    )
    file = file_of(task.path, task.name)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    fitted, verdict = training.train_and_judge(
        log,
        found.people,
        found.things,
        task.now,
        settings,
        checkpoint_of(task.path, task.name),
        SEED,
        running(task.path, task.live),
        before=found.before,
        # Each read only when the one before it is too young to be compared with.
        earlier=(one for live in task.earlier if (one := running(task.path, live)) is not None),
    )
    return Made(
        end="live" if verdict.goes_live else "refused",
        why=verdict.why,
        since=float(log.at.min()),
        window=since,
        until=task.now,
        read=count,
        withheld=len(without),
        tuned=len(log) if search else int(task.last.get("tuned", 0)),
        settings=plain(fitted.data.get("settings", {})),
        figures=plain(verdict.figures),
        report=plain(fitted.data.get("report", {})),
        checksum=artefact.save(fitted, file) if verdict.goes_live else "",
    )


def grown(rules: Rules, last: Mapping[str, Any], events: int) -> bool:
    """Whether there is so much more data that other settings may be better."""
    return rules.tune_s > 0 and events >= GROWN * int(last.get("tuned", 0))


def news(conn: Connection, task: Task, withheld: int) -> bool:
    """Whether anything is to be learned, or unlearned, since the last training."""
    last = task.last
    if "at" not in last or withheld != int(last["withheld"]):
        return True
    until = float(last["at"])
    if rec_data.count_deeds(conn, until, task.now):
        return True
    # What was forgotten meanwhile, and what came late.
    return rec_data.count_deeds(conn, float(last["window"]), until) != int(last["read"])


def read(conn: Connection, task: Task, since: float, without: Collection[int]) -> World:
    """Who did what with which items, and what all of them are."""
    log = Log.of(rec_data.deeds(conn, since, task.now, frozenset(without)))
    numbers = np.unique(log.member).tolist()

    def people(now: float, *, then: bool) -> People:
        known = rec_data.people(
            conn,
            now,
            numbers,
            frozenset(without),
            band=dataset.price_band,
            levels=task.rules.levels,
            then=then,
        )
        return People(tuple(numbers), tuple(tuple(known.get(one, ())) for one in numbers))

    rows = rec_data.things(conn)
    cut = cutter(rows, task.rules.words)
    things = Things(
        tuple(one.id for one in rows),
        tuple(features(one, cut) for one in rows),
        tuple(one.published_at for one in rows),
        tuple(float(one.price_cents) for one in rows),
    )
    before = people(task.now - training.WEEK_S, then=True)
    return World(log, people(task.now, then=False), before, things)


def cutter(rows: Iterable[rec_data.Thing], cache: str) -> Cut:
    """What cuts texts into words, with the words of this business."""
    words = _dictionary(cache)
    words.add_words({tag for one in rows for tag in one.tags})
    return words.cut


_loaded: list[Words] = []
"""The dictionary, once it is there: a training and its lists share a process."""


def _dictionary(cache: str) -> Words:
    if not _loaded:
        words = Words()
        words.load(Path(cache) if cache else None)
        _loaded.append(words)
    return _loaded[0]


def running(path: Path, live: tuple[str, str] | None) -> Fitted | None:
    """The model that serves; None for none, and for a file that is no good any more."""
    if live is None:
        return None
    try:
        return artefact.load(file_of(path, live[0]), live[1])
    except (artefact.ArtefactError, OSError):
        # Then nothing of it serves either: the new one only has to beat what is popular.
        return None


def plain(data: Any) -> Any:
    """The same as JSON has it: no number that is none, no arrays, names as text."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, np.ndarray):
        return plain(data.tolist())
    if isinstance(data, str | bool) or data is None:
        return data
    if isinstance(data, int | np.integer):
        return int(data)
    if isinstance(data, float | np.floating):
        return float(data) if math.isfinite(data) else None
    if isinstance(data, Iterable):
        return [plain(one) for one in data]
    return asdict(data)


# Forgetting


def unlearned(path: Path, name: str, checksum: str, made_at: float, opt_in: bool) -> str:
    """Write the file of a model without whom it may not know any more; see `artefact.without`.

    Errors: ArtefactError, OSError.
    """
    with reading(path) as conn:
        known = rec_data.known_to(conn, made_at, opt_in=opt_in)
    numbers = np.fromiter(known, np.int64, len(known))
    return artefact.without(
        file_of(path, name), checksum, lambda members: np.isin(members, numbers)
    )


def settled(path: Path, name: str, checksum: str) -> bool:
    """What was written is the model's file from here on. Errors: OSError."""
    return artefact.settle(file_of(path, name), checksum)


# Lists


def listed(path: Path, live: tuple[str, str], now: float, rules: Rules) -> Packed[Listing]:
    """What each active member would be shown, the long list of it. Errors: ArtefactError."""
    fitted = artefact.load(file_of(path, live[0]), live[1])
    with reading(path) as conn:
        without = frozenset(withheld(conn, PROFILING, opt_in=rules.opt_in))
        members = rec_data.active(conn, now - ACTIVE_S, without)
        rows = [one for one in rec_data.things(conn) if one.live and one.available(now)]
        known = rec_data.people(
            conn, now, members, without, band=dataset.price_band, levels=rules.levels
        )
        held = rec_data.holdings(conn, members)
        since = now - WINDOW_HALF_LIVES * rules.half_life_s
        log = Log.of(rec_data.deeds(conn, since, now, without))
    cut = cutter(rows, rules.words)
    scorer = Scorer(fitted, [(one.id, features(one, cut)) for one in rows])
    people = list(whos(fitted, log, members, known))
    gone = _gone(held)
    made = batch.lists(scorer, people, gone=gone)
    return Packed(((member, batch.pack(items)) for member, items in made), _PIECE)


def whos(
    fitted: Fitted, log: Log, members: Collection[int], known: Mapping[int, tuple[str, ...]]
) -> Iterator[Who]:
    """These members as the scorer wants them, with what they did."""
    kept = log.where(np.isin(log.member, np.fromiter(members, np.int64, len(members))))
    told = dataset.values(kept, fitted.data["half_life_s"], fitted.data["half_rank"])
    begin = np.searchsorted(told.member, np.fromiter(members, np.int64, len(members)))
    end = np.searchsorted(told.member, np.fromiter(members, np.int64, len(members)), "right")
    for at, member in enumerate(members):
        span = slice(begin[at], end[at])
        items = tuple(log.ids[place] for place in told.item[span])
        yield Who(member, tuple(known.get(member, ())), items, tuple(told.value[span].tolist()))


def _gone(held: Mapping[int, rec_data.Holdings]) -> Callable[[Who], Collection[str]]:
    """What is never shown to a member: theirs already, or refused."""

    def gone(who: Who) -> Collection[str]:
        theirs = held.get(who.member)
        refused = [item for item, value in zip(who.items, who.values, strict=True) if value < 0]
        return {*refused, *(theirs.owned | theirs.finished if theirs is not None else ())}

    return gone
