"""The bench of answers reads its files rightly, refuses bad ones, and its arithmetic is exact."""

from __future__ import annotations

import gzip
import io
import json
import math
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from bench import bm25, faq_curve
from bench.faq import Asked, auc, figures, main, report, sweep
from bench.faq_files import FaqFileError, Query, read, read_pairs
from bench.faq_speed import synthetic
from knowledge import Band

ENTRIES = """kb,domain,entry_id,kind,question
shop,sales,s-1,alias,买错了能退钱吗
shop,sales,s-1,main,怎么申请退款
shop,sales,s-2,main,发票在哪里开
shop,sales,s-3,main,优惠券怎么使用
school,lessons,s-1,main,直播回放在哪里看
school,lessons,item:2,main,作业怎么提交
"""
QUERIES = """kb,domain,query_id,kind,entry_id,query
shop,sales,q1,answerable,s-1,怎么申请退款
shop,sales,q2,answerable,s-2,优惠券怎么使用
shop,sales,q3,oos_chat,,今晚月亮好圆
school,lessons,q4,answerable,item:2,作业怎么提交
school,lessons,q5,oos_hard,,直播回放在哪里看
school,lessons,q6,of_tomorrow,,哈哈哈
"""
PAIRS = """domain,part,same,question1,question2
sales,dev,1,怎么申请退款,退款怎么申请
sales,dev,0,怎么申请退款,发票在哪里开呀
sales,train,1,这一行不算,不算这一行
"""
KEYS = {
    "machine", "n", "queries", "kbs", "entries", "rows", "top1", "mrr10", "correct_share",
    "precision", "answered", "offered", "refused", "pooled", "by_domain", "by_kb", "p50_ms",
    "p99_ms", "index_build_s", "calibrate_s", "dictionary_s", "memory_mb", "thresholds",
    "sizes", "baselines", "pairs", "goals",
}  # fmt: skip


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one run."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = int(str(exit.code))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report on the files above, with everything that can be asked for."""
    folder = tmp_path_factory.mktemp("faq")
    curve = [f"--curve={folder / 'c.svg'}"] if faq_curve.installed() else []
    code, out, err = run(
        "--entries", write(folder, "e.csv", ENTRIES), "--queries", write(folder, "q.csv", QUERIES),
        "--pairs", write(folder, "p.csv", PAIRS), "--sizes", "30", *curve,
    )  # fmt: skip
    assert code == 0, err
    assert bool(curve) == (folder / "c.svg").exists()
    found: dict[str, Any] = json.loads(out)
    return found


def test_one_json_object_has_every_key(told: dict[str, Any]) -> None:
    assert set(told) == KEYS
    assert (told["kbs"], told["entries"], told["rows"]) == (2, 5, 6)
    assert 0 < told["p50_ms"] <= told["p99_ms"]
    assert told["index_build_s"] > 0
    assert set(told["goals"].values()) <= {True, False, None}


def test_right_and_wrong_answers_count_as_such_through_the_real_index(
    told: dict[str, Any],
) -> None:
    assert (told["n"], told["queries"]) == (3, 6)
    sales, lessons = told["by_domain"]["sales"], told["by_domain"]["lessons"]
    assert (sales["n"], sales["top1"], sales["correct_share"]) == (2, 0.5, 0.5)
    assert (lessons["n"], lessons["top1"], lessons["mrr10"]) == (1, 1.0, 1.0)
    assert sales["precision"] == 0.5
    assert lessons["precision"] == 0.5, "an equal text that must not be answered was answered"
    assert (told["top1"], told["correct_share"]) == (0.75, 0.75)
    assert told["pooled"]["top1"] == pytest.approx(2 / 3, abs=1e-4)
    assert told["answered"] == {"answerable": 1, "of_tomorrow": 0, "oos_chat": 0, "oos_hard": 1}
    assert (told["refused"]["oos_chat"], told["refused"]["oos_hard"]) == (1, 0)
    assert set(told["by_kb"]) == {"shop", "school"}


def test_a_synthetic_base_is_timed_and_what_is_put_in_is_found(told: dict[str, Any]) -> None:
    size = told["sizes"]["30"]
    assert size["asked"] == 6
    assert 0 < size["p50_ms"] <= size["p99_ms"] <= size["max_ms"]
    assert size["visible_ms"]["puts"] == 50
    assert size["visible_ms"]["max"] < 5000, "an entry that was put in was not found"


def test_pairs_of_the_dev_part_are_scored(told: dict[str, Any]) -> None:
    assert (told["pairs"]["n"], told["pairs"]["same"]) == (2, 1)
    assert told["pairs"]["auc"] == 1.0
    assert told["pairs"]["by_domain"]["sales"]["n"] == 2


def test_bm25_stands_beside_in_the_same_run(told: dict[str, Any]) -> None:
    baseline = told["baselines"]["bm25"]
    if not bm25.installed():
        assert baseline == {"missing": "pip install -e '.[dev]'"}
        pytest.skip("bm25s is not installed")
    assert (baseline["top1"], baseline["by_domain"]["sales"]["top1"]) == (0.75, 0.5)
    assert baseline["by_domain"]["lessons"] == {"n": 1, "top1": 1.0, "mrr10": 1.0}


