"""What others would run: small honest servers that our figures stand beside.

Each is a script, `python -m bench.peers.NAME --port P`, that answers `/hook/mp` for
the same invented account. None remembers anything; ours does.
"""

from __future__ import annotations

import argparse

from bench.load import Account

ACCOUNT = Account()
"""The account every peer answers for."""


def port() -> int:
    """The port named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    return int(parser.parse_args().port)
