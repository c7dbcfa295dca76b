"""Documents over REST: put in, listed, replaced, taken out, refused with their place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.rest_documents import OPERATIONS
from knowledge import documents
from knowledge.documents import Document
from tests.bot.api_world import ApiWorld, api

HANDBOOK = "# 学员手册\n\n## 退款\n\n购买后七天内可以全额退款。\n".encode()
OCTETS = {"Content-Type": "application/octet-stream"}


async def read(name: str, data: bytes) -> Document:
    """As the bot's reader, without its process."""
    return await asyncio.to_thread(documents.read, name, data)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ApiWorld]:
    async with api(tmp_path, OPERATIONS, read_document=read) as world:
        yield world


async def test_a_document_is_put_in_replaced_and_taken_out(world: ApiWorld) -> None:
    got = await world.put("/documents/handbook.md", data=HANDBOOK, headers=OCTETS)
    assert (got.status, got.json["title"], got.json["passages"]) == (201, "学员手册", 1)
    again = await world.put("/documents/handbook.md", data=HANDBOOK, headers=OCTETS)
    assert (again.status, again.json["id"]) == (200, got.json["id"])
    assert world.reloads == 1, "the same file again changes nothing"
    listed = (await world.get("/documents")).json["documents"]
    assert [one["name"] for one in listed] == ["handbook.md"]
    assert (await world.delete("/documents/handbook.md")).status == 204
    assert (await world.delete("/documents/handbook.md")).status == 404
    assert (await world.get("/documents")).json == {"documents": []}
    actions = [row.action for row in await world.store.audit.newest(9)]
    assert actions == ["document.delete", "document.put"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"%PDF-1.7 nothing", ""),
        ("a.exe", b"MZ", ""),
        ("a.md", b"\x00\x01\x02", "line 1"),
        ("a.md", b"", ""),
    ],
)
async def test_what_cannot_be_read_is_refused_and_not_stored(
    world: ApiWorld, name: str, data: bytes, said: str
) -> None:
    got = await world.put(f"/documents/{name}", data=data, headers=OCTETS)
    assert (got.status, got.json["type"]) == (422, "urn:zhiqun:bad-document")
    assert said in got.json["errors"][0]["detail"]
    assert (await world.get("/documents")).json == {"documents": []}


async def test_a_document_over_20_mb_is_refused_unread(world: ApiWorld) -> None:
    got = await world.put("/documents/a.md", data=b"a" * ((20 << 20) + 1), headers=OCTETS)
    assert got.status == 413


async def test_a_name_is_a_name_and_no_path(world: ApiWorld) -> None:
    for name in ("..%2F..%2Fetc%2Fpasswd.md", "a%5Cb.md", "%00.md", "a" * 300 + ".md"):
        got = await world.put(f"/documents/{name}", data=HANDBOOK, headers=OCTETS)
        assert got.status == 404, name
