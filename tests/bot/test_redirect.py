"""The visitor's side of a link, over real HTTP: where they get to, and what is remembered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
import structlog
from aiohttp import web

from bot.links import Linker
from bot.oauth import CodeExchange, OAuth
from bot.redirect import PAUSE_S, Redirect
from bot.rules import Secret
from sandbox.fake_oauth import AUTHORIZE, COOKIE
from sandbox.fake_wechat import FakeWeChat
from store import Store
from store.catalogue import Item
from store.events import Event
from store.links import Link, Report
from tests.bot.test_visitors import CHROME, WECHAT
from tests.bot.wechat_world import APP_ID, LIN, SECRET, Clock, open_world
from tests.store.rows import Held, ask_file, change_file

SHOP = "https://shop.example.com/py"
PAY = "https://pay.example.com/how?a=1#top"
Headers = dict[str, str]


class Desk:
    """A bot's links behind a real server, and browsers that open them."""

    def __init__(self, store: Store, clock: Clock, http: aiohttp.ClientSession) -> None:
        self.store = store
        self.clock = clock
        self.http = http
        self.linker = self._linker(("pay.example.com",))
        self.redirect = Redirect(store, self.linker, now=clock)
        self._runner: web.AppRunner | None = None

    def _linker(self, hosts: Sequence[str]) -> Linker:
        return Linker(self.store, public_url="-", allowed_hosts=hosts, now=self.clock)

    async def open(self, hosts: Sequence[str] = ("pay.example.com",), **settings: Any) -> None:
        """Serve; again with other settings, as a restart would."""
        await self.close()
        self.linker = self._linker(hosts)
        await self.linker.open()
        self.redirect = Redirect(self.store, self.linker, now=self.clock, **settings)
        app = web.Application()
        app.add_routes(self.redirect.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.linker.public_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self.redirect.close()

    async def link(self, **wanted: Any) -> Link:
        return (await self.linker.create(**{"item_id": "py-101", **wanted}, by="cli")).link

    async def get(
        self, url: str, agent: str = CHROME, method: str = "GET", **headers: str
    ) -> aiohttp.ClientResponse:
        """One request, no redirect followed; `url` may be a path."""
        if url.startswith("/"):
            url = self.linker.public_url + url
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.request(
            method, url, headers={"User-Agent": agent, **named}, allow_redirects=False
        )
        await response.read()
        return response

    async def opens(self, link: Link, member_id: int = 0, agent: str = CHROME, **h: str) -> str:
        """Where somebody who opens a link gets to."""
        response = await self.get(self.linker.url_for(link, member_id), agent, **h)
        assert response.status == 302
        return response.headers["Location"]

    async def events(self) -> list[Event]:
        """Every event, once all that waits is written."""
        await self.redirect.close()
        return await self.store.events.page()

    async def report(self, link: Link) -> Report:
        await self.events()
        report = await self.store.links.report(link.id)
        assert report is not None
        return report


@asynccontextmanager
async def open_desk(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Desk, FakeWeChat]]:
    async with open_world(tmp_path) as world:
        item = Item(id="py-101", kind="course", title="Python", url=SHOP)
        await world.store.catalogue.put([item], world.clock())
        desk = Desk(world.store, world.clock, world.session)
        if settings.pop("oauth", False):
            exchange = CodeExchange(
                APP_ID, Secret(SECRET), session=world.session, api_base=world.fake.api_base
            )
            settings["oauth"] = OAuth("mp", APP_ID, world.fake.api_base, exchange)
        await desk.open(**settings)
        yield desk, world.fake
        await desk.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as (desk, _):
        yield desk


def number_of(location: str) -> str:
    """The click's number in an address; "" without one."""
    return dict(parse_qsl(urlsplit(location).query)).get("zq", "")


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
    await desk.store.members.erase(member.id)
    await desk.opens(link, member.id)
    await desk.opens(link, member.id + 99)
    assert [(event.member_id, event.kind) for event in await desk.events()] == [(None, "click")] * 2


async def test_the_number_joins_the_query_and_leaves_the_fragment(desk: Desk) -> None:
    there = await desk.opens(await desk.link(item_id="", url=PAY))
    assert there == f"https://pay.example.com/how?a=1&zq={number_of(there)}#top"


async def test_without_a_parameter_the_address_stays(tmp_path: Path) -> None:
    async with open_desk(tmp_path, click_param="") as (desk, _):
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
    first = await desk.opens(link)
    desk.clock.at += 1.9
    assert await desk.opens(link) == first
    assert await desk.opens(link, agent=CHROME + " Edg/131") != first
    desk.clock.at += 0.2
    assert await desk.opens(link) != first
    assert len(await desk.events()) == 3


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
    desk: Desk, agent: str, headers: Headers, kind: str
) -> None:
    link = await desk.link()
    assert await desk.opens(link, agent=agent, **headers) == SHOP
    await desk.opens(link, agent=agent, **headers)
    report = await desk.report(link)
    assert (report.clicks, report.previews + report.bots, getattr(report, kind)) == (0, 2, 2)


