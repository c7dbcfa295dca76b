"""What the bot can tell: imports whole or not at all, a question belongs to one entry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import Store
from store.content import NewFaq, QuestionTaken
from store.learning import By
from tests.store.rows import CHANNEL, LIN, NOW, course, key

REFUND = NewFaq("怎么退款", "七天内可以退款。", ("退钱", "能退吗"))
INVOICE = NewFaq("怎么开发票", "在订单页申请。")


async def told(store: Store) -> list[tuple[tuple[str, ...], str]]:
    return [(entry.questions, entry.answer) for entry in await store.content.faqs()]


# FAQ


async def test_an_entry_is_kept_with_its_aliases_the_main_question_first(store: Store) -> None:
    number = await store.content.add_faq(replace(REFUND, aliases=("一退", "能退吗")), NOW)
    (entry,) = await store.content.faqs()
    assert (entry.id, entry.answer, entry.updated_at) == (number, "七天内可以退款。", NOW)
    assert entry.questions[0] == "怎么退款"
    assert set(entry.questions[1:]) == {"一退", "能退吗"}


async def test_a_question_twice_in_one_entry_is_one_question(store: Store) -> None:
    await store.content.add_faq(NewFaq("问", "答", ("问", "别名", "别名")), NOW)
    assert await told(store) == [(("问", "别名"), "答")]


async def test_a_question_belongs_to_one_entry(store: Store) -> None:
    number = await store.content.add_faq(REFUND, NOW)
    for taken in (NewFaq("怎么退款", "x"), NewFaq("新的", "x", ("退钱",)), NewFaq("退钱", "x")):
        with pytest.raises(QuestionTaken) as caught:
            await store.content.add_faq(taken, NOW)
        assert caught.value.faq_id == number
        assert caught.value.question in (*REFUND.aliases, REFUND.question)
    assert len(await told(store)) == 1


async def test_an_import_adds_and_renews(store: Store) -> None:
    number = await store.content.add_faq(REFUND, NOW)
    renewed = NewFaq("怎么退款", "十四天内可以退款。", ("退款流程",))
    assert await store.content.import_faq([renewed, INVOICE], NOW + 1) == (1, 1)
    entries = await store.content.faqs()
    assert [(entry.questions, entry.answer) for entry in entries] == [
        (("怎么退款", "退款流程"), "十四天内可以退款。"),
        (("怎么开发票",), "在订单页申请。"),
    ]
    assert entries[0].id == number, "the same entry, so its history stays with it"
    assert entries[0].updated_at == NOW + 1


async def test_an_import_writes_all_or_nothing(store: Store) -> None:
    await store.content.add_faq(REFUND, NOW)
    before, revision = await told(store), await store.content.revision()
    entries = [
        NewFaq("新问题", "新答案"),
        NewFaq("怎么退款", "改过的答案", ("退钱",)),
        NewFaq("另一个", "答案", ("退钱",)),
    ]
    with pytest.raises(QuestionTaken) as caught:
        await store.content.import_faq(entries, NOW + 1)
    assert caught.value.question == "退钱"
    assert await told(store) == before
    assert await store.content.revision() == revision


async def test_a_repeated_import_changes_nothing(store: Store) -> None:
    assert await store.content.import_faq([REFUND, INVOICE], NOW) == (2, 0)
    before = await store.content.faqs()
    assert await store.content.import_faq([REFUND, INVOICE], NOW + 1) == (0, 2)
    assert await store.content.faqs() == before


async def test_an_alias_may_move_to_another_entry_in_one_import(store: Store) -> None:
    await store.content.import_faq([INVOICE, REFUND], NOW)
    moved = [replace(INVOICE, aliases=("退钱",)), replace(REFUND, aliases=("能退吗",))]
    assert await store.content.import_faq(moved, NOW) == (0, 2)
    assert await told(store) == [
        (("怎么开发票", "退钱"), "在订单页申请。"),
        (("怎么退款", "能退吗"), "七天内可以退款。"),
    ]


async def test_of_two_rows_with_one_question_the_last_holds(store: Store) -> None:
    rows = [NewFaq("问", "旧", ("甲",)), NewFaq("问", "新", ("乙",))]
    assert await store.content.import_faq(rows, NOW) == (1, 1)
    assert await told(store) == [(("问", "乙"), "新")]


# Revision


async def test_the_revision_grows_with_every_change(store: Store) -> None:
    seen = [await store.content.revision()]
    number = await store.content.add_faq(REFUND, NOW)
    seen.append(await store.content.revision())
    await store.content.import_faq([INVOICE], NOW)
    seen.append(await store.content.revision())
    await store.catalogue.put([course(1)], NOW)
    seen.append(await store.content.revision())
    await store.learning.delete(number, By("cli", NOW))
    seen.append(await store.content.revision())
    assert seen == [0, 1, 2, 3, 4]
    await store.learning.delete(number, By("cli", NOW))
    await store.content.add_gap("问", "问", NOW, key(1))
    assert await store.content.revision() == 4, "no change, no new index"


# Gaps


async def test_a_question_asked_again_is_counted(store: Store) -> None:
    await store.content.add_gap("怎么加盟", "怎么加盟？", NOW, key(1))
    await store.content.add_gap("怎么加盟", "怎么加盟！！", NOW + 1, key(2))
    await store.content.add_gap("线下活动", "有线下活动吗", NOW + 2, key(3))
    gaps = await store.content.gaps()
    assert [(gap.question, gap.sample, gap.count, gap.last_at) for gap in gaps] == [
        ("怎么加盟", "怎么加盟？", 2, NOW + 1),
        ("线下活动", "有线下活动吗", 1, NOW + 2),
    ]
    assert [gap.sample for gap in await store.content.gaps(1)] == ["怎么加盟？"]


async def test_a_message_that_runs_twice_is_one_gap(store: Store) -> None:
    for _ in range(2):
        await store.content.add_gap("怎么加盟", "怎么加盟？", NOW, key(1))
    assert [gap.count for gap in await store.content.gaps()] == [1]


# Topics


async def test_subscribing_twice_is_subscribing_once(store: Store) -> None:
    member = await store.members.meet(CHANNEL, LIN, NOW)
    assert await store.content.subscribe(member.id, "写作", NOW)
    assert not await store.content.subscribe(member.id, "写作", NOW + 1)
    assert await store.content.subscribe(member.id, "绘画", NOW - 1)
    assert await store.content.topics_of(member.id) == ["绘画", "写作"], "oldest first"
