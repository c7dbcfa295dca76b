"""A served bot at an open door: what is bad is refused or answered kindly, and life goes on.

After every visit the next good message is answered, the visit left one log line and no
openid or text in it, and no status said more than it had to. `zhiqun serve` runs as a
process of its own, so that its memory is its own, too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.fake_codec import sign, to_xml
from sandbox.fake_wechat import FakeWeChat
from tests.build import encrypt
from tests.proofs.world import ACCOUNT, FAQ, OPERATOR, TEXTS, Served

MEMBER = "oHOSTILE-1"
GOOD = "oGOOD-1"
BESIDE = frozenset({"answered", "ready", "job_done"})
"""Lines that come in their own time."""
SECRETS = (MEMBER, GOOD, OPERATOR, "秘密的话", FAQ[0].question, ACCOUNT.token, ACCOUNT.aes_key)
HEADER_S = 1.0
BODY_S = 1.0
CONNECTIONS = 60

Fields = Mapping[str, Any]
Parts = tuple[dict[str, str], bytes]


@dataclass
class Door:
    """The served bot, and how a visitor knocks."""

    served: Served
    fake: FakeWeChat
    read_to: int

    def lines(self) -> list[dict[str, Any]]:
        """Log lines since the last look, without those of answered messages."""
        with self.served.log.open("rb") as log:
            log.seek(self.read_to)
            raw = log.read()
        self.read_to += len(raw)
        for secret in SECRETS:
            assert secret.encode() not in raw, "the log names a member or a secret"
            assert json.dumps(secret)[1:-1].encode() not in raw
        found = [json.loads(line) for line in raw.splitlines()]
        assert not [line for line in found if line["level"] == "error"], found
        return [line for line in found if line["event"] not in BESIDE]

    async def good(self) -> None:
        """A member of good faith asks, and is answered at once."""
        delivery = await self.fake.send_text(GOOD, FAQ[0].question)
        assert len(delivery.attempts) == 1, delivery.attempts
        assert delivery.text.startswith(FAQ[0].answer)

    async def reasons(self, count: int) -> list[str]:
        """Why so many visits were refused, by the log: one line each, and no more lines."""
        end = time.monotonic() + 10
        found: list[dict[str, Any]] = []
        while len(found) < count and time.monotonic() < end:
            found += self.lines()
            await asyncio.sleep(0.02)
        found += self.lines()
        assert [line["event"] for line in found] == ["refused"] * count, found
        return [line["reason"] for line in found]

    async def post(self, query: Mapping[str, str], body: bytes, method: str = "POST") -> int:
        """One request as it stands; its status. Refusals say nothing."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.served.webhook, params=query, data=body) as response,
        ):
            said = await response.read()
            if response.status != 200:
                assert said == b"", "a refusal has an empty body"
            return response.status

    async def raw(self, data: bytes, *, wait_s: float = 10.0) -> bytes:
        """Bytes in, and what comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
        try:
            writer.write(data)
            async with asyncio.timeout(wait_s):
                with suppress(ConnectionError):
                    return await reader.read()
            return b""
        finally:
            writer.close()

    def memory_mb(self) -> float:
        """Resident memory of the process; nan where nobody says."""
        assert self.served.process is not None
        status = Path(f"/proc/{self.served.process.pid}/status")
        if not status.exists():
            return float("nan")
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(
        tmp_path_factory.mktemp("door"),
        server=(
            f"header_timeout_s = {HEADER_S}\nbody_timeout_s = {BODY_S}\n"
            f"max_connections = {CONNECTIONS}"
        ),
    )
    csv = server.folder / "faq.csv"
    rows = "".join(f"{entry.question},{entry.answer}\n" for entry in FAQ)
    csv.write_text(f"question,answer\n{rows}", encoding="utf-8")
    server.run("import", "faq", str(csv))
    server.start()
    server.wait_ready()
    yield server
    assert server.stop() == 0


@pytest.fixture
async def door(served: Served) -> AsyncIterator[Door]:
    """The door before a visit, and the checks after it: the next good message is answered."""
    fake = FakeWeChat(ACCOUNT)
    fake.webhook = served.webhook
    standing = Door(served, fake, served.log.stat().st_size)
    yield standing
    await standing.good()
    assert standing.lines() == [], "lines that nobody asked for"
    await fake.close()


# Refused at the door


def text_fields(fake: FakeWeChat, **changed: Any) -> dict[str, Any]:
    fields = fake.message(MEMBER, "text", Content="秘密的话") | changed
    return {name: value for name, value in fields.items() if value is not None}


def sealed(plain: bytes, *, app_id: str = ACCOUNT.app_id, at: float = 0.0) -> Parts:
    """Any bytes, sealed and signed as only WeChat can."""
    return enveloped(encrypt(plain, aes_key=ACCOUNT.aes_key, app_id=app_id), at=at)


def enveloped(ciphertext: str, *, at: float = 0.0) -> Parts:
    stamp, nonce = str(int(at or time.time())), "987654321"
    query = {
        "timestamp": stamp,
        "nonce": nonce,
        "openid": MEMBER,
        "encrypt_type": "aes",
        "signature": sign(ACCOUNT.token, stamp, nonce),
        "msg_signature": sign(ACCOUNT.token, stamp, nonce, ciphertext),
    }
    return query, to_xml({"ToUserName": ACCOUNT.gh_id, "Encrypt": ciphertext}).encode()


def good_parts(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode())


def wrong_signature(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    return query | {"msg_signature": "0" * 40}, body


def no_signature(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    del query["msg_signature"]
    return query, body


def odd_signature(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    return query | {"msg_signature": "签\udc80名".encode("utf-8", "replace").decode()}, body


def stale(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode(), at=time.time() - 400)


def from_the_future(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode(), at=time.time() + 400)


def no_time(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    return query | {"timestamp": "²²²"}, body


def bit_flipped(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    at = body.index(b"<Encrypt>") + 60
    return query, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def flipped_and_signed(fake: FakeWeChat) -> Parts:
    ciphertext = encrypt(b"<xml></xml>", aes_key=ACCOUNT.aes_key, app_id=ACCOUNT.app_id)
    other = "B" if ciphertext[-8] == "A" else "A"
    return enveloped(ciphertext[:-8] + other + ciphertext[-7:])


def not_base64(fake: FakeWeChat) -> Parts:
    return enveloped("*" * 64)


def short_ciphertext(fake: FakeWeChat) -> Parts:
    return enveloped("AAAA")


def truncated(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    return query, body[: len(body) // 2]


def empty(fake: FakeWeChat) -> Parts:
    return good_parts(fake)[0], b""


def unencrypted(fake: FakeWeChat) -> Parts:
    return good_parts(fake)[0], to_xml(text_fields(fake)).encode()


def for_another_account(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode(), app_id="wxSOMEBODYELSE")


def entities(fake: FakeWeChat) -> Parts:
    bomb = '<!DOCTYPE xml [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    return sealed((bomb + to_xml(text_fields(fake)).replace("秘密的话", "&b;")).encode())


def entities_outside(fake: FakeWeChat) -> Parts:
    query, _ = good_parts(fake)
    return query, b'<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml>&x;</xml>'


def deep(fake: FakeWeChat) -> Parts:
    return sealed(b"<xml>" + b"<a>" * 500 + b"</a>" * 500 + b"</xml>")


def very_deep(fake: FakeWeChat) -> Parts:
    return sealed(b"<xml>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</xml>")


def deep_json(fake: FakeWeChat) -> Parts:
    return sealed(b'{"a":' * 400 + b"1" + b"}" * 400)


def deep_list(fake: FakeWeChat) -> Parts:
    query, _ = good_parts(fake)
    return query, b'{"Encrypt":' + b"[" * 100_000


def invalid_utf8(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode().replace("秘".encode(), b"\xff\xfe"))


def cut_xml(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake)).encode()[:60])


def no_sender(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake, FromUserName=None)).encode())


def no_time_inside(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake, CreateTime=None)).encode())


def odd_time_inside(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake, CreateTime="9" * 400)).encode())


def no_type(fake: FakeWeChat) -> Parts:
    return sealed(to_xml(text_fields(fake, MsgType=None)).encode())


def twice_the_sender(fake: FakeWeChat) -> Parts:
    body = to_xml(text_fields(fake)).encode()
    return sealed(body.replace(b"</xml>", b"<FromUserName>oOTHER</FromUserName></xml>"))


def long_query(fake: FakeWeChat) -> Parts:
    query, body = good_parts(fake)
    return query | {"more": "x" * 3000}, body


CASES: Mapping[Callable[[FakeWeChat], Parts], tuple[int, set[str]]] = {
    wrong_signature: (403, {"bad_signature"}),
    no_signature: (403, {"not_encrypted"}),
    odd_signature: (403, {"bad_signature"}),
    stale: (403, {"stale"}),
    from_the_future: (403, {"stale"}),
    no_time: (403, {"missing_field"}),
    bit_flipped: (403, {"bad_signature"}),
    flipped_and_signed: (403, {"bad_padding", "bad_length", "receive_id_mismatch"}),
    not_base64: (403, {"bad_ciphertext"}),
    short_ciphertext: (403, {"bad_ciphertext"}),
    truncated: (403, {"bad_xml"}),
    empty: (403, {"bad_json"}),
    unencrypted: (403, {"not_encrypted"}),
    for_another_account: (403, {"receive_id_mismatch"}),
    entities: (403, {"bad_xml"}),
    entities_outside: (403, {"bad_xml"}),
    deep: (403, {"too_deep"}),
    very_deep: (413, {"too_large"}),
    deep_json: (403, {"too_deep"}),
    deep_list: (403, {"too_deep", "bad_json"}),
    invalid_utf8: (403, {"bad_encoding"}),
    cut_xml: (403, {"bad_xml"}),
    no_sender: (403, {"missing_field"}),
    no_time_inside: (403, {"missing_field"}),
    odd_time_inside: (403, {"missing_field"}),
    no_type: (403, {"missing_field"}),
    twice_the_sender: (403, {"missing_field"}),
    long_query: (413, {"too_large"}),
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
async def test_what_is_not_wechats_is_refused_with_one_line(
    door: Door, make: Callable[[FakeWeChat], Parts]
) -> None:
    status, reasons = CASES[make]
    assert await door.post(*make(door.fake)) == status
    (reason,) = await door.reasons(1)
    assert reason in reasons


async def test_other_paths_and_methods_are_refused(door: Door) -> None:
    query, body = good_parts(door.fake)
    assert await door.post(query, body, "PUT") == 405
    assert await door.post(query, body, "DELETE") == 405
    assert await door.post({}, b"", "GET") == 403
    assert await door.post(query | {"echostr": ""}, b"", "GET") == 403
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/hook/", "/hook/other", "/hook/mp/", "/.env", "/metrics", "/healthz"):
            async with session.get(f"http://127.0.0.1:{door.served.port}{path}") as response:
                assert (response.status, await response.read()) == (404, b"")
    reasons = await door.reasons(11)
    assert reasons[:2] == ["bad_method"] * 2
    assert reasons[4:] == ["unknown_path"] * 7


@pytest.mark.parametrize(
    "line",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /hook/mp?openid=" + MEMBER.encode() + b" HTTP/9.9\r\n\r\n",
        b"POST /hook/mp?openid=" + MEMBER.encode() + b"\x01 HTTP/1.1\r\nBad Header\r\n\r\n",
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "version", "header", "length", "long-header", "many-headers", "chunk"],
)
async def test_what_is_not_http_gets_a_bare_400_or_nothing(door: Door, line: bytes) -> None:
    said = await door.raw(line)
    head, _, body = said.partition(b"\r\n\r\n")
    assert not said or head.split(b" ")[1] in (b"400", b"403")
    assert body == b""
    assert set(await door.reasons(1)) <= {"bad_http", "bad_body", "too_slow"}


# Too much, too slow


async def test_fifty_megabytes_are_refused_unread(door: Door) -> None:
    before = door.memory_mb()
    size = 50 << 20
    head = f"POST /hook/mp HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    said = await door.raw(head)  # not one byte of the body was sent
    assert said.startswith(b"HTTP/1.1 413 ")
    assert said.endswith(b"\r\n\r\n")
    assert await door.reasons(1) == ["too_large"]
    taken = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", door.served.port)
    writer.write(b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with suppress(ConnectionError):
        while taken < size:
            writer.write(chunk)
            async with asyncio.timeout(10):
                await writer.drain()
            taken += 65536
    said = b""
    with suppress(ConnectionError):
        said = await reader.read(12)
    writer.close()
    assert said in (b"", b"HTTP/1.1 413"), said
    assert await door.reasons(1) == ["too_large"]
    grown = door.memory_mb() - before
    print(f"50 MB in chunks: {taken >> 20} MB left the sender, memory grew by {grown:.1f} MB")
    assert not grown > 16.0


@asynccontextmanager
async def dribbling(door: Door, head: bytes, count: int) -> AsyncIterator[Callable[[], int]]:
    """So many clients that send a byte now and then; gives how many are connected still."""
    pairs = [await asyncio.open_connection("127.0.0.1", door.served.port) for _ in range(count)]

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(head)
            while not reader.at_eof() and not writer.is_closing():
                await asyncio.sleep(0.1)
                writer.write(b"a")
                await writer.drain()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await reader.read(65536)

    tasks = [asyncio.create_task(drip(*pair)) for pair in pairs]
    try:
        yield lambda: sum(not task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in pairs:
            writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"GET /other HTTP/1.1\r\nHost: x\r\n\r\nPOST /hook/mp HTTP/1.1\r\nX-Slow: ",
        b"POST /hook/mp HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
    ],
    ids=["headers", "second-headers", "body"],
)
async def test_slow_clients_are_cut_off_and_delay_nobody(door: Door, head: bytes) -> None:
    async with dribbling(door, head, 20) as connected:
        started = time.monotonic()
        await door.good()
        while connected() and time.monotonic() - started < 15:
            await asyncio.sleep(0.05)
        assert not connected(), "a slow client is still there"
    count = 40 if head.startswith(b"GET") else 20
    reasons = await door.reasons(count)
    assert reasons.count("too_slow") == 20
    assert set(reasons) <= {"too_slow", "unknown_path"}


async def test_a_client_that_hangs_up_in_the_middle_is_no_fault(door: Door) -> None:
    query, body = good_parts(door.fake)
    tail = "&".join(f"{name}={value}" for name, value in query.items())
    head = f"POST /hook/mp?{tail} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    for sent in (head.encode()[:40], head.encode(), head.encode() + body[:100]):
        _, writer = await asyncio.open_connection("127.0.0.1", door.served.port)
        writer.write(sent)
        await writer.drain()
        writer.close()
    await asyncio.sleep(0.2)
    assert [line["event"] for line in door.lines() if line["event"] != "refused"] == []


async def test_too_many_connections_are_turned_away_and_room_comes_back(door: Door) -> None:
    pairs = []
    with suppress(ConnectionError):
        for _ in range(CONNECTIONS * 2):
            pairs.append(await asyncio.open_connection("127.0.0.1", door.served.port))
    ended = await asyncio.gather(
        *(asyncio.wait_for(reader.read(1), HEADER_S * 10) for reader, _ in pairs),
        return_exceptions=True,
    )
    assert not any(isinstance(end, TimeoutError) for end in ended), "idle ones are closed, too"
    for _, writer in pairs:
        writer.close()
    await door.good()
    await asyncio.sleep(0.2)
    reasons = [line["reason"] for line in door.lines()]
    assert "too_many" in reasons
    assert set(reasons) <= {"too_many", "too_slow"}


# Odd, but from WeChat: answered


ODD_TEXTS = {
    "cdata": "秘密的话 a]]>b <![CDATA[ c",
    "emoji": "秘密的话 👩‍👩‍👧‍👦🧨𠮷",
    "sql": "秘密的话 x'; drop table members; -- \" or 1=1",
    "format": "秘密的话 {0.__class__} %s %n %(x)s ${jndi:ldap://x} {texts} {{}}",
    "marks": "秘密的话 <script>alert(1)</script> &amp; &lt;xml&gt; <a href='x'>",
    "bidi": "秘密的话 \u202e\u2066\ufeff\u200d",
    "newlines": "秘密的话\r\n\r\n\t\x85\u2028",
    "regex": "秘密的话(((((((((a+)+)+)+)+)+)+)+)+$ [[[[ \\\\",
    "digits": "９" * 500,
    "long": "秘密的话" * 2000,
    "blank": " \u3000\t ",
    "slash": "/秘密的话 /faq /../..",
}


@pytest.mark.parametrize("name", ODD_TEXTS)
async def test_an_odd_text_gets_a_valid_answer(door: Door, name: str) -> None:
    delivery = await door.fake.send_text(MEMBER, ODD_TEXTS[name])
    assert [attempt.error for attempt in delivery.attempts] == [""]
    if name != "blank":
        assert delivery.outcome == "replied"


@pytest.mark.parametrize("name", ["cdata", "emoji", "sql", "format", "marks"])
async def test_an_odd_text_is_echoed_as_it_was(door: Door, name: str) -> None:
    odd = ODD_TEXTS[name].removeprefix("秘密的话").strip()[:18]
    unknown = await door.fake.send_text(MEMBER, f"订阅 {odd}")
    assert odd in unknown.text
    added = await door.fake.send_text(OPERATOR, f"/faq add 怪问题{name} | 秘密的话 {odd}")
    assert added.text.startswith("已添加")
    told = await door.fake.send_text(MEMBER, f"怪问题{name}")
    assert told.text.startswith(f"秘密的话 {odd}")


async def test_control_characters_are_dropped_and_the_rest_is_read(door: Door) -> None:
    fields = text_fields(door.fake, Content="NUL")
    plain = to_xml(fields).replace("NUL", "\x00".join(FAQ[0].question) + "\x07\x1b\x7f")
    query, body = sealed(plain.encode())
    assert await door.post(query, body) == 200
    rows = door.served.rows("select text, handler from interactions order by id desc limit 1")
    assert rows == [(FAQ[0].question, "faq")]


async def test_what_wechat_may_invent_tomorrow_is_taken_and_logged(door: Door) -> None:
    kind = await door.fake.send_fields(door.fake.message(MEMBER, "hologram", Beam="x"))
    assert kind.outcome == "success"
    assert door.served.rows("select kind from interactions order by id desc limit 1") == [
        ("unknown",)
    ]
    event = await door.fake.send_event(MEMBER, "winter_is_coming", "x", Odd="y")
    assert event.outcome == "success"
    picture = await door.fake.send_fields(door.fake.message(MEMBER, "image"))
    assert picture.outcome == "replied", "fields nobody needs may be missing"
    nothing = await door.fake.send_fields(door.fake.message(MEMBER, "text"))
    assert nothing.attempts[0].status == 200


async def test_a_members_code_names_are_nobody_elses(door: Door) -> None:
    long_name = "o" + "x" * 300
    delivery = await door.fake.send_text(long_name, FAQ[0].question)
    assert delivery.text.startswith(FAQ[0].answer)
    refused = await door.fake.send_text(MEMBER, "/faq add 甲 | 乙")
    assert refused.text == TEXTS("operator.not_allowed")


async def test_ten_copies_at_once_are_one_message(door: Door) -> None:
    fields = text_fields(door.fake, Content=FAQ[1].question)
    delivery = await door.fake.deliver(fields, parallel=10)
    assert len({attempt.body for attempt in delivery.attempts}) == 1
    assert delivery.text.startswith(FAQ[1].answer)
