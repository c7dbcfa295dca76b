"""What a member is called where a group reads it: the name that the group knows, or 群友."""

from __future__ import annotations

from handlers.texts import Texts
from insights.order_reading import masked

LONGEST = 16
"""Characters of a name."""


def called(texts: Texts, name: str, *, listed: bool = True) -> str:
    """The name on one line, without numbers, links and accounts; else a word for somebody.

    name: "" for none. listed: False for who does not want to be seen in rankings.
    """
    if not listed:
        return texts("group_life.hidden")
    shown = masked(name.strip().lstrip("@＠"), LONGEST)
    return shown if any(sign.isalnum() for sign in shown) else texts("group_life.somebody")
