"""What the bot says in a group: short, once, to whom asked, and nothing that is private.

The rules are those of the private conversation that declared themselves for groups. What asks
for somebody's own coupons, points or data runs no rule here: it is answered in private where the
channel can whisper, and sent there with one line where it cannot. Nothing of a private answer is
ever part of what the group reads.
"""

from __future__ import annotations

import re
from dataclasses import replace

from handlers import (
    ANSWER_RULES,
    GROUP_RULES,
    KEYWORD_RULES,
    ROUTERS,
    RULES,
    SIGNUP_RULES,
    about,
    content,
    faq,
)
from handlers.about import PERSONAL, subject_of
from handlers.addressing import Address, GroupSpeech, wanted
from handlers.calm import Calm
from handlers.context import Context, Links
from handlers.coupon_typed import code_in, is_code, said_in
from handlers.faq import gap_of
from handlers.message import Message, Reply
from handlers.router import Outcome, Rules, asking, dispatch, folded
from store.catalogue import Item
from store.group_answers import Said

PRIVATE = "group.private"
"""What the log says of a message that was sent into private."""

_ALL = Rules(ROUTERS, None)
_QUOTED = Rules([about.router, content.router, faq.router], "group")
_COMMAND = re.compile(r"[/／]\s*[A-Za-zＡ-Ｚａ-ｚ]")
_SHOPS_CODE = re.compile(r"(?=.*[0-9])[!-.0-~][!-~]{5,63}")
_PERSONAL = re.compile(
    r"(?:我要?|帮我|给我)?(?:查一?下?|看一?下?)?(?:我的?)(?:优惠)?[券劵].*"
    r"|(?:我?[想要]*)领取?(?:一?张)?(?:优惠)?[券劵].*"
    r"|(?:我?[想要]*)(?:用?积分)?兑换.*|(?:重新|恢复)?订阅.*|(?:退订|取消订阅).*"
    r"|(?:查一?下?|看一?下?)?我的(?:积分|订单|资料|数据|会员|课程?|作业|邀请|成绩|勋章|推荐码|账号|手机号).*"
    r"|(?:忘记|删除|注销)我?的?(?:数据|资料|账号)?|交作业.*|(?:我叫|叫我|改名)[\s:：].*|邀请[码链].*"
)
_QUESTION = re.compile(
    "怎么|怎样|如何|什么|啥|为[什何]|哪|多久|几|能不能|可以|可不可以|是不是|[吗呢么]$"
)
"""How it works here is no secret: 兑换码怎么用 is answered in the group."""

ENOUGH = "group.enough"
"""What the log says of a message that was met with silence: that member, or group, had enough."""

_CANNED = frozenset(("group.called", "help.greeting", "faq.unknown", "group.repeated", PRIVATE))
"""Handlers whose words are the same whoever asks."""

RANKING = "ranking.group"
"""The ranking of a group is the same for everybody: it is not told twice in a while."""

_ANSWERS = frozenset(("faq", "content", "follow", "about", "choice"))
"""What tells something, by the first part of the handler's name: it is cut when it is long."""

_ITEMS = frozenset(("faq", "faq.passage", "content"))
"""Handlers whose `ctx.item` is all that they say."""

_LISTED = re.compile(r"^\d+\. ", re.MULTILINE)
_SENTENCE = re.compile(r"[^。！？!?；;\n]*(?:[。！？!?；;\n]+|$)")
_URL = re.compile(r"https?://\S+")
_UNSURE_LINES = 3
_RELATED_LINES = 2


async def converse(message: Message, ctx: Context, speech: GroupSpeech) -> Outcome:
    """Answer what was said in a group, or say nothing. `message.talk` is set.

    ctx.aside is what only who asked may read. Of a message that is not meant for the bot nothing
    is said; an event goes to the rules for groups. Errors: whatever a handler raises.
    """
    ctx.links = _ForEverybody(ctx.links)
    if message.kind == "event":
        return await _event(message, ctx)
    quiz_on = bool(ctx.place and await ctx.store.quizzes.on(ctx.at, ctx.place))
    signup_on = ctx.store.signups.open_in(ctx.place, ctx.at)
    address = wanted(message, ctx.group, speech, quiz_on=quiz_on, signup_on=signup_on, now=ctx.at)
    if address is None:
        return Outcome(Reply.none(), "none")
    said = replace(message, text=address.text)
    calm = None if ctx.is_operator() else speech.calms.get(message.channel)
    if calm is None:
        return await _converse(message, said, address, ctx, speech)
    return await _calmly(message, said, address, ctx, speech, calm)


