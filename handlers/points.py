"""Check-in, points and honours: the habit that brings members back, and what it is worth.

What a day earns is the operator's rule; a day counts once, and so does a message, so that a
check-in that runs twice says the same thing twice. Rankings are in `rankings.py`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from datetime import datetime

from handlers.choices import number_in, offer, recall
from handlers.context import SHANGHAI, Context
from handlers.coupon_typed import bare, code_in
from handlers.coupon_words import day_of as when_of
from handlers.coupon_words import last_day
from handlers.coupons import claimant
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.tiers import refused
from store.checkins import MakeUp
from store.claimable import GUESSES
from store.coupons import Claim, Outcome
from store.offers import LONGEST_WORD, Offer, fold
from store.points import Entry

router = Router("points")

_LAST = 5
_LISTED = 10
_SHOWN_CHARS = 20
_PAGE_BYTES = 1800
"""Of a list; with its head it is one message."""

_LATE_S = 600
"""How late a message may be heard and still count for the day it was written on."""

_WISH = r"(?:我?想?要?)(?:用?积分)?兑换"
_EXCHANGE = re.compile(rf"{_WISH}(?P<gap>[\s:：,，]*)(?P<word>.+)", re.DOTALL)
_QUESTION = re.compile("怎么|如何|什么|为啥|哪|多少|几|能不能|可以|不了|不到|失败|[吗呢么]$")
_LATIN = re.compile("[0-9a-z]")
_HELLO = r"(?:(?:请|麻烦|老师|帮我|我要|我来|我想|今[日天])[\s,，]*)*"


@router.text(
    "签到|打卡|每日签到|我要签到|签到打卡", name="points.checkin", where="both", keyword=True
)
@router.text(rf"{_HELLO}签\s*到(?:一下|打卡)?[啦了吧]?", name="points.checkin", where="both")
async def check_in(message: Message, ctx: Context) -> Reply:
    """Today's points; a second check-in on the same day changes nothing."""
    if asking(message.text):
        return Reply.text(ctx.texts("points.say_plainly", word="签到"))
    rules = ctx.rewards.points
    done = await ctx.store.checkins.check_in(
        ctx.member.id,
        _day_written(message, ctx),
        bytes.fromhex(message.key),
        ctx.at,
        rules.for_day,
        card_every=rules.card_every,
        cards_most=rules.cards_most,
        ends_at=rules.ends_at(ctx.at),
        place=ctx.place,
    )
    if done is None:  # erased in this very moment
        return Reply.none()
    texts = ctx.texts
    if not done.fresh and not done.streak:
        return Reply.text(texts("points.checked_in_once"))
    if not done.fresh:
        return Reply.text(texts("points.checked_in_before", streak=done.streak))
    if message.talk is not None:
        # What one has altogether is between the two of us.
        lines = [texts("group.checked_in", points=done.points, streak=done.streak)]
        if not done.points:
            lines = [texts("points.checked_in_plain", streak=done.streak)]
        lines += await reached(ctx, done.earned - done.points, done.earned, done.at)
        return Reply.text("".join(lines))
    lines = [
        texts("points.checked_in", points=done.points, streak=done.streak, balance=done.balance)
        if done.points
        else texts("points.checked_in_plain", streak=done.streak)
    ]
    if done.card:
        lines.append(texts("points.card", cards=done.cards))
    elif done.cards and done.missed == 1:
        lines.append(texts("points.may_make_up", cards=done.cards))
    elif done.cards and 1 < done.missed <= rules.makeup_days:
        lines.append(texts("points.may_make_up_some", cards=done.cards, missed=done.missed))
    lines += await reached(ctx, done.earned - done.points, done.earned, done.at)
    return Reply.text("\n".join(lines))


def _day_written(message: Message, ctx: Context) -> str:
    """The day on which it was written: one of 23:59 may be heard after midnight."""
    late = 0 <= ctx.at - message.created <= _LATE_S
    return day_of(message.created) if late else ctx.today


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


@router.text("补签|补卡|我要补签|漏签了|补签昨天|补签到|补签一下", name="points.makeup")
async def make_up(message: Message, ctx: Context) -> Reply:
    """The newest day that was missed, for a card."""
    rules, texts = ctx.rewards.points, ctx.texts
    if asking(message.text):
        return Reply.text(texts("points.say_plainly", word="补签"))
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


