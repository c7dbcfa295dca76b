"""What offers a choice says so, for channels that have buttons: the word is what one would type."""

from __future__ import annotations

from handlers.quiz_text import read
from tests.handlers.conftest import Conversation


def offered(talk: Conversation) -> list[tuple[str, str]]:
    assert talk.ctx is not None
    return [(one.word, one.label) for one in talk.ctx.options]


async def test_a_list_offers_its_numbers(talk: Conversation) -> None:
    shown = await talk.say("课程")
    options = offered(talk)
    assert [word for word, _ in options] == [str(n) for n in range(1, len(options) + 1)]
    assert options
    for _, label in options:
        assert label in shown


async def test_what_was_asked_unsurely_offers_numbers(talk: Conversation) -> None:
    await talk.say("退款发票")
    assert talk.handler == "faq.offer"
    assert ("1", "1") in offered(talk)


async def test_forgetting_is_confirmed_by_its_word_or_left(talk: Conversation) -> None:
    await talk.say("忘记我")
    assert [word for word, _ in offered(talk)] == ["确认忘记", "退出"]


async def test_an_operators_change_is_confirmed_or_left(talk: Conversation) -> None:
    await talk.say("/claim 7KQM-2X9D")
    await talk.say("/menu push")
    assert [word for word, _ in offered(talk)] == ["确认", "退出"]


async def test_a_quiz_offers_its_beginning_and_then_its_letters(talk: Conversation) -> None:
    text = "小测验\n1. 一加一？\nA. 一\n*B. 二"
    quiz, _ = await talk.store.quizzes.create(read(text), talk.at, "import")
    await talk.store.quizzes.start(quiz.id, talk.at, talk.at + 600)
    await talk.say("答题")
    assert offered(talk) == [("开始", "开始")]
    await talk.say("开始")
    assert offered(talk) == [("A", "A. 一"), ("B", "B. 二")]


async def test_an_ordinary_answer_offers_nothing(talk: Conversation) -> None:
    await talk.say("怎么退款")
    assert offered(talk) == []


async def test_who_enters_a_robots_chat_is_welcomed(talk: Conversation) -> None:
    assert await talk.happen("enter_chat") == talk.texts("wecom.welcome", business="知行社")
