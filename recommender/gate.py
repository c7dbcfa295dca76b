"""Whether a model may serve: it must not be worse than what runs, nor than what is popular."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender import parts
from recommender.dataset import Log, People, Things, values
from recommender.evaluate import Mean, difference, mean, measured
from recommender.fitted import Fitted
from recommender.scoring import Ranker, Scorer
from recommender.validation import least_wanted

LEAST = 20
"""Members of the week with something to find; with fewer nothing can be said."""
MOST = 5000
"""Members who are judged; more say nothing more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model may serve.

    why: "better" or "not_worse"; "too_few" goes live on trust, when the week has too few members to
    judge by; refused is "worse_than_running", "worse_than_popular" and "broken" (scores that are no
    numbers). figures: JSON: {"n", "ndcg10": {"new", "running", "popular"}, "against_running",
    "against_popular": {"value", "low", "high"}}.
    """

    goes_live: bool
    why: str
    figures: Mapping[str, Any]


def gate(
    new: Fitted,
    old: Fitted | None,
    before: Log,
    week: Log,
    people: People,
    things: Things,
    seed: int = 0,
) -> Verdict:
    """Judge by NDCG@10 on the newest week, member by member (paired bootstrap).

    new, old: models that have not seen the week; before: what was known of members then. Refused
    is what is worse with an interval that excludes 0; without `old`, popularity alone is the
    measure. Items that are gone from `things` are not judged.
    """
    if not sound(new):
        return Verdict(False, "broken", {"n": 0})
    found = values(week)
    good = found.value > 0
    least = least_wanted(found.value[good])
    good &= found.value >= least
    members = np.unique(found.member[good])
    if members.size > MOST:
        members = np.sort(np.random.default_rng(seed).choice(members, MOST, replace=False))
    wanted: dict[int, list[str]] = {}
    for member, item in zip(found.member[good].tolist(), found.item[good].tolist(), strict=True):
        wanted.setdefault(member, []).append(week.ids[item])
    judge = _Judge(before, people, things, {int(one): wanted[int(one)] for one in members})
    judged = {"new": judge.ndcgs(new, "ours"), "popular": judge.ndcgs(new, "popular")}
    if old is not None:
        judged["running"] = judge.ndcgs(old, "ours")
    both = sorted(judged["new"])
    lists = {name: [one[member] for member in both] for name, one in judged.items()}
    figures: dict[str, Any] = {
        "n": len(both),
        "ndcg10": {
            name: round(mean(one, seed).value, 5) if one else None for name, one in lists.items()
        },
    }
    if len(both) < LEAST:
        return Verdict(True, "too_few", figures)
    worse, better = "", False
    for name in ("popular", "running"):
        if name in lists:
            apart = difference(lists["new"], lists[name], seed)
            figures[f"against_{name}"] = _told(apart)
            better = better or apart.low > 0
            if apart.high < 0:
                worse = f"worse_than_{name}"
    return Verdict(not worse, worse or ("better" if better else "not_worse"), figures)


def sound(fitted: Fitted) -> bool:
    """Whether all that a score is made of are numbers."""
    arrays = (
        fitted.member_vectors,
        fitted.item_vectors,
        fitted.item_biases,
        fitted.popular,
        fitted.weights,
        fitted.scale,
        fitted.sequel.data,
        fitted.alike.data,
        fitted.content.data,
    )
    return bool(fitted.items) and all(bool(np.isfinite(array).all()) for array in arrays)


class _Judge:
    """The same members and the same shelf for every ranker."""

    def __init__(
        self, before: Log, people: People, things: Things, wanted: Mapping[int, list[str]]
    ) -> None:
        self._before, self._wanted = before, wanted
        self._features = dict(zip(people.numbers, people.features, strict=False))
        about = dict(zip(things.ids, things.features, strict=False))
        self._shelf = [(item, about.get(item, ())) for item in dict.fromkeys(things.ids)]

    def ndcgs(self, fitted: Fitted, ranker: Ranker) -> dict[int, float]:
        """NDCG@10 of each who found something that could have been shown and was new to them."""
        scorer = Scorer(fitted, self._shelf or None)
        half_life_s = float(fitted.data.get("half_life_s", 0.0))
        past = parts.pasts(
            self._before, fitted.items, half_life_s, float(fitted.data.get("half_rank", 0.0))
        )
        seen = parts.pasts(self._before, scorer.ids, 0.0, 0.0)
        found = {}
        for member, items in self._wanted.items():
            who = parts.who(fitted, member, self._features.get(member, ()), *past.of(member))
            allowed = np.ones(len(scorer.ids), np.bool_)
            allowed[seen.of(member)[0]] = False
            places = [scorer.place[item] for item in items if item in scorer.place]
            one = measured(scorer.scores(who, ranker), allowed, places)
            if one is not None:
                found[member] = one.ndcg
        return found


def _told(apart: Mean) -> dict[str, float]:
    return {
        "value": round(apart.value, 5),
        "low": round(apart.low, 5),
        "high": round(apart.high, 5),
    }
