"""From exit status and manifest to an answer, and from a failed manifest back to its error."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import JobError, JobLostError, MLOpsError, SourceDataError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import RunIdentity
from airflow_mlops_provider.places.base import Place, decide, error_of
from airflow_mlops_provider.runtime.failures import describe
from airflow_mlops_provider.runtime.runner import run
from tests.factories.tiny import TinyWorld

OURS = [
    one
    for _, one in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(one, MLOpsError) and one is not MLOpsError
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest | None]:
    """Manifests by what they tell of the attempt that is asked about: number 2."""
    world = TinyWorld(tmp_path_factory.mktemp("told"))
    good = run(world.cleaning(attempt=2))
    world.close()
    failed = good.model_copy(
        update={"state": "failed", "result": None, "failure": describe(SourceDataError("no rows"))}
    )
    earlier = good.spec.model_copy(update={"run": RunIdentity(dag_id="tests", run_id="one", try_number=1)})
    return {
        "none": None,
        "success": good,
        "failed": failed,
        "earlier success": good.model_copy(update={"spec": earlier}),
        "earlier failed": failed.model_copy(update={"spec": earlier}),
    }


@pytest.mark.parametrize("status", [0, 1, 2, 3, -9, -15, 137])
@pytest.mark.parametrize("which", ["none", "success", "failed", "earlier success", "earlier failed"])
def test_the_answer_to_every_end(told: dict[str, Manifest | None], status: int, which: str) -> None:
    """Status 0 needs a success, another status needs this attempt's own failure; all the rest is a lost job."""
    asked, manifest = told["success"], told[which]
    assert asked is not None
    if status == 0 and which.endswith("success"):
        assert decide(asked.spec, status, manifest) is manifest
        return
    expected, said = JobLostError, "left no manifest of this attempt; a retry resumes it"
    if status != 0 and which == "failed":
        expected, said = SourceDataError, "^no rows$"  # type: ignore[assignment]
    with pytest.raises(expected, match=said):
        decide(asked.spec, status, manifest)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (-9, "was killed by SIGKILL"),
        (-15, "was killed by SIGTERM"),
        (-11, "SIGSEGV"),
        (-99, "signal 99"),
        (3, "status 3"),
    ],
)
def test_a_lost_job_names_what_ended_it(told: dict[str, Manifest | None], status: int, said: str) -> None:
    """The message names the signal, or the exit status, and the job."""
    asked = told["success"]
    assert asked is not None
    with pytest.raises(JobLostError, match=rf"job 'clean' .*{said}"):
        decide(asked.spec, status, None)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_our_errors_survive_the_manifest(told: dict[str, Manifest | None], kind: type[MLOpsError]) -> None:
    """Each of our errors comes out of a manifest as the class, message and retryability it went in with."""
    error = kind("view", "x", ["a", "b"]) if kind is UnknownNameError else kind("what happened")  # type: ignore[call-arg]
    failed = told["failed"]
    assert failed is not None
    stored = Manifest.model_validate_json(failed.model_copy(update={"failure": describe(error)}).model_dump_json())
    back = error_of(stored)
    assert type(back) is kind
    assert str(back) == str(error)
    assert back.retryable is error.retryable


def test_others_errors_become_ours(told: dict[str, Manifest | None]) -> None:
    """An error of the user's code is a JobError that names it; one that no retry can mend stays so."""

    class HopelessError(MLOpsError):
        retryable = False

    failed = told["failed"]
    assert failed is not None
    for error, retryable in ((OSError("no room"), True), (KeyError("amount"), False), (HopelessError("never"), False)):
        back = error_of(failed.model_copy(update={"failure": describe(error)}))
        assert type(back) is JobError
        assert str(back).startswith(f"{type(error).__name__}: {error}")
        assert back.retryable is retryable
    assert "does not say why" in str(error_of(failed.model_copy(update={"failure": None})))


def test_a_failure_is_bounded() -> None:
    """A message of megabytes does not end up in the manifest whole."""
    failure = describe(ValueError("x" * 5_000_000))
    assert len(failure.message) == 4000
    assert len(failure.traceback) <= 4000


def test_a_place_of_ones_own() -> None:
    """Who inherits a place says how a job runs and how it is stopped; orphans it has none unless it says so."""

    class Nowhere(Place):
        def stop(self) -> None:
            """Nothing runs."""

    with pytest.raises(TypeError, match="run"):
        Nowhere()  # type: ignore[abstract]

    class Here(Nowhere):
        def run(self, spec: Any, secrets: Any, log: Any, context: Any = None, event: Any = None) -> Manifest:
            return run(spec)

    assert Here().remove_orphans(lambda _: "success", logging.getLogger(), 0) == []
