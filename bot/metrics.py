"""What can be counted about zhiqun, for Prometheus.

A message costs one to three microseconds here: plain integers are counted on the way and
only turned into Prometheus's families when someone asks. Label values come from fixed
sets; anything else is counted as "other", so that no input can make a new time series.

Not locked: each method belongs to one thread (`batch` to the store's writer, the others
to the event loop); a scrape may come from either and sees whole numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from handlers.message import Kind

OTHER: Final = "other"

OUTCOMES: Final = frozenset({"passive", "late", "silent", "repeated", "busy", "not_stored"})
LATE_OUTCOMES: Final = frozenset(
    {"sent", "put_off", "waiting", "fetched", "refused", "unknown"},
)
REASONS: Final = frozenset(
    {
        *("bad_signature", "stale", "not_encrypted", "unexpectedly_encrypted"),
        *("bad_ciphertext", "bad_padding", "bad_length", "bad_encoding", "receive_id_mismatch"),
        *("bad_xml", "bad_json", "missing_field", "too_deep", "no_token", "bad_token"),
        *("too_large", "too_slow", "bad_body"),
        *("unknown_path", "bad_method", "bad_http", "too_many"),
        *("busy", "not_recorded", "not_ready"),
    }
)
REFRESHES: Final = frozenset({"fetched", "shared", "failed"})
SEND_STATES: Final = frozenset(
    {"planned", "sending", "sent", "refused", "unknown", "waiting", "fetched"}
)
APIS: Final = frozenset(
    {
        *("stable_token", "message/custom/send", "message/custom/typing"),
        *("message/mass/send", "message/mass/sendall", "message/mass/preview"),
        *("message/template/send", "message/subscribe/bizsend"),
        *("menu/create", "menu/get", "menu/delete", "qrcode/create"),
        *("user/get", "user/info", "user/info/batchget", "user/tag/get"),
        *("tags/create", "tags/get", "tags/update", "tags/delete", "tags/getidlist"),
        *("tags/members/batchtagging", "tags/members/batchuntagging"),
        *("media/upload", "media/get", "draft/add", "getcallbackip", "oauth2/access_token"),
        *("webhook/send", "webhook/upload_media", "aibot/response", "gettoken"),
        *("externalcontact/groupchat/list", "externalcontact/groupchat/get"),
        *("externalcontact/add_msg_template", "externalcontact/get_groupmsg_task"),
        *("externalcontact/get_groupmsg_send_result", "externalcontact/remind_groupmsg_send"),
        *("externalcontact/cancel_groupmsg_send",),
    }
)
POST_ENDS: Final = frozenset({"sent", "refused", "unknown", "put_off"})
CLAIMS: Final = frozenset(
    {
        *("claimed", "again", "already", "sold_out", "not_started", "ended", "paused"),
        *("not_for_you", "too_few_points", "no_offer"),
    }
)
GUESSERS: Final = frozenset({"member", "key"})
ROUTES: Final = frozenset(
    {"custom", "mass_list", "mass_tag", "mass_all", "template", "notice"},
)
ENDS: Final = frozenset({"accepted", "refused", "later", "stop", "unknown"})
HOOK_STATES: Final = frozenset({"planned", "sending", "done", "dead"})
SURFACES: Final = frozenset({"chat", "welcome", "answer", "campaign", "digest", "api"})
RANKERS: Final = frozenset({"ours", "popular", "item_item", "lightfm", "interleaved"})
TRAININGS: Final = frozenset({"live", "refused", "too_little", "nothing", "failed"})
ERRCODES_SHOWN: Final = 64
ANSWER_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.2, 5.0)
BATCH_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

_KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class Described:
    """One metric for people: its name on the wire, type, labels and meaning."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    means: str


