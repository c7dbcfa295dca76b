"""The report "members": who is in which state, who may leave and why, what to do next.

Pure: what the night concluded goes in, a Report comes out. Codes stand in it where words would be:
"state:leaving", "reason:fewer_days", "action:thank", which the chat texts name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insights.behaviour import (
    ACTIONS,
    DAY_S,
    LEAVING,
    LOST,
    LURKER,
    PAUSED,
    STATES,
    Columns,
    StateRules,
)
from insights.churn import Check
from insights.report import Chart, Figure, Listing, Report, Row, Series
from insights.survival import Curve

MOST_ROWS = 20
"""Members of a list."""
WINDOW_DAYS = 7

FIGURES = frozenset(
    {
        "members",
        *(f"state_{state}" for state in STATES),
        "churn_expected",
        "churn_auc",
        "churn_ece",
        "stay_median",
        "churn",
        "silent_days",
        "spent",
        "action_members",
    }
)
LISTS = frozenset({"at_risk", "leaving", "actions"})
CHARTS = frozenset({"states", "rfm", "churn", "survival"})
NOTES = frozenset(
    {
        "members_none",
        "churn_short_history",
        "churn_few_members",
        "churn_few_events",
        "churn_unproven",
        "survival_few",
        "survival_most_stay",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What was concluded of all members; columns of equal length.

    scores: recency, frequency, monetary. churn: nan for none. before: how many were in which state
    a week ago, {} when that is not known. days: of the curves.
    """

    of: Columns
    states: NDArray[np.int8]
    scores: tuple[NDArray[np.int64], ...]
    churn: NDArray[np.float64]
    reasons: Sequence[Sequence[str]]
    actions: Sequence[str]
    check: Check
    before: Mapping[str, int]
    curves: Sequence[Curve]
    days: Sequence[int]


def report(night: Night, now: float, rules: StateRules) -> Report:
    """The report; of nobody, one that says so."""
    since = now - WINDOW_DAYS * DAY_S
    members = len(night.states)
    if not members:
        return Report(kind="members", made_at=now, since=since, until=now, note="members_none")
    return Report(
        kind="members",
        made_at=now,
        since=since,
        until=now,
        figures=(*_states(night, since, now), *_churn(night, now, rules), _stay(night, now)),
        lists=(
            _at_risk(night, since, now),
            _leaving(night, since, now),
            _actions(night, since, now),
        ),
        charts=tuple(_charts(night)),
    )


def _states(night: Night, since: float, now: float) -> list[Figure]:
    members = len(night.states)
    counts = np.bincount(night.states, minlength=len(STATES))
    known = sum(night.before.values())
    found = [
        Figure(
            name="members",
            value=members,
            unit="count",
            since=since,
            until=now,
            n=members,
            people=members,
            before=known or None,
        )
    ]
    for state, count in zip(STATES, counts.tolist(), strict=True):
        found.append(
            Figure(
                name=f"state_{state}",
                value=count,
                unit="count",
                since=since,
                until=now,
                numerator=count,
                denominator=members,
                n=members,
                people=count,
                before=night.before.get(state, 0) if known else None,
            )
        )
    return found


def _churn(night: Night, now: float, rules: StateRules) -> list[Figure]:
    """How many will probably fall silent, and how well the model foretold the last ones."""
    check = night.check
    risk = night.churn[~np.isnan(night.churn)]
    until = now + rules.churn_days * DAY_S
    said = len(risk) > 0
    total = float(risk.sum())
    # Members are taken to fall silent one by one: a sum of many coins.
    wide = 1.96 * math.sqrt(float((risk * (1 - risk)).sum()))
    found = [
        Figure(
            name="churn_expected",
            value=total if said else None,
            unit="count",
            since=now,
            until=until,
            low=max(total - wide, 0.0) if said else None,
            high=min(total + wide, float(len(risk))) if said else None,
            n=len(risk),
            people=len(risk) if said else None,
            note=check.note,
        )
    ]
    for name, value in (("churn_auc", check.auc), ("churn_ece", check.ece)):
        if value is not None:
            found.append(
                Figure(
                    name=name,
                    value=value,
                    unit="score",
                    since=now - (rules.churn_days + 1) * DAY_S,
                    until=now - DAY_S,
                    n=check.members,
                    people=check.members,
                    note=check.note,
                )
            )
    return found


def _stay(night: Night, now: float) -> Figure:
    curve = night.curves[0] if night.curves else None
    median = curve.median if curve else None
    note = "" if median is not None else ("survival_most_stay" if curve else "survival_few")
    return Figure(
        name="stay_median",
        value=median,
        unit="days",
        since=float(night.of.first_at.min()),
        until=now,
        n=curve.members if curve else 0,
        people=curve.members if curve else None,
        note=note,
    )


