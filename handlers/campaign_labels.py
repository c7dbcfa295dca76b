"""The labels of a campaign's written form, and what each of them says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROUTES: Mapping[str, str] = MappingProxyType(
    {
        "客服消息": "custom",
        "客服": "custom",
        "群发": "mass_list",
        "按名单群发": "mass_list",
        "标签群发": "mass_tag",
        "按标签群发": "mass_tag",
        "全员群发": "mass_all",
        "模板消息": "template",
        "模板": "template",
        "订阅通知": "notice",
    }
)
"""How operators name the routes; their own names are understood, too."""

METRIC_NAMES: Mapping[str, str] = MappingProxyType(
    {"点击": "click", "领取": "claim", "领券": "claim", "购买": "purchase", "回复": "reply"}
)

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "标题": "title",
        "名称": "title",
        "账号": "channel",
        "公众号": "channel",
        "对象": "audience",
        "发给": "audience",
        "人群": "audience",
        "给": "audience",
        "群": "places",
        "发到群": "places",
        "话题": "topic",
        "方式": "routes",
        "时间": "when",
        "截止": "not_after",
        "最晚": "not_after",
        "对照": "holdout",
        "对照组": "holdout",
        "目标": "metric",
        "试发": "test",
        "性质": "marketing",
    }
)
FIELDS_EN = (
    "title",
    "channel",
    "audience",
    "topic",
    "routes",
    "when",
    "not_after",
    "holdout",
    "metric",
    "test",
    "marketing",
    "places",
)
OF_MEMBERS: Mapping[str, str] = MappingProxyType(
    {"audience": "对象", "routes": "方式", "topic": "话题", "test": "试发"}
)
"""What a campaign into groups does not have."""

PARTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "图片": ("image", "asset"),
        "文章": ("article", "title"),
        "作者": ("article", "author"),
        "摘要": ("article news", "digest"),
        "封面": ("article miniprogram", "cover"),
        "原文": ("article", "source_url"),
        "正文": ("article", "markdown"),
        "小程序": ("miniprogram", "title"),
        "appid": ("miniprogram", "appid"),
        "页面": ("miniprogram", "pagepath"),
        "答题": ("quiz", "quiz"),
        "竞赛": ("quiz", "quiz"),
        "优惠券": ("coupon", "offer"),
        "券": ("coupon", "offer"),
        "推荐": ("item", ""),
        "备选": ("item", "fallback"),
        "投票": ("poll", "question"),
        "选项": ("poll", "options"),
        "通知": ("notice", "template_id"),
        "字段": ("notice", "data"),
        "链接": ("notice news", "url"),
        "卡片": ("news", "title"),
        "配图": ("news", "picture_url"),
        "markdown": ("markdown", "text"),
        "文字": ("text coupon quiz item", "text"),
    }
)
"""Label -> the kinds of content it may be of, and the field it is there."""

SAID_BY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("starts_at", "cron", "timing", "kind", "delay_s", "journey_id"), "when"),
        **dict.fromkeys(("test_share", "test_s"), "test"),
        "window_s": "metric",
    }
)
"""Field of a campaign -> the label that says it, where the two differ."""

HEADS = (
    "图片",
    "文章",
    "小程序",
    "答题",
    "竞赛",
    "优惠券",
    "券",
    "推荐",
    "投票",
    "通知",
    "卡片",
    "markdown",
)
"""Labels that say what kind of content it is; without one it is a text."""

LONG = ("text", "markdown")
"""Fields that go on to the end, or to the next version."""
