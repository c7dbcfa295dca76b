"""我的会员, and /tier: which tier somebody has, until when, and what it opens.

Tiers come from the shop's orders (`scheduler/purchases.py`), the REST API or an operator.
What is closed to whom is decided in `handlers/tiers.py`, without a question to the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from handlers import changes
from handlers.answers import price_of
from handlers.choices import offer
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from handlers.tiers import FEATURES, feature_of, name_of
from store.catalogue import Item
from store.memberships import Standing

router = Router("membership")

MAX_DAYS = 3660
_DAY_S = 86_400.0
_TITLES = 5
_BUYABLE = 5
_NONE = ("none", "无", "收回")


@router.text("我的会员|会员中心|会员状态|我是会员吗|开通会员|续费会员", name="membership.mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """The member's tier, what it opens, what higher ones do, and how to have one."""
    texts, tier, rules = ctx.texts, ctx.tier, ctx.rewards.membership
    if not rules.tiers and not tier:
        return Reply.text(texts("membership.off"))
    lines = [texts("membership.none")]
    if tier:
        until = ctx.member.tier_until
        name = name_of(texts, tier)
        lines = [
            texts("membership.forever", tier=name)
            if until is None
            else texts("membership.until", tier=name, day=_day(until))
        ]
        lines += await _others(ctx, tier)
    lines += _opened(ctx, tier)
    higher = [one for one in rules.tiers if rules.rank(one) > rules.rank(tier)]
    opening = {one: what for one in higher if (what := _only(ctx, one))}
    lines += [
        texts("membership.tier_opens", tier=name_of(texts, one), what=what)
        for one, what in opening.items()
    ]
    things = _buyable(ctx)
    if things:
        await offer(ctx, things, "content")
        lines.append(texts("membership.buy_head"))
        lines += [_offered(ctx, number, thing) for number, thing in enumerate(things, 1)]
    # A higher tier opens what this one does: whoever can buy that one misses nothing.
    sold = max((rules.rank(rules.grants[ctx.items[one].id][0]) for one in things), default=0)
    if not things:
        lines.append(texts("membership.buy_human"))
    elif any(rules.rank(one) > sold for one in opening):
        lines.append(texts("membership.buy_more"))
    return Reply.text("\n".join(lines))


def _offered(ctx: Context, number: int, thing: str) -> str:
    item = ctx.items[thing]
    gives, days = ctx.rewards.membership.grants[item.id]
    return ctx.texts(
        "membership.buy_item",
        number=number,
        title=item.title,
        price=price_of(ctx.texts, item),
        days=days,
        tier=name_of(ctx.texts, gives),
    )


async def _others(ctx: Context, tier: str) -> list[str]:
    """Lines on the other tiers that the member has beside the one that counts."""
    ends: dict[str, float | None] = {}
    for one in await ctx.store.memberships.of(ctx.member.id, ctx.at):
        before = ends.get(one.tier, 0.0)
        ends[one.tier] = None if one.until is None or before is None else max(before, one.until)
    return [
        ctx.texts("membership.also_forever", tier=name_of(ctx.texts, other))
        if until is None
        else ctx.texts("membership.also_until", tier=name_of(ctx.texts, other), day=_day(until))
        for other, until in ends.items()
        if other != tier
    ]


def _opened(ctx: Context, tier: str) -> list[str]:
    """Lines on what a tier opens: items and features; [] when there is nothing of the kind."""
    rank, texts = ctx.rewards.membership.rank(tier), ctx.texts
    lines = []
    if titles := _titles(ctx, range(1, rank + 1)):
        lines.append(texts("membership.opens_items", titles=titles))
    if features := _features(ctx, range(1, rank + 1)):
        lines.append(texts("membership.opens_features", features=features))
    return lines


def _only(ctx: Context, tier: str) -> str:
    """What opens with this tier and not below; "" for nothing."""
    rank = ctx.rewards.membership.rank(tier)
    ranks = range(rank, rank + 1)
    return "、".join(filter(None, (_features(ctx, ranks), _titles(ctx, ranks))))


def _titles(ctx: Context, ranks: range) -> str:
    """The items that need a tier of these ranks: 《…》《…》; "" for none."""
    rank = ctx.rewards.membership.rank
    titles = [f"《{item.title}》" for item in ctx.items.values() if rank(item.needs_tier) in ranks]
    shown = "".join(titles[:_TITLES])
    if len(titles) <= _TITLES:
        return shown
    return ctx.texts("membership.titles_more", titles=shown, count=len(titles))


