"""What became of a campaign and what its members did afterwards, in numbers.

Members are counted in the arm they were assigned to, whether or not a message arrived
(intention to treat): only then can the arms be compared with each other and with the hold-out,
who got nothing. The numbers are read by `store/campaign_outcomes.py`; the statistics are not
ours (`insights/experiments.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from store.polls import Votes

METRICS = ("click", "claim", "purchase", "reply")
"""What a campaign may be judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm: the members that were assigned the same.

    variant: "" for the hold-out (held). rest: who got the winner of an early test after it was
    decided; they are no part of the test. weight: the variant's share among the variants.
    assigned: how many, and everything below is of them. open: still to go (planned, waiting,
    sending); accepted: WeChat took it, those delivered included; refused, skipped: by reason.
    Within their windows: clicks, claims, buyers, replies, optouts, leaves are members, each
    once; revenue_cents is less refunds, revenue_squares the sum of its squares by member;
    discount_cents: what this campaign's own coupons took off.
    """

    variant: str = ""
    held: bool = False
    rest: bool = False
    weight: int = 0
    assigned: int = 0
    open: int = 0
    accepted: int = 0
    delivered: int = 0
    unknown: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    clicks: int = 0
    claims: int = 0
    buyers: int = 0
    orders: int = 0
    revenue_cents: int = 0
    revenue_squares: float = 0.0
    replies: int = 0
    optouts: int = 0
    leaves: int = 0
    discount_cents: int = 0

    def hits(self, metric: str) -> int:
        """How many members did what the metric asks for. Errors: KeyError for none of METRICS."""
        return {
            "click": self.clicks,
            "claim": self.claims,
            "purchase": self.buyers,
            "reply": self.replies,
        }[metric]


@dataclass(frozen=True, slots=True)
class MassCounts:
    """WeChat's own words on the mass sends. filtered: receivers that its filters took out.

    told: parts whose counts have come; the others are not in the numbers.
    """

    parts: int = 0
    told: int = 0
    total: int = 0
    filtered: int = 0
    sent: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOutcome:
    """What became of a campaign in one group.

    campaign: which run of one that repeats. number, title: the group's, 0 and "" when nobody knows
    it. channel: by which it was posted, or asked for. status: "planned", "sending", "waiting" (for
    an employee), "sent", "refused", "unknown", "dropped" (with its campaign) or "held" (out).
    why: a short key or what the other side said. at: when it was sent. clicks, people: on the
    links that were posted there; None where all groups have the same links. employee: who has to
    confirm it, "" where nobody has to.
    """

    campaign: int
    place: str
    number: int = 0
    title: str = ""
    channel: str = ""
    variant: str = ""
    status: str = ""
    why: str = ""
    errcode: int | None = None
    at: float | None = None
    clicks: int | None = None
    people: int | None = None
    employee: str = ""


GROUP_COLUMNS = tuple(one.name for one in fields(GroupOutcome))
_STILL_OPEN = frozenset(("planned", "sending", "waiting"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A campaign in numbers, as of `at`, Unix seconds; campaigns: how many are summed in it.

    arms: the variants by name, then who got a winner later, the hold-out last; empty before
    the list is frozen. left_out: on the list but in no arm, by reason: they could not have got
    it. closes_at: when the last window ends; None while nothing has gone out, and too early
    while something is still to go. votes: of its polls. groups: of a campaign into groups, and
    clicks: those of each variant there; then there are no arms.
    """

    campaign_id: int
    kind: str
    title: str
    channel: str
    status: str
    metric: str
    window_s: float
    holdout: float
    test_share: float
    winner: str
    note: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    at: float
    closes_at: float | None = None
    arms: tuple[Arm, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    mass: MassCounts = field(default_factory=MassCounts)
    campaigns: int = 1
    votes: tuple[Votes, ...] = ()
    groups: tuple[GroupOutcome, ...] = ()
    clicks: Mapping[str, int] = field(default_factory=dict)

    @property
    def sent(self) -> Arm:
        """All arms but the hold-out, together; its variant is "" and its weight theirs."""
        return joined(arm for arm in self.arms if not arm.held)

    @property
    def held(self) -> Arm | None:
        """The hold-out; None when there is none."""
        return next((arm for arm in self.arms if arm.held), None)

    @property
    def final(self) -> bool:
        """Whether nothing in it can change but by refunds."""
        return (
            self.status in ("done", "cancelled")
            and not self.sent.open
            and not any(one.status in _STILL_OPEN for one in self.groups)
            and (self.closes_at is None or self.closes_at <= self.at)
        )


_SUMS = tuple(
    one.name for one in fields(Arm) if one.type in ("int", "float") and one.name != "weight"
)


def joined(arms: Iterable[Arm]) -> Arm:
    """Arms as one, without a name; an empty one of none."""
    arms = list(arms)
    return Arm(
        weight=sum(arm.weight for arm in arms if not arm.rest),
        refused=_together(arm.refused for arm in arms),
        skipped=_together(arm.skipped for arm in arms),
        **{name: sum(getattr(arm, name) for arm in arms) for name in _SUMS},
    )


def _together(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def of_many(whole: Report, reports: Sequence[Report]) -> Report:
    """Several campaigns as one: the runs of one that repeats, or the steps of a journey.

    whole: says what it is called. Arms of the same variant are one; somebody who is in several
    campaigns counts in each. No reports: `whole` as it is.
    """
    if not reports:
        return whole
    arms: dict[tuple[bool, bool, str], list[Arm]] = {}
    for report in reports:
        for arm in report.arms:
            arms.setdefault((arm.held, arm.rest, arm.variant), []).append(arm)
    closes = [report.closes_at for report in reports if report.closes_at is not None]
    begun = [report.started_at for report in reports if report.started_at is not None]
    return replace(
        whole,
        started_at=min(begun, default=None),
        closes_at=max(closes, default=None),
        arms=tuple(
            replace(joined(same), variant=name, held=held, rest=rest, weight=same[-1].weight)
            for (held, rest, name), same in sorted(arms.items())
        ),
        left_out=_together(report.left_out for report in reports),
        mass=MassCounts(
            **{
                one.name: sum(getattr(report.mass, one.name) for report in reports)
                for one in fields(MassCounts)
            }
        ),
        campaigns=len(reports),
        groups=tuple(one for report in reports for one in report.groups),
        clicks=_together(report.clicks for report in reports),
    )


FIGURES = (
    "assigned",
    "open",
    "accepted",
    "delivered",
    "unknown",
    "refused",
    "skipped",
    "clicks",
    "claims",
    "buyers",
    "orders",
    "revenue_cents",
    "replies",
    "optouts",
    "leaves",
    "discount_cents",
)


def group_table(report: Report) -> list[tuple[str | int | float | None, ...]]:
    """A report on groups as the rows of a table, one for each group, the names first."""
    rows = [tuple(getattr(one, name) for name in GROUP_COLUMNS) for one in report.groups]
    return [GROUP_COLUMNS, *rows]


def table(report: Report) -> list[tuple[str | int, ...]]:
    """A report as the rows of a table, the names of the columns first.

    A row for each arm ("A", "A (rest)", "hold-out"), then all that were not held out ("sent")
    and who is in no arm ("left out"). Reasons are columns of their own, "refused:muted".
    """
    arms = [(_name(arm), arm) for arm in report.arms] + [("sent", report.sent)]
    refused = sorted({reason for _, arm in arms for reason in arm.refused})
    skipped = sorted({r for _, arm in arms for r in arm.skipped} | set(report.left_out))
    head = ("campaign", "arm", *FIGURES)
    rows: list[tuple[str | int, ...]] = [
        (*head, *(f"refused:{r}" for r in refused), *(f"skipped:{r}" for r in skipped))
    ]
    rows += [
        (
            report.campaign_id,
            name,
            *(_figure(arm, figure) for figure in FIGURES),
            *(arm.refused.get(reason, 0) for reason in refused),
            *(arm.skipped.get(reason, 0) for reason in skipped),
        )
        for name, arm in arms
    ]
    out = Arm(skipped=report.left_out)
    rows.append(
        (
            report.campaign_id,
            "left out",
            *(_figure(out, figure) for figure in FIGURES),
            *(0 for _ in refused),
            *(report.left_out.get(reason, 0) for reason in skipped),
        )
    )
    return rows


def _name(arm: Arm) -> str:
    if arm.held:
        return "hold-out"
    return f"{arm.variant} (rest)".strip() if arm.rest else arm.variant


def _figure(arm: Arm, figure: str) -> int:
    value = getattr(arm, figure)
    return sum(value.values()) if isinstance(value, Mapping) else int(value)
