"""Notices (模板消息, 订阅通知): what members allow, and what became of those that went out.

Everything here comes from WeChat's events, which may come twice, late, or before the answer
to the call they speak of. None of them makes a member: who is unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import deliveries, early
from store.db import Database
from store.dialect import Connection
from store.statements import rows_of

_REPEATS_S = 3 * 86_400.0
"""So long an event is known again; WeChat repeats one within seconds."""


class Notices:
    """The table `notice_grants`, and the outcomes of deliveries by notice."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def allow(
        self, channel: str, external_id: str, templates: Sequence[str], key: bytes, now: float
    ) -> bool:
        """A member allowed one notice of each template; False when there is no such member.

        key: of the event's message: the same one again allows nothing more.
        """

        def run(conn: Connection) -> bool:
            row = conn.execute(
                "select member_id from identities where channel = ? and external_id = ?",
                (channel, external_id),
            ).fetchone()
            if row is None:
                return False
            fresh = conn.execute(
                "insert into states (member_id, name, data, expires_at) values (?, ?, '', ?) "
                "on conflict (member_id, name) do nothing returning name",
                (row[0], f"allowed:{key.hex()}", now + _REPEATS_S),
            ).fetchone()
            for template_id in dict.fromkeys(templates) if fresh else ():
                conn.execute(
                    "insert into notice_grants "
                    "(channel, member_id, template_id, count, refused, updated_at) "
                    "values (?, ?, ?, 1, 0, ?) on conflict (channel, member_id, template_id) "
                    "do update set count = notice_grants.count + 1, refused = 0, "
                    "updated_at = excluded.updated_at",
                    (channel, row[0], template_id, now),
                )
            return True

        return await self._db.write(run)

    async def switch(
        self, channel: str, external_id: str, template_id: str, on: bool, now: float
    ) -> bool:
        """A member switched a template's notices off or on; False when that was so already.

        Off, what was allowed before counts for nothing.
        """

        def run(conn: Connection) -> bool:
            if on:
                changed = conn.execute(
                    "update notice_grants set refused = 0, updated_at = ? "
                    "where channel = ? and template_id = ? and refused = 1 and member_id = "
                    "(select member_id from identities where channel = ? and external_id = ?)",
                    (now, channel, template_id, channel, external_id),
                )
                return changed.rowcount > 0
            changed = conn.execute(
                "insert into notice_grants "
                "(channel, member_id, template_id, count, refused, updated_at) "
                "select channel, member_id, ?, 0, 1, ? from identities "
                "where channel = ? and external_id = ? "
                "on conflict (channel, member_id, template_id) do update "
                "set count = 0, refused = 1, updated_at = excluded.updated_at "
                "where notice_grants.refused = 0 or notice_grants.count > 0",
                (template_id, now, channel, external_id),
            )
            return changed.rowcount > 0

        return await self._db.write(run)

    async def ended(
        self,
        channel: str,
        external_id: str,
        number: str,
        *,
        arrived: bool,
        reason: str = "",
        now: float,
    ) -> bool:
        """WeChat's last word on a notice; False when no delivery has its number yet.

        Then it is kept for a day, since its own call may still be under way.
        """

        def run(conn: Connection) -> bool:
            if deliveries.noticed(conn, channel, number, arrived, reason):
                return True
            word = ("delivered", "") if arrived else ("refused", reason)
            known = "select 1 from deliveries where wechat_id = ? and wechat_id <> ''"
            if number and conn.execute(known, (number,)).fetchone() is None:
                early.keep(conn, channel, external_id, number, word, now)
            return False

        return await self._db.write(run)

    async def allowed(self, member_id: int) -> dict[tuple[str, str], int]:
        """Notices a member still allows, by channel and template; those switched off as 0."""

        def run(conn: Connection) -> dict[tuple[str, str], int]:
            rows = conn.execute(
                "select channel, template_id, case when refused = 0 then count else 0 end "
                "from notice_grants where member_id = ? order by channel, template_id",
                (member_id,),
            )
            return {(row[0], row[1]): row[2] for row in rows}

        return await self._db.read(run)


# Of one person: `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """Which notices a member allowed."""
    sql = (
        "select channel, template_id, count, refused, updated_at from notice_grants "
        "where member_id = ? order by channel, template_id"
    )
    return {"notice_grants": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """It goes with them."""
    gone = conn.execute("delete from notice_grants where member_id = ?", (member_id,))
    return {"notice_grants": gone.rowcount}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """Both allowed what they allowed; what one of them switched off stays off."""
    conn.execute(
        "insert into notice_grants (channel, member_id, template_id, count, refused, updated_at) "
        "select channel, ?, template_id, count, refused, updated_at from notice_grants "
        "where member_id = ? on conflict (channel, member_id, template_id) do update set "
        "count = case when excluded.refused + notice_grants.refused > 0 then 0 "
        "else notice_grants.count + excluded.count end, "
        "refused = case when excluded.refused + notice_grants.refused > 0 then 1 else 0 end, "
        "updated_at = case when excluded.updated_at > notice_grants.updated_at "
        "then excluded.updated_at else notice_grants.updated_at end",
        (keep, drop),
    )
    conn.execute("delete from notice_grants where member_id = ?", (drop,))
