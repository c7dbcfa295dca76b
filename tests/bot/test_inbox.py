"""The inbox: every message once, in order, in time or late, whatever happens between."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bot import inbox as inbox_module
from bot.inbox import Answer, Inbox, Refusal, Sentences
from bot.official import SUCCESS
from bot.parts import Outcome
from handlers.message import Kind, Message, Reply, reply_from_json
from store import Store
from store.members import Member
from store.messages import Unanswered
from tests.blank import blank

SENTENCES = Sentences(
    crashed="出了点小问题", thinking="还在想", more="（未完）", transfer_again="请再说一次转人工"
)
Handler = Callable[[Message], Awaitable[Reply | Outcome]]


class PlainSeal:
    """Renders a reply so that a test can read it; numbers each rendering."""

    made = 0

    def reply(self, reply: Reply, now: float, message_kind: Kind) -> bytes:
        if reply.kind == "none":
            return SUCCESS
        PlainSeal.made += 1
        return f"{reply.content}#{PlainSeal.made}".encode()


class Counted:
    """The watch: what was counted, by name."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.missed = 0
        self.joined = 0

    def message(self, channel: str, kind: str, outcome: str) -> None:
        self.outcomes.append(outcome)

    def answered(self, channel: str, seconds: float) -> None: ...

    def deadline_missed(self, channel: str) -> None:
        self.missed += 1

    def retry_joined(self, channel: str) -> None:
        self.joined += 1


class Desk:
    """An inbox over a real store, with a handler of the test's own."""

    def __init__(self, path: Path, handler: Handler, **options: object) -> None:
        self.store = Store(blank(path))
        self.watch = Counted()
        self.runs: list[str] = []
        self.woken = 0
        self._handler = handler
        settings: dict[str, object] = {"deadline_s": 0.3, "redelivery_s": 0.5, **options}
        self.inbox = Inbox(
            self.store,
            self._converse,
            self.watch,
            SENTENCES,
            now=time.time,
            late=self._wake,
            **settings,  # type: ignore[arg-type]
        )

    def _wake(self) -> None:
        self.woken += 1

    async def _converse(self, message: Message, member: Member) -> Outcome:
        self.runs.append(message.text)
        said = await self._handler(message)
        return said if isinstance(said, Outcome) else Outcome(said, "test", "faq:1")

    async def ask(self, message: Message) -> Answer:
        return await self.inbox.answer(message, PlainSeal(), message.text.encode())

    async def planned(self) -> list[str]:
        """What would be pushed, in order."""
        sends = await self.store.sends.claim(time.time())
        return [reply_from_json(send.reply).content for send in sends]

    async def idle(self) -> None:
        async with asyncio.timeout(5):
            while self.inbox.running:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def desk(path: Path, handler: Handler, **options: object) -> AsyncIterator[Desk]:
    opened = Desk(path / "zhiqun.db", handler, **options)
    await opened.store.open()
    opened.inbox.open()
    try:
        yield opened
    finally:
        await opened.inbox.drain(2.0)
        await opened.store.close()


def said(text: str, *, sender: str = "o_lin", number: int = 1, channel: str = "mp") -> Message:
    key = f"{number:08x}{abs(hash((sender, channel))) % 16**24:024x}"
    return Message(channel, "gh_t", sender, "text", int(time.time()), key, text)


async def echo(message: Message) -> Reply:
    return Reply.text(f"答{message.text}")


def content(answer: Answer) -> str:
    assert isinstance(answer, bytes), answer
    return answer.decode().split("#")[0]


async def test_an_answer_in_time_goes_back_in_the_same_exchange(tmp_path: Path) -> None:
    async with desk(tmp_path, echo) as d:
        assert content(await d.ask(said("1"))) == "答1"
        await d.idle()
        assert await d.planned() == []
        assert d.watch.outcomes == ["passive"]


