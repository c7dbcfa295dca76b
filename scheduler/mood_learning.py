"""What operators say of moods teaches the model, when one of them asks for it.

The wish is a row, written by the chat; learning happens in another process, and what comes of it
is a row again: which labels count from now on, and how much better the model is for them. That is
measured on labels that it did not learn from (cross-validation), or it would only tell that it
can repeat them. Then whoever asked is told, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, TypeVarTuple

from insights.intake import Wanted, taught
from insights.sentiment import Mood, SentimentModel
from store import Store, mood_labels
from store.insight_reads import reading
from store.mood_labels import Learned

T = TypeVar("T")
Args = TypeVarTuple("Args")

FOLDS = 10

Say = Callable[[Learned], str]
"""What was learned -> the words for who asked: `handlers/mood_text.py`."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member; words; 16 bytes) -> whether they were told; the same key again tells nothing."""


class Crunch(Protocol):
    """Work that takes the processor, in another process: `bot/crunch.py`."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        """Run what takes seconds. Errors: its own; RuntimeError when its process ended."""


class Measured(NamedTuple):
    """The labels that were measured, and which share of them the model has right: as it was
    loaded, and having learned the others."""

    ids: list[int]
    before: float
    after: float


async def tick(
    store: Store, crunch: Crunch, wanted: Wanted, say: Say, tell: Tell, now: float
) -> str:
    """Learn when somebody wants it; "" when nobody does. Every some seconds.

    Errors: StoreError, and those of `crunch`.
    """
    wish = await store.mood_labels.wanted()
    if wish is None:
        return ""
    did = ""
    if not wish.done:
        found = await crunch.heavy(measure, store.db.path, wanted)
        learned = await store.mood_labels.learned(
            wish.key, found.ids, found.before, found.after, now
        )
        did = f"{learned.labels} labels learned, {found.before:.3f} -> {found.after:.3f}"
    # Told after it counts: a kill in between tells it at the next start.
    await tell(wish.by, say(await store.mood_labels.model()), bytes.fromhex(wish.key)[:16])
    await store.mood_labels.settled(wish.key)
    return did


def measure(path: Path, wanted: Wanted) -> Measured:
    """In another process: how right the model is, without and with what it has not seen."""
    with reading(path) as conn:
        known = mood_labels.labels(conn, learned=False)
    base, _ = taught(wanted, ())
    texts, truth = [one.text for one in known], [one.label for one in known]
    if not known:
        return Measured([], 0.0, 0.0)
    right = 0
    folds = min(FOLDS, len(known))
    for fold in range(folds):
        learns = [one for at, one in enumerate(known) if at % folds != fold]
        asked = [one for at, one in enumerate(known) if at % folds == fold]
        model = base.learn([(one.text, one.label) for one in learns]) if learns else base
        right += _right(model, [one.text for one in asked], [one.label for one in asked])
    before = _right(base, texts, truth)
    return Measured([one.id for one in known], before / len(known), right / len(known))


def _right(model: SentimentModel, texts: list[str], truth: list[int]) -> int:
    moods = model.judge(texts)
    return sum(_best(mood) == label for mood, label in zip(moods, truth, strict=True))


def _best(mood: Mood) -> int:
    """What is most probable, also where the model would rather not say."""
    neutral = 1.0 - mood.negative - mood.positive
    best = max(mood.negative, neutral, mood.positive)
    return -1 if best == mood.negative else 0 if best == neutral else 1
