"""What a robot says fits its frames; what it cannot show it says in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import wecom_frames
from bot.parts import Outcome
from bot.wecom import Codec
from bot.wecom_frames import TEXT_LIMIT, Final, final_of, finished, fitted, pushed
from handlers.message import Article, Option, Reply
from tests import build, build_wecom
from tests.bot.wecom_world import SAYS

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat/aibot"
ABSENT = "the shared fixtures (../shared/fixtures/wechat) are not next to the project"
needs_fixtures = pytest.mark.skipif(not FIXTURES.exists(), reason=ABSENT)
KEY = "00" * 16


def said(*replies: Reply, options: tuple[Option, ...] = ()) -> Final:
    first, *then = replies
    return final_of(Outcome(first, "test", then=tuple(then), options=options), SAYS)


def fixture(name: str) -> object:
    return json.loads((FIXTURES / name).read_text("utf-8"))


@needs_fixtures
def test_the_fixtures_of_what_goes_out_are_what_we_send() -> None:
    final = said(Reply.text("**今日优惠**：满 100 减 20"))
    last = finished("s-1", final, SAYS, {}, first=True)
    last["stream"]["feedback"] = {"id": "fb-1"}
    assert last == fixture("out_stream_last.json")
    assert wecom_frames.unfinished("s-1", "", first=False) == fixture("out_stream_first.json")
    welcome = wecom_frames.welcome(Final("你好，我是优惠小助手"), SAYS)
    assert welcome == fixture("out_welcome_text.json")
    pushed_one = pushed(Final("# 优惠券\n- 满 100 减 20"), SAYS)
    assert pushed_one == fixture("out_active_markdown.json")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply.text(" 好 "), "好"),
        (Reply.text('<a href="https://x.example/a b">课程</a>'), "[课程](https://x.example/a%20b)"),
        (Reply.text('<a href="weixin://bizmsgmenu?msgmenuid=1">并入</a>'), "并入"),
        (Reply.text("<think>藏</THINK>起来"), "＜think>藏＜/THINK>起来"),
        (
            Reply.news(Article("新[课]", "讲写作", "https://p", "https://x.example/1")),
            "**[新［课］](https://x.example/1)**\n讲写作",
        ),
        (Reply.news(Article("没有地址")), "**没有地址**"),
        (Reply.voice("v"), SAYS.sound),
        (Reply.video("v"), SAYS.film),
        (Reply.music("https://x.example/m", "歌"), "[歌](https://x.example/m)"),
        (Reply.transfer(), SAYS.human),
        (Reply.image(""), SAYS.picture),
        (Reply.none(), ""),
    ],
)
def test_every_reply_has_words(reply: Reply, text: str) -> None:
    assert said(reply) == Final(text)


def test_an_answer_survives_the_store() -> None:
    options = (Option("1", "1. 写作"), Option("确认", "确认"))
    final = said(Reply.text("选一个"), Reply.image("m1"), options=options)
    assert Final.of(final.to_bytes()) == final
    for kept in (b"", b"[]", b"{}", b"success", b'{"text":1,"options":[1]}'):
        with pytest.raises(ValueError, match="not a stored answer"):
            Final.of(kept)


@settings(database=None, deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=9), st.integers(600, 9000))
def test_a_long_answer_is_cut_between_characters_and_says_so(piece: str, times: int) -> None:
    text = piece * times
    content = fitted(text, TEXT_LIMIT, SAYS.cut)
    assert len(content.encode("utf-8", "replace")) <= TEXT_LIMIT
    if content != text:
        assert content.endswith(f"\n{SAYS.cut}")
        assert text.startswith(content.removesuffix(f"\n{SAYS.cut}"))


def test_pictures_beyond_what_a_frame_may_hold_are_named() -> None:
    replies = [Reply.image(f"m{number}") for number in range(12)]
    final = said(Reply.text("看"), *replies)
    assert len(final.pictures) == wecom_frames.PICTURES
    heavy = dict.fromkeys(final.pictures, b"x" * (wecom_frames.PICTURE_BYTES // 3))
    frame = finished(KEY, final, SAYS, heavy, first=False)
    assert len(frame["stream"]["msg_item"]) == 3
    assert frame["stream"]["content"].endswith(SAYS.picture)


def test_more_choices_than_buttons_stay_in_the_text() -> None:
    options = tuple(Option(str(n), str(n)) for n in range(1, 8))
    final = said(Reply.text("1 到 7"), options=options)
    assert finished(KEY, final, SAYS, {}, first=True, sender="lisi")["msgtype"] == "stream"
    few = said(Reply.text("1 到 6"), options=options[:6])
    frame = finished(KEY, few, SAYS, {}, first=True, sender="lisi")
    assert len(frame["template_card"]["button_list"]) == 6
    assert finished(KEY, few, SAYS, {}, first=True)["msgtype"] == "stream", "whose would they be"


def test_an_older_robot_answers_in_xml_that_no_text_breaks() -> None:
    xml = wecom_frames.older(Final("a]]>\x00b" + "长" * 2000), SAYS)
    fields = build.fields_of(xml)
    assert fields["MsgType"] == "markdown"
    content = fields["Markdown"]["Content"]
    assert content.startswith("a]]>b长")
    assert len(content.encode()) <= 2048


def test_a_half_emoji_costs_no_answer() -> None:
    final = said(Reply.text("好\ud83d"))
    codec = Codec("robot", build.TOKEN, build.AES_KEY)
    query, body = build_wecom.signed(build_wecom.text("x"), now=1.0)
    seal = codec.open(query, body, 1.0).seal
    frame = finished(KEY, Final.of(final.to_bytes()), SAYS, {}, first=True)
    sealed = seal.wrap(json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace"), 1.0)
    assert build_wecom.opened(sealed)["stream"]["content"] == "好?"
