"""Events: follow, unfollow, scan, menu clicks, and what the platform tells us.

A click is as good as its word typed: its key goes through the same rules. Events nobody
here knows are taken and never answered.
"""

from __future__ import annotations

from dataclasses import replace

from handlers import (
    choices,
    content,
    coupons,
    courses,
    followups,
    help,
    membership,
    points,
    privacy,
    quiz,
    rankings,
    referral,
    support,
    topics,
)
from handlers.context import Context
from handlers.faq import feedback
from handlers.message import Message, Reply
from handlers.privacy import erase
from handlers.router import Router, Rules, dispatch

router = Router("event")

KEYS = {
    "courses": "课程",
    "latest": "最新",
    "tags": "分类",
    "search": "搜索",
    "topics": "订阅",
    "mycourses": "我的课程",
    "coupons": "领券",
    "mycoupons": "我的券",
    "checkin": "签到",
    "points": "我的积分",
    "ranking": "排行榜",
    "help": "帮助",
    "human": "转人工",
    "mydata": "我的数据",
    "quiz": "答题",
    "membership": "我的会员",
    "invite": "邀请好友",
    "more": "继续",
}
"""Short names for menu keys; any word a member may type works as a key, too."""

_WORDS = Rules(
    (
        privacy.router,
        help.router,
        choices.router,
        support.rest,
        points.router,
        rankings.router,
        membership.router,
        coupons.router,
        courses.router,
        quiz.router,
        referral.router,
        followups.router,
        topics.router,
        content.router,
        support.human,
        feedback,
    )
)
"""What a menu button can do: all a member can say, but no commands and no free questions."""


@router.event("subscribe")
async def follow(message: Message, ctx: Context) -> Reply:
    """Welcome a new follower, or one who is back. A QR code's scene goes into the log."""
    before = await referral.follow(message, ctx)
    if message.event_key:
        ctx.item = f"scene:{message.event_key[:64]}"
    # Followed already: the same event taken up again after a crash, so greet as before.
    if before and not ctx.member.followed:
        ctx.handler = "welcome.back"
        return Reply.text(ctx.texts("welcome.back"))
    ctx.handler = "welcome"
    return Reply.text(ctx.texts("welcome.follow", business=ctx.business.name))


@router.event("unsubscribe", name="unfollow")
async def unfollow(message: Message, ctx: Context) -> Reply:
    """Note it; nobody is there to read an answer."""
    await referral.leave(message, ctx)
    return Reply.none()


@router.event("scan", name="scan")
async def scan(message: Message, ctx: Context) -> Reply:
    """A follower scanned one of our QR codes."""
    if message.event_key:
        ctx.item = f"scene:{message.event_key[:64]}"
    invited = await referral.scanned(message, ctx)
    return invited if invited is not None else Reply.text(ctx.texts("welcome.scan"))


@router.event("click", "scancode_waitmsg", name="menu")
async def click(message: Message, ctx: Context) -> Reply:
    """Do what the button's key stands for. After scancode_waitmsg the chat waits for a word."""
    key = message.event_key.strip()
    typed = replace(message, kind="text", event="", event_key="", text=KEYS.get(key.lower(), key))
    outcome = await dispatch(_WORDS, typed, ctx)
    if outcome.handler == "none":
        return Reply.text(ctx.texts("menu.unknown"))
    ctx.handler = outcome.handler
    return outcome.reply


@router.event("user_authorization_revoke", "user_authorization_cancellation", name="revoked")
async def revoked(message: Message, ctx: Context) -> Reply:
    """The user withdrew consent or closed their WeChat account: forget them.

    The event's OpenID names them, on this channel. Without one nobody is forgotten: the
    sender may be the platform itself.
    """
    openid = message.raw.get("OpenID")
    if not isinstance(openid, str) or not openid:
        return Reply.none()
    for member_id in await ctx.store.members.find(openid, message.channel):
        await erase(ctx, member_id, "member.revoked", keep_key=bytes.fromhex(message.key))
    return Reply.none()


@router.kind("event", name="event.ignored")
async def ignore(message: Message, ctx: Context) -> Reply:
    """Customer-service sessions, finished mass sends, what WeChat adds tomorrow."""
    return Reply.none()
