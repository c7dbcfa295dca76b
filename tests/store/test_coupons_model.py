"""Offers and coupons against a model, through random histories of members, shops and time.

However claims, gifts, checkouts, repeats, jumps of the clock and erasures are mixed: no code is
somebody's twice, none is given out beyond the inventory or the limit, no step is skipped, and
the same call always gets the same answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store import Store
from store.coupons import Claim, Claimant, Outcome
from store.redemption import Call, Cart, Redeemed, Result
from tests.blank import blank
from tests.store.couponing import DAY_S, new
from tests.store.rows import NOW

T = TypeVar("T")

HOLD_S = 900.0
MEMBERS = 2
OFFERS: tuple[dict[str, Any], ...] = (
    {"inventory": 2, "valid_days": 1},
    {"inventory": 4, "per_member": 2, "stackable": True, "kind": "percent", "value": 30},
    {"pool": True, "per_member": 2, "stackable": True, "claim_until": NOW + 2 * DAY_S},
    {"points_price": 40, "per_member": 3, "min_spend_cents": 500},
)
BEFORE = {
    "claimed": {""},
    "reserved": {"claimed", "reserved", "released"},
    "released": {"reserved"},
    "redeemed": {"claimed", "reserved", "released"},
    "expired": {"claimed", "released"},
    "revoked": {"claimed", "reserved", "released"},
}
"""What a step may follow; "" is the beginning."""
STATUS = {"released": "claimed"}
"""What a coupon is after a step, where that is not the step's own name."""

WHO = st.integers(0, MEMBERS - 1)
WHICH = st.integers(0, len(OFFERS) - 1)
NUMBER = st.integers(0, 99)
ORDER = st.sampled_from(["A", "B"])
AMOUNT = st.sampled_from([100, 900, 30_000])


async def meet(store: Store, number: int, now: float) -> int:
    """Somebody we know nothing of, with some points to spend."""
    member = await store.members.meet("mp", f"o_{number}", now)
    await store.points.post(member.id, 100, "operator", f"start:{member.id}", now)
    return member.id


@cache
def beginning() -> bytes:
    """The file every history begins with: the offers and the members."""

    async def make(path: Path) -> None:
        store = Store(blank(path), durability="process")
        await store.open()
        for number, fields in enumerate(OFFERS):
            made = await store.offers.create(new(word=f"w{number}", **fields), NOW, "x")
            assert made is not None
            if made.pool:
                await store.offers.add_codes(made.id, ["P1", "P2", "P3"], NOW)
        assert [await meet(store, number, NOW) for number in range(MEMBERS)] == [1, 2]
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zhiqun.db"
        asyncio.run(make(path))
        return path.read_bytes()


