"""A community that was thought up: who joined, talked, answered, bought and left, and what is true
of it.

The truth is planted and told beside the rows: circles, leaders, who left when, days on which the
mood fell or a topic rose, how many buy for how much money. The same seed gives the same past. What
is said is put together from sentences of our own; nobody's words are in it.

Quiet days are no two alike, too: people have moods and busy days, one picks up what another said,
and half of what is said is about nothing.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple

from sandbox.simulated_words import ANSWERED, ASKED, BAD, GOOD, PLAIN, SMALL_TALK, TOPICS

DAY_S = 86_400.0
_EAST_S = 8 * 3600.0

HOURS = (1, 0, 0, 0, 0, 0, 1, 3, 5, 6, 6, 5, 7, 5, 4, 4, 4, 5, 6, 9, 12, 12, 8, 4)
"""How much is said at each hour of a day."""
WEEKDAYS = (1.0, 1.0, 0.95, 1.0, 1.05, 1.25, 1.3)

_SMALL = 0.4
"""Of what is said, so much is small talk."""
_PICKED_UP = 0.25
_PICKED_UP_S = 1800.0
"""Small talk picks up what was said last, so often and within this time."""
_RANT_S = 2400.0
_FIRST, _TOGETHER = 3, 0.6
"""The first item is bought so many times as often as any other, and so often the second with it."""

Kind = Literal["mood_drop", "topic_negative", "topic_burst", "member_angry"]


class Drop(NamedTuple):
    """The mood of a group falls. before_end: on which day, 0 is the last. bad: the share of what
    is said there that is bad on that day."""

    place: str
    before_end: int
    bad: float


class Burst(NamedTuple):
    """So many people of a group say something about a term on a day."""

    place: str
    before_end: int
    people: int
    term: str


class Sour(NamedTuple):
    """So many people, of all groups, speak of a topic on a day, and a share `bad` badly."""

    topic: str
    before_end: int
    people: int
    bad: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be thought up.

    now: Unix seconds at which it ends. first_id: the number of the first member. channel: of those
    who write in private; places: the groups they are in. circles, leaders: of each group; who
    leads answers most of what their circle asks. leaving: the share of members who go silent.
    early: the share of those who were there from the first day. quiet: no drops, bursts, sours,
    angry. angry: members who turn angry, on some day of the last `angry_days`. items: ids of the
    catalogue; the first is bought most, the second with it.
    """

    now: float
    seed: int = 1
    members: int = 240
    days: int = 84
    first_id: int = 1
    channel: str = "mp"
    places: tuple[str, ...] = ("qun:1", "qun:2", "qun:3")
    circles: int = 3
    leaders: int = 2
    leaving: float = 0.2
    early: float = 0.7
    per_day: float = 0.5
    quiet: bool = False
    drops: tuple[Drop, ...] = ()
    bursts: tuple[Burst, ...] = ()
    sours: tuple[Sour, ...] = ()
    angry: int = 0
    angry_days: int = 2
    items: tuple[str, ...] = ("py-zero", "py-data", "excel-clean")
    prices: tuple[int, ...] = (19_900, 29_900, 9_900)
    spending: bool = True
    half_life_s: float = 30 * DAY_S


@dataclass
class Person:
    """A member as they were thought up. joined: on which day; left: the day from which on they are
    silent, inf: never; mood: the share of what they say that is bad."""

    id: int
    place: str
    circle: int
    rate: float
    joined: int
    left: float
    leads: bool
    topic: str
    mood: float


class Truth(NamedTuple):
    """Something that went wrong, or up. at: when it began to show, Unix seconds; place, topic,
    member_id: what it is about, "" and None for what it is not."""

    kind: Kind
    at: float
    place: str = ""
    topic: str = ""
    member_id: int | None = None