async def test_head_is_a_look_and_no_click(desk: Desk) -> None:
    link = await desk.link()
    response = await desk.get(desk.linker.url_for(link), method="HEAD")
    assert (response.status, response.headers["Location"]) == (302, SHOP)
    assert (await desk.report(link)).previews == 1


async def test_a_flood_is_a_program_whatever_it_calls_itself(tmp_path: Path) -> None:
    async with open_desk(tmp_path, flood_per_s=5) as (desk, _):
        link = await desk.link()
        for n in range(12):
            await desk.opens(link, agent=f"{CHROME} {n}", X_Forwarded_For="203.0.113.9")
        await desk.opens(link, X_Forwarded_For="203.0.113.10")
        report = await desk.report(link)
        assert (report.clicks, report.bots) == (6, 7)


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
    await desk.opens(link)
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
            while not logs:
                await asyncio.sleep(0.002)
        change_file(desk.store.db.path, "alter table elsewhere rename to events")
        events = {event.event_id for event in await desk.events()}
    assert events == {f"click:{number_of(one)}" for one in there}
    assert [line["event"] for line in logs] == ["clicks_not_stored", "clicks_stored_again"]
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


# 网页授权


@pytest.fixture
async def wechat(tmp_path: Path) -> AsyncIterator[tuple[Desk, FakeWeChat]]:
    async with open_desk(tmp_path, oauth=True) as (desk, fake):
        yield desk, fake


async def journey(desk: Desk, url: str, openid: str = LIN) -> list[str]:
    """Every address a person in WeChat passes on from `url`, until one of the shop's."""
    passed = []
    for _ in range(6):
        response = await desk.http.get(
            url,
            headers={"User-Agent": WECHAT, "Cookie": f"{COOKIE}={openid}"},
            allow_redirects=False,
        )
        if response.status != 302:
            break
        url = response.headers["Location"]
        passed.append(url)
        if not url.startswith("http://127.0.0.1"):
            break
    return passed


def stages(passed: Sequence[str]) -> list[str]:
    """What the addresses of a journey are: wechat, back, shop."""
    return [
        "wechat" if AUTHORIZE in url else "back" if "/back?" in url else "shop" for url in passed
    ]


async def test_a_campaigns_link_learns_in_wechat_who_opens_it(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, _ = wechat
    link = await desk.link(campaign="双十一", source="campaign")
    passed = await journey(desk, desk.linker.url_for(link))
    assert stages(passed) == ["wechat", "back", "shop"]
    assert passed[0].endswith("#wechat_redirect")
    (event,) = await desk.events()
    member = await desk.store.members.meet("mp", LIN, 0.0)
    assert (event.member_id, member.fresh) == (member.id, False)
    assert event.event_id == f"click:{number_of(passed[-1])}"
    assert passed[-1].startswith(SHOP)


async def test_a_known_member_stays_who_they_are(wechat: tuple[Desk, FakeWeChat]) -> None:
    desk, _ = wechat
    known = await desk.store.members.meet("mp", LIN, 0.0)
    await journey(desk, desk.linker.url_for(await desk.link()))
    assert [event.member_id for event in await desk.events()] == [known.id]


async def test_the_back_page_opened_again_is_the_same_click(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, fake = wechat
    passed = await journey(desk, desk.linker.url_for(await desk.link()))
    for _ in range(3):
        desk.clock.at += 100
        again = await journey(desk, passed[1])
        assert again == passed[2:]
    (event,) = await desk.events()
    assert event.member_id is not None
    assert fake.calls["/sns/oauth2/access_token"] == 1


async def test_two_journeys_in_two_seconds_are_one_click(wechat: tuple[Desk, FakeWeChat]) -> None:
    desk, _ = wechat
    url = desk.linker.url_for(await desk.link())
    first, second = await journey(desk, url), await journey(desk, url)
    assert first[-1] == second[-1]
    assert len(await desk.events()) == 1


@pytest.mark.parametrize(
    ("agent", "member_id"),
    [
        (CHROME, 0),
        (WECHAT, 7),
        (WECHAT + " wxwork/4.1", 0),
        (WECHAT + " miniProgram/wx0", 0),
    ],
)
async def test_nobody_else_is_sent_to_wechat(
    wechat: tuple[Desk, FakeWeChat], agent: str, member_id: int
) -> None:
    desk, _ = wechat
    assert (await desk.opens(await desk.link(), member_id, agent)).startswith(SHOP)


async def test_previews_are_not_sent_to_wechat(wechat: tuple[Desk, FakeWeChat]) -> None:
    desk, _ = wechat
    link = await desk.link()
    assert await desk.opens(link, agent=WECHAT, Purpose="prefetch") == SHOP
    response = await desk.get(desk.linker.url_for(link), WECHAT, method="HEAD")
    assert response.headers["Location"] == SHOP


async def test_without_a_channel_wechats_browser_goes_straight_on(desk: Desk) -> None:
    assert (await desk.opens(await desk.link(), agent=WECHAT)).startswith(SHOP)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=abc",
        "state=abc",
        "code=abc&state=" + "0" * 72,
        "code=&state=STATE",
        "code=a%26secret%3Dx&state=STATE",
        "state=STATE",
        "code=never-issued&state=STATE",
        "code=abc&state=STATE&state=other",
        "code=abc&code=def&redirect_uri=https://evil.example&state=STATE",
    ],
)
async def test_whatever_comes_back_leads_to_the_target_without_a_member(
    wechat: tuple[Desk, FakeWeChat], query: str
) -> None:
    desk, _ = wechat
    url = desk.linker.url_for(await desk.link())
    state = dict(parse_qsl(urlsplit((await desk.get(url, WECHAT)).headers["Location"]).query))
    response = await desk.get(f"{url}/back?{query.replace('STATE', state['state'])}", WECHAT)
    assert response.headers["Location"].startswith(f"{SHOP}?zq=")
    (event,) = await desk.events()
    assert (event.member_id, event.kind) == (None, "click")


