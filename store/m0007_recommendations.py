"""The seventh step of the schema: what is recommended to whom, why, and what came of it.

A shown list is written before it leaves, with a key of its own: the same message again shows the
same list. What was clicked and bought stands where it always stood, in `interactions` and `events`,
and is joined back when somebody asks.
"""

from __future__ import annotations

from sqlite_utils import Database

from store.dialect import ID_FOREVER


def m0007_recommendations(db: Database) -> None:
    """Series, prerequisites and availability of items; models, lists, refusals, tests, digests."""
    for statement in (*_ITEMS, *_MODELS, *_LISTS):
        db.execute(statement)


_ITEMS = (
    "alter table items add column series text not null default ''",
    # Ids of items that one should have taken before, with "|" between.
    "alter table items add column requires text not null default ''",
    "alter table items add column available_from real not null default 0",
    "alter table items add column available_until real",
)

_MODELS = (
    f"""create table rec_models (
        id {ID_FOREVER},
        name text not null unique,
        made_at real not null,
        -- The data that it learned from.
        since real not null,
        until real not null,
        checksum text not null,
        metrics text not null,
        -- 'candidate', 'live', 'refused', 'retired'
        status text not null,
        why text not null default '',
        live_at real,
        ended_at real
    )""",
    "create unique index rec_models_live on rec_models(status) where status = 'live'",
    # Rankers compared with each other. method: 'split' (members), 'interleave' (places).
    f"""create table rec_tests (
        id {ID_FOREVER},
        a text not null,
        b text not null,
        method text not null,
        share real not null,
        salt text not null unique,
        started_at real not null,
        started_by text not null,
        ended_at real,
        verdict text not null default ''
    )""",
    "create unique index rec_tests_open on rec_tests(method) where ended_at is null",
)

_LISTS = (
    # What a member would be shown, worked out at night. data: JSON.
    """create table recommendations (
        member_id integer primary key references members(id),
        model text not null,
        data text not null,
        made_at real not null
    )""",
    f"""create table rec_lists (
        id {ID_FOREVER},
        key blob not null unique,
        member_id integer not null references members(id),
        at real not null,
        -- 'chat', 'welcome', 'answer', 'campaign', 'digest', 'api'
        surface text not null,
        -- 'ours', 'popular', 'item_item', 'lightfm', 'interleaved'
        ranker text not null,
        model text not null default '',
        -- 'holdout', 'fallback', 'test'; '' for what everybody gets.
        arm text not null default '',
        test_id integer references rec_tests(id),
        asked text not null default ''
    )""",
    "create index rec_lists_member on rec_lists(member_id, at)",
    "create index rec_lists_at on rec_lists(at)",
    """create table rec_shown (
        list_id integer not null references rec_lists(id),
        position integer not null,
        item_id text not null,
        ranker text not null,
        propensity real not null,
        explored integer not null default 0,
        score real,
        why text not null default '',
        primary key (list_id, position)
    )""",
    # Picks that were looked at by their number in the chat.
    "create index interactions_picks on interactions(member_id, at) "
    "where handler = 'recommend.item'",
    # What a member does not want to see again.
    """create table dislikes (
        member_id integer not null references members(id),
        item_id text not null,
        at real not null,
        primary key (member_id, item_id)
    )""",
    # The weekly letter, once a week to each. status: 'planned', 'sent', 'unreachable', 'empty'.
    """create table rec_digests (
        member_id integer not null references members(id),
        week text not null,
        at real not null,
        status text not null,
        list_id integer,
        primary key (member_id, week)
    )""",
)