def _features(ctx: Context, ranks: range) -> str:
    """What is gated with a tier of these ranks and has a word, as one list; "" for none."""
    rules = ctx.rewards.membership
    words = [
        feature_of(ctx.texts, gate)
        for gate, needed in rules.gates.items()
        if rules.rank(needed) in ranks and gate in FEATURES
    ]
    return "、".join(dict.fromkeys(words))


def _buyable(ctx: Context) -> list[str]:
    """The items whose purchase gives a tier, as things of a list, lowest tier first."""
    rules = ctx.rewards.membership
    items: list[tuple[int, Item]] = [
        (rules.rank(tier), ctx.items[f"item:{item_id}"])
        for item_id, (tier, _) in rules.grants.items()
        if f"item:{item_id}" in ctx.items
    ]
    items.sort(key=lambda pair: (pair[0], pair[1].price_cents))
    return [f"item:{item.id}" for _, item in items[:_BUYABLE]]


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d")


# /tier, for operators


async def tier(message: Message, ctx: Context, rest: str) -> Reply:
    """/tier N, /tier N TIER [days], /tier N none."""
    texts, tiers = ctx.texts, ctx.rewards.membership.tiers
    if not tiers:
        return Reply.text(texts("membership.no_tiers"))
    words = rest.split()
    number = changes.number_from(words[0]) if words else None
    if number is None or len(words) > 3:
        return Reply.text(texts("membership.usage", tier=tiers[-1], tiers="、".join(tiers)))
    standing = await ctx.store.memberships.standing(number, ctx.at)
    if standing is None:
        return Reply.text(texts("operator.who_not_found"))
    if len(words) == 1:
        await changes.audited(message, ctx, "member.tier", f"member:{number}")
        return Reply.text(_now(ctx, number, standing))
    if folded(words[1]) in _NONE:
        args: dict[str, Any] = {"member": number, "tier": None, "days": None}
        return await changes.ask(ctx, "tier", args, texts("membership.ask_take", member=number))
    wanted = _tier_named(ctx, words[1])
    if wanted is None:
        typed = changes.short(words[1])
        return Reply.text(texts("membership.unknown", typed=typed, tiers="、".join(tiers)))
    days = changes.number_from(words[2].removesuffix("天")) if len(words) == 3 else None
    if len(words) == 3 and (days is None or not 1 <= days <= MAX_DAYS):
        return Reply.text(texts("membership.bad_days", limit=MAX_DAYS))
    name = name_of(texts, wanted)
    question = (
        texts("membership.ask_forever", member=number, tier=name)
        if days is None
        else texts("membership.ask_days", member=number, tier=name, days=days)
    )
    args = {"member": number, "tier": wanted, "days": days}
    return await changes.ask(ctx, "tier", args, question)


@changes.executes("tier")
async def _tier_changed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    number, wanted, days = args["member"], args["tier"], args["days"]
    store, tiers = ctx.store.memberships, ctx.rewards.membership.tiers
    if wanted is None:
        if await store.take(number, None, ctx.at, tiers=tiers) is None:
            return Reply.text(ctx.texts("operator.who_not_found"))
    elif wanted not in tiers:  # the configuration has changed since the question
        return Reply.text(ctx.texts("membership.unknown", typed=wanted, tiers="、".join(tiers)))
    else:
        given = await store.give(
            number,
            wanted,
            ctx.at,
            source_key=f"message:{message.key}",
            by=f"member:{ctx.member.id}",
            tiers=tiers,
            for_s=None if days is None else days * _DAY_S,
        )
        if given is None:
            return Reply.text(ctx.texts("operator.who_not_found"))
    detail = wanted or "none"
    if days is not None:
        detail = f"{wanted} for {days} days"
    await changes.audited(message, ctx, "member.tier", f"member:{number}", detail)
    standing = await store.standing(number, ctx.at)
    return Reply.text(_now(ctx, number, standing or Standing("", None)))


def _now(ctx: Context, number: int, standing: Standing) -> str:
    texts = ctx.texts
    if not standing.tier:
        return texts("membership.now_none", member=number)
    name = name_of(texts, standing.tier)
    if standing.until is None:
        return texts("membership.now_forever", member=number, tier=name)
    day = _day(standing.until)
    return texts("membership.now_until", member=number, tier=name, day=day)


def _tier_named(ctx: Context, typed: str) -> str | None:
    wanted = folded(typed)
    return next(
        (
            one
            for one in ctx.rewards.membership.tiers
            if wanted in (one, folded(name_of(ctx.texts, one)))
        ),
        None,
    )
