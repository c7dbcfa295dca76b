"""WeChat's own tags, as far as they follow ours: what they hold, and what is still to be done.

`member_tags` says what is wanted, `wechat_tagged` what WeChat has said yes to; what differs is
the work, so it goes on wherever a process stopped. Who carried a tag at WeChat before it was
kept in step is not known here and keeps it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.statements import rows_of

BATCH = 50
"""Members that one call of WeChat takes."""

OF_CAMPAIGNS = "campaign:"
"""Tags whose names begin so carry one mass send and are nobody's to keep."""

_SLICE = 2000
"""Rows that one transaction removes."""

Bearers = list[tuple[int, str]]
"""(member's number, openid), by number."""


@dataclass(frozen=True, slots=True)
class WeChatTag:
    """A tag at WeChat. wechat_id: None before WeChat has made it. kept: whether it follows ours;
    one that is not is to go. synced_at: when the two were last the same, None before. note:
    what went wrong last, as `scheduler/tags.py` says it; "" when nothing did."""

    channel: str
    tag: str
    wechat_id: int | None
    kept: bool
    synced_at: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A tag of ours with the members who carry it, and what WeChat has of it, None for nothing.

    tagged: who carries it there, as far as we put it on.
    """

    tag: str
    members: int
    at_wechat: WeChatTag | None
    tagged: int


class WeChatTags:
    """The tables `wechat_tags` and `wechat_tagged`, for tags that are kept; not a campaign's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def keep(self, channel: str, tag: str, deed: Deed | None = None) -> bool:
        """Have WeChat's tag follow ours; False when it does already."""

        def run(conn: Connection) -> bool:
            changed = conn.execute(
                "insert into wechat_tags (channel, tag, kept) values (?, ?, 1) "
                "on conflict (channel, tag) do update set kept = 1, note = '' "
                "where wechat_tags.kept = 0 and wechat_tags.campaign_id is null returning tag",
                (channel, tag),
            ).fetchone()
            if changed is not None and deed is not None:
                deed.write(conn, f"tag:{tag}", channel)
            return changed is not None

        return await self._db.write(run)

    async def drop(self, channel: str, tag: str, deed: Deed | None = None) -> bool:
        """No longer; WeChat's tag goes at the next sync. False when it was not kept."""

        def run(conn: Connection) -> bool:
            args = (channel, tag)
            changed = conn.execute(
                "update wechat_tags set kept = 0, note = '' where channel = ? and tag = ? "
                "and kept = 1 and campaign_id is null",
                args,
            ).rowcount
            # One that WeChat never made is gone at once.
            conn.execute(
                "delete from wechat_tags where channel = ? and tag = ? and kept = 0 "
                "and wechat_id is null and campaign_id is null",
                args,
            )
            if changed and deed is not None:
                deed.write(conn, f"tag:{tag}", channel)
            return bool(changed)

        return await self._db.write(run)

    async def get(self, channel: str, tag: str) -> WeChatTag | None:
        """One of them; None when there is none."""
        found = await self._db.read(lambda conn: _read(conn, channel, tag))
        return found[0] if found else None

    async def all(self, channel: str = "") -> list[WeChatTag]:
        """Every one that is kept or is to go, of one account or of all; by account and name."""
        return await self._db.read(lambda conn: _read(conn, channel))

    async def listed(self, channel: str, limit: int = 100) -> list[Listed]:
        """Tags that members carry, most carried first, and those that are only at WeChat."""

        def run(conn: Connection) -> list[Listed]:
            at_wechat = {one.tag: one for one in _read(conn, channel)}
            tagged = dict(
                conn.execute(
                    "select tag, count(*) from wechat_tagged where channel = ? group by tag",
                    (channel,),
                )
            )
            counts = dict(conn.execute("select tag, count(*) from member_tags group by tag"))
            names = sorted(counts.keys() | at_wechat, key=lambda one: (-counts.get(one, 0), one))
            return [
                Listed(one, counts.get(one, 0), at_wechat.get(one), tagged.get(one, 0))
                for one in names[:limit]
            ]

        return await self._db.read(run)


def _read(conn: Connection, channel: str = "", tag: str = "") -> list[WeChatTag]:
    rows = conn.execute(
        "select channel, tag, wechat_id, kept, synced_at, note from wechat_tags "
        "where campaign_id is null and (? = '' or channel = ?) and (? = '' or tag = ?) "
        "order by channel, tag",
        (channel, channel, tag, tag),
    )
    return [
        WeChatTag(channel, tag, wechat_id, bool(kept), synced_at, note)
        for channel, tag, wechat_id, kept, synced_at, note in rows
    ]


# What is still to be done

# Of two identities on one account the one seen last, as everywhere.
_NEWEST = (
    "not exists (select 1 from identities as j where j.member_id = i.member_id "
    "and j.channel = i.channel and (j.last_seen_at > i.last_seen_at "
    "or (j.last_seen_at = i.last_seen_at and j.external_id > i.external_id)))"
)


