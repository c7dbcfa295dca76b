"""The command line as an operator uses it: what it does, what it says, its exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bot.__main__ import main
from sandbox.fake_wechat import Account, FakeWeChat
from store import Store
from store.content import NewFaq
from store.messages import Finished, Incoming

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
NOW = 1_763_600_000.0
OPENID = "oCLI0000000000000000000000001"
SECRET = "0123456789abcdef0123456789abcdef"
TOKEN = "clitoken"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP_ID = "wx1234567890abcdef"

FAQ = (
    "question,answer,aliases\n"
    "怎么退款,七天内可以全额退款。,退款|我要退钱\n"
    "怎么报名,回复「课程」。,\n"
)
ITEMS = (
    "id,kind,title,summary,tags,authors,level,price,tiers,chapters,url,cover_url,published_at,"
    "needs_tier,series,requires,available_from,available_until\n"
    "py-101,course,零基础学 Python,从第一行代码开始,Python|编程,苏老师,入门,199.50,"
    "早鸟:99.00,[c1]开篇|变量,https://shop.example/py-101,,2025-03-05,trial,"
    "Python 之路,sql-1|sql-2,2025-03-01,2030-01-01T20:00:00+08:00\n"
)


class Shell:
    """A folder with a configuration; runs commands in it and keeps what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.database = folder / "data" / "zhiqun.db"
        self.out = self.err = ""
        self._capsys = capsys
        for name, secret in (("secret", SECRET), ("token", TOKEN), ("aes", AES_KEY)):
            (folder / name).write_text(secret)
        self.configure()

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def configure(self, **channel: str) -> None:
        """Write the configuration anew; free ports, the channel's keys as TOML values."""
        keys = {
            "app_id": f'"{APP_ID}"',
            "app_secret": '"file:secret"',
            "token": '"file:token"',
            "encoding_aes_key": '"file:aes"',
            **channel,
        }
        lines = ["[server]", "port = 0", "ops_port = 0", "api_port = 0", "[channels.mp]"]
        self.config.write_text("\n".join(lines + [f"{k} = {v}" for k, v in keys.items()]) + "\n")

    def run(self, command: str, *args: object, config: bool = True) -> int:
        """The exit code; `out` and `err` are what was printed."""
        where = ["--config", str(self.config)] if config else []
        code = main([command, *where, *map(str, args)])
        self.out, self.err = self._capsys.readouterr()
        return code

    def usage(self, *args: object) -> int:
        """The exit code of a command line that argparse refuses or answers itself."""
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with the database itself."""

        async def run() -> T:
            store = Store(self.database, durability="process")
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


async def _visit(
    store: Store, openid: str = OPENID, text: str = "怎么退款", number: int = 1
) -> int:
    """A member who wrote something; their number."""
    member = await store.members.meet("mp", openid, NOW)
    key = number.to_bytes(16, "big")
    await store.messages.record(Incoming(key, "mp", openid, NOW, b"<xml/>"))
    await store.messages.finish(
        Finished(key, b"success", NOW, "mp", openid, "text", text, "faq", "faq:1")
    )
    return member.id


# The command line itself


def test_help_names_every_command_and_the_exit_codes(shell: Shell) -> None:
    assert shell.usage("--help") == 0
    for command in ("init", "check", "serve", "demo", "import", "export", "backup", "erase"):
        assert f"    {command} " in shell.out
    assert "Exit codes: 0 done" in shell.out


def test_version_is_one_line(shell: Shell) -> None:
    assert shell.usage("--version") == 0
    assert shell.out.startswith("zhiqun ")
    assert shell.out.count("\n") == 1


@pytest.mark.parametrize(
    "args", [(), ("reload",), ("import", "coupons", "x.csv"), ("export", "faq"), ("erase",)]
)
def test_wrong_usage_is_2(shell: Shell, args: tuple[str, ...]) -> None:
    assert shell.usage(*args) == 2
    assert "usage: zhiqun" in shell.err


@pytest.mark.parametrize("port", ["99999", "-1", "x", "8765.0"])
def test_a_port_that_is_none_is_wrong_usage(shell: Shell, port: str) -> None:
    assert shell.usage("demo", f"--port={port}") == 2
    assert "from 0 to 65535" in shell.err


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("serve",),
        ("import", "faq", "f.csv"),
        ("export", "faq", "-"),
        ("backup", "b.db"),
        ("erase", "1"),
    ],
)
def test_a_missing_configuration_is_2_and_says_how_to_write_one(
    shell: Shell, command: tuple[str, ...]
) -> None:
    shell.config.unlink()
    assert shell.run(*command) == 2
    assert f"zhiqun init --config {shell.config}" in shell.err
    assert shell.out == ""


def test_a_misspelt_key_is_2_and_names_the_right_one(shell: Shell) -> None:
    shell.file("config.toml", shell.config.read_text().replace("token", "tokne"))
    assert shell.run("check") == 2
    assert "channels.mp.tokne" in shell.err
    assert "token" in shell.err.replace("tokne", "")


@pytest.mark.parametrize("command", [("export", "faq", "-"), ("backup", "b.db"), ("erase", "1")])
def test_a_mistyped_database_path_is_no_empty_success(
    shell: Shell, command: tuple[str, ...]
) -> None:
    assert shell.run(*command) == 1
    assert f"there is no database {shell.database}" in shell.err
    assert not shell.database.exists()


def test_a_damaged_database_is_1_and_named(shell: Shell) -> None:
    shell.database.parent.mkdir()
    shell.database.write_bytes(b"no database at all" * 100)
    assert shell.run("export", "faq", "-") == 1
    assert str(shell.database) in shell.err
    assert "Traceback" not in shell.err


# init


def test_init_writes_the_example_for_its_owner_only(shell: Shell) -> None:
    shell.config.unlink()
    assert shell.run("init") == 0
    assert shell.config.read_text("utf-8") == (ROOT / "config.example.toml").read_text("utf-8")
    assert shell.config.stat().st_mode & 0o777 == 0o600
    assert "zhiqun check" in shell.out


def test_init_never_overwrites(shell: Shell) -> None:
    before = shell.config.read_text()
    assert shell.run("init") == 1
    assert "left as it is" in shell.err
    assert shell.config.read_text() == before


def test_init_into_a_missing_folder_is_1(shell: Shell) -> None:
    assert shell.run("init", "--config", shell.folder / "nowhere" / "c.toml", config=False) == 1
    assert "nowhere" in shell.err
    assert "Traceback" not in shell.err


# check


def test_check_of_a_good_set_up_is_0(shell: Shell) -> None:
    assert shell.run("check") == 0
    assert shell.out.endswith("all well\n")
    assert "/hook/mp" in shell.out
    for secret in (SECRET, TOKEN, AES_KEY):
        assert secret not in shell.out


def test_check_counts_problems_and_is_1(shell: Shell) -> None:
    shell.configure(app_id='"wx0123456789abcdef"')
    assert shell.run("check") == 1
    assert "fail  channels.mp.app_id" in shell.out
    assert shell.out.endswith("\n1 problem\n")


def test_check_without_online_asks_nobody(shell: Shell) -> None:
    shell.configure(api_base='"http://127.0.0.1:1"')
    assert shell.run("check") == 0


@pytest.fixture
def fake() -> Iterator[str]:
    """A fake WeChat in a thread of its own, since `main` brings its own loop; its address."""
    loop = asyncio.new_event_loop()
    wechat = FakeWeChat(Account(APP_ID, SECRET, TOKEN, AES_KEY, "gh_cli"))
    base = loop.run_until_complete(wechat.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield base
    asyncio.run_coroutine_threadsafe(wechat.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_check_online_with_the_right_secret_is_0(shell: Shell, fake: str) -> None:
    shell.configure(api_base=f'"{fake}"')
    assert shell.run("check", "--online") == 0
    assert "accepts the credentials" in shell.out


def test_check_online_with_a_wrong_secret_blames_it(shell: Shell, fake: str) -> None:
    shell.configure(api_base=f'"{fake}"')
    shell.file("secret", SECRET[::-1])
    assert shell.run("check", "--online") == 1
    assert "fail  channels.mp.app_secret" in shell.out
    assert SECRET[::-1] not in shell.out


# import and export


def test_an_imported_faq_comes_back_the_same(shell: Shell) -> None:
    assert shell.run("import", "faq", shell.file("in.csv", FAQ)) == 0
    assert shell.out == "2 entries added, 0 renewed\n"
    first = shell.folder / "first.csv"
    assert shell.run("export", "faq", first) == 0
    assert shell.out == f"{first} written\n"
    assert "怎么退款" in first.read_text("utf-8-sig")

    assert shell.run("import", "faq", first) == 0
    assert shell.out == "0 entries added, 2 renewed\n"
    second = shell.folder / "second.csv"
    assert shell.run("export", "faq", second) == 0
    assert second.read_bytes() == first.read_bytes()


def test_imported_items_come_back_the_same(shell: Shell) -> None:
    assert shell.run("import", "items", shell.file("in.csv", ITEMS)) == 0
    assert shell.out == "1 items imported\n"
    out = shell.folder / "out.csv"
    assert shell.run("export", "items", out) == 0
    assert out.read_bytes().decode("utf-8-sig").replace("\r\n", "\n") == ITEMS


def test_a_bad_row_is_named_by_its_line_and_nothing_is_imported(shell: Shell) -> None:
    bad = shell.file("bad.csv", FAQ + "没有答案,,\n")
    assert shell.run("import", "faq", bad) == 1
    assert "bad.csv: nothing was imported" in shell.err
    assert "line 4: the answer is empty" in shell.err
    assert not shell.database.exists()


def test_a_bad_item_imports_no_good_one(shell: Shell) -> None:
    row = "py-102,course,又一门,,,,,一百元,,,,,,,,,,\n"
    assert shell.run("import", "items", shell.file("bad.csv", ITEMS + row)) == 1
    assert "line 3: price must look like 199.00" in shell.err
    assert not shell.database.exists()


def test_a_missing_file_is_1(shell: Shell) -> None:
    assert shell.run("import", "faq", shell.folder / "none.csv") == 1
    assert "none.csv" in shell.err
    assert "No such file" in shell.err


def test_an_alias_of_another_entry_names_line_and_entry(shell: Shell) -> None:
    faq_id = shell.store(lambda store: store.content.add_faq(NewFaq("学费退吗", "能退。"), NOW))
    text = FAQ + "新问题,新答案,学费退吗\n"
    assert shell.run("import", "faq", shell.file("taken.csv", text)) == 1
    assert f"line 4: “学费退吗” belongs to entry {faq_id} already" in shell.err
    assert len(shell.store(lambda store: store.content.faqs())) == 1


def test_export_to_the_terminal_prints_the_data_alone(shell: Shell) -> None:
    shell.run("import", "faq", shell.file("in.csv", FAQ))
    assert shell.run("export", "faq", "-") == 0
    assert shell.out.startswith("\ufeffquestion,answer,aliases\r\n")
    assert "written" not in shell.out


def test_the_interaction_log_is_one_json_object_a_line(shell: Shell) -> None:
    shell.store(lambda store: _visit(store, text="第一句\n还是第一句"))
    shell.store(lambda store: _visit(store, number=2))
    out = shell.folder / "log.ndjson"
    assert shell.run("export", "interactions", out) == 0
    assert shell.err == "2 interactions written\n"
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["text"] for row in rows] == ["第一句\n还是第一句", "怎么退款"]
    assert OPENID not in out.read_text("utf-8")
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_members_data_by_number_and_by_openid(shell: Shell) -> None:
    member = shell.store(_visit)
    assert shell.run("export", "member", "-", "--member", member) == 0
    data: dict[str, Any] = json.loads(shell.out)
    assert data["interactions"][0]["text"] == "怎么退款"
    assert [row["action"] for row in data.pop("audit")] == ["export.member"]
    assert shell.run("export", "member", "-", "--member", OPENID) == 0
    again = json.loads(shell.out)
    assert len(again.pop("audit")) == 2, "an export is an event in their history, too"
    assert again == data


@pytest.mark.parametrize("name", ["7", "oNobody", "²", "9" * 30])
def test_nobody_by_this_name_is_1(shell: Shell, name: str) -> None:
    shell.store(_visit)
    for command in (("export", "member", "-", "--member", name), ("erase", name, "--yes")):
        assert shell.run(*command) == 1
        assert "no member has this number or openid" in shell.err


def test_export_member_wants_to_know_whose(shell: Shell) -> None:
    shell.store(_visit)
    assert shell.run("export", "member", "-") == 1
    assert "--member NUMBER" in shell.err


def test_export_into_a_missing_folder_is_1(shell: Shell) -> None:
    shell.store(_visit)
    for what in ("faq", "interactions"):
        assert shell.run("export", what, shell.folder / "nowhere" / "x") == 1
        assert "nowhere" in shell.err


# backup


def test_a_backup_is_a_whole_database(shell: Shell) -> None:
    member = shell.store(_visit)
    copy = shell.folder / "safe" / "copy.db"
    assert shell.run("backup", copy) == 0
    assert shell.out == f"{copy} written, {copy.stat().st_size} bytes\n"
    assert copy.stat().st_mode & 0o777 == 0o600
    conn = sqlite3.connect(copy)
    assert conn.execute("pragma integrity_check").fetchone() == ("ok",)
    assert conn.execute("select member_id, text from interactions").fetchall() == [
        (member, "怎么退款")
    ]
    conn.close()


def test_a_backup_never_overwrites(shell: Shell) -> None:
    shell.store(_visit)
    there = shell.file("there.db", "mine")
    assert shell.run("backup", there) == 1
    assert "left as it is" in shell.err
    assert there.read_text() == "mine"


def test_what_the_command_line_did_is_in_the_audit(shell: Shell) -> None:
    member = shell.store(_visit)
    faq, items = shell.file("faq.csv", FAQ), shell.file("items.csv", ITEMS)
    copy = shell.folder / "copy.db"
    commands: tuple[tuple[object, ...], ...] = (
        ("import", "faq", faq),
        ("import", "items", items),
        ("export", "faq", "-"),
        ("export", "items", "-"),
        ("export", "interactions", "-"),
        ("export", "member", "-", "--member", OPENID),
        ("backup", copy),
    )
    for name, *args in commands:
        assert shell.run(str(name), *args) == 0
    bad = shell.file("bad.csv", FAQ + "没有答案,,\n")
    assert shell.run("import", "faq", bad) == 1
    rows = shell.store(lambda store: store.audit.newest())
    assert {row.actor for row in rows} == {"cli"}
    assert [(row.action, row.target, row.detail) for row in reversed(rows)] == [
        ("import.faq", "", "2 added, 0 renewed"),
        ("import.items", "", "1 items"),
        ("export.faq", "", ""),
        ("export.items", "", ""),
        ("export.interactions", "", ""),
        ("export.member", f"member:{member}", ""),
        ("backup", "", ""),
    ]


# erase


def test_erase_leaves_nothing_but_the_audit(shell: Shell) -> None:
    member = shell.store(_visit)
    other = shell.store(lambda store: _visit(store, "oOther", "你好", 2))
    assert shell.run("erase", member, "--yes") == 0
    assert f"member {member} erased: 1 interactions" in shell.out
    assert "backups" in shell.out
    assert shell.store(lambda store: store.members.card(member)) is None
    assert shell.store(lambda store: store.members.card(other)) is not None
    audit = shell.store(lambda store: store.audit.newest())
    assert [(row.actor, row.action, row.target) for row in audit] == [
        ("cli", "erase", f"member:{member}")
    ]


def _typed(shell: Shell, answer: str, *args: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with `answer` typed into it."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *map(str, args), "--config", str(shell.config)],
        input=answer,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("answer", "code", "say"),
    [
        ("{member}\n", 0, "erased"),
        ("yes\n", 1, "nothing was erased"),
        ("", 1, "add --yes"),
    ],
)
def test_erase_asks_for_the_number_again(shell: Shell, answer: str, code: int, say: str) -> None:
    member = shell.store(_visit)
    done = _typed(shell, answer.format(member=member), "erase", member)
    assert done.returncode == code, done.stderr
    assert say in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    left = shell.store(lambda store: store.members.card(member))
    assert (left is None) == (code == 0)


# serve and demo


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_serve_on_a_taken_port_is_1_and_says_what_to_do(shell: Shell) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        shell.file("config.toml", shell.config.read_text().replace("port = 0", f"port = {port}", 1))
        done = _typed(shell, "", "serve")
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "zhiqun check" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_prints_the_claim_code_and_ends_well_on_sigterm(shell: Shell) -> None:
    port = _free_port()
    text = shell.config.read_text().replace("ops_port = 0", f"ops_port = {port}")
    shell.file("config.toml", text)
    server = subprocess.Popen(
        [sys.executable, "-m", "bot", "serve", "--config", str(shell.config)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        give_up = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as page:
                    if page.status == 200:
                        break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < give_up, "not ready in 30 s"
                time.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=15)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, err
    assert "/claim " in out
    code = out.split("/claim ")[1].split()[0]
    assert code not in err, "the claim code belongs on the screen, not into the log"


def test_demo_on_a_taken_port_names_another(shell: Shell) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "bot", "demo", "--port", str(port), "--data", "demo"],
            capture_output=True,
            text=True,
            cwd=shell.folder,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            timeout=60,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert f"--port {port + 1}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (shell.folder / "demo" / "zhiqun.db").exists()


def test_demo_with_an_impossible_folder_is_1(shell: Shell) -> None:
    file = shell.file("a-file", "")
    assert shell.run("demo", "--port", 0, "--data", file, config=False) == 1
    assert "a-file" in shell.err
    assert "Traceback" not in shell.err
