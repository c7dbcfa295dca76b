"""What recommendations are made of: deeds, people, items; nothing of who does not want it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from store import Store, consents, rec_data
from store.catalogue import Item
from store.dialect import Connection
from store.events import NewEvent
from store.rec_data import Deed, Holdings
from tests.store.rows import CHANNEL, LIN, MEI, NOW, answered, course

DAY = 86_400.0
FOREVER = NOW + 999 * DAY


def band(cents: float) -> str:
    """As the recommender has it, simpler."""
    return "" if cents < 0 else "low" if cents < 5000 else "high"


async def shop(store: Store, member_id: int, *rows: tuple[Any, ...], at: float = NOW) -> None:
    """Events: (kind, item) or (kind, item, fields)."""
    events = []
    for number, (kind, item, *rest) in enumerate(rows):
        fields = {"at": at + number} | (rest[0] if rest else {})
        name = f"{member_id} {kind} {item} {fields['at']}"
        events.append(NewEvent(name, kind, member_id=member_id, item_id=item, **fields))
    await store.events.add(events, NOW)


async def log(
    store: Store, member_id: int, handler: str, item: str, at: float = NOW, place: str = ""
) -> None:
    """A row of the log."""

    def run(conn: Connection) -> None:
        conn.execute(
            "insert into interactions (at, channel, member_id, kind, text, handler, item, place) "
            "values (?, 'mp', ?, 'text', '', ?, ?, ?)",
            (at, member_id, handler, item, place),
        )

    await store.db.write(run)


async def deeds(
    store: Store, since: float = 0.0, until: float = FOREVER, without: Sequence[int] = ()
) -> list[Deed]:
    def run(conn: Connection) -> list[Deed]:
        return sorted(rec_data.deeds(conn, since, until, without), key=lambda one: one[3])

    return await store.db.read(run)


async def kinds(store: Store) -> list[tuple[str, str]]:
    return [(kind, item) for _, item, kind, _, _ in await deeds(store)]


async def test_an_empty_store_tells_nothing(store: Store) -> None:
    assert await deeds(store) == []
    assert await store.db.read(rec_data.things) == []
    assert await store.db.read(partial(rec_data.people, now=NOW, band=band)) == {}
    assert await store.db.read(rec_data.holdings) == {}
    assert await store.rec_data.known(1, 0.0, NOW, opt_in=False, band=band) is None


async def test_what_the_shop_tells_has_its_kind_and_amount(store: Store) -> None:
    lin = await answered(store, 1)
    await shop(
        store,
        lin,
        ("exposure", "a"),
        ("view", "a"),
        ("view", "again", {"link_id": 7}),
        ("click", "a"),
        ("add_to_cart", "a"),
        ("claim", "a"),
        ("enroll", "a"),
        ("progress", "a", {"percent": 40}),
        ("progress", "a", {"percent": 90, "chapter_id": "c1"}),
        ("complete", "a", {"chapter_id": "c1"}),
        ("complete", "a"),
        ("purchase", "b", {"amount_cents": 900}),
        ("refund", "b"),
        ("purchase", ""),
    )
    assert [(kind, item, amount) for _, item, kind, _, amount in await deeds(store)] == [
        ("view", "a", None),
        ("click", "a", None),
        ("claim", "a", None),
        ("claim", "a", None),
        ("enrol", "a", None),
        ("progress", "a", 40),
        ("progress", "a", None),
        ("progress", "a", None),
        ("complete", "a", None),
        ("purchase", "b", 900),
        ("refund", "b", None),
    ]
    assert {kind for kind, _ in await kinds(store)} <= set(rec_data.KINDS)


async def test_a_refund_of_an_order_takes_back_all_that_was_in_it(store: Store) -> None:
    lin = await answered(store, 1)
    await shop(
        store,
        lin,
        ("purchase", "a", {"order_id": "7"}),
        ("purchase", "b", {"order_id": "7"}),
        ("purchase", "c", {"order_id": "8"}),
        ("refund", "", {"order_id": "7"}),
    )
    taken = [item for kind, item in await kinds(store) if kind == "refund"]
    assert sorted(taken) == ["a", "b"]
    own = await store.db.read(lambda conn: rec_data.holdings(conn, [lin]))
    assert own == {lin: Holdings(frozenset("c"), frozenset(), frozenset("ab"))}


async def test_what_is_done_in_the_chat_counts_by_what_answered(store: Store) -> None:
    lin = await answered(store, 1)
    for number, (handler, item) in enumerate(
        (
            ("content", "item:a"),
            ("follow.price", "item:a"),
            ("recommend.item", "item:b"),
            ("recommend", "item:c"),
            ("faq", "faq:12"),
            ("faq.useless", "item:d"),
            ("operator.campaign", "item:e"),
            ("course.card", "item:f"),
        )
    ):
        await log(store, lin, handler, item, NOW + number)
    await store.recommendations.dislike(lin, "z", NOW + 99)
    assert await kinds(store) == [
        ("view", "a"),
        ("ask", "a"),
        ("click", "b"),
        ("view", "f"),
        ("dislike", "z"),
    ]


async def test_a_time_begins_and_ends(store: Store) -> None:
    lin = await answered(store, 1)
    await shop(store, lin, *(("view", f"i{n}") for n in range(5)))
    assert [one[1] for one in await deeds(store, NOW + 1, NOW + 3)] == ["i1", "i2"]
    count = await store.db.read(lambda conn: rec_data.count_deeds(conn, NOW + 1, NOW + 3))
    assert count == 2


async def test_who_does_not_want_it_is_in_nothing_but_what_they_have(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    for member_id in (lin, mei):
        await shop(store, member_id, ("purchase", "a"))
    await store.consents.decide(lin, "profiling", False, NOW, CHANNEL)
    out = await store.db.read(lambda conn: consents.withheld(conn, "profiling"))
    assert [one[0] for one in await deeds(store, without=sorted(out))] == [mei]
    people = await store.db.read(lambda conn: rec_data.people(conn, NOW, without=out, band=band))
    assert set(people) == {mei}
    assert set(await store.db.read(rec_data.holdings)) == {lin, mei}
    known = await store.rec_data.known(lin, 0.0, NOW, opt_in=False, band=band)
    assert known is not None
    assert (known.profiled, known.features, known.past) == (False, (), [])
    assert known.holdings.owned == {"a"}, "what they have is not shown to them again"
    asked = await store.rec_data.known(mei, 0.0, NOW, opt_in=True, band=band)
    assert asked is not None
    assert not asked.profiled, "who said nothing, where that means no"


async def test_what_was_done_before_agreeing_is_not_looked_at(store: Store) -> None:
    lin = await answered(store, 1)
    await shop(store, lin, ("view", "a"), ("view", "b"), ("view", "c"))
    await store.consents.decide(lin, "profiling", True, NOW + 1, CHANNEL)
    assert [one[1] for one in await deeds(store)] == ["b", "c"]
    past = await store.db.read(lambda conn: rec_data.past(conn, lin, 0.0))
    assert [one[1] for one in past] == ["b", "c"]


async def test_what_is_said_in_groups_counts_unless_they_want_it_unrecorded(store: Store) -> None:
    lin = await answered(store, 1)
    await log(store, lin, "follow.price", "item:a", place="qun:1")
    await log(store, lin, "follow.price", "item:b", NOW + 1)
    await store.catalogue.put([course(1, id="a", tags=("群",)), course(2, id="b")], NOW)
    assert len(await deeds(store)) == 2
    sql = "insert into member_settings (member_id, name, value) values (:m, 'unrecorded', '1')"
    await store.db.write(partial(_execute, sql=sql, args={"m": lin}))
    assert [one[1] for one in await deeds(store)] == ["b"]
    known = await store.rec_data.known(lin, 0.0, NOW + 9, opt_in=False, band=band)
    assert known is not None
    assert [one[1] for one in known.past] == ["b"]
    assert "topic:群" not in known.features


async def test_people_have_what_is_known_of_them(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await store.catalogue.put([course(1, id="a", tags=("Python",))], NOW)
    await log(store, lin, "content", "item:a", NOW - 5)
    await log(store, lin, "content", "item:gone", NOW - 5)
    await shop(store, lin, ("purchase", "a", {"amount_cents": 9900}), at=NOW - 9)
    await shop(store, lin, ("purchase", "a", {"amount_cents": 100}), at=NOW + 9)
    await store.content.subscribe(lin, "写作", NOW)
    await store.points.post(lin, 120, "operator", "k", NOW, actor="cli", note="")
    await store.memberships.give(
        lin, "trial", NOW, source_key="t", by="cli", tiers=("trial",), until=NOW + DAY
    )
    for sql in (
        "insert into member_tags (member_id, tag, since) values (:m, '老学员', 0)",
        "insert into communities (id, scope, name, born_at, origin, size, seen_at) "
        "values (12, '', '圈', 0, 'born', 9, 1)",
        "insert into community_members (scope, member_id, community_id, since) "
        "values ('', :m, 12, 0)",
    ):
        await store.db.write(partial(_execute, sql=sql, args={"m": lin}))

    def read(conn: Connection, now: float) -> dict[int, tuple[str, ...]]:
        levels = (("大师", 9999), ("新手", 0), ("学徒", 100))
        return rec_data.people(conn, now, band=band, levels=levels)

    people = await store.db.read(partial(read, now=NOW))
    assert set(people[lin]) == {
        "tag:老学员",
        "community:12",
        "channel:mp",
        "tier:trial",
        "level:学徒",
        "topic:写作",
        "topic:Python",
        "price:high",
    }
    assert people[mei] == ("channel:mp",)
    later = await store.db.read(partial(read, now=NOW + 2 * DAY))
    assert not {"tier:trial"} & set(later[lin]), "it has ended"
    earlier = await store.db.read(partial(read, now=NOW - DAY))
    assert not {"price:high", "topic:Python"} & set(earlier[lin]), "not yet bought, nor asked"

    def as_of(conn: Connection, now: float) -> dict[int, tuple[str, ...]]:
        return rec_data.people(conn, now, band=band, levels=(("新手", 0),), then=True)

    then = await store.db.read(partial(as_of, now=NOW - DAY))
    assert set(then[lin]) == {"tag:老学员", "community:12", "channel:mp"}
    then = await store.db.read(partial(as_of, now=NOW + DAY))
    assert {"topic:写作", "topic:Python", "price:high"} <= set(then[lin])
    assert not {"tier:trial", "level:新手"} & set(then[lin]), "nobody knows what they were then"
    one = await store.rec_data.known(lin, 0.0, NOW, opt_in=False, band=band)
    assert one is not None
    assert set(one.features) == set(people[lin]) - {"level:学徒"}
    assert one.tier == "trial"


def _execute(conn: Connection, sql: str, args: dict[str, Any]) -> None:
    conn.execute(sql, args)


async def test_a_member_with_no_data_is_a_member(store: Store) -> None:
    await store.db.write(
        partial(_execute, sql="insert into members (id, created_at) values (7, 0)", args={})
    )
    known = await store.rec_data.known(7, 0.0, NOW, opt_in=False, band=band)
    assert known is not None
    assert (known.features, known.past, known.holdings) == ((), [], Holdings())


async def test_items_say_what_they_are_and_whether_they_may_be_had(store: Store) -> None:
    full = course(
        1, id="a", series="Python 之路", requires=("b",), available_from=NOW, needs_tier="trial"
    )
    bare = Item("b", "ebook", "小书")
    await store.catalogue.put([full, bare], NOW)
    await store.catalogue.archive("b", NOW)
    a, b = await store.rec_data.things()
    assert (a.id, a.requires, a.needs_tier, a.live, b.live) == ("a", ("b",), "trial", True, False)
    assert [a.available(at) for at in (NOW - 1, NOW)] == [False, True]
    assert not b.available(NOW), "archived"
    assert a.features(band) == (
        "kind:course",
        "tag:写作",
        "tag:入门",
        "author:林老师",
        "level:入门",
        "series:Python 之路",
        "price:high",
    )
    assert b.features(lambda cents: "") == ("kind:ebook",)


async def test_what_somebody_has_is_what_they_did_not_give_back(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await shop(
        store,
        lin,
        ("purchase", "a"),
        ("complete", "a"),
        ("purchase", "b"),
        ("refund", "b"),
        ("enroll", "c"),
        ("progress", "d", {"percent": 10}),
        ("view", "e"),
    )
    await shop(store, mei, ("purchase", "a"), ("complete", "x", {"chapter_id": "1"}))
    wanted = {
        lin: Holdings(frozenset("acd"), frozenset("a"), frozenset("b")),
        mei: Holdings(frozenset("ax"), frozenset()),
    }
    assert await store.db.read(rec_data.holdings) == wanted
    for member_id, own in wanted.items():
        found = await store.db.read(partial(rec_data.holdings, member_ids=[member_id]))
        assert found == {member_id: own}


async def test_active_is_who_did_anything_lately(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN, at=NOW), await answered(store, 2, MEI, at=NOW - 9)
    assert await store.db.read(lambda conn: rec_data.active(conn, NOW)) == [lin]
    await shop(store, mei, ("view", "a"))
    assert await store.db.read(lambda conn: rec_data.active(conn, NOW)) == [lin, mei]
    assert await store.db.read(lambda conn: rec_data.active(conn, NOW, {lin})) == [mei]


async def test_the_past_of_one_is_theirs_alone_and_in_order(store: Store) -> None:
    lin, mei = await answered(store, 1, LIN), await answered(store, 2, MEI)
    await shop(store, lin, ("view", "b"), ("purchase", "a"))
    await shop(store, mei, ("view", "c"))
    await log(store, lin, "follow.price", "item:c", NOW + 9)
    await store.recommendations.dislike(lin, "d", NOW + 10)
    past = await store.db.read(lambda conn: rec_data.past(conn, lin, NOW))
    assert [(one[1], one[2]) for one in past] == [
        ("b", "view"),
        ("a", "purchase"),
        ("c", "ask"),
        ("d", "dislike"),
    ]
    assert await store.db.read(lambda conn: rec_data.past(conn, 99, 0.0)) == []
