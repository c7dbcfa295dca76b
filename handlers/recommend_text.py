"""Why something is recommended, in words, and lists that say so.

A reason never speaks of another member. Tags that an operator put on somebody are not shown to
them either: only names that stand in the catalogue, or that the member chose, are said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from handlers.answers import kind_of, price_of
from handlers.recommending import Pick, Reason
from handlers.router import folded
from handlers.texts import Texts
from store.catalogue import Item

_HEADLINE = re.compile(r"[：:]")
_TENTHS = "零一两三四五六七八九"
_MOST, _LITTLE = 0.95, 0.05
_WORTH_A_LINE = 0.095
_TOLD = 4
"""Reasons in an explanation; what weighs less is not worth a line."""


Items = Mapping[str, Item]
""" "item:py-101" -> the item, as in `Context.items`."""

_GENERAL = frozenset(("popular", "new", "explored", ""))
"""Reasons that are there for everybody."""

_PAST = frozenset(("finished", "bought", "viewed"))
_UPPER, _LEAST = 3, 5
"""大家最近都在学 is said of the first third of the catalogue, and of five items at least."""


def short_title(item: Item, items: Items | None = None) -> str:
    """The title without what stands behind its colon: 零基础学 Python.

    items: where another one begins the same (直播：…), the whole title is what tells them apart.
    """
    short = _HEADLINE.split(item.title, maxsplit=1)[0].strip()
    if not short:
        return item.title
    if items and short != item.title:
        begun = (f"{short}：", f"{short}:")
        for one in items.values():
            if one.id != item.id and (one.title.startswith(begun) or one.title == short):
                return item.title
    return short


def because(texts: Texts, items: Items, reason: Reason) -> str:
    """One reason as a clause without a stop; never "".

    Of a past item that the catalogue no longer has only that there was one is said.
    """
    kind, name = reason.kind, reason.name
    if kind in ("finished", "bought", "viewed"):
        item = items.get(f"item:{name}")
        if item is None:
            return texts("recommend.because_past")
        title = short_title(item, items)
        if kind == "finished":
            return texts("recommend.because_finished", title=title)
        if kind == "bought":
            return texts("recommend.because_bought", title=title)
        return texts("recommend.because_viewed", title=title)
    if kind == "tag":
        if any(folded(name) == folded(tag) for item in items.values() for tag in item.tags):
            return texts("recommend.because_tag", name=name)
        return texts("recommend.because_interest")
    if kind == "author" and name:
        if name.endswith("老师"):
            return texts("recommend.because_teacher", name=name)
        return texts("recommend.because_author", name=name)
    if kind == "series" and name:
        return texts("recommend.because_series", name=name)
    if kind == "topic" and name:
        return texts("recommend.because_topic", name=name)
    if kind == "level" and name:
        return texts("recommend.because_level", name=name)
    if kind == "community":
        return texts("recommend.because_community")
    if kind == "tier":
        return texts("recommend.because_tier")
    if kind == "popular":
        return texts("recommend.because_popular")
    if kind == "new":
        return texts("recommend.because_new")
    if kind == "explored":
        return texts("recommend.because_explored")
    if not kind:
        return texts("recommend.because_none")
    return texts("recommend.because_other")


def strongest(pick: Pick) -> Reason:
    """The reason that a line says; of what chance put there that, and one of no kind for none."""
    if pick.explored:
        # Whatever the score holds, it was not the score that put it there.
        new = any(reason.kind == "new" for reason in pick.why)
        return Reason("new" if new else "explored", "", 1.0)
    # What they did counts together: three past courses of two tenths each outweigh what is popular.
    groups: dict[str, list[Reason]] = {}
    for reason in pick.why:
        groups.setdefault("past" if reason.kind in _PAST else reason.kind, []).append(reason)
    best = max(groups.values(), key=lambda group: sum(one.share for one in group), default=[])
    return max(best, key=lambda reason: reason.share, default=Reason(""))


def first_reason(texts: Texts, items: Items, pick: Pick) -> str:
    """The strongest reason for a place of a list; what chance put there says so.

    Of what few look at it is not said that everybody does.
    """
    reason = strongest(pick)
    if reason.kind == "popular" and not _is_popular(items, pick.item, pick.why):
        reason = Reason("")
    return because(texts, items, reason)


def _is_popular(items: Items, item_id: str, why: Sequence[Reason]) -> bool:
    """Whether it stands among what most look at: the catalogue is in that order.

    Beside other reasons a model has counted; alone it is only the rest of the catalogue.
    """
    counted = any(reason.kind != "popular" for reason in why)
    return counted or f"item:{item_id}" in islice(items, max(_LEAST, len(items) // _UPPER))


def is_own(picks: Iterable[Pick]) -> bool:
    """Whether anything of a list is there for this member rather than for everybody."""
    return any(reason.kind not in _GENERAL for pick in picks for reason in pick.why)


def says_own(picks: Iterable[Pick]) -> bool:
    """Whether any line of a list says so."""
    return any(strongest(pick).kind not in _GENERAL for pick in picks)


def says_popular(items: Items, picks: Iterable[Pick]) -> bool:
    """Whether all lines of a list say that most look at it."""
    return all(
        strongest(pick).kind == "popular" and _is_popular(items, pick.item, pick.why)
        for pick in picks
    )


def line(texts: Texts, items: Items, number: int, pick: Pick) -> str:
    """One place of a list: number, title, kind, price, and below it the reason.

    Errors: KeyError for an item that the catalogue does not have.
    """
    item = items[f"item:{pick.item}"]
    return texts(
        "recommend.item",
        number=number,
        title=item.title,
        kind=kind_of(texts, item),
        price=price_of(texts, item),
        why=first_reason(texts, items, pick),
    )


def lines(texts: Texts, items: Items, picks: Sequence[Pick]) -> list[str]:
    """A list with its numbers. Errors: KeyError for an item that the catalogue does not have."""
    return [line(texts, items, number, pick) for number, pick in enumerate(picks, 1)]


def explained(texts: Texts, items: Items, item: Item, why: Sequence[Reason]) -> str:
    """Why this item, with rough shares, the strongest first; the same words count once."""
    shares: dict[str, float] = {}
    for reason in why if _is_popular(items, item.id, why) else ():
        if reason.share > 0:
            clause = because(texts, items, reason)
            shares[clause] = shares.get(clause, 0.0) + reason.share
    title = short_title(item, items)
    if not shares:
        return texts("recommend.why_none", title=title)
    best = sorted(shares, key=lambda clause: -shares[clause])[:_TOLD]
    told = [
        texts("recommend.why_line", reason=clause, share=rough(texts, shares[clause]))
        for clause in best
    ]
    rest = 1.0 - sum(shares[clause] for clause in best)
    if rest >= _WORTH_A_LINE:
        told.append(texts("recommend.why_rest", share=rough(texts, rest)))
    head = texts("recommend.why_head", title=title)
    return "\n".join((head, *told))


def rough(texts: Texts, share: float) -> str:
    """A share (0 to 1) as people say it: 约占三成."""
    if share >= _MOST:
        return texts("recommend.share_most")
    if share < _LITTLE:
        return texts("recommend.share_little")
    tenths = min(max(round(share * 10), 1), 9)
    if tenths == 5:
        return texts("recommend.share_half")
    return texts("recommend.share_tenths", tenths=_TENTHS[tenths])


def letter(texts: Texts, items: Items, picks: Sequence[Pick], urls: Mapping[str, str]) -> str:
    """The weekly letter: the items with their reasons and tracked addresses.

    urls: item id -> address, "" or missing for none. "" when the catalogue has none of the items.
    """
    told = []
    for number, pick in enumerate((one for one in picks if f"item:{one.item}" in items), 1):
        url = urls.get(pick.item, "")
        told.append(line(texts, items, number, pick) + (f"\n　{url}" if url else ""))
    if not told:
        return ""
    return "\n".join((texts("recommend.letter_head"), *told, texts("recommend.letter_tail")))
