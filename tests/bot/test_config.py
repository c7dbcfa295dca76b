"""The configuration: what loads, what stops the start and with which words."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import time
from pathlib import Path

import pytest

from bot.config import Config, ConfigError, InboxSettings, Secret, load
from bot.example import example, schema, table
from store import aliases

ROOT = Path(__file__).parents[2]
ENVIRON = {
    "ZHIQUN_MP_SECRET": "s3cr3t-s3cr3t-s3cr3t",
    "ZHIQUN_MP_TOKEN": "tokentoken",
    "ZHIQUN_MP_AES_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "ZHIQUN_MP_AES_KEY_OLD": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg",
    "ZHIQUN_ROBOT_TOKEN": "robottoken",
    "ZHIQUN_ROBOT_AES_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "ZHIQUN_ROBOT_AES_KEY_OLD": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg",
    "ZHIQUN_POSTER_KEY": "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa",
    "ZHIQUN_GATEWAY_TOKEN": "gateway-token-of-24-signs",
    "ZHIQUN_GATEWAY_SECRET": "gateway-secret-of-25-sign",
    "ZHIQUN_CUSTOMERS_SECRET": "customers-secret",
    "ZHIQUN_CUSTOMERS_TOKEN": "customertoken",
    "ZHIQUN_CUSTOMERS_AES_KEY": "zyxwvutsrqponmlkjihgfedcba0123456789ABCDEFG",
}
CHANNEL = """
[channels.mp]
app_id = "wx0123456789abcdef"
app_secret = "env:ZHIQUN_MP_SECRET"
token = "env:ZHIQUN_MP_TOKEN"
encoding_aes_key = "env:ZHIQUN_MP_AES_KEY"
"""


def written(tmp_path: Path, text: str, *, channel: str = CHANNEL) -> Path:
    path = tmp_path / "zhiqun.toml"
    path.write_text(text + channel, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str, *, channel: str = CHANNEL) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text, channel=channel), ENVIRON)
    return caught.value.problems


def test_an_account_alone_is_enough_and_everything_else_has_a_default(tmp_path: Path) -> None:
    config = load(written(tmp_path, ""), ENVIRON)
    assert config.server.port == 8700
    assert config.inbox == InboxSettings()
    assert config.schedule.backup_at == time(4, 10)
    assert config.store.path == tmp_path / "data" / "zhiqun.db"
    channel = config.channels["mp"]
    assert (channel.kind, channel.mode, channel.late) == ("official", "safe", "customer-service")
    assert channel.token.reveal() == "tokentoken"
    assert config.warnings == ()


def test_the_example_file_loads_and_says_only_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, (ROOT / "config.example.toml").read_text("utf-8"), channel="")
    assert load(path, ENVIRON) == load(written(tmp_path, ""), ENVIRON)


def test_the_example_with_every_comment_lifted_loads_too(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^# (?=\[|\w+ = )", "", example())
    text = text.replace("accept_risk = false", "accept_risk = true")
    config = load(written(tmp_path, text, channel=""), ENVIRON)
    named = {line.split(" = ")[0] for line in text.splitlines() if re.match(r"\w+ = ", line)}
    assert named >= {key.path.rpartition(".")[2] for key in schema()} - {"menu", "sub"}
    assert config.knowledge.answer_at == 0.7
    assert [*config.robots, *config.group_robots] == ["robot", "poster"]
    assert [*config.gateways, *config.customers] == ["gateway", "customers"]
    assert [button.name for button in config.channels["mp"].menu] == ["找课程", "更多"]
    assert config.channels["mp"].menu[1].as_wechat() == {
        "name": "更多",
        "sub_button": [
            {"name": "官网", "type": "view", "url": "https://example.com/"},
            {
                "name": "小课堂",
                "type": "miniprogram",
                "url": "https://example.com/app",
                "appid": "wx0123456789abcdef",
                "pagepath": "pages/index",
            },
        ],
    }


def test_the_committed_example_is_the_generated_one() -> None:
    hint = "write bot.example.example() into config.example.toml"
    assert (ROOT / "config.example.toml").read_text("utf-8") == example(), hint


def test_every_key_has_a_reason_and_a_row_in_the_documentation() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for key in schema():
        assert key.why, f"{key.path} has no line in its class's docstring"
        assert table(key.path.rpartition(".")[0]) in text, f"the table with {key.path} is old"


def test_a_misspelt_key_names_the_right_one(tmp_path: Path) -> None:
    assert problems(tmp_path, "[server]\nprot = 1\n") == (
        "server.prot: unknown key; did you mean port?",
    )


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(tmp_path: Path) -> None:
    assert problems(tmp_path, "[server]\ndeadline_s = 4\n") == (
        "server.deadline_s: unknown key; did you mean inbox.deadline_s?",
    )
    assert problems(tmp_path, "drain_s = 4\n") == (
        "drain_s: unknown key; did you mean server.drain_s?",
    )


def test_a_misspelt_section_names_the_right_one(tmp_path: Path) -> None:
    text = CHANNEL.replace("channels", "channel")
    assert problems(tmp_path, "", channel=text) == (
        "channel: unknown section; did you mean channels?",
        "channels: there is none: add a [channels.mp] table",
    )


def test_several_problems_are_reported_together(tmp_path: Path) -> None:
    found = problems(tmp_path, '[server]\nport = "x"\nbnd = ""\n[inbox]\ndeadline_s = 9\n')
    assert [problem.split(":")[0] for problem in found] == [
        "server.bnd",
        "server.port",
        "inbox.deadline_s",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nport = true", "server.port: must be a whole number, 0 to 65535, not true"),
        ("[server]\nport = 70000", "server.port: must be a whole number, 0 to 65535, not 70000"),
        ("[server]\nport = 1.5", "server.port: must be a whole number, 0 to 65535, not 1.5"),
        ("[inbox]\ndeadline_s = nan", "inbox.deadline_s: must be a number, 0.5 to 4.5, not NaN"),
        ("[inbox]\ndeadline_s = 5", "inbox.deadline_s: must be a number, 0.5 to 4.5, not 5"),
        (
            '[log]\nlevel = "INFO"',
            'log.level: must be "debug" or "info" or "warning" or "error", not "INFO";'
            " did you mean info?",
        ),
        (
            '[schedule]\npurge_at = "24:00"',
            'schedule.purge_at: must be a time of day as "HH:MM", not "24:00"',
        ),
        (
            '[business]\ntopics = ["新课", "直播", "新课"]',
            'business.topics: names "新课" twice: keep one',
        ),
        ('[business]\ntopics = "新课"', 'business.topics: must be a list: ["…", "…"]'),
        ("server = 5", "server: must be a table: write [server] above its keys"),
        ('[store]\npath = ""', "store.path: must name a file"),
        (
            '[server]\npublic_url = "bot.example.com"',
            "server.public_url: must be a URL such as https://host or https://host/path:"
            ' "bot.example.com"',
        ),
        (
            "[server]\nops_port = 8700",
            "server.ops_port: is server.port: the webhook and /metrics need one each",
        ),
        (
            "[inbox]\nfreshness_s = 7200\n[store]\nkeep_messages_h = 1",
            "inbox.freshness_s: is longer than store.keep_messages_h: a replay would be"
            " answered again; raise keep_messages_h",
        ),
        (
            "[knowledge]\nanswer_at = 0.4\noffer_at = 0.6",
            "knowledge.offer_at: is above knowledge.answer_at: nothing would be offered",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text + "\n") == (problem,)


def test_a_literal_secret_is_refused_without_repeating_it(tmp_path: Path) -> None:
    channel = CHANNEL.replace("env:ZHIQUN_MP_SECRET", "0123456789abcdef0123456789abcdef")
    (found,) = problems(tmp_path, "", channel=channel)
    assert found.startswith("channels.mp.app_secret: secrets do not belong in this file")
    assert "0123456789abcdef" not in found


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, ""), {**ENVIRON, "ZHIQUN_MP_TOKEN": ""})
    assert caught.value.problems == (
        "channels.mp.token: the environment variable ZHIQUN_MP_TOKEN is not set:"
        " export ZHIQUN_MP_TOKEN=…",
    )


def test_a_secret_file_is_read_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"fromfile\r\n")
    channel = CHANNEL.replace("env:ZHIQUN_MP_TOKEN", "file:token")
    config = load(written(tmp_path, "", channel=channel), ENVIRON)
    assert config.channels["mp"].token == Secret("fromfile")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"x" * 5000, "is over 4096 bytes"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"no-token!", "not 3 to 32 letters and digits"),
    ],
)
def test_a_bad_secret_file_says_what_to_do(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    channel = CHANNEL.replace("env:ZHIQUN_MP_TOKEN", "file:token")
    (found,) = problems(tmp_path, "", channel=channel)
    assert found.startswith("channels.mp.token: ")
    assert words in found
    assert "no-token!" not in found


def test_a_wrong_aes_key_is_described_not_shown(tmp_path: Path) -> None:
    environ = {**ENVIRON, "ZHIQUN_MP_AES_KEY": "tooshort"}
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, ""), environ)
    assert "env:ZHIQUN_MP_AES_KEY holds 8 characters that are not 43" in str(caught.value)
    assert "tooshort" not in str(caught.value)


def test_secrets_never_print(tmp_path: Path) -> None:
    config = load(written(tmp_path, ""), ENVIRON)
    shown = f"{config!r} {config} {config.channels['mp'].token} {config.channels['mp'].token!s:>9}"
    assert not any(secret in shown for secret in ENVIRON.values())
    used = ("ZHIQUN_MP_SECRET", "ZHIQUN_MP_TOKEN", "ZHIQUN_MP_AES_KEY")
    assert set(config.secrets()) == {ENVIRON[name] for name in used}


def test_a_missing_app_id_shows_the_line_to_add(tmp_path: Path) -> None:
    channel = CHANNEL.replace('app_id = "wx0123456789abcdef"\n', "")
    assert problems(tmp_path, "", channel=channel) == (
        'channels.mp.app_id: is missing: add app_id = "wx0123456789abcdef"',
    )


def test_only_plain_mode_does_without_an_aes_key_and_warns(tmp_path: Path) -> None:
    channel = CHANNEL.replace('encoding_aes_key = "env:ZHIQUN_MP_AES_KEY"\n', "")
    (found,) = problems(tmp_path, "", channel=channel)
    assert found.startswith("channels.mp.encoding_aes_key: is missing")
    config = load(written(tmp_path, "", channel=channel + 'mode = "plain"\n'), ENVIRON)
    (warning,) = config.warnings
    assert warning.startswith('channels.mp.mode: is "plain"')


def test_an_unverified_account_answers_late_in_the_retries(tmp_path: Path) -> None:
    config = load(written(tmp_path, "", channel=CHANNEL + "verified = false\n"), ENVIRON)
    assert config.channels["mp"].late == "retry"
    forced = CHANNEL + 'verified = false\nlate = "customer-service"\n'
    config = load(written(tmp_path, "", channel=forced), ENVIRON)
    assert "48001" in config.warnings[0]


def test_a_plain_http_api_base_warns_unless_it_is_this_machine(tmp_path: Path) -> None:
    here = load(
        written(tmp_path, "", channel=CHANNEL + 'api_base = "http://127.0.0.1:9/"\n'), ENVIRON
    )
    assert (here.warnings, here.channels["mp"].api_base) == ((), "http://127.0.0.1:9")
    away = load(written(tmp_path, "", channel=CHANNEL + 'api_base = "http://proxy.lan"\n'), ENVIRON)
    assert "plain HTTP" in away.warnings[0]


def test_one_account_cannot_be_two_channels(tmp_path: Path) -> None:
    found = problems(tmp_path, CHANNEL.replace("mp]", "second]"))
    assert found == ("channels.mp.app_id: is that of channels.second: an account has one webhook",)


@pytest.mark.parametrize("name", ["MP", '"a/b"', "a" * 33, '""'])
def test_a_channel_name_that_is_no_url_part_is_refused(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, "", channel=CHANNEL.replace("mp]", f"{name}]"))
    assert "it is part of a URL" in found


@pytest.mark.parametrize("name", sorted(aliases.RESERVED))
def test_a_channel_name_that_means_something_else_is_refused(tmp_path: Path, name: str) -> None:
    """An identity "visitor:v1" must not be somebody's on a channel of that name."""
    (found,) = problems(tmp_path, "", channel=CHANNEL.replace("mp]", f"{name}]"))
    assert found == f"channels.{name}: the name means something else: choose another"


