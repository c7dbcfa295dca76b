"""Actions as both versions write them, and what an answer to one means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.client import Unheard
from bot.onebot_actions import (
    Action,
    GatewayRefused,
    answer_of,
    delete_message,
    kick,
    message_id_of,
    post_texts,
    send_message,
    silence,
)
from store.posts import Post, PostArticle

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat/onebot12"


def fixture(name: str) -> dict[str, Any]:
    path = FIXTURES / f"{name}.json"
    if not path.exists():
        pytest.skip("the shared fixtures (../shared/fixtures/wechat) are not next to the project")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_a_message_is_written_as_documented() -> None:
    action = send_message(12, "我是文字巴拉巴拉巴拉", group="12467")
    assert json.loads(action.frame("1234")) == fixture("action_send_group")


def test_the_documented_answers_are_understood() -> None:
    good = answer_of(fixture("action_response_ok"))
    assert good is not None
    assert (good.echo, message_id_of("send_message", good)) == ("1234", "2452352435")
    bad = answer_of(fixture("action_response_failed"))
    assert bad is not None
    with pytest.raises(GatewayRefused, match=r"send_message: 10002: .*unsupported action.*by hand"):
        message_id_of("send_message", bad)


def test_the_older_version_has_numbers_where_they_are_numbers() -> None:
    action = send_message(11, "好", group="88888", quote="-5", mentions=("7", "@all"))
    assert action == Action(
        "send_group_msg",
        {
            "group_id": 88888,
            "message": [
                {"type": "reply", "data": {"id": "-5"}},
                {"type": "at", "data": {"qq": "7"}},
                {"type": "at", "data": {"qq": "all"}},
                {"type": "text", "data": {"text": " 好"}},
            ],
        },
    )
    bridge = send_message(11, "好", user="wxid_lin")
    assert (bridge.name, bridge.params["user_id"]) == ("send_private_msg", "wxid_lin")
    assert kick(11, "5", "007").params["user_id"] == "007"
    assert delete_message(11, "12").params == {"message_id": 12}


def test_a_silence_of_no_seconds_is_its_end() -> None:
    assert silence(11, "5", "7", 0).params["duration"] == 0
    assert silence(12, "5", "7", 0).name == "unban_group_member"


@pytest.mark.parametrize(
    ("fields", "ok"),
    [
        ({"status": "ok", "retcode": 0}, True),
        ({"status": "async", "retcode": 1}, True),
        ({"retcode": 0, "data": True}, True),
        ({"status": "ok", "retcode": "0"}, True),
        ({"status": "failed"}, False),
        ({"status": "ok", "retcode": 10002}, False),
        ({"status": "failed", "retcode": 0}, False),
        ({"status": "?"}, None),
    ],
)
def test_only_a_clear_yes_is_a_yes(fields: dict[str, Any], ok: bool | None) -> None:
    answer = answer_of(fields)
    assert answer is not None
    assert answer.ok is ok


def test_an_event_is_never_an_answer() -> None:
    assert answer_of({"type": "meta", "status": "ok", "retcode": 0}) is None
    assert answer_of({"post_type": "meta_event", "status": {}}) is None
    assert answer_of({}) is None


@given(
    st.dictionaries(
        st.sampled_from(["status", "retcode", "data", "message", "echo", "wording"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers()),
    )
)
def test_any_answer_is_an_id_or_a_known_error(fields: dict[str, Any]) -> None:
    answer = answer_of(fields)
    if answer is None:
        return
    if answer.ok:
        assert isinstance(message_id_of("send_message", answer), str)
        return
    with pytest.raises(Unheard if answer.ok is None else GatewayRefused) as caught:
        message_id_of("send_message", answer)
    assert caught.value.chat


@pytest.mark.parametrize(
    ("post", "text"),
    [
        (Post("text", " 好 "), "好"),
        (
            Post("markdown", '# 日报\n> <font color="info">**新**</font>课 [去看](https://s.cn/1)'),
            "日报\n新课 去看 https://s.cn/1",
        ),
        (Post("markdown_v2", "## 榜\n`3*4` 分"), "榜\n3*4 分"),
        (
            Post("news", "今天", articles=(PostArticle("课", "好", "https://s.cn/1"),)),
            "今天\n\n课\n好\nhttps://s.cn/1",
        ),
        (
            Post(
                "card",
                card={
                    "main_title": {"title": "报名", "desc": "周六"},
                    "sub_title_text": "还有 3 个名额",
                    "card_action": {"type": 1, "url": "https://s.cn/2"},
                },
            ),
            "报名\n周六\n还有 3 个名额\nhttps://s.cn/2",
        ),
        (Post("image", "海报见群公告", asset_id=3), "海报见群公告"),
    ],
)
def test_a_post_is_said_in_words(post: Post, text: str) -> None:
    assert post_texts(post) == [text]


@pytest.mark.parametrize("post", [Post("image", asset_id=3), Post("card"), Post("text", "\x00 \n")])
def test_a_post_without_words_cannot_be_said(post: Post) -> None:
    with pytest.raises(ValueError, match="words"):
        post_texts(post)
