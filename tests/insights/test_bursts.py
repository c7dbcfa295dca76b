"""Bursts: what rises against its own history, and what only looks as if it did."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from insights.bursts import (
    DAYS,
    History,
    adjusted,
    blocks,
    histories,
    judged_together,
    rising,
    scatter,
    spreading,
    surely,
)

Floats = NDArray[np.float64]

VOCABULARY = 700
QUIET_DAYS = 30


def world(
    seed: int, days: int, *, spread: float = 0.0, bursts: dict[tuple[int, int], int] | None = None
) -> tuple[Floats, Floats]:
    """A group of 60: people by term and day, and who spoke each day.

    Seldom and frequent words, busy days and weekends. spread: of what is said on a day, so much
    is taken up by others, half of whom hand it on. bursts: (term, day) -> people.
    """
    rng = np.random.default_rng(seed)
    usual = 1 / np.arange(2, VOCABULARY + 2) * rng.lognormal(0, 1, VOCABULARY)
    usual /= usual.sum()
    people = np.zeros((VOCABULARY, days))
    active = np.zeros(days)
    for day in range(days):
        busy = rng.lognormal(0, 0.25) * (1.4 if day % 7 > 4 else 1.0)
        active[day] = max(rng.binomial(60, min(0.35 * busy, 0.95)), 1)
        each = 1 - np.exp(-12 * usual)
        people[:, day] = rng.binomial(int(active[day]), each)
        taken_up = (people[:, day] > 0) & (rng.random(VOCABULARY) < spread)
        people[taken_up, day] += rng.geometric(0.5, int(taken_up.sum()))
        for (term, when), count in (bursts or {}).items():
            if when == day:
                people[term, day] += count
        people[:, day] = np.minimum(people[:, day], active[day])
    return people, active


def history(people: Floats, active: Floats, day: int) -> History:
    """Up to this day, as the nightly job has it."""
    first = max(day - DAYS - 6, 0)
    kept = slice(first, day + 1)
    term, when = np.nonzero(people[:, kept])
    days = range(first, day + 1)
    columns = (
        "",
        [*(when + first).tolist(), *days],
        [*map(str, term.tolist()), *("" for _ in days)],
        [1] * (len(term) + len(days)),
        [*people[:, kept][term, when].astype(int).tolist(), *active[kept].astype(int).tolist()],
    )
    made = histories([columns], first, len(days), lambda scope: 5000)[""]
    assert made.active.tolist() == active[kept].tolist()
    return made


def alarms(people: Floats, active: Floats, days: range) -> set[tuple[int, int]]:
    """(term, day) of all that is said to rise on a day."""
    found = set()
    for day in days:
        known = history(people, active, day)
        now = known.people[:, -1]
        sure = surely(now, known.rise_of_day())
        found |= {(int(known.terms[number]), day) for number in np.flatnonzero(sure)}
    return found


@cache
def quiet() -> tuple[Floats, Floats]:
    return world(1, 35 + QUIET_DAYS)


def test_thirty_quiet_days_raise_no_alarm() -> None:
    found = alarms(*quiet(), range(35, 35 + QUIET_DAYS))
    print(f"bursts: {len(found)} false alarms on {QUIET_DAYS} quiet days")
    assert len(found) <= 1


def test_thirty_days_of_talk_that_spreads_raise_hardly_one() -> None:
    found = alarms(*world(2, 35 + QUIET_DAYS, spread=0.03), range(35, 35 + QUIET_DAYS))
    print(f"bursts: {len(found)} false alarms on {QUIET_DAYS} days of contagious talk")
    assert len(found) <= 3


def test_planted_bursts_are_found_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    seldom = np.argsort(quiet()[0].sum(axis=1))[: VOCABULARY * 4 // 5]
    for size, least in ((6, 0.5), (9, 0.8)):
        planted = {(int(rng.choice(seldom)), 35 + day): size for day in range(0, QUIET_DAYS, 2)}
        people, active = world(1, 35 + QUIET_DAYS, bursts=planted)
        found = alarms(people, active, range(35, 35 + QUIET_DAYS))
        hits = len(found & set(planted))
        precision, recall = hits / max(len(found), 1), hits / len(planted)
        print(f"bursts of {size} people: precision {precision:.2f}, recall {recall:.2f}")
        assert precision >= 0.9
        assert recall >= least


def test_a_week_that_rises_a_little_every_day_is_found_in_the_week() -> None:
    people, active = quiet()
    people = people.copy()
    term = int(np.argsort(people.sum(axis=1))[VOCABULARY // 2])
    people[term, 35:42] += 3
    known = history(people, active, 41)
    rise = known.rise_of_week()
    weekly = known.people[:, -7:].sum(axis=1)
    assert [known.terms[n] for n in np.flatnonzero(surely(weekly, rise))] == [str(term)]


def one(people: float, before: Floats, active: float = 30.0, tests: int = 100) -> float:
    """q of one term among others that are quiet."""
    rest = np.zeros((50, before.shape[0]))
    rest[:, ::9] = 1
    everything = np.vstack([before[None, :], rest])
    was = np.full(before.shape[0], 30.0)
    now = np.r_[people, np.zeros(50)]
    return float(rising(now, active, everything, was, tests=tests).q[0])


def test_a_busy_day_raises_nothing_by_itself() -> None:
    before = np.full(28, 5.0)
    assert one(20, before, active=30) < 0.01
    assert one(20, before, active=90) > 0.5


def test_what_belongs_to_a_weekday_is_no_news_on_it() -> None:
    before = np.zeros((40, 28))
    before[:, ::5] = 1
    before[0] = 2
    before[0, [0, 7, 14, 21]] = 11
    weekday = (28 - np.arange(28)) % 7 == 0
    now, active = np.r_[12.0, np.ones(39)], np.full(28, 30.0)
    on = rising(now, 30, before, active, tests=500, weekday=weekday)
    off = rising(now, 30, before, active, tests=500, weekday=np.roll(weekday, 1))
    assert not surely(now, on)[0]
    assert on.p[0] > 3 * off.p[0]


def test_what_always_comes_in_waves_is_no_news_when_it_comes() -> None:
    waves = np.tile([12.0, 0, 0, 1], 7)
    assert one(13, waves) > 0.05
    assert one(13, np.full(28, waves.mean())) < 0.05


def test_two_people_are_no_burst_and_neither_is_a_young_history() -> None:
    assert one(2, np.zeros(28)) == 1.0
    assert one(9, np.zeros(28)) < 0.01
    young = np.zeros((3, 28))
    active = np.r_[np.zeros(20), np.full(8, 30.0)]
    assert rising(np.full(3, 20.0), 30, young, active, tests=3).q.tolist() == [1, 1, 1]
    assert rising(np.full(3, 20.0), 0, young, np.full(28, 9.0), tests=3).q.tolist() == [1, 1, 1]


def test_what_was_cut_off_for_room_counts_as_half_of_the_mark() -> None:
    before, active = np.zeros((20, 28)), np.full(28, 500.0)
    now = np.r_[9.0, np.zeros(19)]
    all_kept = rising(now, 500, before, active, tests=100)
    cut = rising(now, 500, before, active, tests=100, floor=np.full(28, 4.0))
    assert cut.expected[0] > 1.9 > all_kept.expected[0]
    assert cut.q[0] > all_kept.q[0]


def test_the_interval_holds_the_factor_and_new_terms_have_none() -> None:
    before = np.vstack([np.full(28, 2.0), np.zeros(28)])
    rise = rising(np.array([8.0, 8.0]), 30, before, np.full(28, 30.0), tests=2)
    assert rise.low[0] < rise.factor[0] < rise.high[0]
    assert 3.5 < rise.factor[0] < 4.1
    assert np.isnan(rise.factor[1])
    assert rise.q[1] < 0.01


def test_more_tests_make_each_less_sure() -> None:
    p = np.array([0.001, 0.04, 0.2])
    assert adjusted(p, 3).round(4).tolist() == [0.003, 0.06, 0.2]
    assert adjusted(p, 300).round(4).tolist() == [0.3, 1.0, 1.0]
    assert adjusted(np.zeros(0), 5).tolist() == []
    rise = rising(np.array([9.0]), 30, np.zeros((1, 28)), np.full(28, 30.0), tests=1)
    alone, crowd = rise.q[0], judged_together([rise, rise._replace(p=np.ones(1))], [1, 99])[0].q[0]
    assert crowd > 50 * alone
    assert judged_together([], []) == []


def test_weeks_are_summed_from_the_end() -> None:
    assert blocks(np.arange(9.0), 4).tolist() == [1 + 2 + 3 + 4, 5 + 6 + 7 + 8]
    assert blocks(np.ones((2, 28)), 7).tolist() == [[7.0] * 4] * 2
    assert blocks(np.ones(3), 7).tolist() == []


def test_talk_that_spreads_is_told_from_talk_that_does_not() -> None:
    calm, eager = world(4, 28), world(4, 28, spread=0.1)
    assert spreading(*calm)[0] < 0.03 < spreading(*eager)[0]
    assert scatter(*calm)[0] < 1.1
    assert scatter(np.zeros((0, 28)), np.ones(28)) == (1.0, 0.0)