def test_bm25_takes_the_best_wording_and_leaves_out_what_shares_no_word(tmp_path: Path) -> None:
    if not bm25.installed():
        pytest.skip("bm25s is not installed")

    class Letters(bm25.Cutter):
        def __init__(self) -> None: ...

        def __call__(self, text: str) -> list[str]:
            return list(text)

    index = bm25.Bm25({"far": ["xyz", "ap"], "near": ["qq", "ab"], "none": ["z"]}, Letters())
    assert index.near("ab", 10) == ["near", "far"]
    assert index.near("ab", 1) == ["near"]
    assert index.near("?", 10) == []
    assert bm25.Bm25({"blank": [""]}, Letters()).near("a", 10) == []


# What is counted


def one(
    entry: str,
    *ranking: str,
    band: Band = Band.SURE,
    confidence: float = 0.5,
    kind: str = "answerable",
    domain: str = "a",
) -> Asked:
    return Asked(domain, Query(domain, kind, entry, "?"), ranking, band, confidence, 0.001)


SEEN = [
    one("1", "1", "2", confidence=0.9),
    one("2", "1", "2", confidence=0.6),
    one("3", "3", band=Band.UNSURE, confidence=0.3),
    one("4", band=Band.UNKNOWN, confidence=0.0),
    one("5", "5", domain="b", confidence=0.7),
    one("", "5", domain="b", kind="oos_hard", confidence=0.8),
    one("", "5", domain="b", kind="oos_chat", band=Band.UNKNOWN, confidence=0.1),
    one("", domain="c", kind="oos_chat", band=Band.UNKNOWN, confidence=0.0),
]


def test_the_figures_of_a_file_one_can_count_by_hand_are_exact() -> None:
    told = report(SEEN)
    a = told["by_domain"]["a"]
    assert (a["n"], a["top1"], a["mrr10"]) == (4, 0.5, (1 + 1 / 2 + 1 + 0) / 4)
    assert (a["correct_share"], a["precision"]) == (0.25, 0.5)
    assert a["offered"] == a["refused"] == {"answerable": 0.25}
    assert told["by_domain"]["b"]["precision"] == 0.5
    assert told["by_domain"]["c"]["top1"] is None, "nothing there can be answered"
    assert told["top1"] == (0.5 + 1) / 2, "a mean over the domains that have a figure"
    assert told["correct_share"] == (0.25 + 1) / 2
    assert told["pooled"] == {"top1": 3 / 5, "mrr10": 3.5 / 5, "correct_share": 2 / 5}
    assert told["precision"] == 2 / 4
    assert told["answered"] == {"answerable": 3 / 5, "oos_chat": 0.0, "oos_hard": 1.0}
    assert told["refused"] == {"answerable": 1 / 5, "oos_chat": 1.0, "oos_hard": 0.0}


def test_nothing_asked_has_no_figures_rather_than_zeros() -> None:
    told = figures([])
    assert (told["n"], told["top1"], told["precision"], told["answered"]) == (0, None, None, {})
    assert report([])["mrr10"] is None


def test_an_unanswerable_query_is_never_right_even_when_nothing_was_found() -> None:
    nothing = one("", kind="oos_chat")
    assert not nothing.right
    assert nothing.reciprocal_rank == 0.0


def test_each_threshold_tells_what_it_would_bring() -> None:
    many = SEEN * 10
    lines = sweep(many, [0.0, 0.65, 1.0])
    assert lines["precision"] == [3 / 6, 2 / 3, None]
    assert lines["correct_share"] == [(2 / 4 + 1) / 2, (1 / 4 + 1) / 2, 0.0]
    assert lines["oos_hard"] == [1.0, 1.0, 0.0]
    assert lines["oos_chat"] == [0.5, 0.0, 0.0]
    assert sweep(SEEN, [0.0])["precision"] == [None], "of fewer than twenty"


def test_auc_counts_ties_half_and_is_nothing_without_both_sides() -> None:
    assert auc([(2.0, True), (1.0, False)]) == 1.0
    assert auc([(1.0, True), (2.0, False)]) == 0.0
    assert auc([(1.0, True), (1.0, False)]) == 0.5
    assert auc([(3.0, True), (1.0, True), (2.0, False), (1.0, False)]) == (2 + 0.5) / 4
    assert auc([(-math.inf, False), (0.0, True)]) == 1.0
    assert auc([(1.0, True)]) is auc([]) is None


def test_the_same_figures_make_the_same_picture(tmp_path: Path) -> None:
    if not faq_curve.installed():
        pytest.skip("matplotlib is not installed")
    drawn = []
    for name in ("a.svg", "b.svg"):
        lines: dict[str, list[float | None]] = {
            "precision": [0.5, None],
            "oos_chat": [1.0, 0.0],
            "of_tomorrow": [1.0, 0.5],
        }
        faq_curve.draw(tmp_path / name, [0.0, 1.0], lines, 0.35, "six queries")
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]
    assert b"<svg" in drawn[0]
    assert b"dc:date" not in drawn[0]


