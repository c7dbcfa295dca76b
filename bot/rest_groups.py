"""The REST API for groups: which there are and how zhiqun behaves there, posts, order, edges.

A change takes what `/group` in the chat takes and is written down with it in one transaction.
What may remove or silence a member (`kick`, `silence`) is shown here and decided by an owner in
the chat: a false alarm costs a member.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from bot.group_means import alias_of
from bot.rest import (
    NDJSON,
    NUMBER,
    Answer,
    Call,
    Fault,
    Operation,
    Problem,
    not_found,
    unix,
    unusable,
)
from bot.rest_group_body import (
    CaseList,
    CaseOut,
    CasesQuery,
    EdgeOut,
    EdgesQuery,
    GroupBody,
    GroupList,
    GroupOut,
    GroupsQuery,
    MemberList,
    MembersQuery,
    PostBody,
    PostList,
    PostOut,
    PostsQuery,
    VerdictBody,
    VerdictOut,
    case_out,
    group_out,
    member_out,
    post_faults,
    post_of,
    post_out,
    rules_faults,
    rules_of,
)
from bot.rest_offers import mismatch
from bot.rest_path import IDEMPOTENT
from handlers import order_text
from handlers.group_push import KIND, LATE_S
from store.claims import gift_key
from store.groups import Group, GroupChange, Taken
from store.order import RELEASED, Case
from store.posts import Asked, NewPost, PostRow

_READ, _WRITE = "groups:read", "groups:write"
_LINES = 1000
"""Lines of one piece of a stream."""


def _groups(call: Call) -> list[Group]:
    return call.deps.store.groups.all()


def _found(call: Call) -> Group:
    """The group of the path. Errors: Problem 404."""
    number = call.number("id")
    for group in _groups(call):
        if group.id == number:
            return group
    raise not_found("group")


def _by_place(call: Call) -> Callable[[str], Group | None]:
    return call.deps.store.groups.known


def _place_of(call: Call, number: int | None) -> str | None:
    """The place of a group that a query names, "" for all; None for one that is not there."""
    if number is None:
        return ""
    return next((group.place for group in _groups(call) if group.id == number), None)


def _robots(call: Call) -> set[str]:
    """Channels that are a robot in one group each, and may post now."""
    channels = call.deps.groups.channels
    return {
        group.channel
        for group in _groups(call)
        if group.channel in channels.robots & channels.posting
    }


async def _answered(call: Call, group: Group) -> Answer:
    count = await call.deps.store.groups.count(group.place)
    return Answer(body=group_out(group, call.deps.groups.channels, count))


# Groups


async def index(call: Call) -> Answer:
    """Groups, oldest first."""
    asked: GroupsQuery = call.query
    fit = [
        group
        for group in _groups(call)
        if group.id > asked.cursor and asked.bound in (None, group.bound)
    ]
    shown = fit[: asked.limit]
    counts = await call.deps.store.groups.counts([group.place for group in shown])
    channels = call.deps.groups.channels
    listed = [group_out(group, channels, counts.get(group.place, 0)) for group in shown]
    return Answer(body=GroupList(listed, shown[-1].id if len(fit) > len(shown) else None))


async def show(call: Call) -> Answer:
    """One group."""
    return await _answered(call, _found(call))


async def change(call: Call) -> Answer:
    """Change what is said, all of it or nothing."""
    body: GroupBody = call.body
    group, store = _found(call), call.deps.store
    alias, faults = _alias(body)
    faults += _route_faults(call, body, group)
    if body.rules is not UNSET:
        hears_all = group.channel in call.deps.groups.channels.hearing
        faults += rules_faults(body.rules, call.now, hears_all=hears_all)
    if faults:
        raise unusable(faults)
    if body.bound is True and group.left_at is not None:
        raise _left()
    wanted = GroupChange(
        alias=alias,
        route=None if body.route is UNSET else body.route or "",
        bound=None if body.bound is UNSET else body.bound,
        rules=None if body.rules is UNSET else rules_of(body.rules),
    )
    done = await store.groups.change(
        group.place, wanted, call.now, call.actor, call.deed("group.change")
    )
    if isinstance(done, Taken):
        raise _taken(done)
    if done is None:
        raise not_found("group")
    if wanted.bound is False:
        await store.posts.drop(call.now, place=group.place)
    return await _answered(call, done)


def _alias(body: GroupBody) -> tuple[str | None, list[Fault]]:
    """The short name as it is kept, "" for none, None to leave it as it is."""
    if body.alias is UNSET:
        return None, []
    if body.alias is None:
        return "", []
    alias = alias_of(body.alias)
    if alias is None:
        said = "would be taken for a number or a word of /group: choose another name"
        return None, [Fault("/alias", said)]
    return alias, []


def _route_faults(call: Call, body: GroupBody, group: Group) -> list[Fault]:
    if body.route is UNSET or body.route is None:
        return []
    if body.route == group.channel:
        return [Fault("/route", "is the group's own channel: send null")]
    robots = sorted(_robots(call))
    if body.route in robots:
        return []
    usable = f"choose one of {', '.join(robots)}" if robots else "the configuration has none"
    return [Fault("/route", f"is no channel of a group robot (wecom-webhook): {usable}")]


def _taken(taken: Taken) -> Problem:
    other = f"Group {taken.by.id}"
    if taken.what == "alias":
        detail = f"{other} has this alias: choose another, or take it away there first."
        return Problem(409, "The alias is taken", detail, type="alias-taken")
    detail = f"{other} is posted to by this robot: a robot is in one group. Send null there first."
    return Problem(409, "The route is taken", detail, type="route-taken")


def _left() -> Problem:
    return Problem(
        409,
        "Not in this group",
        "The bot is not in this group any more: let somebody add it again first.",
        type="left",
    )


async def members(call: Call) -> Answer:
    """Who is in it, by number."""
    asked: MembersQuery = call.query
    present = await call.deps.store.groups.members(_found(call).place)
    fit = sorted(one for one in present if one.member_id > asked.cursor)
    shown = fit[: asked.limit]
    more = shown[-1].member_id if len(fit) > len(shown) else None
    return Answer(body=MemberList([member_out(one) for one in shown], more))


async def edges(call: Call) -> Any:
    """Who turns to whom there, heaviest first, line by line."""
    asked: EdgesQuery = call.query
    pairs = await call.deps.store.edges.between(
        [_found(call).place],
        call.now,
        half_life_s=call.deps.groups.half_life_s,
        least=asked.least,
    )
    pairs = pairs[: asked.limit]
    encode = msgspec.json.Encoder().encode_lines

    def lines(at: int) -> bytes:
        return encode(
            [
                EdgeOut(one.from_id, one.to_id, round(one.weight, 6), one.turns)
                for one in pairs[at : at + _LINES]
            ]
        )

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(pairs), _LINES):
            yield await asyncio.to_thread(lines, at)

    return await call.stream(pieces())


# Posts


async def post(call: Call) -> Answer:
    """Plan a post, once for each Idempotency-Key."""
    body: PostBody = call.body
    group = _found(call)
    if group.left_at is not None:
        raise _left()
    if not group.bound:
        raise Problem(
            409,
            "Not bound",
            "zhiqun may not act in this group: bind it first, PATCH it with bound true.",
            type="not-bound",
        )
    channel = group.route or group.channel
    if channel not in call.deps.groups.channels.posting:
        raise Problem(
            409,
            "No way to post there",
            "This group's channel only answers. Add a group robot (wecom-webhook) to the group and "
            "to the configuration, then PATCH the group with its channel as route.",
            type="no-route",
        )
    new = post_of(body)
    faults = post_faults(new, robot=channel in _robots(call))
    at = max(call.now, call.now if body.at is None else unix(body.at))
    due_at = group.rules.silent_until(at)
    not_after = due_at + LATE_S if body.not_after is None else unix(body.not_after)
    if not_after < due_at:
        said = "is over before it could be posted: choose a later time, or leave it out"
        faults.append(Fault("/not_after", said))
    if faults:
        raise unusable(faults)
    name = call.headers["Idempotency-Key"]
    planned = NewPost(
        key=gift_key(f"group.post:{call.key.id}:{name}"),
        channel=channel,
        place=group.place,
        kind=KIND,
        body=new,
        due_at=due_at,
        not_after=not_after,
    )
    text = f"POST\n/groups/{group.id}/posts\n".encode()
    text += msgspec.json.encode(body, order="sorted")
    asked = Asked(
        key_id=call.key.id,
        name=name,
        fingerprint=hashlib.sha256(text).digest(),
        deed=call.deed("group.push"),
        target=f"group:{group.id}",
        detail=body.kind,
        answer=lambda row: _encoded(row, group),
    )
    answer = await call.deps.store.posts.plan_asked(planned, asked, call.now)
    if answer is None:
        raise mismatch()
    return Answer(201, msgspec.Raw(answer.encode()))


def _encoded(row: PostRow, group: Group) -> str:
    return msgspec.json.encode(post_out(row, group)).decode()


async def posts(call: Call) -> Answer:
    """Posts, newest first."""
    asked: PostsQuery = call.query
    place = _place_of(call, asked.group)
    rows = []
    if place is not None:
        rows = await call.deps.store.posts.page(
            asked.limit, before=asked.before, place=place, status=asked.status or ""
        )
    known = _by_place(call)
    listed = [post_out(row, known(row.place)) for row in rows]
    return Answer(body=PostList(listed, rows[-1].id if len(rows) == asked.limit else None))


# Order


async def cases(call: Call) -> Answer:
    """Messages that were judged, newest first."""
    asked: CasesQuery = call.query
    place = _place_of(call, asked.group)
    rows = []
    if place is not None:
        rows = await call.deps.store.order.page(
            asked.limit, before=asked.before, place=place, waiting=asked.waiting
        )
    listed = [_case(call, row) for row in rows]
    return Answer(body=CaseList(listed, rows[-1].id if len(rows) == asked.limit else None))


def _case(call: Call, case: Case) -> CaseOut:
    return case_out(case, _by_place(call)(case.place), call.key.scopes)


async def settle(call: Call) -> Answer:
    """Say what a case was; the model learns from it within a minute."""
    body: VerdictBody = call.body
    number, spam, store = call.number("id"), body.verdict == "spam", call.deps.store
    people = {} if spam else await store.order.people(number)
    deed = call.deed("order.spam" if spam else "order.false_alarm")
    done = await store.order.verdict(number, spam, deed, lambda case: _sorry(call, case, people))
    if done is None:
        raise not_found("case")
    if spam:
        # What was only noted stood in the digest until now; hiding it again changes nothing.
        await store.talk.hide(done.case.key)
    return Answer(body=VerdictOut(_case(call, done.case), done.changed, list(done.others)))


def _sorry(call: Call, case: Case, people: Mapping[int, str]) -> NewPost | None:
    """What a group reads when a warning was a mistake; None where we cannot post."""
    means, group = call.deps.groups, _by_place(call)(case.place)
    if group is None or not group.bound or not means.apology or RELEASED in case.actions:
        return None
    if (group.route or group.channel) not in means.channels.posting:
        return None
    key = ("apology", case.key.hex())
    to = people.get(case.id, "")
    return order_text.notice(group, to, means.apology, key, call.now, case.member_id)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/groups",
        name="listGroups",
        summary="Groups and how zhiqun behaves in each",
        scope=_READ,
        run=index,
        query=GroupsQuery,
        answers={200: GroupList},
    ),
    Operation(
        method="GET",
        path="/groups/{id}",
        name="getGroup",
        summary="One group",
        scope=_READ,
        run=show,
        params={"id": NUMBER},
        answers={200: GroupOut},
    ),
    Operation(
        method="PATCH",
        path="/groups/{id}",
        name="changeGroup",
        summary="Change a group's alias, route, binding or rules",
        description="What is left out stays; all of it is changed, or nothing. The checks are "
        "those of /group in the chat. kick and silence are an owner's to change, with /order.",
        scope=_WRITE,
        run=change,
        params={"id": NUMBER},
        body=GroupBody,
        answers={200: GroupOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/groups/{id}/members",
        name="listGroupMembers",
        summary="Who is known to be in a group, by number",
        scope=_READ,
        also=("members:read",),
        run=members,
        params={"id": NUMBER},
        query=MembersQuery,
        answers={200: MemberList},
    ),
    Operation(
        method="GET",
        path="/groups/{id}/edges",
        name="streamEdges",
        summary="Who turns to whom in a group, heaviest first",
        description="Mentions, quotes, replies and answers close in time, as weights of now. "
        "Nobody who opted out is in it, and no words are.",
        scope=_READ,
        also=("members:read",),
        run=edges,
        params={"id": NUMBER},
        query=EdgesQuery,
        answers={200: EdgeOut},
        answer_type=NDJSON,
        streams=True,
    ),
    Operation(
        method="POST",
        path="/groups/{id}/posts",
        name="postToGroup",
        summary="Plan a post into a group",
        description="It goes out in its turn, after the group's quiet hours, and never faster than "
        "its channel may; GET /posts says what became of it. It must fit one message of the way "
        "that posts there.",
        scope=_WRITE,
        run=post,
        params={"id": NUMBER},
        headers=IDEMPOTENT,
        body=PostBody,
        answers={201: PostOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/posts",
        name="listPosts",
        summary="What was posted into groups, newest first",
        scope=_READ,
        run=posts,
        query=PostsQuery,
        answers={200: PostList},
    ),
    Operation(
        method="GET",
        path="/order/cases",
        name="listOrderCases",
        summary="Messages that were judged, newest first",
        description="With members:read also whose they were, with interactions:read what they "
        "said.",
        scope=_READ,
        run=cases,
        query=CasesQuery,
        answers={200: CaseList},
    ),
    Operation(
        method="POST",
        path="/order/cases/{id}/verdict",
        name="settleOrderCase",
        summary="Say whether a case was an advert or a false alarm",
        description="It counts for the same words within a day, and the model learns from it. The "
        "same word again changes nothing, the other turns it around; who was warned by mistake is "
        "told so in the group.",
        scope=_WRITE,
        run=settle,
        params={"id": NUMBER},
        body=VerdictBody,
        answers={200: VerdictOut},
    ),
)
