"""Index: which of the entries a question may mean, with the evidence for each.

Two steps. Shared characters, counted for all rows at once, find the few rows worth a look.
Those are then compared with the question in full (words, pairs, characters); `scorer.py`
turns the evidence into a score and a confidence.

Everything is exact after every change: no stale statistics, no rebuild. A search takes no
lock; `replace_all` builds beside and swaps. It keeps no answers and reads no files.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from itertools import pairwise, repeat
from math import ceil, log
from sys import intern
from threading import Lock

from knowledge.scorer import Evidence, Hit, confidence, covering, rank
from knowledge.scorer import topical as by_topic
from knowledge.words import Parts, Words

MAX_ROWS = 64
"""Rows (main question, aliases, body) kept of one entry."""

_MAX_ALIKE = 300
"""Rows told apart in the second look, at most: when more share as much, the shortest."""

_DIGITS = 16
"""Binary digits of a row's sum; thousands of different characters would fit."""

_STRANGERS = 4096
"""Terms of no row whose weights are kept."""

_STEPS = 0.6
"""Steps of weight per nat when shared characters are counted instead of summed."""

_SPARE = 7
"""Rows compared beyond the k asked for: several may belong to one entry."""

_WORTH_A_LOOK, _WORTH_A_LONG_LOOK = 0.5, 0.3
"""Rows below this share of the best row's first score are not compared in full; the second
share is for lists of more than five."""

