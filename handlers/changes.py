"""Operator commands that change something: FAQ, menu, roles.

Deleting, the menu and roles are asked first: the question is a state of ten minutes, 确认
executes it; adding an answer is done at once. Every step may run again for the same message
after a crash: the state is taken in that message's name, effects are the same the second
time, and the audit gets one row for one message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from handlers.choices import WINDOW_S
from handlers.context import ApiRefused, Context
from handlers.faq import MAX_CHARS, gap_of
from handlers.message import Message, Reply
from handlers.router import Router, folded
from knowledge import Band
from store.content import NewFaq, QuestionTaken

router = Router("operator.confirm")

PAGE = 10
"""FAQ entries on one page of /faq list, and gaps in /faq gaps."""

ROLES = ("member", "operator", "owner")

_STATE = "confirm"
_TAKEN_S = 3600.0
_AUDIT_LOOKBACK = 50
_GAPS_RETRIED = 20
_SHOWN_CHARS = 60
_MAX_NUMBER = 15
_SEPARATOR = re.compile(r"[|｜]")


def number_from(text: str) -> int | None:
    """ "12", "#12" or "１２" as a number; None for anything else, also for absurdly long ones."""
    text = folded(text).removeprefix("#")
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_NUMBER:
        return None
    return int(text)


def entry_from(text: str) -> tuple[str, str] | None:
    """ "问 | 答" -> (question, answer); None when one is missing or the question too long."""
    question, *rest = _SEPARATOR.split(text, maxsplit=1)
    question = " ".join(question.split())
    answer = rest[0].strip() if rest else ""
    if not answer or len(question) > MAX_CHARS or not any(map(str.isalnum, question)):
        return None
    return question, answer


async def audited(
    message: Message, ctx: Context, action: str, target: str = "", detail: str = ""
) -> None:
    """Write down what an operator did; the same message writes one row, however often it runs."""
    mark = f"[{message.key[:12]}]"
    for row in await ctx.store.audit.newest(_AUDIT_LOOKBACK):
        if row.action == action and row.detail.endswith(mark):
            return
    await ctx.store.audit.add(
        ctx.at, f"member:{ctx.member.id}", action, target, f"{detail} {mark}".lstrip()
    )


# Asking first


async def _ask(ctx: Context, action: str, args: dict[str, Any], question: str) -> Reply:
    state = {"action": action, "args": args, "taken_by": ""}
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + WINDOW_S)
    hint = ctx.texts("operator.confirm_hint", minutes=round(WINDOW_S / 60))
    return Reply.text(f"{question}\n{hint}")


@router.text("确认", guard=lambda message, ctx: ctx.is_operator())
async def confirm(message: Message, ctx: Context) -> Reply:
    """Execute what was asked last, once."""
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is None or state["taken_by"] not in ("", message.key):
        return Reply.text(ctx.texts("operator.confirm_nothing"))
    state["taken_by"] = message.key
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + _TAKEN_S)
    ctx.handler = f"operator.{state['action']}"
    return await _CONFIRMED[state["action"]](message, ctx, state["args"])


# FAQ


async def faq(message: Message, ctx: Context, rest: str) -> Reply:
    """/faq add 问 | 答, /faq list [page], /faq del N, /faq gaps."""
    sub, more = _first_word(rest)
    run = _FAQ.get(sub)
    return await run(message, ctx, more) if run else Reply.text(ctx.texts("operator.faq_usage"))


async def _faq_add(message: Message, ctx: Context, rest: str) -> Reply:
    entry = entry_from(rest)
    if entry is None:
        return Reply.text(ctx.texts("operator.faq_add_usage", limit=MAX_CHARS))
    question, answer = entry
    content = ctx.store.content
    try:
        faq_id = await content.add_faq(NewFaq(question, answer), ctx.at)
    except QuestionTaken as taken:
        faq_id = taken.faq_id
        known = next((one for one in await content.faqs() if one.id == faq_id), None)
        if known is None or known.answer != answer or known.questions[0] != question:
            return Reply.text(
                ctx.texts("operator.faq_exists", id=faq_id, question=_short(taken.question))
            )
        # The same words again: this message after a crash, or a careful operator.
    await audited(message, ctx, "faq.add", f"faq:{faq_id}", _short(question))
    await ctx.reload()
    await _close_gaps(ctx, question, f"faq:{faq_id}")
    ctx.item = f"faq:{faq_id}"
    return Reply.text(ctx.texts("operator.faq_added", id=faq_id, question=_short(question)))


async def _close_gaps(ctx: Context, question: str, thing: str) -> None:
    """The question is no gap any more, nor is what the new entry surely answers."""
    content = ctx.store.content
    closed = [gap_of(ctx.knowledge, question)]
    for gap in await content.gaps(_GAPS_RETRIED):
        decision = ctx.knowledge.ask(gap.sample)
        if decision.band is Band.SURE and decision.hits[0].id == thing:
            closed.append(gap_of(ctx.knowledge, gap.sample))
    for one in closed:
        if one is not None:
            await content.close_gap(one[0])


async def _faq_list(message: Message, ctx: Context, rest: str) -> Reply:
    entries = await ctx.store.content.faqs()
    if not entries:
        return Reply.text(ctx.texts("operator.faq_none"))
    pages = -(-len(entries) // PAGE)
    page = min(max(number_from(rest) or 1, 1), pages)
    head = ctx.texts("operator.faq_listed_head", count=len(entries), page=page, pages=pages)
    lines = [
        ctx.texts("operator.faq_listed_item", id=one.id, question=_short(one.questions[0]))
        for one in entries[(page - 1) * PAGE : page * PAGE]
    ]
    if page < pages:
        lines.append(ctx.texts("operator.faq_listed_tail", next=page + 1))
    return Reply.text("\n".join((head, *lines)))


async def _faq_del(message: Message, ctx: Context, rest: str) -> Reply:
    number = number_from(rest)
    if number is None:
        return Reply.text(ctx.texts("operator.faq_del_usage"))
    entries = await ctx.store.content.faqs()
    entry = next((one for one in entries if one.id == number), None)
    if entry is None:
        return Reply.text(ctx.texts("operator.faq_not_found", id=number))
    question = _short(entry.questions[0])
    return await _ask(
        ctx,
        "faq.del",
        {"id": number, "question": question},
        ctx.texts("operator.faq_delete_ask", id=number, question=question),
    )


async def _faq_deleted(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    await ctx.store.content.delete_faq(args["id"], ctx.at)
    await audited(message, ctx, "faq.del", f"faq:{args['id']}", args["question"])
    await ctx.reload()
    return Reply.text(ctx.texts("operator.faq_deleted", id=args["id"], question=args["question"]))


async def _faq_gaps(message: Message, ctx: Context, rest: str) -> Reply:
    gaps = await ctx.store.content.gaps(PAGE)
    if not gaps:
        return Reply.text(ctx.texts("operator.gaps_none"))
    lines = [
        ctx.texts("operator.gaps_item", number=number, question=_short(gap.sample), count=gap.count)
        for number, gap in enumerate(gaps, 1)
    ]
    return Reply.text("\n".join((ctx.texts("operator.gaps_head"), *lines)))


# Menu


async def menu(message: Message, ctx: Context, rest: str) -> Reply:
    """/menu push: the configured menu goes to WeChat."""
    if folded(rest) != "push":
        return Reply.text(ctx.texts("operator.menu_usage"))
    return await _ask(ctx, "menu.push", {}, ctx.texts("operator.menu_ask"))


async def _menu_pushed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    try:
        count = await ctx.wechat.push_menu()
    except ApiRefused as refused:
        return Reply.text(ctx.texts("operator.menu_failed", reason=refused))
    if not count:
        return Reply.text(ctx.texts("operator.menu_none"))
    await audited(message, ctx, "menu.push", ctx.member.channel, f"{count} buttons")
    return Reply.text(ctx.texts("operator.menu_pushed", count=count))


# Roles


async def role(message: Message, ctx: Context, rest: str) -> Reply:
    """/role N member|operator|owner: only an owner, never one's own, so that one always stays."""
    texts = ctx.texts
    if ctx.member.role != "owner":
        return Reply.text(texts("operator.owner_only"))
    words = rest.split()
    number = number_from(words[0]) if words else None
    if len(words) != 2 or number is None:
        return Reply.text(texts("operator.role_usage", roles=_roles(ctx)))
    wanted = _role_named(ctx, words[1])
    if wanted is None:
        return Reply.text(texts("operator.role_unknown", role=_short(words[1]), roles=_roles(ctx)))
    card = await ctx.store.members.card(number)
    if card is None:
        return Reply.text(texts("operator.who_not_found"))
    if number == ctx.member.id:
        return Reply.text(texts("operator.role_self"))
    new = texts(f"operator.role_{wanted}")
    if card.role == wanted:
        return Reply.text(texts("operator.role_same", member=number, role=new))
    old = texts(f"operator.role_{card.role}")
    return await _ask(
        ctx,
        "role",
        {"member": number, "role": wanted, "old": card.role},
        texts("operator.role_ask", member=number, old=old, role=new),
    )


