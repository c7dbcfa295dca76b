"""People and their identities: met once, joined by unionid, remembered for a while."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from store import Store, StoreError
from store.members import OWNER_CLAIM, Member
from tests.blank import blank
from tests.store.rows import (
    CHANNEL,
    LIN,
    MEI,
    NOW,
    Held,
    answered,
    ask_file,
    change_file,
    finished,
    incoming,
    key,
    late,
)

GROUP = "team"
UNION = "uTEST_union_1"


async def role_of(store: Store, channel: str = CHANNEL, external_id: str = LIN) -> str:
    return (await store.members.meet(channel, external_id, NOW)).role


# Meeting


async def test_a_member_is_made_on_first_sight(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    assert met == Member(met.id, CHANNEL, LIN, "member", followed=False, fresh=True)
    again = await store.members.meet(CHANNEL, LIN, NOW + 1)
    assert (again.id, again.fresh) == (met.id, False)


async def test_two_first_messages_at_once_make_one_member(store: Store) -> None:
    met = await asyncio.gather(*[store.members.meet(CHANNEL, LIN, NOW) for _ in range(10)])
    assert len({member.id for member in met}) == 1
    assert sum(member.fresh for member in met) == 1
    assert ask_file(store.db.path, "select count(*) from members") == [(1,)]


async def test_two_processes_meet_one_member(store: Store) -> None:
    other = Store(store.db.path, durability="process")
    await other.open()
    try:
        names = [f"oTEST_{number}" for number in range(20)]
        met = await asyncio.gather(
            *[one.members.meet(CHANNEL, name, NOW) for name in names for one in (store, other)]
        )
    finally:
        await other.close()
    assert sum(member.fresh for member in met) == 20
    assert ask_file(store.db.path, "select count(*) from members") == [(20,)]


async def test_the_same_name_on_two_channels_is_two_members(store: Store) -> None:
    here = await store.members.meet(CHANNEL, LIN, NOW)
    there = await store.members.meet(GROUP, LIN, NOW)
    assert here.id != there.id
    assert await store.members.find(LIN) == [here.id, there.id]
    assert await store.members.find("oTEST_nobody") == []


async def test_who_was_met_is_known_without_the_file(store: Store) -> None:
    assert store.members.known(CHANNEL, LIN) is None
    met = await store.members.meet(CHANNEL, LIN, NOW)
    known = store.members.known(CHANNEL, LIN)
    assert known is not None
    assert (known.id, known.fresh) == (met.id, False), "new only once"
    store.members.forget_cache()
    assert store.members.known(CHANNEL, LIN) is None


# Following


async def test_following_and_leaving(store: Store) -> None:
    await store.members.meet(CHANNEL, LIN, NOW)
    assert not await store.members.follow(CHANNEL, LIN, True, NOW), "never before"
    assert (await store.members.meet(CHANNEL, LIN, NOW)).followed
    assert await store.members.follow(CHANNEL, LIN, False, NOW + 1)
    assert not (await store.members.meet(CHANNEL, LIN, NOW)).followed
    assert await store.members.follow(CHANNEL, LIN, True, NOW + 2), "back again"


async def test_a_follow_is_seen_at_once(store: Store) -> None:
    """The cache must not keep what a meeting at the same moment read before it."""
    await store.members.meet(CHANNEL, LIN, NOW)
    await asyncio.gather(
        store.members.follow(CHANNEL, LIN, True, NOW), store.members.meet(CHANNEL, LIN, NOW)
    )
    known = store.members.known(CHANNEL, LIN)
    assert known is None or known.followed
    meeting = asyncio.create_task(store.members.meet(CHANNEL, LIN, NOW))
    await store.members.follow(CHANNEL, LIN, False, NOW)
    await meeting
    known = store.members.known(CHANNEL, LIN)
    assert known is None or not known.followed


async def follows(store: Store) -> tuple[bool, bool]:
    """What the table says, and what is remembered."""
    member = store.members.known(CHANNEL, LIN)
    assert member is not None
    [(row,)] = ask_file(
        store.db.path, "select followed from identities where external_id = ?", (LIN,)
    )
    return bool(row), member.followed


@pytest.mark.parametrize("opens", [{"allowance": 5}, {"burst": 3}])
async def test_who_writes_or_clicks_follows_though_nobody_saw_them_begin(
    store: Store, opens: dict[str, Any]
) -> None:
    """Most followers of an account that gets a bot were there before it."""
    member_id = await answered(store, 1)
    assert await follows(store) == (False, False), "what opens nothing shows nothing"
    await answered(store, 2, **opens)
    assert store.members.known(CHANNEL, LIN) is not None
    await store.messages.finish(finished(3, **opens))
    assert await follows(store) == (True, True)
    card = await store.members.card(member_id)
    assert card is not None
    assert card.followed
    assert (await store.interactions.stats(NOW)).followers == 1
    [(since,)] = ask_file(store.db.path, "select followed_at from identities")
    assert since is None, "when they began is not known"


async def test_an_old_follower_who_leaves_no_longer_follows_and_may_come_back(
    store: Store,
) -> None:
    await answered(store, 1, allowance=5)
    await store.members.follow(CHANNEL, LIN, False, NOW + 1)
    await answered(store, 2, kind="event:unsubscribe")
    assert await follows(store) == (False, False)
    assert await store.members.follow(CHANNEL, LIN, True, NOW + 2), "they had followed before"


# Roles


async def test_a_role_holds_from_the_next_message(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    assert not met.is_operator
    assert await store.members.set_role(met.id, "operator")
    again = await store.members.meet(CHANNEL, LIN, NOW)
    assert (again.role, again.is_operator) == ("operator", True)
    assert not await store.members.set_role(met.id + 99, "operator"), "nobody has this number"


@pytest.mark.parametrize("change", ["erase", "unite", "set_role", "follow"])
async def test_a_caller_who_hangs_up_leaves_no_ghost(store: Store, change: str) -> None:
    """A request that is cut off is cancelled; the write it waited for happens all the same."""
    other = await store.members.meet(GROUP, MEI, NOW)
    await store.members.unite(GROUP, MEI, UNION)
    met = await store.members.meet(CHANNEL, LIN, NOW)
    held = Held(store.db)
    await held.started()
    members = store.members
    work: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "erase": lambda: members.erase(met.id, NOW),
        "unite": lambda: members.unite(CHANNEL, LIN, UNION),
        "set_role": lambda: members.set_role(met.id, "operator"),
        "follow": lambda: members.follow(CHANNEL, LIN, True, NOW),
    }
    caller = asyncio.create_task(work[change]())
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert store.members.known(CHANNEL, LIN) == Member(met.id, CHANNEL, LIN, "member", False)
    held.release()
    await held.done
    await store.ping()
    assert store.members.known(CHANNEL, LIN) is None
    after = await store.members.meet(CHANNEL, LIN, NOW)
    assert {
        "erase": after.fresh,
        "unite": after.id == other.id,
        "set_role": after.role == "operator",
        "follow": after.followed,
    }[change]


async def test_an_owner_by_configuration_is_owner_whatever_the_table_says(store: Store) -> None:
    named = Store(store.db.path, durability="process", owners=[(CHANNEL, LIN)])
    await named.open()
    try:
        assert await named.members.has_owner(), "before they ever wrote"
        met = await named.members.meet(CHANNEL, LIN, NOW)
        assert (met.role, met.is_operator) == ("owner", True)
        await named.members.set_role(met.id, "member")
        assert await role_of(named) == "owner"
        card = await named.members.card(met.id)
        assert card is not None
        assert card.role == "owner"
        assert await role_of(named, GROUP) == "member", "the same name elsewhere is nobody"
    finally:
        await named.close()


async def test_whether_there_is_an_owner(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.set_role(met.id, "operator")
    assert not await store.members.has_owner()
    await store.members.set_role(met.id, "owner")
    assert await store.members.has_owner()


# The first owner


async def test_the_code_makes_one_owner(store: Store) -> None:
    lin, mei = [await store.members.meet(CHANNEL, name, NOW) for name in (LIN, MEI)]
    await store.meta.put(OWNER_CLAIM, "hash")
    claim = store.members.claim_owner
    assert not await claim(lin.id, "wrong", NOW, key(1))
    assert not await claim(lin.id, "", NOW, key(1))
    assert not await claim(lin.id + 99, "hash", NOW, key(1)), "nobody has this number"
    won = await asyncio.gather(*[claim(one.id, "hash", NOW, key(one.id)) for one in (mei, lin)])
    assert won == [True, False]
    assert (await role_of(store, CHANNEL, MEI), await role_of(store)) == ("owner", "member")
    assert await store.meta.get(OWNER_CLAIM) is None
    who = f"member:{mei.id}"
    [row] = await store.audit.newest()
    assert (row.at, row.actor, row.action, row.target) == (NOW, who, "owner.claim", who)
    assert row.detail == f"[{key(mei.id).hex()[:12]}]"


async def test_the_same_claim_again_is_the_same_claim(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.meta.put(OWNER_CLAIM, "hash")
    for _ in range(2):
        assert await store.members.claim_owner(lin.id, "hash", NOW, key(1))
    assert len(await store.audit.newest()) == 1


async def test_a_claim_happens_wholly_or_not_at_all(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.meta.put(OWNER_CLAIM, "hash")
    change_file(store.db.path, "alter table audit rename to away")
    with pytest.raises(StoreError):
        await store.members.claim_owner(lin.id, "hash", NOW, key(1))
    change_file(store.db.path, "alter table away rename to audit")
    assert (await role_of(store), await store.meta.get(OWNER_CLAIM)) == ("member", "hash")
    assert await store.members.claim_owner(lin.id, "hash", NOW, key(1))


async def test_without_a_code_nobody_can_claim(store: Store) -> None:
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    assert not await store.members.claim_owner(lin.id, "", NOW, key(1))


# One person, several identities


async def test_the_first_identity_of_a_person_takes_the_unionid(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    assert await store.members.unite(CHANNEL, LIN, UNION) == met.id
    assert await store.members.unite(CHANNEL, LIN, UNION) == met.id


async def test_nobody_is_united_who_was_never_met(store: Store) -> None:
    assert await store.members.unite(CHANNEL, LIN, UNION) is None


@pytest.mark.parametrize("late_comer_first", [False, True])
async def test_two_members_found_to_be_one_become_the_older_one(
    store: Store, late_comer_first: bool
) -> None:
    older = await answered(store, 1, LIN)
    younger = (await store.members.meet(GROUP, MEI, NOW + 1)).id
    for member_id, topics in ((older, ("写作", "绘画")), (younger, ("绘画", "音乐"))):
        for topic in topics:
            await store.content.subscribe(member_id, topic, NOW + member_id)
        await store.members.set_state(member_id, "offer", [member_id], NOW + 600)
        await store.members.wrong(member_id, "claim", NOW, key(1), limit=5, lock_s=60)
    await answered(store, 2, LIN)

    order = [(CHANNEL, LIN), (GROUP, MEI)]
    for identity in reversed(order) if late_comer_first else order:
        kept = await store.members.unite(*identity, UNION)
    assert kept == older
    for channel, external_id in order:
        assert (await store.members.meet(channel, external_id, NOW)).id == older
    card = await store.members.card(older)
    assert card is not None
    assert card.channels == (CHANNEL, GROUP)
    assert (card.messages, card.topics) == (2, ("写作", "绘画", "音乐"))
    assert await store.members.state(older, "offer", NOW) == [older]
    assert await store.members.card(younger) is None
    assert ask_file(store.db.path, "select id, unionid from members") == [(older, UNION)]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("member", "operator", "operator"),
        ("owner", "operator", "owner"),
        ("analyst", "member", "analyst"),
        ("operator", "analyst", "operator"),
        ("member", "owner", "owner"),
        ("member", "member", "member"),
    ],
)
async def test_the_higher_role_stays(store: Store, first: str, second: str, kept: str) -> None:
    for (channel, name), role in zip(((CHANNEL, LIN), (GROUP, MEI)), (first, second), strict=True):
        met = await store.members.meet(channel, name, NOW)
        await store.members.set_role(met.id, role)
        await store.members.unite(channel, name, UNION)
    assert await role_of(store) == await role_of(store, GROUP, MEI) == kept


async def test_interactions_of_both_are_kept(store: Store) -> None:
    older = await answered(store, 1, LIN, text="first")
    younger = await answered(store, 2, MEI, text="second")
    await store.members.unite(CHANNEL, LIN, UNION)
    await store.members.unite(CHANNEL, MEI, UNION)
    exported = await store.members.export(older)
    assert exported is not None
    assert [row["text"] for row in exported["interactions"]] == ["first", "second"]
    assert await store.members.export(younger) is None


# What we know of somebody


async def test_the_card_shows_no_words(store: Store) -> None:
    member_id = await answered(store, 1, text="秘密", allowance=5)
    await store.members.follow(CHANNEL, LIN, True, NOW)
    await store.content.subscribe(member_id, "写作", NOW)
    card = await store.members.card(member_id)
    assert card is not None
    assert (card.id, card.role, card.created_at, card.last_seen_at) == (
        member_id,
        "member",
        NOW,
        NOW,
    )
    assert (card.channels, card.followed, card.messages, card.topics) == (
        (CHANNEL,),
        True,
        1,
        ("写作",),
    )
    assert "秘密" not in repr(card)
    assert LIN not in repr(card)
    assert await store.members.card(member_id + 99) is None


async def test_the_export_holds_everything_about_one_member_only(store: Store) -> None:
    member_id = await answered(store, 1, text="我的问题", item="faq:1")
    await answered(store, 2, MEI, text="别人的问题")
    await store.content.subscribe(member_id, "写作", NOW)
    exported = await store.members.export(member_id)
    assert exported is not None
    assert exported["member"] == {
        "id": member_id,
        "unionid": None,
        "role": "member",
        "created_at": NOW,
        "tier": "",
        "tier_until": None,
    }
    assert [row["external_id"] for row in exported["identities"]] == [LIN]
    assert exported["subscriptions"] == [{"topic": "写作", "since": NOW}]
    assert exported["interactions"] == [
        {
            "at": NOW,
            "channel": CHANNEL,
            "kind": "text",
            "text": "我的问题",
            "handler": "faq",
            "item": "faq:1",
        }
    ]
    assert await store.members.export(member_id + 99) is None


async def test_the_export_holds_what_is_on_its_way_and_what_others_did(store: Store) -> None:
    for number, name in ((1, LIN), (2, MEI)):
        await answered(store, number, name, late=late(2, "waiting", word=name))
    member_id = (await store.members.find(LIN))[0]
    await store.members.unite(CHANNEL, LIN, UNION)
    await store.members.set_state(member_id, "offer", ["faq:1"], NOW + 600)
    await store.members.wrong(member_id, "claim", NOW, key(1), limit=5, lock_s=60)
    for actor, target in (
        ("member:77", f"member:{member_id}"),
        (f"member:{member_id}", "faq:1"),
        ("cli", f"member:{member_id}0"),
    ):
        await store.audit.add(NOW, actor, "did", target)
    exported = await store.members.export(member_id)
    assert exported is not None
    assert exported["member"]["unionid"] == UNION
    assert exported["states"] == [{"name": "offer", "expires_at": NOW + 600}]
    assert exported["attempts"] == [{"name": "claim", "count": 1, "locked_until": 0}]
    assert exported["sends"] == [
        {"channel": CHANNEL, "status": "waiting", "created_at": NOW, "reply": f"{LIN} {part}"}
        for part in range(2)
    ]
    assert [(row["actor"], row["target"]) for row in exported["audit"]] == [
        ("member:77", f"member:{member_id}"),
        (f"member:{member_id}", "faq:1"),
    ]
    assert json.loads(json.dumps(exported)) == exported


# Between two messages


async def test_a_state_is_kept_until_it_expires(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.set_state(met.id, "offer", {"ids": ["faq:1", "课程"]}, NOW + 600)
    assert await store.members.state(met.id, "offer", NOW + 599) == {"ids": ["faq:1", "课程"]}
    assert await store.members.state(met.id, "offer", NOW + 600) is None
    assert await store.members.state(met.id, "other", NOW) is None


async def test_a_newer_state_replaces_the_older(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.set_state(met.id, "offer", 1, NOW + 10)
    await store.members.set_state(met.id, "offer", 2, NOW + 600)
    assert await store.members.state(met.id, "offer", NOW + 60) == 2


async def test_states_are_cleared_by_name_or_all(store: Store) -> None:
    lin, mei = [await store.members.meet(CHANNEL, name, NOW) for name in (LIN, MEI)]
    for member in (lin, mei):
        for name in ("a", "b", "c"):
            await store.members.set_state(member.id, name, name, NOW + 600)
    assert await store.members.clear_states(lin.id, "a", "nothing") == 1
    assert await store.members.state(lin.id, "a", NOW) is None
    assert await store.members.state(lin.id, "b", NOW) == "b"
    assert await store.members.clear_states(lin.id, keep=("c", "nothing")) == 1
    assert await store.members.state(lin.id, "c", NOW) == "c"
    assert await store.members.clear_states(lin.id) == 1
    assert await store.members.clear_states(lin.id) == 0
    assert await store.members.state(mei.id, "a", NOW) == "a"


async def test_the_purge_drops_expired_states(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.set_state(met.id, "old", 1, NOW)
    await store.members.set_state(met.id, "new", 2, NOW + 1)
    assert await store.members.purge_states(NOW) == 1
    assert await store.members.state(met.id, "new", NOW) == 2


# Guessing


async def test_wrong_tries_lock_at_the_limit_and_unlock_after_a_while(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)

    numbers = itertools.count()

    async def wrong(at: float) -> int:
        by = key(next(numbers))
        return await store.members.wrong(met.id, "claim", at, by, limit=5, lock_s=900)

    assert [await wrong(NOW) for _ in range(4)] == [4, 3, 2, 1]
    assert await store.members.locked_until(met.id, "claim", NOW) == 0
    assert await wrong(NOW) == 0
    assert await store.members.locked_until(met.id, "claim", NOW) == NOW + 900
    assert await store.members.locked_until(met.id, "claim", NOW + 899) == NOW + 900
    assert await store.members.locked_until(met.id, "other", NOW) == 0
    assert await store.members.locked_until(met.id, "claim", NOW + 900) == 0
    assert await wrong(NOW + 900) == 4, "a new start"
    assert await store.members.locked_until(met.id, "claim", NOW + 900) == 0


async def test_tries_at_the_same_time_are_all_counted(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    left = await asyncio.gather(
        *[store.members.wrong(met.id, "claim", NOW, key(n), limit=5, lock_s=900) for n in range(8)]
    )
    assert left == [4, 3, 2, 1, 0, 0, 0, 0]
    assert await store.members.locked_until(met.id, "claim", NOW) == NOW + 900


async def test_a_message_that_runs_twice_costs_one_try(store: Store) -> None:
    met = await store.members.meet(CHANNEL, LIN, NOW)
    left = [
        await store.members.wrong(met.id, "claim", NOW, key(n), limit=3, lock_s=900)
        for n in (1, 1, 2, 2, 2)
    ]
    assert left == [2, 2, 1, 1, 1]
    assert await store.members.locked_until(met.id, "claim", NOW) == 0


async def test_what_concerns_an_erased_member_is_not_written(store: Store) -> None:
    """A handler may still be busy with somebody whom another process erased."""
    met = await store.members.meet(CHANNEL, LIN, NOW)
    await store.members.erase(met.id, 0.0)
    await store.members.set_state(met.id, "offer", 1, NOW + 600)
    assert await store.members.state(met.id, "offer", NOW) is None
    assert await store.members.wrong(met.id, "claim", NOW, key(1), limit=5, lock_s=900) == 0
    assert not await store.content.subscribe(met.id, "写作", NOW)
    for table in ("states", "attempts", "subscriptions"):
        assert ask_file(store.db.path, f"select count(*) from {table}") == [(0,)]


async def test_who_was_blocked_and_writes_again_is_blocked_no_more(store: Store) -> None:
    await store.members.meet(CHANNEL, LIN, NOW)

    async def block() -> None:
        await store.db.write(lambda conn: conn.execute("update identities set blocked_at = 1.0"))

    async def blocked() -> object:
        return await store.db.read(
            lambda conn: conn.execute("select blocked_at from identities").fetchone()[0]
        )

    await block()
    await store.messages.record(incoming(1))
    await store.messages.finish(finished(1, allowance=5))
    assert await blocked() is None
    await block()
    await store.members.follow(CHANNEL, LIN, False, NOW)
    assert await blocked() == 1.0, "leaving says nothing of it"
    await store.members.follow(CHANNEL, LIN, True, NOW)
    assert await blocked() is None


async def test_owners_are_those_of_the_table_and_of_the_configuration(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "z.db"), owners=[(CHANNEL, MEI), (CHANNEL, "o_not_met")])
    await store.open()
    try:
        lin = await store.members.meet(CHANNEL, LIN, NOW)
        mei = await store.members.meet(CHANNEL, MEI, NOW)
        assert await store.members.owners() == [mei.id]
        await store.members.set_role(lin.id, "owner")
        assert await store.members.owners() == [lin.id, mei.id]
    finally:
        await store.close()
