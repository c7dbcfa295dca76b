"""Logs: one line an event, a mask for what nobody should read, silence below the level."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from bot.config import LogSettings
from bot.logs import Behind, configure, logger, masker

OPENID = "oZ8k3sQ_-1aB2cD3eF4gH5iJ6kL7"
PHONE = "13812345678"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    set_up = structlog.get_config()
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**set_up)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def configured(
    level: Literal["debug", "info", "warning", "error"] = "info", *secrets: str
) -> io.StringIO:
    out = io.StringIO()
    configure(LogSettings(format="json", level=level), secrets, stream=out, now=lambda: 1.25)
    return out


def test_a_line_is_json_with_time_level_room_and_key() -> None:
    out = configured()
    logger("inbox").info("answered", key=KEY, ms=12.5, late=False, handler=None, n=3)
    assert lines(out) == [
        {
            "time": "1970-01-01T00:00:01.250Z",
            "level": "info",
            "room": "inbox",
            "key": KEY,
            "ms": 12.5,
            "late": False,
            "handler": None,
            "n": 3,
            "event": "answered",
        }
    ]


def test_a_line_below_the_level_is_not_written() -> None:
    out = configured("warning")
    logger("inbox").info("answered")
    logging.getLogger("some.library").info("hello")
    assert out.getvalue() == ""


def test_a_terminal_gets_lines_for_people_and_a_pipe_gets_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    configure(LogSettings(), stream=terminal, now=lambda: 0.0)
    logger("inbox").info("answered", token_left_s=3)
    configure(LogSettings(), stream=pipe, now=lambda: 0.0)
    logger("inbox").info("answered")
    assert "\x1b[" in terminal.getvalue()
    assert lines(pipe)[0]["event"] == "answered"


@pytest.mark.parametrize(
    "text",
    [
        OPENID,
        f"sender={OPENID}",
        f"a\n{OPENID}\tb",
        PHONE,
        f"电话{PHONE}。",
        f"+86{PHONE}",
        f"line\n{PHONE}",
        "https://x/cgi-bin/menu/create?access_token=80_abcDEF-12&x=1",
        '{"access_token": "80_abcDEF-12"}',
        "Authorization: Bearer 80_abcDEF-12",
        "the secret is topsecretvalue",
    ],
)
def test_nothing_about_a_person_or_a_secret_reaches_the_line(text: str) -> None:
    out = configured("info", "topsecretvalue")
    logger("inbox").info("odd", text=text)
    logger("inbox").info("odd", nested={"in": [text]})
    logging.getLogger("library").warning("said %s", text)
    for leak in (OPENID, PHONE, "80_abcDEF-12", "topsecretvalue"):
        assert leak not in out.getvalue()
    assert len(lines(out)) == 3


def test_a_phone_given_as_a_number_is_blanked_too() -> None:
    out = configured()
    logger("inbox").info("odd", value=int(PHONE))
    assert PHONE not in out.getvalue()


@pytest.mark.parametrize("text", [KEY, "1700000000000", "on_something_with_a_long_name_xyz", "mp"])
def test_the_mask_leaves_keys_times_and_words_alone(text: str) -> None:
    assert masker(["abc"])(f"key={text} abc") == f"key={text} abc"


def test_a_text_seen_clean_does_not_open_the_door_for_another() -> None:
    out = configured()
    log = logger("inbox")
    log.info("odd", text="fine")
    log.info("odd", text=OPENID)
    log.info("odd", text=OPENID)
    assert OPENID not in out.getvalue()


def test_a_foreign_exception_shows_where_but_not_what_it_quotes() -> None:
    out = configured()
    try:
        int("我的名字")
    except ValueError:
        logger("inbox").exception("handler failed", key=KEY)
    (line,) = lines(out)
    assert line["level"] == "error"
    assert "ValueError (its message is withheld" in line["exception"]
    assert "test_logs.py" in line["exception"]
    assert "我的名字" not in out.getvalue()


def test_debug_shows_the_whole_exception() -> None:
    out = configured("debug")
    try:
        int("我的名字")
    except ValueError as error:
        logger("inbox").error("handler failed", exc_info=error)
    assert "invalid literal" in lines(out)[0]["exception"]


def test_an_exception_about_the_world_keeps_its_message_and_its_cause() -> None:
    out = configured()
    try:
        try:
            raise ConnectionRefusedError(111, "Connect call failed")
        except OSError as error:
            raise KeyError("secret thing") from error
    except KeyError:
        logger("client").exception("api down")
    text = lines(out)[0]["exception"]
    assert text.index("Connect call failed") < text.index("KeyError")
    assert "secret thing" not in text


def test_an_unretrieved_task_does_not_quote_its_exception() -> None:
    out = configured()
    said = "Task exception was never retrieved\nfuture: <Task exception=ValueError('我的名字')>"
    logging.getLogger("asyncio").error(said)
    assert lines(out)[0]["event"] == "Task exception was never retrieved"


def test_chatty_libraries_are_heard_from_warning_on() -> None:
    out = configured("debug")
    for name in ("apscheduler.scheduler", "wechatpy", "urllib3.connectionpool", "jieba"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    logging.getLogger("aiohttp.access").error("GET /hook/mp?openid=1")
    assert [line["event"] for line in lines(out)] == ["trouble"] * 4


def test_jieba_cannot_turn_itself_up_when_it_is_imported() -> None:
    out, aside = configured(), io.StringIO()
    chatty = logging.getLogger("jieba")
    chatty.addHandler(logging.StreamHandler(aside))
    chatty.setLevel(logging.DEBUG)
    chatty.debug("Building prefix dict")
    chatty.warning("trouble")
    assert (out.getvalue().count("\n"), aside.getvalue()) == (1, "")


def test_configuring_twice_does_not_write_twice() -> None:
    configured()
    out = configured()
    logging.getLogger("library").warning("once")
    assert len(lines(out)) == 1


def test_lines_written_behind_arrive_whole_and_in_order() -> None:
    out = io.StringIO()
    behind = Behind(out)
    for n in range(100):
        behind.write(f"line {n}\n")
    behind.close()
    assert out.getvalue() == "".join(f"line {n}\n" for n in range(100))


def test_a_reader_who_does_not_read_holds_nobody_up_and_the_loss_is_counted() -> None:
    gate = threading.Event()

    class Stuck(io.StringIO):
        def write(self, line: str) -> int:
            gate.wait(10)
            return super().write(line)

    out = Stuck()
    behind = Behind(out, limit=5)
    for n in range(50):
        behind.write(f"line {n}\n")
    gate.set()
    behind.close()
    written = out.getvalue()
    assert "line 0\n" in written
    assert "log lines were dropped" in written


def test_a_reader_who_is_gone_stops_nothing() -> None:
    out = io.StringIO()
    out.close()
    behind = Behind(out)
    behind.write("to nobody\n")
    behind.close()
    behind.write("still fine\n")
