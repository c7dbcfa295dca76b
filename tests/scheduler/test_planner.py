"""The planner: who gets a campaign and by which way, decided before anything leaves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import planner
from scheduler.planner import Account, Choice, Plan, Planner, Terms
from scheduler.rules import CampaignRules
from store import Store, mass_quota
from store.audience import Person
from store.campaigns import Campaign, Variant
from store.dialect import Connection
from tests.blank import blank

NOON = datetime.fromisoformat("2026-11-21T12:00:00+08:00").timestamp()
NIGHT = datetime.fromisoformat("2026-11-21T23:00:00+08:00").timestamp()
EIGHT = datetime.fromisoformat("2026-11-22T08:00:00+08:00").timestamp()
DAY_S = 86_400.0
SEED = bytes(range(16))
SERVICE, SUBSCRIPTION = Account("service"), Account("subscription")


def terms(*routes: str, **fields: Any) -> Terms:
    """A marketing campaign to some; "custom", then a list, by a service account."""
    usual: dict[str, Any] = {
        "at": NOON,
        "routes": routes or ("custom", "mass_list"),
        "account": SERVICE,
        "marketing": True,
        "seed": SEED,
        "variants": (("A", 1),),
    }
    return Terms(**{**usual, **fields})


def person(member_id: int = 1, **fields: Any) -> Person:
    """A follower who wrote lately and got nothing yet."""
    usual: dict[str, Any] = {"allowance": 5, "allowance_until": NOON + DAY_S}
    return Person(member_id, f"o_{member_id}", **{**usual, **fields})


def silent(member_id: int = 1, **fields: Any) -> Person:
    """A follower whom only a mass send reaches."""
    return person(member_id, allowance=0, allowance_until=0.0, **fields)


def plan(people: list[Person], on: Terms) -> Plan:
    """The plan for these people."""
    made = Planner(on)
    for one in people:
        made.add(one)
    return made.plan()


# One member


def test_who_may_be_written_to_gets_it_by_the_first_route_that_is_open() -> None:
    assert planner.choose(person(), terms()) == Choice("planned", "custom", "", "A", NOON)
    assert planner.choose(silent(), terms()).route == "mass_list"
    listed = planner.choose(person(), terms("mass_list", "mass_tag", "custom"))
    assert (listed.route, listed.fallback) == ("mass_list", "custom"), "if it were alone on a list"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"followed": False, "blocked": True, "opted_out": True}, "not_following"),
        ({"blocked": True, "opted_out": True}, "blocked"),
        ({"opted_out": True, "sent_day": 9, "sent_week": 9}, "opted_out"),
        ({"sent_day": 1, "sent_week": 1}, "capped"),
        ({"sent_week": 4}, "capped"),
        ({"allowance": 1, "mass_month": 4}, "quota"),
    ],
)
def test_who_is_left_out_is_left_out_for_the_first_reason(
    fields: dict[str, Any], reason: str
) -> None:
    assert planner.choose(person(**fields), terms()) == Choice("skipped", reason=reason)


def test_the_last_message_of_a_window_is_kept_for_an_answer() -> None:
    on = terms("custom")
    assert planner.choose(person(allowance=2), on).status == "planned"
    assert planner.choose(person(allowance=1), on).reason == "unreachable"
    assert planner.choose(person(allowance_until=NOON), on).reason == "unreachable"


def test_a_window_that_closes_before_the_message_leaves_is_closed() -> None:
    closing = person(allowance_until=NOON + 60)
    assert planner.choose(closing, terms()).route == "custom"
    assert planner.choose(closing, terms(), NOON + 61).route == "mass_list"
    night = terms(at=NIGHT)
    until_eight = person(allowance_until=EIGHT)
    assert planner.choose(until_eight, night).route == "mass_list", "it leaves at eight"


def test_caps_of_nought_are_none() -> None:
    free = CampaignRules(cap_day=0, cap_week=0)
    assert planner.choose(person(sent_day=99, sent_week=99), terms(rules=free)).status == "planned"


def test_marketing_never_goes_as_a_notice() -> None:
    allowed = silent(grants=1)
    assert planner.choose(allowed, terms("notice", "template")).reason == "unreachable"
    plain = terms("notice", "template", marketing=False)
    assert planner.choose(allowed, plain).route == "notice"
    assert planner.choose(silent(), plain).route == "template", "no grant left"


def test_an_account_takes_only_the_routes_it_has() -> None:
    everything = planner.ROUTES
    said = {"marketing": False, "everyone": True}
    assert terms(*everything, **said).passable == everything
    assert terms(*everything, account=SUBSCRIPTION, **said).passable == (
        "custom",
        "mass_tag",
        "mass_all",
    )
    assert terms(*everything, account=Account("service", verified=False), **said).passable == ()
    assert terms("carrier-pigeon").passable == ()


def test_a_send_to_all_is_never_instead_of_a_narrower_audience() -> None:
    assert terms("mass_all").passable == ()
    assert terms("mass_all", everyone=True).passable == ("mass_all",)


def test_nothing_is_due_in_the_quiet_hours() -> None:
    assert planner.choose(silent(), terms(at=NIGHT)).due_at == EIGHT
    awake = CampaignRules(quiet=(time(0), time(0)))
    assert planner.choose(silent(), terms(at=NIGHT, rules=awake)).due_at == NIGHT


def test_each_has_their_own_hour_or_the_audiences() -> None:
    best = terms(timing="best", best_hour=20)
    assert planner.due(person(hour=18), best) == NOON + 6 * 3600
    assert planner.due(person(), best) == NOON + 8 * 3600
    assert planner.due(person(), terms(timing="best")) == NOON
    # What is due tomorrow is not capped by today.
    tomorrow = person(hour=9, sent_day=1, sent_week=1)
    assert planner.choose(tomorrow, best).status == "planned"


# The split


def test_the_same_seed_gives_the_same_split_for_ever() -> None:
    """Figures of the first release: campaigns under way at an update go on as they began."""
    found = [planner.bucket(SEED, member_id) for member_id in (1, 2, 3, 4, 1_000_003)]
    assert [f"{one:.12f}" for one in found] == GOLDEN
    assert planner.bucket(bytes(16), 1) != planner.bucket(SEED, 1)


GOLDEN = ["0.055714402341", "0.300545694317", "0.487731117656", "0.471985666252", "0.395252120295"]


def test_members_are_spread_evenly_and_variants_get_their_weights() -> None:
    """Five standard deviations either side: a fair split is outside once in a million seeds."""
    count = 20_000
    on = terms("mass_list", holdout=0.1, test_share=0.2, variants=(("A", 3), ("B", 1)))
    got = Counter(
        (choice.status, choice.variant)
        for choice in (planner.choose(silent(one), on) for one in range(1, count + 1))
    )
    shares = {
        ("held", ""): 0.1,
        ("waiting", ""): 0.9 * 0.8,
        ("planned", "A"): 0.9 * 0.2 * 0.75,
        ("planned", "B"): 0.9 * 0.2 * 0.25,
    }
    assert set(got) == set(shares)
    for what, share in shares.items():
        assert abs(got[what] - share * count) < 5 * math.sqrt(count * share * (1 - share)), what


def test_two_campaigns_split_the_same_members_differently() -> None:
    on = [terms(seed=seed, variants=(("A", 1), ("B", 1))) for seed in (SEED, SEED[::-1])]
    both = Counter(
        tuple(planner.choose(person(one), each).variant for each in on) for one in range(1, 4001)
    )
    assert all(900 < both[a, b] < 1100 for a in "AB" for b in "AB")


def test_a_variant_without_weight_is_never_sent() -> None:
    split = (("A", 0), ("B", 1), ("C", 0))
    assert {planner.variant_at(place / 100, split) for place in range(100)} == {"B"}
    assert planner.variant_at(math.nextafter(1.0, 0.0), (("A", 1), ("B", 1))) == "B"
    assert planner.variant_at(0.5, ()) == ""


# Parts


@given(st.integers(0, 50_000), st.integers(2, 10_000))
def test_parts_hold_everybody_and_nobody_is_alone(members: int, part: int) -> None:
    sizes = planner.parts_of(members, part)
    assert sum(sizes) == members
    assert all(size <= max(part, 3) for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert not sizes or sizes[0] - sizes[-1] <= 1
    if members > 1:
        assert min(sizes) >= 2


def test_parts_are_balanced() -> None:
    assert planner.parts_of(0, 10_000) == []
    assert planner.parts_of(1, 10_000) == [1]
    assert planner.parts_of(10_001, 10_000) == [5001, 5000]
    assert planner.parts_of(5, 2) == [3, 2]


# The plan

PEOPLE = st.builds(
    Person,
    st.integers(1, 10**6),
    st.just("o"),
    st.booleans(),
    st.sampled_from((False, False, True)),
    st.sampled_from((False, False, True)),
    st.integers(0, 5),
    st.sampled_from((0.0, NOON + 5, NOON + DAY_S, NOON + 2 * DAY_S)),
    st.integers(0, 6),
    st.integers(0, 2),
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from((None, 3, 12, 20)),
)
ROUTES = st.lists(st.sampled_from(planner.ROUTES), unique=True, max_size=6).map(tuple)


@given(
    st.lists(PEOPLE, unique_by=lambda one: one.member_id, max_size=40),
    st.builds(
        terms,
        at=st.sampled_from((NOON, NIGHT)),
        routes=ROUTES,
        account=st.sampled_from((SERVICE, SUBSCRIPTION)),
        marketing=st.booleans(),
        everyone=st.booleans(),
        seed=st.binary(min_size=16, max_size=16),
        variants=st.sampled_from(((("A", 1),), (("A", 1), ("B", 2)))),
        holdout=st.sampled_from((0.0, 0.05, 0.5)),
        test_share=st.sampled_from((0.0, 0.1, 0.5)),
        test_s=st.sampled_from((0.0, 3600.0)),
        timing=st.sampled_from(("at", "best")),
        mass_left=st.sampled_from((None, 0, 1)),
        all_left=st.integers(0, 1),
    ),
    st.integers(0, 3),
)
def test_everybody_is_counted_once_and_nobody_goes_over_quota(
    people: list[Person], on: Terms, strangers: int
) -> None:
    made = Planner(on)
    chosen = [(one, made.add(one)) for one in sorted(people)]
    made.strangers(strangers)
    told = made.plan()
    assert told.matched == len(people) + strangers
    assert told.recipients + told.held + sum(told.skipped.values()) == told.matched
    assert sum(told.routes.values()) == sum(told.variants.values()) == told.recipients
    assert ("nobody" in told.problems) == (told.recipients == 0)
    assert told.ends_at >= on.at
    assert set(told.sample) <= {one.member_id for one, _ in chosen}
    for one, choice in chosen:
        if choice.status in ("planned", "waiting"):
            assert choice.route in on.passable
            assert choice.due_at is not None
            assert choice.due_at >= on.at
            assert one.followed
            assert not one.blocked
            assert not one.opted_out
            if choice.route in planner.MASS and on.account.kind == "service":
                assert one.mass_month < 4
            if choice.route == "custom":
                assert one.allowance > 1
                assert one.allowance_until > on.at
    assert all(1 <= had <= 4 for had in told.quota)
    if on.account.kind == "service":
        by_mass = sum(count for route, count in told.routes.items() if route in planner.MASS)
        assert sum(told.quota.values()) == by_mass


def test_calls_are_counted_as_wechat_counts_them() -> None:
    people = [silent(one) for one in range(1, 252)]
    lists = plan(people, terms("mass_list", rules=CampaignRules(part=100)))
    assert lists.calls == {"message/mass/send": 3}
    tagged = plan(people, terms("mass_tag"))
    assert tagged.calls == {
        "tags/create": 1,
        "tags/members/batchtagging": 6,
        "message/mass/sendall": 1,
        "tags/delete": 1,
    }
    two = plan(people, terms("mass_tag", variants=(("A", 1), ("B", 1))))
    assert two.calls["message/mass/sendall"] == 2, "each variant is a send of its own"


def test_one_left_over_for_a_list_goes_another_way_or_not_at_all() -> None:
    quiet = silent(7, mass_month=2)
    alone = plan([quiet], terms("mass_list"))
    assert (alone.recipients, alone.skipped, alone.calls) == (0, {"alone": 1}, {})
    assert (alone.quota, alone.problems) == ({}, ("nobody",))
    other = plan([person(7)], terms("mass_list", "mass_tag", "custom"))
    assert (other.routes, other.skipped, other.quota) == ({"custom": 1}, {}, {})


def test_the_queue_pushes_messages_past_their_windows() -> None:
    """60 a minute: who is 512th leaves more than eight minutes after the first."""
    slow = CampaignRules(custom_per_minute=60)
    people = [person(one, allowance_until=NOON + 500) for one in range(1, 601)]
    told = plan(people, terms(rules=slow))
    assert told.routes == {"custom": 512, "mass_list": 88}
    assert told.seconds == pytest.approx(512 + 2)


@pytest.mark.parametrize("tested", [{}, {"test_share": 0.5, "test_s": 600.0}])
def test_a_freeze_that_goes_on_plans_what_one_in_a_piece_plans(tested: dict[str, float]) -> None:
    slow = CampaignRules(custom_per_minute=60)
    people = [person(one, allowance_until=NOON + 700) for one in range(1, 1201)]
    on = terms(rules=slow, **tested)
    whole = Planner(on)
    at_once = [whole.add(one) for one in people]
    first = Planner(on)
    chosen = [first.add(one) for one in people[:701]]
    queued = Counter(one.due_at for one in chosen if one.route == "custom" and one.due_at)
    second = Planner(on, queued)
    assert chosen + [second.add(one) for one in people[701:]] == at_once


def test_the_end_waits_for_the_morning_and_for_the_test() -> None:
    slow = CampaignRules(custom_per_minute=60)
    late = datetime.fromisoformat("2026-11-21T21:59:00+08:00").timestamp()
    people = [person(one, allowance_until=late + 3 * DAY_S) for one in range(1, 121)]
    told = plan(people, terms("custom", at=late, rules=slow))
    assert (told.seconds, told.ends_at) == (120.0, EIGHT + 60)
    tested = plan(people, terms("custom", rules=slow, test_share=0.5, test_s=3600.0))
    assert tested.variants["A"] + tested.variants[""] == 120
    assert tested.ends_at == NOON + 3600 + tested.variants[""]


def test_more_calls_than_the_day_has_left_are_said_before() -> None:
    rules = CampaignRules(custom_per_day=100)
    used = {"message/custom/send": 99}
    people = [person(1), person(2)]
    assert plan(people, terms("custom", rules=rules, used=used)).problems == ("api_quota",)
    assert plan(people[:1], terms("custom", rules=rules, used=used)).problems == ()


def test_a_subscription_account_sends_once_a_day() -> None:
    people = [silent(1), silent(2)]
    on = {"account": SUBSCRIPTION, "mass_left": 1}
    assert plan(people, terms("mass_tag", **on)).problems == ()
    two = terms("mass_tag", variants=(("A", 1), ("B", 1)), seed=bytes(16), **on)
    assert plan([silent(one) for one in range(1, 40)], two).problems == ("day_quota",)
    spent = plan(people, terms("mass_tag", account=SUBSCRIPTION, mass_left=0))
    assert (spent.skipped, spent.problems) == ({"quota": 2}, ("nobody", "day_quota"))


def test_a_send_to_all_that_was_made_today_is_not_made_again() -> None:
    told = plan([silent(1)], terms("mass_all", everyone=True, all_left=0))
    assert (told.skipped, told.problems) == ({"quota": 1}, ("nobody", "day_quota"))


@pytest.mark.parametrize(
    "fields",
    [
        {"holdout": 0.5},
        {"variants": (("A", 1), ("B", 1))},
        {"routes": ("custom", "mass_all")},
    ],
)
def test_a_send_to_all_leaves_nobody_out(fields: dict[str, Any]) -> None:
    people = [person(1), *(silent(one) for one in range(2, 30))]
    usual = {"routes": ("mass_all",), "everyone": True}
    assert plan(people, terms(**usual)).problems == ()
    assert plan(people, terms(**{**usual, **fields})).problems == ("to_all",)
    unwilling = [*people, silent(99, opted_out=True)]
    assert plan(unwilling, terms(**usual)).problems == ("to_all",)


def test_the_sample_is_from_all_over() -> None:
    told = plan([silent(one) for one in range(1, 10_001)], terms("mass_list"))
    assert len(told.sample) == 10
    assert told.sample[0] < 1000
    assert told.sample[-1] > 9000
    assert plan([], terms()).sample == ()


# The forecast: the same over a store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    yield store
    await store.close()


def campaign(**fields: Any) -> Campaign:
    """A campaign to everyone; nothing of it is stored."""
    nothing = dict.fromkeys(
        ("best_hour", "frozen_at", "decided_at", "confirmed_at", "started_at", "ended_at")
    )
    usual: dict[str, Any] = {
        "id": 1,
        "title": "双十二",
        "channel": "mp",
        "audience": "everyone",
        "variants": (Variant(content={"kind": "text", "text": "好"}),),
        "holdout": 0.0,
        "status": "draft",
        "seed": SEED,
        "planned": 0,
        "frozen_to": 0,
        "approved": 0,
        "next_part": 1,
        "failures": 0,
        "note": "",
        "winner": "",
        "created_at": NOON,
        "created_by": "cli",
    }
    return Campaign(**{**nothing, **usual, **fields})


async def follow(store: Store, count: int, channel: str = "mp") -> list[int]:
    """So many followers; their numbers."""
    numbers = []
    for one in range(count):
        member = await store.members.meet(channel, f"o_{channel}_{one}", NOON - DAY_S)
        numbers.append(member.id)

    def run(conn: Connection) -> None:
        conn.execute("update identities set followed = 1, followed_at = ?", (NOON - DAY_S,))

    await store.db.write(run)
    return numbers


async def test_a_forecast_counts_quotas_and_strangers(store: Store) -> None:
    members = await follow(store, 5)
    await follow(store, 2, "other")

    def run(conn: Connection) -> None:
        for _ in range(4):
            mass_quota.take(conn, "mp", "2026-11", members[:1])
        mass_quota.take(conn, "mp", "2026-11", members[1:2])

    await store.db.write(run)
    told = await planner.forecast(store, campaign(), CampaignRules(), SERVICE, NOON)
    assert (told.matched, told.recipients) == (7, 4)
    assert told.skipped == {"quota": 1, "unreachable": 2}
    assert told.quota == {1: 3, 2: 1}
    assert told.sample == tuple(members[1:])
    later = await planner.forecast(store, campaign(), CampaignRules(), SERVICE, NOON + 15 * DAY_S)
    assert later.skipped == {"unreachable": 2}, "a new month"


async def test_a_forecast_reads_page_after_page(store: Store) -> None:
    await follow(store, planner.PAGE + 3)
    told = await planner.forecast(store, campaign(), CampaignRules(), SERVICE, NOON)
    assert told.recipients == planner.PAGE + 3


async def test_a_forecast_of_nobody_says_so(store: Store) -> None:
    told = await planner.forecast(store, campaign(), CampaignRules(), SERVICE, NOON)
    assert (told.matched, told.problems) == (0, ("nobody",))
