"""推荐: a few items that fit who asks, why they do, other ones, and never again what is unwanted.

Who ranks is asked through `Context.recommendations`; without anybody it is the catalogue's own
order, what most look at, and it says so. A group reads what everybody looks at, never what fits
one of them: that would tell the others what they learn.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from handlers.choices import WINDOW_S, Shown, number_in, offer, recall
from handlers.content import numbered
from handlers.context import Context
from handlers.followups import in_faq, place_in
from handlers.message import Message, Reply
from handlers.recommend_finding import cheapest, found, left, open_to
from handlers.recommend_prices import PRICE, Price
from handlers.recommend_text import (
    explained,
    is_own,
    lines,
    says_own,
    says_popular,
    short_title,
    strongest,
)
from handlers.recommend_words import FORMS, TEACHERS, Asked, asked, count_in
from handlers.recommending import Pick, Reason, Wish
from handlers.router import Router, asking, folded
from handlers.tiers import refused

router = Router("recommend")

SHOWN = 3
"""Items in one list: what one reads on a phone without scrolling."""

_STATE = "recommend"
_KEPT_S = 86_400.0
"""How long we remember why something was shown, and what 撤销 takes back."""

_REASONS_KEPT = 30
"""Items of the last lists whose reasons are remembered."""

_HIDDEN_KEPT = 10
"""So many times 不感兴趣 can be taken back, one after the other."""

_ORDERED = "popular_items"
"""The job's finding that puts the catalogue in the order of what most look at."""

_TOPIC_CHARS = 20
_TEACHERS_TOLD = 5

_N = "[0-9]{1,2}|[一二三四五六七八九十]"
_COUNTED = "[个门本节条号]"
_SEVERAL = (
    rf"第?(?:{_N}){_COUNTED}?(?:\s*(?:和|跟|与|及|、|,|，|\s)\s*第?(?:{_N}){_COUNTED}?){{1,9}}"
)
_WHICH = (
    rf"(?:(?P<several>{_SEVERAL})"
    rf"|(?P<ordinal>(?:倒数)?第(?:{_N})|最后一){_COUNTED}?|(?P<number>{_N}){_COUNTED}?"
    rf"|(?P<all>这些|这几{_COUNTED}|全部|所有|都|以上)|(?P<this>这一?{_COUNTED}|那一?{_COUNTED}|它|这))"
)
_WHICH_TOO = _WHICH.replace("(?P<", "(?P<too_")
_WHICH_FIRST = _WHICH.replace("(?P<", "(?P<first_")

_OTHERS = re.compile("再|别的|其[他它]|还有|换")
_AGAIN = (
    r"(?:再)?换一?[换个批门组些点]|换[几两三]个|再(?:来|推荐)(?:[一几两三四五1-9]?[个些批门点本])|再来|换换|下一[页批组]"
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
    rf"|{_WHICH_FIRST}\s*(?:是)?(?:为什么|为啥)[呢啊呀]?"
    r"|(?:为什么|为啥|怎么|凭什么|干嘛)(?:要|会|就|都)*(?:给我|向我|跟我)?(?P<rec>推荐)(?:我|给我)?\s*"
    rf"(?:{_WHICH})?\s*(?:课程?)?(?:给我)?[呢啊呀]?"
    rf"|(?:推荐)?(?:理由|原因)(?:是什么|呢)?\s*(?:{_WHICH_TOO})?|(?:为什么|为啥)(?:是)?\s*(?P<bare>{_N})"
)


_OFF_VERB = "(?:停止|停掉|关闭|关掉|取消|拒绝|禁止|屏蔽|不要|不想要|不需要|不想收到|别|不用)"
_OFF_WHAT = (
    "(?:你们?的|我的|所有的?)?(?:个性化|智能|精准|算法|内容|课程)?的?"
    "推荐(?:功能|服务|算法|内容|课程)?"
)
_OFF = re.compile(
    rf"(?:请|麻烦|帮我|可以|能|我|想|要|怎么|怎样|如何|在?哪里?|\s)*{_OFF_VERB}(?:再|老|总是?|一直)?(?:给我|向我|对我|跟我)?"
    rf"{_OFF_WHAT}(?:给我)?(?:任何)?(?:东西|内容|课程?)?(?:了|吧|啦|吗|么|呢)*"
    rf"|{_OFF_WHAT}(?:怎么|怎样|如何|在?哪里?|能不能|可以|能)?(?:关闭|关掉|关了?|取消|停掉)(?:吗|呢|么)?"
)
_OF_ONE = re.compile("给我|停|关|取消|拒绝|禁止|屏蔽|个性|智能|精准|算法")


