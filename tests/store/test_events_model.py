"""Events against a model of who is who, through thousands of random histories.

The model knows people and what they go by; the store only learns it from what comes in.
However news and appearances are mixed, repeated and delayed: no event is lost or doubled,
none is ever somebody else's, and once all have appeared each is its person's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import Store
from store.events import NewEvent
from tests.store.rows import NOW

T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """What somebody goes by. accounts: (channel, openid), the first of them the older."""

    accounts: tuple[tuple[str, str], ...]
    unionid: str
    visitors: tuple[str, ...]
    clicks: tuple[str, ...]


def _person(name: str, *, both: bool) -> Person:
    accounts = (("mp", f"o_{name}"), ("team", f"t_{name}"))
    return Person(
        accounts if both else accounts[:1],
        f"u_{name}",
        (f"v1_{name}", f"v2_{name}"),
        (f"r1_{name}", f"r2_{name}"),
    )


PEOPLE = (_person("a", both=True), _person("b", both=False), _person("c", both=True))
STEP = st.one_of(
    st.tuples(st.just("appear"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.just("unite"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(
        st.just("tell"),
        st.integers(0, 2),
        st.fixed_dictionaries(
            {
                "account": st.sampled_from([None, 0, 1]),
                "union": st.booleans(),
                "visitor": st.sampled_from([None, 0, 1]),
                "click": st.sampled_from([None, 0, 1]),
                "is_click": st.booleans(),
            }
        ),
    ),
    st.tuples(st.just("again"), st.integers(0, 99), st.integers(1, 9)),
    st.tuples(st.just("erase"), st.integers(0, 2), st.just(0)),
)


class World:
    """The store, and what the model knows of its events: event id -> person, or None."""

    def __init__(self, folder: str, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.store = Store(Path(folder) / "zhiqun.db", durability="process")
        self.run(self.store.open())
        self.told: list[NewEvent] = []
        self.whose: dict[str, int | None] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def appear(self, number: int, which: int) -> None:
        accounts = PEOPLE[number].accounts
        self.run(self.store.members.meet(*accounts[which % len(accounts)], NOW))

    def unite(self, number: int, which: int) -> None:
        person = PEOPLE[number]
        account = person.accounts[which % len(person.accounts)]
        self.run(self.store.members.unite(*account, person.unionid))

    def tell(self, number: int, says: dict[str, Any]) -> None:
        person = PEOPLE[number]
        names: dict[str, Any] = {}
        if says["account"] is not None:
            channel, openid = person.accounts[says["account"] % len(person.accounts)]
            names |= {"channel": channel, "openid": openid}
        if says["union"]:
            names["unionid"] = person.unionid
        if says["visitor"] is not None:
            names["visitor"] = person.visitors[says["visitor"]]
        if says["click"] is not None:
            names["click"] = person.clicks[says["click"]]
        event_id = f"e{len(self.told)}"
        if says["is_click"] and names.get("click"):
            event_id = f"click:{names['click']}"
        event = NewEvent(event_id, "view", NOW, item_id="c", order_id="o", data="{}", **names)
        self.add([event])
        if event_id not in self.whose:
            self.told.append(event)
            self.whose[event_id] = number if names else None

    def add(self, events: Sequence[NewEvent]) -> None:
        self.run(self.store.events.add(events, NOW))

    def member(self, number: int) -> set[int]:
        """The member numbers that somebody has by now."""
        found = set()
        for channel, openid in PEOPLE[number].accounts:
            found |= set(self.run(self.store.members.find(openid, channel)))
        return found

    def erase(self, number: int) -> None:
        for member_id in self.member(number):
            self.run(self.store.members.erase(member_id, NOW))
        for event in self.run(self.store.events.page()):
            if self.whose[event.event_id] == number and not (event.member_id or event.who):
                assert (event.order_id, event.data) == ("", "")
                self.whose[event.event_id] = None

    def check(self, *, all_known: bool = False) -> None:
        """Nothing is lost, doubled or somebody else's; what is erased says nothing."""
        events = self.run(self.store.events.page())
        assert sorted(event.event_id for event in events) == sorted(self.whose)
        members = {number: self.member(number) for number in range(len(PEOPLE))}
        for event in events:
            number = self.whose[event.event_id]
            if number is None:
                assert event.member_id is None
                assert event.who == ""
            elif event.member_id is None:
                assert not all_known, f"{event.event_id} still waits as {event.who}"
                assert event.who.endswith(PEOPLE[number].unionid[1:]), "a name of theirs"
            else:
                assert event.member_id in members[number]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, max_size=25), st.booleans())
def test_any_order_and_repetition_ends_in_the_same_rows(
    steps: list[tuple[str, int, Any]], backwards: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        world = World(folder, runner)
        for kind, number, more in steps:
            if kind == "appear":
                world.appear(number, more)
            elif kind == "unite":
                world.unite(number, more)
            elif kind == "tell":
                world.tell(number, more)
            elif kind == "erase":
                world.erase(number)
            elif world.told:
                at = number % len(world.told)
                world.add(world.told[at : at + more])
            world.check()
        # In the end everybody appears, is known to WeChat, and ties their names together.
        for number, person in enumerate(PEOPLE):
            for which in range(len(person.accounts)):
                world.appear(number, which)
                world.unite(number, which)
            channel, openid = person.accounts[0]
            ties = [
                NewEvent(f"tie{n}", "view", NOW, None, channel, openid, visitor=v, click=c)
                for n, (v, c) in enumerate(
                    zip(person.visitors, person.clicks, strict=True), 10 * number
                )
            ]
            world.add(ties[::-1] if backwards else ties)
            world.whose |= {tie.event_id: number for tie in ties}
        world.check(all_known=not any(kind == "erase" for kind, _, _ in steps))
        runner.run(world.store.close())