def test_links_lead_to_hosts_that_can_be(tmp_path: Path) -> None:
    good = '[links]\nallowed_hosts = ["shop.example.com", ".example.com"]\nclick_param = ""\n'
    assert load(written(tmp_path, good), ENVIRON).links.allowed_hosts[1] == ".example.com"
    for host in (
        "Shop.example.com",
        "https://shop.example.com",
        "shop",
        "a_b.example.com",
        "*.a.de",
    ):
        (found,) = problems(tmp_path, f'[links]\nallowed_hosts = ["{host}"]\n')
        assert "links.allowed_hosts" in found
    (found,) = problems(tmp_path, '[links]\nclick_param = "Z Q"\n')
    assert "links.click_param" in found


def test_oauth_needs_a_verified_service_account_and_an_address(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "", channel=CHANNEL + "oauth = true\n")
    assert "needs server.public_url" in found
    public = '[server]\npublic_url = "https://bot.example.com"\n'
    unverified = CHANNEL + "oauth = true\nverified = false\n"
    (found,) = problems(tmp_path, public, channel=unverified)
    assert "verified service accounts only" in found
    fine = written(tmp_path, public, channel=CHANNEL + "oauth = true\n")
    assert load(fine, ENVIRON).channels["mp"].oauth


def test_each_door_has_a_port_of_its_own(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "[server]\napi_port = 8700\n")
    assert found == "server.api_port: is server.port: each door needs a port of its own"


