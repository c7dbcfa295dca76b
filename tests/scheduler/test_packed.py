"""Long lists between processes: the same rows in the same order, a piece at a time."""

from __future__ import annotations

import pickle

import pytest

from scheduler import behaviour_work, topics_work
from scheduler.packed import ROWS, Packed
from store.terms import TermDay


@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_what_is_packed_comes_out_as_it_was(count: int) -> None:
    rows = [TermDay("", number, f"词{number}", 1, 1, 0.5) for number in range(count)]
    packed = pickle.loads(pickle.dumps(Packed(rows)))
    assert len(packed) == count
    assert list(packed) == rows
    assert list(packed) == rows, "more than once"
    assert [one for piece in packed.pieces() for one in piece] == rows
    assert max(map(len, packed.pieces()), default=0) <= ROWS


class Unpacked:
    """A row that says when it is unpacked."""

    seen = 0

    def __setstate__(self, state: object) -> None:
        Unpacked.seen += 1

    def __getstate__(self) -> int:
        return 1


def test_nothing_is_unpacked_before_its_turn() -> None:
    data = pickle.dumps(Packed(Unpacked() for _ in range(10 * ROWS)))
    Unpacked.seen = 0
    pieces = pickle.loads(data).pieces()
    assert Unpacked.seen == 0, "the loop would wait for all of them"
    next(pieces)
    assert Unpacked.seen == ROWS


def test_all_that_may_be_long_comes_packed() -> None:
    annotations = {
        **behaviour_work.Mended.__annotations__,
        "judged": behaviour_work.Night.__annotations__["judged"],
        "retold": topics_work.Learned.__annotations__["retold"],
        "rows": behaviour_work.made.__annotations__["return"],
        "days": topics_work.folded.__annotations__["return"],
    }
    assert [name for name, form in annotations.items() if "Packed[" not in str(form)] == []
