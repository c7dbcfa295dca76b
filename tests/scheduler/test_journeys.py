"""Journeys: who begins one, what is planned for them, what stops it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from scheduler import journeys
from scheduler.journeys import tick
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import NewCampaign, Variant
from store.coupons import Claimant
from store.events import NewEvent
from store.journeys import Journey, NewJourney, stopped_for
from store.ledgers import Deed
from store.messages import Finished, Incoming
from store.offers import NewOffer
from tests.blank import blank
from tests.store.rows import ask_file, change_file

DAY = 86_400.0
HOUR = 3600.0
NOW = datetime.fromisoformat("2026-11-21T12:00+08:00").timestamp()
RULES = CampaignRules(quiet=(time(22, 0), time(8, 0)))
DAYTIME = CampaignRules(quiet=(time(0, 0), time(0, 0)))


def step(title: str, delay_s: float, **fields: Any) -> NewCampaign:
    plain: dict[str, Any] = {
        "title": title,
        "channel": "mp",
        "audience": "everyone",
        "variants": (Variant(content={"kind": "text", "text": title}),),
        "routes": ("custom",),
        "kind": "step",
        "journey_id": 0,
        "delay_s": delay_s,
        "holdout": 0.0,
    }
    return NewCampaign(**{**plain, **fields})


def deed(action: str, at: float = NOW) -> Deed:
    return Deed(at, "member:1", action)


@dataclass
class Town:
    """A store, its members and what they do; `path` is what another process would read."""

    store: Store
    path: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def journey(
        self, trigger: str, *steps: NewCampaign, start: float | None = NOW, **fields: Any
    ) -> Journey:
        new = NewJourney(name=f"旅程{next(self.numbers)}", channel="mp", trigger=trigger, **fields)
        made = await self.store.journeys.create(new, steps, NOW, "member:1")
        assert made is not None
        if start is not None:
            started = await self.store.journeys.start(made.id, start, deed("journey.start"))
            assert started is not None
            return started
        return made

    async def follows(self, who: str, at: float) -> int:
        member = await self.store.members.meet("mp", who, at)
        await self.store.members.follow("mp", who, True, at)
        change_file(
            self.path,
            "update identities set last_seen_at = ? where external_id = ?",
            (at, who),
        )
        return member.id

    async def leaves(self, who: str, at: float) -> None:
        await self.store.members.follow("mp", who, False, at)

    async def writes(self, who: str, at: float, *, allowance: int = 5) -> int:
        key = next(self.numbers).to_bytes(16, "big")
        member = await self.store.members.meet("mp", who, at)
        await self.store.messages.record(Incoming(key, "mp", who, at, b"{}"))
        await self.store.messages.finish(
            Finished(key, b"", at, "mp", who, "text", "在", "faq", "", allowance=allowance)
        )
        return member.id

    async def does(self, kind: str, member: int, at: float, item: str = "py") -> None:
        event = NewEvent(f"e{next(self.numbers)}", kind, at, member_id=member, item_id=item)
        await self.store.events.add([event], at)

    async def tick(self, now: float, rules: CampaignRules = RULES) -> str:
        return await tick(self.store, now, rules)

    def planned(self) -> list[tuple[int, str, float]]:
        """(member, step, when) of what is planned, earliest first."""
        return ask_file(
            self.path,
            "select d.member_id, c.title, d.due_at from deliveries as d "
            "join campaigns as c on c.id = d.campaign_id where d.status = 'planned' "
            "order by d.due_at, d.id",
        )

    def begun(self) -> list[tuple[int, str]]:
        """(member, occasion) of all who began."""
        return ask_file(self.path, "select member_id, occasion from journey_members order by id")

    def others(self) -> list[tuple[int, str, str]]:
        """(member, status, reason) of what is not planned any more."""
        return ask_file(
            self.path,
            "select member_id, status, reason from deliveries where status <> 'planned' "
            "order by id",
        )


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield Town(store, tmp_path / "z.db")
    await store.close()


WELCOME = (step("欢迎", 0), step("三天", 3 * DAY), step("七天", 7 * DAY))


async def test_a_follower_gets_day_0_3_and_7(town: Town) -> None:
    await town.follows("o_old", NOW - HOUR)
    await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    assert await town.tick(NOW + 90) == "journey 1: 1 began, 3 deliveries planned, 0 stopped"
    assert town.planned() == [
        (lin, "欢迎", NOW + 60),
        (lin, "三天", NOW + 60 + 3 * DAY),
        (lin, "七天", NOW + 60 + 7 * DAY),
    ]
    assert town.begun() == [(lin, f"follow:{int(NOW + 60)}")]


async def test_a_tick_that_is_done_again_plans_nothing_twice(town: Town) -> None:
    await town.journey("follow", *WELCOME)
    await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 90)
    assert await town.tick(NOW + 90) == ""
    # The process died before it wrote how far it was.
    change_file(town.path, "update journeys set seen_to = ?", (NOW,))
    change_file(town.path, "update campaigns set frozen_to = 0")
    assert await town.tick(NOW + 120) == ""
    assert len(town.planned()) == 3


async def test_a_follow_that_is_written_late_still_begins_it(town: Town) -> None:
    await town.journey("follow", step("欢迎", 0))
    await town.tick(NOW + 100)
    # Their message came at NOW + 60 and was answered after the tick had looked.
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 160)
    assert town.planned() == [(lin, "欢迎", NOW + 60)]


async def test_who_leaves_and_comes_back_is_not_on_it_twice_at_a_time(town: Town) -> None:
    await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 90)
    await town.leaves("o_lin", NOW + 100)
    await town.follows("o_lin", NOW + 200)
    await town.tick(NOW + 230)
    assert [who for who, _ in town.begun()] == [lin]
    await town.leaves("o_lin", NOW + 9 * DAY)
    await town.follows("o_lin", NOW + 10 * DAY)
    await town.tick(NOW + 10 * DAY + 60)
    assert [who for who, _ in town.begun()] == [lin, lin]


async def test_the_audience_says_whom_of_those(town: Town) -> None:
    await town.journey("follow", step("欢迎", 0), audience="tag:python")
    lin, _ = await town.follows("o_lin", NOW + 60), await town.follows("o_mei", NOW + 61)
    change_file(
        town.path, "insert into member_tags (member_id, tag, since) values (?, 'python', 0)", (lin,)
    )
    await town.tick(NOW + 90)
    assert [who for who, _, _ in town.planned()] == [lin]


async def test_a_segment_that_is_gone_stops_only_its_journey(town: Town) -> None:
    await town.journey("follow", step("欢迎", 0), audience='segment:"gone"')
    await town.journey("follow", step("你好", 0))
    lin = await town.follows("o_lin", NOW + 60)
    assert "journey 1: its audience cannot be read" in await town.tick(NOW + 90)
    assert town.planned() == [(lin, "你好", NOW + 60)]
    # When it is back, those who came in between begin.
    await town.store.segments.put("gone", "new 30d", NOW + 100, "cli", deed("segment.save"))
    await town.tick(NOW + 120)
    assert [title for _, title, _ in town.planned()] == ["你好", "欢迎"]


async def test_a_date_begins_for_everybody_before_its_first_step(town: Town) -> None:
    class_at = NOW + 5 * DAY
    lin = await town.follows("o_lin", NOW - 90 * DAY)
    await town.journey("date", step("三天后", -3 * DAY), step("今天", -HOUR), anchor_at=class_at)
    assert await town.tick(NOW + 60) == ""
    await town.tick(class_at - 3 * DAY - 1800)
    assert town.planned() == [
        (lin, "三天后", class_at - 3 * DAY),
        (lin, "今天", class_at - HOUR),
    ]
    # Who came in between gets what is still to come, and no "in three days".
    mei = await town.follows("o_mei", class_at - DAY)
    await town.tick(class_at - HOUR - 1800)
    assert [title for who, title, _ in town.planned() if who == mei] == ["今天"]
    assert await town.tick(class_at - HOUR - 1700) == ""


async def test_a_date_that_is_soon_begins_at_once(town: Town) -> None:
    lin = await town.follows("o_lin", NOW - DAY)
    await town.journey(
        "date", step("三天后", -3 * DAY), step("马上", -600), anchor_at=NOW + 2 * HOUR
    )
    await town.tick(NOW + HOUR)
    assert town.planned() == [(lin, "马上", NOW + 2 * HOUR - 600)]


async def test_nothing_is_announced_once_it_has_begun(town: Town) -> None:
    lin = await town.follows("o_lin", NOW - DAY)
    journey = await town.journey(
        "date", step("一小时后", -HOUR), step("谢谢", HOUR), anchor_at=NOW + 2 * HOUR
    )
    await town.tick(NOW + HOUR / 2)
    announcing, thanking = [one.id for one in await town.store.journeys.steps(journey.id)]

    async def why(campaign_id: int, now: float) -> str:
        occasion = town.begun()[0][1]
        return await town.store.db.read(
            lambda conn: stopped_for(conn, campaign_id, lin, occasion, now)
        )

    assert await why(announcing, NOW + HOUR + 60) == ""
    assert await why(announcing, NOW + 1.6 * HOUR) == "late"
    assert await why(announcing, NOW + 2 * HOUR) == "late"
    assert await why(thanking, NOW + 26 * HOUR) == ""
    assert await why(thanking, NOW + 28 * HOUR) == "late"


async def test_a_coupon_is_spoken_of_before_it_ends(town: Town) -> None:
    lin = await town.follows("o_lin", NOW - DAY)
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, valid_days=10)
    await town.store.offers.create(offer, NOW - DAY, "cli")
    claim = await town.store.coupons.claim("早鸟", Claimant(lin), b"k" * 16, NOW - DAY)
    assert claim.coupon is not None
    ends = NOW + 9 * DAY
    journey = await town.journey("coupon", step("还有三天", -3 * DAY), step("明天到期", -DAY))
    assert await town.tick(NOW + 60) == ""
    await town.tick(ends - 3 * DAY - 600)
    assert town.begun() == [(lin, f"coupon:{claim.coupon.id}")]
    assert town.planned() == [
        (lin, "还有三天", ends - 3 * DAY),
        (lin, "明天到期", ends - DAY),
    ]
    # Used in the shop: nobody hears that it ends.
    change_file(town.path, "update coupons set status = 'redeemed'")
    first = (await town.store.journeys.steps(journey.id))[0].id
    assert (
        await town.store.db.read(
            lambda conn: stopped_for(conn, first, lin, town.begun()[0][1], ends - 3 * DAY)
        )
        == "stopped:used"
    )
    assert "1 stopped" in await town.tick(ends - 3 * DAY - 60)
    assert town.planned() == []


async def test_silence_begins_when_it_has_lasted_and_once_for_each(town: Town) -> None:
    lin = await town.follows("o_lin", NOW - 13 * DAY)
    await town.follows("o_gone_long_ago", NOW - 200 * DAY)
    mei = await town.follows("o_mei", NOW - 13 * DAY)
    await town.leaves("o_mei", NOW - 12 * DAY)
    await town.journey("silence 14d", step("好久不见", 0), stops=("answered",))
    assert await town.tick(NOW + 0.9 * DAY) == ""
    await town.tick(NOW + DAY + 60)
    assert [who for who, _ in town.begun()] == [lin]
    assert mei not in [who for who, _, _ in town.planned()]
    await town.writes("o_lin", NOW + 2 * DAY)
    await town.tick(NOW + 2 * DAY + 60)
    assert town.others() == [(lin, "skipped", "stopped:answered")]
    await town.tick(NOW + 16 * DAY + 60)
    assert [who for who, _ in town.begun()] == [lin, lin]


@pytest.mark.parametrize("look", ["view", "click", "add_to_cart"])
async def test_who_looked_and_did_not_buy_hears_of_it(town: Town, look: str) -> None:
    journey = await town.journey("abandoned 1d", step("还想学吗", 0), stops=("bought",))
    lin, mei = await town.follows("o_lin", NOW - DAY), await town.follows("o_mei", NOW - DAY)
    stranger = (await town.store.members.meet("mp", "o_never_followed", NOW)).id
    for who in (lin, mei, stranger):
        await town.does(look, who, NOW + HOUR)
    # A second look: from the newest it is counted.
    await town.does("click", lin, NOW + 5 * HOUR)
    await town.does("purchase", mei, NOW + 2 * HOUR)
    assert await town.tick(NOW + DAY + 2 * HOUR) == ""
    await town.tick(NOW + DAY + 5 * HOUR + 60)
    assert town.begun() == [(lin, "abandoned:py")]
    assert town.planned() == [(lin, "还想学吗", NOW + DAY + 5 * HOUR)]
    await town.does("purchase", lin, NOW + DAY + 5 * HOUR + 90)
    first = (await town.store.journeys.steps(journey.id))[0].id
    assert (
        await town.store.db.read(
            lambda conn: stopped_for(conn, first, lin, "abandoned:py", NOW + DAY + 5 * HOUR + 100)
        )
        == "stopped:bought"
    )


async def test_what_they_own_is_not_abandoned(town: Town) -> None:
    await town.journey("abandoned 2h", step("还想学吗", 0))
    lin = await town.follows("o_lin", NOW - DAY)
    await town.does("purchase", lin, NOW - 30 * DAY)
    await town.does("click", lin, NOW + HOUR)
    assert await town.tick(NOW + 4 * HOUR) == ""


async def test_the_closing_window_is_a_trigger(town: Town) -> None:
    await town.journey("window 2h", step("还有什么可以帮你", 0))
    lin = await town.writes("o_lin", NOW + HOUR)
    await town.writes("o_last", NOW + HOUR, allowance=1)
    closes = NOW + HOUR + 48 * HOUR
    assert await town.tick(closes - 2 * HOUR - 60) == ""
    await town.tick(closes - 2 * HOUR + 60, DAYTIME)
    assert town.begun() == [(lin, f"window:{int(closes)}")]
    assert town.planned() == [(lin, "还有什么可以帮你", closes - 2 * HOUR)]
    # A window that closed while the bot was down is nothing to begin with.
    mei = await town.writes("o_mei", closes)
    await town.tick(closes + 49 * HOUR)
    assert mei not in [who for who, _ in town.begun()]


async def test_buying_stops_the_rest(town: Town) -> None:
    await town.journey("follow", *WELCOME, stops=("bought", "left"))
    lin, mei = await town.follows("o_lin", NOW + 60), await town.follows("o_mei", NOW + 60)
    await town.tick(NOW + 90)
    change_file(
        town.path,
        "update deliveries set status = 'accepted', due_at = null where due_at < ?",
        (NOW + DAY,),
    )
    await town.does("purchase", lin, NOW + DAY)
    await town.leaves("o_mei", NOW + DAY)
    assert await town.tick(NOW + DAY + 60) == (
        "journey 1: 0 began, 0 deliveries planned, 2 stopped"
    )
    assert town.planned() == []
    assert sorted(town.others()) == sorted(
        [
            (lin, "accepted", ""),
            (mei, "accepted", ""),
            *[(lin, "skipped", "stopped:bought")] * 2,
            *[(mei, "skipped", "stopped:left")] * 2,
        ]
    )
    count = await town.store.journeys.count(1)
    assert (count.members, count.stopped) == (2, {"bought": 1, "left": 1})


async def test_what_was_bought_before_the_beginning_stops_nothing(town: Town) -> None:
    await town.journey("follow", *WELCOME, stops=("bought", "answered"))
    lin = await town.follows("o_lin", NOW + 60)
    await town.does("purchase", lin, NOW + 30)
    await town.tick(NOW + 90)
    assert await town.tick(NOW + 120) == ""
    assert len(town.planned()) == 3


async def test_after_downtime_what_is_a_day_past_is_left_out(town: Town) -> None:
    await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 60 + 3 * DAY + HOUR)
    assert [title for _, title, _ in town.planned()] == ["三天", "七天"]
    assert town.planned()[0] == (lin, "三天", NOW + 60 + 3 * DAY)


async def test_a_step_that_is_added_reaches_who_is_on_the_way(town: Town) -> None:
    journey = await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 90)
    at = NOW + 5 * DAY
    store = town.store.journeys
    new = step("六天", 6 * DAY)
    assert await store.add_step(journey.id, new, at, "cli", b"a" * 16, deed("s")) is None
    await store.pause(journey.id, at, deed("journey.pause"))
    assert await store.add_step(journey.id, new, at, "cli", b"a" * 16, deed("s")) is not None
    gone = await store.add_step(journey.id, step("一天", DAY), at, "cli", b"b" * 16, deed("s"))
    assert gone is not None
    await store.start(journey.id, at, deed("journey.start"))
    await town.tick(at + 60)
    assert (lin, "六天", NOW + 60 + 6 * DAY) in town.planned()
    assert "一天" not in [title for _, title, _ in town.planned()]


async def test_while_paused_nobody_begins_and_then_all_do(town: Town) -> None:
    journey = await town.journey("follow", *WELCOME)
    await town.store.journeys.pause(journey.id, NOW + 10, deed("journey.pause"))
    lin = await town.follows("o_lin", NOW + 60)
    assert await town.tick(NOW + 90) == ""
    await town.store.journeys.start(journey.id, NOW + 2 * HOUR, deed("journey.start"))
    await town.tick(NOW + 2 * HOUR + 60)
    assert [who for who, _ in town.begun()] == [lin]


async def test_what_is_planned_of_a_closed_one_is_skipped(town: Town) -> None:
    journey = await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 90)
    await town.store.journeys.close(journey.id, NOW + 100, deed("journey.close"))
    for number in await town.store.deliveries.cancelled_with_rows():
        await town.store.deliveries.cancel(number, NOW + 110)
    assert await town.tick(NOW + 120) == ""
    assert town.planned() == []
    assert town.others() == [(lin, "skipped", "cancelled")] * 3
    assert await town.store.journeys.start(journey.id, NOW + 130, deed("journey.start")) is None


async def test_steps_wait_for_the_morning_and_for_the_members_hour(town: Town) -> None:
    await town.journey("follow", step("欢迎", 0), step("最好的时间", DAY, timing="best"), start=NOW)
    night = NOW + 11 * HOUR
    lin = await town.follows("o_lin", night)
    for day in range(6):
        await town.writes("o_lin", NOW - day * DAY + 7 * HOUR)
    await town.tick(night + 60)
    assert town.planned() == [
        (lin, "欢迎", NOW + 20 * HOUR),
        (lin, "最好的时间", NOW + 2 * DAY + 7 * HOUR),
    ]


async def test_who_goes_by_list_goes_with_the_others_of_an_hour(town: Town) -> None:
    await town.journey("follow", step("清单", DAY, routes=("mass_list",)))
    await town.follows("o_lin", NOW + 60)
    await town.follows("o_mei", NOW + 1800)
    await town.tick(NOW + 2000)
    assert [due for _, _, due in town.planned()] == [NOW + DAY + HOUR] * 2


async def test_who_is_held_out_is_held_out_of_every_step(town: Town) -> None:
    steps = [step(f"第{n}步", n * DAY, holdout=0.5) for n in range(3)]
    await town.journey("follow", *steps)
    for number in range(40):
        await town.follows(f"o_{number}", NOW + 60 + number)
    await town.tick(NOW + 200)
    planned = [who for who, _, _ in town.planned()]
    held = [who for who, status, _ in town.others() if status == "held"]
    assert 5 < len(set(held)) < 35
    assert set(planned) & set(held) == set()
    assert len(planned) == 3 * len(set(planned))
    assert len(held) == 3 * len(set(held))


async def test_variants_are_shared_out(town: Town) -> None:
    two = tuple(Variant(name=n, content={"kind": "text", "text": n}) for n in "AB")
    await town.journey("follow", step("试验", 0, variants=two))
    for number in range(40):
        await town.follows(f"o_{number}", NOW + 60 + number)
    await town.tick(NOW + 200)
    counts = dict(ask_file(town.path, "select variant, count(*) from deliveries group by variant"))
    assert set(counts) == {"A", "B"}
    assert 8 < counts["A"] < 32


async def test_many_who_begin_at_once_all_begin(town: Town) -> None:
    """More than a slice, and several of them at the same moment."""
    count = 2 * journeys.SLICE + 3
    await town.journey("follow", step("欢迎", 0))

    def fill(conn: Any) -> None:
        for number in range(count):
            conn.execute("insert into members (created_at) values (?)", (NOW,))
            conn.execute(
                "insert into identities (channel, external_id, member_id, followed, followed_at, "
                "last_seen_at) values ('mp', ?, ?, 1, ?, ?)",
                (f"o_{number}", number + 1, NOW + 60 + number // 400, NOW),
            )

    await town.store.db.write(fill)
    await town.tick(NOW + 200)
    assert len(set(town.begun())) == len(town.planned()) == count


async def test_what_can_wait_is_looked_for_once_a_minute(town: Town) -> None:
    await town.journey("follow", *WELCOME, stops=("bought",))
    await town.journey("window 2h", step("还有什么可以帮你", 0))
    minute = NOW + 60 - NOW % 60
    await town.tick(minute + 1)
    lin = await town.follows("o_lin", minute + 2)
    mei = await town.writes("o_mei", minute + 3 - 46 * HOUR)
    # A follower is greeted at once, the window looked at when the minute is over.
    await town.tick(minute + 5, DAYTIME)
    await town.does("purchase", lin, minute + 6)
    assert await town.tick(minute + 10, DAYTIME) == ""
    assert [who for who, _ in town.begun()] == [lin]
    said = await town.tick(minute + 61, DAYTIME)
    assert said.split("; ") == [
        "journey 1: 0 began, 0 deliveries planned, 1 stopped",
        "journey 2: 1 began, 1 deliveries planned, 0 stopped",
    ]
    assert [who for who, _ in town.begun()] == [lin, mei]


async def test_an_erased_member_is_on_no_journey(town: Town) -> None:
    await town.journey("follow", *WELCOME)
    lin = await town.follows("o_lin", NOW + 60)
    await town.tick(NOW + 90)
    told = await town.store.members.export(lin)
    assert told is not None
    assert [row["occasion"] for row in told["journey_members"]] == [f"follow:{int(NOW + 60)}"]
    await town.store.members.erase(lin, NOW + 100)
    assert ask_file(town.path, "select member_id, reason from journey_members") == [
        (None, "erased")
    ]
    assert await town.tick(NOW + 120) == ""
