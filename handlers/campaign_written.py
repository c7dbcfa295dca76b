"""A campaign in its written form, complete, as `handlers/campaign_text.py` reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from handlers.campaign_labels import LONG, METRIC_NAMES, PARTS, ROUTES
from handlers.campaign_places import Called, nobody
from handlers.campaign_places import write as write_places
from handlers.campaign_spans import SPANS
from handlers.context import SHANGHAI
from store.campaigns import NewCampaign


def write(new: NewCampaign, called: Called = nobody) -> str:
    """All that can be said of it: `amend` with this text changes nothing, to the minute.

    called: the groups, to name them; one that it does not know stands as its place.
    """
    return "\n".join([*_terms(new, called), *_contents(new)])


def write_terms(new: NewCampaign, called: Called = nobody) -> str:
    """What holds for all of it, without what it says."""
    return "\n".join(_terms(new, called))


def write_version(new: NewCampaign, name: str) -> str:
    """What one of its versions says, all of it; "" for a version that there is not."""
    found = [one for one in new.variants if one.name == name]
    return "\n".join(_contents(replace(new, variants=tuple(found)))) if found else ""


def changes(before: NewCampaign, after: NewCampaign, called: Called = nobody) -> list[str]:
    """What became of what: "方式：客服消息 → 群发", "内容 A"; [] when it reads the same."""
    old, new = (
        dict(line.split("：", 1) for line in _terms(one, called)) for one in (before, after)
    )
    found = [
        f"{label}：{old.get(label, '无')} → {new.get(label, '无')}"
        for label in dict.fromkeys((*old, *new))
        if old.get(label) != new.get(label)
    ]
    was, now = ({one.name: one for one in two.variants} for two in (before, after))
    found += [f"内容 {name}" for name in sorted(was | now) if was.get(name) != now.get(name)]
    return found


def _terms(new: NewCampaign, called: Called) -> list[str]:
    lines = [f"标题：{new.title}", f"账号：{new.channel}"]
    if new.places:
        lines.append(f"群：{write_places(new.places, called)}")
    else:
        names = {route: name for name, route in reversed(list(ROUTES.items()))}
        lines += [f"对象：{new.audience}", f"话题：{new.topic or '无'}"]
        lines.append(f"方式：{'、'.join(names[route] for route in new.routes)}")
    if when := _written_when(new):
        lines.append(f"时间：{when}")
    if new.not_after is not None:
        lines.append(f"截止：{_minute(new.not_after)}")
    lines.append(f"对照：{new.holdout * 100:g}%" if new.holdout else "对照：无")
    metrics = {metric: name for name, metric in reversed(list(METRIC_NAMES.items()))}
    lines.append(f"目标：{metrics[new.metric]} {_written_span(new.window_s)}")
    if new.test_share:
        lines.append(f"试发：{new.test_share * 100:g}% {_written_span(new.test_s)}")
    lines.append(f"性质：{'营销' if new.marketing else '通知'}")
    return lines


def _contents(new: NewCampaign) -> list[str]:
    lines: list[str] = []
    for one in new.variants:
        if len(new.variants) > 1:
            lines.append(f"版本 {one.name} {one.weight}份")
        lines += _written_content(one.content)
    return lines


def _written_when(new: NewCampaign) -> str:
    if new.kind == "cron":
        return new.cron
    if new.kind != "once":
        return ""
    if new.timing == "best":
        day = "" if new.starts_at is None else f"{_moment(new.starts_at):%Y-%m-%d} "
        return f"{day}每个人的最佳时间"
    return "现在" if new.starts_at is None else _minute(new.starts_at)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, SHANGHAI)


def _minute(at: float) -> str:
    return f"{_moment(at):%Y-%m-%d %H:%M}"


def _written_span(seconds: float) -> str:
    for name in ("天", "小时"):
        if seconds % SPANS[name] == 0:
            return f"{seconds / SPANS[name]:.0f}{name}"
    return f"{seconds / 60:.0f}分钟"


def _written_content(content: Mapping[str, Any]) -> list[str]:
    kind = content["kind"]
    last: list[str] = []
    lines = ["推荐："] if kind == "item" else []
    for label, (kinds, name) in PARTS.items():
        if kind not in kinds.split() or not name:
            continue
        if kind == "miniprogram" and name == "cover":
            name = "thumb"
        if name == "data":
            lines += [f"字段：{key}={value}" for key, value in content.get("data", {}).items()]
            continue
        value = content.get(name)
        if value is None or label in ("竞赛", "券"):
            continue
        if name == "options":
            value = " / ".join(value)
        where = last if name in LONG else lines
        where.append(f"{label}：{value}")
    return lines + last