async def test_a_retry_joins_the_running_answer(tmp_path: Path) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.1)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        first, second, third = await asyncio.gather(*(d.ask(said("1")) for _ in range(3)))
        assert first == second == third
        assert d.runs == ["1"]
        assert d.watch.joined == 2


async def test_a_repeat_gets_the_stored_reply_byte_for_byte(tmp_path: Path) -> None:
    async with desk(tmp_path, echo) as d:
        first = await d.ask(said("1"))
        await d.idle()
        assert await d.ask(said("1")) == first
        assert d.runs == ["1"]
    async with desk(tmp_path, echo) as again:
        assert await again.ask(said("1")) == first, "also after a restart"
        assert again.runs == []


async def test_one_members_messages_are_answered_in_order(tmp_path: Path) -> None:
    order: list[str] = []

    async def uneven(message: Message) -> Reply:
        await asyncio.sleep(0.12 if message.text == "0" else 0.0)
        order.append(message.text)
        return await echo(message)

    async with desk(tmp_path, uneven) as d:
        await asyncio.gather(*(d.ask(said(str(n), number=n + 1)) for n in range(5)))
        assert order == ["0", "1", "2", "3", "4"]


async def test_different_members_never_wait_for_each_other(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def stuck(message: Message) -> Reply:
        if message.sender == "o_slow":
            await gate.wait()
        return await echo(message)

    async with desk(tmp_path, stuck) as d:
        blocked = asyncio.create_task(d.ask(said("慢", sender="o_slow")))
        assert content(await d.ask(said("快", sender="o_fast"))) == "答快"
        gate.set()
        await blocked


async def test_over_the_deadline_wechat_gets_success_and_the_answer_is_pushed_once(
    tmp_path: Path,
) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.6)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        assert await d.ask(said("1")) == SUCCESS
        await d.idle()
        assert await d.planned() == ["答1"]
        assert await d.planned() == []
        assert d.woken == 1
        assert d.watch.missed == 1
        assert await d.ask(said("1")) == SUCCESS, "a repeat must not show it again"
        assert await d.planned() == []


async def test_after_success_a_copy_of_the_request_cannot_catch_the_answer(tmp_path: Path) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.45)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        assert await d.ask(said("1")) == SUCCESS
        assert await d.ask(said("1")) == SUCCESS
        await d.idle()
        assert await d.planned() == ["答1"]


async def test_a_second_question_while_the_first_is_thinking_is_answered_too(
    tmp_path: Path,
) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.5 if message.text == "一" else 0.0)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        answers = await asyncio.gather(d.ask(said("一", number=1)), d.ask(said("二", number=2)))
        assert list(answers) == [SUCCESS, SUCCESS]
        await d.idle()
        first = await d.planned()
        # The second part is only due when the first has ended.
        assert first == ["答一"]
        counts = await d.store.sends.counts()
        assert counts == {"sending": 1, "planned": 1}


async def test_a_handler_that_hangs_ends_with_a_sentence(tmp_path: Path) -> None:
    async def hangs(message: Message) -> Reply:
        await asyncio.sleep(60)
        return await echo(message)

    async with desk(tmp_path, hangs, handler_limit_s=0.1) as d:
        assert content(await d.ask(said("1"))) == SENTENCES.crashed


async def test_a_handler_that_raises_is_one_polite_sentence(tmp_path: Path) -> None:
    async def broken(message: Message) -> Reply:
        raise ZeroDivisionError

    async with desk(tmp_path, broken) as d:
        assert content(await d.ask(said("1"))) == SENTENCES.crashed
        assert content(await d.ask(said("2", number=2))) == SENTENCES.crashed


async def test_a_hang_up_cancels_nothing_and_the_retry_gets_the_answer(tmp_path: Path) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.15)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        first = asyncio.create_task(d.ask(said("1")))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(0.2)  # the answer is there, and nobody listens
        assert content(await d.ask(said("1"))) == "答1"
        assert d.runs == ["1"]
        await d.idle()
        assert await d.planned() == []


