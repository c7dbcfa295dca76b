"""Check-in: one row for each member and day, so that a day counts once.

Days are those of Shanghai, "2026-11-21". A day made up later joins the days around it; it
earns no points and no card, and what later days earned stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from store import points, used_up
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

Award = Callable[[int], int]
"""Points for the n-th day in a row."""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A member's day.

    fresh: this message checked in, now or before a crash; False when another one had. day:
    which; points: what it earned; streak: which day in a row it is; days: of check-in at all;
    card: it earned a make-up card; cards: those the member has; balance, earned: points now;
    at: when it was. missed: days between it and the check-in before it, 0 for the first.
    """

    fresh: bool
    day: str
    points: int
    streak: int
    days: int
    card: bool
    cards: int
    balance: int
    earned: int
    at: float
    missed: int = 0


class MakeUp(StrEnum):
    """How making up a day ended."""

    DONE = "done"
    NO_CARD = "no_card"
    NOTHING_MISSED = "nothing_missed"


@dataclass(frozen=True, slots=True)
class MadeUp:
    """day: that is made up now, "" for none. streak: days in a row up to now; cards: left.

    at: when it was made up, 0 when nothing was.
    """

    outcome: MakeUp
    day: str = ""
    streak: int = 0
    cards: int = 0
    at: float = 0.0


