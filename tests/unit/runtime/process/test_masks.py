"""No credential in what a job prints or tells of its errors, however it is escaped; all else stays as it is."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest

from airflow_mlops_provider.runtime.failures import describe
from airflow_mlops_provider.runtime.process.masks import Mask, MaskedStream

SECRET = "p@ss\n'word\"/\\ ä"
ENVIRONMENT = {"MLFLOW_TRACKING_PASSWORD": SECRET, "HOME": "/home/somebody", "TOKENIZERS_PARALLELISM": "false",
               "AWS_SECRET_ACCESS_KEY": "test"}  # fmt: skip


@pytest.mark.parametrize("form", [SECRET, json.dumps(SECRET), repr(SECRET), f"http://u:{quote(SECRET)}@host"])
def test_a_credential_becomes_stars(form: str) -> None:
    """As it is, in JSON, in Python's own form, and in an address."""
    hidden = Mask(ENVIRONMENT)(f"before {form} after")
    assert hidden.startswith("before ") and hidden.endswith(" after")
    assert "***" in hidden
    assert "word" not in hidden


def test_other_words_stay() -> None:
    """A folder, a switch whose name only begins like a credential's, and a value that may be any word."""
    text = "/home/somebody tests: false"
    assert Mask(ENVIRONMENT)(text) == text
    assert Mask({})(text) == text


def test_a_masked_stream_is_the_stream() -> None:
    """Writes are masked and tell the length that was given; whatever else a stream can, it can."""
    below = io.StringIO()
    stream = MaskedStream(below, Mask({"A_TOKEN": "hidden-token"}))
    assert stream.write("the hidden-token\n") == 17
    stream.writelines(["one ", "hidden-token"])
    stream.flush()
    assert below.getvalue() == "the ***\none ***"
    assert not stream.isatty()


def test_a_manifest_tells_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the message of a failure nor its traceback."""
    monkeypatch.setenv("MLOPS_SERVING_TOKEN", "hidden-token")
    failure = describe(ValueError("refused: hidden-token"))
    assert failure.message == "refused: ***"
    assert "hidden-token" not in failure.model_dump_json()


def test_a_jobs_process_prints_none() -> None:
    """Even what is no job's specification is not repeated with a credential in it."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow_mlops_provider.runtime"],
        input='{"job": "hidden-token"}\n', capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "MLOPS_SERVING_TOKEN": "hidden-token"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "ValidationError" in done.stderr
    assert "hidden-token" not in done.stdout + done.stderr
