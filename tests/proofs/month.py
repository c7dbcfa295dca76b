"""Thirty days of two accounts, lived through in seconds: what members do, and what is sent.

The store, the runner, the journeys and the way to WeChat are the real ones; WeChat is the fake
one, over HTTP, with its quotas. Only the time is ours: it stands still while something is done and
jumps to the next moment of the day. Members live on both sides: what they do is told to the fake
and written into the store as a message would be.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.client import Client, new_session
from bot.sender import Sender
from sandbox.fake_mass import MassJob
from sandbox.fake_wechat import FakeWeChat
from scheduler import journeys, pace, repeat
from scheduler.campaigns import Runner
from scheduler.planner import Account, Plan, forecast
from scheduler.rules import CampaignRules
from store import Store, audience, campaigns
from store.campaigns import Campaign, NewCampaign, Variant
from store.coupons import Claimant
from store.dialect import Connection
from store.journeys import NewJourney
from store.ledgers import Deed
from store.offers import NewOffer
from tests.blank import blank
from tests.proofs.world import ACCOUNT

DAY = 86_400.0
HOUR = 3600.0
START = datetime.fromisoformat("2026-11-16T00:00+08:00").timestamp()
"""A Monday: on the sixteenth day a new month of quotas begins."""
MOMENTS = (8.5, 10.0, 12.0, 16.0, 20.0, 21.5, 23.5)
"""Hours at which something happens; the last one is quiet."""
SERVICE, SUBSCRIPTION = "mp", "sub"
KINDS: Mapping[str, Literal["service", "subscription"]] = {
    SERVICE: "service",
    SUBSCRIPTION: "subscription",
}
WINDOW_S = 48 * HOUR
RULES = CampaignRules(
    quiet=(time(22, 0), time(8, 0)),
    cap_day=1,
    cap_week=4,
    parallel=16,
    # In pieces, so that parts are many.
    part=500,
    lease_s=DAY,
)


class Secret:
    """What the client asks for."""

    def reveal(self) -> str:
        """The account's."""
        return ACCOUNT.app_secret


@dataclass
class Person:
    """Somebody, on both sides. out: since when they want nothing, None while they do."""

    number: int
    openid: str
    channel: str
    follows: bool = False
    out: float | None = None


