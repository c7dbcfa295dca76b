"""`zhiqun audit`: what operators did, and whether the record of it is as it was written."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.terminal import FAILED, OK, CommandError, config_of_database, with_store

if TYPE_CHECKING:
    from store import Store

SHANGHAI = ZoneInfo("Asia/Shanghai")
_HEAD = re.compile(r"[0-9a-f]{8,64}")


def audit(args: argparse.Namespace) -> int:
    """`zhiqun audit list|verify`. FAILED when the chain does not hold."""
    head = args.head.strip().lower()
    if head and not _HEAD.fullmatch(head):
        raise CommandError("--head takes what an earlier `zhiqun audit verify` printed")

    config = config_of_database(args)
    if args.what == "list":
        return with_store(config, lambda store: _list(store, args.count))
    return with_store(config, lambda store: _verify(store, head))


async def _list(store: Store, count: int) -> int:
    for row in reversed(await store.audit.newest(count)):
        at = datetime.fromtimestamp(row.at, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
        print(
            "  ".join(part for part in (at, row.actor, row.action, row.target, row.detail) if part)
        )
    return OK


async def _verify(store: Store, head: str) -> int:
    found = await store.audit.verify(head)
    if found.broken is not None:
        print(f"tampered: row {found.broken} of the audit does not follow from the one before it")
        return FAILED
    if found.missing:
        print(f"tampered: rows are missing at the end; {found.rows} are left")
        return FAILED
    if not found.known:
        print(f"tampered: no row has the hash {head}: what stood there then was taken out")
        return FAILED
    forgotten = f", {found.erased} with a forgotten detail" if found.erased else ""
    print(f"sound: {found.rows} rows{forgotten}. Head: {found.head}")
    print("Note the head somewhere else: zhiqun audit verify --head HEAD shows a rewritten chain.")
    return OK
