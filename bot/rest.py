"""The REST API's frame: what every operation has in common, written once.

An `Operation` says what it takes and gives, as types; key, scope, pace, body, limits,
refusals, headers, log line and the OpenAPI document follow from that. The operations
themselves stand in `bot/rest_*.py`, one file a resource, and see only good input.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from bot import signature
from bot.group_means import GroupMeans
from bot.insight_means import InsightMeans
from bot.keys import SCOPES, ApiKey, Guesses, KeyRing
from bot.problem import Fault, Problem, ProblemBody, fault_of, invalid, not_found, unusable
from bot.rest_body import (
    Line,
    all_good,
    batch_reader,
    decoded,
    json_reader,
    read_body,
    read_query,
)
from bot.rest_path import ITEM_ID, NUMBER, Param, checked_headers, checked_path
from bot.rest_running import Running
from handlers.campaigning import Campaigns
from handlers.recommending import Recommendations
from handlers.rewards import Rewards
from store import Store, StoreError
from store.ledgers import Deed

__all__ = [
    "ITEM_ID",
    "NUMBER",
    "PREFIX",
    "Answer",
    "ApiKey",
    "Call",
    "Fault",
    "Limits",
    "Line",
    "Operation",
    "Param",
    "Problem",
    "ProblemBody",
    "Services",
    "Time",
    "Watch",
    "all_good",
    "fault_of",
    "invalid",
    "make_app",
    "missing_scope",
    "not_found",
    "stamp",
    "unix",
    "unusable",
]

T = TypeVar("T")

log = structlog.get_logger()

PREFIX = "/api/v1"
HANDLER_LIMIT_S = 30.0
NDJSON = "application/x-ndjson"
JSON = "application/json"
BINARY = "application/octet-stream"
SHANGHAI = ZoneInfo("Asia/Shanghai")
_EARLIEST, _LATEST = 946_684_800.0, 4_102_444_800.0  # the years 2000 to 2099
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_QUIET = frozenset({404, 405, 422})
"""Refusals of everyday work; the others are worth a warning."""

Time = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with an offset.",
        examples=["2026-11-21T20:00:00+08:00"],
    ),
]


def stamp(at: float) -> str:
    """Unix seconds as RFC 3339 in Shanghai's time, to the millisecond."""
    return datetime.fromtimestamp(at, SHANGHAI).isoformat(timespec="milliseconds")


def unix(at: datetime) -> float:
    """Unix seconds of an aware time.

    Errors: ValueError before 2000 and after 2099; raised in a Struct's `__post_init__`, it
    becomes a fault of that object.
    """
    seconds = at.timestamp()
    if not _EARLIEST <= seconds < _LATEST:
        raise ValueError("a time must lie in the years 2000 to 2099")
    return seconds


def missing_scope(scope: str) -> Problem:
    """403 for a key that may not do this; it names what the key lacks."""
    return Problem(
        403,
        "Not allowed",
        f"This needs the scope {scope}, which this key does not have.",
        type="missing-scope",
        headers={
            "WWW-Authenticate": 'Bearer realm="zhiqun", error="insufficient_scope", '
            f'scope="{scope}"'
        },
    )


class Limits(Protocol):
    """The limits of the door; `bot/config.py: ServerSettings` has them."""

    @property
    def body_timeout_s(self) -> float: ...