@dataclass
class World:
    """rows: by table, for `store.history.fill`, each in the order of time. The rest is true of
    them. begin: midnight of the first day. curves: place -> (most, scale): in a week in which x
    yuan are spent, 1 + most * log(1 + x / scale) members buy there; orders: how many orders one
    who buys makes, on average."""

    rows: dict[str, list[tuple[Any, ...]]]
    people: list[Person]
    begin: float
    curves: dict[str, tuple[float, float]] = field(default_factory=dict)
    orders: float = 1.0
    truths: list[Truth] = field(default_factory=list)

    @property
    def leaders(self) -> dict[str, set[int]]:
        """Who leads, by place."""
        found: dict[str, set[int]] = defaultdict(set)
        for one in self.people:
            if one.leads:
                found[one.place].add(one.id)
        return dict(found)

    @property
    def circles(self) -> dict[int, tuple[str, int]]:
        """Who belongs to which circle."""
        return {one.id: (one.place, one.circle) for one in self.people}


def simulate(plan: Plan) -> World:
    """The whole past. CPU: about a second for 30,000 messages."""
    return _Simulation(plan).run()


class _Said(NamedTuple):
    """A turn in a group. number: until the turns are put in order; answers: the turn it quotes."""

    at: float
    number: int
    key: bytes
    place: str
    member_id: int
    text: str
    answers: int | None


