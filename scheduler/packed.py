"""Long lists on their way from the process that worked them out.

A result of a hundred thousand rows is unpickled at one go, and while that lasts, 0.4 s, no answer
goes out. So long lists come as compressed bytes, in pieces, and each is unpacked when its turn
comes to be written.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

ROWS = 500
"""Of a piece: unpacked in a millisecond or two."""


class Packed(Generic[T]):
    """Rows, packed. Only for what comes from a process of ours: it is unpickled."""

    __slots__ = ("_count", "_pieces")

    def __init__(self, rows: Iterable[T] = (), size: int = ROWS) -> None:
        self._pieces: list[bytes] = []
        self._count = 0
        left = iter(rows)
        while piece := list(islice(left, size)):
            packed = pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)
            # Bytes, too, are received at one go: the fewer, the better. Quick rather than small.
            self._pieces.append(zlib.compress(packed, 1))
            self._count += len(piece)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """Row by row; no more than a piece of them is unpacked."""
        for piece in self.pieces():
            yield from piece

    def pieces(self) -> Iterator[list[T]]:
        """The rows in their order, so many at a time."""
        for piece in self._pieces:
            yield pickle.loads(zlib.decompress(piece))  # noqa: S301 - packed by our own process
