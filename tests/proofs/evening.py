"""A play in a group: who says what, read from a file, and what the bot may say to it.

A line of the play is one of

    19:02                      the clock moves on to then, and the jobs run
    + 小雪，老秦               they come into the group; "- 老秦" leaves
    小林：words                says it to the group
    小林 @：words              and mentions the bot; "@阿木" mentions a member
    小林 ↩q：words             quotes what was said in the line that ends in "#q"
    小林 !：words              says it in haste
    小林 私：words             writes to the bot in private
    → words                    the bot answers that line, and quotes it
    ※ words                    the bot says it of itself
    ⇢ 小林：words              the bot writes to 小林 in private

"…" stands for anything, "\\n" for a new line, {code} for the code that was told last. Whatever
else the bot says is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.app import App
from handlers.context import SHANGHAI
from sandbox.fake_gateway import FakeGateway, Said
from tests.proofs.world import until

GAP_S, HASTE_S = 6.0, 0.5
"""Between two lines, where the clock is not named; in haste."""

_SAYS = re.compile(
    r"(?P<who>[^\s：]+)(?P<marks>(?: [@↩#私!]\S*)*)：(?P<words>.*)",
)
_HEARD = re.compile(r"⇢ (?P<who>\S+?)：(?P<words>.*)")
_CODE = re.compile(r"确认 ([0-9A-Z]{4})")


@dataclass
class Step:
    """Something that happens, and what the bot may say to it: (sign, to whom, words)."""

    number: int
    text: str
    expected: list[tuple[str, str, str]] = field(default_factory=list)


def steps(script: str) -> Iterator[Step]:
    """The play, step by step."""
    step: Step | None = None
    for number, raw in enumerate(script.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        if line[0] in "→※⇢":
            assert step is not None, "the bot has the first word"
            found = _HEARD.fullmatch(line)
            told = (line[0], found["who"], found["words"]) if found else (line[0], "", line[2:])
            step.expected.append(told)
            continue
        if step is not None:
            yield step
        step = Step(number, line)
    if step is not None:
        yield step


def fits(words: str, said: str) -> bool:
    """Whether that was said: all of it, or its parts in order where "…" stands between."""
    parts = [re.escape(part) for part in words.replace("\\n", "\n").split("…")]
    return re.fullmatch(".*".join(parts), said, re.DOTALL) is not None


class Evening:
    """The stage: the bot, the gateway, and everybody by name.

    at: the clock of all of them.
    """

    def __init__(self, group: str, people: dict[str, str], at: float) -> None:
        self.group = group
        self.ids = people
        self.names = {who: name for name, who in people.items()}
        self.at = at
        self.code = ""
        self.heard: list[Said] = []
        self.lines: list[str] = []
        self._events = 0
        self._marks: dict[str, Said] = {}
        self.app: App
        self.gateway: FakeGateway

    def listen(self, gateway: FakeGateway) -> None:
        """From now on what the bot says is heard."""
        self.gateway = gateway
        gateway.on_message(lambda said: self.heard.append(said) if said.by_bot else None)

    async def play(self, script: str) -> None:
        """All of it. An AssertionError names the line."""
        for step in steps(script):
            before = len(self.heard)
            said = await self._do(step.text)
            await self.settled()
            if " 私：" in step.text:
                # Nobody counts what comes in private, so it must have an answer to wait for.
                await self._whispered(before, step)
            self._compare(step, said, self.heard[before:])

    async def _whispered(self, before: int, step: Step) -> None:
        count = sum(sign == "⇢" for sign, _, _ in step.expected)

        def there() -> bool:
            return sum(not one.group for one in self.heard[before:]) >= count

        await until(there, f"a private answer in line {step.number}", 5.0, 0.003)
        await self.settled()

    async def _do(self, text: str) -> Said | None:
        gateway = self.gateway
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
            await self._go_on(text)
            return None
        self.at += HASTE_S if " !：" in text else GAP_S
        if text[:2] in ("+ ", "- "):
            for name in text[2:].split("，"):
                self._events += 1
                if text[0] == "+":
                    await gateway.join(self.group, self.ids[name], name)
                else:
                    await gateway.leave(self.group, self.ids[name])
            return None
        found = _SAYS.fullmatch(text)
        assert found is not None, f"no line of a play: {text}"
        who, marks = self.ids[found["who"]], found["marks"].split()
        words = found["words"].replace("\\n", "\n").replace("{code}", self.code)
        self.lines.append(words)
        if "私" in marks:
            return await gateway.whisper(who, words)
        self._events += 1
        quote = next((self._marks[one[1:]].message_id for one in marks if one[0] == "↩"), "")
        others = tuple(self.ids[one[1:]] for one in marks if one[0] == "@" and one[1:])
        said = await gateway.say(
            self.group, who, words, mention_bot="@" in marks, mentions=others, quote=quote
        )
        for one in marks:
            if one[0] == "#":
                self._marks[one[1:]] = said
        return said

    async def _go_on(self, clock: str) -> None:
        """In strides, and the jobs run after each."""
        hours, minutes, seconds = (*map(int, clock.split(":")), 0)[:3]
        day = datetime.fromtimestamp(self.at, SHANGHAI)
        end = day.replace(hour=hours, minute=minutes, second=seconds, microsecond=0).timestamp()
        assert end > self.at, f"{clock} is over"
        stride = max(15.0, (end - self.at) / 10)
        while self.at < end:
            self.at = min(end, self.at + stride)
            await self._tick()

    async def _tick(self) -> None:
        """Every job of groups that the clock runs now and then."""
        side = self.app._groups
        assert side is not None
        for job in side.jobs():
            if job.at is None and job.every_s <= 60.0:
                await job.run()
        await self.settled()

    async def settled(self) -> None:
        """Until everything that was said is heard, and everything to be said has been said."""
        side = self.app._groups
        assert side is not None
        ear = side._ear

        def posts(conn: Any) -> int:
            count: int = conn.execute(
                "select (select count(*) from sends where status in ('planned', 'sending')) + "
                "(select count(*) from posts where status = 'sending' "
                "or (status = 'planned' and due_at <= ?))",
                (self.at,),
            ).fetchone()[0]
            return count

        async def quiet() -> bool:
            if len(ear._lately) < self._events or ear.running:
                return False
            if self.app.metrics.running():
                return False
            if await self.app.store.db.read(posts):
                side.posting.wake()
                return False
            return True

        await until(quiet, f"line {self.lines[-1:]} to be over", 10.0, 0.002)

    def _compare(self, step: Step, asked: Said | None, heard: list[Said]) -> None:
        left = list(heard)
        for sign, who, words in step.expected:
            found = next((one for one in left if self._is(one, sign, who, words, asked)), None)
            shown = [(self.names.get(one.user, "") or "group", one.text) for one in left]
            assert found is not None, f"line {step.number}: {words!r} is not in {shown}"
            left.remove(found)
        for one in left:
            to = self.names.get(one.user, one.user) if not one.group else "the group"
            raise AssertionError(f"line {step.number}, {step.text!r}: told {to} {one.text!r}")
        for one in heard:
            if code := _CODE.search(one.text):
                self.code = code[1]

    def _is(self, said: Said, sign: str, who: str, words: str, asked: Said | None) -> bool:
        if (sign == "⇢") != (not said.group) or not fits(words, said.text):
            return False
        if sign == "⇢":
            return said.user == self.ids[who]
        return sign == "※" or (asked is not None and said.quotes == asked.message_id)
