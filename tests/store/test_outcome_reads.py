"""What outcomes are worked out of: days found without reading the log, refunds and their orders."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from store import dialect
from store.dialect import Connection
from store.insight_reads import reading
from store.outcome_reads import (
    SLACK_S,
    Asked,
    Cash,
    Names,
    Touches,
    asked,
    came_and_left,
    campaign_titles,
    cash,
    did,
    first_id,
    followers,
    group_moves,
    ids_between,
    ids_of,
    log_began,
    orders,
    place_titles,
    seats,
    shown,
    takes,
    titles,
)
from tests.blank import blank

NOW = 1_795_000_000.0
HOUR = 3600.0
DAY = 86_400.0
PLACE = "qun:1"
LIN, MEI, HE = 1, 2, 3


class World:
    """A database that is written to by hand."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.number = count(1)
        for member in (LIN, MEI, HE):
            self.insert("members", id=member, created_at=0.0)

    def insert(self, table: str, **row: Any) -> None:
        marks = ", ".join("?" * len(row))
        self.conn.execute(
            f"insert into {table} ({', '.join(row)}) values ({marks})", tuple(row.values())
        )

    def acts(self, member: int, at: float, **row: Any) -> None:
        plain = {"channel": "mp", "kind": "text", "text": "在", "handler": "none", "item": ""}
        self.insert("interactions", member_id=member, at=at, **{**plain, **row})

    def talks(self, member: int | None, at: float, **row: Any) -> None:
        key = next(self.number).to_bytes(16, "big")
        plain = {"key": key, "place": PLACE, "kind": "text", "text": "在"}
        self.insert("talk", member_id=member, at=at, **{**plain, **row})

    def event(self, kind: str, member: int | None, at: float, **row: Any) -> None:
        name = f"e{next(self.number)}"
        self.insert(
            "events", event_id=name, kind=kind, member_id=member, at=at, received_at=at, **row
        )

    def sits(self, member: int, since: float, left_at: float | None = None) -> None:
        self.insert("group_members", place=PLACE, member_id=member, since=since, left_at=left_at)

    def posts(self, at: float, **row: Any) -> None:
        key = next(self.number).to_bytes(16, "big")
        plain = {"key": key, "channel": "qun", "place": PLACE, "kind": "push", "body": "{}"}
        times = {"status": "sent", "created_at": at, "due_at": at, "settled_at": at}
        self.insert("posts", **{**plain, **times, **row})

    def campaign(self, number: int = 7, **row: Any) -> None:
        plain = {"id": number, "title": "春招", "channel": "mp", "audience": "", "routes": ""}
        times = {"status": "done", "window_s": DAY, "seed": b"", "created_at": 0.0}
        began = {"created_by": "cli", "started_at": NOW - DAY, "ended_at": NOW}
        self.insert("campaigns", **{**plain, **times, **began, **row})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    conn = dialect.connect(blank(tmp_path / "w.db"))
    yield World(conn)
    conn.close()


def rows(touches: Touches, names: Names) -> list[tuple[int, float, str, str, str]]:
    places, channels, campaigns = (list(one) for one in names)
    return sorted(
        (int(member), float(at - NOW), places[place], channels[channel], campaigns[campaign])
        for member, at, place, channel, campaign in zip(*touches, strict=True)
    )


def what_was_done(world: World) -> list[tuple[int, float, str, str, str]]:
    names = Names.none()
    return rows(did(world.conn, names, NOW - DAY, NOW), names)


def what_was_shown(world: World) -> list[tuple[int, float, str, str, str]]:
    names = Names.none()
    return rows(shown(world.conn, names, NOW - DAY, NOW), names)


def test_a_day_is_found_where_it_begins(world: World) -> None:
    for hour in range(1000):
        world.acts(LIN, hour * HOUR)
    found = first_id(world.conn, 500 * HOUR)
    # Row 501 is that of hour 500; an hour more is allowed for what was written down late.
    assert found == 500
    assert first_id(world.conn, -1.0) == 1
    assert first_id(world.conn, 1e9) == 1001


