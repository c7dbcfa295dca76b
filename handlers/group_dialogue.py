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
    choices,
    content,
    coupons,
    faq,
    topics,
)
from handlers.about import PERSONAL, subject_of
from handlers.addressing import Address, GroupSpeech, wanted
from handlers.calm import Calm
from handlers.context import Context, Links
from handlers.coupon_typed import code_in, is_code, said_in
from handlers.faq import gap_of
from handlers.followups import is_choice
from handlers.group_said import (
    NUMBERED,
    fitting,
    for_all,
    shortened,
    split_list,
    with_links,
    without_number_advice,
)
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
_OF_ME = re.compile(
    r"(?:(?:请问|请|麻烦|帮我|帮忙|我想|我要|想|查询?|看|问|知道|一下|一?下|你好|老师)[\s,，]*)*"
    "(?:我的?(?:订单|物流|快递|退款|发票|地址|[账帐]号|手机号?|密码|身份|资料|数据|信息|会员|课程?|专栏|作业"
    "|成绩|分数|证书|[勋徽]章|等级|名次|排名|进度|学习|连续签到|签到|打卡|邀请|优惠|[券劵]|积分|余额|钱|收藏"
    "|报名|订阅|购买|消费|记录|分)"
    "|我(?:已经|之前|以前|昨天|今天|刚才?|都|一共|总共)*(?:买|购买|订|报名?|下单|付款?|充值?|领|交)(?:了|过|的)"
    "|我(?:还|现在|一共|总共)*(?:有|剩|差)(?:多少|几|哪些)|我(?:排|是)(?:第几|什么等级))"
)
"""What begins like this is about who asks, even where no private rule knows the words."""

_VERDICT = re.compile(r"(?:广告|误[报判])[\s第#]*\d[\d\s,，、条]*")
"""An operator's word on a case: what it was about is not for the group."""

_QUESTION = re.compile(
    "怎么|怎样|如何|什么|啥|为[什何]|哪|多久|几|能不能|可以|可不可以|是不是|[吗呢么]$"
)
"""How it works here is no secret: 兑换码怎么用 is answered in the group."""

ENOUGH = "group.enough"
"""What the log says of a message that was met with silence: that member, or group, had enough."""

_CANNED = frozenset(("group.called", "greeting", "hush"))
"""Handlers whose words are the same whoever asks."""

_CANNED_EACH = frozenset(("faq.unknown", "group.repeated", PRIVATE))
"""The same to whoever asks the same: another question that nobody knows is answered, too."""

_CANNED_CHARS = 40

RANKING = "ranking.group"
"""The ranking of a group is the same for everybody: it is not told twice in a while."""

_ANSWERS = frozenset(("faq", "content", "follow", "about", "choice"))
"""What tells something, by the first part of the handler's name: it is cut when it is long."""

_ITEMS = frozenset(("faq", "faq.passage", "content"))
"""Handlers whose `ctx.item` is all that they say."""

_ENDINGS = (topics.leave, topics.leave_in_words)
"""退订 in all its words: their handlers may pass, but what they take is never public."""

_UNSURE_OF = frozenset(("faq.unknown", "faq.offer", "content.search"))
_SAID_CHARS = 60
_CHOICE_CHARS = 30
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
        if not address.text or is_secret or await _is_own(said, ctx):
            ctx.logged = ctx.texts("coupon.hidden") if is_secret else ctx.logged
            ctx.handler = ENOUGH
            return Outcome(Reply.none(), ENOUGH)
        # What is not said now may be said to the next one who asks.
        mute = replace(speech, repeat_minutes=0)
        return _silent(await _converse(message, said, address, ctx, mute), ctx)
    done = await _converse(message, said, address, ctx, speech)
    whispered = ctx.aside and not ctx.erased
    words = "whispered" if whispered else done.handler if done.handler in _CANNED else ""
    if done.handler in _CANNED_EACH and not ctx.aside:
        words = f"{done.handler} {folded(said.text)[:_CANNED_CHARS]}"
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
    return _for_group(said, await _spoken(message, said, address, ctx, speech), ctx)


async def _spoken(
    message: Message, said: Message, address: Address, ctx: Context, speech: GroupSpeech
) -> Outcome:
    if address.why == "keyword":
        done = _plain(await dispatch(KEYWORD_RULES, said, ctx), ctx, speech)
        return await _once(message, done, ctx, speech, is_called=False)
    if address.why == "signup":
        return _plain(await dispatch(SIGNUP_RULES, said, ctx), ctx, speech)
    if address.why == "answer":
        return _plain(await dispatch(ANSWER_RULES, said, ctx), ctx, speech)
    if not address.text and message.kind in ("text", "voice"):
        return await _called(message, ctx, speech)
    return await _answer(said, ctx, speech)


