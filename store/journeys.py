"""Journeys: what members are told one after the other, each counted from their own beginning.

A step is a campaign without a list of its own: a member who begins a journey gets a delivery of
each step, due later. What begins a journey is looked for in `store/journey_triggers.py`. Nothing
is told twice: a member begins once for one occasion, and has one delivery for it of each step
(`store/travellers.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from store import campaigns, statements
from store.campaigns import Campaign, NewCampaign
from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed

Status = Literal["draft", "running", "paused", "closed"]
Kind = Literal["follow", "date", "coupon", "silence", "abandoned", "window"]
Stop = Literal["bought", "left", "answered"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STOPS: tuple[Stop, ...] = get_args(Stop)

ANCHORED: tuple[Kind, ...] = ("date", "coupon")
"""Their members' beginning is a moment that is still to come; steps may be before it."""
SPANNED: tuple[Kind, ...] = ("silence", "abandoned", "window")
"""They say how long: `silence 14d`."""

LATE_S = 86_400.0
"""A step this long past its time is not told any more."""

LONGEST_NAME = 40
MOST_STEPS = 20
WINDOW_S = 48 * 3600.0
"""How long WeChat lets us write after a member's message."""
_MOST_SPAN_S = 366 * 86_400.0
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0}
_TRIGGER = re.compile(r"([a-z]+)(?: ([0-9]{1,5})([dhm]))?")


@dataclass(frozen=True, slots=True)
class Trigger:
    """What begins a journey. span_s: of those in SPANNED, else 0."""

    kind: Kind
    span_s: float = 0.0


