"""Moods that turn: hardly ever in quiet months, mostly when a drop was planted; the report.

The months are simulated (`mood_world.py`). What is found is printed; see it with `-s`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from scipy.stats import betabinom

from insights import mood_report
from insights.anonymity import FEW, masked
from insights.mood_report import (
    CHARTS,
    FIGURES,
    LISTS,
    NOTES,
    Word,
    build,
    crowds,
    day_of,
    first_second,
)
from insights.moods import (
    EXAMPLES,
    GROUP_LEAST,
    Past,
    angry,
    baseline,
    dropped,
    past,
    tail,
    turned,
)
from insights.report import Report, from_json, to_json
from store.readings import MoodDay, MoodOf
from tests.insights.mood_world import Planted, Said, World

NOW = 1_795_228_200.0
TODAY = day_of(NOW)


def said(
    number: int, label: int, *, member: int = 0, at: float = 0.0, terms: tuple[str, ...] = ()
) -> Said:
    return Said("t", number, "qun:1", member or number % 20, at or NOW + number, label, 0.9, terms)


def messages(labels: Sequence[int], **fields: object) -> list[Said]:
    return [said(number, label, **fields) for number, label in enumerate(labels)]  # type: ignore[arg-type]


USUAL = Past(10.0, 90.0, 28, 60.0)
"""One in ten is negative, and days differ little."""


# What is usual


@pytest.mark.parametrize(
    ("k", "n", "a", "b"), [(1, 1, 1, 1), (5, 10, 2, 18), (30, 100, 10, 90), (999, 1000, 0.5, 3)]
)
def test_the_tail_is_that_of_the_beta_binomial(k: int, n: int, a: float, b: float) -> None:
    assert tail(k, n, a, b) == pytest.approx(betabinom.sf(k - 1, n, a, b), rel=1e-6)


def test_the_tail_at_its_ends() -> None:
    assert tail(0, 10, 1, 9) == 1.0
    assert tail(11, 10, 1, 9) == 0.0
    assert 0.0 < tail(5000, 5000, 10, 90) < 1e-9


def test_nothing_is_usual_where_nothing_was_said() -> None:
    assert past([]) is None
    assert past([(0, 0)]) is None
    assert baseline(1, {}, {}).places == {}


def test_days_that_differ_make_a_wider_past() -> None:
    even = past([(50, 5)] * 28)
    uneven = past([(50, 0), (50, 10)] * 14)
    assert even is not None
    assert uneven is not None
    assert even.share == pytest.approx(uneven.share)
    assert tail(15, 50, even.a, even.b) < tail(15, 50, uneven.a, uneven.b) / 3


def test_few_days_are_trusted_less_than_many() -> None:
    few, many = past([(50, 5)] * 7), past([(50, 5)] * 28)
    assert few is not None
    assert many is not None
    assert tail(15, 50, few.a, few.b) > tail(15, 50, many.a, many.b)


def test_a_place_and_a_term_that_are_little_known_have_no_past() -> None:
    known = baseline(
        9, {"a": [(9, 1)] * 6, "b": [(9, 1)] * 7}, {"x": [(9, 1)] * 3, "y": [(9, 1)] * 4}
    )
    assert set(known.places) == {"b"}
    assert set(known.terms) == {"y"}


# Turns


def test_a_group_is_judged_only_when_enough_was_said() -> None:
    few = messages([-1] * (GROUP_LEAST - 1))
    assert dropped(few, {"qun:1": USUAL}) == []
    (turn,) = dropped(messages([-1] * GROUP_LEAST), {"qun:1": USUAL})
    assert (turn.n, turn.negative, turn.people) == (GROUP_LEAST, GROUP_LEAST, 20)
    assert turn.usual == pytest.approx(0.1)
    assert len(turn.rows) == EXAMPLES
    assert dropped(messages([-1] * 50), {}) == [], "nothing is usual there yet"


def test_what_was_found_stays_found_as_the_day_goes_on() -> None:
    bad, good = messages([-1, 0] * 30), messages([0] * 300)
    (first,) = dropped(bad, {"qun:1": USUAL})
    later = [*bad, *(one._replace(row_id=100 + one.row_id, at=one.at + 60) for one in good)]
    assert dropped(later, {"qun:1": USUAL}) == [first]


def test_one_member_alone_is_no_mood_of_a_group() -> None:
    one = [said(n, -1 if n % 2 else 0, member=7 if n % 2 else n) for n in range(60)]
    assert dropped(one, {"qun:1": USUAL}) == []


def test_an_angry_member_is_one_who_never_was() -> None:
    rant = [said(n, -1, member=7, at=NOW + 60 * n) for n in range(8)]
    (turn,) = angry(rant, {7: (100, 8)}, 0.1)
    assert (turn.member_id, turn.place, turn.people) == (7, "qun:1", 1)
    assert turn.n <= 8
    assert angry(rant, {7: (100, 60)}, 0.1) == [], "who always grumbles"
    slow = [one._replace(at=NOW + 3600 * n) for n, one in enumerate(rant)]
    assert angry(slow, {7: (100, 8)}, 0.1) == [], "over a day"
    assert angry(rant[:3], {7: (100, 0)}, 0.1) == [], "three words"


def test_a_topic_turns_against_its_own_past() -> None:
    bad = messages([-1, -1, 0] * 7, terms=("退款", "客服"))
    others = messages([0] * 30, terms=("直播",))
    pasts = {"退款": USUAL, "客服": USUAL, "直播": USUAL}
    (turn,) = turned([*bad, *others], pasts)
    assert turn.topic in ("退款", "客服"), "both stand in the same messages: one is told"
    assert turn.place == "qun:1"
    assert turned(bad, {"退款": Past(60, 40, 28, 10.0), "客服": Past(60, 40, 28, 10.0)}) == []
    assert turned(bad, {}) == []
    alone = [one._replace(member_id=7) for one in bad]
    assert turned(alone, pasts) == [], "one member"


def test_quiet_months_raise_hardly_any_alarm() -> None:
    """Three groups of 30, 60 and 100 members, 30 days after 28 to learn from, all kinds."""
    for seed, rate in ((1, 1.2), (2, 3.0)):
        world = World(seed, rate=rate)
        world.live(0, 58)
        found = [turn for day in range(28, 58) for turn in world.looked_at(day)]
        print(f"seed {seed}: {len(found)} false alarms in 30 days")
        assert len(found) <= 1


TAKES = 12


def test_planted_drops_are_found() -> None:
    world = World(3)
    world.live(0, 28)
    for name, least, planted in (
        ("a group's day, 13 % to 40 % negative", 0.8, Planted(28, 2.0, place="qun:3")),
        ("a group's day, 13 % to 30 % negative", 0.3, Planted(28, 1.4, place="qun:3")),
        ("a topic, most of it negative", 0.8, Planted(28, 4.0, topic="词2")),
        ("a member, 12 angry messages in half an hour", 0.7, Planted(28, member_id=3007, rant=12)),
        ("a member, 8 angry messages in half an hour", 0.3, Planted(28, member_id=3007, rant=8)),
    ):
        found = 0
        for take in range(TAKES):
            world.live(28, 29, [planted], take)
            found += any(
                (turn.member_id, turn.topic) == (planted.member_id, planted.topic)
                and (not planted.place or turn.place == planted.place)
                for turn in world.looked_at(28)
            )
        print(f"{name}: {found} of {TAKES} found")
        assert found >= least * TAKES


# The report


def days(
    *rows: tuple[int, int, int, int, int], place: str = "qun:1", people: int = 20
) -> list[MoodDay]:
    return [MoodDay._make((place, TODAY - ago, *counts, people)) for ago, *counts in rows]


def built(
    of: Sequence[MoodDay],
    people: Sequence[MoodOf],
    words: Sequence[Word],
    titles: dict[str, str],
    now: float,
    *,
    scope: str = "",
    before: Sequence[MoodOf] = (),
) -> Report:
    """The report when whoever wrote in the week wrote every day, and only they."""
    members = {one.day: one.people for one in of}
    shown = [one for one in of if not scope or one.place == scope]
    theirs = [one for one in people if not scope or one.place == scope]
    who = crowds(people, before or people, people, members)
    return build(shown, theirs, words, titles, now, who, scope=scope)


def test_shares_stand_on_judged_messages_and_say_how_many_were_not() -> None:
    of = days((0, 10, 60, 30, 20), (8, 5, 90, 5, 0))
    people = [MoodOf("qun:1", n, 1, 6, 3, 2) for n in range(10)]
    found = built(of, people, [], {"qun:1": "学习群"}, NOW)
    figures = {one.name: one for one in found.figures}
    negative = figures["mood_negative"]
    assert (negative.value, negative.n, negative.people) == (0.1, 100, 10)
    assert (negative.numerator, negative.denominator, negative.before) == (10.0, 100.0, 0.05)
    assert negative.low is not None
    assert negative.high is not None
    assert negative.low < 0.1 < negative.high
    assert figures["mood_unsure"].value == pytest.approx(20 / 120)
    assert figures["mood_messages"].value == 120.0
    assert figures["mood_positive_today"].value == 0.3
    assert found.note == ""
    assert from_json(to_json(found)) == found


def test_members_not_messages_make_an_interval_narrow() -> None:
    many = mood_report.worth([(10, 2), (10, 0)] * 20)
    few = mood_report.worth([(100, 20), (100, 0)] * 2)
    assert many > few
    assert mood_report.worth([(50, 50)]) == 1.0
    assert mood_report.worth([(5, 0)] * 8) == 8.0, "all alike: members count"
    assert mood_report.worth([]) == 0.0
    low, high = mood_report.interval(0, 40, 8.0)
    assert low is not None
    assert high is not None
    assert math.isclose(low, 0.0, abs_tol=1e-12)
    assert high > 0.3
    assert mood_report.interval(0, 0, 0.0) == (None, None)


def test_nothing_and_little_are_said_to_be_that() -> None:
    empty = built([], [], [], {}, NOW)
    assert empty.note == "mood_none"
    assert {one.value for one in empty.figures} == {None, 0.0}
    assert empty.charts[0].series[0].values == (None,) * mood_report.TREND
    few = built(days((0, 1, 2, 0, 0)), [MoodOf("qun:1", 1, 1, 2, 0, 0)], [], {}, NOW)
    assert few.note == "mood_few"


def test_groups_and_topics_that_are_surely_negative_come_first() -> None:
    of = [*days((0, 3, 0, 0, 0)), *days((0, 40, 50, 10, 0), place="qun:2")]
    people = [MoodOf("qun:1", 1, 3, 0, 0, 0)]
    people += [MoodOf("qun:2", n, 2, 3, 0, 0) for n in range(2, 22)]
    words = [Word("退款", 60, 30, 29), Word("作业", 10, 6, 5), Word("直播", 9, 9, 1)]
    found = built(of, people, words, {"qun:2": "二群", "qun:1": "一群"}, NOW)
    groups, topics = found.lists
    assert [row.label for row in groups.rows] == ["二群", "一群"]
    assert [row.label for row in topics.rows] == ["退款", "作业"]


def test_a_topic_that_few_complain_of_often_is_not_surer_than_one_that_many_do() -> None:
    words = [Word("退款", 60, 30, 30), Word("作业", 60, 36, 4)]
    (*_, topics) = built(days((0, 66, 54, 0, 0)), [], words, {}, NOW).lists
    assert [row.label for row in topics.rows] == ["退款", "作业"]


def test_of_one_group_the_list_of_groups_is_left_out() -> None:
    found = built(days((0, 10, 60, 30, 0)), [], [], {}, NOW, scope="qun:1")
    assert (found.scope, found.lists) == ("qun:1", ())


def test_the_chart_has_28_days_and_gaps_where_nothing_was_said() -> None:
    found = built(days((0, 5, 5, 0, 0), (27, 1, 9, 0, 0)), [], [], {}, NOW)
    (chart,) = found.charts
    negative = chart.series[0]
    assert len(chart.labels) == 28
    assert chart.labels[-1] == "11-21"
    assert (negative.values[0], negative.values[1], negative.values[-1]) == (0.1, None, 0.5)


def wrote(place: str, members: range, negative: int = 1, positive: int = 1) -> list[MoodOf]:
    return [MoodOf(place, n, negative, 0, positive, 0) for n in members]


def test_one_loud_member_is_not_shown_by_the_day_either() -> None:
    of = days(*((ago, 20, 5, 5, 0) for ago in range(20)), people=1)
    seen = masked(built(of, wrote("qun:1", range(1), 140, 70), [], {}, NOW), 10, owner=False)
    assert {one.value for one in seen.figures} == {None}
    assert {one.note for one in seen.figures} == {FEW}
    for series in seen.charts[0].series:
        assert {*series.values, *series.low, *series.high} == {None}


def test_a_day_of_few_is_left_out_of_a_chart_of_many() -> None:
    of = [*days((3, 20, 20, 20, 0), people=40), *days((0, 20, 5, 5, 0), people=2)]
    people = wrote("qun:1", range(40))
    (chart,) = masked(built(of, people, [], {}, NOW), 10, owner=False).charts
    assert chart.series[0].values[-4] == pytest.approx(1 / 3)
    assert chart.series[0].values[-1] is None


def test_a_week_before_of_few_is_not_held_against_this_one() -> None:
    of = days((0, 40, 40, 20, 0), (8, 9, 1, 0, 0))
    people, before = wrote("qun:1", range(40)), wrote("qun:1", range(2))
    made = built(of, people, [], {}, NOW, before=before)
    assert made.figures[0].before == 0.9
    seen = masked(made, 10, owner=False)
    assert [one.before for one in seen.figures] == [None] * len(seen.figures)
    assert seen.figures[0].value == 0.4


def test_a_group_hidden_to_protect_a_smaller_one_is_hidden_in_its_own_report_too() -> None:
    people = [*wrote("a", range(5)), *wrote("b", range(5, 17)), *wrote("c", range(20, 60))]
    of = [day for place in "abc" for day in days((0, 40, 40, 20, 0), place=place)]
    titles = {place: place for place in "abc"}

    def open_(scope: str) -> bool:
        seen = masked(built(of, people, [], titles, NOW, scope=scope), 10, owner=False)
        values = {one.value is not None for one in seen.figures}
        values |= {one is not None for one in seen.charts[0].series[0].values if one}
        assert len(values) == 1, "all of it or nothing"
        return values.pop()

    assert [open_(place) for place in ("", "a", "b", "c")] == [True, False, False, True]
    (groups,) = masked(built(of, people, [], titles, NOW), 10, owner=False).lists
    assert [row.label for row in groups.rows if row.figures[0].value is not None] == ["c"]


def test_the_same_few_members_of_two_groups_count_once() -> None:
    people = [*wrote("a", range(6)), *wrote("b", range(6)), *wrote("c", range(20, 60))]
    who = crowds(people, people, people, {})
    assert [who.week[place].beside for place in "abc"] == [0, 6, 6]
    assert who.week[None].people == 46


def test_every_name_is_declared() -> None:
    words = [Word("退款", 60, 30, 9)]
    found = built(days((0, 10, 10, 10, 1)), [], words, {}, NOW)
    assert {one.name for one in found.figures} <= FIGURES
    assert {one.name for one in found.lists} <= LISTS
    assert {one.name for one in found.charts} <= CHARTS
    assert {"mood_none", "mood_few"} == NOTES


def test_a_day_begins_at_midnight_in_shanghai() -> None:
    assert day_of(first_second(TODAY)) == TODAY
    assert day_of(first_second(TODAY) - 0.001) == TODAY - 1
