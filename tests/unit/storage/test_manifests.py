"""Exactly one readable manifest, come what may; and one that can't be read hides and blocks nothing but itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.lifecycle.frozen import canonical
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, RunIdentity
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.places.base import record_of
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.checkpoints import Checkpoints
from airflow_mlops_provider.runtime.failures import describe
from airflow_mlops_provider.runtime.runner import look, run
from airflow_mlops_provider.storage.artifacts import FolderStore, open_store
from airflow_mlops_provider.storage.change_requests import ChangeRequests
from airflow_mlops_provider.storage.intervals import current
from airflow_mlops_provider.storage.records import Records, declared
from airflow_mlops_provider.ui.reading import records
from tests.factories.tiny import DELIVERY, TinyWorld, manifests

HANDS_BACK = """
import datetime, decimal, pathlib
import numpy as np
import pandas as pd
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

class Inputs(JobInputs):
    raw: Dataset

@job(stage=Stage.FEATURES, makes="something")
def clean(context: JobContext[Inputs, JobSettings, JobParams]) -> JobResult:
    (context.folder / "made").write_text("made")
    return JobResult({})
"""


@pytest.fixture
def hands_back(
    make: Callable[..., TinyWorld],
) -> Callable[[str], tuple[TinyWorld, Manifest]]:
    """Return a function that runs a job which hands back what an expression says."""

    def hand(expression: str) -> tuple[TinyWorld, Manifest]:
        world = make()
        world.write("handed.py", HANDS_BACK.replace("JobResult({})", f"JobResult({expression})"))
        return world, run(world.cleaning().model_copy(update={"job": f"{world.name}.handed:clean", "settings": {}}))

    return hand


def strict(file: Path) -> Any:
    """Read a file as JSON that knows neither NaN nor infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{file} holds {constant}")

    return json.loads(file.read_text(), parse_constant=refuse)


def of(world: TinyWorld, job: str = "clean") -> list[Path]:
    return sorted((world.root / world.name / job).glob("*/manifest.json"))


def by(spec: JobSpec, dag_id: str, **fields: Any) -> JobSpec:
    """Return the same, asked by another DAG."""
    run_of = RunIdentity(dag_id=dag_id, run_id="one", task_id="clean")
    return spec.model_copy(update={"run": run_of, **fields})


# --- what code hands back ---------------------------------------------------------------------------------------------

KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "a numpy number": ("metrics={'loss': np.float32(0.5)}", {"metrics": {"loss": 0.5}}),
    "a numpy switch": ("metrics={'converged': np.bool_(True)}", {"metrics": {"converged": 1.0}}),
    "an array of one number": ("metrics={'loss': np.array(0.25)}", {"metrics": {"loss": 0.25}}),
    "a numpy fact": ("facts={'trees': np.int64(7)}", {"facts": {"trees": 7}}),
    "an array": ("facts={'all': {'n': np.array([[1, 2], [3, 4]])}}", {"facts": {"all": {"n": [[1, 2], [3, 4]]}}}),
    "a column": ("facts={'sizes': pd.Series([1.5, 2.5])}", {"facts": {"sizes": [1.5, 2.5]}}),
    "a tuple": ("facts={'shape': (1, 2)}", {"facts": {"shape": [1, 2]}}),
    "numpy text": ("facts={np.str_('name'): np.str_('text')}", {"facts": {"name": "text"}}),
}  # fmt: skip
REFUSED: dict[str, tuple[str, str]] = {
    "NaN": ("metrics={'loss': float('nan')}", "metric 'loss' is nan, not a finite number"),
    "numpy's NaN": ("metrics={'loss': np.float32('nan')}", "metric 'loss' is nan"),
    "an infinity": ("metrics={'auc': float('-inf')}", "metric 'auc' is -inf"),
    "too large a number": ("metrics={'rows': 10 ** 400}", "metric 'rows' is a whole number of 1329 bits"),
    "text": ("metrics={'loss': '0.5'}", "metric 'loss' is a str, not a number"),
    "nothing": ("metrics={'loss': None}", "metric 'loss' is a NoneType"),
    "a decimal": ("metrics={'loss': decimal.Decimal('0.5')}", "metric 'loss' is a decimal.Decimal"),
    "a list": ("metrics={'loss': np.array([0.5, 0.4])}", "metric 'loss' is a list"),
    "no dict": ("metrics=[0.5]", "metrics are a list"),
    "a metric without a name": ("metrics={1: 0.5}", "metrics has the key 1, a int"),
    "a NaN fact": ("facts={'fit': {'losses': [0.5, float('nan')]}}", "facts.fit.losses[1] is nan"),
    "a date": ("facts={'when': datetime.datetime.now()}", "facts.when is a datetime.datetime"),
    "numpy's date": ("facts={'when': np.datetime64('2024-01-01')}", "facts.when is a datetime.date"),
    "pandas' nothing": ("facts={'when': pd.NaT}", "facts.when is a pandas"),
    "a set": ("facts={'names': {'a'}}", "facts.names is a set"),
    "a path": ("facts={'file': pathlib.Path('/x')}", "facts.file is a pathlib.PosixPath"),
    "bytes": ("facts={'raw': b'x'}", "facts.raw is a bytes"),
    "a huge number": ("facts={'n': [2 ** 64]}", "facts.n[0] is a whole number of 65 bits"),
    "a numeric key": ("facts={'by_hour': {3: 0.5}}", "facts.by_hour has the key 3, a int"),
    "half a character": ("facts={'name': '\\udc80'}", "facts.name is text that UTF-8 can't hold"),
    "itself": ("facts=(lambda one: one.update(me=one) or one)({})", "recursion"),
}  # fmt: skip


