"""The REST API for members: who they are, their tags, all about them, and forgetting.

Whoever calls names members by number. Their openids go in, to find the number, and come
out only in the export, which is the member's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bot.rest import (
    NUMBER,
    Answer,
    Call,
    Fault,
    Operation,
    Param,
    Problem,
    not_found,
    stamp,
)
from bot.rest_path import JSON_MAX
from store.members import Card
from store.tags import TooManyTags

MAX_TAGS = 50
_PAGE = 1000
_NAME = Meta(max_length=128, pattern=r"^[^\u0000-\u001f\u007f]*(?!\n)$")

TAG = Param(
    description="A tag: 1 to 40 characters, no blanks.",
    pattern=r"^[^\s/|\\.\u0000-\u001f\u007f][^\s/|\\\u0000-\u001f\u007f]{0,39}$",
    example="老学员",
    max_length=40,
)


class Course(msgspec.Struct):
    """One member with one course. chapters: chapter id -> percent; active: not over yet."""

    item_id: str
    started_at: str
    ended_at: str | None
    completed_at: str | None
    last_at: str
    active: bool
    chapters: dict[str, int]


class Profile(msgspec.Struct):
    """What is known of a member, without their words."""

    id: int
    role: str
    created_at: str
    channels: list[str]
    followed: bool
    last_seen_at: str | None
    messages: int
    topics: list[str]
    tags: list[str]
    learning: list[Course]


class Found(msgspec.Struct):
    """The members who go by a name: none or one, but for an openid of several channels."""

    members: list[Profile]


class Names(msgspec.Struct, forbid_unknown_fields=True):
    """By what to find a member: exactly one of openid, unionid, visitor."""

    openid: Annotated[str, _NAME] = ""
    channel: Annotated[
        str, Meta(max_length=64, description="On this channel only; with openid.")
    ] = ""
    unionid: Annotated[str, _NAME] = ""
    visitor: Annotated[str, _NAME] = ""


class Export(msgspec.Struct, forbid_unknown_fields=False):
    """Everything kept about a member; more tables may come. Times are Unix seconds here."""

    member: dict[str, Any]
    identities: list[dict[str, Any]]
    interactions: list[dict[str, Any]]


class LogLine(msgspec.Struct):
    """One interaction. id: the cursor that goes on behind it; text: what was written."""

    id: int
    at: str
    channel: str
    member_id: int
    kind: str
    text: str
    handler: str
    item: str


class LogQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which interactions."""

    cursor: Annotated[
        int, Meta(ge=0, le=JSON_MAX, description="After this id: that of the last line read.")
    ] = 0
    limit: (
        Annotated[int, Meta(ge=1, le=10_000_000, description="At most so many; all if left out.")]
        | None
    ) = None


class HomeworkOut(msgspec.Struct):
    """What a member handed in."""

    id: int
    member_id: int
    item_id: str
    chapter_id: str
    text: str
    submitted_at: str


class HomeworkList(msgspec.Struct):
    """A page of homework. next: the cursor of the next page, null at the end."""

    homework: list[HomeworkOut]
    next: int | None


class HomeworkQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which homework."""

    item: Annotated[str, Meta(max_length=64, description="Of this item only.")] = ""
    cursor: Annotated[int, Meta(ge=0, le=JSON_MAX, description="After this number.")] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


def _time(at: float | None) -> str | None:
    return stamp(at) if at else None


async def _profile(call: Call, card: Card) -> Profile:
    store = call.deps.store
    return Profile(
        id=card.id,
        role=card.role,
        created_at=stamp(card.created_at),
        channels=list(card.channels),
        followed=card.followed,
        last_seen_at=_time(card.last_seen_at),
        messages=card.messages,
        topics=list(card.topics),
        tags=await store.tags.of(card.id),
        learning=[
            Course(
                item_id=one.item_id,
                started_at=stamp(one.started_at),
                ended_at=_time(one.ended_at),
                completed_at=_time(one.completed_at),
                last_at=stamp(one.last_at),
                active=one.active,
                chapters=one.chapters,
            )
            for one in await store.courses.learning(card.id)
        ],
    )


async def find(call: Call) -> Answer:
    """The members who go by a name."""
    asked: Names = call.query
    store = call.deps.store
    given = [name for name in ("openid", "unionid", "visitor") if getattr(asked, name)]
    if len(given) != 1:
        raise Problem(
            400,
            "Bad query",
            "Give exactly one of openid, unionid, visitor.",
            type="bad-query",
            errors=[Fault(f"/{name}", "is one of several") for name in given],
        )
    if asked.openid:
        ids = await store.members.find(asked.openid, asked.channel or None)
    elif asked.unionid:
        ids = await store.profiles.by_unionid(asked.unionid)
    else:
        ids = await store.profiles.by_alias(f"visitor:{asked.visitor}")
    cards = [await store.members.card(member_id) for member_id in ids]
    return Answer(body=Found([await _profile(call, card) for card in cards if card is not None]))


async def show(call: Call) -> Answer:
    """One member."""
    card = await call.deps.store.members.card(call.number("id"))
    if card is None:
        raise not_found("member")
    return Answer(body=await _profile(call, card))


async def add_tag(call: Call) -> Answer:
    """Put a tag on a member; once more changes nothing."""
    member_id, tag = call.number("id"), call.path["tag"]
    try:
        new = await call.deps.store.tags.add(member_id, tag, call.now, limit=MAX_TAGS)
    except TooManyTags:
        raise Problem(
            409,
            "Too many tags",
            f"A member has at most {MAX_TAGS} tags; take one off first.",
            type="too-many-tags",
        ) from None
    if new is None:
        raise not_found("member")
    if new:
        await call.audit("member.tag", f"member:{member_id}", tag)
    return Answer(201 if new else 204)


async def remove_tag(call: Call) -> Answer:
    """Take a tag off a member."""
    member_id, tag = call.number("id"), call.path["tag"]
    if not await call.deps.store.tags.remove(member_id, tag):
        raise not_found("tag on this member")
    await call.audit("member.untag", f"member:{member_id}", tag)
    return Answer(204)


async def export(call: Call) -> Answer:
    """Everything kept about a member, for them to take away."""
    member_id = call.number("id")
    kept = await call.deps.store.members.export(member_id)
    if kept is None:
        raise not_found("member")
    await call.audit("member.export", f"member:{member_id}")
    # In a thread: years of a busy member are megabytes.
    raw = await asyncio.to_thread(msgspec.json.encode, kept)
    return Answer(body=msgspec.Raw(raw))


async def erase(call: Call) -> Answer:
    """Forget a member wholly. It cannot be undone."""
    member_id = call.number("id")
    erased = await call.deps.store.members.erase(member_id, call.now)
    if erased is None:
        raise not_found("member")
    await call.audit("erase", f"member:{member_id}")
    return Answer(204)


async def log(call: Call) -> Any:
    """The log of the conversation, line by line."""
    asked: LogQuery = call.query
    return await call.stream(_log(call, asked.cursor, asked.limit))


async def _log(call: Call, cursor: int, left: int | None) -> AsyncIterator[bytes]:
    encode = msgspec.json.Encoder().encode_lines

    def lines(page: list[dict[str, Any]]) -> bytes:
        for row in page:
            row["at"] = stamp(row["at"])
        return encode(page)

    while left is None or left > 0:
        wanted = _PAGE if left is None else min(left, _PAGE)
        page = await call.deps.store.interactions.page(cursor, wanted)
        if not page:
            return
        cursor = page[-1]["id"]
        left = None if left is None else left - len(page)
        yield await asyncio.to_thread(lines, page)
        if len(page) < wanted:
            return


async def homework(call: Call) -> Answer:
    """What was handed in, oldest first."""
    asked: HomeworkQuery = call.query
    rows = await call.deps.store.profiles.homework(asked.item, asked.cursor, asked.limit)
    listed = [
        HomeworkOut(
            one.id, one.member_id, one.item_id, one.chapter_id, one.text, stamp(one.submitted_at)
        )
        for one in rows
    ]
    return Answer(body=HomeworkList(listed, rows[-1].id if len(rows) == asked.limit else None))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/members",
        name="findMembers",
        summary="Find a member by a name",
        description="Give exactly one of openid, unionid, visitor.",
        scope="members:read",
        run=find,
        query=Names,
        answers={200: Found},
    ),
    Operation(
        method="GET",
        path="/members/{id}",
        name="getMember",
        summary="One member, with tags and courses",
        scope="members:read",
        run=show,
        params={"id": NUMBER},
        answers={200: Profile},
    ),
    Operation(
        method="PUT",
        path="/members/{id}/tags/{tag}",
        name="tagMember",
        summary="Put a tag on a member",
        description="201: it is new; 204: it was there.",
        scope="members:write",
        run=add_tag,
        params={"id": NUMBER, "tag": TAG},
        answers={201: None, 204: None},
        problems=(409,),
    ),
    Operation(
        method="DELETE",
        path="/members/{id}/tags/{tag}",
        name="untagMember",
        summary="Take a tag off a member",
        scope="members:write",
        run=remove_tag,
        params={"id": NUMBER, "tag": TAG},
        answers={204: None},
    ),
    Operation(
        method="GET",
        path="/members/{id}/export",
        name="exportMember",
        summary="Everything kept about a member",
        description="What they may ask for; their words and openids are in it.",
        scope="members:read",
        also=("interactions:read",),
        run=export,
        params={"id": NUMBER},
        answers={200: Export},
    ),
    Operation(
        method="DELETE",
        path="/members/{id}",
        name="eraseMember",
        summary="Forget a member for good",
        scope="members:erase",
        run=erase,
        params={"id": NUMBER},
        answers={204: None},
    ),
    Operation(
        method="GET",
        path="/interactions",
        name="exportInteractions",
        summary="The log of the conversation, as JSON lines",
        description="In the order of their ids; the id of the last line read is the cursor that "
        "goes on behind it.",
        scope="interactions:read",
        run=log,
        query=LogQuery,
        answers={200: LogLine},
        answer_type="application/x-ndjson",
        streams=True,
    ),
    Operation(
        method="GET",
        path="/homework",
        name="listHomework",
        summary="What members handed in, oldest first",
        scope="members:read",
        run=homework,
        query=HomeworkQuery,
        answers={200: HomeworkList},
    ),
)
