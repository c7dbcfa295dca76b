"""Who opens a link: a person, a preview, or a program.

A click that nobody made spoils every figure that is built on it, so whatever shows itself
as a program is counted apart. A program that looks like a person in every way is counted
as one: nothing here can tell. Kept in memory are only keyed hashes of addresses, for
seconds; the key is made at the start and written nowhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from store.links import Kind

K = TypeVar("K")
V = TypeVar("V")

# Fetchers of the pictures and titles that chats show beside a link, and those that look at
# a page before a person does. In WeChat, QQ and WeCom the app itself fetches, with the
# phone's own HTTP library (Dalvik, CFNetwork, okhttp): a page a person sees names Mozilla.
_PREVIEWS = re.compile(
    r"wechatshareextension|weixin.?preview|wechat.?(?:preview|crawler|fetch)|wxwork.?(?:preview|bot)"
    r"|wework.?(?:preview|bot)|qq.?(?:preview|linkcard|share)|dalvik/|cfnetwork/|okhttp/"
    r"|facebookexternalhit|facebot|whatsapp/|telegrambot|twitterbot|slackbot|slack-imgproxy"
    r"|discordbot|linkedinbot|skypeuripreview|microsoft.?preview|bingpreview|embedly|iframely"
    r"|vkshare|pinterest/0|redditbot|larkbot|feishubot|lark.?(?:url|preview)|dingtalkbot"
    r"|google-read-aloud|google-safety|google-pagerenderer|snap url preview|link.?preview"
    r"|preview.?(?:bot|fetch)|urlpreview|tencent.?(?:security|scan|url)|qqpcmgr|urlcheck|urlscan"
    r"|safe.?browsing|virustotal|netcraft|phish",
    re.IGNORECASE,
)
# Not every "bot" is one: Cubot makes phones.
_BOTS = re.compile(
    r"(?<!cu)bot(?:\b|_)|crawl|spider|slurp|scrap|archiver|mediapartners|yahoo! |sogou web|yisou"
    r"|headless|phantomjs|lighthouse|pingdom|uptime|statuscake|monitor(?:ing|/)|zabbix|nagios"
    r"|masscan|zgrab|nmap|nikto|sqlmap|nuclei|censys|shodan|curl/|wget|python|aiohttp|httpx"
    r"|go-http-client|java/|apache-httpclient|libwww|ruby/|guzzle|php/|node-fetch|nodejs|axios"
    r"|undici|deno/|postman|insomnia|winhttp|powershell|http_request|httpie|feed(?:fetch|pars|burn)"
    r"|validator|mechanize|selenium|puppeteer|playwright",
    re.IGNORECASE,
)
# Browsers fetch a page before it is asked for, and say so.
_AHEAD = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_AHEAD_WORDS = ("prefetch", "prerender", "preview")

WINDOW_S = 1.0
COOL_S = 10.0
_KEPT = 10_000


@lru_cache(maxsize=4096)
def kind_of_agent(agent: str) -> Kind | None:
    """What a User-Agent says of its owner; None for a person's browser."""
    if not agent.strip():
        return "bot"
    if _PREVIEWS.search(agent):
        return "preview"
    return "bot" if _BOTS.search(agent) else None


def kind_of(method: str, headers: Mapping[str, str]) -> Kind | None:
    """Who asks, by the request alone; None for a person."""
    if method == "HEAD":
        return "preview"
    for name in _AHEAD:
        if (value := headers.get(name)) and any(word in value.lower() for word in _AHEAD_WORDS):
            return "preview"
    return kind_of_agent(headers.get("User-Agent", "")[:512])


def in_wechat(agent: str) -> bool:
    """Whether WeChat's own browser asks, where 网页授权 works: not WeCom's, no mini program."""
    lower = agent.lower()
    return "micromessenger" in lower and "wxwork" not in lower and "miniprogram" not in lower


def address_of(remote: str | None, forwarded: str) -> str:
    """The visitor's address; "" when nobody knows it.

    remote: who is connected to us. forwarded: X-Forwarded-For, of which only the last entry
    counts, and only when a proxy on this machine or network wrote it: the others are what
    the visitor says.
    """
    if remote and forwarded and is_near(remote):
        return forwarded.rpartition(",")[2].strip()[:64] or remote
    return remote or ""


@lru_cache(maxsize=1024)
def is_near(address: str) -> bool:
    """Whether it is this machine's, or of a private network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_loopback or found.is_private


class Visitors:
    """What the last seconds saw: floods, and the click that is made twice.

    key: random bytes, so that an address in memory is a number that means nothing elsewhere.
    flood_per_s: more requests of one address for one link in a second are a program's; it
    stays one for `COOL_S` more. Behind one address can be a whole village: keep it generous.
    """

    def __init__(self, key: bytes, *, flood_per_s: int = 20) -> None:
        self._key = key
        self._flood_per_s = flood_per_s
        self._seen: OrderedDict[tuple[int, bytes], tuple[float, int, float]] = OrderedDict()
        self._clicks: OrderedDict[tuple[int, int, bytes], tuple[str, float]] = OrderedDict()

    def digest(self, *parts: str) -> bytes:
        """A keyed hash of an address, or of an address and a browser."""
        text = "\n".join(parts).encode(errors="replace")
        return hashlib.blake2b(text, key=self._key, digest_size=12).digest()

    def floods(self, link_id: int, address: bytes, now: float) -> bool:
        """Count a request; True when this address asks for this link too often."""
        begun, count, until = self._seen.get((link_id, address), (now, 0, 0.0))
        if not begun <= now < begun + WINDOW_S:
            begun, count = now, 0
        count += 1
        if count > self._flood_per_s:
            until = now + COOL_S
        _keep(self._seen, (link_id, address), (begun, count, until))
        return now < until

    def first(
        self, link_id: int, member_id: int, person: bytes, number: str, now: float, within_s: float
    ) -> str:
        """The number of the click of which this may be the second tap; `number` of a first."""
        name = (link_id, member_id, person)
        before = self._clicks.get(name)
        if before is not None and before[1] <= now < before[1] + within_s:
            return before[0]
        _keep(self._clicks, name, (number, now))
        return number


def _keep(store: OrderedDict[K, V], key: K, value: V) -> None:
    store[key] = value
    store.move_to_end(key)
    if len(store) > _KEPT:
        store.popitem(last=False)
