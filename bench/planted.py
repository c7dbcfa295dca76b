"""Whether what is planted in simulated communities is found, and what is found where nothing is.

    python -m bench.planted
    python -m bench.planted --seeds 5 --members 480 --days 140

Communities are simulated (`sandbox/simulated.py`): circles and who leads them, members who go
silent, days on which a mood falls, a topic turns sour or bursts, members who turn angry, what money
spent brings, what is bought together. The jobs of the bot live through the last 30 days of it
(`bench/planted_run.py`), and `planted` says how much of the truth they told, and of what they told
how much is true. `quiet` are the alerts of 30 days of three groups of 80 members in which nothing
was planted. All numbers are over all seeds together; `--first` takes other ones. `model` is what
judged the messages when the run began: another one finds other turns.

`recall` counts truths that were told on their day (bursts: or in the night after), `precision`
alerts that are news of a truth or follow from one. `hours`: from the first message that was part
of it to the alert; `after`: messages (bursts: people) that the alert stands on. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import math
import multiprocessing
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from bench.planted_run import NOW, Lived, live
from insights.churn import auc
from insights.sentiment import SentimentModel
from insights.spending import BEYOND
from insights.spending import Plan as Split
from insights.spending import plan as split_budget
from sandbox.simulated import DAY_S, Burst, Drop, Plan, Sour, Truth, World
from sandbox.simulated_words import BAD, TOPICS
from store.alerts import Alert

SEEDS, MEMBERS, DAYS = 3, 480, 140
LIVED_DAYS = 30
QUIET_MEMBERS, QUIET_DAYS = 240, 72
IN_A_GROUP = 80
PER_DAY = 1.0
"""Messages of a usual member on a day; many say much less."""
TERMS = (
    "直播抽奖", "结业证书", "线下聚会", "系统维护", "新书签售", "拼团优惠", "导师面试",
    "毕业典礼", "周年庆典", "公开课", "训练营", "内推名额",
)  # fmt: skip
ITEMS = tuple(f"course-{number}" for number in range(1, 13))
BUDGETS = (600.0, 1500.0, 3000.0)
"""Yuan of a week, to be split."""
_PARTS = re.compile(r"\{\w+\}|，")
KINDS = ("mood_drop", "topic_negative", "topic_burst", "member_angry")


def planted(seed: int, members: int = MEMBERS, days: int = DAYS) -> Plan:
    """A community with everything in it; groups of about 80."""
    rng = random.Random(f"planted {seed}")
    places = tuple(f"qun:{number + 1}" for number in range(max(members // IN_A_GROUP, 2)))
    drops, bursts = [], []
    terms = list(TERMS)
    rng.shuffle(terms)
    for number, place in enumerate(places):
        # One of each in the first half of the month, one in the second.
        for half in (0, 15):
            drops.append(Drop(place, half + rng.randrange(0, 6), rng.uniform(0.5, 0.8)))
            term = terms[(2 * number + (half > 0)) % len(terms)]
            bursts.append(Burst(place, half + rng.randrange(7, 14), rng.randint(7, 14), term))
    sours = [
        Sour(topic, before_end, members // 10, rng.uniform(0.8, 1.0))
        for topic, before_end in zip(TOPICS, rng.sample(range(LIVED_DAYS), 4), strict=False)
    ]
    return Plan(
        now=NOW,
        seed=seed,
        members=members,
        days=days,
        places=places,
        circles=4,
        leaders=2,
        leaving=0.35,
        per_day=PER_DAY,
        drops=tuple(drops),
        bursts=tuple(bursts),
        sours=tuple(sours),
        angry=max(members // 50, 1),
        angry_days=LIVED_DAYS,
        items=ITEMS,
        prices=tuple(9_900 for _ in ITEMS),
    )


def quiet(seed: int, members: int = QUIET_MEMBERS, days: int = QUIET_DAYS) -> Plan:
    """Three groups in which nothing happens."""
    return Plan(now=NOW, seed=1000 + seed, members=members, days=days, per_day=PER_DAY, quiet=True)


# Alerts


def _day(world: World, at: float) -> int:
    return int((at - world.begin) // DAY_S)


def _about(alert: Alert, topic: str, said: Sequence[str]) -> bool:
    """Whether an alert names a topic, or most of what it quotes does."""
    words = (topic, *TOPICS.get(topic, ()))
    named = {alert.topic, *alert.data.get("terms", ())} - {""}
    if any(one in word or word in one for one in named for word in words):
        return True
    return 2 * sum(any(word in text for word in words) for text in said) > len(said)


def tells(alert: Alert, truth: Truth, world: World, said: Sequence[str]) -> bool:
    """Whether this alert is the news of this truth."""
    late = _day(world, alert.at) - _day(world, truth.at)
    # The night tells of the day before.
    if alert.kind != truth.kind or not 0 <= late <= (truth.kind == "topic_burst"):
        return False
    if truth.kind == "member_angry":
        return alert.member_id == truth.member_id
    if truth.kind == "mood_drop":
        return alert.place == truth.place
    if truth.place and alert.place not in ("", truth.place):
        return False
    return _about(alert, truth.topic, said)


def follows(alert: Alert, truth: Truth, world: World, said: Sequence[str]) -> bool:
    """Whether it is true because of this truth: who is angry stays so for days, complaints have
    words that rise, and where everybody complains a topic turns, and members do, too."""
    late = _day(world, alert.at) - _day(world, truth.at)
    if truth.kind == "member_angry":
        return late >= 0 and alert.member_id == truth.member_id
    if not 0 <= late <= (alert.kind == "topic_burst"):
        return False
    if alert.kind == "topic_burst":
        about = truth.topic != "" and _about(alert, truth.topic, said)
        complained = truth.kind != "topic_burst" and 2 * sum(map(_bad, said)) > len(said)
        return about or (complained and alert.place in ("", truth.place or alert.place))
    return truth.kind != "topic_burst" and alert.place in ("", truth.place or alert.place)


def _bad(text: str) -> bool:
    """Whether it is one of the sentences of complaint."""
    return any(len(part) > 3 and part in text for one in BAD for part in _PARTS.split(one))


def _turns(every: Sequence[Lived]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    delays: dict[str, list[float]] = {kind: [] for kind in KINDS}
    after: dict[str, list[int]] = {kind: [] for kind in KINDS}
    truths, found, alarms, right = (Counter[str]() for _ in range(4))
    for lived in every:
        world = lived.world
        for truth in world.truths:
            truths[truth.kind] += 1
            news = [one for one in lived.alerts if tells(one, truth, world, lived.said[one.id])]
            if news:
                found[truth.kind] += 1
                delays[truth.kind].append((news[0].at - truth.at) / 3600.0)
                after[truth.kind].append(int(news[0].data.get("n", news[0].data.get("people", 0))))
        for alert in lived.alerts:
            alarms[alert.kind] += 1
            said = lived.said[alert.id]
            right[alert.kind] += any(
                tells(alert, one, world, said) or follows(alert, one, world, said)
                for one in world.truths
            )
    for kind in KINDS:
        late = delays[kind]
        told[kind] = {
            "planted": truths[kind],
            "recall": _ratio(found[kind], truths[kind]),
            "alerts": alarms[kind],
            "precision": _ratio(right[kind], alarms[kind]),
            "hours_p50": round(statistics.median(late), 1) if late else None,
            "hours_max": round(max(late), 1) if late else None,
            "after_p50": round(statistics.median(after[kind])) if late else None,
        }
    return told


# Who gathers, who leads


def _circles(every: Sequence[Lived]) -> dict[str, Any]:
    # Seconds to import, of which a part of the tests needs nothing.
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    nmi, ari, placed, there, count = [], [], 0, 0, []
    for lived in every:
        talked = {row[end] for row in lived.world.rows["edges"] for end in (1, 2)}
        there += len(talked)
        for place, groups in lived.communities.items():
            label = {one: number for number, group in enumerate(groups) for one in group}
            placed += len(label)
            count.append(len(groups))
            theirs = [one for one in lived.world.people if one.id in label]
            if theirs:
                truth, said = [one.circle for one in theirs], [label[one.id] for one in theirs]
                nmi.append(normalized_mutual_info_score(truth, said))
                ari.append(adjusted_rand_score(truth, said))
            elif any(one.place == place for one in lived.world.people):
                nmi.append(0.0)
                ari.append(0.0)
    return {
        "groups": len(nmi),
        "nmi": _mean(nmi),
        "ari": _mean(ari),
        "placed": _ratio(placed, there),
        "communities_per_group": _mean(count),
        "planted_per_group": every[0].plan.circles,
    }


def _leaders(every: Sequence[Lived]) -> dict[str, Any]:
    named = right = true = 0
    for lived in every:
        for place, who in lived.world.leaders.items():
            true += len(who)
            named += len(lived.leaders[place])
            right += len(who & set(lived.leaders[place]))
    return {"planted": true, "named": named} | _both(right, named, true)


# Who leaves


def _churn(every: Sequence[Lived]) -> dict[str, Any]:
    risk: list[float] = []
    silent: list[bool] = []
    leaver: list[bool] = []
    recency: list[float] = []
    asked = told = 0
    for lived in every:
        told += any(churn is not None for _, churn in lived.risks.values())
        today = _day(lived.world, lived.judged_at)
        last, after = _acts(lived)
        for person in lived.world.people:
            churn = lived.risks.get(person.id, ("", None))[1]
            if churn is None:
                continue
            asked += 1
            risk.append(churn)
            silent.append(person.id not in after)
            leaver.append(person.left < today + 7)
            recency.append(lived.judged_at - last.get(person.id, 0.0))
    if not risk:
        return {"communities_with_a_model": told, "asked": 0}
    chance, truth = np.array(risk), np.array(silent)
    said = chance >= 0.5
    return {
        "communities_with_a_model": told,
        "asked": asked,
        "silent": _mean(truth.tolist()),
        "auc": _rounded(auc(chance, truth)),
        "auc_of_recency": _rounded(auc(np.array(recency), truth)),
        "auc_of_leavers": _rounded(auc(chance, np.array(leaver))),
        "at_one_half": _both(int((said & truth).sum()), int(said.sum()), int(truth.sum())),
        "mean_risk": _mean(risk),
    }


def _acts(lived: Lived) -> tuple[dict[int, float], set[int]]:
    """When everybody last did something before the risks were judged, and who did after it."""
    last: dict[int, float] = {}
    after: set[int] = set()
    rows = lived.world.rows
    for member, at in (
        *((row[3], row[4]) for row in rows["talk"]),
        *((row[2], row[0]) for row in rows["interactions"]),
    ):
        if at < lived.judged_at:
            last[member] = max(at, last.get(member, 0.0))
        else:
            after.add(member)
    return last, after


def _lost(every: Sequence[Lived]) -> dict[str, Any]:
    """Who was planted to be gone for more than 60 days, and was there before that."""
    named = right = true = 0
    for lived in every:
        gone = {
            one.id
            for one in lived.world.people
            if one.left < lived.plan.days - 61 and one.rate > 0.1
        }
        told = {member for member, state in lived.states.items() if state == "lost"}
        true, named = true + len(gone), named + len(told)
        right += len(gone & told)
    return {"planted": true, "told": named} | _both(right, named, true)


# What money brings


def best(
    curves: Mapping[str, tuple[float, float]], most: Mapping[str, float], budget: float
) -> dict[str, float]:
    """The true optimum: each yuan, one after the other, goes where it brings most. The sum of
    concave responses needs no more."""

    def gain(place: str, spent: float) -> float:
        height, scale = curves[place]
        return height * math.log1p((spent + 1.0) / scale) - height * math.log1p(spent / scale)

    spent = dict.fromkeys(curves, 0.0)
    queue = [(-gain(place, 0.0), place) for place in curves]
    heapq.heapify(queue)
    for _ in range(int(budget)):
        if not queue:
            break
        _, place = heapq.heappop(queue)
        spent[place] += 1.0
        if spent[place] + 1.0 <= most[place]:
            heapq.heappush(queue, (-gain(place, spent[place]), place))
    return spent


def brought(curves: Mapping[str, tuple[float, float]], spent: Mapping[str, float]) -> float:
    """What money brings in truth, above what comes without."""
    return sum(
        height * math.log1p(spent.get(place, 0.0) / scale)
        for place, (height, scale) in curves.items()
    )


def _budget(every: Sequence[Lived]) -> dict[str, Any]:
    ours: list[float] = []
    even: list[float] = []
    inside: list[bool] = []
    weeks: list[int] = []
    refused = Counter[str]()
    places = 0
    for lived in every:
        curves = lived.world.curves
        places += len(curves)
        refused.update(one.why for one in lived.curves if one.curve is None)
        weeks += [one.weeks for one in lived.curves]
        most = {one.place: BEYOND * one.most for one in lived.curves}
        for budget in BUDGETS:
            optimum = brought(curves, best(curves, most, budget))
            made = split_budget(lived.curves, budget)
            given = {} if made is None else {one.place: one.spent for one in made.shares}
            ours.append(1.0 - brought(curves, given) / optimum)
            share = dict.fromkeys(curves, budget / len(curves))
            even.append(1.0 - brought(curves, share) / optimum)
            inside += _held(made, lived.world)
    return {
        "places": places,
        "fitted": _ratio(places - sum(refused.values()), places),
        "refused": dict(refused),
        "weeks": int(statistics.median(weeks)) if weeks else 0,
        "regret": _mean(ours),
        "regret_max": _rounded(max(ours)),
        "regret_of_even": _mean(even),
        "intervals_hold": _mean(inside),
    }


def _held(made: Split | None, world: World) -> Iterable[bool]:
    """Whether the true mean of orders of such a week is within the interval that was told."""
    for one in made.shares if made is not None else ():
        height, scale = world.curves[one.place]
        true = world.orders * (1.0 + height * math.log1p(one.spent / scale))
        yield one.least <= true <= one.most


def _baskets(every: Sequence[Lived]) -> dict[str, Any]:
    found = told = 0
    for lived in every:
        first, second = lived.plan.items[:2]
        right = [one for one in lived.baskets if first in one and second in one]
        found += bool(right)
        told += len(lived.baskets)
    return {"planted": len(every), "told": told} | _both(found, told, len(every))


# The whole


def measure(every: Sequence[Lived]) -> dict[str, Any]:
    """What was found of what was planted, over communities that were lived through."""
    return {
        "messages": sum(one.messages for one in every),
        **_turns(every),
        "circles": _circles(every),
        "leaders": _leaders(every),
        "churn": _churn(every),
        "lost": _lost(every),
        "budget": _budget(every),
        "baskets": _baskets(every),
    }


def alarms(every: Sequence[Lived]) -> dict[str, Any]:
    """The alerts of quiet months."""
    counts = [len(one.alerts) for one in every]
    kinds = Counter(alert.kind for one in every for alert in one.alerts)
    return {
        "months": len(every),
        "alerts": sum(counts),
        "most_in_a_month": max(counts, default=0),
        "by_kind": {kind: kinds[kind] for kind in KINDS},
    }


def _both(right: int, told: int, true: int) -> dict[str, Any]:
    return {"precision": _ratio(right, told), "recall": _ratio(right, true)}


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _planted(seed: int, members: int, days: int) -> Lived:
    return asyncio.run(live(planted(seed, members, days), LIVED_DAYS))


def _quiet(seed: int) -> Lived:
    return asyncio.run(live(quiet(seed), LIVED_DAYS, conclude=False))


def run(seeds: int, members: int, days: int, first: int = 1) -> dict[str, Any]:
    """Live through all of them, two at a time, each in a process of its own."""
    begun = time.perf_counter()
    numbers = range(first, first + seeds)
    model = SentimentModel.load().name
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=1) as pool:
        some = [pool.submit(_planted, seed, members, days) for seed in numbers]
        others = [pool.submit(_quiet, seed) for seed in numbers]
        found = measure([one.result() for one in some])
        months = [one.result() for one in others]
    return {
        "seeds": list(numbers),
        "model": model,
        "members": members,
        "days": days,
        "lived_days": LIVED_DAYS,
        "planted": found,
        "quiet": alarms(months),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.planted", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--days", type=int, default=DAYS)
    args = parser.parse_args()
    told = run(args.seeds, args.members, args.days, args.first)
    print(json.dumps(told, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
