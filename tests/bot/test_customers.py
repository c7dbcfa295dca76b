"""A company's customer contact: what a call says, and what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.client import Unheard, Unreachable
from bot.customers import CODES, Customers, CustomersRefused, CustomerWay, ended
from bot.errcodes import Action
from bot.qyapi import NO_ANSWER
from bot.rules import Secret
from sandbox.fake_customers import ASK, CANCEL, GET, GETTOKEN, LIST, REMIND, RESULT, TASK, UPLOAD
from scheduler.customer_groups import Asked
from scheduler.sending import End, Sent
from store.customer_members import Person
from store.customer_messages import Attachment, CustomerMessage, message_to_json
from store.customer_tasks import Result
from tests.bot.customer_world import NOON, PNG, World, world

FIXTURES = Path(__file__).parents[3] / "shared/fixtures/wechat/api"
WORDS = CustomerMessage("今晚八点直播")


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "zhiqun.db") as one:
        yield one


async def picture(there: World) -> int:
    """A picture in the store; its number."""
    await there.store.assets.put("cover", PNG, now=NOON, by="cli")
    found = await there.store.assets.get("cover")
    assert found is not None
    return found.id


# Groups


async def test_a_list_is_read_to_its_last_page(there: World) -> None:
    assert await there.client.groups() == []
    for number in range(7):
        there.wecom.group(f"g{number}", "zhang")
    there.wecom.page = 3
    assert await there.client.groups() == [f"g{number}" for number in range(7)]
    assert there.host.calls[LIST] == 4


async def test_a_group_tells_its_people_with_their_names(there: World) -> None:
    there.wecom.group("g", "zhang", " 学习\n群 ")
    there.wecom.join("g", "wm1", "小林", unionid="u1")
    found = await there.client.group("g")
    assert found is not None
    assert (found.name, found.owner) == ("学习 群", "zhang")
    assert found.people == (Person("zhang", "zhang", NOON), Person("wm1", "小林", NOON, "u1"))
    there.wecom.dissolve("g")
    assert await there.client.group("g") is None


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"group_chat": []},
        {"group_chat": {"name": "群"}},
        {"group_chat": {"member_list": "everybody"}},
    ],
)
async def test_an_answer_without_members_is_no_empty_group(there: World, answer: Any) -> None:
    there.host.add("POST", GET, lambda call: answer)
    with pytest.raises(Unheard):
        await there.client.group("g")


async def test_odd_members_are_taken_as_far_as_they_go(there: World) -> None:
    rows: list[Any] = [
        {"userid": "wm1", "join_time": "soon", "name": ["no"], "unionid": 7},
        {"userid": "", "join_time": 1},
        {"userid": ["x"]},
        "wm2",
        {"userid": "wm3", "join_time": -5, "name": "小\x00\u2028林" + "长" * 99},
        {"userid": "wm4", "join_time": 5, "name": "甲", "group_nickname": "乙"},
    ]
    there.host.add("POST", GET, lambda call: {"group_chat": {"member_list": rows}})
    found = await there.client.group("g")
    assert found is not None
    assert [one.external_id for one in found.people] == ["wm1", "wm3", "wm4"]
    assert found.people[0] == Person("wm1", "", 0.0)
    assert found.people[1].joined_at == 0.0
    assert len(found.people[1].name) == 64
    assert found.people[2].name == "乙"


@pytest.mark.parametrize(
    "answer",
    [{"group_chat_list": {}}, {"group_chat_list": [], "next_cursor": "again"}],
)
async def test_a_list_that_never_ends_is_not_heard(there: World, answer: Any) -> None:
    there.host.add("POST", LIST, lambda call: answer)
    with pytest.raises(Unheard):
        await there.client.groups()
    assert there.host.calls[LIST] <= 2


# Tasks


async def test_a_task_names_its_sender_its_groups_and_what_is_said(there: World) -> None:
    there.wecom.group("g1", "zhang")
    there.wecom.group("g2", "li")
    number = await picture(there)
    message = CustomerMessage(
        "今晚八点直播",
        (
            Attachment("link", "题" * 99, "https://e.com/1", "说明", "https://e.com/1.png"),
            Attachment("image", asset_id=number),
            Attachment("miniprogram", "小店", app_id="wx1", page="p/1", asset_id=number),
        ),
    )
    asked = await there.client.ask("zhang", ["g1", "g2"], message)
    assert asked == Asked(next(iter(there.wecom.tasks)), ("g2",))
    body = there.wecom.tasks[asked.msgid].body
    assert body["chat_type"] == "group"
    assert body["sender"] == "zhang"
    assert body["chat_id_list"] == ["g1", "g2"]
    assert body["text"] == {"content": "今晚八点直播"}
    link, image, program = body["attachments"]
    assert len(link["link"]["title"].encode()) <= 128
    assert link["link"]["picurl"] == "https://e.com/1.png"
    media_id = image["image"]["media_id"]
    assert there.wecom.media[media_id] == PNG
    assert program["miniprogram"]["pic_media_id"] == media_id
    assert there.host.calls[UPLOAD] == 1, "one picture goes up once"


async def test_a_picture_that_wecom_lost_goes_up_again_once(there: World) -> None:
    there.wecom.group("g", "zhang")
    number = await picture(there)
    message = CustomerMessage(attachments=(Attachment("image", asset_id=number),))
    await there.client.ask("zhang", ["g"], message)
    there.wecom.media.clear()
    await there.client.ask("zhang", ["g"], message)
    assert (there.host.calls[UPLOAD], there.host.calls[ASK]) == (2, 3)
    assert len(there.wecom.tasks) == 2


@pytest.mark.parametrize(
    ("chat_ids", "message"),
    [
        ([], WORDS),
        ([f"g{n}" for n in range(2001)], WORDS),
        (["g"], CustomerMessage()),
        (["g"], CustomerMessage(attachments=(Attachment("image", asset_id=404),))),
    ],
)
async def test_what_cannot_be_said_is_not_asked_for(
    there: World, chat_ids: list[str], message: CustomerMessage
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await there.client.ask("zhang", chat_ids, message)
    assert there.host.calls[ASK] == 0


async def test_an_answer_without_a_task_is_not_heard(there: World) -> None:
    there.host.add("POST", ASK, lambda call: {"fail_list": []})
    with pytest.raises(Unheard):
        await there.client.ask("zhang", ["g"], WORDS)


async def test_results_are_those_of_each_group(there: World) -> None:
    for number in range(5):
        there.wecom.group(f"g{number}", "zhang")
    asked = await there.client.ask("zhang", [f"g{n}" for n in range(5)], WORDS)
    assert not await there.client.confirmed(asked.msgid, "zhang")
    assert not await there.client.confirmed(asked.msgid, "somebody")
    there.wecom.dissolve("g1")
    there.wecom.employee_sends("g2")
    there.wecom.employee_confirms("zhang")
    there.wecom.page = 2
    assert await there.client.confirmed(asked.msgid, "zhang")
    assert await there.client.results(asked.msgid, "zhang") == [
        Result("g0", "sent", NOON),
        Result("g1", "gone", None),
        Result("g2", "quota", None),
        Result("g3", "sent", NOON),
        Result("g4", "sent", NOON),
    ]
    assert there.host.calls[RESULT] == 3


async def test_states_that_nobody_knows_are_waited_for(there: World) -> None:
    rows: list[Any] = [
        {"chat_id": "a", "status": 9},
        {"chat_id": "b", "status": [1]},
        {"chat_id": "c", "status": "1", "send_time": "x"},
        {"status": 1},
        None,
    ]
    there.host.add("POST", RESULT, lambda call: {"send_list": rows})
    assert await there.client.results("m", "zhang") == [
        Result("a", "waiting", None),
        Result("b", "waiting", None),
        Result("c", "sent", None),
    ]


async def test_a_task_is_reminded_of_and_taken_back(there: World) -> None:
    there.wecom.group("g", "zhang")
    asked = await there.client.ask("zhang", ["g"], WORDS)
    for _ in range(3):
        await there.client.remind(asked.msgid)
    with pytest.raises(CustomersRefused) as refused:
        await there.client.remind(asked.msgid)
    assert refused.value.errcode == 45009
    await there.client.cancel(asked.msgid)
    assert there.wecom.employee_confirms("zhang") == 0
    assert (there.host.calls[REMIND], there.host.calls[CANCEL]) == (4, 1)


# The token


async def test_many_calls_share_one_token_and_a_restart_uses_it_too(there: World) -> None:
    await asyncio.gather(*(there.client.groups() for _ in range(20)))
    assert there.host.calls[GETTOKEN] == 1
    assert await there.store.tokens.get("kehu") is not None
    again = _client(there)
    await again.groups()
    assert there.host.calls[GETTOKEN] == 1


def _client(there: World) -> Customers:
    return Customers(
        "kehu",
        there.wecom.corp_id,
        Secret(there.wecom.secret),
        session=there.client._api._session,
        tokens=there.store.tokens,
        quota=there.store.quota,
        files=there.store.assets,
        now=there.clock,
        api_base=there.host.api_base,
    )


@pytest.mark.parametrize("errcode", [40014, 42001])
async def test_a_token_that_ended_is_replaced_once(there: World, errcode: int) -> None:
    await there.client.groups()
    there.wecom.end_tokens()
    there.wecom.token_refusals = [errcode]
    assert await asyncio.gather(*(there.client.groups() for _ in range(10))) == [[]] * 10
    assert there.wecom.tokens == 2
    assert there.host.calls[GETTOKEN] == 2


async def test_a_new_token_that_is_refused_as_well_is_an_error(there: World) -> None:
    await there.client.groups()
    there.wecom.end_tokens()
    there.wecom.token_refusals = [42001, 42001, 42001]
    with pytest.raises(CustomersRefused) as refused:
        await there.client.groups()
    assert refused.value.action is Action.REFRESH_TOKEN
    assert there.host.calls[LIST] == 3
    assert ended(refused.value).end is End.LATER


async def test_a_refused_token_that_wecom_hands_out_again_is_not_tried_again(there: World) -> None:
    await there.client.groups()
    there.wecom.token_refusals = [40014, 40014]
    with pytest.raises(CustomersRefused):
        await there.client.groups()
    assert there.host.calls[LIST] == 2
    assert there.wecom.tokens == 1


async def test_a_token_is_fetched_before_it_ends(there: World) -> None:
    await there.client.groups()
    there.clock.at += 7200 - 299
    there.wecom.end_tokens()
    await there.client.groups()
    assert (there.wecom.tokens, there.host.calls[LIST]) == (2, 2)


async def test_wrong_credentials_are_a_matter_of_the_configuration(there: World) -> None:
    there.wecom.secret = "another"
    with pytest.raises(CustomersRefused) as refused:
        await there.client.check_credentials()
    assert refused.value.action is Action.CONFIG
    assert "客户联系" in str(refused.value)
    sent = await CustomerWay(there.client).groups()
    assert isinstance(sent, Sent)
    assert (sent.end, sent.errcode) == (End.STOP, 40001)
    assert "secret" in sent.chat


async def test_an_address_that_is_not_allowed_is_named(there: World) -> None:
    there.wecom.ips = ()
    with pytest.raises(CustomersRefused, match=r"203\.0\.113\.9"):
        await there.client.groups()


async def test_no_token_means_that_nothing_left(there: World) -> None:
    there.host.faults = lambda call: "lost" if call.path == GETTOKEN else ""
    with pytest.raises(Unreachable):
        await there.client.ask("zhang", ["g"], WORDS)
    assert there.host.calls[ASK] == 0


# How calls end


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ("busy", End.LATER),
        ("500", End.UNKNOWN),
        ("cut", End.UNKNOWN),
        ("lost", End.UNKNOWN),
        ("broken", End.UNKNOWN),
        ("huge", End.UNKNOWN),
    ],
)
async def test_whether_a_task_was_made_is_never_guessed(there: World, fault: str, end: End) -> None:
    there.wecom.group("g", "zhang")
    there.host.faults = lambda call: fault if call.path == ASK else ""
    sent = await CustomerWay(there.client).ask("zhang", ["g"], message_to_json(WORDS))
    assert isinstance(sent, Sent)
    assert sent.end is end
    assert there.host.calls[ASK] == 1, "never twice by itself"


async def test_an_answer_that_takes_too_long_is_not_heard(tmp_path: Path) -> None:
    async with world(tmp_path / "zhiqun.db", timeout_s=0.15) as there:
        there.wecom.group("g", "zhang")
        there.host.hang_s = 1.0
        there.host.faults = lambda call: "hang" if call.path == ASK else ""
        way = CustomerWay(there.client)
        sent = await way.ask("zhang", ["g"], message_to_json(WORDS))
        assert isinstance(sent, Sent)
        assert sent.end is End.UNKNOWN
        assert len(there.wecom.tasks) == 1


async def test_an_upload_that_nobody_heard_of_has_asked_for_nothing(there: World) -> None:
    there.wecom.group("g", "zhang")
    body = message_to_json(
        CustomerMessage(attachments=(Attachment("image", asset_id=await picture(there)),))
    )
    there.host.faults = lambda call: "lost" if call.path == UPLOAD else ""
    sent = await CustomerWay(there.client).ask("zhang", ["g"], body)
    assert isinstance(sent, Sent)
    assert sent.end is End.LATER
    there.host.faults = lambda call: ""
    assert isinstance(await CustomerWay(there.client).ask("zhang", ["g"], body), Asked)


async def test_each_call_says_how_it_failed_and_raises_nothing(there: World) -> None:
    way = CustomerWay(there.client, ["zhang"])
    assert way.senders == {"zhang"}
    there.host.faults = lambda call: "500" if call.path not in (GETTOKEN, TASK) else ""
    ends = [
        await way.groups(),
        await way.group("g"),
        await way.remind("m"),
        await way.cancel("m"),
        await way.results("m", "zhang"),
        await way.ask("zhang", ["g"], "no json"),
        await way.ask("zhang", ["g"], '{"text": "", "attachments": [{"kind": "link"}]}'),
    ]
    kinds = [one.end for one in ends if isinstance(one, Sent)]
    unknown, refused = End.UNKNOWN, End.REFUSED
    assert kinds == [unknown, unknown, unknown, unknown, refused, refused, refused]


async def test_a_closed_session_sends_nothing(there: World) -> None:
    await there.client.groups()
    await there.client._api._session.close()
    sent = await CustomerWay(there.client).ask("zhang", ["g"], message_to_json(WORDS))
    assert isinstance(sent, Sent)
    assert sent.end is End.LATER


@pytest.mark.parametrize(
    ("errcode", "end"),
    [(45009, End.LATER), (60011, End.STOP), (41048, End.REFUSED), (987654, End.REFUSED)],
)
def test_each_code_has_its_end_and_says_so_in_chinese(errcode: int, end: End) -> None:
    error = CustomersRefused("externalcontact/add_msg_template", errcode, "bad\x00 thing")
    assert ended(error).end is end
    assert str(errcode) in error.chat
    assert ended(error).pace_s == (60.0 if errcode == 45009 else 0.0)


def test_every_code_says_what_to_do_to_operators_and_in_the_log() -> None:
    for errcode, code in CODES.items():
        error = CustomersRefused("externalcontact/x", errcode)
        assert code.todo.partition("{")[0] in str(error)
        assert str(errcode) in error.chat


async def test_secrets_are_in_no_error_no_log_and_no_metric(
    there: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await there.client.groups()
    held = await there.store.tokens.get("kehu")
    assert held is not None
    hidden = (there.wecom.secret, held[0])
    texts = []
    for fault in ("500", "cut", "lost", "broken", "busy"):
        there.host.faults = lambda call, fault=fault: fault  # type: ignore[misc]
        with contextlib.suppress(Exception):
            await there.client.groups()
        try:
            await there.client.ask("zhang", ["g"], WORDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            texts.append("".join(traceback.format_exception(error)))
    there.host.faults = lambda call: ""
    there.wecom.token_refusals = [40014, 40014]
    try:
        await there.client.groups()
    except CustomersRefused as error:
        texts.append("".join(traceback.format_exception(error)) + error.errmsg + error.chat)
    assert len(texts) == 6
    everything = "".join(texts) + caplog.text + str(there.calls)
    assert not [one for one in hidden if one in everything]
    assert (LIST, NO_ANSWER) in there.calls
    assert (LIST, 0) in there.calls


# Shared fixtures


def _fixture(name: str) -> Any:
    path = FIXTURES / name
    if not path.exists():
        pytest.skip("the shared fixtures (../shared/fixtures/wechat) are not next to the project")
    return json.loads(path.read_text("utf-8"))


async def test_the_shared_answers_are_understood(there: World) -> None:
    listed = _fixture("work_externalcontact_groupchat_list.json")
    token = _fixture("work_gettoken.json")
    made = _fixture("work_externalcontact_add_msg_template.json")
    cursor = listed["next_cursor"]
    there.host.add("GET", GETTOKEN, lambda call: token)
    there.host.add(
        "POST",
        LIST,
        lambda call: {"group_chat_list": []} if call.json.get("cursor") == cursor else listed,
    )
    there.host.add("POST", ASK, lambda call: made)
    wanted = [one["chat_id"] for one in listed["group_chat_list"]]
    assert await there.client.groups() == wanted
    asked = await there.client.ask("zhang", ["g"], WORDS)
    assert asked == Asked(made["msgid"], tuple(made["fail_list"]))
    held = await there.store.tokens.get("kehu")
    assert held == (token["access_token"], NOON + token["expires_in"])
