"""Events: follow, unfollow, scan, menu clicks, and what the platform tells us.

A click is as good as its word typed: its key goes through the same rules. Events nobody
here knows are taken and never answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
    recommend,
    referral,
    suggestions,
    support,
    topics,
)
from handlers.context import Context
from handlers.faq import feedback
from handlers.message import Message, Reply
from handlers.privacy import erase
from handlers.router import Router, Rules, dispatch

router = Router("event")

_LONGEST = 128
_MOST = 20
_COUNT = re.compile(r"\d{1,12}", re.ASCII)

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
    "recommend": "推荐",
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
        recommend.router,
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
    """Welcome a new follower, or one who is back, with an item that may be of interest.

    A QR code's scene goes into the log.
    """
    before = await referral.follow(message, ctx)
    if message.event_key:
        ctx.item = f"scene:{message.event_key[:64]}"
    # Followed already: the same event taken up again after a crash, so greet as before.
    if before and not ctx.member.followed:
        ctx.handler = "welcome.back"
        return await suggestions.welcome(message, ctx, Reply.text(ctx.texts("welcome.back")))
    ctx.handler = "welcome"
    greeting = Reply.text(ctx.texts("welcome.follow", business=ctx.business.name))
    return await suggestions.welcome(message, ctx, greeting)


@router.event("enter_chat", name="welcome")
async def enter(message: Message, ctx: Context) -> Reply:
    """The first look at a WeCom robot's chat of a day."""
    return Reply.text(ctx.texts("wecom.welcome", business=ctx.business.name))


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


@router.event("masssendjobfinish", name="report.mass")
async def mass_finished(message: Message, ctx: Context) -> Reply:
    """What became of a mass send, ours or one from WeChat's website: both used quota up."""
    raw = message.raw
    number = _word(raw, "MsgID") or _word(raw, "MsgId")
    if not number:
        return Reply.none()
    total, filtered, sent, failed = (
        _number(raw.get(name)) for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")
    )
    word = (message.channel, number, _word(raw, "Status"), (total, filtered, sent, failed), ctx.at)
    if not await ctx.store.parts.finished(*word):
        channel, number, result, counts, at = word
        await ctx.store.mass_quota.note_elsewhere(channel, number, counts, result, at)
    return Reply.none()


@router.event("templatesendjobfinish", name="report.notice")
async def notice_finished(message: Message, ctx: Context) -> Reply:
    """What became of a template message: "success", "failed:user block", "failed: system …"."""
    number = _word(message.raw, "MsgID") or _word(message.raw, "MsgId")
    status = _word(message.raw, "Status").lower()
    await ctx.store.notices.ended(
        message.channel,
        message.sender,
        number,
        arrived=not status.startswith("fail"),
        reason=_why(status),
        now=ctx.at,
    )
    return Reply.none()


@router.event("subscribe_msg_sent_event", name="report.notice")
async def subscription_sent(message: Message, ctx: Context) -> Reply:
    """What became of subscription notices, each with a number of its own."""
    for row in _rows(message, "SubscribeMsgSentEvent"):
        code = _word(row, "ErrorCode")
        await ctx.store.notices.ended(
            message.channel,
            message.sender,
            _word(row, "MsgID"),
            arrived=code in ("", "0"),
            reason=_why(_word(row, "ErrorStatus").lower()),
            now=ctx.at,
        )
    return Reply.none()


@router.event("subscribe_msg_popup_event", name="report.allowed")
async def popup_answered(message: Message, ctx: Context) -> Reply:
    """A member allowed one notice of each template they ticked; a refusal changes nothing."""
    allowed = [
        _word(row, "TemplateId")
        for row in _rows(message, "SubscribeMsgPopupEvent")
        if _word(row, "SubscribeStatusString").lower() == "accept"
    ]
    if templates := [one for one in allowed if one]:
        key = bytes.fromhex(message.key)
        await ctx.store.notices.allow(message.channel, message.sender, templates, key, ctx.at)
    return Reply.none()


@router.event("subscribe_msg_change_event", name="report.allowed")
async def notices_switched(message: Message, ctx: Context) -> Reply:
    """A member switched a template's notices off (or on) in WeChat's settings."""
    for row in _rows(message, "SubscribeMsgChangeEvent"):
        template_id, status = _word(row, "TemplateId"), _word(row, "SubscribeStatusString").lower()
        if template_id and status in ("accept", "reject"):
            on = status == "accept"
            await ctx.store.notices.switch(message.channel, message.sender, template_id, on, ctx.at)
    return Reply.none()


@router.kind("event", name="event.ignored", where="both")
async def ignore(message: Message, ctx: Context) -> Reply:
    """Customer-service sessions, published articles, what WeChat adds tomorrow."""
    return Reply.none()


def _word(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    """A count of WeChat's; None for one that is missing or is none."""
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value.strip()) else None


def _rows(message: Message, name: str) -> list[Mapping[str, Any]]:
    """The entries of an event about notices. JSON accounts get them without the outer object,
    and a single one without its list."""
    outer = message.raw.get(name)
    found = (outer if isinstance(outer, Mapping) else message.raw).get("List")
    rows = found if isinstance(found, list) else [found]
    return [row for row in rows[:_MOST] if isinstance(row, Mapping)]


def _why(status: str) -> str:
    """A failed notice in a word of the report: "failed:user block" means they refuse us."""
    if "block" in status or "refuse" in status:
        return "muted"
    return "rate" if "limit" in status else "error"
