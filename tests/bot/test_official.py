"""WeChat's bodies become Messages, Replies become WeChat's bytes, and nothing else escapes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wechatpy import parse_message

from bot.official import (
    BadKey,
    BadMessage,
    Codec,
    Mode,
    Opened,
    dedupe_key,
    parse_fields,
)
from handlers.message import Article, Reply
from tests import build

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat"
ABSENT = "the shared fixtures (../shared/fixtures/wechat) are not next to the project"
INDEX = FIXTURES / "cases.json"
CASES: list[dict[str, Any]] = json.loads(INDEX.read_text("utf-8")) if INDEX.exists() else []


def cases(*kinds: str, under: str = "") -> pytest.MarkDecorator:
    chosen = [
        pytest.param(case, id=case["file"])
        for case in CASES
        if case["kind"] in kinds and case["file"].startswith(under)
    ]
    if not chosen:
        chosen = [pytest.param({}, marks=pytest.mark.skip(reason=ABSENT))]
    return pytest.mark.parametrize("case", chosen)


def body_of(case: dict[str, Any]) -> bytes:
    path: Path = FIXTURES / case["file"]
    return path.read_bytes()


def codec(mode: Mode = "safe", key: str = build.AES_KEY, previous: str | None = None) -> Codec:
    return Codec("mp", build.TOKEN, key, previous, build.APP_ID, mode)


def opened(body: bytes, mode: Mode = "safe") -> Opened:
    query, posted = build.signed(body, mode=mode)
    return codec(mode).open(query, posted, build.NOW)


def refusal(action: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(BadMessage) as caught:
        action(*arguments)
    return caught.value.reason


def flat(inner: str) -> bytes:
    """A whole message with `inner` after the four fields that every message needs."""
    head = (
        "<xml><ToUserName>gh</ToUserName><FromUserName>o</FromUserName>"
        "<CreateTime>1763600000</CreateTime><MsgType>text</MsgType>"
    )
    return f"{head}{inner}</xml>".encode()


# --- the shared fixtures --------------------------------------------------------------------


@cases("xml", "xml-reply")
def test_a_fixture_parses_to_its_expected_fields(case: dict[str, Any]) -> None:
    fields = parse_fields(body_of(case))
    assert fields == case.get("expected", {}).get("fields", fields)
    assert fields


@cases("json")
def test_a_json_fixture_parses_to_text_leaves(case: dict[str, Any]) -> None:
    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        if isinstance(value, list):
            return [leaf for item in value for leaf in leaves(item)]
        return [value]

    body = body_of(case)
    if isinstance(json.loads(body), list):  # several bodies in one file
        assert refusal(parse_fields, body) == "bad_json"
        body = json.dumps(json.loads(body)[0]).encode()
    fields = parse_fields(body)
    assert fields.keys() == json.loads(body).keys()
    assert all(leaf is None or isinstance(leaf, str) for leaf in leaves(fields))


@cases("xml")
def test_the_same_fixture_as_json_gives_the_same_fields_and_key(case: dict[str, Any]) -> None:
    expected = parse_fields(body_of(case))
    fields = parse_fields(build.as_json(body_of(case)))
    assert fields == expected
    assert dedupe_key(fields) == dedupe_key(expected)


@cases("xml")
def test_a_redelivered_fixture_has_the_same_key_and_a_changed_one_another(
    case: dict[str, Any],
) -> None:
    fields = parse_fields(body_of(case))
    key = dedupe_key(fields)
    assert len(bytes.fromhex(key)) == 16
    backwards = dict(reversed(fields.items()))
    assert dedupe_key(backwards) == key
    identity = case.get("expected", {}).get("dedupe", {})
    for name in identity.keys() - {"by"}:
        assert dedupe_key({**fields, name: f"{fields.get(name)}x"}) != key, name


@pytest.mark.skipif(not CASES, reason=ABSENT)
def test_the_retry_pair_has_one_key() -> None:
    pair = [parse_fields((FIXTURES / f"oa/retry_pair_{x}.xml").read_bytes()) for x in "ab"]
    assert dedupe_key(pair[0]) == dedupe_key(pair[1])


@pytest.mark.skipif(not CASES, reason=ABSENT)
def test_no_two_fixtures_share_a_key_unless_their_identity_is_the_same() -> None:
    seen: dict[str, str] = {}
    for case in CASES:
        if case["kind"] != "xml" or not case["file"].startswith("oa/"):
            continue
        fields = parse_fields(body_of(case))
        if case["expected"]["dedupe"]["by"] == "MsgId":
            fields = {k: fields.get(k) for k in ("FromUserName", "MsgId", "CreateTime")}
        identity = json.dumps(fields, sort_keys=True)
        assert seen.setdefault(dedupe_key(parse_fields(body_of(case))), identity) == identity


@cases("xml", under="oa/")
def test_an_account_fixture_opens_through_the_encrypted_door(case: dict[str, Any]) -> None:
    message = opened(body_of(case)).message
    fields = case["expected"]["fields"]
    assert message.raw == fields
    assert (message.account, message.sender) == (fields["ToUserName"], fields["FromUserName"])
    assert message.created == int(fields["CreateTime"])
    assert message.event == (fields.get("Event") or "").lower() or message.kind != "event"
    theirs = parse_message(body_of(case))
    assert theirs.source == message.sender
    if message.kind == "text":
        assert theirs.content == message.text


@cases("xml-negative")
def test_a_negative_fixture_is_refused(case: dict[str, Any]) -> None:
    reason = refusal(opened, body_of(case))
    assert reason == {"oa_negative/no_msgtype.xml": "missing_field"}.get(case["file"], "bad_xml")


@cases("xml-reply")
def test_a_reply_fixture_is_what_we_render(case: dict[str, Any]) -> None:
    fields = case["expected"]["fields"]
    made = {
        "text": lambda: Reply.text(fields["Content"]),
        "image": lambda: Reply.image(fields["Image"]["MediaId"]),
        "news": lambda: Reply.news(Article("t", "d", "https://e/p", "https://e")),
        "transfer_customer_service": lambda: Reply.transfer(fields["TransInfo"]["KfAccount"]),
    }[fields["MsgType"]]()
    ask = build.click("x", sender=fields["ToUserName"], ToUserName=fields["FromUserName"])
    seal = opened(ask, "plain").seal
    assert seal.reply(made, float(fields["CreateTime"]), "event") == body_of(case).strip()


# --- what a message says --------------------------------------------------------------------


def test_a_text_message_is_read_whole() -> None:
    body = build.text("  签到🎁 ", sender="oLin", created=1_763_599_999, MsgId=9007199254740993)
    message = opened(body).message
    assert (message.channel, message.account, message.sender) == ("mp", build.ACCOUNT, "oLin")
    assert (message.kind, message.text, message.created) == ("text", "签到🎁", 1_763_599_999)
    assert message.raw["MsgId"] == "9007199254740993"
    assert (message.event, message.event_key) == ("", "")


@pytest.mark.parametrize("body", [build.text("   "), build.text(""), build.voice(None)])
def test_blank_text_is_the_empty_string(body: bytes) -> None:
    assert opened(body).message.text == ""


def test_a_recognised_voice_message_is_a_question() -> None:
    message = opened(build.voice("怎么退款")).message
    assert (message.kind, message.text) == ("voice", "怎么退款")


@pytest.mark.parametrize("key", ["qrscene_ref_8", "qrscene_qrscene_1", "last_trade_no_4", ""])
def test_only_a_leading_qrscene_is_stripped_and_only_once(key: str) -> None:
    message = opened(build.event("subscribe", key)).message
    assert (message.event, message.event_key) == ("subscribe", key.removeprefix("qrscene_"))
    assert opened(build.scan("qrscene_x")).message.event_key == "qrscene_x"


def test_event_names_are_lower_case_and_unlisted_types_unknown() -> None:
    assert opened(build.click("MENU")).message.event == "click"
    assert opened(build.message("sticker_of_2031")).message.kind == "unknown"
    assert opened(build.message("device_event", Event="bind")).message.kind == "unknown"


def test_control_characters_are_dropped_and_lone_surrogates_replaced() -> None:
    raw = {
        "ToUserName": "gh", "FromUserName": "o", "CreateTime": 1763600000, "MsgType": "text",
        "Content": "a\x00b\x08c\ud83d d\uffff\te", "MsgId": 10**30,
    }  # fmt: skip
    message = opened(json.dumps(raw).encode()).message
    assert message.text == "abc\ufffd d\te"
    assert message.raw["MsgId"] == "1" + "0" * 30
    body = flat("<Content><![CDATA[a\x00b\x1fc\x7f\uffff]]></Content>")
    assert opened(body).message.text == "abc"


def test_text_that_looks_like_markup_is_only_text() -> None:
    for content in ("<!DOCTYPE xml [<!ENTITY a 'b'>]>", "]]>x", "[微笑]", "<Encrypt><![CDATA[A"):
        for mode in ("safe", "compatible", "plain"):
            assert opened(build.text(content), mode).message.text == content


def test_a_json_account_is_read_and_answered_in_json() -> None:
    message, seal, _ = opened(build.as_json(build.text("你好", sender="oLin")))
    assert message.text == "你好"
    answer = seal.reply(Reply.text("在的 ]]> 🎁"), build.NOW, "text")
    assert json.loads(answer).keys() == {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"}
    fields = build.open_reply(answer)
    assert fields["Content"] == "在的 ]]> 🎁"
    assert fields["ToUserName"] == "oLin"
    assert seal.content_type == "application/json"


def test_json_quirks_are_read_safely() -> None:
    fields = parse_fields(
        b'\xef\xbb\xbf {"a":1,"a":2,"f":1e999,"n":NaN,"t":true,"z":null,"e":{},"l":[1," "],'
        b'"big":' + b"9" * 5000 + b"}"
    )
    big = fields.pop("big")
    assert big == "9" * 5000
    assert fields == {
        "a": "2", "f": "1e999", "n": "NaN", "t": "true", "z": None, "e": None, "l": ["1", None],
    }  # fmt: skip


@pytest.mark.parametrize("field", ["ToUserName", "FromUserName", "CreateTime", "MsgType"])
def test_a_message_without_its_envelope_is_refused(field: str) -> None:
    values: list[Any] = [None, "", {"a": "b"}, ["1", "2"]]
    for value in values:
        body = build.message("text", **{field: value})
        assert refusal(opened, body) == "missing_field"


@pytest.mark.parametrize("created", ["soon", "-1", "1.5", "²", "9" * 5000, "１７６３"])
def test_a_createtime_that_is_no_number_is_refused(created: str) -> None:
    assert refusal(opened, build.text("x", CreateTime=created)) == "missing_field"


# --- the key --------------------------------------------------------------------------------


def test_two_events_of_one_member_in_one_second_have_two_keys() -> None:
    now = build.NOW
    bodies = [
        build.click("A", created=now),
        build.click("B", created=now),
        build.scan("A", created=now),
        build.follow(created=now),
        build.event("pic_weixin", "A", created=now, SendPicsInfo={"Count": "1"}),
        build.event("pic_weixin", "A", created=now, SendPicsInfo={"Count": "2"}),
        build.click("A", created=now, sender="oOther"),
        build.click("A", created=now, ToUserName="gh_other"),
        build.click("A", created=now + 1),
    ]
    assert len({opened(body).message.key for body in bodies}) == len(bodies)


def test_fields_cannot_be_shifted_into_each_other() -> None:
    base = {"MsgType": "text", "CreateTime": "1", "MsgId": "23", "ToUserName": "g"}
    one = dedupe_key({**base, "FromUserName": "o1"})
    assert dedupe_key({**base, "FromUserName": "o", "MsgId": "123"}) != one
    assert dedupe_key({**base, "FromUserName": "o1", "MsgId": "2", "CreateTime": "31"}) != one


# --- the door -------------------------------------------------------------------------------


def test_the_console_check_echoes_only_what_is_signed_and_fresh() -> None:
    door = codec()
    assert door.check_url(build.echo("4375"), build.NOW) == "4375"
    assert refusal(door.check_url, build.echo(), build.NOW + 301) == "stale"
    forged = {**build.echo(), "signature": "签" * 40}
    assert refusal(door.check_url, forged, build.NOW) == "bad_signature"
    assert refusal(door.check_url, {}, build.NOW) == "missing_field"
    blank = {**build.echo(), "echostr": ""}
    assert refusal(door.check_url, blank, build.NOW) == "missing_field"


@pytest.mark.parametrize("mode", ["safe", "compatible", "plain"])
def test_an_old_or_future_post_is_stale(mode: Mode) -> None:
    query, body = build.signed(build.text("x"), mode=mode)
    for late in (-300.0, 300.0):
        assert codec(mode).open(query, body, build.NOW + late)
    for late in (-301.0, 301.0):
        assert refusal(codec(mode).open, query, body, build.NOW + late) == "stale"


def test_safe_mode_refuses_every_downgrade() -> None:
    clear = build.signed(build.text("x"), mode="plain")
    assert refusal(codec().open, *clear, build.NOW) == "not_encrypted"
    query, _ = build.signed(build.text("x"))
    assert refusal(codec().open, query, clear[1], build.NOW) == "not_encrypted"
    query, body = build.signed(build.text("x"))
    del query["msg_signature"]
    assert refusal(codec().open, query, body, build.NOW) == "not_encrypted"


def test_compatible_mode_believes_only_the_encrypted_part() -> None:
    query, body = build.signed(build.text("real"), mode="compatible")
    tampered = body.replace(b"real", b"fake")
    assert tampered != body
    message, seal, _ = codec("compatible").open(query, tampered, build.NOW)
    assert message.text == "real"
    assert b"<Encrypt>" in seal.reply(Reply.text("ok"), build.NOW, "text")
    unmarked = {name: value for name, value in query.items() if name != "encrypt_type"}
    assert codec("compatible").open(unmarked, tampered, build.NOW).message.text == "real"
    unsigned = {name: value for name, value in query.items() if name != "msg_signature"}
    door = codec("compatible")
    assert refusal(door.open, unsigned, tampered, build.NOW) == "not_encrypted"
    clear = build.signed(build.text("clear"), mode="plain")
    message, seal, _ = codec("compatible").open(*clear, build.NOW)
    assert message.text == "clear"
    assert b"<Encrypt>" not in seal.reply(Reply.text("ok"), build.NOW, "text")


def test_a_plain_channel_says_when_the_console_encrypts() -> None:
    query, body = build.signed(build.text("x").replace(b"ToUserName", b"Other"))
    assert refusal(codec("plain").open, query, body, build.NOW) == "unexpectedly_encrypted"


def test_another_app_id_token_or_key_is_refused() -> None:
    for changed, reason in (
        ({"app_id": "wxother"}, "receive_id_mismatch"),
        ({"token": "othertoken"}, "bad_signature"),
        ({"aes_key": "Z" * 43}, None),
    ):
        query, body = build.signed(build.text("x"), **changed)  # type: ignore[arg-type]
        found = refusal(codec().open, query, body, build.NOW)
        assert reason in (None, found)


def test_the_previous_key_opens_and_is_answered_with() -> None:
    old = "Z" * 43
    query, body = build.signed(build.text("x"), aes_key=old)
    message, seal, _ = codec(previous=old).open(query, body, build.NOW)
    assert message.text == "x"
    answer = seal.reply(Reply.text("好"), build.NOW, "text")
    assert build.open_reply(answer, aes_key=old)["Content"] == "好"


def test_a_codec_that_cannot_work_says_what_is_missing() -> None:
    with pytest.raises(BadKey, match="EncodingAESKey"):
        Codec("mp", build.TOKEN, None, app_id=build.APP_ID)
    with pytest.raises(BadKey, match="app_id"):
        Codec("mp", build.TOKEN, build.AES_KEY)
    with pytest.raises(BadKey, match="token"):
        Codec("mp", "a b", mode="plain")


def test_an_odd_nonce_is_not_put_into_the_answer() -> None:
    query, body = build.signed(build.text("x"), nonce="]]></Nonce><Evil/>")
    answer = codec().open(query, body, build.NOW).seal.reply(Reply.text("y"), build.NOW, "text")
    assert b"Evil" not in answer
    assert build.open_reply(answer)["Content"] == "y"


def test_no_message_or_member_stands_in_an_error_or_a_seal() -> None:
    with pytest.raises(BadMessage) as caught:
        opened(flat("<a>签到"))
    assert str(caught.value) == caught.value.reason == "bad_xml"
    assert build.SENDER not in repr(opened(build.text("x")).seal)


# --- hostile bodies -------------------------------------------------------------------------

MIB = 1 << 20
HOSTILE = {
    "empty": b"",
    "blank": b" \r\n ",
    "not utf-8": flat("").replace(b"gh", b"\xff\xfe"),
    "utf-16": flat("").decode().encode("utf-16"),
    "doctype": b"<!DOCTYPE xml []>" + flat(""),
    "laughs": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY b "&a;&a;">]><xml>&b;</xml>',
    "external": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><xml>&a;</xml>',
    "stylesheet": b'<?xml-stylesheet href="x"?>' + flat(""),
    "comment first": b"<!-- x -->" + flat(""),
    "undeclared entity": flat("<Content>&a;</Content>"),
    "forbidden character": flat("<Content>&#0;</Content>"),
    "two roots": flat("") + b"<xml/>",
    "another root": b"<html><body>x</body></html>",
    "text root": b"<xml>x</xml>",
    "empty root": b"<xml></xml>",
    "unclosed": flat("<Content><![CDATA[x"),
    "too deep": flat("<a>" * 17 + "</a>" * 17),
    "deep": b"<xml>" + b"<a>" * (MIB // 3 - 10),
    "deep and closed": b"<xml>" + b"<a>" * 9_000 + b"</a>" * 9_000 + b"</xml>",
    "many": b"<xml>" + b"<a/>" * (MIB // 4 - 10) + b"</xml>",
    "blanks": b"<xml>" + b" " * (MIB - 20) + b"</xml>",
    "blanks inside": b"<xml><a>" + b" " * (MIB - 20) + b"<b></xml>",
    "openings": b"<xml>" + b"<a><![CDATA[" * (MIB // 12 - 10) + b"</xml>",
    "brackets": b"<xml><a><![CDATA[" + b"]" * (MIB - 40) + b"</a></xml>",
    "names": b"<xml><" + b"a" * (MIB - 40) + b"</xml>",
    "json array": b"[1]",
    "json text": b'"x"',
    "json garbage": b'{"a":1} x',
    "json deep": b'{"a":' + b"[" * (MIB - 10),
    "json deep and closed": b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    "json many": b'{"a":[' + b"1," * (MIB // 2 - 10) + b"1]}",
    "json half": b'{"ToUserName":"gh","Fro',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_quickly(name: str) -> None:
    started = time.process_time()
    assert refusal(opened, HOSTILE[name], "plain")
    query, _ = build.signed(b"x")
    assert refusal(codec().open, query, HOSTILE[name], build.NOW)
    encrypted = build.encrypt(HOSTILE[name][:200_000])
    query["msg_signature"] = build.digest(
        build.TOKEN, query["timestamp"], query["nonce"], encrypted
    )
    body = f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()
    assert refusal(codec().open, query, body, build.NOW) not in ("bad_signature", "stale")
    assert time.process_time() - started < 2.0


def test_a_body_over_a_mebibyte_is_refused_unread() -> None:
    assert refusal(codec().open, {}, b" " * (MIB + 1), build.NOW) == "too_large"
    assert refusal(parse_fields, b" " * (MIB + 1)) == "too_large"


PROPERTY = settings(
    database=None, deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = [
    build.text("签到 ]]> 🎁"), build.follow(scene="a"), build.voice("你好"),
    build.event("pic_weixin", "6", SendPicsInfo={"PicList": {"item": [{"a": "1"}, {"a": "2"}]}}),
    flat(" <Content> a &amp; b </Content>\r\n<MsgId>1</MsgId>"),
]  # fmt: skip
SEEDS += [build.as_json(seed) for seed in SEEDS]
SHARDS = [
    b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!DOCTYPE a>", b"<?x?>", b"<!--", b"-->", b"</xml>",
    b"<xml>", b"\x00", b"\xff", b"\xef\xbf\xbf", b"\xed\xa0\x80", b"\r", b'"', b"\\ud800", b"{",
    b"[", b"<a/>", b"<Content>", b"</Content>", b"&#8;", b" ", b'"MsgType":', b"1e9", b"]",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid body with pieces cut out, doubled, flipped or planted."""
    body = draw(st.sampled_from(SEEDS))
    rng = random.Random(draw(st.integers()))
    for _ in range(rng.randint(0, 6)):
        at = rng.randint(0, len(body))
        to = min(len(body), at + rng.randint(0, 30))
        piece = rng.choice([*SHARDS, b"", body[at:to] * 2, bytes([rng.randint(0, 255)])])
        body = body[:at] + piece + body[rng.choice([at, to]) :]
    return body


