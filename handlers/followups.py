"""Follow-ups: what 2, 多少钱 or 还有别的吗 mean after something was shown.

A number or 第二个 picks from the last list, 都不是 refuses it, a bare question is about the
item told last, and one that names an item is about that one. Without anything shown lately
a question goes on to the FAQ; what can be no question, like 第二个, is told that there is no
list. Only texts of these forms look anything up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from handlers import coupons, courses, faq, points
from handlers.answers import Part, tell, tell_part
from handlers.choices import (
    NUMBER,
    Shown,
    ask_part,
    number_in,
    offer,
    point_at,
    recall,
    recall_here,
    reject,
)
from handlers.content import containing, numbered, tagged
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from handlers.suggestions import also
from knowledge import Band
from store.catalogue import Item

router = Router("follow")

NEXT = 8
"""Items on a next page."""

_COVERED = 0.75
"""How much of the words that name an item it must cover; see `handlers/faq.py`."""

_NAMED = 0.5
"""How many of a name's pairs of letters an item's title, tags and teachers must exceed: a
chapter or a summary covers words, but names nothing (分期 is no name of a finance course)."""

_NAME_CHARS = 2
"""One letter alone is in too many titles to name any."""

_ASKED = 5
"""Items in 你问的是哪一个."""

_TO_BUY = "报名|购?买|下单"
_TIER = "优惠价?|折扣价?|早鸟价?|学生价|老?学员价"
_PARTS: Mapping[Part, str] = {
    "price": "多少?钱|什么价[格钱]?|价[格钱](?:是?多少)?|怎么卖|怎么收费|几块钱|太?贵不?贵?了?"
    f"|(?:还?有没有|还?有)?(?:什么)?(?:{_TIER})(?:多少钱|怎么[买拿]|还有)?|有没有打折|打不打折"
    "|(?:还?能不能|可不可以|还?能|可以)?(?:打折|再?便宜)(?:一?点)?儿?",
    "enrol": f"(?:怎么|如何|[在去]?哪里?|我?(?:想|要))(?:可以|能)?(?:{_TO_BUY})|报名|购买"
    "|(?:报名|购买|课程)?(?:链接|地址)(?:是什么|在哪里?)?|(?:发|给)(?:我|个|一下)*链接"
    f"|链接发(?:给|一下)?我?|帮我(?:{_TO_BUY})",
    "chapters": "(?:都?有(?:哪些|什么|几个|多少个?)?)?(?:章节|目录|大纲|课时)"
    "|(?:一共|总共)?有?(?:几|多少)[章节]课?|都?讲(?:些|了)?(?:什么|啥)",
    "teacher": "(?:是?谁|哪位?老师)(?:讲|教|写|主讲)的?|(?:老师|讲师|作者)是?谁"
    "|谁是(?:老师|讲师|作者)",
    "level": "适合(?:我|谁|新手|小白|零基础)|难不?难?|(?:需?要)?什么基础|(?:需?要|有)基础"
    "|零?基础(?:能|可以)学|新手(?:能|可以)学",
}
_DISCOUNT = re.compile(rf"{_TIER}|折|便宜")
_OF_ANY = re.compile("零基础|新手|小白")
"""Asked about beginners rather than about one item."""

_THIS = "刚才那个|[这那][个门节本些]|它|这|那|该"
_THING = "课程?|专栏|电子书|书|直播|咨询|内容"
_KINDS: Mapping[str, str] = {
    "专栏": "column",
    "电子书": "ebook",
    "书": "ebook",
    "直播": "live",
    "咨询": "consulting",
}
"""Kinds of items as a name. 课程 and 内容 are what everything here is, so they name nothing."""

_N = "[0-9]{1,2}|[一二三四五六七八九十]"
_PLACE = rf"第(?:{_N})|倒数第(?:{_N})|最后一"
_COUNTED = "[个门本节条号]"
_NUMBERED = rf"(?P<ordinal>{_PLACE}){_COUNTED}?|(?P<digits>[0-9]{{1,2}})号?"
_POLITE = r"(?:请问|想问(?:一?下)?|问(?:一?下)?|你好|您好)?[,，\s]*"
_POINTS = re.compile(rf"^(?:{_THIS})\s*")
_ENDING = re.compile(rf"(.+?)\s*的?\s*({_THING})")
_ASK = re.compile(
    "(?!搜索|查找|订阅|退订|取消订阅|分类|标签|#)"
    + _POLITE
    + rf"(?:(?:{_NUMBERED}|(?P<this>{_THIS}))\s*(?:{_THING})?"
    r"|课程?|(?P<name>.{1,40}?)(?:的?课程?)?)??\s*的?\s*(?:要|是|呢)?\s*(?:"
    + "|".join(f"(?P<{part}>{words})" for part, words in _PARTS.items())
    + r")[吗呢啊呀嘛么呐吧]?[?？]*"
)
_BUY = re.compile(
    _POLITE + r"(?:我们?|帮我)?(?:怎么|如何|在?哪里?)?(?:想要?|要|可以|能)?"
    rf"(?:{_TO_BUY})(?:一下)?\s*(?:{_NUMBERED}|(?P<name>.{{1,40}}?))[吗呢吧啊]?[?？]*"
)
_REFUND = re.compile(
    _POLITE + r"(?P<name>.{1,40}?)(?:的?课程?)?"
    "(?P<rest>(?:还?能|能不能|可不可以|可以|怎么|如何|咋)退(?:款|课|钱|费|掉)?[吗么呢]?)[?？]*"
)
_REFUND_WORDS = ("怎么退款", "可以退款吗")
"""The usual words, where the FAQ is not sure of the member's."""

