"""The REST API for whom and what with: saved rules, whom a rule finds, pictures for contents."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bot.rest import Answer, Call, Fault, Operation, Param, Problem, invalid, not_found, stamp
from bot.rest_campaigns import AUDIENCE_LIMIT_S
from store import rules
from store.assets import MAX_BYTES, AssetInUse, BadAsset
from store.rules import RuleError
from store.segments import MOST, Saved, Segment

_READ, _WRITE = "campaigns:read", "campaigns:write"

SEGMENT = Param(
    description="A segment's name; capitals and small letters make no difference.",
    pattern=rf'^[^\u0000-\u001f\u007f/\\"]{{1,{rules.LONGEST_NAME}}}$',
    example="老学员",
    max_length=rules.LONGEST_NAME,
)
ASSET = Param(
    description="A picture's name, as contents say it.",
    pattern=r"^[A-Za-z0-9\u4e00-\u9fff][A-Za-z0-9\u4e00-\u9fff_.-]{0,63}$",
    example="cover-1",
)
Rule = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=rules.LONGEST,
        description="Who, as docs/campaigns.md has it.",
        examples=["active 30d and tag:VIP"],
    ),
]


class SegmentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a segment is to mean."""

    rule: Rule


class SegmentOut(msgspec.Struct):
    """A saved rule. name: as other rules write it, segment:"…"."""

    name: str
    rule: str
    created_at: str
    created_by: str
    updated_at: str


class SegmentList(msgspec.Struct):
    """Every saved rule by name; built_in: those that are always there, name -> rule."""

    segments: list[SegmentOut]
    built_in: dict[str, str]


class CountBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to count."""

    rule: Rule


class Counted(msgspec.Struct):
    """matched: members the rule finds; members: all there are; sample: some numbers of those it
    finds. Who can be reached is another question: a campaign's preview answers it."""

    matched: int
    members: int
    sample: list[int]


class AssetOut(msgspec.Struct):
    """A picture. bytes: its size."""

    name: str
    mime: str
    bytes: Annotated[int, Meta(ge=0)]
    added_at: str
    added_by: str


def _bad_rule(bad: RuleError) -> Problem:
    """422 that points at the place."""
    return invalid(f"column {bad.at}: {bad}", "/rule")


def _out(one: Segment) -> SegmentOut:
    return SegmentOut(
        one.name, one.rule, stamp(one.created_at), one.created_by, stamp(one.updated_at)
    )


async def index(call: Call) -> Answer:
    """Every saved rule."""
    found = await call.deps.store.segments.all()
    return Answer(body=SegmentList([_out(one) for one in found], dict(rules.BUILT_IN)))


async def put(call: Call) -> Answer:
    """Save a rule under a name, or change it."""
    body: SegmentBody = call.body
    segments, name = call.deps.store.segments, call.path["name"]
    deed = call.deed("segment.save")
    try:
        saved = await segments.put(name, body.rule.strip(), call.now, call.actor, deed)
    except RuleError as bad:
        raise _bad_rule(bad) from None
    if saved is Saved.TAKEN:
        raise _built_in()
    if saved is Saved.TOO_MANY:
        detail = f"There are {MOST} segments: delete one first."
        raise Problem(409, "Too many segments", detail, type="too-many-segments")
    if saved is Saved.BAD_NAME:
        raise invalid("a rule could not name a segment like this: choose another name")
    one = await segments.get(name)
    if one is None:
        raise Problem(409, "Deleted meanwhile", "Somebody deleted it.", type="deleted")
    return Answer(201 if saved is Saved.NEW else 200, _out(one))


async def delete(call: Call) -> Answer:
    """Forget a rule that nothing names."""
    name = call.path["name"]
    if rules.segment_name(name) in rules.BUILT_IN:
        raise _built_in()
    done = await call.deps.store.segments.remove(name, call.deed("segment.remove"))
    if done.used_by:
        raise Problem(
            409,
            "In use",
            "errors says what names it and has not ended.",
            type="segment-in-use",
            errors=[Fault("", f"{one.kind} {one.name}") for one in done.used_by],
        )
    if not done.removed:
        raise not_found("segment")
    return Answer(204)


def _built_in() -> Problem:
    return Problem(
        409, "Built in", "This segment is always there, and stays as it is.", type="built-in"
    )


async def count(call: Call) -> Answer:
    """How many members a rule finds."""
    body: CountBody = call.body
    rewards = call.deps.rewards
    try:
        found = await call.deps.store.audiences.look(
            body.rule,
            call.now,
            levels=tuple(level.points for level in rewards.levels),
            tiers=rewards.membership.tiers,
        )
    except RuleError as bad:
        raise _bad_rule(bad) from None
    return Answer(body=Counted(found.matched, found.members, list(found.sample)))


async def put_asset(call: Call) -> Answer:
    """Keep a picture under a name; the one that had it is replaced."""
    assets, name = call.deps.store.assets, call.path["name"]
    known = await assets.get(name)
    try:
        one = await assets.put(name, call.body, call.now, call.actor, call.deed("asset.put"))
    except BadAsset as bad:
        raise invalid(bad.why) from None
    except AssetInUse as used:
        raise Problem(
            409,
            "In use",
            "Confirmed campaigns show it: end them first, or take another name.",
            type="asset-in-use",
            errors=[Fault("", one) for one in used.campaigns],
        ) from None
    made = AssetOut(one.name, one.mime, one.size, stamp(one.added_at), one.added_by)
    return Answer(201 if known is None else 200, made)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/segments",
        name="listSegments",
        summary="Every saved rule",
        scope=_READ,
        run=index,
        answers={200: SegmentList},
    ),
    Operation(
        method="PUT",
        path="/segments/{name}",
        name="putSegment",
        summary="Save a rule under a name, or change it",
        description="What names it means the new rule from then on; lists that are written stay.",
        scope=_WRITE,
        run=put,
        params={"name": SEGMENT},
        body=SegmentBody,
        answers={200: SegmentOut, 201: SegmentOut},
        problems=(409,),
    ),
    Operation(
        method="DELETE",
        path="/segments/{name}",
        name="deleteSegment",
        summary="Forget a rule that nothing names any more",
        scope=_WRITE,
        run=delete,
        params={"name": SEGMENT},
        answers={204: None},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/audiences/count",
        name="countAudience",
        summary="How many members a rule finds, and some of them",
        scope=_READ,
        run=count,
        body=CountBody,
        answers={200: Counted},
        limit_s=AUDIENCE_LIMIT_S,
    ),
    Operation(
        method="PUT",
        path="/assets/{name}",
        name="putAsset",
        summary="Keep a picture for contents",
        description="The body is the PNG or JPEG as it is, of any Content-Type; the picture that "
        "had the name is replaced, unless a confirmed campaign shows it.",
        scope=_WRITE,
        run=put_asset,
        params={"name": ASSET},
        body_type="binary",
        max_bytes=MAX_BYTES,
        answers={200: AssetOut, 201: AssetOut},
        problems=(409, 422),
    ),
)