@pytest.mark.parametrize("what", KEPT)
def test_what_can_be_kept_is_made_plain(hands_back: Callable[[str], tuple[TinyWorld, Manifest]], what: str) -> None:
    """Numbers and arrays of numpy and the like are kept as JSON has them, in memory as in the file."""
    expression, wanted = KEPT[what]
    world, manifest = hands_back(expression)
    assert manifest.state == "success", manifest.failure
    assert manifest.result is not None
    assert {"metrics": manifest.metrics, "facts": manifest.result.facts} == {"metrics": {}, "facts": {}, **wanted}
    assert manifests(world, "clean") == [manifest]


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(
    hands_back: Callable[[str], tuple[TinyWorld, Manifest]], what: str
) -> None:
    """One failed manifest that names metric or fact and its type, not to be retried; mended, the work is done."""
    expression, said = REFUSED[what]
    world, manifest = hands_back(expression)
    assert manifest.failure is not None
    assert (manifest.state, manifest.failure.retryable) == ("failed", False)
    assert manifest.failure.error == "ResultError"
    assert said in manifest.failure.message
    (file,) = of(world)
    strict(file)
    assert manifests(world, "clean") == [manifest]
    assert run(manifest.spec.model_copy(update={"force": True})).failure == manifest.failure
    assert [path.name for path in file.parent.iterdir()] == ["manifest.json"]


RAISED = {
    "the end of the process": ("raise SystemExit(0)", "SystemExit", "sys.exit(0)"),
    "the end of a generator": ("raise GeneratorExit('over')", "GeneratorExit", "over"),
    "half a character": (r"raise ValueError('\udc80')", "ValueError", r"\udc80"),
    "an error that can't say what it is": (
        "class Odd(Exception):\n        def __str__(self): raise KeyError('no')\n    raise Odd",
        "Odd",
        "could not be described: KeyError",
    ),
    "no text": ("class Odd(Exception):\n        def __str__(self): return 7\n    raise Odd", "Odd", "TypeError"),
}


