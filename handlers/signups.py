"""接龙: members of a group put themselves on a list, with +1 and -1.

Anybody opens one; who opened it and operators close it. Every +1 is written down, but not every
one is answered: a list is spoken of once in half a minute, with whoever is on it by then. A chain
that people paste (#接龙) signs up whoever pasted it, and nobody else.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence

from handlers import changes
from handlers.addressing import SIGN_UPS
from handlers.campaign_when import BadTime
from handlers.changes import number_from, read_only, short
from handlers.context import Context
from handlers.group_asked import can_post, poster
from handlers.group_names import called
from handlers.message import Message, Reply
from handlers.router import Router, asking, folded
from handlers.signup_text import LONGEST_NOTE, Opened, own_line, read_chain, read_opening
from handlers.signup_words import TITLE_CHARS, head, how_to, listed, several, title_of
from insights.order_reading import masked
from knowledge import Band
from store.group_answers import Said
from store.groups import Group
from store.posts import NewPost, Post
from store.signups import MOST_OPEN, PAUSE_S, Joined, Joining, Make, Opening, Signup

router = Router("signup")
joining = Router("signup.join")

LISTED = 10
"""Lists of /signup."""

_LATE_S = 1800.0

_YES = r"\+\s*1|加1|报名|参加|加入"
_NO = r"-\s*1|退出|取消|不去了"
_END = "结束|关闭|停止|截止|收工"
_WHICH = r"(?:第?(?P<which>\d)[个号]?[\s:：,，]*)?"
_ACT = re.compile(
    rf"接龙[\s:：,，]*{_WHICH}(?:(?P<yes>{_YES})(?:[\s,，:：]+(?P<note>.+))?|(?P<no>{_NO})"
    rf"|(?P<end>{_END}))|(?P<ends>(?:{_END})接龙)",
    re.DOTALL,
)
_NAMED = re.compile(
    r"(?P<title>.+?)[\s,，]*(?:(?P<yes>\+\s*1)(?:[\s,，:：]+(?P<note>.+))?|(?P<no>-\s*1))",
    re.DOTALL,
)
"""接龙 爬山 +1 带水: by the title instead of the number."""
_ME = re.compile(r"(?:我来?|算我一?个?|加我一?个?|我参加|我要参加)")
_ANEW = re.compile(r"(?:新开|另开|新建)(?:一个)?[\s:：,，]*(?=\S)")
_JOIN = re.compile(r"(?:\+\s*1|我?要?报名)(?:[\s,，:：]+(?P<note>.+))?", re.DOTALL)
_WAYS = "(?:怎么|如何|怎样)(?:用|弄|玩|发起?|开|报名|参加)?"
_HOW = rf"{_WAYS}接龙|接龙(?:是什么|规则|说明|{_WAYS})"
_CHATTER = re.compile(
    "怎么|怎样|如何|什么|为啥|为何|能不能|可以|谁|哪|是不是|有没有|[吗呢吧么了啊呀啦]$|^(?:的|是|了|太|真|又|都|还)"
)
"""接龙 太长了吧 opens no list."""


# Looking


@router.text("接龙|接龙名单|接龙列表|看接龙|查看接龙", where="group", keyword=True)
async def show(message: Message, ctx: Context) -> Reply:
    """What is open: one list in full, several by their numbers."""
    ctx.handler = "signup.show"
    if _silent_until(message, ctx) > ctx.at:
        return Reply.none()
    open_ = await ctx.store.signups.opened_in(ctx.place, ctx.at)
    if not open_:
        return Reply.text(ctx.texts("signup.none"))
    turned_to = message.talk is not None and message.talk.addressed
    if len(open_) == 1:
        ctx.item = f"signup:{open_[0].id}"
        words = listed(ctx, open_[0])
        return Reply.text(words) if turned_to else await _say(message, ctx, open_[0], words)
    if not turned_to:
        key = bytes.fromhex(message.key)
        said = await ctx.store.group_answers.claim(ctx.place, "signups", key, ctx.at, PAUSE_S)
        if said is not Said.FIRST:
            return Reply.none()
    return Reply.text(several(ctx, open_))


# Opening


@router.text(r"[#＃]\s*接龙.*\n.*|接龙[\s:：]*\n.+|接龙[\s:：]+[^\n]+\n.+", where="group")
async def paste(message: Message, ctx: Context) -> Reply | None:
    """A chain as people paste it: whoever pasted it is on the list, by their own line."""
    pasted = read_chain(message.text)
    if pasted is None:
        return None
    ctx.handler = "signup.paste"
    store, key = ctx.store.signups, bytes.fromhex(message.key)
    open_ = await store.opened_in(ctx.place, ctx.at)
    signup = next((one for one in open_ if _alike(one.title, pasted.title)), None)
    if signup is None:
        if not message.talk or len(open_) >= MOST_OPEN:
            return Reply.none()
        opening, signup = await store.open(
            ctx.place, pasted.title, None, None, ctx.member.id, key, ctx.at
        )
        if opening is not Opening.DONE or signup is None:
            return Reply.none()
    ctx.item = f"signup:{signup.id}"
    me = ctx.member.id
    known = await store.names(ctx.place)
    others = [name for name, member in known.items() if member != me]
    others += [one.name for one in signup.entries if one.member_id != me]
    mine = own_line(pasted, await _name(message, ctx), others)
    if mine is None:
        return Reply.none()
    name, note = mine
    done = await store.join(signup.id, me, name, note, key, ctx.at)
    return await _joined(message, ctx, done)


def _alike(title: str, other: str) -> bool:
    return "".join(folded(title).split()) == "".join(folded(other).split())


@router.text(
    r"接龙[\s:：,，]*(?:第?\d[个号]?[\s:：,，]*)?"
    r"(?:\+|-|加1|报名|参加|加入|退出|取消|不去了|结束|关闭|停止|截止|收工).*"
    r"|(?:结束|关闭|停止|截止|收工)接龙",
    where="group",
)
async def act(message: Message, ctx: Context) -> Reply | None:
    """接龙 +1 带娃, 接龙 2 +1, 接龙 退出, 接龙 结束; None for what only looks like it."""
    found = _ACT.fullmatch(unicodedata.normalize("NFKC", message.text).strip())
    if found is None or asking(message.text):
        return await start(message, ctx)
    open_ = await ctx.store.signups.opened_in(ctx.place, ctx.at)
    number = int(found["which"]) if found["which"] else None
    ends = bool(found["end"] or found["ends"])
    if ends and _in_passing(message) and not any(_may_end(ctx, one) for one in open_):
        return Reply.none()
    if not open_:
        return _quietly(message, ctx, ctx.texts("signup.none"))
    if number is not None:
        signup = next((one for one in open_ if ctx.store.signups.number(one.id) == number), None)
    elif ends:
        signup = _to_end(ctx, open_)
    else:
        mine = [one for one in open_ if found["no"] and one.of(ctx.member.id) is not None]
        signup = open_[0] if len(open_) == 1 else mine[0] if len(mine) == 1 else None
    if signup is None:
        # Who gives an order is told what it lacks, however lately the lists were shown.
        return Reply.text(several(ctx, open_)) if ends else await show(message, ctx)
    if ends:
        return await _end(message, ctx, signup)
    if found["no"]:
        return await _leave(message, ctx, signup)
    return await _join(message, ctx, signup, found["note"] or "")


@router.text(r"接龙[\s:：]+\S.*", where="group")
async def start(message: Message, ctx: Context) -> Reply | None:
    """接龙 周六读书会 20人 到 周五 18:00: opens a list. None for chatter about one."""
    words = re.sub(r"^\s*接龙[\s:：,，]*", "", unicodedata.normalize("NFKC", message.text))
    if asking(message.text) or _CHATTER.search(folded(words)):
        return None
    open_ = await ctx.store.signups.opened_in(ctx.place, ctx.at)
    if open_ and (joined := await _wish(message, ctx, words, open_)) is not None:
        return joined
    anew = _ANEW.match(words)
    words = words[anew.end() :] if anew is not None else words
    texts = ctx.texts
    ctx.handler = "signup.open"
    try:
        new = read_opening(words, ctx.now)
    except BadTime as bad:
        return _quietly(
            message, ctx, texts("signup.past" if bad.why == "past" else "signup.bad_time")
        )
    if new is None:
        return None
    if open_ and anew is None and _is_vague(ctx, new, open_):
        title, how = masked(new.title, TITLE_CHARS), how_to(ctx, open_[-1])
        lists = "".join(f"《{title_of(one)}》" for one in open_)
        return _quietly(message, ctx, texts("signup.anew", lists=lists, how=how, title=title))
    return await _open(message, ctx, new)


def _is_vague(ctx: Context, new: Opened, open_: Sequence[Signup]) -> bool:
    """Whether it is likely meant for a list that is open: 接龙 改时间. A second list switches +1
    off for everybody, so it is asked back; not of who cannot open one, who hears that."""
    if new.places is not None or new.closes_at is not None or len(open_) >= MOST_OPEN:
        return False
    return all(one.opened_by != f"member:{ctx.member.id}" for one in open_)


async def _wish(
    message: Message, ctx: Context, words: str, open_: Sequence[Signup]
) -> Reply | None:
    """接龙 我, 接龙 and one's own name, 接龙 爬山 +1: signs up where a list is open. None for
    words that are no such wish."""
    named = _NAMED.fullmatch(words.strip())
    if named is not None:
        signup = _titled(open_, named["title"])
        if signup is None:
            return await show(message, ctx)
        if named["no"]:
            return await _leave(message, ctx, signup)
        return await _join(message, ctx, signup, named["note"] or "")
    same = next((one for one in open_ if _alike(one.title, words)), None)
    if same is not None and same.opened_by != f"member:{ctx.member.id}":
        return _quietly(message, ctx, listed(ctx, same))
    first, _, note = " ".join(words.split()).partition(" ")
    name = await _name(message, ctx)
    if _ME.fullmatch(first) is None and (not name or not _alike(first, name)):
        return None
    if len(open_) > 1:
        return await show(message, ctx)
    return await _join(message, ctx, open_[0], note)


def _titled(open_: Sequence[Signup], words: str) -> Signup | None:
    """The one list of this title, or of a title that holds it; None for none, or for several."""
    typed = "".join(folded(words).split())
    same = [one for one in open_ if _alike(one.title, words)]
    near = [one for one in open_ if len(typed) > 1 and typed in "".join(folded(one.title).split())]
    found = same or near
    return found[0] if len(found) == 1 else None


async def _open(message: Message, ctx: Context, new: Opened) -> Reply:
    texts = ctx.texts
    opening, signup = await ctx.store.signups.open(
        *(ctx.place, new.title, new.places, new.closes_at, ctx.member.id),
        bytes.fromhex(message.key),
        ctx.at,
    )
    if opening is Opening.HAVE_ONE:
        assert signup is not None
        title, number = title_of(signup), ctx.store.signups.number(signup.id)
        if ctx.store.signups.count_open(ctx.place, ctx.at) > 1:
            words = texts("signup.have_one_of", title=title, number=number)
        else:
            words = texts("signup.have_one", title=title)
        return _quietly(message, ctx, words)
    if signup is None:
        return _quietly(message, ctx, texts("signup.enough", most=MOST_OPEN))
    ctx.item = f"signup:{signup.id}"
    make = _make(ctx)
    if make is not None:
        for one in await ctx.store.signups.opened_in(ctx.place, ctx.at):
            if one.id != signup.id:
                # What waits to be posted of it invites to a bare +1, which now means nothing.
                await ctx.store.signups.refresh(one.id, make)
    words = texts("signup.opened", head=head(ctx, signup), how=how_to(ctx, signup))
    return await _say(message, ctx, signup, words)


# Signing up and leaving


@joining.text(r"\+\s*1(?:[\s,，:：]+.+)?|我?要?报名(?:[\s,，:：]+.+)?", where="group")
async def plus(message: Message, ctx: Context) -> Reply | None:
    """+1: on the one list that is open; None where none is."""
    if asking(message.text):
        return None
    found = _JOIN.fullmatch(unicodedata.normalize("NFKC", message.text).strip())
    open_ = await ctx.store.signups.opened_in(ctx.place, ctx.at)
    if found is None:
        return None
    if not open_:
        return Reply.text(ctx.texts("signup.none")) if _is_plus(message.text) else None
    if len(open_) > 1:
        return await show(message, ctx)
    return await _join(message, ctx, open_[0], found["note"] or "")


@joining.text("-1|取消报名|退出报名", where="group")
async def minus(message: Message, ctx: Context) -> Reply | None:
    """-1: off the list that one is on; None where none is open."""
    open_ = await ctx.store.signups.opened_in(ctx.place, ctx.at)
    if asking(message.text):
        return None
    if not open_:
        return Reply.text(ctx.texts("signup.none")) if _is_plus(message.text) else None
    mine = [one for one in open_ if one.of(ctx.member.id) is not None] or open_
    if len(mine) > 1:
        return await show(message, ctx)
    return await _leave(message, ctx, mine[0])


def _is_plus(text: str) -> bool:
    """Whether it is +1 or -1: 报名 without a list is a question to somebody else."""
    return unicodedata.normalize("NFKC", text).strip()[:1] in "+-"


def _some_open(message: Message, ctx: Context) -> bool:
    return ctx.store.signups.count_open(ctx.place, ctx.at) > 0


@joining.text(r"(?:我?[想要]*)报名(?!接龙|怎么|如何)\s*\S{2,30}", where="group", guard=_some_open)
async def plus_by_title(message: Message, ctx: Context) -> Reply | None:
    """报名读书会: on the open list of that title; None for what has another."""
    words = re.sub(r"^\s*(?:我?[想要]*)报名\s*", "", message.text)
    if asking(message.text):
        return None
    signup = _titled(await ctx.store.signups.opened_in(ctx.place, ctx.at), words)
    return None if signup is None else await _join(message, ctx, signup, "")


@joining.text(
    rf"{_HOW}|接龙(?:[\s:：+＋\-－].*)?|[#＃]\s*接龙.*|[+＋]\s*1|-\s*1"
    r"|(?:报名|参加|退出|结束)接龙|接龙(?:报名|结束|退出)",
    where="both",
    name="signup.how",
)
async def explain(message: Message, ctx: Context) -> Reply | None:
    """How it works, to who turned to the bot; in private, that it is done in a group. None where
    the FAQ is sure of these words, and while a question is open, whose answer +1 may be."""
    if message.talk is not None:
        asked = message.talk.addressed and re.fullmatch(_HOW, folded(message.text))
        return Reply.text(ctx.texts("signup.help")) if asked else None
    if _is_plus(message.text) and await ctx.store.quizzes.on(ctx.at):
        return None
    if ctx.knowledge.ask(message.text, ctx.demoted).band is Band.SURE:
        return None
    return Reply.text(ctx.texts("signup.in_groups"))


@router.text("退出接龙", where="group", keyword=True)
async def quit(message: Message, ctx: Context) -> Reply:
    """退出接龙: as -1."""
    return await minus(message, ctx) or _quietly(message, ctx, ctx.texts("signup.none"))


async def _name(message: Message, ctx: Context) -> str:
    """What the group calls them; of who does not want to be recorded only the name they chose."""
    told = message.talk.name.strip() if message.talk is not None else ""
    if told and not ctx.store.talk.unrecorded(ctx.member.id):
        return told
    return await ctx.store.signups.name_of(ctx.place, ctx.member.id)


async def _join(message: Message, ctx: Context, signup: Signup, note: str) -> Reply:
    ctx.handler, ctx.item = "signup.join", f"signup:{signup.id}"
    note = " ".join(note.split())[:LONGEST_NOTE]
    done = await ctx.store.signups.join(
        *(signup.id, ctx.member.id, await _name(message, ctx), note),
        bytes.fromhex(message.key),
        ctx.at,
    )
    return await _joined(message, ctx, done)


async def _joined(message: Message, ctx: Context, done: Joined) -> Reply:
    texts, signup = ctx.texts, done.signup
    mine = signup.of(ctx.member.id) if signup is not None else None
    if signup is None or done.outcome is Joining.CLOSED:
        return _quietly(message, ctx, texts("signup.over"))
    if done.outcome is Joining.FULL:
        return _quietly(message, ctx, texts("signup.too_many"))
    if mine is None:
        return Reply.none()  # erased, or off the list again, in this very moment
    title = title_of(signup)
    if signup.waits(mine):
        place = mine.position - (signup.places or 0)
        words = texts("signup.joined_waiting", title=title, number=place)
    elif signup.left is None:
        words = texts("signup.joined", title=title, number=mine.position)
    elif signup.left == 0:
        words = texts("signup.joined_last", title=title, number=mine.position)
    else:
        words = texts("signup.joined_left", title=title, number=mine.position, left=signup.left)
    if not mine.name:
        words = f"{words}{texts('signup.nameless')}"
    return await _say(message, ctx, signup, words)


async def _leave(message: Message, ctx: Context, signup: Signup) -> Reply:
    ctx.handler, ctx.item = "signup.leave", f"signup:{signup.id}"
    texts = ctx.texts
    done = await ctx.store.signups.leave(
        signup.id, ctx.member.id, bytes.fromhex(message.key), ctx.at
    )
    if done.signup is None or done.outcome is Joining.CLOSED:
        return _quietly(message, ctx, texts("signup.over"))
    if done.outcome is Joining.SAME:
        return _quietly(message, ctx, texts("signup.not_on", title=title_of(done.signup)))
    words = texts("signup.off", title=title_of(done.signup), count=len(done.signup.entries))
    if done.moved_up is not None:
        name = called(texts, done.moved_up.name)
        words = f"{words}{texts('signup.moved_up', name=name)}"
    return await _say(message, ctx, done.signup, words)


def _to_end(ctx: Context, open_: Sequence[Signup]) -> Signup | None:
    """Which list 接龙 结束 means: the only one, or the only one that this member opened."""
    mine = [one for one in open_ if one.opened_by == f"member:{ctx.member.id}"]
    return mine[0] if len(mine) == 1 else open_[0] if len(open_) == 1 else None


def _may_end(ctx: Context, signup: Signup) -> bool:
    return ctx.is_operator() or signup.opened_by == f"member:{ctx.member.id}"


def _in_passing(message: Message) -> bool:
    """Whether 接龙结束 may be a remark to the others: said to nobody, and in one word."""
    to_bot = message.talk is not None and message.talk.addressed
    return not to_bot and " " not in unicodedata.normalize("NFKC", message.text).strip()


async def _end(message: Message, ctx: Context, signup: Signup) -> Reply:
    """Closed by who opened it, or by an operator."""
    ctx.handler, ctx.item = "signup.close", f"signup:{signup.id}"
    if not _may_end(ctx, signup):
        return _quietly(message, ctx, ctx.texts("signup.not_yours", title=title_of(signup)))
    done = await ctx.store.signups.close(signup.id, ctx.at)
    return Reply.text(listed(ctx, done or signup))


# Saying it, and not too often


def _silent_until(message: Message, ctx: Context) -> float:
    """When the bot may speak of it; in the past where it was turned to."""
    if ctx.group is None or (message.talk is not None and message.talk.addressed):
        return 0.0
    return ctx.group.rules.silent_until(ctx.at)


def _quietly(message: Message, ctx: Context, words: str) -> Reply:
    """A word to one member: not in quiet hours, unless they turned to the bot."""
    quiet = _silent_until(message, ctx) > ctx.at
    return Reply.none() if quiet else Reply.text(words)


async def _say(message: Message, ctx: Context, signup: Signup, words: str) -> Reply:
    """The words, if the list was not spoken of just now; else it is posted when it may be."""
    make = _make(ctx)
    may = await ctx.store.signups.say(
        signup.id, bytes.fromhex(message.key), ctx.at, make, _silent_until(message, ctx)
    )
    # Who had to mention the bot, where nothing can be posted, hears it all the same.
    asked_ = message.talk is not None and message.talk.addressed and make is None
    return Reply.text(words) if may or asked_ else Reply.none()


def _make(ctx: Context) -> Make | None:
    """What is posted of a list in this group; None where nothing can be."""
    group = ctx.group
    if group is None or not can_post(ctx, group):
        return None
    return functools.partial(_notice, ctx, group)


def _notice(ctx: Context, group: Group, signup: Signup, due_at: float) -> NewPost:
    key = f"signup:{signup.id}:{due_at}"
    return NewPost(
        key=hashlib.blake2b(key.encode(), digest_size=16).digest(),
        channel=poster(group),
        place=group.place,
        kind="notice",
        body=Post("text", listed(ctx, signup, due_at)),
        due_at=due_at,
        not_after=due_at + _LATE_S,
    )


# The operator, in private


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/signup: the lists of all groups; /signup 12: one in full; /signup close 12."""
    texts = ctx.texts
    words = rest.split()
    closing = bool(words) and folded(words[0]) in ("close", "结束", "关闭")
    number = number_from(words[-1]) if words else None
    if not words:
        return await _page(ctx)
    if number is None or len(words) > 1 + closing:
        return Reply.text(texts("signup.usage"))
    found = await ctx.store.signups.get(number)
    if found is None:
        return Reply.text(texts("signup.unknown", number=number))
    ctx.item = f"signup:{number}"
    if not closing:
        return Reply.text(_export(ctx, found))
    if refused := read_only(ctx):
        return refused
    if not found.is_open(ctx.at):
        return Reply.text(ctx.texts("signup.closed_before", number=number))
    # The group did not hear the order: it reads there that the list has ended.
    group = ctx.store.groups.known(found.place)
    make = None
    if group is not None and can_post(ctx, group):
        make = functools.partial(_notice, ctx, group)
    until = group.rules.silent_until(ctx.at) if group is not None else 0.0
    done = await ctx.store.signups.close(number, ctx.at, make, until) or found
    await changes.audited(message, ctx, "signup.close", f"signup:{number}", short(found.title))
    return Reply.text(_export(ctx, done))


