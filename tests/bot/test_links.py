"""Tokens that cannot be forged, links that lead where they may, answers with links in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.links import BadLink, Linker, Signer
from store import Store
from store.catalogue import Item
from store.links import Link
from tests.blank import blank
from tests.bot.wechat_world import NOON, Clock
from tests.store.rows import Held, change_file

PUBLIC = "https://bot.example.com"
HOSTS = ("pay.example.com", ".school.example")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
IDS = st.integers(0, (1 << 63) - 1)
signer = Signer(bytes(range(32)))


def item(item_id: str = "py-101", url: str = "https://shop.example.com/py") -> Item:
    return Item(id=item_id, kind="course", title="Python 入门", url=url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    await store.catalogue.put([item()], NOON)
    yield store
    await store.close()


async def opened(
    store: Store, clock: Clock, public_url: str = PUBLIC, hosts: tuple[str, ...] = HOSTS
) -> Linker:
    linker = Linker(store, public_url=public_url, allowed_hosts=hosts, now=clock)
    await linker.open()
    return linker


@pytest.fixture
async def linker(store: Store, clock: Clock) -> Linker:
    return await opened(store, clock)


def read(linker: Linker, url: str) -> tuple[int, int]:
    """(link, member) of a tracked address; fails for any other."""
    assert url.startswith(f"{PUBLIC}/r/"), url
    found = linker.signer.read(url.removeprefix(f"{PUBLIC}/r/"))
    assert found is not None
    return found


async def link_of(linker: Linker, url: str) -> Link:
    target = await linker.find(read(linker, url)[0])
    assert target is not None
    return target.link


# Tokens


@given(IDS, IDS)
def test_a_token_reads_back_as_it_was_written(link_id: int, member_id: int) -> None:
    token = signer.token(link_id, member_id)
    assert signer.read(token) == (link_id, member_id)
    assert 16 <= len(token) <= 38


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.data())
def test_any_change_of_any_character_is_refused(
    link: int, member: int, data: st.DataObject
) -> None:
    token = signer.token(link, member)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda letter: letter != token[place]))
    assert signer.read(token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize(("link", "member"), [(1, 0), (1, 7), (300, 70_000), (200, 1)])
def test_every_single_change_of_one_token_is_refused(link: int, member: int) -> None:
    token = signer.token(link, member)
    for place in range(len(token)):
        for other in ALPHABET.replace(token[place], ""):
            assert signer.read(token[:place] + other + token[place + 1 :]) is None


@given(st.text(max_size=60))
def test_no_invented_text_is_a_token(text: str) -> None:
    assert signer.read(text) is None


@given(st.binary(max_size=40))
def test_no_invented_bytes_are_a_token(raw: bytes) -> None:
    import base64

    assert signer.read(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) is None


@pytest.mark.parametrize(
    "spell",
    [
        lambda token: token + "=",
        lambda token: token + "==",
        lambda token: token + "A",
        lambda token: token[:-1],
        lambda token: " " + token,
        lambda token: token + "\n",
        lambda token: token[:4] + "\n" + token[4:],
        lambda token: token.replace("-", "+").replace("_", "/") + ".",
        lambda token: token + "A" * 5000,
        lambda token: "".join(chr(ord(letter) + 0xFEE0) for letter in token),
    ],
)
def test_another_spelling_of_a_token_is_refused(spell: object) -> None:
    assert signer.read(spell(signer.token(12, 34))) is None  # type: ignore[operator]


def test_the_plus_and_slash_of_ordinary_base64_are_refused() -> None:
    tokens = [signer.token(n) for n in range(200)]
    for token in tokens:
        other = token.replace("-", "+").replace("_", "/")
        assert (signer.read(other) is None) == (other != token)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01",
        b"\x01\x00\x00",
        b"\x81\x00\x00",  # one, written with two bytes
        b"\x01\x80\x00",
        b"\x01\x80",  # cut off
        b"\xff" * 10 + b"\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",  # over 63 bits
    ],
)
def test_even_a_signed_payload_is_read_in_its_one_form_only(payload: bytes) -> None:
    from bot.links import _text

    assert signer.read(_text(payload + signer._mac(payload))) is None


def test_another_secret_reads_nothing() -> None:
    assert Signer(b"x" * 32).read(signer.token(1)) is None


def test_a_derived_key_signs_no_tokens() -> None:
    assert Signer(signer.derive("oauth-state")).read(signer.token(1)) is None
    assert signer.derive("a") != signer.derive("b")


async def test_the_secret_survives_a_restart(store: Store, linker: Linker, clock: Clock) -> None:
    token = linker.signer.token(5, 6)
    assert (await opened(store, clock)).signer.read(token) == (5, 6)


# Making links


async def test_an_items_link_and_an_allowed_address(linker: Linker) -> None:
    to_item = (await linker.create(item_id="py-101", campaign="双十一", by="key:k")).link
    to_page = (await linker.create(url="https://www.school.example/x", by="key:k")).link
    assert (to_item.item_id, to_item.url) == ("py-101", "")
    assert (to_page.item_id, to_page.url) == ("", "https://www.school.example/x")
    assert read(linker, linker.url_for(to_item)) == (to_item.id, 0)
    assert read(linker, linker.url_for(to_page, 7)) == (to_page.id, 7)


async def test_an_items_own_address_becomes_a_link_to_the_item(linker: Linker) -> None:
    made = await linker.create(url="https://shop.example.com/py", by="cli")
    assert (made.link.item_id, made.link.url) == ("py-101", "")
    again = await linker.create(item_id="py-101", by="cli")
    assert not again.fresh
    assert again.link.id == made.link.id


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "item"),
        ({"item_id": "py-101", "url": "https://pay.example.com"}, "item"),
        ({"item_id": "none"}, "item"),
        ({"item_id": "free"}, "item"),
        ({"item_id": "odd"}, "item"),
        ({"url": "https://evil.example/"}, "url"),
        ({"url": "https://shop.example.com/other"}, "url"),
        ({"url": "https://pay.example.com@evil.example/"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"item_id": "py-101", "source": "friend"}, "source"),
        ({"item_id": "py-101", "expires_at": NOON}, "expires_at"),
    ],
)
async def test_a_link_that_may_not_be_is_refused_with_its_reason(
    linker: Linker, store: Store, wanted: dict[str, str], field: str
) -> None:
    await store.catalogue.put([item("free", ""), item("odd", "javascript:alert(1)")], NOON)
    with pytest.raises(BadLink) as caught:
        await linker.create(**wanted, by="cli")  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.why
    assert await store.links.page() == []


async def test_an_operator_gets_a_link_or_a_word_about_it(linker: Linker, store: Store) -> None:
    url, problem = await linker.make_link("py-101", campaign="周末", by="member:3")
    assert (problem, (await link_of(linker, url)).campaign) == ("", "周末")
    assert await linker.make_link("py-101", campaign="周末", by="member:3") == (url, "")
    assert await linker.make_link("https://evil.example", by="member:3") == ("", "bad_url")
    assert await linker.make_link("py-999", by="member:3") == ("", "unknown_item")
    assert [row.actor for row in await store.audit.newest()] == ["member:3"]


async def test_without_a_public_url_there_are_plain_addresses(store: Store, clock: Clock) -> None:
    linker = await opened(store, clock, public_url="")
    await linker.prepare({"faq:1": "见 https://pay.example.com/x"}, [item()])
    assert await linker.to_item(item(), 7, "recommendation") == item().url
    assert (
        linker.in_text("见 https://pay.example.com/x", "faq:1", 7) == "见 https://pay.example.com/x"
    )
    assert await linker.make_link("py-101", by="member:3") == ("", "no_public_url")
    made = await linker.create(url="https://pay.example.com/x", by="cli")
    assert linker.url_for(made.link) == "https://pay.example.com/x"
    assert [link.url for link in await store.links.page()] == ["https://pay.example.com/x"]


# Links in the conversation


async def test_each_member_gets_a_link_of_their_own_and_all_share_a_row(
    linker: Linker, store: Store
) -> None:
    urls = await asyncio.gather(*[linker.to_item(item(), n, "recommendation") for n in range(9)])
    assert {read(linker, url)[1] for url in urls} == set(range(9))
    (link,) = await store.links.page()
    assert (link.item_id, link.source) == ("py-101", "recommendation")


async def test_who_recommends_is_told_apart(linker: Linker) -> None:
    links = [
        await link_of(linker, await linker.to_item(item(), 1, "answer", "faq:1")),
        await link_of(linker, await linker.to_item(item(), 1, "answer", "faq:2")),
        await link_of(linker, await linker.to_item(item(), 1, "catalogue")),
    ]
    assert [(link.source, link.ref) for link in links] == [
        ("answer", "faq:1"),
        ("answer", "faq:2"),
        ("catalogue", ""),
    ]


async def test_a_known_items_link_touches_no_database(linker: Linker, store: Store) -> None:
    before = await linker.to_item(item(), 1, "catalogue")
    await store.close()
    assert await linker.to_item(item(), 1, "catalogue") == before


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://用户@shop.example.com/"])
async def test_an_item_that_cannot_be_linked_keeps_its_address(linker: Linker, url: str) -> None:
    assert await linker.to_item(item(url=url), 1, "catalogue") == url


async def test_a_store_that_refuses_costs_the_tracking_and_not_the_answer(
    linker: Linker, store: Store
) -> None:
    await store.close()
    assert await linker.to_item(item(), 1, "catalogue") == item().url


ANSWER = (
    "报名：https://shop.example.com/py。付款看 https://pay.example.com/how?x=1（两步），"
    "别信 https://evil.example/py，也别信 https://shop.example.com/other"
)


async def test_known_addresses_in_an_answer_become_tracked_ones(linker: Linker) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    told = linker.in_text(ANSWER, "faq:1", 7)
    first, second = (part.rstrip("。") for part in told.split() if PUBLIC in part)
    second = second.partition("（")[0]
    first = first.partition("：")[2].partition("。")[0]
    to_item, to_page = await link_of(linker, first), await link_of(linker, second)
    assert (to_item.item_id, to_item.source, to_item.ref) == ("py-101", "answer", "faq:1")
    assert to_page.url == "https://pay.example.com/how?x=1"
    assert read(linker, first)[1] == read(linker, second)[1] == 7
    assert "别信 https://evil.example/py，也别信 https://shop.example.com/other" in told
    assert told.startswith("报名：https://bot.example.com/r/")


async def test_an_answer_that_was_not_prepared_stays_as_it_is(linker: Linker) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    assert linker.in_text(ANSWER, "faq:2", 7) == ANSWER
    assert linker.in_text("没有地址", "faq:1", 7) == "没有地址"


async def test_a_second_reload_writes_nothing(linker: Linker, store: Store, clock: Clock) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    told = linker.in_text(ANSWER, "faq:1", 7)
    held = Held(store.db)
    await held.started()
    try:
        await asyncio.wait_for(linker.prepare({"faq:1": ANSWER}, [item()]), 5)
        restarted = Linker(store, public_url=PUBLIC, allowed_hosts=HOSTS, now=clock)
        restarted.signer = linker.signer
        await asyncio.wait_for(restarted.prepare({"faq:1": ANSWER}, [item()]), 5)
    finally:
        held.release()
        await held.done
    assert linker.in_text(ANSWER, "faq:1", 7) == restarted.in_text(ANSWER, "faq:1", 7) == told
    assert len(await store.links.page()) == 2


async def test_an_answer_that_loses_its_item_loses_its_link(linker: Linker) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    await linker.prepare({"faq:1": ANSWER}, [])
    assert "https://shop.example.com/py。" in linker.in_text(ANSWER, "faq:1", 7)


async def test_a_reload_survives_a_store_that_refuses(linker: Linker, store: Store) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    told = linker.in_text(ANSWER, "faq:1", 7)
    await store.close()
    await linker.prepare({"faq:1": ANSWER, "faq:2": ANSWER}, [item()])
    assert linker.in_text(ANSWER, "faq:1", 7) == told
    assert linker.in_text(ANSWER, "faq:2", 7) == ANSWER


# Where a link leads, judged at each click


async def leads(linker: Linker, link: Link, now: float = NOON) -> str:
    linker.forget_cache()
    target = await linker.find(link.id)
    assert target is not None
    return linker.follows(target, now)


async def test_a_list_that_shrinks_ends_the_links_it_allowed(
    store: Store, linker: Linker, clock: Clock
) -> None:
    made = await linker.create(url="https://pay.example.com/x", by="cli")
    assert await leads(linker, made.link) == "https://pay.example.com/x"
    shrunk = await opened(store, clock, hosts=(".school.example",))
    assert await leads(shrunk, made.link) == ""
    # The catalogue may name it all the same.
    await shrunk.prepare({}, [item("pay", "https://pay.example.com/x")])
    assert await leads(shrunk, made.link) == "https://pay.example.com/x"


async def test_an_item_that_moves_takes_its_links_along(linker: Linker, store: Store) -> None:
    link = (await linker.create(item_id="py-101", by="cli")).link
    assert await leads(linker, link) == "https://shop.example.com/py"
    moved = item(url="https://new.example.com/py")
    await store.catalogue.put([moved], NOON)
    await linker.prepare({}, [moved])
    assert linker.cached(link.id) is None
    assert await leads(linker, link) == "https://new.example.com/py"
    await store.catalogue.put([item(url="javascript:alert(1)")], NOON)
    assert await leads(linker, link) == ""
    await store.catalogue.archive("py-101", NOON)
    assert await leads(linker, link) == ""


async def test_a_link_ends_at_its_hour(linker: Linker) -> None:
    link = (await linker.create(item_id="py-101", expires_at=NOON + 60, by="cli")).link
    assert await leads(linker, link, NOON + 59.9)
    assert not await leads(linker, link, NOON + 60)


async def test_a_revoked_link_ends_at_once_and_is_given_to_nobody(
    linker: Linker, store: Store
) -> None:
    await linker.prepare({"faq:1": ANSWER}, [item()])
    shown = await linker.to_item(item(), 1, "answer", "faq:1")
    link = await link_of(linker, shown)
    assert await linker.revoke(link.id, "key:k")
    assert not await linker.revoke(link.id, "key:k")
    assert await leads(linker, link) == ""
    assert "https://shop.example.com/py。" in linker.in_text(ANSWER, "faq:1", 7)
    assert read(linker, await linker.to_item(item(), 1, "answer", "faq:1"))[0] != link.id


async def test_a_cached_link_touches_no_database_until_it_is_forgotten(
    linker: Linker, store: Store
) -> None:
    link = (await linker.create(item_id="py-101", by="cli")).link
    assert linker.cached(link.id) is None
    first = await asyncio.gather(*[linker.find(link.id) for _ in range(5)])
    assert len(set(map(id, first))) == 1, "one read for all who asked meanwhile"
    change_file(store.db.path, "update links set revoked_at = 1")
    assert linker.cached(link.id) == first[0] == await linker.find(link.id)
    linker.forget_cache()
    target = await linker.find(link.id)
    assert target is not None
    assert target.link.revoked_at == 1


async def test_what_was_read_before_a_change_is_not_kept_after_it(linker: Linker) -> None:
    link = (await linker.create(item_id="py-101", by="cli")).link
    reading = asyncio.create_task(linker.find(link.id))
    await asyncio.sleep(0)
    linker.forget_cache()
    assert await reading is not None
    assert linker.cached(link.id) is None


async def test_a_link_that_is_not_there_is_not_found(linker: Linker) -> None:
    assert await linker.find(99) is None
