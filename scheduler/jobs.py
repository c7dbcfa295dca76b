"""The jobs: backup, forgetting what is no longer needed, the order of the catalogue.

Each says in one line what it did. Time comes in as `now`, Unix seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from recommender.popular import popular
from store import Store

SHANGHAI = ZoneInfo("Asia/Shanghai")
POPULAR = "popular_items"
"""Name of the finding: a JSON list of item ids, most wanted first."""

_VIEWS_S = 90 * 86400.0
_STREAMS_S = 2 * 3600.0
_HOOKS_DONE_S = 7 * 86400.0
_HOOKS_DEAD_S = 90 * 86400.0


async def backup(store: Store, folder: Path, keep: int, now: float) -> str:
    """Copy the database into `folder`, keep the newest `keep` copies. keep 0: nothing."""
    if keep <= 0:
        return "backups are switched off"
    stamp = datetime.fromtimestamp(now, SHANGHAI).strftime("%Y%m%d-%H%M%S")
    await store.backup(folder / f"zhiqun-{stamp}.db")

    def thin() -> int:
        old = sorted(folder.glob("zhiqun-????????-??????.db"))[:-keep]
        for path in old:
            path.unlink()
        return len(old)

    dropped = await asyncio.to_thread(thin)
    return f"zhiqun-{stamp}.db written, {dropped} old ones dropped"


async def purge(store: Store, keep_messages_s: float, now: float) -> str:
    """Forget answered messages, settled sends and expired states, what used-up offers
    and quizzes no longer need; tidy the file."""
    messages = await store.messages.purge(now - keep_messages_s)
    sends = await store.sends.purge(now - keep_messages_s)
    await store.streams.purge(now - _STREAMS_S)
    states = await store.members.purge_states(now)
    used_up = await store.used_up.purge(now)
    await store.optimise()
    return f"{messages} messages, {sends} sends, {states} states, {used_up} used-up rows forgotten"


async def tidy_hooks(store: Store, now: float) -> str:
    """Forget webhooks' deliveries: a week after they arrived, ninety days after they died."""
    gone = await store.hooks.purge(now - _HOOKS_DONE_S, now - _HOOKS_DEAD_S)
    return f"{gone} deliveries forgotten"


async def order_catalogue(store: Store, reload: Callable[[], Awaitable[None]], now: float) -> str:
    """Rank the items by what members asked for lately; the next list shows it."""
    ranked = popular(await store.interactions.item_views(now - _VIEWS_S), now)
    await store.interactions.put_finding(POPULAR, json.dumps(ranked), now)
    await reload()
    return f"{len(ranked)} items ranked"
