"""The rooms and their arrows: who may import whom, and what may stand where.

Read from the source with `ast`, so a rule holds for code that no test runs. A new room is
found by itself and has to get its arrows here before anything passes.
"""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FREE = frozenset({"sandbox", "bench", "tests"})
"""Rooms around the service: they may import anything."""

ARROWS: dict[str, frozenset[str]] = {
    "store": frozenset(),
    "recommender": frozenset(),
    "knowledge": frozenset(),
    "insights": frozenset({"knowledge"}),
    "console": frozenset({"store"}),
    "handlers": frozenset({"store", "knowledge", "insights"}),
    "scheduler": frozenset({"store", "knowledge", "recommender", "insights"}),
}
ARROWS["bot"] = frozenset(ARROWS)
"""Room -> the other rooms it may import; the edge knows them all."""

DOORS = frozenset({"bot/__main__.py imports sandbox"})
"""The one way out: `zhiqun demo` starts the service and the other side of the wire."""

HOMES: dict[str, tuple[str, ...]] = {
    "apscheduler": ("scheduler/clock.py",),
    "sqlite3": ("store/",),
    "sqlite_utils": ("store/",),
    "wechatpy": ("bot/", "bench/peers/", "sandbox/", "tests/"),
    "jieba": ("knowledge/words.py", "bench/bm25.py"),
    "lightfm": ("recommender/model.py", "bench/"),
    "jinja2": ("bot/campaign_template.py",),
    "snownlp": ("insights/snow.py", "bench/"),
    "statsmodels": ("insights/forecast.py", "bench/"),
    "lifelines": ("insights/survival.py", "bench/"),
    "sknetwork": ("insights/graphs.py", "bench/"),
    "opendp": ("insights/noise.py",),
    "mlxtend": ("insights/baskets.py",),
    "pandas": ("insights/survival.py", "insights/baskets.py", "bench/"),
}
"""Library -> the only places that import it. Tests may also open the database file."""

TIMELESS = ("store", "recommender", "knowledge", "insights", "console", "handlers", "scheduler")
CLOCKS = {("time", "time"), ("time", "time_ns"), ("date", "today")} | {
    ("datetime", name) for name in ("now", "utcnow", "today")
}

SQL = re.compile(
    r"\bselect\b.+\bfrom\b|\binsert\s+into\b|\bupdate\s+\w+\s+set\b|\bdelete\s+from\b"
    r"|\bcreate\s+(?:table|index)\b|\bdrop\s+table\b|\bpragma\s+\w",
    re.IGNORECASE | re.DOTALL,
)

MAX_LINES = 600
WRITTEN = {".py", ".md", ".toml", ".js", ".css", ".html", ".sh", ""}
"""Kinds of files that people write and read; word lists and tables may be long."""


def rooms() -> list[str]:
    """Every package at the top of the project."""
    return sorted(init.parent.name for init in ROOT.glob("*/__init__.py"))


def sources(room: str) -> list[Path]:
    """The Python files of a room."""
    return sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    """A file by its place in the project, the same on every system."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text("utf-8"), name_of(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules a file imports, by their full names; relative ones resolved.

    Imports inside functions, under TYPE_CHECKING and through `import_module` count too.
    """
    found: set[str] = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            first = node.args[0]
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                found.add(str(first.value))
    return frozenset(found)


def tops(path: Path) -> set[str]:
    """First parts of what a file imports: rooms and libraries."""
    return {module.split(".")[0] for module in imports(path)}


@cache
def spoken(path: Path) -> tuple[tuple[int, str], ...]:
    """Texts that the program uses, each with its line: no docstrings."""
    tree = tree_of(path)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return tuple(
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    )


def project_files() -> Iterator[Path]:
    """Every file that belongs to the project; nothing that a run or an install left behind."""
    for folder, names, files in os.walk(ROOT):
        here = Path(folder)
        names[:] = sorted(
            name
            for name in names
            if (name == ".ci" or not name.startswith("."))
            and name not in ("__pycache__", "build", "dist", "node_modules")
            and not name.endswith(".egg-info")
            and not (here == ROOT and name in ("data", "demo-data"))
        )
        for name in sorted(files):
            if not (here == ROOT and name == "config.toml"):
                yield here / name


def texts() -> Iterator[tuple[Path, str]]:
    """Every project file that is text, with what it says."""
    for path in project_files():
        raw = path.read_bytes()
        if b"\0" not in raw:
            yield path, raw.decode("utf-8", "replace")


# Arrows


def test_every_room_has_its_arrows() -> None:
    unknown = set(rooms()) - set(ARROWS) - FREE
    assert not unknown, f"new rooms: say in ARROWS what they may import: {unknown}"


