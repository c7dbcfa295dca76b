"""Who opens a link inside WeChat: 网页授权 with scope snsapi_base, which asks nobody anything.

WeChat sends the visitor back with a code, and the code gives the openid. All of it is a
favour: whatever goes wrong, the visitor goes where the link leads, only unnamed. Neither
the secret nor an openid is ever part of an error or of a log line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp

from bot.errcodes import Refused, Unheard, Unreachable, WeChatError

API = "sns/oauth2/access_token"
TIMEOUT_S = 3.0
STATE_LIFE_S = 600.0

_OPEN = "https://open.weixin.qq.com"
_API_HOST = "https://api.weixin.qq.com"
_STATE = re.compile(r"[0-9a-f]{72}")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_OPENID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LIMIT_BYTES = 64 * 1024


class Sealed(Protocol):
    """A secret that shows itself only when asked: `bot.rules.Secret`."""

    def reveal(self) -> str:
        """The secret itself."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """One channel's 网页授权. exchange: a code in, its openid out, "" for nobody in particular.

    Errors of exchange: WeChatError.
    """

    channel: str
    app_id: str
    authorize_base: str
    exchange: Callable[[str], Awaitable[str]]


def authorize_base(api_base: str) -> str:
    """Where visitors are sent to, by the channel's api_base: a sandbox serves both itself."""
    return _OPEN if api_base.rstrip("/") == _API_HOST else api_base.rstrip("/")


def authorize_url(oauth: OAuth, redirect_uri: str, state: str) -> str:
    """Where a visitor learns nothing and we learn who it is. WeChat wants exactly this order."""
    query = urlencode(
        {
            "appid": oauth.app_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": "snsapi_base",
            "state": state,
        }
    )
    return f"{oauth.authorize_base}/connect/oauth2/authorize?{query}#wechat_redirect"


class States:
    """Writes and reads `state`: which click of which link this is, for ten minutes.

    WeChat allows 128 letters and digits, nothing else. key: not the one that signs tokens.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, token: str, click: bytes, now: float) -> str:
        """click: the 16 bytes that will be the click's number, however often they come back."""
        body = int(now + STATE_LIFE_S).to_bytes(4, "big") + click
        return (body + self._mac(token, body)).hex()

    def read(self, token: str, state: str, now: float) -> bytes | None:
        """The click's 16 bytes; None for what is forged, too old or another link's."""
        if not _STATE.fullmatch(state):
            return None
        raw = bytes.fromhex(state)
        body, mac = raw[:20], raw[20:]
        if not compare_digest(mac, self._mac(token, body)):
            return None
        left_s = int.from_bytes(body[:4], "big") - now
        return body[4:] if 0 < left_s <= STATE_LIFE_S else None

    def _mac(self, token: str, body: bytes) -> bytes:
        return digest(self._key, token.encode() + b"\0" + body, sha256)[:16]


def is_code(text: str) -> bool:
    """Whether this can be a code of WeChat's: nothing else is sent to its API."""
    return bool(_CODE.fullmatch(text))


class CodeExchange:
    """Asks WeChat whose code it is: `OAuth.exchange`.

    timeout_s: a person is waiting. observe: called with the errcode of each answer, 0 when
    good, -2 when there was none (`bot.client.NO_ANSWER`).
    """

    def __init__(
        self,
        app_id: str,
        app_secret: Sealed,
        *,
        session: aiohttp.ClientSession,
        api_base: str = _API_HOST,
        timeout_s: float = TIMEOUT_S,
        observe: Callable[[int], None] = lambda errcode: None,
    ) -> None:
        self._app_id = app_id
        self._secret = app_secret
        self._session = session
        self._url = f"{api_base.rstrip('/')}/{API}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._observe = observe

    async def __call__(self, code: str) -> str:
        """The openid, "" when WeChat gives a stand-in for the visitor. Errors: WeChatError."""
        try:
            openid = _read(await self._ask(code))
        except WeChatError as error:
            self._observe(-2 if error.errcode is None else error.errcode)
            raise
        self._observe(0)
        return openid

    async def _ask(self, code: str) -> tuple[int, bytes]:
        query = {
            "appid": self._app_id,
            "secret": self._secret.reveal(),
            "code": code,
            "grant_type": "authorization_code",
        }
        fault: WeChatError
        if self._session.closed:
            raise Unreachable(API, "zhiqun is shutting down")
        try:
            async with self._session.get(
                self._url, params=query, timeout=self._timeout, allow_redirects=False
            ) as response:
                raw = await response.content.read(_LIMIT_BYTES)
                while not response.content.at_eof() and len(raw) <= _LIMIT_BYTES:
                    raw += await response.content.read(_LIMIT_BYTES)
                return response.status, raw
        except TimeoutError:
            fault = Unheard(API, "no answer in time")
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            fault = Unreachable(API, type(error).__name__)
        except (aiohttp.ClientError, OSError) as error:
            fault = Unheard(API, type(error).__name__)
        # Raised out here: aiohttp's errors hold the URL, and the URL holds the secret.
        raise fault


def _read(answer: tuple[int, bytes]) -> str:
    status, raw = answer
    try:
        told: Any = json.loads(raw.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict) and (errcode := told.get("errcode")):
        # Without WeChat's words: they may quote the request.
        raise Refused(API, errcode if isinstance(errcode, int) else -1)
    openid = told.get("openid") if isinstance(told, dict) else None
    if status != 200 or not isinstance(openid, str) or not _OPENID.fullmatch(openid):
        raise Unheard(API, f"HTTP {status} without an openid")
    # 快照页: WeChat shows the page to somebody who has not agreed to be known.
    return "" if told.get("is_snapshotuser") == 1 else openid
