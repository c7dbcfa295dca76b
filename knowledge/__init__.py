"""What the business knows: a question in, ranked answers with a confidence out.

`Knowledge` is the whole room for its users: two indexes over one dictionary, FAQ entries
(asked with `ask`) and catalogue items (searched with `find`). It holds no answers and
knows no store: the caller puts entries in and looks up what a hit's id stands for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from knowledge.index import Entry, Index
from knowledge.scorer import ANSWER_AT, OFFER_AT, Band, Decision, Hit, decide
from knowledge.words import Loaded, SynonymsError, Words, WordsError

__all__ = [
    "ANSWER_AT",
    "OFFER_AT",
    "Band",
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

_ITEM = "item:"

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


class Knowledge:
    """FAQ and catalogue, searchable after every change.

    answer_at, offer_at: confidences from which a question is answered, and from which
    choices are offered. synonyms_file: the operator's own, see `Words`; raises SynonymsError
    when it cannot be used. Ids that begin with "item:" are catalogue items, all others FAQ.
    `ask` and `find` are pure CPU, 0.1 to 0.2 ms at 300 entries, and may run on the event
    loop; the rest may run in a thread beside them, changes one at a time.
    """

    def __init__(
        self,
        answer_at: float = ANSWER_AT,
        offer_at: float = OFFER_AT,
        synonyms_file: Path | None = None,
    ) -> None:
        self.words = Words(synonyms_file)
        self._faq = Index(self.words)
        self._items = Index(self.words, topical=True)
        self._answer_at = answer_at
        self._offer_at = offer_at
        self._ready = False

    @property
    def ready(self) -> bool:
        """True once the dictionary is loaded; before that searches find little."""
        return self._ready

    def __len__(self) -> int:
        return len(self._faq) + len(self._items)

    def load(self, cache_dir: Path | None = None) -> Loaded:
        """Load the dictionary and cut what is there again. Blocks: run it in a thread.

        cache_dir: a directory of our own for the dictionary's cache, None for no cache.
        Raises WordsError when jieba's dictionary is missing.
        """
        loaded = self.words.load(cache_dir)
        self._faq.recut()
        self._items.recut()
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
        for entry in entries:
            self._learn(entry)
            (items if entry.id.startswith(_ITEM) else faq).append(entry)
        self._faq.replace_all(faq)
        self._items.replace_all(items)

    def ask(self, question: str) -> Decision:
        """What to do with a member's question, from the FAQ alone."""
        return decide(self._faq.search(question, 3), self._answer_at, self._offer_at)

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

    def clean(self, text: str) -> str:
        """One spelling for one text, as compared here; see `Words.clean`."""
        return self.words.clean(text)

    def _of(self, id: str) -> Index:
        return self._items if id.startswith(_ITEM) else self._faq

    def _learn(self, entry: Entry) -> None:
        # An item's tags (its second text) are this business's words; a title is a phrase.
        if entry.id.startswith(_ITEM):
            self.words.add_words(entry.questions[1:])
