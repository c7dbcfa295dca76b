"""What is wrong with a campaign before anybody gets it, each with the rule's name. Pure.

The rules and their words stand in `campaign_lint.toml`; here is only what they look at. What
WeChat would refuse or punish is an error, what costs trust a warning. A word is judged in the
plain form of its sentence, so blanks and stars between the letters hide nothing.
"""

from __future__ import annotations

import asyncio
import functools
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot import campaign_links, campaign_values, targets
from bot.campaign_content import ContentError, assets, faults, links, personal, urls
from handlers.campaigning import Finding
from handlers.context import SHANGHAI
from scheduler.planner import Account
from store import Store, rules
from store.campaigns import NewCampaign, Variant
from store.offers import Offer, fold
from store.rule_values import Stranger

MASS = frozenset({"mass_list", "mass_tag", "mass_all"})
NOTICES = frozenset({"template", "notice"})
_SERVICE_ONLY = frozenset({"mass_list", "template", "notice"})
_NEARLY_ALL = 0.95
"""A rule that takes in so many means everyone without saying so."""
_AT_ONCE = frozenset({"mass_tag", "mass_all"})

_ROUTES_OF: Mapping[str, frozenset[str]] = {
    "text": MASS | {"custom", "group"},
    "image": MASS | {"custom", "group"},
    "article": MASS | {"custom", "group"},
    "markdown": frozenset({"group"}),
    "news": frozenset({"group"}),
    "quiz": MASS | {"custom"},
    "poll": MASS | {"custom"},
    "miniprogram": frozenset({"custom"}),
    "coupon": frozenset({"custom"}),
    "item": frozenset({"custom"}),
    "notice": NOTICES,
}
"""Which way a kind of content can go."""

_PROMOTION = re.compile(
    r"优惠|领券|折扣|[一二三四五六七八九\d.]+折|满\d+减|立减|秒杀|促销|特价|大促|红包|抽奖|限时抢|"
    r"抢购|团购|拼团|返现|双十一|双11|618|新客专享|包邮|买一送|赠品|早鸟价|福利价|立即购买|点击购买"
)
_HINT = re.compile(r"退订|取消订阅|不再接收|不想再收|回复?td(?![a-z])|td退")
_NO_NEED = re.compile(
    r"(?:无需|无须|不用|不必|不需要|不需|不要|请勿|禁止|严禁|拒绝|杜绝|切勿|不得|不会|别|勿|没有|从不|不收)"
    r"[^|]{0,4}$"
)
_WORDLESS = ("image", "miniprogram")
"""Kinds that have no room for words."""
_ENDS = re.compile(r"[。！？!?;；\n\r|]+")
_POINT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_GAPS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the table."""

    name: str
    severity: str
    say: str
    wechat: str = ""
    fixed: bool = False
    words: tuple[re.Pattern[str], ...] = ()

    def finding(self, where: str, part: str = "", number: int = 0) -> Finding:
        """What it says of a place. number: the campaign's, for a command that mends it."""
        said = self.say.replace("{number}", str(number or "编号")).replace("{part}", part)
        return Finding(self.name, self.severity, where, said, self.wechat, self.fixed)


@functools.cache
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("campaign_lint.toml").read_text("utf-8"))


@functools.cache
def table() -> Mapping[str, Rule]:
    """Every rule by its name, in the table's order."""
    return {
        name: Rule(
            name,
            one["severity"],
            one["say"],
            one.get("wechat", ""),
            one.get("fixed", False),
            tuple(re.compile(pattern) for pattern in one.get("words", ())),
        )
        for name, one in _file()["rules"].items()
    }


def words(section: str) -> Mapping[str, str]:
    """What things are called: "names" of routes, kinds and metrics, "why" of errors' codes."""
    found: Mapping[str, str] = _file()[section]
    return found


