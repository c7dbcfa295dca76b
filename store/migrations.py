"""The schema, step by step. A step that has landed is never changed, only followed.

docs/tables.md describes every table (a test compares). Times are Unix seconds; keys of
messages are the 16 bytes of `Message.key`.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.dialect import ID, ID_FOREVER

migrations = Migrations("zhiqun")


@migrations()
def m0001_first(db: Database) -> None:
    """Everything the first release remembers."""
    for statement in (
        # Who
        f"""create table members (
            id {ID_FOREVER},
            unionid text unique,
            role text not null default 'member',
            created_at real not null
        )""",
        """create table identities (
            channel text not null,
            external_id text not null,
            member_id integer not null references members(id),
            followed integer not null default 0,
            followed_at real,
            unfollowed_at real,
            last_seen_at real not null default 0,
            allowance integer not null default 0,
            allowance_until real not null default 0,
            burst integer not null default 0,
            burst_until real not null default 0,
            primary key (channel, external_id)
        )""",
        "create index identities_member on identities(member_id)",
        """create table states (
            member_id integer not null references members(id),
            name text not null,
            data text not null,
            expires_at real not null,
            primary key (member_id, name)
        )""",
        """create table attempts (
            member_id integer not null references members(id),
            name text not null,
            count integer not null,
            locked_until real not null default 0,
            last_key blob not null,
            primary key (member_id, name)
        )""",
        """create table subscriptions (
            member_id integer not null references members(id),
            topic text not null,
            since real not null,
            primary key (member_id, topic)
        )""",
        # What came in, what went out
        f"""create table messages (
            id {ID},
            key blob not null unique,
            channel text not null,
            sender text not null,
            received_at real not null,
            body blob,
            acked integer not null default 0,
            status integer not null default 0,
            reply blob,
            answered_at real
        )""",
        f"""create table interactions (
            id {ID},
            at real not null,
            channel text not null,
            member_id integer not null references members(id),
            kind text not null,
            text text not null,
            handler text not null,
            item text not null,
            message_key blob unique
        )""",
        "create index interactions_member on interactions(member_id, id)",
        # Its number is held during a call, while the row itself may be forgotten.
        f"""create table sends (
            id {ID_FOREVER},
            message_key blob not null,
            part integer not null,
            channel text not null,
            external_id text not null,
            reply text not null,
            status text not null,
            created_at real not null,
            due_at real not null,
            tries integer not null default 0,
            errcode integer,
            note text not null default '',
            settled_at real,
            fetched_by blob,
            paid_allowance real,
            paid_burst real,
            unique (message_key, part)
        )""",
        "create index sends_status on sends(status, due_at)",
        # What it knows
        f"""create table faq (
            id {ID_FOREVER},
            question text not null,
            answer text not null,
            created_at real not null,
            updated_at real not null,
            deleted_at real
        )""",
        """create table faq_questions (
            question text primary key,
            faq_id integer not null references faq(id),
            main integer not null
        )""",
        "create index faq_questions_faq on faq_questions(faq_id)",
        """create table items (
            id text primary key,
            kind text not null,
            title text not null,
            summary text not null,
            tags text not null,
            author text not null,
            level text not null,
            price_cents integer not null,
            url text not null,
            cover_url text not null,
            published_on text not null,
            updated_at real not null
        )""",
        f"""create table gaps (
            id {ID},
            question text not null unique,
            sample text not null,
            count integer not null,
            first_at real not null,
            last_at real not null,
            last_key blob not null
        )""",
        """create table findings (
            name text primary key,
            data text not null,
            made_at real not null
        )""",
        # Who may, who did, how much is left
        f"""create table audit (
            id {ID},
            at real not null,
            actor text not null,
            action text not null,
            target text not null,
            detail text not null
        )""",
        """create table quota (
            channel text not null,
            name text not null,
            day text not null,
            used integer not null,
            primary key (channel, name, day)
        )""",
        """create table tokens (
            channel text primary key,
            token text not null,
            expires_at real not null
        )""",
        """create table meta (
            name text primary key,
            value text not null
        )""",
    ):
        db.execute(statement)
