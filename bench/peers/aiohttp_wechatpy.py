"""aiohttp under uvloop with wechatpy called straight from the handler."""

from __future__ import annotations

import uvloop
from aiohttp import web
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.replies import TextReply

from bench.peers import ACCOUNT, port

crypto = WeChatCrypto(ACCOUNT.token, ACCOUNT.encoding_aes_key, ACCOUNT.app_id)


async def echo(request: web.Request) -> web.Response:
    """Open, say it again, seal."""
    query = request.query
    body = await request.read()
    try:
        clear = crypto.decrypt_message(
            body, query["msg_signature"], query["timestamp"], query["nonce"]
        )
    except (InvalidSignatureException, InvalidAppIdException):
        return web.Response(status=403)
    message = parse_message(clear)
    reply = TextReply(content=message.content, message=message)
    sealed = crypto.encrypt_message(reply.render(), query["nonce"], query["timestamp"])
    return web.Response(text=sealed, content_type="text/xml")


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_post("/hook/mp", echo)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port(),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
