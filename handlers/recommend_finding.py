"""Which items a wish means, and which of them may be shown: by the catalogue alone.

Nobody's taste is in it; the order is the catalogue's, what most look at first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from handlers.answers import kind_of
from handlers.content import containing
from handlers.context import Context
from handlers.recommend_words import Asked
from handlers.router import folded
from handlers.tiers import locked

_COVERED = 0.75
"""How much of a topic an item must cover; see `handlers/faq.py`."""

_HITS = 6
_BOOKS = "书"
_BEGINNERS = frozenset(("新手", "小白", "零基础", "初学者", "初学", "入门", "新人", "没基础"))
_FIRST_LEVELS = frozenset(("入门", "零基础", "初级", "新手", "基础", "初阶", "小白"))


def found(ctx: Context, topic: str, *, loosely: bool) -> list[str]:
    """The items of a topic, in the order of the catalogue: kind, tag, teacher, title.

    Beginners (新手, 零基础) mean a level, whatever it is called. loosely: also those whose summary
    and chapters speak of it, and what the index thinks alike.
    """
    wanted = folded(topic)
    kinds = {
        thing
        for thing, item in ctx.items.items()
        if wanted == folded(kind_of(ctx.texts, item)) or (wanted == _BOOKS and item.kind == "ebook")
    }
    if kinds:
        return [thing for thing in ctx.items if thing in kinds]
    if len(wanted) < 2:
        return []
    strong, weak = containing(ctx.items.items(), wanted)
    if wanted in _BEGINNERS:
        of_level = {
            thing for thing, item in ctx.items.items() if folded(item.level) in _FIRST_LEVELS
        }
        strong = [thing for thing in ctx.items if thing in {*strong, *of_level}]
    if strong or not loosely:
        return strong
    hits = [hit.id for hit in ctx.knowledge.find(topic, _HITS) if hit.score >= _COVERED]
    return [thing for thing in ctx.items if thing in {*weak, *hits}]


def open_to(ctx: Context, wish: Asked, among: Collection[str]) -> list[str]:
    """What may be shown to this member, or to a group, of a wish."""
    return [
        thing
        for thing, item in ctx.items.items()
        if (not wish.topic or thing in among)
        and wish.price.holds(item.price_cents)
        and item.available(ctx.at)
        and not locked(ctx, item)
    ]


async def left(
    ctx: Context, wish: Asked, among: Collection[str], without: Collection[str]
) -> list[str]:
    """What a member may be shown that they neither have nor refused, without these things."""
    unwanted = {one.item_id for one in await ctx.store.courses.learning(ctx.member.id)}
    unwanted.update(await ctx.store.recommendations.disliked(ctx.member.id))
    return [
        thing
        for thing in open_to(ctx, wish, among)
        if thing not in without and ctx.items[thing].id not in unwanted
    ]


def cheapest(ctx: Context, things: Sequence[str]) -> list[str]:
    """The same things, the cheapest first; equal ones in their order."""
    return sorted(things, key=lambda thing: ctx.items[thing].price_cents)
