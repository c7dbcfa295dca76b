"""推荐: a few items that fit who asks, why they do, other ones, and never again what is unwanted.

Who ranks is asked through `Context.recommendations`; without anybody it is the catalogue's own
order, what most look at, and it says so. A group reads what everybody looks at, never what fits
one of them: that would tell the others what they learn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from handlers.answers import kind_of
from handlers.choices import Shown, number_in, offer, recall
from handlers.content import containing, numbered
from handlers.context import Context
from handlers.followups import in_faq, place_in
from handlers.message import Message, Reply
from handlers.recommend_text import explained, is_own, lines, short_title
from handlers.recommend_words import FORMS, Asked, asked
from handlers.recommending import Pick, Reason, Wish
from handlers.router import Router, asking, folded
from handlers.tiers import locked, refused

router = Router("recommend")

SHOWN = 3
"""Items in one list: what one reads on a phone without scrolling."""

_STATE = "recommend"
_KEPT_S = 86_400.0
"""How long we remember why something was shown, and what 撤销 takes back."""

_REASONS_KEPT = 30
"""Items of the last lists whose reasons are remembered."""

_COVERED = 0.75
"""How much of a topic an item must cover; see `handlers/faq.py`."""

_TOPIC_CHARS = 20
_BOOKS = "书"

_N = "[0-9]{1,2}|[一二三四五六七八九十]"
_COUNTED = "[个门本节条号]"
_WHICH = (
    rf"(?:(?P<ordinal>(?:倒数)?第(?:{_N})|最后一){_COUNTED}?|(?P<number>{_N}){_COUNTED}?"
    rf"|(?P<all>这些|这几{_COUNTED}|全部|所有|都|以上)|(?P<this>这一?{_COUNTED}|那一?{_COUNTED}|它|这))"
)
_WHICH_TOO = _WHICH.replace("(?P<", "(?P<too_")

_OTHERS = re.compile("再|别的|其[他它]|还有|换")
_AGAIN = (
    r"(?:再)?换一?[换个批门组些点]|换[几两三]个|再(?:来|推荐)(?:[一几两三]?[个些批门点])|再来|换换|下一[页批组]"
    r"|(?:还?有没有|还有|有)?(?:别的|其[他它]的?|更多的?)(?:推荐|课程?|内容)?[吗呢么]?"
    r"|还有(?:没有)?(?:推荐)?[吗呢么]?|(?:这些|这几个|都)(?:都)?(?:看过|学过)了?"
)
_UNWANTED = "不感兴趣|没有?兴趣|别再?推荐|不要再?推荐|不用推荐"
_DISLIKED = f"{_UNWANTED}|不喜欢|不想[看学要]"
"""What names an item as well as this may be said in more words."""
_DISLIKE = re.compile(
    rf"(?:我)?(?:对)?\s*{_WHICH}\s*(?:我)?(?:都)?(?:{_DISLIKED})(?:给我)?\s*(?:了|啦)?"
    rf"|(?:我)?(?:都)?(?:{_DISLIKED})(?:给我)?\s*{_WHICH_TOO}\s*(?:课程?)?(?:了|啦)?"
    rf"|(?:我)?(?:{_UNWANTED})(?:给我)?(?:了|啦)?"
)
_PLAIN = re.compile(_UNWANTED)
_WHY = re.compile(
    r"(?P<short>(?:为什么|为啥)[呢啊呀]?)"
    r"|(?:为什么|为啥|怎么|凭什么|干嘛)(?:要|会|就|都)*(?:给我|向我|跟我)?(?P<rec>推荐)(?:我|给我)?\s*"
    rf"(?:{_WHICH})?\s*(?:课程?)?(?:给我)?[呢啊呀]?"
    rf"|(?:推荐)?(?:理由|原因)(?:是什么|呢)?\s*(?:{_WHICH_TOO})?|(?:为什么|为啥)(?:是)?\s*(?P<bare>{_N})"
)


class _Kept(NamedTuple):
    """What was recommended last. topic, cents: the wish; why: item id -> its reasons.

    hidden: ids that 撤销 brings back; by, back: the key of the message that did, and what it
    brought, so that the same message again answers the same.
    """

    topic: str = ""
    cents: int | None = None
    why: Mapping[str, Sequence[Sequence[Any]]] = {}
    hidden: Sequence[str] = ()
    by: str = ""
    back: Sequence[str] = ()


@router.text(FORMS, where="both")
async def recommend(message: Message, ctx: Context) -> Reply | None:
    """推荐, 推荐 python, 100元以内的课: a short list, each item with its price and a reason.

    None for words that ask for nothing of the kind, for a topic typed close that the catalogue
    does not have, and for what the FAQ has in exactly these words, unless it is an order.
    """
    wish = asked(message.text)
    if wish is None or (not wish.sure and in_faq(ctx, message.text)):
        return None
    among: Sequence[str] = ()
    if wish.topic:
        among = found(ctx, wish.topic, loosely=wish.sure)
        if not among and not wish.sure:
            return None
    if ctx.place:
        return await _for_group(ctx, wish, among)
    if (reply := refused(ctx, "recommend")) is not None:
        return reply
    ctx.handler = "recommend"
    if not ctx.items:
        return Reply.text(ctx.texts("recommend.empty"))
    if wish.topic and not among:
        return Reply.text(ctx.texts("recommend.none_topic", topic=_short(wish.topic)))
    shown = await recall(ctx, message.key)
    again = _OTHERS.search(message.text) is not None
    reply = await _list(message, ctx, wish, among, shown, instead=again)
    if reply is not None:
        return reply
    if wish.topic:
        return Reply.text(ctx.texts("recommend.none_topic", topic=_short(wish.topic)))
    if wish.most_cents is not None:
        return Reply.text(ctx.texts("recommend.none_price"))
    return Reply.text(ctx.texts("recommend.none_again" if again else "recommend.none"))


@router.text(_AGAIN, name="recommend.again", where="both")
async def another(message: Message, ctx: Context) -> Reply | None:
    """换一批: other items for the same wish. None when the last list was no recommendation."""
    shown = await _last(message, ctx)
    if shown is None or shown.source != "recommend" or not shown.things:
        return None
    if ctx.at >= shown.until:
        return Reply.text(ctx.texts("recommend.gone"))
    kept = await _kept(ctx)
    wish = Asked(kept.topic, kept.cents, True)
    among = found(ctx, wish.topic, loosely=True) if wish.topic else ()
    ctx.handler = "recommend.again"
    reply = await _list(message, ctx, wish, among, shown, instead=True)
    return reply or Reply.text(ctx.texts("recommend.none_again"))


@router.text(_DISLIKE.pattern, name="recommend.dislike")
async def dislike(message: Message, ctx: Context) -> Reply | None:
    """不感兴趣 2: never this item again, until 撤销.

    Alone it means the item told last; with a list and no item told, it is asked which. None for
    words that may mean something else when nothing was shown.
    """
    said = _DISLIKE.fullmatch(folded(message.text))
    if said is None or asking(message.text):
        return None
    shown = await _last(message, ctx)
    listed = _items_of(ctx, shown)
    focus = shown.focus if shown is not None and ctx.at < shown.focus_until else ""
    recommended = shown is not None and shown.source == "recommend" and bool(listed)
    if not listed and focus not in ctx.items:
        plain = _PLAIN.search(said[0])
        return Reply.text(ctx.texts("recommend.dislike_nothing")) if plain else None
    names = said.groupdict()
    place = _place(names, len(listed))
    if place is not None:
        if not 1 <= place <= len(listed):
            return Reply.text(ctx.texts("recommend.range", count=max(len(listed), 1)))
        thing = listed[place - 1]
        unwanted = [thing] if thing in ctx.items else []
    elif names["all"] or names["too_all"] or re.search("都", said[0]):
        unwanted = [thing for thing in listed if thing in ctx.items] if recommended else []
    elif focus in ctx.items:
        unwanted = [focus]
    elif len(listed) == 1 and recommended:
        unwanted = [*listed]
    elif recommended:
        return Reply.text(ctx.texts("recommend.dislike_which"))
    else:
        unwanted = []
    if not unwanted:
        return Reply.text(ctx.texts("recommend.dislike_nothing"))
    ctx.item = unwanted[0]
    ids = [ctx.items[thing].id for thing in unwanted]
    for one in ids:
        await ctx.store.recommendations.dislike(ctx.member.id, one, ctx.at)
    await _keep(ctx, (await _kept(ctx))._replace(hidden=ids, by="", back=()))
    if len(ids) == 1:
        return Reply.text(
            ctx.texts("recommend.disliked", title=short_title(ctx.items[unwanted[0]]))
        )
    return Reply.text(ctx.texts("recommend.disliked_all", count=len(ids)))


@router.text("撤销|撤回|撤销不感兴趣|恢复推荐", name="recommend.undo")
async def undo(message: Message, ctx: Context) -> Reply | None:
    """撤销: what 不感兴趣 took away within a day comes back. None when it took nothing."""
    kept = await _kept(ctx)
    ids = kept.back if kept.by == message.key else kept.hidden
    if not ids or asking(message.text):
        return None
    for one in ids:
        await ctx.store.recommendations.undislike(ctx.member.id, one)
    await _keep(ctx, kept._replace(hidden=(), by=message.key, back=ids))
    item = ctx.items.get(f"item:{ids[0]}")
    if len(ids) == 1:
        ctx.item = f"item:{ids[0]}"
        title = short_title(item) if item is not None else ids[0]
        return Reply.text(ctx.texts("recommend.undone", title=title))
    return Reply.text(ctx.texts("recommend.undone_all", count=len(ids)))


@router.text(_WHY.pattern, name="recommend.why")
async def explain(message: Message, ctx: Context) -> Reply | None:
    """为什么, 为什么推荐 2: the reasons in words, with rough shares.

    None when no recommendation was shown: 为什么 then asks something else.
    """
    said = _WHY.fullmatch(folded(message.text))
    if said is None:
        return None
    shown = await _last(message, ctx)
    if shown is None or shown.source != "recommend" or not shown.things:
        return None
    focus = shown.focus if ctx.at < shown.focus_until else ""
    if ctx.at >= shown.until and not focus:
        return Reply.text(ctx.texts("recommend.gone"))
    names = said.groupdict()
    if names["bare"]:
        names["number"] = names["bare"]
    place = _place(names, len(shown.things))
    things: Sequence[str] = shown.things
    if place is not None:
        if not 1 <= place <= len(things):
            return Reply.text(ctx.texts("recommend.range", count=len(things)))
        things = (things[place - 1],)
    elif focus and not names["all"]:
        things = (focus,)
    things = [thing for thing in things if thing in ctx.items]
    if not things:
        return Reply.text(ctx.texts("recommend.gone"))
    kept = await _kept(ctx)
    told, own = [], False
    for thing in things:
        item = ctx.items[thing]
        why = tuple(Reason(*reason) for reason in kept.why.get(item.id, ()))
        if not why and ctx.recommendations is not None:
            why = await ctx.recommendations.why(ctx.member.id, item.id, ctx.at)
        told.append(explained(ctx.texts, ctx.items, item, why))
        own = own or is_own((Pick(item.id, why=why),))
    ctx.item = things[0]
    if own:
        told.append(ctx.texts("recommend.why_tail"))
    return Reply.text("\n".join(told))


async def _list(
    message: Message,
    ctx: Context,
    wish: Asked,
    among: Sequence[str],
    shown: Shown | None,
    *,
    instead: bool,
) -> Reply | None:
    """A list for a wish; None when nothing is left. shown: what was shown before."""
    ids = tuple(ctx.items[thing].id for thing in among)
    number = 0
    picks: Sequence[Pick] = ()
    if ctx.recommendations is None:
        picks = await _popular(ctx, wish, among, shown if instead else None)
    else:
        wanted = Wish(wish.topic, wish.most_cents, instead=instead, among=ids)
        key = bytes.fromhex(message.key)
        number, picks = await ctx.recommendations.recommend(
            ctx.member.id, key, "chat", SHOWN, wanted, ctx.at
        )
        # The catalogue may have changed since it was ranked.
        picks = [pick for pick in picks if f"item:{pick.item}" in ctx.items]
    if not picks:
        return None
    things = [f"item:{pick.item}" for pick in picks]
    after = (message.key, shown) if shown is not None else None
    ref = f"rec:{number}" if number else ""
    await offer(ctx, things, "recommend", after=after, ref=ref)
    kept = await _kept(ctx)
    why: dict[str, Sequence[Sequence[Any]]] = {
        pick.item: [[one.kind, one.name, one.share] for one in _why(pick)] for pick in picks
    }
    others = [(one, reasons) for one, reasons in kept.why.items() if one not in why]
    why.update(others[: _REASONS_KEPT - len(why)])
    await _keep(ctx, kept._replace(topic=wish.topic, cents=wish.most_cents, why=why))
    head = _head(ctx, wish, picks, instead=instead)
    told = lines(ctx.texts, ctx.items, picks)
    return Reply.text("\n".join((head, *told, ctx.texts("recommend.tail"))))


def _why(pick: Pick) -> tuple[Reason, ...]:
    """The reasons to remember: of what chance put there, only that."""
    if not pick.explored:
        return pick.why
    new = any(reason.kind == "new" for reason in pick.why)
    return (Reason("new" if new else "explored", "", 1.0),)


def _head(ctx: Context, wish: Asked, picks: Sequence[Pick], *, instead: bool) -> str:
    """What the list is; that it is everybody's is said where it is."""
    texts, cents = ctx.texts, wish.most_cents
    if wish.topic:
        topic = _short(wish.topic)
        if not cents:
            return texts("recommend.head_topic", topic=topic)
        return texts("recommend.head_both", topic=topic, yuan=_yuan(cents))
    if cents is not None:
        return (
            texts("recommend.head_price", yuan=_yuan(cents))
            if cents
            else texts("recommend.head_free")
        )
    if not is_own(picks):
        return texts("recommend.head_popular")
    return texts("recommend.head_again" if instead else "recommend.head")


