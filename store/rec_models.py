"""Models that were trained: which one serves, which served before, which was not good enough.

The file of a model lies in a folder of its own; its row says what it learned from, what the gate
measured and what became of it. At most one is live, and the change from one to the next is one
transaction: nobody ever finds none or two.
"""

from __future__ import annotations

from typing import NamedTuple

from store.db import Database
from store.dialect import Connection

CANDIDATE, LIVE, REFUSED, RETIRED = "candidate", "live", "refused", "retired"


class Model(NamedTuple):
    """A row of `rec_models`. since, until: the data that it learned from; metrics: JSON.

    checksum: SHA-256 of its file. live_at: since when it serves, or served last; ended_at: when it
    was refused or retired; None for neither.
    """

    id: int
    name: str
    made_at: float
    since: float
    until: float
    checksum: str
    metrics: str
    status: str
    why: str
    live_at: float | None
    ended_at: float | None


_COLUMNS = ", ".join(Model._fields)
_SELECT = f"select {_COLUMNS} from rec_models"


def _one(conn: Connection, where: str, *args: object) -> Model | None:
    row = conn.execute(f"{_SELECT} where {where}", args).fetchone()
    return None if row is None else Model._make(row)


def live(conn: Connection) -> Model | None:
    """The model that serves; None for none."""
    return _one(conn, f"status = '{LIVE}'")


class RecModels:
    """The table `rec_models`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def register(
        self, name: str, made_at: float, since: float, until: float, checksum: str, metrics: str
    ) -> Model:
        """Write down a model whose file is there, as a candidate.

        The same name again gives the row as it stands.
        """

        def run(conn: Connection) -> Model:
            conn.execute(
                "insert into rec_models (name, made_at, since, until, checksum, metrics, status) "
                f"values (?, ?, ?, ?, ?, ?, '{CANDIDATE}') on conflict (name) do nothing",
                (name, made_at, since, until, checksum, metrics),
            )
            found = _one(conn, "name = ?", name)
            assert found is not None
            return found

        return await self._db.write(run)

    async def go_live(self, model_id: int, now: float) -> bool:
        """A candidate serves from now on, and the one before is retired; True when it serves.

        False for one that was refused or retired, or is not there.
        """

        def run(conn: Connection) -> bool:
            wanted = _one(conn, "id = ?", model_id)
            if wanted is None or wanted.status not in (CANDIDATE, LIVE):
                return False
            if wanted.status == CANDIDATE:
                _retire(conn, RETIRED, f"{wanted.name} serves", now)
                _serve(conn, model_id, now)
            return True

        return await self._db.write(run)

    async def rewritten(self, model_id: int, was: str, checksum: str) -> bool:
        """The file of a model was made anew, such as without somebody who was forgotten.

        was: its checksum so far; False when another one stands there.
        """

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "update rec_models set checksum = ? where id = ? and checksum = ?",
                (checksum, model_id, was),
            )
            return done.rowcount == 1

        return await self._db.write(run)

    async def refuse(self, model_id: int, why: str, now: float) -> bool:
        """A candidate was not good enough; False when it is none."""

        def run(conn: Connection) -> bool:
            done = conn.execute(
                f"update rec_models set status = '{REFUSED}', why = ?, ended_at = ? "
                f"where id = ? and status = '{CANDIDATE}'",
                (why, now, model_id),
            )
            return done.rowcount == 1

        return await self._db.write(run)

    async def roll_back(
        self, now: float, why: str = "rolled back", to: int | None = None
    ) -> Model | None:
        """The model that served before serves again; None when there is none, and nothing changes.

        to: the number of another one that served earlier; None: the one before. The one that
        served is refused for good: rolling back further passes it by.
        """

        def run(conn: Connection) -> Model | None:
            running = live(conn)
            if running is None:
                return None
            before = _one(
                conn,
                f"status = '{RETIRED}' and live_at is not null and id < ? and id = coalesce(?, id) "
                "order by id desc limit 1",
                *(running.id, to),
            )
            if before is None:
                return None
            _retire(conn, REFUSED, why, now)
            _serve(conn, before.id, now)
            return _one(conn, "id = ?", before.id)

        return await self._db.write(run)

    async def earlier(self, model_id: int) -> list[Model]:
        """The models that may serve again in place of this one, the newest first."""

        def run(conn: Connection) -> list[Model]:
            rows = conn.execute(
                f"{_SELECT} where status = '{RETIRED}' and live_at is not null and id < ? "
                "order by id desc",
                (model_id,),
            )
            return [Model._make(row) for row in rows]

        return await self._db.read(run)

    async def live(self) -> Model | None:
        """The model that serves; None for none."""
        return await self._db.read(live)

    async def get(self, model_id: int) -> Model | None:
        """A model by its number."""
        return await self._db.read(lambda conn: _one(conn, "id = ?", model_id))

    async def newest(self, limit: int = 20) -> list[Model]:
        """The newest models first, whatever became of them."""

        def run(conn: Connection) -> list[Model]:
            rows = conn.execute(f"{_SELECT} order by id desc limit ?", (limit,))
            return [Model._make(row) for row in rows]

        return await self._db.read(run)

    async def keepers(self, count: int) -> set[str]:
        """Names of the models whose files stay: candidates, and of those that served or may be
        rolled back to the newest `count`, with the one that serves."""

        def run(conn: Connection) -> set[str]:
            rows = conn.execute(
                f"select name from rec_models where status in ('{CANDIDATE}', '{LIVE}') "
                "union select name from (select name from rec_models "
                f"where status in ('{LIVE}', '{RETIRED}') and live_at is not null "
                "order by id desc limit ?) as served",
                (count,),
            )
            return {row[0] for row in rows}

        return await self._db.read(run)


def _retire(conn: Connection, status: str, why: str, now: float) -> None:
    conn.execute(
        f"update rec_models set status = ?, why = ?, ended_at = ? where status = '{LIVE}'",
        (status, why, now),
    )


def _serve(conn: Connection, model_id: int, now: float) -> None:
    conn.execute(
        f"update rec_models set status = '{LIVE}', why = '', live_at = ?, ended_at = null "
        "where id = ?",
        (now, model_id),
    )
