"""Campaigns into groups in words: which groups, which way into each, what became of it there.

A list of groups is cut to what a phone shows; the command line and the REST API have all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from handlers.campaign_moments import moment, people, span
from handlers.campaigning import GroupForecast, Look
from handlers.changes import short
from handlers.texts import Texts
from store.campaign_places import FEWEST_TO_HOLD
from store.campaign_report import GroupOutcome, Report
from store.campaigns import Campaign

NAMED = 4
"""Groups that a heading names."""

SHOWN = 8
"""Groups that a preview or report lists."""

CANNOT_SHOWN = 5

_WAYS = ("robot", "gateway", "task")
_WHYS = (
    "unknown",
    "left",
    "unbound",
    "no_way",
    "again",
    "muted",
    "never",
    "no_owner",
    "quota",
    "content",
    "expired",
    "unsent",
)
_STATUSES = ("sent", "waiting", "planned", "sending", "refused", "unknown", "dropped", "held")
"""As a report counts them: what went well first."""


def name(number: int, title: str, place: str) -> str:
    """ "#3 前端群"; the place itself for a group nobody knows."""
    if not number:
        return short(place)
    return f"#{number}" if title == f"#{number}" else f"#{number} {short(title)}".rstrip()


def who(texts: Texts, look: Look) -> str:
    """The groups of a campaign on one line."""
    groups = look.forecast.groups
    named = "、".join(name(one.number, one.title, one.place) for one in groups[:NAMED])
    if len(groups) > NAMED:
        return texts("campaign_groups.who_many", names=named, count=people(len(groups)))
    return texts("campaign_groups.who", names=named or people(len(look.campaign.places)))


def way(texts: Texts, kind: str) -> str:
    """How it gets into a group."""
    return texts(f"campaign_groups.way_{kind}") if kind in _WAYS else kind


def way_shown(texts: Texts, kind: str, way_kind: str) -> str:
    """A kind of content, and in which groups it looks so."""
    return texts("campaign_groups.shown_by", kind=kind, way=way(texts, way_kind))


def why(texts: Texts, said: str) -> str:
    """Why a group gets nothing; what the other side said stands as it is."""
    return texts(f"campaign_groups.why_{said}") if said in _WHYS else short(said)


def forecast(texts: Texts, look: Look, now: datetime) -> Iterable[str]:
    """Which groups get it, by which way and when; which cannot, and why."""
    told, one = look.forecast, look.campaign
    going = told.going
    if going:
        members = people(told.recipients)
        yield texts("campaign_groups.going", count=people(len(going)), members=members)
        yield from _some(texts, [_line(texts, each, told.at, one, now) for each in going], SHOWN)
    yield from _held(texts, one, told.held)
    cannot = [each for each in told.groups if each.why]
    if cannot:
        yield texts("campaign_groups.cannot", count=people(len(cannot)))
        lines = [
            texts(
                "campaign_groups.cannot_line",
                group=name(each.number, each.title, each.place),
                why=why(texts, each.why),
            )
            for each in cannot
        ]
        yield from _some(texts, lines, CANNOT_SHOWN)
    tasks = sum(1 for each in going if each.way == "task")
    if len(going) > tasks:
        done = (max(told.ends_at, told.at) // 60 + 1) * 60
        ends = moment(texts, done, now)
        yield texts("campaign_groups.takes", span=span(texts, told.seconds), ends=ends)
    if tasks:
        count = people(told.employees)
        yield texts("campaign_groups.employees", groups=people(tasks), count=count)


def _line(texts: Texts, each: GroupForecast, at: float, one: Campaign, now: datetime) -> str:
    words = way(texts, each.way)
    if len(one.variants) > 1:
        words = texts("campaign_groups.line_variant", way=words, name=each.variant)
    if each.due_at is not None and each.due_at > at + 60:
        words = texts("campaign_groups.line_later", way=words, at=moment(texts, each.due_at, now))
    group = name(each.number, each.title, each.place)
    return texts("campaign_groups.line", group=group, way=words)


def _held(texts: Texts, one: Campaign, held: int) -> Iterable[str]:
    if not one.holdout:
        return
    share = f"{one.holdout * 100:g}%"
    if held:
        yield texts("campaign_groups.held", share=share, count=people(held), campaign=one.id)
    else:
        yield texts("campaign_groups.held_none", share=share, fewest=FEWEST_TO_HOLD)


def _some(texts: Texts, lines: Sequence[str], most: int) -> Iterable[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield texts("campaign_groups.more", count=people(len(lines) - most))


# Deciding


def confirmed(texts: Texts, one: Campaign, at: str, key: str) -> str:
    """That it goes. key: "now", "quiet", "at" or "cron"; at: when, in words."""
    count = people(one.approved)
    if key == "now":
        return texts("campaign_groups.confirmed_now", campaign=one.id, count=count)
    if key == "quiet":
        return texts("campaign_groups.confirmed_quiet", campaign=one.id, count=count, at=at)
    if key == "cron":
        return texts("campaign_groups.confirmed_cron", campaign=one.id, when=at)
    return texts("campaign_groups.confirmed_at", campaign=one.id, count=count, when=at)


# What became of it


def report(texts: Texts, told: Report, now: datetime) -> Iterable[str]:
    """Groups by what became of them, those that need a look by name, and the clicks."""
    counts = Counter(one.status for one in told.groups)
    parts = [
        texts(f"campaign_groups.status_{status}", count=people(counts[status]))
        for status in _STATUSES
        if counts[status]
    ]
    yield texts("campaign_groups.report", count=people(len(told.groups)), parts="、".join(parts))
    for status in ("unknown", "refused"):
        lines = [_ended(texts, one) for one in told.groups if one.status == status]
        yield from _some(texts, lines, CANNOT_SHOWN)
    waiting = Counter(one.employee for one in told.groups if one.status == "waiting")
    if waiting:
        yield texts("campaign_groups.waiting_for", names="、".join(sorted(waiting)[:NAMED]))
    yield from _clicks(texts, told)
    if told.closes_at is not None and told.closes_at > told.at:
        at = moment(texts, told.closes_at, now)
        yield texts("campaign_report.closes", at=at)


def _ended(texts: Texts, one: GroupOutcome) -> str:
    group = name(one.number, one.title, one.place)
    reason = why(texts, one.why)
    if one.status == "unknown":
        return texts("campaign_groups.line_unknown", group=group)
    return texts("campaign_groups.cannot_line", group=group, why=reason)


def _clicks(texts: Texts, told: Report) -> Iterable[str]:
    for variant, count in sorted(told.clicks.items()):
        yield texts("campaign_groups.clicks", name=variant, count=people(count))
    best = sorted(
        (one for one in told.groups if one.clicks), key=lambda one: (-(one.clicks or 0), one.number)
    )
    for one in best[:NAMED]:
        group = name(one.number, one.title, one.place)
        clicks, persons = people(one.clicks or 0), people(one.people or 0)
        yield texts("campaign_groups.group_clicks", group=group, count=clicks, people=persons)
