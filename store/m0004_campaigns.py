"""The fourth step of the schema: what goes out to many, and that it went once.

A delivery is one campaign's promise to one member: its unique key is what makes a second one
impossible, whoever plans it. A part is one call that carries many deliveries. What may be
planned, claimed or counted together is kept together, so that each is one transaction.
"""

from __future__ import annotations

from sqlite_utils import Database

from store import chain
from store.dialect import ID, ID_FOREVER


def m0004_campaigns(db: Database) -> None:
    """Campaigns, journeys, segments, opt-outs, quotas, and an audit that shows tampering."""
    for statement in (*_AUDIENCES, *_CAMPAIGNS, *_DELIVERIES, *_LIMITS, *_JOURNEYS, *_AUDIT):
        db.execute(statement)
    chain.begin(db.conn)


_AUDIENCES = (
    """create table segments (
        name text primary key,
        rule text not null,
        created_at real not null,
        created_by text not null,
        updated_at real not null
    )""",
    """create table optouts (
        member_id integer not null references members(id),
        topic text not null,
        since real not null,
        primary key (member_id, topic)
    )""",
    # Who is in which group; written by the channels of groups.
    """create table group_members (
        place text not null,
        member_id integer not null references members(id),
        since real not null,
        left_at real,
        primary key (place, member_id)
    )""",
    "create index group_members_member on group_members(member_id)",
    "alter table identities add column blocked_at real",
    # Who followed since: asked every few seconds while a journey waits for them.
    "create index identities_followed on identities(channel, followed_at)",
    # What WeChat's own tags hold, as far as we have put it there.
    """create table wechat_tags (
        channel text not null,
        tag text not null,
        wechat_id integer,
        kept integer not null default 0,
        campaign_id integer,
        synced_at real,
        note text not null default '',
        primary key (channel, tag)
    )""",
    """create table wechat_tagged (
        channel text not null,
        tag text not null,
        member_id integer not null references members(id),
        at real not null,
        primary key (channel, tag, member_id)
    )""",
    "create index wechat_tagged_member on wechat_tagged(member_id)",
)

_CAMPAIGNS = (
    f"""create table campaigns (
        id {ID_FOREVER},
        kind text not null default 'once',
        parent_id integer references campaigns(id),
        journey_id integer,
        title text not null,
        channel text not null,
        topic text not null default '',
        marketing integer not null default 1,
        audience text not null,
        routes text not null,
        status text not null,
        timing text not null default 'at',
        starts_at real,
        cron text not null default '',
        delay_s real,
        not_after real,
        holdout real not null default 0,
        metric text not null default 'click',
        window_s real not null,
        test_share real not null default 0,
        test_s real not null default 0,
        winner text not null default '',
        decided_at real,
        seed blob not null,
        best_hour integer,
        planned integer not null default 0,
        frozen_at real,
        frozen_to integer not null default 0,
        approved integer not null default 0,
        next_part integer not null default 1,
        failures integer not null default 0,
        note text not null default '',
        created_at real not null,
        created_by text not null,
        confirmed_at real,
        started_at real,
        ended_at real,
        message_key blob unique,
        unique (parent_id, starts_at)
    )""",
    "create index campaigns_status on campaigns(status, starts_at)",
    "create index campaigns_journey on campaigns(journey_id) where journey_id is not null",
    """create table variants (
        campaign_id integer not null references campaigns(id),
        name text not null,
        weight integer not null default 1,
        content text not null,
        primary key (campaign_id, name)
    )""",
    f"""create table campaign_changes (
        id {ID_FOREVER},
        campaign_id integer not null references campaigns(id),
        at real not null,
        actor text not null,
        kind text not null,
        before text not null,
        after text not null,
        message_key blob unique,
        undone_at real
    )""",
    "create index campaign_changes_campaign on campaign_changes(campaign_id, id)",
    """create table approvals (
        campaign_id integer not null references campaigns(id),
        digest blob not null,
        actor text not null,
        at real not null,
        primary key (campaign_id, digest, actor)
    )""",
    f"""create table assets (
        id {ID_FOREVER},
        name text not null unique,
        mime text not null,
        digest blob not null,
        data blob not null,
        added_at real not null,
        added_by text not null
    )""",
    """create table uploads (
        asset_id integer not null references assets(id),
        channel text not null,
        purpose text not null,
        digest blob not null,
        media_id text not null default '',
        url text not null default '',
        expires_at real,
        primary key (asset_id, channel, purpose)
    )""",
)

