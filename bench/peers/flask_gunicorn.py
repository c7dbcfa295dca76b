"""Flask and wechatpy under gunicorn's plain worker: what most tutorials end with."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.replies import TextReply

from bench.peers import ACCOUNT, port

app = Flask("peer")
crypto = WeChatCrypto(ACCOUNT.token, ACCOUNT.encoding_aes_key, ACCOUNT.app_id)


@app.post("/hook/mp")
def echo() -> tuple[str, int] | str:
    """Open, say it again, seal."""
    args = request.args
    try:
        clear = crypto.decrypt_message(
            request.get_data(), args["msg_signature"], args["timestamp"], args["nonce"]
        )
    except (InvalidSignatureException, InvalidAppIdException):
        return "", 403
    message = parse_message(clear)
    reply = TextReply(content=message.content, message=message)
    return str(crypto.encrypt_message(reply.render(), args["nonce"], args["timestamp"]))


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn without its command line: one sync worker."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand our options over."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application."""
        return app


def main() -> None:
    """Serve until killed."""
    options = {
        "bind": f"127.0.0.1:{port()}",
        "workers": 1,
        "worker_class": "sync",
        "loglevel": "error",
        "control_socket_disable": True,
    }
    Server(options).run()


if __name__ == "__main__":
    main()