async def test_a_state_of_another_link_or_hour_names_nobody(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, fake = wechat
    one, other = await desk.link(), await desk.link(campaign="x")
    there = (await desk.get(desk.linker.url_for(one), WECHAT)).headers["Location"]
    state = dict(parse_qsl(urlsplit(there).query))["state"]
    tail = f"/back?code={fake.oauth.issue(LIN)}&state={state}"
    await desk.get(desk.linker.url_for(other) + tail, WECHAT)
    desk.clock.at += 601
    await desk.get(desk.linker.url_for(one) + tail, WECHAT)
    assert [event.member_id for event in await desk.events()] == [None, None]
    assert fake.calls["/sns/oauth2/access_token"] == 0


async def test_the_back_page_of_a_members_link_asks_nobody(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, fake = wechat
    member = await desk.store.members.meet("mp", LIN, 0.0)
    url = desk.linker.url_for(await desk.link(), member.id)
    await desk.get(f"{url}/back?code={fake.oauth.issue('o_other')}&state=x", WECHAT)
    assert [event.member_id for event in await desk.events()] == [member.id]


@pytest.mark.parametrize("fault", ["api_down", "api_drop", "errors"])
async def test_a_wechat_that_fails_is_left_alone_for_a_minute(
    wechat: tuple[Desk, FakeWeChat], fault: str
) -> None:
    desk, fake = wechat
    if fault == "errors":
        fake.api_errors["/sns/oauth2/access_token"] = [40125]
    else:
        setattr(fake, fault, True)
    url = desk.linker.url_for(await desk.link())
    with structlog.testing.capture_logs() as logs:
        first = await journey(desk, url)
        desk.clock.at += 3
        second = await journey(desk, url)
    fake.api_down = fake.api_drop = False
    desk.clock.at += PAUSE_S
    third = await journey(desk, url)
    assert stages(first) == stages(third) == ["wechat", "back", "shop"]
    assert stages(second) == ["shop"]
    assert [event.member_id is None for event in await desk.events()] == [True, True, False]
    assert [line["event"] for line in logs] == ["oauth_paused"]
    assert SECRET not in str(logs)
    assert LIN not in str(logs)


async def test_one_visitors_bad_code_keeps_nobody_else_away(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, fake = wechat
    url = desk.linker.url_for(await desk.link())
    for errcode in (40029, 40163):
        fake.api_errors["/sns/oauth2/access_token"] = [errcode]
        assert stages(await journey(desk, url)) == ["wechat", "back", "shop"]
        desk.clock.at += 3
    assert stages(await journey(desk, url)) == ["wechat", "back", "shop"]
    assert [event.member_id is None for event in await desk.events()] == [True, True, False]


async def test_a_wechat_that_hangs_is_waited_for_briefly(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, fake = wechat
    exchange = CodeExchange(
        APP_ID, Secret(SECRET), session=desk.http, api_base=fake.api_base, timeout_s=0.1
    )
    await desk.open(oauth=OAuth("mp", APP_ID, fake.api_base, exchange))
    fake.api_hang_s = 5.0
    passed = await journey(desk, desk.linker.url_for(await desk.link()))
    assert stages(passed) == ["wechat", "back", "shop"]
    assert [event.member_id for event in await desk.events()] == [None]


async def test_a_stand_in_for_a_person_becomes_no_member(wechat: tuple[Desk, FakeWeChat]) -> None:
    desk, fake = wechat
    fake.oauth.snapshots.add(LIN)
    await journey(desk, desk.linker.url_for(await desk.link()))
    assert [event.member_id for event in await desk.events()] == [None]
    assert ask_file(desk.store.db.path, "select count(*) from members") == [(0,)]
