"""Check-in, points and honours: the habit that brings members back, and what it is worth.

What a day earns is the operator's rule; a day counts once, and so does a message, so that a
check-in that runs twice says the same thing twice. Rankings are in `rankings.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import datetime

from handlers.changes import number_from
from handlers.choices import WINDOW_S
from handlers.context import SHANGHAI, Context
from handlers.coupons import claimant
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from store.checkins import MakeUp
from store.coupons import Claim, Outcome
from store.offers import Offer
from store.points import Entry

router = Router("points")

_LAST = 5
_LISTED = 10
_SHOWN_CHARS = 20
_STATE = "exchange"
_TRIES = "coupon"
"""Under this name wrong words are counted, here as for 领券."""

_EXCHANGE = re.compile(r"\s*(?:积分)?兑换[\s:：]+(.+)", re.DOTALL)


def _meant(message: Message, ctx: Context) -> bool:
    """签到？ asks about it."""
    return not asking(message.text)


@router.text("签到|打卡|每日签到|我要签到", name="points.checkin", guard=_meant)
async def check_in(message: Message, ctx: Context) -> Reply:
    """Today's points; a second check-in on the same day changes nothing."""
    rules = ctx.rewards.points
    done = await ctx.store.checkins.check_in(
        ctx.member.id,
        ctx.today,
        bytes.fromhex(message.key),
        ctx.at,
        rules.for_day,
        card_every=rules.card_every,
        cards_most=rules.cards_most,
        ends_at=rules.ends_at(ctx.at),
    )
    if done is None:  # erased in this very moment
        return Reply.none()
    texts = ctx.texts
    if not done.fresh:
        return Reply.text(texts("points.checked_in_before", streak=done.streak))
    lines = [
        texts("points.checked_in", points=done.points, streak=done.streak, balance=done.balance)
        if done.points
        else texts("points.checked_in_plain", streak=done.streak)
    ]
    if done.card:
        lines.append(texts("points.card", cards=done.cards))
    elif done.streak == 1 and done.days > 1 and done.cards:
        lines.append(texts("points.may_make_up", cards=done.cards))
    lines += await reached(ctx, done.earned - done.points, done.earned, done.at)
    return Reply.text("\n".join(lines))


async def reached(ctx: Context, before: int, earned: int, at: float) -> list[str]:
    """Sentences about the level and the badges that the member has just reached; [] for none.

    before, earned: points ever earned, before and after. at: when that happened; the same
    again after a crash names the same badges.
    """
    lines = []
    level = ctx.rewards.level(earned)
    if level is not None and level != ctx.rewards.level(before):
        lines.append(ctx.texts("points.new_level", level=level.name))
    badges = await ctx.store.points.honour(ctx.member.id, ctx.rewards.badges, at)
    if badges:
        lines.append(ctx.texts("points.new_badges", badges="、".join(badges)))
    return lines


@router.text("补签|补卡|我要补签", name="points.makeup", guard=_meant)
async def make_up(message: Message, ctx: Context) -> Reply:
    """The newest day that was missed, for a card."""
    rules, texts = ctx.rewards.points, ctx.texts
    key = bytes.fromhex(message.key)
    made = await ctx.store.checkins.make_up(
        ctx.member.id, ctx.today, key, ctx.at, rules.makeup_days
    )
    if made.outcome is MakeUp.NOTHING_MISSED:
        return Reply.text(texts("points.nothing_missed", days=rules.makeup_days))
    if made.outcome is MakeUp.NO_CARD:
        if not rules.card_every:
            return Reply.text(texts("points.no_cards"))
        return Reply.text(texts("points.no_card", days=rules.card_every))
    said = texts("points.made_up", day=made.day[5:], cards=made.cards, streak=made.streak)
    account = await ctx.store.points.balance(ctx.member.id)
    more = await reached(ctx, account.earned, account.earned, made.at)
    return Reply.text("\n".join((said, *more)))


