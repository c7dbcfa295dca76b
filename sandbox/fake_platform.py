"""What the fake WeChat is made of: accounts, members, their chats, the wire.

No HTTP here. `fake_api` answers calls on top of it, `fake_wechat` lets members write.
Time is the `now` given; nothing is printed, and only the sandbox keeps any of it.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

WINDOWS: Mapping[str, tuple[int, float]] = {"message": (5, 48 * 3600.0), "click": (3, 60.0)}
"""Customer-service messages one trigger allows, and for how many seconds."""


Route = Literal["passive", "custom", "mass", "template", "notice"]


@dataclass(frozen=True)
class Account:
    """One official account as its console shows it, and where its messages are delivered."""

    app_id: str
    app_secret: str = field(repr=False)
    token: str = field(repr=False)
    aes_key: str = field(repr=False)
    gh_id: str = "gh_demo"
    webhook: str = "http://127.0.0.1:8700/hook/mp"
    mode: Literal["safe", "compatible", "plain"] = "safe"
    body: Literal["xml", "json"] = "xml"
    kind: Literal["service", "subscription"] = "service"
    verified: bool = True


@dataclass(frozen=True)
class Received:
    """One thing a member sees in the chat.

    kind: "text", "news", "image", …, "msgmenu", "transfer", or "notice" for WeChat's own
        line about a service that is down. content: the text; for news the first title, for
        media its id. articles: {title, description, url, picurl} of each card.
    raw: the fields as sent. route: "passive" (the answer to a delivery), "custom", "mass",
        "template" or "notice" (a subscription notice).
    at: Unix seconds of the fake's clock.
    """

    kind: str
    content: str
    raw: Mapping[str, Any]
    route: Route
    at: float
    articles: tuple[Mapping[str, str], ...] = ()


@dataclass
class FakeMember:
    """A person on the fake platform. windows: trigger -> (messages left, closes at).

    blocked: on the account's blacklist. muted: switched the account's messages off. grants:
    template -> subscription notices this person allowed and has not had.
    """

    followed: bool = True
    inbox: list[Received] = field(default_factory=list)
    since: float = 0.0
    scene: str = ""
    tags: set[int] = field(default_factory=set)
    windows: dict[str, tuple[int, float]] = field(default_factory=dict)
    typing: bool = False
    unionid: str = ""
    blocked: bool = False
    muted: bool = False
    grants: dict[str, int] = field(default_factory=dict)


@dataclass
class WireEntry:
    """One exchange on the wire; shown when it starts and again when `done`.

    direction: "to_bot" (a delivery attempt) or "to_wechat" (an API call).
    delivery: number of the delivery, 0 for API calls; attempt of attempts: its place.
    body, reply_body: as they crossed the wire. plain, reply_plain: decrypted.
    status: None while open or when no answer came. ms: milliseconds.
    """

    id: int
    at: float
    direction: Literal["to_bot", "to_wechat"]
    title: str
    delivery: int = 0
    attempt: int = 1
    attempts: int = 1
    query: str = ""
    body: str = ""
    plain: str = ""
    reply_body: str = ""
    reply_plain: str = ""
    status: int | None = None
    ms: float | None = None
    note: str = ""
    done: bool = False


def card(article: Mapping[str, Any]) -> dict[str, str]:
    """An article of either spelling (Title, title, PicUrl, picurl …) as one lower-case card."""
    low = {str(name).lower(): str(value or "") for name, value in article.items()}
    return {name: low.get(name, "") for name in ("title", "description", "url", "picurl")}


class Platform:
    """One account's members and the record of what crossed the wire.

    wire: the last 500 exchanges. wire_listeners get each WireEntry twice, when it begins
    and when it is done; inbox_listeners get (openid, Received) for all a member sees.
    """

    def __init__(
        self,
        account: Account,
        *,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self.account = account
        self.now = now
        self.rng = rng if rng is not None else random.SystemRandom()
        self.members: dict[str, FakeMember] = {}
        self.wire: deque[WireEntry] = deque(maxlen=500)
        self.wire_listeners: list[Callable[[WireEntry], None]] = []
        self.inbox_listeners: list[Callable[[str, Received], None]] = []
        self._wire_count = 0

    def member(self, openid: str) -> FakeMember:
        """That member; an unknown one is created as a follower of old."""
        return self.members.setdefault(openid, FakeMember(since=self.now()))

    def show(self, openid: str, received: Received) -> None:
        """Put something into a member's chat; nothing reaches who does not follow."""
        member = self.member(openid)
        if not member.followed:
            return
        member.inbox.append(received)
        for listener in list(self.inbox_listeners):
            listener(openid, received)

    def open_window(self, openid: str, trigger: str) -> None:
        """A message or a click renews that allowance; allowances never add up."""
        count, seconds = WINDOWS[trigger]
        self.member(openid).windows[trigger] = (count, self.now() + seconds)

    def allowance(self, openid: str) -> int:
        """Customer-service messages this member may still get now; -1: no open window."""
        windows = self.member(openid).windows.values()
        left = [count for count, until in windows if until > self.now()]
        return max(left, default=-1)

    def spend(self, openid: str) -> None:
        """Take one message off every allowance the member has given."""
        windows = self.member(openid).windows
        for trigger, (count, until) in windows.items():
            windows[trigger] = (max(0, count - 1), until)

    def wire_open(self, entry: WireEntry) -> WireEntry:
        """Record and announce an exchange that begins."""
        self._wire_count += 1
        entry.id = self._wire_count
        self.wire.append(entry)
        self._announce(entry)
        return entry

    def wire_close(self, entry: WireEntry) -> None:
        """Announce the same exchange again, complete."""
        entry.done = True
        self._announce(entry)

    def _announce(self, entry: WireEntry) -> None:
        for listener in list(self.wire_listeners):
            listener(entry)
