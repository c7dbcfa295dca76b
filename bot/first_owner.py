"""The first owner: a code that is shown where the bot was started, sent from one's own WeChat."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

from store import Store
from store.members import OWNER_CLAIM

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""No letter of it looks like another."""
_LENGTH = 10


class FirstOwner:
    """Makes the code and takes it. say: where a person reads; the code never goes into the log."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say

    async def claim(self, code: str, member_id: int, at: float, by: bytes) -> bool:
        """Make this member owner and use the one-time code up; False when wrong or used."""
        return await self._store.members.claim_owner(member_id, _hash(code), at, by)

    async def offer(self) -> None:
        """Show a new code, unless somebody owns the bot; the one before is void."""
        if await self._store.members.has_owner():
            return
        code = "".join(secrets.choice(ALPHABET) for _ in range(_LENGTH))
        await self._store.meta.put(OWNER_CLAIM, _hash(code))
        self._say(
            f"Nobody owns this bot yet. Send it, from your own WeChat:  /claim {code}\n"
            "The code works once, until the next start. "
            'Or name your openid in the configuration: owners = ["o…"].'
        )


def _hash(code: str) -> str:
    plain = "".join(ch for ch in code.upper() if ch.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
