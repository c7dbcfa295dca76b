"""Whether a message in a group is meant for the bot. Pure; asked of every message.

A bot that speaks when nobody spoke to it is thrown out of the group. So: it was mentioned, its
message was quoted, a prefix stands in front, or a keyword is typed alone. All else is talk among
people. Whom it comes from and what it may do is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from handlers.calm import Calm
from handlers.message import Message
from handlers.quiz_text import chosen
from handlers.router import asking, folded
from handlers.signup_text import names_list, plus_with_note
from store.groups import Group

Why = Literal["mention", "quote", "prefix", "keyword", "command", "answer", "signup"]

DESK = "group"
"""The command that is heard also where the bot may not act, or is to be quiet."""

SIGN_UPS = frozenset(("+1", "报名", "我报名", "-1"))
"""What a member types alone to sign up, or to leave, while one list is open in the group."""

_SLASH = "/"
_GAP = " \t\r\n\u2005\u2003\u3000"
"""Blanks that stand behind a mention; WeChat writes U+2005."""

_BLANK = re.compile(f"[{_GAP}]")
_PAUSES = ",，:：、.。!！?？~～…—"
_AT = "@＠"
_TYPED = ("text", "voice")

LONGEST = 500
"""Characters of a message that rules see; what is pasted beyond that is no question."""


def _keywords() -> Callable[[str], bool]:
    from handlers import KEYWORD_RULES  # it imports what imports this file

    return KEYWORD_RULES.take


def _commands() -> frozenset[str]:
    from handlers.operators import COMMANDS  # as above

    return frozenset(COMMANDS)


def _no_page(item: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpeech:
    """How the bot speaks in groups, from the configuration; what a group has set goes first.

    prefixes: with one of these in front a message is meant for the bot; "/" only with a command.
    keywords: whether keywords need no mention. names: what the bot is called in groups. bots:
    senders that are programs, "channel:id". repeat_minutes: nothing is answered twice in a group
    within this time. short_chars: a longer answer is cut. private_url: where the bot is found in
    private, "" for nowhere in particular. page: the address of the whole answer to an item, ""
    where there is none. said: whether a folded text is a keyword. commands: names of commands.
    calms: by channel, how much it may say; on any other channel as much as it is asked.
    """

    prefixes: tuple[str, ...] = ("/", "小知")
    keywords: bool = True
    names: tuple[str, ...] = ()
    bots: frozenset[str] = frozenset()
    repeat_minutes: float = 10.0
    short_chars: int = 200
    private_url: str = ""
    page: Callable[[str], str] = _no_page
    said: Callable[[str], bool] = field(default_factory=_keywords)
    commands: frozenset[str] = field(default_factory=_commands)
    calms: Mapping[str, Calm] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """That a message is meant for the bot. text: what is said to it, "" for a call alone.

    why: what shows it; "answer" is a bare answer to the quiz that is on, "signup" speaks of a list
    to sign up on, or is a bare +1 to the one that is open.
    """

    why: Why
    text: str


def wanted(
    message: Message,
    group: Group | None,
    settings: GroupSpeech,
    *,
    quiz_on: bool = False,
    signup_on: bool = False,
    now: float,
) -> Address | None:
    """How a message in a group is meant for the bot; None when it is not, or must not be heard.

    group: None where the group is not known. quiz_on: whether a quiz is on there;
    signup_on: whether exactly one list to sign up on is open. now: Unix seconds. Events are
    nobody's words, and what is said in private is not asked: None.
    """
    talk = message.talk
    if talk is None or message.kind == "event" or _is_program(message, settings):
        return None
    text = message.text if message.kind in _TYPED else ""
    said = without_names(text, settings.names, talk.addressed)
    name, rest = command_in(said, settings.commands)
    if group is None or not group.bound:
        binds = name == DESK and rest.lower().startswith("bind")
        return Address("command", said) if binds else None
    if now < group.rules.muted_until:
        return Address("command", said) if name == DESK else None
    whole = said
    if not name and not names_list(said):
        said = said[:LONGEST].rstrip()
    if talk.addressed:
        named = whole != text.strip()
        quoted = bool(talk.quotes or talk.quoted) and not named
        bare = _after_prefix(said, settings.prefixes)
        return Address("quote" if quoted else "mention", said if bare is None else bare)
    if not said:
        bare = None if talk.mentions or talk.everyone else _typed_call(text, settings)
        return None if bare is None else Address("prefix", bare)
    if name and _SLASH in settings.prefixes:
        return Address("command", said)
    bare = _after_prefix(said, settings.prefixes)
    if bare is not None:
        return Address("prefix", bare)
    if talk.mentions or talk.everyone:
        return None  # said to somebody else
    if (bare := _typed_call(text, settings)) is not None:
        return Address("prefix", bare)
    if talk.quotes or talk.quoted:
        return None
    if quiz_on and _is_letters(said):
        return Address("answer", said)
    keywords = settings.keywords if group.rules.keywords is None else group.rules.keywords
    if not keywords or asking(said):
        return None
    joins = signup_on and (folded(said) in SIGN_UPS or plus_with_note(said))
    if names_list(said) or joins:
        return Address("signup", said)  # at night, too: it is written down and answered later
    if not settings.said(folded(said)):
        return None
    return Address("keyword", said) if group.rules.quiet_until(now) <= now else None


def without_names(text: str, names: Iterable[str] = (), addressed: bool = False) -> str:
    """The text without "@小知 " in front or behind, and outer blanks.

    addressed: the message mentions the bot, by whatever name: then every "@somebody " in front
    goes. Other names in the middle stay: they belong to what is said.
    """
    text = text.strip(_GAP)
    known = sorted((name for name in names if name), key=len, reverse=True)
    at, last = 0, len(text)
    while at < last and text[at] in _AT:
        name = next((one for one in known if text.startswith(one, at + 1)), "")
        end = at + len(name) + 1
        if name and (end == last or text[end] in _GAP + _PAUSES):
            at = _behind(text, end, _GAP + _PAUSES)
            continue
        found = _BLANK.search(text, at)
        if not addressed or (found is None and known):
            break
        at = _behind(text, found.start(), _GAP) if found is not None else last
    text = text[at:]
    for name in known:
        for sign in _AT:
            if text.endswith(sign + name):
                text = text[: -len(name) - 1].rstrip(_GAP)
    return text


def _behind(text: str, at: int, signs: str) -> int:
    """The first place from `at` on that holds none of these signs."""
    while at < len(text) and text[at] in signs:
        at += 1
    return at


def _typed_call(text: str, settings: GroupSpeech) -> str | None:
    """What is said to an "@小知" typed by hand, of which no client made a mention."""
    text = text.strip(_GAP)
    if not text or text[0] not in _AT:
        return None
    return _after_prefix(text[1 : LONGEST + 1], (*settings.prefixes, *settings.names))


def command_in(text: str, commands: frozenset[str]) -> tuple[str, str]:
    """(name, what follows) of "/group bind vip"; ("", "") for what is no command that we know.

    "/groupies" is none: in a group that is somebody's word, and not misspelt.
    """
    text = text.strip()
    if text[:1] not in ("/", "／"):
        return "", ""
    name, _, rest = text[1:].strip().partition(" ")
    name = folded(name)
    return (name, rest.strip()) if name in commands else ("", "")


def _after_prefix(text: str, prefixes: Iterable[str]) -> str | None:
    """What stands behind a prefix, "" for nothing; None without one.

    小知识 does not begin with 小知: a prefix that ends in a letter needs a pause behind it.
    """
    lowered = text.lower()
    for prefix in prefixes:
        if prefix == _SLASH or not lowered.startswith(prefix.lower()):
            continue
        rest = text[len(prefix) :]
        if prefix[-1:].isalnum():
            if rest and rest[0] not in _GAP + _PAUSES:
                continue
        elif rest[:1] and not rest[0].isalnum():
            continue  # "##" and "#!" are drawings
        elif not rest:
            continue
        return rest.lstrip(_GAP + _PAUSES).rstrip(_GAP)
    return None


def _is_letters(text: str) -> bool:
    """Whether a text alone is an answer to a quiz: B, 2 or ABD. Nobody means 66 or bad."""
    signs = folded(text)
    apart = len(set(signs)) == len(signs)
    short = len(signs) <= 2 or text == text.upper()
    return apart and short and chosen(text) is not None and not asking(text)


def _is_program(message: Message, settings: GroupSpeech) -> bool:
    itself = message.sender == message.account != ""
    return itself or f"{message.channel}:{message.sender}" in settings.bots
