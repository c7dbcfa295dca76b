"""The risk that a member falls silent: learned from who did, and shown only where it proved right.

Pure. A member's active days are replayed as of days in the past: what was known then, and whether
they were silent for the `churn_days` after it. A logistic model is fitted on older days, its
probabilities are set right on a newer one (Platt 1999), and the whole is checked on a day whose
future it has not seen. With too little history, or when that check fails, there is no risk at all:
a guess would be acted on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.behaviour import StateRules

LEAST_MEMBERS = 200
"""Members who were there on a day of the past, or there is nothing to learn from."""
LEAST_EVENTS = 30
"""Members who fell silent, and members who did not, on the days that are learned from."""
LEAST_DAYS = 28
"""Days of history before the first day that is learned from."""
LEAST_AUC = 0.65
MOST_ECE = 0.10
"""A model that tells no better, or whose probabilities are farther off, is not used."""

_WINDOW = 90
_CUTS = 6
_APART = 7
_MOST_ROWS = 120_000
_BINS = 10
_LEAST_SAID = 0.1
"""Log odds below which something is no reason."""

REASONS = (
    "silent_longer_than_usual",
    "fewer_days",
    "rarely_there",
    "new_here",
    "mood_down",
    "no_progress",
)


class _Input(NamedTuple):
    """What the model looks at. reason: index in REASONS, None for none. sense: 1 when more of it is
    that reason, -1 when less is; than: than what, None for the average member."""

    name: str
    reason: int | None = None
    sense: int = 1
    than: float | None = None


_INPUTS = (
    _Input("gap", 0),
    _Input("gap_of_usual", 0),
    _Input("days7", 1, -1),
    _Input("days28", 1, -1),
    _Input("trend", 1, -1, 0.0),
    _Input("days90", 2, -1),
    _Input("tenure"),
    _Input("newcomer", 3, 1, 0.5),
    _Input("mood", 4, -1, 0.0),
    _Input("stuck", 5, 1, 0.5),
)
_OLD = 60
"""Days after which it makes no difference how long somebody is here. Where all came on one day,
as at an import, more would only count the days since."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Marks(NamedTuple):
    """Something that was noted of members on days: who (index), how many days ago, and what."""

    who: NDArray[np.int64]
    ago: NDArray[np.int64]
    value: Floats


def marks(rows: Iterable[tuple[int, int, float]]) -> Marks:
    """(index of the member, days ago, value) as columns; also none."""
    # One after the other: as a list, two millions of them would take 300 MB.
    made = np.fromiter(rows, np.dtype([("who", "i8"), ("ago", "i8"), ("value", "f8")]))
    return Marks(*(np.ascontiguousarray(made[name]) for name in ("who", "ago", "value")))


NONE = marks(())


class History(NamedTuple):
    """What members did on which day.

    days: shape [members, span], column 0 is today. since: days since they came, shape [members].
    moods: how much more positive than negative a message was, -1 to 1. lessons: progress in a
    course, 1.0 for its end.
    """

    days: Bools
    since: NDArray[np.int64]
    moods: Marks = NONE
    lessons: Marks = NONE


def span(rules: StateRules) -> int:
    """Days that `History.days` needs to have, a multiple of 8."""
    needed = 2 * rules.churn_days + 1 + _APART * (_CUTS - 1) + _WINDOW
    return (needed + 7) // 8 * 8


def matrix(days: Sequence[int], last_day: NDArray[np.int64], today: int, width: int) -> Bools:
    """Active days as a matrix, column 0 is today.

    days: bits, bit 0 is the member's last_day; what lies in the future is left out.
    """
    if not len(days):
        return np.zeros((0, width), np.bool_)
    mask, size = (1 << width) - 1, width // 8
    late = (today - last_day).tolist()
    raw = b"".join(
        ((bits << ago if ago >= 0 else bits >> -ago) & mask).to_bytes(size, "little")
        if ago < width
        else bytes(size)
        for bits, ago in zip(days, late, strict=True)
    )
    bits = np.frombuffer(raw, np.uint8).reshape(len(days), size)
    return np.unpackbits(bits, axis=1, bitorder="little").astype(np.bool_)


@dataclass(frozen=True, slots=True)
class Check:
    """How the model did on a day whose future it had not seen.

    note: why it is not used, a key; "" when it is. members, silent: who was looked at on that day,
    and who of them fell silent. auc, ece, brier: of its probabilities; None when there was none.
    learned: rows it learned from. days: length of the history.
    """

    note: str
    days: int
    members: int = 0
    silent: int = 0
    learned: int = 0
    auc: float | None = None
    ece: float | None = None
    brier: float | None = None


