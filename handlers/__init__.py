"""The conversation: Message in, Reply out. ROUTERS is the order in which they are asked.

A router answers or passes on, so the order is a decision: what can't be mistaken for
anything else comes first, what takes every text comes last.
"""

from __future__ import annotations

from handlers import (
    about,
    campaign_dialogue,
    campaign_sending,
    campaign_wishes,
    changes,
    choices,
    consent,
    content,
    coupons,
    courses,
    events,
    faq,
    followups,
    gaps,
    group_quiz,
    help,
    media,
    membership,
    moderation,
    operators,
    points,
    polls,
    privacy,
    quiz,
    rankings,
    recommend,
    recording,
    referral,
    signups,
    support,
    topics,
)
from handlers.router import Router, Rules

ROUTERS: tuple[Router, ...] = (
    events.router,  # no words: nobody else may see them
    campaign_dialogue.pictures,  # a picture where a question is open
    media.router,  # nothing to read; what WeChat put into words passes
    privacy.router,  # the right to be forgotten waits behind no other rule
    recording.router,  # 别记录我, 恢复记录
    consent.router,  # 别分析我, 可以分析我, 我的授权
    polls.taps,  # a tap on a campaign's option, whatever its words are
    operators.router,  # a slash and a letter: a command, never a question
    campaign_sending.router,  # 确认 7K2M, from operators only
    changes.router,  # 确认: operators are asked, members hear that nothing waits
    campaign_dialogue.router,  # an answer to its open question; lets the rest pass
    campaign_wishes.router,  # 群发, 先别发: from operators only
    gaps.router,  # 并入 1, 忽略 1 and 1 => 答案, from operators only
    moderation.router,  # 广告 12, 误报 12: from operators only, in private
    help.router,  # fixed words that touch no database, so before those that do
    group_quiz.router,  # A, in a group that has a quiz on; lets the rest pass
    signups.router,  # 接龙, 接龙 +1, 退出接龙: in groups
    signups.joining,  # +1, -1, 报名: in a group with an open list; lets them pass otherwise
    quiz.leaving,  # 退出 out of a quiz; lets it pass otherwise
    choices.router,  # 退出 leaves
    support.rest,  # 继续
    points.router,  # 签到, 补签, 我的积分, 兑换 X
    rankings.router,  # 排行榜, 上榜, 我叫 X
    membership.router,  # 我的会员
    coupons.router,  # 领券, 领券 X, 我的券, a code; lets 领导力课程 pass
    courses.router,  # 我的课程, 交作业 X, 提醒我
    referral.router,  # 邀请好友, 我的邀请
    about.router,  # 优惠券怎么用, 积分会过期吗: how it works here; lets 微积分怎么学 pass
    quiz.router,  # 答题, 排名
    quiz.answers,  # A, 2 or words, while a question is open; lets the rest pass
    polls.typed,  # 2 after a campaign's poll; lets it pass otherwise
    recommend.router,  # 推荐, 换一批, 不感兴趣 2, 为什么; lets 推荐人是谁 and 怎么推荐朋友 pass
    followups.router,  # 2, 多少钱, 还有吗: about what was shown last; lets the rest pass
    topics.router,  # 订阅 X and 退订 X; lets 订阅号是什么 pass
    content.router,  # 课程, 分类, 最新, 搜索 X; lets 搜索不到课程怎么办 pass
    support.human,  # 转人工
    faq.feedback,  # 有用, 没用
    faq.router,  # every other text is a question
)

RULES = Rules(ROUTERS)
"""ROUTERS, ready for `dispatch`: what may be said in private."""

GROUP_RULES = Rules(ROUTERS, "group")
"""What may be said in a group; `handlers/group_dialogue.py` asks them."""

KEYWORD_RULES = Rules(ROUTERS, "group", keywords=True)
"""What may be said in a group without a mention, when it is typed alone."""

ANSWER_RULES = Rules([group_quiz.router], "group")
"""What a bare A or 2 may be while a quiz is on in the group."""

SIGNUP_RULES = Rules([signups.router, signups.joining], "group")
"""What may be said of a list to sign up on without a mention: 接龙 X, or +1 while one is open."""
