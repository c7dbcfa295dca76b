"""Who writes to us: members, their identities on each channel, roles, and forgetting.

A member is a person; an identity is that person on one channel. WeChat's unionid joins
two identities into one member.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from store import aliases, chain, erasures, hooks, personal, used_up
from store.db import Database
from store.dialect import Connection
from store.erasures import Erased

T = TypeVar("T")

OWNER_CLAIM = "owner_claim"
"""Where `meta` keeps the hash of the code that makes the first owner."""

_CACHE = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """A person as one channel sees them. role: member, analyst, operator or owner.

    tier: of membership, "" for none; ask `tier_at`, for it ends at tier_until (None: never).
    """

    id: int
    channel: str
    external_id: str
    role: str
    followed: bool
    fresh: bool = False
    tier: str = ""
    tier_until: float | None = None

    def tier_at(self, now: float) -> str:
        """The tier that they have at this moment, "" for none."""
        return self.tier if self.tier_until is None or now < self.tier_until else ""

    @property
    def is_operator(self) -> bool:
        """Whether operator commands are open to them."""
        return self.role in ("operator", "owner")

    @property
    def may_read(self) -> bool:
        """Whether commands that only show something are open to them: operators and analysts."""
        return self.is_operator or self.role == "analyst"


NOBODY = Member(0, "", "", "member", False)
"""Who stands where a message comes from no member: reports of the platform."""


@dataclass(frozen=True, slots=True)
class Card:
    """What an operator sees of a member: `/who`."""

    id: int
    role: str
    created_at: float
    channels: tuple[str, ...]
    followed: bool
    last_seen_at: float
    messages: int
    topics: tuple[str, ...]


_SELECT = (
    "select i.member_id, i.channel, i.external_id, m.role, i.followed, m.tier, m.tier_until "
    "from identities as i join members as m on m.id = i.member_id "
    "where i.channel = ? and i.external_id = ?"
)


def _member(row: tuple[Any, ...], fresh: bool = False) -> Member:
    return Member(row[0], row[1], row[2], row[3], bool(row[4]), fresh, row[5], row[6])


class Members:
    """The tables `members`, `identities`, `states`, `attempts`.

    owners: (channel, external id) pairs that the configuration names; they are owners
    whatever the table says. unrecorded: who is not to be recorded in groups; `store/talk.py`
    keeps it, and here those come in who wished so before they were forgotten.
    """

    def __init__(self, db: Database, owners: Iterable[tuple[str, str]] = ()) -> None:
        self._db = db
        self._owners = frozenset(owners)
        self._cache: OrderedDict[tuple[str, str], Member] = OrderedDict()
        self.unrecorded: set[int] = set()

    def forget_cache(self) -> None:
        """Another process wrote: what we think we know may be stale."""
        self._cache.clear()

    def known(self, channel: str, external_id: str) -> Member | None:
        """The member, if met recently; no database."""
        return self._cache.get((channel, external_id))

    def _remember(self, member: Member) -> Member:
        if (member.channel, member.external_id) in self._owners:
            member = replace(member, role="owner")
        key = (member.channel, member.external_id)
        self._cache[key] = replace(member, fresh=False) if member.fresh else member
        if len(self._cache) > _CACHE:
            self._cache.popitem(last=False)
        return member

    def follows(self, channel: str, external_id: str) -> None:
        """A finished message showed that they follow: remember it as the table does."""
        member = self._cache.get((channel, external_id))
        if member is not None and not member.followed:
            self._cache[channel, external_id] = replace(member, followed=True)

    async def _change(
        self, run: Callable[[Connection], T], key: tuple[str, str] | None = None
    ) -> T:
        """A write that makes the cache stale: of one identity, or (None) of everybody.

        It is dropped when the write has ended and no earlier, for somebody could read the old
        row in between; and even when the caller has gone by then.
        """

        def drop(_: asyncio.Future[T]) -> None:
            if key is None:
                self._cache.clear()
            else:
                self._cache.pop(key, None)

        writing = self._db.write(run)
        writing.add_done_callback(drop)
        return await asyncio.shield(writing)

    async def change(self, run: Callable[[Connection], T], of: Collection[int]) -> T:
        """A write of another store that changes the rows of these members; see `_change`."""
        ids = frozenset(of)

        def drop(_: asyncio.Future[T]) -> None:
            for key in [key for key, member in self._cache.items() if member.id in ids]:
                del self._cache[key]

        writing = self._db.write(run)
        writing.add_done_callback(drop)
        return await asyncio.shield(writing)

    async def meet(self, channel: str, external_id: str, now: float) -> Member:
        """The member behind an identity, made on first sight (`fresh` is then true)."""

        def run(conn: Connection) -> Member:
            row = conn.execute(_SELECT, (channel, external_id)).fetchone()
            if row is not None:
                return _member(row)
            member_id = conn.execute(
                "insert into members (created_at) values (?) returning id", (now,)
            ).fetchone()[0]
            conn.execute(
                "insert into identities (channel, external_id, member_id, last_seen_at) "
                "values (?, ?, ?, ?)",
                (channel, external_id, member_id, now),
            )
            aliases.settle(conn, (aliases.account(channel, external_id),), member_id)
            if used_up.meet(conn, member_id, channel, external_id, now):
                self.unrecorded.add(member_id)
            return Member(member_id, channel, external_id, "member", False, fresh=True)

        return self._remember(await self._db.write(run))

    async def is_operator(self, channel: str, external_id: str) -> bool:
        """Whether somebody may use operator commands; asking makes no member of them."""
        known = self.known(channel, external_id)
        if known is not None:
            return known.is_operator
        if (channel, external_id) in self._owners:
            return True

        def run(conn: Connection) -> bool:
            row = conn.execute(_SELECT, (channel, external_id)).fetchone()
            return row is not None and _member(row).is_operator

        return await self._db.read(run)

    async def follow(
        self,
        channel: str,
        external_id: str,
        followed: bool,
        now: float,
        also: Callable[[Connection, bool], None] | None = None,
    ) -> bool:
        """Note a follow or an unfollow; says whether they had followed ever before.

        also: what else happens in the same transaction; it is told the same.
        """

        def run(conn: Connection) -> bool:
            # Who left has followed, if perhaps before the bot was there to see it.
            before = conn.execute(
                "select coalesce(followed_at, unfollowed_at), followed, member_id "
                "from identities where channel = ? and external_id = ?",
                (channel, external_id),
            ).fetchone()
            if before is not None and bool(before[1]) is not followed:
                topic = "member.followed" if followed else "member.unfollowed"
                data = {"member": before[2], "channel": channel}
                hooks.queue(conn, topic, f"{topic}:{before[2]}:{now}", data, now, now)
            if followed:
                conn.execute(
                    "update identities set followed = 1, followed_at = ?, blocked_at = null "
                    "where channel = ? and external_id = ?",
                    (now, channel, external_id),
                )
            else:
                conn.execute(
                    "update identities set followed = 0, unfollowed_at = ?, allowance = 0, "
                    "allowance_until = 0, burst = 0, burst_until = 0 "
                    "where channel = ? and external_id = ?",
                    (now, channel, external_id),
                )
            known = before is not None and before[0] is not None
            if also is not None:
                also(conn, known)
            return known

        return await self._change(run, (channel, external_id))

    async def unite(self, channel: str, external_id: str, unionid: str) -> int | None:
        """Tie an identity to the person that `unionid` names; says the member's id.

        Two members found to be one are merged into the older; nothing they did is lost.
        None when nobody was met by this identity.
        """

        def run(conn: Connection) -> int | None:
            row = conn.execute(
                "select member_id from identities where channel = ? and external_id = ?",
                (channel, external_id),
            ).fetchone()
            if row is None:
                return None
            mine = int(row[0])
            other = conn.execute("select id from members where unionid = ?", (unionid,)).fetchone()
            if other is None:
                conn.execute("update members set unionid = ? where id = ?", (unionid, mine))
                aliases.settle(conn, (f"unionid:{unionid}",), mine)
                if used_up.recognise(conn, mine):
                    self.unrecorded.add(mine)
                return mine
            if other[0] == mine:
                return mine
            keep, drop = sorted((mine, int(other[0])))
            rank = {"member": 0, "analyst": 1, "operator": 2, "owner": 3}
            roles = [
                row[0]
                for row in conn.execute("select role from members where id in (?, ?)", (keep, drop))
            ]
            conn.execute("update identities set member_id = ? where member_id = ?", (keep, drop))
            personal.merge(conn, keep, drop)
            if drop in self.unrecorded:
                self.unrecorded.add(keep)
            conn.execute("delete from members where id = ?", (drop,))
            conn.execute(
                "update members set unionid = ?, role = ? where id = ?",
                (unionid, max(roles, key=lambda role: rank[role]), keep),
            )
            return keep

        return await self._change(run)

    async def set_role(self, member_id: int, role: str) -> bool:
        """Make somebody member, analyst, operator or owner; False when there is no such member."""

        def run(conn: Connection) -> bool:
            return (
                conn.execute("update members set role = ? where id = ?", (role, member_id)).rowcount
                == 1
            )

        return await self._change(run)

    async def claim_owner(self, member_id: int, code_hash: str, now: float, by: bytes) -> bool:
        """Make somebody owner who knows the code: it is used up and written down, in one step.

        False when it is not the code, when it was used, or when there is no such member;
        True as well for who is owner already, such as by this very message before a crash.
        by: the message's key, for the audit.
        """

        def run(conn: Connection) -> bool:
            role = conn.execute("select role from members where id = ?", (member_id,)).fetchone()
            if role is None:
                return False
            if role[0] == "owner":
                return True
            wanted = conn.execute(
                "select value from meta where name = ?", (OWNER_CLAIM,)
            ).fetchone()
            if wanted is None or not hmac.compare_digest(wanted[0].encode(), code_hash.encode()):
                return False
            conn.execute("delete from meta where name = ?", (OWNER_CLAIM,))
            conn.execute("update members set role = 'owner' where id = ?", (member_id,))
            who = f"member:{member_id}"
            chain.append(conn, now, who, "owner.claim", who, f"[{by.hex()[:12]}]")
            return True

        return await self._change(run)

    async def owners(self) -> list[int]:
        """Numbers of all owners, by the table or by the configuration."""

        def run(conn: Connection) -> list[int]:
            found = {row[0] for row in conn.execute("select id from members where role = 'owner'")}
            for channel, external_id in self._owners:
                row = conn.execute(
                    "select member_id from identities where channel = ? and external_id = ?",
                    (channel, external_id),
                ).fetchone()
                if row is not None:
                    found.add(row[0])
            return sorted(found)

        return await self._db.read(run)

    async def staff(self) -> list[tuple[int, str]]:
        """(number, role) of all operators and owners, by number."""

        def run(conn: Connection) -> dict[int, str]:
            rows = conn.execute("select id, role from members where role in ('operator', 'owner')")
            return {row[0]: row[1] for row in rows}

        found = await self._db.read(run)
        found |= dict.fromkeys(await self.owners(), "owner")
        return sorted(found.items())

    async def has_owner(self) -> bool:
        """Whether anybody is owner, by the table or by the configuration."""
        if self._owners:
            return True

        def run(conn: Connection) -> bool:
            return (
                conn.execute("select 1 from members where role = 'owner' limit 1").fetchone()
                is not None
            )

        return await self._db.read(run)

    async def card(self, member_id: int) -> Card | None:
        """What we know of a member, without their words; None when there is no such member."""

        def run(conn: Connection) -> Card | None:
            row = conn.execute(
                "select id, role, created_at from members where id = ?", (member_id,)
            ).fetchone()
            if row is None:
                return None
            identities = conn.execute(
                "select channel, external_id, followed, last_seen_at from identities "
                "where member_id = ? order by channel",
                (member_id,),
            ).fetchall()
            count = conn.execute(
                "select count(*) from interactions where member_id = ?", (member_id,)
            ).fetchone()[0]
            topics = conn.execute(
                "select topic from subscriptions where member_id = ? order by topic", (member_id,)
            ).fetchall()
            owner = any((i[0], i[1]) in self._owners for i in identities)
            return Card(
                id=row[0],
                role="owner" if owner else row[1],
                created_at=row[2],
                channels=tuple(i[0] for i in identities),
                followed=any(i[2] for i in identities),
                last_seen_at=max((i[3] for i in identities), default=0.0),
                messages=count,
                topics=tuple(t[0] for t in topics),
            )

        return await self._db.read(run)

    async def find(self, external_id: str, channel: str | None = None) -> list[int]:
        """Ids of the members known by this external id, on one channel or (None) on any."""

        def run(conn: Connection) -> list[int]:
            rows = conn.execute(
                "select distinct member_id from identities where external_id = ? "
                "and (? is null or channel = ?)",
                (external_id, channel, channel),
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def erase(
        self, member_id: int, now: float, keep_key: bytes | None = None
    ) -> Erased | None:
        """Forget a member wholly; None when there is no such member.

        keep_key: the message that asked for it, which still needs its answer; only its
        key and reply stay, for WeChat's retries, until the purge. What came after it stays
        whole: it waits for its own answer, and whoever sent it is a stranger.
        """

        return await self._change(lambda conn: erasures.erase(conn, member_id, now, keep_key))

    async def export(self, member_id: int) -> dict[str, Any] | None:
        """Everything kept about one member, for them to take away; None when unknown.

        Without the inbox's own copies, which go within days: the interactions say what was
        written.
        """
        return await self._db.read(lambda conn: personal.told(conn, member_id))

    # What the conversation remembers between two messages

    async def set_state(self, member_id: int, name: str, data: Any, expires_at: float) -> None:
        """Remember something for a while: the choices offered, a question to confirm."""
        text = json.dumps(data, ensure_ascii=False)

        def run(conn: Connection) -> None:
            conn.execute(
                "insert into states (member_id, name, data, expires_at) "
                "select id, ?, ?, ? from members where id = ? on conflict (member_id, name) "
                "do update set data = excluded.data, expires_at = excluded.expires_at",
                (name, text, expires_at, member_id),
            )

        await self._db.write(run)

    async def state(self, member_id: int, name: str, now: float) -> Any | None:
        """What was remembered under `name`; None when nothing or expired."""

        def run(conn: Connection) -> Any | None:
            row = conn.execute(
                "select data from states where member_id = ? and name = ? and expires_at > ?",
                (member_id, name, now),
            ).fetchone()
            return None if row is None else json.loads(row[0])

        return await self._db.read(run)

    async def clear_states(self, member_id: int, *names: str, keep: Collection[str] = ()) -> int:
        """Forget what was remembered, under these names or under all but `keep`; says how many."""

        def run(conn: Connection) -> int:
            if not names:
                others = " and name <> ?" * len(keep)
                return conn.execute(
                    f"delete from states where member_id = ?{others}", (member_id, *keep)
                ).rowcount
            return sum(
                conn.execute(
                    "delete from states where member_id = ? and name = ?", (member_id, name)
                ).rowcount
                for name in names
            )

        return await self._db.write(run)

    async def purge_states(self, now: float) -> int:
        """Drop what has expired; says how many rows."""

        def run(conn: Connection) -> int:
            return conn.execute("delete from states where expires_at <= ?", (now,)).rowcount

        return await self._db.write(run)

    # Guessing

    async def locked_until(self, member_id: int, name: str, now: float) -> float:
        """Until when this member may not try again; 0 when they may."""

        def run(conn: Connection) -> float:
            row = conn.execute(
                "select locked_until from attempts where member_id = ? and name = ? "
                "and locked_until > ?",
                (member_id, name, now),
            ).fetchone()
            return 0.0 if row is None else float(row[0])

        return await self._db.read(run)

    async def wrong(
        self, member_id: int, name: str, now: float, by: bytes, *, limit: int, lock_s: float
    ) -> int:
        """Count a wrong try; at `limit` the member is locked for `lock_s`. Tries left.

        by: the message's key; the same one again costs no other try. 0 when there is no
        such member.
        """

        def run(conn: Connection) -> int:
            counted = conn.execute(
                "select count from attempts where member_id = ? and name = ? and last_key = ?",
                (member_id, name, by),
            ).fetchone()
            if counted is not None:
                return max(0, limit - int(counted[0]))
            row = conn.execute(
                "insert into attempts (member_id, name, count, last_key) select id, ?, 1, ? "
                "from members where id = ? on conflict (member_id, name) do update set count = "
                "case when locked_until > 0 and locked_until <= ? then 1 else count + 1 end, "
                "locked_until = case when locked_until <= ? then 0 else locked_until end, "
                "last_key = excluded.last_key returning count",
                (name, by, member_id, now, now),
            ).fetchone()
            if row is None:
                return 0
            count = int(row[0])
            if count >= limit:
                conn.execute(
                    "update attempts set locked_until = ? where member_id = ? and name = ?",
                    (now + lock_s, member_id, name),
                )
            return max(0, limit - count)

        return await self._db.write(run)
