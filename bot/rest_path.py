"""What may stand in a path: rules for its parameters, told in the OpenAPI document too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.problem import Problem


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
