"""Segments: rules with a name, that never go round in circles and never vanish under others."""

from __future__ import annotations

import pytest

from store import Store
from store.ledgers import Deed
from store.rules import Everyone, RuleError
from store.segments import MOST, Removal, Saved, Segment, Use
from tests.store.rows import NOW, change_file

DEED = Deed(NOW, "member:1", "segment.save")
GONE = Deed(NOW, "member:1", "segment.remove")


async def save(store: Store, name: str, rule: str, now: float = NOW) -> Saved:
    return await store.segments.put(name, rule, now, "member:1", DEED)


async def names(store: Store) -> list[str]:
    return [one.name for one in await store.segments.all()]


async def refused(store: Store, name: str, rule: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        await save(store, name, rule)
    return caught.value


async def test_a_segment_is_saved_changed_and_audited(store: Store) -> None:
    assert await save(store, "Core", "points>=100") is Saved.NEW
    assert await save(store, "ＣＯＲＥ ", "points>=100", NOW + 1) is Saved.SAME
    assert await save(store, "core", "points>=200", NOW + 2) is Saved.CHANGED
    assert await store.segments.get(" core") == Segment(
        "core", "points>=200", NOW, "member:1", NOW + 2
    )
    assert await store.segments.get("other") is None
    rows = await store.audit.newest()
    assert [(row.target, row.detail) for row in rows] == [
        ("segment:core", "points>=100 -> points>=200"),
        ("segment:core", "points>=100"),
    ]


@pytest.mark.parametrize("name", ["", "  ", 'a"b', "“x”", "a\nb\x00", "x" * 41])
async def test_a_name_that_no_rule_could_say_is_refused(store: Store, name: str) -> None:
    if name == "a\nb\x00":
        assert await save(store, "a\nb", "new") is Saved.NEW, "a line break is a blank"
    assert await save(store, name, "new") is Saved.BAD_NAME


async def test_the_names_of_every_store_are_taken(store: Store) -> None:
    for name in ("new", "Active", "about to leave", "快流失"):
        assert await save(store, name, "tag:a") is Saved.TAKEN
    assert await names(store) == []


async def test_what_cannot_be_followed_is_not_saved(store: Store) -> None:
    assert (await refused(store, "x", "tag:")).code == "value-expected"
    assert (await refused(store, "x", "")).code == "empty"
    assert (await refused(store, "x", "everyone")).code == "everyone-alone"
    wrong = await refused(store, "x", "new and segment:ghost")
    assert (wrong.code, wrong.at, wrong.value) == ("no-segment", 9, "ghost")
    assert await names(store) == []
    assert await store.audit.newest() == []


async def test_a_circle_is_found_however_wide(store: Store) -> None:
    wrong = await refused(store, "a", "new or segment:a")
    assert (wrong.code, wrong.at) == ("segment-loop", 8)
    await save(store, "a", "new")
    await save(store, "b", "segment:a or tag:b")
    await save(store, "c", "segment:b and tag:c")
    wrong = await refused(store, "a", "tag:x and segment:c")
    assert (wrong.code, wrong.at, wrong.value) == ("segment-loop", 11, "c > b > a > c")
    one = await store.segments.get("a")
    assert one is not None
    assert one.rule == "new"


async def test_a_segment_does_not_grow_too_large_for_those_above_it(store: Store) -> None:
    await save(store, "low", "new")
    await save(store, "mid", " or ".join(["segment:low"] * 20))
    await save(store, "top", "segment:mid or segment:mid")
    wrong = await refused(store, "low", " or ".join(["tag:a"] * 20))
    assert (wrong.code, wrong.value) == ("too-many", "top")


async def test_what_is_named_somewhere_stays(store: Store) -> None:
    await save(store, "core", "points>=100")
    await save(store, "near", "not segment:core")
    path = store.db.path
    for number, status in enumerate(("scheduled", "done"), 1):
        change_file(
            path,
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) values (?, '', 'mp', 'new or segment:CORE', '', ?, 0, x'', "
            "0, '')",
            (number, status),
        )
    change_file(
        path,
        "insert into offers (word, title, kind, value, audience, status, created_at, created_by) "
        "values ('早鸟', '', 'amount', 1, 'segment:core', 'open', 0, '')",
    )
    change_file(
        path,
        "insert into quizzes (title, audience, status, created_at, created_by) "
        "values ('小测', '', 'open', 0, '')",
    )
    users = (Use("segment", "near"), Use("campaign", "c1"), Use("offer", "早鸟"))
    assert await store.segments.used_by("Core") == users
    assert await store.segments.remove("core", GONE) == Removal(False, users)
    assert await store.segments.remove("near", GONE) == Removal(True)
    change_file(path, "update campaigns set status = 'cancelled'")
    change_file(path, "update offers set status = 'closed'")
    assert await store.segments.remove("CORE", GONE) == Removal(True)
    assert await store.segments.remove("core", GONE) == Removal(False)
    assert await names(store) == []
    newest = (await store.audit.newest())[0]
    assert (newest.target, newest.detail) == ("segment:core", "points>=100")


async def test_there_is_an_end_to_them(store: Store) -> None:
    change_file(store.db.path, "delete from segments")
    for number in range(MOST):
        await save(store, f"s{number}", "new")
    assert await save(store, "one more", "new") is Saved.TOO_MANY
    assert await save(store, "s0", "tag:a") is Saved.CHANGED


async def test_a_rule_is_checked_without_saving_it(store: Store) -> None:
    assert await store.segments.check("everyone") == Everyone()
    with pytest.raises(RuleError):
        await store.segments.check("everyone", name="x")
    with pytest.raises(RuleError):
        await store.segments.check("segment:x", name="X")
    with pytest.raises(RuleError):
        await store.segments.check("segment:x")
