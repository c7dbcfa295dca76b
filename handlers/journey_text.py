"""The written form of a journey: what begins it, what ends it, and its steps. Pure.

    新手欢迎
    开始：关注
    停止：购买、取消关注
    第0天
    文字：欢迎加入，回复「课程」看看有什么。
    第3天 最佳时间
    优惠券：早鸟
    文字：送你一张券 {{ coupon.code }}

What stands before the first step holds for all of them; a step is written like a campaign
(`handlers/campaign_text.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from handlers.campaign_text import BadForm, Fault, label_of, read
from handlers.campaign_when import BadTime, read_when
from store.campaigns import NewCampaign
from store.journeys import ANCHORED, MOST_STEPS, NewJourney, faults, trigger_of

DAY_S = 86_400.0

TRIGGERS: Mapping[str, str] = MappingProxyType(
    {
        "follow": "关注",
        "date": "日期",
        "coupon": "券快到期",
        "silence": "沉默",
        "abandoned": "看了没买",
        "window": "互动期还剩",
    }
)
"""How operators name what begins a journey."""

STOP_NAMES: Mapping[str, str] = MappingProxyType(
    {"bought": "购买", "left": "取消关注", "answered": "回复"}
)

_STOPS: Mapping[str, str] = MappingProxyType(
    {
        **{name: stop for stop, name in STOP_NAMES.items()},
        **{stop: stop for stop in STOP_NAMES},
        "买了": "bought",
        "下单": "bought",
        "离开": "left",
        "取关": "left",
        "回话": "answered",
        "说话": "answered",
    }
)
_USUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "silence": ("left", "answered"),
        "window": ("left", "answered"),
        "abandoned": ("left", "bought"),
    }
)
"""What ends a journey when nobody says: who has gone hears nothing anyway."""

_NUMBER = r"([0-9]{1,3}|[一二两三四五六七八九十])"
_UNIT = r"个?(天|日|小时|分钟)"
_STEP = re.compile(
    rf"(?:步骤\s*[:：]?\s*)?(?:(?P<now>马上|立即|当时)|第\s*{_NUMBER}\s*天|{_NUMBER}\s*{_UNIT}(?P<side>前|后)"
    rf"|(?:提前|开始前)\s*{_NUMBER}\s*{_UNIT})\s*(?P<best>(?:每个人的)?最佳时间)?\s*[:：]?"
)
_HAN = "零一二三四五六七八九十"
_SPAN = re.compile(rf"(.*?)\s*{_NUMBER}\s*(天|日|小时|分钟|d|h|m)\s*(.*)")
_UNITS: Mapping[str, float] = MappingProxyType(
    {"天": DAY_S, "日": DAY_S, "小时": 3600.0, "分钟": 60.0}
)
_SHORT: Mapping[str, str] = MappingProxyType(
    {"天": "d", "日": "d", "小时": "h", "分钟": "m", "d": "d", "h": "h", "m": "m"}
)
_HEAD = re.compile(r"\s*(开始|触发|停止|结束|trigger|stops)\s*[:：]\s*(.*)", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*[,，、+/]\s*|\s+|或")
_NOT_HERE = (
    *("时间", "when", "截止", "最晚", "not_after", "试发", "test", "标题", "名称", "title"),
    *("群", "发到群", "places"),
)
"""What a campaign says and a journey's step cannot: its time is its step's."""
_NONE = ("无", "没有", "不停")


@dataclass(frozen=True, slots=True)
class Written:
    """A journey and its steps as they were written, the earliest first."""

    journey: NewJourney
    steps: tuple[NewCampaign, ...]


@dataclass(slots=True)
class _Step:
    """A step's lines. numbers: of each line in the whole text."""

    line: int
    label: str
    delay_s: float
    best: bool
    lines: list[str]
    numbers: list[int]


def _number(text: str) -> int:
    if text.isascii():
        return int(text)
    return 2 if text == "两" else _HAN.index(text)


