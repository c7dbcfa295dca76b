"""What an audience names that there is not, for the rule `unknown-value` of the lint.

Beside `bot/campaign_lint.py`, which is pure: what exists has to be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

from store import Store
from store.rule_values import Stranger
from store.rules import RuleError


async def unknown(
    store: Store, audience: str, *, tiers: Sequence[str], topics: Sequence[str]
) -> tuple[Stranger, ...]:
    """The conditions whose values there are not; () for none, and for a rule nobody can read.

    tiers, topics: what is configured. Errors: StoreError.
    """
    try:
        return await store.audiences.strangers(audience, tiers=tiers, topics=topics)
    except RuleError:
        return ()


def part(stranger: Stranger) -> str:
    """What the finding quotes: the condition, and the one that was probably meant."""
    if not stranger.near:
        return f"「{stranger.said}」"
    return f"「{stranger.said}」（是不是「{stranger.near_said}」？）"
