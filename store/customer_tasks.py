"""Tasks of customer groups on their way: claimed, asked for, looked after until they end.

What the job in `scheduler/customer_groups.py` does is a row here before and after each call.
`store/customer_groups.py` plans them and counts them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store import statements
from store.customer_groups import (
    CANCELLED,
    DONE,
    REFUSED,
    UNKNOWN,
    WAITING,
    NewTask,
    counts_in,
    end,
    end_planned,
    insert,
    plan_in,
)
from store.customer_messages import CustomerMessage
from store.db import Database
from store.dialect import Connection

LONGEST_CALL_S = 300.0
"""No call takes longer: pictures, a token and the task itself, each once more."""

_SKEW_S = 60.0


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task whose call may leave now. chat_ids: WeCom's names of its groups. body: JSON."""

    id: int
    channel: str
    sender: str
    chat_ids: tuple[str, ...]
    body: str


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that WeCom has. remind: it is to be, and was not yet."""

    id: int
    channel: str
    sender: str
    msgid: str
    left_at: float
    remind: bool


class Result(NamedTuple):
    """What became of a task in one group. status: "sent", "gone", "quota" or "waiting"."""

    chat_id: str
    status: str
    sent_at: float | None


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task as an operator sees it. groups: how many by status."""

    id: int
    campaign_id: int | None
    channel: str
    sender: str
    status: str
    created_at: float
    asked_at: float | None
    reminded_at: float | None
    errcode: int | None
    note: str
    groups: Mapping[str, int]


_RUNNING = (
    "(t.campaign_id is null or exists (select 1 from campaigns as c "
    "where c.id = t.campaign_id and c.status = 'running'))"
)
_ENDED = (
    "exists (select 1 from campaigns as c where c.id = customer_tasks.campaign_id "
    "and c.status in ('cancelled', 'done'))"
)


def _claim(
    conn: Connection, channel: str, senders: Collection[str], now: float
) -> ClaimedTask | None:
    while True:
        row = conn.execute(
            "select t.id, t.sender, t.body from customer_tasks as t "
            "where t.status = 'planned' and t.settled_at is null and t.channel = ? "
            f"and t.due_at <= ? and {_RUNNING} order by t.due_at, t.id limit 1",
            (channel, now),
        ).fetchone()
        if row is None:
            return None
        task_id, sender, body = row
        _settle_gone(conn, task_id, now)
        _hand_over(conn, task_id, senders, now)
        chat_ids = tuple(
            one[0]
            for one in conn.execute(
                "select r.external_id from customer_task_groups as g "
                "join groups as r on r.place = g.place "
                "where g.task_id = ? and g.status = 'waiting' order by r.id",
                (task_id,),
            )
        )
        if chat_ids:
            conn.execute(
                "update customer_tasks set status = 'sending', left_at = ? where id = ?",
                (now, task_id),
            )
            return ClaimedTask(task_id, channel, sender, chat_ids, body)
        end(conn, task_id, DONE, now, note="none of its groups is left")


def _settle_gone(conn: Connection, task_id: int, now: float) -> None:
    """Groups that went meanwhile, or that zhiqun may not act in any more, get nothing."""
    conn.execute(
        "update customer_task_groups set status = case when exists (select 1 from groups as r "
        "where r.place = customer_task_groups.place and r.left_at is null) "
        "then 'unsent' else 'gone' end "
        "where task_id = ? and status = 'waiting' and not exists (select 1 from groups as r "
        "where r.place = customer_task_groups.place and r.left_at is null "
        "and r.bound_at is not null)",
        (task_id,),
    )


def _hand_over(conn: Connection, task_id: int, senders: Collection[str], now: float) -> None:
    """Groups that changed hands since it was planned become a task of their new owner.

    WeCom would refuse them: only the owner can send. A new owner who may not be asked gets none.
    """
    moved: dict[str, list[str]] = {}
    for place, owner in conn.execute(
        "select g.place, r.owner from customer_task_groups as g "
        "join groups as r on r.place = g.place join customer_tasks as t on t.id = g.task_id "
        "where g.task_id = ? and g.status = 'waiting' and r.owner not in ('', t.sender) "
        "order by r.id",
        (task_id,),
    ).fetchall():
        moved.setdefault(owner, []).append(place)
    if not moved:
        return
    key, campaign_id, variant, channel, body, due_at, not_after, remind = conn.execute(
        "select key, campaign_id, variant, channel, body, due_at, not_after, remind "
        "from customer_tasks where id = ?",
        (task_id,),
    ).fetchone()
    for owner, places in moved.items():
        which = [(task_id, place) for place in places]
        if senders and owner not in senders:
            conn.executemany(
                "update customer_task_groups set status = 'unsent' where task_id = ? and place = ?",
                which,
            )
            continue
        named = "\n".join((owner, *places)).encode()
        new = NewTask(
            key=hashlib.blake2b(bytes(key) + named, digest_size=16).digest(),
            channel=channel,
            sender=owner,
            places=tuple(places),
            body=_NO_BODY,
            due_at=due_at,
            not_after=not_after,
            campaign_id=campaign_id,
            variant=variant,
            remind=bool(remind),
        )
        insert(conn, new, body, now)
        conn.executemany("delete from customer_task_groups where task_id = ? and place = ?", which)


