"""What the REST API for campaigns takes and gives: its types, and the way from and to ours."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bot.rest import Fault, Time, stamp, unix
from bot.rest_path import JSON_MAX
from handlers.campaigning import Finding, Forecast, Look
from scheduler import clock
from store import rules
from store.campaign_places import LONGEST_PLACE, MOST_PLACES, ROUTE
from store.campaigns import (
    LONGEST_TITLE,
    MOST_HOLDOUT,
    MOST_VARIANTS,
    Campaign,
    Kind,
    Metric,
    NewCampaign,
    Route,
    Status,
    Timing,
    Variant,
    faults,
)
from store.deliveries import Unknown

_END = r"(?!\n)$"
_PLAIN = r"[^\u0000-\u001f\u007f]"
_MOST_WINDOW_S = 7_776_000


class VariantBody(msgspec.Struct, forbid_unknown_fields=True):
    """One wording. content: an object with its kind; docs/campaigns.md has the kinds."""

    content: Annotated[
        dict[str, Any], Meta(examples=[{"kind": "text", "text": "周三晚八点直播，回复 1 报名"}])
    ]
    name: Annotated[str, Meta(min_length=1, max_length=8, pattern="^[A-Za-z0-9]+" + _END)] = "A"
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1


class CampaignBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A campaign wanted; a draft until it is confirmed."""

    title: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=LONGEST_TITLE,
            pattern=rf"^{_PLAIN}*\S{_PLAIN}*{_END}",
            examples=["周三直播预告"],
        ),
    ]
    channel: Annotated[
        str,
        Meta(
            max_length=32,
            pattern=r"^[a-z0-9-]+" + _END,
            description="The account, by its name in the configuration.",
            examples=["mp"],
        ),
    ]
    audience: Annotated[
        str,
        Meta(
            max_length=rules.LONGEST,
            description="Who, as a rule; `everyone` needs the scope campaigns:own. Required, but "
            "for a campaign with places, which has none.",
            examples=["active 30d and tag:VIP"],
        ),
    ] = ""
    places: Annotated[
        list[
            Annotated[
                str,
                Meta(
                    max_length=LONGEST_PLACE,
                    pattern=r"^[a-z0-9-]+:[^\s]+" + _END,
                    examples=["qun:1@chatroom"],
                ),
            ]
        ],
        Meta(
            max_length=MOST_PLACES,
            description="Groups it is posted into, instead of going to members. Routes are not "
            "asked then; topic, timing `best` and a test are refused.",
        ),
    ] = []
    variants: Annotated[list[VariantBody], Meta(min_length=1, max_length=MOST_VARIANTS)]
    routes: Annotated[
        list[Route], Meta(min_length=1, max_length=6, description="Ways it may take, best first.")
    ] = msgspec.field(default_factory=lambda: ["custom", "mass_list"])
    topic: Annotated[
        str, Meta(max_length=LONGEST_TITLE, description="Who opted out of it gets nothing.")
    ] = ""
    marketing: Annotated[
        bool, Meta(description="False for a notice about something ordered or asked for.")
    ] = True
    timing: Annotated[Timing, Meta(description="One time for all, or each member's hour.")] = "at"
    starts_at: Annotated[Time | None, Meta(description="Null: when it is confirmed.")] = None
    cron: Annotated[
        str,
        Meta(
            max_length=100,
            description="Five fields, Shanghai time, for one that repeats.",
            examples=["0 20 * * 3"],
        ),
    ] = ""
    not_after: Annotated[Time | None, Meta(description="It begins by then or asks first.")] = None
    holdout: Annotated[
        float, Meta(ge=0, le=MOST_HOLDOUT, description="Share that gets nothing, to compare with.")
    ] = 0.05
    metric: Annotated[Metric, Meta(description="What decides.")] = "click"
    window_s: Annotated[float, Meta(ge=60, le=_MOST_WINDOW_S)] = 259_200.0
    test_share: Annotated[
        float, Meta(ge=0, le=MOST_HOLDOUT, description="Share of an early test; 0: none.")
    ] = 0.0
    test_s: Annotated[
        float, Meta(ge=0, le=_MOST_WINDOW_S, description="How long the test lasts.")
    ] = 0.0

    def __post_init__(self) -> None:
        for at in (self.starts_at, self.not_after):
            if at is not None:
                unix(at)


