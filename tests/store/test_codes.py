"""Codes: one of ours survives being copied by hand, and a slip of the pen shows."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.codes import ALPHABET, check_sign, draw_signs, is_ours, new_code, plain, shown

RANDOM = random.Random(7)


def test_no_two_signs_of_the_alphabet_look_alike() -> None:
    assert len(set(ALPHABET)) == 31
    assert set("01IlO").isdisjoint(ALPHABET)
    assert ALPHABET.isupper()


def test_new_codes_are_ours_and_all_different() -> None:
    made = [new_code() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(is_ours(code) for code in made)


def test_every_sign_is_as_likely_as_any_other() -> None:
    # Each of the 256 bytes once: those that would favour the first signs are left out.
    def every_byte(count: int) -> bytes:
        return bytes(itertools.islice(stream, count))

    stream = itertools.cycle(range(256))
    signs = "".join(draw_signs(every_byte) for _ in range(62))
    assert {signs.count(sign) for sign in ALPHABET} == {62 * 12 // 31}


def test_a_code_is_never_letters_alone() -> None:
    letters_first = iter([bytes(range(10, 22)), bytes(range(12))])
    assert new_code(lambda _: next(letters_first)) == "23456789ABCD" + check_sign("23456789ABCD")


@pytest.mark.parametrize("code", [new_code(RANDOM.randbytes) for _ in range(5)])
def test_one_wrong_sign_or_two_swapped_ones_show(code: str) -> None:
    for place, sign in itertools.product(range(13), ALPHABET):
        assert is_ours(code[:place] + sign + code[place + 1 :]) is (sign == code[place])
    for place in range(12):
        swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
        # The check sign swapped with its neighbour is the one swap that may go unseen.
        assert is_ours(swapped) is (swapped == code) or place == 11


@pytest.mark.parametrize(
    "typed",
    ["abcd-efgh-jkmnp", " ABCD EFGH JKMNP\n", "ＡＢＣＤ－ＥＦＧＨ－ＪＫＭＮＰ", "ABCD—EFGH–JKMN‑P"],
)
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert plain(typed) == "ABCDEFGHJKMNP"


@pytest.mark.parametrize("code", ["", "ABC", "ABCDEFGHJKMN0", "abcdefghjkmnp", "早鸟", "2" * 14])
def test_what_cannot_be_ours_is_not(code: str) -> None:
    assert not is_ours(code)


def test_ours_are_shown_in_groups_and_a_shops_as_they_are() -> None:
    code = "22222222222" + "3" + check_sign("222222222223")
    assert shown(code) == f"2222-2222-2223{code[-1]}"
    assert shown("SHOP-17") == "SHOP-17"


def test_a_sign_outside_the_alphabet_has_no_check() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        check_sign("2O")


@given(st.text("abXY29 -－—\t｜ＡＺａｚ０９ 　", max_size=40))
def test_the_plain_form_of_a_plain_form_is_itself(typed: str) -> None:
    assert plain(plain(typed)) == plain(typed)
