"""The page of a long answer: what everybody may read, and nothing else."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bot.answer_pages import AnswerPages
from bot.links import Signer
from store.catalogue import Chapter, Item
from store.documents import StoredPassage
from tests.handlers.conftest import item

UGLY = '<script>alert("x")</script> & https://shop.example/a?b=1&c=2。'


@dataclass
class Told:
    answers: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, Item] = field(default_factory=dict)
    passages: Mapping[str, StoredPassage] = field(default_factory=dict)


@dataclass
class Keys:
    public_url: str = "https://bot.example/"
    signer: Signer = field(default_factory=lambda: Signer(b"k" * 32))


class Site:
    """Pages behind a real server. told, keys: as the bot has them."""

    def __init__(self) -> None:
        self.told = Told(
            {"faq:1": "七天内可以全额退款。\n联系 https://shop.example/help 即可。", "faq:2": UGLY},
            {
                "item:py": item("py", "Python <入门>", chapters=(Chapter("1", "变量"),)),
                "item:vip": item("vip", "闭门课", needs_tier="paid-monthly"),
            },
            {"doc:3": StoredPassage(3, 1, "a.md", "学员手册", "退款", "写明原因。", None)},
        )
        self.keys = Keys()
        self.pages = AnswerPages(self.told, self.keys, business="知行社")
        self.base = ""
        self.http: aiohttp.ClientSession | None = None

    async def get(self, path: str, method: str = "GET") -> tuple[int, str, Mapping[str, str]]:
        assert self.http is not None
        url = URL(self.base + path.removeprefix("https://bot.example"), encoded=True)
        async with self.http.request(method, url, allow_redirects=False) as response:
            return response.status, await response.text(), response.headers

    def path(self, name: str) -> str:
        url = self.pages.url_for(name)
        assert url.startswith("https://bot.example/a/")
        return url.removeprefix("https://bot.example")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    app.add_routes(made.pages.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as made.http:
        yield made
    await runner.cleanup()


async def test_an_answer_is_shown_whole_and_its_addresses_lead_on(site: Site) -> None:
    status, page, headers = await site.get(site.path("faq:1"))
    assert status == 200
    assert "七天内可以全额退款。\n联系 <a href=" in page
    assert '<a href="https://shop.example/help" rel="noreferrer">' in page
    assert "<h1>知行社</h1>" in page
    assert headers["Content-Type"] == "text/html; charset=utf-8"


async def test_what_an_operator_typed_is_never_read_as_html(site: Site) -> None:
    _, page, _ = await site.get(site.path("faq:2"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; " in page
    assert 'href="https://shop.example/a?b=1&amp;c=2"' in page


async def test_passages_and_items_are_shown_with_what_they_are_called(site: Site) -> None:
    _, page, _ = await site.get(site.path("doc:3"))
    assert "<h1>学员手册 · 退款</h1>\n<p>写明原因。</p>" in page
    _, page, _ = await site.get(site.path("item:py"))
    assert "<h1>Python &lt;入门&gt;</h1>" in page
    assert "变量" in page


async def test_the_page_is_kept_for_minutes_and_tells_nobody_where_one_comes_from(
    site: Site,
) -> None:
    _, _, headers = await site.get(site.path("faq:1"))
    assert headers["Cache-Control"] == "public, max-age=300"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "Set-Cookie" not in headers


async def test_head_is_answered(site: Site) -> None:
    status, page, _ = await site.get(site.path("faq:1"), "HEAD")
    assert (status, page) == (200, "")


async def test_an_answer_that_changed_is_shown_as_it_is_and_one_that_is_gone_is_not(
    site: Site,
) -> None:
    path = site.path("faq:1")
    site.told.answers = {"faq:1": "改成十四天。"}
    assert "改成十四天。" in (await site.get(path))[1]
    site.told.answers = {}
    status, page, headers = await site.get(path)
    assert (status, headers["Cache-Control"]) == (404, "no-store")
    assert "十四天" not in page
    assert site.pages.url_for("faq:1") == ""


async def test_what_a_tier_pays_for_has_no_page(site: Site) -> None:
    assert site.pages.url_for("item:vip") == ""
    path = site.path("item:py")
    site.told.items = {"item:py": item("py", "Python", needs_tier="paid-monthly")}
    assert (await site.get(path))[0] == 404


@pytest.mark.parametrize(
    ("gate", "closed"),
    [
        ("faq", {"faq:1", "doc:3"}),
        ("faq.passage", {"doc:3"}),
        ("content", {"item:py"}),
        ("quiz", set()),
    ],
)
def test_a_gated_handlers_answers_have_no_page(gate: str, closed: set[str]) -> None:
    site = Site()
    pages = AnswerPages(site.told, site.keys, business="", gates={gate: "paid-monthly"})
    named = {"faq:1", "doc:3", "item:py"}
    assert {one for one in named if not pages.url_for(one)} == closed


def test_without_a_public_address_there_are_no_pages() -> None:
    site = Site()
    site.keys.public_url = ""
    assert site.pages.url_for("faq:1") == ""
    for name in ("", "faq:99", "tag:写作", "about.points_get", "item:" + "长" * 99):
        assert Site().pages.url_for(name) == ""


async def test_a_token_of_somebody_elses_making_opens_nothing(site: Site) -> None:
    path = site.path("faq:1")
    token = path.removeprefix("/a/")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = base64.urlsafe_b64encode(raw[:10] + b"faq:2").decode().rstrip("=")
    other = AnswerPages(site.told, Keys(signer=Signer(b"x" * 32)), business="")
    for bad in (
        *(forged, token[:-1], token + "A", token + "=", token.swapcase(), "A" * 20, "A" * 201),
        *(other.url_for("faq:1").rpartition("/")[2], "", "..", f"{token}/x", f"x/{token}"),
        *(token[:-1] + f"%{ord(token[-1]):02X}", "%00", "%ff%fe", "a" * 8000),
    ):
        status, page, _ = await site.get(f"/a/{bad}")
        assert status in (400, 404), bad
        assert "七天" not in page
    assert (await site.get(path + "?from=timeline"))[0] == 200


async def test_a_links_token_is_no_pages(site: Site) -> None:
    token = site.keys.signer.token(1, 2)
    assert (await site.get(f"/a/{token}"))[0] == 404


@given(st.text(min_size=1, max_size=40), st.text(max_size=60))
def test_every_item_with_a_page_is_found_by_its_token(name: str, answer: str) -> None:
    told = Told({f"faq:{name}": answer})
    pages = AnswerPages(told, Keys(), business="")
    try:
        f"faq:{name}".encode()
    except UnicodeEncodeError:
        return
    url = pages.url_for(f"faq:{name}")
    if len(f"faq:{name}".encode()) > 128:
        assert url == ""
    else:
        assert pages._read(url.rpartition("/")[2]) == f"faq:{name}"
