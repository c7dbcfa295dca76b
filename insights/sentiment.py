"""What a message sounds like, negative, neutral or positive, and when that cannot be said.

Words in, a label with two probabilities out; what is made of it is decided elsewhere. A linear
model over n-grams (`insights/sentiment_text.py`) with two questions: is it neutral, and if not, is
it positive. `bench/fit_sentiment.py` fits it; what it was trained on and is not for stands in
`insights/sentiment-model-card.md`. SnowNLP may stand in its place (`insights/snow.py`). Each
message is judged by itself. Nothing here waits, keeps a file open or knows who wrote.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from insights.sentiment_text import BITS, Floats, Ints, Reading, read

SHIPPED = Path(__file__).with_name("sentiment_model.npz")
FORMAT = 1
"""Of the file; a file of another one is refused."""
MAX_BYTES = 64 << 20
"""A larger file is not opened."""
LENGTH = 4.0
"""Log of the number of n-grams of a message that is neither long nor short."""
AT_ONCE = 256
"""Texts that are read together; more would only take memory."""
PRIOR = 1 / 3
"""Of each label where there is nothing to read."""

LESSON = 6.0
"""Most that one label moves the log odds of its own text."""
MARGIN = 2.0
"""Log odds, on the right side, with which a lesson is content."""
DRIFT = 1.0
"""Most that all labels together change the weight of one n-gram."""
LESSONS = 5000
"""Labels that are learnt from, newest last."""


class ModelFile(ValueError):
    """The file of the sentiment model is not one of this version: fit it again."""


class Mood(NamedTuple):
    """What one message sounds like.

    label: -1 negative, 0 neutral, 1 positive; None when its probability is below `sure`, or when
    there is nothing to read. negative, positive: probabilities; the rest is neutral's.
    """

    label: int | None
    negative: float
    positive: float


class Base(Protocol):
    """What a model says before it has learnt anything of an operator."""

    @property
    def name(self) -> str:
        """Its version."""

    def odds(self, texts: Sequence[str], reading: Reading) -> Floats:
        """Log odds, shape [n, 2]: of positive against negative, and of neutral."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The fitted weights.

    packed: whole numbers of each hashed n-gram for both questions in one (see `pack`), shape
    [2**BITS]. scale: what one of them is worth, shape [2]. bias: the score without any n-gram,
    shape [2]. how: what makes scores log odds: slope, slope by length, lift, lift by length;
    shape [2, 4].
    """

    name: str
    packed: Ints
    scale: Floats
    bias: Floats
    how: Floats

    def odds(self, texts: Sequence[str], reading: Reading) -> Floats:
        """See Base."""
        found = self.packed.take(reading.grams)
        if len(reading.counts) == 1:
            return self._odds_of_one(int(found.sum()), len(found))
        sums = unpack(np.add.reduceat(found, reading.starts))
        scores = sums * self.scale / np.sqrt(reading.counts)[:, None] + self.bias
        slope, bend, lift, tilt = self.how.T
        long = np.log(reading.counts)[:, None] - LENGTH
        odds: Floats = scores * (slope + bend * long) + lift + tilt * long
        return odds

    def _odds_of_one(self, packed: int, count: int) -> Floats:
        """The same of one text, without what numpy asks for a batch."""
        first = ((packed + _HALF) & _MASK) - _HALF
        sums = (first, (packed - first) >> 32)
        root, long = math.sqrt(count), math.log(count) - LENGTH
        odds = []
        for total, scale, bias, (slope, bend, lift, tilt) in zip(
            sums, self.scale.tolist(), self.bias.tolist(), self.how.tolist(), strict=True
        ):
            score = total * scale / root + bias
            odds.append(score * (slope + bend * long) + lift + tilt * long)
        return np.array([odds])


_HALF, _MASK = 1 << 31, (1 << 32) - 1


def pack(table: NDArray[np.int16]) -> Ints:
    """Both numbers of an n-gram, shape [n, 2], in one: fetched together and summed together."""
    packed: Ints = (table[:, 1].astype(np.int64) << 32) + table[:, 0]
    return packed


def unpack(packed: Ints) -> Ints:
    """Both numbers, or sums of them below 2**31, shape [n, 2]."""
    first = ((packed + _HALF) & _MASK) - _HALF
    return np.stack([first, (packed - first) >> 32], axis=1)


class Taught(NamedTuple):
    """What an operator's labels added to n-grams: sorted, shape [k], and values, shape [k, 2]."""

    grams: Ints
    values: NDArray[np.float32]

    def odds(self, reading: Reading) -> Floats:
        """What is added to the log odds, shape [n, 2]."""
        at = np.minimum(np.searchsorted(self.grams, reading.grams), len(self.grams) - 1)
        heard = np.where((self.grams[at] == reading.grams)[:, None], self.values[at], 0.0)
        sums: Floats = np.add.reduceat(heard, reading.starts, axis=0, dtype=np.float64)
        return sums / np.sqrt(reading.counts)[:, None]


