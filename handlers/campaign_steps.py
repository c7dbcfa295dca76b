"""The questions of the guided dialogue: what each asks, what it takes for an answer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from handlers import rule_words
from handlers.campaign_group_words import name as group_name
from handlers.campaign_places import BadPlaces
from handlers.campaign_places import read as read_places
from handlers.campaign_text import timed
from handlers.campaign_when import BadTime
from handlers.changes import short
from handlers.choices import NUMBER
from handlers.context import Context
from handlers.group_asked import named
from handlers.router import folded
from store.campaigns import LONGEST_TITLE
from store.groups import Group
from store.quizzes import RUNNING, SCHEDULED
from store.rules import RuleError, parse

LISTED = 9
"""Things to choose from in one question: a digit names each."""
GROUPS_LISTED = 15
"""Groups of one question; they have numbers of their own."""
MAX_BYTES = 1900
"""UTF-8 of what is typed to be sent: with a line on how to unsubscribe, one message."""

Said = Mapping[str, Any]


class Stay(Exception):
    """No answer to the question. problem: what was wrong, Chinese; the question follows."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Step:
    """ask: the question. take: what an answer adds to what was said. Errors of take: Stay."""

    ask: Callable[[Context, Said], Awaitable[str]]
    take: Callable[[Context, Said, str], Awaitable[dict[str, Any]]]


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


_CHOSEN = re.compile(rf"(?:我?选|要|就)?(?:第\s*)?(?:{NUMBER})\s*(?:个|项|条|种)?[吧的]?")
_HAN = "一二三四五六七八九十"
_MARGIN = re.compile(r"[（(].*|[\s「」『』《》“”\"'，,]")
"""What is left out when a choice's own words are compared."""
_NODS = frozenset(
    ("好", "好的", "好吧", "嗯", "嗯嗯", "行", "可以", "收到", "知道了", "明白", "ok", "没问题")
)


def number_in(typed: str) -> int | None:
    """ "2", "第二个", "选2" as a number; None for any other text."""
    found = _CHOSEN.fullmatch(folded(typed))
    if found is None:
        return None
    digits, han = found.groups()
    return int(digits) if digits else _HAN.index(han) + 1


def _named(typed: str, *names: str) -> bool:
    """Whether one of these names was typed, whatever stands in its brackets."""
    return _plain(typed) in map(_plain, names)


def _plain(text: str) -> str:
    return _MARGIN.sub("", folded(text))


def _choice(ctx: Context, typed: str, count: int) -> int:
    """Which of so many was chosen, from 0. Errors: Stay."""
    number = number_in(typed)
    if number is None or not 1 <= number <= count:
        raise Stay(ctx.texts("campaign_new.choose", count=count))
    return number - 1


def _words(ctx: Context, typed: str) -> str:
    """What is to be sent. A nod and a row of faces answer us, they are for nobody else."""
    if folded(typed) in _NODS or not any(sign.isalnum() for sign in typed):
        raise Stay(ctx.texts("campaign_new.no_words"))
    if len(typed.encode()) > MAX_BYTES:
        raise Stay(ctx.texts("campaign_new.too_long", limit=MAX_BYTES // 3))
    return typed


# What


_OTHERS = ("article", "coupon", "quiz", "item")
_ALSO: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "article": ("图文", "文章", "发文章", "发图文"),
        "coupon": ("券", "发券", "发优惠券"),
        "quiz": ("竞赛", "答题", "测验", "小测验"),
        "item": ("推荐", "内容推荐"),
        "everyone": (
            *(
                "所有人",
                "全部",
                "全部人",
                "全员",
                "全体",
                "大家",
                "每个人",
                "所有成员",
                "所有关注者",
            ),
            *("everyone", "发给所有人", "发给大家", "发给全部人", "给所有人", "给大家"),
        ),
        "active": ("活跃", "活跃的人", "最近来过的人", "最近30天", "30天内来过的人"),
        "tag": ("标签", "有标签的人", "按标签"),
        "segment": ("人群", "按人群"),
        "rule": ("规则", "写规则"),
        "members": ("会员", "成员", "发给会员", "发给成员"),
        "groups": ("群里", "发到群里", "发群里", "发群", "微信群"),
    }
)
"""What else a choice is called."""


async def _ask_what(ctx: Context, said: Said) -> str:
    names = [ctx.texts(f"campaign_new.what_{kind}") for kind in _OTHERS]
    return ctx.texts("campaign_new.what", choices=_numbered(names))


