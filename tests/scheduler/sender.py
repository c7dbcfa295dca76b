"""A way to WeChat that does what the test says, and remembers what each member got.

Honest: it keeps WeChat's own promises (a mass send's name is good once, a list has two members
at least) and the sender's (nothing is raised, nothing is repeated).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scheduler.sending import End, Mass, MassState, One, Sent

YES = Sent(End.ACCEPTED)
LOST = Sent(End.UNKNOWN, reason="error", note="performed, and the answer was lost")
BUSY = Sent(End.LATER, reason="rate", errcode=-1, busy=True)
DOWN = Sent(End.LATER, reason="error", after_s=5.0, note="no connection")
QUOTA = Sent(End.STOP, reason="quota", errcode=45009, chat="今天的接口次数用完了")
GONE = Sent(End.REFUSED, reason="not_following", errcode=43004)
TOO_FAST = Sent(End.LATER, errcode=45066, after_s=60.0)

One2Sent = Callable[[One, int], Sent | None]
Mass2Sent = Callable[[Mass, int], Sent | None]


@dataclass
class Scripted:
    """`scheduler.sending.Sender` for tests.

    on_one, on_mass: what to answer instead of yes, given the call and how many calls were made;
    None: yes. What they answer with YES, 45065 or LOST was performed, nothing else was.
    before: awaited at the start of each call. got: openid -> messages.
    """

    on_one: One2Sent = lambda one, number: None
    on_mass: Mass2Sent = lambda part, number: None
    before: Callable[[], None] = lambda: None
    delay_s: float = 0.0
    got: Counter[str] = field(default_factory=Counter)
    ones: list[One] = field(default_factory=list)
    masses: list[Mass] = field(default_factory=list)
    payloads: list[Mass] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    states: dict[str, MassState] = field(default_factory=dict)
    tags: dict[int, set[str]] = field(default_factory=dict)
    tag_calls: int = 0
    untaggable: set[str] = field(default_factory=set)
    everybody: Sequence[str] = ()
    most: int = 0
    _now: int = 0

    async def one(self, delivery: One) -> Sent:
        """One member."""
        self.before()
        self._now += 1
        self.most = max(self.most, self._now)
        self.ones.append(delivery)
        sent = self.on_one(delivery, len(self.ones)) or YES
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if sent.end in (End.ACCEPTED, End.UNKNOWN):
            self.got[delivery.external_id] += 1
        self._now -= 1
        return sent

    async def payload(self, part: Mass) -> str | Sent:
        """Any text."""
        self.payloads.append(part)
        return f'{{"msgtype":"text","variant":"{part.variant}"}}'

    async def mass(self, part: Mass) -> Sent:
        """Many members, once for a name."""
        self.before()
        self.masses.append(part)
        assert part.payload, "a mass send without a body"
        if part.route == "mass_list":
            assert len(part.openids) >= 2, "WeChat refuses a list of one"
        sent = self.on_mass(part, len(self.masses))
        if part.client_id in self.names:
            known = self.names[part.client_id]
            return sent or Sent(End.ACCEPTED, errcode=45065, wechat_id=known)
        if sent is not None and sent.end not in (End.ACCEPTED, End.UNKNOWN):
            return sent
        msg_id = str(1000 + len(self.names))
        self.names[part.client_id] = msg_id
        reached: Sequence[str] = part.openids
        if part.route == "mass_tag":
            reached = sorted(self.tags[part.tag_id or 0])
        elif part.route == "mass_all":
            reached = self.everybody
        self.got.update(reached)
        if sent is not None and sent.end is End.UNKNOWN:
            return sent
        return Sent(End.ACCEPTED, wechat_id=msg_id, errcode=sent.errcode if sent else None)

    async def state(self, channel: str, msg_id: str) -> MassState:
        """What the test said it is."""
        return self.states.get(msg_id, MassState(""))

    async def make_tag(self, channel: str, name: str) -> int | Sent:
        """A new tag."""
        assert len(name.encode()) <= 30, "45158"
        self.tags[100 + len(self.tags)] = set()
        return max(self.tags)

    async def tag(self, channel: str, tag_id: int, openids: Sequence[str], on: bool) -> Sent:
        """Fifty at most."""
        self.before()
        self.tag_calls += 1
        assert 1 <= len(openids) <= 50, "40032"
        if self.untaggable & set(openids):
            return Sent(End.REFUSED, reason="not_following", errcode=40003)
        self.tags[tag_id].update(openids)
        return YES

    async def drop_tag(self, channel: str, tag_id: int) -> Sent:
        """Gone."""
        self.tags.pop(tag_id, None)
        return YES
