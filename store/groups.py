"""Groups: which there are, who is in them, and how zhiqun is to behave in each.

A place is a group on a channel, "qun:12345@chatroom"; `place_of` makes it. A group is known as
soon as anything of it is heard and bound when an operator has said that zhiqun may act there.
Bound groups are in memory: every message asks for its group.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, TypeVar

from store import hush
from store.db import Database, Many
from store.dialect import Connection
from store.ledgers import Deed
from store.statements import ask, rows_of

T = TypeVar("T")


def place_of(channel: str, external_id: str) -> str:
    """The name of a group in every table."""
    return f"{channel}:{external_id}"


@dataclass(frozen=True, slots=True)
class GroupRules:
    """What an operator set for one group; what is None is as the configuration says.

    welcome: the words for newcomers, {names} stands for them; "" welcomes nobody. quiet: the
    bot speaks only when mentioned between these times, "22:00-08:00"; "" never. digest: "HH:MM",
    "off", or "" for the configured time. muted_until: Unix seconds; until then it says nothing at
    all. eager_s: a question that nobody answered for so long is answered when the answer is very
    sure; 0 never. order: "off", "watch" (report only) or "act" (warn, too). kick, silence: what
    the bot may do to who sends adverts, where the route can. weekly: whether a few of its figures
    are posted once a week, with noise.
    """

    welcome: str | None = None
    welcome_minutes: float | None = None
    quiet: str = ""
    digest: str = "off"
    muted_until: float = 0.0
    eager_s: float = 0.0
    keywords: bool | None = None
    order: str = "watch"
    kick: bool = False
    silence: bool = False
    weekly: bool = False

    def quiet_until(self, now: float) -> float:
        """The end of the quiet hours that `now` falls into; `now` itself outside of them."""
        begin, _, end = self.quiet.partition("-")
        if not end:
            return now
        begins, ends = _second(begin), _second(end)
        second = (now + _SHANGHAI_S) % _DAY_S
        if (second - begins) % _DAY_S >= (ends - begins) % _DAY_S:
            return now
        # The day's first second plus the clock: adding what is left of the night to `now` could
        # end a rounding error before the end, and that is still quiet.
        until = (now + _SHANGHAI_S) // _DAY_S * _DAY_S - _SHANGHAI_S + ends
        return until if until > now else until + _DAY_S

    def silent_until(self, now: float) -> float:
        """When it may say what nobody asked for: `now` itself unless it is muted or quiet."""
        return self.quiet_until(max(now, self.muted_until))


_DAY_S = 86_400.0
_SHANGHAI_S = 8 * 3600.0


def _second(clock: str) -> float:
    """ "22:30" as a second of the day."""
    hours, _, minutes = clock.partition(":")
    return int(hours) * 3600.0 + int(minutes) * 60.0


_FIELDS = {one.name for one in fields(GroupRules)}
_DEFAULT = GroupRules()


@dataclass(frozen=True, slots=True)
class Group:
    """A group. alias: what commands and rules call it ("vip"), None for none.

    route: the channel that posts here when it is not `channel`. owner: who owns it, as the
    platform says, "" when it does not. bound: whether zhiqun may act there.
    """

    id: int
    place: str
    channel: str
    external_id: str
    name: str
    alias: str | None
    route: str
    owner: str
    rules: GroupRules
    known_at: float
    bound_at: float | None
    left_at: float | None

    @property
    def bound(self) -> bool:
        """Whether an operator has said that zhiqun may act there, and it is still in it."""
        return self.bound_at is not None and self.left_at is None

    @property
    def title(self) -> str:
        """What people call it."""
        return self.alias or self.name or f"#{self.id}"


class Present(NamedTuple):
    """A member of a group. name: what they are called there, "" when not told."""

    member_id: int
    name: str
    since: float
    welcomed_at: float | None


class Seen(NamedTuple):
    """Somebody was heard in a group, by that name ("" when not told).

    came: the platform said that they came in just now. Who is only heard may have been there for
    years and is no newcomer.
    """

    place: str
    member_id: int
    name: str
    at: float
    came: bool = False


class GroupChange(NamedTuple):
    """What to change about a group; None stays as it is.

    alias, route: "" takes it away. rules: gets the rules as they are, gives the new ones.
    """

    alias: str | None = None
    route: str | None = None
    bound: bool | None = None
    rules: Callable[[GroupRules], GroupRules] | None = None


class Taken(NamedTuple):
    """Why a change cannot be: another group has this short name ("alias") or robot ("route")."""

    what: str
    by: Group


_COLUMNS = (
    "id, place, channel, external_id, name, alias, route, owner, rules, known_at, bound_at, left_at"
)


def read_group(conn: Connection, rest: str, args: Sequence[Any]) -> list[Group]:
    """Groups that a condition finds."""
    groups = []
    for row in conn.execute(f"select {_COLUMNS} from groups {rest}", args):
        values: list[Any] = list(row)
        values[8] = _rules(values[8])
        groups.append(Group(*values))
    return groups


def _rules(text: str) -> GroupRules:
    data = json.loads(text)
    return GroupRules(**{name: value for name, value in data.items() if name in _FIELDS})


def _rules_json(rules: GroupRules) -> str:
    changed = {
        name: value for name, value in asdict(rules).items() if value != getattr(_DEFAULT, name)
    }
    return json.dumps(changed, ensure_ascii=False)


def see_members(conn: Connection, rows: Sequence[Seen]) -> None:
    """Note who is in a group; who left is back, as a newcomer, unless it is older than that.

    Who slipped out for less than a day keeps the welcome they had.
    A name that was told replaces the older. What changes nothing writes nothing.
    """
    conn.executemany(
        "insert into group_members (place, member_id, since, name, welcomed_at) "
        "select ?, id, ?, ?, ? from members where id = ? "
        "on conflict (place, member_id) do update set left_at = null, "
        "since = case when group_members.left_at is null then group_members.since "
        "else excluded.since end, welcomed_at = case when group_members.left_at is null "
        f"or excluded.since - group_members.left_at < {_DAY_S} "
        "then group_members.welcomed_at end, "
        "name = case when excluded.name = '' then group_members.name else excluded.name end "
        "where group_members.left_at <= excluded.since or (group_members.left_at is null "
        "and excluded.name not in ('', group_members.name))",
        [
            (row.place, row.at, row.name, None if row.came else row.at, row.member_id)
            for row in rows
        ],
    )


def member_gone(conn: Connection, place: str, member_id: int, now: float) -> bool:
    """Somebody left; False when they were not in it, or came after that."""
    done = conn.execute(
        "update group_members set left_at = ? where place = ? and member_id = ? "
        "and left_at is null and since <= ?",
        (now, place, member_id, now),
    )
    return done.rowcount > 0


def _see(conn: Connection, rows: Sequence[Seen]) -> list[None]:
    see_members(conn, rows)
    return [None] * len(rows)


def _update(
    conn: Connection,
    place: str,
    what: str,
    args: Sequence[Any],
    deed: Deed | None = None,
    first: Callable[[Connection, Group], None] | None = None,
) -> Group | None:
    """Change a group, and write down who did it if it changed; None when there is no such group."""
    found = read_group(conn, "where place = ?", (place,))
    if not found:
        return None
    old = found[0]
    if first is not None:
        first(conn, old)
    conn.execute(f"update groups set {what} where place = ?", (*args, place))
    new = read_group(conn, "where place = ?", (place,))[0]
    if deed is not None and new != old:
        deed.write(conn, f"group:{new.id}", _difference(old, new))
    return new


def _difference(old: Group, new: Group) -> str:
    """What a change changed: "alias: vip", "welcome_minutes: 5"."""
    before, after = asdict(old), asdict(new)
    before |= before.pop("rules")
    after |= after.pop("rules")
    changed = [f"{name}: {value}" for name, value in after.items() if value != before[name]]
    return ", ".join(changed)[:_DETAIL_CHARS]


_DETAIL_CHARS = 200


def _no_newcomers(conn: Connection, place: str, now: float) -> None:
    """Who is in a group now is not welcomed any more."""
    conn.execute(
        "update group_members set welcomed_at = ? where place = ? and left_at is null "
        "and welcomed_at is null",
        (now, place),
    )


def _forget_oldest(conn: Connection, channel: str, most: int) -> list[str]:
    """Of the groups that no operator ever said anything about, keep the newest; gives the others'
    places."""
    rows = conn.execute(
        "select place from groups as g where channel = ? and bound_at is null and alias is null "
        "and rules = '{}' and not exists (select 1 from group_members as m "
        "where m.place = g.place) order by known_at desc, id desc",
        (channel,),
    ).fetchall()
    gone = [place for (place,) in rows[most:]]
    conn.executemany("delete from groups where place = ?", [(place,) for place in gone])
    return gone


_UNBOUND = "bound_at = null, bound_by = ''"


def _alter(
    conn: Connection, place: str, change: GroupChange, now: float, by: str, deed: Deed
) -> Group | Taken | None:
    found = read_group(conn, "where place = ?", (place,))
    if not found:
        return None
    old = found[0]
    sets: list[str] = []
    args: list[Any] = []
    for column, value in (("alias", change.alias), ("route", change.route)):
        if value:
            others = read_group(conn, f"where {column} = ? and place <> ?", (value, place))
            if others:
                return Taken(column, others[0])
        if value is not None:
            sets.append(f"{column} = ?")
            args.append(value or (None if column == "alias" else ""))
    begins = bool(change.bound) and old.bound_at is None
    if begins:
        sets.append("bound_at = ?, bound_by = ?")
        args += (now, by)
    elif change.bound is False:
        sets.append(_UNBOUND)
        hush.drop(conn, place, now)
    if change.rules is not None:
        rules = change.rules(old.rules)
        begins = begins or bool(rules.welcome and not old.rules.welcome)
        sets.append("rules = ?")
        args.append(_rules_json(rules))
    if begins:
        _no_newcomers(conn, place, now)
    return _update(conn, place, ", ".join(sets), args, deed) if sets else old


class Groups:
    """The tables `groups` and `group_members`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, Group] = {}
        self._see = Many(_see)
        self._writes = 0

    async def load(self) -> None:
        """Read all groups into memory; again whenever another process wrote."""
        while True:
            before = self._writes
            groups = await self._db.read(lambda conn: read_group(conn, "order by id", ()))
            # A write that ended meanwhile may be newer than what was read.
            if before == self._writes:
                break
        self._known = {group.place: group for group in groups}

    def known(self, place: str) -> Group | None:
        """The group, if it was ever met; no database."""
        return self._known.get(place)

    def all(self) -> list[Group]:
        """Every group, oldest first; no database."""
        return sorted(self._known.values(), key=lambda group: group.id)

    def called(self, name: str) -> list[Group]:
        """Groups by number ("3"), alias, or name, in this order of preference; no database."""
        wanted = name.strip().removeprefix("#")
        for fits in (
            [g for g in self._known.values() if g.alias == wanted],
            [g for g in self._known.values() if str(g.id) == wanted or g.place == wanted],
            [g for g in self._known.values() if g.name == wanted],
        ):
            if fits:
                return fits
        return []

    async def meet(
        self,
        channel: str,
        external_id: str,
        now: float,
        *,
        name: str = "",
        owner: str = "",
        bound_by: str = "",
        strangers: int | None = None,
    ) -> Group:
        """The group, made on first sight; a name or owner that is told replaces the older.

        bound_by: binds a group at once that nobody has bound or unbound yet. strangers: of the
        channel's groups that no operator has said anything about, so many are kept; the oldest go.
        """
        place = place_of(channel, external_id)
        found = self._known.get(place)
        if (
            found is not None
            and found.left_at is None
            and name in ("", found.name)
            and owner in ("", found.owner)
        ):
            return found

        gone: list[str] = []

        def run(conn: Connection) -> Group:
            conn.execute(
                "insert into groups (place, channel, external_id, name, owner, known_at, bound_at, "
                "bound_by) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (place) do update set "
                "left_at = null, "
                "name = case when excluded.name = '' then groups.name else excluded.name end, "
                "owner = case when excluded.owner = '' then groups.owner else excluded.owner end",
                (
                    *(place, channel, external_id, name, owner, now),
                    *(now if bound_by else None, bound_by),
                ),
            )
            if strangers is not None:
                gone.extend(_forget_oldest(conn, channel, strangers))
            return read_group(conn, "where place = ?", (place,))[0]

        return await self._change(run, gone)

    async def bind(self, place: str, now: float, by: str, deed: Deed | None = None) -> Group | None:
        """zhiqun may act there; None when there is no such group.

        Who is in it already is no newcomer. deed: the line of the audit, if this changes anything.
        """

        def welcomed(conn: Connection, old: Group) -> None:
            if old.bound_at is None:
                _no_newcomers(conn, place, now)

        return await self._set(
            place,
            "bound_by = case when bound_at is null then ? else bound_by end, "
            "bound_at = coalesce(bound_at, ?)",
            (by, now),
            deed,
            welcomed,
        )

    async def unbind(self, place: str, deed: Deed | None = None) -> Group | None:
        """zhiqun may not act there any more, and what waits is not said; None for no such group."""
        at = None if deed is None else deed.at
        return await self._set(
            place, _UNBOUND, (), deed, lambda conn, _: hush.drop(conn, place, at)
        )

    async def leave(self, place: str, now: float, *, unbind: bool = False) -> Group | None:
        """The bot is not in it any more, or there is no such group any more: nothing waits for it.

        Its rules stay. unbind: where it comes back, an operator has to bind it again.
        """
        what = f"left_at = ?, {_UNBOUND}" if unbind else "left_at = ?"
        return await self._set(
            place, what, (now,), first=lambda conn, _: hush.drop(conn, place, now)
        )

    async def call(self, place: str, alias: str | None, deed: Deed | None = None) -> Group | None:
        """Give it a short name, or take it away; None when another group has it, or no group."""

        def run(conn: Connection) -> Group | None:
            taken = conn.execute(
                "select 1 from groups where alias = ? and place <> ?", (alias, place)
            ).fetchone()
            return None if taken else _update(conn, place, "alias = ?", (alias,), deed)

        return await self._change(run)

    async def post_by(self, place: str, route: str, deed: Deed | None = None) -> Group | None:
        """The channel that posts there, "" for its own; None when there is no such group."""
        return await self._set(place, "route = ?", (route,), deed)

    async def rule(
        self,
        place: str,
        change: Callable[[GroupRules], GroupRules],
        *,
        now: float | None = None,
        deed: Deed | None = None,
    ) -> Group | None:
        """Change its rules; None when there is no such group.

        now: with it, a welcome that begins greets nobody who came before.
        """

        def run(conn: Connection) -> Group | None:
            found = read_group(conn, "where place = ?", (place,))
            if not found:
                return None
            rules = change(found[0].rules)
            if now is not None and rules.welcome and not found[0].rules.welcome:
                _no_newcomers(conn, place, now)
            return _update(conn, place, "rules = ?", (_rules_json(rules),), deed)

        return await self._change(run)

    async def change(
        self, place: str, change: GroupChange, now: float, by: str, deed: Deed
    ) -> Group | Taken | None:
        """All of a change in one transaction with its line of the audit; None without such a group.

        by: who binds it. What is so already changes nothing and is not written down.
        """

        def run(conn: Connection) -> Group | Taken | None:
            return _alter(conn, place, change, now, by, deed)

        return await self._change(run)

    async def _set(
        self,
        place: str,
        what: str,
        args: Sequence[Any],
        deed: Deed | None = None,
        first: Callable[[Connection, Group], None] | None = None,
    ) -> Group | None:
        return await self._change(lambda conn: _update(conn, place, what, args, deed, first))

    async def _change(self, run: Callable[[Connection], T], gone: Sequence[str] = ()) -> T:
        """A write; what it gives is in memory when it has ended, even if the caller has gone.

        gone: places that it forgot.
        """

        def keep(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                group = done.result()
                if isinstance(group, Group):
                    self._writes += 1
                    self._known[group.place] = group
                    for place in gone:
                        self._known.pop(place, None)

        writing = self._db.write(run)
        writing.add_done_callback(keep)
        return await asyncio.shield(writing)

    # Who is in it

    async def see(self, seen: Seen) -> None:
        """Somebody was heard or came; who left is back, as a newcomer."""
        await self._db.write_many(self._see, seen)

    async def gone(self, place: str, member_id: int, now: float) -> bool:
        """Somebody left; False when they were not in it, or came after that."""

        return await self._db.write(lambda conn: member_gone(conn, place, member_id, now))

    async def members(self, place: str) -> list[Present]:
        """Who is in it, who came first first."""

        def run(conn: Connection) -> list[Present]:
            rows = conn.execute(
                "select member_id, name, since, welcomed_at from group_members "
                "where place = ? and left_at is null order by since, member_id",
                (place,),
            )
            return [Present(*row) for row in rows]

        return await self._db.read(run)

    async def count(self, place: str) -> int:
        """How many members are known to be in it."""

        def run(conn: Connection) -> int:
            return int(
                conn.execute(
                    "select count(*) from group_members where place = ? and left_at is null",
                    (place,),
                ).fetchone()[0]
            )

        return await self._db.read(run)

    async def counts(self, places: Sequence[str]) -> dict[str, int]:
        """How many members are known to be in each; a group without any is not there."""

        def run(conn: Connection) -> dict[str, int]:
            rows = ask(
                conn,
                "select place, count(*) from group_members where place in ({rows}) "
                "and left_at is null group by place",
                places,
            )
            return dict(rows)

        return await self._db.read(run)

    async def places_of(self, member_id: int) -> list[dict[str, Any]]:
        """The groups that a member is in: place, name, since."""
        return await self._db.read(
            lambda conn: rows_of(
                conn,
                "select place, name, since from group_members where member_id = ? "
                "and left_at is null order by since",
                member_id,
            )
        )
