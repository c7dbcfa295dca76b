"""The desk: what each verb does, what it answers, and that the same message does it once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.campaigning import Desk
from handlers.campaigning import Answer, Look, Said, Told
from store import Store, campaigns, freezing
from store.campaigns import Campaign, NewCampaign, Variant
from store.leases import CAMPAIGNS
from store.ledgers import Deed
from store.offers import NewOffer
from store.rules import RuleError
from tests.blank import blank
from tests.bot.campaign_place import WORDS, begun, delivered, desk_of, fans, new, who
from tests.bot.wechat_world import Clock

HOUR_S = 3600.0
LING, WANG = "member:1", "member:2"
LOUD = {"kind": "text", "text": "转发到朋友圈领红包。" + WORDS}
"""What an owner may override."""


@dataclass
class Room:
    """A desk with its store; woken: how often the runner was."""

    store: Store
    clock: Clock
    desk: Desk = field(init=False)
    woken: int = 0

    def open(self, **more: Any) -> Desk:
        self.desk = desk_of(self.store, self.clock, wake=self._wake, **more)
        return self.desk

    def _wake(self) -> None:
        self.woken += 1

    async def draft(self, name: str = "new", **fields: Any) -> Campaign:
        return await self.desk.make(new(**fields), who(name))

    async def look(self, campaign: Campaign | int, actor: str = LING, role: str = "owner") -> Look:
        number = campaign if isinstance(campaign, int) else campaign.id
        look = await self.desk.look(number, who("look", actor, role))
        assert look is not None
        return look

    async def confirm(
        self,
        campaign: Campaign,
        name: str = "confirm",
        actor: str = LING,
        role: str = "owner",
        code: str = "",
        override: bool = False,
    ) -> Answer:
        code = code or (await self.look(campaign, actor, role)).code
        asked = who(name, actor, role)
        return await self.desk.confirm(campaign.id, code, asked, override=override)

    async def segment(self, rule: str) -> None:
        """What segment:test means from now on."""
        now = self.clock()
        deed = Deed(now, LING, "segment.save")
        await self.store.segments.put("test", rule, now, LING, deed)

    async def frozen(self, campaign: Campaign, planned: int) -> Campaign:
        """What becomes of it when its list is complete, with so many to get it."""
        now = self.clock()
        hold = await self.store.leases.take(CAMPAIGNS, "me", now, 30.0)
        assert hold is not None
        begun = await self.store.freezing.begin(campaign.id, hold, now)
        assert begun is not None
        ended = await self.store.db.write(
            lambda conn: freezing.end(conn, campaign.id, hold, planned, now)
        )
        assert ended is not None
        return ended

    async def spawned(self, parent: Campaign) -> Campaign:
        """The campaign of the next time of a repeating one."""
        now = self.clock()
        found = await self.store.campaigns.get(parent.id)
        assert found is not None
        assert found.starts_at is not None
        at, after = found.starts_at, found.starts_at + 24 * HOUR_S
        child = await self.store.db.write(lambda conn: campaigns.spawn(conn, found, at, after, now))
        assert child is not None
        return child

    async def actions(self) -> list[str]:
        return [row.action for row in reversed(await self.store.audit.newest(99))]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    room = Room(store, Clock())
    room.open()
    yield room
    await store.close()


# Writing


async def test_a_draft_is_made_once_for_a_message(room: Room) -> None:
    first = await room.draft()
    assert (first.status, first.created_by) == ("draft", LING)
    assert await room.draft() == first
    assert (await room.draft("other")).id != first.id
    assert await room.actions() == ["campaign.new", "campaign.new"]


async def test_the_first_preview_shows_text_people_and_a_code_and_changes_nothing(
    room: Room,
) -> None:
    members = await fans(room.store, room.clock(), 3)
    one = await room.draft()
    look = await room.look(one)
    assert [shown.text for shown in look.shown] == [WORDS]
    assert (look.findings, look.forecast.recipients) == ((), 3)
    assert set(look.forecast.sample) == set(members)
    assert look.code == (await room.look(one)).code
    assert await room.store.campaigns.get(one.id) == one


async def test_a_content_that_cannot_be_filled_is_shown_as_what_is_wrong(room: Room) -> None:
    one = await room.draft(variants=(Variant(content={"kind": "text", "text": "{{ nobody }}"}),))
    (shown,) = (await room.look(one)).shown
    assert shown.text.startswith("（文字 第 1 行第 4 个字：没有这个名字")
    assert "expected" not in shown.text
    assert "content-broken" in {found.rule for found in (await room.look(one)).errors}


async def test_whom_nobody_can_name_any_more_is_an_error_and_no_preview(room: Room) -> None:
    one = await room.draft(audience="segment:nowhere")
    found = await room.desk.check(one.new, who("check"))
    assert "audience-broken" in {each.rule for each in found}
    with pytest.raises(RuleError):
        await room.desk.look(one.id, who("look"))


async def test_an_account_there_is_not_reaches_nobody_and_says_so(room: Room) -> None:
    await fans(room.store, room.clock(), 2)
    one = await room.draft(channel="other")
    look = await room.look(one)
    assert look.forecast.problems == ("no_channel",)
    assert "channel-unknown" in {each.rule for each in look.errors}


async def test_an_edit_makes_a_scheduled_one_a_draft_and_voids_its_code(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft(starts_at=room.clock() + HOUR_S)
    old = (await room.look(one)).code
    assert (await room.confirm(one)).said is Said.DONE
    answer = await room.desk.edit(one.id, replace(one.new, title="开课了"), who("edit"))
    assert answer.said is Said.DONE
    assert answer.campaign is not None
    assert (answer.campaign.status, answer.campaign.title) == ("draft", "开课了")
    assert (await room.confirm(one, "again", code=old)).said is Said.WRONG_CODE
    assert (await room.confirm(one, "once more")).said is Said.DONE


async def test_another_time_wants_another_confirmation(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    old, at = (await room.look(one)).code, room.clock() + HOUR_S
    answer = await room.desk.schedule(one.id, at, who("schedule"))
    assert answer.campaign is not None
    assert answer.campaign.starts_at == at
    assert (await room.confirm(one, code=old)).said is Said.WRONG_CODE
    repeats = await room.draft("cron", kind="cron", cron="0 9 * * 1")
    answer = await room.desk.schedule(repeats.id, at, who("schedule 2"))
    assert answer.said is Said.WRONG_STATUS


async def test_undo_takes_back_the_last_change_and_at_last_the_making(room: Room) -> None:
    one = await room.draft()
    await room.desk.edit(one.id, replace(one.new, title="开课了"), who("edit"))
    answer = await room.desk.undo(one.id, who("undo"))
    assert answer.campaign is not None
    assert (answer.said, answer.campaign.title) == (Said.DONE, "开课")
    again = await room.desk.undo(one.id, who("undo"))
    assert again == answer
    ended = await room.desk.undo(one.id, who("undo 2"))
    assert ended.campaign is not None
    assert ended.campaign.status == "cancelled"
    assert (await room.desk.undo(one.id, who("undo 3"))).said is Said.WRONG_STATUS
    assert (await room.actions()).count("campaign.undo") == 2


async def test_with_nothing_to_take_back_undo_says_so(room: Room) -> None:
    # Made by the bot itself, as one time of a repeating one: no change of anybody's.
    one = await room.store.db.write(
        lambda conn: campaigns.insert(conn, new(), room.clock(), "system")
    )
    assert one is not None
    assert (await room.desk.undo(one.id, who("undo"))).said is Said.NOTHING


# Confirming


async def test_the_code_confirms_and_wakes_the_runner(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    answer = await room.confirm(one, code=f" {(await room.look(one)).code.lower()} ")
    assert answer.said is Said.DONE
    assert answer.campaign is not None
    assert (answer.campaign.status, answer.campaign.approved) == ("scheduled", 3)
    assert (answer.campaign.starts_at, room.woken) == (room.clock(), 1)
    assert await room.actions() == ["campaign.new", "campaign.confirm"]


async def test_the_same_confirmation_again_is_no_other_one(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    code = (await room.look(one)).code
    first = await room.confirm(one, code=code)
    # The message comes again after a crash; its code was of a draft without a time.
    second = await room.confirm(one, code=code)
    assert (second.said, second.campaign) == (Said.DONE, first.campaign)
    assert (await room.confirm(one, "typed again", code=code)).said is Said.AGAIN
    assert (await room.confirm(one, "another", WANG)).said is Said.AGAIN
    assert (await room.actions()).count("campaign.confirm") == 1


async def test_a_wrong_code_confirms_nothing(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    code = (await room.look(one)).code
    for typed in ("", "AAAA", code[:3], code + "A", "码码码码", "\ud800"):
        asked = who(f"c{typed!r}")
        assert (await room.desk.confirm(one.id, typed, asked)).said is Said.WRONG_CODE, typed
    # A code is one person's own.
    theirs = await room.desk.confirm(one.id, code, who("theirs", WANG))
    assert theirs.said is Said.WRONG_CODE
    found = await room.store.campaigns.get(one.id)
    assert found is not None
    assert found.status == "draft"


async def test_errors_stop_a_confirmation_unless_an_owner_overrides_them(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft(variants=(Variant(content=LOUD),))
    answer = await room.confirm(one)
    assert answer.said is Said.FINDINGS
    assert answer.look is not None
    assert {found.rule for found in answer.look.errors} == {"induced-sharing"}
    operator = await room.confirm(one, "op", WANG, "operator", override=True)
    assert operator.said is Said.OWNER_ONLY
    assert (await room.confirm(one, "mine", override=True)).said is Said.DONE
    assert (await room.actions())[-1] == "campaign.override"
    (told, *_) = await room.store.audit.newest(1)
    assert told.detail == "3 induced-sharing"


async def test_a_coupon_for_more_than_there_are_is_an_error(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=100, inventory=2)
    await room.store.offers.create(offer, room.clock(), "cli")
    words = "{{ coupon.code }} 回复「退订」不再接收"
    content = {"kind": "coupon", "offer": "早鸟", "text": words}
    one = await room.draft(routes=("custom",), variants=(Variant(content=content),))
    (found,) = (await room.look(one)).errors
    assert found.rule == "offer-too-few"
    assert "只剩 2 张，要发 3 张" in found.say


async def test_what_is_fixed_nobody_overrides(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft(routes=("template",))
    answer = await room.confirm(one, override=True)
    assert answer.said is Said.FINDINGS
    assert answer.look is not None
    assert any(found.fixed for found in answer.look.errors)


async def test_everyone_needs_an_owner(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft(audience="everyone")
    answer = await room.confirm(one, "op", WANG, "operator")
    assert answer.said is Said.FINDINGS
    assert answer.look is not None
    assert [found.rule for found in answer.look.errors] == ["everyone-needs-owner"]
    assert (await room.confirm(one)).said is Said.DONE


async def test_nobody_to_reach_and_more_than_the_quota_are_refused_with_the_numbers(
    room: Room,
) -> None:
    one = await room.draft()
    answer = await room.confirm(one)
    assert answer.said is Said.NOBODY
    assert answer.look is not None
    assert answer.look.forecast.recipients == 0
    await fans(room.store, room.clock(), 3)
    room.open(custom_per_day=2)
    answer = await room.confirm(one, "again")
    assert answer.said is Said.IMPOSSIBLE
    assert answer.look is not None
    assert "api_quota" in answer.look.forecast.problems
    assert room.woken == 0


async def test_over_so_many_recipients_two_persons_confirm(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    room.open(two_person_over=2)
    one = await room.draft()
    assert (await room.confirm(one)).said is Said.WAITS
    assert (await room.confirm(one, "twice")).said is Said.WAITS
    assert room.woken == 0
    done = await room.confirm(one, "second", WANG, "operator")
    assert done.said is Said.DONE
    small = await room.draft("small", audience="member:1")
    assert (await room.confirm(small, "small")).said is Said.DONE


async def test_a_first_yes_does_not_count_for_another_state(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    room.open(two_person_over=2)
    one = await room.draft()
    assert (await room.confirm(one)).said is Said.WAITS
    room.clock.at += 60
    await room.desk.edit(one.id, replace(one.new, title="开课了"), who("edit"))
    assert (await room.confirm(one, "second", WANG)).said is Said.WAITS


async def test_a_repeating_one_begins_at_its_next_time(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft(kind="cron", cron="0 9 * * *")
    answer = await room.confirm(one)
    assert answer.said is Said.DONE
    assert answer.campaign is not None
    assert answer.campaign.starts_at is not None
    assert answer.campaign.starts_at > room.clock()
    # Its next time moves on by itself: that is no other state.
    assert (await room.confirm(one, "again")).said is Said.AGAIN


async def test_a_code_is_good_once(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    code = (await room.look(one)).code
    assert (await room.confirm(one, code=code)).said is Said.DONE
    assert (await room.desk.undo(one.id, who("undo"))).said is Said.DONE
    # The draft says what it said before, and yet nobody has seen it since.
    assert (await room.confirm(one, "again", code=code)).said is Said.WRONG_CODE
    fresh = (await room.look(one)).code
    assert fresh != code
    await room.desk.edit(one.id, replace(one.new, title="开课了"), who("edit"))
    await room.desk.edit(one.id, one.new, who("edit back"))
    assert (await room.confirm(one, "third", code=fresh)).said is Said.WRONG_CODE
    assert (await room.confirm(one, "fourth")).said is Said.DONE


async def test_another_meaning_of_a_segment_is_another_state(room: Room) -> None:
    members = await fans(room.store, room.clock(), 3)
    await room.segment(f"member:{members[0]}")
    one = await room.draft(audience="segment:test")
    code = (await room.look(one)).code
    await room.segment("active 30d")
    assert (await room.confirm(one, code=code)).said is Said.WRONG_CODE
    assert (await room.confirm(one, "again")).said is Said.DONE
    # Somebody's first yes does not count for another list either.
    room.open(two_person_over=2)
    two = await room.draft("two", audience="segment:test")
    assert (await room.confirm(two, "2")).said is Said.WAITS
    await room.segment("active 29d")
    assert (await room.confirm(two, "3", WANG)).said is Said.WAITS


# A list that is not the one that was confirmed


async def test_a_segment_that_was_changed_voids_what_was_confirmed(room: Room) -> None:
    members = await fans(room.store, room.clock(), 3)
    await room.segment(f"member:{members[0]}")
    one = await room.draft(audience="segment:test")
    same = await room.draft("same", audience="segment:test", starts_at=room.clock() + HOUR_S)
    assert (await room.confirm(one)).said is Said.DONE
    assert (await room.confirm(same, "confirm same")).said is Said.DONE
    assert (await room.frozen(same, 1)).status == "running", "nothing was changed"
    await room.segment(f"member:{members[1]}")
    paused = await room.frozen(one, 1)
    assert (paused.status, paused.note) == ("paused", "grown")
    operator = await room.desk.resume(one.id, who("op", WANG, "operator"))
    assert operator.said is Said.OWNER_ONLY
    assert (await room.desk.resume(one.id, who("owner"))).said is Said.DONE


async def test_what_has_grown_goes_on_with_an_owner_and_over_so_many_with_two_persons(
    room: Room,
) -> None:
    await fans(room.store, room.clock(), 3)
    room.open(two_person_over=100)
    one = await room.draft()
    await room.confirm(one)
    assert (await room.frozen(one, 300)).note == "grown"
    operator, owner = who("op", WANG, "operator"), who("owner")
    assert (await room.desk.resume(one.id, operator)).said is Said.OWNER_ONLY
    assert (await room.desk.resume(one.id, owner)).said is Said.WAITS
    assert (await room.desk.resume(one.id, owner)).said is Said.WAITS
    assert (await room.desk.resume(one.id, who("owner 2"))).said is Said.WAITS
    answer = await room.desk.resume(one.id, who("op 2", WANG, "operator"))
    assert answer.said is Said.DONE
    assert answer.campaign is not None
    assert answer.campaign.status == "running"
    # From now on it is one like any other.
    await room.desk.pause(one.id, who("pause", WANG, "operator"))
    assert (await room.desk.resume(one.id, who("op 3", WANG, "operator"))).said is Said.DONE


async def test_a_late_one_whose_segment_means_the_same_is_not_asked_about_again(
    room: Room,
) -> None:
    members = await fans(room.store, room.clock(), 3)
    await room.segment(f"member:{members[0]}")
    one = await room.draft(audience="segment:test", starts_at=room.clock() + 60)
    assert (await room.confirm(one)).said is Said.DONE
    await begun(room.store, one.id, "late", room.clock())
    room.clock.at += HOUR_S
    await room.desk.resume(one.id, who("resume", WANG, "operator"))
    assert (await room.frozen(one, 1)).status == "running"


async def test_a_late_one_does_not_go_on_to_others(room: Room) -> None:
    members = await fans(room.store, room.clock(), 3)
    await room.segment(f"member:{members[0]}")
    one = await room.draft(audience="segment:test", starts_at=room.clock() + 60)
    assert (await room.confirm(one)).said is Said.DONE
    await begun(room.store, one.id, "late", room.clock())
    await room.segment("points>=0")
    room.clock.at += HOUR_S
    await room.desk.resume(one.id, who("resume", WANG, "operator"))
    assert (await room.frozen(one, 1)).note == "grown"


async def test_each_time_of_a_repeating_one_is_as_it_was_confirmed(room: Room) -> None:
    members = await fans(room.store, room.clock(), 3)
    await room.segment(f"member:{members[0]}")
    one = await room.draft(audience="segment:test", kind="cron", cron="0 9 * * *")
    assert (await room.confirm(one)).said is Said.DONE
    assert (await room.frozen(await room.spawned(one), 1)).status == "running"
    await room.segment("active 30d")
    assert (await room.frozen(await room.spawned(one), 1)).note == "grown"


# Stopping


async def test_pause_resume_and_cancel_move_it_and_are_audited_once(room: Room) -> None:
    await fans(room.store, room.clock(), 3)
    one = await room.draft()
    await room.confirm(one)
    seen = []
    for name in ("pause", "pause", "resume", "cancel"):
        answer = await getattr(room.desk, name)(one.id, who(name))
        assert answer.campaign is not None
        seen.append((answer.said, answer.campaign.status))
    assert seen == [
        (Said.DONE, "paused"),
        (Said.DONE, "paused"),
        (Said.DONE, "scheduled"),
        (Said.DONE, "cancelled"),
    ]
    assert (await room.actions())[2:] == ["campaign.pause", "campaign.resume", "campaign.cancel"]
    assert room.woken == 3


async def test_a_verb_that_does_not_fit_says_so(room: Room) -> None:
    one = await room.draft()
    assert (await room.desk.pause(one.id, who("1"))).said is Said.WRONG_STATUS
    assert (await room.desk.resume(one.id, who("2"))).said is Said.WRONG_STATUS
    await begun(room.store, one.id, "running", room.clock())
    assert (await room.desk.edit(one.id, one.new, who("3"))).said is Said.WRONG_STATUS
    assert (await room.desk.undo(one.id, who("4"))).said is Said.WRONG_STATUS
    assert (await room.confirm(one, "5")).said is Said.WRONG_STATUS
    await room.desk.cancel(one.id, who("6"))
    assert (await room.desk.cancel(one.id, who("7"))).said is Said.WRONG_STATUS


async def test_the_yes_to_a_late_one_lets_it_go_now(room: Room) -> None:
    one = await room.draft(starts_at=room.clock() - HOUR_S)
    await room.store.db.write(
        lambda conn: conn.execute("update campaigns set status = 'late' where id = ?", (one.id,))
    )
    answer = await room.desk.resume(one.id, who("resume"))
    assert answer.campaign is not None
    assert (answer.campaign.status, answer.campaign.starts_at) == ("scheduled", room.clock())


async def test_of_a_campaign_there_is_not_every_verb_says_so(room: Room) -> None:
    desk, nobody = room.desk, new()
    said = [
        (await desk.edit(9, nobody, who("1"))).said,
        (await desk.schedule(9, None, who("2"))).said,
        (await desk.confirm(9, "AAAA", who("3"))).said,
        (await desk.pause(9, who("4"))).said,
        (await desk.resume(9, who("5"))).said,
        (await desk.cancel(9, who("6"))).said,
        (await desk.undo(9, who("7"))).said,
    ]
    assert said == [Said.NO_CAMPAIGN] * len(said)
    assert await desk.look(9, who("look")) is None
    assert await desk.told(9) is None
    assert await desk.to_phone(9, "A", 1)


@pytest.mark.parametrize("role", ["analyst", "member", ""])
async def test_who_may_only_look_changes_nothing(room: Room, role: str) -> None:
    one = await room.draft()
    code = (await room.look(one, WANG, role)).code
    desk, asked = room.desk, who("analyst", WANG, role)
    answers = [
        await desk.edit(one.id, replace(one.new, title="x"), asked),
        await desk.schedule(one.id, None, asked),
        await desk.confirm(one.id, code, asked),
        await desk.pause(one.id, asked),
        await desk.resume(one.id, asked),
        await desk.cancel(one.id, asked),
        await desk.undo(one.id, asked),
    ]
    assert [each.said for each in answers] == [Said.FORBIDDEN] * len(answers)
    assert not await desk.settle(1, True, asked)
    assert await room.store.campaigns.get(one.id) == one


# Afterwards


async def test_an_unknown_delivery_is_settled_once(room: Room) -> None:
    (member,) = await fans(room.store, room.clock(), 1)
    one = await room.draft()
    (unknown,) = await delivered(room.store, one.id, "unknown", member)
    assert await room.desk.settle(unknown, True, who("settle"))
    assert not await room.desk.settle(unknown, False, who("settle"))
    assert await room.store.deliveries.counts(one.id) == {"accepted": 1}
    assert (await room.actions()).count("delivery.settle") == 1


async def test_a_report_comes_with_a_chart_only_where_one_is_drawn_and_taken(room: Room) -> None:
    one = await room.draft()
    told = await room.desk.told(one.id, chart=True)
    assert told is not None
    assert (told.report.title, told.media_id) == ("开课", "")
    drawn: list[int] = []

    async def chart(told: Told) -> bytes:
        drawn.append(told.report.campaign_id)
        return b"png"

    room.open(chart=chart)
    told = await room.desk.told(one.id, chart=True)
    # No account is connected here, so there is nobody to take it.
    assert told is not None
    assert (drawn, told.media_id) == ([one.id], "")


async def test_a_preview_goes_to_a_phone_of_a_variant_there_is(room: Room) -> None:
    (member,) = await fans(room.store, room.clock(), 1)
    one = await room.draft()
    assert "版本" in await room.desk.to_phone(one.id, "B", member)
    assert await room.desk.to_phone(one.id, "A", member) == "没有这个公众号"


async def test_a_coupon_is_checked_against_the_offers_there_are(room: Room) -> None:
    coupon = {"kind": "coupon", "offer": "早鸟", "text": "{{ coupon.code }} 回复退订不再接收"}
    wanted: NewCampaign = new(
        variants=(Variant(content=coupon),), routes=("custom",), metric="claim"
    )
    found = await room.desk.check(wanted, who("check"))
    assert "offer-unavailable" in {each.rule for each in found}
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=100)
    await room.store.offers.create(offer, room.clock(), "test")
    assert [each for each in await room.desk.check(wanted, who("check")) if each.fixed] == []
