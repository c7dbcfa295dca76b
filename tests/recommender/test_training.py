"""A whole training: repeatable, resumable, whatever the data; and the gate before it serves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommender.dataset import Log, People, Things
from recommender.fitted import Fitted
from recommender.gate import LEAST, Verdict, gate, sound
from recommender.model import Shape
from recommender.parts import Training, factored
from recommender.scoring import Scorer, Who
from recommender.training import train, train_and_judge
from recommender.tune import of_shape
from recommender.validation import held_back, untold
from tests.recommender.world import (
    DAY,
    NOW,
    QUICK,
    TOPICS,
    Row,
    changing,
    items,
    rows,
    subtle,
    world,
)

ARRAYS = ("member_vectors", "item_vectors", "item_biases", "popular", "weights", "scale")


def same(one: Fitted, other: Fitted) -> bool:
    sparse = ("sequel", "alike", "content")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ARRAYS) and all(
        (getattr(one, n) != getattr(other, n)).nnz == 0 for n in sparse
    )


class Killed(Exception):
    """In the middle of a training."""


def killed_at(nth: int) -> Callable[[str], None]:
    heard: list[str] = []

    def told(text: str) -> None:
        heard.append(text)
        if len(heard) == nth:
            raise Killed

    return told


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return train(*world(), NOW, QUICK, seed=1)


def test_a_seed_gives_the_same_model(fitted: Fitted) -> None:
    assert same(fitted, train(*world(), NOW, QUICK, seed=1))


@pytest.mark.parametrize("nth", [2, 7])
def test_a_killed_training_leaves_the_same_model(tmp_path: Path, fitted: Fitted, nth: int) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(Killed):
        train(*world(), NOW, QUICK, mark, seed=1, told=killed_at(nth))
    heard: list[str] = []
    assert same(fitted, train(*world(), NOW, QUICK, mark, seed=1, told=heard.append))
    assert len(heard) == 2 * QUICK.shape.epochs - nth + 1 or len(heard) < 2 * QUICK.shape.epochs
    assert not list(tmp_path.iterdir())


def test_members_get_what_is_of_their_taste(fitted: Fitted) -> None:
    scorer = Scorer(fitted)
    newcomer = Who(-1, (), ("写作-1", "写作-2"), (1.0, 1.0))
    scores = scorer.scores(newcomer)
    best = [fitted.items[place] for place in np.argsort(-scores)[:5]]
    assert sum(item.startswith("写作") for item in best) >= 4


def test_what_describes_the_model_is_json(fitted: Fitted) -> None:
    data = json.loads(json.dumps(dict(fitted.data), allow_nan=False))
    assert data["until"] <= NOW
    assert data["since"] >= NOW - 60 * DAY
    assert data["report"] == {}
    assert Training.from_data(data["settings"]) == Training.from_data(fitted.data["settings"])


def test_settings_of_a_later_version_are_read_as_far_as_they_are_known() -> None:
    told = {**QUICK.to_data(), "mood": 1, "shape": {**QUICK.to_data()["shape"], "colour": 2}}
    assert Training.from_data(told) == QUICK


def test_what_is_not_yet_done_is_not_learned_from() -> None:
    log, people, things = world()
    early = train(log, people, things, NOW - 20 * DAY, QUICK, seed=1)
    assert early.data["until"] <= NOW - 20 * DAY
    assert early.data["events"] < len(log)


def strength(value: float) -> list[Row]:
    return [(m, f"i{i}", "strength", float(m + i), value) for m in range(6) for i in range(4)]


UGLY: dict[str, tuple[list[Row], People, Things]] = {
    "nothing": ([], People(), Things(())),
    "only a catalogue": ([], People((1, 2)), Things(("a", "b"))),
    "one deed": ([(1, "a", "view", 0.0, None)], People((1,)), Things(("a",))),
    "one member": ([(1, i, "view", 0.0, None) for i in "abcd"], People(), Things(())),
    "one item": ([(m, "a", "view", 0.0, None) for m in range(9)], People(), Things(("a",))),
    "weights of nothing": (strength(0.0), People(), Things(())),
    "weights that are no numbers": (strength(math.nan), People(), Things(())),
    "only dislikes": (strength(-1.0), People(), Things(())),
    "endless weights": (strength(math.inf), People(), Things(())),
    "only unknown items": (strength(1.0), People((77,)), Things(("other", "another"))),
    "prices that are none": (strength(1.0), People(), Things(("i0", "i1"), (), (), (math.nan, -1))),
    "an item twice": (
        strength(1.0),
        People(),
        Things(("i0", "i1", "i0"), (("a",), ("b",), ("a",))),
    ),
    "the same again and again": (strength(1.0) * 5, People(), Things(())),
}


@pytest.mark.parametrize("what", UGLY)
def test_ugly_data_is_reported_and_never_makes_a_score_that_is_no_number(what: str) -> None:
    deeds, people, things = UGLY[what]
    found = train(Log.of(deeds), people, things, 100.0, QUICK, seed=1)
    assert found.data["report"]
    json.dumps(dict(found.data), allow_nan=False)
    if not found.items:
        return
    assert sound(found)
    scorer = Scorer(found)
    for who in (Who(1), Who(-1), Who(1, ("tag:x",), (found.items[0],), (1.0,))):
        assert np.isfinite(scorer.scores(who)).all()


def test_nothing_that_is_held_back_is_known() -> None:
    log, _, _ = world(members=300)
    held = held_back(log, 1)
    known = set(zip(held.known.member.tolist(), held.known.item.tolist(), strict=True))
    assert held.wanted
    assert held.newcomers
    for member, wanted in held.wanted.items():
        assert not {(member, int(item)) for item in wanted} & known
        newest = max(log.at[(log.member == member) & np.isin(log.item, held.seen[member])])
        assert (log.at[(log.member == member) & np.isin(log.item, wanted)] > newest).all()
    assert not set(held.newcomers) & {member for member, _ in known}


def test_the_search_keeps_to_its_time_and_never_ends_worse() -> None:
    log, people, things = world()
    held = held_back(log.on(things.ids), 1)
    ticks = iter(range(0, 1000, 10))
    settings = replace(QUICK, tune_s=100.0)
    best, trials = of_shape(held, people, things, settings, 1, clock=lambda: float(next(ticks)))
    assert 2 <= len(trials) <= 10
    assert trials[0].shape == QUICK.shape
    chosen = next(trial for trial in trials if trial.shape == best.shape)
    assert chosen.value >= trials[0].value


def test_a_training_with_a_search_remembers_its_settings() -> None:
    found = train(*world(members=30), NOW, replace(QUICK, tune_s=0.3), seed=1)
    assert found.data["tuned"]
    shapes = [{k: v for k, v in one.items() if k != "value"} for one in found.data["tuned"]]
    assert found.data["settings"]["shape"] in shapes


# The gate

CUT = NOW - 7 * DAY


@pytest.fixture(scope="module")
def judged() -> tuple[Fitted, Log, Log, People, Things]:
    """A good model that has not seen the newest week, what it learned from, and the week."""
    log, people, things = world(members=120)
    before, week = log.before(CUT), log.since(CUT)
    return train(before, people, things, CUT, QUICK, seed=1), before, week, people, things


def test_a_model_of_shuffled_labels_is_refused(
    judged: tuple[Fitted, Log, Log, People, Things],
) -> None:
    good, before, week, people, things = judged
    nonsense = Log.of(rows(members=120, shuffled=True)).before(CUT)
    # Without features: what a topic says of a taste is not wrong in it.
    broken = train(nonsense, People(people.numbers), Things(things.ids), CUT, QUICK, seed=1)
    verdict = gate(broken, good, before, week, people, things, 1)
    assert not verdict.goes_live
    assert verdict.why == "worse_than_running"
    better = gate(good, broken, before, week, people, things, 1)
    assert better.goes_live
    assert better.why == "better"
    assert better.figures["against_running"]["low"] > 0


def test_a_model_that_is_worse_than_what_is_popular_is_refused(
    judged: tuple[Fitted, Log, Log, People, Things],
) -> None:
    good, before, week, people, things = judged
    misled = replace(
        good,
        weights=good.weights * 0 + np.array([1, 0, 0, 0, 0], np.float32),
        member_vectors=-good.member_vectors * 100,
    )
    verdict = gate(misled, None, before, week, people, things, 1)
    assert not verdict.goes_live
    assert verdict.why == "worse_than_popular"


def test_scores_that_are_no_numbers_are_refused(fitted: Fitted) -> None:
    log, people, things = world()
    hurt = replace(fitted, item_biases=fitted.item_biases * np.float32(np.nan))
    assert gate(hurt, None, log.before(CUT), log.since(CUT), people, things).why == "broken"


def test_of_shuffled_labels_features_alone_are_not_good_enough() -> None:
    """Where they tell half of a taste, such a model is better than what is popular, and broken."""
    log, people, things = subtle()
    before, week = log.before(CUT), log.since(CUT)
    good = train(before, people, things, CUT, QUICK, seed=1)
    verdict = gate(good, None, before, week, people, things, 1)
    assert (verdict.goes_live, verdict.why) == (True, "better")
    nonsense = subtle(shuffled=True)[0].before(CUT)
    broken = train(nonsense, people, things, CUT, QUICK, seed=1)
    verdict = gate(broken, None, before, week, people, things, 1)
    assert (verdict.goes_live, verdict.why) == (False, "worse_than_simple")
    assert verdict.figures["against_popular"]["high"] > 0, "popularity alone would let it pass"
    assert verdict.figures["against_item_item"]["high"] < 0


def test_a_first_model_goes_live_on_trust_where_too_few_can_be_judged(fitted: Fitted) -> None:
    log, people, things = world()
    verdict = gate(fitted, None, log, Log.of([]), people, things)
    assert (verdict.goes_live, verdict.why) == (True, "too_few")
    assert verdict.figures["n"] == 0
    assert verdict.figures["least"] == LEAST
    _, verdict = train_and_judge(log.before(CUT), people, things, NOW, QUICK, seed=1)
    assert (verdict.goes_live, verdict.why) == (True, "too_few")


@pytest.mark.parametrize(("age", "goes_live"), [(1, False), (27, False), (29, True)])
def test_where_too_few_can_be_judged_a_running_model_stays_unless_it_is_old(
    fitted: Fitted, age: int, goes_live: bool
) -> None:
    log, people, things = world()
    running = replace(fitted, data={**fitted.data, "until": NOW - age * DAY})
    _, verdict = train_and_judge(log.before(CUT), people, things, NOW, QUICK, seed=1, old=running)
    assert (verdict.goes_live, verdict.why) == (goes_live, "too_few")


def test_what_members_have_in_common_today_does_not_tell_the_week_that_is_judged() -> None:
    log, today, then, things = changing()
    settings = replace(QUICK, shape=Shape(dims=16, epochs=12))
    _, told = train_and_judge(log, today, things, NOW, settings, seed=1)
    found, verdict = train_and_judge(log, today, things, NOW, settings, seed=1, before=then)
    least = 1.3 * verdict.figures["ndcg10"]["new"]
    assert told.figures["ndcg10"]["new"] > least, "or there is nothing to leak"
    assert any(name.startswith("topic:") for name in found.member_features), "what serves has them"


def test_weights_are_not_learned_from_what_tells_what_is_held_back() -> None:
    log, today, _, things = changing()
    blind = train(log, People(today.numbers), things, NOW, QUICK, seed=1)
    assert np.array_equal(train(log, today, things, NOW, QUICK, seed=1).weights, blind.weights)
    kept = untold(People((1,), (("topic:a", "tag:a", "price:low"),)))
    assert kept == People((1,), (("tag:a",),))


LATER = NOW - 4 * DAY


@pytest.fixture(scope="module")
def running() -> Fitted:
    """A good model that has seen the first days of the newest week."""
    log, people, things = world(members=120)
    return train(log.before(LATER), people, things, LATER, QUICK, seed=1)


def test_the_running_model_is_judged_as_it_is_on_what_it_has_not_seen(running: Fitted) -> None:
    log, people, things = world(members=120)
    _, verdict = train_and_judge(log, people, things, NOW, QUICK, seed=1, old=running)
    assert verdict.goes_live
    days = verdict.figures["since_running"]
    assert days["n"] >= LEAST
    assert days["against_running"]["high"] > 0


def test_data_that_breaks_overnight_does_not_go_live(running: Fitted) -> None:
    """All that is trained today is equally broken, whatever its settings: the file is not."""
    log, people, things = world(members=120)
    # An import has lost the tags, and all that is older than nine days.
    left = (log.since(NOW - 9 * DAY), People(people.numbers), Things(things.ids))
    _, verdict = train_and_judge(*left, NOW, QUICK, seed=1, old=running)
    assert (verdict.goes_live, verdict.why) == (False, "worse_than_running")
    _, verdict = train_and_judge(*left, NOW, QUICK, seed=1)
    assert verdict.goes_live, "there is nothing better to be had"


def test_where_one_night_is_too_little_to_compare_an_earlier_model_is_asked(
    running: Fitted,
) -> None:
    """A small shop: each night looks like the one before, and the week is lost all the same."""
    log, people, things = world(members=120)
    left = (log.since(NOW - 9 * DAY), People(people.numbers), Things(things.ids))
    last_night = replace(running, data={**running.data, "until": NOW - 60})
    weeks_ago = replace(running, data={**running.data, "until": NOW - 60 * DAY})

    def judged(*earlier: Fitted) -> Verdict:
        told = train_and_judge(*left, NOW, QUICK, seed=1, old=last_night, earlier=earlier)
        return told[1]

    verdict = judged()
    assert (verdict.goes_live, verdict.figures["since_running"]["n"]) == (True, 0)
    verdict = judged(last_night, running)
    assert (verdict.goes_live, verdict.why) == (False, "worse_than_running")
    verdict = judged(weeks_ago)
    assert not verdict.goes_live, "of its days, those count that the judged one has not seen either"


def test_a_model_is_not_refused_for_knowing_a_week_less_than_the_running_one() -> None:
    """Items that came a week ago: the running model has learned them, the judged one cannot."""
    old_rows = [row for row in rows(members=120) if row[3] < CUT]
    rng = np.random.default_rng(2)
    new: list[Row] = []
    for member in range(1, 121):
        wanted = rng.permutation(8)[:6]
        for nth, number in enumerate(wanted.tolist()):
            at = (CUT if nth < 4 else LATER) + float(rng.uniform(0, 2.9 * DAY))
            new.append((member, f"新-{member % 2}{number}", "purchase", at, None))
    names = (*items(), *(f"新-{side}{number}" for side in range(2) for number in range(8)))
    people, things = People(tuple(range(1, 121))), Things(tuple(names))
    log = Log.of(old_rows + new)
    live = train(log.before(LATER), people, things, LATER, QUICK, seed=1)
    heard: list[str] = []
    _, verdict = train_and_judge(
        log, people, things, NOW, QUICK, seed=1, old=live, told=heard.append
    )
    assert verdict.goes_live
    assert verdict.figures["since_running"]["against_running"]["high"] >= 0
    assert len(heard) == 6 * QUICK.shape.epochs, "one more of the age of the running one"


def test_the_judged_model_has_not_seen_the_week_and_the_served_one_has() -> None:
    log, people, things = world(members=120)
    found, verdict = train_and_judge(log, people, things, NOW, QUICK, seed=1)
    assert verdict.goes_live
    assert verdict.figures["against_popular"]["low"] > 0
    assert found.data["until"] == log.at.max()
    assert found.data["gate"]["n"] == verdict.figures["n"]
    # The running one has seen the week. The same settings make the same model of the days before:
    # only what is popular is left to be compared with.
    _, verdict = train_and_judge(log, people, things, NOW, QUICK, seed=1, old=found)
    assert "running" not in verdict.figures["ndcg10"]


def test_a_running_model_of_other_settings_is_judged_without_the_week_too(
    fitted: Fitted,
) -> None:
    log, people, things = world()
    other = replace(QUICK, shape=Shape(dims=4, epochs=1)).to_data()
    running = replace(fitted, data={**fitted.data, "settings": other})
    _, verdict = train_and_judge(log, people, things, NOW, QUICK, seed=1, old=running)
    assert "running" in verdict.figures["ndcg10"]


def test_members_without_a_deed_are_scored_by_their_features() -> None:
    log, people, things = world()
    more = People((*people.numbers, 999), (*people.features, (f"tag:{TOPICS[0]}",)))
    found = factored(log, more, things, QUICK, 1)
    place = int(np.searchsorted(found.members, 999))
    feature = found.member_features.index(f"tag:{TOPICS[0]}")
    assert np.allclose(found.member_vectors[place], found.member_feature_vectors[feature])
    assert len(found.items) == len(items())
