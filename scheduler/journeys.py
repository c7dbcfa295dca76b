"""Journeys by the clock: who begins one, what follows for them, and who is stopped.

A tick only plans: deliveries with a time, which the runner of the campaigns sends. Everything it
writes has a key of its own, so a tick that was killed is simply done again, and two at once do
no harm. Work goes in slices, so that no chat message waits long behind one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b

from scheduler import pace
from scheduler.planner import bucket, variant_at
from scheduler.rules import CampaignRules
from store import Store, activity, audience, journey_triggers, travellers
from store.campaigns import Campaign
from store.dialect import Connection
from store.journeys import LATE_S, Journey, overdue
from store.rules import RuleError
from store.travellers import Begun, Planned, Traveller

SLICE = 500
"""Members of one transaction."""

LOOKED_AT = 2000
"""Planned deliveries whose members' stop rules are looked at in one go."""

EVERY_S = 60.0
"""How often is looked for what can wait a moment: with a million members it takes a while. Who
follows is greeted at the next tick."""

OVERLAP_S = 3600.0
"""A message is written a little after its own time, an event a little after it happened: what
begins a journey is looked for again so long."""
_OVERLAPS = {"abandoned": LATE_S}
"""A shop may tell its events once a day."""

PREPARE_S = 3600.0
"""Steps with a date are planned so long before: a large audience takes a while."""

SINGLE = ("custom", "notice", "template")
"""Routes of a message to one member."""

_HOUR_S = 3600.0

Matches = Callable[[Connection, int], bool]


async def tick(
    store: Store,
    now: float,
    rules: CampaignRules,
    *,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
) -> str:
    """All that is due; "" when nothing was. Run again, it does nothing twice.

    levels, tiers: what rules for audiences mean by them, see `store.audience`.
    """
    did = []
    for journey in await store.journeys.running():
        steps = [one for one in await store.journeys.steps(journey.id) if one.status == "running"]
        thorough = now // EVERY_S != journey.seen_to // EVERY_S
        began = planned = stopped = 0
        try:
            if thorough or journey.trigger == "follow":
                began = await _begin(store, journey, steps, now, levels, tiers)
        except RuleError as wrong:
            # A segment that was removed since: the journey stands still, the others go on.
            if thorough:
                did.append(f"journey {journey.id}: its audience cannot be read: {wrong}")
            continue
        for step in await store.db.read(partial(_unfinished, steps=steps)):
            planned += await _plan(store, journey, step, now, rules)
        if thorough:
            await store.db.write(partial(travellers.seen, journey_id=journey.id, to=now))
            stopped = await _stop(store, journey, steps, now)
        if began or planned or stopped:
            did.append(
                f"journey {journey.id}: {began} began, {planned} deliveries planned, "
                f"{stopped} stopped"
            )
    return "; ".join(did)


# Beginning


async def _begin(
    store: Store,
    journey: Journey,
    steps: Sequence[Campaign],
    now: float,
    levels: Sequence[int],
    tiers: Sequence[str],
) -> int:
    if journey.trigger == "date":
        return await _everybody(store, journey, steps, now, levels, tiers)

    def matches(conn: Connection, member_id: int) -> bool:
        rule = journey.audience
        return audience.matches(conn, rule, member_id, now, levels=levels, tiers=tiers)

    since, until = _between(journey, steps, now)
    after = (0.0, 0)
    count = 0
    while True:
        page, begun = await store.db.read(
            partial(
                _found,
                journey=journey,
                since=since,
                until=until,
                now=now,
                after=after,
                matches=matches,
            )
        )
        if begun:
            count += await store.db.write(
                partial(travellers.enrol, journey=journey, begun=begun, now=now)
            )
        if len(page) < SLICE:
            break
        after = (page[-1].started_at, page[-1].member_id)
    return count


def _found(
    conn: Connection,
    journey: Journey,
    since: float,
    until: float,
    now: float,
    after: tuple[float, int],
    matches: Matches,
) -> tuple[list[Begun], list[Begun]]:
    """A page of those whom the trigger found, and those among them who are meant."""
    page = journey_triggers.found(conn, journey, since, until, now, after, SLICE)
    return page, [one for one in page if matches(conn, one.member_id)]


def _between(journey: Journey, steps: Sequence[Campaign], now: float) -> tuple[float, float]:
    """Between which moments the trigger is looked for.

    A journey begins for what happens after it was started: nobody is told on its first day that
    they fell silent a year ago.
    """
    if journey.trigger == "coupon":
        earliest = min((one.delay_s or 0.0 for one in steps), default=0.0)
        return now, now + PREPARE_S - min(0.0, earliest)
    overlap = _OVERLAPS.get(journey.begins.kind, OVERLAP_S)
    return max(journey.seen_to - overlap, journey.started_at or 0.0), now


