"""Tracked links: where each leads, what it was made for, and what became of it.

A link is one row however many members get it: the member stands in the token, not here
(`bot/links.py`). Clicks of people are rows of `events`; what only fetched a link is counted
in `link_fetches`. Where a link may lead is judged by who makes it and by who follows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from store import chain
from store.db import Database
from store.dialect import Connection

Kind = Literal["preview", "bot"]
Fetched = tuple[int, str, Kind]
"""What a fetch is counted under: the link, the day in Shanghai ("2026-11-21"), who fetched."""

SECRET = "links_secret"  # noqa: S105 - a name
"""Where `meta` keeps the key that signs tokens."""

_COLUMNS = (
    "l.id, l.item_id, l.url, l.campaign, l.variant, l.source, l.ref, l.created_at, "
    "l.expires_at, l.revoked_at"
)
_SHANGHAI_S = 8 * 3600
_EPOCH = date(1970, 1, 1).toordinal()
# Whole seconds, so that the division is a whole one everywhere: one database cuts a
# fraction off, another rounds it.
_WHOLE = "(cast(at as bigint) - case when cast(at as bigint) > at then 1 else 0 end)"


@dataclass(frozen=True, slots=True)
class Link:
    """One tracked link. item_id: it follows this item, and url is ""; or url alone is given.

    source: "campaign", "answer", "recommendation", "referral", "catalogue" or "". ref: what
    in that source ("faq:12"). expires_at: None for never.
    """

    id: int
    item_id: str
    url: str
    campaign: str
    variant: str
    source: str
    ref: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link wanted: the same wishes give the same link, until it is revoked."""

    item_id: str = ""
    url: str = ""
    campaign: str = ""
    variant: str = ""
    source: str = ""
    ref: str = ""
    expires_at: float | None = None

    @property
    def key(self) -> str:
        """A hash of all that is wished."""
        says = (self.item_id, self.url, self.campaign, self.variant, self.source, self.ref)
        text = json.dumps((*says, self.expires_at), ensure_ascii=False)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """A link as it is in the table. fresh: made by this very call."""

    link: Link
    fresh: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A link and where it leads now. url: the item's present one.

    gone: the item is archived, or has no address any more.
    """

    link: Link
    url: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a link.

    clicks: by people. people: the members among them, and each click of somebody unknown.
    members: the known ones. by_day: (day in Shanghai, clicks), days without any left out.
    previews, bots: fetches that were no click. last_at: the newest click, None without one.
    """

    target: Target
    clicks: int
    people: int
    members: int
    by_day: tuple[tuple[str, int], ...]
    previews: int
    bots: int
    last_at: float | None


