"""Words: text as a member types it, cut into what can be compared.

Chinese has no blanks, so everything here starts with a dictionary: jieba's, whose words
and frequencies we read. The cut is jieba's too (the most probable way through the
dictionary's words), done on whole-number costs instead of logarithms, in a fifth of the time
and a third of the memory; its guesses at unknown words are left out, for the character
evidence of `index.py` covers those. jieba itself is never imported: it would print to
stderr and keep a cache in the shared temporary directory.

What it will not do: spelling, traditional characters, other languages' stems.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources, util
from math import log
from pathlib import Path
from typing import NamedTuple

MAX_CHARS = 200
"""Longest text looked at, in characters; what follows is not read."""

_SCALE = 12
"""Cost steps per nat of information: the rarest word (17 nats) still fits one byte."""

_UNKNOWN = 255
"""Cost of a character that is in no dictionary."""

_MAX_WORD = 8
"""Longest dictionary word kept, in characters."""

_MIN_FREQUENCY = 4
"""Rarer words of jieba's are left out: 60 % of them and 42 MB of memory. The right first
answers on the training data stay within 0.1 %."""

_MAX_USER_WORDS = 100_000
_CACHE_MAGIC = b"zhiqun words 1"
_CACHE_NAME = "words.cache"

# What people say around a question. Anchored where it could be part of a word (母亲).
_FILLER = re.compile(
    r"(?<!\w)(?:你好|您好|亲|嗨|哈喽|hello|hi)(?=[^\w]|请|我|想)"
    r"|请问一下|请问下|请问|想问一下|想问下|想请问|问一下|问下|麻烦问|麻烦您|麻烦你"
    r"|能不能告诉我|可以告诉我|告诉我一下|谁知道|有谁知道|有人知道|求解答|求解|谢谢[您你了啦]?|多谢"
)
_RUN = re.compile(
    r"[0-9a-z][0-9a-z+#]*(?:[.\-_][0-9a-z+#]+)*|[\u3400-\u9fff\U00020000-\U0003ffff]+|[^\W_]"
)
_ENDS = " ,.!?;:~。、…"
_SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")


class WordsError(RuntimeError):
    """jieba's dictionary was not found: reinstall the project's dependencies (jieba 0.42.1)."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How `Words.load` went, for one log line of the caller's.

    entries: words and word beginnings known. cached: they came from our cache file.
    saved: a new cache file was written (False with cached=False: the directory refused).
    """

    entries: int
    cached: bool
    saved: bool


class Parts(NamedTuple):
    """One text, cut.

    cleaned: see `Words.clean`. words: see `Words.cut`. units: the characters that are
    left when stop words are dropped and synonyms made one; a run of letters or digits is
    one unit. raw: the same of the text as typed.
    """

    cleaned: str
    words: list[str]
    units: list[str]
    raw: list[str]


class Words:
    """A dictionary, its user words, stop words and synonyms.

    Empty until `load`; an empty one still cuts (into single characters), so that nothing
    fails before the dictionary is there. One thread may load or add while others cut.
    """

    def __init__(self) -> None:
        self._costs: dict[str, int] = {}
        self._user: dict[str, None] = {}
        self._stop = frozenset(_listed("stopwords.txt"))
        self._same: dict[str, str] = {}
        for line in _lines("synonyms.txt"):
            first, *_ = alike = line.split()
            for word in alike:
                self._same.setdefault(word, first)
        self.loaded = False

    def load(self, cache_dir: Path | None = None) -> Loaded:
        """Read the dictionary: 0.1 s from our cache file, about 1 s without. Blocks.

        cache_dir: where `words.cache` may lie; None reads jieba's text file each time. A
        cache of another version or with a wrong checksum is written anew; a directory
        that refuses only costs the second. Raises WordsError when jieba is missing.
        """
        source, stamp = _dictionary()
        costs = _read_cache(cache_dir / _CACHE_NAME, stamp) if cache_dir else None
        cached, saved = costs is not None, False
        if costs is None:
            costs = _read_dictionary(source)
            if cache_dir:
                saved = _write_cache(cache_dir / _CACHE_NAME, stamp, costs)
        entries = len(costs)
        for word in [*_listed("words.txt"), *self._same, *self._stop, *self._user]:
            _teach(costs, word)
        self._costs = costs
        self.loaded = True
        return Loaded(entries=entries, cached=cached, saved=saved)

    def add_words(self, words: Iterable[str]) -> None:
        """Keep these together when cutting: tags, titles, product names.

        Only runs of 2 to 8 Han characters are taken (others are cut alike anyway); after
        100,000 the rest is ignored.
        """
        for text in words:
            for word in _RUN.findall(_fold(text)):
                if 2 <= len(word) <= _MAX_WORD and word > "\u3400" and word not in self._user:
                    if len(self._user) >= _MAX_USER_WORDS:
                        return
                    self._user[word] = None
                    if self.loaded:
                        _teach(self._costs, word)

    def clean(self, text: str) -> str:
        """One spelling for one text: NFKC, lower case, single blanks, no polite filler,
        no punctuation at the ends.

        Reads at most 200 characters. Blank, or nothing but filler: "" or the bare rest.
        """
        text = _fold(text)
        bare = _FILLER.sub("", text).strip(_ENDS)
        return bare or text

    def cut(self, text: str) -> list[str]:
        """The words worth comparing, in order, stop words out, synonyms made one.

        Long words are followed by the shorter words inside them, as in jieba's search
        mode. When only stop words are there, they stay. No letter or digit: [].
        """
        return self.parts(text).words

    def parts(self, text: str) -> Parts:
        """A raw text taken apart once, for everything that compares it."""
        cleaned = self.clean(text)
        words: list[str] = []
        units: list[str] = []
        raw: list[str] = []
        get, same, stop = self._costs.get, self._same, self._stop
        found = self.split(cleaned)
        for word in found:
            han = word > "\u3400"
            if han:
                raw += word
            else:
                raw.append(word)
            if word in stop:
                continue
            if (alike := same.get(word)) is not None:
                words.append(alike)
                if alike > "\u3400":
                    units += alike
                else:
                    units.append(alike)
                continue
            words.append(word)
            if not han:
                units.append(word)
                continue
            units += word
            if len(word) > 2:
                words += [part for i in range(len(word) - 1) if get(part := word[i : i + 2])]
                if len(word) > 3:
                    words += [part for i in range(len(word) - 2) if get(part := word[i : i + 3])]
        if not words:
            return Parts(cleaned, found, raw, raw)
        return Parts(cleaned, words, units, raw)

    def rarity(self, word: str) -> float:
        """How much a word says in general, in nats: 3 (的) to 17; 21 if not listed."""
        return (self._costs.get(word) or _UNKNOWN) / _SCALE

    def split(self, cleaned: str) -> list[str]:
        """A cleaned text's words, all of them, in order; blanks and punctuation are left out."""
        words: list[str] = []
        for run in _RUN.findall(cleaned):
            if run < "\u3400" or len(run) == 1:
                words.append(run)
            else:
                _cut_run(self._costs.get, run, words)
        return words


