"""The visitor's side of a link, over real HTTP: where they get to, and what is remembered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from store.catalogue import Item
from store.events import NewEvent
from store.links import Link
from tests.bot.links_world import PAY, SHOP, Desk, number_of, open_desk
from tests.bot.test_visitors import CHROME, WECHAT
from tests.bot.wechat_world import LIN
from tests.store.rows import Held, ask_file, change_file


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


# A person


async def test_a_click_leads_on_and_is_remembered_with_all_its_link_says(desk: Desk) -> None:
    link = await desk.link(campaign="双十一", variant="b", source="campaign", ref="c:9")
    there = await desk.opens(link)
    number = number_of(there)
    assert there == f"{SHOP}?zq={number}"
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", number)
    (event,) = await desk.events()
    assert (event.event_id, event.kind, event.at) == (f"click:{number}", "click", desk.clock.at)
    assert (event.member_id, event.who) == (None, f"click:{number}")
    assert (event.item_id, event.link_id) == ("py-101", link.id)
    assert (event.campaign, event.variant) == ("双十一", "b")
    assert (event.source, event.ref) == ("campaign", "c:9")


async def test_a_members_link_says_whose_click_it_is(desk: Desk) -> None:
    member = await desk.store.members.meet("mp", LIN, desk.clock())
    await desk.opens(await desk.link(), member.id)
    (event,) = await desk.events()
    assert (event.member_id, event.who) == (member.id, "")


async def test_a_forgotten_members_link_still_leads_on(desk: Desk) -> None:
    member = await desk.store.members.meet("mp", LIN, desk.clock())
    link = await desk.link()
    await desk.store.members.erase(member.id, 0.0)
    await desk.opens(link, member.id)
    await desk.opens(link, member.id + 99)
    assert [(event.member_id, event.kind) for event in await desk.events()] == [(None, "click")] * 2


async def test_the_number_joins_the_query_and_leaves_the_fragment(desk: Desk) -> None:
    there = await desk.opens(await desk.link(item_id="", url=PAY))
    assert there == f"https://pay.example.com/how?a=1&zq={number_of(there)}#top"


async def test_without_a_parameter_the_address_stays(tmp_path: Path) -> None:
    async with open_desk(tmp_path, click_param="") as desk:
        assert await desk.opens(await desk.link()) == SHOP
        assert len(await desk.events()) == 1


async def test_nothing_keeps_the_answer_or_learns_the_link(desk: Desk) -> None:
    response = await desk.get(desk.linker.url_for(await desk.link()))
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert "Set-Cookie" not in response.headers


async def test_nothing_of_the_request_gets_into_the_target(desk: Desk) -> None:
    url = desk.linker.url_for(await desk.link())
    for tail in ("?u=https://evil.example", "?zq=FORGED&next=//evil", "?from=timeline#x", "?"):
        desk.clock.at += 60
        headers = {"Host": "evil.example", "Referer": "https://evil.example"}
        there = (await desk.get(url + tail, **headers)).headers["Location"]
        assert there == f"{SHOP}?zq={number_of(there)}"
        assert "FORGED" not in there


async def test_two_clicks_in_two_seconds_are_one(desk: Desk) -> None:
    link = await desk.link()
    numbers = [number_of(await desk.opens(link))]
    desk.clock.at += 1.9
    numbers.append(number_of(await desk.opens(link)))
    numbers.append(number_of(await desk.opens(link, agent=CHROME + " Edg/131")))
    desk.clock.at += 0.2
    numbers.append(number_of(await desk.opens(link)))
    assert len(set(numbers)) == 4, "each way to the shop has a number of its own"
    report = await desk.report(link)
    assert (report.clicks, report.people) == (3, 3)
    kinds = {one.event_id: one.kind for one in await desk.store.events.page()}
    assert [kinds[f"click:{number}"] for number in numbers] == ["click", "view", "click", "click"]


async def test_a_members_second_tap_is_the_same_click_of_theirs(desk: Desk) -> None:
    member = await desk.store.members.meet("mp", LIN, desk.clock())
    link = await desk.link()
    first, second = [number_of(await desk.opens(link, member.id)) for _ in range(2)]
    report = await desk.report(link)
    assert (report.clicks, report.people, report.members) == (1, 1, 1)
    bought = NewEvent("b", "purchase", desk.clock(), click=second)
    await desk.store.events.add([bought], desk.clock())
    assert {one.member_id for one in await desk.store.events.page()} == {member.id}
    assert first != second


async def test_two_people_behind_one_address_are_told_apart_when_they_buy(desk: Desk) -> None:
    """Same network, same phone, same moment: only what follows says that they are two."""
    link = await desk.link(campaign="spring")
    numbers = [number_of(await desk.opens(link, agent=WECHAT)) for _ in range(2)]
    assert (await desk.report(link)).clicks == 1
    people = [(await desk.store.members.meet("mp", one, desk.clock())).id for one in ("oA", "oB")]
    for number, openid in zip(numbers, ("oA", "oB"), strict=True):
        bought = NewEvent(
            openid, "purchase", desk.clock(), channel="mp", openid=openid, click=number
        )
        await desk.store.events.add([bought], desk.clock())
    report = await desk.report(link)
    assert (report.clicks, report.people, report.members) == (2, 2, 2)
    whose = {one.event_id: one.member_id for one in await desk.store.events.page()}
    assert [whose[f"click:{number}"] for number in numbers] == people


# Links that lead nowhere


async def test_a_forged_or_unknown_token_gets_a_page_and_no_redirect(desk: Desk) -> None:
    link = await desk.link()
    token = desk.linker.signer.token(link.id)
    for path in (
        "/r/",
        "/r/x",
        f"/r/{token[:-1]}",
        f"/r/{token}A",
        f"/r/{token}/",
        f"/r/{token}/x",
        f"/r/{token}/back/",
        f"/r//{token}",
        "/r/" + "A" * 7000,
        "/r/https://evil.example",
        "/r/%2F%2Fevil.example",
        f"/r/{desk.linker.signer.token(link.id + 1)}",
    ):
        response = await desk.get(path)
        assert response.status == 404, path
        assert "Location" not in response.headers
        assert response.content_type == "text/html"
        assert "链接无效" in await response.text()
        assert "evil" not in await response.text()
    assert await desk.events() == []


async def test_an_escaped_spelling_of_a_good_token_is_refused(desk: Desk) -> None:
    token = desk.linker.signer.token((await desk.link()).id)
    host, port = desk.linker.public_url.removeprefix("http://").split(":")
    for path in (
        f"/r/%{ord(token[0]):02X}{token[1:]}",
        f"/%72/{token}",
        f"/r/{token}%00",
        f"http://evil.example/r/{token}",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {CHROME}\r\nConnection: close\r\n\r\n"
            .encode()
        )  # fmt: skip
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404"), path
        assert b"Location" not in answer


async def page_of(desk: Desk, link: Link) -> tuple[int, str]:
    response = await desk.get(desk.linker.url_for(link))
    assert "Location" not in response.headers
    return response.status, await response.text()


async def test_an_archived_item_says_so(desk: Desk) -> None:
    link = await desk.link()
    await desk.store.catalogue.archive("py-101", desk.clock())
    status, text = await page_of(desk, link)
    assert (status, "内容已下架" in text) == (410, True)


async def test_revoked_and_expired_links_say_so(desk: Desk) -> None:
    revoked = await desk.link()
    await desk.opens(revoked)
    await desk.linker.revoke(revoked.id, "cli")
    expiring = await desk.link(expires_at=desk.clock() + 60)
    await desk.opens(expiring)
    desk.clock.at += 60
    for link in (revoked, expiring):
        status, text = await page_of(desk, link)
        assert (status, "链接已失效" in text) == (410, True)


async def test_a_host_that_left_the_list_ends_its_links(desk: Desk) -> None:
    link = await desk.link(item_id="", url=PAY)
    await desk.opens(link)
    await desk.open(hosts=())
    status, text = await page_of(desk, link)
    assert (status, "链接已失效" in text) == (410, True)


async def test_an_item_that_moves_takes_its_visitors_along(desk: Desk) -> None:
    link = await desk.link()
    await desk.opens(link)
    moved = Item(id="py-101", kind="course", title="Python", url="https://new.example.com/")
    await desk.store.catalogue.put([moved], desk.clock())
    await desk.linker.prepare({}, [moved])
    assert (await desk.opens(link)).startswith("https://new.example.com/?zq=")


async def test_only_reading_is_allowed(desk: Desk) -> None:
    url = desk.linker.url_for(await desk.link())
    assert (await desk.get(url, method="POST")).status == 405


# Programs


@pytest.mark.parametrize(
    ("agent", "headers", "kind"),
    [
        ("curl/8.5.0", {}, "bots"),
        ("", {}, "bots"),
        ("Mozilla/5.0 (compatible; Baiduspider/2.0)", {}, "bots"),
        ("WeChatShareExtensionNew/8.0 CFNetwork/1496 Darwin/23", {}, "previews"),
        (CHROME, {"Sec_Purpose": "prefetch"}, "previews"),
    ],
)
async def test_programs_are_led_on_and_counted_apart(
    desk: Desk, agent: str, headers: dict[str, str], kind: str
) -> None:
    link = await desk.link()
    assert await desk.opens(link, 0, agent, **headers) == SHOP
    await desk.opens(link, 0, agent, **headers)
    report = await desk.report(link)
    assert (report.clicks, report.previews + report.bots, getattr(report, kind)) == (0, 2, 2)


async def test_head_is_a_look_and_no_click(desk: Desk) -> None:
    link = await desk.link()
    response = await desk.get(desk.linker.url_for(link), method="HEAD")
    assert (response.status, response.headers["Location"]) == (302, SHOP)
    assert (await desk.report(link)).previews == 1


async def test_a_flood_is_a_program_whatever_it_calls_itself(tmp_path: Path) -> None:
    async with open_desk(tmp_path, flood_per_s=5) as desk:
        link = await desk.link()
        for n in range(12):
            await desk.opens(link, agent=f"{CHROME} {n}", X_Forwarded_For="203.0.113.9")
        await desk.opens(link, X_Forwarded_For="203.0.113.10")
        report = await desk.report(link)
        assert (report.clicks, report.bots) == (6, 7)


async def test_a_proxy_that_hides_the_visitors_is_told_of_once(tmp_path: Path) -> None:
    async with open_desk(tmp_path, flood_per_s=2) as desk:
        link = await desk.link()
        with structlog.testing.capture_logs() as logs:
            for n in range(5):
                await desk.opens(link, agent=f"{CHROME} {n}")
            for n in range(5):
                await desk.opens(link, agent=f"{CHROME} {n}", X_Forwarded_For="8.8.8.8")
        assert [line["event"] for line in logs] == ["visitors_without_address"]


async def test_fetches_are_counted_under_the_day_in_shanghai(desk: Desk) -> None:
    link = await desk.link()
    desk.clock.at = 1_763_654_400.0 - 0.5  # 2025-11-20, just before midnight in Shanghai
    await desk.opens(link, agent="curl/8")
    desk.clock.at += 1
    await desk.opens(link, agent="curl/8")
    await desk.events()
    rows = ask_file(desk.store.db.path, "select day, count from link_fetches order by day")
    assert rows == [("2025-11-20", 1), ("2025-11-21", 1)]


# The disk


async def test_no_visitor_waits_for_the_disk(desk: Desk) -> None:
    link = await desk.link()
    await desk.opens(link)
    held = Held(desk.store.db)
    await held.started()
    try:
        for n in range(9):
            await asyncio.wait_for(desk.opens(link, agent=f"{CHROME} {n}"), 5)
    finally:
        held.release()
        await held.done
    assert len(await desk.events()) == 10


async def test_a_store_that_refuses_costs_one_line_and_no_visitor(desk: Desk) -> None:
    link = await desk.link()
    await desk.opens(link, agent="curl/8")
    await desk.store.close()
    with structlog.testing.capture_logs() as logs:
        for n in range(5):
            there = await desk.opens(link, agent=f"{CHROME} {n}")
            assert number_of(there)
        await desk.opens(link, agent="curl/8")
        await desk.redirect.close()
    told = [line["event"] for line in logs]
    assert told == ["clicks_not_stored", "clicks_lost"]
    assert logs[1]["clicks"] == 5


async def test_what_the_store_refused_for_a_while_is_written_in_the_end(desk: Desk) -> None:
    link = await desk.link()
    change_file(desk.store.db.path, "alter table events rename to elsewhere")
    with structlog.testing.capture_logs() as logs:
        there = [await desk.opens(link, agent=f"{CHROME} {n}") for n in range(3)]
        await desk.opens(link, agent="curl/8")
        async with asyncio.timeout(5):
            while not any(line["event"] == "clicks_not_stored" for line in logs):
                await asyncio.sleep(0.002)
        change_file(desk.store.db.path, "alter table elsewhere rename to events")
        events = {event.event_id for event in await desk.events()}
    assert events == {f"click:{number_of(one)}" for one in there}
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["clicks_not_stored"], "said once, and nothing was lost"
    assert (await desk.report(link)).bots == 1


async def test_a_link_that_cannot_be_read_asks_to_come_again(desk: Desk) -> None:
    link = await desk.link()
    await desk.store.close()
    response = await desk.get(desk.linker.url_for(link))
    assert (response.status, "Location" in response.headers) == (503, False)


async def test_a_stop_writes_what_is_waiting(desk: Desk) -> None:
    link = await desk.link()
    for n in range(30):
        await desk.opens(link, agent=f"{CHROME} {n}", X_Forwarded_For=f"203.0.113.{n}")
    await desk.opens(link, agent="curl/8")
    await desk.redirect.close()
    report = await desk.store.links.report(link.id)
    assert report is not None
    assert (report.clicks, report.bots) == (30, 1)


async def test_without_oauth_wechats_own_browser_goes_straight_on(desk: Desk) -> None:
    assert (await desk.opens(await desk.link(), agent=WECHAT)).startswith(SHOP)
