"""The operator's word on a case of order: 广告 12 or 误报 12, tapped or typed, in private.

It settles the case and what was said in the same words, and the spam model learns from it within
a minute. The other word turns it around. Who was warned by mistake is told so in the group; who
was silenced speaks again as soon as `bot/order.py` looks.
"""

from __future__ import annotations

import re

from handlers import order_text
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from store.ledgers import Deed
from store.order import KICKED, RELEASED, SILENCED, WARNED, Case, Settled
from store.posts import NewPost

router = Router("operator.verdict")

MOST = 20
"""Cases that one message settles."""

_NUMBERS = r"[#＃]?\d{1,15}(?:[\s,、]+[#＃]?\d{1,15})*"
_VERDICT = re.compile(rf"(广告|误报)\s*({_NUMBERS})")


def _told(message: Message, ctx: Context) -> bool:
    """Only operators, only in private; 广告 12？ is a question."""
    return ctx.is_operator() and ctx.group is None and not asking(message.text)


@router.text(_VERDICT.pattern, guard=_told)
async def settle(message: Message, ctx: Context) -> Reply:
    """广告 12, 误报 12 13: what it was. The same word again changes nothing."""
    found = _VERDICT.fullmatch(folded(message.text))
    assert found is not None, "the rule is this very pattern"
    spam = found[1] == "广告"
    numbers = dict.fromkeys(int(one) for one in re.findall(r"\d+", found[2]))
    lines = [await _settled(ctx, number, spam) for number in list(numbers)[:MOST]]
    return Reply.text("\n".join(lines))


async def _settled(ctx: Context, number: int, spam: bool) -> str:
    texts = ctx.texts
    action = "order.spam" if spam else "order.false_alarm"
    deed = Deed(ctx.at, f"member:{ctx.member.id}", action)
    people = await _warned(ctx, number) if not spam else {}
    done = await ctx.store.order.verdict(number, spam, deed, lambda case: _sorry(ctx, case, people))
    if done is None:
        return texts("order.case_none", number=number)
    if not done.changed:
        return texts("order.settled_same", number=number)
    if spam:
        # What was only noted stood in the digest until now.
        await ctx.store.talk.hide(done.case.key)
        said = [texts("order.settled_spam", number=number)]
    else:
        said = [texts("order.settled_false_alarm", number=number), *_amends(ctx, done, people)]
    if done.others:
        said.append(texts("order.settled_alike", count=len(done.others)))
    return "".join(said)


def _amends(ctx: Context, done: Settled, people: dict[int, str]) -> list[str]:
    """What is done for who was wronged."""
    texts, actions = ctx.texts, done.case.actions
    said = []
    if WARNED in actions and _sorry(ctx, done.case, people) is not None:
        said.append(texts("order.settled_apology"))
    if SILENCED in actions:
        said.append(texts("order.settled_release"))
    if KICKED in actions:
        said.append(texts("order.settled_kicked"))
    return said


async def _warned(ctx: Context, number: int) -> dict[int, str]:
    """Case -> id on its channel of who would be told that we are sorry."""
    return await ctx.store.order.people(number)


def _sorry(ctx: Context, case: Case, people: dict[int, str]) -> NewPost | None:
    """What a group reads when a warning was a mistake; None where we cannot post."""
    group = ctx.store.groups.known(case.place)
    if group is None or not group.bound:
        return None
    if (group.route or group.channel) not in ctx.channels.posting or RELEASED in case.actions:
        return None
    to = people.get(case.id, "")
    key = ("apology", case.key.hex())
    return order_text.notice(group, to, ctx.texts("order.apology"), key, ctx.at, case.member_id)
