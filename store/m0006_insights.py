"""The sixth step of the schema: what is read out of messages and behaviour, and consent to it.

What jobs conclude about nobody in particular is a row of `findings`; what they conclude about a
member stands in tables of its own, so that forgetting one removes it.
"""

from __future__ import annotations

from sqlite_utils import Database

from store.dialect import ID_FOREVER


def m0006_insights(db: Database) -> None:
    """Moods and words, features, communities, alerts, consent, erasures, the noise budget."""
    for statement in (*_READINGS, *_BEHAVIOUR, *_COMMUNITIES, *_REPORTS, *_PRIVACY):
        db.execute(statement)


_READINGS = (
    # How far a job has come in a log whose numbers only grow.
    """create table cursors (
        name text primary key,
        position integer not null,
        at real not null
    )""",
    # What was read out of one message. source: 't' of talk, 'i' of interactions.
    """create table readings (
        source text not null,
        row_id integer not null,
        place text not null,
        member_id integer not null references members(id),
        at real not null,
        -- -1 negative, 0 neutral, 1 positive; null: the model does not want to say.
        label integer,
        -- The probabilities of negative and positive; what is left is neutral.
        negative real not null,
        positive real not null,
        terms text not null default '',
        model text not null,
        primary key (source, row_id)
    )""",
    "create index readings_place on readings(place, at)",
    "create index readings_at on readings(at)",
    "create index readings_member on readings(member_id, at)",
    # What operators said a message's mood is; the words stay for the next training.
    f"""create table mood_labels (
        id {ID_FOREVER},
        source text not null,
        row_id integer not null,
        member_id integer references members(id),
        text text not null,
        label integer not null,
        was integer,
        at real not null,
        by text not null,
        learned_at real,
        unique (source, row_id)
    )""",
    "create index mood_labels_member on mood_labels(member_id) where member_id is not null",
    # Words of finished days: their own history, against which a burst is measured.
    """create table term_days (
        place text not null,
        day text not null,
        term text not null,
        turns integer not null,
        people integer not null,
        -- Sums over turns of P(positive) - P(negative).
        mood real not null,
        primary key (place, day, term)
    )""",
    "create index term_days_day on term_days(day)",
)

_BEHAVIOUR = (
    # One row a member, kept up to date by what happens and, once a night, by what does not.
    """create table member_features (
        member_id integer primary key references members(id),
        first_at real not null,
        last_at real not null,
        -- When the day began on which the last silence of lost_days ended; null: there was none.
        returned_at real,
        acts integer not null,
        active_days integer not null,
        last_day text not null,
        -- Active days of the last 28, newest first: bit 0 is last_day.
        days28 integer not null,
        questions integer not null,
        spent_cents integer not null,
        orders integer not null,
        last_order_at real,
        progress integer not null,
        -- JSON: hours (24 numbers), channels, topics, gaps between days, reply seconds, bits of
        -- active weeks (from the first on) and days (from the last back), state of the shop's part.
        data text not null,
        recency integer not null default 0,
        frequency integer not null default 0,
        monetary integer not null default 0,
        state text not null default '',
        state_since real not null default 0,
        churn real,
        reasons text not null default '',
        action text not null default '',
        updated_at real not null
    )""",
    "create index member_features_state on member_features(state, member_id)",
    "create index member_features_last on member_features(last_at)",
    "create index member_features_churn on member_features(churn) where churn is not null",
    # How many members were in which state at the end of a day.
    """create table state_days (
        day text not null,
        state text not null,
        members integer not null,
        primary key (day, state)
    )""",
)

_COMMUNITIES = (
    f"""create table communities (
        id {ID_FOREVER},
        scope text not null,
        name text not null,
        topics text not null default '',
        born_at real not null,
        -- 'born', 'split', 'merged': how it began; then what it came from, numbers with commas.
        origin text not null,
        parents text not null default '',
        size integer not null,
        seen_at real not null,
        ended_at real,
        -- 'faded', 'merged', 'split'
        ending text not null default ''
    )""",
    "create index communities_scope on communities(scope) where ended_at is null",
    """create table community_members (
        scope text not null,
        member_id integer not null references members(id),
        community_id integer not null references communities(id),
        since real not null,
        primary key (scope, member_id)
    )""",
    "create index community_members_member on community_members(member_id)",
    "create index community_members_community on community_members(community_id)",
    # What a job found of a member: a leader, a bridge. name: "leader", "bridge"; scope: a place.
    """create table member_findings (
        name text not null,
        scope text not null,
        member_id integer not null references members(id),
        rank integer not null,
        value real not null,
        low real,
        high real,
        data text not null default '',
        made_at real not null,
        primary key (name, scope, member_id)
    )""",
    "create index member_findings_member on member_findings(member_id)",
)

_REPORTS = (
    # What operators are to hear of at once. key: the same news again is no news.
    f"""create table alerts (
        id {ID_FOREVER},
        key blob not null unique,
        kind text not null,
        at real not null,
        place text not null default '',
        member_id integer references members(id),
        topic text not null default '',
        data text not null,
        told_at real,
        verdict text not null default ''
    )""",
    "create index alerts_untold on alerts(id) where told_at is null",
    "create index alerts_kind on alerts(kind, at)",
    "create index alerts_member on alerts(member_id) where member_id is not null",
    # What operators told us of places: what a week there costs, and what it may cost.
    """create table place_costs (
        place text not null,
        day text not null,
        cents integer not null,
        note text not null default '',
        at real not null,
        by text not null,
        primary key (place, day)
    )""",
)

_PRIVACY = (
    """create table consents (
        member_id integer not null references members(id),
        purpose text not null,
        granted integer not null,
        at real not null,
        -- Where it was said: a channel, "cli", "api".
        source text not null,
        -- The version of the notice that they had read.
        notice text not null default '',
        primary key (member_id, purpose)
    )""",
    "create index consents_purpose on consents(purpose, granted, member_id)",
    # Who was erased: a number that means nobody any more, and which files still hold them.
    f"""create table erasures (
        id {ID_FOREVER},
        member_id integer not null unique,
        at real not null,
        backups_at real,
        proved_at real,
        found integer,
        note text not null default ''
    )""",
    "create index erasures_open on erasures(id) where backups_at is null",
    # What publishing with noise has used of the budget.
    f"""create table noise_spent (
        id {ID_FOREVER},
        key blob not null unique,
        at real not null,
        audience text not null,
        what text not null,
        epsilon real not null,
        delta real not null default 0,
        by text not null,
        -- What was published, so that the same question is answered alike and costs nothing.
        data text not null
    )""",
    "create index noise_spent_audience on noise_spent(audience, at)",
)
