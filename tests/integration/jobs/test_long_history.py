"""Thousands of data intervals: one reference names them all, pods take them, lineage knows each; none is believed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.cli import lineage as command
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, MLOpsError
from airflow_mlops_provider.lifecycle.records.lineage import HISTORY, JUDGED, LEARNED, Lineage
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import DatasetList, ModelVersion
from airflow_mlops_provider.places.kubernetes.manifest import arguments, spec_of
from airflow_mlops_provider.places.local_process import LocalProcess
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.layout import key_below
from airflow_mlops_provider.storage.records import Records
from tests.factories.history import HistoryWorld
from tests.factories.kube.pod_world import LOG, Task, connect, place_of
from tests.factories.kube.world import KubeWorld

ROOT = Path(__file__).parents[3]
DAYS, WINDOW = 3000, 2000
ROWS_A_DAY = 12
#: A pod takes 128 KiB of arguments; whoever reads a specification takes far less.
MOST_BYTES = 16 * 1024


class Long:
    """A product with years of history, and a cluster whose pods can run its jobs."""

    def __init__(self, folder: Path, days: int, window: int) -> None:
        self.world = HistoryWorld(folder, days, window)
        self.kube = KubeWorld(folder, {"PYTHONPATH": f"{ROOT}:{self.world.products}"})

    def in_pod(self, spec: JobSpec) -> Manifest:
        """Run a job in a pod."""
        context = Task(run_id=spec.run.run_id).next_try()
        with pytest.MonkeyPatch.context() as patch:
            connect(patch, self.kube.kubeconfig)
            return place_of(self.world, deferrable=False).run(spec, {}, LOG, context)

    def here(self, spec: JobSpec) -> Manifest:
        """Run a job in a child process."""
        return LocalProcess().run(spec, {}, logging.getLogger("here"))

    def close(self) -> None:
        """End the cluster, and take the product off the path."""
        self.kube.close()
        self.world.close()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    """Eight years of days."""
    made = Long(tmp_path_factory.mktemp("long"), DAYS, WINDOW)
    yield made
    made.close()


@pytest.fixture(scope="module")
def data(long: Long) -> Manifest:
    """A training set, made in a pod."""
    return long.in_pod(long.world.specify_training_set())


@pytest.fixture(scope="module")
def model(long: Long, data: Manifest) -> Manifest:
    """A model, trained in a pod."""
    return long.in_pod(long.world.specify("train", training_set=data.result))


@pytest.fixture(scope="module")
def specs(long: Long, data: Manifest, model: Manifest) -> dict[str, JobSpec]:
    """What asks for the steps after the training; those that lead to a version have been run."""
    world = long.world
    evaluate = world.specify("evaluate", model=model.result, training_set=data.result)
    evaluation = run(evaluate).result
    register = world.specify(
        "register", params={"cause": "first", "reason": "first"}, model=model.result, evaluation=evaluation
    )
    version = run(register).result
    assert isinstance(version, ModelVersion)
    steps = {
        "predict": {"version": version, "features": world.features[-1]},
        "deploy": {"version": version},
        "retune": {"training_set": data.result},
    }
    others = {job: world.specify(job, **given) for job, given in steps.items()}
    return {"evaluate": evaluate, "register": register, **others}


def test_a_pod_is_given_two_references(long: Long, data: Manifest) -> None:
    """3,000 intervals come to the pod as two lists, in a specification that a person can read."""
    pod = next(pod for pod in long.kube.created if (spec := spec_of(pod)) and spec.job == "training_set")
    (container,) = pod["spec"]["containers"]
    assert max(len(argument.encode()) for argument in container["args"]) < MOST_BYTES
    spec = spec_of(pod)
    assert spec is not None
    lists = {role: given.count for role, given in spec.inputs.items() if isinstance(given, DatasetList)}
    assert lists == {"features": WINDOW, "history": DAYS - WINDOW}
    assert data.spec.inputs == spec.inputs, "the record is kept as short as what was given"


def test_it_really_is_made_and_trained_there(data: Manifest, model: Manifest) -> None:
    """Every interval of the window gave its rows, the last one for evaluation, and a pod learned from the others."""
    assert data.state == model.state == "success"
    assert data.metrics == {"train_rows": ROWS_A_DAY * (WINDOW - 1), "evaluate_rows": ROWS_A_DAY}
    assert model.metrics["train_rows"] == ROWS_A_DAY * (WINDOW - 1)
    assert data.result is not None
    assert data.result.facts["not_loaded"] == []


def test_what_is_made_of_it_stays_short_as_well(data: Manifest, model: Manifest, specs: dict[str, JobSpec]) -> None:
    """What a training set, a model and a version say of 2,000 intervals is a span: each later step fits into a pod."""
    assert data.result is not None
    assert [data.result.facts["train"], data.result.facts["evaluate"]] == [
        ["2018-09-27 00:00/2024-03-18 00:00"],
        ["2024-03-18 00:00/2024-03-19 00:00"],
    ]
    given = {"train": model.spec, **specs}
    sizes = {job: max(len(argument.encode()) for argument in arguments(spec, "pod")) for job, spec in given.items()}
    assert {job: size for job, size in sizes.items() if size >= MOST_BYTES} == {}


def test_the_place_makes_no_difference(long: Long, data: Manifest) -> None:
    """What a pod made of 3,000 intervals a process finds, at the same address, whoever kept the list."""
    there = long.world.specify_training_set("two")
    again = long.here(there)
    assert (again.address, again.result, again.spec.run.run_id) == (data.address, data.result, "one")


def test_lineage_names_each(
    long: Long, data: Manifest, specs: dict[str, JobSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every interval is in the version's lineage, by what it was to the model; any of them leads to the version."""
    records = Records(long.world.store)
    graph = records.lineage(long.world.name, 1)
    known = {item.hash: item.interval for item in graph.items if item.interval}
    features = {dataset.hash: dataset.interval for dataset in long.world.features}
    assert len(features) == DAYS
    assert {content: interval for content, interval in known.items() if content in features} == features
    assert Counter(link.role for link in graph.links) == {
        LEARNED: WINDOW - 1, JUDGED: 1, HISTORY: DAYS - WINDOW, "training_set": 1,
    }  # fmt: skip
    command.show_version(graph, None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("status") == "registered"
    assert Lineage.model_validate(printed) == graph
    for dataset in (long.world.features[0], long.world.features[-1]):
        _, made = command.uses(records, dataset.hash, None)
        assert [(use.name, use.version) for use in made] == [(long.world.name, 1)]


# --- a shorter history, which is made anew each time ------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Long]:
    """Forty days, still too many to name each; its pods run in a cluster of their own."""
    made = Long(tmp_path_factory.mktemp("short"), 40, 20)
    yield made
    made.close()


def test_both_places_make_the_same(short: Long) -> None:
    """A pod and a process, each made to work, leave the same bytes at the same address."""
    there = short.in_pod(short.world.specify_training_set("pod", force=True))
    here = short.here(short.world.specify_training_set("here", force=True))
    assert (there.spec.run.run_id, here.spec.run.run_id) == ("pod", "here")
    assert (there.address, there.result) == (here.address, here.result)


def kept(short: Long, role: str) -> Path:
    """Return the file of the list that a training set is given."""
    given = short.world.specify_training_set().inputs[role]
    assert isinstance(given, DatasetList)
    return short.world.store.path(key_below(short.world.store, given.uri))


def swap(entries: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Give the first two of some datasets each other's value of a field."""
    first, second, *others = entries
    return [{**first, field: second[field]}, {**second, field: first[field]}, *others]


OTHERS = r"the list {uri} names other datasets than the reference says"
CHANGES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], type[MLOpsError], str]] = {
    "one twice": (lambda entries: [entries[1], *entries[1:]], IntegrityError, OTHERS),
    "one less": (lambda entries: entries[:-1], IntegrityError, OTHERS),
    "another order": (lambda entries: entries[::-1], IntegrityError, OTHERS),
    "another content": (lambda entries: [{**entries[0], "hash": "0" * 64}, *entries[1:]], IntegrityError, OTHERS),
    "no list": (lambda entries: {"datasets": entries}, IntegrityError, r"the list {uri} can't be read"),
    "places swapped": (lambda entries: swap(entries, "uri"), IntegrityError, "is not what the reference claims"),
    "intervals swapped": (lambda entries: swap(entries, "interval"), IntegrityError, "is of .*, not of .* as claimed"),
    "outside": (
        lambda entries: [{**entries[0], "uri": "file:///etc"}, *entries[1:]],
        ConfigurationError,
        "file:///etc lies outside the artifact root",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("role", ["features", "history"])
def test_a_list_that_was_changed_is_refused(short: Long, role: str, what: str) -> None:
    """Whoever changes a list after it was handed on changes no result: the error names it, or what it names falsely."""
    change, error, message = CHANGES[what]
    spec, file = short.world.specify_training_set(what), kept(short, role)
    before = file.read_bytes()
    file.write_text(json.dumps(change(json.loads(before))))
    try:
        with pytest.raises(error, match=message.format(uri=file.as_uri())) as refused:
            short.here(spec)
    finally:
        file.write_bytes(before)
    assert not refused.value.retryable, "a retry would read the same list"
    assert short.here(spec).state == "success"


def test_a_pod_refuses_it_too(short: Long) -> None:
    """The list that a pod reads is held against the reference there, and its task is given the error by name."""
    spec, file = short.world.specify_training_set("refused", force=True), kept(short, "history")
    before, pods = file.read_bytes(), len(short.kube.created)
    file.write_text(json.dumps(json.loads(before)[1:]))
    try:
        with pytest.raises(MLOpsError, match=OTHERS.format(uri=file.as_uri())):
            short.in_pod(spec)
        assert len(short.kube.created) == pods + 1
        file.unlink()
        with pytest.raises(IntegrityError, match=f"the list {file.as_uri()} can't be read .FileNotFoundError"):
            short.here(spec)
    finally:
        file.write_bytes(before)
