"""What one value of the configuration may be: raw TOML value in, checked value out.

Each rule says itself in words, for the error and for the documentation. A rule sees one
value; what two keys mean together is judged in `bot/config.py`. Secrets are fetched here,
from the environment or a file, and never shown.
"""

from __future__ import annotations

import difflib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

SECRET_BYTES = 4096


class Secret:
    """A text that prints as ***; `reveal()` gives it, where the wire needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Source:
    """Where values outside the file come from: the environment, and the file's folder."""

    environ: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Rule:
    """says: the rule in words, for people; read: raw value -> value, or ValueError."""

    says: str
    read: Callable[[Any, Source], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """A rule with an example value, in TOML, for keys that have no default to show."""

    rule: Rule
    example: str


def plain(value: Any) -> str:
    """The value as a text without blanks around it; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")
    return value.strip()


def shown(value: object) -> str:
    """A value for an error text, cut to 40 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "…"


def _range(low: float, high: float, kind: type[int] | type[float], noun: str) -> Rule:
    says = f"{noun}, {low} to {high}"

    def read(value: Any, _: Source) -> Any:
        fits = isinstance(value, int if kind is int else int | float)
        if isinstance(value, bool) or not fits or not low <= value <= high:
            raise ValueError(f"must be a {says}, not {shown(value)}")
        return kind(value)

    return Rule(says, read)


def whole(low: int, high: int) -> Rule:
    """A whole number, both ends included; true is not 1."""
    return _range(low, high, int, "whole number")


def number(low: float, high: float) -> Rule:
    """A number, whole or not, both ends included; nan never fits."""
    return _range(low, high, float, "number")


def matching(pattern: str, says: str) -> Rule:
    """A text that matches the whole pattern."""
    compiled = re.compile(pattern)

    def read(value: Any, _: Source) -> str:
        text = plain(value)
        if not compiled.fullmatch(text):
            raise ValueError(f"must be {says}, not {shown(text)}")
        return text

    return Rule(says, read)


def byte_text(limit: int) -> Rule:
    """A text whose UTF-8 form is at most `limit` bytes: what WeChat counts."""

    def read(value: Any, _: Source) -> str:
        text = plain(value)
        if (size := len(text.encode())) > limit:
            raise ValueError(f"is {size} bytes in UTF-8, WeChat allows {limit}: shorten it")
        return text

    return Rule(f"text, at most {limit} bytes in UTF-8", read)


def did_you_mean(near: Iterable[str]) -> str:
    """ "; did you mean X?" for the first of `near`, or nothing."""
    return next((f"; did you mean {name}?" for name in near), "")


def choice(*names: str) -> Rule:
    """One of the names, exactly."""
    says = " or ".join(f'"{name}"' for name in names)

    def read(value: Any, _: Source) -> str:
        if value not in names:
            near = difflib.get_close_matches(str(value).lower(), names, 1)
            raise ValueError(f"must be {says}, not {shown(value)}{did_you_mean(near)}")
        return str(value)

    return Rule(says, read)


def many(rule: Rule) -> Rule:
    """A list without duplicates, each item under the same rule; read as a tuple."""

    def read(value: Any, source: Source) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError('must be a list: ["…", "…"]')
        items = tuple(rule.read(item, source) for item in value)
        if twice := {item for item in items if items.count(item) > 1}:
            raise ValueError(f"names {shown(min(twice))} twice: keep one")
        return items

    return Rule(f"list; each {rule.says}", read)


def _read_flag(value: Any, _: Source) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false without quotes, not {shown(value)}")
    return value


def _read_path(value: Any, source: Source) -> Path | None:
    text = plain(value)
    return _located(text, source) if text else None


def _located(name: str, source: Source) -> Path:
    try:
        return source.folder / Path(name).expanduser()
    except RuntimeError:
        raise ValueError(f"{name}: there is no such user: write the whole path") from None


def _read_file(value: Any, source: Source) -> Path:
    path = _read_path(value, source)
    if path is None:
        raise ValueError("must name a file")
    return path


def _read_clock(value: Any, _: Source) -> time:
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        return time.fromisoformat(value)
    raise ValueError(f'must be a time of day as "HH:MM", not {shown(value)}')


def _read_url(value: Any, _: Source) -> str:
    text = plain(value).rstrip("/")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and not parts.query and not parts.fragment and parts.port != 0
        good = good and not re.search(r"[\x00-\x20]", text)
    except ValueError:
        good = False
    if text and not good:
        raise ValueError(f"must be a URL such as https://host or https://host/path: {shown(text)}")
    return text


def _read_base(value: Any, source: Source) -> str:
    if not (text := _read_url(value, source)):
        raise ValueError("must be a URL such as https://api.weixin.qq.com")
    return text


def _fetch(reference: str, source: Source) -> str:
    """What "env:NAME" or "file:PATH" points at; ValueError says what to do, not the value."""
    where, _, name = reference.partition(":")
    if where == "env" and name:
        if not (value := source.environ.get(name, "").strip()):
            raise ValueError(f"the environment variable {name} is not set: export {name}=…")
        return value
    if where == "file" and name:
        path = _located(name, source)
        try:
            with path.open("rb") as file:
                raw = file.read(SECRET_BYTES + 1)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ValueError(
                f"{path} cannot be read ({why}): create it or fix its rights"
            ) from None
        if len(raw) > SECRET_BYTES:
            raise ValueError(f"{path} is over {SECRET_BYTES} bytes: not a secret, check the path")
        try:
            value = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text: write the secret into it alone") from None
        if not value:
            raise ValueError(f"{path} is empty: write the secret into it")
        return value
    raise ValueError(
        "secrets do not belong in this file: put the value into an environment variable and"
        ' write "env:NAME" here, or into a file and write "file:/run/secrets/name"'
    )


def secret(pattern: str, says: str) -> Rule:
    """A reference to a secret, followed; what it holds must match the whole pattern."""

    def read(value: Any, source: Source) -> Secret:
        reference = plain(value)
        found = _fetch(reference, source)
        if not re.fullmatch(pattern, found):
            raise ValueError(
                f"{reference} holds {len(found)} characters that are not {says}:"
                " copy it again from WeChat's console"
            )
        return Secret(found)

    return Rule(f'"env:NAME" or "file:PATH"; {says}', read)


FLAG = Rule("true or false", _read_flag)
FILE = Rule("path", _read_file)
PATH = Rule('path, or ""', _read_path)
URL = Rule('http(s) URL, or ""', _read_url)
BASE = Rule("http(s) URL", _read_base)
CLOCK = Rule('"HH:MM", Shanghai time', _read_clock)
HOST = matching(r"[0-9A-Za-z.:-]{1,255}", "an address or host name")
LINE = matching(r"[^\x00-\x1f]{1,200}", "one line of 1 to 200 characters")
LINE_OR_NONE = matching(r"[^\x00-\x1f]{0,200}", 'one line of up to 200 characters, or ""')
TOPIC = matching(r"[^\x00-\x20,，]{1,20}", "a word of 1 to 20 characters")
OPENID = matching(r"[A-Za-z0-9_-]{1,64}", "an openid")
APPID = matching(r"[A-Za-z0-9_-]{1,64}", "an AppID such as wx0123456789abcdef")
DOMAIN = matching(
    r"\.?(?:[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?\.)+[0-9a-z-]{2,63}",
    'a host name in lower case, such as "shop.example.com" or ".example.com"',
)
PARAM = matching(r"[a-z][a-z0-9_]{0,19}|", 'up to 20 lower-case letters, digits or _, or ""')
AES_KEY = secret(r"[A-Za-z0-9]{43}", "43 letters and digits")
BUTTONS = Rule("up to 3 buttons, each with up to 5 below", lambda value, _: value)


def keys(cls: type) -> Mapping[str, tuple[Key, Any]]:
    """A settings class's keys: name -> (rule and example, default or MISSING).

    A field without a rule, of a type that implies none (a channel's own name), is no key.
    """
    hints = get_type_hints(cls, include_extras=True)
    found = ((f.name, _key(hints[f.name]), f.default) for f in fields(cls))
    return MappingProxyType({name: (key, default) for name, key, default in found if key})


def _key(hint: Any) -> Key | None:
    """The rule in an annotation; a choice and a flag follow from the type itself."""
    if get_origin(hint) is Annotated:
        (rule,) = hint.__metadata__
        return rule if isinstance(rule, Key) else Key(rule, "")
    if get_origin(hint) is Literal:
        return Key(choice(*filter(None, get_args(hint))), "")
    return Key(FLAG, "") if hint is bool else None
