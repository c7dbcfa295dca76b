"""Words: text as a member types it, cut into what can be compared.

Chinese has no blanks, so everything here starts with jieba: its dictionary, and its cut (the
most probable way through the dictionary's words). Its guesses at unknown words are left out,
for the character evidence of `index.py` covers those. Each `Words` has a tokenizer of its
own, filled from a file of ours; jieba's shared one, with its cache in the shared temporary
directory, is never started.

What it will not do: spelling, traditional characters, other languages' stems.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import tempfile
import unicodedata
import warnings
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources, util
from math import log
from pathlib import Path
from typing import Any, NamedTuple

MAX_CHARS = 200
"""Longest text looked at, in characters; what follows is not read."""

_UNKNOWN = 21.0
"""Rarity in nats of what is in no dictionary: beyond the rarest listed word's 17.9."""

_MAX_WORD = 8
"""Longest dictionary word kept, in characters."""

_MIN_FREQUENCY = 4
"""Rarer words of jieba's are left out: 60 % of them and 42 MB of memory. The right first
answers on the training data stay within 0.1 %."""

_MAX_USER_WORDS = 100_000
_MAX_MEMO, _MAX_MEMO_CHARS = 2048, 32
_MAX_SYNONYM = 20
_MAX_SYNONYMS_BYTES = 1 << 20
_CACHE_MAGIC = b"zhiqun words 2"
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


class SynonymsError(WordsError):
    """The operator's synonyms file cannot be used; names the file, the line and what to do."""


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

    synonyms_file: words that mean the same in this business, beside ours: one group a line,
    blanks between, "#" begins a comment line, at most 1 MiB of UTF-8. A line adds to the
    group of its first word that is in one already, else it begins one; a word on several
    lines belongs to the last. Raises SynonymsError. Read once, here; blocks.

    Empty until `load`; an empty one still cuts (into single characters), so that nothing
    fails before the dictionary is there. One thread may load or add while others cut.
    """

    def __init__(self, synonyms_file: Path | None = None) -> None:
        self._tokenizer: Any = None
        self._memo: dict[str, list[str]] = {}
        self._frequencies: dict[str, int] = {}
        self._information = 0.0
        self._user: dict[str, None] = {}
        self._stop = frozenset(listed("stopwords.txt"))
        self._same: dict[str, str] = {}
        for alike in map(str.split, _lines("synonyms.txt")):
            _join(self._same, alike)
        if synonyms_file is not None:
            for alike in _read_synonyms(synonyms_file):
                _join(self._same, alike)
        self.loaded = False

    def load(self, cache_dir: Path | None = None) -> Loaded:
        """Read the dictionary: 0.2 s from our cache file, about 1 s without. Blocks.

        cache_dir: where `words.cache` may lie; None reads jieba's text file each time. A
        cache of another version or with a wrong checksum is written anew; a directory
        that refuses only costs the second. Raises WordsError when jieba is missing.
        """
        source, stamp = _dictionary()
        known = _read_cache(cache_dir / _CACHE_NAME, stamp) if cache_dir else None
        cached, saved = known is not None, False
        if known is None:
            known = _read_dictionary(source)
            if cache_dir:
                saved = _write_cache(cache_dir / _CACHE_NAME, stamp, *known)
        tokenizer = _new_tokenizer()
        tokenizer.FREQ, tokenizer.total = known
        tokenizer.initialized = True  # or jieba would read its whole dictionary and write a cache
        entries = len(tokenizer.FREQ)
        self._information = log(tokenizer.total)
        for word in [*listed("words.txt"), *self._same, *self._stop, *self._user]:
            _teach(tokenizer, word)
        self._tokenizer, self._frequencies = tokenizer, tokenizer.FREQ
        self._memo = {}
        self.loaded = True
        return Loaded(entries=entries, cached=cached, saved=saved)

    def add_words(self, words: Iterable[str]) -> None:
        """Keep these together when cutting: tags, titles, product names.

        Only runs of 2 to 8 Han characters are taken (others are cut alike anyway); after
        100,000 the rest is ignored.
        """
        if self._learn(words):
            self._memo = {}

    def _learn(self, words: Iterable[str]) -> bool:
        taught = False
        for text in words:
            for word in _RUN.findall(_fold(text)):
                if 2 <= len(word) <= _MAX_WORD and word > "\u3400" and word not in self._user:
                    if len(self._user) >= _MAX_USER_WORDS:
                        return taught
                    self._user[word] = None
                    if self._tokenizer is not None:
                        _teach(self._tokenizer, word)
                        taught = True
        return taught

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
        get, same, stop = self._frequencies.get, self._same, self._stop
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
        """How much a word says in general, in nats: 3 (的) to 18; 21 if not listed."""
        frequency = self._frequencies.get(word)
        return self._information - log(frequency) if frequency else _UNKNOWN

    def split(self, cleaned: str) -> list[str]:
        """A cleaned text's words, all of them, in order; blanks and punctuation are left out."""
        words: list[str] = []
        for run in _RUN.findall(cleaned):
            if run < "\u3400" or len(run) == 1:
                words.append(run)
            else:
                words += self._cut_run(run)
        return words

    def _cut_run(self, run: str) -> list[str]:
        """A run of Han characters cut, or remembered: a question is cut again for `find`."""
        # The memo first: a cut by a tokenizer that has just learnt may go into an old memo,
        # one by an old tokenizer never into a new one.
        memo = self._memo
        words = memo.get(run)
        if words is None:
            words = list(run if self._tokenizer is None else self._tokenizer.cut(run, HMM=False))
            if len(run) <= _MAX_MEMO_CHARS:
                if len(memo) >= _MAX_MEMO:
                    memo.clear()
                memo[run] = words
        return words


