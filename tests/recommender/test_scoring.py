"""Scores of one member: the formula, strangers, new items, and nothing that is no number."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.batch import Batch, lists, pack, unpack
from recommender.fitted import PARTS, Fitted, band_of
from recommender.scoring import Scorer, Who
from recommender.why import Share, Why
from tests.recommender.arrays import fitted

MODEL = fitted()
STRANGER = 1
KINDS = {"past", "community", "tag", "author", "series", "level", "popular"}


def who_of(member: int, past: int, seed: int = 0) -> Who:
    rng = np.random.default_rng(seed)
    items = rng.choice(len(MODEL.items), past, replace=False)
    names = tuple(rng.choice(MODEL.member_features, 3, replace=False))
    return Who(
        member,
        names,
        tuple(MODEL.items[at] for at in items),
        tuple(float(value) for value in rng.uniform(-0.5, 1.0, past)),
    )


def by_hand(model: Fitted, who: Who, item: int, vector: Any) -> float:
    """The formula of `recommender/fitted.py`, word by word."""
    past = [(model.items.index(one), value) for one, value in zip(who.items, who.values)]  # noqa: B905
    segment = next((s for s in model.segments[1:] if s in who.features), "")
    parts = {
        "lightfm": vector @ model.item_vectors[item] + model.item_biases[item],
        "popular": model.popular[model.segments.index(segment), item],
        "sequel": sum(value * model.sequel[at, item] for at, value in past),
        "alike": sum(value * model.alike[at, item] for at, value in past),
        "content": sum(value * model.content[at, item] for at, value in past),
    }
    band = band_of(sum(value > 0 for _, value in past))
    return float(
        sum(model.weights[band, c] * parts[name] / model.scale[c] for c, name in enumerate(PARTS))
    )


def test_a_known_member_is_scored_by_the_formula() -> None:
    for seed, past in enumerate((0, 1, 3, 9, 20)):
        who = who_of(3 * (seed + 1), past, seed)
        found = Scorer(MODEL).scores(who)
        vector = MODEL.member_vectors[seed].astype(np.float64)
        expected = [by_hand(MODEL, who, item, vector) for item in range(len(MODEL.items))]
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_stranger_is_scored_by_their_features() -> None:
    who = Who(STRANGER, ("tag:写作", "community:1", "nobody has this"))
    vector = MODEL.member_feature_vectors[[0, 2]].sum(axis=0) / 2
    expected = [by_hand(MODEL, who, item, vector) for item in range(len(MODEL.items))]
    assert Scorer(MODEL).scores(who) == pytest.approx(expected, abs=1e-4)


def test_the_first_thing_a_stranger_does_moves_their_list() -> None:
    scorer = Scorer(MODEL)
    before = scorer.vector(Who(STRANGER))
    after = scorer.vector(Who(STRANGER, (), ("i-4",), (1.0,)))
    assert not before.any()
    assert after @ MODEL.item_vectors[4] > 0
    refused = scorer.vector(Who(STRANGER, (), ("i-4",), (-1.0,)))
    assert not refused.any()


def test_somebody_of_whom_nothing_is_known_sees_what_is_popular() -> None:
    scorer = Scorer(MODEL)
    found = scorer.scores(Who(STRANGER))
    share = MODEL.weights[0] / MODEL.scale
    expected = share[0] * MODEL.item_biases + share[PARTS.index("popular")] * MODEL.popular[0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_new_item_is_scored_from_its_features() -> None:
    shelf = [("i-3", ()), ("new", ("tag:写作", "author:王老师", "word:unheard")), ("bare", ())]
    scorer = Scorer(MODEL, shelf)
    who = who_of(6, 4)
    found = scorer.scores(who)
    assert found[0] == pytest.approx(Scorer(MODEL).scores(who)[3], abs=1e-5)
    vector = MODEL.item_feature_vectors[[0, 2]].sum(axis=0) / 2
    bias = MODEL.item_feature_biases[[0, 2]].sum() / 2
    share = scorer.weights[scorer.band(who)][0]
    assert found[1] == pytest.approx(share * (MODEL.member_vectors[1] @ vector + bias), abs=1e-4)
    assert found[2] == 0.0


def test_what_is_not_on_the_shelf_still_speaks_for_what_is() -> None:
    who = Who(STRANGER, (), ("i-7",), (1.0,))
    whole = Scorer(MODEL).scores(who)
    shelf = [(item, ()) for item in reversed(MODEL.items) if item != "i-7"]
    scorer = Scorer(MODEL, shelf)
    found = scorer.scores(who)
    for item, at in scorer.place.items():
        assert found[at] == pytest.approx(whole[MODEL.items.index(item)], abs=1e-5)


@pytest.mark.parametrize("ranker", ["popular", "item_item", "lightfm"])
def test_a_sole_ranker_is_one_part(ranker: str) -> None:
    who = who_of(3, 5)
    found = Scorer(MODEL).scores(who, ranker)  # type: ignore[arg-type]
    part = {"popular": "popular", "item_item": "alike", "lightfm": "lightfm"}[ranker]
    only = np.zeros_like(MODEL.weights)
    only[:, PARTS.index(part)] = 1.0
    alone = dataclasses.replace(MODEL, weights=only, scale=np.ones(len(PARTS), np.float32))
    assert found == pytest.approx(Scorer(alone).scores(who), abs=1e-5)


def test_nothing_is_ever_no_number() -> None:
    huge = dataclasses.replace(
        MODEL, item_vectors=np.full_like(MODEL.item_vectors, np.float32(3e38))
    )
    who = Who(3, (), ("i-1", "never heard of"), (float("nan"), 1.0))
    assert np.isfinite(Scorer(huge).scores(who)).all()
    assert np.isfinite(Batch(Scorer(huge)).scores([who])).all()
    empty = fitted(members=0, items=0)
    assert len(Scorer(empty).scores(who)) == 0


def test_an_item_goes_best_with_itself() -> None:
    scorer = Scorer(MODEL)
    near = scorer.near("i-5")
    alone = dataclasses.replace(MODEL, sequel=MODEL.sequel * 0, alike=MODEL.alike * 0)
    assert Scorer(dataclasses.replace(alone, content=MODEL.content * 0)).near("i-5").argmax() == 5
    beside = MODEL.alike[5].toarray()[0].argmax()
    assert near[beside] > np.median(near)
    assert not scorer.near("nobody knows it").any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 25), st.integers(1, 60), st.booleans())
def test_contributions_sum_to_the_score(seed: int, past: int, member: int, fresh: bool) -> None:
    model = fitted(seed)
    shelf = [("new", ("tag:写作", "series:写作营")), *((item, ()) for item in model.items)]
    scorer = Scorer(model, shelf if fresh else None)
    who = who_of(member, past, seed)
    scores, why = scorer.scores(who), Why(scorer, who)
    for at in (0, seed % len(scorer.ids)):
        summed = sum(one.value for one in why.contributions(at))
        assert summed == pytest.approx(float(scorer.parts(who, at).sum()), abs=1e-5)
        assert abs(summed - float(scores[at])) <= 1e-5 * max(1.0, abs(summed))
        told = why.shares(at)
        assert sum(share.share for share in told) <= 1 + 1e-9
        assert list(told) == sorted(told, key=lambda share: -share.share)


def test_a_reason_names_no_member_and_no_tag_of_the_operators() -> None:
    model = fitted(3)
    scorer = Scorer(model)
    who = Who(STRANGER, ("community:1", "tag:运营", "state:core"), ("i-2",), (1.0,))
    for at, item in enumerate(model.items):
        row = model.features_of_items[at]
        has = {model.item_features[place] for place in row.indices}
        for share in Why(scorer, who).shares(at):
            assert share.kind in {
                "past",
                "community",
                "tag",
                "author",
                "series",
                "level",
                "popular",
            }
            if share.kind == "tag":
                assert f"tag:{share.name}" in has, item
            if share.kind in ("community", "popular"):
                assert share.name == ""
            if share.kind == "past":
                assert share.name == "i-2"


def test_what_somebody_did_is_the_reason_for_what_goes_with_it() -> None:
    only = np.zeros_like(MODEL.weights)
    only[:, PARTS.index("sequel")] = 1.0
    model = dataclasses.replace(MODEL, weights=only)
    there = int(model.sequel[7].indices[0])
    assert Why(Scorer(model), Who(3, (), ("i-7",), (1.0,))).shares(there) == (
        Share("past", "i-7", 1.0),
    )


# Many at once


@pytest.mark.parametrize("fresh", [False, True])
def test_many_at_once_get_the_scores_of_one_by_one(fresh: bool) -> None:
    shelf = [("new", ("tag:写作",)), *((item, ()) for item in MODEL.items[::-2])]
    scorer = Scorer(MODEL, shelf if fresh else None)
    people = [who_of(member, member % 20, member) for member in range(25)]
    found = Batch(scorer).scores(people)
    for row, who in enumerate(people):
        assert found[row] == pytest.approx(scorer.scores(who), abs=1e-4)


def test_lists_leave_out_what_may_not_be_shown() -> None:
    scorer = Scorer(MODEL)
    people = [who_of(member, 3, member) for member in range(30)]
    allowed = np.ones(len(MODEL.items), bool)
    allowed[4] = False
    found = dict(
        lists(scorer, people, gone=lambda who: who.items, allowed=allowed, count=10, chunk=7)
    )
    assert list(found) == [who.member for who in people]
    for who in people:
        items = [item for item, _, _ in found[who.member]]
        scores = scorer.scores(who)
        mask = allowed.copy()
        mask[[scorer.place[item] for item in who.items]] = False
        best = np.where(mask, scores, -np.inf)
        expected = sorted(range(len(best)), key=lambda at: (-best[at], at))[:10]
        assert items == [MODEL.items[at] for at in expected]


def test_a_list_has_no_more_than_there_is() -> None:
    scorer = Scorer(MODEL)
    ((_, lines),) = lists(scorer, [who_of(3, 0)], count=500)
    assert len(lines) == len(MODEL.items)
    ((_, none),) = lists(scorer, [who_of(3, 0)], gone=lambda who: MODEL.items)
    assert none == []
    assert list(lists(scorer, [])) == []


def test_a_packed_list_comes_back() -> None:
    ((_, lines),) = lists(Scorer(MODEL), [who_of(3, 4)], count=4, why=2)
    back = unpack(pack(lines))
    assert [item for item, _, _ in back] == [item for item, _, _ in lines]
    assert lines[0][2]
    assert back[2][2] == ()
    assert unpack("{") == unpack("[1]") == unpack('{"a": 1}') == []