@pytest.mark.parametrize("room", [room for room in rooms() if room not in FREE])
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    allowed = ARROWS[room] | {room}
    ours = set(ARROWS) | FREE
    wrong = {
        f"{name_of(path)} imports {other}"
        for path in sources(room)
        for other in (tops(path) & ours) - allowed
    }
    assert not wrong - DOORS


def test_the_arrows_have_no_circle() -> None:
    below: dict[str, int] = {}

    def depth(room: str, path: tuple[str, ...] = ()) -> int:
        assert room not in path, f"a circle: {(*path, room)}"
        if room not in below:
            below[room] = 1 + max(
                (depth(other, (*path, room)) for other in ARROWS[room]), default=0
            )
        return below[room]

    assert depth("bot") >= 3


def test_the_fake_knows_nothing_of_the_service_it_tests() -> None:
    """A mistake in ours must not cancel itself out on the other side of the wire."""
    ours = set(ARROWS) | FREE
    wrong = {
        f"{name_of(path)} imports {module}"
        for path in sorted((ROOT / "sandbox").glob("fake_*.py"))
        for module in imports(path)
        if module.split(".")[0] in ours and not module.startswith("sandbox.fake_")
    }
    assert not wrong


def test_every_room_is_installed_and_type_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert sorted(project["setuptools"]["packages"]) == [
        room for room in rooms() if room != "tests"
    ]
    assert sorted(project["mypy"]["packages"]) == rooms()


# Libraries, SQL and clocks in their places


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_in_its_place_only(library: str) -> None:
    homes = HOMES[library] + (("tests/",) if library.startswith("sqlite") else ())
    wrong = [
        name_of(path)
        for room in rooms()
        for path in sources(room)
        if library in tops(path) and not name_of(path).startswith(homes)
    ]
    assert not wrong


@pytest.mark.parametrize("room", [room for room in rooms() if room not in ("store", "tests")])
def test_sql_stands_in_the_store_only(room: str) -> None:
    wrong = [
        f"{name_of(path)}:{line}"
        for path in sources(room)
        for line, text in spoken(path)
        if SQL.search(text)
    ]
    assert not wrong


def test_the_search_for_sql_finds_it() -> None:
    found = [text for path in sources("store") for _, text in spoken(path) if SQL.search(text)]
    assert len(found) > 50


@pytest.mark.parametrize("room", [room for room in rooms() if room in TIMELESS])
def test_the_time_comes_in_as_an_argument(room: str) -> None:
    wrong = []
    for path in sources(room):
        if name_of(path) == "scheduler/clock.py":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute):
                owner = node.value
                holder = owner.attr if isinstance(owner, ast.Attribute) else ""
                holder = owner.id if isinstance(owner, ast.Name) else holder
                if (holder, node.attr) in CLOCKS:
                    wrong.append(f"{name_of(path)}:{node.lineno}")
        wrong += [
            f"{name_of(path)}: {one}" for one in imports(path) & {"time.time", "time.time_ns"}
        ]
    assert not wrong


# Files


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert not [
        name_of(path)
        for path in project_files()
        if path.stem in drawers or path.parent.stem in drawers
    ]


def test_every_module_says_why_it_exists() -> None:
    silent = [
        name_of(path)
        for room in rooms()
        for path in sources(room)
        if tree_of(path).body and not ast.get_docstring(tree_of(path))
    ]
    assert not silent


def test_no_file_is_too_long_to_read() -> None:
    long = {
        name_of(path): text.count("\n")
        for path, text in texts()
        if path.suffix in WRITTEN and text.count("\n") >= MAX_LINES
    }
    assert not long


# Written in pieces, so that this file does not name what none may name.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("unpkg", "com"),
        ("jsdelivr", "net"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("maven", "org"),
        ("golang", "org"),
        ("anaconda", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("mirrors", "aliyun"),
        ("tuna", "tsinghua"),
    )
] + ["-".join(parts) for parts in (("index", "url"), ("find", "links"), ("trusted", "host"))]

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|tmp|root|home|Users|mnt|private|scratch)/\w")


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the business of whoever installs: their pip knows."""
    named = {
        f"{name_of(path)}: {host}"
        for path, text in texts()
        for host in REGISTRIES
        if host in text.lower()
    }
    assert not named


def test_no_file_names_a_path_of_one_machine() -> None:
    named = {
        f"{name_of(path)}: {match.group()}"
        for path, text in texts()
        for match in MACHINE_PATH.finditer(text)
    }
    assert not named


def test_the_search_for_machine_paths_finds_them() -> None:
    for folder in ("work", "home", "Users"):
        assert MACHINE_PATH.search(f'open("/{folder}/somebody/file")')
    for harmless in ("https://a.example/home/page", "../home/x", "docs/tmp/x"):
        assert not MACHINE_PATH.search(harmless)
