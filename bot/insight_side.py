"""The wiring of insights: what is read out of messages, worked out at night, and told.

Everything that takes the processor runs in the processes of `bot/crunch.py`; here are the jobs, in
the order in which one needs the other, and the pictures of reports. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from bot.chart import Lettering
from bot.config import Config
from bot.crunch import Crunch, CrunchError
from bot.erasing import erase_backups
from bot.group_means import channels_of
from bot.insight_means import InsightMeans, states_of
from bot.report_chart import draw
from handlers import mood_text, report_text
from handlers.report_means import Published, Started
from handlers.texts import Texts
from handlers.weekly_text import WeeklyText
from insights.behaviour import StateRules
from insights.intake import Wanted
from insights.report import Chart, Report
from scheduler import (
    alerts,
    behaviour,
    communities,
    forecasts,
    mood_learning,
    moods,
    outcomes,
    purging,
    rec_report,
    topics,
    weekly,
)
from scheduler.clock import Job
from scheduler.moods import Watch
from scheduler.readings import Reader, Readings
from store import Store
from store.alerts import Alert
from store.groups import Group

log = structlog.get_logger()

_READ_S = 1.0
_FOLD_S = 60.0
_ALERTS_S = 10.0
_WATCH_S = 60.0
_LEARN_S = 10.0
_WEEKLY_S = 60.0
_DAY_S = 86_400.0
_MOST_PICTURES = 32
PICTURE = "chart:"
"""How the pictures of reports begin whose bytes stay with us, for channels that take bytes."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member, None for the owners; words; 16 bytes) -> whether they were told."""
Push = Callable[[bytes, int, str, str], Awaitable[bool]]
"""(16 bytes, member, channel, media id) -> whether the picture is on its way to them."""
Step = tuple[str, Callable[[float], Awaitable[str]]]
"""A part of the nightly work: its name, and what runs it at a moment."""


class Uploads(Protocol):
    """What takes a picture to a channel of WeChat: the campaigns' phone."""

    async def picture(self, channel: str, png: bytes) -> str:
        """Its media id; "" where the channel takes none."""


