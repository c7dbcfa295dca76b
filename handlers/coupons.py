"""Coupons for members: what there is to claim, claiming it, and what one has.

The store decides who gets one and gives the same message the same code again; here every
answer becomes a sentence that says why, and what to do next. Claim words need 领券 or 领 before
them: an offer may have any word, and a word alone is told about only where the FAQ knows nothing.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence

from handlers import coupon_words
from handlers.choices import number_in, offer, recall
from handlers.context import Context
from handlers.coupon_typed import ASKS, CLAIM, DASH, MINE, Said, bare, code_in, is_code, said_in
from handlers.coupon_words import day_of, last_day, terms, worth
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.tiers import closed, refused
from knowledge import Band
from store.claimable import GUESSES, Locked, Priced, Served
from store.coupons import Claim, Claimant, Coupon, Outcome
from store.offers import LONGEST_TITLE, LONGEST_WORD, Offer, fold

router = Router("coupon")

LISTED = 10
"""Offers in one list, usable coupons on one page."""

USED_LISTED = 5
"""Coupons that are used or over, newest first."""

_QUESTION = re.compile(
    "怎么|如何|什么|为啥|哪|多少|几|能不能|可不可以|可以|不了|不到|不行|失败|没反应|[吗呢么]$"
)
_LATIN = re.compile("[0-9a-z]")
_ORDINAL = re.compile(r"第?([0-9]{1,2}|[一二三四五六七八九十])[个张种]?")

_READ = 60
_PAGE_BYTES = 1600
"""Of the coupons on one page; with what stands around them it is one message."""

_NEAREST = 2
_COMPARED = 200
"""Of the newest offers; a shop with more of them open at once has no use for likeness."""

_LIST_BYTES = 1500
_PRICED = 3
_SHOWN_CHARS = 20


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
@router.text(ASKS, name="coupon.list")
async def listed(message: Message, ctx: Context) -> Reply:
    """What this member may claim now; a number claims it. What costs points is only named."""
    texts = ctx.texts
    theirs = await _claimable(ctx)
    found = [one for one in theirs if not one.points_price]
    priced = [one for one in theirs if one.points_price]
    more = []
    if priced:
        titles = "".join(f"「{one.title}」" for one in priced[:_PRICED])
        more.append(texts("coupon.also_exchange", titles=titles))
    if not found:
        return Reply.text("\n".join((texts("coupon.none"), *more)))
    lines = fitting([_line(ctx, number, one) for number, one in enumerate(found[:LISTED], 1)])
    await offer(ctx, [f"coupon:{one.id}" for one in found[: len(lines)]], "coupon")
    tail = texts("coupon.list_tail")
    if len(found) > len(lines):
        tail = texts("coupon.list_part", shown=len(lines), count=len(found))
    return Reply.text("\n".join((texts("coupon.list_head"), *lines, *more, tail)))


def fitting(lines: Sequence[str]) -> list[str]:
    """As many of the first lines as one message holds beside its head and tail."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode()) + 1
        if kept and size > _LIST_BYTES:
            break
        kept.append(line)
    return kept


async def _claimable(ctx: Context) -> list[Offer]:
    who = claimant(ctx)
    return await ctx.store.claimable.by(who.member_id, ctx.at, who.levels, who.tiers)


def _line(ctx: Context, number: int, one: Offer) -> str:
    texts = ctx.texts
    said = [worth(texts, one, ctx.items)]
    if one.min_spend_cents:
        said.append(texts("coupon.min_spend", yuan=coupon_words.yuan(one.min_spend_cents)))
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


@router.text(CLAIM.pattern, name="coupon.claim")
async def claim(message: Message, ctx: Context) -> Reply | None:
    """领券 早鸟, 领 早鸟, and 领早鸟 where there is such an offer. 领券 2 picks from the list.

    Its title is as good as its word, and so is either with 券, 谢谢 or an emoji at its end.
    None for what only looks like it: 领导力课程, 领券 怎么用.
    """
    said = said_in(message.text)
    if said is None:
        return None
    code = is_code(said.word)
    if code:
        ctx.logged = ctx.texts("coupon.hidden")
    if not said.word:
        return await listed(message, ctx) if said.ticket else None
    if closed(ctx, "coupon.claim"):
        known = await _meant(ctx, said.word) is not None
        return refused(ctx, "coupon.claim") if known or _is_try(ctx, message, said) else None
    if asking(message.text):
        return await _asked(message, ctx, said)
    served = await _serve(message, ctx, said.word)
    if await _is_offer(ctx, served, said.word):
        return _served(ctx, served)
    if not isinstance(served, Locked) and (meant := await _meant(ctx, said.word)) is not None:
        return _served(ctx, await _serve(message, ctx, meant.word))
    reply = await _from_list(message, ctx, said.word)
    if reply is not None:
        return reply
    if not _is_try(ctx, message, said):
        return None
    if isinstance(served, Locked):
        return _locked(ctx, served.until)
    ctx.counts.claim(Outcome.NO_OFFER)
    return await _unknown(message, ctx, said)


