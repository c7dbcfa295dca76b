"""WeRoBot as its documentation shows it, sessions off, under waitress."""

from __future__ import annotations

from typing import Any

import waitress
from werobot import WeRoBot

from bench.peers import ACCOUNT, port

robot = WeRoBot(
    token=ACCOUNT.token,
    app_id=ACCOUNT.app_id,
    encoding_aes_key=ACCOUNT.encoding_aes_key,
    SESSION_STORAGE=False,
)


@robot.text  # type: ignore[untyped-decorator]
def echo(message: Any) -> str:
    """Say it again."""
    return str(message.content)


def main() -> None:
    """Serve until killed."""
    waitress.serve(robot.wsgi, host="127.0.0.1", port=port(), _quiet=True)


if __name__ == "__main__":
    main()
