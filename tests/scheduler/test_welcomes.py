"""Newcomers are welcomed together, not too often, not at night, and nobody twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scheduler.welcomes import LATE_S, NAMED, SETTLE_S, STALE_S, name_shown, tick
from store import Store
from store.groups import GroupRules, Seen, place_of
from store.ledgers import Deed
from store.order import NewCase, WordRow
from tests.blank import blank

GATE = "qun"
PLACE = place_of(GATE, "1")
WORDS = "欢迎 {names}，先看群公告"
NOON = datetime.fromisoformat("2026-11-21T12:00+08:00").timestamp()
MINUTES = 5.0


def say(names: Sequence[str], others: int) -> str:
    return f"{'、'.join(names)}+{others}"


@dataclass
class Evening:
    """A bound group with a welcome, people who come and go, and what is posted."""

    store: Store
    now: float = NOON
    posting: tuple[str, ...] = (GATE,)
    members: dict[str, int] = field(default_factory=dict)

    async def rules(self, **more: Any) -> None:
        await self.store.groups.rule(PLACE, lambda rules: replace(rules, **more))

    async def comes(self, who: str, name: str | None = None) -> int:
        member = (await self.store.members.meet(GATE, who, self.now)).id
        self.members[who] = member
        told = who if name is None else name
        await self.store.groups.see(Seen(PLACE, member, told, self.now, came=True))
        return member

    async def leaves(self, who: str) -> None:
        await self.store.groups.gone(PLACE, self.members[who], self.now)

    async def later(self, seconds: float) -> str:
        """What the job did after so much time."""
        self.now += seconds
        return await tick(self.store, say, self.posting, MINUTES, self.now)

    async def posts(self) -> list[dict[str, Any]]:
        """All posts, as their text, their mentions and when."""

        def read(conn: Any) -> list[dict[str, Any]]:
            rows = conn.execute(
                "select body, channel, place, kind, due_at, not_after from posts order by id"
            )
            names = ("channel", "place", "kind", "due_at", "not_after")
            return [json.loads(row[0]) | dict(zip(names, row[1:], strict=True)) for row in rows]

        return await self.store.db.read(read)

    async def said(self) -> list[str]:
        return [post["content"] for post in await self.posts()]


@pytest.fixture
async def evening(tmp_path: Path) -> AsyncIterator[Evening]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    await store.groups.meet(GATE, "1", NOON - 3600, name="学习群", bound_by="test")
    evening = Evening(store)
    await evening.rules(welcome=WORDS)
    yield evening
    await store.close()


async def test_newcomers_are_welcomed_by_name_in_one_post(evening: Evening) -> None:
    await evening.comes("小林")
    await evening.later(5)
    await evening.comes("阿木")
    await evening.comes("o_x", name="")
    assert await evening.later(SETTLE_S) == "3 welcomed in group 1"
    (post,) = await evening.posts()
    assert post == {
        "kind": "welcome",
        "content": "欢迎 小林、阿木+1，先看群公告",
        "mentions": ["小林", "阿木"],
        "channel": GATE,
        "place": PLACE,
        "due_at": evening.now,
        "not_after": evening.now + LATE_S,
    }
    assert await evening.later(3600) == ""


async def test_who_began_with_an_advert_is_not_welcomed_unless_that_was_a_false_alarm(
    evening: Evening,
) -> None:
    async def judged(who: str, number: int) -> int:
        case = NewCase(
            key=number.to_bytes(16, "big"),
            place=PLACE,
            member_id=await evening.comes(who),
            message_id="",
            at=evening.now,
            text={1: "加我微信领资料", 2: "周六一起自习吗"}[number],
            reasons=("model",),
            score=0.99,
            severity=2,
            actions=("hidden",),
            report=True,
        )
        return (await evening.store.order.open(case, None, evening.now)).case.id

    await judged("推广", 1)
    wronged = await judged("小林", 2)
    assert await evening.later(SETTLE_S) == ""
    deed = Deed(evening.now, "member:1", "order.false_alarm")
    await evening.store.order.verdict(wronged, False, deed, lambda case: None)
    assert await evening.later(60) == "1 welcomed in group 1"
    assert await evening.said() == ["欢迎 小林+0，先看群公告"]


async def test_nobody_is_welcomed_twice_however_often_the_job_runs(evening: Evening) -> None:
    await evening.comes("小林")
    await evening.later(SETTLE_S)
    for _ in range(5):
        assert await evening.later(600) == ""
    assert len(await evening.said()) == 1


async def test_a_welcome_is_followed_by_the_next_after_some_minutes(evening: Evening) -> None:
    await evening.comes("小林")
    await evening.later(SETTLE_S)
    await evening.comes("阿木")
    assert await evening.later(60) == ""
    await evening.comes("小满")
    assert await evening.later(MINUTES * 60 - 61) == ""
    assert await evening.later(1) == "2 welcomed in group 1"
    assert await evening.said() == ["欢迎 小林+0，先看群公告", "欢迎 阿木、小满+0，先看群公告"]


async def test_a_group_has_its_own_time_between_welcomes(evening: Evening) -> None:
    await evening.rules(welcome_minutes=1.0)
    await evening.comes("小林")
    await evening.later(SETTLE_S)
    await evening.comes("阿木")
    assert await evening.later(60) == "1 welcomed in group 1"


async def test_five_hundred_at_once_are_one_post(evening: Evening) -> None:
    for number in range(500):
        await evening.comes(f"o{number}", name=f"人{number}")
        evening.now += 0.1
        if number % 100 == 0:
            await evening.later(0)
    assert await evening.later(SETTLE_S) == "500 welcomed in group 1"
    (post,) = await evening.posts()
    assert post["content"] == f"欢迎 {'、'.join(f'人{n}' for n in range(NAMED))}+492，先看群公告"
    assert len(post["mentions"]) == NAMED


async def test_who_comes_one_after_the_other_does_not_wait_for_ever(evening: Evening) -> None:
    for number in range(40):
        await evening.comes(f"人{number}")
        if await evening.later(10):
            break
    assert evening.now == NOON + MINUTES * 60


async def test_who_left_before_is_not_welcomed(evening: Evening) -> None:
    await evening.comes("小林")
    await evening.comes("阿木")
    await evening.leaves("小林")
    await evening.later(SETTLE_S)
    assert await evening.said() == ["欢迎 阿木+0，先看群公告"]


async def test_who_came_at_night_is_welcomed_once_in_the_morning(evening: Evening) -> None:
    await evening.rules(quiet="22:00-08:00")
    evening.now = NOON + 11 * 3600
    await evening.comes("小林")
    assert await evening.later(3600) == ""
    await evening.comes("阿木")
    evening.now = NOON + 20 * 3600 - 1
    assert await evening.later(0) == ""
    assert await evening.later(1) == "2 welcomed in group 1"
    assert len(await evening.said()) == 1


async def test_a_muted_bot_welcomes_when_it_may_speak_again(evening: Evening) -> None:
    await evening.rules(muted_until=NOON + 1800)
    await evening.comes("小林")
    assert await evening.later(1799) == ""
    assert await evening.later(1) == "1 welcomed in group 1"


async def test_without_words_nobody_is_welcomed_and_nobody_piles_up(evening: Evening) -> None:
    await evening.rules(welcome="")
    await evening.comes("小林")
    assert await evening.later(STALE_S + 1) == ""
    assert await evening.store.welcomes.waiting() == []
    await evening.rules(welcome=WORDS)
    await evening.comes("阿木")
    await evening.later(SETTLE_S)
    assert await evening.said() == ["欢迎 阿木+0，先看群公告"]


async def test_who_came_yesterday_is_not_welcomed_with_who_comes_today(evening: Evening) -> None:
    await evening.rules(muted_until=NOON + 2 * STALE_S)
    await evening.comes("小林")
    evening.now = NOON + 2 * STALE_S
    await evening.comes("阿木")
    await evening.later(SETTLE_S)
    assert await evening.said() == ["欢迎 阿木+0，先看群公告"]


async def test_a_group_without_a_way_to_post_is_left_alone(evening: Evening) -> None:
    evening.posting = ("poster",)
    await evening.comes("小林")
    assert await evening.later(SETTLE_S) == ""
    await evening.store.groups.post_by(PLACE, "poster")
    assert await evening.later(0) == "1 welcomed in group 1"
    (post,) = await evening.posts()
    assert (post["channel"], post["place"]) == ("poster", PLACE)


async def test_each_group_has_its_own_welcome(evening: Evening) -> None:
    other = place_of(GATE, "2")
    await evening.store.groups.meet(GATE, "2", NOON - 3600, bound_by="test")
    await evening.store.groups.rule(other, lambda _: GroupRules(welcome="来了，{names}"))
    member = await evening.comes("小林")
    await evening.store.groups.see(Seen(other, member, "林老师", evening.now, came=True))
    await evening.later(SETTLE_S)
    assert sorted(await evening.said()) == ["来了，林老师+0", "欢迎 小林+0，先看群公告"]


async def test_the_same_name_twice_is_said_once(evening: Evening) -> None:
    await evening.comes("a", name="小林")
    await evening.comes("b", name="小林")
    await evening.later(SETTLE_S)
    (post,) = await evening.posts()
    assert post["content"] == "欢迎 小林+0，先看群公告"
    assert post["mentions"] == ["a", "b"]


async def test_names_are_never_read_as_templates(evening: Evening) -> None:
    await evening.comes("a", name="{names}{0.__class__}")
    await evening.later(SETTLE_S)
    assert await evening.said() == ["欢迎 {names}{0.__class__}+0，先看群公告"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("小林", "小林"),
        ("  小\n林\u202e ", "小 林"),
        ("@所有人", "所有人"),
        ("长" * 30, "长" * 19 + "…"),
        ("", ""),
        ("\u200b\u200b", ""),
        ("加V13800000000", ""),
        ("兼职 +薇 abc", ""),
        ("看 www.example.com", ""),
        ("bad.example.cn", ""),
        ("138-0000-0000", ""),
        ("微信同号", ""),
        ("Python 2026", "Python 2026"),
        ("V先生", "V先生"),
        ("张三 2班", "张三 2班"),
    ],
)
def test_a_name_is_one_short_line_and_no_advert(name: str, shown: str) -> None:
    assert name_shown(name) == shown


ADVERTS = (
    *("兼职日结私聊我", "领券看我签名", "卖茶叶找阿强"),
    *("🍑深夜约吗🍑", "薇❤bbn889", "代写论文全网最低"),
)


@pytest.mark.parametrize("name", ADVERTS)
def test_a_name_that_sells_is_counted_and_not_spread(name: str) -> None:
    assert name_shown(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("小林", "阿木老师", "王小薇", "微笑向暖", "A美美", "深海", "微风wei", "Vera", "🌸小满🌸"),
        *("产品经理-老周", "李微 3班", "QQ糖", "卡卡西", "买买提", "夜航船", "招财猫", "约翰"),
    ],
)
def test_a_name_that_is_only_a_name_is_shown(name: str) -> None:
    assert name_shown(name) == name


async def test_a_name_with_a_banned_word_is_counted(evening: Evening) -> None:
    deed = Deed(evening.now, "member:1", "order.ban")
    await evening.store.order.set_word(WordRow("ban", "大神", PLACE, 2), deed)
    for who in ("小林", "股市大神", *ADVERTS):
        await evening.comes(who)
    await evening.later(SETTLE_S)
    (post,) = await evening.posts()
    assert post["content"] == "欢迎 小林+7，先看群公告"
    assert post["mentions"] == ["小林"]


async def test_through_another_channel_nobody_is_mentioned_by_a_foreign_id(
    evening: Evening,
) -> None:
    await evening.store.groups.post_by(PLACE, "poster")
    evening.posting = ("poster",)
    await evening.comes("小林")
    await evening.later(SETTLE_S)
    (post,) = await evening.posts()
    assert (post["channel"], post["content"]) == ("poster", "欢迎 小林+0，先看群公告")
    assert "mentions" not in post