class InsightSide:
    """Reads, works out, tells. now: Unix seconds; tell: the way to the owners or one operator."""

    def __init__(
        self,
        config: Config,
        store: Store,
        texts: Texts,
        uploads: Uploads,
        letters: Lettering,
        *,
        official: frozenset[str],
        pictures: frozenset[str],
        now: Callable[[], float],
        tell: Tell,
        push: Push | None = None,
        observe: Callable[[str, bool], None] = lambda name, fine: None,
        crunch: Crunch | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._uploads = uploads
        self._letters = letters
        self._official = official
        self._pictures = pictures
        self._now = now
        self._tell = tell
        self._push = push
        self._observe = observe
        self._texts = texts
        self._voice = WeeklyText(texts)
        self._posting = channels_of(config).posting
        self._crunch = crunch or Crunch()
        opt_in = config.privacy.profiling == "opt-in"
        self._opt_in = opt_in
        settings, rules = config.sentiment, config.insights
        self._cache = str(config.store.path.parent)
        self._wanted = Wanted(
            model=settings.model,
            file=str(settings.file or ""),
            sure=settings.sure,
            words=self._cache,
        )
        self._rules = states_of(rules)
        self._readings = Readings(
            store,
            self._crunch,
            Reader(
                wanted=self._wanted,
                opt_in=opt_in,
                keep_s=config.privacy.keep_readings_days * _DAY_S,
            ),
        )
        store.consents.under(config.privacy.notice, opt_in=opt_in)
        self._watch = Watch(store, self._crunch, opt_in=opt_in)
        self._drawn: OrderedDict[str, bytes] = OrderedDict()
        self._refreshing: asyncio.Task[str] | None = None
        self._counting: asyncio.Task[str] | None = None
        self._closed = False

    # What reports ask: `handlers/report_means.py`

    @property
    def least_people(self) -> int:
        """Figures of fewer members than this are for owners only."""
        return self._config.privacy.least_people

    @property
    def states(self) -> StateRules:
        """What the states of members mean here, in days."""
        return self._rules

    async def picture(self, chart: Chart, foot: str, channel: str) -> str:
        """The chart as a picture that this channel can show; "" where it cannot."""
        if channel not in self._official and channel not in self._pictures:
            return ""
        try:
            png = await asyncio.to_thread(draw, chart, foot, self._letters)
            if channel in self._official:
                return await self._uploads.picture(channel, png)
        except Exception as error:  # noqa: BLE001 - said below
            # A report without its picture is one, too.
            log.warning("chart_not_shown", channel=channel, error=type(error).__name__)
            return ""
        name = PICTURE + hashlib.blake2b(png, digest_size=12).hexdigest()
        self._drawn[name] = png
        while len(self._drawn) > _MOST_PICTURES:
            self._drawn.popitem(last=False)
        return name

    @property
    def means(self) -> InsightMeans:
        """What the REST API needs of insights."""
        return InsightMeans(self._texts, self.least_people, self.refresh, self._rules)

    def drawn(self, name: str) -> bytes | None:
        """The bytes of a picture of ours, while it is remembered."""
        return self._drawn.get(name)

    def refresh(self) -> Started:
        """Begin to work everything out anew, in the background."""
        if not self._config.insights.enabled:
            return Started.OFF
        if self._refreshing is not None and not self._refreshing.done():
            return Started.RUNNING
        self._refreshing = asyncio.create_task(self._refresh())
        return Started.STARTED

    async def recommended(self, wait_s: float) -> bool:
        """What came of recommendations, worked out anew; see `handlers/report_means.py`."""
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._each([("recommendations", self._recount)]))
        done, _ = await asyncio.wait({self._counting}, timeout=wait_s)
        # What failed is a line in the log, and said nothing.
        return bool(done) and not self._counting.cancelled() and bool(self._counting.result())

    async def settled(self) -> None:
        """Wait for what is being worked out, whatever comes of it."""
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing})

    async def publish(self, group: Group, by: str) -> Published:
        """Post a few figures of a group into it, with noise, once a day."""
        try:
            done = await weekly.to_group(
                *(self._store, self._crunch, self._config.privacy, self._voice),
                *(self._posting, group, self._now()),
                by=by,
            )
        except CrunchError as error:
            log.error("not_published", group=group.id, error=type(error).__name__)
            return Published("unknown")
        return Published(done.why, done.words, done.spent)

    async def refreshed(self) -> str:
        """Work everything out here and now; says what was done."""
        return await self._refresh()

    # Jobs

    def jobs(self) -> list[Job]:
        """What the clock runs for insights; the purge also when they are switched off."""
        config = self._config
        kept = [
            Job("purge_insights", self._purge, at=config.schedule.purge_at),
            Job("erase_backups", self._erase_backups, at=config.schedule.purge_at),
        ]
        if not config.insights.enabled:
            return kept
        jobs = [
            *kept,
            Job("readings", self._read, every_s=_READ_S),
            Job("features", self._fold, every_s=_FOLD_S),
            Job("today", self._today, every_s=config.insights.today_minutes * 60.0),
            Job("refresh_insights", self._nightly, at=config.insights.refresh_at),
            Job("mood_learning", self._learn, every_s=_LEARN_S),
            Job("weekly", self._weekly, every_s=_WEEKLY_S),
        ]
        if config.sentiment.alerts:
            jobs += [
                Job("mood_watch", self._look, every_s=_WATCH_S),
                Job("alerts", self._alert, every_s=_ALERTS_S),
            ]
        return jobs

    async def close(self) -> None:
        """Work nothing out any more; what is not kept yet is worked out again."""
        for task in (self._refreshing, self._counting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._crunch.close()

    async def _read(self) -> str:
        return await self._readings.tick(self._now())

    async def _fold(self) -> str:
        return await behaviour.tick(
            self._store, self._crunch, self._rules, self._now(), opt_in=self._opt_in
        )

    async def _look(self) -> str:
        return await self._watch.tick(self._now())

    async def _alert(self) -> str:
        def say(alert: Alert, group: str, examples: Sequence[str]) -> str:
            return mood_text.alert(self._texts, alert, group, examples)

        return await alerts.tick(self._store, say, self._tell, self._now())

    async def _learn(self) -> str:
        return await mood_learning.tick(
            self._store,
            self._crunch,
            self._wanted,
            lambda learned: mood_text.learned(self._texts, learned),
            self._tell,
            self._now(),
        )

    async def _weekly(self) -> str:
        ways = weekly.Ways(self._tell, self._show, self._posting)
        rules = self._config.insights
        return await weekly.tick(
            *(self._store, self._crunch, self._config.privacy, self._voice, ways),
            *(rules.weekly_on, rules.weekly_at, self._now()),
        )

    async def _show(self, member_id: int, report: Report, key: bytes) -> bool:
        """Send the week's chart to an operator, on a channel that takes pictures."""
        card = await self._store.members.card(member_id)
        if card is None or not report.charts or self._push is None:
            return False
        title = self._texts("report.title_week")
        chart = report_text.drawing(self._texts, report.charts[0], title)
        foot = report_text.days(report.since, report.until)
        for channel in card.channels:
            if channel in self._official:
                media_id = await self.picture(chart, foot, channel)
                if media_id and await self._push(key, member_id, channel, media_id):
                    return True
        return False

    async def _purge(self) -> str:
        return await purging.purge(self._store, self._config.privacy, self._now())

    async def _erase_backups(self) -> str:
        return await erase_backups(self._store, self._config.store.backups, self._now())

    async def _today(self) -> str:
        """Today's figures; while everything is worked out anew they wait for that."""
        if self._refreshing is not None and not self._refreshing.done():
            return ""
        return await self._each(self._todays())

    async def _nightly(self) -> str:
        self.refresh()
        assert self._refreshing is not None
        return await self._refreshing

    async def _refresh(self) -> str:
        return await self._each(self.steps())

    def _todays(self) -> list[Step]:
        store, crunch = self._store, self._crunch
        private = self._texts("mood.private")
        return [
            ("mood", lambda now: moods.today(store, crunch, now, private)),
            (
                "topic",
                lambda now: topics.today(
                    store, crunch, now, cache=self._cache, alerts=self._config.sentiment.alerts
                ),
            ),
            ("day", lambda now: outcomes.today(store, crunch, now)),
        ]

    def steps(self) -> list[Step]:
        """Everything, in the order in which one needs the other."""
        store, crunch, rules = self._store, self._crunch, self._config.insights
        private = self._texts("mood.private")
        return [
            (
                "topic",
                lambda now: topics.refresh(
                    store, crunch, now, cache=self._cache, alerts=self._config.sentiment.alerts
                ),
            ),
            ("mood", lambda now: moods.refresh(store, crunch, now, private)),
            (
                "members",
                lambda now: behaviour.refresh(store, crunch, self._rules, now, opt_in=self._opt_in),
            ),
            (
                "communities",
                lambda now: communities.refresh(
                    store,
                    crunch,
                    now,
                    half_life_s=self._config.groups.edge_half_life_days * _DAY_S,
                    opt_in=self._opt_in,
                ),
            ),
            ("forecasts", lambda now: forecasts.refresh(store, crunch, now)),
            ("outcomes", lambda now: outcomes.refresh(store, crunch, rules, now)),
            ("recommendations", self._recommended),
            # The mood of today is in its report already.
            *(step for step in self._todays() if step[0] != "mood"),
        ]

    async def _recommended(self, now: float) -> str:
        settings = self._config.recommendations
        return await rec_report.refresh(
            self._store, self._crunch, settings, now, opt_in=self._opt_in
        )

    async def _recount(self, now: float) -> str:
        settings = self._config.recommendations
        return await rec_report.anew(self._store, self._crunch, settings, now, opt_in=self._opt_in)

    async def _each(self, steps: Sequence[Step]) -> str:
        """One after the other; one that fails is a line in the log, and the others go on."""
        did = []
        for name, run in steps:
            fine = False
            try:
                done = await run(self._now())
                fine = True
            except Exception as error:
                # Whatever a library of figures makes of somebody's data: the others go on.
                if self._store.closing:
                    return "stopped"
                log.error("insight_failed", what=name, error=type(error).__name__, exc_info=True)
            else:
                did.append(done)
            self._observe(name, fine)
        return "; ".join(filter(None, did))
