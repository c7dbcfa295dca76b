"""Tells operators in private what they are to hear of at once, each piece of news once.

An alert is a row that any job may write (`store/alerts.py`). Its words are made here, with what
the messages it is about say at this moment: a message that was taken back meanwhile is not
quoted. Who cannot be written to now is tried again until it is no news any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence

from store import Store
from store.alerts import Alert

LATE_S = 12 * 3600.0
"""What is older is no news; `/mood alerts` still shows it."""

EXAMPLES = 3
"""Messages that are shown."""

Say = Callable[[Alert, str, Sequence[str]], str]
"""(the alert, what its group is called, "" in private; what messages say) -> the words, "" for a
kind that nobody is told of: `handlers/mood_text.py`."""

Tell = Callable[[int | None, str, bytes], Awaitable[bool]]
"""(member; words; 16 bytes) -> whether they were told; the same key again tells nothing."""


async def tick(store: Store, say: Say, tell: Tell, now: float) -> str:
    """Tell what is untold; says how much, "" for nothing. Every half minute or so.

    Errors: StoreError.
    """
    waiting = await store.alerts.untold(now - LATE_S)
    if not waiting:
        return ""
    readers = [member_id for member_id, _ in await store.members.staff()]
    done = 0
    for alert in waiting:
        texts = await store.readings.texts(alert.rows)
        group = store.groups.known(alert.place)
        words = say(alert, group.title if group is not None else "", texts[:EXAMPLES])
        told = not words
        for member_id in readers if words else ():
            theirs = hashlib.blake2b(alert.key, digest_size=16, key=str(member_id).encode())
            told = await tell(member_id, words, theirs.digest()) or told
        if told:
            # Told first: a kill in between tells it again, under the same key.
            await store.alerts.told(alert.id, now)
            done += 1
    return f"{done} alerts told" if done else ""
