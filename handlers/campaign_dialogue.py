"""/campaign new for who knows no syntax: one question at a time, numbers for answers.

What was answered is a row, so the dialogue may be left and taken up again within a day, and a
crash in between asks the same question again. After half an hour of silence texts are ordinary
texts again; /campaign new goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from handlers import campaign_asked, privacy
from handlers.campaign_asked import desk, looked, unreadable, who
from handlers.campaign_steps import STEPS, Stay, following
from handlers.campaign_text import metric_of
from handlers.changes import let_go, waiting
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router, folded
from store.campaign_places import grouped
from store.campaigns import LONGEST_TITLE, NewCampaign, Variant

router = Router("operator.campaign.new")
pictures = Router("operator.campaign.picture")

STATE = "campaign.dialogue"
OPEN_S = 1800.0
"""So long after the last question a text is its answer."""
KEPT_S = 86_400.0
"""So long it can be taken up again."""

_BACK = ("上一步", "返回", "上一题", "后退")
_DROP = (
    *("取消", "取消吧", "不写了", "算了", "算了吧", "不要了", "放弃", "不删了"),
    *("不发了", "不想发了", "我不想发了", "我不发了", "不要发了", "不用发了"),
)
_ASIDE = (
    *("稍后", "退出", "退出吧", "我要退出", "先放着", "以后再写", "稍后再写"),
    *("停", "停下", "停止", "暂停", "先停", "先别发", "别发", "先不发", "等等", "等一下", "等会儿"),
)
_AFRESH = ("重来", "重新来", "重新开始", "从头来", "从头开始", "重写", "重新写")
_LOST = (
    *("帮助", "help", "怎么写", "怎么选", "怎么弄", "怎么填", "怎么回", "不懂", "看不懂", "不会"),
    *("不知道", "什么意思", "说明", "继续", "?", "？"),
)
"""Words of who does not know what to say; no campaign says them."""

_OTHER_ROUTES = (("custom", "mass_tag"), ("custom",), ("mass_list",), ("mass_tag",), ("mass_all",))
"""What is tried where an account cannot go the usual ways."""
_SINGLE = ("coupon", "item")
"""Kinds that differ from member to member: no mass send can carry them."""
_TITLE_CHARS = 20


@dataclass(frozen=True, slots=True)
class Talk:
    """How far it is. path: the steps, the open one last; said: what was answered, JSON.

    until: texts are answers until then, Unix seconds. by: key of the message that led here, and
    before: how far it was then, for the same message again. made: the campaign, 0 before.
    """

    path: tuple[str, ...] = ("what",)
    said: Mapping[str, Any] = field(default_factory=dict)
    until: float = 0.0
    by: str = ""
    before: Mapping[str, Any] | None = None
    made: int = 0


async def _recall(ctx: Context, key: str) -> Talk | None:
    """How far it is; for a message that was answered already, how far it was before it."""
    state = await ctx.store.members.state(ctx.member.id, STATE, ctx.at)
    if state is None:
        return None
    if state["by"] == key:
        state = state["before"]
    elif state["made"]:
        return None
    return None if state is None else Talk(**{**state, "path": tuple(state["path"])})


async def _keep(ctx: Context, talk: Talk, before: Talk | None, key: str) -> None:
    data = {"path": list(talk.path), "said": dict(talk.said), "until": talk.until}
    data |= {"by": key, "made": talk.made, "before": None}
    if before is not None:
        earlier = {"path": list(before.path), "said": dict(before.said), "until": before.until}
        data["before"] = {**earlier, "by": "", "made": 0, "before": None}
    await ctx.store.members.set_state(ctx.member.id, STATE, data, ctx.at + KEPT_S)


async def begin(message: Message, ctx: Context, title: str = "") -> Reply:
    """The first question, or the open one of a dialogue that was left. title: what it is to be
    called, if that was said already."""
    before = await _recall(ctx, message.key)
    talk = before or Talk()
    if title:
        talk = replace(talk, said={**talk.said, "title": title[:LONGEST_TITLE]})
    again = before is not None and len(before.path) > 1
    head = ctx.texts("campaign_new.resumed" if again else "campaign_new.begin")
    return await _ask(message, ctx, talk, before, head)


async def _ask(
    message: Message, ctx: Context, talk: Talk, before: Talk | None, head: str = ""
) -> Reply:
    """The open question, kept as such."""
    question = await STEPS[talk.path[-1]].ask(ctx, talk.said)
    await _keep(ctx, replace(talk, until=ctx.at + OPEN_S), before, message.key)
    return Reply.text(f"{head}\n{question}" if head else question)


def _may_talk(message: Message, ctx: Context) -> bool:
    return ctx.is_operator() and ctx.campaigns is not None


async def _open(message: Message, ctx: Context) -> Talk | None:
    talk = await _recall(ctx, message.key)
    return None if talk is None or talk.until <= ctx.at else talk


async def again(message: Message, ctx: Context, head: str) -> Reply | None:
    """The open question once more, behind `head`; None while there is none."""
    talk = await _open(message, ctx)
    if talk is None:
        return None
    ctx.handler = "operator.campaign.new"
    return await _ask(message, ctx, talk, talk, head)


async def _waits_first(message: Message, ctx: Context, talk: Talk) -> bool:
    """Whether 退出 means a question of another command, asked after ours; it is let go anyway."""
    asked = await waiting(ctx, message.key)
    await let_go(ctx, message.key)
    erasing = await ctx.store.members.clear_states(ctx.member.id, privacy.FORGET)
    return bool(erasing) or (asked is not None and asked + OPEN_S >= talk.until)


@pictures.kind("image", guard=_may_talk)
async def picture(message: Message, ctx: Context) -> Reply | None:
    """A picture in the middle of it: no answer, but there is somebody who can keep it."""
    return await again(message, ctx, ctx.texts("campaign_new.picture"))


@router.question(guard=_may_talk)
async def answer(message: Message, ctx: Context) -> Reply | None:
    """The answer to the open question; None while there is none."""
    talk = await _open(message, ctx)
    if talk is None:
        return None
    ctx.handler = "operator.campaign.new"
    texts, typed = ctx.texts, folded(message.text)
    if typed in (*_DROP, *_ASIDE, "返回") and await _waits_first(message, ctx, talk):
        return await _ask(message, ctx, talk, talk, texts("campaign_new.let_go"))
    if typed in _LOST:
        return await _ask(message, ctx, talk, talk, texts("campaign_new.help"))
    if typed in _DROP:
        await _end(message, ctx, talk)
        return Reply.text(texts("campaign_new.dropped"))
    if typed in _ASIDE:
        await _keep(ctx, replace(talk, until=0.0), talk, message.key)
        return Reply.text(texts("campaign_new.aside"))
    if typed in _AFRESH:
        return await _ask(message, ctx, Talk(), talk, texts("campaign_new.begin"))
    if typed in _BACK:
        path = talk.path[:-1] or talk.path
        return await _ask(message, ctx, replace(talk, path=path), talk)
    step = talk.path[-1]
    try:
        said = {**talk.said, **await STEPS[step].take(ctx, talk.said, message.text.strip())}
    except Stay as stay:
        return await _ask(message, ctx, talk, talk, stay.problem)
    after = following(step, said)
    if after:
        return await _ask(message, ctx, Talk((*talk.path, after), said), talk)
    return await _finish(message, ctx, replace(talk, said=said), talk)


async def _end(message: Message, ctx: Context, talk: Talk, made: int = 0) -> None:
    """Nothing is open any more; the same message again still finds what it answered."""
    await _keep(ctx, Talk(made=made or -1), talk, message.key)


async def _finish(message: Message, ctx: Context, talk: Talk, before: Talk) -> Reply:
    """All is said: a draft, and its preview."""
    starts_at = talk.said["when"]["starts_at"]
    if starts_at is not None and starts_at <= ctx.at:
        # It was left for hours, and the time that was said is past.
        where = ("where", "groups") if talk.said.get("places") else ("who",)
        back = replace(talk, path=("what", *where, "when"))
        return await _ask(message, ctx, back, before, ctx.texts("campaign.fault_time_past"))
    new = await _passable(message, ctx, _campaign(ctx, talk.said))
    try:
        one = await desk(ctx).make(new, who(message, ctx))
    except ValueError as bad:
        back = replace(talk, path=("what",))
        return await _ask(message, ctx, back, before, unreadable(ctx, bad, new))
    await _end(message, ctx, before, one.id)
    reply = await looked(message, ctx, one.id)
    return Reply.text(f"{ctx.texts('campaign_new.made', campaign=one.id)}\n{reply.content}")


def _campaign(ctx: Context, said: Mapping[str, Any]) -> NewCampaign:
    kind = said["content"]["kind"]
    places = tuple(said.get("places", ()))
    contents = [said["content"]]
    if said.get("other"):
        name = "title" if kind == "article" else "text"
        contents.append({**said["content"], name: said["other"]})
    variants = tuple(
        Variant(name=name, content=content if places else _with_hint(ctx, content))
        for name, content in zip("AB", contents, strict=False)
    )
    new = replace(
        campaign_asked.empty(ctx),
        title=_title(ctx, said),
        audience="" if places else said["audience"],
        places=places,
        variants=variants,
        metric=metric_of([said["content"]]),
        **said["when"],
    )
    if places:
        return grouped(new)
    return replace(new, routes=("custom",)) if kind in _SINGLE else new


def _title(ctx: Context, said: Mapping[str, Any]) -> str:
    if title := "".join(sign for sign in said.get("title", "") if sign.isprintable()).strip():
        return title
    content = said["content"]
    name = ctx.texts(f"campaign.kind_{content['kind']}")
    words = " ".join(str(content.get("title") or content.get("text", "")).split())
    words = "".join(sign for sign in words if sign.isprintable())
    if content["kind"] != "text":
        words = f"{name} {content.get('offer') or content.get('title') or ''}".strip()
    return words[:_TITLE_CHARS] or name


def _with_hint(ctx: Context, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """How to hear no more belongs under what nobody asked for."""
    text = content.get("text")
    if not text or "退订" in text:
        return content
    return {**content, "text": f"{text}\n{ctx.texts('campaign_new.hint')}"}


async def _passable(message: Message, ctx: Context, new: NewCampaign) -> NewCampaign:
    """By ways that this account has: the first of those we know that nothing speaks against."""
    if new.places:
        return new
    for routes in (new.routes, *_OTHER_ROUTES):
        other = replace(new, routes=routes)
        found = await desk(ctx).check(other, who(message, ctx))
        if not any(one.severity == "error" and one.where == "routes" for one in found):
            return other
    return new
