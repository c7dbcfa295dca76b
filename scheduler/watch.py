"""The lease as its runner watches it: whether what it is about to do is still its to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from store.leases import Hold


@dataclass(slots=True)
class Watch:
    """hold: what was taken; until: when it ends, as far as this process knows.

    A process that was stopped for longer than that finds out by its own clock, before it calls
    anybody; what is in the file is asked by each transaction.
    """

    hold: Hold
    now: Callable[[], float]
    until: float
    lost: bool = field(default=False)

    def mine(self) -> bool:
        """Whether it has not ended, by the clock, and nobody was seen to have taken it."""
        return not self.lost and self.now() < self.until
