"""Whether a model may serve: it must not be worse than what runs, than what is popular, nor than
what simple counting makes of the same deeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender import parts, sequels
from recommender.dataset import Log, People, Things, values
from recommender.evaluate import Mean, difference, mean, measured
from recommender.fitted import PARTS, Fitted
from recommender.scoring import Ranker, Scorer
from recommender.validation import least_wanted

LEAST = 20
"""Members of the week with something to find; with fewer nothing can be said."""
MOST = 5000
"""Members who are judged; more say nothing more."""


SIMPLE = ("item_item", "content")
"""What counting alone makes of the same deeds and items, without anything that was learned."""
SHARE = 0.8
"""Of what counting reaches. A sound model may fall a little short of it and still serve better than
what is popular; a broken one falls far short."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model may serve.

    why: "better" or "not_worse"; "too_few" when the week has too few members to judge by: it goes
    live on trust or not at all, as the caller says. Refused is "worse_than_running",
    "worse_than_popular", "worse_than_simple" and "broken" (scores that are no numbers). figures:
    JSON: {"n", "least", "ndcg10": {"new", "running", "popular", "item_item", "content"},
    "against_running", "against_popular", …: {"value", "low", "high"}}.
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
    *,
    trust: bool = True,
) -> Verdict:
    """Judge by NDCG@10 on the newest week, member by member (paired bootstrap).

    new, old: models that have not seen the week; before: what was known of members then. Refused
    is what is worse with an interval that excludes 0: than `old`, than what is popular, and by a
    fifth or more than what goes together in `before` and what is alike in `things` by counting. The
    last two are made here and now: a model whose deeds were mixed up on their way into it may still
    be better than popularity by its features, and never as good as that. Items that are gone from
    `things` are not judged. trust: may it serve when too few can be judged.
    """
    if not sound(new):
        return Verdict(False, "broken", {"n": 0, "least": LEAST})
    judge = _judge(before, week, people, things, seed)
    judged = {"new": judge.ndcgs(new, "ours"), "popular": judge.ndcgs(new, "popular")}
    if old is not None:
        judged["running"] = judge.ndcgs(old, "ours")
    if len(judged["new"]) >= LEAST:
        judged["item_item"] = judge.ndcgs(_counted(new, before), "item_item")
        judged["content"] = judge.ndcgs(_of_content(new), "ours")
    return _said(judged, seed, trust)


def against(
    new: Fitted,
    running: Fitted,
    before: Log,
    days: Log,
    people: People,
    things: Things,
    seed: int = 0,
) -> Verdict:
    """The same with the running model alone, on days that neither has learned from."""
    if not sound(new):
        return Verdict(False, "broken", {"n": 0, "least": LEAST})
    judge = _judge(before, days, people, things, seed)
    judged = {"new": judge.ndcgs(new, "ours"), "running": judge.ndcgs(running, "ours")}
    return _said(judged, seed, True)


def _said(judged: Mapping[str, Mapping[int, float]], seed: int, trust: bool) -> Verdict:
    both = sorted(judged["new"])
    lists = {name: [one[member] for member in both] for name, one in judged.items()}
    figures: dict[str, Any] = {
        "n": len(both),
        "least": LEAST,
        "ndcg10": {
            name: round(mean(one, seed).value, 5) if one else None for name, one in lists.items()
        },
    }
    if len(both) < LEAST:
        return Verdict(trust, "too_few", figures)
    worse, better = "", False
    for name in (*SIMPLE, "popular", "running"):
        if name in lists:
            apart = difference(lists["new"], lists[name], seed)
            figures[f"against_{name}"] = _told(apart)
            better = better or (apart.low > 0 and name not in SIMPLE)
            if apart.high >= 0:
                continue
            if name not in SIMPLE:
                worse = f"worse_than_{name}"
            elif sum(lists["new"]) < SHARE * sum(lists[name]):
                worse = "worse_than_simple"
    return Verdict(not worse, worse or ("better" if better else "not_worse"), figures)


def _judge(before: Log, week: Log, people: People, things: Things, seed: int) -> _Judge:
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
    return _Judge(before, people, things, {int(one): wanted[int(one)] for one in members})


def _counted(new: Fitted, before: Log) -> Fitted:
    """The same items, and who liked both of them, straight from the log."""
    log = before.on(new.items)
    members = np.unique(log.member).astype(np.int64)
    taste = parts.liked(log, members, float(new.data.get("half_life_s", 0.0)))
    return replace(new, alike=sequels.cosine(taste, parts.Training().keep))


def _of_content(new: Fitted) -> Fitted:
    weights = np.zeros_like(new.weights)
    weights[:, PARTS.index("content")] = 1.0
    return replace(new, weights=weights)


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
