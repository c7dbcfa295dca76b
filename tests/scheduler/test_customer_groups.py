"""Customer groups in step with WeCom: by full rounds, by events, and through every failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.fake_customers import GET, LIST
from sandbox.fake_qyapi import Answer, Call, QyError
from scheduler.customer_groups import MOST_WAITING, GroupChange, GroupSync
from store.customer_members import Move
from store.groups import Group, place_of
from tests.bot.customer_world import CHANNEL, NOON, World, world
from tests.build_customers import changed, event


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "zhiqun.db") as one:
        yield one


def known(there: World, chat_id: str) -> Group:
    found = there.store.groups.known(place_of(CHANNEL, chat_id))
    assert found is not None
    return found


# Full rounds


async def test_a_round_finds_groups_and_nobody_of_those_that_no_operator_bound(
    there: World,
) -> None:
    there.wecom.group("a", "zhang", "学习群")
    there.wecom.join("a", "wm1", "小林")
    assert await there.sync.run() == "kehu: 1 groups, 1 read"
    group = known(there, "a")
    assert (group.name, group.owner, group.bound) == ("学习群", "zhang", False)
    assert await there.inside("a") == {}
    assert there.store.members.known(CHANNEL, "wm1") is None


async def test_a_bound_group_has_its_people_with_their_names(there: World) -> None:
    await there.bound("a")
    assert await there.inside("a") == {"wm_a_1": "小林", "wm_a_2": "阿木", "zhang": "zhang"}
    (one,) = [p for p in await there.store.groups.members("kehu:a") if p.name == "小林"]
    assert one.since == NOON
    assert one.welcomed_at is not None, "nobody is welcomed where nobody can be"


async def test_who_came_went_or_is_called_otherwise_is_found(there: World) -> None:
    await there.bound("a")
    there.wecom.leave("a", "wm_a_1")
    there.wecom.groups["a"].people["wm_a_2"].name = "阿木木"
    there.clock.at += 1800
    there.wecom.join("a", "wm_new", "新人")
    there.wecom.groups["a"].name = "新名字"
    await there.sync.run()
    assert await there.inside("a") == {"wm_a_2": "阿木木", "wm_new": "新人", "zhang": "zhang"}
    assert known(there, "a").name == "新名字"
    there.wecom.join("a", "wm_a_1", "小林")
    there.clock.at += 1800
    await there.sync.run()
    assert "wm_a_1" in await there.inside("a"), "who came back is there again"


async def test_a_group_that_is_not_listed_any_more_has_gone(there: World) -> None:
    await there.bound("a", "b")
    there.wecom.dissolve("a")
    there.clock.at += 60
    await there.sync.run()
    assert not known(there, "a").bound
    assert await there.inside("a") == {}
    assert known(there, "b").bound
    # WeCom lists it again: it was bound, and is.
    there.wecom.group("a", "zhang")
    there.clock.at += 3600
    await there.sync.run()
    assert known(there, "a").bound
    assert await there.inside("a") == {"zhang": "zhang"}


async def test_a_list_that_was_not_heard_takes_no_group_away(there: World) -> None:
    await there.bound("a")
    for fault in ("busy", "500", "cut", "broken"):
        there.host.faults = lambda call, fault=fault: fault if call.path == LIST else ""  # type: ignore[misc]
        assert await there.sync.run() == "kehu: not read"
    assert known(there, "a").bound


async def test_half_a_list_takes_no_group_away(there: World) -> None:
    await there.bound("a", "b", "c")
    there.wecom.page = 2
    there.host.faults = lambda call: "500" if b"cursor" in call.body else ""
    assert await there.sync.run() == "kehu: not read"
    assert known(there, "c").bound


async def test_a_round_that_breaks_off_goes_on_where_it_stopped(there: World) -> None:
    await there.bound("a", "b", "c", "d")
    there.clock.at += 3600
    reads: list[str] = []

    def fault(call: Call) -> str:
        if call.path == GET:
            reads.append(call.json["chat_id"])
            return "500" if len(reads) == 3 else ""
        return ""

    there.host.faults = fault
    assert await there.sync.run() == "kehu: 4 groups, 2 read, 1 not"
    there.clock.at += 60
    assert await there.sync.run() == "kehu: 4 groups, 2 read"
    assert reads == ["a", "b", "c", "c", "d"]


def refuse(there: World, chat_id: str, errcode: int) -> None:
    """WeCom answers with an errcode whenever this group is to be read."""
    get = there.host._endpoints["POST", GET]

    def some(call: Call) -> Answer:
        if call.json["chat_id"] == chat_id:
            raise QyError(errcode, "no")
        return get(call)

    there.host.add("POST", GET, some)


async def test_one_group_that_wecom_refuses_does_not_keep_the_others(there: World) -> None:
    await there.bound("a", "b")
    there.clock.at += 3600
    refuse(there, "a", 40058)
    assert await there.sync.run() == "kehu: 2 groups, 1 read, 1 not"


@pytest.mark.parametrize("errcode", [45009, 48002, -1])
async def test_a_wecom_that_turns_us_away_is_left_alone(there: World, errcode: int) -> None:
    await there.bound("a", "b", "c")
    there.clock.at += 3600
    refuse(there, "b", errcode)
    assert await there.sync.run() == "kehu: 3 groups, 1 read, 1 not"


async def test_what_is_fresh_is_not_read_again(there: World) -> None:
    await there.bound("a")
    reads = there.host.calls[GET]
    there.clock.at += 60
    await there.sync.run()
    assert there.host.calls[GET] == reads
    there.clock.at += 1800
    await there.sync.run()
    assert there.host.calls[GET] == reads + 1


async def test_a_group_that_nobody_bound_is_read_once_a_day(there: World) -> None:
    there.wecom.group("a", "zhang")
    for _ in range(50):
        await there.sync.run()
        there.clock.at += 1800
    assert there.host.calls[GET] == 2


async def test_a_stop_ends_a_round_between_two_groups(there: World) -> None:
    await there.bound("a", "b")
    there.clock.at += 3600
    there.stopping = True
    assert await there.sync.run() == "kehu: 2 groups, 0 read"


async def test_a_group_of_500_is_read_in_slices_and_then_costs_no_write(there: World) -> None:
    there.wecom.group("big", "zhang")
    for number in range(499):
        there.wecom.join("big", f"wm{number}", f"群友{number}")
    await there.sync.run()
    await there.store.groups.bind("kehu:big", there.clock(), "member:1")
    there.clock.at += 1
    await there.sync.run()
    assert len(await there.inside("big")) == 500
    there.clock.at += 1800
    changed = await there.store.customer_members.keep(
        CHANNEL,
        "big",
        (await there.client.group("big")).people,  # type: ignore[union-attr]
        there.clock(),
    )
    assert changed == (0, 0, 0)


# Events


async def test_who_came_and_went_is_known_without_a_call(there: World) -> None:
    await there.bound("a")
    calls = sum(there.host.calls.values())
    await there.event(changed("a", "add_member", ("wm7", "wm8"), created=there.clock()))
    await there.event(changed("a", "del_member", ("wm_a_1",), created=there.clock()))
    assert set(await there.inside("a")) == {"wm7", "wm8", "wm_a_2", "zhang"}
    assert sum(there.host.calls.values()) == calls


async def test_who_came_and_went_within_a_second_is_as_the_last_event_says(there: World) -> None:
    await there.bound("a")
    at = there.clock()
    there.post(changed("a", "add_member", ("wm7",), created=at))
    await there.event(changed("a", "del_member", ("wm7",), created=at))
    assert "wm7" not in await there.inside("a")
    at = there.clock()
    there.post(changed("a", "del_member", ("wm_a_1",), created=at))
    await there.event(changed("a", "add_member", ("wm_a_1",), created=at))
    assert "wm_a_1" in await there.inside("a")


async def test_many_events_of_a_group_are_one_reading(there: World) -> None:
    await there.bound("a")
    reads = there.host.calls[GET]
    there.wecom.hand_over("a", "li")
    for number in range(9):
        plain = changed("a", "change_name", created=there.clock() - number)
        there.post(plain)
    assert await there.sync.tick() == "", "more may come within a few seconds"
    await there.event(changed("a", "change_owner", created=there.clock()))
    assert there.host.calls[GET] == reads + 1
    assert known(there, "a").owner == "li"
    assert await there.sync.tick() == ""


async def test_a_new_group_is_met_by_its_event(there: World) -> None:
    there.wecom.group("new", "zhang", "新群")
    await there.event(changed("new", kind="create"))
    assert known(there, "new").name == "新群"


async def test_a_dissolved_group_is_gone_at_once(there: World) -> None:
    await there.bound("a")
    there.wecom.dissolve("a")
    calls = sum(there.host.calls.values())
    await there.event(changed("a", kind="dismiss"))
    assert known(there, "a").left_at is not None
    assert await there.inside("a") == {}
    assert sum(there.host.calls.values()) == calls
    await there.event(changed("unheard of", kind="dismiss"))


async def test_a_group_that_went_before_it_was_read_is_gone(there: World) -> None:
    await there.bound("a")
    there.wecom.dissolve("a")
    await there.event(changed("a", "change_name"))
    assert known(there, "a").left_at is not None


async def test_nothing_is_kept_of_members_of_a_group_that_no_operator_bound(there: World) -> None:
    there.wecom.group("a", "zhang")
    await there.sync.run()
    await there.event(changed("a", "add_member", ("wm7",)))
    await there.event(event("change_external_contact", ExternalUserID="wm7"))
    assert await there.store.members.find("wm7", CHANNEL) == []


async def test_an_event_that_could_not_be_followed_is_followed_later(there: World) -> None:
    await there.bound("a")
    there.wecom.groups["a"].name = "新名字"
    there.host.faults = lambda call: "500"
    await there.event(changed("a", "change_name"))
    there.host.faults = lambda call: ""
    assert await there.sync.tick() == "", "not at once"
    there.clock.at += 61
    await there.sync.tick()
    assert known(there, "a").name == "新名字"


async def test_an_event_that_a_restart_lost_is_found_by_the_next_round(there: World) -> None:
    await there.bound("a")
    there.wecom.join("a", "wm7", "新人")
    there.sync.hear(CHANNEL, GroupChange("a"))
    there.restart()
    assert await there.sync.tick() == ""
    there.clock.at += 1800
    await there.sync.run()
    assert "wm7" in await there.inside("a")


async def test_a_flood_of_events_becomes_a_round(there: World) -> None:
    await there.bound("a")
    there.wecom.join("a", "wm7", "新人")
    for number in range(MOST_WAITING):
        there.sync.hear(CHANNEL, GroupChange(f"made up {number}", whole=True, dismissed=True))
    there.sync.hear(CHANNEL, GroupChange("a"))
    there.clock.at += 1800
    await there.sync.tick()
    assert "wm7" in await there.inside("a")


async def test_too_many_comings_and_goings_become_a_reading(there: World) -> None:
    await there.bound("a")
    reads = there.host.calls[GET]
    for number in range(501):
        move = Move(f"wm_made_up_{number}", True, there.clock())
        there.sync.hear(CHANNEL, GroupChange("a", (move,), whole=True))
    there.clock.at += 5
    await there.sync.tick()
    assert there.host.calls[GET] == reads + 1
    assert not [one for one in await there.inside("a") if one.startswith("wm_made_up")]


async def test_events_of_a_channel_that_is_not_ours_are_nothing(there: World) -> None:
    there.sync.hear("other", GroupChange("a"))
    there.clock.at += 5
    assert await there.sync.tick() == "1 customer groups changed"
    none = GroupSync(there.store, {}, now=there.clock, every_s=60)
    assert await none.run() == ""
