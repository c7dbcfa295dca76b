"""The REST API for documents: what the bot reads to answer, put in and taken out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bot.reading import Busy
from bot.rest import Answer, Call, Fault, Operation, Param, Problem, not_found, stamp
from knowledge.documents import MAX_BYTES, MAX_NAME, BadDocument, Document
from store.documents import NewDocument, StoredDocument

NAME = Param(
    description="The file's name with its suffix, which says how to read it.",
    pattern=rf"^[^\u0000-\u001f\u007f/\\]{{1,{MAX_NAME}}}$",
    example="handbook.md",
    max_length=MAX_NAME,
)


class DocumentOut(msgspec.Struct):
    """A document. passages: into how many pieces it was cut; pages: null where it has none."""

    id: int
    name: str
    kind: str
    title: str
    bytes: Annotated[int, Meta(ge=0)]
    pages: int | None
    passages: int
    added_at: str
    added_by: str


class DocumentList(msgspec.Struct):
    """Every document, by name."""

    documents: list[DocumentOut]


def _out(one: StoredDocument) -> DocumentOut:
    return DocumentOut(
        one.id,
        one.name,
        one.kind,
        one.title,
        one.size,
        one.pages,
        one.passages,
        stamp(one.added_at),
        one.added_by,
    )


async def index(call: Call) -> Answer:
    """Every document."""
    return Answer(body=DocumentList([_out(one) for one in await call.deps.store.documents.all()]))


async def put(call: Call) -> Answer:
    """Read a document and answer from it; the one of the same name is replaced."""
    name, data = call.path["name"], call.body
    assert call.deps.read_document is not None
    try:
        document = await call.deps.read_document(name, data)
    except BadDocument as bad:
        raise Problem(
            422,
            "The document cannot be read",
            "errors says what to do; nothing was stored.",
            type="bad-document",
            errors=[Fault("", str(bad))],
        ) from None
    except Busy:
        raise Problem(
            503,
            "Busy",
            "Other documents wait to be read; nothing was stored.",
            type="busy",
            headers={"Retry-After": "30"},
        ) from None
    # To read it is given up when the caller is gone; to keep it is not.
    return await call.finish(_keep(call, document, data))


async def _keep(call: Call, document: Document, data: bytes) -> Answer:
    documents = call.deps.store.documents
    known = {one.name for one in await documents.all()}
    document_id, changed = await documents.put(NewDocument.of(document, data), call.now, call.actor)
    if changed:
        await call.audit("document.put", f"document:{document_id}")
        await call.deps.reload()
    stored = next((one for one in await documents.all() if one.id == document_id), None)
    if stored is None:
        raise Problem(409, "Deleted meanwhile", "Somebody deleted it.", type="deleted")
    return Answer(200 if document.name in known else 201, _out(stored))


async def delete(call: Call) -> Answer:
    """Forget a document and its passages."""
    documents = call.deps.store.documents
    name = call.path["name"]
    found = [one.id for one in await documents.all() if one.name == name]
    if not found or not await documents.delete(found[0]):
        raise not_found("document")
    await call.audit("document.delete", f"document:{found[0]}", name)
    await call.deps.reload()
    return Answer(204)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/documents",
        name="listDocuments",
        summary="Every document",
        scope="documents:read",
        run=index,
        answers={200: DocumentList},
    ),
    Operation(
        method="PUT",
        path="/documents/{name}",
        name="putDocument",
        summary="Put a document in, or replace it",
        description="The body is the file as it is, of any Content-Type.",
        scope="documents:write",
        run=put,
        params={"name": NAME},
        body_type="binary",
        max_bytes=MAX_BYTES,
        answers={200: DocumentOut, 201: DocumentOut},
        problems=(409, 422),
        streams=True,
    ),
    Operation(
        method="DELETE",
        path="/documents/{name}",
        name="deleteDocument",
        summary="Forget a document",
        scope="documents:write",
        run=delete,
        params={"name": NAME},
        answers={204: None},
    ),
)
