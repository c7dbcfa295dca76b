"""The table of jobs: what runs when, with everything it needs in hand.

The jobs themselves stand in `scheduler/`; here they get the store, the clock, and the
sentences for whom they write to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from bot.config import Config
from bot.incentives import rewards
from bot.pushes import Pushes
from handlers.message import Reply, reply_to_json
from handlers.quiz import won
from handlers.texts import Texts
from scheduler import coupons, jobs, purchases
from scheduler.clock import Job
from scheduler.quizzes import tick as tick_quizzes
from scheduler.reminders import remind
from store import Store
from store.orders import Rules as OrderRules
from store.quiz_play import Pay, Place
from store.quizzes import Quiz

_QUIZ_TICK_S = 3.0
_LISTED = 5
"""Coupons in one reminder."""


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
        self._rewards = rewards(config)
        self._now = now
        self._reload = reload
        self._wake = wake
        self._started = now()

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
            Job("quizzes", self._quizzes, every_s=_QUIZ_TICK_S),
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
            Job("count_orders", self._count_orders, every_s=30.0),
            Job("settle_tiers", self._settle_tiers, every_s=60.0),
            Job(
                "expire_coupons",
                lambda: coupons.expire_coupons(store, self._now()),
                every_s=60.0,
            ),
            Job("remind_coupons", self._remind_coupons, at=self._config.coupons.remind_at),
            Job(
                "expire_points",
                lambda: coupons.expire_points(store, self._now()),
                at=schedule.purge_at,
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

    async def _quizzes(self) -> str:
        """Open, close and pay quizzes; tell the results to whom we may write."""

        def say(quiz: Quiz, place: Place, count: int) -> str:
            text = self._texts(
                "quiz.told",
                title=quiz.title,
                rank=place.rank,
                members=count,
                score=place.score,
                prize=won(self._texts, place),
            )
            return reply_to_json(Reply.text(text.rstrip()))

        pay = Pay(ends_at=self._rewards.points.ends_at, badges=self._rewards.badges)
        did = await tick_quizzes(self._store, say, self._pushes.channels, self._now(), pay)
        if did:
            self._wake()
        return did

    async def _count_orders(self) -> str:
        points, tiers = self._rewards.points, self._rewards.membership
        rules = OrderRules(
            worth=points.for_order,
            ends_at=points.ends_at,
            badges=self._rewards.badges,
            tiers=tiers.tiers,
            grants={item: (tier, days * 86_400.0) for item, (tier, days) in tiers.grants.items()},
        )
        return await purchases.count_orders(self._store, rules, self._now(), self._started)

    async def _settle_tiers(self) -> str:
        tiers = self._rewards.membership.tiers
        count = await self._store.memberships.settle(self._now(), tiers)
        return f"{count} members seen to" if count else ""

    async def _remind_coupons(self) -> str:
        """Tell members of coupons that end soon; the late answers' worker sends it once."""
        done = await coupons.remind(
            self._store,
            self._ending,
            self._pushes.channels,
            self._rewards.coupons.remind_s,
            self._now(),
        )
        self._wake()
        return done

    def _ending(self, ending: Sequence[coupons.Ending]) -> str:
        """The words of a reminder, as the JSON of a Reply."""
        told = [
            {"title": offer.title, "day": _day(coupon.expires_at), "code": coupon.shown}
            for coupon, offer in ending
        ]
        if len(told) == 1:
            return self._told("coupon_reminder.one", **told[0])
        lines = [self._texts("coupon_reminder.head", count=len(told))]
        lines += [self._texts("coupon_reminder.line", **one) for one in told[:_LISTED]]
        if len(told) > _LISTED:
            lines.append(self._texts("coupon_reminder.more"))
        return reply_to_json(Reply.text("\n".join(lines)))

    def _told(self, key: str, **values: object) -> str:
        """A text as the JSON of a Reply, as `store.sends` keeps it."""
        return reply_to_json(Reply.text(self._texts(key, **values)))


def _day(at: float | None) -> str:
    """The day in Shanghai on which a coupon ends; the last moment of a day is on that day."""
    return "" if at is None else datetime.fromtimestamp(at - 1, coupons.SHANGHAI).strftime("%m-%d")