_BODY_WEIGHT = 0.6
_TOPICAL_FLOOR = 0.3
_NEGATIONS = frozenset(["不", "不能", "没有", "别", "失败", "非", "不用", "不要", "不会"])


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be found.

    id: "faq:12", "item:py-101"; unique within an index. questions: the main question
    first, then its aliases; for an item its title, then its tags in one string, then its
    chapters' titles; for a passage its heading, then its pieces. The first 64 count, of each
    the first 200 characters. body: a weaker field (an item's summary), "" for none.
    """

    id: str
    questions: tuple[str, ...]
    body: str = ""


class _Row:
    """One question as compared; tuples, for sets would take five times the memory."""

    __slots__ = ("body", "chars", "entry", "negated", "pairs", "question", "raw", "text", "words")

    def __init__(self, entry: str, question: str, parts: Parts, body: bool = False) -> None:
        self.entry = entry
        self.question = question
        self.text = "".join(parts.raw)
        self.words = tuple({intern(word) for word in parts.words})
        self.chars = tuple({intern(unit) for unit in parts.units})
        self.pairs = tuple({intern(pair) for pair in _pairs(parts.units)})
        self.raw = tuple({intern(unit) for unit in parts.raw})
        self.negated = _negated(parts.words)
        self.body = body


class _Table(dict[str, float]):
    """Term -> weight, filled as terms are met.

    known: the rows' terms. It is emptied when it has far more: members type new ones all day.
    """

    __slots__ = ("_known", "_weigh")

    def __init__(self, known: Sized, weigh: Callable[[str], float]) -> None:
        self._known = known
        self._weigh = weigh

    def __missing__(self, term: str) -> float:
        if len(self) > len(self._known) + _STRANGERS:
            self.clear()
        weight = self[term] = self._weigh(term)
        return weight


class _Weights:
    """What each term and row weighs now; thrown away whole at every change.

    A term's weight is its inverse document frequency among the rows; a word's also has
    its rarity in the language, for in a small index every word looks rare.
    """

    __slots__ = ("chars", "pairs", "raw", "rows", "words")

    def __init__(self, state: _State) -> None:
        rows = len(state.rows) + 0.5
        chars, pair_rows = state.chars, state.pair_rows
        raw_rows, word_rows, rarity = state.raw_rows, state.word_rows, state.rarity
        self.chars = _Table(
            chars, lambda term: log(1 + rows / (chars.get(term, 0).bit_count() + 0.5))
        )
        self.pairs = _Table(pair_rows, lambda term: log(1 + rows / (pair_rows.get(term, 0) + 0.5)))
        self.raw = _Table(raw_rows, lambda term: log(1 + rows / (raw_rows.get(term, 0) + 0.5)))
        self.words = _Table(
            word_rows,
            lambda term: (
                log(1 + rows / (word_rows.get(term, 0) + 0.5)) + 0.5 * max(0.0, rarity(term) - 4)
            ),
        )
        self.rows: dict[int, tuple[float, float, float]] = {}

    def of_row(self, number: int, row: _Row) -> tuple[float, float, float]:
        """The row's summed weights: pairs, chars, raw."""
        sums = self.rows.get(number)
        if sums is None:
            sums = self.rows[number] = (
                sum(map(self.pairs.__getitem__, row.pairs)),
                sum(map(self.chars.__getitem__, row.chars)),
                sum(map(self.raw.__getitem__, row.raw)),
            )
        return sums


class _State:
    """Entries, rows and postings of one moment."""

    def __init__(self, rarity: Callable[[str], float]) -> None:
        self.rarity = rarity
        self.entries: dict[str, Entry] = {}
        self.of_entry: dict[str, array[int]] = {}
        self.rows: dict[int, _Row] = {}
        self.free: list[int] = []
        # Sets of rows as long integers: bit n is row n.
        self.chars: dict[str, int] = {}
        self.sizes: dict[int, int] = {}  # by number of characters
        self.pair_rows: dict[str, int] = {}
        self.word_rows: dict[str, int] = {}
        self.raw_rows: dict[str, int] = {}
        self.weights = _Weights(self)

    def put(self, entry: Entry, rows: list[_Row]) -> None:
        self.remove(entry.id)
        numbers = array("I")
        for row in rows:
            number = self.free.pop() if self.free else len(self.rows)
            self.rows[number] = row
            numbers.append(number)
            bit = 1 << number
            self.sizes[len(row.chars)] = self.sizes.get(len(row.chars), 0) | bit
            for term in row.chars:
                self.chars[term] = self.chars.get(term, 0) | bit
            for counts, terms in self._counted(row):
                for term in terms:
                    counts[term] = counts.get(term, 0) + 1
        self.entries[entry.id] = entry
        self.of_entry[entry.id] = numbers
        self.weights = _Weights(self)

    def remove(self, id: str) -> bool:
        if self.entries.pop(id, None) is None:
            return False
        for number in self.of_entry.pop(id):
            row = self.rows.pop(number)
            self.free.append(number)
            bit = 1 << number
            self.sizes[len(row.chars)] ^= bit
            for term in row.chars:
                self.chars[term] ^= bit
                if not self.chars[term]:
                    del self.chars[term]
            for counts, terms in self._counted(row):
                for term in terms:
                    if counts[term] == 1:
                        del counts[term]
                    else:
                        counts[term] -= 1
        self.weights = _Weights(self)
        return True

    def head(self, id: str) -> _Row | None:
        """The entry's first row; None when it was removed a moment ago."""
        numbers = self.of_entry.get(id)
        return self.rows.get(numbers[0]) if numbers else None

    def covered(self, id: str, chars: dict[str, float]) -> float:
        """The weight of the characters that some row of this entry has."""
        numbers = self.of_entry.get(id, ())
        if len(numbers) < 2:
            return 0.0
        held: set[str] = set()
        for number in numbers:
            if (row := self.rows.get(number)) is not None:
                held.update(row.chars)
        return sum(weight for char, weight in chars.items() if char in held)

    def _counted(self, row: _Row) -> tuple[tuple[dict[str, int], tuple[str, ...]], ...]:
        return (
            (self.pair_rows, row.pairs),
            (self.word_rows, row.words),
            (self.raw_rows, row.raw),
        )


class Index:
    """Entries, searchable at once after each change.

    words: how texts are cut; load it first, for rows stay as they were cut. topical:
    False compares question with question; True asks how much of a few key words an
    entry covers (catalogue search). long: the same for rows of many sentences, where single
    characters prove nothing. One thread may change it while others search.
    """

    def __init__(self, words: Words, *, topical: bool = False, long: bool = False) -> None:
        self._words = words
        self._topical = topical or long
        self._score = covering if long else by_topic if topical else rank
        self._state = _State(self._words.rarity)
        self._changing = Lock()

    def __len__(self) -> int:
        return len(self._state.entries)

    def put(self, entry: Entry) -> None:
        """Add an entry or replace the one with its id; the next search sees it."""
        rows = self._cut(entry)
        with self._changing:
            self._state.put(entry, rows)

    def remove(self, id: str) -> bool:
        """Take an entry out; False when it was not there."""
        with self._changing:
            return self._state.remove(id)

    def replace_all(self, entries: Iterable[Entry]) -> None:
        """Exchange the whole content; searches see the old one until the new one is whole.

        About 0.1 ms a row. Of two entries with one id the later stays.
        """
        with self._changing:
            state = _State(self._words.rarity)
            for entry in entries:
                state.put(entry, self._cut(entry))
            self._state = state

    def recut(self) -> None:
        """Cut all rows again, after the dictionary was loaded or grew."""
        self.replace_all(list(self._state.entries.values()))

    def search(self, question: str, k: int = 5) -> list[Hit]:
        """The best k entries, best first; [] when nothing is alike or nothing is asked."""
        return self._ranked(self.evidence(question, k), k)

    def without(self, question: str, id: str, row: str | None = None) -> list[Hit]:
        """The best entry as if one were not there, or only that row of it; [] for none.

        For questions that are themselves rows. Never topical.
        """
        found = [
            (held, evidence)
            for held, evidence in self.evidence(question, 3)
            if held.entry != id or (row is not None and held.question != row)
        ]
        return self._ranked(found, 1)

    def entries(self) -> list[Entry]:
        """All entries as they are now, in no order."""
        with self._changing:
            return list(self._state.entries.values())

    def _ranked(self, found: list[tuple[_Row, Evidence]], k: int) -> list[Hit]:
        score = self._score
        best: dict[str, tuple[float, str, _Row, Evidence]] = {}
        for row, evidence in found:
            value = score(evidence)
            if row.body:
                value *= _BODY_WEIGHT
            held = best.get(row.entry)
            if held is None or value > held[0]:
                best[row.entry] = (value, row.entry, row, evidence)
        if not best:
            return []
        # Equal scores: the smaller id, so that the same question has the same answer.
        ranked = sorted(best.values(), key=_by_score)
        if self._topical:
            return [
                Hit(id, value, value, row.question)
                for value, id, row, _ in ranked[:k]
                if value >= _TOPICAL_FLOOR
            ]
        top = ranked[0][0]
        rival = ranked[1][0] if len(ranked) > 1 else None
        hits = []
        for value, id, row, evidence in ranked[:k]:
            sure = confidence(evidence, value, rival)
            hits.append(Hit(id, value, sure, row.question, evidence.chars_covered))
            rival = top
        return hits

    def evidence(self, question: str, k: int = 5) -> list[tuple[_Row, Evidence]]:
        """The rows worth a look, each with what speaks for it, in no order.

        k: as in `search`; how many rows that is depends on it.
        """
        parts = self._words.parts(question)
        if not parts.units:
            return []
        state = self._state
        weights = state.weights
        words = _weighed(parts.words, weights.words)
        pairs = _weighed(_pairs(parts.units), weights.pairs)
        chars = _weighed(parts.units, weights.chars)
        raw = _weighed(parts.raw, weights.raw)
        all_words, all_pairs = sum(words.values()), sum(pairs.values())
        all_chars, all_raw = sum(chars.values()), sum(raw.values())
        text, size, negated = "".join(parts.raw), len(chars), _negated(parts.words)
        places = _places(text)
        covered: dict[str, float] = {}
        none = repeat(0.0)
        of_words, of_pairs, of_chars, of_raw = words.get, pairs.get, chars.get, raw.get
        if self._topical:
            numbers = _candidates(state, chars, 3 * k + _SPARE, 0.1, 0.0)
        else:
            share = _WORTH_A_LOOK if k <= 5 else _WORTH_A_LONG_LOOK
            numbers = _candidates(state, chars, k + _SPARE, share, 1.0)
        found = []
        for number in numbers:
            row = state.rows.get(number)
            if row is None:  # removed a moment ago by another thread
                continue
            row_pairs, row_chars, row_raw = weights.of_row(number, row)
            same_chars = sum(map(of_chars, row.chars, none))
            row_size = len(row.chars)
            same_words = sum(map(of_words, row.words, none))
            covered_chars = same_chars
            in_order = beside = 0.0
            if self._topical:
                in_order = sum(map(of_pairs, row.pairs, none)) / all_pairs
                # A title names what its tags, chapters and text go on about.
                head = state.head(row.entry)
                if head is not None and head is not row:
                    held = set(row.words).union(head.words)
                    same_words = sum(weight for word, weight in words.items() if word in held)
                    held = set(row.chars).union(head.chars)
                    covered_chars = sum(weight for char, weight in chars.items() if char in held)
            elif row.text:
                in_order = 2 * _in_order(places, len(text), row.text) / (len(text) + len(row.text))
                if row.entry not in covered:
                    covered[row.entry] = state.covered(row.entry, chars)
                beside = max(0.0, covered[row.entry] - same_chars) / all_chars
            evidence = Evidence(
                2 * sum(map(of_pairs, row.pairs, none)) / (all_pairs + row_pairs),
                2 * same_chars / (all_chars + row_chars),
                2 * sum(map(of_raw, row.raw, none)) / (all_raw + row_raw),
                same_words / all_words,
                covered_chars / all_chars,
                size / row_size if size < row_size else row_size / size,
                1.0 if negated != row.negated else 0.0,
                in_order,
                1.0 if text[0] == row.text[:1] else 0.0,
                beside,
                1.0 if text == row.text else 0.0,
                size,
            )
            found.append((row, evidence))
        return found

    def _cut(self, entry: Entry) -> list[_Row]:
        parts = self._words.parts
        rows = [
            _Row(entry.id, question, parts(question)) for question in entry.questions[:MAX_ROWS]
        ]
        if entry.body:
            title = entry.questions[0] if entry.questions else entry.body
            rows.append(_Row(entry.id, title, parts(entry.body), body=True))
        return rows


def _candidates(
    state: _State, chars: dict[str, float], limit: int, share: float, by_length: float
) -> list[int]:
    """The numbers of at most `limit` rows, by shared characters.

    share: rows below this part of the best one's value are left out. by_length: 1.0 when
    a long row counts less, 0.0 when its length does not matter.

    All rows are counted at once: weights are rounded to a few steps, and digit d of row n's
    sum is bit n of digits[d], so that an addition is a few operations on long integers.
    """
    digits = [0] * _DIGITS
    get = state.chars.get
    for term, weight in chars.items():
        if rows := get(term):
            times = int(weight * _STEPS + 0.5) or 1
            lowest = 0
            while times:
                if times & 1:
                    digit, carry = lowest, rows
                    while carry:
                        held = digits[digit]
                        digits[digit] = held ^ carry
                        carry &= held
                        digit += 1
                times >>= 1
                lowest += 1
    while digits and not digits[-1]:
        digits.pop()
    none = repeat(0.0)
    asked = sum(chars.values())
    per_unit = by_length * asked / len(chars)
    first = []
    for number in _most(digits, share, state.sizes):
        if (row := state.rows.get(number)) is not None:  # else removed by another thread
            same = sum(map(chars.get, row.chars, none))
            first.append((same / (asked + per_unit * len(row.chars)), number))
    first.sort(reverse=True)
    floor = share * first[0][0] if first else 0.0
    return [number for value, number in first[:limit] if value >= floor]


def _most(digits: list[int], share: float, sizes: dict[int, int]) -> list[int]:
    """The numbers of the rows with at least this share of the greatest sum, at most _MAX_ALIKE.

    Where that is too many: those with the greatest sums, of equal ones the shortest.
    """
    most, rows = 0, -1
    for digit in reversed(digits):
        most <<= 1
        if having := rows & digit:
            rows = having
            most |= 1
    if not most:
        return []
    floor = max(1, ceil(share * most))
    while (rows := _from(digits, floor)).bit_count() > _MAX_ALIKE and floor < most:
        floor += (most - floor + 3) // 4
    by_size = (rows & sizes[size] for size in sorted(sizes))
    found: list[int] = []
    for some in by_size if rows.bit_count() > _MAX_ALIKE else (rows,):
        bits = bin(some)[:1:-1]
        at = bits.find("1")
        while at >= 0 and len(found) < _MAX_ALIKE:
            found.append(at)
            at = bits.find("1", at + 1)
    return found


def _from(digits: list[int], floor: int) -> int:
    """The rows whose sum is at least `floor`."""
    above, equal = 0, -1
    for place in range(len(digits) - 1, -1, -1):
        if floor >> place & 1:
            equal &= digits[place]
        else:
            above |= equal & digits[place]
            equal &= ~digits[place]
    return above | equal


def _places(text: str) -> dict[str, int]:
    """Where each character of a text stands: bit n for place n."""
    places: dict[str, int] = {}
    for place, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << place
    return places


def _in_order(places: dict[str, int], size: int, text: str) -> int:
    """Length of the longest common subsequence of `text` and the text of these places.

    A row of the usual table is one integer. Source: Hyyro 2004, bit-parallel LCS.
    """
    free = whole = (1 << size) - 1
    for char in text:
        if same := places.get(char, 0) & free:
            free = (free + same | free - same) & whole
    return size - free.bit_count()


def _by_score(found: tuple[float, str, _Row, Evidence]) -> tuple[float, str]:
    return -found[0], found[1]


def _weighed(terms: list[str], table: _Table) -> dict[str, float]:
    return dict(zip(terms, map(table.__getitem__, terms), strict=True))


def _pairs(units: list[str]) -> list[str]:
    """Neighbouring units joined; of a single unit, that unit."""
    return [a + b for a, b in pairwise(units)] or units


def _negated(words: list[str]) -> bool:
    return not _NEGATIONS.isdisjoint(words)
