"""你可能还喜欢: one more item below an answer or a welcome, where nobody asked for it.

The answer is what was asked for, so it never waits: what is not there at once is left out. Only in
private, for what fits a member is nobody else's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from handlers.answers import kind_of, price_of
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.recommend_text import short_title
from handlers.recommending import Surface, Wish
from handlers.texts import MAX_TEXT_BYTES
from handlers.tiers import closed, locked
from store.catalogue import Item
from store.db import StoreError

PATIENCE_S = 0.15
"""How long a suggestion may take, its link included."""

_TITLE_CHARS = 4
"""Shorter titles are words that any answer may hold."""

_ABOUT = frozenset(("faq", "content"))


class Suggestion(NamedTuple):
    """item: what; url: its tracked address, "" for none."""

    item: Item
    url: str


async def also(message: Message, ctx: Context, reply: Reply) -> Reply:
    """The reply, with one more item below it when it is about an item; otherwise as it was.

    Asked once the reply is made: what it is about is in `ctx.item`.
    """
    if not ctx.suggesting.answers or message.talk is not None or reply.kind != "text":
        return reply
    item = about(ctx)
    if item is None:
        return reply
    found = await _suggest(message, ctx, "answer", Wish(near=item.id))
    if found is None or found.item.id == item.id:
        return reply
    line = ctx.texts(
        "recommend.also",
        title=found.item.title,
        kind=kind_of(ctx.texts, found.item),
        price=price_of(ctx.texts, found.item),
        url=f"\n{found.url}" if found.url else "",
    )
    return _below(reply, line)


async def welcome(message: Message, ctx: Context, reply: Reply) -> Reply:
    """The welcome, with the item that fits best below it."""
    if not ctx.suggesting.welcome or message.talk is not None or reply.kind != "text":
        return reply
    found = await _suggest(message, ctx, "welcome", Wish())
    if found is None:
        return reply
    line = ctx.texts(
        "recommend.welcome",
        title=found.item.title,
        kind=kind_of(ctx.texts, found.item),
        price=price_of(ctx.texts, found.item),
        url=f"\n{found.url}" if found.url else "",
    )
    return _below(reply, line)


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
    message: Message, ctx: Context, surface: Surface, wish: Wish
) -> Suggestion | None:
    """The best item and its link; None when there is none, or not in time."""
    if ctx.recommendations is None or closed(ctx, "recommend"):
        return None
    key = bytes.fromhex(message.key)
    try:
        async with asyncio.timeout(PATIENCE_S):
            number, picks = await ctx.recommendations.recommend(
                ctx.member.id, key, surface, 1, wish, ctx.at
            )
            item = ctx.items.get(f"item:{picks[0].item}") if picks else None
            if item is None:
                return None
            if locked(ctx, item):
                return Suggestion(item, "")
            ref = f"rec:{number}"
            return Suggestion(
                item, await ctx.links.to_item(item, ctx.member.id, "recommendation", ref)
            )
    except (TimeoutError, StoreError):
        # The answer stands without it.
        return None


def _below(reply: Reply, line: str) -> Reply:
    text = f"{reply.content}\n\n{line}"
    return reply if len(text.encode()) > MAX_TEXT_BYTES else Reply.text(text)
