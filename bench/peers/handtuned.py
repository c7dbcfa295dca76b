"""As fast as one gets on aiohttp: cipher kept, bytes cut instead of parsed.

`answer` is shared with `handtuned_noframework`, so the two differ by the framework only.
It trusts the order of WeChat's fields and would break on JSON: a limit, not a model.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from binascii import a2b_base64, b2a_base64

import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bench.peers import ACCOUNT, port

_key = base64.b64decode(ACCOUNT.encoding_aes_key + "=")
_cipher = Cipher(algorithms.AES(_key), modes.CBC(_key[:16]))
_token = ACCOUNT.token.encode()
_app_id = ACCOUNT.app_id.encode()
_pads = [bytes([32 - n]) * (32 - n) for n in range(32)]


def _between(data: bytes, before: bytes, after: bytes) -> bytes:
    start = data.index(before) + len(before)
    return data[start : data.index(after, start)]


def _sign(*parts: bytes) -> str:
    return hashlib.sha1(b"".join(sorted((_token, *parts)))).hexdigest()


def answer(query: bytes, body: bytes) -> bytes | None:
    """The sealed echo of a sealed message; None when the signature or the app id is wrong."""
    args = dict(pair.split(b"=", 1) for pair in query.split(b"&"))
    nonce = args[b"nonce"]
    sealed = _between(body, b"<Encrypt><![CDATA[", b"]]>")
    signature = _sign(args[b"timestamp"], nonce, sealed)
    if not hmac.compare_digest(signature.encode(), args[b"msg_signature"]):
        return None
    decryptor = _cipher.decryptor()
    clear = decryptor.update(a2b_base64(sealed)) + decryptor.finalize()
    end = 20 + int.from_bytes(clear[16:20])
    if clear[end : len(clear) - clear[-1]] != _app_id:
        return None
    message = clear[20:end]
    stamp = b"%d" % time.time()
    reply = (
        b"<xml><ToUserName><![CDATA[%b]]></ToUserName><FromUserName><![CDATA[%b]]></FromUserName>"
        b"<CreateTime>%b</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        b"<Content><![CDATA[%b]]></Content></xml>"
    ) % (
        _between(message, b"<FromUserName><![CDATA[", b"]]>"),
        _between(message, b"<ToUserName><![CDATA[", b"]]>"),
        stamp,
        _between(message, b"<Content><![CDATA[", b"]]>"),
    )
    plain = os.urandom(16) + len(reply).to_bytes(4) + reply + _app_id
    encryptor = _cipher.encryptor()
    out = encryptor.update(plain + _pads[len(plain) % 32]) + encryptor.finalize()
    sealed = b2a_base64(out, newline=False)
    return (
        b"<xml><Encrypt><![CDATA[%b]]></Encrypt><MsgSignature><![CDATA[%b]]></MsgSignature>"
        b"<TimeStamp>%b</TimeStamp><Nonce><![CDATA[%b]]></Nonce></xml>"
    ) % (sealed, _sign(stamp, nonce, sealed).encode(), stamp, nonce)


async def _echo(request: web.Request) -> web.Response:
    _, _, query = request.path_qs.partition("?")
    out = answer(query.encode(), await request.read())
    return web.Response(status=403) if out is None else web.Response(body=out)


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_post("/hook/mp", _echo)
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
