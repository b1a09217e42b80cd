"""The figures for Prometheus stay as many as they are, however many versions come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import prometheus_client
import pytest

from airflow_mlops_provider.serving.metrics import Histogram

CODE = """
from datetime import UTC, datetime
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.backends.model_server.releases import Release

metrics, sizes = Metrics("shop", (0.5, 1.0)), []
for version in range(1, 200):
    model = {"model_uri": f"file:///m/{version}", "model_hash": f"{version:064x}"}
    metrics.live(Release(product="shop", version=version, requested_at=datetime.now(UTC), **model))
    metrics.request(200, 0.1)
    sizes.append(len(metrics.text().splitlines()))
assert len({*sizes}) == 1, sizes
assert f'model_info{{model_hash="{199:064x}",product="shop",version="199"}} 1.0' in metrics.text().decode()
"""


@pytest.mark.parametrize("several", [False, True], ids=["one process", "several processes, as Feast wants it"])
def test_series_do_not_grow_with_versions(several: bool, tmp_path: Path) -> None:
    """After two hundred versions there is a series for the live one alone."""
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if several else {}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_histogram_reads_as_the_clients_own() -> None:
    """Bounds, values on them, beyond them and the sum; all but the time at which the client's was made."""
    bounds, values = (-1.0, 0.0, 0.5, 1e6), [-2.0, -1.0, 0.0, 0.25, 0.5, 3.0, 1e7]
    ours, theirs = prometheus_client.CollectorRegistry(), prometheus_client.CollectorRegistry()
    Histogram("seconds", "How long", "shop", bounds, ours).observe(values)
    known = prometheus_client.Histogram("seconds", "How long", ("product",), buckets=bounds, registry=theirs)
    for value in values:
        known.labels("shop").observe(value)
    wanted, given = (prometheus_client.generate_latest(registry).decode().splitlines() for registry in (theirs, ours))
    assert [line for line in wanted if "_created" not in line] == given


def test_phases_have_a_series_each() -> None:
    """Calls that went through one together count each."""
    registry = prometheus_client.CollectorRegistry()
    phases = Histogram("phase_seconds", "Phases", "shop", (0.1, 1.0), registry, ("parse", "predict"))
    phases.took({"parse": 0.1, "predict": 0.5}, 3)
    phases.observe([2.0], "predict")
    text = prometheus_client.generate_latest(registry).decode()
    assert 'phase_seconds_bucket{le="0.1",phase="parse",product="shop"} 3.0' in text
    assert 'phase_seconds_bucket{le="0.1",phase="predict",product="shop"} 0.0' in text
    assert 'phase_seconds_bucket{le="1.0",phase="predict",product="shop"} 3.0' in text
    assert 'phase_seconds_count{phase="predict",product="shop"} 4.0' in text
    assert 'phase_seconds_sum{phase="predict",product="shop"} 3.5' in text
