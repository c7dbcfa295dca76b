"""What a member wants recommended, read out of their words. Pure: no store, no catalogue.

推荐 is in many sentences that want nothing recommended: 推荐人是谁, 怎么推荐朋友, 推荐有奖吗. Only
whole texts of the forms below are orders; whether a topic that is typed close (推荐写作课) is one,
the catalogue decides.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from handlers.router import folded

LONGEST = 40
"""Signs of a text that may be such an order."""


class Asked(NamedTuple):
    """topic: as typed, "" for anything. most_cents: at most so dear, None: any price. sure: the
    words can mean nothing else; otherwise a topic must be one of the catalogue's, and a FAQ entry
    of exactly these words goes first."""

    topic: str
    most_cents: int | None
    sure: bool


# Each sign belongs to one word only, so that there is one way to read them.
_POLITE = (
    r"(?:你好|您好|老师|亲|请问|请|麻烦|拜托|帮忙|帮|给|为|替|跟|我|你们|你|能不能|可不可以|可否|能|可以|想|要|求"
    r"|再|来|快|[,，\s])*"
)
_SOME = r"(?:一下|一些|一点|点儿?|些|下|(?:[一二两三四五几0-9]{1,2})?[个门本套份种款节])?"
_GOOD = r"(?:最|比较|真正)?(?:好看的?|好的?|不错的?|适合我的?|合适的?|值得学的?|值得看的?|新的?)?"
_THING = r"(?:课程|课|内容|东西|资料|教程|视频)"
_OF = r"(?:方面|相关|有关|类|主题)?的?"
_END = r"(?:给我|一下|吧|吗|么|嘛|呗|呢|呀|啊|哈|哦|谢谢你?|可以吗|好吗|行吗|[,，\s])*"

_BARE = re.compile(
    rf"{_POLITE}推荐(?:给我)?{_SOME}{_GOOD}(?:{_THING})?{_END}"
    rf"|{_POLITE}(?:会|一般)?推荐(?:我|给我)?(?:哪些|哪一?[门个]|什么|啥){_THING}?{_END}"
    rf"|{_THING}推荐{_END}|(?:今日|每日|本周|个性化?|智能|内容|精选)推荐|我的推荐|推荐列表"
)
_ANY = re.compile(
    rf"(?:你们?|这里|最近|现在|还)*有(?:没有|什么|啥|哪些|木有)?{_GOOD}(?:{_THING})?(?:可以)?推荐"
    rf"(?:给我)?的?(?:{_THING})?{_END}"
    rf"|(?:你们?|这里|最近|现在|还)*有(?:没有|什么|啥|哪些)?(?:值得(?:学|看)|适合我)的?(?:{_THING})?{_END}"
    rf"|猜[你我]喜欢{_END}|适合我的?(?:{_THING})(?:都?有(?:哪些|什么))?{_END}"
    rf"|(?:哪些|哪[一]?[门个]|什么){_THING}?(?:比较|最)?适合我(?:学)?{_END}"
    rf"|我(?:现在|接下来|下一步)?(?:适合|该|应该)(?:学|看)(?:什么|啥|哪[一]?[门个]){_THING}?{_END}"
    rf"|(?:接下来|下一步)(?:我)?(?:该|应该|可以)?(?:学|看)(?:什么|啥|哪[一]?[门个]){_THING}?{_END}"
)
_APART = re.compile(rf"{_POLITE}推荐(?:给我)?{_SOME}[\s:：,，]+(?P<topic>.+?)", re.DOTALL)
_CLOSE = re.compile(
    rf"(?:我是?)?(?:想要?|要)?(?:学习?|看|了解)(?P<wanted>.+?)[,，\s]*(?:的?话|有)?[,，\s]*"
    rf"{_POLITE}(?:会|一般)?推荐{_SOME}(?:哪些|哪一?[门个]|什么|啥)?(?:{_THING})?{_END}"
    rf"|(?P<level>[^,，]{{2,8}}?)(?:的?人?)[,，]?推荐(?:哪些|哪一?[门个]|什么|啥){_THING}?{_END}|"
    rf"{_POLITE}推荐(?:给我)?{_SOME}{_GOOD}(?P<topic>.+?){_END}"
    rf"|(?:你们?|这里|最近|现在|还)*有(?:没有|什么|啥|哪些)?{_GOOD}(?P<named>.+?)(?:可以)?推荐的?{_THING}?{_END}"
    rf"|(?P<first>.+?)(?:课程?|的书)推荐{_END}"
)
_NO_TOPIC = re.compile(
    r"人(?!际|文|生|力|像|物)|码|奖|有礼|官$|函|信$|朋友|好友|同学|同事|别人|闺蜜|家人|身边|亲戚|给|关系|位$"
    r"|是|怎|什么|啥|为何|为什|如何|多少|几[天次个]|能|算|过了|了$|得到|有没|没有|吗|呢|股票|基金产品|链接|计划"
    r"|功能|系统|算法|机制|规则|理由|原因|不准|不好|关闭|关掉|取消|别再|不要"
)
_ALL_OF_IT = re.compile(rf"(?P<core>.+?){_OF}(?:{_THING})?")
_VAGUE = re.compile(rf"(?:别的|其[他它]的?|热门|好的?|新的?|几个|一个|适合我)?的?(?:{_THING})?")

_HAN = "一二两三四五六七八九"
_NUMBER = rf"(?:[1-9][0-9]{{0,5}}|[{_HAN}](?:百五?|千)|[{_HAN}]?十|[{_HAN}]十[{_HAN}]?)"
_YUAN = r"(?:元|块钱?|圆|rmb|人民币)"
_WITHIN = r"(?:以内|之内|以下|之下|内|左右)"
_PRICE = re.compile(
    rf"(?:价[格钱]|预算)?(?:在|是)?(?P<a>{_NUMBER}){_YUAN}?{_WITHIN}"
    rf"|(?:不(?:超过|到|高于|多于)|低于|少于|小于|最多|预算)(?P<b>{_NUMBER}){_YUAN}?"
    r"|(?P<free>免费|不要钱|不花钱|0元|零元)"
)
_PRICED = re.compile(
    r"(?:你们?|这里|还|我?想?(?:要|看看?|找|学)|看看|找|来点|有没有|有什么|有哪些|有啥|有|求|\s)*(?P<price>@)"
    r"(?:钱)?的?(?P<topic>[^@]*?)(?P<thing>课程?|内容|专栏|电子书|书|直播|教程|资料|$)"
    r"(?:都?有(?:哪些|什么|啥)|有吗|推荐)?(?:吗|么|呢|吧|呀|啊|\s)*"
)


def _unnamed(form: str) -> str:
    return re.sub(r"\(\?P<\w+>", "(?:", form)


_PRICED_THING = _PRICED.pattern.replace("@)", f"{_PRICE.pattern})", 1).replace("|$)", ")", 1)
FORMS = rf"(?!.{{{LONGEST + 1}}})(?:" + "|".join(
    (
        *(_unnamed(form.pattern) for form in (_BARE, _ANY, _APART, _CLOSE)),
        _unnamed(_PRICED_THING),
        rf"[^@]{{0,8}}{_NUMBER}{_YUAN}{_WITHIN}的?[吗么呢吧]?)",
    )
)
"""Whatever one of the forms fits. Whether it is an order, `asked` says."""


def cents_in(text: str) -> tuple[str, int | None]:
    """(the text with "@" where the price stood, the price in fen); None where there is none."""
    found = _PRICE.search(text)
    if found is None:
        return text, None
    rest = f"{text[: found.start()]}@{text[found.end() :]}"
    return rest, 0 if found["free"] else 100 * _number(found["a"] or found["b"])


def _number(text: str) -> int:
    """二十, 一百五 or 199 as a number."""
    if text.isascii():
        return int(text)
    digits = {"两": 2, **{sign: number for number, sign in enumerate("一二三四五六七八九", 1)}}
    if "百" in text or "千" in text:
        hundred = 100 if "百" in text else 1000
        return digits[text[0]] * hundred + (50 if text.endswith("五") else 0)
    tens, _, ones = text.partition("十")
    return digits.get(tens, 1) * 10 + digits.get(ones, 0)


def topic_in(words: str) -> str | None:
    """The topic alone: 写作方面的课 -> 写作; "" for anything at all, None for what is none."""
    words = words.strip(" \t\r\n,，:：。「」“”\"'《》@").removeprefix("的")
    if not words or _VAGUE.fullmatch(words):
        return ""
    if _NO_TOPIC.search(words):
        return None
    found = _ALL_OF_IT.fullmatch(words)
    return found["core"].strip() if found is not None else words


def asked(text: str) -> Asked | None:
    """What is to be recommended; None for any text that asks for nothing of the kind."""
    if len(text) > LONGEST:
        return None
    words = folded(text)
    if "推荐" not in words:
        return _by_price(words) or (Asked("", None, False) if _ANY.fullmatch(words) else None)
    words, cents = cents_in(words)
    plain = words.replace("@的", "").replace("@", "").strip()
    if _BARE.fullmatch(plain):
        return Asked("", cents, True)
    if _ANY.fullmatch(plain):
        return Asked("", cents, cents is not None)
    for form, sure in ((_APART, True), (_CLOSE, False)):
        found = form.fullmatch(plain)
        if found is None:
            continue
        named = next((one for one in found.groupdict().values() if one), "")
        topic = topic_in(named)
        if topic is None:
            return None
        return Asked(topic, cents, sure or not topic)
    return None


def _by_price(words: str) -> Asked | None:
    """免费的课, 有没有100元以内的写作课: what is of a kind and a price."""
    marked, cents = cents_in(words)
    found = _PRICED.fullmatch(marked) if cents is not None else None
    if found is None:
        return None
    thing = found["thing"]
    said_yuan = re.search(_YUAN, words) is not None
    if not thing and not said_yuan:
        return None  # 免费 or 100以内 alone: of what?
    topic = topic_in(found["topic"])
    if topic is None:
        return None
    if not topic and thing not in ("", "课", "课程", "内容", "教程", "资料"):
        topic = thing
    return Asked(topic, cents, False)
