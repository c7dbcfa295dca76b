"""Operator commands in chat: look at numbers, members and failures; claim the ownership.

What changes something lives in `changes.py` and `teaching.py`; deleting, the menu and roles ask
first. To a member who is no operator every command looks the same, so that nothing can be
probed; only /claim is open to all, and locks after five wrong codes. Members are shown by
number, and who looked at whom is in the audit.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from handlers import (
    audit_desk,
    budget_desk,
    business,
    campaign_desk,
    changes,
    coupon_desk,
    courses,
    group_desk,
    journey_desk,
    membership,
    mood_desk,
    order_desk,
    points_desk,
    quiz_desk,
    rec_desk,
    referral_desk,
    report_desk,
    segment_desk,
    signups,
    tag_desk,
    teaching,
)
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import Router, Where, folded
from store.sends import PLANNED, REFUSED, SENDING, UNKNOWN, WAITING, Listed

router = Router("operator")

CLAIM_TRIES = 5
CLAIM_LOCK_S = 86_400.0
_MAX_DAYS = 90
_GAPS_COUNTED = 1000
_SENDS_LISTED = 10
_SHOWN_CHARS = 20
_CUT_SHORT = 3

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        **dict.fromkeys((40003, 43004, 50005), "not_following"),
        **dict.fromkeys((42007, 43019, 46004, 49003), "unreachable"),
        **dict.fromkeys((40007, 40008, 40033, 44003, 44004, 45002, 45008), "content"),
    }
)
"""errcode -> the end of its text key, for what is refused for good; see `bot/errcodes.py`."""

_COMMAND = re.compile(r"\s*[/／]\s*([A-Za-zＡ-Ｚａ-ｚ]*)(.*)", re.DOTALL)

Run = Callable[[Message, Context, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """run: gets what follows the command's name, as typed. open: not only for operators.

    quiet: the log keeps the command's name only. analyst: open to analysts, too; what changes
    something in it asks `changes.read_only`. where: where it may be used.
    """

    run: Run
    open: bool = False
    quiet: bool = False
    analyst: bool = False
    where: Where = "private"

    def admits(self, ctx: Context) -> bool:
        """Whether this member may use it."""
        return self.open or ctx.is_operator() or (self.analyst and ctx.may_read())


def parsed(text: str) -> tuple[str, str]:
    """ "/FAQ  add a | b" -> ("faq", "add a | b"); ("", text) when it is no command.

    The blank may be missing: "/stats7" is ("stats", "7"), "/faqgaps" is ("faq", "gaps").
    """
    found = _COMMAND.fullmatch(text)
    if found is None:
        return "", text
    name = unicodedata.normalize("NFKC", found[1]).lower()
    known = next((one for one in COMMANDS if name.startswith(one)), name)
    return known, (found[1][len(known) :] + found[2]).strip()


# A slash and a letter: "/::)" and "/:rose" are WeChat's own emoticons.
@router.text(r"/\s*[a-z].*", where="both")
async def command(message: Message, ctx: Context) -> Reply:
    """Run the command, or say which one may be meant."""
    name, rest = parsed(message.text)
    found = COMMANDS.get(name)
    if found is None or found.quiet:
        # A claim code or an openid follows, or may: also after a misspelt command.
        ctx.logged = "/" + name[:_SHOWN_CHARS]
    if message.talk is not None and (
        found is None or found.where == "private" or not found.admits(ctx)
    ):
        ctx.handler = "operator.elsewhere"
        if ctx.may_read():
            return Reply.text(ctx.texts("group.command_private"))
        if not message.talk.addressed:  # a slash in front of chatter calls nobody
            return Reply.none()
        if name == "help":
            return Reply.text(ctx.texts("group.help"))
        return Reply.text(ctx.texts("operator.not_allowed"))
    if found is not None and found.admits(ctx):
        ctx.handler = f"operator.{name}"
        return await found.run(message, ctx, rest)
    if not ctx.is_operator():
        ctx.handler = "operator.refused"
        return Reply.text(ctx.texts("operator.not_allowed"))
    ctx.handler = "operator.unknown"
    shown = "/" + name[:_SHOWN_CHARS]
    meant = {sub: f"/faq {sub}" for sub in teaching.FAQ_COMMANDS}
    meant |= {known: f"/{known}" for known in COMMANDS}
    # What is cut short is meant sooner than what looks alike: /camp is no /claim.
    nearest = [one for one in meant if len(name) >= _CUT_SHORT and one.startswith(name)][:1]
    nearest = nearest or difflib.get_close_matches(name[:_SHOWN_CHARS], list(meant), 1, 0.5)
    if not nearest:
        return Reply.text(ctx.texts("operator.unknown_command_plain", command=shown))
    return Reply.text(
        ctx.texts("operator.unknown_command", command=shown, nearest=meant[nearest[0]])
    )


async def _help(message: Message, ctx: Context, rest: str) -> Reply:
    key = "help.operator" if ctx.is_operator() else "help.analyst"
    return Reply.text(ctx.texts(key))


async def _stats(message: Message, ctx: Context, rest: str) -> Reply:
    """/stats [days]: today, or the last days with today."""
    texts = ctx.texts
    days = changes.number_from(rest) if rest else 1
    if days is None or not 1 <= days <= _MAX_DAYS:
        return Reply.text(texts("operator.stats_usage", limit=_MAX_DAYS))
    midnight = ctx.now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = (midnight - timedelta(days=days - 1)).timestamp()
    stats = await ctx.store.interactions.stats(since)
    sends = await ctx.store.sends.counts()
    gaps = await ctx.store.content.gaps(_GAPS_COUNTED)
    shop = await ctx.store.funnel.summary(since)
    today = texts("operator.stats_today", day=ctx.today)
    return Reply.text(
        texts(
            "operator.stats",
            period=today if days == 1 else texts("operator.stats_days", days=days),
            members=stats.members,
            followers=stats.followers,
            new_followers=stats.follows,
            lost_followers=stats.unfollows,
            messages=stats.messages,
            active=stats.active,
            answered=stats.answered,
            unsure=stats.offered,
            unknown=stats.unknown,
            useful=stats.useful,
            useless=stats.useless,
            faqs=len(ctx.answers),
            items=len(ctx.items),
            gaps=f"{_GAPS_COUNTED}+" if len(gaps) == _GAPS_COUNTED else len(gaps),
            pending=sum(sends.get(status, 0) for status in (PLANNED, SENDING, WAITING)),
            failed=sends.get(REFUSED, 0) + sends.get(UNKNOWN, 0),
            exposed=shop.exposed,
            clicked=shop.clicked,
            bought=shop.bought,
            orders=shop.purchases,
            net=business.yuan(shop.net_cents),
        )
    )


async def _who(message: Message, ctx: Context, rest: str) -> Reply:
    """/who N, or /who OPENID: one member, without their words and without the openid."""
    texts = ctx.texts
    if not rest:
        return Reply.text(texts("operator.who_usage"))
    number = changes.number_from(rest)
    found = [number] if number is not None else await ctx.store.members.find(rest)
    card = await ctx.store.members.card(found[0]) if found else None
    if card is None:
        return Reply.text(texts("operator.who_not_found"))
    await changes.audited(message, ctx, "member.who", f"member:{card.id}")
    return Reply.text(
        texts(
            "operator.who_card",
            member=card.id,
            role=texts(f"operator.role_{card.role}"),
            following=texts(f"operator.following_{'yes' if card.followed else 'no'}"),
            since=_day(ctx, card.created_at),
            last_seen=_day(ctx, card.last_seen_at),
            messages=card.messages,
            topics="、".join(card.topics) or texts("operator.nothing"),
        )
    )


async def _sends(message: Message, ctx: Context, rest: str) -> Reply:
    """/sends: late answers that were refused or whose end nobody knows."""
    listed = await ctx.store.sends.listed(_SENDS_LISTED)
    if not listed:
        return Reply.text(ctx.texts("operator.sends_none"))
    counts = await ctx.store.sends.counts()
    lines = [
        ctx.texts(
            "operator.sends_item",
            number=number,
            when=datetime.fromtimestamp(send.created_at, SHANGHAI).strftime("%m-%d %H:%M"),
            reason=_reason(ctx, send),
        )
        for number, send in enumerate(listed, 1)
    ]
    total = counts.get(REFUSED, 0) + counts.get(UNKNOWN, 0)
    return Reply.text("\n".join((ctx.texts("operator.sends_head", count=total), *lines)))


def _reason(ctx: Context, send: Listed) -> str:
    """Why a send is listed, in Chinese; the log has WeChat's own words."""
    if send.status == UNKNOWN:
        return ctx.texts("operator.sends_reason_unknown")
    if send.errcode is None:
        return ctx.texts("operator.sends_reason_not_sent")
    reason = _REASONS.get(send.errcode, "refused")
    return ctx.texts(f"operator.sends_reason_{reason}", errcode=send.errcode)