def test_an_empty_log_has_no_days(world: World) -> None:
    assert first_id(world.conn, NOW) == 0
    assert ids_between(world.conn, 0.0, NOW) == (0, 0)
    assert log_began(world.conn) is None
    assert what_was_done(world) == []
    assert what_was_shown(world) == []


def test_gaps_in_the_numbers_change_nothing(world: World) -> None:
    for hour in range(200):
        world.acts(LIN, hour * HOUR)
    world.conn.execute("delete from interactions where id % 3 or id between 60 and 150")
    kept = world.conn.execute("select id, at from interactions order by id").fetchall()
    for hour in range(-2, 203):
        first, last = ids_of(world.conn, hour * HOUR, (hour + 5) * HOUR)
        for number, at in kept:
            if hour * HOUR <= at < (hour + 5) * HOUR:
                assert first <= number < last


@pytest.mark.parametrize("seed", range(4))
def test_no_row_of_a_day_is_missed_though_some_come_late(world: World, seed: int) -> None:
    rnd = random.Random(seed)
    came = [(rnd.uniform(0, 20 * DAY), rnd.uniform(0, SLACK_S)) for _ in range(600)]
    # Written down in the order of their coming, up to an hour after they happened.
    for at, _ in sorted(came, key=sum):
        world.acts(LIN, at)
    for day in range(20):
        since, until = day * DAY, (day + 1) * DAY
        first, last = ids_of(world.conn, since, until)
        inside = "select count(*) from interactions where at >= ? and at < ?"
        wanted = world.conn.execute(inside, (since, until)).fetchone()
        found = world.conn.execute(f"{inside} and id >= ? and id < ?", (since, until, first, last))
        assert found.fetchone() == wanted
        assert last - first < 100
        exact = ids_between(world.conn, since, until)
        assert first <= exact[0] <= exact[1] <= last


def test_coming_and_what_is_hidden_or_too_old_is_not_done(world: World) -> None:
    world.acts(LIN, NOW - 10)
    world.acts(LIN, NOW - 9, kind="event:CLICK")
    world.acts(LIN, NOW - 8, kind="event:subscribe")
    world.acts(LIN, NOW)
    world.acts(LIN, NOW - DAY - 1)
    # What was said to the bot in a group stands in the log of groups, too.
    world.acts(MEI, NOW - 7, place=PLACE, channel="qun")
    world.talks(MEI, NOW - 7)
    world.talks(MEI, NOW - 6, hidden=1)
    world.talks(None, NOW - 5)
    assert what_was_done(world) == [
        (LIN, -10.0, "", "mp", ""),
        (LIN, -9.0, "", "mp", ""),
        (MEI, -7.0, PLACE, "qun", ""),
    ]


def test_what_is_done_in_the_shop_is_done_anywhere(world: World) -> None:
    world.event("click", LIN, NOW - 3, campaign="c7")
    world.event("view", LIN, NOW - 2)
    world.event("purchase", MEI, NOW - 1, amount_cents=100)
    world.event("click", None, NOW - 1)
    assert what_was_done(world) == [(LIN, -3.0, "*", "shop", "c7"), (MEI, -1.0, "*", "shop", "")]


def test_an_item_in_an_answer_and_in_the_shop_is_shown(world: World) -> None:
    world.acts(LIN, NOW - 5, item="item:py-101", handler="faq")
    world.acts(LIN, NOW - 4, item="faq:3", handler="faq")
    world.acts(MEI, NOW - 3, item="item:py-101", place=PLACE, channel="qun")
    world.event("exposure", HE, NOW - 2, campaign="spring")
    world.event("exposure", None, NOW - 2)
    assert what_was_shown(world) == [
        (LIN, -5.0, "", "mp", ""),
        (MEI, -3.0, PLACE, "qun", ""),
        (HE, -2.0, "*", "shop", "spring"),
    ]


def test_a_campaign_s_message_is_shown_when_wechat_took_it(world: World) -> None:
    world.campaign()
    for member, status in (
        (LIN, "delivered"),
        (MEI, "accepted"),
        (HE, "unknown"),
        (None, "accepted"),
    ):
        world.insert(
            "deliveries", campaign_id=7, member_id=member, status=status, claimed_at=NOW - 60
        )
    assert what_was_shown(world) == [(LIN, -60.0, "", "mp", "c7"), (MEI, -60.0, "", "mp", "c7")]


