"""What is wrong with a rule, in the chat: where it stops making sense, and what belongs there.

A mark under the place would not stand under it in WeChat's letters, so the piece is quoted.
"""

from __future__ import annotations

import difflib

from handlers.context import Context
from handlers.texts import Texts
from store import rule_states, rules
from store.rules import RuleError

_PIECE = 12
"""Characters that are quoted from the place on."""


def fault(texts: Texts, bad: RuleError, rule: str) -> str:
    """One sentence. rule: as it was typed."""
    if bad.code == "too-slow":
        return texts("rule.too_slow")
    why = _why(texts, bad)
    piece = rule[bad.at - 1 : bad.at - 1 + _PIECE].strip()
    if not piece:
        return texts("rule.end", why=why)
    return texts("rule.at", at=bad.at, piece=" ".join(piece.split()), why=why)


async def lost(ctx: Context, rule: str) -> str:
    """What is wrong with the segments that a rule names, "" for nothing, and for no rule.

    For one that can be read. Errors: StoreError.
    """
    if not rule.strip():
        return ""
    try:
        await ctx.store.segments.check(rule)
    except RuleError as bad:
        return fault(ctx.texts, bad, rule)
    return ""


async def strangers(ctx: Context, rule: str) -> list[str]:
    """A sentence for each value in a rule that there is not; [] for none. Errors: RuleError."""
    found = await ctx.store.audiences.strangers(
        rule, tiers=ctx.rewards.membership.tiers, topics=ctx.business.topics
    )
    return [
        ctx.texts("rule.stranger_near", said=one.said, near=one.near_said)
        if one.near
        else ctx.texts("rule.stranger", said=one.said)
        for one in found
    ]


def _why(texts: Texts, bad: RuleError) -> str:
    if bad.code == "unknown-condition":
        called = {said: name for name, all_said in rules.CALLED.items() for said in all_said}
        known = [*rules.NAMES, *called]
        near = difflib.get_close_matches(bad.value.lower(), known, n=1, cutoff=0.6)
        if near:
            meant = _called(texts, called.get(near[0], near[0]))
            return texts("rule.why_unknown_near", value=bad.value, near=meant)
        names = "、".join(_called(texts, name) for name in rules.NAMES)
        return texts("rule.why_unknown_condition", value=bad.value, names=names)
    if bad.code == "too-long":
        return texts("rule.why_too_long", limit=rules.LONGEST)
    if bad.code == "too-many":
        expanded = rules.MOST_EXPANDED
        return texts("rule.why_too_many", limit=rules.MOST_TERMS, expanded=expanded)
    if bad.code == "did-expected":
        return texts("rule.why_did_expected", names="、".join(rules.DID_CALLED.values()))
    if bad.code == "state-expected":
        names = "、".join(called[0] for called in rule_states.CALLED.values())
        return texts("rule.why_state_expected", names=names)
    if bad.code == "time-expected":
        return texts("rule.why_time_expected", days=rules.MOST_DAYS)
    if bad.code in ("no-segment", "segment-loop"):
        return texts(f"rule.why_{bad.code.replace('-', '_')}", value=bad.value)
    return texts(f"rule.why_{bad.code.replace('-', '_')}")


def _called(texts: Texts, name: str) -> str:
    """A condition as it may be written: 标签（tag）."""
    return texts("rule.called", said=rules.CALLED[name][0], name=name)
