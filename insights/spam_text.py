"""What a message looks like to the spam model: hashed n-grams and a row of plain figures.

Adverts are written to slip past word lists: look-alike characters (薇, 威 for 微), blanks and
signs between letters, digits in circles. So a text is read twice. *As typed*: width and case
levelled, digits as shape. *Bare*: letters and digits alone, look-alikes and traditional forms
as the common character. The figures beside them (how much is digits, how rare are the
characters, is a contact given) know no words of one kind of group; they are what carries over
to a group never seen. A whole batch is one array of code points, so numpy does the work.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from insights.spam_flags import FLAGS, flagged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_CHARS = 2000
"""More of a message is not read: an advert says what it wants long before."""
BITS = 22
"""Of the table that n-grams are hashed into."""
GRAMS = 4
GAPS = (2, 3)

LOOK_ALIKES = (
    "微薇威徽溦葳嶶徴癓 信伩訫㐰 加咖伽珈枷 群羣裙郡 扣釦寇 号號呺 联聯 系糸係 "
    "钱錢銭 赚賺 免兔 费費 贷貸 款歀 码碼犸 博愽搏 彩采綵 票嫖 网網罓 址祉 点點奌 "
    "咨谘諮 询詢 薪芯 兼蒹 职職 招昭 代岱 理里俚 购購 卖賣 买買 荐薦 股骰 牛犇 "
    "的滴哋 日曰 元圆圓 万萬 单單 刷唰 私厶 聊卿 女囡 妹妺 色涩 视視 频頻 看着"
)
"""Groups of characters that stand for their first one."""
TRADITIONAL = (
    "們们個个這这來来時时會会說说對对為为沒没過过還还後后發发開开關关裡里麼么樣样現现實实長长見见"
    "問问題题間间東东車车書书學学國国業业專专員员團团優优價价資资訊讯領领獎奖紅红綠绿藍蓝銀银鐵铁"
    "錯错鐘钟門门陽阳陰阴隊队際际陸陆險险雙双難难電电靜静頂顶項项須须預预頭头額额願愿類类風风飛飞"
    "飯饭飲饮餘余館馆馬马驗验體体魚鱼鳥鸟麗丽黃黄龍龙齊齐龜龟龜龟親亲覺觉觀观規规計计訂订討讨記记"
    "許许設设註注評评試试話话該该詳详誠诚語语誤误請请論论調调談谈證证識识譯译議议護护變变讓让豐丰"
    "貝贝負负財财責责貨货質质貼贴貴贵賞赏賣卖賽赛贈赠贏赢趙赵趕赶跡迹輕轻輪轮輸输轉转辦办農农連连"
    "週周進进運运達达遠远適适選选遺遗邊边郵邮鄉乡醫医釋释針针鋪铺錄录鍵键鎖锁鏈链閃闪閉闭閱阅陳陈"
    "陣阵隨随隱隐雜杂離离雲云響响頁页順顺餐餐養养騎骑騙骗騰腾驚惊鬆松鬥斗鬧闹鮮鲜麵面齡龄產产畫画"
    "異异當当療疗盡尽監监盤盘眾众禮礼種种稱称積积穩稳窮穷競竞筆笔節节範范簡简簽签糧粮約约級级紙纸"
    "細细終终組组結结絕绝給给統统絲丝經经維维緊紧線线練练縣县總总績绩織织繼继續续罰罚義义習习聖圣"
    "聞闻聲声聽听腦脑臉脸與与興兴舉举舊旧華华葉叶號号處处術术衛卫補补裝装製制複复傳传傷伤債债傾倾"
    "僅仅像像儀仪億亿償偿儲储兒儿內内兩两冊册軍军凍冻則则剛刚創创劃划劇剧劑剂勞劳勝胜動动務务勢势"
    "勵励區区協协卻却參参員员喚唤單单嗎吗嘗尝嚴严園园圖图場场報报塊块壓压壞坏壯壮夠够夢梦奪夺奮奋"
    "妳你媽妈婦妇嬌娇孫孙寧宁審审寫写寬宽寶宝將将專专尋寻導导層层屬属島岛師师帶带幣币幫帮幾几庫库"
    "廠厂廣广廢废張张強强彈弹徵征從从復复應应態态慣惯慶庆憂忧戀恋戰战戲戏戶户拋抛掃扫採采換换揮挥"
    "損损撥拨擁拥擇择擊击據据擔担擴扩攝摄敗败數数敵敌斷断於于昇升暫暂曆历曉晓條条極极構构標标機机"
    "權权歡欢歲岁歷历殺杀氣气決决況况涼凉淚泪淨净減减測测湯汤滿满漢汉潔洁濟济濕湿灣湾災灾無无煙烟"
    "熱热燈灯爭争爺爷牆墙狀状獨独獲获環环瑪玛"
)
"""Traditional character and simplified one in turns."""

BLANK, SIGN, HAN, LATIN, DIGIT, OTHER, EMOJI, HIDDEN = range(8)
"""Kinds of characters."""
_TOP = 0x30000
"""Code points from here on are one and the same rare character."""


@cache
def kind_table() -> NDArray[np.uint8]:
    """Kind of each code point, shape [0x30000]."""
    kind = np.full(_TOP, OTHER, dtype=np.uint8)
    for code in range(0x3000):
        group = unicodedata.category(chr(code))
        if group[0] in "ZC":
            kind[code] = HIDDEN if group == "Cf" else BLANK
        elif group[0] in "PS":
            kind[code] = SIGN
        elif group[0] == "M":
            kind[code] = HIDDEN
        elif group == "Nd":
            kind[code] = DIGIT
    kind[0x3000:0x3040] = SIGN
    kind[0xFE00:0xFE70] = SIGN
    kind[0xFF00:0xFFF0] = SIGN
    for first, last in ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F)):
        kind[first : last + 1] = LATIN
    for first, last in ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, _TOP - 1)):
        kind[first : last + 1] = HAN
    kind[[0x3005, 0x3007]] = HAN
    for first, last in ((0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FBFF)):
        kind[first : last + 1] = EMOJI
    kind[0xFE00:0xFE10] = HIDDEN
    kind[[0xFEFF, 0x3164, 0x115F, 0x1160]] = HIDDEN
    return kind


def _level_one(encoding: str, leads: range, trails: Sequence[int]) -> set[str]:
    """The characters of a national standard's first level: those everybody writes."""
    pairs = b"".join(bytes((lead, trail)) for lead in leads for trail in trails)
    return set(pairs.decode(encoding, "ignore"))


