"""How often the forecast of daily interactions beats the naive guess, and what its intervals hold.

    python -m bench.forecast
    python -m bench.forecast --series 1000 --seed 7

Series are simulated: a level, a week, a drift, autoregressive noise, lasting shifts, holidays,
hot evenings, counts that scatter more than Poisson's; all of them also after the day on which the
forecast is made. Lengths go from 70 days to a year. The naive guess is the mean of the last four
days of the same weekday, the harder one to beat; `last_week` is the usual one, last week again.
Equal errors (the naive guess was shown) count as not beaten. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.forecast import HORIZON, LEAST_DAYS, USED_DAYS, Forecast, forecast, last_week, naive

Floats = NDArray[np.float64]

SERIES = 300
SEED = 20_261_121
FIRST_DAY = 20_000


class Simulated(NamedTuple):
    """A series: what was known, and the HORIZON days that came."""

    past: Floats
    future: Floats


def simulated(seed: int, number: int, days: int | None = None) -> Simulated:
    """The series of this number. days: how long its past is; None draws it."""
    rng = np.random.default_rng([seed, number])
    known = int(rng.integers(70, 366)) if days is None else days
    size = known + HORIZON
    at = np.arange(size)
    week = rng.normal(0.0, rng.uniform(0.05, 0.5), 7)
    level = rng.uniform(math.log(3.0), math.log(1500.0)) + (week - week.mean())[at % 7]
    if rng.random() < 0.5:
        level += rng.normal(0.0, 0.0025) * (at - size / 2)
    level += _autoregressive(rng, size, rng.uniform(0.0, 0.9), rng.uniform(0.03, 0.3))
    for _ in range(rng.poisson(size / 180)):
        level[rng.integers(0, size) :] += rng.normal(0.0, 0.4)
    for _ in range(rng.poisson(size / 120)):
        begin = int(rng.integers(0, size))
        level[begin : begin + int(rng.integers(2, 8))] -= rng.uniform(0.3, 1.2)
    for _ in range(rng.poisson(size / 90)):
        level[rng.integers(0, size)] += rng.uniform(0.7, 2.0)
    mean = np.exp(level)
    shape = float(rng.choice([0.0, 5.0, 20.0, 60.0]))
    if shape:
        mean = mean * rng.gamma(shape, 1.0 / shape, size)
    counts = rng.poisson(mean).astype(np.float64)
    return Simulated(counts[:known], counts[known:])


def _autoregressive(rng: np.random.Generator, size: int, keeps: float, spread: float) -> Floats:
    shocks = rng.normal(0.0, spread * math.sqrt(1.0 - keeps**2), size)
    out = np.empty(size)
    now = rng.normal(0.0, spread)
    for day, shock in enumerate(shocks):
        now = keeps * now + shock
        out[day] = now
    return out


def measure(seed: int, count: int, days: int | None = None) -> dict[str, Any]:
    """Forecast `count` series and compare. days: how long all pasts are; None: 70 to 365."""
    made: list[tuple[Simulated, Forecast]] = []
    spent: list[float] = []
    simulated_ones = [simulated(seed, number, days) for number in range(count)]
    forecast(simulated_ones[0].past, FIRST_DAY)  # what is loaded once is not a series' time
    for one in simulated_ones:
        begun = time.perf_counter()
        made.append((one, forecast(one.past, FIRST_DAY)))
        spent.append((time.perf_counter() - begun) * 1000.0)
    told: dict[str, Any] = {"series": count}
    made = [(one, found) for one, found in made if found.mean]
    told["told"] = len(made)
    told["methods"] = dict(Counter(found.method for _, found in made).most_common())
    for ahead in (7, HORIZON):
        told[f"days_{ahead}"] = _compared(made, ahead)
    told["ms_p50"] = round(statistics.median(spent), 1)
    told["ms_max"] = round(max(spent), 1)
    return told


def _compared(made: list[tuple[Simulated, Forecast]], ahead: int) -> dict[str, float]:
    ours, theirs, weeks, scales, inside, within = ([] for _ in range(6))
    for one, found in made:
        came = one.future[:ahead]
        guess = np.expm1(naive(np.log1p(one.past[-USED_DAYS:]), ahead))
        ours.append(_error(np.array(found.mean[:ahead]), came))
        theirs.append(_error(guess, came))
        weeks.append(_error(last_week(one.past, ahead), came))
        scales.append(float(np.abs(one.past[7:] - one.past[:-7]).mean()))
        low, high = np.array(found.low[:ahead]), np.array(found.high[:ahead])
        inside.append(float(((came >= low) & (came <= high)).mean()))
        _, least, most = found.totals[ahead]
        within.append(least <= came.sum() <= most)
    mine, other, usual, scale = (np.array(column) for column in (ours, theirs, weeks, scales))
    equal = np.isclose(mine, other, rtol=1e-6)
    return {
        "better_than_naive": round(float(((mine < other) & ~equal).mean()), 4),
        "equal_to_naive": round(float(equal.mean()), 4),
        "better_than_last_week": round(float((mine < usual).mean()), 4),
        "error_to_naive": round(_ratio(mine, other), 4),
        "error_to_last_week": round(_ratio(mine, usual), 4),
        "mase": round(float(np.mean(mine / np.maximum(scale, 0.1))), 4),
        "coverage": round(float(np.mean(inside)), 4),
        "coverage_of_sum": round(float(np.mean(within)), 4),
    }


def _error(said: Floats, came: Floats) -> float:
    return float(np.abs(said - came).mean())


def _ratio(mine: Floats, other: Floats) -> float:
    """Geometric mean, so that a series of thousands weighs no more than one of ten."""
    return float(np.exp(np.mean(np.log((mine + 0.1) / (other + 0.1)))))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    told = measure(args.seed, args.series)
    # With so little history the naive guess is what is shown; its intervals are to hold, too.
    few = max(args.series // 3, 1)
    told["short"] = {
        str(days): measure(args.seed + days, few, days) for days in (LEAST_DAYS, 21, 35, 56)
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
