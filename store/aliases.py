"""Whose event is it: the names that people outside the chat go by, and what joins them.

A name is "CHANNEL:openid", "unionid:U", "visitor:V" or "click:REF". A name that leads to a
member gives the event to them; one that does not yet makes it wait under that name. An
event with several names joins them, so whatever waits under one of them finds its member
as soon as any other does.

What is waiting under several joined names waits under the first of them in the order above,
so the rows are the same whatever order the news came in. Aliases point there directly, never
to another alias. What is never joined: two members (only WeChat's unionid proves that they
are one), and two accounts that have nothing in common but a browser or a link passed on,
whether or not the chat knows one of them.

An openid or a unionid proves who it is, a browser or a link suggests it. Where they
contradict each other the proof has the event, and the browser follows the last proof.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from store import statements
from store.dialect import Connection

Person = int | str
"""A member's number, or the name that somebody unknown goes by."""

RESERVED = frozenset({"unionid", "visitor", "click", "member"})
"""What stands before the colon and can therefore be no channel."""

_RANKS = {"unionid": 1, "visitor": 2, "click": 3}


def account(channel: str, openid: str) -> str:
    """The name of somebody on a channel."""
    return f"{channel}:{openid}"


def _rank(name: str) -> tuple[int, str]:
    return (_RANKS.get(name.partition(":")[0], 0), name)


def _proves(name: str) -> bool:
    return _rank(name)[0] < 2


class People:
    """The names of one batch of events: looked up together, joined, and written together.

    names: all names of the batch; numbers: all members it names by number. clicks: of the
    click names those that are a click in the table, with its member and name.
    """

    def __init__(
        self,
        conn: Connection,
        names: Collection[str],
        numbers: Collection[int],
        clicks: Mapping[str, tuple[int | None, str]],
    ) -> None:
        self._conn = conn
        self._clicks = {name for name, (member, who) in clicks.items() if member or who}
        self._leads: dict[str, Person] = {}
        """What a name is known to lead to. A name that is not here stands for itself."""
        self._stored: set[str] = set()
        """Names that something in the tables waits under."""
        self._moved: list[str] = []
        self._named: dict[str, None] = {}
        self.members = self._numbers(numbers)
        """Number -> the member it means today; without those that mean nobody."""
        self._look_up(names)
        for name, (member_id, who) in clicks.items():
            if name not in self._leads and (member_id is not None or who not in ("", name)):
                self._leads[name] = who if member_id is None else member_id
                self._stored.add(who)
        self._find_waiting([name for name in names if name not in self._leads])

    def _numbers(self, numbers: Collection[int]) -> dict[int, int]:
        conn = self._conn
        found = statements.ask(conn, "select id from members where id in ({rows})", numbers)
        members = {row[0]: row[0] for row in found}
        if gone := [f"member:{number}" for number in numbers if number not in members]:
            for name, member_id in statements.ask(
                conn,
                "select name, member_id from aliases where name in ({rows}) "
                "and member_id is not null",
                gone,
            ):
                members[int(name.partition(":")[2])] = member_id
        return members

    def _look_up(self, names: Collection[str]) -> None:
        conn, leads = self._conn, self._leads
        for name, member_id, who in statements.ask(
            conn, "select name, member_id, who from aliases where name in ({rows})", names
        ):
            leads[name] = who if member_id is None else member_id
            if member_id is None:
                self._stored.add(who)
        accounts, unionids = [], []
        for name in names:
            kind, _, rest = name.partition(":")
            if kind == "unionid":
                unionids.append(rest)
            elif kind not in RESERVED:
                accounts.append((kind, rest))
        # After the aliases: whom the chat knows is not for others to say.
        for channel, openid, member_id in statements.ask_pairs(
            conn,
            "select i.channel, i.external_id, i.member_id from (values {rows}) as v "
            "join identities as i on i.channel = v.column1 and i.external_id = v.column2",
            accounts,
        ):
            leads[account(channel, openid)] = member_id
        for unionid, member_id in statements.ask(
            conn, "select unionid, id from members where unionid in ({rows})", unionids
        ):
            leads[f"unionid:{unionid}"] = member_id

    def _find_waiting(self, strangers: Collection[str]) -> None:
        for table in ("events", "aliases"):
            self._stored.update(
                row[0]
                for row in statements.ask(
                    self._conn,
                    f"select distinct who from {table} where who <> '' and who in ({{rows}})",
                    strangers,
                )
            )

    def is_click(self, name: str) -> None:
        """A click of this batch is what the name stands for: it needs no alias."""
        self._clicks.add(name)

    def find(self, person: Person) -> Person:
        """Who that is by now."""
        while isinstance(person, str):
            leads = self._leads.get(person)
            if leads is None:
                return person
            person = leads
        return person

    def place(self, member_id: int | None, names: Sequence[str]) -> Person | None:
        """Join what one event names and say whose it is; None when it names nobody.

        names: accounts first, then unionid, visitor, click. `find` says at the
        end of the batch who that has become.
        """
        person: Person | None = member_id
        proven = member_id is not None
        for name in names:
            other = self.find(name)
            if person is None:
                person, proven = other, _proves(name)
            elif other != person:
                joined = self._join(person, other, surely=proven and _proves(name))
                if joined is not None:
                    person = joined
                elif proven and name.startswith("visitor:"):
                    self._leads[name] = person
                    self._named[name] = None
        return person

    def _join(self, one: Person, other: Person, *, surely: bool) -> Person | None:
        """The person that both are from now on; None when they stay two."""
        if isinstance(one, int) and isinstance(other, int):
            return None
        if isinstance(one, str) and isinstance(other, str):
            if not surely and _proves(one) and _proves(other):
                return None
            keep, drop = sorted((one, other), key=_rank)
            return self._lead(drop, keep)
        member, name = (one, other) if isinstance(one, int) else (other, one)
        assert isinstance(member, int)
        assert isinstance(name, str)
        if not surely and _proves(name):
            return None  # an account of its own, and whose a link passed on does not say
        return self._lead(name, member)

    def _lead(self, name: str, person: Person) -> Person:
        self._leads[name] = person
        self._moved.append(name)
        if name not in self._clicks:
            self._named[name] = None
        return person

    def write(self, now: float) -> None:
        """Give what waited to whom it belongs to, and remember the names."""
        for name in self._moved:
            if name in self._stored:
                _move(self._conn, name, self.find(name))
        aliases = [(name, *split(self.find(name)), now) for name in self._named]
        statements.run(self._conn, _ALIAS, aliases)