@dataclass
class Month:
    """The world. now: its clock. told: what owners were told, (campaign, why)."""

    store: Store
    fakes: dict[str, FakeWeChat]
    rng: random.Random
    now: float = START
    runner: Runner = field(init=False)
    people: dict[int, Person] = field(default_factory=dict)
    told: list[tuple[int, str]] = field(default_factory=list)
    jobs: list[tuple[str, MassJob]] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    outs: list[tuple[str, float, float]] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    _numbers: int = 0

    # What members do

    async def come(self, count: int) -> None:
        """So many people, three fifths on the service account; a tenth of them follow later."""
        for number in range(1, count + 1):
            channel = SERVICE if number % 5 < 3 else SUBSCRIPTION
            one = Person(number, f"o{number:06}", channel, follows=number % 10 > 0)
            self.people[number] = one
            self.fakes[channel].member(one.openid).followed = one.follows

        def put(conn: Connection) -> None:
            for one in self.people.values():
                conn.execute(
                    "insert into members (id, created_at) values (?, ?)", (one.number, START - DAY)
                )
                conn.execute(
                    "insert into identities (channel, external_id, member_id, followed, "
                    "followed_at, last_seen_at) values (?, ?, ?, ?, ?, ?)",
                    (
                        one.channel,
                        one.openid,
                        one.number,
                        int(one.follows),
                        START - 90 * DAY if one.follows else None,
                        START - self.rng.uniform(0, 20) * DAY,
                    ),
                )
                for tag in ("python", "writing", "data"):
                    if self.rng.random() < 0.5:
                        conn.execute(
                            "insert into member_tags (member_id, tag, since) values (?, ?, 0)",
                            (one.number, tag),
                        )

        await self.store.db.write(put)

    def some(self, share: float, fits: Callable[[Person], bool]) -> list[Person]:
        """About this share of the people, of those that fit."""
        return [one for one in self.people.values() if self.rng.random() < share and fits(one)]

    async def live(self) -> None:
        """What people do at this moment, in one transaction; nobody is sent anything meanwhile."""
        hour = pace.second_of_day(self.now) / HOUR
        wrote = self.some(0.004 if hour > 22 else 0.03, lambda one: one.follows)
        looked = self.some(0.01, lambda one: one.follows)
        bought = self.some(0.006, lambda one: one.follows)
        left = self.some(0.0005, lambda one: one.follows)
        came = self.some(0.01, lambda one: not one.follows)
        out = self.some(0.001, lambda one: one.out is None)
        back = self.some(0.01, lambda one: one.out is not None)
        at = self.now

        def put(conn: Connection) -> None:
            for one in wrote:
                conn.execute(
                    "insert into interactions (at, channel, member_id, kind, text, handler, item) "
                    "values (?, ?, ?, 'text', '在', 'faq', '')",
                    (at, one.channel, one.number),
                )
                conn.execute(
                    "update identities set last_seen_at = ?, allowance = 5, allowance_until = ? "
                    "where member_id = ?",
                    (at, at + WINDOW_S, one.number),
                )
            for kind, who in (("click", looked), ("purchase", bought)):
                for one in who:
                    conn.execute(
                        "insert into events (event_id, kind, at, received_at, member_id, item_id) "
                        "values (?, ?, ?, ?, ?, ?)",
                        (
                            f"{kind}:{one.number}:{at}",
                            kind,
                            at,
                            at,
                            one.number,
                            f"py-{self.rng.randrange(5)}",
                        ),
                    )
            for one in left:
                conn.execute(
                    "update identities set followed = 0, unfollowed_at = ?, allowance = 0, "
                    "allowance_until = 0 where member_id = ?",
                    (at, one.number),
                )
            for one in came:
                conn.execute(
                    "update identities set followed = 1, followed_at = ?, last_seen_at = ?, "
                    "burst = 3, burst_until = ? where member_id = ?",
                    (at, at, at + 60, one.number),
                )

        await self.store.db.write(put)
        for one in wrote:
            self.fakes[one.channel].open_window(one.openid, "message")
        for one in (*left, *came):
            one.follows = one in came
            member = self.fakes[one.channel].member(one.openid)
            member.followed = one.follows
            member.windows.clear()
            if one.follows:
                self.fakes[one.channel].open_window(one.openid, "click")
            else:
                member.tags.clear()
        for one in out:
            await self.store.optouts.leave_all(one.number, at)
            one.out = at
        for one in back:
            await self.store.optouts.come_back(one.number)
            self.outs.append((one.openid, one.out or 0.0, at))
            one.out = None
        self.figures["messages from members"] += len(wrote)

    async def claim(self, word: str, share: float, days: float) -> None:
        """Some hold a coupon that ends in so many days."""
        offer = NewOffer(
            word=word, title=word, kind="amount", value=500, valid_until=self.now + days * DAY
        )
        await self.store.offers.create(offer, self.now, "cli")
        for one in self.some(share, lambda one: one.follows):
            key = one.number.to_bytes(16, "big")
            await self.store.coupons.claim(word, Claimant(one.number), key, self.now)

    def by_hand(self, channel: str) -> None:
        """The operator sends something from WeChat's website, to everybody who follows."""
        fake = self.fakes[channel]
        fake.mass.by_hand("网站上发的", [one for one, who in fake.members.items() if who.followed])

    # What operators do

    async def journey(
        self, channel: str, trigger: str, *delays: float, routes: Sequence[str] = ("custom",)
    ) -> None:
        """A journey with a step for each delay, in seconds, started now."""
        name = f"{trigger} {channel} {len(self.texts)}"
        steps = [
            replace(
                self._new(channel, "everyone", routes=routes, holdout=0.0),
                kind="step",
                journey_id=0,
                delay_s=delay,
            )
            for delay in delays
        ]
        anchor = self.now + 9 * DAY + 20 * HOUR if trigger == "date" else None
        made = await self.store.journeys.create(
            NewJourney(
                name=name[:40],
                channel=channel,
                trigger=trigger,
                stops=("bought", "left"),
                anchor_at=anchor,
            ),
            steps,
            self.now,
            "cli",
        )
        assert made is not None
        deed = Deed(self.now, "cli", "journey.start")
        assert await self.store.journeys.start(made.id, self.now, deed) is not None

    async def plan(self, channel: str, rule: str, **fields: Any) -> Campaign:
        """A campaign that is confirmed and begins now, or repeats."""
        new = replace(self._new(channel, rule), **{"starts_at": self.now, **fields})
        return await self.store.db.write(lambda conn: self._put(conn, new))

    def _put(self, conn: Connection, new: NewCampaign) -> Campaign:
        made = campaigns.insert(
            conn, new, self.now, "cli", status="scheduled", rng=self.rng.randbytes
        )
        assert made is not None
        # Confirmed for as many as there are; `go` looks how many it really is.
        conn.execute("update campaigns set approved = ? where id = ?", (len(self.people), made.id))
        found = campaigns.get(conn, made.id)
        assert found is not None
        return found

    def _new(self, channel: str, rule: str, **fields: Any) -> NewCampaign:
        """Every variant of every campaign says what no other says, so that phones can tell."""
        self._numbers += 1
        words = [f"第{self._numbers}条消息，版本{name}" for name in "AB"]
        self.texts.update(words)
        plain: dict[str, Any] = {
            "title": f"第{self._numbers}条",
            "channel": channel,
            "audience": rule,
            "variants": tuple(
                Variant(name=name, content={"kind": "text", "text": text})
                for name, text in zip("AB", words, strict=True)
            ),
            "routes": ("custom", "mass_list"),
            "holdout": 0.05,
        }
        return NewCampaign(**{**plain, **fields})

    def one_variant(self) -> tuple[Variant, ...]:
        """For routes that send once a day: two wordings would be two sends."""
        return self._new(SUBSCRIPTION, "everyone").variants[:1]

    async def expected(self, campaign: Campaign) -> Plan:
        """The forecast that an operator would confirm now, without who is not on its channel."""
        account = Account(KINDS[campaign.channel])
        told = await forecast(self.store, campaign, RULES, account, self.now)
        strangers = await self.store.db.read(
            lambda conn: audience.strangers(conn, campaign.audience, campaign.channel, self.now)
        )
        skipped = Counter(told.skipped)
        skipped["unreachable"] -= strangers
        return replace(told, skipped={why: count for why, count in skipped.items() if count})

    # What time does

    async def ticks(self) -> None:
        """Everything that the clock starts, but the sending."""
        await repeat.tick(self.store, self.now)
        await journeys.tick(self.store, self.now, RULES)

    async def settle(self) -> None:
        """Send until nothing is due now. The clock only moves where the pace makes it wait."""
        for _ in range(100):
            did = await self.runner.run_once()
            await self.report()
            if not await self.store.db.read(self._due):
                return
            if not did:
                self.now += 2.0
        raise AssertionError(
            "what is due does not leave, though nothing but the pace is in its way"
        )

    def _due(self, conn: Connection) -> bool:
        """Whether something waits for nothing but the pace."""
        if pace.quiet(self.now, RULES.quiet):
            return False
        sql = (
            "select 1 from deliveries as d join campaigns as c on c.id = d.campaign_id "
            "where d.status = 'planned' and d.due_at <= ? and c.status = 'running' "
            "union all select 1 from parts where status in ('gathering', 'sending') "
            "union all select 1 from campaigns where status = 'freezing' "
            "or (status = 'scheduled' and kind = 'once' and starts_at <= ?) limit 1"
        )
        return conn.execute(sql, (self.now, self.now)).fetchone() is not None

    def heard(self, channel: str, job: MassJob) -> None:
        """The platform has sent something; its event comes when it is reported."""
        self.jobs.append((channel, job))

    async def report(self) -> None:
        """The finish events of what was sent."""
        while self.jobs:
            channel, job = self.jobs.pop(0)
            counts = (job.total, job.filtered, job.sent, job.failed)
            number = str(job.msg_id)
            args = (channel, number, job.status, counts, self.now)
            if not await self.store.parts.finished(*args):
                await self.store.mass_quota.note_elsewhere(
                    channel, number, counts, job.status, self.now
                )

    async def go(self, campaign: Campaign) -> dict[str, Any]:
        """Send a campaign that begins now, and hold what became of it against its forecast."""
        fake = self.fakes[campaign.channel]
        told = await self.expected(campaign)
        assert not told.problems, told
        calls = Counter(fake.calls)
        await self.settle()
        came_of = await self.store.db.read(lambda conn: outcome(conn, campaign.id))
        made = {
            name: fake.calls[f"/cgi-bin/{name}"] - calls[f"/cgi-bin/{name}"]
            for name in told.calls
            if not name.startswith("tags/delete")
        }
        foretold = {
            "recipients": told.recipients,
            "held": told.held,
            "skipped": dict(told.skipped),
            "routes": {route: count for route, count in told.routes.items() if count},
            "variants": {name: count for name, count in told.variants.items() if count},
            "calls": {name: count for name, count in told.calls.items() if name in made},
        }
        assert {**came_of, "calls": made} == foretold, campaign
        self.figures["forecasts that came true"] += 1
        self.figures["members in them"] += told.matched
        return foretold

    def all_outs(self) -> Iterable[tuple[str, float, float]]:
        """(openid, since, until) for every time that somebody wanted nothing."""
        yield from self.outs
        for one in self.people.values():
            if one.out is not None:
                yield one.openid, one.out, math.inf

    async def lost(self) -> list[Campaign]:
        """Campaigns that ask whether they may still go."""
        return await self.store.campaigns.all("late")


