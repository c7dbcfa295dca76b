"""WeChat's mass sends: what is left of them, whoever sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import Store, dialect, mass_quota
from store.dialect import Connection
from store.mass_quota import Counts
from tests.blank import blank
from tests.store.rows import CHANNEL

T = TypeVar("T")

DAY, MONTH = "2026-11-21", "2026-11"
NOW = datetime.fromisoformat(f"{DAY}T12:00:00+08:00").timestamp()
DAY_S = 86_400.0
SENT: Counts = (100, 90, 88, 2)


@pytest.fixture
async def members(store: Store) -> list[int]:
    """Three members' numbers."""
    return [(await store.members.meet(CHANNEL, f"o_{one}", NOW)).id for one in range(3)]


async def do(store: Store, run: Callable[[Connection], T]) -> T:
    return await store.db.write(run)


def test_days_and_months_are_shanghais() -> None:
    last = datetime.fromisoformat("2026-11-30T23:59:59+08:00").timestamp()
    assert (mass_quota.day_of(last), mass_quota.month_of(last)) == ("2026-11-30", MONTH)
    assert mass_quota.month_of(last + 1) == "2026-12"


async def test_a_member_gets_four_in_a_month(store: Store, members: list[int]) -> None:
    lin, mei, _ = members

    def run(conn: Connection) -> None:
        for _ in range(4):
            assert mass_quota.take(conn, CHANNEL, MONTH, [lin]) == {lin}
        assert mass_quota.take(conn, CHANNEL, MONTH, [lin, mei]) == {mei}
        assert mass_quota.take(conn, "other", MONTH, [lin]) == {lin}
        assert mass_quota.take(conn, CHANNEL, "2026-12", [lin]) == {lin}
        assert mass_quota.take(conn, CHANNEL, MONTH, []) == set()

    await do(store, run)
    assert await store.mass_quota.received(CHANNEL, NOW, lin) == 4
    assert await store.mass_quota.received(CHANNEL, NOW, mei) == 1


async def test_what_wechat_refused_is_given_back(store: Store, members: list[int]) -> None:
    lin, mei, kai = members

    def run(conn: Connection) -> None:
        mass_quota.take(conn, CHANNEL, MONTH, [lin, mei])
        mass_quota.take(conn, CHANNEL, MONTH, [lin])
        mass_quota.give_back(conn, CHANNEL, MONTH, [lin, mei, kai])
        mass_quota.give_back(conn, CHANNEL, MONTH, [])
        assert conn.execute("select member_id, count from mass_received").fetchall() == [(lin, 1)]

    await do(store, run)


async def test_sends_from_elsewhere_are_everybodys(store: Store, members: list[int]) -> None:
    lin = members[0]
    for one in range(3):
        note = store.mass_quota.note_elsewhere
        assert await note(CHANNEL, f"m{one}", SENT, "send success", NOW)
        assert not await note(CHANNEL, f"m{one}", SENT, "send success", NOW), "again"

    def run(conn: Connection) -> None:
        assert mass_quota.elsewhere(conn, CHANNEL, MONTH) == 3
        assert mass_quota.take(conn, CHANNEL, MONTH, [lin]) == {lin}
        assert mass_quota.take(conn, CHANNEL, MONTH, [lin]) == set()

    await do(store, run)
    assert await store.mass_quota.received(CHANNEL, NOW, lin) == 4
    await store.mass_quota.note_elsewhere(CHANNEL, "m4", SENT, "send success", NOW)
    assert await do(store, lambda conn: mass_quota.take(conn, CHANNEL, MONTH, members)) == set()


@pytest.mark.parametrize(
    ("counts", "result", "news"),
    [
        ((100, 90, 0, 90), "send success", False),
        ((0, 0, 0, 0), "send fail", False),
        ((None, None, None, None), "err(20004)", False),
        ((None, None, None, None), "send success", True),
        ((None, None, None, None), "sendsuccess", True),
        ((100, 90, 1, 89), "err(30003)", True),
    ],
)
async def test_what_reached_nobody_used_nothing_up(
    store: Store, counts: Counts, result: str, news: bool
) -> None:
    assert await store.mass_quota.note_elsewhere(CHANNEL, "m1", counts, result, NOW) is news


async def test_a_finish_that_comes_before_its_answer_is_no_strangers(store: Store) -> None:
    await store.mass_quota.note_elsewhere(CHANNEL, "m1", SENT, "send success", NOW)

    def run(conn: Connection) -> None:
        mass_quota.note_send(conn, CHANNEL, "m1", NOW - 1, to_all=True)
        assert mass_quota.elsewhere(conn, CHANNEL, MONTH) == 0
        assert mass_quota.note_finished(conn, CHANNEL, "m1", SENT, "send success")
        assert not mass_quota.note_finished(conn, CHANNEL, "m2", SENT, "send success")
        rows = conn.execute("select ours, to_all, sent_count, result from mass_sends").fetchall()
        assert rows == [(1, 1, 88, "send success")]

    await do(store, run)


