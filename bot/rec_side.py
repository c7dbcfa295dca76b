"""The wiring of recommendations: the models at night, the watch over them, the weekly letter.

What is recommended is said by `bot/recommending.py`; here are the jobs around it, and what owners
are told of them. Whoever trains holds a lease: the bot and a terminal never do it at once. Nothing
here decides.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

import structlog

from bot.config import Config
from bot.incentives import rewards
from bot.links import Linker
from bot.pushes import Pushes
from bot.recommending import Recommender
from handlers import recommend_text
from handlers.message import Reply
from handlers.recommending import Done, Offer, Pick, Suggesting, Wish
from handlers.texts import Texts
from handlers.topics import LETTER
from scheduler import pace, picks, rec_watch, recommending
from scheduler.clock import SHANGHAI, Job
from scheduler.communities import Crunch
from scheduler.rec_features import Cut
from scheduler.recommending import LEASE, Missing, Outcome, Rules
from store import Store, StoreError
from store.catalogue import Item
from store.leases import Hold
from store.reach import Caps

T = TypeVar("T")

log = structlog.get_logger()

_LEASE_S = 60.0
_RENEW_S = 20.0
_GO_ON_S = 60.0
_WATCH_S = 3600.0
_LETTERS_S = 60.0
_NOTICE = "recommendations.notice"
_NOTICE_S = 86_400.0
"""So long owners are tried to be told; afterwards it is old news."""
_CHOICE = 5
"""So many items of each are looked at for one with an address."""
_AT_ONCE = 8
"""Members of a campaign whose item is chosen at the same time."""
_OWNERS_FIRST = ("refused", "failed", "too_little")
"""Ends of which owners hear even when nobody asked for the training."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member, None for the owners; words; 16 bytes) -> whether they were told."""


async def _at_once() -> None:
    """Nothing to wait for."""