_VERB = "我?(?:想要|想看|要看|看|要|选|就)"
_ORDINAL = re.compile(
    rf"(?:{_VERB})?(?:({_PLACE}){_COUNTED}?|([0-9]{{1,2}})号)[吧呢]?[?？]*"
    rf"|{_VERB}({_N})号?[吧呢]?|({_N})[吧呢]"
)
_MORE = re.compile(
    "(?:还有(?:别的|其[他它]的?|更多|什么|没有)?|有没有(?:别的|其[他它]的?)|别的|其[他它]的)"
    "(?:课程?|内容)?[吗呢么]?[?？]*|换一?[个批门]|下一页|更多的?(?:课程?|内容)?|再来[一几]个"
)
_NONE_OF_IT = re.compile(
    "(?:以上|这些)?(?:都|全)?(?:不是|不对)(?:这个|这些|的)?(?:意思)?"
    "|(?:以上)?都没有|都?没有我(?:想|要)[要问找]?的"
)
_NAMES_NOTHING = re.compile(
    "(?:你们?|咱们|您)?(?:家|这里?|那里?)?的?(?:所有|全部)?的?(?:课程?|内容|老师)?(?:都|一般|大概)?"
)
"""What stands before a question without naming one item: 你们的课程."""

_KIND = re.compile(
    "(?:你们?|咱们|您)?(?:家|这里?|那里?)?的?(?:所有|全部)?的?"
    rf"({'|'.join(_KINDS)})(?:课程?)?(?:都|一般|大概)?"
)


def asked(text: str) -> tuple[Part, str, str, bool] | None:
    """(part, ordinal, name, this) of a question about an item; None for any other text.

    ordinal: "第2", "倒数第1" or "最后一"; name: folded words that may name an item; this:
    whether it points (它, 这个). At most one of the three is given: none of them is a bare
    question.
    """
    if len(text) > 80:
        return None
    found = _ASK.fullmatch(folded(text))
    if found is None:
        return None
    part = next(part for part in _PARTS if found[part] is not None)
    name = _POINTS.sub("", found["name"] or "").strip()
    ordinal = found["ordinal"] or (f"第{found['digits']}" if found["digits"] else "")
    return part, ordinal, name, bool(found["this"])


