"""Sending hours: answers count where there are enough, presence where there are not."""

from __future__ import annotations

import numpy as np
import pytest

from insights import sending_hours
from insights.sending_hours import LEAST_SENDS, Sent, judged, parts, presence

FLAT = (50.0,) * 24
EVENING = tuple(200.0 if 19 <= hour <= 21 else 10.0 for hour in range(24))


def sent(
    sends: dict[int, float],
    answers: dict[int, float],
    acts: tuple[float, ...] = FLAT,
    *,
    posts: bool = False,
) -> Sent:
    return Sent(
        sends=[sends.get(hour, 0.0) for hour in range(24)],
        answers=[answers.get(hour, 0.0) for hour in range(24)],
        acts=acts,
        people=40,
        posts=posts,
    )


def test_the_hour_with_clearly_more_answers_is_best() -> None:
    found = judged(sent({9: 400, 20: 400}, {9: 20, 20: 100}))
    assert found.best[0] == 20
    assert found.note == "hours_by_answers"
    assert found.rate[20] == pytest.approx(0.25, abs=0.02)
    assert found.low[20] < 0.25 < found.high[20]


def test_three_answers_of_four_do_not_beat_hundreds_of_sends() -> None:
    found = judged(sent({3: 4, 20: 400}, {3: 3, 20: 100}, EVENING))
    assert found.best[0] == 20
    assert found.rate[3] < 0.25


def test_hours_that_are_alike_are_said_to_be() -> None:
    hours = dict.fromkeys(range(9, 22), 100.0)
    assert judged(sent(hours, dict.fromkeys(hours, 20.0))).note == "hours_alike"


def test_few_sends_leave_it_to_when_members_are_there() -> None:
    found = judged(sent({9: LEAST_SENDS - 1}, {9: 50}, EVENING))
    assert found.note == "hours_by_presence"
    assert found.best[0] == 20
    assert found.low == ()
    assert sum(found.rate) == pytest.approx(1.0)


def test_sends_that_nobody_answered_say_nothing_of_hours() -> None:
    assert judged(sent({9: 500}, {}, EVENING)).note == "hours_by_presence"


def test_nothing_is_said_where_little_was_done() -> None:
    found = judged(sent({9: 500}, {9: 100}, (1.0,) * 24))
    assert (found.best, found.note) == ((), "hours_few_acts")
    figures, charts = parts(sent({}, {}, (0.0,) * 24), 0.0, 1.0)
    assert [one.value for one in figures] == [None]
    assert charts == ()


def test_posts_count_people_a_post() -> None:
    found = judged(sent({9: 30, 20: 30}, {9: 30, 20: 180}, EVENING, posts=True))
    assert found.best[0] == 20
    assert found.rate[20] == pytest.approx(6.0, abs=0.5)
    figures, charts = parts(sent({9: 30, 20: 30}, {9: 30, 20: 180}, EVENING, posts=True), 0.0, 1.0)
    assert figures[1].unit == charts[0].unit == "count"
    assert (figures[1].numerator, figures[1].denominator) == (180.0, 30.0)


def test_presence_counts_neighbours_half() -> None:
    acts = np.zeros(24)
    acts[[19, 20, 21, 3]] = [10.0, 5.0, 10.0, 12.0]
    assert presence(acts).argmax() == 20
    assert presence(np.zeros(24)).tolist() == [1 / 24] * 24


def test_intervals_hold_the_planted_rate() -> None:
    rng = np.random.default_rng(2)
    truth = np.where((np.arange(24) > 17) & (np.arange(24) < 23), 0.3, 0.1)
    inside = []
    for _ in range(40):
        sends = rng.integers(40, 120, 24)
        answers = rng.binomial(sends, truth)
        acts = rng.poisson(400.0 * truth)
        found = judged(
            Sent(sends=sends.tolist(), answers=answers.tolist(), acts=acts.tolist(), people=9)
        )
        inside.append(np.mean((np.array(found.low) <= truth) & (truth <= np.array(found.high))))
        assert 18 <= found.best[0] <= 22
    assert np.mean(inside) > 0.9


def test_only_names_that_have_texts_are_used() -> None:
    for one in (sent({}, {}), sent({}, {}, (0.0,) * 24), sent({9: 400}, {9: 90})):
        figures, charts = parts(one, 0.0, 1.0)
        assert {figure.name for figure in figures} <= sending_hours.FIGURES
        assert {figure.note for figure in figures} <= sending_hours.NOTES
        names = {c.name for c in charts} | {s.name for c in charts for s in c.series}
        assert names <= sending_hours.CHARTS
