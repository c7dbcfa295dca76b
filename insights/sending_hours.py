"""At which hour what is sent finds people: how many answered, hour by hour, with intervals.

Counted is what was sent and whether somebody did something soon after. Hours in which little was
sent know little by themselves: they lean on when members are there anyway, as if 30 sends had
been answered that way. Below a number of sends only the latter is shown, and said to be.

Pure; scipy is loaded when first needed. Hours are 0 to 23, Asia/Shanghai.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insights.report import Chart, Figure, Series

WITHIN_S = 2 * 3600.0
"""So soon after a send counts as an answer to it."""

LEAST_SENDS = 100
"""Messages to members below which answers say nothing about hours."""

LEAST_POSTS = 20
"""The same for posts to a group."""

LEAST_ACTS = 200
"""Acts below which nothing is said at all."""

PRIOR_SENDS = 30.0
PRIOR_POSTS = 3.0

FIGURES = frozenset({"best_hour", "best_hour_answers"})
LISTS: frozenset[str] = frozenset()
CHARTS = frozenset({"sending_hours", "present_hours", "answered_sends", "hours_present"})
NOTES = frozenset({"hours_few_acts", "hours_by_presence", "hours_alike", "hours_by_answers"})

Floats = NDArray[np.float64]

_TAIL = 0.025
_LEANING = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was counted, each shape [24].

    sends: messages to members, or posts to a group. answers: of messages those that were answered
    in time; of posts the members who said something in time, summed. acts: what members did,
    whatever was sent. people: how many members that is. posts: whether sends are posts.
    """

    sends: Sequence[float]
    answers: Sequence[float]
    acts: Sequence[float]
    people: int
    posts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """best: hours, best first, at most 3. rate, low, high: answers of a send by hour with 95 %
    intervals, [24]; without enough sends the share of acts in each hour, and no intervals.
    note: a key of NOTES; "hours_few_acts": nothing is known, and best is empty.
    """

    best: tuple[int, ...] = ()
    rate: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    note: str


def presence(acts: Sequence[float] | Floats) -> Floats:
    """Each hour's share, [24]; its neighbours count half: who writes at 19:50 is there at eight.

    The same rule as in `store/activity.py`. No acts: all alike.
    """
    counts = np.asarray(acts, dtype=np.float64)
    around = 2.0 * counts + np.roll(counts, 1) + np.roll(counts, -1)
    total = float(around.sum())
    return around / total if total > 0 else np.full(24, 1.0 / 24.0)


def judged(sent: Sent) -> Hours:
    """The best hours, as far as what was counted can say."""
    sends, answers = (np.asarray(one, dtype=np.float64) for one in (sent.sends, sent.answers))
    there = presence(sent.acts)
    if float(np.sum(sent.acts)) < LEAST_ACTS:
        return Hours(note="hours_few_acts")
    prior, least = (PRIOR_POSTS, LEAST_POSTS) if sent.posts else (PRIOR_SENDS, LEAST_SENDS)
    tried = sends >= prior / 3.0
    if sends.sum() < least or not tried.any() or answers.sum() == 0.0:
        return Hours(best=_best(there), rate=tuple(there.tolist()), note="hours_by_presence")
    overall = float(answers.sum() / sends.sum())
    # What would be answered at each hour if being there mattered; within limits, for those who
    # write at two in the afternoon need not answer then.
    weighed = float((sends * there).sum() / sends.sum())
    usual = overall * np.clip(there / max(weighed, 1e-9), 1.0 / _LEANING, _LEANING)
    usual = usual if sent.posts else np.minimum(usual, 0.95)
    rate, low, high = (_posts if sent.posts else _messages)(sends, answers, usual, prior)
    # By what is sure of it, and an hour that was hardly tried is none to recommend.
    best = _best(np.where(tried, low, -1.0))
    note = "hours_by_answers" if low[best[0]] > overall else "hours_alike"
    return Hours(
        best=best,
        rate=tuple(rate.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        note=note,
    )


def _best(worth: Floats) -> tuple[int, ...]:
    order = sorted(range(24), key=lambda hour: (-worth[hour], hour))
    return tuple(hour for hour in order[:3] if worth[hour] >= 0.0)


def _messages(
    sends: Floats, answers: Floats, usual: Floats, prior: float
) -> tuple[Floats, Floats, Floats]:
    """A share with a beta distribution: the sends and `prior` more that went as usual."""
    from scipy.special import betaincinv

    yes = answers + prior * np.maximum(usual, 1e-4)
    no = np.maximum(sends - answers, 0.0) + prior * (1.0 - usual)
    return yes / (yes + no), betaincinv(yes, no, _TAIL), betaincinv(yes, no, 1.0 - _TAIL)


def _posts(
    sends: Floats, answers: Floats, usual: Floats, prior: float
) -> tuple[Floats, Floats, Floats]:
    """People a post with a gamma distribution."""
    from scipy.special import gammaincinv

    shape, size = answers + prior * np.maximum(usual, 1e-3), sends + prior
    low, high = gammaincinv(shape, _TAIL), gammaincinv(shape, 1.0 - _TAIL)
    return shape / size, low / size, high / size


def parts(
    sent: Sent, since: float, until: float, *, of: str = ""
) -> tuple[tuple[Figure, ...], tuple[Chart, ...]]:
    """The figures and the chart; one figure without a value when too little is known.

    since, until: what was counted, Unix seconds. of: whose, as people call it.
    """
    found = judged(sent)
    total = int(sum(sent.sends))
    hour = found.best[0] if found.best else None
    told = Figure(
        name="best_hour",
        value=None if hour is None else float(hour),
        unit="hour",
        since=since,
        until=until,
        of=of,
        n=total if found.low else int(sum(sent.acts)),
        people=sent.people,
        note=found.note,
    )
    if hour is None:
        return (told,), ()
    figures, charts = [told], []
    labels = tuple(str(one) for one in range(24))
    if found.low:
        figures.append(
            Figure(
                name="best_hour_answers",
                value=found.rate[hour],
                unit="count" if sent.posts else "share",
                since=since,
                until=until,
                of=of,
                numerator=float(sent.answers[hour]),
                denominator=float(sent.sends[hour]),
                low=found.low[hour],
                high=found.high[hour],
                n=int(sent.sends[hour]),
                people=sent.people,
                note=found.note,
            )
        )
        line = Series(
            name="answered_sends",
            values=found.rate,
            low=found.low,
            high=found.high,
            n=tuple(int(one) for one in sent.sends),
        )
        unit = figures[1].unit
        charts.append(
            Chart(name="sending_hours", kind="bars", unit=unit, labels=labels, series=(line,))
        )
    else:
        line = Series(name="hours_present", values=found.rate)
        charts.append(
            Chart(name="present_hours", kind="bars", unit="share", labels=labels, series=(line,))
        )
    return tuple(figures), tuple(charts)
