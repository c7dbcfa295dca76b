"""Documents: exchanged whole or not at all, and every change is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from knowledge.documents import read
from store import Store
from store.documents import NewDocument, NewPassage, StoredDocument
from tests.store.rows import NOW

HANDBOOK = NewDocument(
    name="手册.pdf",
    kind="pdf",
    title="学员手册",
    digest=b"\x01" * 32,
    size=1234,
    pages=2,
    passages=(
        NewPassage("退款 › 期限", "七天内可以退款。", 1),
        NewPassage("发票", "在订单页申请。", 2),
    ),
)
RULES = replace(
    HANDBOOK,
    name="群规.md",
    kind="markdown",
    title="群规",
    digest=b"\x02" * 32,
    pages=None,
    passages=(NewPassage("群规", "不发广告。"),),
)


async def told(store: Store) -> list[tuple[str, str, int | None]]:
    return [(one.heading, one.text, one.page) for one in await store.documents.passages()]


async def test_a_document_is_kept_with_its_passages_in_their_order(store: Store) -> None:
    rules, changed = await store.documents.put(RULES, NOW, "o_lin")
    assert changed
    handbook, _ = await store.documents.put(HANDBOOK, NOW + 1, "cli")
    assert await store.documents.all() == [
        StoredDocument(handbook, "手册.pdf", "pdf", "学员手册", 1234, 2, NOW + 1, "cli", 2),
        StoredDocument(rules, "群规.md", "markdown", "群规", 1234, None, NOW, "o_lin", 1),
    ]
    passages = await store.documents.passages()
    assert [(one.document_id, one.name, one.title, one.heading, one.page) for one in passages] == [
        (rules, "群规.md", "群规", "群规", None),
        (handbook, "手册.pdf", "学员手册", "退款 › 期限", 1),
        (handbook, "手册.pdf", "学员手册", "发票", 2),
    ]
    assert len({one.id for one in passages}) == 3


async def test_the_same_file_again_changes_nothing(store: Store) -> None:
    number, _ = await store.documents.put(HANDBOOK, NOW, "cli")
    before = await store.documents.passages(), await store.content.revision()
    assert await store.documents.put(HANDBOOK, NOW + 9, "o_lin") == (number, False)
    assert (await store.documents.passages(), await store.content.revision()) == before
    assert (await store.documents.all())[0].added_by == "cli"


async def test_a_new_version_takes_the_place_of_the_old(store: Store) -> None:
    number, _ = await store.documents.put(HANDBOOK, NOW, "cli")
    old = {one.id for one in await store.documents.passages()}
    await store.documents.put(RULES, NOW, "cli")
    renewed = replace(HANDBOOK, digest=b"\x03" * 32, passages=(NewPassage("退款", "十四天。", 1),))
    assert await store.documents.put(renewed, NOW + 5, "o_lin") == (number, True)
    assert await told(store) == [("退款", "十四天。", 1), ("群规", "不发广告。", None)]
    kept = next(one for one in await store.documents.all() if one.id == number)
    assert (kept.added_at, kept.added_by, kept.passages) == (NOW + 5, "o_lin", 1)
    fresh = {one.id for one in await store.documents.passages() if one.document_id == number}
    assert not old & fresh, "an answer that was shown never turns into another one"


async def test_a_version_that_cannot_be_stored_leaves_the_old_one(store: Store) -> None:
    await store.documents.put(HANDBOOK, NOW, "cli")
    before = await store.documents.all(), await told(store), await store.content.revision()
    broken = replace(
        HANDBOOK,
        digest=b"\x04" * 32,
        passages=(NewPassage("好", "好"), NewPassage("坏", "half a pair \ud800")),
    )
    with pytest.raises(UnicodeEncodeError):
        await store.documents.put(broken, NOW, "cli")
    after = await store.documents.all(), await told(store), await store.content.revision()
    assert after == before


async def test_a_deleted_document_is_gone_and_its_number_with_it(store: Store) -> None:
    number, _ = await store.documents.put(HANDBOOK, NOW, "cli")
    await store.documents.put(RULES, NOW, "cli")
    assert await store.documents.delete(number)
    assert not await store.documents.delete(number)
    assert await told(store) == [("群规", "不发广告。", None)]
    again, changed = await store.documents.put(HANDBOOK, NOW, "cli")
    assert changed
    assert again not in (number, 0)


async def test_every_change_is_noticed_and_nothing_else(store: Store) -> None:
    seen = [await store.content.revision()]
    number, _ = await store.documents.put(HANDBOOK, NOW, "cli")
    seen.append(await store.content.revision())
    await store.documents.put(replace(HANDBOOK, digest=b"\x05" * 32), NOW, "cli")
    seen.append(await store.content.revision())
    await store.documents.delete(number)
    seen.append(await store.content.revision())
    assert seen == sorted(set(seen))
    await store.documents.delete(number)
    assert await store.content.revision() == seen[-1]


async def test_an_empty_store_has_no_documents(store: Store) -> None:
    assert (await store.documents.all(), await store.documents.passages()) == ([], [])


async def test_what_a_reader_made_of_a_file_is_stored_as_it_is(store: Store) -> None:
    data = "# 手册\n七天内可以退款。\n".encode()
    new = NewDocument.of(read("手册.md", data), data)
    assert (new.size, len(new.digest)) == (len(data), 32)
    assert NewDocument.of(read("手册.md", data + b"\n"), data + b"\n").digest != new.digest
    await store.documents.put(new, NOW, "cli")
    assert await told(store) == [("手册", "七天内可以退款。", None)]
