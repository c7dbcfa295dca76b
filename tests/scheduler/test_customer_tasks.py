"""Tasks of customer groups: asked for once, whatever happens, until an employee has confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.fake_customers import ASK, CANCEL, REMIND, RESULT, TASK, UPLOAD
from sandbox.fake_qyapi import Answer, Call, QyError
from scheduler.customer_tasks import GIVE_UP_S, pause_s
from store.customer_groups import quota_left
from store.customer_messages import Attachment, CustomerMessage
from store.groups import place_of
from tests.bot.customer_world import CHANNEL, NOON, World, world
from tests.build_customers import changed

DAY = 86_400.0


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "zhiqun.db") as one:
        yield one


def refuse(there: World, path: str, errcode: int, times: int = 10_000) -> None:
    """WeCom answers an API so often with an errcode, and does nothing."""
    good = there.host._endpoints["POST", path]
    left = [times]

    def bad(call: Call) -> Answer:
        if not left[0]:
            return good(call)
        left[0] -= 1
        raise QyError(errcode, "no")

    there.host.add("POST", path, bad)


def said(there: World, chat_id: str) -> list[str]:
    """The words that stand in a group."""
    return [one["text"]["content"] for one in there.wecom.groups[chat_id].said]


# The good way


async def test_a_task_waits_for_its_employee_and_ends_group_by_group(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    assert await there.runner.tick() == "1 tasks asked for"
    assert await there.statuses() == [("waiting", {"waiting": 2})]
    assert said(there, "a") == [], "nothing is sent before the employee confirms"
    await there.pass_time(1800)
    assert await there.statuses() == [("waiting", {"waiting": 2})]
    assert there.wecom.employee_confirms("zhang") == 2
    assert said(there, "a") == said(there, "b") == ["今晚八点直播"]
    await there.pass_time(3600)
    assert await there.statuses() == [("done", {"sent": 2})]
    assert await there.runner.tick() == ""
    assert there.host.calls[ASK] == 1


async def test_nothing_planned_costs_nothing(there: World) -> None:
    assert await there.runner.tick() == ""
    assert sum(there.host.calls.values()) == 0


async def test_each_owner_confirms_for_their_own_groups(there: World) -> None:
    await there.bound("a")
    await there.bound("b", owner="li")
    await there.plan("a")
    await there.plan("b", word="li", sender="li")
    await there.runner.tick()
    there.wecom.employee_confirms("li")
    await there.pass_time(600)
    assert await there.statuses() == [("waiting", {"waiting": 1}), ("done", {"sent": 1})]


async def test_groups_that_had_their_message_today_are_named(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    await there.runner.tick()
    there.wecom.employee_sends("a")
    there.wecom.employee_confirms("zhang")
    await there.pass_time(600)
    assert await there.statuses() == [("done", {"quota": 1, "sent": 1})]


async def test_looks_become_rarer(there: World) -> None:
    assert [pause_s(age) for age in (0, 600, 1200, 7200, DAY)] == [300, 300, 600, 3600, 3600]
    await there.bound("a")
    await there.plan("a")
    await there.pass_time(DAY)
    assert 25 <= there.host.calls[TASK] <= 40
    assert there.host.calls[RESULT] == 0, "who did nothing has no results"


# Employees, groups and owners


async def test_an_employee_who_never_confirms_is_reminded_once_and_then_given_up(
    there: World,
) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b", remind=True)
    await there.pass_time(DAY - 600, step=1800)
    assert there.host.calls[REMIND] == 0
    await there.pass_time(GIVE_UP_S - DAY, step=1800)
    assert there.host.calls[REMIND] == 1
    assert await there.statuses() == [("waiting", {"waiting": 2})]
    await there.pass_time(2 * 3600)
    assert await there.statuses() == [("done", {"unsent": 2})]
    # A week later they find it: it is not there any more.
    assert there.wecom.employee_confirms("zhang") == 0


async def test_nobody_is_reminded_who_was_not_to_be(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    await there.pass_time(2 * DAY, step=3600)
    assert there.host.calls[REMIND] == 0


async def test_a_reminder_that_nobody_heard_of_is_not_repeated(there: World) -> None:
    await there.bound("a")
    await there.plan("a", remind=True)
    await there.pass_time(DAY - 600, step=3600)
    there.host.faults = lambda call: "lost" if call.path == REMIND else ""
    await there.pass_time(DAY, step=3600)
    assert there.host.calls[REMIND] == 1


async def test_an_employee_who_confirms_at_the_last_moment_is_counted(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    await there.runner.tick()
    there.clock.at += GIVE_UP_S + 1
    there.wecom.employee_confirms("zhang")
    await there.runner.tick()
    assert await there.statuses() == [("done", {"sent": 1})]


async def test_a_group_dissolved_before_it_was_asked_for_is_left_out(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    there.wecom.dissolve("a")
    await there.event(changed("a", kind="dismiss"))
    await there.runner.tick()
    assert next(iter(there.wecom.tasks.values())).body["chat_id_list"] == ["b"]


async def test_a_group_dissolved_unheard_of_is_not_taken_by_wecom(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    there.wecom.dissolve("a")
    await there.runner.tick()
    assert await there.statuses() == [("waiting", {"refused": 1, "waiting": 1})]


async def test_a_group_dissolved_while_the_employee_waits_is_gone(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    await there.runner.tick()
    there.wecom.dissolve("a")
    there.wecom.employee_confirms("zhang")
    await there.pass_time(600)
    assert await there.statuses() == [("done", {"gone": 1, "sent": 1})]


async def test_a_group_that_changed_hands_is_confirmed_by_its_new_owner(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a", "b")
    there.wecom.hand_over("b", "li")
    await there.event(changed("b", "change_owner"))
    await there.runner.tick()
    assert there.wecom.employee_confirms("zhang") == 1
    assert there.wecom.employee_confirms("li") == 1
    await there.pass_time(600)
    assert await there.statuses() == [("done", {"sent": 1}), ("done", {"sent": 1})]


async def test_only_employees_who_may_be_asked_are_asked(tmp_path: Path) -> None:
    async with world(tmp_path / "zhiqun.db", senders=("zhang",)) as there:
        await there.bound("a", "b")
        await there.plan("a", "b")
        there.wecom.hand_over("b", "li")
        await there.event(changed("b", "change_owner"))
        await there.runner.tick()
        assert not there.wecom.waiting("li")
        assert await there.statuses() == [("waiting", {"unsent": 1, "waiting": 1})]


async def test_a_task_whose_groups_all_belong_to_others_is_refused_once(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    there.wecom.hand_over("a", "li")
    await there.runner.tick()
    await there.pass_time(3600)
    assert await there.statuses() == [("refused", {"refused": 1})]
    assert there.host.calls[ASK] == 1


# Calls that fail


@pytest.mark.parametrize("fault", ["lost", "cut", "500", "broken", "huge"])
async def test_a_task_that_may_have_been_made_is_never_asked_for_again(
    there: World, fault: str
) -> None:
    await there.bound("a")
    await there.plan("a")
    there.host.faults = lambda call: fault if call.path == ASK else ""
    await there.runner.tick()
    there.host.faults = lambda call: ""
    there.restart()
    await there.pass_time(2 * 3600)
    assert await there.statuses() == [("unknown", {"unknown": 1})]
    assert there.host.calls[ASK] == 1
    (line,) = await there.store.customer_tasks.listed()
    assert "outcome unknown" in line.note


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_during_the_call_leaves_an_unknown_behind(there: World, moment: str) -> None:
    """The process ends between the intent and the answer: WeCom may have the task or not."""
    await there.bound("a")
    await there.plan("a")
    there.host.hang_s = 30.0
    fault = "stall" if moment == "before" else "hang"
    there.host.faults = lambda call: fault if call.path == ASK else ""
    ticking = asyncio.create_task(there.runner.tick())
    async with asyncio.timeout(5):
        while not there.host.calls[ASK]:
            await asyncio.sleep(0.005)
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    assert await there.statuses() == [("sending", {"waiting": 1})]
    there.host.faults = lambda call: ""
    there.restart()
    await there.runner.tick()
    assert there.host.calls[ASK] == 1
    await there.pass_time(600)
    assert await there.statuses() == [("unknown", {"unknown": 1})]
    assert there.host.calls[ASK] == 1
    assert len(there.wecom.tasks) == (0 if moment == "before" else 1)


async def test_two_processes_ask_for_a_task_once(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a")
    await there.plan("b", word="b")
    first = there.runner
    there.restart()
    await asyncio.gather(first.tick(), there.runner.tick())
    assert there.host.calls[ASK] == 2
    assert len(there.wecom.tasks) == 2


async def test_what_certainly_was_not_made_is_asked_for_again(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    there.host.faults = lambda call: "busy" if call.path == ASK else ""
    await there.runner.tick()
    assert await there.statuses() == [("planned", {"waiting": 1})]
    there.host.faults = lambda call: ""
    assert await there.runner.tick() == "", "the channel rests"
    there.clock.at += 61
    assert await there.runner.tick() == "1 tasks asked for"


async def test_a_wecom_that_is_too_busy_is_left_alone_for_ever_longer(there: World) -> None:
    await there.bound("a", "b", "c")
    for chat_id in ("a", "b", "c"):
        await there.plan(chat_id, word=chat_id)
    refuse(there, ASK, 45009)
    await there.pass_time(3600, step=20)
    assert 5 <= there.host.calls[ASK] <= 10
    assert [status for status, _ in await there.statuses()] == ["planned"] * 3


async def test_wrong_settings_stop_a_channel_and_lose_nothing(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    there.wecom.ips = ()
    await there.pass_time(3600, step=60)
    assert there.host.calls[ASK] <= 7
    (line,) = await there.store.customer_tasks.listed(("planned",))
    assert "203.0.113.9" in line.note
    there.wecom.ips = None
    await there.pass_time(601, step=60)
    assert (await there.statuses())[0][0] == "waiting"


async def test_a_token_that_ends_between_two_calls_costs_one_more_call(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    there.wecom.end_tokens()
    assert await there.runner.tick() == "1 tasks asked for"
    assert there.host.calls[ASK] == 2
    assert len(there.wecom.tasks) == 1


async def test_a_channel_that_is_down_does_not_hold_the_task_for_ever(there: World) -> None:
    await there.bound("a")
    await there.plan("a", not_after=there.clock() + 1800)
    there.host.faults = lambda call: "busy"
    await there.pass_time(3600, step=60)
    assert await there.statuses() == [("cancelled", {"cancelled": 1})]


async def test_a_picture_that_is_gone_is_refused(there: World) -> None:
    await there.bound("a", "b")
    lost = CustomerMessage("看", (Attachment("image", asset_id=404),))
    await there.plan("a", body=lost)
    await there.plan("b", word="b")
    await there.runner.tick()
    assert [status for status, _ in await there.statuses()] == ["refused", "waiting"]
    assert there.host.calls[UPLOAD] == 0


async def test_results_that_nobody_heard_of_are_asked_for_later(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    await there.runner.tick()
    there.wecom.employee_confirms("zhang")
    there.host.faults = lambda call: "500" if call.path in (TASK, RESULT) else ""
    await there.pass_time(1800)
    assert await there.statuses() == [("waiting", {"waiting": 1})]
    there.host.faults = lambda call: ""
    await there.pass_time(3600)
    assert await there.statuses() == [("done", {"sent": 1})]


async def test_a_task_that_wecom_does_not_know_ends_after_three_days(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    await there.runner.tick()
    there.wecom.tasks.clear()
    await there.pass_time(GIVE_UP_S + 2 * 3600, step=3600)
    assert await there.statuses() == [("done", {"unsent": 1})]


# Campaigns that stop


async def test_a_paused_campaign_is_not_asked_for_and_goes_on_later(there: World) -> None:
    await there.bound("a")
    await there.campaign("paused")
    await there.plan("a", campaign_id=1)
    await there.pass_time(600)
    assert there.host.calls[ASK] == 0
    await there.campaign("running")
    await there.runner.tick()
    assert there.host.calls[ASK] == 1


async def test_a_cancelled_campaign_is_taken_back_from_the_employee(there: World) -> None:
    await there.bound("a", "b")
    await there.campaign("running")
    await there.plan("a", campaign_id=1)
    await there.runner.tick()
    await there.plan("b", word="later", campaign_id=1, due_at=there.clock() + 999)
    await there.campaign("cancelled")
    assert await there.runner.tick() == "1 tasks taken back"
    assert there.wecom.employee_confirms("zhang") == 0
    assert await there.statuses() == [("cancelled", {"cancelled": 1})] * 2


async def test_what_was_sent_before_a_campaign_was_cancelled_is_counted(there: World) -> None:
    await there.bound("a")
    await there.campaign("running")
    await there.plan("a", campaign_id=1)
    await there.runner.tick()
    there.wecom.employee_confirms("zhang")
    await there.campaign("cancelled")
    await there.runner.tick()
    assert await there.statuses() == [("done", {"sent": 1})]
    assert await there.store.customer_tasks.of_campaign(1) == {("", "sent"): 1}


async def test_taking_back_goes_on_until_wecom_has_heard_it(there: World) -> None:
    await there.bound("a")
    await there.campaign("running")
    await there.plan("a", campaign_id=1)
    await there.runner.tick()
    await there.campaign("cancelled")
    there.host.faults = lambda call: "cut" if call.path == CANCEL else ""
    await there.runner.tick()
    assert await there.statuses() == [("waiting", {"waiting": 1})]
    there.host.faults = lambda call: ""
    await there.pass_time(120, step=60)
    assert await there.statuses() == [("cancelled", {"cancelled": 1})]


async def test_a_task_that_wecom_does_not_take_back_says_so(there: World) -> None:
    await there.bound("a")
    await there.campaign("running")
    await there.plan("a", campaign_id=1)
    await there.runner.tick()
    refuse(there, CANCEL, 40058)
    await there.campaign("cancelled")
    await there.runner.tick()
    (line,) = await there.store.customer_tasks.listed(("cancelled",))
    assert "WeCom did not stop it" in line.note


async def test_a_stop_ends_a_round_between_two_calls(there: World) -> None:
    await there.bound("a", "b")
    await there.plan("a")
    await there.plan("b", word="b")
    good = there.host._endpoints["POST", ASK]

    def last(call: Call) -> Answer:
        there.stopping = True
        return good(call)

    there.host.add("POST", ASK, last)
    await there.runner.tick()
    assert [status for status, _ in await there.statuses()] == ["waiting", "planned"]


async def test_the_quota_of_a_group_knows_what_was_planned_and_sent(there: World) -> None:
    async def left(at: float) -> int:
        place = place_of(CHANNEL, "a")
        return await there.store.db.read(lambda conn: quota_left(conn, place, at))

    await there.bound("a")
    assert await left(NOON) == 1
    await there.plan("a")
    assert await left(NOON) == 0
    await there.runner.tick()
    there.wecom.employee_confirms("zhang")
    await there.pass_time(600)
    assert (await left(NOON), await left(NOON + DAY)) == (0, 1)


async def test_a_round_never_runs_beside_itself(there: World) -> None:
    await there.bound("a")
    await there.plan("a")
    done = await asyncio.gather(there.runner.tick(), there.runner.tick())
    assert sorted(done) == ["", "1 tasks asked for"]
