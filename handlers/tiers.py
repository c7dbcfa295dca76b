"""Tiers of membership as the conversation meets them: their names, and what is closed without.

All of it is known from the message and the configuration; nothing here asks the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.message import Reply

if TYPE_CHECKING:
    from handlers.context import Context
    from handlers.texts import Texts
    from store.catalogue import Item

GATE = "membership.gate"
"""What the log says of a message that found its handler closed."""

_NAMED = frozenset({"trial", "paid-monthly", "paid-yearly"})
_ALWAYS_OPEN = ("privacy", "operator", "membership")
"""Nobody pays for their rights, and who must not see a command is told so by the command."""


def name_of(texts: Texts, tier: str) -> str:
    """A tier in words: 月度会员; one that we have no word for by its own name."""
    if tier in _NAMED:
        return texts(f"membership.tier_{tier.replace('-', '_')}")
    return texts("membership.tier_other", tier=tier)


def reaches(ctx: Context, needed: str) -> bool:
    """Whether the member's tier is this one or higher; operators' always is.

    A tier that the configuration does not have is closed rather than open to all.
    """
    if not needed or ctx.is_operator():
        return True
    rules = ctx.rewards.membership
    return 0 < rules.rank(needed) <= rules.rank(ctx.tier)


def closed(ctx: Context, handler: str) -> str:
    """The tier that this member lacks for a handler, "" when it is open to them.

    handler: as the log names it; a gate names it whole or by its first part.
    """
    gates = ctx.rewards.membership.gates
    if not gates:
        return ""
    first = handler.partition(".")[0]
    needed = gates.get(handler) or gates.get(first, "")
    return "" if first in _ALWAYS_OPEN or reaches(ctx, needed) else needed


def refusal(ctx: Context, needed: str) -> Reply:
    """What who is not let in reads."""
    ctx.handler, ctx.item = GATE, ""
    return Reply.text(ctx.texts("membership.gate", tier=name_of(ctx.texts, needed)))


def locked(ctx: Context, item: Item) -> str:
    """Why an item's links are not shown to this member; "" when they are."""
    if reaches(ctx, item.needs_tier):
        return ""
    return ctx.texts("membership.item_locked", tier=name_of(ctx.texts, item.needs_tier))
