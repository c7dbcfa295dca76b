"""What the bot can tell, in memory: read whole, or only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.contents import Contents
from bot.links import Linker
from knowledge import Knowledge
from store import Store
from store.catalogue import Item
from store.content import NewFaq
from store.documents import NewDocument, NewPassage
from tests.blank import blank

NOW = 1_795_000_000.0
PYTHON = Item("py-101", "course", "零基础学 Python", tags=("编程",), url="https://shop.example/py")


class Desk:
    """A store with one answer and one item, and what is told of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.knowledge = Knowledge()
        self.linker = Linker(store, public_url="https://bot.example", now=lambda: NOW)
        self.contents = Contents(store, self.knowledge, self.linker)

    async def add(self, question: str, answer: str) -> str:
        return f"faq:{await self.store.content.add_faq(NewFaq(question, answer), NOW)}"

    def nearest(self, question: str) -> str:
        return next((hit.id for hit in self.knowledge.near(question, 1)), "")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    desk = Desk(store)
    await desk.linker.open()
    await desk.add("怎么退款", "七天内可以退，见 https://shop.example/py 。")
    await store.catalogue.put([PYTHON], NOW)
    await desk.contents.reload()
    yield desk
    await desk.contents.close()
    await store.close()


async def test_everything_is_there_after_a_reload(desk: Desk) -> None:
    (answer,) = desk.contents.answers
    assert list(desk.contents.items) == ["item:py-101"]
    assert desk.nearest("怎么退款") == answer
    told = desk.linker.in_text(desk.contents.answers[answer], answer, 7)
    assert "https://shop.example" not in told
    assert "https://bot.example/r/" in told


async def test_only_what_is_named_is_read_again(desk: Desk) -> None:
    await desk.add("没有人说起它", "不会被读到。")
    named = await desk.add("证书怎么领", "在这里 https://shop.example/py 。")
    await desk.contents.reload(named)
    assert len(desk.contents.answers) == 2
    assert desk.nearest("证书怎么领") == named
    told = desk.linker.in_text(desk.contents.answers[named], named, 7)
    assert "https://bot.example/r/" in told


async def test_the_others_keep_their_links_when_one_is_renewed(desk: Desk) -> None:
    (old,) = desk.contents.answers
    named = await desk.add("证书怎么领", "没有网址。")
    await desk.contents.reload(named)
    told = desk.linker.in_text(desk.contents.answers[old], old, 7)
    assert "https://bot.example/r/" in told


async def test_what_is_gone_is_told_and_found_no_more(desk: Desk) -> None:
    await desk.store.catalogue.archive("py-101", NOW)
    await desk.contents.reload("item:py-101", "faq:999")
    assert desk.contents.items == {}
    assert desk.knowledge.find("Python") == []
    (answer,) = desk.contents.answers
    told = desk.linker.in_text(desk.contents.answers[answer], answer, 7)
    assert "https://shop.example/py" in told, "no link may lead there any more"


async def test_a_first_reload_reads_all_whatever_is_named(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "z.db"), durability="process", readers=1)
    await store.open()
    desk = Desk(store)
    await desk.linker.open()
    one, two = await desk.add("问一", "见 https://shop.example/py"), await desk.add("问二", "答二")
    await store.catalogue.put([PYTHON], NOW)
    await desk.contents.reload(two)
    assert set(desk.contents.answers) == {one, two}
    assert "/r/" in desk.linker.in_text(desk.contents.answers[one], one, 7)
    await desk.contents.close()
    await store.close()


async def test_documents_are_found_by_their_passages(desk: Desk) -> None:
    passage = NewPassage("毕业证书", "完成全部作业，可以申请电子毕业证书。", 3)
    document = NewDocument("a.pdf", "pdf", "手册", b"d" * 32, 9, 3, (passage,))
    await desk.store.documents.put(document, NOW, "cli")
    await desk.contents.reload()
    (name,) = desk.contents.passages
    assert [hit.id for hit in desk.knowledge.passages("电子毕业证书")] == [name]


async def test_a_useless_entry_is_demoted_by_a_reload(desk: Desk) -> None:
    (answer,) = desk.contents.answers
    for number in range(5):
        member = await desk.store.members.meet("mp", f"o_{number}", NOW)
        await desk.store.learning.vote(member.id, int(answer[4:]), False, NOW)
    await desk.contents.reload(answer)
    assert desk.contents.demoted == {answer}


async def test_a_caller_who_is_cancelled_leaves_index_and_answers_alike(desk: Desk) -> None:
    names = [await desk.add(f"问题{n}", f"答案{n}") for n in range(200)]
    waiting = asyncio.create_task(desk.contents.reload())
    await asyncio.sleep(0)
    waiting.cancel()
    await desk.contents.reload(names[0])
    assert len(desk.contents.answers) == 201
    assert len(desk.knowledge) == 202
