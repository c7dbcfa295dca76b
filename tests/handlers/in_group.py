"""A group as its gateway hears it, and the bot in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from handlers.addressing import GroupSpeech
from handlers.context import Context, GroupChannels
from handlers.group_dialogue import converse
from handlers.message import Message, Reply, Talk
from store.groups import Group, GroupRules
from tests.handlers.conftest import Conversation

QUN = "qun"
BOT = "gh_1"
SPEECH = GroupSpeech(names=("小知",))
WHISPERING = GroupChannels(posting=frozenset({QUN}), whispering=frozenset({QUN}))


def group(**fields: Any) -> Group:
    """A bound group; what a test does not care about is filled in."""
    usual: dict[str, Any] = {
        "id": 1,
        "place": "qun:1@chatroom",
        "channel": QUN,
        "external_id": "1@chatroom",
        "name": "读书群",
        "alias": None,
        "route": "",
        "owner": "",
        "rules": GroupRules(),
        "known_at": 0.0,
        "bound_at": 1.0,
        "left_at": None,
    }
    return Group(**{**usual, **fields})


class GroupTalk:
    """Says things in a group and hears what the bot says there.

    aside: what only who spoke last was told; options: buttons that all see. group, speech,
    channels: as the bot has them.
    """

    def __init__(self, private: Conversation) -> None:
        self.private = private
        self.store = private.store
        self.group = group()
        self.speech = SPEECH
        self.channels = GroupChannels(posting=frozenset({QUN}))
        self.aside: list[str] = []
        self.options: list[str] = []
        self.reply = Reply.none()
        self.handler = ""
        self.ctx: Context | None = None

    def message(self, text: str, who: str = "o_lin", **talk: Any) -> Message:
        said = self.private.message(text, who)
        told = Talk("1@chatroom", message_id=said.key[:8], **talk)
        return replace(said, channel=QUN, source="onebot", talk=told)

    async def hear(self, message: Message, change: Callable[[Context], None] | None = None) -> str:
        """What everybody reads, "" for nothing."""
        ctx = self.ctx = await self.private.context(message)
        ctx.group, ctx.channels = self.group, self.channels
        if change is not None:
            change(ctx)
        done = await converse(message, ctx, self.speech)
        assert ctx.then == []
        assert done.reply.kind in ("text", "none")
        self.reply, self.handler = done.reply, done.handler
        self.aside = [one.content for one in ctx.aside]
        self.options = [one.word for one in ctx.options]
        return done.reply.content

    async def say(self, text: str, who: str = "o_lin", **talk: Any) -> str:
        """Said into the group, to nobody in particular."""
        return await self.hear(self.message(text, who, **talk))

    async def ask(self, text: str, who: str = "o_lin", **talk: Any) -> str:
        """Said with a mention of the bot."""
        return await self.say(f"@小知 {text}", who, addressed=True, **talk)
