"""The door of a WeCom robot beside a store that is held, a peer that hangs up, and old events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.streams import FETCH_S
from store.groups import Group
from tests import build_wecom
from tests.bot.test_streams import Slow, begun, whole
from tests.bot.wecom_world import SAYS, Desk, desk, taking

IN_S = 0.3
"""The deadline here; WeCom waits for 5 s."""


async def timed(robot: Desk, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """One POST that must come back in time, whatever the store does."""
    began = time.monotonic()
    status, frame = await robot.post(body)
    assert time.monotonic() - began < IN_S + 1.0
    return status, frame


def group_of(robot: Desk) -> Group | None:
    return robot.store.groups.known(f"robot:{build_wecom.GROUP}")


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not look():
            await asyncio.sleep(0.005)


# --- a store that somebody holds ---------------------------------------------------------------


async def test_a_poll_of_a_held_store_keeps_its_deadline_and_loses_nothing(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi, door_s=IN_S) as robot:
        key = await begun(robot)
        await whole(robot, slow)
        with robot.locked():
            _, frame = await timed(robot, build_wecom.poll(key))
            assert frame["stream"]["finish"] is False
            assert frame["stream"]["content"] == SAYS.thinking
        # Nobody asks any more: it was fetched by nobody, so it is pushed, once.
        await until(lambda: not robot.streams._tasks)
        robot.now += FETCH_S
        await robot.pushed(2)
        assert qyapi.said == ["答慢"]
        assert (await robot.poll(key))["content"] == SAYS.pushed


async def test_who_polls_on_gets_the_answer_once_the_store_is_free(tmp_path: Path) -> None:
    slow = Slow()
    async with (
        taking() as qyapi,
        desk(tmp_path, slow, qyapi=qyapi, door_s=IN_S) as robot,
        ClientSession() as session,
        robot.served() as url,
    ):
        key = await begun(robot)
        await whole(robot, slow)
        with robot.locked():
            await timed(robot, build_wecom.poll(key))
        query, body = build_wecom.signed(build_wecom.poll(key), now=robot.now)
        async with session.post(url, params=query, data=body) as response:
            frame = build_wecom.opened(await response.read())
        assert (frame["stream"]["finish"], frame["stream"]["content"]) == (True, "答慢")
        await until(lambda: not robot.streams._tasks)
        assert await robot.row("response_url") == "", "it arrived"
        robot.now += 10 * FETCH_S
        await robot.pushed(2)
        assert qyapi.said == []


@pytest.mark.parametrize("what", ["mention", "leave"])
async def test_a_group_that_cannot_be_written_down_now_is_told_again(
    tmp_path: Path, what: str
) -> None:
    async with desk(tmp_path, door_s=IN_S) as robot:
        body = build_wecom.text("@小助手 在吗", group=build_wecom.GROUP)
        if what == "leave":
            await robot.post(body)
            body = build_wecom.event("delete_from_chat", group=build_wecom.GROUP)
        with robot.locked():
            assert await timed(robot, body) == (503, {})
        assert robot.watch.reasons == ["not_recorded"]
        # WeCom comes again.
        status, frame = await robot.post(body)
        assert status == 200
        group = group_of(robot)
        assert group is not None
        if what == "mention":
            assert frame["stream"]["content"] == "答在吗"
            assert group.bound
        else:
            assert group.left_at is not None


# --- a peer that hangs up ----------------------------------------------------------------------


async def test_a_last_frame_that_nobody_took_is_pushed_once(tmp_path: Path) -> None:
    slow = Slow()
    async with (
        taking() as qyapi,
        desk(tmp_path, slow, qyapi=qyapi) as robot,
        ClientSession() as session,
        robot.served() as url,
    ):
        key = await begun(robot)
        await whole(robot, slow)
        query, body = build_wecom.signed(build_wecom.poll(key), now=robot.now)
        with robot.locked():
            posting = asyncio.create_task(session.post(url, params=query, data=body))
            await asyncio.sleep(0.1)
            posting.cancel()
            await asyncio.wait({posting})
            # The door hears that they hung up.
            await until(lambda: robot.streams._tasks)
        await until(lambda: not robot.streams._tasks)
        assert await robot.row("due_at") == robot.now + FETCH_S
        robot.now += FETCH_S
        await robot.pushed(2)
        assert qyapi.said == ["答慢"]


# --- events that come late, or once more -------------------------------------------------------


async def test_an_old_leave_told_once_more_leaves_a_group_that_came_back(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        mention = build_wecom.text("@小助手 在吗", group=build_wecom.GROUP)
        leave = build_wecom.event(
            "delete_from_chat", group=build_wecom.GROUP, create_time=int(robot.now)
        )
        await robot.post(mention)
        await robot.post(leave)
        group = group_of(robot)
        assert group is not None
        assert group.left_at == int(robot.now)
        robot.now += 2
        await robot.say("@小助手 回来了", group=build_wecom.GROUP)
        assert await robot.post(leave) == (200, {})
        group = group_of(robot)
        assert group is not None
        assert group.left_at is None


async def test_a_leave_that_comes_late_is_older_than_what_was_said_since(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        gone_at = int(robot.now)
        robot.now += 60
        await robot.say("@小助手 回来了", group=build_wecom.GROUP)
        leave = build_wecom.event("delete_from_chat", group=build_wecom.GROUP, create_time=gone_at)
        assert await robot.post(leave) == (200, {})
        group = group_of(robot)
        assert group is not None
        assert group.left_at is None


async def test_an_endless_address_is_none(tmp_path: Path) -> None:
    slow = Slow()
    async with desk(tmp_path, slow) as robot:
        await robot.say("慢", response_url=f"{build_wecom.RESPONSE}{'x' * 300_000}")
        assert await robot.row("response_url") == ""
        await whole(robot, slow)
        assert await robot.row("due_at") is None