_ORDERS: tuple[Literal["cheap", "popular"], ...] = ("cheap", "popular")


class _Kept(NamedTuple):
    """What was recommended last. topic, price, order, size: the wish, as in `Asked`; why: item id
    -> its reasons.

    hidden: ids that 撤销 brings back, the last refusal first; by, back: the key of the message that
    did, and what it brought, so that the same message again answers the same.
    """

    topic: str = ""
    price: Sequence[Any] = PRICE
    order: str = ""
    size: int = 0
    why: Mapping[str, Sequence[Sequence[Any]]] = {}
    hidden: Sequence[Sequence[str]] = ()
    by: str = ""
    back: Sequence[str] = ()

    @property
    def wish(self) -> Asked:
        """The wish, as it was understood."""
        order: Literal["", "cheap", "popular"]
        order = next((one for one in _ORDERS if one == self.order), "")
        return Asked(self.topic, Price(*self.price), True, order, self.size)


@router.text(FORMS, where="both")
async def recommend(message: Message, ctx: Context) -> Reply | None:
    """推荐, 推荐 python, 100元以内的课, 热门: a short list, each item with its price and a reason.

    None for words that ask for nothing of the kind, for a topic typed close that the catalogue
    does not have, and for what the FAQ has in exactly these words, unless it is an order.
    """
    wish = asked(message.text)
    if wish is None or (not wish.sure and in_faq(ctx, message.text)):
        return None
    if wish.topic in TEACHERS:
        return _teachers(ctx)
    shown = await _last(message, ctx)
    before = shown if shown is not None and shown.source == "recommend" else None
    turned = None
    if before is not None and before.things and ctx.at < before.until:
        kept = (await _kept(ctx)).wish
        others = _OTHERS.search(message.text) is not None
        if wish.order == "cheap" and not wish.topic and kept.topic and "推荐" not in message.text:
            # 有便宜点的吗, below a list of a topic.
            wish = wish._replace(topic=kept.topic, sure=True)
        elif others and not (wish.topic or wish.order or wish.price != PRICE):
            wish = kept._replace(size=wish.size or kept.size)
        if others and wish[:4] == kept._replace(sure=wish.sure)[:4]:
            turned = before
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
    reply = await _list(message, ctx, wish, among, turned)
    return reply or Reply.text(_nothing(ctx, wish, turned=turned is not None))


@router.text(_AGAIN, name="recommend.again", where="both")
async def another(message: Message, ctx: Context) -> Reply | None:
    """换一批: other items for the same wish. None when the last list was no recommendation."""
    shown = await _last(message, ctx)
    if shown is None or shown.source != "recommend" or not shown.things:
        return None
    if ctx.at >= shown.until:
        return Reply.text(ctx.texts("recommend.gone"))
    wish = (await _kept(ctx)).wish
    wish = wish._replace(size=count_in(folded(message.text)) or wish.size)
    among = found(ctx, wish.topic, loosely=True) if wish.topic else ()
    ctx.handler = "recommend.again"
    reply = await _list(message, ctx, wish, among, shown)
    return reply or Reply.text(_nothing(ctx, wish, turned=True))


@router.text(_OFF.pattern, name="recommend.off")
async def off(message: Message, ctx: Context) -> Reply | None:
    """停止推荐, 关闭个性化推荐: how to end it. None for 别再推荐了 about the item just read."""
    if in_faq(ctx, message.text):
        return None
    words = folded(message.text)
    if _OF_ONE.search(words) is None and _PLAIN.search(words) is not None:
        shown = await _last(message, ctx)
        if shown is not None and shown.focus and ctx.at < shown.focus_until:
            return None
    told = ctx.texts("recommend.off")
    if ctx.suggesting.letter:
        told += ctx.texts("recommend.off_letter")
    return Reply.text(told)


