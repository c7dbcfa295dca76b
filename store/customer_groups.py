"""Mass sends to customer groups: tasks that WeCom is asked for and an employee confirms.

planned -> sending -> waiting -> done, or refused, unknown, cancelled. `sending` is committed
before the call leaves. WeCom gives no name under which it could be asked twice, so a call that
nobody heard of is `unknown`: listed, and never made again by itself. Each task is one employee's,
for the groups that they own; what became of it is known for each group.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store import statements
from store.customer_members import forget_marks
from store.customer_messages import CustomerMessage, check, message_to_json
from store.dialect import Connection
from store.groups import Group
from store.statements import rows_of

PLANNED = "planned"
SENDING = "sending"
WAITING = "waiting"
DONE = "done"
REFUSED = "refused"
UNKNOWN = "unknown"
CANCELLED = "cancelled"

MOST_GROUPS = 2000
"""Groups that one task takes."""

A_DAY = 1
"""Messages that a customer group gets in a day, by WeCom's rule of about one."""

_DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to plan.

    key: 16 bytes that name it for ever; the same key is planned once. sender: userid of the
    employee who owns the groups. places: 1 to 2,000 groups of this channel. not_after: WeCom is
    not asked later than this. remind: the employee is reminded once, after a day.
    """

    key: bytes
    channel: str
    sender: str
    places: tuple[str, ...]
    body: CustomerMessage
    due_at: float
    not_after: float | None = None
    campaign_id: int | None = None
    variant: str = ""
    remind: bool = False


class Share(NamedTuple):
    """One employee's part of a mass send: at most 2,000 groups that they own."""

    sender: str
    places: tuple[str, ...]


def share_out(
    groups: Sequence[Group], senders: Collection[str] = ()
) -> tuple[list[Share], list[Group]]:
    """Who has to confirm for which groups; and the groups that nobody can, in their order.

    senders: userids that may be asked; none: every owner. A group that is not bound, or whose
    owner WeCom did not say, is left over.
    """
    owned: dict[str, list[str]] = {}
    left: list[Group] = []
    for group in groups:
        if group.bound and group.owner and (not senders or group.owner in senders):
            owned.setdefault(group.owner, []).append(group.place)
        else:
            left.append(group)
    shares = [
        Share(sender, tuple(places[at : at + MOST_GROUPS]))
        for sender, places in owned.items()
        for at in range(0, len(places), MOST_GROUPS)
    ]
    return shares, left


def plan_in(conn: Connection, new: NewTask, now: float) -> bool:
    """Plan a task inside a transaction; False when its key is known.

    Errors: ValueError for a message or groups that WeCom would refuse.
    """
    check(new.body)
    if not new.sender:
        raise ValueError("a task needs the employee who confirms it")
    if not 1 <= len(new.places) <= MOST_GROUPS:
        raise ValueError(f"{len(new.places)} groups; a task takes 1 to {MOST_GROUPS}")
    if any(not place.startswith(f"{new.channel}:") for place in new.places):
        raise ValueError("a task's groups are all on its channel")
    return insert(conn, new, message_to_json(new.body), now)


def insert(conn: Connection, new: NewTask, body: str, now: float) -> bool:
    """`plan_in` with the message as JSON already; False when the key is known."""
    row = conn.execute(
        "insert into customer_tasks (key, campaign_id, variant, channel, sender, body, status, "
        "created_at, due_at, not_after, remind) values (?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?) "
        "on conflict (key) do nothing returning id",
        (
            *(new.key, new.campaign_id, new.variant, new.channel, new.sender, body),
            *(now, new.due_at, new.not_after, int(new.remind)),
        ),
    ).fetchone()
    if row is None:
        return False
    statements.run(
        conn,
        "insert into customer_task_groups (task_id, place, status) values {rows} "
        "on conflict do nothing",
        [(row[0], place, WAITING) for place in new.places],
    )
    return True


def drop_in(conn: Connection, campaign_id: int, now: float) -> int:
    """A campaign was cancelled: what WeCom was not asked for is not asked for; says how many.

    What it was asked for is taken back by the job, as far as WeCom still can.
    """
    return end_planned(conn, "campaign_id = ?", (campaign_id,), now, "its campaign has ended")


def open_in(conn: Connection, campaign_id: int) -> int:
    """How many of a campaign's tasks have not ended."""
    return int(
        conn.execute(
            "select count(*) from customer_tasks where campaign_id = ? and settled_at is null",
            (campaign_id,),
        ).fetchone()[0]
    )


