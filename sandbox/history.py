"""What happened in the demo before it was opened: ten weeks of some groups, so that reports have
something to say at once.

A hundred and twenty people were thought up (`sandbox/simulated.py`): they follow the account, talk
in two groups, buy, fall silent. The day before the last a word was new in one of the groups, and in
the last hour and a half a lesson would not play in the other. Nobody's words are in it; the same
past every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sandbox.history_shop import retaste
from sandbox.history_words import WORDS
from sandbox.simulated import Burst, Plan, World, simulate
from sandbox.simulated_words import ANSWERED, ASKED, BAD, GOOD, PLAIN, TOPICS
from store import Store
from store.history import fill

MEMBERS, DAYS, FIRST_ID = 120, 70, 1001
"""Numbers from 1001 on, so that who tries the demo meets no number twice."""
SEED = 2
CHANNEL = "mp"
WRITTEN = "demo:history"
"""The finding that says that the past stands in the store."""

NEW_WORD = "作品集互评"
LESSON = "直播回放"
_WAVE_PEOPLE, _WAVE_S = 16, 6000.0
_COMPLAINED = (
    "直播回放又打不开，太失望了",
    "直播回放一直卡，完全听不清",
    "等了一晚上，直播回放还是加载失败，真让人生气",
    "直播回放看不了，花了钱的课，想退款",
    "直播回放又没声音，这样拖真的很不满意",
    "有人直播回放能看吗，我这里一直转圈，好烦",
)
_CALM = (
    "我刷新了几次，直播回放还是不行",
    "直播回放什么时候能修好？",
    "先看讲义吧，直播回放晚点再说",
)
_BAD_SHARE = 0.75

_TOPICS = (("写作打卡", "副业接单"), ("读书笔记", "时间管理"))
"""What the circles of each group speak of."""
_CHEERED = {"bad": 0.8, "plain": 0.5, "asked": 0.15}
"""Of what is said crossly or calmly or asked, so much is said gladly here."""
_TONES = (("good", GOOD), ("plain", PLAIN), ("bad", BAD), ("asked", ASKED), ("answered", ANSWERED))

_PAUSE_S = 0.5
_PATIENCE_S = 120.0

_SURNAMES = "陈林黄张李王吴刘蔡杨许郑谢郭洪曾邱廖赖周徐苏叶庄江吕何罗高萧潘朱简钟游詹胡施沈余"
_GIVEN = (
    "思远雨桐明轩佳宁晓峰若溪子涵文静浩然梓萱一鸣书瑶志强慧敏嘉豪诗雅俊杰雪梅宏伟欣怡"
    "建国丽华天宇可欣立群安琪海波静怡振华悦然"
)
"""Two signs each."""
_NICKNAMES = ("小鹿", "阿森", "橘子汽水", "慢慢来", "七月", "早起的鱼", "北方的南瓜", "一杯清茶")


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """What the people are called in their groups: names and nicknames, no two alike."""
    rng = random.Random(SEED)  # noqa: S311 - the same people every time
    given = [_GIVEN[at : at + 2] for at in range(0, len(_GIVEN), 2)]
    full = [surname + one for surname in _SURNAMES for one in given]
    some = [*_NICKNAMES, *rng.sample(full, MEMBERS - len(_NICKNAMES))]
    rng.shuffle(some)
    return tuple(some)


def openid(number: int) -> str:
    """Of the member with this number, as the account knows them."""
    return f"oPast_demo_member_{number:010d}"


def openids() -> tuple[str, ...]:
    """Of all of them."""
    return tuple(openid(FIRST_ID + n) for n in range(MEMBERS))


def past(now: float, places: Sequence[str]) -> World:
    """What happened until now. CPU: half a second.

    places: two groups; a new word comes up in the first, and in the second the lesson fails.
    """
    world = simulate(
        Plan(
            now=now,
            seed=SEED,
            members=MEMBERS,
            days=DAYS,
            first_id=FIRST_ID,
            channel=CHANNEL,
            places=tuple(places),
            circles=2,
            leaders=1,
            leaving=0.35,
            early=0.35,
            per_day=0.75,
            bursts=(Burst(places[0], 1, 14, NEW_WORD),),
        )
    )
    rows = world.rows
    circles = _retell(world, places)
    retaste(rows, world.people, circles, SEED + 3)
    # In the account nobody wrote in the last two days: WeChat lets it write to them by mass only,
    # and a campaign of somebody who tries is one call, not a hundred.
    quiet = now - 2.5 * 86_400.0
    rows["identities"] = [
        (channel, openid(member), member, followed, since, until, min(seen, quiet))
        for channel, _, member, followed, since, until, seen in rows["identities"]
    ]
    called = dict(zip(range(FIRST_ID, FIRST_ID + MEMBERS), names(), strict=True))
    rows["group_members"] = [
        (place, member, since, left, called[member], welcomed)
        for place, member, since, left, _, welcomed in rows["group_members"]
    ]
    _complain(world, places[1], now)
    return world


def _retell(world: World, places: Sequence[str]) -> dict[int, str]:
    """Say the same about the same in more words than a simulation needs; who speaks of what."""
    rng = random.Random(SEED + 2)  # noqa: S311 - the same past every time
    tones = {
        sentence.format(topic=topic, word=word): tone
        for tone, sentences in _TONES
        for sentence in sentences
        for topic, words in TOPICS.items()
        for word in words
    }
    circles = {one.id: _TOPICS[places.index(one.place)][one.circle] for one in world.people}

    def retold(member: int, text: str) -> str:
        tone = tones.get(text, "")
        if rng.random() < _CHEERED.get(tone, 0.0):
            tone = "good"
        return rng.choice(getattr(WORDS[circles[member]], tone)) if tone else text

    rows = world.rows
    rows["talk"] = [(*row[:6], retold(row[3], row[6]), *row[7:]) for row in rows["talk"]]
    rows["interactions"] = [
        (*row[:4], retold(row[2], row[4]), *row[5:]) for row in rows["interactions"]
    ]
    return circles


def _complain(world: World, place: str, now: float) -> None:
    """What the last hour and a half brought: the lesson would not play."""
    rng = random.Random(SEED + 1)  # noqa: S311 - the same past every time
    here = [one for one in world.people if one.place == place and one.left > DAYS]
    rng.shuffle(here)
    talk = world.rows["talk"]
    number = max(row[0] for row in talk) + 1
    turns = [one for person in here[:_WAVE_PEOPLE] for one in (person, person)]
    rng.shuffle(turns)
    for place_in_line, person in enumerate(turns):
        at = now - _WAVE_S * (1 - place_in_line / len(turns)) - 60.0
        said = rng.choice(_COMPLAINED if rng.random() < _BAD_SHARE else _CALM)
        talk.append(_turn(number, place, person.id, at, said))
        number += 1


def _turn(number: int, place: str, member: int, at: float, said: str) -> tuple[Any, ...]:
    key = hashlib.blake2b(f"demo:past:{number}".encode(), digest_size=16).digest()
    return (number, key, place, member, at, "text", said, f"s{number}", None, 0)


async def write(store: Store, now: float, places: Sequence[str]) -> bool:
    """Write the past, unless it stands there already; whether it was written. Errors: StoreError.

    Whoever talks meanwhile is not disturbed: it is worked out in a thread, and rows go in slices.
    """
    if await store.interactions.finding(WRITTEN) is not None:
        return False
    world = await asyncio.to_thread(past, now, places)
    await fill(store.db, world.rows)
    await store.interactions.put_finding(WRITTEN, "{}", now)
    return True


async def read_out(store: Store) -> bool:
    """Whether moods and words of all that stands there have been read out. Errors: StoreError."""
    acts, said, *_ = await store.features.ends()
    for log, end in (("i", acts), ("t", said)):
        ahead = await store.readings.position(f"readings:{log}")
        behind = await store.readings.position(f"readings:{log}:past")
        if ahead is None or ahead < end or behind != 0:
            return False
    return True


async def until_read(store: Store) -> bool:
    """Wait for it; False when that took too long."""
    for _ in range(round(_PATIENCE_S / _PAUSE_S)):
        if await read_out(store):
            return True
        await asyncio.sleep(_PAUSE_S)
    return False