class RecSide:
    """Trains, watches, writes. now: Unix seconds; tell: the way to the owners.

    crunch: the heavy process, shared with the insights. pushes: for letters, None for none. items:
    the catalogue by "item:py-101". trained: hears how each training ended, for the metrics. after:
    waits for what the training needs first, the night's insights. cut: the words of a text.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        texts: Texts,
        crunch: Crunch,
        linker: Linker,
        *,
        items: Callable[[], Mapping[str, Item]],
        now: Callable[[], float],
        tell: Tell,
        pushes: Pushes | None = None,
        trained: Callable[[str], None] = lambda end: None,
        recommended: Callable[[str, str], None] = lambda surface, ranker: None,
        after: Callable[[], Awaitable[None]] = _at_once,
        cut: Cut | None = None,
    ) -> None:
        self._settings = settings = config.recommendations
        self._store = store
        self._texts = texts
        self._crunch = crunch
        self._linker = linker
        self._items = items
        self._now = now
        self._tell = tell
        self._pushes = pushes
        self._observe = trained
        self._after = after
        self._opt_in = config.privacy.profiling == "opt-in"
        known = rewards(config)
        self._rules = Rules(
            least_members=settings.least_members,
            least_items=settings.least_items,
            least_events=settings.least_events,
            half_life_s=settings.half_life_days * 86_400.0,
            tune_s=settings.tune_s,
            keep=settings.keep_models,
            opt_in=self._opt_in,
            levels=tuple((one.name, one.points) for one in known.levels),
            words=str(config.store.path.parent),
        )
        given = config.campaigns
        self._quiet = (given.quiet_from, given.quiet_until)
        self._letters = picks.Rules(
            topic=LETTER,
            on=settings.digest_on,
            clock=settings.digest_at,
            quiet=self._quiet,
            caps=Caps(given.cap_per_day, given.cap_per_week),
        )
        self.service = Recommender(
            store,
            settings,
            recommending.folder_of(config.store.path),
            now=now,
            opt_in=self._opt_in,
            tell=self._broken,
            trainer=self,
            observe=recommended,
            tiers=known.membership.tiers,
            levels=self._rules.levels,
            cut=cut,
        )
        self.suggesting = Suggesting(
            answers=settings.answers,
            welcome=settings.welcome,
            letter=settings.digest_on != "never",
        )
        self.missing: Missing = ()
        self._refused: set[str] = set()
        self._holder = secrets.token_hex(8)
        self._task: asyncio.Task[Outcome | None] | None = None
        self._loading: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Begin to load what serves; until then what is popular is recommended."""
        if self._settings.enabled:
            self._loading = asyncio.create_task(self._load())

    async def close(self) -> None:
        """Work nothing out any more; a training goes on after the next start."""
        left = [task for task in (self._task, self._loading) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def changed(self) -> None:
        """Somebody else wrote to the database: serve what it says now. Errors: StoreError."""
        if self._settings.enabled:
            await self._remember()
            await self.service.changed()

    @property
    def age_s(self) -> float | None:
        """How old the model is that serves; None while what is popular is recommended."""
        status = self.service.status()
        return self._now() - status.made_at if status.model and not status.fallback else None

    async def _load(self) -> None:
        try:
            await self._remember()
            await self.service.load()
        except Exception as error:
            # Without a model what is popular is recommended; the bot lives on.
            if not self._store.closing:
                log.error("model_not_loaded", error=type(error).__name__, exc_info=True)

    async def _remember(self) -> None:
        last = await recommending.last_outcome(self._store)
        self.missing = () if last is None else last[0].missing

    def jobs(self) -> list[Job]:
        """What the clock runs for recommendations; nothing when they are switched off."""
        if not self._settings.enabled:
            return []
        jobs = [
            Job("recommendations", self._nightly, at=self._settings.train_at),
            Job("recommendations_go_on", self._go_on, every_s=_GO_ON_S),
        ]
        if self._settings.fall_back:
            jobs.append(Job("recommendations_watch", self._watch, every_s=_WATCH_S))
        if self._settings.digest_on != "never" and self._pushes is not None:
            jobs.append(Job("recommendations_letter", self._write, every_s=_LETTERS_S))
        return jobs

    @property
    def offered(self) -> Recommender | None:
        """What conversations and the REST API may ask; None while it is switched off."""
        return self.service if self._settings.enabled else None

    # Training: what `bot/recommending.py` asks of its trainer

    @property
    def running(self) -> bool:
        """Whether a training is under way here."""
        return self._task is not None and not self._task.done()

    async def train(self) -> Done:
        """Begin a training in the background; owners hear how it ended."""
        if not self._settings.enabled:
            return Done.OFF
        if self.running or not await self._free():
            return Done.RUNNING
        self._begin(force=True)
        return Done.STARTED

    async def trained(self, *, force: bool = True) -> Outcome | None:
        """Train here and now, and work out the lists; None when another process is at it, or
        nothing came of it yet. Errors: StoreError, those of the other process."""
        return await self._alone(lambda: self._train(force=force))

    def _begin(self, *, force: bool) -> asyncio.Task[Outcome | None]:
        self._task = asyncio.create_task(self.trained(force=force))
        self._task.add_done_callback(_looked_at)
        return self._task

    async def _alone(self, run: Callable[[], Awaitable[T]]) -> T | None:
        """Run it while nobody else does; None where somebody does."""
        hold = await self._store.leases.take(LEASE, self._holder, self._now(), _LEASE_S)
        if hold is None:
            return None
        renewing = asyncio.create_task(self._renew(hold))
        try:
            return await run()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with suppress(StoreError):
                await self._store.leases.release(hold, self._now())

    async def _free(self) -> bool:
        """Whether no other process trains or lists now."""
        leases, now = self._store.leases, self._now()
        hold = await leases.take(LEASE, self._holder, now, _LEASE_S)
        if hold is None:
            return False
        await leases.release(hold, now)
        return True

    async def _renew(self, hold: Hold) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            with suppress(StoreError):
                await self._store.leases.renew(hold, self._now(), _LEASE_S)

    async def _train(self, *, force: bool) -> Outcome | None:
        store, rules = self._store, self._rules
        before = await recommending.last_outcome(store)
        done = await recommending.train(store, self._crunch, rules, self._now(), force=force)
        if done is None:
            log.warning("recommendation_training_cut_off")
            return None
        self._observe(done.end)
        if done.end == "failed":
            log.error("recommendation_training_failed", model=done.name, why=done.why)
        await self._remember()
        await self.service.changed()
        was = ("", "") if before is None else (before[0].end, before[0].why)
        if force or (done.end in _OWNERS_FIRST and (done.end, done.why) != was):
            await self._note(self.words(done), f"{done.name}:{done.end}", at_once=force)
        await recommending.relist(store, self._crunch, rules, self._now())
        return done

    async def _nightly(self) -> str:
        await self._after()
        # However the training ends: what was listed yesterday is old.
        await recommending.stale(self._store)
        if self.running:
            return ""
        done = await self._begin(force=False)
        did = "" if done is None or done.end == "nothing" else f"{done.name} {done.end}"
        forgot = await self._alone(
            lambda: recommending.unlearn(self._store, self._crunch, opt_in=self._opt_in)
        )
        if forgot:
            # What serves must not remember longer than its file does.
            await self.service.changed()
        return "; ".join(part for part in (did, forgot) if part)

    async def _go_on(self) -> str:
        """What was cut off, what another process left, what owners could not be told yet."""
        await self._tell_noted()
        if self.running:
            return ""
        if await recommending.unfinished(self._store):
            done = await self._begin(force=False)
            return "" if done is None else f"{done.name} {done.end}"
        if not await recommending.outdated(self._store):
            return ""
        did = await self._alone(
            lambda: recommending.relist(self._store, self._crunch, self._rules, self._now())
        )
        return did or ""

    # The watch

    async def _watch(self) -> str:
        def say(count: rec_watch.Count) -> str:
            return self._texts(
                "rec_jobs.fallback",
                days=math.ceil((self._now() - count.since) / 86_400.0),
                members=count.members,
                shown=count.shown,
                clicked=count.clicked,
                held=count.held,
                held_shown=count.held_shown,
                held_clicked=count.held_clicked,
            )

        why = await rec_watch.tick(self._store, self._crunch, say, self._now(), opt_in=self._opt_in)
        if not why:
            return ""
        log.error("recommendations_fell_back", why=why)
        await self.service.changed()
        await self._note(self._texts("rec_jobs.fell_back", why=why), f"fallback:{self._now()}")
        return why

    # What owners are told

    def words(self, done: Outcome) -> str:
        """How a training ended, for an operator."""
        texts = self._texts
        match done.end:
            case "live":
                if self.service.status().fallback:
                    return texts("rec_jobs.live_in_vain", name=done.name)
                return texts("rec_jobs.live", name=done.name)
            case "refused":
                why = self._why(done.why)
                if self.service.status().model:
                    return texts("rec_jobs.refused", name=done.name, why=why)
                return texts("rec_jobs.refused_first", name=done.name, why=why)
            case "too_little":
                return texts("rec_jobs.too_little", missing=self.lacking(done.missing))
            case "nothing":
                return texts("rec_jobs.nothing")
        return texts("rec_jobs.failed", why=self._failed(done.why))

    def lacking(self, missing: Sequence[tuple[str, int, int]]) -> str:
        """What there is too little of, in words."""
        told = []
        for name, have, need in missing:
            if name == "members":
                told.append(self._texts("rec_jobs.missing_members", have=have, need=need))
            elif name == "items":
                told.append(self._texts("rec_jobs.missing_items", have=have, need=need))
            else:
                told.append(self._texts("rec_jobs.missing_events", have=have, need=need))
        return "；".join(told)

    def _why(self, why: str) -> str:
        texts = self._texts
        match why:
            case "worse_than_running":
                return texts("rec_jobs.why_worse_than_running")
            case "worse_than_popular":
                return texts("rec_jobs.why_worse_than_popular")
            case "worse_than_simple":
                return texts("rec_jobs.why_worse_than_simple")
            case "too_few":
                return texts("rec_jobs.why_too_few")
            case "broken":
                return texts("rec_jobs.why_broken")
        return texts("rec_jobs.why_other", why=why)

    def _failed(self, why: str) -> str:
        texts = self._texts
        match why:
            case "cut_off" | "RuntimeError":
                return texts("rec_jobs.cut_off")
            case "MemoryError":
                return texts("rec_jobs.failed_memory")
            case "OSError" | "ArtefactError":
                return texts("rec_jobs.failed_disk")
        return texts("rec_jobs.failed_other", why=why)

    async def _broken(self, why: str) -> None:
        """A model that cannot be served; it is tried again whenever something changes. why: as
        `recommender/artefact.py` says it; the log has that word for word."""
        if why not in self._refused:
            self._refused.add(why)
            about = hashlib.sha256(why.encode()).hexdigest()
            words = self._texts("rec_jobs.broken", why=self._damage(why))
            await self._note(words, about)

    def _damage(self, why: str) -> str:
        texts = self._texts
        if "cannot be read" in why:
            return texts("rec_jobs.broken_gone")
        if "checksum" in why:
            return texts("rec_jobs.broken_other")
        if "damaged" in why or "its end is missing" in why:
            return texts("rec_jobs.broken_cut")
        if "has schema" in why:
            return texts("rec_jobs.broken_schema")
        return texts("rec_jobs.broken_inside")

    async def _note(self, words: str, about: str, *, at_once: bool = False) -> None:
        """Owners are to be told; not at night, unless one of them has just asked."""
        if at_once and await self._tell(None, words, _key(about)):
            return
        noted = {"words": words, "about": about, "at": self._now()}
        await self._store.meta.put(_NOTICE, json.dumps(noted, ensure_ascii=False))
        await self._tell_noted()

    async def _tell_noted(self) -> None:
        noted = json.loads(await self._store.meta.get(_NOTICE) or "{}")
        if not noted:
            return
        now = self._now()
        if now < noted["at"] + _NOTICE_S:
            if pace.quiet(now, self._quiet):
                return
            if not await self._tell(None, noted["words"], _key(noted["about"])):
                return
        await self._store.meta.put(_NOTICE, "")

    # The weekly letter

    async def _write(self) -> str:
        assert self._pushes is not None
        ways = picks.Ways(
            *(self._pick, self._say, self._send),
            take_back=self.service.take_back,
            channels=self._pushes.channels,
        )
        return await picks.tick(self._store, self._letters, ways, self._now)

    async def _pick(
        self, member_id: int, key: bytes, count: int, now: float
    ) -> tuple[int, tuple[Pick, ...]]:
        return await self.service.recommend(member_id, key, "digest", count, Wish(), now)

    async def _say(self, member_id: int, list_id: int, chosen: Sequence[Pick]) -> str:
        items = self._items()
        urls = {}
        for pick in chosen:
            item = items.get(f"item:{pick.item}")
            if item is not None and item.url:
                urls[pick.item] = await self._linker.to_item(
                    item, member_id, "recommendation", f"rec:{list_id}"
                )
        return recommend_text.letter(self._texts, items, chosen, urls)

    async def _send(self, key: bytes, member_id: int, words: str) -> bool:
        assert self._pushes is not None
        return await self._pushes.plan(key, member_id, Reply.text(words))

    # Campaigns

    async def best(self, member_ids: Collection[int]) -> dict[int, str] | None:
        """The best item with an address for each of these members; who has none is left out.

        None while recommendations are switched off. The same all day: a campaign that asks again
        after a crash says the same. Only the item that is used counts as shown.
        """
        if not self._settings.enabled:
            return None
        now = self._now()
        day = datetime.fromtimestamp(now, SHANGHAI).strftime("%Y-%m-%d")
        open_to = {item.id: None for item in self._items().values() if item.url}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def choose(member_id: int) -> tuple[Offer, str]:
            key = _key(f"campaign:{day}:{member_id}")
            offer, found = Offer(), ""
            async with turns:
                # What the night worked out is soon looked at; all that can be opened takes longer.
                for wish in (Wish(), Wish(among=tuple(open_to))):
                    offer = await self.service.offer(member_id, key, "campaign", _CHOICE, wish, now)
                    found = next((one.item for one in offer.picks if one.item in open_to), "")
                    if found or not offer.picks or not open_to:
                        break
            return offer, found

        # All first: if it fails for one, what is popular is sent to all, and none of these.
        found = await asyncio.gather(*(choose(member_id) for member_id in member_ids))
        chosen = {}
        for member_id, (offer, item) in zip(member_ids, found, strict=True):
            if item and (await self.service.shown(offer, [item]))[0]:
                chosen[member_id] = item
        return chosen


def _key(about: str) -> bytes:
    return hashlib.blake2b(f"recommendations:{about}".encode(), digest_size=16).digest()


def _looked_at(task: asyncio.Task[Outcome | None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("recommendation_training_failed", error=type(error).__name__, exc_info=error)
