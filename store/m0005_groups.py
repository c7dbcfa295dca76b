"""The fifth step of the schema: groups, what is said in them, and what is posted there.

A place is a group on a channel, "qun:12345@chatroom". What is said in a group is kept apart from
`interactions`: most of it was not said to us. What goes to a group is a row of `posts` before it
leaves, with a unique key; what members are told in answer stays in `sends`.
"""

from __future__ import annotations

from sqlite_utils import Database

from store.dialect import ID, ID_FOREVER


def m0005_groups(db: Database) -> None:
    """Groups and their rules, talk, edges, posts, streams, order, sign-ups, customer groups."""
    for statement in (*_GROUPS, *_TALK, *_POSTS, *_ORDER, *_LIFE, *_CUSTOMERS):
        db.execute(statement)


_GROUPS = (
    f"""create table groups (
        id {ID_FOREVER},
        place text not null unique,
        channel text not null,
        external_id text not null,
        name text not null default '',
        alias text unique,
        -- The channel that posts here, when it is not the group's own.
        route text not null default '',
        owner text not null default '',
        rules text not null default '{{}}',
        known_at real not null,
        bound_at real,
        bound_by text not null default '',
        left_at real,
        synced_at real
    )""",
    "alter table group_members add column name text not null default ''",
    "alter table group_members add column welcomed_at real",
    # Newcomers: looked for every few seconds.
    "create index group_members_new on group_members(place, since) "
    "where welcomed_at is null and left_at is null",
    # Where somebody wrote to us: "" in private.
    "alter table interactions add column place text not null default ''",
    "create index interactions_place on interactions(place, id) where place <> ''",
    # Where an answer goes, and which message it quotes.
    "alter table sends add column place text not null default ''",
    "alter table sends add column quote text not null default ''",
    "alter table campaigns add column places text not null default ''",
)

_TALK = (
    f"""create table talk (
        id {ID_FOREVER},
        key blob not null unique,
        place text not null,
        member_id integer references members(id),
        at real not null,
        kind text not null,
        text text not null,
        message_id text not null default '',
        reply_to integer,
        addressed integer not null default 0,
        hidden integer not null default 0
    )""",
    "create index talk_place on talk(place, at, id)",
    "create index talk_at on talk(at)",
    "create index talk_words on talk(at) where text <> ''",
    "create index talk_message on talk(place, message_id) where message_id <> ''",
    "create index talk_member on talk(member_id) where member_id is not null",
    # Who turns to whom. weight: as of `at`; it halves with time.
    """create table edges (
        place text not null,
        from_id integer not null references members(id),
        to_id integer not null references members(id),
        weight real not null,
        count integer not null,
        at real not null,
        primary key (place, from_id, to_id)
    )""",
    "create index edges_from on edges(from_id)",
    "create index edges_to on edges(to_id)",
    # What was answered in a group lately, so that it is not said twice.
    """create table group_answers (
        place text not null,
        item text not null,
        at real not null,
        message_key blob not null,
        pointed_at real,
        pointed_by blob,
        primary key (place, item)
    )""",
)

_POSTS = (
    f"""create table posts (
        id {ID_FOREVER},
        key blob not null unique,
        channel text not null,
        place text not null default '',
        kind text not null,
        body text not null,
        status text not null,
        created_at real not null,
        due_at real not null,
        not_after real,
        tries integer not null default 0,
        claimed_at real,
        settled_at real,
        errcode integer,
        note text not null default '',
        message_id text not null default '',
        campaign_id integer,
        variant text not null default '',
        member_id integer
    )""",
    "create index posts_due on posts(channel, due_at, id) where status = 'planned'",
    "create index posts_claimed on posts(channel, claimed_at) where claimed_at is not null",
    "create index posts_status on posts(status, settled_at)",
    "create index posts_campaign on posts(campaign_id, status) where campaign_id is not null",
    "create index posts_member on posts(member_id) where member_id is not null",
    "create index posts_place on posts(place, id)",
    # Answers that a WeCom robot gives by stream, and the one address for each that is late.
    """create table streams (
        message_key blob primary key,
        channel text not null,
        sender text not null,
        response_url text not null default '',
        started_at real not null,
        finished_at real,
        -- When the answer is to be pushed; null: there is nothing to push, or it was.
        due_at real,
        fetched_at real,
        pushing_at real,
        pushed_at real,
        note text not null default ''
    )""",
    "create index streams_due on streams(due_at) where due_at is not null",
    "create index streams_sender on streams(channel, sender)",
)