async def test_when_nobody_ever_asks_again_the_answer_is_pushed(tmp_path: Path) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.1)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        first = asyncio.create_task(d.ask(said("1")))
        await asyncio.sleep(0.05)
        first.cancel()
        await d.idle()
        assert await d.planned() == ["答1"]


async def test_where_pushing_is_not_allowed_a_retry_carries_the_answer(tmp_path: Path) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.5)
        return await echo(message)

    async with desk(tmp_path, slow, retry_channels=frozenset({"mp"})) as d:
        first = asyncio.create_task(d.ask(said("1")))
        await asyncio.sleep(0.4)  # over the deadline and still open: WeChat hangs up
        assert not first.done()
        first.cancel()
        assert content(await d.ask(said("1"))) == "答1"
        await d.idle()
        assert (await d.store.sends.counts()) == {}


async def test_after_the_last_retry_the_member_fetches_the_answer(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def stuck(message: Message) -> Reply:
        await gate.wait()
        return await echo(message)

    async with desk(tmp_path, stuck, retry_channels=frozenset({"mp"})) as d:
        for _ in range(2):
            early = asyncio.create_task(d.ask(said("1")))
            await asyncio.sleep(0.35)
            early.cancel()
        last = await d.ask(said("1"))
        assert content(last) == SENTENCES.thinking
        gate.set()
        await d.idle()
        assert await d.ask(said("1")) == last, "a repeat shows the same"
        assert await d.planned() == [], "it is not pushed"
        fetched = await d.store.sends.fetch("mp", "o_lin", b"k" * 16, time.time())
        assert fetched is not None
        assert reply_from_json(fetched[0]).content == "答1"


async def test_a_crash_between_seen_and_answered_lets_the_retry_run_again(tmp_path: Path) -> None:
    async def never(message: Message) -> Reply:
        await asyncio.sleep(60)
        return await echo(message)

    async with desk(tmp_path, never) as d:
        task = asyncio.create_task(d.ask(said("1")))
        await asyncio.sleep(0.1)
        await d.inbox.drain(0.0)  # as if the process had died here
        assert await task is Refusal.NOT_RECORDED
    async with desk(tmp_path, echo) as again:
        assert content(await again.ask(said("1"))) == "答1"


async def test_what_was_acknowledged_before_a_crash_is_answered_after_the_start(
    tmp_path: Path,
) -> None:
    async def never(message: Message) -> Reply:
        await asyncio.sleep(60)
        return await echo(message)

    def read(row: Unanswered) -> Message:
        return said(row.body.decode())

    async with desk(tmp_path, never) as d:
        assert await d.ask(said("1")) == SUCCESS
        await d.inbox.drain(0.0)
    async with desk(tmp_path, echo) as again:
        assert await again.inbox.recover(read) == 1
        await again.idle()
        assert await again.planned() == ["答1"]
        assert await again.inbox.recover(read) == 0


async def test_after_a_crash_one_members_messages_wait_for_retries_together(
    tmp_path: Path,
) -> None:
    async def never(message: Message) -> Reply:
        await asyncio.sleep(60)
        return await echo(message)

    def read(row: Unanswered) -> Message:
        text = row.body.decode()
        return said(text, number=int(text))

    async with desk(tmp_path, never) as d:
        for number in range(1, 7):
            await d.ask(said(str(number), number=number))
        await d.inbox.drain(0.0)
    async with desk(tmp_path, echo, redelivery_s=1.0) as again:
        started = time.monotonic()
        assert await again.inbox.recover(read) == 6
        await again.idle()
        assert time.monotonic() - started < 3.0, "one wait, not six"
        assert again.runs == ["1", "2", "3", "4", "5", "6"]


async def test_a_locked_database_acknowledges_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, echo) as d:
        await d.ask(said("0", number=9))
        other = sqlite3.connect(tmp_path / "zhiqun.db", isolation_level=None)
        other.execute("begin immediate")
        started = time.monotonic()
        assert await d.ask(said("1")) is Refusal.NOT_RECORDED
        assert time.monotonic() - started < 2.0
        other.execute("rollback")
        other.close()
        assert content(await d.ask(said("1"))) == "答1"
        assert d.runs == ["0", "1"]
        await d.idle()
        assert await d.planned() == []


