"""What became of a campaign, against a plain count of the same rows in Python."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from store import Store
from store.campaign_outcomes import DELIVERY_COLUMNS, CampaignReports
from store.campaign_report import Arm, MassCounts, Report, joined, of_many, table
from store.claims import Outcome, Source, issue
from store.dialect import Connection
from tests.store.campaign_world import (
    BEGAN,
    HOUR,
    WINDOW,
    begin,
    bought,
    counted,
    delivery,
    figures,
    held,
    put,
    world,
)
from tests.store.rows import CHANNEL, NOW


async def read(store: Store, campaign_id: int = 1, now: float = NOW) -> Report:
    found = await CampaignReports(store.db).read(campaign_id, now)
    assert found is not None
    return found


def arm_of(report: Report, variant: str = "A", *, rest: bool = False, held: bool = False) -> Arm:
    (found,) = [
        arm
        for arm in report.arms
        if (arm.variant, arm.rest, arm.held) == ("" if held else variant, rest, held)
    ]
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decided", [None, BEGAN + 20 * HOUR])
async def test_a_report_is_what_a_count_member_by_member_gives(
    store: Store, seed: int, decided: float | None
) -> None:
    members = 60
    w = world(random.Random(seed), members, decided)
    winner = "" if decided is None else "B"

    def write(conn: Connection) -> None:
        begin(conn, range(1, members + 4), test_share=0.2, decided_at=decided, winner=winner)
        w.write(conn)

    await store.db.write(write)
    for now in (NOW, BEGAN + 30 * HOUR):
        report = await read(store, now=now)
        assert figures(report) == {
            arm: Counter(sums) | Counter() for arm, sums in counted(w, now, decided).items()
        }
        skipped = Counter(
            row["reason"]
            for row in w.deliveries
            if row["status"] == "skipped" and not row["variant"]
        )
        del skipped["cancelled"]
        assert report.left_out == dict(skipped)


# Each number by itself


async def test_an_unknown_campaign_has_no_report_and_a_draft_an_empty_one(store: Store) -> None:
    await store.db.write(
        lambda conn: begin(conn, [], status="draft", started_at=None, frozen_at=None)
    )
    assert await CampaignReports(store.db).read(2, NOW) is None
    report = await read(store)
    assert (report.arms, report.closes_at, report.final) == ((), None, False)
    assert report.sent == Arm()
    assert report.held is None
    assert table(report)[1][:3] == (1, "sent", 0)


async def test_who_was_assigned_counts_though_no_message_arrived(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, range(1, 5))
        put(
            conn,
            "deliveries",
            delivery(1),
            delivery(2, "refused", reason="muted"),
            delivery(3, "skipped", reason="capped", claimed_at=None),
            held(4),
        )
        put(conn, "events", *(bought(n, n, BEGAN + HOUR) for n in range(1, 5)))

    await store.db.write(write)
    report = await read(store)
    assert (arm_of(report).assigned, arm_of(report).buyers) == (3, 3)
    assert (arm_of(report, held=True).assigned, arm_of(report, held=True).buyers) == (1, 1)
    assert (arm_of(report).accepted, arm_of(report).refused) == (1, {"muted": 1})
    assert arm_of(report, "B") == Arm(variant="B", weight=1)


async def test_the_window_begins_with_the_message_and_its_end_is_outside(store: Store) -> None:
    sent = BEGAN + 10 * HOUR

    def write(conn: Connection) -> None:
        begin(conn, range(1, 5))
        put(conn, "deliveries", *(delivery(n, claimed_at=sent) for n in range(1, 5)))
        moments = [sent - 1, sent, sent + WINDOW - 1, sent + WINDOW]
        put(conn, "events", *(bought(n, n, at) for n, at in enumerate(moments, 1)))

    await store.db.write(write)
    report = await read(store)
    assert (report.sent.buyers, report.sent.revenue_cents) == (2, 19_800)
    assert report.closes_at == sent + WINDOW


async def test_a_step_of_a_journey_counts_from_each_member_s_own_time(store: Store) -> None:
    late = BEGAN + 60 * HOUR

    def write(conn: Connection) -> None:
        begin(conn, range(1, 3), kind="step", journey_id=7)
        put(conn, "deliveries", delivery(1, claimed_at=late, occasion="follow:1"))
        put(conn, "deliveries", {**held(2), "settled_at": late, "occasion": "follow:2"})
        put(conn, "events", bought(1, 1, late + 1), bought(2, 2, late + 1))

    await store.db.write(write)
    report = await read(store, now=late + WINDOW)
    assert (report.sent.buyers, report.held and report.held.buyers) == (1, 1)
    assert await CampaignReports(store.db).steps(8, NOW) == []
    assert [one.campaign_id for one in await CampaignReports(store.db).steps(7, NOW)] == [1]


async def test_a_refund_long_after_the_window_takes_its_order_off(store: Store) -> None:
    after = BEGAN + WINDOW + 10 * HOUR

    def write(conn: Connection) -> None:
        begin(conn, range(1, 4))
        put(conn, "deliveries", *(delivery(n) for n in range(1, 4)))
        put(
            conn,
            "events",
            bought(1, 1, BEGAN + 1, 500, order_id="o1", item_id="c1"),
            bought(2, 1, after, 500, kind="refund", order_id="o1"),
            bought(3, 2, BEGAN + 1, 500, item_id="c1"),
            bought(4, 2, after, 200, kind="refund", item_id="c1"),
            bought(5, 3, BEGAN + 1, 0, item_id="free"),
            bought(6, 3, after, 900, kind="refund", order_id="unknown"),
        )

    await store.db.write(write)
    report = await read(store)
    assert (report.sent.buyers, report.sent.orders, report.sent.revenue_cents) == (2, 2, 300)


async def test_refunds_that_name_no_order_are_taken_off_one_order_after_the_other(
    store: Store,
) -> None:
    """Newest first, and what is given back already takes no more; no amount means all of it."""

    def write(conn: Connection) -> None:
        begin(conn, [1])
        put(conn, "deliveries", delivery(1))
        back: dict[str, Any] = {"kind": "refund", "item_id": "c1"}
        put(
            conn,
            "events",
            bought(1, 1, BEGAN + 1, 700, item_id="c1"),
            bought(2, 1, BEGAN + 2, 500, item_id="c1"),
            bought(3, 1, BEGAN + 3, 500, **back),
            bought(4, 1, BEGAN + 4, 200, **back),
        )

    await store.db.write(write)
    report = await read(store)
    assert (report.sent.orders, report.sent.revenue_cents) == (1, 500)
    more = bought(5, 1, BEGAN + 5, 0, kind="refund", item_id="c1")
    await store.db.write(lambda conn: put(conn, "events", more))
    report = await read(store)
    assert (report.sent.buyers, report.sent.revenue_cents) == (0, 0)


async def test_a_click_of_another_campaign_or_before_the_message_is_none(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, range(1, 5))
        put(conn, "deliveries", *(delivery(n) for n in range(1, 5)))
        click: dict[str, Any] = {"kind": "click", "cents": 0}
        put(
            conn,
            "events",
            bought(1, 1, BEGAN + 1, campaign="c1", **click),
            bought(2, 1, BEGAN + 2, campaign="c1", **click),
            bought(3, 2, BEGAN + 1, campaign="c12", **click),
            bought(4, 3, BEGAN - 1, campaign="c1", **click),
            bought(5, 4, BEGAN + 1, campaign="c1", **{**click, "kind": "view"}),
        )

    await store.db.write(write)
    assert (await read(store)).sent.clicks == 1


async def test_an_erased_member_stays_a_number(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, [1])
        put(conn, "deliveries", delivery(1), delivery(None))
        put(conn, "events", bought(1, None, BEGAN + 1))  # type: ignore[arg-type]

    await store.db.write(write)
    report = await read(store)
    assert (report.sent.assigned, report.sent.buyers) == (2, 0)


async def test_wechats_own_counts_are_summed_over_the_parts_that_have_them(store: Store) -> None:
    part: dict[str, Any] = {
        "campaign_id": 1,
        "variant": "A",
        "route": "mass_list",
        "client_id": "x",
        "fence": 1,
        "created_at": BEGAN,
        "due_at": BEGAN,
    }
    counts = ("total_count", "filter_count", "sent_count", "error_count")

    def write(conn: Connection) -> None:
        begin(conn, [])
        put(
            conn,
            "parts",
            {**part, "number": 1, "status": "delivered"}
            | dict(zip(counts, (100, 90, 85, 5), strict=True)),
            {**part, "number": 2, "status": "delivered"}
            | dict(zip(counts, (50, 50, 50, 0), strict=True)),
            {**part, "number": 3, "status": "accepted"},
            {**part, "number": 4, "status": "refused"},
        )

    await store.db.write(write)
    found = (await read(store)).mass
    assert found == MassCounts(parts=3, told=2, total=150, filtered=10, sent=135, errors=5)


# Together


async def test_a_campaign_that_repeats_is_the_sum_of_its_runs(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, range(1, 4), kind="cron", status="scheduled", started_at=None)
        for number, later in ((2, 0.0), (3, 30 * HOUR)):
            begin(
                conn, [], id=number, parent_id=1, starts_at=BEGAN + later, started_at=BEGAN + later
            )
            put(conn, "deliveries", delivery(1, campaign_id=number, claimed_at=BEGAN + later))
        put(conn, "deliveries", {**held(2), "campaign_id": 2})
        put(conn, "deliveries", delivery(3, "refused", reason="muted", campaign_id=3))
        put(conn, "events", bought(1, 1, BEGAN + 31 * HOUR))

    await store.db.write(write)
    report = await read(store)
    assert (report.campaign_id, report.kind, report.campaigns) == (1, "cron", 2)
    # One purchase is in both windows: it counts for both runs.
    assert (report.sent.assigned, report.sent.buyers, report.sent.accepted) == (3, 2, 2)
    assert report.held == Arm(held=True, assigned=1)
    assert report.started_at == BEGAN
    assert report.closes_at == BEGAN + 30 * HOUR + WINDOW


def test_no_campaigns_together_are_the_empty_one() -> None:
    empty = Report(
        campaign_id=1,
        kind="cron",
        title="t",
        channel=CHANNEL,
        status="scheduled",
        metric="click",
        window_s=WINDOW,
        holdout=0.0,
        test_share=0.0,
        winner="",
        note="",
        created_at=0.0,
        started_at=None,
        ended_at=None,
        at=NOW,
    )
    assert of_many(empty, []) == empty
    assert joined([]) == Arm()


async def test_a_report_is_final_when_all_went_and_all_windows_closed(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, [1, 2], status="done", ended_at=BEGAN)
        put(conn, "deliveries", delivery(1), held(2))

    await store.db.write(write)
    assert not (await read(store, now=BEGAN + WINDOW - 1)).final
    assert (await read(store, now=BEGAN + WINDOW)).final
    await store.db.write(lambda conn: conn.execute("update campaigns set status = 'running'"))
    assert not (await read(store, now=BEGAN + WINDOW)).final


# The early test


async def test_a_test_gives_everybody_the_same_time(store: Store) -> None:
    """B was sent six hours later; what A's members did in the seventh hour does not count yet."""

    def write(conn: Connection) -> None:
        begin(conn, range(1, 6), test_share=0.5)
        later: dict[str, Any] = {"variant": "B", "claimed_at": BEGAN + 6 * HOUR}
        put(conn, "deliveries", delivery(1), delivery(2), delivery(3, **later), held(4))
        put(conn, "deliveries", delivery(5, "waiting", variant="", claimed_at=None))
        put(conn, "events", bought(1, 1, BEGAN + HOUR), bought(2, 2, BEGAN + 7 * HOUR))

    await store.db.write(write)
    reports = CampaignReports(store.db)
    one, other = await reports.test(1, BEGAN + 8 * HOUR)
    assert (one.variant, one.assigned, one.hits("purchase")) == ("A", 2, 1)
    assert (other.variant, other.assigned, other.hits("purchase")) == ("B", 1, 0)
    one, _ = await reports.test(1, BEGAN + 14 * HOUR)
    assert one.hits("purchase") == 2


