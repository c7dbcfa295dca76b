"""Pictures of campaigns: what may be kept, and which copy at WeChat is of these bytes."""

from __future__ import annotations

import pytest

from store import Store
from store.assets import MAX_BYTES, AssetInUse, BadAsset, Upload, kind_of
from store.campaigns import NewCampaign, Variant
from store.ledgers import Deed
from tests.store.rows import NOW, ask_file, change_file

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
JPEG = b"\xff\xd8\xff\xe0" + b"picture"


async def test_a_picture_is_kept_as_it_came(store: Store) -> None:
    made = await store.assets.put("poster-1", PNG, NOW, "cli")
    assert (made.name, made.mime, made.size) == ("poster-1", "image/png", len(PNG))
    assert made.filename == f"asset{made.id}.png"
    assert await store.assets.get("poster-1") == made
    assert await store.assets.data(made.id) == PNG
    assert await store.assets.get("poster-2") is None
    assert await store.assets.data(99) == b""
    other = await store.assets.put("封面.jpg", JPEG, NOW, "cli")
    assert other.filename == f"asset{other.id}.jpg"
    assert [one.name for one in await store.assets.all()] == ["poster-1", "封面.jpg"]


@pytest.mark.parametrize(
    ("name", "data", "field"),
    [
        ("", PNG, "name"),
        ("../etc/passwd", PNG, "name"),
        ("a b", PNG, "name"),
        ("a" * 65, PNG, "name"),
        ("-a", PNG, "name"),
        ("a\n", PNG, "name"),
        ("a", b"", "data"),
        ("a", b"GIF89a", "data"),
        ("a", b"<svg onload=alert(1)>", "data"),
        ("a", b"\x89PNG", "data"),
        ("a", PNG + b"x" * MAX_BYTES, "data"),
    ],
)
async def test_what_is_no_picture_is_refused(
    store: Store, name: str, data: bytes, field: str
) -> None:
    with pytest.raises(BadAsset) as caught:
        await store.assets.put(name, data, NOW, "cli")
    assert caught.value.field == field
    assert await store.assets.all() == []


def test_the_first_bytes_tell_the_type() -> None:
    assert kind_of(PNG) == "image/png"
    assert kind_of(JPEG) == "image/jpeg"
    assert kind_of(b"") == ""


async def test_putting_the_same_again_changes_nothing(store: Store) -> None:
    deed = Deed(NOW, "cli", "asset.put")
    first = await store.assets.put("a", PNG, NOW, "cli", deed)
    assert await store.assets.put("a", PNG, NOW + 5, "cli", deed) == first
    assert len(ask_file(store.db.path, "select 1 from audit")) == 1


async def test_another_picture_of_that_name_makes_the_copy_old(store: Store) -> None:
    first = await store.assets.put("a", PNG, NOW, "cli")
    await store.assets.keep(first, "mp", "permanent", Upload("M1", "", None))
    assert await store.assets.uploaded(first, "mp", "permanent", NOW) == Upload("M1", "", None)
    second = await store.assets.put("a", JPEG, NOW, "cli")
    assert second.id == first.id
    assert await store.assets.uploaded(second, "mp", "permanent", NOW) is None
    await store.assets.keep(second, "mp", "permanent", Upload("M2", "", None))
    assert await store.assets.uploaded(second, "mp", "permanent", NOW) == Upload("M2", "", None)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"kind": "image", "asset": "a"}, True),
        ({"kind": "article", "cover": "a", "markdown": "字"}, True),
        ({"kind": "article", "cover": "b", "markdown": "# 课表\n\n![课](a)"}, True),
        ({"kind": "article", "cover": "b", "markdown": "![课][x]\n\n[x]: <&#97;>"}, True),
        ({"kind": "miniprogram", "thumb": "a"}, True),
        ({"kind": "image", "asset": "ab"}, False),
        ({"kind": "article", "cover": "b", "markdown": "![](a-1) 班ab"}, False),
        ({"kind": "text", "text": "a"}, False),
    ],
)
async def test_a_picture_that_was_confirmed_is_not_replaced(
    store: Store, content: dict[str, object], shown: bool
) -> None:
    first = await store.assets.put("a", PNG, NOW, "cli")
    new = NewCampaign(
        title="开课", channel="mp", audience="everyone", variants=(Variant(content=content),)
    )
    made = await store.campaigns.create(new, NOW, "member:1")
    for status in ("draft", "scheduled", "freezing", "running", "paused", "late", "done"):
        change_file(
            store.db.path, "update campaigns set status = ? where id = ?", (status, made.id)
        )
        data = JPEG + status.encode()
        if shown and status not in ("draft", "done"):
            with pytest.raises(AssetInUse) as caught:
                await store.assets.put("a", data, NOW, "cli")
            assert caught.value.campaigns == (f"{made.id} 开课",)
        else:
            assert (await store.assets.put("a", data, NOW, "cli")).digest != first.digest
    # The same bytes change nothing, so nobody is asked.
    change_file(store.db.path, "update campaigns set status = 'running'")
    assert (await store.assets.put("a", JPEG + b"done", NOW, "cli")).size == len(JPEG) + 4


async def test_a_copy_is_for_one_account_and_purpose(store: Store) -> None:
    one = await store.assets.put("a", PNG, NOW, "cli")
    await store.assets.keep(one, "mp", "article", Upload("", "https://mmbiz.qpic.cn/1", None))
    assert await store.assets.uploaded(one, "mp", "permanent", NOW) is None
    assert await store.assets.uploaded(one, "other", "article", NOW) is None


async def test_a_copy_that_ends_soon_is_none(store: Store) -> None:
    one = await store.assets.put("a", PNG, NOW, "cli")
    await store.assets.keep(one, "mp", "temporary", Upload("M1", "", NOW + 3 * 86_400))
    assert await store.assets.uploaded(one, "mp", "temporary", NOW) is not None
    assert await store.assets.uploaded(one, "mp", "temporary", NOW + 3 * 86_400 - 60) is None


async def test_a_copy_that_wechat_lost_is_made_again(store: Store) -> None:
    one = await store.assets.put("a", PNG, NOW, "cli")
    await store.assets.keep(one, "mp", "permanent", Upload("M2", "", None))
    await store.assets.lost(one, "mp", "permanent", "M1")
    assert await store.assets.uploaded(one, "mp", "permanent", NOW) is not None
    await store.assets.lost(one, "mp", "permanent", "M2")
    assert await store.assets.uploaded(one, "mp", "permanent", NOW) is None
