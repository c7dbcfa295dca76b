"""Topics a member wants to hear about, and the wish to hear nothing: 订阅 and 退订.

This room only keeps the wish; sending is somebody else's business. 推荐 is a topic whatever the
operator configured, where there is a weekly letter of what fits each member. Nobody needs a tier,
or the right words, to be left alone: many wordings end it, but no question does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.tiers import refused
from store.optouts import EVERYTHING

router = Router("topics")

LETTER = "推荐"
"""The topic of who wants the weekly letter."""

_QUOTES = "「」“”\"'"
_WORDS = re.compile(
    r"\s*(?:订阅|退订|取消订阅|(?:重新|恢复)订阅|td(?=[\s:：,，]))([\s:：,，]*)(.*)",
    re.DOTALL | re.IGNORECASE,
)
_SHOWN_CHARS = 20

_ASK = "(?:请|麻烦|拜托)?(?:你们?|您)?(?:以后|今后)?(?:别|不要|请勿|勿)"
_SEND = "(?:推送|发送|群发|发|推)"
_THINGS = "(?:消息|信息|广告|推送|通知|短信|东西|内容)"
_END = "(?:了|啦)?(?:吧|哈|谢谢|好吗|行吗|好不好)?"
_OFF = (
    r"[【「\[“\"]?\s*(?:请|麻烦|帮忙?|我|给我|想|要|你好|您好|老师|回复?|谢谢|[\s,，])*[【「\[“\"]?"
    "(?:退订|退訂|退定|td|t|stop|unsubscribe|取消订阅|退订全部|全部退订|拒收(?:消息|推送|群发)?"
    "|停止推送|取消推送|关闭推送|不要推送|停止群发|取消群发)"
    r"[】」\]”\"]?(?:一下|谢谢你?们?|了|啦|吧|哈|我|[\s,，])*[】」\]”\"]?"
)
"""退订 with the manners and the marks that people put around it."""
_STOP = (
    r"(?:(?:烦死了?|好烦|太烦了?|够了|求你们?)[\s,，]*别(?:再)?(?:发|推送?)(?:了|啦)?|"
    # Something of it must be there: 别发 alone may mean anything.
    f"{_ASK}(?:再|老|总|天天|一直)*(?:打扰|骚扰|烦)我?(?:我)?{_END}|{_ASK}(?=.*(?:再|老|总|天天|一直|我|了|啦|{_THINGS}))(?:再|老|总|天天|一直)*(?:给我|跟我)?"
    f"{_SEND}我?(?:这些|这种|这类|任何|垃圾|营销)*{_THINGS}*(?:给我)?{_END}"
    f"|我?不(?:想|要|愿意?)再?(?:收到?|看到?)(?:你们的?|这些|这种|任何|垃圾|营销)*{_THINGS}{_END})"
)
_STOP_ONE = re.compile(
    f"{_ASK}(?:再|老|总)*(?:给我|跟我)?{_SEND}我?(.+?)(?:的?{_THINGS})?{_END}"
    f"|我?不(?:想|要)?再?(?:看|收|听)(.+?)(?:的?{_THINGS})?(?:了|啦)",
    re.DOTALL,
)
_POLITE = re.compile(r"(?:好吗|行吗|好不好)[?？\s]*")


def offered(ctx: Context) -> tuple[str, ...]:
    """What one may subscribe to: the operator's topics, and the letter where there is one."""
    topics = ctx.business.topics
    if not _writes(ctx) or LETTER in topics:
        return topics
    return (*topics, LETTER)


def _writes(ctx: Context) -> bool:
    """Whether there is a weekly letter."""
    return ctx.recommendations is not None and ctx.suggesting.letter


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
async def show(message: Message, ctx: Context) -> Reply | None:
    """All topics, with a mark at one's own. 订阅 of who left everything brings that back."""
    left = await ctx.store.optouts.of(ctx.member.id)
    meant = folded(message.text) != "话题" and not asking(message.text)
    if EVERYTHING in left and meant:
        return await back(message, ctx)
    if not offered(ctx):
        return Reply.text(ctx.texts("topics.none"))
    mine = await ctx.store.content.topics_of(ctx.member.id)

    def line(topic: str) -> str:
        if topic in mine:
            return ctx.texts("topics.item_subscribed", topic=topic)
        if topic in left:
            return ctx.texts("topics.item_left", topic=topic)
        return ctx.texts("topics.item", topic=topic)

    return Reply.text(ctx.texts("topics.list", topics="\n".join(map(line, offered(ctx)))))


@router.text("我的订阅")
async def own(message: Message, ctx: Context) -> Reply:
    """What this member subscribed to."""
    mine = await ctx.store.content.topics_of(ctx.member.id)
    if mine:
        return Reply.text(ctx.texts("topics.mine", topics=_listed(ctx, mine)))
    if EVERYTHING in await ctx.store.optouts.of(ctx.member.id):
        return Reply.text(ctx.texts("topics.off_already"))
    return Reply.text(ctx.texts("topics.not_subscribed_any"))


