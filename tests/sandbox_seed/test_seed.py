"""The seeded business: it imports cleanly and reads like one real shop."""

from __future__ import annotations

import csv
import re
import unicodedata
from datetime import UTC, datetime
from importlib import resources

import pytest

from bot.transfer import read_items
from sandbox.__main__ import ITEMS, MEMBERS, MENU, SEED
from store.catalogue import Item

KINDS = {"course", "column", "ebook", "live", "consulting"}


def rows(name: str, columns: list[str]) -> list[dict[str, str]]:
    text = resources.files("sandbox").joinpath("seed", name).read_text("utf-8")
    reader = csv.reader(text.splitlines(), strict=True)
    assert next(reader) == columns
    found = list(reader)
    assert {len(row) for row in found} == {len(columns)}
    return [dict(zip(columns, row, strict=True)) for row in found]


def same(question: str) -> str:
    """A question as a search sees it: no case, width, blanks or punctuation."""
    plain = unicodedata.normalize("NFKC", question).casefold()
    return re.sub(r"[\W_]", "", plain)


@pytest.fixture(scope="module")
def faq() -> list[dict[str, str]]:
    return rows("faq.csv", ["question", "answer", "aliases"])


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return read_items(SEED / ITEMS)


def test_there_are_enough_questions_each_with_its_variants(faq: list[dict[str, str]]) -> None:
    assert len(faq) >= 42
    for entry in faq:
        assert 3 <= len(entry["aliases"].split("|")) <= 6, entry["question"]


def test_no_question_is_asked_twice_in_any_wording(faq: list[dict[str, str]]) -> None:
    seen: dict[str, str] = {}
    for entry in faq:
        for wording in (entry["question"], *entry["aliases"].split("|")):
            assert same(wording), entry["question"]
            assert same(wording) not in seen, (wording, seen.get(same(wording)))
            seen[same(wording)] = entry["question"]


def test_answers_are_short_and_promise_no_coupon(faq: list[dict[str, str]]) -> None:
    for entry in faq:
        answer = entry["answer"]
        assert answer.endswith("。"), entry["question"]
        assert len(answer) <= 200, entry["question"]
        assert len(answer.encode()) <= 600, entry["question"]
        assert "优惠券" not in answer, entry["question"]


def test_items_are_complete(items: list[Item]) -> None:
    assert len(items) >= 12
    assert len({item.title for item in items}) == len(items)
    assert {item.kind for item in items} == KINDS
    for item in items:
        assert re.fullmatch(r"[a-z0-9-]+", item.id)
        assert item.level in {"入门", "进阶", "高级"}, item.id
        assert item.url == f"https://zhixing.example/{item.kind}/{item.id}"
        assert item.authors, item.id
        assert 30 <= len(item.summary) <= 120, item.id
        assert item.tags, item.id
        assert 0 < item.published_at < datetime(2026, 1, 1, tzinfo=UTC).timestamp(), item.id


def test_there_is_something_of_everything_that_a_catalogue_can_hold(items: list[Item]) -> None:
    assert any(len(item.authors) > 1 for item in items)
    assert any(item.tiers for item in items)
    assert any(not item.chapters for item in items if item.kind == "column")
    assert all(item.chapters for item in items if item.kind == "course")
    assert all(tier.price_cents < item.price_cents for item in items for tier in item.tiers)


def test_as_many_chapters_as_the_summary_says(items: list[Item]) -> None:
    said = {
        "py-zero": 20,
        "py-data": 26,
        "excel-clean": 12,
        "sql-daily": 15,
        "write-first": 16,
        "write-product": 10,
        "money-first": 14,
        "money-family": 24,
        "pm-interview": 11,
        "talk-30": 30,
        "note-book": 8,
    }
    assert {item.id: len(item.chapters) for item in items if item.chapters} == said
    for item in items:
        titles = [chapter.title for chapter in item.chapters]
        assert len(set(titles)) == len(titles), item.id


def test_the_faq_says_the_prices_the_catalogue_has(
    faq: list[dict[str, str]], items: list[Item]
) -> None:
    answer = next(entry["answer"] for entry in faq if entry["question"] == "课程多少钱")
    said = {int(number) * 100 for number in re.findall(r"\d+", answer)}
    assert said == {6800, 16900, 19900, 29900}
    assert said <= {item.price_cents for item in items}


def test_no_answer_promises_a_push_that_does_not_exist(faq: list[dict[str, str]]) -> None:
    for entry in faq:
        for word in ("提前提醒", "会提醒你"):
            assert word not in entry["answer"], entry["question"]


def test_no_member_of_the_demo_is_also_a_teacher(items: list[Item]) -> None:
    members = {person.name for person in MEMBERS}
    assert len(members) == len(MEMBERS)
    assert not members & {author for item in items for author in item.authors}


def test_the_demos_buttons_for_ones_own_things_show_them() -> None:
    keys = {button.name: button.key for top in MENU for button in (top, *top.sub)}
    for name in ("我的券", "我的积分"):
        assert keys[name] == name
