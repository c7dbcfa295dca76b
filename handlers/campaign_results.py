"""What became of a campaign and what it caused, in words that fit a phone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from handlers.campaign_group_words import report as group_report
from handlers.campaign_moments import moment, people
from handlers.campaign_words import note, reasons
from handlers.coupon_words import yuan
from handlers.polls import report as polled
from handlers.texts import Texts
from insights.experiments import Effect, Money, Verdict, difference
from store.campaign_report import Arm, Report

_NAMED = 5
"""Variants that have a line of their own."""


def told(texts: Texts, report: Report, verdict: Verdict, now: datetime, begins: str = "") -> str:
    """A report as text. verdict: of the report's own metric. begins: when, in words, while it
    waits for its time."""
    lines = [
        texts(
            "campaign_report.head",
            campaign=report.campaign_id,
            title=report.title,
            status=texts(f"campaign.status_{report.status}"),
        )
    ]
    if report.campaigns > 1:
        lines.append(texts("campaign_report.runs", count=report.campaigns))
    if report.groups:
        return "\n".join((*lines, *_in_groups(texts, report, now)))
    sent = report.sent
    if not sent.assigned and not any(report.left_out.values()):
        return "\n".join((*lines, _nothing(texts, report, begins)))
    lines += _deliveries(texts, report, sent)
    lines += _responses(texts, sent)
    lines += polled(texts, report.votes)
    lines += _arms(texts, report, verdict.metric)
    lines += _verdict(texts, report, verdict)
    if report.note:
        why = note(texts, report.note, report.campaign_id)
        lines.append(texts("campaign_report.note", note=why))
    if not report.final:
        lines.append(_not_final(texts, report, now))
    return "\n".join(lines)


def _in_groups(texts: Texts, report: Report, now: datetime) -> Iterable[str]:
    yield from group_report(texts, report, now)
    if report.note:
        why = note(texts, report.note, report.campaign_id)
        yield texts("campaign_report.note", note=why)


def _nothing(texts: Texts, report: Report, begins: str) -> str:
    """Why there is nothing to tell yet, and when there will be."""
    if report.status == "draft":
        return texts("campaign_report.nothing_draft", campaign=report.campaign_id)
    if begins:
        return texts("campaign_report.nothing_at", when=begins)
    return texts("campaign_report.nothing")


def _deliveries(texts: Texts, report: Report, sent: Arm) -> Iterable[str]:
    yield texts(
        "campaign_report.sent", assigned=people(sent.assigned), accepted=people(sent.accepted)
    )
    if sent.delivered:
        # Of customer-service messages WeChat never says that they arrived.
        yield texts("campaign_report.delivered", count=people(sent.delivered))
    if sent.open:
        yield texts("campaign_report.open", count=people(sent.open))
    if sent.unknown:
        yield texts(
            "campaign_report.unknown", count=people(sent.unknown), campaign=report.campaign_id
        )
    if any(sent.refused.values()):
        yield texts("campaign_report.refused", reasons=reasons(texts, sent.refused))
    skipped = {**report.left_out}
    for reason, count in sent.skipped.items():
        skipped[reason] = skipped.get(reason, 0) + count
    if any(skipped.values()):
        yield texts("campaign_report.skipped", reasons=reasons(texts, skipped))
    mass = report.mass
    if mass.told:
        yield texts(
            "campaign_report.mass",
            total=people(mass.total),
            filtered=people(mass.filtered),
            sent=people(mass.sent),
            errors=people(mass.errors),
        )


def _responses(texts: Texts, sent: Arm) -> Iterable[str]:
    yield texts(
        "campaign_report.responses",
        clicks=people(sent.clicks),
        claims=people(sent.claims),
        buyers=people(sent.buyers),
        replies=people(sent.replies),
    )
    if sent.orders or sent.revenue_cents or sent.discount_cents:
        yield texts(
            "campaign_report.money",
            orders=people(sent.orders),
            revenue=_yuan(sent.revenue_cents),
            discount=_yuan(sent.discount_cents),
        )
    if sent.optouts or sent.leaves:
        yield texts(
            "campaign_report.lost", optouts=people(sent.optouts), leaves=people(sent.leaves)
        )


def _arms(texts: Texts, report: Report, metric: str) -> Iterable[str]:
    """Each arm with its share, where there is something to compare."""
    arms = [arm for arm in report.arms if arm.assigned]
    if len(arms) < 2:
        return
    what = texts(f"campaign_report.metric_{metric}")
    for arm in arms[: _NAMED + 1]:
        if arm.held and metric == "click":
            continue
        if arm.rest and not arm.variant:
            # They get nothing before the test has its winner.
            yield texts("campaign_report.waiting", members=people(arm.assigned))
            continue
        if arm.held:
            name = texts("campaign_report.held")
        elif arm.rest:
            name = texts("campaign_report.rest", name=arm.variant)
        else:
            name = texts("campaign_report.variant", name=arm.variant)
        hits = arm.hits(metric)
        yield texts(
            "campaign_report.arm",
            name=name,
            members=people(arm.assigned),
            metric=what,
            hits=people(hits),
            share=f"{hits / arm.assigned:.1%}",
        )
    if report.winner:
        yield texts("campaign_report.winner", name=report.winner)


def _verdict(texts: Texts, report: Report, verdict: Verdict) -> Iterable[str]:
    """What it caused, or why that cannot be said yet."""
    if not verdict.srm_ok:
        yield texts("campaign_report.srm")
    if verdict.why:
        yield texts(f"campaign_report.why_{verdict.why}")
        return
    what = texts(f"campaign_report.metric_{verdict.metric}")
    effects: tuple[Effect, ...] = verdict.effects
    if verdict.total is not None:
        effects = (verdict.total, *_between(report, verdict.metric))
    for effect in effects[:_NAMED]:
        if not math.isnan(effect.diff):
            yield _effect(texts, effect, what)
    # While answers come in, and where nobody did it, nobody can say how many it takes.
    if not verdict.enough and report.final:
        if verdict.needed and any(effect.hits or effect.base_hits for effect in effects):
            yield texts("campaign_report.needed", count=people(verdict.needed))
        else:
            yield texts("campaign_report.not_enough")
    if verdict.money is not None:
        yield _money(texts, verdict.money)


def _between(report: Report, metric: str) -> Iterable[Effect]:
    """Each version beside the first: they were drawn by lot as the hold-out was. Who got a
    test's winner afterwards was not."""
    drawn = [arm for arm in report.arms if arm.variant and not arm.held and not arm.rest]
    for arm in drawn[1:]:
        first = drawn[0]
        yield difference(
            arm.hits(metric),
            arm.assigned,
            first.hits(metric),
            first.assigned,
            variant=arm.variant,
            against=first.variant,
        )


