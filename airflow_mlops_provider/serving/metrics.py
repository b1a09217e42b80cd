"""One model server's metrics for Prometheus."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from airflow_mlops_provider.backends.model_server.releases import Release
from airflow_mlops_provider.lifecycle.release.rollout import Candidate
from airflow_mlops_provider.scoring.predictor import Predictions

#: What a call goes through: it waits for its turn, is read, gets features and model inputs, is predicted; answer and
#: records are made, and the log is waited for. Calls that come together go through all but the first together.
PHASES = ("wait", "parse", "features", "inputs", "predict", "encode", "log")
_PHASE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class _ModelInfo(Collector):
    """The live version as a series of its own: it goes with the version, so that their number does not grow.

    A gauge's would stay: Feast turns on prometheus_client's multi-process mode, where no label goes away.
    """

    def __init__(self, product: str) -> None:
        self.product = product
        self.live: Release | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        labels = ("product", "version", "model_hash")
        family = GaugeMetricFamily("mlops_serving_model_info", "1 for the live model", labels=labels)
        if self.live is not None:
            family.add_metric([self.product, str(self.live.version), self.live.model_hash], 1)
        yield family


class _Series:
    def __init__(self, places: int) -> None:
        self.counts, self.sum = [0] * places, 0.0


class Histogram(Collector):
    """A histogram that takes many values at once: by itself, prometheus_client looks at the bounds for each.

    :param phases: a series for each, by a label ``phase``; by default one without.
    """

    def __init__(
        self,
        name: str,
        about: str,
        product: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        phases: Sequence[str] = (),
    ) -> None:
        self._said, self._product, self._bounds = (name, about), product, sorted(bounds)
        self._names = [str(floatToGoString(bound)) for bound in (*bounds, float("inf"))]  # type: ignore[no-untyped-call]
        self._labels = ("product", "phase") if phases else ("product",)
        self._series = {phase: _Series(len(self._names)) for phase in phases or ("",)}
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, values: Sequence[float], phase: str = "") -> None:
        """Count some values."""
        places, series = [bisect_left(self._bounds, value) for value in values], self._series[phase]
        with self._lock:
            series.sum += sum(values)
            for place in places:
                series.counts[place] += 1

    def took(self, seconds: Mapping[str, float], calls: int) -> None:
        """Count how long phases took that some calls went through together."""
        with self._lock:
            for phase, value in seconds.items():
                series = self._series[phase]
                series.sum += calls * value
                series.counts[bisect_left(self._bounds, value)] += calls

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(*self._said, labels=self._labels)
        for phase, series in self._series.items():
            labels = [self._product, phase][: len(self._labels)]
            with self._lock:
                upto = [*accumulate(series.counts)]
                family.add_metric(labels, [*zip(self._names, upto, strict=True)], series.sum)
            if self._bounds[0] < 0:  # of negative values there is no sum, and the family leaves out the count as well
                family.add_sample(f"{self._said[0]}_count", dict(zip(self._labels, labels, strict=True)), upto[-1])
        yield family


class Metrics:
    """One server's counters, gauges and histograms, in a registry of their own."""

    def __init__(self, product: str, buckets: Sequence[float]) -> None:
        self.registry, self.product = CollectorRegistry(), product
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        label = ("product",)
        self._by_status: dict[int, Counter] = {}
        self._requests = counter("mlops_serving_requests", "Calls of /predict", ("product", "status"))
        self._seconds = Histogram(
            "mlops_serving_request_seconds", "Time of a call of /predict", product, _SECONDS, self.registry
        )
        self.phases = Histogram(
            "mlops_serving_phase_seconds", "Time of a call's phases", product, _PHASE_SECONDS, self.registry, PHASES
        )
        self._predictions = Histogram("mlops_serving_prediction", "Predictions", product, buckets, self.registry)
        self._model = _ModelInfo(product)
        self.registry.register(self._model)
        self._watermark = gauge(
            "mlops_serving_feature_watermark_timestamp_seconds", "Up to when the online store has features", label
        )
        self._age = gauge("mlops_serving_feature_age_seconds", "Time since that watermark", label)
        # With their label from the start, so that an alert on them sees a zero and not nothing.
        self._rows = counter("mlops_serving_rows", "Rows predicted", label).labels(product)
        version = gauge("mlops_serving_model_version", "Number of the live model version; 0 for none", label)
        self._version = version.labels(product)
        failures = counter("mlops_serving_load_failures", "Model versions that could not be loaded", label)
        self.failures = failures.labels(product)
        self.ready = gauge("mlops_serving_ready", "1 if model and features answer", label).labels(product)
        dropped = counter("mlops_serving_log_dropped_rows", "Predictions that were not recorded", label)
        self.dropped = dropped.labels(product)
        calls = gauge("mlops_serving_background_calls", "Calls in the background", ("product", "state"))
        self._background = [calls.labels(product, state) for state in ("waiting", "running")]
        candidate = partial(gauge, labelnames=label)
        self._candidate = [
            candidate("mlops_serving_candidate_version", "Number of the version beside the live one; 0 for none"),
            candidate("mlops_serving_candidate_calls", "Calls that it predicted beside the live one in this phase"),
            candidate("mlops_serving_candidate_errors", "Those of them that it failed"),
        ]

    def request(self, status: int, seconds: float) -> None:
        if status not in self._by_status:
            self._by_status[status] = self._requests.labels(self.product, str(status))
        self._by_status[status].inc()
        self._seconds.observe([seconds])

    def predicted(self, headline: Predictions) -> None:
        """Count some predictions. :param headline: the number of each that a histogram counts."""
        self._rows.inc(len(headline))
        self._predictions.observe(headline.tolist())

    def live(self, release: Release) -> None:
        """Set which release serves from now on."""
        self._model.live = release
        self._version.set(release.version)

    def beside(self, candidate: Candidate | None) -> None:
        """Set which version predicts beside the live one, and how that goes."""
        said = (candidate.version, candidate.observed.calls, candidate.observed.errors) if candidate else (0, 0, 0)
        for known, value in zip(self._candidate, said, strict=True):
            known.labels(self.product).set(value)

    def background(self, waiting: int, running: int) -> None:
        """Set how many calls wait to be answered in the background, and how many are being answered."""
        for known, value in zip(self._background, (waiting, running), strict=True):
            known.set(value)

    def features(self, watermark: datetime | None) -> None:
        """Set up to when the online store has features."""
        if watermark is not None:
            self._watermark.labels(self.product).set(watermark.timestamp())
            self._age.labels(self.product).set(time.time() - watermark.timestamp())

    def text(self) -> bytes:
        return generate_latest(self.registry)