def step_of(line: str) -> tuple[float, bool] | None:
    """(seconds after the beginning, in each member's best hour) of a step's heading, else None."""
    found = _STEP.fullmatch(unicodedata.normalize("NFKC", line).strip())
    if found is None:
        return None
    best = found["best"] is not None
    if found["now"]:
        return 0.0, best
    day, after, unit, before, before_unit = (found[place] for place in (2, 3, 4, 6, 7))
    if day:
        return _number(day) * DAY_S, best
    if after:
        sign = -1 if found["side"] == "前" else 1
        return sign * _number(after) * _UNITS[unit], best
    return -_number(before) * _UNITS[before_unit], best


def trigger_from(text: str, now: datetime) -> tuple[str, float | None]:
    """(trigger, its date) as operators say it: 关注, 沉默14天, 看了没买 1天, 日期 12-01 20:00.

    Errors: ValueError; BadTime for a date that is none.
    """
    narrow = unicodedata.normalize("NFKC", text).strip().lower()
    for name, words in _SAID.items():
        for word in words:
            if not narrow.startswith(word):
                continue
            rest = narrow[len(word) :].strip(" :")
            if name == "date":
                said = read_when(rest, now)
                if said.starts_at is None:
                    raise BadTime("unknown")
                return "date", said.starts_at
            found = _SPAN.fullmatch(rest)
            if found is not None and not found[1] and found[4] in ("", "前"):
                rest = f" {_number(found[2])}{_SHORT[found[3]]}"
            trigger = f"{name}{rest}"
            trigger_of(trigger)
            return trigger, None
    found = _SPAN.fullmatch(narrow)
    if found is not None and not found[1] and found[4] in ("没说话", "不说话", "沉默", "没来"):
        trigger = f"silence {_number(found[2])}{_SHORT[found[3]]}"
        trigger_of(trigger)
        return trigger, None
    raise ValueError("trigger")


_SAID: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "follow": ("关注", "新关注", "follow"),
        "date": ("日期", "直播", "开课", "date"),
        "coupon": ("券快到期", "优惠券快到期", "券到期", "优惠券到期", "coupon"),
        "silence": ("沉默", "没说话", "silence"),
        "abandoned": ("看了没买", "点了没买", "弃购", "abandoned"),
        "window": ("互动期还剩", "窗口还剩", "互动期剩", "窗口", "window"),
    }
)


