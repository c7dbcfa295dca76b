"""The docs name everything there is, and only that: they are read here beside the code."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import metrics
from bot.__main__ import build_parser
from bot.errcodes import CODES, Action
from bot.example import KeyDoc, example, schema, table
from bot.keys import SCOPES
from bot.rest_all import ALL
from bot.transfer import FAQ_COLUMNS, ITEM_COLUMNS, ITEM_KINDS
from handlers.context import Context
from handlers.operators import COMMANDS
from store.hooks import TOPICS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("**/*.md"),
        *(ROOT / "bench").glob("*.md"),
    ]
)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(page: str, language: str | None = None) -> list[str]:
    """The fenced blocks of a page, of one language or all."""
    return [body for kind, body in FENCE.findall(page) if language in (None, kind)]


def _prose(page: str) -> str:
    return FENCE.sub("", page)


def _anchor(heading: str) -> str:
    """A heading as the part of a link after #, as GitHub and GitLab make it."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


# Configuration


@pytest.mark.parametrize("key", schema(), ids=lambda key: key.path)
def test_every_configuration_key_has_a_row_and_a_reason(key: KeyDoc) -> None:
    section, _, name = key.path.rpartition(".")
    assert key.why
    page = _read("docs/configuration.md")
    assert table(section) in page, f"the table of [{section}] is not what bot.example.table makes"
    assert f"| `{name}` | {key.says} |" in table(section)


def test_the_example_file_is_what_init_writes() -> None:
    assert _read("config.example.toml") == example()


# The REST API


def test_every_operation_scope_and_topic_is_described() -> None:
    page = _read("docs/api.md")
    for operation in ALL:
        named = "/openapi.json" if operation.path == "/openapi.json" else None
        assert (named or f"{operation.method} {operation.path}") in page, operation.name
    for scope in SCOPES:
        assert f"`{scope}`" in page, scope
    for topic in TOPICS:
        assert f"`{topic}`" in page, topic


def test_no_operation_is_described_that_is_not_there() -> None:
    known = {f"{operation.method} {operation.path}" for operation in ALL}
    named = re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]+)", _read("docs/api.md"))
    assert named
    assert set(named) <= known


# The command line


def _commands() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the parser has no commands")


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_command_and_option_is_described(name: str) -> None:
    page = _read("docs/cli.md")
    heading = re.search(rf"^## .*`zhiqun {name}\b.*$", page, re.MULTILINE)
    assert heading, f"docs/cli.md has no section for zhiqun {name}"
    section = page[heading.start() :].split("\n## ", 1)[0]
    for action in _commands()[name]._actions:
        for option in action.option_strings:
            common = option in ("-h", "--help", "-c", "--config")  # told once, at the top
            assert f"{option}" in (page if common else section), option
        for choice in action.choices or ():
            assert f"{choice}" in section, choice
        if not action.option_strings and not action.choices:
            assert str(action.metavar) in section, action.metavar


def test_every_column_of_a_csv_is_described() -> None:
    page = _read("docs/cli.md")
    for name in (*FAQ_COLUMNS, *ITEM_COLUMNS, *ITEM_KINDS):
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_names_a_command_that_is_not_there(page: Path) -> None:
    text = page.read_text("utf-8")
    made = re.search(r"^\.PHONY: (.+)$", _read("Makefile"), re.MULTILINE)
    assert made
    for code in (*_blocks(text), *re.findall(r"`([^`\n]+)`", _prose(text))):
        for name in re.findall(r"(?:^|bin/|sudo -u zhiqun )zhiqun ([a-z]+)", code, re.MULTILINE):
            assert name in _commands(), f"zhiqun {name}"
        for name in re.findall(r"(?:^|&& )make ([a-z]+)", code, re.MULTILINE):
            assert name in made[1].split(), f"make {name}"


# The rest of what can be named


def test_every_metric_and_label_value_is_described() -> None:
    page = _read("docs/metrics.md")
    for metric in metrics.METRICS:
        labels = ", ".join(metric.labels) or "–"
        row = f"| `{metric.name}` | {metric.kind} | {labels} | {metric.means} |"
        assert row in page, metric.name
    for values in (
        metrics.OUTCOMES,
        metrics.LATE_OUTCOMES,
        metrics.REASONS,
        metrics.REFRESHES,
        metrics.SEND_STATES,
        metrics.HOOK_STATES,
        metrics.ROUTES,
        metrics.ENDS,
        metrics.SURFACES,
        metrics.RANKERS,
        metrics.TRAININGS,
    ):
        for value in values:
            assert f"`{value}`" in page, value


def test_no_page_names_a_metric_that_is_not_there() -> None:
    known = {metric.name for metric in metrics.METRICS}
    known |= {f"{name}_bucket" for name in known}
    for page in PAGES:
        named = re.findall(r"\bzhiqun_[a-z_]+[a-z]\b", page.read_text("utf-8"))
        assert set(named) <= known, page.name


def test_every_error_code_and_action_is_described() -> None:
    page = _read("docs/errors.md")
    for number, code in CODES.items():
        row = f"| {number} | {code.meaning} | {code.action.value} |"
        assert row in page, number
    for action in Action:
        assert f"| `{action.name}` | {action.value} |" in page, action


