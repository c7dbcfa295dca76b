"""What the runner asks of the way to WeChat, and what it hears back; `bot/sender.py` is it.

The runner decides who, when and how often; the sender only makes one call and says how it
ended. It never repeats a call by itself, and never raises for what WeChat answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class End(StrEnum):
    """How a call ended.

    ACCEPTED: WeChat took it (45065 included). REFUSED: certainly not, and again would be the
    same. LATER: certainly not done, may be tried again after `after_s`. STOP: certainly not
    done, and nothing of this campaign will be before a person acts or a day passes. UNKNOWN: it
    left and nobody heard.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LATER = "later"
    STOP = "stop"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """The end of one call. reason: a word for the report ("not_following", "window_closed",
    "allowance_used", "muted", "blocked", "content", "no_grant", "quota", "rate", "error").

    note: for the operator, English, no openid. chat: what to do, Chinese; with STOP. busy: WeChat
    said -1, which counts against five tries. pace_s: leave this route alone for so long (45011).
    """

    end: End
    reason: str = ""
    errcode: int | None = None
    after_s: float = 0.0
    pace_s: float = 0.0
    busy: bool = False
    wechat_id: str = ""
    data_id: str = ""
    note: str = ""
    chat: str = ""


@dataclass(frozen=True, slots=True)
class One:
    """A delivery that is under way to one member, with all its message needs.

    coupon: the code that was issued for it, "" for none. occasion: of a journey's step.
    """

    id: int
    campaign_id: int
    member_id: int
    external_id: str
    channel: str
    variant: str
    route: str
    occasion: str = ""
    coupon: str = ""


@dataclass(frozen=True, slots=True)
class Mass:
    """A part that is under way to many. openids: of `mass_list`, 2 to 10,000, else ().

    tag_id: WeChat's number, of `mass_tag`. client_id: the clientmsgid. payload: the JSON that
    the first try sent, "" for the first: then the sender makes it and gives it to `keep`.
    """

    id: int
    campaign_id: int
    channel: str
    variant: str
    route: str
    client_id: str
    openids: tuple[str, ...] = ()
    tag_id: int | None = None
    payload: str = ""


@dataclass(frozen=True, slots=True)
class MassState:
    """What mass/get says. status: "sent", "sending", "failed", "deleted" or "" (not known)."""

    status: str
    raw: str = ""


class Sender(Protocol):
    """One call each; never raises for what WeChat or the network does."""

    async def one(self, delivery: One) -> Sent:
        """A customer-service message, a template message or a subscription notice."""

    async def payload(self, part: Mass) -> str | Sent:
        """The body of a mass send without its receivers, JSON; pictures and articles are
        uploaded first. A Sent when that failed: nothing was sent."""

    async def mass(self, part: Mass) -> Sent:
        """A mass send with a payload."""

    async def state(self, channel: str, msg_id: str) -> MassState:
        """What became of a mass send whose finish event did not come."""

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        """A tag of this name at WeChat, made if there is none; its number."""

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        """Put a tag on at most 50 members, or take it off."""

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        """Remove a tag at WeChat; one that is not there is removed already."""