class _Turn(NamedTuple):
    """Who is to say something when. topic: about what, "" for what they always talk about; bad:
    with which chance badly, None for as usual; loud: in the group, for all to hear."""

    at: float
    who: Person
    topic: str = ""
    bad: float | None = None
    loud: bool = False


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)  # noqa: S311 - the same past every time
        self.rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        midnight = (plan.now + _EAST_S) // DAY_S * DAY_S - _EAST_S
        self.begin = midnight - (plan.days - 1) * DAY_S
        self.people = [self._person(plan.first_id + n) for n in range(plan.members)]
        self.world = World(self.rows, self.people, self.begin)
        self.said: list[_Said] = []
        self.sums: dict[tuple[str, int, int], list[float]] = {}
        self.seen: dict[int, float] = {}
        self.angry: dict[int, float] = {}
        self.keys = 0
        # Of the day that is being thought up.
        self.here: dict[tuple[str, int], list[Person]] = {}
        self.leading: dict[str, list[Person]] = {}
        self.tempers: dict[str, float] = {}
        self.last: dict[str, tuple[float, tuple[str, ...], str]] = {}

    def run(self) -> World:
        plan = self.plan
        rants: dict[int, list[Person]] = defaultdict(list)
        if not plan.quiet:
            likely = [one for one in self.people if math.isinf(one.left) and one.joined == 0]
            for one in self.rng.sample(likely, min(plan.angry, len(likely))):
                rants[self.rng.randrange(plan.angry_days)].append(one)
        for day in range(plan.days):
            self._day(day, rants.get(plan.days - 1 - day, ()))
        self._in_order()
        self._who()
        self._shop()
        for (place, from_id, to_id), (weight, count, at) in self.sums.items():
            self.rows["edges"].append((place, from_id, to_id, weight, int(count), at))
        self.world.truths.sort(key=lambda one: one.at)
        return self.world

    def _person(self, number: int) -> Person:
        plan, rng = self.plan, self.rng
        place = plan.places[number % len(plan.places)]
        within = (number - plan.first_id) // len(plan.places)
        leads = within < plan.leaders
        circle = within % plan.circles if leads else rng.randrange(plan.circles)
        joined = 0 if leads or rng.random() < plan.early else rng.randrange(plan.days)
        left = math.inf
        if not leads and rng.random() < plan.leaving:
            left = joined + 7 + rng.random() * max(plan.days - joined - 7, 1)
        topics = list(TOPICS)
        return Person(
            id=number,
            place=place,
            circle=circle,
            rate=plan.per_day * (3.0 if leads else rng.lognormvariate(-0.4, 0.8)),
            joined=joined,
            left=left,
            leads=leads,
            topic=topics[(plan.places.index(place) * plan.circles + circle) % len(topics)],
            mood=rng.betavariate(2, 14),
        )

    # What is said

    def _day(self, day: int, rants: Sequence[Person]) -> None:
        plan, rng = self.plan, self.rng
        start = self.begin + day * DAY_S
        weekday = int((start + _EAST_S) // DAY_S + 3) % 7
        here = [one for one in self.people if one.joined <= day < one.left]
        self.here, self.leading = defaultdict(list), defaultdict(list)
        for one in here:
            self.here[one.place, one.circle].append(one)
            if one.leads:
                self.leading[one.place].append(one)
        self.tempers = {place: rng.gauss(0.0, 0.35) for place in plan.places}
        self.last = {}
        busy = {place: rng.lognormvariate(-0.02, 0.2) for place in plan.places}
        turns: list[_Turn] = []
        for one in here:
            # Who is about to leave says less and less.
            fading = min((one.left - day) / 14.0, 1.0)
            mean = one.rate * WEEKDAYS[weekday] * busy[one.place] * fading
            turns += (_Turn(start + self._second(), one) for _ in range(_poisson(rng, mean)))
        if not plan.quiet:
            turns += self._planted(start, plan.days - 1 - day, here, rants)
        turns = sorted((one for one in turns if one.at < plan.now), key=lambda one: one.at)
        bad = {one.place: one.bad for one in plan.drops if one.before_end == plan.days - 1 - day}
        for place in () if plan.quiet else bad:
            first = next((one.at for one in turns if one.who.place == place), None)
            if first is not None:
                self.world.truths.append(Truth("mood_drop", first, place))
        tones: dict[int, float] = defaultdict(lambda: rng.gauss(0.0, 0.4))
        for turn in turns:
            self._turn(turn, None if plan.quiet else bad.get(turn.who.place), tones)

    def _planted(
        self, start: float, before_end: int, here: Sequence[Person], rants: Sequence[Person]
    ) -> Iterator[_Turn]:
        """What is said beside what is usual."""
        plan, rng, truths = self.plan, self.rng, self.world.truths
        for burst in plan.bursts:
            if burst.before_end == before_end:
                near = [one for one in here if one.place == burst.place]
                some = rng.sample(near, min(len(near), burst.people))
                turns = [_Turn(start + self._second(), one, burst.term, 0.0, True) for one in some]
                if turns:
                    first = min(one.at for one in turns)
                    truths.append(Truth("topic_burst", first, burst.place, burst.term))
                yield from turns
        for sour in plan.sours:
            if sour.before_end == before_end:
                some = rng.sample(here, min(len(here), sour.people))
                turns = [
                    _Turn(start + self._second(), one, sour.topic, sour.bad, True) for one in some
                ]
                if turns:
                    first = min(one.at for one in turns)
                    truths.append(Truth("topic_negative", first, topic=sour.topic))
                yield from turns
        for one in rants:
            first = start + self._second()
            self.angry[one.id] = first
            truths.append(Truth("member_angry", first, one.place, member_id=one.id))
            yield _Turn(first, one, bad=0.95, loud=True)
            for _ in range(rng.randint(6, 9)):
                yield _Turn(first + rng.random() * _RANT_S, one, bad=0.95, loud=True)

    def _second(self) -> float:
        hour = self.rng.choices(range(24), HOURS)[0]
        return hour * 3600.0 + self.rng.random() * 3600.0

    def _turn(self, turn: _Turn, dropped: float | None, tones: dict[int, float]) -> None:
        rng, at, one = self.rng, turn.at, turn.who
        self.seen[one.id] = max(self.seen.get(one.id, 0.0), at)
        topic = turn.topic or one.topic
        bad = turn.bad
        if bad is None and at >= self.angry.get(one.id, math.inf):
            bad = 0.95
        if bad is None and (bad := dropped) is None:
            odds = one.mood / (1.0 - one.mood) * math.exp(self.tempers[one.place] + tones[one.id])
            bad = odds / (1.0 + odds)
        luck = rng.random()
        words = BAD if luck < bad else GOOD if luck < bad + 0.3 else PLAIN
        small = words is not BAD and not turn.topic and rng.random() < _SMALL
        if not turn.loud and rng.random() < 0.2:
            self._private(at, one, self._say(words if words is BAD else ASKED, topic))
            return
        asks = words is not BAD and not small and rng.random() < 0.25
        text = self._small(at, one) if small else self._say(ASKED if asks else words, topic)
        mine = self._talk(at, one, text, None)
        if asks and (other := self._helper(one)) is not None:
            later = at + rng.expovariate(1 / 600.0)
            if later < self.plan.now:
                self._talk(later, other, self._say(ANSWERED, topic), mine)
                self._turned(one.place, other, one, later)
                self.seen[other.id] = max(self.seen.get(other.id, 0.0), later)
        elif rng.random() < 0.5 and (other := self._neighbour(one)) is not None:
            self._turned(one.place, one, other, at)

    def _helper(self, one: Person) -> Person | None:
        """Who answers: mostly a leader of the own circle; where it has none, often another."""
        near = [other for other in self.leading[one.place] if other is not one]
        own = [other for other in near if other.circle == one.circle]
        if near and self.rng.random() < (0.75 if own else 0.4):
            return self.rng.choice(own or near)
        return self._neighbour(one)

    def _neighbour(self, one: Person) -> Person | None:
        """Somebody else of the group who is there, mostly of the own circle."""
        circle = one.circle
        if self.plan.circles > 1 and self.rng.random() < 0.12:
            other = self.rng.randrange(self.plan.circles - 1)
            circle = other + (other >= one.circle)
        near = [other for other in self.here[one.place, circle] if other is not one]
        return self.rng.choice(near) if near else None

    def _say(self, sentences: Sequence[str], topic: str) -> str:
        words = TOPICS.get(topic, (topic,))
        return self.rng.choice(sentences).format(topic=topic, word=self.rng.choice(words))

    def _small(self, at: float, one: Person) -> str:
        """Small talk, at times about what was spoken of just now."""
        rng = self.rng
        before = self.last.get(one.place)
        if before is not None and at - before[0] < _PICKED_UP_S and rng.random() < _PICKED_UP:
            sentences, thing = before[1:]
        else:
            sentences = rng.choice(list(SMALL_TALK))
            things = SMALL_TALK[sentences]
            thing = rng.choices(things, [1.0 / (n + 3.0) for n in range(len(things))])[0]
        self.last[one.place] = (at, sentences, thing)
        return rng.choice(sentences).format(thing=thing)

    def _key(self) -> bytes:
        self.keys += 1
        return hashlib.blake2b(
            f"{self.plan.seed}:{self.plan.first_id}:{self.keys}".encode(), digest_size=16
        ).digest()

    def _talk(self, at: float, one: Person, text: str, answers: int | None) -> int:
        number = len(self.said)
        self.said.append(_Said(at, number, self._key(), one.place, one.id, text, answers))
        return number

    def _private(self, at: float, one: Person, text: str) -> None:
        handler = self.rng.choice(("faq", "faq", "faq.unknown", "content"))
        self.rows["interactions"].append(
            (at, self.plan.channel, one.id, "text", text, handler, "", self._key())
        )

    def _turned(self, place: str, one: Person, other: Person, at: float) -> None:
        weight = 2.0 ** (-(self.plan.now - at) / self.plan.half_life_s)
        known = self.sums.setdefault((place, one.id, other.id), [0.0, 0.0, self.plan.now])
        known[0] += weight
        known[1] += 1

    def _in_order(self) -> None:
        """Logs grow with time: an answer comes behind what was said before it."""
        self.said.sort()
        places = {one.number: place for place, one in enumerate(self.said, 1)}
        for place, one in enumerate(self.said, 1):
            answers = None if one.answers is None else places[one.answers]
            told = (one.key, one.place, one.member_id, one.at, "text", one.text, f"s{place}")
            self.rows["talk"].append((place, *told, answers, 0))
        self.rows["interactions"].sort(key=lambda row: row[0])

    def _who(self) -> None:
        for one in self.people:
            joined = self.begin + one.joined * DAY_S
            seen = self.seen.get(one.id, joined)
            self.rows["members"].append((one.id, joined))
            openid = f"oSIM_{self.plan.seed}_{one.id:06d}"
            self.rows["identities"].append(
                (self.plan.channel, openid, one.id, 1, joined, None, seen)
            )
            self.rows["group_members"].append((one.place, one.id, joined, None, "", joined))

    # What is shown, bought and paid

    def _shop(self) -> None:
        plan, rng = self.plan, self.rng
        weekly: dict[tuple[str, int], int] = {}
        if len(plan.items) > 1:
            self.world.orders += _TOGETHER * _FIRST / (_FIRST + len(plan.items) - 1)
        # What is spent is noted by the week, and weeks begin on Mondays.
        monday = int(-((self.begin + _EAST_S) // DAY_S + 3) % 7)
        mondays = range(monday, plan.days - 6, 7) if plan.spending else ()
        for place in plan.places:
            if plan.spending:
                most, scale = 4.0 * 6.0 ** rng.random(), 120.0 * 10.0 ** rng.random()
                self.world.curves[place] = (most, scale)
            for first in mondays:
                yuan = rng.choice((0, 100, 200, 400, 800, 1600))
                weekly[place, first] = yuan
                for day in range(7):
                    name = self._day_name(first + day)
                    cents = yuan * 100 // 7 + (yuan * 100 % 7 if day == 0 else 0)
                    self.rows["place_costs"].append((place, name, cents, plan.now, "cli"))
        number = 0
        for one in self.people:
            last = min(one.left, plan.days - 1.0)
            for _ in range(_poisson(rng, 0.12 * max(last - one.joined, 0))):
                at = self._moment(rng.uniform(one.joined, last))
                item = rng.choice(plan.items)
                number = self._event(number, "exposure", at, one, item)
                if rng.random() < 0.25:
                    number = self._event(number, "click", at + 30, one, item)
        for (place, first), yuan in weekly.items():
            most, scale = self.world.curves[place]
            for _ in range(_poisson(rng, 1.0 + most * math.log1p(yuan / scale))):
                when = first + rng.random() * 7
                here = [
                    one
                    for one in self.people
                    if one.place == place and one.joined <= when < one.left
                ]
                if here:
                    number = self._bought(number, rng.choice(here), self._moment(when))
        self.rows["events"].sort(key=lambda row: row[2])

    def _bought(self, number: int, one: Person, at: float) -> int:
        plan, rng = self.plan, self.rng
        which = rng.choices(range(len(plan.items)), (_FIRST, *(1 for _ in plan.items[1:])))[0]
        basket = [which]
        if which == 0 and rng.random() < _TOGETHER and len(plan.items) > 1:
            basket.append(1)
        for place, item in enumerate(basket):
            number = self._event(
                number, "purchase", at + 600 * place, one, plan.items[item], plan.prices[item]
            )
            for step in range(_poisson(rng, 1.5)):
                later = at + (step + 1) * 2 * DAY_S
                if later < plan.now and later < self.begin + one.left * DAY_S:
                    number = self._event(
                        number,
                        "progress",
                        later,
                        one,
                        plan.items[item],
                        percent=min(20 * (step + 1), 100),
                    )
        return number

    def _event(
        self,
        number: int,
        kind: str,
        at: float,
        one: Person,
        item: str,
        cents: int = 0,
        percent: int | None = None,
    ) -> int:
        if at < self.plan.now:
            order = f"sim-{self.plan.seed}-{number}" if kind == "purchase" else ""
            name = f"sim:{self.plan.seed}:{self.plan.first_id}:{number}"
            self.rows["events"].append(
                (name, kind, at, at, one.id, item, percent, cents, order, "")
            )
        return number + 1

    def _moment(self, day: float) -> float:
        return self.begin + math.floor(day) * DAY_S + self._second()

    def _day_name(self, day: int) -> str:
        at = self.begin + day * DAY_S
        return datetime.fromtimestamp(at, timezone(timedelta(hours=8))).strftime("%Y-%m-%d")


def _poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number; small means only."""
    limit, count, product = math.exp(-min(mean, 50.0)), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
