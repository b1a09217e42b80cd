"""The settings of a local Airflow: written into its home, with what was there kept."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops_provider.demo.local_airflow import settings


def test_settings_of_somebody_else_are_kept(tmp_path: Path) -> None:
    """An airflow.cfg that was there first is moved aside, and one of ours is written anew."""
    (tmp_path / "airflow.cfg").write_text("[core]\nparallelism = 3\n")
    for _ in range(2):
        settings.write(tmp_path, tmp_path, 8080, env={"AIRFLOW__MLOPS__LANDING_ROOT": "/landing"})
    assert "parallelism = 3" in (tmp_path / "airflow.cfg.before").read_text()
    assert "landing_root = /landing" in (tmp_path / "airflow.cfg").read_text()
