"""A robot's answers: whole at once, grown while they are polled for, or pushed once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path

from aiohttp import ClientSession

from bot.parts import Outcome
from bot.streams import CLOSES_S, FETCH_S, LONGER_S, STILL_S
from handlers.message import Message, Option, Reply
from store.messages import Incoming
from store.streams import PUSH_WITHIN_S, NewStream
from tests import build_wecom
from tests.bot.wecom_world import SAYS, Desk, Qyapi, desk, taking

Said = Callable[[str], None]


class Slow:
    """A handler that answers when the test lets it."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.progress = ""

    async def __call__(self, message: Message, said: Said) -> Reply:
        if self.progress:
            said(self.progress)
        await self.go.wait()
        return Reply.text(f"答{message.text}")


async def begun(robot: Desk, words: str = "慢") -> str:
    """A slow answer's stream, its first frame seen."""
    frame = await robot.say(words)
    assert frame["stream"]["finish"] is False
    return str(frame["stream"]["id"])


async def whole(robot: Desk, slow: Slow) -> None:
    """Let the slow handler answer, and wait until that is written down."""
    slow.go.set()
    await robot.idle()


# --- in time --------------------------------------------------------------------------------


async def test_a_quick_answer_is_one_finished_stream_and_leaves_no_row(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        frame = await robot.say("怎么退款")
        key = frame["stream"]["id"]
        assert frame == {
            "msgtype": "stream",
            "stream": {
                "id": key,
                "finish": True,
                "content": "答怎么退款",
                "feedback": {"id": key},
            },
        }
        rows = await robot.store.db.read(
            lambda conn: conn.execute("select count(*) from streams").fetchone()
        )
        assert rows == (0,)


async def test_a_repeat_gets_the_same_answer_and_nothing_runs_twice(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        first = await robot.say("一", number="M1")
        assert await robot.say("一", number="M1") == first
        assert robot.runs == 1


async def test_all_replies_of_one_answer_are_one_text(tmp_path: Path) -> None:
    async def several(message: Message, said: Said) -> Outcome:
        return Outcome(Reply.text("甲" * 3000), "test", then=(Reply.text("乙"),))

    async with desk(tmp_path, several) as robot:
        frame = await robot.say("长")
        assert frame["stream"]["content"] == "甲" * 3000 + "\n\n乙"


async def test_in_a_group_the_group_is_bound_and_the_mention_noted(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        frame = await robot.say("@小助手 在吗", group=build_wecom.GROUP)
        assert frame["stream"]["content"] == "答在吗"
        group = robot.store.groups.known(f"robot:{build_wecom.GROUP}")
        assert group is not None
        assert group.bound
        await asyncio.sleep(0)
        assert [one.text for one in robot.noted] == ["在吗"]


async def test_a_note_that_fails_costs_no_answer(tmp_path: Path) -> None:
    async def failing(message: Message) -> None:
        raise RuntimeError

    async with desk(tmp_path) as robot:
        robot.door._note = failing
        frame = await robot.say("@小助手 在吗", group=build_wecom.GROUP)
        assert frame["stream"]["content"] == "答在吗"


async def test_entering_the_chat_is_welcomed_with_a_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        _, frame = await robot.post(build_wecom.event("enter_chat"))
        assert frame == {"msgtype": "text", "text": {"content": "答"}}


async def test_praise_is_taken_without_an_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        event = build_wecom.event("feedback_event", {"id": "1", "type": 1})
        assert await robot.post(event) == (200, {})
        assert robot.runs == 1


# --- growing --------------------------------------------------------------------------------


async def test_a_slow_answer_begins_in_time_grows_and_ends_whole(tmp_path: Path) -> None:
    slow = Slow()
    slow.progress = "正在查课程表"
    async with desk(tmp_path, slow) as robot:
        frame = await robot.say("慢")
        key = frame["stream"]["id"]
        said = [frame["stream"]["content"]]
        assert frame["stream"]["feedback"] == {"id": key}
        for wait in (0.0, STILL_S, LONGER_S - STILL_S):
            robot.now += wait
            polled = await robot.poll(key)
            assert (polled["finish"], "msg_item" in polled, "feedback" in polled) == (
                False,
                False,
                False,
            )
            said.append(polled["content"])
        assert said[-1].split("\n") == [
            SAYS.thinking,
            "正在查课程表",
            SAYS.still,
            SAYS.longer,
        ]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(said))
        await whole(robot, slow)
        last = await robot.poll(key)
        assert (last["finish"], last["content"]) == (True, "答慢")
        # A frame that got lost is asked for again.
        assert await robot.poll(key) == last
        assert robot.runs == 1


async def test_polls_are_never_messages(tmp_path: Path) -> None:
    slow = Slow()
    async with desk(tmp_path, slow) as robot:
        key = await begun(robot)
        for _ in range(5):
            await robot.poll(key)
        assert robot.runs == 1
        rows = await robot.store.db.read(
            lambda conn: conn.execute("select count(*) from messages").fetchone()
        )
        assert rows == (1,)


async def test_a_repeat_of_a_slow_question_joins_its_stream(tmp_path: Path) -> None:
    slow = Slow()
    async with desk(tmp_path, slow) as robot:
        first = await robot.say("慢", number="M1")
        assert await robot.say("慢", number="M1") == first
        await whole(robot, slow)
        again = await robot.say("慢", number="M1")
        assert (again["stream"]["finish"], again["stream"]["content"]) == (True, "答慢")
        assert robot.runs == 1
        assert await robot.row("due_at") is None, "what was asked for again is not pushed"


async def test_pictures_come_with_the_last_frame_only(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def drawn(message: Message, said: Said) -> Outcome:
        await go.wait()
        return Outcome(Reply.image("m1"), "test", then=(Reply.image("m2"), Reply.text("看图")))

    async with desk(tmp_path, drawn) as robot:
        robot.pictures["m1"] = b"\x89PNG picture"
        key = await begun(robot)
        assert "msg_item" not in await robot.poll(key)
        go.set()
        await robot.idle()
        last = await robot.poll(key)
        [item] = last["msg_item"]
        assert base64.b64decode(item["image"]["base64"]) == robot.pictures["m1"]
        assert item["image"]["md5"] == hashlib.md5(robot.pictures["m1"]).hexdigest()
        assert last["content"] == f"看图\n\n{SAYS.picture}", "the other picture is not known here"


async def test_an_unknown_stream_ends_with_an_apology(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        for stream in ("s-1", "f" * 32, "F" * 32, "../../etc"):
            last = await robot.poll(stream)
            assert (last["finish"], last["content"]) == (True, SAYS.gone)


async def test_another_robots_stream_is_unknown_here(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot:
        key = bytes(16)
        await robot.store.messages.record(Incoming(key, "other", "lisi", robot.now, b"{}"))
        await robot.store.streams.begin(NewStream(key, "other", "lisi", "", robot.now))
        assert (await robot.poll(key.hex()))["content"] == SAYS.gone


async def test_an_answer_with_nothing_to_say_still_ends_its_stream(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def silent(message: Message, said: Said) -> Reply:
        await go.wait()
        return Reply.none()

    async with desk(tmp_path, silent) as robot:
        key = await begun(robot)
        go.set()
        await robot.idle()
        last = await robot.poll(key)
        assert (last["finish"], last["content"]) == (True, SAYS.done)


async def test_a_handler_that_fails_ends_its_stream_with_a_sentence(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def failing(message: Message, said: Said) -> Reply:
        await go.wait()
        raise RuntimeError

    async with desk(tmp_path, failing) as robot:
        key = await begun(robot)
        go.set()
        await robot.idle()
        assert (await robot.poll(key))["content"] == SAYS.crashed


async def test_who_is_forgotten_in_a_stream_hears_so_and_is_not_written_down_again(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()

    async def forgetting(message: Message, said: Said) -> Outcome:
        await go.wait()
        [member] = await robot.store.members.find(message.sender, "robot")
        key = bytes.fromhex(message.key)
        await robot.store.members.erase(member, robot.now, keep_key=key)
        return Outcome(Reply.text("忘了"), "test", erased=True)

    async with desk(tmp_path, forgetting) as robot:
        key = await begun(robot)
        go.set()
        await robot.idle()
        assert await robot.row("sender || response_url") == ""
        assert await robot.row("due_at") is None
        assert (await robot.poll(key))["content"] == "忘了"


# --- pushed ---------------------------------------------------------------------------------


async def test_what_nobody_fetches_is_pushed_once(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        key = await begun(robot)
        await whole(robot, slow)
        await robot.pushed()
        assert qyapi.came == [], "a poll may still come"
        robot.now += FETCH_S
        await robot.pushed(3)
        [(path, body)] = qyapi.came
        assert path.startswith("/cgi-bin/aibot/response?response_code=CAIQ")
        assert body == {"msgtype": "markdown", "markdown": {"content": "答慢"}}
        assert robot.ends == ["sent"]
        assert (await robot.poll(key))["content"] == SAYS.pushed


async def test_what_was_fetched_is_not_pushed(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        key = await begun(robot)
        await whole(robot, slow)
        await robot.poll(key)
        robot.now += PUSH_WITHIN_S / 2
        await robot.pushed()
        assert qyapi.came == []


async def test_before_six_minutes_the_stream_ends_and_the_answer_follows(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        key = await begun(robot)
        robot.now += CLOSES_S
        assert CLOSES_S < 360
        last = await robot.poll(key)
        assert (last["finish"], last["content"]) == (True, SAYS.later)
        await whole(robot, slow)
        await robot.pushed()
        assert qyapi.said == ["答慢"]


async def test_without_an_address_the_stream_ends_honestly(tmp_path: Path) -> None:
    slow = Slow()
    async with desk(tmp_path, slow) as robot:
        frame = await robot.say("慢", response_url=None)
        robot.now += CLOSES_S
        assert (await robot.poll(frame["stream"]["id"]))["content"] == SAYS.given_up


async def late_answer(robot: Desk, slow: Slow) -> str:
    """An answer that is due to be pushed."""
    key = await begun(robot)
    await whole(robot, slow)
    robot.now += FETCH_S
    return key


async def test_a_push_that_did_not_leave_is_tried_again(tmp_path: Path) -> None:
    qyapi, slow = Qyapi(), Slow()
    await qyapi.start()
    port = int(qyapi.base.rsplit(":", 1)[1])
    await qyapi.stop()
    async with desk(tmp_path, slow, qyapi=qyapi) as robot:
        await late_answer(robot, slow)
        await robot.pushed()
        assert robot.ends == ["put_off"]
        await qyapi.start(port)
        robot.now += 60.0
        await robot.pushed()
        assert qyapi.said == ["答慢"]
        assert robot.ends == ["put_off", "sent"]
    await qyapi.stop()


async def test_a_push_that_nobody_heard_of_is_never_repeated(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi, timeout_s=0.2) as robot:
        qyapi.hang_s = 0.4
        key = await late_answer(robot, slow)
        await robot.pushed()
        robot.now += 120.0
        await robot.pushed()
        assert robot.ends == ["unknown"]
        assert len(qyapi.came) == 1
        assert (await robot.poll(key))["content"] == SAYS.pushed


async def test_a_refused_push_can_still_be_fetched(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        qyapi.errcodes = [93000]
        key = await late_answer(robot, slow)
        await robot.pushed(2)
        assert robot.ends == ["refused"]
        assert (await robot.poll(key))["content"] == "答慢"


async def test_after_an_hour_nothing_is_pushed(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        key = await late_answer(robot, slow)
        robot.now += PUSH_WITHIN_S
        await robot.pushed()
        assert (qyapi.came, await robot.row("note")) == ([], "too late")
        assert (await robot.poll(key))["content"] == "答慢"


async def test_a_push_under_way_at_a_crash_stays_unknown(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        await late_answer(robot, slow)
        await robot.store.streams.claim(robot.now)
        assert await robot.store.streams.recover() == 1
        await robot.pushed()
        assert qyapi.came == []


async def test_the_worker_pushes_by_itself_and_ends_when_told(tmp_path: Path) -> None:
    slow = Slow()
    async with taking() as qyapi, desk(tmp_path, slow, qyapi=qyapi) as robot:
        await begun(robot)
        robot.now += CLOSES_S
        worker = asyncio.create_task(robot.streams.run())
        slow.go.set()
        async with asyncio.timeout(5):
            while not robot.ends:
                await asyncio.sleep(0.01)
        robot.streams.close()
        await asyncio.wait_for(worker, 2.0)
        assert qyapi.said == ["答慢"]


# --- restarted ------------------------------------------------------------------------------


async def test_after_a_restart_polls_find_the_stream_growing_and_then_whole(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, Slow()) as robot:
        key = await begun(robot)
    slow = Slow()
    async with desk(tmp_path, slow) as robot:
        assert await robot.inbox.recover(robot.read) == 1
        assert (await robot.poll(key))["finish"] is False
        await whole(robot, slow)
        last = await robot.poll(key)
        assert (last["finish"], last["content"]) == (True, "答慢")


async def test_after_a_restart_that_nobody_polled_the_answer_is_pushed(tmp_path: Path) -> None:
    async with taking() as qyapi:
        async with desk(tmp_path, Slow(), qyapi=qyapi) as robot:
            await begun(robot)
        slow = Slow()
        async with desk(tmp_path, slow, qyapi=qyapi) as robot:
            robot.now += 600.0
            await robot.inbox.recover(robot.read)
            await whole(robot, slow)
            await robot.pushed(2)
            assert qyapi.said == ["答慢"]


async def test_what_cannot_be_read_after_a_restart_is_apologised_for(tmp_path: Path) -> None:
    async with desk(tmp_path, Slow()) as robot:
        key = await begun(robot)
    async with desk(tmp_path) as robot:
        assert await robot.inbox.recover(lambda row: None) == 0
        last = await robot.poll(key)
        assert (last["finish"], last["content"]) == (True, SAYS.crashed)
        assert await robot.store.messages.unanswered() == []


async def test_killed_before_its_first_frame_the_question_asked_again_is_answered(
    tmp_path: Path,
) -> None:
    body = build_wecom.text("一", number="M1")
    async with desk(tmp_path, Slow(), deadline_s=5.0) as robot:
        asked = asyncio.create_task(robot.post(body))
        async with asyncio.timeout(5):
            while not robot.runs:
                await asyncio.sleep(0.005)
        asked.cancel()
    async with desk(tmp_path) as robot:
        await robot.inbox.recover(robot.read)
        _, frame = await robot.post(body)
        assert (frame["stream"]["finish"], frame["stream"]["content"]) == (True, "答一")
        assert await robot.store.streams.next_due() is None, "nothing is pushed besides"


# --- cards ----------------------------------------------------------------------------------


async def choosing(message: Message, said: Said) -> Outcome:
    """Offers two things, and says which was chosen."""
    if message.text in ("1", "2"):
        return Outcome(Reply.text(f"你要的是 {message.text}"), "test")
    if message.text == "3":
        return Outcome(Reply.text("长" * 200), "test")
    options = (Option("1", "1. 写作入门课"), Option("2", "2. 零基础学 Python"), Option("3", "3"))
    return Outcome(Reply.text("1. 写作\n2. Python\n3. 全部"), "test", options=options)


async def test_a_choice_has_buttons_and_a_click_chooses_as_if_typed(tmp_path: Path) -> None:
    async with desk(tmp_path, choosing) as robot:
        frame = await robot.say("课程")
        assert frame["msgtype"] == "stream_with_template_card"
        assert frame["stream"]["content"] == "1. 写作\n2. Python\n3. 全部"
        card = frame["template_card"]
        assert card["task_id"] == frame["stream"]["id"]
        buttons = card["button_list"]
        assert [one["text"] for one in buttons] == ["1. 写作入门课", "2. 零基础学 P…", "3"]
        click = build_wecom.click(buttons[1]["key"], card["task_id"])
        _, changed = await robot.post(click)
        assert changed["response_type"] == "update_template_card"
        card = changed["template_card"]
        assert card["task_id"] == frame["stream"]["id"]
        assert (card["main_title"]["title"], card["sub_title_text"]) == ("已选 2", "你要的是 2")
        assert [one["key"] for one in card["button_list"]] == ["done"]


async def test_an_answer_too_long_for_a_card_follows_by_its_address(tmp_path: Path) -> None:
    async with taking() as qyapi, desk(tmp_path, choosing, qyapi=qyapi) as robot:
        frame = await robot.say("课程")
        card = frame["template_card"]
        click = build_wecom.click(card["button_list"][2]["key"], card["task_id"])
        _, changed = await robot.post(click)
        assert changed["template_card"]["sub_title_text"] == SAYS.below
        await robot.pushed(2)
        assert qyapi.said == ["长" * 200]


async def test_a_slow_choice_has_its_buttons_in_the_last_frame(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slowly(message: Message, said: Said) -> Outcome:
        await go.wait()
        return await choosing(message, said)

    async with desk(tmp_path, slowly) as robot:
        key = await begun(robot)
        go.set()
        await robot.idle()
        _, frame = await robot.post(build_wecom.poll(key))
        assert len(frame["template_card"]["button_list"]) == 3


async def test_a_card_that_another_one_replaced_does_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, choosing) as robot:
        old = (await robot.say("课程"))["template_card"]
        await robot.say("课程")
        runs = robot.runs
        _, changed = await robot.post(
            build_wecom.click(old["button_list"][0]["key"], old["task_id"])
        )
        assert changed["template_card"]["main_title"]["title"] == SAYS.outdated
        assert robot.runs == runs


async def test_somebody_elses_click_is_taken_and_ignored(tmp_path: Path) -> None:
    async with desk(tmp_path, choosing) as robot:
        card = (await robot.say("课程"))["template_card"]
        key = card["button_list"][0]["key"]
        assert await robot.post(build_wecom.click(key, card["task_id"], "zhaoliu")) == (200, {})
        assert robot.runs == 1


# --- through the webhook --------------------------------------------------------------------


async def test_the_door_stands_in_the_webhook_beside_the_accounts(tmp_path: Path) -> None:
    async with desk(tmp_path) as robot, ClientSession() as session, robot.served() as url:
        query = build_wecom.echo("59+27/", now=robot.now)
        async with session.get(url, params=query) as response:
            assert (response.status, await response.text()) == (200, "59+27/")
        query, body = build_wecom.signed(build_wecom.text("在吗"), now=robot.now)
        async with session.post(url, params=query, data=body) as response:
            frame = build_wecom.opened(await response.read())
        assert frame["stream"]["content"] == "答在吗"
        async with session.post(url, params={**query, "nonce": "x"}, data=body) as response:
            assert (response.status, await response.read()) == (403, b"")
        assert robot.watch.reasons == ["bad_signature"]
