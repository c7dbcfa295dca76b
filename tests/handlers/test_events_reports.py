"""What the platform reports: mass sends that ended, notices that arrived, permissions given."""

from __future__ import annotations

from typing import Any

import pytest

from store.dialect import Connection
from tests.handlers.conftest import CHANNEL, Conversation
from tests.store.campaign_world import begin, put

ADMIN = "oPlatformAdministrator000001"
FINISHED: dict[str, Any] = {
    "MsgID": "1000000001",
    "Status": "send success",
    "TotalCount": "3",
    "FilterCount": "2",
    "SentCount": "2",
    "ErrorCount": "0",
    "CopyrightCheckResult": None,
    "ArticleUrlResult": None,
}
PART = {
    "campaign_id": 1,
    "number": 1,
    "variant": "A",
    "route": "mass_list",
    "status": "accepted",
    "client_id": "zq-1-1",
    "fence": 1,
    "members": 3,
    "created_at": 0.0,
    "due_at": 0.0,
    "msg_id": "1000000001",
}


async def rows(talk: Conversation, sql: str) -> list[tuple[Any, ...]]:
    return await talk.store.db.read(lambda conn: [tuple(row) for row in conn.execute(sql)])


async def sent(talk: Conversation, table: str, **row: Any) -> None:
    def run(conn: Connection) -> None:
        begin(conn, (71, 72))
        put(conn, table, row)

    await talk.store.db.write(run)


async def test_the_end_of_our_own_mass_send(talk: Conversation) -> None:
    await sent(talk, "parts", **PART)
    assert await talk.happen("masssendjobfinish", who=ADMIN, crash_first=True, **FINISHED) == ""
    assert talk.handler == "report.mass"
    counts = "total_count, filter_count, sent_count, error_count"
    assert await rows(talk, f"select status, result, {counts} from parts") == [
        ("delivered", "send success", 3, 2, 2, 0)
    ]


@pytest.mark.parametrize("status", ["err(20008)", "send fail", "err(40001)"])
async def test_a_mass_send_that_failed_keeps_wechats_word(talk: Conversation, status: str) -> None:
    await sent(talk, "parts", **PART)
    await talk.happen("masssendjobfinish", who=ADMIN, **{**FINISHED, "Status": status})
    assert await rows(talk, "select status, result from parts") == [("refused", status)]


async def test_a_mass_send_from_elsewhere_counts_once(talk: Conversation) -> None:
    for _ in range(2):
        await talk.happen("masssendjobfinish", who=ADMIN, crash_first=True, **FINISHED)
    assert await rows(talk, "select msg_id, ours, sent_count, day from mass_sends") == [
        ("1000000001", 0, 2, "2026-11-21")
    ]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"MsgID": None, "Status": None},
        {**FINISHED, "SentCount": "many", "TotalCount": "-1", "FilterCount": "9" * 30},
        {**FINISHED, "MsgID": ["1", "2"], "Status": {"a": "b"}},
    ],
)
async def test_an_event_that_is_broken_breaks_nothing(
    talk: Conversation, raw: dict[str, Any]
) -> None:
    assert await talk.happen("masssendjobfinish", who=ADMIN, **raw) == ""
    assert talk.handler == "report.mass"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", ("delivered", "")),
        ("failed:user block", ("refused", "muted")),
        ("failed: system failed", ("refused", "error")),
        ("failed:freq limit", ("refused", "rate")),
    ],
)
async def test_the_end_of_a_template_message(
    talk: Conversation, status: str, expected: tuple[str, str]
) -> None:
    one = {"campaign_id": 1, "member_id": 71, "status": "accepted", "wechat_id": "200163836"}
    await sent(talk, "deliveries", **one)
    raw = {"MsgID": "200163836", "Status": status}
    await talk.happen("templatesendjobfinish", who="oTEST_71", crash_first=True, **raw)
    assert talk.handler == "report.notice"
    assert await rows(talk, "select status, reason from deliveries") == [expected]


async def test_the_end_of_subscription_notices(talk: Conversation) -> None:
    one = {"campaign_id": 1, "member_id": 71, "status": "accepted", "wechat_id": "17008"}
    await sent(talk, "deliveries", **one)
    row = {"TemplateId": "T1", "MsgID": "17008", "ErrorCode": "0", "ErrorStatus": "success"}
    raw: dict[str, Any] = {"SubscribeMsgSentEvent": {"List": row}}
    await talk.happen("subscribe_msg_sent_event", who="oTEST_71", **raw)
    assert await rows(talk, "select status from deliveries") == [("delivered",)]


def answer(template_id: str, status: str) -> dict[str, str]:
    return {"TemplateId": template_id, "SubscribeStatusString": status, "PopupScene": "2"}


@pytest.mark.parametrize("outer", [True, False], ids=["XML", "JSON"])
async def test_a_popup_allows_what_was_ticked(talk: Conversation, outer: bool) -> None:
    number = await talk.member()
    entries = {"List": [answer("T1", "accept"), answer("T2", "reject"), answer("T3", "accept")]}
    raw = {"SubscribeMsgPopupEvent": entries} if outer else entries
    assert await talk.happen("subscribe_msg_popup_event", crash_first=True, **raw) == ""
    assert await talk.store.notices.allowed(number) == {(CHANNEL, "T1"): 1, (CHANNEL, "T3"): 1}
    single: Any = {"List": answer("T1", "accept")}
    raw = {"SubscribeMsgPopupEvent": single} if outer else single
    await talk.happen("subscribe_msg_popup_event", **raw)
    assert (await talk.store.notices.allowed(number))[CHANNEL, "T1"] == 2


async def test_a_member_switches_notices_off(talk: Conversation) -> None:
    number = await talk.member()
    await talk.happen("subscribe_msg_popup_event", List=answer("T1", "accept"))
    change: dict[str, Any] = {"SubscribeMsgChangeEvent": {"List": answer("T1", "reject")}}
    await talk.happen("subscribe_msg_change_event", crash_first=True, **change)
    assert await talk.store.notices.allowed(number) == {(CHANNEL, "T1"): 0}


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"List": None},
        {"List": ["x", None, {}]},
        {"SubscribeMsgPopupEvent": None},
        {"SubscribeMsgPopupEvent": {"List": {"SubscribeStatusString": "accept"}}},
        {"List": {"TemplateId": ["a"], "SubscribeStatusString": "accept"}},
    ],
)
async def test_a_broken_popup_allows_nothing(talk: Conversation, raw: dict[str, Any]) -> None:
    number = await talk.member()
    for event in ("popup", "change", "sent"):
        assert await talk.happen(f"subscribe_msg_{event}_event", **raw) == ""
    assert await talk.store.notices.allowed(number) == {}


async def test_reports_are_nobodys_messages(talk: Conversation) -> None:
    lin = await talk.member()
    before = await rows(talk, "select * from identities")
    for event in (
        "masssendjobfinish",
        "templatesendjobfinish",
        "subscribe_msg_popup_event",
        "subscribe_msg_change_event",
        "subscribe_msg_sent_event",
        "publishjobfinish",
    ):
        for who in (ADMIN, "o_lin"):
            await talk.happen(event, who=who, **FINISHED, List=answer("T1", "accept"))
    assert await talk.interactions() == []
    assert await rows(talk, "select * from identities") == before, "nobody was met or seen"
    assert await rows(talk, "select id from members") == [(lin,)]
