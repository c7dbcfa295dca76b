"""What operators do to campaigns: every change once, with who did it and what was before.

A change, its line of the audit and the message that asked for it are one transaction; the same
message again finds its change and does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from store import campaigns
from store.campaigns import Campaign, NewCampaign, Status, changed, of_plain, plain, state
from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed

_UNDOABLE = ("new", "edit", "schedule")


@dataclass(frozen=True, slots=True)
class Change:
    """What one message or request has changed. kind: "new", "edit", "undo", "schedule", "pause",
    "resume" or "cancel"; after: what the campaign was then."""

    campaign_id: int
    kind: str
    after: NewCampaign


def _state(campaign: Campaign) -> str:
    values = {**plain(campaign), "status": campaign.status}
    return json.dumps(values, ensure_ascii=False, sort_keys=True)


def _done(conn: Connection, key: bytes | None) -> Campaign | None:
    """What the message with this key has changed already; None when it has not."""
    if key is None:
        return None
    row = conn.execute(
        "select campaign_id from campaign_changes where message_key = ?", (key,)
    ).fetchone()
    return None if row is None else campaigns.get(conn, row[0])


def _note(
    conn: Connection,
    kind: str,
    before: Campaign | None,
    after: Campaign,
    now: float,
    actor: str,
    key: bytes | None,
    deed: Deed | None,
    detail: str = "",
) -> Campaign:
    """Write a change down; gives the campaign as it is since."""
    conn.execute(
        "insert into campaign_changes "
        "(campaign_id, at, actor, kind, before, after, message_key) values (?, ?, ?, ?, ?, ?, ?)",
        (
            after.id,
            now,
            actor,
            kind,
            "" if before is None else _state(before),
            _state(after),
            key,
        ),
    )
    if deed is not None:
        deed.write(conn, f"campaign:{after.id}", detail)
    since = campaigns.get(conn, after.id)
    assert since is not None
    return since


def _put(conn: Connection, campaign_id: int, new: NewCampaign) -> Campaign | None:
    """Make it what `new` says, a draft; None when it has begun."""
    row = conn.execute(
        f"update campaigns set {campaigns.SETS}, status = 'draft', note = '', approved = 0, "
        "confirmed_at = null where id = ? and status in ('draft', 'scheduled') "
        "and started_at is null returning id",
        (*campaigns.given(new), campaign_id),
    ).fetchone()
    if row is None:
        return None
    campaigns.write_variants(conn, campaign_id, new.variants)
    return campaigns.get(conn, campaign_id)


class Campaigns:
    """The table `campaigns`, with its variants, changes and approvals."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, campaign_id: int) -> Campaign | None:
        """One by its number; None for none."""
        return await self._db.read(lambda conn: campaigns.get(conn, campaign_id))

    async def all(
        self, status: str | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Campaign]:
        """Newest first, steps of journeys left out. before: numbers below this one."""
        return await self._db.read(
            lambda conn: campaigns.select(
                conn,
                "where kind <> 'step' and (? or status = ?) and (? or id < ?) "
                "order by id desc limit ?",
                status is None,
                status or "",
                before is None,
                before or 0,
                limit,
            )
        )

    async def change(self, key: bytes) -> Change | None:
        """What the message with this key has changed; None when it changed nothing."""

        def run(conn: Connection) -> Change | None:
            row = conn.execute(
                "select campaign_id, kind, after from campaign_changes where message_key = ? "
                "union all select h.campaign_id, h.kind, h.after from campaigns as c "
                "join campaign_changes as h on h.campaign_id = c.id and h.kind = 'new' "
                "where c.message_key = ?",
                (key, key),
            ).fetchone()
            return None if row is None else Change(row[0], row[1], of_plain(json.loads(row[2])))

        return await self._db.read(run)

    async def steps(self, journey_id: int) -> list[Campaign]:
        """The steps of a journey in the order of their delays, those taken out included."""
        return await self._db.read(lambda conn: campaigns.steps(conn, journey_id))

    async def children(self, parent_id: int, limit: int = 50) -> list[Campaign]:
        """What a repeating one has made, newest first."""
        return await self._db.read(
            lambda conn: campaigns.select(
                conn, "where parent_id = ? order by id desc limit ?", parent_id, limit
            )
        )

    async def create(
        self,
        new: NewCampaign,
        now: float,
        by: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign:
        """Make a draft; the same key again gives the same campaign.

        by: who, as in the audit. Errors: ValueError for what `campaigns.faults` would name.
        """

        def run(conn: Connection) -> Campaign:
            # Looked for first: a refused row would use up a number that people go by.
            known = campaigns.select(conn, "where message_key = ?", key) if key else []
            if known:
                return known[0]
            made = campaigns.insert(conn, new, now, by, key)
            if made is None:
                raise ValueError("starts_at: the repeating one has a campaign of this time")
            return _note(conn, "new", None, made, now, by, None, deed, made.title)

        return await self._db.write(run)

    async def edit(
        self,
        campaign_id: int,
        new: NewCampaign,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign | None:
        """Make it what `new` says: a draft that wants a new confirmation.

        None when there is none, or it has begun. Where nothing differs, nothing happens; a step
        stays a step of its journey. Errors: ValueError for what `campaigns.faults` would name.
        """
        if wrong := campaigns.faults(new):
            raise ValueError("; ".join(f"{field}: {why}" for field, why in wrong))

        def run(conn: Connection) -> Campaign | None:
            if (known := _done(conn, key)) is not None:
                return known
            before = campaigns.get(conn, campaign_id)
            if before is None or not before.editable:
                return None
            after_new = campaigns.adopted(new, before)
            names = changed(before, after_new)
            if not names:
                return before
            after = _put(conn, campaign_id, after_new)
            if after is None:
                return None
            return _note(conn, "edit", before, after, now, actor, key, deed, " ".join(names))

        return await self._db.write(run)

    async def undo(
        self,
        campaign_id: int,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign | None:
        """Take the last change back that is not taken back yet; None when there is none, or the
        campaign has begun.

        What it was before comes back as a draft; a campaign that was only made is cancelled.
        """

        def run(conn: Connection) -> Campaign | None:
            if (known := _done(conn, key)) is not None:
                return known
            before = campaigns.get(conn, campaign_id)
            if before is None or not before.editable:
                return None
            row = conn.execute(
                "select id, kind, before from campaign_changes "
                "where campaign_id = ? and undone_at is null and kind in (?, ?, ?) "
                "order by id desc limit 1",
                (campaign_id, *_UNDOABLE),
            ).fetchone()
            if row is None:
                return None
            change_id, kind, state = row
            after = (
                campaigns.set_status(
                    conn, campaign_id, "cancelled", now, was=campaigns.EDITABLE, note="undone"
                )
                if kind == "new"
                else _put(conn, campaign_id, of_plain(json.loads(state)))
            )
            if after is None:
                return None
            conn.execute("update campaign_changes set undone_at = ? where id = ?", (now, change_id))
            return _note(conn, "undo", before, after, now, actor, key, deed, kind)

        return await self._db.write(run)

    async def approved_by(self, campaign: Campaign) -> tuple[str, ...]:
        """Who has said yes to what this draft is now, first come first; () for no draft,
        and no list that has grown."""
        if campaign.status != "draft" and not _has_grown(campaign):
            return ()
        seen = state(campaign)

        def run(conn: Connection) -> tuple[str, ...]:
            rows = conn.execute(
                "select actor from approvals where campaign_id = ? and digest = ? and at >= "
                "(select coalesce(max(at), 0) from campaign_changes where campaign_id = ?) "
                "order by at, actor",
                (campaign.id, seen, campaign.id),
            ).fetchall()
            return tuple(str(row[0]) for row in rows)

        return await self._db.read(run)

    async def approve(self, campaign_id: int, seen: bytes, actor: str, now: float) -> int:
        """Say yes to a state of a draft, by its `campaigns.state`; how many have said so.

        Or to a list that has grown. 0 when that is not what it is now, or nobody asks. One who
        says it twice is one; what was said before the last change does not count, even if that
        change was taken back.
        """

        def run(conn: Connection) -> int:
            campaign = campaigns.get(conn, campaign_id)
            if campaign is None or state(campaign) != seen:
                return 0
            if campaign.status != "draft" and not _has_grown(campaign):
                return 0
            conn.execute(
                "insert into approvals (campaign_id, digest, actor, at) values (?, ?, ?, ?) "
                "on conflict (campaign_id, digest, actor) do update set at = excluded.at",
                (campaign_id, seen, actor, now),
            )
            row = conn.execute(
                "select count(*) from approvals where campaign_id = ? and digest = ? and at >= "
                "(select coalesce(max(at), 0) from campaign_changes where campaign_id = ?)",
                (campaign_id, seen, campaign_id),
            ).fetchone()
            return int(row[0])

        return await self._db.write(run)

    async def schedule(
        self,
        campaign_id: int,
        seen: bytes,
        approved: int,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
        *,
        starts_at: float | None = None,
        overridden: str = "",
    ) -> Campaign | None:
        """Let a draft go out; None when it is none, or not in this state (its `state`).

        approved: how many recipients were shown. starts_at: the next time of a repeating one;
        of others the draft says it, or it is now. overridden: rules that an owner set aside, for
        the audit.
        """

        def run(conn: Connection) -> Campaign | None:
            if (known := _done(conn, key)) is not None:
                return known
            before = campaigns.get(conn, campaign_id)
            if before is None or state(before) != seen:
                return None
            begins = before.starts_at if starts_at is None else starts_at
            row = conn.execute(
                "update campaigns set status = 'scheduled', approved = ?, confirmed_at = ?, "
                "starts_at = ?, note = '' where id = ? and status = 'draft' returning id",
                (approved, now, now if begins is None else begins, campaign_id),
            ).fetchone()
            if row is None:
                return None
            after = campaigns.get(conn, campaign_id)
            assert after is not None
            # Its time is set with it, so this is another state than the draft's.
            campaigns.vouch(conn, after, actor, now)
            detail = f"{approved} {overridden}".strip()
            return _note(conn, "schedule", before, after, now, actor, key, deed, detail)

        return await self._db.write(run)

    async def pause(
        self,
        campaign_id: int,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign | None:
        """Stop it until somebody resumes it; None when it is not on its way."""
        was = ("scheduled", "freezing", "running", "late")
        return await self._move("pause", campaign_id, "paused", was, now, actor, key, deed)

    async def cancel(
        self,
        campaign_id: int,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign | None:
        """End it for good; None when it has ended. Its deliveries follow in slices, see
        `store/deliveries.py`."""
        was = ("draft", "scheduled", "freezing", "running", "paused", "late")
        return await self._move("cancel", campaign_id, "cancelled", was, now, actor, key, deed)

    async def resume(
        self,
        campaign_id: int,
        now: float,
        actor: str,
        key: bytes | None = None,
        deed: Deed | None = None,
    ) -> Campaign | None:
        """Go on where it was; None when it is neither paused nor late.

        One that is late goes out now: who resumes it has said yes to that.
        """

        def run(conn: Connection) -> Campaign | None:
            if (known := _done(conn, key)) is not None:
                return known
            before = campaigns.get(conn, campaign_id)
            if before is None:
                return None
            to, same = _goes_on(before), campaigns.vouched(conn, before)
            if before.status == "late" or (to == "scheduled" and _is_late(before, now)):
                conn.execute(
                    "update campaigns set starts_at = ?, not_after = null "
                    "where id = ? and status in ('late', 'paused')",
                    (now, campaign_id),
                )
            after = campaigns.set_status(conn, campaign_id, to, now, was=("paused", "late"))
            if after is None:
                return None
            if same:
                campaigns.vouch(conn, after, actor, now)
            return _note(conn, "resume", before, after, now, actor, key, deed)

        return await self._db.write(run)

    async def _move(
        self,
        kind: str,
        campaign_id: int,
        to: Status,
        was: Sequence[str],
        now: float,
        actor: str,
        key: bytes | None,
        deed: Deed | None,
    ) -> Campaign | None:
        def run(conn: Connection) -> Campaign | None:
            if (known := _done(conn, key)) is not None:
                return known
            before = campaigns.get(conn, campaign_id)
            after = campaigns.set_status(conn, campaign_id, to, now, was=was)
            if before is None or after is None:
                return None
            return _note(conn, kind, before, after, now, actor, key, deed)

        return await self._db.write(run)


def _has_grown(campaign: Campaign) -> bool:
    return campaign.status == "paused" and campaign.note == "grown"


def _goes_on(campaign: Campaign) -> Status:
    """What a paused or late one becomes: its list tells how far it was."""
    if campaign.kind == "step" or campaign.planned:
        return "running"
    return "scheduled" if campaign.frozen_at is None else "freezing"


def _is_late(campaign: Campaign, now: float) -> bool:
    return campaign.kind == "once" and campaign.starts_at is not None and campaign.starts_at < now
