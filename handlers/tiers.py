"""Tiers of membership as the conversation meets them: their names, and what is closed without.

All of it is known from the message and the configuration; nothing here asks the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.message import Reply

if TYPE_CHECKING:
    from handlers.context import Context
    from handlers.texts import Texts
    from store.catalogue import Item

GATE = "membership.gate"
"""What the log says of a message that found its handler closed."""

_NAMED = frozenset({"trial", "paid-monthly", "paid-yearly"})
_ALWAYS_OPEN = ("privacy", "operator", "membership", "topics.off")
"""Nobody pays for their rights, to be left alone is one of them, and who must not see a command
is told so by the command."""

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "quiz": "quiz",
        "quiz.begin": "quiz",
        "quiz.answer": "quiz",
        "quiz.rank": "quiz_rank",
        "coupon": "coupon",
        "coupon.list": "coupon",
        "coupon.claim": "coupon",
        "coupon.mine": "coupon_mine",
        "points": "points",
        "points.checkin": "checkin",
        "points.exchange": "exchange",
        "ranking": "ranking",
        "referral": "referral",
        "referral.invite": "referral",
        "content": "content",
        "content.search": "search",
        "course": "course",
        "course.homework": "homework",
        "topics": "topics",
        "topics.on": "topics",
        "recommend": "recommend",
    }
)
"""What a gate closes -> the end of the text key with a word for it."""


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
    if not gates or handler in _ALWAYS_OPEN or handler.partition(".")[0] in _ALWAYS_OPEN:
        return ""
    needed = gates.get(_gate(gates, handler), "")
    return "" if reaches(ctx, needed) else needed


def _gate(gates: Mapping[str, str], handler: str) -> str:
    """The gate that a handler stands behind: its own, else that of its first part."""
    return handler if handler in gates else handler.partition(".")[0]


def refused(ctx: Context, handler: str) -> Reply | None:
    """The refusal where a handler is closed to this member, None where it is open.

    For handlers that may pass a message on and change something when they don't: `dispatch`
    cannot tell beforehand, so they ask before the change.
    """
    needed = closed(ctx, handler)
    return refusal(ctx, needed, handler) if needed else None


def refusal(ctx: Context, needed: str, handler: str = "") -> Reply:
    """What who is not let in reads: what is closed, and to whom it is open."""
    gate = _gate(ctx.rewards.membership.gates, handler)
    ctx.handler, ctx.item = GATE, ""
    tier = name_of(ctx.texts, needed)
    if gate not in FEATURES:
        return Reply.text(ctx.texts("membership.gate", tier=tier))
    return Reply.text(
        ctx.texts("membership.gate_of", feature=feature_of(ctx.texts, gate), tier=tier)
    )


def feature_of(texts: Texts, gate: str) -> str:
    """What a gate closes, in words. Errors: KeyError where it is not in FEATURES."""
    return texts(f"membership.feature_{FEATURES[gate]}")


def locked(ctx: Context, item: Item) -> str:
    """Why an item's links are not shown to this member; "" when they are.

    In a group everybody reads along: what is for a tier is shown there to nobody.
    """
    if not item.needs_tier or (not ctx.place and reaches(ctx, item.needs_tier)):
        return ""
    return ctx.texts("membership.item_locked", tier=name_of(ctx.texts, item.needs_tier))
