"""Documents in the conversation: quoted with their source, where the FAQ knows nothing."""

from __future__ import annotations

from pathlib import Path

from knowledge import Knowledge
from store import Store
from store.documents import NewDocument, NewPassage
from tests.handlers.conftest import Conversation

RULES = (
    NewPassage("学员手册 › 毕业证书", "完成全部作业并通过结业测验，可以申请电子毕业证书。", 3),
    NewPassage("学员手册", "本手册每个学期更新一次，以最新版本为准。", None),
)


async def handbook(talk: Conversation, *passages: NewPassage) -> Conversation:
    document = NewDocument("handbook.pdf", "pdf", "学员手册", b"d" * 32, 100, 9, passages or RULES)
    await talk.store.documents.put(document, talk.at, "cli")
    await talk.reload()
    return talk


async def test_what_only_a_document_says_is_quoted_with_its_source(talk: Conversation) -> None:
    await handbook(talk)
    told = await talk.say("电子毕业证书怎么申请")
    assert told.startswith("资料里这样写：\n完成全部作业并通过结业测验")
    assert told.endswith("（出自《学员手册》学员手册 › 毕业证书，第 3 页）")
    (*_, row) = await talk.interactions()
    assert (row["handler"], row["item"][:4]) == ("faq.passage", "doc:")


async def test_a_sure_answer_of_the_faq_comes_before_any_document(talk: Conversation) -> None:
    question = next(iter(await talk.store.content.faqs())).questions[0]
    await handbook(talk, NewPassage("别处", f"{question}，请看这里。", None))
    assert "资料里" not in await talk.say(question)


async def test_chatter_is_not_answered_from_a_document(talk: Conversation) -> None:
    await handbook(talk)
    for text in ("今天天气真好", "哈哈哈哈", "你吃饭了吗", "周末去哪里玩"):
        assert "资料里" not in await talk.say(text)


async def test_a_passage_that_says_all_goes_before_an_answer_that_is_half_sure(
    store: Store, words_cache: Path
) -> None:
    """An entry that shares a word with the question may be just sure enough."""
    eager = Knowledge(answer_at=0.02, offer_at=0.01)
    eager.load(words_cache)
    talk = Conversation(store, eager)
    await talk.fill()
    question = "电子毕业证书怎么申请"
    assert "资料里" not in await talk.say(question), "without a document the entry is told"
    await handbook(talk)
    assert (await talk.say(question)).startswith("资料里这样写：")


async def test_a_deleted_document_is_not_quoted_any_more(talk: Conversation) -> None:
    await handbook(talk)
    (document,) = await talk.store.documents.all()
    await talk.store.documents.delete(document.id)
    await talk.reload()
    assert "资料里" not in await talk.say("电子毕业证书怎么申请")


async def test_a_long_passage_is_cut_to_one_message(talk: Conversation) -> None:
    await handbook(talk, NewPassage("毕业证书", "电子毕业证书申请。" * 120, None))
    told = await talk.say("电子毕业证书申请")
    assert "…\n（出自《学员手册》毕业证书）" in told
    assert len(told.encode()) <= 2048


async def test_an_unsure_question_offers_the_passage_beside_the_questions(
    hesitant: Conversation,
) -> None:
    question = next(iter(await hesitant.store.content.faqs())).questions[0]
    await handbook(hesitant, NewPassage("细则", f"{question}的细则写在这里。", 2))
    told = await hesitant.say(question)
    lines = told.splitlines()
    assert lines[0] == hesitant.texts("faq.unsure_head")
    number = next(line[0] for line in lines if "《学员手册》细则，第 2 页" in line)
    assert (await hesitant.say(number)).startswith("资料里这样写：")


async def test_an_entry_that_members_found_useless_is_offered_and_not_told(
    talk: Conversation,
) -> None:
    entry = next(iter(await talk.store.content.faqs()))
    question = entry.questions[0]
    told = await talk.say(question)
    assert entry.answer in told
    for n in range(5):
        await talk.say(question, f"o_{n}")
        await talk.say("没用", f"o_{n}")
    told = await talk.say(question)
    assert told.startswith(talk.texts("faq.unsure_head"))
    assert f"1. {question}" in told
    assert entry.answer in await talk.say("1")
