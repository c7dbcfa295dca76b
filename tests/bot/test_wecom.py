"""What a WeCom robot is sent becomes a Message, a poll or a refusal, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.crypto import BadKey, BadMessage
from bot.wecom import Codec, Opened, button_key, manner_of, response_url_of
from handlers.message import Message
from tests import build, build_wecom
from tests.bot.test_crypto import VECTORS

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat"
ABSENT = "the shared fixtures (../shared/fixtures/wechat) are not next to the project"
needs_fixtures = pytest.mark.skipif(not FIXTURES.exists(), reason=ABSENT)
NOW = 1_763_600_000.0


def codec(name: str = "小助手", **options: Any) -> Codec:
    return Codec("robot", build.TOKEN, build.AES_KEY, name=name, **options)


def opened(body: dict[str, Any] | bytes, robot: Codec | None = None) -> Opened:
    query, posted = build_wecom.signed(body, now=NOW)
    return (robot or codec()).open(query, posted, NOW)


def heard(body: dict[str, Any] | bytes, robot: Codec | None = None) -> Message:
    message = opened(body, robot).message
    assert message is not None
    return message


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def refusal(action: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(BadMessage) as caught:
        action(*arguments)
    return caught.value.reason


# --- the shared fixtures --------------------------------------------------------------------


@needs_fixtures
def test_a_question_in_a_group_comes_without_its_mention_and_with_its_quote() -> None:
    message = heard(fixture("aibot/in_group_text_quote.json"))
    assert (message.text, message.kind, message.source) == ("今天有什么优惠券", "text", "wecom")
    assert message.talk is not None
    assert (message.talk.group, message.talk.addressed) == ("wrTESTCHAT01", True)
    assert (message.talk.quoted, message.talk.message_id) == ("昨天的活动", "CAIQTEST0001==")
    assert (message.sender, message.place) == ("lisi", "robot:wrTESTCHAT01")
    assert response_url_of(message).endswith("response_code=RC1")


@needs_fixtures
def test_words_beside_a_picture_are_read_and_the_picture_is_kept() -> None:
    message = heard(fixture("aibot/in_group_mixed.json"))
    assert (message.text, message.kind) == ("看图", "text")
    assert message.raw["mixed"]["msg_item"][1]["image"]["url"].startswith("https://")


@needs_fixtures
def test_a_private_message_has_no_talk() -> None:
    message = heard(fixture("aibot/in_single_text.json"))
    assert (message.text, message.talk, message.place) == ("领券", None, "")


@needs_fixtures
def test_who_enters_from_another_company_is_named_with_it() -> None:
    message = heard(fixture("aibot/in_event_enter_chat.json"))
    assert (message.event, message.sender) == ("enter_chat", "wpTEST/wangwu")
    assert message.created == 1_763_600_000
    assert manner_of(message) == "welcome"


@needs_fixtures
def test_a_card_of_somebody_elses_making_is_a_click_with_its_choices() -> None:
    message = heard(fixture("aibot/in_event_card_button.json"))
    assert (message.event, message.event_key) == ("click", "claim")
    assert message.raw["selected"] == {"q1": ["a"]}
    assert manner_of(message) == "card"


@needs_fixtures
def test_a_poll_is_no_message() -> None:
    found = opened(fixture("aibot/in_stream_refresh.json"))
    assert (found.message, found.poll) == (None, "s-1")


@needs_fixtures
def test_a_websocket_frame_holds_the_same_message() -> None:
    message = heard(fixture("aibot/ws_msg_callback.json"))
    assert (message.text, message.sender) == ("帮助", "lisi")


@needs_fixtures
def test_an_older_robots_xml_is_the_same_message() -> None:
    text = heard(fixture("wecom_robot/in_group_text.xml"))
    assert (text.text, text.sender, text.source) == ("优惠券", "lisi", "wecom")
    assert text.talk is not None
    assert (text.talk.group, text.talk.name) == ("wrGROUP01", "李四")
    assert manner_of(text) == "older"
    assert response_url_of(text).endswith("#wrGROUP01")
    joined = heard(fixture("wecom_robot/in_event_add_to_chat.xml"))
    assert (joined.event, joined.place) == ("bot_join", "robot:wrGROUP01")


@needs_fixtures
def test_every_fixture_reads_again_as_the_same_message() -> None:
    for path in sorted((FIXTURES / "aibot").glob("in_*.json")):
        found = opened(path.read_bytes())
        if found.message is not None:
            assert codec().read(found.plain, NOW) == found.message


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(one, id=one["id"])
        for one in VECTORS
        if one.get("receive_id") == "" and one["type"] == "decrypt"
    ]
    or [pytest.param({}, marks=pytest.mark.skip(reason=ABSENT))],
)
def test_a_vector_with_an_empty_receive_id_opens_here_and_for_no_company(
    vector: dict[str, Any],
) -> None:
    query = {name: vector[name] for name in ("timestamp", "nonce", "msg_signature")}
    now = float(vector["timestamp"])
    query["echostr"] = vector["encrypt"]
    robot = Codec("robot", vector["token"], vector["encoding_aes_key"])
    assert robot.check_url(query, now) == vector["plaintext"]
    other = Codec("robot", vector["token"], vector["encoding_aes_key"], receive_id="ww01")
    assert refusal(other.check_url, query, now) == "receive_id_mismatch"


# --- the envelope ---------------------------------------------------------------------------


def test_the_address_check_answers_the_words_that_were_encrypted() -> None:
    assert codec().check_url(build_wecom.echo("5927+/=7", now=NOW), NOW) == "5927+/=7"
    wrong = {**build_wecom.echo("59", now=NOW), "msg_signature": "0" * 40}
    assert refusal(codec().check_url, wrong, NOW) == "bad_signature"
    assert refusal(codec().check_url, {}, NOW) == "missing_field"
    assert refusal(codec().check_url, build_wecom.echo("59", now=NOW), NOW + 301) == "stale"


def test_while_keys_change_the_older_one_opens_and_seals_the_answer() -> None:
    older = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg"
    robot = codec(previous_encoding_aes_key=older)
    query, body = build_wecom.signed(build_wecom.text("在吗"), now=NOW, aes_key=older)
    found = robot.open(query, body, NOW)
    sealed = json.loads(found.seal.wrap(b'{"a":1}', NOW))
    assert build.decrypt(sealed["encrypt"], aes_key=older, app_id="") == b'{"a":1}'
    assert sealed["nonce"] == query["nonce"]


def test_an_older_robot_may_name_its_company_and_is_answered_in_xml() -> None:
    robot = codec(receive_id="ww01")
    body = (
        b"<xml><From><UserId>lisi</UserId></From><ChatId>wr1</ChatId><MsgId>1</MsgId>"
        b"<MsgType>text</MsgType><Text><Content>hi</Content></Text></xml>"
    )
    query, posted = build_wecom.signed(body, now=NOW, receive_id="ww01")
    found = robot.open(query, posted, NOW)
    assert found.seal.wrap(b"<xml/>", NOW).startswith(b"<xml><Encrypt>")
    assert refusal(codec().open, query, posted, NOW) == "receive_id_mismatch"


def test_what_is_forged_stale_or_cut_short_is_refused() -> None:
    query, body = build_wecom.signed(build_wecom.text("在吗"), now=NOW)
    robot = codec()
    assert refusal(robot.open, {**query, "nonce": "other"}, body, NOW) == "bad_signature"
    assert refusal(robot.open, query, body, NOW + 400) == "stale"
    assert refusal(robot.open, query, body[:-3], NOW) == "bad_json"
    assert refusal(robot.open, query, b"{}", NOW) == "not_encrypted"
    assert refusal(robot.open, query, b"x" * ((1 << 20) + 1), NOW) == "too_large"
    with pytest.raises(BadKey):
        Codec("robot", build.TOKEN, "short")


def test_a_key_that_does_not_fit_is_named_as_that() -> None:
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg"
    query, body = build_wecom.signed(build_wecom.text("在吗"), now=NOW, aes_key=other)
    assert refusal(codec().open, query, body, NOW) in ("bad_padding", "bad_length")


# --- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "name", "meant"),
    [
        ("@小助手 怎么退款", "小助手", "怎么退款"),
        ("@小助手\u2005怎么退款", "小助手", "怎么退款"),
        ("@Shop Helper 怎么退款", "Shop Helper", "怎么退款"),
        ("@Shop Helper", "Shop Helper", ""),
        ("怎么退款 @小助手", "小助手", "怎么退款"),
        ("@小助手 怎么退款", "", "怎么退款"),
        ("@小助手 @李四 你好", "小助手", "@李四 你好"),
        ("@小助手", "", ""),
        ("怎么退款", "小助手", "怎么退款"),
        ("邮箱是 a@b.c", "", "邮箱是 a@b.c"),
    ],
)
def test_the_mention_that_brought_it_is_no_part_of_what_was_said(
    typed: str, name: str, meant: str
) -> None:
    body = build_wecom.text(typed, group=build_wecom.GROUP)
    assert heard(body, codec(name)).text == meant


def test_in_private_an_at_sign_is_the_members_own() -> None:
    assert heard(build_wecom.text("@小助手 在吗")).text == "@小助手 在吗"


def test_a_voice_is_what_wecom_understood_and_a_file_is_something_unknown() -> None:
    voice = heard(build_wecom.message("voice", voice={"content": "怎么退款"}))
    assert (voice.kind, voice.text) == ("voice", "怎么退款")
    assert heard(build_wecom.message("file", file={"url": "https://x"})).kind == "unknown"
    only = {"msg_item": [{"msgtype": "image", "image": {"url": "https://x"}}]}
    assert heard(build_wecom.message("mixed", mixed=only)).kind == "image"


def test_a_redelivery_has_the_same_key_and_another_robots_message_has_not() -> None:
    first = heard(build_wecom.text("在吗", number="M1"))
    again = heard({**build_wecom.text("在吗", number="M1"), "response_url": "https://other"})
    other = heard({**build_wecom.text("在吗", number="M1"), "aibotid": "aibOTHER"})
    assert first.key == again.key != other.key
    assert len(first.key) == 32


def test_without_a_msgid_a_message_goes_by_all_it_says() -> None:
    nameless = build_wecom.text("在吗", response_url=None)
    del nameless["msgid"]
    assert heard(nameless).key == heard(dict(nameless)).key
    assert heard(nameless).key != heard({**nameless, "text": {"content": "在"}}).key


def test_praise_is_an_event_with_the_answer_it_is_about() -> None:
    inner = {"id": "00ff", "type": 2, "content": "不对", "inaccurate_reason_list": [1]}
    message = heard(build_wecom.event("feedback_event", inner))
    assert (message.event, message.event_key) == ("feedback", "2:00ff")
    assert manner_of(message) == "silent"


# --- our own buttons ------------------------------------------------------------------------


def test_a_button_says_its_word_for_who_was_asked() -> None:
    asked = heard(build_wecom.text("怎么退款"))
    key = button_key(asked.sender, asked.key, "确认")
    found = opened(build_wecom.click(key, asked.key))
    assert found.message is not None
    assert (found.message.kind, found.message.text, found.message.event) == ("text", "确认", "")
    assert manner_of(found.message) == "card"
    assert found.offer == asked.key[-8:]


def test_a_button_says_nothing_for_anybody_else() -> None:
    asked = heard(build_wecom.text("怎么退款", group=build_wecom.GROUP))
    key = button_key(asked.sender, asked.key, "1")
    click = build_wecom.click(key, asked.key, "zhaoliu", group=build_wecom.GROUP)
    assert opened(click).message is None
    assert opened(build_wecom.click("done", asked.key)).message is None
    assert opened(build_wecom.click("say:nonsense", asked.key)).message is None


# --- hostile --------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=6,
)
_OUTER = (
    *("msgid", "aibotid", "chatid", "chattype", "from", "response_url", "msgtype", "text"),
    *("mixed", "event", "quote", "stream", "voice", "create_time", "cmd", "body", "MsgType"),
    *("From", "ChatId", "Event", "Text", "MixedMessage", "WebhookUrl"),
)
_INNER = (
    *("content", "msg_item", "userid", "corpid", "eventtype", "template_card_event", "event_key"),
    *("selected_items", "id", "feedback_event", "Content", "UserId", "EventType"),
)
NAMES = st.sampled_from(_OUTER)
TYPES = st.sampled_from(["text", "mixed", "event", "stream", "voice", "image", "card", ""])
INNER = st.dictionaries(
    st.sampled_from(_INNER), VALUES | st.just("template_card_event"), max_size=4
)


@settings(
    database=None, deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    fields=st.dictionaries(NAMES, VALUES | INNER, max_size=8),
    msg_type=TYPES,
    user=st.text(max_size=4) | VALUES,
)
def test_whatever_is_inside_it_is_a_message_or_a_bad_one(
    fields: dict[str, Any], msg_type: str, user: Any
) -> None:
    body = {"from": {"userid": user}, "msgtype": msg_type, **fields}
    try:
        message = codec().read(json.dumps(body).encode(), NOW)
    except BadMessage:
        return
    assert len(message.key) == 32
    bytes.fromhex(message.key)
    message.sender.encode()
    message.text.encode()
    manner_of(message)
    response_url_of(message)


@settings(database=None, deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_no_bytes_break_it(body: bytes) -> None:
    query, _ = build_wecom.signed(b"{}", now=NOW)
    assert refusal(codec().open, query, body, NOW)
    for plain in (body, b'{"msgtype":"text"}', b"[]", b"\xff"):
        assert refusal(codec().read, plain)
