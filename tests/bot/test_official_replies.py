"""Replies become WeChat's bytes, within WeChat's rules; late ones become API payloads."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wechatpy import replies

from bot.official import (
    SUCCESS,
    Codec,
    Mode,
    Opened,
    custom_message,
    parse_fields,
    split_text,
)
from handlers.message import Article, Kind, Reply
from tests import build

FORBIDDEN = [chr(n) for n in range(32) if n not in (9, 10, 13)] + ["\x7f", "\ufffe", "\uffff"]
PROPERTY = settings(
    database=None, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow]
)


def opened(body: bytes, mode: Mode = "safe") -> Opened:
    query, posted = build.signed(body, mode=mode)
    codec = Codec("mp", build.TOKEN, build.AES_KEY, app_id=build.APP_ID, mode=mode)
    return codec.open(query, posted, build.NOW)


# --- replies --------------------------------------------------------------------------------


def rendered(reply: Reply, kind: Kind = "text", mode: Mode = "safe") -> dict[str, Any]:
    seal = opened(build.text("x"), mode).seal
    return build.open_reply(seal.reply(reply, build.NOW, kind))


def test_a_reply_goes_back_to_the_sender_encrypted_and_signed() -> None:
    fields = rendered(Reply.text("第一行\n第二行"))
    assert fields == {
        "ToUserName": build.SENDER,
        "FromUserName": build.ACCOUNT,
        "CreateTime": str(int(build.NOW)),
        "MsgType": "text",
        "Content": "第一行\n第二行",
    }


@pytest.mark.parametrize(
    "reply",
    [
        Reply.none(), Reply.text(""), Reply.text(" \n\x00 "), Reply.image(""), Reply.voice(""),
        Reply.video("", "t"), Reply.music(""), Reply.news(),
    ],
)  # fmt: skip
def test_a_reply_wechat_would_reject_is_an_acknowledgement_instead(reply: Reply) -> None:
    assert opened(build.text("x")).seal.reply(reply, build.NOW, "text") == SUCCESS
    assert custom_message(reply, "o") == []


@pytest.mark.parametrize(
    "text",
    ["]]>", "]]]>>", "]\x00]>", "]]><MsgType>x</MsgType>", "<a href='x'>&amp;</a>", "{0} %s 🎁"],
)
def test_echoed_text_cannot_break_out_of_its_element(text: str) -> None:
    for mode in ("safe", "plain"):
        fields = rendered(Reply.text(text), mode=mode)
        assert fields["Content"] == text.replace("\x00", "")
        assert fields["MsgType"] == "text"
    card = rendered(Reply.news(Article(text, text, text, text)))["Articles"]["item"]
    assert card["Title"] == text.replace("\x00", "")


def lines(text: str) -> str:
    """As an XML reader sees line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@PROPERTY
@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from([*FORBIDDEN, *"]>\ud800"]))))
def test_any_text_arrives_without_what_xml_forbids(text: str) -> None:
    kept = "".join(c for c in text if c not in FORBIDDEN)
    kept = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in kept).strip()
    for body in (build.text("x"), build.as_json(build.text("x"))):
        seal = opened(body).seal
        found = build.open_reply(seal.reply(Reply.text(text), build.NOW, "text")).get("Content", "")
        assert lines(found) == lines(kept)


def test_a_news_reply_is_cut_to_one_card_after_a_message_and_eight_after_an_event() -> None:
    reply = Reply.news(*(Article(f"t{n}") for n in range(12)))
    for kind in set(get_args(Kind)) - {"event"}:
        fields = rendered(reply, kind)
        assert fields["ArticleCount"] == "1"
        assert fields["Articles"]["item"]["Title"] == "t0"
    fields = rendered(reply, "event")
    assert fields["ArticleCount"] == "8"
    assert [item["Title"] for item in fields["Articles"]["item"]] == [f"t{n}" for n in range(8)]


