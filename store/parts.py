"""The calls that carry many deliveries: gathered, sealed, sent, and what WeChat says in the end.

gathering -> sending -> accepted -> delivered | refused, or unknown, or cancelled. A part is
sealed before its call leaves: who is in it, what it says and the name WeChat knows it by
(clientmsgid) never change after, so that it may be sent again until WeChat has said that it
has it. The part's status is the truth; its deliveries follow it in slices (`spread`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from store import campaigns, leases, mass_quota, paces
from store.campaigns import Campaign
from store.db import Database
from store.dialect import Connection
from store.leases import Hold
from store.mass_quota import Counts

SLICE = 1000
"""Deliveries of one transaction."""

KNOWN_S = 23 * 3600.0
"""WeChat remembers a clientmsgid for 24 h: later, the same part would be sent twice."""

EVENT_S = 900.0
"""So long after a send is accepted its finish event may take, before WeChat is asked."""

GIVE_UP_S = 86_400.0
"""After this the part stays accepted: WeChat will say no more."""

RETRY_S = 60.0
"""WeChat wants this long between two calls with one clientmsgid (45066)."""

OPEN = ("gathering", "sending")


@dataclass(frozen=True, slots=True)
class Part:
    """A row of `parts`; see docs/tables-campaigns.md."""

    id: int
    campaign_id: int
    number: int
    variant: str
    route: str
    status: str
    client_id: str
    payload: str
    members: int
    tries: int
    created_at: float
    due_at: float
    left_at: float | None
    msg_id: str
    errcode: int | None
    note: str


COLUMNS = (
    "id, campaign_id, number, variant, route, status, client_id, payload, members, tries, "
    "created_at, due_at, left_at, msg_id, errcode, note"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """How a mass send ended. status: "accepted", "refused", "list" (refused for somebody on it),
    "unknown", "later" or "stop".

    sure: of later, stop, list and refused: this call certainly did nothing.
    """

    status: str
    errcode: int | None = None
    reason: str = ""
    note: str = ""
    msg_id: str = ""
    data_id: str = ""
    after_s: float = 0.0
    sure: bool = True


def get(conn: Connection, part_id: int) -> Part | None:
    """One by its number; None for none."""
    row = conn.execute(f"select {COLUMNS} from parts where id = ?", (part_id,)).fetchone()
    return None if row is None else Part(*row)


def unsettled(conn: Connection) -> list[Part]:
    """All of which something is still to be done or heard, oldest first."""
    rows = conn.execute(f"select {COLUMNS} from parts where settled_at is null order by id")
    return [Part(*row) for row in rows]


def openids(conn: Connection, part: Part, channel: str) -> list[str]:
    """Who is in a part, always in the same order; nobody who was erased since."""
    rows = conn.execute(
        "select (select i.external_id from identities as i where i.member_id = d.member_id "
        "and i.channel = ? order by i.last_seen_at desc limit 1) from deliveries as d "
        "where d.part_id = ? and d.status = 'sending' and d.member_id is not null order by d.id",
        (channel, part.id),
    )
    return [row[0] for row in rows if row[0] is not None]


def begin(
    conn: Connection, campaign: Campaign, hold: Hold, route: str, variant: str, now: float
) -> Part | None:
    """Open the campaign's next part; None when it is not running or the lease is lost."""
    if not leases.holds(conn, hold, now):
        return None
    row = conn.execute(
        "update campaigns set next_part = next_part + 1, "
        "started_at = coalesce(started_at, ?) where id = ? and status = 'running' "
        "returning next_part - 1",
        (now, campaign.id),
    ).fetchone()
    if row is None:
        return None
    # Named by campaign and number, never by the try: every try is the same send to WeChat.
    client_id = f"zq-{campaign.seed.hex()}-{row[0]}"
    made = conn.execute(
        "insert into parts (campaign_id, number, variant, route, status, client_id, fence, "
        f"created_at, due_at) values (?, ?, ?, ?, 'gathering', ?, ?, ?, ?) returning {COLUMNS}",
        (campaign.id, row[0], variant, route, client_id, hold.fence, now, now),
    ).fetchone()
    return Part(*made)


