"""Coupons for members: what there is to claim, claiming it, and what one has.

The store decides who gets one and gives the same message the same code again; here every
answer becomes a sentence that says why, and what to do next. Claim words need 领券 or 领 before
them: an offer may have any word, and a word alone belongs to the FAQ.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence

from handlers import coupon_words
from handlers.choices import number_in, offer, recall
from handlers.context import Context
from handlers.coupon_words import day_of, last_day, terms, worth
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from store import codes
from store.claimable import GUESSES, Locked, Priced, Served
from store.coupons import Claim, Claimant, Coupon, Outcome
from store.offers import LONGEST_WORD, Offer

router = Router("coupon")

LISTED = 10
"""Offers in one list, usable coupons in another."""

USED_LISTED = 5
"""Coupons that are used or over, newest first."""

_READ = 30
_NEAREST = 2
_SHOWN_CHARS = 20
_VERB = "(?:我?想?要?)?(?:领取?优惠券|领取?券|领取?)"
_CLAIM = re.compile(rf"{_VERB}(?P<gap>[\s:,，]*)(?P<word>.+)", re.DOTALL)
_QUOTES = "「」『』“”\"'《》【】"
_QUESTION = re.compile("怎么|如何|什么|为啥|哪|多少|几|能不能|可不可以|可以|不了|不到|[吗呢么]$")
_TYPED_CODE = re.compile(r"(?=[a-z0-9‐-―－-]*[0-9])[a-z0-9][a-z0-9‐-―－-]{7,63}")
"""What may be a code: letters, digits and dashes, with a digit among them."""

_OURS = re.compile(r"[2-9a-z]{4}-[2-9a-z]{4}-[2-9a-z]{5}")


def word_in(text: str) -> tuple[str, bool] | None:
    """(claim word, whether it stands apart) of 领券 早鸟 or 领早鸟; None for any other text."""
    found = _CLAIM.fullmatch(folded(text))
    if found is None:
        return None
    word = "".join(found["word"].split()).strip(_QUOTES)
    return (word, bool(found["gap"])) if word else None


def is_code(word: str) -> bool:
    """Whether somebody may have typed a code: then the log must not have it."""
    return codes.is_ours(codes.plain(word)) or _TYPED_CODE.fullmatch(folded(word)) is not None


def claimant(ctx: Context) -> Claimant:
    """The member with what the rules know of levels and tiers."""
    rewards = ctx.rewards
    levels = tuple(level.points for level in rewards.levels)
    return Claimant(ctx.member.id, levels, rewards.membership.tiers)


# What there is


@router.text(
    "领券|优惠券|有券吗|有什么券|有哪些券|有没有券|有优惠券吗|有什么优惠券|有哪些优惠券"
    "|有没有优惠券|领优惠券|领取优惠券|领券中心|我要领券",
    name="coupon.list",
)
async def listed(message: Message, ctx: Context) -> Reply:
    """What this member may claim now; a number claims it."""
    texts = ctx.texts
    found = await _claimable(ctx)
    if not found:
        return Reply.text(texts("coupon.none"))
    await offer(ctx, [f"coupon:{one.id}" for one in found[:LISTED]], "coupon")
    lines = [_line(ctx, number, one) for number, one in enumerate(found[:LISTED], 1)]
    tail = texts("coupon.list_tail")
    if len(found) > LISTED:
        tail = texts("coupon.list_part", shown=LISTED, count=len(found))
    return Reply.text("\n".join((texts("coupon.list_head"), *lines, tail)))


async def _claimable(ctx: Context) -> list[Offer]:
    who = claimant(ctx)
    return await ctx.store.claimable.by(who.member_id, ctx.at, who.levels, who.tiers)


def _line(ctx: Context, number: int, one: Offer) -> str:
    texts = ctx.texts
    said = [worth(texts, one, ctx.items)]
    if one.min_spend_cents:
        said.append(texts("coupon.min_spend", yuan=coupon_words.yuan(one.min_spend_cents)))
    if one.points_price:
        said.append(texts("coupon.costs", points=one.points_price))
    if one.claim_until is not None:
        said.append(texts("coupon.claim_until", when=last_day(one.claim_until, ctx.at)))
    return texts("coupon.line", number=number, title=one.title, facts="，".join(said))


def _card(ctx: Context, one: Offer) -> Reply:
    """An offer, told to who only asks: 领券 早鸟？"""
    texts = ctx.texts
    ctx.handler = "coupon.offer"
    how = texts("coupon.how_exchange" if one.points_price else "coupon.how_claim", word=one.word)
    return Reply.text(
        texts(
            "coupon.card",
            title=one.title,
            worth=worth(texts, one, ctx.items),
            terms=terms(texts, one, ctx.items, ends_at=one.ends_at(ctx.at), now=ctx.at),
            how=how,
        )
    )


# Claiming


@router.text(_CLAIM.pattern, name="coupon.claim")
async def claim(message: Message, ctx: Context) -> Reply | None:
    """领券 早鸟, 领 早鸟, and 领早鸟 where there is such an offer. 领券 2 picks from the list.

    None for what only looks like it: 领导力课程, 领券 怎么用.
    """
    said = word_in(message.text)
    if said is None:
        return None
    word, apart = said
    code = is_code(word)
    if code:
        ctx.logged = ctx.texts("coupon.hidden")
    if asking(message.text):
        found = await ctx.store.offers.by_word(word)
        return None if found is None else _card(ctx, found)
    served = await _serve(message, ctx, word)
    if await _is_offer(ctx, served, word):
        return _served(ctx, served)
    reply = await _from_list(message, ctx, word)
    if reply is not None:
        return reply
    if not code and (not apart or _QUESTION.search(word)):
        return None
    if isinstance(served, Locked):
        return _locked(ctx, served.until)
    ctx.handler = "coupon.claim"
    ctx.counts.claim(Outcome.NO_OFFER)
    return await _unknown(message, ctx, word)


async def _is_offer(ctx: Context, served: Served, word: str) -> bool:
    """Whether the word is one; who is locked may still ask 领导力课程多少钱."""
    if isinstance(served, Locked):
        return await ctx.store.offers.by_word(word) is not None
    return isinstance(served, Priced) or served.offer is not None


async def _from_list(message: Message, ctx: Context, word: str) -> Reply | None:
    """领券 2, when the list shown last was ours; None for anything else."""
    number = number_in(word)
    if number is None:
        return None
    shown = await recall(ctx, message.key)
    if shown is None or shown.source != "coupon" or ctx.at >= shown.until:
        return None
    if not 1 <= number <= len(shown.things):
        return Reply.text(ctx.texts("coupon.choice_range", count=len(shown.things)))
    return await claim_listed(message, ctx, shown.things[number - 1])


async def claim_listed(message: Message, ctx: Context, thing: str) -> Reply | None:
    """The offer "coupon:12" of a list, claimed; None when there is no such offer."""
    number = int(thing.partition(":")[2])
    if asking(message.text):
        found = await ctx.store.offers.get(number)
        return None if found is None else _card(ctx, found)
    served = await _serve(message, ctx, number)
    if isinstance(served, Claim) and served.offer is None:
        return None
    return _served(ctx, served)


async def _serve(message: Message, ctx: Context, which: int | str) -> Served:
    if isinstance(which, str) and len(which) > LONGEST_WORD:
        return Claim(Outcome.NO_OFFER)
    key = bytes.fromhex(message.key)
    return await ctx.store.claimable.claim(which, claimant(ctx), key, ctx.at)


def _served(ctx: Context, served: Served) -> Reply:
    """The answer to a claim of an offer there is. Points are spent by 兑换, never by 领券."""
    if isinstance(served, Locked):
        return _locked(ctx, served.until)
    ctx.handler = "coupon.claim"
    if isinstance(served, Priced):
        one = served.offer
        ctx.item = f"offer:{one.id}"
        how = ctx.texts("coupon.how_exchange", word=one.word)
        return Reply.text(
            ctx.texts("coupon.needs_points", title=one.title, points=one.points_price, how=how)
        )
    ctx.counts.claim(served.outcome)
    if served.offer is not None:
        ctx.item = f"offer:{served.offer.id}"
    return Reply.text(answer(ctx, served))


def answer(ctx: Context, done: Claim) -> str:
    """What a member reads after a claim of an offer there is: the code, or why there is none."""
    texts, one, coupon = ctx.texts, done.offer, done.coupon
    assert one is not None
    if coupon is not None and done.outcome in (Outcome.CLAIMED, Outcome.AGAIN):
        return texts(
            "coupon.claimed",
            title=one.title,
            worth=worth(texts, one, ctx.items),
            code=coupon_words.code_line(texts, coupon),
            terms=terms(texts, one, ctx.items, ends_at=coupon.expires_at, now=ctx.at),
        )
    if coupon is not None and done.outcome is Outcome.ALREADY:
        return _already(ctx, one, coupon)
    if done.outcome is Outcome.NOT_STARTED and one.claim_from is not None:
        when = day_of(one.claim_from, ctx.at)
        return texts("coupon.not_started", title=one.title, when=when, word=one.word)
    if done.outcome is Outcome.NOT_FOR_YOU and one.audience:
        who = coupon_words.audience(texts, one.audience, ctx.items)
        return texts("coupon.not_for_you", title=one.title, who=who)
    if done.outcome is Outcome.TOO_FEW_POINTS:
        return texts("coupon.too_few_points", title=one.title, points=one.points_price)
    if done.outcome is Outcome.SOLD_OUT:
        return texts("coupon.sold_out", title=one.title)
    if done.outcome is Outcome.PAUSED:
        return texts("coupon.paused", title=one.title, word=one.word)
    return texts("coupon.ended", title=one.title)


def _already(ctx: Context, one: Offer, coupon: Coupon) -> str:
    """They have it: the code if it is still good, else what became of it."""
    texts = ctx.texts
    if not coupon.usable(ctx.at):
        return texts("coupon.already_over", title=one.title, state=_state(ctx, coupon))
    how_many = texts("coupon.each", count=one.per_member)
    return texts(
        "coupon.already",
        title=one.title,
        each=how_many,
        code=coupon_words.code_line(texts, coupon),
        terms=terms(texts, one, ctx.items, ends_at=coupon.expires_at, now=ctx.at),
    )


# Words and codes that nobody has


async def _unknown(message: Message, ctx: Context, word: str) -> Reply:
    """No such offer, and none ever had the word: one guess less, and the nearest ones."""
    if is_code(word) and (own := await _own_code(ctx, word)) is not None:
        return own
    if locked := await _wrong(message, ctx):
        return locked
    # What is for some only is named to those alone.
    public = [one for one in await ctx.store.offers.all() if not one.audience]
    words = dict.fromkeys(one.word for one in (*await _claimable(ctx), *public))
    near = nearest(word, list(words))
    shown = word if len(word) <= _SHOWN_CHARS else word[: _SHOWN_CHARS - 1] + "…"
    if not near:
        return Reply.text(ctx.texts("coupon.unknown", word=shown))
    meant = "、".join(ctx.texts("coupon.say", word=one) for one in near)
    return Reply.text(ctx.texts("coupon.unknown_near", word=shown, meant=meant))


def nearest(word: str, words: Sequence[str]) -> list[str]:
    """The words most like it, best first; one that holds the other is always like it."""
    holding = [one for one in words if one in word or word in one]
    alike = difflib.get_close_matches(word, words, n=_NEAREST, cutoff=0.5)
    return list(dict.fromkeys((*holding, *alike)))[:_NEAREST]


async def _wrong(message: Message, ctx: Context) -> Reply | None:
    """Count a guess; says so when it was the last for a while."""
    ctx.counts.wrong_code("member")
    rules = ctx.rewards.coupons
    left = await ctx.store.members.wrong(
        ctx.member.id,
        GUESSES,
        ctx.at,
        bytes.fromhex(message.key),
        limit=rules.wrong_tries,
        lock_s=rules.lock_s,
    )
    return None if left else _locked(ctx, ctx.at + rules.lock_s)


def _locked(ctx: Context, until: float) -> Reply:
    ctx.handler = "coupon.locked"
    minutes = max(1, math.ceil((until - ctx.at) / 60))
    return Reply.text(ctx.texts("coupon.locked", minutes=minutes))


def _looks_ours(message: Message, ctx: Context) -> bool:
    """A mistyped code counts: it is one sign from somebody's."""
    return (
        codes.is_ours(codes.plain(message.text))
        or _OURS.fullmatch(folded(message.text)) is not None
    )


