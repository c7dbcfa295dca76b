"""Invitations: one credit for one person for ever, taken back, held, and decided once."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.rewards import ReferralRules
from store import Store
from store.offers import NewOffer
from store.referrals import (
    CLAWED_BACK,
    CREDITED,
    HELD,
    REFUSED,
    SCAN,
    SELF,
    Followed,
    Referral,
    Rung,
    Standing,
)
from tests.store.rows import (
    CHANNEL,
    NOW,
    answered,
    ask_file,
    change_file,
    key,
    places_of,
    tables_of,
)

DAY = 86_400.0
HOUR = 3600.0
RULES = ReferralRules(enabled=True, points=20, ladder=((2, "老友"), (4, "大使")))
STRICT = replace(RULES, hold_per_hour=2, hold_quiet=3, ladder=())

_keys = itertools.count(1000)


class People:
    """Members by their first names, each with a code, who come and go."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.rules = RULES

    async def id(self, name: str) -> int:
        return (await self.store.members.meet(CHANNEL, f"o_{name}", self.now)).id

    async def code(self, name: str) -> str:
        invite = await self.store.referrals.invite(
            await self.id(name), CHANNEL, f"r:{name}", self.now
        )
        assert invite is not None
        return invite.scene

    async def came(self, name: str, by: str = "", number: int = 0) -> Followed:
        """A follow, by somebody's code; the event's number, for the same one again."""
        self.now += 1
        await self.id(name)
        scene = await self.code(by) if by else ""
        event = key(number or next(_keys))
        return await self.store.referrals.follow(
            CHANNEL, f"o_{name}", scene, event, self.now, self.rules
        )

    async def came_by(self, name: str, by: str) -> Referral:
        found = (await self.came(name, by)).referral
        assert found is not None
        return found

    async def left(self, name: str) -> None:
        await self.store.referrals.leave(CHANNEL, f"o_{name}", self.now, self.rules)

    async def wrote(self, name: str) -> None:
        await answered(self.store, next(_keys), f"o_{name}", at=self.now, kind="text")

    async def points(self, name: str) -> int:
        return (await self.store.points.balance(await self.id(name))).balance

    async def standing(self, name: str) -> tuple[int, int, int, int]:
        found = await self.store.referrals.standing(await self.id(name))
        return found.credited, found.held, found.left, found.points

    async def decide(self, number: int, good: bool, by: str = "member:1") -> Referral | None:
        return await self.store.referrals.decide(number, good, self.now, by, self.rules)

    async def offers(self, *words: str, inventory: int | None = None, per_member: int = 1) -> None:
        for word in words:
            new = NewOffer(
                word=word,
                title=word,
                kind="amount",
                value=100,
                inventory=inventory,
                per_member=per_member,
            )
            assert await self.store.offers.create(new, self.now, "cli") is not None

    async def coupons(self, name: str) -> list[tuple[str, str]]:
        """(status, offer) of each that they have."""
        rows = ask_file(
            self.store.db.path,
            "select c.status, o.word from coupons as c join offers as o on o.id = c.offer_id "
            "where c.member_id = ? order by c.id",
            (await self.id(name),),
        )
        return [(row[0], row[1]) for row in rows]

    async def rungs(self, name: str) -> dict[int, str]:
        rows = ask_file(
            self.store.db.path,
            "select friends, note from referral_rewards where member_id = ?",
            (await self.id(name),),
        )
        return dict(rows)

    def rows(self) -> list[tuple[str, str]]:
        return ask_file(self.store.db.path, "select status, reason from referrals order by id")


@pytest.fixture
async def people(store: Store) -> People:
    return People(store)


# Codes


async def test_a_member_has_one_code_on_a_channel(store: Store, people: People) -> None:
    lin = await people.id("lin")
    made = await asyncio.gather(
        *(store.referrals.invite(lin, CHANNEL, f"r:{n}", NOW) for n in range(4))
    )
    assert len({one.scene for one in made if one}) == 1
    elsewhere = await store.referrals.invite(lin, "team", "r:9", NOW)
    assert elsewhere is not None
    assert elsewhere.scene == "r:9"
    assert await store.referrals.invite(99, CHANNEL, "r:8", NOW) is None


