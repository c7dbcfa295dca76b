"""Who answers whom: how often the addressee is found in a group chat that people labelled.

The file has the columns of ../shared/data/community/irc_replies.ndjson. Measured are the rows that
are annotated and whose `reply_to` names a row of somebody else in the file: is our likeliest
person one of those who wrote such a row. Every chat is heard from its first row on, one turn at
a time, as a group is. Two rules stand beside it: the first mention, else the previous other
speaker; and the previous other speaker alone.

`--folds` fits the weights without each chat and measures on it; `--fit` fits them on all and prints
what stands in insights/replies.py. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.replies import FEATURES, NOBODY, SILENCES, WEIGHTS, Addressees, Choice, Turn, Who

GOAL = 0.84
MINUTES = -0.6
"""The weight of time, set by hand: the shared chats hardly ever pause, other groups do."""
PENALTY = 3.0
"""Of squared weights."""
MONOLOGUE = 0.1
"""What a row counts, when the weights are fitted, that goes on with its sender's own."""
ROUNDS = 3
"""Whom the earlier turns answer is a finding of the model, too: it is fitted so many times."""

Floats = NDArray[np.float64]
Chats = Mapping[str, Sequence["Row"]]
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?")


class RepliesFileError(ValueError):
    """The file cannot be measured; says which line, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file. to: who wrote what it answers; monologue: it goes on with its own."""

    turn: Turn
    annotated: bool
    to: frozenset[Who]
    monologue: bool

    @property
    def measured(self) -> bool:
        """Whether people said that it answers somebody else."""
        return self.annotated and bool(self.to)


class Found(NamedTuple):
    """How many addressees were found, of how many."""

    found: int
    n: int

    @property
    def share(self) -> float:
        """0 for none of none."""
        return self.found / self.n if self.n else 0.0


def read(path: Path) -> dict[str, list[Row]]:
    """The chats of a file, by name. Errors: RepliesFileError, OSError."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            data = _line(path.name, number, line)
            lines.setdefault(data["chat"], []).append(data)
    if not lines:
        raise RepliesFileError(f"{path.name}: no row in it")
    return {name: list(_rows(chat)) for name, chat in lines.items()}


def _line(file: str, number: int, line: bytes) -> dict[str, Any]:
    where = f"{file}, line {number}"
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RepliesFileError(f"{where}: not JSON: {error}") from error
    kinds: dict[str, type] = {
        **dict.fromkeys(("chat", "time", "sender", "text"), str),
        **dict.fromkeys(("mentions", "reply_to"), list),
        "idx": int,
        "annotated": bool,
    }
    for name, kind in kinds.items():
        if not isinstance(data, dict) or not isinstance(data.get(name), kind):
            raise RepliesFileError(f"{where}: no {kind.__name__} as {name!r}")
    if not _CLOCK.fullmatch(data["time"]):
        raise RepliesFileError(f"{where}: {data['time'][:20]!r} is no time of day")
    if not all(isinstance(one, str) for one in data["mentions"]):
        raise RepliesFileError(f"{where}: a mention is no text")
    if not all(isinstance(one, int) for one in data["reply_to"]):
        raise RepliesFileError(f"{where}: a row in reply_to is no number")
    return dict(data)


def _rows(chat: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    wrote = {line["idx"]: line["sender"] for line in chat}
    day, before = 0.0, 0.0
    for line in chat:
        hours, minutes = line["time"].split(":")[:2]
        at = day + int(hours) * 3600.0 + int(minutes) * 60.0
        if at < before - 12 * 3600:  # midnight; a row a minute out of order is none
            day += 86_400.0
            at += 86_400.0
        before = at
        sender = line["sender"]
        to = {wrote[idx] for idx in line["reply_to"] if idx in wrote}
        turn = Turn(sender, line["text"], tuple(line["mentions"]), at)
        yield Row(turn, line["annotated"], frozenset(to - {sender}), sender in to)


Rule = Callable[[Sequence[Row], int], Who | None]


def previous(rows: Sequence[Row], at: int) -> Who | None:
    """Who spoke before, other than the sender."""
    mine = rows[at].turn.sender
    others = (row.turn.sender for row in reversed(rows[:at]) if row.turn.sender != mine)
    return next(others, None)


def first_mention_else_previous(rows: Sequence[Row], at: int) -> Who | None:
    """Who is mentioned first, else `previous`."""
    return next(iter(rows[at].turn.mentions), None) or previous(rows, at)


def by_rule(chats: Chats, rule: Rule) -> Found:
    """How often a rule finds the addressee."""
    right = [
        rule(rows, at) in row.to
        for rows in chats.values()
        for at, row in enumerate(rows)
        if row.measured
    ]
    return Found(sum(right), len(right))


class Told(NamedTuple):
    """What the model said of a row: the likeliest person and how likely; None for nobody."""

    row: Row
    who: Who | None
    weight: float

    @property
    def right(self) -> bool:
        """Whether it is one of the addressees."""
        return self.who in self.row.to


def tell(rows: Sequence[Row], weights: Sequence[float], nobody: Sequence[float]) -> list[Told]:
    """What the model says of each row of a chat, in order."""
    group = Addressees(weights, nobody)
    said = [(row, group.add(row.turn)) for row in rows]
    return [Told(row, *people[0]) if people else Told(row, None, 0.0) for row, people in said]


def by_model(
    chats: Chats, weights: Sequence[float] = WEIGHTS, nobody: Sequence[float] = NOBODY
) -> Found:
    """How often the model's first choice is the addressee."""
    return found(one for rows in chats.values() for one in tell(rows, weights, nobody))


