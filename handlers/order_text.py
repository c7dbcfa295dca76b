"""What operators read of order: one case, a report of several, reasons and deeds in Chinese.

Nothing here holds a number or an account that somebody posted, nor a link that can be tapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from handlers.context import SHANGHAI
from handlers.texts import Texts
from insights.order_reading import masked
from store.groups import Group
from store.order import FALSE_ALARM, SPAM, Case
from store.posts import NewPost, Post

SHOWN = 4
"""Different texts that one report shows: with their links they fit into one message."""
_REPORT_CHARS = 40

NOTICE_S = 600.0
"""What is said to somebody in the group is not said later than this."""


def reasons(texts: Texts, names: Sequence[str]) -> str:
    """ "刷屏、像广告"; a name that we do not know stays as it is."""
    return "、".join(_word(texts, f"order_reason.{name}", name) for name in names)


def actions(texts: Texts, names: Sequence[str]) -> str:
    """ "不进日报、已在群里提醒"."""
    return "、".join(_word(texts, f"order_action.{name}", name) for name in names)


def _word(texts: Texts, key: str, name: str) -> str:
    return texts(key) if key in texts.keys() else name  # noqa: SIM118 - no mapping


def called(title: str) -> str:
    """A group's name as it can stand in a message: who names a group makes no link of it."""
    return title.replace("<", "＜")


def excerpt(texts: Texts, case: Case, chars: int = 60) -> str:
    """What was said, on one line, masked. chars: so much of it."""
    return masked(case.text, chars) or texts("order.case_gone")


def line(texts: Texts, case: Case, *, tappable: bool = True) -> str:
    """A case on one line, with what can be tapped.

    tappable: whether the channel makes words that can be tapped of a link; elsewhere they would be
    read as they are.
    """
    return texts(
        "order.report_line",
        number=case.id,
        excerpt=excerpt(texts, case, _REPORT_CHARS),
        reasons=reasons(texts, case.reasons),
        links=texts("order.case_links", number=case.id) if tappable else "",
    )


def one(texts: Texts, case: Case, title: str, *, tappable: bool = True) -> str:
    """Everything about a case. title: of its group; tappable: as in `line`."""
    score = ""
    if case.score is not None:
        score = texts("order.case_score", percent=round(100 * case.score)) + "\n"
    said = {
        SPAM: texts("order.verdict_spam"),
        FALSE_ALARM: texts("order.verdict_false_alarm"),
    }
    text = texts(
        "order.case",
        number=case.id,
        group=called(title),
        when=f"{datetime.fromtimestamp(case.at, SHANGHAI):%m-%d %H:%M}",
        excerpt=excerpt(texts, case),
        reasons=reasons(texts, case.reasons),
        score=score,
        actions=actions(texts, case.actions),
        verdict=said.get(case.verdict) or texts("order.verdict_open", number=case.id),
    )
    if not tappable:
        return text
    return f"{text}\n{texts('order.case_links', number=case.id)}"


def report(texts: Texts, cases: Sequence[Case], title: str) -> str:
    """What operators are told of some cases of one group; one line for what was said alike.

    cases: at least one, oldest first.
    """
    alike: dict[str, list[Case]] = {}
    for case in cases:
        alike.setdefault(case.text or f"#{case.id}", []).append(case)
    # What is worst first, then what came first.
    shown = sorted(alike.values(), key=lambda found: (-found[0].severity, found[0].id))
    said = {"group": called(title), "count": len(cases)}
    if any(case.severity > 2 for case in cases):
        lines = [texts("order.report_head_strong", **said)]
    else:
        lines = [texts("order.report_head", **said)]
    for found in shown[:SHOWN]:
        lines.append(line(texts, found[0]))
        if len(found) > 1:
            lines.append(texts("order.report_alike", count=len(found) - 1))
    rest = sum(len(found) for found in shown[SHOWN:])
    if rest:
        lines.append(texts("order.report_more", count=rest))
    return "\n".join((*lines, texts("order.report_how")))


def notice(
    group: Group, to: str, content: str, key: Sequence[object], now: float, member_id: int | None
) -> NewPost:
    """A sentence to somebody in a group. to: their id on the group's own channel.

    key: what makes it the same sentence; it is posted once for ever.
    """
    channel = group.route or group.channel
    name = "\n".join(str(part) for part in ("order", *key))
    return NewPost(
        key=hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest(),
        channel=channel,
        place=group.place,
        kind="order",
        # Another channel calls people by other ids.
        body=Post("text", content, mentions=(to,) if to and channel == group.channel else ()),
        due_at=now,
        not_after=now + NOTICE_S,
        member_id=member_id,
    )
