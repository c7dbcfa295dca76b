"""Index: changes show at once, and no order of changes leaves a trace."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import Entry, Index, Words
from tests.knowledge.conftest import FAQ


def full(words: Words) -> Index:
    index = Index(words)
    index.replace_all(FAQ)
    return index


def test_an_entry_put_is_found_and_one_removed_is_not(words: Words) -> None:
    index = full(words)
    index.put(Entry("faq:9", ("作业交到哪里？",)))
    assert index.search("作业交到哪里")[0].id == "faq:9"
    assert len(index) == 9
    assert index.remove("faq:9")
    assert "faq:9" not in [hit.id for hit in index.search("作业交到哪里")]
    assert not index.remove("faq:9")
    assert len(index) == 8


def test_putting_again_replaces(words: Words) -> None:
    index = full(words)
    index.put(Entry("faq:1", ("证书什么时候寄出？",)))
    assert len(index) == 8
    assert "faq:1" not in [hit.id for hit in index.search("我想退钱")]
    assert index.search("证书什么时候寄")[0].id == "faq:1"


def test_the_matching_row_comes_back_as_it_was_given(words: Words) -> None:
    hit = full(words).search("我想退钱!")[0]
    assert (hit.id, hit.question) == ("faq:1", "我想退钱")
    assert hit.confidence >= 0.99


def test_each_entry_comes_once_best_first(words: Words) -> None:
    hits = full(words).search("怎么退款退钱", 8)
    assert len({hit.id for hit in hits}) == len(hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(full(words).search("怎么用", 2)) <= 2


def test_a_negated_question_is_another_question(words: Words) -> None:
    index = Index(words)
    index.replace_all([Entry("a", ("可以退款",)), Entry("b", ("不可以退款",))])
    assert index.search("课程可以退款")[0].id == "a"
    assert index.search("课程不可以退款")[0].id == "b"


def test_words_in_the_same_order_speak_for_a_row(words: Words) -> None:
    index = Index(words)
    index.replace_all([Entry("a", ("老师教学生",)), Entry("b", ("学生教老师",))])
    assert index.search("老师要教学生")[0].id == "a"
    assert index.search("学生要教老师")[0].id == "b"


def test_an_entry_s_other_rows_speak_for_the_one_that_matched(words: Words) -> None:
    index = Index(words)
    index.replace_all(
        [Entry("a", ("怎么退款", "安卓手机")), Entry("b", ("怎么退款呢", "苹果平板"))]
    )
    assert index.search("苹果怎么退款")[0].id == "b"
    assert index.search("安卓怎么退款")[0].id == "a"


def test_a_single_entry_can_be_found(words: Words) -> None:
    index = Index(words)
    index.put(Entry("only", ("怎么申请退款",)))
    assert index.search("退款怎么申请")[0].id == "only"


def test_an_entry_without_words_is_counted_but_never_found(words: Words) -> None:
    index = full(words)
    index.put(Entry("faq:9", ("？？？", "")))
    assert len(index) == 9
    assert index.search("？？？") == []
    assert index.remove("faq:9")


def test_a_common_word_in_a_large_index_is_answered_from_a_part_of_it(words: Words) -> None:
    index = Index(words)
    index.replace_all(Entry(str(n), (f"课程{n}",)) for n in range(15_000))
    assert index.search("课程")
    assert index.search("课程 14321")[0].id == "14321"


def test_an_equal_text_is_found_among_thousands_that_hold_it(words: Words) -> None:
    index = Index(words)
    index.replace_all(Entry(str(n), (f"课程怎么退款 {n}",)) for n in range(3_000))
    index.put(Entry("equal", ("课程怎么退款",)))
    for question in ("课程怎么退款", "课程怎么退款？谢谢"):
        assert index.search(question)[0].id == "equal"


def test_rows_are_counted_as_if_one_by_one(words: Words) -> None:
    index = Index(words)
    rows = [f"{'退款课程发票优惠'[n % 8 :]}{n}" for n in range(700)]
    index.replace_all(Entry(str(n), (text,)) for n, text in enumerate(rows))
    found = index.search("退款课程", 3)
    assert [hit.question[0] for hit in found] == ["退"] * 3
    for n in range(0, 700, 8):
        assert index.remove(str(n))
    assert [hit.question[:2] for hit in index.search("退款课程", 1)] == ["款课"]


def test_items_are_found_by_what_they_cover(words: Words) -> None:
    index = Index(words, topical=True)
    index.replace_all(
        [
            Entry("item:a", ("Python 数据分析三十讲", "编程"), "从读表格到画图"),
            Entry("item:b", ("写作训练营",), "也讲数据分析报告怎么写"),
        ]
    )
    assert [hit.id for hit in index.search("数据分析")] == ["item:a", "item:b"]
    assert [hit.id for hit in index.search("编程")] == ["item:a"]
    assert index.search("量子物理") == []


texts = st.text(alphabet="退款课程怎么不开发票ab1 ？的", max_size=8)
entries = st.builds(
    Entry,
    id=st.sampled_from(["1", "2", "3", "4", "5"]),
    questions=st.lists(texts, min_size=1, max_size=3).map(tuple),
    body=texts,
)
changes = st.lists(st.one_of(entries, st.sampled_from(["1", "2", "3", "4", "5"])), max_size=25)


@settings(max_examples=150, deadline=None)
@given(changes=changes, question=texts)
def test_changes_one_by_one_equal_a_new_index(
    words: Words, changes: list[Entry | str], question: str
) -> None:
    index = Index(words)
    held: dict[str, Entry] = {}
    for change in changes:
        if isinstance(change, Entry):
            index.put(change)
            held[change.id] = change
        else:
            assert index.remove(change) == (held.pop(change, None) is not None)
        index.search(question)
    rebuilt = Index(words)
    rebuilt.replace_all(held.values())
    assert len(index) == len(rebuilt) == len(held)
    for one, other in zip(index.search(question), rebuilt.search(question), strict=True):
        assert (one.id, one.question) == (other.id, other.question)
        assert (one.score, one.confidence) == pytest.approx((other.score, other.confidence))