async def _role_changed(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    members, texts = ctx.store.members, ctx.texts
    number, wanted = args["member"], args["role"]
    if ctx.member.role != "owner":
        return Reply.text(texts("operator.owner_only"))
    if not await members.set_role(number, wanted):
        return Reply.text(texts("operator.who_not_found"))
    me = await members.card(ctx.member.id)
    if me is None or me.role != "owner":
        # Two owners demoted each other in the same moment: neither counts.
        await members.set_role(number, args["old"])
        return Reply.text(texts("operator.owner_only"))
    changed = await members.card(number)
    if changed is not None and changed.role != wanted:
        return Reply.text(texts("operator.role_fixed", member=number))
    await audited(message, ctx, "role", f"member:{number}", f"{args['old']} -> {wanted}")
    return Reply.text(
        texts("operator.role_changed", member=number, role=texts(f"operator.role_{wanted}"))
    )


def _roles(ctx: Context) -> str:
    return "、".join(f"{name}（{ctx.texts(f'operator.role_{name}')}）" for name in ROLES)


def _role_named(ctx: Context, typed: str) -> str | None:
    wanted = folded(typed)
    return next(
        (name for name in ROLES if wanted in (name, ctx.texts(f"operator.role_{name}"))), None
    )


def _first_word(text: str) -> tuple[str, str]:
    """ "ADD  a | b" -> ("add", "a | b")."""
    word, rest = (*text.split(maxsplit=1), "", "")[:2]
    return unicodedata.normalize("NFKC", word).lower(), rest.strip()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


_FAQ: Mapping[str, Callable[[Message, Context, str], Awaitable[Reply]]] = {
    "add": _faq_add,
    "list": _faq_list,
    "del": _faq_del,
    "gaps": _faq_gaps,
}

_CONFIRMED: Mapping[str, Callable[[Message, Context, Mapping[str, Any]], Awaitable[Reply]]] = {
    "faq.del": _faq_deleted,
    "menu.push": _menu_pushed,
    "role": _role_changed,
}