def _for_group(message: Message, done: Outcome, ctx: Context) -> Outcome:
    """What it advises to reply, as it is to be said in a group; operators' orders stay."""
    if done.reply.kind != "text" or _COMMAND.match(message.text):
        return done
    text = for_all(done.reply.content, lambda word: is_private(replace(message, text=word), ctx))
    return replace(done, reply=Reply.text(text))


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
    if await _is_own(message, ctx):
        return await _privately(message, ctx, speech)
    if rules is GROUP_RULES and not await _picks_from_quoted(message, ctx):
        ctx.handler = "choice"
        return Outcome(Reply.text(ctx.texts("group.no_list")), ctx.handler)
    done = await dispatch(rules, message, ctx)
    # A word that only private rules know, or none: who asks of themselves is not told before all.
    of_me = done.handler in _UNSURE_OF and _OF_ME.match(folded(message.text)) is not None
    if of_me or done.handler == "coupon.offer":
        ctx.then.clear()
        ctx.options.clear()
        return await _privately(message, ctx, speech)
    if done.reply.kind == "transfer" or _is_gated(ctx, done.handler):
        return _elsewhere(ctx, speech)
    if done.handler == "faq.offer":
        done = replace(done, reply=_unsure(ctx, done.reply))
    elif done.handler == "faq.unknown":
        done = replace(done, reply=_unknown(message, ctx, done.reply))
    else:
        done = await _once(message, _plain(done, ctx, speech), ctx, speech)
    if _is_list(ctx):
        await choices.publish(ctx, _numbered(done.reply))
    return done


async def _is_own(message: Message, ctx: Context) -> bool:
    """`is_private`, and 我要领早鸟券, run together: whether there is such an offer, not whose."""
    if is_private(message, ctx):
        return True
    claims = said_in(message.text)
    return claims is not None and await coupons.offered(ctx, claims.word)


async def _picks_from_quoted(message: Message, ctx: Context) -> bool:
    """Make the quoted list the member's own; False for a number that quotes no list."""
    talk = message.talk
    if talk is None or not talk.quoted or len(message.text) > _CHOICE_CHARS:
        return True
    is_choice_of_it = is_choice(message.text)
    return await choices.adopt(ctx, talk.quoted, message.key) or not is_choice_of_it


async def _once(
    message: Message, done: Outcome, ctx: Context, speech: GroupSpeech, *, is_called: bool = True
) -> Outcome:
    """The answer, unless the group has read it just now: then its beginning, in one line.

    is_called: who turns to the bot hears that much each time; a keyword alone does once.
    """
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
    if said is Said.ENOUGH and not is_called:
        return Outcome(Reply.none(), ctx.handler)
    if item.startswith("ranking."):
        return Outcome(Reply.text(ctx.texts("group.said")), ctx.handler)
    start = " ".join(shortened(done.reply.content, _SAID_CHARS).split("\n"))
    return Outcome(Reply.text(ctx.texts("group.said_start", start=start)), ctx.handler)


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
            if rule.sure or rule.words or (rule.handler in _ENDINGS and not asking(message.text)):
                return True
        elif rule.sure:
            return False
    if subject_of(message.text) in PERSONAL:
        return True
    if ctx.is_operator() and _VERDICT.fullmatch(text):
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
    if ctx.erased:
        ctx.aside.extend(said)
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
    if told and _is_list(ctx):
        return replace(done, reply=Reply.text(_listing(text, done.handler, ctx, speech)))
    for more in then:
        if len(text) + len(more) < speech.short_chars:
            text = f"{text}\n{more}"
    if told and len(text) > speech.short_chars:
        text = _cut(text, ctx, speech, _told(ctx, done.handler))
    return replace(done, reply=Reply.text(text))


def _is_list(ctx: Context) -> bool:
    """Whether the reply offers numbers: answers in steps and chapters are no lists."""
    return bool(ctx.options) and all(one.word.isdecimal() for one in ctx.options)


def _listing(text: str, handler: str, ctx: Context, speech: GroupSpeech) -> str:
    """A list of whole lines, and how to pick; what is cut off is what 更多 shows."""
    head, lines, tail = split_list(text)
    head = without_number_advice(head)
    # Only items have a next page; other lists are short.
    paged = handler != "content.tags" and all(". " in one.label for one in ctx.options)
    shown = fitting(head, lines, speech.short_chars) if paged else lines
    how = ctx.texts("group.pick" if len(shown) == len(lines) else "group.pick_more")
    return "\n".join(filter(None, (head, *shown, with_links(tail), how)))


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
    if handler in _ITEMS or handler == RANKING:
        return ctx.item  # each period is another ranking
    return handler if handler.startswith("about.") else ""


def _cut(text: str, ctx: Context, speech: GroupSpeech, item: str) -> str:
    start = shortened(text, speech.short_chars)
    url = speech.page(item) if ":" in item else ""
    if url:
        return ctx.texts("group.whole", start=start, url=url)
    return ctx.texts("group.whole_private", start=start)


def _unsure(ctx: Context, reply: Reply) -> Reply:
    """您是不是想问, and at most three questions below it; of one whether it is that."""
    lines = _numbered(reply)[:_UNSURE_LINES]
    if len(lines) == 1:
        return Reply.text("\n".join((ctx.texts("group.unsure_one"), *lines)))
    return Reply.text("\n".join((ctx.texts("group.unsure"), *lines)))


def _unknown(message: Message, ctx: Context, reply: Reply) -> Reply:
    """One honest line, and what may be of use instead."""
    gap = gap_of(ctx.knowledge, message.text)
    if gap is None:
        return Reply.text(ctx.texts("group.called"))
    noted = not ctx.is_operator() and ctx.logged is None
    line = ctx.texts("group.unknown" if noted else "group.unknown_plain")
    related = _numbered(reply)[:_RELATED_LINES]
    if related:
        related = [ctx.texts("group.related"), *related, ctx.texts("group.pick")]
    return Reply.text("\n".join((line, *related)))


def _numbered(reply: Reply) -> list[str]:
    return [line for line in reply.content.splitlines() if NUMBERED.match(line)]


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
