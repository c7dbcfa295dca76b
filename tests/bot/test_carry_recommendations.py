"""`zhiqun rec`: what serves, a training beside the bot, back to the model before."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from bot.terminal import FAILED, OK
from insights.report import Figure, Report, name_of, to_json
from scheduler import rec_watch
from scheduler.recommending import file_of, folder_of, train
from store import Store
from tests.blank import blank
from tests.bot.test_main import Shell
from tests.scheduler.rec_world import FIRST, NOW, RULES, SECOND, Here, quick, shop, trained_shop


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A configuration, and a shop with a live model."""
    shell = Shell(tmp_path, capsys)
    shutil.copytree(trained_shop(), shell.database.parent)
    (shell.database.parent / "z.db").rename(shell.database)
    return shell


@pytest.fixture
def new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A configuration with a database in which nothing happened yet."""
    shell = Shell(tmp_path, capsys)
    blank(shell.database)
    return shell


async def second(store: Store) -> None:
    """A model after the first one is live."""
    live = await store.rec_models.live()
    assert live is not None
    shutil.copy(file_of(store.db.path, FIRST), file_of(store.db.path, SECOND))
    model = await store.rec_models.register(
        SECOND, NOW + 60, live.since, NOW + 60, live.checksum, live.metrics
    )
    await store.rec_models.go_live(model.id, NOW + 60)


def test_status_says_what_serves_and_what_the_gate_measured(shell: Shell) -> None:
    assert shell.run("rec", "status") == OK
    assert f"serving: {FIRST}" in shell.out
    assert "ndcg10" in shell.out
    assert shell.run("rec", "status", "--json") == OK
    told = json.loads(shell.out)
    assert (told["model"], told["last"]["end"], told["training"]) == (FIRST, "live", False)
    assert told["figures"]["against_popular"]["low"] > 0


def test_status_of_a_new_business_says_that_nothing_was_learned_yet(new: Shell) -> None:
    assert new.run("rec", "status") == OK
    assert "what is popular" in new.out
    assert new.run("rec", "status", "--json") == OK
    assert json.loads(new.out)["model"] is None


def test_status_says_why_everybody_sees_what_is_popular(shell: Shell) -> None:
    async def fall_back(store: Store) -> None:
        data = json.dumps({"why": "热门更好", "at": NOW})
        await store.interactions.put_finding(rec_watch.FALLBACK, data, NOW)

    shell.store(fall_back)
    shell.run("rec", "status")
    assert "热门更好" in shell.out
    assert "/rec resume" in shell.out


def test_one_command_takes_a_model_back(shell: Shell) -> None:
    shell.store(second)
    assert shell.run("rec", "rollback") == OK
    assert shell.out == f"{FIRST} serves again\n"
    assert shell.run("rec", "rollback") == FAILED, "there is none before the first"
    assert "no model to go back to" in shell.err
    (audited,) = shell.store(lambda store: store.audit.newest())
    assert (audited.actor, audited.action, audited.target) == (
        "cli",
        "rec.rollback",
        f"model:{FIRST}",
    )


def test_no_model_is_taken_back_for_one_whose_file_is_broken(shell: Shell) -> None:
    shell.store(second)
    file_of(shell.database, FIRST).write_bytes(b"nothing of ours")
    assert shell.run("rec", "rollback") == FAILED
    assert "whose file can be used" in shell.err
    live = shell.store(lambda store: store.rec_models.live())
    assert live is not None
    assert live.name == SECOND


def test_status_names_what_there_is_too_little_of(new: Shell) -> None:
    async def few(store: Store) -> None:
        await shop(store, people=6)
        await train(store, Here(), RULES, NOW)

    new.store(few)
    assert new.run("rec", "status") == OK
    assert f"missing: members, 6 of {RULES.least_members}" in new.out


def test_without_recommendations_nothing_is_trained(shell: Shell) -> None:
    with shell.config.open("a") as file:
        file.write("[recommendations]\nenabled = false\n")
    assert shell.run("rec", "train") == FAILED
    assert "recommendations.enabled" in shell.err


def test_the_report_is_that_of_the_chat_up_to_now(shell: Shell) -> None:
    figure = Figure(name="rec_coverage", value=0.5, unit="share", since=NOW - 60, until=NOW)
    report = Report(kind="rec", scope="", made_at=NOW, since=NOW - 60, until=NOW, figures=(figure,))

    async def put(store: Store) -> None:
        await store.interactions.put_finding(name_of("rec"), to_json(report), NOW)

    assert shell.run("rec", "report") == OK
    assert "还没有给出过推荐" in shell.out
    # What was worked out before is of before.
    shell.store(put)
    assert shell.run("rec", "report", "--json") == OK
    assert json.loads(shell.out)["figures"] == []


def test_a_training_in_a_process_of_its_own_goes_live(new: Shell) -> None:
    """The only test with the real other process: spawned, low priority, its own libraries."""

    async def today(store: Store) -> None:
        await shop(store, now=time.time())
        await quick(store)

    new.store(today)
    with new.config.open("a") as file:
        file.write("[recommendations]\ntune_s = 0\n")
    assert new.run("rec", "train") == OK
    assert "it serves from now on" in new.out
    assert new.run("rec", "status", "--json") == OK
    name = json.loads(new.out)["model"]
    assert [file.name for file in folder_of(new.database).iterdir()] == [f"{name}.npz"]
    kept = new.store(lambda store: store.recommendations.kept(1))
    assert kept is not None
    assert kept.model == name