@router.text(r"[a-z0-9][a-z0-9\s‐-―－-]{11,30}", guard=_looks_ours, name="coupon.code")
async def typed_code(message: Message, ctx: Context) -> Reply:
    """A code alone: what it is, to whose it is. The log does not keep it."""
    ctx.logged = ctx.texts("coupon.hidden")
    locked = await ctx.store.members.locked_until(ctx.member.id, GUESSES, ctx.at)
    if locked:
        return _locked(ctx, locked)
    # Somebody else's code and one that nobody has look the same.
    return (
        await _own_code(ctx, message.text)
        or await _wrong(message, ctx)
        or Reply.text(ctx.texts("coupon.code_unknown"))
    )


async def _own_code(ctx: Context, typed: str) -> Reply | None:
    """The member's coupon with this code; None when it is not theirs."""
    coupon = await ctx.store.coupons.by_code(typed)
    if coupon is None or coupon.member_id != ctx.member.id:
        return None
    one = await ctx.store.offers.get(coupon.offer_id)
    if one is None:
        return None
    ctx.handler, ctx.item = "coupon.code", f"offer:{one.id}"
    return Reply.text(_own_line(ctx, coupon, one))


# What one has


@router.text(
    "我的券|我的优惠券|我的卡券|我的券码|我的优惠|查看我的券|我有什么券|我有哪些券",
    name="coupon.mine",
)
async def mine(message: Message, ctx: Context) -> Reply:
    """One's own coupons: usable ones in full, those that end first first; the others short."""
    texts = ctx.texts
    found = await ctx.store.coupons.of(ctx.member.id, ctx.at, limit=_READ)
    usable = [(coupon, one) for coupon, one in found if coupon.usable(ctx.at)]
    over = [(coupon, one) for coupon, one in found if not coupon.usable(ctx.at)]
    if not found:
        return Reply.text(texts("coupon.mine_none"))
    parts = [_own_line(ctx, coupon, one) for coupon, one in usable[:LISTED]]
    head = texts("coupon.mine_head", count=len(usable)) if usable else texts("coupon.mine_no_more")
    if len(usable) > LISTED:
        head = texts("coupon.mine_part", shown=LISTED)
    if over:
        short = [
            texts("coupon.over", title=one.title, state=_state(ctx, coupon))
            for coupon, one in over[:USED_LISTED]
        ]
        parts.append("\n".join((texts("coupon.over_head"), *short)))
    return Reply.text("\n\n".join((head, *parts)))


