"""The catalogue: lists, tags and the search. It never sells and never recommends."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.answers import line_for
from handlers.choices import Shown, offer
from handlers.context import Context
from handlers.message import Article, Message, Reply
from handlers.router import Router, folded
from handlers.tiers import locked
from knowledge import Band
from store.catalogue import Item

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
_TAG = re.compile(r"\s*(?:(?:分类|标签)[\s:：,，]+(.+)|[#＃]\s*([^#＃]+)[#＃]?\s*)", re.DOTALL)
_RUN_ON = re.compile(r"\s*搜索(.+)", re.DOTALL)

_WHAT = "(?:哪些|什么|啥)(?:样的)?"
_ALL = (
    rf"(?:你们|这里|现在)?(?:都|还)?有(?:{_WHAT}|别的|其[他它]的?)(?:课程?|内容)"
    rf"|(?:你们的?)?课程?(?:都|还)?有{_WHAT}|更多的?(?:课程?|内容)"
    r"|(?:你好|您好)?[,，\s]*(?:我?想)?(?:看看?|了解|咨询|介绍)(?:一?下)?(?:你们的?)?课程"
)
_NEW = (
    rf"(?:你们|这里)?(?:最近|近期|现在)?(?:都|还)?有(?:没有)?(?:{_WHAT})?(?:最?新的?)(?:课程?|内容)"
    rf"|(?:最?新的?)(?:课程?|内容)(?:都?有{_WHAT}|是什么)"
)
_ASKING = "[吗呢呀啊]?[?？]*"


def containing(items: Iterable[tuple[str, Item]], query: str) -> tuple[list[str], list[str]]:
    """Ids of the items that hold these very letters: in title, tags or authors; elsewhere.

    Elsewhere is the summary and the chapters. query: folded, at most 200 characters; ""
    finds nothing.
    """
    strong: list[str] = []
    weak: list[str] = []
    if query:
        for thing, item in items:
            if query in folded(" ".join((item.title, *item.tags, *item.authors))):
                strong.append(thing)
            elif query in folded(" ".join((item.summary, *(c.title for c in item.chapters)))):
                weak.append(thing)
    return strong, weak


def tags_of(items: Iterable[Item]) -> list[tuple[str, int]]:
    """Each tag with the number of its items, most first; of one tag the first spelling."""
    counts: dict[str, int] = {}
    spelling: dict[str, str] = {}
    for item in items:
        for tag in dict.fromkeys(folded(tag) for tag in item.tags):
            counts[tag] = counts.get(tag, 0) + 1
        for tag in item.tags:
            spelling.setdefault(folded(tag), tag)
    order = sorted(counts, key=lambda tag: -counts[tag])
    return [(spelling[tag], counts[tag]) for tag in order]


def with_tag(items: Iterable[tuple[str, Item]], tag: str) -> list[str]:
    """Ids of the items with this tag, in their order; case and width don't matter."""
    wanted = folded(tag)
    return [thing for thing, item in items if wanted in (folded(one) for one in item.tags)]


@router.text("课程|课程列表|全部课程|有什么课程|有哪些课程|看课程|课程介绍", where="both")
@router.text(f"(?:{_ALL}){_ASKING}", where="both")
async def catalogue(message: Message, ctx: Context) -> Reply:
    """The first items as a numbered list; a number then shows one in full."""
    ctx.handler = "content.list"
    things = list(ctx.items)[:LISTED]
    if not things:
        return Reply.text(ctx.texts("content.empty"))
    await offer(ctx, things, "content", rest=list(ctx.items)[LISTED:])
    tail = ctx.texts("content.list_tail")
    if len(ctx.items) > len(things):
        tail = ctx.texts("content.list_part", shown=len(things), count=len(ctx.items))
    return Reply.text(numbered(ctx, ctx.texts("content.list_head"), things, tail))