async def test_a_coupon_that_was_given_is_no_claim(store: Store) -> None:
    """Every coupon given out writes an event, the campaign's own one and an operator's, too."""

    def write(conn: Connection) -> None:
        begin(conn, range(1, 5), metric="claim", test_share=0.5)
        put(conn, "deliveries", *(delivery(n) for n in range(1, 5)))
        offer = {"word": "w", "title": "t", "kind": "amount", "value": 1, "status": "open"}
        put(conn, "offers", {"id": 1, **offer, "created_at": 0.0, "created_by": "cli"})
        sources: tuple[Source, ...] = ("campaign", "grant", "claim")
        for member, source in enumerate(sources, 1):
            given = issue(conn, 1, member, bytes([member] * 16), BEGAN + 60, source=source)
            assert given.outcome is Outcome.CLAIMED
        # In the shop, which tells us by an event of its own.
        put(conn, "events", bought(1, 4, BEGAN + 1, 0, kind="claim"))

    await store.db.write(write)
    assert (await read(store)).sent.claims == 2
    one, _ = await CampaignReports(store.db).test(1, BEGAN + HOUR)
    assert one.hits("claim") == 2


@pytest.mark.parametrize(("metric", "hits"), [("click", 1), ("claim", 0), ("reply", 1)])
async def test_a_test_counts_what_it_is_about(store: Store, metric: str, hits: int) -> None:
    def write(conn: Connection) -> None:
        begin(conn, [1], metric=metric, test_share=0.5)
        put(conn, "deliveries", delivery(1))
        put(conn, "events", bought(1, 1, BEGAN + 1, 0, kind="click", campaign="c1"))
        reply = {"at": BEGAN + 1, "channel": CHANNEL, "member_id": 1, "kind": "text"}
        put(conn, "interactions", {**reply, "text": "", "handler": "", "item": ""})

    await store.db.write(write)
    one, _ = await CampaignReports(store.db).test(1, BEGAN + HOUR)
    assert one.hits(metric) == hits