_ALIAS = (
    "insert into aliases (name, member_id, who, since) values {rows} on conflict (name) "
    "do update set member_id = excluded.member_id, who = excluded.who"
)


def split(person: Person | None) -> tuple[int | None, str]:
    """The columns member_id and who."""
    return (person, "") if isinstance(person, int) else (None, person or "")


def _move(conn: Connection, who: str, person: Person) -> None:
    """Everything that waits under a name goes to somebody, or waits under another."""
    # The index is on names that are not "", and a placeholder could be: so it has to be said.
    for table in ("events", "aliases"):
        conn.execute(
            f"update {table} set member_id = ?, who = ? where who <> '' and who = ?",
            (*split(person), who),
        )


def settle(conn: Connection, names: Iterable[str], member_id: int) -> None:
    """Names are found to be a member's: what waited under them is theirs.

    When nothing waits that is one row looked for and two updates of no row.
    """
    for name in names:
        alias = conn.execute(
            "delete from aliases where name = ? returning member_id, who, since", (name,)
        ).fetchone()
        who = name
        if alias is not None:
            if alias[0] is not None:
                continue  # it was thought somebody else's: what they have stays theirs
            who = alias[1]
        _move(conn, who, member_id)
        if who != name:
            statements.run(conn, _ALIAS, [(who, member_id, "", alias[2])])


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Two members are one: all that was the second's is the first's, its number too.

    Call it while both are there.
    """
    for table in ("events", "aliases"):
        conn.execute(f"update {table} set member_id = ? where member_id = ?", (keep, drop))
    conn.execute(
        "insert into aliases (name, member_id, since) select ?, ?, created_at from members "
        "where id = ?",
        (f"member:{drop}", keep, drop),
    )


def numbers(conn: Connection, member_id: int) -> list[str]:
    """The names "member:N" of those whom a member was merged with."""
    rows = conn.execute("select name from aliases where member_id = ?", (member_id,))
    return [name for (name,) in rows if name.startswith("member:")]


def forget(conn: Connection, member_id: int) -> int:
    """Take a member out of their events, which stay as figures of nobody; says how many.

    Call it while the member's identities are still there.
    """
    names = [
        account(channel, external_id)
        for channel, external_id in conn.execute(
            "select channel, external_id from identities where member_id = ?", (member_id,)
        )
    ]
    row = conn.execute("select unionid from members where id = ?", (member_id,)).fetchone()
    if row is not None and row[0] is not None:
        names.append(f"unionid:{row[0]}")
    # What a link is owed to is the bot's own word; anything else may be the shop's on them.
    nobody = (
        "update events set member_id = null, who = '', order_id = '', data = '', "
        "ref = case when link_id is null then '' else ref end where "
    )
    count = conn.execute(nobody + "member_id = ?", (member_id,)).rowcount
    conn.execute("delete from aliases where member_id = ?", (member_id,))
    for name in names:
        count += conn.execute(nobody + "who <> '' and who = ?", (name,)).rowcount
        conn.execute("delete from aliases where name = ?", (name,))
        conn.execute("delete from aliases where who <> '' and who = ?", (name,))
    return count