def test_a_post_is_shown_to_who_is_in_the_group_then(world: World) -> None:
    world.sits(LIN, NOW - DAY)
    world.sits(MEI, NOW - DAY, left_at=NOW - 50)
    world.sits(HE, NOW - 40)
    world.posts(NOW - 60, campaign_id=7)
    world.posts(NOW - 30)
    world.posts(NOW - 20, status="refused")
    world.posts(NOW - 20, member_id=LIN)
    world.posts(NOW - 20, place="qun:empty")
    assert what_was_shown(world) == [
        (LIN, -60.0, PLACE, "qun", "c7"),
        (LIN, -30.0, PLACE, "qun", ""),
        (MEI, -60.0, PLACE, "qun", "c7"),
        (HE, -30.0, PLACE, "qun", ""),
    ]


def test_what_an_employee_sent_into_a_group_is_shown_too(world: World) -> None:
    world.sits(LIN, 0.0)
    world.insert(
        "customer_tasks", id=1, key=b"k", campaign_id=7, channel="wecom", sender="amy", body="{}",
        status="done", created_at=0.0, due_at=0.0,
    )  # fmt: skip
    world.insert("customer_task_groups", task_id=1, place=PLACE, status="sent", sent_at=NOW - 9)
    world.insert("customer_task_groups", task_id=1, place="qun:2", status="refused", sent_at=NOW)
    assert what_was_shown(world) == [(LIN, -9.0, PLACE, "qun", "c7")]


def test_seats_and_follows_last_until_somebody_leaves(world: World) -> None:
    world.sits(LIN, 5.0)
    world.sits(MEI, 6.0, left_at=9.0)
    found = seats(world.conn, Names.none())
    assert list(found.left) == [math.inf, 9.0]
    for member, followed, left in ((LIN, 1, None), (MEI, 0, 30.0), (HE, 1, 20.0)):
        world.insert(
            "identities", channel="mp", external_id=f"o{member}", member_id=member,
            followed=followed, followed_at=10.0 + member, unfollowed_at=left,
        )  # fmt: skip
    moves = followers(world.conn)
    # Who left and came back is there again.
    assert sorted(zip(moves.member, moves.left, strict=True)) == [
        (LIN, math.inf),
        (MEI, 30.0),
        (HE, math.inf),
    ]


def test_a_refund_is_taken_off_the_order_it_names_or_the_newest_of_its_item(world: World) -> None:
    buy, back = (("purchase", LIN), ("refund", LIN))
    world.event(*buy, 1.0, order_id="a", item_id="x", amount_cents=500)
    world.event(*buy, 1.5, order_id="a", item_id="y", amount_cents=200)
    world.event(*buy, 2.0, item_id="z", amount_cents=900)
    world.event(*buy, 3.0, item_id="z", amount_cents=900)
    world.event(*back, 9.0, order_id="a", amount_cents=100)
    world.event(*back, 9.0, item_id="z", amount_cents=900)
    world.event(*back, 9.5, item_id="z", amount_cents=900)
    world.event(*back, 9.6, item_id="never-bought", amount_cents=900)
    world.event("refund", MEI, 9.0, order_id="a", amount_cents=500)
    found = orders(world.conn)
    assert [(one.at, one.net_cents, one.kept) for one in found] == [
        (1.0, 600, True),
        (2.0, 0, False),
        (3.0, 0, False),
    ]
    assert found[0].items == ("x", "y")


def test_orders_without_a_number_are_orders_of_their_own(world: World) -> None:
    for at in (1.0, 2.0):
        world.event("purchase", LIN, at, amount_cents=100)
    world.event("refund", LIN, 3.0, amount_cents=100)
    assert [one.net_cents for one in orders(world.conn)] == [100, 100]
    assert [one.at for one in orders(world.conn, since=1.5)] == [2.0]


