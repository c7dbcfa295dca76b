"""Simulated months of groups: who writes how much, how negatively, about what; drops planted.

People differ in how much they write and how negative they are, days differ, busy evenings come in
exchanges; a model labels with mistakes and abstains. Nothing of it follows the model of
`insights/moods.py`: shares are logistic, not beta.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insights.moods import DAYS, Baseline, Day, Turn, angry, baseline, busy_hours, dropped, turned

DAY_S = 86_400
TERMS = 120


class Said(NamedTuple):
    """A judged message."""

    source: str
    row_id: int
    place: str
    member_id: int
    at: float
    label: int
    negative: float
    terms: tuple[str, ...]


@dataclass(frozen=True)
class Planted:
    """What goes wrong on a day: in a place or of a topic, log odds added; or a member who writes
    so many angry messages within half an hour, seven in eight of them heard as negative."""

    day: int
    more: float = 0.0
    place: str = ""
    topic: str = ""
    member_id: int | None = None
    rant: int = 0


class World:
    """A bot. sizes: members of its groups; base: log odds of a negative message; rate: messages of
    a member on a day, in the middle. days: what is said, by day, in the order of time."""

    def __init__(
        self, seed: int, *, sizes: Sequence[int] = (30, 60, 100), base: float = -2.3,
        rate: float = 1.2,
    ) -> None:  # fmt: skip
        self.seed, self.base, self.rate = seed, base, rate
        rng = np.random.default_rng(seed)
        self.group = np.repeat(np.arange(len(sizes)), sizes)
        self.members = np.concatenate([1000 * (n + 1) + np.arange(m) for n, m in enumerate(sizes)])
        self.rates = rate * rng.lognormal(0.0, 1.0, len(self.members))
        self.temper = rng.normal(0.0, 0.6, len(self.members))
        self.term_mood = rng.normal(0.0, 0.5, TERMS)
        shares = 1.0 / (np.arange(TERMS) + 3.0)
        self.term_shares = np.cumsum(shares / shares.sum())
        self.days: dict[int, list[Said]] = {}
        self.sums: dict[int, dict[str | int, list[int]]] = {}

    def live(self, first: int, last: int, planted: Sequence[Planted] = (), take: int = 0) -> None:
        """Make what is said from day `first` on and before `last`; another take, other dice."""
        for day in range(first, last):
            rng = np.random.default_rng((self.seed, day, take))
            self.days[day] = sorted(
                self._day(day, rng, [one for one in planted if one.day == day]),
                key=lambda one: one.at,
            )
            self.sums.pop(day, None)

    def _day(
        self, day: int, rng: np.random.Generator, planted: Sequence[Planted]
    ) -> Iterator[Said]:
        people = len(self.members)
        weekend = 0.7 if day % 7 in (2, 3) else 1.0
        turns = rng.poisson(self.rates * weekend * rng.lognormal(0.0, 0.3))
        # An exchange: a member's messages of an evening lie close together and share a tone.
        begin = rng.uniform(8 * 3600, 22 * 3600, people)
        tone = self.temper + rng.normal(0.0, 0.5, people)
        who = np.repeat(np.arange(people), turns)
        count = len(who)
        at = day * DAY_S + begin[who] + rng.exponential(2400.0, count)
        spoken = np.minimum(np.searchsorted(self.term_shares, rng.random((count, 3))), TERMS - 1)
        mood = rng.normal(0.0, 0.2, self.group.max() + 1)
        odds = self.base + tone[who] + mood[self.group[who]] + self.term_mood[spoken].mean(axis=1)
        for one in planted:
            if one.place:
                odds += one.more * (self.group[who] == int(one.place[4:]) - 1)
            if one.topic:
                odds += one.more * (spoken == int(one.topic[1:])).any(axis=1)
        negative = rng.random(count) < 1.0 / (1.0 + np.exp(-odds))
        # The model is right nine times in ten, and silent on one message in five.
        heard = negative != (rng.random(count) < np.where(negative, 0.15, 0.04))
        silent = rng.random(count) < 0.2
        sure = rng.uniform(0.6, 1.0, count)
        for row in np.flatnonzero(~silent).tolist():
            terms = tuple(f"词{term}" for term in dict.fromkeys(spoken[row].tolist()))
            member = int(self.members[who[row]])
            label = -1 if heard[row] else 0
            yield Said(
                "t", row, f"qun:{member // 1000}", member, float(at[row]), label,
                float(sure[row]), terms,
            )  # fmt: skip
        for one in planted:
            if one.member_id is not None:
                for extra in range(one.rant):
                    moment = day * DAY_S + 70_000 + 1800.0 * rng.random()
                    label = -1 if rng.random() < 0.875 else 0
                    place, row = f"qun:{one.member_id // 1000}", count + extra
                    yield Said("t", row, place, one.member_id, moment, label, 0.9, ("词0",))

    def _sums(self, day: int) -> dict[str | int, list[int]]:
        """Messages and negative ones of a day, by place, term and member; a day is counted once."""
        if day not in self.sums:
            found: dict[str | int, list[int]] = defaultdict(lambda: [0, 0])
            for one in self.days.get(day, ()):
                bad = one.label == -1
                names: tuple[str | int, ...] = (one.place, one.member_id, *one.terms)
                for name in names:
                    sums = found[name]
                    sums[0] += 1
                    sums[1] += bad
            self.sums[day] = found
        return self.sums[day]

    def baseline(self, day: int) -> Baseline:
        """What is usual before that day."""
        places: dict[str, list[Day]] = defaultdict(list)
        terms: dict[str, list[Day]] = defaultdict(list)
        for before in range(day - DAYS, day):
            for name, sums in self._sums(before).items():
                if isinstance(name, str):
                    into = places if name.startswith("qun:") else terms
                    into[name].append((sums[0], sums[1]))
        return baseline(day, places, terms)

    def records(self, day: int) -> dict[int, Day]:
        """Every member's own past."""
        found: dict[int, Day] = {}
        for before in range(day - DAYS, day):
            for name, (n, k) in self._sums(before).items():
                if isinstance(name, int):
                    old = found.get(name, (0, 0))
                    found[name] = (old[0] + n, old[1] + k)
        return found

    def looked_at(self, day: int, until: float = 1.0) -> list[Turn]:
        """All that a job finds on that day when it looks at it up to this share of it."""
        said = self.days[day]
        said = said[: bisect.bisect_right([one.at for one in said], (day + until) * DAY_S)]
        usual = self.baseline(day)
        return [
            *angry(said, self.records(day), usual.share, busy_hours(said)),
            *dropped(said, usual.places),
            *turned(said, usual.terms),
        ]
