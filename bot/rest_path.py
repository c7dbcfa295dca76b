"""What may stand in a path or a header: rules for each, told in the OpenAPI document too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.problem import Fault, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A rule for one parameter. pattern: what all of it must match; number: it is whole."""

    description: str
    pattern: str
    example: str
    max_length: int = 64
    number: bool = False


JSON_MAX = 2**53 - 1
"""The greatest whole number that every reader of JSON keeps exact."""

ITEM_ID = Param(
    description="An item's id.",
    pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
    example="py-101",
)
NUMBER = Param(
    description="A number that zhiqun gave.",
    pattern="^[1-9][0-9]{0,17}$",
    example="12",
    max_length=18,
    number=True,
)

IDEMPOTENCY_KEY = Param(
    description="Yours, one for each thing you want done, such as order and attempt. Sent again "
    "with the same request it gets the same answer; with another request it is refused.",
    pattern="^[!-~]{1,64}$",
    example="order-17-redeem",
)
IDEMPOTENT = {"Idempotency-Key": IDEMPOTENCY_KEY}
"""The headers of an operation that gives away or takes back something of worth."""


def checked_headers(given: Mapping[str, str], params: Mapping[str, Param]) -> dict[str, str]:
    """The headers that are asked for, when all are there and keep their rules.

    Errors: Problem 400 that names the first that does not.
    """
    values = {name: given.get(name, "") for name in params}
    for name, param in params.items():
        value = values[name]
        if len(value) > param.max_length or not re.fullmatch(param.pattern[1:-1], value):
            raise Problem(
                400,
                "Bad header",
                f"Send {name}; it must match {param.pattern}.",
                type="bad-header",
                errors=[Fault("", f"{name} is missing or does not match {param.pattern}")],
            )
    return values


def checked_path(found: Mapping[str, str], params: Mapping[str, Param]) -> dict[str, str]:
    """The parameters, when all keep their rules.

    Errors: Problem 404: under a name that cannot be there is nothing.
    """
    values = dict(found)
    for name, param in params.items():
        value = values[name]
        # "$" would let a line break at the end through.
        if len(value) > param.max_length or not re.fullmatch(param.pattern[1:-1], value):
            raise Problem(
                404,
                "Not found",
                f"{name} must match {param.pattern}, at most {param.max_length} characters.",
                type="bad-path",
            )
    return values
