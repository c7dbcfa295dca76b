"""One TOML file in, each room's own settings out; anything doubtful stops the start.

A key is described once, where its field stands (`bot/settings.py`): rule, default, and the
reason in the class's docstring. From there come the checks, `config.example.toml` and the tables of
docs/configuration.md (tests compare them). Secrets are never written in the file, only
where to find them. This room reads; it opens no port, no database and no connection.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bot.group_settings import (
    KINDS,
    CustomerSettings,
    GatewaySettings,
    GroupRobotSettings,
    GroupSettings,
    RobotSettings,
)
from bot.incentives import (
    CouponSettings,
    HonourSettings,
    MembershipSettings,
    PointSettings,
    ReferralSettings,
    problems,
)
from bot.insight_settings import InsightSettings, PrivacySettings, SentimentSettings
from bot.rec_settings import RecommendationSettings
from bot.rules import BUTTONS, Source, did_you_mean, keys
from bot.rules import Secret as Secret
from bot.settings import (
    BusinessSettings,
    CampaignSettings,
    ChannelSettings,
    HookSettings,
    InboxSettings,
    KnowledgeSettings,
    LinkSettings,
    LogSettings,
    MenuButton,
    ScheduleSettings,
    ServerSettings,
    StoreSettings,
    TextSettings,
)

__all__ = [
    "LOOPBACK",
    "RESERVED",
    "SECTIONS",
    "BusinessSettings",
    "CampaignSettings",
    "ChannelSettings",
    "Config",
    "ConfigError",
    "CouponSettings",
    "CustomerSettings",
    "GatewaySettings",
    "GroupRobotSettings",
    "GroupSettings",
    "HonourSettings",
    "HookSettings",
    "InboxSettings",
    "InsightSettings",
    "KnowledgeSettings",
    "LinkSettings",
    "LogSettings",
    "MembershipSettings",
    "MenuButton",
    "PointSettings",
    "PrivacySettings",
    "RecommendationSettings",
    "ReferralSettings",
    "RobotSettings",
    "ScheduleSettings",
    "Secret",
    "SentimentSettings",
    "ServerSettings",
    "StoreSettings",
    "TextSettings",
    "load",
]

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
RESERVED = frozenset({"unionid", "visitor", "click", "member"})
"""No names for channels: `store/aliases.py` has other meanings for them (a test compares)."""
T = TypeVar("T")


class ConfigError(Exception):
    """The configuration is wrong: each problem names the key and what to do.

    problems: one sentence each, in the order of the file; never a secret's value.
    """

    def __init__(self, *problems: str, source: str = "") -> None:
        self.problems = problems
        head = source or "configuration"
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        super().__init__("\n  ".join((f"{head}: {count}, nothing was started", *problems)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the file says, at least one channel when loaded from a file.

    channels: official accounts, by name; robots, group_robots, gateways, customers: the channels
    of the other kinds. A name is used once among all. warnings: what is allowed but unwise, one
    sentence each, to log at the start.
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    inbox: InboxSettings = field(default_factory=InboxSettings)
    log: LogSettings = field(default_factory=LogSettings)
    knowledge: KnowledgeSettings = field(default_factory=KnowledgeSettings)
    texts: TextSettings = field(default_factory=TextSettings)
    business: BusinessSettings = field(default_factory=BusinessSettings)
    links: LinkSettings = field(default_factory=LinkSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    coupons: CouponSettings = field(default_factory=CouponSettings)
    points: PointSettings = field(default_factory=PointSettings)
    honours: HonourSettings = field(default_factory=HonourSettings)
    referral: ReferralSettings = field(default_factory=ReferralSettings)
    membership: MembershipSettings = field(default_factory=MembershipSettings)
    campaigns: CampaignSettings = field(default_factory=CampaignSettings)
    groups: GroupSettings = field(default_factory=GroupSettings)
    sentiment: SentimentSettings = field(default_factory=SentimentSettings)
    insights: InsightSettings = field(default_factory=InsightSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    recommendations: RecommendationSettings = field(default_factory=RecommendationSettings)
    channels: Mapping[str, ChannelSettings] = field(default_factory=lambda: MappingProxyType({}))
    robots: Mapping[str, RobotSettings] = field(default_factory=lambda: MappingProxyType({}))
    group_robots: Mapping[str, GroupRobotSettings] = field(
        default_factory=lambda: MappingProxyType({})
    )
    gateways: Mapping[str, GatewaySettings] = field(default_factory=lambda: MappingProxyType({}))
    customers: Mapping[str, CustomerSettings] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, for the log's mask and nothing else."""
        every: tuple[Mapping[str, Any], ...] = (
            self.channels,
            self.robots,
            self.group_robots,
            self.gateways,
            self.customers,
        )
        return tuple(
            value.reveal()
            for channels in every
            for channel in channels.values()
            for f in fields(channel)
            if isinstance(value := getattr(channel, f.name), Secret)
        )


SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "server": ServerSettings,
        "store": StoreSettings,
        "inbox": InboxSettings,
        "log": LogSettings,
        "knowledge": KnowledgeSettings,
        "texts": TextSettings,
        "business": BusinessSettings,
        "links": LinkSettings,
        "hooks": HookSettings,
        "schedule": ScheduleSettings,
        "coupons": CouponSettings,
        "points": PointSettings,
        "honours": HonourSettings,
        "referral": ReferralSettings,
        "membership": MembershipSettings,
        "campaigns": CampaignSettings,
        "groups": GroupSettings,
        "sentiment": SentimentSettings,
        "insights": InsightSettings,
        "privacy": PrivacySettings,
        "recommendations": RecommendationSettings,
    }
)
_FOUND = {
    RobotSettings: "robots",
    GroupRobotSettings: "group_robots",
    GatewaySettings: "gateways",
    CustomerSettings: "customers",
}


# ---- reading ---------------------------------------------------------------------------


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The settings in the TOML file `path`; relative paths start at its folder.

    environ: where "env:NAME" looks, usually os.environ. Raises ConfigError with every
    problem found, not only the first; a missing or unreadable file is one of them.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        document = tomllib.loads(text)
    except FileNotFoundError:
        problem = "there is no such file: `zhiqun init` writes one"
        raise ConfigError(problem, source=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=str(path)) from None
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8: save the file as UTF-8"
        raise ConfigError(problem, source=str(path)) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"is not valid TOML: {error or 'nested too deeply'}"
        raise ConfigError(problem, source=str(path)) from None
    reading = _Reading(Source(environ, path.parent))
    config = reading.config(document)
    if reading.problems:
        raise ConfigError(*reading.problems, source=str(path))
    return config


