"""The delivery ledger against a model, through random histories of two runners that die and sleep.

The model knows who was called, and nothing of SQL. Held after each step: nobody is called twice
for one campaign, whatever became of the runner that claimed; nobody's allowance falls below the
one message that is kept for an answer; nobody hears more on a day than the cap; an operator's
word is the last. At the end a healthy runner finishes, and nobody was forgotten: who was not
called has a reason.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from store import Store, campaigns
from store.campaigns import Campaign, NewCampaign, Variant
from store.dialect import Connection
from store.exchange import Ended, Going, Limits
from store.leases import Hold
from store.reach import Caps
from tests.blank import blank
from tests.store.rows import NOW

T = TypeVar("T")
MEMBERS = 4
CAMPAIGNS = 3
ALLOWANCE = 4
CAP = 2
TTL = 30.0
RUNNER = st.sampled_from(["a", "b"])
WHICH = st.integers(0, CAMPAIGNS - 1)
LIMITS = Limits(
    caps=Caps(day=CAP),
    api="message/custom/send",
    per_minute=6000,
    burst=10,
    per_day=10_000,
    routes=("custom",),
    lease_s=TTL,
)


class DeliveriesModel(RuleBasedStateMachine):
    """Campaigns to the same few members, and runners that believe they are alone."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(blank(Path(self.folder.name) / "zhiqun.db"), durability="process")
        self.run(self.store.open())
        self.now = NOW
        self.holds: dict[str, Hold] = {}
        self.pending: dict[str, list[tuple[Campaign, Going]]] = {"a": [], "b": [], "last": []}
        self.called: Counter[tuple[int, int]] = Counter()
        self.days: Counter[tuple[int, int]] = Counter()
        self.operator: dict[int, str] = {}
        self.campaigns = self.run(self.store.db.write(self.begin))

    def run(self, work: Any) -> Any:
        async def wait() -> Any:
            return await work

        return self.runner.run(wait())

    @staticmethod
    def begin(conn: Connection) -> list[Campaign]:
        """Members who wrote just now, and campaigns whose lists are written."""
        for number in range(1, MEMBERS + 1):
            conn.execute("insert into members (id, created_at) values (?, ?)", (number, NOW))
            conn.execute(
                "insert into identities (channel, external_id, member_id, followed, allowance, "
                "allowance_until) values ('mp', ?, ?, 1, ?, ?)",
                (f"o{number}", number, ALLOWANCE, NOW + 40 * 3600),
            )
        made = []
        for number in range(CAMPAIGNS):
            new = NewCampaign(
                title=f"c{number}",
                channel="mp",
                audience="everyone",
                variants=(Variant(content={"kind": "text", "text": "x"}),),
                routes=("custom",),
                starts_at=NOW,
            )
            campaign = campaigns.insert(conn, new, NOW, "cli", status="scheduled")
            assert campaign is not None
            campaigns.set_status(conn, campaign.id, "running", NOW, was=("scheduled",))
            for member in range(1, MEMBERS + 1):
                conn.execute(
                    "insert into deliveries (campaign_id, member_id, variant, route, status, "
                    "due_at) values (?, ?, 'A', 'custom', 'planned', ?)",
                    (campaign.id, member, NOW),
                )
            made.append(campaign)
        return made

    def take(self, who: str) -> bool:
        """As `Runner.run_once` begins: the lease, then what the last one left."""
        hold = self.run(self.store.leases.take("campaigns", who, self.now, TTL))
        if hold is None:
            return False
        self.holds[who] = hold
        if not self.pending[who]:
            self.run(self.store.deliveries.recover(hold, self.now))
        return True

    # What happens

    @rule(who=RUNNER, which=WHICH, want=st.integers(1, 4), fresh=st.booleans())
    def claims(self, who: str, which: int, want: int, fresh: bool) -> None:
        """With a lease just taken, or with one it believes to have."""
        if (fresh or who not in self.holds) and not self.take(who):
            return
        campaign = self.campaigns[which]
        page = self.run(self.store.deliveries.due(campaign.id, "custom", self.now, limit=want))
        window = self.run(
            self.store.deliveries.exchange(
                campaign, self.holds[who], "custom", [], [one for _, one in page], LIMITS, self.now
            )
        )
        self.pending[who] += [(campaign, going) for going in window.going]

    @rule(
        who=RUNNER,
        end=st.sampled_from(["accepted", "refused", "unknown", "planned", "planned"]),
        at=st.integers(0, 5),
    )
    def ends(self, who: str, end: Any, at: int) -> None:
        """A call is made, even by one whose lease has gone; or it certainly is not."""
        if not self.pending[who]:
            return
        campaign, going = self.pending[who].pop(at % len(self.pending[who]))
        if end in ("accepted", "unknown"):
            self.called[campaign.id, going.member_id] += 1
        ended = Ended(going=going, status=end, reason="x" if end == "refused" else "")
        if end == "planned":
            ended = Ended(going=going, status=end, due_at=self.now + 1)
        self.run(
            self.store.deliveries.exchange(
                campaign, self.holds[who], "custom", [ended], [], LIMITS, self.now
            )
        )

    @rule(who=RUNNER, made=st.booleans())
    def dies(self, who: str, made: bool) -> None:
        """Before its calls, or after them; nobody is left who knows."""
        for campaign, going in self.pending[who]:
            self.called[campaign.id, going.member_id] += made
        self.pending[who].clear()
        self.holds.pop(who, None)

    @rule(seconds=st.sampled_from([1.0, 10.0, 31.0, 3600.0, -20.0]))
    def time_passes(self, seconds: float) -> None:
        """Mostly forward."""
        self.now += seconds

    @rule(which=WHICH, to=st.sampled_from(["paused", "running", "cancelled"]))
    def operator_moves(self, which: int, to: Any) -> None:
        """At any time."""
        was = {"paused": ("running",), "running": ("paused",), "cancelled": ("paused",)}[to]
        campaign = self.campaigns[which]
        self.run(
            self.store.db.write(
                lambda conn: campaigns.set_status(conn, campaign.id, to, self.now, was=was)
            )
        )

    @rule(arrived=st.booleans())
    def operator_finds_out(self, arrived: bool) -> None:
        """What became of an unknown one."""
        for one in self.run(self.store.deliveries.unknown(limit=1)):
            assert self.run(self.store.deliveries.settle_unknown(one.id, arrived, self.now))
            self.operator[one.id] = "accepted" if arrived else "refused"

    @rule(member=st.integers(1, MEMBERS))
    def leaves(self, member: int) -> None:
        """And may come back."""
        sql = "update identities set followed = 1 - followed where member_id = ?"
        self.change(sql, member)

    def change(self, sql: str, *args: object) -> None:
        def write(conn: Connection) -> None:
            conn.execute(sql, args)

        self.run(self.store.db.write(write))

    def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.run(
            self.store.db.read(lambda conn: conn.execute(sql, args).fetchall())
        )
        return found

    # What always holds

    @invariant()
    def nobody_was_called_twice(self) -> None:
        assert max(self.called.values(), default=0) <= 1

    @invariant()
    def one_message_is_kept_for_an_answer(self) -> None:
        for (allowance,) in self.rows("select allowance from identities"):
            assert 1 <= allowance <= ALLOWANCE

    @invariant()
    def the_cap_is_kept(self) -> None:
        counts = self.rows(
            "select count(*) from deliveries where claimed_at is not null "
            "and status in ('sending', 'accepted', 'unknown') group by member_id"
        )
        assert all(count <= CAP for (count,) in counts)

    @invariant()
    def an_operators_word_is_the_last(self) -> None:
        for delivery_id, status in self.operator.items():
            assert self.rows("select status from deliveries where id = ?", delivery_id) == [
                (status,)
            ]

    def teardown(self) -> None:
        try:
            self.finishes()
        finally:
            self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    def finishes(self) -> None:
        """One healthy runner, after everybody else has gone."""
        for who in ("a", "b"):
            self.dies(who, made=False)
        self.change("update campaigns set status = 'running' where status = 'paused'")
        self.now = max(self.now, NOW) + 7200
        assert self.take("last")
        for campaign in self.campaigns:
            while page := self.run(
                self.store.deliveries.due(campaign.id, "custom", self.now, limit=2)
            ):
                window = self.run(
                    self.store.deliveries.exchange(
                        campaign,
                        self.holds["last"],
                        "custom",
                        [],
                        [one for _, one in page],
                        LIMITS,
                        self.now,
                    )
                )
                if window.status != "running":
                    break
                ended = [Ended(going=going, status="accepted") for going in window.going]
                for going in window.going:
                    self.called[campaign.id, going.member_id] += 1
                self.run(
                    self.store.deliveries.exchange(
                        campaign, self.holds["last"], "custom", ended, [], LIMITS, self.now
                    )
                )
            self.run(self.store.deliveries.finish(campaign.id, self.holds["last"], self.now))
        for cancelled in self.run(self.store.deliveries.cancelled_with_rows()):
            self.run(self.store.deliveries.cancel(cancelled, self.now))
        self.nobody_was_called_twice()
        found = self.rows("select campaign_id, member_id, status, reason from deliveries")
        assert len(found) == CAMPAIGNS * MEMBERS
        for campaign_id, member_id, status, reason in found:
            assert status in ("accepted", "refused", "unknown", "skipped")
            called = self.called[campaign_id, member_id]
            if not called and status != "accepted":
                assert reason, "forgotten without a reason"
            if status == "skipped":
                assert not called
        for (status,) in self.rows("select status from campaigns"):
            assert status in ("done", "cancelled")


def test_no_history_of_runners_calls_anybody_twice_or_forgets_anybody() -> None:
    run_state_machine_as_test(
        DeliveriesModel,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