async def test_a_subscription_account_has_one_a_day(store: Store) -> None:
    left = store.mass_quota.left
    assert (await left(CHANNEL, NOW, service=False)).mass == 1
    assert (await left(CHANNEL, NOW, service=True)).mass is None
    await do(store, lambda conn: mass_quota.note_send(conn, CHANNEL, "m1", NOW))
    assert (await left(CHANNEL, NOW, service=False)).mass == 0
    assert (await left(CHANNEL, NOW + DAY_S, service=False)).mass == 1
    assert (await left("other", NOW, service=False)).mass == 1


async def test_sends_to_all_are_one_a_day_and_four_a_month(store: Store) -> None:
    left = store.mass_quota.left

    async def to_all(at: float) -> int:
        return (await left(CHANNEL, at, service=True)).to_all

    await do(store, lambda conn: mass_quota.note_send(conn, CHANNEL, "to some", NOW))
    assert await to_all(NOW) == 1
    for one in range(4):
        at = NOW + one * DAY_S
        assert await to_all(at) == 1
        if one % 2:
            await store.mass_quota.note_elsewhere(CHANNEL, f"m{one}", SENT, "send success", at)
        else:

            def run(conn: Connection, name: str = f"m{one}", at: float = at) -> None:
                mass_quota.note_send(conn, CHANNEL, name, at, to_all=True)

            await do(store, run)
        assert await to_all(at) == 0
    assert await to_all(NOW + 5 * DAY_S) == 0, "four this month"
    assert await to_all(NOW + 15 * DAY_S) == 1, "a new one"


async def test_a_send_that_nobody_heard_of_counts(store: Store) -> None:
    """It may have gone out: a subscription account must not send a second time that day."""

    def run(conn: Connection) -> None:
        conn.execute(
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) "
            "values (1, 't', 'mp', 'everyone', 'mass_tag', 'running', 1, x'00', 0, 'cli')"
        )
        for number, (route, status, msg_id, left_at) in enumerate(
            [
                ("mass_all", "sending", "", NOW),
                ("mass_tag", "unknown", "", NOW),
                ("mass_tag", "accepted", "m1", NOW),
                ("mass_tag", "refused", "", NOW),
                ("mass_tag", "gathering", "", None),
                ("mass_tag", "unknown", "", NOW - DAY_S),
            ]
        ):
            conn.execute(
                "insert into parts (campaign_id, number, variant, route, status, client_id, fence, "
                "created_at, due_at, left_at, msg_id) values (1, ?, 'A', ?, ?, 'c', 1, 0, 0, ?, ?)",
                (number, route, status, left_at, msg_id),
            )
        mass_quota.note_send(conn, CHANNEL, "m1", NOW)
        assert mass_quota.day_used(conn, CHANNEL, DAY) == 3
        assert mass_quota.all_used(conn, CHANNEL, DAY) == (1, 1)
        assert mass_quota.day_used(conn, "other", DAY) == 0

    await do(store, run)


async def test_calls_of_the_day_are_told(store: Store) -> None:
    await store.quota.count(CHANNEL, "message/custom/send", DAY)
    await store.quota.count(CHANNEL, "message/custom/send", "2026-11-20")
    left = await store.mass_quota.left(CHANNEL, NOW, service=True)
    assert left.calls == {"message/custom/send": 1}


async def test_two_who_become_one_have_got_both_their_sends(
    store: Store, members: list[int]
) -> None:
    lin, mei, _ = members

    def run(conn: Connection) -> None:
        mass_quota.take(conn, CHANNEL, MONTH, [lin, mei])
        mass_quota.take(conn, CHANNEL, MONTH, [mei])
        mass_quota.take(conn, CHANNEL, "2026-10", [mei])
        mass_quota.merge(conn, lin, mei)
        assert mass_quota.received(conn, CHANNEL, MONTH, lin) == 3
        assert mass_quota.told(conn, lin) == {
            "mass_received": [
                {"channel": CHANNEL, "month": "2026-10", "count": 1},
                {"channel": CHANNEL, "month": MONTH, "count": 3},
            ]
        }
        assert mass_quota.told(conn, mei) == {"mass_received": []}
        assert mass_quota.forget(conn, lin, NOW) == {"mass_received": 2}

    await do(store, run)


STEPS = st.lists(st.tuples(st.booleans(), st.sets(st.integers(1, 700), max_size=600)), max_size=12)


@given(STEPS)
@settings(max_examples=20, deadline=None)
def test_whatever_is_taken_and_given_back_nobody_is_over(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, set[int]]]
) -> None:
    """Against a plain count; sets large enough for several statements."""
    path = blank(tmp_path_factory.getbasetemp() / "quota.db")
    conn = dialect.connect(Path(path))
    try:
        conn.execute("begin")
        conn.executemany(
            "insert into members (id, created_at) values (?, 0)", [(one,) for one in range(1, 701)]
        )
        model = dict.fromkeys(range(1, 701), 0)
        for takes, members in steps:
            if takes:
                taken = mass_quota.take(conn, CHANNEL, MONTH, members)
                assert taken == {one for one in members if model[one] < 4}
                for one in taken:
                    model[one] += 1
            else:
                mass_quota.give_back(conn, CHANNEL, MONTH, members)
                for one in members:
                    model[one] = max(0, model[one] - 1)
        rows = dict(conn.execute("select member_id, count from mass_received").fetchall())
        assert rows == {one: count for one, count in model.items() if count}
    finally:
        conn.execute("rollback")
        conn.close()
