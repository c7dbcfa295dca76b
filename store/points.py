"""Points: a ledger with two sides to every change, so that nothing appears or is lost.

A transfer has a reason, a source key that is unique, and two postings that add up to zero:
the member's, with their balance after it, and the reason's. What is spent comes out of the
oldest gains first, those that end soonest before all others. Other stores call `post` inside
their own transaction, so that a claim and its price are one step.

What is to be taken back but was spent is owed: the next gains pay it before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from store import honours, learning, point_sums, rankings
from store.db import Database
from store.dialect import Connection
from store.honours import BadgeRule
from store.ledgers import Deed
from store.rankings import GroupPlace, Ranking

_SHANGHAI_S = 8 * 3600


class Reason(StrEnum):
    """What a change is for. Members earn by the first five; the next five take that back."""

    CHECKIN = "checkin"
    USEFUL = "useful"
    REFERRAL = "referral"
    QUIZ = "quiz"
    PURCHASE = "purchase"
    CLAWBACK = "clawback"
    REFUND = "refund"
    HELD = "held"
    RELEASED = "released"
    OWED = "owed"
    COUPON = "coupon"
    MAKEUP = "makeup"
    EXPIRED = "expired"
    OPERATOR = "operator"


EARNING = frozenset(list(Reason)[:10])
"""What counts for levels and rankings; what an operator gives counts for levels only."""

_FOR_GOOD = frozenset((Reason.CLAWBACK, Reason.REFUND))
"""What is taken back for good: the rest is owed. What is only held waits for a decision."""


class Outcome(StrEnum):
    """How a posting ended."""

    POSTED = "posted"
    AGAIN = "again"  # this source key has been posted before; nothing changed
    SHORT = "short"  # fewer points than that; nothing changed
    NOBODY = "nobody"  # no such member; nothing changed


@dataclass(frozen=True, slots=True)
class Posted:
    """balance: the member's, after it; amount: what changed, negative for what was taken.

    owed: what could not be taken and is owed from now on. AGAIN: the first two as they were
    the first time. SHORT: the balance as it is, and 0.
    """

    outcome: Outcome
    balance: int = 0
    amount: int = 0
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """What a member has. earned: ever, less what was taken back; levels go by it.

    ends_next: how many end next and when, Unix seconds; None when none do. owed: what is
    still to be taken back; the balance is then 0.
    """

    balance: int = 0
    earned: int = 0
    ends_next: tuple[int, float] | None = None
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a member's history."""

    at: float
    reason: str
    amount: int
    balance: int
    note: str
    actor: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What went round in a period. reasons: reason -> (given out, taken in), both positive.

    members: who has points now; outstanding: how many they have together now; owed: what
    members owe together now.
    """

    reasons: Mapping[str, tuple[int, int]]
    members: int
    outstanding: int
    owed: int = 0

    @property
    def issued(self) -> int:
        """All that was given out."""
        return sum(given for given, _ in self.reasons.values())

    @property
    def spent(self) -> int:
        """All that was taken in, what ended included."""
        return sum(taken for _, taken in self.reasons.values())


def shanghai_day(at: float) -> str:
    """The day in Shanghai, "2026-11-21". China keeps one clock, without summer time."""
    return (datetime.fromtimestamp(at, UTC) + timedelta(seconds=_SHANGHAI_S)).strftime("%Y-%m-%d")


def post(
    conn: Connection,
    member_id: int,
    amount: int,
    reason: str,
    source_key: str,
    now: float,
    *,
    ends_at: float | None = None,
    actor: str = "",
    note: str = "",
    place: str = "",
    at_most: bool = False,
) -> Posted:
    """Give points (amount > 0) or take them (< 0), once for a source key.

    reason: one of `Reason`. ends_at: when points given now end, None for never. at_most:
    take what is there when it is less; even when that is nothing the key is used up. The rest
    of a clawback or refund is then owed, up to what the member ever earned: it counts for
    levels and rankings at once, and every later gain pays it first, as a transfer of its own.
    What has ended by `now` cannot be spent.
    Errors: ValueError for amount 0 or an unknown reason.
    """
    kind = Reason(reason)
    if not amount:
        raise ValueError("a change of 0 points is none")
    if amount < 0:
        _end_due(conn, member_id, now)
    transfer_id = _transfer(conn, member_id, kind, source_key, now, place, actor, note)
    if transfer_id is None:
        return _before(conn, source_key)
    if amount < 0:
        balance = balance_of(conn, member_id)
        rest = 0
        if at_most:
            rest = max(0, -amount - balance)
            amount = max(amount, -balance)
        if amount and not _take(conn, member_id, -amount, kind, now):
            conn.execute("delete from point_transfers where id = ?", (transfer_id,))
            return Posted(Outcome.SHORT, balance)
        _spend_lots(conn, member_id, -amount)
        balance += amount
        _postings(conn, transfer_id, member_id, kind, amount, balance)
        owed = _owe(conn, member_id, rest, now) if kind in _FOR_GOOD else 0
        return Posted(Outcome.POSTED, balance, amount, owed)
    balance = _give(conn, member_id, amount, kind, now)
    conn.execute(
        "insert into point_lots (transfer_id, member_id, remaining, expires_at) "
        "values (?, ?, ?, ?)",
        (transfer_id, member_id, amount, ends_at),
    )
    _postings(conn, transfer_id, member_id, kind, amount, balance)
    paid = pay_owed(conn, member_id, str(transfer_id), now)
    return Posted(Outcome.POSTED, balance - paid, amount)


def pay_owed(conn: Connection, member_id: int, name: str, now: float) -> int:
    """Pay what a member owes with what they have; says how much.

    name: of what brought the points to pay with, a transfer's number or a merger.
    """
    row = conn.execute(
        "select balance, owed from point_accounts where member_id = ? and owed > 0 and balance > 0",
        (member_id,),
    ).fetchone()
    if row is None:
        return 0
    balance, owed = row
    part = min(balance, owed)
    transfer_id = _transfer(conn, member_id, Reason.OWED, f"owed:{name}", now)
    assert transfer_id is not None, "a gain comes once"
    # The points earned were lowered when the debt was made.
    conn.execute(
        "update point_accounts set balance = balance - ?, owed = owed - ? where member_id = ?",
        (part, part, member_id),
    )
    _spend_lots(conn, member_id, part)
    _postings(conn, transfer_id, member_id, Reason.OWED, -part, balance - part)
    return int(part)


def _owe(conn: Connection, member_id: int, rest: int, now: float) -> int:
    """Note what could not be taken; nobody owes more than they ever earned."""
    row = conn.execute(
        "select earned from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    rest = 0 if row is None else min(rest, row[0])
    if rest <= 0:
        return 0
    conn.execute(
        "update point_accounts set earned = earned - ?, owed = owed + ?, updated_at = ? "
        "where member_id = ?",
        (rest, rest, now, member_id),
    )
    return rest


def balance_of(conn: Connection, member_id: int) -> int:
    """A member's points now."""
    row = conn.execute(
        "select balance from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def account_of(conn: Connection, member_id: int) -> Account:
    """`Points.balance` within a transaction."""
    row = conn.execute(
        "select balance, earned, owed from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    if row is None:
        return Account()
    ending = conn.execute(
        "select sum(remaining), expires_at from point_lots where member_id = ? "
        "and remaining > 0 and expires_at is not null "
        "group by expires_at order by expires_at limit 1",
        (member_id,),
    ).fetchone()
    ends_next = None if ending is None else (int(ending[0]), ending[1])
    return Account(row[0], row[1], ends_next, row[2])


def expire(conn: Connection, now: float, limit: int = 500) -> int:
    """`Points.expire` within a transaction."""
    due = conn.execute(
        "select member_id, transfer_id, remaining from point_lots where remaining > 0 "
        "and expires_at <= ? order by expires_at, transfer_id limit ?",
        (now, limit),
    ).fetchall()
    for member_id, lot, remaining in due:
        _end(conn, member_id, lot, remaining, now)
    return len(due)


def _transfer(
    conn: Connection,
    member_id: int,
    reason: Reason,
    source_key: str,
    now: float,
    place: str = "",
    actor: str = "",
    note: str = "",
) -> int | None:
    """The row that makes this happen once; None when it has happened, or there is nobody."""
    row = conn.execute(
        "insert into point_transfers (source_key, reason, at, day, place, actor, note) "
        "select ?, ?, ?, ?, ?, ?, ? from members where id = ? "
        "on conflict (source_key) do nothing returning id",
        (source_key, reason.value, now, shanghai_day(now), place, actor, note, member_id),
    ).fetchone()
    return None if row is None else int(row[0])


def _before(conn: Connection, source_key: str) -> Posted:
    row = conn.execute(
        "select coalesce((select q.balance from point_transfers as o join point_postings as q "
        "on q.transfer_id = o.id and q.account = 'member' "
        "where o.source_key = 'owed:' || cast(t.id as text)), p.balance), p.amount "
        "from point_transfers as t join point_postings as p "
        "on p.transfer_id = t.id where t.source_key = ? and p.account in ('member', 'erased')",
        (source_key,),
    ).fetchone()
    if row is None:
        return Posted(Outcome.NOBODY)
    return Posted(Outcome.AGAIN, row[0] or 0, row[1])


def _counted(reason: Reason, amount: int) -> int:
    """What a change does to the points ever earned."""
    if reason in EARNING:
        return amount
    return max(amount, 0) if reason is Reason.OPERATOR else 0


def _give(conn: Connection, member_id: int, amount: int, reason: Reason, now: float) -> int:
    row = conn.execute(
        "insert into point_accounts (member_id, balance, earned, updated_at) values (?, ?, ?, ?) "
        "on conflict (member_id) do update set "
        "balance = point_accounts.balance + excluded.balance, "
        "earned = point_accounts.earned + excluded.earned, updated_at = excluded.updated_at "
        "returning balance",
        (member_id, amount, _counted(reason, amount), now),
    ).fetchone()
    return int(row[0])


def _take(conn: Connection, member_id: int, amount: int, reason: Reason, now: float) -> bool:
    """The one statement that decides: False when there are fewer points than that."""
    changed = conn.execute(
        "update point_accounts set balance = balance - ?, earned = earned + ?, updated_at = ? "
        "where member_id = ? and balance >= ?",
        (amount, _counted(reason, -amount), now, member_id, amount),
    ).rowcount
    return changed == 1


def _spend_lots(conn: Connection, member_id: int, amount: int) -> None:
    if not amount:
        return
    lots = conn.execute(
        "select transfer_id, remaining from point_lots where member_id = ? and remaining > 0 "
        "order by expires_at is null, expires_at, transfer_id",
        (member_id,),
    )
    taken = []
    for lot, remaining in lots:
        part = min(remaining, amount)
        taken.append((part, lot))
        amount -= part
        if not amount:
            break
    conn.executemany("update point_lots set remaining = remaining - ? where transfer_id = ?", taken)


def _postings(
    conn: Connection, transfer_id: int, member_id: int, reason: Reason, amount: int, balance: int
) -> None:
    conn.execute(
        "insert into point_postings (transfer_id, account, member_id, amount, balance) "
        "values (?, 'member', ?, ?, ?), (?, ?, null, ?, null)",
        (transfer_id, member_id, amount, balance, transfer_id, reason.value, -amount),
    )


def _end_due(conn: Connection, member_id: int, now: float) -> None:
    """What has ended by now is gone before anything is spent, whether or not the clock came."""
    due = conn.execute(
        "select transfer_id, remaining from point_lots where member_id = ? and remaining > 0 "
        "and expires_at <= ? order by expires_at, transfer_id",
        (member_id, now),
    ).fetchall()
    for lot, remaining in due:
        _end(conn, member_id, lot, remaining, now)


def _end(conn: Connection, member_id: int, lot: int, remaining: int, now: float) -> None:
    """One gain has ended: what is left of it goes."""
    transfer_id = _transfer(conn, member_id, Reason.EXPIRED, f"expired:{lot}", now)
    assert transfer_id is not None, "a lot ends once"
    conn.execute("update point_lots set remaining = 0 where transfer_id = ?", (lot,))
    taken = _take(conn, member_id, remaining, Reason.EXPIRED, now)
    assert taken, "a balance is the sum of its lots"
    balance = balance_of(conn, member_id)
    _postings(conn, transfer_id, member_id, Reason.EXPIRED, -remaining, balance)


class Points:
    """The ledger, and what hangs on it: badges and rankings.

    Its tables: `point_accounts`, `point_transfers`, `point_postings`, `point_lots`.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def post(
        self,
        member_id: int,
        amount: int,
        reason: str,
        source_key: str,
        now: float,
        *,
        ends_at: float | None = None,
        actor: str = "",
        note: str = "",
        place: str = "",
        at_most: bool = False,
        deed: Deed | None = None,
    ) -> Posted:
        """`post` in a transaction of its own. deed: for the audit."""

        def run(conn: Connection) -> Posted:
            posted = post(
                conn,
                member_id,
                amount,
                reason,
                source_key,
                now,
                ends_at=ends_at,
                actor=actor,
                note=note,
                place=place,
                at_most=at_most,
            )
            if deed is not None and posted.outcome is Outcome.POSTED:
                deed.write(conn, f"member:{member_id}", f"{posted.amount:+} {note}")
            return posted

        return await self._db.write(run)

    async def note_of(self, source_key: str) -> str:
        """The note with which this source key was posted; "" for none."""

        def run(conn: Connection) -> str:
            row = conn.execute(
                "select note from point_transfers where source_key = ?", (source_key,)
            ).fetchone()
            return "" if row is None else str(row[0])

        return await self._db.read(run)

    async def posted(self, source_key: str) -> Posted | None:
        """How this source key was posted; None when it was not."""

        def run(conn: Connection) -> Posted | None:
            found = _before(conn, source_key)
            return None if found.outcome is Outcome.NOBODY else found

        return await self._db.read(run)

    async def balance(self, member_id: int) -> Account:
        """What a member has; nothing for who never had any."""
        return await self._db.read(lambda conn: account_of(conn, member_id))

    async def history(self, member_id: int, limit: int = 10) -> list[Entry]:
        """A member's last changes, newest first."""

        def run(conn: Connection) -> list[Entry]:
            rows = conn.execute(
                "select t.at, t.reason, p.amount, p.balance, t.note, t.actor "
                "from point_postings as p join point_transfers as t on t.id = p.transfer_id "
                "where p.member_id = ? and p.amount <> 0 order by p.transfer_id desc limit ?",
                (member_id, limit),
            )
            return [Entry(*row) for row in rows]

        return await self._db.read(run)

    async def expire(self, now: float, limit: int = 500) -> int:
        """Take away what has ended, the longest ago first; says how many gains ended.

        As many as `limit`: there may be more.
        """
        return await self._db.write(lambda conn: expire(conn, now, limit))

    async def totals(self, since_day: str, until_day: str = rankings.EVER) -> Totals:
        """What was given out and taken in on these days (Shanghai), both included."""

        def run(conn: Connection) -> Totals:
            rows = conn.execute(
                "select t.reason, sum(case when p.amount > 0 then p.amount else 0 end), "
                "sum(case when p.amount < 0 then -p.amount else 0 end) "
                "from point_transfers as t join point_postings as p on p.transfer_id = t.id "
                "where t.day between ? and ? and p.account in ('member', 'erased') "
                "and p.amount <> 0 group by t.reason",
                (since_day, until_day),
            )
            reasons = {row[0]: (int(row[1]), int(row[2])) for row in rows}
            members, outstanding, owed = conn.execute(
                "select coalesce(sum(case when balance > 0 then 1 else 0 end), 0), "
                "coalesce(sum(balance), 0), coalesce(sum(owed), 0) from point_accounts"
            ).fetchone()
            in_order = {one.value: reasons[one.value] for one in Reason if one.value in reasons}
            return Totals(MappingProxyType(in_order), int(members), int(outstanding), int(owed))

        return await self._db.read(run)

    async def useful(
        self,
        faq_id: int,
        voter: int,
        amount: int,
        a_day: int,
        now: float,
        ends_at: float | None = None,
    ) -> int | None:
        """Points for who taught an answer that `voter` finds useful, once for both; who that is.

        a_day: how many of these one member earns on a day. None when nobody earns: the
        voter's own answer, one that no member taught, enough for today.
        """

        def run(conn: Connection) -> int | None:
            teacher = learning.teacher(conn, faq_id)
            if teacher is None or teacher == voter:
                return None
            earned = conn.execute(
                "select count(*) from point_transfers as t join point_postings as p "
                "on p.transfer_id = t.id where t.day = ? and t.reason = 'useful' "
                "and p.member_id = ?",
                (shanghai_day(now), teacher),
            ).fetchone()[0]
            if earned >= a_day:
                return None
            key = f"useful:{faq_id}:{voter}"
            post(conn, teacher, amount, Reason.USEFUL, key, now, ends_at=ends_at)
            return teacher

        return await self._db.write(run)

    # Honours and rankings

    async def honour(self, member_id: int, badges: Sequence[BadgeRule], now: float) -> list[str]:
        """Give the badges that a member has reached; see `honours.honour`."""
        if not badges:
            return []
        return await self._db.write(lambda conn: honours.honour(conn, member_id, badges, now))

    async def badges(self, member_id: int) -> list[tuple[str, float]]:
        """A member's badges and when they were given, oldest first."""
        return await self._db.read(lambda conn: honours.badges_of(conn, member_id))

    async def facts(self, member_id: int) -> dict[str, int]:
        """Everything that a badge can be given for, by its name."""
        return await self._db.read(lambda conn: honours.facts(conn, member_id))

    async def ranking(
        self,
        since_day: str = "",
        until_day: str = rankings.EVER,
        place: str = "",
        limit: int = 10,
        for_member: int = 0,
    ) -> Ranking:
        """Who earned most on these days (Shanghai), both included; see `rankings.ranking`."""

        def run(conn: Connection) -> Ranking:
            return rankings.ranking(
                conn, since_day, until_day, place, limit, for_member, sorted(EARNING)
            )

        return await self._db.read(run)

    async def group_ranking(
        self, place: str, days: tuple[str, str], today: tuple[str, str], limit: int = 10
    ) -> list[GroupPlace]:
        """See the function of this name in `rankings.py`."""

        def run(conn: Connection) -> list[GroupPlace]:
            return rankings.group_ranking(conn, place, days, today, limit, sorted(EARNING))

        return await self._db.read(run)

    async def list_in_rankings(self, member_id: int, listed: bool) -> None:
        """Whether others see this member in rankings; everybody is until they say no."""
        await self._db.write(lambda conn: rankings.list_member(conn, member_id, listed))

    async def call(self, member_id: int, name: str) -> None:
        """What rankings call this member; "" for their number."""
        await self._db.write(lambda conn: rankings.call(conn, member_id, name))

    async def audit_sums(self) -> list[str]:
        """What does not add up, one sentence each; [] when all does. Reads everything."""
        return await self._db.read(audit_sums)


def audit_sums(conn: Connection) -> list[str]:
    """`Points.audit_sums` within a transaction."""
    return point_sums.wrong(conn, sorted(EARNING))