async def _page(ctx: Context) -> Reply:
    found = await ctx.store.signups.page(LISTED)
    if not found:
        return Reply.text(ctx.texts("signup.list_none"))
    lines = [
        ctx.texts(
            "signup.list_line",
            number=one.id,
            head=head(ctx, one),
            group=_where(ctx, one),
            state=_state(ctx, one),
        )
        for one in found
    ]
    return Reply.text("\n".join((ctx.texts("signup.list_head"), *lines)))


def _where(ctx: Context, signup: Signup) -> str:
    group = ctx.store.groups.known(signup.place)
    return short(group.title) if group is not None else signup.place


def _state(ctx: Context, signup: Signup) -> str:
    if signup.is_open(ctx.at):
        return ctx.texts("signup.state_open")
    return ctx.texts("signup.state_closed")


def _export(ctx: Context, signup: Signup) -> str:
    """The whole list, one member a line with their number, as text to copy."""
    texts = ctx.texts
    told = {"number": signup.id, "group": _where(ctx, signup), "state": _state(ctx, signup)}
    lines = [texts("signup.export_head", head=head(ctx, signup), **told)]
    for entry in signup.entries:
        name = entry.name or texts("group_life.somebody")
        note = f" {entry.note}" if entry.note else ""
        said = texts(
            "signup.export_line",
            number=entry.position,
            name=name,
            note=note,
            member=entry.member_id,
        )
        if signup.waits(entry):
            said = texts("signup.export_waits", line=said)
        lines.append(said)
    if not signup.entries:
        lines.append(texts("signup.export_none"))
    return "\n".join(lines)


assert {"+1", "-1"} <= SIGN_UPS, "what is heard unasked is what `joining` takes"
