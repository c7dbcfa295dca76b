"""A shop's months in events: who saw, clicked, claimed, bought and learnt, as it would send them.

Made up, the same for the same seed: people with an openid, most of them known to the bot,
browsers that are somebody's from the first login on, campaigns with variants, buyers of whom
most have clicked lately, and random ids as shops use them. In the order of time, one line in
fifty late.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CHANNEL = "mp"
CAMPAIGNS = tuple(f"campaign-{number}" for number in range(1, 6))
VARIANTS = ("a", "b", "c")
ITEMS = tuple(f"course-{number}" for number in range(1, 41))
DAY_S = 86_400.0
DAYS = 60
_KINDS = {
    "exposure": 45.0,
    "view": 20.0,
    "click": 15.0,
    "add_to_cart": 5.0,
    "claim": 3.0,
    "purchase": 3.0,
    "refund": 0.3,
    "enroll": 2.0,
    "progress": 6.0,
    "complete": 0.7,
}
_OTHER_SOURCES = ("answer", "recommendation", "referral", "catalogue")


def openid(person: int) -> str:
    """Somebody's openid, of the length WeChat's have."""
    return f"oBENCH{person:022}"


def events(count: int, people: int, until: float, seed: int = 1) -> Iterator[dict[str, Any]]:
    """That many events, in the fields of `bot/intake.py`, over the 60 days before `until`."""
    rng = random.Random(seed)
    kinds = rng.choices(tuple(_KINDS), tuple(_KINDS.values()), k=count)
    bought: list[tuple[int, str, str, int]] = []
    clicked: deque[int] = deque(maxlen=max(1, people // 5))
    begin = until - DAYS * DAY_S
    for number, kind in enumerate(kinds):
        at = begin + DAYS * DAY_S * number / count
        if rng.random() < 0.02:
            at -= rng.random() * DAY_S
        # Some are there every day, most now and then.
        person = int(people * rng.random() ** 1.5)
        if kind in ("claim", "purchase") and clicked and rng.random() < 0.7:
            person = rng.choice(clicked)
        elif kind == "click":
            clicked.append(person)
        event: dict[str, Any] = {"id": f"{rng.getrandbits(128):032x}", "kind": kind, "at": _iso(at)}
        item = rng.choice(ITEMS)
        if kind == "refund" and bought:
            person, item, order, cents = bought[rng.randrange(len(bought))]
            event |= {"order": order, "amount_cents": cents}
        elif kind in ("purchase", "refund"):
            order, cents = f"order-{number}", rng.randrange(990, 99_900, 10)
            event |= {"order": order, "amount_cents": cents}
            if kind == "purchase":
                bought.append((person, item, order, cents))
        elif kind == "progress":
            event |= {"chapter": f"ch-{rng.randrange(1, 13)}", "percent": rng.randrange(0, 101, 5)}
        event["item"] = item
        login = kind in ("purchase", "refund", "enroll", "progress", "complete", "claim")
        if login or rng.random() < 0.6:
            event |= {"channel": CHANNEL, "openid": openid(person)}
        if rng.random() < 0.5 or "openid" not in event:
            event["visitor"] = f"browser-{person}"
        if kind in ("exposure", "click", "claim"):
            if rng.random() < 0.85:
                event |= {
                    "campaign": rng.choice(CAMPAIGNS),
                    "variant": rng.choice(VARIANTS),
                    "source": "campaign",
                }
            else:
                event["source"] = rng.choice(_OTHER_SOURCES)
        yield event


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def write(path: Path, count: int, people: int, until: float, seed: int = 1) -> None:
    """The events as a file for `zhiqun import events`."""
    with path.open("w", encoding="utf-8") as lines:
        for event in events(count, people, until, seed):
            lines.write(json.dumps(event, ensure_ascii=False) + "\n")
