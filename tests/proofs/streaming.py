"""A WeCom robot as a process of its own, with a handler that takes its time.

`python -m tests.proofs.streaming FILE PORT API_BASE SECONDS`: the real store, inbox, streams, door
and webhook; the answer names the question, has a picture, and comes after so many seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from aiohttp import web

from bot.client import new_session
from bot.config import ServerSettings
from bot.crypto import BadMessage
from bot.inbox import Inbox, Sentences
from bot.metrics import Metrics
from bot.parts import Outcome
from bot.streams import StreamAnswers
from bot.terminal import run_loop
from bot.webhook import Webhook
from bot.wecom import Codec
from bot.wecom_door import WecomDoor, sentences_of
from handlers.message import Message, Reply
from handlers.texts import Texts
from store import Store
from store.members import Member
from store.messages import Unanswered
from tests.build import AES_KEY, TOKEN

DEADLINE_S = 0.4
FETCH_S = 0.8
PICTURE = b"\x89PNG proof"
PROGRESS = "正在翻资料"


def answer_to(text: str) -> str:
    """What the robot says in the end: more than one official message would hold."""
    return f"答{text}" + "。细节" * 2000


async def serve(path: Path, port: int, api_base: str, seconds: float) -> None:
    """Run until killed."""
    says = sentences_of(Texts.load(None))
    store, metrics, session = Store(path), Metrics(), new_session()
    await store.open()
    codec = Codec("robot", TOKEN, AES_KEY, name="小助手")
    streams = StreamAnswers(
        store, says, {"robot": api_base}, session, now=time.time, fetch_s=FETCH_S
    )

    async def converse(message: Message, member: Member) -> Outcome:
        streams.said(message.key, PROGRESS)
        await asyncio.sleep(seconds)
        said, then = Reply.text(answer_to(message.text)), (Reply.image("m1"),)
        return Outcome(said, "proof", then=then)

    def read(row: Unanswered) -> Message | None:
        try:
            return codec.read(row.body, row.received_at)
        except BadMessage:
            return None

    async def picture(media_id: str) -> bytes | None:
        return PICTURE

    inbox = Inbox(
        store,
        converse,
        metrics,
        Sentences(crashed=says.crashed, thinking="", more="", transfer_again=""),
        now=time.time,
        late=lambda: None,
        streams={"robot": streams},
        deadline_s=DEADLINE_S,
    )
    inbox.open()
    await inbox.recover(read)
    door = WecomDoor(codec, inbox, streams, store, says, metrics, pictures=picture)
    webhook = Webhook(
        {}, inbox, metrics, ServerSettings(), now=time.time, doors={"/hook/robot": door}
    )
    runner = web.ServerRunner(webhook.server())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await streams.run()


if __name__ == "__main__":
    file, at, base, pause = sys.argv[1:]
    run_loop(serve(Path(file), int(at), base, float(pause)))