def outcome(conn: Connection, campaign_id: int) -> dict[str, Any]:
    """What became of a campaign, in the words of its forecast."""
    rows = conn.execute(
        "select status, reason, route, variant, count(*) from deliveries "
        "where campaign_id = ? group by 1, 2, 3, 4",
        (campaign_id,),
    ).fetchall()
    sent = [row for row in rows if row[0] in ("accepted", "delivered")]

    def summed(place: int, found: Iterable[Sequence[Any]]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for row in found:
            counts[row[place]] += row[4]
        return dict(counts)

    others = [row for row in rows if row not in sent and row[0] not in ("held", "skipped")]
    assert not others, others
    return {
        "recipients": sum(row[4] for row in sent),
        "held": sum(row[4] for row in rows if row[0] == "held"),
        "skipped": summed(1, (row for row in rows if row[0] == "skipped")),
        "routes": summed(2, sent),
        "variants": summed(3, sent),
    }


@asynccontextmanager
async def month(folder: Path, seed: int) -> AsyncIterator[Month]:
    """The world at its beginning; nobody is in it yet."""
    store = Store(blank(folder / "month.db"), durability="process", readers=1)
    await store.open()
    rng = random.Random(seed)
    world = Month(store, {}, rng)
    session = new_session(RULES.parallel)

    def now() -> float:
        return world.now

    async def told(campaign: Campaign, why: str) -> None:
        world.told.append((campaign.id, why))

    async def sleep(seconds: float) -> None:
        world.now += seconds
        await asyncio.sleep(0)

    clients = {}
    for channel, kind in KINDS.items():
        fake = FakeWeChat(replace(ACCOUNT, kind=kind), now=now, rng=random.Random(seed))
        fake.mass.finish = "lost"
        fake.mass.on_job = partial(world.heard, channel)
        world.fakes[channel] = fake
        clients[channel] = Client(
            channel,
            ACCOUNT.app_id,
            Secret(),
            session=session,
            tokens=store.tokens,
            quota=store.quota,
            now=now,
            api_base=await fake.start(),
        )
    filling = Filling(store, None, now=now)
    world.runner = Runner(
        store,
        Sender(clients, filling, CampaignMedia(store.assets, now=now)),
        RULES,
        now=now,
        holder="month",
        told=told,
        accounts={channel: Account(kind) for channel, kind in KINDS.items()},
        sleep=sleep,
    )
    try:
        yield world
    finally:
        await world.runner.close()
        await session.close()
        for fake in world.fakes.values():
            await fake.close()
        await store.close()