@router.text(_DISLIKE.pattern, name="recommend.dislike", where="both")
async def dislike(message: Message, ctx: Context) -> Reply | None:
    """不感兴趣 2: never this item again, until 撤销.

    Alone it means the item told last; with a list and no item told, it is asked which. None for
    words that may mean something else when nothing was shown.
    """
    said = _DISLIKE.fullmatch(folded(message.text))
    if said is None or asking(message.text):
        return None
    if ctx.place:
        plain = _PLAIN.search(said[0])
        return Reply.text(ctx.texts("recommend.group_private")) if plain else None
    shown = await _last(message, ctx)
    listed = _items_of(ctx, shown)
    focus = shown.focus if shown is not None and ctx.at < shown.focus_until else ""
    if not listed and focus not in ctx.items:
        focus = await _suggested(ctx, "welcome", "answer")
    recommended = shown is not None and shown.source == "recommend" and bool(listed)
    if not listed and focus not in ctx.items:
        plain = _PLAIN.search(said[0])
        return Reply.text(ctx.texts("recommend.dislike_nothing")) if plain else None
    names = _names(said)
    places = _places(names, len(listed))
    if places:
        if not all(1 <= place <= len(listed) for place in places):
            return Reply.text(ctx.texts("recommend.range", count=max(len(listed), 1)))
        unwanted = [thing for one in places if (thing := listed[one - 1]) in ctx.items]
    elif names["all"] or re.search("都", said[0]):
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
    kept = await _kept(ctx)
    before = [one for one in kept.hidden if [*one] != ids]
    await _keep(ctx, kept._replace(hidden=[ids, *before][:_HIDDEN_KEPT], by="", back=()))
    if len(ids) == 1:
        title = short_title(ctx.items[unwanted[0]], ctx.items)
        return Reply.text(ctx.texts("recommend.disliked", title=title))
    return Reply.text(ctx.texts("recommend.disliked_all", count=len(ids)))


@router.text("撤销|撤回|撤销不感兴趣|恢复推荐", name="recommend.undo")
async def undo(message: Message, ctx: Context) -> Reply | None:
    """撤销: what 不感兴趣 took away within a day comes back, the last first.

    None when it took nothing away all day.
    """
    kept = await _kept(ctx)
    again = kept.by == message.key
    ids = kept.back if again else next(iter(kept.hidden), ())
    if asking(message.text):
        return None
    if not ids:
        return Reply.text(ctx.texts("recommend.undo_nothing")) if kept.by else None
    for one in ids:
        await ctx.store.recommendations.undislike(ctx.member.id, one)
    if not again:
        await _keep(ctx, kept._replace(hidden=kept.hidden[1:], by=message.key, back=ids))
    item = ctx.items.get(f"item:{ids[0]}")
    if len(ids) == 1:
        ctx.item = f"item:{ids[0]}"
        title = short_title(item, ctx.items) if item is not None else ids[0]
        return Reply.text(ctx.texts("recommend.undone", title=title))
    return Reply.text(ctx.texts("recommend.undone_all", count=len(ids)))


@router.text(_WHY.pattern, name="recommend.why", where="both")
async def explain(message: Message, ctx: Context) -> Reply | None:
    """为什么, 为什么推荐 2: the reasons in words, with rough shares.

    None when no recommendation was shown: 为什么 then asks something else.
    """
    said = _WHY.fullmatch(folded(message.text))
    if said is None:
        return None
    names = _names(said)
    if ctx.place:
        return Reply.text(ctx.texts("recommend.group_private")) if names["rec"] else None
    shown = await _last(message, ctx)
    things: Sequence[str]
    if shown is None or shown.source != "recommend" or not shown.things:
        bare = names["rec"] is None
        suggested = await _suggested(ctx, "welcome", *(() if bare else ("answer",)))
        if not suggested or _places(names, 1):
            return None
        things = (suggested,)
    else:
        focus = shown.focus if ctx.at < shown.focus_until else ""
        if ctx.at >= shown.until and not focus:
            return Reply.text(ctx.texts("recommend.gone"))
        places = _places(names, len(shown.things))
        things = shown.things
        if places:
            if not all(1 <= place <= len(things) for place in places):
                return Reply.text(ctx.texts("recommend.range", count=len(things)))
            things = [things[place - 1] for place in places]
        elif focus and not names["all"]:
            things = (focus,)
    things = [thing for thing in things if thing in ctx.items]
    if not things:
        return Reply.text(ctx.texts("recommend.gone"))
    kept = await _kept(ctx)
    picks = []
    for thing in things:
        item = ctx.items[thing]
        why = tuple(Reason(*reason) for reason in kept.why.get(item.id, ()))
        if not why and ctx.recommendations is not None:
            why = await ctx.recommendations.why(ctx.member.id, item.id, ctx.at)
        picks.append(Pick(item.id, why=why))
    ctx.item = things[0]
    if len(picks) > 1 and not is_own(picks):
        # The same line below each of them would tell nothing.
        everybodys = says_popular(ctx.items, picks)
        return Reply.text(
            ctx.texts("recommend.why_general" if everybodys else "recommend.why_mixed")
        )
    told = [
        explained(ctx.texts, ctx.items, ctx.items[thing], pick.why)
        for thing, pick in zip(things, picks, strict=True)
    ]
    if is_own(picks):
        told.append(ctx.texts("recommend.why_tail"))
    return Reply.text("\n".join(told))