async def _take_what(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    kind = next(
        (
            kind
            for kind in _OTHERS
            if _named(typed, ctx.texts(f"campaign_new.what_{kind}"), *_ALSO[kind])
        ),
        None,
    )
    if kind is None:
        if number_in(typed) is None:
            content = {"kind": "text", "text": _words(ctx, typed)}
            return {"content": content, "groups": bool(_bound(ctx))}
        kind = _OTHERS[_choice(ctx, typed, len(_OTHERS))]
    things = await _LISTS[kind](ctx)
    if not things:
        raise Stay(ctx.texts(f"campaign_new.no_{kind}"))
    return {"content": {"kind": kind}}


def _added(said: Said, **more: Any) -> dict[str, Any]:
    return {"content": {**said["content"], **more}}


# What there is to choose from: (what a content calls it, what an operator reads)


async def _offers(ctx: Context) -> list[tuple[Any, str]]:
    found = [one for one in await ctx.store.offers.all() if one.status == "open"]
    return [(one.word, f"{one.word}（{one.title}）") for one in found[:LISTED]]


async def _quizzes(ctx: Context) -> list[tuple[Any, str]]:
    found = await ctx.store.quizzes.page(limit=50)
    going = [one for one in found if one.status in (RUNNING, SCHEDULED)]
    return [(one.id, f"《{one.title}》") for one in going[:LISTED]]


async def _items(ctx: Context) -> list[tuple[Any, str]]:
    return [(one.id, f"《{one.title}》") for one in list(ctx.items.values())[:LISTED]]


async def _covers(ctx: Context) -> list[tuple[Any, str]]:
    return [(one.name, one.name) for one in (await ctx.store.assets.all())[:LISTED]]


_LISTS: Mapping[str, Callable[[Context], Awaitable[list[tuple[Any, str]]]]] = MappingProxyType(
    {"coupon": _offers, "quiz": _quizzes, "item": _items, "article": _covers}
)
_CALLED: Mapping[str, str] = MappingProxyType(
    {"coupon": "offer", "quiz": "quiz", "item": "fallback", "article": "cover"}
)


async def _ask_thing(ctx: Context, said: Said) -> str:
    kind = said["content"]["kind"]
    things = await _LISTS[kind](ctx)
    names = _numbered([name for _, name in things])
    return ctx.texts(f"campaign_new.which_{kind}", choices=names)


async def _take_thing(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    kind = said["content"]["kind"]
    things = await _LISTS[kind](ctx)
    named = next((thing for thing, name in things if _named(typed, str(thing), name)), None)
    if named is None or number_in(typed) is not None:
        named = things[_choice(ctx, typed, len(things))][0]
    return _added(said, **{_CALLED[kind]: named})


# Words that go with it


def _usual(ctx: Context, kind: str) -> str:
    """The words that are used when nobody thinks of others; gaps are filled for each member."""
    texts = ctx.texts
    if kind == "coupon":
        return texts(
            "campaign_new.words_coupon",
            title="{{ coupon.title }}",
            code="{{ coupon.code }}",
            ends="{{ coupon.ends }}",
        )
    if kind == "item":
        return texts("campaign_new.words_item", title="{{ item.title }}", url="{{ item.url }}")
    return texts("campaign_new.words_quiz")


_USUAL = ("用这句", "就这句", "就用这句", "这句", "默认", *_NODS)


async def _ask_words(ctx: Context, said: Said) -> str:
    usual = _usual(ctx, said["content"]["kind"])
    return ctx.texts("campaign_new.words", usual=usual)


async def _take_words(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    if number_in(typed) == 1 or folded(typed) in _USUAL:
        return _added(said, text=_usual(ctx, said["content"]["kind"]))
    return _added(said, text=_words(ctx, typed))


async def _ask_title(ctx: Context, said: Said) -> str:
    return ctx.texts("campaign_new.title")


async def _take_title(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    title = " ".join(_words(ctx, typed).split())
    if len(title) > LONGEST_TITLE:
        raise Stay(ctx.texts("campaign_new.title_long", limit=LONGEST_TITLE))
    return _added(said, title=title)


async def _ask_body(ctx: Context, said: Said) -> str:
    return ctx.texts("campaign_new.body")


async def _take_body(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    return _added(said, markdown=typed)


# Where


_WHERE = ("members", "groups")


def _bound(ctx: Context) -> list[Group]:
    return [one for one in ctx.store.groups.all() if one.bound]


async def _ask_where(ctx: Context, said: Said) -> str:
    names = [ctx.texts(f"campaign_groups.where_{name}") for name in _WHERE]
    return ctx.texts("campaign_groups.where", choices=_numbered(names))


async def _take_where(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    name = next(
        (
            name
            for name in _WHERE
            if _named(typed, ctx.texts(f"campaign_groups.where_{name}"), *_ALSO[name])
        ),
        None,
    )
    return {"where": name or _WHERE[_choice(ctx, typed, len(_WHERE))], "places": []}


async def _ask_groups(ctx: Context, said: Said) -> str:
    groups = _bound(ctx)
    lines = [group_name(one.id, one.title, one.place) for one in groups[:GROUPS_LISTED]]
    if len(groups) > GROUPS_LISTED:
        lines.append(ctx.texts("campaign_groups.groups_more", count=len(groups) - GROUPS_LISTED))
    return ctx.texts("campaign_groups.groups", choices="\n".join(lines))


async def _take_groups(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    """Numbers of groups, as the question lists them; short names and names are taken, too."""
    groups = _bound(ctx)
    try:
        places = read_places(typed, lambda name: named(ctx, name) if name else groups)
    except BadPlaces as bad:
        if bad.why == "group_many":
            many = ctx.texts("campaign.fault_group_many", part=short(bad.part), value=bad.value)
            raise Stay(many) from bad
        raise Stay(ctx.texts("campaign_groups.groups_unknown", name=short(bad.part))) from bad
    if not places:
        raise Stay(ctx.texts("campaign_groups.groups_unknown", name=short(typed)))
    return {"places": list(places)}


# To whom


_WHOM = ("everyone", "active", "tag", "segment", "rule")


async def _ask_who(ctx: Context, said: Said) -> str:
    names = [ctx.texts(f"campaign_new.who_{name}") for name in _WHOM]
    return ctx.texts("campaign_new.who", choices=_numbered(names))


async def _take_who(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    name = next(
        (
            name
            for name in _WHOM
            if _named(typed, ctx.texts(f"campaign_new.who_{name}"), *_ALSO[name])
        ),
        None,
    )
    if name is None and number_in(typed) is None:
        return await _take_rule_at_once(ctx, said, typed)
    if name is None:
        name = _WHOM[_choice(ctx, typed, len(_WHOM))]
    rules = {"everyone": "everyone", "active": "active 30d"}
    return {"who": name, "audience": rules.get(name, "")}


_TAG = re.compile(r"(?:tag|标签)(?:\s*[:：]\s*|\s+)(\S+)", re.IGNORECASE)


async def _take_rule_at_once(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    """标签：Python or a rule, of who skips the choice. What has no colon may be anything."""
    found = _TAG.fullmatch(typed)
    if found is not None:
        return {"who": "at_once", **await _take_tag(ctx, said, found[1])}
    if not any(sign in typed for sign in ":："):
        raise Stay(ctx.texts("campaign_new.choose", count=len(_WHOM)))
    return {"who": "at_once", **await _take_rule(ctx, said, typed)}


async def _ask_tag(ctx: Context, said: Said) -> str:
    return ctx.texts("campaign_new.tag")


async def _take_tag(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    tag = typed.strip('「」『』"“”').removeprefix("#").strip()
    quoted = f'tag:"{tag}"'
    try:
        parse(quoted)
    except RuleError as bad:
        raise Stay(ctx.texts("campaign_new.bad_tag")) from bad
    if await ctx.store.tags.members(tag):
        return {"audience": quoted}
    carried = [
        one.tag for one in await ctx.store.wechat_tags.listed(ctx.member.channel) if one.members
    ]
    # The most carried first: of two that differ in case it is the one that is meant.
    same = next((one for one in carried if folded(one) == folded(tag)), None)
    if same is not None:
        return {"audience": f'tag:"{same}"'}
    by_fold = {folded(one): one for one in reversed(carried)}
    near = difflib.get_close_matches(folded(tag), by_fold, n=1, cutoff=0.5)
    if near:
        raise Stay(ctx.texts("campaign_new.no_tag_near", tag=tag[:30], near=by_fold[near[0]]))
    if not carried:
        raise Stay(ctx.texts("campaign_new.no_tags"))
    names = "、".join(carried[:LISTED])
    raise Stay(ctx.texts("campaign_new.no_tag", tag=tag[:30], names=names))


async def _segments(ctx: Context) -> list[tuple[str, str]]:
    """(its name, what an operator reads): those that every store has, then the operators' own."""
    builtin = [
        (name, ctx.texts(f"campaign_new.segment_{key}"))
        for name, key in (("new", "new"), ("quiet", "quiet"), ("about to leave", "leaving"))
    ]
    own = [(one.name, one.name) for one in await ctx.store.segments.all()]
    return (builtin + own)[:LISTED]


async def _ask_segment(ctx: Context, said: Said) -> str:
    names = [name for _, name in await _segments(ctx)]
    return ctx.texts("campaign_new.segment", choices=_numbered(names))


async def _take_segment(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    things = await _segments(ctx)
    named = next((name for name, shown in things if _named(typed, name, shown)), None)
    if named is None:
        named = things[_choice(ctx, typed, len(things))][0]
    return {"audience": f'segment:"{named}"'}


async def _ask_rule(ctx: Context, said: Said) -> str:
    return ctx.texts("campaign_new.rule")


async def _take_rule(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    try:
        parse(typed)
    except RuleError as bad:
        raise Stay(rule_words.fault(ctx.texts, bad, typed)) from bad
    return {"audience": typed}


# When


_EVENING, _MORNING = "20:00", "9:00"


def _times(ctx: Context, said: Said) -> list[tuple[str, str]]:
    """(what `read_when` reads, what the operator reads). A group has no best hour."""
    today = (ctx.now + timedelta(minutes=10)).strftime("%H:%M") < _EVENING
    evening = "今天" if today else "明天"
    name = ctx.texts("campaign_new.when_tonight" if today else "campaign_new.when_evening")
    times = [
        ("现在", ctx.texts("campaign_new.when_now")),
        (f"{evening} {_EVENING}", name),
        (f"明天 {_MORNING}", ctx.texts("campaign_new.when_morning")),
    ]
    if said.get("where") != "groups":
        times.append(("每个人的最佳时间", ctx.texts("campaign_new.when_best")))
    return times


async def _ask_when(ctx: Context, said: Said) -> str:
    return ctx.texts(
        "campaign_new.when", choices=_numbered([name for _, name in _times(ctx, said)])
    )


async def _take_when(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    times = _times(ctx, said)
    named = next((time for time, name in times if _named(typed, name)), None)
    if named is None and number_in(typed) is not None:
        named = times[_choice(ctx, typed, len(times))][0]
    typed = named or typed
    try:
        when = timed(typed, ctx.now)
    except BadTime as bad:
        raise Stay(ctx.texts(f"campaign.fault_time_{bad.why}")) from bad
    if said.get("where") == "groups" and when["timing"] != "at":
        raise Stay(ctx.texts("campaign.fault_field_when"))
    return {"when": when}


# Two wordings


_ONE = ("不用", "不用了", "不要", "不", "不需要", "不试", "不试了", "一种", "一种就行", "没有")
_TWO = ("要", "要的", "好", "好的", "需要", "试", "试试", "试一下", "可以", "行", "两种")


async def _ask_two(ctx: Context, said: Said) -> str:
    return ctx.texts("campaign_new.two")


async def _take_two(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    word = folded(typed)
    chosen = 0 if word in _ONE else 1 if word in _TWO else _choice(ctx, typed, 2)
    return {"two": bool(chosen), "other": ""}


async def _ask_other(ctx: Context, said: Said) -> str:
    title = said["content"]["kind"] == "article"
    return ctx.texts("campaign_new.other_title" if title else "campaign_new.other")


async def _take_other(ctx: Context, said: Said, typed: str) -> dict[str, Any]:
    if said["content"]["kind"] == "article":
        return {"other": (await _take_title(ctx, said, typed))["content"]["title"]}
    if typed == said["content"].get("text"):
        raise Stay(ctx.texts("campaign_new.other_same"))
    return {"other": _words(ctx, typed)}


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "what": Step(_ask_what, _take_what),
        "thing": Step(_ask_thing, _take_thing),
        "words": Step(_ask_words, _take_words),
        "title": Step(_ask_title, _take_title),
        "body": Step(_ask_body, _take_body),
        "who": Step(_ask_who, _take_who),
        "tag": Step(_ask_tag, _take_tag),
        "segment": Step(_ask_segment, _take_segment),
        "rule": Step(_ask_rule, _take_rule),
        "where": Step(_ask_where, _take_where),
        "groups": Step(_ask_groups, _take_groups),
        "when": Step(_ask_when, _take_when),
        "two": Step(_ask_two, _take_two),
        "other": Step(_ask_other, _take_other),
    }
)


def following(step: str, said: Said) -> str:
    """The next step, "" when all is said."""
    kind = said["content"]["kind"]
    # Who has no groups is not asked about them.
    first = "where" if said.get("groups") else "who"
    after = {
        "what": first if kind == "text" else "title" if kind == "article" else "thing",
        "where": "groups" if said.get("where") == "groups" else "who",
        "groups": "when",
        "title": "thing",
        "thing": "body" if kind == "article" else "words",
        "body": "who",
        "words": "who",
        "who": said.get("who", "") if said.get("who") in ("tag", "segment", "rule") else "when",
        "tag": "when",
        "segment": "when",
        "rule": "when",
        "when": "two",
        "two": "other" if said.get("two") else "",
        "other": "",
    }
    return after[step]
