"""WeChat's API over aiohttp: one channel's calls, their token, their errors.

Every call has a time limit, a size limit and at most one refresh and one repeat. An error
says which of three things happened: refused, never left, or nobody knows; repeating is the
caller's decision, for only the caller knows what a second time would do. What stands in a
URL or a body (token, secret, openid) never reaches an error text or a log line.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog

from bot.errcodes import STABLE_TOKEN, Action, Refused, Unheard, Unreachable, WeChatError
from bot.token_keeper import Outcome, TokenKeeper, TokenStore
from handlers.context import SHANGHAI, ApiRefused
from store import StoreError

if TYPE_CHECKING:
    from bot.api import Api

__all__ = [
    "ChannelSide",
    "Client",
    "Refused",
    "Unheard",
    "Unreachable",
    "WeChatError",
    "new_session",
]

log = structlog.get_logger()

NO_ANSWER = -2
"""What `observe` gets for an errcode when there was none: not sent, or not heard."""

_LIMIT_BYTES = 2 * 1024 * 1024
_CONNECT_S = 5.0
_CHUNK = 65536
_STABLE_TOKEN_PATH = "/cgi-bin/stable_token"  # noqa: S105 - a path
# Raised before the request's first byte was written.
_NEVER_LEFT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)
_DIGITS = re.compile(r"-?\d{1,19}")

FormMaker = Callable[[], aiohttp.FormData]


class Sealed(Protocol):
    """A secret that shows itself only when asked: `bot.rules.Secret`."""

    def reveal(self) -> str:
        """The secret itself."""


class CallCounter(Protocol):
    """Where calls are counted: `store.ledgers.Quota`."""

    async def count(self, channel: str, name: str, day: str) -> int:
        """Count one; says how many it makes on that day."""


class Button(Protocol):
    """A menu button: `bot.config.MenuButton`."""

    def as_wechat(self) -> dict[str, Any]:
        """As WeChat's menu/create takes it."""


