"""Campaigns in words: the preview, what is wrong with it, when it goes, how it is doing.

A preview fits a phone: what is long is cut, what is many is counted. Members are numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from handlers import rule_words
from handlers.campaign_text import BadForm, Fault
from handlers.campaign_when import days_of
from handlers.campaigning import Finding, Forecast, Look, Shown
from handlers.changes import short
from handlers.context import SHANGHAI
from handlers.coupon_words import day_of
from handlers.texts import Texts
from store.campaigns import Campaign, NewCampaign

SHOWN_CHARS = 300
"""Characters of what a campaign says, in its preview; all variants together."""
FINDINGS = 5
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
)
_PROBLEMS = ("nobody", "api_quota", "day_quota", "no_channel", "to_all")
_NOTES = ("late", "grown", "errors", "busy", "day_quota", "unknown", "audience", "nobody", "undone")


def people(count: int) -> str:
    """A number that may be large: "12,345"."""
    return f"{count:,}"


# Times


def moment(texts: Texts, at: float, now: datetime) -> str:
    """ "今天 20:00", "明天 09:00", "12月1日 20:00". at: Unix seconds; now: aware, Shanghai."""
    when = datetime.fromtimestamp(at, SHANGHAI)
    clock = f"{when:%H:%M}"
    ahead = (when.date() - now.date()).days
    if ahead == 0:
        return texts("campaign.today", clock=clock)
    if ahead == 1:
        return texts("campaign.tomorrow", clock=clock)
    return day_of(at, now.timestamp())


def span(texts: Texts, seconds: float) -> str:
    """How long something takes, to the minute; at least one."""
    minutes = max(1, round(seconds / 60))
    if minutes < 120:
        return texts("campaign.minutes", count=minutes)
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return texts("campaign.days", count=f"{hours / 24:.3g}")
    if rest:
        return texts("campaign.hours_minutes", hours=hours, minutes=rest)
    return texts("campaign.hours", count=hours)


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
    elif one.part and one.why in _NAMING:
        why = texts(f"campaign.fault_{one.why}", part=short(one.part))
    else:
        why = texts(f"campaign.fault_{one.why}")
    return texts("campaign.fault", line=one.line, why=why)


_NAMING = ("stray", "route", "field")
"""Faults whose sentence names what was typed."""


def findings(texts: Texts, found: Sequence[Finding], limit: int = FINDINGS) -> list[str]:
    """What is not right, errors first; what is more than `limit` is counted. [] for nothing."""
    ranked = sorted(found, key=lambda one: one.severity != "error")
    lines = []
    for number, one in enumerate(ranked[:limit], 1):
        mark = texts("campaign.error" if one.severity == "error" else "campaign.warning")
        line = texts("campaign.finding", number=number, mark=mark, say=one.say)
        if one.wechat:
            line += texts("campaign.finding_rule", rule=one.wechat)
        lines.append(line)
    if len(ranked) > limit:
        lines.append(texts("campaign.findings_more", count=len(ranked) - limit))
    return lines


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
    """A reason in Chinese; one we have no word for as it is."""
    name = reason.partition(":")[0]
    return texts(f"campaign.reason_{name}") if name in _REASONS else reason


def note(texts: Texts, said: str) -> str:
    """Why it stands still, in Chinese; what WeChat said is Chinese already."""
    return texts(f"campaign.note_{said}") if said in _NOTES else said


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


def preview(texts: Texts, look: Look, now: datetime, *, may_confirm: bool) -> str:
    """A campaign before it goes, on one screen. may_confirm: the reader is an operator."""
    one = look.campaign
    lines = [
        texts("campaign.head", campaign=one.id, title=one.title, status=status(texts, one)),
        texts("campaign.look_who", audience=audience(texts, one.audience)),
        texts("campaign.look_when", when=when(texts, one, now)),
    ]
    if one.topic:
        lines.append(texts("campaign.look_topic", topic=one.topic))
    lines += _said(texts, look)
    lines += _forecast(texts, look.forecast, now)
    lines += findings(texts, look.findings)
    if may_confirm and one.editable:
        lines.append(_next(texts, look))
    return "\n".join(lines)


def audience(texts: Texts, rule: str) -> str:
    """The rule, or that it is everybody."""
    if rule.strip() in ("everyone", "所有人", "全部"):
        return texts("campaign.everyone")
    return rule


def _said(texts: Texts, look: Look) -> Iterable[str]:
    weights = {one.name: one.weight for one in look.campaign.variants}
    total = sum(weights.values()) or 1
    most = SHOWN_CHARS // max(1, len(look.shown))
    for one in look.shown:
        text = one.text if len(one.text) <= most else one.text[: most - 1] + "…"
        kind = _kind(texts, one)
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
)


def _kind(texts: Texts, one: Shown) -> str:
    return texts(f"campaign.kind_{one.kind}") if one.kind in _KINDS else one.kind


def _forecast(texts: Texts, told: Forecast, now: datetime) -> Iterable[str]:
    yield texts(
        "campaign.look_people", matched=people(told.matched), recipients=people(told.recipients)
    )
    if told.held:
        yield texts("campaign.look_held", count=people(told.held))
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
        ends = moment(texts, max(told.ends_at, told.at), now)
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


def _next(texts: Texts, look: Look) -> str:
    """What to type next."""
    number = look.campaign.id
    if look.forecast.problems or look.errors:
        return texts("campaign.next_edit", campaign=number)
    if look.campaign.status == "scheduled":
        return texts("campaign.next_scheduled", campaign=number)
    return texts("campaign.next_confirm", campaign=number, code=look.code)
