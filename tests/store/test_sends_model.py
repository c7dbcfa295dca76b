"""Sends against a model of WeChat's ledger, through thousands of random histories.

The model knows windows and nothing of SQL: a message opens one for 48 hours, a click one
for a minute, and a push is paid by every window that is open and not yet used up. Held
after each step: no push without a window that pays, none that could have gone held back,
no part claimed twice, each member's parts in order.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
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
from store.messages import Late
from tests.store.rows import BURST_S, CHANNEL, NOW, WINDOW_S, answered, key

T = TypeVar("T")
MEMBERS = ("oTEST_a", "oTEST_b", "oTEST_c")
WHO = st.sampled_from(MEMBERS)


@dataclass
class Window:
    """An allowance that one interaction opened."""

    until: float
    left: int


@dataclass
class Part:
    """One part of one answer, as the model follows it."""

    who: str
    message: int
    text: str
    due_at: float
    status: str = "planned"
    id: int = 0
    paid: list[Window] = field(default_factory=list)


class SendsModel(RuleBasedStateMachine):
    """A bot with three members, its clock, and the same history in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "zhiqun.db", durability="process")
        self.run(self.store.open())
        self.now = NOW
        self.messages = 0
        self.parts: list[Part] = []
        self.long: dict[str, Window] = {}
        self.short: dict[str, Window] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def in_state(self, status: str) -> list[Part]:
        return [part for part in self.parts if part.status == status]

    def open_windows(self, who: str) -> list[Window]:
        both = (self.long.get(who), self.short.get(who))
        return [window for window in both if window and self.left(window) > 0]

    def left(self, window: Window | None) -> int:
        return window.left if window and window.until > self.now else 0

    # What may happen

    @rule(seconds=st.sampled_from([0.5, 1.0, 20.0, BURST_S, WINDOW_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        who=WHO,
        opens=st.sampled_from(["click", "message", "nothing"]),
        statuses=st.lists(st.sampled_from(["planned", "planned", "waiting"]), max_size=4),
    )
    def a_member_writes(self, who: str, opens: str, statuses: list[str]) -> None:
        self.writes(who, opens, statuses)

    def writes(self, who: str, opens: str, statuses: list[str]) -> None:
        self.messages += 1
        self.now += 0.25  # two messages of one member are never at the same moment
        texts = [f"{who} {self.messages} {number}" for number in range(len(statuses))]
        late = tuple(Late(n, text, statuses[n]) for n, text in enumerate(texts))
        allowance, burst = {"nothing": (0, 0), "message": (5, 0), "click": (0, 3)}[opens]
        self.run(
            answered(
                self.store,
                self.messages,
                who,
                at=self.now,
                allowance=allowance,
                burst=burst,
                late=late,
            )
        )
        if allowance:
            self.long[who] = Window(self.now + WINDOW_S, allowance)
        if burst:
            self.short[who] = Window(self.now + BURST_S, burst)
        self.parts += [
            Part(who, self.messages, text, self.now, status)
            for text, status in zip(texts, statuses, strict=True)
        ]

    @rule(limit=st.integers(1, 4))
    def the_bot_claims(self, limit: int) -> None:
        taken = self.run(self.store.sends.claim(self.now, limit))
        by_text = {part.text: part for part in self.parts}
        heads: dict[str, Part] = {}
        for part in self.parts:
            if part.status in ("planned", "sending"):
                heads.setdefault(part.who, part)
        ready = [
            part for part in heads.values() if part.status == "planned" and part.due_at <= self.now
        ]
        # Oldest first, as many as the limit: so much the model says, and not one part more.
        ready.sort(key=self.parts.index)
        expected = []
        for part in ready[:limit]:
            paid = self.open_windows(part.who)
            if paid:
                expected.append(part.text)
                part.status, part.paid = "sending", paid
                for window in paid:
                    window.left -= 1
            else:
                for other in self.parts:
                    if other.message == part.message and other.status == "planned":
                        other.status = "waiting"
        assert [send.reply for send in taken] == expected
        for send in taken:
            by_text[send.reply].id = send.id

    @precondition(lambda self: self.in_state("sending"))
    @rule(data=st.data(), end=st.sampled_from(["sent", "refused", "unknown", "waiting"]))
    def a_call_ends(self, data: st.DataObject, end: str) -> None:
        part = data.draw(st.sampled_from(self.in_state("sending")))
        self.run(self.store.sends.settle(part.id, end, self.now))
        part.status = end

    @precondition(lambda self: self.in_state("sending"))
    @rule(
        data=st.data(),
        pause_s=st.sampled_from([0.0, 20.0, 60.0]),
        meanwhile=st.sampled_from(["", "", "message", "click"]),
    )
    def a_call_is_put_off(self, data: st.DataObject, pause_s: float, meanwhile: str) -> None:
        part = data.draw(st.sampled_from(self.in_state("sending")))
        if meanwhile:
            self.writes(part.who, meanwhile, [])
        due_at = self.now + pause_s
        self.run(self.store.sends.put_off(part.id, due_at, errcode=-1, note="busy"))
        part.status, part.due_at = "planned", due_at
        for window in part.paid:
            window.left += 1

    @rule(who=WHO)
    def a_member_asks_for_more(self, who: str) -> None:
        self.messages += 1
        found = self.run(self.store.sends.fetch(CHANNEL, who, key(self.messages), self.now))
        waiting = [part for part in self.in_state("waiting") if part.who == who]
        assert found == ((waiting[0].text, len(waiting) - 1) if waiting else None)
        if waiting:
            waiting[0].status = "fetched"

    @rule(who=WHO)
    def a_member_unfollows(self, who: str) -> None:
        self.run(self.store.members.follow(CHANNEL, who, False, self.now))
        self.long.pop(who, None)
        self.short.pop(who, None)

    @rule()
    def the_process_dies_and_comes_back(self) -> None:
        self.run(self.store.close())
        self.store = Store(self.store.db.path, durability="process")
        self.run(self.store.open())
        lost = self.in_state("sending")
        assert self.run(self.store.sends.recover(self.now)) == len(lost)
        for part in lost:
            part.status = "unknown"

    # What always holds

    @invariant()
    def the_store_counts_as_the_model_does(self) -> None:
        counts: dict[str, int] = {}
        for part in self.parts:
            counts[part.status] = counts.get(part.status, 0) + 1
        assert self.run(self.store.sends.counts()) == counts

    @invariant()
    def both_ledgers_agree_and_no_window_is_overspent(self) -> None:
        def ledger(conn: Connection) -> list[tuple[str, int, int]]:
            return conn.execute(
                "select external_id, case when allowance_until > ? then allowance else 0 end, "
                "case when burst_until > ? then burst else 0 end from identities",
                (self.now, self.now),
            ).fetchall()

        for who, long, short in self.run(self.store.db.read(ledger)):
            assert long == self.left(self.long.get(who))
            assert short == self.left(self.short.get(who))
            assert min(long, short) >= 0

    @invariant()
    def it_is_known_when_to_look_again(self) -> None:
        heads: dict[str, Part] = {}
        for part in self.parts:
            if part.status in ("planned", "sending"):
                heads.setdefault(part.who, part)
        due = [part.due_at for part in heads.values() if part.status == "planned"]
        assert self.run(self.store.sends.next_due()) == min(due, default=None)


def _histories(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def test_the_store_agrees_with_the_model_of_the_ledger() -> None:
    run_state_machine_as_test(SendsModel, settings=_histories(12))


@pytest.mark.nightly
def test_the_store_agrees_with_the_model_through_many_histories() -> None:
    run_state_machine_as_test(SendsModel, settings=_histories(500))
