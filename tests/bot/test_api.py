"""wechatpy's API classes over our client: what works, and what is closed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.client import Refused, Unheard
from tests.bot.wechat_world import LIN, World, answers, open_world, serving


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_wechatpys_menu_tag_qrcode_user_and_media_work(world: World) -> None:
    api = await world.client().wechatpy()
    with pytest.raises(Refused) as caught:
        await api.menu.get()
    assert caught.value.errcode == 46003
    await api.menu.create({"button": [{"type": "click", "name": "签到", "key": "checkin"}]})
    assert (await api.menu.get())["menu"]["button"][0]["name"] == "签到"
    await api.menu.delete()
    assert world.fake.menu is None
    tag = await api.tag.create("老学员")
    await api.tag.tag_user(tag["id"], [LIN])
    assert await api.tag.get_user_tag(LIN) == [tag["id"]]
    scene = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "r:7"}}}
    assert (await api.qrcode.create(scene))["ticket"]
    assert (await api.user.get(LIN))["openid"] == LIN
    assert (await api.user.get_followers())["data"]["openid"] == [LIN]
    assert [row["openid"] for row in await api.user.get_batch([LIN])] == [LIN]
    assert await api.misc.get_wechat_ips() == ["127.0.0.1"]
    await api.message.send_text(LIN, "你好")
    assert world.fake.members[LIN].inbox[-1].content == "你好"


async def test_an_upload_repeated_for_a_new_token_is_whole(world: World) -> None:
    client = world.client()
    await client.token()
    world.fake.revoke_tokens()
    api = await client.wechatpy()
    answer = await api.media.upload("image", ("cover.png", b"\x89PNG-bytes"))
    kind, raw = world.fake.media[answer["media_id"]]
    assert kind == "image"
    assert b"\x89PNG-bytes" in raw
    assert b'filename="cover.png"' in raw


async def test_wechatpys_blocking_methods_are_closed(world: World, tmp_path: Path) -> None:
    api = await world.client().wechatpy()
    for method in (api.qrcode.show, api.user.iter_followers, api.media.download):
        with pytest.raises(TypeError, match=r"Client\.call"):
            method("x")
    (tmp_path / "a.png").write_bytes(b"x")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(TypeError, match="file name"):
        await api.media.upload("image", file)


async def test_wechatpys_field_that_is_missing_is_unheard(world: World) -> None:
    async with serving(answers('{"errcode": 0}')) as base:
        api = await world.client(api_base=base).wechatpy()
        with pytest.raises(Unheard, match="lacks"):
            await api.tag.create("老学员")


def test_the_server_starts_without_requests() -> None:
    code = "import sys, bot.client; print(json.dumps('requests' in sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", "import json;" + code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) is False