@dataclass(frozen=True, slots=True)
class SentimentModel:
    """A model; never changed, so threads may share it.

    name: the version, another one for every file and after every lesson. sure: see `Mood.label`.
    """

    base: Base
    sure: float = 0.6
    taught: Taught | None = None
    name: str = ""

    @classmethod
    def load(
        cls,
        model: Literal["zhiqun", "snownlp", "own"] = "zhiqun",
        file: Path | None = None,
        sure: float = 0.6,
    ) -> SentimentModel:
        """The shipped model, SnowNLP, or a file that `save` wrote.

        ModelFile when the file is missing, damaged or of another version. Reads a file of some
        megabytes (SnowNLP: for seconds): not on the event loop.
        """
        if model == "snownlp":
            from insights.snow import Snow  # Takes seconds; only those wait who want it.

            snow = Snow()
            return cls(snow, sure, None, snow.name)
        if model == "own" and file is None:
            raise ModelFile('model = "own" needs a file')
        weights, taught, name = _opened(file if model == "own" and file else SHIPPED)
        return cls(weights, sure, taught, name)

    def save(self, path: Path) -> None:
        """Write the file that `load` reads, with what was learnt; the same model, the same bytes.

        ValueError for SnowNLP, which has no weights of ours.
        """
        if not isinstance(self.base, Weights):
            raise ValueError("only a model of ours can be saved")
        taught = self.taught or Taught(np.zeros(0, np.int64), np.zeros((0, 2), np.float32))
        np.savez_compressed(
            path,
            format=np.array([FORMAT, BITS]),
            name=np.array([self.base.name, self.name]),
            table=np.ascontiguousarray(unpack(self.base.packed).T, np.int16),
            scale=self.base.scale,
            bias=self.base.bias,
            how=self.base.how,
            grams=taught.grams,
            values=taught.values,
        )

    def judge(self, texts: Sequence[str]) -> list[Mood]:
        """The mood of each text; [] for none. Only the beginning of a long text is read."""
        if len(texts) == 1:
            return [self._mood(texts[0], *self.log_odds(texts)[0].tolist())]
        moods: list[Mood] = []
        for start in range(0, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            odds = self.log_odds(part).tolist()
            for text, (positive, neutral) in zip(part, odds, strict=True):
                moods.append(self._mood(text, positive, neutral))
        return moods

    def log_odds(self, texts: Sequence[str]) -> Floats:
        """Log odds of positive against negative, and of neutral against both, shape [n, 2]."""
        if not texts:
            return np.zeros((0, 2))
        reading = read(texts)
        odds = self.base.odds(texts, reading)
        return odds if self.taught is None else odds + self.taught.odds(reading)

    def _mood(self, text: str, positive: float, neutral: float) -> Mood:
        if not text or text.isspace():
            return Mood(None, PRIOR, PRIOR)
        rest = 1.0 - _chance(neutral)
        good = rest * _chance(positive)
        bad = rest - good
        best = max(good, bad, 1.0 - rest)
        if best < self.sure:
            return Mood(None, bad, good)
        return Mood(1 if best == good else -1 if best == bad else 0, bad, good)

    def learn(self, labels: Sequence[tuple[str, int]]) -> SentimentModel:
        """A new model that has heard the operator's labels: (text, -1, 0 or 1), oldest first.

        N-grams learn by steps just as long as needed (passive-aggressive, Crammer et al. 2006), at
        most LESSON per label and DRIFT per n-gram over all: texts like the one judged follow it,
        others hardly move, so a few wrong labels wreck nothing. Of two labels of one text the
        later counts. Give all labels to the model as loaded, not each to the last one, and the
        same model comes out. ValueError for another label.
        """
        wanted: dict[str, int] = {}
        for text, label in labels:
            if label not in (-1, 0, 1):
                raise ValueError(f"a label is -1, 0 or 1, not {label!r}")
            wanted.pop(text, None)
            if text and not text.isspace():
                wanted[text] = label
        kept = list(wanted.items())[-LESSONS:]
        if not kept:
            return self
        texts = [text for text, _ in kept]
        reading = read(texts)
        grams, at = np.unique(reading.grams, return_inverse=True)
        values = np.zeros((len(grams), 2))
        if self.taught is not None:
            where = np.minimum(
                np.searchsorted(self.taught.grams, grams), len(self.taught.grams) - 1
            )
            same = self.taught.grams[where] == grams
            values[same] = self.taught.values[where[same]]
        fitted = self.base.odds(texts, reading)
        ends = np.cumsum(reading.counts)
        for row, (_, label) in enumerate(kept):
            mine = at[ends[row] - reading.counts[row] : ends[row]]
            length = math.sqrt(len(mine))
            for question, side in ((0, label), (1, 1 if label == 0 else -1)):
                if side == 0:
                    continue
                odds = fitted[row, question] + values[mine, question].sum() / length
                step = min(max(MARGIN - side * odds, 0.0), LESSON) / length
                values[mine, question] = np.clip(
                    values[mine, question] + side * step, -DRIFT, DRIFT
                )
        taught = _joined(self.taught, Taught(grams, values.astype(np.float32)))
        mark = hashlib.sha256(repr(kept).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return replace(self, taught=taught, name=f"{self.name}+{len(kept)}-{mark}")


def _joined(old: Taught | None, new: Taught) -> Taught:
    """What was taught before, where it was not taught anew."""
    if old is None:
        return new
    kept = ~np.isin(old.grams, new.grams)
    grams = np.concatenate([old.grams[kept], new.grams])
    order = np.argsort(grams)
    return Taught(grams[order], np.concatenate([old.values[kept], new.values])[order])


def _chance(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(odds, -30.0), 30.0)))


def _opened(path: Path) -> tuple[Weights, Taught | None, str]:
    """What is in a file; ModelFile when it is not what `save` writes."""
    import zipfile
    import zlib

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        with np.load(path, allow_pickle=False) as file:
            if file["format"].tolist() != [FORMAT, BITS]:
                raise ValueError("another version")
            base, name = (str(one) for one in file["name"])
            table = file["table"].T
            scale, bias, how = file["scale"], file["bias"], file["how"]
            taught = Taught(file["grams"], file["values"])
            shapes = (table.shape, scale.shape, bias.shape, how.shape, taught.values.shape)
            if shapes != ((1 << BITS, 2), (2,), (2,), (2, 4), (len(taught.grams), 2)):
                raise ValueError("numbers are missing")
            kinds = [one.dtype.str for one in (table, scale, bias, how, *taught)]
            if kinds != ["<i2", "<f8", "<f8", "<f8", "<i8", "<f4"]:
                raise ValueError("numbers of another kind")
            if not all(np.isfinite(one).all() for one in (scale, bias, how, taught.values)):
                raise ValueError("numbers that are none")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFile(f"{ModelFile.__doc__} ({error})") from error
    return Weights(base, pack(table), scale, bias, how), taught if len(taught.grams) else None, name
