"""Everything of groups, wired: the channels that reach them, the ear, order, posts and jobs.

Opened by `bot/app.py`; nothing here decides. A channel of groups that fails, floods or lies has
its own door, its own limits and its own work: official accounts never wait for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import aiohttp
import structlog

from bot import onebot
from bot.answer_pages import AnswerPages
from bot.config import Config
from bot.contents import Contents
from bot.customer_side import CustomerSide
from bot.gateway import Gateway
from bot.group_means import GroupMeans, channels_of
from bot.group_robot import GroupRobot
from bot.hearing import Ear
from bot.inbox import Inbox
from bot.late import Carrier, hushed
from bot.links import Linker
from bot.metrics import Metrics
from bot.order import Kicker, Order
from bot.posting import Poster, Posting
from bot.streams import StreamAnswers
from bot.webhook import Door
from bot.wecom import Codec
from bot.wecom_door import WecomDoor, sentences_of
from handlers import group_words
from handlers.addressing import Address, GroupSpeech, wanted
from handlers.calm import Calm
from handlers.context import SHANGHAI
from handlers.digest_text import digest_text
from handlers.eager import Eager
from handlers.group_quiz import QuizWords
from handlers.message import Message
from handlers.rewards import Rewards
from handlers.texts import Texts
from insights.spam import ModelFile, SpamModel
from knowledge import Knowledge
from scheduler import digests, group_quizzes, order_learning, welcomes
from scheduler.clock import Job
from store import Store
from store.groups import Group, place_of
from store.messages import Unanswered

log = structlog.get_logger()

_LOOK_S = 1.0
"""How often planned posts are looked for: whoever plans one need not know who posts it."""
_WELCOMES_S = 5.0
_QUIZZES_S = 2.0
_DIGESTS_S = 30.0
_ORDER_S = 10.0
_LEARN_S = 60.0
_LAST_S = 1.5
_MINUTE_S = 60.0
_DAY_S = 86_400.0

Tell = Callable[[str, bytes], Awaitable[bool]]
"""Tells the owners something; the same key again tells nothing."""

TellOne = Callable[[int | None, str, bytes], Awaitable[bool]]
"""The same for one member; None: for the owners."""


@dataclass(frozen=True, slots=True)
class Nobodys:
    """What handlers may ask of WeChat, on channels that have nothing of it."""

    async def push_menu(self) -> int:
        """Such a channel has no menu."""
        return 0


@dataclass(frozen=True, slots=True)
class _Manners:
    """What a gateway's voice is to know of members and groups."""

    store: Store
    channel: str
    now: Callable[[], float]

    def is_operator(self, user: str) -> bool:
        """Whether they are; who wrote just now is known."""
        member = self.store.members.known(self.channel, user)
        return member is not None and member.is_operator

    def hushed(self, group: str, user: str) -> str:
        """Why nothing may be said in a group now."""
        place = place_of(self.channel, group)
        return hushed(self.store, place, self.channel, user, self.now())


