"""/order: what was judged today, one case, banned and allowed words, how strict each group is.

Words and strictness are for operators, and written to the audit. That somebody may be removed
or silenced is for owners, and is asked first: a false alarm costs a member.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handlers import changes, order_text
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import folded
from insights.order_reading import bare, levelled
from store.groups import Group, GroupRules
from store.ledgers import Deed
from store.order import WordRow

WORD_CHARS = 40
MAX_WORDS = 5000
SILENCE_MINUTES = 10
"""As long as `bot.order.SILENCE_S`; a test compares."""

_SHOWN = 60
_GROUPS = 8
_CASES = 5
_NUMBERS = 20
_SHORTEST = 2
_HOST = re.compile(r"(?:https?://)?((?:[a-z0-9\-]{1,63}\.){1,6}[a-z]{2,24})(?:[/:?#].*)?")
_QUOTED = re.compile(r'["“”「『](.+)["“”」』]', re.DOTALL)
_MODES = ("off", "watch", "act")


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/order [case|ban|allow|unban|unallow|list|off|watch|act|kick|silence]."""
    verb, _, more = rest.strip().partition(" ")
    verb, more = folded(verb), more.strip()
    if not verb:
        return await _today(message, ctx)
    if verb == "case":
        return await _case(message, ctx, more)
    if verb in ("ban", "allow", "unban", "unallow"):
        return await _word(ctx, verb, more)
    if verb == "list":
        return await _list(ctx)
    if verb in _MODES:
        return await _mode(message, ctx, verb, more)
    if verb in ("kick", "silence"):
        return await _switch(message, ctx, verb, more)
    return Reply.text(ctx.texts("order.usage"))


# Looking


async def _today(message: Message, ctx: Context) -> Reply:
    texts = ctx.texts
    midnight = ctx.now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    sums = await ctx.store.order.sums(midnight)
    if not sums:
        return Reply.text(f"{texts('order.today_none')}\n{texts('order.usage')}")
    lines = [
        texts(
            "order.today_line",
            group=_title(ctx, one.place),
            cases=one.cases,
            severe=one.severe,
            waiting=one.waiting,
        )
        for one in sums[:_GROUPS]
    ]
    head = texts("order.today_head", day=ctx.today)
    waiting = await ctx.store.order.page(_SHOWN, waiting=True)
    waiting = [one for one in waiting if one.at >= midnight]
    tappable = _tappable(message)
    lines += [order_text.line(texts, case, tappable=tappable) for case in waiting[:_CASES]]
    if rest := waiting[_CASES:]:
        numbers = " ".join(f"#{one.id}" for one in rest[:_NUMBERS])
        lines.append(texts("order.today_more", count=len(rest), numbers=numbers))
    return Reply.text("\n".join((head, *lines, texts("order.today_tail"))))


def _tappable(message: Message) -> bool:
    """Whether a link of WeChat's own can be tapped there."""
    return message.source == "official"


async def _case(message: Message, ctx: Context, typed: str) -> Reply:
    number = changes.number_from(typed)
    if number is None:
        return Reply.text(ctx.texts("order.case_usage"))
    case = await ctx.store.order.case(number)
    if case is None:
        return Reply.text(ctx.texts("order.case_none", number=number))
    title, tappable = _title(ctx, case.place), _tappable(message)
    return Reply.text(order_text.one(ctx.texts, case, title, tappable=tappable))


def _title(ctx: Context, place: str) -> str:
    group = ctx.store.groups.known(place)
    return order_text.called(group.title if group is not None else place)


# Words


async def _word(ctx: Context, verb: str, typed: str) -> Reply:
    """ban 词 [群]: the last word names a group where there is one of that name."""
    texts = ctx.texts
    typed, group = _scoped(ctx, typed)
    head, _, last = typed.rpartition(" ")
    if head and group is None and not verb.startswith("un") and not _QUOTED.fullmatch(typed):
        # A group's name mistyped would ban the phrase everywhere, and never be heard of.
        said = {"verb": verb, "word": changes.short(typed), "group": changes.short(last)}
        return Reply.text(texts("order.word_which", **said))
    if quoted := _QUOTED.fullmatch(typed):
        typed = quoted[1].strip()
    kind, value = ("ban", typed) if verb.endswith("ban") else _allowed(typed)
    letters = bare(levelled(value))
    if len(letters) < _SHORTEST or len(value) > WORD_CHARS:
        return Reply.text(texts("order.word_usage", chars=WORD_CHARS))
    place = group.place if group is not None else ""
    scope = group.title if group is not None else texts("order.everywhere")
    target = f"group:{group.id}" if group is not None else ""
    said = {"word": changes.short(value), "scope": scope}
    by = f"member:{ctx.member.id}"
    if verb.startswith("un"):
        deed = Deed(ctx.at, by, "order.unban" if verb == "unban" else "order.unallow")
        if not await ctx.store.order.drop_word((kind,), value, place, deed, target):
            return Reply.text(texts("order.word_not_there", **said))
        return Reply.text(texts("order.word_gone", **said))
    if len(await ctx.store.order.words()) >= MAX_WORDS:
        return Reply.text(texts("order.word_many", limit=MAX_WORDS))
    deed = Deed(ctx.at, by, "order.ban" if verb == "ban" else "order.allow")
    row = WordRow(kind, value, place, 2)
    if not await ctx.store.order.set_word(row, deed, target):
        return Reply.text(texts("order.word_same", **said))
    if verb == "ban":
        return Reply.text(texts("order.word_banned", **said))
    return Reply.text(texts("order.word_allowed", **said))