async def test_a_picture_goes_with_the_code_it_shows(store: Store, people: People) -> None:
    scene = await people.code("lin")
    await store.referrals.lead(scene, "ticket", "http://q/1", NOW + DAY)
    await store.referrals.picture(scene, "http://q/1", "m1", NOW + 9)
    await store.referrals.lead(scene, "ticket2", "http://q/2", NOW + 2 * DAY)
    await store.referrals.picture(scene, "http://q/1", "m1", NOW + 9)
    found = await store.referrals.invite(await people.id("lin"), CHANNEL, "r:x", NOW)
    assert found is not None
    assert (found.ticket, found.url, found.media_id) == ("ticket2", "http://q/2", "")


# Credits


async def test_the_first_follow_by_a_code_is_credited_once(people: People) -> None:
    followed = await people.came("mei", "lin", number=7)
    assert followed == Followed(
        False, Referral(1, await people.id("lin"), CREDITED, "", NOW + 1, 20, 1)
    )
    again = await people.came("mei", "lin", number=7)
    assert again == Followed(True, followed.referral), "the same event, after a crash"
    assert await people.points("lin") == 20
    assert await people.standing("lin") == (1, 0, 0, 20)
    assert await people.store.points.audit_sums() == []


async def test_a_crash_leaves_the_follow_and_its_credit_together(
    store: Store, people: People
) -> None:
    """The credit fails, so the follow was none, and the retry finds a stranger."""
    await people.came("lin")
    change_file(store.db.path, "alter table point_transfers rename to gone")
    with pytest.raises(Exception, match="point_transfers"):
        await people.came("mei", "lin", number=7)
    change_file(store.db.path, "alter table gone rename to point_transfers")
    followed = await people.came("mei", "lin", number=7)
    assert not followed.before
    assert followed.referral is not None
    assert followed.referral.status == CREDITED
    assert await people.points("lin") == 20


async def test_what_is_no_first_follow_is_not_credited(people: People) -> None:
    await people.came("lin")
    await people.came("mei")
    await people.left("mei")
    refused = await people.came_by("mei", "lin")
    assert (refused.status, refused.reason) == (REFUSED, "known")
    own = await people.came_by("lin", "lin")
    assert (own.status, own.reason) == (REFUSED, SELF)
    assert (await people.came("wei")).referral is None, "no code"
    stray = await people.store.referrals.follow(CHANNEL, "o_wei", "r:nobody", key(1), NOW, RULES)
    assert stray.referral is None
    assert await people.points("lin") == 0


async def test_who_wrote_before_was_following_before(people: People) -> None:
    """They followed before the bot was there, and their unfollow was lost."""
    await people.wrote("mei")
    people.now += 2 * DAY
    assert (await people.came_by("mei", "lin")).reason == "known"
    # But words that overtake the follow are no past.
    people.now += 1
    await people.wrote("wei")
    people.now += 5
    assert (await people.came_by("wei", "lin")).status == CREDITED


async def test_one_friend_counts_for_one_inviter_only(people: People) -> None:
    await people.came_by("mei", "lin")
    await people.left("mei")
    assert (await people.came_by("mei", "wei")).reason == "known"
    assert (await people.came_by("mei", "lin")).reason == "known"
    assert await people.points("wei") == await people.points("lin") == 0
    assert people.rows() == [(CLAWED_BACK, ""), (REFUSED, "known")]


async def test_the_ladder_gives_its_coupons_once(people: People) -> None:
    await people.offers("老友", "大使")
    await people.came_by("a", "lin")
    second = await people.came_by("b", "lin")
    assert second.rungs == (Rung(2, True),)
    assert (await people.came_by("c", "lin")).rungs == ()
    fourth = await people.came_by("d", "lin")
    assert (fourth.friends, fourth.rungs) == (4, (Rung(4, True),))
    assert await people.coupons("lin") == [("claimed", "老友"), ("claimed", "大使")]


async def test_a_rung_without_a_coupon_says_why(people: People) -> None:
    people.now += 1
    await people.offers("大使", inventory=0)
    for name in "abcd":
        await people.came_by(name, "lin")
    assert await people.rungs("lin") == {2: "no_offer", 4: "sold_out"}
    report = await people.store.referrals.report(NOW, RULES)
    lin = await people.id("lin")
    assert set(report.unpaid) == {(lin, 2, "no_offer"), (lin, 4, "sold_out")}


async def test_no_points_and_no_ladder_only_count(people: People) -> None:
    people.rules = replace(RULES, points=0, ladder=())
    assert (await people.came_by("mei", "lin")).friends == 1
    await people.left("mei")
    assert await people.standing("lin") == (0, 0, 1, 0)


# Leaving