class _Reader:
    """Line after line into a journey; what is wrong is gathered, not raised."""

    def __init__(self, empty: NewCampaign, now: datetime) -> None:
        self.empty, self.now = empty, now
        self.faults: list[Fault] = []
        self.name = ""
        self.trigger: tuple[str, float | None] | None = None
        self.stops: tuple[str, ...] | None = None
        self.seen: set[str] = set()
        self.head: list[str] = []
        self.numbers: list[int] = []
        self.steps: list[_Step] = []

    def wrong(self, line: int, part: str, why: str, value: str = "") -> None:
        self.faults.append(Fault(line, part.strip(), why, value))

    def read(self, number: int, line: str) -> None:
        """Take one line. number: from 1."""
        heading = step_of(line) if line.strip() else None
        if heading is not None:
            label = line.strip().strip(":：")
            self.steps.append(_Step(number, label, *heading, [], []))
            return
        label_here = label_of(line)
        if label_here is not None and label_here[0] in _NOT_HERE:
            # In a text that goes on it is a line of that text.
            said = self.steps and any(label_of(one) for one in self.steps[-1].lines)
            if not said:
                self.wrong(number, label_here[0], "not_here")
                return
        if self.steps:
            self.steps[-1].lines.append(line)
            self.steps[-1].numbers.append(number)
        elif line.strip():
            self._head(number, line)

    def _head(self, number: int, line: str) -> None:
        found = _HEAD.fullmatch(line)
        if found is not None:
            name = "stops" if found[1].lower() in ("停止", "结束", "stops") else "trigger"
            if name in self.seen:
                self.wrong(number, found[1], "twice")
            elif name == "stops":
                self._stops(number, found[2])
            else:
                self._trigger(number, found[2])
            self.seen.add(name)
        elif label_of(line) is not None:
            self.head.append(line)
            self.numbers.append(number)
        elif not self.name and not self.seen and not self.head:
            self.name = " ".join(line.split())
        else:
            self.wrong(number, line, "stray")

    def _trigger(self, number: int, text: str) -> None:
        try:
            self.trigger = trigger_from(text, self.now)
        except BadTime as bad:
            self.wrong(number, text, f"time_{bad.why}")
        except ValueError:
            self.wrong(number, text, "trigger")

    def _stops(self, number: int, text: str) -> None:
        named = [one for one in _BETWEEN.split(text.strip()) if one]
        stops = [_STOPS.get(one.lower(), "") for one in named]
        if text.strip() in _NONE:
            self.stops = ()
        elif not named or not all(stops):
            self.wrong(number, text, "stops")
        else:
            self.stops = tuple(dict.fromkeys(stops))

    def made(self) -> Written:
        """The journey. Errors: BadForm."""
        if not self.name:
            self.wrong(1, "", "no_name")
        if self.trigger is None and "trigger" not in self.seen:
            self.wrong(1, "", "no_trigger")
        if not self.steps:
            self.wrong(1, "", "no_steps")
        elif len(self.steps) > MOST_STEPS:
            self.wrong(self.steps[MOST_STEPS].line, "", "many_steps")
        steps = [made for one in self.steps if (made := self._step(one)) is not None]
        if self.faults:
            raise BadForm(sorted(self.faults, key=lambda one: one.line))
        assert self.trigger is not None
        trigger, anchor_at = self.trigger
        kind = trigger_of(trigger).kind
        stops = self.stops if self.stops is not None else _USUAL.get(kind, ("left",))
        journey = NewJourney(
            name=self.name,
            channel=steps[0].channel,
            trigger=trigger,
            audience=steps[0].audience,
            stops=stops,
            anchor_at=anchor_at,
        )
        if faults(journey):
            raise BadForm([Fault(1, "", "name")])
        early = [one for one in steps if (one.delay_s or 0.0) < 0]
        if early and kind not in ANCHORED:
            place = steps.index(early[0])
            raise BadForm([Fault(self.steps[place].line, self.steps[place].label, "before")])
        return Written(journey, tuple(sorted(steps, key=lambda one: one.delay_s or 0.0)))

    def _step(self, step: _Step) -> NewCampaign | None:
        """A step, read like a campaign; None when something is wrong with it."""
        title = f"{self.name[:40]} {step.label}"
        text = "\n".join((title, *self.head, *step.lines))
        numbers = [step.line, *self.numbers, *step.numbers]
        try:
            new = read(text, self.now, self.empty)
        except BadForm as bad:
            for one in bad.faults:
                line = numbers[one.line - 1] if one.line > 1 else step.line
                if one.why == "no_content":
                    self.wrong(line, step.label, "no_words")
                    continue
                # What is wrong before the first step is found in every step.
                if all((line, one.why) != (seen.line, seen.why) for seen in self.faults):
                    self.faults.append(replace(one, line=line))
            return None
        return replace(
            new,
            kind="step",
            journey_id=0,
            delay_s=step.delay_s,
            timing="best" if step.best else "at",
            starts_at=None,
        )


def read_journey(text: str, now: datetime, empty: NewCampaign) -> Written:
    """The journey that a text says. Errors: BadForm, with every fault and its line.

    empty: what holds where the text says nothing: the channel, the routes, the hold-out.
    """
    return _lines(text.removeprefix("\ufeff").splitlines(), _Reader(empty, now))


def read_step(text: str, now: datetime, empty: NewCampaign, journey: NewJourney) -> NewCampaign:
    """A single step that a text says, for a journey. Errors: BadForm."""
    reader = _Reader(empty, now)
    reader.name = journey.name
    reader.trigger = (journey.trigger, journey.anchor_at)
    made = _lines(text.splitlines(), reader)
    if len(made.steps) != 1:
        raise BadForm([Fault(1, "", "one_step")])
    return made.steps[0]


def _lines(lines: Sequence[str], reader: _Reader) -> Written:
    for number, line in enumerate(lines, 1):
        reader.read(number, line)
    return reader.made()
