"""Follow-ups: what 2, 多少钱 or 还有别的吗 mean after something was shown.

A number or 第二个 picks from the last list, a bare question is about the item told last,
and one that names an item is about that one. Without anything shown lately, or when
nothing fits, they are ordinary questions and go on. Only texts of these forms look
anything up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from handlers import courses
from handlers.answers import Part, tell, tell_part
from handlers.choices import NUMBER, Shown, number_in, offer, point_at, recall
from handlers.content import containing, numbered, tagged
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from store.catalogue import Item

router = Router("follow")

NEXT = 8
"""Items on a next page."""

_COVERED = 0.75
"""How much of the words that name an item it must cover; see `handlers/faq.py`."""

_NAME_CHARS = 2
"""One letter alone is in too many titles to name any."""

_ASKED = 5
"""Items in 你问的是哪一个."""

_PARTS: Mapping[Part, str] = {
    "price": "多少钱|什么价格?|价格(?:是?多少)?|怎么卖|怎么收费|几块钱|贵不?贵?",
    "enrol": "(?:怎么|如何|[在去]?哪里?|我?(?:想|要))(?:可以|能)?(?:报名|购?买|下单)|报名|购买"
    "|(?:报名|购买|课程)?(?:链接|地址)(?:是什么|在哪里?)?|发(?:我|个|一下)?链接",
    "chapters": "(?:都?有(?:哪些|什么|几个|多少个?)?)?(?:章节|目录|大纲|课时)"
    "|(?:一共|总共)?有?(?:几|多少)[章节]课?|都?讲(?:些|了)?(?:什么|啥)",
    "teacher": "(?:是?谁|哪位?老师)(?:讲|教|写|主讲)的?|(?:老师|讲师|作者)是?谁"
    "|谁是(?:老师|讲师|作者)",
    "level": "适合(?:我|谁|新手|小白|零基础)|难不?难?|(?:需?要)?什么基础|(?:需?要|有)基础"
    "|零?基础(?:能|可以)学|新手(?:能|可以)学",
}
_THIS = "刚才那个|[这那][个门节本些]|它|这|那|该"
_THING = "课程?|专栏|电子书|书|直播|咨询|内容"
_POINTS = re.compile(rf"^(?:{_THIS})\s*")
_ENDING = re.compile(rf"(.+?)\s*(?:{_THING})")
_ASK = re.compile(
    "(?!搜索|查找|订阅|退订|取消订阅|分类|标签|#)"
    r"(?:请问|想问(?:一?下)?|问(?:一?下)?)?[,，\s]*"
    rf"(?:(?:(?P<ordinal>第[0-9]{{1,2}}|第[一二三四五六七八九十]|最后一)[个门本节条]|(?P<this>{_THIS}))"
    rf"\s*(?:{_THING})?|课程?|(?P<name>.{{1,40}}?)(?:的?课程?)?)??\s*的?\s*(?:要|是|呢)?\s*(?:"
    + "|".join(f"(?P<{part}>{words})" for part, words in _PARTS.items())
    + r")[吗呢啊呀嘛么呐]?[?？]*"
)
_ORDINAL = re.compile(
    r"(?:看|要|选)?(第[0-9]{1,2}|第[一二三四五六七八九十]|最后一)[个门本节条][吧呢]?[?？]*"
)
_MORE = re.compile(
    "(?:还有(?:别的|其[他它]的?|更多|什么|没有)?|有没有(?:别的|其[他它]的?)|别的|其[他它]的)"
    "(?:课程?|内容)?[吗呢么]?[?？]*|换一?[个批门]|下一页|更多|再来[一几]个"
)
_NAMES_NOTHING = re.compile(
    rf"(?:你们?|咱们|您)?(?:家|这里?|那里?)?的?(?:所有|全部)?的?(?:{_THING})?(?:都|一般|大概)?"
)
"""What stands before a question without naming one item: 你们的课程."""


def asked(text: str) -> tuple[Part, str, str, bool] | None:
    """(part, ordinal, name, this) of a question about an item; None for any other text.

    ordinal: "第2" or "最后一"; name: folded words that may name an item; this: whether it
    points (它, 这个). At most one of the three is given: none of them is a bare question.
    """
    if len(text) > 80:
        return None
    found = _ASK.fullmatch(folded(text))
    if found is None:
        return None
    part = next(part for part in _PARTS if found[part] is not None)
    name = _POINTS.sub("", found["name"] or "").strip()
    return part, found["ordinal"] or "", name, bool(found["this"])


def place_in(ordinal: str, count: int) -> int:
    """第2 -> 2, 最后一 -> count; what is beyond the list stays so."""
    return count if ordinal == "最后一" else number_in(ordinal.removeprefix("第")) or 0


def alike(items: Mapping[str, Item], to: Sequence[str], seen: Iterable[str]) -> list[str]:
    """Items that share tags with those of `to`, most first; never `to` or `seen` themselves."""
    wanted = {folded(tag) for thing in to if thing in items for tag in items[thing].tags}
    passed = {*to, *seen}
    shared = {
        thing: len(wanted & {folded(tag) for tag in item.tags})
        for thing, item in items.items()
        if thing not in passed
    }
    return sorted((thing for thing in shared if shared[thing]), key=lambda thing: -shared[thing])


@router.text(NUMBER, name="choice")
async def pick(message: Message, ctx: Context) -> Reply | None:
    """Tell what the number stands for. None when it is a question that the FAQ has."""
    number = number_in(message.text)
    if number is None:
        return None
    shown = await recall(ctx, message.key)
    if shown is None or not shown.things:
        hits = ctx.knowledge.ask(message.text).hits
        if any(folded(hit.question) == folded(message.text) for hit in hits):
            return None
        return Reply.text(ctx.texts("faq.no_list"))
    if ctx.at >= shown.until:
        return Reply.text(_gone(ctx, shown))
    return await _tell_number(message, ctx, shown, number)


@router.text(_ORDINAL.pattern, name="choice")
async def pick_ordinal(message: Message, ctx: Context) -> Reply | None:
    """第二个, 最后一个. None without a list, or when it has expired."""
    found = _ORDINAL.fullmatch(folded(message.text))
    shown = await recall(ctx, message.key)
    if found is None or shown is None or not shown.things or ctx.at >= shown.until:
        return None
    return await _tell_number(message, ctx, shown, place_in(found[1], len(shown.things)))


@router.text(_MORE.pattern, name="follow.more")
async def more(message: Message, ctx: Context) -> Reply | None:
    """The next page of the last list, else what is like the items shown; None without any."""
    shown = await recall(ctx, message.key)
    if shown is None or ctx.at >= max(shown.until, shown.focus_until):
        return None
    listed = shown.things if ctx.at < shown.until else ()
    focus = (shown.focus,) if ctx.at < shown.focus_until and shown.focus else ()
    about = focus or tuple(thing for thing in listed if thing in ctx.items)
    if not about:
        return None
    ctx.handler = "follow.more"
    rest = [thing for thing in shown.rest if thing in ctx.items] if listed else []
    head = ctx.texts("follow.more_head")
    if not rest:
        rest = alike(ctx.items, about, (*listed, *shown.seen))
        head = ctx.texts("follow.alike_head")
    if not rest:
        return Reply.text(ctx.texts("follow.no_more"))
    page = rest[:NEXT]
    await offer(ctx, page, "content", rest=rest[NEXT:], after=(message.key, shown))
    return Reply.text(numbered(ctx, head, page))


@router.text(_ASK.pattern)
async def ask_about(message: Message, ctx: Context) -> Reply | None:
    """A question about one item: the one it names or points at, or the one told last.

    None when there is no such item, or the FAQ has these very words: they win, except
    over a bare 多少钱, 怎么报名 or 有哪些章节 about what was told just now.
    """
    question = asked(message.text)
    if question is None:
        return None
    part, ordinal, name, this = question
    if name and not _NAMES_NOTHING.fullmatch(name):
        if _in_faq(ctx, message.text):
            return None
        return await _about_named(message, ctx, part, name)
    if name:
        return None
    if part in ("teacher", "level") and not (this or ordinal) and _in_faq(ctx, message.text):
        return None
    shown = await recall(ctx, message.key)
    if shown is None:
        return None
    listed = shown.things if ctx.at < shown.until else ()
    if ordinal:
        place = place_in(ordinal, len(listed))
        thing = listed[place - 1] if 1 <= place <= len(listed) else ""
        return await _answer(ctx, thing.replace("course:", "item:"), part, shown)
    if shown.focus and ctx.at < shown.focus_until:
        return await _answer(ctx, shown.focus, part, shown)
    items = [thing for thing in listed if thing in ctx.items]
    if len(items) == 1:
        return await _answer(ctx, items[0], part, shown)
    # A whole list is less than one item: over that, the FAQ's own words win.
    if not items or (not this and _in_faq(ctx, message.text)):
        return None
    return await _which(message, ctx, items[:_ASKED], part, shown)


async def _about_named(message: Message, ctx: Context, part: Part, name: str) -> Reply | None:
    """About the item with this name; 你问的是哪一个 when several have it; None for none."""
    found = _named(ctx, name, loosely=part in ("price", "enrol", "chapters"))
    if not found:
        return None
    shown = await recall(ctx, message.key)
    if len(found) > 1 and shown is not None and ctx.at < shown.focus_until:
        # Words that fit the item told last are about it, though they fit others too.
        found = [shown.focus] if shown.focus in found else found
    if len(found) == 1:
        return await _answer(ctx, found[0], part, shown)
    return await _which(message, ctx, found[:_ASKED], part, shown)


def _named(ctx: Context, name: str, loosely: bool) -> list[str]:
    """The items that these words name, best first; those with them in the title before tags.

    loosely: also items that are only about the same. Whether something is hard is easily
    asked about much that has no item: there the words themselves must be found.
    """
    if len(name) < _NAME_CHARS:
        return []
    found = _ENDING.fullmatch(name)
    strong = containing(ctx.items.items(), name)[0]
    if not strong and found is not None and len(found[1]) >= _NAME_CHARS:
        name = found[1]
        strong = containing(ctx.items.items(), name)[0]
    if strong:
        titled = [thing for thing in strong if name in folded(ctx.items[thing].title)]
        exact = [thing for thing in titled if name == folded(ctx.items[thing].title)]
        return exact or titled or strong
    hits = ctx.knowledge.find(name, _ASKED) if loosely else ()
    return [hit.id for hit in hits if hit.id in ctx.items and hit.score >= _COVERED]


def _in_faq(ctx: Context, text: str) -> bool:
    """Whether the FAQ has a question of exactly these words."""
    wording = ctx.knowledge.clean(text)
    return any(ctx.knowledge.clean(hit.question) == wording for hit in ctx.knowledge.ask(text).hits)


async def _answer(ctx: Context, thing: str, part: Part, shown: Shown | None) -> Reply | None:
    item = ctx.items.get(thing)
    if item is None:
        return None
    await point_at(ctx, thing, shown)
    return await tell_part(ctx, item, part)


async def _which(
    message: Message, ctx: Context, items: Sequence[str], part: Part, shown: Shown | None
) -> Reply:
    """Ask which of them is meant; a number then answers what was asked."""
    ctx.handler = "follow.which"
    after = (message.key, shown) if shown is not None else None
    await offer(ctx, items, "content", part=part, after=after)
    return Reply.text(numbered(ctx, ctx.texts("follow.which"), items))


async def _tell_number(message: Message, ctx: Context, shown: Shown, number: int) -> Reply:
    if not 1 <= number <= len(shown.things):
        return Reply.text(ctx.texts("faq.choice_range", count=len(shown.things)))
    thing = shown.things[number - 1]
    kind, _, name = thing.partition(":")
    reply: Reply | None
    if kind == "tag":
        reply = await tagged(ctx, name, after=(message.key, shown))
    elif kind == "homework":
        reply = await courses.hand_in_waiting(ctx, name)
    elif kind == "course":
        await point_at(ctx, f"item:{name}", shown)
        reply = await courses.card(ctx, name)
    elif shown.part and thing in ctx.items:
        reply = await _answer(ctx, thing, shown.part, shown)
    else:
        reply = await tell(ctx, thing, "answer" if shown.source == "faq" else "catalogue")
        if thing in ctx.items:
            await point_at(ctx, thing, shown)
    # Deleted since the list was shown: as good as expired.
    return reply or Reply.text(_gone(ctx, shown))


def _gone(ctx: Context, shown: Shown) -> str:
    if shown.source == "content":
        return ctx.texts("content.choice_gone")
    return ctx.texts("faq.choice_gone")
