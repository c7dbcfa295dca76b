"""Offers and codes in, coupons out, at the terminal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from bot.carry_coupons import COUPON_COLUMNS, OFFER_COLUMNS, harmless, read_codes, read_offers
from bot.transfer import BadFile
from store import Store
from store.claims import Claimant
from store.offers import NewOffer, Offer
from tests.bot.test_main import Shell
from tests.handlers.conftest import day

ROOT = Path(__file__).parents[2]
LONG_AGO = day("2025-01-10")
OFFERS = (
    "word,title,kind,value,cap,min_spend,items,categories,stackable,audience,points,inventory,"
    "per_member,pool,claim_from,claim_until,valid_until,valid_days\n"
    '早鸟,"早鸟,先到先得",amount,50.00,,200,py-101|py-102,写作,1,tag:VIP and level>=2,50,100,2,,'
    "2026-11-25T20:00,2026-12-01,2026-12-31,7\n"
    "打折,,percent,15,30,,,,,,,,,,,,,\n"
    "Book,,bundle,,,,write,,,,,,,是,,,,\n"
)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str, name: str = "offers.csv") -> tuple[str, ...]:
    with pytest.raises(BadFile) as bad:
        read_offers(written(tmp_path, name, text))
    return bad.value.problems


# Offers


def test_every_column_is_read(tmp_path: Path) -> None:
    rows = read_offers(written(tmp_path, "o.csv", "\ufeff" + OFFERS))
    assert [line for line, _ in rows] == [2, 3, 4]
    early, off, book = (new for _, new in rows)
    assert early == NewOffer(
        word="早鸟",
        title="早鸟,先到先得",
        kind="amount",
        value=5000,
        min_spend_cents=20_000,
        items=("py-101", "py-102"),
        categories=("写作",),
        stackable=True,
        audience="tag:VIP and level>=2",
        points_price=50,
        inventory=100,
        per_member=2,
        claim_from=day("2026-11-25") + 20 * 3600,
        claim_until=day("2026-12-02"),
        valid_until=day("2027-01-01"),
        valid_days=7,
    )
    assert off == NewOffer(word="打折", title="打折券", kind="percent", value=15, cap_cents=3000)
    assert book == NewOffer(word="Book", title="Book券", kind="bundle", items=("write",), pool=True)


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    line = {"word": "早鸟", "kind": "amount", "value": 9.9, "items": ["a"], "inventory": 5}
    path = written(tmp_path, "o.jsonl", json.dumps(line, ensure_ascii=False) + "\n\n")
    ((number, new),) = read_offers(path)
    assert (number, new.value, new.items, new.inventory) == (1, 990, ("a",), 5)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("早鸟,amount,,", "value: 1 to"),
        ("早鸟,amount,1.234,", "value must look like 50 or 50.00"),
        ("早鸟,percent,8.5,", "value must be a whole number"),
        ("早鸟,percent,101,", "value: 1 to 100"),
        ("早鸟,gift,5,", "kind: one of amount"),
        ("早 鸟,amount,5,", "word: 1 to 20 characters"),
        (",amount,5,", "word: 1 to 20 characters"),
        ("早鸟,amount,5,many", "inventory"),
        ("早鸟,amount,5,-1", "inventory: 0 to"),
    ],
)
def test_a_bad_line_is_named_with_its_column(tmp_path: Path, row: str, says: str) -> None:
    (problem,) = problems(tmp_path, f"word,kind,value,inventory\n好,amount,5,\n{row}\n")
    assert problem.startswith(f"line 3: {says}") or says in problem
    assert problem.startswith("line 3: ")


def test_the_same_word_twice_an_unknown_column_and_no_offer(tmp_path: Path) -> None:
    assert problems(tmp_path, "word,kind,value\nAb,trial,3\nａｂ,trial,3\n") == (
        "line 3: the word ab stands in line 2 too",
    )
    assert "the columns must be word,title" in problems(tmp_path, "word,kind,price\n")[0]
    assert problems(tmp_path, "word,kind\n") == ("line 2: there are no offers",)
    (problem,) = problems(tmp_path, "word,kind,value,audience\n早鸟,trial,3,vip\n")
    assert "audience: column 1" in problem
    (problem,) = problems(tmp_path, '{"word": "a", "kind": "trial", "colour": 1}\n', "o.jsonl")
    assert problem.startswith("line 1: ")
    assert "colour" in problem
    (problem,) = problems(tmp_path, "word,kind,value,valid_until\na,trial,3,2026-02-30\n")
    assert "valid_until must look like" in problem


def test_offers_are_imported_whole_or_not_at_all(shell: Shell) -> None:
    assert shell.run("import", "offers", shell.file("o.csv", OFFERS)) == 0
    assert shell.out == "3 offers imported\n"
    more = "word,kind,value\n新的,trial,3\nbook,trial,3\n"
    assert shell.run("import", "offers", shell.file("p.csv", more)) == 1
    assert "line 3: an offer that is not closed has the word book" in shell.err
    words = [one.word for one in shell.store(lambda store: store.offers.all())]
    assert sorted(words) == ["book", "打折", "早鸟"]
    audit = shell.store(lambda store: store.audit.newest(9))
    assert [(row.actor, row.action, row.detail) for row in audit] == [
        ("cli", "import.offers", "3 offers")
    ]


# Codes


def test_codes_with_and_without_a_first_line(tmp_path: Path) -> None:
    with_head = written(tmp_path, "a.csv", "\ufeffCode\r\nA-1\r\n\r\n  B-2 \r\n")
    assert read_codes(with_head) == [(2, "A-1"), (4, "B-2")]
    without = written(tmp_path, "b.csv", 'A-1\n"B-2"\n')
    assert read_codes(without) == [(1, "A-1"), (2, "B-2")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("code\n", "line 1: there are no codes"),
        ("code\nA1,B2\n", "line 2: 2 cells; one code a line, please"),
        ("code\n1.23457E+11\n", "line 2: 1.23457E+11 is a number that a spreadsheet has rounded"),
        ('code\n"A1\n', "check the quotes"),
    ],
)
def test_what_is_no_list_of_codes(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadFile, match="nothing was imported") as bad:
        read_codes(written(tmp_path, "c.csv", text))
    assert says in bad.value.problems[0]


def test_a_pool_is_filled_whole_or_not_at_all(shell: Shell) -> None:
    shell.run("import", "offers", shell.file("o.csv", OFFERS))
    assert shell.run("import", "codes", "ＢＯＯＫ", shell.file("c.csv", "code\nA-1\nB-2\n")) == 0
    bad = shell.file("d.csv", "code\nC-3\n\na1\nC 4\nc-3\n码码\n")
    assert shell.run("import", "codes", "book", bad) == 1
    told = shell.err.split("\n")
    assert "d.csv: nothing was imported" in told[0]
    assert [line.strip().partition(":")[0] for line in told[1:5]] == [
        *("line 4", "line 5", "line 6", "line 7"),
    ]
    offer = shell.store(lambda store: store.offers.by_word("book"))
    assert offer is not None
    assert offer.inventory == 2


def test_codes_need_an_offer_with_a_pool(shell: Shell) -> None:
    shell.run("import", "offers", shell.file("o.csv", OFFERS))
    codes = shell.file("c.csv", "A-1\n")
    assert shell.run("import", "codes", "早鸟", codes) == 1
    assert "the codes of 早鸟 are made here" in shell.err
    assert shell.run("import", "codes", "晚鸟", codes) == 1
    assert "no offer has the word 晚鸟" in shell.err
    assert shell.run("import", "codes", codes) == 1
    assert "zhiqun import codes WORD FILE.csv" in shell.err


# Coupons


async def fill(store: Store) -> Offer:
    member = await store.members.meet("mp", "oSECRET", LONG_AGO)
    new = NewOffer(word="x", title='=HYPERLINK("http://evil")', kind="trial", value=3, valid_days=1)
    offer = await store.offers.create(new, LONG_AGO, "cli")
    assert offer is not None
    await store.coupons.claim("x", Claimant(member.id), bytes(16), LONG_AGO)
    pool = NewOffer(word="y", title="书", kind="bundle", items=("write",), pool=True)
    made = await store.offers.create(pool, LONG_AGO, "cli")
    assert made is not None
    await store.offers.add_codes(made.id, ["@2+3", "OK"], LONG_AGO)
    return offer


def test_coupons_go_out_by_number_with_their_times_and_no_formula(shell: Shell) -> None:
    shell.store(fill)
    path = shell.folder / "coupons.csv"
    assert shell.run("export", "coupons", path, "--numbers") == 0
    assert shell.err == "3 coupons written\n"
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_bytes().decode()
    assert text.startswith("\ufeff" + ",".join(COUPON_COLUMNS) + "\r\n")
    assert "oSECRET" not in text
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    claimed, first, second = rows
    assert (claimed["member"], claimed["source"], claimed["points"]) == ("1", "claim", "0")
    assert claimed["status"] == "expired", "its day is long over, written down or not"
    assert claimed["claimed_at"] == "2025-01-10"
    assert claimed["title"] == '\'=HYPERLINK("http://evil")'
    assert (first["code"], first["status"], first["member"]) == ("'@2+3", "offered", "")
    assert second["code"] == "OK"
    assert shell.run("export", "coupons", "-", "--numbers") == 0
    assert shell.out == text
    audit = shell.store(lambda store: store.audit.newest(9))
    assert {row.action for row in audit} == {"export.coupons"}


def test_only_what_a_spreadsheet_runs_gets_an_apostrophe() -> None:
    for cell in ("=1", "+1", "-1", "@x", "\tx", "\rx"):
        assert harmless(cell) == f"'{cell}"
    for cell in ("", "1", "A-1", "早鸟", "'=1"):
        assert harmless(cell) == cell


def test_the_docs_name_every_column() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in (*OFFER_COLUMNS, *COUPON_COLUMNS):
        assert f"`{name}`" in page, name
