"""Campaigns in words: the preview, what is wrong with it, when it goes, how it is doing.

A preview fits a phone: what is long is cut, what is many is counted. Members are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from handlers import rule_words
from handlers.campaign_group_words import forecast as group_forecast
from handlers.campaign_group_words import way_shown
from handlers.campaign_group_words import who as groups_named
from handlers.campaign_moments import moment, people, span
from handlers.campaign_text import BadForm, Fault
from handlers.campaign_when import days_of, times_a_day
from handlers.campaigning import Finding, Look, Shown
from handlers.changes import short
from handlers.texts import Texts
from store.campaigns import Campaign, NewCampaign

SHOWN_CHARS = 300
"""Characters of what a campaign says, in its preview; all variants together."""
_SHORT_CHARS = 120
"""So many where the rest of the preview is long."""
_SCREEN_BYTES = 2048
"""One message; more would come as several."""
FINDINGS = 5
_FEW_FINDINGS = 2
FAULTS = 6
SAMPLE = 5

_REASONS = (
    "opted_out",
    "blocked",
    "not_following",
    "capped",
    "quota",
    "unreachable",
    "alone",
    "sold_out",
    "cancelled",
    "stopped",
    "erased",
    "merged",
    "muted",
    "window_closed",
    "allowance_used",
    "no_grant",
    "content",
    "rate",
    "error",
    "late",
    "too_late",
    "reached",
    "list",
    "not_arrived",
    "busy",
    "lease",
    "refused",
)
_PROBLEMS = ("nobody", "api_quota", "day_quota", "no_channel", "to_all", "no_group")
_NOTES = ("errors", "busy", "day_quota", "unknown", "audience", "nobody", "no_group", "undone")
_NUMBERED = ("late", "overdue", "grown", "to_all")
"""Notes that ask for a decision, and name the commands of it."""


# Times


def when(texts: Texts, new: NewCampaign, now: datetime) -> str:
    """When it goes out, as operators read it."""
    if new.kind == "cron":
        return _repeats(texts, new.cron)
    if new.timing == "best":
        if new.starts_at is None or new.starts_at <= now.timestamp():
            return texts("campaign.when_best")
        return texts("campaign.when_best_from", day=moment(texts, new.starts_at, now))
    if new.starts_at is None:
        return texts("campaign.when_now")
    return moment(texts, new.starts_at, now)


def _repeats(texts: Texts, cron: str) -> str:
    told = days_of(cron)
    if told is None:
        times = times_a_day(cron)
        if times > 1:
            return texts("campaign.cron_often", cron=cron, count=times)
        return texts("campaign.cron", cron=cron)
    kind, days, hour, minute = told
    clock = f"{hour:02}:{minute:02}"
    if kind == "day":
        return texts("campaign.every_day", clock=clock)
    if kind == "month":
        return texts("campaign.every_month", day=days[0], clock=clock)
    if list(days) == [0, 1, 2, 3, 4]:
        return texts("campaign.every_workday", clock=clock)
    names = texts("campaign.weekdays")
    return texts("campaign.every_week", days="、".join(names[day] for day in days), clock=clock)


# What is wrong


def faults(texts: Texts, bad: BadForm) -> str:
    """What cannot be read, line by line."""
    lines = [texts("campaign.faults")]
    lines += [_fault(texts, one) for one in bad.faults[:FAULTS]]
    if len(bad.faults) > FAULTS:
        lines.append(texts("campaign.faults_more", count=len(bad.faults) - FAULTS))
    lines.append(texts("campaign.faults_tail"))
    return "\n".join(lines)


def _fault(texts: Texts, one: Fault) -> str:
    if one.rule is not None:
        why = rule_words.fault(texts, one.rule, one.part)
    elif one.why in ("label", "not_of"):
        why = texts(f"campaign.fault_{one.why}", part=short(one.part), value=one.value)
    elif one.why == "group_many":
        why = texts("campaign.fault_group_many", part=short(one.part), value=one.value)
    elif one.part and one.why in _NAMING:
        why = texts(f"campaign.fault_{one.why}", part=short(one.part))
    else:
        why = texts(f"campaign.fault_{one.why}")
    if one.line == 1 and one.why in _NOWHERE:
        return why
    return texts("campaign.fault", line=one.line, why=why)


_NAMING = ("stray", "route", "field", "group", "not_in_groups")
"""Faults whose sentence names what was typed."""
_NOWHERE = ("no_title", "no_audience", "no_content", "no_change")
"""Faults of what is not there: in a campaign no line has them; in a journey a step has."""


def findings(
    texts: Texts,
    found: Sequence[Finding],
    campaign: Campaign,
    *,
    limit: int = FINDINGS,
    page: int = 0,
) -> list[str]:
    """What is not right, errors first; the same of several versions is said once.

    page: from 1, of all of them; 0: the first ones, and where the others stand. [] for nothing.
    """
    ranked = _by_say(sorted(found, key=lambda one: one.severity != "error"))
    first = max(0, page - 1) * limit
    shown = ranked[first : first + limit]
    lines = [
        _finding(texts, number, one, places, several=len(campaign.variants) > 1)
        for number, (one, places) in enumerate(shown, first + 1)
    ]
    more = len(ranked) - first - len(shown)
    if more > 0 and page:
        at = {"campaign": campaign.id, "page": page + 1}
        lines.append(texts("campaign.findings_next", count=more, **at))
    elif more > 0:
        lines.append(texts("campaign.findings_more", count=more, campaign=campaign.id))
    return lines


def _by_say(ranked: Sequence[Finding]) -> list[tuple[Finding, list[str]]]:
    """Findings that say the same, with the versions that have them; [] for what is of none."""
    merged: dict[tuple[str, str], tuple[Finding, list[str]]] = {}
    for one in ranked:
        _, places = merged.setdefault((one.rule, one.say), (one, []))
        section, _, name = one.where.partition(".")
        if section == "content" and name:
            places.append(name)
    return list(merged.values())


def _finding(
    texts: Texts, number: int, one: Finding, places: Sequence[str], *, several: bool
) -> str:
    say = one.say
    if several and places:
        say = texts("campaign.finding_of", names="、".join(places), say=say)
    mark = texts("campaign.error" if one.severity == "error" else "campaign.warning")
    line = texts("campaign.finding", number=number, mark=mark, say=say)
    return line + (texts("campaign.finding_rule", rule=one.wechat) if one.wechat else "")


# What it would do


def reasons(texts: Texts, counts: Mapping[str, int]) -> str:
    """ "已退订 12 人、频次已满 3 人", most first; "" for none."""
    merged: dict[str, int] = {}
    for reason, count in counts.items():
        name = reason.partition(":")[0]
        merged[name] = merged.get(name, 0) + count
    ranked = sorted(merged.items(), key=lambda pair: (-pair[1], pair[0]))
    return "、".join(
        texts("campaign.reason_count", reason=reason_name(texts, name), count=people(count))
        for name, count in ranked
        if count
    )


def reason_name(texts: Texts, reason: str) -> str:
    """A reason in Chinese; what WeChat said is Chinese already."""
    name = reason.partition(":")[0]
    if name in _REASONS:
        return texts(f"campaign.reason_{name}")
    return texts("campaign.reason_other") if reason.isascii() else reason


def note(texts: Texts, said: str, campaign: int) -> str:
    """Why this campaign stands still, in Chinese; what WeChat said is Chinese already."""
    if said in _NUMBERED:
        return texts(f"campaign.asks_{said}", campaign=campaign)
    if said in _NOTES:
        return texts(f"campaign.note_{said}")
    if said in _REASONS:
        return texts("campaign.stopped_by", reason=reason_name(texts, said))
    return said


def status(texts: Texts, campaign: Campaign) -> str:
    """Its status in Chinese."""
    return texts(f"campaign.status_{campaign.status}")


def routes(texts: Texts, counts: Mapping[str, int]) -> str:
    """ "客服消息 3,200 人、群发 800 人"."""
    return "、".join(
        texts("campaign.reason_count", reason=texts(f"campaign.route_{name}"), count=people(count))
        for name, count in counts.items()
        if count
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads a preview. role: "owner", "operator" or "analyst"; channel: where.

    said_yes: numbers of those who have confirmed what the draft is now. opens_at: when something
    may go out that is to go at once, Unix seconds; now, but in the quiet hours.
    """

    member: int
    role: str
    channel: str
    opens_at: float = 0.0
    said_yes: Sequence[str] = ()