def test_synthetic_entries_all_differ_even_from_a_single_text() -> None:
    for texts in (["怎么退款", "发票在哪里开", "优惠券"], ["?"]):
        found = synthetic(texts, 200)
        assert len({entry.id for entry in found}) == 200
        assert len({entry.questions for entry in found}) == 200
    assert synthetic(["甲乙", "丙丁"], 9) == synthetic(["甲乙", "丙丁"], 9)


# What is read


def test_the_main_wording_comes_first_wherever_it_stands(tmp_path: Path) -> None:
    first, second = read(write(tmp_path, "e.csv", ENTRIES), write(tmp_path, "q.csv", QUERIES))
    assert first.entries["s-1"] == ["怎么申请退款", "买错了能退钱吗"]
    assert second.queries[0] == Query("lessons", "answerable", "item:2", "作业怎么提交")
    assert second.queries[1].entry == ""


def test_files_may_be_packed_marked_and_have_more_columns(tmp_path: Path) -> None:
    entries = tmp_path / "e.csv.gz"
    entries.write_bytes(gzip.compress(ENTRIES.encode()))
    queries = '\ufeff"query",note,kb,domain,kind,entry_id\r\n"退款,\n谢谢",,shop,x,oos_chat,\r\n'
    base, _ = read(entries, write(tmp_path, "q.csv", queries))
    assert base.queries == [Query("x", "oos_chat", "", "退款,\n谢谢")]


@pytest.mark.parametrize(
    ("entries", "queries", "says"),
    [
        (ENTRIES.replace("entry_id", "id"), QUERIES, "e.csv: column entry_id is missing"),
        (ENTRIES, QUERIES.replace("domain", "area"), "q.csv: column domain is missing"),
        ("", QUERIES, "e.csv: column kb, entry_id, kind, question is missing; there are: none"),
        ("kb,domain,entry_id,kind,question\n", QUERIES, "e.csv: no rows below the header"),
        (ENTRIES, "kb,domain,query_id,kind,entry_id,query\n", "q.csv: no rows below"),
        (ENTRIES.replace("school", "lab"), QUERIES, "q.csv, line 5: kb 'school' has no entries"),
        (ENTRIES, QUERIES.replace(",s-2,", ",s-9,"), "line 3: kb 'shop' has no entry 's-9'"),
        (ENTRIES, QUERIES.replace(",s-2,", ",,"), "line 3: answerable, but entry_id is empty"),
        (ENTRIES.replace("发票在哪里开", " "), QUERIES, "e.csv, line 4: question is empty"),
        (ENTRIES.replace("shop,sales,s-2", ",sales,s-2"), QUERIES, "line 4: kb is empty"),
        (ENTRIES.replace(",发票在哪里开", ""), QUERIES, "line 4: not as many cells"),
        (ENTRIES.replace("发票", "发,票"), QUERIES, "line 4: not as many cells"),
        (ENTRIES.replace("发票", '"发票'), QUERIES, "e.csv, line 4: not CSV"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(
    tmp_path: Path, entries: str, queries: str, says: str
) -> None:
    names = write(tmp_path, "e.csv", entries), write(tmp_path, "q.csv", queries)
    code, out, err = run("--entries", names[0], "--queries", names[1])
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("nothing was measured: ")
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    queries = write(tmp_path, "q.csv", QUERIES)
    absent, latin, cut = tmp_path / "no.csv", tmp_path / "latin.csv", tmp_path / "cut.csv.gz"
    latin.write_bytes(ENTRIES.encode("gb18030"))
    cut.write_bytes(gzip.compress(ENTRIES.encode())[:40])
    for path, says in (
        (absent, "No such file"),
        (tmp_path, "directory"),
        (latin, "line 2: not UTF-8"),
        (cut, "not whole gzip data"),
    ):
        code, _, err = run("--entries", path, "--queries", queries)
        assert code == 2
        assert says in err
        assert err.count("\n") == 1


def test_pairs_say_same_or_not_and_something_must_be_of_part_dev(tmp_path: Path) -> None:
    assert [pair.same for pair in read_pairs(write(tmp_path, "p.csv", PAIRS))] == [True, False]
    with pytest.raises(FaqFileError, match="line 2: same is 'yes', not 0 or 1"):
        read_pairs(write(tmp_path, "p.csv", PAIRS.replace("dev,1", "dev,yes")))
    with pytest.raises(FaqFileError, match="no pair of part dev"):
        read_pairs(write(tmp_path, "p.csv", PAIRS.replace("dev", "test")))


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--sizes=1000,many", "is not a list such as 1000,50000"),
        ("--sizes=0", "is not a list"),
        ("--curve=picture.gif", "must end in .svg or .png"),
        ("--curve=nowhere/at/all.svg", "is no directory"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_measured(
    tmp_path: Path, argument: str, says: str
) -> None:
    code, out, err = run("--entries", "e.csv", "--queries", "q.csv", argument)
    assert (code, out) == (2, "")
    assert says in err
