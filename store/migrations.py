"""The schema, step by step. A step that has landed is never changed, only followed.

docs/tables.md describes every table (a test compares). Times are Unix seconds; keys of
messages are the 16 bytes of `Message.key`.
"""

from __future__ import annotations

from datetime import datetime

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.dialect import ID, ID_FOREVER
from store.m0003_incentives import m0003_incentives
from store.m0004_campaigns import m0004_campaigns
from store.m0005_groups import m0005_groups
from store.m0006_insights import m0006_insights
from store.m0007_recommendations import m0007_recommendations

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


_LOG = "at, channel, member_id, kind, text, handler, item, message_key"


@migrations()
def m0002_business(db: Database) -> None:
    """Documents, a fuller catalogue, learning, and what members do outside the chat."""
    for statement in (
        # The catalogue: several authors, a time instead of a day, tiers and chapters
        "alter table items rename column author to authors",
        "alter table items add column published_at real not null default 0",
        "alter table items add column archived_at real",
        """create table price_tiers (
            item_id text not null references items(id),
            position integer not null,
            name text not null,
            price_cents integer not null,
            primary key (item_id, position)
        )""",
        """create table chapters (
            item_id text not null references items(id),
            id text not null,
            position integer not null,
            title text not null,
            url text not null,
            primary key (item_id, id)
        )""",
        # Documents and the passages they are split into
        f"""create table documents (
            id {ID_FOREVER},
            name text not null unique,
            kind text not null,
            title text not null,
            digest blob not null,
            bytes integer not null,
            pages integer,
            added_at real not null,
            added_by text not null
        )""",
        f"""create table passages (
            id {ID_FOREVER},
            document_id integer not null references documents(id),
            position integer not null,
            heading text not null,
            text text not null,
            page integer,
            unique (document_id, position)
        )""",
        # Learning in chat
        f"""create table faq_changes (
            id {ID_FOREVER},
            at real not null,
            actor text not null,
            kind text not null,
            faq_id integer not null,
            before text not null,
            after text not null,
            gaps text not null,
            message_key blob unique,
            undone_at real
        )""",
        """create table faq_votes (
            member_id integer not null references members(id),
            faq_id integer not null,
            useful integer not null,
            at real not null,
            primary key (member_id, faq_id)
        )""",
        "create index faq_votes_faq on faq_votes(faq_id)",
        # What a learner asks for and hands in
        """create table member_tags (
            member_id integer not null references members(id),
            tag text not null,
            since real not null,
            primary key (member_id, tag)
        )""",
        "create index member_tags_tag on member_tags(tag)",
        f"""create table homework (
            id {ID_FOREVER},
            member_id integer not null references members(id),
            item_id text not null,
            chapter_id text not null,
            text text not null,
            submitted_at real not null,
            message_key blob unique
        )""",
        "create index homework_item on homework(item_id, id)",
        "create index homework_member on homework(member_id)",
        """create table reminders (
            member_id integer not null references members(id),
            item_id text not null,
            since real not null,
            primary key (member_id, item_id)
        )""",
        # What happens outside the chat
        f"""create table events (
            id {ID},
            event_id text not null unique,
            kind text not null,
            at real not null,
            received_at real not null,
            member_id integer references members(id),
            who text not null default '',
            item_id text not null default '',
            chapter_id text not null default '',
            percent integer,
            amount_cents integer not null default 0,
            order_id text not null default '',
            campaign text not null default '',
            variant text not null default '',
            source text not null default '',
            ref text not null default '',
            link_id integer,
            data text not null default ''
        )""",
        "create index events_member on events(member_id, at) where member_id is not null",
        "create index events_who on events(who) where who <> ''",
        "create index events_campaign on events(campaign, kind, at) where campaign <> ''",
        "create index events_kind on events(kind, at)",
        """create table aliases (
            name text primary key,
            member_id integer references members(id),
            who text not null default '',
            since real not null
        )""",
        "create index aliases_member on aliases(member_id) where member_id is not null",
        "create index aliases_who on aliases(who) where who <> ''",
        f"""create table links (
            id {ID_FOREVER},
            key text unique,
            item_id text not null,
            url text not null,
            campaign text not null,
            variant text not null,
            source text not null,
            ref text not null,
            created_at real not null,
            created_by text not null,
            expires_at real,
            revoked_at real
        )""",
        "create index events_link on events(link_id) where link_id is not null",
        """create table link_fetches (
            link_id integer not null references links(id),
            day text not null,
            kind text not null,
            count integer not null,
            primary key (link_id, day, kind)
        )""",
        # The doors for programs
        """create table api_keys (
            id text primary key,
            name text not null,
            hash text not null,
            scopes text not null,
            per_minute integer not null,
            created_at real not null,
            revoked_at real,
            last_used_at real
        )""",
        f"""create table hooks (
            id {ID_FOREVER},
            url text not null,
            topics text not null,
            secret text not null,
            created_at real not null,
            created_by text not null,
            deleted_at real
        )""",
        f"""create table hook_deliveries (
            id {ID_FOREVER},
            hook_id integer not null references hooks(id),
            topic text not null,
            key text not null,
            member_id integer,
            body text not null,
            status text not null,
            tries integer not null default 0,
            created_at real not null,
            due_at real not null,
            settled_at real,
            http_status integer,
            note text not null default '',
            unique (hook_id, key)
        )""",
        "create index hook_deliveries_status on hook_deliveries(status, due_at)",
        "create index hook_deliveries_member on hook_deliveries(member_id) "
        "where member_id is not null",
        # The log again: its numbers are cursors of others now, so none is given twice.
        f"""create table interactions_again (
            id {ID_FOREVER},
            at real not null,
            channel text not null,
            member_id integer not null references members(id),
            kind text not null,
            text text not null,
            handler text not null,
            item text not null,
            message_key blob unique
        )""",
        f"insert into interactions_again (id, {_LOG}) select id, {_LOG} from interactions",
        "drop table interactions",
        "alter table interactions_again rename to interactions",
        "create index interactions_member on interactions(member_id, id)",
    ):
        db.execute(statement)
    for item_id, day in db.execute("select id, published_on from items").fetchall():
        db.execute("update items set published_at = ? where id = ?", (_midnight(day), item_id))
    db.execute("alter table items drop column published_on")


def _midnight(day: str) -> float:
    """When an ISO day began in Shanghai, which has no summer time; 0 when it is none."""
    try:
        return datetime.fromisoformat(f"{day}T00:00:00+08:00").timestamp()
    except ValueError:
        return 0.0


migrations()(m0003_incentives)
migrations()(m0004_campaigns)
migrations()(m0005_groups)
migrations()(m0006_insights)
migrations()(m0007_recommendations)
