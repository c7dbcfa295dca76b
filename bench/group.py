"""A busy evening: messages of many groups through the ear, on one core, as they come.

An open loop: messages are due at random moments at a given rate, whether or not those before are
done, and a message's time runs from the moment it was due until the gateway could be told
"heard". On the way it is judged by the real rules (and by the spam model, where there is one), its
place in the conversation is found, and it is written, with who turns to whom, into a real file
that syncs every commit. What is meant for the bot is counted and not answered: `bench.webhook`
measures answers.

Groups and members follow a power law. The texts are made up here. The process and its writer share
one core. `--max` also looks for the highest rate that keeps p99. One JSON object on stdout,
progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.load import percentile_ms
from bot.group_settings import GroupSettings
from bot.hearing import Ear
from bot.order import Model, Order
from handlers.addressing import GroupSpeech, wanted
from handlers.message import Message, Talk
from handlers.texts import Texts
from insights.spam import ModelFile, SpamModel
from store import Store
from store.groups import Group, GroupRules

RATE = 300.0
P99_MS = 50.0
CHANNEL = "qun"
BOT = "wx_bot"
WARM_S = 3.0
LOOK_S = 10.0
"""How long each rate is tried by --max."""
CLOSE = 0.05
"""--max ends when it knows the rate this closely."""

_WHO = ("老师", "助教", "大家", "群主", "同学们", "各位")
_WHAT = ("作业", "第三章", "直播", "资料", "证书", "报名", "课表", "录播", "练习题", "结业考试")
_DOES = ("几点开始", "在哪里看", "怎么交", "什么时候截止", "有没有回放", "可以补吗", "难不难")
_MORE = ("谢谢", "我也想问", "昨天看过了", "刚刚试了一下", "好像打不开", "手机上也行", "改天再说")
_SHORT = ("好的", "收到", "哈哈", "嗯嗯", "是的", "不客气", "来了", "晚安", "早", "可以")
_SELLS = (
    "兼职日结，每天半小时，加微信 {code} 详聊",
    "内部渠道，低价会员，私聊我 {code}",
    "免费领资料，点 http://{code}.example.com/get 名额有限",
)


class _World:
    """Groups and who is in them, and what they say; the same for the same seed."""

    def __init__(self, groups: int, members: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._groups = [f"{number}@chatroom" for number in range(groups)]
        self._weights = [1.0 / (number + 1) ** 0.7 for number in range(groups)]
        self._size = members
        self._active = [1.0 / (number + 1) for number in range(members)]
        self._last: dict[str, tuple[str, str]] = {}  # group -> who spoke last, message id
        self._number = 0

    @property
    def groups(self) -> list[str]:
        """Ids on the channel."""
        return self._groups

    def members(self, group: str) -> list[str]:
        """Who is in a group; many are in one only."""
        return [f"wx_{group[:-9]}_{number}" for number in range(self._size)]

    def text(self) -> str:
        """A turn: short words, a question, a sentence or two."""
        pick, dice = self._random.choice, self._random.random()
        if dice < 0.25:
            return pick(_SHORT)
        if dice < 0.27:
            code = "".join(self._random.choices("abcdefghkmnpqrstuvwxyz23456789", k=9))
            return pick(_SELLS).format(code=code)
        if dice < 0.6:
            return f"{pick(_WHAT)}{pick(_DOES)}？"
        if dice < 0.7:
            return f"{pick(_WHO)}，{pick(_WHAT)}{pick(_DOES)}，{pick(_MORE)}"
        return (
            f"{pick(_WHAT)}{self._random.randint(1, 99)}，{pick(_MORE)}，{pick(_WHAT)}{pick(_DOES)}"
        )

    def message(self) -> Message:
        """The next turn of some group."""
        self._number += 1
        chance = self._random.random
        (group,) = self._random.choices(self._groups, self._weights)
        (sender,) = self._random.choices(self.members(group), self._active)
        last, quoted = self._last.get(group, ("", ""))
        message_id = f"m{self._number}"
        self._last[group] = (sender, message_id)
        mentions = (last,) if last not in ("", sender) and chance() < 0.2 else ()
        addressed = chance() < 0.03
        text = self.text()
        if addressed:
            text = f"@小知 {text}"
        elif mentions:
            text = f"@{last} {text}"
        talk = Talk(
            group=group,
            message_id=message_id,
            addressed=addressed,
            mentions=mentions,
            quotes=quoted if chance() < 0.05 else "",
            name=sender[-6:],
        )
        key = hashlib.blake2b(message_id.encode(), digest_size=16).hexdigest()
        return Message(CHANNEL, BOT, sender, "text", 0, key, text, source="onebot", talk=talk)


@dataclass(frozen=True, slots=True)
class Load:
    """How a rate went. behind_ms: p99 of how late a message was begun; under_way: at the end."""

    rate: float
    messages: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    behind_ms: float
    under_way: int
    refused: int
    cpu_share: float


class _Town:
    """A store, an order and an ear, as the bot has them."""

    def __init__(self, folder: Path, model: Model | None, world: _World) -> None:
        self.world = world
        self.store = Store(folder / "bench.db", durability="full")
        settings = GroupSettings()
        speech = GroupSpeech(names=("小知",))
        self.taken = 0

        async def tell(text: str, key: bytes) -> bool:
            return True

        def meant(message: Message, group: Group | None, now: float) -> object | None:
            return wanted(message, group, speech, now=now)

        async def take(message: Message, body: bytes) -> bool:
            self.taken += 1
            return True

        self.order = Order(
            self.store,
            model,
            settings,
            Texts.load(),
            hide=self.store.talk.hide,
            tell=tell,
            posting=(),
            kickers={},
            own_hosts=lambda: (),
        )
        self.ear = Ear(self.store, order=self.order, wanted=meant, take=take, now=time.time)

    async def open(self) -> None:
        """Everybody has been met, as in a bot that has run for a while."""
        await self.store.open()
        now = time.time()
        for group in self.world.groups:
            known = await self.store.groups.meet(CHANNEL, group, now, bound_by="bench")
            await self.store.groups.rule(known.place, lambda _: GroupRules(order="watch"))
            meet = self.store.members.meet
            await asyncio.gather(*(meet(CHANNEL, who, now) for who in self.world.members(group)))
        await self.order.tick(now)

    async def close(self) -> None:
        """Finish what is under way."""
        await self.ear.close(10.0)
        await self.store.close()

    async def rows(self) -> dict[str, int]:
        """How much was written."""
        places = [f"{CHANNEL}:{group}" for group in self.world.groups]
        edges = await self.store.edges.between(places, time.time())
        hours = [await self.store.talk.hours(place, 0.0, 1e12) for place in places]
        return {
            "talk": sum(one.turns for found in hours for one in found),
            "edges": len(edges),
            "turns_in_edges": sum(edge.turns for edge in edges),
        }


def _due(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments from 0 on, at random like those of people who know nothing of each other."""
    chance = random.Random(seed)
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


