"""The order of the routers, and that everything one can say is described."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from handlers import ROUTERS, operators, teaching
from handlers.events import KEYS
from handlers.help import router as help_router
from tests.handlers.conftest import Conversation

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def literal_words() -> set[str]:
    """Every word of every `@….text("a|b")` in the room that is no regular expression."""
    words: set[str] = set()
    for path in (ROOT / "handlers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "text"
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id != "Reply"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and not re.search(r"[\\.*+?()\[\]{}]", str(node.args[0].value))
            ):
                words |= set(str(node.args[0].value).split("|"))
    return words


def test_every_word_and_command_is_described() -> None:
    words = {word for word in literal_words() if not word.endswith("。")}
    assert {"帮助", "课程", "确认忘记", "退出", "确认"} <= words
    assert {word for word in words if f"`{word}`" not in DOCS} == set()
    assert {name for name in operators.COMMANDS if f"`/{name}" not in DOCS} == set()
    assert {name for name in teaching.FAQ_COMMANDS if f"`/faq {name}" not in DOCS} == set()
    assert {key for key in KEYS if f"`{key}`" not in DOCS} == set()


def test_the_docs_name_no_command_that_does_not_exist() -> None:
    assert set(re.findall(r"`/([a-z]+)", DOCS)) == {*operators.COMMANDS}


def test_no_word_belongs_to_two_handlers() -> None:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "handlers").glob("*.py")):
        for found in re.findall(r'^@\w+\.text\(\s*"([^"\\.*+?()\[\]{}]+)"', path.read_text(), re.M):
            for word in found.split("|"):
                assert word not in seen, f"{word}: {path.name} and {seen[word]}"
                seen[word] = path.name
    assert len(seen) > 60


def test_events_are_asked_first_and_questions_last() -> None:
    names = [router.name for router in ROUTERS]
    assert names[0] == "event"
    assert names[-1] == "faq"
    assert len(set(names)) == len(names)
    assert names.index("privacy") < names.index("operator") < names.index(help_router.name)


async def test_everything_the_help_names_is_understood(talk: Conversation) -> None:
    for word in re.findall(r"「([^」]+)」", talk.texts("help.member")):
        await talk.say(word)
        assert not talk.handler.startswith("faq.unknown"), word
        assert talk.handler not in ("faq", "none"), word
