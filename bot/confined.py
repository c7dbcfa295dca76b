"""The child process that reads one document, and what it may use up.

Started by `bot/reading.py`. In: a line of JSON (name, limits), then the file. Out: a line of
JSON with the document or the refusal, then a line for each passage. It has no secrets, writes
no file and ends after one document; whatever a parser does to it hurts nobody else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from knowledge.documents import MAX_BYTES, BadDocument, read

MAX_HEAD = 10_000


def confine(memory_bytes: int, cpu_s: int) -> None:
    """Give up what reading a document does not need; no return from it.

    memory_bytes: on top of what the process has now. Where the system has no such limits
    (Windows) or refuses one (macOS: memory), the parent's time limit is what remains.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    try:
        import resource
    except ImportError:
        return
    limits = {
        "RLIMIT_AS": memory_bytes + _mapped(),
        "RLIMIT_CPU": cpu_s,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_NPROC": 0,
        "RLIMIT_CORE": 0,
    }
    for name, limit in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):
            # A lower limit is already in force.
            continue


def _mapped() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Read one document from stdin; say it on stdout."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    head = json.loads(source.readline(MAX_HEAD))
    confine(head["memory_bytes"], head["cpu_s"])
    # Parsers log what they stumble over; nobody listens.
    logging.disable(logging.CRITICAL)
    try:
        document = read(head["name"], source.read(MAX_BYTES + 1))
    except BadDocument as bad:
        target.write(json.dumps({"where": bad.where, "reason": bad.reason}).encode() + b"\n")
        return
    facts = {
        "kind": document.kind,
        "title": document.title,
        "pages": document.pages,
        "passages": len(document.passages),
    }
    target.write(json.dumps(facts).encode() + b"\n")
    for one in document.passages:
        row = [one.heading, one.text, one.page, one.line]
        target.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