def _scoped(ctx: Context, typed: str) -> tuple[str, Group | None]:
    head, _, last = typed.rpartition(" ")
    if head:
        found = ctx.store.groups.called(last)
        if len(found) == 1:
            return head.strip(), found[0]
    return typed, ctx.group


def _allowed(typed: str) -> tuple[str, str]:
    """A host, with or without https:// before and a path behind, or a word."""
    found = _HOST.fullmatch(folded(typed))
    return ("host", found[1].removeprefix("www.")) if found is not None else ("allow", typed)


async def _list(ctx: Context) -> Reply:
    texts = ctx.texts
    rows = await ctx.store.order.words()
    named: dict[str, list[str]] = {"ban": [], "allow": [], "host": []}
    for row in rows:
        scope = _title(ctx, row.place) if row.place else texts("order.everywhere")
        named[row.kind].append(texts("order.list_word", word=row.value, scope=scope))
    lines = []
    if named["ban"]:
        lines.append(texts("order.list_banned", words=_listed(named["ban"])))
    if named["allow"]:
        lines.append(texts("order.list_allowed", words=_listed(named["allow"])))
    if named["host"]:
        lines.append(texts("order.list_hosts", words=_listed(named["host"])))
    return Reply.text("\n".join(lines) or texts("order.list_none"))


def _listed(words: list[str]) -> str:
    more = f" …（{len(words)}）" if len(words) > _SHOWN else ""
    return "、".join(words[:_SHOWN]) + more


# How strict


def _group(ctx: Context, verb: str, typed: str) -> Group | Reply:
    """The group that was named, or the one it was said in."""
    texts = ctx.texts
    if not typed:
        return ctx.group or Reply.text(texts("order.group_needed", verb=verb))
    found = ctx.store.groups.called(typed)
    if len(found) == 1:
        return found[0]
    if found:
        return Reply.text(texts("order.group_many", group=changes.short(typed), count=len(found)))
    return Reply.text(texts("order.group_unknown", group=changes.short(typed)))


async def _mode(message: Message, ctx: Context, mode: str, typed: str) -> Reply:
    group = _group(ctx, mode, typed)
    if isinstance(group, Reply):
        return group
    await ctx.store.groups.rule(group.place, lambda rules: replace(rules, order=mode))
    await changes.audited(message, ctx, "order.mode", f"group:{group.id}", mode)
    if mode == "off":
        return Reply.text(ctx.texts("order.mode_off", group=group.title))
    if mode == "watch":
        return Reply.text(ctx.texts("order.mode_watch", group=group.title))
    return Reply.text(ctx.texts("order.mode_act", group=group.title))


async def _switch(message: Message, ctx: Context, verb: str, typed: str) -> Reply:
    """kick on 群, silence off 群: owners only; on is asked first."""
    texts = ctx.texts
    if ctx.member.role != "owner":
        return Reply.text(texts("operator.owner_only"))
    word, _, name = typed.partition(" ")
    if folded(word) not in ("on", "off"):
        return Reply.text(texts("order.switch_usage", verb=verb))
    group = _group(ctx, f"{verb} {folded(word)}", name.strip())
    if isinstance(group, Reply):
        return group
    args = {"what": verb, "on": folded(word) == "on", "place": group.place}
    if not args["on"]:
        return await _switched(message, ctx, args)
    if group.channel not in ctx.channels.kicking:
        return Reply.text(texts("order.switch_cannot", group=group.title))
    if verb == "kick":
        question = texts("order.kick_ask", group=group.title)
    else:
        question = texts("order.silence_ask", group=group.title, minutes=SILENCE_MINUTES)
    return await changes.ask(ctx, "order.switch", args, question)


@changes.executes("order.switch")
async def _switched(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts, what, on = ctx.texts, args["what"], bool(args["on"])
    if ctx.member.role != "owner":
        return Reply.text(texts("operator.owner_only"))

    def change(rules: GroupRules) -> GroupRules:
        return replace(rules, kick=on) if what == "kick" else replace(rules, silence=on)

    group = await ctx.store.groups.rule(args["place"], change)
    if group is None:
        return Reply.text(texts("order.group_unknown", group=changes.short(args["place"])))
    detail = f"{what} {'on' if on else 'off'}"
    await changes.audited(message, ctx, "order.mode", f"group:{group.id}", detail)
    said = {"group": group.title}
    if what == "kick":
        return Reply.text(texts("order.kick_on", **said) if on else texts("order.kick_off", **said))
    if on:
        return Reply.text(texts("order.silence_on", minutes=SILENCE_MINUTES, **said))
    return Reply.text(texts("order.silence_off", **said))
