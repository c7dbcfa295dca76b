"""The ledger against a model, through thousands of random histories.

Whatever is earned, spent, taken back, ended, repeated, joined and erased: the balance is the
sum of the entries and of the lots, both sides of every change add up to zero, what is taken
back and not there is owed and paid first, nobody has less than nothing, and a source counts
once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store import Store, honours, points, points_personal
from store.dialect import Connection
from store.points import EARNING, Outcome, Posted, Reason
from tests.blank import blank
from tests.store.rows import NOW

MEMBERS = (1, 2, 3)
"""Who is there at first. For who leaves a new member comes, so that there are always three."""

GAIN = st.integers(1, 90)
LOSS = st.integers(1, 40)
WHO = st.integers(0, 2)
SPENT = (Reason.COUPON, Reason.MAKEUP, Reason.OPERATOR)
TAKEN_BACK = (Reason.CLAWBACK, Reason.REFUND, Reason.HELD)
EARNED = (*sorted(EARNING - set(TAKEN_BACK)), Reason.OPERATOR)


@cache
def _empty() -> bytes:
    """A file with the schema and three members, made once."""

    async def made(path: Path) -> bytes:
        store = Store(blank(path), durability="process")
        await store.open()
        for number in MEMBERS:
            assert (await store.members.meet("mp", f"oTEST_{number}", NOW)).id == number
        await store.close()
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("pragma journal_mode = delete")  # in memory there is no log
            return conn.serialize()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(made(Path(folder) / "empty.db"))


class Lot:
    """A gain of the model; number: which one it is, as the ledger counts them."""

    def __init__(self, number: int, left: int, ends_at: float | None) -> None:
        self.number = number
        self.left = left
        self.ends_at = ends_at

    def order(self) -> tuple[float, int]:
        return (float("inf") if self.ends_at is None else self.ends_at, self.number)


class Ledger(RuleBasedStateMachine):
    """The store's functions on one connection, and what they should have led to."""

    def __init__(self) -> None:
        super().__init__()
        self.conn: Connection = sqlite3.connect(":memory:", isolation_level=None)
        self.conn.deserialize(_empty())
        self.conn.execute("pragma foreign_keys = on")
        self.now = NOW
        self.number = 0
        self.gone: list[int] = []
        self.lots: dict[int, list[Lot]] = {number: [] for number in MEMBERS}
        self.earned: dict[int, int] = dict.fromkeys(MEMBERS, 0)
        self.owed: dict[int, int] = dict.fromkeys(MEMBERS, 0)
        self.known: dict[str, tuple[int, Posted]] = {}
        """Source key -> whose, and how it ended."""

    def teardown(self) -> None:
        self.conn.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.conn.execute("begin immediate")
        yield
        self.conn.execute("commit")

    def balance(self, member: int) -> int:
        return sum(lot.left for lot in self.lots[member])

    def end_due(self, member: int) -> None:
        for lot in self.lots[member]:
            if lot.ends_at is not None and lot.ends_at <= self.now:
                lot.left = 0

    def spend(self, member: int, amount: int) -> None:
        for lot in sorted(self.lots[member], key=Lot.order):
            part = min(lot.left, amount)
            lot.left -= part
            amount -= part
        assert amount == 0

    def member(self, which: int) -> int:
        """One of the three that are there."""
        return sorted(self.lots)[which]

    def post(
        self, who: int, amount: int, reason: Reason, ends_at: float | None, at_most: bool
    ) -> None:
        member = self.member(who)
        self.number += 1
        key = f"{reason.value}:{self.number}"
        with self.transaction():
            posted = points.post(
                *(self.conn, member, amount, reason, key, self.now),
                ends_at=ends_at,
                at_most=at_most,
            )
        owed = 0
        if amount < 0:
            self.end_due(member)
            if at_most:
                rest = max(0, -amount - self.balance(member))
                amount += rest
                if reason is not Reason.HELD:
                    owed = min(rest, self.earned[member] + amount)
        before = self.balance(member)
        if before + amount < 0:
            assert posted == Posted(Outcome.SHORT, before)
            return
        paid = min(self.owed[member], amount) if amount > 0 else 0
        assert posted == Posted(Outcome.POSTED, before + amount - paid, amount, owed)
        self.owed[member] += owed - paid
        self.earned[member] -= owed
        if amount > 0:
            self.lots[member].append(Lot(self.number, amount, ends_at))
            self.spend(member, paid)
        else:
            self.spend(member, -amount)
        if reason in EARNING or (reason is Reason.OPERATOR and amount > 0):
            self.earned[member] += amount
        self.known[key] = (member, posted)

    @rule(
        who=WHO,
        amount=GAIN,
        reason=st.sampled_from(EARNED),
        seconds=st.one_of(st.none(), st.integers(0, 9)),
    )
    def earn(self, who: int, amount: int, reason: Reason, seconds: int | None) -> None:
        self.post(who, amount, reason, None if seconds is None else self.now + seconds, False)

    @rule(who=WHO, amount=LOSS, reason=st.sampled_from(SPENT))
    def buy(self, who: int, amount: int, reason: Reason) -> None:
        self.post(who, -amount, reason, None, False)

    @rule(who=WHO, amount=LOSS, reason=st.sampled_from(TAKEN_BACK))
    def take_back(self, who: int, amount: int, reason: Reason) -> None:
        self.post(who, -amount, reason, None, True)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), amount=GAIN)
    def repeat(self, data: st.DataObject, amount: int) -> None:
        """The same source again, with another amount, by its member or anybody."""
        key = data.draw(st.sampled_from(sorted(self.known)))
        member, posted = self.known[key]
        with self.transaction():
            again = points.post(self.conn, member, amount, Reason.QUIZ, key, self.now)
        assert (again.outcome, again.amount) == (Outcome.AGAIN, posted.amount)

    @rule(seconds=st.integers(0, 3))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(limit=st.integers(1, 5))
    def expire(self, limit: int) -> None:
        with self.transaction():
            count = points.expire(self.conn, self.now, limit)
        due = [
            lot
            for lots in self.lots.values()
            for lot in lots
            if lot.left and lot.ends_at is not None and lot.ends_at <= self.now
        ]
        due.sort(key=Lot.order)
        assert count == min(limit, len(due))
        for lot in due[:limit]:
            lot.left = 0

    @rule(which=st.permutations((0, 1, 2)))
    def merge(self, which: list[int]) -> None:
        keep, drop = self.member(which[0]), self.member(which[1])
        with self.transaction():
            points_personal.merge(self.conn, keep, drop)
            self.leave(drop)
        self.lots[keep] += self.lots.pop(drop)
        self.earned[keep] += self.earned.pop(drop)
        self.owed[keep] += self.owed.pop(drop)
        paid = min(self.owed[keep], self.balance(keep))
        self.owed[keep] -= paid
        self.spend(keep, paid)
        for key, (member, posted) in self.known.items():
            if member == drop:
                self.known[key] = (keep, posted)

    @rule(who=WHO)
    def erase(self, who: int) -> None:
        member = self.member(who)
        with self.transaction():
            points_personal.forget(self.conn, member, self.now)
            self.leave(member)
        del self.lots[member], self.earned[member], self.owed[member]
        self.known = {key: one for key, one in self.known.items() if one[0] != member}

    @precondition(lambda self: self.gone)
    @rule(amount=st.sampled_from((5, -5)), at_most=st.booleans())
    def reach_somebody_who_left(self, amount: int, at_most: bool) -> None:
        with self.transaction():
            posted = points.post(
                *(self.conn, self.gone[-1], amount, Reason.OPERATOR, "late", self.now),
                at_most=at_most,
            )
        assert posted == Posted(Outcome.NOBODY)

    def leave(self, member: int) -> None:
        """Fails while any row still names them; another member comes."""
        self.conn.execute("delete from identities where member_id = ?", (member,))
        self.conn.execute("delete from members where id = ?", (member,))
        self.gone.append(member)
        (new,) = self.conn.execute(
            "insert into members (role, created_at) values ('member', 0) returning id"
        ).fetchone()
        self.lots[new], self.earned[new], self.owed[new] = [], 0, 0

    @invariant()
    def all_sums_are_right(self) -> None:
        assert points.audit_sums(self.conn) == []
        assert len(self.lots) == len(MEMBERS)
        for member in self.lots:
            account = points.account_of(self.conn, member)
            assert account.balance == self.balance(member) >= 0
            assert account.earned == self.earned[member]
            assert account.owed == self.owed[member]
            known = honours.facts(self.conn, member, ["earned"])
            assert known == {"earned": account.earned}
            left = self.conn.execute(
                "select remaining from point_lots where member_id = ? order by transfer_id",
                (member,),
            ).fetchall()
            lots = sorted(self.lots[member], key=lambda lot: lot.number)
            assert [row[0] for row in left] == [lot.left for lot in lots]
        total = self.conn.execute("select coalesce(sum(amount), 0) from point_postings").fetchone()
        assert total == (0,)


TestLedger = Ledger.TestCase
TestLedger.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
