"""How much will be done in the next 7 and 28 days: models that must beat the naive guess.

Daily counts have a week in them, drift, and are sometimes plain wrong: the bot was down, or one
evening ran hot. Three models (an autoregression with weekday terms, a slow level with a season,
their blend) and the naive guess are tried on the past, each time knowing only what was known
then. Who erred least is shown; when no model beats the naive guess, that one is shown and said
to be. Intervals are as wide as the errors that were made on the past (conformal, by distance).

Pure. Only `forecast` loads statsmodels, which takes seconds: call it in a process of its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from insights.report import Chart, Figure, Series

HORIZON = 28
"""Days ahead."""

TOTALS = (7, 28)
"""The sums that are told: of the first so many days."""

LEAST_DAYS = 14
"""Below this nothing is said."""

MODEL_DAYS = 28
"""Below this only the naive guess is made: its errors could not be told from luck."""

USED_DAYS = 182
"""What is older says little of next month."""

SHOWN_DAYS = 28
"""Past days in the chart."""

RECENT_DAYS = 56
"""Past days that are kept with a forecast."""

FIGURES = frozenset({"forecast_week", "forecast_month", "forecast_error"})
LISTS: frozenset[str] = frozenset()
CHARTS = frozenset({"forecast_days", "daily_acts"})
NOTES = frozenset(
    {"by_autoreg", "by_level", "by_blend", "naive_better", "short_history", "too_short"}
)

Floats = NDArray[np.float64]

_DAY_S = 86_400.0
_SHANGHAI_S = 28_800.0
_WEEK = 7
_ORIGINS = 36
_STEP = 3
_REFIT = 6
"""Every so many origins the autoregression is fitted anew; between them its terms stay."""
_FIRST_ORIGIN = 14
_FIT_DAYS = 24
"""Ten terms want at least so many days."""
_CLIP = 4.0
_LEAST_SPREAD = 0.1
_SURE = 10.0
_ALPHAS = np.array([0.04, 0.08, 0.15])
_LAGS = (1, 2, 7)
_WEEKDAYS = np.eye(_WEEK)[:, 1:]
_SPANS = ((0, 7), (7, 14), (14, 28))
_BLEND_BONUS = 0.92
"""The best of three on few days is half luck: the blend is left only for one clearly better."""
_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The days to come of one series.

    first: the first of them, days since 1970 in Shanghai. mean, low, high: for each of HORIZON
    days, empty when nothing can be said; low and high are a 95 % interval for that day alone.
    totals: of so many days -> (value, low, high). method: "autoreg", "level", "blend", "naive";
    "" for none. error: mean absolute error on the past over that of the naive guess; None when
    it was not tried. observed: days it stands on, outages not among them. recent: the days
    before `first`, at most RECENT_DAYS; None where the bot was down.
    """

    first: int
    mean: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    totals: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)
    method: str = ""
    error: float | None = None
    observed: int = 0
    recent: tuple[float | None, ...] = ()


# What is wrong with the past


def outages(total: Sequence[float] | Floats) -> NDArray[np.bool_]:
    """The days on which nobody did anything anywhere though usually many do: the bot was down.

    total: acts of all places by day. A quiet community has empty days that are none: a day counts
    only where the other days of that weekday, four weeks around, have a median of 10 or more.
    """
    days = np.asarray(total, dtype=np.float64)
    found = np.zeros(len(days), dtype=bool)
    for day in np.flatnonzero(days == 0.0):
        same = [day + 7 * weeks for weeks in range(-4, 5) if weeks]
        others = [days[one] for one in same if 0 <= one < len(days)]
        found[day] = bool(others) and float(np.median(others)) >= _SURE
    return found


def _back(scaled: Floats) -> Floats:
    counts: Floats = np.expm1(np.clip(scaled, 0.0, 18.0))
    return counts


