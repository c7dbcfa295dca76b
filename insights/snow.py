"""SnowNLP in the place of our model: `sentiment.model = "snownlp"`.

Its one probability is of praise; it knows no neutral. How far from the middle a message must be
before it is one or the other was fitted on the training file (`bench/fit_sentiment.py --snow`
prints the three numbers), and its certainty is cut down to what it is worth. It takes
milliseconds for a message, dozens of times what ours takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from insights.sentiment_text import MAX_CHARS, Floats, Reading

LEAST = 1e-6
"""SnowNLP says 0 and 1; nothing is that certain."""
SLOPE, LIFT = 0.258, -0.149
"""Log odds of positive against negative: SLOPE times SnowNLP's, and LIFT."""
NEUTRAL, DISTANCE = -0.552, -0.051
"""Log odds of neutral: NEUTRAL, and DISTANCE times how far SnowNLP's log odds are from none."""


class Snow:
    """SnowNLP as it comes, calibrated. Loading it takes seconds."""

    name = "snownlp"

    def __init__(self) -> None:
        # Reads its files when it is imported; who uses our model shall not wait for it.
        from snownlp import sentiment

        self._classify = sentiment.classify

    def odds(self, texts: Sequence[str], reading: Reading) -> Floats:
        """Log odds of positive against negative, and of neutral; shape [n, 2]."""
        found = np.empty((len(texts), 2))
        for row, text in enumerate(texts):
            odds = self.raw(text)
            found[row] = SLOPE * odds + LIFT, NEUTRAL + DISTANCE * abs(odds)
        return found

    def raw(self, text: str) -> float:
        """SnowNLP's own log odds of praise."""
        # Half a pair of a broken character is what its dictionaries cannot hold.
        clean = text[:MAX_CHARS].encode("utf-8", "replace").decode("utf-8")
        chance = min(max(float(self._classify(clean)), LEAST), 1.0 - LEAST)
        return math.log(chance / (1.0 - chance))
