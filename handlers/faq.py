"""Questions and answers: sure, unsure or unknown, and never a pretence of knowing more.

A sure answer is looked up in memory and awaits nothing, but for a suggestion below one that is
about an item, and for that not long (`handlers/suggestions.py`). Feedback names the last answer;
what nobody could answer joins the gap list, without whatever looks like a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from handlers import coupons, polls
from handlers.answers import kind_of, source_of, tell
from handlers.choices import offer
from handlers.content import FOUND, containing, numbered, results
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.suggestions import also
from knowledge import PASSAGE_AT, Band, Hit, Knowledge

router = Router("faq")
feedback = Router("feedback")

CHOICES = 3
"""How many questions "您是不是想问" offers."""

MAX_CHARS = 200
"""How much of a question is read."""

_WORD_CHARS = 12
_NAME_CHARS = 40
_COVERED = 0.75
_RELATED = 0.4
"""How much of a question a catalogue item covers: enough to be what was meant, and enough
for 也许你想看 (measured on the seeded catalogue; what is unrelated mostly scores 0)."""

_MUCH_SURER = 0.5
"""A passage that says all of it goes before questions that share a word or two with it."""

_FEEDBACK_S = 86_400.0
_RATED = frozenset(("faq", "faq.useful", "faq.useless"))
_PRIVATE = re.compile(r"\d{6,}|\S+@\S+")
_EMOTICON = re.compile(r"\[[^\[\]]{1,6}\]|/:[!-Z^-~]{1,12}")
_OF_A_NAME = re.compile("的?(?:课程?|教程|内容)?(?:都?有(?:哪些|什么))?$")
_HEADLINE = re.compile(r"[：:]")


def gap_of(knowledge: Knowledge, text: str) -> tuple[str, str] | None:
    """(question, sample) for the gap list; None when there is nothing to learn from.

    question: cleaned, what equal gaps share; sample: as typed, at most 200 characters.
    Long digit runs and mail addresses are masked: the list outlives the member's data.
    A text without two letters ("？？", "2") is no gap; WeChat's emoticons ([微笑], /:rose)
    don't count.
    """
    sample = _PRIVATE.sub("***", _EMOTICON.sub("", text[:MAX_CHARS]).strip())
    question = knowledge.clean(sample)
    if sum(char.isalpha() for char in question) < 2:
        return None
    return question, sample


def _stated(message: Message, ctx: Context) -> bool:
    """有用？ asks whether something is of use, and says nothing about the last answer."""
    return not asking(message.text)


@feedback.text("有用|有帮助", guard=_stated, where="both")
async def useful(message: Message, ctx: Context) -> Reply:
    """The last answer helped."""
    return await _rate(ctx, True, "faq.useful_thanks")


@feedback.text("没用|没有用|没帮助|没有帮助", guard=_stated, where="both")
async def useless(message: Message, ctx: Context) -> Reply:
    """The last answer did not."""
    return await _rate(ctx, False, "faq.useless_thanks")


async def _rate(ctx: Context, useful: bool, thanks: str) -> Reply:
    told = await ctx.store.interactions.last_told(ctx.member.id, ctx.at - _FEEDBACK_S)
    handler, item = told
    # What was shown since is what the member means, and of that only answers are rated.
    if handler not in _RATED or not item:
        ctx.handler = "faq.feedback"
        return Reply.text(ctx.texts("faq.feedback_nothing"))
    ctx.handler, ctx.item = "faq.useful" if useful else "faq.useless", item
    kind, _, number = item.partition(":")
    if kind == "faq" and number.isdigit():
        turned = await ctx.store.learning.vote(ctx.member.id, int(number), useful, ctx.at)
        if turned:
            await ctx.reload(item)  # for `demoted`
        if useful and ctx.rewards.points.useful:
            await _reward(ctx, int(number))
    return Reply.text(ctx.texts(thanks))


async def _reward(ctx: Context, faq_id: int) -> None:
    """Who taught the answer earns points, once for each member who finds it useful."""
    rules = ctx.rewards.points
    teacher = await ctx.store.points.useful(
        faq_id, ctx.member.id, rules.useful, rules.useful_a_day, ctx.at, rules.ends_at(ctx.at)
    )
    if teacher is not None:
        await ctx.store.points.honour(teacher, ctx.rewards.badges, ctx.at)


@router.question(where="both")
async def ask(message: Message, ctx: Context) -> Reply:
    """Answer, offer what may be meant, or say that we don't know."""
    text = message.text
    decision = ctx.knowledge.ask(text[:MAX_CHARS], ctx.demoted)
    hits = decision.hits
    # A sure answer touches no database, so only what is not sure is looked for in a poll.
    known = decision.band is Band.SURE and bool(hits)
    private = message.talk is None
    if not known and private and (vote := await polls.by_words(message, ctx)) is not None:
        return vote
    if decision.band is not Band.UNSURE and not _has(ctx, hits, text):
        reply = await _of_that_name(ctx, text)
        if reply is not None:
            return reply
    if decision.band is Band.SURE and hits:
        told = hits[0].id
        if hits[0].confidence <= 1.0 - _MUCH_SURER:
            passage, sure = _passage(ctx, text)
            if sure >= hits[0].confidence + _MUCH_SURER:
                told = passage
        reply = await tell(ctx, told, "answer")
        if reply is not None:
            return await also(message, ctx, reply)
    items = [hit for hit in ctx.knowledge.find(text[:MAX_CHARS], CHOICES) if hit.id in ctx.items]
    passage, sure = _passage(ctx, text)
    if decision.band is not Band.UNKNOWN and sure < hits[0].confidence + _MUCH_SURER:
        reply = await _suggest(ctx, text, hits, items, passage)
        if reply is not None:
            return reply
    elif _is_search(ctx, text, items):
        reply = await results(ctx, text)
        if reply is not None:
            return reply
    elif passage:
        reply = await tell(ctx, passage)
        if reply is not None:
            return reply
    # In a group what is hardly related reads like an advert.
    least = _RELATED if private else _COVERED
    return await _unknown(message, ctx, [hit.id for hit in items if hit.score >= least])


