"""The REST API for the catalogue: the shop puts its items in and takes them off again."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bot.rest import (
    ITEM_ID,
    Answer,
    Call,
    Fault,
    Line,
    Operation,
    Problem,
    Time,
    all_good,
    invalid,
    not_found,
    stamp,
    unix,
)
from bot.transfer import MAX_AUTHORS, MAX_CHAPTERS, MAX_REQUIRES, MAX_TAGS, MAX_TIERS
from store.catalogue import Chapter, Item, Tier

MAX_ITEMS = 5000
_PAGE = 500
_MAX_CENTS = 10**9 - 1

# "$" alone would let a line break at the end through.
_END = r"(?!\n)$"
_PLAIN = r"[^\u0000-\u001f\u007f]"
_PLAIN_TEXT = rf"^{_PLAIN}*\S{_PLAIN}*{_END}"
_WORD_TEXT = r"^[^|\u0000-\u001f\u007f]*[^\s|][^|\u0000-\u001f\u007f]*" + _END

Id = Annotated[
    str,
    Meta(
        pattern=ITEM_ID.pattern[:-1] + _END,
        max_length=64,
        description="Yours, and unique: letters, digits, - _ .",
        examples=["py-101"],
    ),
]
Kind = Literal["course", "column", "ebook", "live", "consulting"]
Title = Annotated[str, Meta(min_length=1, max_length=120, pattern=_PLAIN_TEXT)]
Word = Annotated[str, Meta(min_length=1, max_length=40, pattern=_WORD_TEXT)]
Cents = Annotated[int, Meta(ge=0, le=_MAX_CENTS, description="In fen.")]
Url = Annotated[
    str,
    Meta(
        max_length=1024,
        pattern=r"^(?:https?://[^\s/?#\\\u0000-\u001f]+[^\s\u0000-\u001f]*)?" + _END,
        description="http:// or https://; empty for none.",
        examples=["https://shop.example.com/py-101"],
    ),
]

NeedsTier = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^(?:[a-z0-9][a-z0-9-]{0,31})?" + _END,
        description="The membership that its links are for; empty for everybody.",
        examples=["paid-monthly"],
    ),
]


Series = Annotated[
    str,
    Meta(
        max_length=40,
        pattern=rf"^(?:{_WORD_TEXT[1 : -len(_END)]})?{_END}",
        description="What it is a part of; empty for nothing.",
        examples=["Python 之路"],
    ),
]


class TierBody(msgspec.Struct, forbid_unknown_fields=True):
    """One of several prices."""

    name: Annotated[str, Meta(min_length=1, max_length=20, pattern=_WORD_TEXT, examples=["早鸟"])]
    price_cents: Cents


class ChapterBody(msgspec.Struct, forbid_unknown_fields=True):
    """One step of a course or column. id: its place, from 1, when left out."""

    title: Annotated[str, Meta(min_length=1, max_length=120, pattern=_WORD_TEXT, examples=["变量"])]
    id: Annotated[
        str,
        Meta(max_length=64, pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,63})?" + _END),
    ] = ""
    url: Url = ""


class ItemBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An item of the catalogue, whole: what is left out is empty afterwards."""

    id: Id
    kind: Kind
    title: Title
    summary: Annotated[str, Meta(max_length=2000, pattern=r"^[^\u0000]*$")] = ""
    tags: Annotated[list[Word], Meta(max_length=MAX_TAGS)] = []
    authors: Annotated[list[Word], Meta(max_length=MAX_AUTHORS)] = []
    level: Annotated[str, Meta(max_length=20, pattern=rf"^{_PLAIN}*{_END}")] = ""
    price_cents: Cents = 0
    url: Url = ""
    cover_url: Url = ""
    published_at: Time | None = None
    tiers: Annotated[list[TierBody], Meta(max_length=MAX_TIERS)] = []
    chapters: Annotated[list[ChapterBody], Meta(max_length=MAX_CHAPTERS)] = []
    needs_tier: NeedsTier = ""
    series: Series = ""
    requires: Annotated[
        list[Id],
        Meta(max_length=MAX_REQUIRES, description="Items that one should have taken before."),
    ] = []
    available_from: Time | None = None
    available_until: Time | None = None

    def __post_init__(self) -> None:
        if self.published_at is not None:
            unix(self.published_at)
        begins = 0.0 if self.available_from is None else unix(self.available_from)
        if self.available_until is not None and unix(self.available_until) <= begins:
            raise ValueError("available_until is not after available_from")
        if self.id in self.requires:
            raise ValueError("an item cannot require itself")
        ids = [chapter.id or str(place) for place, chapter in enumerate(self.chapters, 1)]
        if len(set(ids)) != len(ids):
            raise ValueError("two chapters have the same id")


