"""What a campaign may not say or do: each of many campaigns judged, and the rule that says so."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest

from bot.campaign_content import ContentError
from bot.campaign_lint import Facts, Needs, lint, needs, plain, table, told, words
from handlers.context import SHANGHAI
from scheduler.planner import Account
from store import Store
from store.campaign_places import grouped
from store.campaigns import NewCampaign, Variant, faults
from store.offers import NewOffer, Offer
from store.rule_values import Stranger
from store.rules import Term
from tests.blank import blank
from tests.store.rows import course

CASES = [
    case
    for name in ("lint_cases.toml", "lint_cases_missing.toml", "lint_cases_groups.toml")
    for case in tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))["case"]
]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=SHANGHAI).timestamp()
QUIET = (time(22, 0), time(8, 0))


def offer(word: str, **fields: Any) -> Offer:
    """An offer, open and without limits."""
    plain: dict[str, Any] = {
        "title": word,
        "kind": "amount",
        "value": 100,
        "id": 1,
        "claimed": 0,
        "status": "open",
        "created_at": NOW,
        "created_by": "member:1",
        "closed_at": None,
    }
    return Offer(word=word, **{**plain, **fields})


def facts(**fields: Any) -> Facts:
    """A verified service account with a small shop."""
    plain: dict[str, Any] = {
        "hosts": ("shop.example.com",),
        "topics": ("新课", "直播"),
        "segments": {"new-readers": "new 14d"},
        "offers": {
            "早鸟": offer("早鸟"),
            "旧券": offer("旧券", status="closed"),
            "领完": offer("领完", inventory=5, claimed=5),
            "两张": offer("两张", inventory=5, claimed=3),
            "快完": offer("快完", valid_until=NOW + 60),
        },
        "items": {"py-101"},
        "quizzes": {2: "closed", 3: "running"},
        "assets": {"poster", "cover", "thumb"},
        "places": {"qun:1", "poster:robot"},
    }
    return Facts(now=NOW, quiet=QUIET, **{**plain, **fields})


def campaign(content: dict[str, Any], **fields: Any) -> NewCampaign:
    """A campaign by customer-service message to active members."""
    given: dict[str, Any] = {
        "title": "活动",
        "channel": "mp",
        "audience": "active 30d",
        "routes": ("custom",),
        "metric": "reply",
    }
    variants = (Variant(content=content), *fields.pop("more", ()))
    return NewCampaign(variants=variants, **{**given, **fields})


def of_case(case: dict[str, Any]) -> tuple[NewCampaign, Facts]:
    """The campaign of a case and what it is judged by."""
    names = ("audience", "metric", "marketing", "topic", "timing", "holdout", "kind")
    fields = {name: case[name] for name in names if name in case}
    if "routes" in case:
        fields["routes"] = tuple(case["routes"])
    if "other" in case:
        fields["more"] = (Variant(name="B", content=case["other"]),)
    if "starts" in case:
        moment = datetime.strptime(case["starts"], "%Y-%m-%d %H:%M").replace(tzinfo=SHANGHAI)
        fields["starts_at"] = moment.timestamp()
    if fields.get("kind") == "step":
        fields |= {"journey_id": 1, "delay_s": 0.0}
    if "places" in case:
        fields["places"] = tuple(case["places"])
    content = case.get("content") or {"kind": "text", "text": "退订" + "字" * case["long"]}
    kind = case.get("account", "service")
    account = Account(kind, case.get("verified", True)) if kind else None
    given = facts(account=account, owner=case.get("owner", False), share=case.get("share"))
    if "recipients" in case:
        given = replace(given, variants={"A": case["recipients"]})
    if "unknown" in case:
        name, value, near = case["unknown"]
        given = replace(given, unknown=(Stranger(Term(name, ":", value), near),))
    return grouped(campaign(content, **fields)), given


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_campaign_is_judged_by_its_rule(case: dict[str, Any]) -> None:
    new, known = of_case(case)
    # A rule that cannot be read is refused when it is written, and named by both.
    assert {field for field, _ in faults(new)} <= {"audience"}
    findings = lint(new, known)
    assert sorted({one.rule for one in findings}) == sorted(case["finds"]), findings
    for one in findings:
        rule = table()[one.rule]
        assert (one.severity, one.fixed, one.wechat) == (rule.severity, rule.fixed, rule.wechat)
        assert one.say
        assert "{part}" not in one.say


def test_there_are_enough_of_them_and_every_rule_has_one() -> None:
    forbidden = [case for case in CASES if case["finds"]]
    allowed = [case for case in CASES if not case["finds"]]
    assert len(allowed) >= 20
    assert len(forbidden) >= 40
    assert {rule for case in CASES for rule in case["finds"]} == set(table())


def test_the_table_says_what_each_rule_is() -> None:
    for name, rule in table().items():
        assert rule.severity in ("error", "warning"), name
        assert rule.say.endswith(("。", "{part}")), name
        # What nobody may override is never only a warning.
        assert not (rule.fixed and rule.severity == "warning"), name


def test_every_rule_is_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "campaigns.md").read_text("utf-8")
    for name, rule in table().items():
        severity = f"{rule.severity}, fixed" if rule.fixed else rule.severity
        assert f"| `{name}` | {severity} |" in page


def test_errors_come_first() -> None:
    new = campaign({"kind": "text", "text": "震惊！转发朋友圈领红包"})
    severities = [one.severity for one in lint(new, facts())]
    assert severities == ["error", "error", "warning"]


def test_a_broken_rule_points_at_its_character() -> None:
    new = campaign({"kind": "text", "text": "退订"}, audience="active 30d and colour:red")
    (finding,) = lint(new, facts())
    assert finding.where == "audience:16"
    assert "第 16 个字" in finding.say


def test_a_broken_template_points_at_its_line_and_column() -> None:
    new = campaign({"kind": "text", "text": "退订\n你好 {{ nickname }}"})
    (finding,) = lint(new, facts())
    assert (finding.rule, finding.where) == ("content-broken", "content.A")
    assert finding.say.startswith("文字 第 2 行第 7 个字：没有这个名字")


def test_what_belongs_to_another_kind_says_where_it_may_stand() -> None:
    new = campaign({"kind": "text", "text": "退订，券码 {{ coupon.code }}"})
    (finding,) = lint(new, facts())
    assert "coupon 只能写在优惠券里" in finding.say
    new = campaign({"kind": "coupon", "offer": "早鸟", "text": "退订 {{ item.title }}"})
    assert "item 只能写在推荐里" in lint(new, facts())[0].say


def test_a_text_that_is_too_long_is_named_as_in_the_form() -> None:
    new = campaign({"kind": "text", "text": "退订" + "字" * 700})
    assert lint(new, facts())[0].say.startswith("文字 太长")


def test_the_same_fault_of_two_versions_is_said_of_each() -> None:
    other = Variant(name="B", content={"kind": "text", "text": "退订，砍价，集赞有礼"})
    new = campaign({"kind": "text", "text": "退订，集赞有礼"}, more=(other,))
    assert [(one.rule, one.where) for one in lint(new, facts())] == [
        ("induced-sharing", "content.A"),
        ("induced-sharing", "content.B"),
    ]


def test_without_a_time_it_begins_at_once_quiet_hours_or_not() -> None:
    night = datetime(2026, 11, 20, 22, 30, tzinfo=SHANGHAI).timestamp()
    now = replace(facts(), now=night)
    new = campaign({"kind": "text", "text": "退订"})
    (finding,) = lint(new, now)
    assert (finding.rule, finding.where) == ("sleeps-first", "starts_at")
    assert "08:00" in finding.say
    assert lint(new, facts()) == []
    # One that repeats has its own times.
    assert (
        lint(campaign({"kind": "text", "text": "退订"}, kind="cron", cron="0 9 * * *"), now) == []
    )


def test_nearly_everyone_says_how_to_write_to_all() -> None:
    new = campaign({"kind": "text", "text": "退订"})
    (finding,) = lint(new, replace(facts(), share=0.97, number=12))
    assert "/campaign edit 12 对象 所有人" in finding.say
    assert "所有者" in finding.say


def test_the_table_speaks_chinese_of_people() -> None:
    for rule in table().values():
        assert "owner" not in rule.say
        assert "everyone" not in rule.say


def test_a_finding_names_its_variant() -> None:
    other = Variant(name="B", content={"kind": "text", "text": "退订，集赞有礼"})
    new = campaign({"kind": "text", "text": "退订"}, more=(other,))
    (finding,) = lint(new, facts())
    assert (finding.rule, finding.where) == ("induced-sharing", "content.B")
    assert "「集赞」" in finding.say


def test_the_plain_form_hides_nothing_between_the_letters() -> None:
    assert plain("集 ３８ 个*赞！\n送　{{ points }}课\u200b程") == "集38个赞|送|课程"


@pytest.mark.parametrize(
    "text",
    [
        "集🍀赞",
        "集.赞",
        "集\u200b赞",
        "集-赞",
        "转发此文章到朋友圈，凭截图领取",
        "分享海报到3个群，免费领课",
        "拉满5人送会员",
        "邀请两位新朋友，现金奖励到账",
        "领资料请先转发",
        "不转不是中国人",
    ],
)
def test_lures_in_other_words(text: str) -> None:
    found = {one.rule for one in lint(campaign({"kind": "text", "text": f"{text}。退订"}), facts())}
    assert found == {"induced-sharing"}


@pytest.mark.parametrize(
    "text",
    [
        "这门课不用集赞，也不用砍价",
        "我们从不要求转发朋友圈领奖",
        "把笔记分享给大家",
        "朋友圈写作课：怎样写出打动人的文案",
        "群里的同学请准备好问题",
        "最近有空吗？最后一节课在周五",
        "他是第一个交作业的",
        "密码学入门，周五开课",
        "你的身份证明了你是谁？哲学课见",
        "关注健康，周末徒步",
        "红包雨这首诗怎么赏析",
    ],
)
def test_plain_talk_is_no_lure(text: str) -> None:
    new = campaign({"kind": "text", "text": f"{text}。回复退订不再接收"})
    assert lint(new, facts()) == []


def test_an_offer_that_ends_before_the_start_is_none() -> None:
    content = {"kind": "coupon", "offer": "快完", "text": "{{ coupon.code }} 退订"}
    now = campaign(content, metric="claim")
    assert lint(now, facts()) == []
    later = campaign(content, metric="claim", starts_at=NOW + 3600)
    assert [one.rule for one in lint(later, facts())] == ["offer-unavailable"]


def test_nobody_looked_nothing_is_said() -> None:
    content = {"kind": "coupon", "offer": "没有", "text": "{{ coupon.code }} 退订"}
    unseen = facts(segments=None, offers=None, items=None, quizzes=None, assets=None, topics=())
    new = campaign(content, metric="claim", audience="segment:没有", topic="没有")
    assert lint(new, unseen) == []


def test_hours_that_are_never_quiet() -> None:
    at = datetime(2026, 11, 21, 23, 0, tzinfo=SHANGHAI).timestamp()
    new = campaign({"kind": "text", "text": "退订"}, starts_at=at)
    assert lint(new, Facts(now=NOW, quiet=(time(8), time(8)))) == []
    assert [one.rule for one in lint(new, Facts(now=NOW, quiet=(time(22), time(0))))] == [
        "sleeps-first"
    ]


def test_every_error_of_a_content_has_its_words() -> None:
    assert told(ContentError("variable", "x", where="text", line=1, column=2)).startswith(
        "文字 第 1 行第 2 个字：没有这个名字"
    )
    assert told(ContentError("kind", "one of", where="kind")) == "内容：不认识的内容种类。"
    # The form's own names, and never a word of English for an error without words.
    assert told(ContentError("missing", "an item", where="fallback")) == "备选：缺少这一项。"
    assert told(ContentError("empty", "x", where="data.thing1")).startswith("字段 thing1：")
    assert told(ContentError("new-one", "something else")) == "内容有问题，发不出去。"
    for name in ("template", "content", "article"):
        source = Path(__file__).parents[2].joinpath("bot", f"campaign_{name}.py").read_text("utf-8")
        codes = set(re.findall(r'(?:ContentError|_At)\((?:\s|[\w.\[\]]+, )*"([a-z-]+)"', source))
        assert codes
        # These two have a rule of their own, or are seen before anybody writes.
        assert codes - {"too-many-articles", "route"} <= set(words("why"))


def test_what_a_campaign_names_is_looked_up() -> None:
    new = campaign(
        {"kind": "item", "text": "{{ item.title }} {{ link('py-1') }}", "fallback": "py-2"},
        more=(
            Variant(name="B", content={"kind": "coupon", "offer": " ＶＩＰ ", "text": "x"}),
            Variant(name="C", content={"kind": "quiz", "quiz": 4, "text": "x"}),
            Variant(name="D", content={"kind": "image", "asset": "poster"}),
            Variant(name="E", content={"kind": "text", "text": "{{ link( }}"}),
        ),
    )
    wanted = needs(new)
    assert wanted == Needs(
        items=frozenset({"py-1", "py-2"}),
        offers=frozenset({"vip"}),
        quizzes=frozenset({4}),
        assets=frozenset({"poster"}),
    )


async def test_facts_come_from_the_store(tmp_path: Path) -> None:
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    try:
        await store.offers.create(
            NewOffer(word="VIP", title="券", kind="amount", value=1), NOW, "x"
        )
        await store.catalogue.put([course(1)], NOW)
        await store.assets.put("poster", b"\x89PNG\r\n\x1a\n", NOW, "cli")
        new = campaign(
            {"kind": "item", "text": "{{ item.title }} {{ link('gone') }}", "fallback": "c1"},
            more=(
                Variant(name="B", content={"kind": "coupon", "offer": "vip", "text": "x"}),
                Variant(name="C", content={"kind": "quiz", "quiz": 4, "text": "x"}),
                Variant(name="D", content={"kind": "image", "asset": "poster"}),
            ),
        )
        known = await Facts.gather(
            store,
            new,
            account=Account(),
            hosts=(),
            topics=(),
            owner=False,
            quiet=QUIET,
            now=NOW,
        )
    finally:
        await store.close()
    rules = [(one.rule, one.where) for one in lint(new, known) if one.severity == "error"]
    assert ("item-unavailable", "content.A") in rules
    assert ("quiz-unavailable", "content.C") in rules
    assert not {"offer-unavailable", "asset-missing"} & {rule for rule, _ in rules}