@cache
def common_table() -> NDArray[np.uint8]:
    """0 rare, 1 in both, 2 only simplified, 3 only traditional; shape [0x30000]."""
    simple = _level_one("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF))
    full = _level_one("big5", range(0xA4, 0xC7), [*range(0x40, 0x7F), *range(0xA1, 0xFF)])
    known = np.zeros(_TOP, dtype=np.uint8)
    for char in simple:
        known[ord(char)] = 1 if char in full else 2
    for char in full - simple:
        known[ord(char)] = 3
    return known


@cache
def fold_table() -> NDArray[np.uint32]:
    """The character that stands for each in the bare reading, shape [0x30000]."""
    fold = np.arange(_TOP, dtype=np.uint32)
    for old, new in zip(TRADITIONAL[::2], TRADITIONAL[1::2], strict=True):
        fold[ord(old)] = ord(new)
    for group in LOOK_ALIKES.split():
        for char in group[1:]:
            fold[ord(char)] = ord(group[0])
    return fold


@cache
def dressed_table() -> NDArray[np.float64]:
    """1 for wide, circled, mathematical and box-drawn characters, shape [0x30000]."""
    dressed = np.zeros(_TOP)
    for first, last in (
        (0xFF10, 0xFF19),
        (0xFF21, 0xFF5A),
        (0x2100, 0x25FF),
        (0x1D400, 0x1D7FF),
        (0x1F100, 0x1F1FF),
    ):
        dressed[first : last + 1] = 1.0
    return dressed


SHAPES: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("length", (2, 4, 6, 9, 13, 20, 35, 60, 100)),
    ("rare", (0.5, 1.5, 3.5)),
    ("rare share", (0.03, 0.1, 0.25, 0.5)),
    ("two scripts", (0.5, 1.5)),
    ("digits", (0.5, 1.5, 3.5, 5.5, 7.5, 10.5, 20)),
    ("digit share", (0.05, 0.15, 0.3, 0.5, 0.8)),
    ("latin", (0.5, 2.5, 5.5, 10.5, 20)),
    ("latin share", (0.05, 0.15, 0.3, 0.6, 0.95)),
    ("han share", (0.05, 0.3, 0.6, 0.8, 0.95, 0.999)),
    ("signs", (0.5, 1.5, 3.5, 6.5, 12)),
    ("sign share", (0.05, 0.12, 0.25, 0.5)),
    ("emoji", (0.5, 1.5, 3.5, 8)),
    ("odd letters", (0.5, 1.5, 3.5)),
    ("disguised", (0.5, 1.5, 3.5, 8)),
    ("hidden", (0.5, 1.5)),
    ("blanks between", (0.5, 1.5, 3.5)),
    ("changes", (0.5, 1.5, 3.5, 6.5, 12)),
    ("change share", (0.05, 0.15, 0.3, 0.5)),
    ("repeated", (0.1, 0.2, 0.35, 0.55)),
    ("longest digits", (1.5, 3.5, 5.5, 7.5, 9.5, 11.5)),
)
"""Figures of the characters and where each is cut into steps, so that a line can bend."""
NAMES: tuple[str, ...] = (
    *(f"{name} {cut:g}" for name, cuts in SHAPES for cut in cuts),
    *(name for name, _, _ in FLAGS),
    "flags 2",
    "flags 3",
    "flags 4",
)
"""What each plain figure is, in order."""


