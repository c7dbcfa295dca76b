"""The scanner finds what is there, in rows and in bytes, and what stays by right is told apart."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from pathlib import Path

import pytest

from bot.trace import Found, Matcher, reason, scan, spellings
from store import Store
from store.dialect import Connection
from store.traces import Needle
from tests.blank import blank

ID = Needle("id", "oTEST_lin_000000000000000001")
WORDS = Needle("words", "我家住在三号楼二单元")
NAME = Needle("name", "林小满")
SHORT = Needle("name", "林")
NUMBER = Needle("number", "member:12")
ALL = (ID, WORDS, NAME, SHORT, NUMBER)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return blank(tmp_path / "data" / "z.db")


async def fill(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    store = Store(path, durability="process", readers=1)
    await store.open()

    def run(conn: Connection) -> None:
        for sql, args in statements:
            conn.execute(sql, args)

    await store.db.write(run)
    await store.close()


def places(found: list[Found]) -> set[tuple[str, str]]:
    return {(one.where, one.kind) for one in found}


# The matcher


def test_every_needle_is_found_wherever_it_begins() -> None:
    rng = random.Random(7)
    needles = [Needle("id", f"{n:04d}-{rng.getrandbits(64):x}") for n in range(500)]
    for filler in range(9):
        data = b"x" * filler + b"|".join(n.text.encode() for n in needles)
        assert {needle for _, needle in Matcher(needles).find(data)} == set(needles)


def test_the_matcher_agrees_with_looking_one_by_one() -> None:
    rng = random.Random(11)
    letters = "abcab我你好"
    text = "".join(rng.choice(letters) for _ in range(20_000))
    needles = [Needle("words", text[at : at + rng.randint(6, 12)]) for at in range(0, 900, 9)]
    needles += [Needle("words", "".join(rng.choice(letters) for _ in range(9))) for _ in range(50)]
    data = text.encode()
    expected = {one for one in needles if one.text.encode() in data}
    assert {needle for _, needle in Matcher(needles).find(data)} == expected
    assert len(expected) < len(needles)


def test_nothing_is_found_in_nothing() -> None:
    for data in (b"", b"abc", b"abcdefg", bytes(1000)):
        assert list(Matcher(ALL).find(data)) == []
    assert list(Matcher([]).find(b"abcdefgh")) == []


def test_a_number_is_not_the_beginning_of_a_longer_one() -> None:
    matcher = Matcher([NUMBER])
    found = matcher.find(b"member:123 member:12 member:12")
    assert sorted(at for at, _ in found) == [11, 21]


def test_a_text_has_the_spellings_that_files_have() -> None:
    assert WORDS.text.encode() in spellings(WORDS.text)
    assert json.dumps(WORDS.text)[1:-1].encode() in spellings(WORDS.text)
    assert WORDS.text.encode("utf-16-le") in spellings(WORDS.text)
    assert json.dumps({"a": '他说"好"\n'}, ensure_ascii=False)[7:-2].encode() in spellings(
        '他说"好"\n'
    )


# Rows


async def test_a_trace_in_any_column_is_named(database: Path) -> None:
    put = "insert into findings (name, data, made_at) values (?, ?, 0)"
    message = (
        "insert into messages (key, channel, sender, received_at, status, reply) "
        "values (x'01', 'mp', ?, 0, 1, ?)"
    )
    await fill(
        database,
        (put, ("report:mood:", json.dumps([WORDS.text]))),
        (message, ("o_other", f"<xml>{ID.text}".encode())),
    )
    done = scan(ALL, [database])
    rows = [one for one in done.left if one.where != "bytes"]
    assert places(rows) == {("findings.data", "words"), ("messages.reply", "id")}
    assert {one.row for one in rows} == {1}
    assert done.rows >= 2


async def test_what_stays_by_right_is_no_trace_in_rows_or_bytes(database: Path) -> None:
    await fill(
        database,
        ("insert into members (id, created_at) values (3, 0)", ()),
        (
            "insert into interactions (at, channel, member_id, kind, text, handler, item) "
            "values (0, 'mp', 3, 'text', ?, 'faq', '')",
            (f"林小满说{WORDS.text}",),
        ),
        (
            "insert into audit (at, actor, action, target, detail) values (0, ?, 'erase', ?, '')",
            (NUMBER.text, NUMBER.text),
        ),
        (
            "insert into faq (question, answer, created_at, updated_at) values (?, '', 0, 0)",
            ("林",),
        ),
    )
    done = scan(ALL, [database])
    assert done.left == []
    assert {(one.where, one.stays) for one in done.found} == {
        ("interactions.text", "written by others"),
        ("audit.actor", "a number that means nobody"),
        ("audit.target", "a number that means nobody"),
        ("faq.question", "content that operators keep"),
    }


async def test_an_id_is_a_trace_wherever_it_stands(database: Path) -> None:
    sql = "insert into faq (question, answer, created_at, updated_at) values ('q', ?, 0, 0)"
    await fill(database, (sql, (ID.text,)))
    assert ("faq.answer", "id") in places(scan(ALL, [database]).left)
    assert ("bytes", "id") in places(scan(ALL, [database]).left)


@pytest.mark.parametrize(
    ("where", "needle", "stays"),
    [
        ("audit.actor", NUMBER, True),
        ("campaigns.created_by", NUMBER, True),
        ("mood_labels.by", NUMBER, True),
        ("interactions.text", NUMBER, False),
        ("events.event_id", Needle("order", "order-77"), True),
        ("events.order_id", Needle("order", "order-77"), False),
        ("talk.text", ID, False),
        ("findings.data", NAME, False),
        ("findings.data", Needle("name", "active_members"), True),
        ("talk.place", Needle("name", "active_members"), False),
        ("sends.reply", WORDS, False),
    ],
)
def test_why_something_may_stand_there(where: str, needle: Needle, stays: bool) -> None:
    table, column = where.split(".")
    assert bool(reason(table, column, needle)) is stays


async def test_a_long_value_over_many_pages_is_found_in_its_row(database: Path) -> None:
    sql = "insert into findings (name, data, made_at) values ('report:x', ?, 0)"
    await fill(database, (sql, ("一" * 50_000 + WORDS.text + "二" * 50_000,)))
    assert ("findings.data", "words") in places(scan(ALL, [database]).left)


# Bytes


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_logs_models_exports_and_packed_files_are_looked_through(
    database: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    put(folder / "bot.log", f'{{"text": "{json.dumps(WORDS.text)[1:-1]}"}}'.encode())
    put(folder / "deep" / "export.csv", f"1,{ID.text}\n".encode("utf-16"))
    put(folder / "bot.log.1.gz", gzip.compress(f"... {ID.text} ...".encode()))
    with zipfile.ZipFile(folder / "model.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("words.txt", f"{NAME.text}\n" * 50)
    put(folder / "clean.bin", bytes(range(256)) * 100)
    done = scan(ALL, [database], [folder])
    assert {(one.file, one.kind) for one in done.left} == {
        ("bot.log", "words"),
        ("export.csv", "id"),
        ("bot.log.1.gz", "id"),
        ("model.npz/words.txt", "name"),
    }
    assert done.files == 6
    assert done.unread == []


def test_a_needle_over_the_seam_of_two_blocks_is_found(database: Path, tmp_path: Path) -> None:
    raw = ID.text.encode()
    big = put(tmp_path / "big.log", b"." * ((4 << 20) - 10) + raw + b"." * 100)
    assert [one.kind for one in scan(ALL, [database], [big]).left] == ["id"]


def test_what_cannot_be_read_is_told(database: Path, tmp_path: Path) -> None:
    put(tmp_path / "cut.gz", gzip.compress(b"x" * 5000)[:20])
    put(tmp_path / "cut.npz", b"PK\3\4 and no more")
    put(tmp_path / "broken.db", b"SQLite format 3\0 and then nothing" * 99)
    done = scan(ALL, [database], [tmp_path])
    assert {one.split(":")[0] for one in done.unread} == {"cut.gz", "cut.npz", "broken.db"}


def test_a_backup_in_a_folder_is_read_row_by_row_too(database: Path, tmp_path: Path) -> None:
    copy = put(tmp_path / "backups" / "zhiqun-1.db", database.read_bytes())
    done = scan(ALL, [database], [copy.parent])
    assert done.files == 2
    assert done.rows == 2 * scan(ALL, [database]).rows


def test_what_is_left_aside_is_not_looked_at(database: Path, tmp_path: Path) -> None:
    words = put(tmp_path / "words.cache", NAME.text.encode())
    assert scan(ALL, [database], [tmp_path], aside=[words]).left == []
    assert len(scan(ALL, [database], [tmp_path]).left) == 1


def test_a_link_leads_nowhere(database: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "elsewhere" / "a.log", ID.text.encode())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.log").symlink_to(outside)
    assert scan(ALL, [database], [folder]).left == []
