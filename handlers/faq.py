"""Questions and answers: sure, unsure or unknown, and never a pretence of knowing more.

A sure answer is looked up in memory and awaits nothing. Feedback names the last answer;
what nobody could answer joins the gap list, without whatever looks like a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from handlers.answers import line_for, source_of, tell
from handlers.choices import offer
from handlers.content import containing, results
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from knowledge import PASSAGE_AT, Band, Hit, Knowledge

router = Router("faq")
feedback = Router("feedback")

CHOICES = 3
"""How many questions "您是不是想问" offers."""

MAX_CHARS = 200
"""How much of a question is read."""

_WORD_CHARS = 12
_COVERED = 0.75
_RELATED = 0.4
"""How much of a question a catalogue item covers: enough to be what was meant, and enough
for 也许你想看 (measured on the seeded catalogue; what is unrelated mostly scores 0)."""

_MUCH_SURER = 0.5
"""A passage that says all of it goes before questions that share a word or two with it."""

_FEEDBACK_S = 86_400.0
_PRIVATE = re.compile(r"\d{6,}|\S+@\S+")
_EMOTICON = re.compile(r"\[[^\[\]]{1,6}\]")


def gap_of(knowledge: Knowledge, text: str) -> tuple[str, str] | None:
    """(question, sample) for the gap list; None when there is nothing to learn from.

    question: cleaned, what equal gaps share; sample: as typed, at most 200 characters.
    Long digit runs and mail addresses are masked: the list outlives the member's data.
    A text without two letters ("？？", "2") is no gap; WeChat's emoticons ([微笑]) don't count.
    """
    sample = _PRIVATE.sub("***", _EMOTICON.sub("", text[:MAX_CHARS]).strip())
    question = knowledge.clean(sample)
    if sum(char.isalpha() for char in question) < 2:
        return None
    return question, sample


@feedback.text("有用|有帮助|有用。")
async def useful(message: Message, ctx: Context) -> Reply:
    """The last answer helped."""
    return await _rate(ctx, True, "faq.useful_thanks")


@feedback.text("没用|没有用|没帮助|没有帮助|没用。")
async def useless(message: Message, ctx: Context) -> Reply:
    """The last answer did not."""
    return await _rate(ctx, False, "faq.useless_thanks")


async def _rate(ctx: Context, useful: bool, thanks: str) -> Reply:
    item = await ctx.store.interactions.last_item(ctx.member.id, "faq", ctx.at - _FEEDBACK_S)
    if not item:
        ctx.handler = "faq.feedback"
        return Reply.text(ctx.texts("faq.feedback_nothing"))
    ctx.handler, ctx.item = "faq.useful" if useful else "faq.useless", item
    kind, _, number = item.partition(":")
    if kind == "faq" and number.isdigit():
        turned = await ctx.store.learning.vote(ctx.member.id, int(number), useful, ctx.at)
        if turned:
            await ctx.reload(item)  # for `demoted`
    return Reply.text(ctx.texts(thanks))


@router.question()
async def ask(message: Message, ctx: Context) -> Reply:
    """Answer, offer what may be meant, or say that we don't know."""
    text = message.text
    decision = ctx.knowledge.ask(text[:MAX_CHARS], ctx.demoted)
    hits = decision.hits
    if decision.band is Band.SURE and hits:
        reply = await tell(ctx, hits[0].id, "answer")
        if reply is not None:
            return reply
    items = [hit for hit in ctx.knowledge.find(text[:MAX_CHARS], CHOICES) if hit.id in ctx.items]
    passage, sure = _passage(ctx, text)
    if decision.band is not Band.UNKNOWN and sure < hits[0].confidence + _MUCH_SURER:
        reply = await _suggest(ctx, hits, _named(ctx, text), items, passage)
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
    return await _unknown(message, ctx, [hit.id for hit in items if hit.score >= _RELATED])


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
    ctx: Context, hits: Sequence[Hit], named: Sequence[str], items: Sequence[Hit], passage: str
) -> Reply | None:
    """您是不是想问 … The items of that very name, the best question, the items that cover
    what was typed, more questions. One place stays for the best question, one for a passage.

    None when nothing of it is known any more.
    """
    questions = [hit for hit in hits if hit.id in ctx.answers]
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
    await offer(ctx, list(shown), "faq")
    lines = [
        ctx.texts("faq.unsure_item", number=number, question=question)
        for number, question in enumerate(shown.values(), 1)
    ]
    head, tail = ctx.texts("faq.unsure_head"), ctx.texts("faq.unsure_tail")
    return Reply.text("\n".join((head, *lines, tail)))


async def _unknown(message: Message, ctx: Context, related: Sequence[str]) -> Reply:
    ctx.handler = "faq.unknown"
    gap = gap_of(ctx.knowledge, message.text)
    noted = gap is not None and not ctx.is_operator()
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
    await offer(ctx, related, "content")
    lines = [line_for(ctx, number, thing, "") for number, thing in enumerate(related, 1)]
    return Reply.text("\n".join((unknown, "", ctx.texts("faq.related_head"), *lines)))
