"""What can be configured: one class a section, one field a key.

A key is described once, where its field stands: rule, default, and the reason in the
class's docstring; see `bot/config.py`, which reads them. What rewards members has its
sections in `bot/incentives.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from bot.rules import (
    AES_KEY,
    APPID,
    BASE,
    BUTTONS,
    CLOCK,
    DOMAIN,
    FILE,
    HOST,
    LINE,
    LINE_OR_NONE,
    OPENID,
    PARAM,
    PATH,
    TOPIC,
    URL,
    Key,
    Secret,
    byte_text,
    many,
    number,
    secret,
    whole,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where zhiqun listens, and how much patience and room a caller gets.

    bind: The webhook's address. A reverse proxy with TLS stands before it, so only this machine
        may connect.
    port: The webhook's port; 0 takes any free one.
    ops_bind: The address of /healthz, /readyz and /metrics: apart from the webhook, so that the
        internet never sees them.
    ops_port: Their port; 0 takes any free one.
    max_body_bytes: A longer body is refused unread. WeChat's are a few KiB.
    header_timeout_s: A caller who has not finished the headers by then is cut off.
    body_timeout_s: The same for the body. WeChat itself gives up after 5 s.
    max_connections: Open connections at a time; further ones are closed at once. Keep it below
        the limit of open files (ulimit -n).
    drain_s: After SIGTERM running answers get this long; what is left is answered after the
        restart.
    public_url: How the internet reaches this server (https://bot.example.com): for the webhook
        addresses to copy into WeChat's console, and for links in answers, which are counted only
        when it is set.
    api_bind: The address of the REST API and of the links (/r/…), apart from the webhook; the
        proxy with TLS stands before it, too.
    api_port: Their port; 0 takes any free one.
    """

    bind: Annotated[str, HOST] = "127.0.0.1"
    port: Annotated[int, whole(0, 65535)] = 8700
    ops_bind: Annotated[str, HOST] = "127.0.0.1"
    ops_port: Annotated[int, whole(0, 65535)] = 8701
    max_body_bytes: Annotated[int, whole(1024, 64 << 20)] = 1 << 20
    header_timeout_s: Annotated[float, number(0.1, 60)] = 5.0
    body_timeout_s: Annotated[float, number(0.1, 60)] = 5.0
    max_connections: Annotated[int, whole(1, 100_000)] = 1000
    drain_s: Annotated[float, number(0, 60)] = 3.0
    public_url: Annotated[str, URL] = ""
    api_bind: Annotated[str, HOST] = "127.0.0.1"
    api_port: Annotated[int, whole(0, 65535)] = 8702


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The database file and how hard it remembers.

    path: The SQLite file, relative to this one. A local disk: WAL does not work on network
        shares.
    durability: "full" survives a power cut (one fsync for each group of writes); "process"
        survives a kill, not a power cut, and is faster.
    busy_timeout_s: How long to wait while another program (a backup, sqlite3) holds the file.
    readers: Connections that only read. More helps only on more cores.
    keep_messages_h: How long a message's key and reply are kept to recognise a repeat. WeChat
        repeats within 15 s; the rest is reserve for a replay.
    backup_dir: Where the nightly backups go; "" means the folder backups beside the database.
        Another disk is better.
    backup_keep: Nightly backups kept before the oldest goes; 0 makes none.
    """

    path: Annotated[Path, FILE] = Path("data/zhiqun.db")
    durability: Literal["full", "process"] = "full"
    busy_timeout_s: Annotated[float, number(0, 300)] = 30.0
    readers: Annotated[int, whole(1, 32)] = 2
    keep_messages_h: Annotated[int, whole(1, 8760)] = 48
    backup_dir: Annotated[Path | None, PATH] = None
    backup_keep: Annotated[int, whole(0, 3650)] = 7

    @property
    def backups(self) -> Path:
        """The folder of the nightly backups."""
        return self.backup_dir or self.path.parent / "backups"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """The promises about time.

    deadline_s: An answer ready by then goes back in the same exchange; a later one is sent
        afterwards. WeChat hangs up at 5 s.
    handler_limit_s: A handler that thinks longer is stopped and the member gets a sentence.
    freshness_s: A request older (or newer) than this is refused as a replay. Needs a right
        clock; not above keep_messages_h.
    max_running: Messages being answered at a time; over it WeChat gets a 503 and asks again. Of
        several channels one alone gets three quarters of it.
    """

    deadline_s: Annotated[float, number(0.5, 4.5)] = 4.2
    handler_limit_s: Annotated[float, number(1, 3600)] = 120.0
    freshness_s: Annotated[int, whole(1, 86_400)] = 300
    max_running: Annotated[int, whole(1, 100_000)] = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How zhiqun tells its operator what happens.

    format: "auto": coloured lines on a terminal, JSON elsewhere.
    level: "info" is one line a message. "debug" also shows the messages of foreign exceptions,
        which may quote what a member wrote.
    """

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSettings:
    """When an answer is sure enough.

    answer_at: From this confidence the bot answers outright; unset, the measured threshold.
    offer_at: From this confidence it asks 您是不是想问; below, it says that it does not know.
        Unset, the measured threshold.
    synonyms_file: Words that mean the same in this business, one group a line, blanks between;
        they join the ones that come along.
    """

    answer_at: Annotated[float | None, Key(number(0, 1), "0.7")] = None
    offer_at: Annotated[float | None, Key(number(0, 1), "0.35")] = None
    synonyms_file: Annotated[Path | None, PATH] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """The words the bot speaks.

    file: Your own wording of the chat texts; "" uses the ones that come along. It names only
        the texts it changes.
    """

    file: Annotated[Path | None, PATH] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessSettings:
    """Who is speaking.

    name: What the bot calls the business.
    topics: What a member may subscribe to (订阅 …).
    human_hours: When people answer; shown on 转人工 where the account cannot hand over (not
        verified). "" names no hours.
    """

    name: Annotated[str, LINE] = "知群"
    topics: Annotated[tuple[str, ...], many(TOPIC)] = ("新课", "直播", "每周精选")
    human_hours: Annotated[str, LINE_OR_NONE] = "工作日 9:00–18:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Where the links in answers may lead, and what the shop is told.

    allowed_hosts: Hosts beside those of the catalogue that a link may lead to; ".example.com"
        also means every host below it.
    click_param: The name under which the shop gets a click's number in the address, to send it
        back with a purchase; "" adds nothing to addresses.
    """

    allowed_hosts: Annotated[tuple[str, ...], many(DOMAIN)] = ()
    click_param: Annotated[str, PARAM] = "zq"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """Webhooks out: what other programs are told.

    allow_private: Whether a webhook may lead to this machine or a private network. Leave it off
        unless your own programs run there.
    """

    allow_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When the housekeeping runs, Asia/Shanghai.

    backup_at: The nightly backup; a quiet hour.
    purge_at: Old message keys are forgotten; after the backup.
    remind_at: Who asked for it is reminded of a course they left off.
    """

    backup_at: Annotated[time, CLOCK] = time(4, 10)
    purge_at: Annotated[time, CLOCK] = time(4, 30)
    remind_at: Annotated[time, CLOCK] = time(19, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """Campaigns and journeys: when they may write, how often, and how fast.

    quiet_from: From then on nothing goes out until quiet_until; the same time twice: no quiet
        hours.
    quiet_until: When sending goes on.
    cap_per_day: Messages of all campaigns and journeys that one member gets on a day; 0: no cap.
    cap_per_week: The same in any seven days.
    holdout_percent: So many of an audience get nothing, so that what the rest did can be
        compared; a campaign may say otherwise.
    grace_minutes: A campaign that is later than this (the bot was down) asks before it goes out.
    window_days: How long after a message a click, a claim or a purchase counts for it.
    error_percent: A campaign of whose last messages more than this failed pauses by itself.
    two_person_over: Above so many recipients a second operator has to confirm, too; 0: never.
    custom_per_minute: Customer-service messages a minute.
    custom_per_day: WeChat's daily quota of that call; see the console's 接口权限.
    mass_per_minute: Mass-send calls a minute; WeChat allows 60 of its whole group.
    notice_per_minute: Template messages and subscription notices a minute.
    notice_per_day: WeChat's daily quota of those calls.
    tag_per_minute: Calls a minute that put WeChat's tags on members, 50 members each.
    part: Members of one mass-send call; WeChat allows 10,000.
    parallel: Customer-service messages under way at a time; a kill leaves at most so many unknown.
    lease_s: How long another process waits before it takes over from one that says nothing.
    font: A font with Chinese letters (TTF, OTF, TTC) for the charts of reports; "" looks for one.
    """

    quiet_from: Annotated[time, CLOCK] = time(22, 0)
    quiet_until: Annotated[time, CLOCK] = time(8, 0)
    cap_per_day: Annotated[int, whole(0, 1000)] = 1
    cap_per_week: Annotated[int, whole(0, 1000)] = 4
    holdout_percent: Annotated[float, number(0, 50)] = 5.0
    grace_minutes: Annotated[float, number(1, 1440)] = 15.0
    window_days: Annotated[float, number(0.04, 90)] = 3.0
    error_percent: Annotated[float, number(1, 100)] = 20.0
    two_person_over: Annotated[int, whole(0, 100_000_000)] = 0
    custom_per_minute: Annotated[int, whole(1, 1_000_000)] = 3000
    custom_per_day: Annotated[int, whole(1, 100_000_000)] = 500_000
    mass_per_minute: Annotated[int, whole(1, 60)] = 30
    notice_per_minute: Annotated[int, whole(1, 1_000_000)] = 1200
    notice_per_day: Annotated[int, whole(1, 100_000_000)] = 100_000
    tag_per_minute: Annotated[int, whole(1, 1_000_000)] = 600
    part: Annotated[int, whole(2, 10_000)] = 10_000
    parallel: Annotated[int, whole(1, 1000)] = 64
    lease_s: Annotated[float, number(5, 600)] = 30.0
    font: Annotated[Path | None, PATH] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuButton:
    """One button of the menu under the chat; with `sub` it only opens the ones below.

    name: What stands on it; at the top at most 16 bytes (five Chinese characters), below 60.
    type: "click" asks zhiqun, "view" opens a page, "miniprogram" opens one. Not with sub.
    key: For "click": what the handlers receive.
    url: For "view"; for "miniprogram" the page shown where mini programs do not run.
    appid: For "miniprogram": its AppID.
    pagepath: For "miniprogram": its page.
    sub: Up to 5 buttons below, the same keys without sub.
    """

    name: Annotated[str, byte_text(60)]
    type: Literal["click", "view", "miniprogram", ""] = ""
    key: Annotated[str, byte_text(128)] = ""
    url: Annotated[str, byte_text(1024)] = ""
    appid: Annotated[str, APPID] = ""
    pagepath: Annotated[str, byte_text(1024)] = ""
    sub: Annotated[tuple[MenuButton, ...], BUTTONS] = ()

    def as_wechat(self) -> dict[str, Any]:
        """The button as WeChat's menu/create takes it."""
        if self.sub:
            return {"name": self.name, "sub_button": [button.as_wechat() for button in self.sub]}
        named = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in named if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One account zhiqun answers for; its webhook is /hook/NAME.

    kind: An official account (公众号).
    account: 服务号 or 订阅号: they may call different APIs.
    verified: Whether WeChat verified (认证) the account: only then may it send customer-service
        messages.
    app_id: AppID, from the console's 基本配置. Required.
    app_secret: AppSecret, for WeChat's API. Required.
    token: The token you chose in the console; it signs every request. Required.
    encoding_aes_key: EncodingAESKey: the messages are encrypted with it. Required unless mode
        is "plain".
    previous_encoding_aes_key: The key before, for the minutes after you changed it: accepted,
        and answered with.
    mode: As in the console. "safe" refuses unencrypted posts; "plain" lets anyone who learns
        one signed URL forge messages.
    api_base: WeChat's API. Another base for a sandbox, a proxy or tests.
    api_timeout_s: How long one API call may take.
    late: How an answer over the deadline arrives: as a customer-service message, or in WeChat's
        retries and then on 继续. "auto": the first for a verified account, the second otherwise.
    oauth: Whether a link opened inside WeChat may ask who opens it (网页授权, snsapi_base). For a
        verified service account whose console names the host of server.public_url as 网页授权域名.
    owners: Openids that may do everything. None: `zhiqun serve` prints a one-time claim code.
    menu: The menu under the chat, put up by the operator's /menu push.
    """

    name: str
    kind: Literal["official"] = "official"
    account: Literal["service", "subscription"] = "service"
    verified: bool = True
    app_id: Annotated[str, Key(APPID, '"wx0123456789abcdef"')]
    app_secret: Annotated[
        Secret, Key(secret(r"[\x21-\x7e]{8,128}", "an AppSecret"), '"env:ZHIQUN_MP_SECRET"')
    ]
    token: Annotated[
        Secret,
        Key(secret(r"[A-Za-z0-9]{3,32}", "3 to 32 letters and digits"), '"env:ZHIQUN_MP_TOKEN"'),
    ]
    encoding_aes_key: Annotated[Secret | None, Key(AES_KEY, '"env:ZHIQUN_MP_AES_KEY"')] = None
    previous_encoding_aes_key: Annotated[
        Secret | None, Key(AES_KEY, '"env:ZHIQUN_MP_AES_KEY_OLD"')
    ] = None
    mode: Literal["safe", "compatible", "plain"] = "safe"
    api_base: Annotated[str, BASE] = "https://api.weixin.qq.com"
    api_timeout_s: Annotated[float, number(0.5, 60)] = 10.0
    late: Literal["auto", "customer-service", "retry"] = "auto"
    oauth: bool = False
    owners: Annotated[tuple[str, ...], many(OPENID)] = ()
    menu: Annotated[tuple[MenuButton, ...], BUTTONS] = ()

    def __post_init__(self) -> None:
        if self.late == "auto":  # resolved here, so that nobody else has to know the rule
            late = "customer-service" if self.verified else "retry"
            object.__setattr__(self, "late", late)
