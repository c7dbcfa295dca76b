"""What a door outside the chat, the API or the terminal, has to know to act in groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handlers import group_desk, group_words
from handlers.context import GroupChannels
from store.edges import HALF_LIFE_S

if TYPE_CHECKING:
    from bot.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeans:
    """What is possible in groups. Without more said, nothing can be posted anywhere.

    channels: what each can do. apology: what a group reads when a warning was a mistake, "" for
    nothing. half_life_s: after so long a conversation weighs half.
    """

    channels: GroupChannels = field(default_factory=GroupChannels)
    apology: str = ""
    half_life_s: float = HALF_LIFE_S


def alias_of(typed: str) -> str | None:
    """A short name as it is kept; None for a number or a word of /group, which would be taken for
    something else, and for one that is too long or has blanks."""
    alias = group_words.alias_of(typed)
    if alias is None or group_words.narrow(alias) in group_desk.RESERVED:
        return None
    return alias


def channels_of(config: Config) -> GroupChannels:
    """What the channels of a configuration can do in groups."""
    gateways = frozenset(config.gateways)
    return GroupChannels(
        posting=gateways | frozenset(config.group_robots),
        hearing=gateways,
        whispering=gateways,
        kicking=gateways,
        robots=frozenset(config.group_robots),
        digest_at=f"{config.groups.digest_at:%H:%M}",
    )