async def _popular(
    ctx: Context, wish: Asked, among: Sequence[str], without: Shown | None
) -> list[Pick]:
    """What most look at, in the order of the catalogue; not what the member has."""
    mine = {one.item_id for one in await ctx.store.courses.learning(ctx.member.id)}
    unwanted = {*mine, *await ctx.store.recommendations.disliked(ctx.member.id)}
    seen = {*without.things, *without.seen} if without is not None else set()
    open_ones = _open(ctx, wish, among)
    things = [one for one in open_ones if one not in seen and ctx.items[one].id not in unwanted]
    because = (Reason("popular", "", 1.0),)
    return [Pick(ctx.items[thing].id, why=because) for thing in things[:SHOWN]]


def _open(ctx: Context, wish: Asked, among: Sequence[str]) -> list[str]:
    """What may be shown to this member, or to a group, of a wish."""
    most = wish.most_cents
    return [
        thing
        for thing, item in ctx.items.items()
        if (not wish.topic or thing in among)
        and (most is None or item.price_cents <= most)
        and item.available(ctx.at)
        and not locked(ctx, item)
    ]


async def _for_group(ctx: Context, wish: Asked, among: Sequence[str]) -> Reply:
    """What everybody looks at, with nobody's reasons; what fits one is told in private."""
    ctx.handler = "content.list"
    things = _open(ctx, wish, among)
    if not things:
        if wish.topic:
            return Reply.text(ctx.texts("recommend.none_topic", topic=_short(wish.topic)))
        return Reply.text(ctx.texts("recommend.none_price" if ctx.items else "recommend.empty"))
    await offer(ctx, things[:SHOWN], "content", rest=things[SHOWN:])
    head = ctx.texts("recommend.group_head")
    if wish.topic or wish.most_cents is not None:
        head = _head(ctx, wish, (), instead=False)
    return Reply.text(numbered(ctx, head, things[:SHOWN]))


