"""What was shown to whom: lists with their places, dislikes, and lists worked out at night.

A list is written before it leaves, under the key of the message that asked for it; the same key
again gives the list as it was. What came of it is read in `store/rec_outcomes.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from store.consents import PROFILING
from store.db import Database
from store.dialect import Connection
from store.reach import many
from store.statements import rows_of

CLICK_S = 7 * 86_400.0
"""What is clicked later than this after a list has nothing to do with it."""

PICKED = "recommend.item"
"""The handler of `interactions` when a pick was looked at by its number."""

_SLICE = 1000


class Shown(NamedTuple):
    """A place of a list. ranker: which one put the item there; propensity: above 0 to 1.

    score: None where the ranker has none; why: the reasons as they were told, JSON.
    """

    item_id: str
    ranker: str
    propensity: float = 1.0
    explored: bool = False
    score: float | None = None
    why: str = ""


class NewList(NamedTuple):
    """A list that is to be shown. key: 16 bytes; the rest as in `rec_lists`."""

    key: bytes
    member_id: int
    at: float
    surface: str
    ranker: str
    model: str = ""
    arm: str = ""
    test_id: int | None = None
    asked: str = ""
    shown: tuple[Shown, ...] = ()


class KeptList(NamedTuple):
    """A list as it was shown. shown: the first place first."""

    id: int
    key: bytes
    member_id: int
    at: float
    surface: str
    ranker: str
    model: str
    arm: str
    test_id: int | None
    asked: str
    shown: tuple[Shown, ...]


class Seen(NamedTuple):
    """How an item was shown to a member. clicked_at: when they last looked at it; None: never."""

    times: int
    last_at: float
    clicked_at: float | None


class Precomputed(NamedTuple):
    """What a night worked out for a member. model: its name; data: JSON."""

    member_id: int
    model: str
    data: str
    made_at: float


_LIST = "id, key, member_id, at, surface, ranker, model, arm, test_id, asked"
_PLACES = (
    "select list_id, item_id, ranker, propensity, explored, score, why from rec_shown "
    "where list_id in ({rows}) order by list_id, position"
)


def _kept(conn: Connection, where: str, *args: Any) -> list[KeptList]:
    heads = conn.execute(f"select {_LIST} from rec_lists where {where}", args).fetchall()
    places: dict[int, list[Shown]] = {}
    for list_id, item_id, ranker, propensity, explored, score, why in many(
        conn, _PLACES, [row[0] for row in heads]
    ):
        one = Shown(item_id, ranker, propensity, bool(explored), score, why)
        places.setdefault(list_id, []).append(one)
    return [
        KeptList._make((row[0], bytes(row[1]), *row[2:], tuple(places.get(row[0], ()))))
        for row in heads
    ]


def _put(conn: Connection, new: NewList) -> KeptList | None:
    made = conn.execute(
        "insert into rec_lists (key, member_id, at, surface, ranker, model, arm, test_id, asked) "
        "select ?, id, ?, ?, ?, ?, ?, ?, ? from members where id = ? "
        "on conflict (key) do nothing returning id",
        (
            *(new.key, new.at, new.surface, new.ranker, new.model, new.arm, new.test_id),
            *(new.asked, new.member_id),
        ),
    ).fetchone()
    if made is None:
        return next(iter(_kept(conn, "key = ?", new.key)), None)
    conn.executemany(
        "insert into rec_shown (list_id, position, item_id, ranker, propensity, explored, score, "
        "why) values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(made[0], position, one.item_id, one.ranker, one.propensity),
                *(int(one.explored), one.score, one.why),
            )
            for position, one in enumerate(new.shown, 1)
        ],
    )
    return KeptList(made[0], *new[:-1], tuple(new.shown))


# Shown and clicked since, by item. A click names the list by its ref, or only the item.
_RECENT = (
    "select s.item_id, count(*), max(l.at) from rec_lists as l "
    "join rec_shown as s on s.list_id = l.id where l.member_id = ? and l.at >= ? group by 1"
)
_CLICKS = (
    "select item_id, max(at) from (select item_id, at from events where member_id = :member "
    "and at >= :since and kind || '' = 'click' and source = 'recommendation' and item_id <> '' "
    "union all select substr(item, 6), at from interactions where member_id = :member "
    f"and at >= :since and handler = '{PICKED}' and item like 'item:%') as clicked group by 1"
)


def recent(conn: Connection, member_id: int, since: float) -> dict[str, Seen]:
    """Items that a member was shown since then."""
    clicked = dict(conn.execute(_CLICKS, {"member": member_id, "since": since}).fetchall())
    rows = conn.execute(_RECENT, (member_id, since))
    return {item_id: Seen(times, last_at, clicked.get(item_id)) for item_id, times, last_at in rows}


def disliked(conn: Connection, member_id: int) -> dict[str, float]:
    """What a member does not want to see again, and when they said so."""
    rows = conn.execute("select item_id, at from dislikes where member_id = ?", (member_id,))
    return {row[0]: row[1] for row in rows}


class RecLists:
    """The tables `rec_lists`, `rec_shown`, `recommendations`, `dislikes`. Errors: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Lists

    async def put(self, new: NewList) -> KeptList | None:
        """Write a list before it is shown; as it is kept: the same key again gives the first one.

        None when there is no such member.
        """
        return await self._db.write(lambda conn: _put(conn, new))

    async def take_back(self, list_id: int) -> bool:
        """A list was not shown after all; False when it is not there."""

        def run(conn: Connection) -> bool:
            there = conn.execute("select 1 from rec_lists where id = ?", (list_id,)).fetchone()
            _drop(conn, [list_id])
            return there is not None

        return await self._db.write(run)

    async def by_key(self, key: bytes) -> KeptList | None:
        """The list of this message; None for none."""
        return await self._db.read(lambda conn: next(iter(_kept(conn, "key = ?", key)), None))

    async def get(self, list_id: int) -> KeptList | None:
        """A list by its number; None for none."""
        return await self._db.read(lambda conn: next(iter(_kept(conn, "id = ?", list_id)), None))

    async def lists_of(self, member_id: int, limit: int = 20) -> list[KeptList]:
        """What a member was shown, the newest first."""
        return await self._db.read(
            lambda conn: _kept(
                conn, "member_id = ? order by at desc, id desc limit ?", member_id, limit
            )
        )

    async def recent(self, member_id: int, since: float) -> dict[str, Seen]:
        """Items that a member was shown since then, how often, and whether they looked."""
        return await self._db.read(lambda conn: recent(conn, member_id, since))

    async def counts(self, since: float, until: float) -> list[tuple[str, str, str, int]]:
        """(surface, ranker, arm, lists) of a time; what there is none of is left out."""

        def run(conn: Connection) -> list[tuple[str, str, str, int]]:
            return conn.execute(
                "select surface, ranker, arm, count(*) from rec_lists "
                "where at >= ? and at < ? group by 1, 2, 3 order by 1, 2, 3",
                (since, until),
            ).fetchall()

        return await self._db.read(run)

    async def remove(self, before: float) -> int:
        """Remove lists that were shown before; says how many."""
        done = 0
        while True:
            rows = await self._db.write(lambda conn: _remove(conn, before))
            done += rows
            if rows < _SLICE:
                return done

    # Dislikes

    async def dislike(self, member_id: int, item_id: str, now: float) -> bool:
        """They do not want to see it again; False when they said so before, or are not there."""

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "insert into dislikes (member_id, item_id, at) select id, ?, ? from members "
                "where id = ? on conflict (member_id, item_id) do nothing",
                (item_id, now, member_id),
            )
            return done.rowcount == 1

        return await self._db.write(run)

    async def undislike(self, member_id: int, item_id: str) -> bool:
        """They take it back; False when they had not said it."""

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "delete from dislikes where member_id = ? and item_id = ?", (member_id, item_id)
            )
            return done.rowcount == 1

        return await self._db.write(run)

    async def disliked(self, member_id: int) -> dict[str, float]:
        """Item -> when they said that they do not want it."""
        return await self._db.read(lambda conn: disliked(conn, member_id))

    # Worked out at night

    async def keep_lists(
        self, rows: Sequence[tuple[int, str]], model: str, now: float, *, opt_in: bool = False
    ) -> int:
        """Replace what these members would be shown; says how many rows. A piece at a time.

        rows: (member, data as JSON). Who refused to be profiled or was forgotten since it was
        worked out is left out. opt_in: also who decided nothing.
        """

        def run(conn: Connection) -> int:
            done = conn.executemany(
                "insert into recommendations (member_id, model, data, made_at) "
                f"select id, ?, ?, ? from members where id = ? and {_allowed(opt_in)} "
                "on conflict (member_id) do update set model = excluded.model, "
                "data = excluded.data, made_at = excluded.made_at",
                [(model, data, now, member_id) for member_id, data in rows],
            )
            return done.rowcount if rows else 0

        return await self._db.write(run)

    async def kept(self, member_id: int) -> Precomputed | None:
        """What was worked out for a member; None for nothing."""

        def run(conn: Connection) -> Precomputed | None:
            row = conn.execute(
                "select member_id, model, data, made_at from recommendations where member_id = ?",
                (member_id,),
            ).fetchone()
            return None if row is None else Precomputed._make(row)

        return await self._db.read(run)

    async def forget_kept(self, member_ids: Collection[int]) -> int:
        """What was worked out for them holds no longer; says how many rows."""

        def run(conn: Connection) -> int:
            done = conn.executemany(
                "delete from recommendations where member_id = ?", [(one,) for one in member_ids]
            )
            return done.rowcount if member_ids else 0

        return await self._db.write(run)

    async def drop_kept(self, before: float) -> int:
        """Remove what was worked out before; says how many rows."""
        done = 0
        while True:
            rows = await self._db.write(
                lambda conn: (
                    conn.execute(
                        "delete from recommendations where member_id in "
                        "(select member_id from recommendations where made_at < ? limit ?)",
                        (before, _SLICE),
                    ).rowcount
                )
            )
            done += rows
            if rows < _SLICE:
                return done