class ItemOut(msgspec.Struct):
    """An item as it is kept; it may be sent back as it is."""

    id: str
    kind: str
    title: str
    summary: str
    tags: list[str]
    authors: list[str]
    level: str
    price_cents: int
    url: str
    cover_url: str
    published_at: str | None
    tiers: list[TierBody]
    chapters: list[ChapterBody]
    needs_tier: str
    series: str
    requires: list[str]
    available_from: str | None
    available_until: str | None


class ItemList(msgspec.Struct):
    """A page of items. next: the cursor of the next page, null at the end."""

    items: list[ItemOut]
    next: str | None


class ItemQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which items."""

    cursor: Annotated[str, Meta(max_length=64, description="`next` of the page before.")] = ""
    limit: Annotated[int, Meta(ge=1, le=_PAGE)] = 100
    q: Annotated[
        str,
        Meta(
            max_length=200,
            description="Full text, best first; such an answer has one page.",
            examples=["Python 入门"],
        ),
    ] = ""
    tag: Annotated[str, Meta(max_length=40, description="Only with this tag.")] = ""
    kind: Annotated[Kind | None, Meta(description="Only of this kind.")] = None


class PartialQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How to take a batch."""

    partial: Annotated[bool, Meta(description="Store the good lines although others are bad.")] = (
        False
    )


class StoredItems(msgspec.Struct):
    """What became of a batch. errors: the refused lines, with partial=true only."""

    stored: int
    refused: int
    errors: list[Fault]


def _item(body: ItemBody) -> Item:
    return Item(
        id=body.id,
        kind=body.kind,
        title=body.title.strip(),
        summary=body.summary.strip(),
        tags=tuple(dict.fromkeys(tag.strip() for tag in body.tags)),
        authors=tuple(dict.fromkeys(author.strip() for author in body.authors)),
        level=body.level.strip(),
        price_cents=body.price_cents,
        url=body.url,
        cover_url=body.cover_url,
        published_at=0.0 if body.published_at is None else unix(body.published_at),
        tiers=tuple(Tier(tier.name.strip(), tier.price_cents) for tier in body.tiers),
        chapters=tuple(
            Chapter(chapter.id or str(place), chapter.title.strip(), chapter.url)
            for place, chapter in enumerate(body.chapters, 1)
        ),
        needs_tier=body.needs_tier,
        series=body.series.strip(),
        requires=tuple(dict.fromkeys(body.requires)),
        available_from=0.0 if body.available_from is None else unix(body.available_from),
        available_until=None if body.available_until is None else unix(body.available_until),
    )


def _out(item: Item) -> ItemOut:
    return ItemOut(
        id=item.id,
        kind=item.kind,
        title=item.title,
        summary=item.summary,
        tags=list(item.tags),
        authors=list(item.authors),
        level=item.level,
        price_cents=item.price_cents,
        url=item.url,
        cover_url=item.cover_url,
        published_at=stamp(item.published_at) if item.published_at else None,
        tiers=[TierBody(tier.name, tier.price_cents) for tier in item.tiers],
        chapters=[ChapterBody(c.title, c.id, c.url) for c in item.chapters],
        needs_tier=item.needs_tier,
        series=item.series,
        requires=list(item.requires),
        available_from=stamp(item.available_from) if item.available_from else None,
        available_until=None if item.available_until is None else stamp(item.available_until),
    )


def _fits(item: Item, asked: ItemQuery) -> bool:
    return (asked.kind is None or item.kind == asked.kind) and (
        not asked.tag or asked.tag in item.tags
    )


