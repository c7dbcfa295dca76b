"""Points: a ledger with two sides to every change, so that nothing appears or is lost.

A transfer has a reason, a source key that is unique, and two postings that add up to zero:
the member's, with their balance after it, and the reason's. What is spent comes out of the
oldest gains first, those that end soonest before all others. Other stores call `post` inside
their own transaction, so that a claim and its price are one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from store import honours, learning, rankings
from store.db import Database
from store.dialect import Connection
from store.honours import BadgeRule
from store.rankings import Ranking

_SHANGHAI_S = 8 * 3600


class Reason(StrEnum):
    """What a change is for. Members earn by the first five and lose them by the next four."""

    CHECKIN = "checkin"
    USEFUL = "useful"
    REFERRAL = "referral"
    QUIZ = "quiz"
    PURCHASE = "purchase"
    CLAWBACK = "clawback"
    REFUND = "refund"
    HELD = "held"
    RELEASED = "released"
    COUPON = "coupon"
    MAKEUP = "makeup"
    EXPIRED = "expired"
    OPERATOR = "operator"


EARNING = frozenset(list(Reason)[:9])
"""What counts for levels and rankings; what an operator gives counts for levels only."""


class Outcome(StrEnum):
    """How a posting ended."""

    POSTED = "posted"
    AGAIN = "again"  # this source key has been posted before; nothing changed
    SHORT = "short"  # fewer points than that; nothing changed
    NOBODY = "nobody"  # no such member; nothing changed


@dataclass(frozen=True, slots=True)
class Posted:
    """balance: the member's, after it; amount: what changed, negative for what was taken.

    AGAIN: both as they were the first time. SHORT: the balance as it is, and 0.
    """

    outcome: Outcome
    balance: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """What a member has. earned: ever, less what was taken back; levels go by it.

    ends_next: how many end next and when, Unix seconds; None when none do.
    """

    balance: int = 0
    earned: int = 0
    ends_next: tuple[int, float] | None = None


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

    members: who has points now; outstanding: how many they have together now.
    """

    reasons: Mapping[str, tuple[int, int]]
    members: int
    outstanding: int

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
    take what is there when it is less; even when that is nothing the key is used up, so that
    it never takes what comes later. What has ended by `now` cannot be spent.
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
        if at_most:
            amount = max(amount, -balance)
        if amount and not _take(conn, member_id, -amount, kind, now):
            conn.execute("delete from point_transfers where id = ?", (transfer_id,))
            return Posted(Outcome.SHORT, balance)
        _spend_lots(conn, member_id, -amount)
        balance += amount
    else:
        balance = _give(conn, member_id, amount, kind, now)
        conn.execute(
            "insert into point_lots (transfer_id, member_id, remaining, expires_at) "
            "values (?, ?, ?, ?)",
            (transfer_id, member_id, amount, ends_at),
        )
    _postings(conn, transfer_id, member_id, kind, amount, balance)
    return Posted(Outcome.POSTED, balance, amount)


def balance_of(conn: Connection, member_id: int) -> int:
    """A member's points now."""
    row = conn.execute(
        "select balance from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def account_of(conn: Connection, member_id: int) -> Account:
    """`Points.balance` within a transaction."""
    row = conn.execute(
        "select balance, earned from point_accounts where member_id = ?", (member_id,)
    ).fetchone()
    if row is None:
        return Account()
    ending = conn.execute(
        "select sum(remaining), expires_at from point_lots where member_id = ? "
        "and remaining > 0 and expires_at is not null "
        "group by expires_at order by expires_at limit 1",
        (member_id,),
    ).fetchone()
    return Account(row[0], row[1], None if ending is None else (int(ending[0]), ending[1]))


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
        "select p.balance, p.amount from point_transfers as t join point_postings as p "
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
    ) -> Posted:
        """`post` in a transaction of its own."""

        def run(conn: Connection) -> Posted:
            return post(
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

        return await self._db.write(run)

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
            members, outstanding = conn.execute(
                "select count(*), coalesce(sum(balance), 0) from point_accounts where balance > 0"
            ).fetchone()
            in_order = {one.value: reasons[one.value] for one in Reason if one.value in reasons}
            return Totals(MappingProxyType(in_order), int(members), int(outstanding))

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

    async def list_in_rankings(self, member_id: int, listed: bool) -> None:
        """Whether others see this member in rankings; everybody is until they say no."""
        await self._db.write(lambda conn: rankings.list_member(conn, member_id, listed))

    async def call(self, member_id: int, name: str) -> None:
        """What rankings call this member; "" for their number."""
        await self._db.write(lambda conn: rankings.call(conn, member_id, name))

    async def audit_sums(self) -> list[str]:
        """What does not add up, one sentence each; [] when all does. Reads everything."""
        return await self._db.read(audit_sums)


_SUMS = (
    (
        "transfer {}: its two sides do not add up to zero",
        "select t.id from point_transfers as t left join point_postings as p "
        "on p.transfer_id = t.id group by t.id having count(p.account) <> 2 or sum(p.amount) <> 0",
    ),
    (
        "member {}: the balance is not the sum of the postings",
        "select a.member_id from point_accounts as a where a.balance <> (select "
        "coalesce(sum(p.amount), 0) from point_postings as p where p.member_id = a.member_id)",
    ),
    (
        "member {}: the balance is not what the lots have left",
        "select a.member_id from point_accounts as a where a.balance <> (select "
        "coalesce(sum(l.remaining), 0) from point_lots as l where l.member_id = a.member_id)",
    ),
    (
        "member {}: postings or lots without an account",
        "select p.member_id from point_postings as p where p.member_id is not null "
        "and p.amount <> 0 and p.member_id not in (select member_id from point_accounts) union "
        "select l.member_id from point_lots as l "
        "where l.member_id not in (select member_id from point_accounts)",
    ),
    (
        "member {}: the points earned are not the sum of what earned them",
        "select a.member_id from point_accounts as a where a.balance < 0 "
        "or a.earned < a.balance or a.earned <> (select coalesce(sum(p.amount), 0) "
        "from point_postings as p join point_transfers as t on t.id = p.transfer_id "
        "where p.member_id = a.member_id and (t.reason in ("
        + ", ".join(f"'{one.value}'" for one in sorted(EARNING))
        + ") or (t.reason = 'operator' and p.amount > 0)))",
    ),
)
_RUNNING = (
    "select member_id, transfer_id, amount, balance from point_postings "
    "where member_id is not null order by member_id, transfer_id"
)


def audit_sums(conn: Connection) -> list[str]:
    """`Points.audit_sums` within a transaction."""
    wrong = [said.format(row[0]) for said, sql in _SUMS for row in conn.execute(sql)]
    running: dict[int, int] = {}
    for member_id, transfer_id, amount, balance in conn.execute(_RUNNING):
        running[member_id] = running.get(member_id, 0) + amount
        if running[member_id] != balance:
            wrong.append(f"transfer {transfer_id}: the balance after it is not the sum so far")
    return wrong