def cleaned(days: Floats) -> Floats:
    """The series on the scale of the models: outages filled, bursts and holes cut. No nan.

    A day is compared with the median of three weeks around it and of its weekday; what lies
    further off than 4 robust deviations is moved there. A lasting change moves the median with
    it and stays.
    """
    scaled = np.log1p(days)
    known = ~np.isnan(scaled)
    size = len(scaled)
    if not known.any():
        return np.zeros(size)
    padded = np.concatenate((np.full(10, np.nan), scaled, np.full(10, np.nan)))
    level = _medians(sliding_window_view(padded, 21), float(np.median(scaled[known])))
    off = scaled - level
    rows = -(-size // _WEEK)
    table = np.concatenate((off, np.full(rows * _WEEK - size, np.nan))).reshape(rows, _WEEK)
    expected = level + np.resize(_medians(table.T, 0.0), size)
    rest = np.where(known, scaled - expected, 0.0)
    spread = max(1.4826 * float(np.median(np.abs(rest[known]))), _LEAST_SPREAD)
    calm: Floats = np.clip(rest, -_CLIP * spread, _CLIP * spread)
    return expected + calm


def _medians(rows: Floats, otherwise: float) -> Floats:
    """The median of each row without its nan; `otherwise` where nothing else is in it."""
    ordered = np.sort(rows, axis=1)  # nan come last
    count = (~np.isnan(rows)).sum(axis=1)
    at = np.arange(len(rows))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, rows.shape[1] - 1)
    middle = (ordered[at, low] + ordered[at, high]) / 2.0
    return np.where(count > 0, middle, otherwise)


# The models: a past without gaps in, the scaled days to come out


def naive(past: Floats, ahead: int = HORIZON) -> Floats:
    """Each weekday as it was on average in the last four weeks (fewer when there are fewer)."""
    out = np.empty(ahead)
    for day in range(_WEEK):
        same = past[len(past) - _WEEK + day :: -_WEEK][:4]
        out[day::_WEEK] = same.mean() if len(same) else past.mean()
    return out


def last_week(past: Floats, ahead: int = HORIZON) -> Floats:
    """The last week again and again: the other naive guess, beside which the bench measures."""
    return np.resize(past[-_WEEK:], ahead)


def _season(past: Floats) -> Floats:
    """How far each day of the week lies from the week's level, shape [7], from the day after."""
    span = past[-_WEEK * 12 :]
    weeks = len(span) // _WEEK
    if weeks < 2:
        return np.zeros(_WEEK)
    table = span[-weeks * _WEEK :].reshape(weeks, _WEEK)
    off = table - table.mean(axis=1, keepdims=True)
    weight = 0.5 ** (np.arange(weeks)[::-1] / 6.0)
    season = (off * weight[:, None]).sum(axis=0) / weight.sum()
    # Few weeks: half of what looks like a season is noise.
    noise, signal = float((off - season).var()), max(float(season.var()), 1e-9)
    return np.asarray(season * weight.sum() / (weight.sum() + noise / signal), dtype=np.float64)


def _levels(past: Floats) -> Floats:
    """Level plus season for each smoothing, shape [alphas, HORIZON]."""
    season = _season(past)
    flat = past - np.resize(season, len(past) + _WEEK)[(-len(past)) % _WEEK :][: len(past)]
    age = np.arange(len(flat))[::-1]
    weights = (1.0 - _ALPHAS[:, None]) ** age[None, :]
    level = (weights * flat).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(level[:, None] + np.resize(season, HORIZON)[None, :])