def new_session(limit: int = 32) -> aiohttp.ClientSession:
    """A pool of connections for clients; the caller closes it. No cookies, no proxy.

    Idle connections are dropped after 10 s: one that WeChat closed first could swallow a
    send, and then nobody would know whether it was done.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=10.0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Client:
    """One channel's way to WeChat.

    timeout_s: for one HTTP exchange; a call is four at the very most. quota: a row per API
    and Shanghai day. now: Unix seconds. observe: path and errcode of every exchange
    (`NO_ANSWER` when there was none). observe_token: how each need of a token ended.
    skew_s: WeChat's clock minus ours, by its last answer; None before the first.
    """

    def __init__(
        self,
        channel: str,
        app_id: str,
        app_secret: Sealed,
        *,
        session: aiohttp.ClientSession,
        tokens: TokenStore,
        quota: CallCounter,
        now: Callable[[], float],
        api_base: str = "https://api.weixin.qq.com",
        timeout_s: float = 10.0,
        observe: Callable[[str, int], None] = lambda path, errcode: None,
        observe_token: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.app_id = app_id
        self.skew_s: float | None = None
        self._dated = ""
        self._channel = channel
        self._secret = app_secret
        self._base = api_base.rstrip("/")
        self._host = urlsplit(self._base).netloc
        self._session = session
        self._quota = quota
        self._now = now
        self._observe = observe
        # Half at most, so that a call which could not connect is never taken for one that
        # was sent and not heard.
        connect_s = min(_CONNECT_S, timeout_s / 2)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=connect_s)
        self._keeper = TokenKeeper(
            channel, self._fetch_token, tokens, self._count, now, observe_token
        )
        self._pauses: dict[str, tuple[float, int]] = {}

    async def token(self) -> str:
        """An access token good for now. Errors: WeChatError."""
        return await self._keeper.token()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        data: bytes | FormMaker | None = None,
    ) -> dict[str, Any]:
        """Call an API and give its JSON object; errcode is 0 or absent in it.

        path: "/cgi-bin/user/info". params: without the token; None values are left out.
        data: a body that is not JSON; a form as a function, since a repeat needs a new one.
        Errors: Refused, Unreachable, Unheard. An API that said "not today" or "not in this
        minute" is not asked again before.
        """
        api = _name(path)
        self._check_pause(api)
        query = {name: str(value) for name, value in (params or {}).items() if value is not None}
        body = data if json is None else encoded(json)
        token = await self._token_for(api)
        try:
            return await self._asked(api, method, path, query, body, token)
        except Refused as error:
            refused = error
        if refused.action is Action.REFRESH_TOKEN:
            newer = await self._token_for(api, failed=token)
            if newer != token:
                try:
                    return await self._asked(api, method, path, query, body, newer)
                except Refused as error:
                    refused = error
        self._note_pause(refused)
        raise refused

    async def send_custom(self, payload: Mapping[str, Any]) -> None:
        """Send a customer-service message: {"touser", "msgtype", …}. Errors: WeChatError."""
        path = "/cgi-bin/message/custom/send"
        answer = await self.call("POST", path, json=payload)
        if "errcode" not in answer:
            # WeChat always says 0 here; without it something else may have answered.
            raise Unheard(_name(path), "the answer has no errcode")

    async def typing(self, openid: str) -> None:
        """Show "typing" to a member who wrote in the last 30 s; costs no allowance."""
        path = "/cgi-bin/message/custom/typing"
        await self.call("POST", path, json={"touser": openid, "command": "Typing"})

    async def push_menu(self, buttons: Sequence[Button]) -> int:
        """Put the menu up; says how many top buttons. 0: none given, WeChat is not asked."""
        if buttons:
            menu = {"button": [button.as_wechat() for button in buttons]}
            await self.call("POST", "/cgi-bin/menu/create", json=menu)
        return len(buttons)

    async def check_credentials(self) -> float | None:
        """Ask for a token, cached or not; gives `skew_s`. Errors: WeChatError of that call."""
        await self._keeper.fetch()
        return self.skew_s

    async def wechatpy(self) -> Api:
        """wechatpy's API classes over this client: `(await client.wechatpy()).tag.create("x")`.

        Loaded at the first use, in a thread: it takes 0.1 s and brings `requests` along.
        """

        def load() -> type[Api]:
            from bot.api import Api

            return Api

        return (await asyncio.to_thread(load))(self)

    async def _token_for(self, api: str, failed: str = "") -> str:
        try:
            return await self._keeper.token(failed)
        except Unreachable as error:
            fault = Unreachable(api, f"no access token ({error.reason})", error.todo)
        except Unheard as error:
            # Whatever became of the token, the call itself has not left.
            fault = Unreachable(api, f"no access token ({error.reason})")
        except StoreError as error:
            fault = _no_store(api, error)
        raise fault

    async def _fetch_token(self, *, force: bool) -> tuple[str, float]:
        secret = self._secret.reveal()
        wanted = {"grant_type": "client_credential", "appid": self.app_id, "secret": secret}
        body = encoded({**wanted, "force_refresh": force})
        answer = await self._asked(STABLE_TOKEN, "POST", _STABLE_TOKEN_PATH, {}, body, "", secret)
        token, life_s = answer.get("access_token"), _whole(answer.get("expires_in"))
        if not isinstance(token, str) or not token or life_s is None or life_s <= 0:
            raise Unheard(STABLE_TOKEN, "the answer has no access_token and expires_in")
        return token, float(life_s)

    async def _count(self, name: str) -> int:
        return await self._quota.count(self._channel, name, self._day().date().isoformat())

    def _day(self) -> datetime:
        return datetime.fromtimestamp(self._now(), SHANGHAI)

    def _check_pause(self, api: str) -> None:
        until, errcode = self._pauses.get(api, (0.0, 0))
        if until > self._now():
            raise Refused(api, errcode)

    def _note_pause(self, error: Refused) -> None:
        if error.action is Action.WAIT_MINUTE:
            self._pauses[error.api] = (self._now() + 60.0, error.errcode)
        elif error.action is Action.STOP_API_UNTIL_TOMORROW:
            midnight = self._day().replace(hour=0, minute=0, second=0, microsecond=0)
            tomorrow = (midnight + timedelta(days=1)).timestamp()
            self._pauses[error.api] = (tomorrow, error.errcode)

    async def _asked(
        self,
        api: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | FormMaker | None,
        token: str,
        secret: str = "",
    ) -> dict[str, Any]:
        """One exchange, counted and observed."""
        try:
            # Before it leaves: a store that fails now leaves nothing half done.
            await self._count(api)
        except StoreError as error:
            raise _no_store(api, error) from error
        try:
            status, raw = await self._exchange(api, method, path, query, body, token)
            answer = _read(api, status, raw, (token, secret))
        except WeChatError as error:
            self._observe(path, NO_ANSWER if error.errcode is None else error.errcode)
            raise
        self._observe(path, 0)
        return answer

    async def _exchange(
        self,
        api: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | FormMaker | None,
        token: str,
    ) -> tuple[int, bytes]:
        if self._session.closed:
            raise Unreachable(api, "zhiqun is shutting down")
        headers = {}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/json; charset=utf-8"
        fault: WeChatError
        try:
            async with self._session.request(
                method,
                self._base + path,
                params={**query, "access_token": token} if token else query,
                data=body() if callable(body) else body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # the query carries the token: nobody else gets it
            ) as response:
                self._note_skew(response.headers.get("Date", ""))
                raw = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    raw += chunk
                    if len(raw) > _LIMIT_BYTES:
                        raise Unheard(api, f"the answer is over {_LIMIT_BYTES} bytes")
                return response.status, bytes(raw)
        except _NEVER_LEFT as error:
            fault = Unreachable(api, f"{self._host}: {why(error)}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            fault = Unheard(api, f"{self._host}: {why(error)}")
        # Raised out here: aiohttp's errors hold the URL and must not hang on ours as context.
        raise fault

    def _note_skew(self, date: str) -> None:
        if date == self._dated:
            return  # another answer of the same second: reading a date takes 25 µs
        self._dated = date
        with suppress(ValueError):
            self.skew_s = parsedate_to_datetime(date).timestamp() - self._now()


class ChannelSide:
    """What handlers may ask of one channel (`handlers.context.WeChatSide`)."""

    def __init__(self, client: Client, menu: Sequence[Button]) -> None:
        self._client = client
        self._menu = menu

    async def push_menu(self) -> int:
        """Send the configured menu; says how many top buttons, 0 when none is configured.

        Errors: ApiRefused, with what to do in Chinese; the details go to the log.
        """
        try:
            return await self._client.push_menu(self._menu)
        except WeChatError as error:
            log.warning("menu_push_failed", errcode=error.errcode, error=str(error))
            raise ApiRefused(error.chat) from error


def _no_store(api: str, error: StoreError) -> Unreachable:
    return Unreachable(api, f"the store failed ({error})", "see the store's own errors")


def _name(path: str) -> str:
    return path.removeprefix("/cgi-bin").strip("/")


def encoded(payload: Mapping[str, Any]) -> bytes:
    """JSON as WeChat and WeCom read it: raw UTF-8, half an emoji as "?".

    Some APIs refuse the escaped notation (40033).
    """
    return jsonlib.dumps(payload, ensure_ascii=False).encode(errors="replace")


def _whole(value: object) -> int | None:
    """An int, also when it came as a string; None for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def why(error: BaseException) -> str:
    """The reason without the error's own text, which may hold the URL."""
    cause = getattr(error, "os_error", None) or error
    words = getattr(cause, "strerror", None) if isinstance(cause, OSError) else None
    if isinstance(error, TimeoutError):
        words = "no answer in time"
    return f"{words} ({type(error).__name__})" if words else type(error).__name__


def _read(api: str, status: int, raw: bytes, hidden: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object of a good answer. Errors: WeChatError for every other."""
    if status >= 500 or status == 408:
        raise Unheard(api, f"HTTP {status}")
    try:
        # Nicknames bring broken UTF-8 and control characters into otherwise good answers.
        answer = jsonlib.loads(raw.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        answer = None
    errcode = _whole(answer.get("errcode", 0)) if isinstance(answer, dict) else None
    if errcode:
        errmsg = str(answer.get("errmsg", ""))
        for value in filter(None, hidden):
            errmsg = errmsg.replace(value, "…")
        raise Refused(api, errcode, errmsg, _whole(answer.get("msg_id")))
    if status >= 300:
        # WeChat's own answers are 200: a proxy or another server turned the call away.
        raise Unreachable(api, f"HTTP {status} that is not WeChat's")
    if not isinstance(answer, dict):
        raise Unheard(api, "the answer is not a JSON object")
    if errcode is None:
        raise Unheard(api, "the answer's errcode is not a number")
    return answer
