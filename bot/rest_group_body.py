"""What the REST API for groups takes and gives: its types, and the way from and to ours."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bot import group_robot
from bot.group_robot import ARTICLES, MARKDOWN_BYTES, TEXT_BYTES, CannotPost
from bot.onebot_actions import post_texts
from bot.rest import Fault, Time, stamp, unix
from bot.rest_path import JSON_MAX
from handlers import group_words
from handlers.context import GroupChannels
from handlers.group_desk import LONGEST_WELCOME, PATIENCE_S, WELCOME_MINUTES
from store.groups import Group, GroupRules, Present
from store.order import Case
from store.posts import Post, PostArticle, PostRow

_END = r"(?!\n)$"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_LINES = r"^[^\u0000-\u0009\u000b-\u001f\u007f]*$"
_URL = r"https?://[^\s/?#\\\u0000-\u001f]+[^\s\u0000-\u001f]*"

Number = Annotated[int, Meta(ge=1, le=JSON_MAX)]
Limit = Annotated[int, Meta(ge=1, le=500)]
Status = Literal["planned", "sending", "sent", "refused", "unknown", "expired", "dropped"]
OrderMode = Literal["off", "watch", "act"]
Verdict = Literal["spam", "false_alarm"]


# Groups


class RulesOut(msgspec.Struct):
    """How zhiqun behaves in a group. null: as the configuration says, or, of a time, never.

    welcome: "" greets nobody; {names} stands for the newcomers. quiet: "" never. digest: "off" for
    none. eager_s: 0 never. kick, silence: whether it may remove or silence who sends adverts.
    weekly: whether a few of its figures are posted once a week, with noise.
    """

    welcome: str
    welcome_minutes: float | None
    quiet: str
    digest: str | None
    muted_until: str | None
    eager_s: float
    keywords: bool | None
    order: OrderMode
    kick: bool
    silence: bool
    weekly: bool


class GroupOut(msgspec.Struct):
    """A group. place: as campaigns name it. title: its alias, name or number. route: the channel
    that posts there instead of its own, null for its own.

    can_post: whether anything can be posted there now. hears_all: whether everything said there is
    heard, not only what mentions the bot. members: how many are known to be in it. left_at: since
    when the bot is not in it, null while it is.
    """

    id: int
    place: str
    channel: str
    title: str
    name: str
    alias: str | None
    route: str | None
    bound: bool
    can_post: bool
    hears_all: bool
    members: int
    rules: RulesOut
    known_at: str
    bound_at: str | None
    left_at: str | None


class GroupList(msgspec.Struct):
    """A page of groups, oldest first. next: the cursor of the next page, null at the end."""

    groups: list[GroupOut]
    next: int | None


class GroupsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which groups."""

    cursor: Annotated[int, Meta(ge=0, le=JSON_MAX, description="After this number.")] = 0
    limit: Limit = 100
    bound: Annotated[bool | None, Meta(description="Only those that are bound, or are not.")] = None


Welcome = Annotated[
    str,
    Meta(
        max_length=LONGEST_WELCOME,
        pattern=_LINES,
        description="Empty greets nobody.",
        examples=["欢迎 {names}，发「课程」看课程表"],
    ),
]
Minutes = Annotated[float, Meta(ge=WELCOME_MINUTES[0], le=WELCOME_MINUTES[1])]
Quiet = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{_CLOCK}-{_CLOCK})?{_END}",
        description="Empty never.",
        examples=["22:00-08:00"],
    ),
]
Digest = Annotated[str, Meta(pattern=rf"^(?:off|{_CLOCK}){_END}", examples=["21:00"])]
Patience = Annotated[
    float, Meta(ge=0, le=PATIENCE_S[1], description=f"0, or {PATIENCE_S[0]:g} and more.")
]
Alias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=group_words.LONGEST_ALIAS,
        pattern=r"^[^\s,，、#{}\u0000-\u001f\u007f]+" + _END,
        examples=["vip"],
    ),
]
Channel = Annotated[
    str, Meta(min_length=1, max_length=32, pattern=r"^[a-z0-9-]+" + _END, examples=["poster"])
]


class RulesBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of the rules; what is left out stays. null: as the configuration says.

    muted_until: null lets it speak again.
    """

    welcome: Welcome | UnsetType = UNSET
    welcome_minutes: Minutes | UnsetType | None = UNSET
    quiet: Quiet | UnsetType = UNSET
    digest: Digest | UnsetType | None = UNSET
    muted_until: Time | UnsetType | None = UNSET
    eager_s: Patience | UnsetType = UNSET
    keywords: bool | UnsetType | None = UNSET
    order: OrderMode | UnsetType = UNSET
    weekly: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if isinstance(self.muted_until, datetime):
            unix(self.muted_until)


class GroupBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to change about a group; what is left out stays.

    alias: what commands and rules call it, null for nothing. route: the group robot's channel that
    posts there, null for its own. bound: whether zhiqun may act there; false drops what is planned.
    """

    alias: Alias | UnsetType | None = UNSET
    route: Channel | UnsetType | None = UNSET
    bound: bool | UnsetType = UNSET
    rules: RulesBody | UnsetType = UNSET


def time_out(at: float | None) -> str | None:
    """A moment, null for none."""
    return stamp(at) if at else None


def group_out(group: Group, channels: GroupChannels, members: int) -> GroupOut:
    """A group as the API shows it."""
    return GroupOut(
        id=group.id,
        place=group.place,
        channel=group.channel,
        title=group.title,
        name=group.name,
        alias=group.alias,
        route=group.route or None,
        bound=group.bound,
        can_post=group.bound and (group.route or group.channel) in channels.posting,
        hears_all=group.channel in channels.hearing,
        members=members,
        rules=_rules_out(group.rules),
        known_at=stamp(group.known_at),
        bound_at=time_out(group.bound_at),
        left_at=time_out(group.left_at),
    )


def _rules_out(rules: GroupRules) -> RulesOut:
    given: dict[str, Any] = {name: getattr(rules, name) for name in RulesOut.__struct_fields__}
    given |= {
        "welcome": rules.welcome or "",
        "digest": rules.digest or None,
        "muted_until": time_out(rules.muted_until),
    }
    return RulesOut(**given)


