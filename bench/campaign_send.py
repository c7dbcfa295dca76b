"""The processes of the campaign bench: a WeChat, our runner, and a loop that only posts.

`python -m bench.campaign_send wechat MEMBERS`: the fake WeChat; says its address, then takes
lines: a number of seconds that every call lasts. `… ours ADDRESS FILE MESSAGES PARALLEL` sends a
campaign; `… bare ADDRESS MESSAGES PARALLEL` posts as many messages and keeps nothing. Both say
what it took, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import time as clock_time
from pathlib import Path

import aiohttp

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.client import Client, new_session
from bot.sender import Sender
from bot.terminal import run_loop
from sandbox.fake_wechat import Account, FakeWeChat
from scheduler.campaigns import Runner
from scheduler.planner import Account as Rights
from scheduler.rules import CampaignRules
from store import Store, campaigns
from store.campaigns import Campaign
from store.dialect import Connection
from tests.bench.campaign_rows import put_campaign, put_followers

ACCOUNT = Account(
    app_id="wx00bench00bench00",
    app_secret="bench-secret-of-nothing-at-all-0",
    token="benchtoken",
    aes_key="benchbenchbenchbenchbenchbenchbenchbenchbe0",
    gh_id="gh_bench",
)
CHANNEL = "mp"
TEXT = "新课上线，回复 退订 不再接收。"
FASTEST = 1_000_000
"""A pace that does not hold anybody up: what is measured is ours, not the operator's setting."""


class Secret:
    """What the client asks for."""

    def reveal(self) -> str:
        """The account's."""
        return ACCOUNT.app_secret


async def wechat(members: int) -> None:
    """The fake, until its input ends."""
    fake = FakeWeChat(ACCOUNT)
    fake.daily.clear()
    for number in range(1, members + 1):
        fake.member(f"o{number}")
        fake.open_window(f"o{number}", "message")
    print(await fake.start(), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        fake.api_hang_s = float(line)
        got = [len(member.inbox) for member in fake.members.values()]
        print(json.dumps({"least": min(got), "most": max(got)}), flush=True)
    await fake.close()


def put(conn: Connection, members: int, now: float) -> Campaign:
    """Followers who have just written, and a campaign for all of them."""
    put_followers(conn, members, now)
    return put_campaign(conn, "custom", TEXT, now)


async def ours(address: str, file: Path, messages: int, parallel: int) -> dict[str, float]:
    """The runner, with its ledger, its caps and a disk that is waited for."""
    store = Store(file, durability="full")
    await store.open()
    now = time.time()
    campaign = await store.db.write(lambda conn: put(conn, messages, now))
    session = new_session(parallel)
    client = Client(
        CHANNEL,
        ACCOUNT.app_id,
        Secret(),
        session=session,
        tokens=store.tokens,
        quota=store.quota,
        now=time.time,
        api_base=address,
    )
    await client.token()

    async def told(campaign: Campaign, note: str) -> None:
        print(f"campaign {campaign.id}: {note}", file=sys.stderr)

    media = CampaignMedia(store.assets, now=time.time)
    runner = Runner(
        store,
        Sender({CHANNEL: client}, Filling(store, None, now=time.time), media),
        CampaignRules(
            quiet=(clock_time(0), clock_time(0)),
            cap_day=5,
            cap_week=20,
            custom_per_minute=FASTEST,
            custom_per_day=100_000_000,
            parallel=parallel,
        ),
        now=time.time,
        holder="bench",
        told=told,
        accounts={CHANNEL: Rights()},
        budget_s=3600.0,
    )
    began, cpu = time.perf_counter(), time.process_time()
    while True:
        await runner.run_once()
        if await store.db.read(lambda conn: campaigns.active(conn)) == []:
            break
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    counts = await store.deliveries.counts(campaign.id)
    await runner.close()
    await session.close()
    await store.close()
    return _said(counts.get("accepted", 0), seconds, cpu)


async def bare(address: str, messages: int, parallel: int) -> dict[str, float]:
    """The same calls with nothing around them."""
    connector = aiohttp.TCPConnector(limit=parallel)
    async with aiohttp.ClientSession(connector=connector) as session:
        wanted = {
            "grant_type": "client_credential",
            "appid": ACCOUNT.app_id,
            "secret": ACCOUNT.app_secret,
        }
        async with session.post(f"{address}/cgi-bin/stable_token", json=wanted) as answer:
            token = (await answer.json(content_type=None))["access_token"]
        url = f"{address}/cgi-bin/message/custom/send?access_token={token}"
        numbers = iter(range(1, messages + 1))
        done = 0

        async def work() -> None:
            nonlocal done
            for number in numbers:
                body = {"touser": f"o{number}", "msgtype": "text", "text": {"content": TEXT}}
                raw = json.dumps(body, ensure_ascii=False).encode()
                async with session.post(url, data=raw) as response:
                    done += json.loads(await response.read())["errcode"] == 0

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(parallel)))
        return _said(done, time.perf_counter() - began, time.process_time() - cpu)


def _said(sent: int, seconds: float, cpu: float) -> dict[str, float]:
    return {
        "sent": sent,
        "seconds": round(seconds, 2),
        "per_s": round(sent / seconds, 1),
        "cpu_us": round(cpu / max(1, sent) * 1e6, 1),
    }


def main() -> None:
    """One of the three."""
    what, *args = sys.argv[1:]
    if what == "wechat":
        run_loop(wechat(int(args[0])))
    elif what == "ours":
        address, file, messages, parallel = args
        print(json.dumps(run_loop(ours(address, Path(file), int(messages), int(parallel)))))
    else:
        address, messages, parallel = args
        print(json.dumps(run_loop(bare(address, int(messages), int(parallel)))))


if __name__ == "__main__":
    main()
