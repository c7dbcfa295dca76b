"""A large community's year, made up: who is there, what they write, say, see and buy.

The same for the same seed. Members come over 400 days and stay a while; some write much, most
little. Six in ten sit in a group, one in ten of them in two, in circles that mostly talk among
themselves, each group about topics of its own. A month of talk is kept, as the service keeps it.
Sentences are put together from the dictionary's words and read once by the real reader; a message
takes one of them, with what was read out of it. Everything is columns (numpy), cut at a moment, so
that the last day can be told after the others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insights.intake import Reading
from store import insight_crowd
from store.dialect import Connection

CHANNEL, ROBOT = "mp", "qun"
DAYS = 400
TALK_DAYS = 30
READ_DAYS = 45
SHOP_DAYS = 180
GROUPS = 100
TOPICS = 40
DAY_S = 86_400.0

_TALK, _SHOP = 0.3, 0.08
_HALF_LIFE_S = 30 * DAY_S
_CIRCLE = 25
_ROWS = 100_000
_HOURS = (1, 1, 1, 1, 1, 1, 2, 4, 6, 6, 6, 6, 8, 6, 5, 5, 5, 6, 8, 10, 14, 14, 10, 5)
_PATTERNS = (
    "{0}的{1}怎么{2}",
    "今天学了{0}和{1}",
    "有没有人知道{0}在哪里{1}",
    "{0}比{1}难多了",
    "谢谢老师，{0}终于弄懂了",
    "{0}老是打不开，{1}也不行，太烦了",
    "请问{0}{1}什么时候开始？",
    "好的，{0}",
    "{0}",
    "我昨天把{0}做完了，{1}还差一点，{2}明天再看",
)
_KINDS = {
    "exposure": 45.0,
    "view": 20.0,
    "click": 15.0,
    "add_to_cart": 5.0,
    "claim": 3.0,
    "purchase": 3.0,
    "refund": 0.3,
    "enroll": 2.0,
    "progress": 6.0,
    "complete": 0.7,
}
_PRIVATE = (
    ("text", "faq", 30.0),
    ("text", "faq.offer", 8.0),
    ("text", "faq.unknown", 8.0),
    ("text", "checkin", 18.0),
    ("text", "content", 12.0),
    ("event:CLICK", "menu", 15.0),
    ("event:VIEW", "none", 6.0),
    ("event:SCAN", "referral", 3.0),
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def sentences(count: int, seed: int = 1) -> list[str]:
    """That many different sentences, about TOPICS in turn; of the dictionary's common words."""
    rng = np.random.default_rng(seed)
    words = vocabulary()
    own = rng.permutation(len(words))[: TOPICS * 120].reshape(TOPICS, 120)
    found: dict[str, None] = {}
    while len(found) < count:
        # Most of what is said is about the topic, the rest about anything.
        topic = np.arange(len(found), len(found) + count) % TOPICS
        near = own[topic[:, None], (120 * rng.random((count, 3)) ** 2).astype(np.int64)]
        far = rng.integers(0, len(words), (count, 3))
        chosen = np.where(rng.random((count, 3)) < 0.7, near, far).tolist()
        patterns = rng.integers(0, len(_PATTERNS), count).tolist()
        for numbers, pattern in zip(chosen, patterns, strict=True):
            found[_PATTERNS[pattern].format(*(words[one] for one in numbers))] = None
    return list(found)[:count]


@functools.cache
def vocabulary() -> list[str]:
    """Words of a dictionary that are neither rare nor in every sentence."""
    spec = find_spec("jieba")
    assert spec is not None
    assert spec.origin is not None
    words = []
    for line in Path(spec.origin).with_name("dict.txt").read_text("utf-8").splitlines():
        word, count, kind = line.split()
        if 2 <= len(word) <= 4 and kind[0] in "nva" and 60 <= int(count) <= 3000:
            words.append(word)
    return words


