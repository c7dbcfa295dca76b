"""The written form of a campaign: a title, what holds for all of it, what it says. Pure.

    双十一预告
    对象：active 30d and tag:python
    时间：今晚8点
    目标：点击 3天
    版本 A
    文字：今晚八点直播，来吗？
    版本 B 2份
    优惠券：早鸟
    文字：送你一张券 {{ coupon.code }}

What holds for all stands first; 文字 and 正文 go on to the end or to the next 版本, so that a
message may have lines such as 时间：今晚8点 of its own. An edit says only what changes.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from handlers.campaign_labels import (
    FIELDS,
    FIELDS_EN,
    HEADS,
    LONG,
    METRIC_NAMES,
    OF_MEMBERS,
    PARTS,
    ROUTES,
    SAID_BY,
)
from handlers.campaign_places import BadPlaces, Called, nobody
from handlers.campaign_places import read as read_places
from handlers.campaign_spans import NONE
from handlers.campaign_spans import share as share_of
from handlers.campaign_spans import span as span_of
from handlers.campaign_when import BadTime, read_when
from store.campaign_places import grouped
from store.campaigns import METRICS, NewCampaign, Variant, faults
from store.rules import RuleError, parse


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be read. line: from 1; part: as typed; why: the end of its text key.

    value: what the sentence names besides. rule: of an audience that cannot be read.
    """

    line: int
    part: str
    why: str
    value: str = ""
    rule: RuleError | None = None


class BadForm(ValueError):
    """A text that is no campaign; every fault names its line."""

    def __init__(self, found: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"line {one.line}: {one.why}" for one in found))
        self.faults = tuple(found)


# Labels

_ONE_BY_ONE = ("coupon", "item", "miniprogram")
"""Kinds that no mass send can carry."""
_WORDED = ("coupon", "quiz", "item")
"""Kinds with words of their own beside what they are."""
_HINT_CHARS = 40

_LABELS = (*FIELDS, *PARTS)
_LABEL = re.compile(r"\s*([A-Za-z_]{2,12}|[\u4e00-\u9fff]{1,4})\s*[:：]\s*(.*)", re.DOTALL)
_SPOKEN = re.compile(r"\s*([A-Za-z_]{2,12}|[\u4e00-\u9fff]{1,4})\s+(\S.*)", re.DOTALL)
_VERSION = re.compile(
    r"\s*版本\s*([A-Za-z0-9]{1,8})\s*(?:[（(]?\s*([0-9]{1,4})\s*份\s*[)）]?)?\s*[:：]?\s*"
)
_BETWEEN = re.compile(r"\s*[,，、+＋/]\s*|\s+")
_METRIC = re.compile(rf"({'|'.join((*METRIC_NAMES, *METRICS))})[\s,，、]*(.*)")


def label_of(line: str, *, spoken: bool = False) -> tuple[str, str] | None:
    """(label, what follows it) of a line that begins with one we know; None for another.

    spoken: a blank may stand for the colon: 时间 明天 9:00.
    """
    found = _LABEL.fullmatch(line) or (_SPOKEN.fullmatch(line) if spoken else None)
    if found is None:
        return None
    name = found[1].lower()
    known = name in FIELDS or name in PARTS or name in FIELDS_EN
    return (name, found[2]) if known else None


# Reading


@dataclass(slots=True)
class _Version:
    """The lines of one variant: label -> (line, what was said)."""

    line: int
    name: str = ""
    weight: int = 1
    said: dict[str, tuple[int, str]] = field(default_factory=dict)
    fields: list[tuple[int, str]] = field(default_factory=list)