_NO_BODY = CustomerMessage()


_LOST = "status = 'sending' and settled_at is null and (left_at < ? or left_at > ?)"


def _waits(conn: Connection, task_id: int) -> bool:
    row = conn.execute(
        "select 1 from customer_task_groups where task_id = ? and status = 'waiting' limit 1",
        (task_id,),
    ).fetchone()
    return row is not None


def _flagged(row: Sequence[Any]) -> list[Any]:
    """A row whose last column is a flag."""
    return [*row[:-1], bool(row[-1])]


def _with(row: Sequence[Any], more: Any) -> list[Any]:
    return [*row, more]


class CustomerTasks:
    """The tables `customer_tasks` and `customer_task_groups`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def plan(self, new: NewTask, now: float) -> bool:
        """Plan a task; False when its key is known. Errors: ValueError."""
        return await self._db.write(lambda conn: plan_in(conn, new, now))

    async def open(self) -> int:
        """How many tasks have not ended."""
        return await self._db.read(
            lambda conn: int(
                conn.execute(
                    "select count(*) from customer_tasks where settled_at is null"
                ).fetchone()[0]
            )
        )

    async def tidy(self, now: float) -> int:
        """End what nobody will call for any more; says how many calls have an unknown end.

        A call that began longer ago than any takes was cut off by a crash. What is planned ends
        with its campaign, or when its time has passed.
        """

        def run(conn: Connection) -> int:
            lost = conn.execute(
                f"select id from customer_tasks where {_LOST}",
                (now - LONGEST_CALL_S, now + _SKEW_S),
            ).fetchall()
            for (task_id,) in lost:
                note = "the process ended during the call"
                end(conn, task_id, UNKNOWN, now, group_status=UNKNOWN, note=note)
            end_planned(conn, "not_after < ?", (now,), now, "its time has passed")
            end_planned(conn, _ENDED, (), now, "its campaign has ended")
            return len(lost)

        return await self._db.write(run)

    async def claim(
        self, channel: str, now: float, senders: Collection[str] = ()
    ) -> ClaimedTask | None:
        """Take the next task that WeCom may be asked for; None when there is none.

        Only of campaigns that run. Groups that have gone are taken out of it, and groups that
        changed hands become a task of their own. senders: who may be asked; none: everybody.
        """
        return await self._db.write(lambda conn: _claim(conn, channel, senders, now))

    async def asked(
        self, task_id: int, msgid: str, failed: Collection[str], now: float, again_at: float
    ) -> None:
        """WeCom has the task. failed: chat ids that it did not take."""

        def run(conn: Connection) -> None:
            done = conn.execute(
                "update customer_tasks set status = 'waiting', msgid = ?, due_at = ?, "
                "settled_at = null, note = '' where id = ? and status in ('sending', 'unknown') "
                "and sender <> '' returning channel",
                (msgid, again_at, task_id),
            ).fetchone()
            if done is None:
                return
            # Who made the call knows better than who found it without an end.
            conn.execute(
                "update customer_task_groups set status = 'waiting' "
                "where task_id = ? and status = 'unknown'",
                (task_id,),
            )
            conn.executemany(
                "update customer_task_groups set status = 'refused' "
                "where task_id = ? and place = ? and status = 'waiting'",
                [(task_id, f"{done[0]}:{chat_id}") for chat_id in failed],
            )
            if not _waits(conn, task_id):
                end(conn, task_id, REFUSED, now, note="WeCom took none of its groups")

        await self._db.write(run)

    async def failed(
        self, task_id: int, status: str, now: float, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """The call was refused, or nobody heard how it ended: "refused" or "unknown"."""

        def run(conn: Connection) -> None:
            row = conn.execute(
                "select 1 from customer_tasks where id = ? and status in ('sending', 'unknown')",
                (task_id,),
            ).fetchone()
            if row is None:
                return
            conn.execute(
                "update customer_task_groups set status = 'waiting' "
                "where task_id = ? and status = 'unknown'",
                (task_id,),
            )
            end(conn, task_id, status, now, group_status=status, errcode=errcode, note=note)

        await self._db.write(run)

    async def put_off(
        self, task_id: int, until: float, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """It certainly was not asked for: again then."""

        def run(conn: Connection) -> None:
            done = conn.execute(
                "update customer_tasks set status = 'planned', settled_at = null, left_at = null, "
                "due_at = ?, errcode = ?, note = ? where id = ? and status in "
                "('sending', 'unknown')",
                (until, errcode, note, task_id),
            )
            if done.rowcount:
                conn.execute(
                    "update customer_task_groups set status = 'waiting' "
                    "where task_id = ? and status = 'unknown'",
                    (task_id,),
                )

        await self._db.write(run)

    async def due(self, channel: str, now: float, limit: int) -> list[WaitingTask]:
        """Tasks whose results are to be asked for now, the longest due first."""
        return await self._waiting("and due_at <= ?", (channel, now), limit)

    async def withdrawn(self, channel: str, limit: int) -> list[WaitingTask]:
        """Tasks that wait at WeCom although their campaign was cancelled."""
        return await self._waiting(
            "and exists (select 1 from campaigns as c where c.id = customer_tasks.campaign_id "
            "and c.status = 'cancelled')",
            (channel,),
            limit,
        )

    async def _waiting(self, where: str, args: Sequence[Any], limit: int) -> list[WaitingTask]:
        def run(conn: Connection) -> list[WaitingTask]:
            rows = conn.execute(
                "select id, channel, sender, msgid, left_at, "
                "case when remind = 1 and reminded_at is null then 1 else 0 end "
                "from customer_tasks where status = 'waiting' and settled_at is null "
                f"and channel = ? {where} order by due_at, id limit ?",
                (*args, limit),
            )
            return [WaitingTask(*_flagged(row)) for row in rows]

        return await self._db.read(run)

    async def looked(
        self, task_id: int, results: Sequence[Result], now: float, again_at: float
    ) -> bool:
        """Write what became of it; True when nothing of it is waited for any more.

        What is known of a group does not change again; groups that are not the task's are
        nobody's.
        """

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "update customer_tasks set asked_at = ?, due_at = ? "
                "where id = ? and status = 'waiting' returning channel",
                (now, again_at, task_id),
            ).fetchone()
            if row is None:
                return True
            conn.executemany(
                "update customer_task_groups set status = ?, sent_at = ? "
                "where task_id = ? and place = ? and status = 'waiting'",
                [
                    (one.status, one.sent_at, task_id, f"{row[0]}:{one.chat_id}")
                    for one in results
                    if one.status != WAITING
                ],
            )
            conn.execute(
                "update customer_task_groups set status = 'gone' "
                "where task_id = ? and status = 'waiting' and exists (select 1 from groups as r "
                "where r.place = customer_task_groups.place and r.left_at is not null)",
                (task_id,),
            )
            if _waits(conn, task_id):
                return False
            end(conn, task_id, DONE, now)
            return True

        return await self._db.write(run)

    async def note(
        self, task_id: int, again_at: float, *, errcode: int | None = None, note: str = ""
    ) -> None:
        """WeCom did not say what became of it: asked again then."""

        def run(conn: Connection) -> None:
            conn.execute(
                "update customer_tasks set due_at = ?, errcode = ?, note = ? "
                "where id = ? and status = 'waiting'",
                (again_at, errcode, note, task_id),
            )

        await self._db.write(run)

    async def give_up(self, task_id: int, status: str, now: float, note: str) -> None:
        """Nothing more is waited for: "done" (nobody confirmed the rest) or "cancelled"."""
        left = "unsent" if status == DONE else CANCELLED

        def run(conn: Connection) -> None:
            row = conn.execute(
                "select 1 from customer_tasks where id = ? and status = 'waiting'", (task_id,)
            ).fetchone()
            if row is not None:
                end(conn, task_id, status, now, group_status=left, note=note)

        await self._db.write(run)

    async def remind(self, task_id: int, now: float) -> bool:
        """Note that the employee is reminded, before they are; False when they were."""

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "update customer_tasks set reminded_at = ? "
                "where id = ? and status = 'waiting' and reminded_at is null",
                (now, task_id),
            )
            return done.rowcount > 0

        return await self._db.write(run)

    async def listed(
        self, statuses: Collection[str] = (WAITING, UNKNOWN, REFUSED), limit: int = 20
    ) -> list[TaskLine]:
        """Tasks that an operator should know of, newest first."""

        def run(conn: Connection) -> list[TaskLine]:
            wanted = ", ".join("?" * len(statuses))
            rows = conn.execute(
                "select id, campaign_id, channel, sender, status, created_at, asked_at, "
                "reminded_at, errcode, note from customer_tasks "
                f"where status in ({wanted}) order by id desc limit ?",
                (*statuses, limit),
            ).fetchall()
            groups: dict[int, dict[str, int]] = {}
            for task_id, status, count in statements.ask(
                conn,
                "select task_id, status, count(*) from customer_task_groups "
                "where task_id in ({rows}) group by task_id, status",
                [row[0] for row in rows],
            ):
                groups.setdefault(task_id, {})[status] = count
            return [TaskLine(*_with(row, groups.get(row[0], {}))) for row in rows]

        return await self._db.read(run)

    async def of_campaign(self, campaign_id: int) -> dict[tuple[str, str], int]:
        """`counts_in` by itself."""
        return await self._db.read(lambda conn: counts_in(conn, campaign_id))
