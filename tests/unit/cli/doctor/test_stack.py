"""``stack.toml`` beside the DAGs: found, written once, compared with what is installed and configured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlops_provider.cli.doctor import stack
from airflow_mlops_provider.discovery import reference_dags
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.maturity.stack import FILE, PARTS, unexplained
from flight_delay.product import product


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Airflow home of its own."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("version", "declared", "wanted"),
    [
        ("3.14.0", "3.14.0", True),
        ("3.14.0", "3.13.0", False),
        ("3.14.0", ">=3.13,<4", True),
        ("4.0.0", ">=3.13,<4", False),
        ("3.14.0rc1", ">=3.13,<4", True),
        ("absent", ">=3.13", False),
        ("", "3.14.0", False),
    ],
)
def test_a_version_fits_or_not(version: str, declared: str, wanted: bool) -> None:
    """It is the one declared, or in the range; what is not installed is in none."""
    assert stack.fits(version, declared) is wanted


def test_the_reference_decision_is_whole() -> None:
    """It is read, names every part, gives each a reason, and is what is installed beside it."""
    read = stack.read(reference_dags())
    assert read
    assert set(read[1]) == set(PARTS)
    assert unexplained(read[1]) == []
    verdicts = stack.verdicts(read, [product])
    assert verdicts["decision"].seen
    if not (reference_dags().parent / ".github").is_dir():
        pytest.skip("a source archive has no pipelines of CI, which the decision names")
    assert verdicts["stack"].seen, verdicts["stack"]


def test_it_is_written_once(tmp_path: Path) -> None:
    """What is there, with the reasons left open; never over another."""
    file = stack.write(tmp_path, [product])
    assert file == tmp_path / FILE
    read = stack.read(tmp_path)
    assert read
    verdicts = stack.verdicts(read, [product])
    assert verdicts["stack"].seen
    assert "no why of ci_cd" in verdicts["decision"].evidence
    with pytest.raises(ConfigurationError, match="is there already"):
        stack.write(tmp_path, [product])


def test_another_service_than_decided_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its table, with both sides; its credentials are not."""
    stack.write(tmp_path, [product])
    connection = {"conn_type": "mlflow", "host": "mlflow.example.org", "password": "open-sesame"}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_MLFLOW", json.dumps(connection))
    verdict = stack.verdicts(stack.read(tmp_path), [product])["stack"]
    assert verdict.off
    assert verdict.evidence == "[model_registry] kind is sqlite, but server is there"


def test_without_one_both_rows_say_how_to_begin() -> None:
    """The decision is not recorded, and nothing can be compared."""
    assert all(verdict.off and "--write" in verdict.next for verdict in stack.verdicts(None, []).values())
