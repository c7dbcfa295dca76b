"""The conversation: Message in, Reply out. ROUTERS is the order in which they are asked.

A router answers or passes on, so the order is a decision: what can't be mistaken for
anything else comes first, what takes every text comes last.
"""

from __future__ import annotations

from handlers import (
    changes,
    choices,
    content,
    courses,
    events,
    faq,
    followups,
    gaps,
    help,
    media,
    operators,
    privacy,
    support,
    topics,
)
from handlers.router import Router, Rules

ROUTERS: tuple[Router, ...] = (
    events.router,  # no words: nobody else may see them
    media.router,  # nothing to read; what WeChat put into words passes
    privacy.router,  # the right to be forgotten waits behind no other rule
    operators.router,  # a slash and a letter: a command, never a question
    changes.router,  # 确认, from operators only
    gaps.router,  # 并入 1, 忽略 1 and 1 => 答案, from operators only
    help.router,  # fixed words that touch no database, so before those that do
    choices.router,  # 退出 leaves
    support.rest,  # 继续
    courses.router,  # 我的课程, 交作业 X, 提醒我
    followups.router,  # 2, 多少钱, 还有吗: about what was shown last; lets the rest pass
    topics.router,  # 订阅 X and 退订 X; lets 订阅号是什么 pass
    content.router,  # 课程, 分类, 最新, 搜索 X; lets 搜索不到课程怎么办 pass
    support.human,  # 转人工
    faq.feedback,  # 有用, 没用
    faq.router,  # every other text is a question
)

RULES = Rules(ROUTERS)
"""ROUTERS, ready for `dispatch`."""
