"""Invitations: one code and one picture, asked for again in time, and what does without."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.invitations import DAY_S, QRCODE, UPLOAD, Invitations, Side, new_scene
from bot.links import Linker
from handlers.context import ApiRefused, Invitation
from handlers.rewards import ReferralRules
from sandbox.codes import read
from tests.bot.wechat_world import LIN, World, open_world

RULES = ReferralRules(enabled=True, days=30)
LANDING = "https://pages.example/come"
MP = "mp"


@dataclass
class Inviting:
    """A member who invites, on a world whose clock is ours."""

    world: World
    member: int
    linker: Linker

    def invitations(
        self, *, codes: bool = True, landing: str = "", poster: Path | None = None
    ) -> Invitations:
        sides = {MP: Side(self.world.client(), codes)}
        rules = replace(RULES, landing_url=landing)
        return Invitations(self.world.store, self.linker, sides, rules, poster=poster)

    async def picture(self, invitations: Invitations) -> Invitation:
        return await invitations.picture(self.member, MP, self.world.clock())

    def calls(self) -> tuple[int, int]:
        """(codes asked for, pictures uploaded)."""
        return self.world.fake.calls[QRCODE], self.world.fake.calls[UPLOAD]

    def read(self, made: Invitation) -> str:
        """What the uploaded picture's code says."""
        data = self.world.fake.file(made.media_id)
        assert data is not None
        return read(data)


@pytest.fixture
async def inviting(tmp_path: Path) -> AsyncIterator[Inviting]:
    async with open_world(tmp_path) as world:
        member = (await world.store.members.meet(MP, LIN, world.clock())).id
        linker = Linker(
            world.store,
            public_url="https://bot.example",
            allowed_hosts=("pages.example",),
            now=world.clock,
        )
        await linker.open()
        yield Inviting(world, member, linker)


def test_a_scene_is_random_and_names_nobody() -> None:
    scenes = {new_scene() for _ in range(100)}
    assert len(scenes) == 100
    assert all(len(one) == 10 and one.startswith("r:") for one in scenes)


async def test_the_picture_leads_to_a_scene_of_the_members_own(inviting: Inviting) -> None:
    made = await inviting.picture(inviting.invitations())
    assert made.rewarded
    assert made.ends_at == inviting.world.clock() + 30 * DAY_S
    content = inviting.read(made)
    scene, until = inviting.world.fake.codes[content]
    assert scene.startswith("r:")
    assert LIN not in scene
    assert until == made.ends_at
    assert await inviting.picture(inviting.invitations()) == made, "and is shown again"
    assert inviting.calls() == (1, 1)


async def test_who_asks_twice_at_once_gets_one(inviting: Inviting) -> None:
    one = inviting.invitations()
    made = await asyncio.gather(*(inviting.picture(one) for _ in range(5)))
    assert len({each.media_id for each in made}) == 1
    assert inviting.calls() == (1, 1)


async def test_two_processes_make_one_scene(inviting: Inviting) -> None:
    made = await asyncio.gather(*(inviting.picture(inviting.invitations()) for _ in range(2)))
    codes = inviting.world.fake.codes
    assert len({codes[inviting.read(one)][0] for one in made}) == 1


async def test_pictures_and_codes_are_renewed_before_they_end(inviting: Inviting) -> None:
    world, invitations = inviting.world, inviting.invitations()
    first = await inviting.picture(invitations)
    world.clock.at += 2.4 * DAY_S
    assert await inviting.picture(invitations) == first
    world.clock.at += 0.2 * DAY_S
    second = await inviting.picture(invitations)
    assert second.media_id != first.media_id
    assert inviting.read(second) == inviting.read(first), "a new upload of the same code"
    assert inviting.calls() == (1, 2)
    world.clock.at += 26 * DAY_S
    third = await inviting.picture(invitations)
    assert inviting.calls() == (2, 3)
    assert third.ends_at == world.clock() + 30 * DAY_S
    codes = world.fake.codes
    assert codes[inviting.read(third)][0] == codes[inviting.read(first)][0], "the same scene"


async def test_an_account_without_the_right_counts_clicks_instead(inviting: Inviting) -> None:
    world = inviting.world
    world.fake.api_errors[QRCODE] = [48001]
    invitations = inviting.invitations(landing=LANDING)
    made = await inviting.picture(invitations)
    assert not made.rewarded
    assert made.ends_at == math.inf
    url = inviting.read(made)
    assert url.startswith("https://bot.example/r/")
    token = inviting.linker.signer.read(url.rpartition("/")[2])
    assert token is not None
    target = await inviting.linker.find(token[0])
    assert target is not None
    assert target.url == LANDING
    assert target.link.source == "referral"
    assert await inviting.picture(invitations) == made
    assert inviting.calls() == (1, 1), "it is not asked again what it refused"


async def test_only_who_may_make_codes_promises_rewards(inviting: Inviting) -> None:
    assert not inviting.invitations(codes=False).rewarded(MP)
    invitations = inviting.invitations(landing=LANDING)
    assert invitations.rewarded(MP)
    assert not invitations.rewarded("elsewhere")
    inviting.world.fake.api_errors[QRCODE] = [48001]
    await inviting.picture(invitations)
    assert not invitations.rewarded(MP), "WeChat said no"


async def test_a_page_that_cannot_be_counted_is_still_led_to(inviting: Inviting) -> None:
    elsewhere = "https://else.example/"
    made = await inviting.picture(inviting.invitations(codes=False, landing=elsewhere))
    assert inviting.read(made) == elsewhere
    assert inviting.calls() == (0, 1)


async def test_without_a_page_there_is_nothing_to_show(inviting: Inviting) -> None:
    made = await inviting.picture(inviting.invitations(codes=False))
    assert (made.media_id, made.url) == ("", "")
    nowhere = await inviting.invitations().picture(inviting.member, "team", 0.0)
    stranger = await inviting.invitations().picture(999, MP, 0.0)
    assert nowhere == stranger == made
    assert inviting.calls() == (0, 0)


async def test_a_picture_that_may_not_be_uploaded_is_an_address(inviting: Inviting) -> None:
    fake = inviting.world.fake
    fake.api_errors[UPLOAD] = [48001, 48001]
    coded = await inviting.picture(inviting.invitations())
    assert coded.media_id == ""
    assert coded.rewarded
    assert coded.url.startswith("https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=ticket_")
    linked = await inviting.invitations(landing=LANDING, codes=False).picture(
        (await inviting.world.store.members.meet(MP, "o_mei", 0.0)).id, MP, inviting.world.clock()
    )
    assert linked.media_id == ""
    assert linked.url.startswith("https://bot.example/r/")


async def test_trouble_on_the_way_is_told_and_mends_itself(inviting: Inviting) -> None:
    fake, invitations = inviting.world.fake, inviting.invitations(landing=LANDING)
    fake.api_errors[QRCODE] = [-1]
    with pytest.raises(ApiRefused):
        await inviting.picture(invitations)
    fake.api_errors[UPLOAD] = [40009]
    with pytest.raises(ApiRefused):
        await inviting.picture(invitations)
    assert (await inviting.picture(invitations)).rewarded, "no fallback for a bad moment"
    assert inviting.calls() == (2, 2), "the code of the second try was kept"


async def test_the_operators_poster_is_used_or_the_plain_card(
    inviting: Inviting, tmp_path: Path
) -> None:
    bad = tmp_path / "poster.png"
    bad.write_bytes(b"no picture")
    made = await inviting.picture(inviting.invitations(poster=bad))
    assert inviting.read(made) in inviting.world.fake.codes