def place_in(ordinal: str, count: int) -> int:
    """第2 -> 2, 最后一 -> count, 倒数第2 -> count - 1; what is beyond the list stays so."""
    if ordinal == "最后一":
        return count
    place = number_in(ordinal.removeprefix("倒数").removeprefix("第")) or 0
    return count + 1 - place if ordinal.startswith("倒数") else place


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


def named_by(name: str, item: Item) -> bool:
    """Whether the item's title, tags and teachers have most of these letters' pairs.

    name: folded; without two letters it names nothing.
    """
    letters = _letters(name)
    pairs = {letters[at : at + 2] for at in range(len(letters) - 1)}
    told = " ".join(_letters(folded(one)) for one in (item.title, *item.tags, *item.authors))
    return sum(pair in told for pair in pairs) > _NAMED * len(pairs)


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def is_choice(text: str) -> bool:
    """Whether a text alone picks from a list: 2, 第二个, 最后一个, 第二个多少钱."""
    question = asked(text)
    if question is not None:
        return bool(question[1])
    return number_in(text) is not None or _ORDINAL.fullmatch(folded(text)) is not None


@router.text(NUMBER, name="choice", where="both")
async def pick(message: Message, ctx: Context) -> Reply | None:
    """Tell what the number stands for. Without a list the FAQ may have it as a question."""
    number = number_in(message.text)
    if number is None:
        return None
    return await _pick(message, ctx, lambda _: number)


@router.text(_ORDINAL.pattern, name="choice", where="both")
async def pick_ordinal(message: Message, ctx: Context) -> Reply | None:
    """第二个, 最后一个, 选2: like their number."""
    found = _ORDINAL.fullmatch(folded(message.text))
    if found is None:
        return None
    place = found[1] or f"第{found[2] or found[3] or found[4]}"
    return await _pick(message, ctx, lambda count: place_in(place, count))


async def _pick(message: Message, ctx: Context, place: Callable[[int], int]) -> Reply | None:
    shown = await recall_here(ctx, message.key)
    nothing = _no_list(ctx, shown)
    if shown is None or nothing:
        return None if in_faq(ctx, message.text) else Reply.text(nothing)
    return await _tell_number(message, ctx, shown, place(len(shown.things)))


@router.text("(?:是|对)的?[呀啊]?|没错|就是(?:这个|它)", name="choice", where="both")
async def agree(message: Message, ctx: Context) -> Reply:
    """是的 to a single option picks it. To nothing it is a nod."""
    shown = await recall(ctx, message.key)
    if shown is None or shown.source != "faq" or not shown.things or ctx.at >= shown.until:
        return Reply.text(ctx.texts("help.ok"))
    # Of several, 0 is none: the answer says what can be picked.
    return await _tell_number(message, ctx, shown, 1 if len(shown.things) == 1 else 0)


@router.text(_NONE_OF_IT.pattern, name="follow.rejected", where="both")
async def refuse(message: Message, ctx: Context) -> Reply | None:
    """都不是: the question that the list was to meet joins the gaps. None without a list.

    Operators teach; what they try is no gap.
    """
    shown = await recall(ctx, message.key)
    if shown is None or _no_list(ctx, shown):
        return None
    gap = faq.gap_of(ctx.knowledge, shown.asked)
    if gap is None or ctx.is_operator():
        return Reply.text(ctx.texts("follow.rejected"))
    await ctx.store.content.add_gap(*gap, ctx.at, bytes.fromhex(message.key))
    await reject(ctx, shown, message.key)
    return Reply.text(ctx.texts("follow.rejected_noted"))


