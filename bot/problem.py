"""What the API says when it refuses: problem details (RFC 9457), one shape for everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

PROBLEM_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""How many faults of a body are told; who sends more gets the rest after mending these."""


class Fault(msgspec.Struct, omit_defaults=True, frozen=True):
    """One thing that is wrong with what was sent."""

    pointer: Annotated[str, Meta(description="Where, as a JSON pointer; empty for the whole.")]
    detail: Annotated[str, Meta(description="What is wrong there.")]
    line: Annotated[
        int, Meta(ge=0, description="Which line of a batch, from 1; absent outside of batches.")
    ] = 0


class ProblemBody(msgspec.Struct, omit_defaults=True):
    """Problem details as RFC 9457 has them."""

    title: Annotated[str, Meta(description="What kind of problem; the same for each of a kind.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    type: Annotated[
        str, Meta(description="The kind, for programs: urn:zhiqun:… or about:blank.")
    ] = "about:blank"
    detail: Annotated[str, Meta(description="What to do about it.")] = ""
    errors: Annotated[
        list[Fault], Meta(description="Every fault found in the body or the query, at most 100.")
    ] = []
    request_id: Annotated[
        str, Meta(description="To be told when asking for help: the log has it too.")
    ] = ""


class Problem(Exception):
    """A request that is refused, raised anywhere below the door.

    type: a short name ("rate-limited"), sent as urn:zhiqun:NAME. detail and errors are
    shown to the caller: nothing that came from elsewhere belongs there.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        type: str = "about:blank",
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(status, title)
        self.status = status
        self.title = title
        self.detail = detail
        self.type = type
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.close = close

    def response(self, request_id: str = "") -> web.Response:
        """The answer that says it."""
        slug = self.type if self.type == "about:blank" else f"urn:zhiqun:{self.type}"
        body = ProblemBody(
            self.title, self.status, slug, self.detail, self.errors[:MAX_FAULTS], request_id
        )
        response = web.Response(
            status=self.status,
            body=msgspec.json.encode(body),
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )
        if self.close:
            response.force_close()
        return response


def invalid(detail: str, pointer: str = "") -> Problem:
    """422 for one thing that is wrong in a body."""
    return unusable([Fault(pointer, detail)])


def unusable(faults: Sequence[Fault]) -> Problem:
    """422 for all that is wrong in a body."""
    return Problem(
        422,
        "What was sent cannot be used",
        "errors says what is wrong; nothing was stored.",
        type="invalid",
        errors=faults,
    )


def not_found(what: str) -> Problem:
    """404 for a thing that is not there."""
    return Problem(404, "Not found", f"There is no such {what}.", type="not-found")


def fault_of(error: Any, base: str = "", line: int = 0) -> Fault:
    """A msgspec error as a fault: its `$.a[0].b` becomes the pointer /a/0/b below `base`."""
    detail, mark, path = str(error).rpartition(" - at `$")
    if not mark:
        return Fault(base, str(error), line)
    steps = path.rstrip("`").replace("[", ".").replace("]", "").split(".")
    # "..." is msgspec's word for some key of a mapping: there the pointer ends.
    pointer = ""
    for step in steps:
        if step == "":
            continue
        pointer += "/" + step.replace("~", "~0").replace("/", "~1")
    return Fault(base + pointer, detail, line)
