"""The models of what is recommended: trained at night in another process, judged, put live.

A training is planned before it begins. Killed, it is taken up again as of the same moment, and the
models' own checkpoint lets it go on where it was; the row that puts a model live is the last thing
but the lists, so the old one serves until then. With nothing new to learn from nothing is done.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, TypeVarTuple
from zoneinfo import ZoneInfo

from scheduler import rec_watch
from scheduler.packed import Packed
from store import Store
from store.rec_models import Model

T = TypeVar("T")
Args = TypeVarTuple("Args")

SHANGHAI = ZoneInfo("Asia/Shanghai")

LEASE = "recommendations"
"""Of who trains, lists and forgets: one process at a time."""
MOST_TRIES = 4
"""A training that ended without an end so many times is given up for the night."""
GROWN = 1.2
"""So much more data than at the last search for settings, and they are searched anew."""
WINDOW_HALF_LIVES = 8.0
"""What is older weighs less than a two-hundredth, and is not read."""
ACTIVE_S = 30 * 86_400.0
"""Whoever did something within this time finds a list ready."""

_MOST_MODELS = 1000
"""So many of the newest are looked at for files."""

_OURS = re.compile(r"\.?\d{8}-\d{6}\.")
_PLAN = "recommendations.plan"
_LAST = "recommendations.trained"
_LISTED = "recommendations.listed"

End = Literal["live", "refused", "too_little", "nothing", "failed"]
Missing = tuple[tuple[str, int, int], ...]
"""(of what: "members", "items", "events"; have; need)."""
Listing = tuple[int, str]
"""A member, and their list as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What `[recommendations]` says, as the training needs it.

    tune_s: seconds of the search for settings; 0 for none. keep: models that stay on the disk.
    levels: (name, points ever earned), the lowest first. words: the folder of the dictionary's
    cache, "" for none.
    """

    least_members: int = 30
    least_items: int = 5
    least_events: int = 200
    half_life_s: float = 60 * 86_400.0
    tune_s: float = 120.0
    keep: int = 5
    opt_in: bool = False
    levels: tuple[tuple[str, int], ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended. why: a reason in one word, or the name of what broke."""

    end: End
    name: str = ""
    why: str = ""
    missing: Missing = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """What the other process is asked for.

    now: the moment as of which it learns. last: of the training before, as it stands in `_LAST`.
    live: name and checksum of the model that serves, or None; earlier: of those before it, the
    newest first. force: also with nothing new.
    """

    path: Path
    name: str
    now: float
    rules: Rules
    last: Mapping[str, Any]
    live: tuple[str, str] | None
    force: bool = False
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What it gives back.

    since, until: of the data. window, read, withheld: from when on it was read, how many
    rows, and how many members are left out, to know the next time what is new. tuned: events at
    the last search for settings. figures, report: the gate's, and what is wrong with the data, as
    JSON has it. checksum: of the file; "" where there is none, for what may not serve.
    """

    end: End
    why: str = ""
    missing: Missing = ()
    since: float = 0.0
    until: float = 0.0
    window: float = 0.0
    read: int = 0
    withheld: int = 0
    tuned: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""


class Crunch(Protocol):
    """Another process for what takes minutes: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run it there. Errors: its own; RuntimeError when the process ended."""


# Files


def folder_of(path: Path) -> Path:
    """Where the models of a database are kept: beside it."""
    return path.parent / "models"


def file_of(path: Path, name: str) -> Path:
    """The file of a model."""
    return folder_of(path) / f"{name}.npz"


def checkpoint_of(path: Path, name: str) -> Path:
    """Where a training leaves how far it is."""
    return folder_of(path) / f"{name}.part"


# Training


async def unfinished(store: Store) -> bool:
    """Whether a training was begun that has no end yet. Errors: StoreError."""
    return bool(await _kept(store, _PLAN))


async def train(
    store: Store, crunch: Crunch, rules: Rules, now: float, *, force: bool = False
) -> Outcome | None:
    """Train, judge, put live; go on with what was begun. None: it was cut off and will go on.

    force: also when there is nothing new. Writes no lists: see `relist`. Errors: StoreError.
    """
    plan = await _kept(store, _PLAN)
    if not plan:
        day = datetime.fromtimestamp(now, SHANGHAI)
        plan = {"name": day.strftime("%Y%m%d-%H%M%S"), "at": now, "tries": 0, "force": force}
    name, at = str(plan["name"]), float(plan["at"])
    plan["tries"] += 1
    if plan["tries"] > MOST_TRIES:
        return await _end(store, Outcome("failed", name, "cut_off"), now)
    last = await _kept(store, _LAST)
    if done := await _registered(store, name):
        # Cut off after the model was written down: what is left is to say so.
        return await _settle(store, rules, done, last, now)
    await store.meta.put(_PLAN, json.dumps(plan))
    running = await store.rec_models.live()
    live = None if running is None else (running.name, running.checksum)
    served = [] if running is None else await store.rec_models.earlier(running.id)
    earlier = tuple((one.name, one.checksum) for one in served[: rules.keep])
    task = Task(store.db.path, name, at, rules, last, live, bool(plan["force"]), earlier)
    try:
        made = await crunch.heavy(trained, task)
    except RuntimeError as error:
        if store.closing:
            return None
        if plan["tries"] < MOST_TRIES:
            return None
        return await _end(store, Outcome("failed", name, type(error).__name__), now)
    except Exception as error:  # noqa: BLE001 - told to the operator, and the old model serves
        return await _end(store, Outcome("failed", name, type(error).__name__), now)
    return await _keep(store, rules, name, made, last, now)


async def _keep(
    store: Store, rules: Rules, name: str, made: Made, last: Mapping[str, Any], now: float
) -> Outcome:
    """Write down what was trained; a model that may serve does from here on."""
    if made.end not in ("live", "refused"):
        return await _end(store, Outcome(made.end, name, made.why, made.missing), now)
    learned: dict[str, Any] = {
        "window": made.window,
        "at": made.until,
        "read": made.read,
        "withheld": made.withheld,
    }
    if made.end == "live":
        # Settings that were refused are not begun with the next time.
        learned |= {"tuned": made.tuned, "settings": made.settings}
    told = {
        "end": made.end,
        "why": made.why,
        "figures": made.figures,
        "report": made.report,
        "learned": learned,
    }
    model = await store.rec_models.register(
        name, now, made.since, made.until, made.checksum, json.dumps(told, allow_nan=False)
    )
    return await _settle(store, rules, model, last, now)


async def _registered(store: Store, name: str) -> Model | None:
    return next((one for one in await store.rec_models.newest(1) if one.name == name), None)


async def _settle(
    store: Store, rules: Rules, model: Model, last: Mapping[str, Any], now: float
) -> Outcome:
    """Put a model live that was written down, or refuse it, as the gate said."""
    told = json.loads(model.metrics)
    if told["end"] == "live":
        await store.rec_models.go_live(model.id, now)
        if told["why"] == "better":
            # One that is only no worse is most likely as bad as what members did not click.
            await rec_watch.end(store, now)
    else:
        await store.rec_models.refuse(model.id, told["why"], now)
    keep = await store.rec_models.keepers(rules.keep)
    await asyncio.to_thread(prune, folder_of(store.db.path), keep)
    outcome = Outcome(told["end"], model.name, told["why"], (), told["figures"])
    return await _end(store, outcome, now, {**last, **told["learned"]})


async def _end(
    store: Store, outcome: Outcome, now: float, last: Mapping[str, Any] | None = None
) -> Outcome:
    kept = dict(await _kept(store, _LAST) if last is None else last)
    if outcome.end != "nothing":
        kept |= {
            "end": outcome.end,
            "why": outcome.why,
            "name": outcome.name,
            "ended_at": now,
            "missing": [list(one) for one in outcome.missing],
        }
        await store.meta.put(_LAST, json.dumps(kept))
    await store.meta.put(_PLAN, "")
    part = checkpoint_of(store.db.path, outcome.name)
    await asyncio.to_thread(_remove, part)
    return outcome


async def last_outcome(store: Store) -> tuple[Outcome, float] | None:
    """How the last training ended that had something to learn from, and when; None: none yet."""
    kept = await _kept(store, _LAST)
    if "end" not in kept:
        return None
    missing = tuple((str(a), int(b), int(c)) for a, b, c in kept["missing"])
    return Outcome(kept["end"], kept["name"], kept["why"], missing), float(kept["ended_at"])


def trained(task: Task) -> Made:
    """Read, train and judge; in a process of its own."""
    # Imported here: in the bot's own process these libraries would cost a second and 150 MB.
    from scheduler import recommending_work

    return recommending_work.trained(task)


def prune(folder: Path, keep: Collection[str]) -> int:
    """Remove the files of all other models, and what killed trainings left; how many. Blocks."""
    gone = 0
    for file in folder.glob("*"):
        # Of one that is to take another's place: see `unlearn`.
        name = file.name.removesuffix(".next")
        kept = name.endswith(".npz") and name.removesuffix(".npz") in keep
        # What somebody else put there is theirs.
        if _OURS.match(file.name) and not kept:
            file.unlink(missing_ok=True)
            gone += 1
    return gone


def _remove(part: Path) -> None:
    """A checkpoint, and those of its stages, which stand beside it. Blocks."""
    for file in part.parent.glob(f"{part.name}*"):
        file.unlink(missing_ok=True)


# Forgetting


async def unlearn(store: Store, crunch: Crunch, *, opt_in: bool) -> str:
    """Take out of the files of all models who was forgotten or is not to be profiled.

    A model that was made before somebody agreed to it does not know them either. "" when there was
    nobody. A broken file, of which nobody can say who is in it, is only told of; it goes with the
    others that are too old. Killed at any point, the files stay good: see `artefact.without`.
    Errors: StoreError, those of `crunch`.
    """
    path, told = store.db.path, []
    for model in await store.rec_models.newest(_MOST_MODELS):
        if not await asyncio.to_thread(file_of(path, model.name).exists):
            continue
        try:
            fresh = await crunch.heavy(
                unlearned, path, model.name, model.checksum, model.made_at, opt_in
            )
        except Exception as error:
            if type(error).__name__ != "ArtefactError":
                raise
            told.append(f"{model.name} cannot be read")
            continue
        if fresh and await store.rec_models.rewritten(model.id, model.checksum, fresh):
            await crunch.heavy(settled, path, model.name, fresh)
            told.append(f"{model.name} is written anew")
    return "; ".join(told)


def unlearned(path: Path, name: str, checksum: str, made_at: float, opt_in: bool) -> str:
    """The first half of it for one model; in a process of its own."""
    from scheduler import recommending_work

    return recommending_work.unlearned(path, name, checksum, made_at, opt_in)


def settled(path: Path, name: str, checksum: str) -> bool:
    """The second half; in a process of its own."""
    from scheduler import recommending_work

    return recommending_work.settled(path, name, checksum)


# Lists


async def relist(store: Store, crunch: Crunch, rules: Rules, now: float) -> str:
    """Work out the lists of active members anew where another model serves than made them.

    "" when they are those of the model that serves, or nothing does. Every minute: a new model, a
    roll-back and a kill in between come to the same. Of a broken file there are none until another
    model serves or the night comes. Errors: StoreError, those of `crunch`.
    """
    running = await outdated(store)
    if running is None:
        return ""
    live = (running.name, running.checksum)
    made = await crunch.heavy(listed, store.db.path, live, now, rules)
    if made is None:
        await store.meta.put(_LISTED, running.name)
        return f"no lists: the file of {running.name} is broken"
    count = 0
    for piece in made.pieces():
        count += await store.recommendations.keep_lists(
            piece, running.name, now, opt_in=rules.opt_in
        )
    await store.recommendations.drop_kept(now)
    await store.meta.put(_LISTED, running.name)
    return f"{count} lists of {running.name}"


async def outdated(store: Store) -> Model | None:
    """The model that serves, when the lists are of another one; else None. Errors: StoreError."""
    running = await store.rec_models.live()
    listed_of = await store.meta.get(_LISTED) if running is not None else None
    return None if running is None or running.name == listed_of else running


async def stale(store: Store) -> None:
    """The lists are to be worked out anew, whatever model they are of: what is new in the shop
    is in none of them. Every night. Errors: StoreError."""
    await store.meta.put(_LISTED, "")


def listed(path: Path, live: tuple[str, str], now: float, rules: Rules) -> Packed[Listing] | None:
    """The lists of active members, None where the model is broken; in a process of its own."""
    from recommender.artefact import ArtefactError
    from scheduler import recommending_work

    try:
        return recommending_work.listed(path, live, now, rules)
    except ArtefactError:
        # Whoever loads it to serve it tells the owners why.
        return None


async def _kept(store: Store, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await store.meta.get(name) or "{}")
    return found
