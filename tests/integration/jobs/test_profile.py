"""A first look as a job: runs anywhere, is found again, and says by its verdict whether one may learn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.runtime.custom_data import write
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import content_hash
from tests.factories.looked_at import customers

FACTS = {"files": {"s3://lake/customers.csv": "0" * 64}}


def profile(tmp_path: Path, frame: pd.DataFrame, **settings: Any) -> Manifest:
    """Look at a frame by the job."""
    root = tmp_path / "artifacts"
    folder = root / "churn" / "external" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    write(frame, "table", folder)
    data = Dataset(
        uri=folder.as_uri(), hash=content_hash(folder), facts={"files": {"s3://lake/customers.csv": "0" * 64}}
    )
    services = Services(landing=str(tmp_path), mlflow=f"sqlite:///{tmp_path}/mlflow.db")
    return run(
        JobSpec(
            job="profile", product="churn", inputs={"data": data}, settings=settings, root=str(root), services=services
        )
    )


def report_of(manifest: Manifest) -> tuple[Report, Path]:
    """Return the report, and its folder."""
    assert isinstance(manifest.result, Report), manifest.failure
    return manifest.result, Path(manifest.result.uri.removeprefix("file://"))


def test_what_was_seen_is_kept(tmp_path: Path) -> None:
    """Page, profile and proposal, by the names of the data; a second run finds them again."""
    report, folder = report_of(profile(tmp_path, customers()))
    assert report.passed and report.about == "profile" and report.page == "report.html"
    assert (report.facts["problem"], report.facts["label"], report.facts["time"]) == (
        "binary_classification",
        "churned",
        "opened_at",
    )
    assert {file.name for file in folder.iterdir()} == {"report.html", "profile.json", "proposal.json"}
    assert Profile.from_file((folder / "profile.json").read_bytes()).reading.source == "s3://lake/customers.csv"
    assert Proposal.from_file((folder / "proposal.json").read_bytes()).name == "churn"
    assert report_of(profile(tmp_path, customers()))[0] == report


def test_a_label_that_is_given_away_does_not_pass(tmp_path: Path) -> None:
    """The report is there all the same, and names the column."""
    frame = customers()
    report, _ = report_of(profile(tmp_path, frame.assign(state=frame["churned"] + 5), label="churned"))
    assert not report.passed and report.broken[0].startswith("state: ")


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"label": "left"}, "UnknownNameError"), ({"label": "opened_at"}, "ConfigurationError")],
)
def test_a_wrong_declaration_is_no_retry(tmp_path: Path, settings: dict[str, str], error: str) -> None:
    """A column that is not there, or can't be the label, fails for good."""
    failure = profile(tmp_path, customers(300), **settings).failure
    assert failure and failure.error == error and not failure.retryable
