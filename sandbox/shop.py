"""The seeded business's shop: one plain page for each item, with a button that buys.

The part that zhiqun does not own. It shows what a real shop has to do: keep the `zq` of the
address it was opened with, tell the REST API what happened, with an id of its own so that
telling twice does nothing, and ask what a coupon takes off (`till.py`): held while the customer
looks at the price, used when they pay. No database: an order is only its number. Loopback only,
like the phone page.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sandbox.till import Discount, Refused, Till, Unreached

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_CLICK = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ORDER = re.compile(r"[0-9a-f]{12}")
_STYLE = """
body{font:16px/1.7 system-ui,"Noto Sans CJK SC",sans-serif;max-width:34rem;margin:2rem auto;
padding:0 1rem;color:#1f2329;background:#f7f8fa}
main{background:#fff;border-radius:12px;padding:1.2rem 1.4rem;box-shadow:0 1px 4px #0001}
h1{font-size:1.25rem;margin:.2rem 0 .6rem}
p.fact{color:#646a73;margin:.3rem 0}
button{font:inherit;border:0;border-radius:8px;padding:.55rem 1.2rem;margin:.3rem .4rem .3rem 0;
background:#07c160;color:#fff;cursor:pointer}
button.quiet{background:#e8f8ef;color:#067a3d}
input{font:inherit;border:1px solid #d0d5db;border-radius:8px;padding:.5rem .7rem;width:11rem;
margin:.3rem .4rem .3rem 0}
p.why{color:#c0392b}form{display:inline}
li{margin:.3rem 0}a{color:#2f6fdd}
"""


@dataclass(frozen=True)
class Offer:
    """What the shop sells. prices: what each tier is called, and its fen."""

    id: str
    title: str
    summary: str
    prices: tuple[tuple[str, int], ...]
    chapters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Order:
    """An order as its form has it. tier: which of the offer's prices; code: the coupon's, ""
    for none."""

    offer: Offer
    number: str
    tier: str
    name: str
    cents: int
    click: str
    code: str


class Shop:
    """The shop's pages. `await start()`, give it `offers`, tell its `till` whom to call, then
    let it sell.
    """

    def __init__(self, title: str, offers: Iterable[Offer] = ()) -> None:
        self.title = title
        self.offers: Mapping[str, Offer] = {offer.id: offer for offer in offers}
        self.till = Till()
        self.url = ""
        self._runner: web.AppRunner | None = None
        self.app = web.Application(client_max_size=16 * 1024, middlewares=[self._guard])
        self.app.router.add_get("/", self._window)
        self.app.router.add_get("/item/{id}", self._item)
        self.app.router.add_post("/item/{id}/hold", self._hold)
        self.app.router.add_post("/item/{id}/drop", self._drop)
        self.app.router.add_post("/item/{id}/buy", self._buy)
        self.app.router.add_post("/item/{id}/learn", self._learn)

    def address(self, item_id: str) -> str:
        """Where an item is sold."""
        return f"{self.url}item/{quote(item_id)}"

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1; returns the address."""
        await self.till.open()
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self.url

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self.till.close()

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        if name.lower() not in _LOOPBACK:
            return web.Response(status=421, text="open this page as http://127.0.0.1:PORT/")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.method == "POST" and site not in ("same-origin", "none"):
            return web.Response(status=403, text="this shop takes no orders from other sites")
        response = await handler(request)
        response.headers.update(_HEADERS)
        return response

    # What happens, told to zhiqun

    async def tell(self, event: Mapping[str, Any]) -> None:
        """Post one event. Errors: web.HTTPBadGateway when zhiqun did not take it."""
        filled = {name: value for name, value in event.items() if value not in ("", None)}
        filled["at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            await self.till.tell(filled)
        except Unreached as error:
            raise web.HTTPBadGateway(text=str(error)) from error

    # Pages

    def _offer(self, request: web.Request) -> Offer:
        offer = self.offers.get(request.match_info["id"])
        if offer is None:
            raise web.HTTPNotFound(text="没有这个商品")
        return offer

    async def _window(self, _request: web.Request) -> web.Response:
        rows = "".join(
            f'<li><a href="/item/{quote(offer.id)}">{escape(offer.title)}</a> '
            f"{_yuan(offer.prices[0][1])}</li>"
            for offer in self.offers.values()
        )
        return _page(self.title, f"<h1>{escape(self.title)} · 全部内容</h1><ul>{rows}</ul>")

    async def _item(self, request: web.Request) -> web.Response:
        offer, click = self._offer(request), _click(request.query.get("zq", ""))
        seen = {"id": f"view-{secrets.token_hex(8)}", "kind": "view", "item": offer.id}
        # A page must open even when nobody counts it.
        with contextlib.suppress(web.HTTPBadGateway):
            await self.tell({**seen, "click": click})
        known = "是从知群的链接打开的" if click else "不是从知群的链接打开的"
        return _page(
            offer.title,
            f"<h1>{escape(offer.title)}</h1><p>{escape(offer.summary)}</p>"
            f"{_prices(offer, click)}"
            f'<p class="fact">这是演示用的商店，不会真的收款。这一页{known}。</p>'
            '<p class="fact"><a href="/">全部内容</a></p>',
        )

    async def _order(self, request: web.Request) -> _Order:
        """What a form says. Errors: web.HTTPBadRequest."""
        offer, form = self._offer(request), await request.post()
        number, tier = str(form.get("order", "")), str(form.get("tier", ""))
        if not _ORDER.fullmatch(number) or tier not in map(str, range(len(offer.prices))):
            raise web.HTTPBadRequest(text="这个订单不完整，请回到商品页重新购买")
        name, cents = offer.prices[int(tier)]
        return _Order(
            offer,
            number,
            tier,
            name,
            cents,
            _click(str(form.get("zq", ""))),
            str(form.get("code", "")).strip()[:80],
        )

    async def _hold(self, request: web.Request) -> web.Response:
        """Hold the coupon and show what the order costs with it."""
        order = await self._order(request)
        if not order.code:
            return _refused(order, "先输入优惠码")
        till, offer = self.till, order.offer
        try:
            off = await till.reserve(order.code, order.number, offer.id, order.cents)
        except Refused as refused:
            return _refused(order, str(refused))
        except Unreached as error:
            raise web.HTTPBadGateway(text=str(error)) from error
        return _page(
            "确认订单",
            f"<h1>确认订单</h1><p>《{escape(offer.title)}》{escape(order.name)}</p>"
            f"<p>{_worth(order, off)}</p>"
            f"{_form(order, 'buy', f'付款 {_yuan(order.cents - off.cents)}')}"
            f"{_form(order, 'drop', '不用这张券', quiet=True)}"
            '<p class="fact">这张券为这个订单保留着，别的订单暂时不能用。</p>',
        )

    async def _drop(self, request: web.Request) -> web.Response:
        """Give the coupon back and show the prices again."""
        order = await self._order(request)
        try:
            await self.till.release(order.code, order.number)
        except Refused as refused:
            return _refused(order, str(refused))
        except Unreached as error:
            raise web.HTTPBadGateway(text=str(error)) from error
        return _refused(order, "券已经放回去了，可以用在别的订单里")

    async def _buy(self, request: web.Request) -> web.Response:
        order = await self._order(request)
        offer, off = order.offer, Discount(0)
        if order.code:
            try:
                off = await self.till.redeem(order.code, order.number, offer.id, order.cents)
            except Refused as refused:
                return _refused(order, str(refused))
            except Unreached as error:
                raise web.HTTPBadGateway(text=str(error)) from error
        await self.tell(
            {
                "id": f"order-{order.number}",
                "kind": "purchase",
                "item": offer.id,
                "order": order.number,
                "amount_cents": order.cents - off.cents,
                "click": order.click,
                # Who bought without a link is still somebody: the shop's own name for them.
                "visitor": "" if order.click else f"order-{order.number}",
            }
        )
        learn = (
            f'<form method="post" action="/item/{quote(offer.id)}/learn">'
            f'<input type="hidden" name="zq" value="{escape(order.click)}">'
            f'<input type="hidden" name="chapter" value="0">'
            f'<button class="quiet">学完第 1 章</button></form>'
            if offer.chapters and order.click
            else ""
        )
        paid = _worth(order, off) if order.code else f"{escape(order.name)} {_yuan(order.cents)}"
        return _page(
            "购买成功",
            f"<h1>购买成功</h1><p>《{escape(offer.title)}》{paid}</p>"
            f'<p class="fact">订单号 {order.number}，已经通知知群。</p>{learn}'
            '<p class="fact">回到手机，运营发 /stats 能看到这笔成交。</p>',
        )

    async def _learn(self, request: web.Request) -> web.Response:
        offer, form = self._offer(request), await request.post()
        click, typed = _click(str(form.get("zq", ""))), str(form.get("chapter", ""))
        if not click or typed not in map(str, range(len(offer.chapters))):
            raise web.HTTPBadRequest(text="不知道是谁学了哪一章，请从知群的链接重新打开")
        number = int(typed)
        chapter, title = offer.chapters[number]
        await self.tell(
            {
                "id": f"learn-{click}-{chapter}",
                "kind": "progress",
                "item": offer.id,
                "chapter": chapter,
                "percent": 100,
                "click": click,
            }
        )
        more = (
            f'<form method="post" action="/item/{quote(offer.id)}/learn">'
            f'<input type="hidden" name="zq" value="{escape(click)}">'
            f'<input type="hidden" name="chapter" value="{number + 1}">'
            f'<button class="quiet">学完第 {number + 2} 章</button></form>'
            if number + 1 < len(offer.chapters)
            else ""
        )
        return _page(
            "学完一章",
            f"<h1>学完了：{escape(title)}</h1>{more}"
            '<p class="fact">回到手机，发「我的课程」能看到进度。</p>',
        )


def _prices(offer: Offer, click: str, code: str = "") -> str:
    """For each price a button that buys, and a place for a code, which only shows what it does."""
    # The order has its number before it exists: pressing twice buys once.
    number = secrets.token_hex(6)
    rows = []
    for tier, (name, cents) in enumerate(offer.prices):
        hidden = _hidden({"zq": click, "order": number, "tier": tier})
        at = f"/item/{quote(offer.id)}"
        rows.append(
            f'<div><form method="post" action="{at}/buy">{hidden}'
            f"<button>{escape(name)} {_yuan(cents)}，购买</button></form>"
            f'<form method="post" action="{at}/hold">{hidden}'
            f'<input name="code" value="{escape(code)}" placeholder="优惠码" '
            'maxlength="80" autocomplete="off" aria-label="优惠码">'
            '<button class="quiet">用券</button></form></div>'
        )
    return "".join(rows)


def _form(order: _Order, act: str, label: str, *, quiet: bool = False) -> str:
    hidden = {"zq": order.click, "order": order.number, "tier": order.tier, "code": order.code}
    kind = ' class="quiet"' if quiet else ""
    return (
        f'<form method="post" action="/item/{quote(order.offer.id)}/{act}">{_hidden(hidden)}'
        f"<button{kind}>{escape(label)}</button></form>"
    )


def _hidden(fields: Mapping[str, object]) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(str(value))}">'
        for name, value in fields.items()
    )


def _worth(order: _Order, off: Discount) -> str:
    """What it costs and what the coupon did to that."""
    trial = f"，送 {off.trial_days} 天体验" if off.trial_days else ""
    return (
        f"原价 {_yuan(order.cents)}，优惠 {_money(off.cents)}{trial}，"
        f"实付 {_yuan(order.cents - off.cents)}"
    )


def _refused(order: _Order, why: str) -> web.Response:
    """The item's prices again, and why the coupon does nothing now."""
    return _page(
        order.offer.title,
        f'<h1>{escape(order.offer.title)}</h1><p class="why">{escape(why)}</p>'
        f"{_prices(order.offer, order.click, order.code)}"
        '<p class="fact"><a href="/">全部内容</a></p>',
    )


def _click(text: str) -> str:
    return text if _CLICK.fullmatch(text) else ""


def _money(fen: int) -> str:
    return f"¥{fen / 100:g}"


def _yuan(fen: int) -> str:
    return "免费" if fen == 0 else _money(fen)


def _page(title: str, body: str) -> web.Response:
    return web.Response(
        text=f'<!doctype html><html lang="zh-CN"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><main>{body}</main></html>",
        content_type="text/html",
        charset="utf-8",
    )
