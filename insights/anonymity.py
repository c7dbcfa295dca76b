"""What may be shown of few people: nothing, to anybody but the owner."""

from __future__ import annotations

from dataclasses import replace

from insights.report import Figure, Report


def masked(report: Report, least: int, owner: bool) -> Report:
    """The report without figures of fewer than `least` members; owners see all."""
    if owner:
        return report
    return replace(report, figures=tuple(_masked(one, least) for one in report.figures))


def _masked(one: Figure, least: int) -> Figure:
    if one.people is None or one.people >= least:
        return one
    return replace(one, value=None, low=None, high=None, numerator=None, denominator=None)
