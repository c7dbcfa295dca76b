"""`zhiqun groups` and `zhiqun export edges` at the terminal."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from store import Store
from store.edges import Turned, add
from store.groups import Group, Seen
from store.posts import NewPost, Post
from tests.blank import blank
from tests.bot.test_main import Shell

NOW = 1.7e9
DAY_S = 86_400.0
GROUPS = """
[channels.qun]
kind = "onebot"
accept_risk = true
access_token = "file:secret"
[channels.poster]
kind = "wecom-webhook"
key = "file:secret"
[groups]
edge_half_life_days = 10
"""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A file with three groups: one bound, one only met, one of a channel that cannot post."""
    shell = Shell(tmp_path, capsys)
    blank(shell.database)
    shell.config.write_text(shell.config.read_text("utf-8") + GROUPS)

    async def fill(store: Store) -> None:
        one = await store.groups.meet("qun", "1@room", NOW, name="学习群", bound_by="test")
        two = await store.groups.meet("qun", "2@room", NOW, name="学习群")
        await store.groups.meet("robot", "3", NOW, name="公司\n群", bound_by="test")
        ids = [(await store.members.meet("qun", f"o_{n}", NOW)).id for n in range(3)]
        for member in ids:
            await store.groups.see(Seen(one.place, member, "", NOW))
        turns = [
            Turned(one.place, ids[0], ids[1], 1.0, NOW),
            Turned(one.place, ids[0], ids[1], 1.0, NOW),
            Turned(one.place, ids[1], ids[2], 1.0, NOW),
            Turned(two.place, ids[2], ids[0], 1.0, NOW),
        ]
        await store.db.write(lambda conn: add(conn, turns, 10 * DAY_S))

    shell.store(fill)
    return shell


def known(shell: Shell, number: int) -> Group:
    async def read(store: Store) -> Group:
        return next(one for one in store.groups.all() if one.id == number)

    return shell.store(read)


def plan(shell: Shell, number: int, kind: str = "push", note: str = "") -> None:
    async def work(store: Store) -> None:
        place = next(one.place for one in store.groups.all() if one.id == number)
        body = Post("text", "晚上见")
        key = f"{number}{kind}".encode().ljust(16)
        new = NewPost(key=key, channel="qun", place=place, kind=kind, body=body, due_at=NOW)
        await store.posts.plan(new, NOW)
        if note:
            (row,) = await store.posts.page(1)
            await store.db.write(
                lambda conn: conn.execute(
                    "update posts set status = 'sending' where id = ?", (row.id,)
                )
            )
            await store.posts.settle(row.id, "refused", NOW, errcode=93000, note=note)

    shell.store(work)


def audits(shell: Shell) -> list[tuple[str, str, str]]:
    rows = shell.store(lambda store: store.audit.newest(9))
    return [(row.actor, row.action, row.target) for row in reversed(rows)]


# Looking


def test_the_list_says_of_each_group_what_is_in_the_way(shell: Shell) -> None:
    assert shell.run("groups", "list") == 0
    assert shell.out.splitlines() == [
        "1  qun  学习群: bound, 3 members, order watch",
        "2  qun  学习群: unbound, 0 members, order watch",
        "3  robot  公司群: bound, 0 members, order watch, cannot post",
        "3 groups",
    ]


def test_one_group_is_shown_with_all_that_is_set(shell: Shell) -> None:
    assert shell.run("groups", "show", "1") == 0
    for line in ("place: qun:1@room", "state: bound", "members: 3", "hears: everything"):
        assert line in shell.out.splitlines()
    assert "posts by: qun" in shell.out
    assert shell.run("groups", "show", "3") == 0
    assert "hears: only what mentions the bot" in shell.out
    assert "posts by: nothing: set a group robot" in shell.out


def test_a_group_that_is_none_or_several_is_said(shell: Shell) -> None:
    for verb in ("show", "bind", "unbind", "posts"):
        assert shell.run("groups", verb, "9") == 1
        assert "there is no group 9: zhiqun groups list shows numbers" in shell.err
    assert shell.run("groups", "bind", "学习群") == 1
    assert "several groups are called 学习群: give a number of 1 2" in shell.err
    assert audits(shell) == []


def test_a_wrong_line_shows_how_it_is_typed(shell: Shell) -> None:
    for typed in ("show", "list 1", "bind", "bind 1 vip x", "unbind 1 2"):
        assert shell.run("groups", *typed.split()) == 2, typed
        assert "usage: zhiqun groups list | show GROUP" in shell.err


