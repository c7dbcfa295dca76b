"""/group: which groups there are, and how zhiqun behaves in each. In private, and in the group.

In a group only that group is meant: its number may be left out, and what concerns others is for
private. Every change says at once what it means; the same command again changes nothing. Posting
into groups is `handlers/group_push.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from handlers import digest_text, group_cards, group_push, group_words
from handlers.changes import read_only, short
from handlers.context import Context
from handlers.group_asked import can_post, find, hears, here, named, robots, shown, split, titled
from handlers.group_words import narrow
from handlers.message import Message, Reply
from store.groups import Group, GroupRules
from store.ledgers import Deed

LONGEST_WELCOME = 300
"""Characters of a welcome."""

PATIENCE_S = (10.0, 3600.0)
"""A question waits at least and at most so long before the bot answers it unasked."""

WELCOME_MINUTES = (0.1, 1440.0)

_CREATED_S = 300.0
"""A message says when it was written; further away from now it is not believed."""

Run = Callable[[Message, Context, Group, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class _Verb:
    """What follows /group and a group. run: gets the group and what follows it.

    free: any words may follow, so that a number among them is not taken for a group.
    looks: it changes nothing.
    """

    run: Run
    free: bool = False
    looks: bool = False


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/group: a list, a card, or a change of one group; see docs/commands.md."""
    texts = ctx.texts
    group = await here(message, ctx)
    typed, after = split(rest)
    name = _MEANT.get(narrow(typed), narrow(typed))
    verb = _VERBS.get(name)
    if verb is None and name not in _WHOLE:
        if turned := _turned(ctx, typed, after):
            return await command(message, ctx, turned)
        return await _other(message, ctx, group, typed)
    ctx.handler = f"operator.group.{name}"
    if name == "help":
        if group is not None:
            return Reply.text(texts("group_desk.usage_here"))
        usage = texts("group_desk.usage", names=group_words.NEWCOMERS)
        return Reply.text(usage if ctx.is_operator() else texts("group_desk.usage_read"))
    if name in _WHOLE:
        if group is not None:
            return Reply.text(texts("group_desk.private_only", command=name))
        if name == "push":
            return read_only(ctx) or await group_push.preview(message, ctx, after)
        return await (
            group_cards.listed(ctx, after) if name == "list" else group_push.posts(ctx, after)
        )
    assert verb is not None, "it is one or the other"
    if not verb.looks and (refused := read_only(ctx)):
        return refused
    if group is None:
        typed, after = split(after)
        if not typed:
            return Reply.text(texts("group_desk.which", command=name))
        line = short(f"{typed} {after}".strip())
        found = find(ctx, typed, texts("group_desk.which_line", command=name, rest=line))
        if isinstance(found, Reply):
            return found
        return await verb.run(message, ctx, found, after)
    first, more = split(after)
    meant = _named(ctx, first) if more or not _takes_value(name) else None
    if meant is not None and meant.place == group.place:
        after = more
    elif meant is not None and (first.startswith("#") or not verb.free):
        return Reply.text(texts("group_desk.only_here"))
    return await verb.run(message, ctx, group, after)


def _turned(ctx: Context, typed: str, after: str) -> str:
    """What was typed as "3 welcome …" in our order, "welcome 3 …"; "" for anything else."""
    verb, rest = split(after)
    name = _MEANT.get(narrow(verb), narrow(verb))
    if name not in _VERBS and name not in ("push", "posts"):
        return ""
    every = [one for one in group_words.listed(typed) if not group_words.means_all(one)]
    return f"{name} {typed} {rest}" if all(named(ctx, one) for one in every) else ""


def _takes_value(name: str) -> bool:
    return name not in ("bind", "unbind")


def _named(ctx: Context, typed: str) -> Group | None:
    """The one group of this number or short name; None when it may be anything else."""
    found = named(ctx, typed) if typed else []
    return found[0] if len(found) == 1 else None


