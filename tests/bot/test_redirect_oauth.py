"""网页授权 at a campaign's link, over the fake WeChat: who opened it, and never a dead end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog

from bot.oauth import CodeExchange, OAuth
from bot.redirect import PAUSE_S
from bot.rules import Secret
from sandbox.fake_oauth import AUTHORIZE, COOKIE
from sandbox.fake_wechat import FakeWeChat
from tests.bot.links_world import SHOP, Desk, number_of, open_wechat
from tests.bot.test_visitors import CHROME, WECHAT
from tests.bot.wechat_world import APP_ID, LIN, SECRET
from tests.store.rows import ask_file


@pytest.fixture
async def wechat(tmp_path: Path) -> AsyncIterator[tuple[Desk, FakeWeChat]]:
    async with open_wechat(tmp_path) as world:
        yield world


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
    link = await desk.link()
    url = desk.linker.url_for(link)
    first, second = await journey(desk, url), await journey(desk, url)
    assert number_of(first[-1]) != number_of(second[-1])
    report = await desk.report(link)
    assert (report.clicks, report.people, report.members) == (1, 1, 1)
    assert {event.member_id for event in await desk.events()} != {None}


async def test_two_people_behind_one_address_are_never_one(
    wechat: tuple[Desk, FakeWeChat],
) -> None:
    desk, _ = wechat
    link = await desk.link()
    url = desk.linker.url_for(link)
    openids = (LIN, "oTEST_mei")
    passed = [await journey(desk, url, openid) for openid in openids]
    whose = {event.event_id: event.member_id for event in await desk.events()}
    for openid, way in zip(openids, passed, strict=True):
        member = await desk.store.members.meet("mp", openid, 0.0)
        assert whose[f"click:{number_of(way[-1])}"] == member.id
    report = await desk.report(link)
    assert (report.clicks, report.people, report.members) == (2, 2, 2)


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