def only_our_error(door: Codec, query: dict[str, str], body: bytes) -> None:
    """Refused, or read into a message that can be answered."""
    try:
        message, seal, _ = door.open(query, body, build.NOW)
    except BadMessage:
        return
    assert isinstance(message.text, str)
    answer = seal.reply(Reply.text(f"你说 {message.text or '?'}"), build.NOW, message.kind)
    fields = build.open_reply(answer)
    # An XML reader makes every line end a line feed; splitlines sees no difference.
    assert fields["ToUserName"].splitlines() == message.sender.splitlines()
    assert fields["Content"].startswith("你说")


@PROPERTY
@given(st.one_of(st.binary(), mutated()))
def test_whatever_the_plaintext_only_our_error_comes_out(plain: bytes) -> None:
    encrypted = build.encrypt(plain)
    query, _ = build.signed(b"x")
    query["msg_signature"] = build.digest(
        build.TOKEN, query["timestamp"], query["nonce"], encrypted
    )
    body = f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()
    only_our_error(codec(), query, body)
    clear, _ = build.signed(b"x", mode="plain")
    only_our_error(codec("plain"), clear, plain)


NAMES = st.sampled_from(
    ["signature", "timestamp", "nonce", "msg_signature", "encrypt_type", "echostr", "openid"]
)
VALUES = st.one_of(
    st.text(), st.sampled_from(["aes", "1763600000", "0" * 40, "²", "\ud800", "9" * 5000])
)


@PROPERTY
@given(st.dictionaries(NAMES, VALUES), st.one_of(st.binary(), mutated()), st.booleans())
def test_whatever_the_request_only_our_error_comes_out(
    query: dict[str, str], body: bytes, keep_signed: bool
) -> None:
    if keep_signed:
        query = {**build.signed(b"x")[0], **query}
    for mode in ("safe", "compatible", "plain"):
        only_our_error(codec(mode), query, body)
        try:
            codec(mode).check_url(query, build.NOW)
        except BadMessage:
            continue


@PROPERTY
@given(mutated())
def test_the_quick_reading_of_flat_xml_agrees_with_the_parser(body: bytes) -> None:
    if not body.startswith(b"<xml"):
        return

    def read(raw: bytes) -> dict[str, Any] | str:
        try:
            return parse_fields(raw)
        except BadMessage as refused:
            return refused.reason

    # A declaration keeps the quick reading out.
    assert read(body) == read(b'<?xml version="1.0" encoding="gbk"?>\n' + body)
