"""What operators' commands may ask of the campaigns' desk: `bot/campaigning.py` is it.

The store keeps campaigns; the desk knows what they would look like, whom they would reach,
what WeChat forbids, and what they caused. Chat, command line and REST API ask the same desk,
so a confirmation means the same at every door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from store.campaign_report import Report
from store.campaigns import Campaign, NewCampaign


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not right. rule: its short name ("marketing-in-notice").

    severity: "error" stops a confirmation unless an owner overrides it, "warning" is said.
    where: "content.A", "audience:7" (the 7th character), "routes"; say: Chinese, what and what
    to do; wechat: which rule of WeChat it is, Chinese, "" for ours; fixed: nobody may override.
    """

    rule: str
    severity: str
    where: str
    say: str
    wechat: str = ""
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A variant as its members read it. text: of pictures and cards a line that says so.

    way: in groups of which way ("robot", "gateway", "task"); "" when all read the same.
    """

    variant: str
    kind: str
    text: str
    way: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupForecast:
    """What one group would get. number: of the group, 0 for one nobody knows. channel: that
    posts, or whose employees are asked. way: "robot" (WeCom's), "gateway", "task" (an employee
    confirms), "" when nothing posts there. variant: "" for a group that is held out. due_at:
    when, Unix seconds. why: a short key when it gets nothing. members: known ones."""

    place: str
    number: int
    title: str
    channel: str
    way: str
    variant: str
    due_at: float | None
    why: str
    members: int

    @property
    def goes(self) -> bool:
        """Whether it gets something."""
        return not self.why and bool(self.variant)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would happen if it began at `at`, Unix seconds.

    matched: members the rule finds; recipients: who gets it; held: who is held out; skipped:
    the others, by reason (opted_out, blocked, not_following, capped, quota, unreachable, alone);
    routes, variants: recipients by each; calls: calls of WeChat's API by name; seconds: how long
    it takes without quiet hours; ends_at: with them; quota: mass sends the recipients will have
    had this month -> members; sample: some recipients' numbers; problems: what makes it
    impossible ("nobody", "api_quota", "day_quota", "no_group").

    Of a campaign into groups the people are the known members of its groups, held and skipped
    are groups, employees those who have to confirm a task.
    """

    at: float
    matched: int
    recipients: int
    held: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[str, int] = field(default_factory=dict)
    variants: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    ends_at: float = 0.0
    quota: Mapping[int, int] = field(default_factory=dict)
    sample: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    groups: tuple[GroupForecast, ...] = ()
    employees: int = 0

    @property
    def going(self) -> tuple[GroupForecast, ...]:
        """The groups that get something."""
        return tuple(one for one in self.groups if one.goes)


@dataclass(frozen=True, slots=True)
class Look:
    """A campaign before it goes: what it says, what is wrong, whom it reaches.

    code: four signs by which this actor confirms exactly this state. said_yes: who has confirmed
    it already, as in the audit, while one more is waited for.
    """

    campaign: Campaign
    shown: tuple[Shown, ...]
    findings: tuple[Finding, ...]
    forecast: Forecast
    code: str
    said_yes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops it."""
        return tuple(one for one in self.findings if one.severity == "error")


class Said(StrEnum):
    """What became of a verb. AGAIN: it was done before, by this or another; WAITS: one more
    operator has to confirm."""

    DONE = "done"
    AGAIN = "again"
    WAITS = "waits"
    NO_CAMPAIGN = "no_campaign"
    WRONG_CODE = "wrong_code"
    WRONG_STATUS = "wrong_status"
    FORBIDDEN = "forbidden"
    FINDINGS = "findings"
    NOBODY = "nobody"
    IMPOSSIBLE = "impossible"
    OWNER_ONLY = "owner_only"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a verb, with the campaign as it is now. look: of a refused confirmation."""

    said: Said
    campaign: Campaign | None = None
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts. actor: as in the audit ("member:3", "key:k1", "cli"); role: "owner",
    "operator" or "analyst"; key: 16 bytes of the message or request, so that the same one again
    does nothing twice."""

    actor: str
    role: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """A report, and its chart as a picture that WeChat has ("" for none)."""

    report: Report
    media_id: str = ""


class Campaigns(Protocol):
    """The desk. Errors: StoreError; RuleError and ContentError where a text cannot be read."""

    def blank(self, channel: str) -> NewCampaign:
        """A campaign that says nothing yet, with the configuration's hold-out and window and the
        routes of this account."""

    def opens_at(self, now: float) -> float:
        """When something leaves that is to leave at once: now, or when the quiet hours end."""

    async def check(self, new: NewCampaign, who: Who) -> Sequence[Finding]:
        """What is wrong with it, as far as can be said without the audience."""

    async def make(self, new: NewCampaign, who: Who) -> Campaign:
        """A draft."""

    async def edit(self, campaign_id: int, new: NewCampaign, who: Who) -> Answer:
        """Change what has not begun; one that is scheduled becomes a draft again."""

    async def undo(self, campaign_id: int, who: Who) -> Answer:
        """Take the last change back, before the start."""

    async def look(self, campaign_id: int, who: Who) -> Look | None:
        """Everything about it before it goes; None for none. A large audience takes seconds."""

    async def to_phone(self, campaign_id: int, variant: str, member_id: int) -> str:
        """Send a preview to one member's phone; "" when WeChat took it, else why not, Chinese."""

    async def confirm(
        self, campaign_id: int, code: str, who: Who, *, override: bool = False
    ) -> Answer:
        """Schedule it. override: an owner sends it in spite of errors that are not fixed."""

    async def schedule(self, campaign_id: int, starts_at: float | None, who: Who) -> Answer:
        """Set or change its time; None: as soon as it is confirmed. It needs a new confirmation."""

    async def pause(self, campaign_id: int, who: Who) -> Answer:
        """Stop after what is under way."""

    async def resume(self, campaign_id: int, who: Who) -> Answer:
        """Go on; also the yes of one that is late."""

    async def cancel(self, campaign_id: int, who: Who) -> Answer:
        """End it for good; what has not left never does."""

    async def told(self, campaign_id: int, *, chart: bool = False) -> Told | None:
        """What became of it and what it caused."""

    async def settle(self, delivery_id: int, arrived: bool, who: Who) -> bool:
        """An operator says what became of an unknown delivery; False when it is not unknown."""