class Reading(NamedTuple):
    """A batch as numbers.

    rows, grams: every different n-gram of every text, `grams` below 2**BITS, sorted by row,
    shape [m]. plain: shape [n, len(NAMES)], 0 or 1 each. blank: whether a text has neither
    letter nor digit, shape [n].
    """

    rows: Ints
    grams: Ints
    plain: Floats
    blank: NDArray[np.bool_]


_MASKED = re.compile(r"(?<![a-wyz])x+(?![a-wyz])|x{3,}")
"""Digits that a public collection, or a careful member, made unreadable."""


def level(text: str) -> str:
    """Width and case levelled, cut to what is read."""
    text = text[:MAX_CHARS]
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text)[:MAX_CHARS].lower()


def unmasked(text: str) -> str:
    """Masked digits as some digit: how many there were says more than the mask."""
    return _MASKED.sub(lambda run: "0" * len(run[0]), text) if "x" in text else text


def _codes(texts: Sequence[str]) -> tuple[NDArray[np.uint32], Ints]:
    """All code points of a batch behind one another, and the row of each."""
    data = "".join(texts).encode("utf-32-le", "surrogatepass")
    codes = np.minimum(np.frombuffer(data, dtype="<u4"), _TOP - 1)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return codes, np.repeat(np.arange(len(texts)), lengths)


def _framed(codes: NDArray[np.uint32], rows: Ints, n: int) -> tuple[NDArray[np.uint64], Ints]:
    """The same with a 2 before and a 3 behind each of n texts."""
    lengths = np.bincount(rows, minlength=n) + 2
    ends = np.cumsum(lengths)
    framed = np.empty(len(codes) + 2 * n, dtype=np.uint64)
    framed[ends - lengths] = 2
    framed[ends - 1] = 3
    framed[np.arange(1, len(codes) + 1) + 2 * rows] = codes
    return framed, np.repeat(np.arange(n), lengths)


def word(value: int) -> NDArray[np.uint64]:
    """64 bits for sums with arrays: numpy takes three times as long with a scalar."""
    return np.array(value, dtype=np.uint64)


STEP = word(0x9E3779B97F4A7C15)
_MIX = word(0xD6E8FEB86659FD93)
_HALF = word(32)
TYPED, BARE, GAPPED = word(0x10000000), word(0x20000000), word(0x30000000)
_SHIFT = word(64 - BITS)


def different(keys: Ints) -> Ints:
    """Sorted, each once: several times faster here than numpy's unique."""
    keys.sort()
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def hashed(rolled: NDArray[np.uint64]) -> Ints:
    """Well mixed, below 2**BITS."""
    mixed = rolled >> _HALF
    mixed ^= rolled
    mixed *= _MIX
    mixed ^= mixed >> _HALF
    mixed *= STEP
    mixed >>= _SHIFT
    return mixed.view(np.int64)


def _grams(codes: NDArray[np.uint64], rows: Ints, n: int, bare_at: int) -> Ints:
    """row << BITS | hash of each different n-gram of both readings of n texts.

    codes, rows: n texts as typed, then from `bare_at` the same bare, with rows from n on.
    n-grams have 1 to GRAMS characters; bare pairs also others between the two (GAPS).
    """
    owner = np.where(rows < n, rows, rows - n) << BITS
    found = []
    rolled = salted = codes + np.where(rows < n, TYPED, BARE)
    for size in range(1, GRAMS + 1):
        if size > 1:
            rolled = (rolled[:-1] * STEP) ^ (salted[size - 1 :] + word(size))
        whole = rows[: len(rolled)] == rows[size - 1 :]
        found.append((owner[: len(rolled)] | hashed(rolled))[whole])
    bare, bare_rows, owner = codes[bare_at:], rows[bare_at:], owner[bare_at:]
    for gap in GAPS:
        key = hashed(((bare[:-gap] + (GAPPED + word(gap))) * STEP) ^ bare[gap:])
        found.append((owner[: len(key)] | key)[bare_rows[:-gap] == bare_rows[gap:]])
    return different(np.concatenate(found))