async def _other(message: Message, ctx: Context, group: Group | None, typed: str) -> Reply:
    """/group alone, /group 3, or a word that is not one of ours."""
    texts = ctx.texts
    if group is not None:
        meant = _named(ctx, typed)
        if not typed or (meant is not None and meant.place == group.place):
            ctx.handler = "operator.group.show"
            said = texts(
                "group_desk.card_here",
                number=group.id,
                title=shown(ctx, group),
                state=group_cards.state_of(ctx, group),
            )
            return Reply.text(said)
        return Reply.text(texts("group_desk.usage_here"))
    if not typed:
        ctx.handler = "operator.group.list"
        return await group_cards.listed(ctx, "")
    words = [*_VERBS, *_WHOLE]
    near = [_NEAR[narrow(typed)]] if narrow(typed) in _NEAR else []
    near = near or difflib.get_close_matches(narrow(typed), words, n=1, cutoff=0.6)
    if near and not named(ctx, typed):
        return Reply.text(texts("group_desk.meant", command=near[0]))
    found = find(ctx, typed)
    if isinstance(found, Reply):
        return found
    ctx.handler = "operator.group.show"
    return await group_cards.card_of(ctx, found)


# Changing


def _deed(ctx: Context, action: str) -> Deed:
    return Deed(ctx.at, f"member:{ctx.member.id}", f"group.{action}")


def _name(message: Message, ctx: Context, group: Group) -> str:
    """How an answer names it: in the group itself, 本群."""
    if message.talk is not None:
        return ctx.texts("group_desk.this_group")
    return titled(ctx, group)


async def _ruled(
    message: Message,
    ctx: Context,
    group: Group,
    change: Callable[[GroupRules], GroupRules],
) -> None:
    """Change a group's rules, and write down who did."""
    deed = _deed(ctx, ctx.handler.rpartition(".")[2])
    ctx.item = f"group:{group.id}"
    await ctx.store.groups.rule(group.place, change, now=ctx.at, deed=deed)


def _said(
    ctx: Context, group: Group, *lines: str, posts: bool = False, hears_all: str = ""
) -> Reply:
    """An answer, with what is in the way of the setting.

    posts: it takes a way to post there. hears_all: what to say where not everything is heard.
    """
    texts, why = ctx.texts, []
    if posts and not can_post(ctx, group):
        why.append(texts("group_desk.cannot_post", number=group.id))
    if hears_all and not hears(ctx, group):
        why.append(texts("group_desk.robot_deaf") if _is_robot(ctx, group) else hears_all)
    if not group.bound:
        why.append(texts("group_desk.not_bound", number=group.id))
    first = [texts("group_desk.but", why=one) for one in why[:1]]
    return Reply.text("\n".join([*lines, *first, *why[1:]]))


def _is_robot(ctx: Context, group: Group) -> bool:
    """Whether nothing that is said there is ever heard."""
    return group.channel in ctx.channels.robots


def _at(message: Message) -> str:
    """What stands for the group in a usage: in the group itself, nothing."""
    return "" if message.talk is not None else "3 "


