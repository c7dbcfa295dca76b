"""Rules: which handler a message belongs to.

A router is a short table of rules in the order they were written; ROUTERS (in
`handlers/__init__.py`) is the order of the tables. The first handler that gives a reply
wins; None means "not mine". Literal texts are looked up, patterns are tried in turn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from handlers.message import Message, Reply
from handlers.tiers import GATE, closed, refusal

if TYPE_CHECKING:
    from handlers.context import Context

Handler = Callable[[Message, "Context"], Awaitable[Reply | None]]
Guard = Callable[[Message, "Context"], bool]
Where = Literal["private", "group", "both"]
"""Where a rule may speak. What declares nothing is silent in groups."""

LONGEST = 1000
"""Characters of a text by which rules tell whose it is; their handlers see all of it."""

_LITERAL = re.compile(r"[^\\^$.|?*+()\[\]{}]+(\|[^\\^$.|?*+()\[\]{}]+)*")
_TEXTS = ("text", "voice")
_ENDS = " \t\r\n。.!！~～?？❓❔"
_ASKING = frozenset("?？❓❔⁉")
_EMOTICON = re.compile(r"(?:\[[^\[\]]{1,6}\]|/:[!-Z^-~]{1,12})$")
_EMOTICON_CHARS = 14
"""The longest of them."""
_LOOKED_AT = 400
"""So many signs at the end of a text may be emoji that mean nothing."""
_PICTURES = frozenset(("So", "Me", "Cf"))
"""Categories of what emoji are made of; a keycap (1️⃣) is its digit and two marks."""


def folded(text: str) -> str:
    """The text as rules see it: letters narrowed, case, blanks and what closes it gone.

    Speech recognition ends its sentences with 。, and 转人工。 means 转人工; so do 转人工？,
    转人工🙏 and, in WeChat's own spelling, 转人工[合十] and 转人工/:rose. A text of nothing
    else stays. Who must not take a question for an order looks at `asking`.
    """
    text = _narrow(text)
    return _bare(text) or text


def asking(text: str) -> bool:
    """Whether the text ends as a question does: 确认忘记？ is no 确认忘记."""
    text = _narrow(text)
    return not _ASKING.isdisjoint(text[len(_bare(text)) :])


def _narrow(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.strip().lower()


def _bare(text: str) -> str:
    """The text without stops, question marks and emoji at its end; "" for nothing else.

    Only the last signs are looked at: what somebody floods a group with must not stop the bot.
    """
    end = len(text.rstrip(_ENDS))
    last_looked_at = max(0, end - _LOOKED_AT)
    while end > last_looked_at:
        last = text[end - 1]
        near = max(0, end - _EMOTICON_CHARS)
        if last.isalnum() and text.find("/:", near, end) < 0:
            break
        if last == "\ufe0f" or "🏻" <= last <= "🏿" or unicodedata.category(last) in _PICTURES:
            end -= 1
        elif (found := _EMOTICON.search(text, near, end)) is not None:
            end = found.start()
        else:
            break
        while end and text[end - 1] in _ENDS:
            end -= 1
    return text[:end]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a router: what it takes, and who answers.

    words: folded texts, each whole; fits: a test of the folded text; events; clicks: menu
    keys; kinds: kinds of message. Exactly one of them says what the rule takes. where: where it
    may speak. keyword: in a group it may be said without a mention, when it is typed alone.
    """

    handler: Handler
    name: str
    guard: Guard | None = None
    words: frozenset[str] = frozenset()
    fits: Callable[[str], object] | None = None
    events: frozenset[str] = frozenset()
    clicks: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    where: Where = "private"
    keyword: bool = False

    def __post_init__(self) -> None:
        """Errors: ValueError for a keyword that nobody may say in a group."""
        if self.keyword and self.where == "private":
            raise ValueError(f"{self.name}: a keyword is for groups; say where")

    @property
    def sure(self) -> bool:
        """Whether it answers all that it takes: its handler gives a Reply, not Reply | None."""
        return self.handler.__annotations__.get("return") in ("Reply", Reply)


