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
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bot.incentives import (
    CouponSettings,
    HonourSettings,
    MembershipSettings,
    PointSettings,
    ReferralSettings,
    problems,
)
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
    "HonourSettings",
    "HookSettings",
    "InboxSettings",
    "KnowledgeSettings",
    "LinkSettings",
    "LogSettings",
    "MembershipSettings",
    "MenuButton",
    "PointSettings",
    "ReferralSettings",
    "ScheduleSettings",
    "Secret",
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
    """Everything the file says. channels: by name, at least one when loaded from a file.

    warnings: what is allowed but unwise, one sentence each, to log at the start.
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
    channels: Mapping[str, ChannelSettings] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, for the log's mask and nothing else."""
        return tuple(
            value.reveal()
            for channel in self.channels.values()
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
    }
)


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
        channels = self.channels(document.get("channels", {}))
        config = Config(**rooms, channels=MappingProxyType(channels))
        if not self.problems:
            self._together(config)
        return Config(**rooms, channels=config.channels, warnings=tuple(self.warnings))

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

    def channels(self, raw: Any) -> dict[str, ChannelSettings]:
        if not isinstance(raw, dict) or not raw:
            self.problems.append("channels: there is none: add a [channels.mp] table")
            return {}
        found: dict[str, ChannelSettings] = {}
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
            elif channel := self.table(ChannelSettings, table, where, name=name):
                found[name] = channel
        return found

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
            base = urlsplit(channel.api_base)
            if base.scheme == "http" and base.hostname not in LOOPBACK:
                warn(f"{at}.api_base: sends the AppSecret over plain HTTP: use https://")


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
    for section, cls in (*SECTIONS.items(), ("channels.NAME", ChannelSettings)):
        if name in keys(cls) and section != where:
            yield f"{section}.{name}"
    yield from difflib.get_close_matches(name.lower().replace("-", "_"), known, 1)