@dataclass(frozen=True, slots=True)
class _Autoreg:
    """A fitted autoregression: constant, weekday terms (of the day's number modulo 7), lags."""

    constant: float
    season: Floats
    lags: Floats

    def ahead(self, past: Floats) -> Floats:
        """The days after `past`, whose first has the number 0."""
        days = np.empty(len(past) + HORIZON)
        days[: len(past)] = past
        for day in range(len(past), len(days)):
            before = float(
                sum(w * days[day - lag] for w, lag in zip(self.lags, _LAGS, strict=True))
            )
            days[day] = self.constant + self.season[day % _WEEK] + before
        guess = naive(past)
        found = days[len(past) :]
        ceiling = max(float(past.max()), float(guess.max())) + math.log(2.0)
        # A root outside the unit circle runs away; nothing here doubles its own record.
        return np.clip(np.where(np.isfinite(found), found, guess), 0.0, ceiling)


def _fitted(past: Floats) -> _Autoreg | None:
    """AutoReg with weekday terms; None where it has no solution."""
    from statsmodels.tools.sm_exceptions import SingularMatrixWarning
    from statsmodels.tsa.ar_model import AutoReg

    # Its own seasonal terms are the same, and take twice as long to make.
    weekdays = np.resize(_WEEKDAYS, (len(past), _WEEK - 1))
    model = AutoReg(past, lags=list(_LAGS), trend="c", exog=weekdays)
    try:
        with warnings.catch_warnings():
            # Days that repeat exactly have any number of solutions: none is to be believed.
            warnings.simplefilter("error", SingularMatrixWarning)
            found = model.fit()
    except (ValueError, np.linalg.LinAlgError, SingularMatrixWarning):
        return None
    values = np.asarray(found.params, dtype=np.float64)
    lags = values[1 : 1 + len(_LAGS)]
    season = np.concatenate((np.zeros(1), values[1 + len(_LAGS) :]))
    return _Autoreg(float(values[0]), season, lags)


def _candidates(past: Floats, fitted: _Autoreg | None) -> dict[str, Floats]:
    """What each says of the days after, scaled. past: the days as they were, nan for outages."""
    clean = cleaned(past)
    calm = naive(clean)
    levels = _levels(clean)
    autoreg = calm if fitted is None else fitted.ahead(clean)
    return {
        "naive": naive(_filled(past, clean)),
        "level": levels[:2].mean(axis=0),
        "autoreg": autoreg,
        "blend": (levels.sum(axis=0) + autoreg + 3.0 * calm) / (len(levels) + 4.0),
    }


def _filled(past: Floats, clean: Floats) -> Floats:
    return np.where(np.isnan(past), clean, np.log1p(past))


# Trying them on the past


@dataclass(frozen=True, slots=True)
class _Tried:
    """What every candidate said at every origin, as counts, and what came: [origins, HORIZON].

    truth: nan where it is not known, or the bot was down.
    """

    said: Mapping[str, Floats]
    truth: Floats


def _try(days: Floats) -> _Tried:
    size = len(days)
    least = _FIRST_ORIGIN if size >= MODEL_DAYS else _WEEK
    origins = [size - _WEEK - _STEP * back for back in reversed(range(_ORIGINS))]
    origins = [origin for origin in origins if origin >= least]
    said: dict[str, list[Floats]] = {}
    truth = np.full((len(origins), HORIZON), np.nan)
    fitted = None
    for row, origin in enumerate(origins):
        past = days[:origin]
        if origin >= _FIT_DAYS and (fitted is None or row % _REFIT == 0):
            fitted = _fitted(cleaned(past))
        for name, scaled in _candidates(past, fitted).items():
            said.setdefault(name, []).append(_back(scaled))
        came = days[origin : origin + HORIZON]
        truth[row, : len(came)] = came
    return _Tried({name: np.array(rows) for name, rows in said.items()}, truth)


def _errors(tried: _Tried) -> dict[str, float]:
    """Mean absolute error of each; the first week counts as much as all that follows."""
    known = ~np.isnan(tried.truth)
    weight = np.where(np.arange(HORIZON) < _WEEK, 1.0 / _WEEK, 1.0 / (HORIZON - _WEEK))
    weights = known * weight[None, :]
    truth = np.where(known, tried.truth, 0.0)
    return {
        name: float((np.abs(said - truth) * weights).sum() / max(weights.sum(), 1e-9))
        for name, said in tried.said.items()
    }