def preview(texts: Texts, look: Look, now: datetime, reader: Reader) -> str:
    """A campaign before it goes, on one screen."""
    text = _preview(texts, look, now, reader, SHOWN_CHARS, FINDINGS)
    if len(text.encode()) <= _SCREEN_BYTES:
        return text
    return _preview(texts, look, now, reader, _SHORT_CHARS, _FEW_FINDINGS)


def _preview(texts: Texts, look: Look, now: datetime, reader: Reader, chars: int, most: int) -> str:
    one = look.campaign
    lines = [
        texts("campaign.head", campaign=one.id, title=one.title, status=status(texts, one)),
        groups_named(texts, look)
        if one.places
        else texts("campaign.look_who", audience=audience(texts, one.audience)),
        texts("campaign.look_when", when=_begins(texts, look, now, reader)),
    ]
    if reader.said_yes:
        lines.insert(1, texts("campaign.look_yes", who=_who(texts, reader.said_yes)))
    lines += _terms(texts, one, now, reader)
    lines += _said(texts, look, chars)
    lines += _forecast(texts, look, now)
    lines += findings(texts, look.findings, one, limit=most)
    if reader.role in ("operator", "owner") and one.editable:
        lines.append(_next(texts, look, reader))
    return "\n".join(lines)


def _begins(texts: Texts, look: Look, now: datetime, reader: Reader) -> str:
    one = look.campaign
    at_once = one.kind == "once" and one.timing == "at" and one.starts_at is None
    if at_once and reader.opens_at > now.timestamp():
        return texts("campaign.when_quiet", at=moment(texts, reader.opens_at, now))
    return when(texts, one, now)


