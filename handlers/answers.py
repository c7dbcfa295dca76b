"""One known thing, told in full: a FAQ answer or a catalogue item.

Asking, searching and picking a number all end here, so that the log names the same thing
the same way whichever road led to it. Nothing here reads the database.
"""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Reply
from handlers.texts import Texts
from store.content import Item

_KINDS = frozenset({"course", "column", "ebook", "live", "consulting"})


def tell(ctx: Context, thing: str) -> Reply | None:
    """The answer "faq:12" or the item "item:py-101" as a reply; None when it is gone.

    Notes for the log what was told: handler "faq" or "content", and the thing.
    """
    answer = ctx.answers.get(thing)
    if answer is not None:
        ctx.handler, ctx.item = "faq", thing
        return Reply.text(f"{answer}\n\n{ctx.texts('faq.answer_tail')}")
    item = ctx.items.get(thing)
    if item is None:
        return None
    ctx.handler, ctx.item = "content", thing
    facts = (kind_of(ctx.texts, item), item.level, item.author)
    text = ctx.texts(
        "content.item_detail",
        title=item.title,
        facts=" · ".join(fact for fact in facts if fact),
        summary=item.summary,
        price=price_of(ctx.texts, item),
        url=item.url,
    )
    # An item without a summary or an address leaves an empty line behind.
    return Reply.text("\n".join(line for line in text.splitlines() if line.strip()))


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
    if item.price_cents <= 0:
        return texts("content.price_free")
    yuan, fen = divmod(item.price_cents, 100)
    return texts("content.price_yuan", yuan=f"{yuan}.{fen:02}" if fen else yuan)