async def _list(
    message: Message, ctx: Context, wish: Asked, among: Sequence[str], turned: Shown | None
) -> Reply | None:
    """A list for a wish; None when nothing is left. turned: its page before, None when it is asked
    anew: what was shown for other wishes may be shown again."""
    seen = {*turned.things, *turned.seen} if turned is not None else set[str]()
    number, picks = await _picks(message, ctx, wish, among, seen)
    if wish.order == "cheap":
        picks = sorted(picks, key=lambda pick: ctx.items[f"item:{pick.item}"].price_cents)
    if not picks:
        return None
    things = [f"item:{pick.item}" for pick in picks]
    after = (message.key, turned) if turned is not None else None
    ref = f"rec:{number}" if number else ""
    await offer(ctx, things, "recommend", after=after, ref=ref)
    kept = await _kept(ctx)
    why: dict[str, Sequence[Sequence[Any]]] = {
        pick.item: [[one.kind, one.name, one.share] for one in _why(pick)] for pick in picks
    }
    others = [(one, reasons) for one, reasons in kept.why.items() if one not in why]
    why.update(others[: _REASONS_KEPT - len(why)])
    await _keep(
        ctx,
        kept._replace(
            topic=wish.topic, price=wish.price, order=wish.order, size=wish.size, why=why
        ),
    )
    head = _head(ctx, wish, picks, turned=turned is not None)
    told = lines(ctx.texts, ctx.items, picks)
    return Reply.text("\n".join((head, *told, ctx.texts("recommend.tail"))))


async def _picks(
    message: Message, ctx: Context, wish: Asked, among: Sequence[str], seen: Collection[str]
) -> tuple[int, Sequence[Pick]]:
    """(number of the list, its places); number 0 for one that nobody ranked for this member."""
    count = wish.size or SHOWN
    service = ctx.recommendations
    if service is None or wish.order == "popular":
        things = await left(ctx, wish, among, seen)
        if wish.order == "cheap":
            things = cheapest(ctx, things)
        because = (Reason("popular", "", 1.0),)
        return 0, [Pick(ctx.items[thing].id, why=because) for thing in things[:count]]
    pools: list[Sequence[str]] = [among]
    if wish.order == "cheap":
        things = cheapest(ctx, await left(ctx, wish, among, seen))
        # Who ranks may know of more that they must not see.
        pools = [things[:count], things[: 3 * count], things]
    elif wish.price.least:
        pools = [open_to(ctx, wish, among)]
    free = not (wish.topic or wish.order or wish.price.least)
    key = bytes.fromhex(message.key)
    for pool in pools:
        if not pool and not free:
            break
        wanted = Wish(
            wish.topic,
            wish.price.most,
            instead=bool(seen),
            among=tuple(ctx.items[thing].id for thing in pool),
            without=tuple(thing.removeprefix("item:") for thing in seen if thing),
        )
        number, picks = await service.recommend(ctx.member.id, key, "chat", count, wanted, ctx.at)
        # The catalogue may have changed since it was ranked.
        picks = tuple(pick for pick in picks if f"item:{pick.item}" in ctx.items)
        if picks:
            return number, picks
    return 0, ()


def _why(pick: Pick) -> tuple[Reason, ...]:
    """The reasons to remember: of what chance put there, only that."""
    return (strongest(pick),) if pick.explored else pick.why


def _head(ctx: Context, wish: Asked, picks: Sequence[Pick], *, turned: bool) -> str:
    """What the list is; that it is everybody's is said where it is."""
    texts, cheap = ctx.texts, wish.order == "cheap"
    if wish.topic:
        topic = _short(wish.topic)
        if wish.price != PRICE:
            return texts("recommend.head_both", topic=topic, span=_span(ctx, wish.price))
        if cheap:
            return texts("recommend.head_topic_cheap", topic=topic)
        return texts("recommend.head_topic", topic=topic)
    if wish.price != PRICE:
        return texts("recommend.head_price", span=_span(ctx, wish.price))
    if cheap:
        return texts("recommend.head_cheap")
    if not says_own(picks) and says_popular(ctx.items, picks):
        return texts("recommend.head_popular")
    if turned:
        return texts("recommend.head_again")
    return texts("recommend.head" if says_own(picks) else "recommend.head_mixed")


