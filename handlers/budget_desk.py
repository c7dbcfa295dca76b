"""/budget: operators tell what groups cost, and ask how a week's money is best split.

The curves are fitted at night; splitting along them takes milliseconds and is done when asked.
Where the weeks cannot bear a curve it says so instead of guessing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from handlers import changes
from handlers.business import yuan
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.router import folded
from handlers.texts import Texts
from insights import spending_report
from insights.spending import BadBounds, Fitted, Share
from insights.spending_report import Curves, Planned
from store.groups import Group
from store.ledgers import Deed
from store.place_costs import MOST_NOTE, Kept, Outcome, PlaceCost

MOST_CENTS = 10_000_000_00
"""More for one group and day, or one plan, is a typing mistake."""

OLDEST_DAYS = 364
"""Older costs are in no curve."""

_NUMERALS = "0123456789¥￥-+一二两三四五六七八九十百千半几"
_SHOWN = 10
_COSTS = 20
_AMOUNT = re.compile(r"[¥￥]?([0-9]{1,9}(?:,[0-9]{3})*(?:\.[0-9]{1,2})?)(万)?(?:元|块)?")
_DAY = re.compile(r"(?:(20[0-9]{2})[-/.年])?([0-9]{1,2})[-/.月]([0-9]{1,2})[日号]?")
_DAY_OF_MONTH = re.compile(r"([0-9]{1,2})[日号]")
_WEEKDAY = re.compile(r"(这|本|上)?(?:个)?(?:周|星期|礼拜)([一二三四五六日天])")
_AHEAD = re.compile(
    r"(?:明|后|大后)[天晚早].*|(?:明|后)日|(?:下|下下)(?:个)?(?:周|星期|礼拜|月).*|明年.*"
    r"|(?:上|这|本)个?月.*|月[初中底末]|[0-9]{1,2}月(?:[初中底末]|份)?|周末|今晚|昨晚"
)
"""What names a time, but no day that a cost can be recorded for: never a note."""
_SHORT_NUMBER = re.compile(r"[0-9]{1,2}[-/.][0-9]{1,2}")
_BOUND = re.compile(r"(.+?)(<=|>=|≤|≥|＜=|＞=)(.+)")
_BLANKS = re.compile(r"\s{0,9}(<=|>=|≤|≥|＜=|＞=)\s{0,9}")
_WEEKS: Mapping[str, int] = {"这周": 0, "本周": 0, "这个星期": 0, "上周": 1, "上个星期": 1}
_DAYS: Mapping[str, int] = {"今天": 0, "昨天": 1, "前天": 2}

Bounds = dict[str, tuple[float, float | None]]


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/budget [cost|costs|remove|AMOUNT]."""
    verb, _, more = rest.strip().partition(" ")
    verb, more = folded(verb), more.strip()
    if verb == "cost":
        return changes.read_only(ctx) or await _cost(message, ctx, more)
    if verb == "costs":
        return await _costs(ctx, more)
    if verb == "remove":
        return changes.read_only(ctx) or await _remove(ctx, more)
    if verb and verb[0] in _NUMERALS:
        return await _plan(ctx, _BLANKS.sub(r"\1", rest).split())
    return Reply.text(ctx.texts("budget.usage"))


# What people type


def cents_of(text: str) -> int | None:
    """ "300", "300.5元", "1.2万" in fen; None for what is no amount or above MOST_CENTS."""
    found = _AMOUNT.fullmatch(folded(text))
    if found is None:
        return None
    whole, _, part = found[1].replace(",", "").partition(".")
    cents = int(whole) * 100 + int((part + "00")[:2])
    cents *= 10_000 if found[2] else 1
    return cents if cents <= MOST_CENTS else None


