"""Running a job: one manifest come what may, and finished work found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_mlops_provider.jobs.features import clean
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.runtime.definition import all_jobs
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import file_hash, open_store
from airflow_mlops_provider.storage.intervals import current
from tests.factories.tiny import DAY, DELIVERY, TinyWorld, manifests

RAISES = "def clean(raw, interval):\n    raise {}\n"


# --- the runner -------------------------------------------------------------------------------------------------------


def test_a_job_leaves_its_manifest_and_its_result(make: Callable[..., TinyWorld]) -> None:
    """The manifest tells inputs, outputs with hashes, code, packages and hardware; the result is made current."""
    world = make()
    spec = world.cleaning()
    manifest = run(spec)
    assert manifest == manifests(world, "clean")[0]
    assert manifest.state == "success"
    assert manifest.spec == spec
    assert manifest.result is not None
    of = manifest.spec.inputs["raw"]
    assert manifest.result.facts == {"rows": {"sales": 2}, "rows_in": {"sales": 2}, "of": of.hash}
    assert [output.name for output in manifest.outputs] == ["sales.parquet"]
    ours = {"airflow_mlops_provider.jobs.features.clean", "airflow_mlops_provider.lifecycle.source"}
    assert ours | {world.name, f"{world.name}.rules"} <= set(manifest.code_hashes)
    assert not [name for name in manifest.code_hashes if name.startswith("airflow_mlops_provider.runtime")]
    assert {"pandas", "pyarrow", "apache-airflow"} <= manifest.packages.keys()
    assert manifest.spec.settings["clean"] == f"{world.name}.rules:clean"
    assert manifest.hardware["cores"] >= 1
    assert manifest.ended >= manifest.started
    assert current(open_store(str(world.root)), world.name, "clean") == [manifest.result]


def test_a_snapshot_tells_the_hash_of_each_delivery(make: Callable[..., TinyWorld]) -> None:
    """A file changed in any byte can be told from the one that was read, even where the rows come out the same."""
    world = make()
    first = world.extracted()
    file = world.deliver(DELIVERY.replace("1.5", "1.50"))
    second = world.extracted()
    assert second.hash == first.hash
    assert second.facts["files"] == {"sales/2024-01-01.csv": file_hash(file)} != first.facts["files"]


def test_finished_work_is_found(make: Callable[..., TinyWorld]) -> None:
    """The same again is not done again: its manifest points to the first one's, which stays; force does it anew."""
    world = make()
    first = run(world.cleaning())
    again = run(world.cleaning(attempt=2))
    assert again == first
    assert again.spec.run.try_number == 1
    (pointing,) = (world.root / world.name / "clean").glob("*/reused/*/manifest.json")
    told = Manifest.model_validate_json(pointing.read_text())
    assert told.spec.run.try_number == 2
    assert told.result == first.result
    assert Path(str(told.original).removeprefix("file://")) == pointing.parents[2]
    forced = run(world.cleaning(attempt=3, force=True))
    assert forced.spec.run.try_number == 3
    assert forced.started > first.ended
    assert forced.result == first.result
    assert manifests(world, "clean") == [forced]


def test_finished_work_becomes_current_again(make: Callable[..., TinyWorld]) -> None:
    """A corrected delivery replaces the interval's dataset, the old one delivered again brings the old one back."""
    world = make()
    store = open_store(str(world.root))
    first = run(world.spec("extract")).result
    world.deliver("shop,amount,at\nnorth,9,2024-01-01T08:00:00Z\n")
    second = run(world.spec("extract")).result
    assert first != second
    assert current(store, world.name, "raw") == [second]
    later = run(world.cleaning()).result
    world.deliver(DELIVERY)
    earlier = run(world.cleaning()).result
    assert current(store, world.name, "raw") == [first]
    assert current(store, world.name, "clean") == [earlier]
    assert earlier != later
    world.deliver("shop,amount,at\nnorth,9,2024-01-01T08:00:00Z\n")
    assert run(world.cleaning()).result == later  # found, not made anew
    assert current(store, world.name, "clean") == [later]


def test_a_failure_leaves_a_manifest(make: Callable[..., TinyWorld]) -> None:
    """A failed job leaves class, message, traceback and whether a retry helps; no result, and nothing current."""
    world = make(RAISES.format("ValueError('amounts are negative')"))
    manifest = run(world.cleaning())
    assert manifests(world, "clean") == [manifest]
    assert manifest.state == "failed"
    assert manifest.result is None
    failure = manifest.failure
    assert failure is not None
    assert (failure.error, failure.message, failure.retryable) == ("ValueError", "amounts are negative", False)
    assert "rules.py" in failure.traceback
    assert current(open_store(str(world.root)), world.name, "clean") == []
    assert [path.name for path in (world.root / world.name / "clean").glob("*/*")] == ["manifest.json"]


def test_our_own_failures_say_whether_a_retry_helps(make: Callable[..., TinyWorld]) -> None:
    """Rules that leave no rows fail for good, with what was left empty."""
    world = make("def clean(raw, interval):\n    return {'sales': raw['sales'].head(0)}\n")
    failure = run(world.cleaning()).failure
    assert failure is not None
    assert (failure.error, failure.retryable) == ("SourceDataError", False)
    assert failure.message == f"rules {world.name}.rules:clean left no rows of 'sales' in {DAY}"


def test_the_next_attempt_replaces_a_failed_one(
    make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed manifest is no finished work: the next attempt works, and its manifest is the only one."""
    monkeypatch.setenv("TINY_FAILS", "1")
    world = make("import os\n\ndef clean(raw, interval):\n    assert 'TINY_FAILS' not in os.environ\n    return raw\n")
    assert run(world.cleaning()).state == "failed"
    monkeypatch.delenv("TINY_FAILS")
    assert run(world.cleaning(attempt=2)).state == "success"
    assert [(one.state, one.spec.run.try_number) for one in manifests(world, "clean")] == [("success", 2)]


def test_a_job_with_an_effect_always_runs(make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes something outside its folder is done each time, finished or not."""
    world = make()
    with monkeypatch.context() as patch:  # what is asked for below is kept for the whole process
        patch.setattr(clean, "clean", replace(clean.clean, side_effects=True))
        assert [run(world.cleaning(attempt=attempt)).spec.run.try_number for attempt in (1, 2)] == [1, 2]
    assert {name for name, job in all_jobs().items() if job.side_effects} == {
        *("collect", "extract", "forget", "load", "search", "conclude", "export_settings"),
        *("register", "promote", "retire", "waive", "approve", "deploy", "reconcile"),
        *("apply_repository", "materialize_views", "retrieve_features", "push_rows"),
    }


def test_spoiled_input_is_refused(make: Callable[..., TinyWorld]) -> None:
    """A job does not work on bytes that are not those recorded, nor on ones that are gone or lie elsewhere."""
    world = make()
    raw = world.extracted()
    file = world.root / raw.uri.removeprefix(world.root.as_uri()).strip("/") / "sales.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    for reference, said in (
        (raw, "IntegrityError: .* is not what was recorded; run the job that made it again"),
        (raw.model_copy(update={"uri": f"{raw.uri}x"}), "IntegrityError: .* is gone; run the job that made it again"),
        (
            raw.model_copy(update={"uri": "file:///elsewhere/x"}),
            "ConfigurationError: .* lies outside the artifact root",
        ),
    ):
        failure = run(world.spec("clean", inputs={"raw": reference}, force=True)).failure
        assert failure is not None
        assert not failure.retryable
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(f"{failure.error}: {failure.message}")
