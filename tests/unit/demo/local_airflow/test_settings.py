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


def test_the_api_server_waits_less_for_the_database(tmp_path: Path) -> None:
    """Every component takes the database of airflow.cfg, the API server with a short wait; one's own database stays."""
    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    settings.write(tmp_path, tmp_path, 8080, env={})
    url = settings.of_component("api-server", tmp_path, {})[name]
    assert f"{url.partition('?')[0]}?timeout=30" in (tmp_path / "airflow.cfg").read_text()
    assert url.endswith("?timeout=0.5")
    assert settings.of_component("scheduler", tmp_path, {"A": "b"}) == {"A": "b"}
    assert settings.of_component("api-server", tmp_path, {name: "postgresql://"}) == {name: "postgresql://"}