class Risk(NamedTuple):
    """churn: each member's probability of silence, nan for no statement. reasons: up to two of
    REASONS each, the strongest first. check: what it stands on."""

    churn: Floats
    reasons: list[tuple[str, ...]]
    check: Check


def to_dict(check: Check) -> dict[str, Any]:
    """As it is kept in `findings`."""
    return asdict(check)


def risk(history: History, asked: Bools, rules: StateRules) -> Risk:
    """Of each member who is asked for the probability of `churn_days` of silence from now on.

    asked: shape [members]. Who did nothing within lost_days, or 90 days, gets none.
    Seconds for 100,000 members.
    """
    members = len(history.since)
    none = Risk(np.full(members, np.nan), [()] * members, Check("", 0))
    model, check = _learned(history, rules)
    if model is None:
        return none._replace(check=check)
    inputs, there = look(history, 0, rules)
    use = there & asked
    churn = np.full(members, np.nan)
    churn[use] = model.probability(inputs[use])
    reasons: list[tuple[str, ...]] = [()] * members
    for index, own in zip(np.flatnonzero(use), model.reasons(inputs[use]), strict=True):
        reasons[index] = own
    return Risk(churn, reasons, check)


def _learned(history: History, rules: StateRules) -> tuple[_Model | None, Check]:
    horizon = rules.churn_days
    length = int(np.flatnonzero(history.days.any(axis=0)).max(initial=-1)) + 1
    # Today is not over, so it is nobody's future.
    test = horizon + 1
    before = [2 * horizon + 1 + _APART * n for n in range(_CUTS)]
    before = [cut for cut in before if cut + LEAST_DAYS <= length]
    if not before:
        return None, Check("churn_short_history", length)
    inputs, silent = _at(history, test, rules)
    told = {"days": length, "members": len(silent), "silent": int(silent.sum())}
    if len(silent) < LEAST_MEMBERS:
        return None, Check("churn_few_members", **told)
    if not _enough(silent):
        return None, Check("churn_few_events", **told)
    past = [_at(history, cut, rules) for cut in before]
    model = _fit(past)
    if model is None:
        return None, Check("churn_few_events", **told)
    said = model.probability(inputs)
    check = Check(
        "",
        **told,
        learned=sum(len(own) for _, own in past),
        auc=auc(said, silent),
        ece=ece(said, silent),
        brier=float(np.mean((said - silent) ** 2)),
    )
    if (check.auc or 0.0) < LEAST_AUC or (check.ece or 0.0) > MOST_ECE:
        return None, Check("churn_unproven", *list(asdict(check).values())[1:])
    # It has proved itself: what is used has learned from the newest days, too.
    newest = [_at(history, cut, rules) for cut in (test, *range(test + _APART, before[0], _APART))]
    return _fit([*newest, *past][: 2 * _CUTS]) or model, check


def _enough(silent: Bools) -> bool:
    return min(int(silent.sum()), int((~silent).sum())) >= LEAST_EVENTS


def _at(history: History, cut: int, rules: StateRules) -> tuple[Floats, Bools]:
    """Inputs of who was there so many days ago, and who of them was silent after it."""
    inputs, there = look(history, cut, rules)
    silent: Bools = np.logical_not(history.days[:, cut - rules.churn_days : cut].any(axis=1))
    return inputs[there], silent[there]


def look(history: History, cut: int, rules: StateRules) -> tuple[Floats, Bools]:
    """What was known so many days ago, shape [members, inputs], and of whom anything was."""
    days = history.days[:, cut : cut + _WINDOW]
    tenure = history.since - cut
    active = days.any(axis=1)
    gap = np.where(active, days.argmax(axis=1), _WINDOW)
    there = active & (tenure >= 0) & (gap < rules.lost_days)
    counts = [days[:, :width].sum(axis=1) for width in (7, 28, _WINDOW)]
    first = days.shape[1] - 1 - days[:, ::-1].argmax(axis=1)
    alone = np.clip(np.minimum(tenure, _WINDOW), 1, None)
    usual = np.where(counts[2] > 1, (first - gap) / np.maximum(counts[2] - 1, 1), alone)
    earlier = days[:, 28:56].sum(axis=1)
    inputs = np.column_stack(
        (
            np.log1p(gap),
            np.log1p(gap / np.maximum(usual, 1.0)),
            counts[0] / 7,
            counts[1] / 28,
            np.log((counts[1] + 1) / (earlier + 1)),
            counts[2] / _WINDOW,
            np.log1p(np.clip(tenure, 0, _OLD)),
            tenure < 28,
            _mood_change(history.moods, cut, len(tenure)),
            _stuck(history.lessons, cut, len(tenure)),
        )
    ).astype(np.float64)
    return inputs, there


