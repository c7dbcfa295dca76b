"""The sections of the configuration that speak of insights: moods, behaviour, reports, privacy.

The same shape as `bot/settings.py`. What the states of members mean stands here in numbers, so
that an operator can say what "about to leave" is in their community.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from bot.rules import CLOCK, LINE, PATH, number, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentSettings:
    """What messages sound like: negative, neutral or positive, read off the answer path.

    model: "zhiqun" is the model that is shipped, measured in bench/README.md; "snownlp" is SnowNLP
        as it comes; "own" is a file that `python -m bench.fit_sentiment` wrote.
    file: That file.
    sure: Below this probability of its best answer the model says nothing.
    alerts: Whether operators are told when a member, a topic or a group turns angry.
    """

    model: Literal["zhiqun", "snownlp", "own"] = "zhiqun"
    file: Annotated[Path | None, PATH] = None
    sure: Annotated[float, number(0.34, 0.99)] = 0.6
    alerts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightSettings:
    """What is worked out of the log, when, and what the states of members mean.

    Of several states that fit the first counts, in the order: paused, newcomer, returned, lost,
    leaving, core, active, lurker.

    enabled: Whether anything is worked out; False answers and campaigns only.
    refresh_at: When everything is worked out anew, Asia/Shanghai; today's figures follow along.
    today_minutes: How often today's figures are brought up to date.
    newcomer_days: Who came at most so many days ago is a newcomer.
    active_days: Who did something within so many days is active.
    core_days: Who was active on so many of the last 28 days is of the core.
    leaving_days: Who was active before, and is silent for so many days, is about to leave.
    lost_days: Who is silent for so many days is lost.
    returned_days: Who was lost and came back is "returned" for so many days.
    churn_days: Silence of so many days is what the risk of leaving is the risk of.
    weekly_on: The day of the weekly report to operators; "never" for none.
    weekly_at: Its time, Asia/Shanghai.
    least_support: A rule "who took A took B" needs so many members who took both.
    """

    enabled: bool = True
    refresh_at: Annotated[time, CLOCK] = time(3, 20)
    today_minutes: Annotated[float, number(1, 1440)] = 10.0
    newcomer_days: Annotated[int, whole(1, 365)] = 7
    active_days: Annotated[int, whole(1, 365)] = 14
    core_days: Annotated[int, whole(1, 28)] = 8
    leaving_days: Annotated[int, whole(1, 365)] = 21
    lost_days: Annotated[int, whole(2, 3650)] = 60
    returned_days: Annotated[int, whole(1, 365)] = 14
    churn_days: Annotated[int, whole(7, 365)] = 30
    weekly_on: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "never"] = "mon"
    weekly_at: Annotated[time, CLOCK] = time(9, 0)
    least_support: Annotated[int, whole(3, 100_000)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySettings:
    """What may be worked out of members, how long it is kept, and what may be shown of groups.

    profiling: "opt-out" profiles members until they say 别分析我; "opt-in" only those who said
        可以分析我.
    notice: The version of your privacy notice, kept with each consent.
    least_people: Figures of fewer members than this are shown to owners only.
    noise_epsilon: What may be published in 28 days to one audience, as epsilon of differential
        privacy; spent, nothing more is published.
    noise_each: What one published report uses of it.
    keep_interactions_days: The log of messages is forgotten after so many days; 0 keeps it.
    keep_events_days: The same for events of the shop.
    keep_readings_days: The same for moods and words of messages.
    keep_alerts_days: The same for alerts.
    """

    profiling: Literal["opt-out", "opt-in"] = "opt-out"
    notice: Annotated[str, LINE] = "1"
    least_people: Annotated[int, whole(2, 1000)] = 10
    noise_epsilon: Annotated[float, number(0.01, 10)] = 1.0
    noise_each: Annotated[float, number(0.001, 10)] = 0.25
    keep_interactions_days: Annotated[int, whole(0, 3650)] = 0
    keep_events_days: Annotated[int, whole(0, 3650)] = 0
    keep_readings_days: Annotated[int, whole(7, 3650)] = 180
    keep_alerts_days: Annotated[int, whole(1, 3650)] = 180
