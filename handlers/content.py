"""The catalogue: what there is, and searching it. It never sells and never recommends."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.answers import line_for
from handlers.choices import offer
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from knowledge import Band
from store.content import Item

router = Router("content")

LISTED = 15
"""Items in one list: with long titles still one WeChat message."""

FOUND = 8
"""Results of one search."""

_QUERY_CHARS = 200
_SHOWN_CHARS = 30
_NOISE = 0.5
"""Results that score below this share of the best one only make the list longer."""

_SEARCH = re.compile(r"\s*(?:搜索|课程)[\s:：,，]+(.+)", re.DOTALL)
_RUN_ON = re.compile(r"\s*搜索(.+)", re.DOTALL)


def containing(items: Iterable[tuple[str, Item]], query: str) -> tuple[list[str], list[str]]:
    """Ids of the items that hold these very letters: in title, tags or author; in the summary.

    query: folded, at most 200 characters; "" finds nothing.
    """
    strong: list[str] = []
    weak: list[str] = []
    if query:
        for thing, item in items:
            if query in folded(" ".join((item.title, *item.tags, item.author))):
                strong.append(thing)
            elif query in folded(item.summary):
                weak.append(thing)
    return strong, weak


@router.text("课程|课程列表|全部课程|有什么课程|有哪些课程")
async def catalogue(message: Message, ctx: Context) -> Reply:
    """The first items as a numbered list; a number then shows one in full."""
    ctx.handler = "content.list"
    things = list(ctx.items)[:LISTED]
    if not things:
        return Reply.text(ctx.texts("content.empty"))
    await offer(ctx, things, "content")
    lines = [line_for(ctx, number, thing, "") for number, thing in enumerate(things, 1)]
    tail = ctx.texts("content.list_tail")
    if len(ctx.items) > len(things):
        tail = ctx.texts("content.list_part", shown=len(things), count=len(ctx.items))
    return Reply.text("\n".join((ctx.texts("content.list_head"), *lines, tail)))


@router.text("搜索|查找")
async def usage(message: Message, ctx: Context) -> Reply:
    """The word alone: say how it is used."""
    ctx.handler = "content.search"
    return Reply.text(ctx.texts("content.search_usage"))


@router.text(r"(?:搜索|课程)[\s:,，].+|搜索.+")
async def search(message: Message, ctx: Context) -> Reply | None:
    """搜索 关键词. Run together ("搜索不到课程怎么办") it may be a question: None then."""
    text = message.text[: _QUERY_CHARS + 10]
    found = _SEARCH.fullmatch(text)
    if found is None:
        found = _RUN_ON.fullmatch(text)
        if found is None or ctx.knowledge.ask(text).band is Band.SURE:
            return None
    query = found[1].strip().strip("「」")
    reply = await results(ctx, query)
    if reply is None:
        ctx.handler = "content.search"
        return Reply.text(ctx.texts("content.search_none", query=_short(query)))
    return reply


async def results(ctx: Context, query: str) -> Reply | None:
    """A numbered list of what goes with the query; None when nothing does.

    Items that hold its very letters come first, then those about the same; without any
    item, the questions that the FAQ would answer or offer.
    """
    query = query[:_QUERY_CHARS]
    strong, weak = containing(ctx.items.items(), folded(query))
    titles: dict[str, str] = dict.fromkeys((*strong, *weak), "")
    hits = [hit for hit in ctx.knowledge.find(query, FOUND) if hit.id in ctx.items]
    for hit in hits:
        if hit.score >= hits[0].score * _NOISE:
            titles.setdefault(hit.id, "")
    if not titles:
        hits = [hit for hit in ctx.knowledge.ask(query).hits if hit.id in ctx.answers]
        titles = {hit.id: hit.question for hit in hits}
    things = list(titles)[:FOUND]
    if not things:
        return None
    ctx.handler = "content.search"
    await offer(ctx, things, "content")
    lines = [line_for(ctx, number, thing, titles[thing]) for number, thing in enumerate(things, 1)]
    return Reply.text("\n".join((ctx.texts("content.search_head", query=_short(query)), *lines)))


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"