@router.text(
    "我的积分|积分|查积分|积分余额|积分查询|查询积分|我有多少积分|我的积分有多少|多少积分|还有多少积分"
    "|我有多少分|连续签到|我签到几天了|签到几天了|签到了几天|今天签到了吗|我今天签到了吗|连续签到几天了",
    name="points.mine",
)
@router.text(
    r"(?:请|麻烦|帮我|帮忙|给我|我想|我要|[\s,，])*(?:查询?|看)(?:一?下|看)?\s*(?:我?的?)\s*(?:会员)?积分"
    r"(?:有|是|还有|还剩)?(?:多少|余额)?[吧吗呢啊]?",
    name="points.mine",
)
@router.text(
    "我?(?:现在|已经|目前|一共)?(?:连续|累计)?(?:签到?|打卡)了?(?:有)?(?:几|多少)天了?[呀啊呢]?",
    name="points.mine",
)
async def mine(message: Message, ctx: Context) -> Reply:
    """Balance, level, badges, what ends next, the last changes."""
    texts, store = ctx.texts, ctx.store
    account = await store.points.balance(ctx.member.id)
    badges = await store.points.badges(ctx.member.id)
    streak, cards = await store.checkins.standing(ctx.member.id, ctx.today)
    lines = [texts("points.mine", balance=account.balance)]
    if account.ends_next is not None:
        amount, at = account.ends_next
        # Points end as their last day does.
        lines.append(texts("points.ends_next", amount=amount, day=day_of(at - 1)))
    if account.owed:
        lines.append(texts("points.owed", owed=account.owed))
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


@router.text(
    "我的勋章|勋章|等级|我的荣誉|社区荣誉|我的等级|我的徽章|徽章|我是什么等级",
    name="points.honours",
)
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


@router.text("兑换|积分兑换|积分商城|我要兑换|我想兑换|兑换礼品", name="points.exchange")
async def exchanges(message: Message, ctx: Context) -> Reply:
    """What this member can have for points, numbered: see `exchange` and `tell_listed`."""
    return await _list(ctx)


async def _list(ctx: Context) -> Reply:
    balance = (await ctx.store.points.balance(ctx.member.id)).balance
    offers = await _for_points(ctx)
    if not offers:
        return Reply.text(ctx.texts("points.exchange_none", balance=balance))
    lines = [_listed(ctx, number, one) for number, one in enumerate(offers, 1)]
    while len("\n".join(lines).encode()) > _PAGE_BYTES:
        lines.pop()
    await offer(ctx, [f"exchange:{one.id}" for one in offers[: len(lines)]], "points")
    return Reply.text("\n".join((ctx.texts("points.exchange_head", balance=balance), *lines)))


async def _for_points(ctx: Context) -> list[Offer]:
    """What this member can have for points now, whether or not they have enough of them."""
    who = claimant(ctx)
    found = await ctx.store.claimable.by(who.member_id, ctx.at, who.levels, who.tiers)
    return [one for one in found if one.points_price][:_LISTED]


def _listed(ctx: Context, number: int, one: Offer) -> str:
    texts, price = ctx.texts, one.points_price
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


async def tell_listed(ctx: Context, thing: str) -> Reply | None:
    """The offer "exchange:12" of a list, told: a number alone spends nothing. None for none."""
    if (shut := refused(ctx, "points.exchange")) is not None:
        return shut
    found = await ctx.store.offers.get(int(thing.partition(":")[2]))
    return None if found is None else await _card(ctx, found)


async def _card(ctx: Context, one: Offer) -> Reply:
    ctx.handler, ctx.item = "points.exchange", f"offer:{one.id}"
    balance = (await ctx.store.points.balance(ctx.member.id)).balance
    price = one.points_price
    if balance < price:
        return Reply.text(_too_few(ctx, one, balance))
    return Reply.text(
        ctx.texts(
            "points.exchange_card", title=one.title, price=price, balance=balance, word=one.word
        )
    )


@router.text(rf"{_WISH}.+", name="points.exchange")
async def exchange(message: Message, ctx: Context) -> Reply | None:
    """兑换 WORD, 兑换WORD, or 兑换 2 from the list shown last: once for a message.

    The same message again shows the same code, whatever has changed. A number without such a
    list spends nothing, it shows the list. None for what only looks like it: 兑换码在哪输入.
    """
    found = _EXCHANGE.fullmatch(message.text.strip())
    typed = " ".join(found["word"].split()) if found is not None else ""
    wanted, apart = fold(folded(typed)), found is not None and bool(found["gap"])
    number = number_in(wanted)
    offer_ = None if number else await _called(ctx, wanted)
    # A code is told by `coupons.py`, a question answered by the FAQ.
    others = not apart or code_in(typed) or _QUESTION.search(wanted)
    if offer_ is None and number is None and others:
        return None
    if (shut := refused(ctx, "points.exchange")) is not None:
        return shut
    key = bytes.fromhex(message.key)
    before = await ctx.store.coupons.given(key)
    if before is not None:
        ctx.counts.claim(before.outcome.value)
        assert before.offer is not None
        return Reply.text(await _answer(ctx, before, before.offer))
    if number is not None:
        offer_ = await _in_list(message, ctx, number)
        if offer_ is None:
            return await _list(ctx)
    elif until := await ctx.store.members.locked_until(ctx.member.id, GUESSES, ctx.at):
        return Reply.text(_locked(ctx, until))
    if offer_ is None:
        return await _unknown(message, ctx, typed, wanted)
    if not offer_.points_price:
        return Reply.text(ctx.texts("points.exchange_free", title=offer_.title, word=offer_.word))
    if asking(message.text):
        theirs = not offer_.audience or offer_ in await _for_points(ctx)
        if theirs and offer_.status != "closed":
            return await _card(ctx, offer_)
        if theirs:
            return Reply.text(ctx.texts("points.exchange_ended", title=offer_.title))
        return Reply.text(ctx.texts("points.exchange_not_for_you", title=offer_.title))
    claim = await ctx.store.coupons.claim(offer_.id, claimant(ctx), key, ctx.at, source="exchange")
    ctx.counts.claim(claim.outcome.value)
    return Reply.text(await _answer(ctx, claim, claim.offer or offer_))


