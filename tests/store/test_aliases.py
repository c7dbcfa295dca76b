"""Whose an event is, when browsers are shared and links are passed on at random.

Whoever an event proves it is of has it, known to the chat or not; what only suggests
somebody never makes two accounts one.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import Store
from store.dialect import Connection
from store.events import Event, NewEvent
from tests.store.rows import NOW

ACCOUNTS = (("mp", "o1"), ("mp", "o2"), ("shop", "s1"), ("shop", "s2"))
PROOFS = [
    {},
    *({"channel": channel, "openid": openid} for channel, openid in ACCOUNTS),
    {"unionid": "u1"},
    {"unionid": "u2"},
]
STEP = st.one_of(
    st.tuples(
        st.just("tell"),
        st.sampled_from(PROOFS),
        st.sampled_from(["", "v1", "v2"]),
        st.sampled_from(["", "r1", "r2"]),
    ),
    st.tuples(st.just("click"), st.integers(0, 3), st.just(""), st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("appear"), st.sampled_from(ACCOUNTS), st.just(""), st.just("")),
)


def _proved(proof: dict[str, str]) -> str:
    """The name that an event proves, "" when it proves none."""
    if "unionid" in proof:
        return f"unionid:{proof['unionid']}"
    return f"{proof['channel']}:{proof['openid']}" if proof else ""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=1, max_size=20), st.integers(1, 6))
def test_two_accounts_are_never_joined_through_a_browser_or_a_link(
    steps: list[tuple[str, object, str, str]], at_a_time: int
) -> None:
    proved: dict[str, str] = {}
    members: dict[str, int] = {}

    async def live(store: Store) -> tuple[list[Event], list[tuple[str]]]:
        waiting: list[NewEvent] = []
        for number, (kind, what, visitor, click) in enumerate(steps):
            if kind == "appear":
                assert isinstance(what, tuple)
                member = await store.members.meet(what[0], what[1], NOW)
                members[f"{what[0]}:{what[1]}"] = member.id
            elif kind == "click":
                assert isinstance(what, int)
                people = sorted(members.values())
                member_id = people[what % len(people)] if people else None
                waiting.append(NewEvent(f"click:{click}", "click", NOW, member_id, click=click))
            else:
                assert isinstance(what, dict)
                proved[f"e{number}"] = _proved(what)
                names = {**what, "visitor": visitor, "click": click}
                waiting.append(NewEvent(f"e{number}", "view", NOW, **names))
            if len(waiting) >= at_a_time or kind == "appear":
                await store.events.add(waiting, NOW)
                waiting = []
        await store.events.add(waiting, NOW)

        def aliases(conn: Connection) -> list[tuple[str]]:
            return conn.execute("select name from aliases").fetchall()

        return await store.events.page(), await store.db.read(aliases)

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "zhiqun.db", durability="process")
            await store.open()
            try:
                events, aliases = await live(store)
            finally:
                await store.close()
        for event in events:
            if name := proved.get(event.event_id, ""):
                assert (event.member_id or event.who) == members.get(name, name)
        for (name,) in aliases:
            assert name.startswith(("visitor:", "click:")), "no account stands for another"

    asyncio.run(run())