@pytest.mark.parametrize("what", RAISED)
def test_whatever_is_raised_is_told(
    make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """An end of the process, or an error that can't even be printed, leaves its manifest like any other."""
    caplog.set_level(logging.CRITICAL, "mlops.runner")  # the log of half a character can't be sent between processes
    code, error, said = RAISED[what]
    world = make(f"def clean(raw, interval):\n    {code}\n")
    manifest = run(world.cleaning())
    assert manifest.failure is not None
    assert manifest.failure.error.rpartition(".")[2] == error
    assert said in manifest.failure.message
    assert not manifest.failure.retryable
    assert manifests(world, "clean") == [manifest]


def test_an_exit_with_success_is_no_success(make: Callable[..., TinyWorld]) -> None:
    """Rules that call sys.exit(0) in the default place fail the task with that, instead of a job that was lost."""
    world = make("import sys\n\ndef clean(raw, interval):\n    sys.exit(0)\n")
    with pytest.raises(MLOpsError, match=r"SystemExit: it called sys.exit\(0\)") as raised:
        LocalProcess().run(world.cleaning(), {}, logging.getLogger())
    assert raised.value.retryable is False


def test_no_job_is_not_told_because_its_surroundings_cannot(
    make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If even the machine can't be described, the least is told: what was asked, and the error."""
    world = make("def clean(raw, interval):\n    raise ValueError('the true cause')\n")
    spec = world.cleaning()
    monkeypatch.setattr("airflow_mlops_provider.backends.environment.hardware", lambda: {"load": float("nan")})
    manifest = run(spec)
    assert manifest.failure is not None
    assert manifest.failure.message == "the true cause"
    assert manifests(world, "clean") == [manifest]
    told = run(world.spec("extract", force=True)).failure
    assert told is not None
    assert "JSON" in told.message


def test_a_job_that_cannot_begin_leaves_a_manifest(make: Callable[..., TinyWorld]) -> None:
    """A job that nobody knows, and code that isn't there, are told of where the task's link leads."""
    world = make()
    spec = world.cleaning()
    nowhere = {**spec.settings, "clean": f"{world.name}_x.rules:clean"}
    for unknown, error in (
        (spec.model_copy(update={"job": "scrub"}), "UnknownNameError"),
        (spec.model_copy(update={"settings": nowhere}), "ConfigurationError"),
    ):
        manifest = run(unknown)
        assert manifest.failure is not None
        assert manifest.failure.error == error
        (file,) = (world.root / unknown.product / unknown.job).glob("*/manifest.json")
        assert Manifest.from_file(file.read_bytes()) == manifest
        with pytest.raises(MLOpsError) as raised:
            look(unknown)
        assert raised.value.result == file.parent.as_uri()


def test_a_product_whose_name_leads_elsewhere_writes_nothing(make: Callable[..., TinyWorld], tmp_path: Path) -> None:
    """A name from outside is no path, also not when the refusal is to be told."""
    world = make()
    with pytest.raises(MLOpsError):
        run(world.cleaning().model_copy(update={"product": "../elsewhere"}))
    assert not (tmp_path / "elsewhere").exists()


# --- what can't be read -----------------------------------------------------------------------------------------------

SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "not JSON": lambda _: b"\x89PNG\r\n",
    "foreign JSON": lambda _: b'{"manifestVersion": 2, "layers": []}',
    "a list": lambda _: b"[]",
    "null metrics": lambda data: data.replace(b'"metrics": {}', b'"metrics": {"loss": null}'),
}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("force", [False, True])
def test_an_unreadable_manifest_blocks_nothing(
    make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture, how: str, force: bool
) -> None:
    """It is named, kept beside, and the work is done anew, forced or not, in the default place too."""
    world = make()
    first = run(world.cleaning())
    (file,) = of(world)
    spoiled = SPOILED[how](file.read_bytes())
    file.write_bytes(spoiled)
    again = run(world.cleaning(attempt=2, force=force))
    assert again.state == "success"
    assert again.result == first.result
    assert manifests(world, "clean") == [again]
    (kept,) = file.parent.glob("*.unreadable")
    assert kept.read_bytes() == spoiled
    assert str(file) in caplog.text.replace("file://", "")
    file.write_bytes(b"")
    assert LocalProcess().run(world.cleaning(force=force), {}, logging.getLogger()).state == "success"


def test_a_manifest_of_other_work_is_not_found(make: Callable[..., TinyWorld]) -> None:
    """Another job's manifest, copied to this one's place, is no finished work of this one."""
    world = make()
    first = run(world.cleaning())
    (file,) = of(world)
    world.deliver(DELIVERY.replace("2.5", "9.5"))
    other = run(world.cleaning())
    elsewhere = next(one for one in of(world) if one != file)
    elsewhere.write_bytes(file.read_bytes())
    again = run(world.cleaning(attempt=2))
    assert again.result == other.result != first.result
    assert again.spec.run.try_number == 2


def test_an_input_whose_record_cannot_be_read(make: Callable[..., TinyWorld]) -> None:
    """A snapshot whose own manifest was spoiled is still the snapshot that its hash says."""
    world = make()
    spec = world.cleaning()
    of(world, "extract")[0].write_bytes(b"")
    assert run(spec).state == "success"


def newer(data: bytes) -> bytes:
    """Return a file of ours as a release to come may write it: with fields that this one does not know."""

    def add(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                **{key: add(one) for key, one in value.items()},
                **({"from_2031": {"x": 1}} if "kind" in value else {}),
            }
        return [add(one) for one in value] if isinstance(value, list) else value

    told = add(json.loads(data))
    told |= {"schema_version": 99, "from_2031": [1]}
    if isinstance(told.get("spec"), dict):
        told["spec"] |= {"from_2031": "x"}
    return json.dumps(told).encode()


def test_what_a_newer_release_wrote_is_read(make: Callable[..., TinyWorld]) -> None:
    """Manifest, declaration and current pointer with fields to come: found, listed and shown as before."""
    world = make()
    first = run(world.cleaning())
    store = open_store(str(world.root))
    before = current(store, world.name, "clean")
    for file in [
        *world.root.rglob("manifest.json"),
        *world.root.glob("_products/*"),
        *world.root.rglob("current/*/*.json"),
    ]:
        file.write_bytes(newer(file.read_bytes()))
    again = run(world.cleaning(attempt=2))
    assert again.started == first.started, "the work was found"
    assert again.result == first.result
    assert current(store, world.name, "clean") == before
    assert [one.name for one in declared(store)] == [world.name]
    told = Records(FolderStore(world.root))
    assert first.result is not None
    assert [one.missing for one in told.ancestors(told.manifest_of(first.result))] == [""]
    (shown,) = records(store, lambda _: True)
    assert len(shown.manifests["clean"]) == 2


def test_a_specification_stays_strict() -> None:
    """A user's typo is refused, though a record's unknown field is not."""
    with pytest.raises(ValueError, match="forse"):
        JobSpec.model_validate_json('{"job": "clean", "product": "x", "root": "r", "forse": true}')


STRANGE: dict[str, Callable[[dict[str, Any]], None]] = {
    "an unknown kind of reference": lambda told: told["result"].update(kind="embedding"),
    "an unknown state": lambda told: told.update(state="paused"),
    "an input of an unknown kind": lambda told: told["spec"]["inputs"]["raw"].update(kind="embedding"),
    "no spec": lambda told: told.pop("spec"),
}


@pytest.mark.parametrize("how", STRANGE)
def test_what_cannot_be_understood_hides_nothing_else(
    make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """One manifest beyond this release is left out and named; all others are listed, and pages and lineage go on."""
    world = make()
    first = run(world.cleaning())
    (file,) = of(world)
    world.deliver(DELIVERY.replace("2.5", "9.5"))
    second = run(world.cleaning())
    told = json.loads(file.read_text())
    STRANGE[how](told)
    file.write_text(json.dumps(told))
    store = FolderStore(world.root)
    assert list(Records(store).all(world.name, "clean")) == [second]
    (shown,) = records(store, lambda _: True)
    assert [(made.address, made.result) for made in shown.manifests["clean"]] == [(second.address, second.result)]
    assert shown.stages()
    assert first.result is not None
    assert Records(store).made(first.result).missing
    assert str(file) in caplog.text.replace("file://", "")


def test_a_job_to_come_hides_nothing(make: Callable[..., TinyWorld]) -> None:
    """Results of a job that this release does not have lie beside the others."""
    world = make()
    manifest = run(world.cleaning())
    (file,) = of(world)
    other = world.root / world.name / "embed" / ("0" * 32) / "manifest.json"
    other.parent.mkdir(parents=True)
    told = json.loads(file.read_text())
    told["spec"]["job"] = "embed"
    other.write_text(json.dumps(told))
    assert list(Records(FolderStore(world.root)).all(world.name, "clean")) == [manifest]
    assert len(records(open_store(str(world.root)), lambda _: True)) == 1


def test_one_bad_file_of_each_other_kind(make: Callable[..., TinyWorld], caplog: pytest.LogCaptureFixture) -> None:
    """A pointer, a declaration, a request and a checkpoint that can't be read are left out; the others are told."""
    world = make()
    run(world.cleaning())
    store = FolderStore(world.root)
    store.write(f"{world.name}/current/clean/20990101T000000Z.json", b'{"kind": "embedding"}')
    store.write("_products/broken.json", b"{")
    store.write(f"{world.name}/feedback/broken.json", b"")
    assert len(current(store, world.name, "clean")) == 1
    assert [one.name for one in declared(store)] == [world.name]
    assert ChangeRequests(store, world.name).all() == []
    for name in ("20990101T000000Z.json", "_products/broken.json", "feedback/broken.json"):
        assert name in caplog.text
    kept = Checkpoints(store, "shop/train/one")
    kept.save(1, lambda folder: (folder / "state").write_text("one"))
    store.write("shop/train/one/checkpoints/epochs.sqlite/data", b"of another release")
    found = kept.latest()
    assert found is not None
    assert found[0] == 1
    kept.save(2, lambda folder: (folder / "state").write_text("two"))
    assert (kept.latest() or (0,))[0] == 2
    assert "epochs.sqlite" in caplog.text


# --- who made it ------------------------------------------------------------------------------------------------------


def test_the_first_maker_stays_the_maker(make: Callable[..., TinyWorld]) -> None:
    """Another DAG that does the very same again, by force, is listed as such; production's record stays as it was."""
    world = make()
    spec = world.cleaning()
    first = run(by(spec, "production"))
    again = run(by(spec, "mine", force=True))
    found = run(by(spec, "other"))
    assert (again.spec.run.dag_id, again.original, again.reused) == ("mine", of(world)[0].parent.as_uri(), False)
    assert found == first
    assert manifests(world, "clean") == [first]
    told = Records(FolderStore(world.root))
    assert first.result is not None
    assert told.manifest_of(first.result).spec.run.dag_id == "production"
    assert told.reuses(first.result) == 2
    own = Path(record_of(again, again.spec.run).removeprefix("file://"))
    assert Manifest.from_file((own / "manifest.json").read_bytes()) == again


def test_the_default_place_tells_a_rerun_as_its_own(make: Callable[..., TinyWorld]) -> None:
    """A forced task sees its own manifest, not that of whoever came first; nor does a failure hide the maker."""
    world = make("import os\n\ndef clean(raw, interval):\n    assert 'TINY_FAILS' not in os.environ\n    return raw\n")
    spec = world.cleaning()
    first = run(by(spec, "production"))
    again = LocalProcess().run(by(spec, "mine", force=True), {}, logging.getLogger())
    assert again.spec.run.dag_id == "mine"
    with pytest.raises(MLOpsError, match="AssertionError"):
        LocalProcess(env={"TINY_FAILS": "1"}).run(by(spec, "mine", force=True), {}, logging.getLogger())
    assert LocalProcess().run(by(spec, "mine"), {}, logging.getLogger()).state == "success"
    assert first.result is not None
    assert Records(FolderStore(world.root)).manifest_of(first.result) == first


def test_a_retry_is_no_second_maker(make: Callable[..., TinyWorld]) -> None:
    """The same task that is tried again replaces its own manifest."""
    world = make()
    run(world.cleaning())
    again = run(world.cleaning(attempt=2, force=True))
    assert manifests(world, "clean") == [again]
    assert again.original is None


# --- strict JSON ------------------------------------------------------------------------------------------------------


def test_what_json_does_not_have_is_not_written() -> None:
    """Neither a hash nor a file of ours is made of NaN; a specification with one is refused by name."""
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical({"x": bad})
        with pytest.raises(ValueError, match=r"facts\.x"):
            Dataset(uri="file:///x", hash="0", facts={"x": bad})
        with pytest.raises(ValueError, match=r"params\.settings\.rate"):
            JobSpec(job="train", product="x", root="r", params={"settings": {"rate": bad}}, services=None)  # type: ignore[arg-type]
    assert describe(SystemExit(3)).message == "it called sys.exit(3)"
