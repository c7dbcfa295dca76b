"""What a member may have besides messages and orders: one row of every kind, and more of some."""

from __future__ import annotations

import hashlib
from functools import partial

from store import Store
from store.coupons import Claimant
from store.dialect import Connection
from store.offers import NewOffer
from store.redemption import Call, Cart
from tests.store.rows import NOW

_ROWS = (
    "insert into checkins (member_id, day, streak, points, place, at, message_key) "
    "values (:member, '2026-11-21', 1, 5, :word, 0, :key)",
    "insert into badges (member_id, badge, at) values (:member, '引路人', 0)",
    "insert into member_settings (member_id, name, value) values (:member, 'name', :word)",
    "insert into invites (scene, member_id, channel, created_at, url) "
    "values (:word || ' scene', :member, 'mp', 0, :word)",
    "insert into referrals (inviter_id, channel, at, status, fingerprint, message_key) "
    "values (:member, 'mp', 0, 'credited', :key, :key)",
    "insert into referrals (invitee_id, channel, at, status, decided_by, fingerprint) "
    "values (:member, 'mp', 0, 'refused', 'member:' || :member, :key)",
    "insert into referral_rewards (member_id, friends, at, note) values (:member, 3, 0, :word)",
    "insert into quizzes (id, title, status, created_at, created_by) "
    "values (1, '竞赛', 'running', 0, 'cli') on conflict (id) do nothing",
    "insert into quiz_attempts (quiz_id, member_id, started_at, position, asked_at, message_key) "
    "values (1, :member, 0, 1, 0, :key)",
    "insert into quiz_answers (quiz_id, member_id, position, text, outcome, score, at, "
    "message_key) values (1, :member, 1, :word, 'wrong', 0, 0, :key)",
    "insert into used_up (fingerprint, what, count, member_id) "
    "values (:key, 'offer:9', 1, :member)",
    "insert into quiz_prizes (quiz_id, member_id, rank, note, at) values (1, :member, 1, :word, 0)",
    "insert into mass_received (channel, month, member_id, count) "
    "values ('mp', '2026-11', :member, 2)",
    "insert into wechat_tagged (channel, tag, member_id, at) values ('mp', :word, :member, 0)",
    "insert into group_members (place, member_id, since) values (:word, :member, 0)",
    "insert into talk (key, place, member_id, at, kind, text) "
    "values (randomblob(16), 'qun:1', :member, 0, 'text', :word)",
    "insert into edges (place, from_id, to_id, weight, count, at) "
    "values (:word, :member, :member, 1, 1, 0)",
    "insert into order_cases (key, place, member_id, at, text, reasons, severity, action) "
    "values (randomblob(16), 'qun:1', :member, 0, :word, 'flood', 2, 'hidden')",
    "insert into posts (key, channel, place, kind, body, status, created_at, due_at, member_id) "
    "values (randomblob(16), 'qun', 'qun:1', 'order', :word, 'planned', 0, 0, :member)",
    "insert into signups (id, place, title, opened_at, opened_by) "
    "values (1, 'qun:1', '读书会', 0, 'cli') on conflict (id) do nothing",
    "insert into signup_entries (signup_id, member_id, number, name, note, at, message_key) "
    "values (1, :member, 1, :word, :word, 0, :key)",
    "insert into optouts (member_id, topic, since) values (:member, :word || ' topic', 0)",
    "insert into notice_grants (channel, member_id, template_id, count, updated_at) "
    "values ('mp', :member, :word, 1, 0)",
    "insert into communities (id, scope, name, born_at, origin, size, seen_at) "
    "values (1, '', '圈子 1', 0, 'born', 9, 1) on conflict do nothing",
    "insert into community_members (scope, member_id, community_id, since) "
    "values ('', :member, 1, 0)",
    "insert into member_findings (name, scope, member_id, rank, value, data, made_at) "
    "values ('leader', '', :member, 1, 0.5, :word, 0)",
    "insert into readings (source, row_id, place, member_id, at, label, negative, positive, terms, "
    "model) values ('t', 90000 + :member, 'qun:1', :member, 0, 1, 0.1, 0.8, :word, 'zhiqun')",
    "insert into mood_labels (source, row_id, member_id, text, label, at, by) "
    "values ('t', 90000 + :member, :member, :word, 1, 0, 'cli')",
    "insert into alerts (key, kind, at, member_id, data) "
    "values (randomblob(16), 'mood_member', 0, :member, :word)",
    "insert into member_features (member_id, first_at, last_at, acts, active_days, last_day, "
    "days28, questions, spent_cents, orders, progress, data, state, updated_at) "
    "values (:member, 0, 0, 1, 1, '2026-11-20', 1, 0, 0, 0, 0, "
    """'{"hours":[1],"channels":{},"topics":{"' || :word || '":1},"replies":[],"days":"1",'"""
    """ || '"shop":[null,0,0]}', 'active', 1)""",
    "insert into consents (member_id, purpose, granted, at, source, notice) "
    "values (:member, 'profiling', 1, 0, 'mp', :word)",
    "insert into recommendations (member_id, model, data, made_at) "
    "values (:member, 'm1', :word, 0)",
    "insert into rec_lists (key, member_id, at, surface, ranker, asked) "
    "values (:key, :member, 0, 'chat', 'popular', :word)",
    "insert into rec_shown (list_id, position, item_id, ranker, propensity, why) "
    "select id, 1, 'c1', 'popular', 1, :word from rec_lists where key = :key",
    "insert into dislikes (member_id, item_id, at) values (:member, :word, 0)",
    "insert into rec_digests (member_id, week, at, status) "
    "values (:member, '2026-W47', 0, 'planned')",
    "insert into journeys (id, name, channel, trigger, status, created_at, created_by) "
    "values (1, '旅程', 'mp', 'follow', 'running', 0, 'cli') on conflict do nothing",
    "insert into journey_members (journey_id, member_id, occasion, started_at) "
    "values (1, :member, 'follow:0', 0)",
    "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
    "created_at, created_by) values (1, '上新', 'mp', 'everyone', 'custom', 'running', 0, :key, "
    "0, 'cli') on conflict do nothing",
    "insert into deliveries (campaign_id, member_id, occasion, status, due_at, wechat_id) "
    "values (1, :member, 'follow:' || :word, 'planned', 0, :word)",
)


