"""What the commands of reports ask of the bot's edge: pictures, publishing, working out anew."""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from insights.behaviour import StateRules
from insights.report import Chart
from store.groups import Group
from store.noise_spent import Spent


class Started(enum.Enum):
    """What became of the wish to work everything out anew."""

    STARTED = "started"
    RUNNING = "running"
    OFF = "off"


class Published(NamedTuple):
    """What became of a group's figures. why: as in `scheduler/weekly.py`; words: what the group
    reads, "" when it reads nothing; spent: when the budget did not reach."""

    why: str
    words: str = ""
    spent: Spent | None = None


class Insights(Protocol):
    """Given by `bot/app.py`; None in a context without."""

    @property
    def least_people(self) -> int:
        """Figures of fewer members than this are for owners only."""

    @property
    def states(self) -> StateRules:
        """What the states of members mean here, in days."""

    async def picture(self, chart: Chart, foot: str, channel: str) -> str:
        """The chart as a picture that this channel can show, by its media id; "" where it cannot.

        chart: its names are words already. Never raises: a report without its picture is one, too.
        """

    def refresh(self) -> Started:
        """Begin to work everything out anew, in the background."""

    async def recommended(self, wait_s: float) -> bool:
        """Work out anew what came of recommendations; whether it was done within so many seconds.

        Longer than that it goes on in the background. Never raises.
        """

    async def publish(self, group: Group, by: str) -> Published:
        """Post a few figures of a group into it, with noise, once a day. by: "member:3"."""