@router.text(_MORE.pattern, name="follow.more", where="both")
async def more(message: Message, ctx: Context) -> Reply | None:
    """The next page of the last list, else what is like the items shown.

    None when nothing was shown and it asks for courses (the catalogue has them), or the FAQ
    knows better.
    """
    shown = await recall_here(ctx, message.key) or Shown()
    listed = shown.things if ctx.at < shown.until else ()
    focus = (shown.focus,) if ctx.at < shown.focus_until and shown.focus else ()
    about = focus or tuple(thing for thing in listed if thing in ctx.items)
    if not about:
        if "课" in message.text or (not listed and _faq_knows(ctx, message.text)):
            return None
        return Reply.text(_no_list(ctx, shown) or ctx.texts("follow.no_more"))
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


@router.text(_ASK.pattern, where="both")
async def ask_about(message: Message, ctx: Context) -> Reply | None:
    """A question about one item: the one it names or points at, or the one told last.

    None when there is no such item, or the FAQ has these very words: they win, except
    over a bare 多少钱, 怎么报名 or 有哪些章节 about what was told just now. What only an item
    can be asked (目录, 谁讲的) is then answered with 你问的是哪一门.
    """
    question = asked(message.text)
    if question is None:
        return None
    part, ordinal, name, this = question
    if ordinal:
        return await _about_place(message, ctx, part, ordinal)
    if not name:
        return await _about_shown(message, ctx, part, this)
    if _NAMES_NOTHING.fullmatch(name):
        return None
    return await _about_named(message, ctx, part, _named(ctx, name, _loosely(part)))


@router.text(_BUY.pattern, where="both")
async def buy(message: Message, ctx: Context) -> Reply | None:
    """怎么报名写作课, 买第二个: the verb first. None when it names no item."""
    found = _BUY.fullmatch(folded(message.text))
    if found is None:
        return None
    if found["name"] is None:
        ordinal = found["ordinal"] or f"第{found['digits']}"
        return await _about_place(message, ctx, "enrol", ordinal)
    name = _POINTS.sub("", found["name"]).strip()
    if name != found["name"] and (not name or _NAMES_NOTHING.fullmatch(name)):
        return await _about_shown(message, ctx, "enrol", True)
    if _NAMES_NOTHING.fullmatch(name):
        return None
    return await _about_named(message, ctx, "enrol", _named(ctx, name, False))


@router.text(_REFUND.pattern, where="both")
async def refund(message: Message, ctx: Context) -> Reply | None:
    """理财课能退吗 is what 能退吗 is: the FAQ knows refunds, and the name would mislead it.

    None when it names no item, the FAQ is sure of an entry on refunds as it stands, or has none.
    """
    found = _REFUND.fullmatch(folded(message.text))
    if found is None or in_faq(ctx, message.text):
        return None
    name = _POINTS.sub("", found["name"]).strip()
    if name and (_NAMES_NOTHING.fullmatch(name) or not _named(ctx, name, False)):
        return None
    whole = ctx.knowledge.ask(message.text, ctx.demoted)
    if whole.band is Band.SURE and "退" in whole.hits[0].question:
        return None
    for words in (found["rest"], *_REFUND_WORDS):
        if ctx.knowledge.ask(words, ctx.demoted).band is Band.SURE:
            return await faq.ask(replace(message, text=words), ctx)
    return None


def _loosely(part: Part) -> bool:
    """Whether something alike may be meant. Whether something is hard is easily asked about
    much that has no item: there the words themselves must be found."""
    return part in ("price", "enrol", "chapters")


async def _about_place(message: Message, ctx: Context, part: Part, ordinal: str) -> Reply | None:
    """第二个多少钱: about that one of the last list."""
    shown = await recall_here(ctx, message.key)
    nothing = _no_list(ctx, shown)
    ctx.handler = "choice"
    if shown is None or nothing:
        return None if in_faq(ctx, message.text) else Reply.text(nothing)
    place = place_in(ordinal, len(shown.things))
    thing = shown.things[place - 1] if 1 <= place <= len(shown.things) else ""
    if thing.startswith(("homework:", "coupon:", "exchange:")):
        return None
    about = thing.replace("course:", "item:", 1)
    if about in ctx.items:
        return await _answer(ctx, about, part, shown)
    return await _tell_number(message, ctx, shown, place)


