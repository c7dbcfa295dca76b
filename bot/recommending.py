"""Answers `handlers/recommending.py`: decides who ranks for whom, and writes down what was shown.

What ranks runs in a thread (`bot/rec_picking.py`), loaded when it is first needed; the loop only
waits. A model is taken over while the one before it serves; a broken one changes nothing but the
log, and at the start an earlier one serves in its place. Members who do not want to be profiled,
the hold-out, and everybody during a fall-back see what is popular, which no model has a part in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args

import structlog

from bot.rec_settings import RecommendationSettings
from handlers.recommending import Done, Offer, Pick, Ranker, Reason, Status, Surface, Wish
from insights.draws import side
from scheduler import rec_watch
from scheduler.jobs import POPULAR
from store import Store
from store.rec_lists import NewList, Precomputed, Shown
from store.rec_models import Model
from store.rec_tests import RecTest

if TYPE_CHECKING:
    from bot.rec_picking import Ask, Chosen, Serving
    from recommender.fitted import Fitted
    from store.rec_data import Known

T = TypeVar("T")

log = structlog.get_logger()

_DAY_S = 86_400.0
_AT_ONCE = 2
"""So many lists are made at the same time: more threads would only fight for the processor."""
_POPULAR_S = 60.0
"""So long what is popular may be that of before."""
_SURFACES_OF_CHANCE = frozenset({"chat", "welcome", "answer", "digest", "api"})
"""A campaign is one letter to many: there nothing is tried out."""

Tell = Callable[[str], Awaitable[None]]
Missing = Sequence[tuple[str, int, int]]


class Trainer(Protocol):
    """What trains: `bot/rec_side.py`."""

    @property
    def running(self) -> bool:
        """A model is being trained."""

    @property
    def missing(self) -> Missing:
        """What there was too little of the last time: (name, have, need)."""

    async def train(self) -> Done:
        """Begin."""


class ModelError(Exception):
    """A model cannot be served; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Arm:
    """Who ranks for a member. beside: the other ranker of an interleaved list."""

    ranker: Ranker
    name: str = ""
    test_id: int | None = None
    beside: Ranker | None = None


