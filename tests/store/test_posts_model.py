"""Posts through thousands of random histories: never twice, never lost, never above the pace.

The histories have calls of any length that end in any way, clocks that are set back, processes
that die, and posts that are taken back or come too late. At the end everything is let out; then
each post has exactly one end, and what left is counted in every window of a minute, by the time
that really passed and at the worst moment that each call allows.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store import Store
from store.dialect import Connection
from store.posts import Claimed, NewPost, Post
from tests.blank import blank
from tests.store.rows import NOW, key

T = TypeVar("T")
PACES = {"a": 2, "b": 5}
CHANNELS = st.sampled_from(sorted(PACES))


@dataclass
class Row:
    """A post as the model follows it. left: when it may have been posted, in true seconds."""

    id: int
    channel: str
    due_at: float
    not_after: float | None
    status: str = "planned"
    tries: int = 0
    claimed_at: float = 0.0
    left: float | None = None


class PostsModel(RuleBasedStateMachine):
    """A bot with two channels; its clock, and the time that really passes."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(blank(Path(self.folder.name) / "zhiqun.db"), durability="process")
        self.run(self.store.open())
        self.now = NOW
        self.true = 0.0
        self.rows: list[Row] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.everything_is_let_out()
        finally:
            self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    def in_state(self, *statuses: str) -> list[Row]:
        return [row for row in self.rows if row.status in statuses]

    def row(self, post_id: int) -> Row:
        return next(row for row in self.rows if row.id == post_id)

    # What may happen

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 59.0, 60.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.true += seconds

    @rule(seconds=st.sampled_from([1.0, 59.0, 61.0, 3600.0, 4e7]))
    def the_clock_is_set_back(self, seconds: float) -> None:
        self.now -= seconds
        # What was never tried has only the planner's word for when it is due.
        for row in self.in_state("planned"):
            if row.tries == 0:
                row.due_at -= seconds
                self.run(self.move(row))

    async def move(self, row: Row) -> None:
        sql = "update posts set due_at = ? where id = ?"
        await self.store.db.write(lambda conn: conn.execute(sql, (row.due_at, row.id)))

    @rule(
        channel=CHANNELS,
        count=st.integers(1, 8),
        wait_s=st.sampled_from([0.0, 0.0, 0.0, 30.0, 300.0]),
        life_s=st.sampled_from([None, None, 5.0, 100.0]),
    )
    def posts_are_planned(
        self, channel: str, count: int, wait_s: float, life_s: float | None
    ) -> None:
        for _ in range(count):
            number = len(self.rows) + 1
            not_after = None if life_s is None else self.now + wait_s + life_s
            new = NewPost(
                key=key(number),
                channel=channel,
                place=f"{channel}:1",
                kind="notice",
                body=Post("text", str(number)),
                due_at=self.now + wait_s,
                not_after=not_after,
            )
            assert self.run(self.store.posts.plan(new, self.now))
            assert not self.run(self.store.posts.plan(new, self.now))
            post_id = self.run(self.store.db.read(_last_id))
            self.rows.append(Row(post_id, channel, new.due_at, not_after))

    @rule(limit=st.sampled_from([1, 50]))
    def the_bot_claims(self, limit: int) -> None:
        self.claims(limit)

    @rule(
        ends=st.lists(
            st.sampled_from(["sent", "sent", "unknown", "put_off", "put_off", "closed"]),
            min_size=4,
            max_size=12,
        ),
        took_s=st.sampled_from([0.0, 0.25, 9.0]),
        late=st.booleans(),
    )
    def the_bot_works(self, ends: list[str], took_s: float, late: bool) -> None:
        for end in ends:
            claimed = self.claims(50)
            self.time_passes(took_s)
            for row in [self.row(one.id) for one in claimed]:
                if end in ("put_off", "closed"):
                    self.put_off(row, 60.0 if end == "closed" else 4.0, end == "closed")
                else:
                    self.end(row, end, late)
            if not claimed:
                break

    def claims(self, limit: int) -> list[Claimed]:
        due = self.run(self.store.posts.next_due(self.now, PACES))
        claimed = self.run(self.store.posts.claim(self.now, PACES, limit))
        for row in self.in_state("planned"):
            if row.not_after is not None and row.not_after < self.now:
                row.status = "expired"
        for row in self.rows:
            if row.claimed_at > self.now + 60:
                row.claimed_at = row.due_at = self.now
        assert len(claimed) <= limit
        for one in claimed:
            row = self.row(one.id)
            assert one.channel == row.channel
            waiting = [other for other in self.in_state("planned") if other.channel == row.channel]
            tried = min((other.id for other in waiting if other.tries), default=2**60)
            ready = [
                other.id for other in waiting if other.due_at <= self.now and other.id <= tried
            ]
            assert one.id == min(ready)
            assert one.tries == row.tries
            row.status, row.claimed_at, row.left = "sending", self.now, self.true
            row.tries += 1
        if claimed and due is not None:
            assert due <= self.now or any(one.tries for one in claimed)
        channels = [row.channel for row in self.in_state("sending")]
        assert len(channels) == len(set(channels))
        return claimed

    @precondition(lambda self: self.in_state("sending"))
    @rule(
        data=st.data(),
        end=st.sampled_from(["sent", "sent", "refused", "unknown"]),
        took_s=st.sampled_from([0.0, 0.25, 9.0]),
        late=st.booleans(),
    )
    def a_call_ends(self, data: st.DataObject, end: str, took_s: float, late: bool) -> None:
        row = data.draw(st.sampled_from(self.in_state("sending")))
        self.time_passes(took_s)
        self.end(row, end, late)

    def end(self, row: Row, end: str, late: bool) -> None:
        self.run(self.store.posts.settle(row.id, end, self.now))
        row.status = end
        if late:
            row.left = self.true

    @precondition(lambda self: self.in_state("sending"))
    @rule(data=st.data(), pause_s=st.sampled_from([0.0, 4.0, 60.0]), close=st.booleans())
    def a_call_is_put_off(self, data: st.DataObject, pause_s: float, close: bool) -> None:
        self.put_off(data.draw(st.sampled_from(self.in_state("sending"))), pause_s, close)

    def put_off(self, row: Row, pause_s: float, close: bool) -> None:
        self.run(self.store.posts.put_off(row.id, self.now, pause_s, close=close))
        row.status, row.left, row.due_at = "planned", None, self.now + pause_s

    @precondition(lambda self: self.in_state("planned"))
    @rule(data=st.data())
    def a_post_is_taken_back(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.in_state("planned")))
        assert self.run(self.store.posts.drop(self.now, ids=[row.id])) == 1
        row.status = "dropped"

    @rule()
    def the_process_dies_and_comes_back(self) -> None:
        self.run(self.store.close())
        self.store = Store(self.store.db.path, durability="process")
        self.run(self.store.open())
        lost = self.in_state("sending")
        assert self.run(self.store.posts.recover(self.now)) == len(lost)
        for row in lost:
            row.status, row.left = "unknown", self.true

    # What always holds

    @invariant()
    def the_store_counts_as_the_model_does(self) -> None:
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.status] = counts.get(row.status, 0) + 1
        assert self.run(self.store.posts.counts()) == counts

    @invariant()
    def no_minute_has_more_than_the_pace(self) -> None:
        for channel, pace in PACES.items():
            left = sorted(
                row.left for row in self.rows if row.channel == channel and row.left is not None
            )
            for first, beyond in zip(left, left[pace:], strict=False):
                # Exact: all moments are multiples of a quarter of a second.
                assert beyond - first >= 60.0

    def everything_is_let_out(self) -> None:
        """No post waits for ever, and it is known when to look again."""
        for row in self.in_state("sending"):
            self.run(self.store.posts.settle(row.id, "sent", self.now))
            row.status = "sent"
        while self.in_state("planned"):
            claimed = self.claims(50)
            for one in claimed:
                self.end(self.row(one.id), "sent", late=False)
            if not claimed and self.in_state("planned"):
                due = self.run(self.store.posts.next_due(self.now, PACES))
                assert due is not None
                assert due > self.now
                self.time_passes(due - self.now)
        assert not self.in_state("planned", "sending")
        self.the_store_counts_as_the_model_does()
        self.no_minute_has_more_than_the_pace()


def _last_id(conn: Connection) -> int:
    return int(conn.execute("select max(id) from posts").fetchone()[0])


def _histories(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def test_posts_are_never_lost_never_doubled_and_never_too_fast() -> None:
    run_state_machine_as_test(PostsModel, settings=_histories(6))


@pytest.mark.nightly
def test_posts_keep_their_promises_through_many_histories() -> None:
    run_state_machine_as_test(PostsModel, settings=_histories(800))
