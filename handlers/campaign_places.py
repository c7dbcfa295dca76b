"""The groups of a campaign as operators write them: 群：vip, 3. Pure.

A group is called by its number, its short name or its name, as in /group; which there are is
given by who asks. A place that nobody knows stands as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from handlers.group_words import means_all, means_off
from store.groups import Group

Called = Callable[[str], Sequence[Group]]
"""The groups of this number, short name or name: `store.groups.called`; all of them for ""."""

_BETWEEN = re.compile(r"\s*[,，、;；]+\s*")
_LISTED = 5


class BadPlaces(ValueError):
    """No groups that one can post into. why: "group" or "group_many"; part: what was typed;
    value: the numbers that it may mean."""

    def __init__(self, why: str, part: str, value: str = "") -> None:
        super().__init__(f"{why}: {part}")
        self.why = why
        self.part = part
        self.value = value


def nobody(name: str) -> Sequence[Group]:
    """There are no groups."""
    return ()


def read(text: str, called: Called) -> tuple[str, ...]:
    """The places of the groups that were typed, each once; () for 无. 全部: all bound ones.

    Errors: BadPlaces.
    """
    if means_off(text) or text.strip() in ("没有", "不发"):
        return ()
    if means_all(text):
        found = tuple(one.place for one in called("") if one.bound)
        if not found:
            raise BadPlaces("group", text)
        return found
    places: dict[str, None] = {}
    for name in filter(None, _BETWEEN.split(text.strip())):
        groups = called(name)
        if not groups:
            raise BadPlaces("group", name)
        if len(groups) > 1:
            numbers = "、".join(str(one.id) for one in groups[:_LISTED])
            raise BadPlaces("group_many", name, numbers)
        places[groups[0].place] = None
    if not places:
        raise BadPlaces("group", text)
    return tuple(places)


def write(places: Sequence[str], called: Called) -> str:
    """The groups as `read` reads them: their short names, else their numbers."""
    return "、".join(_name(place, called(place)) for place in places)


def _name(place: str, groups: Sequence[Group]) -> str:
    one = next((group for group in groups if group.place == place), None)
    return place if one is None else one.alias or str(one.id)