class Links:
    """The tables `links` and `link_fetches`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def secret(self, fresh: bytes) -> bytes:
        """The key that signs tokens; `fresh` becomes it when there is none yet."""

        def run(conn: Connection) -> bytes:
            conn.execute(
                "insert into meta (name, value) values (?, ?) on conflict (name) do nothing",
                (SECRET, fresh.hex()),
            )
            row = conn.execute("select value from meta where name = ?", (SECRET,)).fetchone()
            return bytes.fromhex(row[0])

        return await self._db.write(run)

    async def find(self, wanted: Iterable[NewLink]) -> dict[NewLink, Link]:
        """Those of the wanted links that exist; no write."""
        keys = {new.key: new for new in wanted}

        def run(conn: Connection) -> dict[NewLink, Link]:
            found = {}
            for key, new in keys.items():
                if (link := _with_key(conn, key)) is not None:
                    found[new] = link
            return found

        return await self._db.read(run)

    async def create(self, wanted: Sequence[NewLink], now: float, by: str) -> list[Made]:
        """The wanted links, in their order; those that exist are given as they are.

        by: "member:3", "key:ID", "cli", or "bot" for links that nobody asked for by hand;
        only those leave no line in the audit.
        """

        def run(conn: Connection) -> list[Made]:
            return [_make(conn, new, now, by) for new in wanted]

        return await self._db.write(run) if wanted else []

    async def target(self, link_id: int) -> Target | None:
        """A link and where it leads now; None when there is no such link."""

        def run(conn: Connection) -> Target | None:
            return _target(conn, link_id)

        return await self._db.read(run)

    async def page(self, after_id: int = 0, limit: int = 100, campaign: str = "") -> list[Link]:
        """Links by id, those after `after_id`; of one campaign, or ("") of all. [] at the end."""

        def run(conn: Connection) -> list[Link]:
            rows = conn.execute(
                f"select {_COLUMNS} from links as l where l.id > ? "
                "and (? = '' or l.campaign = ?) order by l.id limit ?",
                (after_id, campaign, campaign, limit),
            )
            return [Link(*row) for row in rows]

        return await self._db.read(run)

    async def item_with(self, url: str) -> str | None:
        """The id of the live item with exactly this url; None when there is none."""

        def run(conn: Connection) -> str | None:
            row = conn.execute(
                "select id from items where url = ? and archived_at is null order by id limit 1",
                (url,),
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._db.read(run)

    async def revoke(self, link_id: int, now: float, by: str) -> bool:
        """End a link for all who have it; False when there is none, or it has ended before.

        What it said may be wished again: that gives another link.
        """

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "update links set revoked_at = ?, key = null where id = ? and revoked_at is null",
                (now, link_id),
            ).rowcount
            if done:
                chain.append(conn, now, by, "link.revoke", f"link:{link_id}", "")
            return bool(done)

        return await self._db.write(run)

    async def count_fetches(self, counts: Mapping[Fetched, int]) -> None:
        """Add fetches that were no click; those of links that do not exist are left out."""

        def run(conn: Connection) -> None:
            conn.executemany(
                "insert into link_fetches (link_id, day, kind, count) "
                "select id, ?, ?, ? from links where id = ? "
                "on conflict (link_id, day, kind) do update set "
                "count = link_fetches.count + excluded.count",
                [(day, kind, count, link_id) for (link_id, day, kind), count in counts.items()],
            )

        if counts:
            await self._db.write(run)

    async def report(self, link_id: int) -> Report | None:
        """What became of a link; None when there is no such link."""

        def run(conn: Connection) -> Report | None:
            target = _target(conn, link_id)
            if target is None:
                return None
            clicks, people, members, last_at = conn.execute(
                "select count(*), count(distinct coalesce('member:' || member_id, who)), "
                "count(distinct member_id), max(at) from events "
                "where link_id = ? and kind = 'click'",
                (link_id,),
            ).fetchone()
            days = conn.execute(
                f"select ({_WHOLE} + ?) / 86400 as day, count(*) from events "
                "where link_id = ? and kind = 'click' group by day order by day",
                (_SHANGHAI_S, link_id),
            ).fetchall()
            fetches = dict(
                conn.execute(
                    "select kind, cast(sum(count) as bigint) from link_fetches "
                    "where link_id = ? group by kind",
                    (link_id,),
                ).fetchall()
            )
            return Report(
                target=target,
                clicks=clicks,
                people=people,
                members=members,
                by_day=tuple((date.fromordinal(_EPOCH + day).isoformat(), n) for day, n in days),
                previews=fetches.get("preview", 0),
                bots=fetches.get("bot", 0),
                last_at=last_at,
            )

        return await self._db.read(run)


def _with_key(conn: Connection, key: str) -> Link | None:
    row = conn.execute(f"select {_COLUMNS} from links as l where l.key = ?", (key,)).fetchone()
    return None if row is None else Link(*row)


def _make(conn: Connection, new: NewLink, now: float, by: str) -> Made:
    key = new.key
    row = conn.execute(
        "insert into links (key, item_id, url, campaign, variant, source, ref, created_at, "
        "created_by, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (key) do nothing returning id",
        (
            key,
            new.item_id,
            new.url,
            new.campaign,
            new.variant,
            new.source,
            new.ref,
            now,
            by,
            new.expires_at,
        ),
    ).fetchone()
    if row is not None and by != "bot":
        says = f"item {new.item_id}" if new.item_id else new.url
        campaign = f" for campaign {new.campaign}" if new.campaign else ""
        chain.append(conn, now, by, "link.add", f"link:{row[0]}", says + campaign)
    link = _with_key(conn, key)
    assert link is not None
    return Made(link, fresh=row is not None)


def _target(conn: Connection, link_id: int) -> Target | None:
    row = conn.execute(
        f"select {_COLUMNS}, i.url, i.archived_at from links as l "
        "left join items as i on i.id = l.item_id and l.item_id <> '' where l.id = ?",
        (link_id,),
    ).fetchone()
    if row is None:
        return None
    *fields, item_url, archived_at = row
    link = Link(*fields)
    if not link.item_id:
        return Target(link, link.url, gone=False)
    return Target(link, item_url or "", gone=archived_at is not None or not item_url)