def seal(
    conn: Connection,
    part: Part,
    hold: Hold,
    payload: str,
    per_minute: float,
    now: float,
    *,
    first: bool,
) -> tuple[str, float]:
    """The part leaves now: written down before it does. ("go", 0), or why not and until when:
    "lost", "wait" (for the pace), "old" when it would count in another month than it was
    gathered in, or the campaign's status.

    part: as it is; "gone" when another has gone on with it. first: with its payload; later tries
    keep the first's.
    """
    if not leases.holds(conn, hold, now):
        return "lost", 0.0
    campaign = campaigns.get(conn, part.campaign_id)
    status = "cancelled" if campaign is None else campaign.status
    if campaign is None or status != "running":
        return status, 0.0
    if part.left_at is None and mass_quota.month_of(now) != mass_quota.month_of(part.created_at):
        return "old", 0.0
    burst = max(1, int(per_minute / 10))
    taken = paces.take(conn, f"mass:{campaign.channel}", 1, per_minute, burst, now)
    if not taken.count:
        return "wait", taken.again_at
    changed = conn.execute(
        "update parts set status = 'sending', payload = case when ? then ? else payload end, "
        "fence = ?, tries = tries + 1, left_at = coalesce(left_at, ?), due_at = ? "
        "where id = ? and status = ? and tries = ? and settled_at is null",
        (
            first,
            payload,
            hold.fence,
            now,
            now + RETRY_S,
            part.id,
            "gathering" if first else "sending",
            part.tries,
        ),
    )
    return ("go", 0.0) if changed.rowcount else ("gone", 0.0)


def ended(conn: Connection, part: Part, word: Word, now: float, *, to_all: bool = False) -> str:
    """Write how a call of the part ended; gives the part's status since.

    part: as it was before the call; its left_at tells whether an earlier call may have done it.
    A yes is a fact whoever brings it. What certainly did nothing is only believed of the whole
    part if no other call is in doubt: neither an earlier one nor, for who was asleep between the
    seal and the answer, one that the next runner has made since.
    """
    row = conn.execute(f"select {COLUMNS} from parts where id = ?", (part.id,)).fetchone()
    is_now = Part(*row)
    if word.status == "accepted":
        if is_now.status in ("sending", "unknown", "gathering"):
            _accept(conn, is_now, word, now, to_all=to_all)
        return "accepted"
    if is_now.status != "sending" or is_now.tries != part.tries + 1:
        return is_now.status
    doubt = part.left_at is not None or not word.sure
    if word.status == "list":
        # Smaller lists find out who it is; of two, nobody does, and one of them is innocent.
        many = is_now.members > 2 and not doubt
        word = replace(word, status="stop" if many else "refused", reason="list")
    if word.status == "refused":
        return _move(conn, is_now, "unknown" if doubt else "refused", word, now)
    if word.status == "stop" and not doubt:
        # Its members are free again: whoever goes on asks anew who may be written to.
        return _move(conn, is_now, "cancelled", word, now)
    conn.execute(
        "update parts set due_at = ?, left_at = case when ? then left_at end, errcode = ?, "
        "note = ? where id = ?",
        (
            # WeChat itself said how it is with this name: as soon as it likes. Else a minute.
            now + max(word.after_s, RETRY_S if doubt and word.status != "later" else 1.0),
            doubt or word.status == "unknown",
            word.errcode,
            word.note,
            part.id,
        ),
    )
    return "sending"


def _move(conn: Connection, part: Part, status: str, word: Word, now: float) -> str:
    conn.execute(
        "update parts set status = ?, errcode = ?, note = ?, due_at = ? where id = ?",
        (status, word.errcode, word.reason or word.note, now, part.id),
    )
    return status


def _channel(conn: Connection, campaign_id: int) -> str:
    row = conn.execute("select channel from campaigns where id = ?", (campaign_id,)).fetchone()
    return str(row[0])


