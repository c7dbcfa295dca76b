"""Documents are read in a child: what it uses up, and how it ends, hurts nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.reading import MAX_WAITING, Busy, read_document
from knowledge.documents import MAX_BYTES, BadDocument, read
from tests.knowledge.files import pdf, word

ROOT = Path(__file__).parents[2]
CHILDREN = Path("/proc/self/task") / str(os.getpid()) / "children"

on_linux = pytest.mark.skipif(not CHILDREN.exists(), reason="needs Linux's list of children")

SLOW = ("<p>" * 300_000).encode()
"""A second or more for a parser, and hundreds of megabytes."""


def readers() -> set[int]:
    """Children of this process that read a document."""
    found = set()
    for pid in CHILDREN.read_text("ascii").split():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"bot.confined" in command:
            found.add(int(pid))
    return found


async def refused(name: str, data: bytes, **limits: float) -> BadDocument:
    with pytest.raises(BadDocument) as caught:
        await read_document(name, data, **limits)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("手册.pdf", pdf([["七天内可以退款。"], ["找客服。"]])),
        ("手册.docx", word(("Heading 1", "退款"), ("", "七天内可以退款。" * 300))),
    ],
)
async def test_the_child_reads_what_we_would_read(name: str, data: bytes) -> None:
    assert await read_document(name, data) == read(name, data)


async def test_a_refusal_keeps_its_place_and_reason() -> None:
    bad = await refused("手册.txt", "第一行\n\0".encode())
    assert bad.where == "line 2"
    assert "control character" in bad.reason


async def test_too_large_a_file_and_an_unknown_kind_start_no_child() -> None:
    assert "20 MB" in (await refused("a.txt", b"x" * (MAX_BYTES + 1))).reason
    assert "not read" in (await refused("a.exe", b"MZ")).reason


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
async def test_a_file_that_eats_memory_is_refused() -> None:
    bad = await refused("a.html", SLOW, memory_bytes=48 << 20)
    assert (bad.where, "memory" in bad.reason) == ("", True)


@on_linux
async def test_a_child_that_takes_too_long_is_killed() -> None:
    assert "time" in (await refused("a.html", SLOW, timeout_s=0.3)).reason
    assert readers() == set()


@on_linux
async def test_a_child_that_is_killed_from_outside_is_a_refusal() -> None:
    reading = asyncio.create_task(read_document("a.html", SLOW))
    while not (running := readers()):
        await asyncio.sleep(0.005)
    os.kill(running.pop(), 9)
    with pytest.raises(BadDocument, match="memory or time"):
        await reading


@on_linux
async def test_one_child_at_a_time_without_our_secrets_and_none_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZHIQUN_SECRET", "app-secret")
    waiting = [asyncio.create_task(read_document("a.html", SLOW)) for _ in range(3)]
    while not (running := readers()):
        await asyncio.sleep(0.005)
    (pid,) = running
    assert b"app-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    await asyncio.sleep(0.1)
    assert readers() == {pid}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert readers() == set()
    assert all(task.cancelled() for task in waiting)


async def test_who_comes_when_enough_wait_is_sent_away_and_room_is_made_again() -> None:
    waiting = [asyncio.create_task(read_document("a.html", SLOW)) for _ in range(1 + MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await read_document("a.txt", b"a")
    waiting[-1].cancel()
    await asyncio.wait({waiting[-1]})
    late = asyncio.create_task(read_document("a.txt", b"a"))
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await late).passages


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_confined_process_writes_no_file_opens_few_and_stays_small(tmp_path: Path) -> None:
    code = f"""
import os
from bot.confined import confine
confine(64 << 20, 5)
def fails(do):
    try:
        do()
    except (OSError, MemoryError):
        return True
    return False
def write():
    with open({str(tmp_path / "x")!r}, "wb") as file:
        file.write(b"x")
def many():
    return [os.dup(0) for _ in range(64)]
print(fails(write), fails(many), fails(lambda: bytearray(512 << 20)))
"""
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split()
    assert said[:2] == ["True", "True"]
    assert said[2] == "True" or sys.platform != "linux"
