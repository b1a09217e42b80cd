"""Comparing a version with its record: which words are found, and what is no difference."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.cli.reproduction.rebuild_process import environment
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.records import reproduction
from airflow_mlops_provider.lifecycle.records.manifest import Manifest, Output
from airflow_mlops_provider.lifecycle.records.reproduction import Comparison, Finding, first_change
from airflow_mlops_provider.lifecycle.records.spec import JobSpec, Services
from airflow_mlops_provider.lifecycle.references import Dataset, Model
from airflow_mlops_provider.runtime.reproduction.plan import again
from airflow_mlops_provider.runtime.reproduction.recorded_code import Code
from airflow_mlops_provider.storage.layout import key_in

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = JobSpec(job="train", product="shop", root="/r", services=Services(landing="/l", mlflow="sqlite:///m.db"))


def trained(model: str, sample: str, flavor: str = "lightgbm", **fields: Any) -> Manifest:
    """Return the record of a training by the hashes of its two files."""
    outputs = tuple(
        Output(name=name, sha256=one * 64, bytes=1)
        for name, one in (("model.lgb", model), ("reference.parquet", sample))
    )
    return Manifest(
        **{"hardware": {"python": "3.11.7", "cores": 2}, **fields},
        state="success",
        spec=SPEC.model_copy(update={"settings": {"trainer": {"flavor": flavor}}}),
        address="a",
        result=Model(uri="/r/shop/train/a/b", hash=(model + sample) * 32),
        outputs=outputs,
        started=MOMENT,
        ended=MOMENT,
    )


def differs(findings: Any) -> list[str]:
    """Return what differs, in words."""
    return [one.differs for one in findings if not one.equal]


def test_a_file_is_named_with_both_hashes_unless_its_snapshot_stands_in() -> None:
    """A changed delivery is a difference; one that is gone is not, but it is said."""
    found = list(
        reproduction.files({"a.csv": ("1" * 64, "2" * 64), "b.csv": ("3" * 64, None), "c.csv": ("4" * 64, "4" * 64)})
    )
    assert differs(found) == [f"raw file a.csv (recorded {'1' * 12}, now {'2' * 12})"]
    assert [one.what for one in found if one.note] == ["raw file b.csv"]


def test_hashes_that_begin_alike_are_shown_whole() -> None:
    """Nobody is told that a hash differs from itself."""
    (found,) = reproduction.files({"a.csv": ("1" * 63 + "2", "1" * 64)})
    assert "1" * 63 + "2" in found.differs


def test_a_setting_is_named_down_to_its_value() -> None:
    """The members of a list go by their names, so that a feature is named and not a number."""
    was = {"views": [{"name": "traffic", "features": {"late": "float64"}}], "label": {"column": "late"}}
    now = {"views": [{"name": "traffic", "features": {"late": "int64"}}], "label": {"column": "late"}}
    assert differs(reproduction.declarations(was, now)) == [
        "setting views.traffic.features.late (recorded float64, now int64)"
    ]


def test_a_module_is_told_by_what_the_product_calls_it() -> None:
    """The rule is called a rule; what it imports is a module."""
    declared = {"clean": "shop.rules:clean", "trainer": "shop.trainer:train"}
    assert reproduction.role_of("shop.rules", declared) == "rule shop.rules:clean"
    assert reproduction.role_of("shop.trainer", declared) == "trainer shop.trainer:train"
    assert reproduction.role_of("shop.limits", declared) == "module shop.limits"


def test_a_package_is_found_however_it_is_spelled() -> None:
    """A version on record under the normal name is compared; one that was absent is said to have been."""
    found = reproduction.packages(
        ("Great_Expectations", "new"), {"great-expectations": "1"}, dict.fromkeys(("Great_Expectations", "new"), "1")
    )
    assert differs(found) == ["package new (recorded absent, here 1)"]


def test_metrics_are_equal_to_the_last_digit_and_durations_are_not_compared() -> None:
    """The least difference counts; how long it took is named as what cannot be the same."""
    was, now = (trained("1", "2", metrics={"auc": value, "train_seconds": value}) for value in (0.1 + 0.2, 0.3))
    found = list(reproduction.metrics(was, now))
    assert differs(found) == ["metric auc (recorded 0.30000000000000004, now 0.3)"]
    assert "not compared" in next(one.note for one in found if one.what == "metric train_seconds")


def test_other_bytes_of_a_stable_format_are_a_difference() -> None:
    """The file is named, and what is left to blame: chance, or the machine, which is compared."""
    (found,) = reproduction.result(
        "model", trained("1", "2"), trained("3", "2", hardware={"python": "3.12.0", "cores": 2})
    )
    assert found.differs == f"model, file model.lgb (recorded {'1' * 12}, made again {'3' * 12})"
    assert "python 3.11.7, now 3.12.0" in found.note
    assert "cores" not in found.note


@pytest.mark.parametrize(("sample", "equal"), [("2", True), ("4", False)])
def test_a_format_that_is_not_stable_is_compared_by_predictions(sample: str, equal: bool) -> None:
    """Where files differ from run to run, the predictions on the kept sample decide."""
    (found,) = reproduction.result("model", trained("1", "2", "torch"), trained("3", sample, "torch"))
    assert found.equal is equal


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("def a():\n    x = 1\n", "def a():\n    x = 2\n", "line 2 in a", "'x = 1' is now 'x = 2'"),
        ("A = 1\n\ndef a():\n    x = 1\n", "A = 2\n\ndef a():\n    x = 2\n", "line 1", "'A = 1' is now 'A = 2'"),
        ("def a():\n    x = 1\n", "def a():\n    y = 0\n    x = 1\n", "line 2 in a", "'y = 0' is new"),
        ("@once\ndef a():\n    x = 1\n", "def a():\n    x = 1\n", "line 1 in a", "'@once' is gone"),
        ("def a(:\n", "def b(:\n", "line 1", "'def a(:' is now 'def b(:'"),
    ],
)
def test_where_a_source_changed(old: str, new: str, where: str, words: str) -> None:
    """The first changed line is named with its function, also where a line came, went, or is no Python."""
    assert first_change(old, new) == (where, words)


def test_the_verdict_is_the_first_difference_in_the_order_of_the_data() -> None:
    """Of several differences the first is named; the same finding is noted once."""
    compared, same = Comparison(), Finding(what="a", recorded="1", found="1")
    assert compared.add("raw files", [same, same]) == [same]
    assert compared.verdict == "identical"
    compared.add("packages", [reproduction.compared("b", "1", "2"), reproduction.compared("c", "1", "2")])
    assert compared.verdict == "differs: b (recorded 1, now 2)"


def test_what_is_made_again_sees_little_of_this_environment() -> None:
    """The recorded code comes first; a variable or a path of whoever asks is not passed on."""
    given = {"PATH": "/bin", "PYTHONPATH": "/mine", "MY_SETTING": "1", "AIRFLOW__MLOPS__DEFAULT_PLACE": "local_process"}
    made = environment(Code((Path("/then/dags"),), Path("/then")), Path("/tmp/new"), given)
    assert made["PYTHONPATH"] == os.pathsep.join(("/then/dags", "/then"))
    assert {"PATH", "AIRFLOW__MLOPS__DEFAULT_PLACE"} <= made.keys()
    assert "MY_SETTING" not in made
    installed = Code((Path("/then/dags"),), Path("/venv/lib/python3.11/site-packages"))
    assert environment(installed, Path("/tmp/new"), given)["PYTHONPATH"] == "/then/dags"


def test_what_a_join_never_saw_is_not_asked_for_again() -> None:
    """Features that were never loaded are not in the root in which a training set is made again; the others are."""
    days = [
        Interval(start=datetime(2024, 1, n, tzinfo=UTC), end=datetime(2024, 1, n + 1, tzinfo=UTC)) for n in (1, 2, 3)
    ]
    seen, unseen, features = (
        Dataset(uri=f"file:///old/shop/compute/{n}/{n}", hash=str(n), interval=day) for n, day in enumerate(days)
    )
    like = trained("m", "s")
    spec = like.spec.model_copy(
        update={"job": "training_set", "inputs": {"features": (features,), "history": (seen, unseen)}}
    )
    made = Dataset(uri="file:///old/shop/training_set/x/x", hash="x", facts={"not_loaded": [str(unseen.interval)]})
    manifest = like.model_copy(update={"spec": spec, "result": made})
    known = {key_in(one.uri): one.model_copy(update={"uri": f"file:///new/{one.hash}"}) for one in (seen, features)}
    asked = again(manifest, known, "/new", spec.services).inputs
    assert asked == {"features": (known[key_in(features.uri)],), "history": (known[key_in(seen.uri)],)}