async def test_long_text_goes_in_parts_and_the_rest_waits(tmp_path: Path) -> None:
    async def long(message: Message) -> Reply:
        return Reply.text("长" * 1500)

    async with desk(tmp_path, long) as d:
        first = content(await d.ask(said("1")))
        assert first.endswith(SENTENCES.more)
        rest = first.removesuffix(f"\n{SENTENCES.more}")
        for n in range(1, 5):
            part = await d.store.sends.fetch("mp", "o_lin", bytes([n]) * 16, time.time())
            if part is None:
                break
            assert len(part[0].encode()) < 2300
            rest += reply_from_json(part[0]).content
        assert rest == "长" * 1500


async def test_a_silent_reply_is_never_pushed(tmp_path: Path) -> None:
    async def nothing(message: Message) -> Reply:
        return Reply.none()

    async with desk(tmp_path, nothing) as d:
        assert await d.ask(said("1")) == SUCCESS
        await d.idle()
        assert (await d.store.sends.counts()) == {}


async def test_messages_before_ready_are_recorded_and_wait(tmp_path: Path) -> None:
    d = Desk(tmp_path / "zhiqun.db", echo)
    await d.store.open()
    early = asyncio.create_task(d.ask(said("1")))
    await asyncio.sleep(0.1)
    assert d.runs == []
    assert len(await d.store.messages.unanswered()) == 1
    d.inbox.open()
    assert content(await early) == "答1"
    await d.inbox.drain(1.0)
    await d.store.close()


