"""What `bench.recommend` reads: a folder of interactions with their split, items and users."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.dataset import Log, People, Things

STARS = 5.0
GOOD = 4.0
"""Of so many stars, so many are liked; other scales are brought to it."""
_MOST_NAMES = 12
_TIMES = ("ts", "timestamp", "time", "seq", "order")
_WORTHS = ("rating", "strength", "weight", "value")


@dataclass(frozen=True, slots=True)
class Data:
    """log: all rows as strengths, of which 1.0 and more is liked; dev: [n], rows of the test."""

    name: str
    log: Log
    dev: np.ndarray[tuple[int], np.dtype[np.bool_]]
    people: People
    things: Things


def sets(folder: Path, only: str = "") -> Iterator[Data]:
    """Every set in the folder, by name; `only`: that one. Raises FileNotFoundError for none."""
    found = sorted(folder.glob("*interactions.csv"))
    names = [path.name.removesuffix("interactions.csv").rstrip("_") or "data" for path in found]
    wanted = [(n, p) for n, p in zip(names, found, strict=True) if only in ("", n)]
    if not wanted:
        raise FileNotFoundError(f"{folder}: no {only or 'NAME'}_interactions.csv")
    for name, path in wanted:
        yield _read(name, path)


def _read(name: str, path: Path) -> Data:
    rows = list(_rows(path))
    worth = next((column for column in _WORTHS if rows and column in rows[0]), "")
    when = next((column for column in _TIMES if rows and column in rows[0]), "")
    told = [_number(row.get(worth, "")) if worth else 1.0 for row in rows]
    finite = [one for one in told if math.isfinite(one)]
    most = max(finite, default=1.0)
    log_rows, dev = [], []
    users = {user: number for number, user in enumerate(dict.fromkeys(r["user"] for r in rows), 1)}
    for place, (row, value) in enumerate(zip(rows, told, strict=True)):
        at = _number(row.get(when, "")) if when else float(place)
        if worth == "rating" and most > 1:
            # Stars: 4 of 5 is 1.0, 2 says nothing, 1 is against it.
            value = (value * STARS / max(most, STARS) - 2.0) / (GOOD - 2.0)
        elif math.isfinite(value):
            # Whatever is done is liked, be it much or little.
            value = 1.0 if value > 0 else value
        if math.isfinite(at):
            log_rows.append((users[row["user"]], row["item"], "strength", at, value))
            dev.append(row.get("part") == "dev")
    stem = path.name.removesuffix("interactions.csv")
    ids, on_items = _features(path.with_name(f"{stem}items.csv"), "item")
    numbers, on_users = _features(path.with_name(f"{stem}users.csv"), "user")
    about = dict(zip(numbers, on_users, strict=True))
    log = Log.of(log_rows)
    items = tuple(dict.fromkeys((*ids, *log.ids)))
    feature = dict(zip(ids, on_items, strict=True))
    return Data(
        name,
        log.on(items),
        np.array(dev, np.bool_),
        People(tuple(users.values()), tuple(about.get(user, ()) for user in users)),
        Things(items, tuple(feature.get(item, ()) for item in items)),
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _features(path: Path, key: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """Columns as features: lists at "|", numbers of many kinds in bands, titles by words."""
    rows = [row for row in _rows(path) if row.get(key)]
    columns = list(rows[0]) if rows else []
    kinds = {column: _kind([row.get(column) or "" for row in rows]) for column in columns}
    kinds.pop(key, None)
    found = {row[key]: tuple(_named(row, kinds)) for row in rows}
    return list(found), list(found.values())


def _kind(values: list[str]) -> str:
    some = [value for value in values if value]
    different = len(set(some))
    if not some or different < 2:
        return "none"
    if any("|" in value for value in some):
        return "list"
    if all(math.isfinite(_number(value)) for value in some):
        return "band" if different > _MOST_NAMES else "name"
    if any(" " in value for value in some) and different > len(some) / 2:
        return "words"
    return "name"


def _named(row: Mapping[str, str], kinds: Mapping[str, str]) -> Iterator[str]:
    for column, kind in kinds.items():
        value = (row.get(column) or "").strip()
        if not value or kind == "none":
            continue
        if kind == "list":
            yield from (f"{column}:{one.strip()}" for one in value.split("|") if one.strip())
        elif kind == "band":
            yield f"{column}:{value}"
            yield f"{column}s:{int(_number(value) // 10) * 10}"
        elif kind == "words":
            words = re.findall(r"[^\W\d_]{3,}", value.lower())
            yield from (f"word:{word}" for word in dict.fromkeys(words))
        else:
            yield f"{column}:{value}"
