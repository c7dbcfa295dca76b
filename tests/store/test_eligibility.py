"""Who may have a coupon: rules that people write, and members that fit them or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from store import Store, eligibility
from store.eligibility import BadRule, Term, conditions, parse
from store.events import NewEvent
from store.ledgers import Deed
from store.rules import Everyone, Or
from tests.store.couponing import DAY_S
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, change_file

LEVELS = (0, 100, 500)
TIERS = ("trial", "paid-monthly", "paid-yearly")


def test_no_rule_is_everyone_and_each_condition_that_must_hold_is_told() -> None:
    assert parse("") == parse("  ") == parse("everyone") == Everyone()
    assert conditions("") == conditions("everyone") == ()
    assert conditions("tag:VIP") == (Term("tag", ":", "VIP"),)
    assert conditions(' tag:VIP AND level>=2 and (new or tag:"老 学员") ') == (
        Term("tag", ":", "VIP"),
        Term("level", ">=", "2"),
        Or((Term("new"), Term("tag", ":", "老 学员"))),
    )


@pytest.mark.parametrize(
    ("text", "at"), [("VIP", 1), ("tag:VIP level>=2", 9), ("level>=1000", 8), ("x" * 1001, 1001)]
)
def test_a_bad_rule_says_where(text: str, at: int) -> None:
    with pytest.raises(BadRule) as error:
        parse(text)
    assert error.value.at == at


async def fits(
    store: Store,
    rule: str,
    member_id: int,
    now: float = NOW,
    levels: Sequence[int] = LEVELS,
    tiers: Sequence[str] = TIERS,
) -> bool:
    return await store.db.read(
        lambda conn: eligibility.fits(conn, rule, member_id, now, levels, tiers)
    )


async def test_everyone_is_whoever_is_a_member(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    assert await fits(store, "", lin.id)
    assert not await fits(store, "", lin.id + 1)


async def test_tags(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.tags.add(lin.id, "老 学员", NOW, limit=9)
    assert await fits(store, 'tag:"老 学员"', lin.id)
    assert not await fits(store, 'tag:"老 学员" and tag:VIP', lin.id)
    assert not await fits(store, "tag:'or(1=1)--", lin.id)


async def test_levels_count_from_one_and_go_by_points_ever_earned(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    assert await fits(store, "level=1", lin.id)
    assert not await fits(store, "level>=2", lin.id)
    await store.points.post(lin.id, 120, "operator", "x", NOW)
    await store.points.post(lin.id, -60, "coupon", "y", NOW)
    assert await fits(store, "level>=2 and level<=2 and level:2", lin.id)
    assert not await fits(store, "level>=3", lin.id)
    assert await fits(store, "level=0", lin.id, levels=())


async def test_a_higher_tier_fits_and_an_ended_one_does_not(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    change_file(
        store.db.path,
        "update members set tier = 'paid-monthly', tier_until = ? where id = ?",
        (NOW + DAY_S, lin.id),
    )
    assert await fits(store, "tier:trial", lin.id)
    assert await fits(store, "tier:paid-monthly", lin.id)
    assert not await fits(store, "tier:paid-yearly", lin.id)
    assert not await fits(store, "tier:unheard-of", lin.id)
    assert not await fits(store, "tier:trial", lin.id, tiers=())
    assert await fits(store, "tier:paid-monthly", lin.id, tiers=())
    assert not await fits(store, "tier:paid-monthly", lin.id, NOW + DAY_S)


async def test_bought_and_given_back_is_not_bought(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)

    async def tell(event_id: str, kind: str, at: float, order: str) -> None:
        event = NewEvent(event_id, kind, at, lin.id, item_id="py-101", order_id=order)
        await store.events.add([event], NOW)

    rule = "bought:py-101"
    assert not await fits(store, rule, lin.id)
    await tell("1", "purchase", 10.0, "A")
    assert await fits(store, rule, lin.id)
    assert not await fits(store, "bought:py-10", lin.id)
    await tell("2", "refund", 20.0, "another order")
    assert await fits(store, rule, lin.id)
    await tell("3", "refund", 21.0, "A")
    assert not await fits(store, rule, lin.id)
    await tell("4", "purchase", 30.0, "B")
    assert await fits(store, rule, lin.id)


@pytest.mark.parametrize(
    ("did", "sql"),
    [
        ("checkin", "insert into checkins values (?, '2026-01-01', 1, 5, 0, 0, '', 0, null)"),
        ("homework", "insert into homework values (1, ?, 'c', '1', 'x', 0, null)"),
        (
            "invite",
            "insert into referrals (inviter_id, channel, at, status, fingerprint) "
            "values (?, 'mp', 0, 'credited', x'00')",
        ),
    ],
)
async def test_what_members_did(store: Store, did: str, sql: str) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    mei = await store.members.meet(CHANNEL, MEI, NOW)
    change_file(store.db.path, sql, (lin.id,))
    assert await fits(store, f"did:{did}", lin.id)
    assert not await fits(store, f"did:{did}", mei.id)


async def test_a_quiz_counts_when_it_was_finished(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    for sql in (
        "insert into quizzes (title, status, prizes, created_at, created_by) "
        "values ('q', 'closed', '[]', 0, 'x')",
        f"insert into quiz_attempts (quiz_id, member_id, started_at, position, asked_at) "
        f"values (1, {lin.id}, 0, 1, 0)",
    ):
        change_file(store.db.path, sql)
    assert not await fits(store, "did:quiz", lin.id)
    change_file(store.db.path, "update quiz_attempts set finished_at = 9")
    assert await fits(store, "did:quiz", lin.id)


async def test_segments_go_by_when_we_met_and_when_they_wrote(store: Store) -> None:
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    lin = await answered(store, 1, at=NOW)
    await answered(store, 2, at=NOW + 20 * DAY_S, allowance=5)
    for at, of_lin, of_mei in (
        (NOW, {"new", "active"}, {"new", "active"}),
        (NOW + 8 * DAY_S, {"active"}, {"active"}),
        (NOW + 31 * DAY_S, {"active"}, {"quiet"}),
        (NOW + 51 * DAY_S, {"quiet"}, {"quiet"}),
    ):
        for segment in ("new", "active", "quiet"):
            assert await fits(store, f"segment:{segment}", lin, at) is (segment in of_lin)
            assert await fits(store, f"segment:{segment}", mei, at) is (segment in of_mei)


async def test_the_whole_language_may_say_who_is_meant(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.tags.add(lin.id, "VIP", NOW, limit=9)
    assert await fits(store, "tag:none or (tag:VIP and not did:checkin)", lin.id)
    assert not await fits(store, "not (tag:VIP or new)", lin.id)
    assert await fits(store, "everyone", lin.id)
    assert not await fits(store, "everyone", lin.id + 1)


async def test_a_saved_segment_counts_and_a_lost_one_means_nobody(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    deed = Deed(NOW, "cli", "segment.save")
    await store.segments.put("fresh", "new 1d", NOW, "cli", deed)
    assert await fits(store, "segment:fresh", lin.id)
    assert not await fits(store, "segment:fresh", lin.id, NOW + 2 * DAY_S)
    change_file(store.db.path, "delete from segments")
    assert not await fits(store, "segment:fresh", lin.id)
    assert not await fits(store, "not segment:fresh", lin.id), "nobody can tell whom it means"
