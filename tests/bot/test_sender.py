"""One call to WeChat for a campaign: what leaves, and which of five ends it has."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errcodes import CODES, Refused
from bot.sender import CUSTOM, MASS_LIST, MASS_TAG, NOTICE, TEMPLATE, sent_of
from sandbox.fake_rules import Call
from scheduler.sending import End, Sent
from store.codes import new_code
from tests.bot.campaign_world import COURSE, PUBLIC, SHOP, WANG, Campaigning, campaigning
from tests.bot.wechat_world import LIN, NOON

TEXT = {"kind": "text", "text": "新课上线"}
ARTICLE = {
    "kind": "article",
    "title": "三天学会 Python",
    "digest": "从零开始",
    "markdown": "# 第一天\n\n好的开始。\n\n![](cover)",
    "cover": "cover",
    "source_url": f"{SHOP}/py",
}
NOTE = {
    "kind": "notice",
    "template_id": "TEMPLATE_1",
    "data": {"thing1": "第 {{ days }} 天"},
    "url": f"{SHOP}/live",
}


@pytest.fixture
async def c(tmp_path: Path) -> AsyncIterator[Campaigning]:
    async with campaigning(tmp_path) as opened:
        yield opened


# To one member


async def test_a_text_reaches_its_member_once(c: Campaigning) -> None:
    assert await c.send(TEXT) == Sent(End.ACCEPTED)
    assert [(one.route, one.content) for one in c.inbox] == [("custom", "新课上线")]


REFUSALS = {
    40003: "not_following",
    43004: "not_following",
    50005: "not_following",
    46004: "not_following",
    43019: "blocked",
    48002: "muted",
    45015: "window_closed",
    45047: "allowance_used",
    43101: "no_grant",
    43117: "rate",
    40008: "content",
    40033: "content",
    45002: "content",
    47003: "content",
    41001: "error",
    99999: "error",
}


@pytest.mark.parametrize(("errcode", "reason"), REFUSALS.items())
async def test_what_would_fail_again_is_refused_with_its_reason(
    c: Campaigning, errcode: int, reason: str
) -> None:
    c.world.fake.api_errors[CUSTOM] = [errcode]
    sent = await c.send(TEXT)
    assert (sent.end, sent.reason, sent.errcode) == (End.REFUSED, reason, errcode)
    assert LIN not in sent.note
    assert c.inbox == []


@pytest.mark.parametrize("errcode", [45009, 45028, 48001, 48003, 48004, 48008, 50002, 40164])
async def test_what_no_other_message_would_survive_stops_the_campaign(
    c: Campaigning, errcode: int
) -> None:
    c.world.fake.api_errors[CUSTOM] = [errcode]
    sent = await c.send(TEXT)
    assert (sent.end, sent.errcode) == (End.STOP, errcode)
    assert sent.reason == ("quota" if errcode in (45009, 45028) else "error")
    assert re.search("[\u4e00-\u9fff]", sent.chat)


async def test_a_busy_wechat_is_asked_again_and_counts_its_tries(c: Campaigning) -> None:
    c.world.fake.api_errors[CUSTOM] = [-1]
    sent = await c.send(TEXT)
    assert (sent.end, sent.busy) == (End.LATER, True)
    assert c.world.sends() == 1, "never repeated here"


async def test_too_fast_leaves_the_route_alone_for_a_minute(c: Campaigning) -> None:
    c.world.fake.api_errors[CUSTOM] = [45011]
    campaign = await c.campaign(TEXT)
    first = await c.again(campaign)
    assert (first.end, first.pace_s, first.reason) == (End.LATER, 60.0, "rate")
    assert (await c.again(campaign)).pace_s == 60.0, "not even asked"
    assert c.world.sends() == 1
    c.world.clock.at += 61
    assert (await c.again(campaign)).end is End.ACCEPTED


async def test_an_expired_token_is_nothing_anybody_notices(c: Campaigning) -> None:
    await c.clients["mp"].token()
    c.world.fake.expire_tokens()
    assert (await c.send(TEXT)).end is End.ACCEPTED
    assert len(c.inbox) == 1


async def test_a_token_that_stays_bad_is_tried_again_in_a_minute(c: Campaigning) -> None:
    c.world.fake.api_errors[CUSTOM] = [40001] * 3
    sent = await c.send(TEXT)
    assert (sent.end, sent.after_s) == (End.LATER, 60.0)


def fails(fault: str, path: str) -> Callable[[Call], str]:
    return lambda call: fault if call.path == path else ""


@pytest.mark.parametrize(("fault", "arrived"), [("lost", 1), ("cut", 0)])
async def test_a_call_that_nobody_heard_of_is_unknown(
    c: Campaigning, fault: str, arrived: int
) -> None:
    c.world.fake.faults = fails(fault, CUSTOM)
    assert (await c.send(TEXT)).end is End.UNKNOWN
    assert len(c.inbox) == arrived


async def test_an_answer_that_takes_too_long_is_unknown_too(c: Campaigning) -> None:
    c.world.fake.faults = fails("hang", CUSTOM)
    c.world.fake.hang_s = 2.0
    slow = c.world.client(timeout_s=0.2)
    c.clients["mp"] = slow
    await slow.token()
    assert (await c.send(TEXT)).end is End.UNKNOWN
    assert len(c.inbox) == 1


async def test_a_wechat_that_is_not_there_got_nothing(c: Campaigning) -> None:
    await c.clients["mp"].token()
    c.clients["mp"] = c.world.client(api_base="http://127.0.0.1:1")
    sent = await c.send(TEXT)
    assert (sent.end, sent.busy) == (End.LATER, False)


def test_every_code_we_know_has_an_end() -> None:
    ends = {code: sent_of(Refused("message/custom/send", code)).end for code in CODES}
    assert ends.pop(45065) is End.ACCEPTED
    assert End.ACCEPTED not in ends.values()
    assert End.UNKNOWN not in ends.values(), "WeChat said no: nothing was sent"


# What it says


async def test_gaps_are_filled_with_what_is_true_of_the_member(tmp_path: Path) -> None:
    names = {"paid-monthly": "月度会员"}
    async with campaigning(tmp_path, levels=(10, 100), tier_name=names.__getitem__) as c:
        store = c.world.store
        await store.points.post(c.member, 30, "operator", "p1", NOON, actor="cli")
        await store.memberships.give(
            c.member, "paid-monthly", NOON, source_key="t", by="cli", tiers=("paid-monthly",)
        )
        c.world.clock.at += 3 * 86_400
        c.world.fake.open_window(LIN, "message")
        words = "{{ tier }} {{ level }} {{ points }} {{ days }} {{ invited }} {{ business }}"
        await c.send({"kind": "text", "text": words})
        assert c.inbox[0].content == "月度会员 1 30 3 0 知行社"


async def test_a_gap_for_the_topic_is_the_campaigns(c: Campaigning) -> None:
    campaign = await c.campaign({"kind": "text", "text": "{{ topic }} 来了"}, topic="直播")
    await c.again(campaign)
    assert c.inbox[0].content == "直播 来了"


async def test_links_are_the_members_own_and_counted_for_the_campaign(c: Campaigning) -> None:
    words = f'{{{{ link("py") }}}} 或 {SHOP}/live'
    campaign = await c.campaign({"kind": "text", "text": words})
    await c.again(campaign)
    tokens = re.findall(rf"{PUBLIC}/r/([\w-]+)", c.inbox[0].content)
    assert len(tokens) == 2
    links = {one.id: one for one in await c.world.store.links.page()}
    pairs = [c.linker.signer.read(token) for token in tokens]
    assert all(pair is not None and pair[1] == c.member for pair in pairs)
    made = [links[pair[0]] for pair in pairs if pair is not None]
    assert [(one.item_id, one.url) for one in made] == [("py", ""), ("", f"{SHOP}/live")]
    assert {(one.campaign, one.variant, one.source) for one in made} == {
        (f"c{campaign}", "A", "campaign")
    }


@pytest.mark.parametrize(
    "words",
    [
        "https://else.example/x",
        '{{ "https:" }}//else.example/x',
        "{% if points == 0 %}www.else.example{% endif %}",
        f'{SHOP}{{{{ ".else.example" }}}}/x',
        '{{ link("https://shop.example/a") }} 或 <a href="weixin://dl/business">点</a>',
    ],
)
async def test_an_address_off_the_list_never_leaves_however_it_came_about(
    c: Campaigning, words: str
) -> None:
    campaign = await c.campaign({"kind": "text", "text": words})
    sent = await c.again(campaign)
    assert sent.end is End.REFUSED
    assert sent.reason == "content"
    payload = await c.sender.payload(c.part(campaign))
    assert isinstance(payload, Sent)
    assert c.inbox == []


async def test_a_vote_for_an_address_off_the_list_never_leaves(c: Campaigning) -> None:
    poll = {"kind": "poll", "question": "选", "options": ["else.example/x", "b.cn"]}
    assert (await c.send(poll)).end is End.REFUSED
    assert c.inbox == []


async def test_an_items_own_address_may_lead_anywhere(c: Campaigning) -> None:
    await c.world.store.catalogue.put(
        [replace(COURSE, id="far", url="https://far.example/a(1)")], NOON
    )
    text = "《{{ item.title }}》{{ item.url }}，{{ link('far') }}。"
    content = {"kind": "item", "text": text, "fallback": "far"}
    new = c.new(content)
    assert await c.phone.shown(new, "A", None) == (
        "《零基础学 Python》https://far.example/a(1)，https://far.example/a(1)。"
    )
    assert (await c.send(content)).end is End.ACCEPTED


async def test_the_coupons_code_stands_in_its_message(c: Campaigning) -> None:
    from store.offers import NewOffer

    ends = NOON + 86_400
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, valid_until=ends)
    await c.world.store.offers.create(offer, NOON, "cli")
    words = "{{ coupon.title }} {{ coupon.code }} 到 {{ coupon.ends }}"
    campaign = await c.campaign({"kind": "coupon", "offer": "早鸟", "text": words})
    await c.again(campaign, coupon=new_code())
    # As in 我的券: a code in groups, a day without the year that it is anyway.
    assert re.fullmatch(r"早鸟券 \w{4}-\w{4}-\w{5} 到 11月22日 12:00", c.inbox[0].content, re.ASCII)
    await c.again(campaign, coupon="SHOP2026")
    assert "SHOP2026" in c.inbox[1].content, "a shop's own code stays as it is"
    shown = await c.phone.shown(
        c.new({"kind": "coupon", "offer": "早鸟", "text": words}), "A", None
    )
    assert re.fullmatch(r"早鸟券 \w{4}-\w{4}-\w{5} 到 .*", shown, re.ASCII)


async def test_the_best_item_for_a_member_or_else_the_fallback(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    async def best(member_ids: Any) -> dict[int, str]:
        asked.append(list(member_ids))
        return dict.fromkeys(member_ids, "gone")

    async with campaigning(tmp_path, best=best) as c:
        words = "{{ item.title }} {{ item.price }} 元 {{ item.url }}"
        await c.send({"kind": "item", "text": words, "fallback": "py"})
        assert c.inbox[0].content.startswith(f"零基础学 Python 199 元 {PUBLIC}/r/")
        assert asked == [[c.member]]


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "item", "text": "{{ item.title }}", "fallback": "nothing"},
        {"kind": "coupon", "offer": "没有", "text": "{{ coupon.code }}"},
        {"kind": "text", "text": '{{ link("nothing") }}'},
        {"kind": "image", "asset": "nothing"},
        {"kind": "notice", "template_id": "TEMPLATE_1", "data": {"thing1": "x"}},
    ],
)
async def test_a_content_that_cannot_be_filled_is_refused_before_any_call(
    c: Campaigning, content: dict[str, Any]
) -> None:
    sent = await c.send(content)
    assert (sent.end, sent.reason, sent.errcode) == (End.REFUSED, "content", None)
    assert c.world.sends() == 0


async def test_five_hundred_members_are_asked_about_in_slices(tmp_path: Path) -> None:
    slices: list[int] = []

    async def best(member_ids: Any) -> dict[int, str]:
        slices.append(len(member_ids))
        return {}

    async with campaigning(tmp_path, best=best) as c:
        words = "{{ item.title }} {{ points }}"
        new = c.new({"kind": "item", "text": words, "fallback": "py"})
        text = await c.filling.of(new, "A")
        filled = await asyncio.gather(*(c.filling.fill(text, n) for n in range(1, 501)))
        assert {one.text for one in filled} == {"零基础学 Python 0"}
        assert sum(slices) == 500
        assert len(slices) < 10


@pytest.mark.parametrize(
    ("content", "alike"),
    [
        ({"kind": "text", "text": "今晚见"}, True),
        ({"kind": "text", "text": "{{ business }}：今晚见"}, True),
        ({"kind": "text", "text": "你有 {{ points }} 分"}, False),
        ({"kind": "text", "text": "看 {{ link('py') }}"}, False),
        ({"kind": "text", "text": "看 https://shop.example/py"}, False),
        ({"kind": "item", "text": "看 {{ item.url }}", "fallback": "py"}, False),
    ],
)
async def test_what_is_the_same_for_all_is_filled_once_and_what_is_not_never_is(
    c: Campaigning, content: dict[str, Any], alike: bool
) -> None:
    text = await c.filling.of(c.new(content), "A", label="c1")
    one, other = await c.filling.fill(text, c.member), await c.filling.fill(text, 99)
    assert (one is other) is alike
    if "{{ link" in str(content) or "https" in str(content) or "url" in str(content):
        assert one.text != other.text, "each has a link of their own"


# Pictures, cards, questions


async def test_a_picture_is_uploaded_once_for_all(c: Campaigning) -> None:
    campaign = await c.campaign({"kind": "image", "asset": "cover"})
    ends = await asyncio.gather(*(c.again(campaign) for _ in range(3)))
    assert {one.end for one in ends} == {End.ACCEPTED}
    assert c.world.fake.calls["/cgi-bin/media/upload"] == 1
    assert {one.content for one in c.inbox} == set(c.world.fake.media)


async def test_a_picture_that_wechat_forgot_is_uploaded_again_but_not_for_ever(
    c: Campaigning,
) -> None:
    campaign = await c.campaign({"kind": "image", "asset": "cover"})
    assert (await c.again(campaign)).end is End.ACCEPTED
    c.world.clock.at += 3600
    c.world.fake.api_errors[CUSTOM] = [40007]
    assert (await c.again(campaign)).end is End.LATER
    assert (await c.again(campaign)).end is End.ACCEPTED
    assert c.world.fake.calls["/cgi-bin/media/upload"] == 2
    c.world.fake.api_errors[CUSTOM] = [40007]
    sent = await c.again(campaign)
    assert (sent.end, sent.reason) == (End.REFUSED, "content"), "a new upload did not help"


@pytest.mark.parametrize(
    ("fault", "end"), [("busy", End.LATER), ("lost", End.LATER), ("cut", End.LATER)]
)
async def test_an_upload_that_fails_sent_nothing(c: Campaigning, fault: str, end: End) -> None:
    c.world.fake.faults = fails(fault, "/cgi-bin/media/upload")
    assert (await c.send({"kind": "image", "asset": "cover"})).end is end
    assert c.world.sends() == 0


async def test_a_question_goes_as_a_menu(c: Campaigning) -> None:
    c.world.fake.open_window(LIN, "message")
    number = await c.campaign({"kind": "poll", "question": "想学？", "options": ["写作", "Python"]})
    await c.again(number)
    assert c.inbox[0].kind == "msgmenu"
    ids = [one["id"] for one in c.inbox[0].raw["msgmenu"]["list"]]
    assert ids == [f"poll:c{number}:A:1", f"poll:c{number}:A:2"], "a tap says whose vote it is"
    assert "写作" in c.inbox[0].content


# Notices


async def test_a_template_message_says_its_number(c: Campaigning) -> None:
    sent = await c.send(NOTE, "template")
    assert sent.end is End.ACCEPTED
    assert int(sent.wechat_id) in c.world.fake.notices.sent
    [seen] = c.inbox
    assert (seen.route, seen.content) == ("template", "thing1：第 0 天")
    assert seen.raw["url"].startswith(f"{PUBLIC}/r/")
    assert c.world.fake.calls[TEMPLATE] == 1


async def test_a_subscription_notice_needs_a_permission(c: Campaigning) -> None:
    sent = await c.send(NOTE, "notice")
    assert (sent.end, sent.reason) == (End.REFUSED, "no_grant")
    c.world.fake.members[LIN].grants["TEMPLATE_1"] = 1
    assert (await c.send(NOTE, "notice")).end is End.ACCEPTED
    assert c.world.fake.calls[NOTICE] == 2


# Mass sends


async def sealed(c: Campaigning, content: dict[str, Any], **fields: Any) -> Any:
    campaign = await c.campaign(content)
    payload = await c.sender.payload(c.part(campaign))
    assert isinstance(payload, str), payload
    return c.part(campaign, payload, **fields)


async def test_a_part_reaches_all_on_its_list_once(c: Campaigning) -> None:
    part = await sealed(c, TEXT)
    sent = await c.sender.mass(part)
    assert (sent.end, sent.data_id) == (End.ACCEPTED, "")
    job = c.world.fake.mass.jobs[int(sent.wechat_id)]
    assert (job.client_id, job.openids) == ("zq-1-1", (LIN, WANG))
    again = await c.sender.mass(part)
    assert (again.end, again.after_s, again.errcode) == (End.LATER, 60.0, 45066)
    c.world.clock.at += 61
    third = await c.sender.mass(part)
    assert (third.end, third.wechat_id) == (End.ACCEPTED, sent.wechat_id), "45065"
    assert len(c.inbox) == 1


async def test_a_part_that_was_lost_on_the_way_is_found_by_its_name(c: Campaigning) -> None:
    part = await sealed(c, TEXT)
    c.world.fake.faults = fails("lost", MASS_LIST)
    assert (await c.sender.mass(part)).end is End.UNKNOWN
    c.world.fake.faults = lambda call: ""
    c.world.clock.at += 61
    assert (await c.sender.mass(part)).end is End.ACCEPTED
    assert len(c.inbox) == 1


async def test_45065_at_the_first_call_is_a_yes(c: Campaigning) -> None:
    part = await sealed(c, TEXT)
    c.world.fake.faults = fails("first65", MASS_LIST)
    sent = await c.sender.mass(part)
    assert sent.end is End.ACCEPTED
    assert int(sent.wechat_id) in c.world.fake.mass.jobs


async def test_an_article_is_drafted_for_each_part(c: Campaigning) -> None:
    campaign = await c.campaign(ARTICLE)
    for number in (1, 2):
        part = c.part(campaign, client_id=f"zq-{number}")
        payload = await c.sender.payload(part)
        assert isinstance(payload, str)
        sent = await c.sender.mass(c.part(campaign, payload, client_id=f"zq-{number}"))
        assert sent.end is End.ACCEPTED
        assert sent.data_id
    assert [one.content for one in c.inbox] == ["三天学会 Python"] * 2
    calls = c.world.fake.calls
    assert calls["/cgi-bin/draft/add"] == 2
    assert calls["/cgi-bin/material/add_material"] == calls["/cgi-bin/media/uploadimg"] == 1
    article = next(iter(c.world.fake.mass.articles.values()))
    assert "<img" in article["content"]
    assert article["content_source_url"].startswith(f"{PUBLIC}/r/")


async def test_a_picture_of_a_mass_send_is_kept_for_ever(c: Campaigning) -> None:
    part = await sealed(c, {"kind": "image", "asset": "cover"})
    assert (await c.sender.mass(part)).end is End.ACCEPTED
    [media_id] = json.loads(part.payload)["images"]["media_ids"]
    assert media_id in c.world.fake.mass.permanent


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "text", "text": "{{ points }} 分"},
        {"kind": "coupon", "offer": "早鸟", "text": "{{ coupon.code }}"},
        NOTE,
    ],
)
async def test_what_differs_between_members_is_no_mass_send(
    c: Campaigning, content: dict[str, Any]
) -> None:
    made = await c.sender.payload(c.part(await c.campaign(content)))
    assert isinstance(made, Sent)
    assert (made.end, made.reason) == (End.REFUSED, "content")


async def test_by_tag_and_to_all(c: Campaigning) -> None:
    tag = await c.sender.make_tag("mp", "campaign:7")
    assert isinstance(tag, int)
    assert (await c.sender.tag("mp", tag, [WANG], on=True)).end is End.ACCEPTED
    part = await sealed(c, TEXT, route="mass_tag", tag_id=tag, openids=())
    assert (await c.sender.mass(part)).end is End.ACCEPTED
    assert c.inbox == []
    everyone = await sealed(c, TEXT, route="mass_all", client_id="zq-2", openids=())
    assert (await c.sender.mass(everyone)).end is End.ACCEPTED
    assert len(c.inbox) == 1
    third = await sealed(c, TEXT, route="mass_all", client_id="zq-3", openids=())
    assert (await c.sender.mass(third)).reason == "quota"
    assert c.world.fake.calls[MASS_TAG] == 3


async def test_what_became_of_a_send(c: Campaigning) -> None:
    c.world.fake.mass.finish_after_s = 60.0
    sent = await c.sender.mass(await sealed(c, TEXT))
    assert (await c.sender.state("mp", sent.wechat_id)).status == "sending"
    c.world.clock.at += 60
    assert (await c.sender.state("mp", sent.wechat_id)).status == "sent"
    for unknown in ("7", "x", ""):
        state = await c.sender.state("mp", unknown)
        assert state.status == ""
        assert "40059" in state.raw
    c.world.fake.mass.verdicts = ["err(10001)"]
    bad = await c.sender.mass(await sealed(c, TEXT, client_id="zq-2"))
    c.world.clock.at += 60
    assert (await c.sender.state("mp", bad.wechat_id)).status == "failed"


async def test_a_tag_is_made_once_and_dropped_twice(c: Campaigning) -> None:
    tag = await c.sender.make_tag("mp", "campaign:7")
    assert await c.sender.make_tag("mp", "campaign:7") == tag
    assert isinstance(tag, int)
    refused = await c.sender.tag("mp", tag, [LIN, "o_stranger"], on=True)
    assert (refused.end, refused.errcode) == (End.REFUSED, 40003)
    assert (await c.sender.tag("mp", tag, [LIN], on=True)).end is End.ACCEPTED
    assert (await c.sender.tag("mp", tag, [LIN], on=False)).end is End.ACCEPTED
    assert [(await c.sender.drop_tag("mp", tag)).end for _ in range(2)] == [End.ACCEPTED] * 2


async def test_a_full_account_makes_no_tag(c: Campaigning) -> None:
    c.world.fake.tags |= {number: f"tag {number}" for number in range(100, 199)}
    made = await c.sender.make_tag("mp", "campaign:7")
    assert isinstance(made, Sent)
    assert (made.end, made.errcode) == (End.REFUSED, 45056)
