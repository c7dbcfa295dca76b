"""`zhiqun campaign` at the terminal: the chat's forms and rules, without an account."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import time
import tomllib
from datetime import time as daytime
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.carry_campaign_words import FAULTS
from scheduler.campaigns import Runner
from scheduler.planner import Account
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import Campaign
from tests.bot.campaign_place import WORDS, begun, delivered, fans, new, picture
from tests.bot.test_main import Shell
from tests.scheduler.sender import Scripted

ROOT = Path(__file__).parents[2]
FORM = f"开课预告\n对象：active 30d\n方式：客服\n目标：回复\n对照：无\n文字：{WORDS}\n"
LATER = f"{time.gmtime().tm_year + 1}-06-01 12:00"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)
    shell.store(lambda store: store.ping())
    return shell


def people(shell: Shell, count: int = 3) -> list[int]:
    return shell.store(lambda store: fans(store, time.time(), count))


def made(shell: Shell, text: str = FORM) -> int:
    assert shell.run("campaign", "new", shell.file("campaign.txt", text)) == 0, shell.err
    found = re.match(r"campaign (\d+), draft: ", shell.out)
    assert found is not None, shell.out
    return int(found[1])


def code(shell: Shell, number: int) -> str:
    assert shell.run("campaign", "preview", number) == 0, shell.err
    found = re.search(rf"zhiqun campaign confirm {number} (\w+)", shell.out)
    assert found is not None, shell.out
    return found[1]


def row(shell: Shell, number: int) -> Campaign:
    found = shell.store(lambda store: store.campaigns.get(number))
    assert found is not None
    return found


def actions(shell: Shell) -> list[tuple[str, str]]:
    rows = shell.store(lambda store: store.audit.newest(99))
    return [(one.actor, one.action) for one in reversed(rows)]


# From a file to a yes


def test_a_campaign_goes_from_a_file_to_its_start(shell: Shell) -> None:
    members = people(shell)
    number = made(shell)
    assert f"A (text): {WORDS}" in shell.out
    assert "matches 3, reaches 3, holds out 0" in shell.out
    assert f"sample: {', '.join(map(str, members))}" in shell.out
    assert "begins: when it is confirmed" in shell.out
    assert shell.run("campaign", "confirm", number, code(shell, number)) == 0
    assert shell.out.startswith(f"campaign {number}: scheduled\nbegins ")
    assert shell.out.endswith(", for 3 recipients\n")
    one = row(shell, number)
    assert (one.status, one.created_by, one.approved) == ("scheduled", "cli", 3)
    assert actions(shell) == [("cli", "campaign.new"), ("cli", "campaign.confirm")]


def test_a_running_bot_sends_what_is_confirmed_here(shell: Shell) -> None:
    people(shell)
    number = made(shell)
    signs = code(shell, number)

    async def bot(store: Store) -> list[int]:
        """The runner with the database open, while the terminal is used beside it."""
        sender, sent = Scripted(), []
        accounts = {"mp": Account("service", verified=True)}
        rules = CampaignRules(quiet=(daytime(0), daytime(0)), parallel=1)
        runner = Runner(
            store, sender, rules, now=time.time, holder="bot", told=told, accounts=accounts
        )
        for typed in (["preview"], ["confirm", signs], ["cancel"]):
            verb, *more = typed
            code = await asyncio.to_thread(_typed, shell, verb, str(number), *more)
            while await runner.run_once():
                pass
            sent.append(len(sender.got) if code == 0 else -1)
        await runner.close()
        return sent

    # The cancel comes when all is done, and says so.
    assert shell.store(bot) == [0, 3, -1]
    assert row(shell, number).status == "done"
    assert shell.store(lambda store: store.deliveries.counts(number)) == {"accepted": 3}


async def told(campaign: Campaign, note: str) -> None:
    raise AssertionError(f"{campaign.id} stopped: {note}")


def _typed(shell: Shell, *args: str) -> int:
    return main(["campaign", "--config", str(shell.config), *args])


def test_an_edit_voids_the_code_and_says_only_what_changes(shell: Shell) -> None:
    people(shell)
    number = made(shell)
    old = code(shell, number)
    assert shell.run("campaign", "edit", number, shell.file("e.txt", "标题：开课了\n")) == 0
    assert shell.out.startswith(f"campaign {number}, draft: 开课了\n")
    assert shell.run("campaign", "confirm", number, old) == 1
    assert "preview it again" in shell.err
    assert row(shell, number).variants == new().variants
    assert shell.run("campaign", "undo", number) == 0
    assert row(shell, number).title == "开课预告"
    assert shell.run("campaign", "undo", number) == 0
    assert shell.out == f"campaign {number}: cancelled\n"


def test_a_time_is_said_as_in_the_chat(shell: Shell) -> None:
    people(shell)
    number = made(shell)
    assert shell.run("campaign", "schedule", number, *LATER.split()) == 0
    assert f"begins: {LATER}" in shell.out
    assert shell.run("campaign", "schedule", number, "每周一", "9:00") == 0
    assert "begins: cron 0 9 * * mon" in shell.out
    assert row(shell, number).kind == "cron"
    assert shell.run("campaign", "schedule", number, "不知道") == 1
    assert "no time one can use (unknown)" in shell.err


def test_pause_resume_and_cancel(shell: Shell) -> None:
    people(shell)
    number = made(shell, FORM.replace("方式", "时间：1小时后\n方式"))
    assert shell.run("campaign", "pause", number) == 1
    assert shell.err == "zhiqun: its status does not allow that: draft\n"
    assert shell.run("campaign", "confirm", f"c{number}", code(shell, number)) == 0
    seen = []
    for verb in ("pause", "resume", "cancel"):
        assert shell.run("campaign", verb, number) == 0
        seen.append(shell.out.splitlines()[0])
    assert seen == [
        f"campaign {number}: {status}" for status in ("paused", "scheduled", "cancelled")
    ]
    assert shell.run("campaign", "cancel", number) == 1


# What stops it


def test_a_finding_is_told_as_the_rule_says_it_and_may_be_overridden(shell: Shell) -> None:
    people(shell)
    number = made(shell, FORM.replace("文字：", "文字：转发到朋友圈领红包。"))
    assert "error    content.A: induced-sharing: 「" in shell.out
    assert f"confirm {number} " in shell.out
    assert "--override" in shell.out
    assert shell.run("campaign", "lint", number) == 1
    # At night there is a second one: it would not go out before the morning.
    assert [line.split()[0] for line in shell.out.splitlines()].count("error") == 1
    assert shell.out.endswith("findings\n")
    signs = code(shell, number)
    assert shell.run("campaign", "confirm", number, signs) == 1
    assert "something forbids it" in shell.err
    assert "induced-sharing" in shell.err
    assert shell.run("campaign", "confirm", number, signs, "--override") == 0
    assert actions(shell)[-1] == ("cli", "campaign.override")


def test_nobody_to_reach_is_refused_with_the_numbers(shell: Shell) -> None:
    number = made(shell)
    assert "impossible: it would reach nobody" in shell.out
    assert "to confirm" not in shell.out
    assert shell.run("campaign", "lint", number) == 0
    # The four signs are there for whoever asks the API; here they change nothing.
    assert shell.run("campaign", "confirm", number, "AAAA") == 1


def test_two_persons_confirm_what_goes_to_many(shell: Shell) -> None:
    people(shell)
    with shell.config.open("a") as file:
        file.write("[campaigns]\ntwo_person_over = 2\n")
    number = made(shell)
    assert shell.run("campaign", "confirm", number, code(shell, number)) == 0
    assert "a second person has to confirm" in shell.out
    assert row(shell, number).status == "draft"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the first line is the title"),
        (FORM.replace("active 30d", "active 30d and"), "line 2: column 15 of the rule"),
        (FORM.replace("方式：客服", "方式：信鸽"), "line 3: there is no route “信鸽”"),
        (FORM.replace("目标：回复", "目标：高兴"), "line 4: “高兴” is no metric"),
        (FORM.replace("目标：回复", "目表：回复"), "line 4: there is no label “目表"),
        (FORM.replace("方式：客服", "时间：昨天晚上"), "line 3: "),
        (FORM.replace("对照：无", "对照：60%"), "line 5: at most 50% are held out"),
    ],
)
def test_a_form_nobody_can_read_is_told_line_by_line(shell: Shell, text: str, says: str) -> None:
    assert shell.run("campaign", "new", shell.file("bad.txt", text)) == 1
    assert says in shell.err
    assert shell.store(lambda store: store.campaigns.all()) == []


def test_a_segment_there_is_not_makes_no_campaign(shell: Shell) -> None:
    text = FORM.replace("active 30d", "segment:nowhere")
    assert shell.run("campaign", "new", shell.file("bad.txt", text)) == 1
    assert "nobody can follow the rule: column 1" in shell.err
    assert shell.store(lambda store: store.campaigns.all()) == []


def test_every_fault_of_a_form_has_its_words() -> None:
    texts = tomllib.loads((ROOT / "handlers" / "texts_campaigns.toml").read_text("utf-8"))
    known = {key.removeprefix("fault_") for key in texts["campaign"] if key.startswith("fault_")}
    assert known == set(FAULTS)


def test_what_cannot_be_read_at_all_is_told(shell: Shell) -> None:
    assert shell.run("campaign", "new", shell.folder / "nowhere.txt") == 1
    binary = shell.folder / "form.bin"
    binary.write_bytes("开课".encode("gbk"))
    assert shell.run("campaign", "new", binary) == 1
    assert "not UTF-8" in shell.err


@pytest.mark.parametrize(
    "typed",
    [
        ["new"],
        ["edit", "1"],
        ["preview"],
        ["preview", "1", "2"],
        ["preview", "one"],
        ["preview", "9" * 19],
        ["confirm", "1"],
        ["schedule", "1"],
        ["settle", "1", "maybe"],
        ["list", "lost"],
        ["unknown", "1", "2"],
        ["segment", "save", "x"],
        ["asset", "x"],
    ],
)
def test_what_is_no_command_shows_how_it_is_typed(shell: Shell, typed: list[str]) -> None:
    assert shell.run("campaign", *typed) == 2
    assert "usage: zhiqun campaign" in shell.err or "is no number" in shell.err
    assert shell.usage("campaign", "shout") == 2


def test_of_a_campaign_there_is_not_every_command_says_so(shell: Shell) -> None:
    form, out = shell.file("f.txt", FORM), shell.folder / "out.csv"
    for typed in (
        ["show", 9],
        ["edit", 9, form],
        ["preview", 9],
        ["lint", 9],
        ["confirm", 9, "AAAA"],
        ["schedule", 9, "现在"],
        ["pause", 9],
        ["resume", 9],
        ["cancel", 9],
        ["undo", 9],
        ["report", 9],
        ["deliveries", 9, out],
    ):
        assert shell.run("campaign", *typed) == 1, typed
        assert "there is no campaign of this number" in shell.err, typed
    assert not out.exists()


# Afterwards


def ended(shell: Shell) -> tuple[int, list[int]]:
    """A campaign that went out: two delivered, one unknown."""
    members = people(shell)
    number = made(shell)

    async def run(store: Store) -> list[int]:
        await begun(store, number, "done", 1.7e9)
        await delivered(store, number, "delivered", *members[:2])
        return await delivered(store, number, "unknown", members[2])

    return number, shell.store(run)


def test_a_report_is_a_table_and_what_it_says(shell: Shell) -> None:
    number, _ = ended(shell)
    assert shell.run("campaign", "report", number) == 0
    lines = shell.out.splitlines()
    assert lines[0] == f"campaign {number}, done: 开课预告"
    assert [line.split() for line in lines[1:6]] == [
        ["arm", "A", "sent", "left", "out"],
        ["assigned", "3", "3", "0"],
        ["accepted", "2", "2", "0"],
        ["delivered", "2", "2", "0"],
        ["unknown", "1", "1", "0"],
    ]
    assert "no comparison: nobody was held out to compare with" in lines
    empty = made(shell)
    assert shell.run("campaign", "report", empty) == 0
    assert shell.out.endswith("nothing has gone out yet\n")


def test_a_report_as_csv_is_for_its_owner_only(shell: Shell) -> None:
    number, _ = ended(shell)
    path = shell.folder / "report.csv"
    assert shell.run("campaign", "report", number, "--csv", path) == 0
    assert path.stat().st_mode & 0o077 == 0
    head, first, *_ = csv.reader(path.read_text("utf-8").splitlines())
    found = dict(zip(head, first, strict=True))
    assert (found["campaign"], found["arm"], found["assigned"]) == (str(number), "A", "3")
    assert shell.run("campaign", "report", number, "--csv", "-") == 0
    assert shell.out.startswith("campaign,arm,assigned")


def test_deliveries_go_into_a_file_by_number_and_are_audited(shell: Shell) -> None:
    number, _ = ended(shell)
    path = shell.folder / "d.csv"
    assert shell.run("campaign", "deliveries", number, path) == 0
    assert path.stat().st_mode & 0o077 == 0
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [one["status"] for one in rows] == ["delivered", "delivered", "unknown"]
    assert rows[0]["claimed_at"] == "2023-11-15T06:13:20+08:00"
    assert rows[0]["errcode"] == ""
    lines = shell.folder / "d.ndjson"
    assert shell.run("campaign", "deliveries", number, lines) == 0
    assert [json.loads(line)["id"] for line in lines.read_text().splitlines()] == [
        int(one["id"]) for one in rows
    ]
    assert "o_fan" not in path.read_text() + lines.read_text()
    assert actions(shell)[-2:] == [("cli", "export.deliveries")] * 2


def test_what_nobody_knows_is_listed_and_settled_once(shell: Shell) -> None:
    number, (unknown,) = ended(shell)
    assert shell.run("campaign", "unknown") == 0
    assert shell.out.startswith(f"{unknown}  campaign {number}  member ")
    assert shell.run("campaign", "unknown", number + 1) == 0
    assert shell.out.startswith("0 unknown")
    assert shell.run("campaign", "settle", unknown, "yes") == 0
    assert shell.out == f"delivery {unknown}: it arrived\n"
    assert shell.run("campaign", "settle", unknown, "no") == 1
    assert "is not unknown" in shell.err


def test_campaigns_are_listed_and_shown_as_they_are_written(shell: Shell) -> None:
    number = made(shell)
    assert shell.run("campaign", "list") == 0
    assert shell.out == (f"{number:>5}  draft      when it is confirmed  开课预告\n1 campaigns\n")
    assert shell.run("campaign", "list", "running") == 0
    assert shell.out == "0 campaigns\n"
    assert shell.run("campaign", "show", number) == 0
    form = shell.out.partition("\n")[2]
    assert "对象：active 30d" in form
    # What is shown is a form again.
    assert made(shell, form) == number + 1
    assert row(shell, number + 1).new == row(shell, number).new


# What campaigns are made of


def test_a_picture_is_kept(shell: Shell) -> None:
    path = shell.folder / "cover.png"
    path.write_bytes(picture())
    assert shell.run("campaign", "asset", "cover-1", path) == 0
    assert shell.out == f"cover-1: image/png, {len(picture())} bytes\n"
    assert shell.run("campaign", "asset", "no name", path) == 1
    path.write_bytes(b"GIF89a")
    assert shell.run("campaign", "asset", "cover-1", path) == 1
    assert "neither PNG nor JPEG" in shell.err
    path.write_bytes(picture() + bytes(3 << 20))
    assert shell.run("campaign", "asset", "cover-1", path) == 1
    assert actions(shell) == [("cli", "asset.put")]


def test_a_picture_that_a_confirmed_campaign_shows_stays(shell: Shell) -> None:
    path = shell.folder / "cover.png"
    path.write_bytes(picture())
    assert shell.run("campaign", "asset", "cover-1", path) == 0
    number = made(shell, "海报\n对象：active 30d\n方式：群发\n图片：cover-1\n")
    shell.store(lambda store: begun(store, number, "scheduled", 1.7e9))
    path.write_bytes(picture("JPEG"))
    assert shell.run("campaign", "asset", "cover-1", path) == 1
    assert f"shown by confirmed campaigns ({number} 海报)" in shell.err


def test_segments_are_saved_shown_counted_and_removed(shell: Shell) -> None:
    members = people(shell)
    rule = f"member:{members[0]} or tag:VIP"
    assert shell.run("campaign", "segment", "save", "Early Birds", *rule.split()) == 0
    assert shell.out == "early birds: new\n"
    assert shell.run("campaign", "segment", "show", "early birds") == 0
    assert shell.out.splitlines() == [
        f"early birds: {rule}",
        f"finds 1 of 3 members: {members[0]}",
    ]
    assert shell.run("campaign", "segment") == 0
    assert f"early birds: {rule}\n" in shell.out
    assert "about to leave (built in): active 60d and quiet 21d\n" in shell.out
    assert shell.run("campaign", "segment", "count", 'not segment:"early birds"') == 0
    assert shell.out.startswith("finds 2 of 3 members: ")
    made(shell, FORM.replace("active 30d", 'segment:"early birds"'))
    assert shell.run("campaign", "segment", "remove", "early birds") == 1
    assert "it is in use: campaign c1" in shell.err
    assert shell.run("campaign", "cancel", 1) == 0
    assert shell.run("campaign", "segment", "remove", "early birds") == 0
    assert shell.run("campaign", "segment", "remove", "early birds") == 1
    for typed in (["save", "x", "tag:"], ["count", "and"], ["save", "active", "tag:VIP"]):
        assert shell.run("campaign", "segment", *typed) == 1, typed


def test_without_a_database_there_is_nothing_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, capsys)
    assert shell.run("campaign", "list") == 1
    assert "there is no database" in shell.err
    assert not shell.database.exists()
