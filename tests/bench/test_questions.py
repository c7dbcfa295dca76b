"""The invented FAQ is as large and as varied as the bench says."""

from __future__ import annotations

from bench.questions import asked, entries


def test_three_hundred_entries_asked_in_wordings_that_seldom_repeat() -> None:
    found = entries()
    assert len({entry.question for entry in found}) == len(found) == 300
    questions = asked()
    texts = [next(questions).text for _ in range(5000)]
    assert len(set(texts)) > 4500
