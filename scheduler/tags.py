"""Keeps WeChat's tags in step with ours, for the tags that an operator wants there.

Nothing is kept but what WeChat said yes to (`store/wechat_tags.py`): what is missing there is
done at the next run, after a kill or an answer that nobody heard too. Putting a tag on twice is
putting it on once, so nothing here needs to be unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from scheduler.rules import CampaignRules
from scheduler.sending import End, Sent
from store import Store, paces, wechat_tags
from store.dialect import Connection
from store.wechat_tags import BATCH, Bearers, WeChatTag

log = structlog.get_logger()

FULL = 45056
"""WeChat: the account has 100 tags already."""

TOO_MANY_FANS = 45057
NO_SUCH_TAG = 45159
BAD_NAME = 45158
NAME_TAKEN = 45157

OF_A_MEMBER = frozenset({45059, 40003, 40031, 43004, 43019, 46004, 49003, 50005})
"""What WeChat says to a whole call for one member in it: 20 tags already (45059), or a stranger."""

_LUMP = 10
_REST_S = 3600.0
_MEMBER_REST_S = 86_400.0


class TagSide(Protocol):
    """What this asks of `scheduler.sending.Sender`."""

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        """A tag of this name at WeChat, made if there is none; its number."""

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        """Put a tag on at most 50 members, or take it off."""

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        """Remove a tag at WeChat; one that is not there is removed already."""


class _Halt(Exception):
    """This tag goes no further in this run. note: for the operator; rest_s: leave it so long.

    account: nothing of this account goes further.
    """

    def __init__(self, note: str, rest_s: float = 0.0, *, account: bool = False) -> None:
        super().__init__(note)
        self.note = note
        self.rest_s = rest_s
        self.account = account


class TagSync:
    """One run of it at a time. now: Unix seconds.

    What WeChat refuses for good is asked again after an hour, a member it refuses after a day.
    Only that is kept in memory: a restart asks once more.
    """

    def __init__(
        self, store: Store, sender: TagSide, rules: CampaignRules, *, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._sender = sender
        self._rules = rules
        self._now = now
        self._rests: dict[tuple[str, str], float] = {}
        self._refused: dict[tuple[str, str, int], float] = {}
        self._tokens: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()

    async def run(self) -> str:
        """Do what is missing as far as the pace allows; "" for nothing. Errors: StoreError."""
        now = self._now()
        self._rests = {key: until for key, until in self._rests.items() if until > now}
        self._refused = {key: until for key, until in self._refused.items() if until > now}
        self._taken.clear()
        done: Counter[str] = Counter()
        halted: set[str] = set()
        try:
            for one in await self._store.wechat_tags.all():
                if one.channel in halted or self._resting(one.channel, one.tag):
                    continue
                try:
                    await self._follow(one, done)
                except _Halt as halt:
                    await self._halted(one, halt)
                    if halt.account:
                        halted.add(one.channel)
        finally:
            await self._give_tokens_back()
        return ", ".join(f"{count} {what}" for what, count in sorted(done.items()))

    def _resting(self, channel: str, tag: str) -> bool:
        return (channel, tag) in self._rests or (channel, "") in self._rests

    async def _halted(self, one: WeChatTag, halt: _Halt) -> None:
        if halt.rest_s:
            key = (one.channel, "" if halt.account else one.tag)
            self._rests[key] = self._now() + halt.rest_s
        if halt.note and halt.note != one.note:
            log.warning("tag not in step", channel=one.channel, why=halt.note)
            await self._note(one, halt.note)

    async def _note(self, one: WeChatTag, note: str, synced_at: float | None = None) -> None:
        await self._store.db.write(
            lambda conn: wechat_tags.noted(conn, one.channel, one.tag, note, synced_at)
        )

    # One tag

    async def _follow(self, one: WeChatTag, done: Counter[str]) -> None:
        if not one.kept:
            await self._drop(one, done)
            return
        tag_id = one.wechat_id
        if tag_id is None:
            tag_id = await self._make(one)
            done["tags made"] += 1
        left = await self._put(one, tag_id, True, done)
        left += await self._put(one, tag_id, False, done)
        if left:
            await self._note(one, f"members:{left}")
        else:
            await self._note(one, "", self._now())

    async def _make(self, one: WeChatTag) -> int:
        await self._forgotten(wechat_tags.lost, one)
        await self._token(one.channel)
        got = await self._sender.make_tag(one.channel, one.tag)
        if isinstance(got, Sent):
            if got.errcode == FULL:
                raise _Halt("full", _REST_S)
            if got.errcode in (BAD_NAME, NAME_TAKEN):
                raise _Halt("name", _REST_S)
            raise await self._ended(one.channel, got)
        number = got
        await self._store.db.write(
            lambda conn: wechat_tags.made(conn, one.channel, one.tag, number)
        )
        return number

    async def _put(
        self, one: WeChatTag, tag_id: int, on: bool, done: Counter[str], *, everybody: bool = False
    ) -> int:
        """Put it on who misses it, or take it off who has it too many; how many are left over."""
        after = left = 0

        def next_batch(conn: Connection) -> Bearers:
            if on:
                return wechat_tags.missing(conn, one.channel, one.tag, after=after)
            return wechat_tags.surplus(conn, one.channel, one.tag, after=after, everybody=everybody)

        while batch := await self._store.db.read(next_batch):
            after = batch[-1][0]
            asked = [row for row in batch if (one.channel, one.tag, row[0]) not in self._refused]
            left += len(batch) - len(asked)
            left += await self._call(one, tag_id, asked, on, done)
            if len(batch) < BATCH:
                break
        return left

    async def _call(
        self, one: WeChatTag, tag_id: int, batch: Bearers, on: bool, done: Counter[str]
    ) -> int:
        """One call; halves of it when WeChat refuses somebody in it. How many it refuses."""
        if not batch:
            return 0
        await self._token(one.channel)
        sent = await self._sender.tag(one.channel, tag_id, [row[1] for row in batch], on)
        members = [row[0] for row in batch]
        alone = sent.end is End.REFUSED and sent.errcode in OF_A_MEMBER
        if sent.end is End.ACCEPTED or (alone and not on and len(batch) == 1):
            # Who is a stranger to WeChat carries nothing there.
            await self._wrote(one, members, on)
            done["members tagged" if on else "members untagged"] += len(batch)
            return 0
        if sent.errcode == NO_SUCH_TAG:
            # Somebody removed it in WeChat's console: made anew at the next run.
            await self._forgotten(wechat_tags.lost, one)
            raise _Halt("gone")
        if not alone:
            raise await self._ended(one.channel, sent)
        if len(batch) == 1:
            self._refused[one.channel, one.tag, members[0]] = self._now() + _MEMBER_REST_S
            return 1
        half = len(batch) // 2
        return await self._call(one, tag_id, batch[:half], on, done) + await self._call(
            one, tag_id, batch[half:], on, done
        )

    async def _wrote(self, one: WeChatTag, members: Sequence[int], on: bool) -> None:
        def run(conn: Connection) -> None:
            if on:
                wechat_tags.tagged(conn, one.channel, one.tag, members, self._now())
            else:
                wechat_tags.untagged(conn, one.channel, one.tag, members)

        await self._store.db.write(run)

    async def _drop(self, one: WeChatTag, done: Counter[str]) -> None:
        if one.wechat_id is not None and not await self._removed(one, one.wechat_id):
            # More than 100,000 carry it: WeChat wants it taken off first.
            await self._put(one, one.wechat_id, False, done, everybody=True)
            if not await self._removed(one, one.wechat_id):
                raise _Halt("crowded", _REST_S)
        await self._forgotten(wechat_tags.dropped, one)
        done["tags dropped"] += 1

    async def _removed(self, one: WeChatTag, tag_id: int) -> bool:
        """Whether WeChat has it no more; False when too many carry it."""
        await self._token(one.channel)
        sent = await self._sender.drop_tag(one.channel, tag_id)
        if sent.end is End.ACCEPTED or sent.errcode == NO_SUCH_TAG:
            return True
        if sent.errcode == TOO_MANY_FANS:
            return False
        raise await self._ended(one.channel, sent)

    async def _forgotten(
        self, forget: Callable[[Connection, str, str], bool], one: WeChatTag
    ) -> None:
        """Forget who carried it, in transactions that nobody has to wait long for."""
        while not await self._store.db.write(lambda conn: forget(conn, one.channel, one.tag)):
            pass

    async def _ended(self, channel: str, sent: Sent) -> _Halt:
        """What follows from a call that was not done, or that nobody heard of."""
        now = self._now()
        if sent.pace_s:
            await self._store.db.write(
                lambda conn: paces.close(conn, _pace(channel), now + sent.pace_s, now)
            )
        if sent.end in (End.LATER, End.UNKNOWN):
            return _Halt("later", max(sent.after_s, sent.pace_s), account=True)
        account = sent.end is End.STOP
        return _Halt(f"refused:{sent.errcode or 0}", _REST_S, account=account)

    # The pace

    async def _token(self, channel: str) -> None:
        """Wait for nobody: without a token the rest is for the next run.

        At most half of a minute's calls in one run: campaigns by tag need them, too.
        """
        if not self._tokens[channel]:
            per_minute = self._rules.tag_per_minute
            want = min(_LUMP, max(1, per_minute // 2) - self._taken[channel])
            if want <= 0:
                raise _Halt("", account=True)
            now = self._now()
            got = await self._store.db.write(
                lambda conn: paces.take(conn, _pace(channel), want, per_minute, per_minute, now)
            )
            if not got.count:
                raise _Halt("", account=True)
            self._tokens[channel] += got.count
            self._taken[channel] += got.count
        self._tokens[channel] -= 1

    async def _give_tokens_back(self) -> None:
        unused = {channel: count for channel, count in self._tokens.items() if count}
        self._tokens.clear()
        if unused:

            def run(conn: Connection) -> None:
                for channel, count in unused.items():
                    paces.put_back(conn, _pace(channel), count)

            await self._store.db.write(run)


def _pace(channel: str) -> str:
    return f"tag:{channel}"
