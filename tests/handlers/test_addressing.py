"""What in a group is meant for the bot; and that chatter never is."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import KEYWORD_RULES, ROUTERS
from handlers.addressing import Address, GroupSpeech, command_in, wanted, without_names
from handlers.message import Message, Talk
from handlers.router import folded
from store.groups import Group, GroupRules
from tests.handlers.conftest import day
from tests.handlers.in_group import group

NOON = day("2026-11-21") + 12 * 3600
NIGHT = day("2026-11-21") + 23 * 3600
SPEECH = GroupSpeech(names=("小知", "小知二号"), commands=frozenset({"group", "stats"}))


def said(text: str, *, who: str = "u1", kind: Any = "text", **talk: Any) -> Message:
    return Message(
        "qun", "bot", who, kind, int(NOON), "0" * 32, text, source="onebot", talk=Talk("1", **talk)
    )


def heard(
    message: Message,
    where: Group | None = None,
    speech: GroupSpeech = SPEECH,
    now: float = NOON,
    **more: Any,
) -> tuple[str, str] | None:
    """(why, text), None for what is not for the bot."""
    found = wanted(message, where or group(), speech, now=now, **more)
    return None if found is None else (found.why, found.text)


@pytest.mark.parametrize(
    ("typed", "is_heard"),
    [
        ("@小知 怎么退款", "怎么退款"),
        ("@小知\u2005怎么退款？", "怎么退款？"),
        ("＠小知，怎么退款", "怎么退款"),
        ("怎么退款 @小知", "怎么退款"),
        ("怎么退款@小知", "怎么退款"),
        ("@小知二号 在吗", "在吗"),
        ("@小知", ""),
        ("@张三 @小知 怎么退款", "怎么退款"),
        ("怎么退款", "怎么退款"),
        ("@小知 小知，怎么退款", "怎么退款"),
        ("@小知 /stats", "/stats"),
        ("@小知 @ 是什么意思", "是什么意思"),
        ("", ""),
    ],
)
def test_a_mention_is_heard_without_the_name(typed: str, is_heard: str) -> None:
    assert heard(said(typed, addressed=True)) == ("mention", is_heard)


def test_a_name_nobody_configured_is_left_out_when_the_platform_says_it_is_ours() -> None:
    unnamed = replace(SPEECH, names=())
    assert heard(said("@助手 怎么退款", addressed=True), speech=unnamed) == ("mention", "怎么退款")
    assert heard(said("@助手", addressed=True), speech=unnamed) == ("mention", "")
    assert heard(said("@助手 怎么退款"), speech=unnamed) is None


def test_a_quote_of_the_bots_message_is_heard() -> None:
    message = said("2", addressed=True, quotes="m1", quotes_who="bot")
    assert heard(message) == ("quote", "2")
    assert heard(said("2", quotes="m1", quotes_who="u2")) is None


@pytest.mark.parametrize(
    ("typed", "is_heard"),
    [
        ("小知 怎么退款", "怎么退款"),
        ("小知，怎么退款？", "怎么退款？"),
        ("小知", ""),
        ("小知？", ""),
        ("小知怎么退款", None),
        ("小知识分享", None),
        ("我问过小知 了", None),
        ("！怎么退款", None),
    ],
)
def test_a_prefix_needs_a_pause_behind_it(typed: str, is_heard: str | None) -> None:
    assert heard(said(typed)) == (None if is_heard is None else ("prefix", is_heard))


@pytest.mark.parametrize(
    ("typed", "is_heard"),
    [
        ("@小知 可以退款吗", "可以退款吗"),
        ("＠小知，可以退款吗", "可以退款吗"),
        ("@小知二号 在吗", "在吗"),
        ("@小知", ""),
        ("@小知识 分享", None),
        ("@张三 小知 在吗", None),
        ("@ 小知", None),
        ("问 @小知 就行", None),
    ],
)
def test_an_at_typed_by_hand_calls_as_a_prefix_does(typed: str, is_heard: str | None) -> None:
    assert heard(said(typed)) == (None if is_heard is None else ("prefix", is_heard))
    assert heard(said(typed, mentions=("u2",))) is None, "a namesake is mentioned"


def test_of_what_is_pasted_only_the_beginning_is_heard() -> None:
    found = heard(said("@小知 " + "请问" * 5000, addressed=True))
    assert found == ("mention", "请问" * 250)
    push = "/group push 1 " + "长" * 900
    assert heard(said(push, addressed=True)) == ("mention", push)


def test_a_thousand_names_in_front_take_no_time() -> None:
    typed = "@a " * 6666
    began = time.process_time()
    assert without_names(typed, ("小知", "小知二号"), True) == "@a"
    assert without_names(typed + "在吗", ("小知",), True) == "在吗"
    assert time.process_time() - began < 1.0


def test_a_prefix_of_signs_needs_words_behind_it() -> None:
    speech = replace(SPEECH, prefixes=("#", "Bot"))
    assert heard(said("#怎么退款"), speech=speech) == ("prefix", "怎么退款")
    assert heard(said("bot: hi"), speech=speech) == ("prefix", "hi")
    for typed in ("#", "##", "#!", "# ", "robot hi", "bottle"):
        assert heard(said(typed), speech=speech) is None, typed


@pytest.mark.parametrize(
    "typed", ["/group list", "／group list", "/ group list", "/GROUP list", "/stats"]
)
def test_a_slash_is_heard_with_a_command_that_there_is(typed: str) -> None:
    assert heard(said(typed)) == ("command", typed)


@pytest.mark.parametrize("typed", ["/:rose", "/签到", "/groupies", "/s", "/", "//group", "1/group"])
def test_other_slashes_are_chatter(typed: str) -> None:
    assert heard(said(typed)) is None


def test_a_command_is_no_prefix_where_the_operator_took_the_slash_away() -> None:
    assert heard(said("/stats"), speech=replace(SPEECH, prefixes=("小知",))) is None


def test_a_keyword_is_heard_alone_and_said_rather_than_asked() -> None:
    assert heard(said("签到")) == ("keyword", "签到")
    assert heard(said("签到。")) == ("keyword", "签到。")
    assert heard(said("排行榜")) == ("keyword", "排行榜")
    for typed in ("签到？", "我签到了", "签 到", "今天签到", "帮助", "课程", "你好", "谢谢", "1"):
        assert heard(said(typed)) is None, typed


def test_a_keyword_said_to_somebody_is_not_for_the_bot() -> None:
    assert heard(said("签到", mentions=("u2",))) is None
    assert heard(said("签到", everyone=True)) is None
    assert heard(said("签到", quotes="m1", quotes_who="u2")) is None


def test_keywords_can_be_off_for_all_or_for_one_group() -> None:
    off, on = group(rules=GroupRules(keywords=False)), group(rules=GroupRules(keywords=True))
    silent = replace(SPEECH, keywords=False)
    assert heard(said("签到"), off) is None
    assert heard(said("签到"), speech=silent) is None
    assert heard(said("签到"), on, silent) == ("keyword", "签到")
    assert heard(said("签到", addressed=True), off) == ("mention", "签到")


def test_in_quiet_hours_only_who_turns_to_the_bot_is_heard() -> None:
    quiet = group(rules=GroupRules(quiet="22:00-08:00"))
    assert heard(said("签到"), quiet, now=NIGHT) is None
    assert heard(said("签到"), quiet, now=NOON) == ("keyword", "签到")
    assert heard(said("小知 在吗"), quiet, now=NIGHT) == ("prefix", "在吗")
    assert heard(said("在吗", addressed=True), quiet, now=NIGHT) == ("mention", "在吗")
    assert heard(said("/stats"), quiet, now=NIGHT) == ("command", "/stats")


def test_a_muted_bot_hears_the_desk_alone() -> None:
    muted = group(rules=GroupRules(muted_until=NOON + 1))
    for message in (said("怎么退款", addressed=True), said("签到"), said("/stats")):
        assert heard(message, muted) is None
    assert heard(said("/group mute off"), muted) == ("command", "/group mute off")
    assert heard(said("签到"), muted, now=NOON + 1) == ("keyword", "签到")


@pytest.mark.parametrize("where", [group(bound_at=None), group(left_at=2.0)])
def test_where_it_is_not_bound_the_bot_hears_that_it_is_to_be(where: Group) -> None:
    for message in (said("怎么退款", addressed=True), said("签到"), said("/group list")):
        assert heard(message, where) is None
    assert heard(said("/group bind vip"), where) == ("command", "/group bind vip")
    found = wanted(said("@小知 /group bind", addressed=True), None, SPEECH, now=NOON)
    assert found == Address("command", "/group bind")
    assert wanted(said("签到"), None, SPEECH, now=NOON) is None


def test_programs_are_never_heard() -> None:
    speech = replace(SPEECH, bots=frozenset({"qun:u9"}))
    assert heard(said("签到", who="bot")) is None
    assert heard(said("签到", who="u9", addressed=True), speech=speech) is None
    assert heard(said("签到", who="u8"), speech=speech) is not None


def test_events_pictures_and_what_is_private_are_not_asked() -> None:
    assert heard(said("", kind="event", addressed=True)) is None
    assert heard(said("", kind="image")) is None
    assert heard(said("", kind="image", addressed=True)) == ("mention", "")
    assert heard(replace(said("签到"), talk=None)) is None


def test_letters_are_answers_only_while_a_quiz_is_on() -> None:
    for typed in ("B", "2", "ac", "ACD"):
        assert heard(said(typed), quiz_on=True) == ("answer", typed), typed
        assert heard(said(typed)) is None, typed
    for typed in ("666", "88", "bad", "b?", "好", "我选什么"):
        assert heard(said(typed), quiz_on=True) is None, typed
    assert heard(said("B", mentions=("u2",)), quiz_on=True) is None


@given(st.text(max_size=40), st.booleans(), st.booleans())
def test_chatter_never_calls_the_bot(text: str, mentions: bool, quotes: bool) -> None:
    found = wanted(
        said(
            text,
            mentions=("u2",) if mentions else (),
            quotes="m1" if quotes else "",
            quotes_who="u2",
        ),
        group(),
        SPEECH,
        now=NOON,
    )
    begins = without_names(text, SPEECH.names).startswith("小知")
    commands = bool(command_in(without_names(text, SPEECH.names), SPEECH.commands)[0])
    keyword = KEYWORD_RULES.take(folded(without_names(text, SPEECH.names)))
    assert found is None or begins or commands or keyword


CHATTER = st.lists(
    st.sampled_from(
        [
            *"今天的课好难啊哈嗯一二1AB？！。 @/#",
            *("签到", "打卡", "小知", "帮助", "退款", "怎么", "积分", "排行榜", "group", "@张三 "),
        ]
    ),
    min_size=2,
    max_size=8,
).map("".join)


@given(CHATTER)
def test_words_of_ours_among_others_call_nobody(text: str) -> None:
    found = wanted(said(text), group(), SPEECH, now=NOON)
    if found is None:
        return
    bare = without_names(text, SPEECH.names)
    if found.why == "keyword":
        assert any(folded(bare) in rule.words for router in ROUTERS for rule in router.rules)
    elif found.why == "prefix":
        assert bare == "小知" or bare[2] in " ，。？！,?!"
    else:
        assert found.why == "command"
        assert bare.replace(" ", "").startswith("/group")


@given(st.text(alphabet="@＠小知 \u2005,，ab张三", max_size=16), st.booleans())
def test_no_call_of_ours_is_left_in_front(text: str, addressed: bool) -> None:
    bare = without_names(text, ("小知",), addressed)
    assert not bare.startswith(("@小知 ", "＠小知 ", "@小知，"))
    assert len(bare) <= len(text)