async def test_a_test_waits_until_all_of_it_is_sent_or_its_time_is_up(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, [1, 2], test_share=0.5)
        put(conn, "deliveries", delivery(1), delivery(2, "planned", variant="B", claimed_at=None))

    await store.db.write(write)
    reports = CampaignReports(store.db)
    assert await reports.test(1, BEGAN + HOUR) == ()
    assert [arm.assigned for arm in await reports.test(1, BEGAN + HOUR, over=True)] == [1, 1]
    assert await reports.test(1, BEGAN) == ()
    assert await reports.test(2, NOW) == ()


# Tables


async def test_the_table_has_a_row_for_each_arm_and_a_column_for_each_reason(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, range(1, 6))
        put(
            conn,
            "deliveries",
            delivery(1),
            delivery(2, "refused", reason="muted"),
            delivery(3, "skipped", reason="quota"),
            held(4),
            delivery(5, "skipped", variant="", reason="opted_out", claimed_at=None, due_at=None),
        )

    await store.db.write(write)
    head, *rows = table(await read(store))
    found = {str(row[1]): dict(zip(head, row, strict=True)) for row in rows}
    assert list(found) == ["A", "B", "hold-out", "sent", "left out"]
    assert (found["A"]["refused"], found["A"]["refused:muted"]) == (1, 1)
    assert (found["A"]["skipped:quota"], found["A"]["skipped:opted_out"]) == (1, 0)
    assert (found["left out"]["skipped"], found["left out"]["skipped:opted_out"]) == (1, 1)
    assert found["hold-out"]["assigned"] == 1


async def test_deliveries_come_in_pages_with_numbers_and_no_openids(store: Store) -> None:
    def write(conn: Connection) -> None:
        begin(conn, range(1, 6))
        put(conn, "deliveries", *(delivery(n, id=n) for n in range(1, 6)))

    await store.db.write(write)
    reports = CampaignReports(store.db)
    first = await reports.deliveries(1, limit=3)
    rest = await reports.deliveries(1, after=first[-1][0], limit=3)
    assert [row[1] for row in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert all(len(row) == len(DELIVERY_COLUMNS) for row in first)
    assert "oTEST" not in repr(first)
    assert await reports.deliveries(2) == []