def _is_try(ctx: Context, message: Message, said: Said) -> bool:
    """Whether a word that no offer has was still meant as one: then it is a guess.

    领 证书 is the FAQ's where the FAQ is sure; 领早起 may be anything, 领口令7300 is a guess.
    """
    if is_code(said.word):
        return True
    if _QUESTION.search(said.word):
        return False
    if said.ticket and said.apart:
        return True
    if not said.apart and (len(said.word) > LONGEST_WORD or not _LATIN.search(said.word)):
        return False
    return ctx.knowledge.ask(message.text, ctx.demoted).band is not Band.SURE


async def _asked(message: Message, ctx: Context, said: Said) -> Reply | None:
    """领券 早鸟？ tells about it, to whom it is for. Asking is trying: it counts, and the lock."""
    found = await ctx.store.offers.by_word(said.word) or await _meant(ctx, said.word)
    if found is None and not _is_try(ctx, message, said):
        return None
    locked = await ctx.store.members.locked_until(ctx.member.id, GUESSES, ctx.at)
    if locked:
        return _locked(ctx, locked)
    if found is not None and await _is_theirs(ctx, found):
        return _card(ctx, found)
    return await _unknown(message, ctx, said)


async def named(ctx: Context, text: str) -> Reply | None:
    """The offer whose word or title is typed alone, told about; None when there is none for them.

    For texts that nobody else has an answer to.
    """
    word = "".join(folded(text).split())
    if not bare(word) or len(word) > LONGEST_TITLE or closed(ctx, "coupon.offer"):
        return None
    found = await _meant(ctx, word)
    return _card(ctx, found) if found is not None and await _is_theirs(ctx, found) else None


async def offered(ctx: Context, text: str) -> bool:
    """Whether an open offer has this word or title, for whomever it is."""
    word = "".join(folded(text).split())
    if not bare(word) or len(word) > LONGEST_TITLE or closed(ctx, "coupon.offer"):
        return False
    return await _meant(ctx, word) is not None


async def _is_theirs(ctx: Context, one: Offer) -> bool:
    """Whether this member may know about it: it is for all, or they can claim or have it."""
    if not one.audience or any(other.id == one.id for other in await _claimable(ctx)):
        return True
    held = await ctx.store.coupons.of(ctx.member.id, ctx.at, limit=_READ)
    return any(other.id == one.id for _, other in held)


async def _meant(ctx: Context, word: str) -> Offer | None:
    """The offer with this title, or with this word or title but for what stands around it."""
    wanted = {word, bare(word)}
    for one in (await ctx.store.offers.all())[:_COMPARED]:
        names = (one.word, "".join(fold(one.title).split()))
        if any(name in wanted or bare(name) in wanted for name in names):
            return one
    return None


async def _is_offer(ctx: Context, served: Served, word: str) -> bool:
    """Whether the word is one; who is locked may still ask 领导力课程多少钱."""
    if isinstance(served, Locked):
        return await ctx.store.offers.by_word(word) is not None
    return isinstance(served, Priced) or served.offer is not None


async def _from_list(message: Message, ctx: Context, word: str) -> Reply | None:
    """领券 2, when the list shown last was ours; None for anything else."""
    found = _ORDINAL.fullmatch(word)
    number = number_in(found[1]) if found is not None else None
    if number is None:
        return None
    shown = await recall(ctx, message.key)
    if shown is None or shown.source != "coupon" or ctx.at >= shown.until:
        # Another list was shown since, or none: a number is no guess at a word.
        return await listed(message, ctx)
    if not 1 <= number <= len(shown.things):
        return Reply.text(ctx.texts("coupon.choice_range", count=len(shown.things)))
    return await claim_listed(message, ctx, shown.things[number - 1])


async def claim_listed(message: Message, ctx: Context, thing: str) -> Reply | None:
    """The offer "coupon:12" of a list, claimed; None when there is no such offer."""
    number = int(thing.partition(":")[2])
    if asking(message.text):
        found = await ctx.store.offers.get(number)
        return None if found is None else _card(ctx, found)
    if (shut := refused(ctx, "coupon.claim")) is not None:
        return shut
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
    if done.outcome is Outcome.ALREADY:
        return texts("coupon.already_once", title=one.title)
    if done.outcome is Outcome.NOT_STARTED and one.claim_from is not None:
        when = day_of(one.claim_from, ctx.at)
        return texts("coupon.not_started", title=one.title, when=when, word=one.word)
    if done.outcome is Outcome.NOT_FOR_YOU and one.audience:
        who = coupon_words.audience(texts, one.audience, ctx.items, ctx.rewards.levels)
        return texts("coupon.not_for_you", title=one.title, who=who)
    if done.outcome is Outcome.TOO_FEW_POINTS:
        return texts("coupon.too_few_points", title=one.title, points=one.points_price)
    if done.outcome is Outcome.SOLD_OUT and one.pool and not one.inventory:
        return texts("coupon.not_ready", title=one.title, word=one.word)
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