async def _about_shown(message: Message, ctx: Context, part: Part, this: bool) -> Reply | None:
    """A bare question: about the item told last, or one of the last list.

    Without either: which one is meant, where only an item can be. this: it points.
    """
    text = message.text
    common = part in ("teacher", "level") or _DISCOUNT.search(text) is not None
    if common and not this and in_faq(ctx, text):
        return None
    shown = await recall(ctx, message.key) or Shown()
    if shown.focus and ctx.at < shown.focus_until:
        return await _answer(ctx, shown.focus, part, shown)
    listed = shown.things if ctx.at < shown.until else ()
    items = [_listed_item(thing, part) for thing in listed]
    items = [thing for thing in items if thing in ctx.items]
    # What an answer offers is no choice of the member's, unless they point at it.
    meant = this or shown.source in ("content", "recommend") or len(items) == len(listed) > 1
    if items and meant:
        if len(items) == 1:
            return await _answer(ctx, items[0], part, shown)
        # A whole list is less than one item: over that, the FAQ's own words win.
        if this or not in_faq(ctx, text):
            await ask_part(ctx, shown, part)
            ctx.handler = "follow.which"
            return Reply.text(ctx.texts("follow.which_listed"))
    if not ctx.items or (part in ("price", "enrol") and "链接" not in text):
        return None
    if _OF_ANY.search(text) or _faq_knows(ctx, text):
        return None
    ctx.handler = "follow.which"
    return Reply.text(ctx.texts("follow.pick_first"))


def _listed_item(thing: str, part: Part) -> str:
    """The item of a line. Who reads 我的课程 has bought: nobody sells it to them again."""
    own = part not in ("price", "enrol")
    return thing.replace("course:", "item:", 1) if own else thing


async def _about_named(
    message: Message, ctx: Context, part: Part, found: Sequence[str]
) -> Reply | None:
    """About the item named; 你问的是哪一个 when several are; None for none of them."""
    if not found or in_faq(ctx, message.text):
        return None
    shown = await recall(ctx, message.key)
    if len(found) > 1 and shown is not None and ctx.at < shown.focus_until:
        # Words that fit the item told last are about it, though they fit others too.
        found = [shown.focus] if shown.focus in found else found
    if len(found) == 1:
        return await _answer(ctx, found[0], part, shown)
    ctx.handler = "follow.which"
    after = (message.key, shown) if shown is not None else None
    page, rest = found[:_ASKED], found[_ASKED:]
    await offer(ctx, page, "content", rest=rest, part=part, after=after)
    return Reply.text(numbered(ctx, ctx.texts("follow.which"), page))


def _named(ctx: Context, name: str, loosely: bool) -> list[str]:
    """The items that these words name, best first; those with them in the title before tags.

    loosely: also items that have most of them. The kind alone (直播) names all its items.
    """
    kind = _KIND.fullmatch(name)
    if kind is not None:
        things = _of_kind(ctx, ctx.items, kind[1])
        if things:
            return things
    if len(name) < _NAME_CHARS:
        return []
    strong = containing(ctx.items.items(), name)[0]
    found = _ENDING.fullmatch(name)
    if not strong and found is not None and len(found[1]) >= _NAME_CHARS:
        name = found[1]
        strong = containing(ctx.items.items(), name)[0]
        strong = _of_kind(ctx, strong, found[2]) or strong
    if strong:
        titled = [thing for thing in strong if name in folded(ctx.items[thing].title)]
        exact = [thing for thing in titled if name == folded(ctx.items[thing].title)]
        return exact or titled or strong
    hits = ctx.knowledge.find(name, _ASKED) if loosely else ()
    found_items = [hit.id for hit in hits if hit.id in ctx.items and hit.score >= _COVERED]
    return [thing for thing in found_items if named_by(name, ctx.items[thing])]


