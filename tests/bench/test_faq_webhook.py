"""The bench of real questions reads its files rightly, counts rightly, and asks for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faq_webhook import Base, Query, ask, mean, read, report

ENTRIES = """kb,domain,entry_id,kind,question
a,x,a-1,alias,退钱流程
a,x,a-1,main,怎么退款
a,x,a-2,main,发票在哪里开
b,y,b-1,main,几点开门
"""
QUERIES = """kb,domain,query_id,kind,entry_id,query
a,x,q1,answerable,a-1,怎么退款
a,x,q2,answerable,a-2,退钱流程
a,x,q3,oos_chat,,今天天气真好
b,y,q4,answerable,b-1,几点开门
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    entries, queries = tmp_path / "entries.csv", tmp_path / "queries.csv"
    entries.write_text(ENTRIES, encoding="utf-8")
    queries.write_text(QUERIES, encoding="utf-8")
    return entries, queries


def test_each_base_has_its_own_entries_main_wording_first(files: tuple[Path, Path]) -> None:
    first, second = read(*files)
    assert (first.name, second.name) == ("a", "b")
    refund = first.entries[0]
    assert (refund.question, refund.aliases, refund.answer) == ("怎么退款", ("退钱流程",), "A:a-1")
    assert [query.kind for query in first.queries] == ["answerable", "answerable", "oos_chat"]
    assert [base.name for base in read(*files, only=["b"])] == ["b"]
    with pytest.raises(ValueError, match="no such kb: c"):
        read(*files, only=["c"])


def test_precision_counts_answers_to_what_nobody_should_answer() -> None:
    base = Base(
        "a",
        (),
        (
            Query("1", "answerable", ""),
            Query("2", "answerable", ""),
            Query("3", "answerable", ""),
            Query("4", "answerable", ""),
            Query("", "oos_chat", ""),
        ),
    )
    told = [("sure", "1"), ("sure", "9"), ("offer", "3"), ("unknown", ""), ("sure", "7")]
    figures = report(base, told)
    assert (figures["n"], figures["top1"]) == (4, 0.5)
    shares = [figures[name] for name in ("answered", "offered", "unknown", "other")]
    assert shares == [0.5, 0.25, 0.25, 0.0]
    assert figures["precision"] == pytest.approx(1 / 3, abs=1e-4)
    assert figures["oos"]["oos_chat"]["answered"] == 1.0
    empty = report(Base("b", (), ()), [])
    assert (empty["top1"], empty["precision"]) == (None, None)
    assert mean([figures, empty])["top1"] == 0.5


async def test_a_base_is_asked_through_the_webhook(files: tuple[Path, Path]) -> None:
    figures = await ask(read(*files)[0])
    assert figures["answered"] == 1.0
    assert figures["top1"] == 0.5, "the second query's label is wrong on purpose"
    assert figures["oos"]["oos_chat"]["unknown"] == 1.0
