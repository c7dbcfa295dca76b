"""What a coupon takes off an order, doubts settled for the shop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.discounts import Cart, Discount, Line, discount
from tests.store.couponing import cart, new

TAGS = {"py": ("编程", "入门"), "art": ("艺术",)}
PRICES = {"py": 3000, "art": 5000}


def worth(order: Cart, taken: int = 0, **fields: Any) -> Discount:
    return discount(new(**fields), order, TAGS, PRICES, taken)


def test_an_amount_comes_off_but_never_more_than_the_order() -> None:
    assert worth(cart(cents=10_000)) == Discount(2000)
    assert worth(cart(cents=1500)) == Discount(1500)


def test_a_percentage_is_rounded_down_and_capped() -> None:
    assert worth(cart(cents=999), kind="percent", value=15) == Discount(149)
    assert worth(cart(cents=99_900), kind="percent", value=50, cap_cents=3000) == Discount(3000)
    assert worth(cart(cents=500), kind="percent", value=100) == Discount(500)


def test_the_least_order_counts_before_the_discount() -> None:
    assert worth(cart(cents=4999), min_spend_cents=5000) == Discount(why_not="min_spend")
    assert worth(cart(cents=5000), min_spend_cents=5000) == Discount(2000)


def test_an_offer_for_items_takes_off_of_those_only() -> None:
    order = cart(cents=8000, py=3000, art=5000)
    assert worth(order, value=4000, items=("py",)) == Discount(3000)
    assert worth(order, kind="percent", value=10, categories=("艺术",)) == Discount(500)
    assert worth(order, kind="percent", value=10, items=("py",), categories=("艺术",)) == (
        Discount(800)
    )


@pytest.mark.parametrize(
    "order", [cart(), cart(art=5000), cart(unheard_of=5000), cart(py=0)], ids=repr
)
def test_an_offer_for_items_is_nothing_for_an_order_without_them(order: Cart) -> None:
    assert worth(order, items=("py",)) == Discount(why_not="no_item")


def test_a_bundle_gives_one_of_each_of_its_items() -> None:
    order = cart(cents=14_000, py=9000, art=4000)
    # Three of py: one is free, at the catalogue's price. art was cheaper in the shop.
    assert worth(order, kind="bundle", value=0, items=("py", "art")) == Discount(7000)
    twice = Cart("A1", 6000, (Line("py", 3000), Line("py", 3000)))
    assert worth(twice, kind="bundle", value=0, items=("py",)) == Discount(3000)
    new_one = cart(cents=700, fresh=700)
    assert worth(new_one, kind="bundle", value=0, items=("fresh",)) == Discount(700)


def test_a_category_is_a_tag_however_it_is_written() -> None:
    got = discount(
        new(categories=("python",)), cart(py=5000), {"py": ("编程", "Ｐython")}, {"py": 5000}
    )
    assert got.cents == 2000


def test_a_bundle_is_its_items_whatever_categories_say() -> None:
    order = cart(cents=8000, py=3000, art=5000)
    bundle = worth(order, kind="bundle", value=0, items=("py",), categories=("艺术",))
    assert bundle == Discount(3000)


def test_a_trial_gives_days_and_takes_off_nothing() -> None:
    assert worth(cart(cents=0), kind="trial", value=7) == Discount(0, 7)
    assert worth(cart(cents=0), kind="trial", value=7, items=("py",)).why_not == "no_item"


def test_a_coupon_is_not_used_up_for_nothing() -> None:
    assert worth(cart(cents=0)).why_not == "min_spend"
    assert worth(cart(cents=9), kind="percent", value=10).why_not == "min_spend"


def test_several_coupons_take_off_no_more_than_the_order() -> None:
    assert worth(cart(cents=5000), taken=4000) == Discount(1000)
    assert worth(cart(cents=5000), taken=5000).why_not == "min_spend"


@pytest.mark.parametrize(
    ("order_id", "cents", "lines"), [("", 1, ()), ("A", -1, ()), ("A", 1, (Line("py", -1),))]
)
def test_an_order_has_a_number_and_costs_something(
    order_id: str, cents: int, lines: tuple[Line, ...]
) -> None:
    with pytest.raises(ValueError, match="order"):
        Cart(order_id, cents, lines)


LINES = st.lists(
    st.builds(Line, st.sampled_from(["py", "art", "x"]), st.integers(0, 9000)), max_size=3
)


@given(
    st.builds(Cart, st.just("A1"), st.integers(0, 20_000), LINES.map(tuple)),
    st.sampled_from([("amount", 2500), ("percent", 33), ("trial", 3), ("bundle", 0)]),
    st.sampled_from([(), ("py",), ("py", "art")]),
    st.integers(0, 20_000),
)
def test_no_discount_is_more_than_what_is_left_to_pay(
    order: Cart, kind: tuple[Any, int], items: tuple[str, ...], taken: int
) -> None:
    found = worth(order, taken, kind=kind[0], value=kind[1], items=items or ("py",))
    assert found.cents == 0 or 0 < found.cents <= order.amount_cents - taken
    assert not (found.why_not and (found.cents or found.days))