async def _everybody(
    store: Store,
    journey: Journey,
    steps: Sequence[Campaign],
    now: float,
    levels: Sequence[int],
    tiers: Sequence[str],
) -> int:
    """The whole audience begins a date; before each step once more, for who came since."""
    anchor = journey.anchor_at or 0.0
    times = [
        anchor + (one.delay_s or 0.0) - PREPARE_S
        for one in steps
        if not overdue(anchor, one.delay_s or 0.0, one.timing, now)
    ]
    if not any(journey.seen_to < at <= now for at in times):
        return 0
    occasion = f"date:{int(anchor)}"
    count = after = 0
    while True:
        page = await store.db.read(
            partial(
                audience.page,
                rule=journey.audience,
                channel=journey.channel,
                now=now,
                after=after,
                limit=SLICE,
                levels=levels,
                tiers=tiers,
            )
        )
        begun = [Begun(one.member_id, occasion, anchor) for one in page if one.followed]
        if begun:
            count += await store.db.write(
                partial(travellers.enrol, journey=journey, begun=begun, now=now)
            )
        if len(page) < SLICE:
            break
        after = page[-1].member_id
    return count


# What follows


def _unfinished(conn: Connection, steps: Sequence[Campaign]) -> list[Campaign]:
    """Steps that somebody on the journey has no delivery of."""
    return [one for one in steps if travellers.unplanned(conn, one, 1)[1] != one.frozen_to]


async def _plan(
    store: Store, journey: Journey, step: Campaign, now: float, rules: CampaignRules
) -> int:
    """Deliveries of a step for everybody who is on the journey and has none."""
    count = 0
    while True:
        going, upto, own = await store.db.read(partial(_unplanned, step=step, now=now))
        if upto == step.frozen_to:
            return count
        hours = list(own.values())
        usual = max(set(hours), key=hours.count) if hours else step.best_hour
        planned = [
            planned_for(journey, step, one, own.get(one.member_id, usual), rules)
            for one in going
            if not overdue(one.started_at, step.delay_s or 0.0, step.timing, now)
        ]
        count += await store.db.write(
            partial(travellers.plan, step_id=step.id, planned=planned, upto=upto)
        )
        found = await store.campaigns.get(step.id)
        if found is None:
            return count
        step = found


def _unplanned(
    conn: Connection, step: Campaign, now: float
) -> tuple[list[Traveller], int, dict[int, int]]:
    """Who has no delivery of a step yet, up to which row, and their own best hours."""
    going, upto = travellers.unplanned(conn, step, SLICE)
    if step.timing != "best":
        return going, upto, {}
    return going, upto, activity.best_hours(conn, [one.member_id for one in going], now)


def planned_for(
    journey: Journey, step: Campaign, who: Traveller, hour: int | None, rules: CampaignRules
) -> Planned:
    """A member's delivery of a step. hour: of the day, for a step in each member's best hour.

    Who is held out of a journey is held out of all of it, or its steps would tell the two apart.
    """
    if bucket(_seed(journey), who.member_id) < step.holdout:
        return Planned(who, "held")
    variant = variant_at(
        bucket(step.seed, who.member_id), [(one.name, one.weight) for one in step.variants]
    )
    due_at = who.started_at + (step.delay_s or 0.0)
    if step.routes[0] not in SINGLE:
        # Who goes by list goes with others: those of an hour go together.
        due_at = math.ceil(due_at / _HOUR_S) * _HOUR_S
    if step.timing == "best" and hour is not None:
        due_at = pace.best(due_at, hour, rules.quiet)
    return Planned(who, "planned", step.routes[0], variant, pace.open_at(due_at, rules.quiet))


def _seed(journey: Journey) -> bytes:
    """What decides who is held out of a journey."""
    return blake2b(f"journey:{journey.id}:{journey.created_at}".encode(), digest_size=16).digest()


# Stopping


async def _stop(store: Store, journey: Journey, steps: Sequence[Campaign], now: float) -> int:
    """Stop who bought, left or answered; the runner asks the same again before each message."""
    count = 0
    places = {step.id: (0.0, 0) for step in steps}
    while places:
        looked = await store.db.read(partial(_to_stop, journey=journey, places=places))
        places = {step_id: last for step_id, (_, last) in looked.items() if last is not None}
        rows = [row for found, _ in looked.values() for row in found]
        for at in range(0, len(rows), SLICE):
            piece = rows[at : at + SLICE]
            count += await store.db.write(
                partial(travellers.stop, journey_id=journey.id, rows=piece, now=now)
            )
    return count


def _to_stop(
    conn: Connection, journey: Journey, places: Mapping[int, tuple[float, int]]
) -> dict[int, tuple[list[tuple[int, str]], tuple[float, int] | None]]:
    """`travellers.to_stop` of several steps, by their numbers."""
    return {
        step_id: travellers.to_stop(conn, journey, step_id, after, LOOKED_AT)
        for step_id, after in places.items()
    }
