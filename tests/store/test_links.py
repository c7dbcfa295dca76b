"""Links as rows: the same wish is the same link, and clicks are told from mere fetches."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from store import Store
from store.catalogue import Item
from store.events import NewEvent
from store.links import _WHOLE, Link, NewLink
from tests.store.rows import CHANNEL, LIN, MEI, NOW, ask_file

DAY_S = 86400.0
SHOP = "https://shop.example.com/c1"


def item(number: int = 1, **fields: object) -> Item:
    plain = {"id": f"c{number}", "kind": "course", "title": "写作课", "url": SHOP}
    return Item(**{**plain, **fields})  # type: ignore[arg-type]


async def made(store: Store, **fields: object) -> Link:
    """A link to SHOP, as an address, unless said otherwise."""
    new = NewLink(**{"url": SHOP, **fields})  # type: ignore[arg-type]
    return (await store.links.create([new], NOW, "cli"))[0].link


def click(link: Link, number: int, at: float = NOW, **fields: object) -> NewEvent:
    plain = {"event_id": f"click:{number}", "kind": "click", "at": at, "link_id": link.id}
    return NewEvent(**{**plain, "click": str(number), **fields})  # type: ignore[arg-type]


async def test_the_first_secret_stays_whoever_asks(store: Store) -> None:
    found = await asyncio.gather(*[store.links.secret(bytes([n]) * 32) for n in range(3)])
    assert set(found) == {bytes(32)}
    assert await store.links.secret(b"x" * 32) == bytes(32)
    assert await store.meta.get("links_secret") == "00" * 32


async def test_the_same_wish_is_the_same_link(store: Store) -> None:
    new = NewLink(url=SHOP, campaign="双十一", variant="a", source="campaign")
    first, again = await store.links.create([new, new], NOW, "key:k1")
    later = (await store.links.create([new], NOW + 9, "member:1"))[0]
    assert (first.fresh, again.fresh, later.fresh) == (True, False, False)
    assert first.link == again.link == later.link
    assert first.link.created_at == NOW
    assert [row.target for row in await store.audit.newest()] == [f"link:{first.link.id}"]


@pytest.mark.parametrize(
    "other",
    [
        {"url": SHOP + "/"},
        {"url": "", "item_id": "c1"},
        {"campaign": "x"},
        {"variant": "b"},
        {"source": "answer"},
        {"ref": "faq:1"},
        {"expires_at": NOW + 1},
    ],
)
async def test_any_difference_is_another_link(store: Store, other: dict[str, object]) -> None:
    new = NewLink(url=SHOP)
    both = await store.links.create([new, replace(new, **other)], NOW, "bot")  # type: ignore[arg-type]
    assert [one.fresh for one in both] == [True, True]
    assert both[0].link.id != both[1].link.id


async def test_links_that_the_bot_makes_for_itself_are_not_audited(store: Store) -> None:
    await store.links.create([NewLink(url=SHOP)], NOW, "bot")
    assert await store.audit.newest() == []


async def test_half_of_a_wish_list_is_never_written(store: Store) -> None:
    torn = NewLink(url="https://shop.example.com/\ud800")
    with pytest.raises(UnicodeEncodeError):
        await store.links.create([NewLink(url=SHOP), torn], NOW, "cli")
    assert await store.links.page() == []


async def test_only_links_that_exist_are_found(store: Store) -> None:
    link = await made(store)
    assert await store.links.find([NewLink(url=SHOP), NewLink(url="https://x.example")]) == {
        NewLink(url=SHOP): link
    }
    assert await store.links.find([]) == {}


async def test_a_revoked_link_ends_once_and_its_wish_gives_another(store: Store) -> None:
    link = await made(store)
    assert await store.links.revoke(link.id, NOW + 1, "member:7")
    assert not await store.links.revoke(link.id, NOW + 2, "member:7")
    assert not await store.links.revoke(99, NOW, "member:7")
    target = await store.links.target(link.id)
    assert target is not None
    assert target.link.revoked_at == NOW + 1
    assert (await made(store)).id != link.id
    told = [(row.actor, row.action) for row in await store.audit.newest()]
    assert told == [("cli", "link.add"), ("member:7", "link.revoke"), ("cli", "link.add")]


async def test_an_items_link_follows_the_item(store: Store) -> None:
    await store.catalogue.put([item()], NOW)
    link = await made(store, url="", item_id="c1")

    async def leads() -> tuple[str, bool]:
        target = await store.links.target(link.id)
        assert target is not None
        return target.url, target.gone

    assert await leads() == (SHOP, False)
    await store.catalogue.put([item(url="https://new.example/c1")], NOW)
    assert await leads() == ("https://new.example/c1", False)
    await store.catalogue.archive("c1", NOW)
    assert (await leads())[1]
    await store.catalogue.put([item(url="")], NOW)
    assert await leads() == ("", True)


async def test_a_link_to_an_item_that_never_was_leads_nowhere(store: Store) -> None:
    link = await made(store, url="", item_id="none")
    target = await store.links.target(link.id)
    assert target is not None
    assert (target.url, target.gone) == ("", True)
    assert await store.links.target(link.id + 1) is None


async def test_an_address_is_a_live_items_or_nobodys(store: Store) -> None:
    await store.catalogue.put([item(2), item(1), item(3, url="")], NOW)
    assert await store.links.item_with(SHOP) == "c1"
    await store.catalogue.archive("c1", NOW)
    assert await store.links.item_with(SHOP) == "c2"
    assert await store.links.item_with(SHOP + "/") is None


async def test_pages_go_by_number_and_campaign(store: Store) -> None:
    links = [await made(store, campaign=name, ref=str(n)) for n, name in enumerate("abaab")]
    assert await store.links.page(limit=2) == links[:2]
    assert await store.links.page(links[1].id) == links[2:]
    assert await store.links.page(campaign="b") == [links[1], links[4]]
    assert await store.links.page(links[4].id) == []


async def test_fetches_add_up_by_day_and_kind(store: Store) -> None:
    link = await made(store)
    counts = {(link.id, "2025-11-20", "bot"): 3, (link.id, "2025-11-20", "preview"): 1}
    await store.links.count_fetches(counts)  # type: ignore[arg-type]
    await store.links.count_fetches({(link.id, "2025-11-20", "bot"): 2, (99, "x", "bot"): 1})
    await store.links.count_fetches({})
    rows = ask_file(store.db.path, "select day, kind, count from link_fetches order by kind")
    assert rows == [("2025-11-20", "bot", 5), ("2025-11-20", "preview", 1)]


async def test_the_report_tells_people_from_programs_and_days_in_shanghai(store: Store) -> None:
    link, other = await made(store), await made(store, campaign="other")
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    mei = await store.members.meet(CHANNEL, MEI, NOW)
    midnight = 1_763_654_400.0  # 2025-11-21, 00:00 in Shanghai
    await store.events.add(
        [
            click(link, 1, midnight - 0.5, member_id=lin.id),
            click(link, 2, midnight, member_id=lin.id),
            click(link, 3, midnight + 9, member_id=mei.id),
            click(link, 4, midnight + 3 * DAY_S),
            click(link, 5, midnight + 1),
            click(other, 6),
            click(link, 7, kind="purchase"),
        ],
        NOW,
    )
    await store.links.count_fetches({(link.id, "2025-11-20", "bot"): 2})
    report = await store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.people, report.members) == (5, 4, 2)
    assert report.by_day == (("2025-11-20", 1), ("2025-11-21", 3), ("2025-11-24", 1))
    assert (report.bots, report.previews) == (2, 0)
    assert report.last_at == midnight + 3 * DAY_S


@pytest.mark.parametrize("rounds", ["at", "round(at)"])
def test_a_second_is_whole_whether_the_database_cuts_or_rounds(rounds: str) -> None:
    """One casts 86399.5 to 86399, another to 86400, which is another day."""
    whole = _WHOLE.replace("cast(at as", f"cast({rounds} as")
    assert whole != _WHOLE or rounds == "at"
    with closing(sqlite3.connect(":memory:")) as conn:
        for at in (0.0, 0.5, 86_399.4, 86_399.5, 86_399.999, 86_400.0, NOW, NOW + 0.75):
            found = conn.execute(f"select {whole} from (select ? as at)", (at,)).fetchone()
            assert found == (int(at),)


async def test_a_second_tap_makes_neither_clicks_nor_people(store: Store) -> None:
    link = await made(store)
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    taps = [
        click(link, 1),
        click(link, 2, kind="view", data='{"again": "1"}'),
        click(link, 3, member_id=lin.id),
        click(link, 4, kind="view", member_id=lin.id),
    ]
    await store.events.add(taps, NOW)
    report = await store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.people, report.members) == (2, 2, 1)
    await store.events.add([NewEvent("b", "purchase", NOW, lin.id, click="2")], NOW)
    report = await store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.people, report.members) == (2, 1, 1)


async def test_a_link_that_nobody_opened_has_an_empty_report(store: Store) -> None:
    link = await made(store)
    report = await store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.people, report.members, report.by_day) == (0, 0, 0, ())
    assert report.last_at is None
    assert await store.links.report(link.id + 1) is None


async def test_forgetting_a_member_keeps_the_figures(store: Store) -> None:
    link = await made(store)
    lin = await store.members.meet(CHANNEL, LIN, NOW)
    await store.events.add([click(link, 1, member_id=lin.id)], NOW)
    await store.members.erase(lin.id, 0.0)
    report = await store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.members) == (1, 0)