def _has(ctx: Context, hits: Sequence[Hit], text: str) -> bool:
    """Whether these very words are a question of the FAQ."""
    return bool(hits) and ctx.knowledge.clean(hits[0].question) == ctx.knowledge.clean(text)


async def _of_that_name(ctx: Context, text: str) -> Reply | None:
    """What is of the kind (电子书) or bears the name that is typed alone; None for neither.

    A tag, a teacher or a title asks for what bears it, not for the entry of the FAQ that
    happens to hold the word.
    """
    if not 2 <= len(text) <= _NAME_CHARS:
        return None
    bare = _OF_A_NAME.sub("", folded(text))
    wanted = {folded(text), bare, bare.removesuffix("老师")} - {""}
    kinds = {item.kind: item for item in ctx.items.values()}
    named = {kind for kind, item in kinds.items() if folded(kind_of(ctx.texts, item)) in wanted}
    if named:
        things = [thing for thing, item in ctx.items.items() if item.kind in named]
        ctx.handler = "content.search"
        await offer(ctx, things[:FOUND], "content", rest=things[FOUND:])
        head = ctx.texts("content.search_head", query=" ".join(text.split()))
        return Reply.text(numbered(ctx, head, things[:FOUND]))
    # The first letter spares narrowing nearly every name: a sure answer waits for this.
    first = tuple(one for name in wanted for one in (name[:1], name[:1].upper()))
    for item in ctx.items.values():
        if item.title.startswith(first):
            title = _HEADLINE.split(item.title, maxsplit=1)[0]
            if folded(title) in wanted:
                return await results(ctx, title)
        for name in (*item.tags, *item.authors):
            if name.startswith(first) and folded(name) in wanted:
                return await results(ctx, name)
    return None


