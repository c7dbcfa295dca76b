"""The REST API for campaigns: written, looked at, confirmed, stopped, and settled.

Every verb goes through the desk (`bot/campaigning.py`), as in the chat: the same findings stop
it, the same code confirms it, and the same audit says who did it. What became of one is told by
`bot/rest_campaign_reports.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bot.rest import (
    NUMBER,
    PREFIX,
    Answer,
    Call,
    Fault,
    Operation,
    Problem,
    not_found,
    unix,
    unusable,
)
from bot.rest_campaign_body import (
    CampaignBody,
    CampaignList,
    CampaignOut,
    CampaignsQuery,
    ConfirmBody,
    PreviewOut,
    ScheduleBody,
    SettleBody,
    UnknownList,
    UnknownQuery,
    faults_of,
    new_of,
    out,
)
from bot.rest_campaign_body import preview as preview_out
from bot.rest_campaign_body import unknown as unknown_out
from bot.rest_offers import mismatch
from bot.rest_path import IDEMPOTENT
from handlers.campaigning import Answer as DeskAnswer
from handlers.campaigning import Campaigns, Finding, Said, Who
from scheduler.clock import CronError
from store.campaigns import NewCampaign, digest
from store.claims import gift_key
from store.rules import RuleError

AUDIENCE_LIMIT_S = 120.0
"""A million members are looked at one by one."""
SEND = "campaigns:send"
OWN = "campaigns:own"
_CHANGING = ("campaigns:write", SEND)


def desk_of(call: Call) -> Campaigns:
    """The desk. Errors: Problem 503 where there is none."""
    desk: Campaigns | None = call.deps.campaigns
    if desk is None:
        raise Problem(503, "No campaigns", "This process has no desk for campaigns.", type="off")
    return desk


def _who(call: Call, verb: str) -> Who:
    """Whoever calls, with the power that the scopes of their key give."""
    scopes = call.key.scopes
    role = "operator" if scopes.intersection(_CHANGING) else "analyst"
    name = call.headers.get("Idempotency-Key", "")
    key = gift_key(f"campaign.{verb}:{call.key.id}:{name}")
    return Who(call.actor, "owner" if OWN in scopes else role, key)


async def _wanted(call: Call) -> NewCampaign:
    """What the body says. Errors: Problem 422, naming every field that cannot be."""
    body: CampaignBody = call.body
    new = new_of(body)
    found = faults_of(body, new)
    if not new.places and not any(one.pointer == "/audience" for one in found):
        try:
            # Whether the segments that it names are there.
            await call.deps.store.segments.check(new.audience)
        except RuleError as bad:
            found.append(Fault("/audience", f"column {bad.at}: {bad}"))
    if found:
        raise unusable(found)
    return new


@contextmanager
def _readable() -> Iterator[None]:
    """Errors: Problem 422 for a campaign that is there, but cannot be followed any more."""
    try:
        yield
    except (RuleError, CronError) as bad:
        where, at = ("cron", "") if isinstance(bad, CronError) else ("audience", f"column {bad.at}")
        raise Problem(
            422,
            "Nobody can follow this campaign",
            "errors says why; edit it first.",
            type="not-readable",
            errors=[Fault("", f"{where}: {f'{at}: ' if at else ''}{bad}")],
        ) from None


async def _same(call: Call, who: Who, number: int, new: NewCampaign | None = None) -> None:
    """Errors: Problem 422 when another request had this Idempotency-Key.

    number: the campaign this one is about; new: what it wants to make of it, if it says so.
    """
    done = await call.deps.store.campaigns.change(who.key)
    if done is None:
        return
    if done.campaign_id != number:
        raise mismatch()
    if new is not None:
        # Whose child a campaign is no request can say.
        new = replace(new, parent_id=done.after.parent_id, journey_id=done.after.journey_id)
        if digest(new) != digest(done.after):
            raise mismatch()


_REFUSED: dict[Said, tuple[int, str, str]] = {
    Said.WRONG_CODE: (
        409,
        "wrong-code",
        "This code is not of the campaign as it is now: preview it again.",
    ),
    Said.WRONG_STATUS: (409, "wrong-status", "The campaign's status does not allow this."),
    Said.FORBIDDEN: (403, "forbidden", "This key may not do that."),
    Said.OWNER_ONLY: (403, "owner-only", "This needs the scope campaigns:own."),
    Said.NOBODY: (409, "nobody", "It would reach nobody; the preview says why."),
    Said.IMPOSSIBLE: (
        409,
        "impossible",
        "It cannot go out like this; the preview's problems say why.",
    ),
    Said.NOTHING: (409, "nothing", "There is nothing to take back."),
}


async def _answered(
    call: Call, answer: DeskAnswer, who: Who, new: NewCampaign | None = None
) -> Answer:
    """The campaign as it is now. Errors: Problem for what was refused."""
    if answer.said is Said.NO_CAMPAIGN:
        raise not_found("campaign")
    if answer.said is Said.FINDINGS:
        found: Sequence[Finding] = answer.look.errors if answer.look is not None else ()
        raise Problem(
            422,
            "Something forbids it",
            "errors says what; change the campaign, or override what is not fixed.",
            type="findings",
            errors=[Fault("", f"{one.where}: {one.rule}: {one.say}") for one in found],
        )
    if answer.said in _REFUSED:
        status, kind, why = _REFUSED[answer.said]
        raise Problem(status, "Refused", why, type=kind)
    assert answer.campaign is not None
    await _same(call, who, call.number("id"), new)
    return Answer(202 if answer.said is Said.WAITS else 200, out(answer.campaign))


async def index(call: Call) -> Answer:
    """Campaigns, newest first."""
    asked: CampaignsQuery = call.query
    found = await call.deps.store.campaigns.all(
        asked.status, limit=asked.limit, before=asked.before
    )
    more = found[-1].id if len(found) == asked.limit else None
    return Answer(body=CampaignList([out(one) for one in found], more))


async def make(call: Call) -> Answer:
    """Make a draft."""
    new, who = await _wanted(call), _who(call, "new")
    made = await desk_of(call).make(new, who)
    await _same(call, who, made.id, new)
    return Answer(201, out(made), {"Location": f"{PREFIX}/campaigns/{made.id}"})


async def show(call: Call) -> Answer:
    """One campaign."""
    found = await call.deps.store.campaigns.get(call.number("id"))
    if found is None:
        raise not_found("campaign")
    return Answer(body=out(found))


async def edit(call: Call) -> Answer:
    """Make it what is sent; a scheduled one becomes a draft again."""
    new, number = await _wanted(call), call.number("id")
    found = await call.deps.store.campaigns.get(number)
    if found is not None and found.kind == "step":
        raise Problem(
            409, "A step", "A step of a journey is changed with its journey.", type="wrong-status"
        )
    who = _who(call, "edit")
    return await _answered(call, await desk_of(call).edit(number, new, who), who, new)


async def preview(call: Call) -> Answer:
    """Everything about it before it goes."""
    with _readable():
        look = await desk_of(call).look(call.number("id"), _who(call, "look"))
    if look is None:
        raise not_found("campaign")
    return Answer(body=preview_out(look))


async def confirm(call: Call) -> Answer:
    """Let it go."""
    body: ConfirmBody = call.body
    who = _who(call, "confirm")
    with _readable():
        answer = await desk_of(call).confirm(
            call.number("id"), body.code, who, override=body.override
        )
    return await _answered(call, answer, who)


async def schedule(call: Call) -> Answer:
    """Set its time."""
    body: ScheduleBody = call.body
    at = None if body.starts_at is None else unix(body.starts_at)
    number, who = call.number("id"), _who(call, "schedule")
    found = await call.deps.store.campaigns.get(number)
    if found is not None and None not in (at, found.not_after) and found.not_after < at:  # type: ignore[operator]
        raise unusable([Fault("/starts_at", "is after the campaign's not_after")])
    answer = await desk_of(call).schedule(number, at, who)
    done = await call.deps.store.campaigns.change(who.key)
    if done is not None and done.after.starts_at != at:
        raise mismatch()
    return await _answered(call, answer, who)


async def pause(call: Call) -> Answer:
    """Stop it after what is under way."""
    who = _who(call, "pause")
    return await _answered(call, await desk_of(call).pause(call.number("id"), who), who)


async def resume(call: Call) -> Answer:
    """Go on."""
    who = _who(call, "resume")
    return await _answered(call, await desk_of(call).resume(call.number("id"), who), who)


async def cancel(call: Call) -> Answer:
    """End it for good."""
    who = _who(call, "cancel")
    return await _answered(call, await desk_of(call).cancel(call.number("id"), who), who)


async def undo(call: Call) -> Answer:
    """Take the last change back."""
    who = _who(call, "undo")
    return await _answered(call, await desk_of(call).undo(call.number("id"), who), who)


async def unknown(call: Call) -> Answer:
    """Deliveries nobody knows the end of."""
    asked: UnknownQuery = call.query
    found = await call.deps.store.deliveries.unknown(asked.campaign, asked.limit)
    return Answer(body=UnknownList([unknown_out(one) for one in found]))


async def settle(call: Call) -> Answer:
    """Say what became of one."""
    body: SettleBody = call.body
    if not await desk_of(call).settle(call.number("id"), body.arrived, _who(call, "settle")):
        raise not_found("unknown delivery")
    return Answer(204)


def _verb(
    name: str,
    operation: str,
    run: Any,
    summary: str,
    description: str,
    answers: Mapping[int, Any] = MappingProxyType({200: CampaignOut}),
) -> Operation:
    return Operation(
        method="POST",
        path=f"/campaigns/{{id}}/{name}",
        name=operation,
        summary=summary,
        description=description,
        scope=SEND,
        run=run,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        answers=answers,
        problems=(409, 422),
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/campaigns",
        name="listCampaigns",
        summary="Campaigns, newest first",
        scope="campaigns:read",
        run=index,
        query=CampaignsQuery,
        answers={200: CampaignList},
    ),
    Operation(
        method="POST",
        path="/campaigns",
        name="makeCampaign",
        summary="Make a draft",
        description="Nothing goes out before it is confirmed. Sent again with its Idempotency-Key "
        "it gives the same campaign.",
        scope="campaigns:write",
        run=make,
        headers=IDEMPOTENT,
        body=CampaignBody,
        max_bytes=1 << 20,
        answers={201: CampaignOut},
    ),
    Operation(
        method="GET",
        path="/campaigns/{id}",
        name="getCampaign",
        summary="One campaign",
        scope="campaigns:read",
        run=show,
        params={"id": NUMBER},
        answers={200: CampaignOut},
    ),
    Operation(
        method="PUT",
        path="/campaigns/{id}",
        name="editCampaign",
        summary="Change what has not begun",
        description="A scheduled one becomes a draft again and wants a new confirmation.",
        scope="campaigns:write",
        run=edit,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        body=CampaignBody,
        max_bytes=1 << 20,
        answers={200: CampaignOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/campaigns/{id}/preview",
        name="previewCampaign",
        summary="What it says, what is wrong with it, whom it would reach",
        description="With the code that confirms exactly this state. A large audience takes "
        "seconds.",
        scope="campaigns:read",
        run=preview,
        params={"id": NUMBER},
        answers={200: PreviewOut},
        problems=(422,),
        limit_s=AUDIENCE_LIMIT_S,
    ),
    Operation(
        method="POST",
        path="/campaigns/{id}/confirm",
        name="confirmCampaign",
        summary="Let it go out at its time",
        description="202 when a second operator has to confirm, too.",
        scope=SEND,
        run=confirm,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        body=ConfirmBody,
        answers={200: CampaignOut, 202: CampaignOut},
        problems=(409,),
        limit_s=AUDIENCE_LIMIT_S,
    ),
    Operation(
        method="POST",
        path="/campaigns/{id}/schedule",
        name="scheduleCampaign",
        summary="Set its time",
        description="Another time is another state: it wants a new confirmation.",
        scope="campaigns:write",
        run=schedule,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        body=ScheduleBody,
        answers={200: CampaignOut},
        problems=(409,),
    ),
    _verb(
        "pause",
        "pauseCampaign",
        pause,
        "Stop it after what is under way",
        "At most one part is still sent.",
    ),
    _verb(
        "resume",
        "resumeCampaign",
        resume,
        "Go on where it was",
        "Also the yes of one that is late. Of a list that is not the one that was confirmed it "
        "needs an owner, and 202 says that a second operator has to resume it, too.",
        answers={200: CampaignOut, 202: CampaignOut},
    ),
    _verb(
        "cancel",
        "cancelCampaign",
        cancel,
        "End it for good",
        "What has not left never does.",
    ),
    _verb(
        "undo",
        "undoCampaign",
        undo,
        "Take the last change back, before the start",
        "One that was only made is cancelled.",
    ),
    Operation(
        method="GET",
        path="/deliveries/unknown",
        name="listUnknownDeliveries",
        summary="Deliveries nobody knows the end of",
        scope="campaigns:read",
        run=unknown,
        query=UnknownQuery,
        answers={200: UnknownList},
    ),
    Operation(
        method="POST",
        path="/deliveries/{id}/settle",
        name="settleDelivery",
        summary="Say what became of an unknown delivery",
        description="Once: one that was settled is no longer unknown, and a 404.",
        scope=SEND,
        run=settle,
        params={"id": NUMBER},
        body=SettleBody,
        answers={204: None},
    ),
)
