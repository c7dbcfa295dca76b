"""What a member wants recommended, read out of their words. Pure: no store, no catalogue.

推荐 is in many sentences that want nothing recommended: 推荐人是谁, 怎么推荐朋友, 推荐有奖吗. Only
whole texts of the forms below are orders; whether a topic that is typed close (推荐写作课) is one,
the catalogue decides. Prices are read in `handlers/recommend_prices.py`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from handlers.recommend_prices import ANY_PRICE, PRICE, YUAN, Price, price_in, within
from handlers.router import folded

LONGEST = 40
"""Signs of a text that may be such an order."""

MOST = 5
"""Items in a list, however many are asked for: what one still reads on a phone."""

TEACHERS = frozenset(("老师", "讲师", "作者"))
"""A topic that is none: which of them is meant must be asked."""


class Asked(NamedTuple):
    """topic: as typed, "" for anything. price: what it may cost. sure: the words can mean nothing
    else; otherwise a topic must be one of the catalogue's, and a FAQ entry of exactly these words
    goes first. order: "cheap" first, what is "popular", "" for what fits. size: items, 0 when
    no number was said, `MOST` at most."""

    topic: str
    price: Price
    sure: bool
    order: Literal["", "cheap", "popular"] = ""
    size: int = 0


# Each sign belongs to one word only, so that there is one way to read them.
_POLITE = (
    r"(?:你好|您好|老师|亲|请问|请|麻烦|拜托|帮忙|帮|给|为|替|跟|我|你们|你|能不能|可不可以|可否|能|可以|想|要|求"
    r"|随便|随意|随机|来[点个些]|再|来|快|多|[,，\s])*"
)
_UNITS = "[个门本套份种款节]"
_NO_UNIT = "(?!月|小时|星期|人)"
_SOME = (
    r"(?:一下|一些|一点|一波|点儿?|些|下"
    rf"|(?:[一二两三四五六七八九十几0-9]{{1,2}})?{_UNITS}{_NO_UNIT})?"
)
_GOOD = r"(?:最|比较|真正)?(?:好看的?|好的?|不错的?|适合我的?|合适的?|值得[学看买]的?|新的?)?"
_THING = r"(?:课程|课|内容|东西|资料|教程|视频)"
_SIDE = "(?:方面|相关|有关|类|主题)?"
_OF = rf"{_SIDE}的?"
_END = (
    r"(?:给我|一下|看看|学学|听听|来看|来学|吧|吗|么|嘛|呗|呢|呀|啊|哈|哦|谢谢你?"
    r"|可以吗|好吗|行吗|[,，\s])*"
)
_WHAT = rf"(?:哪些|哪一?{_UNITS}|什么|啥)"
_HERE = r"(?:你们?|您|这里|这边|最近|现在|都|还)*"
_DO = "[学看买读报]"

_BARE = re.compile(
    rf"{_POLITE}推荐(?:推荐)?(?:给我|我)?{_SOME}{_GOOD}(?:{_THING})?{_END}"
    rf"|{_POLITE}(?:会|一般)?推荐(?:我|给我)?{_WHAT}{_THING}?{_END}"
    rf"|{_THING}推荐{_END}|(?:今日|每日|本周|个性化?|智能|内容|精选)推荐|我的推荐|推荐列表"
)
_ANY = re.compile(
    rf"{_HERE}有(?:没有|什么|啥|哪些|木有)?{_GOOD}(?:{_THING})?(?:可以)?推荐(?:给我)?的?(?:{_THING})?{_END}"
    rf"|{_HERE}有(?:没有|什么|啥|哪些)?(?:值得{_DO}|适合我)的?(?:{_THING})?{_END}"
    rf"|{_HERE}有(?:没有|什么|啥|哪些)?好的?{_THING}{_END}"
    rf"|{_HERE}有(?:没有|什么|啥|哪些)?{_THING}(?:比较|最)?(?:值得{_DO}|适合我{_DO}?)的?{_END}"
    rf"|{_WHAT}{_THING}?(?:比较|最)?(?:值得{_DO}|好)的?{_END}"
    rf"|猜[你我]喜欢{_END}|适合我的?(?:{_THING})(?:都?有(?:哪些|什么))?{_END}"
    rf"|{_WHAT}{_THING}?(?:比较|最)?适合我(?:学)?{_END}"
    rf"|我(?:现在|接下来|下一步)?(?:适合|该|应该)(?:学|看)(?:点|些)?{_WHAT}{_THING}?{_END}"
    rf"|(?:接下来|下一步)(?:我)?(?:该|应该|可以)?(?:学|看)(?:点|些)?{_WHAT}{_THING}?{_END}"
)
_APART = re.compile(rf"{_POLITE}推荐(?:给我|我)?{_SOME}[\s:：,，]+(?P<topic>.+?)", re.DOTALL)
_CLOSE = re.compile(
    rf"(?:我是?)?(?:想要?|要)?(?:学习?|看|了解)(?P<wanted>.+?)[,，\s]*(?:的?话|有)?[,，\s]*"
    rf"{_POLITE}(?:会|一般)?推荐{_SOME}{_WHAT}?(?:{_THING})?{_END}"
    rf"|(?P<level>[^,，]{{2,8}}?)(?:的?人?)[,，]?推荐{_WHAT}{_THING}?{_END}|"
    rf"{_POLITE}推荐(?:给我|我)?{_SOME}{_GOOD}(?P<topic>.+?){_END}"
    rf"|{_HERE}有(?:没有|什么|啥|哪些)?{_GOOD}(?P<named>.+?)(?:可以)?推荐的?{_THING}?{_END}"
    rf"|(?P<first>.+?)(?:课程?|的?书籍?)?推荐{_SOME}{_END}"
)
_FITTING = re.compile(
    rf"{_HERE}(?:有(?:没有|什么|啥|哪些)?)?适合(?P<whom>[^我]+?)(?:{_DO}|入门)?的{_THING}{_END}"
    rf"|(?P<who>新手|小白|零基础|初学者)(?:的人|人士)?(?:该|应该|适合|可以|先|从)*(?:学|看|买){_WHAT}{_THING}?{_END}"
)
_NO_TOPIC = re.compile(
    r"人(?!际|文|生|力|像|物|工智)|码|奖|有礼|官$|函|信$|朋友(?!圈)|好友|同学|同事|别人|闺蜜|家人|身边|亲戚|给|关系|位$"
    r"|是|怎|什么|啥|为何|为什|如何|多少|几[天次个]|能(?!力)|算(?!法课)|过了|了$|得到|有没|没有|吗|呢|股票|基金产品"
    r"|链接|计划|功能|系统|算法|机制|规则|理由|原因|不准|不好|关闭|关掉|取消|停止|别再|别给|不要"
)
_ALL_OF_IT = re.compile(rf"(?P<core>.+?){_OF}(?:{_THING})?")
_ABOUT = re.compile(
    rf"(?:关于|有关|讲|教|学(?!习(?:方法|力|习惯|效率|笔记))习?|练)(?P<core>.+?){_SIDE}的(?:{_THING})?"
)
_VAGUE = re.compile(rf"(?:别的|其[他它]的?|好的?|新的?|几个|一个|适合我)?的?(?:{_THING})?")

_CHEAP = (
    r"(?:最|比较|相对|更|再|稍微)?(?:便宜(?!货)|(?<!贵)不(?:太|是很|怎么)?贵(?!不贵)|实惠|划算|低价|平价|价[格钱]低"
    r"|性价比(?:最|比较|很)?高?)(?:一点儿?|一些|点儿?|些)?"
)
_POPULAR = (
    r"(?:最近|现在|当下)?(?:(?:最|比较|很|更)?(?:热门|热销|畅销|爆款|受(?:大家)?欢迎|抢手)|(?:最|比较|很|超)火爆?"
    r"|最热|人气(?:最|很|比较)?高|卖得?(?:最|很|比较)好|销量(?:最|很|比较)?[高好]"
    rf"|{_DO}的?人(?:最|很|比较)多|大家(?:最近|现在)?都在{_DO}|大家都?喜欢)"
)
_CHEAP_IN, _POPULAR_IN = re.compile(_CHEAP), re.compile(_POPULAR)
_MARKED = re.compile(
    rf"(?:{_HERE}|我?想?(?:要|看看?|找|学|买)|看看|找|换一?[个门批点]|来[点个些]|有没有|有什么|有哪些|有啥|有|求|{_WHAT}|\s)*"
    r"@(?:(?:又|而且|、|,|，|\s)*@)?(?:钱)?的?(?P<topic>[^@]*?)"
    r"(?P<thing>课程?|内容|专栏|电子书|书|直播|教程|资料|(?=[吗么呢吧呀啊\s]*$))"
    rf"(?:都?(?:有|是){_WHAT}|有吗|推荐)?(?:吗|么|呢|吧|呀|啊|\s)*"
)
_WHICH_IS = re.compile(rf"{_WHAT}{_THING}?(?:是)?@的?{_END}|@(?:些)?{_WHAT}{_THING}?{_END}")
_EVERYBODY = re.compile(
    rf"(?:最近|现在|这几天)?(?:大家|别人|其他人|同学们?)(?:最近|现在|一般)?(?:都)?(?:在|喜欢|爱)?{_DO}(?:些)?"
    rf"{_WHAT}{_THING}?(?:比较|最)?多?{_END}"
)
_COUNT = re.compile(
    rf"(?:推荐(?:给我|我)?|再?来)\s*(?P<n>[一二两三四五六七八九十]|[0-9]{{1,2}}){_UNITS}{_NO_UNIT}"
    rf"|\s(?P<last>[一二两三四五六七八九十]|[1-9]){_UNITS}$"
)
_ONLY_NUMBER = re.compile(rf"{_POLITE}推荐(?:给我|我)?\s*(?P<n>[0-9]{{1,5}})")
_PLAIN_THINGS = ("", "课", "课程", "内容", "教程", "资料")
_APART_SIGNS = re.compile(r"推\s+荐")
_TRADITIONAL = str.maketrans(
    "薦課給門個幾學習嗎麼點麼麻煩幫資內東價錢熱歡適",
    "荐课给门个几学习吗么点么麻烦帮资内东价钱热欢适",
)

FORMS = (
    rf"(?s:(?!.{{{LONGEST + 5}}}).*(?:推\s*[荐薦]|值得|适合|適合|猜[你我]喜欢"
    rf"|好的?[课課内內东東教视资]|(?:哪一?{_UNITS}|什么){_THING}?好|[学看买读报](?:点|些)?{_WHAT}|{_CHEAP}|{_POPULAR}|{ANY_PRICE}).*)"
)
"""What a text must hold to be looked at. Whether it is an order, `asked` says."""


def topic_in(words: str) -> str | None:
    """The topic alone: 写作方面的课 -> 写作; "" for anything at all, None for what is none."""
    words = words.strip(" \t\r\n,，:：。「」“”\"'《》@").removeprefix("的")
    if not words or _VAGUE.fullmatch(words):
        return ""
    if _NO_TOPIC.search(words):
        return None
    found = _ABOUT.fullmatch(words) or _ALL_OF_IT.fullmatch(words)
    return found["core"].strip() if found is not None else words


def count_in(text: str) -> int:
    """How many items are asked for: 推荐三个 -> 3; 0 when no number is said."""
    found = _COUNT.search(text)
    if found is None:
        return 0
    sign = found["n"] or found["last"]
    number = (
        int(sign) if sign.isdigit() else {"两": 2}.get(sign, "零一二三四五六七八九十".find(sign))
    )
    return min(max(number, 1), MOST)


def asked(text: str) -> Asked | None:
    """What is to be recommended; None for any text that asks for nothing of the kind."""
    if len(text) > LONGEST:
        return None
    words = _APART_SIGNS.sub("推荐", folded(text).translate(_TRADITIONAL))
    found = _ordered(words) if "推荐" in words else _unordered(words)
    if found is None or not found.topic:
        return found
    return found._replace(topic=_as_typed(found.topic, text))


def _ordered(words: str) -> Asked | None:
    """A text with the word itself in it."""
    number = _ONLY_NUMBER.fullmatch(words)
    if number is not None:
        said = int(number["n"])
        if 1 <= said <= 9:
            return Asked("", PRICE, True, size=min(said, MOST))
        return Asked("", within(said), True)
    marked, price, order = _traits(words)
    count = count_in(marked)
    plain = marked.replace("@的", "").replace("@", "").strip()
    if _BARE.fullmatch(plain):
        return Asked("", price, True, order, count)
    if _ANY.fullmatch(plain):
        return Asked("", price, price != PRICE or order != "", order, count)
    for form, sure in ((_APART, True), (_CLOSE, False)):
        found = form.fullmatch(plain)
        if found is None:
            continue
        named = next((one for one in found.groupdict().values() if one), "")
        topic = topic_in(_COUNT.sub("", named))
        if topic is None:
            return None
        return Asked(topic, price, sure or not topic, order, count)
    return None


def _unordered(words: str) -> Asked | None:
    """免费的课, 热门课程, 有没有100元以内的写作课, 哪门课最火: of a kind, a price, a rank."""
    if _ANY.fullmatch(words):
        return Asked("", PRICE, False)
    if _EVERYBODY.fullmatch(words):
        return Asked("", PRICE, False, "popular")
    found = _FITTING.fullmatch(words)
    if found is not None:
        topic = topic_in(found["whom"] or found["who"])
        return Asked(topic, PRICE, False) if topic else None
    marked, price, order = _traits(words)
    if "@" not in marked:
        return None
    if order and _WHICH_IS.fullmatch(marked):
        return Asked("", price, False, order)
    found = _MARKED.fullmatch(marked)
    if found is None:
        return None
    thing = found["thing"]
    if not thing and found["topic"] and not marked.endswith(found["topic"]):
        return None  # 100元以内可以开发票吗
    if not thing and not _whole(words, marked, price, order):
        return None
    topic = topic_in(found["topic"])
    if topic is None or topic in TEACHERS:
        return None
    if not topic and thing not in _PLAIN_THINGS:
        topic = thing
    return Asked(topic, price, False, order)


def _whole(words: str, marked: str, price: Price, order: str) -> bool:
    """Whether words that name no thing are enough: 热门, 便宜的, 50块以内; not 免费, 便宜."""
    if order == "popular":
        return True
    if order == "cheap":
        return "@的" in marked
    return bool(price.most) and not price.about and re.search(YUAN, words) is not None


def _traits(words: str) -> tuple[str, Price, Literal["", "cheap", "popular"]]:
    """(the words with "@" for what was said of price and rank, the price, the order)."""
    marked, price = price_in(words)
    order: Literal["", "cheap", "popular"] = ""
    for form, name in ((_POPULAR_IN, "popular"), (_CHEAP_IN, "cheap")):
        if form.search(marked):
            marked = form.sub("@", marked, count=1)
            order = "cheap" if name == "cheap" else "popular"
    return marked, price, order


def _as_typed(topic: str, text: str) -> str:
    """The topic with the capitals it was typed with."""
    typed = unicodedata.normalize("NFKC", text)
    at = typed.lower().find(topic)
    same = at >= 0 and len(typed) == len(typed.lower())
    return typed[at : at + len(topic)] if same else topic