def _of_kind(ctx: Context, things: Iterable[str], word: str) -> list[str]:
    """Those of the kind that this word says; [] for 课程, which says none."""
    return [thing for thing in things if ctx.items[thing].kind == _KINDS.get(word)]


def in_faq(ctx: Context, text: str) -> bool:
    """Whether the FAQ has a question of exactly these words."""
    wording = ctx.knowledge.clean(text)
    return any(ctx.knowledge.clean(hit.question) == wording for hit in ctx.knowledge.ask(text).hits)


def _faq_knows(ctx: Context, text: str) -> bool:
    """Whether the FAQ has these words or is sure of its answer."""
    return ctx.knowledge.ask(text, ctx.demoted).band is Band.SURE or in_faq(ctx, text)


async def _answer(ctx: Context, thing: str, part: Part, shown: Shown | None) -> Reply | None:
    item = ctx.items.get(thing)
    if item is None:
        return None
    await point_at(ctx, thing, shown)
    return await tell_part(ctx, item, part, *_led(shown, thing))


def _led(shown: Shown | None, thing: str) -> tuple[str, str]:
    """What led to an item, for its link: the list that recommended it, or the catalogue."""
    if shown is not None and shown.ref and thing in shown.things:
        return "recommendation", shown.ref
    return "catalogue", ""


async def _tell_number(message: Message, ctx: Context, shown: Shown, number: int) -> Reply:
    if number != 1 and len(shown.things) == 1:
        return Reply.text(ctx.texts("follow.only_one"))
    if not 1 <= number <= len(shown.things):
        if shown.source in ("coupon", "points"):
            return Reply.text(ctx.texts("coupon.choice_range", count=len(shown.things)))
        return Reply.text(ctx.texts("faq.choice_range", count=len(shown.things)))
    thing = shown.things[number - 1]
    kind, _, name = thing.partition(":")
    reply: Reply | None
    if kind == "tag":
        reply = await tagged(ctx, name, after=(message.key, shown))
    elif kind == "homework":
        reply = await courses.hand_in_waiting(ctx, name)
    elif kind == "coupon":
        reply = await coupons.claim_listed(message, ctx, thing)
    elif kind == "exchange":
        reply = await points.tell_listed(ctx, thing)
    elif kind == "course" and shown.part and f"item:{name}" in ctx.items:
        reply = await _answer(ctx, f"item:{name}", shown.part, shown)
    elif kind == "course":
        await point_at(ctx, f"item:{name}", shown)
        reply = await courses.card(ctx, name)
    elif shown.part and thing in ctx.items:
        reply = await _answer(ctx, thing, shown.part, shown)
    elif shown.source == "recommend" and thing in ctx.items:
        reply = await tell(ctx, thing, *_led(shown, thing))
        ctx.handler = "recommend.item"
        await point_at(ctx, thing, shown)
    else:
        reply = await tell(ctx, thing, "answer" if shown.source == "faq" else "catalogue")
        if thing in ctx.items:
            await point_at(ctx, thing, shown)
        if reply is not None:
            reply = await also(message, ctx, reply)
    # Deleted since the list was shown: as good as expired.
    return reply or Reply.text(_gone(ctx, shown))


def _no_list(ctx: Context, shown: Shown | None) -> str:
    """Why nothing can be picked: nothing was shown, or it has expired; "" when it can be."""
    if shown is None or not shown.things:
        return ctx.texts("faq.no_list")
    return _gone(ctx, shown) if ctx.at >= shown.until else ""


def _gone(ctx: Context, shown: Shown) -> str:
    if shown.source == "coupon":
        return ctx.texts("coupon.choice_gone")
    if shown.source == "points":
        return ctx.texts("points.choice_gone")
    if shown.source == "content":
        return ctx.texts("content.choice_gone")
    if shown.source == "recommend":
        return ctx.texts("recommend.gone")
    return ctx.texts("faq.choice_gone")
