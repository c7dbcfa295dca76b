"""Follow, unfollow, scan, menu clicks, and events from the platform."""

from __future__ import annotations

import pytest

from tests.handlers.conftest import CHANNEL, Conversation


async def test_a_new_follower_is_welcomed_by_the_business(talk: Conversation) -> None:
    said = await talk.happen("subscribe")
    assert "欢迎来到知行社" in said
    assert "「帮助」" in said
    assert talk.handler == "welcome"
    member = await talk.store.members.meet(CHANNEL, "o_lin", talk.at)
    assert member.followed


async def test_who_comes_back_is_welcomed_back(talk: Conversation) -> None:
    await talk.happen("subscribe")
    assert await talk.happen("unsubscribe") == ""
    assert not (await talk.store.members.meet(CHANNEL, "o_lin", talk.at)).followed
    assert await talk.happen("subscribe") == talk.texts("welcome.back")
    assert talk.handler == "welcome.back"


async def test_a_first_follow_that_runs_twice_is_still_a_first(talk: Conversation) -> None:
    said = await talk.happen("subscribe", crash_first=True)
    assert "欢迎来到知行社" in said


async def test_a_follow_by_qr_code_notes_the_scene(talk: Conversation) -> None:
    assert "欢迎来到知行社" in await talk.happen("subscribe", "spring" * 50)
    assert talk.item.startswith("scene:spring")
    assert len(talk.item) <= 70


async def test_a_scan_is_answered_and_noted(talk: Conversation) -> None:
    assert await talk.happen("scan", "shelf-7") == talk.texts("welcome.scan")
    assert (talk.handler, talk.item) == ("scan", "scene:shelf-7")


async def test_somebody_unknown_who_leaves_is_no_fault(talk: Conversation) -> None:
    assert await talk.happen("unsubscribe") == ""


@pytest.mark.parametrize(
    ("key", "begins", "handler"),
    [
        ("courses", "这些内容可以学", "content.list"),
        ("Courses", "这些内容可以学", "content.list"),
        ("help", "我能帮你做这些", "help"),
        ("mydata", "这里是我们保存的你的资料", "privacy.data"),
        ("我的订阅", "你现在没有订阅任何话题", "topics"),
        ("topics", "可以订阅的话题", "topics"),
        ("search", "想找什么", "content.search"),
        ("more", "没有待看的回答", "rest"),
        ("human", "→transfer", "human"),
        ("帮助", "我能帮你做这些", "help"),
        ("订阅 直播", "已订阅「直播」", "topics.on"),
        ("搜索 写作", "和「写作」有关", "content.search"),
    ],
)
async def test_a_click_does_what_its_word_does(
    talk: Conversation, key: str, begins: str, handler: str
) -> None:
    assert (await talk.happen("click", key)).startswith(begins)
    assert talk.handler == handler


@pytest.mark.parametrize("key", ["", "nothing", "怎么退款", "/stats", "确认", "{name}", "]]>"])
async def test_a_key_that_means_nothing_says_so(talk: Conversation, key: str) -> None:
    await talk.promote("o_lin")
    assert await talk.happen("click", key) == talk.texts("menu.unknown")


async def test_a_chat_that_waits_after_a_code_was_scanned_gets_a_word(talk: Conversation) -> None:
    assert await talk.happen("scancode_waitmsg", "ticket") == talk.texts("menu.unknown")


@pytest.mark.parametrize(
    "event",
    [
        "kf_create_session",
        "kf_close_session",
        "masssendjobfinish",
        "templatesendjobfinish",
        "publishjobfinish",
        "location",
        "view",
        "user_info_modified",
        "something_new",
        "",
    ],
)
async def test_other_events_are_taken_without_an_answer(talk: Conversation, event: str) -> None:
    message = talk.message(event="x")
    object.__setattr__(message, "event", event)
    assert await talk.hear(message) == ""


async def test_a_revoked_consent_forgets_the_sender_whom_it_names(talk: Conversation) -> None:
    await talk.say("订阅 直播")
    number = await talk.member()
    assert await talk.happen("user_authorization_revoke", OpenID="o_lin") == ""
    assert talk.ctx is not None
    assert talk.ctx.erased
    assert await talk.store.members.card(number) is None
    assert await talk.interactions() == []
    [row] = await talk.store.audit.newest()
    assert (row.action, row.target) == ("member.revoked", f"member:{number}")
    assert "o_lin" not in repr(row)


async def test_a_revoke_sent_by_the_platform_forgets_whom_it_names(talk: Conversation) -> None:
    await talk.say("你好", who="o_wang")
    number = await talk.member("o_wang")
    await talk.happen("user_authorization_cancellation", who="platform", OpenID="o_wang")
    assert talk.ctx is not None
    assert not talk.ctx.erased
    assert await talk.store.members.card(number) is None


@pytest.mark.parametrize("raw", [{}, {"OpenID": None}, {"OpenID": ""}, {"OpenID": ["o_lin"]}])
async def test_a_revoke_that_names_nobody_forgets_nobody(
    talk: Conversation, raw: dict[str, object]
) -> None:
    await talk.say("订阅 直播")
    assert await talk.hear(talk.message(event="user_authorization_revoke", raw=raw)) == ""
    assert talk.ctx is not None
    assert not talk.ctx.erased
    assert await talk.store.members.card(await talk.member()) is not None
    assert await talk.store.audit.newest() == []


async def test_a_revoke_on_one_channel_leaves_the_same_id_on_another(talk: Conversation) -> None:
    other = await talk.store.members.meet("other", "o_wang", talk.at)
    number = await talk.member("o_wang")
    await talk.happen("user_authorization_revoke", who="platform", OpenID="o_wang")
    assert await talk.store.members.card(number) is None
    assert await talk.store.members.card(other.id) is not None


async def test_a_revoke_for_nobody_we_know_changes_nothing(talk: Conversation) -> None:
    assert await talk.happen("user_authorization_revoke", who="platform", OpenID="o_x") == ""
    assert await talk.store.audit.newest() == []
