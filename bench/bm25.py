"""The baseline: BM25 over jieba's words, as anyone would build it in an afternoon.

jieba's own dictionary and search cut, bm25s with its defaults (Lucene's BM25, k1 1.5,
b 0.75); nothing of ours. Comes with the bench extra.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MISSING = {"missing": "pip install -e '.[dev]'"}
"""What a report says in place of figures."""


def installed() -> bool:
    """Whether bm25s is there."""
    try:
        import bm25s  # noqa: F401
    except ImportError:
        return False
    return True


class Cutter:
    """jieba's search cut with a tokenizer of its own; loading takes about a second.

    cache_dir: where jieba may keep its cache, instead of the shared temporary directory.
    """

    def __init__(self, cache_dir: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources, and unescaped "\\s" in its sources
            import jieba
        jieba.setLogLevel(logging.ERROR)
        self._tokenizer: Any = jieba.Tokenizer()
        self._tokenizer.tmp_dir = str(cache_dir)
        self._tokenizer.initialize()

    def __call__(self, text: str) -> list[str]:
        """Lower-case words and the shorter words inside them; blanks are left out."""
        return [word for word in self._tokenizer.cut_for_search(text.lower()) if word.strip()]


class Bm25:
    """The same rows as our index: every wording of every entry is a document.

    entries: entry id -> its wordings, at least one row in all. Use only when `installed`.
    """

    def __init__(self, entries: Mapping[str, Sequence[str]], cut: Cutter) -> None:
        import bm25s

        self._cut = cut
        self._ids = [id for id, wordings in entries.items() for _ in wordings]
        documents = [cut(text) for wordings in entries.values() for text in wordings]
        self._known = {word for words in documents for word in words}
        self._index: Any = bm25s.BM25()
        if self._known:
            self._index.index(documents, show_progress=False)

    def near(self, question: str, k: int) -> list[str]:
        """At most k entry ids, best first; [] when no word is shared.

        An entry counts as much as its best wording; of equals the earlier comes first.
        """
        words = [word for word in self._cut(question) if word in self._known]
        if not words:
            return []
        best: dict[str, float] = {}
        for id, score in zip(self._ids, self._index.get_scores(words).tolist(), strict=True):
            if score > best.get(id, 0.0):
                best[id] = score
        return sorted(best, key=lambda id: -best[id])[:k]