def rules_of(body: RulesBody) -> Callable[[GroupRules], GroupRules]:
    """The change of the rules that a body wants."""
    wanted = {
        name: value
        for name in RulesBody.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    if "welcome" in wanted:
        wanted["welcome"] = group_words.welcome_of(wanted["welcome"])
    if "digest" in wanted:
        wanted["digest"] = wanted["digest"] or ""
    if "muted_until" in wanted:
        until = wanted["muted_until"]
        wanted["muted_until"] = 0.0 if until is None else unix(until)
    return lambda rules: replace(rules, **wanted)


def rules_faults(body: RulesBody, now: float, *, hears_all: bool) -> list[Fault]:
    """What `/group` would not take; [] when all is well. hears_all: of the group's channel."""
    faults = []
    if body.quiet and group_words.hours_of(body.quiet) is None:
        faults.append(Fault("/rules/quiet", "begins when it ends: name two times, or none"))
    if isinstance(body.muted_until, datetime):
        until = unix(body.muted_until)
        if until <= now:
            faults.append(Fault("/rules/muted_until", "is over: null ends a mute"))
        elif until > now + group_words.LONGEST_MUTE_S:
            days = group_words.LONGEST_MUTE_S / 86_400
            faults.append(Fault("/rules/muted_until", f"is more than {days:g} days ahead"))
    if body.eager_s:
        least, most = PATIENCE_S
        if body.eager_s < least:
            faults.append(Fault("/rules/eager_s", f"must be 0, or {least:g} to {most:g} seconds"))
        elif not hears_all:
            said = "only mentions are heard in this group, so nothing can be answered unasked: 0"
            faults.append(Fault("/rules/eager_s", said))
    return faults


# Members and edges


class MemberOut(msgspec.Struct):
    """Who is in a group. name: what they are called there, "" when nobody said. since: when they
    came, or were first heard."""

    member: int
    name: str
    since: str
    welcomed_at: str | None


class MemberList(msgspec.Struct):
    """A page of members by number. next: the cursor of the next page, null at the end."""

    members: list[MemberOut]
    next: int | None


class MembersQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which members."""

    cursor: Annotated[int, Meta(ge=0, le=JSON_MAX, description="After this number.")] = 0
    limit: Limit = 100


class EdgeOut(msgspec.Struct, rename={"origin": "from"}):
    """Who turns to whom: members by number. weight: as of now, it halves with time. turns: how many
    times it was."""

    origin: int
    to: int
    weight: float
    turns: int


class EdgesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which pairs."""

    least: Annotated[float, Meta(ge=0, le=1e9, description="None lighter than this.")] = 0.0
    limit: Annotated[int, Meta(ge=1, le=JSON_MAX, description="The heaviest so many.")] | None = (
        None
    )


def member_out(one: Present) -> MemberOut:
    """Somebody in a group."""
    return MemberOut(one.member_id, one.name, stamp(one.since), time_out(one.welcomed_at))


# Posts


class ArticleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A card of a news post. A group robot takes 128 bytes of a title, 512 of a description."""

    title: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\u0000-\u001f\u007f]+$")]
    url: Annotated[str, Meta(max_length=1024, pattern=f"^{_URL}{_END}")]
    description: Annotated[str, Meta(max_length=512, pattern=_LINES)] = ""
    picture_url: Annotated[str, Meta(max_length=1024, pattern=f"^(?:{_URL})?{_END}")] = ""


class PostBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to post. content: of text and markdown; articles: of news. at: not before, now when left
    out; the group's quiet hours go first. not_after: it is not posted later than this, six hours
    behind `at` when left out."""

    kind: Literal["text", "markdown", "news"]
    content: Annotated[
        str, Meta(max_length=MARKDOWN_BYTES, pattern=_LINES, examples=["今晚八点直播，记得来"])
    ] = ""
    articles: Annotated[list[ArticleBody], Meta(max_length=ARTICLES)] = []
    at: Time | None = None
    not_after: Time | None = None

    def __post_init__(self) -> None:
        for at in (self.at, self.not_after):
            if at is not None:
                unix(at)


class PostOut(msgspec.Struct):
    """A post, without its words. kind: what it is for. group: null for one that is gone. errcode,
    note: why it was refused or waits; campaign: that it is part of."""

    id: int
    group: int | None
    channel: str
    kind: str
    status: Status
    created_at: str
    due_at: str
    not_after: str | None
    settled_at: str | None
    errcode: int | None
    note: str
    campaign: int | None


class PostList(msgspec.Struct):
    """Posts, newest first. next: to be given as `before` for older ones, null at the end."""

    posts: list[PostOut]
    next: int | None


class PostsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which posts."""

    group: Annotated[Number, Meta(description="Only into this group.")] | None = None
    status: Annotated[Status | None, Meta(description="Only of this status.")] = None
    before: Annotated[Number, Meta(description="Those before this number.")] | None = None
    limit: Limit = 100


def post_of(body: PostBody) -> Post:
    """The post that a body wants."""
    cards = (
        PostArticle(one.title, one.description, one.url, one.picture_url) for one in body.articles
    )
    return Post(body.kind, body.content.strip(), articles=tuple(cards))


def post_faults(post: Post, *, robot: bool) -> list[Fault]:
    """Why it would not go out whole in one message; [] when it would.

    robot: a group robot posts it; otherwise a gateway, where everything is text.
    """
    if post.kind != "news":
        if post.articles:
            return [Fault("/articles", "are for news; leave them out, or say kind news")]
        if not post.content:
            return [Fault("/content", "is empty: there is nothing to say")]
    elif post.content:
        return [Fault("/content", "is not shown with news: put it into an article's description")]
    elif not post.articles:
        return [Fault("/articles", f"are missing: news has 1 to {ARTICLES}")]
    return _robot_faults(post) if robot else _gateway_faults(post)


def _robot_faults(post: Post) -> list[Fault]:
    limit = TEXT_BYTES if post.kind == "text" else MARKDOWN_BYTES
    sizes = [("/content", post.content, limit)]
    for place, one in enumerate(post.articles):
        sizes.append((f"/articles/{place}/title", one.title, group_robot.TITLE_BYTES))
        where = f"/articles/{place}/description"
        sizes.append((where, one.description, group_robot.DESCRIPTION_BYTES))
    faults = [
        Fault(where, f"has {size} bytes of UTF-8, a group robot takes {most}: shorten it")
        for where, text, most in sizes
        if (size := len(text.encode())) > most
    ]
    if not faults:
        try:
            group_robot.render(post)
        except CannotPost as cannot:
            faults.append(Fault("", str(cannot)))
    return faults


def _gateway_faults(post: Post) -> list[Fault]:
    where = "/articles" if post.kind == "news" else "/content"
    try:
        parts = len(post_texts(post))
    except ValueError:
        return [Fault(where, "has no words: there is nothing to say")]
    if parts == 1:
        return []
    say = f"needs {parts} messages of {TEXT_BYTES} bytes of UTF-8: shorten it, or post it in parts"
    return [Fault(where, say)]


def post_out(row: PostRow, group: Group | None) -> PostOut:
    """A post as the API shows it."""
    return PostOut(
        id=row.id,
        group=None if group is None else group.id,
        channel=row.channel,
        kind=row.kind,
        status=cast(Status, row.status),
        created_at=stamp(row.created_at),
        due_at=stamp(row.due_at),
        not_after=time_out(row.not_after),
        settled_at=time_out(row.settled_at),
        errcode=row.errcode,
        note=row.note,
        campaign=row.campaign_id,
    )


# Order


class CaseOut(msgspec.Struct):
    """A message that was judged. severity: 1 noted, 2 warned, 3 reported as bad. score: how sure
    the model is, null when it was not asked. actions: what was done.

    member: null without members:read, and of somebody who is not recorded. text: null without
    interactions:read; "" when it is forgotten. verdict: an operator's, null while there is none.
    """

    id: int
    group: int | None
    at: str
    member: int | None
    text: str | None
    reasons: list[str]
    score: float | None
    severity: int
    actions: list[str]
    verdict: Verdict | None
    verdict_by: str | None
    verdict_at: str | None
    reported_at: str | None


class CaseList(msgspec.Struct):
    """Cases, newest first. next: to be given as `before` for older ones, null at the end."""

    cases: list[CaseOut]
    next: int | None


class CasesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which cases."""

    group: Annotated[Number, Meta(description="Only of this group.")] | None = None
    waiting: Annotated[bool, Meta(description="Only those that wait for a verdict.")] = False
    before: Annotated[Number, Meta(description="Those before this number.")] | None = None
    limit: Limit = 100


class VerdictBody(msgspec.Struct, forbid_unknown_fields=True):
    """What it was. The other word later turns it around."""

    verdict: Verdict


class VerdictOut(msgspec.Struct):
    """The case as it is now. changed: false when that was said before. alike: cases with the same
    words within a day that were settled with it."""

    case: CaseOut
    changed: bool
    alike: list[int]


def case_out(case: Case, group: Group | None, scopes: Collection[str]) -> CaseOut:
    """A case as a key with these scopes may see it."""
    return CaseOut(
        id=case.id,
        group=None if group is None else group.id,
        at=stamp(case.at),
        member=case.member_id if "members:read" in scopes else None,
        text=case.text if "interactions:read" in scopes else None,
        reasons=list(case.reasons),
        score=case.score,
        severity=case.severity,
        actions=list(case.actions),
        verdict=cast("Verdict | None", case.verdict or None),
        verdict_by=case.verdict_by or None,
        verdict_at=time_out(case.verdict_at),
        reported_at=time_out(case.reported_at),
    )