class _Reader:
    """Line after line into a campaign; what is wrong is gathered, not raised."""

    def __init__(self, base: NewCampaign, now: datetime, called: Called, *, edit: bool) -> None:
        self.base, self.now, self.called, self.edit = base, now, called, edit
        self.faults: list[Fault] = []
        self.values: dict[str, Any] = {}
        self.lines: dict[str, int] = {}
        self.versions: list[_Version] = []
        self._long: str = ""

    def wrong(self, line: int, part: str, why: str, value: str = "") -> None:
        self.faults.append(Fault(line, part.strip(), why, value))

    def read(self, number: int, line: str) -> None:
        """Take one line. number: from 1."""
        if found := _VERSION.fullmatch(line):
            weight = int(found[2] or 1)
            self.versions.append(_Version(number, found[1].upper(), weight))
            self._long = ""
            return
        if self._long:
            said = self.versions[-1].said
            start, text = said[self._long]
            said[self._long] = (start, f"{text}\n{line}")
            return
        if not line.strip():
            return
        first = not self.lines and not self.versions
        labelled = label_of(line, spoken=self.edit or not first)
        if labelled is None:
            if first and not self.edit:
                self.values["title"], self.lines["title"] = " ".join(line.split()), number
            else:
                self._stray(number, line)
            return
        label, said_here = labelled
        if label in PARTS:
            self._part(number, label, said_here)
        else:
            self._field(number, FIELDS.get(label, label), said_here.strip())

    def _stray(self, number: int, line: str) -> None:
        """A line that belongs to nothing; a label that is only misspelt is named."""
        found = _LABEL.fullmatch(line)
        near = difflib.get_close_matches(found[1], _LABELS, n=3, cutoff=0.5) if found else []
        if found and near:
            # Of labels as near as each other the one that begins alike, and a text first of all.
            typed = found[1]
            meant = max(near, key=lambda one: (_likeness(typed, one), one == "文字"))
            self.wrong(number, line, "label", meant)
        else:
            self.wrong(number, line, "stray")

    def _part(self, number: int, label: str, text: str) -> None:
        if not self.versions:
            self.versions.append(_Version(number))
        version = self.versions[-1]
        if label == "字段":
            version.fields.append((number, text.strip()))
        elif label in version.said:
            self.wrong(number, label, "twice")
        else:
            version.said[label] = (number, text)
            self._long = label if PARTS[label][1] in LONG else ""

    def _field(self, number: int, name: str, text: str) -> None:
        if name in self.lines:
            self.wrong(number, text, "twice")
            return
        self.lines[name] = number
        if not text and name != "topic":
            self.wrong(number, name, "empty")
            return
        _READ[name](self, number, text)

    # What holds for all of it

    def title(self, number: int, text: str) -> None:
        self.values["title"] = " ".join(text.split())

    def channel(self, number: int, text: str) -> None:
        self.values["channel"] = text

    def topic(self, number: int, text: str) -> None:
        self.values["topic"] = "" if text in NONE else text

    def audience(self, number: int, text: str) -> None:
        try:
            parse(text)
        except RuleError as bad:
            self.faults.append(Fault(number, text, "rule", rule=bad))
            return
        self.values["audience"] = text

    def routes(self, number: int, text: str) -> None:
        named = [one for one in _BETWEEN.split(text.lower()) if one]
        routes = [ROUTES.get(one, one) for one in named]
        for one, route in zip(named, routes, strict=True):
            if route not in ROUTES.values():
                self.wrong(number, one, "route")
                return
        self.values["routes"] = tuple(dict.fromkeys(routes))

    def when(self, number: int, text: str) -> None:
        try:
            self.values |= timed(text, self.now)
        except BadTime as bad:
            self.wrong(number, text, f"time_{bad.why}")

    def not_after(self, number: int, text: str) -> None:
        if text in NONE:
            self.values["not_after"] = None
            return
        try:
            said = read_when(text, self.now)
        except BadTime as bad:
            self.wrong(number, text, f"time_{bad.why}")
            return
        if said.starts_at is None:
            self.wrong(number, text, "time_unknown")
        else:
            self.values["not_after"] = said.starts_at

    def holdout(self, number: int, text: str) -> None:
        share = share_of(text)
        if share is None:
            self.wrong(number, text, "share")
        else:
            self.values["holdout"] = share

    def metric(self, number: int, text: str) -> None:
        found = _METRIC.fullmatch(text.lower())
        window = span_of(found[2]) if found and found[2] else self.base.window_s
        if found is None or window is None:
            self.wrong(number, text, "metric")
        else:
            metric = METRIC_NAMES.get(found[1], found[1])
            self.values |= {"metric": metric, "window_s": window}

    def test(self, number: int, text: str) -> None:
        if text in NONE:
            self.values |= {"test_share": 0.0, "test_s": 0.0}
            return
        share_said, _, span = text.partition(" ")
        share, test_s = share_of(share_said), span_of(span)
        if not share or test_s is None:
            self.wrong(number, text, "test")
        else:
            self.values |= {"test_share": share, "test_s": test_s}

    def marketing(self, number: int, text: str) -> None:
        if text not in ("营销", "通知", "服务"):
            self.wrong(number, text, "marketing")
        else:
            self.values["marketing"] = text == "营销"

    def places(self, number: int, text: str) -> None:
        try:
            self.values["places"] = read_places(text, self.called)
        except BadPlaces as bad:
            self.wrong(number, bad.part, bad.why, bad.value)

    def _grouped(self, new: NewCampaign) -> NewCampaign:
        """One into groups, without what only members have; or back to members."""
        if not new.places:
            if self.base.places and "routes" not in self.lines:
                new = replace(new, routes=("custom", "mass_list"))
            return new
        for name, label in OF_MEMBERS.items():
            if name in self.lines:
                self.wrong(self.lines[name], label, "not_in_groups")
        if "metric" in self.lines and new.metric != "click":
            self.wrong(self.lines["metric"], "目标", "field_metric")
        if "when" in self.lines and new.timing != "at":
            self.wrong(self.lines["when"], "", "field_when")
        return grouped(new)

    # What it says

    def _content(self, version: _Version) -> dict[str, Any] | None:
        """The content of one variant; None when it cannot be read."""
        heads = [label for label in version.said if label in HEADS]
        if len(heads) > 1:
            self.wrong(version.said[heads[1]][0], heads[1], "two_kinds", heads[0])
            return None
        kind = PARTS[heads[0]][0] if heads else "text"
        content: dict[str, Any] = {"kind": kind}
        for label, (number, text) in version.said.items():
            kinds, name = PARTS[label]
            if kind not in kinds.split():
                self.wrong(number, label, "not_of", heads[0] if heads else "文字")
                return None
            if not name:
                # 推荐：… may have its words behind it.
                name = "text"
                if not text.strip() or "文字" in version.said:
                    continue
            if kind == "miniprogram" and name == "cover":
                name = "thumb"
            content[name] = text.strip()
        if kind == "quiz":
            number, text = version.said[heads[0]]
            digits = unicodedata.normalize("NFKC", text).strip().removeprefix("#")
            if not digits.isdecimal() or len(digits) > 9:
                self.wrong(number, text, "quiz")
                return None
            content["quiz"] = int(digits)
        if "options" in content:
            options = re.split(r"\s*[/／|｜]\s*", content["options"])
            content["options"] = [one for one in options if one]
        if kind == "notice" or version.fields:
            return self._notice(version, content)
        if kind == "text" and not content.get("text"):
            self.wrong(version.line, "", "says_nothing")
            return None
        return content

    def _notice(self, version: _Version, content: dict[str, Any]) -> dict[str, Any] | None:
        data: dict[str, str] = {}
        for number, text in version.fields:
            name, sign, value = text.partition("=" if "=" in text else "＝")
            if not sign or not name.strip() or content["kind"] != "notice":
                self.wrong(number, text, "field")
                return None
            data[name.strip()] = value.strip()
        return {**content, "data": data}

    def _variants(self) -> tuple[Variant, ...] | None:
        """The variants as they are now; None when something is wrong."""
        old = self.base.variants
        unnamed = [one for one in self.versions if not one.name]
        for version in self.versions:
            if not version.name:
                if len(self.versions) > 1 or (self.edit and len(old) > 1):
                    self.wrong(version.line, "", "which_version")
                    return None
                version.name = old[0].name if old else "A"
        read = [(one, self._content(one)) for one in self.versions if one.said or one.fields]
        if self.edit:
            kept = {one.name: one.content for one in old}
            read = [
                (one, self._after(kept.get(one.name, {}), one in unnamed, one, content))
                for one, content in read
            ]
        for one in self.versions:
            if not one.said and not one.fields:
                self.wrong(one.line, f"版本 {one.name}", "says_nothing")
        if any(content is None for _, content in read):
            return None
        made = {
            one.name: Variant(name=one.name, weight=one.weight, content=content or {})
            for one, content in read
        }
        if self.edit and len(self.versions) == 1:
            # One version of several was changed: the others stay, and so does its share.
            name = self.versions[0].name
            others = {one.name: one for one in old}
            if name in others and self.versions[0].weight == 1:
                made[name] = replace(made[name], weight=others[name].weight)
            made = {**others, **made}
        return tuple(made[name] for name in sorted(made))

    def _after(
        self,
        old: Mapping[str, Any],
        unnamed: bool,
        version: _Version,
        content: dict[str, Any] | None,
    ) -> dict[str, Any] | None:
        """A content as an edit means it: other words for a coupon are no text without one, and
        the line that says how to hear no more stays under them."""
        if content is None or "text" not in content:
            return content
        if unnamed and list(version.said) == ["文字"] and old.get("kind") in _WORDED:
            content = {**old, "text": content["text"]}
        hint = _hint_of(str(old.get("text", "")))
        marketing = self.values.get("marketing", self.base.marketing)
        if hint and marketing and "退订" not in content["text"]:
            content["text"] += f"\n{hint}"
        return content

    def made(self) -> NewCampaign:
        """The campaign. Errors: BadForm."""
        if self.versions and (variants := self._variants()) is not None:
            self.values["variants"] = variants
        if not self.edit:
            self._usual()
        new = self._grouped(replace(self.base, **self.values))
        if not self.edit:
            for name in ("title", "audience"):
                if name == "audience" and (new.places or "places" in self.lines):
                    continue
                if not getattr(new, name) and name not in self.lines:
                    self.wrong(1, "", f"no_{name}")
            if not self.versions:
                self.wrong(1, "", "no_content")
        elif not self.lines and not self.versions and not self.faults:
            self.wrong(1, "", "no_change")
        elif self.base.places and not new.places and not new.audience:
            self.wrong(1, "", "no_audience")
        if not self.faults:
            self._check(new)
        if self.faults:
            raise BadForm(sorted(self.faults, key=lambda one: one.line))
        return new

    def _usual(self) -> None:
        """What holds of what it says, where nobody says so: its ways and its goal."""
        contents = [one.content for one in self.values.get("variants", ())]
        single = any(one["kind"] in _ONE_BY_ONE for one in contents)
        if single and "custom" in self.base.routes:
            self.values.setdefault("routes", ("custom",))
        if contents:
            self.values.setdefault("metric", metric_of(contents))

    def _check(self, new: NewCampaign) -> None:
        """What the store would not take, at the line that said it."""
        for name, why in faults(new):
            place = SAID_BY.get(name, name)
            if name.startswith("variants"):
                line = self.versions[-1].line if self.versions else 1
                self.wrong(line, name.partition(".")[2], "version", why)
            else:
                self.wrong(self.lines.get(place, 1), "", f"field_{place}")


