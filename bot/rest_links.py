"""The REST API for tracked links: made, told apart by member, reported on, revoked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bot.links import BadLink, Linker
from bot.rest import (
    ITEM_ID,
    NUMBER,
    Answer,
    Call,
    Fault,
    Operation,
    Problem,
    Time,
    invalid,
    not_found,
    stamp,
    unix,
)
from store.links import Link, Target

MAX_MEMBERS = 1000
_PAGE = 500

# "$" alone would let a line break at the end through.
_END = r"(?!\n)$"
_LINE = r"^[^\u0000-\u001f\u007f]*" + _END
_Word = Annotated[str, Meta(max_length=64, pattern=_LINE)]
_ItemId = Annotated[
    str, Meta(pattern=ITEM_ID.pattern[:-1] + _END, max_length=64, examples=["py-101"])
]
_Url = Annotated[
    str, Meta(min_length=1, max_length=2048, examples=["https://shop.example.com/sale"])
]
Source = Literal["campaign", "answer", "recommendation", "referral", "catalogue"]


class LinkBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A link wanted. Either item or url; the same wish gives the same link."""

    item: Annotated[
        _ItemId | None,
        Meta(description="An item's id: the link follows the item when its url changes."),
    ] = None
    url: Annotated[
        _Url | None,
        Meta(description="An item's url, or one on a host of links.allowed_hosts."),
    ] = None
    campaign: Annotated[_Word, Meta(description="The campaign it is for.")] = ""
    variant: Annotated[_Word, Meta(description="Its variant.")] = ""
    source: Annotated[
        Source | None, Meta(description="What it is part of; campaign when one is named.")
    ] = None
    ref: Annotated[
        str,
        Meta(max_length=128, pattern=_LINE, description="What exactly in that source."),
    ] = ""
    expires_at: Annotated[Time | None, Meta(description="Until then it works.")] = None

    def __post_init__(self) -> None:
        if (self.item is None) == (self.url is None):
            raise ValueError("give exactly one of item and url")
        if self.expires_at is not None:
            unix(self.expires_at)


class LinkOut(msgspec.Struct):
    """A link. url: the short address for everybody; item: null for a link to an address.

    target: where it was made to lead, null when that is the item's url, whatever it is.
    """

    id: int
    url: str
    item: str | None
    target: str | None
    campaign: str
    variant: str
    source: str
    ref: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class LinkList(msgspec.Struct):
    """A page of links. next: the cursor of the next page, null at the end."""

    links: list[LinkOut]
    next: int | None


class LinksQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which links."""

    cursor: Annotated[
        int, Meta(ge=0, le=2**62, description="Those after this one: `next` of the page before.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=_PAGE)] = 100
    campaign: Annotated[_Word, Meta(description="Only of this campaign.")] = ""


class DayCount(msgspec.Struct):
    """Clicks of one day in Shanghai."""

    day: str
    clicks: int


class LinkReport(msgspec.Struct):
    """What became of a link. Purchases are in the funnel report.

    leads_to: where it leads now, null when it is over.
    """

    link: LinkOut
    leads_to: str | None
    clicks: Annotated[int, Meta(description="By people.")]
    people: Annotated[
        int, Meta(description="Members among them, and each click of somebody unknown.")
    ]
    members: Annotated[int, Meta(description="The members among them.")]
    by_day: list[DayCount]
    previews: Annotated[int, Meta(description="Fetched by chats, to show a card.")]
    bots: Annotated[int, Meta(description="Fetched by other programs.")]
    last_click_at: str | None


class MembersBody(msgspec.Struct, forbid_unknown_fields=True):
    """For whom."""

    members: Annotated[
        list[Annotated[int, Meta(ge=1, le=2**62)]],
        Meta(min_length=1, max_length=MAX_MEMBERS, examples=[[1, 2]]),
    ]


class MemberLink(msgspec.Struct):
    """A link that says whose click it is."""

    member: int
    url: str


class MemberLinks(msgspec.Struct):
    """One for each member asked for, in that order."""

    urls: list[MemberLink]


def _linker(call: Call) -> Linker:
    linker: Linker | None = call.deps.linker
    if linker is None or not linker.public_url:
        raise Problem(
            409,
            "No links without an address",
            "Set server.public_url: short links begin with it.",
            type="no-public-url",
        )
    return linker


def _out(link: Link, linker: Linker) -> LinkOut:
    return LinkOut(
        id=link.id,
        url=linker.url_for(link),
        item=link.item_id or None,
        target=link.url or None,
        campaign=link.campaign,
        variant=link.variant,
        source=link.source,
        ref=link.ref,
        created_at=stamp(link.created_at),
        expires_at=None if link.expires_at is None else stamp(link.expires_at),
        revoked_at=None if link.revoked_at is None else stamp(link.revoked_at),
    )


async def _found(call: Call) -> Target:
    target = await call.deps.store.links.target(call.number("id"))
    if target is None:
        raise not_found("link")
    return target


async def create(call: Call) -> Answer:
    """Make a link, or find the one that says the same."""
    body: LinkBody = call.body
    linker = _linker(call)
    try:
        made = await linker.create(
            item_id=body.item or "",
            url=body.url or "",
            campaign=body.campaign,
            variant=body.variant,
            source=body.source or ("campaign" if body.campaign else ""),
            ref=body.ref,
            expires_at=None if body.expires_at is None else unix(body.expires_at),
            by=call.actor,
        )
    except BadLink as error:
        raise invalid(error.why, f"/{error.field}") from None
    return Answer(201 if made.fresh else 200, _out(made.link, linker))


async def index(call: Call) -> Answer:
    """Links in the order they were made, the bot's own among them."""
    asked: LinksQuery = call.query
    linker = _linker(call)
    links = await call.deps.store.links.page(asked.cursor, asked.limit + 1, asked.campaign)
    page = links[: asked.limit]
    more = len(links) > len(page)
    return Answer(
        body=LinkList([_out(link, linker) for link in page], page[-1].id if more else None)
    )


