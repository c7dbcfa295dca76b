"""Campaigns at the terminal, in words: English around what operators wrote in Chinese."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from handlers.campaign_text import BadForm, Fault
from handlers.campaigning import Answer, Finding, Forecast, Look, Said
from handlers.context import SHANGHAI
from insights.experiments import Effect, Verdict
from store.campaign_report import Report, table
from store.campaigns import Campaign

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "label": "there is no label “{part}”; did you mean {value}?",
        "stray": "“{part}” belongs to nothing: write 时间：今晚8点, and the text last",
        "route": "there is no route “{part}”",
        "field": "“{part}” must look like 字段：thing1=…, behind 通知：TEMPLATE",
        "empty": "nothing stands behind the label",
        "twice": "this label stands there twice",
        "time_unknown": "“{part}” is no time: 今晚8点, 明天 9:00, 12-01 20:00, 每周一 9:00, 现在",
        "time_past": "“{part}” is over",
        "time_clock": "“{part}” has no hour",
        "time_hour": "the hour of “{part}” is none, or may mean two: write 20:30",
        "time_day": "“{part}” is no day of the calendar",
        "time_weekend": "“{part}” may be either day: 周六 9:00, 周日 9:00 or 每周末 9:00",
        "time_never": "“{part}” never comes: there is no such day",
        "time_often": "“{part}” is too often: at most 48 times a day",
        "time_cron": "“{part}” is no cron expression: minute hour day month weekday",
        "share": "“{part}” is no share: write 5%, or 无",
        "metric": "“{part}” is no metric: 点击, 领取, 购买 or 回复, and how long: 购买 7天",
        "test": "“{part}” is no test: write how many and how long, 10% 2小时, or 无",
        "marketing": "write 营销 or 通知, not “{part}”",
        "group": "there is no group “{part}”",
        "group_many": "several groups are called “{part}”; write the number: {value}",
        "not_in_groups": "a campaign into groups has no “{part}”; to members again: 群：无",
        "two_kinds": "one version says one kind of thing; {value} is there already",
        "not_of": "“{part}” does not go with {value}",
        "quiz": "“{part}” is no quiz's number",
        "says_nothing": "there is nothing to send",
        "which_version": "say of which version: put a line 版本 A above it",
        "version": "version {part}: {value}",
        "no_title": "the first line is the title",
        "no_audience": "say to whom: 对象：tag:python; everybody is 对象：所有人",
        "no_content": "say what to send: 文字：今晚八点直播",
        "no_change": "nothing is changed here",
        "field_title": "a title has 1 to 64 characters on one line",
        "field_channel": "name an account of the configuration: 账号：mp",
        "field_audience": "this cannot be an audience",
        "field_routes": "these routes cannot be",
        "field_topic": "a topic has at most 64 characters on one line",
        "field_places": "at most 2000 groups, each once",
        "field_when": "this time does not fit this campaign",
        "field_not_after": "the deadline comes after the start; one that repeats has none",
        "field_holdout": "at most 50% are held out",
        "field_test": "a test needs two versions, at most 50%, and a minute at least",
        "field_metric": "the window is 1 minute to 90 days",
    }
)
"""What is wrong with a form, by the code of the fault."""

_SAID: Mapping[Said, str] = MappingProxyType(
    {
        Said.NO_CAMPAIGN: "there is no campaign of this number: zhiqun campaign list",
        Said.WRONG_CODE: "this code is not of the campaign as it is now: preview it again",
        Said.FORBIDDEN: "that is not allowed",
        Said.OWNER_ONLY: "that needs an owner",
        Said.FINDINGS: "something forbids it",
        Said.NOBODY: "it would reach nobody",
        Said.IMPOSSIBLE: "it cannot go out like this",
        Said.NOTHING: "there is nothing to take back",
    }
)
_PROBLEMS: Mapping[str, str] = MappingProxyType(
    {
        "nobody": "it would reach nobody",
        "api_quota": "it needs more calls than WeChat's daily quota has left",
        "day_quota": "it needs more mass sends than the account has left today",
        "no_channel": "the configuration has no such channel",
        "to_all": "a send to all cannot leave anybody out, and somebody is to be",
        "no_group": "it can be posted into none of its groups",
    }
)


def form_faults(bad: BadForm) -> list[str]:
    """What is wrong with a form, a line each."""
    return [f"line {one.line}: {_fault(one)}" for one in bad.faults]


def _fault(one: Fault) -> str:
    if one.rule is not None:
        return f"column {one.rule.at} of the rule: {one.rule}"
    return FAULTS[one.why].format(part=one.part, value=one.value)


def moment(at: float) -> str:
    """A time in Shanghai, to the minute."""
    return datetime.fromtimestamp(at, SHANGHAI).strftime("%Y-%m-%d %H:%M")


def begins(one: Campaign) -> str:
    """When it goes out."""
    if one.kind == "step":
        return "as a step of a journey"
    if one.kind == "cron":
        following = "" if one.starts_at is None else f", next {moment(one.starts_at)}"
        return f"cron {one.cron}{following}"
    at = "when it is confirmed" if one.starts_at is None else moment(one.starts_at)
    return f"each member's best hour, from: {at}" if one.timing == "best" else at


def line(one: Campaign) -> str:
    """A campaign on one line of a list."""
    people = f"  {one.planned} recipients" if one.planned else ""
    if one.places:
        people = f"  {len(one.places)} groups"
    return f"{one.id:>5}  {one.status:<9}  {begins(one)}{people}  {one.title}"


def counts(found: Mapping[str, int]) -> str:
    """ "custom 3, mass_list 12"; "" for none."""
    return ", ".join(f"{name or '(open)'} {count}" for name, count in found.items() if count)


def findings(found: Sequence[Finding]) -> list[str]:
    """What is not right, a line each, as the rule says it."""
    return [
        f"{one.severity:<7}  {one.where}: {one.rule}: {one.say}"
        f"{f' ({one.wechat})' if one.wechat else ''}{' [fixed]' if one.fixed else ''}"
        for one in found
    ]


def groups(told: Forecast) -> Iterator[str]:
    """Which groups it gets into, which way and when; which it does not, and why."""
    members = f"{told.recipients} known members"
    yield f"goes into {len(told.going)} of {len(told.groups)} groups, {members}"
    for one in told.groups:
        name = f"#{one.number} {one.title}" if one.number else one.place
        if one.why:
            yield f"  {name}: not: {one.why}"
        elif not one.variant:
            yield f"  {name}: held out"
        else:
            at = "" if one.due_at is None else f", {moment(one.due_at)}"
            yield f"  {name}: {one.way} {one.channel}, version {one.variant}{at}"
    if told.employees:
        yield f"{told.employees} employees have to confirm"


def forecast(told: Forecast) -> Iterator[str]:
    """Whom it reaches, how, and how long that takes."""
    if told.groups:
        yield from groups(told)
        yield f"begins {moment(told.at)}, the last leaves {moment(max(told.ends_at, told.at))}"
        for problem in told.problems:
            yield f"impossible: {_PROBLEMS.get(problem, problem)}"
        return
    yield f"matches {told.matched}, reaches {told.recipients}, holds out {told.held}"
    for name, found in (
        ("left out", told.skipped),
        ("routes", told.routes),
        ("variants", told.variants if len(told.variants) > 1 else {}),
        ("calls", told.calls),
    ):
        if said := counts(found):
            yield f"{name}: {said}"
    if told.recipients:
        ends = moment(max(told.ends_at, told.at))
        yield f"begins {moment(told.at)}, takes about {told.seconds:.0f} s, ends {ends}"
    for had, members in told.quota.items():
        yield f"mass sends this month, with this one: {had} for {members} members"
    if told.sample:
        yield f"sample: {', '.join(map(str, told.sample))}"
    for problem in told.problems:
        yield f"impossible: {_PROBLEMS.get(problem, problem)}"


def preview(look: Look) -> Iterator[str]:
    """All about a campaign before it goes."""
    one = look.campaign
    yield f"campaign {one.id}, {one.status}: {one.title}"
    yield f"groups: {len(one.places)}" if one.places else f"audience: {one.audience}"
    yield f"begins: {begins(one)}"
    for shown in look.shown:
        way = f", {shown.way}" if shown.way else ""
        yield f"{shown.variant} ({shown.kind}{way}): {shown.text}"
    yield from forecast(look.forecast)
    yield from findings(look.findings)
    stuck = look.forecast.problems or any(found.fixed for found in look.errors)
    if one.status == "draft" and one.kind != "step" and not stuck:
        override = " --override" if look.errors else ""
        yield f"to confirm: zhiqun campaign confirm {one.id} {look.code}{override}"


def refusal(answer: Answer) -> str:
    """Why a verb did nothing, with what is behind it."""
    if answer.said is Said.WRONG_STATUS:
        status = answer.campaign.status if answer.campaign is not None else "gone"
        return f"its status does not allow that: {status}"
    lines = [_SAID[answer.said]]
    if answer.look is not None and answer.said is not Said.WRONG_CODE:
        lines += findings(answer.look.errors)
        lines += [_PROBLEMS.get(one, one) for one in answer.look.forecast.problems]
        if answer.look.forecast.problems:
            lines += forecast(answer.look.forecast)
    return "\n  ".join(lines)


# What became of it


def report(told: Report, verdict: Verdict) -> Iterator[str]:
    """A report as a table and sentences."""
    runs = f", {told.campaigns} runs together" if told.campaigns > 1 else ""
    yield f"campaign {told.campaign_id}, {told.status}: {told.title}{runs}"
    if told.note:
        yield f"note: {told.note}"
    if told.groups:
        yield from _in_groups(told)
        return
    if not told.arms:
        yield "nothing has gone out yet"
        return
    yield from _table(told)
    if told.mass.told:
        mass = told.mass
        yield (
            f"WeChat's counts of {mass.told} of {mass.parts} mass sends: total {mass.total}, "
            f"filtered {mass.filtered}, sent {mass.sent}, errors {mass.errors}"
        )
    if told.winner:
        yield f"winner of the test: {told.winner}"
    yield from _verdict(verdict)
    if not told.final:
        until = (
            "" if told.closes_at is None else f"; the last window closes {moment(told.closes_at)}"
        )
        yield f"not final{until}"


def _in_groups(told: Report) -> Iterator[str]:
    """A line for each group, then the clicks of each version."""
    for one in told.groups:
        name = f"#{one.number} {one.title}" if one.number else one.place
        more = [f"version {one.variant}"] if one.variant else []
        more += [f"clicks {one.clicks}"] if one.clicks is not None else []
        more += [f"employee {one.employee}"] if one.employee else []
        more += [one.why] if one.why else []
        yield f"{name}: {one.status}{''.join(f', {part}' for part in more)}"
    for variant, count in sorted(told.clicks.items()):
        yield f"clicks of version {variant}: {count}"


def _table(told: Report) -> Iterable[str]:
    """Figures down, arms across: a terminal is narrow, and there are few arms."""
    head, *rows = table(told)
    shown = [[str(cell) for cell in column] for column in zip(head, *rows, strict=True)]
    shown = [cells for cells in shown[1:] if set(cells[1:]) != {"0"}]
    widths = [max(len(cells[at]) for cells in shown) for at in range(len(shown[0]))]
    for cells in shown:
        first, *others = cells
        numbers = "  ".join(
            cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        )
        yield f"{first.ljust(widths[0])}  {numbers}"


_WHY: Mapping[str, str] = MappingProxyType(
    {
        "empty": "nobody was assigned yet",
        "one_variant": "clicks are compared between variants, and there is one",
        "no_holdout": "nobody was held out to compare with",
    }
)


def _verdict(verdict: Verdict) -> Iterator[str]:
    if not verdict.srm_ok:
        yield f"do not trust the comparison: the arms' sizes are off (p {verdict.srm_p:.2g})"
    if verdict.why:
        yield f"no comparison: {_WHY[verdict.why]}"
        return
    for effect in (*(() if verdict.total is None else (verdict.total,)), *verdict.effects):
        if not math.isnan(effect.diff):
            yield _effect(effect, verdict.metric)
    if verdict.money is not None:
        money = verdict.money
        total, low, high = (
            f"{cents / 100:.2f}" for cents in (money.total, money.total_low, money.total_high)
        )
        yield f"revenue caused: {total} yuan (95 %: {low} to {high})"
    if not verdict.enough:
        more = f", about {verdict.needed} more members needed" if verdict.needed else ""
        yield f"not enough data yet{more}"


def _effect(effect: Effect, metric: str) -> str:
    name, other = effect.variant or "sent", effect.against or "hold-out"
    said = (
        f"{metric}: {name} {effect.share:.2%}, {other} {effect.base:.2%}, "
        f"difference {effect.diff * 100:+.2f} points "
        f"(95 %: {effect.low * 100:+.2f} to {effect.high * 100:+.2f})"
    )
    if math.isfinite(effect.uplift):
        said += f", uplift {effect.uplift:+.0%}"
    return said