class CampaignOut(msgspec.Struct):
    """A campaign as it is kept. approved: to how many it was confirmed to go; planned: to how
    many it goes, once its list is written; note: why it stands still."""

    id: int
    kind: Kind
    parent_id: int | None
    title: str
    channel: str
    topic: str
    marketing: bool
    audience: str
    places: list[str]
    routes: list[Route]
    variants: list[VariantBody]
    status: Status
    timing: Timing
    starts_at: str | None
    cron: str
    not_after: str | None
    holdout: float
    metric: Metric
    window_s: float
    test_share: float
    test_s: float
    winner: str
    approved: int
    planned: int
    note: str
    created_at: str
    created_by: str
    confirmed_at: str | None
    started_at: str | None
    ended_at: str | None


class CampaignList(msgspec.Struct):
    """Campaigns, newest first; next: give it as `before` for older ones, null at the end."""

    campaigns: list[CampaignOut]
    next: int | None


class CampaignsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which campaigns."""

    status: Status | None = None
    before: Annotated[int, Meta(ge=1, le=JSON_MAX)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class ShownOut(msgspec.Struct):
    """A variant as its members read it. way: in groups of which way (robot, gateway, task); ""
    when all read the same."""

    variant: str
    kind: str
    text: str
    way: str


class FindingOut(msgspec.Struct):
    """What is not right. severity: "error" stops a confirmation; wechat: which rule of WeChat's
    it is, "" for ours; fixed: nobody may override it."""

    rule: str
    severity: str
    where: str
    say: str
    wechat: str
    fixed: bool


class GroupForecastOut(msgspec.Struct):
    """What one group would get. number: 0 for one nobody knows; channel: that posts, or whose
    employees are asked; way: robot, gateway or task, "" when nothing posts there; variant: "" for
    a group that is held out; why: a short key when it gets nothing; members: known ones."""

    place: str
    number: int
    title: str
    channel: str
    way: str
    variant: str
    due_at: str | None
    why: str
    members: int


class ForecastOut(msgspec.Struct):
    """What would happen if it began at `at`; see docs/campaigns.md. Of a campaign with places,
    recipients are the known members of its groups, and employees who has to confirm."""

    at: str
    matched: int
    recipients: int
    held: int
    skipped: dict[str, int]
    routes: dict[str, int]
    variants: dict[str, int]
    calls: dict[str, int]
    seconds: float
    ends_at: str
    quota: dict[str, int]
    sample: list[int]
    problems: list[str]
    groups: list[GroupForecastOut]
    employees: int


class PreviewOut(msgspec.Struct):
    """Everything about a campaign before it goes. code: confirms exactly this state."""

    campaign: CampaignOut
    shown: list[ShownOut]
    findings: list[FindingOut]
    forecast: ForecastOut
    code: str


class ConfirmBody(msgspec.Struct, forbid_unknown_fields=True):
    """The code of the preview. override: in spite of errors that are not fixed; needs the scope
    campaigns:own."""

    code: Annotated[str, Meta(min_length=1, max_length=12, examples=["K7QM"])]
    override: bool = False


class ScheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    """When it is to begin; null: when it is confirmed."""

    starts_at: Time | None

    def __post_init__(self) -> None:
        if self.starts_at is not None:
            unix(self.starts_at)


class UnknownOut(msgspec.Struct):
    """A delivery nobody knows the end of; never sent again by itself. member: null once they
    are forgotten; at: when it left."""

    id: int
    campaign: int
    title: str
    member: int | None
    route: str
    at: str


class UnknownList(msgspec.Struct):
    """Newest first."""

    deliveries: list[UnknownOut]


class UnknownQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which campaign; of all without it."""

    campaign: Annotated[int, Meta(ge=1, le=JSON_MAX)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class SettleBody(msgspec.Struct, forbid_unknown_fields=True):
    """What became of it, as its member says."""

    arrived: bool


_TIMES = ("starts_at", "not_after", "created_at", "confirmed_at", "started_at", "ended_at")
_MADE = (*_TIMES, "routes", "variants", "places")


def time_out(at: float | None) -> str | None:
    """Unix seconds as the API tells them."""
    return None if at is None else stamp(at)


def out(campaign: Campaign) -> CampaignOut:
    """A campaign for an answer."""
    given: dict[str, Any] = {
        name: getattr(campaign, name) for name in CampaignOut.__struct_fields__ if name not in _MADE
    }
    given |= {name: time_out(getattr(campaign, name)) for name in _TIMES}
    given["routes"], given["places"] = list(campaign.routes), list(campaign.places)
    given["variants"] = [
        VariantBody(dict(one.content), one.name, one.weight) for one in campaign.variants
    ]
    return CampaignOut(**given)


def new_of(body: CampaignBody) -> NewCampaign:
    """What is wanted, as the store takes and keeps it: variants by name."""
    variants = [
        Variant(name=one.name, weight=one.weight, content=one.content) for one in body.variants
    ]
    places = tuple(dict.fromkeys(body.places))
    return NewCampaign(
        title=body.title.strip(),
        channel=body.channel,
        audience=body.audience.strip(),
        variants=tuple(sorted(variants, key=lambda one: one.name)),
        # Whoever names places has said which way.
        routes=(ROUTE,) if places else tuple(dict.fromkeys(body.routes)),
        places=places,
        kind="cron" if body.cron.strip() else "once",
        topic=body.topic.strip(),
        marketing=body.marketing,
        timing=body.timing,
        starts_at=None if body.starts_at is None else unix(body.starts_at),
        cron=" ".join(body.cron.split()),
        not_after=None if body.not_after is None else unix(body.not_after),
        holdout=body.holdout,
        metric="click" if places else body.metric,
        window_s=body.window_s,
        test_share=body.test_share,
        test_s=body.test_s,
    )


def faults_of(body: CampaignBody, new: NewCampaign) -> list[Fault]:
    """What the store would not take, by JSON pointer; [] for nothing."""
    places = {f"variants.{one.name}": f"variants/{at}" for at, one in enumerate(body.variants)}
    found = [Fault(f"/{places.get(field, field)}", why) for field, why in faults(new)]
    if new.cron and (why := clock.valid(new.cron)):
        found.append(Fault("/cron", why))
    return found


def finding(one: Finding) -> FindingOut:
    """A finding for an answer."""
    return FindingOut(one.rule, one.severity, one.where, one.say, one.wechat, one.fixed)


def _forecast(one: Forecast) -> ForecastOut:
    given = asdict(one)
    groups = [
        GroupForecastOut(**{**asdict(each), "due_at": time_out(each.due_at)}) for each in one.groups
    ]
    given |= {
        "groups": groups,
        "at": stamp(one.at),
        "ends_at": stamp(one.ends_at or one.at),
        "quota": {str(had): members for had, members in one.quota.items()},
        "sample": list(one.sample),
        "problems": list(one.problems),
    }
    return ForecastOut(**given)


def preview(look: Look) -> PreviewOut:
    """All that the desk knows of a campaign before it goes."""
    return PreviewOut(
        campaign=out(look.campaign),
        shown=[ShownOut(one.variant, one.kind, one.text, one.way) for one in look.shown],
        findings=[finding(one) for one in look.findings],
        forecast=_forecast(look.forecast),
        code=look.code,
    )


def unknown(one: Unknown) -> UnknownOut:
    """An unknown delivery for an answer."""
    return UnknownOut(one.id, one.campaign_id, one.title, one.member_id, one.route, stamp(one.at))