_ORDER = (
    f"""create table order_cases (
        id {ID_FOREVER},
        key blob not null unique,
        place text not null,
        member_id integer references members(id),
        message_id text not null default '',
        at real not null,
        text text not null,
        reasons text not null,
        score real,
        severity integer not null,
        action text not null,
        -- Whether operators are to hear of it, and when they were told.
        report integer not null default 0,
        reported_at real,
        verdict text not null default '',
        verdict_by text not null default '',
        verdict_at real,
        learned_at real
    )""",
    "create index order_cases_place on order_cases(place, id)",
    "create index order_cases_member on order_cases(member_id) where member_id is not null",
    "create index order_cases_at on order_cases(at)",
    "create index order_cases_verdict on order_cases(verdict_at) where verdict_at is not null",
    "create index order_cases_reported on order_cases(place, reported_at) "
    "where reported_at is not null",
    "create index order_cases_unreported on order_cases(place, id) "
    "where report = 1 and reported_at is null",
    "create index order_cases_unlearned on order_cases(id) "
    "where verdict <> '' and learned_at is null",
    # Words and hosts that the operator bans or allows; place '' means everywhere.
    """create table order_words (
        kind text not null,
        value text not null,
        place text not null default '',
        severity integer not null default 2,
        at real not null,
        by text not null,
        primary key (kind, value, place)
    )""",
)

_LIFE = (
    f"""create table signups (
        id {ID_FOREVER},
        place text not null,
        title text not null,
        places integer,
        opened_at real not null,
        opened_by text not null,
        closes_at real,
        closed_at real,
        message_key blob unique
    )""",
    "create index signups_open on signups(place) where closed_at is null",
    f"""create table signup_entries (
        id {ID},
        signup_id integer not null references signups(id),
        member_id integer not null references members(id),
        number integer not null,
        name text not null default '',
        note text not null default '',
        at real not null,
        left_at real,
        message_key blob not null,
        unique (signup_id, member_id)
    )""",
    "create index signup_entries_member on signup_entries(member_id)",
    # A quiz in a group: one clock for all. position 0 is the quiz itself: its announcement, and
    # when its last word was said; the others are its questions.
    """create table quiz_rounds (
        quiz_id integer not null references quizzes(id),
        position integer not null,
        post_key blob not null,
        asked_at real,
        settled_at real,
        primary key (quiz_id, position)
    )""",
    "create index quiz_rounds_open on quiz_rounds(quiz_id) where settled_at is null",
    """create table digests (
        place text not null,
        day text not null,
        body text not null,
        made_at real not null,
        primary key (place, day)
    )""",
)

_CUSTOMERS = (
    f"""create table customer_tasks (
        id {ID_FOREVER},
        key blob not null unique,
        campaign_id integer,
        variant text not null default '',
        channel text not null,
        sender text not null,
        body text not null,
        status text not null,
        msgid text not null default '',
        created_at real not null,
        due_at real not null,
        not_after real,
        left_at real,
        asked_at real,
        -- Whether the employee is to be reminded, and when they were.
        remind integer not null default 0,
        reminded_at real,
        settled_at real,
        errcode integer,
        note text not null default ''
    )""",
    "create index customer_tasks_open on customer_tasks(status, due_at) where settled_at is null",
    "create index customer_tasks_campaign on customer_tasks(campaign_id) "
    "where campaign_id is not null",
    """create table customer_task_groups (
        task_id integer not null references customer_tasks(id),
        place text not null,
        status text not null,
        sent_at real,
        primary key (task_id, place)
    )""",
    "create index customer_task_groups_place on customer_task_groups(place)",
)
