"""The other end of the webhook bench: writes sealed messages, sends them, times the answers.

Written apart from the service and from the sandbox on purpose: a fault that two sides
share would go unseen. Messages are signed and encrypted before a round begins, so that
the client spends its core on sockets only. Linux, macOS; uvloop when it is there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import math
import os
import random
import selectors
import struct
import time
import xml.etree.ElementTree as ET
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SAMPLE_EVERY = 97  # a prime, so that samples do not fall on the same question again and again
PATIENCE_S = 20.0

T = TypeVar("T")


class LoadError(Exception):
    """The server answered wrongly, or not at all; the figures would mean nothing."""


@dataclass(frozen=True)
class Account:
    """An invented official account; every server of a run gets the same one."""

    app_id: str = "wx00bench00bench00"
    token: str = "benchtoken"
    encoding_aes_key: str = "YmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmVuY2ggYmU"
    secret: str = "benchsecret"
    original_id: str = "gh_bench"


class Seal:
    """The platform's half of safe mode: signs and encrypts, opens what comes back."""

    def __init__(self, account: Account) -> None:
        self._account = account
        key = base64.b64decode(account.encoding_aes_key + "=")
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))
        self._receiver = account.app_id.encode()

    def sign(self, *parts: str) -> str:
        """SHA-1 over the token and the parts, sorted; lower-case hex."""
        joined = "".join(sorted((self._account.token, *parts)))
        return hashlib.sha1(joined.encode()).hexdigest()

    def close(self, clear: bytes) -> str:
        """Encrypt: 16 random bytes, length, text, receiver, padded to 32; base64."""
        body = os.urandom(16) + struct.pack(">I", len(clear)) + clear + self._receiver
        pad = 32 - len(body) % 32
        encryptor = self._cipher.encryptor()
        sealed = encryptor.update(body + bytes([pad]) * pad) + encryptor.finalize()
        return base64.b64encode(sealed).decode()

    def open(self, sealed: str) -> bytes:
        """Decrypt one Encrypt element; LoadError when any part of it is wrong."""
        raw = base64.b64decode(sealed, validate=True)
        if not raw or len(raw) % 32:
            raise LoadError(f"an answer's cipher text has {len(raw)} bytes, no multiple of 32")
        decryptor = self._cipher.decryptor()
        body = decryptor.update(raw) + decryptor.finalize()
        pad = body[-1]
        if not 1 <= pad <= 32 or body[-pad:] != bytes([pad]) * pad:
            raise LoadError("an answer is padded wrongly")
        (length,) = struct.unpack(">I", body[16:20])
        clear, receiver = body[20 : 20 + length], body[20 + length : -pad]
        if receiver != self._receiver:
            raise LoadError("an answer was sealed for another app id")
        return clear

    def read_answer(self, body: bytes) -> tuple[str, str]:
        """(receiver openid, text) of an encrypted text answer; LoadError when it is none."""
        try:
            outer = {child.tag: child.text or "" for child in ET.fromstring(body)}
            expected = self.sign(outer["TimeStamp"], outer["Nonce"], outer["Encrypt"])
            if outer["MsgSignature"] != expected:
                raise LoadError("an answer carries a wrong signature")
            inner = {
                child.tag: child.text or "" for child in ET.fromstring(self.open(outer["Encrypt"]))
            }
            if inner["MsgType"] != "text":
                raise LoadError(f"an answer is {inner['MsgType']}, not text")
            return inner["ToUserName"], inner["Content"]
        except (ET.ParseError, KeyError, ValueError, struct.error) as fault:
            raise LoadError(f"an answer cannot be read ({fault!r}): {body[:120]!r}") from fault


@dataclass(frozen=True, slots=True)
class Question:
    """What a member types, and the text the answer must contain ("": any text)."""

    text: str
    expect: str = ""


@dataclass(slots=True)
class Batch:
    """Requests ready for the wire; the three lists run in step."""

    wires: list[bytes] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.wires)


