"""The sections of the configuration that speak of groups: how zhiqun behaves there, and the
channels that reach them.

The same shape as `bot/settings.py`. A channel's `kind` says which of these classes reads it;
docs/groups.md says which of them is allowed where.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Annotated, Literal

from bot.rules import (
    AES_KEY,
    BASE,
    CLOCK,
    URL,
    Key,
    Secret,
    many,
    matching,
    number,
    secret,
    whole,
)

QYAPI = "https://qyapi.weixin.qq.com"
WORDS = matching(r"[^\x00-\x20]{1,20}", "a word of 1 to 20 characters without blanks")
USERID = matching(r"[A-Za-z0-9@._-]{1,64}", "a userid of WeCom")
IDENTITY = matching(r"[^\x00-\x20]{1,128}", "an id without blanks")
CORPID = matching(r"[A-Za-z0-9_-]{1,64}", "a CorpID such as ww0123456789abcdef")
_TOKEN = secret(r"[A-Za-z0-9]{3,32}", "3 to 32 letters and digits")
_ACCESS = secret(r"[\x21-\x7e]{16,256}", "16 to 256 characters without blanks")
_SECRET = secret(r"[\x21-\x7e]{8,128}", "a secret")
_ROBOT_KEY = secret(r"[A-Za-z0-9_-]{8,128}", "a robot's key")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How zhiqun behaves in groups; what an operator sets for one group with /group goes first.

    prefixes: A message that begins with one of these is meant for the bot, as one that mentions it.
    keywords: Whether 签到, 接龙 and the like are answered without a mention, when typed alone.
    repeat_minutes: The same question is not answered twice in a group within this time.
    short_chars: A longer answer is cut in a group, with a link to the whole.
    private_url: Where members write to the bot in private, such as the page with your account's
        QR code; "" names no place.
    welcome_minutes: Newcomers are welcomed together, at most once in this time.
    digest_at: When the daily digest is made, Asia/Shanghai.
    keep_talk_days: What was said in groups is forgotten after so many days; who talks with whom
        stays as a number.
    edge_half_life_days: After so many days a conversation weighs half.
    flood_messages: More messages of one member than this within flood_seconds is a flood.
    flood_seconds: See flood_messages.
    spam_report_at: From this probability a message is noted as an advert, and with a contact or
        link and the words of one its sender is warned, once, and it is kept out of the digest.
    spam_act_at: From this probability a newcomer's message is reported to the operators without
        any rule beside it.
    customer_sync_minutes: How often customer groups (客户群) are read from WeCom.
    """

    prefixes: Annotated[tuple[str, ...], many(WORDS)] = ("/", "小知")
    keywords: bool = True
    repeat_minutes: Annotated[float, number(0, 1440)] = 10.0
    short_chars: Annotated[int, whole(40, 2000)] = 200
    private_url: Annotated[str, URL] = ""
    welcome_minutes: Annotated[float, number(0.1, 1440)] = 5.0
    digest_at: Annotated[time, CLOCK] = time(21, 0)
    keep_talk_days: Annotated[int, whole(1, 3650)] = 30
    edge_half_life_days: Annotated[float, number(1, 3650)] = 30.0
    flood_messages: Annotated[int, whole(3, 1000)] = 10
    flood_seconds: Annotated[float, number(1, 600)] = 10.0
    spam_report_at: Annotated[float, number(0.5, 1)] = 0.9
    spam_act_at: Annotated[float, number(0.5, 1)] = 0.98
    customer_sync_minutes: Annotated[float, number(1, 1440)] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotSettings:
    """A WeCom intelligent robot (智能机器人) in URL callback mode; its address is /hook/NAME.

    kind: An intelligent robot of WeCom.
    name: What it is called in groups: "@小助手 " before a question is not part of it.
    token: The token of the robot's settings page; it signs every request. Required.
    encoding_aes_key: The EncodingAESKey of that page. Required.
    previous_encoding_aes_key: The key before, for the minutes after you changed it.
    receive_id: What the messages name as their receiver: "" for a robot of your own company; the
        CorpID for some older group robots.
    api_base: WeCom's API, where late answers go. Another base for a proxy or tests.
    api_timeout_s: How long one call may take.
    owners: Userids that may do everything.
    """

    channel: str
    kind: Literal["wecom"] = "wecom"
    name: Annotated[str, matching(r"[^\x00-\x1f@]{0,64}", "a name without @")] = ""
    token: Annotated[Secret, Key(_TOKEN, '"env:ZHIQUN_ROBOT_TOKEN"')]
    encoding_aes_key: Annotated[Secret, Key(AES_KEY, '"env:ZHIQUN_ROBOT_AES_KEY"')]
    previous_encoding_aes_key: Annotated[
        Secret | None, Key(AES_KEY, '"env:ZHIQUN_ROBOT_AES_KEY_OLD"')
    ] = None
    receive_id: Annotated[str, matching(r"[A-Za-z0-9_-]{0,64}", 'an id, or ""')] = ""
    api_base: Annotated[str, BASE] = QYAPI
    api_timeout_s: Annotated[float, number(0.5, 60)] = 10.0
    owners: Annotated[tuple[str, ...], many(USERID)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRobotSettings:
    """A WeCom group robot (消息推送): it posts into the one group it was added to, hears nothing.

    kind: A group robot of WeCom.
    key: The key in its address; it is the only credential. Required.
    group: What the group is called in commands and reports.
    per_minute: Messages a minute; WeCom allows 20.
    api_base: WeCom's API. Another base for a proxy or tests.
    api_timeout_s: How long one call may take.
    """

    channel: str
    kind: Literal["wecom-webhook"] = "wecom-webhook"
    key: Annotated[Secret, Key(_ROBOT_KEY, '"env:ZHIQUN_POSTER_KEY"')]
    group: Annotated[str, matching(r"[^\x00-\x1f]{0,60}", "one line of up to 60 characters")] = ""
    per_minute: Annotated[int, whole(1, 20)] = 20
    api_base: Annotated[str, BASE] = QYAPI
    api_timeout_s: Annotated[float, number(0.5, 60)] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """A OneBot gateway to a personal account. WeChat forbids it and bans accounts for it.

    Its webhook and its reverse WebSocket have the address /hook/NAME.

    kind: A gateway that speaks OneBot 12, or 11.
    accept_risk: Must be true: WeChat forbids automated personal accounts and may close the account
        for ever. Use one that you can lose. Required.
    access_token: What the gateway shows as Bearer token, and we show to it. Required.
    secret: With OneBot 11: signs what the gateway posts (X-Signature).
    self_id: The account's own id, where the gateway does not say it in its events.
    api_url: Where the gateway takes actions by HTTP; "" uses the WebSocket it opened.
    api_timeout_s: How long one action may take.
    per_minute: Messages a minute that it may send; many at once look like a machine.
    owners: Ids of people on that network that may do everything.
    """

    channel: str
    kind: Literal["onebot"] = "onebot"
    accept_risk: bool = False
    access_token: Annotated[Secret, Key(_ACCESS, '"env:ZHIQUN_GATEWAY_TOKEN"')]
    secret: Annotated[Secret | None, Key(_ACCESS, '"env:ZHIQUN_GATEWAY_SECRET"')] = None
    self_id: Annotated[str, matching(r"[^\x00-\x20]{0,128}", 'an id, or ""')] = ""
    api_url: Annotated[str, URL] = ""
    api_timeout_s: Annotated[float, number(0.5, 60)] = 10.0
    per_minute: Annotated[int, whole(1, 600)] = 20
    owners: Annotated[tuple[str, ...], many(IDENTITY)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSettings:
    """Customer groups (客户群) of a WeCom company; /hook/NAME takes their events.

    kind: The customer contact (客户联系) of a WeCom company.
    corp_id: CorpID, from the company's page 我的企业. Required.
    secret: The secret of 客户联系, or of an app that may use it. Required.
    token: The token of its callback; unset, groups are only read now and then.
    encoding_aes_key: The EncodingAESKey of its callback.
    senders: Userids of the employees whose groups may get campaigns; none: those of all owners.
    api_base: WeCom's API. Another base for a proxy or tests.
    api_timeout_s: How long one call may take.
    """

    channel: str
    kind: Literal["wecom-customers"] = "wecom-customers"
    corp_id: Annotated[str, Key(CORPID, '"ww0123456789abcdef"')]
    secret: Annotated[Secret, Key(_SECRET, '"env:ZHIQUN_CUSTOMERS_SECRET"')]
    token: Annotated[Secret | None, Key(_TOKEN, '"env:ZHIQUN_CUSTOMERS_TOKEN"')] = None
    encoding_aes_key: Annotated[Secret | None, Key(AES_KEY, '"env:ZHIQUN_CUSTOMERS_AES_KEY"')] = (
        None
    )
    senders: Annotated[tuple[str, ...], many(USERID)] = ()
    api_base: Annotated[str, BASE] = QYAPI
    api_timeout_s: Annotated[float, number(0.5, 60)] = 10.0


KINDS: dict[str, type] = {
    "wecom": RobotSettings,
    "wecom-webhook": GroupRobotSettings,
    "onebot": GatewaySettings,
    "wecom-customers": CustomerSettings,
}
"""A channel's kind -> the class that reads it; "official" is `bot.settings.ChannelSettings`."""
