"""A store with members who may be written to, campaigns that are due, and runners over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from scheduler.campaigns import Runner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from scheduler.sending import Sender
from store import Store, campaigns
from store.campaigns import Campaign, NewCampaign, Variant
from store.dialect import Connection

CHANNEL = "mp"
NOON = 1_763_611_200.0
"""2025-11-20 12:00 in Shanghai."""
NEVER_QUIET = (time(0, 0), time(0, 0))


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    at: float = NOON

    def __call__(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        """As long as somebody sleeps, time passes."""
        self.at += seconds


@dataclass
class World:
    """One file; as many runners as the test likes, each as a process of its own."""

    store: Store
    clock: Clock = field(default_factory=Clock)
    told: list[tuple[int, str]] = field(default_factory=list)
    runners: int = 0

    async def members(self, count: int, *, allowance: int = 4, first: int = 1) -> list[int]:
        """Followers `o1`, `o2` … who wrote an hour ago."""
        now = self.clock()

        def run(conn: Connection) -> list[int]:
            made = []
            for number in range(first, first + count):
                row = conn.execute(
                    "insert into members (created_at) values (?) returning id", (now - 86_400,)
                ).fetchone()
                conn.execute(
                    "insert into identities (channel, external_id, member_id, followed, "
                    "followed_at, last_seen_at, allowance, allowance_until) "
                    "values (?, ?, ?, 1, ?, ?, ?, ?)",
                    (
                        CHANNEL,
                        f"o{number}",
                        row[0],
                        now - 86_400,
                        now - 3600,
                        allowance,
                        now + 47 * 3600.0 if allowance else 0.0,
                    ),
                )
                made.append(row[0])
            return made

        return await self.store.db.write(run)

    async def campaign(self, **fields: Any) -> Campaign:
        """A campaign that is scheduled for now."""
        plain: dict[str, Any] = {
            "title": "上新",
            "channel": CHANNEL,
            "audience": "everyone",
            "variants": (Variant(content={"kind": "text", "text": "新课上线"}),),
            "routes": ("custom",),
            "starts_at": self.clock(),
            "holdout": 0.0,
        }
        new = NewCampaign(**{**plain, **fields})

        def run(conn: Connection) -> Campaign:
            made = campaigns.insert(conn, new, self.clock(), "cli", status="scheduled")
            assert made is not None
            return made

        return await self.store.db.write(run)

    def runner(self, sender: Sender, *, store: Store | None = None, **fields: Any) -> Runner:
        """A runner of its own name."""
        self.runners += 1
        options: dict[str, Any] = {
            "quiet": NEVER_QUIET,
            "cap_day": 0,
            "cap_week": 0,
            # Tests jump by hours; only those of lateness mean it.
            "grace_s": 30 * 86_400.0,
        }
        kind = fields.pop("kind", "service")
        budget_s = fields.pop("budget_s", 20.0)
        clock = fields.pop("clock", self.clock)
        groups = fields.pop("groups", None)

        async def told(campaign: Campaign, note: str) -> None:
            self.told.append((campaign.id, note))

        return Runner(
            store or self.store,
            sender,
            CampaignRules(**{**options, **fields}),
            now=clock,
            holder=f"runner {self.runners}",
            told=told,
            accounts={CHANNEL: Account(kind)},
            groups=groups,
            sleep=clock.sleep,
            budget_s=budget_s,
        )

    async def until_done(self, runner: Runner, campaign_id: int, rounds: int = 60) -> None:
        """Rounds with a minute between them until nothing of the campaign is left."""
        for _ in range(rounds):
            await runner.run_once()
            if await self.status(campaign_id) == "done":
                return
            self.clock.at += 61.0
        raise AssertionError(f"not done after {rounds} rounds: {await self.counts(campaign_id)}")

    async def status(self, campaign_id: int) -> str:
        """Of a campaign."""
        found = await self.get(campaign_id)
        return found.status

    async def get(self, campaign_id: int) -> Campaign:
        """A campaign as it is."""
        found = await self.store.campaigns.get(campaign_id)
        assert found is not None
        return found

    async def move(self, campaign_id: int, to: campaigns.Status, was: Sequence[str]) -> None:
        """As an operator would."""
        await self.store.db.write(
            lambda conn: campaigns.set_status(conn, campaign_id, to, self.clock(), was=was)
        )

    async def counts(self, campaign_id: int) -> dict[str, int]:
        """Its deliveries by status."""
        return await self.store.deliveries.counts(campaign_id)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        """What the file says."""
        return await self.store.db.read(lambda conn: conn.execute(sql, args).fetchall())

    async def change(self, sql: str, *args: object) -> None:
        """What something else wrote into the file."""

        def run(conn: Connection) -> None:
            conn.execute(sql, args)

        await self.store.db.write(run)
