"""MLflow models are applied elsewhere: by their signature, in an environment made once, and without our credentials."""

from __future__ import annotations

import gc
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.inputs import described
from airflow_mlops_provider.backends.models.mlflow import environment
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, JobError, SourceDataError
from tests.factories import mlflow_models
from tests.factories.mlflow_models import saved

#: Whichever test comes first has the environment made: a minute, and more where others work.
pytestmark = pytest.mark.timeout(600)
FRAME = pd.DataFrame(
    {
        "wind": [0.5, None, 2.0, -1.0],
        "hour": [1, 7, 23, 12],
        "carrier": pd.Categorical(["AA", "UA", None, "AA"], categories=["UA", "AA"]),
    }
)
LINE = FRAME["wind"].fillna(0) * 2 + FRAME["hour"] + np.array([1.0, 2.0, 0.0, 1.0])


@pytest.fixture(scope="module", autouse=True)
def _cache() -> Iterator[None]:
    """Environments of this checkout's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(mlflow_models.CACHE))
        yield


def test_a_signature_says_what_a_model_takes(tmp_path: Path) -> None:
    """Columns by its names, as its types: whole numbers as such, a category as text; other columns are not taken."""
    plain = FRAME.assign(carrier=FRAME["carrier"].astype(object), wind=FRAME["wind"].fillna(0))
    signed = saved(tmp_path / "model", signature=infer_signature(plain[["hour", "wind", "carrier"]].dropna(), [1.0]))
    rows = FRAME.dropna()
    loaded = models.save(signed, tmp_path / "kept", "mlflow", FRAME.assign(gust=1.0))
    assert [entry["name"] for entry in described(tmp_path / "kept")["inputs"]] == ["hour", "wind", "carrier"]
    np.testing.assert_array_equal(loaded.predict(rows), LINE[rows.index])
    with pytest.raises(SourceDataError, match=r"the MLflow model can't predict such rows: .*hour"):
        loaded.predict(rows.assign(hour=0.5))


@pytest.mark.parametrize(
    ("gives", "expected"),
    [
        ("line.to_numpy()", LINE),
        ("line.to_frame()", LINE),
        ("line.tolist()", LINE),
        ("np.column_stack([line, -line])", np.column_stack([LINE, -LINE])),
        ("line.to_frame('low').assign(high=line + 1)", np.column_stack([LINE, LINE + 1])),
    ],
)
def test_whatever_it_returns_becomes_numbers(gives: str, expected: Any, tmp_path: Path) -> None:
    """Arrays, series, tables and lists, of one output or several; the environment is the one that was there."""
    before = sorted((mlflow_models.CACHE / "airflow-mlops" / "environments").glob("*"))
    loaded = models.save(str(saved(tmp_path / "model", gives)), tmp_path / "kept", "mlflow", FRAME)
    np.testing.assert_array_equal(loaded.predict(FRAME), expected)
    assert sorted((mlflow_models.CACHE / "airflow-mlops" / "environments").glob("*")) == before or not before


def test_probabilities_of_a_pickled_estimator(tmp_path: Path) -> None:
    """scikit-learn's, by MLflow: the probability of 1, as it was saved with ``pyfunc_predict_fn``."""
    numbers = FRAME[["wind", "hour"]].fillna(0).astype("float64")
    fitted = LogisticRegression().fit(numbers, [0, 1, 1, 0])
    folder = tmp_path / "model"
    mlflow.sklearn.save_model(
        fitted,
        folder,
        pip_requirements=mlflow_models.NEEDED,
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
    )
    loaded = models.save(folder, tmp_path / "kept", "mlflow", numbers)
    assert next((tmp_path / "kept").rglob("*.pkl")).is_file()
    np.testing.assert_allclose(loaded.predict(numbers), fitted.predict_proba(numbers)[:, 1])


def test_files_are_kept_byte_for_byte_and_whole(tmp_path: Path) -> None:
    """What MLflow wrote is what is kept; a file more, or another requirement, is damage, and nothing is started."""
    made = saved(tmp_path / "model")
    models.save(made, tmp_path / "kept", "mlflow", FRAME)
    copied = {file.relative_to(made): file.read_bytes() for file in made.rglob("*") if file.is_file()}
    copied = {name: data for name, data in copied.items() if "__pycache__" not in name.parts}
    kept = tmp_path / "kept" / "mlflow"
    assert {file.relative_to(kept): file.read_bytes() for file in kept.rglob("*") if file.is_file()} == copied
    (kept / "requirements.txt").write_text("another-distribution\n")
    with pytest.raises(IntegrityError, match="mlflow is not what was saved"):
        models.load(tmp_path / "kept")
    (kept / "requirements.txt").write_bytes(copied[Path("requirements.txt")])
    (kept / "sitecustomize.py").write_text("raise SystemExit")
    with pytest.raises(IntegrityError, match="mlflow is not what was saved"):
        models.load(tmp_path / "kept")


