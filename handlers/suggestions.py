"""你可能还喜欢: one more item below an answer or a welcome, where nobody asked for it.

The answer is what was asked for, so it never waits: what is not there at once is left out. What is
written down as shown is what really stands there, for rankers are judged by it. Only in private,
for what fits a member is nobody else's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from handlers.answers import kind_of, price_of
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.recommend_text import short_title
from handlers.recommending import Offer, Pick, Recommendations, Surface, Wish
from handlers.texts import MAX_TEXT_BYTES
from handlers.tiers import closed, locked
from store.catalogue import Item
from store.db import StoreError

PATIENCE_S = 0.15
"""How long it may take to find one."""
WRITE_S = 0.3
"""How long it may take to write down that it is shown, and to make its link."""

_TITLE_CHARS = 4
"""Shorter titles are words that any answer may hold."""

_ABOUT = frozenset(("faq", "content"))


Line = Callable[[Item, str], str]
"""What is said of an item; the address, "" for none."""

_taking_back: set[asyncio.Task[None]] = set()


async def also(message: Message, ctx: Context, reply: Reply) -> Reply:
    """The reply, with one more item below it when it is about an item; otherwise as it was.

    Asked once the reply is made: what it is about is in `ctx.item`.
    """
    if not ctx.suggesting.answers or message.talk is not None or reply.kind != "text":
        return reply
    item = about(ctx)
    if item is None:
        return reply

    def line(found: Item, url: str) -> str:
        return ctx.texts(
            "recommend.also",
            title=found.title,
            kind=kind_of(ctx.texts, found),
            price=price_of(ctx.texts, found),
            url=f"\n{url}" if url else "",
        )

    return await _suggest(message, ctx, reply, "answer", Wish(near=item.id), line)


async def welcome(message: Message, ctx: Context, reply: Reply) -> Reply:
    """The welcome, with the item that fits best below it."""
    if not ctx.suggesting.welcome or message.talk is not None or reply.kind != "text":
        return reply

    def line(found: Item, url: str) -> str:
        return ctx.texts(
            "recommend.welcome",
            title=found.title,
            kind=kind_of(ctx.texts, found),
            price=price_of(ctx.texts, found),
            url=f"\n{url}" if url else "",
        )

    return await _suggest(message, ctx, reply, "welcome", Wish(), line)


def about(ctx: Context) -> Item | None:
    """The item that an answer shows or names; None for an answer about none.

    A FAQ entry is about the first item whose address or title it holds.
    """
    if ctx.handler not in _ABOUT:
        return None
    if ctx.item in ctx.items:
        return ctx.items[ctx.item]
    answer = ctx.answers.get(ctx.item, "")
    if not answer:
        return None
    return _NAMED.of(answer, ctx.items)


class _Named:
    """Which item each answer names, remembered until the catalogue is another one.

    A catalogue of thousands is not looked through for each answer.
    """

    def __init__(self) -> None:
        self._items: Mapping[str, Item] = {}
        self._found: dict[str, Item | None] = {}

    def of(self, answer: str, items: Mapping[str, Item]) -> Item | None:
        """The first item whose address or title is in it; None for none."""
        if items is not self._items:
            self._items, self._found = items, {}
        if answer not in self._found:
            self._found[answer] = next((one for one in items.values() if _names(answer, one)), None)
        return self._found[answer]


_NAMED = _Named()


def _names(answer: str, item: Item) -> bool:
    title = short_title(item)
    return (item.url != "" and item.url in answer) or (
        len(title) >= _TITLE_CHARS and title in answer
    )


async def _suggest(
    message: Message, ctx: Context, reply: Reply, surface: Surface, wish: Wish, line: Line
) -> Reply:
    """The reply with the best item below it; as it was when there is none, or not in time."""
    service = ctx.recommendations
    if service is None or closed(ctx, "recommend"):
        return reply
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await service.offer(
                *(ctx.member.id, bytes.fromhex(message.key), surface, 1, wish, ctx.at), hurry=True
            )
    except (TimeoutError, StoreError):
        # The answer stands without it.
        return reply
    item = ctx.items.get(f"item:{found.picks[0].item}") if found.picks else None
    if item is None or item.id == wish.near or _below(reply, line(item, "")) is reply:
        return reply
    number = await _written(service, found)
    if not number:
        return reply
    said = await _linked(ctx, reply, item, number, line)
    if said is reply:
        await _take_back(service, number)
    return said


async def _written(service: Recommendations, found: Offer) -> int:
    """The number of the list, written down as shown; 0 when that failed or took too long."""
    writing = asyncio.create_task(service.shown(found))
    try:
        async with asyncio.timeout(WRITE_S):
            number, picks = await asyncio.shield(writing)
    except TimeoutError:
        # What is handed to the store is written in the end.
        late = asyncio.create_task(_take_back_late(service, writing))
        _taking_back.add(late)
        late.add_done_callback(_taking_back.discard)
        return 0
    except StoreError:
        return 0
    return number if picks == found.picks else 0


async def _linked(ctx: Context, reply: Reply, item: Item, number: int, line: Line) -> Reply:
    """The reply with the item and its link; as it was when it is too long, or not in time."""
    if locked(ctx, item):
        return _below(reply, line(item, ""))
    try:
        async with asyncio.timeout(WRITE_S):
            ref = f"rec:{number}"
            url = await ctx.links.to_item(item, ctx.member.id, "recommendation", ref)
    except (TimeoutError, StoreError):
        return reply
    return _below(reply, line(item, url))


async def _take_back(service: Recommendations, number: int) -> None:
    with suppress(StoreError):
        await service.take_back(number)


async def _take_back_late(
    service: Recommendations, writing: asyncio.Task[tuple[int, tuple[Pick, ...]]]
) -> None:
    with suppress(StoreError):
        number, _ = await writing
        await service.take_back(number)


def _below(reply: Reply, line: str) -> Reply:
    text = f"{reply.content}\n\n{line}"
    return reply if len(text.encode()) > MAX_TEXT_BYTES else Reply.text(text)
