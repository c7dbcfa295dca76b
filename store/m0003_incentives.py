"""The third step of the schema: what members are promised, and how each promise is kept once.

Every promise is a row with a unique key: who claims, checks in, invites or wins twice meets
the first row again. The checks below repeat what the statements guard, so that even a
mistake in them cannot oversell or overdraw.
"""

from __future__ import annotations

from sqlite_utils import Database

from store.dialect import ID_FOREVER


def m0003_incentives(db: Database) -> None:
    """Coupons, points, check-in, invitations, quizzes, membership."""
    for statement in (*_COUPONS, *_POINTS, *_REFERRALS, *_QUIZZES, *_MEMBERSHIP):
        db.execute(statement)


_COUPONS = (
    f"""create table offers (
        id {ID_FOREVER},
        word text not null,
        title text not null,
        kind text not null,
        value integer not null,
        cap_cents integer,
        min_spend_cents integer not null default 0,
        items text not null default '',
        categories text not null default '',
        stackable integer not null default 0,
        audience text not null default '',
        points_price integer not null default 0,
        inventory integer,
        claimed integer not null default 0,
        per_member integer not null default 1,
        pool integer not null default 0,
        claim_from real,
        claim_until real,
        valid_until real,
        valid_days integer,
        status text not null,
        created_at real not null,
        created_by text not null,
        closed_at real,
        message_key blob unique,
        check (claimed >= 0 and (inventory is null or claimed <= inventory))
    )""",
    "create unique index offers_word on offers(word) where status <> 'closed'",
    f"""create table coupons (
        id {ID_FOREVER},
        offer_id integer not null references offers(id),
        code text not null unique,
        spelling text not null default '',
        status text not null,
        member_id integer references members(id),
        serial integer,
        claim_key blob unique,
        source text not null default '',
        created_at real not null,
        claimed_at real,
        expires_at real,
        reserved_at real,
        reserved_until real,
        released_at real,
        redeemed_at real,
        expired_at real,
        revoked_at real,
        reminded_at real,
        order_id text not null default '',
        amount_cents integer not null default 0,
        discount_cents integer not null default 0,
        points_paid integer not null default 0,
        unique (offer_id, member_id, serial)
    )""",
    "create index coupons_pool on coupons(offer_id, id) where status = 'offered'",
    "create index coupons_member on coupons(member_id, id) where member_id is not null",
    "create index coupons_ending on coupons(status, expires_at) "
    "where status in ('claimed', 'reserved')",
    # An order may hold coupons of several members: whether they stack is asked of all of them.
    "create index coupons_order on coupons(order_id) where order_id <> ''",
    f"""create table coupon_steps (
        id {ID_FOREVER},
        coupon_id integer not null references coupons(id),
        status text not null,
        at real not null,
        actor text not null,
        order_id text not null default '',
        amount_cents integer not null default 0,
        discount_cents integer not null default 0,
        note text not null default ''
    )""",
    "create index coupon_steps_coupon on coupon_steps(coupon_id, id)",
    """create table idempotency (
        key_id text not null,
        name text not null,
        fingerprint blob not null,
        status integer not null,
        answer text not null,
        at real not null,
        primary key (key_id, name)
    )""",
    "alter table api_keys add column signing_secret text",
)

_POINTS = (
    """create table point_accounts (
        member_id integer primary key references members(id),
        balance integer not null default 0 check (balance >= 0),
        earned integer not null default 0,
        owed integer not null default 0 check (owed >= 0),
        updated_at real not null
    )""",
    f"""create table point_transfers (
        id {ID_FOREVER},
        source_key text not null unique,
        reason text not null,
        at real not null,
        day text not null,
        place text not null default '',
        actor text not null default '',
        note text not null default ''
    )""",
    "create index point_transfers_day on point_transfers(day)",
    """create table point_postings (
        transfer_id integer not null references point_transfers(id),
        account text not null,
        member_id integer references members(id),
        amount integer not null,
        balance integer,
        primary key (transfer_id, account)
    )""",
    "create index point_postings_member on point_postings(member_id, transfer_id) "
    "where member_id is not null",
    """create table point_lots (
        transfer_id integer primary key references point_transfers(id),
        member_id integer not null references members(id),
        remaining integer not null check (remaining >= 0),
        expires_at real
    )""",
    "create index point_lots_member on point_lots(member_id, transfer_id)",
    "create index point_lots_ending on point_lots(expires_at) where remaining > 0",
    """create table checkins (
        member_id integer not null references members(id),
        day text not null,
        streak integer not null,
        points integer not null,
        card integer not null default 0,
        made_up integer not null default 0,
        place text not null default '',
        at real not null,
        message_key blob,
        primary key (member_id, day)
    )""",
    """create table badges (
        member_id integer not null references members(id),
        badge text not null,
        at real not null,
        primary key (member_id, badge)
    )""",
    """create table member_settings (
        member_id integer not null references members(id),
        name text not null,
        value text not null,
        primary key (member_id, name)
    )""",
)

