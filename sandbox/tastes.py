"""Members whose taste is known, and a catalogue to try it on: what a recommender should find out.

Nobody here can be asked; they look at what they are shown and click what they like. How likely a
click is is planted: what the member's taste says of the item's subject, times how good the item is,
times how far up it stands. Tastes drift, members come, items come. The best of the new ones carry
nothing that tells how good they are: only showing them does.

The same seed gives the same world; whoever shows other things sees other clicks of it. Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DAY_S = 86_400.0

SUBJECTS = ("写作", "数据分析", "英语", "理财", "摄影", "时间管理")

CLICK = 0.6
"""How likely the first place is clicked when it is the best item of the member's only taste."""
LOWER = 0.85
"""Of that, for each place further down."""
AGAIN = 0.7
"""Of that, for an item that they clicked before."""
BUY = 0.12
"""Of the clicks of the best item; of others by how good they are."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be thought up.

    now: midnight of the first day, Unix seconds. members, items: at the beginning; come: members
    who come each day. arrivals: the days on which a new item comes that is as good as any;
    dull: items that come with each of them and are as good as items are. visits: how likely a
    member comes by on a day. drift: how likely their taste turns on a day. untagged: the share of
    items whose subject nobody wrote down. before: days of browsing before the first day.
    """

    now: float
    seed: int = 1
    members: int = 500
    items: int = 60
    days: int = 60
    come: float = 2.0
    arrivals: tuple[int, ...] = ()
    dull: int = 2
    visits: float = 0.4
    drift: float = 0.004
    untagged: float = 0.15
    before: int = 21


@dataclass
class Thing:
    """An item. subject: index into SUBJECTS; good: 0 to 1; tagged: whether its subject is known.

    came: the day on which it came, below 0 for what was there; planted: one of the good new ones.
    """

    id: str
    subject: int
    good: float
    tagged: bool
    came: int
    planted: bool = False
    price_cents: int = 9_900