class Writer:
    """Turns questions into requests: unique MsgId, senders in turn, the time of now.

    members: how many openids take turns. now: Unix seconds, for tests.
    """

    def __init__(
        self,
        account: Account,
        members: int = 2000,
        path: str = "/hook/mp",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._account = account
        self._seal = Seal(account)
        self._path = path
        self._now = now
        self._members = itertools.cycle([f"oBench{n:022d}" for n in range(members)])
        self._ids = itertools.count(time.time_ns() // 1000)

    def write(self, questions: Iterable[Question]) -> Batch:
        """One request per question, as the platform would post them."""
        batch = Batch()
        seal, account = self._seal, self._account
        stamp = str(int(self._now()))
        for question in questions:
            sender, msg_id = next(self._members), next(self._ids)
            clear = (
                f"<xml><ToUserName><![CDATA[{account.original_id}]]></ToUserName>"
                f"<FromUserName><![CDATA[{sender}]]></FromUserName>"
                f"<CreateTime>{stamp}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
                f"<Content><![CDATA[{question.text}]]></Content><MsgId>{msg_id}</MsgId></xml>"
            )
            nonce = str(msg_id)[-10:]
            sealed = seal.close(clear.encode())
            body = (
                f"<xml><ToUserName><![CDATA[{account.original_id}]]></ToUserName>"
                f"<Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
            ).encode()
            head = (
                f"POST {self._path}?signature={seal.sign(stamp, nonce)}&timestamp={stamp}"
                f"&nonce={nonce}&openid={sender}&encrypt_type=aes"
                f"&msg_signature={seal.sign(stamp, nonce, sealed)} HTTP/1.1\r\n"
                "Host: 127.0.0.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\n"
                f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            batch.wires.append(head.encode() + body)
            batch.questions.append(question)
            batch.senders.append(sender)
        return batch


@dataclass(slots=True)
class Outcome:
    """What came of a batch.

    done: answers with status 200. seconds: first send to last answer. latencies_s: one
    per answer. late: answers that were a bare "success". lag_s: how late the client
    itself was, per message (open loop only). samples: (place in the batch, body).
    """

    done: int = 0
    seconds: float = 0.0
    late: int = 0
    latencies_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    samples: list[tuple[int, bytes]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def rps(self) -> float:
        """Answers a second."""
        return self.done / self.seconds if self.seconds else 0.0


def percentile_ms(latencies_s: Sequence[float], share: float) -> float:
    """Nearest-rank percentile in milliseconds; nan of nothing. share: 0 to 1."""
    if not latencies_s:
        return math.nan
    ordered = sorted(latencies_s)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000


class _Driver(Protocol):
    def answered(self, line: _Line, index: int, status: bytes, body: bytes) -> None: ...

    def broke(self, index: int, why: str) -> None: ...


class _Line(asyncio.Protocol):
    """One HTTP/1.1 connection with at most one request on it."""

    __slots__ = ("_buffer", "_driver", "_index", "_transport", "_wire", "reusable")

    def __init__(self, driver: _Driver, index: int, wire: bytes) -> None:
        self._driver = driver
        self._index = index
        self._wire = wire
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.reusable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._wire)

    def send(self, index: int, wire: bytes) -> None:
        self._index = index
        if self._transport is None or self._transport.is_closing():
            self.reusable = False
            self._driver.broke(index, "connection closed by the server between two requests")
            return
        self._transport.write(wire)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._fail("answer without Content-Length")
            return
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        # gunicorn's sync worker closes after each answer: it hangs up first, so that
        # the waiting socket stays on its side and our ports last.
        self.reusable = b"\r\nconnection: close" not in head
        index, self._index = self._index, -1
        self._driver.answered(self, index, data[9:12], data[end + 4 : end + 4 + length])

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail("connection lost before the answer")

    def _fail(self, why: str) -> None:
        index, self._index = self._index, -1
        if index >= 0:
            self._driver.broke(index, why)

    def close(self) -> None:
        if self._transport is not None:
            self._index = -1
            self._transport.close()


class _Base:
    """What the closed and the open loop share: the batch, the lines, the counting."""

    def __init__(self, host: str, port: int, batch: Batch) -> None:
        self.host, self.port, self.batch = host, port, batch
        self.outcome = Outcome()
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.lines: set[_Line] = set()
        self.dials: set[asyncio.Task[None]] = set()

    def dial(self, index: int) -> None:
        """Send a message on a new connection."""
        task = self.loop.create_task(self._dial(index))
        self.dials.add(task)
        task.add_done_callback(self.dials.discard)

    async def _dial(self, index: int) -> None:
        line = _Line(cast(_Driver, self), index, self.batch.wires[index])
        try:
            await self.loop.create_connection(lambda: line, self.host, self.port)
        except OSError as fault:
            cast(_Driver, self).broke(index, f"no connection: {fault.strerror or fault}")
        else:
            self.lines.add(line)

    def count(self, index: int, status: bytes, body: bytes, since: float, now: float) -> None:
        outcome = self.outcome
        if status != b"200":
            outcome.faults[f"status {status.decode('latin-1')}"] += 1
            return
        outcome.done += 1
        outcome.latencies_s.append(now - since)
        if body == b"success":
            outcome.late += 1
        if index % SAMPLE_EVERY == 0:
            outcome.samples.append((index, body))

    async def run(self, budget_s: float) -> Outcome:
        try:
            async with asyncio.timeout(budget_s):
                await self.finished
        except TimeoutError:
            raise LoadError(f"the server stopped answering; {self.outcome.done} answers") from None
        finally:
            for line in self.lines:
                line.close()
        outcome = self.outcome
        if outcome.faults:
            told = ", ".join(f"{why} ×{n}" for why, n in outcome.faults.most_common(3))
            raise LoadError(f"{outcome.faults.total()} messages went wrong: {told}")
        return outcome


class _Closed(_Base):
    """C members who write again as soon as they are answered: throughput."""

    def __init__(self, host: str, port: int, batch: Batch, lines: int, seconds: float) -> None:
        super().__init__(host, port, batch)
        self._next = 0
        self._open = 0
        self._sent_at = [0.0] * len(batch)
        self._clock = time.perf_counter
        self._start = self._clock()
        self._until = self._start + seconds
        for _ in range(min(lines, len(batch))):
            self._open += 1
            self._go(None)

    def _go(self, line: _Line | None) -> None:
        index, now = self._next, self._clock()
        if index >= len(self.batch) or now >= self._until:
            self._open -= 1
            if self._open == 0 and not self.finished.done():
                self.outcome.seconds = now - self._start
                self.finished.set_result(None)
            return
        self._next = index + 1
        self._sent_at[index] = now
        if line is None:
            self.dial(index)
        else:
            line.send(index, self.batch.wires[index])

    def answered(self, line: _Line, index: int, status: bytes, body: bytes) -> None:
        self.count(index, status, body, self._sent_at[index], self._clock())
        if not line.reusable:
            self.lines.discard(line)
            self._go(None)
        else:
            self._go(line)

    def broke(self, index: int, why: str) -> None:
        self.outcome.faults[why] += 1
        if self.outcome.faults.total() > 100:  # dead: no use in trying the rest
            self._until = 0.0
        self.loop.call_later(0.01, self._go, None)


class _Open(_Base):
    """Members who don't wait for each other: latency from the moment a message was due.

    A server that stalls is charged for every message due meanwhile, not only for the
    ones a waiting client would have sent (coordinated omission).
    """

    def __init__(self, host: str, port: int, batch: Batch, lines: int, rate: float) -> None:
        super().__init__(host, port, batch)
        self._limit = lines
        self._busy = 0
        self._idle: list[_Line] = []
        self._queue: deque[int] = deque()
        self._pending = len(batch)
        rng = random.Random(20261121)  # the same arrivals for every server and round
        self._due = list(itertools.accumulate(rng.expovariate(rate) for _ in batch.wires))
        self._clock = time.perf_counter
        self._start = self._clock() + 0.05
        self._feeder = self.loop.create_task(self._feed())

    async def _feed(self) -> None:
        for index, due in enumerate(self._due):
            wait = self._start + due - self._clock()
            if wait > 0:
                await asyncio.sleep(wait)
            self.outcome.lag_s.append(max(0.0, self._clock() - self._start - due))
            if self._idle:
                self._busy += 1
                self._idle.pop().send(index, self.batch.wires[index])
            elif self._busy < self._limit:
                self._busy += 1
                self.dial(index)
            else:
                self._queue.append(index)

    def answered(self, line: _Line, index: int, status: bytes, body: bytes) -> None:
        now = self._clock()
        self.count(index, status, body, self._start + self._due[index], now)
        self._busy -= 1
        if line.reusable:
            self._idle.append(line)
        else:
            self.lines.discard(line)
        self._settle()

    def broke(self, index: int, why: str) -> None:
        self.outcome.faults[why] += 1
        self._busy -= 1
        self._idle = [line for line in self._idle if line.reusable]
        self._settle()

    def _settle(self) -> None:
        self._pending -= 1
        if self._pending == 0 and not self.finished.done():
            self.outcome.seconds = self._clock() - self._start
            self.finished.set_result(None)
        elif self._queue:
            index = self._queue.popleft()
            self._busy += 1
            if self._idle:
                self._idle.pop().send(index, self.batch.wires[index])
            else:
                self.dial(index)


def closed_loop(
    port: int, batch: Batch, *, connections: int, seconds: float, host: str = "127.0.0.1"
) -> Outcome:
    """Send a batch as fast as the server answers, or as much of it as fits.

    seconds: no message is begun after that; those begun are waited for. Raises
    LoadError when an answer is not 200, a connection breaks or the server hangs.
    """

    async def run() -> Outcome:
        return await _Closed(host, port, batch, connections, seconds).run(seconds + PATIENCE_S)

    return _run_fast(run())


def open_loop(
    port: int, batch: Batch, *, connections: int, rate: float, host: str = "127.0.0.1"
) -> Outcome:
    """Send a batch at random times, rate messages a second on average.

    connections: at most this many at once; a message that finds none waits, and its
    latency counts the wait. Raises LoadError as `closed_loop` does.
    """

    async def run() -> Outcome:
        return await _Open(host, port, batch, connections, rate).run(
            len(batch) / rate * 2 + PATIENCE_S
        )

    # epoll and uvloop wake up at whole milliseconds, select() at microseconds.
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        return runner.run(run())


def check_samples(seal: Seal, batch: Batch, outcome: Outcome) -> tuple[int, int]:
    """(answers opened, answers with the expected text); LoadError on one sealed wrongly."""
    right = 0
    for index, body in outcome.samples:
        receiver, text = seal.read_answer(body)
        if receiver != batch.senders[index]:
            raise LoadError("an answer went to another member than the one who asked")
        right += batch.questions[index].expect in text and bool(text)
    return len(outcome.samples), right


def _run_fast(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(main)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)
