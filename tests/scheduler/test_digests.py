"""The daily digest: at its time, once, into the group or to who bound it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from handlers.digest_text import LONGEST, digest_text
from handlers.texts import Texts
from insights.digest import Counts, Day, Quoted, Topic
from scheduler.digests import LATE_S, due_at, read_day, tick
from store import Store
from store.groups import Group, GroupRules, Seen
from store.talk import NewTalk
from tests.blank import blank
from tests.handlers.in_group import group

NINE = datetime.fromisoformat("2026-11-21T21:00+08:00").timestamp()
GATE = "qun"
PLACE = "qun:1"
TEXTS = Texts.load()


def say(day: Day, group: Group, date: str) -> str:
    return digest_text(TEXTS, day, group.title, date)


@dataclass
class Evening:
    """A group in which things are said, and the job. told: who heard it in private."""

    store: Store
    posting: tuple[str, ...] = (GATE,)
    told: dict[bytes, tuple[int | None, str]] = field(default_factory=dict)
    number: int = 0

    async def rules(self, **rules: Any) -> None:
        await self.store.groups.rule(PLACE, lambda old: replace(old, **rules))

    async def says(self, who: str, text: str, at: float, **more: Any) -> None:
        self.number += 1
        await self.store.members.meet(GATE, who, at)
        key = self.number.to_bytes(16, "big")
        new = NewTalk(key, PLACE, GATE, who, at, "text", text, name=who, **more)
        await self.store.talk.say(new)

    async def chats(self, at: float = NINE - 7200) -> None:
        for number, text in enumerate(
            ("读书会周六开始", "读书会我来", "读书会带什么书？", "带自己喜欢的读书会的书", "好的")
        ):
            await self.says(f"人{number % 3}", text, at + 20 * number)

    async def tick(self, now: float = NINE) -> str:
        async def tell(member: int | None, words: str, key: bytes) -> bool:
            self.told.setdefault(key, (member, words))
            return True

        return await tick(
            self.store, say, tell, self.posting, time(21, 0), _cut, lambda word: 11.0, now
        )

    async def posts(self) -> list[str]:
        def read(conn: Any) -> list[str]:
            rows = conn.execute("select body from posts where kind = 'digest' order by id")
            return [json.loads(row[0])["content"] for row in rows]

        return await self.store.db.read(read)

    async def rows(self) -> list[tuple[str, str]]:
        rows = "select day, body from digests order by day"
        return await self.store.db.read(lambda conn: conn.execute(rows).fetchall())


def _cut(text: str) -> list[str]:
    return ["读书会"] if "读书会" in text else []


@pytest.fixture
async def evening(tmp_path: Path) -> AsyncIterator[Evening]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    boss = await store.members.meet(GATE, "boss", NINE - 86_400)
    await store.groups.meet(GATE, "1", NINE - 86_400, name="读书群")
    await store.groups.bind(PLACE, NINE - 86_400, f"member:{boss.id}")
    evening = Evening(store)
    await evening.rules(digest="")
    yield evening
    await store.close()


def test_a_digest_is_due_at_the_groups_time_or_the_configured_one() -> None:
    nine = time(21, 0)
    assert due_at(group(rules=GroupRules(digest="")), nine, NINE) == NINE
    assert due_at(group(rules=GroupRules(digest="20:30")), nine, NINE) == NINE - 1800
    assert due_at(group(rules=GroupRules(digest="off")), nine, NINE) is None
    assert due_at(group(), nine, NINE) is None
    assert due_at(group(rules=GroupRules(digest=""), bound_at=None), nine, NINE) is None


async def test_a_digest_is_posted_once_a_day(evening: Evening) -> None:
    await evening.chats()
    assert await evening.tick(NINE - 1) == ""
    assert await evening.tick() == "digest of group 1"
    for later in (0, 30, 3600, LATE_S):
        assert await evening.tick(NINE + later) == ""
    (told,) = await evening.posts()
    assert told.splitlines()[:2] == ["「读书群」11-21 日报", "3 人说了 5 条"]
    assert "读书会" in told
    await evening.chats(NINE + 80_000)
    assert await evening.tick(NINE + 86_400) == "digest of group 1"
    assert len(await evening.posts()) == 2


async def test_what_is_kept_names_nobody(evening: Evening) -> None:
    await evening.chats()
    await evening.tick()
    ((day, body),) = await evening.rows()
    assert day == "2026-11-21"
    assert json.loads(body)["messages"] == 5
    assert "人0" not in body
    assert "周六" not in body


async def test_little_was_said_and_nothing_is_told(evening: Evening) -> None:
    for number in range(4):
        await evening.says("人1", "在", NINE - 600 + number)
    assert await evening.tick() == ""
    assert await evening.posts() == []
    await evening.chats(NINE + 5)
    assert await evening.tick(NINE + 600) == "", "the day was looked at"


async def test_hidden_words_and_those_of_who_is_not_recorded_are_not_in_it(
    evening: Evening,
) -> None:
    await evening.chats()
    await evening.says("advert", "读书会加微信", NINE - 100, hidden=True)
    shy = await evening.store.members.meet(GATE, "shy", NINE)
    await evening.store.talk.opt(shy.id, False)
    await evening.says("shy", "读书会我也来", NINE - 90)
    found = await read_day(evening.store, PLACE, _cut, lambda word: 11.0, NINE)
    assert found is not None
    assert found.counts.messages == 5
    assert found.topics[0].turns == 4


async def test_newcomers_are_counted_and_old_members_are_not(evening: Evening) -> None:
    await evening.chats()
    new = await evening.store.members.meet(GATE, "new", NINE)
    await evening.store.groups.see(Seen(PLACE, new.id, "新人", NINE - 60, came=True))
    found = await read_day(evening.store, PLACE, _cut, lambda word: 11.0, NINE)
    assert found is not None
    assert found.counts.newcomers == 1


async def test_where_nothing_can_be_posted_who_bound_the_group_is_told(evening: Evening) -> None:
    evening.posting = ()
    await evening.chats()
    assert await evening.tick() == "digest of group 1 told"
    assert await evening.tick(NINE + 30) == ""
    ((member, words),) = evening.told.values()
    assert member == (await evening.store.members.meet(GATE, "boss", NINE)).id
    assert words.startswith("「读书群」")
    assert await evening.posts() == []


async def test_killed_after_it_was_told_it_is_told_under_the_same_key(evening: Evening) -> None:
    evening.posting = ()
    await evening.chats()
    await evening.tick()
    await evening.store.db.write(lambda conn: conn.execute("delete from digests"))
    await evening.tick(NINE + 30)
    assert len(evening.told) == 1


async def test_a_route_posts_where_the_groups_own_channel_cannot(evening: Evening) -> None:
    evening.posting = ("poster",)
    await evening.store.groups.post_by(PLACE, "poster")
    await evening.chats()
    await evening.tick()
    assert len(await evening.posts()) == 1


async def test_a_group_that_is_to_be_quiet_is_told_when_it_may_be(evening: Evening) -> None:
    await evening.chats()
    await evening.rules(muted_until=NINE + 600)
    assert await evening.tick() == ""
    assert await evening.tick(NINE + 601) == "digest of group 1"


async def test_who_came_back_too_late_gets_no_digest_of_that_evening(evening: Evening) -> None:
    await evening.chats()
    assert await evening.tick(NINE + LATE_S + 1) == ""


async def test_old_digests_are_forgotten(evening: Evening) -> None:
    await evening.chats()
    await evening.tick()
    assert await evening.store.digests.purge("2026-11-21") == 0
    assert await evening.store.digests.purge("2026-11-22") == 1


def test_a_full_day_fits_on_a_phone() -> None:
    line = "很长的一句话" * 10
    day = Day(
        Counts(9999, 499, 88, 777),
        tuple(Topic(("词语" * 4, "别的"), 99, 40, line[:30]) for _ in range(3)),
        tuple(Quoted(1, "名字" * 20, line[:36]) for _ in range(3)),
        tuple(Quoted(1, "名字" * 20, line, 3) for _ in range(3)),
    )
    text = digest_text(TEXTS, day, "群" * 60, "11-21")
    assert len(text) <= LONGEST
    assert "499 人说了 9999 条" in text
    assert TEXTS("digest.topics") in text
