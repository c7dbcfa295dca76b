"""How members behave: sums that any order of happenings makes the same, and what they mean.

Pure. What happened to a member is folded into their features, piece by piece and in any order:
counts are sums, days a set, the latest replies those with the latest numbers. What depends on the
time that has passed since (states, scores) is judged from columns of all members at once.

What a state means is said once, in `judge`, and in numbers that an operator chose.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

DAY_S = 86_400.0
_SHANGHAI_S = 28_800.0

MOST_DAYS = 3_660
"""Days that are remembered: what is older counts, but not on which day it was."""
MOST_TOPICS = 64
"""Things that a member turned to; of more, those they turned to least are forgotten."""
MOST_REPLIES = 8
MOST_GAPS = 10

HABIT_DAYS = 3
"""Who was active on so many days of the 90 up to their last was there; with fewer they only
looked in, and have nothing to leave."""
_HABIT_WINDOW = 90

STATES = (
    "paused",
    "newcomer",
    "returned",
    "lost",
    "leaving",
    "core",
    "active",
    "lurker",
)
"""In the order in which they are asked: the first that fits counts."""
PAUSED, NEWCOMER, RETURNED, LOST, LEAVING, CORE, ACTIVE, LURKER = range(8)

ACTIONS = (
    "leave_alone",
    "remind_progress",
    "invite_back",
    "ask_feedback",
    "use_coupon",
    "welcome_course",
    "upgrade",
    "thank",
    "ask_question",
    "first_course",
    "keep",
)
"""What to do next with a member; see `next_actions`."""


def day_of(at: float) -> int:
    """The number of the Shanghai day; 0 is 1970-01-01."""
    return int((at + _SHANGHAI_S) // DAY_S)


def day_start(day: int) -> float:
    """When that day began, Unix seconds."""
    return day * DAY_S - _SHANGHAI_S


def week_of(day: int) -> int:
    """The number of the week, which begins on Monday."""
    return (day + 3) // 7


# What happened, folded


class Happening(Protocol):
    """Something that a member did, or that is known of them: `store/features.py` has it."""

    @property
    def at(self) -> float: ...
    @property
    def act(self) -> bool: ...
    @property
    def channel(self) -> str: ...
    @property
    def question(self) -> bool: ...
    @property
    def topic(self) -> str: ...
    @property
    def pushed_at(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Features:
    """What a member did, summed.

    first_at: when they came, or did the first thing; last_at: the last thing, first_at when they
    did nothing. days: on which days they did anything, as bits, bit 0 is last_day; 0 for none.
    hours: acts by hour of the day, shape [24]. channels, topics: how often. replies: push -> after
    how many seconds they did something; the latest pushes that they answered within a day.
    """

    first_at: float
    last_at: float
    last_day: int
    days: int = 0
    acts: int = 0
    questions: int = 0
    hours: tuple[int, ...] = (0,) * 24
    channels: Mapping[str, int] = field(default_factory=dict)
    topics: Mapping[str, int] = field(default_factory=dict)
    replies: Mapping[float, float] = field(default_factory=dict)

    @property
    def active_days(self) -> int:
        """On how many days they did anything."""
        return self.days.bit_count()

    @property
    def days28(self) -> int:
        """Of the 28 days up to the last, those with anything, as bits."""
        return self.days & ((1 << 28) - 1)

    @property
    def habit_days(self) -> int:
        """Days with anything of the 90 up to the last."""
        return (self.days & ((1 << _HABIT_WINDOW) - 1)).bit_count()

    @property
    def weeks(self) -> int:
        """Weeks with anything, as bits; bit 0 is the week of first_at."""
        first, found = week_of(day_of(self.first_at)), 0
        for day in _days_back(self.days):
            found |= 1 << max(week_of(self.last_day - day) - first, 0)
        return found

    @property
    def gaps(self) -> tuple[int, ...]:
        """Days between the last active days, the newest first; () for a single day."""
        found: list[int] = []
        before = 0
        for day in _days_back(self.days, MOST_GAPS + 1):
            if day:
                found.append(day - before)
            before = day
        return tuple(found)

    @property
    def reply_s(self) -> float | None:
        """After how long they usually answer a push, seconds; None when they never did."""
        return statistics.median(self.replies.values()) if self.replies else None

    def returned_day(self, lost_days: int) -> int | None:
        """The day on which the last silence of at least so many days ended; None without one.

        lost_days: 2 or more.
        """
        # Days at most lost_days - 2 before an active one, and those days themselves.
        near, width, left = self.days, 1, lost_days - 2
        while left > 0:
            step = min(width, left)
            near |= near << step
            width, left = width + step, left - step
        silent = ~near & ((1 << self.days.bit_length()) - 1)
        if not silent:
            return None
        newest = (silent & -silent).bit_length() - 1
        return self.last_day - (newest - (lost_days - 1))


def _days_back(days: int, most: int = MOST_DAYS) -> Iterable[int]:
    """How many days before the last each active day was, the newest first."""
    while days and most:
        low = days & -days
        yield low.bit_length() - 1
        days ^= low
        most -= 1


class Sum:
    """Features while they are added up."""

    __slots__ = (
        "acts",
        "channels",
        "days",
        "first_at",
        "hours",
        "last_at",
        "last_day",
        "questions",
        "replies",
        "topics",
    )

    def __init__(self, first_at: float) -> None:
        self.first_at = first_at
        self.last_at = first_at
        self.last_day = day_of(first_at)
        self.days = self.acts = self.questions = 0
        self.hours = [0] * 24
        self.channels: dict[str, int] = {}
        self.topics: dict[str, int] = {}
        self.replies: dict[float, float] = {}

    @classmethod
    def of(cls, features: Features) -> Sum:
        """To go on from there."""
        one = cls(features.first_at)
        one.last_at, one.acts = features.last_at, features.acts
        one.questions = features.questions
        one.days, one.last_day = features.days, features.last_day
        if one.days:
            # Of two members made one the later may have had no day of their own.
            empty = (one.days & -one.days).bit_length() - 1
            one.days, one.last_day = one.days >> empty, one.last_day - empty
        one.hours = list(features.hours)
        one.channels, one.topics = dict(features.channels), dict(features.topics)
        one.replies = dict(features.replies)
        return one

    def add(self, one: Happening) -> None:
        """Add something that happened."""
        at = one.at
        # Comparisons: this runs for each of millions, and a call costs more than all of it.
        if at < self.first_at:
            self.first_at = at
        if one.question:
            self.questions += 1
        if one.topic:
            self.topics[one.topic] = self.topics.get(one.topic, 0) + 1
        if not one.act:
            return
        day, seconds = divmod(at + _SHANGHAI_S, DAY_S)
        number = int(day)
        if not self.days:
            self.days, self.last_day, self.last_at = 1, number, at
        elif number > self.last_day:
            self.days = self.days << (number - self.last_day) | 1
            self.last_day = number
        else:
            self.days |= 1 << (self.last_day - number)
        if at > self.last_at:
            self.last_at = at
        self.acts += 1
        self.hours[int(seconds // 3600)] += 1
        self.channels[one.channel] = self.channels.get(one.channel, 0) + 1
        if one.pushed_at:
            took = at - one.pushed_at
            self.replies[one.pushed_at] = min(self.replies.get(one.pushed_at, took), took)

    def done(self) -> Features:
        """The features."""
        days = self.days & ((1 << MOST_DAYS) - 1)
        topics = sorted(self.topics.items(), key=lambda one: (-one[1], one[0]))[:MOST_TOPICS]
        return Features(
            first_at=self.first_at,
            last_at=self.last_at if self.acts else self.first_at,
            last_day=self.last_day if self.acts else day_of(self.first_at),
            days=days,
            acts=self.acts,
            questions=self.questions,
            hours=tuple(self.hours),
            channels=dict(sorted(self.channels.items())),
            topics=dict(topics),
            replies=dict(sorted(self.replies.items())[-MOST_REPLIES:]),
        )


def fold(features: Features | None, happenings: Sequence[Happening], came_at: float) -> Features:
    """What is known with these; in whatever pieces and order they come, the end is the same.

    features: what was known before, None for nothing. came_at: when we met them, Unix seconds.
    """
    total = Sum(came_at) if features is None else Sum.of(features)
    total.first_at = min(total.first_at, came_at)
    for one in happenings:
        total.add(one)
    return total.done()


# What it means


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRules:
    """What the states mean, in days; as the configuration has it."""

    newcomer_days: int = 7
    active_days: int = 14
    core_days: int = 8
    leaving_days: int = 21
    lost_days: int = 60
    returned_days: int = 14
    churn_days: int = 30


class Columns(NamedTuple):
    """Members as columns of equal length. Times in Unix seconds; returned_at: nan for never.

    days28, habit_days: see Features. progress: percent of the course they are farthest in.
    """

    member: NDArray[np.int64]
    first_at: NDArray[np.float64]
    last_at: NDArray[np.float64]
    returned_at: NDArray[np.float64]
    acts: NDArray[np.int64]
    last_day: NDArray[np.int64]
    days28: NDArray[np.int64]
    habit_days: NDArray[np.int64]
    spent_cents: NDArray[np.int64]
    orders: NDArray[np.int64]
    progress: NDArray[np.int64]
    paused: NDArray[np.bool_]
    present: NDArray[np.bool_]
    coupon: NDArray[np.bool_]


_TYPES = (np.int64,) + (np.float64,) * 3 + (np.int64,) * 7 + (np.bool_,) * 3


def columns(rows: Sequence[Sequence[object]]) -> Columns:
    """Rows with the fields of Columns, None for no returned_at; also none at all."""
    each = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    made: list[NDArray[Any]] = [
        np.array(column, kind) for column, kind in zip(each, _TYPES, strict=True)
    ]
    return Columns(*made)


def judge(of: Columns, now: float, rules: StateRules) -> NDArray[np.int8]:
    """Each member's state, as its number in STATES; the first that fits, in that order.

    paused: they want no messages, or left everywhere. newcomer: came at most newcomer_days ago.
    returned: at most returned_days ago a silence of lost_days ended. lost, leaving: they were there
    (on HABIT_DAYS of the 90 days up to their last) and have been silent for so many days; lost
    also who never was and is nowhere any more. core: did something on core_days of the last 28.
    active: did something within active_days, or was there and is not about to leave. lurker: all
    others, who follow or sit in a group and never or hardly write.
    """
    silent = (now - of.last_at) / DAY_S
    did = of.acts > 0
    habit = of.habit_days >= HABIT_DAYS
    gone = did & ~habit & ~of.present
    returned = (now - of.returned_at) / DAY_S <= rules.returned_days
    states = np.full(len(of.member), LURKER, np.int8)
    for state, fits in (
        (ACTIVE, did & ((silent < rules.active_days) | (habit & (silent < rules.leaving_days)))),
        (CORE, recent_days(of, now) >= rules.core_days),
        (LEAVING, habit & (silent >= rules.leaving_days)),
        (LOST, (habit | gone) & (silent >= rules.lost_days)),
        (RETURNED, returned & did),
        (NEWCOMER, (now - of.first_at) / DAY_S <= rules.newcomer_days),
        (PAUSED, of.paused),
    ):
        states[fits] = state
    return states


def recent_days(of: Columns, now: float) -> NDArray[np.int64]:
    """On how many of the last 28 days, today with them, each did anything."""
    left = np.clip(28 - (day_of(now) - of.last_day), 0, 28)
    found: NDArray[np.int64] = np.bitwise_count(of.days28 & ((1 << left) - 1)).astype(np.int64)
    return found


def rate(of: Columns, now: float) -> tuple[NDArray[np.int64], ...]:
    """Recency, frequency and monetary scores, 1 to 5 by fifths of those who ever did anything.

    Recency by days since the last act, frequency by active days of the 90 up to it, monetary by
    money spent; equals score the same, that of their middle. Who spent nothing has 1 for money, and
    who never did anything 1 for all.
    """
    did = of.acts > 0
    days = np.floor((now - of.last_at) / DAY_S)
    money = _fifths(of.spent_cents.astype(np.float64), did)
    money[of.spent_cents <= 0] = 1
    return _fifths(-days, did), _fifths(of.habit_days.astype(np.float64), did), money


def _fifths(values: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    scores = np.ones(len(values), np.int64)
    own = values[counted]
    ordered = np.sort(own)
    below, upto = (np.searchsorted(ordered, own, side) for side in ("left", "right"))
    scores[counted] = 1 + np.minimum((below + upto) * 5 // (2 * max(len(own), 1)), 4)
    return scores


# What to do next


def next_actions(
    of: Columns,
    states: NDArray[np.int8],
    scores: tuple[NDArray[np.int64], ...],
    churn: NDArray[np.float64],
) -> list[str]:
    """One of ACTIONS for each member: the first line of this table that fits.

    | who | what |
    |---|---|
    | paused | leave_alone |
    | within a course, and leaving, lost, or more likely than not to be | remind_progress |
    | lost | invite_back |
    | leaving, and bought or was often there | ask_feedback |
    | leaving | invite_back |
    | holds a coupon and bought nothing yet | use_coupon |
    | newcomer | welcome_course |
    | done with 80 % of a course, or core, and bought | upgrade |
    | core, or often there and there lately | thank |
    | lurker, or lately returned | ask_question |
    | active and bought nothing | first_course |
    | all others | keep |

    scores: of `rate`. churn: probabilities, nan where there is none.
    """
    _, frequency, _ = scores
    learning = (of.progress > 0) & (of.progress < 100)
    bought = of.orders > 0
    going = (states == LEAVING) | (states == LOST) | (np.nan_to_num(churn, nan=0.0) > 0.5)
    often = frequency >= 4
    table = (
        ("leave_alone", states == PAUSED),
        ("remind_progress", learning & going),
        ("invite_back", states == LOST),
        ("ask_feedback", (states == LEAVING) & (bought | often)),
        ("invite_back", states == LEAVING),
        ("use_coupon", of.coupon & ~bought),
        ("welcome_course", states == NEWCOMER),
        ("upgrade", bought & ((of.progress >= 80) | (states == CORE))),
        ("thank", (states == CORE) | ((states == ACTIVE) & often & (scores[0] >= 4))),
        ("ask_question", (states == LURKER) | (states == RETURNED)),
        ("first_course", (states == ACTIVE) & ~bought),
    )
    number = np.select([fits for _, fits in table], range(len(table)), len(table))
    names = [*(action for action, _ in table), "keep"]
    return [names[one] for one in number]
