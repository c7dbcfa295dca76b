"""Journeys as they are kept: made once, started, paused, closed, and joined with a member."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store
from store.campaigns import NewCampaign, Variant
from store.dialect import Connection
from store.journeys import MOST_STEPS, Journey, NewJourney, faults, overdue, stopped_for, trigger_of
from store.ledgers import Deed
from store.travellers import Begun, enrol, unplanned
from tests.store.rows import LIN, MEI, NOW, ask_file, change_file

DAY = 86_400.0
KEY = b"j" * 16


def new(**fields: Any) -> NewJourney:
    plain: dict[str, Any] = {"name": "新手欢迎", "channel": "mp", "trigger": "follow"}
    return NewJourney(**{**plain, **fields})


def step(delay_s: float | None = 0.0, **fields: Any) -> NewCampaign:
    plain: dict[str, Any] = {
        "title": "一步",
        "channel": "elsewhere",
        "audience": "tag:python",
        "variants": (Variant(content={"kind": "text", "text": "好"}),),
        "kind": "step",
        "journey_id": 0,
        "delay_s": delay_s,
    }
    return NewCampaign(**{**plain, **fields})


def deed(action: str = "journey.new") -> Deed:
    return Deed(NOW, "member:1", action)


async def made(store: Store, *steps: NewCampaign, **fields: Any) -> Journey:
    one = await store.journeys.create(new(**fields), steps or (step(),), NOW, "member:1")
    assert one is not None
    return one


async def actions(store: Store) -> list[str]:
    return [row.action for row in reversed(await store.audit.newest(50))]


@pytest.mark.parametrize(
    ("text", "kind", "span_s"),
    [
        ("follow", "follow", 0),
        ("silence 14d", "silence", 14 * DAY),
        ("abandoned 90m", "abandoned", 5400),
        ("window 2h", "window", 7200),
    ],
)
def test_a_trigger_says_what_and_how_long(text: str, kind: str, span_s: float) -> None:
    found = trigger_of(text)
    assert (found.kind, found.span_s) == (kind, span_s)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Follow", "follow 1d", "follow\n", "dance", "window 48h", "silence", "silence 14"),
        *("silence 0d", "silence 14 d", "silence 367d", "silence -1d", "silence １d"),
        "silence 999999d",
    ],
)
def test_what_is_no_trigger_is_refused(text: str) -> None:
    assert dict(faults(new(trigger=text)))["trigger"]
    with pytest.raises(ValueError, match=r"expected|span|more than"):
        trigger_of(text)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "名" * 41}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"channel": ""}, "channel"),
        ({"audience": ""}, "audience"),
        ({"stops": ("bought", "bought")}, "stops"),
        ({"stops": ("tired",)}, "stops"),
        ({"trigger": "date"}, "anchor_at"),
        ({"anchor_at": NOW}, "anchor_at"),
    ],
)
async def test_what_is_wrong_is_named(store: Store, fields: dict[str, Any], field: str) -> None:
    assert [name for name, _ in faults(new(**fields))] == [field]
    with pytest.raises(ValueError, match=field):
        await store.journeys.create(new(**fields), [step()], NOW, "cli")
    assert await store.journeys.all(closed=True) == []


async def test_steps_are_the_journeys_and_stand_in_order(store: Store) -> None:
    journey = await made(store, step(7 * DAY), step(0), audience="active 30d")
    steps = await store.journeys.steps(journey.id)
    assert [one.delay_s for one in steps] == [0, 7 * DAY]
    assert {(one.channel, one.audience, one.kind, one.status) for one in steps} == {
        ("mp", "active 30d", "step", "draft")
    }


async def test_the_same_message_makes_one_journey(store: Store) -> None:
    first = await store.journeys.create(new(), [step()], NOW, "member:1", KEY, deed())
    again = await store.journeys.create(new(), [step()], NOW + 9, "member:1", KEY, deed())
    assert first == again
    assert len(await store.journeys.all()) == 1
    assert await actions(store) == ["journey.new"]
    other = await store.journeys.create(new(), [step()], NOW, "member:1", b"k" * 16, deed())
    assert other is None


async def test_a_step_that_is_wrong_makes_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="delay_s"):
        await store.journeys.create(new(), [step(), step(500 * DAY)], NOW, "cli", KEY, deed())
    with pytest.raises(ValueError, match="steps"):
        await store.journeys.create(new(), [step()] * (MOST_STEPS + 1), NOW, "cli", KEY, deed())
    assert await store.journeys.all(closed=True) == []
    assert await store.campaigns.steps(1) == []
    assert await actions(store) == []


async def test_its_steps_start_pause_and_end_with_it(store: Store) -> None:
    journey = await made(store)

    async def statuses() -> tuple[str, str]:
        one = await store.journeys.get(journey.id)
        assert one is not None
        return one.status, (await store.journeys.steps(journey.id))[0].status

    assert await store.journeys.pause(journey.id, NOW, deed("journey.pause")) is None
    for action, verb, wanted in (
        ("journey.start", store.journeys.start, ("running", "running")),
        ("journey.pause", store.journeys.pause, ("paused", "paused")),
        ("journey.start", store.journeys.start, ("running", "running")),
        ("journey.close", store.journeys.close, ("closed", "cancelled")),
    ):
        for _ in range(2):
            # Again is the same, and stands in the audit once.
            assert await verb(journey.id, NOW + 5, deed(action)) is not None
        assert await statuses() == wanted
    assert await actions(store) == [
        "journey.start",
        "journey.pause",
        "journey.start",
        "journey.close",
    ]
    assert await store.journeys.start(journey.id, NOW, deed()) is None
    assert await store.journeys.pause(journey.id, NOW, deed()) is None
    assert await store.journeys.close(9, NOW, deed()) is None


async def test_it_begins_for_what_happens_after_its_first_start(store: Store) -> None:
    journey = await made(store)
    first = await store.journeys.start(journey.id, NOW + 10, deed())
    await store.journeys.pause(journey.id, NOW + 20, deed())
    second = await store.journeys.start(journey.id, NOW + 30, deed())
    assert first is not None
    assert second is not None
    assert (first.seen_to, first.started_at) == (NOW + 10, NOW + 10)
    assert (second.seen_to, second.started_at) == (NOW + 10, NOW + 10)


async def test_a_name_is_free_again_when_its_journey_is_closed(store: Store) -> None:
    journey = await made(store)
    assert await store.journeys.by_name("新手欢迎 ") == journey
    await store.journeys.close(journey.id, NOW, deed())
    assert await store.journeys.by_name("新手欢迎") is None
    assert (await made(store)).id == journey.id + 1
    assert [one.id for one in await store.journeys.all(closed=True)] == [2, 1]


async def test_a_step_is_added_once_and_taken_out_once(store: Store) -> None:
    journey = await made(store)
    for _ in range(2):
        added = await store.journeys.add_step(
            journey.id, step(DAY), NOW, "member:1", KEY, deed("journey.step")
        )
    assert added is not None
    assert len(await store.journeys.steps(journey.id)) == 2
    assert await store.journeys.remove_step(journey.id, added.id, NOW, deed("journey.step.remove"))
    assert not await store.journeys.remove_step(journey.id, added.id, NOW, deed("again"))
    other = await made(store, name="另一个")
    assert not await store.journeys.remove_step(other.id, 1, NOW, deed("not its own"))
    assert len(await store.journeys.steps(journey.id)) == 1
    assert await actions(store) == ["journey.step", "journey.step.remove"]
    for _ in range(MOST_STEPS - 1):
        change_file(store.db.path, "update campaigns set message_key = null")
        await store.journeys.add_step(journey.id, step(DAY), NOW, "cli", KEY, deed())
    change_file(store.db.path, "update campaigns set message_key = null")
    with pytest.raises(ValueError, match="steps"):
        await store.journeys.add_step(journey.id, step(DAY), NOW, "cli", KEY, deed())


@pytest.mark.parametrize(
    ("delay_s", "timing", "after_s", "late"),
    [
        (0.0, "at", DAY, False),
        (0.0, "at", DAY + 1, True),
        (0.0, "best", 2 * DAY, False),
        (-DAY, "at", -DAY / 2, False),
        (-DAY, "at", -DAY / 2 + 1, True),
        (-3600.0, "best", -1799.0, True),
        (-30 * DAY, "at", -29 * DAY + 1, True),
        (-1.0, "at", 0.0, True),
    ],
)
def test_when_a_step_is_too_late(delay_s: float, timing: str, after_s: float, late: bool) -> None:
    assert overdue(NOW, delay_s, timing, NOW + after_s) is late


async def put_on(store: Store, journey: Journey, occasion: str = "follow:1") -> int:
    member = await store.members.meet("mp", LIN, NOW)
    await store.members.follow("mp", LIN, True, NOW)
    await store.journeys.start(journey.id, NOW, deed())
    begun = [Begun(member.id, occasion, NOW)]
    assert await store.db.write(lambda conn: enrol(conn, journey, begun, NOW)) == 1
    return member.id


async def test_nobody_is_put_on_a_journey_that_does_not_run(store: Store) -> None:
    journey = await made(store)
    member = await store.members.meet("mp", LIN, NOW)
    begun = [Begun(member.id, "follow:1", NOW), Begun(999, "follow:2", NOW)]
    assert await store.db.write(lambda conn: enrol(conn, journey, begun, NOW)) == 0
    await store.journeys.start(journey.id, NOW, deed())
    # 999 was erased in between.
    assert await store.db.write(lambda conn: enrol(conn, journey, begun, NOW)) == 1


async def test_a_campaign_without_a_journey_is_never_stopped(store: Store) -> None:
    plain = step(None, kind="once", journey_id=None)
    one = await store.campaigns.create(plain, NOW, "cli")
    said = await store.db.read(lambda conn: stopped_for(conn, one.id, 1, "", NOW))
    assert said == ""


async def test_each_rule_stops_by_itself_and_only_if_it_was_chosen(store: Store) -> None:
    journey = await made(store, stops=("left", "answered"))
    member = await put_on(store, journey)
    first = (await store.journeys.steps(journey.id))[0].id

    async def why(occasion: str = "follow:1") -> str:
        return await store.db.read(
            lambda conn: stopped_for(conn, first, member, occasion, NOW + 60)
        )

    change_file(
        store.db.path,
        "insert into events (event_id, kind, at, received_at, member_id) "
        "values ('p', 'purchase', ?, ?, ?)",
        (NOW + 1, NOW + 1, member),
    )
    assert await why() == ""
    assert await why("follow:2") == "stopped:left"
    wrote = (
        "insert into interactions (at, channel, member_id, kind, text, handler, item) "
        "values (?, 'mp', ?, ?, '', '', '')"
    )
    change_file(store.db.path, wrote, (NOW - 1, member, "text"))
    change_file(store.db.path, wrote, (NOW + 1, member, "event:CLICK"))
    assert await why() == ""
    change_file(store.db.path, wrote, (NOW + 1, member, "text"))
    assert await why() == "stopped:answered"
    await store.members.follow("mp", LIN, False, NOW + 2)
    assert await why() == "stopped:left"


async def test_rows_of_other_journeys_are_stepped_over(store: Store) -> None:
    journey = await made(store)
    member = await put_on(store, journey)
    (one,) = await store.journeys.steps(journey.id)
    going, upto = await store.db.read(lambda conn: unplanned(conn, one, 10))
    assert [who.member_id for who in going] == [member]
    other = await made(store, name="另一个")
    change_file(store.db.path, "update campaigns set frozen_to = ? where id = ?", (upto, one.id))
    change_file(
        store.db.path,
        "insert into journey_members (id, journey_id, member_id, occasion, started_at) "
        "values (50000, ?, ?, 'follow:9', 0)",
        (other.id, member),
    )
    found = await store.campaigns.get(one.id)
    assert found is not None
    assert await store.db.read(lambda conn: unplanned(conn, found, 10)) == ([], 50_000)


async def test_two_who_are_one_are_on_it_once(store: Store) -> None:
    journey = await made(store)
    lin = await put_on(store, journey)
    mei = (await store.members.meet("mp", MEI, NOW + 1)).id

    def also(conn: Connection) -> None:
        for occasion in ("follow:1", "follow:2"):
            conn.execute(
                "insert into journey_members (journey_id, member_id, occasion, started_at) "
                "values (?, ?, ?, ?)",
                (journey.id, mei, occasion, NOW),
            )

    await store.db.write(also)
    await store.members.unite("mp", LIN, "u1")
    await store.members.unite("mp", MEI, "u1")
    rows = ask_file(store.db.path, "select member_id, occasion from journey_members order by id")
    assert rows == [(lin, "follow:1"), (lin, "follow:2")]