def _effect(texts: Texts, effect: Effect, metric: str) -> str:
    """ "购买：比对照组高 1.2 个百分点（95% 区间 0.3 到 2.1），多出 24%"."""
    who = (
        texts("campaign_report.versus", name=effect.variant, other=effect.against)
        if effect.against
        else texts("campaign_report.versus_held")
    )
    if round(abs(effect.diff) * 100, 1) == 0.0 and not effect.certain:
        return texts(
            "campaign_report.no_effect",
            metric=metric,
            who=who,
            low=f"{effect.low * 100:+.1f}",
            high=f"{effect.high * 100:+.1f}",
        )
    key = "high" if effect.diff > 0 else "low"
    # The interval in the sentence's own direction: 低 1.2 goes from less to more lower.
    low, high = (-effect.high, -effect.low) if key == "low" else (effect.low, effect.high)
    said = texts(
        f"campaign_report.effect_{key}",
        metric=metric,
        who=who,
        points=f"{abs(effect.diff) * 100:.1f}",
        low=f"{low * 100:.1f}",
        high=f"{high * 100:.1f}",
    )
    if math.isfinite(effect.uplift) and effect.diff:
        said += texts(
            "campaign_report.uplift",
            uplift=f"{effect.uplift:+.0%}",
            low=_percent(effect.uplift_low),
            high=_percent(effect.uplift_high),
        )
    sure = "certain" if effect.certain else "uncertain"
    return said + texts(f"campaign_report.effect_{sure}")


def _percent(share: float) -> str:
    return f"{share:+.0%}" if math.isfinite(share) else "∞"


def _money(texts: Texts, money: Money) -> str:
    return texts(
        "campaign_report.revenue",
        total=_yuan(money.total),
        low=_yuan(money.total_low),
        high=_yuan(money.total_high),
    )


def _yuan(cents: float) -> str:
    whole = round(cents)
    return f"-{yuan(-whole)}" if whole < 0 else yuan(whole)


def _not_final(texts: Texts, report: Report, now: datetime) -> str:
    if report.closes_at is None or report.closes_at <= report.at:
        return texts("campaign_report.not_final")
    return texts("campaign_report.closes", at=moment(texts, report.closes_at, now))