@dataclass(frozen=True, slots=True)
class Needs:
    """What a campaign names, to be looked up before it is judged. offers: claim words, folded."""

    offers: frozenset[str]
    quizzes: frozenset[int]
    items: frozenset[str]
    assets: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a campaign is judged by.

    account: None for a channel there is not. hosts: as of `bot/targets.py`. topics: what members
    may subscribe to, () for nothing facts. owner: whether an owner asks. share: of the account's
    members that the audience takes in, 0 to 1; None for a small account, or when nobody counted.
    unknown: conditions of the audience whose values there are not. number: the campaign's, 0 for
    none yet. variants: recipients of each, {} when nobody counted. quiet: the same time twice
    means none. segments, offers (by folded word), items,
    quizzes (number -> status), assets, places: what there is of what it needs; None: nobody
    looked, and nothing is said of it.
    """

    now: float
    account: Account | None = field(default_factory=Account)
    hosts: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    owner: bool = False
    share: float | None = None
    unknown: tuple[Stranger, ...] = ()
    number: int = 0
    variants: Mapping[str, int] = field(default_factory=dict)
    quiet: tuple[time, time] = (time(22, 0), time(8, 0))
    segments: Mapping[str, str] | None = None
    offers: Mapping[str, Offer] | None = None
    items: Collection[str] | None = None
    quizzes: Mapping[int, str] | None = None
    assets: Collection[str] | None = None
    places: Collection[str] | None = None

    @classmethod
    async def gather(
        cls,
        store: Store,
        new: NewCampaign,
        *,
        account: Account | None,
        hosts: Sequence[str],
        topics: Sequence[str],
        owner: bool,
        quiet: tuple[time, time],
        now: float,
        share: float | None = None,
        number: int = 0,
        variants: Mapping[str, int] = MappingProxyType({}),
        tiers: Sequence[str] = (),
    ) -> Facts:
        """The same, with all that the campaign names looked up. Errors: StoreError."""
        wanted = await asyncio.to_thread(needs, new)
        offers = {word: await store.offers.by_word(word) for word in wanted.offers}
        items = {name: await store.catalogue.item(name) for name in wanted.items}
        quizzes = {number: await store.quizzes.get(number) for number in wanted.quizzes}
        pictures = {name: await store.assets.get(name) for name in wanted.assets}
        return cls(
            now=now,
            account=account,
            hosts=tuple(hosts),
            topics=tuple(topics),
            owner=owner,
            share=share,
            number=number,
            variants=variants,
            unknown=await campaign_values.unknown(store, new.audience, tiers=tiers, topics=topics),
            quiet=quiet,
            segments={one.name: one.rule for one in await store.segments.all()},
            offers={word: one for word, one in offers.items() if one is not None},
            items=[name for name, one in items.items() if one is not None],
            quizzes={number: one.status for number, one in quizzes.items() if one is not None},
            assets=[name for name, one in pictures.items() if one is not None],
            places=[place for place in new.places if store.groups.known(place) is not None],
        )


@dataclass(slots=True)
class _Found:
    """The findings, in the order in which they were met; the same one only once."""

    all: list[Finding] = field(default_factory=list)

    def add(self, rule: str, where: str, part: str = "", number: int = 0) -> None:
        finding = table()[rule].finding(where, part, number)
        if finding not in self.all:
            self.all.append(finding)


def plain(text: str) -> str:
    """A text as the rules read it: half width, lower case, sentences parted by "|", no blanks,
    marks or gaps."""
    text = unicodedata.normalize("NFKC", _ENDS.sub("|", _GAPS.sub("|", text))).casefold()
    text = _POINT.sub("", _ENDS.sub("|", text))
    return "".join(sign for sign in text if sign.isalnum() or sign in "|%.")


def lint(new: NewCampaign, facts: Facts) -> list[Finding]:
    """All that is wrong with it, errors first; [] when nothing is."""
    found = _Found()
    if new.places:
        _judge_places(new, facts, found)
    else:
        _judge_audience(new, facts, found)
        _judge_routes(new, facts, found)
    for variant in new.variants:
        _judge_variant(new, variant, facts, found)
    _judge_whole(new, facts, found)
    return sorted(found.all, key=lambda one: one.severity != "error")


def needs(new: NewCampaign) -> Needs:
    """What it names; a content that cannot be read names nothing."""
    contents = [one.content for one in new.variants if not faults(one.content)]
    items = {link for one in contents for link in links(one) if "://" not in link}
    items |= {str(one["fallback"]) for one in contents if one["kind"] == "item"}
    return Needs(
        frozenset(fold(one["offer"]) for one in contents if one["kind"] == "coupon"),
        frozenset(one["quiz"] for one in contents if one["kind"] == "quiz"),
        frozenset(items),
        frozenset(name for one in contents for name in assets(one)),
    )


def _judge_audience(new: NewCampaign, facts: Facts, found: _Found) -> None:
    try:
        audience = rules.parse(new.audience)
        if facts.segments is not None:
            rules.expand(audience, facts.segments)
    except rules.RuleError as error:
        found.add("audience-broken", f"audience:{error.at}", str(error.at))
        return
    for one in facts.unknown:
        found.add("unknown-value", f"audience:{one.term.at}", campaign_values.part(one))
    everyone = isinstance(audience, rules.Everyone)
    if not everyone and facts.share is not None and facts.share >= _NEARLY_ALL:
        found.add("nearly-everyone", "audience", f"{facts.share:.0%}", facts.number)
    # A step of a journey goes to whom the journey takes.
    if everyone and new.kind != "step" and not facts.owner:
        found.add("everyone-needs-owner", "audience")
    if "mass_all" in new.routes and not (everyone and len(new.variants) == 1 and not new.holdout):
        found.add("all-at-once", "routes")


def _judge_places(new: NewCampaign, facts: Facts, found: _Found) -> None:
    for place in new.places:
        if facts.places is not None and place not in facts.places:
            found.add("group-unknown", "places", place)


def _judge_routes(new: NewCampaign, facts: Facts, found: _Found) -> None:
    routes = set(new.routes)
    if facts.account is None:
        found.add("channel-unknown", "channel", new.channel)
    elif not facts.account.verified:
        found.add("verified-only", "routes")
    if facts.account is not None and facts.account.kind != "service":
        for route in new.routes:
            if route in _SERVICE_ONLY:
                found.add("service-only", "routes", words("names")[route])
        if routes & MASS and len(new.variants) > 1:
            found.add("one-send-a-day", "routes")
    if new.topic and facts.topics and new.topic not in facts.topics:
        found.add("topic-unknown", "topic", new.topic)
    if new.marketing and routes & NOTICES:
        found.add("marketing-in-notice", "routes")
    if new.timing == "best" and routes & _AT_ONCE:
        found.add("best-hour-at-once", "timing")


def _judge_variant(new: NewCampaign, variant: Variant, facts: Facts, found: _Found) -> None:
    where, content = f"content.{variant.name}", variant.content
    wrong = faults(content)
    for error in wrong:
        _add_fault(error, where, found)
    kind = str(content.get("kind", ""))
    for route in new.routes:
        if kind in _ROUTES_OF and route not in _ROUTES_OF[kind]:
            if route in MASS and kind in ("coupon", "item"):
                found.add("personal-in-mass", where)
            elif new.places and kind in ("coupon", "item"):
                found.add("personal-in-group", where)
            else:
                found.add(
                    "kind-not-for-route", where, f"{words('names')[kind]}用{words('names')[route]}"
                )
    _judge_words(new, "\n".join(_texts(content)), where, kind, found)
    if wrong:
        return
    if personal(content) and MASS & set(new.routes):
        found.add("personal-in-mass", where)
    if new.places and kind in ("text", "markdown") and personal(content):
        found.add("personal-in-group", where)
    if new.places and kind == "article" and not content.get("source_url"):
        found.add("article-in-group", where)
    for url in urls(content):
        # A mini program and an article's own text are no links of ours.
        if not targets.on_list(url, facts.hosts):
            found.add("link-off-list", where, url)
    for rule, address in campaign_links.wrong(content, facts.hosts):
        found.add(rule, where, address)
    _judge_needs(new, content, facts, where, found)


def _add_fault(error: ContentError, where: str, found: _Found) -> None:
    if error.code == "too-many-articles":
        found.add("more-than-one-article", where)
    elif error.code == "too-long":
        found.add("text-too-long", where, _field(error.where))
    else:
        found.add("content-broken", where, told(error))


def _texts(content: Mapping[str, Any]) -> Iterator[str]:
    """All that a member would read of a content, as far as it is text at all."""
    values: list[Any] = [
        content.get(name) for name in ("title", "text", "question", "digest", "markdown")
    ]
    if isinstance(content.get("options"), list):
        values += content["options"]
    if isinstance(content.get("data"), Mapping):
        values += content["data"].values()
    for value in values:
        if isinstance(value, str):
            yield value


def _judge_words(new: NewCampaign, text: str, where: str, kind: str, found: _Found) -> None:
    said, routes = plain(text), set(new.routes)
    for rule in table().values():
        for pattern in rule.words:
            if part := _first(pattern, said):
                found.add(rule.name, where, part)
                break
    promoted = _first(_PROMOTION, said)
    if kind == "coupon":
        promoted = promoted or "优惠券"
    if promoted and routes & NOTICES:
        found.add("promotion-in-notice", where, promoted)
    elif promoted and not new.marketing:
        found.add("marketing-undeclared", where, promoted)
    if not new.marketing or _HINT.search(said):
        return
    if kind in _WORDLESS:
        if "custom" in routes:
            found.add("no-optout-place", where)
    elif kind == "article":
        # Its reader has opened a page of ours; by mass send that is how everybody does it.
        if "custom" in routes:
            found.add("no-optout-hint", where)
    elif kind in ("text", "quiz", "coupon", "item", "poll"):
        if "custom" in routes:
            found.add("no-optout-hint", where)
        elif routes & MASS:
            found.add("no-optout-hint-mass", where)


def _first(pattern: re.Pattern[str], said: str) -> str:
    """The first piece that counts; "" for none. Behind a "no need to" it does not."""
    for match in pattern.finditer(said):
        if not _NO_NEED.search(said[max(match.start() - 10, 0) : match.start()]):
            return match[0]
    return ""


def _judge_needs(
    new: NewCampaign, content: Mapping[str, Any], facts: Facts, where: str, found: _Found
) -> None:
    kind = content["kind"]
    if kind == "coupon" and facts.offers is not None:
        offer = facts.offers.get(fold(content["offer"]))
        begins = facts.now if new.starts_at is None else max(new.starts_at, facts.now)
        if offer is None or not _gives(offer, begins):
            found.add("offer-unavailable", where, content["offer"])
        elif offer.left is not None:
            wanted = sum(
                facts.variants.get(one.name, 0)
                for one in new.variants
                if one.content.get("kind") == "coupon"
                and fold(str(one.content.get("offer", ""))) == fold(content["offer"])
            )
            if wanted > offer.left:
                part = f"「{content['offer']}」只剩 {offer.left} 张，要发 {wanted} 张"
                found.add("offer-too-few", where, part)
    if kind == "quiz" and facts.quizzes is not None:
        number = content["quiz"]
        if facts.quizzes.get(number) not in ("scheduled", "running"):
            found.add("quiz-unavailable", where, str(number))
    if facts.items is not None:
        items = [link for link in links(content) if "://" not in link]
        items += [content["fallback"]] if kind == "item" else []
        for item in items:
            if item not in facts.items:
                found.add("item-unavailable", where, item)
    if facts.assets is not None:
        for name in assets(content):
            if name not in facts.assets:
                found.add("asset-missing", where, name)


def _gives(offer: Offer, at: float) -> bool:
    """Whether it still gives coupons away then, as far as one can know."""
    over = offer.valid_until is not None and offer.valid_until <= at
    return offer.status != "closed" and not offer.sold_out and not over


def _judge_whole(new: NewCampaign, facts: Facts, found: _Found) -> None:
    seen: dict[str, str] = {}
    for variant in new.variants:
        same = seen.setdefault(repr(sorted(variant.content.items(), key=str)), variant.name)
        if same != variant.name:
            found.add("same-variants", f"content.{variant.name}", f"{same} 和 {variant.name}")
    if (
        not new.places
        and new.metric in ("click", "claim")
        and not any(_may_cause(new.metric, one.content) for one in new.variants)
    ):
        found.add("metric-without-cause", "metric", words("names")[new.metric])
    if new.kind == "step" or (new.kind == "cron" and new.starts_at is None):
        return
    # Without a time it begins when it is confirmed.
    begins = facts.now if new.starts_at is None else new.starts_at
    if new.kind == "once" and begins < facts.now:
        found.add("starts-in-the-past", "starts_at")
    if until := _sleeps_until(begins, facts.quiet):
        found.add("sleeps-first", "starts_at", until)


def _may_cause(metric: str, content: Mapping[str, Any]) -> bool:
    """Whether a click or a claim can come of it; what cannot be read is not judged."""
    kind = content.get("kind")
    if kind == "coupon" or (metric == "click" and kind in ("item", "article", "miniprogram")):
        return True
    if faults(content):
        return True
    if metric == "claim":
        return any("领" in text or "券" in text for text in _texts(content))
    return bool(urls(content) or links(content))


def _sleeps_until(at: float, quiet: tuple[time, time]) -> str:
    """ "08:00" when that moment is in the quiet hours, "" when it is not."""
    begins, ends = quiet
    moment = datetime.fromtimestamp(at, SHANGHAI).time()
    if begins == ends:
        return ""
    inside = begins <= moment < ends if begins < ends else moment >= begins or moment < ends
    return f"{ends:%H:%M}" if inside else ""


def told(error: ContentError) -> str:
    """A broken content in Chinese, with its place."""
    place = _field(error.where)
    if error.line:
        place += f" 第 {error.line} 行第 {error.column} 个字"
    why = words("why").get(error.code, words("why")["other"])
    return f"{place.strip()}：{why}。" if place else f"{why}。"


def _field(name: str) -> str:
    """A field as the written form calls it: "封面", of a notice "字段 thing1"."""
    whole, _, part = name.partition(".")
    label = words("fields").get(whole, whole)
    return f"{label} {part}" if part else label
