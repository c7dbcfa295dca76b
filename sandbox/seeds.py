"""What the demo's business gives its members from the start: three offers and a quiz.

One offer for everybody, one for points, one for who brings a friend; and a quiz that stays
open for as long as anybody plays with the demo. Seeding again changes nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from handlers.quiz_text import read
from store import Store
from store.offers import NewOffer
from store.quizzes import DRAFT

QUIZ = Path(__file__).parent / "seed" / "quiz.txt"
BY = "cli"
OPEN_S = 30 * 86_400.0

CLAIM = NewOffer(
    word="早鸟",
    title="早鸟券",
    kind="amount",
    value=2000,
    min_spend_cents=9900,
    inventory=100,
    valid_days=30,
)
EXCHANGE = NewOffer(
    word="书签",
    title="书签券",
    kind="percent",
    value=10,
    cap_cents=3000,
    points_price=20,
    inventory=50,
    per_member=2,
    stackable=True,
    valid_days=30,
)
FRIEND = NewOffer(
    word="老友",
    title="老友券",
    kind="amount",
    value=5000,
    min_spend_cents=12900,
    audience="did:invite",
    valid_days=60,
)
OFFERS = (FRIEND, EXCHANGE, CLAIM)
"""The last one stands first where members look."""
LADDER = (f"1:{FRIEND.word}",)


async def seed(store: Store, now: float) -> None:
    """Make the offers and start the quiz. Errors: StoreError."""
    for offer in OFFERS:
        await store.offers.create(offer, now, BY, _key(offer.word))
    quiz, _ = await store.quizzes.create(read(QUIZ.read_text("utf-8")), now, BY, _key("quiz"))
    if quiz.status == DRAFT:
        await store.quizzes.start(quiz.id, now, now + OPEN_S)


def _key(name: str) -> bytes:
    return hashlib.blake2b(f"demo:{name}".encode(), digest_size=16).digest()
