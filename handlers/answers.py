"""One known thing, told in full or in one respect: a FAQ answer, a passage, a catalogue item.

Asking, searching and picking a number all end here, so that the log names the same thing
the same way whichever road led to it. A FAQ answer is told from memory; only a link to an
item may have to be written down first.
"""

from __future__ import annotations

from typing import Literal

from handlers.context import Context
from handlers.message import Reply
from handlers.texts import Texts
from handlers.tiers import locked
from store.catalogue import Item
from store.documents import StoredPassage

Part = Literal["price", "enrol", "chapters", "teacher", "level"]
"""What can be asked about an item without asking for all of it."""

PASSAGE_SHOWN = 600
"""Characters of a passage in one message; with its source still one WeChat text."""

CHAPTERS_SHOWN = 40
"""Chapters in one message; the item's own page has the rest."""

_KINDS = frozenset({"course", "column", "ebook", "live", "consulting"})


async def tell(ctx: Context, thing: str, source: str = "catalogue", ref: str = "") -> Reply | None:
    """The answer "faq:12", the passage "doc:12" or the item "item:py-101"; None when it is gone.

    source, ref: what led to an item, for its link: "catalogue" (lists and searches),
    "recommendation" with the list, or "answer" with the FAQ entry that was asked. Notes for the
    log what was told: handler "faq", "faq.passage" or "content", and the thing.
    """
    answer = ctx.answers.get(thing)
    if answer is not None:
        ctx.handler, ctx.item = "faq", thing
        answer = ctx.links.in_text(answer, thing, ctx.member.id)
        return Reply.text(f"{answer}\n\n{ctx.texts('faq.answer_tail')}")
    passage = ctx.passages.get(thing)
    if passage is not None:
        ctx.handler, ctx.item = "faq.passage", thing
        text = passage.text
        if len(text) > PASSAGE_SHOWN:
            text = text[: PASSAGE_SHOWN - 1] + "…"
        return Reply.text(ctx.texts("faq.passage", text=text, source=source_of(ctx.texts, passage)))
    item = ctx.items.get(thing)
    if item is None:
        return None
    ctx.handler, ctx.item = "content", thing
    text = ctx.texts(
        "content.item_detail",
        title=item.title,
        facts=" · ".join(
            fact for fact in (kind_of(ctx.texts, item), item.level, "、".join(item.authors)) if fact
        ),
        summary=item.summary,
        price=price_of(ctx.texts, item),
        tiers=_tiers(ctx.texts, item),
        chapters=ctx.texts("content.chapter_count", count=len(item.chapters))
        if item.chapters
        else "",
        url=locked(ctx, item) or await ctx.links.to_item(item, ctx.member.id, source, ref),
    )
    return Reply.text(_filled_lines(text))


def source_of(texts: Texts, passage: StoredPassage) -> str:
    """Where a passage stands: "《学员手册》退款 › 期限，第 3 页"."""
    heading = "" if passage.heading == passage.title else passage.heading
    if passage.page is None:
        return texts("faq.source", title=passage.title, heading=heading)
    return texts("faq.source_page", title=passage.title, heading=heading, page=passage.page)


async def tell_part(
    ctx: Context, item: Item, part: Part, source: str = "catalogue", ref: str = ""
) -> Reply:
    """One thing about an item; what the catalogue does not know is said so.

    source, ref: as in `tell`.
    """
    texts = ctx.texts
    ctx.handler, ctx.item = f"follow.{part}", f"item:{item.id}"
    unknown = texts("follow.unknown", title=item.title)
    if part in ("price", "enrol"):
        closed = locked(ctx, item)
        url = closed or await ctx.links.to_item(item, ctx.member.id, source, ref)
        if part == "enrol" and not url:
            return Reply.text(texts("follow.enrol_none", title=item.title))
        price, tiers = price_of(texts, item), _tiers(texts, item)
        if part == "price" or closed:
            text = texts("follow.price", title=item.title, price=price, tiers=tiers, url=url)
        else:
            text = texts("follow.enrol", title=item.title, price=price, tiers=tiers, url=url)
        return Reply.text(_filled_lines(text))
    if part == "chapters":
        if not item.chapters:
            return Reply.text(texts("follow.chapters_none", title=item.title))
        lines = [
            texts("follow.chapter", number=number, title=chapter.title)
            for number, chapter in enumerate(item.chapters[:CHAPTERS_SHOWN], 1)
        ]
        if len(item.chapters) > CHAPTERS_SHOWN:
            lines.append(texts("follow.chapters_more", count=len(item.chapters)))
        head = texts("follow.chapters_head", title=item.title, count=len(item.chapters))
        return Reply.text("\n".join((head, *lines)))
    if part == "teacher":
        if not item.authors:
            return Reply.text(unknown)
        authors = "、".join(item.authors)
        return Reply.text(texts("follow.teacher", title=item.title, authors=authors))
    if not item.level:
        return Reply.text(unknown)
    text = texts("follow.level", title=item.title, level=item.level, summary=item.summary)
    return Reply.text(_filled_lines(text))


def line_for(ctx: Context, number: int, thing: str, question: str) -> str:
    """The thing as one line of a numbered list. question: how a FAQ entry is worded."""
    item = ctx.items.get(thing)
    if item is None:
        return ctx.texts("content.question", number=number, question=question)
    return ctx.texts(
        "content.item",
        number=number,
        title=item.title,
        kind=kind_of(ctx.texts, item),
        price=price_of(ctx.texts, item),
    )


def kind_of(texts: Texts, item: Item) -> str:
    """The item's kind in words; a kind we have no word for is just "内容"."""
    return texts(f"content.kind_{item.kind if item.kind in _KINDS else 'other'}")


def price_of(texts: Texts, item: Item) -> str:
    """ "免费", "199 元" or "29.90 元"."""
    return _price(texts, item.price_cents)


def _price(texts: Texts, cents: int) -> str:
    if cents <= 0:
        return texts("content.price_free")
    yuan, fen = divmod(cents, 100)
    return texts("content.price_yuan", yuan=f"{yuan}.{fen:02}" if fen else yuan)


def _tiers(texts: Texts, item: Item) -> str:
    """The item's other prices in one line; "" when there are none."""
    if not item.tiers:
        return ""
    named = (
        texts("content.tier", name=tier.name, price=_price(texts, tier.price_cents))
        for tier in item.tiers
    )
    return texts("content.tiers", tiers=" · ".join(named))


def _filled_lines(text: str) -> str:
    """The text without the empty lines that absent facts leave behind."""
    return "\n".join(line for line in text.splitlines() if line.strip())
