"""Evidently keeps what every drift method keeps."""

from __future__ import annotations

from airflow_mlops_provider.testing import DriftMethodContract


class TestEvidently(DriftMethodContract):
    """Its tests, picked by type and size."""

    drift_method = "evidently"
