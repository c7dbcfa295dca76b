"""The fake WeChat's notices: template messages (模板消息) and subscription notices (订阅通知).

A template message goes to any follower of a verified service account; a subscription notice
uses up one permission that the member gave. How each ended comes later, as an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from sandbox.fake_platform import Received, Route
from sandbox.fake_rules import ApiError, Call

if TYPE_CHECKING:
    from sandbox.fake_api import FakeApi

Answer = dict[str, Any]
Endpoint = Callable[[Call], Answer]
_VALUE_CHARS = 200


class FakeNotices:
    """The notice APIs of one fake account; `FakeApi` serves them.

    templates: their ids; empty takes any. statuses: the next notices' outcomes in their events
    ("failed:user block"), taken one by one, else success. report: what becomes of the events,
    as `FakeMass.finish`. sent: number of a notice -> openid, template, whether it was a
    subscription notice, its outcome. held: numbers whose events were kept.
    """

    def __init__(self, api: FakeApi) -> None:
        self.templates: set[str] = set()
        self.statuses: list[str] = []
        self.report: Literal["auto", "hold", "lost"] = "auto"
        self.held: list[int] = []
        self.sent: dict[int, tuple[str, str, bool, str]] = {}
        self.on_sent: Callable[[int], None] = lambda number: None
        self._api = api
        self.endpoints: dict[str, tuple[str, bool, Endpoint]] = {
            "/cgi-bin/message/template/send": ("POST", True, self._template),
            "/cgi-bin/message/subscribe/bizsend": ("POST", True, self._subscription),
        }

    def _open(self, call: Call) -> tuple[dict[str, Any], str, str]:
        self._api.need_verified()
        if self._api.account.kind != "service":
            raise ApiError(48001)
        given = call.json()
        openid = self._api.receiver(given.get("touser"))
        template_id = given.get("template_id")
        if not isinstance(template_id, str) or not template_id:
            raise ApiError(40037)
        if self.templates and template_id not in self.templates:
            raise ApiError(40037)
        data = given.get("data")
        if not isinstance(data, dict) or not data:
            raise ApiError(47003)
        for part in data.values():
            value = part.get("value") if isinstance(part, dict) else None
            if not isinstance(value, str) or not value.strip() or len(value) > _VALUE_CHARS:
                raise ApiError(47003)
        return given, openid, template_id

    def _template(self, call: Call) -> Answer:
        given, openid, template_id = self._open(call)
        return {"msgid": self._go(given, openid, template_id, subscription=False)}

    def _subscription(self, call: Call) -> Answer:
        given, openid, template_id = self._open(call)
        grants = self._api.members[openid].grants
        if grants.get(template_id, 0) < 1:
            raise ApiError(43101)
        grants[template_id] -= 1
        return {"msgid": self._go(given, openid, template_id, subscription=True)}

    def _go(
        self, given: dict[str, Any], openid: str, template_id: str, *, subscription: bool
    ) -> int:
        status = self.statuses.pop(0) if self.statuses else "success"
        number = 3_000_000_001 + len(self.sent)
        self.sent[number] = (openid, template_id, subscription, status)
        if status == "success":
            lines = "\n".join(f"{name}：{part['value']}" for name, part in given["data"].items())
            route: Route = "notice" if subscription else "template"
            self._api.show(openid, Received("text", lines, given, route, self._api.now()))
        self.on_sent(number)
        return number

    def event(self, number: int) -> tuple[str, str, dict[str, Any]]:
        """Whom a notice's event comes from, its name, and its own fields."""
        openid, template_id, subscription, status = self.sent[number]
        if not subscription:
            return openid, "TEMPLATESENDJOBFINISH", {"MsgID": number, "Status": status}
        one = {
            "TemplateId": template_id,
            "MsgID": number,
            "ErrorCode": 0 if status == "success" else 1,
            "ErrorStatus": status,
        }
        return openid, "subscribe_msg_sent_event", {"SubscribeMsgSentEvent": {"List": [one]}}
