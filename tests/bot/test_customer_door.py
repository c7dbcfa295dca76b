"""Events of customer groups: what gets in, what it says, and that nothing else gets through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.crypto import BadMessage
from bot.customer_door import CustomerDoor, change_of
from bot.official import parse_fields
from scheduler.customer_groups import GroupChange
from store.customer_members import Move
from tests import build
from tests.build_customers import CORP, changed, echo, event, signed

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat"
NOW = 1_763_600_000.0
CHAT = "wrOgQhDgAAMYQiS5ol9G7gK9JVAAAA"


class Desk:
    """A door that keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[GroupChange] = []
        self.door = CustomerDoor(
            "kehu", CORP, build.TOKEN, build.AES_KEY, hear=lambda _, one: self.heard.append(one)
        )

    def take(self, plain: bytes, **how: Any) -> GroupChange | None:
        return self.door.take(*signed(plain, **{"now": NOW, **how}), NOW)

    def refusal(self, query: dict[str, str], body: bytes) -> str:
        with pytest.raises(BadMessage) as refused:
            self.door.take(query, body, NOW)
        assert not self.heard
        return refused.value.reason


@pytest.fixture
def desk() -> Desk:
    return Desk()


def read(plain: bytes) -> GroupChange | None:
    return change_of(parse_fields(plain), NOW)


# What events say


def test_who_came_and_who_went_is_known_from_the_event_itself(desk: Desk) -> None:
    came = desk.take(changed(CHAT, "add_member", ("wmA", "wmB"), created=NOW - 3))
    assert came == GroupChange(
        CHAT, (Move("wmA", True, NOW - 3), Move("wmB", True, NOW - 3)), whole=True
    )
    went = desk.take(changed(CHAT, "del_member", ("wmA",), created=NOW - 2))
    assert went == GroupChange(CHAT, (Move("wmA", False, NOW - 2),), whole=True)
    assert desk.heard == [came, went]


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (changed(CHAT, kind="create"), GroupChange(CHAT)),
        (changed(CHAT, "change_owner"), GroupChange(CHAT)),
        (changed(CHAT, "change_name"), GroupChange(CHAT)),
        (changed(CHAT, "something_new"), GroupChange(CHAT)),
        (changed(CHAT, "change_notice"), GroupChange(CHAT, whole=True)),
        (changed(CHAT, kind="dismiss"), GroupChange(CHAT, dismissed=True)),
        (changed(CHAT, "add_member", JoinScene=3, MemChangeCnt=2), GroupChange(CHAT)),
    ],
)
def test_what_an_event_does_not_say_is_read_later(plain: bytes, said: GroupChange) -> None:
    assert read(plain) == said


def test_a_list_that_is_shorter_than_its_count_is_not_all(desk: Desk) -> None:
    change = read(changed(CHAT, "add_member", ("wmA",), MemChangeCnt=7))
    assert change is not None
    assert [move.external_id for move in change.moves] == ["wmA"]
    assert not change.whole


def test_an_event_of_the_future_happened_now() -> None:
    change = read(changed(CHAT, "add_member", ("wmA",), created=NOW + 9_000_000))
    assert change is not None
    assert change.moves[0].at == NOW


@pytest.mark.parametrize(
    "plain",
    [
        event("change_external_contact", ChangeType="add_external_contact", UserID="zhangsan"),
        event("change_contact", ChangeType="create_user"),
        event("something_new"),
        b"<xml><MsgType/></xml>",
        b'{"MsgType": 1}',
        build.text("你好"),
        event("change_external_chat", ChangeType="update"),
        event("change_external_chat", ChatId="x" * 999, ChangeType="update"),
        event("change_external_chat", ChatId={"deep": "er"}, ChangeType="update"),
    ],
)
def test_every_other_event_is_acknowledged_and_nothing_follows(desk: Desk, plain: bytes) -> None:
    assert desk.take(plain) is None
    assert not desk.heard


async def test_the_answer_is_empty(desk: Desk) -> None:
    query, body = signed(changed(CHAT, "add_member", ("wmA",)), now=NOW)
    answer: Any = await desk.door.post(None, query, body, NOW)  # type: ignore[arg-type]
    assert (answer.status, answer.body) == (200, None)
    assert len(desk.heard) == 1


def test_the_same_event_three_times_is_heard_once(desk: Desk) -> None:
    plain = changed(CHAT, "add_member", ("wmA",), created=NOW)
    for _ in range(3):
        desk.take(plain)
    assert len(desk.heard) == 1
    desk.take(changed(CHAT, "add_member", ("wmA",), created=NOW - 1))
    assert len(desk.heard) == 2


@pytest.mark.parametrize("odd", [{"Item": ["", None, "wmA", "wmA"]}, {"Item": "wmA"}, "wmA"])
def test_odd_lists_of_members_are_read_as_far_as_they_go(odd: Any) -> None:
    fields = parse_fields(changed(CHAT, "add_member")) | {"MemChangeList": odd}
    change = change_of(fields, NOW)
    assert change is not None
    assert [move.external_id for move in change.moves] == ["wmA"]


