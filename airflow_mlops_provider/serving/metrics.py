"""What Prometheus is told about one model server."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from airflow_mlops_provider.scoring.predictor import Probabilities
from airflow_mlops_provider.serving.releases import Release

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_PROBABILITY = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """One server's counters, gauges and histograms, in a registry of their own."""

    def __init__(self, product: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        one, self.product = ("product",), product
        self._requests = counter("mlops_serving_requests", "Calls of /predict", ("product", "status"))
        self._seconds = histogram("mlops_serving_request_seconds", "Time of a call of /predict", one, buckets=_SECONDS)
        self._rows = counter("mlops_serving_rows", "Rows predicted", one)
        self._predictions = histogram("mlops_serving_prediction", "Predicted probabilities", one, buckets=_PROBABILITY)
        self._model = gauge("mlops_serving_model_info", "1 for the live model", ("product", "version", "model_hash"))
        self._version = gauge("mlops_serving_model_version", "Number of the live model version; 0 for none", one)
        self._failures = counter("mlops_serving_load_failures", "Model versions that could not be loaded", one)
        self._watermark = gauge(
            "mlops_serving_feature_watermark_timestamp_seconds", "Up to when the online store knows features", one
        )
        self._age = gauge("mlops_serving_feature_age_seconds", "Time since that watermark", one)
        self._ready = gauge("mlops_serving_ready", "1 if model and features answer", one)
        self._dropped = counter("mlops_serving_log_dropped_rows", "Predictions that were not recorded", one)
        self._shown: Release | None = None
        for metric in (self._rows, self._failures, self._dropped, self._version, self._ready):
            metric.labels(product)  # there from the start, so that an alert on them sees a zero and not nothing

    def request(self, status: int, seconds: float) -> None:
        """Count a call, answered with an HTTP status after some seconds."""
        self._requests.labels(self.product, str(status)).inc()
        self._seconds.labels(self.product).observe(seconds)

    def predicted(self, predictions: Probabilities) -> None:
        """Count predicted probabilities."""
        self._rows.labels(self.product).inc(len(predictions))
        histogram = self._predictions.labels(self.product)
        for value in predictions.tolist():
            histogram.observe(value)

    def live(self, release: Release) -> None:
        """Tell which release serves from now on."""
        # The one before stays, at 0: Feast turns on prometheus_client's multi-process mode, where no label goes away.
        if self._shown is not None:
            self._model.labels(self.product, str(self._shown.version), self._shown.model_hash).set(0)
        self._model.labels(self.product, str(release.version), release.model_hash).set(1)
        self._shown = release
        self._version.labels(self.product).set(release.version)

    def failed(self) -> None:
        """Count a version that could not be loaded."""
        self._failures.labels(self.product).inc()

    def dropped(self, rows: int) -> None:
        """Count predictions that were not recorded."""
        self._dropped.labels(self.product).inc(rows)

    def features(self, watermark: datetime | None) -> None:
        """Tell up to when the online store knows features."""
        if watermark is not None:
            self._watermark.labels(self.product).set(watermark.timestamp())
            self._age.labels(self.product).set(time.time() - watermark.timestamp())

    def ready(self, is_ready: bool) -> None:
        """Tell whether the server can predict."""
        self._ready.labels(self.product).set(is_ready)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