async def _calmly(
    message: Message,
    said: Message,
    address: Address,
    ctx: Context,
    speech: GroupSpeech,
    calm: Calm,
) -> Outcome:
    """The same, within what this member and this group may make the bot say.

    Beyond that what was asked for is still done (a check-in, a +1), only nobody is told; but
    nothing private is run, whose answer would be lost.
    """
    who = (ctx.place, message.sender)
    # Most answers to a quiz are only counted: those take nothing in advance.
    later = address.why == "answer"
    if not later and not calm.take(*who, ctx.at):
        is_secret = await _is_secret(said, ctx)
        if not address.text or is_secret or is_private(said, ctx):
            ctx.logged = ctx.texts("coupon.hidden") if is_secret else ctx.logged
            ctx.handler = ENOUGH
            return Outcome(Reply.none(), ENOUGH)
        # What is not said now may be said to the next one who asks.
        mute = replace(speech, repeat_minutes=0)
        return _silent(await _converse(message, said, address, ctx, mute), ctx)
    done = await _converse(message, said, address, ctx, speech)
    words = "whispered" if ctx.aside else done.handler if done.handler in _CANNED else ""
    if words and done.reply.kind != "none" and calm.canned(*who, words, ctx.at):
        done = replace(done, reply=Reply.none())
    if done.reply.kind == "none" and not ctx.aside:
        if not later:
            calm.give_back(*who, ctx.at)
    elif later and not calm.take(*who, ctx.at):
        done = _silent(done, ctx)
    return done


def _silent(done: Outcome, ctx: Context) -> Outcome:
    """What was done, without a word of it."""
    ctx.aside.clear()
    ctx.then.clear()
    ctx.options.clear()
    return replace(done, reply=Reply.none())


async def _converse(
    message: Message, said: Message, address: Address, ctx: Context, speech: GroupSpeech
) -> Outcome:
    """What is said to a message that is meant for the bot. said: it, without what shows that."""
    if address.why == "keyword":
        done = _plain(await dispatch(KEYWORD_RULES, said, ctx), ctx, speech)
        return await _once(message, done, ctx, speech)
    if address.why == "signup":
        return _plain(await dispatch(SIGNUP_RULES, said, ctx), ctx, speech)
    if address.why == "answer":
        return _plain(await dispatch(ANSWER_RULES, said, ctx), ctx, speech)
    if not address.text and message.kind in ("text", "voice"):
        return await _called(message, ctx, speech)
    return await _answer(said, ctx, speech)


async def _event(message: Message, ctx: Context) -> Outcome:
    """What happened in the group; where the bot may not speak, nobody hears of it."""
    done = await dispatch(GROUP_RULES, message, ctx)
    group = ctx.group
    if group is None or not group.bound or ctx.at < group.rules.muted_until:
        ctx.then.clear()
        return Outcome(Reply.none(), done.handler)
    return done


async def _called(message: Message, ctx: Context, speech: GroupSpeech) -> Outcome:
    """The bot's name alone: about what is quoted, or else only a call."""
    talk = message.talk
    is_own = talk is not None and talk.quotes_who == message.account != ""
    if talk is not None and not is_own:
        quoted = replace(message, text=talk.quoted.strip())
        # Somebody else's words are no wish of who quotes them.
        if quoted.text and not is_private(quoted, ctx):
            return await _answer(quoted, ctx, speech, _QUOTED)
    ctx.handler = "group.called"
    return Outcome(Reply.text(ctx.texts("group.called")), ctx.handler)


async def _answer(
    message: Message, ctx: Context, speech: GroupSpeech, rules: Rules = GROUP_RULES
) -> Outcome:
    """What is said to the bot, answered as far as everybody may read it."""
    if await _is_secret(message, ctx):
        ctx.logged = ctx.texts("coupon.hidden")
        return await _privately(message, ctx, speech, is_secret=True)
    if is_private(message, ctx):
        return await _privately(message, ctx, speech)
    done = await dispatch(rules, message, ctx)
    if done.reply.kind == "transfer" or _is_gated(ctx, done.handler):
        return _elsewhere(ctx, speech)
    if done.handler == "faq.offer":
        return replace(done, reply=_unsure(ctx, done.reply))
    if done.handler == "faq.unknown":
        return replace(done, reply=_unknown(message, ctx, done.reply))
    return await _once(message, _plain(done, ctx, speech), ctx, speech)


