"""What is kept of a person, wherever it stands: to take away, to forget, to join with another's.

Every table that names a member is in here, by itself or through the store that keeps it. The
steps run inside the transactions of `store/members.py`.
"""

from __future__ import annotations

from typing import Any, Protocol

from store import (
    alerts,
    aliases,
    checkins,
    communities,
    consents,
    coupons,
    customer_groups,
    deliveries,
    edges,
    features,
    honours,
    hooks,
    journeys,
    mass_quota,
    memberships,
    mood_labels,
    notices,
    optouts,
    order,
    points_personal,
    post_names,
    posts,
    quizzes,
    readings,
    rec_digests,
    rec_lists,
    referral_people,
    scrub,
    signups,
    streams,
    talk,
    terms,
    used_up,
    wechat_tags,
)
from store.dialect import Connection
from store.statements import rows_of

_LOGS = ("interactions", "homework")
_ONCE_TABLES = {
    "subscriptions": "topic, since",
    "member_tags": "tag, since",
    "reminders": "item_id, since",
    "faq_votes": "faq_id, useful, at",
    "member_settings": "name, value",
    "group_members": "place, since, left_at, name, welcomed_at",
}
"""What a member has once of each kind: table -> its columns besides the member."""
_PASSING = ("states", "attempts")
_MEMBER_TABLES = (*_PASSING, *_LOGS, *_ONCE_TABLES)


class _Room(Protocol):
    """A store with rows of its own kind about members: a module with these functions."""

    def told(self, conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
        """What it keeps of a member, by table."""

    def forget(self, conn: Connection, member_id: int, now: float) -> dict[str, int]:
        """Remove it, or make it nobody's; rows by table. No row names the member after."""

    def merge(self, conn: Connection, keep: int, drop: int) -> None:
        """Give it to another member. No row names `drop` after."""


_ROOMS: tuple[_Room, ...] = (
    used_up,
    quizzes,
    coupons,
    points_personal,
    checkins,
    honours,
    memberships,
    referral_people,
    optouts,
    notices,
    journeys,
    mass_quota,
    wechat_tags,
    deliveries,
    order,
    signups,
    posts,
    streams,
    edges,
    talk,
    customer_groups,
    consents,
    communities,
    features,
    terms,
    readings,
    mood_labels,
    alerts,
    rec_digests,
    rec_lists,
)


def told(conn: Connection, member_id: int) -> dict[str, Any] | None:
    """Everything kept about one member, by table; None when unknown."""

    def rows(sql: str, *args: Any) -> list[dict[str, Any]]:
        return rows_of(conn, sql, *(args or (member_id,)))

    who = f"member:{member_id}"
    members = rows(
        "select id, unionid, role, created_at, tier, tier_until from members where id = ?"
    )
    if not members:
        return None
    kept: dict[str, Any] = {
        "member": members[0],
        "identities": rows(
            "select channel, external_id, followed, followed_at, unfollowed_at, "
            "last_seen_at from identities where member_id = ?"
        ),
        "subscriptions": rows("select topic, since from subscriptions where member_id = ?"),
        "interactions": rows(
            "select at, channel, kind, text, handler, item from interactions "
            "where member_id = ? order by id"
        ),
        "events": rows(
            "select event_id, kind, at, item_id, chapter_id, percent, amount_cents, "
            "order_id, campaign, variant, source, ref, data from events "
            "where member_id = ? order by at, id"
        ),
        "aliases": rows("select name, since from aliases where member_id = ?"),
        "member_tags": rows("select tag, since from member_tags where member_id = ?"),
        "member_settings": rows("select name, value from member_settings where member_id = ?"),
        "group_members": rows(
            "select place, name, since, left_at from group_members where member_id = ?"
        ),
        "homework": rows(
            "select item_id, chapter_id, text, submitted_at from homework "
            "where member_id = ? order by id"
        ),
        "reminders": rows("select item_id, since from reminders where member_id = ?"),
        "faq_votes": rows("select faq_id, useful, at from faq_votes where member_id = ?"),
        "hook_deliveries": rows(
            "select topic, status, created_at, body from hook_deliveries "
            "where member_id = ? order by id"
        ),
        "states": rows("select name, expires_at from states where member_id = ?"),
        "attempts": rows("select name, count, locked_until from attempts where member_id = ?"),
        "sends": rows(
            "select s.channel, s.status, s.created_at, s.reply from sends as s "
            "join identities as i on i.channel = s.channel "
            "and i.external_id = s.external_id where i.member_id = ? order by s.id"
        ),
        "audit": rows(
            "select at, actor, action, target, detail from audit "
            "where actor = ? or target = ? order by id",
            who,
            who,
        ),
    }
    for room in _ROOMS:
        kept |= room.told(conn, member_id)
    return kept


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Remove what is kept of a member besides who they are; rows by table."""
    scrub.forget(conn, member_id)  # by their words, and by every number they had
    rows = {"events": aliases.forget(conn, member_id)}
    # Before all rooms, which take away what they are called.
    post_names.unname(conn, member_id, now)
    for room in _ROOMS:
        rows |= room.forget(conn, member_id, now)
    for table in _MEMBER_TABLES:
        rows[table] = conn.execute(
            f"delete from {table} where member_id = ?", (member_id,)
        ).rowcount
    rows["hook_deliveries"] = hooks.forget(conn, member_id)
    return rows


def merge(conn: Connection, keep: int, drop: int) -> None:
    """All that `drop` did and has is `keep`'s; nothing names `drop` any more."""
    for table in _LOGS:
        conn.execute(f"update {table} set member_id = ? where member_id = ?", (keep, drop))
    for table, columns in _ONCE_TABLES.items():
        conn.execute(
            f"insert into {table} (member_id, {columns}) select ?, {columns} "
            f"from {table} where member_id = ? on conflict do nothing",
            (keep, drop),
        )
    for table in (*_PASSING, *_ONCE_TABLES):
        conn.execute(f"delete from {table} where member_id = ?", (drop,))
    for room in _ROOMS:
        room.merge(conn, keep, drop)
    consents.keep_to(conn, keep)
    aliases.merge(conn, keep, drop)
    hooks.merge(conn, keep, drop)
