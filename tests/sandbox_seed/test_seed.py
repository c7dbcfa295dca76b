"""The seeded business: it imports cleanly and reads like one real shop."""

from __future__ import annotations

import csv
import re
import unicodedata
from datetime import date
from decimal import Decimal
from importlib import resources

import pytest

from sandbox.__main__ import MEMBERS, MENU

KINDS = {"course", "column", "ebook", "live", "consulting"}
ITEM_COLUMNS = [
    *("id", "kind", "title", "summary", "tags", "author"),
    *("level", "price", "url", "cover_url", "published_on"),
]


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
def items() -> list[dict[str, str]]:
    return rows("items.csv", ITEM_COLUMNS)


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


def test_items_are_complete(items: list[dict[str, str]]) -> None:
    assert len(items) >= 12
    assert len({item["id"] for item in items}) == len(items)
    assert len({item["title"] for item in items}) == len(items)
    assert {item["kind"] for item in items} == KINDS
    for item in items:
        assert re.fullmatch(r"[a-z0-9-]+", item["id"])
        assert item["level"] in {"入门", "进阶", "高级"}, item["id"]
        assert item["url"] == f"https://zhixing.example/{item['kind']}/{item['id']}"
        assert re.fullmatch(r"\d+\.\d\d", item["price"]), item["id"]
        assert item["title"], item["id"]
        assert item["author"], item["id"]
        assert 30 <= len(item["summary"]) <= 120, item["id"]
        assert all(tag.strip() for tag in item["tags"].split("|")), item["id"]
        assert date.fromisoformat(item["published_on"]) < date(2026, 1, 1), item["id"]


def test_the_faq_says_the_prices_the_catalogue_has(
    faq: list[dict[str, str]], items: list[dict[str, str]]
) -> None:
    answer = next(entry["answer"] for entry in faq if entry["question"] == "课程多少钱")
    said = {Decimal(number) for number in re.findall(r"\d+", answer)}
    assert said == {Decimal(68), Decimal(169), Decimal(199), Decimal(299)}
    assert said <= {Decimal(item["price"]) for item in items}


def test_no_answer_promises_a_push_that_does_not_exist(faq: list[dict[str, str]]) -> None:
    for entry in faq:
        for word in ("提前提醒", "会提醒你"):
            assert word not in entry["answer"], entry["question"]


def test_no_member_of_the_demo_is_also_a_teacher(items: list[dict[str, str]]) -> None:
    members = {person.name for person in MEMBERS}
    assert len(members) == len(MEMBERS)
    assert not members & {item["author"] for item in items}


def test_the_demos_button_for_my_topics_shows_mine() -> None:
    keys = {button.name: button.key for top in MENU for button in (top, *top.sub)}
    assert keys["我的订阅"] == "我的订阅"