def read(texts: Sequence[str]) -> Reading:
    """Every figure of every text. An empty text has nothing but its two ends."""
    n = len(texts)
    if n == 0:
        none = np.zeros(0, dtype=np.int64)
        return Reading(none, none, np.zeros((0, len(NAMES))), none > 0)
    cut = [text[:MAX_CHARS] for text in texts]
    typed = [unmasked(level(text)) for text in cut]
    codes, rows = _codes(typed)
    kind = kind_table()[codes]
    seen = kind != HIDDEN
    # Of several blanks the last is read, and none at the end.
    seen[:-1] &= (kind[:-1] != BLANK) | ((kind[1:] != BLANK) & (rows[1:] == rows[:-1]))
    seen[-1:] &= kind[-1:] != BLANK
    letter = (kind >= HAN) & (kind <= OTHER)
    folded = fold_table()[codes]
    both = np.concatenate([codes[seen], folded[letter]])
    both[np.concatenate([kind[seen], kind[letter]]) == DIGIT] = 48
    frames = np.concatenate([rows[seen], rows[letter] + n])
    keys = _grams(*_framed(both, frames, 2 * n), n, int(seen.sum()) + 2 * n)
    squeezed = folded[letter].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    letters = np.bincount(rows[letter], minlength=n)
    flags = np.zeros((n, len(FLAGS)))
    start = 0
    for row, end in enumerate(np.cumsum(letters).tolist()):
        short, full = squeezed[start:end], typed[row]
        start = end
        flags[row] = flagged(full, short)
    several = (flags @ _OFFERS)[:, None] > _SEVERAL
    plain = np.concatenate([_shapes(cut, codes, rows, kind, n), flags, several], axis=1)
    return Reading(keys >> BITS, keys & ((1 << BITS) - 1), plain, letters == 0)


_OFFERS = np.array([flag[0] != "chatty" for flag in FLAGS], dtype=np.float64)
_SEVERAL = np.array([1.5, 2.5, 3.5])
_CUTS = np.array([cut for _, cuts in SHAPES for cut in cuts])
_CUT_OF = np.array([number for number, (_, cuts) in enumerate(SHAPES) for _ in cuts])


def _shapes(
    texts: Sequence[str], codes: NDArray[np.uint32], rows: Ints, kind: NDArray[np.uint8], n: int
) -> NDArray[np.bool_]:
    """The figures of SHAPES as steps, shape [n, steps]."""

    def count(which: NDArray[np.bool_]) -> Ints:
        return np.bincount(rows[1:][which], minlength=n)

    kinds = np.bincount(rows * 8 + kind, minlength=8 * n).reshape(n, 8).T
    known = np.bincount(rows * 4 + common_table()[codes], minlength=4 * n).reshape(n, 4).T
    raw, raw_rows = _codes(texts)
    length = kinds.sum(axis=0)
    total = np.maximum(length, 1)
    rare = kinds[HAN] - known[1:].sum(axis=0)
    same = rows[1:] == rows[:-1]
    changes = count(same & (kind[1:] != kind[:-1]))
    solid = (kind >= HAN) & (kind <= DIGIT)
    latin = kind == LATIN
    between = np.zeros(len(same), dtype=bool)
    if len(codes) > 2:
        between[1:] = (kind[1:-1] < HAN) & solid[:-2] & solid[2:] & same[:-1] & same[1:]
        between[1:] &= ~(latin[:-2] & latin[2:])
    various = np.bincount(different((rows << 18) | codes) >> 18, minlength=n)
    figures = np.empty((len(SHAPES), n))
    figures[:] = (
        length,
        rare,
        rare / np.maximum(kinds[HAN], 1),
        np.minimum(known[2], known[3]),
        kinds[DIGIT],
        kinds[DIGIT] / total,
        kinds[LATIN],
        kinds[LATIN] / total,
        kinds[HAN] / total,
        kinds[SIGN],
        kinds[SIGN] / total,
        kinds[EMOJI],
        kinds[OTHER],
        np.bincount(raw_rows, weights=dressed_table()[raw], minlength=n),
        kinds[HIDDEN],
        count(between),
        changes,
        changes / total,
        (length - various) / total,
        _longest(kind == DIGIT, rows, n),
    )
    steps: NDArray[np.bool_] = figures.T[:, _CUT_OF] > _CUTS
    return steps


def _longest(digit: NDArray[np.bool_], rows: Ints, n: int) -> Floats:
    """Length of the longest run of digits of each text."""
    longest = np.zeros(n)
    at = np.flatnonzero(digit)
    if len(at):
        of = rows[at]
        begins = np.ones(len(at) + 1, dtype=bool)
        begins[1:-1] = (at[1:] != at[:-1] + 1) | (of[1:] != of[:-1])
        edges = np.flatnonzero(begins)
        np.maximum.at(longest, of[edges[:-1]], edges[1:] - edges[:-1])
    return longest