def missing(
    conn: Connection, channel: str, tag: str, *, after: int = 0, limit: int = BATCH
) -> Bearers:
    """Followers who carry our tag and not WeChat's, behind `after`; [] when none is left.

    Who unfollowed and came back lost it there, and is missing it again.
    """
    return conn.execute(
        "select t.member_id, i.external_id from member_tags as t "
        "join identities as i on i.member_id = t.member_id and i.channel = ? "
        "left join wechat_tagged as w on w.channel = i.channel and w.tag = t.tag "
        "and w.member_id = t.member_id where t.tag = ? and t.member_id > ? "
        "and i.followed = 1 and i.blocked_at is null "
        f"and (w.member_id is null or i.followed_at > w.at) and {_NEWEST} "
        "order by t.member_id limit ?",
        (channel, tag, after, limit),
    ).fetchall()


def surplus(
    conn: Connection,
    channel: str,
    tag: str,
    *,
    after: int = 0,
    limit: int = BATCH,
    everybody: bool = False,
) -> Bearers:
    """Followers who carry WeChat's tag and no longer ours, behind `after`; [] when none is left.

    everybody: also those who carry ours, when WeChat's is to go.
    """
    kept = "" if everybody else "and t.member_id is null "
    return conn.execute(
        "select w.member_id, i.external_id from wechat_tagged as w "
        "join identities as i on i.member_id = w.member_id and i.channel = w.channel "
        "left join member_tags as t on t.member_id = w.member_id and t.tag = w.tag "
        f"where w.channel = ? and w.tag = ? and w.member_id > ? and i.followed = 1 {kept}"
        f"and {_NEWEST} order by w.member_id limit ?",
        (channel, tag, after, limit),
    ).fetchall()


# What WeChat said yes to


def made(conn: Connection, channel: str, tag: str, wechat_id: int) -> None:
    """WeChat has the tag, under this number. Who carried it before is forgotten by then: `lost`."""
    conn.execute(
        "update wechat_tags set wechat_id = ?, note = '' where channel = ? and tag = ?",
        (wechat_id, channel, tag),
    )


def tagged(
    conn: Connection, channel: str, tag: str, member_ids: Collection[int], now: float
) -> None:
    """These members carry it at WeChat."""
    conn.executemany(
        "insert into wechat_tagged (channel, tag, member_id, at) "
        "select ?, ?, id, ? from members where id = ? "
        "on conflict (channel, tag, member_id) do update set at = excluded.at",
        [(channel, tag, now, member_id) for member_id in member_ids],
    )


def untagged(conn: Connection, channel: str, tag: str, member_ids: Collection[int]) -> None:
    """These members no longer do."""
    conn.executemany(
        "delete from wechat_tagged where channel = ? and tag = ? and member_id = ?",
        [(channel, tag, member_id) for member_id in member_ids],
    )


def noted(
    conn: Connection, channel: str, tag: str, note: str, synced_at: float | None = None
) -> None:
    """What went wrong, "" for nothing; synced_at: the two are the same since then."""
    conn.execute(
        "update wechat_tags set note = ?, synced_at = coalesce(?, synced_at) "
        "where channel = ? and tag = ?",
        (note, synced_at, channel, tag),
    )


def lost(conn: Connection, channel: str, tag: str) -> bool:
    """WeChat has it no more: some of its bearers are forgotten; whether that was all of them.

    A slice at a time. Its number goes first, so that nobody uses it meanwhile.
    """
    conn.execute(
        "update wechat_tags set wechat_id = null, synced_at = null "
        "where channel = ? and tag = ? and wechat_id is not null",
        (channel, tag),
    )
    gone = conn.execute(
        "delete from wechat_tagged where channel = ? and tag = ? and member_id in "
        "(select member_id from wechat_tagged where channel = ? and tag = ? limit ?)",
        (channel, tag, channel, tag, _SLICE),
    ).rowcount
    return gone < _SLICE


def dropped(conn: Connection, channel: str, tag: str) -> bool:
    """WeChat removed it: a slice of its bearers is forgotten, at last itself; whether that was it.

    One that was to be kept again meanwhile stays, to be made anew.
    """
    if not lost(conn, channel, tag):
        return False
    conn.execute(
        "delete from wechat_tags where channel = ? and tag = ? and kept = 0", (channel, tag)
    )
    return True


# What `store/personal.py` asks of every room


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Which of WeChat's tags they carry."""
    sql = "select channel, tag, at from wechat_tagged where member_id = ? order by channel, tag"
    return {"wechat_tagged": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """It goes with them."""
    gone = conn.execute("delete from wechat_tagged where member_id = ?", (member_id,))
    return {"wechat_tagged": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What either carries."""
    conn.execute(
        "insert into wechat_tagged (channel, tag, member_id, at) "
        "select channel, tag, ?, at from wechat_tagged where member_id = ? "
        "on conflict (channel, tag, member_id) do nothing",
        (keep, drop),
    )
    conn.execute("delete from wechat_tagged where member_id = ?", (drop,))