def _allowed(opt_in: bool) -> str:
    """The condition that they may be profiled: asked where it is written, against a race."""
    said = "select member_id from consents where purpose = "
    if opt_in:
        return f"members.id in ({said}'{PROFILING}' and granted = 1)"
    return f"members.id not in ({said}'{PROFILING}' and granted = 0)"


def _remove(conn: Connection, before: float) -> int:
    old = [
        row[0]
        for row in conn.execute(
            "select id from rec_lists where at < ? order by at limit ?", (before, _SLICE)
        )
    ]
    _drop(conn, old)
    return len(old)


def _drop(conn: Connection, list_ids: Iterable[int]) -> int:
    """Lists with their places; says how many places."""
    numbers = [(one,) for one in list_ids]
    if not numbers:
        return 0
    shown = conn.executemany("delete from rec_shown where list_id = ?", numbers)
    conn.executemany("delete from rec_lists where id = ?", numbers)
    return shown.rowcount


def drop_reasons(conn: Connection, member_id: int) -> int:
    """Remove what was concluded about a member and told as reasons; says how many.

    That they were shown it stays.
    """
    done = conn.execute(
        "update rec_shown set why = '', score = null where list_id in "
        "(select id from rec_lists where member_id = ?) and (why <> '' or score is not null)",
        (member_id,),
    )
    return done.rowcount