def _about(night: Night, index: int, since: float, now: float) -> Row:
    """A member in a list: risk, silence, money; why, and what to do."""
    risk = float(night.churn[index])

    def figure(name: str, value: float, unit: str) -> Figure:
        return Figure(
            name=name,
            value=value,
            unit=unit,  # type: ignore[arg-type]
            since=since,
            until=now,
            n=1,
            people=1,
        )

    silent = max((now - float(night.of.last_at[index])) / DAY_S, 0.0)
    figures = [figure("silent_days", math.floor(silent), "days")]
    if not math.isnan(risk):
        figures.insert(0, figure("churn", risk, "share"))
    if night.of.spent_cents[index]:
        figures.append(figure("spent", float(night.of.spent_cents[index]), "cents"))
    return Row(
        member_id=int(night.of.member[index]),
        figures=tuple(figures),
        details=(
            f"state:{STATES[night.states[index]]}",
            *(f"reason:{reason}" for reason in night.reasons[index]),
            f"action:{night.actions[index]}",
        ),
    )


def _at_risk(night: Night, since: float, now: float) -> Listing:
    """Who is most likely to fall silent of those who are there, the dearer of equals first."""
    asked = ~np.isnan(night.churn) & ~np.isin(night.states, (PAUSED, LOST, LURKER))
    which = np.flatnonzero(asked & (np.nan_to_num(night.churn) >= 0.5))
    worth = night.scores[1] + night.scores[2]
    order = np.lexsort((night.of.member[which], -worth[which], -np.round(night.churn[which], 2)))
    rows = tuple(_about(night, int(one), since, now) for one in which[order[:MOST_ROWS]])
    return Listing(name="at_risk", rows=rows, note=night.check.note)


def _leaving(night: Night, since: float, now: float) -> Listing:
    """Who is about to leave, those first who were worth most; it needs no model."""
    which = np.flatnonzero(night.states == LEAVING)
    worth = night.scores[1] + night.scores[2]
    order = np.lexsort((night.of.member[which], -night.of.last_at[which], -worth[which]))
    rows = tuple(_about(night, int(one), since, now) for one in which[order[:MOST_ROWS]])
    return Listing(name="leaving", rows=rows)


def _actions(night: Night, since: float, now: float) -> Listing:
    counts = dict.fromkeys(ACTIONS, 0)
    for action in night.actions:
        counts[action] += 1
    order = sorted(counts, key=lambda action: (-counts[action], ACTIONS.index(action)))
    return Listing(
        name="actions",
        rows=tuple(
            Row(
                label=f"action:{action}",
                figures=(
                    Figure(
                        name="action_members",
                        value=counts[action],
                        unit="count",
                        since=since,
                        until=now,
                        numerator=counts[action],
                        denominator=len(night.actions),
                        n=len(night.actions),
                        people=counts[action],
                    ),
                ),
            )
            for action in order
            if counts[action]
        ),
    )


def _charts(night: Night) -> list[Chart]:
    counts = np.bincount(night.states, minlength=len(STATES)).tolist()
    series = [Series(name="members", values=tuple(counts), n=tuple(counts))]
    if night.before:
        before = tuple(night.before.get(state, 0) for state in STATES)
        series.append(Series(name="before", values=before, n=before))
    labels = tuple(f"state:{state}" for state in STATES)
    charts = [
        Chart(name="states", kind="bars", unit="count", labels=labels, series=tuple(series)),
        _rfm(night),
    ]
    risk = night.churn[~np.isnan(night.churn)]
    if len(risk):
        bins = np.bincount(np.minimum((risk * 10).astype(np.int64), 9), minlength=10).tolist()
        charts.append(
            Chart(
                name="churn",
                kind="bars",
                unit="count",
                labels=tuple(f"{10 * n}–{10 * n + 10}%" for n in range(10)),
                series=(Series(name="members", values=tuple(bins), n=tuple(bins)),),
            )
        )
    if night.curves:
        charts.append(
            Chart(
                name="survival",
                kind="lines",
                unit="share",
                labels=tuple(str(day) for day in night.days),
                series=tuple(
                    Series(
                        name=one.cohort or "all",
                        values=one.share,
                        low=one.low,
                        high=one.high,
                        n=(one.members,) * len(night.days),
                    )
                    for one in night.curves
                ),
            )
        )
    return charts


def _rfm(night: Night) -> Chart:
    """Members by recency (x) and frequency (rows, often first); who never did anything is out."""
    did = night.of.acts > 0
    recency, frequency, _ = (scores[did] for scores in night.scores)
    cells = np.zeros((5, 5), np.int64)
    np.add.at(cells, (5 - frequency, recency - 1), 1)
    return Chart(
        name="rfm",
        kind="heat",
        unit="count",
        labels=tuple(f"R{score}" for score in range(1, 6)),
        series=tuple(
            Series(name=f"F{5 - row}", values=tuple(own), n=tuple(own))
            for row, own in enumerate(cells.tolist())
        ),
    )