async def index(call: Call) -> Answer:
    """Items by id, or those a question finds."""
    asked: ItemQuery = call.query
    catalogue = call.deps.store.catalogue
    if asked.q:
        if asked.cursor:
            raise Problem(
                400,
                "Bad query",
                "A full-text search has one page: leave cursor out.",
                type="bad-query",
                errors=[Fault("/cursor", "does not go with q")],
            )
        found = call.deps.find_items(asked.q, _PAGE)
        known = await catalogue.known(found)
        items = [known[name] for name in found if name in known and _fits(known[name], asked)]
        return Answer(body=ItemList([_out(item) for item in items[: asked.limit]], None))
    after, items = asked.cursor, []
    while len(items) <= asked.limit:
        page = await catalogue.page(after, _PAGE)
        items += [item for item in page if _fits(item, asked)]
        if len(page) < _PAGE:
            break
        after = page[-1].id
    more = len(items) > asked.limit
    items = items[: asked.limit]
    return Answer(body=ItemList([_out(item) for item in items], items[-1].id if more else None))


async def show(call: Call) -> Answer:
    """One item."""
    item = await call.deps.store.catalogue.item(call.path["id"])
    if item is None:
        raise not_found("item")
    return Answer(body=_out(item))


async def put(call: Call) -> Answer:
    """Make an item, or replace it whole."""
    body: ItemBody = call.body
    if body.id != call.path["id"]:
        raise invalid("is not the id in the path", "/id")
    catalogue = call.deps.store.catalogue
    new = await catalogue.item(body.id) is None
    item = _item(body)
    await catalogue.put([item], call.now)
    await call.audit("item.put", f"item:{item.id}", "new" if new else "replaced")
    await call.deps.reload(f"item:{item.id}")
    return Answer(201 if new else 200, _out(item))


async def put_many(call: Call) -> Answer:
    """Make or replace many items: all of them, or with partial=true the good ones."""
    asked: PartialQuery = call.query
    lines = _once(call.body)
    if not asked.partial:
        all_good(lines)
    items = [_item(line.value) for line in lines if line.value is not None]
    faults = [line.fault for line in lines if line.fault is not None]
    if items:
        await call.deps.store.catalogue.put(items, call.now)
        await call.audit("items.put", "items", f"{len(items)} stored, {len(faults)} refused")
        await call.deps.reload(*(f"item:{item.id}" for item in items))
    return Answer(body=StoredItems(len(items), len(faults), faults))


def _once(lines: list[Line[ItemBody]]) -> list[Line[ItemBody]]:
    """The lines, those with an id that stood before made bad: which one would hold?"""
    seen: dict[str, int] = {}
    told: list[Line[ItemBody]] = []
    for line in lines:
        if line.value is not None and line.value.id in seen:
            said = f"this id stands in line {seen[line.value.id]} too"
            told.append(Line(line.number, None, Fault("/id", said, line.number)))
            continue
        if line.value is not None:
            seen[line.value.id] = line.number
        told.append(line)
    return told


async def archive(call: Call) -> Answer:
    """Take an item off the shelf; who bought it keeps seeing it."""
    item_id = call.path["id"]
    if not await call.deps.store.catalogue.archive(item_id, call.now):
        raise not_found("item")
    await call.audit("item.archive", f"item:{item_id}")
    await call.deps.reload(f"item:{item_id}")
    return Answer(204)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/items",
        name="listItems",
        summary="The catalogue, page by page or searched",
        scope="items:read",
        run=index,
        query=ItemQuery,
        answers={200: ItemList},
    ),
    Operation(
        method="POST",
        path="/items",
        name="putItems",
        summary="Make or replace many items",
        description="A line that is not good refuses all of them, unless partial=true.",
        scope="items:write",
        run=put_many,
        query=PartialQuery,
        body=ItemBody,
        body_type="ndjson",
        max_bytes=20 << 20,
        max_lines=MAX_ITEMS,
        max_line=1 << 20,
        answers={200: StoredItems},
    ),
    Operation(
        method="GET",
        path="/items/{id}",
        name="getItem",
        summary="One item",
        scope="items:read",
        run=show,
        params={"id": ITEM_ID},
        answers={200: ItemOut},
    ),
    Operation(
        method="PUT",
        path="/items/{id}",
        name="putItem",
        summary="Make an item or replace it",
        scope="items:write",
        run=put,
        params={"id": ITEM_ID},
        body=ItemBody,
        max_bytes=1 << 20,
        answers={200: ItemOut, 201: ItemOut},
    ),
    Operation(
        method="DELETE",
        path="/items/{id}",
        name="archiveItem",
        summary="Take an item off the shelf",
        scope="items:write",
        run=archive,
        params={"id": ITEM_ID},
        answers={204: None},
    ),
)