@router.text("最新|最新内容|最新课程|最近更新|新课", where="both")
@router.text(f"(?:{_NEW}){_ASKING}", where="both")
async def latest(message: Message, ctx: Context) -> Reply:
    """The newest items; what has no publish time is not among them."""
    ctx.handler = "content.latest"
    dated = [thing for thing, item in ctx.items.items() if item.published_at]
    dated.sort(key=lambda thing: -ctx.items[thing].published_at)
    if not dated:
        return Reply.text(ctx.texts("content.empty"))
    await offer(ctx, dated[:FOUND], "content", rest=dated[FOUND:])
    return Reply.text(numbered(ctx, ctx.texts("content.latest_head"), dated[:FOUND]))


@router.text("分类|标签|全部分类|全部标签|有哪些分类", where="both")
async def tags(message: Message, ctx: Context) -> Reply:
    """All tags with their counts; a number then shows the items of one."""
    ctx.handler = "content.tags"
    found = tags_of(ctx.items.values())[:LISTED]
    if not found:
        return Reply.text(ctx.texts("content.tags_none"))
    await offer(ctx, [f"tag:{tag}" for tag, _ in found], "content")
    lines = [
        ctx.texts("content.tag", number=number, tag=tag, count=count)
        for number, (tag, count) in enumerate(found, 1)
    ]
    return Reply.text("\n".join((ctx.texts("content.tags_head"), *lines)))


@router.text(r"(?:分类|标签)[\s:,，].+|#\s*[^#]+#?", where="both")
async def by_tag(message: Message, ctx: Context) -> Reply:
    """分类 写作 or #写作: the items with this tag."""
    found = _TAG.fullmatch(message.text)
    tag = (found[1] or found[2]).strip() if found is not None else message.text.strip()
    reply = await tagged(ctx, tag)
    if reply is None:
        ctx.handler = "content.tag"
        return Reply.text(ctx.texts("content.tag_unknown", tag=_short(tag)))
    return reply


async def tagged(ctx: Context, tag: str, after: tuple[str, Shown] | None = None) -> Reply | None:
    """The items with a tag as one article with a numbered list; None when there are none.

    Without an item that has both a cover and an address it is a text. after: see `offer`.
    """
    things = with_tag(ctx.items.items(), tag)
    if not things:
        return None
    ctx.handler = "content.tag"
    top = next(
        (one for one in things if ctx.items[one].cover_url and ctx.items[one].url), things[0]
    )
    # The item on the picture is number 1 of the list below it.
    things.remove(top)
    things.insert(0, top)
    shown = things[:FOUND]
    await offer(ctx, shown, "content", rest=things[FOUND:], after=after)
    item = ctx.items[top]
    if not (item.cover_url and item.url) or locked(ctx, item):
        return Reply.text(numbered(ctx, ctx.texts("content.tag_head", tag=_short(tag)), shown))
    url = await ctx.links.to_item(item, ctx.member.id, "catalogue")
    head = ctx.texts("content.tag_card", tag=_short(tag), count=len(things))
    return Reply.news(Article(item.title, numbered(ctx, head, shown), item.cover_url, url))


def numbered(ctx: Context, head: str, things: Iterable[str], tail: str = "") -> str:
    """The head, then each item with its number, then the tail if there is one."""
    lines = [line_for(ctx, number, thing, "") for number, thing in enumerate(things, 1)]
    return "\n".join((head, *lines, tail) if tail else (head, *lines))


@router.text("搜索|查找", where="both")
async def usage(message: Message, ctx: Context) -> Reply:
    """The word alone: say how it is used."""
    ctx.handler = "content.search"
    return Reply.text(ctx.texts("content.search_usage"))


@router.text(r"(?:搜索|课程)[\s:,，].+|搜索.+", where="both")
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
    await offer(ctx, things, "content", rest=[one for one in titles if one in ctx.items][FOUND:])
    lines = [line_for(ctx, number, thing, titles[thing]) for number, thing in enumerate(things, 1)]
    return Reply.text("\n".join((ctx.texts("content.search_head", query=_short(query)), *lines)))


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"
