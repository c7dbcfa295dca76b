"""The rules of order in a group: floods, repeats, raids, banned words, links, contacts.

Pure and in memory. Precision goes first: what people do every day (a link, a number of one's own,
收到谢谢老师 from ten members) is noted at most; a rule speaks up when several things meet. The
rules find; `weigh` puts them together with what the spam model says.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import ahocorasick

from insights.order_reading import (
    KNOWN_HOSTS,
    SHORT_HOSTS,
    Reading,
    bare,
    belongs,
    imitates,
    is_public_address,
    levelled,
    mark_bare,
    namesake,
)

NOTED, WARNED, REPORTED = 1, 2, 3
"""Severities: a row only; a warning and a report; a strong report."""

REPEAT_S = 600.0
"""Texts that are the same within this time are repeats."""
OFTEN = 3
"""So many times the same, from one member or by so many members, is noticed."""
INSISTENT = 5
REPEAT_CHARS = 6
LONG_CHARS = 20
"""Shorter texts of several members are alike by chance: 恭喜恭喜, 收到谢谢老师."""
FLOOD_ENDS_S = 60.0
"""After so long without a message too many a flood is over; the next is another."""

FEW = 5
"""Who has said fewer ordinary lines in a group is new there."""

_CLEAR = frozenset(("known", "lookalike", "banned"))
"""What somebody may be removed for, where it is as severe as can be: an operator said it. Several
members who say the same may have been asked to, and a model errs."""
_ADDRESSES = frozenset(
    ("contact", "joining", "link", "short_link", "ip_link", "namesake", "hidden_link", "code")
)
"""Where to go: half an advert, a lure is the other half."""
_COMMON = frozenset(("contact", "joining"))
"""What members post every day: it bears nothing out without a lure."""

_REMEMBERED = 20_000
_COPIES = 64
_WORDS_CHECKED = 20
_SLACK_S = 2.0
"""Clocks of two machines differ; what is later than this from now on is no time of ours."""

_STOPS = "，。！？；：、,!?;:()（）“”\"'…~\n"


class Word(NamedTuple):
    """A banned or allowed word or host. kind: "ban", "allow" or "host" (allowed). place: "" for
    everywhere."""

    kind: str
    value: str
    place: str = ""
    severity: int = WARNED


class Finding(NamedTuple):
    """What a rule found: its name, and how severe that is by itself, 0 to 3."""

    reason: str
    severity: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a message deserves.

    severity: 0 nothing, 1 noted, 2 warned and reported, 3 reported strongly. reasons: names of
    the rules, "model" among them. score: the model's probability of an advert, None without one.
    report: operators are to hear of it. certain: what an operator forbade, and no guess: only
    then somebody may be removed. ongoing: part of a flood or of repeats that
    have their case already: hidden, no case of its own. also: keys of messages before it that
    belong to the same raid.
    """

    severity: int = 0
    reasons: tuple[str, ...] = ()
    score: float | None = None
    report: bool = False
    certain: bool = False
    ongoing: bool = False
    also: tuple[str, ...] = ()


FINE = Judgement()
"""Nothing to say about it."""


# Words


@dataclass(frozen=True, slots=True)
class _Banned:
    value: str
    severity: Mapping[str, int]
    within: tuple[tuple[str, str], ...]
    """Allowed words that hold it: (place, word)."""


class Words:
    """Banned and allowed words and hosts, ready to be looked for.

    Making one costs milliseconds for a thousand words: make it in a thread, then swap.
    """

    def __init__(self, words: Iterable[Word] = ()) -> None:
        severities: dict[str, dict[str, int]] = {}
        allowed: set[tuple[str, str]] = set()
        self.hosts: dict[str, frozenset[str]] = {}
        for word in words:
            if word.kind == "host":
                at = self.hosts.get(word.place, frozenset())
                self.hosts[word.place] = at | {word.value.casefold()}
                continue
            value = bare(levelled(word.value))
            if word.kind == "allow" and value:
                allowed.add((word.place, value))
            elif value:
                severities.setdefault(value, {})[word.place] = word.severity
        self._automaton: Any = None
        if not severities:
            return
        plain = ahocorasick.Automaton()
        for value in severities:
            plain.add_word(value, value)
        plain.make_automaton()
        within: dict[str, list[tuple[str, str]]] = {}
        for place, value in sorted(allowed):
            for _, banned in plain.iter(value):
                within.setdefault(banned, []).append((place, value))
        for value, places in severities.items():
            holders = tuple(dict.fromkeys(within.get(value, ())))
            plain.add_word(value, _Banned(value, places, holders))
        plain.make_automaton()
        self._automaton = plain

    def banned(self, reading: Reading, place: str) -> int:
        """The highest severity of the banned words in it, 0 for none. place: where it was said."""
        if self._automaton is None:
            return 0
        most, seen = 0, set()
        for _, found in self._automaton.iter(reading.bare):
            if found.value in seen:
                continue
            seen.add(found.value)
            if len(seen) > _WORDS_CHECKED:
                break
            severity = max(found.severity.get("", 0), found.severity.get(place, 0))
            if severity > most and _stands(found, reading.levelled, place):
                most = severity
        return most

    def allows(self, host: str, place: str) -> bool:
        """Whether an operator allowed this host, here or everywhere."""
        everywhere = belongs(host, self.hosts.get("", ()))
        return everywhere or (bool(place) and belongs(host, self.hosts.get(place, ())))