async def _in_list(message: Message, ctx: Context, number: int) -> Offer | None:
    """What the number stands for, when the list shown last is ours and still open."""
    shown = await recall(ctx, message.key)
    if shown is None or shown.source != "points" or ctx.at >= shown.until:
        return None
    if not 1 <= number <= len(shown.things):
        return None
    return await ctx.store.offers.get(int(shown.things[number - 1].partition(":")[2]))


async def _called(ctx: Context, wanted: str) -> Offer | None:
    """The offer with this word or title, 券 at its end or not; else a closed one with it."""
    if not wanted or len(wanted) > LONGEST_WORD + 1:
        return None
    found = await ctx.store.offers.by_word(wanted)
    if found is not None:
        return found
    names = {wanted, bare(wanted) or wanted}
    everything = await ctx.store.offers.all(closed=True)
    for one in sorted(everything, key=lambda one: one.status == "closed"):
        called = (one.word, "".join(fold(one.title).split()))
        if any(name in names or bare(name) in names for name in called):
            return one
    return None


async def _unknown(message: Message, ctx: Context, typed: str, wanted: str) -> Reply:
    """No such offer: the nearest. Who mistyped letters that all may know has not guessed."""
    # It may have been a code.
    ctx.logged, ctx.handler = "兑换", "points.exchange"
    words = [one.word for one in await _for_points(ctx)]
    nearest = difflib.get_close_matches(wanted, words, n=1, cutoff=0.5)
    if not nearest or _LATIN.search(wanted):
        ctx.counts.wrong_code("member")
        rules, key = ctx.rewards.coupons, bytes.fromhex(message.key)
        left = await ctx.store.members.wrong(
            *(ctx.member.id, GUESSES, ctx.at, key), limit=rules.wrong_tries, lock_s=rules.lock_s
        )
        if not left:
            return Reply.text(_locked(ctx, ctx.at + rules.lock_s))
    shown = typed if len(typed) <= _SHOWN_CHARS else typed[: _SHOWN_CHARS - 1] + "…"
    if nearest:
        return Reply.text(ctx.texts("points.exchange_near", word=shown, nearest=nearest[0]))
    return Reply.text(ctx.texts("points.exchange_unknown", word=shown))


def _locked(ctx: Context, until: float) -> str:
    ctx.logged, ctx.handler = "兑换", "points.exchange"
    return ctx.texts("points.exchange_locked", minutes=max(1, math.ceil((until - ctx.at) / 60)))


def _too_few(ctx: Context, one: Offer, balance: int) -> str:
    return ctx.texts(
        "points.exchange_too_few",
        missing=max(1, one.points_price - balance),
        title=one.title,
        price=one.points_price,
        balance=balance,
    )


async def _answer(ctx: Context, claim: Claim, offer: Offer) -> str:
    texts, title, coupon = ctx.texts, offer.title, claim.coupon
    ctx.item = f"offer:{offer.id}"
    if claim.outcome is Outcome.ALREADY:
        if coupon is None or not coupon.usable(ctx.at):
            return texts("points.exchange_had", title=title)
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
            until=last_day(coupon.expires_at, ctx.at),
            price=paid,
            balance=balance,
        )
    match claim.outcome:
        case Outcome.TOO_FEW_POINTS:
            return _too_few(ctx, offer, balance)
        case Outcome.SOLD_OUT:
            return texts("points.exchange_sold_out", title=title)
        case Outcome.NOT_STARTED:
            when = when_of(offer.claim_from or ctx.at, ctx.at)
            return texts("points.exchange_not_started", title=title, when=when)
        case Outcome.PAUSED:
            return texts("points.exchange_paused", title=title)
        case Outcome.NOT_FOR_YOU:
            return texts("points.exchange_not_for_you", title=title)
    return texts("points.exchange_ended", title=title)
