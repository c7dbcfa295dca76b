"""The ledger's own promises: what an operator sees of it, and what is left of a person."""

from __future__ import annotations

from store import Store, campaigns, deliveries, personal
from store.campaigns import Campaign, NewCampaign, Variant
from store.deliveries import cancel
from store.dialect import Connection
from store.ledgers import Deed
from tests.store.rows import LIN, MEI, NOW, answered


async def campaign(store: Store, title: str = "上新", status: campaigns.Status = "running") -> int:
    """A campaign whose list is written by the test."""

    def run(conn: Connection) -> Campaign:
        new = NewCampaign(
            title=title,
            channel="mp",
            audience="everyone",
            variants=(Variant(content={"kind": "text", "text": "x"}),),
            starts_at=NOW,
        )
        made = campaigns.insert(conn, new, NOW, "cli", status="scheduled")
        assert made is not None
        moved = campaigns.set_status(conn, made.id, status, NOW, was=("scheduled",))
        assert moved is not None
        return moved

    return (await store.db.write(run)).id


async def row(store: Store, campaign_id: int, member_id: int, status: str, **values: object) -> int:
    """One delivery."""
    names = ["campaign_id", "member_id", "status", *values]
    sql = (
        f"insert into deliveries ({', '.join(names)}) "
        f"values ({', '.join('?' * len(names))}) returning id"
    )

    def run(conn: Connection) -> int:
        found = conn.execute(sql, (campaign_id, member_id, status, *values.values())).fetchone()
        return int(found[0])

    return await store.db.write(run)


async def told(store: Store, sql: str) -> list[tuple[object, ...]]:
    """What the file says."""
    return await store.db.read(lambda conn: conn.execute(sql).fetchall())


async def test_an_operator_settles_an_unknown_one_once_and_it_is_written_down(
    store: Store,
) -> None:
    member = await answered(store, 1)
    one = await campaign(store)
    delivery = await row(store, one, member, "unknown", route="custom", claimed_at=NOW)
    other = await row(store, await campaign(store), member, "accepted", claimed_at=NOW)
    listed = await store.deliveries.unknown(one)
    assert [(item.id, item.title, item.member_id, item.at) for item in listed] == [
        (delivery, "上新", member, NOW)
    ]
    deed = Deed(NOW, "member:7", "campaign.settle")
    assert not await store.deliveries.settle_unknown(other, False, NOW, deed)
    assert await store.deliveries.settle_unknown(delivery, False, NOW, deed)
    assert not await store.deliveries.settle_unknown(delivery, True, NOW, deed)
    assert await store.deliveries.counts(one) == {"refused": 1}
    audit = await store.audit.newest()
    assert [(line.target, line.detail) for line in audit] == [
        (f"delivery:{delivery}", "not arrived")
    ]


async def test_cancelling_goes_in_slices_and_leaves_what_has_left(store: Store) -> None:
    member = await answered(store, 1)
    one = await campaign(store, status="cancelled")
    for number in range(7):
        await row(store, one, member, "planned", occasion=str(number), due_at=NOW)
    await row(store, one, member, "waiting", occasion="later")
    await row(store, one, member, "sending", occasion="gone")
    slices = [await store.db.write(lambda conn: cancel(conn, one, NOW, 3)) for _ in range(5)]
    assert slices == [3, 3, 1, 1, 0]
    assert await store.deliveries.counts(one) == {"sending": 1, "skipped": 8}
    assert await store.deliveries.cancelled_with_rows() == []


async def test_the_outcome_of_a_notice_finds_its_delivery(store: Store) -> None:
    member = await answered(store, 1)
    one = await campaign(store)
    await row(store, one, member, "accepted", route="notice", wechat_id="77")
    assert not await store.deliveries.noticed("mp", "", True, "")
    assert not await store.deliveries.noticed("other", "77", True, "")
    assert await store.deliveries.noticed("mp", "77", False, "muted")
    assert not await store.deliveries.noticed("mp", "77", True, "")
    assert await told(store, "select status, reason from deliveries") == [("refused", "muted")]


async def test_a_person_is_told_what_was_sent_and_forgotten_without_losing_the_count(
    store: Store,
) -> None:
    lin = await answered(store, 1, LIN)
    mei = await answered(store, 2, MEI)
    one, two = await campaign(store, "一"), await campaign(store, "二")
    for member in (lin, mei):
        await row(store, one, member, "accepted", claimed_at=NOW, route="custom", variant="A")
        await row(store, two, member, "planned", due_at=NOW, occasion="follow:7")
    kept = await store.db.read(lambda conn: personal.told(conn, lin))
    assert kept is not None
    assert [line["title"] for line in kept["deliveries"]] == ["一", "二"]
    erased = await store.members.erase(lin, NOW)
    assert erased is not None
    assert erased.rows["deliveries"] == 2
    assert await told(
        store, "select member_id, status, reason, occasion from deliveries order by id"
    ) == [
        (None, "accepted", "", ""),
        (None, "skipped", "erased", ""),
        (mei, "accepted", "", ""),
        (mei, "planned", "", "follow:7"),
    ]


async def test_two_who_are_one_person_get_one_message(store: Store) -> None:
    lin = await answered(store, 1, LIN)
    mei = await answered(store, 2, MEI)
    sent, planned, only = [await campaign(store) for _ in range(3)]
    await row(store, sent, lin, "planned", due_at=NOW)
    await row(store, sent, mei, "accepted", claimed_at=NOW)
    await row(store, planned, lin, "planned", due_at=NOW)
    await row(store, planned, mei, "planned", due_at=NOW)
    await row(store, only, mei, "planned", due_at=NOW)
    await store.db.write(lambda conn: deliveries.merge(conn, lin, mei))
    assert await told(
        store, "select campaign_id, member_id, status, reason from deliveries order by id"
    ) == [
        (sent, None, "skipped", "merged"),
        (sent, lin, "accepted", ""),
        (planned, lin, "planned", ""),
        (planned, None, "skipped", "merged"),
        (only, lin, "planned", ""),
    ]


async def test_a_decided_test_is_followed_in_slices(store: Store) -> None:
    member = await answered(store, 1)
    one = await campaign(store)
    for number in range(3):
        await row(store, one, member, "waiting", occasion=str(number), due_at=NOW + number)
    hold = await store.leases.take("campaigns", "a", NOW, 30)
    assert hold is not None
    assert await store.deliveries.follow(one, hold, NOW) == 0
    assert await store.deliveries.decide(one, "A", NOW)
    assert await store.deliveries.follow(one, hold, NOW + 31) == 0, "the lease has ended"
    assert await store.deliveries.follow(one, hold, NOW + 1) == 3
    assert await told(store, "select distinct status, variant from deliveries") == [
        ("planned", "A")
    ]