# The console's check


async def test_the_consoles_check_gets_the_decrypted_words(desk: Desk) -> None:
    answer: Any = await desk.door.get(None, echo("4629", now=NOW), NOW)  # type: ignore[arg-type]
    assert (answer.text, answer.content_type) == ("4629", "text/plain")


def test_a_plus_sign_that_became_a_blank_is_one_again(desk: Desk) -> None:
    for number in range(99):
        query = echo(f"echo {number}", now=NOW)
        if "+" in query["echostr"]:
            query["echostr"] = query["echostr"].replace("+", " ")
            assert desk.door.check_url(query, NOW) == f"echo {number}"
            return
    pytest.fail("99 ciphertexts without a plus sign")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"msg_signature": "0" * 40}, "bad_signature"),
        ({"timestamp": "1763500000"}, "stale"),
        ({"timestamp": "soon"}, "missing_field"),
        ({"echostr": ""}, "missing_field"),
        ({"echostr": "bm8="}, "bad_signature"),
    ],
)
def test_a_forged_check_is_refused(desk: Desk, change: dict[str, str], reason: str) -> None:
    with pytest.raises(BadMessage) as refused:
        desk.door.check_url(echo("4629", now=NOW) | change, NOW)
    assert refused.value.reason == reason


# Hostile bodies


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"token": "another"}, "bad_signature"),
        ({"aes_key": "z" * 43}, "bad_padding"),
        ({"receive_id": "ww_someone_else"}, "receive_id_mismatch"),
        ({"receive_id": ""}, "receive_id_mismatch"),
        ({"now": NOW - 301}, "stale"),
        ({"now": NOW + 301}, "stale"),
    ],
)
def test_what_is_not_our_companys_is_refused(desk: Desk, how: Any, reason: str) -> None:
    query, body = signed(changed(CHAT), **{"now": NOW, **how})
    assert desk.refusal(query, body) in (reason, "bad_length")


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (b"", "bad_json"),
        (b"<xml><MsgType>event</MsgType>", "bad_xml"),
        (b"[1, 2]", "bad_json"),
        (b"<xml>" + b"<a>" * 9000 + b"</a>" * 9000 + b"</xml>", ""),
        (b"\xff\xfe\x00", "bad_encoding"),
    ],
)
def test_nonsense_in_a_good_envelope_is_refused(desk: Desk, plain: bytes, reason: str) -> None:
    found = desk.refusal(*signed(plain, now=NOW))
    assert not reason or found == reason


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<xml/>", b"<xml><Encrypt/></xml>", b"\x00" * 99, b'{"Encrypt": 5}'],
)
def test_a_body_without_an_envelope_is_refused(desk: Desk, body: bytes) -> None:
    query, _ = signed(changed(CHAT), now=NOW)
    wanted = ("not_encrypted", "bad_xml", "bad_json", "bad_signature")
    assert desk.refusal(query, body) in wanted


def test_a_huge_body_is_refused(desk: Desk) -> None:
    query, _ = signed(changed(CHAT), now=NOW)
    assert desk.refusal(query, b"<" * ((1 << 20) + 1)) == "too_large"


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_whatever_is_signed_is_an_event_or_a_refusal(plain: bytes) -> None:
    desk = Desk()
    try:
        desk.take(plain)
    except BadMessage:
        assert not desk.heard


# Shared fixtures


def test_the_shared_events_pass_without_a_trace() -> None:
    folder = FIXTURES / "wecom_app"
    if not folder.exists():
        pytest.skip("the shared fixtures (../shared/fixtures/wechat) are not next to the project")
    names = sorted(path.name for path in folder.glob("*.xml"))
    assert "event_change_external_contact_103.xml" in names
    for name in names:
        desk = Desk()
        assert desk.take((folder / name).read_bytes()) is None, name
        assert not desk.heard


def test_the_shared_crypto_vectors_of_wecom_open() -> None:
    path = FIXTURES / "crypto/vectors.json"
    if not path.exists():
        pytest.skip("the shared fixtures (../shared/fixtures/wechat) are not next to the project")
    vectors = {one["id"]: one for one in json.loads(path.read_text("utf-8"))}

    def door(one: dict[str, Any]) -> tuple[CustomerDoor, dict[str, str], float]:
        made = CustomerDoor(
            "kehu",
            one["receive_id"],
            one["token"],
            one["encoding_aes_key"],
            hear=lambda channel, change: pytest.fail("it is no event"),
        )
        query = {name: one[name] for name in ("timestamp", "nonce", "msg_signature")}
        return made, query | {"echostr": one["encrypt"]}, float(one["timestamp"])

    good = vectors["wecom-url-verify"]
    made, query, at = door(good)
    assert made.check_url(query, at) == good["plaintext"]
    made, query, at = door(vectors["wecom-url-verify-wrong-nonce"])
    with pytest.raises(BadMessage, match="bad_signature"):
        made.check_url(query, at)
    text = vectors["wecom-text"]
    made, query, at = door(text)
    assert made.take(query, build.xml({"Encrypt": text["encrypt"]}), at) is None