def found(told: Iterable[Told]) -> Found:
    """How often it was right, of the rows that are measured."""
    measured = [one.right for one in told if one.row.measured]
    return Found(sum(measured), len(measured))


def edges(told: Iterable[Told], least: float) -> dict[str, float]:
    """What becomes an edge from this weight on: share that is right, and of addressees found.

    A row that people said answers nobody is wrong here; one that goes on with its sender's own
    is not looked at.
    """
    looked = [one for one in told if one.row.annotated and not one.row.monologue]
    sure = [one for one in looked if one.weight >= least]
    right = sum(one.right for one in sure)
    wanted = sum(bool(one.row.to) for one in looked)
    return {
        "precision": round(right / max(len(sure), 1), 4),
        "recall": round(right / max(wanted, 1), 4),
    }


# The weights


def fit(chats: Chats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Weights and weights of nobody, for `insights/replies.py`."""
    weights = [0.0] * len(FEATURES)
    for name, value in (("named_first", 6.0), ("named", 4.0), ("turns", -2.0)):
        weights[FEATURES.index(name)] = value
    best = (tuple(weights), (0.0,) * len(SILENCES))
    for _ in range(ROUNDS):
        best = _fit_once(chats, *best)
    return best


def _choices(
    chats: Chats, weights: Sequence[float], nobody: Sequence[float]
) -> Iterator[tuple[Choice, list[bool], float]]:
    """What each row is chosen by, which of the people is right, and what the row counts."""
    for rows in chats.values():
        group = Addressees(weights, nobody)
        for row in rows:
            choice = group.look(row.turn)
            right = [who in row.to for who in choice.people]
            if row.annotated and choice.people and any(right) == bool(row.to):
                yield choice, right, MONOLOGUE if row.monologue and not row.to else 1.0
            group.add(row.turn)


def _fit_once(
    chats: Chats, weights: Sequence[float], nobody: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from scipy.optimize import minimize

    rows: list[list[float]] = []
    right: list[bool] = []
    starts: list[int] = []
    counts: list[float] = []
    for choice, correct, count in _choices(chats, weights, nobody):
        starts.append(len(rows))
        counts.append(count)
        rows += [[*row, *([0.0] * len(SILENCES))] for row in choice.features]
        rows.append([*([0.0] * len(FEATURES)), *choice.nobody])
        right += [*correct, not any(correct)]
    x = np.array(rows)
    minutes = FEATURES.index("minutes")
    given = x[:, minutes] * MINUTES
    x[:, minutes] = 0.0
    first = np.array(starts)
    of = np.repeat(np.arange(len(first)), np.diff([*starts, len(rows)]))
    each = np.array(counts)
    correct_rows = np.array(right)

    def loss(b: Floats) -> tuple[float, Floats]:
        scores = x @ b + given
        parts = np.exp(scores - np.maximum.reduceat(scores, first)[of])
        total = np.add.reduceat(parts, first)
        good = np.add.reduceat(parts * correct_rows, first)
        pull = (parts / total[of] - parts * correct_rows / good[of]) * each[of]
        lost = float((each * (np.log(total) - np.log(good))).sum() + PENALTY * (b @ b) / 2)
        return lost, x.T @ pull + PENALTY * b

    b = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    b[minutes] = MINUTES
    values = [round(float(one), 2) for one in b]
    return tuple(values[: len(FEATURES)]), tuple(values[len(FEATURES) :])


def left_out(chats: Chats) -> dict[str, Found]:
    """Each chat, by weights that were fitted without it."""
    return {
        name: by_model({name: rows}, *fit({k: v for k, v in chats.items() if k != name}))
        for name, rows in chats.items()
    }


def report(chats: Chats) -> dict[str, Any]:
    """All figures of a file."""
    said = {name: tell(rows, WEIGHTS, NOBODY) for name, rows in chats.items()}
    together = [one for rows in said.values() for one in rows]
    ours = found(together)
    told: dict[str, Any] = {"found": round(ours.share, 4), "n": ours.n}
    for rule in (first_mention_else_previous, previous):
        told[rule.__name__] = round(by_rule(chats, rule).share, 4)
    told["by_chat"] = {name: round(found(rows).share, 4) for name, rows in said.items()}
    told["edges"] = {str(least): edges(together, least) for least in (0.2, 0.5, 0.8)}
    told["goals"] = {"found_0.84": ours.share >= GOAL}
    return told


def main(argv: Sequence[str] | None = None) -> int:
    """Measure a file; 2 when it cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.replies", description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--folds", action="store_true", help="fit without each chat, too")
    parser.add_argument("--fit", action="store_true", help="fit on all and print the weights")
    args = parser.parse_args(argv)
    try:
        chats = read(args.file)
    except (RepliesFileError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    told = report(chats)
    if args.folds:
        folds = left_out(chats)
        together = Found(sum(f.found for f in folds.values()), sum(f.n for f in folds.values()))
        told["left_out"] = {
            "found": round(together.share, 4),
            "by_chat": {name: round(one.share, 4) for name, one in folds.items()},
        }
    if args.fit:
        weights, nobody = fit(chats)
        told["weights"] = dict(zip(FEATURES, weights, strict=True))
        told["nobody"] = dict(zip(SILENCES, nobody, strict=True))
    print(json.dumps(told, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
