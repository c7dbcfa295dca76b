"""A desk of operators for the tests of /group: conversations in private and in groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from handlers import GROUP_RULES
from handlers.context import Context, GroupChannels
from handlers.message import Message, Talk
from handlers.router import dispatch
from knowledge import Knowledge
from store import Store
from store.groups import Group, GroupRules
from tests.handlers.conftest import Conversation

GATE = "qun"
"""A gateway: hears everything, may post."""
WECOM = "robot"
"""A WeCom robot: hears who mentions it, cannot post."""
POSTER = "poster"
"""A group robot: posts into one group."""

CHANNELS = GroupChannels(
    posting=frozenset({GATE, POSTER}),
    hearing=frozenset({GATE}),
    whispering=frozenset({GATE}),
    robots=frozenset({POSTER}),
)


class Desk(Conversation):
    """A conversation of operators, in private and in groups. channels: what they can do."""

    channels = CHANNELS

    async def context(self, message: Message) -> Context:
        ctx = await super().context(message)
        ctx.channels = self.channels
        ctx.group = self.store.groups.known(message.place) if message.talk else None
        return ctx

    async def boss(self, text: str, *, crash_first: bool = False) -> str:
        return await self.say(text, "o_boss", crash_first=crash_first)

    async def in_group(self, group: Group, text: str, who: str = "o_boss") -> str:
        """What is answered in the group; "" for nothing."""
        message = replace(self.message(text, who), talk=Talk(group.external_id, addressed=True))
        message = replace(message, channel=group.channel)
        if who == "o_boss":
            number = (await self.store.members.meet(group.channel, who, self.at)).id
            await self.store.members.set_role(number, "operator")
        ctx = self.ctx = await super().context(message)
        ctx.member = await self.store.members.meet(group.channel, who, self.at)
        ctx.channels = self.channels
        ctx.group = self.store.groups.known(message.place)
        return (await dispatch(GROUP_RULES, message, ctx)).reply.content

    async def group(
        self, external_id: str = "1", channel: str = GATE, name: str = "学习群", bound: bool = True
    ) -> Group:
        by = "test" if bound else ""
        return await self.store.groups.meet(channel, external_id, self.at, name=name, bound_by=by)

    def now_of(self, group: Group) -> Group:
        found = self.store.groups.known(group.place)
        assert found is not None
        return found

    def rules(self, group: Group) -> GroupRules:
        return self.now_of(group).rules

    async def audits(self) -> list[tuple[str, str]]:
        return [(row.action, row.target) for row in await self.store.audit.newest()]

    async def posts(self) -> list[Mapping[str, Any]]:
        def read(conn: Any) -> list[Mapping[str, Any]]:
            rows = conn.execute(
                "select place, channel, kind, body, due_at, not_after, status from posts "
                "order by place"
            )
            names = ("place", "channel", "kind", "body", "due_at", "not_after", "status")
            return [dict(zip(names, row, strict=True)) for row in rows]

        return await self.store.db.read(read)


@pytest.fixture
async def desk(store: Store, loaded: Knowledge) -> Desk:
    """o_boss is an operator, o_eye an analyst, o_lin a member."""
    desk = Desk(store, loaded)
    await desk.reload()
    await desk.member()
    await desk.promote("o_boss")
    await desk.promote("o_eye", "analyst")
    return desk
