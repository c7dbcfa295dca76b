"""Logs: one line an event, JSON or for a terminal, and nothing about a person.

Callers pass ids and numbers, never openids or texts; the mask here is only the last net,
for what slips through a foreign exception or library. Lines go to stderr: no
files, no rotation, that is the service manager's job.
"""

from __future__ import annotations

import atexit
import json
import logging
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from bot.config import LogSettings

SHORTEST_MASKED = 6
QUIET = ("aiohttp", "apscheduler", "asyncio", "jieba", "requests", "urllib3", "wechatpy")
# Whose exceptions speak of the world (hosts, files, codes) and not of what a member wrote.
TRUSTED = (
    "aiohttp",
    "sqlite3",
    "bot",
    "handlers",
    "knowledge",
    "recommender",
    "scheduler",
    "store",
)

_PLAIN = (int, float, bool, type(None))
_QUOTE = json.encoder.encode_basestring
_ENCODE = json.JSONEncoder(ensure_ascii=False, default=repr).encode
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Before each: no letter, or the letter of an escape, for in JSON a line break is "\\n".
_OPENID = re.compile(r"(?:(?<![\w-])|(?<=\\[nrt]))o[\w-]{27}(?![\w-])", re.ASCII)
_PHONE = re.compile(r"(?:(?<![\w])|(?<=\\[nrt]))(?:\+?86)?1[3-9]\d{9}(?![\w])", re.ASCII)
_GRANT = re.compile(
    r"""((?:access_token|secret|authorization)[\\"']*\s*[=:]\s*[\\"']*(?:Bearer\s+)?)[^&\s"'\\,}]+""",
    re.IGNORECASE,
)


def logger(room: str) -> FilteringBoundLogger:
    """A logger whose lines carry room=…; made at import, it follows a later `configure`."""
    return cast(FilteringBoundLogger, structlog.get_logger(room=room))


def masker(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that blanks known secrets and what looks like an openid, phone or token.

    Secrets under 6 characters are left out: blanking "abc" would eat ordinary words.
    """
    known = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    long = sorted((re.escape(s) for s in known if len(s) >= SHORTEST_MASKED), reverse=True)
    secret = re.compile("|".join(long)) if long else None

    def mask(line: str) -> str:
        if secret is not None:
            line = secret.sub("***", line)
        if "oken" in line or "ecret" in line or "uthoriz" in line:
            line = _GRANT.sub(r"\1***", line)
        return _PHONE.sub("<phone>", _OPENID.sub("<openid>", line))

    return mask


def configure(
    settings: LogSettings,
    secrets: Iterable[str] = (),
    *,
    stream: TextIO | None = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Set up structlog and the standard library's logging, once, before the first line.

    secrets: values to blank wherever they appear. stream: default sys.stderr, written by
    a thread of its own, so that a reader who is slow or gone holds up no answer.
    """
    out = cast(TextIO, Behind(sys.stderr)) if stream is None else stream
    level = _LEVELS[settings.level]
    terminal = settings.format == "console" or (settings.format == "auto" and out.isatty())
    stamp = _Stamp(now)
    fault = _Fault(full=level <= logging.DEBUG)
    shape = _console(out.isatty()) if terminal else _json
    mask = masker(secrets)

    clean: set[str] = set()  # short texts already seen to hold nothing: event names, kinds

    def doubtful(event: EventDict) -> bool:
        for name, value in event.items():
            kind = type(value)
            if kind is str:
                if value in clean or (name == "key" and len(value) == 32):
                    continue
                if mask(value) != value:
                    return True
                if len(value) <= 40 and len(clean) < 4096:
                    clean.add(value)
            elif kind not in _PLAIN or (kind is int and value > 9_999_999_999):
                return True
        return False

    def render(_: Any, name: str, event: EventDict) -> str:
        if "exc_info" in event:
            fault(event)
        level = "error" if name == "exception" else name
        line = shape({"time": stamp(), "level": level, **event})
        return mask(line) if doubtful(event) else line  # the mask costs more than the rest

    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = _Bridge(out, render)
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Bridge)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("aiohttp.access").disabled = True  # it would log every sender's openid
    chatty = logging.getLogger("jieba")
    chatty.filters = [f for f in chatty.filters if not isinstance(f, _OwnHandlers)]
    chatty.addFilter(_OwnHandlers(chatty))


