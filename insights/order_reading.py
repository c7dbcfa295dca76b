"""How the rules of order read a message: levelled, look-alikes folded, its links and contacts.

Adverts hide what they say: full-width or Cyrillic letters, invisible signs, a dot spelt 点.
So a text is levelled before anything looks at it. The work is bounded: no more than `MAX_CHARS`
characters are read however long the text is, and every pattern is linear in them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

MAX_CHARS = 2000
"""Of a longer text its beginning and its end are read: adverts say there what they want."""
_TAIL = 500
_MAX_LINKS = 10
_MAX_LOOKED_AT = 30

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u0300-\u036f\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff"
    "\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]+"
)
_LOOKS = (
    "aаαɑᴀ bвʙ cсϲᴄ dԁᴅ eеεєᴇ gɡԍɢ hһнʜ iіιɪı jјᴊ kкκᴋ lӏʟ mмᴍ nпηɴ oоοσᴏ pрρᴘ qԛ rгʀ sѕꜱ "
    "tтτᴛ uυᴜ vνѵᴠ wωѡԝᴡ xхχ yуγʏ zᴢ 3з 微薇溦 信伩訫 加➕"
)
_FOLD = {ord(char): group[0] for group in _LOOKS.split() for char in group[1:]}
_FOLD |= {0x1F1E6 + number: chr(ord("a") + number) for number in range(26)}
_FOLDED = re.compile(f"[{''.join(map(chr, _FOLD))}]")
_BARE = re.compile(r"[\W_]+")
_QUOTE = re.compile(r"「.{0,2000}?」\s*(?:-[ \t]*){5,}\s*", re.DOTALL)

_LETTER = "a-z0-9\u00df-\u024f\u0370-\u03ff\u0400-\u052f"
_TLDS = (
    "com|cn|net|org|top|xyz|vip|cc|info|club|shop|site|online|link|live|tv|app|pro|fun|ltd|work|"
    "icu|ink|wang|store|tech|space|website|win|bid|loan|date|mobi|biz|asia|hk|tw|ru|tk|ml|cf|gq|"
    "gd|im|gg|vg|la|ph|one|life|world|today|group|cloud|dev|io|me|co|us|uk|jp|kr|sg"
)
_SCHEME = re.compile(r"https?\s?[:：]\s?/{1,3}\s?([^\s/?#\"'<>（）()，。、]{1,253})")
_PLAIN = re.compile(
    rf"(?<![{_LETTER}@._/\-])((?:[{_LETTER}](?:[{_LETTER}\-]{{0,61}}[{_LETTER}])?\.){{1,6}}"
    rf"(?:{_TLDS}))(?![{_LETTER}\-]|\.[a-z0-9])"
)
_HIDDEN = re.compile(
    r"(?<![a-z0-9])[a-z0-9][a-z0-9\-]{1,62}\s{0,2}(?:点|dot|。|\[\.\]|\(\.\))\s{0,2}"
    r"(?:com|cn|net|top|xyz|vip|cc|club|shop)(?![a-z0-9])"
)
_JOINING = re.compile(
    r"weixin\.qq\.com/g/|u\.wechat\.com/|work\.weixin\.qq\.com/(?:gm|u)/|qm\.qq\.com/|jq\.qq\.com/"
    r"|(?<![a-z0-9])t\.me/|chat\.whatsapp\.com/"
)
_SHORT = (
    "t.cn url.cn dwz.cn suo.im suo.nz mrw.so rrd.me sourl.cn 985.so u.to 6du.in urlc.cn c1n.cn "
    "bit.ly tinyurl.com t.co goo.gl is.gd ow.ly cutt.ly reurl.cc s.id t.ly rb.gy shorturl.at"
)
_KNOWN = (
    "qq.com weixin.com wechat.com tencent.com zhihu.com bilibili.com b23.tv github.com gitee.com "
    "douyin.com xiaohongshu.com baidu.com weibo.com feishu.cn dingtalk.com yuque.com csdn.net "
    "juejin.cn 163.com taobao.com jd.com wikipedia.org python.org gov.cn edu.cn wjx.cn wjx.top "
    "jinshuju.net wps.cn kdocs.cn shimo.im quark.cn alipan.com aliyundrive.com 123pan.com zoom.us "
    "zoom.com.cn voovmeeting.com huawei.com xiaoe-tech.com xiaoeknow.com chaoxing.com "
    "icourse163.org ximalaya.com 12306.cn ctrip.com meituan.com dianping.com tmall.com"
)
SHORT_HOSTS = frozenset(_SHORT.split())
"""Hosts that only lead elsewhere: nobody sees where."""
KNOWN_HOSTS = frozenset(_KNOWN.split())
"""Hosts that people share every day: tables, forms, meetings, drives, shops."""

_PHONE = re.compile(r"(?<!\d)1[ \-.]?[3-9](?:[ \-.]?\d){9}(?!\d)")
_ACCOUNT = re.compile(
    r"(?:微信|威信|v信|(?<![a-z])(?:vx|wx|weixin|wechat)|[加+]v)号?是?"
    r"(?:[a-z][a-z0-9]{5,19}|\d{6,11})(?!\d)"
    r"|(?:(?<![a-z])qq|扣扣|企鹅|(?<![a-z])q群)群?号?是?\d{5,11}(?!\d)"
    r"|(?:(?<![a-z])tg|telegram|电报|飞机)号?[a-z][a-z0-9]{4,31}"
)
_PLUS = re.compile(r"\+\s?v[\s:：号]{0,3}[a-z0-9][a-z0-9_\-]{4,19}")

_SHOWN_NUMBER = re.compile(r"\d(?:[ \-.]?\d){4,}|[零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖]{7,}")
_SHOWN_MAIL = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9.\-]{1,100}")
_SHOWN_ACCOUNT = re.compile(
    r"((?:微\s?信|薇信|威信|v信|(?<![a-z])(?:vx|wx|qq|tg)|[加+➕]\s?v)[\s号是:：\-]{0,4})"
    r"[a-z][a-z0-9_\-]{4,31}",
    re.IGNORECASE,
)
_SHOWN_NAME = re.compile(r"@[^\s@,，。:：]{1,32}")
_STARS = "***"


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a message. host: lower case, as typed, "例.com" in letters, not in xn--. hidden:
    spelt so that a machine does not see it."""

    host: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message says. levelled: width and case levelled, nothing invisible, look-alikes
    folded; bare: its letters and digits alone.

    links: in order, at most ten. joins: it has a link into another group or to a contact.
    contact: it gives a number or an account to write to.
    """

    levelled: str
    bare: str
    links: tuple[Link, ...] = ()
    joins: bool = False
    contact: bool = False


def own_words(text: str, quoted: str = "") -> str:
    """The text without what it quotes: 「张三：加我」 and a line of dashes before the answer.

    quoted: the quoted words where the channel tells them apart.
    """
    if text.startswith("「"):
        quote = _QUOTE.match(text)
        text = text if quote is None else text[quote.end() :]
    if len(quoted) > 3 and text.startswith(quoted) and len(text) > len(quoted):
        text = text[len(quoted) :]
    return text.strip()


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[: MAX_CHARS - _TAIL - 1]}\n{text[-_TAIL:]}"


def _level(text: str) -> str:
    text = _cut(text)
    if text.isascii():
        return text.lower()
    # Some signs become eighteen: cut again.
    return _cut(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())


def _folded(text: str) -> str:
    # Looking costs a tenth of translating, and most texts have nothing to fold.
    return text.translate(_FOLD) if _FOLDED.search(text) else text


def levelled(text: str) -> str:
    """The text as rules compare it; at most `MAX_CHARS` characters. "" for nothing visible."""
    return _folded(_level(text))


def bare(text: str) -> str:
    """Letters and digits of a levelled text, nothing else."""
    return _BARE.sub("", text)


def mark(text: str) -> int:
    """A number that stands for a text, however it is spaced and decorated; 64 bits."""
    return mark_bare(bare(levelled(text)))


def mark_bare(text: str) -> int:
    """`mark` of a text that is bare already."""
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def read(text: str, code: str = "") -> Reading:
    """Read a message. code: what a QR code in it says, "" for none."""
    narrow = _level(f"{text}\n{code}" if code else text)
    level = _folded(narrow)
    plain = bare(level)
    links: list[Link] = []
    if "." in narrow or "://" in narrow or "：//" in narrow:
        links += [Link(host) for host in _hosts(narrow)]
    if _HIDDEN.search(level):
        links.append(Link("", hidden=True))
    return Reading(
        level,
        plain,
        tuple(links),
        joins=bool(links) and _JOINING.search(level) is not None,
        contact=_PHONE.search(level) is not None
        or _ACCOUNT.search(plain) is not None
        or ("+" in level and _PLUS.search(level) is not None),
    )


def _hosts(narrow: str) -> list[str]:
    """The hosts of a text, each once, in the letters that were typed."""
    found: dict[str, None] = {}
    for match in islice(_SCHEME.finditer(narrow), _MAX_LOOKED_AT):
        # zhiqun.example@evil.top leads to evil.top.
        host = match[1].rpartition("@")[2]
        host = host if host.startswith("[") else host.split(":", 1)[0]
        found[_spelt(host.strip("[].,;!"))] = None
    for match in islice(_PLAIN.finditer(narrow), _MAX_LOOKED_AT):
        found[_spelt(match[1])] = None
    found.pop("", None)
    return list(found)[:_MAX_LINKS]


def _spelt(host: str) -> str:
    """A host with its xn-- labels in letters; what cannot be read stays."""
    if "xn--" not in host:
        return host
    labels = host.split(".")
    for number, label in enumerate(labels):
        if label.startswith("xn--") and len(label) <= 63:
            try:
                labels[number] = label[4:].encode("ascii").decode("punycode")
            except (UnicodeError, ValueError):
                continue
    return ".".join(labels)


def is_public_address(host: str) -> bool:
    """Whether a host is the bare number of a machine on the internet; 192.168.1.1 is at home."""
    if host.isdecimal() or host.startswith("0x"):
        return True
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def belongs(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is one of these or below one of them."""
    while host:
        if host in hosts:
            return True
        host = host.partition(".")[2]
    return False