def _who(texts: Texts, actors: Sequence[str]) -> str:
    """Those who have confirmed it, by their numbers; who came another way is one of them."""
    numbers = [one.removeprefix("member:") for one in actors if one.startswith("member:")]
    if len(numbers) == len(actors):
        return texts("campaign.members", numbers="、".join(numbers))
    return texts("campaign.somebody", count=len(actors))


def _terms(texts: Texts, one: Campaign, now: datetime, reader: Reader) -> Iterable[str]:
    """What else was set: all that a confirmation confirms."""
    if one.channel != reader.channel:
        yield texts("campaign.look_channel", channel=one.channel)
    if one.topic:
        yield texts("campaign.look_topic", topic=one.topic)
    if not one.marketing:
        yield texts("campaign.look_service")
    if one.not_after is not None:
        yield texts("campaign.look_not_after", at=moment(texts, one.not_after, now))
    goal = texts(f"campaign_report.metric_{one.metric}")
    yield texts("campaign.look_goal", metric=goal, span=span(texts, one.window_s))
    if one.test_share:
        share, wait = f"{one.test_share * 100:g}%", span(texts, one.test_s)
        yield texts("campaign.look_test", share=share, span=wait)


def audience(texts: Texts, rule: str) -> str:
    """The rule, or that it is everybody."""
    if rule.strip() in ("everyone", "所有人", "全部"):
        return texts("campaign.everyone")
    return _chosen(texts, rule.strip()) or rule


_CHOSEN = re.compile(r'active 30d|(tag|segment):"([^"]+)"')
_SEGMENTS: Mapping[str, str] = MappingProxyType(
    {"new": "new", "quiet": "quiet", "about to leave": "leaving"}
)


