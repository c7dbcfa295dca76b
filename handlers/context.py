"""Context: everything a handler may use, as typed fields an editor can follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from handlers.message import Option, Reply
from handlers.recommending import Recommendations, Suggesting
from handlers.rewards import Rewards
from handlers.texts import Texts
from knowledge import Knowledge
from store import Store
from store.catalogue import Item
from store.groups import Group
from store.members import Member

if TYPE_CHECKING:
    from handlers.campaigning import Campaigns
    from handlers.report_means import Insights
    from store.documents import StoredPassage

SHANGHAI = ZoneInfo("Asia/Shanghai")


class WeChatSide(Protocol):
    """What a handler may ask of WeChat: the channel's client, given by `bot/app.py`."""

    async def push_menu(self) -> int:
        """Send the configured menu to WeChat; says how many buttons. 0: none configured.

        Errors: ApiRefused.
        """


class ApiRefused(Exception):
    """WeChat (or the way to it) said no. The message says what to do next."""


@dataclass(frozen=True, slots=True)
class Business:
    """The operator's own words and choices, from the configuration."""

    name: str = "知群"
    topics: tuple[str, ...] = ()
    human_hours: str = ""


@dataclass(frozen=True, slots=True)
class GroupChannels:
    """What the channels of this bot can do in groups, by channel name.

    posting: may post what nobody asked for. hearing: hear every message, not only what mentions
    the bot. whispering: may answer in private who asked in a group. kicking: may remove or
    silence somebody. robots: post into one group each, and hear nothing. digest_at: when a digest
    is made whose group names no time, "21:00"; "" when nobody knows.
    """

    posting: frozenset[str] = frozenset()
    hearing: frozenset[str] = frozenset()
    whispering: frozenset[str] = frozenset()
    kicking: frozenset[str] = frozenset()
    robots: frozenset[str] = frozenset()
    digest_at: str = ""


@dataclass(slots=True)
class Context:
    """One message's surroundings.

    now: aware, Asia/Shanghai. handler, item: what the log says about this message; a
    handler may set them ("faq.offer", "faq:12"). reload: makes changed content findable.
    answers: "faq:12" -> its answer; items: "item:py-101" -> the catalogue item, in the
    order to show them; passages: "doc:12" -> a passage of a document. All are the content as of
    the last reload, in memory, so that a sure answer touches no database; nobody changes them.
    demoted: ids of FAQ entries that members found useless: offered, not told outright.
    links: makes addresses that count their clicks. can_transfer: whether a human hand-over
    exists on this channel. erased: the member has been forgotten; push nothing to them.
    logged: what the log keeps of the text, None for all of it; set it where the words hold a
    code or somebody's openid. pushes: messages that nobody asked for just now; counts: what
    the metrics show; rewards: the operator's rules for coupons, points and the rest;
    invitations: makes a member's own code, None where nobody can. campaigns: the desk of campaigns,
    None in a bot without one. then: messages that follow
    the reply, in order: pushed, or waiting for 继续 where the channel may not push; written down
    with the answer, so they go once, and never when it failed. group: the group that it was said
    in, None in private; aside: what the member alone is told about it, where the channel can;
    channels: what the channels can do in groups. options: what the reply offers to choose from, as
    buttons where the channel has them. said: tells who waits what is being done, where the channel
    shows an answer before it is whole; no part of the answer. insights: what reports ask of the
    edge, None in a bot without. recommendations: who knows what fits whom, None in a bot without;
    suggesting: where something may be suggested that nobody asked for.
    """

    store: Store
    member: Member
    texts: Texts
    knowledge: Knowledge
    business: Business
    wechat: WeChatSide
    now: datetime
    reload: Reload
    claims: Claims
    answers: Mapping[str, str]
    items: Mapping[str, Item]
    links: Links
    pushes: Pushes
    counts: Counts
    rewards: Rewards = field(default_factory=Rewards)
    invitations: Invitations | None = None
    campaigns: Campaigns | None = None
    passages: Mapping[str, StoredPassage] = field(default_factory=dict)
    demoted: frozenset[str] = frozenset()
    can_transfer: bool = True
    handler: str = ""
    item: str = ""
    erased: bool = False
    logged: str | None = None
    then: list[Reply] = field(default_factory=list)
    group: Group | None = None
    aside: list[Reply] = field(default_factory=list)
    channels: GroupChannels = field(default_factory=GroupChannels)
    options: list[Option] = field(default_factory=list)
    said: Callable[[str], None] = lambda text: None
    insights: Insights | None = None
    recommendations: Recommendations | None = None
    suggesting: Suggesting = field(default_factory=Suggesting)

    @property
    def place(self) -> str:
        """The group as the store names it; "" in private."""
        return self.group.place if self.group else ""

    @property
    def at(self) -> float:
        """Now in Unix seconds."""
        return self.now.timestamp()

    @property
    def today(self) -> str:
        """The day in Shanghai, "2026-11-21"."""
        return self.now.strftime("%Y-%m-%d")

    @property
    def tier(self) -> str:
        """The member's tier of membership now, "" for none."""
        return self.member.tier_at(self.at)

    def is_operator(self) -> bool:
        """Whether this member may use operator commands."""
        return self.member.is_operator

    def may_read(self) -> bool:
        """Whether this member may use commands that only show: operators and analysts."""
        return self.member.may_read