async def _once(message: Message, done: Outcome, ctx: Context, speech: GroupSpeech) -> Outcome:
    """The answer, unless the group has read it just now."""
    item = _told(ctx, done.handler)
    if not item or done.reply.kind == "none" or not speech.repeat_minutes:
        return done
    said = await ctx.store.group_answers.claim(
        ctx.place, item, bytes.fromhex(message.key), ctx.at, speech.repeat_minutes * 60
    )
    if said is Said.FIRST:
        return done
    ctx.handler = "group.repeated"
    ctx.options.clear()
    again = Reply.text(ctx.texts("group.said")) if said is Said.AGAIN else Reply.none()
    return Outcome(again, ctx.handler)


# What is private


def is_private(message: Message, ctx: Context) -> bool:
    """Whether it asks for what is somebody's own.

    The words of private rules, unless a rule that speaks in groups comes first and is sure; and
    what looks like such a wish. A question how something works is none.
    """
    text = folded(message.text)
    for rule in _ALL.of(replace(message, kind="text"), text):
        if rule.fits is bool or (rule.guard is not None and not rule.guard(message, ctx)):
            continue
        if rule.where == "private":
            if rule.sure or rule.words:
                return True
        elif rule.sure:
            return False
    if subject_of(message.text) in PERSONAL:
        return True
    if asking(message.text) or _QUESTION.search(text):
        return False
    claims = said_in(message.text)
    if claims is not None and claims.word and (claims.apart or claims.ticket):
        return True
    return _PERSONAL.fullmatch(text) is not None


async def _is_secret(message: Message, ctx: Context) -> bool:
    """Whether it must not be written down as it was said; commands hide their own codes."""
    return not _COMMAND.match(message.text) and await _holds_code(message, ctx)


async def _holds_code(message: Message, ctx: Context) -> bool:
    """Whether somebody's code may be in it: ours, anywhere, or a shop's own as a word."""
    text = message.text
    if code_in(text):
        return True
    for word in text.split():
        if is_code(word):
            return True
        if _SHOPS_CODE.fullmatch(word) and await ctx.store.coupons.by_code(word) is not None:
            return True
    return False


async def _privately(
    message: Message, ctx: Context, speech: GroupSpeech, *, is_secret: bool = False
) -> Outcome:
    """Told to who asked alone, where the channel can; else one line that says where to ask."""
    if message.channel not in ctx.channels.whispering:
        return _elsewhere(ctx, speech, is_secret=is_secret)
    links = ctx.links.own if isinstance(ctx.links, _ForEverybody) else ctx.links
    own = replace(
        ctx, group=None, then=[], aside=[], options=[], links=links, said=lambda text: None
    )
    done = await dispatch(RULES, replace(message, talk=None), own)
    ctx.item, ctx.erased = own.item, own.erased
    ctx.logged = ctx.logged if own.logged is None else own.logged
    ctx.handler = done.handler
    said = [reply for reply in (done.reply, *own.then) if reply.kind not in ("none", "transfer")]
    if ctx.erased:  # nobody is left to whisper to
        return Outcome(Reply.text(ctx.texts("group.done")), done.handler)
    if not said:
        return _elsewhere(ctx, speech, is_secret=is_secret)
    ctx.aside.extend(said)
    return Outcome(Reply.text(ctx.texts("group.whispered")), done.handler)


def _elsewhere(ctx: Context, speech: GroupSpeech, *, is_secret: bool = False) -> Outcome:
    """The line for what is not said in a group; nothing of what was found is left."""
    ctx.handler, ctx.item = PRIVATE, ""
    ctx.then.clear()
    ctx.options.clear()
    texts, url = ctx.texts, speech.private_url
    if is_secret:
        line = texts("group.code_at", url=url) if url else texts("group.code")
    else:
        line = texts("group.private_at", url=url) if url else texts("group.private")
    return Outcome(Reply.text(line), PRIVATE)


def _is_gated(ctx: Context, handler: str) -> bool:
    """Whether it tells what is for a tier of membership: that is no talk for a group."""
    gates = ctx.rewards.membership.gates
    first = handler.partition(".")[0]
    return first in _ANSWERS and bool(gates.get(handler) or gates.get(first))


