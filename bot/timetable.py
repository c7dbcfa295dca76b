"""The table of jobs: what runs when, with everything it needs in hand.

The jobs themselves stand in `scheduler/`; here they get the store, the clock, and the
sentences for whom they write to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.config import Config
from bot.pushes import Pushes
from handlers.message import Reply, reply_to_json
from handlers.texts import Texts
from scheduler import jobs
from scheduler.clock import Job
from scheduler.reminders import remind
from store import Store


class Timetable:
    """now: Unix seconds. reload: makes changed content findable. wake: something was planned."""

    def __init__(
        self,
        config: Config,
        store: Store,
        texts: Texts,
        pushes: Pushes,
        *,
        now: Callable[[], float],
        reload: Callable[[], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        self._config = config
        self._store = store
        self._texts = texts
        self._pushes = pushes
        self._now = now
        self._reload = reload
        self._wake = wake

    def jobs(self) -> list[Job]:
        """Every job there is."""
        store, settings, schedule = self._store, self._config.store, self._config.schedule
        return [
            Job(
                "backup",
                lambda: jobs.backup(store, settings.backups, settings.backup_keep, self._now()),
                at=schedule.backup_at,
            ),
            Job(
                "purge",
                lambda: jobs.purge(store, settings.keep_messages_h * 3600.0, self._now()),
                at=schedule.purge_at,
            ),
            Job("remind", self._remind, at=schedule.remind_at),
            Job(
                "tidy_hooks",
                lambda: jobs.tidy_hooks(store, self._now()),
                at=schedule.purge_at,
            ),
            Job(
                "order_catalogue",
                lambda: jobs.order_catalogue(store, self._reload, self._now()),
                every_s=3600.0,
            ),
        ]

    async def _remind(self) -> str:
        """Remind learners where the channel may push; the late answers' worker sends it once."""

        def say(title: str, chapter: str) -> str:
            if chapter:
                return self._told("course.reminder_chapter", title=title, chapter=chapter)
            return self._told("course.reminder", title=title)

        done = await remind(self._store, say, self._pushes.channels, self._now())
        self._wake()
        return done

    def _told(self, key: str, **values: object) -> str:
        """A text as the JSON of a Reply, as `store.sends` keeps it."""
        return reply_to_json(Reply.text(self._texts(key, **values)))
