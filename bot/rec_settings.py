"""The section of the configuration that speaks of recommendations.

The same shape as `bot/settings.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Annotated, Literal

from bot.rules import CLOCK, number, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationSettings:
    """What is recommended to whom, and how much is tried out.

    With fewer members, items or things done than named here, what is popular is recommended.

    enabled: Whether members are recommended anything; False leaves 推荐 with the catalogue.
    train_at: When the models learn, Asia/Shanghai. Nothing new since the last time: not at all.
    least_members: So many members must have done something.
    least_items: Of so many items.
    least_events: So many times in all.
    half_life_days: After so many days what somebody did counts half.
    explore: The share of places given to chance, to learn about items nobody saw yet.
    new_item_days: An item is new for so many days; new ones have most of that share.
    holdout: The share of members who always see what is popular: what the rest is measured by.
    fall_back: Whether everybody sees what is popular once members click it with certainty more.
    answers: Whether an answer that names an item ends with another one: 你可能还喜欢.
    welcome: Whether who follows is shown something at once.
    digest_on: The day of the weekly letter to those who asked for it; "never" for none.
    digest_at: Its time, Asia/Shanghai.
    tune_s: Seconds of the search for better settings of the model, once the data has grown by a
        fifth; 0 for none.
    keep_models: So many models stay on the disk, to roll back to.
    """

    enabled: bool = True
    train_at: Annotated[time, CLOCK] = time(4, 10)
    least_members: Annotated[int, whole(1, 1_000_000)] = 30
    least_items: Annotated[int, whole(1, 100_000)] = 5
    least_events: Annotated[int, whole(1, 10_000_000)] = 200
    half_life_days: Annotated[float, number(1, 3650)] = 60.0
    explore: Annotated[float, number(0, 0.5)] = 0.1
    new_item_days: Annotated[int, whole(1, 365)] = 14
    holdout: Annotated[float, number(0, 0.5)] = 0.05
    fall_back: bool = True
    answers: bool = True
    welcome: bool = True
    digest_on: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "never"] = "fri"
    digest_at: Annotated[time, CLOCK] = time(19, 30)
    tune_s: Annotated[float, number(0, 3600)] = 120.0
    keep_models: Annotated[int, whole(2, 100)] = 5