def _own_line(ctx: Context, coupon: Coupon, one: Offer) -> str:
    texts = ctx.texts
    if not coupon.usable(ctx.at):
        return texts("coupon.over", title=one.title, state=_state(ctx, coupon))
    held = coupon.status == "reserved" and (coupon.reserved_until or 0.0) > ctx.at
    code = coupon_words.code_line(texts, coupon)
    return texts(
        "coupon.own",
        title=one.title,
        worth=worth(texts, one, ctx.items),
        code=texts("coupon.in_checkout", code=code) if held else code,
        terms=terms(texts, one, ctx.items, ends_at=coupon.expires_at, now=ctx.at),
    )


def _state(ctx: Context, coupon: Coupon) -> str:
    """What became of a coupon that is no good any more."""
    texts = ctx.texts
    if coupon.redeemed_at is not None:
        return texts("coupon.state_redeemed", when=day_of_use(coupon.redeemed_at, ctx.at))
    if coupon.revoked_at is not None:
        return texts("coupon.state_revoked")
    ended = coupon.expires_at if coupon.expires_at is not None else coupon.expired_at
    if ended is None:
        return texts("coupon.state_over")
    return texts("coupon.state_expired", when=last_day(ended, ctx.at))


def day_of_use(at: float, now: float) -> str:
    """The day alone: when in the day it was used matters to nobody."""
    return day_of(at, now).partition(" ")[0]