_REFERRALS = (
    """create table invites (
        scene text primary key,
        member_id integer not null references members(id),
        channel text not null,
        created_at real not null,
        ticket text not null default '',
        url text not null default '',
        expires_at real not null default 0,
        media_id text not null default '',
        media_until real not null default 0,
        unique (member_id, channel)
    )""",
    f"""create table referrals (
        id {ID_FOREVER},
        inviter_id integer references members(id),
        invitee_id integer references members(id),
        channel text not null,
        at real not null,
        status text not null,
        reason text not null default '',
        points integer not null default 0,
        decided_at real,
        decided_by text not null default '',
        fingerprint blob not null,
        message_key blob unique
    )""",
    "create unique index referrals_once on referrals(fingerprint) where status <> 'refused'",
    "create unique index referrals_pair on referrals(inviter_id, fingerprint)",
    "create index referrals_inviter on referrals(inviter_id, at)",
    "create index referrals_invitee on referrals(invitee_id) where invitee_id is not null",
    "create index referrals_status on referrals(status, id)",
    """create table referral_rewards (
        member_id integer not null references members(id),
        friends integer not null,
        at real not null,
        coupon_id integer references coupons(id),
        note text not null default '',
        primary key (member_id, friends)
    )""",
    """create table known_followers (
        fingerprint blob primary key,
        day text not null
    )""",
    """create table used_up (
        fingerprint blob not null,
        what text not null,
        count integer not null,
        until real,
        member_id integer references members(id),
        primary key (fingerprint, what)
    )""",
    "create index used_up_member on used_up(member_id, what) where member_id is not null",
)

_QUIZZES = (
    f"""create table quizzes (
        id {ID_FOREVER},
        title text not null,
        place text not null default '',
        status text not null,
        starts_at real,
        ends_at real,
        speed_bonus integer not null default 50,
        prizes text not null default '[]',
        audience text not null default '',
        created_at real not null,
        created_by text not null,
        closed_at real,
        paid_at real,
        message_key blob unique
    )""",
    "create index quizzes_status on quizzes(status, starts_at)",
    """create table quiz_questions (
        quiz_id integer not null references quizzes(id),
        position integer not null,
        kind text not null,
        text text not null,
        options text not null default '[]',
        answers text not null,
        points integer not null,
        seconds integer not null,
        primary key (quiz_id, position)
    )""",
    """create table quiz_attempts (
        quiz_id integer not null references quizzes(id),
        member_id integer not null references members(id),
        started_at real not null,
        finished_at real,
        position integer not null,
        asked_at real not null,
        score integer not null default 0,
        elapsed_s real not null default 0,
        rank integer,
        message_key blob,
        primary key (quiz_id, member_id)
    )""",
    "create index quiz_attempts_member on quiz_attempts(member_id)",
    """create table quiz_answers (
        quiz_id integer not null references quizzes(id),
        member_id integer not null references members(id),
        position integer not null,
        text text not null,
        outcome text not null,
        score integer not null,
        at real not null,
        message_key blob unique,
        primary key (quiz_id, member_id, position)
    )""",
    """create table quiz_prizes (
        quiz_id integer not null references quizzes(id),
        member_id integer not null references members(id),
        rank integer not null,
        points integer not null default 0,
        coupon_id integer references coupons(id),
        note text not null default '',
        at real not null,
        primary key (quiz_id, member_id)
    )""",
)

_MEMBERSHIP = (
    f"""create table memberships (
        id {ID_FOREVER},
        member_id integer not null references members(id),
        tier text not null,
        since real not null,
        until real,
        source_key text not null unique,
        given_by text not null,
        ended_at real
    )""",
    "create index memberships_member on memberships(member_id)",
    "alter table members add column tier text not null default ''",
    "alter table members add column tier_until real",
    "alter table items add column needs_tier text not null default ''",
)
