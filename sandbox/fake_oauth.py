"""The fake WeChat's 网页授权: who opens a page, told by a code that works once.

The authorise address is opened by a browser, so who is "in WeChat" there must be said some
way that a browser can: the cookie `fake_openid`, or `visitor`, whoever opens pages without
one. As strict as the platform where a service could get it wrong: the order of the
parameters, the letters of `state`, the domain, one use of each code.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import web

from sandbox.fake_platform import Account
from sandbox.fake_rules import ApiError, Call

AUTHORIZE = "/connect/oauth2/authorize"
ACCESS_TOKEN = "/sns/oauth2/access_token"  # noqa: S105 - a path
COOKIE = "fake_openid"

CODE_LIFE_S = 300.0

_ORDER = ["appid", "redirect_uri", "response_type", "scope", "state"]
_STATE = re.compile(r"[A-Za-z0-9]{0,128}")


class FakeOAuth:
    """Hands out codes and takes them back.

    visitor: the openid of whoever opens an authorise address without the cookie; "" is a
    browser outside WeChat. domain: the console's 网页授权域名, as host or host:port; "" allows
    any. snapshots: openids whom WeChat shows a 快照页, under a name that is not theirs.
    """

    def __init__(self, account: Account, *, now: Callable[[], float], rng: random.Random) -> None:
        self.visitor = ""
        self.domain = ""
        self.snapshots: set[str] = set()
        self._account = account
        self._now = now
        self._rng = rng
        self._codes: dict[str, tuple[str, float, bool]] = {}

    async def authorize(self, request: web.Request) -> web.Response:
        """The authorise address: back to redirect_uri with a code, or a page with what is wrong."""
        fault = self._fault(request.query_string)
        if fault:
            return web.Response(text=fault, content_type="text/html")
        openid = request.cookies.get(COOKIE, "") or self.visitor
        if not openid:
            return web.Response(text="请在微信客户端打开链接", content_type="text/html")
        query = dict(request.query)
        code = self.issue(openid)
        back, mark, fragment = query["redirect_uri"].partition("#")
        back += f"{'&' if '?' in back else '?'}code={code}&state={quote(query['state'])}"
        return web.Response(status=302, headers={"Location": f"{back}{mark}{fragment}"})

    def issue(self, openid: str) -> str:
        """A fresh code of this person's, as if they had opened the authorise address."""
        code = self._rng.randbytes(16).hex()
        self._codes[code] = (openid, self._now() + CODE_LIFE_S, False)
        return code

    def _fault(self, query_string: str) -> str:
        pairs = parse_qsl(query_string, keep_blank_values=True)
        given = dict(pairs)
        if given.get("appid") != self._account.app_id:
            return "AppID 参数错误 40013"
        if self._account.kind != "service" or not self._account.verified:
            return "Scope 参数错误或没有 Scope 权限 10005"
        if [name for name, _ in pairs] != _ORDER or given["response_type"] != "code":
            return "链接参数的顺序或个数不对"
        if given["scope"] not in ("snsapi_base", "snsapi_userinfo"):
            return "Scope 参数错误或没有 Scope 权限 10005"
        if not _STATE.fullmatch(given["state"]):
            return "state 参数错误"
        parts = urlsplit(given["redirect_uri"])
        if parts.scheme not in ("http", "https") or self.domain not in ("", parts.netloc):
            return "redirect_uri 域名与后台配置不一致 10003"
        return ""

    def access_token(self, call: Call) -> dict[str, Any]:
        """GET /sns/oauth2/access_token: whose code it is. Its token is for nothing here."""
        given = call.query
        if given.get("appid") != self._account.app_id:
            raise ApiError(40013)
        if given.get("secret") != self._account.app_secret:
            raise ApiError(40125)
        if given.get("grant_type") != "authorization_code":
            raise ApiError(40002)
        if not given.get("code"):
            raise ApiError(41008)
        if given["code"] not in self._codes:
            raise ApiError(40029)
        openid, until, used = self._codes[given["code"]]
        if used:
            raise ApiError(40163)
        if until <= self._now():
            raise ApiError(42003)
        self._codes[given["code"]] = (openid, until, True)
        answer = {
            "access_token": self._rng.randbytes(40).hex(),
            "expires_in": 7200,
            "refresh_token": self._rng.randbytes(40).hex(),
            "openid": openid,
            "scope": "snsapi_base",
        }
        if openid in self.snapshots:
            answer |= {"openid": "o" + self._rng.randbytes(13).hex(), "is_snapshotuser": 1}
        return answer