async def _unknown(message: Message, ctx: Context, said: Said) -> Reply:
    """No such offer, and none ever had the word: the nearest ones, and one guess less.

    Who only mistyped a word of letters that all may know has not guessed.
    """
    ctx.handler = "coupon.claim"
    word = said.word
    if is_code(word) and (own := await _own_code(ctx, word)) is not None:
        return own
    # What is for some only is named to those alone.
    public = [one for one in await ctx.store.offers.all() if not one.audience]
    theirs = await _claimable(ctx)
    known = {one.word: one for one in (*theirs[:_COMPARED], *public[:_COMPARED])}
    near = nearest(word, list(known))
    if (not near or _LATIN.search(word)) and (locked := await _wrong(message, ctx)):
        return locked
    typed = said.typed
    shown = typed if len(typed) <= _SHOWN_CHARS else typed[: _SHOWN_CHARS - 1] + "…"
    if not near:
        return Reply.text(ctx.texts("coupon.unknown", word=shown))
    meant = "、".join(
        ctx.texts("coupon.say_exchange" if known[one].points_price else "coupon.say", word=one)
        for one in near
    )
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


def _holds_code(message: Message, ctx: Context) -> bool:
    """A mistyped code counts: it is one sign from somebody's."""
    return bool(code_in(message.text))


@router.text(rf".*?[2-9a-z]{{4}}{DASH}*[2-9a-z].*", guard=_holds_code, name="coupon.code")
async def typed_code(message: Message, ctx: Context) -> Reply:
    """A code, alone or in a text (券码 X, X 怎么用): what it is, to whose it is.

    The log does not keep it.
    """
    ctx.logged = ctx.texts("coupon.hidden")
    locked = await ctx.store.members.locked_until(ctx.member.id, GUESSES, ctx.at)
    if locked:
        return _locked(ctx, locked)
    # Somebody else's code and one that nobody has look the same.
    return (
        await _own_code(ctx, code_in(message.text))
        or await _wrong(message, ctx)
        or Reply.text(ctx.texts("coupon.code_unknown"))
    )


@router.text(r"(?=.*[0-9])[!-.0-~][!-~]{5,63}", name="coupon.code")
async def shops_code(message: Message, ctx: Context) -> Reply | None:
    """A text without blanks that may be a shop's own code: told to its owner.

    For anybody else it is a question like any other, known code or not; but the log and the
    gaps do not keep it.
    """
    coupon = await ctx.store.coupons.by_code(message.text)
    if coupon is not None or is_code(message.text):
        ctx.logged = ctx.texts("coupon.hidden")
    return None if coupon is None else await _own_code(ctx, message.text)


async def _own_code(ctx: Context, typed: str) -> Reply | None:
    """The member's coupon with this code; None when it is not theirs."""
    coupon = await ctx.store.coupons.by_code(typed)
    if coupon is None or coupon.member_id != ctx.member.id:
        return None
    one = await ctx.store.offers.get(coupon.offer_id)
    if one is None:
        return None
    ctx.handler, ctx.item = "coupon.code", f"offer:{one.id}"
    line = _own_line(ctx, coupon, one)
    if not coupon.usable(ctx.at):
        return Reply.text(line)
    return Reply.text("\n".join((line, ctx.texts("coupon.at_checkout"))))


# What one has


@router.text(
    "我的券|我的优惠券|我的卡券|我的券码|我的优惠|查看我的券|我有什么券|我有哪些券",
    name="coupon.mine",
)
@router.text(MINE, name="coupon.mine")
async def mine(message: Message, ctx: Context) -> Reply:
    """One's own coupons: usable ones in full, those that end first first; the others short.

    我的券 2 is the second page.
    """
    texts = ctx.texts
    found = await ctx.store.coupons.of(ctx.member.id, ctx.at, limit=_READ)
    usable = [(coupon, one) for coupon, one in found if coupon.usable(ctx.at)]
    over = [(coupon, one) for coupon, one in found if not coupon.usable(ctx.at)]
    if not found:
        return Reply.text(texts("coupon.mine_none"))
    parts = [_own_line(ctx, coupon, one) for coupon, one in usable]
    if over:
        short = [
            texts("coupon.over", title=one.title, state=_state(ctx, coupon))
            for coupon, one in over[:USED_LISTED]
        ]
        parts.append("\n".join((texts("coupon.over_head"), *short)))
    pages = _pages(parts)
    said = re.fullmatch(MINE, folded(message.text))
    page = min(max(int(said[1]), 1), len(pages)) if said is not None and said[1] else 1
    head = texts("coupon.mine_head", count=len(usable)) if usable else texts("coupon.mine_no_more")
    tail = []
    if len(pages) > 1:
        head = texts("coupon.mine_page", count=len(usable), page=page, pages=len(pages))
    if page < len(pages):
        tail.append(texts("coupon.mine_next", page=page + 1))
    return Reply.text("\n\n".join((head, *pages[page - 1], *tail)))


def _pages(parts: Sequence[str]) -> list[list[str]]:
    """The parts in their order, as many on a page as one message holds, at most ten."""
    pages: list[list[str]] = [[]]
    for part in parts:
        size = sum(len(one.encode()) for one in (*pages[-1], part))
        if pages[-1] and (len(pages[-1]) == LISTED or size > _PAGE_BYTES):
            pages.append([])
        pages[-1].append(part)
    return pages


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
