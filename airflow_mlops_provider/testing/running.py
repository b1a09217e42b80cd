"""What jobs and places have to keep, as tests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.testing import fresh

_ADDRESS = """
import sys
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.runtime.address import address
print(address(JobSpec.model_validate_json(sys.stdin.read())))
"""


def again(spec: JobSpec, **changes: Any) -> JobSpec:
    """Return a specification as another run of the same task would make it."""
    return spec.model_copy(update={"run": spec.run.model_copy(update={"run_id": "again"}), **changes})


class JobContract:
    """What a job keeps. Override :meth:`spec`."""

    @pytest.fixture
    def spec(self) -> JobSpec:
        """A complete specification of the job, on small inputs, in an artifact root of its own."""
        raise NotImplementedError

    def test_it_says_what_it_is(self, spec: JobSpec) -> None:
        """Stage, what it makes, and what it takes are said once, typed, where the job is defined."""
        job = find_job(spec.job)
        assert job.stage in Stage
        assert job.makes.strip()
        assert issubclass(job.inputs, JobInputs)
        assert issubclass(job.settings, JobSettings)
        assert issubclass(job.params, JobParams)
        job.read(spec)

    def test_its_address_is_the_same_everywhere(self, spec: JobSpec) -> None:
        """In another process too; who runs it is no part of it."""
        assert address(spec) == address(again(spec)) == fresh.output(_ADDRESS, stdin=spec.model_dump_json())

    def test_what_it_does_not_take_is_refused(self, spec: JobSpec) -> None:
        """A parameter, a setting or an input that nobody declared is named, with those that are."""
        for field in ("params", "settings"):
            odd = spec.model_copy(update={field: {**getattr(spec, field), "no_such_name": 1}})
            with pytest.raises(ConfigurationError, match="no_such_name"):
                find_job(spec.job).read(odd)

    def test_done_again_it_makes_the_same(self, spec: JobSpec) -> None:
        """Byte for byte, with side effects too; without them what is done is found."""
        first = run(spec)
        assert first.state == "success", first.failure
        second, forced = run(again(spec)), run(again(spec, force=True))
        assert first.result is not None
        for later in (second, forced):
            assert later.result is not None, later.failure
            assert later.result.hash == first.result.hash
        was_found = second.spec.run == first.spec.run
        assert was_found != find_job(spec.job).side_effects


class PlaceContract:
    """What a place keeps. Override :meth:`place`, :meth:`spec` and :meth:`failing`."""

    @pytest.fixture
    def place(self) -> Place:
        """A new place."""
        raise NotImplementedError

    @pytest.fixture
    def spec(self) -> JobSpec:
        """A job without side effects that succeeds."""
        raise NotImplementedError

    @pytest.fixture
    def failing(self) -> JobSpec:
        """A job that raises one of this package's errors."""
        raise NotImplementedError

    @pytest.fixture
    def work(self, place: Place) -> Callable[[JobSpec], Manifest]:
        """Runs a job there."""
        return lambda spec: place.run(spec, {}, logging.getLogger("contract"))

    def test_a_job_runs_there(self, spec: JobSpec, work: Callable[[JobSpec], Manifest]) -> None:
        """Its manifest is that of this run; what is done is found, and the same run in any process makes the same."""
        first = work(spec)
        assert (first.state, first.spec.run, first.spec.job) == ("success", spec.run, spec.job)
        assert first.address == address(spec)
        second = work(again(spec))
        assert second.result == first.result == run(again(spec)).result

    def test_it_says_where_jobs_run(self, place: Place) -> None:
        """In a few words, once the place was tried; it is up."""
        assert place.probe().strip()

    def test_a_job_fails_with_its_own_error(self, failing: JobSpec, work: Callable[[JobSpec], Manifest]) -> None:
        """The error says what the job said, whether a retry helps, and where the record of it lies."""
        known = run(failing).failure
        assert known is not None
        with pytest.raises(MLOpsError) as raised:
            work(again(failing))
        assert type(raised.value).__name__ == known.error
        assert raised.value.retryable == known.retryable
        assert raised.value.result

    def test_stopping_without_a_job_does_nothing(self, place: Place) -> None:
        """Airflow may ask for it at any time."""
        began = time.monotonic()
        place.stop()
        assert time.monotonic() - began < 60
