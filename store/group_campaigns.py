"""Campaigns into groups, as rows: begun in one transaction, and followed until they have ended.

All posts and tasks of a campaign are planned together with the status that says that it has
begun, so a process that dies leaves all of them or none; their keys are unique on top of that.
What becomes of them is written by who posts (`store/posts.py`) and by the employees' tasks
(`store/customer_groups.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from store import campaign_places, campaigns, customer_groups, leases, posts
from store.campaign_report import GroupOutcome
from store.campaigns import Campaign, state
from store.customer_groups import NewTask
from store.db import Database
from store.dialect import Connection
from store.leases import Hold
from store.posts import NewPost

KIND = "campaign"
"""What a campaign's posts are for."""

_FAR_S = 1e12


class Refusal(NamedTuple):
    """A group that the campaign names and that gets nothing. why: a short key, for the report."""

    place: str
    channel: str
    variant: str
    why: str


class Waiting(NamedTuple):
    """A planned post. due_at: Unix seconds."""

    id: int
    place: str
    due_at: float


@dataclass(frozen=True, slots=True)
class Left:
    """What a campaign still has to do. next_at: when its next planned post is due, None when
    none is; posts: those planned or under way; tasks: those that have not ended."""

    next_at: float | None
    posts: int
    tasks: int


def begin(
    conn: Connection,
    campaign: Campaign,
    hold: Hold,
    now: float,
    planned: Sequence[NewPost],
    tasks: Sequence[NewTask] = (),
    refused: Sequence[Refusal] = (),
) -> Campaign | None:
    """A scheduled campaign's time has come: it runs, and all that it will say is planned.

    None when the lease is another's, it is not scheduled any more, or not as it was read. One
    that reaches no group is done at once, with the note "no_group".
    """
    if not leases.holds(conn, hold, now):
        return None
    found = campaigns.get(conn, campaign.id)
    if found is None or state(found) != state(campaign):
        return None
    count = len(planned) + sum(len(one.places) for one in tasks)
    to: campaigns.Status = "running" if count else "done"
    note = "" if count else "no_group"
    if campaigns.set_status(conn, campaign.id, to, now, was=("scheduled",), note=note) is None:
        return None
    conn.execute(
        "update campaigns set planned = ?, frozen_at = coalesce(frozen_at, ?), "
        "started_at = coalesce(started_at, ?) where id = ?",
        (count, now, now, campaign.id),
    )
    for post in planned:
        posts.plan_in(conn, post, now)
    for task in tasks:
        customer_groups.plan_in(conn, task, now)
    conn.executemany(
        "insert into posts (key, channel, place, kind, body, status, created_at, due_at, "
        "settled_at, note, campaign_id, variant) "
        "values (?, ?, ?, ?, '', 'refused', ?, ?, ?, ?, ?, ?) on conflict (key) do nothing",
        [
            (
                *(campaign_places.key_of(campaign, one.place), one.channel, one.place, KIND),
                *(now, now, now, one.why, campaign.id, one.variant),
            )
            for one in refused
        ],
    )
    return campaigns.get(conn, campaign.id)


def left(conn: Connection, campaign_id: int) -> Left:
    """What is still to be done."""
    next_at, planned = conn.execute(
        "select min(due_at), count(*) from posts where campaign_id = ? and status = 'planned'",
        (campaign_id,),
    ).fetchone()
    sending = conn.execute(
        "select count(*) from posts where campaign_id = ? and status = 'sending'", (campaign_id,)
    ).fetchone()[0]
    return Left(next_at, planned + sending, customer_groups.open_in(conn, campaign_id))


