"""What a OneBot gateway is made to say and do: answers, posts, and order in its groups.

All of it is text, paced by `per_minute` through the store, and never sent a second time by
itself: what left and was not answered is Unheard, what certainly did not leave is Unreachable.

Who waits for a turn waits by rank: what operators are told in private goes first, then posts, then
answers. Answers get three quarters of the minute, so that members who ask and ask leave room for
the others.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp

from bot.client import Unheard, Unreachable, WeChatError
from bot.crypto import BadMessage
from bot.gateway_line import Line
from bot.group_settings import GatewaySettings
from bot.onebot import decode
from bot.onebot_actions import (
    QUOTE_FAULTS,
    Action,
    Answer,
    GatewayRefused,
    answer_of,
    delete_message,
    kick,
    message_id_of,
    post_texts,
    reply_texts,
    send_message,
    silence,
)
from handlers.message import Reply
from store import StoreError
from store.paces import Taken
from store.posts import Post
from store.sends import Send

SAID_CHARS = 300
"""Of each of them: a list is known by the first of its lines."""

REMEMBERED = 2000
"""Messages of ours whose ids are known, so that who quotes them speaks to the bot."""

_ANSWER_BYTES = 1 << 20
_NEVER_LEFT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_NO_SEGMENT = 10005
_HTTP_CODES = {400: 1400, 401: 1401, 403: 1403, 404: 1404, 406: 1400, 415: 1400, 429: 36000}
"""A status that stands for an answer -> the retcode that OneBot 11 has for it."""


class Paces(Protocol):
    """`store.paces.Paces`."""

    async def take(self, name: str, want: int, per_minute: float, burst: int, now: float) -> Taken:
        """Tokens of a bucket that all processes share."""


class Manners(Protocol):
    """Who goes first, and where nothing is said: `bot/group_side.py`. No database."""

    def is_operator(self, user: str) -> bool:
        """Whether they are, as far as is known."""

    def hushed(self, group: str, user: str) -> str:
        """Why nothing may be said in a group now to that user ("" for a post); "" when it may."""


class _NoManners:
    """Of a voice that nobody told anything."""

    def is_operator(self, user: str) -> bool:
        """Nobody is."""
        return False

    def hushed(self, group: str, user: str) -> str:
        """Everything may be said."""
        return ""


_OPERATOR, _POST, _ANSWER = range(3)
"""Ranks, by who goes first."""


class _Queue:
    """Who waits for the next turn: by rank, then by who came first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int]] = []
        self._numbers = itertools.count()
        self._moved = asyncio.Event()

    def join(self, rank: int) -> tuple[int, int]:
        """Stand in line; gives the ticket."""
        ticket = (rank, next(self._numbers))
        self._waiting.append(ticket)
        self._wake()
        return ticket

    def leave(self, ticket: tuple[int, int]) -> None:
        """Had a turn, or waits no more."""
        self._waiting.remove(ticket)
        self._wake()

    def first(self, ticket: tuple[int, int]) -> bool:
        """Whether it is this one's turn."""
        return min(self._waiting) == ticket

    async def moved(self, seconds: float | None = None) -> None:
        """Wait until somebody joined or left, so long at most."""
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            pass

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class Voice:
    """How one gateway speaks: a Carrier, a Poster, and who may remove or silence members.

    line: where actions leave, None when the gateway is not connected. version: 12 or 11, as the
    gateway showed last. session: for `api_url`. now: Unix seconds. patience_s: how long a message
    waits for its turn. manners: set by who knows members and groups.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        line: Callable[[], Line | None],
        paces: Paces,
        session: aiohttp.ClientSession,
        now: Callable[[], float],
        patience_s: float,
    ) -> None:
        self.version = 12
        self.quotes = True
        self.channel = settings.channel
        self._settings = settings
        self._line = line
        self._paces = paces
        self._session = session
        self._now = now
        self._patience_s = patience_s
        self.manners: Manners = _NoManners()
        # Together at most `per_minute` in any minute: many at once look like a machine.
        self._burst = max(1, settings.per_minute // 4)
        self._per_minute = max(settings.per_minute - self._burst, 0.5)
        # Of that, answers get three quarters.
        self._answers_burst = max(1, self._burst * 3 // 4)
        self._answers_per_minute = max(settings.per_minute * 0.75 - self._answers_burst, 0.5)
        self._answer_paid = False
        self._queue = _Queue()
        self._ours: OrderedDict[tuple[str, str], str] = OrderedDict()

    def said(self, group: str, message_id: str) -> str:
        """What the bot sent to that group under this id, as far as it remembers; "" for nothing."""
        return self._ours.get((group, message_id), "")

    async def carry(self, send: Send, reply: Reply) -> None:
        """Send an answer to its group, quoting the question and naming who asked, or in private.

        Errors: WeChatError (Unreachable: it did not leave; Unheard: nobody knows, or only a part
        of it left), ValueError when the reply has no words.
        """
        texts = reply_texts(reply)
        group = send.place.removeprefix(f"{self.channel}:")
        is_operator = self.manners.is_operator(send.external_id)
        await self._say(
            texts,
            rank=_ANSWER if not is_operator else _POST if group else _OPERATOR,
            group=group,
            user=send.external_id,
            quote=send.quote,
            mentions=(send.external_id,) if group else (),
        )

    async def post(self, group: str, post: Post) -> str:
        """Post into a group; the message's id, "" where the gateway names none.

        Errors: as `carry`.
        """
        texts = post_texts(post)
        mentions = [one for one in post.mentions if not one.startswith("tel:")]
        return await self._say(
            texts, rank=_POST, group=group, user="", quote=post.quote, mentions=mentions
        )

    async def kick(self, group: str, user: str) -> None:
        """Remove a member from a group. Errors: WeChatError; GatewayRefused where it cannot."""
        await self._act(kick(self.version, group, user))

    async def silence(self, group: str, user: str, seconds: int) -> None:
        """Let a member say nothing for so long, 0 ends it. Errors: as `kick`."""
        await self._act(silence(self.version, group, user, seconds))

    async def recall(self, message_id: str) -> None:
        """Take one of our messages back. Errors: as `kick`."""
        await self._act(delete_message(self.version, message_id))

    async def _say(
        self,
        texts: Sequence[str],
        *,
        rank: int,
        group: str,
        user: str,
        quote: str,
        mentions: Sequence[str],
    ) -> str:
        """The texts, one message each; only the first quotes and mentions. Gives its id."""
        first = ""
        for number, text in enumerate(texts):
            try:
                await self._pace(rank)
                # It may have been muted while this waited; who asked for this asks again then.
                if group and (why := self.manners.hushed(group, user)):
                    raise Unreachable("send_message", why)
                if number == 0:
                    first = await self._send(text, group, user, quote, mentions)
                else:
                    await self._send(text, group, user, "", ())
            except Unheard:
                raise
            except WeChatError as error:
                if number == 0:
                    raise
                # Sending it all again would say the first part twice.
                part = f"{number} of {len(texts)} parts left, then: {error}"
                raise Unheard(error.api, part) from error
        return first

    async def _send(
        self, text: str, group: str, user: str, quote: str, mentions: Sequence[str]
    ) -> str:
        quote = quote if self.quotes else ""

        async def sent(quote: str) -> str:
            return await self._act(
                send_message(
                    self.version, text, group=group, user=user, quote=quote, mentions=mentions
                )
            )

        try:
            message_id = await sent(quote)
        except GatewayRefused as error:
            if not quote or error.errcode not in QUOTE_FAULTS:
                raise
            # Certainly not done, and the words matter more than the quote.
            message_id = await sent("")
            self.quotes = error.errcode != _NO_SEGMENT
        if group and message_id:
            self._ours[group, message_id] = text[:SAID_CHARS]
            while len(self._ours) > REMEMBERED:
                self._ours.popitem(last=False)
        return message_id

    async def _pace(self, rank: int) -> None:
        """Wait for the turn of one message. Errors: Unreachable when that takes too long."""
        api = "send_message"
        ticket = self._queue.join(rank)
        try:
            async with asyncio.timeout(self._patience_s):
                while True:
                    wait_s: float | None = None
                    if self._queue.first(ticket):
                        wait_s = await self._take(rank)
                        if wait_s == 0.0:
                            return
                    await self._queue.moved(wait_s)
        except TimeoutError:
            fault = Unreachable(api, "too many messages for one minute", "raise per_minute or wait")
        except StoreError as error:
            fault = Unreachable(api, f"the store failed ({error})", "see the store's own errors")
        finally:
            self._queue.leave(ticket)
        raise fault

    async def _take(self, rank: int) -> float:
        """Take what one message costs: 0.0 when it may go, else when to ask again, in seconds."""
        now, name = self._now(), f"gateway:{self.channel}"
        if rank == _ANSWER and not self._answer_paid:
            of_answers = await self._paces.take(
                f"{name}:answers", 1, self._answers_per_minute, self._answers_burst, now
            )
            if not of_answers.count:
                return min(5.0, max(0.01, of_answers.again_at - now))
            self._answer_paid = True  # kept for the next answer if this one gives up
        taken = await self._paces.take(name, 1, self._per_minute, self._burst, now)
        if not taken.count:
            return min(5.0, max(0.01, taken.again_at - now))
        if rank == _ANSWER:
            self._answer_paid = False
        return 0.0

    async def _act(self, action: Action) -> str:
        """Ask for an action; the message_id in its answer. Errors: WeChatError."""
        if self._settings.api_url:
            return message_id_of(action.name, await self._exchange(action))
        if (line := self._line()) is None:
            raise Unreachable(
                action.name,
                "the gateway is not connected",
                f"start it, and let it connect to /hook/{self.channel}",
            )
        return message_id_of(action.name, await line.act(action, self._settings.api_timeout_s))

    async def _exchange(self, action: Action) -> Answer:
        """Ask by HTTP. Errors: Unreachable, Unheard, GatewayRefused by status."""
        url, name = self._settings.api_url.rstrip("/"), action.name
        body: Mapping[str, Any] = {"action": name, "params": action.params}
        if self.version == 11:
            url, body = f"{url}/{name}", action.params
        if self._session.closed:
            raise Unreachable(name, "zhiqun is shutting down")
        total = self._settings.api_timeout_s
        raw = bytearray()
        fault: WeChatError
        try:
            async with self._session.post(
                url,
                data=json.dumps(body, ensure_ascii=False).encode(),
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {self._settings.access_token.reveal()}",
                },
                timeout=aiohttp.ClientTimeout(total=total, connect=total / 2),
                allow_redirects=False,  # nobody else gets the token
            ) as response:
                status = response.status
                async for chunk in response.content.iter_chunked(65536):
                    raw += chunk
                    if len(raw) > _ANSWER_BYTES:
                        raise Unheard(name, f"the answer is over {_ANSWER_BYTES} bytes")
            return _answered(name, status, bytes(raw))
        except _NEVER_LEFT as error:
            fault = Unreachable(name, type(error).__name__, "check api_url, and the gateway")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fault = Unheard(name, f"no answer ({type(error).__name__})")
        # Raised out here: aiohttp's errors hold the URL and must not hang on ours as context.
        raise fault


def _answered(action: str, status: int, raw: bytes) -> Answer:
    if status in _HTTP_CODES:
        raise GatewayRefused(action, _HTTP_CODES[status])
    if 300 <= status < 500:
        raise Unreachable(action, f"HTTP {status} that is no gateway's", "check api_url")
    try:
        answer = answer_of(decode(raw)) if status < 300 else None
    except BadMessage:
        answer = None
    if answer is None:
        raise Unheard(action, f"HTTP {status} with an answer that is none")
    return answer