def found(ctx: Context, topic: str, *, loosely: bool) -> list[str]:
    """The items of a topic, in the order of the catalogue: kind, tag, teacher, title.

    loosely: also those whose summary and chapters speak of it, and what the index thinks alike.
    """
    wanted = folded(topic)
    kinds = {
        thing
        for thing, item in ctx.items.items()
        if wanted == folded(kind_of(ctx.texts, item)) or (wanted == _BOOKS and item.kind == "ebook")
    }
    if kinds:
        return [thing for thing in ctx.items if thing in kinds]
    if len(wanted) < 2:
        return []
    strong, weak = containing(ctx.items.items(), wanted)
    if strong or not loosely:
        return strong
    hits = [hit.id for hit in ctx.knowledge.find(topic, 2 * SHOWN) if hit.score >= _COVERED]
    return [thing for thing in ctx.items if thing in {*weak, *hits}]


async def _last(message: Message, ctx: Context) -> Shown | None:
    """What this member was shown last, in private."""
    return None if ctx.place else await recall(ctx, message.key)


def _items_of(ctx: Context, shown: Shown | None) -> tuple[str, ...]:
    """The open list, if it is one of items."""
    if shown is None or ctx.at >= shown.until:
        return ()
    return shown.things if all(thing in ctx.items for thing in shown.things) else ()


def _place(names: Mapping[str, str | None], count: int) -> int | None:
    """Which place of a list the words name; None when they name none."""
    ordinal = names["ordinal"] or names["too_ordinal"]
    if ordinal:
        return place_in(ordinal, count)
    number = names["number"] or names["too_number"]
    return number_in(number) if number else None


async def _kept(ctx: Context) -> _Kept:
    data = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if not isinstance(data, Mapping):
        return _Kept()
    return _Kept(**{name: data[name] for name in _Kept._fields if name in data})


async def _keep(ctx: Context, kept: _Kept) -> None:
    await ctx.store.members.set_state(ctx.member.id, _STATE, kept._asdict(), ctx.at + _KEPT_S)


def _yuan(cents: int) -> str:
    yuan, fen = divmod(cents, 100)
    return f"{yuan}.{fen:02}" if fen else str(yuan)


def _short(topic: str) -> str:
    line = " ".join(topic.split())
    return line if len(line) <= _TOPIC_CHARS else line[: _TOPIC_CHARS - 1] + "…"
