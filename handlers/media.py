"""What we cannot read: pictures, sounds, places. A friendly word instead of silence.

A voice message that WeChat has put into words is a question and passes through.
"""

from __future__ import annotations

from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router

router = Router("media")

_ANSWERS = {
    "image": "media.image",
    "voice": "media.voice_no_text",
    "video": "media.video",
    "shortvideo": "media.video",
    "location": "media.location",
    "link": "media.link",
    "miniprogrampage": "media.other",
}


def _unheard(message: Message, ctx: Context) -> bool:
    return message.kind != "voice" or not message.text.strip()


@router.kind(*_ANSWERS, guard=_unheard, where="both")
async def explain(message: Message, ctx: Context) -> Reply:
    """Say that we can't read this, and what to do instead."""
    return Reply.text(ctx.texts(_ANSWERS[message.kind]))


@router.kind("unknown", where="both")
async def ignore(message: Message, ctx: Context) -> Reply:
    """Whatever WeChat adds tomorrow: recorded, not answered."""
    return Reply.none()
