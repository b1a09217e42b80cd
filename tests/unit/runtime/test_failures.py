"""What a manifest keeps of an error says whether a retry helps."""

from __future__ import annotations

import jsonschema
import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, ConflictError
from airflow_mlops_provider.runtime.failures import describe


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError("amount"), ("KeyError", False)),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "bad"), ("UnicodeDecodeError", False)),
        (ConnectionResetError("gone"), ("ConnectionResetError", True)),
        (MemoryError(), ("MemoryError", True)),
        (ConflictError("first"), ("ConflictError", True)),
        (ConfigurationError("no"), ("ConfigurationError", False)),
        (jsonschema.ValidationError("theirs"), ("jsonschema.exceptions.ValidationError", True)),
    ],
)
def test_wrong_code_is_told_from_a_wrong_moment(error: Exception, expected: tuple[str, bool]) -> None:
    """Python's own words for a mistake say that no retry helps; a class of somebody else's is named whole."""
    failure = describe(error)
    assert (failure.error, failure.retryable) == expected
