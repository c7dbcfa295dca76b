"""What the bot can tell, in memory: read from the store, found by `knowledge`, told by handlers.

A reload compares what is stored with what is loaded and changes only what differs, so that
one new answer among fifty thousand is found by the next message.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

import structlog

from bot.links import Linker
from knowledge import Entry, Knowledge
from knowledge.documents import Passage, windows
from scheduler import jobs
from store import Store
from store.catalogue import Item
from store.content import Faq
from store.documents import StoredPassage

T = TypeVar("T")

log = structlog.get_logger()


class Contents:
    """FAQ, catalogue and documents as of the last `reload`.

    answers: "faq:12" -> its answer; items: "item:py-101" -> the item, in popular order;
    passages: "doc:12" -> the passage; demoted: ids of FAQ entries that members found useless.
    """

    def __init__(self, store: Store, knowledge: Knowledge, linker: Linker) -> None:
        self.answers: Mapping[str, str] = {}
        self.items: Mapping[str, Item] = {}
        self.passages: Mapping[str, StoredPassage] = {}
        self.demoted: frozenset[str] = frozenset()
        self._store = store
        self._knowledge = knowledge
        self._linker = linker
        self._loaded: dict[str, Entry] = {}
        self._reloading = asyncio.Lock()
        self._calibrating: asyncio.Task[None] | None = None
        self._uncalibrated = False
        self._complete = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def reload(self, *changed: str) -> None:
        """Make everything findable as it is in the store. Errors: StoreError.

        changed: "faq:12", "item:py-101": only these are read again; none: all. Whoever waits
        for it may be cancelled; the reload itself goes on, or index and answers would differ.
        """
        task = asyncio.create_task(self._reload(changed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _reload(self, changed: Sequence[str]) -> None:
        async with self._reloading:
            if not changed or not self._complete:
                changed = ()
                anew = await self._reload_all()
            else:
                anew = await self._reload_some(changed)
            if changed and all(name.startswith("faq:") for name in changed):
                await self._linker.renew({name: self.answers.get(name, "") for name in changed})
            else:
                await self._linker.prepare(self.answers, self.items.values())
        if anew:
            self._calibrate_soon()

    async def _reload_all(self) -> bool:
        store = self._store
        faqs = await store.content.faqs()
        items = await store.catalogue.items()
        passages = await store.documents.passages()
        ranked = await store.interactions.finding(jobs.POPULAR)
        place = {name: n for n, name in enumerate(json.loads(ranked) if ranked else ())}
        items.sort(key=lambda item: place.get(item.id, len(place)))
        anew = await asyncio.to_thread(self._index, faqs, items, passages)
        self.answers = {f"faq:{faq.id}": faq.answer for faq in faqs}
        self.items = {f"item:{item.id}": item for item in items}
        self.passages = {f"doc:{passage.id}": passage for passage in passages}
        await self._judge()
        self._complete = True
        return anew

    async def _reload_some(self, changed: Sequence[str]) -> bool:
        """Only these: among fifty thousand entries the rest would take a second."""
        entries: dict[str, Entry | None] = {}
        answers, items = dict(self.answers), dict(self.items)
        for name in dict.fromkeys(changed):
            kind, _, number = name.partition(":")
            if kind == "faq":
                faq = await self._store.learning.entry(int(number))
                entries[name] = None if faq is None else _faq_entry(faq)
                _put(answers, name, None if faq is None else faq.answer)
            else:
                item = await self._store.catalogue.item(number)
                entries[name] = None if item is None else _item_entry(item)
                _put(items, name, item)
        anew = await asyncio.to_thread(self._index_some, entries)
        self.answers, self.items = answers, items
        await self._judge()
        return anew

    async def _judge(self) -> None:
        demoted = await self._store.learning.demoted()
        self.demoted = frozenset(f"faq:{number}" for number in demoted)

    async def close(self) -> None:
        """End what runs beside the conversation."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._calibrating is not None:
            self._calibrating.cancel()
            await asyncio.gather(self._calibrating, return_exceptions=True)

    def _index_some(self, entries: Mapping[str, Entry | None]) -> bool:
        """As `_index`, of these alone; None: gone."""
        for name, entry in entries.items():
            if entry is None:
                self._loaded.pop(name, None)
                self._knowledge.remove(name)
            elif self._loaded.get(name) != entry:
                self._loaded[name] = entry
                self._knowledge.put(entry)
        return any(name.startswith("faq:") for name in entries)

    def _index(self, faqs: list[Faq], items: list[Item], passages: list[StoredPassage]) -> bool:
        """Bring the indexes up to date, on a thread; says whether the FAQ changed."""
        entries = {entry.id: entry for entry in map(_faq_entry, faqs)}
        entries.update((entry.id, entry) for entry in map(_item_entry, items))
        entries.update((entry.id, entry) for entry in map(_passage_entry, passages))
        changed = [entry for name, entry in entries.items() if self._loaded.get(name) != entry]
        gone = [name for name in self._loaded if name not in entries]
        if len(changed) > max(100, len(entries) // 4):
            self._knowledge.replace_all(entries.values())
        else:
            for name in gone:
                self._knowledge.remove(name)
            for entry in changed:
                self._knowledge.put(entry)
        self._loaded = entries
        return any(name.startswith("faq:") for name in (*gone, *(e.id for e in changed)))

    def _calibrate_soon(self) -> None:
        self._uncalibrated = True
        if self._calibrating is None or self._calibrating.done():
            self._calibrating = asyncio.create_task(self._calibrate())

    async def _calibrate(self) -> None:
        """How sure is sure enough for this FAQ; answers go on by the old measure meanwhile."""
        while self._uncalibrated:
            self._uncalibrated = False
            await asyncio.to_thread(self._knowledge.calibrate)


def _put(things: dict[str, T], name: str, thing: T | None) -> None:
    """Replace one, or take it out."""
    if thing is None:
        things.pop(name, None)
    else:
        things[name] = thing


def _faq_entry(faq: Faq) -> Entry:
    return Entry(id=f"faq:{faq.id}", questions=faq.questions)


def _item_entry(item: Item) -> Entry:
    return Entry(
        id=f"item:{item.id}",
        questions=(item.title, " ".join(item.tags), *(c.title for c in item.chapters)),
        body=f"{' '.join(item.authors)} {item.summary}",
    )


def _passage_entry(passage: StoredPassage) -> Entry:
    pieces = windows(Passage(passage.heading, passage.text, passage.page, None))
    return Entry(id=f"doc:{passage.id}", questions=(passage.heading, *pieces))
