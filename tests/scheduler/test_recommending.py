"""Models are trained, judged and put live; killed at any point, the old one serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import pytest

from recommender import artefact
from scheduler import recommending, recommending_work
from scheduler.recommending import (
    MOST_TRIES,
    Made,
    Task,
    file_of,
    folder_of,
    last_outcome,
    prune,
    relist,
    train,
    unfinished,
    unlearn,
)
from store import Store
from store.insight_reads import reading
from tests.scheduler.rec_world import (
    DAY_S,
    FIRST,
    NOW,
    RULES,
    SECOND,
    TASTES,
    Decided,
    Here,
    Killed,
    done,
    item,
    members,
    opened,
    shop,
    trained_shop,
)

T = TypeVar("T")
Args = TypeVarTuple("Args")
TOMORROW = NOW + DAY_S


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """That shop, to do with as one likes."""
    shutil.copytree(trained_shop(), tmp_path / "shop")
    store = await opened(tmp_path / "shop" / "z.db")
    yield store
    await store.close()


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Store]:
    store = await opened(tmp_path / "empty.db")
    yield store
    await store.close()


async def test_a_model_that_finds_the_tastes_goes_live(store: Store) -> None:
    live = await store.rec_models.live()
    assert live is not None
    assert live.name == FIRST
    assert file_of(store.db.path, FIRST).exists()
    told = json.loads(live.metrics)
    assert told["figures"]["ndcg10"]["new"] > told["figures"]["ndcg10"]["popular"]
    assert told["figures"]["against_popular"]["low"] > 0
    assert not await unfinished(store)
    assert [file.name for file in folder_of(store.db.path).iterdir()] == [f"{FIRST}.npz"]


async def test_lists_of_active_members_are_of_their_taste(store: Store) -> None:
    (*_, silent) = await members(store, 61)
    crunch = Here()
    assert await relist(store, crunch, RULES, NOW) == f"60 lists of {FIRST}"
    right = 0
    for number in range(1, 61):
        kept = await store.recommendations.kept(number)
        assert kept is not None
        assert kept.model == FIRST
        first = json.loads(kept.data)[0][0]
        right += first.startswith(f"i{(number - 1) % len(TASTES)}-")
    assert right >= 50
    assert await store.recommendations.kept(silent) is None, "who never did anything"
    assert await relist(store, crunch, RULES, NOW) == ""
    assert crunch.ran == ["listed"], "lists that are there are not worked out again"


async def test_what_was_bought_or_refused_is_in_no_list(store: Store) -> None:
    for taste, number in ((0, 1), (0, 2)):
        await store.events.add([done(1, item(taste, number), NOW - 5, "purchase")], NOW)
    await store.recommendations.dislike(1, item(0, 3), NOW - 5)
    await relist(store, Here(), RULES, NOW)
    kept = await store.recommendations.kept(1)
    assert kept is not None
    listed = {line[0] for line in json.loads(kept.data)}
    assert listed
    assert listed.isdisjoint({item(0, 1), item(0, 2), item(0, 3)})


async def test_with_nothing_new_nothing_is_trained(store: Store) -> None:
    found = await train(store, Here(), RULES, TOMORROW)
    assert found is not None
    assert found.end == "nothing"
    (model,) = await store.rec_models.newest()
    assert model.name == FIRST
    outcome = await last_outcome(store)
    assert outcome is not None
    assert outcome[0].end == "live", "what there is to say of is the last training"


async def test_what_is_new_late_or_to_be_unlearned_is_news(store: Store) -> None:
    last = json.loads(await store.meta.get("recommendations.trained") or "")
    task = Task(store.db.path, SECOND, TOMORROW, RULES, last, None)

    async def news(withheld: int = 0) -> bool:
        with reading(store.db.path) as conn:
            return recommending_work.news(conn, task, withheld)

    assert not await news()
    assert await news(withheld=1), "somebody does not want to be learned from any more"
    await store.events.add([done(1, item(1, 1), NOW - 30 * DAY_S)], TOMORROW)
    assert await news(), "a shop that told of it a month late"
    last["read"] += 1
    assert not await news()
    await store.events.add([done(1, item(1, 2), NOW + 60)], TOMORROW)
    assert await news()


async def test_too_little_data_says_what_is_missing(empty: Store) -> None:
    await shop(empty, people=6)
    found = await train(empty, Here(), RULES, NOW)
    assert found is not None
    assert found.end == "too_little"
    assert {name: (have, need) for name, have, need in found.missing} == {
        "members": (6, 30),
        "events": (48, 200),
    }
    outcome = await last_outcome(empty)
    assert outcome is not None
    assert outcome[0].missing == found.missing
    assert await empty.rec_models.newest() == []


async def test_an_empty_business_is_no_error(empty: Store) -> None:
    found = await train(empty, Here(), RULES, NOW)
    assert found is not None
    assert found.end == "too_little"
    assert await relist(empty, Here(), RULES, NOW) == ""


async def test_a_refused_model_changes_nothing_but_its_row(store: Store) -> None:
    crunch = Decided(
        Made("refused", "worse_than_running", until=TOMORROW, tuned=999, settings={"dims": 1})
    )
    found = await train(store, crunch, RULES, TOMORROW, force=True)
    assert found is not None
    assert (found.end, found.why) == ("refused", "worse_than_running")
    live = await store.rec_models.live()
    assert live is not None
    assert live.name == FIRST
    (newest, _) = await store.rec_models.newest()
    assert (newest.name, newest.status) == (SECOND, "refused")
    assert not file_of(store.db.path, SECOND).exists()
    await train(store, crunch, RULES, TOMORROW + DAY_S, force=True)
    assert crunch.tasks[0].last["settings"] == crunch.tasks[1].last["settings"] != {"dims": 1}
    assert crunch.tasks[1].last["tuned"] == 0, "and the search is made again"


async def test_a_killed_training_goes_on_as_of_its_own_moment(store: Store) -> None:
    class KilledOnce(Decided):
        async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
            if not self.tasks:
                await super().heavy(run, *args)
                raise RuntimeError("killed")
            return await super().heavy(run, *args)

    crunch = KilledOnce(Made("live", "better"))
    assert await train(store, crunch, RULES, TOMORROW, force=True) is None
    assert await unfinished(store)
    live = await store.rec_models.live()
    assert live is not None
    assert live.name == FIRST, "until there is a new one the old one serves"
    found = await train(store, crunch, RULES, TOMORROW + 600)
    assert found is not None
    assert (found.end, found.name) == ("live", SECOND)
    first, second = crunch.tasks
    assert first == second, "the same work, so that its checkpoint fits"
    assert second.now == TOMORROW
    assert not await unfinished(store)


async def test_a_training_that_is_always_killed_is_given_up_until_the_next_night(
    store: Store,
) -> None:
    crunch = Killed(99)
    for _ in range(MOST_TRIES - 1):
        assert await train(store, crunch, RULES, TOMORROW, force=True) is None
    found = await train(store, crunch, RULES, TOMORROW + 60)
    assert found is not None
    assert found.end == "failed"
    assert not await unfinished(store)
    live = await store.rec_models.live()
    assert live is not None
    assert live.name == FIRST
    found = await train(store, Decided(Made("live")), RULES, TOMORROW + DAY_S, force=True)
    assert found is not None
    assert found.end == "live"


async def test_a_bot_that_was_killed_again_and_again_gives_up_too(store: Store) -> None:
    plan = {"name": SECOND, "at": TOMORROW, "tries": MOST_TRIES, "force": False}
    await store.meta.put("recommendations.plan", json.dumps(plan))
    crunch = Here()
    found = await train(store, crunch, RULES, TOMORROW + 60)
    assert found is not None
    assert (found.end, found.why, crunch.ran) == ("failed", "cut_off", [])


async def test_what_breaks_in_the_training_is_an_outcome(store: Store) -> None:
    class Full(Here):
        async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
            raise OSError(28, "No space left on device")

    found = await train(store, Full(), RULES, TOMORROW, force=True)
    assert found is not None
    assert (found.end, found.why) == ("failed", "OSError")
    assert not await unfinished(store)


@pytest.mark.parametrize("end", ["live", "refused"])
async def test_killed_after_the_row_was_written_only_the_end_is_made_up(
    store: Store, end: str
) -> None:
    plan = {"name": SECOND, "at": TOMORROW, "tries": 1, "force": False}
    await store.meta.put("recommendations.plan", json.dumps(plan))
    live = await store.rec_models.live()
    assert live is not None
    shutil.copy(file_of(store.db.path, FIRST), file_of(store.db.path, SECOND))
    told = {**json.loads(live.metrics), "end": end, "why": "better"}
    await store.rec_models.register(SECOND, TOMORROW, 0.0, NOW, live.checksum, json.dumps(told))
    crunch = Here()
    found = await train(store, crunch, RULES, TOMORROW + 60)
    assert found is not None
    assert (found.end, found.name, crunch.ran) == (end, SECOND, [])
    serving = await store.rec_models.live()
    assert serving is not None
    assert serving.name == (SECOND if end == "live" else FIRST)


async def test_after_a_roll_back_the_lists_are_the_old_models(store: Store) -> None:
    await relist(store, Here(), RULES, NOW)
    await train(store, Decided(Made("live")), RULES, TOMORROW, force=True)
    await relist(store, Here(), RULES, TOMORROW)
    kept = await store.recommendations.kept(1)
    assert kept is not None
    assert kept.model == SECOND
    await store.rec_models.roll_back(TOMORROW + 60)
    await relist(store, Here(), RULES, TOMORROW + 120)
    kept = await store.recommendations.kept(1)
    assert kept is not None
    assert kept.model == FIRST


async def test_files_of_models_that_may_serve_again_stay(store: Store) -> None:
    rules = replace(RULES, keep=2)
    for day in range(1, 4):
        await train(store, Decided(Made("live")), rules, NOW + day * DAY_S, force=True)
    folder = folder_of(store.db.path)
    assert {file.stem for file in folder.iterdir()} == {"20261123-103000", "20261124-103000"}


def test_what_somebody_else_put_into_the_folder_is_theirs(tmp_path: Path) -> None:
    ours = ("20261101-041000.npz", "20261101-041000.part", "20261102-041000.part.choose")
    for name in (*ours, "20261121-103000.npz", "README", "my-model.npz"):
        (tmp_path / name).touch()
    assert prune(tmp_path, {FIRST}) == len(ours)
    assert {file.name for file in tmp_path.iterdir()} == {f"{FIRST}.npz", "README", "my-model.npz"}


async def test_settings_are_searched_again_when_the_data_has_grown_by_a_fifth(
    empty: Store,
) -> None:
    """What the other process is told is all that decides it."""
    await members(empty, 1)
    last = {"tuned": 100, "settings": {}}
    for events, searched in ((119, False), (120, True)):
        assert recommending_work.grown(replace(RULES, tune_s=5.0), last, events) is searched
    assert not recommending_work.grown(RULES, last, 1000), "switched off"
    assert recommending_work.grown(replace(RULES, tune_s=5.0), {}, 1), "the first time"
    assert recommending.GROWN == 1.2


async def test_who_is_gone_or_refused_is_in_no_file_the_next_morning(store: Store) -> None:
    await train(store, Decided(Made("live")), RULES, TOMORROW, force=True)
    file = file_of(store.db.path, FIRST)
    known = artefact.load(file)
    assert await unlearn(store, Here(), opt_in=False) == "", "nobody asked for it"
    before = file.stat().st_ino
    await store.members.erase(1, TOMORROW)
    await store.consents.decide(2, "profiling", False, TOMORROW, "chat")
    # Who refused and agreed again begins anew: the vector is of what was done before.
    await store.consents.decide(3, "profiling", False, NOW + 1, "chat")
    await store.consents.decide(3, "profiling", True, TOMORROW + 1, "chat")
    told = await unlearn(store, Here(), opt_in=False)
    assert told == f"{SECOND} is written anew; {FIRST} is written anew"
    assert file.stat().st_ino != before
    for model in await store.rec_models.newest():
        now = artefact.load(file_of(store.db.path, model.name), model.checksum)
        assert now.members.tolist() == known.members[3:].tolist()
    raw = file.read_bytes()
    assert not [row for row in known.member_vectors[:3] if row.tobytes() in raw]
    assert len(list(folder_of(store.db.path).iterdir())) == 2
    assert await unlearn(store, Here(), opt_in=False) == "", "done is done"


class KilledBetween(Here):
    """The process ends when the new file is to be put in place."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        if run.__name__ == "settled":
            raise RuntimeError("killed")
        return await super().heavy(run, *args)


