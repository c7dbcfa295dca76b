"""Who gathers, what they are called, and what became of yesterday's communities."""

from __future__ import annotations

import numpy as np

from insights.communities import LEAST, gather, named, typical_terms
from insights.community_history import New, track
from insights.graphs import Floats, Ints


def talk(*circles: range, seed: int = 1) -> tuple[Ints, Ints, Floats]:
    """Everybody turns to most of their circle, and now and then to somebody else."""
    rng = np.random.default_rng(seed)
    everybody = [one for circle in circles for one in circle]
    rows = [
        (one, other, 2.0)
        for circle in circles
        for one in circle
        for other in circle
        if one != other and rng.random() < 0.5
    ]
    rows += [(one, int(rng.choice(everybody)), 0.5) for one in everybody[::4]]
    start, end, weight = zip(*rows, strict=True)
    return np.array(start), np.array(end), np.array(weight)


# Who gathers


def test_circles_are_found_by_the_numbers_of_their_members() -> None:
    found = gather(*talk(range(100, 115), range(500, 520)))
    assert set(found.groups) == {frozenset(range(100, 115)), frozenset(range(500, 520))}
    assert found.groups[0] == frozenset(range(500, 520))
    assert [found.labels[list(found.ids).index(one)] for one in (100, 500)] == [1, 0]


def test_one_circle_is_no_community_of_its_own() -> None:
    assert gather(*talk(range(20))).groups == ()


def test_nobody_talks() -> None:
    none = np.empty(0, np.int64)
    found = gather(none, none, np.empty(0))
    assert found.groups == ()
    assert found.closeness.degree == 0.0


def test_what_faded_does_not_hold_together() -> None:
    start, end, weight = talk(range(10), range(20, 30))
    assert gather(start, end, weight * 1e-4).ids.size == 0


def test_a_few_beside_are_left_out() -> None:
    start, end, weight = talk(range(10), range(20, 30))
    few = np.arange(90, 90 + LEAST - 1)
    found = gather(
        np.concatenate([start, few[:-1]]),
        np.concatenate([end, few[1:]]),
        np.concatenate([weight, np.ones(few.size - 1)]),
    )
    assert len(found.groups) == 2
    assert found.labels[-1] == -1


# What they are called


def test_words_that_they_use_more_than_others_name_them() -> None:
    circles = [range(10), range(10, 20)]
    spoken = [(one, "课程 摄影") for one in range(10)]
    spoken += [(one, "课程 英语") for one in range(10, 20)]
    terms = typical_terms(circles, spoken)
    assert [[one.term for one in rows] for rows in terms] == [["摄影"], ["英语"]]
    assert named(terms, [None, None]) == [("摄影", ("摄影",)), ("英语", ("英语",))]


def test_what_one_repeats_names_nobody() -> None:
    spoken = [(1, "刷屏")] * 500 + [(one, "课程") for one in range(20)]
    assert typical_terms([range(10), range(10, 20)], spoken) == [[], []]


def test_nobody_said_anything() -> None:
    terms = typical_terms([range(5), range(5, 9)], [])
    assert [name for name, _ in named(terms, [None, None])] == ["圈子 1", "圈子 2"]


def test_a_name_stays_while_its_words_are_theirs() -> None:
    circles = [range(10), range(10, 20)]
    spoken = [(one, "摄影 构图 镜头") for one in range(10)]
    spoken += [(one, "英语 口语") for one in range(10, 20)]
    terms = typical_terms(circles, spoken)
    names = named(terms, ["镜头·滤镜", "羽毛球"])
    assert names[0][0] == "镜头·滤镜"
    assert names[1][0] in ("口语·英语", "英语·口语")


def test_a_number_stays_taken() -> None:
    assert named([[], [], []], ["圈子 2", None, None]) == [
        ("圈子 2", ()),
        ("圈子 1", ()),
        ("圈子 3", ()),
    ]


# What became of them


def members(*numbers: range) -> frozenset[int]:
    return frozenset(one for some in numbers for one in some)


def test_the_same_stay_the_same_when_some_come_and_go() -> None:
    tracked = track(
        {7: members(range(10)), 9: members(range(20, 30))},
        [members(range(22, 33)), members(range(2, 12))],
    )
    assert tracked.new == [New(9, "", ()), New(7, "", ())]
    assert tracked.ended == {}


def test_the_larger_part_goes_on_and_the_smaller_is_split_off() -> None:
    tracked = track({7: members(range(30))}, [members(range(20)), members(range(20, 30))])
    assert tracked.new == [New(7, "", ()), New(None, "split", (7,))]


def test_the_larger_goes_on_and_the_smaller_is_merged_into_it() -> None:
    tracked = track({7: members(range(20)), 8: members(range(20, 30))}, [members(range(30))])
    assert tracked.new == [New(7, "", ())]
    assert tracked.ended == {8: "merged"}


def test_many_small_ones_become_a_new_one() -> None:
    old = {number: members(range(10 * number, 10 * number + 10)) for number in range(4)}
    tracked = track(old, [members(range(40))])
    assert tracked.new == [New(None, "merged", (0, 1, 2, 3))]
    assert set(tracked.ended.values()) == {"merged"}


def test_one_falls_apart() -> None:
    parts = [members(range(10 * one, 10 * one + 10)) for one in range(4)]
    tracked = track({1: members(range(40))}, parts)
    assert tracked.ended == {1: "split"}
    assert {one.origin for one in tracked.new} == {"split"}


def test_one_fades_and_another_is_born() -> None:
    tracked = track({1: members(range(10))}, [members(range(50, 60))])
    assert tracked.ended == {1: "faded"}
    assert tracked.new == [New(None, "born", ())]


def test_one_with_nobody_left_has_faded() -> None:
    assert track({1: frozenset()}, []).ended == {1: "faded"}


def test_the_first_night() -> None:
    assert track({}, [members(range(5))]).new == [New(None, "born", ())]
