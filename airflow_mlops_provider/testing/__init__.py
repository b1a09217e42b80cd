"""The contract of each kind of part as tests, for whoever adds one to inherit.

Each class is a set of tests about what its fixtures return; a subclass overrides these. The tests of this package's own
parts are made the same way. Whoever imports this needs pytest, and nothing else of the package imports it.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{room}"
        for room in ("ci", "data", "fresh", "models", "problems", "running", "serving", "storing", "streaming")
    )
)

from airflow_mlops_provider.testing.ci import CISystemContract  # noqa: E402 - asserts are rewritten as it is imported
from airflow_mlops_provider.testing.data import DriftMethodContract, ValidatorContract  # noqa: E402
from airflow_mlops_provider.testing.models import FlavorContract  # noqa: E402
from airflow_mlops_provider.testing.problems import ProblemContract  # noqa: E402
from airflow_mlops_provider.testing.running import JobContract, PlaceContract  # noqa: E402
from airflow_mlops_provider.testing.serving import ModelServerContract  # noqa: E402
from airflow_mlops_provider.testing.storing import ArtifactStoreContract, ForgeContract  # noqa: E402
from airflow_mlops_provider.testing.streaming import StreamServerContract  # noqa: E402

__all__ = [
    "ArtifactStoreContract",
    "CISystemContract",
    "DriftMethodContract",
    "FlavorContract",
    "ForgeContract",
    "JobContract",
    "ModelServerContract",
    "PlaceContract",
    "ProblemContract",
    "StreamServerContract",
    "ValidatorContract",
]
