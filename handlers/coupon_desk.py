"""/coupon: operators make, watch, pause and close offers, give coupons and take them back.

Making one shows everything first, with the sentence that members will read; what costs money
or takes something away asks, and 确认 does it. Members are numbers here, codes stay out of the
log and the audit.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from handlers import coupon_words
from handlers.changes import ask, audited, executes, number_from, short
from handlers.context import Context
from handlers.coupon_text import Fault, parse
from handlers.coupon_words import day_of, last_day, terms, worth, yuan
from handlers.coupons import fitting
from handlers.message import Message, Reply
from handlers.router import folded
from handlers.rule_words import lost
from store import eligibility, rules
from store.coupons import Claim, Outcome, gift_key
from store.offers import NewOffer, Offer, OfferReport, fold

LISTED = 20
"""Offers in one list or report."""

GRANTED_AT_ONCE = 100
"""Members of one /coupon grant."""

_NAMED = 10
_BETWEEN = re.compile(r"[,，、\s]+|成员\s*")
_PART_CHARS = 30

Run = Callable[[Message, Context, str], Awaitable[Reply]]


async def coupon(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon new|list|show|pause|open|close|grant|revoke|report; alone, how each is used."""
    first, _, after = rest.strip().partition(" ")
    if "\n" in first:
        first, _, after = rest.strip().partition("\n")
    name = unicodedata.normalize("NFKC", first).lower()
    run = _COMMANDS.get(name)
    if run is None:
        if name in _MEANT:
            return Reply.text(ctx.texts("coupon_desk.meant", command=_MEANT[name]))
        near = difflib.get_close_matches(name, list(_COMMANDS), n=1, cutoff=0.5)
        if name and near:
            return Reply.text(ctx.texts("coupon_desk.meant", command=near[0]))
        return Reply.text(_usage(ctx))
    ctx.handler = f"operator.coupon.{name}"
    return await run(message, ctx, after.strip())


def _usage(ctx: Context) -> str:
    return ctx.texts("coupon_desk.usage")


# Making one


