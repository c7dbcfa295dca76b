"""What operators read of moods: an alert with examples and a reply to begin with, what was learned.

Messages are cut and masked: no number, account or live link of a member's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from handlers.context import SHANGHAI
from handlers.report_numbers import said
from handlers.texts import Texts
from insights.order_reading import masked
from store.alerts import RIGHT, WRONG, Alert
from store.mood_labels import Learned

CHARS = 60
"""Of a message that is shown."""
_TITLE_CHARS = 20
_TOPIC_CHARS = 20


def place(texts: Texts, title: str) -> str:
    """A group as it can stand in a sentence; "" is what is said in private."""
    return _short(title, _TITLE_CHARS) if title else texts("mood.private")


def mood(texts: Texts, label: int | None) -> str:
    """ "负面", "中性", "正面"; a label that is none is neither."""
    if label is None or label == 0:
        return texts("mood.neutral")
    return texts("mood.negative") if label < 0 else texts("mood.positive")


def line(texts: Texts, one: Alert, title: str) -> str:
    """An alert on one line of a list."""
    verdict = {RIGHT: texts("mood.verdict_right"), WRONG: texts("mood.verdict_wrong")}
    return texts(
        "mood.alerts_line",
        number=one.id,
        when=f"{datetime.fromtimestamp(one.at, SHANGHAI):%m-%d %H:%M}",
        what=_what(texts, one, title),
        verdict=verdict.get(one.verdict, ""),
    )


def alert(texts: Texts, one: Alert, title: str, examples: Sequence[str]) -> str:
    """What operators are told at once; "" for a kind that has no words here.

    title: of the group, "" where it is none. examples: what the messages say now.
    """
    topic = _short(one.topic, _TOPIC_CHARS)
    if one.kind == "member_angry":
        reply = texts("mood.suggest_member_angry")
    elif one.kind == "topic_negative":
        reply = texts("mood.suggest_topic_negative", topic=topic)
    elif one.kind == "mood_drop":
        reply = texts("mood.suggest_mood_drop")
    elif one.kind == "topic_burst":
        # What many complain of is no talk to join in.
        if 2 * one.data.get("negative", 0) >= max(one.data.get("n", 0), 1):
            reply = texts("mood.suggest_topic_negative", topic=topic)
        else:
            reply = texts("mood.suggest_topic_burst", topic=topic)
    else:
        return ""
    if one.kind == "topic_burst":
        usual = texts("mood.burst_usual", expected=said(one.data.get("expected"), "count"))
    else:
        usual = texts("mood.usual", usual=said(one.data.get("usual"), "share"))
    shown = [
        texts("mood.example", text=text)
        for text in dict.fromkeys(masked(text, CHARS) for text in examples if text)
    ]
    if one.rows and not shown:
        shown = [texts("mood.examples_gone")]
    also = "、".join(f"「{_short(topic, _TOPIC_CHARS)}」" for topic in one.data.get("also", ()))
    return "\n".join(
        (
            f"{_what(texts, one, title)}。{usual}",
            *((texts("mood.also", topics=also),) if also else ()),
            *shown,
            texts("mood.suggest", words=reply),
            texts("mood.alert_foot", number=one.id),
        )
    )


def learned(texts: Texts, found: Learned) -> str:
    """What whoever asked for it is told when the model has learned."""
    shares = {"before": said(found.before, "share"), "after": said(found.after, "share")}
    if (found.after or 0.0) > (found.before or 0.0):
        return texts("mood.retrain_done", labels=found.labels, **shares)
    return texts("mood.retrain_worse", labels=found.labels, **shares)


def _what(texts: Texts, one: Alert, title: str) -> str:
    counts = {"n": one.data.get("n", 0), "negative": one.data.get("negative", 0)}
    topic, where = _short(one.topic, _TOPIC_CHARS), place(texts, title)
    if one.kind == "member_angry":
        return texts("mood.what_member_angry", member=one.member_id, place=where, **counts)
    if one.kind == "topic_negative":
        return texts("mood.what_topic_negative", topic=topic, **counts)
    if one.kind == "mood_drop":
        return texts("mood.what_mood_drop", place=where, **counts)
    if one.kind == "topic_burst":
        where = where if one.place else texts("mood.everywhere")
        people = one.data.get("people", 0)
        return texts("mood.what_topic_burst", topic=topic, place=where, people=people)
    return texts("mood.what_other", kind=one.kind)


def _short(text: str, chars: int) -> str:
    text = " ".join(text.replace("<", "＜").split())
    return text if len(text) <= chars else text[: chars - 1] + "…"
