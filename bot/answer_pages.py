"""The page of an answer that was too long for a group: `/a/TOKEN` in, plain text to read out.

The token names what is shown and is signed, so that nobody reads through all there is by
counting. The page holds what the bot would tell anybody: of no member anything, and nothing that
is kept for a tier of membership.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import re
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from bot import targets
from bot.links import Signer
from store.catalogue import Item
from store.documents import StoredPassage

_MAC_BYTES = 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)
_LONGEST_ITEM = 128
_HANDLERS = {"faq": "faq", "doc": "faq.passage", "item": "content"}
"""What tells a thing of this kind, as gates name it."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
_KEEP_S = 300
_PAGE = """\
<!doctype html>
<html lang="zh-CN">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{font:17px/1.8 sans-serif;margin:1.5em auto;padding:0 1.2em;max-width:38em;color:#222}}\
h1{{font-size:20px}}p{{white-space:pre-wrap;overflow-wrap:anywhere}}</style>
<h1>{title}</h1>
<p>{text}</p>
</html>
"""


class Told(Protocol):
    """What the bot can tell: `bot/contents.py`."""

    @property
    def answers(self) -> Mapping[str, str]: ...
    @property
    def items(self) -> Mapping[str, Item]: ...
    @property
    def passages(self) -> Mapping[str, StoredPassage]: ...


class Keys(Protocol):
    """Where the key that signs comes from, once the store is open: `bot/links.py`."""

    public_url: str

    @property
    def signer(self) -> Signer: ...


class AnswerPages:
    """Makes the addresses of answers and serves them.

    keys: its public_url "" means that there are no pages. business: whose bot it is; the title
    of what has none. gates: the tiers that handlers are kept for, as the configuration says.
    """

    def __init__(
        self,
        told: Told,
        keys: Keys,
        *,
        business: str,
        gates: Mapping[str, str] | None = None,
    ) -> None:
        self._told = told
        self._keys = keys
        self._business = business
        self._gates = gates or {}

    def url_for(self, item: str) -> str:
        """The address of the whole answer to "faq:12", "doc:3" or "item:py-101".

        "" where there is no page: without public_url, for what is not told to everybody, and
        for what there is not.
        """
        base = self._keys.public_url
        if not base or len(item.encode()) > _LONGEST_ITEM or self._page(item) is None:
            return ""
        return f"{base.rstrip('/')}/a/{self._token(item)}"

    def routes(self) -> list[web.RouteDef]:
        """What the server of the REST API mounts, HEAD included."""
        return [web.get("/a/{token}", self.show), web.get("/a/{rest:.*}", self._nothing)]

    async def show(self, request: web.Request) -> web.Response:
        """GET /a/TOKEN: the answer as it is now; 404 for all that is none any more."""
        token = request.match_info["token"]
        item = self._read(token)
        # The path as it was sent: %41 is another spelling of A.
        if not item or request.raw_path.partition("?")[0] != f"/a/{token}":
            return _missing()
        found = self._page(item)
        if found is None:
            return _missing()
        title, text = found
        return _answer(200, title or self._business, _linked(text), f"public, max-age={_KEEP_S}")

    async def _nothing(self, _: web.Request) -> web.Response:
        return _missing()

    def _page(self, item: str) -> tuple[str, str] | None:
        """(title, text) of what may be shown to everybody; None for all else."""
        handler = _HANDLERS.get(item.partition(":")[0], "")
        if not handler or self._gates.get(handler) or self._gates.get(handler.partition(".")[0]):
            return None
        answer = self._told.answers.get(item)
        if answer is not None:
            return "", answer
        passage = self._told.passages.get(item)
        if passage is not None:
            title = passage.title
            if passage.heading not in ("", title):
                title = f"{title} · {passage.heading}"
            return title, passage.text
        thing = self._told.items.get(item)
        if thing is None or thing.needs_tier:
            return None
        chapters = "\n".join(chapter.title for chapter in thing.chapters)
        return thing.title, "\n\n".join(filter(None, (thing.summary, chapters, thing.url)))

    def _token(self, item: str) -> str:
        return _text(self._mac(item.encode()) + item.encode())

    def _read(self, token: str) -> str:
        """What a token of ours names, in exactly our spelling; "" for all else."""
        if not _TOKEN.fullmatch(token):
            return ""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            mac, named = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(named)) or _text(raw) != token:
                return ""
            return named.decode()
        except (binascii.Error, ValueError):
            return ""

    def _mac(self, named: bytes) -> bytes:
        key = self._keys.signer.derive("answer-page")
        return hmac.digest(key, named, hashlib.sha256)[:_MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _linked(text: str) -> str:
    """The text as HTML; addresses can be tapped, and lead on without saying from where."""
    out, done = [], 0
    for start, end in targets.in_text(text):
        url = html.escape(text[start:end])
        out += [html.escape(text[done:start]), f'<a href="{url}" rel="noreferrer">{url}</a>']
        done = end
    return "".join((*out, html.escape(text[done:])))


def _missing() -> web.Response:
    return _answer(
        404, "找不到这个回答", "它可能已经更新或撤下，请回到聊天里再问一次。", "no-store"
    )


def _answer(status: int, title: str, body: str, cache: str) -> web.Response:
    """body: HTML already; title: plain."""
    return web.Response(
        status=status,
        text=_PAGE.format(title=html.escape(title), text=body),
        content_type="text/html",
        charset="utf-8",
        headers={**_HEADERS, "Cache-Control": cache},
    )
