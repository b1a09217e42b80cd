"""Figures of several processes read as one's."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.workers.figures import added, counted


def _metrics(version: int, calls: int, watermark: int) -> Metrics:
    metrics, model = Metrics("shop", (0.5, 1.0)), {"model_uri": "file:///m", "model_hash": f"{version:064x}"}
    metrics.live(Release(product="shop", version=version, requested_at=datetime.now(UTC), **model))
    metrics.features(datetime.fromtimestamp(watermark, UTC))
    metrics.ready.set(1)
    for _ in range(calls):
        metrics.request(200, 0.004)
        metrics.phases.took({"parse": 0.25}, 1)
    return metrics


def _lines(text: bytes) -> dict[str, float]:
    return {name: float(value) for name, value in (
        line.rsplit(" ", 1) for line in text.decode().splitlines() if line[0] != "#"
    )}  # fmt: skip


def test_one_process_reads_as_it_is() -> None:
    """Names, labels, help and values."""
    text = _metrics(1, 3, 1_000).text()
    assert sorted(added([text]).splitlines()) == sorted(text.splitlines())


def test_what_is_counted_adds_up_and_what_is_reached_is_what_all_have() -> None:
    """Counters and histograms are sums; of versions, readiness and watermark the least; both models are named."""
    lines = _lines(added([_metrics(1, 3, 2_000).text(), _metrics(2, 4, 1_000).text()]))
    assert lines['mlops_serving_requests_total{product="shop",status="200"}'] == 7
    assert lines['mlops_serving_request_seconds_bucket{le="0.005",product="shop"}'] == 7
    assert lines['mlops_serving_phase_seconds_sum{phase="parse",product="shop"}'] == 1.75
    assert lines['mlops_serving_model_version{product="shop"}'] == 1
    assert lines['mlops_serving_feature_watermark_timestamp_seconds{product="shop"}'] == 1_000
    assert lines['mlops_serving_ready{product="shop"}'] == 1
    assert len([name for name in lines if name.startswith("mlops_serving_model_info")]) == 2


def test_of_one_that_ended_only_what_was_counted_is_left() -> None:
    """Its version and memory are nobody's any more."""
    left = _lines(counted(_metrics(1, 3, 2_000).text()))
    assert left['mlops_serving_requests_total{product="shop",status="200"}'] == 3
    assert not [name for name in left if "version" in name or "resident" in name]