# How it is said


def _plain(done: Outcome, ctx: Context, speech: GroupSpeech) -> Outcome:
    """The reply as one short text; what follows it is part of it or left out."""
    then = [one.content for one in ctx.then if one.kind == "text"]
    ctx.then.clear()
    text = _text_of(done.reply)
    if not text:
        if done.reply.kind in ("text", "none"):
            return done
        return _elsewhere(ctx, speech)  # pictures and sounds are other accounts' media
    text = text.removesuffix(f"\n\n{ctx.texts('faq.answer_tail')}")
    told = done.handler.partition(".")[0] in _ANSWERS
    listed = len(_LISTED.findall(text)) > 1
    for more in then:
        if len(text) + len(more) < speech.short_chars:
            text = f"{text}\n{more}"
    if told and len(text) > speech.short_chars:
        text = _cut(text, ctx, speech, _told(ctx, done.handler))
    if told and listed:
        text = f"{text}\n{ctx.texts('group.pick')}"
    return replace(done, reply=Reply.text(text))


def _text_of(reply: Reply) -> str:
    """A reply in words; cards are told, "" for what only a picture or a sound says."""
    if reply.kind == "news":
        cards = (
            "\n".join(filter(None, (one.description or one.title, one.url)))
            for one in reply.articles
        )
        return "\n".join(cards)
    return reply.content if reply.kind == "text" else ""


def _told(ctx: Context, handler: str) -> str:
    """The item that a reply tells and nothing else; "" for any other reply."""
    if handler in _ITEMS:
        return ctx.item
    return handler if handler.startswith("about.") or handler == RANKING else ""


def _cut(text: str, ctx: Context, speech: GroupSpeech, item: str) -> str:
    start = shortened(text, speech.short_chars)
    url = speech.page(item) if ":" in item else ""
    if url:
        return ctx.texts("group.whole", start=start, url=url)
    return ctx.texts("group.whole_private", start=start)


def shortened(text: str, limit: int) -> str:
    """The first sentences, at most `limit` characters; a text that fits stays as it is.

    A first sentence that is longer is cut, but no address in the middle. Never empty for a text
    that is not.
    """
    if len(text) <= limit:
        return text
    end = 0
    for sentence in _SENTENCE.finditer(text):
        if len(text[: sentence.end()].rstrip()) > limit:
            break
        end = sentence.end()
    if text[:end].strip():
        return text[:end].rstrip()
    end = limit - 1
    for url in _URL.finditer(text):
        if url.start() < end < url.end():
            end = url.start() or end
    return f"{text[:end].rstrip()}…"


def _unsure(ctx: Context, reply: Reply) -> Reply:
    """您是不是想问 in three lines at most: what can be picked, each with its number."""
    first, *rest = _numbered(reply)[:_UNSURE_LINES]
    return Reply.text("\n".join((ctx.texts("group.unsure", first=first), *rest)))


def _unknown(message: Message, ctx: Context, reply: Reply) -> Reply:
    """One honest line, and what may be of use instead."""
    gap = gap_of(ctx.knowledge, message.text)
    if gap is None:
        return Reply.text(ctx.texts("group.called"))
    noted = not ctx.is_operator() and ctx.logged is None
    line = ctx.texts("group.unknown" if noted else "group.unknown_plain")
    related = _numbered(reply)[:_RELATED_LINES]
    return Reply.text("\n".join((line, *related)))


def _numbered(reply: Reply) -> list[str]:
    return [line for line in reply.content.splitlines() if _LISTED.match(line)]


class _ForEverybody:
    """Links that say of nobody that they clicked: in a group everybody may."""

    def __init__(self, own: Links) -> None:
        self.own = own

    async def to_item(self, item: Item, member_id: int, source: str, ref: str = "") -> str:
        """As `Links.to_item`, for no member."""
        return await self.own.to_item(item, 0, source, ref)

    def in_text(self, text: str, ref: str, member_id: int) -> str:
        """As `Links.in_text`, for no member."""
        return self.own.in_text(text, ref, 0)

    async def make_link(
        self, what: str, *, campaign: str = "", variant: str = "", by: str
    ) -> tuple[str, str]:
        """As `Links.make_link`."""
        return await self.own.make_link(what, campaign=campaign, variant=variant, by=by)
