"""One call to WeCom's API (qyapi.weixin.qq.com), and what its error codes mean.

The same promises as `bot/client.py`: a time limit, a size limit, and an error that says whether
it was refused, never left, or nobody knows. WeCom's numbers often mean something else than the
official accounts' same numbers, hence a table of its own. What stands in a query (a robot's key,
a token) never reaches an error text, a log line or a metric.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bot.client import why
from bot.errcodes import Action, Code, Refused, Unheard, Unreachable, WeChatError

NO_ANSWER = -2
"""What `observe` gets for an errcode when there was none: not sent, or not heard."""

_LIMIT_BYTES = 2 * 1024 * 1024
_CHUNK = 65536
# Raised before the request's first byte was written.
_NEVER_LEFT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)

_CONFIG, _NEVER, _MINUTE = Action.CONFIG, Action.PERMANENT, Action.WAIT_MINUTE
_REPORT = "report it: zhiqun built a wrong call"

CODES: Mapping[int, Code] = {
    -1: Code("WeCom is busy", Action.RETRY, "nothing, unless it lasts for hours"),
    40004: Code("the media type is not allowed", _NEVER, "take a PNG or JPEG"),
    40006: Code("the file is too large", _NEVER, "make it smaller: 20 MB"),
    40007: Code("the media id is unknown or expired", _NEVER, "upload the media again"),
    40008: Code("the message type is not allowed", _NEVER, _REPORT),
    40009: Code("the picture is too large", _NEVER, "make it smaller: 2 MB"),
    40033: Code("the text has characters WeCom refuses", _NEVER, "take odd characters out"),
    40058: Code("an argument is wrong or too long", _NEVER, "see the limits of group robots"),
    44001: Code("the file is empty", _NEVER, "choose another file"),
    44004: Code("the text is empty", _NEVER, "look for a blank text"),
    45002: Code("the text is too long", _NEVER, "shorten it: 2048 bytes"),
    45008: Code("too many articles", _NEVER, "send 8 at most"),
    45009: Code("too many messages in this minute", _MINUTE, "send fewer: 20 a minute"),
    45033: Code("too many calls at a time", _MINUTE, "send fewer"),
    47001: Code("WeCom cannot read the request", _NEVER, _REPORT),
    93000: Code(
        "the robot was removed or its key is wrong",
        _CONFIG,
        "add it to the group again and put its new key into the configuration",
    ),
    93004: Code("the robot was switched off", _CONFIG, "switch it on in the group's settings"),
    93008: Code("the robot is not in the group", _CONFIG, "add it to the group again"),
    130101: Code("too many messages in this minute", _MINUTE, "send fewer: 20 a minute"),
    301019: Code("the picture's MD5 is not that of its bytes", _NEVER, _REPORT),
}
"""errcode -> what it means and what to do."""

_CHAT_ACTIONS: Mapping[Action, str] = {
    Action.RETRY: "暂时连不上企业微信，请过一会儿再试",
    Action.WAIT_MINUTE: "发得太快了，请过一分钟再试",
    Action.CONFIG: "企业微信的设置需要处理，请看服务器日志里的提示",
    Action.PERMANENT: "企业微信不接受这个请求，请看服务器日志里的提示",
}
_CHAT_CODES: Mapping[int, str] = {
    93000: "群机器人被移出了群，或者配置里的 key 不对",
    93004: "群机器人被停用了，请在群设置里启用",
    93008: "群机器人不在群里，请重新添加",
}


class WeComRefused(Refused):
    """WeCom answered with an errcode: certainly not done."""

    def __init__(self, api: str, errcode: int, errmsg: str = "") -> None:
        super().__init__(api, errcode, errmsg)
        code = CODES.get(errcode)
        if code is not None:
            self.action = code.action
            self.args = (f"{api}: {errcode}: {code.meaning}: {code.todo}",)
        else:
            words = f" ({self.errmsg})" if self.errmsg else ""
            self.action = _NEVER
            self.args = (
                f"{api}: {errcode}: an error zhiqun does not know{words}: "
                "look the code up in WeCom's 全局错误码",
            )

    @property
    def chat(self) -> str:
        """What to do, in Chinese, with the code."""
        return f"{_CHAT_CODES.get(self.errcode) or _CHAT_ACTIONS[self.action]}（{self.errcode}）"


class Qyapi:
    """Calls to one base. timeout_s: for one exchange. observe: path and errcode of every
    exchange, `NO_ANSWER` when there was none."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        api_base: str,
        timeout_s: float,
        observe: Callable[[str, int], None] = lambda path, errcode: None,
    ) -> None:
        self._session = session
        self._base = api_base.rstrip("/")
        self._host = urlsplit(self._base).netloc
        self._observe = observe
        # Half at most, so that a call which could not connect is never taken for one that
        # was sent and not heard.
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(5.0, timeout_s / 2))

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: bytes | aiohttp.FormData | None = None,
        hidden: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Call an API and give its JSON object, errcode 0 in it.

        body: JSON as bytes, or a form. hidden: secrets that WeCom may repeat in its words.
        Errors: WeComRefused, Unreachable, Unheard.
        """
        api = path.removeprefix("/cgi-bin").strip("/")
        try:
            status, raw = await self._exchange(api, method, path, query, body)
            answer = _read(api, status, raw, hidden)
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
        body: bytes | aiohttp.FormData | None,
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
                params=query,
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # the query carries the key: nobody else gets it
            ) as response:
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


def _read(api: str, status: int, raw: bytes, hidden: Sequence[str]) -> dict[str, Any]:
    """The JSON object of a good answer. Errors: WeChatError for every other."""
    if status >= 500 or status == 408:
        raise Unheard(api, f"HTTP {status}")
    try:
        answer = jsonlib.loads(raw.decode(errors="replace"), strict=False)
    except (ValueError, RecursionError):
        answer = None
    errcode = answer.get("errcode") if isinstance(answer, dict) else None
    if isinstance(errcode, bool) or not isinstance(errcode, int):
        errcode = None
    if errcode:
        errmsg = str(answer.get("errmsg", "")) if isinstance(answer, dict) else ""
        for value in filter(None, hidden):
            errmsg = errmsg.replace(value, "…")
        raise WeComRefused(api, errcode, errmsg)
    if status >= 300:
        # WeCom's own answers are 200: a proxy or another server turned the call away.
        raise Unreachable(api, f"HTTP {status} that is not WeCom's")
    if not isinstance(answer, dict) or errcode is None:
        # WeCom always says 0 here; without it something else may have answered.
        raise Unheard(api, "the answer has no errcode")
    return answer