def test_every_chat_command_is_described() -> None:
    page = _read("docs/commands.md")
    for name in COMMANDS:
        assert re.search(rf"^\| `/{name}\b", page, re.MULTILINE), name


def test_every_page_is_reachable_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", _read("README.md")))
    assert linked == {f"docs/{page.name}" for page in DOCS.glob("*.md")}


# Both READMEs


def _sections(page: str) -> list[str]:
    return re.findall(r"^## (.+)$", page, re.MULTILINE)


def test_both_readmes_have_the_same_sections_blocks_links_and_rows() -> None:
    english, chinese = _read("README.md"), _read("README.zh-CN.md")
    assert len(_sections(english)) == len(_sections(chinese))
    assert FENCE.findall(english) == FENCE.findall(chinese)
    assert _blocks(english)
    for one, other in zip(english.split("\n## ")[1:], chinese.split("\n## ")[1:], strict=True):
        rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in (one, other)]
        links = [sorted(re.findall(r"\]\(([^)]+)\)", text)) for text in (one, other)]
        items = [len(re.findall(r"^(?:- |\d\. )", text, re.MULTILINE)) for text in (one, other)]
        assert rows[0] == rows[1], one.splitlines()[0]
        assert links[0] == links[1], one.splitlines()[0]
        assert items[0] == items[1], one.splitlines()[0]


def test_the_picture_is_a_real_one_of_bearable_size() -> None:
    picture = (DOCS / "images" / "phone.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1280, 800)
    assert len(picture) < 400_000


# Links, hosts, versions


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_relative_link_is_broken(page: Path) -> None:
    text = _prose(page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, part = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if part:
            headings = re.findall(r"^#+ (.+)$", _prose(target.read_text("utf-8")), re.MULTILINE)
            anchors = {_anchor(heading) for heading in headings}
            assert part in anchors or any(re.fullmatch(rf"\d+-{part}", a) for a in anchors), link


def _files() -> Iterator[Path]:
    """Every file of the project that git knows or would take; without git, the docs."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    paths = [ROOT / line for line in listed.stdout.splitlines()] or [*PAGES]
    for path in paths:
        if path.is_file() and path.suffix not in (".png", ".db"):
            yield path


def test_no_file_names_a_package_registry() -> None:
    """An install asks whatever index its machine is set up with, and the docs send nobody off."""
    # Put together, so that this file names none either.
    hosts = (
        "py" + "pi.",
        "python" + "hosted.",
        "npm" + "js.",
        "conda." + "anaconda",
        "--index" + "-url",
        "--extra-" + "index",
    )
    for path in _files():
        text = path.read_text("utf-8", errors="replace").lower()
        for host in hosts:
            assert host not in text, f"{path.relative_to(ROOT)}: {host}"


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = [line for line in _read("constraints.txt").splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line), line
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    assert len(pinned) == len(lines), "a package is there twice"
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    for requirement in wanted:
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert found
        assert re.sub(r"[-_.]+", "-", found[0]).lower() in pinned, requirement


# Examples


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_toml_and_python_example_can_be_read(page: Path) -> None:
    text = page.read_text("utf-8")
    for block in _blocks(text, "toml"):
        tomllib.loads(block)
    for block in _blocks(text, "python"):
        compile(block, page.name, "exec", flags=0x2000)  # top-level await is fine in an excerpt


def test_the_guide_names_every_field_of_the_context_that_a_handler_needs() -> None:
    page = _read("docs/writing-a-handler.md")
    inner = {"claims", "can_transfer", "erased"}  # for one handler each
    for name in Context.__dataclass_fields__:
        assert name in inner or f"`ctx.{name}`" in page, name


def test_the_example_handler_works_as_it_stands_in_the_guide(tmp_path: Path) -> None:
    page = _read("docs/writing-a-handler.md")
    handler, test = _blocks(page, "python")
    texts = _blocks(page, "toml")[0]

    shutil.copytree(ROOT / "handlers", tmp_path / "handlers", ignore=_caches)
    for name in ("store", "knowledge"):
        os.symlink(ROOT / name, tmp_path / name)
    tests = tmp_path / "tests" / "handlers"
    tests.mkdir(parents=True)
    (tmp_path / "tests" / "__init__.py").touch()
    (tests / "__init__.py").touch()
    shutil.copy(ROOT / "tests" / "handlers" / "conftest.py", tests)
    shutil.copy(ROOT / "tests" / "blank.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    (tmp_path / "handlers" / "live.py").write_text(handler, "utf-8")
    (tests / "test_live.py").write_text(test, "utf-8")
    with (tmp_path / "handlers" / "texts.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{texts}")
    place = tmp_path / "handlers" / "__init__.py"
    code = place.read_text("utf-8")
    for diff in _blocks(page, "diff"):
        before = "".join(line[1:] for line in diff.splitlines(True) if not line.startswith("+"))
        after = "".join(line[1:] for line in diff.splitlines(True) if not line.startswith("-"))
        assert code.count(before) == 1, f"handlers/__init__.py does not read like\n{before}"
        code = code.replace(before, after)
    place.write_text(code, "utf-8")

    done = subprocess.run(
        # Without plugins it has no use for: they take longer to start than the three tests run.
        [sys.executable, "-m", "pytest", "-p", "no:schemathesis", "tests/handlers/test_live.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def _caches(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}
