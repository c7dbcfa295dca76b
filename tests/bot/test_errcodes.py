"""The table of error codes, its errors, and the table's copy for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.errcodes import (
    CODES,
    STABLE_TOKEN,
    TOKEN_CODES,
    UNKNOWN,
    Action,
    Code,
    Refused,
    Unheard,
    Unreachable,
    code_of,
)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "errors.md"
FIXTURES = ROOT.parent / "shared" / "fixtures" / "wechat" / "api" / "errors.json"
OPENID = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"


def row(name: str, code: Code) -> str:
    todo = code.todo.format(ip="this server's address")
    return f"| {name} | {code.meaning} | {code.action.value} | {todo} |"


def test_docs_say_what_the_table_says() -> None:
    want = [row(str(number), code) for number, code in CODES.items()]
    want += [row(f"{number} for a token", code) for number, code in TOKEN_CODES.items()]
    want.append(row("any other", UNKNOWN))
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    # Rows of the table proper start with a number, or are the last one.
    found = [line for line in lines if line[2:3].isdigit() or line[2:4] in ("-1", "an")]
    assert sorted(found) == sorted(want)


def test_docs_name_every_action_and_every_error() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name in (*Action.__members__, "Refused", "Unreachable", "Unheard"):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize(
    ("errcode", "action"),
    [
        (-1, Action.RETRY),
        (40001, Action.REFRESH_TOKEN),
        (40014, Action.REFRESH_TOKEN),
        (42001, Action.REFRESH_TOKEN),
        (40003, Action.GIVE_UP),
        (43004, Action.GIVE_UP),
        (45015, Action.GIVE_UP),
        (45047, Action.GIVE_UP),
        (45011, Action.WAIT_MINUTE),
        (45066, Action.WAIT_MINUTE),
        (45009, Action.STOP_API_UNTIL_TOMORROW),
        (40013, Action.CONFIG),
        (40125, Action.CONFIG),
        (40164, Action.CONFIG),
        (48001, Action.CONFIG),
        (40033, Action.PERMANENT),
        (45065, Action.ALREADY_DONE),
        (99999, Action.PERMANENT),
    ],
)
def test_each_code_leads_to_its_action(errcode: int, action: Action) -> None:
    assert Refused("message/custom/send", errcode).action is action


def test_a_bad_credential_for_a_token_is_a_matter_of_configuration() -> None:
    assert code_of(40001, STABLE_TOKEN).action is Action.CONFIG
    assert "app_secret" in str(Refused(STABLE_TOKEN, 40001, "invalid credential"))


@pytest.mark.parametrize(
    ("errmsg", "ip"),
    [
        (
            "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 5f-1",
            "203.0.113.7",
        ),
        ("invalid ip 2001:db8::17, not in whitelist", "2001:db8::17"),
        ("invalid ip:198.51.100.2, not in whitelist", "198.51.100.2"),
        ("not in whitelist", "the address of this server"),
    ],
)
def test_a_closed_door_names_the_address_to_let_in(errmsg: str, ip: str) -> None:
    assert f"add {ip} to the whitelist" in str(Refused(STABLE_TOKEN, 40164, errmsg))


def test_the_chat_says_it_in_chinese_with_the_address() -> None:
    error = Refused(STABLE_TOKEN, 40164, "invalid ip 203.0.113.7, not in whitelist")
    assert error.chat == "请在公众平台的 IP 白名单里加上 203.0.113.7（40164）"
    assert "没有回音" in Unheard("menu/create", "HTTP 502").chat
    assert "连不上" in Unreachable("menu/create", "no route").chat


def test_an_unknown_code_shows_the_words_but_no_openid_and_no_control_character() -> None:
    error = Refused(
        "user/info", 99999, f"odd\x1b[31m {OPENID}\nthing rid: 5f3ded7d-22929d02-4ba1f5f6"
    )
    assert "odd [31m … thing" in str(error)
    assert OPENID not in str(error) + error.errmsg + repr(error)
    assert error.rid == "5f3ded7d-22929d02-4ba1f5f6"
    assert error.rid in str(error)
    assert len(str(Refused("user/info", 99999, "a " * 100_000))) < 500


@pytest.mark.parametrize(
    ("errmsg", "rid"),
    [
        ("system error rid: 62bac4fd-3b536b18-3819fb88", "62bac4fd-3b536b18-3819fb88"),
        ("invalid msg id hint: [K7xTpa07963929]", "K7xTpa07963929"),
        ("ok", ""),
    ],
)
def test_the_trace_id_is_found(errmsg: str, rid: str) -> None:
    assert Refused("x", -1, errmsg).rid == rid


def test_answers_seen_in_the_wild_get_what_the_reference_expects() -> None:
    if not FIXTURES.exists():
        pytest.skip("the shared fixtures are not next to the project")
    expected = {
        "treat as already": Action.ALREADY_DONE,
        "wait >= 60 s": Action.WAIT_MINUTE,
        "stop the campaign": Action.STOP_API_UNTIL_TOMORROW,
        "give up": Action.GIVE_UP,
        "back off": Action.RETRY,
        "drop the cached": Action.REFRESH_TOKEN,
        "refresh once": Action.REFRESH_TOKEN,
        "do not retry": Action.PERMANENT,
        "limiter": Action.STOP_API_UNTIL_TOMORROW,  # WeCom's meaning differs; not this client's
    }
    cases: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))
    for case in cases:
        body = case["body"]
        action = next(a for words, a in expected.items() if case["expect"].startswith(words))
        error = Refused(case["api"], body["errcode"], body["errmsg"], body.get("msg_id"))
        assert error.action is action, case
        assert error.msg_id == body.get("msg_id")


def test_every_text_is_short_enough_for_one_line() -> None:
    for number, code in CODES.items():
        assert len(str(Refused("message/custom/send", number))) < 200
        assert code.meaning[0] != code.meaning[0].upper() or code.meaning.startswith(
            ("WeChat", "A")
        )
