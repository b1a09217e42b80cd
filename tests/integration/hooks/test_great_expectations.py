"""A Great Expectations context in a bucket, behind an Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from airflow_mlops_provider.exceptions import SourceError, UnknownNameError
from airflow_mlops_provider.hooks.great_expectations import FileContext
from tests.factories.bucket import s3_server

for name in ("s3fs", "airflow.providers.amazon"):
    pytest.importorskip(name, reason="pip install apache-airflow-providers-amazon[s3fs]")

EXPECTED = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket with a context, which only the connection leads to."""
    with s3_server() as env:
        secrets = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
        place = {"endpoint_url": env["AWS_ENDPOINT_URL"], "region_name": env["AWS_DEFAULT_REGION"]}
        client = boto3.client("s3", **secrets, **place)
        client.create_bucket(Bucket="quality")
        files = {
            "expectations/eta/daily.json": {"name": "eta.daily", "expectations": [EXPECTED]},
            "validation_definitions/v.json": {"name": "v", "suite": {"name": "eta.daily"}},
            "checkpoints/night.json": {"name": "night", "validation_definitions": [{"name": "v"}]},
        }
        for key, value in files.items():
            client.put_object(Bucket="quality", Key=f"teams/gx/{key}", Body=json.dumps(value).encode())
        client.put_object(Bucket="quality", Key="teams/gx/great_expectations.yml", Body=b"config_version: 4.0\n")
        login = {"login": env["AWS_ACCESS_KEY_ID"], "password": env["AWS_SECRET_ACCESS_KEY"]}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({"conn_type": "aws", **login, "extra": place}))
        yield


@pytest.mark.usefixtures("bucket")
def test_a_context_in_a_bucket() -> None:
    """It is read as a folder is, from the project's prefix too; what is not there is told the same way."""
    for uri in ("s3://quality/teams/gx", "s3://quality/teams/gx/", "s3://quality/teams"):
        night = FileContext(uri, "lake").checkpoint("night")
        assert (night.suites, [expectation.type for expectation in night.expectations]) == (
            ("eta.daily",),
            ["expect_column_to_exist"],
        )
    with pytest.raises(UnknownNameError, match=r"known: eta\.daily"):
        FileContext("s3://quality/teams/gx", "lake").suite("eta")
    with pytest.raises(SourceError, match="no Great Expectations context is there: s3://quality/other"):
        FileContext("s3://quality/other", "lake").suite("eta")
