"""A campaign into groups: begun once, kept out of quiet hours, held, ended, and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from scheduler import repeat
from scheduler.campaigns import Runner
from scheduler.group_campaigns import GroupRunner, Way, WayKind, judge, opens_at
from scheduler.rules import CampaignRules
from store import Store
from store.campaign_places import assigned, grouped, held_of
from store.campaigns import Campaign, NewCampaign, Variant
from store.customer_groups import NewTask
from store.customer_messages import CustomerMessage
from store.groups import Group, GroupRules
from store.posts import NewPost, Post
from tests.blank import blank
from tests.scheduler.campaign_world import CHANNEL, NEVER_QUIET, NOON, World
from tests.scheduler.sender import Scripted

WAYS = {
    "poster": Way("robot"),
    "poster2": Way("robot"),
    "qun": Way("gateway"),
    "kf": Way("task", senders=()),
}
PACES = {"poster": 20, "poster2": 20, "qun": 20}
HOUR = 3600.0


@dataclass
class Words:
    """Says the variant's name and the group's number; asked: how often. broken: variants that
    cannot be said."""

    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def post(
        self, campaign: Campaign, variant: str, kind: WayKind, group: Group | None
    ) -> Post:
        if variant in self.broken:
            raise ValueError("this cannot be said")
        self.asked.append((variant, kind))
        return Post("text", f"{variant} {group.id if group else '*'}")


class Stage:
    """Groups of every kind, campaigns into them, and a worker that posts what it may."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.clock = world.clock
        self.words = Words()
        self.posted: list[str] = []

    async def group(self, place: str, *, bound: bool = True, route: str = "", **rules: Any) -> str:
        channel, _, external = place.partition(":")
        groups = self.store.groups
        owner = "emp" if channel == "kf" else ""
        await groups.meet(channel, external, self.clock(), name=f"群 {external}", owner=owner)
        if bound:
            await groups.bind(place, self.clock(), "member:1")
        if route:
            await groups.post_by(place, route)
        if rules:
            await groups.rule(place, lambda before: replace(before, **rules))
        return place

    async def campaign(self, *places: str, **fields: Any) -> Campaign:
        new: dict[str, Any] = {"audience": "", "routes": ("group",), "metric": "click"}
        return await self.world.campaign(**{**new, "places": places, **fields})

    def runner(self, **rules: Any) -> Runner:
        given = {"quiet": NEVER_QUIET, "grace_s": 30 * 86_400.0, **rules}
        groups = GroupRunner(self.store, self.words, CampaignRules(**given), WAYS, now=self.clock)
        return self.world.runner(Scripted(), groups=groups, **rules)

    async def work(self, times: int = 100) -> None:
        """What the worker of posts does now."""
        for _ in range(times):
            claimed = await self.store.posts.claim(self.clock(), PACES)
            if not claimed:
                return
            for one in claimed:
                self.posted.append(one.place)
                await self.store.posts.settle(one.id, "sent", self.clock())

    async def rows(self) -> dict[str, tuple[str, str, float]]:
        """Place -> status, note, due."""
        found = await self.world.rows("select place, status, note, due_at from posts order by id")
        return {row[0]: row[1:] for row in found}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield Stage(World(store))
    await store.close()


async def test_each_group_gets_it_once_and_the_campaign_is_done(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(5)]
    one = await stage.campaign(*places)
    runner = stage.runner()
    assert await runner.run_once() == "1 started"
    begun = await stage.world.get(one.id)
    assert (begun.status, begun.planned, begun.started_at) == ("running", 5, NOON)
    await stage.work()
    assert await runner.run_once() == "1 in groups"
    assert Counter(stage.posted) == dict.fromkeys(places, 1)
    assert await stage.world.status(one.id) == "done"
    assert await runner.run_once() == ""


async def test_whoever_begins_it_again_plans_nothing_again(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(3)]
    one = await stage.campaign(*places)
    await stage.runner().run_once()
    await stage.work()
    # As a backup that was put back, or a row that somebody changed by hand, would have it.
    await stage.world.change("update campaigns set status = 'scheduled' where id = ?", one.id)
    await stage.runner(lease_s=0.0).run_once()
    await stage.work()
    assert Counter(stage.posted) == dict.fromkeys(places, 1)


