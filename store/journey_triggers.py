"""What begins a journey: who followed, fell silent, looked and did not buy, or is about to.

Each trigger is a moment of a member's: it is looked for between two times, in pages, earliest
first. The same moment may be found again and again; `travellers.enrol` begins it once, by its
occasion. `date` is no moment of a member's: everybody begins it (`scheduler/journeys.py`).
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from store.dialect import Connection
from store.journeys import Journey, Trigger
from store.travellers import Begun

# Each names the member, what the occasion is called after, and the moment.
_FOLLOW = (
    "select member_id, cast(max(followed_at) as bigint) as name, max(followed_at) as moment "
    "from identities where channel = ? and followed = 1 and followed_at > ? and followed_at <= ? "
    "group by member_id"
)
# Who has two identities is as silent as the newer one.
_SILENCE = (
    "select i.member_id as member_id, cast(i.last_seen_at as bigint) as name, "
    "i.last_seen_at + ? as moment from identities as i where i.channel = ? and i.followed = 1 "
    "and i.last_seen_at > ? and i.last_seen_at <= ? and not exists (select 1 from identities as o "
    "where o.member_id = i.member_id and o.channel = i.channel "
    "and o.last_seen_at > i.last_seen_at)"
)
# One message is kept for an answer, so a window with a single one left is closed already.
_WINDOW = (
    "select member_id, cast(allowance_until as bigint) as name, allowance_until - ? as moment "
    "from identities where channel = ? and followed = 1 and allowance > 1 "
    "and allowance_until > ? and allowance_until <= ? and allowance_until > ?"
)
# Of several looks at an item the newest is the one that counts. Who has ever bought it looks at
# what is theirs.
_ABANDONED = (
    "select e.member_id as member_id, e.item_id as name, e.at + ? as moment from events as e "
    "where e.kind = ? and e.at > ? and e.at <= ? and e.member_id is not null and e.item_id <> '' "
    "and exists (select 1 from identities as i where i.member_id = e.member_id "
    "and i.channel = ? and i.followed = 1) "
    "and not exists (select 1 from events as n where n.member_id = e.member_id "
    "and n.item_id = e.item_id and (n.kind in ('purchase', 'enroll') "
    "or (n.at > e.at and n.kind in ('view', 'click', 'add_to_cart'))))"
)
_LOOKS = ("view", "click", "add_to_cart")
_COUPON = (
    "select c.member_id as member_id, c.id as name, c.expires_at as moment from coupons as c "
    "where c.status = 'claimed' and c.expires_at > ? and c.expires_at <= ? "
    "and c.member_id is not null and exists (select 1 from identities as i "
    "where i.member_id = c.member_id and i.channel = ? and i.followed = 1)"
)


def found(
    conn: Connection,
    journey: Journey,
    since: float,
    until: float,
    now: float,
    after: tuple[float, int] = (0.0, 0),
    limit: int = 500,
) -> list[Begun]:
    """Whose moment is after `since` and up to `until`, earliest first; [] for none or `date`.

    after: moment and member of the last one of the page before. Of a coupon the moment is its
    end, so the two times lie ahead. Who is on the journey for this occasion is left out.
    """
    trigger = journey.begins
    question, args = _question(trigger, journey.channel, since, until, now)
    if not question:
        return []
    kind = f"{trigger.kind}:"
    rows = conn.execute(
        f"select f.member_id, f.name, f.moment from ({question}) as f "
        "where (f.moment > ? or (f.moment = ? and f.member_id > ?)) and not exists ("
        "select 1 from journey_members as t where t.journey_id = ? "
        "and t.member_id = f.member_id and t.occasion = ? || f.name) "
        "order by f.moment, f.member_id, f.name limit ?",
        (*args, after[0], *after, journey.id, kind, limit),
    )
    return [Begun(member_id, f"{kind}{name}", moment) for member_id, name, moment in rows]


def _question(
    trigger: Trigger, channel: str, since: float, until: float, now: float
) -> tuple[str, tuple[Any, ...]]:
    """The trigger's query, with its arguments; "" for none."""
    span = trigger.span_s
    match trigger.kind:
        case "follow":
            return _FOLLOW, (channel, since, until)
        case "silence":
            return _SILENCE, (span, channel, since - span, until - span)
        case "window":
            return _WINDOW, (span, channel, since + span, until + span, now)
        case "coupon":
            return _COUPON, (since, until, channel)
        case "abandoned":
            looks = ((span, kind, since - span, until - span, channel) for kind in _LOOKS)
            return " union ".join([_ABANDONED] * len(_LOOKS)), tuple(chain.from_iterable(looks))
        case _:
            return "", ()