@router.text("我的积分|积分|查积分|积分余额", name="points.mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """Balance, level, badges, what ends next, the last changes."""
    texts, store = ctx.texts, ctx.store
    account = await store.points.balance(ctx.member.id)
    badges = await store.points.badges(ctx.member.id)
    streak, cards = await store.checkins.standing(ctx.member.id, ctx.today)
    lines = [texts("points.mine", balance=account.balance)]
    if account.ends_next is not None:
        amount, at = account.ends_next
        lines.append(texts("points.ends_next", amount=amount, day=day_of(at)))
    lines += _level(ctx, account.earned)
    if badges:
        lines.append(texts("points.badges", badges="、".join(name for name, _ in badges)))
    if streak or cards:
        lines.append(texts("points.streak", streak=streak, cards=cards))
    last = await store.points.history(ctx.member.id, _LAST)
    if last:
        lines += [texts("points.last"), *entries(ctx, last)]
    lines.append(texts("points.how"))
    return Reply.text("\n".join(lines))


def entries(ctx: Context, shown: Sequence[Entry]) -> list[str]:
    """Changes, one line each, with what an operator said about them."""
    lines = []
    for one in shown:
        line = ctx.texts(
            "points.entry",
            day=day_of(one.at)[5:],
            reason=reason_of(ctx, one.reason),
            amount=f"{one.amount:+d}",
        )
        lines.append(ctx.texts("points.note", entry=line, note=one.note) if one.note else line)
    return lines


def reason_of(ctx: Context, reason: str) -> str:
    """What members call a reason."""
    return ctx.texts(f"points.reason_{reason}")


def day_of(at: float) -> str:
    """ "2026-11-21" in Shanghai."""
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d")


def _level(ctx: Context, earned: int) -> list[str]:
    level, next_one = ctx.rewards.level(earned), ctx.rewards.next_level(earned)
    if next_one is None:
        return [] if level is None else [ctx.texts("points.level", level=level.name)]
    missing, name = next_one.points - earned, next_one.name
    if level is None:
        return [ctx.texts("points.level_first", missing=missing, next=name)]
    return [ctx.texts("points.level_next", level=level.name, missing=missing, next=name)]


@router.text("我的勋章|勋章|等级|我的荣誉|社区荣誉", name="points.honours")
async def honours(message: Message, ctx: Context) -> Reply:
    """The level, and the badges with their days."""
    account = await ctx.store.points.balance(ctx.member.id)
    badges = [
        ctx.texts("points.badge", badge=name, day=day_of(at))
        for name, at in await ctx.store.points.badges(ctx.member.id)
    ]
    lines = _level(ctx, account.earned)
    if badges:
        lines.append(ctx.texts("points.badges", badges="、".join(badges)))
    else:
        lines.append(ctx.texts("points.honours_none"))
    return Reply.text("\n".join(lines))


# What points are good for


@router.text("兑换|积分兑换|积分商城", name="points.exchange")
async def exchanges(message: Message, ctx: Context) -> Reply:
    """What can be had for points; 兑换 2 takes the second of this list."""
    balance = (await ctx.store.points.balance(ctx.member.id)).balance
    offers = await _for_points(ctx)
    if not offers:
        return Reply.text(ctx.texts("points.exchange_none", balance=balance))
    shown = {"offers": [one.id for one in offers]}
    await ctx.store.members.set_state(ctx.member.id, _STATE, shown, ctx.at + WINDOW_S)
    lines = [_listed(ctx, number, one) for number, one in enumerate(offers, 1)]
    return Reply.text("\n".join((ctx.texts("points.exchange_head", balance=balance), *lines)))


async def _for_points(ctx: Context) -> list[Offer]:
    """What can be had for points now; what is sold out stays, so that numbers stay."""
    return [
        one
        for one in await ctx.store.offers.all()
        if one.points_price
        and one.status == "open"
        and (one.claim_from is None or one.claim_from <= ctx.at)
        and all(end is None or ctx.at < end for end in (one.claim_until, one.valid_until))
    ][:_LISTED]


def _listed(ctx: Context, number: int, one: Offer) -> str:
    texts, price = ctx.texts, one.points_price
    if one.sold_out:
        return texts("points.exchange_item_gone", number=number, title=one.title, price=price)
    if one.left is None:
        return texts(
            "points.exchange_item", number=number, title=one.title, price=price, word=one.word
        )
    return texts(
        "points.exchange_item_left",
        number=number,
        title=one.title,
        price=price,
        left=one.left,
        word=one.word,
    )


@router.text(r"(?:积分)?兑换[\s:].+", name="points.exchange", guard=_meant)
async def exchange(message: Message, ctx: Context) -> Reply:
    """兑换 WORD or 兑换 2: once for a message; the same message again shows the same code."""
    found = _EXCHANGE.fullmatch(message.text)
    wanted = folded(found[1]) if found is not None else ""
    members, rules = ctx.store.members, ctx.rewards.coupons
    if await members.locked_until(ctx.member.id, _TRIES, ctx.at):
        return Reply.text(ctx.texts("points.exchange_locked"))
    offer = await _named(ctx, wanted)
    if offer is None:
        ctx.logged, ctx.handler = "兑换", "points.exchange"
        ctx.counts.wrong_code("member")
        key, tries, lock_s = bytes.fromhex(message.key), rules.wrong_tries, rules.lock_s
        left = await members.wrong(ctx.member.id, _TRIES, ctx.at, key, limit=tries, lock_s=lock_s)
        return Reply.text(
            await _unknown(ctx, wanted) if left else ctx.texts("points.exchange_locked")
        )
    key = bytes.fromhex(message.key)
    claim = await ctx.store.coupons.claim(offer.id, claimant(ctx), key, ctx.at, source="exchange")
    ctx.counts.claim(claim.outcome.value)
    return Reply.text(await _answer(ctx, claim, claim.offer or offer))


async def _named(ctx: Context, wanted: str) -> Offer | None:
    """The offer for points with this word, or with this number of the list shown last."""
    offer = await ctx.store.offers.by_word(wanted)
    if offer is not None and offer.points_price:
        return offer
    number = number_from(wanted)
    if number is None:
        return None
    shown = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    ids = shown["offers"] if shown is not None else [one.id for one in await _for_points(ctx)]
    return await ctx.store.offers.get(ids[number - 1]) if 1 <= number <= len(ids) else None


async def _unknown(ctx: Context, wanted: str) -> str:
    words = [one.word for one in await _for_points(ctx)]
    nearest = difflib.get_close_matches(wanted, words, n=1, cutoff=0.5)
    shown = wanted if len(wanted) <= _SHOWN_CHARS else wanted[: _SHOWN_CHARS - 1] + "…"
    if nearest:
        return ctx.texts("points.exchange_near", word=shown, nearest=nearest[0])
    return ctx.texts("points.exchange_unknown", word=shown)


async def _answer(ctx: Context, claim: Claim, offer: Offer) -> str:
    texts, title, coupon = ctx.texts, offer.title, claim.coupon
    price = offer.points_price
    if coupon is not None and claim.outcome is Outcome.ALREADY:
        return texts("points.exchange_have", title=title, code=coupon.shown)
    balance = (await ctx.store.points.balance(ctx.member.id)).balance
    if coupon is not None:
        code, paid = coupon.shown, coupon.points_paid
        if coupon.expires_at is None:
            return texts("points.exchanged", title=title, code=code, price=paid, balance=balance)
        return texts(
            "points.exchanged_until",
            title=title,
            code=code,
            until=datetime.fromtimestamp(coupon.expires_at, SHANGHAI).strftime("%m-%d %H:%M"),
            price=paid,
            balance=balance,
        )
    match claim.outcome:
        case Outcome.TOO_FEW_POINTS:
            missing = max(1, price - balance)
            return texts(
                "points.exchange_too_few",
                missing=missing,
                title=title,
                price=price,
                balance=balance,
            )
        case Outcome.SOLD_OUT:
            return texts("points.exchange_sold_out", title=title)
        case Outcome.NOT_STARTED:
            at = datetime.fromtimestamp(offer.claim_from or ctx.at, SHANGHAI)
            when = at.strftime("%m-%d %H:%M")
            return texts("points.exchange_not_started", title=title, when=when)
        case Outcome.PAUSED:
            return texts("points.exchange_paused", title=title)
        case Outcome.NOT_FOR_YOU:
            return texts("points.exchange_not_for_you", title=title)
    return texts("points.exchange_ended", title=title)
