"""What a message wants, by the words of its trade: contact, link, money, offer, job, loan …

Each flag is a pattern that looks at one of both readings (`insights/spam_text.py`). Most of their
alternatives are plain words: those of all patterns are looked for in one pass
(Aho & Corasick 1975), and only the rest is left to `re`. Nothing is found otherwise than by the
patterns themselves; a test compares.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import ahocorasick

NUMERALS = "零〇一二三四五六七八九十壹贰叁肆伍陆柒捌玖泗旧究久巴伞舞妖幺腰溜气棋"
_CONTACT = (
    r"[+加私扣滴找联十]\s*[v微徽qw]|[vwq][信x]|微信|微[号聊我]|威信|qq|q群|q\d{4}|扣扣|"
    r"企鹅|飞机|电报"
    r"|\bt\.me|telegram|whatsapp|\btg[:：]?|私[聊信我]|联系|客服|咨询|来电|热线|电话|详询|"
    r"看[我头]|加我|加群|[进入]群"
    r"|滴滴我?|dd我?|找我|扫码|名片|公众号|关注"
)
FLAGS: tuple[tuple[str, str, str], ...] = (
    ("contact", "bare", _CONTACT),
    ("contact", "typed", r"@\S\S|\+\s*[vqw微]|[vqw][xq]?\s*[:：]\s*\w|\btel\b"),
    (
        "link",
        "typed",
        r"https?:|www\.|t\.me/|[a-z\dx]\.(?:com|cn|net|cc|org|vip|top|xyz|me|io|info|club)\b",
    ),
    ("link", "bare", "网址|官网|点击|链接|登[录陆]|下载|注册|网站"),
    (
        "money",
        "typed",
        r"\d\s?(?:元|块|万|k\b|w\b|u\b|刀|折|%|/天)|[¥$€]\s*\d|\d\s?(?:usdt|rmb)",
    ),
    (
        "money",
        "bare",
        "返现|红包|现金|佣金|提成|工资|薪|收益|利润|分红|本金|首付|报销|结算|日结|日[入赚]|"
        "月[入赚]|赚钱|变现",
    ),
    (
        "offer",
        "bare",
        "优惠|特价|折扣|促销|钜惠|特惠|免费|赠送|[送领]礼|大礼|礼品|礼包|抽奖|中奖|奖品|活动|"
        "新品|上市|[买满充存]\\w{1,5}[送减]|低价|批发|包邮|秒杀|限时|限量",
    ),
    (
        "trade",
        "bare",
        "出售|收购|回收|高价|收[卡码号粉购]|出[售租料卡号粉]|代[理办开做收付刷练写]|租|转让|"
        "供应|厂家|货源|批量|接单|接广告|承接|团队|渠道|合作|业务|对接|担保|诚信|实力|老板|"
        "价格|专业|靠谱|一手|现货|资源|粉丝|引流|推广|广告|群发",
    ),
    (
        "job",
        "bare",
        "兼职|招聘|招[人代募收]|诚聘|急聘|高薪|待遇|包吃|包住|宝妈|学生党|在家|手机[就即]可|"
        "小时工|工资|面试|岗位|刷单|做单|任务",
    ),
    (
        "loan",
        "bare",
        "贷款|借款|放款|额度|征信|黑户|利率|利息|抵押|车贷|房贷|信用卡|银行卡|套现|盾|公户|"
        "对公|网贷|秒批|下款|理财|投资|股票|牛股|涨停|币圈|usdt|虚拟币",
    ),
    (
        "gamble",
        "bare",
        "博彩|菠菜|彩[票金种民]|棋牌|百家乐|赌|下注|投注|盘口|体育|真人|娱乐城|开户|上分|"
        "网投|时时|足球|牛牛|六合|充值|提款|出款|反水|返水",
    ),
    (
        "adult",
        "bare",
        "约炮|做爱|裸聊|嫖|操[我你她逼批]|日[批逼]|[逼屄穴]|批$|奶[子头]|大奶|骚|色[情网站]|"
        "黄[片网色]|(?<![a-z])av(?![a-z])|福利|萝莉|学生妹|少妇|美女|妹[子妹]|处女|迷[药情]|春药|偷拍|成人|口爆|"
        "内射|高潮|上门|全套|外围|楼凤|会所|莞式|自慰|精液|阴道|鲍鱼|裸|鸡巴|湿了|诱惑|情趣|"
        "丝袜|翘臀|蜜桃|巨乳|乳[头房]|小姐|兔费|女优|无码|番号|舔|潮[吹喷]|波霸|炮友|啪啪|"
        "人妻|勾引",
    ),
    (
        "adult",
        "bare",
        "胸|屁股|射[你我在进了]|干[你我她][^嘛吗什么]|痒|插|硬了|身材|黄[片视]|直播间|主播|"
        "约[吗么我]|陪[聊玩睡你]|寂寞|单身|交友",
    ),
    (
        "crime",
        "bare",
        "发票|办证|假[证币钞]|文凭|开票|窃听|监听|四件套|洗[钱料]|黑[产灰客]|料[子商]|轨道|"
        "cvv|数据|盗|实名|身份证|手机卡|注册机|外挂|破解|定位|查[人档开询]|枪|k粉|冰毒",
    ),
    (
        "invite",
        "bare",
        "欢迎|尊敬的|各位|亲爱|您好|你好|恭喜|诚邀|特邀|邀请|速来|抓紧|赶紧|赶快|名额|"
        "先到先得|报名|培训|课程|咨询|感谢您|客户|顾客|会员|家长|业主|女士|预[约定订]|详情|"
        "了解|有意|需要的|想[要做赚]|来人|来[几个]|上车|带[你飞单]",
    ),
    (
        "property",
        "bare",
        "楼盘|户型|现房|平米|平方|地铁|商铺|写字楼|装修|家具|建材|一居|两室|三室|住宅|公寓|"
        "首付|按揭|开盘|售楼",
    ),
    (
        "english",
        "typed",
        r"\b(?:free|win|won|prize|cash|click|call now|offer|claim|urgent|subscribe|earn|"
        r"income|invest|profit|bonus|casino|bet|loan|viagra|sexy|reply|txt|guaranteed?|"
        r"limited|discount|sale|promo|earn|crypto|btc|airdrop)\b",
    ),
    ("number", "bare", rf"\d[{NUMERALS}]\d|[{NUMERALS}]\d{{2,}}[{NUMERALS}]"),
    ("number", "bare", r"\d{5}"),
    ("account", "bare", r"[a-z]\d{3}|\d{3}[a-z]"),
    ("account", "typed", r"(?<![a-z\d_+])[a-z\d_+]{5,}+\W*+$"),
    (
        "chatty",
        "bare",
        "哈哈|吗$|吧$|呢$|啊$|了$|呀$|怎么|为什么|什么|不是|不知道|觉得|我们?|他们?|她|谢谢|"
        "好像|应该|真的|感觉|其实|还是|但是|因为|如果|没有|草|卧槽|笑死",
    ),
)
"""Name told to the operator, the reading it looks at, a pattern."""


_PLAIN = re.compile(r"(?:\w|\[\w+\])+")
_CHOICE = re.compile(r"\[(\w+)\]|(\w)")
_LATIN = re.compile(r"[a-z\d@+_]")
"""No typed pattern matches where none of these is."""


def alternatives(pattern: str) -> list[str]:
    """The alternatives of a pattern at its top: a|b(?:c|d) are two."""
    found, depth, start, at = [], 0, 0, 0
    inside = False
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
        elif inside:
            inside = sign != "]"
        elif sign == "[":
            inside = True
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "|" and not depth:
            found.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*found, pattern[start:]]


def spelt(alternative: str) -> list[str]:
    """All words that an alternative stands for; [] when they are not a few plain ones."""
    if not _PLAIN.fullmatch(alternative):
        return []
    words = [""]
    for several, one in _CHOICE.findall(alternative):
        words = [word + sign for word in words for sign in several or one]
    return words


class _Search(NamedTuple):
    words: Any
    """The automaton: word of a bare pattern -> columns of it, as bits."""
    bare: tuple[tuple[int, re.Pattern[str]], ...]
    typed: tuple[tuple[int, re.Pattern[str]], ...]
    """Column and the rest of its pattern."""


@cache
def _search() -> _Search:
    columns: dict[str, int] = {}
    bare, typed = [], []
    for column, (_, reading, pattern) in enumerate(FLAGS):
        if reading != "bare":
            typed.append((column, re.compile(pattern)))
            continue
        rest = []
        for one in alternatives(pattern):
            words = spelt(one)
            for word in words:
                columns[word] = columns.get(word, 0) | 1 << column
            if not words:
                rest.append(one)
        if rest:
            bare.append((column, re.compile("|".join(rest))))
    words = ahocorasick.Automaton()
    for word, bits in columns.items():
        words.add_word(word, bits)
    words.make_automaton()
    return _Search(words, tuple(bare), tuple(typed))


def flagged(typed: str, bare: str) -> list[float]:
    """1.0 for each of FLAGS whose pattern is found, 0.0 for the others."""
    search = _search()
    bits = 0
    for _, columns in search.words.iter(bare):
        bits |= columns
    for column, pattern in search.bare:
        if not bits >> column & 1 and pattern.search(bare):
            bits |= 1 << column
    if _LATIN.search(typed):
        for column, pattern in search.typed:
            if pattern.search(typed):
                bits |= 1 << column
    return [float(bits >> column & 1) for column in range(len(FLAGS))]