def _cut_run(get: Callable[[str], int | None], run: str, words: list[str]) -> None:
    """Append the cheapest way through a run of Han characters."""
    n = len(run)
    cost = [1 << 30] * (n + 1)
    back = [0] * (n + 1)
    cost[0] = 0
    for i in range(n):
        here = cost[i]
        j = i + 1
        step = get(run[i])
        through = here + (step or _UNKNOWN)
        if through < cost[j]:
            cost[j] = through
            back[j] = i
        while step is not None and j < n:
            j += 1
            step = get(run[i:j])
            if step and here + step < cost[j]:
                cost[j] = here + step
                back[j] = i
    at = len(words)
    while n:
        words.insert(at, run[back[n] : n])
        n = back[n]


def _teach(costs: dict[str, int], word: str) -> None:
    """Make a word cheaper than the sum of its parts."""
    if len(word) < 2 or word < "\u3400":
        return
    parts: list[str] = []
    _cut_run(costs.get, word, parts)
    if parts == [word]:
        return
    for end in range(1, len(word)):
        costs.setdefault(word[:end], 0)
    together = sum(costs.get(part) or _UNKNOWN for part in parts)
    costs[word] = max(1, min(_UNKNOWN, together - 1))


def _fold(text: str) -> str:
    # Cut twice: NFKC can make eighteen characters of one.
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS]).lower()
    return _SPACE.sub(" ", text[:MAX_CHARS]).strip()


def _lines(name: str) -> list[str]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _listed(name: str) -> list[str]:
    return " ".join(_lines(name)).split()


def _dictionary() -> tuple[Path, bytes]:
    """jieba's dictionary file and a stamp that changes with it."""
    spec = util.find_spec("jieba")
    if spec is None or spec.origin is None:
        raise WordsError(WordsError.__doc__)
    path = Path(spec.origin).with_name("dict.txt")
    try:
        facts = path.stat()
    except OSError as error:
        raise WordsError(WordsError.__doc__) from error
    return (
        path,
        f"{facts.st_size} {facts.st_mtime_ns} {_SCALE} {_MAX_WORD} {_MIN_FREQUENCY}".encode(),
    )


def _read_dictionary(path: Path) -> dict[str, int]:
    """jieba's lines "word frequency tag" -> costs; a mere beginning of a word costs 0."""
    frequencies: dict[str, int] = {}
    total = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, frequency, _ = line.split(" ", 2)
            times = int(frequency)
            total += times
            if len(word) == 1 or (len(word) <= _MAX_WORD and times >= _MIN_FREQUENCY):
                frequencies[word.lower()] = times
    base = log(total)
    costs = {
        word: max(1, min(_UNKNOWN - 1, round(_SCALE * (base - log(frequency or 1)))))
        for word, frequency in frequencies.items()
    }
    for word in frequencies:
        for end in range(1, len(word)):
            costs.setdefault(word[:end], 0)
    return costs


def _read_cache(path: Path, stamp: bytes) -> dict[str, int] | None:
    """The cached costs, or None when the file is absent, foreign or damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head, _, rest = data.partition(b"\n")
    digest, payload = rest[:32], rest[32:]
    if head != _CACHE_MAGIC + b" " + stamp:
        return None
    if hashlib.blake2b(payload, digest_size=32).digest() != digest:
        return None
    size = int.from_bytes(payload[:4], "big")
    words = payload[4 + size :].decode().split("\n")
    return dict(zip(words, payload[4 : 4 + size], strict=True))


def _write_cache(path: Path, stamp: bytes, costs: dict[str, int]) -> bool:
    """Write beside and rename, for our eyes only; False when the directory refuses."""
    words = "\n".join(costs).encode()
    payload = len(costs).to_bytes(4, "big") + bytes(costs.values()) + words
    digest = hashlib.blake2b(payload, digest_size=32).digest()
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as out:
            out.write(b"%s %s\n%s%s" % (_CACHE_MAGIC, stamp, digest, payload))
        os.replace(temporary, path)
    except OSError:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        return False
    return True