def _nothing(ctx: Context, wish: Asked, *, turned: bool) -> str:
    """Why there is no list."""
    texts, topic = ctx.texts, _short(wish.topic)
    if turned:
        return texts("recommend.none_again", again=_typed(ctx, wish))
    if wish.price != PRICE:
        span = _span(ctx, wish.price)
        if topic:
            return texts("recommend.none_both", topic=topic, span=span)
        return texts("recommend.none_price", span=span)
    return texts("recommend.none_topic_left", topic=topic) if topic else texts("recommend.none")


def _typed(ctx: Context, wish: Asked) -> str:
    """What to type for the same wish once more."""
    texts = ctx.texts
    if wish.topic or wish.price != PRICE:
        span = _span(ctx, wish.price) if wish.price != PRICE else ""
        what = " ".join(part for part in (_short(wish.topic), span) if part)
        return texts("recommend.again_topic", what=what)
    if wish.order == "popular":
        return texts("recommend.again_popular")
    return texts("recommend.again_cheap" if wish.order else "recommend.again")


def _span(ctx: Context, price: Price) -> str:
    """A price in words: 100 元以内."""
    texts, (least, most, about) = ctx.texts, price
    if most is None:
        return texts("recommend.span_from", yuan=_yuan(least))
    if about:
        return texts("recommend.span_about", yuan=_yuan((least + most) // 2))
    if least:
        return texts("recommend.span_between", low=_yuan(least), high=_yuan(most))
    return (
        texts("recommend.span_within", yuan=_yuan(most)) if most else texts("recommend.span_free")
    )


def _teachers(ctx: Context) -> Reply | None:
    """Which teacher is meant; None where the catalogue names none."""
    names = list(dict.fromkeys(name for item in ctx.items.values() for name in item.authors))
    if not names:
        return None
    ctx.handler = "recommend"
    told = "、".join(names[:_TEACHERS_TOLD])
    return Reply.text(ctx.texts("recommend.teachers", name=names[0], names=told))


async def _for_group(ctx: Context, wish: Asked, among: Sequence[str]) -> Reply:
    """What everybody looks at, with nobody's reasons; what fits one is told in private."""
    ctx.handler = "content.list"
    things = open_to(ctx, wish, among)
    if wish.order == "cheap":
        things = cheapest(ctx, things)
    if not things:
        if not ctx.items:
            return Reply.text(ctx.texts("recommend.empty"))
        if wish.topic and wish.price == PRICE:
            return Reply.text(ctx.texts("recommend.none_topic", topic=_short(wish.topic)))
        return Reply.text(ctx.texts("recommend.group_none"))
    count = wish.size or SHOWN
    await offer(ctx, things[:count], "content", rest=things[count:])
    head = ctx.texts("recommend.group_head")
    if await ctx.store.interactions.finding(_ORDERED) is None:
        head = ctx.texts("recommend.group_head_new")
    if wish.topic or wish.order == "cheap" or wish.price != PRICE:
        head = _head(ctx, wish, (), turned=False)
    return Reply.text(numbered(ctx, head, things[:count]))


async def _suggested(ctx: Context, *surfaces: str) -> str:
    """The item that we put below a welcome or an answer a moment ago; "" for none."""
    newest = await ctx.store.recommendations.lists_of(ctx.member.id, 1)
    for one in newest:
        thing = f"item:{one.shown[0].item_id}" if len(one.shown) == 1 else ""
        if one.surface in surfaces and thing in ctx.items and ctx.at < one.at + WINDOW_S:
            return thing
    return ""


async def _last(message: Message, ctx: Context) -> Shown | None:
    """What this member was shown last, in private."""
    return None if ctx.place else await recall(ctx, message.key)


def _items_of(ctx: Context, shown: Shown | None) -> tuple[str, ...]:
    """The open list, if it is one of items."""
    if shown is None or ctx.at >= shown.until:
        return ()
    return shown.things if all(thing in ctx.items for thing in shown.things) else ()


def _names(said: re.Match[str]) -> dict[str, str | None]:
    """Which of a list the words name, however they are put; a name that is not there is None."""
    names: dict[str, str | None] = dict.fromkeys(
        ("several", "ordinal", "number", "all", "this", "rec", "bare")
    )
    for name, text in said.groupdict().items():
        if text:
            names[name.removeprefix("too_").removeprefix("first_")] = text
    names["number"] = names["number"] or names["bare"]
    return names


def _places(names: Mapping[str, str | None], count: int) -> list[int]:
    """Which places of a list the words name, each once; [] when they name none."""
    if names["several"]:
        found = [number_in(one) for one in re.findall(_N, names["several"])]
    elif names["ordinal"]:
        found = [place_in(names["ordinal"], count)]
    else:
        found = [number_in(names["number"])] if names["number"] else []
    return list(dict.fromkeys(one for one in found if one is not None))


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