def _new_tokenizer() -> Any:
    """A tokenizer of jieba's that knows no word yet; jieba is imported here and only here."""
    # jieba wants pkg_resources only to open a file: without it, it opens it itself, 0.2 s and
    # 10 MB sooner, and pkg_resources' own warning stays away.
    hide = "pkg_resources" not in sys.modules
    if hide:
        sys.modules["pkg_resources"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unescaped "\\s" in its sources
            import jieba
    except ImportError as error:
        raise WordsError(WordsError.__doc__) from error
    finally:
        if hide:
            del sys.modules["pkg_resources"]
    jieba.setLogLevel(logging.ERROR)
    return jieba.Tokenizer()


def _teach(tokenizer: Any, word: str) -> None:
    """Make a word of Han characters more probable than its parts, where it is not yet."""
    if len(word) > 1 and word > "\u3400" and list(tokenizer.cut(word, HMM=False)) != [word]:
        tokenizer.add_word(word)


def _join(same: dict[str, str], alike: Sequence[str]) -> None:
    """One line of synonyms: all its words stand for one from now on."""
    meaning = next((same[word] for word in alike if word in same), alike[0])
    same.update(dict.fromkeys(alike, meaning))


def _read_synonyms(path: Path) -> list[list[str]]:
    """The operator's groups, spelt as members' texts are after `clean`."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SYNONYMS_BYTES + 1)
    except OSError as error:
        raise SynonymsError(f'{path}: {error.strerror}: create it, or set it to ""') from error
    if len(data) > _MAX_SYNONYMS_BYTES:
        raise SynonymsError(f"{path} has more than 1 MiB: keep only words that members type")
    groups = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise SynonymsError(f"{path}, line {number} is not UTF-8: save it as UTF-8") from None
        alike = unicodedata.normalize("NFKC", text).lower().split()
        if not alike or alike[0].startswith("#"):
            continue
        if len(alike) < 2:
            raise SynonymsError(
                f"{path}, line {number} has one word only: write those that mean the same on one "
                "line, with blanks between"
            )
        for word in alike:
            if len(word) > _MAX_SYNONYM or not _RUN.fullmatch(word):
                raise SynonymsError(
                    f"{path}, line {number}: {word[:_MAX_SYNONYM]!r} can't be matched: a word is "
                    f"at most {_MAX_SYNONYM} Chinese characters, or letters and digits, not both; "
                    "blanks separate words"
                )
        groups.append(alike)
    return groups


def _fold(text: str) -> str:
    # Cut twice: NFKC can make eighteen characters of one.
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS]).lower()
    return _SPACE.sub(" ", text[:MAX_CHARS]).strip()


def _lines(name: str) -> list[str]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def listed(name: str) -> list[str]:
    """The words of one of this package's text files."""
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
    kept = f"{_MAX_WORD} {_MIN_FREQUENCY} {sys.byteorder}"
    return path, f"{facts.st_size} {facts.st_mtime_ns} {kept}".encode()


def _read_dictionary(path: Path) -> tuple[dict[str, int], int]:
    """jieba's lines "word frequency tag" -> frequencies and their sum over all lines.

    As jieba wants them: a mere beginning of a word has frequency 0.
    """
    frequencies: dict[str, int] = {}
    total = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, frequency, _ = line.split(" ", 2)
            times = int(frequency)
            total += times
            if len(word) == 1 or (len(word) <= _MAX_WORD and times >= _MIN_FREQUENCY):
                frequencies[word.lower()] = times
    for word in list(frequencies):
        for end in range(1, len(word)):
            frequencies.setdefault(word[:end], 0)
    return frequencies, total


def _read_cache(path: Path, stamp: bytes) -> tuple[dict[str, int], int] | None:
    """The cached frequencies and total, or None when the file is absent, foreign or damaged."""
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
    total, size = (int.from_bytes(payload[at : at + 8], "big") for at in (0, 8))
    numbers = array("I", payload[16 : 16 + size])
    words = payload[16 + size :].decode().split("\n")
    return dict(zip(words, numbers, strict=True)), total


def _write_cache(path: Path, stamp: bytes, frequencies: dict[str, int], total: int) -> bool:
    """Write beside and rename, for our eyes only; False when the directory refuses."""
    words = "\n".join(frequencies).encode()
    numbers = array("I", frequencies.values()).tobytes()
    sizes = total.to_bytes(8, "big") + len(numbers).to_bytes(8, "big")
    payload = sizes + numbers + words
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