class GroupSide:
    """The channels of groups, by what they are.

    now: Unix seconds. steady: seconds that never jump. tell: the way to the owners; tell_one: to
    one operator.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        texts: Texts,
        knowledge: Knowledge,
        contents: Contents,
        linker: Linker,
        metrics: Metrics,
        session: aiohttp.ClientSession,
        rewards: Rewards,
        *,
        now: Callable[[], float],
        steady: Callable[[], float],
        tell: Tell,
        tell_one: TellOne,
    ) -> None:
        self._config = config
        self._tell_one = tell_one
        self._knowledge = knowledge
        self._store = store
        self._texts = texts
        self._contents = contents
        self._linker = linker
        self._metrics = metrics
        self._now = now
        self._inbox: Inbox | None = None
        self._tasks: list[asyncio.Task[None]] = []
        gates = rewards.membership.gates
        self.pages = AnswerPages(contents, linker, business=config.business.name, gates=gates)
        groups = config.groups
        self._calms = {name: Calm(one.per_minute) for name, one in config.gateways.items()}
        self._dropped: dict[str, tuple[float, int]] = {}  # channel -> when said, how many since
        self.speech = GroupSpeech(
            prefixes=groups.prefixes,
            keywords=groups.keywords,
            names=tuple(robot.name for robot in config.robots.values() if robot.name),
            repeat_minutes=groups.repeat_minutes,
            short_chars=groups.short_chars,
            private_url=groups.private_url,
            page=self.pages.url_for,
            calms=self._calms,
        )
        self._says = sentences_of(texts)
        self.streams = StreamAnswers(
            store,
            self._says,
            {name: robot.api_base for name, robot in config.robots.items()},
            session,
            now=now,
            observe=metrics.late_answer,
        )
        self._codecs = {
            name: Codec(
                name,
                robot.token.reveal(),
                robot.encoding_aes_key.reveal(),
                old.reveal() if (old := robot.previous_encoding_aes_key) else None,
                robot.receive_id,
                robot.name,
                config.inbox.freshness_s,
            )
            for name, robot in config.robots.items()
        }
        self.gateways = {
            name: Gateway(
                settings,
                hear=self._hear,
                take=self._take_private,
                paces=store.paces,
                session=session,
                now=now,
                observe=metrics.refused,
            )
            for name, settings in config.gateways.items()
        }
        for name, gateway in self.gateways.items():
            gateway.voice.manners = _Manners(store, name, now)
        posters: dict[str, Poster] = {
            name: GroupRobot(
                name,
                robot.key,
                session=session,
                files=store.assets,
                now=now,
                api_base=robot.api_base,
                timeout_s=robot.api_timeout_s,
                observe=functools.partial(metrics.api_call, name),
            )
            for name, robot in config.group_robots.items()
        }
        posters |= {name: gateway.voice for name, gateway in self.gateways.items()}
        self.posting = Posting(
            store,
            posters,
            {
                **{name: robot.per_minute for name, robot in config.group_robots.items()},
                **{name: gateway.per_minute for name, gateway in config.gateways.items()},
            },
            now=now,
            steady=steady,
            observe=metrics.post,
        )
        self.channels = channels_of(config)
        self.carriers: Mapping[str, Carrier] = {
            name: gateway.voice for name, gateway in self.gateways.items()
        }
        kickers: dict[str, Kicker] = {n: gateway.voice for n, gateway in self.gateways.items()}
        self._order = Order(
            store,
            None,
            groups,
            texts,
            hide=store.talk.hide,
            tell=tell,
            posting=self.channels.posting,
            kickers=kickers,
            own_hosts=self._own_hosts,
        )
        self._eager = Eager(
            store,
            knowledge,
            contents,
            texts,
            linker,
            self.speech,
            posting=self.channels.posting,
            gates=gates,
            posted=self.posting.wake,
        )
        self._ear = Ear(
            store,
            order=self._order,
            wanted=self._wanted,
            take=self._take,
            now=now,
            overheard=self._eager.hear,
            enough=self._enough,
            half_life_s=groups.edge_half_life_days * _DAY_S,
        )
        self._closing = False
        self._customers = CustomerSide(
            config, store, metrics, session, now=now, stopping=lambda: self._closing
        )
        self._model: SpamModel | None = None
        self.charts: Callable[[str], bytes | None] = lambda name: None
        self._doors: list[WecomDoor] = []

    @property
    def streaming(self) -> Mapping[str, StreamAnswers]:
        """Channels whose answers grow, for the inbox."""
        return dict.fromkeys(self._codecs, self.streams)

    @property
    def names(self) -> tuple[str, ...]:
        """Every channel of groups, in the order of the kinds."""
        config = self._config
        return (*config.robots, *config.group_robots, *config.gateways, *config.customers)

    @property
    def means(self) -> GroupMeans:
        """What the REST API needs of groups."""
        return GroupMeans(
            channels=self.channels,
            apology=self._texts("order.apology"),
            half_life_s=self._config.groups.edge_half_life_days * _DAY_S,
        )

    def knows(self, channel: str) -> bool:
        """Whether messages come by this channel."""
        return channel in self._codecs or channel in self.gateways

    def read_again(self, row: Unanswered) -> Message:
        """A message of one of these channels that was recorded before. Errors: BadMessage."""
        codec = self._codecs.get(row.channel)
        return onebot.restore(row.body) if codec is None else codec.read(row.body, row.received_at)

    def doors(self, inbox: Inbox) -> dict[str, Door]:
        """The doors of these channels by path; what they hear goes to this inbox."""
        self._inbox = inbox
        self._doors = [
            WecomDoor(
                codec,
                inbox,
                self.streams,
                self._store,
                self._says,
                self._metrics,
                note=self._ear.note,
                pictures=self._picture,
                deadline_s=self._config.inbox.deadline_s,
            )
            for codec in self._codecs.values()
        ]
        doors: list[Door] = [*self._doors, *self.gateways.values(), *self._customers.doors]
        return {f"/hook/{door.channel}": door for door in doors}

    async def _picture(self, name: str) -> bytes | None:
        """A picture of ours, by its name: a robot takes the bytes themselves."""
        if (png := self.charts(name)) is not None:
            return png
        asset = await self._store.assets.get(name)
        return None if asset is None else await self._store.assets.data(asset.id)

    async def start(self) -> None:
        """Begin: the model, what was left, the workers. Errors: StoreError."""
        now = self._now()
        for name, robot in self._config.group_robots.items():
            title = robot.group or name
            await self._store.groups.meet(name, "robot", now, name=title, bound_by="config")
        await self._order.tick(now)
        if self.gateways:
            # Only they hear adverts.
            try:
                self._model = await asyncio.to_thread(SpamModel.load)
            except ModelFile as error:
                # The rules judge without it; a bot that does not start judges nothing.
                log.error("spam_model_not_loaded", error=str(error))
            else:
                await order_learning.restore(self._store, self._model, self._order.use)
        self._tasks = [
            asyncio.create_task(self.posting.run()),
            asyncio.create_task(self.streams.run()),
            asyncio.create_task(self._read_customers()),
        ]

    def jobs(self) -> list[Job]:
        """What the clock runs for groups."""
        jobs = [
            Job("posts", self._look, every_s=_LOOK_S),
            Job("group_quizzes", self._ask, every_s=_QUIZZES_S),
            Job("digests", self._digest, every_s=_DIGESTS_S),
            Job("purge_groups", self._purge, at=self._config.schedule.purge_at),
        ]
        if self.channels.hearing:
            jobs += [
                Job("welcomes", self._welcome, every_s=_WELCOMES_S),
                Job("order", self._keep_order, every_s=_ORDER_S),
                Job("order_learning", self._learn, every_s=_LEARN_S),
            ]
        return [*jobs, *self._customers.jobs()]

    async def close_doors(self) -> None:
        """Hear nothing more. What is under way gets a moment."""
        self._closing = True
        for gateway in self.gateways.values():
            await gateway.close()
        await self._ear.close()

    async def close(self) -> None:
        """Post and push nothing more; what is under way gets a moment."""
        self.posting.close()
        self.streams.close()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=_LAST_S)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        for door in self._doors:
            await door.close()

    async def _read_customers(self) -> None:
        try:
            await self._customers.read()
        except Exception as error:
            # The job reads them again; nothing waits for the first time.
            log.error("customer_groups_not_read", error=type(error).__name__, exc_info=True)

    # What is heard

    async def _hear(self, message: Message, body: bytes) -> bool:
        return await self._ear.hear(message, body)

    async def _take(self, message: Message, body: bytes) -> bool:
        return self._inbox is not None and await self._inbox.take(message, body)

    async def _take_private(self, message: Message, body: bytes) -> bool:
        """Who writes to a gateway in private, without pause, has no more of it than a group."""
        calm = self._calms.get(message.channel)
        members = self._store.members
        if (
            calm is None
            or await members.is_operator(message.channel, message.sender)
            or calm.hear("", message.sender, self._now())
        ):
            return await self._take(message, body)
        self._drop(message.channel)
        return True

    def _enough(self, message: Message, meant: object, now: float) -> bool:
        calm = self._calms.get(message.channel)
        # Who answers a quiz question by question is no nuisance.
        if calm is None or (isinstance(meant, Address) and meant.why == "answer"):
            return False
        if calm.hear(message.place, message.sender, now):
            return False
        self._drop(message.channel)
        return True

    def _drop(self, channel: str) -> None:
        """Count a call that is met with silence; the log hears of it once a minute."""
        self._metrics.refused(channel, "too_many")
        now = self._now()
        said_at, count = self._dropped.get(channel, (0.0, 0))
        if abs(now - said_at) < _MINUTE_S:
            self._dropped[channel] = (said_at, count + 1)
            return
        self._dropped[channel] = (now, 0)
        log.warning("gateway_calls_dropped", channel=channel, count=count + 1)

    def _wanted(self, message: Message, group: Group | None, now: float) -> object | None:
        place = "" if group is None else group.place
        return wanted(
            message,
            group,
            self.speech,
            quiz_on=bool(place) and self._store.quizzes.is_on(now, place),
            signup_on=bool(place) and self._store.signups.open_in(place, now),
            now=now,
        )

    def _own_hosts(self) -> frozenset[str]:
        """Hosts that are no advert: where our own links lead."""
        config = self._config
        urls = (
            config.server.public_url,
            config.groups.private_url,
            *(item.url for item in self._contents.items.values()),
        )
        found = {urlsplit(url).hostname or "" for url in urls if url}
        return frozenset((found | set(config.links.allowed_hosts)) - {""})

    # Jobs

    async def _look(self) -> str:
        self.posting.wake()
        return ""

    async def _welcome(self) -> str:
        return await welcomes.tick(
            self._store,
            functools.partial(group_words.newcomers, self._texts),
            self.channels.posting,
            self._config.groups.welcome_minutes,
            self._now(),
        )

    async def _ask(self) -> str:
        words = QuizWords(self._texts, self._store.groups, self.channels.hearing)
        did = await group_quizzes.tick(self._store, words, self.channels.posting, self._now())
        if did:
            self.posting.wake()
        return did

    async def _digest(self) -> str:
        return await digests.tick(
            self._store,
            lambda day, group, date: digest_text(self._texts, day, group.title, date),
            self._tell_one,
            self.channels.posting,
            self._config.groups.digest_at,
            self._knowledge.words.cut,
            self._knowledge.words.rarity,
            self._now(),
        )

    async def _keep_order(self) -> str:
        return await self._order.tick(self._now())

    async def _learn(self) -> str:
        if self._model is None:
            return ""
        return await order_learning.tick(self._store, self._model, self._order.use, self._now())

    async def _purge(self) -> str:
        store, now = self._store, self._now()
        old = now - self._config.groups.keep_talk_days * _DAY_S
        words = await store.talk.blank(old)
        await store.talk.remove(old)
        cases = await store.order.blank(old)
        posts = await store.posts.purge(now - self._config.store.keep_messages_h * 3600.0)
        day = datetime.fromtimestamp(old, SHANGHAI).strftime("%Y-%m-%d")
        await store.digests.purge(day)
        return f"{words} words, {cases} cases, {posts} posts forgotten"