@dataclass
class Person:
    """A member. taste: what share of their interest each subject has, summing to 1."""

    id: int
    taste: list[float]
    came: int
    clicked: set[str] = field(default_factory=set)
    bought: set[str] = field(default_factory=set)

    @property
    def favourite(self) -> int:
        """The subject they like most."""
        return max(range(len(self.taste)), key=self.taste.__getitem__)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a member did with an item: "view" (browsing), "click" or "purchase"."""

    member: int
    item: str
    kind: str
    at: float
    cents: int = 0


class World:
    """Everybody and everything, day by day. People by number, things by id."""

    def __init__(self, plan: Plan, first_id: int = 1) -> None:
        self.plan = plan
        self._rng = random.Random(plan.seed)  # noqa: S311 - the same world every time
        self.things: dict[str, Thing] = {}
        self.people: dict[int, Person] = {}
        self._next = first_id
        for _ in range(plan.items):
            self._thing(-1000, self._good())
        for _ in range(plan.members):
            self._person(-1000)

    def _good(self) -> float:
        """Most items are middling, a few are good."""
        return 0.05 + 0.95 * self._rng.betavariate(1.0, 2.5)

    def _thing(self, came: int, good: float, *, planted: bool = False) -> Thing:
        rng, number = self._rng, len(self.things) + 1
        thing = Thing(
            id=f"item-{number:03d}",
            subject=rng.randrange(len(SUBJECTS)),
            good=good,
            tagged=not planted and rng.random() >= self.plan.untagged,
            came=came,
            planted=planted,
            price_cents=rng.choice((4_900, 9_900, 19_900, 39_900)),
        )
        self.things[thing.id] = thing
        return thing

    def _person(self, came: int) -> Person:
        taste = self._taste()
        person = Person(self._next, taste, came)
        self._next += 1
        self.people[person.id] = person
        return person

    def _taste(self) -> list[float]:
        """One favourite, a second one that matters, and a little of the rest."""
        rng = self._rng
        found = [rng.gammavariate(0.4, 0.5) + 0.05 for _ in SUBJECTS]
        found[rng.randrange(len(SUBJECTS))] += 1.5
        total = sum(found)
        return [one / total for one in found]

    # Days

    def dawn(self, day: int) -> tuple[list[Thing], list[Person]]:
        """What and who is new on a day; tastes turn."""
        plan, rng = self.plan, self._rng
        things = []
        if day in plan.arrivals:
            things.append(self._thing(day, 1.0, planted=True))
            things += [self._thing(day, self._good()) for _ in range(plan.dull)]
        people = [self._person(day) for _ in range(_poisson(rng, plan.come))]
        for person in self.people.values():
            if rng.random() < plan.drift:
                person.taste = self._taste()
        return things, people

    def visitors(self, day: int) -> list[tuple[float, Person]]:
        """Who comes by on a day and when, in the order of time; who is new comes for sure."""
        plan, rng = self.plan, self._rng
        start = plan.now + day * DAY_S
        came = [
            (start + (9.0 + 13.0 * rng.random()) * 3600.0, person)
            for person in self.people.values()
            if person.came == day or rng.random() < plan.visits
        ]
        return sorted(came, key=lambda one: (one[0], one[1].id))

    def past(self) -> list[Act]:
        """What everybody browsed and bought before the first day: what the catalogue led with, and
        what they like."""
        plan, rng = self.plan, self._rng
        acts: list[Act] = []
        for day in range(-plan.before, 0):
            for person in self.people.values():
                if rng.random() < plan.visits:
                    at = plan.now + day * DAY_S + (9.0 + 13.0 * rng.random()) * 3600.0
                    acts += self.browse(person, at, list(self.things.values()))
        return sorted(acts, key=lambda act: act.at)

    def browse(self, person: Person, at: float, shelf: Sequence[Thing]) -> list[Act]:
        """A member leafs through what is there, without being shown anything in particular."""
        rng = self._rng
        looked = rng.sample(list(shelf), min(len(shelf), 6))
        acts = []
        for thing in looked:
            if rng.random() < self.liking(person, thing, 0):
                acts.append(Act(person.id, thing.id, "view", at))
                person.clicked.add(thing.id)
                acts += self._buys(person, thing, at)
        return acts

    def shown(self, person: Person, items: Sequence[str], at: float) -> list[Act]:
        """What a member does with a list: clicks, and purchases of what was clicked."""
        acts: list[Act] = []
        for place, item in enumerate(items):
            thing = self.things[item]
            if self._rng.random() < self.liking(person, thing, place):
                person.clicked.add(item)
                acts.append(Act(person.id, item, "click", at + 20.0 + 10.0 * place))
                acts += self._buys(person, thing, at + 600.0)
        return acts

    def liking(self, person: Person, thing: Thing, place: int) -> float:
        """How likely a click is. place: 0 is the first."""
        likely = CLICK * person.taste[thing.subject] / max(person.taste) * thing.good
        likely *= LOWER**place
        return likely * (AGAIN if thing.id in person.clicked else 1.0)

    def _buys(self, person: Person, thing: Thing, at: float) -> list[Act]:
        if thing.id in person.bought or self._rng.random() >= BUY * thing.good:
            return []
        person.bought.add(thing.id)
        return [Act(person.id, thing.id, "purchase", at, thing.price_cents)]

    def best(self, person: Person, count: int) -> float:
        """The clicks of each place that a list of so many of the best for them would have."""
        rates = sorted(
            (self.liking(person, thing, 0) for thing in self.things.values()), reverse=True
        )
        top = [rate * LOWER**place for place, rate in enumerate(rates[:count])]
        return math.fsum(top) / count if top else 0.0


def features(thing: Thing) -> Mapping[str, str]:
    """What the catalogue says of an item: its title, and its tag when somebody wrote it down."""
    subject = SUBJECTS[thing.subject]
    number = thing.id.removeprefix("item-")
    if not thing.tagged:
        return {"title": f"第 {number} 课", "tag": ""}
    return {"title": f"{subject}第 {number} 课", "tag": subject}


def _poisson(rng: random.Random, mean: float) -> int:
    """Source: Knuth 1969, 3.4.1; for small means."""
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
