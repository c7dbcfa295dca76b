"""The worker that posts into groups: once each, in order, never too fast, and honest about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bot.client import Refused, Unheard, Unreachable, new_session
from bot.group_robot import GroupRobot
from bot.posting import Posting
from bot.rules import Secret
from sandbox.fake_qyapi import FakeQyapi
from store import Store
from store.posts import NewPost, Post
from tests.blank import blank

NOW = 1_763_697_600.0
KEY = "693a91f6-7aoc-4bc4-97a0-0ec2sifa5aaa"
PLACE = "poster:1"


class Line:
    """A channel that fails as told, one error a post, then works."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.posted: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def post(self, group: str, post: Post) -> str:
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.posted.append((group, post.content))
        return f"m{len(self.posted)}"


class Stage:
    """A robot over HTTP ("poster"), a line that fails as told ("line"), and a clock."""

    def __init__(self, path: Path, fake: FakeQyapi) -> None:
        self.path = path
        self.fake = fake
        self.line = Line()
        self.at = NOW
        self.jumped_s = 0.0
        self.seen: list[tuple[str, str]] = []
        self.planned = 0

    async def open(self, stack: AsyncExitStack) -> None:
        self.store = Store(self.path, durability="process")
        await self.store.open()
        stack.push_async_callback(self.store.close)
        session = await stack.enter_async_context(new_session())
        robot = GroupRobot(
            "poster",
            Secret(KEY),
            session=session,
            files=self.store.assets,
            now=self.now,
            api_base=self.fake.api_base,
            timeout_s=5.0,
        )
        self.posting = Posting(
            self.store,
            {"poster": robot, "line": self.line},
            {"poster": 20, "line": 20, "unused": 1},
            now=self.now,
            steady=lambda: self.at,
            observe=lambda channel, outcome: self.seen.append((channel, outcome)),
        )
        self.task = asyncio.create_task(self.posting.run())
        stack.push_async_callback(self.close)

    async def close(self) -> None:
        self.posting.close()
        await self.task

    def now(self) -> float:
        """The clock on the wall; `at` never jumps."""
        return self.at + self.jumped_s

    async def plan(self, *texts: str, channel: str = "poster") -> None:
        for text in texts:
            self.planned += 1
            new = NewPost(
                key=self.planned.to_bytes(16, "big"),
                channel=channel,
                place=f"{channel}:g:1",
                kind="notice",
                body=Post("text", text),
                due_at=self.now(),
            )
            assert await self.store.posts.plan(new, self.now())
        self.posting.wake()

    def said(self) -> list[str]:
        return [one.body["text"]["content"] for one in self.fake.posted(KEY)]

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for it; the clock stands still."""
        async with asyncio.timeout(10):
            while not done():
                await asyncio.sleep(0.005)

    async def outcomes(self, *outcomes: str) -> None:
        await self.until(lambda: [one[1] for one in self.seen] == list(outcomes))

    async def nothing_more(self) -> None:
        """The worker has looked and found nothing to do."""
        self.posting.wake()
        await asyncio.sleep(0.03)


@asynccontextmanager
async def stage(path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        fake = FakeQyapi(now=lambda: s.now())
        fake.robot(KEY)
        await fake.start()
        stack.push_async_callback(fake.close)
        s = Stage(blank(path / "zhiqun.db"), fake)
        await s.open(stack)
        yield s


async def test_twenty_go_in_the_first_minute_and_the_rest_after_through_a_restart(
    tmp_path: Path,
) -> None:
    texts = [f"第 {number} 条" for number in range(25)]
    async with stage(tmp_path) as s:
        await s.plan(*texts)
        await s.until(lambda: len(s.seen) == 20)
        s.at += 59.9
        await s.nothing_more()
        assert s.said() == texts[:20]
        await s.close()
        await s.store.close()
        async with AsyncExitStack() as stack:
            await s.open(stack)
            await s.nothing_more()
            assert s.said() == texts[:20]
            s.at += 0.1
            s.posting.wake()
            await s.until(lambda: len(s.seen) == 25)
            await s.nothing_more()
            assert s.said() == texts
            assert s.fake.refused == {}
            assert await s.store.posts.counts() == {"sent": 25}


async def test_a_post_goes_to_its_group_and_keeps_the_id_of_the_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.plan("大家好", channel="line")
        await s.outcomes("sent")
        assert s.line.posted == [("g:1", "大家好")]
        row = await s.store.db.read(
            lambda conn: conn.execute("select message_id, body from posts").fetchone()
        )
        assert row == ("m1", "")


async def test_a_channel_that_hangs_does_not_hold_up_another(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.line.open.clear()
        await s.plan("慢", "慢 2", channel="line")
        await s.plan("快", "快 2")
        await s.outcomes("sent", "sent")
        assert s.said() == ["快", "快 2"]
        assert s.line.posted == []
        s.line.open.set()
        await s.until(lambda: len(s.seen) == 4)
        assert [text for _, text in s.line.posted] == ["慢", "慢 2"]


async def test_what_never_left_is_tried_again_before_the_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.line.errors += [Unreachable("send", "down")] * 3
        await s.plan("一", "二", channel="line")
        for number, pause in enumerate((1, 2, 4), 1):
            await s.outcomes(*["put_off"] * number)
            s.at += pause - 0.1
            await s.nothing_more()
            assert len(s.seen) == number
            s.at += 0.1
            s.posting.wake()
        await s.outcomes("put_off", "put_off", "put_off", "sent", "sent")
        assert [text for _, text in s.line.posted] == ["一", "二"]


async def test_a_channel_that_is_down_for_a_day_loses_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.line.errors += [Unreachable("send", "down")] * 30
        await s.plan("一", channel="line")
        for number in range(1, 31):
            await s.until(lambda many=number: len(s.seen) == many)  # type: ignore[misc]
            s.at += 60
            s.posting.wake()
        await s.until(lambda: s.line.posted == [("g:1", "一")])


async def test_busy_is_patient_and_has_an_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.line.errors += [Refused("send", -1)] * 9
        await s.plan("一", "二", channel="line")
        for number in range(1, 9):
            await s.until(lambda many=number: len(s.seen) == many)  # type: ignore[misc]
            s.at += 60
            s.posting.wake()
        await s.outcomes(*["put_off"] * 8, "refused", "sent")
        assert [text for _, text in s.line.posted] == ["二"]


async def test_too_fast_closes_the_channel_and_longer_each_time(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.fake.per_minute = 0
        await s.plan("一", "二")
        for number, pause in enumerate((60, 120, 240, 480, 600, 600), 1):
            await s.outcomes(*["put_off"] * number)
            s.at += pause - 0.1
            await s.nothing_more()
            assert len(s.seen) == number
            if number == 6:
                s.fake.per_minute = 20
            s.at += 0.1
            s.posting.wake()
        await s.outcomes(*["put_off"] * 6, "sent", "sent")
        assert s.said() == ["一", "二"]


async def test_what_may_have_arrived_is_listed_and_never_posted_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        faults = ["lost", "cut", ""]
        s.fake.faults = lambda call: faults.pop(0) if faults else ""
        await s.plan("一", "二", "三", "四")
        await s.outcomes("unknown", "unknown", "sent", "sent")
        s.at += 86_400
        await s.nothing_more()
        assert s.said() == ["一", "三", "四"]
        assert [(one.id, one.status) for one in await s.store.posts.listed()] == [
            (2, "unknown"),
            (1, "unknown"),
        ]


async def test_a_refusal_is_listed_with_what_to_do_and_blocks_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.fake.remove(KEY)
        await s.plan("一")
        await s.outcomes("refused")
        s.fake.robot(KEY)
        await s.plan("", "二")
        await s.outcomes("refused", "refused", "sent")
        empty, removed = await s.store.posts.listed()
        assert removed.errcode == 93000
        assert removed.note.startswith(
            "webhook/send: 93000: the robot was removed or its key is wrong: "
        )
        assert empty.note == "cannot be posted here: there is nothing to say"
        assert KEY not in removed.note + empty.note


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), Unheard("send", "timeout")])
async def test_a_fault_of_ours_is_unknown_and_the_worker_lives(
    tmp_path: Path, error: Exception
) -> None:
    async with stage(tmp_path) as s:
        s.line.errors.append(error)
        await s.plan("一", "二", channel="line")
        await s.outcomes("unknown", "sent")
        assert [text for _, text in s.line.posted] == ["二"]


async def test_a_body_that_nobody_can_read_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        await s.plan("一", channel="line")
        await s.outcomes("sent")
        sql = (
            "insert into posts (key, channel, place, kind, body, status, created_at, due_at) "
            "values ('k', 'line', 'line:1', 'notice', '{', 'planned', 0, 0)"
        )
        await s.store.db.write(lambda conn: conn.execute(sql))
        s.posting.wake()
        await s.outcomes("sent", "refused")


async def test_a_clock_that_jumps_ahead_opens_no_second_minute(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.fake.now = lambda: s.at
        await s.plan(*(f"{number}" for number in range(25)))
        await s.until(lambda: len(s.seen) == 20)
        s.jumped_s = 7200.0
        await s.nothing_more()
        assert len(s.said()) == 20
        s.at += 60
        s.posting.wake()
        await s.until(lambda: len(s.seen) == 25)
        assert s.fake.refused == {}


async def test_what_a_killed_process_left_open_is_unknown_at_the_next_start(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as s:
        s.line.open.clear()
        await s.plan("一", "二", channel="line")
        await s.until(lambda: s.posting._calls != set())
        await s.store.posts.recover(s.at)
        s.line.open.set()
        # The call was ours after all and says how it ended.
        await s.outcomes("sent", "sent")
        assert await s.store.posts.listed() == []
