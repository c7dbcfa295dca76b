"""Messages that nobody asked for just now: planned here, sent once by `bot/late.py`.

WeChat lets an account write to who wrote to it within 48 hours, a few times. Whoever plans
learns whether this is possible; what is not sent now is not sent later either, because it
would then no longer be news.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from handlers.message import Reply, reply_to_json
from store import Store


class Pushes:
    """channels: those that may push. wake: tells the worker that something is due.

    free: channels where writing to somebody costs nothing, but is to be kept for operators.
    """

    def __init__(
        self,
        store: Store,
        channels: Collection[str],
        *,
        now: Callable[[], float],
        wake: Callable[[], None],
        free: Collection[str] = (),
    ) -> None:
        self.channels = tuple(channels)
        self._free = tuple(free)
        self._store = store
        self._now = now
        self._wake = wake

    async def plan(self, key: bytes, member_id: int, reply: Reply) -> bool:
        """Send it, once, if it may be sent now; see `handlers.context.Pushes`."""
        planned = await self._store.sends.plan(
            key, member_id, reply_to_json(reply), self._now(), self.channels
        )
        if planned:
            self._wake()
        return planned

    async def tell(self, key: bytes, member_id: int, words: str) -> bool:
        """Tell an operator something, once; by a gateway where no account may write to them.

        words: links of message menus become the words they stand for where nobody can tap them.
        """
        if await self.plan(key, member_id, Reply.text(words)):
            return True
        plain = Reply.text(_MENU.sub(r"\1", words))
        planned = await self._store.sends.plan(
            key, member_id, reply_to_json(plain), self._now(), (), free=self._free
        )
        if planned:
            self._wake()
        return planned

    async def show(self, key: bytes, member_id: int, channel: str, media_id: str) -> bool:
        """Send a picture that was uploaded to a channel, once; False when it may not be now."""
        planned = channel in self.channels and await self._store.sends.plan(
            key, member_id, reply_to_json(Reply.image(media_id)), self._now(), (channel,)
        )
        if planned:
            self._wake()
        return planned


_MENU = re.compile(r'<a href="weixin://bizmsgmenu[^"]*">(.*?)</a>', re.DOTALL)