MESSAGES = Described(
    "zhiqun_messages_total",
    "counter",
    ("channel", "kind", "outcome"),
    "Messages and events taken in, by what became of them.",
)
ANSWERS = Described(
    "zhiqun_answer_seconds",
    "histogram",
    ("channel",),
    "From a message's first arrival until its answer is settled, late ones included.",
)
MISSES = Described(
    "zhiqun_deadline_misses_total",
    "counter",
    ("channel",),
    "Messages whose answer was not ready at inbox.deadline_s.",
)
LATES = Described(
    "zhiqun_late_answers_total",
    "counter",
    ("channel", "outcome"),
    "How answers over the deadline arrived in the end.",
)
JOINED = Described(
    "zhiqun_retries_joined_total",
    "counter",
    ("channel",),
    "WeChat's repeats that joined a running answer.",
)
REFUSED = Described(
    "zhiqun_refused_total",
    "counter",
    ("channel", "reason"),
    "Requests refused at the door; not_ready is a wait for the next retry.",
)
QUEUE = Described("zhiqun_queue_depth", "gauge", (), "Messages being answered or waiting to be.")
BATCHES = Described(
    "zhiqun_writer_batch_size",
    "histogram",
    (),
    "Writes committed together by the store's writer.",
)
CALLS = Described(
    "zhiqun_api_calls_total",
    "counter",
    ("channel", "api", "errcode"),
    "Calls to WeChat's API; errcode 0 is success, -2 no answer at all.",
)
TOKENS = Described(
    "zhiqun_token_refreshes_total",
    "counter",
    ("channel", "outcome"),
    "Access tokens needed, by where they came from.",
)
API = Described(
    "zhiqun_api_requests_total",
    "counter",
    ("operation", "status"),
    "Requests to the REST API, by operation and answer.",
)
HOOKS = Described(
    "zhiqun_hook_deliveries",
    "gauge",
    ("state",),
    "Webhooks out by state; dead needs you.",
)
COUPONS = Described(
    "zhiqun_coupon_claims_total",
    "counter",
    ("outcome",),
    "Coupons asked for in the chat, by what came of it.",
)
GUESSES = Described(
    "zhiqun_wrong_codes_total",
    "counter",
    ("who",),
    "Claim words and codes that nobody has, by members and by API keys.",
)
POSTS = Described(
    "zhiqun_posts_total",
    "counter",
    ("channel", "end"),
    "What was posted into groups, by how the call ended.",
)
CAMPAIGNS = Described(
    "zhiqun_campaign_messages_total",
    "counter",
    ("route", "end"),
    "Calls that carry campaigns, by way and by how they ended; a mass send is one.",
)
INSIGHTS = Described(
    "zhiqun_insights_total",
    "counter",
    ("what", "end"),
    "Parts of the insights that were worked out, by how that ended: done or failed.",
)
LISTS = Described(
    "zhiqun_recommendation_lists_total",
    "counter",
    ("surface", "ranker"),
    "Lists that were recommended, by where they were shown and by what ranked them.",
)
TRAINED = Described(
    "zhiqun_recommendation_trainings_total",
    "counter",
    ("end",),
    "Trainings of the recommender, by how they ended.",
)
MODEL_AGE = Described(
    "zhiqun_recommendation_model_age_seconds",
    "gauge",
    (),
    "Since the model that serves was made; not there while what is popular is recommended.",
)
READY = Described("zhiqun_ready", "gauge", (), "1 when /readyz says yes.")
SENDS = Described(
    "zhiqun_sends_listed",
    "gauge",
    ("state",),
    "Answers sent outside an exchange, by state in the store; refused and unknown need you.",
)
METRICS: Final = (
    *(MESSAGES, ANSWERS, MISSES, LATES, JOINED, REFUSED),
    *(QUEUE, BATCHES, CALLS, TOKENS, API, COUPONS, GUESSES, CAMPAIGNS, POSTS, INSIGHTS),
    *(LISTS, TRAINED, MODEL_AGE, READY, SENDS, HOOKS),
)


class _Counter:
    """Whole numbers by label values."""

    __slots__ = ("counts", "described")

    def __init__(self, described: Described) -> None:
        self.described = described
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...]) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + 1

    def family(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            self.described.name, self.described.means, labels=self.described.labels
        )
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        return family


class _Histogram:
    """Counts by bucket and a sum, by at most one label."""

    __slots__ = ("bounds", "described", "rows", "sums")

    def __init__(self, described: Described, bounds: tuple[float, ...]) -> None:
        self.described = described
        self.bounds = bounds
        self.rows: dict[str, list[int]] = {}
        self.sums: dict[str, float] = {}

    def observe(self, label: str, value: float) -> None:
        row = self.rows.get(label)
        if row is None:
            self.sums[label] = 0.0
            row = self.rows[label] = [0] * (len(self.bounds) + 1)
        row[bisect_left(self.bounds, value)] += 1
        self.sums[label] += value

    def family(self) -> HistogramMetricFamily:
        described = self.described
        family = HistogramMetricFamily(described.name, described.means, labels=described.labels)
        for label, row in list(self.rows.items()):
            buckets: list[tuple[str, float]] = []
            total = 0
            for bound, count in zip((*map(str, self.bounds), "+Inf"), tuple(row), strict=True):
                total += count
                buckets.append((bound, total))
            labels = (label,) if described.labels else ()
            family.add_metric(labels, buckets, self.sums[label])
        return family