def _chosen(errors: Mapping[str, float]) -> str:
    """The model that erred least, when that is less than the naive guess did."""
    bonus = {"blend": _BLEND_BONUS, "level": 1.0, "autoreg": 1.0}
    best = min(bonus, key=lambda name: errors[name] * bonus[name])
    return best if errors[best] < errors["naive"] else "naive"


def _root(values: Floats) -> Floats:
    """Counts on a scale on which they scatter alike, however large they are (Anscombe 1948)."""
    return np.sqrt(np.maximum(values, 0.0) + 0.375)


def _square(roots: Floats) -> Floats:
    squares: Floats = np.maximum(roots, 0.0) ** 2
    return np.maximum(squares - 0.375, 0.0)


def _quantile(errors: Floats) -> float:
    """The conformal 95 % of absolute errors: the (n+1)·0.95th smallest; nan for none."""
    known = np.sort(errors[~np.isnan(errors)])
    if not len(known):
        return math.nan
    return float(known[min(len(known) - 1, math.ceil((len(known) + 1) * _LEVEL) - 1)])


def _widths(said: Floats, truth: Floats) -> Floats:
    """Half the interval of each day ahead on the scale of roots, never less further away."""
    off = np.abs(_root(said) - _root(truth))
    out, last = np.zeros(HORIZON), 0.0
    for begin, end in _SPANS:
        width = _quantile(off[:, begin:end])
        # Nothing that far was seen yet: somewhat more than what is nearer.
        last = max(last, width) if math.isfinite(width) else last * 1.2
        out[begin:end] = last
    return out * (1.0 + 1.0 / max(len(said), 1))


def _total(mean: Floats, said: Floats, truth: Floats, days: int) -> tuple[float, float, float]:
    """The sum of the first days with its interval.

    What is typical of a day is less than its mean; by how much is seen on the past, and half of
    it is believed. Windows overlap, so the errors are worth less than their number.
    """
    known = ~np.isnan(truth)
    told = float(said[known].sum())
    factor = math.sqrt(float(truth[known].sum()) / told) if told >= 1.0 else 1.0
    factor = min(max(factor, 0.8), 1.3)
    value = float(mean[:days].sum()) * factor
    whole = known[:, :days].all(axis=1)
    worth = whole.sum() * _STEP / days
    if whole.sum() >= 3 and worth >= 1.0:
        sums = _root(said[whole][:, :days].sum(axis=1) * factor)
        off = np.abs(sums - _root(truth[whole][:, :days].sum(axis=1)))
        width = max(_quantile(off), 2.0 * math.sqrt(float((off**2).mean()))) * (1.0 + 1.0 / worth)
    else:
        off = _root(said * factor) - _root(truth)
        # As if half of a day's error were shared by all days.
        width = 1.5 * math.sqrt(days) * math.sqrt(float(np.nanmean(off**2)))
    root = _root(np.array([value]))
    return value, float(_square(root - width)[0]), float(_square(root + width)[0])


def forecast(days: Sequence[float] | Floats, end: int) -> Forecast:
    """The days from `end` on, from the days before it.

    days: counts by day, the last is the day before `end` (days since 1970 in Shanghai); nan for
    days on which the bot was down. Days before the first count are none of its history.
    """
    counts = np.asarray(days, dtype=np.float64)
    begun = np.flatnonzero(np.nan_to_num(counts) > 0)
    counts = counts[begun[0] :] if len(begun) else counts[:0]
    counts = counts[-USED_DAYS:]
    observed = int((~np.isnan(counts)).sum())
    last = counts[-RECENT_DAYS:]
    recent = tuple(None if math.isnan(one) else float(one) for one in last)
    if observed < LEAST_DAYS:
        return Forecast(first=end, observed=observed, recent=recent)
    tried = _try(counts)
    long = observed >= MODEL_DAYS
    errors = _errors(tried)
    method = _chosen(errors) if long else "naive"
    fitted = _fitted(cleaned(counts)) if len(counts) >= _FIT_DAYS and long else None
    mean = _back(_candidates(counts, fitted)[method])
    said = tried.said[method]
    roots, widths = _root(mean), _widths(said, tried.truth)
    return Forecast(
        first=end,
        mean=tuple(mean.tolist()),
        low=tuple(np.floor(_square(roots - widths)).tolist()),
        high=tuple(np.ceil(_square(roots + widths)).tolist()),
        totals={span: _total(mean, said, tried.truth, span) for span in TOTALS},
        method=method,
        error=errors[method] / errors["naive"] if long and errors["naive"] > 0 else None,
        observed=observed,
        recent=recent,
    )


