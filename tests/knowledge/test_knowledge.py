"""Knowledge: sure, unsure or honest, whatever a member types."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import ANSWER_AT, OFFER_AT, Band, Entry, Knowledge
from tests.knowledge.conftest import FAQ, ITEMS

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "faq"


@pytest.mark.parametrize("entry", FAQ, ids=lambda entry: entry.id)
def test_every_written_question_is_answered_by_its_entry(
    small_shop: Knowledge, entry: Entry
) -> None:
    for question in entry.questions:
        decision = small_shop.ask(question)
        assert decision.band is Band.SURE
        assert decision.hits[0].id == entry.id
        assert decision.hits[0].confidence >= ANSWER_AT


@pytest.mark.parametrize(
    ("asked", "id"),
    [
        ("你好，请问怎么退款呀", "faq:1"),
        ("课程有效期多长时间", "faq:2"),
        ("怎样才能开发票", "faq:3"),
        ("直播回放在哪儿看", "faq:4"),
        ("优惠券咋用", "faq:6"),
        ("密码忘了怎么办", "faq:7"),
    ],
)
def test_other_words_for_the_same_find_the_entry(
    small_shop: Knowledge, asked: str, id: str
) -> None:
    decision = small_shop.ask(asked)
    assert decision.band is not Band.UNKNOWN
    assert decision.hits[0].id == id


@pytest.mark.parametrize("asked", ["怎么办", "有没有", "可以", "能", "什么时候"])
def test_what_only_asks_is_never_answered(small_shop: Knowledge, asked: str) -> None:
    assert small_shop.ask(asked).band is not Band.SURE


@pytest.mark.parametrize(("asked", "id"), [("优惠券", "faq:6"), ("忘记密码", "faq:7")])
def test_a_short_question_that_is_part_of_one_is_answered(
    small_shop: Knowledge, asked: str, id: str
) -> None:
    decision = small_shop.ask(asked)
    assert (decision.band, decision.hits[0].id) == (Band.SURE, id)


@pytest.mark.parametrize(
    "chatter",
    ["哈哈哈哈", "今天天气真好啊", "嗯嗯", "我先去吃饭了", "晚安", "他昨天去北京了", "123"],
)
def test_chatter_is_unknown(small_shop: Knowledge, chatter: str) -> None:
    decision = small_shop.ask(chatter)
    assert (decision.band, decision.hits) == (Band.UNKNOWN, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n\t",
        "？？！！",
        "\x00\x01\x1b[2J",
        "😀🎉👩‍👩‍👧",
        "_" * 99,
        "\ufdfa" * 500,
        "\ud800",
    ],
)
def test_what_says_nothing_finds_nothing(small_shop: Knowledge, text: str) -> None:
    assert small_shop.ask(text).band is Band.UNKNOWN
    assert small_shop.find(text) == []


def test_a_megabyte_is_read_only_at_its_beginning(small_shop: Knowledge) -> None:
    filler = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
    assert small_shop.ask(filler * 65_536 + "怎么申请退款").band is Band.UNKNOWN
    assert small_shop.ask("怎么申请退款" + " " * 1_000_000 + filler).hits[0].id == "faq:1"


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_breaks_it(small_shop: Knowledge, text: str) -> None:
    decision = small_shop.ask(text)
    assert len(decision.hits) <= 3
    assert all(0 <= hit.confidence <= 1 for hit in [*decision.hits, *small_shop.find(text)])


def test_items_and_faq_are_kept_apart(small_shop: Knowledge) -> None:
    assert len(small_shop) == len(FAQ) + len(ITEMS)
    assert [hit.id for hit in small_shop.find("数据分析")] == ["item:py", "item:write"]
    assert all(hit.id.startswith("faq:") for hit in small_shop.ask("数据分析 退款").hits)
    assert len(small_shop.find("数据分析", 1)) == 1


@pytest.mark.parametrize("query", ["写作课", "想学写作", "有没有写作相关的课程"])
def test_words_that_fit_every_item_find_none_in_particular(
    small_shop: Knowledge, query: str
) -> None:
    assert [hit.id for hit in small_shop.find(query)] == ["item:write"]


def test_entries_put_before_loading_are_cut_when_loaded(cache_dir: Path) -> None:
    early, late = Knowledge(), Knowledge()
    early.replace_all(FAQ)
    assert not early.ready
    early.load(cache_dir)
    late.load(cache_dir)
    late.replace_all(FAQ)
    assert early.ready
    question = "请问直播的回放在什么地方看"
    assert early.ask(question) == late.ask(question)


def test_a_change_shows_in_the_next_answer(cache_dir: Path) -> None:
    knowledge = Knowledge()
    knowledge.load(cache_dir)
    knowledge.replace_all(FAQ)
    question = "作业交到哪里"
    assert knowledge.ask(question).band is not Band.SURE
    knowledge.put(Entry("faq:9", ("作业交到哪里？",)))
    assert knowledge.ask(question).hits[0].id == "faq:9"
    assert knowledge.remove("faq:9")
    assert knowledge.ask(question).band is not Band.SURE


def test_the_thresholds_are_the_caller_s(cache_dir: Path) -> None:
    strict = Knowledge(answer_at=0.999, offer_at=0.0)
    strict.load(cache_dir)
    strict.replace_all(FAQ)
    assert strict.ask("怎么退款呢").band is Band.UNSURE
    assert 0 < OFFER_AT < ANSWER_AT < 1


def test_a_demoted_entry_is_offered_but_not_told(small_shop: Knowledge) -> None:
    question = "怎么申请退款？"
    sure = small_shop.ask(question)
    demoted = small_shop.ask(question, demoted={"faq:1"})
    assert (sure.band, demoted.band) == (Band.SURE, Band.UNSURE)
    assert demoted.hits == sure.hits
    assert small_shop.ask(question, demoted={"faq:2"}) == sure
    assert small_shop.ask("今天天气真好啊", demoted={"faq:1"}).band is Band.UNKNOWN


def test_the_nearest_entries_come_whatever_the_thresholds(cache_dir: Path) -> None:
    strict = Knowledge(answer_at=1.0, offer_at=1.0)
    strict.load(cache_dir)
    strict.replace_all([*FAQ, *ITEMS, Entry("doc:1", ("退款规则", "七天内可以退款"))])
    assert strict.ask("退款要怎么弄").band is Band.UNKNOWN
    near = strict.near("退款要怎么弄")
    assert near[0].id == "faq:1"
    assert len(near) <= 3 < len(strict.near("怎么看课", 10)) <= 10
    assert all(hit.id.startswith("faq:") for hit in strict.near("退款 数据分析", 10))
    assert strict.near("？？") == []


def test_a_word_of_the_business_finds_the_entry(cache_dir: Path, tmp_path: Path) -> None:
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("反悔 退款\n", encoding="utf-8")
    plain, taught = Knowledge(), Knowledge(synonyms_file=synonyms)
    for knowledge in (plain, taught):
        knowledge.load(cache_dir)
        knowledge.replace_all(FAQ)
    assert plain.ask("反悔").band is Band.UNKNOWN
    assert taught.ask("反悔").hits[0].id == "faq:1"
    assert taught.clean("请问　ＡＢ？") == "ab"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/faq beside the project")
def test_real_questions_stay_above_the_floor(cache_dir: Path) -> None:
    """Dev part, 7 knowledge bases of 3 domains, 3,779 questions; measured: 0.81, 0.74, 0.003."""
    bases: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with (SHARED / "dev_entries.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            bases[line["kb"]][line["entry_id"]].append(line["question"])
    first: dict[str, list[bool]] = defaultdict(list)
    correct: list[bool] = []
    chatter: list[bool] = []
    knowledge = Knowledge(offer_at=0.0)
    knowledge.load(cache_dir)
    base = ""
    with (SHARED / "dev_queries.csv").open(encoding="utf-8", newline="") as lines:
        for line in sorted(csv.DictReader(lines), key=lambda line: line["kb"]):
            if line["kb"] != base:
                base = line["kb"]
                entries = bases[base].items()
                knowledge.replace_all(Entry(id, tuple(rows)) for id, rows in entries)
                knowledge.calibrate()
            decision = knowledge.ask(line["query"])
            right = bool(decision.hits) and decision.hits[0].id == line["entry_id"]
            if line["kind"] == "answerable":
                first[line["domain"]].append(right)
                correct.append(right and decision.band is Band.SURE)
            elif line["kind"] == "oos_chat":
                chatter.append(decision.band is Band.SURE)
    top1 = sum(sum(hits) / len(hits) for hits in first.values()) / len(first)
    assert top1 >= 0.80
    assert sum(correct) / len(correct) >= 0.72
    assert sum(chatter) / len(chatter) <= 0.01