@functools.lru_cache(maxsize=4096)
def _shape(value: str) -> re.Pattern[str]:
    """How a word may stand in a levelled text so that it is meant.

    Odd signs between its letters hide it (微*信, 微♥信). Blanks and stops may just end one clause
    and begin another (我们这一代 考试): they count where the word stands apart on both sides, or,
    in words of three letters and more, between all of them.
    """
    letters = [re.escape(letter) for letter in value]
    odd = rf"(?:[^\w\s{re.escape(_STOPS)}]|_){{0,3}}"
    blank = rf"[^\w\n{re.escape(_STOPS)}]{{0,3}}"
    ways = [odd.join(letters), rf"(?<![^\W_]){blank.join(letters)}(?![^\W_])"]
    if len(letters) > 2:
        ways.append(r"[\W_]{1,3}".join(letters))
    # An English word inside another is another word; 加vx12345 still says vx.
    before = _edge(value[0], "<!")
    after = _edge(value[-1], "!")
    return re.compile(f"{before}(?:{'|'.join(ways)}){after}")


def _edge(letter: str, look: str) -> str:
    if not letter.isascii():
        return ""
    return f"(?{look}[0-9])" if letter.isdigit() else f"(?{look}[a-z])"


def _stands(found: _Banned, text: str, place: str) -> bool:
    """Whether the word is in the text other than inside an allowed one."""
    spans = sorted(
        match.span()
        for where, value in found.within
        if where in ("", place)
        for match in _shape(value).finditer(text)
    )
    starts = [first for first, _ in spans]
    # How far the allowed words reach that begin there or before.
    reach = list(accumulate((last for _, last in spans), max))
    for match in _shape(found.value).finditer(text):
        number = bisect_right(starts, match.start())
        if not number or reach[number - 1] < match.end():
            return True
    return False


# Links and contacts


def suspicions(
    reading: Reading,
    words: Words,
    own: Collection[str],
    place: str,
    code: bool = False,
    called: Collection[str] = (),
) -> list[Finding]:
    """What is odd about its links and contacts; [] for nothing.

    own: the operator's own hosts. code: a QR code of it was read. called: hosts that operators
    linked to here. A severity of 0 is told only beside something else.
    """
    found: dict[str, int] = {}
    for link in reading.links:
        host = link.host
        if link.hidden:
            found["hidden_link"] = WARNED
        elif belongs(host, own) or words.allows(host, place) or host in called:
            continue
        elif imitates(host, own):
            found["lookalike"] = REPORTED
        elif namesake(host, own):
            found["namesake"] = NOTED
        elif is_public_address(host):
            found["ip_link"] = NOTED
        elif host in SHORT_HOSTS:
            found["short_link"] = NOTED
        elif not belongs(host, KNOWN_HOSTS):
            found["link"] = 0
    if reading.joins and not words.allows("weixin.qq.com", place):
        found["code" if code else "joining"] = WARNED if code else NOTED
    if reading.contact:
        found["contact"] = NOTED
    return [Finding(reason, severity) for reason, severity in found.items()]


# What was said lately


@dataclass(slots=True)
class _Pace:
    times: deque[tuple[float, str]]
    over: float | None = None
    lines: int = 0


class _Copy(NamedTuple):
    at: float
    place: str
    who: tuple[str, str]
    key: str


class Repeats(NamedTuple):
    """How often a text was said lately, with this time.

    own: by this member here; places: groups where this member said it; members: who said it;
    around: groups where anybody did. keys: of the earlier ones.
    """

    own: int
    places: int
    members: int
    around: int
    keys: tuple[str, ...]


