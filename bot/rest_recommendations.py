"""The REST API for recommendations: what to show a member in the shop, what goes with an item.

Nothing is ranked here. A list is written down before it is given, like those of the chat, so a shop
asks for one when it is about to show it, and names it in the clicks that it reports.
"""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from bot.rest import ITEM_ID, NUMBER, Answer, Call, Operation, Problem, not_found
from bot.rest_path import JSON_MAX
from handlers.recommending import Recommendations, Wish

_COUNT = Annotated[int, Meta(ge=1, le=50, description="At most so many.")]


class WhyOut(msgspec.Struct):
    """One reason. kind: finished, bought, viewed (name: the item that the member did it with),
    community, tag, author, series, topic, level, tier (name: which), popular, new, explored.

    share: of what speaks for the item, 0 to 1.
    """

    kind: str
    name: str
    share: float


class PickOut(msgspec.Struct):
    """One place. explored: chance put it there, to learn about it; why: the strongest first."""

    item_id: str
    position: int
    ranker: str
    score: float
    explored: bool
    why: list[WhyOut]


class Recommended(msgspec.Struct):
    """What to show, best first. list_id: its number, null when nothing is left for them; ref: to be
    sent with their clicks; ranker: ours, popular, item_item, lightfm or interleaved; model: its
    name, "" without one."""

    list_id: int | None
    ref: str
    ranker: str
    model: str
    items: list[PickOut]


class SimilarOut(msgspec.Struct):
    """One item that goes with another one. score: the higher, the better."""

    item_id: str
    score: float


class SimilarList(msgspec.Struct):
    """What goes with an item, best first; empty when nothing does."""

    items: list[SimilarOut]


class RecommendedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody is after."""

    count: _COUNT = 10
    topic: Annotated[
        str,
        Meta(
            max_length=64,
            pattern=r"^[^\u0000-\u001f\u007f]*(?!\n)$",
            description="Words that must all be in the title, tags, authors or summary.",
        ),
    ] = ""
    most_cents: (
        Annotated[int, Meta(ge=0, le=JSON_MAX, description="In fen: nothing dearer.")] | None
    ) = None


class SimilarQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many."""

    count: _COUNT = 10


def _service(call: Call) -> Recommendations:
    service = call.deps.recommendations
    if service is None or not service.status().enabled:
        raise Problem(
            409,
            "Switched off",
            "Set recommendations.enabled in the configuration.",
            type="switched-off",
        )
    return service


async def recommend(call: Call) -> Answer:
    """What to show a member now."""
    asked: RecommendedQuery = call.query
    member_id = call.number("id")
    service = _service(call)
    if await call.deps.store.members.card(member_id) is None:
        raise not_found("member")
    wish = Wish(topic=asked.topic.strip(), most_cents=asked.most_cents)
    number, _ = await service.recommend(
        member_id, secrets.token_bytes(16), "api", asked.count, wish, call.now
    )
    kept = await call.deps.store.recommendations.get(number) if number else None
    if kept is None:
        return Answer(body=Recommended(None, "", "", "", []))
    items = [
        PickOut(
            item_id=one.item_id,
            position=position,
            ranker=one.ranker,
            score=one.score or 0.0,
            explored=one.explored,
            why=[WhyOut(*why) for why in msgspec.json.decode(one.why or "[]")],
        )
        for position, one in enumerate(kept.shown, 1)
    ]
    return Answer(body=Recommended(kept.id, f"rec:{kept.id}", kept.ranker, kept.model, items))


async def similar(call: Call) -> Answer:
    """What goes with an item."""
    asked: SimilarQuery = call.query
    service = _service(call)
    item_id = call.path["id"]
    if await call.deps.store.catalogue.item(item_id) is None:
        raise not_found("item")
    found = await service.similar(item_id, asked.count)
    return Answer(body=SimilarList([SimilarOut(pick.item, pick.score) for pick in found]))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/members/{id}/recommendations",
        name="recommendItems",
        summary="What to show a member now, and why",
        description="What they have, refused or may not have yet is left out. The list is written "
        "down as shown: ask when you are about to show it, and send its ref with their clicks.",
        scope="members:read",
        run=recommend,
        params={"id": NUMBER},
        query=RecommendedQuery,
        answers={200: Recommended},
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/items/{id}/similar",
        name="listSimilarItems",
        summary="What goes with an item",
        description="The same for everybody; nothing is written down.",
        scope="items:read",
        run=similar,
        params={"id": ITEM_ID},
        query=SimilarQuery,
        answers={200: SimilarList},
        problems=(409,),
    ),
)
