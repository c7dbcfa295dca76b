"""Topics a member wants to hear about: subscribe, unsubscribe, see one's own.

This room only keeps the wish; sending is somebody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.tiers import refused

router = Router("topics")

_QUOTES = "「」“”\"'"
_WORDS = re.compile(r"\s*(?:订阅|退订|取消订阅)([\s:：,，]*)(.*)", re.DOTALL)
_SHOWN_CHARS = 20


def named(text: str, topics: Iterable[str]) -> tuple[str, str | None, bool]:
    """What a "订阅 X" names: (X as typed, the topic it is or None, whether it stood apart).

    Case and width of letters don't matter. "订阅号是什么" names nothing and stands close:
    a question.
    """
    found = _WORDS.fullmatch(text)
    if found is None:
        return "", None, False
    apart, rest = found[1] != "", found[2].strip().strip(_QUOTES)
    wanted = folded(rest)
    topic = next((topic for topic in topics if folded(topic) == wanted), None)
    return rest, topic, apart or found[2][:1] in tuple(_QUOTES)


@router.text("订阅|话题|我要订阅")
async def show(message: Message, ctx: Context) -> Reply:
    """All topics, with a mark at one's own."""
    if not ctx.business.topics:
        return Reply.text(ctx.texts("topics.none"))
    mine = await ctx.store.content.topics_of(ctx.member.id)
    lines = [
        ctx.texts("topics.item_subscribed", topic=topic)
        if topic in mine
        else ctx.texts("topics.item", topic=topic)
        for topic in ctx.business.topics
    ]
    return Reply.text(ctx.texts("topics.list", topics="\n".join(lines)))


@router.text("我的订阅")
async def own(message: Message, ctx: Context) -> Reply:
    """What this member subscribed to."""
    mine = await ctx.store.content.topics_of(ctx.member.id)
    if not mine:
        return Reply.text(ctx.texts("topics.not_subscribed_any"))
    return Reply.text(ctx.texts("topics.mine", topics=_listed(ctx, mine)))


@router.text("订阅.+", name="topics.on")
async def subscribe(message: Message, ctx: Context) -> Reply | None:
    """订阅 X. None when it only looks like it ("订阅号是什么")."""
    typed, topic, apart = named(message.text, ctx.business.topics)
    if topic is None:
        return _no_such(ctx, typed) if apart else None
    if (reply := refused(ctx, "topics.on")) is not None:
        return reply
    ctx.item = f"topic:{topic}"
    if await ctx.store.content.subscribe(ctx.member.id, topic, ctx.at):
        return Reply.text(ctx.texts("topics.subscribed", topic=topic))
    return Reply.text(ctx.texts("topics.already", topic=topic))


@router.text("退订|取消订阅|退订全部", name="topics.off")
async def unsubscribe_all(message: Message, ctx: Context) -> Reply | None:
    """退订 alone: hear nothing any more. 退订？ is a question, and sees the topics."""
    if asking(message.text):
        return await show(message, ctx)
    if (reply := refused(ctx, "topics.off")) is not None:
        return reply
    mine = await ctx.store.content.topics_of(ctx.member.id)
    for topic in mine:
        await ctx.store.content.unsubscribe(ctx.member.id, topic)
    if not mine:
        return Reply.text(ctx.texts("topics.not_subscribed_any"))
    return Reply.text(ctx.texts("topics.unsubscribed_all", count=len(mine)))


@router.text("(?:退订|取消订阅).+", name="topics.off")
async def unsubscribe(message: Message, ctx: Context) -> Reply | None:
    """退订 X, also a topic that the operator no longer offers. None for 退订 X？"""
    if asking(message.text):
        return None
    typed, topic, apart = named(message.text, ctx.business.topics)
    if topic is None:
        mine = await ctx.store.content.topics_of(ctx.member.id)
        _, topic, _ = named(message.text, mine)
    if topic is None:
        return _no_such(ctx, typed) if apart else None
    if (reply := refused(ctx, "topics.off")) is not None:
        return reply
    ctx.item = f"topic:{topic}"
    if await ctx.store.content.unsubscribe(ctx.member.id, topic):
        return Reply.text(ctx.texts("topics.unsubscribed", topic=topic))
    return Reply.text(ctx.texts("topics.not_subscribed", topic=topic))


def _no_such(ctx: Context, typed: str) -> Reply:
    topics = ctx.business.topics
    if not topics:
        return Reply.text(ctx.texts("topics.none"))
    short = typed if len(typed) <= _SHOWN_CHARS else typed[: _SHOWN_CHARS - 1] + "…"
    return Reply.text(ctx.texts("topics.unknown", topic=short, topics=_listed(ctx, topics)))


def _listed(ctx: Context, topics: Iterable[str]) -> str:
    return "\n".join(ctx.texts("topics.item", topic=topic) for topic in topics)
