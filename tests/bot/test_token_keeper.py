"""One token for all: fetched once, early, shared, and hardly ever forced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.client import Refused, Unheard, Unreachable
from bot.errcodes import Action
from tests.bot.wechat_world import LIN, SEND, TOKEN, World, answers, open_world, serving, text


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_a_hundred_calls_at_once_fetch_one_token(world: World) -> None:
    client = world.client()
    calls = (client.call("GET", "/cgi-bin/getcallbackip") for _ in range(100))
    assert all(a == {"ip_list": ["127.0.0.1"]} for a in await asyncio.gather(*calls))
    assert world.fake.token_fetches == 1
    assert world.got == ["fetched"]


async def test_a_failed_fetch_is_shared_too(world: World) -> None:
    world.fake.api_down = True
    client = world.client()
    results = await asyncio.gather(
        *(client.send_custom(text("在吗")) for _ in range(50)), return_exceptions=True
    )
    assert all(isinstance(result, Unreachable) for result in results)
    assert world.fake.calls[TOKEN] == 1
    assert world.sends() == 0
    world.fake.api_down = False
    await client.send_custom(text("在吗"))


async def test_a_caller_that_gives_up_leaves_the_fetch_to_the_others(world: World) -> None:
    world.fake.api_hang_s = 0.1
    client = world.client()
    first = asyncio.create_task(client.token())
    second = asyncio.create_task(client.token())
    await asyncio.sleep(0.03)
    first.cancel()
    assert await second
    assert world.fake.token_fetches == 1


async def test_a_token_is_replaced_in_its_last_five_minutes(world: World) -> None:
    client = world.client()
    first = await client.token()
    world.clock.at += 7200 - 301
    assert await client.token() == first
    assert world.fake.token_fetches == 1
    world.clock.at += 2
    assert await client.token() != first
    assert world.fake.token_fetches == 2


async def test_a_second_process_uses_the_first_ones_token(world: World) -> None:
    first = await world.client().token()
    assert await world.client().token() == first
    assert world.fake.token_fetches == 1
    assert world.got == ["fetched", "shared"]


async def test_channels_do_not_share_tokens(world: World) -> None:
    await world.client().token()
    assert await world.store.tokens.get("other") is None


async def test_a_token_replaced_by_another_process_is_picked_up_from_the_store(
    world: World,
) -> None:
    one, two = world.client(), world.client()
    await one.token()
    await two.token()
    world.fake.revoke_tokens()
    await one.send_custom(text("甲"))
    fetched = world.fake.token_fetches
    await two.send_custom(text("乙"))
    assert world.fake.token_fetches == fetched
    assert [received.content for received in world.fake.members[LIN].inbox] == ["甲", "乙"]


@pytest.mark.parametrize("spoil", ["revoke_tokens", "expire_tokens"])
async def test_a_bad_token_costs_one_refresh_and_one_repeat(world: World, spoil: str) -> None:
    client = world.client()
    await client.token()
    getattr(world.fake, spoil)()
    await client.send_custom(text("你好"))
    assert world.sends() == 2
    assert [received.content for received in world.fake.members[LIN].inbox] == ["你好"]


async def test_many_calls_with_one_bad_token_refresh_once(world: World) -> None:
    client = world.client()
    await client.token()
    world.fake.revoke_tokens()
    await asyncio.gather(*(client.call("GET", "/cgi-bin/tags/get") for _ in range(50)))
    assert world.fake.token_fetches == 2


async def test_a_storm_of_40001_ends_after_one_repeat(world: World) -> None:
    client = world.client()
    old = await client.token()
    world.fake.api_errors[SEND] = [40001] * 100
    with pytest.raises(Refused) as caught:
        await client.send_custom(text("你好"))
    assert caught.value.errcode == 40001
    assert world.sends() == 2
    # WeChat handed the refused token out again, so a new one was forced, once.
    assert world.fake.token_fetches == 3
    assert await client.token() != old
    with pytest.raises(Refused):
        await client.send_custom(text("你好"))
    assert world.sends() == 3  # nothing better to repeat it with, and forcing has to pause
    assert world.fake.token_fetches == 4


async def test_a_token_is_forced_twenty_times_a_day_at_most_across_restarts(world: World) -> None:
    world.fake.api_errors[SEND] = [40001] * 1000
    forced = 0
    for _ in range(25):
        world.clock.at += 31
        client = world.client()
        before = await client.token()
        with pytest.raises(Refused):
            await client.send_custom(text("你好"))
        forced += await client.token() != before
    assert forced == 20
    assert (TOKEN, 45009) not in world.seen  # it stopped by itself, WeChat did not have to
    assert await world.client().token()


async def test_a_refused_forcing_does_not_stop_normal_tokens(world: World) -> None:
    world.fake.api_errors[SEND] = [40001] * 4
    with pytest.raises(Refused):
        await world.client().send_custom(text("你好"))
    with pytest.raises(Refused) as caught:  # another process forces again: WeChat says 45011
        await world.client().send_custom(text("你好"))
    assert caught.value.errcode == 40001
    assert (TOKEN, 45011) in world.seen
    world.fake.api_errors.clear()
    await world.client().send_custom(text("你好"))


async def test_short_lived_tokens_are_not_fetched_for_every_call(world: World) -> None:
    world.fake.token_ttl_s = 240
    client = world.client()
    for _ in range(10):
        await client.token()
    assert world.fake.token_fetches == 1
    world.clock.at += 240
    await client.send_custom(text("你好"))


@pytest.mark.parametrize("errcode", [40013, 40125, 40164, 40001])
async def test_a_wrong_setup_shows_itself_while_fetching(world: World, errcode: int) -> None:
    world.fake.api_errors[TOKEN] = [errcode]
    with pytest.raises(Refused) as caught:
        await world.client().send_custom(text("你好"))
    assert caught.value.action is Action.CONFIG
    assert caught.value.api == "stable_token"
    assert world.sends() == 0


async def test_a_short_secret_is_blanked_when_it_is_echoed(world: World) -> None:
    said = '{"errcode": 99999, "errmsg": "appsecret hush-hush is odd"}'
    async with serving(answers(said), tokens=False) as base:
        with pytest.raises(Refused, match="appsecret … is odd"):
            await world.client(api_base=base, secret="hush-hush").token()


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '{"access_token": "", "expires_in": 7200}',
        '{"access_token": 7, "expires_in": 7200}',
        '{"access_token": "abc"}',
        '{"access_token": "abc", "expires_in": "soon"}',
        '{"access_token": "abc", "expires_in": 0}',
        '{"errcode": 0, "errmsg": "ok"}',
        '{"errcode": {}, "access_token": "abc", "expires_in": 7200}',
        "<html>welcome</html>",
        "",
        "[" * 100_000,
    ],
)
async def test_foreign_answers_to_a_token_request_leave_the_call_unsent(
    world: World, body: str
) -> None:
    async with serving(answers(body), tokens=False) as base:
        client = world.client(api_base=base)
        with pytest.raises(Unreachable, match="no access token"):
            await client.send_custom(text("你好"))
        with pytest.raises(Unheard):
            await client.check_credentials()
    assert await world.store.tokens.get("mp") is None


async def test_checking_credentials_asks_wechat_and_compares_clocks(world: World) -> None:
    client = world.client()
    await client.token()
    skew = await client.check_credentials()
    assert world.fake.token_fetches == 2
    # The server's Date is real; the test's clock stands in the past or the future.
    assert skew is not None
    assert skew == pytest.approx(client.skew_s)
    with pytest.raises(Refused) as caught:
        await world.client(secret="another-secret-of-the-account").check_credentials()
    assert caught.value.action is Action.CONFIG
