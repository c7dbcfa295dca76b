"""Calibration: a knowledge base whose entries look alike answers less readily, unasked."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from knowledge import ANSWER_AT, OFFER_AT, Band, Entry, Index, Knowledge, Words
from knowledge.calibration import SAMPLE, Calibration, calibrate
from tests.knowledge.conftest import FAQ

THINGS = (
    *("发票", "退款", "直播", "证书", "作业", "密码", "优惠券", "积分", "学习群"),
    *("电子书", "会员卡", "回放", "讲义", "题库", "夜读营", "笔记", "闹钟", "勋章"),
)


def alike(aliases: bool) -> list[Entry]:
    """Thirty-six entries, each with a twin that means something else."""
    return [
        Entry(
            f"faq:{thing}{twin}",
            (f"我要怎么申请{thing}{twin}呢", *((f"{thing}{twin}办理",) if aliases else ())),
        )
        for thing in THINGS
        for twin in ("", "记录")
    ]


def measured(words: Words, entries: list[Entry]) -> Calibration:
    index = Index(words)
    index.replace_all(entries)
    return calibrate(index)


def test_nothing_known_leaves_the_defaults(words: Words) -> None:
    assert measured(words, []).answer_at == ANSWER_AT
    assert measured(words, [Entry("faq:1", ())]).answer_at == ANSWER_AT
    assert measured(words, [Entry("faq:1", ("？？",))]).answer_at == pytest.approx(ANSWER_AT)


def test_a_few_entries_move_it_little(words: Words) -> None:
    found = measured(words, [Entry("faq:1", ("怎么退款",)), Entry("faq:2", ("怎么退款呢",))])
    assert found.positives == 0
    assert ANSWER_AT <= found.answer_at < ANSWER_AT + 0.02


@pytest.mark.parametrize("aliases", [True, False], ids=["aliases", "no aliases"])
def test_entries_that_look_alike_raise_the_threshold(words: Words, aliases: bool) -> None:
    found = measured(words, alike(aliases))
    apart = measured(words, list(FAQ))
    assert found.negatives == 36
    assert found.positives == (72 if aliases else 0)
    assert found.precision < apart.precision
    assert ANSWER_AT <= apart.answer_at < found.answer_at < ANSWER_AT + 0.08


def test_the_same_entries_give_the_same_result(words: Words) -> None:
    assert measured(words, alike(True)) == measured(words, alike(True))


def test_a_large_base_is_sampled(words: Words) -> None:
    found = measured(words, [Entry(f"faq:{n}", (f"第{n}课讲什么", f"{n}")) for n in range(1000)])
    assert SAMPLE // 2 < found.positives <= SAMPLE
    assert SAMPLE // 2 < found.negatives <= SAMPLE


def test_an_entry_taken_out_does_not_answer_for_itself(words: Words) -> None:
    index = Index(words)
    index.replace_all(FAQ)
    assert index.without("怎么申请退款？", "faq:1")[:1] != index.search("怎么申请退款？", 1)
    assert "faq:1" not in [hit.id for hit in index.without("怎么申请退款？", "faq:1")]
    # Its other rows may, when only the row is taken out.
    hits = index.without("我想退钱", "faq:1", "我想退钱")
    assert all(hit.question != "我想退钱" for hit in hits)
    assert index.search("我想退钱", 1)[0].confidence >= 0.99


def shop(cache_dir: Path, answer_at: float | None = None) -> Knowledge:
    knowledge = Knowledge(answer_at=answer_at)
    knowledge.load(cache_dir)
    knowledge.replace_all(alike(False))
    return knowledge


def between(knowledge: Knowledge, low: float, high: float) -> str:
    """A question whose best hit is this sure."""
    for form in ("怎么申请{}", "申请{}", "{}怎么办", "怎么{}呀", "要{}", "{}呢", "{}在哪里申请"):
        for thing in THINGS:
            for question in (form.format(thing), form.format(thing[:1]), form.format(thing + "单")):
                hits = knowledge.near(question, 1)
                if hits and low <= hits[0].confidence < high:
                    return question
    raise AssertionError("no such question: the scorer's constants changed")


def test_the_next_question_is_decided_by_the_new_threshold(cache_dir: Path) -> None:
    knowledge = shop(cache_dir)
    answer_at = shop(cache_dir).calibrate().answer_at
    question = between(knowledge, ANSWER_AT, answer_at)
    assert knowledge.ask(question).band is Band.SURE
    assert knowledge.calibrate() == shop(cache_dir).calibrate()
    decision = knowledge.ask(question)
    assert decision.band is Band.UNSURE
    assert decision.hits


def test_a_threshold_set_by_the_operator_stays(cache_dir: Path) -> None:
    knowledge = shop(cache_dir, answer_at=ANSWER_AT)
    calibration = knowledge.calibrate()
    assert calibration.offer_at == OFFER_AT
    question = between(knowledge, ANSWER_AT, calibration.answer_at)
    assert knowledge.ask(question).band is Band.SURE


def test_calibrating_while_entries_change_breaks_nothing(cache_dir: Path) -> None:
    knowledge = shop(cache_dir)
    done = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not done.is_set():
                knowledge.calibrate()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    started = time.perf_counter()
    n = 0
    while n < 300 and time.perf_counter() - started < 5:
        knowledge.put(Entry(f"faq:{n % 50}", (f"怎么办理第{n}件事", f"第{n}件")))
        knowledge.remove(f"faq:{(n + 25) % 50}")
        n += 1
    done.set()
    thread.join()
    assert failed == []