class Behind:
    """A stream whose lines are written by a thread behind it.

    At most `limit` lines wait; further ones are counted and dropped, and the count is
    written when there is room again. `close` writes what waits.
    """

    def __init__(self, out: TextIO, limit: int = 10_000) -> None:
        self._out = out
        self._limit = limit
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> int:
        """Never waits."""
        if self._lines.qsize() >= self._limit:
            self._dropped += 1
        else:
            self._lines.put(line)
        return len(line)

    def flush(self) -> None:
        """Nothing: the thread flushes whenever it has caught up."""

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._out.isatty()

    def close(self) -> None:
        """Write what waits; a reader who does not read gets a second."""
        self._lines.put(None)
        self._thread.join(timeout=1.0)
        atexit.unregister(self.close)

    def _caught_up(self) -> None:
        if self._dropped:
            self._out.write(f"({self._dropped} log lines were dropped)\n")
            self._dropped = 0
        self._out.flush()

    def _work(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                self._out.write(line)
                if self._lines.empty():
                    self._caught_up()
            self._caught_up()
        except (OSError, ValueError):
            # Nobody reads any more: the service goes on without a log.
            self._limit = 0


class _Stamp:
    """UTC with milliseconds; the seconds are formatted once each, not once a line."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        at = self._now()
        second = int(at)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int(at % 1 * 1000):03d}Z"


class _Fault:
    """An exception as type, place and (when it cannot quote a member) its message."""

    def __init__(self, *, full: bool) -> None:
        self._full = full

    def __call__(self, event: EventDict) -> None:
        given = event.pop("exc_info")
        if isinstance(given, tuple):
            given = given[1]
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
        if not given or error is None:
            return
        if self._full:
            event["exception"] = "".join(traceback.format_exception(error)).rstrip()
        else:
            event["exception"] = "\n".join(_chain(error))


def _chain(error: BaseException) -> Iterable[str]:
    """One block an exception, cause first, like Python's own but without source lines."""
    seen: set[int] = set()
    blocks: list[str] = []
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        blocks.append("\n".join((*_frames(current.__traceback__), _said(current))))
        hidden = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or hidden
    return reversed(blocks)


def _frames(trace: TracebackType | None) -> Iterable[str]:
    for frame in traceback.extract_tb(trace, limit=-20):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"


def _said(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__.split(".")[0] in TRUSTED or isinstance(error, OSError):
        return f"{kind.__qualname__}: {error}"
    return f'{kind.__qualname__} (its message is withheld; log.level = "debug" shows it)'


def _json(event: EventDict) -> str:
    fields = []
    for name, value in event.items():
        kind = type(value)
        if kind is str:
            fields.append(f'"{name}": {_QUOTE(value)}')
        elif kind is int:
            fields.append(f'"{name}": {value}')
        else:
            fields.append(f'"{name}": {_ENCODE(value)}')
    return "{" + ", ".join(fields) + "}"


def _console(colour: bool) -> Callable[[EventDict], str]:
    pretty = structlog.dev.ConsoleRenderer(colors=colour, timestamp_key="time")

    def shape(event: EventDict) -> str:
        return str(pretty(None, "", event))

    return shape


class _Bridge(logging.Handler):
    """The standard library's records, in the same form through the same mask."""

    def __init__(self, out: TextIO, render: Callable[[Any, str, EventDict], str]) -> None:
        super().__init__()
        self._out = out
        self._render = render

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
            if record.name == "asyncio":  # below its first line stands the exception's repr
                said = said.partition("\n")[0]
            event: EventDict = {"event": said, "logger": record.name}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            self._out.write(self._render(None, record.levelname.lower(), event) + "\n")
            self._out.flush()
        except Exception:  # noqa: BLE001  (a log line must never stop the service)
            self.handleError(record)


class _OwnHandlers(logging.Filter):
    """jieba adds a handler and sets DEBUG when it is imported, after us: undo both."""

    def __init__(self, chatty: logging.Logger) -> None:
        super().__init__()
        self._chatty = chatty

    def filter(self, record: logging.LogRecord) -> bool:
        self._chatty.handlers.clear()
        return record.levelno >= logging.WARNING
