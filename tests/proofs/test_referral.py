"""Inviting, told from beginning to end: scan, follow, credit, unfollow, re-follow, tricks.

The whole bot and the fake WeChat, with HTTP between them. Friends scan what the picture that
the bot uploaded really says.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

from bot.incentives import ReferralSettings
from bot.invitations import QRCODE, UPLOAD
from bot.settings import LinkSettings
from sandbox.codes import read
from sandbox.fake_wechat import Delivery
from store.offers import NewOffer
from tests.proofs.world import OPERATOR, TEXTS, World, opened, until

LIN, MEI, WEI = (f"oMEMBER_who_invites_{name}" for name in ("lin", "mei", "wei"))
RING = tuple(f"oMEMBER_of_the_ring_{name}" for name in "abcde")
ON = ReferralSettings(enabled=True, points=20, ladder=("2:老友",))


class Story:
    """Who scans whose picture, and what it earned."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fake = world.fake
        self._read: dict[bytes, str] = {}

    async def say(self, who: str, words: str) -> str:
        return (await self.fake.send_text(who, words)).text

    async def picture(self, who: str) -> str:
        """What the code of the member's own picture says."""
        answer = await self.fake.send_text(who, "邀请好友")
        assert answer.reply is not None
        assert answer.reply["MsgType"] == "image"
        data = self.fake.file(str(answer.reply["Image"]["MediaId"]))
        assert data is not None
        if data not in self._read:  # reading takes a while
            self._read[data] = read(data)
        return self._read[data]

    async def code(self, who: str) -> str:
        """The same, without looking at the picture: what WeChat's newest code says."""
        assert (await self.fake.send_text(who, "邀请好友")).outcome == "replied"
        return next(reversed(self.fake.codes))

    async def scan(self, who: str, content: str) -> Delivery:
        found = await self.fake.scan_code(who, content)
        assert found is not None
        return found

    async def number(self, who: str) -> int:
        (row,) = await self.world.rows(
            "select member_id from identities where external_id = ?", who
        )
        return int(row[0])

    async def points(self, who: str) -> int:
        return (await self.world.app.store.points.balance(await self.number(who))).balance

    async def referrals(self) -> Counter[tuple[str, str]]:
        return Counter(await self.world.rows("select status, reason from referrals"))

    async def told(self, who: str, words: str) -> None:
        """The member was sent this, beside all answers."""
        await until(
            lambda: any(words in seen for seen in self.world.seen(who)), f"the push {words!r}"
        )

    async def sound(self) -> None:
        assert await self.world.app.store.points.audit_sums() == []


async def test_a_friend_counts_once_and_only_while_they_stay(tmp_path: Path) -> None:
    async with opened(tmp_path, sections={"referral": ON}) as world:
        story = Story(world)
        offer = NewOffer(word="老友", title="老友券", kind="amount", value=1000, per_member=2)
        assert await world.app.store.offers.create(offer, 1.0, "cli") is not None

        # Lin follows and asks for a picture; asked again, it is the same one.
        await story.fake.follow(LIN)
        code = await story.picture(LIN)
        assert await story.picture(LIN) == code
        assert (world.fake.calls[QRCODE], world.fake.calls[UPLOAD]) == (1, 1)
        scene, _ = world.fake.codes[code]
        assert re.fullmatch("r:[a-z2-7]{8}", scene)
        await story.told(LIN, "朋友扫码第一次关注，你得 20 积分。")

        # Mei scans it. WeChat tells of it three times over; it counts once.
        member = world.fake.member(MEI)
        member.followed, member.scene = True, scene
        event = world.fake.event(MEI, "subscribe", f"qrscene_{scene}", Ticket="t")
        greeted = await world.fake.deliver(event, parallel=3)
        assert greeted.text == TEXTS("welcome.follow", business="知群")
        assert await story.points(LIN) == 20
        await story.told(LIN, "一共 1 位，得到 20 积分。\n再来 1 位，送「老友券」。")
        assert await story.referrals() == {("credited", ""): 1}

        # Wei is the second: the rung's coupon is Lin's.
        await story.scan(WEI, code)
        await story.told(LIN, "满 2 位的券已经放进「我的券」。")
        assert await story.points(LIN) == 40
        assert "老友券" in await story.say(LIN, "我的券")

        # Mei leaves: her points go, and the coupon that took two friends.
        await world.fake.unfollow(MEI)
        assert await story.points(LIN) == 20
        assert await world.rows("select status from coupons") == [("revoked",)]
        assert (await story.say(LIN, "我的邀请")).splitlines()[:2] == [
            "通过你的邀请关注的朋友：1 位，得到 20 积分。",
            "已经取消关注：1 位。",
        ]

        # And comes back by the same code: she is no new follower any more.
        back = await story.scan(MEI, code)
        assert back.text == TEXTS("welcome.back")
        assert await story.points(LIN) == 20

        # Lin scans the own picture: as a follower, and again after leaving.
        assert (await story.scan(LIN, code)).text == TEXTS("referral.scan_own")
        await world.fake.unfollow(LIN)
        await story.scan(LIN, code)
        assert await story.points(LIN) == 20

        # Forgetting makes no new follower of Wei, and no new friend.
        await story.say(WEI, "忘记我")
        await story.say(WEI, "确认忘记")
        await world.fake.unfollow(WEI)
        assert await story.points(LIN) == 0, "gone within the week, if nameless"
        await story.scan(WEI, code)
        assert await story.points(LIN) == 0
        assert await story.referrals() == {("clawed_back", ""): 2, ("refused", "self"): 1}
        await story.sound()