async def test_who_leaves_early_takes_the_credit_along(people: People) -> None:
    await people.offers("老友")
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    people.now += 6 * DAY
    await people.left("b")
    await people.left("b")
    assert await people.standing("lin") == (1, 0, 1, 20)
    assert await people.points("lin") == 20
    assert await people.coupons("lin") == [("revoked", "老友")]
    assert (await people.came_by("b", "lin")).status == REFUSED, "coming back gives nothing"
    assert await people.points("lin") == 20
    people.now += 2 * DAY
    await people.left("a")
    assert await people.standing("lin") == (1, 0, 1, 20), "a stayed long enough"
    assert await people.store.points.audit_sums() == []


async def test_a_rung_lost_and_reached_again_is_given_again(people: People) -> None:
    await people.offers("老友")
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    await people.left("b")
    assert (await people.came_by("c", "lin")).rungs == (Rung(2, True),)
    assert await people.coupons("lin") == [("revoked", "老友"), ("claimed", "老友")]


async def test_a_friend_found_right_gives_a_lost_rung_anew(people: People) -> None:
    await people.offers("老友")
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    await people.left("lin")
    await people.came_by("lin", "b")
    (held,) = await people.store.referrals.held()
    await people.left("a")
    await people.came_by("c", "lin")
    assert await people.coupons("lin") == [("revoked", "老友")]
    people.now += 1
    good = await people.decide(held.id, good=True)
    assert good is not None
    assert good.rungs == (Rung(2, True),)
    assert await people.coupons("lin") == [("revoked", "老友"), ("claimed", "老友")]


async def test_a_used_coupon_is_not_given_twice(store: Store, people: People) -> None:
    await people.offers("老友", per_member=2)
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    change_file(store.db.path, "update coupons set status = 'redeemed', redeemed_at = 1")
    await people.left("b")
    assert (await people.came_by("c", "lin")).rungs == ()
    assert await people.coupons("lin") == [("redeemed", "老友")]


async def test_without_a_stay_nobody_takes_anything_back(people: People) -> None:
    people.rules = replace(RULES, stay_s=0.0)
    await people.came_by("mei", "lin")
    await people.left("mei")
    assert await people.standing("lin") == (1, 0, 0, 20)


# What waits


async def test_a_burst_waits_and_is_decided_once(people: People) -> None:
    people.rules = STRICT
    for name in ("a", "b"):
        await people.wrote(name)
        assert (await people.came_by(name, "lin")).status == CREDITED
    held = await people.came_by("c", "lin")
    assert (held.status, held.reason, held.points) == (HELD, "burst", 0)
    assert await people.standing("lin") == (2, 1, 0, 40)
    people.now += HOUR + 1
    assert (await people.came_by("d", "lin")).status == CREDITED, "an hour later"

    waiting = await people.store.referrals.held()
    assert [one.id for one in waiting] == [held.id]
    assert (waiting[0].reason, waiting[0].friends, waiting[0].active) == ("burst", 3, 2)
    assert waiting[0].follows
    good = await people.decide(held.id, good=True)
    assert good is not None
    assert (good.status, good.points, good.friends) == (CREDITED, 20, 4)
    assert await people.decide(held.id, good=True) == good, "the same 确认 again"
    assert await people.decide(held.id, good=False) is None
    assert await people.decide(held.id, good=True, by="member:2") is None
    assert await people.decide(999, good=True) is None
    assert await people.points("lin") == 80
    assert await people.store.referrals.held_one(held.id) is None


async def test_a_refused_one_stays_refused(people: People) -> None:
    people.rules = replace(STRICT, hold_per_hour=1)
    await people.came_by("a", "lin")
    held = await people.came_by("b", "lin")
    refused = await people.decide(held.id, good=False)
    assert refused is not None
    assert (refused.status, refused.reason) == (REFUSED, "burst")
    assert (await people.came_by("b", "wei")).status == REFUSED
    assert await people.points("lin") == 20


async def test_a_held_friend_who_leaves_is_nothing_to_decide(people: People) -> None:
    people.rules = replace(STRICT, hold_per_hour=1)
    await people.came_by("a", "lin")
    held = await people.came_by("b", "lin")
    await people.left("b")
    assert await people.decide(held.id, good=True) is None
    assert await people.points("lin") == 20


async def test_a_tree_in_which_nobody_speaks_waits(people: People) -> None:
    people.rules = replace(STRICT, hold_per_hour=99)
    for name in ("a", "b", "c"):
        assert (await people.came_by(name, "lin")).status == CREDITED
    assert (await people.came_by("d", "lin")).reason == "quiet_tree"
    await people.wrote("b")
    assert (await people.came_by("e", "lin")).status == CREDITED, "one of them wrote"