def counts_in(conn: Connection, campaign_id: int) -> dict[tuple[str, str], int]:
    """A campaign's groups by variant and status; {} for none.

    status: that of the group, or "planned" and "sending" as long as its task is.
    """
    rows = conn.execute(
        "select t.variant, case when g.status = 'waiting' and t.status in ('planned', 'sending') "
        "then t.status else g.status end, count(*) from customer_tasks as t "
        "join customer_task_groups as g on g.task_id = t.id where t.campaign_id = ? "
        "group by 1, 2 order by 1, 2",
        (campaign_id,),
    )
    return {(variant, status): count for variant, status, count in rows}


def spent_in(conn: Connection, places: Collection[str], at: float) -> dict[str, int]:
    """How many messages each group has had, or may yet get, on the Shanghai day of `at`.

    A group without any is not there. Only what went through here: an employee's own sends count
    for WeCom as well, and nobody tells us of them.
    """
    begin = (at + _SHANGHAI_S) // _DAY_S * _DAY_S - _SHANGHAI_S
    end = begin + _DAY_S
    rows = statements.ask(
        conn,
        "select g.place, count(*) from customer_task_groups as g "
        "join customer_tasks as t on t.id = g.task_id where g.place in ({rows}) and ("
        f"(g.status = 'sent' and g.sent_at >= {begin!r} and g.sent_at < {end!r}) "
        f"or (g.status = 'quota' and t.asked_at >= {begin!r} and t.asked_at < {end!r}) "
        f"or (g.status = 'unknown' and t.left_at >= {begin!r} and t.left_at < {end!r}) "
        "or (g.status = 'waiting' and t.status in ('sending', 'waiting')) "
        f"or (g.status = 'waiting' and t.status = 'planned' and t.due_at < {end!r})"
        ") group by g.place",
        places,
    )
    return dict(rows)


def quota_left(conn: Connection, place: str, at: float) -> int:
    """How many more messages a group can get on the day of `at`: 1 or 0."""
    return max(0, A_DAY - spent_in(conn, (place,), at).get(place, 0))


def end(
    conn: Connection,
    task_id: int,
    status: str,
    now: float,
    *,
    group_status: str = "",
    errcode: int | None = None,
    note: str = "",
) -> None:
    """A task ends; its groups that still wait get `group_status`."""
    conn.execute(
        "update customer_tasks set status = ?, settled_at = ?, errcode = coalesce(?, errcode), "
        "note = ? where id = ?",
        (status, now, errcode, note, task_id),
    )
    if group_status:
        conn.execute(
            "update customer_task_groups set status = ? where task_id = ? and status = 'waiting'",
            (group_status, task_id),
        )


def end_planned(conn: Connection, where: str, args: Sequence[Any], now: float, note: str) -> int:
    """Cancel what is planned and fits the condition; says how many."""
    found = conn.execute(
        "select id from customer_tasks where status = 'planned' and settled_at is null "
        f"and {where}",
        args,
    ).fetchall()
    for (task_id,) in found:
        end(conn, task_id, CANCELLED, now, group_status=CANCELLED, note=note)
    return len(found)


# Of one person: `store/personal.py`. An employee who confirms tasks may be a member, too.

_MINE = (
    "exists (select 1 from identities as i where i.channel = customer_tasks.channel "
    "and i.external_id = customer_tasks.sender and i.member_id = ?)"
)


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """The tasks that they had to confirm."""
    sql = (
        f"select channel, sender, status, created_at from customer_tasks where {_MINE} order by id"
    )
    return {"customer_tasks": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their tasks stay as a count, without them; what they have not confirmed is not asked for.

    A task that WeCom has already may still be confirmed: its end is not known any more. Who is
    forgotten and stays in a customer group is not met there again.
    """
    forget_marks(conn, member_id)
    mine = conn.execute(
        f"select id, status from customer_tasks where {_MINE}", (member_id,)
    ).fetchall()
    for task_id, status in mine:
        if status == PLANNED:
            end(conn, task_id, CANCELLED, now, group_status=CANCELLED)
        elif status in (SENDING, WAITING):
            end(conn, task_id, UNKNOWN, now, group_status=UNKNOWN)
    conn.executemany(
        "update customer_tasks set sender = '' where id = ?", [(row[0],) for row in mine]
    )
    return {"customer_tasks": len(mine)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Nothing: a task names its employee by identity, which goes along."""