async def _bind(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group bind [3] [short name]: zhiqun may act there."""
    texts, groups = ctx.texts, ctx.store.groups
    name = _name(message, ctx, group)
    if group.left_at is not None:
        return Reply.text(texts("group_desk.bound_left", group=name))
    alias = group_words.alias_of(rest) if rest else None
    if rest and alias is None:
        return Reply.text(
            texts("group_desk.call_usage", at=_at(message), limit=group_words.LONGEST_ALIAS)
        )
    ctx.item = f"group:{group.id}"
    await groups.bind(group.place, ctx.at, f"member:{ctx.member.id}", _deed(ctx, "bind"))
    already = texts("group_desk.bound_already", group=name)
    lines = [already if group.bound else texts("group_desk.bound", group=name)]
    if alias is not None:
        lines.append(await _give(ctx, group, alias) or texts("group_desk.bound_named", alias=alias))
    return Reply.text("\n".join(lines))


def _call_usage(message: Message, ctx: Context) -> str:
    limit = group_words.LONGEST_ALIAS
    return ctx.texts("group_desk.call_usage", at=_at(message), limit=limit)


async def _give(ctx: Context, group: Group, alias: str) -> str:
    """Give a group a short name; why not, or "" when it has it."""
    if narrow(alias) in RESERVED:
        return ctx.texts("group_desk.call_reserved", alias=alias)
    if await ctx.store.groups.call(group.place, alias, _deed(ctx, "call")) is None:
        return ctx.texts("group_desk.call_taken", alias=alias)
    return ""


async def _unbind(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group unbind [3]: zhiqun says nothing there any more; what waits is not posted."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    ctx.item = f"group:{group.id}"
    was = group.bound_at is not None
    # First what can be counted; unbinding drops whatever is left.
    dropped = await ctx.store.posts.drop(ctx.at, place=group.place)
    await ctx.store.groups.unbind(group.place, _deed(ctx, "unbind"))
    if not was and not dropped:
        return Reply.text(texts("group_desk.unbound_already", group=name))
    lines = [texts("group_desk.unbound", group=name)]
    if dropped:
        lines.append(texts("group_desk.unbound_dropped", count=dropped))
    return Reply.text("\n".join(lines))


async def _call(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group call [3] vip: what it is called in commands and rules; off takes it away."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    ctx.item = f"group:{group.id}"
    if group_words.means_off(rest):
        await ctx.store.groups.call(group.place, None, _deed(ctx, "call"))
        return Reply.text(texts("group_desk.uncalled", group=name))
    alias = group_words.alias_of(rest)
    if alias is None:
        return Reply.text(
            texts("group_desk.call_usage", at=_at(message), limit=group_words.LONGEST_ALIAS)
        )
    problem = await _give(ctx, group, alias)
    return Reply.text(problem or texts("group_desk.called", group=name, alias=alias))


async def _posted_by(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group route [3] robot: which group robot posts there; off: its own channel."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    ctx.item = f"group:{group.id}"
    if group_words.means_off(rest):
        done = await ctx.store.groups.post_by(group.place, "", _deed(ctx, "route"))
        said = texts("group_desk.routed_own", group=name)
        return _said(ctx, done or group, said, posts=True)
    usable = robots(ctx)
    if not usable:
        return Reply.text(texts("group_desk.route_none"))
    route = next((one for one in usable if narrow(one) == narrow(rest)), None)
    names = "、".join(usable)
    if not rest:
        return Reply.text(texts("group_desk.route_usage", at=_at(message), routes=names))
    if route is None:
        return Reply.text(texts("group_desk.route_unknown", route=short(rest), routes=names))
    if route == group.channel:
        return Reply.text(texts("group_desk.route_self", group=name))
    others = [one for one in ctx.store.groups.all() if one.route == route and one != group]
    if others:
        one = others[0]
        other = titled(ctx, one)
        return Reply.text(texts("group_desk.route_taken", route=route, other=other))
    done = await ctx.store.groups.post_by(group.place, route, _deed(ctx, "route"))
    said = texts("group_desk.routed", group=name, route=route)
    return _said(ctx, done or group, said, posts=True)


async def _greet(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group welcome [3] words | on | off | every 5."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if not rest:
        return Reply.text(
            texts("group_desk.welcome_usage", at=_at(message), names=group_words.NEWCOMERS)
        )
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, welcome=""))
        return Reply.text(texts("group_desk.welcome_off", group=name))
    minutes = group_words.minutes_of(rest)
    if minutes is not None:
        least, most = WELCOME_MINUTES
        if not least <= minutes <= most:
            return Reply.text(texts("group_desk.welcome_minutes"))
        await _ruled(message, ctx, group, lambda rules: replace(rules, welcome_minutes=minutes))
        said = texts("group_desk.welcome_every", group=name, minutes=f"{minutes:g}")
        return _said(ctx, group, said)
    words = group_words.welcome_of(rest)
    if group_words.means_on(rest):
        words = texts("group_desk.welcome_words", names=group_words.NEWCOMERS)
    if len(words) > LONGEST_WELCOME:
        return Reply.text(texts("group_desk.welcome_long", limit=LONGEST_WELCOME))
    before = group.rules.welcome
    await _ruled(message, ctx, group, lambda rules: replace(rules, welcome=words))
    example = words.replace(group_words.NEWCOMERS, texts("group_desk.example_names"))
    lines = [texts("group_desk.welcome_set", group=name, example=example)]
    if before and before != words:
        lines.append(texts("group_desk.welcome_before", welcome=before))
    deaf = texts("group_desk.welcome_deaf")
    return _said(ctx, group, *lines, posts=True, hears_all=deaf)


async def _hush(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group quiet [3] 22:00-08:00 | off: only who mentions the bot is answered."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    hours = "" if group_words.means_off(rest) else group_words.hours_of(rest)
    if hours is None:
        return Reply.text(texts("group_desk.quiet_usage", at=_at(message)))
    await _ruled(message, ctx, group, lambda rules: replace(rules, quiet=hours))
    if not hours:
        return Reply.text(texts("group_desk.quiet_off", group=name))
    if _is_robot(ctx, group):
        return _said(ctx, group, texts("group_desk.quiet_set_robot", group=name, hours=hours))
    return _said(ctx, group, texts("group_desk.quiet_set", group=name, hours=hours))


async def _daily(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group digest [3] 21:00 | on | off | now."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if narrow(rest) in ("now", "现在", "今天"):
        if message.talk is not None:
            return Reply.text(texts("group_desk.private_only", command=f"digest {group.id} now"))
        ctx.item = f"group:{group.id}"
        return Reply.text(await digest_text.today(ctx, group))
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, digest="off"))
        return Reply.text(texts("group_desk.digest_off", group=name))
    time = "" if group_words.means_on(rest) else group_words.clock_of(rest)
    if time is None:
        return Reply.text(texts("group_desk.digest_usage", at=_at(message)))
    await _ruled(message, ctx, group, lambda rules: replace(rules, digest=time))
    if time:
        said = texts("group_desk.digest_set", group=name, time=time)
    elif ctx.channels.digest_at:
        said = texts("group_desk.digest_set", group=name, time=ctx.channels.digest_at)
    else:
        said = texts("group_desk.digest_configured_set", group=name)
    deaf = texts("group_desk.digest_deaf")
    return _said(ctx, group, said, posts=True, hears_all=deaf)


async def _week(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group weekly [3] on | off: a few figures of its own once a week, with noise."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if group_words.means_on(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, weekly=True))
        return _said(ctx, group, texts("group_desk.weekly_on", group=name), posts=True)
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, weekly=False))
        return Reply.text(texts("group_desk.weekly_off", group=name))
    return Reply.text(texts("group_desk.weekly_usage", at=_at(message)))


async def _mute(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group mute [3] 30m | 2h | off: not a word until then."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, muted_until=0.0))
        return Reply.text(texts("group_desk.unmuted", group=name))
    seconds = group_words.seconds_of(rest)
    if seconds is None or seconds > group_words.LONGEST_MUTE_S:
        return Reply.text(texts("group_desk.mute_usage", at=_at(message)))
    # From when it was written: the same message again changes nothing.
    since = message.created if abs(message.created - ctx.at) < _CREATED_S else ctx.at
    until = since + seconds
    await _ruled(message, ctx, group, lambda rules: replace(rules, muted_until=until))
    said = texts(
        "group_desk.muted", group=name, until=group_cards.moment(until, ctx), number=group.id
    )
    return _said(ctx, group, said)


async def _eager(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group eager [3] 60 | off: answers what nobody answers, when it is very sure."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, eager_s=0.0))
        return Reply.text(texts("group_desk.eager_off", group=name))
    seconds = group_words.patience_of(rest)
    least, most = PATIENCE_S
    if seconds is None or not least <= seconds <= most:
        return Reply.text(texts("group_desk.eager_usage", at=_at(message)))
    if _is_robot(ctx, group):
        return Reply.text(texts("group_desk.robot_deaf"))
    if not hears(ctx, group):
        return Reply.text(texts("group_desk.eager_deaf", group=name))
    await _ruled(message, ctx, group, lambda rules: replace(rules, eager_s=seconds))
    said = texts("group_desk.eager_set", group=name, seconds=f"{seconds:g}")
    return _said(ctx, group, said, posts=True)


async def _keywords(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group keywords [3] on | off | default: 签到 without a mention."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    if _is_robot(ctx, group):
        return Reply.text(texts("group_desk.robot_deaf"))
    if group_words.means_on(rest):
        said, wanted = texts("group_desk.keywords_on", group=name), True
        await _ruled(message, ctx, group, lambda rules: replace(rules, keywords=wanted))
        return _said(ctx, group, said, hears_all=texts("group_desk.keywords_deaf"))
    if group_words.means_off(rest):
        await _ruled(message, ctx, group, lambda rules: replace(rules, keywords=False))
        return Reply.text(texts("group_desk.keywords_off", group=name))
    if narrow(rest) in ("default", "默认", "配置"):
        await _ruled(message, ctx, group, lambda rules: replace(rules, keywords=None))
        return Reply.text(texts("group_desk.keywords_default", group=name))
    return Reply.text(texts("group_desk.keywords_usage", at=_at(message)))


async def _keep_order(message: Message, ctx: Context, group: Group, rest: str) -> Reply:
    """/group order [3] off | watch | act; the same setting as /order's."""
    texts = ctx.texts
    name = _name(message, ctx, group)
    wanted = "off" if group_words.means_off(rest) else _ORDERS.get(narrow(rest), "")
    if not wanted:
        return Reply.text(texts("group_desk.order_usage", at=_at(message)))
    await _ruled(message, ctx, group, lambda rules: replace(rules, order=wanted))
    if wanted == "off":
        return Reply.text(texts("group_desk.order_set_off", group=name))
    if wanted == "act":
        said = texts("group_desk.order_set_act", group=name)
    else:
        said = texts("group_desk.order_set_watch", group=name)
    return _said(ctx, group, said, hears_all=texts("group_desk.order_deaf"))


_ORDERS: Mapping[str, str] = MappingProxyType(
    {"watch": "watch", "act": "act", "报告": "watch", "只报告": "watch", "提醒": "act"}
)

_MEANT: Mapping[str, str] = MappingProxyType(
    {
        "列表": "list",
        "s": "list",
        "帮助": "help",
        "?": "help",
        "绑定": "bind",
        "解绑": "unbind",
        "解除绑定": "unbind",
        "别名": "call",
        "alias": "call",
        "通道": "route",
        "欢迎": "welcome",
        "欢迎词": "welcome",
        "免打扰": "quiet",
        "日报": "digest",
        "周报": "weekly",
        "静音": "mute",
        "主动回答": "eager",
        "关键词": "keywords",
        "秩序": "order",
        "推送": "push",
        "发": "push",
    }
)
"""Other words -> ours."""

_NEAR: Mapping[str, str] = MappingProxyType(
    {"leave": "unbind", "remove": "unbind", "退群": "unbind", "name": "call", "send": "push"}
)
"""Words that may mean another of ours, or more: they are asked back."""

_VERBS: Mapping[str, _Verb] = MappingProxyType(
    {
        "bind": _Verb(_bind, free=True),
        "unbind": _Verb(_unbind),
        "call": _Verb(_call, free=True),
        "route": _Verb(_posted_by),
        "welcome": _Verb(_greet, free=True),
        "quiet": _Verb(_hush),
        "digest": _Verb(_daily),
        "weekly": _Verb(_week),
        "mute": _Verb(_mute),
        "eager": _Verb(_eager),
        "keywords": _Verb(_keywords),
        "order": _Verb(_keep_order),
    }
)
"""What is said of one group; docs/commands.md describes each."""

_WHOLE = ("list", "push", "posts", "help")
"""What is said of all groups, in private."""

RESERVED = frozenset({*_VERBS, *_WHOLE, *_MEANT})
"""No group is called so: its card could not be asked for."""
