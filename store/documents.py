"""Documents that operators uploaded, cut into passages; the files themselves are not kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from store.content import touch
from store.db import Database
from store.dialect import Connection


class Piece(Protocol):
    """A passage as a reader of files makes it."""

    @property
    def heading(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def page(self) -> int | None: ...


class Readable(Protocol):
    """A document as a reader of files makes it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def pages(self) -> int | None: ...
    @property
    def passages(self) -> Sequence[Piece]: ...


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A piece of a document to be written. page: None where the kind has no pages."""

    heading: str
    text: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be written. digest: of the file's bytes; size: how many they were."""

    name: str
    kind: str
    title: str
    digest: bytes
    size: int
    pages: int | None
    passages: tuple[NewPassage, ...]

    @classmethod
    def of(cls, document: Readable, data: bytes) -> NewDocument:
        """A document as read, with the file it was read from: 10 ms for 20 MB."""
        return cls(
            name=document.name,
            kind=document.kind,
            title=document.title,
            digest=hashlib.sha256(data).digest(),
            size=len(data),
            pages=document.pages,
            passages=tuple(
                NewPassage(piece.heading, piece.text, piece.page) for piece in document.passages
            ),
        )


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as listed. passages: how many it has; added_by: who put in what is there."""

    id: int
    name: str
    kind: str
    title: str
    size: int
    pages: int | None
    added_at: float
    added_by: str
    passages: int


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A piece that can answer, with what its source is called."""

    id: int
    document_id: int
    name: str
    title: str
    heading: str
    text: str
    page: int | None


class Documents:
    """The tables `documents` and `passages`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, document: NewDocument, now: float, by: str) -> tuple[int, bool]:
        """Write a document or exchange the one of its name, whole: (id, whether that changed).

        The same file again changes nothing. An exchanged document keeps its id; its passages
        get new ones, because what they say is new. by: who does it, for the record.
        """

        def run(conn: Connection) -> tuple[int, bool]:
            row = conn.execute(
                "select id, digest from documents where name = ?", (document.name,)
            ).fetchone()
            if row is not None and bytes(row[1]) == document.digest:
                return int(row[0]), False
            document_id = int(
                conn.execute(
                    "insert into documents (name, kind, title, digest, bytes, pages, added_at, "
                    "added_by) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (name) do update set "
                    "kind = excluded.kind, title = excluded.title, digest = excluded.digest, "
                    "bytes = excluded.bytes, pages = excluded.pages, "
                    "added_at = excluded.added_at, added_by = excluded.added_by returning id",
                    (
                        document.name,
                        document.kind,
                        document.title,
                        document.digest,
                        document.size,
                        document.pages,
                        now,
                        by,
                    ),
                ).fetchone()[0]
            )
            conn.execute("delete from passages where document_id = ?", (document_id,))
            conn.executemany(
                "insert into passages (document_id, position, heading, text, page) "
                "values (?, ?, ?, ?, ?)",
                [
                    (document_id, position, passage.heading, passage.text, passage.page)
                    for position, passage in enumerate(document.passages)
                ],
            )
            touch(conn)
            return document_id, True

        return await self._db.write(run)

    async def all(self) -> list[StoredDocument]:
        """Every document by its name."""

        def run(conn: Connection) -> list[StoredDocument]:
            rows = conn.execute(
                "select id, name, kind, title, bytes, pages, added_at, added_by, "
                "(select count(*) from passages where document_id = documents.id) "
                "from documents order by name"
            )
            return [StoredDocument(*row) for row in rows]

        return await self._db.read(run)

    async def passages(self) -> list[StoredPassage]:
        """Every passage of every document, in reading order."""

        def run(conn: Connection) -> list[StoredPassage]:
            rows = conn.execute(
                "select passages.id, document_id, documents.name, documents.title, heading, "
                "text, page from passages join documents on documents.id = document_id "
                "order by document_id, position"
            )
            return [StoredPassage(*row) for row in rows]

        return await self._db.read(run)

    async def delete(self, document_id: int) -> bool:
        """Forget a document and its passages; False when there is none."""

        def run(conn: Connection) -> bool:
            conn.execute("delete from passages where document_id = ?", (document_id,))
            gone = conn.execute("delete from documents where id = ?", (document_id,)).rowcount == 1
            if gone:
                touch(conn)
            return gone

        return await self._db.write(run)
