"""What we know of you; forget me.

Forgetting asks once, then removes the person wholly. The audit keeps that it happened,
under a number that means nobody any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from handlers.choices import WINDOW_S
from handlers.consent import decision, profiled
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Option, Reply
from handlers.router import Router, asking

router = Router("privacy")

FORGET = "forget"
"""The state that waits for 确认忘记."""


@router.text("我的数据|我的资料", name="privacy.data")
async def show(message: Message, ctx: Context) -> Reply:
    """What is kept about this member, in numbers."""
    card = await ctx.store.members.card(ctx.member.id)
    if card is None:  # erased in this very moment by the operator
        return Reply.text(ctx.texts("privacy.forget_done"))
    kept = await ctx.store.profiles.kept(card.id)
    return Reply.text(
        ctx.texts(
            "privacy.data",
            member=card.id,
            role=ctx.texts(f"operator.role_{card.role}"),
            since=datetime.fromtimestamp(card.created_at, SHANGHAI).strftime("%Y-%m-%d"),
            messages=card.messages,
            courses=kept.courses,
            homework=kept.homework,
            reminders=kept.reminders,
            events=kept.events,
            votes=kept.votes,
            tags=kept.tags,
            coupons=kept.coupons,
            points=kept.points,
            checkins=kept.checkins,
            quizzes=kept.quizzes,
            invited=kept.invited,
            topics="、".join(card.topics) or ctx.texts("privacy.no_topics"),
            groups="\n".join(
                filter(None, (await _in_groups(ctx), await _analysed(ctx), await _unwanted(ctx)))
            ),
            ids=_ids(message, ctx, card.channels),
        )
    )


async def _in_groups(ctx: Context) -> str:
    """What groups know of them, in numbers."""
    kept = await ctx.store.talk.kept(ctx.member.id)
    if ctx.store.talk.unrecorded(ctx.member.id):
        return ctx.texts("privacy.groups_unrecorded", signups=kept.signups)
    return ctx.texts("privacy.groups", turns=kept.turns, people=kept.people, signups=kept.signups)


async def _analysed(ctx: Context) -> str:
    """Whether anything is concluded about them."""
    return ctx.texts("consent.data_on" if await profiled(ctx) else "consent.data_off")


async def _unwanted(ctx: Context) -> str:
    """How much they want nothing more of; "" for nothing."""
    count = len(await ctx.store.recommendations.disliked(ctx.member.id))
    return ctx.texts("recommend.data", count=count) if count else ""


def _ids(message: Message, ctx: Context, channels: Sequence[str]) -> str:
    """What they are known by: on this channel, and whether on others, too."""
    if message.source == "wecom":
        ids = ctx.texts("privacy.ids_wecom")
    elif message.source == "onebot":
        ids = ctx.texts("privacy.ids_onebot")
    else:
        ids = ctx.texts("privacy.ids_official")
    more = any(one != message.channel for one in channels)
    return ctx.texts("privacy.ids_more", ids=ids) if more else ids


@router.text("忘记我|删除我的数据|注销", name="privacy.ask")
async def ask(message: Message, ctx: Context) -> Reply:
    """Say what will go, and wait ten minutes for the confirmation."""
    await ctx.store.members.set_state(ctx.member.id, FORGET, True, ctx.at + WINDOW_S)
    ctx.options[:] = [Option("确认忘记", "确认忘记"), Option("退出", "退出")]
    return Reply.text(_what_goes(ctx))


def _what_goes(ctx: Context) -> str:
    text = ctx.texts("privacy.forget_ask")
    if ctx.member.role != "member":
        text = f"{text}\n{ctx.texts('privacy.forget_ask_role')}"
    return text


@router.text("确认忘记", name="privacy.forget")
async def forget(message: Message, ctx: Context) -> Reply:
    """Remove the member wholly.

    `fresh`: nobody we know, so either it was done and the process died before the answer,
    or there never was anything; in both cases "forgotten" is the truth. 确认忘记？ is a
    question: it hears once more what will go.
    """
    asked = await ctx.store.members.state(ctx.member.id, FORGET, ctx.at)
    if not asked and not ctx.member.fresh:
        return Reply.text(ctx.texts("privacy.forget_nothing"))
    if asking(message.text):
        return Reply.text(_what_goes(ctx))
    unrecorded = ctx.store.talk.unrecorded(ctx.member.id)
    decided = await decision(ctx)
    await erase(ctx, ctx.member.id, "member.forget", keep_key=bytes.fromhex(message.key))
    done = ctx.texts("privacy.forget_done")
    if unrecorded:
        done = ctx.texts("privacy.forget_done_unrecorded", done=done)
    if decided is not None and not decided.granted:
        done = ctx.texts("consent.still", done=done)
    return Reply.text(done)


@router.text("确认(?:删除|注销)?", name="privacy.forget")
async def half_confirmed(message: Message, ctx: Context) -> Reply | None:
    """确认 alone erases nobody, but who was asked hears the right word. None for all others.

    Operators use 确认 for their commands, too: theirs goes on.
    """
    if ctx.is_operator():
        return None
    asked = await ctx.store.members.state(ctx.member.id, FORGET, ctx.at)
    return Reply.text(ctx.texts("privacy.forget_word")) if asked else None


async def erase(ctx: Context, member_id: int, action: str, keep_key: bytes) -> None:
    """Forget a member and write it down. keep_key: the message that asked for it.

    The audit row comes first: rather one too many than an erasure nobody knows of.
    """
    who = f"member:{member_id}"
    await ctx.store.audit.add(ctx.at, who, action, who)
    await ctx.store.members.erase(member_id, ctx.at, keep_key=keep_key)
    if member_id == ctx.member.id:
        ctx.erased = True
