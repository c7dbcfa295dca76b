"""Inviting friends: a picture with one's own code, and what comes of it.

A friend counts once, at the first follow of their life on this account; everything that is
counted is decided in the store, together with the follow itself. Whether members may invite
at all is the operator's choice, and off unless they read what WeChat allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from handlers.context import SHANGHAI, ApiRefused, Context, Invitation
from handlers.message import Message, Reply
from handlers.router import Router
from store.referrals import CREDITED, SELF, Referral

router = Router("referral")


def gift_key(name: str) -> bytes:
    """The 16 bytes under which a message about this is sent once."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def next_rung(ladder: Sequence[tuple[int, str]], friends: int) -> tuple[int, str] | None:
    """(how many more, claim word) of the rung above so many friends; None at the top."""
    return next(((rung - friends, word) for rung, word in ladder if rung > friends), None)


@router.text("邀请|邀请好友|邀请码|邀请朋友|我要邀请", name="referral.invite")
async def invite(message: Message, ctx: Context) -> Reply:
    """The member's own picture; what it is worth comes as a message beside it.

    An answer is one message, so the words are a push: where WeChat lets us push none, the
    picture stands alone, and 我的邀请 says the same.
    """
    texts = ctx.texts
    if not ctx.rewards.referral.enabled:
        return Reply.text(texts("referral.off"))
    if ctx.invitations is None:
        return Reply.text(texts("referral.no_way"))
    try:
        made = await ctx.invitations.picture(ctx.member.id, message.channel, ctx.at)
    except ApiRefused:
        # Why is in the log: it is nothing that a member could mend.
        return Reply.text(texts("referral.failed"))
    if not made.media_id and not made.url:
        return Reply.text(texts("referral.no_way"))
    said = _explained(ctx, made)
    if not made.media_id:
        return Reply.text("\n".join((texts("referral.link", url=made.url), *said)))
    words = Reply.text("\n".join(said))
    await ctx.pushes.plan(gift_key(f"invite:{message.key}"), ctx.member.id, words)
    return Reply.image(made.media_id)


def _explained(ctx: Context, made: Invitation) -> list[str]:
    """What the invitation is worth, and until when."""
    texts = ctx.texts
    if not made.rewarded:
        return [texts("referral.counted_only")]
    until = datetime.fromtimestamp(made.ends_at, SHANGHAI).strftime("%Y-%m-%d")
    return [texts("referral.shown", until=until), *_worth(ctx), texts("referral.see_mine")]


def _worth(ctx: Context) -> list[str]:
    rules, texts = ctx.rewards.referral, ctx.texts
    lines = [texts("referral.worth_points", points=rules.points)] if rules.points else []
    lines += [
        texts("referral.worth_rung", friends=friends, word=word) for friends, word in rules.ladder
    ]
    if rules.stay_s and lines:
        lines.append(texts("referral.worth_stay", days=round(rules.stay_s / 86_400)))
    return lines


@router.text("我的邀请|邀请进度|邀请记录", name="referral.mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """How many came, what came of it, and what is next. Also after the end of an action."""
    texts, rules = ctx.texts, ctx.rewards.referral
    standing = await ctx.store.referrals.standing(ctx.member.id)
    lines = []
    if standing.credited:
        lines.append(
            texts("referral.mine", credited=standing.credited, points=max(0, standing.points))
        )
    if standing.held:
        lines.append(texts("referral.mine_held", held=standing.held))
    if standing.left:
        lines.append(texts("referral.mine_left", left=standing.left))
    if not rules.enabled:
        return Reply.text("\n".join((*lines, texts("referral.off"))))
    if not lines:
        lines = [texts("referral.mine_none"), *_worth(ctx)]
    elif (above := next_rung(rules.ladder, standing.credited)) is not None:
        lines.append(texts("referral.next_rung", missing=above[0], word=above[1]))
    return Reply.text("\n".join((*lines, texts("referral.mine_how"))))


# Coming and going: called by `events.py`


async def follow(message: Message, ctx: Context) -> bool:
    """Note a follow with what it means for who invited; whether they had followed before."""
    rules = ctx.rewards.referral
    followed = await ctx.store.referrals.follow(
        message.channel,
        message.sender,
        message.event_key if rules.enabled else "",
        bytes.fromhex(message.key),
        ctx.at,
        rules,
        ctx.rewards.points.ends_at(ctx.at),
    )
    if followed.referral is not None and followed.referral.status == CREDITED:
        await tell(ctx, followed.referral)
    return followed.before


async def leave(message: Message, ctx: Context) -> None:
    """Note an unfollow; a credit that is too young goes with it, also after the action's end."""
    await ctx.store.referrals.leave(message.channel, message.sender, ctx.at, ctx.rewards.referral)


async def scanned(message: Message, ctx: Context) -> Reply | None:
    """What to say to a follower who scanned an invitation; None when it was another code."""
    rules = ctx.rewards.referral
    if not rules.enabled or not message.event_key:
        return None
    found = await ctx.store.referrals.scan(
        message.channel,
        message.sender,
        message.event_key,
        bytes.fromhex(message.key),
        ctx.at,
        rules,
    )
    if not found:
        return None
    ctx.handler = "referral.scan"
    if found == SELF:
        return Reply.text(ctx.texts("referral.scan_own"))
    return Reply.text(ctx.texts("referral.scan_known"))


async def tell(ctx: Context, referral: Referral) -> None:
    """Tell the inviter of a credit, once, if WeChat lets us; badges it earned are given here."""
    if referral.inviter is None:
        return
    texts = ctx.texts
    badges = await ctx.store.points.honour(referral.inviter, ctx.rewards.badges, referral.at)
    lines = [
        texts("referral.progress", points=referral.points, friends=referral.friends)
        if referral.points
        else texts("referral.progress_plain", friends=referral.friends)
    ]
    for rung in referral.rungs:
        if rung.coupon:
            lines.append(texts("referral.rung_given", friends=rung.friends))
        else:
            lines.append(texts("referral.rung_owed", friends=rung.friends))
    if badges:
        lines.append(texts("referral.badges", badges="、".join(badges)))
    above = next_rung(ctx.rewards.referral.ladder, referral.friends)
    if above is not None:
        lines.append(texts("referral.next_rung", missing=above[0], word=above[1]))
    words = Reply.text("\n".join(lines))
    await ctx.pushes.plan(gift_key(f"referral:{referral.id}"), referral.inviter, words)
