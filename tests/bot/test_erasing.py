"""Forgetting somebody everywhere: by night in the backups, at the terminal all at once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.erasing import Places, describe, erase, erase_backups, free, places_of
from bot.trace import Found, Scan
from store import Store
from store.dialect import Connection
from store.messages import Finished, Incoming
from tests.blank import blank

NOW = 1_763_600_000.0
LIN, MEI = "oTEST_lin_000000000000000001", "oTEST_mei_000000000000000002"
WORDS = "我家住在三号楼二单元"


class Place:
    """A store, its folder of backups, and who is in them."""

    def __init__(self, store: Store, backups: Path) -> None:
        self.store, self.backups = store, backups
        self._number = 0

    async def says(self, openid: str, text: str, reply: str = "好") -> int:
        self._number += 1
        key = self._number.to_bytes(16, "big")
        member = await self.store.members.meet("mp", openid, NOW)
        await self.store.messages.record(Incoming(key, "mp", openid, NOW, b"{}"))
        await self.store.messages.finish(
            Finished(key, reply.encode(), NOW, "mp", openid, "text", text, "faq", "")
        )
        return member.id

    async def backup(self, name: str) -> Path:
        path = self.backups / f"zhiqun-{name}.db"
        await self.store.backup(path)
        return path


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = Store(blank(tmp_path / "data" / "zhiqun.db"), durability="process", readers=1)
    await store.open()
    yield Place(store, tmp_path / "backups")
    await store.close()


# The night


async def test_the_night_takes_out_of_backups_whom_the_chat_forgot(place: Place) -> None:
    lin = await place.says(LIN, WORDS)
    first = await place.backup("20261120-041000")
    await place.says(MEI, "公开的一句话")
    second = await place.backup("20261121-041000")
    assert await erase_backups(place.store, place.backups, NOW) == "", "nobody was forgotten"
    await place.store.members.erase(lin, NOW)
    third = await place.backup("20261122-041000")
    before = third.stat()
    told = await erase_backups(place.store, place.backups, NOW + 9)
    assert told == "1 members taken out of 2 of 3 backups"
    for path in (first, second, third):
        assert LIN.encode() not in path.read_bytes()
        assert WORDS.encode() not in path.read_bytes()
    assert MEI.encode() in second.read_bytes()
    assert third.stat().st_ino == before.st_ino, "what held nobody was not touched"
    assert await erase_backups(place.store, place.backups, NOW + 10) == "", "done is done"


async def test_a_backup_that_cannot_be_read_is_tried_again_the_next_night(place: Place) -> None:
    lin = await place.says(LIN, WORDS)
    good = await place.backup("1")
    broken = place.backups / "zhiqun-0.db"
    broken.write_bytes(good.read_bytes()[:100] + bytes(5000))
    await place.store.members.erase(lin, NOW)
    told = await erase_backups(place.store, place.backups, NOW)
    assert told.startswith("1 members taken out of 1 of 2 backups; zhiqun-0.db: ")
    assert LIN.encode() not in good.read_bytes()
    broken.unlink()
    assert await erase_backups(place.store, place.backups, NOW) != ""
    assert await erase_backups(place.store, place.backups, NOW) == ""


async def test_while_a_backup_is_being_made_nobody_is_sure(place: Place) -> None:
    lin = await place.says(LIN, WORDS)
    await place.store.members.erase(lin, NOW)
    part = place.backups / "zhiqun-2.db.part"
    part.parent.mkdir()
    part.write_bytes(b"half")
    os.utime(part, (NOW - 60, NOW - 60))
    await erase_backups(place.store, place.backups, NOW)
    assert [one.member_id for one in await place.store.erasures.in_backups()] == [lin]
    await erase_backups(place.store, place.backups, NOW + 86_400)
    assert not part.exists(), "nobody finishes it any more"
    await erase_backups(place.store, place.backups, NOW + 86_401)
    assert await place.store.erasures.in_backups() == []


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    for name, content in (("README.txt", b"hello"), ("empty.db", b"")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "README.txt")
    assert free(tmp_path, [1], NOW).files == 0
    assert free(tmp_path / "nothing", [1], NOW).files == 0


# The terminal


async def test_everything_is_taken_out_and_looked_through(place: Place) -> None:
    lin = await place.says(LIN, WORDS)
    await place.says(MEI, "/who", reply=f"这是 {LIN}，说过 {WORDS}")
    await place.backup("1")
    proof = await erase(place.store, lin, Places(place.backups), NOW, "cli")
    assert proof.erased is not None
    assert (proof.freed.changed, proof.freed.files, proof.blanked) == (1, 1, 1)
    assert proof.needles == 3
    assert proof.scan.left == []
    assert proof.scan.files >= 2
    noted = await place.store.erasures.of(lin)
    assert noted is not None
    assert (noted.backups_at, noted.proved_at, noted.found) == (NOW, NOW, 0)
    assert [(row.action, row.target) for row in await place.store.audit.newest()] == [
        ("erase", f"member:{lin}")
    ]


async def test_an_answer_that_still_waits_to_be_sent_is_named_and_stays(place: Place) -> None:
    lin = await place.says(LIN, WORDS)

    def plan(conn: Connection) -> None:
        conn.execute(
            "insert into sends (message_key, part, channel, external_id, reply, status, "
            "created_at, due_at) values (x'99', 0, 'mp', ?, ?, 'planned', 0, 0)",
            (MEI, WORDS),
        )

    await place.store.db.write(plan)
    proof = await erase(place.store, lin, Places(place.backups), NOW, "cli")
    assert proof.blanked == 0
    assert ("sends.reply", "words") in {(one.where, one.kind) for one in proof.scan.left}
    noted = await place.store.erasures.of(lin)
    assert noted is not None
    assert noted.found


async def test_a_log_or_an_export_that_holds_them_is_named(place: Place, tmp_path: Path) -> None:
    lin = await place.says(LIN, WORDS)
    log = tmp_path / "logs" / "bot.log"
    log.parent.mkdir()
    log.write_text(f"openid {LIN}\n")
    proof = await erase(place.store, lin, Places(place.backups, (log.parent,)), NOW, "cli")
    assert [(one.file, one.kind) for one in proof.scan.left] == [("bot.log", "id")]


async def test_once_more_finds_nobody_and_looks_at_the_backups_again(place: Place) -> None:
    lin = await place.says(LIN, WORDS)
    path = await place.backup("1")
    await place.store.members.erase(lin, NOW)
    proof = await erase(place.store, lin, Places(place.backups), NOW, "cli")
    assert (proof.erased, proof.needles, proof.freed.changed) == (None, 0, 1)
    assert LIN.encode() not in path.read_bytes()


def test_what_is_looked_through_is_told_and_each_kind_of_place_once() -> None:
    done = Scan(files=3, bytes=1_234_567, rows=89)
    done.found = [
        *[Found("z.db", "messages.reply", "words", row) for row in range(4)],
        Found("z.db", "audit.target", "number", 1, "a number that means nobody"),
    ]
    done.unread = ["a.gz: not a gzip file"]
    assert describe(done) == [
        "looked at 3 files, 1,234,567 bytes and 89 rows of databases",
        "stays  z.db: audit.target: their number, 1 times: a number that means nobody",
        "FOUND  z.db: messages.reply: what they wrote, 4 times",
        "UNREAD a.gz: not a gzip file",
        "4 traces are left: take them out by hand",
    ]
    assert describe(Scan())[-1] == "nothing of them is left"


def test_the_model_of_ones_own_and_what_is_named_are_looked_through_too(tmp_path: Path) -> None:
    found = places_of(tmp_path / "z.db", tmp_path / "b", tmp_path / "m.npz", [tmp_path / "log"])
    assert found.others == (tmp_path, tmp_path / "log", tmp_path / "m.npz")
    assert found.aside == (tmp_path / "words.cache",)