def day_of(text: str, today: date) -> date | None:
    """ "2026-11-16", "11月16日", 昨天 as a day; 这周 and 上周 as its Monday; None for no day.

    A day without a year, and a day of the week or of the month alone, is the last that there was.
    """
    if text in _WEEKS:
        return today - timedelta(days=today.weekday() + 7 * _WEEKS[text])
    if text in _DAYS:
        return today - timedelta(days=_DAYS[text])
    if (named := _WEEKDAY.fullmatch(text)) is not None:
        monday = today - timedelta(days=today.weekday() + 7 * (named[1] == "上"))
        day = monday + timedelta(days="一二三四五六日".index(named[2].replace("天", "日")))
        return day - timedelta(days=7) if named[1] is None and day > today else day
    if (only := _DAY_OF_MONTH.fullmatch(text)) is not None:
        last = today.replace(day=1) - timedelta(days=1)
        month = today if int(only[1]) <= today.day else last
        text = f"{month.year}-{month.month}-{only[1]}"
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    try:
        day = date(int(found[1] or today.year), int(found[2]), int(found[3]))
        if found[1] is None and day > today:
            day = day.replace(year=today.year - 1)
    except ValueError:
        return None
    return day


@dataclass(frozen=True, slots=True)
class _Typed:
    group: str
    amount: str
    day: str
    note: str


def _typed(ctx: Context, words: Sequence[str]) -> _Typed | None:
    """GROUP AMOUNT [DAY] [NOTE]: of all ways to read it the one with the longest known group."""
    ways = [at for at in range(1, len(words)) if cents_of(words[at]) is not None]
    if not ways:
        return None
    known = [at for at in ways if ctx.store.groups.called(" ".join(words[:at]))]
    at = known[-1] if known else ways[0]
    rest = list(words[at + 1 :])
    day = "这周"
    if rest and _names_a_day(rest[0]):
        day = rest.pop(0)
    elif rest and _names_a_day(rest[-1]) and not _SHORT_NUMBER.fullmatch(rest[-1]):
        day = rest.pop()
    return _Typed(" ".join(words[:at]), words[at], day, " ".join(rest))


def _names_a_day(word: str) -> bool:
    """Whether a word is a day, one that can be understood or not: it is no note then."""
    known = word in _WEEKS or word in _DAYS
    forms = (_DAY, _DAY_OF_MONTH, _WEEKDAY, _AHEAD)
    return known or any(form.fullmatch(word) is not None for form in forms)


def _group(ctx: Context, name: str) -> Group | Reply:
    found = ctx.store.groups.called(name)
    if len(found) == 1:
        return found[0]
    shown = changes.short(name)
    if found:
        return Reply.text(ctx.texts("budget.group_many", group=shown, count=len(found)))
    return Reply.text(ctx.texts("budget.group_unknown", group=shown))


# Costs


async def _cost(message: Message, ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    words = typed.split()
    found = _typed(ctx, words)
    if found is None:
        if len(words) == 2 and ctx.store.groups.called(words[0]):
            return Reply.text(_bad_amount(texts, words[1]))
        return Reply.text(texts("budget.cost_usage"))
    group = _group(ctx, found.group)
    if isinstance(group, Reply):
        return group
    today = ctx.now.date()
    day = day_of(found.day, today)
    if day is None or not today - timedelta(days=OLDEST_DAYS) <= day <= today:
        return Reply.text(texts("budget.day_bad", day=changes.short(found.day)))
    if len(found.note) > MOST_NOTE:
        return Reply.text(texts("budget.note_long", limit=MOST_NOTE))
    cents = cents_of(found.amount) or 0
    cost = PlaceCost(
        group.place, day.isoformat(), cents, found.note, ctx.at, f"member:{ctx.member.id}"
    )
    kept = await _put(ctx, cost, group, replace=False)
    if kept.outcome is Outcome.OTHER:
        question = texts(
            "budget.cost_ask",
            group=group.title,
            day=cost.day,
            was=yuan(kept.was or 0),
            amount=yuan(cents),
        )
        return await changes.ask(ctx, "budget.cost", asdict(cost), question)
    return _told(ctx, cost, group, kept)


async def _put(ctx: Context, cost: PlaceCost, group: Group, *, replace: bool) -> Kept:
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "budget.cost")
    return await ctx.store.place_costs.put(cost, deed, f"group:{group.id}", replace=replace)