class Recommender:
    """The service. folder: where the files of models lie, `NAME.npz`.

    tell: the owners' ear for a model that cannot be used. observe: (surface, ranker) of each new
    list. tiers: memberships, lowest first; levels: (name, points), lowest first; cut: the words of
    a text. All of them as the training has them.
    """

    def __init__(
        self,
        store: Store,
        settings: RecommendationSettings,
        folder: Path,
        *,
        now: Callable[[], float],
        opt_in: bool = False,
        tell: Tell | None = None,
        trainer: Trainer | None = None,
        observe: Callable[[str, str], None] = lambda surface, ranker: None,
        tiers: Sequence[str] = (),
        levels: Sequence[tuple[str, int]] = (),
        cut: Callable[[str], Iterable[str]] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._folder = folder
        self._now = now
        self._opt_in = opt_in
        self._tell = tell
        self._trainer = trainer
        self._observe = observe
        self._tiers = tuple(tiers)
        self._levels = tuple(levels)
        self._cut = cut
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._changing = asyncio.Lock()
        self._building: asyncio.Task[Serving] | None = None
        self._turns: set[asyncio.Task[Any]] = set()
        self._fitted: Fitted | None = None
        self._live: Model | None = None
        self._wanted = ""
        self._said: set[str] = set()
        self._newest: Model | None = None
        self._serving: Serving | None = None
        self._revision = -1
        self._ordered_at = float("-inf")
        self._fallback = ""
        self._secret = b""

    # Models

    @property
    def model(self) -> str:
        """The name of the model that serves, "" for none."""
        return "" if self._live is None else self._live.name

    async def load(self) -> str:
        """Take over the model that is live; says what is wrong with it, "" for nothing.

        While it is read the one before it serves, and goes on when the new one is no good; at the
        start, where there is none yet, the newest that served before. Errors: StoreError.
        """
        async with self._changing:
            row = await self._store.rec_models.live()
            newest = await self._store.rec_models.newest(1)
            self._newest = newest[0] if newest else None
            self._wanted = "" if row is None else row.name
            self._fallback = await rec_watch.fallback(self._store)
            wrong = ""
            if row is None:
                self._fitted, self._live = None, None
            elif (
                self._live is None
                or row.name != self._live.name
                or row.checksum != self._live.checksum
            ):
                wrong = await self._take(row)
                if wrong and self._live is None:
                    for earlier in await self._store.rec_models.earlier(row.id):
                        if not await self._take(earlier):
                            break
                if wrong:
                    await self._say(row, wrong)
            await self._renew()
            return wrong

    async def changed(self) -> str:
        """Another model is live, or none: the same as `load`."""
        return await self.load()

    async def _take(self, row: Model) -> str:
        """Serve this model; what is wrong with its file, "" for nothing."""
        try:
            fitted = await asyncio.to_thread(_loaded, self._folder, row)
        except ModelError as error:
            log.error("model_refused", model=row.name, why=str(error), serving=self.model)
            return str(error)
        self._fitted, self._live = fitted, row
        return ""

    async def _say(self, row: Model, wrong: str) -> None:
        """Owners hear of a broken file once, whatever else changes."""
        if self._tell is not None and (about := f"{row.name}: {wrong}") not in self._said:
            self._said.add(about)
            await self._tell(wrong)

    # The shelf

    async def _shelve(self, *, hurry: bool = False) -> Serving:
        """The shelf as the catalogue is now, with a model over it.

        Whoever stops waiting loses nothing: it is made all the same, and once. Of another order of
        what is popular, and of another model, nobody waits for more than the next list; hurry: of
        another catalogue neither.
        """
        for _ in range(2):
            # First: the shelf may be another one when it has come.
            revision = await self._store.content.revision()
            serving = self._serving
            stale = serving is None or revision != self._revision
            aged = self._now() >= self._ordered_at + _POPULAR_S
            if not (stale or aged or serving is None or serving.fitted is not self._fitted):
                return serving
            building = self._build()
            if serving is not None and (hurry or not stale):
                return serving
            # One that was begun before the change is waited for, and then the next one.
            made = await asyncio.shield(building)
        return made

    def _build(self) -> asyncio.Task[Serving]:
        """The one that is under way, or a new one."""
        if self._building is None or self._building.done():
            self._building = asyncio.create_task(self._made())
            self._building.add_done_callback(self._looked_at)
        return self._building

    def _looked_at(self, task: asyncio.Task[Serving]) -> None:
        # Whoever waits for it hears of it as well, but it may be that nobody does.
        if task.cancelled() or (error := task.exception()) is None or self._store.closing:
            return
        log.error("shelf_not_made", error=type(error).__name__, exc_info=error)

    async def _renew(self) -> None:
        """Wait until the model that is loaded serves, with what is popular now."""
        self._ordered_at = float("-inf")
        while True:
            serving = await asyncio.shield(self._build())
            if serving.fitted is self._fitted and self._ordered_at > float("-inf"):
                return

    async def _made(self) -> Serving:
        # The number first: what changes while it is read is read again the next time.
        revision, now, before = await self._store.content.revision(), self._now(), self._serving
        order = _ids(await self._store.interactions.finding(POPULAR))
        fitted, name = self._fitted, self.model
        if before is None or revision != self._revision or before.fitted is not fitted:
            things = await self._store.rec_data.things()

            def make() -> Serving:
                from bot.rec_picking import Serving

                return Serving(things, order, fitted, name, self._cut, before)

            serving = await asyncio.to_thread(make)
        else:
            serving = await asyncio.to_thread(before.ordered, order)
        self._serving, self._revision, self._ordered_at = serving, revision, now
        return serving

    async def _turn(self, run: Callable[[], T]) -> T:
        """Run it in a thread, when it is its turn. Who stops waiting leaves the turn to the thread
        until it has ended."""
        await self._gate.acquire()
        task = asyncio.create_task(asyncio.to_thread(run))
        self._turns.add(task)

        def ended(task: asyncio.Task[T]) -> None:
            self._gate.release()
            self._turns.discard(task)

        task.add_done_callback(ended)
        return await asyncio.shield(task)

    # What a conversation asks

    async def recommend(
        self, member_id: int, key: bytes, surface: Surface, count: int, wish: Wish, now: float
    ) -> tuple[int, tuple[Pick, ...]]:
        """A list, written down before it is given; see `handlers/recommending.py`."""
        return await self.shown(await self.offer(member_id, key, surface, count, wish, now))

    async def offer(
        self,
        member_id: int,
        key: bytes,
        surface: Surface,
        count: int,
        wish: Wish,
        now: float,
        *,
        hurry: bool = False,
    ) -> Offer:
        """A list that nobody has seen; see `handlers/recommending.py`."""
        if count < 1 or not self._settings.enabled:
            return Offer()
        store = self._store
        shown = await store.recommendations.by_key(key)
        if shown is not None:
            return Offer(_picks(shown.shown), shown.id)
        serving, known, tests, kept, fallback = await asyncio.gather(
            self._shelve(hurry=hurry),
            self._known(member_id, now),
            store.rec_tests.running(),
            store.recommendations.kept(member_id),
            rec_watch.fallback(store),
        )
        self._fallback = fallback
        if known is None:
            return Offer()
        arm = await self._arm(member_id, known, tests, serving)
        ask = self._ask(member_id, key, count, wish, now, known, arm, kept)
        # Beside an item only what goes with it makes sense.
        if not arm.name and surface in _SURFACES_OF_CHANCE and not wish.near:
            ask = replace(ask, explore=self._settings.explore)
        places = await self._turn(lambda: serving.picks(ask))
        if not places:
            return Offer()
        new = NewList(
            *(key, member_id, now, surface),
            ranker="interleaved" if arm.beside else arm.ranker,
            model="" if arm.ranker == "popular" and not arm.beside else serving.name,
            arm=arm.name,
            test_id=arm.test_id,
            asked=_asked(wish),
            shown=tuple(_shown(one) for one in places),
        )
        return Offer(_picks(new.shown), 0, new)

    async def shown(
        self, offer: Offer, items: Collection[str] | None = None
    ) -> tuple[int, tuple[Pick, ...]]:
        """Write down that it is shown; see `handlers/recommending.py`."""
        new = offer.row
        if new is None:
            return offer.number, offer.picks
        if items is not None:
            new = new._replace(shown=tuple(one for one in new.shown if one.item_id in items))
        if not new.shown:
            return 0, ()
        written = await self._store.recommendations.put(new)
        if written is None:
            return 0, ()
        self._observe(new.surface, written.ranker)
        return written.id, _picks(written.shown)

    async def take_back(self, number: int) -> None:
        """A list that was written was not shown; see `handlers/recommending.py`."""
        await self._store.recommendations.take_back(number)

    async def why(self, member_id: int, item_id: str, now: float) -> tuple[Reason, ...]:
        """Why they would be shown this item; see `handlers/recommending.py`."""
        serving, known, tests = await asyncio.gather(
            self._shelve(), self._known(member_id, now), self._store.rec_tests.running()
        )
        if known is None:
            return ()
        arm = await self._arm(member_id, known, tests, serving)
        ask = self._ask(member_id, b"", 1, Wish(), now, known, arm, None)
        return await self._turn(lambda: serving.why(ask, item_id))

    async def similar(self, item_id: str, count: int) -> tuple[Pick, ...]:
        """What goes with an item; see `handlers/recommending.py`."""
        serving = await self._shelve()
        if count < 1:
            return ()
        now = self._now()
        found = await self._turn(lambda: serving.similar(item_id, count, now))
        return tuple(Pick(item, score) for item, score in found)

    async def _known(self, member_id: int, now: float) -> Known | None:
        def band(cents: float) -> str:
            from recommender.dataset import price_band

            return price_band(cents)

        return await self._store.rec_data.known(
            *(member_id, 0.0, now),
            opt_in=self._opt_in,
            band=band,
            levels=self._levels,
            shown_since=now - 28 * _DAY_S,
        )

    def _ask(
        self,
        member_id: int,
        key: bytes,
        count: int,
        wish: Wish,
        now: float,
        known: Known,
        arm: _Arm,
        kept: Precomputed | None,
    ) -> Ask:
        reach = {"", known.tier}
        if known.tier in self._tiers:
            reach |= set(self._tiers[: self._tiers.index(known.tier) + 1])

        # Here, for it needs numpy; making the shelf, in a thread, has loaded it by now.
        from bot.rec_picking import Ask

        return Ask(
            *(member_id, key, count, wish, now, known, arm.ranker, arm.beside),
            new_s=self._settings.new_item_days * _DAY_S,
            kept=kept,
            reach=frozenset(reach),
        )

    # Who ranks for whom

    async def _arm(
        self, member_id: int, known: Known, tests: Sequence[RecTest], serving: Serving
    ) -> _Arm:
        if not known.profiled:
            return _Arm("popular")
        if await self._held_out(member_id):
            return _Arm("popular", "holdout")
        if self._fallback:
            return _Arm("popular", "fallback")
        if serving.scorer is None:
            return _Arm("popular")
        for test in tests:
            a, b = _ranker(test.a), _ranker(test.b)
            part = side(test.salt, member_id, test.share)
            if not part or a is None or b is None:
                continue
            if test.method == "interleave":
                return _Arm(a, "test", test.id, b)
            return _Arm(a if part == "a" else b, "test", test.id)
        return _Arm("ours")

    async def _held_out(self, member_id: int) -> bool:
        """Whether they always see what is popular: the same members for ever, known to nobody who
        has not the key."""
        if not self._settings.holdout:
            return False
        if not self._secret:
            self._secret = await self._store.pseudonyms.key()
        mark = hmac.digest(self._secret, b"holdout:member:%d" % member_id, hashlib.sha256)
        return int.from_bytes(mark[:7]) / (1 << 56) < self._settings.holdout

    # What operators ask

    def status(self) -> Status:
        """What serves now, as of the last change."""
        live, last, trainer = self._live, self._newest, self._trainer
        return Status(
            enabled=self._settings.enabled,
            model=self.model,
            made_at=0.0 if live is None else live.made_at,
            live_at=0.0 if live is None else live.live_at or 0.0,
            fallback=self._fallback,
            missing=tuple(trainer.missing) if trainer is not None else (),
            last="" if last is None else last.name,
            last_status="" if last is None else last.status,
            last_why="" if last is None else last.why,
            training=trainer is not None and trainer.running,
            figures={} if last is None else _object(last.metrics),
            live=self._wanted,
        )

    async def train(self) -> Done:
        """Begin a training in the background."""
        if self._trainer is None or not self._settings.enabled:
            return Done.OFF
        return await self._trainer.train()

    async def roll_back(self, by: str, now: float) -> tuple[Done, str]:
        """The model before serves again; (NOTHING, "") when there is none that can be used."""
        row = await go_back(self._store, self._folder, now, f"rolled back by {by}")
        if row is None:
            return Done.NOTHING, ""
        wrong = await self.changed()
        # Its file was read a moment ago; if it is gone by now, what served goes on.
        return (Done.NOTHING, "") if wrong else (Done.DONE, row.name)

    async def resume(self, by: str, now: float) -> Done:
        """End the fall-back; NOTHING when there was none."""
        ended = await rec_watch.end(self._store, now)
        self._fallback = ""
        if ended:
            log.info("fallback_ended", by=by)
        return Done.DONE if ended else Done.NOTHING


async def go_back(store: Store, folder: Path, now: float, why: str) -> Model | None:
    """The newest model before the live one whose file can be used is live from now on.

    None when there is none, and nothing changes. Errors: StoreError.
    """
    running = await store.rec_models.live()
    for row in [] if running is None else await store.rec_models.earlier(running.id):
        try:
            await asyncio.to_thread(_loaded, folder, row)
        except ModelError as error:
            log.warning("model_passed_by", model=row.name, why=str(error))
            continue
        return await store.rec_models.roll_back(now, why, row.id)
    return None


def _file(row: Model) -> tuple[str, str]:
    """What a file is known by: the same name may have been written anew."""
    return row.name, row.checksum


def _loaded(folder: Path, row: Model) -> Fitted:
    """In a thread. Errors: ModelError."""
    from recommender.artefact import ArtefactError, load

    try:
        return load(folder / f"{row.name}.npz", row.checksum)
    except ArtefactError as error:
        raise ModelError(str(error)) from error


def _ids(finding: str | None) -> list[str]:
    found = json.loads(finding or "[]")
    return [str(one) for one in found] if isinstance(found, list) else []


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ranker(name: str) -> Ranker | None:
    return next((one for one in get_args(Ranker) if one == name), None)


def _asked(wish: Wish) -> str:
    """The wish as it is kept: what somebody was after, in a line."""
    parts = (
        wish.topic,
        "" if wish.most_cents is None else f"<={wish.most_cents}",
        f"near:{wish.near}" if wish.near else "",
        "instead" if wish.instead else "",
    )
    return " ".join(part for part in parts if part)[:200]


def _shown(one: Chosen) -> Shown:
    why = [[reason.kind, reason.name, reason.share] for reason in one.why]
    return Shown(
        *(one.item, one.ranker, one.propensity, one.explored),
        score=one.score if math.isfinite(one.score) else None,
        why=json.dumps(why, ensure_ascii=False, separators=(",", ":")),
    )


def _picks(shown: Sequence[Shown]) -> tuple[Pick, ...]:
    return tuple(
        Pick(
            one.item_id,
            one.score or 0.0,
            tuple(Reason(*why) for why in json.loads(one.why or "[]")),
            one.explored,
        )
        for one in shown
    )
