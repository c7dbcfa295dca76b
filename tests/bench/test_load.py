"""The bench's client: seals as WeChat does, counts honestly, refuses to measure nonsense."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.load import (
    Account,
    Batch,
    LoadError,
    Outcome,
    Question,
    Seal,
    Writer,
    check_samples,
    closed_loop,
    open_loop,
    percentile_ms,
)
from bench.peers.handtuned import answer

ACCOUNT = Account()
SEAL = Seal(ACCOUNT)
Handle = Callable[[bytes, bytes], tuple[bytes, bool]]
LOOPS: dict[str, Callable[[int, Batch], Outcome]] = {
    "closed": lambda port, batch: closed_loop(port, batch, connections=2, seconds=60),
    "open": lambda port, batch: open_loop(port, batch, connections=2, rate=2000),
}


def echo(query: bytes, body: bytes) -> tuple[bytes, bool]:
    out = answer(query, body)
    assert out is not None
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(out), out), True


def echo_and_hang_up(query: bytes, body: bytes) -> tuple[bytes, bool]:
    out, _ = echo(query, body)
    return out.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), False


@contextmanager
def serving(handle: Handle, pieces: int = 1) -> Iterator[tuple[int, list[int]]]:
    """A tiny server in a thread: its port, and one entry per connection taken."""
    taken: list[int] = []
    ready = threading.Event()
    port = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(1)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                body = await reader.readexactly(int(length[1]))
                out, stay = handle(head.split(b" ")[1].split(b"?")[1], body)
                size = math.ceil(len(out) / pieces)
                for at in range(0, len(out), size):
                    writer.write(out[at : at + size])
                    await writer.drain()
                    await asyncio.sleep(0)
                if not stay:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield port, taken
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_request_is_signed_and_opens_to_what_was_asked() -> None:
    batch = Writer(ACCOUNT, now=lambda: 1_700_000_000.9).write([Question("签到")])
    head, _, body = batch.wires[0].partition(b"\r\n\r\n")
    query = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)
    sealed = re.search(rb"<Encrypt><!\[CDATA\[(.+?)\]\]>", body)
    assert sealed is not None
    assert query["timestamp"] == ["1700000000"]
    stamp, nonce = query["timestamp"][0], query["nonce"][0]
    assert query["signature"] == [SEAL.sign(stamp, nonce)]
    assert query["msg_signature"] == [SEAL.sign(stamp, nonce, sealed[1].decode())]
    assert "签到" in SEAL.open(sealed[1].decode()).decode()


def test_no_two_messages_share_an_id_and_the_members_take_turns() -> None:
    writer = Writer(ACCOUNT, members=3)
    batch = writer.write([Question("a")] * 7)
    assert len(set(batch.wires)) == 7
    assert batch.senders[0] == batch.senders[3] == batch.senders[6]
    assert len(set(batch.senders)) == 3


@pytest.mark.parametrize("length", range(33))
def test_every_length_is_padded_and_opened_again(length: int) -> None:
    assert SEAL.open(SEAL.close(b"x" * length)) == b"x" * length


def test_an_answer_for_another_app_or_badly_padded_is_refused() -> None:
    other = Seal(Account(app_id="wx_other"))
    with pytest.raises(LoadError, match="app id"):
        SEAL.open(other.close(b"hello"))
    with pytest.raises(LoadError, match=r"padded|app id"):
        SEAL.open(base64.b64encode(bytes(64)).decode())


@pytest.mark.parametrize("handle", [echo, echo_and_hang_up])
@pytest.mark.parametrize("pieces", [1, 7])
def test_the_closed_loop_sends_the_whole_batch_once(handle: Handle, pieces: int) -> None:
    batch = Writer(ACCOUNT).write([Question("你好", "你好")] * 200)
    with serving(handle, pieces) as (port, taken):
        outcome = closed_loop(port, batch, connections=4, seconds=60)
    assert outcome.done == len(outcome.latencies_s) == 200
    assert len(taken) == (4 if handle is echo else 200)
    assert check_samples(SEAL, batch, outcome) == (3, 3)
    assert outcome.late == 0


@pytest.mark.parametrize("handle", [echo, echo_and_hang_up])
def test_the_open_loop_sends_every_message_even_with_too_few_connections(handle: Handle) -> None:
    batch = Writer(ACCOUNT).write([Question("你好", "你好")] * 100)
    with serving(handle) as (port, _):
        outcome = open_loop(port, batch, connections=2, rate=2000)
    assert outcome.done == len(outcome.latencies_s) == len(outcome.lag_s) == 100
    assert min(outcome.latencies_s) > 0


@pytest.mark.parametrize("loop", list(LOOPS))
def test_an_answer_that_is_not_200_spoils_the_run(loop: str) -> None:
    batch = Writer(ACCOUNT).write([Question("你好")] * 20)
    refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with (
        serving(lambda query, body: (refusal, True)) as (port, _),
        pytest.raises(LoadError, match="status 503"),
    ):
        LOOPS[loop](port, batch)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_server_that_hangs_up_without_an_answer_spoils_the_run(loop: str) -> None:
    batch = Writer(ACCOUNT).write([Question("你好")] * 5)
    with (
        serving(lambda query, body: (b"", False)) as (port, _),
        pytest.raises(LoadError, match="connection lost"),
    ):
        LOOPS[loop](port, batch)


def test_an_answer_put_off_is_counted_as_late() -> None:
    batch = Writer(ACCOUNT).write([Question("你好")] * 5)
    success = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess"
    with serving(lambda query, body: (success, True)) as (port, _):
        outcome = closed_loop(port, batch, connections=1, seconds=60)
    assert (outcome.done, outcome.late) == (5, 5)


def test_a_sample_with_another_text_is_not_right() -> None:
    batch = Writer(ACCOUNT).write([Question("你好", "再见")])
    with serving(echo) as (port, _):
        outcome = closed_loop(port, batch, connections=1, seconds=60)
    assert check_samples(SEAL, batch, outcome) == (1, 0)


def test_percentiles_are_nearest_rank_in_milliseconds() -> None:
    values = [n / 1000 for n in range(100, 0, -1)]
    assert percentile_ms(values, 0.5) == 50
    assert percentile_ms(values, 0.99) == 99
    assert percentile_ms([0.002], 0.99) == 2
    assert math.isnan(percentile_ms([], 0.5))