async def _new(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon new 早鸟 | 立减50元 | …: the preview; 确认 makes it."""
    texts = ctx.texts
    if not rest:
        return Reply.text(texts("coupon_desk.new_usage"))
    new, wrong = parse(rest, ctx.now)
    if new is None:
        lines = fitting([_fault(ctx, one) for one in wrong])
        head, tail = texts("coupon_desk.faults"), texts("coupon_desk.faults_tail")
        return Reply.text("\n".join((head, *lines, tail)))
    if await ctx.store.offers.by_word(new.word) is not None:
        return Reply.text(texts("coupon_desk.taken", word=new.word))
    if why := await lost(ctx, new.audience):
        return Reply.text(why)
    strange = _strange(ctx, new)
    if new.kind == "bundle" and strange:
        return Reply.text(texts("coupon_desk.bundle_unknown", items="、".join(strange[:_NAMED])))
    return await ask(ctx, "coupon.new", _as_json(new), preview(ctx, new))


def _strange(ctx: Context, new: NewOffer) -> list[str]:
    """Items of it that the catalogue does not have."""
    return [one for one in new.items if f"item:{one}" not in ctx.items]


def _fault(ctx: Context, one: Fault) -> str:
    texts = ctx.texts
    part = one.part if len(one.part) <= _PART_CHARS else one.part[: _PART_CHARS - 1] + "…"
    if one.why == "rule":
        why = texts("coupon_desk.fault_rule", at=one.at)
    else:
        why = texts(f"coupon_desk.fault_{one.why}")
    return texts("coupon_desk.fault", number=one.number, part=part, why=why)


def preview(ctx: Context, new: NewOffer) -> str:
    """All of an offer before it is made, and what a member will read."""
    texts, items = ctx.texts, ctx.items
    ends = _ends_at(new, ctx.at)
    lines = [texts("coupon_desk.new_head", word=new.word), *_facts(ctx, new)]
    if unknown := _strange(ctx, new):
        lines.append(texts("coupon_desk.unknown_items", items="、".join(unknown[:_NAMED])))
    tags = {folded(tag) for item in items.values() for tag in item.tags}
    strange = [tag for tag in new.categories if folded(tag) not in tags]
    if strange:
        lines.append(texts("coupon_desk.unknown_tags", tags="、".join(strange[:_NAMED])))
    if new.kind == "amount" and 0 < new.min_spend_cents < new.value:
        lines.append(texts("coupon_desk.above_least"))
    if tiers := _unknown_tiers(ctx, new.audience):
        lines.append(texts("coupon_desk.unknown_tiers", tiers="、".join(tiers)))
    if new.pool:
        lines.append(texts("coupon_desk.pool_next", word=new.word))
    verb = "coupon.how_exchange" if new.points_price else "coupon.how_claim"
    how = texts(verb, word=new.word)
    said = terms(texts, new, items, ends_at=ends, now=ctx.at)
    facts = {"title": new.title, "worth": worth(texts, new, items), "terms": said}
    if new.points_price:
        # What an exchange says depends on the member's points; this is what they see before it.
        lines += [texts("coupon_desk.members_ask"), texts("coupon.card", **facts, how=how)]
        return "\n".join(lines)
    code = texts("coupon.code", code=texts("coupon_desk.example_code"))
    lines += [
        texts("coupon_desk.members_read", how=how),
        texts("coupon.claimed", **facts, code=code),
    ]
    return "\n".join(lines)


def _unknown_tiers(ctx: Context, rule: str) -> list[str]:
    """Tiers of a rule that the configuration does not have: nobody would ever fit."""
    written = rules.terms(eligibility.parse(rule))
    tiers = [term.value for term in written if term.name == "tier"]
    return [one for one in tiers if one not in ctx.rewards.membership.tiers]


def _facts(ctx: Context, new: NewOffer) -> list[str]:
    """Everything an offer says, a line each, also what it leaves open."""
    texts, now = ctx.texts, ctx.at
    who = coupon_words.audience(texts, new.audience, ctx.items, ctx.rewards.levels)
    rule = texts("coupon_desk.audience_rule", who=who, rule=new.audience)
    if new.pool:
        count = texts("coupon_desk.from_pool")
    elif new.inventory is None:
        count = texts("coupon_desk.unlimited")
    else:
        count = texts("coupon_desk.count", count=new.inventory)
    from_, until = new.claim_from, new.claim_until
    end = texts("coupon_desk.no_end")
    if until is not None:
        end = texts("coupon.claim_until", when=last_day(until, now))
    said = "，".join(coupon_words.conditions(texts, new, ctx.items))
    return [
        texts("coupon_desk.fact_title", title=new.title),
        texts("coupon_desk.fact_worth", worth=worth(texts, new, ctx.items)),
        texts("coupon_desk.fact_terms", terms=said or texts("operator.nothing")),
        texts("coupon_desk.fact_count", count=count, each=new.per_member),
        texts(
            "coupon_desk.fact_window",
            since=texts("coupon_desk.at_once") if from_ is None else day_of(from_, now),
            until=end,
        ),
        texts("coupon_desk.fact_valid", valid=_validity(ctx, new)),
        texts("coupon_desk.fact_who", who=rule if who else texts("coupon_desk.everyone")),
        texts(
            "coupon_desk.fact_price",
            price=texts("coupon.costs", points=new.points_price)
            if new.points_price
            else texts("coupon_desk.free"),
        ),
    ]


def _validity(ctx: Context, new: NewOffer) -> str:
    texts = ctx.texts
    said = []
    if new.valid_days is not None:
        said.append(texts("coupon_desk.valid_days", days=new.valid_days))
    if new.valid_until is not None:
        said.append(texts("coupon_desk.valid_until", when=last_day(new.valid_until, ctx.at)))
    return "，".join(said) or texts("coupon.no_end")


def _ends_at(new: NewOffer, now: float) -> float | None:
    """When a coupon claimed now, or as soon as one can, would end; None for never."""
    since = max(now, new.claim_from or 0.0)
    ends = [] if new.valid_days is None else [since + new.valid_days * 86_400.0]
    return min([*ends, *([] if new.valid_until is None else [new.valid_until])], default=None)


def _as_json(new: NewOffer) -> dict[str, Any]:
    return dataclasses.asdict(new)


@executes("coupon.new")
async def _made(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    lists = {name: tuple(args[name]) for name in ("items", "categories")}
    new = NewOffer(**{**args, **lists})
    key = bytes.fromhex(message.key)
    made = await ctx.store.offers.create(new, ctx.at, f"member:{ctx.member.id}", key)
    if made is None:
        return Reply.text(ctx.texts("coupon_desk.taken", word=new.word))
    ctx.item = f"offer:{made.id}"
    await audited(message, ctx, "coupon.new", f"offer:{made.id}", made.word)
    if made.pool:
        return Reply.text(ctx.texts("coupon_desk.made_pool", title=made.title, word=made.word))
    verb = "coupon.how_exchange" if made.points_price else "coupon.how_claim"
    how = ctx.texts(verb, word=made.word)
    return Reply.text(ctx.texts("coupon_desk.made", title=made.title, how=how))


# Looking


async def _list(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon list [all]: the offers, newest first; all: closed ones, too."""
    found = await ctx.store.offers.all(closed=folded(rest) in ("all", "全部"))
    if not found:
        return Reply.text(ctx.texts("coupon_desk.list_none"))
    lines = fitting([_line(ctx, one) for one in found[:LISTED]])
    head = ctx.texts("coupon_desk.list_head", count=len(found))
    return Reply.text("\n".join((head, *lines)))


def _line(ctx: Context, one: Offer) -> str:
    texts = ctx.texts
    return texts(
        "coupon_desk.line",
        id=one.id,
        word=one.word,
        worth=worth(texts, one, ctx.items),
        claimed=_claimed(ctx, one),
        status=_status(ctx, one),
    )


def _claimed(ctx: Context, one: Offer) -> str:
    if one.inventory is None:
        return f"{one.claimed}"
    return f"{one.claimed}/{one.inventory}"


def _status(ctx: Context, one: Offer) -> str:
    """Not the row's word, but what a member meets now."""
    texts = ctx.texts
    if one.status != "open":
        return texts(f"coupon_desk.status_{one.status}")
    if one.valid_until is not None and one.valid_until <= ctx.at:
        return texts("coupon_desk.status_over")
    if one.claim_until is not None and one.claim_until <= ctx.at:
        return texts("coupon_desk.status_claim_over")
    if one.claim_from is not None and one.claim_from > ctx.at:
        return texts("coupon_desk.status_not_yet")
    if one.pool and not one.inventory:
        return texts("coupon_desk.status_no_codes")
    return texts("coupon_desk.status_sold_out" if one.sold_out else "coupon_desk.status_open")


async def _show(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon show WORD: everything about one."""
    one = await _named(ctx, rest)
    if one is None:
        return await _no_offer(ctx, rest)
    ctx.item = f"offer:{one.id}"
    head = ctx.texts("coupon_desk.show_head", id=one.id, word=one.word, status=_status(ctx, one))
    claimed = ctx.texts("coupon_desk.show_claimed", claimed=_claimed(ctx, one))
    return Reply.text("\n".join((head, *_facts(ctx, one), claimed)))


async def _named(ctx: Context, typed: str) -> Offer | None:
    """The offer with this word that is not closed, or with this number (#12), even closed."""
    typed = " ".join(typed.split())
    if not typed:
        return None
    found = await ctx.store.offers.by_word(typed)
    if found is None and (number := number_from(typed)) is not None:
        found = await ctx.store.offers.get(number)
    return found


async def _no_offer(ctx: Context, typed: str) -> Reply:
    texts = ctx.texts
    if not typed.strip():
        return Reply.text(_usage(ctx))
    words = [one.word for one in await ctx.store.offers.all()]
    near = difflib.get_close_matches(folded(typed), words, n=2, cutoff=0.5)
    meant = "、".join(f"「{word}」" for word in near or words[:_NAMED])
    if not meant:
        return Reply.text(texts("coupon_desk.list_none"))
    return Reply.text(texts("coupon_desk.no_offer", word=short(typed), meant=meant))


async def _report(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon report [WORD]: what was given out, used and taken off."""
    texts = ctx.texts
    if folded(rest) in ("", "all", "全部"):
        found = await ctx.store.offers.all(closed=True)
        reports = [await ctx.store.offers.report(one.id, ctx.at) for one in found[:LISTED]]
        lines = [_report_line(ctx, one) for one in reports if one is not None]
        if not lines:
            return Reply.text(texts("coupon_desk.list_none"))
        return Reply.text("\n".join((texts("coupon_desk.report_head"), *lines)))
    one = await _named(ctx, rest)
    report = None if one is None else await ctx.store.offers.report(one.id, ctx.at)
    if one is None or report is None:
        return await _no_offer(ctx, rest)
    ctx.item = f"offer:{one.id}"
    sources = "、".join(
        texts("coupon_desk.source_count", source=texts(f"coupon_desk.source_{name}"), count=count)
        for name, count in report.by_source.items()
    )
    return Reply.text(
        texts(
            "coupon_desk.report_one",
            title=one.title,
            given=_claimed(ctx, one),
            members=report.members,
            claimed=report.claimed,
            reserved=report.reserved,
            redeemed=report.redeemed,
            expired=report.expired,
            revoked=report.revoked,
            amount=yuan(report.amount_cents),
            discount=yuan(report.discount_cents),
            sources=sources or texts("operator.nothing"),
        )
    )


def _report_line(ctx: Context, report: OfferReport) -> str:
    return ctx.texts(
        "coupon_desk.report_line",
        word=report.offer.word,
        given=_claimed(ctx, report.offer),
        redeemed=report.redeemed,
        discount=yuan(report.discount_cents),
    )


# Pausing, opening, closing


async def _pause(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon pause WORD."""
    return await _ask_status(ctx, rest, "paused")


async def _close(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon close WORD: for good; its coupons stay good."""
    return await _ask_status(ctx, rest, "closed")


async def _ask_status(ctx: Context, rest: str, status: str) -> Reply:
    one = await _named(ctx, rest)
    if one is None:
        return await _no_offer(ctx, rest)
    if one.status in (status, "closed"):
        return Reply.text(
            ctx.texts("coupon_desk.status_same", title=one.title, status=_status(ctx, one))
        )
    question = ctx.texts(
        f"coupon_desk.ask_{status}", title=one.title, word=one.word, claimed=_claimed(ctx, one)
    )
    if status == "closed" and (paying := await ctx.store.quizzes.paying_with(one.word)):
        named = "".join(f"《{quiz.title}》" for quiz in paying[:_NAMED])
        question = f"{question}\n{ctx.texts('quiz.paying', quizzes=named)}"
    return await ask(ctx, f"coupon.{status}", {"offer": one.id}, question)


async def _open(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon open WORD: at once, for it takes nothing away."""
    one = await _named(ctx, rest)
    if one is None:
        word = fold(" ".join(rest.split()))
        every = await ctx.store.offers.all(closed=True)
        one = next((other for other in every if other.word == word), None)
    if one is None:
        return await _no_offer(ctx, rest)
    if one.status == "closed":
        return Reply.text(ctx.texts("coupon_desk.closed", title=one.title))
    return await _set_status(message, ctx, one.id, "open")


@executes("coupon.paused")
async def _paused(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    return await _set_status(message, ctx, args["offer"], "paused")


@executes("coupon.closed")
async def _closed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    return await _set_status(message, ctx, args["offer"], "closed")


async def _set_status(message: Message, ctx: Context, offer_id: int, status: Any) -> Reply:
    changed = await ctx.store.offers.set_status(offer_id, status, ctx.at)
    if changed is None:
        return Reply.text(ctx.texts("coupon_desk.gone"))
    ctx.item = f"offer:{offer_id}"
    await audited(message, ctx, f"coupon.{status}", f"offer:{offer_id}", changed.word)
    return Reply.text(
        ctx.texts(f"coupon_desk.now_{status}", title=changed.title, word=changed.word)
    )


# Giving and taking back


async def _grant(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon grant WORD N [N…]: a coupon each, whatever the offer asks of members."""
    texts = ctx.texts
    word, _, after = rest.partition(" ")
    typed = _BETWEEN.sub(" ", after).split()
    numbers = [number_from(one) for one in typed]
    if not typed or None in numbers:
        return Reply.text(texts("coupon_desk.grant_usage"))
    one = await _named(ctx, word)
    if one is None:
        return await _no_offer(ctx, word)
    if one.status == "closed":
        return Reply.text(texts("coupon_desk.closed", title=one.title))
    wanted = list(dict.fromkeys(number for number in numbers if number is not None))
    if len(wanted) > GRANTED_AT_ONCE:
        return Reply.text(texts("coupon_desk.grant_many", limit=GRANTED_AT_ONCE))
    strangers = [n for n in wanted if await ctx.store.members.card(n) is None]
    if strangers:
        return Reply.text(texts("coupon_desk.grant_strangers", members=_people(ctx, strangers)))
    if one.left is not None and one.left < len(wanted):
        return Reply.text(
            texts("coupon_desk.grant_too_few", title=one.title, left=one.left, count=len(wanted))
        )
    question = texts(
        "coupon_desk.grant_ask" if len(wanted) > 1 else "coupon_desk.grant_ask_one",
        members=_people(ctx, wanted),
        title=one.title,
        worth=worth(texts, one, ctx.items),
        **({"count": len(wanted)} if len(wanted) > 1 else {}),
    )
    return await ask(ctx, "coupon.grant", {"offer": one.id, "members": wanted}, question)


def _people(ctx: Context, numbers: Sequence[int]) -> str:
    """ "成员 3、12"; behind the tenth only their number."""
    named = "、".join(str(number) for number in numbers[:_NAMED])
    if len(numbers) <= _NAMED:
        return ctx.texts("coupon_desk.members", members=named)
    return ctx.texts("coupon_desk.members_many", members=named, count=len(numbers))


@executes("coupon.grant")
async def _granted(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts = ctx.texts
    offer_id, wanted = args["offer"], list(args["members"])
    done = await ctx.store.coupons.grant(
        offer_id, wanted, bytes.fromhex(message.key), ctx.at, f"member:{ctx.member.id}"
    )
    ctx.item = f"offer:{offer_id}"
    given = [
        (number, claim)
        for number, claim in zip(wanted, done, strict=True)
        if claim.outcome in (Outcome.CLAIMED, Outcome.AGAIN)
    ]
    who = " ".join(str(number) for number, _ in given)
    await audited(message, ctx, "coupon.grant", f"offer:{offer_id}", f"members {who}")
    for number, claim in given:
        await _tell(ctx, number, claim)
    lines = [texts("coupon_desk.granted", count=len(given))]
    if not given:
        lines = [texts("coupon_desk.granted_none")]
    for outcome in dict.fromkeys(claim.outcome for claim in done):
        left_out = [n for n, c in zip(wanted, done, strict=True) if c.outcome is outcome]
        if outcome not in (Outcome.CLAIMED, Outcome.AGAIN):
            why = texts(f"coupon_desk.not_granted_{_NOT_GRANTED.get(outcome, 'gone')}")
            one = next(claim.offer for claim in done if claim.outcome is outcome)
            if outcome is Outcome.ALREADY and one is not None:
                why = texts("coupon_desk.not_granted_most", each=one.per_member)
            lines.append(texts("coupon_desk.not_granted", members=_people(ctx, left_out), why=why))
    return Reply.text("\n".join(lines))


_NOT_GRANTED: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.SOLD_OUT: "sold_out",
        Outcome.ENDED: "ended",
        Outcome.NOT_FOR_YOU: "gone",
    }
)


async def _tell(ctx: Context, member_id: int, claim: Claim) -> None:
    """Their coupon, if WeChat lets us write to them now; it is in 我的券 anyway."""
    one, got = claim.offer, claim.coupon
    if one is None or got is None:
        return
    text = ctx.texts(
        "coupon_desk.gift",
        title=one.title,
        worth=worth(ctx.texts, one, ctx.items),
        code=coupon_words.code_line(ctx.texts, got),
        terms=terms(ctx.texts, one, ctx.items, ends_at=got.expires_at, now=ctx.at),
    )
    await ctx.pushes.plan(gift_key(f"coupon.granted:{got.id}"), member_id, Reply.text(text))


async def _revoke(message: Message, ctx: Context, rest: str) -> Reply:
    """/coupon revoke CODE REASON: one that is not used; its owner keeps nothing."""
    texts = ctx.texts
    typed, _, reason = rest.partition(" ")
    reason = " ".join(reason.split())
    if not typed or not reason:
        return Reply.text(texts("coupon_desk.revoke_usage"))
    found = await ctx.store.coupons.by_code(typed)
    if found is None:
        return Reply.text(texts("coupon_desk.no_code"))
    one = await ctx.store.offers.get(found.offer_id)
    title = one.title if one is not None else ""
    if found.member_id is None:
        return Reply.text(texts("coupon_desk.nobodys", title=title))
    if not found.usable(ctx.at):
        return Reply.text(texts("coupon_desk.not_revocable", title=title))
    question = texts(
        "coupon_desk.revoke_ask",
        title=title,
        code=found.shown,
        member=found.member_id,
        reason=short(reason),
    )
    return await ask(ctx, "coupon.revoke", {"coupon": found.id, "reason": reason[:200]}, question)


@executes("coupon.revoke")
async def _revoked(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    by = f"member:{ctx.member.id}"
    done = await ctx.store.coupons.revoke(args["coupon"], ctx.at, by, args["reason"])
    if done is None:
        # It was used while the question waited.
        return Reply.text(ctx.texts("coupon_desk.revoke_too_late"))
    ctx.item = f"offer:{done.offer_id}"
    target = f"coupon:{done.id}"
    await audited(message, ctx, "coupon.revoke", target, short(args["reason"]))
    return Reply.text(ctx.texts("coupon_desk.revoked"))


_MEANT: Mapping[str, str] = MappingProxyType(
    {"delete": "close", "del": "close", "remove": "close", "stop": "pause", "add": "new"}
)
"""Words of other systems -> ours; the nearest in letters would mislead."""

_COMMANDS: Mapping[str, Run] = MappingProxyType(
    {
        "new": _new,
        "list": _list,
        "show": _show,
        "pause": _pause,
        "open": _open,
        "close": _close,
        "grant": _grant,
        "revoke": _revoke,
        "report": _report,
    }
)
"""What follows /coupon; docs/commands.md describes each."""
