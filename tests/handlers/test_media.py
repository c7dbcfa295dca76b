"""What we cannot read gets a friendly word; spoken questions are questions."""

from __future__ import annotations

import pytest

from handlers.message import Kind
from tests.handlers.conftest import Conversation


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("image", "media.image"),
        ("voice", "media.voice_no_text"),
        ("video", "media.video"),
        ("shortvideo", "media.video"),
        ("location", "media.location"),
        ("link", "media.link"),
        ("miniprogrampage", "media.other"),
    ],
)
async def test_each_kind_has_its_word(empty: Conversation, kind: Kind, key: str) -> None:
    assert await empty.say("", kind=kind) == empty.texts(key)
    assert empty.handler == "media"


async def test_a_voice_message_with_words_is_a_question(talk: Conversation) -> None:
    assert (await talk.say("怎么退款", kind="voice")).startswith("七天内可以全额退款。")
    assert talk.handler == "faq"


async def test_a_spoken_command_word_counts(talk: Conversation) -> None:
    assert await talk.say("帮助", kind="voice") == talk.texts("help.member")


async def test_a_picture_with_a_caption_stays_a_picture(talk: Conversation) -> None:
    assert await talk.say("怎么退款", kind="image") == talk.texts("media.image")


async def test_a_kind_of_tomorrow_is_taken_without_an_answer(talk: Conversation) -> None:
    assert await talk.say("怎么退款", kind="unknown") == ""
    assert talk.handler == "media"
