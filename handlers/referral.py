"""Inviting friends: a picture with one's own code, and what comes of it.

A friend counts once, at the first follow of their life on this account; everything that is
counted is decided in the store, together with the follow itself. Whether members may invite
at all is the operator's choice, and off unless they read what WeChat allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from handlers.context import SHANGHAI, ApiRefused, Context, Invitation
from handlers.message import Message, Reply
from handlers.router import Router
from store.coupons import gift_key
from store.referrals import CREDITED, SELF, Referral

router = Router("referral")


def next_rung(prizes: Sequence[tuple[int, str]], friends: int) -> tuple[int, str] | None:
    """(how many more, title) of the first prize above so many friends; None at the top."""
    return next(((rung - friends, title) for rung, title in prizes if rung > friends), None)


@router.text("邀请|邀请好友|邀请码|邀请朋友|我要邀请", name="referral.invite")
async def invite(message: Message, ctx: Context) -> Reply:
    """The member's own picture; what it is worth follows as a message of its own."""
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
    said = await _explained(ctx, made)
    if not made.media_id:
        return Reply.text("\n".join((texts("referral.link", url=made.url), *said)))
    ctx.then.append(Reply.text("\n".join(said)))
    return Reply.image(made.media_id)


async def _explained(ctx: Context, made: Invitation) -> list[str]:
    """What the invitation is worth, and until when."""
    texts = ctx.texts
    if not made.rewarded:
        return [texts("referral.counted_only")]
    until = datetime.fromtimestamp(made.ends_at, SHANGHAI).strftime("%Y-%m-%d")
    return [texts("referral.shown", until=until), *await _worth(ctx), texts("referral.see_mine")]


async def _worth(ctx: Context) -> list[str]:
    """What a friend brings: only what will come."""
    rules, texts = ctx.rewards.referral, ctx.texts
    prizes = await ctx.store.referrals.prizes(ctx.member.id, ctx.at, rules.ladder)
    lines = [texts("referral.worth_points", points=rules.points)] if rules.points else []
    lines += [texts("referral.worth_rung", friends=rung, title=title) for rung, title in prizes]
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
    none = not lines
    if none:
        lines.append(texts("referral.mine_none"))
    if ctx.invitations is None:
        return Reply.text("\n".join((*lines, texts("referral.no_way"))))
    if ctx.invitations.rewarded(message.channel):
        lines += await _worth(ctx) if none else await _next(ctx, ctx.member.id, standing.credited)
    return Reply.text("\n".join((*lines, texts("referral.mine_how"))))


async def _next(ctx: Context, inviter: int, friends: int) -> list[str]:
    """The next rung that will give something, as a line; [] for none."""
    prizes = await ctx.store.referrals.prizes(inviter, ctx.at, ctx.rewards.referral.ladder)
    above = next_rung(prizes, friends)
    if above is None:
        return []
    return [ctx.texts("referral.next_rung", missing=above[0], title=above[1])]


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
    """Tell the inviter of a credit, once, if WeChat lets us; badges it earned are given here.

    WeChat lets us push little, so friends of the same minute share one message, except who
    brings a coupon or a badge; each message says all that came of all friends so far.
    """
    if referral.inviter is None:
        return
    texts = ctx.texts
    standing = await ctx.store.referrals.standing(referral.inviter)
    badges = await ctx.store.points.honour(referral.inviter, ctx.rewards.badges, referral.at)
    lines = [
        texts("referral.progress", points=standing.points, friends=standing.credited)
        if standing.points > 0
        else texts("referral.progress_plain", friends=standing.credited)
    ]
    for rung in referral.rungs:
        if rung.coupon:
            lines.append(texts("referral.rung_given", friends=rung.friends))
        else:
            lines.append(texts("referral.rung_owed", friends=rung.friends))
    if badges:
        lines.append(texts("referral.badges", badges="、".join(badges)))
    lines += await _next(ctx, referral.inviter, standing.credited)
    name = f"referral:{referral.id}"
    if not referral.rungs and not badges:
        name = f"referral:{referral.inviter}:minute {int(referral.at // 60)}"
    await ctx.pushes.plan(gift_key(name), referral.inviter, Reply.text("\n".join(lines)))
