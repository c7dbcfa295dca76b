"""What operators type about groups, read: which group, how long, from when to when. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from handlers.texts import Texts

LONGEST_ALIAS = 20
"""Characters of a group's short name."""

LONGEST_MUTE_S = 30 * 86_400.0
"""The bot may be told to be silent for so long at once."""

NEWCOMERS = "{names}"
"""Stands for the newcomers in a group's welcome."""

_ALL = frozenset({"all", "全部", "所有", "所有群", "全部群"})
_OFF = frozenset({"off", "关", "关闭", "关掉", "取消", "不要", "无", "none", "no"})
_ON = frozenset({"on", "开", "开启", "打开", "yes"})

_UNITS = {
    **dict.fromkeys(("", "m", "min", "mins", "分", "分钟"), 60.0),
    **dict.fromkeys(("h", "hour", "hours", "小时", "个小时", "时"), 3600.0),
    **dict.fromkeys(("d", "day", "days", "天"), 86_400.0),
}
_LENGTH = re.compile(r"(\d{1,5}(?:\.\d{1,2})?)\s*([a-z分钟小时天个]*)")
_CLOCK = re.compile(r"(\d{1,2})(?:[:点时h](\d{1,2})?分?)?")
_BETWEEN = re.compile(r"\s*(?:[-–—~～至到]|to)+\s*")
_AND = re.compile(r"[,，、;；]+")
_EVERY = re.compile(r"(?:every|每|每隔)\s*(\d{1,5}(?:\.\d{1,2})?)\s*(?:m|min|分钟?)?")
_SECONDS = re.compile(r"(\d{1,5})\s*(s|秒钟?|m|min|分钟?)?")
_HERE = re.compile(r"[{｛](?:names?|名字|新人|昵称)[}｝]", re.IGNORECASE)
_ALIAS = re.compile(r"[^\s,，、#{}]{1,20}")


def listed(text: str) -> list[str]:
    """What "3,5" or "3、5" names, one by one."""
    return [one for one in _AND.split(text) if one]


def narrow(text: str) -> str:
    """The text as rules read it: letters narrowed, small, no blanks around."""
    return unicodedata.normalize("NFKC", text).strip().lower()


def means_off(text: str) -> bool:
    """off, 关, 取消."""
    return narrow(text) in _OFF


def means_on(text: str) -> bool:
    """on, 开."""
    return narrow(text) in _ON


def means_all(text: str) -> bool:
    """all, 全部."""
    return narrow(text) in _ALL


def seconds_of(text: str) -> float | None:
    """ "30m", "2h", "1 天", "30" (minutes) in seconds; None for anything else, and for nothing."""
    found = _LENGTH.fullmatch(narrow(text))
    if found is None or found[2] not in _UNITS:
        return None
    return float(found[1]) * _UNITS[found[2]] or None


def minutes_of(text: str) -> float | None:
    """ "every 5", "每 5 分钟" as minutes; None when it says something else."""
    found = _EVERY.fullmatch(narrow(text))
    return float(found[1]) if found else None


def patience_of(text: str) -> float | None:
    """ "60", "90s", "2 分钟" in seconds; None for anything else."""
    found = _SECONDS.fullmatch(narrow(text))
    if found is None:
        return None
    return float(found[1]) * (60.0 if (found[2] or "s")[0] in "m分" else 1.0)


def clock_of(text: str) -> str | None:
    """ "21:00", "9点", "21 点 30 分" as "HH:MM"; None for anything else."""
    found = _CLOCK.fullmatch(re.sub(r"\s+", "", narrow(text)))
    if found is None:
        return None
    hours, minutes = int(found[1]), int(found[2] or 0)
    return f"{hours:02}:{minutes:02}" if hours < 24 and minutes < 60 else None


def hours_of(text: str) -> str | None:
    """ "22:00-08:00", "22点到8点" as "22:00-08:00"; None for anything else, and for no time."""
    parts = _BETWEEN.split(narrow(text))
    clocks = [clock_of(part) for part in parts]
    if len(clocks) != 2 or None in clocks or clocks[0] == clocks[1]:
        return None
    return f"{clocks[0]}-{clocks[1]}"


def alias_of(text: str) -> str | None:
    """A short name as it is kept; None for one that would be taken for something else."""
    name = unicodedata.normalize("NFKC", text).strip()
    taken = name.isdecimal() or means_all(name) or means_off(name)
    return name if _ALIAS.fullmatch(name) and not taken else None


def welcome_of(text: str) -> str:
    """The words of a welcome, with the one way to say where the names go."""
    return _HERE.sub(NEWCOMERS, text.strip())


def newcomers(texts: Texts, names: Sequence[str], others: int) -> str:
    """Who is welcomed: "小林、阿木 和另外 3 位"."""
    said = "、".join(names)
    if not names:
        if others == 1:
            return texts("group_desk.newcomer")
        return texts("group_desk.newcomers", count=others)
    return texts("group_desk.newcomers_more", names=said, count=others) if others else said