async def _chain(people: People, names: str) -> None:
    """Each invites the next."""
    await people.came(names[0])
    for inviter, invitee in itertools.pairwise(names):
        assert (await people.came_by(invitee, inviter)).status == CREDITED


async def test_a_ring_of_five_is_held_when_it_closes(people: People) -> None:
    people.rules = replace(RULES, ladder=())
    await _chain(people, "abcde")
    await people.left("a")
    closing = await people.came_by("a", "e")
    assert closing.status == REFUSED
    assert [await people.points(name) for name in "abcde"] == [0] * 5
    assert [one.reason for one in await people.store.referrals.held()] == ["ring"] * 4
    report = await people.store.referrals.report(NOW, people.rules)
    assert report.waiting == 4
    assert report.suspects.rings == (tuple([await people.id(name) for name in "abcde"]),)
    # Again changes nothing, and what was found right is not held once more.
    await people.came_by("a", "e")
    first = (await people.store.referrals.held())[0]
    good = await people.decide(first.id, good=True)
    assert good is not None
    assert (good.points, await people.points("a")) == (20, 20)
    await people.came_by("a", "e")
    assert await people.points("a") == 20
    assert await people.store.points.audit_sums() == []


async def test_a_ring_gives_back_what_is_left_of_its_points(people: People) -> None:
    people.rules = replace(RULES, ladder=())
    await _chain(people, "ab")
    a = await people.id("a")
    await people.store.points.post(a, -15, "coupon", "spent", NOW)
    await people.left("a")
    await people.came_by("a", "b")
    assert await people.standing("a") == (0, 1, 0, 15)
    (held,) = await people.store.referrals.held()
    good = await people.decide(held.id, good=True)
    assert good is not None
    assert good.points == 20
    assert await people.points("a") == 5, "what was taken comes back, not what was spent"
    assert await people.store.points.audit_sums() == []


async def test_looking_at_a_friends_code_is_no_ring_of_two(people: People) -> None:
    people.rules = replace(RULES, ladder=())
    await _chain(people, "abc")
    scan = people.store.referrals.scan

    async def scanned(name: str, of: str) -> str:
        code = await people.code(of)
        return await scan(CHANNEL, f"o_{name}", code, key(next(_keys)), NOW, people.rules)

    assert await scanned("a", "a") == SELF
    assert await scanned("a", "b") == SCAN
    assert await people.store.referrals.held() == []
    assert await scanned("a", "c") == SCAN
    assert await people.store.referrals.held() == [], "nobody loses points by another's look"
    assert [await people.points(name) for name in "abc"] == [20, 20, 0]
    report = await people.store.referrals.report(NOW - DAY, people.rules)
    assert report.suspects.rings == (tuple([await people.id(name) for name in "abc"]),)
    assert await scan(CHANNEL, "o_a", "r:nobody", key(1), NOW, people.rules) == ""


async def test_credits_older_than_the_stay_are_left_alone(people: People) -> None:
    people.rules = replace(RULES, ladder=())
    await _chain(people, "ab")
    people.now += 8 * DAY
    assert (await people.came_by("c", "b")).status == CREDITED
    await people.left("a")
    await people.came_by("a", "c")
    (held,) = await people.store.referrals.held()
    assert (held.inviter, held.invitee) == (await people.id("b"), await people.id("c"))


async def test_a_longer_round_than_eight_is_none(people: People) -> None:
    people.rules = replace(RULES, ladder=())
    await _chain(people, "abcdefghi")
    await people.left("a")
    await people.came_by("a", "i")
    assert await people.store.referrals.held() == []
    await people.came_by("a", "h")
    assert len(await people.store.referrals.held()) == 7


async def test_the_report_names_bursts_and_quiet_trees(people: People) -> None:
    people.rules = STRICT
    for name in ("a", "b", "c", "d"):
        await people.came_by(name, "lin")
    people.now += 40 * DAY
    await people.came_by("e", "wei")
    report = await people.store.referrals.report(NOW, STRICT)
    lin, wei = await people.id("lin"), await people.id("wei")
    assert (report.credited, report.held, report.refused) == (3, 2, 0)
    assert report.best == ((lin, 2), (wei, 1))
    assert report.suspects.bursts == ((lin, 4),)
    assert report.suspects.quiet == ((lin, 4),)
    later = await people.store.referrals.report(NOW + 30 * DAY, STRICT)
    assert (later.credited, later.suspects.bursts, later.waiting) == (1, (), 2)


