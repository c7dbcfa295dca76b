"""The budget of what is published with noise: what was spent on whom, and what it said.

Publishing the same figures twice with fresh noise would let the noise be averaged away. So an
answer is kept under its question, and the same question gets the same answer and costs nothing.
Costs add up per audience over a rolling window; what would go beyond the budget is refused, and
its noise is never shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from store.db import Database
from store.dialect import Connection

WINDOW_S = 28 * 86_400.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be published. key: of all that makes it this question and no other.

    audience: who will read it, "group:PLACE" or "public". what: for people, in the list of what
    was spent. epsilon, delta: what it costs. by: who publishes.
    """

    key: bytes
    audience: str
    what: str
    epsilon: float
    by: str
    delta: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Nothing is published: the budget does not reach.

    left: what is left of it; wanted: what this costs; free_at: when enough of it is free again,
    inf when it costs more than the whole budget.
    """

    left: float
    wanted: float
    free_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the account."""

    at: float
    audience: str
    what: str
    epsilon: float
    delta: float
    by: str


class NoiseSpent:
    """The table `noise_spent`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def answer(self, key: bytes) -> str | None:
        """What was published for this question, JSON; None when it was never asked."""

        def run(conn: Connection) -> str | None:
            row = conn.execute("select data from noise_spent where key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

        return await self._db.read(run)

    async def put(self, question: Question, data: str, budget: float, now: float) -> str | Spent:
        """Spend the budget on an answer: what is to be published now, or why nothing is.

        When the question was answered meanwhile, that answer; `data` is dropped then.
        """

        def run(conn: Connection) -> str | Spent:
            row = conn.execute(
                "select data from noise_spent where key = ?", (question.key,)
            ).fetchone()
            if row is not None:
                return str(row[0])
            refused = _refused(conn, question.audience, question.epsilon, budget, now)
            if refused is not None:
                return refused
            conn.execute(
                "insert into noise_spent (key, at, audience, what, epsilon, delta, by, data) "
                "values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(question.key, now, question.audience, question.what, question.epsilon),
                    *(question.delta, question.by, data),
                ),
            )
            return data

        return await self._db.write(run)

    async def refused(
        self, audience: str, epsilon: float, budget: float, now: float
    ) -> Spent | None:
        """Whether a new question of this cost would be refused; None when it would not."""
        return await self._db.read(lambda conn: _refused(conn, audience, epsilon, budget, now))

    async def spent(self, audience: str, now: float) -> float:
        """The epsilon that this audience was told in the last 28 days."""
        return await self._db.read(lambda conn: _spent(conn, audience, now))

    async def entries(self, since: float) -> list[Entry]:
        """The account from then on, in order."""

        def run(conn: Connection) -> list[Entry]:
            rows = conn.execute(
                "select at, audience, what, epsilon, delta, by from noise_spent "
                "where at >= ? order by id",
                (since,),
            )
            return [Entry(*row) for row in rows]

        return await self._db.read(run)


def _spent(conn: Connection, audience: str, now: float) -> float:
    row = conn.execute(
        "select coalesce(sum(epsilon), 0) from noise_spent where audience = ? and at > ?",
        (audience, now - WINDOW_S),
    ).fetchone()
    return float(row[0])


def _refused(
    conn: Connection, audience: str, epsilon: float, budget: float, now: float
) -> Spent | None:
    left = budget - _spent(conn, audience, now)
    if epsilon <= left + _ROUNDING:
        return None
    free_at = float("inf")
    if epsilon <= budget + _ROUNDING:
        rows = conn.execute(
            "select at, epsilon from noise_spent where audience = ? and at > ? order by at",
            (audience, now - WINDOW_S),
        )
        coming = left
        for at, cost in rows:
            coming += cost
            if epsilon <= coming + _ROUNDING:
                free_at = at + WINDOW_S
                break
    return Spent(max(0.0, left), epsilon, free_at)
