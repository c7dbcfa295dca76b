"""What reports are counted from, and that one campaign's rows are enough for its report."""

from __future__ import annotations

import random
from typing import Any

import pytest

from insights.outcomes import Report, funnel
from store import Store
from store.events import NewEvent
from tests.store.rows import CHANNEL, NOW, answered

DAY = 86_400.0
WINDOWS: dict[str, Any] = {"window_s": 7 * DAY, "view_window_s": DAY}


async def report(
    store: Store,
    campaign: str = "",
    since: float = NOW - 30 * DAY,
    windows: dict[str, Any] = WINDOWS,
) -> Report:
    args: dict[str, Any] = {"since": since, "until": NOW, "campaign": campaign, **windows}
    return await store.funnel.read(lambda rows: funnel(rows, **args), **args)


async def test_an_empty_store_has_an_empty_report(store: Store) -> None:
    assert (await report(store)).total.counts == [0, 0, 0, 0]
    assert (await report(store, "autumn")).total.counts == [0, 0, 0, 0]
    summary = await store.funnel.summary(0)
    assert (summary.exposures, summary.bought, summary.net_cents) == (0, 0, 0)


async def test_an_item_shown_in_the_chat_is_an_exposure(store: Store) -> None:
    member = await answered(store, 1, at=NOW - 100, handler="content.show", item="item:c1")
    await answered(store, 2, at=NOW - 90, handler="faq", item="item:c2")
    await answered(store, 3, at=NOW - 80, handler="faq", item="faq:12")
    bought = NewEvent("b", "purchase", NOW - 10, member, item_id="c1", amount_cents=990)
    await store.events.add([bought], NOW)
    found = await report(store)
    assert {name: tally.counts[0] for name, tally in found.sources.items()} == {
        "catalogue": 1,
        "answer": 1,
    }
    assert found.sources["catalogue"].last.gross_cents == 990
    assert (await store.funnel.summary(NOW - DAY)).exposed == 1


def _history(seed: int, members: list[int]) -> list[NewEvent]:
    """Some months of a few people in every way of being known, dense enough to collide."""
    rng = random.Random(seed)
    out = []
    for number in range(400):
        kind = rng.choice(["exposure", "exposure", "click", "claim", "purchase", "refund", "view"])
        campaign = rng.choice(["autumn", "winter", ""])
        owed: dict[str, Any] = {
            "campaign": campaign,
            "variant": rng.choice(["a", "b"]) if campaign else "",
            "source": "campaign" if campaign else rng.choice(["", "answer"]),
        }
        if kind in ("purchase", "refund") and rng.random() < 0.8:
            owed = {}
        person = rng.randrange(8)
        names: dict[str, Any] = {"visitor": f"v{person}"}
        if person < len(members):
            names = {"member_id": members[person]}
        elif person == 7:
            names = {}
        out.append(
            NewEvent(
                f"e{number}",
                kind,
                NOW - rng.random() * 60 * DAY,
                item_id=rng.choice(["c1", "c2"]),
                amount_cents=rng.randrange(1000) if kind in ("purchase", "refund") else 0,
                order_id=rng.choice(["", f"o{rng.randrange(30)}"]),
                **owed,
                **names,
            )
        )
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("days", [(7, 1), (2, 9)])
async def test_the_rows_of_one_campaign_give_its_part_of_the_whole(
    store: Store, seed: int, days: tuple[int, int]
) -> None:
    windows = {"window_s": days[0] * DAY, "view_window_s": days[1] * DAY}
    members = [(await store.members.meet(CHANNEL, f"oTEST_{n}", NOW)).id for n in range(4)]
    await store.events.add(_history(seed, members), NOW)
    for number in range(6):
        at = NOW - number * 3 * DAY
        await answered(store, number, "oTEST_1", at=at, handler="content", item="item:c1")
    whole = await report(store, windows=windows)
    for campaign in ("autumn", "winter"):
        part = await report(store, campaign, windows=windows)
        assert part.groups == {
            group: tally for group, tally in whole.groups.items() if group.campaign == campaign
        }
        assert part.campaigns == {campaign: whole.campaigns[campaign]}
    assert sum(tally.last.gross_cents for tally in whole.campaigns.values()) == (
        whole.total.last.gross_cents
    )


async def test_the_past_is_looked_up_only_where_the_campaign_may_have_a_share(
    store: Store,
) -> None:
    soon, late = [(await store.members.meet(CHANNEL, f"oTEST_{n}", NOW)).id for n in range(2)]
    autumn: dict[str, Any] = {"campaign": "autumn", "source": "campaign"}
    winter: dict[str, Any] = {"campaign": "winter", "source": "campaign"}
    await store.events.add(
        [
            NewEvent("1", "click", NOW - 20 * DAY, soon, **autumn),
            NewEvent("2", "click", NOW - 16 * DAY, soon, **winter),
            NewEvent("3", "purchase", NOW - 15 * DAY, soon, item_id="c1", amount_cents=500),
            NewEvent("4", "click", NOW - 14 * DAY, soon, **winter),
            NewEvent("5", "click", NOW - 20 * DAY, late, **autumn),
            NewEvent("6", "click", NOW - 3 * DAY, late, **winter),
            NewEvent("7", "purchase", NOW - 2 * DAY, late, item_id="c1", amount_cents=700),
        ],
        NOW,
    )
    args: dict[str, Any] = {"since": NOW - 30 * DAY, "until": NOW, **WINDOWS}
    rows = await store.funnel.read(list, campaign="autumn", **args)
    assert sorted((row[0], row[3], row[7], NOW - row[2]) for row in rows) == [
        (soon, "click", "autumn", 20 * DAY),
        (soon, "click", "winter", 16 * DAY),
        (soon, "purchase", "", 15 * DAY),
        (late, "click", "autumn", 20 * DAY),
    ]


async def test_the_summary_counts_people_by_whatever_name(store: Store) -> None:
    member = (await store.members.meet(CHANNEL, "oTEST_1", NOW)).id
    await store.events.add(
        [
            NewEvent("1", "exposure", NOW - 9, member),
            NewEvent("2", "exposure", NOW - 8, visitor="v"),
            NewEvent("3", "exposure", NOW - 8),
            NewEvent("4", "click", NOW - 7, member),
            NewEvent("5", "click", NOW - 7, member),
            NewEvent("6", "purchase", NOW - 5, member, item_id="c", amount_cents=900),
            NewEvent("7", "refund", NOW - 4, member, item_id="c", amount_cents=300),
            NewEvent("8", "purchase", NOW - 99, visitor="v", item_id="c", amount_cents=5),
        ],
        NOW,
    )
    found = await store.funnel.summary(NOW - 50)
    assert (found.exposures, found.exposed, found.clicks, found.clicked) == (3, 2, 2, 1)
    assert (found.claims, found.purchases, found.bought) == (0, 1, 1)
    assert (found.gross_cents, found.refunded_cents, found.net_cents) == (900, 300, 600)