class Checkins:
    """The table `checkins`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def check_in(
        self,
        member_id: int,
        today: str,
        key: bytes,
        now: float,
        award: Award,
        *,
        card_every: int,
        cards_most: int,
        ends_at: float | None,
        place: str = "",
    ) -> CheckIn | None:
        """Check in for today; None when there is no such member.

        key: the message's, which checks in once, whatever the day is when it runs again.
        card_every: so many days in a row earn a card, 0 for never, while the member has
        fewer than `cards_most`. ends_at: when the points end. Who checked in today and was
        forgotten since has a streak of 0.
        """

        def run(conn: Connection) -> CheckIn | None:
            lately = conn.execute(
                "select day, streak, message_key from checkins where member_id = ? and day >= ? "
                "order by day",
                (member_id, day_before(today)),
            ).fetchall()
            for day, _, by in lately:
                if by == key:
                    return _told(conn, member_id, day, True)
            streaks = {day: streak for day, streak, _ in lately}
            if today in streaks:
                return _told(conn, member_id, today, False)
            if not lately and used_up.used(conn, member_id, f"checkin:{today}"):
                return _forgotten(conn, member_id, today, now)
            streak = streaks.get(day_before(today), 0) + 1
            earned = award(streak)
            card = bool(card_every) and streak % card_every == 0
            card = card and _cards(conn, member_id) < cards_most
            inserted = conn.execute(
                "insert into checkins (member_id, day, streak, points, card, place, at, "
                "message_key) select id, ?, ?, ?, ?, ?, ?, ? from members where id = ?",
                (today, streak, earned, int(card), place, now, key, member_id),
            )
            if not inserted.rowcount:
                return None
            if earned > 0:
                source, reason = f"checkin:{member_id}:{today}", points.Reason.CHECKIN
                points.post(
                    *(conn, member_id, earned, reason, source, now), ends_at=ends_at, place=place
                )
            if any(day > today for day in streaks):
                # Midnight passed while this message waited behind a later one.
                _count_anew(conn, member_id, today)
            return _told(conn, member_id, today, True)

        return await self._db.write(run)

    async def make_up(
        self, member_id: int, today: str, key: bytes, now: float, makeup_days: int, place: str = ""
    ) -> MadeUp:
        """Make up the newest missed day of the last `makeup_days`; costs a card.

        Missed is a day after the member's first. key: the message's, which makes up one day,
        however often it runs.
        """

        def run(conn: Connection) -> MadeUp:
            made = conn.execute(
                "select day, at from checkins where member_id = ? and message_key = ? "
                "and made_up = 1",
                (member_id, key),
            ).fetchone()
            cards, streak = _cards(conn, member_id), current_streak(conn, member_id, today)
            if made is not None:
                return MadeUp(MakeUp.DONE, made[0], streak, cards, made[1])
            missed = _missed(conn, member_id, today, makeup_days)
            if not missed:
                return MadeUp(MakeUp.NOTHING_MISSED, "", streak, cards)
            if not cards:
                return MadeUp(MakeUp.NO_CARD, "", streak)
            conn.execute(
                "insert into checkins (member_id, day, streak, points, made_up, place, at, "
                "message_key) values (?, ?, 1, 0, 1, ?, ?, ?)",
                (member_id, missed, place, now, key),
            )
            _count_anew(conn, member_id, missed)
            streak = current_streak(conn, member_id, today)
            return MadeUp(MakeUp.DONE, missed, streak, cards - 1, now)

        return await self._db.write(run)

    async def standing(self, member_id: int, today: str) -> tuple[int, int]:
        """(days in a row up to today or yesterday, cards) of a member."""

        def run(conn: Connection) -> tuple[int, int]:
            return current_streak(conn, member_id, today), _cards(conn, member_id)

        return await self._db.read(run)


def day_before(day: str, days: int = 1) -> str:
    """The day so many days earlier."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def current_streak(conn: Connection, member_id: int, today: str) -> int:
    """Days in a row up to today, or up to yesterday while today is still to come; 0 for none."""
    row = conn.execute(
        "select streak from checkins where member_id = ? and day in (?, ?) "
        "order by day desc limit 1",
        (member_id, today, day_before(today)),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _told(conn: Connection, member_id: int, day: str, fresh: bool) -> CheckIn:
    earned, streak, card, at = conn.execute(
        "select points, streak, card, at from checkins where member_id = ? and day = ?",
        (member_id, day),
    ).fetchone()
    days = conn.execute(
        "select count(*) from checkins where member_id = ?", (member_id,)
    ).fetchone()[0]
    last = conn.execute(
        "select max(day) from checkins where member_id = ? and day < ?", (member_id, day)
    ).fetchone()[0]
    missed = (date.fromisoformat(day) - date.fromisoformat(last)).days - 1 if last else 0
    account = points.account_of(conn, member_id)
    return CheckIn(
        fresh=fresh,
        day=day,
        points=earned,
        streak=streak,
        days=days,
        card=bool(card),
        cards=_cards(conn, member_id),
        balance=account.balance,
        earned=account.earned,
        at=at,
        missed=missed,
    )


def _forgotten(conn: Connection, member_id: int, day: str, now: float) -> CheckIn:
    """They did before they were forgotten; of that nothing is left but that."""
    account = points.account_of(conn, member_id)
    return CheckIn(
        fresh=False,
        day=day,
        points=0,
        streak=0,
        days=0,
        card=False,
        cards=0,
        balance=account.balance,
        earned=account.earned,
        at=now,
    )


def _cards(conn: Connection, member_id: int) -> int:
    earned, used = conn.execute(
        "select coalesce(sum(card), 0), coalesce(sum(made_up), 0) from checkins "
        "where member_id = ?",
        (member_id,),
    ).fetchone()
    # Two members who became one can have used a card for a day that the other had.
    return max(0, int(earned) - int(used))


def _missed(conn: Connection, member_id: int, today: str, makeup_days: int) -> str:
    """The newest day without a check-in, "" for none; days before the first are not missed."""
    first = conn.execute(
        "select min(day) from checkins where member_id = ?", (member_id,)
    ).fetchone()[0]
    if first is None:
        return ""
    there = {
        row[0]
        for row in conn.execute(
            "select day from checkins where member_id = ? and day >= ?",
            (member_id, day_before(today, makeup_days)),
        )
    }
    days = (day_before(today, back) for back in range(1, makeup_days + 1))
    return next((day for day in days if day > first and day not in there), "")


def _count_anew(conn: Connection, member_id: int, since_day: str) -> None:
    """Which day in a row each day is, from `since_day` on."""
    row = conn.execute(
        "select streak from checkins where member_id = ? and day = ?",
        (member_id, day_before(since_day)),
    ).fetchone()
    day, streak = day_before(since_day), 0 if row is None else int(row[0])
    changed = []
    for next_day, before in conn.execute(
        "select day, streak from checkins where member_id = ? and day >= ? order by day",
        (member_id, since_day),
    ):
        streak = streak + 1 if day_before(next_day) == day else 1
        day = next_day
        if streak != before:
            changed.append((streak, member_id, day))
    conn.executemany("update checkins set streak = ? where member_id = ? and day = ?", changed)


# What a member takes along, leaves behind, or brings to another


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """The days on which a member checked in."""
    sql = (
        "select day, streak, points, card, made_up, place, at from checkins "
        "where member_id = ? order by day"
    )
    return {"checkins": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Without the member nobody came."""
    deleted = conn.execute("delete from checkins where member_id = ?", (member_id,))
    return {"checkins": deleted.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Each day once; the days of both make one row of days."""
    columns = "day, streak, points, card, made_up, place, at, message_key"
    conn.execute(
        f"insert into checkins (member_id, {columns}) select ?, {columns} from checkins "
        "where member_id = ? on conflict (member_id, day) do nothing",
        (keep, drop),
    )
    conn.execute("delete from checkins where member_id = ?", (drop,))
    first = conn.execute("select min(day) from checkins where member_id = ?", (keep,)).fetchone()[0]
    if first is not None:
        _count_anew(conn, keep, first)
