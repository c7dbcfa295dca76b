"""Words: one spelling, cuts that keep business words together, a cache that heals."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from knowledge import SynonymsError, Words, WordsError
from knowledge.words import MAX_CHARS


def test_wide_letters_and_polite_words_make_no_difference(words: Words) -> None:
    assert words.clean("你好，请问　ＰＹＴＨＯＮ 课怎么退款？？") == "python 课怎么退款"


def test_a_polite_word_inside_another_word_stays(words: Words) -> None:
    assert words.clean("母亲，在家") == "母亲,在家"


def test_nothing_but_filler_is_still_something(words: Words) -> None:
    assert words.clean("请问") == "请问"


def test_only_the_first_characters_are_read(words: Words) -> None:
    assert len(words.clean("退" * 1_000_000)) == MAX_CHARS
    assert len(words.clean("\ufdfa" * 1_000_000)) <= MAX_CHARS


def test_synonyms_become_one_word_and_stop_words_go(words: Words) -> None:
    assert words.cut("请问这个课要多少钱呢") == words.cut("课程需要什么价")
    assert "的" not in words.cut("我的课程的价格")


def test_a_long_word_is_followed_by_its_parts(words: Words) -> None:
    assert words.cut("人工智能") == ["人工智能", "人工", "智能"]


def test_only_stop_words_are_kept(words: Words) -> None:
    assert words.cut("你是") == ["你", "是"]


def test_letters_and_digits_stay_together(words: Words) -> None:
    assert words.cut("c++和python3.11") == ["c++", "和", "python3.11"]


@pytest.mark.parametrize("text", ["", "   ", "？！…。", "\x00\x01", "😀🎉", "_"])
def test_without_a_letter_there_are_no_words(words: Words, text: str) -> None:
    assert words.cut(text) == []


def test_a_user_word_is_kept_together(cache_dir: Path) -> None:
    words = Words()
    words.load(cache_dir)
    assert "碎碎念社" not in words.cut("加入碎碎念社")
    words.add_words(["碎碎念社 Python", "x"])
    assert "碎碎念社" in words.cut("加入碎碎念社")


def test_user_words_may_come_before_the_dictionary(cache_dir: Path) -> None:
    words = Words()
    words.add_words(["碎碎念社"])
    words.load(cache_dir)
    assert "碎碎念社" in words.cut("加入碎碎念社")


def test_an_empty_dictionary_still_cuts() -> None:
    assert Words().cut("学编程") == ["学", "编", "程"]


def test_the_second_load_comes_from_the_cache_and_cuts_alike(tmp_path: Path) -> None:
    first, second = Words(), Words()
    made = first.load(tmp_path / "new")
    found = second.load(tmp_path / "new")
    assert (made.cached, made.saved, found.cached, found.saved) == (False, True, True, False)
    assert made.entries == found.entries > 100_000
    text = "微信小程序里面买的课程怎么退款"
    assert first.cut(text) == second.cut(text)
    cache = tmp_path / "new" / "words.cache"
    assert cache.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in cache.parent.iterdir()] == ["words.cache"]


@pytest.mark.parametrize("damage", ["flip", "cut", "foreign", "empty"])
def test_a_damaged_cache_is_written_anew(tmp_path: Path, damage: str) -> None:
    Words().load(tmp_path)
    cache = tmp_path / "words.cache"
    good = cache.read_bytes()
    middle = len(good) // 2
    cache.write_bytes(
        {
            "flip": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
            "cut": good[:middle],
            "foreign": b"zhiqun words 1" + good[14:],
            "empty": b"",
        }[damage]
    )
    words = Words()
    loaded = words.load(tmp_path)
    assert (loaded.cached, loaded.saved) == (False, True)
    assert cache.read_bytes() == good
    assert words.cut("人工智能") == ["人工智能", "人工", "智能"]


def test_a_directory_that_refuses_only_costs_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    words = Words()
    loaded = words.load(blocked)
    assert (loaded.cached, loaded.saved) == (False, False)
    assert words.loaded


LOAD_IN_A_NEW_PROCESS = """
import logging, sys
from pathlib import Path
from knowledge import SynonymsError, Words, WordsError
words = Words()
words.load(Path(sys.argv[1]) / "own")
words.load(Path(sys.argv[1]) / "own")
words.add_words(["碎碎念社"])
assert words.cut("人工智能") == ["人工智能", "人工", "智能"]
shared = sys.modules["jieba"].dt
assert not shared.initialized
assert not shared.FREQ
assert "pkg_resources" not in sys.modules
"""


def test_loading_is_silent_and_writes_only_its_own_cache(tmp_path: Path) -> None:
    shared, compiled = tmp_path / "shared", tmp_path / "compiled"
    shared.mkdir()
    # A new place for compiled files: compiling is when jieba's sources warn.
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", LOAD_IN_A_NEW_PROCESS, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(shared), "PYTHONPYCACHEPREFIX": str(compiled)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert list(shared.iterdir()) == []
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["words.cache"]


def test_words_added_are_cut_at_once_in_texts_cut_before(cache_dir: Path) -> None:
    words = Words()
    assert words.cut("加入碎碎念社") == list("加入碎碎念社")
    words.load(cache_dir)
    assert words.cut("加入碎碎念社")[0] == "加入"
    words.add_words(["碎碎念社"])
    assert "碎碎念社" in words.cut("加入碎碎念社")


def test_many_different_texts_leave_memory_bounded(words: Words) -> None:
    before = words.cut("微信小程序里面买的课程怎么退款")
    han = [chr(0x4E00 + n) for n in range(90)]
    for first in han:
        for second in han:
            words.cut(first + second)
    assert len(words._memo) <= 2048
    assert words.cut("微信小程序里面买的课程怎么退款") == before


def test_a_rare_word_says_more_than_a_common_one(words: Words) -> None:
    assert 2 < words.rarity("的") < words.rarity("课程") < words.rarity("区块链") < 18
    assert words.rarity("没有这个词") == Words().rarity("的") == 21


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "synonyms.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_the_operator_s_synonyms_add_to_ours(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeff# ours\n\n束脩 多少钱\nＶＩＰ　黑卡\n")
    words = Words(path)
    words.load()
    assert words.cut("束脩") == words.cut("多少钱") == words.cut("费用")
    assert words.cut("黑卡") == words.cut("vip")


def test_a_word_on_several_lines_belongs_to_the_last(tmp_path: Path) -> None:
    words = Words(written(tmp_path, "甲班 乙班\n丙班 丁班\n丁班 乙班\n"))
    words.load()
    assert words.cut("乙班") == words.cut("丙班") == words.cut("丁班") != words.cut("甲班")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("束脩 学费\n价格,多少钱 费用\n", "line 2: '价格,多少钱'"),
        ("# one\n\n学费\n", "line 3 has one word only"),
        ("ai课程 课程\n", "line 1: 'ai课程'"),
        ("学" * 21 + " 课程\n", "line 1: "),
        (b"ok go\n\xd1\xa7 a\xff\n", "line 2 is not UTF-8"),
        ("学费 价格\n" * 100_000, "more than 1 MiB"),
    ],
    ids=["commas", "one word", "mixed", "long", "encoding", "size"],
)
def test_synonyms_that_cannot_be_used_name_the_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SynonymsError) as error:
        Words(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_missing_synonyms_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WordsError, match="create it, or set it"):
        Words(tmp_path / "none.txt")


def test_no_word_of_ours_stands_on_two_lines() -> None:
    lines = resources.files("knowledge").joinpath("synonyms.txt").read_text("utf-8").splitlines()
    listed = [word for line in lines if not line.startswith("#") for word in line.split()]
    assert len(listed) == len(set(listed))
