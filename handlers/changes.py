"""Operator commands that are asked first: 确认, the menu, the roles.

The question is a state of ten minutes, 确认 executes it. Every step may run again for the
same message after a crash: the state is taken in that message's name, effects are the same
the second time, and the audit gets one row for one message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from handlers.choices import WINDOW_S
from handlers.context import ApiRefused, Context
from handlers.message import Message, Option, Reply
from handlers.router import Router, asking, folded

router = Router("operator.confirm")

ROLES = ("member", "analyst", "operator", "owner")

_STATE = "confirm"
_TAKEN_S = 3600.0
_AUDIT_LOOKBACK = 50
_SHOWN_CHARS = 60
_MAX_NUMBER = 15

Execute = Callable[[Message, Context, Mapping[str, Any]], Awaitable[Reply]]

_confirmed: dict[str, Execute] = {}


def number_from(text: str) -> int | None:
    """ "12", "#12" or "１２" as a number; None for anything else, also for absurdly long ones."""
    text = folded(text).removeprefix("#")
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_NUMBER:
        return None
    return int(text)


def short(text: str) -> str:
    """The text on one line of at most 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


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


def read_only(ctx: Context) -> Reply | None:
    """What an analyst hears of a command that changes something; None for an operator.

    A command with `analyst` lets analysts in: what changes something asks this first.
    """
    return None if ctx.is_operator() else Reply.text(ctx.texts("operator.read_only"))


# Asking first


def executes(action: str) -> Callable[[Execute], Execute]:
    """The function that 确认 runs for what was asked under this name, with its args."""

    def register(execute: Execute) -> Execute:
        _confirmed[action] = execute
        return execute

    return register


async def ask(ctx: Context, action: str, args: dict[str, Any], question: str) -> Reply:
    """Have something confirmed first. args: what `executes(action)` will get; JSON."""
    state = {"action": action, "args": args, "taken_by": "", "at": ctx.at}
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + WINDOW_S)
    hint = ctx.texts("operator.confirm_hint", minutes=round(WINDOW_S / 60))
    ctx.options[:] = [Option("确认", "确认"), Option("退出", "退出")]
    return Reply.text(f"{question}\n{hint}")


async def waiting(ctx: Context, key: str) -> float | None:
    """When that was asked which 确认 would do now, Unix seconds; None where nothing waits.

    key: of the message that wants to know; what it took itself waits for it again.
    """
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is None or state["taken_by"] not in ("", key):
        return None
    return float(state.get("at", 0.0))


async def let_go(ctx: Context, key: str) -> None:
    """What waits for 确认 is not done any more. key: of the message that says so."""
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is not None and state["taken_by"] == "":
        state["taken_by"] = key
        await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + _TAKEN_S)


@router.text("确认")
async def confirm(message: Message, ctx: Context) -> Reply:
    """Execute what was asked last, once. 确认？ is a question, and hears how to.

    Members are asked nothing here; theirs is no question for the FAQ all the same.
    """
    if not ctx.is_operator():
        ctx.handler = "confirm"
        return Reply.text(ctx.texts("operator.confirm_nothing"))
    state = await ctx.store.members.state(ctx.member.id, _STATE, ctx.at)
    if state is None or state["taken_by"] not in ("", message.key):
        return Reply.text(ctx.texts("operator.confirm_nothing"))
    if asking(message.text):
        return Reply.text(ctx.texts("operator.confirm_hint", minutes=round(WINDOW_S / 60)))
    state["taken_by"] = message.key
    await ctx.store.members.set_state(ctx.member.id, _STATE, state, ctx.at + _TAKEN_S)
    ctx.handler = f"operator.{state['action']}"
    return await _confirmed[state["action"]](message, ctx, state["args"])


# Menu


async def menu(message: Message, ctx: Context, rest: str) -> Reply:
    """/menu push: the configured menu goes to WeChat."""
    if folded(rest) != "push":
        return Reply.text(ctx.texts("operator.menu_usage"))
    return await ask(ctx, "menu.push", {}, ctx.texts("operator.menu_ask"))


@executes("menu.push")
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
    """/role N member|analyst|operator|owner: only an owner, never one's own: one always stays."""
    texts = ctx.texts
    if ctx.member.role != "owner":
        return Reply.text(texts("operator.owner_only"))
    words = rest.split()
    number = number_from(words[0]) if words else None
    if len(words) != 2 or number is None:
        return Reply.text(texts("operator.role_usage", roles=_roles(ctx)))
    wanted = _role_named(ctx, words[1])
    if wanted is None:
        return Reply.text(texts("operator.role_unknown", role=short(words[1]), roles=_roles(ctx)))
    card = await ctx.store.members.card(number)
    if card is None:
        return Reply.text(texts("operator.who_not_found"))
    if number == ctx.member.id:
        return Reply.text(texts("operator.role_self"))
    new = texts(f"operator.role_{wanted}")
    if card.role == wanted:
        return Reply.text(texts("operator.role_same", member=number, role=new))
    old = texts(f"operator.role_{card.role}")
    return await ask(
        ctx,
        "role",
        {"member": number, "role": wanted, "old": card.role},
        texts("operator.role_ask", member=number, old=old, role=new),
    )


@executes("role")
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