async def _press(town: _Town, rate: float, seconds: float, seed: int) -> Load:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    late: list[float] = []
    refused = 0
    running: set[asyncio.Task[None]] = set()
    plan = [(at, town.world.message()) for at in _due(rate, seconds, seed)]

    async def one(message: Message, due: float) -> None:
        nonlocal refused
        if not await town.ear.hear(message, b""):
            refused += 1
        took.append(loop.time() - due)

    cpu, began = time.process_time(), loop.time()
    for at, message in plan:
        due = began + at
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        late.append(loop.time() - due)
        task = loop.create_task(one(message, due))
        running.add(task)
        task.add_done_callback(running.discard)
        if len(late) % 16 == 0:
            await asyncio.sleep(0)  # behind: those that were begun must get their turn
    share = (time.process_time() - cpu) / (loop.time() - began)
    under_way = len(running)
    if running:
        await asyncio.wait(running)
    return Load(
        rate=round(len(plan) / seconds, 1),
        messages=len(plan),
        p50_ms=round(percentile_ms(took, 0.5), 2),
        p99_ms=round(percentile_ms(took, 0.99), 2),
        max_ms=round(max(took, default=0.0) * 1000, 2),
        behind_ms=round(percentile_ms(late, 0.99), 2),
        under_way=under_way,
        refused=refused,
        cpu_share=round(share, 3),
    )


