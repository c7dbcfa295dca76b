"""The breadth of wechatpy's API classes (menu, tag, qrcode, draft …) over our client.

wechatpy's classes only build requests and hand them to a client's `get` and `post`. Here
that client is ours, so their methods give awaitables: one token keeper, one set of limits
and errors. wechatpy's own client, which blocks and repeats without end, is never made.
Importing this file loads `requests`: only `Client.wechatpy` does it, at the first use.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
from wechatpy.client import api

from bot.errcodes import Unheard

if TYPE_CHECKING:
    from bot.client import Client

_WECHAT = "https://api.weixin.qq.com"
# They use the answer before it is there, fetch by themselves, want bytes, or take the token.
_CLOSED: Mapping[str, tuple[str, ...]] = {
    "customservice": ("delete_account",),
    "media": ("download", "get_url"),
    "qrcode": ("show",),
    "tag": ("iter_tag_users",),
    "user": ("iter_followers",),
}


class Api:
    """wechatpy's classes whose methods are safe here; each method gives an awaitable.

    Differences: `menu.get` raises Refused 46003 when there is no menu; a file is
    (file name, bytes), never an open file; `material.get` is for news only. Methods that
    cannot work this way raise TypeError at once. Errors: WeChatError.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.appid = client.app_id
        self.customservice = api.WeChatCustomService(self)
        self.datacube = api.WeChatDataCube(self)
        self.draft = api.WeChatDraft(self)
        self.freepublish = api.WeChatFreePublish(self)
        self.material = api.WeChatMaterial(self)
        self.media = api.WeChatMedia(self)
        self.menu = api.WeChatMenu(self)
        self.message = api.WeChatMessage(self)
        self.misc = api.WeChatMisc(self)
        self.qrcode = api.WeChatQRCode(self)
        self.tag = api.WeChatTag(self)
        self.template = api.WeChatTemplate(self)
        self.user = api.WeChatUser(self)
        for group, names in _CLOSED.items():
            for name in names:
                setattr(getattr(self, group), name, _closed)

    def get(self, url: str, **options: Any) -> Coroutine[Any, Any, Any]:
        """wechatpy's side of the transport; not for others."""
        return self._request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Coroutine[Any, Any, Any]:
        """wechatpy's side of the transport; not for others."""
        return self._request("POST", url, **options)

    async def _request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        result_processor: Callable[[Any], Any] | None = None,
        api_base_url: str = f"{_WECHAT}/cgi-bin/",
    ) -> Any:
        whole = url if url.startswith("https://") else api_base_url + url
        if not whole.startswith(f"{_WECHAT}/"):
            raise TypeError(f"{urlsplit(whole).netloc} is not this client's server")
        path = urlsplit(whole).path
        if files is not None:
            answer = await self._client.call(method, path, params=params, data=_form(files))
        elif data is None or isinstance(data, Mapping):
            answer = await self._client.call(method, path, params=params, json=data)
        else:
            raw = data if isinstance(data, bytes) else str(data).encode()
            answer = await self._client.call(method, path, params=params, data=raw)
        if result_processor is None:
            return answer
        try:
            return result_processor(answer)
        except (KeyError, IndexError, TypeError):
            reason = "the answer lacks the field it is asked for"
        raise Unheard(path.removeprefix("/cgi-bin/"), reason)


def _form(files: Mapping[str, tuple[str, bytes]]) -> Callable[[], aiohttp.FormData]:
    for part in files.values():
        if not isinstance(part, tuple) or not isinstance(part[1], bytes):
            raise TypeError("give a file as (file name, bytes): open files block and cannot repeat")

    def made() -> aiohttp.FormData:
        form = aiohttp.FormData()
        for field, (name, content) in files.items():
            form.add_field(field, content, filename=name)
        return form

    return made


def _closed(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("this wechatpy method needs its blocking client: use Client.call instead")