async def _claim(message: Message, ctx: Context, rest: str) -> Reply:
    """/claim CODE: the one who can read the server's screen becomes owner."""
    texts, members = ctx.texts, ctx.store.members
    if ctx.member.role == "owner":
        # Also the same message again, after a crash between the claim and its answer.
        return Reply.text(texts("operator.claim_ok"))
    code = unicodedata.normalize("NFKC", rest).strip()
    if not code:
        return Reply.text(texts("operator.claim_usage"))
    locked = texts("operator.claim_locked", hours=round(CLAIM_LOCK_S / 3600))
    if await members.locked_until(ctx.member.id, "claim", ctx.at):
        return Reply.text(locked)
    by = bytes.fromhex(message.key)
    if await ctx.claims.claim(code, ctx.member.id, ctx.at, by):
        return Reply.text(texts("operator.claim_ok"))
    left = await members.wrong(
        ctx.member.id, "claim", ctx.at, by, limit=CLAIM_TRIES, lock_s=CLAIM_LOCK_S
    )
    return Reply.text(texts("operator.claim_wrong", left=left) if left else locked)


def _day(ctx: Context, at: float) -> str:
    if not at:
        return ctx.texts("operator.never")
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d")


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "help": Command(_help, analyst=True),
        "stats": Command(_stats, analyst=True),
        "teach": Command(teaching.teach),
        "faq": Command(teaching.faq),
        "funnel": Command(business.report, analyst=True),
        "link": Command(business.link),
        "docs": Command(business.documents),
        "menu": Command(changes.menu),
        "who": Command(_who, quiet=True),
        "role": Command(changes.role),
        "tier": Command(membership.tier),
        "sends": Command(_sends),
        "homework": Command(courses.homework),
        "coupon": Command(coupon_desk.coupon, quiet=True),
        "quiz": Command(quiz_desk.command),
        "journey": Command(journey_desk.journey, analyst=True),
        "referral": Command(referral_desk.command),
        "points": Command(points_desk.points),
        "segment": Command(segment_desk.command, analyst=True),
        "tag": Command(tag_desk.command, analyst=True),
        "campaign": Command(campaign_desk.campaign, analyst=True),
        "audit": Command(audit_desk.audit, analyst=True),
        "group": Command(group_desk.command, analyst=True, where="both"),
        "order": Command(order_desk.command),
        "budget": Command(budget_desk.command, analyst=True),
        "mood": Command(mood_desk.command, analyst=True),
        "report": Command(report_desk.report, analyst=True),
        "why": Command(report_desk.why, analyst=True),
        "rec": Command(rec_desk.command, analyst=True),
        "signup": Command(signups.command, analyst=True),
        "claim": Command(_claim, open=True, quiet=True),
    }
)
"""Every command by name; docs/commands.md describes each (a test compares)."""


_BARE = "|".join(name for name in COMMANDS if name != "help")


def _has_bare(message: Message, ctx: Context) -> bool:
    return COMMANDS[folded(message.text)].admits(ctx) and ctx.may_read()


@router.text(_BARE, guard=_has_bare)
async def without_slash(message: Message, ctx: Context) -> Reply:
    """stats: the command is named, not run; what has no slash is conversation."""
    return Reply.text(ctx.texts("operator.needs_slash", command=f"/{folded(message.text)}"))