def test_its_process_sees_no_secrets_and_ends_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's code runs without the credentials of whoever applies it, and only as long as it is of use."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "xyz")
    seen = "[float(__import__('os').getpid() if 'AWS_SECRET_ACCESS_KEY' not in __import__('os').environ else 0)]"
    loaded = models.save(saved(tmp_path / "model", seen), tmp_path / "kept", "mlflow", FRAME)
    process = int(loaded.predict(FRAME.head(1))[0])
    assert process
    assert Path(f"/proc/{process}").exists()
    del loaded
    gc.collect()
    assert not Path(f"/proc/{process}").exists()


def test_a_process_that_died_is_an_error_that_a_retry_may_mend(tmp_path: Path) -> None:
    """It is named, and nobody waits for an answer."""
    loaded = models.save(saved(tmp_path / "model", "__import__('os')._exit(3)"), tmp_path / "kept", "mlflow", FRAME)
    for _ in range(2):
        with pytest.raises(JobError, match="the MLflow model's process ended with 3") as died:
            loaded.predict(FRAME)
        assert died.value.retryable


def test_what_it_cannot_do_is_named(tmp_path: Path) -> None:
    """A model whose code does not load, and one that gives text, or several rows for one."""
    for number, (gives, said) in enumerate(
        (("'late'", "could not convert string to float"), ("[1.0, 2.0]", r"array of shape \(2,\) for a row; it must"))
    ):
        loaded = models.save(saved(tmp_path / str(number), gives), tmp_path / f"kept{number}", "mlflow", FRAME)
        with pytest.raises(SourceDataError, match=f"can't predict such rows: ValueError: .*{said}"):
            loaded.predict(FRAME)
    broken = saved(tmp_path / "broken")
    (broken / "broken.py").write_text("import no_such_module\n")
    with pytest.raises(ConfigurationError, match=r"can't be loaded in its environment: .*no_such_module"):
        models.save(broken, tmp_path / "kept", "mlflow", FRAME)


def test_what_has_no_environment_is_refused(tmp_path: Path) -> None:
    """Requirements that are not there or can't be had, and another Python; nothing half made is left."""
    made = saved(tmp_path / "model", needed=["no-such-distribution-of-anybody==0"])
    with pytest.raises(
        JobError, match=r"(?s)environment of an MLflow model can't be made: pip ended with 1: .*no-such-dist"
    ):
        models.save(made, tmp_path / "kept", "mlflow", FRAME)
    assert not list((mlflow_models.CACHE / "airflow-mlops" / "environments").glob(".new-*"))
    (made / "python_env.yaml").write_text("python: 2.7.18\n")
    with pytest.raises(ConfigurationError, match=r"saved for Python 2\.7\.18, and here is 3\..*; train it with that"):
        models.save(made, tmp_path / "other", "mlflow", FRAME)
    (made / "python_env.yaml").unlink()
    (made / "requirements.txt").unlink()
    with pytest.raises(ConfigurationError, match=r"has no requirements.txt; save it with pip_requirements"):
        models.save(made, tmp_path / "other", "mlflow", FRAME)
    (made / "MLmodel").write_text(json.dumps({"flavors": {"spark": {}}}))
    with pytest.raises(ConfigurationError, match="has no flavor python_function"):
        models.save(made, tmp_path / "other", "mlflow", FRAME)


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hash of its requirements; of two that make it at once the first is taken, and a kill leaves none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs: list[tuple[str, ...]] = []

    def run(module: str, *arguments: str, python: str) -> None:
        runs.append((module, *arguments))
        if module == "venv":
            (Path(arguments[0]) / "bin").mkdir(parents=True)
            (Path(arguments[0]) / "bin" / "python").symlink_to(python)
        elif killed:
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_run", run)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    killed = True
    with pytest.raises(KeyboardInterrupt):
        environment.python_of(tmp_path)
    killed = False
    first = environment.python_of(tmp_path)
    assert first == environment.python_of(tmp_path)
    assert first.is_file()
    assert [entry[0] for entry in runs] == ["venv", "pip"] * 2
    (tmp_path / "requirements.txt").write_text("numpy==2\n")
    assert environment.python_of(tmp_path) != first
    assert len(list(first.parents[2].iterdir())) == 2


def test_whoever_comes_second_takes_what_the_first_made(tmp_path: Path) -> None:
    """Two jobs of one machine may start with the same requirements."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "made").write_text(name)
    environment._move(tmp_path / "first", tmp_path / "target")
    environment._move(tmp_path / "second", tmp_path / "target")
    assert (tmp_path / "target" / "made").read_text() == "first"
    assert not (tmp_path / "second").exists()


def test_what_applies_it_needs_nothing_of_ours() -> None:
    """The file that its interpreter runs imports the standard library alone before MLflow is loaded."""
    from airflow_mlops_provider.backends.models.mlflow import worker

    done = subprocess.run(
        ["python3", "-I", "-S", worker.__file__, "no_such_model"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "ModuleNotFoundError: No module named 'mlflow'" in json.loads(done.stdout)["error"]