def test_each_media_reply_says_what_wechatpys_says() -> None:
    head = {"source": build.ACCOUNT, "target": build.SENDER, "time": int(build.NOW)}
    video, music = replies.VideoReply(**head), replies.MusicReply(**head)
    video.media_id, video.title, video.description = "m", "t", "d"
    music.thumb_media_id, music.title, music.description = "m", "t", "d"
    music.music_url, music.hq_music_url = "https://u", "https://h"
    card = {"title": "t", "description": "d", "image": "https://p", "url": "https://u"}
    pairs = [
        (Reply.text("你好"), replies.TextReply(content="你好", **head)),
        (Reply.image("m"), replies.ImageReply(media_id="m", **head)),
        (Reply.voice("m"), replies.VoiceReply(media_id="m", **head)),
        (Reply.video("m", "t", "d"), video),
        (Reply.music("https://u", "t", "d", "https://h", "m"), music),
        (
            Reply.news(Article("t", "d", "https://p", "https://u")),
            replies.ArticlesReply(articles=[card], **head),
        ),
        (Reply.transfer(), replies.TransferCustomerServiceReply(**head)),
    ]
    seal = opened(build.text("x"), "plain").seal
    for ours, theirs in pairs:
        mine = parse_fields(seal.reply(ours, build.NOW, "text"))
        assert mine == parse_fields(theirs.render().encode())


def test_a_transfer_may_name_the_agent() -> None:
    assert rendered(Reply.transfer("a@b"))["TransInfo"] == {"KfAccount": "a@b"}
    assert "TransInfo" not in rendered(Reply.transfer())


# --- splitting ------------------------------------------------------------------------------


@PROPERTY
@given(st.text(st.one_of(st.characters(), st.sampled_from(" \n。a签🎁\ud800"))), st.integers(4, 40))
def test_parts_join_back_fit_and_are_never_empty(content: str, limit: int) -> None:
    parts = split_text(content, limit)
    assert "".join(parts) == content
    assert all(part and len(part.encode("utf-8", "surrogatepass")) <= limit for part in parts)
    assert len(parts) <= len(content)


def test_long_text_is_cut_where_a_line_or_sentence_ends() -> None:
    line = "一二三四五六七八九" * 20
    assert split_text(f"{line}\n{line}。{line}", 700) == [f"{line}\n", f"{line}。", line]
    assert split_text("x" * 5000) == ["x" * 2048, "x" * 2048, "x" * 904]
    assert [len(part.encode()) for part in split_text("🎁" * 600)] == [2048, 352]
    assert split_text("签" * 682) == ["签" * 682]
    assert split_text("") == []
    with pytest.raises(ValueError, match="at least 4"):
        split_text("x", 3)


def test_a_passive_text_is_cut_and_the_late_one_comes_in_parts() -> None:
    content = "签" * 1000
    assert rendered(Reply.text(content))["Content"] == "签" * 682
    late = custom_message(Reply.text(content), "oLin")
    assert [part["text"]["content"] for part in late] == ["签" * 682, "签" * 318]
    assert late[0]["touser"] == "oLin"
    assert late[0]["msgtype"] == "text"


def test_late_answers_have_the_customer_service_form() -> None:
    assert custom_message(Reply.image("m"), "o") == [
        {"touser": "o", "msgtype": "image", "image": {"media_id": "m"}}
    ]
    card = Article("t", "d", "https://p", "https://u")
    (news,) = custom_message(Reply.news(card, card), "o")
    assert news["news"] == {
        "articles": [{"title": "t", "description": "d", "url": "https://u", "picurl": "https://p"}]
    }
    (music,) = custom_message(Reply.music("https://u", "t", thumb_media_id="m"), "o")
    assert music["music"] == {
        "title": "t", "musicurl": "https://u", "hqmusicurl": "https://u", "thumb_media_id": "m",
    }  # fmt: skip
    (video,) = custom_message(Reply.video("m", "t\x00"), "o")
    assert video["video"] == {"media_id": "m", "title": "t"}
    assert custom_message(Reply.transfer(), "o") == []