def _accept(conn: Connection, part: Part, word: Word, now: float, *, to_all: bool) -> None:
    conn.execute(
        "update parts set status = 'accepted', msg_id = ?, msg_data_id = ?, errcode = ?, "
        "note = '', due_at = ? where id = ?",
        (word.msg_id, word.data_id, word.errcode, now + EVENT_S, part.id),
    )
    if not word.msg_id:
        return
    channel = _channel(conn, part.campaign_id)
    mass_quota.note_send(
        conn, channel, word.msg_id, part.left_at or now, to_all=to_all or part.route == "mass_all"
    )
    # The finish event may have been here before the answer, or instead of it.
    early = conn.execute(
        "select result, total_count, filter_count, sent_count, error_count from mass_sends "
        "where channel = ? and msg_id = ?",
        (channel, word.msg_id),
    ).fetchone()
    if early is not None and early[0]:
        finished(conn, channel, word.msg_id, early[0], early[1:], now)


def _good(result: str) -> bool:
    """WeChat writes "send success" with and without the blank."""
    return "success" in result.casefold()


def finished(
    conn: Connection, channel: str, msg_id: str, result: str, counts: Counts, now: float
) -> bool:
    """WeChat's last word on a mass send; False when it is none of ours that we know of.

    result: its status as it came. counts: total, after the filters, sent, errors. One that is
    not known yet may be ours all the same, its answer on the way: `mass_quota.note_elsewhere`
    keeps the word, and the answer finds it there.
    """
    row = conn.execute(
        "select p.id, p.status from parts as p join campaigns as c on c.id = p.campaign_id "
        "where p.msg_id = ? and p.msg_id <> '' and c.channel = ?",
        (msg_id, channel),
    ).fetchone()
    if row is None or not msg_id:
        return False
    part_id, status = row
    mass_quota.note_finished(conn, channel, msg_id, counts, result)
    conn.execute(
        "update parts set result = ?, total_count = ?, filter_count = ?, sent_count = ?, "
        "error_count = ? where id = ?",
        (result, *counts, part_id),
    )
    if status in ("accepted", "unknown"):
        word = Word(status="", reason="" if _good(result) else f"wechat:{result.strip()}")
        part = get(conn, part_id)
        assert part is not None
        # Open again until its deliveries have followed.
        conn.execute("update parts set settled_at = null where id = ?", (part_id,))
        _move(conn, part, "delivered" if _good(result) else "refused", word, now)
    return True


def looked(conn: Connection, part: Part, status: str, raw: str, now: float) -> None:
    """What mass/get said of a part whose event did not come; see `sending.MassState`."""
    channel = _channel(conn, part.campaign_id)
    nothing = (None, None, None, None)
    if status in ("sent", "deleted"):
        finished(conn, channel, part.msg_id, "send success", nothing, now)
    elif status == "failed":
        finished(conn, channel, part.msg_id, raw or "send fail", nothing, now)
    elif part.left_at is not None and now - part.left_at > GIVE_UP_S:
        conn.execute(
            "update parts set settled_at = ?, note = 'no word from WeChat' where id = ? "
            "and status = 'accepted'",
            (now, part.id),
        )
    else:
        conn.execute("update parts set due_at = ? where id = ?", (now + EVENT_S, part.id))


_TARGET = {
    "accepted": ("accepted", ("sending",)),
    "delivered": ("delivered", ("sending", "accepted", "unknown")),
    "refused": ("refused", ("sending", "accepted", "unknown")),
    "unknown": ("unknown", ("sending",)),
    "cancelled": ("planned", ("sending",)),
}


def spread(conn: Connection, part_id: int, now: float, limit: int = SLICE) -> int:
    """Let some of the part's deliveries follow it; says how many, 0 when all have.

    A part that was cancelled or refused before WeChat took it gives the month's send back.
    """
    part = get(conn, part_id)
    if part is None or part.status not in _TARGET:
        return 0
    status, froms = _TARGET[part.status]
    marks = ", ".join("?" * len(froms))
    rows = conn.execute(
        f"select id, member_id from deliveries where part_id = ? and status in ({marks}) limit ?",
        (part_id, *froms, limit),
    ).fetchall()
    if not rows:
        if part.status != "accepted":
            conn.execute("update parts set settled_at = ? where id = ?", (now, part_id))
        return 0
    ids = [row[0] for row in rows]
    if status == "planned":
        _free(conn, part, ids, now)
    else:
        reason = part.note if status == "refused" else ""
        conn.executemany(
            "update deliveries set status = ?, reason = ?, errcode = ?, settled_at = ? "
            "where id = ?",
            [(status, reason, part.errcode, now, one) for one in ids],
        )
    if status in ("planned", "refused") and not part.msg_id:
        channel = _channel(conn, part.campaign_id)
        month = mass_quota.month_of(part.created_at)
        members = [row[1] for row in rows if row[1] is not None]
        mass_quota.give_back(conn, channel, month, members)
    return len(rows)