def test_channel_keys_outside_a_channel_are_explained(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, '[channels]\nkind = "official"\n')
    assert found == "channels.kind: stands outside a channel: put it under [channels.mp]"


BUTTON = '[[channels.mp.menu]]\nname = "{}"\ntype = "{}"\n{}\n'


@pytest.mark.parametrize(
    ("menu", "problem"),
    [
        (BUTTON.format("找课程", "click", ""), 'menu[1]: key: a "click" button needs it: add it'),
        (
            BUTTON.format("官网", "view", 'url = "https://x"\nkey = "k"'),
            'menu[1]: key: a "view" button has none: remove it',
        ),
        (
            BUTTON.format("一二三四五六", "click", 'key = "k"'),
            "menu[1]: name: over 16 bytes (five Chinese characters) at the top: shorten it",
        ),
        (
            BUTTON.format("a", "click", 'key = "k"') * 4,
            "menu: 4 buttons, WeChat allows 3 at the top",
        ),
        (
            BUTTON.format("a", "click", f'key = "{"k" * 129}"'),
            "menu[1].key: is 129 bytes in UTF-8, WeChat allows 128: shorten it",
        ),
        (
            '[[channels.mp.menu]]\nname = "a"\n',
            'menu[1]: type: is missing: add type = "click", "view" or "miniprogram"',
        ),
        (
            BUTTON.format("a", "clik", 'key = "k"'),
            'menu[1].type: must be "click" or "view" or "miniprogram", not "clik";'
            " did you mean click?",
        ),
        (
            BUTTON.format("a", "click", "")
            + '[[channels.mp.menu.sub]]\nname = "b"\ntype = "click"\nkey = "k"\n',
            "menu[1]: type: a button with sub only opens them: remove type, or sub",
        ),
    ],
)
def test_a_menu_wechat_would_refuse_stops_the_start(
    tmp_path: Path, menu: str, problem: str
) -> None:
    assert problems(tmp_path, "", channel=CHANNEL + menu) == (f"channels.mp.{problem}",)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="zhiqun init"):
        load(tmp_path / "none.toml", ENVIRON)


