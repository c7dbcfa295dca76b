"""An answer in the pieces that WeChat can carry, and what a message allows to be pushed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.official import TEXT_LIMIT, split_text
from handlers.message import Message, Reply, reply_to_json
from store.messages import Late

_BURST_EVENTS = frozenset({"subscribe", "scan", "click", "scancode_push", "scancode_waitmsg"})


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


def opens(message: Message) -> tuple[int, int]:
    """Customer-service messages that this message allows: (for 48 h, for one minute).

    Source: reference 3.1; a click on a message menu counts as a menu click.
    """
    if message.kind != "event":
        return (0, 3) if message.raw.get("bizmsgmenuid") else (5, 0)
    return (0, 3) if message.event in _BURST_EVENTS else (0, 0)
