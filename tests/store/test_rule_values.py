"""Values in rules that there are not, and which one was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from store import Store, rule_values
from store.rules import RuleError
from tests.store.rows import CHANNEL, NOW, change_file, course

TIERS = ("月卡", "年卡")
TOPICS = ("新课", "直播")


async def found(store: Store, rule: str, **known: Any) -> list[tuple[str, str]]:
    known = {"tiers": TIERS, "topics": TOPICS, **known}
    strangers = await store.audiences.strangers(rule, **known)
    return [(one.said, one.near_said) for one in strangers]


@pytest.fixture
async def shop(store: Store) -> Store:
    """A member with two tags, a course, an offer, a group and a campaign."""
    lin = await store.members.meet(CHANNEL, "o_lin", NOW)
    for tag in ("Python", "老 学员", "写作"):
        await store.tags.add(lin.id, tag, NOW, limit=9)
    await store.catalogue.put([course(1, id="py-101", title="Python 入门")], NOW)
    joined = "insert into group_members (place, member_id, since) values ('vip', 1, 0)"
    change_file(store.db.path, joined)
    return store


async def test_what_there_is_is_no_stranger(shop: Store) -> None:
    rule = (
        "active 30d and tag:Python and not tag:“老 学员” and bought:py-101 30d and clicked:py-101 "
        "and topic:新课 and tier:年卡 and group:vip and member:1 and level>=2 and scene:x"
    )
    assert await found(shop, rule) == []
    assert await found(shop, "everyone") == []


@pytest.mark.parametrize(
    ("rule", "said", "near"),
    [
        ("tag:python", "标签:python", "标签:Python"),
        ("not 标签:Pythn", "标签:Pythn", "标签:Python"),
        ("tag:老学员", "标签:老学员", '标签:"老 学员"'),
        ("tag:zzz", "标签:zzz", ""),
        ("bought:PY-101", "买过:PY-101", "买过:py-101"),
        ("买过:“python 入门”", '买过:"python 入门"', "买过:py-101"),
        ("clicked:nope", "点过:nope", ""),
        ("clicked:c99", "点过:c99", ""),
        ("topic:新客", "话题:新客", "话题:新课"),
        ("topic:足球", "话题:足球", ""),
        ("tier:年", "会员:年", "会员:年卡"),
        ("group:VIP", "群:VIP", "群:vip"),
        ("coupon:早鸟", "券:早鸟", ""),
        ("member:99", "成员:99", ""),
        ("campaign:7", "活动:7", ""),
        ("state:leaving", "状态:快流失", ""),
    ],
)
async def test_what_there_is_not_is_told_with_what_is_near(
    shop: Store, rule: str, said: str, near: str
) -> None:
    assert await found(shop, rule) == [(said, near)]


async def test_the_same_stranger_is_told_once(shop: Store) -> None:
    assert len(await found(shop, "tag:zzz or (new and not tag:zzz) or tag:yyy")) == 2


async def test_nothing_is_said_of_what_is_not_configured(shop: Store) -> None:
    assert await found(shop, "topic:足球 or tier:vip", tiers=(), topics=()) == []


async def test_in_an_empty_store_nothing_is_near(store: Store) -> None:
    assert await found(store, "tag:python and bought:x and group:x and coupon:x") == [
        ("标签:python", ""),
        ("买过:x", ""),
        ("群:x", ""),
        ("券:x", ""),
    ]


async def test_a_rule_nobody_can_read_is_no_rule(store: Store) -> None:
    with pytest.raises(RuleError):
        await found(store, "tag:")


async def test_the_nearest_is_looked_for_among_so_many_and_no_more(shop: Store) -> None:
    rows = ", ".join(f"(1, 'a{number:04}', 0)" for number in range(rule_values.MOST + 5))
    change_file(shop.db.path, f"insert into member_tags (member_id, tag, since) values {rows}")
    assert await found(shop, "tag:A0003") == [("标签:A0003", "标签:a0003")]
    ((_, near),) = await found(shop, f"tag:A{rule_values.MOST + 4}")
    assert near not in ("", f"标签:a{rule_values.MOST + 4}")