class Router:
    """A named table of rules. name: the word that the log and the reports use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[Rule] = []

    def _add(self, name: str, guard: Guard | None, **takes: Any) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.rules.append(Rule(handler, name or self.name, guard, **takes))
            return handler

        return register

    def text(
        self,
        pattern: str,
        *,
        guard: Guard | None = None,
        name: str = "",
        where: Where = "private",
        keyword: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Text (or recognised speech) that matches the whole pattern: "签到|打卡"."""
        if _LITERAL.fullmatch(pattern):
            words = frozenset(folded(word) for word in pattern.split("|"))
            return self._add(name, guard, words=words, where=where, keyword=keyword)
        compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        return self._add(name, guard, fits=compiled.fullmatch, where=where, keyword=keyword)

    def question(
        self, *, guard: Guard | None = None, name: str = "", where: Where = "private"
    ) -> Callable[[Handler], Handler]:
        """Any text or recognised speech."""
        return self._add(name, guard, fits=bool, where=where)

    def event(
        self, *events: str, guard: Guard | None = None, name: str = "", where: Where = "private"
    ) -> Callable[[Handler], Handler]:
        """Events by WeChat's name in lower case."""
        return self._add(name, guard, events=frozenset(events), where=where)

    def click(
        self, key: str, *, guard: Guard | None = None, name: str = "", where: Where = "private"
    ) -> Callable[[Handler], Handler]:
        """A click on a menu button with this key."""
        return self._add(name, guard, clicks=frozenset((key,)), where=where)

    def kind(
        self, *kinds: str, guard: Guard | None = None, name: str = "", where: Where = "private"
    ) -> Callable[[Handler], Handler]:
        """Messages of these kinds, whatever else they hold."""
        return self._add(name, guard, kinds=frozenset(kinds), where=where)


class Rules:
    """All rules of some routers, found by what a message is instead of one by one.

    The order is that of the routers and of the rules in them, as if each were tried.
    where: only rules that may speak there; None: all. keywords: of those, only what needs no
    mention.
    """

    def __init__(
        self,
        routers: Sequence[Router],
        where: Literal["private", "group"] | None = "private",
        *,
        keywords: bool = False,
    ) -> None:
        rules = [
            rule
            for router in routers
            for rule in router.rules
            if where is None or rule.where in (where, "both")
            if rule.keyword or not keywords
        ]
        self._rules = rules
        self._words = {word: self._taking(word) for rule in rules for word in rule.words}
        self._any_text = self._taking(None)

    def _taking(self, word: str | None) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rule in self._rules
            if rule.fits is not None or rule.kinds or (word is not None and word in rule.words)
        )

    def take(self, text: str) -> bool:
        """Whether a rule fits these words, whatever its guard says. text: folded."""
        rules = self._words.get(text, self._any_text)
        return any(rule.fits is None or rule.fits(text) for rule in rules if not rule.kinds)

    def of(self, message: Message, text: str) -> Iterator[Rule]:
        """The rules that fit, in order. text: `folded(message.text)`."""
        if text and message.kind in _TEXTS:
            for rule in self._words.get(text, self._any_text):
                if rule.fits is not None:
                    if not rule.fits(text):
                        continue
                elif rule.kinds and message.kind not in rule.kinds:
                    continue
                yield rule
            return
        event, kind = message.event, message.kind
        for rule in self._rules:
            if (
                kind in rule.kinds
                or (event and event in rule.events)
                or (event == "click" and message.event_key in rule.clicks)
            ):
                yield rule


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reply and the word for who gave it."""

    reply: Reply
    handler: str


async def dispatch(rules: Rules, message: Message, ctx: Context) -> Outcome:
    """Ask the rules in order. Nobody's message: no reply, handler "none".

    What the configuration keeps for a tier of membership is refused: before it does anything,
    or, where only the answer shows whether and by whom there is one, instead of that answer.
    A handler of that kind that changes something asks `tiers.refused` before it does.
    Events are never refused. Errors: whatever a handler raises.
    """
    event = message.kind == "event"
    for rule in rules.of(message, folded(message.text[:LONGEST])):
        if rule.guard is not None and not rule.guard(message, ctx):
            continue
        if not event and (needed := closed(ctx, rule.name)) and rule.sure:
            return Outcome(refusal(ctx, needed, rule.name), GATE)
        reply = await rule.handler(message, ctx)
        if reply is not None:
            handler = ctx.handler or rule.name
            if not event and (needed := closed(ctx, handler)):
                ctx.then.clear()
                return Outcome(refusal(ctx, needed, handler), GATE)
            return Outcome(reply, handler)
    return Outcome(Reply.none(), "none")