class Lately:
    """Who said how much, and what was said more than once; the oldest falls out of memory.

    Times come with the messages. A clock that jumps forgets what is not near it, nothing else.
    """

    def __init__(self, messages: int, seconds: float, remembered: int = _REMEMBERED) -> None:
        self._messages = messages
        self._seconds = seconds
        self._remembered = remembered
        self._paces: OrderedDict[tuple[str, tuple[str, str]], _Pace] = OrderedDict()
        self._copies: OrderedDict[int, deque[_Copy]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paces) + len(self._copies)

    def flood(
        self, place: str, who: tuple[str, str], key: str, now: float, *, spared: bool = False
    ) -> tuple[bool, bool]:
        """(too many messages of one member in a group, they were so before this one).

        spared: it speaks to the bot: it counts, and is too many only from twice as many on.
        """
        pace = self._pace(place, who)
        times = pace.times
        while times and not _near(times[0][0], now, self._seconds):
            times.popleft()
        if times and times[-1][0] > now + _SLACK_S:
            times.clear()
        if all(one != key for _, one in times):
            times.append((now, key))
        if len(times) <= self._messages * (2 if spared else 1):
            return False, False
        before = pace.over is not None and _near(pace.over, now, FLOOD_ENDS_S)
        pace.over = now
        return True, before

    def ordinary(self, place: str, who: tuple[str, str]) -> None:
        """They said something that nobody minds."""
        self._pace(place, who).lines += 1

    def new(self, place: str, who: tuple[str, str]) -> bool:
        """Whether they said little here so far; after a restart everybody is new for a while."""
        return self._pace(place, who).lines < FEW

    def _pace(self, place: str, who: tuple[str, str]) -> _Pace:
        pace = self._paces.get((place, who))
        if pace is None:
            pace = self._paces[place, who] = _Pace(deque(maxlen=2 * self._messages + 1))
        self._paces.move_to_end((place, who))
        if len(self._paces) > self._remembered:
            self._paces.popitem(last=False)
        return pace

    def again(self, text: int, place: str, who: tuple[str, str], key: str, now: float) -> Repeats:
        """Note that a text was said; how often it was lately. text: its `mark`."""
        copies = self._copies.get(text)
        if copies is None:
            copies = self._copies[text] = deque(maxlen=_COPIES)
        self._copies.move_to_end(text)
        if len(self._copies) > self._remembered:
            self._copies.popitem(last=False)
        fresh = [one for one in copies if one.key != key and _near(one.at, now, REPEAT_S)]
        if len(fresh) < len(copies):
            copies.clear()
            copies.extend(fresh)
        copies.append(_Copy(now, place, who, key))
        mine = [one for one in copies if one.who == who]
        return Repeats(
            own=sum(one.place == place for one in mine),
            places=len({one.place for one in mine}),
            members=len({one.who for one in copies}),
            around=len({one.place for one in copies}),
            keys=tuple(one.key for one in fresh),
        )


def _near(at: float, now: float, seconds: float) -> bool:
    return now - seconds <= at <= now + _SLACK_S


def repeated(
    found: Repeats, chars: int, bait: int, asked: bool = False
) -> tuple[Finding | None, bool]:
    """What repeating says, and whether it was said before.

    chars: letters and digits of the text. bait: 0 for none, 1 for a contact, a link or a model's
    word, 2 for an advert without doubt. asked: members say it because somebody asked them to.
    """
    if found.members >= OFTEN and not asked:
        if bait and chars >= REPEAT_CHARS:
            return Finding("raid", REPORTED if bait > 1 else NOTED), False
        if found.around > 1 and chars >= LONG_CHARS:
            return Finding("raid", NOTED), found.members > OFTEN
    if found.places >= OFTEN and chars >= REPEAT_CHARS:
        return Finding("cross_post", WARNED if bait else NOTED), found.places > OFTEN
    if found.own >= OFTEN and chars >= REPEAT_CHARS:
        insists = found.own >= INSISTENT
        severity = WARNED if bait or insists else NOTED
        return Finding("repeat", severity), found.own not in (OFTEN, INSISTENT)
    return None, False


# Putting it together


def marked(reading: Reading) -> int:
    """The `mark` of a message that was read."""
    return mark_bare(reading.bare)


def weigh(
    findings: Sequence[Finding],
    score: float | None,
    *,
    report_at: float,
    act_at: float,
    new: bool = False,
    ongoing: bool = False,
    also: tuple[str, ...] = (),
) -> Judgement:
    """Rules and model together. score: the model's probability, None without one or where it is
    not to be heard. new: the sender said little here so far.

    The model alone notes, and reports what is sure of newcomers: it warns of nothing that no rule
    bears out. A contact bears it out only beside a lure: members give their numbers, too.
    """
    rules = max((one.severity for one in findings), default=0)
    sure = score is not None and score >= act_at
    likely = score is not None and score >= report_at
    names = {one.reason for one in findings}
    lured = "lure" in names
    clear = lured and bool(names & _ADDRESSES)
    odd = any(one.severity and one.reason not in _COMMON for one in findings)
    severity = rules
    if likely:
        warn = clear or (odd and (sure or lured))
        severity = max(rules, WARNED if warn else NOTED)
    if sure and rules >= WARNED:
        severity = rules + 1
    severity = min(severity, REPORTED)
    if not severity:
        return Judgement(score=score)
    reasons = [one.reason for one in findings if one.severity or likely]
    told = (likely and lured) or (sure and (new or odd)) or "raid" in names
    certain = any(one.severity == REPORTED and one.reason in _CLEAR for one in findings)
    return Judgement(
        severity,
        tuple(dict.fromkeys((*reasons, *(("model",) if likely else ())))),
        score,
        report=severity >= WARNED or told,
        certain=certain,
        ongoing=ongoing,
        also=also,
    )