class Metrics(Collector):
    """All counters of one zhiqun; `render()` is the page /metrics shows.

    running (messages under way), ready, sends and hooks (rows by state), model_age_s (of the model
    that serves) are set by whoever knows them. process: also report this process's memory,
    descriptors and Python version.
    """

    def __init__(self, *, process: bool = True) -> None:
        self.running: Callable[[], int] = int
        self.ready = False
        self.sends: Mapping[str, int] = {}
        self.hooks: Mapping[str, int] = {}
        self.model_age_s: Callable[[], float | None] = lambda: None
        self._messages = _Counter(MESSAGES)
        self._answers = _Histogram(ANSWERS, ANSWER_BUCKETS_S)
        self._misses = _Counter(MISSES)
        self._lates = _Counter(LATES)
        self._joined = _Counter(JOINED)
        self._refused = _Counter(REFUSED)
        self._batches = _Histogram(BATCHES, BATCH_BUCKETS)
        self._calls = _Counter(CALLS)
        self._refreshes = _Counter(TOKENS)
        self._api = _Counter(API)
        self._coupons = _Counter(COUPONS)
        self._guesses = _Counter(GUESSES)
        self._campaigns = _Counter(CAMPAIGNS)
        self._posts = _Counter(POSTS)
        self._insights = _Counter(INSIGHTS)
        self._lists = _Counter(LISTS)
        self._trained = _Counter(TRAINED)
        self._errcodes = {0, -2}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        if process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)

    def message(self, channel: str, kind: str, outcome: str) -> None:
        """A message was dealt with."""
        if kind not in _KINDS:
            kind = "unknown"
        self._messages.add((channel, kind, outcome if outcome in OUTCOMES else OTHER))

    def answered(self, channel: str, seconds: float) -> None:
        """An exchange ended, so long after it began."""
        self._answers.observe(channel, seconds)

    def deadline_missed(self, channel: str) -> None:
        """The deadline came before the answer."""
        self._misses.add((channel,))

    def late_answer(self, channel: str, outcome: str) -> None:
        """An answer over the deadline found its way, or was listed."""
        self._lates.add((channel, outcome if outcome in LATE_OUTCOMES else OTHER))

    def retry_joined(self, channel: str) -> None:
        """WeChat asked again while the answer was running."""
        self._joined.add((channel,))

    def refused(self, channel: str, reason: str) -> None:
        """A request got no answer; channel "-" when its webhook does not exist."""
        self._refused.add((channel, reason if reason in REASONS else OTHER))

    def batch(self, size: int) -> None:
        """The store committed so many writes together; called by its writer thread."""
        self._batches.observe("", size)

    def api_call(self, channel: str, api: str, errcode: int) -> None:
        """A call ended. api: "menu/create", with or without /cgi-bin/; errcode: -2, no answer."""
        if errcode not in self._errcodes and len(self._errcodes) < ERRCODES_SHOWN:
            self._errcodes.add(errcode)  # WeChat may invent codes for ever; the first are named
        code = str(errcode) if errcode in self._errcodes else OTHER
        api = api.removeprefix("/cgi-bin/")
        self._calls.add((channel, api if api in APIS else OTHER, code))

    def token_refresh(self, channel: str, outcome: str) -> None:
        """A new access token was needed."""
        self._refreshes.add((channel, outcome if outcome in REFRESHES else OTHER))

    def api_request(self, operation: str, status: int) -> None:
        """The REST API answered. operation: its operationId, "-" for a path nobody has."""
        self._api.add((operation, str(status)))

    def claim(self, outcome: str) -> None:
        """A coupon was asked for."""
        self._coupons.add((outcome if outcome in CLAIMS else OTHER,))

    def campaign_message(self, route: str, end: str) -> None:
        """A call that carries a campaign ended."""
        known = route if route in ROUTES else OTHER
        self._campaigns.add((known, end if end in ENDS else OTHER))

    def post(self, channel: str, end: str) -> None:
        """A call that posts into a group ended."""
        self._posts.add((channel, end if end in POST_ENDS else OTHER))

    def insight(self, what: str, fine: bool) -> None:
        """A part of the insights was worked out, or could not be."""
        self._insights.add((what, "done" if fine else "failed"))

    def recommended(self, surface: str, ranker: str) -> None:
        """A list was recommended."""
        where = surface if surface in SURFACES else OTHER
        self._lists.add((where, ranker if ranker in RANKERS else OTHER))

    def trained(self, end: str) -> None:
        """A training of the recommender ended."""
        self._trained.add((end if end in TRAININGS else OTHER,))

    def wrong_code(self, who: str) -> None:
        """A claim word or a code that nobody has was tried."""
        self._guesses.add((who if who in GUESSERS else OTHER,))

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """The families, in the order of METRICS; prometheus-client calls this."""
        yield self._messages.family()
        yield self._answers.family()
        for counter in (self._misses, self._lates, self._joined, self._refused):
            yield counter.family()
        yield _gauge(QUEUE, [((), self.running())])
        yield self._batches.family()
        yield self._calls.family()
        yield self._refreshes.family()
        yield self._api.family()
        yield self._coupons.family()
        yield self._guesses.family()
        yield self._campaigns.family()
        yield self._posts.family()
        yield self._insights.family()
        yield self._lists.family()
        yield self._trained.family()
        age_s = self.model_age_s()
        yield _gauge(MODEL_AGE, [] if age_s is None else [((), age_s)])
        yield _gauge(READY, [((), int(self.ready))])
        listed = [((state,), n) for state, n in self.sends.items() if state in SEND_STATES]
        yield _gauge(SENDS, listed)
        told = [((state,), n) for state, n in self.hooks.items() if state in HOOK_STATES]
        yield _gauge(HOOKS, told)

    def render(self) -> tuple[bytes, str]:
        """The page in Prometheus's text format, and its Content-Type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def _gauge(
    described: Described, values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(described.name, described.means, labels=described.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family