@dataclass(frozen=True, slots=True)
class World:
    """A community up to `until`, Unix seconds. Row numbers of a log are its order, from 1."""

    members: int
    acts: int
    until: float
    texts: Sequence[str]
    readings: Sequence[Reading]
    model: str
    seed: int = 1

    @property
    def groups(self) -> int:
        """How many there are."""
        return max(2, min(GROUPS, self.members // 50))

    def write(self, conn: Connection, cut: float) -> Iterator[dict[str, int]]:
        """Write what happened before `cut`, then, asked on, the rest; says how many rows there are.

        conn: of `insight_crowd.filling`.
        """
        rng = np.random.default_rng(self.seed)
        people = self._people(rng)
        insight_crowd.add(conn, "members", _rows(people.number, people.came))
        self._settle(conn, rng, people)
        private = self._private(rng, people)
        talk, chat = self._talk(rng, people)
        log, shop = _with_heard(private, talk), self._shop(rng, people)
        for since, until in ((0.0, cut), (cut, self.until)):
            self._write_log(conn, log, since, until)
            self._write_talk(conn, talk, since, until)
            self._write_shop(conn, shop, since, until)
            self._write_edges(conn, talk, chat, since, until)
            insight_crowd.all_read(conn, until)
            yield insight_crowd.counts(conn)

    def _people(self, rng: np.random.Generator) -> _People:
        number = np.arange(1, self.members + 1)
        came = np.sort(self.until - DAYS * DAY_S * rng.random(self.members))
        stays = rng.exponential(150 * DAY_S, self.members) + rng.exponential(DAY_S, self.members)
        weight = rng.lognormal(0.0, 1.4, self.members) * np.minimum(stays, self.until - came)
        seat = np.full(self.members, -1)
        sizes = 1.0 / (np.arange(self.groups) + 8.0)
        sits = rng.random(self.members) < 0.6
        seat[sits] = rng.choice(self.groups, int(sits.sum()), p=sizes / sizes.sum())
        second = np.full(self.members, -1)
        two = sits & (rng.random(self.members) < 0.1)
        # Another one, whichever it is.
        second[two] = (seat[two] + rng.integers(1, self.groups, int(two.sum()))) % self.groups
        left = np.minimum(came + stays, self.until)
        return _People(number, came, left, weight, seat, second)

    def _settle(self, conn: Connection, rng: np.random.Generator, people: _People) -> None:
        """What is known of everybody beside the logs."""
        add, now = insight_crowd.add, self.until
        gone = (people.left < now - 30 * DAY_S) & (rng.random(self.members) < 0.3)
        numbers, came, left = people.number.tolist(), people.came.tolist(), people.left.tolist()
        add(
            conn,
            "identities",
            (
                (CHANNEL, f"oBench{number:022}", number, int(not away), at, until, until)
                if away
                else (CHANNEL, f"oBench{number:022}", number, 1, at, None, until)
                for number, at, until, away in zip(numbers, came, left, gone.tolist(), strict=True)
            ),
        )
        first = now - DAYS * DAY_S
        add(
            conn,
            "groups",
            (
                (one + 1, _place(one), ROBOT, f"{one}@chatroom", f"第{one + 1}班", first, first, "")
                for one in range(self.groups)
            ),
        )
        add(
            conn,
            "group_members",
            (
                (_place(seat), number, at, until if away else None, at)
                for seats in (people.seat.tolist(), people.second.tolist())
                for seat, number, at, until, away in zip(
                    seats, numbers, came, left, gone.tolist(), strict=True
                )
                if seat >= 0
            ),
        )
        add(conn, "optouts", ((one, "", now) for one in numbers if one % 50 == 3))
        add(conn, "consents", ((n, "profiling", 0, now, "chat") for n in numbers if n % 100 == 7))
        words = vocabulary()
        items = (
            (f"course-{n}", "course", words[n * 7], "", words[n * 11], "", "", 9900, "", "", now)
            for n in range(40)
        )
        add(conn, "items", items)
        self._campaigns(conn, rng)
        weeks = range(2, 28)
        add(
            conn,
            "place_costs",
            (
                (_place(one), _day(now - week * 7 * DAY_S), int(cents), now, "cli")
                for one in range(min(30, self.groups))
                for week, cents in zip(weeks, rng.integers(5_000, 90_000, len(weeks)), strict=True)
            ),
        )

    def _campaigns(self, conn: Connection, rng: np.random.Generator) -> None:
        ways = ("everyone", "custom", "done", 86_400.0, b"\0")
        for one in range(10):
            at = self.until - (5 + one * 6) * DAY_S
            row = (one + 1, f"campaign {one}", CHANNEL, *ways, at, "bench", at, at + DAY_S)
            insight_crowd.add(conn, "campaigns", [row])
            reached = rng.choice(self.members, self.members // 5, replace=False) + 1
            times = at + rng.random(len(reached)) * DAY_S
            rows = zip(reached.tolist(), times.tolist(), strict=True)
            insight_crowd.add(
                conn,
                "deliveries",
                ((one + 1, member, "custom", "accepted", when, when) for member, when in rows),
            )

    # What was written to the bot

    def _private(self, rng: np.random.Generator, people: _People) -> _Columns:
        count = int(self.acts * (1 - _TALK - _SHOP)) - self.members
        who = _drawn(rng, people.weight, count)
        at = people.came[who] + rng.random(count) * (people.left[who] - people.came[who])
        at = _by_hour(rng, at, self.until)
        chances = np.array([one[2] for one in _PRIVATE])
        kind = rng.choice(len(_PRIVATE), count, p=chances / chances.sum())
        # Everybody came once.
        who = np.concatenate((who, np.arange(self.members)))
        at = np.concatenate((at, people.came))
        kind = np.concatenate((kind, np.full(self.members, _CAME)))
        order = np.argsort(at, kind="stable")
        text = rng.integers(0, len(self.texts), len(who))
        return _Columns(who[order] + 1, at[order], kind[order], text)

    def _write_log(self, conn: Connection, all_of: _Columns, since: float, until: float) -> None:
        read_since = self.until - READ_DAYS * DAY_S
        for first, some in _slices(all_of, since, until):
            rows, read = [], []
            columns = zip(*(column.tolist() for column in some), strict=True)
            for number, (member, at, kind, text) in enumerate(columns, first + 1):
                who = (number, at, CHANNEL, member)
                if kind == _CAME:
                    rows.append((*who, "event:subscribe", "", "events", "", None, ""))
                    continue
                if kind < _CAME:
                    words, place = self.texts[text], _place(_CAME - 1 - kind)
                    rows.append((number, at, ROBOT, member, "text", words, "faq", "", None, place))
                    continue
                what, handler, _ = _PRIVATE[kind]
                item = f"item:course-{text % 40}" if text % 9 == 0 else ""
                words = self.texts[text] if what == "text" else ""
                rows.append((*who, what, words, handler, item, None, ""))
                if words and at >= read_since and handler != "checkin":
                    read.append(self._reading("i", number, "", member, at, text))
            insight_crowd.add(conn, "interactions", rows)
            insight_crowd.add(conn, "readings", read)

    def _reading(
        self, source: str, number: int, place: str, member: int, at: float, text: int
    ) -> tuple[Any, ...]:
        mood, terms = self.readings[text]
        moods = (mood.label, round(mood.negative, 4), round(mood.positive, 4))
        return (source, number, place, member, at, *moods, " ".join(terms), self.model)

    # What was said in groups

    def _talk(self, rng: np.random.Generator, people: _People) -> tuple[_Columns, Ints]:
        """Turns in order of time (kind: the group), and of each in which conversation it was."""
        begin = self.until - TALK_DAYS * DAY_S
        total = int(self.acts * _TALK)
        liveliness = 1.0 / (np.arange(self.groups) + 3.0)
        counts = rng.multinomial(total, liveliness / liveliness.sum())
        parts: list[tuple[NDArray[Any], ...]] = []
        chats = 0
        for group, count in enumerate(counts.tolist()):
            seated = np.flatnonzero((people.seat == group) | (people.second == group))
            if not count or not len(seated):
                continue
            # Conversations of some eight turns, each within a circle.
            chat = np.cumsum(rng.random(count) < 1 / 8)
            circles = -(-len(seated) // _CIRCLE)
            circle = _drawn(rng, rng.lognormal(0.0, 1.0, circles), int(chat[-1]) + 1)[chat]
            within = (_CIRCLE * rng.random(count) ** 1.7).astype(np.int64)
            stray = rng.random(count) < 0.1
            seat = np.where(stray, rng.integers(0, len(seated), count), circle * _CIRCLE + within)
            who = seated[np.minimum(seat, len(seated) - 1)]
            starts = begin + np.sort(rng.random(int(chat[-1]) + 1)) * (TALK_DAYS * DAY_S - 600.0)
            starts = _by_hour(rng, starts, self.until - 600.0)
            turn = np.arange(count) - np.searchsorted(chat, chat)
            # Each group has six topics of its own.
            topic = (group * 7 + rng.integers(0, 6, count)) % TOPICS
            rounds = len(self.texts) // TOPICS
            text = (rounds * rng.random(count) ** 1.5).astype(np.int64) * TOPICS + topic
            parts.append(
                (who + 1, starts[chat] + turn * 20.0, np.full(count, group), text, chats + chat)
            )
            chats += int(chat[-1]) + 1
        who, at, group_of, text, chat = (np.concatenate(one) for one in zip(*parts, strict=True))
        order = np.argsort(at, kind="stable")
        columns = (column[order] for column in (who, at, group_of, text))
        return _Columns(*columns), chat[order]

    def _write_talk(self, conn: Connection, all_of: _Columns, since: float, until: float) -> None:
        for first, some in _slices(all_of, since, until):
            rows, read = [], []
            columns = zip(*(column.tolist() for column in some), strict=True)
            for number, (member, at, group, text) in enumerate(columns, first + 1):
                place, words = _place(group), self.texts[text]
                quoted = number - 1 if number % 10 == 0 and number > first + 1 else None
                ids = (f"m{number}", quoted, int(number % _TO_BOT == 0))
                key = number.to_bytes(8, "big")
                rows.append((number, key, place, member, at, "text", words, *ids))
                read.append(self._reading("t", number, place, member, at, text))
            insight_crowd.add(conn, "talk", rows)
            insight_crowd.add(conn, "readings", read)

    def _write_edges(
        self, conn: Connection, talk: _Columns, chat: Ints, since: float, until: float
    ) -> None:
        """Who spoke after another in a conversation turned to them; all of it as of `until`."""
        if since:
            insight_crowd.clear_edges(conn)
        low, high = 0, int(np.searchsorted(talk.at, until))
        order = np.lexsort((talk.at[low:high], chat[low:high]))
        who, at, group, of = (
            column[low:high][order] for column in (talk.member, talk.at, talk.kind, chat)
        )
        turns = np.flatnonzero((of[1:] == of[:-1]) & (who[1:] != who[:-1])) + 1
        sides = np.stack((group[turns], who[turns], who[turns - 1]))
        weight = 0.8 * 2.0 ** ((at[turns] - until) / _HALF_LIFE_S)
        pairs, where, count = np.unique(sides, axis=1, return_inverse=True, return_counts=True)
        sums = np.bincount(where.ravel(), weight)
        columns = zip(*(one.tolist() for one in (*pairs, sums, count)), strict=True)
        insight_crowd.add(conn, "edges", ((_place(g), *rest, until) for g, *rest in columns))

    # What the shop saw

    def _shop(self, rng: np.random.Generator, people: _People) -> _Columns:
        count = int(self.acts * _SHOP)
        at = np.sort(self.until - SHOP_DAYS * DAY_S * rng.random(count))
        at = np.sort(_by_hour(rng, at, self.until))
        who = (self.members * rng.random(count) ** 1.5).astype(np.int64)
        chances = np.array(list(_KINDS.values()))
        kind = rng.choice(len(_KINDS), count, p=chances / chances.sum())
        return _Columns(who + 1, at, kind, rng.integers(0, 1 << 30, count))

    def _write_shop(self, conn: Connection, all_of: _Columns, since: float, until: float) -> None:
        kinds = list(_KINDS)
        bought: list[tuple[int, str, int, str]] = []
        for first, some in _slices(all_of, since, until):
            rows: list[tuple[Any, ...]] = []
            columns = zip(*(column.tolist() for column in some), strict=True)
            for number, (one, at, kind, chance) in enumerate(columns, first + 1):
                what, member, item = kinds[kind], one, f"course-{chance % 40}"
                cents, order, percent = 0, "", None
                if what == "refund" and bought:
                    member, item, cents, order = bought[chance % len(bought)]
                elif what == "purchase":
                    cents, order = 990 + chance % 99_000, f"order-{number}"
                    bought.append((member, item, cents, order))
                elif what in ("progress", "complete"):
                    percent = chance % 101
                known = kind >= 4 or chance % 10 < 6
                label = f"c{chance % 10 + 1}" if what in ("exposure", "click", "claim") else ""
                who = (member, "") if known else (None, f"visitor:{one}")
                what_of = (item, percent, cents, order, label)
                rows.append((number, f"e{number:031}", what, at, at, *who, *what_of))
            insight_crowd.add(conn, "events", rows)


_TO_BOT = 33
"""Each so many turns in groups one is meant for the bot."""
_CAME = -1
"""In place of a number of _PRIVATE: following. Below are turns in groups, by group."""


@dataclass(frozen=True, slots=True)
class _People:
    """By number. left: when they were there last; seat, second: their groups, -1 for none."""

    number: Ints
    came: Floats
    left: Floats
    weight: Floats
    seat: Ints
    second: Ints


@dataclass(frozen=True, slots=True)
class _Columns:
    """What happened, in the order of time. text: of the sentences, or what else chance decides."""

    member: Ints
    at: Floats
    kind: Ints
    text: Ints


def _with_heard(private: _Columns, talk: _Columns) -> _Columns:
    """What was written to the bot, in private and in groups, in the order of time."""
    heard = np.arange(1, len(talk.at) + 1) % _TO_BOT == 0
    kinds = _CAME - 1 - talk.kind[heard]
    columns = (
        np.concatenate((private.member, talk.member[heard])),
        np.concatenate((private.at, talk.at[heard])),
        np.concatenate((private.kind, kinds)),
        np.concatenate((private.text, talk.text[heard])),
    )
    order = np.argsort(columns[1], kind="stable")
    return _Columns(*(column[order] for column in columns))


def _slices(
    all_of: _Columns, since: float, until: float
) -> Iterator[tuple[int, tuple[NDArray[Any], ...]]]:
    """(how many are before, columns) of what was from `since` on, a hundred thousand at a time."""
    low, high = (int(at) for at in np.searchsorted(all_of.at, (since, until)))
    for first in range(low, high, _ROWS):
        part = slice(first, min(first + _ROWS, high))
        yield first, (all_of.member[part], all_of.at[part], all_of.kind[part], all_of.text[part])


def _drawn(rng: np.random.Generator, weight: Floats, count: int) -> Ints:
    bounds = np.cumsum(weight)
    found: Ints = np.searchsorted(bounds, rng.random(count) * bounds[-1]).astype(np.int64)
    return found


def _by_hour(rng: np.random.Generator, at: Floats, until: float) -> Floats:
    """Moments moved within their Shanghai day to an hour at which people write."""
    chances = np.array(_HOURS, np.float64)
    hour = rng.choice(24, len(at), p=chances / chances.sum())
    day = np.floor((at + 28_800) / DAY_S) * DAY_S - 28_800
    moved = day + (hour + rng.random(len(at))) * 3600.0
    return np.where(moved < until, moved, at)


def _place(group: int) -> str:
    return f"{ROBOT}:{group}@chatroom"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at + 28_800, UTC).strftime("%Y-%m-%d")


def _rows(*columns: NDArray[Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
