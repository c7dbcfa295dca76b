"""The sync of WeChat's tags, over the fake WeChat's HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.sender import Sender
from scheduler.rules import CampaignRules
from scheduler.tags import TagSync
from store.dialect import Connection
from tests.bot.wechat_world import World, open_world

TAG = "老学员"
TAGGING = "/cgi-bin/tags/members/batchtagging"
UNTAGGING = "/cgi-bin/tags/members/batchuntagging"
CREATE = "/cgi-bin/tags/create"
DELETE = "/cgi-bin/tags/delete"


@dataclass
class Desk:
    """The world with a sync in it, and members by their place."""

    world: World
    rules: CampaignRules = field(default_factory=CampaignRules)
    members: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sync = self.new()

    def new(self) -> TagSync:
        """A new process."""
        world = self.world
        sender = Sender(
            {"mp": world.client(timeout_s=1.0)},
            Filling(world.store, None, now=world.clock),
            CampaignMedia(world.store.assets, now=world.clock),
        )
        return TagSync(world.store, sender, self.rules, now=world.clock)

    async def follow(self, count: int) -> None:
        """So many more followers, here and at WeChat."""
        begin, now = len(self.members), self.world.clock()
        openids = [openid(begin + one) for one in range(count)]

        def run(conn: Connection) -> list[int]:
            made = []
            for one in openids:
                row = conn.execute(
                    "insert into members (created_at) values (?) returning id", (now,)
                ).fetchone()
                made.append(int(row[0]))
                conn.execute(
                    "insert into identities (channel, external_id, member_id, followed, "
                    "followed_at, last_seen_at) values ('mp', ?, ?, 1, ?, ?)",
                    (one, row[0], now - 9, now),
                )
            return made

        self.members += await self.world.store.db.write(run)
        for one in openids:
            self.world.fake.member(one)

    async def tag(self, tag: str = TAG, *places: int) -> None:
        """Put our tag on these, or on everybody."""
        for place in places or range(len(self.members)):
            await self.world.store.tags.add(self.members[place], tag, self.world.clock(), limit=99)

    async def keep(self, tag: str = TAG) -> None:
        await self.world.store.wechat_tags.keep("mp", tag)

    def carriers(self, tag: str = TAG) -> list[int]:
        """Who carries it at WeChat, by their places."""
        fake = self.world.fake
        numbers = [number for number, name in fake.tags.items() if name == tag]
        return [
            place
            for place in range(len(self.members))
            if numbers and numbers[0] in fake.member(openid(place)).tags
        ]

    async def note(self, tag: str = TAG) -> str:
        found = await self.world.store.wechat_tags.get("mp", tag)
        assert found is not None
        return found.note


def openid(place: int) -> str:
    return f"oTEST_member_{place:04}"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_world(tmp_path) as world:
        yield Desk(world)


async def test_a_kept_tag_is_made_and_put_on_everybody_who_carries_ours(desk: Desk) -> None:
    await desk.follow(120)
    await desk.tag()
    await desk.keep()
    assert await desk.sync.run() == "120 members tagged, 1 tags made"
    assert desk.carriers() == list(range(120))
    assert desk.world.fake.calls[TAGGING] == 3, "fifty a call"
    assert await desk.sync.run() == ""
    assert desk.world.fake.calls[TAGGING] == 3
    (tag,) = await desk.world.store.wechat_tags.all()
    assert (tag.synced_at, tag.note) == (desk.world.clock(), "")


async def test_what_changes_here_changes_there(desk: Desk) -> None:
    await desk.follow(3)
    await desk.tag(TAG, 0, 1)
    await desk.keep()
    await desk.sync.run()
    await desk.world.store.tags.remove(desk.members[0], TAG)
    await desk.tag(TAG, 2)
    assert await desk.sync.run() == "1 members tagged, 1 members untagged"
    assert desk.carriers() == [1, 2]


async def test_a_tag_that_nobody_keeps_stays_ours(desk: Desk) -> None:
    await desk.follow(1)
    await desk.tag()
    assert await desk.sync.run() == ""
    assert desk.world.fake.calls[CREATE] == 0


async def test_a_tag_of_the_same_name_is_taken_over_with_who_carries_it(desk: Desk) -> None:
    await desk.follow(3)
    desk.world.fake.tags[105] = TAG
    desk.world.fake.member(openid(2)).tags.add(105)
    await desk.tag(TAG, 0)
    await desk.keep()
    await desk.sync.run()
    assert desk.carriers() == [0, 2], "what somebody did by hand is left alone"
    (tag,) = await desk.world.store.wechat_tags.all()
    assert tag.wechat_id == 105


async def test_a_killed_sync_goes_on_where_it_was(desk: Desk) -> None:
    await desk.follow(120)
    await desk.tag()
    await desk.keep()
    fake = desk.world.fake
    # The second batch is done at WeChat and nobody hears of it.
    done = 0

    def second(call: object) -> str:
        nonlocal done
        done += getattr(call, "path", "") == TAGGING
        return "lost" if done == 2 else ""

    fake.faults = second
    assert await desk.sync.run() == "50 members tagged, 1 tags made"
    assert await desk.note() == "later"
    fake.faults = lambda call: ""
    assert await desk.new().run() == "70 members tagged"
    assert desk.carriers() == list(range(120))
    assert fake.calls[CREATE] == 1
    assert await desk.note() == ""


async def test_an_account_with_all_its_tags_says_so_and_is_asked_again_in_an_hour(
    desk: Desk,
) -> None:
    fake = desk.world.fake
    await desk.follow(1)
    await desk.tag()
    await desk.keep()
    fake.tags |= {number: f"标签 {number}" for number in range(100, 199)}
    assert await desk.sync.run() == ""
    assert await desk.note() == "full"
    await desk.sync.run()
    assert fake.calls[CREATE] == 1
    del fake.tags[100]
    desk.world.clock.at += 3601
    assert await desk.sync.run() == "1 members tagged, 1 tags made"
    assert await desk.note() == ""


async def test_a_tag_removed_at_wechat_is_made_anew_with_all_who_carry_it(desk: Desk) -> None:
    fake = desk.world.fake
    await desk.follow(60)
    await desk.tag()
    await desk.keep()
    await desk.sync.run()
    del fake.tags[max(fake.tags)]
    for member in fake.members.values():
        member.tags.clear()
    await desk.follow(1)
    await desk.tag(TAG, 60)
    assert await desk.sync.run() == ""
    assert await desk.note() == "gone"
    assert await desk.sync.run() == "61 members tagged, 1 tags made"
    assert desk.carriers() == list(range(61))


async def test_a_member_with_twenty_tags_is_left_over_and_nobody_else(desk: Desk) -> None:
    fake = desk.world.fake
    await desk.follow(50)
    await desk.tag()
    await desk.keep()
    for place in (7, 31):
        fake.member(openid(place)).tags = set(range(1000, 1020))
    assert await desk.sync.run() == "48 members tagged, 1 tags made"
    assert desk.carriers() == [place for place in range(50) if place not in (7, 31)]
    assert await desk.note() == "members:2"
    calls = fake.calls[TAGGING]
    assert calls < 30
    await desk.sync.run()
    assert fake.calls[TAGGING] == calls, "they are asked again after a day"
    fake.member(openid(7)).tags.clear()
    desk.world.clock.at += 86_401
    assert await desk.sync.run() == "1 members tagged"
    assert await desk.note() == "members:1"


async def test_a_stranger_to_wechat_holds_nobody_up(desk: Desk) -> None:
    """Who unfollowed without our hearing of it is refused, and takes a whole call along."""
    await desk.follow(9)
    await desk.tag()
    await desk.keep()
    desk.world.fake.member(openid(4)).followed = False
    assert await desk.sync.run() == "8 members tagged, 1 tags made"
    await desk.world.store.tags.remove(desk.members[5], TAG)
    desk.world.fake.member(openid(5)).followed = False
    assert await desk.sync.run() == "1 members untagged"
    assert await desk.sync.run() == ""


async def test_who_unfollows_is_left_alone_and_gets_it_again_on_coming_back(desk: Desk) -> None:
    await desk.follow(2)
    await desk.tag()
    await desk.keep()
    await desk.sync.run()
    clock, store = desk.world.clock, desk.world.store
    await store.members.follow("mp", openid(1), False, clock())
    assert await desk.sync.run() == ""
    clock.at += 60
    desk.world.fake.member(openid(1)).tags.clear()
    await store.members.follow("mp", openid(1), True, clock())
    assert await desk.sync.run() == "1 members tagged"
    assert desk.carriers() == [0, 1]


async def test_a_dropped_tag_goes_at_wechat_and_stays_ours(desk: Desk) -> None:
    await desk.follow(2)
    await desk.tag()
    await desk.keep()
    await desk.sync.run()
    assert await desk.world.store.wechat_tags.drop("mp", TAG)
    assert await desk.sync.run() == "1 tags dropped"
    assert TAG not in desk.world.fake.tags.values()
    assert await desk.world.store.wechat_tags.all() == []
    assert await desk.world.store.tags.members(TAG) == desk.members


async def test_a_tag_with_too_many_fans_is_taken_off_them_first(desk: Desk) -> None:
    await desk.follow(60)
    await desk.tag()
    await desk.keep()
    await desk.sync.run()
    await desk.world.store.wechat_tags.drop("mp", TAG)
    fake = desk.world.fake
    fake.api_errors[DELETE] = [45057]
    assert await desk.sync.run() == "60 members untagged, 1 tags dropped"
    assert fake.calls[UNTAGGING] == 2
    assert desk.carriers() == []


async def test_fans_that_are_not_ours_keep_a_tag_from_going(desk: Desk) -> None:
    await desk.follow(1)
    await desk.keep()
    await desk.sync.run()
    await desk.world.store.wechat_tags.drop("mp", TAG)
    desk.world.fake.api_errors[DELETE] = [45057, 45057]
    assert await desk.sync.run() == ""
    assert await desk.note() == "crowded"


async def test_kept_again_while_it_goes_it_is_made_anew(desk: Desk) -> None:
    await desk.follow(1)
    await desk.tag()
    await desk.keep()
    await desk.sync.run()
    tags = desk.world.store.wechat_tags
    await tags.drop("mp", TAG)
    await desk.keep()
    assert await desk.sync.run() == ""
    assert desk.carriers() == [0]


async def test_an_account_without_the_right_is_asked_once_an_hour(desk: Desk) -> None:
    await desk.follow(1)
    await desk.tag()
    await desk.keep()
    await desk.keep("VIP")
    fake = desk.world.fake
    fake.account = replace(fake.account, verified=False)
    assert await desk.sync.run() == ""
    await desk.sync.run()
    assert desk.world.fake.calls[CREATE] == 1, "nor for the other tag"
    assert (await desk.note("VIP"), await desk.note()) == ("refused:48001", "")


async def test_busy_and_too_fast_wait(desk: Desk) -> None:
    await desk.follow(1)
    await desk.tag()
    await desk.keep()
    fake = desk.world.fake
    fake.api_errors[CREATE] = [-1, 45011]
    assert await desk.sync.run() == ""
    assert await desk.sync.run() == ""
    assert await desk.sync.run() == "", "the account is left alone for a minute"
    assert fake.calls[CREATE] == 2
    desk.world.clock.at += 61
    assert await desk.sync.run() == "1 members tagged, 1 tags made"


async def test_one_run_takes_half_of_a_minutes_calls_at_most(desk: Desk) -> None:
    slow = Desk(desk.world, CampaignRules(tag_per_minute=6))
    await slow.follow(250)
    await slow.tag()
    await slow.keep()
    assert await slow.sync.run() == "100 members tagged, 1 tags made"
    assert await slow.sync.run() == "150 members tagged"
    assert slow.world.fake.calls[TAGGING] == 5
    await slow.follow(1)
    await slow.tag(TAG, 250)
    assert await slow.sync.run() == "", "the minute's six are used up"
    slow.world.clock.at += 60
    assert await slow.sync.run() == "1 members tagged"


async def test_names_of_two_tags_are_two_tags(desk: Desk) -> None:
    await desk.follow(2)
    await desk.tag(TAG, 0)
    await desk.tag("VIP", 1)
    await desk.keep()
    await desk.keep("VIP")
    await desk.sync.run()
    assert (desk.carriers(), desk.carriers("VIP")) == ([0], [1])
