"""Metrics: counted cheaply, bounded, and described in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.metrics import (
    ERRCODES_SHOWN,
    LATE_OUTCOMES,
    METRICS,
    OUTCOMES,
    REASONS,
    REFRESHES,
    SEND_STATES,
    Metrics,
)

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(process=False)


def page(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render()[0].decode().splitlines()
    return {k: float(v) for k, _, v in (x.rpartition(" ") for x in lines if x[0] != "#")}


def test_messages_are_counted_by_channel_kind_and_outcome(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.message("mp", "text", "passive")
    metrics.message("mp", "event", "silent")
    shown = page(metrics)
    series = 'zhiqun_messages_total{{channel="mp",kind="{}",outcome="{}"}}'
    assert shown[series.format("text", "passive")] == 3
    assert shown[series.format("event", "silent")] == 1


def test_an_answer_falls_into_every_bucket_at_or_above_it(metrics: Metrics) -> None:
    for seconds in (0.005, 0.3, 9.0):
        metrics.answered("mp", seconds)
    shown = page(metrics)
    bucket = 'zhiqun_answer_seconds_bucket{{channel="mp",le="{}"}}'
    counts = [shown[bucket.format(le)] for le in ("0.002", "0.005", "0.25", "0.5", "5.0", "+Inf")]
    assert counts == [0, 1, 1, 2, 2, 3]
    assert shown['zhiqun_answer_seconds_count{channel="mp"}'] == 3
    assert shown['zhiqun_answer_seconds_sum{channel="mp"}'] == pytest.approx(9.305)


def test_everything_else_has_its_line(metrics: Metrics) -> None:
    metrics.deadline_missed("mp")
    metrics.late_answer("mp", "sent")
    metrics.retry_joined("mp")
    metrics.refused("-", "bad_signature")
    metrics.batch(3)
    metrics.api_call("mp", "/cgi-bin/menu/create", 40001)
    metrics.token_refresh("mp", "fetched")
    metrics.sends = {"unknown": 2}
    metrics.running = lambda: 7
    metrics.ready = True
    shown = page(metrics)
    assert shown['zhiqun_deadline_misses_total{channel="mp"}'] == 1
    assert shown['zhiqun_late_answers_total{channel="mp",outcome="sent"}'] == 1
    assert shown['zhiqun_retries_joined_total{channel="mp"}'] == 1
    assert shown['zhiqun_refused_total{channel="-",reason="bad_signature"}'] == 1
    assert shown['zhiqun_writer_batch_size_bucket{le="4.0"}'] == 1
    assert shown['zhiqun_writer_batch_size_bucket{le="2.0"}'] == 0
    call = 'zhiqun_api_calls_total{api="menu/create",channel="mp",errcode="40001"}'
    assert shown[call] == 1
    assert shown['zhiqun_token_refreshes_total{channel="mp",outcome="fetched"}'] == 1
    assert shown['zhiqun_sends_listed{state="unknown"}'] == 2
    assert (shown["zhiqun_queue_depth"], shown["zhiqun_ready"]) == (7, 1)


def test_no_input_can_make_series_without_end(metrics: Metrics) -> None:
    for n in range(500):
        odd = f"odd-{n}"
        metrics.message("mp", odd, odd)
        metrics.refused("mp", odd)
        metrics.late_answer("mp", odd)
        metrics.token_refresh("mp", odd)
        metrics.api_call("mp", odd, n)
    metrics.sends = {f"odd-{n}": n for n in range(500)}
    shown = page(metrics)
    assert len(shown) <= ERRCODES_SHOWN + 20
    assert shown['zhiqun_messages_total{channel="mp",kind="unknown",outcome="other"}'] == 500
    assert shown['zhiqun_api_calls_total{api="other",channel="mp",errcode="other"}'] > 400


def test_a_page_of_nothing_is_valid(metrics: Metrics) -> None:
    assert page(metrics) == {"zhiqun_queue_depth": 0, "zhiqun_ready": 0}
    assert metrics.render()[1].startswith("text/plain")


def test_the_process_reports_its_memory() -> None:
    assert page(Metrics())["process_resident_memory_bytes"] > 1e6


def test_the_page_shows_exactly_the_described_metrics(metrics: Metrics) -> None:
    families = [family.name for family in metrics.collect()]
    assert families == [described.name.removesuffix("_total") for described in METRICS]


def test_the_documentation_describes_every_metric_and_label_value() -> None:
    text = DOCS.read_text("utf-8")
    for described in METRICS:
        labels = ", ".join(described.labels) or "–"
        row = f"| `{described.name}` | {described.kind} | {labels} | {described.means} |"
        assert row in text, f"docs/metrics.md lacks: {row}"
    for value in OUTCOMES | LATE_OUTCOMES | REASONS | REFRESHES | SEND_STATES:
        assert f"`{value}`" in text, f"docs/metrics.md does not explain {value}"


def test_recommendations_are_counted_and_a_model_has_an_age_while_it_serves(
    metrics: Metrics,
) -> None:
    metrics.recommended("chat", "ours")
    metrics.recommended("a wall", "a guess")
    metrics.trained("live")
    shown = page(metrics)
    lists = 'zhiqun_recommendation_lists_total{{ranker="{}",surface="{}"}}'
    assert shown[lists.format("ours", "chat")] == shown[lists.format("other", "other")] == 1
    assert shown['zhiqun_recommendation_trainings_total{end="live"}'] == 1
    assert "zhiqun_recommendation_model_age_seconds" not in shown
    metrics.model_age_s = lambda: 60.0
    assert page(metrics)["zhiqun_recommendation_model_age_seconds"] == 60
