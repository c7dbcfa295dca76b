"""What a rule may call the states of members: those of `insights/behaviour.py`, and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CALLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "paused": ("暂停",),
        "newcomer": ("新人", "新成员"),
        "returned": ("回归", "回流"),
        "lost": ("流失", "已流失"),
        "leaving": ("快流失", "即将流失"),
        "core": ("核心",),
        "active": ("活跃",),
        "lurker": ("潜水",),
    }
)
"""State -> what it is called in Chinese, the usual name first."""

_MEANT = {name: name for name in CALLED} | {
    said: name for name, called in CALLED.items() for said in called
}


def state(value: str) -> str | None:
    """The state that is meant; None when it is none."""
    return _MEANT.get(value.lower())