_READ: Mapping[str, Callable[[_Reader, int, str], None]] = MappingProxyType(
    {name: getattr(_Reader, name) for name in FIELDS_EN}
)


def metric_of(contents: Sequence[Mapping[str, Any]]) -> str:
    """What shows that it worked: what readers of these contents can do with one of them."""
    if any(one["kind"] == "coupon" for one in contents):
        return "claim"
    return "click" if any(_leads(one) for one in contents) else "reply"


def _leads(content: Mapping[str, Any]) -> bool:
    """Whether there is something to tap on."""
    text = str(content.get("text", ""))
    if "://" in text or "link(" in text or content.get("url"):
        return True
    return content["kind"] in ("article", "item", "miniprogram")


def _hint_of(text: str) -> str:
    """The last line of a text, if it says how to hear no more; "" for none."""
    before, _, last = text.rstrip().rpartition("\n")
    return last if before and "退订" in last and len(last) <= _HINT_CHARS else ""


def _likeness(typed: str, label: str) -> int:
    """Signs of both that stand at the same place."""
    return sum(one == other for one, other in zip(typed, label, strict=False))


def timed(text: str, now: datetime) -> dict[str, Any]:
    """The fields of a campaign that a time says. Errors: BadTime."""
    said = read_when(text, now)
    return {
        "kind": "cron" if said.cron else "once",
        "cron": said.cron,
        "timing": "best" if said.best else "at",
        "starts_at": said.starts_at,
    }


def read(text: str, now: datetime, empty: NewCampaign, called: Called = nobody) -> NewCampaign:
    """The campaign that a text says. Errors: BadForm, with every fault and its line.

    empty: what holds where the text says nothing: channel, hold-out, window. called: the groups.
    """
    return _lines(text, _Reader(empty, now, called, edit=False))


def amend(text: str, now: datetime, base: NewCampaign, called: Called = nobody) -> NewCampaign:
    """The campaign with what the text changes of it. Errors: BadForm.

    A single version that is said replaces the one of its name, several replace all. 文字 alone,
    without a version, is other words for the same coupon, quiz or item; the line that says how
    to hear no more stays.
    """
    return _lines(text, _Reader(base, now, called, edit=True))


def _lines(text: str, reader: _Reader) -> NewCampaign:
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        reader.read(number, line)
    return reader.made()
