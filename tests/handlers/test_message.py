"""A reply survives the store; nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from handlers.message import Article, Reply, reply_from_json, reply_to_json

REPLIES = (
    Reply.text("你好 😀 ]]> {name}\n%s"),
    Reply.image("m1"),
    Reply.voice("m2"),
    Reply.video("m3", "标题", "说明"),
    Reply.music("https://m.example/1", "歌", "好听", "https://m.example/hq", "t1"),
    Reply.news(Article("一", "说", "https://p.example/1", "https://a.example/1"), Article("")),
    Reply.transfer("kf@1"),
    Reply.transfer(),
    Reply.none(),
)


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.kind)
def test_every_kind_of_reply_comes_back_as_it_was(reply: Reply) -> None:
    assert reply_from_json(reply_to_json(reply)) == reply
    assert reply_from_json(reply_to_json(reply).encode()) == reply


def test_what_is_empty_takes_no_room() -> None:
    assert reply_to_json(Reply.text("好")) == '{"kind":"text","content":"好"}'
    assert reply_to_json(Reply.none()) == '{"kind":"none"}'


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "success",
        "null",
        "[]",
        "{}",
        '"text"',
        '{"kind":"fax"}',
        '{"kind":null}',
        '{"kind":["text"]}',
        '{"kind":"text","content":7}',
        '{"kind":"text","contents":"x"}',
        '{"kind":"news","articles":{}}',
        '{"kind":"news","articles":["x"]}',
        '{"kind":"news","articles":[{}]}',
        '{"kind":"news","articles":[{"title":"x","size":"1"}]}',
        '{"kind":"text","content":"x"',
        b"\xff\xfe\xff",
        "[" * 100_000,
    ],
    ids=lambda stored: str(stored)[:30],
)
def test_anything_else_is_a_value_error(stored: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message is as good as ours
        reply_from_json(stored)


def test_the_stored_form_is_plain_json() -> None:
    assert json.loads(reply_to_json(REPLIES[5]))["articles"][0]["title"] == "一"