def _passage(ctx: Context, text: str) -> tuple[str, float]:
    """The passage of a document that surely speaks of this, and how surely; ("", 0) for none."""
    hits = ctx.knowledge.passages(text[:MAX_CHARS], 1) if ctx.passages else []
    if hits and hits[0].confidence >= PASSAGE_AT and hits[0].id in ctx.passages:
        return hits[0].id, hits[0].confidence
    return "", 0.0


def _named(ctx: Context, text: str) -> list[str]:
    """The items whose title, tags or teacher hold a few letters like these; none for more."""
    if not 2 <= len(text) <= _WORD_CHARS:
        return []
    return containing(ctx.items.items(), folded(text))[0]


def _is_search(ctx: Context, text: str, items: Sequence[Hit]) -> bool:
    """A few letters that a title holds or key words that an item covers: no question."""
    if not 2 <= len(text) <= _WORD_CHARS:
        return False
    covered = bool(items) and items[0].score >= _COVERED
    return covered or bool(_named(ctx, text))


async def _suggest(
    ctx: Context, text: str, hits: Sequence[Hit], items: Sequence[Hit], passage: str
) -> Reply | None:
    """您是不是想问 … The items of that very name, the best question, the items that cover
    what was typed, more questions. One place stays for the best question, one for a passage.

    None when nothing of it is known any more.
    """
    questions = [hit for hit in hits if hit.id in ctx.answers]
    named = _named(ctx, text)
    first = named[: CHOICES - 1] if questions else named[:CHOICES]
    shown = {thing: ctx.items[thing].title for thing in first}
    covering = [hit for hit in items if hit.score >= _COVERED]
    places = CHOICES - 1 if passage and len(shown) < CHOICES - 1 else CHOICES
    for hit in (*questions[:1], *covering, *questions[1:]):
        if len(shown) == places:
            break
        item = ctx.items.get(hit.id)
        shown.setdefault(hit.id, hit.question if item is None else item.title)
    if passage and len(shown) < CHOICES:
        shown[passage] = source_of(ctx.texts, ctx.passages[passage])
    if not shown:
        return None
    ctx.handler = "faq.offer"
    await offer(ctx, list(shown), "faq", asked=text)
    lines = [
        ctx.texts("faq.unsure_item", number=number, question=question)
        for number, question in enumerate(shown.values(), 1)
    ]
    head, tail = ctx.texts("faq.unsure_head"), ctx.texts("faq.unsure_tail")
    return Reply.text("\n".join((head, *lines, tail)))


async def _unknown(message: Message, ctx: Context, related: Sequence[str]) -> Reply:
    if message.talk is None:
        if (told := await coupons.named(ctx, message.text)) is not None:
            return told
    elif await coupons.offered(ctx, message.text):
        # Who may have a coupon is nobody else's business: see `handlers/group_dialogue.py`.
        ctx.handler = "coupon.offer"
        return Reply.text(ctx.texts("group.private"))
    ctx.handler = "faq.unknown"
    gap = gap_of(ctx.knowledge, message.text)
    # What the log may not have, as a code, the gaps may not either.
    noted = gap is not None and not ctx.is_operator() and ctx.logged is None
    if gap is not None and noted:
        await ctx.store.content.add_gap(*gap, ctx.at, bytes.fromhex(message.key))
    if len(message.text) > MAX_CHARS:
        return Reply.text(ctx.texts("errors.too_long", limit=MAX_CHARS))
    # Only what was written down may be said to be.
    unknown = ctx.texts("faq.unknown" if noted else "faq.no_words")
    if gap is not None and not noted:
        unknown = ctx.texts("faq.unknown_operator")
    if not related:
        return Reply.text(unknown)
    await offer(ctx, related, "faq")
    if noted:
        return Reply.text(numbered(ctx, ctx.texts("faq.unknown_related"), related))
    return Reply.text(numbered(ctx, f"{unknown}\n\n{ctx.texts('faq.related_head')}", related))
