"""The chat texts: complete, overridable, and deaf to what members type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.texts import MAX_FILE_BYTES, MAX_TEXT_BYTES, Texts, TextsError

ROOMS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts.load()


def override(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "my-texts.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def filled(texts: Texts, key: str, value: str = "值") -> str:
    return texts(key, **dict.fromkeys(texts.placeholders(key), value))


def test_every_text_fits_into_one_message_and_fills(texts: Texts) -> None:
    assert len(texts.keys()) > 100
    for key in texts.keys():  # noqa: SIM118 - Texts is not a mapping
        said = filled(texts, key)
        assert 0 < len(said.encode()) <= MAX_TEXT_BYTES, key
        assert "{" not in said, key
        assert said == said.strip(), key


def test_the_welcome_names_everything_a_member_can_do(texts: Texts) -> None:
    for word in ("课程", "搜索 关键词", "订阅", "转人工", "我的数据", "帮助"):
        assert f"「{word}」" in texts("welcome.follow", business="知行社")


def test_values_of_any_kind_are_filled_in(texts: Texts) -> None:
    assert texts("faq.unsure_item", number=2, question="怎么退款") == "2. 怎么退款"


@pytest.mark.parametrize(
    "typed",
    ["{title}", "{query}", "{0.__class__}", "]]>", "%s %(a)s", r"\1 \g<0>", "{{}}", "{"],
)
def test_what_a_member_typed_is_never_read_as_a_template(texts: Texts, typed: str) -> None:
    assert texts("content.search_head", query=typed).startswith(f"和「{typed}」有关")
    item = texts("content.item", number=1, title=typed, kind="课程", price="免费")
    assert item == f"1. {typed}（课程，免费）"


def test_an_override_replaces_its_texts_and_leaves_the_others(tmp_path: Path, texts: Texts) -> None:
    path = override(
        tmp_path,
        '[topics]\nsubscribed = "好，「{topic}」订上了。{topic}有新内容会说。"\n'
        '[faq]\nunknown = """\n这题我先记下。\n"""\n',
    )
    own = Texts.load(path)
    assert own("topics.subscribed", topic="写作") == "好，「写作」订上了。写作有新内容会说。"
    assert own("faq.unknown") == "这题我先记下。"
    assert own("help.member") == texts("help.member")
    assert own.keys() == texts.keys()


def test_an_override_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = override(tmp_path, b"\xef\xbb\xbf[welcome]\r\nscan = '''\r\n" + "一\r\n二'''".encode())
    assert Texts.load(path)("welcome.scan") == "一\n二"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[faq]\nunknow = "不会"', r"faq\.unknow: no such text; did you mean faq\.unknown\?"),
        ('[wellcome]\nfollow = "你好"', r"did you mean welcome\.follow\?"),
        ('[zzzz]\nqqqq = "你好"', r"zzzz\.qqqq: no such text; see handlers/texts\*\.toml"),
        ('[topics]\nalready = "订过了"', r"topics\.already: missing \{topic\}"),
        ('[topics]\nalready = "{topci}订过"', r"missing \{topic\}; unknown \{topci\}"),
        ('[faq]\nunknown = "{name}不会"', r"unknown \{name\} \(this text has no placeholders"),
        ('[topics]\nalready = "{topic.__class__}"', r"topics\.already: .*missing \{topic\}"),
        ('[topics]\nalready = "{topic} {topic!r}"', r"topics\.already: a brace"),
        ('[faq]\nunknown = "哈 :-}"', r"faq\.unknown: a brace"),
        ('[faq]\nunknown = "  "', r"faq\.unknown: the text is blank"),
        ('[faq]\nunknown = "a\\u0000b"', r"faq\.unknown: holds a control character"),
        (f'[faq]\nunknown = "{"字" * 683}"', r"faq\.unknown: 2049 bytes; shorten it to 2048"),
        ("[faq]\nunknown = 5", r"faq\.unknown: a text is a quoted string"),
        ('[faq.unknown]\na = "b"', r"faq\.unknown: a text is a quoted string"),
        ('unknown = "不会"', r"unknown: a text belongs under a \[section\]"),
        ("[faq\n", r"my-texts\.toml: not valid TOML"),
        (f"[faq]\nunknown = {'9' * 5000}", r"my-texts\.toml: not valid TOML"),
        ("[faq]\nunknown = " + "[" * 100_000, r"my-texts\.toml: not valid TOML"),
        (b'[faq]\nunknown = "\xff"', r"my-texts\.toml: not UTF-8 at byte 17"),
        (b"#" * (MAX_FILE_BYTES + 1), r"my-texts\.toml: larger than"),
    ],
)
def test_a_wrong_override_is_refused_by_name(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(TextsError, match=says):
        Texts.load(override(tmp_path, content))


def test_a_text_of_exactly_the_limit_is_accepted(tmp_path: Path) -> None:
    longest = "字" * 682 + "ab"
    path = override(tmp_path, f'[faq]\nunknown = "{longest}"')
    assert Texts.load(path)("faq.unknown") == longest


def test_a_missing_override_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextsError, match=r"nowhere\.toml: cannot be read"):
        Texts.load(tmp_path / "nowhere.toml")
    with pytest.raises(TextsError, match="cannot be read"):
        Texts.load(tmp_path)


def test_a_call_with_the_wrong_values_is_our_mistake_and_says_so(texts: Texts) -> None:
    with pytest.raises(TextsError, match=r"topics\.already: missing \{topic\}"):
        texts("topics.already")
    with pytest.raises(TextsError, match=r"missing \{topic\}; unknown \{name\}"):
        texts("topics.already", name="写作")
    with pytest.raises(TextsError, match=r"unknown \{topic\}"):
        texts("topics.none", topic="写作")
    with pytest.raises(TextsError, match=r"did you mean topics\.none"):
        texts("topics.non")


def calls(source: str) -> Iterator[tuple[int, str, set[str], bool]]:
    """Every `texts("key", name=…)` in a module: line, key, names, whether `**` is used."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else None
        if isinstance(node.func, ast.Name):
            called = node.func.id
        key = node.args[0]
        if called not in ("texts", "_texts") or not isinstance(key, ast.Constant):
            continue
        names = {word.arg for word in node.keywords if word.arg is not None}
        yield node.lineno, str(key.value), names, len(names) < len(node.keywords)


def misused(source: str, texts: Texts) -> list[str]:
    return [
        f"line {line}: {key} {sorted(names)}"
        for line, key, names, more in calls(source)
        if key not in texts.keys()  # noqa: SIM118
        or not names <= texts.placeholders(key)
        or (not more and names != texts.placeholders(key))
    ]


def test_the_check_of_our_own_calls_sees_mistakes(texts: Texts) -> None:
    assert misused('ctx.texts("topics.already", topic=t); texts("faq.unknown")', texts) == []
    assert misused('self._texts("operator.stats", **counts)', texts) == []
    assert misused('ctx.texts("topics.already")', texts) == ["line 1: topics.already []"]
    assert misused('texts("faq.unknow")', texts) == ["line 1: faq.unknow []"]
    assert misused('texts("faq.unknown", a=1, **b)', texts) == ["line 1: faq.unknown ['a']"]


def test_every_text_our_code_asks_for_exists_with_these_placeholders(texts: Texts) -> None:
    wrong = {
        path.relative_to(ROOMS).as_posix(): mistakes
        for room in ("handlers", "bot", "scheduler", "sandbox")
        for path in (ROOMS / room).rglob("*.py")
        if (mistakes := misused(path.read_text("utf-8"), texts))
    }
    assert wrong == {}
