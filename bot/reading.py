"""Reading a document somebody uploaded, where it can't hurt: in a process of its own.

A parser may need gigabytes or minutes for a crafted file. The child (`bot/confined.py`) has
little memory, little time and nothing to steal; here its end is turned into a document or a
reason. One document at a time: members come first.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import knowledge
from knowledge.documents import (
    MAX_BYTES,
    MAX_PASSAGES,
    BadDocument,
    Document,
    Passage,
    kind_of,
)

__all__ = ["BadDocument", "Busy", "Document", "read_document"]

MEMORY_BYTES = 1 << 30
MAX_OUTPUT = 64 << 20
"""More than MAX_TEXT characters with the longest headings need."""
MAX_WAITING = 3
"""Documents that wait for their turn, each in memory; more are sent away."""
_CHUNK = 1 << 20

# Isolated (-I): no module from the working directory or the environment comes in between.
# Then everything the parent can import, wherever it was installed.
_START = (
    "import sys; sys.path += [path for path in sys.argv[1:] if path not in sys.path]; "
    "from bot.confined import main; main()"
)
_KEPT_ENV = ("SYSTEMROOT", "LD_LIBRARY_PATH")
"""What an interpreter needs to start; nothing else is handed on."""

_TOO_MUCH = "took too much memory or time to read: split it or save it in a simpler form"


class Busy(Exception):
    """Other documents wait to be read already: come back later."""


class _Turns:
    """One at a time, and MAX_WAITING who wait for it."""

    def __init__(self) -> None:
        self._reading = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            await self._reading.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._reading.release()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def read_document(
    name: str,
    data: bytes,
    *,
    timeout_s: float = 60.0,
    memory_bytes: int = MEMORY_BYTES,
) -> Document:
    """Read a document in a child process. name: with its suffix, without folders.

    timeout_s: for this document alone, waiting for another one's turn not counted. Errors:
    BadDocument; also when the child died, then nobody knows where. Busy when MAX_WAITING wait.
    """
    kind = kind_of(name)
    if len(data) > MAX_BYTES:
        raise BadDocument(
            "", f"has {len(data)} bytes, at most {MAX_BYTES >> 20} MB are read: split it"
        )
    async with _turns.setdefault(asyncio.get_running_loop(), _Turns()).turn():
        head = {
            "name": name,
            "memory_bytes": memory_bytes,
            "cpu_s": math.ceil(timeout_s),
        }
        said = await _ask(json.dumps(head).encode() + b"\n", data, timeout_s)
    # In a thread, line by line: megabytes of JSON in one piece would hold up the loop.
    return await asyncio.to_thread(_document, name, kind, said)


async def _ask(head: bytes, data: bytes, timeout_s: float) -> bytes:
    """What the child said. Errors: BadDocument when it was too slow, too long or died."""
    here = str(Path(knowledge.__file__).parents[1])
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-B", "-X", "utf8", "-c", _START),
            *(here, *(path for path in sys.path if path)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={key: os.environ[key] for key in _KEPT_ENV if key in os.environ},
            # Ctrl-C in the terminal is the parent's business.
            start_new_session=True,
        )
    except OSError as error:
        raise BadDocument(
            "", f"cannot be read now ({error.strerror}): no process could be started, try later"
        ) from error
    try:
        async with asyncio.timeout(timeout_s):
            _, said = await asyncio.gather(_tell(child, head, data), _listen(child))
            status = await child.wait()
    except TimeoutError:
        raise BadDocument("", _TOO_MUCH) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if status != 0:
        raise BadDocument("", _TOO_MUCH)
    return said


async def _tell(child: Process, head: bytes, data: bytes) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(head)
        for start in range(0, len(data), _CHUNK):
            child.stdin.write(data[start : start + _CHUNK])
            await child.stdin.drain()
        child.stdin.close()
        await child.stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        # It died: its status says so.
        return


async def _listen(child: Process) -> bytes:
    assert child.stdout is not None
    said = bytearray()
    while chunk := await child.stdout.read(_CHUNK):
        said += chunk
        if len(said) > MAX_OUTPUT:
            raise BadDocument("", _TOO_MUCH)
    return bytes(said)


def _document(name: str, kind: str, said: bytes) -> Document:
    """The child's lines as a document; it is believed nothing but texts and numbers."""
    try:
        head, *rows = said.split(b"\n")
        facts = json.loads(head)
        if "reason" in facts:
            raise BadDocument(str(facts["where"]), str(facts["reason"]))
        passages = tuple(_passage(*json.loads(row)) for row in rows if row)
        if facts["kind"] != kind or not 0 < len(passages) == facts["passages"] <= MAX_PASSAGES:
            raise ValueError("the child broke off")
        return Document(name, kind, str(facts["title"]), _number(facts["pages"]), passages)
    except (ValueError, TypeError, KeyError) as error:
        raise BadDocument("", _TOO_MUCH) from error


def _passage(heading: object, text: object, page: object, line: object) -> Passage:
    return Passage(str(heading), str(text), _number(page), _number(line))


def _number(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    raise TypeError("not a number")