async def test_a_beginning_that_is_broken_off_leaves_nothing_behind(stage: Stage) -> None:
    place = await stage.group("qun:1")
    one = await stage.campaign(place)
    hold = await stage.store.leases.take("campaigns", "we", NOON, 30.0)
    assert hold is not None
    post = NewPost(
        key=bytes(16),
        channel="qun",
        place=place,
        kind="campaign",
        body=Post("text", "今晚八点"),
        due_at=NOON,
        campaign_id=one.id,
    )
    task = NewTask(
        key=bytes(16), channel="kf", sender="", places=(), body=CustomerMessage("八点"), due_at=NOON
    )
    with pytest.raises(ValueError, match="employee"):
        await stage.store.group_campaigns.begin(one, hold, NOON, [post], [task])
    assert await stage.rows() == {}
    assert await stage.world.status(one.id) == "scheduled"


async def test_another_process_without_the_lease_begins_nothing(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1"))
    hold = await stage.store.leases.take("campaigns", "other", NOON, 30.0)
    assert hold is not None
    assert await stage.runner().run_once() == ""
    late = replace(hold, holder="we", fence=hold.fence - 1)
    assert await stage.store.group_campaigns.begin(one, late, NOON, []) is None
    assert await stage.world.status(one.id) == "scheduled"


async def test_one_that_was_edited_meanwhile_is_not_begun_as_it_was(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1"))
    hold = await stage.store.leases.take("campaigns", "we", NOON, 30.0)
    assert hold is not None
    await stage.world.change("update campaigns set title = '改了' where id = ?", one.id)
    assert await stage.store.group_campaigns.begin(one, hold, NOON, []) is None


async def test_who_cannot_be_reached_is_told_why_and_the_others_get_it(stage: Stage) -> None:
    reached = await stage.group("qun:1")
    unbound = await stage.group("qun:2", bound=False)
    left = await stage.group("qun:3")
    await stage.store.groups.leave(left, NOON)
    deaf = await stage.group("bot:4")
    muted = await stage.group("qun:5", muted_until=NOON + 48 * HOUR)
    robot = await stage.group("poster:robot")
    routed = await stage.group("bot:6", route="poster")
    places = (reached, unbound, left, deaf, muted, robot, routed, "qun:gone")
    one = await stage.campaign(*places)
    await stage.runner().run_once()
    rows = await stage.rows()
    why = {place: note for place, (status, note, _) in rows.items() if status == "refused"}
    assert why == {
        unbound: "unbound",
        left: "left",
        deaf: "no_way",
        muted: "muted",
        routed: "again",
        "qun:gone": "unknown",
    }
    await stage.work()
    assert sorted(stage.posted) == sorted([reached, robot])
    report = await stage.store.campaign_reports.read(one.id, NOON)
    assert report is not None
    assert [(each.place, each.status, each.why) for each in report.groups][:2] == [
        (reached, "sent", ""),
        (unbound, "refused", "unbound"),
    ]


async def test_a_campaign_that_reaches_no_group_ends_and_its_owner_hears_it(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1", bound=False))
    await stage.runner().run_once()
    assert await stage.world.status(one.id) == "done"
    assert stage.world.told == [(one.id, "no_group")]


async def test_what_cannot_be_said_is_refused_and_does_not_stop_the_others(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(4)]
    variants = tuple(
        Variant(name=name, content={"kind": "text", "text": name}) for name in ("A", "B")
    )
    one = await stage.campaign(*places, variants=variants)
    stage.words.broken = {"B"}
    await stage.runner().run_once()
    await stage.work()
    assert len(stage.posted) == 2
    notes = [note for status, note, _ in (await stage.rows()).values() if status == "refused"]
    assert notes == ["this cannot be said"] * 2
    assert assigned(one) == assigned(await stage.world.get(one.id))


# When


async def test_in_quiet_hours_it_is_planned_for_their_end(stage: Stage) -> None:
    quiet = (time(11, 0), time(14, 0))
    place = await stage.group("qun:1")
    own = await stage.group("qun:2", quiet="13:00-15:00")
    await stage.campaign(place, own)
    runner = stage.runner(quiet=quiet)
    await runner.run_once()
    rows = await stage.rows()
    assert rows[place][2] == NOON + 2 * HOUR
    assert rows[own][2] == NOON + 3 * HOUR, "until both agree"
    await stage.work()
    assert stage.posted == []
    stage.clock.at += 2 * HOUR
    await runner.run_once()
    await stage.work()
    assert stage.posted == [place]


async def test_what_waits_for_its_turn_when_the_quiet_hours_begin_waits_on(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(30)]
    await stage.campaign(*places)
    runner = stage.runner(quiet=(time(12, 1), time(14, 0)))
    await runner.run_once()
    await stage.work()
    assert len(stage.posted) == 20, "the others wait for the next minute"
    stage.clock.at += 40.0
    await runner.run_once()
    stage.clock.at += 21.0
    await stage.work()
    assert len(stage.posted) == 20, "which is a quiet one"
    stage.clock.at = NOON + 2 * HOUR
    await runner.run_once()
    await stage.work()
    assert len(stage.posted) == 30


async def test_a_group_that_is_muted_or_let_go_meanwhile_is_heeded(stage: Stage) -> None:
    muted, left = await stage.group("qun:1"), await stage.group("qun:2")
    await stage.campaign(muted, left, starts_at=NOON)
    runner = stage.runner()
    await runner.run_once()
    until = NOON + HOUR
    await stage.store.groups.rule(muted, lambda before: replace(before, muted_until=until))
    await stage.store.groups.unbind(left)
    await runner.run_once()
    rows = await stage.rows()
    assert rows[muted][0::2] == ("planned", until)
    assert rows[left][0] in ("dropped", "refused")


def test_quiet_hours_that_leave_no_time_are_never() -> None:
    group = a_group(quiet="08:00-22:00")
    assert opens_at(group, NOON, (time(22, 0), time(8, 0))) is None
    assert opens_at(group, NOON, NEVER_QUIET) == NOON + 10 * HOUR
    assert opens_at(a_group(), NOON, (time(22, 0), time(8, 0))) == NOON


def a_group(number: int = 1, **rules: Any) -> Group:
    place = f"qun:{number}"
    return Group(
        number, place, "qun", str(number), "", None, "", "", GroupRules(**rules), 0.0, 1.0, None
    )


async def test_a_pause_holds_what_has_not_left_and_a_cancel_drops_it(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(30)]
    one = await stage.campaign(*places)
    runner = stage.runner()
    await runner.run_once()
    await stage.work()
    await stage.store.campaigns.pause(one.id, stage.clock(), "member:1")
    stage.clock.at += 61.0
    await runner.run_once()
    await stage.work()
    assert len(stage.posted) == 20
    await stage.store.campaigns.resume(one.id, stage.clock(), "member:1")
    assert await stage.world.status(one.id) == "running"
    await stage.work(times=5)
    assert len(stage.posted) == 25
    await stage.store.campaigns.cancel(one.id, stage.clock(), "member:1")
    await runner.run_once()
    stage.clock.at += 61.0
    await stage.work()
    assert len(stage.posted) == len(set(stage.posted)) == 25
    statuses = Counter(status for status, _, _ in (await stage.rows()).values())
    assert statuses == {"sent": 25, "dropped": 5}


async def test_who_was_away_for_too_long_asks_before_the_rest_goes(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(30)]
    one = await stage.campaign(*places)
    await stage.runner(grace_s=900.0).run_once()
    await stage.work()
    stage.clock.at += 2 * HOUR
    runner = stage.runner(grace_s=900.0)
    await runner.run_once()
    await stage.work()
    assert stage.world.told == [(one.id, "overdue")]
    assert (await stage.world.status(one.id), len(stage.posted)) == ("late", 20)
    await stage.store.campaigns.resume(one.id, stage.clock(), "member:1")
    await stage.work()
    assert len(stage.posted) == 30


async def test_one_that_is_late_asks_before_it_begins(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1"), starts_at=NOON - 2 * HOUR)
    await stage.runner(grace_s=900.0).run_once()
    assert await stage.world.status(one.id) == "late"
    assert await stage.rows() == {}


async def test_each_time_of_a_repeating_one_is_a_campaign_of_its_own(stage: Stage) -> None:
    place = await stage.group("qun:1")
    parent = await stage.campaign(place, kind="cron", cron="0 12 * * *", starts_at=NOON)
    runner = stage.runner()
    for _ in range(2):
        await repeat.tick(stage.store, stage.clock())
        await runner.run_once()
        await stage.work()
        await runner.run_once()
        stage.clock.at += 86_400.0
    assert stage.posted == [place, place]
    report = await stage.store.campaign_reports.read(parent.id, stage.clock())
    assert report is not None
    assert [(each.place, each.status) for each in report.groups] == [(place, "sent")] * 2


async def test_a_process_without_a_way_into_groups_leaves_them_to_another(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1"))
    await stage.world.runner(Scripted()).run_once()
    assert await stage.world.status(one.id) == "scheduled"


async def test_an_account_that_is_no_channel_of_this_bot_does_not_matter(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("qun:1"), channel="gone")
    await stage.runner().run_once()
    assert await stage.world.status(one.id) == "running"


# Who gets what


def a_campaign(places: int, holdout: float = 0.0, **weights: int) -> Campaign:
    variants = tuple(
        Variant(name=name, weight=weight, content={"kind": "text", "text": name})
        for name, weight in (weights or {"A": 1}).items()
    )
    new = grouped(
        NewCampaign(
            title="上新",
            channel=CHANNEL,
            audience="",
            variants=variants,
            places=tuple(f"qun:{number}" for number in range(places)),
            holdout=holdout,
        )
    )
    kept: dict[str, Any] = dict.fromkeys(
        ("best_hour", "frozen_at", "decided_at", "confirmed_at", "started_at", "ended_at")
    )
    zeros: dict[str, Any] = dict.fromkeys(
        ("planned", "frozen_to", "approved", "next_part", "failures"), 0
    )
    values = {name: getattr(new, name) for name in NewCampaign.__dataclass_fields__}
    return Campaign(
        **values,
        **kept,
        **zeros,
        id=7,
        status="scheduled",
        seed=b"seed of this one",
        note="",
        winner="",
        created_at=NOON,
        created_by="cli",
    )


@pytest.mark.parametrize(
    ("places", "weights", "dealt"),
    [
        (4, {"A": 1, "B": 1}, {"A": 2, "B": 2}),
        (9, {"A": 2, "B": 1}, {"A": 6, "B": 3}),
        (1, {"A": 1, "B": 1}, {"B": 1}),
        (100, {"A": 1, "B": 3}, {"A": 25, "B": 75}),
    ],
)
def test_wordings_are_dealt_out_by_weight(
    places: int, weights: dict[str, int], dealt: dict[str, int]
) -> None:
    one = a_campaign(places, **weights)
    assert Counter(assigned(one).values()) == dealt
    assert assigned(one) == assigned(one)
    assert assigned(replace(one, seed=b"another")) != assigned(one) or places == 1


@pytest.mark.parametrize(
    ("places", "holdout", "held"), [(9, 0.5, 0), (10, 0.05, 1), (40, 0.1, 4), (40, 0.0, 0)]
)
def test_groups_are_held_out_only_where_there_are_ten(
    places: int, holdout: float, held: int
) -> None:
    assert held_of(places, holdout) == held
    assert list(assigned(a_campaign(places, holdout)).values()).count("") == held


async def test_held_out_groups_get_nothing_and_stand_in_the_report(stage: Stage) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(12)]
    one = await stage.campaign(*places, holdout=0.25)
    await stage.runner().run_once()
    await stage.work()
    report = await stage.store.campaign_reports.read(one.id, NOON)
    assert report is not None
    held = [each.place for each in report.groups if each.status == "held"]
    assert len(held) == 3
    assert set(stage.posted) == set(places) - set(held)


def test_a_gateway_takes_minutes_and_robots_go_side_by_side() -> None:
    one = a_campaign(45)
    groups = {f"qun:{n}": a_group(n) for n in range(45)}
    rules = CampaignRules(quiet=NEVER_QUIET)
    plan = judge(one, groups.get, WAYS, rules, NOON, spent={}, members={"qun:1": 30})
    assert len(plan.going) == 45
    assert (plan.seconds, plan.ends_at, plan.employees) == (120.0, NOON + 120.0, 0)
    assert sum(aim.members for aim in plan.aims) == 30


# Employees


async def test_customer_groups_are_one_task_for_each_employee_and_wording(stage: Stage) -> None:
    places = [await stage.group(f"kf:wr{n}") for n in range(4)]
    variants = tuple(
        Variant(name=name, content={"kind": "text", "text": name}) for name in ("A", "B")
    )
    one = await stage.campaign(*places, variants=variants, window_s=HOUR)
    runner = stage.runner()
    await runner.run_once()
    tasks = await stage.world.rows(
        "select sender, variant, status from customer_tasks order by variant"
    )
    assert tasks == [("emp", "A", "planned"), ("emp", "B", "planned")]
    await runner.run_once()
    assert await stage.world.status(one.id) == "running", "an employee has yet to confirm"
    report = await stage.store.campaign_reports.read(one.id, NOON)
    assert report is not None
    assert {(each.status, each.employee) for each in report.groups} == {("planned", "emp")}
    assert not report.final
    again = await stage.campaign(*places)
    await runner.run_once()
    assert await stage.world.status(again.id) == "done", "a customer group gets one a day"
    assert {note for _, note, _ in (await stage.rows()).values()} == {"quota"}
    stage.clock.at += 2 * HOUR
    await runner.run_once()
    assert await stage.world.status(one.id) == "done", "its window has ended"


async def test_a_cancelled_campaign_asks_no_employee(stage: Stage) -> None:
    one = await stage.campaign(await stage.group("kf:wr1"))
    runner = stage.runner()
    await runner.run_once()
    await stage.store.campaigns.cancel(one.id, NOON, "member:1")
    await runner.run_once()
    assert await stage.store.customer_tasks.claim("kf", NOON) is None
    report = await stage.store.campaign_reports.read(one.id, NOON)
    assert report is not None
    assert [each.status for each in report.groups] == ["dropped"]


async def test_nobody_who_may_confirm_is_said_before(stage: Stage) -> None:
    place = await stage.group("kf:wr1")
    one = await stage.campaign(place)
    ways = {"kf": Way("task", senders=("other",))}
    plan = judge(
        one,
        stage.store.groups.known,
        ways,
        CampaignRules(quiet=NEVER_QUIET),
        NOON,
        spent={},
        members={},
    )
    assert [aim.why for aim in plan.aims] == ["no_owner"]


# What is told


async def test_the_report_tells_unknown_and_refused_and_counts_clicks_by_group(
    stage: Stage,
) -> None:
    places = [await stage.group(f"qun:{n}") for n in range(3)]
    one = await stage.campaign(*places)
    await stage.runner().run_once()
    ends = [("sent", ""), ("unknown", "nobody heard"), ("refused", "93000: no such robot")]
    for status, note in ends:
        (claimed,) = await stage.store.posts.claim(NOON, PACES)
        await stage.store.posts.settle(claimed.id, status, NOON, note=note)
    number = stage.store.groups.known(places[0])
    assert number is not None
    for link, (ref, people) in enumerate(((f"group:{number.id}", 3), ("", 1)), start=1):
        await stage.world.change(
            "insert into links (id, key, item_id, url, campaign, variant, source, ref, "
            "created_at, created_by) values (?, ?, '', 'https://shop.example/', ?, 'A', "
            "'campaign', ?, 0, 'bot')",
            link,
            f"k{link}",
            one.label,
            ref,
        )
        for person in range(people):
            await stage.world.change(
                "insert into events (event_id, kind, at, received_at, who, campaign, variant, "
                "link_id) values (?, 'click', ?, ?, ?, ?, 'A', ?)",
                f"{link}-{person}",
                NOON + 1,
                NOON + 1,
                f"browser:{person // 2}",
                one.label,
                link,
            )
    report = await stage.store.campaign_reports.read(one.id, NOON + 60)
    assert report is not None
    told = [(each.status, each.why, each.clicks, each.people) for each in report.groups]
    assert told == [
        ("sent", "", 3, 2),
        ("unknown", "nobody heard", 0, 0),
        ("refused", "93000: no such robot", None, None),
    ]
    assert report.clicks == {"A": 4}
    assert report.closes_at == NOON + one.window_s
    assert not report.arms
