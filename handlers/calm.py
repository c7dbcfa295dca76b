"""How much one member, and one group, may make the bot say on one gateway. Memory only.

A gateway's account says so many messages a minute and no more; who calls the bot without pause
would have them all, and an account that writes at its highest rate all evening is closed. What is
beyond is met with silence: a line that says "too much" would be one more message.

The figures are shares of what the account may say: with the default of 20 a minute a member gets 4
answers, a group 10. A second process counts for itself; after a restart everybody starts anew.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

MEMBER_SHARE: Final = 5
"""One member gets a fifth: more questions a minute than that nobody reads the answers to."""

GROUP_SHARE: Final = 2
"""One group gets a half: the others, posts and operators are to have the rest."""

CALLS: Final = 2
"""A member's messages are worked on twice as often as answered: some make no answer, such as +1.
Beyond that they cost nothing."""

CANNED_S: Final = 120.0
"""The same canned words tell a member nothing new within this time."""

MINUTE_S: Final = 60.0

_MEMBERS: Final = 5000
_GROUPS: Final = 1000


class _Counts:
    """Moments of the last minute, by name; who was not seen for longest is forgotten first."""

    def __init__(self, most: int, names: int) -> None:
        self.most = most
        self._names = names
        self._at: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def full(self, name: tuple[str, ...], now: float) -> bool:
        at = self._at.get(name)
        # A moment that lies ahead was told by a clock that has been set back since.
        return at is not None and sum(0.0 <= now - one < MINUTE_S for one in at) >= self.most

    def add(self, name: tuple[str, ...], now: float) -> None:
        at = self._at.setdefault(name, deque(maxlen=self.most))
        at.append(now)
        self._at.move_to_end(name)
        if len(self._at) > self._names:
            self._at.popitem(last=False)

    def take_back(self, name: tuple[str, ...], now: float) -> None:
        at = self._at.get(name)
        if at and now in at:
            at.remove(now)


class Calm:
    """What is left to say on one gateway. per_minute: messages that its account may send."""

    def __init__(self, per_minute: int) -> None:
        member = max(1, per_minute // MEMBER_SHARE)
        group = max(1, per_minute // GROUP_SHARE)
        self._answers = _Counts(member, _MEMBERS)
        self._groups = _Counts(group, _GROUPS)
        self._calls = _Counts(CALLS * member, _MEMBERS)
        self._private = _Counts(group, _MEMBERS)
        self._canned: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def hear(self, place: str, who: str, now: float) -> bool:
        """Whether a member's next message to the bot is worked on; place: "" in private.

        In private a member has as much as a group: there every message is one to the bot.
        """
        counts, name = (self._calls, (place, who)) if place else (self._private, (who,))
        if counts.full(name, now):
            return False
        counts.add(name, now)
        return True

    def take(self, place: str, who: str, now: float) -> bool:
        """Take one answer into a group; False when this member, or this group, had enough."""
        member, group = (place, who), (place,)
        if self._answers.full(member, now) or self._groups.full(group, now):
            return False
        self._answers.add(member, now)
        self._groups.add(group, now)
        return True

    def give_back(self, place: str, who: str, now: float) -> None:
        """Nothing was said after all."""
        self._answers.take_back((place, who), now)
        self._groups.take_back((place,), now)

    def canned(self, place: str, who: str, words: str, now: float) -> bool:
        """Whether these canned words were said to this member just now; if not, they are now."""
        name = (place, who, words)
        at = self._canned.get(name)
        if at is not None and 0.0 <= now - at < CANNED_S:
            return True
        self._canned[name] = now
        self._canned.move_to_end(name)
        if len(self._canned) > _MEMBERS:
            self._canned.popitem(last=False)
        return False
