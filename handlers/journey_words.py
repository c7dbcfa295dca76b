"""Journeys in words: what begins and ends them, their steps, what is wrong with a form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from handlers import campaign_words
from handlers.campaign_text import BadForm, Fault
from handlers.campaigning import Finding
from handlers.changes import short
from handlers.coupon_words import day_of
from handlers.texts import Texts
from store import rules
from store.campaigns import NewCampaign
from store.journeys import NewJourney, trigger_of

FAULTS = 6
SHOWN_CHARS = 40
"""Characters of a step's words in a list."""

_OWN_FAULTS = (
    "not_here",
    "twice",
    "stray",
    "trigger",
    "stops",
    "no_name",
    "no_trigger",
    "no_steps",
    "many_steps",
    "no_words",
    "before",
    "name",
    "one_step",
)


def span(texts: Texts, seconds: float) -> str:
    """ "14 天", "2 小时", "30 分钟": exactly, as it was written."""
    if seconds % 86_400 == 0:
        return texts("journey.days", count=int(seconds // 86_400))
    if seconds % 3600 == 0:
        return texts("journey.hours", count=int(seconds // 3600))
    return texts("journey.minutes", count=round(seconds / 60))


def begins(texts: Texts, journey: NewJourney, now: datetime) -> str:
    """What begins it: "14 天没说话时"."""
    kind, _, _ = journey.trigger.partition(" ")
    if kind == "date":
        return texts("journey.trigger_date", when=day_of(journey.anchor_at or 0.0, now.timestamp()))
    if kind in ("silence", "abandoned", "window"):
        seconds = trigger_of(journey.trigger).span_s
        return texts(f"journey.trigger_{kind}", span=span(texts, seconds))
    return texts(f"journey.trigger_{kind}")


def reason(texts: Texts, name: str) -> str:
    """What stopped members, in Chinese."""
    known = ("bought", "left", "answered", "used", "erased")
    return texts(f"journey.stop_{name}") if name in known else name


def told(texts: Texts, journey: NewJourney, now: datetime) -> list[str]:
    """All of a journey besides its name and its steps, a line each."""
    whom = campaign_words.audience(texts, journey.audience)
    if isinstance(rules.parse(journey.audience), rules.Everyone):
        whom = texts("journey.everyone")
    stops = texts("journey.between").join(reason(texts, one) for one in journey.stops)
    return [
        texts("journey.trigger", trigger=begins(texts, journey, now)),
        texts("journey.audience", audience=whom),
        texts("journey.stops", stops=stops) if stops else texts("journey.stops_none"),
    ]


def when(texts: Texts, step: NewCampaign) -> str:
    """A step's time: "3 天后", "提前 1 天"."""
    delay = step.delay_s or 0.0
    if delay == 0:
        said = texts("journey.step_at")
    elif delay < 0:
        said = texts("journey.step_before", span=span(texts, -delay))
    else:
        said = texts("journey.step_after", span=span(texts, delay))
    return said + (texts("journey.step_best") if step.timing == "best" else "")


def words(step: NewCampaign) -> str:
    """The beginning of what a step says: of several variants the first."""
    content = step.variants[0].content
    said = next(
        (
            str(content[name])
            for name in ("text", "question", "title", "asset")
            if content.get(name)
        ),
        str(content.get("kind", "")),
    )
    line = " ".join(said.split())
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


def steps(texts: Texts, its_steps: Sequence[NewCampaign]) -> list[str]:
    """The steps, a line each."""
    return [
        texts("journey.step", number=number, when=when(texts, one), text=words(one))
        for number, one in enumerate(its_steps, 1)
    ]


def findings(texts: Texts, found: Iterable[Finding]) -> list[str]:
    """What is not right with the steps, errors first; the same thing once. [] for nothing."""
    lines = {
        texts(f"journey.finding_{one.severity}", say=one.say): one.severity != "error"
        for one in found
    }
    return sorted(lines, key=lambda line: lines[line])


def reasons(texts: Texts, stopped: Mapping[str, int]) -> str:
    """ "买了 3 人、取消关注 1 人", most first; "" for none."""
    ranked = sorted(stopped.items(), key=lambda pair: (-pair[1], pair[0]))
    return texts("journey.between").join(
        texts("journey.reason", reason=reason(texts, name), count=count) for name, count in ranked
    )


def faults(texts: Texts, bad: BadForm) -> str:
    """What cannot be read, line by line."""
    lines = [texts("journey.faults"), *(_fault(texts, one) for one in bad.faults[:FAULTS])]
    if len(bad.faults) > FAULTS:
        lines.append(texts("journey.fault_more", count=len(bad.faults) - FAULTS))
    return "\n".join(lines)


def _fault(texts: Texts, one: Fault) -> str:
    if one.why.startswith("time_"):
        why = texts("journey.fault_time", part=short(one.part))
    elif one.why not in _OWN_FAULTS:
        # A step is written like a campaign, and so are its mistakes.
        return campaign_words.faults(texts, BadForm([one])).splitlines()[1]
    elif one.part:
        why = texts(f"journey.fault_{one.why}", part=short(one.part))
    else:
        why = texts(f"journey.fault_{one.why}")
    return texts("journey.fault", line=one.line, why=why)