def site(host: str) -> str:
    """The part of a host that somebody registered: "a.b.com.cn" is "b.com.cn"."""
    labels = host.split(".")
    second = len(labels) > 2 and len(labels[-1]) == 2
    deep = second and labels[-2] in ("com", "net", "org", "gov", "edu", "co", "ac")
    return ".".join(labels[-3 if deep else -2 :])


def _skeleton(host: str) -> str:
    """A host as an eye in a hurry reads it."""
    folded = unicodedata.normalize("NFKD", host).translate(_FOLD)
    folded = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return folded.replace("rn", "m").replace("vv", "w").translate(_DIGITS)


_DIGITS = str.maketrans("01358i", "olesbl")


def imitates(host: str, own: Collection[str]) -> str:
    """The host of ours that a foreign one passes for, "" for none.

    Look-alike letters (zhìxing, zh1xing, xn--…), or ours in front of another (zhixing.com.x.top).
    """
    registered = site(host)
    for ours in own:
        theirs = site(ours)
        if "." not in theirs or registered == theirs:
            continue
        if _skeleton(registered) == _skeleton(theirs):
            return ours
        # zhixing.com.cn may well be ours, too.
        if f".{theirs}." in f".{host}" and not registered.startswith(f"{theirs}."):
            return ours
    return ""


