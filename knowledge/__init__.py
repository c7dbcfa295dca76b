"""What the business knows: a question in, ranked answers with a confidence out.

`Knowledge` is the whole room for its users: three indexes over one dictionary, FAQ entries
(asked with `ask`), catalogue items (searched with `find`) and passages of documents. It holds
no answers and knows no store: the caller puts entries in and looks up what a hit's id stands
for.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from knowledge.calibration import Calibration, calibrate
from knowledge.index import Entry, Index
from knowledge.scorer import (
    ANSWER_AT,
    OFFER_AT,
    PASSAGE_AT,
    SHORT,
    Band,
    Decision,
    Hit,
    decide,
    needed,
)
from knowledge.words import Loaded, SynonymsError, Words, WordsError, listed

__all__ = [
    "ANSWER_AT",
    "OFFER_AT",
    "PASSAGE_AT",
    "Band",
    "Calibration",
    "Decision",
    "Entry",
    "Hit",
    "Index",
    "Knowledge",
    "Loaded",
    "SynonymsError",
    "Words",
    "WordsError",
    "decide",
]

_ITEM, _PASSAGE = "item:", "doc:"

# Words that fit every item of a catalogue and so find none in particular.
_SAID_OF_ALL = frozenset(
    [
        "课",
        "课程",
        "教程",
        "网课",
        "学",
        "学习",
        "想学",
        "推荐",
        "介绍",
        "有",
        "有没有",
        "什么",
        "哪些",
        "有关",
        "相关",
        "关于",
        "内容",
        "找",
        "搜",
        "搜索",
        "看看",
        "的",
        "吗",
        "我",
        "想",
    ]
)

# What makes a sentence a question and stands in no text that answers it.
_ASKED = frozenset(listed("asked.txt"))

# The longer ones are taken out before cutting: 回放|在哪里|看, not 回|放在|哪里|看.
_ASKED_RUN = re.compile(
    "|".join(sorted((word for word in _ASKED if len(word) > 1), key=len, reverse=True))
)


class Knowledge:
    """FAQ, catalogue and documents, searchable after every change.

    answer_at, offer_at: confidences from which a question is answered, and from which
    choices are offered; None: as measured, see `calibrate`. synonyms_file: the operator's own,
    see `Words`; raises SynonymsError when it cannot be used. Ids that begin with "item:" are
    catalogue items, with "doc:" passages, all others FAQ. `ask`, `near`, `find` and `passages`
    are pure CPU, 0.2 ms at 300 entries, and may run on the event loop; the rest may run in a
    thread beside them, changes one at a time.
    """

    def __init__(
        self,
        answer_at: float | None = None,
        offer_at: float | None = None,
        synonyms_file: Path | None = None,
    ) -> None:
        self.words = Words(synonyms_file)
        self._faq = Index(self.words)
        self._items = Index(self.words, topical=True)
        self._passages = Index(self.words, long=True)
        self._answer_at = answer_at
        self._offer_at = offer_at
        self._calibration = Calibration()
        self._ready = False

    @property
    def ready(self) -> bool:
        """True once the dictionary is loaded; before that searches find little."""
        return self._ready

    def __len__(self) -> int:
        return len(self._faq) + len(self._items) + len(self._passages)

    def load(self, cache_dir: Path | None = None) -> Loaded:
        """Load the dictionary and cut what is there again. Blocks: run it in a thread.

        cache_dir: a directory of our own for the dictionary's cache, None for no cache.
        Raises WordsError when jieba's dictionary is missing.
        """
        loaded = self.words.load(cache_dir)
        self._faq.recut()
        self._items.recut()
        self._passages.recut()
        self._ready = True
        return loaded

    def put(self, entry: Entry) -> None:
        """Add or replace one entry; the next question sees it."""
        self._learn(entry)
        self._of(entry.id).put(entry)

    def remove(self, id: str) -> bool:
        """Forget one entry; False when it was not known."""
        return self._of(id).remove(id)

    def replace_all(self, entries: Iterable[Entry]) -> None:
        """Exchange everything known; questions see the old until the new is whole."""
        faq: list[Entry] = []
        items: list[Entry] = []
        passages: list[Entry] = []
        for entry in entries:
            self._learn(entry)
            if entry.id.startswith(_ITEM):
                items.append(entry)
            else:
                (passages if entry.id.startswith(_PASSAGE) else faq).append(entry)
        self._faq.replace_all(faq)
        self._items.replace_all(items)
        self._passages.replace_all(passages)

    def calibrate(self) -> Calibration:
        """Measure this FAQ on itself; questions from then on are decided by the result.

        Run it in a thread after the FAQ changed; below a second at 50,000 entries. Until the
        first time the defaults hold, and always the thresholds given to `Knowledge`.
        """
        self._calibration = calibrate(self._faq)
        return self._calibration

    def ask(self, question: str, demoted: Container[str] = ()) -> Decision:
        """What to do with a member's question, from the FAQ alone.

        demoted: ids of entries that members found useless: offered, never told outright.
        A question of four letters or fewer may need more to be answered: see `needed`.
        """
        measured = self._calibration
        answer_at = measured.answer_at if self._answer_at is None else self._answer_at
        offer_at = measured.offer_at if self._offer_at is None else self._offer_at
        hits = self._faq.search(question, 3)
        decision = decide(hits, max(answer_at, self._needed(question, hits)), offer_at)
        if decision.band is Band.SURE and decision.hits[0].id in demoted:
            return Decision(Band.UNSURE, decision.hits)
        return decision

    def near(self, question: str, k: int = 3) -> list[Hit]:
        """At most k FAQ entries nearest to a question, best first, however unlike; [] for none.

        For a person who decides: `ask` says what a member may be told.
        """
        return self._faq.search(question, k)

    def find(self, query: str, k: int = 5) -> list[Hit]:
        """At most k catalogue items that cover the key words, best first; [] for none."""
        spoken = self.words.split(self.words.clean(query))
        telling = [word for word in spoken if word not in _SAID_OF_ALL]
        return self._items.search(" ".join(telling or spoken), k)

    def passages(self, question: str, k: int = 3) -> list[Hit]:
        """At most k passages of documents that have a question's telling words, best first.

        A hit's confidence is the share of them found, weighed by how much each says; its
        question the piece that matched. Words that only make it a question (怎么, 多久, 吗)
        count for nothing; a question of nothing else finds nothing, nor does a share below
        0.3: []. Worth showing from PASSAGE_AT.
        """
        telling = self._telling(self.words.clean(question))
        return self._passages.search(" ".join(telling), k) if telling else []

    def clean(self, text: str) -> str:
        """One spelling for one text, as compared here; see `Words.clean`."""
        return self.words.clean(text)

    def _needed(self, question: str, hits: Sequence[Hit]) -> float:
        cleaned = self.words.clean(question)
        letters = sum(map(str.isalnum, cleaned))
        if letters > SHORT or not hits:
            return 0.0
        return needed(letters, hits[0].covered, bool(self._telling(cleaned)))

    def _telling(self, cleaned: str) -> list[str]:
        """The words that say what is asked about; [] for a text of asking words only."""
        spoken = self.words.split(_ASKED_RUN.sub(" ", cleaned))
        return [word for word in spoken if word not in _ASKED]

    def _of(self, id: str) -> Index:
        if id.startswith(_ITEM):
            return self._items
        return self._passages if id.startswith(_PASSAGE) else self._faq

    def _learn(self, entry: Entry) -> None:
        # An item's tags (its second text) are this business's words; a title is a phrase.
        if entry.id.startswith(_ITEM):
            self.words.add_words(entry.questions[1:2])
