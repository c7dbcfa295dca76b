"""The wiring: knows every room, opens and closes everything, decides nothing.

Started in the order in which a message needs it (store, door, knowledge), stopped in
the other. The door opens before the dictionary is loaded: what comes in that second is
recorded and waits.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from bot import chart
from bot.client import ChannelSide, Client, new_session
from bot.config import ChannelSettings, Config
from bot.contents import Contents
from bot.crunch import Crunch
from bot.crypto import BadMessage
from bot.first_owner import FirstOwner
from bot.group_side import GroupSide, Nobodys
from bot.inbox import Inbox, Sentences
from bot.incentives import rewards
from bot.insight_side import InsightSide
from bot.introduce import Introductions
from bot.invitations import Invitations, Side
from bot.late import LateAnswers
from bot.links import Linker
from bot.metrics import Metrics
from bot.official import Codec
from bot.ops import Ops
from bot.outgoing import Outgoing
from bot.outside import Outside
from bot.parts import Outcome
from bot.pushes import Pushes
from bot.rec_side import RecSide
from bot.timetable import Timetable
from bot.webhook import Webhook
from handlers import ROUTERS, group_dialogue
from handlers.context import SHANGHAI, Business, Context
from handlers.message import Message
from handlers.router import Router, Rules, dispatch
from handlers.texts import Texts
from knowledge import Knowledge
from scheduler.clock import Clock
from store import Store, StoreError
from store.members import Member
from store.messages import Unanswered

log = structlog.get_logger()


@dataclass(slots=True)
class Channel:
    """One channel, wired."""

    settings: ChannelSettings
    codec: Codec
    client: Client
    side: ChannelSide


class App:
    """The whole bot. `await start()`, then it serves until `await stop()`.

    config: from `bot.config`. routers: the conversation, in the order asked. now: Unix
    seconds. say: where a person reads (the claim code goes there and not into the log).
    Raises SynonymsError (a WordsError) when the configured synonyms cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        routers: Sequence[Router] = ROUTERS,
        now: Callable[[], float] = time.time,
        say: Callable[[str], None] = print,
    ) -> None:
        self.config = config
        self.ready = asyncio.Event()
        self._failed = asyncio.Event()
        self.metrics = Metrics()
        self.webhook_port = 0
        self.ops_port = 0
        self.api_port = 0
        self._rules = Rules(routers)
        self._now = now
        owners = [
            (name, owner)
            for channels in (config.channels, config.robots, config.gateways)
            for name, channel in channels.items()
            for owner in channel.owners
        ]
        self.store = Store(
            config.store.path,
            durability=config.store.durability,
            busy_timeout_s=config.store.busy_timeout_s,
            readers=config.store.readers,
            owners=owners,
            observe=self.metrics.batch,
        )
        self._first_owner = FirstOwner(self.store, say)
        self.knowledge = Knowledge(
            answer_at=config.knowledge.answer_at,
            offer_at=config.knowledge.offer_at,
            synonyms_file=config.knowledge.synonyms_file,
        )
        self.linker = Linker(
            self.store,
            public_url=config.server.public_url,
            allowed_hosts=config.links.allowed_hosts,
            now=now,
        )
        self.contents = Contents(self.store, self.knowledge, self.linker)
        self.reload = self.contents.reload
        self.channels: dict[str, Channel] = {}
        self._business = Business(
            name=config.business.name,
            topics=config.business.topics,
            human_hours=config.business.human_hours,
        )
        self._runners: list[web.BaseRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._clock: Clock | None = None
        self._late: LateAnswers | None = None
        self._late_task: asyncio.Task[None] | None = None
        self._stale = False
        self._catching_up: asyncio.Task[None] | None = None
        self._introductions: Introductions | None = None
        self._inbox: Inbox | None = None
        self._outside: Outside | None = None
        self._texts: Texts | None = None
        self._pushes: Pushes | None = None
        self._outgoing: Outgoing | None = None
        self._groups: GroupSide | None = None
        self.insights: InsightSide | None = None
        self.recommendations: RecSide | None = None
        self._rewards = rewards(config)
        self._invitations: Invitations | None = None

    # Life

    async def start(self) -> None:
        """Open everything; returns when the doors are open, `ready` follows.

        Errors: StoreError, TextsError, OSError (a port is taken).
        """
        config = self.config
        for warning in config.warnings:
            log.warning("config", say=warning)
        texts = await asyncio.to_thread(Texts.load, config.texts.file)
        self._texts = texts
        await self.store.open()
        self.store.db.changed = self._changed_elsewhere
        await self.linker.open()
        # The chat's calls must not wait behind a campaign's.
        self._session = new_session(config.campaigns.parallel + 32)
        for name, settings in config.channels.items():
            self.channels[name] = self._channel(name, settings, self._session)
        self._groups = groups = GroupSide(
            config,
            self.store,
            texts,
            self.knowledge,
            self.contents,
            self.linker,
            self.metrics,
            self._session,
            self._rewards,
            now=self._now,
            steady=time.monotonic,
            tell=self._tell_owners,
            tell_one=self._tell_one,
        )
        self._late = LateAnswers(
            self.store,
            {name: channel.client for name, channel in self.channels.items()},
            now=self._now,
            observe=self.metrics.late_answer,
            carriers=groups.carriers,
        )
        self._pushes = Pushes(
            self.store,
            [name for name, s in config.channels.items() if s.late == "customer-service"],
            now=self._now,
            wake=self._late.wake,
            free=groups.carriers,
        )
        letters = await asyncio.to_thread(chart.lettering, config.campaigns.font)
        crunch = Crunch()
        self.recommendations = recommendations = RecSide(
            config,
            self.store,
            texts,
            crunch,
            self.linker,
            items=lambda: self.contents.items,
            now=self._now,
            tell=self._tell_one,
            pushes=self._pushes,
            trained=self.metrics.trained,
            recommended=self.metrics.recommended,
            after=self._insights_settled,
            cut=self.knowledge.words.cut,
        )
        self.metrics.model_age_s = lambda: recommendations.age_s
        self._outgoing = Outgoing(
            config,
            self.store,
            self.linker,
            {name: channel.client for name, channel in self.channels.items()},
            texts,
            self._pushes,
            letters,
            now=self._now,
            items=lambda: self.contents.items,
            observe=self.metrics.campaign_message,
            chosen=recommendations.best,
        )
        self.insights = InsightSide(
            config,
            self.store,
            texts,
            self._outgoing.phone,
            letters,
            official=frozenset(self.channels),
            pictures=frozenset(config.robots),
            now=self._now,
            tell=self._tell_one,
            push=self._pushes.show,
            observe=self.metrics.insight,
            crunch=crunch,
        )
        groups.charts = self.insights.drawn
        self._introductions = Introductions(
            self.store,
            {name: c.client for name, c in self.channels.items() if c.settings.verified},
        )
        self._invitations = Invitations(
            self.store,
            self.linker,
            {
                name: Side(c.client, c.settings.verified and c.settings.account == "service")
                for name, c in self.channels.items()
            },
            self._rewards.referral,
            poster=config.referral.poster,
        )
        self._inbox = Inbox(
            self.store,
            self._converse,
            self.metrics,
            Sentences(
                crashed=texts("errors.crashed"),
                thinking=texts("late.thinking"),
                more=texts("late.more"),
                transfer_again=texts("human.again"),
            ),
            now=self._now,
            late=self._late.wake,
            retry_channels=frozenset(
                name for name, s in config.channels.items() if s.late == "retry"
            ),
            deadline_s=config.inbox.deadline_s,
            handler_limit_s=config.inbox.handler_limit_s,
            max_running=config.inbox.max_running,
            most_of_one=self._most_of_one(),
            streams=groups.streaming,
        )
        # Before the doors open: what an earlier process left comes before what comes now.
        taken_up = await self._inbox.recover(self._read_again)
        if taken_up:
            log.info("taken_up", unfinished=taken_up)
        self.metrics.running = lambda: self._inbox.running if self._inbox else 0
        webhook = Webhook(
            {f"/hook/{name}": channel.codec for name, channel in self.channels.items()},
            self._inbox,
            self.metrics,
            config.server,
            now=self._now,
            doors=groups.doors(self._inbox),
        )
        self.webhook_port = await self._listen(
            web.ServerRunner(webhook.server()), config.server.bind, config.server.port
        )
        ops = Ops(self.store, self.metrics).runner()
        self.ops_port = await self._listen(ops, config.server.ops_bind, config.server.ops_port)
        self._outside = Outside(
            config,
            self.store,
            self.knowledge,
            self.contents,
            self.linker,
            self.metrics,
            session=self._session,
            now=self._now,
            campaigns=self._outgoing.desk,
            groups=groups.means,
            insights=self.insights.means,
            recommendations=self.recommendations.offered,
            pages=groups.pages.routes(),
        )
        self.api_port = await self._listen(
            self._outside.runner(), config.server.api_bind, config.server.api_port
        )
        self._tasks.append(asyncio.create_task(self._get_ready()))

    async def _get_ready(self) -> None:
        """Everything that may take its time: the dictionary, the content, unfinished work."""
        try:
            await asyncio.to_thread(self.knowledge.load, self.config.store.path.parent)
            await self.reload()
            # What is loaded by now stays: the collector need never look at it again, and a
            # full collection over half a million words would stall every answer.
            gc.collect()
            gc.freeze()
            # A message makes some hundred short-lived objects: look every hundred messages,
            # not at every second one.
            gc.set_threshold(20_000, 20, 20)
            await self._begin()
        except Exception as error:
            log.critical("cannot_get_ready", error=str(error), exc_info=True)
            self._failed.set()
            raise

    async def _begin(self) -> None:
        assert self._inbox is not None
        assert self._late is not None
        assert self._groups is not None
        await self._groups.start()
        self._inbox.open()
        self._late_task = asyncio.create_task(self._late.run())
        assert self._outside is not None
        self._outside.start()
        assert self._texts is not None
        assert self._pushes is not None
        timetable = Timetable(
            self.config,
            self.store,
            self._texts,
            self._pushes,
            now=self._now,
            reload=self.reload,
            wake=self._late.wake,
        )
        assert self._outgoing is not None
        assert self.insights is not None
        await self.store.consents.keep_to_rule()
        assert self.recommendations is not None
        self.recommendations.start()
        sides = (timetable, self._outgoing, self._groups, self.insights, self.recommendations)
        self._clock = Clock([job for side in sides for job in side.jobs()])
        self._clock.start()
        self._outgoing.start()
        await self._first_owner.offer()
        self.metrics.ready = True
        self.ready.set()
        if self._stale:
            self._changed_elsewhere()
        channels = (*self.channels, *(name for name in self._groups.names))
        log.info("ready", channels=list(channels))

    async def failed(self) -> None:
        """Returns when the bot cannot get ready and should be stopped."""
        await self._failed.wait()

    async def stop(self) -> None:
        """Close the doors, let running answers end, close the store."""
        self.metrics.ready = False
        started = time.monotonic()
        if self._clock is not None:
            self._clock.stop()
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        left = 0
        if self._groups is not None:
            await self._groups.close_doors()
        # Beside the answers: each may take drain_s.
        sending = asyncio.create_task(self._outgoing.close()) if self._outgoing else None
        if self._inbox is not None:
            left = await self._inbox.drain(self.config.server.drain_s)
        if self._introductions is not None:
            await self._introductions.close()
        if self._invitations is not None:
            await self._invitations.close()
        if self._late is not None:
            self._late.close()
            if self._late_task is not None:
                # Not cancelled: a claim under way would leave rows that nobody sends.
                await asyncio.wait({self._late_task}, timeout=1.5)
        if sending is not None:
            await sending
        if self._groups is not None:
            await self._groups.close()
        if self.recommendations is not None:
            await self.recommendations.close()
        if self.insights is not None:
            await self.insights.close()
        left_over = [task for task in (*self._tasks, self._catching_up) if task is not None]
        for task in left_over:
            task.cancel()
        await asyncio.gather(*left_over, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        if self._outside is not None:
            await self._outside.close()
        await self.contents.close()
        if self._session is not None:
            await self._session.close()
        await self.store.close()
        log.info("stopped", unfinished=left, seconds=round(time.monotonic() - started, 2))

    def _most_of_one(self) -> int | None:
        """With several channels one alone may not take all the room there is."""
        config = self.config
        count = len(config.channels) + len(config.robots) + len(config.gateways)
        return max(1, config.inbox.max_running * 3 // 4) if count > 1 else None

    async def _listen(self, runner: web.BaseRunner, host: str, port: int) -> int:
        # Connections end soon after their answers: drain_s is spent in the inbox.
        runner._shutdown_timeout = 0.5
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        addresses: list[Any] = runner.addresses
        return int(addresses[0][1])

    def _channel(
        self, name: str, settings: ChannelSettings, session: aiohttp.ClientSession
    ) -> Channel:
        aes, previous = settings.encoding_aes_key, settings.previous_encoding_aes_key
        codec = Codec(
            name,
            settings.token.reveal(),
            aes.reveal() if aes else None,
            previous.reveal() if previous else None,
            settings.app_id,
            settings.mode,
            self.config.inbox.freshness_s,
        )
        client = Client(
            name,
            settings.app_id,
            settings.app_secret,
            api_base=settings.api_base,
            session=session,
            tokens=self.store.tokens,
            quota=self.store.quota,
            now=self._now,
            timeout_s=settings.api_timeout_s,
            observe=lambda path, errcode: self.metrics.api_call(name, path, errcode),
            observe_token=lambda outcome: self.metrics.token_refresh(name, outcome),
        )
        return Channel(settings, codec, client, ChannelSide(client, settings.menu))

    # The conversation

    async def _converse(self, message: Message, member: Member) -> Outcome:
        assert self._texts is not None
        assert self._pushes is not None
        assert self._groups is not None
        assert self.recommendations is not None
        groups, recommendations = self._groups, self.recommendations
        channel = self.channels.get(message.channel)
        ctx = Context(
            store=self.store,
            member=member,
            texts=self._texts,
            knowledge=self.knowledge,
            business=self._business,
            wechat=Nobodys() if channel is None else channel.side,
            now=datetime.fromtimestamp(self._now(), SHANGHAI),
            reload=self.reload,
            claims=self._first_owner,
            answers=self.contents.answers,
            items=self.contents.items,
            passages=self.contents.passages,
            demoted=self.contents.demoted,
            links=self.linker,
            pushes=self._pushes,
            counts=self.metrics,
            rewards=self._rewards,
            invitations=None if channel is None else self._invitations,
            campaigns=self._outgoing.desk if self._outgoing is not None else None,
            # Only verified accounts have WeChat's customer-service desk.
            can_transfer=channel is not None and channel.settings.verified,
            channels=groups.channels,
            insights=self.insights,
            recommendations=recommendations.offered,
            suggesting=recommendations.suggesting,
        )
        if channel is None:
            ctx.said = functools.partial(groups.streams.said, message.key)
        if message.talk is None:
            done = await dispatch(self._rules, message, ctx)
        else:
            ctx.group = self.store.groups.known(message.place)
            done = await group_dialogue.converse(message, ctx, groups.speech)
        if message.event == "subscribe" and self._introductions is not None:
            self._introductions.met(message.channel, message.sender)
        return Outcome(
            done.reply,
            done.handler,
            ctx.item,
            ctx.erased,
            ctx.logged,
            tuple(ctx.then),
            tuple(ctx.aside),
            tuple(ctx.options),
        )

    async def _insights_settled(self) -> None:
        """The night's insights first: the models learn from them."""
        if self.insights is not None:
            await self.insights.settled()

    async def _tell_one(self, member_id: int | None, words: str, key: bytes) -> bool:
        """Tell one operator, or the owners; False when nobody could be."""
        assert self._pushes is not None
        if member_id is None:
            return await self._tell_owners(words, key)
        return await self._pushes.tell(key, member_id, words)

    async def _tell_owners(self, words: str, key: bytes) -> bool:
        """Tell every owner who can be written to now; False when nobody could be."""
        assert self._pushes is not None
        told = False
        for member_id in await self.store.members.owners():
            theirs = hashlib.blake2b(key, digest_size=16, key=str(member_id).encode()).digest()
            told = await self._pushes.tell(theirs, member_id, words) or told
        return told

    def _read_again(self, row: Unanswered) -> Message | None:
        channel = self.channels.get(row.channel)
        try:
            if channel is not None:
                return channel.codec.read(row.body)
            if self._groups is not None and self._groups.knows(row.channel):
                return self._groups.read_again(row)
            return None
        except BadMessage:
            return None

    def _changed_elsewhere(self) -> None:
        """`zhiqun import` or `erase` wrote while we run: believe the file, not ourselves."""
        self.store.members.forget_cache()
        self.linker.forget_cache()
        self.store.quizzes.forget_cache()
        self._stale = True
        if self.ready.is_set() and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        while self._stale:
            self._stale = False
            try:
                await self.store.groups.load()
                await self.store.talk.load()
                await self.store.signups.load()
                await self.reload()
                if self.recommendations is not None:
                    await self.recommendations.changed()
            except StoreError as error:
                if self.store.closing:
                    return
                log.error("content_not_reloaded", error=str(error))
                self._stale = True
                await asyncio.sleep(1.0)