class World(RuleBasedStateMachine):
    """The store, and what the model remembers of what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        path = Path(self.folder.name) / "zhiqun.db"
        path.write_bytes(beginning())
        self.store = Store(blank(path), durability="process")
        self.run(self.store.open())
        self.file = sqlite3.connect(path)
        self.now = NOW
        self.members = list(range(1, MEMBERS + 1))
        self.asked = 0
        self.claims: list[tuple[int, int, bytes]] = []
        self.codes: dict[bytes, str] = {}
        """What each key was given."""
        self.calls: dict[str, tuple[str, str, Cart]] = {}
        self.answers: dict[str, str] = {}
        self.sales: dict[str, tuple[str, int]] = {}
        """What an order got for a code."""
        self.holds: dict[str, tuple[str, float]] = {}
        """Which order holds a code, and until when."""

    def teardown(self) -> None:
        self.file.close()
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self.file.execute(sql).fetchall()

    def code(self, number: int) -> str:
        known = list(self.codes.values())
        return known[-1 - number % min(3, len(known))] if known else "UNKNOWN"

    # Members

    @rule(who=WHO, which=WHICH, times=st.integers(1, 3))
    def claim(self, who: int, which: int, times: int) -> None:
        for _ in range(times):
            self.asked += 1
            key = hashlib.blake2b(b"%d" % self.asked, digest_size=16).digest()
            self.claims.append((self.members[who], which + 1, key))
            self.given(self.claims[-1])

    @precondition(lambda self: self.claims)
    @rule(number=NUMBER)
    def claim_again(self, number: int) -> None:
        self.given(self.claims[number % len(self.claims)])

    def given(self, asked: tuple[int, int, bytes]) -> None:
        member, offer, key = asked
        got: Claim = self.run(self.store.coupons.claim(offer, Claimant(member), key, self.now))
        if key in self.codes:
            assert got.outcome is Outcome.AGAIN
            assert got.coupon is not None
            assert got.coupon.code == self.codes[key]
        elif got.outcome is Outcome.CLAIMED:
            assert got.coupon is not None
            assert got.coupon.code not in self.codes.values()
            self.codes[key] = got.coupon.code
        elif got.outcome is Outcome.ALREADY:
            # None: they had it before they were forgotten.
            assert got.coupon is not None or member > MEMBERS
            assert got.coupon is None or got.coupon.member_id == member
        else:
            assert got.coupon is None

    @rule(number=NUMBER, which=WHICH)
    def grant(self, number: int, which: int) -> None:
        key = b"grant %d" % (number % 3)
        self.run(self.store.coupons.grant(which + 1, self.members, key, self.now, "x"))

    @rule(who=WHO)
    def erase(self, who: int) -> None:
        member = self.members[who]
        mine = {row[0] for row in self.ask(f"select code from coupons where member_id = {member}")}
        assert self.run(self.store.members.erase(member, self.now)) is not None
        self.claims = [one for one in self.claims if one[0] != member]
        self.codes = {key: code for key, code in self.codes.items() if code not in mine}
        self.holds = {code: hold for code, hold in self.holds.items() if code not in mine}
        self.members[who] = self.run(meet(self.store, who, self.now))

    # The shop

    @rule(verb=st.sampled_from(["reserve", "redeem", "release"]), number=NUMBER, order=ORDER)
    def call(self, verb: str, number: int, order: str, *, amount: int = 900) -> None:
        name = f"n{len(self.calls)}"
        self.calls[name] = (verb, self.code(number), Cart(order, amount))
        self.told(name)

    @rule(number=NUMBER, order=ORDER, amount=AMOUNT, held=st.booleans())
    def sell(self, number: int, order: str, amount: int, held: bool) -> None:
        if held:
            self.call("reserve", number, order, amount=amount)
        self.call("redeem", number, order, amount=amount)

    @precondition(lambda self: self.calls)
    @rule(number=NUMBER)
    def call_again(self, number: int) -> None:
        self.told(list(self.calls)[number % len(self.calls)])

    def told(self, name: str) -> None:
        verb, code, cart = self.calls[name]
        fingerprint = hashlib.sha256(f"{verb} {code} {cart}".encode()).digest()
        says = Call(actor="key:k", key_id="k", name=name, fingerprint=fingerprint, now=self.now)
        shop = self.store.redemptions
        got: Redeemed
        if verb == "reserve":
            got = self.run(shop.reserve(code, cart, says, HOLD_S))
        elif verb == "redeem":
            got = self.run(shop.redeem(code, cart, says))
        else:
            got = self.run(shop.release(code, cart.order_id, says))
        if name in self.answers:
            assert (got.outcome, got.answer) == (Result.REPLAYED, self.answers[name])
        elif got.ok:
            self.answers[name] = got.answer
            self.sold(verb, code, cart, got)

    def sold(self, verb: str, code: str, cart: Cart, got: Redeemed) -> None:
        assert got.discount_cents >= 0
        if got.outcome is Result.REPEATED:
            assert self.sales[code] == (cart.order_id, got.discount_cents)
            return
        assert got.outcome is Result.DONE
        assert got.coupon is not None
        assert got.discount_cents <= cart.amount_cents
        assert code not in self.sales, f"{verb} after the sale"
        holder, until = self.holds.pop(code, ("", 0.0))
        held = self.now < until
        assert not held or holder == cart.order_id, "somebody else's"
        if verb == "release":
            assert holder == cart.order_id
            return
        assert (got.coupon.expires_at or self.now + 1) > self.now or (held and verb == "redeem")
        self.together(code, cart.order_id)
        if verb == "reserve":
            self.holds[code] = (cart.order_id, self.now + HOLD_S)
        else:
            self.sales[code] = (cart.order_id, got.discount_cents)

    def together(self, code: str, order: str) -> None:
        """An order's coupons, if there are several, all may be used with others."""
        its = {one for one, (by, _) in self.sales.items() if by == order}
        its |= {one for one, (by, until) in self.holds.items() if by == order and until > self.now}
        alone = self.ask(
            "select c.code from coupons as c join offers as o on o.id = c.offer_id "
            "where not o.stackable"
        )
        assert not its or not (its | {code}) & {row[0] for row in alone}

    # Operators and time

    @rule(number=NUMBER)
    def revoke(self, number: int) -> None:
        code = self.code(number)
        got = self.run(self.store.coupons.revoke(code, self.now, "x"))
        assert code not in self.sales or got is None
        if got is not None:
            self.holds.pop(code, None)

    @rule(which=WHICH, number=NUMBER)
    def pause(self, which: int, number: int) -> None:
        self.run(self.store.offers.set_status(which + 1, "paused", self.now))
        self.grant(number, which)
        got = self.run(self.store.coupons.claim(which + 1, Claimant(1), b"paused", self.now))
        assert got.outcome is not Outcome.CLAIMED
        self.run(self.store.offers.set_status(which + 1, "open", self.now))

    @rule(seconds=st.sampled_from([1.0, HOLD_S / 2, HOLD_S, DAY_S]), clock=st.booleans())
    def wait(self, seconds: float, clock: bool) -> None:
        self.now += seconds
        if clock:
            self.run(self.store.coupons.expire(self.now))
            assert self.ask(
                "select count(*) from coupons where (status = 'reserved' "
                f"and reserved_until <= {self.now}) "
                f"or (status = 'claimed' and expires_at <= {self.now})"
            ) == [(0,)]

    # What always holds

    @invariant()
    def no_oversell(self) -> None:
        for claimed, inventory, given, offered, pool in self.ask(
            "select claimed, inventory, (select count(*) from coupons as c "
            "where c.offer_id = o.id and c.status <> 'offered'), "
            "(select count(*) from coupons as c where c.offer_id = o.id "
            "and c.status = 'offered'), pool from offers as o"
        ):
            assert claimed == given
            assert inventory is None or claimed <= inventory
            assert not pool or offered + given == inventory
        for held, per_member in self.ask(
            "select count(*), o.per_member from coupons as c join offers as o "
            "on o.id = c.offer_id where c.member_id is not null "
            "group by c.offer_id, c.member_id"
        ):
            assert held <= per_member

    @invariant()
    def no_step_skipped(self) -> None:
        status = dict(self.ask("select id, status from coupons where status <> 'offered'"))
        last, orders = dict.fromkeys(status, ""), dict.fromkeys(status, "")
        for coupon_id, step, order in self.ask(
            "select coupon_id, status, order_id from coupon_steps order by id"
        ):
            assert last[coupon_id] in BEFORE[step], f"{last[coupon_id]} -> {step}"
            assert last[coupon_id] != "reserved" or orders[coupon_id] == order
            last[coupon_id], orders[coupon_id] = step, order
        assert status == {coupon_id: STATUS.get(step, step) for coupon_id, step in last.items()}

    @invariant()
    def orders_pay_no_less_than_nothing(self) -> None:
        for amount, discount in self.ask(
            "select max(amount_cents), sum(discount_cents) from coupons "
            "where order_id <> '' and status = 'redeemed' group by order_id"
        ):
            assert discount <= amount
        assert self.ask(
            "select count(*) from coupons where discount_cents > amount_cents "
            "or (status in ('claimed', 'expired', 'revoked') and order_id <> '')"
        ) == [(0,)]

    @invariant()
    def points_pay_for_what_they_bought(self) -> None:
        assert self.run(self.store.points.audit_sums()) == []
        assert self.ask(
            "select count(*) from (select member_id, sum(points_paid) as paid from coupons "
            "where member_id is not null group by member_id) as bought "
            "join point_accounts as a on a.member_id = bought.member_id "
            "where a.balance <> 100 - bought.paid"
        ) == [(0,)]


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
