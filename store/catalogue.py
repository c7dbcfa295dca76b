"""The catalogue: items with their price tiers and chapters.

What was sold may not vanish: an item is archived, never deleted, and members keep seeing
the courses they bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store.content import touch
from store.db import Database
from store.dialect import Connection


@dataclass(frozen=True, slots=True)
class Tier:
    """One of several prices. name: when or for whom it holds ("早鸟")."""

    name: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class Chapter:
    """One step of a course or column. id: unique within its item; url: its own page, if any."""

    id: str
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """Something one can buy or read.

    price_cents: fen, 0 is free; tiers: other prices, in the order to show them; tags,
    authors: as shown, without "|"; published_at: Unix seconds, 0.0 when nobody said.
    needs_tier: the membership that its links are for, "" for everybody.
    series: what it is a part of, "" for nothing; requires: ids of items that one should have taken
    before. available_from, available_until: when it may be had, Unix seconds; 0.0 and None for
    always.
    """

    id: str
    kind: str
    title: str
    summary: str = ""
    tags: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    level: str = ""
    price_cents: int = 0
    url: str = ""
    cover_url: str = ""
    published_at: float = 0.0
    tiers: tuple[Tier, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    needs_tier: str = ""
    series: str = ""
    requires: tuple[str, ...] = ()
    available_from: float = 0.0
    available_until: float | None = None

    def available(self, now: float) -> bool:
        """Whether it may be had at this moment."""
        ends = self.available_until
        return self.available_from <= now and (ends is None or now < ends)


_COLUMNS = (
    "id, kind, title, summary, tags, authors, level, price_cents, url, cover_url, "
    "published_at, needs_tier, series, requires, available_from, available_until"
)


class Catalogue:
    """The tables `items`, `price_tiers`, `chapters`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def items(self) -> list[Item]:
        """Every live item, newest first."""

        def run(conn: Connection) -> list[Item]:
            return _read(conn, "where archived_at is null order by published_at desc, id")

        return await self._db.read(run)

    async def item(self, item_id: str) -> Item | None:
        """One live item; None when there is none, or it is archived."""

        def run(conn: Connection) -> Item | None:
            found = _read(conn, "where id = ? and archived_at is null", (item_id,))
            return found[0] if found else None

        return await self._db.read(run)

    async def known(self, item_ids: Iterable[str]) -> dict[str, Item]:
        """The items with these ids, archived ones too; what was never there is left out."""
        wanted = sorted(set(item_ids))

        def run(conn: Connection) -> dict[str, Item]:
            found: dict[str, Item] = {}
            for item_id in wanted:
                found.update((item.id, item) for item in _read(conn, "where id = ?", (item_id,)))
            return found

        return await self._db.read(run)

    async def page(self, after_id: str = "", limit: int = 100) -> list[Item]:
        """Live items by id, those after `after_id`; [] behind the last one."""

        def run(conn: Connection) -> list[Item]:
            return _read(
                conn, "where archived_at is null and id > ? order by id limit ?", (after_id, limit)
            )

        return await self._db.read(run)

    async def put(self, items: Iterable[Item], now: float) -> int:
        """Write all items or none, replacing those with the same id; says how many.

        Tiers and chapters are replaced with them, and an archived item is live again. Of
        two with one id the last holds.
        """
        wanted = {item.id: item for item in items}

        def run(conn: Connection) -> int:
            conn.executemany(
                f"insert into items ({_COLUMNS}, updated_at) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "on conflict (id) do update set "
                "kind = excluded.kind, title = excluded.title, summary = excluded.summary, "
                "tags = excluded.tags, authors = excluded.authors, level = excluded.level, "
                "price_cents = excluded.price_cents, url = excluded.url, "
                "cover_url = excluded.cover_url, published_at = excluded.published_at, "
                "needs_tier = excluded.needs_tier, series = excluded.series, "
                "requires = excluded.requires, available_from = excluded.available_from, "
                "available_until = excluded.available_until, "
                "archived_at = null, updated_at = excluded.updated_at",
                [
                    (
                        item.id,
                        item.kind,
                        item.title,
                        item.summary,
                        "|".join(item.tags),
                        "|".join(item.authors),
                        item.level,
                        item.price_cents,
                        item.url,
                        item.cover_url,
                        item.published_at,
                        item.needs_tier,
                        item.series,
                        "|".join(item.requires),
                        item.available_from,
                        item.available_until,
                        now,
                    )
                    for item in wanted.values()
                ],
            )
            for table in ("price_tiers", "chapters"):
                conn.executemany(
                    f"delete from {table} where item_id = ?", [(item_id,) for item_id in wanted]
                )
            conn.executemany(
                "insert into price_tiers (item_id, position, name, price_cents) "
                "values (?, ?, ?, ?)",
                [
                    (item.id, position, tier.name, tier.price_cents)
                    for item in wanted.values()
                    for position, tier in enumerate(item.tiers)
                ],
            )
            conn.executemany(
                "insert into chapters (item_id, id, position, title, url) values (?, ?, ?, ?, ?)",
                [
                    (item.id, chapter.id, position, chapter.title, chapter.url)
                    for item in wanted.values()
                    for position, chapter in enumerate(item.chapters)
                ],
            )
            if wanted:
                touch(conn)
            return len(wanted)

        return await self._db.write(run)

    async def archive(self, item_id: str, now: float) -> bool:
        """Take an item off the shelf; False when it was not on it."""

        def run(conn: Connection) -> bool:
            gone = conn.execute(
                "update items set archived_at = ?, updated_at = ? "
                "where id = ? and archived_at is null",
                (now, now, item_id),
            )
            if gone.rowcount == 0:
                return False
            touch(conn)
            return True

        return await self._db.write(run)


def _read(conn: Connection, rest: str, args: Sequence[Any] = ()) -> list[Item]:
    """The items that `rest` (where, order, limit) takes, with their tiers and chapters."""
    rows = conn.execute(f"select {_COLUMNS} from items {rest}", args).fetchall()
    of_these = f"where item_id in (select id from items {rest}) order by item_id, position"
    tiers: dict[str, list[Tier]] = {}
    chapters: dict[str, list[Chapter]] = {}
    if rows:
        for item_id, name, price_cents in conn.execute(
            f"select item_id, name, price_cents from price_tiers {of_these}", args
        ):
            tiers.setdefault(item_id, []).append(Tier(name, price_cents))
        for item_id, chapter_id, title, url in conn.execute(
            f"select item_id, id, title, url from chapters {of_these}", args
        ):
            chapters.setdefault(item_id, []).append(Chapter(chapter_id, title, url))
    return [
        Item(
            id=row[0],
            kind=row[1],
            title=row[2],
            summary=row[3],
            tags=_parts(row[4]),
            authors=_parts(row[5]),
            level=row[6],
            price_cents=row[7],
            url=row[8],
            cover_url=row[9],
            published_at=row[10],
            tiers=tuple(tiers.get(row[0], ())),
            chapters=tuple(chapters.get(row[0], ())),
            needs_tier=row[11],
            series=row[12],
            requires=_parts(row[13]),
            available_from=row[14],
            available_until=row[15],
        )
        for row in rows
    ]


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split("|") if part)
