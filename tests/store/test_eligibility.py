"""Who may have a coupon: rules that people write, and members that fit them or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import Store, eligibility
from store.eligibility import BadRule, Term, parse
from store.events import NewEvent
from tests.store.couponing import DAY_S
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, change_file

LEVELS = (0, 100, 500)
TIERS = ("trial", "paid-monthly", "paid-yearly")


def test_a_rule_is_a_conjunction_of_conditions() -> None:
    assert parse(' tag:VIP AND level>=2 and tag:"老 学员" ') == (
        Term("tag", ":", "VIP"),
        Term("level", ">=", "2"),
        Term("tag", ":", "老 学员"),
    )
    assert parse("") == parse("  ") == ()
    assert parse("level:3") == parse("level = 3") == (Term("level", "=", "3"),)
    assert parse("tag:and and tag:x")[0] == Term("tag", ":", "and")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("VIP", 1),
        ("tag:VIP level>=2", 8),
        ("tag:VIP and ", 8),
        ("tag:VIP or tag:B", 8),
        ("color:red", 1),
        ("level>=two", 8),
        ("level>=1000", 8),
        ("tag>=3", 4),
        ('tag:""', 5),
        ("did:nothing", 5),
        ("tag:A and segment:rich", 19),
        ('tag:"VIP', 1),
        ("tag:A and tag:B;drop table members", 21),
        ("x" * 501, 501),
    ],
)
def test_a_bad_rule_says_where(text: str, at: int) -> None:
    with pytest.raises(BadRule) as error:
        parse(text)
    assert error.value.at == at


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_a_bad_rule(text: str) -> None:
    try:
        column, terms = 1, parse(text)
    except BadRule as error:
        column, terms = error.at, ()
    assert all(term.value for term in terms)
    assert 1 <= column <= len(text) + 1


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
    lin = await answered(store, 1, at=NOW)
    mei = (await store.members.meet(CHANNEL, MEI, NOW)).id
    await answered(store, 2, MEI, kind="event")
    for at, of_lin, of_mei in (
        (NOW, {"new", "active"}, {"new", "quiet"}),
        (NOW + 8 * DAY_S, {"active"}, {"quiet"}),
        (NOW + 31 * DAY_S, {"quiet"}, {"quiet"}),
    ):
        for segment in ("new", "active", "quiet"):
            assert await fits(store, f"segment:{segment}", lin, at) is (segment in of_lin)
            assert await fits(store, f"segment:{segment}", mei, at) is (segment in of_mei)