async def test_killed_while_it_forgets_the_model_serves_on(store: Store) -> None:
    await store.members.erase(1, NOW)
    with pytest.raises(RuntimeError):
        await unlearn(store, KilledBetween(), opt_in=False)
    live = await store.rec_models.live()
    assert live is not None
    assert prune(folder_of(store.db.path), {FIRST}) == 0, "what is to take its place stays"
    assert 1 not in artefact.load(file_of(store.db.path, FIRST), live.checksum).members
    assert await unlearn(store, Here(), opt_in=False) == ""


async def test_a_broken_file_is_told_of_and_the_others_forget(store: Store) -> None:
    await train(store, Decided(Made("live")), RULES, TOMORROW, force=True)
    await store.members.erase(1, TOMORROW)
    file_of(store.db.path, SECOND).write_bytes(b"no model")
    told = await unlearn(store, Here(), opt_in=False)
    assert told == f"{SECOND} cannot be read; {FIRST} is written anew"


async def test_what_is_judged_knows_members_as_they_were_a_week_ago(store: Store) -> None:
    await store.content.subscribe(1, "Python", NOW - DAY_S)
    await store.content.subscribe(2, "Python", NOW - 8 * DAY_S)
    task = Task(store.db.path, SECOND, NOW, RULES, {}, None)
    with reading(store.db.path) as conn:
        world = recommending_work.read(conn, task, 0.0, frozenset())
    assert world.people.numbers == world.before.numbers
    today, then = (
        dict(zip(p.numbers, p.features, strict=True)) for p in (world.people, world.before)
    )
    assert "topic:Python" in today[1]
    assert "topic:Python" not in then[1]
    assert "topic:Python" in then[2]
