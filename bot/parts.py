"""What the conversation decided, in the pieces that WeChat can carry, and what a message allows
to be pushed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.official import SUCCESS, TEXT_LIMIT, split_text
from handlers.message import Message, Option, Reply, reply_to_json
from store.messages import Finished, Late
from store.sends import WAITING

_BURST_EVENTS = frozenset({"subscribe", "scan", "click", "scancode_push", "scancode_waitmsg"})


@dataclass(slots=True)
class Outcome:
    """What the conversation decided.

    erased: the member is gone; they are told so, and no more. text: what the log keeps of the
    message; None: what the member wrote. then: what follows the reply, each a message of its own.
    aside: what the member alone is told about what they asked in a group. options: what the reply
    offers to choose from.
    """

    reply: Reply
    handler: str
    item: str = ""
    erased: bool = False
    text: str | None = None
    then: tuple[Reply, ...] = ()
    aside: tuple[Reply, ...] = ()
    options: tuple[Option, ...] = ()


def passive_parts(reply: Reply, more: str) -> list[Reply]:
    """The reply in pieces of at most 2048 bytes; only text is ever more than one.

    more: the line that says how to get the rest; room is left for it.
    """
    content = reply.content
    if reply.kind != "text" or len(content) * 4 <= TEXT_LIMIT:
        return [reply]
    if len(content.encode("utf-8", "replace")) <= TEXT_LIMIT:
        return [reply]
    return [Reply.text(part) for part in split_text(content, TEXT_LIMIT - len(more.encode()) - 1)]


def late_parts(parts: Sequence[Reply], status: str, transfer_again: str) -> tuple[Late, ...]:
    """The pieces as rows to be sent or fetched. Nothing to say: ().

    transfer_again: said instead of a hand-over, which exists only as an answer.
    """
    replies = [
        Reply.text(transfer_again) if reply.kind == "transfer" else reply
        for reply in parts
        if reply.kind != "none"
    ]
    return tuple(Late(number, reply_to_json(reply), status) for number, reply in enumerate(replies))


def later_parts(rest: Sequence[Reply], then: Sequence[Reply], status: str) -> tuple[Late, ...]:
    """Rows for what comes behind a first part that goes back in its exchange; () for nothing.

    rest: its other parts, which the member fetches. then: messages that follow, `status`,
    unless there is a rest: they must not overtake it.
    """
    ways = [WAITING] * len(rest) + [WAITING if rest else status] * len(then)
    return tuple(
        Late(number, reply_to_json(reply), way)
        for number, (reply, way) in enumerate(zip((*rest, *then), ways, strict=True), 1)
    )


def addressed(late: Sequence[Late], message: Message) -> tuple[Late, ...]:
    """The rows of an answer, sent to where it was asked; each group message quotes the question."""
    talk = message.talk
    if talk is None:
        return tuple(late)
    return tuple(one._replace(place=message.place, quote=talk.message_id) for one in late)


def aside_parts(aside: Sequence[Reply], after: int, status: str) -> tuple[Late, ...]:
    """Rows for what only the member is to read; after: rows that the answer has already."""
    return tuple(
        Late(number, reply_to_json(reply), status) for number, reply in enumerate(aside, after + 1)
    )


def pushes_to_anybody(message: Message) -> bool:
    """Whether its sender can be sent to when nobody knows them any more.

    An official account pays for a push with an allowance that went with the member. Where nothing
    is paid, who was forgotten is told so, and that row goes as soon as it left (`store/sends.py`).
    """
    return message.source != "official"


def opens(message: Message) -> tuple[int, int]:
    """Customer-service messages that this message allows: (for 48 h, for one minute).

    Only official accounts have them. Source: reference 3.1; a click on a message menu counts as
    a menu click.
    """
    if message.source != "official":
        return (0, 0)
    if message.kind != "event":
        return (0, 3) if message.raw.get("bizmsgmenuid") else (5, 0)
    return (0, 3) if message.event in _BURST_EVENTS else (0, 0)


def end_of(message: Message, outcome: Outcome, at: float) -> Finished:
    """The end of a message, without the bytes of its reply and what is sent later."""
    allowance, burst = opens(message)
    event = message.kind == "event"
    return Finished(
        key=bytes.fromhex(message.key),
        reply=SUCCESS,
        at=at,
        channel=message.channel,
        # Nobody's: no interaction is written down, and nobody was seen.
        sender="" if message.is_report else message.sender,
        kind=f"event:{message.event}" if event else message.kind,
        text=outcome.text
        if outcome.text is not None
        else (message.event_key if event else message.text),
        handler=outcome.handler,
        item=outcome.item,
        allowance=allowance,
        burst=burst,
        place=message.place,
    )