def test_a_broken_file_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 2"):
        load(written(tmp_path, "[server]\nport = \n", channel=""), ENVIRON)


def test_a_key_written_twice_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(written(tmp_path, "[server]\nport = 1\nport = 2\n", channel=""), ENVIRON)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zhiqun.toml"
    path.write_bytes('[business]\nname = "课程社区"\n'.encode("gbk"))
    with pytest.raises(ConfigError, match="save the file as UTF-8"):
        load(path, ENVIRON)


def test_a_byte_order_mark_and_windows_newlines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "zhiqun.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CHANNEL.replace("\n", "\r\n").encode())
    assert list(load(path, ENVIRON).channels) == ["mp"]


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    text = '[store]\npath = "db/x.db"\nbackup_dir = "/srv/backups"\n[texts]\nfile = "texts.toml"\n'
    config = load(written(tmp_path, text), ENVIRON)
    assert config.store.path == tmp_path / "db" / "x.db"
    assert config.store.backups == Path("/srv/backups")
    assert config.texts.file == tmp_path / "texts.toml"


def test_a_business_may_name_no_hours(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[business]\nhuman_hours = ""'), ENVIRON)
    assert config.business.human_hours == ""


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        Config().server.port = 1  # type: ignore[misc]


# Channels of groups

GATEWAY = """
[channels.qun]
kind = "onebot"
access_token = "env:ZHIQUN_GATEWAY_TOKEN"
"""


def test_a_gateway_to_a_personal_account_needs_the_operators_own_word(tmp_path: Path) -> None:
    assert problems(tmp_path, GATEWAY) == (
        "channels.qun.accept_risk: WeChat forbids automated personal accounts and closes them for"
        " ever: write accept_risk = true if you accept that, or remove the channel",
    )
    config = load(written(tmp_path, GATEWAY + "accept_risk = true\n"), ENVIRON)
    assert list(config.gateways) == ["qun"]
    assert list(config.channels) == ["mp"]
    assert any("for ever" in warning for warning in config.warnings)


def test_a_bot_may_live_in_groups_alone(tmp_path: Path) -> None:
    text = """
    [channels.helper]
    kind = "wecom"
    token = "env:ZHIQUN_ROBOT_TOKEN"
    encoding_aes_key = "env:ZHIQUN_ROBOT_AES_KEY"
    """
    config = load(written(tmp_path, text, channel=""), ENVIRON)
    assert not config.channels
    assert config.robots["helper"].receive_id == ""


def test_an_unknown_kind_of_channel_names_those_there_are(tmp_path: Path) -> None:
    found = problems(tmp_path, '[channels.qun]\nkind = "telegram"\n')
    assert found == (
        "channels.qun.kind: must be one of official, wecom, wecom-webhook, onebot, wecom-customers",
    )


def test_half_a_callback_of_customer_groups_is_no_callback(tmp_path: Path) -> None:
    text = """
    [channels.kehu]
    kind = "wecom-customers"
    corp_id = "ww0123456789abcdef"
    secret = "env:ZHIQUN_CUSTOMERS_SECRET"
    token = "env:ZHIQUN_CUSTOMERS_TOKEN"
    """
    assert problems(tmp_path, text) == (
        "channels.kehu.token: and encoding_aes_key belong together: add the other",
    )


def test_the_secrets_of_every_kind_are_masked_in_the_log(tmp_path: Path) -> None:
    config = load(written(tmp_path, GATEWAY + "accept_risk = true\n"), ENVIRON)
    assert ENVIRON["ZHIQUN_GATEWAY_TOKEN"] in config.secrets()