def test_cash_is_everybody_s_and_by_the_time_it_moved(world: World) -> None:
    world.event("purchase", LIN, 5.0, order_id="a", amount_cents=500)
    world.event("purchase", None, 6.0, who="visitor:1", order_id="b", amount_cents=300)
    world.event("purchase", LIN, 1.0, order_id="c", amount_cents=100)
    world.event("refund", LIN, 7.0, order_id="c", amount_cents=100)
    assert cash(world.conn, 5.0, 8.0) == Cash(800, 100, 2, 2)
    assert cash(world.conn, 50.0, 80.0) == Cash(0, 0, 0, 0)


def test_what_was_given_back_was_not_taken(world: World) -> None:
    world.event("purchase", LIN, 5.0, order_id="a", item_id="x", amount_cents=500)
    world.event("purchase", MEI, 5.0, order_id="b", item_id="x", amount_cents=500)
    world.event("refund", MEI, 6.0, order_id="b", amount_cents=500)
    world.event("purchase", HE, 5.0, order_id="c", item_id="free", amount_cents=0)
    world.event("enroll", LIN, 3.0, item_id="x")
    world.event("claim", LIN, 4.0, item_id="y")
    world.event("claim", None, 4.0, item_id="y")
    assert takes(world.conn) == [(LIN, "x", 3.0), (LIN, "y", 4.0), (HE, "free", 5.0)]


def test_questions_end_answered_offered_or_unknown(world: World) -> None:
    for member, handler in (
        (LIN, "faq"),
        (LIN, "faq.passage"),
        (MEI, "faq.offer"),
        (MEI, "faq.unknown"),
    ):
        world.acts(member, NOW - 5, handler=handler)
    world.acts(LIN, NOW - 5, handler="points")
    world.acts(LIN, NOW - 5, handler="faq", kind="event:CLICK")
    assert asked(world.conn, NOW - 9, NOW) == Asked(2, 1, 1, 2)
    assert asked(world.conn, NOW, NOW + 9) == Asked(0, 0, 0, 0)


def test_the_last_word_on_following_counts(world: World) -> None:
    for member, at, kind in (
        (LIN, -9, "subscribe"),
        (MEI, -9, "unsubscribe"),
        (MEI, -8, "subscribe"),
        (MEI, -7, "unsubscribe"),
        (HE, 1, "subscribe"),
    ):
        world.acts(member, NOW + at, kind=f"event:{kind}")
    assert came_and_left(world.conn, NOW - DAY, NOW) == (1, 1)


def test_groups_are_joined_and_left(world: World) -> None:
    world.sits(LIN, NOW - 5)
    world.sits(MEI, NOW - DAY, left_at=NOW - 5)
    assert group_moves(world.conn, NOW - 9, NOW) == (1, 1)
    assert group_moves(world.conn, NOW, NOW + 9) == (0, 0)


def test_with_groups_the_log_is_as_old_as_what_is_kept_of_them(world: World) -> None:
    world.acts(LIN, 100.0)
    assert log_began(world.conn) == 100.0
    world.talks(LIN, 700.0)
    assert log_began(world.conn) == 700.0


def test_things_are_called_what_people_call_them(world: World) -> None:
    world.campaign()
    for place, name, alias in (
        ("qun:1", "一群", None),
        ("qun:2", "二群", "学习"),
        ("qun:3", "", None),
    ):
        world.insert(
            "groups", place=place, channel="qun", external_id=place, name=name, alias=alias,
            known_at=0.0,
        )  # fmt: skip
    assert place_titles(world.conn) == {"qun:1": "一群", "qun:2": "学习", "qun:3": "#3"}
    assert campaign_titles(world.conn, ["c7", "c8", "spring", "", "c"]) == {"c7": "春招"}
    assert titles(world.conn, ["gone"]) == {}


def test_a_reader_of_another_process_sees_it_all(world: World, tmp_path: Path) -> None:
    world.acts(LIN, NOW - 5)
    with reading(tmp_path / "w.db") as conn:
        names = Names.none()
        assert len(did(conn, names, NOW - 9, NOW).member) == 1