@changes.executes("budget.cost")
async def _replaced(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    cost = PlaceCost(**args)
    group = ctx.store.groups.known(cost.place)
    if group is None:
        return Reply.text(ctx.texts("budget.group_unknown", group=changes.short(cost.place)))
    return _told(ctx, cost, group, await _put(ctx, cost, group, replace=True))


def _told(ctx: Context, cost: PlaceCost, group: Group, kept: Kept) -> Reply:
    said = {"group": group.title, "day": cost.day, "amount": yuan(cost.cents)}
    if kept.outcome is Outcome.REPLACED and kept.was is not None and kept.was != cost.cents:
        return Reply.text(ctx.texts("budget.cost_replaced", was=yuan(kept.was), **said))
    return Reply.text(ctx.texts("budget.cost_kept", **said))


def _bad_amount(texts: Texts, typed: str) -> str:
    limit = yuan(MOST_CENTS)
    return texts("budget.amount_bad", amount=changes.short(typed), limit=limit)


async def _remove(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    name, _, last = typed.rpartition(" ")
    day = day_of(last, ctx.now.date())
    if not name.strip() or day is None:
        return Reply.text(texts("budget.remove_usage"))
    group = _group(ctx, name.strip())
    if isinstance(group, Reply):
        return group
    deed = Deed(ctx.at, f"member:{ctx.member.id}", "budget.remove")
    target = f"group:{group.id}"
    gone = await ctx.store.place_costs.drop(group.place, day.isoformat(), deed, target)
    said = {"group": group.title, "day": day.isoformat()}
    if gone is None:
        return Reply.text(texts("budget.remove_none", **said))
    return Reply.text(texts("budget.removed", amount=yuan(gone.cents), **said))


async def _costs(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    place = None
    if typed:
        group = _group(ctx, typed)
        if isinstance(group, Reply):
            return group
        place = group.place
    rows = await ctx.store.place_costs.newest(_COSTS, place)
    if not rows:
        return Reply.text(texts("budget.costs_none"))
    lines = [
        texts(
            "budget.costs_line",
            day=one.day,
            group=_title(ctx, one.place),
            amount=yuan(one.cents),
            note=texts("budget.costs_note", note=one.note) if one.note else "",
        )
        for one in rows
    ]
    return Reply.text("\n".join((texts("budget.costs_head"), *lines)))


def _title(ctx: Context, place: str) -> str:
    group = ctx.store.groups.known(place)
    return group.title if group is not None else place


# The plan


async def _plan(ctx: Context, words: Sequence[str]) -> Reply:
    texts = ctx.texts
    cents = cents_of(words[0])
    if not cents:
        return Reply.text(_bad_amount(texts, words[0]))
    data = await ctx.store.interactions.finding(spending_report.CURVES)
    curves = await asyncio.to_thread(spending_report.known, data)
    if curves is None:
        return Reply.text(texts("budget.not_yet"))
    if not curves.places:
        return Reply.text(texts("budget.costs_none"))
    bounds = _bounds(ctx, curves, words[1:])
    if isinstance(bounds, Reply):
        return bounds
    try:
        found = await asyncio.to_thread(spending_report.planned, curves, cents / 100.0, bounds)
    except BadBounds:
        return Reply.text(texts("budget.bound_clash"))
    if found is None:
        lines = [texts("budget.no_plan"), *_left_out(texts, curves)]
    else:
        lines = _said(texts, curves, found)
    return Reply.text("\n".join(lines))


def _bounds(ctx: Context, curves: Curves, words: Sequence[str]) -> Bounds | Reply:
    """ "学习群<=500" and "学习群>=200" as limits in yuan."""
    usable = {one.place for one in curves.places if one.curve is not None}
    found: Bounds = {}
    for word in words:
        parts = _BOUND.fullmatch(word)
        cents = cents_of(parts[3]) if parts is not None else None
        if parts is None or cents is None:
            return Reply.text(ctx.texts("budget.bound_usage", typed=changes.short(word)))
        group = _group(ctx, parts[1])
        if isinstance(group, Reply):
            return group
        if group.place not in usable:
            return Reply.text(ctx.texts("budget.bound_left_out", group=group.title))
        low, high = found.get(group.place, (0.0, None))
        if parts[2] in (">=", "≥", "＞="):
            low = cents / 100.0
        else:
            high = cents / 100.0
        found[group.place] = (low, high)
    return found


def _said(texts: Texts, curves: Curves, found: Planned) -> list[str]:
    plan = found.plan
    lines = [texts("budget.plan_head", budget=_whole(plan.budget))]
    lines += [_share(texts, curves, one) for one in plan.shares[:_SHOWN]]
    if more := plan.shares[_SHOWN:]:
        amount = _whole(sum(one.spent for one in more))
        lines.append(texts("budget.plan_more", count=len(more), amount=amount))
    if plan.budget - plan.spent >= 1.0:
        lines.append(texts("budget.plan_unspent", rest=_whole(plan.budget - plan.spent)))
    most = {one.place: one.most for one in curves.places}
    untried = [one.place for one in plan.shares if one.spent > most[one.place] + 1.0]
    if untried:
        named = "、".join(curves.title(place) for place in untried[:_SHOWN])
        lines.append(texts("budget.plan_untried", groups=named))
    numbers = {"low": _orders(plan.least), "high": _orders(plan.most)}
    lines.append(texts("budget.plan_total", expected=_orders(plan.expected), **numbers))
    if found.now is not None and plan.expected - found.now >= 0.05:
        around = {"low": _orders(found.gain_low or 0.0), "high": _orders(found.gain_high or 0.0)}
        lines.append(texts("budget.plan_gain", gain=_orders(plan.expected - found.now), **around))
    if plan.price > 0:
        prices = {"low": f"{plan.price_low * 100:.2g}", "high": f"{plan.price_high * 100:.2g}"}
        lines.append(texts("budget.plan_price", price=f"{plan.price * 100:.2g}", **prices))
    moved = {"less": _orders(found.less), "more": _orders(found.more)}
    lines.append(texts("budget.plan_moved", **moved))
    if left := _left_out(texts, curves):
        lines += [texts("budget.left_head"), *left]
    since = datetime.fromtimestamp(curves.since, SHANGHAI).strftime("%Y-%m-%d")
    weeks = round((curves.until - curves.since) / 604_800)
    lines.append(texts("budget.plan_caveat", since=since, weeks=weeks))
    return lines


def _share(texts: Texts, curves: Curves, one: Share) -> str:
    title, expected = curves.title(one.place), _orders(one.expected)
    if one.spent < 1.0:
        return texts("budget.plan_none", group=title, expected=expected)
    return texts(
        "budget.plan_line",
        group=title,
        amount=_whole(one.spent),
        low=_whole(one.low),
        high=_whole(one.high),
        expected=expected,
    )


def _left_out(texts: Texts, curves: Curves) -> list[str]:
    left = [one for one in curves.places if one.curve is None]
    lines = [
        texts("budget.left_line", group=curves.title(one.place), why=_why(texts, one))
        for one in left[:_SHOWN]
    ]
    if len(left) > _SHOWN:
        lines.append(texts("budget.left_more", count=len(left) - _SHOWN))
    return lines


def _why(texts: Texts, one: Fitted) -> str:
    """Why the weeks of a group bear no curve: the sentence that its report says, too."""
    return texts(f"note.{one.why}")


def _whole(amount: float) -> str:
    return f"{round(amount):,}"


def _orders(count: float) -> str:
    return f"{count:.1f}" if count < 100 else f"{count:,.0f}"
