"""The configuration described for people: config.example.toml and its documentation.

Everything here is derived from the settings classes of `bot/config.py`; nothing is said
twice, so nothing can disagree. `zhiqun init` writes what `example()` returns.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import MISSING, dataclass
from datetime import time
from pathlib import Path
from typing import Any

from bot.config import SECTIONS, ChannelSettings, MenuButton
from bot.group_settings import KINDS
from bot.rules import PATH, Key, keys


@dataclass(frozen=True, slots=True)
class KeyDoc:
    """One key for people. path: "channels.NAME.menu.url"; default: as TOML, "" for none."""

    path: str
    says: str
    why: str
    default: str
    example: str


def schema() -> tuple[KeyDoc, ...]:
    """Every key there is, in the order of the example file."""
    tables = [*SECTIONS.items(), ("channels.NAME", ChannelSettings)]
    tables.append(("channels.NAME.menu", MenuButton))
    tables += [(f"channels.{name}", cls) for name, cls in zip(_OTHERS, KINDS.values(), strict=True)]
    return tuple(
        KeyDoc(
            f"{section}.{name}", key.rule.says, whys.get(name, ""), _toml(key, default), key.example
        )
        for section, cls in tables
        for whys in (_reasons(cls),)
        for name, (key, default) in keys(cls).items()
    )


def example() -> str:
    """The text of config.example.toml: every key with its default and its reason."""
    others = tuple(f"channels.{name}." for name in _OTHERS)
    keys_of_others = [key for key in schema() if key.path.startswith(others)]
    lines = _HEAD.splitlines()
    section = ""
    for key in schema():
        if key in keys_of_others:
            continue
        table, _, name = key.path.replace("NAME", "mp").rpartition(".")
        if name == "menu" or table.endswith(".menu"):
            if name == "menu":
                lines += ["", *_comment(f"{key.why} Its keys:")]
            else:
                lines += _comment(f"  {name}: {key.why}")
            continue
        if table != section:
            section = table
            lines += ["", f"[{section}]"]
        lines += _comment(f"{key.why} ({key.says})")
        live = key.default or "Required" in key.why
        lines.append(f"{'' if live else '# '}{name} = {key.default or key.example}")
    return "\n".join((*lines, *_MENU.splitlines(), *_others(keys_of_others))) + "\n"


def _others(found: list[KeyDoc]) -> list[str]:
    """The channels of groups, all of it to be uncommented: few need them."""
    lines: list[str] = []
    section = ""
    for key in found:
        table, _, name = key.path.rpartition(".")
        if table != section:
            section = table
            lines += ["", f"# [{section}]"]
        lines += _comment(f"  {key.why} ({key.says})")
        lines.append(f"# {name} = {key.default or key.example}")
    return lines


def table(section: str) -> str:
    """The Markdown table of one section ("server", "channels.NAME"), for the documentation."""
    rows = ["| key | value | default | why |", "|---|---|---|---|"]
    for key in schema():
        parent, _, name = key.path.rpartition(".")
        if parent == section:
            default = f"`{key.default}`" if key.default else "–"
            rows.append(f"| `{name}` | {key.says} | {default} | {key.why} |")
    return "\n".join(rows) + "\n"


_OTHERS = ("robot", "poster", "gateway", "customers")
"""What the example calls the channels of the kinds in `KINDS`, in their order."""

_HEAD = """\
# zhiqun's configuration: every key with its default, and why it is there.
# An unknown key stops the start. Check with `zhiqun check`; docs/configuration.md
# says more. Secrets stay outside: "env:NAME" or "file:/run/secrets/name"."""

_MENU = """\
# [[channels.mp.menu]]
# name = "找课程"
# type = "click"
# key = "courses"
#
# [[channels.mp.menu]]
# name = "更多"
#
# [[channels.mp.menu.sub]]
# name = "官网"
# type = "view"
# url = "https://example.com/"
#
# [[channels.mp.menu.sub]]
# name = "小课堂"
# type = "miniprogram"
# appid = "wx0123456789abcdef"
# pagepath = "pages/index"
# url = "https://example.com/app"
"""


def _comment(text: str) -> list[str]:
    indent = "#   " if text.startswith("  ") else "# "
    return textwrap.wrap(
        text.strip(),
        width=92,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _toml(key: Key, default: Any) -> str:
    """A default as TOML writes it; "" when the key has none."""
    if default is MISSING or (default is None and key.rule is not PATH):
        return ""
    if isinstance(default, time):
        default = default.strftime("%H:%M")
    plain = "" if default is None else str(default) if isinstance(default, Path) else default
    return json.dumps(plain, ensure_ascii=False)


def _reasons(cls: type) -> dict[str, str]:
    """The "name: why" entries of a settings class's docstring."""
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", cls.__doc__ or "", re.MULTILINE)
    return {name: " ".join(why.split()) for name, why in entries}
