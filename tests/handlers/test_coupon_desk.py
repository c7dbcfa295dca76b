"""/coupon: an offer written down, previewed, confirmed; giving, taking back, and the figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from handlers.context import SHANGHAI
from handlers.coupon_text import Fault, parse
from store.offers import NewOffer
from tests.handlers.conftest import Conversation, day
from tests.handlers.test_coupons import code_in, used

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI)
FULL = (
    "早鸟 | 立减50元 | 满200 | 100张 | 每人1张 | 领取后7天有效 | 截止 12-01 "
    "| 限 py-zero,#编程 | 给 tag:vip | 可叠加 | 50积分"
)


def read(text: str) -> NewOffer:
    offer, wrong = parse(text, NOW)
    assert offer is not None, wrong
    return offer


def faults_of(text: str) -> list[tuple[int, str]]:
    offer, wrong = parse(text, NOW)
    assert offer is None
    return [(one.number, one.why) for one in wrong]


# The written form


def test_the_whole_form_in_any_order() -> None:
    wanted = NewOffer(
        word="早鸟",
        title="早鸟券",
        kind="amount",
        value=5000,
        min_spend_cents=20_000,
        inventory=100,
        per_member=1,
        valid_days=7,
        claim_until=day("2026-12-02"),
        items=("py-zero",),
        categories=("编程",),
        audience="tag:vip",
        stackable=True,
        points_price=50,
    )
    assert read(FULL) == wanted
    word, *rest = FULL.split("|")
    assert read("|".join((word, *reversed(rest)))) == wanted
    assert read("｜".join((word, *rest))) == wanted
    full_width = FULL.replace("50元", "５０元").replace("12-01", "１２－０１").replace(":", "：")
    assert read(full_width) == wanted


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("减 9.9", {"kind": "amount", "value": 990}),
        ("50元券", {"kind": "amount", "value": 5000}),
        ("满200减50", {"kind": "amount", "value": 5000, "min_spend_cents": 20_000}),
        ("打8折", {"kind": "percent", "value": 20}),
        ("8.5 折 最高减30元", {"kind": "percent", "value": 15, "cap_cents": 3000}),
        ("85折", {"kind": "percent", "value": 15}),
        ("9.9折", {"kind": "percent", "value": 1}),
        ("免费试用 7 天", {"kind": "trial", "value": 7}),
        ("送 py-101+py-102", {"kind": "bundle", "items": ("py-101", "py-102")}),
    ],
)
def test_what_it_is_worth(part: str, fields: dict[str, Any]) -> None:
    offer = read(f"词 | {part}")
    assert {name: getattr(offer, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("不限量", "inventory", None),
        ("限量 30 张", "inventory", 30),
        ("一人限领2张", "per_member", 2),
        ("15天内有效", "valid_days", 15),
        ("有效至 12月31日", "valid_until", day("2027-01-01")),
        ("截止 2026-12-01 20:00", "claim_until", day("2026-12-01") + 20 * 3600),
        ("截止 01-05", "claim_until", day("2027-01-06")),
        ("截止 11-21", "claim_until", day("2026-11-22")),
        ("截止 2028-02-29", "claim_until", day("2028-03-01")),
        ("从 11/25 起", "claim_from", day("2026-11-25")),
        ("开始 11-25 9:05", "claim_from", day("2026-11-25") + 9 * 3600 + 300),
        ("给 level>=2 and did:checkin", "audience", "level>=2 and did:checkin"),
        ("给 tag:VIP", "audience", "tag:VIP"),
        ("不可叠加", "stackable", False),
        ("码池", "pool", True),
        ("标题：早鸟 · 优惠，先到先得", "title", "早鸟 · 优惠，先到先得"),
    ],
)
def test_every_other_part(part: str, name: str, value: object) -> None:
    assert getattr(read(f"词 | 减5 | {part}"), name) == value


def test_a_word_is_folded_and_an_empty_part_is_nothing() -> None:
    assert read("Double11 | 减5 |  | ").word == "double11"
    assert read("早鸟券 | 减5").title == "早鸟券"
    assert read("VIP | 减5").title == "VIP券", "as it was typed"
    for typed in ("早鸟？", "「早鸟」", "早鸟。", "早鸟！"):
        assert (read(f"{typed} | 减5").word, read(f"{typed} | 减5").title) == ("早鸟", "早鸟券")
    assert read("早鸟\n立减50元\n满200").min_spend_cents == 20_000, "lines, as on a phone"
    assert read("词 | 八折 | 一人一张").per_member == 1


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("早鸟", [(1, "no_worth")]),
        ("", [(1, "no_worth")]),
        (" | 减5", [(1, "word")]),
        ("早 鸟 | 减5", [(1, "word")]),
        ("2 | 减5", [(1, "word")]),
        ("二 | 减5", [(1, "word")]),
        ("立减50元 | 满200", [(1, "no_word")]),
        ("词 | 打10折", [(2, "fold")]),
        ("词 | 打80折", [(2, "fold")]),
        ("坏 词 | 减5 | 每人0张 | 截止 2025-01-01", [(1, "word"), (3, "number"), (4, "past")]),
        ("词 | 减0 | 啥 | 截止 2025-01-01", [(2, "value"), (3, "unknown"), (4, "past")]),
        ("词 | 便宜一点", [(2, "unknown")]),
        ("词 | 减5 | 减6", [(3, "twice")]),
        ("词 | 减5 | 打8折", [(3, "twice")]),
        ("词 | 减0", [(2, "value")]),
        ("词 | 打0折", [(2, "fold")]),
        ("词 | 打10.5折", [(2, "fold")]),
        ("词 | 减5 | 最高减3", [(3, "cap")]),
        ("词 | 减5 | 截止 02-30", [(3, "day")]),
        ("词 | 减5 | 截止 12-01 25:00", [(3, "day")]),
        ("词 | 减5 | 截止 2026-11-01", [(3, "past")]),
        ("词 | 减5 | 有效至 2026-11-01", [(3, "past")]),
        ("词 | 减5 | 开始 12-05 | 截止 12-01", [(4, "times")]),
        ("词 | 减5 | 0天有效", [(3, "days")]),
        ("词 | 减5 | 2000000张", [(3, "inventory")]),
        ("词 | 减5 | 码池 | 10张", [(4, "inventory")]),
        ("词 | 减5 | 每人0张", [(3, "number")]),
        ("词 | 减5 | 限 a,a", [(3, "items")]),
        ("词 | 减5 | 99张 | 啥 | 给 vip", [(4, "unknown"), (5, "rule")]),
        (f"{'长' * 21} | 减5", [(1, "word")]),
    ],
)
def test_what_is_wrong_is_named_by_its_part(text: str, wrong: list[tuple[int, str]]) -> None:
    assert faults_of(text) == wrong


def test_a_rule_is_wrong_from_a_sign_on() -> None:
    offer, wrong = parse("词 | 减5 | 给 tag:vip and lvl>2", NOW)
    assert offer is None
    assert wrong == [Fault(3, "给 tag:vip and lvl>2", "rule", 13)]


# Making one


@pytest.fixture
async def desk(talk: Conversation) -> Conversation:
    """o_op is an operator."""
    await talk.promote("o_op")
    return talk


async def op(desk: Conversation, text: str, *, crash_first: bool = False) -> str:
    return await desk.say(text, "o_op", crash_first=crash_first)


async def audit(desk: Conversation) -> list[tuple[str, str]]:
    rows = await desk.store.audit.newest(50)
    return [(row.action, row.target) for row in reversed(rows)]


async def test_members_learn_nothing_of_the_desk(desk: Conversation) -> None:
    assert await desk.say("/coupon list") == desk.texts("operator.not_allowed")
    assert await op(desk, "/coupon") == desk.texts("coupon_desk.usage")
    assert "/coupon revoke" in await op(desk, "/coupon revok ABCD")
    assert await op(desk, "/coupon 你好") == desk.texts("coupon_desk.usage")


async def test_an_offer_is_previewed_confirmed_and_can_be_claimed(desk: Conversation) -> None:
    said = await op(desk, f"/coupon new {FULL}")
    for line in (
        "标题：早鸟券",
        "面值：减 50 元",
        "条件：满 200 元可用，限《零基础学 Python》、「编程」，可和别的可叠加券一起用",
        "数量：100 张，每人 1 张",
        "领取：现在开始，领到 12月1日 为止",
        "有效：领取后 7 天内",
        "对象：运营指定的成员（tag:vip）",
        "价格：要 50 积分",
        "成员问「领券」和这个词时会看到：",
        "早鸟券：减 50 元",
        "想换就回复「兑换 早鸟」。",
    ):
        assert line in said.split("\n"), line
    assert "注意" not in said
    assert await desk.store.offers.all() == [], "nothing is made before it is confirmed"
    made = await op(desk, "确认", crash_first=True)
    assert made == desk.texts(
        "coupon_desk.made", title="早鸟券", how=desk.texts("coupon.how_exchange", word="早鸟")
    )
    (offer,) = await desk.store.offers.all()
    assert offer.created_by == f"member:{await desk.member('o_op')}"
    assert await audit(desk) == [("coupon.new", f"offer:{offer.id}")]
    assert "已经有一种没结束的券" in await op(desk, "/coupon new 早鸟 | 减5")


async def test_a_word_taken_while_the_question_waited(desk: Conversation) -> None:
    await op(desk, "/coupon new 早鸟 | 减5")
    first = NewOffer(word="早鸟", title="别的", kind="trial", value=3)
    await desk.store.offers.create(first, desk.at, "cli")
    assert "已经有一种没结束的券" in await op(desk, "确认")
    assert [one.title for one in await desk.store.offers.all()] == ["别的"]


async def test_what_cannot_be_read_is_listed_and_nothing_is_kept(desk: Conversation) -> None:
    said = await op(desk, "/coupon new 早鸟 | 立减五十 | 给 vip | 截止 02-30")
    assert said.split("\n") == [
        desk.texts("coupon_desk.faults"),
        "第 2 段「立减五十」看不懂，写法见「/coupon new」。",
        "第 3 段「给 vip」" + desk.texts("coupon_desk.fault_rule", at=1),
        "第 4 段「截止 02-30」" + desk.texts("coupon_desk.fault_day"),
        desk.texts("coupon_desk.faults_tail"),
    ]
    assert await op(desk, "确认") == desk.texts("operator.confirm_nothing")
    assert await op(desk, "/coupon new") == desk.texts("coupon_desk.new_usage")


async def test_unknown_items_and_a_pool_are_pointed_out(desk: Conversation) -> None:
    said = await op(desk, "/coupon new 书 | 送 write+py-999 | 码池")
    assert said == desk.texts("coupon_desk.bundle_unknown", items="py-999"), "nobody could have it"
    said = await op(desk, "/coupon new 书 | 送 write | 码池 | 有效至 12-31")
    assert "面值：送《写作入门》" in said
    assert "有效：到 12月31日 为止" in said
    assert "告诉成员：想要就回复「领券 书」。\n领到时会看到：\n领到了：书券" in said
    assert "券码 XXXX-XXXX-XXXXX" in said
    assert "zhiqun import codes 书" in await op(desk, "确认")
    assert "等待导入券码" in await op(desk, "/coupon list")
    odd = await op(desk, "/coupon new 多 | 减300 | 满200 | 限 py-999 | 给 tier:gold")
    assert "内容目录里没有 py-999" in odd
    assert "配置里没有会员等级 gold" in odd
    assert desk.texts("coupon_desk.above_least") in odd
    assert "没有分类 烹饪" in await op(desk, "/coupon new 饭 | 减5 | 限 #烹饪,#python")


async def test_every_fault_has_its_sentence(desk: Conversation) -> None:
    whys = (
        "unknown",
        "twice",
        "no_worth",
        "no_word",
        "word",
        "title",
        "value",
        "fold",
        "cap",
        "amount",
    )
    more = ("items", "audience", "number", "inventory", "times", "days", "day", "past")
    for why in (*whys, *more):
        assert desk.texts(f"coupon_desk.fault_{why}")


# Watching, pausing, closing


async def made(desk: Conversation, text: str = "早鸟 | 立减50元 | 2张") -> int:
    await op(desk, f"/coupon new {text}")
    await op(desk, "确认")
    return (await desk.store.offers.all())[0].id


async def test_pausing_asks_opening_does_not_closing_is_for_good(desk: Conversation) -> None:
    number = await made(desk)
    code = code_in(await desk.say("领 早鸟"))
    assert "领走的 1/2 张照常能用" in await op(desk, "/coupon pause 早鸟")
    assert "领到了" in await desk.say("领 早鸟", "o_2"), "only asked so far"
    assert "已暂停" in await op(desk, "确认", crash_first=True)
    assert "暂时停领" in await desk.say("领 早鸟", "o_3")
    assert "暂停中" in await op(desk, "/coupon pause 早鸟")
    assert "已开放" in await op(desk, f"/coupon open #{number}")
    assert "不能再打开" in await op(desk, "/coupon close 早鸟")
    assert "已关闭" in await op(desk, "确认")
    closed = desk.texts("coupon_desk.closed", title="早鸟券")
    assert await op(desk, f"/coupon open {number}") == closed
    assert await op(desk, "/coupon open 早鸟") == closed, "its word is still known"
    assert "/coupon close" in await op(desk, "/coupon delete 早鸟")
    assert await op(desk, "/coupon report all") == await op(desk, "/coupon report")
    assert code in await desk.say("我的券"), "what was claimed stays good"
    target = f"offer:{number}"
    assert await audit(desk) == [
        ("coupon.new", target),
        ("coupon.paused", target),
        ("coupon.open", target),
        ("coupon.closed", target),
    ]


async def test_the_list_says_what_members_meet(desk: Conversation) -> None:
    assert await op(desk, "/coupon list") == desk.texts("coupon_desk.list_none")
    assert await op(desk, "/coupon report") == desk.texts("coupon_desk.list_none")
    await made(desk, "甲 | 减5 | 1张")
    await made(desk, "乙 | 打8折 | 开始 11-25")
    await made(desk, "丙 | 试用7天 | 截止 11-22")
    await made(desk, "丁 | 减5 | 有效至 11-22")
    await desk.say("领 甲")
    desk.later(days=3)
    said = await op(desk, "/coupon list")
    assert said.split("\n")[1:] == [
        "#4 丁：减 5 元，发出 0，已过期",
        "#3 丙：免费试用 7 天，发出 0，领取已截止",
        "#2 乙：打 8 折，发出 0，还没开始",
        "#1 甲：减 5 元，发出 1/1，已领完",
    ]
    await desk.store.offers.set_status(3, "closed", desk.at)
    assert "丙" not in await op(desk, "/coupon list")
    assert "丙：免费试用 7 天，发出 0，已关闭" in await op(desk, "/coupon list all")
    shown = await op(desk, "/coupon show 乙")
    assert shown.startswith("#2「乙」，还没开始\n标题：乙券")
    assert "领取：11月25日开始，不限时" in shown
    assert await op(desk, "/coupon show 戊") == desk.texts(
        "coupon_desk.no_offer", word="戊", meant="「丁」、「乙」、「甲」"
    )


# Giving and taking back


async def test_a_gift_goes_past_the_window_and_is_told_once(desk: Conversation) -> None:
    number = await made(desk, "老友 | 减20 | 开始 12-01 | 给 tag:friend | 9积分 | 5张")
    lin, other = await desk.member(), await desk.member("o_other")
    said = await op(desk, f"/coupon grant 老友 {lin}、{other} {lin}")
    assert f"要给成员 {lin}、{other} 各发一张「老友券」（减 20 元），共 2 张" in said
    assert desk.pushed.sent == {}
    done = await op(desk, "确认", crash_first=True)
    assert done == desk.texts("coupon_desk.granted", count=2)
    (told,) = desk.pushed.to(lin)
    assert told.startswith("送你一张券：老友券，减 20 元")
    assert code_in(told) == code_in(await desk.say("我的券"))
    offer = await desk.store.offers.get(number)
    assert offer is not None
    assert offer.claimed == 2, "once, though it ran twice"
    again = await op(desk, f"/coupon grant 老友 成员{lin}")
    assert f"要给成员 {lin} 发一张「老友券」" in again
    assert (await op(desk, "确认")).split("\n") == [
        desk.texts("coupon_desk.granted_none"),
        f"没发给成员 {lin}：已经领满，每人 1 张，收回的也算",
    ]
    assert len(desk.pushed.to(lin)) == 1
    assert (await audit(desk))[1] == ("coupon.grant", f"offer:{number}")


async def test_a_gift_that_cannot_be_is_refused_before_it_is_asked(desk: Conversation) -> None:
    await made(desk)
    me = await desk.member()
    assert await op(desk, "/coupon grant 早鸟") == desk.texts("coupon_desk.grant_usage")
    assert await op(desk, "/coupon grant 早鸟 小林") == desk.texts("coupon_desk.grant_usage")
    assert "没有找到成员 99" in await op(desk, f"/coupon grant 早鸟 {me} 99")
    many = " ".join(str(number) for number in range(1, 102))
    assert "一次最多发给 100 位" in await op(desk, f"/coupon grant 早鸟 {many}")
    people = [await desk.member(f"o_{number}") for number in range(3)]
    said = await op(desk, "/coupon grant 早鸟 " + " ".join(map(str, people)))
    assert said == desk.texts("coupon_desk.grant_too_few", title="早鸟券", left=2, count=3)
    assert "没有叫「晚鸟」的券" in await op(desk, f"/coupon grant 晚鸟 {me}")
    assert await op(desk, "确认") == desk.texts("operator.confirm_nothing")


async def test_the_last_ones_went_while_the_question_waited(desk: Conversation) -> None:
    await made(desk)
    people = [await desk.member("o_a"), await desk.member("o_b")]
    await op(desk, f"/coupon grant 早鸟 {people[0]} {people[1]}")
    await desk.say("领 早鸟", "o_c")
    said = await op(desk, "确认")
    assert said.split("\n") == [
        desk.texts("coupon_desk.granted", count=1),
        f"没发给成员 {people[1]}：券不够了",
    ]


async def test_taking_back_needs_a_code_and_a_reason(desk: Conversation) -> None:
    await made(desk)
    code = code_in(await desk.say("领 早鸟"))
    me = await desk.member()
    assert await op(desk, f"/coupon revoke {code}") == desk.texts("coupon_desk.revoke_usage")
    unknown = await op(desk, "/coupon revoke ABCD-EFGH-JKMNP 发错了")
    assert unknown == desk.texts("coupon_desk.no_code")
    said = await op(desk, f"/coupon revoke {code.lower()} 发错了 重来")
    assert f"要收回成员 {me} 的「早鸟券」，券码 {code}" in said
    assert "原因：发错了 重来" in said
    assert await op(desk, "确认", crash_first=True) == desk.texts("coupon_desk.revoked")
    assert "被收回了" in await desk.say("我的券")
    again = await op(desk, f"/coupon revoke {code} 再来")
    assert again == desk.texts("coupon_desk.not_revocable", title="早鸟券")
    coupon = await desk.store.coupons.by_code(code)
    assert coupon is not None
    steps = await desk.store.coupons.steps(coupon.id)
    assert (steps[-1]["status"], steps[-1]["note"]) == ("revoked", "发错了 重来")
    assert ("coupon.revoke", f"coupon:{coupon.id}") in await audit(desk)
    logged = [row["text"] for row in await desk.interactions()]
    assert not any(code.lower() in text.lower() for text in logged)


async def test_one_used_while_the_question_waited_stays_used(desk: Conversation) -> None:
    await made(desk)
    code = code_in(await desk.say("领 早鸟"))
    await op(desk, f"/coupon revoke {code} 发错了")
    await used(desk, code)
    assert await op(desk, "确认") == desk.texts("coupon_desk.revoke_too_late")


async def test_a_code_of_the_pool_is_nobodys(desk: Conversation) -> None:
    number = await made(desk, "书 | 送 write | 码池")
    await desk.store.offers.add_codes(number, ["SHOP-1"], desk.at)
    said = await op(desk, "/coupon revoke SHOP-1 不要了")
    assert said == desk.texts("coupon_desk.nobodys", title="书券")


# The figures


async def test_the_report_counts_what_was_given_used_and_taken_off(desk: Conversation) -> None:
    await made(desk, "早鸟 | 立减50元")
    await used(desk, code_in(await desk.say("领 早鸟")))
    await desk.say("领 早鸟", "o_other")
    await op(desk, f"/coupon grant 早鸟 {await desk.member('o_third')}")
    await op(desk, "确认")
    assert "早鸟：发出 3，用掉 1，减 50 元" in await op(desk, "/coupon report")
    said = await op(desk, "/coupon report 早鸟")
    assert said.split("\n") == [
        "「早鸟券」",
        "发出 3，领到的成员 3 人",
        "还没用 2，付款中 0，用掉 1，过期 0，收回 0",
        "用券的订单共 200 元，减了 50 元",
        "来自：领取 2、发放 1",
    ]
