"""`zhiqun import quiz FILE`: a quiz as it would be written in the chat, out of a file."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bot.terminal import OK, with_store
from bot.transfer import BadFile
from handlers.quiz_desk import missing_offer
from handlers.quiz_text import BadQuiz, read
from store.quizzes import NewQuiz, Quiz

if TYPE_CHECKING:
    from bot.config import Config
    from store import Store

MAX_BYTES = 1 << 20


def load_quiz(config: Config, path: Path) -> int:
    """Make a draft; the same file again is the same quiz, until that is over. Errors: BadFile."""
    new, name = read_quiz(path)

    async def make(store: Store) -> tuple[Quiz, bool]:
        word = await missing_offer(store, new)
        if word:
            raise BadFile(path, [f"no open offer has the claim word {word}: make it first"])
        now = time.time()
        quiz, fresh = await store.quizzes.create(new, now, "cli", name)
        if fresh:
            await store.audit.add(now, "cli", "import.quiz", f"quiz:{quiz.id}")
        return quiz, fresh

    quiz, fresh = with_store(config, make)
    state = "imported as a draft" if fresh else f"is there already, {quiz.status}"
    print(f"quiz {quiz.id}: {len(quiz.questions)} questions, {state}")
    if fresh:
        print(f"Start it in the chat: /quiz start {quiz.id}")
    return OK


def read_quiz(path: Path) -> tuple[NewQuiz, bytes]:
    """The quiz of a file, and 16 bytes that name this text. Errors: BadFile."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadFile(path, [f"is larger than {MAX_BYTES >> 20} MB"])
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadFile(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFile(path, [f"line {line}: not UTF-8; save it as UTF-8"]) from error
    try:
        new = read(text)
    except BadQuiz as bad:
        raise BadFile(path, [str(fault) for fault in bad.faults]) from bad
    return new, hashlib.blake2b(data, digest_size=16).digest()