def _chosen(texts: Texts, rule: str) -> str:
    """A rule of the guided dialogue in its own words; "" for any other."""
    found = _CHOSEN.fullmatch(rule)
    if found is None:
        return ""
    kind, name = found.groups()
    if kind is None:
        return texts("campaign_new.who_active")
    if kind == "tag":
        return texts("campaign_new.chosen_tag", tag=name)
    if name in _SEGMENTS:
        return texts(f"campaign_new.segment_{_SEGMENTS[name]}")
    return texts("campaign_new.chosen_segment", name=name)


def _said(texts: Texts, look: Look, chars: int) -> Iterable[str]:
    weights = {one.name: one.weight for one in look.campaign.variants}
    total = sum(weights.values()) or 1
    most = chars // max(1, len(look.shown))
    for one in look.shown:
        text = one.text if len(one.text) <= most else one.text[: most - 1] + "…"
        kind = _kind(texts, one)
        if one.way:
            kind = way_shown(texts, kind, one.way)
        if len(look.shown) == 1:
            yield texts("campaign.look_text", kind=kind, text=text)
        else:
            share = f"{weights.get(one.variant, 0) / total:.0%}"
            yield texts(
                "campaign.look_variant", name=one.variant, kind=kind, share=share, text=text
            )


_KINDS = (
    "text",
    "image",
    "article",
    "miniprogram",
    "quiz",
    "coupon",
    "item",
    "poll",
    "notice",
    "markdown",
    "news",
)


def _kind(texts: Texts, one: Shown) -> str:
    return texts(f"campaign.kind_{one.kind}") if one.kind in _KINDS else one.kind


def _forecast(texts: Texts, look: Look, now: datetime) -> Iterable[str]:
    told, one = look.forecast, look.campaign
    if one.places:
        yield from group_forecast(texts, look, now)
        for problem in told.problems:
            yield problem_name(texts, problem)
        return
    yield texts(
        "campaign.look_people", matched=people(told.matched), recipients=people(told.recipients)
    )
    if one.holdout and not told.held:
        yield texts("campaign.look_held_none", share=f"{one.holdout * 100:g}%")
    elif one.holdout:
        share = f"{one.holdout * 100:g}%"
        yield texts("campaign.look_held", share=share, count=people(told.held), campaign=one.id)
    if any(told.skipped.values()):
        yield texts("campaign.look_skipped", reasons=reasons(texts, told.skipped))
    if told.recipients:
        if told.routes:
            yield texts("campaign.look_routes", routes=routes(texts, told.routes))
        quota = "、".join(
            texts("campaign.quota_nth", nth=nth, count=people(count))
            for nth, count in sorted(told.quota.items())
            if count
        )
        if quota:
            yield texts("campaign.look_quota", quota=quota)
        # To the minute, and never the one it begins in.
        done = (max(told.ends_at, told.at) // 60 + 1) * 60
        ends = moment(texts, done, now)
        yield texts("campaign.look_takes", span=span(texts, told.seconds), ends=ends)
    if told.sample:
        numbers = "、".join(str(number) for number in told.sample[:SAMPLE])
        yield texts("campaign.look_sample", numbers=numbers)
    for problem in told.problems:
        yield problem_name(texts, problem)


def problem_name(texts: Texts, problem: str) -> str:
    """Why it cannot be sent at all, in Chinese."""
    if problem in _PROBLEMS:
        return texts(f"campaign.problem_{problem}")
    return texts("campaign.problem_other", problem=problem)


def _next(texts: Texts, look: Look, reader: Reader) -> str:
    """What to type next."""
    number, told = look.campaign.id, look.forecast
    if look.campaign.status == "scheduled":
        return texts("campaign.next_scheduled", campaign=number)
    if told.problems or any(one.fixed for one in look.errors):
        return texts("campaign.next_edit", campaign=number)
    if look.errors and reader.role == "owner":
        return texts("campaign.next_override", campaign=number, code=look.code)
    if look.errors:
        return texts("campaign.next_owner", campaign=number)
    if f"member:{reader.member}" in reader.said_yes:
        return texts("campaign.next_waits", campaign=number)
    return texts("campaign.next_confirm", campaign=number, code=look.code)
