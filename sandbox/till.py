"""The shop's till: what a shop tells zhiqun, and what it asks when somebody shows a coupon.

The part of a shop that a real one has to write, too: every request is signed, because whoever
overheard the key could otherwise use up coupons, and every step of a checkout has a name of its
own (Idempotency-Key), so that a request sent twice is one. It imports nothing of the service.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

_WHY = {
    "unknown-code": "没有这个优惠码，看看有没有输错",
    "coupon-reserved": "这张券正用在另一个还没付款的订单里，过一会儿再来",
    "coupon-used": "这张券已经用过了",
    "coupon-ended": "这张券已经过期了",
    "coupon-revoked": "这张券已经被收回了",
    "not-stackable": "这个订单已经用了别的券，不能一起用",
    "below-minimum": "订单金额还没到这张券的最低消费",
    "no-eligible-item": "这张券不能用在这个商品上",
    "guessing": "试的次数太多了，过一会儿再来",
}
"""What a customer reads for each kind of refusal that the API has."""

_PATIENCE_S = 5.0


class Unreached(Exception):
    """zhiqun was not reached, or said what no shop can mend; for the log of the shop."""


class Refused(Exception):
    """The coupon cannot be used for this order; the text is for the customer."""


@dataclass(frozen=True)
class Discount:
    """What an order gets for a coupon."""

    cents: int
    trial_days: int = 0


class Till:
    """api: the REST API's base, "http://127.0.0.1:8702/api/v1". key, secret: of an API key
    that signs, with the scopes events:write and coupons:redeem; secret "" for one that does not.
    """

    def __init__(self) -> None:
        self.api = ""
        self.key = ""
        self.secret = ""
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Before the first call."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_PATIENCE_S), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """After the last one."""
        if self._session is not None:
            await self._session.close()

    async def tell(self, event: Mapping[str, Any]) -> None:
        """Post one event. Errors: Unreached."""
        status, said = await self._post("/events", event)
        if status not in (200, 201):
            raise Unreached(f"zhiqun answered {status}: {str(said)[:300]}")

    async def reserve(self, code: str, order: str, item: str, cents: int) -> Discount:
        """Hold a coupon for an order of one item. Errors: Refused, Unreached."""
        return await self._use("reserve", code, _cart(order, item, cents))

    async def redeem(self, code: str, order: str, item: str, cents: int) -> Discount:
        """Use it, held before or not. Errors: Refused, Unreached."""
        return await self._use("redeem", code, _cart(order, item, cents))

    async def release(self, code: str, order: str) -> None:
        """Give it back, for another order. Errors: Refused, Unreached."""
        await self._use("release", code, {"order": order})

    async def _use(self, verb: str, code: str, body: Mapping[str, Any]) -> Discount:
        # The same order may come back with another amount or another code: another name.
        said = hashlib.sha256(json.dumps([code, body]).encode()).hexdigest()[:16]
        name = f"{body['order']}-{verb}-{said}"
        path = f"/coupons/{quote(code.strip(), safe='')}/{verb}"
        status, answer = await self._post(path, body, {"Idempotency-Key": name})
        if status == 200:
            return Discount(int(answer["discount_cents"]), int(answer["trial_days"]))
        kind = str(answer.get("type", "")).removeprefix("urn:zhiqun:")
        if kind in _WHY:
            raise Refused(_WHY[kind])
        if status in (400, 404):  # what cannot even be a code
            raise Refused(_WHY["unknown-code"])
        raise Unreached(f"zhiqun answered {status}: {str(answer)[:300]}")

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        assert self._session is not None
        url = f"{self.api}{path}"
        data = json.dumps(body, ensure_ascii=False).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        sent |= headers or {}
        if self.secret:
            name = sent.get("Idempotency-Key", "")
            sent |= self._signed(urlsplit(url).path, name, data)
        try:
            async with self._session.post(
                URL(url, encoded=True), data=data, headers=sent
            ) as response:
                answer = json.loads(await response.read() or b"{}")
                return response.status, answer if isinstance(answer, dict) else {}
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreached(f"zhiqun was not reached: {type(error).__name__}") from error

    def _signed(self, target: str, name: str, body: bytes) -> dict[str, str]:
        stamp = str(int(time.time()))
        text = f"{stamp}.POST.{target}.{name}.".encode() + body
        mac = base64.b64encode(hmac.digest(self.secret.encode(), text, "sha256")).decode()
        return {"Zhiqun-Timestamp": stamp, "Zhiqun-Signature": f"v1,{mac}"}


def _cart(order: str, item: str, cents: int) -> dict[str, Any]:
    line = {"item": item, "amount_cents": cents}
    return {"order": order, "amount_cents": cents, "lines": [line]}
