"""What operators see of groups: the list, one group's card, its state. Changes nothing."""

from __future__ import annotations

import math
from datetime import datetime

from handlers.context import SHANGHAI, Context
from handlers.group_asked import can_post, shown
from handlers.group_words import narrow
from handlers.message import Reply
from store.groups import Group, GroupRules

LISTED = 10
"""Groups of one page."""


async def listed(ctx: Context, rest: str) -> Reply:
    """/group list [page]: number, name, state."""
    texts = ctx.texts
    groups = ctx.store.groups.all()
    if not groups:
        return Reply.text(texts("group_desk.none"))
    pages = math.ceil(len(groups) / LISTED)
    typed = narrow(rest)
    page = int(typed) if typed.isdecimal() and len(typed) < LISTED else 1
    if not 1 <= page <= pages:
        return Reply.text(texts("group_desk.no_page", pages=pages))
    lines = [texts("group_desk.head", count=len(groups), page=page, pages=pages)]
    page_of = groups[(page - 1) * LISTED : page * LISTED]
    counts = await ctx.store.groups.counts([one.place for one in page_of])
    for one in page_of:
        facts = [state_of(ctx, one)]
        if counts.get(one.place):
            facts.append(texts("group_desk.state_members", count=counts[one.place]))
        facts.append(texts("group_desk.state_order", order=_order(ctx, one)))
        if one.rules.digest != "off":
            facts.append(texts("group_desk.state_digest", digest=_digest(ctx, one)))
        if not can_post(ctx, one):
            facts.append(texts("group_desk.state_mute"))
        elif one.route:
            facts.append(texts("group_desk.state_route", route=one.route))
        lines.append(
            texts(
                "group_desk.line",
                number=one.id,
                title=shown(ctx, one),
                channel=one.channel,
                state="，".join(facts),
            )
        )
    if page < pages:
        lines.append(texts("group_desk.more", page=page + 1))
    return Reply.text("\n".join(lines))


async def card_of(ctx: Context, group: Group) -> Reply:
    """/group 3: everything that is set."""
    texts, rules = ctx.texts, group.rules
    count = await ctx.store.groups.count(group.place)
    keywords = rules.keywords
    card = texts(
        "group_desk.card",
        number=group.id,
        title=shown(ctx, group),
        channel=group.channel,
        state=state_of(ctx, group),
        members=texts("group_desk.state_members", count=count)
        if count
        else texts("group_desk.members_unknown"),
        route=_route(ctx, group),
        welcome=_welcome(ctx, rules),
        quiet=rules.quiet or texts("group_desk.off"),
        digest=_digest(ctx, group),
        weekly=texts("group_desk.on" if rules.weekly else "group_desk.off"),
        eager=texts("group_desk.eager_on", seconds=f"{rules.eager_s:g}")
        if rules.eager_s
        else texts("group_desk.off"),
        keywords=texts("group_desk.as_configured")
        if keywords is None
        else texts("group_desk.on" if keywords else "group_desk.off"),
        order=_order(ctx, group),
    )
    return Reply.text(card)


def state_of(ctx: Context, group: Group) -> str:
    texts = ctx.texts
    if group.left_at is not None:
        said = texts("group_desk.state_left")
    elif group.bound:
        said = texts("group_desk.state_bound")
    else:
        said = texts("group_desk.state_unbound")
    if group.rules.muted_until > ctx.at:
        until = moment(group.rules.muted_until, ctx)
        said = f"{said}，{texts('group_desk.state_muted', until=until)}"
    return said


def _route(ctx: Context, group: Group) -> str:
    if not can_post(ctx, group):
        return ctx.texts("group_desk.route_cannot")
    if group.route:
        return ctx.texts("group_desk.route_other", route=group.route)
    return ctx.texts("group_desk.route_own")


def _welcome(ctx: Context, rules: GroupRules) -> str:
    if not rules.welcome:
        return ctx.texts("group_desk.off")
    if rules.welcome_minutes is None:
        return ctx.texts("group_desk.welcome_on_configured", welcome=rules.welcome)
    minutes = f"{rules.welcome_minutes:g}"
    return ctx.texts("group_desk.welcome_on", welcome=rules.welcome, minutes=minutes)


def _digest(ctx: Context, group: Group) -> str:
    if group.rules.digest == "off":
        return ctx.texts("group_desk.off")
    configured = ctx.channels.digest_at or ctx.texts("group_desk.digest_configured")
    return group.rules.digest or configured


def _order(ctx: Context, group: Group) -> str:
    if group.rules.order == "act":
        return ctx.texts("group_desk.order_act")
    if group.rules.order == "watch":
        return ctx.texts("group_desk.order_watch")
    return ctx.texts("group_desk.order_off")


def moment(at: float, ctx: Context) -> str:
    """A time to come: "22:30" today, else "11-22 08:00"."""
    when = datetime.fromtimestamp(at, SHANGHAI)
    return when.strftime("%H:%M" if when.date() == ctx.now.date() else "%m-%d %H:%M")