def _mood_change(moods: Marks, cut: int, members: int) -> Floats:
    """How much better the last 28 days sound than the 56 before; 0 where either says nothing."""
    means = []
    for low, high in ((0, 28), (28, 84)):
        within = (moods.ago >= cut + low) & (moods.ago < cut + high)
        who = moods.who[within]
        counts = np.bincount(who, minlength=members)
        sums = np.bincount(who, moods.value[within], minlength=members)
        means.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
    found: Floats = np.nan_to_num(means[0] - means[1])
    return found


def _stuck(lessons: Marks, cut: int, members: int) -> Floats:
    """1.0 for who began a course, did not end it and learned nothing for two weeks."""
    known = lessons.ago >= cut
    last = np.full(members, 10_000, np.int64)
    np.minimum.at(last, lessons.who[known], lessons.ago[known] - cut)
    ended = np.zeros(members, np.bool_)
    ended[lessons.who[known & (lessons.value > 0)]] = True
    found: Floats = ((last >= 14) & (last < 10_000) & ~ended).astype(np.float64)
    return found


# The model


@dataclass(frozen=True, slots=True)
class _Model:
    """Log odds: slope * (weights @ (inputs - mean) / spread + start) + shift."""

    mean: Floats
    spread: Floats
    weights: Floats
    start: float
    slope: float = 1.0
    shift: float = 0.0

    def parts(self, inputs: Floats) -> Floats:
        """What each input adds to the log odds of an average member."""
        found: Floats = (inputs - self.mean) / self.spread * self.weights
        return found

    def logits(self, inputs: Floats) -> Floats:
        found: Floats = self.parts(inputs).sum(axis=1) + self.start
        return found

    def probability(self, inputs: Floats) -> Floats:
        """Of silence, shape [rows]."""
        odds = self.slope * self.logits(inputs) + self.shift
        found: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30)))
        return found

    def reasons(self, inputs: Floats) -> list[tuple[str, ...]]:
        """Up to two of REASONS for each row: what raises its risk most."""
        by_input = self.parts(inputs) * self.slope
        sums = np.zeros((len(inputs), len(REASONS)))
        for column, one in enumerate(_INPUTS):
            if one.reason is not None:
                # Whose habit it is to come often is not told that they came less.
                than = self.mean[column] if one.than is None else one.than
                so = (inputs[:, column] - than) * one.sense > 0
                sums[:, one.reason] += np.where(so, by_input[:, column], 0.0)
        order = np.argsort(-sums, axis=1, kind="stable")[:, :2]
        return [
            tuple(REASONS[one] for one in two if row[one] >= _LEAST_SAID)
            for two, row in zip(order.tolist(), sums, strict=True)
        ]


def _fit(past: Sequence[tuple[Floats, Bools]]) -> _Model | None:
    """Learn from days of the past, the newest first; None when too few fell silent, or did not."""
    newest = past[0]
    older = past[1:] or past
    inputs = np.concatenate([one for one, _ in older])
    silent = np.concatenate([own for _, own in older])
    if not _enough(silent):
        return None
    if len(silent) > _MOST_ROWS:
        some = np.random.default_rng(7).choice(len(silent), _MOST_ROWS, replace=False)
        inputs, silent = inputs[some], silent[some]
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
    # What is the same for all says nothing.
    spread = np.where(spread > 1e-9, spread, np.inf)
    weights, start = _logistic((inputs - mean) / spread, silent, 1.0)
    model = _Model(mean, spread, weights, start)
    if len(past) > 1 and _enough(newest[1]):
        (slope,), shift = _logistic(model.logits(newest[0])[:, None], newest[1], 1e6)
        # A slope below 0 would mean that all was learned the wrong way round.
        model = _Model(mean, spread, weights, start, max(float(slope), 0.05), shift)
    return model


def _logistic(inputs: Floats, silent: Bools, strength: float) -> tuple[Floats, float]:
    # Half a second to import: only where it is needed.
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=500).fit(inputs, silent)
    return fitted.coef_[0], float(fitted.intercept_[0])


def auc(said: Floats, silent: Bools) -> float:
    """How often who fell silent was given more than who did not; ties count half. nan without
    either. Source: Mann & Whitney 1947."""
    ones = int(silent.sum())
    zeros = len(silent) - ones
    if not ones or not zeros:
        return math.nan
    _, inverse, counts = np.unique(said, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[silent].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def ece(said: Floats, silent: Bools, bins: int = _BINS) -> float:
    """Expected calibration error: how far probabilities are from what happened, over bins of equal
    size; 0.0 for nothing. Source: Naeini et al. 2015, equal-mass bins."""
    order = np.argsort(said, kind="stable")
    error = 0.0
    for part in np.array_split(order, bins):
        if len(part):
            error += len(part) * abs(float(said[part].mean()) - float(silent[part].mean()))
    return error / max(len(said), 1)