# For `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What they were shown, would be shown, and do not want."""
    return {
        "rec_lists": rows_of(
            conn,
            "select id, at, surface, ranker, model, arm, asked from rec_lists "
            "where member_id = ? order by id",
            member_id,
        ),
        "rec_shown": rows_of(
            conn,
            "select s.list_id, s.position, s.item_id, s.ranker, s.explored, s.why "
            "from rec_lists as l join rec_shown as s on s.list_id = l.id where l.member_id = ? "
            "order by s.list_id, s.position",
            member_id,
        ),
        "recommendations": rows_of(
            conn,
            "select model, data, made_at from recommendations where member_id = ?",
            member_id,
        ),
        "dislikes": rows_of(
            conn, "select item_id, at from dislikes where member_id = ? order by at", member_id
        ),
    }


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """All of it goes."""
    rows = conn.execute("select id from rec_lists where member_id = ?", (member_id,))
    numbers = [row[0] for row in rows]
    gone = {"rec_shown": _drop(conn, numbers), "rec_lists": len(numbers)}
    for table in ("recommendations", "dislikes"):
        done = conn.execute(f"delete from {table} where member_id = ?", (member_id,))
        gone[table] = done.rowcount
    return gone


def merge(conn: Connection, keep: int, drop: int) -> None:
    """What both were shown and disliked is one's. What the night worked out for either holds
    until the next one."""
    conn.execute("update rec_lists set member_id = ? where member_id = ?", (keep, drop))
    for table, columns in (
        ("dislikes", "item_id, at"),
        ("recommendations", "model, data, made_at"),
    ):
        conn.execute(
            f"insert into {table} (member_id, {columns}) select ?, {columns} from {table} "
            "where member_id = ? on conflict do nothing",
            (keep, drop),
        )
        conn.execute(f"delete from {table} where member_id = ?", (drop,))