async def have_everything(store: Store, member_id: int, word: str) -> None:
    """Give a member a row in every table of coupons, points, invitations, quizzes, tiers.

    word: stands in every column that can hold words.
    """
    await _coupons(store, member_id, word)
    await store.points.post(
        member_id, 9, "operator", f"{word} points", NOW, actor=f"member:{member_id}", note=word
    )
    await store.memberships.give(
        member_id, "trial", NOW, source_key=f"{word} tier", by="cli", tiers=("trial",)
    )
    key = hashlib.blake2b(word.encode(), digest_size=16).digest()

    def run(conn: Connection, sql: str) -> None:
        conn.execute(sql, {"member": member_id, "word": word, "key": key})

    for sql in _ROWS:
        await store.db.write(partial(run, sql=sql))


async def _coupons(store: Store, member_id: int, word: str) -> None:
    """One coupon used for an order, another one not yet."""
    for offer_word in ("早鸟", "老友"):
        offer = await store.offers.by_word(offer_word)
        if offer is None:
            new = NewOffer(word=offer_word, title="券", kind="amount", value=500)
            offer = await store.offers.create(new, NOW, "cli")
        assert offer is not None
        key = hashlib.blake2b(f"{word}{offer_word}".encode(), digest_size=16).digest()
        claim = await store.coupons.claim(offer.id, Claimant(member_id), key, NOW)
        assert claim.coupon is not None
        if offer_word == "早鸟":
            call = Call(actor="key:k1", key_id="k1", name=key.hex(), fingerprint=b"f", now=NOW)
            cart = Cart(f"{word} order", 10_000)
            assert (await store.redemptions.redeem(claim.coupon.code, cart, call)).coupon