def namesake(host: str, own: Collection[str]) -> bool:
    """Whether somebody has our name under another ending: zhixing.top; six letters at least."""
    registered = site(host)
    sites = {site(ours) for ours in own}
    label = _skeleton(registered.split(".", 1)[0])
    names = {_skeleton(one.split(".", 1)[0]) for one in sites}
    return registered not in sites and len(label) >= 6 and label in names


def masked(text: str, chars: int = 60) -> str:
    """A text to show to an operator: one line, without numbers, accounts, names, live links.

    chars: how many of it are shown. What a spammer typed becomes no link that somebody taps.
    """
    line = unicodedata.normalize("NFKC", text[: 8 * chars])
    line = " ".join(_INVISIBLE.sub("", line).split())
    line = _SHOWN_MAIL.sub(_STARS, line)
    line = _SHOWN_ACCOUNT.sub(rf"\1{_STARS}", line)
    line = _SHOWN_NUMBER.sub(_STARS, line)
    line = _SHOWN_NAME.sub("@…", line)
    line = line.replace("<", "＜").replace(">", "＞").replace("://", "：//")
    line = re.sub(r"(?<=[A-Za-z0-9])\.(?=[A-Za-z])", "．", line)
    return line if len(line) <= chars else line[: chars - 1] + "…"


def lesson(text: str) -> str:
    """A text to learn from: as it was typed, but without numbers, accounts and names."""
    text = _SHOWN_MAIL.sub("@用户", _cut(text))
    text = _SHOWN_ACCOUNT.sub(r"\1abc123", text)
    text = _SHOWN_NAME.sub("@用户", text)
    return re.sub(r"\d{5,}", lambda found: "0" * len(found[0]), text)
