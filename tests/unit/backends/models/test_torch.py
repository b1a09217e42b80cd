"""Networks kept as ONNX: exported, loaded and applied without PyTorch, bytes and bits the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import IntegrityError, JobError, SourceDataError
from tests.factories.torch import SETTINGS, rows

EXTRA = "pip install 'airflow-mlops-provider[torch]'"
torch = pytest.importorskip("torch", reason=EXTRA)
for _library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_library, reason=EXTRA)

from flight_delay.torch_trainer import train  # noqa: E402  # only with PyTorch

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Inputs with gaps and two kinds of categories."""
    return rows(300, seed=7)[0]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """A small network, trained for a moment."""
    return train(*rows(), {**SETTINGS, "epochs": 2}, 1)


@pytest.fixture(scope="module")
def folder(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files."""
    folder = tmp_path_factory.mktemp("network")
    models.save(network, folder, "torch")
    return folder


def test_loaded_model_predicts_as_the_trained_one(network: torch.nn.Module, folder: Path, frame: pd.DataFrame) -> None:
    """What is loaded gives what the network gave, but for rounding in float32."""
    with torch.no_grad():
        expected = network(*network.encode(frame)).numpy()
    found = models.load(folder).predict(frame)
    assert found.dtype == np.float64
    assert np.unique(expected).size > 200
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_one_row_predicts_as_among_many(folder: Path, frame: pd.DataFrame) -> None:
    """Each row alone, as plain values from a request, gives exactly what it gives in the batch, wherever it stands."""
    loaded = models.load(folder)
    together = loaded.predict(frame)
    np.testing.assert_array_equal(loaded.predict(frame[::-1]), together[::-1])
    for index in range(0, len(frame), 20):
        row = json.loads(frame.iloc[[index]].to_json(orient="records"))
        assert loaded.predict(pd.DataFrame(row))[0] == together[index]


def test_predicting_takes_neither_pytorch_nor_onnx(folder: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """A server that has only onnxruntime loads the model, unpickles nothing, and gives the same bits."""
    frame.to_parquet(tmp_path / "rows.parquet")
    code = f"""
import pickle, sys
from pathlib import Path
import pandas as pd
from airflow_mlops_provider.backends.models import base as models
def refuse(*_, **__): raise AssertionError("something is unpickled")
pickle.load = pickle.loads = refuse
frame = pd.read_parquet({str(tmp_path / "rows.parquet")!r})
found = models.load(Path({str(folder)!r})).predict(frame)
assert not {{"torch", "onnx", "onnxscript"}} & set(sys.modules)
print(found.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == models.load(folder).predict(frame).tobytes().hex()


def test_columns_go_by_name(folder: Path, frame: pd.DataFrame) -> None:
    """Another column order and further columns change nothing; missing ones are named."""
    loaded = models.load(folder)
    shuffled = frame[frame.columns[::-1]].assign(further="x")
    np.testing.assert_array_equal(loaded.predict(shuffled), loaded.predict(frame))
    with pytest.raises(SourceDataError, match="carrier, wind"):
        loaded.predict(frame.drop(columns=["carrier", "wind"]))


def test_unseen_category_counts_as_missing(folder: Path, frame: pd.DataFrame) -> None:
    """A category that training never saw predicts as a missing one; among numbers as among names."""
    loaded = models.load(folder)
    for column, unseen in (("carrier", "Q9"), ("hour", 25.5)):
        found = loaded.predict(frame.assign(**{column: unseen}))
        np.testing.assert_array_equal(found, loaded.predict(frame.assign(**{column: None})))
        assert (found != loaded.predict(frame)).any()


def test_any_number_gives_a_probability(folder: Path, frame: pd.DataFrame) -> None:
    """Numbers that are infinite, or too great for float32, are far away and no more; no rows give no predictions."""
    loaded = models.load(folder)
    for number in (np.inf, -np.inf, 1e300, np.nan):
        found = loaded.predict(frame.assign(distance=number))
        assert ((found >= 0) & (found <= 1)).all()
    assert loaded.predict(frame.iloc[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_model_is_refused(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    """A model file cut short, altered or gone is an integrity error, never a wrong prediction or a crash."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file, data = tmp_path / name, (tmp_path / name).read_bytes()
    middle = data.index(b"sha256") if name == "model.json" else len(data) // 2
    file.write_bytes({"cut": data[:middle], "flip": data[:middle] + b"Q" + data[middle + 1 :], "gone": b""}[damage])
    if damage == "gone":
        file.unlink()
    with pytest.raises(IntegrityError, match="run the training again"):
        models.load(tmp_path)


def test_other_inputs_are_refused(folder: Path, tmp_path: Path) -> None:
    """A graph beside another model's inputs is noticed."""
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    described = json.loads((folder / "model.json").read_text())
    described["inputs"].pop()
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(IntegrityError, match="different inputs"):
        models.load(tmp_path)


def test_same_training_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Training and saving again gives the same files, which do not tell where or from which lines they were made."""
    models.save(train(*rows(), {**SETTINGS, "epochs": 2}, 1), tmp_path, "torch")
    for name in ("model.onnx", "model.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    graph = (folder / "model.onnx").read_bytes()
    assert not [word for word in (b".py", b"forward", b"pytorch", str(ROOT).encode()) if word in graph]


class Numbers(torch.nn.Module):
    """A network without categories."""

    inputs = {"one": None, "two": None}

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.nan_to_num(numbers).sum(dim=1))


class Dice(Numbers):
    """A network that gives something else each time."""

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return super().forward(numbers, codes) * torch.rand(1)


def test_any_module_will_do(tmp_path: Path) -> None:
    """A user's own module is kept too, and need not take categories."""
    loaded = models.save(Numbers(), tmp_path, "torch")
    found = loaded.predict(pd.DataFrame({"two": [1.0, None], "one": [-1.0, 0.0]}))
    np.testing.assert_array_equal(found, [0.5, 0.5])


def test_a_graph_that_predicts_otherwise_is_refused(tmp_path: Path) -> None:
    """A network whose export does not give what it gives itself is no model."""
    with pytest.raises(JobError, match="where the trained one gives"):
        models.save(Dice(), tmp_path, "torch")