def _holds(load: Load) -> bool:
    return load.p99_ms <= P99_MS and load.refused == 0


async def _highest(town: _Town, seconds: float) -> list[Load]:
    """Rates that were tried, the highest that holds last; [] when not even `RATE` does."""
    tried: list[Load] = []
    low, high = 0.0, 0.0
    rate = RATE
    while not high or high / max(low, 1.0) > 1 + CLOSE:
        load = await _press(town, rate, seconds, int(rate))
        say(f"{load.rate:g}/s: p99 {load.p99_ms:g} ms, {load.cpu_share:.0%} of a core")
        if _holds(load):
            low = rate
            tried.append(load)
        else:
            high = rate
            if not low:
                return []
        rate = (low + high) / 2 if high else low * 1.5
    return tried


def spam_model() -> Model | None:
    """The model that ships, None where none was fitted."""
    try:
        return SpamModel.load()
    except ModelFile:
        return None


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def _machine(folder: Path, seconds: float) -> dict[str, float]:
    """What this machine does to a process that only sleeps 3 ms and syncs 4 kB, by turns: p99.

    Whoever else uses its cores and its disk shows here, and in every figure below.
    """
    wakes: list[float] = []
    syncs: list[float] = []
    ends = time.perf_counter() + seconds
    with (folder / "sync").open("wb", buffering=0) as file:
        while time.perf_counter() < ends:
            began = time.perf_counter()
            time.sleep(0.003)
            slept = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            wakes.append(slept - began - 0.003)
            syncs.append(time.perf_counter() - slept)
    return {
        "wake_p99_ms": round(percentile_ms(wakes, 0.99), 2),
        "sync_p99_ms": round(percentile_ms(syncs, 0.99), 2),
    }


def one_core() -> bool:
    """Keep this process and all its threads on one core; False where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


async def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    machine = _machine(folder, args.warm)
    model = spam_model()
    town = _Town(folder, model, _World(args.groups, args.members, args.seed))
    await town.open()
    try:
        await _press(town, args.rate, args.warm, args.seed)
        gc.collect()
        gc.freeze()
        say(f"{args.rate:g} messages/s for {args.seconds:g} s")
        load = await _press(town, args.rate, args.seconds, args.seed + 1)
        told: dict[str, Any] = {
            "groups": args.groups,
            "members": args.groups * args.members,
            "one_core": args.one_core,
            "spam_model": model is not None,
            "machine": machine,
            **asdict(load),
            "rows": await town.rows(),
            "for_the_bot": town.taken,
        }
        if args.max:
            held = await _highest(town, LOOK_S)
            told["max"] = asdict(held[-1]) if held else None
        told["goals"] = {"p99_50_ms_at_300": load.rate >= 0.97 * RATE and _holds(load)}
        return told
    finally:
        gc.unfreeze()
        await town.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 even where a goal is missed, for a figure is no error."""
    parser = argparse.ArgumentParser(prog="python -m bench.group", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--warm", type=float, default=WARM_S)
    parser.add_argument("--groups", type=int, default=300)
    parser.add_argument("--members", type=int, default=25, help="of each group")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--folder", type=Path, help="where the file is made; default: temporary")
    parser.add_argument("--max", action="store_true", help="look for the highest rate, too")
    args = parser.parse_args(argv)
    args.one_core = one_core()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        told = asyncio.run(run(args, Path(folder)))
    print(json.dumps(told, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