async def test_the_first_tap_and_the_first_word_bring_picture_and_words(tmp_path: Path) -> None:
    """WeChat lets us push because of this very message: no earlier one has opened anything."""
    async with opened(tmp_path, sections={"referral": ON}) as world:
        story = Story(world)
        await story.fake.follow(MEI)
        clicked = await story.fake.click_menu(MEI, "邀请好友")
        written = await story.fake.send_text(WEI, "邀请好友")
        for who, answer in ((MEI, clicked), (WEI, written)):
            assert answer.reply is not None
            assert answer.reply["MsgType"] == "image"
            await story.told(who, "朋友扫码第一次关注，你得 20 积分。\n朋友 7 天内取消关注")
        assert await world.settled() == {"sent": 2}


async def test_where_the_bot_may_not_push_the_words_are_fetched(tmp_path: Path) -> None:
    async with opened(
        tmp_path, sections={"referral": ON}, channels={"mp": {"late": "retry"}}
    ) as world:
        story = Story(world)
        await story.fake.follow(LIN)
        await story.picture(LIN)
        assert "你得 20 积分" in await story.say(LIN, "继续")
        assert await world.sends() == {"fetched": 1}


async def test_a_ring_of_five_waits_for_an_operator(tmp_path: Path) -> None:
    async with opened(tmp_path, sections={"referral": ON}) as world:
        story = Story(world)
        await story.fake.follow(RING[0])
        for inviter, friend in itertools.pairwise(RING):
            await story.scan(friend, await story.code(inviter))
        assert [await story.points(who) for who in RING] == [20, 20, 20, 20, 0]

        # The first leaves and comes back as the last one's friend: the ring is closed.
        await story.fake.unfollow(RING[0])
        await story.scan(RING[0], await story.code(RING[4]))
        assert await story.referrals() == {("held", "ring"): 4, ("refused", "known"): 1}
        assert [await story.points(who) for who in RING] == [0] * 5

        # The operator sees it, finds one of them right and one wrong.
        numbers = [await story.number(who) for who in RING]
        report = await story.say(OPERATOR, "/referral report")
        way = "→".join(map(str, (*numbers, numbers[0])))
        assert f"互相邀请成圈：成员 {way}" in report
        review = await story.say(OPERATOR, "/referral review")
        assert review.startswith(TEXTS("referral.review_head", count=4))
        first, second, *_ = re.findall(r"#(\d+) .*互相邀请成圈", review)
        await story.say(OPERATOR, f"/referral ok {first}")
        said = await story.say(OPERATOR, "确认")
        assert said == TEXTS("referral.ok_done", number=first, friends=1)
        await story.say(OPERATOR, f"/referral no {second}")
        assert await story.say(OPERATOR, "确认") == TEXTS("referral.no_done", number=second)
        assert [await story.points(who) for who in RING] == [20, 0, 0, 0, 0]
        assert await story.referrals() == {
            ("credited", ""): 1,
            ("held", "ring"): 2,
            ("refused", "ring"): 1,
            ("refused", "known"): 1,
        }
        audit = [row.action for row in await world.app.store.audit.newest()]
        assert audit == ["referral.no", "referral.ok"]
        await story.sound()


async def test_an_account_that_makes_no_codes_counts_and_promises_nothing(tmp_path: Path) -> None:
    """WeChat refuses the code, so the picture is of a link that is counted."""
    landing = "https://pages.example/come"
    sections = {
        "referral": ReferralSettings(enabled=True, landing_url=landing),
        "links": LinkSettings(allowed_hosts=("pages.example",)),
    }
    async with opened(
        tmp_path,
        accounts={"mp": {"kind": "subscription"}},
        sections=sections,
    ) as world:
        story = Story(world)
        await story.fake.follow(LIN)
        await story.say(LIN, "你好")
        assert await story.picture(LIN) == landing, "this bot has no public address"
        assert world.fake.calls[QRCODE] == 1
        await story.told(LIN, TEXTS("referral.counted_only"))
        (link,) = await world.rows("select url, source, ref from links")
        assert link[:2] == (landing, "referral")
        assert LIN not in link[2]