# People who are forgotten, or one


async def test_the_forgotten_are_no_new_followers(store: Store, people: People) -> None:
    mei = await people.id("mei")
    await people.came_by("mei", "lin")
    assert await store.members.erase(mei, NOW) is not None
    assert (await people.came_by("mei", "wei")).reason == "known"
    # Who comes as a stranger by openid but has the same unionid, neither.
    lin = await people.id("lin")
    await store.members.unite(CHANNEL, "o_lin", "uTEST")
    await people.came("lin")
    await store.members.erase(lin, NOW)
    await store.members.meet(CHANNEL, "o_other", NOW)
    await store.members.unite(CHANNEL, "o_other", "uTEST")
    assert (await people.came_by("other", "wei")).reason == "known"


async def test_a_forgotten_friend_who_leaves_still_takes_the_credit(
    store: Store, people: People
) -> None:
    await people.came_by("mei", "lin")
    await store.members.erase(await people.id("mei"), NOW)
    await people.id("mei")
    await people.left("mei")
    assert await people.points("lin") == 0


async def test_who_never_followed_is_not_remembered(store: Store, people: People) -> None:
    await store.members.erase(await people.id("mei"), NOW)
    assert ask_file(store.db.path, "select * from known_followers") == []
    assert (await people.came_by("mei", "lin")).status == CREDITED


async def test_forgetting_leaves_no_name(store: Store, people: People) -> None:
    await people.offers("老友")
    for name in ("a", "b"):
        await people.came_by(name, "lin")
    await people.came_by("c", "a")
    for name in ("lin", "a"):
        erased = await store.members.erase(await people.id(name), NOW)
        assert erased is not None
        assert erased.rows["referrals"]
    assert places_of(store.db.path, ["o_lin", "o_a", "r:lin", "r:a"]) == set()
    rows = ask_file(store.db.path, "select inviter_id, invitee_id, message_key from referrals")
    assert [row[:2] for row in rows] == [
        (None, None),
        (None, await people.id("b")),
        (None, await people.id("c")),
    ]
    assert rows[0][2] is None, "its key was made from their openid"
    await people.left("b")
    assert people.rows()[1] == (CLAWED_BACK, "")
    assert "referral_rewards" in tables_of(store.db.path)


async def test_a_member_takes_along_what_is_kept(store: Store, people: People) -> None:
    await people.came_by("mei", "lin")
    kept = await store.members.export(await people.id("lin"))
    assert kept is not None
    assert [row["scene"] for row in kept["invites"]] == ["r:lin"]
    assert [(row["role"], row["points"]) for row in kept["referrals"]] == [("inviter", 20)]
    theirs = await store.members.export(await people.id("mei"))
    assert theirs is not None
    assert [(row["role"], row["points"]) for row in theirs["referrals"]] == [("friend", None)]


async def test_two_who_are_one_cannot_have_invited_themselves(store: Store, people: People) -> None:
    await people.came_by("mei", "lin")
    await people.came_by("wei", "mei")
    await store.members.unite(CHANNEL, "o_lin", "uTEST")
    await store.members.unite(CHANNEL, "o_mei", "uTEST")
    lin = await people.id("lin")
    assert lin == await people.id("mei")
    assert people.rows() == [(REFUSED, SELF), (CREDITED, "")]
    assert await store.referrals.standing(lin) == Standing(1, 0, 0, 20)
    assert await people.points("lin") == 20
    assert await store.points.audit_sums() == []


async def test_one_person_on_two_accounts_counts_once(
    store: Store, people: People, tmp_path: Path
) -> None:
    await people.came_by("mei", "lin")
    wei = await people.id("wei")
    await store.referrals.invite(wei, "team", "r:team", NOW)
    await store.members.meet("team", "o_mei_there", NOW)
    await store.members.unite(CHANNEL, "o_mei", "uTEST")
    there = await store.referrals.follow("team", "o_mei_there", "r:team", key(5), NOW, RULES)
    assert there.referral is not None
    assert there.referral.status == CREDITED, "who they are is learnt a moment later"
    await store.members.unite("team", "o_mei_there", "uTEST")
    assert people.rows() == [(CREDITED, ""), (REFUSED, "known")]
    assert await people.points("wei") == 0
    assert await store.points.audit_sums() == []