def _free(conn: Connection, part: Part, ids: Sequence[int], now: float) -> None:
    """Planned again, as long as there is somebody to send it to and a campaign that sends."""
    campaign = campaigns.get(conn, part.campaign_id)
    over = campaign is None or campaign.status == "cancelled"
    values: tuple[Any, ...] = (
        ("skipped", "cancelled", None, now) if over else ("planned", "", now, None)
    )
    conn.executemany(
        "update deliveries set status = case when member_id is null then 'skipped' else ? end, "
        "reason = case when member_id is null then 'erased' else ? end, due_at = ?, "
        "settled_at = ?, claimed_at = null, part_id = null where id = ?",
        [(*values, one) for one in ids],
    )


def drop(conn: Connection, part: Part, note: str, now: float) -> bool:
    """A part that has not left does not leave; its deliveries are planned again. False when it
    has, or may have."""
    done = conn.execute(
        "update parts set status = 'cancelled', note = ?, due_at = ? "
        "where id = ? and status in ('gathering', 'sending') and left_at is null",
        (note, now, part.id),
    )
    return done.rowcount > 0


def give_up(conn: Connection, part: Part, note: str, now: float) -> bool:
    """A part that left and was not heard of in time: unknown, for an operator."""
    done = conn.execute(
        "update parts set status = 'unknown', note = ?, due_at = ? "
        "where id = ? and status = 'sending'",
        (note, now, part.id),
    )
    return done.rowcount > 0


class Parts:
    """The table `parts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def unsettled(self) -> list[Part]:
        """`unsettled`, read."""
        return await self._db.read(unsettled)

    async def openids(self, part: Part, channel: str) -> list[str]:
        """`openids`, read."""
        return await self._db.read(lambda conn: openids(conn, part, channel))

    async def begin(
        self, campaign: Campaign, hold: Hold, route: str, variant: str, now: float
    ) -> Part | None:
        """`begin` in a transaction of its own."""
        return await self._db.write(lambda conn: begin(conn, campaign, hold, route, variant, now))

    async def get(self, part_id: int) -> Part | None:
        """`get`, read."""
        return await self._db.read(lambda conn: get(conn, part_id))

    async def seal(
        self, part: Part, hold: Hold, payload: str, per_minute: float, now: float, *, first: bool
    ) -> tuple[str, float]:
        """`seal` in a transaction of its own."""
        return await self._db.write(
            lambda conn: seal(conn, part, hold, payload, per_minute, now, first=first)
        )

    async def ended(self, part: Part, word: Word, now: float) -> str:
        """`ended` in a transaction of its own."""
        return await self._db.write(lambda conn: ended(conn, part, word, now))

    async def spread(self, part_id: int, now: float) -> None:
        """`spread` to its end."""
        while await self._db.write(lambda conn: spread(conn, part_id, now)):
            pass

    async def looked(self, part: Part, status: str, raw: str, now: float) -> None:
        """`looked` in a transaction of its own."""
        await self._db.write(lambda conn: looked(conn, part, status, raw, now))

    async def drop(self, part: Part, note: str, now: float) -> bool:
        """`drop` in a transaction of its own."""
        return await self._db.write(lambda conn: drop(conn, part, note, now))

    async def give_up(self, part: Part, note: str, now: float) -> bool:
        """`give_up` in a transaction of its own."""
        return await self._db.write(lambda conn: give_up(conn, part, note, now))

    async def finished(
        self, channel: str, msg_id: str, result: str, counts: Counts, now: float
    ) -> bool:
        """`finished` in a transaction of its own; the runner lets the deliveries follow."""
        return await self._db.write(
            lambda conn: finished(conn, channel, msg_id, result, counts, now)
        )