def test_posts_are_listed_with_what_became_of_them(shell: Shell) -> None:
    assert shell.run("groups", "posts") == 0
    assert "nothing was posted into groups lately" in shell.out
    plan(shell, 1)
    plan(shell, 2, "digest", note="the key is wrong")
    assert shell.run("groups", "posts") == 0
    first, second, _ = shell.out.splitlines()
    assert first == "1  2023-11-15 06:13  group 1 学习群  push  planned"
    assert second.endswith("digest  refused: errcode 93000, the key is wrong")
    assert "晚上见" not in shell.out
    assert shell.run("groups", "posts", "2") == 0
    assert shell.out.splitlines() == [second, "1 posts"]


# Changing


def test_binding_is_written_down_once(shell: Shell) -> None:
    assert shell.run("groups", "bind", "2", "ＶＩＰ") == 0
    assert shell.out.splitlines() == ["group 2 VIP: bound"]
    assert (known(shell, 2).bound, known(shell, 2).alias) == (True, "VIP")
    assert shell.run("groups", "bind", "VIP") == 0
    assert "was bound already" in shell.out
    assert audits(shell) == [("cli", "group.bind", "group:2")]


def test_binding_says_when_nothing_can_be_posted(shell: Shell) -> None:
    assert shell.run("groups", "bind", "3") == 0
    assert "set a group robot (wecom-webhook) as its route" in shell.out


def test_an_alias_that_is_taken_or_means_something_else_binds_nothing(shell: Shell) -> None:
    assert shell.run("groups", "bind", "1", "vip") == 0
    for alias, said in (("vip", "group 1 has the alias vip"), ("list", "list cannot be an alias")):
        assert shell.run("groups", "bind", "2", alias) == 1
        assert said in shell.err
    assert not known(shell, 2).bound


def test_a_group_that_the_bot_left_is_not_bound(shell: Shell) -> None:
    shell.store(lambda store: store.groups.leave("qun:2@room", NOW))
    assert shell.run("groups", "bind", "2") == 1
    assert "let somebody add it again first" in shell.err
    assert shell.run("groups", "list") == 0
    assert "2  qun  学习群: left," in shell.out


def test_unbinding_drops_what_is_planned(shell: Shell) -> None:
    plan(shell, 1)
    assert shell.run("groups", "unbind", "1") == 0
    assert shell.out.splitlines() == ["group 1 学习群: unbound", "1 planned posts dropped"]
    assert not known(shell, 1).bound
    assert shell.store(lambda store: store.posts.counts()) == {"dropped": 1}
    assert shell.run("groups", "unbind", "1") == 0
    assert shell.out.splitlines() == ["group 1 学习群: was not bound"]
    assert audits(shell) == [("cli", "group.unbind", "group:1")]


# Who turns to whom


def rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text("utf-8").splitlines()]


def test_edges_are_numbers_with_weights_of_now(shell: Shell) -> None:
    path = shell.folder / "edges.csv"
    assert shell.run("export", "edges", path) == 0
    assert "3 edges written" in shell.err
    head, *found = rows(path)
    assert head == ["group", "from", "to", "weight", "turns"]
    assert [(row[0], row[4]) for row in found] == [("1", "2"), ("1", "1"), ("2", "1")]
    assert float(found[0][3]) < 0.001, "years of ten days of half-life later"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert audits(shell) == [("cli", "export.edges", "")]


def test_edges_of_one_group_as_json_lines(shell: Shell) -> None:
    path = shell.folder / "edges.ndjson"
    assert shell.run("export", "edges", path, "--group", "2") == 0
    (line,) = path.read_text("utf-8").splitlines()
    told: dict[str, Any] = json.loads(line)
    assert list(told) == ["group", "from", "to", "weight", "turns"]
    assert (told["group"], told["turns"]) == (2, 1)


def test_edges_on_the_terminal_and_of_a_group_that_is_none(shell: Shell) -> None:
    assert shell.run("export", "edges", "-", "--group", "3") == 0
    assert shell.out.splitlines() == ["group,from,to,weight,turns"]
    path = shell.folder / "edges.csv"
    assert shell.run("export", "edges", path, "--group", "9") == 1
    assert "there is no group 9" in shell.err
    assert not path.exists()
    assert shell.run("export", "faq", path, "--group", "1") == 1
    assert "--group is for edges only" in shell.err