def trigger_of(text: str) -> Trigger:
    """ "follow", "date", "coupon", "silence 14d", "abandoned 1d", "window 2h".

    Errors: ValueError, which says what was expected.
    """
    found = _TRIGGER.fullmatch(text)
    kind = next((one for one in KINDS if found is not None and found[1] == one), None)
    if found is None or kind is None:
        raise ValueError(f"one of {', '.join(KINDS)} is expected, with a span such as 14d or 2h")
    if (found[2] is not None) != (kind in SPANNED):
        raise ValueError(f"{kind} takes {'a' if kind in SPANNED else 'no'} span such as 14d or 2h")
    span_s = int(found[2]) * _UNITS[found[3]] if found[2] else 0.0
    most = WINDOW_S if kind == "window" else _MOST_SPAN_S
    if kind in SPANNED and not 0 < span_s < most:
        raise ValueError(f"{kind}: more than 0 and less than {most / 3600:.0f} hours")
    return Trigger(kind, span_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJourney:
    """A journey as somebody wants it; every column is explained in docs/tables-campaigns.md.

    audience: a rule of `store/rules.py`, "everyone" for all. anchor_at: of `date`, Unix seconds.
    """

    name: str
    channel: str
    trigger: str
    audience: str = "everyone"
    stops: tuple[str, ...] = ()
    anchor_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey(NewJourney):
    """A journey as it is kept."""

    id: int
    status: Status
    seen_to: float
    created_at: float
    created_by: str
    started_at: float | None
    ended_at: float | None

    @property
    def begins(self) -> Trigger:
        """Its trigger, read."""
        return trigger_of(self.trigger)


@dataclass(frozen=True, slots=True)
class Count:
    """How many are or were on a journey; stopped: early, by reason."""

    members: int
    stopped: dict[str, int]


def faults(new: NewJourney) -> list[tuple[str, str]]:
    """What is wrong with its shape: (field, why in English); [] when nothing is."""
    return list(_faults(new))


def _faults(new: NewJourney) -> Iterator[tuple[str, str]]:
    if not 1 <= len(new.name.strip()) <= LONGEST_NAME or not new.name.isprintable():
        yield "name", f"1 to {LONGEST_NAME} characters on one line"
    if not new.channel:
        yield "channel", "the account that sends it"
    try:
        kind = trigger_of(new.trigger).kind
    except ValueError as wrong:
        yield "trigger", str(wrong)
    else:
        if (kind == "date") != (new.anchor_at is not None):
            yield "anchor_at", "the date, for the trigger date alone"
    if not new.audience.strip():
        yield "audience", 'a rule; "everyone" for all'
    if not set(new.stops) <= set(STOPS) or len(set(new.stops)) != len(new.stops):
        yield "stops", f"any of {', '.join(STOPS)}, each once"


_COLUMNS = (
    "name, channel, trigger, audience, stops, anchor_at, id, status, seen_to, created_at, "
    "created_by, started_at, ended_at"
)
_NAMES = _COLUMNS.split(", ")


def _of_row(row: Sequence[Any]) -> Journey:
    values = dict(zip(_NAMES, row, strict=True))
    return Journey(**{**values, "stops": tuple(values["stops"].split())})


def _select(conn: Connection, tail: str, *args: Any) -> list[Journey]:
    return [_of_row(row) for row in conn.execute(f"select {_COLUMNS} from journeys {tail}", args)]


def get(conn: Connection, journey_id: int) -> Journey | None:
    """One by its number, inside a transaction; None for none."""
    return next(iter(_select(conn, "where id = ?", journey_id)), None)


def steps(conn: Connection, journey_id: int) -> list[Campaign]:
    """Its steps that were not removed, the earliest first."""
    numbers = conn.execute(
        "select id from campaigns where journey_id = ? and kind = 'step' "
        "and (status <> 'cancelled' or exists (select 1 from journeys as j "
        "where j.id = campaigns.journey_id and j.status = 'closed')) order by delay_s, id",
        (journey_id,),
    ).fetchall()
    found = (campaigns.get(conn, number) for (number,) in numbers)
    return [one for one in found if one is not None]


# Whether a step may still be told


def stopped_for(
    conn: Connection, campaign_id: int, member_id: int, occasion: str, now: float
) -> str:
    """`stopped` of one delivery; "" when it may go."""
    step = campaigns.get(conn, campaign_id)
    if step is None:
        return ""
    pair = (member_id, occasion)
    return stopped(conn, step, [pair], now).get(pair, "")


def stopped(
    conn: Connection, step: Campaign, deliveries: Sequence[tuple[int, str]], now: float
) -> dict[tuple[int, str], str]:
    """Which (member, occasion) are not told a step at this moment, and why; {} for other campaigns.

    "stopped:bought", "stopped:left", "stopped:answered", "stopped:used" (the coupon), "late".
    Asked when deliveries are claimed, so that what a member did a second ago counts.
    """
    journey = None if step.journey_id is None else get(conn, step.journey_id)
    if journey is None:
        return {}
    why, args = stop_rules(conn, journey)
    found = {}
    for member_id, occasion in deliveries:
        row = conn.execute(
            f"select t.started_at, t.stopped_at, t.reason, {why} from journey_members as t "
            "where t.journey_id = ? and t.member_id = ? and t.occasion = ?",
            (*args, journey.id, member_id, occasion),
        ).fetchone()
        if row is None:
            found[member_id, occasion] = "stopped:left"
        elif row[1] is not None:
            found[member_id, occasion] = f"stopped:{row[2]}"
        elif overdue(row[0], step.delay_s or 0.0, step.timing, now):
            found[member_id, occasion] = "late"
        elif row[3]:
            found[member_id, occasion] = f"stopped:{row[3]}"
    return found


def overdue(started_at: float, delay_s: float, timing: str, now: float) -> bool:
    """Whether it is too late for a step: a day after its time.

    What announces something has half as long as it says, at most a day, and never after that
    has begun: "in two hours" is wrong after one.
    """
    if delay_s < 0:
        return now >= started_at or now > started_at + delay_s + min(LATE_S, -delay_s / 2)
    return now > started_at + delay_s + (2 * LATE_S if timing == "best" else LATE_S)


_LEFT = (
    "when not exists (select 1 from identities as i where i.member_id = t.member_id "
    "and i.channel = ? and i.followed = 1) then 'left'"
)
_BOUGHT = (
    "when exists (select 1 from events as e where e.member_id = t.member_id "
    "and e.at >= t.started_at + ? and e.kind = 'purchase') then 'bought'"
)
_ANSWERED = (
    "when exists (select 1 from interactions as n where n.member_id = t.member_id "
    "and n.at >= t.started_at + ? and n.kind not like 'event%') then 'answered'"
)
# Nobody is told that a coupon ends which is used up, whatever the stop rules say.
_USED = (
    "when not exists (select 1 from coupons as c where c.member_id = t.member_id "
    "and 'coupon:' || c.id = t.occasion and c.status = 'claimed') then 'used'"
)


def stop_rules(conn: Connection, journey: Journey) -> tuple[str, tuple[Any, ...]]:
    """What stops a journey, as SQL over `t`, a row of journey_members: the reason, or ''.

    What a member did counts from the earliest step on, which may be before their beginning.
    """
    row = conn.execute(
        "select min(delay_s) from campaigns where journey_id = ?", (journey.id,)
    ).fetchone()
    first = min(0.0, row[0] or 0.0)
    rules: dict[str, tuple[str, Any]] = {
        "left": (_LEFT, journey.channel),
        "bought": (_BOUGHT, first),
        "answered": (_ANSWERED, first),
    }
    chosen = [rules[stop] for stop in rules if stop in journey.stops]
    cases = [sql for sql, _ in chosen] + ([_USED] if journey.trigger == "coupon" else [])
    if not cases:
        return "''", ()
    return f"case {' '.join(cases)} else '' end", tuple(arg for _, arg in chosen)


# What operators do


class Journeys:
    """The tables `journeys` and `journey_members`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(
        self,
        new: NewJourney,
        its_steps: Sequence[NewCampaign],
        now: float,
        by: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Journey | None:
        """Make a draft with its steps; None when a journey that is not closed has the name.

        Of a step the channel, the audience and the kind are the journey's. key: the message that
        asks; the same one again gives the same journey. Errors: ValueError for what `faults` or
        those of the steps would name.
        """

        def run(conn: Connection) -> Journey | None:
            if wrong := faults(new):
                raise ValueError("; ".join(f"{field}: {why}" for field, why in wrong))
            if len(its_steps) > MOST_STEPS:
                raise ValueError(f"steps: at most {MOST_STEPS}")
            row = conn.execute(
                "insert into journeys (name, channel, trigger, audience, stops, anchor_at, status, "
                "created_at, created_by, message_key) values (?, ?, ?, ?, ?, ?, 'draft', ?, ?, ?) "
                "on conflict do nothing returning id",
                (
                    new.name.strip(),
                    new.channel,
                    new.trigger,
                    new.audience.strip(),
                    " ".join(new.stops),
                    new.anchor_at,
                    now,
                    by,
                    key,
                ),
            ).fetchone()
            if row is None:
                again = _select(conn, "where message_key = ?", key) if key is not None else []
                return again[0] if again else None
            made = get(conn, row[0])
            assert made is not None
            for step in its_steps:
                _add_step(conn, made, step, now, by)
            if deed is not None:
                deed.write(conn, f"journey:{made.id}", made.name)
            return made

        return await self._db.write(run)

    async def get(self, journey_id: int) -> Journey | None:
        """One by its number; None for none."""
        return await self._db.read(lambda conn: get(conn, journey_id))

    async def by_name(self, name: str) -> Journey | None:
        """The one of this name that is not closed."""
        found = await self._db.read(
            lambda conn: _select(conn, "where name = ? and status <> 'closed'", name.strip())
        )
        return found[0] if found else None

    async def all(self, *, closed: bool = False, limit: int = 100) -> list[Journey]:
        """Those that are not closed, or (closed) really all; newest first."""
        return await self._db.read(
            lambda conn: _select(
                conn,
                f"where {'true' if closed else 'status <> ' + repr('closed')} "
                "order by id desc limit ?",
                limit,
            )
        )

    async def running(self) -> list[Journey]:
        """Those that members may begin now, oldest first."""
        return await self._db.read(
            lambda conn: _select(conn, "where status = 'running' order by id")
        )

    async def steps(self, journey_id: int) -> list[Campaign]:
        """Its steps, the earliest first."""
        return await self._db.read(lambda conn: steps(conn, journey_id))

    async def count(self, journey_id: int) -> Count:
        """How many are or were on it."""

        def run(conn: Connection) -> Count:
            rows = conn.execute(
                "select case when stopped_at is null then '' else reason end, count(*) "
                "from journey_members where journey_id = ? group by 1",
                (journey_id,),
            ).fetchall()
            stopped = {reason: count for reason, count in rows if reason}
            return Count(sum(count for _, count in rows), stopped)

        return await self._db.read(run)

    async def progress(self, journey_id: int) -> dict[int, dict[str, int]]:
        """Deliveries of each step by their status; {} before anybody began."""

        def run(conn: Connection) -> dict[int, dict[str, int]]:
            found: dict[int, dict[str, int]] = {}
            for campaign_id, status, count in conn.execute(
                "select d.campaign_id, d.status, count(*) from campaigns as c "
                "join deliveries as d on d.campaign_id = c.id where c.journey_id = ? "
                "group by d.campaign_id, d.status",
                (journey_id,),
            ):
                found.setdefault(campaign_id, {})[status] = count
            return found

        return await self._db.read(run)

    async def add_step(
        self, journey_id: int, step: NewCampaign, now: float, by: str, key: bytes, deed: Deed
    ) -> Campaign | None:
        """Add a step while the journey does not run; None when there is no such journey.

        Who is on the journey gets it too, unless its time was more than a day ago.
        """

        def run(conn: Connection) -> Campaign | None:
            again = conn.execute(
                "select id from campaigns where message_key = ?", (key,)
            ).fetchone()
            if again is not None:
                return campaigns.get(conn, again[0])
            journey = get(conn, journey_id)
            if journey is None or journey.status not in ("draft", "paused"):
                return None
            if len(steps(conn, journey_id)) >= MOST_STEPS:
                raise ValueError(f"steps: at most {MOST_STEPS}")
            made = _add_step(conn, journey, step, now, by, key)
            deed.write(conn, f"journey:{journey_id}", f"c{made.id}")
            return made

        return await self._db.write(run)

    async def remove_step(self, journey_id: int, campaign_id: int, now: float, deed: Deed) -> bool:
        """Take a step out while the journey does not run; what is planned of it is skipped."""

        def run(conn: Connection) -> bool:
            journey, step = get(conn, journey_id), campaigns.get(conn, campaign_id)
            if journey is None or journey.status not in ("draft", "paused"):
                return False
            if step is None or step.journey_id != journey_id or step.ended:
                return False
            campaigns.set_status(conn, campaign_id, "cancelled", now, was=(step.status,))
            deed.write(conn, f"journey:{journey_id}", f"c{campaign_id}")
            return True

        return await self._db.write(run)

    async def start(self, journey_id: int, now: float, deed: Deed) -> Journey | None:
        """Begin, or go on after a pause; None when it can't: closed, or without a step.

        It begins for what happens from now on; only `date` begins for everybody. One that runs
        already is given as it is, its steps that had paused by themselves go on.
        """

        def run(conn: Connection) -> Journey | None:
            journey = get(conn, journey_id)
            if journey is None or journey.status == "closed" or not steps(conn, journey_id):
                return None
            moved = _move_steps(conn, journey_id, ("draft", "scheduled", "paused"), "running", now)
            conn.execute(
                "update campaigns set confirmed_at = coalesce(confirmed_at, ?) "
                "where journey_id = ?",
                (now, journey_id),
            )
            if journey.status != "running":
                seen_to = 0.0 if journey.trigger == "date" else now
                conn.execute(
                    "update journeys set status = 'running', "
                    "seen_to = case when started_at is null then ? else seen_to end, "
                    "started_at = coalesce(started_at, ?) where id = ?",
                    (seen_to, now, journey_id),
                )
            if moved or journey.status != "running":
                deed.write(conn, f"journey:{journey_id}", journey.name)
            return get(conn, journey_id)

        return await self._db.write(run)

    async def pause(self, journey_id: int, now: float, deed: Deed) -> Journey | None:
        """Nobody begins it and no step is told until it is started again; None when it can't."""
        return await self._end(journey_id, "paused", "paused", ("running",), now, deed)

    async def close(self, journey_id: int, now: float, deed: Deed) -> Journey | None:
        """End it for good: what is planned is not told any more; None for none."""
        was = ("draft", "running", "paused")
        return await self._end(journey_id, "closed", "cancelled", was, now, deed)

    async def _end(
        self,
        journey_id: int,
        status: Status,
        step_status: campaigns.Status,
        was: Sequence[str],
        now: float,
        deed: Deed,
    ) -> Journey | None:
        def run(conn: Connection) -> Journey | None:
            journey = get(conn, journey_id)
            if journey is None or journey.status == status:
                return journey
            if journey.status not in was:
                return None
            conn.execute(
                "update journeys set status = ?, ended_at = ? where id = ?",
                (status, now if status == "closed" else None, journey_id),
            )
            from_ = ("running",) if status == "paused" else ("draft", "running", "paused")
            _move_steps(conn, journey_id, from_, step_status, now)
            deed.write(conn, f"journey:{journey_id}", journey.name)
            return get(conn, journey_id)

        return await self._db.write(run)


def _add_step(
    conn: Connection,
    journey: Journey,
    step: NewCampaign,
    now: float,
    by: str,
    key: bytes | None = None,
) -> Campaign:
    new = replace(
        step,
        kind="step",
        journey_id=journey.id,
        channel=journey.channel,
        audience=journey.audience,
    )
    made = campaigns.insert(conn, new, now, by, key)
    assert made is not None
    return made


def _move_steps(
    conn: Connection, journey_id: int, was: Sequence[str], to: campaigns.Status, now: float
) -> int:
    moved = [
        campaigns.set_status(conn, step.id, to, now, was=was) for step in steps(conn, journey_id)
    ]
    return sum(one is not None for one in moved)


# What is kept of a person


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What is kept of a member, by table."""
    return {
        "journey_members": statements.rows_of(
            conn,
            "select j.name, t.occasion, t.started_at, t.stopped_at, t.reason "
            "from journey_members as t join journeys as j on j.id = t.journey_id "
            "where t.member_id = ? order by t.id",
            member_id,
        )
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Make it nobody's; rows by table."""
    count = conn.execute(
        "update journey_members set member_id = null, stopped_at = coalesce(stopped_at, ?), "
        "reason = case when reason = '' then 'erased' else reason end where member_id = ?",
        (now, member_id),
    ).rowcount
    return {"journey_members": count}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Give it to another member; of the same occasion of both, theirs stays."""
    conn.execute(
        "delete from journey_members where member_id = ? and exists (select 1 "
        "from journey_members as o where o.journey_id = journey_members.journey_id "
        "and o.occasion = journey_members.occasion and o.member_id = ?)",
        (drop, keep),
    )
    conn.execute("update journey_members set member_id = ? where member_id = ?", (keep, drop))