# As a report shows it


def day_of(at: float) -> int:
    """The day in Shanghai, counted from 1970."""
    return int((at + _SHANGHAI_S) // _DAY_S)


def begin_of(day: int) -> float:
    """When a day begins in Shanghai, Unix seconds."""
    return day * _DAY_S - _SHANGHAI_S


def note_of(found: Forecast) -> str:
    """Which sentence says how it was made: a key of NOTES."""
    if not found.mean:
        return "too_short"
    if found.method == "naive":
        return "short_history" if found.error is None else "naive_better"
    return f"by_{found.method}"


def parts(
    found: Forecast, now: float, *, of: str = "", people: int | None = None, ahead: int = _WEEK
) -> tuple[tuple[Figure, ...], tuple[Chart, ...]]:
    """The figures and the chart of a forecast that was made lately; ((), ()) for an old one.

    of: whose, as people call it. people: how many members the past days are of. ahead: days of
    the forecast in the chart. A forecast of yesterday has its first day left out of the chart;
    the sums are those that were told. Too little history gives one figure without a value.
    """
    passed = max(day_of(now) - found.first, 0)
    if passed >= _WEEK:
        return (), ()
    note = note_of(found)
    figures = [_sum(found, name, days, note, of, people) for name, days in _SUMS]
    if not found.mean:
        return tuple(figures[:1]), ()
    if found.error is not None and found.method != "naive":
        figures.append(
            Figure(
                name="forecast_error",
                value=found.error,
                unit="factor",
                since=begin_of(found.first - found.observed),
                until=begin_of(found.first),
                of=of,
                n=found.observed,
                note=note,
            )
        )
    return tuple(figures), (_chart(found, passed, ahead),)


_SUMS = (("forecast_week", 7), ("forecast_month", 28))


def _sum(found: Forecast, name: str, days: int, note: str, of: str, people: int | None) -> Figure:
    value, low, high = found.totals.get(days, (None, None, None))
    before = [one for one in found.recent[-days:] if one is not None]
    return Figure(
        name=name,
        value=value,
        unit="count",
        since=begin_of(found.first),
        until=begin_of(found.first + days),
        of=of,
        low=low,
        high=high,
        n=found.observed,
        people=people,
        # A sum with a day missing is none to compare with.
        before=sum(before) if len(before) == days else None,
        note=note,
    )


def _chart(found: Forecast, passed: int, ahead: int) -> Chart:
    past = found.recent[-SHOWN_DAYS:]
    begin = found.first - len(past)
    days = [*range(begin, found.first), *range(found.first + passed, found.first + ahead)]
    coming = slice(passed, ahead)
    none: tuple[None, ...] = (None,) * len(past)
    return Chart(
        name="forecast_days",
        kind="lines",
        unit="count",
        labels=tuple(f"{datetime.fromtimestamp(day * _DAY_S, UTC):%m-%d}" for day in days),
        series=(
            Series(
                name="daily_acts",
                values=past + found.mean[coming],
                low=none + found.low[coming],
                high=none + found.high[coming],
            ),
        ),
        split=len(past),
    )