class Watch(Protocol):
    """What is counted here; `bot/metrics.py` has it."""

    def api_request(self, operation: str, status: int) -> None: ...
    def wrong_code(self, who: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What operations may use; a test gives its own.

    now: Unix seconds. reload: makes changed content findable. find_items: ids for a full-text
    query, best first. read_document: see `bot/rest_documents.py`; linker: `bot/links.py`. running:
    to be closed before the store. groups, insights: what these need; None: there is none.
    """

    store: Store
    keys: KeyRing
    now: Callable[[], float]
    watch: Watch
    reload: Callable[..., Awaitable[None]]
    find_items: Callable[[str, int], Sequence[str]]
    read_document: Callable[[str, bytes], Awaitable[Any]] | None = None
    linker: Any = None
    private_hooks: bool = False
    running: Running = field(default_factory=Running)
    replays: signature.Replays = field(default_factory=signature.Replays)
    rewards: Rewards = field(default_factory=Rewards)
    guesses: Guesses = field(default_factory=Guesses)
    campaigns: Campaigns | None = None
    groups: GroupMeans = field(default_factory=GroupMeans)
    insights: InsightMeans = field(default_factory=InsightMeans)
    recommendations: Recommendations | None = None

    def today(self) -> str:
        """The day in Shanghai, "2026-11-21"."""
        return datetime.fromtimestamp(self.now(), SHANGHAI).strftime("%Y-%m-%d")


@dataclass(slots=True)
class Trace:
    """What is known of a request so far, for its answer's headers and for the log."""

    operation: str
    key: str = "-"
    headers: Mapping[str, str] = field(default_factory=dict)
    streaming: bool = False


@dataclass(slots=True)
class Answer:
    """What an operation gives back. body: anything msgspec encodes; None for no body."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One request that was let in: everything is checked and has its type.

    key: who calls; path: the parameters of the path; headers: what its `headers` name; query:
    the operation's `query` type; body: its `body` type, or for "ndjson" a list of `Line`, or for
    "binary" bytes; now: Unix seconds. A public operation has a key without scopes.
    """

    key: ApiKey
    path: Mapping[str, str]
    headers: Mapping[str, str]
    query: Any
    body: Any
    request: web.Request
    now: float
    deps: Services
    trace: Trace

    def number(self, name: str) -> int:
        """A path parameter of the kind NUMBER."""
        return int(self.path[name])

    @property
    def actor(self) -> str:
        """Who did it, for the audit."""
        return f"key:{self.key.id}"

    async def audit(self, action: str, target: str, detail: str = "") -> None:
        """Write down what this key changed."""
        await self.deps.store.audit.add(self.now, self.actor, action, target, detail)

    def deed(self, action: str) -> Deed:
        """The audit's line for a store that writes it in the transaction of the change."""
        return Deed(self.now, self.actor, action)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what must not stop halfway, even if whoever calls is gone.

        For operations that stream; a change without `streams` is done so as a whole.
        """
        return await self.deps.running.finish(self.trace.operation, work, None)

    async def stream(
        self, chunks: AsyncIterator[bytes], content_type: str = NDJSON
    ) -> web.StreamResponse:
        """Send chunks as they come; the first is made before the status is settled.

        An error after that ends the connection, so that nobody takes half for the whole. A
        reader who takes nothing for HANDLER_LIMIT_S is left.
        """
        first = await anext(chunks, b"")
        response = web.StreamResponse(headers={"Content-Type": content_type, **_SAFE})
        response.headers.update(self.trace.headers)
        self.trace.streaming = True
        await response.prepare(self.request)
        await self._write(response, first)
        async for chunk in chunks:
            await self._write(response, chunk)
        await response.write_eof()
        return response

    @staticmethod
    async def _write(response: web.StreamResponse, chunk: bytes) -> None:
        if chunk:
            async with asyncio.timeout(HANDLER_LIMIT_S):
                await response.write(chunk)


Run = Callable[[Call], Coroutine[Any, Any, "Answer | web.StreamResponse"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path.

    path: below /api/v1, "/items/{id}", with a rule in `params` for each name; name: the
    operationId; scope: "" is public; also: scopes that are needed besides; headers: those that
    must be there, with a rule for each; query: a Struct whose fields have defaults where they
    may be left out; body: the type of a body, or with "ndjson" of one line (NDJSON, a JSON array,
    or one object are taken; with a `partial: bool` in the query bad lines reach `run` when it is
    true, otherwise any refuses all); max_line: bytes in one line or element of a batch; answers:
    status -> type of the body, None for none; answer_type: their content type, NDJSON for streams
    (then the type of a line); problems: refusals of its own, beside those of the frame; limit_s:
    how long its answer is waited for (a change goes on then, as when its caller hangs up; what
    reads is ended); streams: without that limit, and ended when the caller hangs up.
    """

    method: Literal["GET", "PUT", "POST", "DELETE", "PATCH"]
    path: str
    name: str
    summary: str
    scope: str
    run: Run
    answers: Mapping[int, Any]
    also: tuple[str, ...] = ()
    description: str = ""
    params: Mapping[str, Param] = field(default_factory=dict)
    headers: Mapping[str, Param] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    body: Any = None
    body_type: Literal["json", "ndjson", "binary"] = "json"
    max_bytes: int = 64 << 10
    max_lines: int = 5000
    max_line: int = 64 << 10
    answer_type: str = JSON
    problems: tuple[int, ...] = ()
    limit_s: float = HANDLER_LIMIT_S
    streams: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        """All that a key needs; none for a public operation."""
        return (self.scope, *self.also) if self.scope else ()

    def refusals(self) -> tuple[int, ...]:
        """Every status that a refusal of this operation can have."""
        found = {500, 503, *self.problems}
        # An unreadable request is refused with 400 before anybody knows where it leads.
        found.add(400)
        if self.scope:
            found |= {401, 403, 429}
        if self.params:
            found.add(404)
        if self.takes_body:
            found |= {408, 413, 415}
            if self.body_type != "binary":
                found.add(422)
        return tuple(sorted(found))

    @property
    def takes_body(self) -> bool:
        """Whether a body is read at all."""
        return self.body is not None or self.body_type == "binary"


_NOBODY = ApiKey("", "", frozenset(), 0)


class _Endpoint:
    """An operation with its decoders made."""

    def __init__(
        self, operation: Operation, services: Services, limits: Limits, frame: _Frame
    ) -> None:
        assert set(operation.scopes) <= set(SCOPES), operation
        self.operation = operation
        self.services = services
        self.limits = limits
        self.frame = frame
        self.read: Callable[..., Any] = bytes
        if operation.body is not None:
            self.read = (
                batch_reader(operation.body, operation.max_lines, operation.max_line)
                if operation.body_type == "ndjson"
                else json_reader(operation.body)
            )

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        trace = Trace(self.operation.name)
        return await self.frame.answer(trace, self._serve(request, trace))

    async def _serve(self, request: web.Request, trace: Trace) -> web.StreamResponse:
        operation, services = self.operation, self.services
        key = await self._admit(request, trace) if operation.scope else _NOBODY
        check = signature.demanded(key, request, services.now(), services.replays)
        path = checked_path(request.match_info, operation.params)
        headers = checked_headers(request.headers, operation.headers)
        query = read_query(request, operation.query)
        body = await self._body(request, query, check)
        call = Call(key, path, headers, query, body, request, services.now(), services, trace)
        if operation.streams:
            result = await operation.run(call)
        elif operation.method == "GET":
            # Nothing is left half done: it may end anywhere.
            async with asyncio.timeout(operation.limit_s):
                result = await operation.run(call)
        else:
            result = await services.running.finish(
                operation.name, operation.run(call), operation.limit_s
            )
        if isinstance(result, web.StreamResponse):
            return result
        if result.body is None:
            return web.Response(status=result.status, headers=result.headers)
        return web.Response(
            status=result.status,
            body=msgspec.json.encode(result.body),
            content_type=operation.answer_type,
            headers=result.headers,
        )

    async def _admit(self, request: web.Request, trace: Trace) -> ApiKey:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        key = None
        if scheme.lower() == "bearer":
            key = await self.services.keys.find(shown.strip())
        if key is None:
            raise Problem(
                401,
                "No valid key",
                "Send Authorization: Bearer and a key of `zhiqun key new` that is not revoked.",
                type="no-key",
                headers={"WWW-Authenticate": 'Bearer realm="zhiqun"'},
            )
        trace.key = key.id
        pace = self.services.keys.pace(key)
        trace.headers = {
            "RateLimit-Limit": str(pace.limit),
            "RateLimit-Remaining": str(pace.remaining),
            "RateLimit-Reset": str(pace.reset_s),
        }
        if not pace.allowed:
            raise Problem(
                429,
                "Too many requests",
                f"This key may make {pace.limit} requests a minute; come back in {pace.retry_s} s.",
                type="rate-limited",
                headers={"Retry-After": str(pace.retry_s)},
            )
        for scope in self.operation.scopes:
            if scope not in key.scopes:
                raise missing_scope(scope)
        return key

    async def _body(self, request: web.Request, query: Any, check: signature.Check) -> Any:
        operation = self.operation
        ndjson = False
        if not operation.takes_body:
            return await check(b"")
        if operation.body_type != "binary":
            ndjson = _check_type(request, operation.body_type)
        body = await read_body(request, operation.max_bytes, self.limits.body_timeout_s)
        await check(body)
        if operation.body_type == "binary":
            return body
        if operation.body_type == "json":
            return await decoded(self.read, body)
        lines = await decoded(self.read, body, ndjson)
        if not getattr(query, "partial", False):
            all_good(lines)
        return lines


def _check_type(request: web.Request, body_type: str) -> bool:
    """Whether the body is NDJSON. Errors: Problem 415 when it is neither that nor JSON."""
    allowed = (JSON, NDJSON) if body_type == "ndjson" else (JSON,)
    given = request.content_type if "Content-Type" in request.headers else ""
    charset = (request.charset or "utf-8").lower() if given else "utf-8"
    if given not in allowed or charset not in ("utf-8", "utf8"):
        raise Problem(
            415,
            "Unsupported media type",
            f"Send {' or '.join(allowed)} in UTF-8 and say so in Content-Type.",
            type="unsupported-media-type",
            headers={"Accept": ", ".join(allowed)},
        )
    return given == NDJSON


def make_app(
    services: Services,
    operations: Iterable[Operation],
    limits: Limits,
    extra_routes: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """The application with every operation below /api/v1.

    extra_routes: what else this port serves (/r/…); they make their own answers and
    refusals, only a path that nobody has is refused here. Run it with `bot/rest_server.py`.
    """
    frame = _Frame(services.watch)
    # What is too large is refused in `read_body`, by the operation's own limit.
    app = web.Application(client_max_size=0, middlewares=[_unmatched(frame)])
    paths: dict[str, dict[str, _Endpoint]] = {}
    for operation in operations:
        endpoint = _Endpoint(operation, services, limits, frame)
        assert operation.method not in paths.setdefault(operation.path, {}), operation
        paths[operation.path][operation.method] = endpoint
    for path, methods in paths.items():
        # All methods, also those that are refused: /webhooks/deliveries must not be taken for
        # /webhooks/{id} because it has no DELETE of its own.
        app.router.add_route(
            "*", PREFIX + path, _by_method(methods, frame), expect_handler=_expect_later
        )
    app.add_routes(extra_routes)
    return app


def _by_method(
    methods: Mapping[str, _Endpoint], frame: _Frame
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        endpoint = methods.get(request.method)
        if endpoint is None:
            return await frame.answer(Trace("-"), _refuse_method(methods))
        return await endpoint(request)

    return serve


async def _refuse_method(allowed: Iterable[str]) -> web.StreamResponse:
    names = ", ".join(sorted(allowed))
    raise Problem(
        405,
        "Method not allowed",
        f"Here one can use {names}.",
        type="method-not-allowed",
        headers={"Allow": names},
    )


async def _refuse_path() -> web.StreamResponse:
    raise Problem(404, "Not found", "There is nothing at this path.", type="no-such-path")


async def _expect_later(request: web.Request) -> None:
    """Nothing yet: "100 Continue" comes when key and length are known to be good."""


class _Frame:
    """Whatever becomes of a request gets its headers, a count and, if refused, a line."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def answer(self, trace: Trace, work: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """What `work` answers, or the problem that it met."""
        try:
            response = await work
        except ConnectionError:
            raise  # nobody is there any more to be told
        except Exception as error:
            problem, request_id = _problem(error), ""
            if problem.status == 500:
                request_id = secrets.token_hex(8)
                log.error(
                    "api_failed",
                    operation=trace.operation,
                    request=request_id,
                    error=type(error).__name__,
                    exc_info=True,
                )
            say = log.info if problem.status in _QUIET else log.warning
            say(
                "api_refused",
                operation=trace.operation,
                status=problem.status,
                reason=problem.type,
                key=trace.key,
            )
            if trace.streaming:
                # The answer had begun; only the end of the connection can tell now.
                raise ConnectionError("a stream broke off") from error
            response = problem.response(request_id)
        self._watch.api_request(trace.operation, response.status)
        if not response.prepared:
            response.headers.update(_SAFE)
            response.headers.update(trace.headers)
        return response


def _problem(error: Exception) -> Problem:
    """How an error is told to whoever called: nothing of its own words."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreError):
        log.error("api_store_failed", error=str(error))
        return Problem(
            503,
            "Not now",
            "The store takes nothing at the moment; nothing was changed.",
            type="store-unavailable",
            headers={"Retry-After": "1"},
        )
    if isinstance(error, TimeoutError):
        return Problem(503, "Not in time", type="timeout", headers={"Retry-After": "5"})
    return Problem(500, "Something went wrong here", "The log says what.", type="internal")


def _unmatched(frame: _Frame) -> Any:
    """Paths and methods that nobody has."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        error = request.match_info.http_exception
        if error is None:
            return await handler(request)
        refusal = (
            _refuse_method(error.allowed_methods)
            if isinstance(error, web.HTTPMethodNotAllowed)
            else _refuse_path()
        )
        return await frame.answer(Trace("-"), refusal)

    return middleware
