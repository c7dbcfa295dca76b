"""How much a message looks like an advert: a linear model, its reasons, its lessons.

Words in, a probability out; what is done about it is decided elsewhere, by rules. Two linear
halves: the *near* one weighs n-grams and plain figures (`insights/spam_text.py`) and knows the
kinds of groups it was trained on; the *far* one weighs plain figures alone and is worth more
where most n-grams were never seen. `bench/fit_spam.py` fits them; what they were trained on and
are not for stands in `insights/spam-model-card.md`. It reads single messages: floods and
repeats are not its business. Nothing here waits, keeps a file open or knows who wrote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insights.spam_alone import alone
from insights.spam_flags import FLAGS
from insights.spam_text import NAMES, Floats, Reading, read

SHIPPED = Path(__file__).with_name("spam_model.npz")
NORM = 0.2
"""An n-gram counts 1 / (number of different n-grams) ** NORM: long texts say more, not all."""
STRANGE, FAMILIAR = 0.25, 0.5
"""Shares of n-grams with a weight of their own: up to the first a text is all strange to the near
half, from the second on quite familiar; between them on a line."""
FAR_LEAST, FAR_MOST = 0.1, 1.0
"""Share of the far half in the log odds of a familiar and of a strange text."""
AT_ONCE = 512
"""Texts that are read together; more would only take memory."""

LESSON = 4.0
"""Most that one verdict moves the log odds of its own text."""
MARGIN = 1.0
"""Log odds, on the right side of the threshold, with which a lesson is content."""
DRIFT = 0.5
"""Most that all verdicts together change the weight of one n-gram."""
LESSONS = 2000
"""Verdicts that are learnt from, newest last."""

REASONS: tuple[str, ...] = (
    *dict.fromkeys(name for name, _, _ in FLAGS if name not in ("chatty", "english")),
    "disguise",
)
"""Everything `SpamModel.reasons` may say."""
_DISGUISE = ("rare 1.5", "two scripts 0.5", "disguised 1.5", "hidden 0.5")
_FIRST_FLAG = NAMES.index(FLAGS[0][0])
_REASON_AT: tuple[tuple[int, str], ...] = (
    *((_FIRST_FLAG + column, name) for column, (name, _, _) in enumerate(FLAGS) if name in REASONS),
    *((NAMES.index(name), "disguise") for name in _DISGUISE),
)
"""Plain figure -> the reason that it is."""


class ModelFile(ValueError):
    """The file of the spam model is not one of this version: fit it again."""


@dataclass(frozen=True, slots=True)
class SpamModel:
    """A fitted model; never changed, so threads may share it.

    table: near weight of each hashed n-gram, shape [2**BITS]. near, far: weights of the plain
    figures in both halves, shape [len(NAMES)]. threshold: probability from which a message is
    called spam, the same for every kind of group. sure: probability above which at most one in
    a hundred ordinary messages of any training source lay. taught: what verdicts added to the
    weights of n-grams, shape as `table`; None when there were none.
    """

    table: NDArray[np.float32]
    near: Floats
    near_bias: float
    far: Floats
    far_bias: float
    threshold: float
    sure: float
    taught: NDArray[np.float32] | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> SpamModel:
        """The shipped model, or one fitted elsewhere. ModelFile when it does not fit this code.

        Reads a file of a few megabytes: not on the event loop.
        """
        try:
            with np.load(path or SHIPPED, allow_pickle=False) as file:
                names = tuple(str(name) for name in file["names"])
                table = file["table"].astype(np.float32)
                near, far = file["plain"].astype(np.float64)
                near_bias, far_bias, threshold, sure = file["numbers"].tolist()
        except (OSError, KeyError, ValueError) as error:
            raise ModelFile(f"{ModelFile.__doc__} ({error})") from error
        if names != NAMES:
            raise ModelFile(ModelFile.__doc__)
        # The tables of characters are made now, not in the first member's message.
        read(["一"])
        alone("一")
        return cls(table, near, near_bias, far, far_bias, threshold, sure)

    def save(self, path: Path) -> None:
        """Write the file that `load` reads; the same model gives the same bytes.

        Verdicts are not kept: they are the operator's, and learnt anew.
        """
        numbers = np.array([self.near_bias, self.far_bias, self.threshold, self.sure])
        np.savez_compressed(
            path,
            names=np.array(NAMES),
            table=self.table.astype(np.float16),
            plain=np.stack([self.near, self.far]),
            numbers=numbers,
        )

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Probability of spam of each text, 0 to 1; [] for no texts.

        Calibrated on the training sources, each counting the same. A text without a letter
        or digit scores 0. Only the beginning of a long text is read.
        """
        if len(texts) == 1 and (single := alone(texts[0])) is not None:
            return [self._score(single)]
        found: list[float] = []
        for start in range(0, len(texts), AT_ONCE):
            reading = read(texts[start : start + AT_ONCE])
            odds = np.clip(self.log_odds(reading), -30.0, 30.0)
            found += np.where(reading.blank, 0.0, 1.0 / (1.0 + np.exp(-odds))).tolist()
        return found

    def _score(self, reading: Reading) -> float:
        """The probability of one text, without what numpy asks for a batch."""
        if reading.blank[0]:
            return 0.0
        count = len(reading.grams)
        weights = self.table[reading.grams]
        known = np.count_nonzero(weights) / count
        plain = reading.plain[0]
        near = float(weights.sum(dtype=np.float64)) * count**-NORM
        near += float(plain @ self.near) + self.near_bias
        odds = near + _far_share_of_one(known) * (float(plain @ self.far) + self.far_bias - near)
        if self.taught is not None:
            odds += float(self.taught[reading.grams].sum(dtype=np.float64)) * count**-NORM
        return 1.0 / (1.0 + math.exp(-min(max(odds, -30.0), 30.0)))

    def log_odds(self, reading: Reading) -> Floats:
        """Log odds of spam of a batch, shape [n]; blank texts too."""
        n = len(reading.plain)
        counts = np.maximum(np.bincount(reading.rows, minlength=n), 1)
        weights = self.table[reading.grams]
        known = np.bincount(reading.rows, weights=weights != 0.0, minlength=n) / counts
        near = np.bincount(reading.rows, weights=weights, minlength=n) * counts**-NORM
        near += reading.plain @ self.near + self.near_bias
        share = far_share(known)
        odds: Floats = near + share * (reading.plain @ self.far + self.far_bias - near)
        if self.taught is not None:
            heard = np.bincount(reading.rows, weights=self.taught[reading.grams], minlength=n)
            odds += heard * counts**-NORM
        return odds

    def reasons(self, text: str) -> tuple[str, ...]:
        """At most three of REASONS that speak most for spam; () when nothing plain does.

        They explain a score to an operator and are no judgement by themselves: an ordinary
        message may have some too.
        """
        reading = read([text])
        if reading.blank[0]:
            return ()
        plain = reading.plain[0]
        strength: dict[str, float] = {}
        for column, name in _REASON_AT:
            if plain[column] and self.far[column] > 0.0:
                strength[name] = strength.get(name, 0.0) + float(self.far[column])
        return tuple(sorted(strength, key=lambda name: -strength[name])[:3])

    def learn(self, labels: Sequence[tuple[str, bool]]) -> SpamModel:
        """A new model that has heard the operator's verdicts: (text, is spam), oldest first.

        Only n-grams learn, by steps just as long as needed (passive-aggressive, Crammer et al.
        2006), at most LESSON per verdict and DRIFT per n-gram over all: texts like the one
        judged follow it, others hardly move, so a few wrong verdicts wreck nothing. Of two
        verdicts on one text the later counts. Blank texts teach nothing. Give all verdicts to
        the model as shipped, not each to the last one, and the same model comes out.
        """
        wanted: dict[str, bool] = {}
        for text, spam in labels:
            wanted.pop(text, None)
            wanted[text] = spam
        kept = list(wanted.items())[-LESSONS:]
        if not kept:
            return self
        taught = np.zeros_like(self.table) if self.taught is None else self.taught.copy()
        line = float(np.log(self.threshold / (1.0 - self.threshold)))
        for start in range(0, len(kept), AT_ONCE):
            part = kept[start : start + AT_ONCE]
            reading = read([text for text, _ in part])
            fitted = replace(self, taught=None).log_odds(reading) - line
            ends = np.searchsorted(reading.rows, np.arange(len(part) + 1))
            for row, (_, spam) in enumerate(part):
                if reading.blank[row]:
                    continue
                grams = reading.grams[ends[row] : ends[row + 1]]
                heard = taught[grams]
                odds = float(fitted[row]) + float(heard.sum()) * len(grams) ** -NORM
                missing = MARGIN - odds if spam else MARGIN + odds
                step = min(max(missing, 0.0), LESSON) * len(grams) ** (NORM - 1.0)
                taught[grams] = np.clip(heard + (step if spam else -step), -DRIFT, DRIFT)
        return replace(self, taught=taught)


def far_share(known: Floats) -> Floats:
    """How much of the log odds is the far half's, from the share of n-grams that are known."""
    strange = np.clip((FAMILIAR - known) / (FAMILIAR - STRANGE), 0.0, 1.0)
    share: Floats = FAR_LEAST + (FAR_MOST - FAR_LEAST) * strange
    return share


def _far_share_of_one(known: float) -> float:
    strange = min(max((FAMILIAR - known) / (FAMILIAR - STRANGE), 0.0), 1.0)
    return FAR_LEAST + (FAR_MOST - FAR_LEAST) * strange
