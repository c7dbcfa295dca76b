"""Who may have a coupon or take part: a rule, judged for one member.

The language is that of campaigns (`store/rules.py`); but here "" is everyone, and a rule that
names a segment which is no longer there means nobody: a claim must not fail for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from store import audience, rules
from store.dialect import Connection
from store.rules import LONGEST, Audience, Everyone, Rule, RuleError, Term

__all__ = ["LONGEST", "BadRule", "Rule", "Term", "conditions", "fits", "parse"]

BadRule = RuleError


def parse(text: str) -> Audience:
    """The audience that a text says; everyone for an empty one. Errors: BadRule."""
    return rules.parse(text) if text.strip() else Everyone()


def conditions(text: str) -> tuple[Rule, ...]:
    """What must hold together, one by one; () for everyone. Errors: BadRule."""
    tree = parse(text)
    if isinstance(tree, Everyone):
        return ()
    return tree.parts if isinstance(tree, rules.And) else (tree,)


def fits(
    conn: Connection,
    rule_text: str,
    member_id: int,
    now: float,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> bool:
    """Whether a member is meant, now; False for a member there is not. Errors: BadRule.

    levels: points ever earned that reach each level, fewest first. tiers: of membership,
    lowest first: who has a higher one is meant too; a tier that is not in there counts alone.
    """
    rule = rule_text.strip() or "everyone"
    rules.parse(rule)
    try:
        return audience.matches(conn, rule, member_id, now, levels=levels, tiers=tiers)
    except RuleError:
        return False
