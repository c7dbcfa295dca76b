"""What a conversation may ask of the recommender: `bot/recommending.py` answers.

Nothing here ranks. A list is logged when it is made, under the key of the message that asked for
it: the same message again gets the same list.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from store.rec_lists import NewList

Surface = Literal["chat", "welcome", "answer", "campaign", "digest", "api"]
"""Where a list is shown."""

Ranker = Literal["ours", "popular", "item_item", "lightfm"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is shown; words are made of it by `handlers/recommend_text.py`.

    kind: "finished", "bought", "viewed" (name: the item that the member did it with), "community",
    "tag", "author", "series", "topic", "level", "tier" (name: which), "popular", "new", "explored".
    share: of the score, 0 to 1. No other member is ever in it.
    """

    kind: str
    name: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Pick:
    """One place of a list. item: its id in the catalogue; why: the strongest first."""

    item: str
    score: float = 0.0
    why: tuple[Reason, ...] = ()
    explored: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A list that may be shown. picks: () when nothing is left for them.

    number: of the list, 0 while it is not written down; row: what would be written.
    """

    picks: tuple[Pick, ...] = ()
    number: int = 0
    row: NewList | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a member asked for. topic: words or a tag, "" for anything; most_cents: at most so
    dear; near: an item id, for things that go with it; instead: not what was shown lately, or,
    where without is given, not these ids: what the turns of this wish have shown.

    among: ids of the items that the chat found for the topic; () leaves the finding to who ranks.
    """

    topic: str = ""
    most_cents: int | None = None
    near: str = ""
    instead: bool = False
    among: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggesting:
    """Where the operator wants suggestions that nobody asked for: `[recommendations]`.

    answers: below an answer that is about an item; welcome: below the welcome; letter: whether
    there is a weekly one to subscribe to.
    """

    answers: bool = True
    welcome: bool = True
    letter: bool = True


class Done(enum.Enum):
    """What became of an operator's order."""

    DONE = "done"
    STARTED = "started"
    RUNNING = "running"
    NOTHING = "nothing"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Status:
    """What serves. model: its name, "" when what is popular does; made_at, live_at: Unix seconds.

    live: the name of the one that should: another than `model` while its file cannot be used.
    fallback: everybody sees what is popular, and why. missing: what there is too little of:
    ("members", have, need). last: the newest model and what became of it, as in `rec_models`.
    training: one is being trained. figures: the gate's, by name.
    """

    enabled: bool
    model: str
    made_at: float
    live_at: float
    fallback: str
    missing: tuple[tuple[str, int, int], ...]
    last: str
    last_status: str
    last_why: str
    training: bool
    figures: dict[str, Any]
    live: str = ""


class Recommendations(Protocol):
    """Given by `bot/recommending.py`; None in a context without. Errors: StoreError."""

    async def recommend(
        self, member_id: int, key: bytes, surface: Surface, count: int, wish: Wish, now: float
    ) -> tuple[int, tuple[Pick, ...]]:
        """(number of the list, at most so many picks), logged; (0, ()) when nothing is left.

        key: 16 bytes; the same one again gives the same list.
        """

    async def offer(
        self,
        member_id: int,
        key: bytes,
        surface: Surface,
        count: int,
        wish: Wish,
        now: float,
        *,
        hurry: bool = False,
    ) -> Offer:
        """What `recommend` would give, and nothing is written yet. The same key as a list that is
        written gives that one. hurry: a change of the catalogue is not waited for.
        """

    async def shown(
        self, offer: Offer, items: Collection[str] | None = None
    ) -> tuple[int, tuple[Pick, ...]]:
        """Write down that it is shown: (number of the list, its picks), (0, ()) when the member is
        gone. items: those of it that are shown; None for all."""

    async def take_back(self, number: int) -> None:
        """A list that was written was not shown after all."""

    async def why(self, member_id: int, item_id: str, now: float) -> tuple[Reason, ...]:
        """Why this member would be shown this item; () when nothing is known of either."""

    async def similar(self, item_id: str, count: int) -> tuple[Pick, ...]:
        """Items that go with this one; () for an item that nobody knows."""

    def status(self) -> Status:
        """What serves now."""

    async def train(self) -> Done:
        """Begin a training in the background."""

    async def roll_back(self, by: str, now: float) -> tuple[Done, str]:
        """The model before serves again; its name. by: as in the audit. NOTHING when there is
        none whose file can be used."""

    async def resume(self, by: str, now: float) -> Done:
        """End the fall-back to what is popular."""
