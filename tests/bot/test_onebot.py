"""OneBot's events: every documented form is read, and no hostile one does harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.crypto import BadMessage
from bot.onebot import MAX_SEGMENTS, MAX_TEXT, Meta, decode, read, restore, stored
from handlers.message import Message, Talk

NOW = 1_763_600_000.0
FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat"
ABSENT = "the shared fixtures (../shared/fixtures/wechat) are not next to the project"


def event(*segments: dict[str, Any] | str, **fields: Any) -> dict[str, Any]:
    """A group message of OneBot 12; a plain text stands for its segment, None drops a field."""
    parts = [
        {"type": "text", "data": {"text": part}} if isinstance(part, str) else part
        for part in segments
    ]
    whole = {
        "id": "e-1",
        "self": {"platform": "wechat", "user_id": "wxid_bot"},
        "time": NOW,
        "type": "message",
        "detail_type": "group",
        "sub_type": "",
        "message_id": "6283",
        "group_id": "12345@chatroom",
        "user_id": "wxid_lin",
        "message": parts,
        "alt_message": "",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def old(message: Any, **fields: Any) -> dict[str, Any]:
    """A group message of OneBot 11."""
    return {
        "time": int(NOW),
        "self_id": 10001000,
        "post_type": "message",
        "message_type": "group",
        "sub_type": "normal",
        "message_id": 12,
        "group_id": 88888,
        "user_id": 12345678,
        "message": message,
        "raw_message": "[CQ:at,qq=10001000] raw",
        "sender": {"user_id": 12345678, "nickname": "小明", "card": ""},
        **fields,
    }


def seg(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


def heard(fields: dict[str, Any], **more: Any) -> Message:
    """The message in it, through JSON as it comes over the wire."""
    found = read("qun", json.dumps(fields).encode(), "", NOW, **more)
    assert isinstance(found, Message)
    return found


def talk(fields: dict[str, Any], **more: Any) -> Talk:
    found = heard(fields, **more).talk
    assert found is not None
    return found


# --- the shared fixtures --------------------------------------------------------------------


def fixture(name: str) -> bytes:
    path = FIXTURES / name
    if not path.exists():
        pytest.skip(ABSENT)
    return path.read_bytes()


def test_a_mention_of_the_bot_is_addressed_to_it() -> None:
    found = read("qun", fixture("onebot12/event_group_mention_bot.json"), "", NOW)
    assert isinstance(found, Message)
    assert (found.kind, found.text) == ("text", "今天有券吗")
    assert (found.account, found.sender, found.source) == ("wxid_bot", "wxid_user1", "onebot")
    assert found.talk == Talk("12345@chatroom", "6283", addressed=True)
    assert (found.place, found.created) == ("qun:12345@chatroom", 1_763_600_000)


def test_what_is_said_among_members_is_not_addressed_to_the_bot() -> None:
    found = read("qun", fixture("onebot12/event_group_plain.json"), "", NOW)
    assert isinstance(found, Message)
    assert found.talk == Talk("12345@chatroom", "6284")
    assert found.text == "随便聊聊"


def test_the_description_of_a_picture_is_not_taken_for_text() -> None:
    found = read("qun", fixture("onebot12/event_group_message_spec.json"), "", NOW)
    assert isinstance(found, Message)
    assert found.text == "OneBot is not a bot"


def test_a_private_message_has_no_talk() -> None:
    found = read("qun", fixture("onebot12/event_private.json"), "", NOW)
    assert isinstance(found, Message)
    assert (found.talk, found.text, found.place) == (None, "你好", "")


@pytest.mark.parametrize(
    ("name", "kind"), [("meta_connect", "connect"), ("meta_heartbeat", "heartbeat")]
)
def test_what_the_gateway_says_of_itself_is_no_message(name: str, kind: str) -> None:
    assert read("qun", fixture(f"onebot12/{name}.json"), "", NOW) == Meta(kind, 12)  # type: ignore[arg-type]


def test_a_newcomer_is_an_event() -> None:
    found = read("qun", fixture("onebot12/notice_group_member_increase.json"), "", NOW)
    assert isinstance(found, Message)
    assert (found.event, found.event_key, found.sender) == ("group_join", "join", "123456788")
    assert found.talk == Talk("87654321")


def test_a_body_that_was_encoded_twice_is_read() -> None:
    found = read("qun", fixture("onebot12/webhook_double_encoded_body.txt"), "", NOW)
    assert isinstance(found, Message)
    assert found.text == "双重编码"


@pytest.mark.parametrize(("form", "text"), [("array", "领券"), ("string", "你好 [x] & y")])
def test_both_forms_of_the_older_version_are_read(form: str, text: str) -> None:
    delivery = json.loads(fixture(f"onebot11/http_post_group_{form}.json"))
    found = read("qun", delivery["body"].encode(), "", NOW)
    assert isinstance(found, Message)
    assert (found.text, found.account, found.sender) == (text, "10001000", "12345678")
    assert found.talk is not None
    assert (found.talk.group, found.talk.name, found.talk.addressed) == ("88888", "小明", True)


@pytest.mark.parametrize("name", ["action_response_ok", "action_response_failed"])
def test_an_answer_is_no_event(name: str) -> None:
    with pytest.raises(BadMessage, match="missing_field"):
        read("qun", fixture(f"onebot12/{name}.json"), "", NOW)


def test_no_fixture_is_forgotten() -> None:
    if not FIXTURES.exists():
        pytest.skip(ABSENT)
    cases = json.loads((FIXTURES / "cases.json").read_text("utf-8"))
    ours = [one for one in cases if one["file"].startswith("onebot")]
    assert len(ours) == 13
    for case in ours:
        raw = fixture(case["file"])
        if case["kind"] == "http":
            raw = json.loads(raw)["body"].encode()
        fields = decode(raw)
        if case.get("expected", {}).get("decode_twice"):
            assert isinstance(json.loads(raw), str)
        if "type" in fields or "post_type" in fields:
            assert read("qun", fields, "", NOW) is not None


# --- what a message says --------------------------------------------------------------------


def test_texts_are_joined_and_others_are_mentioned_once() -> None:
    found = heard(
        event(
            seg("mention", user_id="wxid_wang"),
            " 你看 ",
            seg("mention", user_id="wxid_bot"),
            seg("mention", user_id="wxid_wang"),
            seg("wx.emoji", md5="x"),
            "这个",
        )
    )
    assert found.text == "你看 这个"
    assert found.talk is not None
    assert (found.talk.mentions, found.talk.addressed) == (("wxid_wang",), True)


@pytest.mark.parametrize(
    "fields",
    [
        event(seg("mention_all"), "通知"),
        event(seg("mention", user_id="all"), "通知"),
        old([seg("at", qq="all"), seg("text", text="通知")]),
        old("[CQ:at,qq=all]通知"),
    ],
)
def test_a_mention_of_everybody_is_not_a_mention_of_the_bot(fields: dict[str, Any]) -> None:
    found = talk(fields)
    assert found.everyone
    assert not found.addressed
    assert found.mentions == ()


def test_who_quotes_the_bot_speaks_to_it() -> None:
    told = talk(event(seg("reply", message_id="77", user_id="wxid_bot"), "真的吗"))
    assert (told.addressed, told.quotes, told.quotes_who) == (True, "77", "wxid_bot")
    quoted = event(seg("reply", message_id="77"), "真的吗")
    assert not talk(quoted).addressed
    known = talk(quoted, ours=lambda *which: {("12345@chatroom", "77"): "1. 甲"}.get(which, ""))
    assert (known.addressed, known.quotes_who, known.quoted) == (True, "wxid_bot", "1. 甲")
    other = talk(event(seg("reply", message_id="77", user_id="wxid_wang")), ours=lambda *_: "1. 甲")
    assert not other.addressed


def test_who_only_mentions_the_bot_has_said_nothing_to_it() -> None:
    found = heard(event(seg("mention", user_id="wxid_bot")))
    assert (found.kind, found.text) == ("text", "")


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        (seg("image", file_id="f"), "image"),
        (seg("voice", file_id="f"), "voice"),
        (seg("audio", file_id="f"), "voice"),
        (seg("record", file="f"), "voice"),
        (seg("video", file_id="f"), "video"),
        (seg("location", latitude=1.5, longitude=2.5, title="", content=""), "location"),
        (seg("file", file_id="f"), "unknown"),
        (seg("wx.emoji", md5="x"), "unknown"),
        ({"type": 7}, "unknown"),
        ({"data": []}, "unknown"),
        ([1], "unknown"),
        (None, "unknown"),
    ],
)
def test_what_has_no_words_has_no_text(segment: Any, kind: str) -> None:
    found = heard(event(segment, alt_message="[图片] 签到"))
    assert (found.kind, found.text) == (kind, "")


def test_only_without_segments_the_description_counts() -> None:
    assert heard(event(message=None, alt_message="你好")).text == "你好"
    assert heard(event(message=[], alt_message="你好")).text == "你好"
    assert heard(event(message="你好 [CQ:at,qq=1]")).text == "你好 [CQ:at,qq=1]"
    assert heard(event(message={"type": "text", "data": {"text": "你好"}})).text == "你好"


def test_codes_in_a_text_are_read_with_their_escapes() -> None:
    message = "[CQ:reply,id=-5][CQ:at,qq=777,name=a&#44;b]&#91;CQ:at,qq=1&#93; a&amp;#91; [CQ:x"
    found = heard(old(message))
    assert found.text == "[CQ:at,qq=1] a&#91; [CQ:x"
    assert found.talk is not None
    assert (found.talk.mentions, found.talk.quotes) == (("777",), "-5")


def test_a_segments_text_is_never_read_as_a_code() -> None:
    found = heard(old([seg("text", text="[CQ:at,qq=10001000] hi")]))
    assert found.text == "[CQ:at,qq=10001000] hi"
    assert found.talk is not None
    assert not found.talk.addressed


def test_the_name_in_the_group_goes_before_the_nickname() -> None:
    sender = {"nickname": "小明", "card": " 三班\n 小明 \x00" + "长" * 99}
    name = talk(old("x", sender=sender)).name
    assert name.startswith("三班 小明 长")
    assert len(name) == 64
    assert talk(old("x", sender="?")).name == ""


# --- notices --------------------------------------------------------------------------------


def notice(detail: str, sub_type: str = "", **fields: Any) -> dict[str, Any]:
    head = event(message=None, alt_message=None, message_id=None)
    return {**head, "type": "notice", "detail_type": detail, "sub_type": sub_type, **fields}


def old_notice(detail: str, sub_type: str = "", **fields: Any) -> dict[str, Any]:
    head = {"time": int(NOW), "self_id": 9, "post_type": "notice", "group_id": 5, "user_id": 7}
    return {**head, "notice_type": detail, "sub_type": sub_type, **fields}


def test_who_came_is_called_as_the_gateway_says_if_it_does() -> None:
    sender = {"user_id": "wxid_lin", "nickname": "小满"}
    assert talk(notice("group_member_increase", sender=sender)).name == "小满"
    assert talk(notice("group_member_increase")).name == ""
    mine = notice("group_member_increase", user_id="wxid_bot", operator_id="wxid_w", sender=sender)
    assert talk(mine).name == "", "the event is about who let the bot in"


@pytest.mark.parametrize(
    ("fields", "event_name", "key", "sender"),
    [
        (notice("group_member_increase", "invite"), "group_join", "invite", "wxid_lin"),
        (notice("group_member_decrease", "leave"), "group_leave", "leave", "wxid_lin"),
        (notice("group_member_decrease", "kick"), "group_leave", "kick", "wxid_lin"),
        (
            notice("group_member_increase", user_id="wxid_bot", operator_id="wxid_w"),
            "bot_join",
            "",
            "wxid_w",
        ),
        (
            notice("group_member_decrease", "kick", user_id="wxid_bot"),
            "bot_leave",
            "kick",
            "wxid_bot",
        ),
        (
            notice("group_message_delete", "recall", message_id="62"),
            "group_recall",
            "62",
            "wxid_lin",
        ),
        (old_notice("group_increase", "approve"), "group_join", "approve", "7"),
        (old_notice("group_decrease", "kick_me", user_id=9), "bot_leave", "kick_me", "9"),
        (old_notice("group_recall", message_id=-62), "group_recall", "-62", "7"),
    ],
)
def test_comings_goings_and_recalls_are_events(
    fields: dict[str, Any], event_name: str, key: str, sender: str
) -> None:
    found = heard(fields)
    assert (found.kind, found.event, found.event_key) == ("event", event_name, key)
    assert found.sender == sender
    assert found.talk is not None


@pytest.mark.parametrize(
    "fields",
    [
        event("自己说的", user_id="wxid_bot"),
        event("频道", detail_type="channel"),
        old("自己说的", user_id=10001000),
        old("自己说的", post_type="message_sent"),
        old("系统消息", sub_type="notice"),
        notice("group_message_delete", user_id="wxid_bot", message_id="1"),
        notice("group_admin_set"),
        notice("group_message_delete"),
        old_notice("group_ban", "ban"),
        {**event(), "type": "request"},
        {**event(), "type": "未来"},
    ],
)
def test_what_does_not_concern_us_is_quietly_passed_over(fields: dict[str, Any]) -> None:
    assert read("qun", json.dumps(fields), "", NOW) is None


def test_a_gateway_says_whether_its_account_is_logged_in() -> None:
    status = {"type": "meta", "detail_type": "status_update", "status": {"good": False}}
    assert read("qun", status, "", NOW) == Meta("status", 12, good=False)
    beat = {"post_type": "meta_event", "meta_event_type": "heartbeat", "status": {"good": True}}
    assert read("qun", beat, "", NOW) == Meta("heartbeat", 11, good=True)


# --- ids, times and keys --------------------------------------------------------------------


def key(**fields: Any) -> str:
    words = fields.pop("words", "签到")
    return heard(event(words, **fields)).key


def test_a_copy_has_the_same_key_and_nothing_else_has() -> None:
    first = key()
    assert len(bytes.fromhex(first)) == 16
    assert first.startswith(f"{int(NOW):08x}")
    assert key(id="e-2", alt_message="?") == first
    assert key(time=NOW + 0.4) == first
    assert heard(event(seg("text", text="签到"), group_id="12345@chatroom")).key == first
    different = [
        key(words="签到2"),
        key(message_id="6284"),
        key(group_id="2@chatroom"),
        key(user_id="wxid_wang"),
        key(time=NOW + 1),
        key(detail_type="private"),
        key(message_id=None),
        key(message_id=None, id="e-2"),
        key(message_id=None, id=None),
        key(message_id=None, id=None, time=NOW + 0.4),
    ]
    assert len({first, *different}) == 1 + len(different)


def test_numbers_and_texts_are_the_same_ids() -> None:
    big = 2**63 - 1
    assert heard(old("x", group_id=big, message_id=-7)).key == (
        heard(old("x", group_id=str(big), message_id="-7")).key
    )


def test_a_message_without_ids_and_time_could_never_be_told_from_its_copy() -> None:
    with pytest.raises(BadMessage, match="missing_field"):
        heard(event("x", id=None, message_id=None, time=None))
    assert heard(event("x", message_id=None, time=None)).created == int(NOW)


@pytest.mark.parametrize(
    "time", [0, -5, NOW + 301, NOW - 90_000, 1e300, "soon", True, [1], "9" * 99]
)
def test_a_clock_that_cannot_be_right_is_not_believed(time: Any) -> None:
    assert heard(event("x", time=time)).created == int(NOW)


@pytest.mark.parametrize("time", [NOW - 3600, str(int(NOW) - 3600), (NOW - 3600) * 1000])
def test_what_came_while_we_were_away_keeps_its_time(time: Any) -> None:
    assert heard(event("x", time=time)).created == int(NOW) - 3600


def test_a_message_for_another_account_is_refused() -> None:
    body = json.dumps(event("x"))
    assert read("qun", body, "wxid_bot", NOW) is not None
    with pytest.raises(BadMessage, match="receive_id_mismatch"):
        read("qun", body, "wxid_other", NOW)


def test_an_event_that_does_not_name_its_account_needs_the_configured_one() -> None:
    fields = event(seg("mention", user_id="wxid_bot"), self=None)
    with pytest.raises(BadMessage, match="missing_field"):
        read("qun", fields, "", NOW)
    found = read("qun", fields, "wxid_bot", NOW)
    assert isinstance(found, Message)
    assert found.talk is not None
    assert found.talk.addressed


@pytest.mark.parametrize("bad", [None, "", True, 1.5, [], {}, "a b", "a\nb", "x" * 129, "\ud800"])
@pytest.mark.parametrize("name", ["user_id", "group_id"])
def test_who_or_where_that_is_no_id_is_refused(name: str, bad: Any) -> None:
    with pytest.raises(BadMessage, match="missing_field"):
        read("qun", {**event("x"), name: bad}, "", NOW)


# --- hostile bodies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[]", "bad_json"),
        (b"null", "bad_json"),
        (b'"x"', "bad_json"),
        (b"\xff\xfe", "bad_encoding"),
        (b'{"type": NaN}', "bad_json"),
        (json.dumps(json.dumps(json.dumps(event("x")))).encode(), "bad_json"),
        (b"{}", "missing_field"),
        (b'{"type": []}', "missing_field"),
        (b'{"type": "message", "detail_type": "group"}', "missing_field"),
        (b"[" * 200_000, "too_deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep"),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', "too_large"),
        (b'{"a":[' + b"1," * 30_000 + b"1]}", "too_large"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read("qun", body, "", NOW)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        event("x" * (MAX_TEXT + 1)),
        event("x" * MAX_TEXT, "y"),
        event(*["x"] * (MAX_SEGMENTS + 1)),
        old("[CQ:at,qq=1]" * (MAX_SEGMENTS + 1)),
    ],
)
def test_more_than_a_message_can_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadMessage, match="too_large"):
        heard(fields)


def test_depth_has_a_limit_inside_a_message_too() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(BadMessage, match="too_deep"):
        heard(event("x", extra=deep))


def test_a_bomb_of_brackets_takes_no_time() -> None:
    for text in ("[CQ:" * 4000, "[CQ:at" + ",a=b" * 4000, "[CQ:at," + "=" * 19_000, "&#91;" * 3000):
        assert heard(old(text)).text


def test_no_control_character_and_no_half_emoji_comes_through() -> None:
    found = heard(event("a\x00b\ud83dc\ufffe"))
    assert found.text == "abc"
    json.dumps(found.raw, ensure_ascii=False).encode()


def test_raw_leaves_are_texts_of_bounded_length() -> None:
    found = heard(event("x", seg("image", file="base64://" + "A" * 50_000), flag=True, empty=""))
    assert found.raw["flag"] == "true"
    assert found.raw["empty"] is None
    assert len(found.raw["message"][1]["data"]["file"]) == MAX_TEXT + 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
_KINDS = st.sampled_from(
    ["text", "mention", "at", "reply", "image", "mention_all", "location", "share", "?"]
)
_SEGMENTS = st.lists(
    st.fixed_dictionaries(
        {"type": _KINDS | _JSON},
        optional={
            "data": st.dictionaries(
                st.sampled_from(["text", "user_id", "qq", "id", "message_id"]), _JSON
            )
            | _JSON
        },
    ),
    max_size=5,
)
_NAMES = ["time", "user_id", "group_id", "message_id", "sub_type", "self", "id", "sender", "raw"]


@settings(max_examples=100, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["message", "notice", "meta", "meta_event", "request"]) | _JSON,
    st.sampled_from(["group", "private", "group_member_increase", "group_recall"]) | _JSON,
    _SEGMENTS | _JSON,
    st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=4),
)
def test_whatever_comes_is_read_or_refused(
    older: bool, kind: Any, detail: Any, message: Any, more: dict[str, Any]
) -> None:
    fields = {**(old(message) if older else event(message=message)), **more}
    fields["post_type" if older else "type"] = kind
    for name in ("message_type", "notice_type") if older else ("detail_type",):
        fields[name] = detail
    for body in (fields, json.dumps(fields).encode()):
        try:
            found = read("qun", body, "", NOW)
        except BadMessage:
            continue
        if isinstance(found, Message):
            assert len(bytes.fromhex(found.key)) == 16
            assert found.sender != found.account or found.event.startswith("bot_")
            assert restore(stored(found)) == found


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_bytes_come_are_refused(body: bytes | str) -> None:
    with pytest.raises(BadMessage):
        read("qun", body, "", NOW)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]CQ:,=at&#912345;qx你\n", max_size=60))
def test_whatever_codes_come_are_read(text: str) -> None:
    found = read("qun", old(text, raw_message="x"), "", NOW)
    assert isinstance(found, Message)


# --- kept until it is answered --------------------------------------------------------------


def test_what_is_kept_comes_back_whole() -> None:
    quoting = event(seg("reply", message_id="7"), seg("mention", user_id="w"), "好")
    found = heard(quoting, ours=lambda *_: "1. 甲")
    assert restore(stored(found)) == found
    private = heard(event("好", detail_type="private"))
    assert restore(stored(private)) == private


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"talk":null}', b"\xff", b'{"talk":{"a":1}}']
)
def test_what_was_not_kept_by_us_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        restore(body)
