"""What fitted responses say to an operator: a plan, what it would bring, and who is left out.

The curves of all groups are one finding, so that a plan for any amount is a matter of moments,
in chat and outside of it. Amounts are yuan inside and fen in reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from insights.report import Chart, Figure, Listing, Report, Row, Series, Unit
from insights.spending import BadBounds, Fitted, Plan, Share, expected, gained, plan

CURVES = "curves"
"""The name of the finding that holds `Curves`."""

STEP = 0.2
"""How much the budget is moved to see what it changes."""

FIGURES = frozenset(
    {
        *("budget_planned", "budget_unspent", "budget_expected", "budget_gain", "shadow_price"),
        *("budget_less", "budget_more", "share_spent", "share_expected", "share_marginal"),
        *("cost_weeks",),
    }
)
LISTS = frozenset({"budget_shares", "budget_left_out"})
CHARTS = frozenset({"budget_split", "budget_plan", "budget_usual"})
NOTES = frozenset(
    {
        *("no_costs", "few_weeks", "no_variation", "flat_response", "no_curves"),
        *("observed_only", "at_limit", "at_least"),
    }
)

Bounds = Mapping[str, tuple[float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """What `scheduler/forecasts.py` found. since, until: the weeks that were looked at.

    places: those with recorded costs, with a curve or without. titles: place -> what people call
    it. people: place -> how many members it has.
    """

    made_at: float
    since: float
    until: float
    places: tuple[Fitted, ...] = ()
    titles: Mapping[str, str]
    people: Mapping[str, int]

    @property
    def usual(self) -> float:
        """What is spent in a week lately where there is a curve, yuan."""
        return sum(one.usual for one in self.places if one.curve is not None)

    def title(self, place: str) -> str:
        """What people call it."""
        return self.titles.get(place, place)


def to_json(curves: Curves) -> str:
    """As it is kept."""
    return msgspec.json.encode(curves).decode()


def from_json(data: str) -> Curves:
    """Read back. Errors: ValueError when it is something else."""
    return msgspec.json.decode(data.encode(), type=Curves)


def known(data: str | None) -> Curves | None:
    """What is kept, read back; None for nothing, and for what is no such thing any more."""
    try:
        return None if data is None else from_json(data)
    except ValueError:
        return None


class Planned(NamedTuple):
    """A plan and what is known around it. now: conversions if the same money were given as it is
    given now, None when nothing is; less, more: with a fifth less and a fifth more money.
    gain_low, gain_high: a 95 % interval of what the plan brings beyond `now`."""

    plan: Plan
    now: float | None
    less: float
    more: float
    gain_low: float | None = None
    gain_high: float | None = None


def planned(curves: Curves, budget: float, bounds: Bounds | None = None) -> Planned | None:
    """A plan for a week's budget, yuan; None when no group has a curve. Errors: BadBounds."""
    found = plan(curves.places, budget, bounds)
    if found is None:
        return None
    usual = curves.usual
    now, low, high = None, None, None
    if usual > 0:
        scale = found.spent / usual
        alike = {one.place: one.usual * scale for one in curves.places}
        now = expected(curves.places, alike)
        split = {one.place: one.spent for one in found.shares}
        low, high = gained(curves.places, split, alike)
    less, more = (_moved(curves, budget * (1.0 + step), bounds) for step in (-STEP, STEP))
    return Planned(found, now, less, more, low, high)


def _moved(curves: Curves, budget: float, bounds: Bounds | None) -> float:
    try:
        found = plan(curves.places, budget, bounds)
    except BadBounds:
        # A fifth less does not reach for the least amounts: these alone are what is spent then.
        least = sum(low for low, _ in (bounds or {}).values())
        found = plan(curves.places, least, bounds)
    return 0.0 if found is None else found.expected


def report(
    curves: Curves,
    now: float,
    budget: float | None = None,
    bounds: Bounds | None = None,
    *,
    figures: Sequence[Figure] = (),
    charts: Sequence[Chart] = (),
) -> Report:
    """The report "budget" for a week's budget, yuan; None for what is usually spent.

    figures, charts: what else belongs in it: the best sending hours. Without a curve it says why
    for each group, and plans nothing. Errors: BadBounds.
    """
    amount = curves.usual if budget is None else budget
    found = planned(curves, amount, bounds) if amount > 0 else None
    since, until = curves.since, curves.until
    left_out = _left_out(curves)
    if found is None:
        none = _figure(curves, "budget_planned", None, "cents", note="no_curves")
        return Report(
            kind="budget",
            made_at=now,
            since=since,
            until=until,
            figures=(none, *figures),
            lists=(left_out,) if left_out.rows else (),
            charts=tuple(charts),
            note="no_curves",
        )
    shares = Listing(
        name="budget_shares", rows=tuple(_row(curves, one) for one in found.plan.shares)
    )
    return Report(
        kind="budget",
        made_at=now,
        since=since,
        until=until,
        figures=(*_figures(curves, found), *figures),
        lists=(shares, left_out) if left_out.rows else (shares,),
        charts=(_chart(curves, found.plan), *charts),
        note="observed_only",
    )