@router.text("重新订阅|恢复订阅|恢复推送|恢复接收|恢复群发|继续推送|取消退订", name="topics.on")
async def back(message: Message, ctx: Context) -> Reply:
    """Hear from us again: what was left with 退订, or else each topic that was left."""
    if (reply := refused(ctx, "topics.on")) is not None:
        return reply
    ctx.handler = "topics.on"
    if asking(message.text) or not await ctx.store.optouts.come_back(ctx.member.id):
        return Reply.text(ctx.texts("topics.not_left"))
    return Reply.text(ctx.texts("topics.back"))


@router.text("(?:重新|恢复)?订阅.+", name="topics.on")
async def subscribe(message: Message, ctx: Context) -> Reply | None:
    """订阅 X. None when it only looks like it ("订阅号是什么")."""
    typed, topic, apart = named(message.text, offered(ctx))
    if topic is None:
        return _no_such(ctx, typed) if apart else None
    if (reply := refused(ctx, "topics.on")) is not None:
        return reply
    ctx.item = f"topic:{topic}"
    new = await ctx.store.content.subscribe(ctx.member.id, topic, ctx.at)
    if new and topic == LETTER and _writes(ctx):
        return Reply.text(ctx.texts("recommend.letter_on"))
    if new:
        return Reply.text(ctx.texts("topics.subscribed", topic=topic))
    return Reply.text(ctx.texts("topics.already", topic=topic))


@router.text(_OFF, name="topics.off")
async def leave(message: Message, ctx: Context) -> Reply | None:
    """退订 alone: hear nothing any more. 退订？ is a question, and sees the topics."""
    if asking(message.text):
        return await show(message, ctx)
    return await _leave_all(ctx)


@router.text(_STOP, name="topics.off")
async def leave_in_words(message: Message, ctx: Context) -> Reply | None:
    """别再给我发消息了. None when it is asked rather than said."""
    if asking(message.text) and not _POLITE.search(message.text):
        return None
    return await _leave_all(ctx)


@router.text("(?:退订|取消订阅|td(?=[ :,])).+", name="topics.off")
async def leave_one(message: Message, ctx: Context) -> Reply | None:
    """退订 X, also a topic that the operator no longer offers. None for 退订 X？"""
    if asking(message.text):
        return None
    typed, topic, apart = named(message.text, (*offered(ctx), LETTER))
    if topic is None:
        mine = await ctx.store.content.topics_of(ctx.member.id)
        _, topic, _ = named(message.text, mine)
    if topic is None:
        return _no_such(ctx, typed) if apart else None
    return await _leave(ctx, topic)


@router.text(_STOP_ONE.pattern, name="topics.off")
async def leave_one_in_words(message: Message, ctx: Context) -> Reply | None:
    """别再发新课了. None when what follows is no topic, as in 不要发货了."""
    found = _STOP_ONE.fullmatch(folded(message.text))
    if found is None or (asking(message.text) and not _POLITE.search(message.text)):
        return None
    wanted = folded((found[1] or found[2]).strip().strip(_QUOTES))
    mine = await ctx.store.content.topics_of(ctx.member.id)
    topic = next((one for one in (*offered(ctx), *mine) if folded(one) == wanted), None)
    return None if topic is None else await _leave(ctx, topic)


async def _leave(ctx: Context, topic: str) -> Reply:
    ctx.item = f"topic:{topic}"
    if await ctx.store.optouts.leave(ctx.member.id, topic, ctx.at):
        return Reply.text(ctx.texts("topics.unsubscribed", topic=topic))
    return Reply.text(ctx.texts("topics.not_subscribed", topic=topic))


async def _leave_all(ctx: Context) -> Reply:
    ended = await ctx.store.optouts.leave_all(ctx.member.id, ctx.at)
    if ended is None:
        return Reply.text(ctx.texts("topics.off_already"))
    if not ended:
        return Reply.text(ctx.texts("topics.off_all"))
    return Reply.text(ctx.texts("topics.unsubscribed_all", count=ended))


def _no_such(ctx: Context, typed: str) -> Reply:
    topics = offered(ctx)
    if not topics:
        return Reply.text(ctx.texts("topics.none"))
    short = typed if len(typed) <= _SHOWN_CHARS else typed[: _SHOWN_CHARS - 1] + "…"
    return Reply.text(ctx.texts("topics.unknown", topic=short, topics=_listed(ctx, topics)))


def _listed(ctx: Context, topics: Iterable[str]) -> str:
    return "\n".join(ctx.texts("topics.item", topic=topic) for topic in topics)