class Links(Protocol):
    """Tracked links: `bot/links.py`."""

    async def to_item(self, item: Item, member_id: int, source: str, ref: str = "") -> str:
        """The address to show for an item; the item's own where clicks are not counted.

        source: "answer", "catalogue", "recommendation"; ref: what led to it ("faq:12").
        """

    def in_text(self, text: str, ref: str, member_id: int) -> str:
        """The text with the addresses we count replaced by tracked ones; no database."""

    async def make_link(
        self, what: str, *, campaign: str = "", variant: str = "", by: str
    ) -> tuple[str, str]:
        """A campaign's link to an item (by id) or an address: (short address, "").

        Or ("", problem): "no_public_url", "unknown_item", "bad_url". Errors: StoreError.
        """


class Reload(Protocol):
    """Makes FAQ, items and documents as they are in the store findable for the next message.

    changed: "faq:12", "item:py-101": only these are read again; none: all.
    """

    async def __call__(self, *changed: str) -> None: ...


class Claims(Protocol):
    """The one-time code that makes the first owner."""

    async def claim(self, code: str, member_id: int, at: float, by: bytes) -> bool:
        """Make this member owner and use the code up; False when it is wrong or used.

        by: the message's key.
        """


class Pushes(Protocol):
    """Messages to members who did not just ask for them: `bot/pushes.py`."""

    async def plan(self, key: bytes, member_id: int, reply: Reply) -> bool:
        """Send it, once, if WeChat lets us write to this member now; False when it does not.

        key: 16 bytes that name this message; the same key again sends nothing.
        Errors: StoreError.
        """


class Counts(Protocol):
    """What the metrics show of this: `bot/metrics.py`."""

    def claim(self, outcome: str) -> None:
        """Somebody claimed a coupon; outcome: as in `store.coupons.Outcome`."""

    def wrong_code(self, who: str) -> None:
        """A claim word or code that nobody has. who: "member" or "key"."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A picture to invite with, good until `ends_at` (inf: no end).

    rewarded: whether friends who come by it are rewarded. url: where to look instead when
    WeChat took no picture; neither, when this account has nothing to invite with.
    """

    media_id: str
    rewarded: bool
    ends_at: float
    url: str = ""


class Invitations(Protocol):
    """Members' own codes: `bot/invitations.py`."""

    def rewarded(self, channel: str) -> bool:
        """Whether friends who come by a code of this channel are rewarded, as far as we know."""

    async def picture(self, member_id: int, channel: str, now: float) -> Invitation:
        """The member's code as a picture that WeChat has. Errors: ApiRefused, StoreError."""
