"""What the bot says through a gateway: to whom, how fast, and what is known of its end."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.client import Refused, Unheard, Unreachable, WeChatError
from bot.errcodes import Action as Todo
from bot.late import LateAnswers
from handlers.message import Article, Reply
from sandbox.fake_gateway import Faults, Said
from store.messages import Finished, Incoming, Late
from store.posts import Post
from tests.bot.gateway_world import GROUP, LIN, WANG, World, send, world

LONG = "很长的回答。" * 200
BOSS = "wxid_boss"


def spoken(w: World) -> list[Said]:
    """What the bot said in the group."""
    return [one for one in w.fake.groups[GROUP].log if one.by_bot]


# Answers


@pytest.mark.parametrize("version", [12, 11])
@pytest.mark.parametrize("by_http", [True, False])
async def test_an_answer_quotes_the_question_and_names_who_asked(
    tmp_path: Path, version: int, by_http: bool
) -> None:
    async with world(tmp_path, version=version, by_http=by_http) as w:
        if not by_http:
            await w.connected()
        question = await w.fake.say(GROUP, LIN, "今天有券吗", mention_bot=True)
        await w.until(lambda: len(w.heard) == 1)
        await w.gateway.voice.carry(send("有的", quote=question.message_id), Reply.text("有的"))
        (answer,) = spoken(w)
        assert (answer.text, answer.quotes, answer.mentions) == (
            "有的",
            question.message_id,
            (LIN,),
        )


@pytest.mark.parametrize("version", [12, 11])
async def test_a_private_answer_goes_to_the_member_alone(tmp_path: Path, version: int) -> None:
    async with world(tmp_path, version=version) as w:
        await w.connected()
        await w.fake.whisper(LIN, "我的积分")
        await w.until(lambda: len(w.taken) == 1)
        await w.gateway.voice.carry(send("100 分", group=""), Reply.text("100 分"))
        assert [(one.text, one.by_bot) for one in w.fake.private[LIN]] == [
            ("我的积分", False),
            ("100 分", True),
        ]
        assert not spoken(w)


async def test_a_long_answer_is_several_messages_and_only_the_first_quotes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        await w.gateway.voice.carry(send(LONG, quote="7"), Reply.text(LONG))
        said = spoken(w)
        assert len(said) == 2
        assert "".join(one.text for one in said) == LONG
        assert [(one.quotes, one.mentions) for one in said] == [("7", (LIN,)), ("", ())]
        assert all(len(one.text.encode()) <= 2048 for one in said)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (
            Reply.news(Article("新课", "三天学会", "https://p.example/1", "https://s.example/1")),
            "新课\n三天学会\nhttps://s.example/1",
        ),
        (Reply.music("https://s.example/a.mp3", "晚安曲"), "晚安曲\nhttps://s.example/a.mp3"),
        (Reply.video("m1", "第一课"), "第一课"),
    ],
)
async def test_what_has_words_is_said_in_words(tmp_path: Path, reply: Reply, text: str) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        await w.gateway.voice.carry(send(reply), reply)
        assert [one.text for one in spoken(w)] == [text]


@pytest.mark.parametrize(
    "reply", [Reply.image("m1"), Reply.voice("m1"), Reply.none(), Reply.transfer(), Reply.text(" ")]
)
async def test_what_has_no_words_cannot_be_said(tmp_path: Path, reply: Reply) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        with pytest.raises(ValueError, match="words"):
            await w.gateway.voice.carry(send(reply), reply)
        assert not w.fake.actions


async def test_words_that_look_like_a_code_stay_words(tmp_path: Path) -> None:
    async with world(tmp_path, version=11) as w:
        await w.connected()
        await w.fake.say(GROUP, LIN, "在吗")
        await w.gateway.voice.carry(send("[CQ:at,qq=all]"), Reply.text("[CQ:at,qq=all]"))
        assert [(one.text, one.mentions) for one in spoken(w)] == [("[CQ:at,qq=all]", (LIN,))]


async def test_a_gateway_that_cannot_quote_still_gets_the_words(tmp_path: Path) -> None:
    async with world(tmp_path, faults=Faults(no_segments=("reply",))) as w:
        await w.connected()
        for text in ("一", "二"):
            await w.gateway.voice.carry(send(text, quote="7"), Reply.text(text))
        assert [(one.text, one.quotes) for one in spoken(w)] == [("一", ""), ("二", "")]
        assert len(w.fake.actions) == 3, "the second time it is not even asked"


@pytest.mark.parametrize("data_true", [False, True])
async def test_who_quotes_what_the_bot_said_speaks_to_it(tmp_path: Path, data_true: bool) -> None:
    async with world(tmp_path, faults=Faults(data_true=data_true, echoes_own=True)) as w:
        await w.connected()
        await w.gateway.voice.carry(send("答案"), Reply.text("答案"))
        await w.fake.say(GROUP, WANG, "真的吗", quote=spoken(w)[0].message_id)
        await w.until(lambda: len(w.heard) == 1)
        assert w.heard[0].text == "真的吗", "the bot does not hear itself"
        assert w.heard[0].talk is not None
        # A gateway that names no id of what was sent leaves it unknown whose message that was.
        assert w.heard[0].talk.addressed is not data_true


# Posts


async def test_a_post_gives_its_id(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        post = Post("text", "晚上八点直播", mentions=("@all", "tel:13800000000", WANG))
        message_id = await w.gateway.voice.post(GROUP, post)
        (said,) = spoken(w)
        assert (said.message_id, said.mentions) == (message_id, ("all", WANG))
        w.fake.faults.data_true = True
        assert await w.gateway.voice.post(GROUP, Post("text", "再说一次")) == ""


# What is known of the end


async def carried(w: World, text: str = "答案") -> WeChatError:
    with pytest.raises(WeChatError) as caught:
        await w.gateway.voice.carry(send(text), Reply.text(text))
    return caught.value


@pytest.mark.parametrize("by_http", [True, False])
@pytest.mark.parametrize(
    ("retcode", "action"),
    [
        (10002, Todo.PERMANENT),
        (10101, Todo.CONFIG),
        (34001, Todo.GIVE_UP),
        (36000, Todo.WAIT_MINUTE),
        (100, Todo.GIVE_UP),
        (-1, Todo.GIVE_UP),
    ],
)
async def test_a_refusal_says_its_code_and_what_to_do(
    tmp_path: Path, by_http: bool, retcode: int, action: Todo
) -> None:
    async with world(tmp_path, by_http=by_http, faults=Faults(retcode=retcode)) as w:
        if not by_http:
            await w.connected()
        error = await carried(w)
        assert isinstance(error, Refused)
        assert (error.errcode, error.action) == (retcode, action)
        assert str(error).startswith(f"send_message: {retcode}: ")
        assert str(retcode) in error.chat
        assert "答案" not in str(error)


@pytest.mark.parametrize("by_http", [True, False])
async def test_a_gateway_that_does_not_answer_leaves_it_unknown(
    tmp_path: Path, by_http: bool
) -> None:
    async with world(tmp_path, by_http=by_http, api_timeout_s=0.1) as w:
        if not by_http:
            await w.connected()
        w.fake.faults.no_answers = True
        assert isinstance(await carried(w), Unheard)
        assert len(spoken(w)) == 1, "it had done it"


async def test_a_connection_that_ends_in_the_middle_leaves_it_unknown(tmp_path: Path) -> None:
    async with world(tmp_path, faults=Faults(hang_up=True)) as w:
        await w.connected()
        assert isinstance(await carried(w), Unheard)
        assert isinstance(await carried(w), Unreachable)
        assert len(spoken(w)) == 1


async def test_without_a_gateway_nothing_leaves(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        error = await carried(w)
        assert isinstance(error, Unreachable)
        assert "/hook/qun" in str(error)
    async with world(tmp_path, by_http=True) as w:
        assert w.fake._runner is not None
        await w.fake._runner.cleanup()
        assert isinstance(await carried(w), Unreachable)


async def test_an_answer_of_which_only_a_part_left_is_not_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()

        def refuse_the_rest(said: Said) -> None:
            w.fake.faults.retcode = 34001

        w.fake.on_message(refuse_the_rest)
        error = await carried(w, LONG)
        assert isinstance(error, Unheard)
        assert "1 of 2 parts" in str(error)


async def test_answers_find_who_waits_for_them(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        voice = w.gateway.voice
        posts = [voice.post(GROUP, Post("text", f"{n}")) for n in range(20)]
        ids = await asyncio.gather(*posts)
        by_id = {one.message_id: one.text for one in spoken(w)}
        assert [by_id[one] for one in ids] == [f"{n}" for n in range(20)]


async def test_an_answer_is_found_behind_a_flood_of_events(tmp_path: Path) -> None:
    async with world(tmp_path, faults=Faults(answer_after_s=0.05)) as w:
        await w.connected()
        w.gate.clear()
        asking = asyncio.create_task(w.gateway.voice.post(GROUP, Post("text", "好")))
        await w.fake.until(lambda: len(w.fake.actions) == 1)
        for n in range(400):
            await w.fake.say(GROUP, LIN, f"{n}")
        assert await asking
        w.gate.set()
        await w.until(lambda: len(w.heard) == 400)


async def test_answers_that_nobody_asked_for_are_ignored(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.connected()
        echoes: list[Any] = ["1", None, [], "x" * 1000]
        for echo in echoes:
            lie = {"status": "ok", "retcode": 0, "data": {"message_id": "9"}, "echo": echo}
            await w.fake.send_raw(json.dumps(lie))
        assert await w.gateway.voice.post(GROUP, Post("text", "好")) == spoken(w)[0].message_id


ODD: list[tuple[int, Any, type[WeChatError]]] = [
    (500, {}, Unheard),
    (200, b"<html>", Unheard),
    (200, b"", Unheard),
    (200, {"retcode": "?"}, Unheard),
    (200, {"status": "ok", "retcode": 7}, Refused),
    (200, {"status": "maybe"}, Unheard),
    (200, b"[" * 5000, Unheard),
    (200, b" " * (2 << 20), Unheard),
    (302, {}, Unreachable),
    (401, {}, Refused),
    (403, {}, Refused),
    (404, {}, Refused),
    (429, {}, Refused),
    (402, {}, Unreachable),
]


async def test_odd_answers_by_http_are_never_taken_for_success(tmp_path: Path) -> None:
    async with world(tmp_path, by_http=True) as w:
        turn = iter(ODD)
        answer: tuple[int, Any] = (200, {})

        async def odd(request: web.BaseRequest) -> web.StreamResponse:
            status, body = answer
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            return web.Response(status=status, body=raw, headers={"Location": "/elsewhere"})

        runner = web.ServerRunner(web.Server(odd))
        await runner.setup()
        assert w.fake._runner is not None
        port = w.fake._runner.addresses[0][1]
        await w.fake._runner.cleanup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        for status, body, expected in turn:
            answer = (status, body)
            error = await carried(w)
            assert isinstance(error, expected), (status, body)
        await runner.cleanup()


async def test_twice_encoded_answers_are_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ws = await w.session.ws_connect(
            w.fake.webhook, headers={"Authorization": f"Bearer {w.fake.token}"}
        )
        await w.until(lambda: w.gateway.connected)
        asking = asyncio.create_task(w.gateway.voice.post(GROUP, Post("text", "好")))
        echo = json.loads((await ws.receive()).data)["echo"]
        answer = {"status": "ok", "retcode": 0, "data": {"message_id": 7}, "echo": echo}
        await ws.send_str(json.dumps(json.dumps(answer)))
        assert await asking == "7"
        await ws.close()


# The pace


async def test_no_more_leave_than_the_pace_allows(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=4, patience_s=0.1) as w:
        await w.connected()
        assert await w.gateway.voice.post(GROUP, Post("text", "好"))
        began = time.monotonic()
        error = await carried(w)
        assert isinstance(error, Unreachable)
        assert time.monotonic() - began < 5
        assert len(w.fake.actions) == 1


async def test_an_answer_waits_a_little_for_its_turn(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=600) as w:
        await w.connected()
        bucket = "gateway:qun"
        await w.store.paces.take(bucket, 600, 450, 150, time.time())
        began = time.monotonic()
        await w.gateway.voice.carry(send("好"), Reply.text("好"))
        assert 0.02 < time.monotonic() - began < 3


class Manners:
    """BOSS is an operator; nothing is said in groups that are hushed."""

    def __init__(self) -> None:
        self.why = ""

    def is_operator(self, user: str) -> bool:
        return user == BOSS

    def hushed(self, group: str, user: str) -> str:
        return self.why


async def empty(w: World, *, answers_only: bool = False) -> None:
    """The minute is spent."""
    if not answers_only:
        await w.store.paces.take("gateway:qun", 150, 450, 150, time.time())
    await w.store.paces.take("gateway:qun:answers", 112, 338, 112, time.time())


async def test_an_operator_in_private_goes_first_then_posts_then_answers(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=600) as w:
        await w.connected()
        voice = w.gateway.voice
        voice.manners = Manners()
        await empty(w)
        said: list[str] = []
        w.fake.on_message(lambda one: said.append(one.text) if one.by_bot else None)
        waiting = [
            asyncio.create_task(voice.carry(send(f"答{n}"), Reply.text(f"答{n}"))) for n in range(3)
        ]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(_posted(w, "帖")))
        await asyncio.sleep(0)
        boss = send("静音了", group="", to=BOSS)
        waiting.append(asyncio.create_task(voice.carry(boss, Reply.text("静音了"))))
        await asyncio.gather(*waiting)
        assert said == ["静音了", "帖", "答0", "答1", "答2"]


async def _posted(w: World, text: str) -> None:
    await w.gateway.voice.post(GROUP, Post("text", text))


async def test_answers_leave_a_quarter_of_the_minute_to_the_others(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=20, patience_s=0.8) as w:
        await w.connected()
        voice = w.gateway.voice
        voice.manners = Manners()
        for number in range(3):
            await voice.carry(send(f"{number}"), Reply.text(f"{number}"))
        assert isinstance(await carried(w), Unreachable), "three of the five at once"
        await _posted(w, "帖")
        await voice.carry(send("好", group="", to=BOSS), Reply.text("好"))
        assert len(w.fake.actions) == 5


async def test_a_group_that_was_muted_while_an_answer_waited_hears_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=600) as w:
        await w.connected()
        manners = Manners()
        w.gateway.voice.manners = manners
        await empty(w, answers_only=True)
        waiting = asyncio.create_task(carried(w))
        await asyncio.sleep(0)
        manners.why = "the group is muted"
        assert isinstance(await waiting, Unreachable)
        assert not w.fake.actions


async def test_who_stops_waiting_holds_nobody_up(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=600) as w:
        await w.connected()
        await empty(w)
        waiting = [asyncio.create_task(carried(w, f"{n}")) for n in range(3)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await _posted(w, "帖")
        assert [one.text for one in spoken(w)] == ["帖"]


# Order


@pytest.mark.parametrize("version", [12, 11])
async def test_members_are_silenced_and_removed_where_the_gateway_can(
    tmp_path: Path, version: int
) -> None:
    async with world(tmp_path, version=version) as w:
        await w.connected()
        await w.fake.say(GROUP, LIN, "广告")
        await w.until(lambda: len(w.heard) == 1)
        voice = w.gateway.voice
        await voice.silence(GROUP, LIN, 600)
        assert w.fake.groups[GROUP].silenced == {LIN: 600}
        await voice.recall("12")
        await voice.kick(GROUP, LIN)
        await w.until(lambda: w.heard[-1].event == "group_leave")
        assert LIN not in w.fake.groups[GROUP].members
        w.fake.faults.cannot = ("kick_group_member", "set_group_kick")
        with pytest.raises(Refused) as caught:
            await voice.kick(GROUP, WANG)
        assert caught.value.errcode == (10002 if version == 12 else 1404)
        assert "by hand" in str(caught.value)


# With the worker


async def test_the_worker_sends_an_answer_that_waited_for_the_gateway(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        outcomes: list[str] = []
        worker = LateAnswers(
            w.store,
            {},
            now=time.time,
            observe=lambda channel, outcome: outcomes.append(outcome),
            backoff_s=0.02,
            carriers={"qun": w.gateway.voice},
        )
        now, key = time.time(), b"q" * 16
        await w.store.members.meet("qun", LIN, now)
        await w.store.messages.record(Incoming(key, "qun", LIN, now, b""))
        row = send("有的", quote="7")
        late = Late(0, row.reply, "planned")._replace(place=row.place, quote=row.quote)
        await w.store.messages.finish(
            Finished(
                key=key,
                reply=b"success",
                at=now,
                channel="qun",
                sender=LIN,
                kind="text",
                text="?",
                handler="faq",
                item="",
                late=(late,),
            )
        )
        running = asyncio.create_task(worker.run())
        await w.until(lambda: "put_off" in outcomes)
        await w.connected()
        await w.until(lambda: outcomes[-1] == "sent")
        assert [(one.text, one.quotes) for one in spoken(w)] == [("有的", "7")]
        worker.close()
        await running
