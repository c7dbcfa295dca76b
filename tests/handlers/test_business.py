"""/funnel, /link, /docs: what an operator learns about the business."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.business import yuan
from store.documents import NewDocument, NewPassage
from store.events import NewEvent
from tests.handlers.conftest import Conversation

DAY = 86_400.0


@pytest.fixture
async def business(talk: Conversation) -> Conversation:
    """The usual content, and o_su is an operator."""
    await talk.promote("o_su")
    return talk


async def happened(talk: Conversation, *events: dict[str, Any]) -> None:
    """Events of the day before, one a minute."""
    made = [
        NewEvent(**{"event_id": f"e{n}", "at": talk.at - DAY + 60 * n, **event})
        for n, event in enumerate(events)
    ]
    await talk.store.events.add(made, talk.at)


async def test_a_campaign_is_told_from_being_seen_to_being_bought(business: Conversation) -> None:
    lin, mei = await business.member("o_lin"), await business.member("o_mei")
    spring = {"campaign": "spring", "variant": "A", "source": "campaign"}
    await happened(
        business,
        {"kind": "exposure", "member_id": lin, **spring},
        {"kind": "exposure", "member_id": mei, **spring},
        {"kind": "click", "member_id": lin, **spring},
        {
            "kind": "purchase",
            "member_id": lin,
            "item_id": "py-101",
            "order_id": "1",
            "amount_cents": 19_900,
        },
        {
            "kind": "refund",
            "member_id": lin,
            "item_id": "py-101",
            "order_id": "1",
            "amount_cents": 4_950,
        },
    )
    told = await business.say("/funnel spring 7", "o_su")
    assert told.splitlines() == [
        "活动「spring」近 7 天的成交路径：",
        "看到：2 人，2 次",
        "点击：1 人，1 次（上一步的 50.0%，约 9%–91%）",
        "购买：1 人，1 单（上一步的 100.0%，约 21%–100%）",
        "收入：149.50 元（成交 199，退款 49.50）",
        "从第一次接触到下单：中间值 0.1 小时",
        "来自（点击、订单、收入，括号里按首末各 40% 分摊）：",
        "· spring/A：1 次，1 单，149.50 元（149.50 元）",
    ]


async def test_everything_together_names_what_brought_it(business: Conversation) -> None:
    lin = await business.member("o_lin")
    await happened(
        business,
        {"kind": "click", "member_id": lin, "source": "answer", "ref": "faq:1"},
        {"kind": "purchase", "member_id": lin, "item_id": "a", "amount_cents": 100},
        {"kind": "purchase", "visitor": "v1", "item_id": "a", "amount_cents": 5_000},
    )
    told = await business.say("/funnel", "o_su")
    assert "· 不知来源：0 次，1 单，50 元（50 元）" in told
    assert "· 问答：1 次，1 单，1 元（1 元）" in told


async def test_a_period_without_anything_says_what_to_do(business: Conversation) -> None:
    assert "/link" in await business.say("/funnel 3", "o_su")


async def test_a_campaign_nobody_saw_is_named(business: Conversation) -> None:
    """The name may be misspelt: that nothing at all is recorded would be wrong."""
    lin = await business.member("o_lin")
    await happened(business, {"kind": "click", "member_id": lin, "campaign": "spring"})
    told = await business.say("/funnel 春季活动 7", "o_su")
    assert told == business.texts("business.funnel_none_campaign", campaign="春季活动", days=7)


@pytest.mark.parametrize("typed", ["/funnel 0", "/funnel 999", "/funnel a b", "/funnel a b 3"])
async def test_a_funnel_that_cannot_be_is_explained(business: Conversation, typed: str) -> None:
    assert (await business.say(typed, "o_su")).startswith("用法")


async def test_stats_have_a_line_about_the_shop(business: Conversation) -> None:
    lin = await business.member("o_lin")
    event = {"kind": "purchase", "member_id": lin, "item_id": "a", "amount_cents": 19_900}
    await happened(business, event)
    told = await business.say("/stats 2", "o_su")
    assert "成交：看到 0 人，点击 0 人，购买 1 人（1 单，199 元）" in told


async def test_members_see_none_of_it(business: Conversation) -> None:
    for typed in ("/funnel", "/link py-101 spring", "/docs", "/docs del 1"):
        assert await business.say(typed) == business.texts("operator.not_allowed")


# Links


async def test_a_campaign_link_is_made_and_written_down(business: Conversation) -> None:
    told = await business.say("/link py-101 spring A", "o_su")
    number = await business.member("o_su")
    assert told.endswith(f"https://bot.example/r/py-101/spring/A/member:{number}")
    (row,) = await business.store.audit.newest(1)
    assert (row.action, row.target) == ("link.new", "campaign:spring")


async def test_a_link_that_cannot_be_made_says_why(business: Conversation) -> None:
    assert "没有编号是「nowhere」" in await business.say("/link nowhere spring", "o_su")
    assert "allowed_hosts" in await business.say("/link https://else.example/ spring", "o_su")
    for typed in ("/link", "/link py-101", "/link py-101 a/b", "/link a b c d"):
        assert (await business.say(typed, "o_su")).startswith("用法")


# Documents


async def a_document(talk: Conversation) -> int:
    passages = (NewPassage("退款 › 期限", "购买后七天内可以全额退款。", None),)
    document = NewDocument("规则.md", "markdown", "规则", b"d" * 32, 100, None, passages)
    number, _ = await talk.store.documents.put(document, talk.at, "cli")
    return number


async def test_documents_are_listed_and_deleted_after_a_question(business: Conversation) -> None:
    assert "zhiqun import docs" in await business.say("/docs", "o_su")
    number = await a_document(business)
    assert f"{number}. 规则.md（1 段）" in await business.say("/docs", "o_su")
    assert "规则.md" in await business.say(f"/docs del {number}", "o_su")
    assert len(await business.store.documents.all()) == 1
    assert await business.say("确认", "o_su") == "已删除资料：规则.md"
    assert await business.store.documents.all() == []
    assert "没有这份资料" in await business.say(f"/docs del {number}", "o_su")


def test_money_is_written_as_people_write_it() -> None:
    shown = {0: "0", 100: "1", 199_900: "1,999", 123_456_789: "1,234,567.89", -4_950: "-49.50"}
    assert {cents: yuan(cents) for cents in shown} == shown