def _figure(
    curves: Curves,
    name: str,
    value: float | None,
    unit: Unit,
    *,
    low: float | None = None,
    high: float | None = None,
    of: str = "",
    before: float | None = None,
    places: Sequence[str] | None = None,
    note: str = "",
) -> Figure:
    """A figure over the weeks that were looked at. places: those it is about, None for all that
    have a curve."""
    about = [
        one
        for one in curves.places
        if (one.curve is not None if places is None else one.place in places)
    ]
    return Figure(
        name=name,
        value=value,
        unit=unit,
        since=curves.since,
        until=curves.until,
        of=of,
        low=low,
        high=high,
        n=sum(one.weeks for one in about),
        people=sum(curves.people.get(one.place, 0) for one in about),
        before=before,
        note=note,
    )


def _figures(curves: Curves, found: Planned) -> list[Figure]:
    it = found.plan
    held = all(one.bound == "high" for one in it.shares)
    out = [
        _figure(curves, "budget_planned", _fen(it.spent), "cents", before=_fen(curves.usual)),
        _figure(
            curves, "budget_expected", it.expected, "count", low=it.least, high=it.most,
            note="observed_only",
        ),
    ]  # fmt: skip
    if it.budget - it.spent >= 0.01:
        rest = _fen(it.budget - it.spent)
        out.insert(1, _figure(curves, "budget_unspent", rest, "cents", note="at_limit"))
    if found.now is not None:
        out.append(
            _figure(
                curves, "budget_gain", it.expected - found.now, "count",
                low=found.gain_low, high=found.gain_high,
            )
        )  # fmt: skip
    out += [
        _figure(
            curves, "shadow_price", it.price * 100.0, "count", low=it.price_low * 100.0,
            high=it.price_high * 100.0, note="at_limit" if held else "",
        ),
        _figure(curves, "budget_less", found.less, "count", before=it.expected),
        _figure(curves, "budget_more", found.more, "count", before=it.expected),
    ]  # fmt: skip
    return out


def _row(curves: Curves, one: Share) -> Row:
    usual = next(place.usual for place in curves.places if place.place == one.place)
    note = {"high": "at_limit", "low": "at_least" if one.spent > 0 else "", "": ""}[one.bound]
    title, places = curves.title(one.place), (one.place,)
    return Row(
        label=title,
        figures=(
            _figure(
                curves, "share_spent", _fen(one.spent), "cents", low=_fen(one.low),
                high=_fen(one.high), before=_fen(usual), note=note, of=title, places=places,
            ),
            _figure(
                curves, "share_expected", one.expected, "count", low=one.least, high=one.most,
                of=title, places=places,
            ),
            _figure(
                curves, "share_marginal", one.marginal * 100.0, "count", of=title, places=places
            ),
        ),
    )  # fmt: skip


def _left_out(curves: Curves) -> Listing:
    rows = tuple(
        Row(
            label=curves.title(one.place),
            figures=(
                Figure(
                    name="cost_weeks",
                    value=float(one.weeks),
                    unit="count",
                    since=curves.since,
                    until=curves.until,
                    of=curves.title(one.place),
                    n=one.weeks,
                    people=curves.people.get(one.place, 0),
                    note=one.why,
                ),
            ),
        )
        for one in curves.places
        if one.curve is None
    )
    return Listing(name="budget_left_out", rows=rows)


def _chart(curves: Curves, found: Plan) -> Chart:
    usual = {one.place: one.usual for one in curves.places}
    return Chart(
        name="budget_split",
        kind="intervals",
        unit="cents",
        labels=tuple(curves.title(one.place) for one in found.shares),
        series=(
            Series(
                name="budget_plan",
                values=tuple(_fen(one.spent) for one in found.shares),
                low=tuple(_fen(one.low) for one in found.shares),
                high=tuple(_fen(one.high) for one in found.shares),
            ),
            Series(
                name="budget_usual", values=tuple(_fen(usual[one.place]) for one in found.shares)
            ),
        ),
    )


def _fen(yuan: float) -> float:
    return float(round(yuan * 100.0))
