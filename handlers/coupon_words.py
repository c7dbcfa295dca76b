"""Coupons in words: what one is worth, what it is good for, until when, who may have it.

The member who claims, the operator who previews and the report read the same sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from handlers.context import SHANGHAI
from handlers.rewards import Level
from handlers.texts import Texts
from handlers.tiers import name_of
from store import eligibility
from store.catalogue import Item
from store.coupons import Coupon
from store.offers import NewOffer

NAMED = 5
"""Items and tags named in one sentence; the others are counted."""


def yuan(cents: int) -> str:
    """Fen as yuan: "50", "9.90"."""
    whole, fen = divmod(cents, 100)
    return f"{whole}.{fen:02}" if fen else f"{whole}"


def day_of(at: float, now: float) -> str:
    """A moment as members read it: "12月1日 10:30", the year only where it is another.

    Midnight has no time. at, now: Unix seconds.
    """
    when = datetime.fromtimestamp(at, SHANGHAI)
    year = "" if when.year == datetime.fromtimestamp(now, SHANGHAI).year else f"{when.year}年"
    clock = f" {when:%H:%M}" if when.hour or when.minute else ""
    return f"{year}{when.month}月{when.day}日{clock}"


def last_day(at: float, now: float) -> str:
    """The end of something: what ends at midnight is good through the day before."""
    when = datetime.fromtimestamp(at, SHANGHAI)
    if when.hour or when.minute:
        return day_of(at, now)
    return day_of((when - timedelta(days=1)).timestamp(), now)


def fold_of(percent: int) -> str:
    """20 per cent off is "8" 折, 15 is "8.5"."""
    return f"{(100 - percent) / 10:g}"


def worth(texts: Texts, offer: NewOffer, items: Mapping[str, Item]) -> str:
    """ "减 50 元", "8 折，最多减 30 元", "免费试用 7 天", "送《写作入门》".

    items: "item:py-101" -> the item; one that is not in there is named by its id.
    """
    if offer.kind == "amount":
        return texts("coupon.worth_amount", yuan=yuan(offer.value))
    if offer.kind == "trial":
        return texts("coupon.worth_trial", days=offer.value)
    if offer.kind == "bundle":
        return texts("coupon.worth_bundle", items=_names(texts, offer.items, (), items))
    free = offer.value == 100
    much = texts("coupon.worth_free") if free else _folded(texts, offer.value)
    if offer.cap_cents is None:
        return much
    return texts("coupon.worth_cap", worth=much, yuan=yuan(offer.cap_cents))


def _folded(texts: Texts, percent: int) -> str:
    return texts("coupon.worth_percent", fold=fold_of(percent))


def terms(
    texts: Texts,
    offer: NewOffer,
    items: Mapping[str, Item],
    *,
    ends_at: float | None,
    now: float,
) -> str:
    """What it is good for, from what amount, until when, with what: one line.

    ends_at: of a coupon in hand, or what one claimed now would have; None for never.
    """
    said = conditions(texts, offer, items)
    end = texts("coupon.no_end")
    if ends_at is not None:
        end = texts("coupon.until", when=last_day(ends_at, now))
    return "，".join((*said, end))


def conditions(texts: Texts, offer: NewOffer, items: Mapping[str, Item]) -> list[str]:
    """From what amount, for what and with what it is good; [] for no condition."""
    said = []
    if offer.min_spend_cents:
        said.append(texts("coupon.min_spend", yuan=yuan(offer.min_spend_cents)))
    if offer.kind != "bundle" and (offer.items or offer.categories):
        names = _names(texts, offer.items, offer.categories, items)
        said.append(texts("coupon.only_for", items=names))
    if offer.stackable:
        said.append(texts("coupon.stackable"))
    return said


def _names(texts: Texts, ids: Sequence[str], tags: Sequence[str], items: Mapping[str, Item]) -> str:
    titles = [f"《{items[f'item:{one}'].title}》" if f"item:{one}" in items else one for one in ids]
    names = [*titles, *(f"「{tag}」" for tag in tags)]
    if len(names) <= NAMED:
        return "、".join(names)
    return texts("coupon.and_more", names="、".join(names[:NAMED]), count=len(names))


def audience(
    texts: Texts, rule: str, items: Mapping[str, Item], levels: Sequence[Level] = ()
) -> str:
    """Who may claim it: "等级「常客」以上、交过作业的成员"; "" for everyone.

    levels: of the configuration, lowest first; one that is not among them is told by its
    number. Tags and what is more than a list of conditions are an operator's own words and stay
    with them. Errors: BadRule.
    """
    said = [_condition(texts, one, items, levels) for one in eligibility.conditions(rule)]
    return texts("coupon.audience", who="、".join(dict.fromkeys(said))) if said else ""


def _condition(
    texts: Texts, term: eligibility.Rule, items: Mapping[str, Item], levels: Sequence[Level]
) -> str:
    if not isinstance(term, eligibility.Term):
        return texts("coupon.who_tag")
    if term.name == "level" and term.sign in _LEVEL_SIGNS:
        number = int(term.value)
        level = f"「{levels[number - 1].name}」" if 0 < number <= len(levels) else f" {number} "
        return texts(f"coupon.who_level_{_LEVEL_SIGNS[term.sign]}", level=level).rstrip()
    if term.name == "tier":
        return texts("coupon.who_tier", tier=name_of(texts, term.value))
    if term.name == "bought":
        return texts("coupon.who_bought", item=_names(texts, (term.value,), (), items))
    if term.name == "did" or (term.name == "segment" and term.value in _SEGMENTS):
        return texts(f"coupon.who_{term.value}")
    return texts("coupon.who_tag")


_LEVEL_SIGNS = {">=": "from", "<=": "to", "=": "at"}
_SEGMENTS = ("new", "active", "quiet")


def code_line(texts: Texts, coupon: Coupon) -> str:
    """ "券码 ABCD-EFGH-JKMNP"."""
    return texts("coupon.code", code=coupon.shown)
