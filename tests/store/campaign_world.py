"""Campaigns with their deliveries and what members did, as rows; and a count of them in Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store import claims
from store.campaign_report import Report
from store.dialect import Connection
from tests.store.rows import CHANNEL, NOW, key

HOUR = 3600.0
WINDOW = 48 * HOUR
BEGAN = NOW - 100 * HOUR
CAMPAIGN: dict[str, Any] = {
    "id": 1,
    "kind": "once",
    "title": "秋季班",
    "channel": CHANNEL,
    "topic": "课程",
    "audience": "everyone",
    "routes": "custom mass_list",
    "status": "running",
    "holdout": 0.1,
    "metric": "purchase",
    "window_s": WINDOW,
    "seed": b"s" * 16,
    "created_at": BEGAN - HOUR,
    "created_by": "cli",
    "started_at": BEGAN,
    "frozen_at": BEGAN,
}


def put(conn: Connection, table: str, *rows: dict[str, Any]) -> None:
    """Rows as they are, by column."""
    for row in rows:
        marks = ", ".join("?" * len(row))
        conn.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))


def begin(conn: Connection, members: Iterable[int], **changes: Any) -> None:
    """A campaign with variants A and B, and the members it may be about."""
    put(conn, "campaigns", {**CAMPAIGN, **changes})
    number = changes.get("id", 1)
    for name in ("A", "B"):
        put(conn, "variants", {"campaign_id": number, "name": name, "content": "{}"})
    meet(conn, members)


def meet(conn: Connection, members: Iterable[int]) -> None:
    for member in members:
        put(conn, "members", {"id": member, "created_at": 0.0, "role": "member"})
        put(
            conn,
            "identities",
            {
                "channel": CHANNEL,
                "external_id": f"oTEST_{member}",
                "member_id": member,
                "followed": 1,
                "last_seen_at": 0.0,
            },
        )


def delivery(member: int | None, status: str = "accepted", **fields: Any) -> dict[str, Any]:
    """One that was claimed when the campaign began."""
    plain = {
        "campaign_id": 1,
        "member_id": member,
        "variant": "A",
        "status": status,
        "claimed_at": BEGAN,
        "due_at": BEGAN,
    }
    return {**plain, **fields}


def held(member: int) -> dict[str, Any]:
    return delivery(member, "held", variant="", claimed_at=None, due_at=None)


def bought(number: int, member: int, at: float, cents: int = 9900, **fields: Any) -> dict[str, Any]:
    plain = {
        "event_id": f"e{number}",
        "kind": "purchase",
        "at": at,
        "received_at": at,
        "member_id": member,
        "amount_cents": cents,
    }
    return {**plain, **fields}


# A count in plain Python


@dataclass
class World:
    """Random rows of every kind, dense enough that windows, refunds and arms collide."""

    deliveries: list[dict[str, Any]]
    events: list[dict[str, Any]]
    coupons: list[dict[str, Any]]
    replies: list[dict[str, Any]]
    optouts: list[dict[str, Any]]
    left: dict[int, float]

    def write(self, conn: Connection) -> None:
        put(conn, "deliveries", *self.deliveries)
        put(conn, "events", *self.events)
        put(
            conn,
            "offers",
            {
                "id": 1,
                "word": "w",
                "title": "t",
                "kind": "amount",
                "value": 1,
                "status": "open",
                "created_at": 0.0,
                "created_by": "cli",
            },
        )
        put(conn, "coupons", *self.coupons)
        put(conn, "interactions", *self.replies)
        put(conn, "optouts", *self.optouts)
        for member, at in self.left.items():
            conn.execute(
                "update identities set unfollowed_at = ? where member_id = ?", (at, member)
            )


STATUSES = [
    "planned",
    "sending",
    "accepted",
    "accepted",
    "accepted",
    "delivered",
    "refused",
    "unknown",
    "skipped",
    "held",
    "waiting",
    "left",
]


def world(rng: random.Random, members: int, decided: float | None) -> World:
    def when() -> float:
        return BEGAN + rng.randrange(-20, 101) * HOUR

    deliveries = []
    for number, member in enumerate(range(1, members + 1)):
        status = rng.choice(STATUSES)
        row = delivery(member, status, id=number + 1, variant=rng.choice("AB"), claimed_at=None)
        if status == "left":
            row |= {"status": "skipped", "variant": "", "due_at": None}
            row["reason"] = rng.choice(["opted_out", "capped", "cancelled"])
            row["due_at"] = BEGAN if row["reason"] == "cancelled" else None
        elif status == "held":
            row |= {"variant": "", "due_at": None}
        elif status == "waiting":
            row |= {"variant": "", "due_at": BEGAN + 5 * HOUR}
        elif status == "planned":
            row["due_at"] = BEGAN + 30 * HOUR
        else:
            row["claimed_at"] = BEGAN + rng.randrange(40) * HOUR
            if status in ("refused", "skipped"):
                row["reason"] = rng.choice(["muted", "capped"])
        if decided is not None and row["status"] == "waiting":
            row |= {"status": "accepted", "variant": "B", "claimed_at": decided + HOUR}
        deliveries.append(row)
    events = []
    for number in range(members * 6):
        kind = rng.choice(["purchase", "purchase", "refund", "click", "claim", "view"])
        events.append(
            bought(
                number,
                rng.randrange(1, members + 4) if rng.random() < 0.95 else None,  # type: ignore[arg-type]
                when(),
                rng.choice([0, 100, 200, 300]) if kind in ("purchase", "refund") else 0,
                kind=kind,
                order_id=rng.choice(["", "", f"o{rng.randrange(members)}"]),
                item_id=rng.choice(["c1", "c2", ""]),
                campaign=rng.choice(["c1", "c1", "c2", ""]) if kind == "click" else "",
            )
        )
    coupons: list[dict[str, Any]] = []
    for number in range(members):
        member = rng.randrange(1, members + 1)
        name = rng.choice([f"campaign:1:{member}:", f"campaign:2:{member}:", f"x:{number}"])
        gift = claims.gift_key(name)
        if any(other["claim_key"] == gift for other in coupons):
            continue
        status = rng.choice(["claimed", "redeemed", "redeemed", "revoked"])
        coupons.append(
            {
                "offer_id": 1,
                "code": f"C{number}",
                "status": status,
                "member_id": member,
                "serial": number,
                "claim_key": gift,
                "source": "campaign" if name[0] == "c" else rng.choice(["claim", "grant"]),
                "created_at": 0.0,
                "claimed_at": when(),
                "redeemed_at": NOW if status == "redeemed" else None,
                "discount_cents": rng.randrange(100),
            }
        )
    replies = [
        {
            "id": number + 1,
            "at": at,
            "channel": rng.choice([CHANNEL, "other"]),
            "member_id": rng.randrange(1, members + 1),
            "kind": rng.choice(["text", "voice", "event:click"]),
            "text": "",
            "handler": "",
            "item": "",
            "message_key": key(number),
        }
        for number, at in enumerate(sorted(when() for _ in range(members * 2)))
    ]
    optouts = [
        {"member_id": member, "topic": topic, "since": when()}
        for member in range(1, members + 1)
        for topic in ("", "课程", "直播")
        if rng.random() < 0.2
    ]
    left = {member: when() for member in range(1, members + 1) if rng.random() < 0.2}
    return World(deliveries, events, coupons, replies, optouts, left)


def counted(
    w: World, now: float, decided: float | None
) -> dict[tuple[str, bool, bool], Counter[str]]:
    """The arms, counted member by member."""
    arms: dict[tuple[str, bool, bool], Counter[str]] = {}
    for row in w.deliveries:
        status, variant = row["status"], row["variant"]
        if status == "skipped" and not variant and row["reason"] != "cancelled":
            continue
        is_held = status == "held"
        rest = status == "waiting" or (status == "skipped" and not variant)
        moment = row["claimed_at"] or row["due_at"] or 0
        rest = rest or (decided is not None and variant == "B" and moment >= decided)
        arm = arms.setdefault((variant, rest, is_held), Counter())
        begin = moment or BEGAN
        member = row["member_id"]
        arm["assigned"] += 1
        arm["open"] += status in ("planned", "waiting", "sending")
        arm["accepted"] += status in ("accepted", "delivered")
        arm["delivered"] += status == "delivered"
        arm["unknown"] += status == "unknown"
        if status in ("refused", "skipped"):
            arm[f"{status}:{row['reason']}"] += 1

        def inside(at: float | None, begin: float = begin) -> bool:
            return at is not None and begin <= at < min(begin + WINDOW, now)

        its = sorted(
            (e for e in w.events if e["member_id"] == member), key=lambda e: (e["at"], e["kind"])
        )
        arm["clicks"] += any(
            e["kind"] == "click" and e["campaign"] == "c1" and inside(e["at"]) for e in its
        )
        arm["claims"] += any(e["kind"] == "claim" and inside(e["at"]) for e in its) or any(
            c["member_id"] == member and c["source"] == "claim" and inside(c["claimed_at"])
            for c in w.coupons
        )
        arm["replies"] += any(
            r["member_id"] == member
            and r["channel"] == CHANNEL
            and r["kind"] in ("text", "voice")
            and inside(r["at"])
            for r in w.replies
        )
        arm["optouts"] += any(
            o["member_id"] == member and o["topic"] in ("", "课程") and inside(o["since"])
            for o in w.optouts
        )
        arm["leaves"] += inside(w.left.get(member))
        arm["discount_cents"] += sum(
            c["discount_cents"]
            for c in w.coupons
            if c["status"] == "redeemed"
            and c["claim_key"] == claims.gift_key(f"campaign:1:{member}:")
        )
        orders = _orders([e for e in its if _counts(e, begin, now)])
        kept = [gross - back for gross, back in orders if back < gross or gross == 0]
        arm["buyers"] += bool(kept)
        arm["orders"] += len(kept)
        arm["revenue_cents"] += sum(kept)
        arm["revenue_squares"] += sum(kept) ** 2
    return arms


def _counts(event: dict[str, Any], begin: float, now: float) -> bool:
    if event["kind"] == "purchase":
        return bool(begin <= event["at"] < min(begin + WINDOW, now))
    return bool(event["kind"] == "refund" and begin <= event["at"] <= now)


def _orders(events: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """(paid, paid back) of each order; events by time."""
    orders: list[dict[str, Any]] = []
    for event in events:
        named = [o for o in orders if event["order_id"] and o["id"] == event["order_id"]]
        if event["kind"] == "purchase":
            if not named:
                orders.append({"id": event["order_id"], "paid": 0, "back": 0, "items": []})
                named = [orders[-1]]
            named[0]["paid"] += event["amount_cents"]
            named[0]["items"].append(event["item_id"])
        elif not event["order_id"] and event["item_id"]:
            left = [
                o
                for o in orders
                if event["item_id"] in o["items"] and not (o["paid"] and o["back"] >= o["paid"])
            ]
            named = left[-1:]
        if event["kind"] == "refund" and named:
            left_of_it = max(0, named[0]["paid"] - named[0]["back"])
            named[0]["back"] += event["amount_cents"] or left_of_it
    return [(o["paid"], min(o["back"], o["paid"])) for o in orders]


def figures(report: Report) -> dict[tuple[str, bool, bool], Counter[str]]:
    found = {}
    for arm in report.arms:
        sums: Counter[str] = Counter()
        for name in FIGURES:
            sums[name] = getattr(arm, name)
        for status in ("refused", "skipped"):
            for reason, count in getattr(arm, status).items():
                sums[f"{status}:{reason}"] = count
        found[(arm.variant, arm.rest, arm.held)] = sums
    return found


FIGURES = [
    "assigned",
    "open",
    "accepted",
    "delivered",
    "unknown",
    "clicks",
    "claims",
    "buyers",
    "orders",
    "revenue_cents",
    "revenue_squares",
    "replies",
    "optouts",
    "leaves",
    "discount_cents",
]