def finish(conn: Connection, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
    """Call a running one done when nothing is left, or only employees are waited for and its
    window has ended; None otherwise."""
    campaign = campaigns.get(conn, campaign_id)
    if campaign is None or not leases.holds(conn, hold, now):
        return None
    rest = left(conn, campaign_id)
    began = now if campaign.started_at is None else campaign.started_at
    if rest.posts or (rest.tasks and now < began + campaign.window_s):
        return None
    return campaigns.set_status(conn, campaign_id, "done", now, was=("running",))


def cancelled(conn: Connection) -> list[int]:
    """Cancelled campaigns that still have something planned; [] for none."""
    rows = conn.execute(
        "select id from campaigns as c where c.status = 'cancelled' and c.places <> '' and ("
        "exists (select 1 from posts as p where p.campaign_id = c.id and p.status = 'planned') or "
        "exists (select 1 from customer_tasks as t where t.campaign_id = c.id "
        "and t.status = 'planned' and t.settled_at is null))"
    )
    return [row[0] for row in rows]


def drop(conn: Connection, campaign_id: int, now: float) -> int:
    """What is planned of a cancelled campaign is not posted; says how many, tasks included."""
    dropped = conn.execute(
        "update posts set status = 'dropped', settled_at = ?, body = '' "
        "where campaign_id = ? and status = 'planned'",
        (now, campaign_id),
    ).rowcount
    return dropped + customer_groups.drop_in(conn, campaign_id, now)


def _settle(
    conn: Connection,
    moved: Mapping[int, float],
    refused: Mapping[int, str],
    now: float,
) -> None:
    conn.executemany(
        "update posts set due_at = ? where id = ? and status = 'planned' and due_at < ?",
        [(due_at, number, due_at) for number, due_at in moved.items()],
    )
    conn.executemany(
        "update posts set status = 'refused', settled_at = ?, note = ?, body = '' "
        "where id = ? and status = 'planned'",
        [(now, why, number) for number, why in refused.items()],
    )


# What became of it


_POSTS = (
    "select place, channel, variant, status, note, errcode, settled_at from posts "
    "where campaign_id = ? order by id"
)
_TASKS = (
    "select g.place, t.channel, t.variant, case when g.status = 'waiting' "
    "and t.status in ('planned', 'sending') then t.status else g.status end, t.note, t.errcode, "
    "g.sent_at, t.sender from customer_tasks as t "
    "join customer_task_groups as g on g.task_id = t.id where t.campaign_id = ? "
    "order by t.id, g.place"
)
_CLICKS = (
    "select l.ref, l.variant, count(*), count(distinct coalesce('member:' || e.member_id, e.who)) "
    "from events as e join links as l on l.id = e.link_id "
    "where e.campaign = ? and e.campaign <> '' and e.kind = 'click' and e.at < ? "
    "group by l.ref, l.variant"
)
_ENDS = {
    "expired": ("refused", "expired"),
    "gone": ("refused", "left"),
    "quota": ("refused", "quota"),
    "unsent": ("refused", "unsent"),
    "cancelled": ("dropped", ""),
}
"""How a row ended without being sent -> how the report calls that, and why."""


def ref_of(group_id: int) -> str:
    """What a link says of the group that it was posted into."""
    return f"group:{group_id}"


def outcomes(conn: Connection, campaign: Campaign) -> tuple[list[GroupOutcome], dict[str, int]]:
    """What became of it, group by group in their order, and the clicks of each variant.

    Groups that were held out are there, too. ([], {}) before it has begun.
    """
    if campaign.started_at is None:
        return [], {}
    said: dict[str, GroupOutcome] = {}
    for place, channel, variant, status, note, errcode, at in conn.execute(_POSTS, (campaign.id,)):
        status, why = _ENDS.get(status, (status, note if status in ("refused", "unknown") else ""))
        sent_at = at if status == "sent" else None
        said[place] = _outcome(campaign, place, channel, variant, status, why, errcode, sent_at)
    for place, channel, variant, status, note, errcode, at, sender in conn.execute(
        _TASKS, (campaign.id,)
    ):
        status, why = _ENDS.get(status, (status, note if status in ("refused", "unknown") else ""))
        one = _outcome(campaign, place, channel, variant, status, why, errcode, at)
        said[place] = replace(one, employee=sender)
    for place, variant in campaign_places.assigned(campaign).items():
        if not variant:
            said[place] = _outcome(campaign, place, "", "", "held", "", None, None)
    clicks, by_variant = _clicks(conn, campaign, said.values())
    found = []
    for place in campaign.places:
        if (known := said.get(place)) is None:
            continue
        number, title = _named(conn, place)
        one = replace(known, number=number, title=title)
        if one.status in ("sent", "unknown") and not one.employee:
            its, people = clicks.get((ref_of(number), one.variant), (0, 0))
            one = replace(one, clicks=its, people=people)
        found.append(one)
    return found, by_variant


def _outcome(
    campaign: Campaign,
    place: str,
    channel: str,
    variant: str,
    status: str,
    why: str,
    errcode: int | None,
    at: float | None,
) -> GroupOutcome:
    return GroupOutcome(
        campaign=campaign.id,
        place=place,
        channel=channel,
        variant=variant,
        status=status,
        why=why,
        errcode=errcode,
        at=at,
    )


def _named(conn: Connection, place: str) -> tuple[int, str]:
    row = conn.execute("select id, name, alias from groups where place = ?", (place,)).fetchone()
    return (0, "") if row is None else (row[0], row[2] or row[1])


def _clicks(
    conn: Connection, campaign: Campaign, said: Iterable[GroupOutcome]
) -> tuple[dict[tuple[str, str], tuple[int, int]], dict[str, int]]:
    """Clicks and people by what a link says and variant; clicks by variant. Within the window."""
    closes_at = closes(campaign, said)
    by_ref: dict[tuple[str, str], tuple[int, int]] = {}
    by_variant: Counter[str] = Counter()
    until = _FAR_S if closes_at is None else closes_at
    for ref, variant, clicks, people in conn.execute(_CLICKS, (campaign.label, until)):
        by_ref[ref, variant] = (clicks, people)
        by_variant[variant] += clicks
    return by_ref, dict(by_variant)


def closes(campaign: Campaign, said: Iterable[GroupOutcome]) -> float | None:
    """When the window of the last group ends; None while nothing was sent."""
    sent = [one.at for one in said if one.at is not None]
    return max(sent) + campaign.window_s if sent else None


class GroupCampaigns:
    """The campaigns that have places. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(
        self,
        campaign: Campaign,
        hold: Hold,
        now: float,
        planned: Sequence[NewPost],
        tasks: Sequence[NewTask] = (),
        refused: Sequence[Refusal] = (),
    ) -> Campaign | None:
        """`begin` in a transaction of its own."""
        return await self._db.write(
            lambda conn: begin(conn, campaign, hold, now, planned, tasks, refused)
        )

    async def due(self, campaign_id: int, until: float) -> list[Waiting]:
        """Its planned posts that are due by then."""

        def run(conn: Connection) -> list[Waiting]:
            rows = conn.execute(
                "select id, place, due_at from posts where campaign_id = ? "
                "and status = 'planned' and due_at <= ? order by id",
                (campaign_id, until),
            )
            return [Waiting(*row) for row in rows]

        return await self._db.read(run)

    async def put(self, moved: Mapping[int, float], refused: Mapping[int, str], now: float) -> None:
        """Planned posts wait until then, or are not posted, and why."""
        if moved or refused:
            await self._db.write(lambda conn: _settle(conn, moved, refused, now))

    async def left(self, campaign_id: int) -> Left:
        """`left`, read."""
        return await self._db.read(lambda conn: left(conn, campaign_id))

    async def finish(self, campaign_id: int, hold: Hold, now: float) -> Campaign | None:
        """`finish` in a transaction of its own."""
        return await self._db.write(lambda conn: finish(conn, campaign_id, hold, now))

    async def drop_cancelled(self, now: float) -> int:
        """Let what is planned of cancelled campaigns be; says how many."""
        found = await self._db.read(cancelled)
        if not found:
            return 0
        return await self._db.write(lambda conn: sum(drop(conn, one, now) for one in found))

    async def spent(self, places: Sequence[str], at: float) -> dict[str, int]:
        """How many messages customer groups have had on that day, or may yet get."""
        return await self._db.read(lambda conn: customer_groups.spent_in(conn, places, at))
