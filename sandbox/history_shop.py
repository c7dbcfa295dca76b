"""What the people of the demo's past looked at, bought and learned: each to their own taste.

The simulation knows three items; here each person's deeds go to what their circle speaks of, so
that a recommender has something to find out. Who talks about writing mostly buys courses on
writing, and who plans their days reads about that; a quarter of all they do follows no taste.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.simulated import Person

SEED_ITEMS = Path(__file__).parent / "seed" / "items.jsonl"

TASTES: Mapping[str, tuple[str, ...]] = {
    "写作打卡": ("write-first", "write-weekly", "write-product", "write-review", "write-live"),
    "副业接单": ("side-first", "side-price", "write-product", "talk-30", "money-first"),
    "读书笔记": ("read-choose", "read-deep", "note-book", "write-review", "read-night"),
    "时间管理": ("time-blocks", "time-review", "time-many", "plan-12weeks", "talk-30"),
}
"""What a circle speaks of -> what is bought there, what one begins with first."""

_SECOND: tuple[tuple[str, ...], ...] = (
    ("py-zero", "py-data", "py-office", "py-cards"),
    ("excel-clean", "sql-daily", "py-data"),
    ("money-first", "money-family"),
)
"""Beside the circle's taste everybody has one of these."""

_OWN, _OTHER = 0.5, 0.25
"""So many deeds go to the circle's taste and to the second one; the rest to anything."""

_LOOKS = 4
"""Things looked at in the chat for each one clicked."""


def prices() -> dict[str, int]:
    """Item -> its price in fen, in the order of the catalogue. Reads a file."""
    rows = (json.loads(line) for line in SEED_ITEMS.read_text("utf-8").splitlines() if line)
    return {row["id"]: row["price_cents"] for row in rows}


def retaste(
    rows: dict[str, list[tuple[Any, ...]]],
    people: Sequence[Person],
    speaks_of: Mapping[int, str],
    seed: int,
) -> None:
    """Let the events be about what each person likes, and add what they looked at in the chat.

    rows: as in `World.rows`, changed. speaks_of: member -> a key of TASTES.
    """
    rng = random.Random(seed)  # noqa: S311 - the same past every time
    price = prices()
    tastes = {one.id: _Taste(speaks_of[one.id], one.id, price, rng) for one in people}
    taken: dict[tuple[int, str], str] = {}
    events, looks = [], []
    for row in rows["events"]:
        name, kind, at, received, member, item, percent, cents, *rest = row
        taste = tastes[member]
        if kind in ("purchase", "progress"):
            bought = taken.get((member, item))
            if bought is None:
                bought = taken[member, item] = taste.buy()
            item, cents = bought, price[bought] if kind == "purchase" else cents
        else:
            item = taste.any()
        if kind == "click":
            looks += [(at - 60.0 * n, member, taste.any() if n else item) for n in range(_LOOKS)]
        events.append((name, kind, at, received, member, item, percent, cents, *rest))
    rows["events"] = events
    channel = rows["identities"][0][0]
    for at, member, item in looks:
        key = hashlib.blake2b(f"demo:look:{member}:{at}:{item}".encode(), digest_size=16).digest()
        told = (at, channel, member, "text", "", "content", f"item:{item}", key)
        rows["interactions"].append(told)
    rows["interactions"].sort(key=lambda row: row[0])


class _Taste:
    """One person's: what they look at, and in which order they buy it."""

    def __init__(
        self, topic: str, member: int, price: Mapping[str, int], rng: random.Random
    ) -> None:
        self._rng = rng
        self._all = tuple(price)
        self._own, self._second = TASTES[topic], _SECOND[member % len(_SECOND)]
        # The beginning of a series comes first, as the catalogue asks for.
        wanted = [*self._own[:3], *self._second[:2], *self._own[3:], *self._second[2:]]
        self._to_buy = [one for one in wanted if price[one]]

    def any(self) -> str:
        """Something to look at."""
        luck = self._rng.random()
        if luck < _OWN:
            return self._rng.choice(self._own)
        if luck < _OWN + _OTHER:
            return self._rng.choice(self._second)
        return self._rng.choice(self._all)

    def buy(self) -> str:
        """The next thing that they do not have; of who has all, the last one again."""
        if len(self._to_buy) > 1:
            place = 0 if self._rng.random() < 0.7 else 1
            return self._to_buy.pop(place)
        return self._to_buy[0]