class _Reading:
    """One pass over one document, collecting problems and warnings."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def config(self, document: dict[str, Any]) -> Config:
        self._unknown(document, (*SECTIONS, "channels"), "")
        rooms: dict[str, Any] = {}
        for name, cls in SECTIONS.items():
            room = self.table(cls, document.get(name, {}), name)
            rooms[name] = cls() if room is None else room
        rooms |= self.channels(document.get("channels", {}))
        config = Config(**rooms)
        if not self.problems:
            self._together(config)
        return replace(config, warnings=tuple(self.warnings))

    def table(self, cls: type[T], raw: Any, where: str, **given: Any) -> T | None:
        """A settings object from one TOML table; None when anything in it is wrong."""
        if not isinstance(raw, dict):
            self.problems.append(f"{where}: must be a table: write [{where}] above its keys")
            return None
        before = len(self.problems)
        known = keys(cls)
        self._unknown(raw, known, where)
        values = dict(given)
        for name, (key, default) in known.items():
            at = f"{where}.{name}"
            if name not in raw:
                if isinstance(default, Path):
                    values[name] = self.source.folder / default
                if default is MISSING:
                    self.problems.append(f"{at}: is missing: add {name} = {key.example or '…'}")
                continue
            if key.rule is BUTTONS:
                values[name] = self.buttons(raw[name], at, top=cls is not MenuButton)
                continue
            try:
                values[name] = key.rule.read(raw[name], self.source)
            except ValueError as error:
                self.problems.append(f"{at}: {error}")
        return cls(**values) if len(self.problems) == before else None

    def channels(self, raw: Any) -> dict[str, Mapping[str, Any]]:
        if not isinstance(raw, dict) or not raw:
            self.problems.append("channels: there is none: add a [channels.mp] table")
            return {}
        found: dict[str, dict[str, Any]] = {"channels": {}}
        for name, table in raw.items():
            where = f"channels.{name}"
            if not isinstance(table, dict):
                self.problems.append(
                    f"{where}: stands outside a channel: put it under [channels.mp]"
                )
            elif name in RESERVED:
                self.problems.append(f"{where}: the name means something else: choose another")
            elif not re.fullmatch(r"[a-z0-9-]{1,32}", name):
                what = "the name may hold a-z, 0-9 and -, at most 32: it is part of a URL"
                self.problems.append(f"{where}: {what}")
            else:
                kind = table.get("kind", "official")
                if kind != "official" and kind not in KINDS:
                    kinds = ", ".join(("official", *KINDS))
                    self.problems.append(f"{where}.kind: must be one of {kinds}")
                    continue
                cls = KINDS.get(kind, ChannelSettings)
                given = {"channel" if kind in KINDS else "name": name}
                channel = self.table(cls, table, where, **given)
                if channel is not None:
                    found.setdefault(_FOUND.get(cls, "channels"), {})[name] = channel
        return {kind: MappingProxyType(channels) for kind, channels in found.items()}

    def buttons(self, raw: Any, where: str, *, top: bool) -> tuple[MenuButton, ...]:
        limit, noun = (3, "at the top") if top else (5, "under one button")
        if not isinstance(raw, list):
            self.problems.append(f"{where}: must be a list of tables: write [[{where}]]")
            return ()
        if len(raw) > limit:
            self.problems.append(f"{where}: {len(raw)} buttons, WeChat allows {limit} {noun}")
        read = (self.table(MenuButton, item, f"{where}[{n}]") for n, item in enumerate(raw, 1))
        buttons = tuple(button for button in read if button is not None)
        for number_, button in enumerate(buttons, 1):
            for problem in _button_problems(button, top=top):
                self.problems.append(f"{where}[{number_}]: {problem}")
        return buttons

    def _unknown(self, raw: dict[str, Any], known: Iterable[str], where: str) -> None:
        known = tuple(known)
        for name in raw:
            if name not in known:
                at = f"{where}.{name}" if where else name
                noun = "key" if where or not isinstance(raw[name], dict) else "section"
                hint = did_you_mean(_nearest(name, known, where))
                self.problems.append(f"{at}: unknown {noun}{hint or ': remove it'}")

    def _together(self, config: Config) -> None:
        """What two keys mean together; only asked when each of them is right."""
        wrong, warn, server = self.problems.append, self.warnings.append, config.server
        if server.port and (server.bind, server.port) == (server.ops_bind, server.ops_port):
            wrong("server.ops_port: is server.port: the webhook and /metrics need one each")
        for other in ("port", "ops_port"):
            place = getattr(server, other.replace("port", "bind")), getattr(server, other)
            if server.api_port and (server.api_bind, server.api_port) == place:
                wrong(f"server.api_port: is server.{other}: each door needs a port of its own")
        if config.inbox.freshness_s > config.store.keep_messages_h * 3600:
            wrong(
                "inbox.freshness_s: is longer than store.keep_messages_h: a replay would be"
                " answered again; raise keep_messages_h"
            )
        answer_at, offer_at = config.knowledge.answer_at, config.knowledge.offer_at
        if answer_at is not None and offer_at is not None and offer_at > answer_at:
            wrong("knowledge.offer_at: is above knowledge.answer_at: nothing would be offered")
        if config.sentiment.model == "own" and config.sentiment.file is None:
            wrong('sentiment.file: is missing: name the file that "own" means')
        insights, privacy = config.insights, config.privacy
        if not insights.active_days <= insights.leaving_days < insights.lost_days:
            wrong("insights.leaving_days: must lie from active_days to below lost_days")
        if privacy.noise_each > privacy.noise_epsilon:
            wrong("privacy.noise_each: is above noise_epsilon: nothing could be published")
        self.problems += problems(config.referral, config.membership)
        seen: dict[str, str] = {}
        for name, channel in config.channels.items():
            at = f"channels.{name}"
            if first := seen.get(channel.app_id):
                wrong(f"{at}.app_id: is that of channels.{first}: an account has one webhook")
            seen.setdefault(channel.app_id, name)
            if channel.mode != "plain" and channel.encoding_aes_key is None:
                wrong(
                    f'{at}.encoding_aes_key: is missing: add encoding_aes_key = "env:…", the 43'
                    " characters in WeChat's console"
                )
            if channel.mode == "plain":
                warn(
                    f'{at}.mode: is "plain": whoever learns one signed URL can forge messages;'
                    ' choose 安全模式 in WeChat\'s console and mode = "safe" here'
                )
            if channel.oauth and not (channel.verified and channel.account == "service"):
                wrong(f"{at}.oauth: WeChat grants it to verified service accounts only: remove it")
            elif channel.oauth and not server.public_url:
                wrong(f"{at}.oauth: needs server.public_url, where WeChat sends people back to")
            if channel.late == "customer-service" and not channel.verified:
                warn(
                    f"{at}.late: an unverified account may not send customer-service messages"
                    ' (48001): late answers would be lost; use late = "retry"'
                )
            if _in_clear(channel.api_base):
                warn(f"{at}.api_base: sends the AppSecret over plain HTTP: use https://")
        self._group_channels(config)

    def _group_channels(self, config: Config) -> None:
        wrong, warn = self.problems.append, self.warnings.append
        if config.groups.spam_report_at > config.groups.spam_act_at:
            wrong("groups.spam_report_at: is above groups.spam_act_at: nothing would be reported")
        for name, gateway in config.gateways.items():
            at = f"channels.{name}"
            if not gateway.accept_risk:
                wrong(
                    f"{at}.accept_risk: WeChat forbids automated personal accounts and closes them"
                    " for ever: write accept_risk = true if you accept that, or remove the channel"
                )
            else:
                warn(f"{at}: automates a personal account, for which WeChat may close it for ever")
            if _in_clear(gateway.api_url):
                warn(f"{at}.api_url: sends the access token over plain HTTP: use https://")
        for name, customer in config.customers.items():
            at = f"channels.{name}"
            if (customer.token is None) is not (customer.encoding_aes_key is None):
                wrong(f"{at}.token: and encoding_aes_key belong together: add the other")
            if _in_clear(customer.api_base):
                warn(f"{at}.api_base: sends the secret over plain HTTP: use https://")
        bases = {name: one.api_base for name, one in config.robots.items()}
        bases |= {name: one.api_base for name, one in config.group_robots.items()}
        for name, base in bases.items():
            if _in_clear(base):
                warn(f"channels.{name}.api_base: sends a key over plain HTTP: use https://")


def _in_clear(address: str) -> bool:
    base = urlsplit(address)
    return base.scheme == "http" and base.hostname not in LOOPBACK


def _button_problems(button: MenuButton, *, top: bool) -> Iterator[str]:
    """What breaks WeChat's rules for the menu; `top`: it may hold other buttons."""
    if not button.name:
        yield "name: is empty"
    if top and len(button.name.encode()) > 16:
        yield "name: over 16 bytes (five Chinese characters) at the top: shorten it"
    if button.sub:
        if not top:
            yield "sub: WeChat's menu has two levels: move these buttons up"
        if button.type:
            yield "type: a button with sub only opens them: remove type, or sub"
        return
    needs = {"click": ("key",), "view": ("url",), "miniprogram": ("appid", "pagepath", "url")}
    if not button.type:
        yield 'type: is missing: add type = "click", "view" or "miniprogram"'
        return
    for name in ("key", "url", "appid", "pagepath"):
        wanted = name in needs[button.type]
        if wanted and not getattr(button, name):
            yield f'{name}: a "{button.type}" button needs it: add it'
        elif not wanted and getattr(button, name):
            yield f'{name}: a "{button.type}" button has none: remove it'


def _nearest(name: str, known: tuple[str, ...], where: str) -> Iterator[str]:
    """Likely meant keys, best first: the same name in another section, a close one here."""
    kinds = (("channels.NAME", cls) for cls in (ChannelSettings, *KINDS.values()))
    for section, cls in (*SECTIONS.items(), *kinds):
        if name in keys(cls) and section != where:
            yield f"{section}.{name}"
    yield from difflib.get_close_matches(name.lower().replace("-", "_"), known, 1)
