"""Campaigns: states that only move as they may, changes that can be taken back, codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store import Store, campaigns
from store.campaigns import (
    CODE_SIGNS,
    STATUSES,
    Campaign,
    NewCampaign,
    Variant,
    changed,
    code,
    digest,
    faults,
    of_plain,
    plain,
)
from store.codes import ALPHABET
from store.ledgers import Deed
from tests.blank import blank
from tests.store.rows import NOW, ask_file, change_file, key

HOUR_S = 3600.0
TEXT = {"kind": "text", "text": "周五开课，回复「退订」不再接收"}


def new(**fields: Any) -> NewCampaign:
    """A campaign that could be made; any field may be given."""
    given: dict[str, Any] = {
        "title": "开课",
        "channel": "mp",
        "audience": "active 30d",
        "variants": (Variant(content=TEXT),),
    }
    return NewCampaign(**{**given, **fields})


def deed(action: str = "campaign", at: float = NOW) -> Deed:
    return Deed(at, "member:1", action)


async def scheduled(store: Store, **fields: Any) -> Campaign:
    """A campaign that member 1 made and confirmed for 100 people."""
    made = await store.campaigns.create(new(**fields), NOW, "member:1")
    assert await store.campaigns.approve(made.id, digest(made), "member:1", NOW) == 1
    done = await store.campaigns.schedule(made.id, digest(made), 100, NOW, "member:1")
    assert done is not None
    return done


async def put(store: Store, campaign_id: int, **columns: Any) -> None:
    """What the runner writes into the row."""
    sets = ", ".join(f"{name} = ?" for name in columns)
    change_file(
        store.db.path,
        f"update campaigns set {sets} where id = ?",
        (*columns.values(), campaign_id),
    )


def audited(store: Store) -> list[tuple[Any, ...]]:
    return ask_file(store.db.path, "select action, target, detail from audit order by id")


# Making


async def test_a_campaign_is_read_as_it_was_made(store: Store) -> None:
    wanted = new(
        title=" 双十一 ",
        topic="直播",
        marketing=False,
        routes=("custom", "mass_tag"),
        timing="best",
        starts_at=NOW + HOUR_S,
        not_after=NOW + 2 * HOUR_S,
        holdout=0.1,
        metric="purchase",
        window_s=3600.0,
        test_share=0.1,
        test_s=600.0,
        variants=(
            Variant(name="A", weight=2, content=TEXT),
            Variant(name="B", content={"kind": "poll", "question": "几点？", "options": ["早"]}),
        ),
    )
    made = await store.campaigns.create(wanted, NOW, "member:1")
    assert made.new == replace(wanted, title="双十一")
    assert (made.status, made.label, made.created_by) == ("draft", f"c{made.id}", "member:1")
    assert (made.planned, made.frozen_at, made.started_at) == (0, None, None)
    assert len(made.seed) == 16
    assert made.editable
    assert not made.ended
    assert await store.campaigns.get(made.id) == made
    assert made.variant("B") == wanted.variants[1]
    assert made.variant("C") is None
    assert await store.campaigns.get(999) is None


async def test_a_campaign_survives_the_process(store: Store, tmp_path: Path) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    await store.close()
    again = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await again.open()
    try:
        assert await again.campaigns.get(made.id) == made
    finally:
        await again.close()


async def test_the_same_message_makes_one_campaign(store: Store) -> None:
    first = await store.campaigns.create(new(), NOW, "member:1", key(1), deed("campaign.new"))
    again = await store.campaigns.create(new(), NOW + 9, "member:1", key(1), deed("campaign.new"))
    other = await store.campaigns.create(new(), NOW, "member:1", key(2))
    assert (again, other.id) == (first, first.id + 1)
    assert audited(store) == [("campaign.new", f"campaign:{first.id}", "开课")]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("title", {"title": " "}),
        ("title", {"title": "题" * 65}),
        ("title", {"title": "两\n行"}),
        ("channel", {"channel": ""}),
        ("audience", {"audience": ""}),
        ("audience", {"audience": "x" * 1001}),
        ("audience", {"audience": "colour:red"}),
        ("routes", {"routes": ()}),
        ("routes", {"routes": ("pigeon",)}),
        ("routes", {"routes": ("custom", "custom")}),
        ("topic", {"topic": "题" * 65}),
        ("kind", {"kind": "never"}),
        ("timing", {"timing": "soon"}),
        ("metric", {"metric": "love"}),
        ("holdout", {"holdout": 0.51}),
        ("holdout", {"holdout": float("nan")}),
        ("test_share", {"test_share": 0.1}),
        ("window_s", {"window_s": 1.0}),
        ("window_s", {"window_s": float("inf")}),
        ("starts_at", {"starts_at": -1.0}),
        ("starts_at", {"starts_at": float("nan")}),
        ("not_after", {"starts_at": 9.0, "not_after": 8.0}),
        ("cron", {"kind": "cron"}),
        ("cron", {"cron": "0 9 * * *"}),
        ("journey_id", {"kind": "step", "delay_s": 0.0}),
        ("delay_s", {"kind": "step", "journey_id": 1}),
        ("delay_s", {"delay_s": 5.0}),
        ("variants", {"variants": ()}),
        ("variants", {"variants": (Variant(content=TEXT), Variant(content=TEXT))}),
        ("variants.", {"variants": (Variant(name="", content=TEXT),)}),
        ("variants.一", {"variants": (Variant(name="一", content=TEXT),)}),
        ("variants.A", {"variants": (Variant(weight=0, content=TEXT),)}),
        ("variants.A", {"variants": (Variant(content={}),)}),
        ("variants.A", {"variants": (Variant(content={"kind": "text", "text": {1, 2}}),)}),
        ("variants.A", {"variants": (Variant(content={**TEXT, "x": "x" * 65_536}),)}),
    ],
)
async def test_a_fault_names_its_field(store: Store, field: str, fields: dict[str, Any]) -> None:
    assert [name for name, _ in faults(new(**fields))] == [field]
    with pytest.raises(ValueError, match=f"{field}: "):
        await store.campaigns.create(new(**fields), NOW, "x")
    assert await store.campaigns.all() == []


def test_plain_values_bring_the_same_campaign_back() -> None:
    one = new(routes=("custom",), variants=(Variant(content=TEXT), Variant(name="B", content=TEXT)))
    assert of_plain(json.loads(json.dumps(plain(one)))) == one


# Codes and digests


async def test_a_code_belongs_to_one_state_and_one_actor(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    mine = code(made, "member:1")
    assert len(mine) == CODE_SIGNS
    assert set(mine) <= set(ALPHABET)
    assert code(made, "member:1") == mine
    assert code(made, "member:2") != mine
    assert code(replace(made, title="别的"), "member:1") != mine
    assert code(replace(made, seed=b"x" * 16), "member:1") != mine


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "别的"},
        {"audience": "everyone"},
        {"routes": ("custom",)},
        {"channel": "other"},
        {"topic": "直播"},
        {"marketing": False},
        {"starts_at": NOW},
        {"not_after": NOW},
        {"timing": "best"},
        {"holdout": 0.0},
        {"metric": "reply"},
        {"window_s": 60.0},
        {"variants": (Variant(weight=2, content=TEXT),)},
        {"variants": (Variant(content={"kind": "text", "text": "别的"}),)},
    ],
)
def test_a_digest_covers_all_that_is_approved(fields: dict[str, Any]) -> None:
    assert digest(new(**fields)) != digest(new())
    assert digest(new(**fields)) == digest(new(**fields))


def test_the_next_time_of_a_repeating_one_is_not_approved_each_time() -> None:
    daily = new(kind="cron", cron="0 9 * * *", starts_at=NOW)
    assert digest(replace(daily, starts_at=NOW + 86_400)) == digest(daily)
    assert digest(replace(daily, cron="0 10 * * *")) != digest(daily)


# Changing


async def test_an_edit_is_written_once_with_what_was_before(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    wanted = new(audience="everyone", variants=(Variant(content={"kind": "text", "text": "二"}),))
    for _ in range(2):
        after = await store.campaigns.edit(
            made.id, wanted, NOW + 1, "member:1", key(5), deed("campaign.edit")
        )
        assert after is not None
        assert after.new == wanted
    assert audited(store) == [("campaign.edit", f"campaign:{made.id}", "audience variants.A")]
    rows = ask_file(store.db.path, "select kind, actor, before, after from campaign_changes")
    assert [row[:2] for row in rows] == [("new", "member:1"), ("edit", "member:1")]
    assert of_plain(json.loads(rows[1][2])) == made.new
    assert of_plain(json.loads(rows[1][3])) == wanted


async def test_an_edit_of_what_was_scheduled_wants_a_new_confirmation(store: Store) -> None:
    before = await scheduled(store)
    after = await store.campaigns.edit(before.id, new(title="新"), NOW, "member:1")
    assert after is not None
    assert (after.status, after.approved, after.confirmed_at) == ("draft", 0, None)
    assert await store.campaigns.schedule(before.id, digest(before), 9, NOW, "member:1") is None


async def test_an_edit_that_changes_nothing_is_none(store: Store) -> None:
    before = await scheduled(store, starts_at=NOW)
    assert await store.campaigns.edit(before.id, before.new, NOW, "member:2", key(1)) == before
    assert ask_file(store.db.path, "select count(*) from campaign_changes") == [(2,)]


async def test_an_edit_needs_a_sound_campaign(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    with pytest.raises(ValueError, match="title: "):
        await store.campaigns.edit(made.id, new(title=""), NOW, "member:1")
    assert await store.campaigns.edit(99, new(), NOW, "member:1") is None


async def test_a_step_stays_the_step_of_its_journey(store: Store) -> None:
    step = new(kind="step", journey_id=4, delay_s=0.0)
    made = await store.campaigns.create(step, NOW, "member:1")
    moved = replace(step, journey_id=7, delay_s=60.0)
    after = await store.campaigns.edit(made.id, moved, NOW, "member:1")
    assert after is not None
    assert (after.journey_id, after.delay_s) == (4, 60.0)


async def test_undo_takes_back_one_change_after_the_other(store: Store) -> None:
    made = await store.campaigns.create(new(title="一"), NOW, "member:1")
    await store.campaigns.edit(made.id, new(title="二"), NOW, "member:1")
    await store.campaigns.edit(made.id, new(title="三"), NOW, "member:2")
    titles = []
    for number in range(2):
        after = await store.campaigns.undo(made.id, NOW, "member:1", key(number), deed("undo"))
        assert after is not None
        titles.append(after.title)
    assert titles == ["二", "一"]
    gone = await store.campaigns.undo(made.id, NOW, "member:1", key(3), deed("undo"))
    assert gone is not None
    assert (gone.status, gone.note) == ("cancelled", "undone")
    assert await store.campaigns.undo(made.id, NOW, "member:1", key(4)) is None
    assert [row[2] for row in audited(store)] == ["edit", "edit", "new"]


async def test_undo_by_the_same_message_is_done_once(store: Store) -> None:
    made = await store.campaigns.create(new(title="一"), NOW, "member:1")
    for title in "二三":
        await store.campaigns.edit(made.id, new(title=title), NOW, "member:1")
    for _ in range(3):
        after = await store.campaigns.undo(made.id, NOW, "member:1", key(8))
        assert after is not None
        assert after.title == "二"


async def test_undo_of_a_confirmation_brings_the_draft_back(store: Store) -> None:
    before = await scheduled(store)
    assert before.starts_at == NOW
    after = await store.campaigns.undo(before.id, NOW + 1, "member:1")
    assert after is not None
    assert (after.status, after.starts_at, after.approved) == ("draft", None, 0)


async def test_what_has_begun_is_neither_edited_nor_undone(store: Store) -> None:
    before = await scheduled(store)
    await put(store, before.id, started_at=NOW)
    assert await store.campaigns.edit(before.id, new(title="新"), NOW, "member:1") is None
    assert await store.campaigns.undo(before.id, NOW, "member:1") is None
    await put(store, before.id, started_at=None, status="running")
    assert await store.campaigns.edit(before.id, new(title="新"), NOW, "member:1") is None


def test_what_differs_is_named() -> None:
    two = (Variant(content=TEXT), Variant(name="B", content=TEXT))
    assert changed(new(), new()) == ()
    assert changed(new(), new(holdout=0.0, variants=two)) == ("holdout", "variants.B")
    assert changed(new(variants=two), new()) == ("variants.B",)


# Confirming


async def test_two_people_are_two_approvals(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    counts = [
        await store.campaigns.approve(made.id, digest(made), actor, NOW + 1)
        for actor in ("member:1", "member:1", "member:2")
    ]
    assert counts == [1, 1, 2]


async def test_an_approval_counts_for_the_state_it_was_given_to(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    await store.campaigns.approve(made.id, digest(made), "member:1", NOW + 1)
    await store.campaigns.edit(made.id, new(title="二"), NOW + 2, "member:1")
    assert await store.campaigns.approve(made.id, digest(made), "member:2", NOW + 3) == 0
    await store.campaigns.edit(made.id, new(), NOW + 4, "member:1")
    # The same state again, but who said yes to it has not seen that.
    assert await store.campaigns.approve(made.id, digest(made), "member:2", NOW + 5) == 1


async def test_only_a_draft_is_approved(store: Store) -> None:
    done = await scheduled(store, starts_at=NOW)
    assert await store.campaigns.approve(done.id, digest(done), "member:2", NOW) == 0
    assert await store.campaigns.approve(99, digest(done), "member:2", NOW) == 0


async def test_a_confirmation_schedules_once(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    state = digest(made)
    first = await store.campaigns.schedule(
        made.id, state, 120, NOW + 1, "member:1", key(1), deed("campaign.confirm")
    )
    assert first is not None
    assert (first.status, first.approved, first.starts_at) == ("scheduled", 120, NOW + 1)
    again = await store.campaigns.schedule(
        made.id, state, 999, NOW + 9, "member:1", key(1), deed("campaign.confirm")
    )
    assert again == first
    assert await store.campaigns.schedule(made.id, state, 9, NOW, "member:2", key(2)) is None
    assert audited(store) == [("campaign.confirm", f"campaign:{made.id}", "120")]


async def test_a_confirmation_of_another_state_is_none(store: Store) -> None:
    made = await store.campaigns.create(new(), NOW, "member:1")
    await store.campaigns.edit(made.id, new(title="二"), NOW, "member:2")
    assert await store.campaigns.schedule(made.id, digest(made), 9, NOW, "member:1") is None
    found = await store.campaigns.get(made.id)
    assert found is not None
    assert found.status == "draft"


# States


@pytest.mark.parametrize("status", STATUSES)
async def test_each_verb_moves_only_from_where_it_may(store: Store, status: str) -> None:
    ends = {
        "pause": {"scheduled", "freezing", "running", "late"},
        "resume": {"paused", "late"},
        "cancel": {"draft", "scheduled", "freezing", "running", "paused", "late"},
    }
    for number, (verb, may) in enumerate(ends.items()):
        made = await store.campaigns.create(new(), NOW, "member:1")
        await put(store, made.id, status=status)
        run = getattr(store.campaigns, verb)
        done = await run(made.id, NOW, "member:1", key(number), deed(verb))
        assert (done is not None) == (status in may), verb
        found = await store.campaigns.get(made.id)
        assert found is not None
        if status not in may:
            assert (found.status, found.ended_at) == (status, None)
    assert len(audited(store)) == sum(status in may for may in ends.values())


async def test_a_pause_that_is_asked_for_again_pauses_nothing_anew(store: Store) -> None:
    done = await scheduled(store)
    await store.campaigns.pause(done.id, NOW, "member:1", key(1), deed("pause"))
    await store.campaigns.resume(done.id, NOW, "member:1", key(2), deed("resume"))
    again = await store.campaigns.pause(done.id, NOW, "member:1", key(1), deed("pause"))
    assert again is not None
    assert again.status == "scheduled"
    assert [row[0] for row in audited(store)] == ["pause", "resume"]


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, "scheduled"),
        ({"frozen_at": NOW}, "freezing"),
        ({"frozen_at": NOW, "planned": 5}, "running"),
        ({"frozen_at": NOW, "planned": 5, "started_at": NOW}, "running"),
    ],
)
async def test_a_paused_one_goes_on_where_it_was(
    store: Store, columns: dict[str, Any], status: str
) -> None:
    done = await scheduled(store, starts_at=NOW + HOUR_S)
    await put(store, done.id, status="paused", note="45009", **columns)
    after = await store.campaigns.resume(done.id, NOW, "member:1")
    assert after is not None
    assert (after.status, after.note, after.starts_at) == (status, "", NOW + HOUR_S)


async def test_a_step_goes_on_running(store: Store) -> None:
    step = new(kind="step", journey_id=4, delay_s=0.0)
    made = await store.campaigns.create(step, NOW, "member:1")
    await put(store, made.id, status="paused")
    after = await store.campaigns.resume(made.id, NOW, "member:1")
    assert after is not None
    assert after.status == "running"


@pytest.mark.parametrize("status", ["late", "paused"])
async def test_a_late_one_goes_out_when_somebody_says_yes(store: Store, status: str) -> None:
    done = await scheduled(store, starts_at=NOW, not_after=NOW + 60)
    await put(store, done.id, status=status)
    after = await store.campaigns.resume(done.id, NOW + HOUR_S, "member:1")
    assert after is not None
    assert (after.status, after.starts_at, after.not_after) == ("scheduled", NOW + HOUR_S, None)


async def test_what_ends_knows_when(store: Store) -> None:
    done = await scheduled(store)
    gone = await store.campaigns.cancel(done.id, NOW + 5, "member:1")
    assert gone is not None
    assert (gone.status, gone.ended_at, gone.ended) == ("cancelled", NOW + 5, True)


async def test_of_two_runners_one_moves_it(store: Store) -> None:
    done = await scheduled(store)
    moved = [
        await store.db.write(
            lambda conn: campaigns.set_status(conn, done.id, "freezing", NOW, was=("scheduled",))
        )
        for _ in range(2)
    ]
    assert moved[0] is not None
    assert moved[1] is None


# Finding


async def test_what_is_due(store: Store) -> None:
    late = await scheduled(store, starts_at=NOW - 9)
    now = await scheduled(store, starts_at=NOW)
    await scheduled(store, starts_at=NOW + 1)
    daily = await scheduled(store, kind="cron", cron="0 9 * * *", starts_at=NOW)
    running = await scheduled(store, starts_at=NOW)
    await put(store, running.id, status="running")
    await store.campaigns.create(new(), NOW, "member:1")
    assert [one.id for one in await store.db.read(lambda conn: campaigns.due(conn, NOW))] == [
        late.id,
        now.id,
    ]
    repeating = await store.db.read(lambda conn: campaigns.repeating(conn, NOW))
    assert [one.id for one in repeating] == [daily.id]
    assert [one.id for one in await store.db.read(campaigns.active)] == [running.id]


async def test_lists_are_newest_first(store: Store) -> None:
    made = [await store.campaigns.create(new(), NOW, "member:1") for _ in range(3)]
    step = new(kind="step", journey_id=4, delay_s=60.0)
    await store.campaigns.create(step, NOW, "member:1")
    first = await store.campaigns.create(replace(step, delay_s=0.0), NOW, "member:1")
    assert [one.id for one in await store.campaigns.all()] == [one.id for one in made[::-1]]
    assert [one.id for one in await store.campaigns.all(limit=1, before=made[2].id)] == [made[1].id]
    assert await store.campaigns.all("running") == []
    assert [one.delay_s for one in await store.campaigns.steps(4)] == [0.0, 60.0]
    assert (await store.campaigns.steps(4))[0].id == first.id


async def test_a_repeating_one_has_one_child_for_each_time(store: Store) -> None:
    daily = await scheduled(store, kind="cron", cron="0 9 * * *", starts_at=NOW)

    async def spawn(at: float) -> Campaign | None:
        return await store.db.write(lambda conn: campaigns.spawn(conn, daily, at, at + 86_400, NOW))

    child = await spawn(NOW)
    assert child is not None
    assert (child.kind, child.status, child.parent_id) == ("once", "scheduled", daily.id)
    assert (child.starts_at, child.approved, child.confirmed_at) == (NOW, 100, NOW)
    assert child.variants == daily.variants
    assert child.seed != daily.seed
    assert await spawn(NOW) is None
    parent = await store.campaigns.get(daily.id)
    assert parent is not None
    assert parent.starts_at == NOW + 86_400
    assert [one.id for one in await store.campaigns.children(daily.id)] == [child.id]


async def test_a_paused_repeating_one_has_no_child(store: Store) -> None:
    daily = await scheduled(store, kind="cron", cron="0 9 * * *", starts_at=NOW)
    await store.campaigns.pause(daily.id, NOW, "member:1")
    made = await store.db.write(lambda conn: campaigns.spawn(conn, daily, NOW, NOW + 86_400, NOW))
    assert made is None
    assert await store.campaigns.children(daily.id) == []