async def test_over_the_limit_of_running_messages_wechat_is_asked_to_come_back(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()

    async def stuck(message: Message) -> Reply:
        await gate.wait()
        return await echo(message)

    async with desk(tmp_path, stuck, max_running=2) as d:
        two = [asyncio.create_task(d.ask(said("x", sender=f"o_{n}"))) for n in range(2)]
        await asyncio.sleep(0.05)
        assert await d.ask(said("3", sender="o_3")) is Refusal.BUSY
        gate.set()
        await asyncio.gather(*two)
        assert content(await d.ask(said("3", sender="o_3"))) == "答3"


async def test_a_channel_that_is_stuck_leaves_room_for_the_others(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def stuck(message: Message) -> Reply:
        if message.channel == "mp":
            await gate.wait()
        return await echo(message)

    async with desk(tmp_path, stuck, max_running=4, most_of_one=3) as d:
        three = [asyncio.create_task(d.ask(said("x", sender=f"o_{n}"))) for n in range(3)]
        await asyncio.sleep(0.05)
        assert await d.ask(said("4", sender="o_4")) is Refusal.BUSY
        assert not await d.inbox.take(said("5", sender="o_5"), b"5")
        assert content(await d.ask(said("6", channel="shop"))) == "答6"
        gate.set()
        await asyncio.gather(*three)
        assert content(await d.ask(said("4", sender="o_4"))) == "答4"


async def test_everything_is_logged_with_who_where_what_and_key(tmp_path: Path) -> None:
    async with desk(tmp_path, echo) as d:
        message = said("价格")
        await d.ask(message)
        await d.idle()
        rows = await d.store.interactions.page(0)
        assert [(r["channel"], r["kind"], r["text"], r["handler"], r["item"]) for r in rows] == [
            ("mp", "text", "价格", "test", "faq:1")
        ]


def test_the_limits_leave_room_before_wechat_hangs_up() -> None:
    assert 4.2 + inbox_module.GRACE_S < 4.5
    assert inbox_module.HOLD_S > 5.0


async def test_once_wechat_was_told_success_a_copy_still_open_is_told_so_too(
    tmp_path: Path,
) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.5)
        return await echo(message)

    async with desk(tmp_path, slow) as d:
        first = asyncio.create_task(d.ask(said("1")))
        await asyncio.sleep(0.2)
        copy = asyncio.create_task(d.ask(said("1")))  # its own deadline is after the answer
        assert await first == SUCCESS
        assert await copy == SUCCESS, "WeChat has closed the message: nobody would see it there"
        await d.idle()
        assert await d.planned() == ["答1"]


async def test_a_handler_that_gives_nonsense_is_one_polite_sentence(tmp_path: Path) -> None:
    async def nonsense(message: Message) -> Reply:
        return "text"  # type: ignore[return-value]

    async with desk(tmp_path, nonsense) as d:
        assert content(await d.ask(said("1"))) == SENTENCES.crashed
        assert await d.store.messages.unanswered() == []


async def test_a_cancellation_born_in_a_handler_is_no_shutdown(tmp_path: Path) -> None:
    async def cancelled(message: Message) -> Reply:
        raise asyncio.CancelledError

    async with desk(tmp_path, cancelled) as d:
        assert content(await d.ask(said("1"))) == SENTENCES.crashed


class BrokenSeal(PlainSeal):
    """Cannot render anything."""

    def reply(self, reply: Reply, now: float, message_kind: Kind) -> bytes:
        raise ZeroDivisionError


async def test_a_fault_after_the_handler_ends_the_message_with_a_sentence(tmp_path: Path) -> None:
    async with desk(tmp_path, echo) as d:
        message = said("1")
        assert await d.inbox.answer(message, BrokenSeal(), b"") == SUCCESS
        await d.idle()
        assert await d.planned() == [SENTENCES.crashed]
        assert await d.store.messages.unanswered() == []
        assert d.runs == ["1"], "its effects must not happen again"


async def test_a_member_who_was_forgotten_is_not_pushed_to(tmp_path: Path) -> None:
    async def forget(message: Message) -> Outcome:
        member = await d.store.members.meet("mp", message.sender, 0.0)
        await d.store.members.erase(member.id, 0.0, keep_key=bytes.fromhex(message.key))
        await asyncio.sleep(0.5)
        return Outcome(Reply.text("已忘记"), "privacy", erased=True)

    async with desk(tmp_path, forget) as d:
        assert await d.ask(said("确认忘记")) == SUCCESS
        await d.idle()
        assert await d.store.sends.counts() == {}


async def test_an_answer_in_time_lets_the_late_ones_before_it_arrive_first(
    tmp_path: Path,
) -> None:
    async def slow(message: Message) -> Reply:
        await asyncio.sleep(0.5 if message.text == "一" else 0.0)
        return await echo(message)

    async with desk(tmp_path, slow, deadline_s=0.4) as d:
        assert await d.ask(said("一", number=1)) == SUCCESS
        await d.idle()
        second = asyncio.create_task(d.ask(said("二", number=2)))
        await asyncio.sleep(0.1)
        assert not second.done(), "the first is still on its way"
        (send,) = await d.store.sends.claim(time.time())
        await d.store.sends.settle(send.id, "sent", time.time())
        assert content(await second) == "答二"


async def test_what_the_log_keeps_may_be_less_than_what_was_written(tmp_path: Path) -> None:
    async def discreet(message: Message) -> Outcome:
        return Outcome(Reply.text("好"), "operator.who", text="/who")

    async with desk(tmp_path, discreet) as d:
        await d.ask(said("/who oSomebodyElse"))
        await d.idle()
        assert [row["text"] for row in await d.store.interactions.page(0)] == ["/who"]


async def test_a_stop_before_the_conversation_begins_does_not_wait(tmp_path: Path) -> None:
    d = Desk(tmp_path / "zhiqun.db", echo)
    await d.store.open()
    early = asyncio.create_task(d.ask(said("1")))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    assert await d.inbox.drain(30.0) == 1
    assert time.monotonic() - started < 5.0
    assert await early is Refusal.NOT_RECORDED
    await d.store.close()
