"""Everything the bot says in a chat, in one place that an operator may override.

The sentences live in `texts*.toml` beside this file; an operator's own file replaces
single sentences under the same keys. Both are checked when they are loaded, so that a
misspelt key or a lost placeholder stops the start instead of reaching a member. Values
come from members, so a template knows `{name}` and nothing else: no attributes, no
indices, no format specs, and a value is never read as a template. Escaping for the wire
is not done here; `bot/official.py` does that.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

FILES = (
    "texts.toml",
    "texts_coupons.toml",
    "texts_rec_desk.toml",
    "texts_points.toml",
    "texts_referral.toml",
    "texts_quiz.toml",
    "texts_membership.toml",
    "texts_about.toml",
    "texts_journeys.toml",
    "texts_campaigns.toml",
    "texts_campaign_new.toml",
    "texts_campaign_groups.toml",
    "texts_tags.toml",
    "texts_segments.toml",
    "texts_outgoing.toml",
    "texts_polls.toml",
    "texts_audit.toml",
    "texts_order.toml",
    "texts_group_desk.toml",
    "texts_group.toml",
    "texts_recording.toml",
    "texts_signups.toml",
    "texts_group_life.toml",
    "texts_wecom.toml",
    "texts_report.toml",
    "texts_figures.toml",
    "texts_budget.toml",
    "texts_behaviour.toml",
    "texts_consent.toml",
    "texts_mood.toml",
    "texts_recommend.toml",
    "texts_rec_jobs.toml",
)
"""Where the packaged texts stand; no section stands in two of them."""

MAX_TEXT_BYTES = 2048
"""The longest text, UTF-8: what WeChat accepts as one text message."""

MAX_FILE_BYTES = 262_144
"""The longest override file: far above all texts together, far below a wrong path."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")

# Literal and placeholder name by turns, beginning and ending with a literal, and how
# many different names there are.
_Template = tuple[tuple[str, ...], int]


class TextsError(ValueError):
    """A chat text is not usable; the message names the key and what to change."""


class Texts:
    """The chat texts, ready to be filled: `texts("topics.subscribed", topic="写作")`."""

    __slots__ = ("_templates",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        """texts: "section.key" to text, every one checked as an override would be.

        Most callers want `load`. Raises TextsError for a text that cannot be used.
        """
        self._templates: dict[str, _Template] = {
            key: _split(key, text) for key, text in texts.items()
        }

    @classmethod
    def load(cls, override: Path | None = None) -> Texts:
        """The packaged texts with the operator's own on top.

        override: a TOML file with some of the same keys; None for the packaged texts.
        Reads files; call it at start, off the event loop. Raises TextsError when the
        override cannot be read or parsed, has a key we do not know (the nearest one is
        named), a text that is blank, too long or holds control characters, or other
        placeholders than the text it replaces.
        """
        texts: dict[str, str] = {}
        for name in FILES:
            packaged = resources.files("handlers").joinpath(name).read_bytes()
            texts |= _flatten(_parse(packaged, name))
        if override is None:
            return cls(texts)
        own = _flatten(_parse(_read(override), override.name))
        for key, text in own.items():
            if key not in texts:
                raise TextsError(f"{key}: no such text{_did_you_mean(key, texts)}")
            _same_placeholders(key, texts[key], text)
        return cls({**texts, **own})

    def __call__(self, key: str, /, **values: object) -> str:
        """The text with its placeholders filled by `str(value)`.

        A value holding "{name}" stays as it is. Raises TextsError for an unknown key, a
        missing value or one the text has no place for: each is a mistake in our code.
        """
        template = self._templates.get(key)
        if template is None:
            raise TextsError(f"{key}: no such text{_did_you_mean(key, self._templates)}")
        parts, wanted = template
        if len(values) != wanted:
            raise self._mismatch(key, values)
        if not wanted:
            return parts[0]
        filled = list(parts)
        try:
            for place in range(1, len(parts), 2):
                filled[place] = str(values[parts[place]])
        except KeyError:
            raise self._mismatch(key, values) from None
        return "".join(filled)

    def keys(self) -> tuple[str, ...]:
        """Every "section.key", in the order of the packaged file."""
        return tuple(self._templates)

    def placeholders(self, key: str) -> frozenset[str]:
        """The names a text wants filled; empty for a fixed text. KeyError if unknown."""
        return frozenset(self._templates[key][0][1::2])

    def _mismatch(self, key: str, values: Mapping[str, object]) -> TextsError:
        wanted = self.placeholders(key)
        return TextsError(f"{key}: {_difference(wanted, values.keys())}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TextsError(
            f"{path.name}: cannot be read ({error.strerror}); check [texts] file"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise TextsError(f"{path.name}: larger than {MAX_FILE_BYTES} bytes; check [texts] file")
    return content


def _parse(content: bytes, name: str) -> dict[str, object]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TextsError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: a number of 5,000 digits
        raise TextsError(f"{name}: not valid TOML: {error}") from error


def _flatten(tables: Mapping[str, object]) -> dict[str, str]:
    """{"faq": {"unknown": text}} -> {"faq.unknown": text}, blanks around a text dropped."""
    texts: dict[str, str] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise TextsError(f"{section}: a text belongs under a [section], for example [welcome]")
        for name, text in table.items():
            key = f"{section}.{name}"
            if not isinstance(text, str):
                raise TextsError(f'{key}: a text is a quoted string, such as "你好"')
            texts[key] = text.strip()
    return texts


def _split(key: str, text: str) -> _Template:
    if not text:
        raise TextsError(f"{key}: the text is blank, and WeChat refuses blank messages")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise TextsError(f"{key}: {size} bytes; shorten it to {MAX_TEXT_BYTES}")
    if _CONTROL.search(text):
        raise TextsError(f"{key}: holds a control character; remove it")
    parts = _PLACEHOLDER.split(text)
    for literal in parts[0::2]:
        if "{" in literal or "}" in literal:
            raise TextsError(
                f"{key}: a brace that is not part of a {{name}} placeholder; "
                "names are lower-case letters, digits and _"
            )
    return tuple(parts), len(set(parts[1::2]))


def _same_placeholders(key: str, packaged: str, own: str) -> None:
    wanted = frozenset(_PLACEHOLDER.findall(packaged))
    found = frozenset(_PLACEHOLDER.findall(own))
    if wanted != found:
        raise TextsError(f"{key}: {_difference(wanted, found)}")


def _difference(wanted: Iterable[str], found: Iterable[str]) -> str:
    wanted, found = frozenset(wanted), frozenset(found)
    said: list[str] = []
    if missing := sorted(wanted - found):
        said.append("missing " + ", ".join(f"{{{name}}}" for name in missing))
    if unknown := sorted(found - wanted):
        said.append("unknown " + ", ".join(f"{{{name}}}" for name in unknown))
    has = ", ".join(f"{{{name}}}" for name in sorted(wanted)) or "no placeholders"
    return f"{'; '.join(said)} (this text has {has})"


def _did_you_mean(key: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else "; see handlers/texts*.toml for all keys"