async def report(call: Call) -> Answer:
    """What became of a link."""
    linker = _linker(call)
    found = await call.deps.store.links.report(call.number("id"))
    if found is None:
        raise not_found("link")
    return Answer(
        body=LinkReport(
            link=_out(found.target.link, linker),
            leads_to=linker.follows(found.target, call.now) or None,
            clicks=found.clicks,
            people=found.people,
            members=found.members,
            by_day=[DayCount(day, clicks) for day, clicks in found.by_day],
            previews=found.previews,
            bots=found.bots,
            last_click_at=None if found.last_at is None else stamp(found.last_at),
        )
    )


async def revoke(call: Call) -> Answer:
    """End a link for all who have it; its report stays."""
    await _linker(call).revoke((await _found(call)).link.id, call.actor)
    return Answer(204)


async def for_members(call: Call) -> Answer:
    """The short address of a link for each of these members."""
    body: MembersBody = call.body
    linker = _linker(call)
    target = await _found(call)
    if target.link.revoked_at is not None:
        raise Problem(409, "Revoked", "This link was revoked; make another.", type="revoked")
    unknown = await call.deps.store.events.unknown_members(body.members)
    if unknown:
        raise Problem(
            422,
            "What was sent cannot be used",
            "errors says which members nobody has met.",
            type="invalid",
            errors=[
                Fault(f"/members/{place}", "is no member")
                for place, member in enumerate(body.members)
                if member in unknown
            ],
        )
    return Answer(
        body=MemberLinks(
            [MemberLink(member, linker.url_for(target.link, member)) for member in body.members]
        )
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/links",
        name="createLink",
        summary="Make a tracked link",
        description="201 when it is new, 200 when a link that says the same was there.",
        scope="links:write",
        run=create,
        body=LinkBody,
        answers={200: LinkOut, 201: LinkOut},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/links",
        name="listLinks",
        summary="All links, page by page",
        scope="links:read",
        run=index,
        query=LinksQuery,
        answers={200: LinkList},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/links/{id}",
        name="reportLink",
        summary="What became of a link",
        scope="links:read",
        run=report,
        params={"id": NUMBER},
        answers={200: LinkReport},
        problems=(409,),
    ),
    Operation(
        method="DELETE",
        path="/links/{id}",
        name="revokeLink",
        summary="End a link for all who have it",
        description="Its report stays; what it said may be wished again.",
        scope="links:write",
        run=revoke,
        params={"id": NUMBER},
        answers={204: None},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/links/{id}/members",
        name="linkMembers",
        summary="A link's address for each of many members",
        scope="links:write",
        run=for_members,
        params={"id": NUMBER},
        body=MembersBody,
        answers={200: MemberLinks},
        problems=(409,),
    ),
)
