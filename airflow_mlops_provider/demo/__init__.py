"""A real Airflow on this machine, and the reference product's year replayed in it."""

from __future__ import annotations

AIRFLOW_PORT, MLFLOW_PORT = 8080, 5000