_DELIVERIES = (
    f"""create table deliveries (
        id {ID},
        campaign_id integer not null references campaigns(id),
        -- No reference: an erased member would have it looked for in millions of rows.
        member_id integer,
        occasion text not null default '',
        variant text not null default '',
        route text not null default '',
        status text not null,
        reason text not null default '',
        due_at real,
        part_id integer,
        fence integer,
        tries integer not null default 0,
        claimed_at real,
        settled_at real,
        errcode integer,
        wechat_id text not null default '',
        unique (campaign_id, member_id, occasion)
    )""",
    "create index deliveries_due on deliveries(campaign_id, due_at, id) where status = 'planned'",
    "create index deliveries_open on deliveries(status, campaign_id) "
    "where status in ('sending', 'unknown', 'waiting')",
    "create index deliveries_member on deliveries(member_id, claimed_at) "
    "where claimed_at is not null",
    "create index deliveries_part on deliveries(part_id) where part_id is not null",
    "create index deliveries_wechat on deliveries(wechat_id) where wechat_id <> ''",
    # Votes in polls are rows of the log.
    "create index interactions_polls on interactions(item, member_id) where handler = 'poll'",
    f"""create table parts (
        id {ID_FOREVER},
        campaign_id integer not null references campaigns(id),
        number integer not null,
        variant text not null,
        route text not null,
        status text not null,
        client_id text not null,
        payload text not null default '',
        fence integer not null,
        members integer not null default 0,
        tries integer not null default 0,
        created_at real not null,
        due_at real not null,
        left_at real,
        settled_at real,
        msg_id text not null default '',
        msg_data_id text not null default '',
        errcode integer,
        note text not null default '',
        result text not null default '',
        total_count integer,
        filter_count integer,
        sent_count integer,
        error_count integer,
        unique (campaign_id, number)
    )""",
    "create index parts_open on parts(status, due_at) where settled_at is null",
    "create index parts_msg on parts(msg_id) where msg_id <> ''",
)

_LIMITS = (
    """create table leases (
        name text primary key,
        holder text not null,
        fence integer not null,
        until real not null
    )""",
    """create table paces (
        name text primary key,
        tokens real not null,
        at real not null,
        closed_until real not null default 0
    )""",
    # What each member got of WeChat's monthly mass sends, by us; and the sends of others.
    """create table mass_received (
        channel text not null,
        month text not null,
        member_id integer not null references members(id),
        count integer not null,
        primary key (channel, month, member_id)
    )""",
    "create index mass_received_member on mass_received(member_id)",
    """create table mass_sends (
        channel text not null,
        msg_id text not null,
        at real not null,
        day text not null,
        month text not null,
        ours integer not null,
        to_all integer not null default 0,
        total_count integer,
        filter_count integer,
        sent_count integer,
        error_count integer,
        result text not null default '',
        primary key (channel, msg_id)
    )""",
    "create index mass_sends_month on mass_sends(channel, month)",
    # Notices (订阅通知) that a member allowed, one each.
    """create table notice_grants (
        channel text not null,
        member_id integer not null references members(id),
        template_id text not null,
        count integer not null,
        refused integer not null default 0,
        updated_at real not null,
        primary key (channel, member_id, template_id)
    )""",
    "create index notice_grants_member on notice_grants(member_id)",
)

_JOURNEYS = (
    f"""create table journeys (
        id {ID_FOREVER},
        name text not null,
        channel text not null,
        trigger text not null,
        audience text not null default 'everyone',
        stops text not null default '',
        status text not null,
        anchor_at real,
        seen_to real not null default 0,
        created_at real not null,
        created_by text not null,
        started_at real,
        ended_at real,
        message_key blob unique
    )""",
    "create unique index journeys_name on journeys(name) where status <> 'closed'",
    f"""create table journey_members (
        id {ID_FOREVER},
        journey_id integer not null references journeys(id),
        member_id integer references members(id),
        occasion text not null,
        started_at real not null,
        stopped_at real,
        reason text not null default '',
        unique (journey_id, member_id, occasion)
    )""",
    "create index journey_members_member on journey_members(member_id) where member_id is not null",
)

_AUDIT = (
    "alter table audit add column detail_hash blob",
    "alter table audit add column hash blob",
)
